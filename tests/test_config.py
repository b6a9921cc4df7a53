"Runs from a file: what a section may hold, what is refused, and that nothing else changes"

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

import flairnb.config as config_module
from flairnb import set_seed
from flairnb.arguments import Argument, ConfigError, Given, converted, own_arguments
from flairnb.calls import NAMED, arguments_of, culprit, public_classes
from flairnb.config import (
    FORMATS,
    Job,
    corpus_part,
    read_config,
    tables_of,
    template,
    training_arguments,
)
from flairnb.data import MultiCorpus
from flairnb.datasets import (
    ClassificationCorpus,
    ColumnCorpus,
    CSVClassificationCorpus,
    DataPairCorpus,
)
from flairnb.datasets.catalogue import CATALOGUE, corpus_class
from flairnb.datasets.files import DataError
from flairnb.embeddings import (
    CharacterEmbeddings,
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    OneHotEmbeddings,
    StackedEmbeddings,
)
from flairnb.embeddings.base import EMBEDDING_CLASSES, Embeddings
from flairnb.models import SequenceTagger, TextClassifier, TextRegressor
from flairnb.models.model import MODEL_CLASSES, Head
from flairnb.saving import read_model_file
from flairnb.trainers import ModelTrainer

WORDS = (
    "She PRON\nsings VERB\nwell ADV\n\nHe PRON\nwalks VERB\n\nDogs NOUN\nbark VERB\n\n"
)
TEXTS = (
    "__label__good a fine film\n__label__bad a dull film\n__label__good fine songs\n"
)
NUMBERS = "a fine film,3.5\na dull film,-1\nfine songs,2\n"


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    for folder, text in (("words", WORDS), ("texts", TEXTS), ("numbers", NUMBERS)):
        (tmp_path / folder).mkdir()
        for split in ("train", "dev", "test"):
            (tmp_path / folder / f"{split}.txt").write_text(text * 3)


RUN = """
seed = 7
[corpus]
format = "columns"
folder = "words"
columns = ["text", "upos"]
[[embeddings]]
type = "OneHotEmbeddings"
min_freq = 1
embedding_length = 4
[model]
type = "SequenceTagger"
label_type = "upos"
hidden_size = 4
[training]
base_path = "out"
max_epochs = 2
mini_batch_size = 2
"""


def run(**sections):
    return tables_of(RUN, "run.toml") | sections


def weights(path):
    return read_model_file(path).tensors


def assert_same(first, second):
    assert first.keys() == second.keys() and first
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


# --- the same run from Python and from a file ---


def test_a_tagger_is_the_same_to_the_last_bit():
    again = {"format": "columns", "folder": "words", "columns": ["text", "upos"]}
    job = Job.of(
        run(
            corpus=[again, again | {"name": "more", "downsample": 0.7}],
            multi_corpus={"temperature": 1.5},
            labels={"add_unk": True, "min_count": 2},
            embeddings=[
                {"type": "OneHotEmbeddings", "min_freq": 2, "embedding_length": 3},
                {"type": "CharacterEmbeddings", "hidden_size_char": 3},
            ],
        )
    )
    found = job.carry_out()

    set_seed(7)
    parts = [
        ColumnCorpus("words", {0: "text", 1: "upos"}),
        ColumnCorpus("words", {0: "text", 1: "upos"}, name="more").downsample(0.7),
    ]
    corpus = MultiCorpus(parts)
    corpus.sample_by_temperature(1.5)
    dictionary = corpus.make_label_dictionary("upos", add_unk=True, min_count=2)
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=2, embedding_length=3)
    stack = StackedEmbeddings([words, CharacterEmbeddings(hidden_size_char=3)])
    tagger = SequenceTagger(stack, dictionary, "upos", hidden_size=4)
    trainer = ModelTrainer(tagger, corpus)
    by_hand = trainer.train("hand", max_epochs=2, mini_batch_size=2)
    assert_same(weights("out/final-model.pt"), weights("hand/final-model.pt"))
    assert found["train_loss_history"] == by_hand["train_loss_history"]
    assert {**found} == {**by_hand}


def test_a_classifier_is_the_same_to_the_last_bit():
    table = run(
        corpus={"format": "fasttext", "folder": "texts", "label_type": "mood"},
        document_embeddings={"type": "DocumentRNNEmbeddings", "hidden_size": 4},
        model={"type": "TextClassifier", "label_type": "mood", "multi_label": True},
    )
    table["training"] |= {"optimizer": "AdamW", "weight_decay": 0.1, "fine_tune": True}
    table["training"] |= {"scheduler": "OneCycleLR", "exclude_labels": ["x"]}
    Job.of(table).carry_out()

    set_seed(7)
    corpus = ClassificationCorpus("texts", label_type="mood")
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=4)
    dictionary = corpus.make_label_dictionary("mood")
    model = TextClassifier(
        DocumentRNNEmbeddings([words], hidden_size=4),
        "mood",
        dictionary,
        multi_label=True,
    )
    ModelTrainer(model, corpus).fine_tune(
        "hand",
        max_epochs=2,
        mini_batch_size=2,
        optimizer=torch.optim.AdamW,
        weight_decay=0.1,
        scheduler=NAMED["scheduler"]["OneCycleLR"],
        exclude_labels=["x"],
    )
    assert_same(weights("out/final-model.pt"), weights("hand/final-model.pt"))


def test_a_regressor_is_the_same_to_the_last_bit():
    inner = {"type": "OneHotEmbeddings", "min_freq": 1, "embedding_length": 4}
    pool = {"type": "DocumentPoolEmbeddings", "embeddings": [inner], "pooling": "max"}
    corpus_table = {"format": "csv", "folder": "numbers", "columns": ["text", "label"]}
    Job.of(
        run(
            corpus=corpus_table,
            embeddings=pool,
            model={"type": "TextRegressor", "label_type": "class"},
        )
    ).carry_out()

    set_seed(7)
    corpus = CSVClassificationCorpus("numbers", {0: "text", 1: "label"})
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=4)
    model = TextRegressor(DocumentPoolEmbeddings([words], pooling="max"), "class")
    ModelTrainer(model, corpus).train("hand", max_epochs=2, mini_batch_size=2)
    assert_same(weights("out/final-model.pt"), weights("hand/final-model.pt"))


def test_another_seed_gives_other_weights():
    for seed in (1, 2):
        Job.of(
            run(seed=seed, training={"base_path": f"{seed}", "max_epochs": 1})
        ).carry_out()
    one, two = weights("1/final-model.pt"), weights("2/final-model.pt")
    assert any(not torch.equal(tensor, two[name]) for name, tensor in one.items())


# --- what a section may hold is what its class takes ---


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_reader_takes_every_key_that_is_offered(kind, tmp_path):
    known = arguments_of(FORMATS[kind])
    folder = tmp_path / "data"
    folder.mkdir()
    needed = {"data_folder": str(folder), "column_format": {0: "text"}}
    needed |= {"column_name_map": {0: "text", 1: "label"}, "train": {"train.txt": "A"}}
    row = "\t".join(["1", "a", *"_" * 8])
    text = {"conllu": f"{row}\n\n", "fasttext": "__label__A b\n", "csv": "a,b\n"}
    text |= {
        "pairs": "a\tb\tc\n",
        "jsonl": '{"text": "a"}\n',
        "classes": "a\n",
        "brat": "a\n",
    }
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text(text.get(kind, "a\n"))
        if kind == "brat":
            (folder / f"{split}.ann").write_text("")
    given = {
        name: needed.get(name, one.default)
        for name, one in known.items()
        if not one.required or name in needed
    }
    assert len(FORMATS[kind](**given).train) > 0
    with pytest.raises(TypeError):
        FORMATS[kind](**given, no_such_key=1)


@pytest.mark.parametrize("name", ["UD_ENGLISH", "WNUT_17", "TREC_6", "IMDB"])
def test_a_corpus_of_the_catalogue_is_refused_its_files(name):
    known = arguments_of(corpus_class(name))
    assert {"sample_missing_splits", "base_path", "name"} <= {*known}
    assert not {"data_folder", "train", "options", "self", "corpora"} & {*known}


def test_sample_english_takes_every_key_that_is_offered():
    kind = corpus_class("SAMPLE_ENGLISH")
    known = {n: one.default for n, one in arguments_of(kind).items()}
    given = {n: x for n, x in known.items() if n not in kind.entry.options}
    assert len(given) > 10 and len(kind(**given).train) == 530


@pytest.mark.parametrize("name", sorted(public_classes(EMBEDDING_CLASSES, Embeddings)))
def test_the_arguments_of_every_embedding_are_known(name):
    kind = EMBEDDING_CLASSES[name]
    target = getattr(kind, "from_corpus", kind)
    known = arguments_of(target)
    named = [
        p.name for p in inspect.signature(target).parameters.values() if p.kind == 1
    ]
    left = {"vocab_dictionary", "train_dataset", "corpus"}
    assert {*named} - left <= {*known}
    assert "abstract" not in name and name[0] != "_"


def test_every_argument_of_the_trainer_is_a_key():
    own = {
        p.name
        for p in inspect.signature(ModelTrainer.train).parameters.values()
        if p.kind == 1
    }
    assert own - {"self"} == {*training_arguments()}
    assert {*training_arguments(True)} >= {*training_arguments()}
    assert training_arguments(True)["max_epochs"].default == 10


def test_an_argument_that_is_new_in_the_trainer_is_a_key_at_once(monkeypatch):
    def train(self, base_path: str, checkpoint: bool = False, max_epochs: int = 1, **others: int) -> None:  # fmt: skip
        "A trainer of tomorrow"

    monkeypatch.setattr(config_module.ModelTrainer, "train", train)
    table = run(training={"base_path": "x", "checkpoint": True})
    assert Job.of(table).training.arguments["checkpoint"] is True
    with pytest.raises(ConfigError, match=r"\[training\] checkpoint: true or false is"):
        Job.of(run(training={"base_path": "x", "checkpoint": 1}))


def test_every_model_can_be_named():
    kinds = public_classes(MODEL_CLASSES, Head)
    assert {
        "SequenceTagger",
        "TextClassifier",
        "TextPairClassifier",
        "TextRegressor",
    } <= {*kinds}


# --- what is refused, and how ---

MISSING = [
    ("corpus", "[corpus] is missing"),
    ("embeddings", "SequenceTagger needs [[embeddings]]"),
    ("model", "[model] type is missing"),
    ("training", "[training] base_path is missing (Folder for models"),
]


@pytest.mark.parametrize("section,part", MISSING)
def test_a_missing_section_is_named(section, part):
    table = run()
    del table[section]
    with pytest.raises(ConfigError) as caught:
        Job.of(table, "run.toml")
    assert str(caught.value).startswith("run.toml: ") and part in str(caught.value)


COLUMNS = {"format": "columns", "folder": "words", "columns": ["text", "upos"]}
TAGGER = {"type": "SequenceTagger", "label_type": "upos"}
HOT = {"type": "OneHotEmbeddings"}
POOLED = {"type": "DocumentPoolEmbeddings", "pooling": "max"}
FAULTS = [
    ({"sed": 1}, "'sed'", "Did you mean 'seed'?"),
    ({"seed": "1"}, "seed: a whole number", "not '1'"),
    ({"seed": True}, "seed: a whole number", "not True"),
    ({"seed": -1}, "seed is a number from 0", "2**32"),
    ({"corpus": 3}, "several [[corpus]]", ""),
    ({"corpus": {}}, "[corpus] needs the name of a corpus", "jsonl"),
    ({"corpus": {"name": 3}}, "[corpus] needs the name of a corpus", ""),
    ({"corpus": {"name": "UD_ENGLICH"}}, "[corpus] name", "'UD_ENGLISH'?"),
    ({"corpus": {"name": "UD_ENGLISH", "revison": "x"}}, "[corpus] key", "'revision'?"),
    ({"corpus": {"name": "UD_ENGLISH", "data_folder": "x"}}, "key 'data_folder'", ""),
    ({"corpus": COLUMNS | {"format": "colums"}}, "[corpus] format", "'columns'?"),
    ({"corpus": COLUMNS | {"columns": "text"}}, "[corpus] columns: a table", "'text'"),
    ({"corpus": COLUMNS | {"columns": {"a": "text"}}}, " columns: a table", ""),
    ({"corpus": COLUMNS | {"columns": [1]}}, " columns: a table", ""),
    ({"corpus": COLUMNS | {"encodin": "x"}}, "key 'encodin'", "'encoding'?"),
    ({"corpus": COLUMNS | {"downsample": "half"}}, "percentage: a number", "'half'"),
    ({"corpus": COLUMNS | {"downsample": {"percent": 1}}}, "downsample: key", "'percentage'?"),
    ({"corpus": [COLUMNS, COLUMNS | {"sep": 1}]}, "[[corpus]] 2 key 'sep'", ""),
    ({"multi_corpus": {"temperature": 2}}, "[multi_corpus] is for several", ""),
    ({"corpus": [COLUMNS] * 2, "multi_corpus": {"temperatur": 2}}, "[multi_corpus] key", "'temperature'?"),
    ({"labels": {"min_cout": 2}}, "[labels] key", "'min_count'?"),
    ({"labels": {"min_count": 2.5}}, "[labels] min_count: a whole number", "2.5"),
    ({"embeddings": []}, "needs [[embeddings]]", ""),
    ({"embeddings": "glove"}, "several [[embeddings]]", ""),
    ({"embeddings": {"embeddings": "glove"}}, "[embeddings] type is missing", ""),
    ({"embeddings": {"type": "WordEmbedings"}}, "[embeddings] type", "'WordEmbeddings'?"),
    ({"embeddings": HOT | {"min_freq": "1"}}, "[embeddings] min_freq: a whole number", "'1'"),
    ({"embeddings": {"type": "WordEmbeddings"}}, "[embeddings] embeddings is missing", "glove"),
    ({"embeddings": [HOT, HOT | {"minfreq": 1}]}, "[[embeddings]] 2 key", "'min_freq'?"),
    ({"embeddings": {"type": "DocumentPoolEmbeddings", "embeddings": [HOT]}}, "needs embeddings of words", "DocumentPoolEmbeddings is none"),
    ({"embeddings": {"type": "DocumentPoolEmbeddings", "embeddings": [HOT | {"x": 1}]}}, "[embeddings] embeddings key 'x'", ""),
    ({"embeddings": {"type": "DocumentPoolEmbeddings", "embeddings": 3}}, "embeddings: a table with the type", ""),
    ({"embeddings": {"type": "TransformerWordEmbeddings", "layers": -1}}, "layers: a text", "-1"),
    ({"document_embeddings": {"type": "DocumentPoolEmbeddings"}}, "SequenceTagger needs embeddings of words", ""),
    ({"model": {"type": "TextClassifier", "label_type": "x"}}, "needs embeddings of texts", "[document_embeddings]"),
    ({"model": {"type": "TextClassifier", "label_type": "x"}, "embeddings": [HOT, HOT]}, "summed up by one", ""),
    ({"model": [TAGGER, TAGGER]}, "[model] comes once, and there are 2", ""),
    ({"document_embeddings": [POOLED, POOLED]}, "[document_embeddings] comes once", ""),
    ({"model": {"type": "SequenceTager"}}, "[model] type", "'SequenceTagger'?"),
    ({"model": {"type": "SequenceTagger"}}, "[model] label_type is missing", "label layer"),
    ({"model": TAGGER | {"hiden_size": 4}}, "[model] key", "'hidden_size'?"),
    ({"model": TAGGER | {"hidden_size": "4"}}, "[model] hidden_size: a whole number", "'4'"),
    ({"model": TAGGER | {"loss_weights": {"NOUN": "x"}}}, "[model] loss_weights: a table", ""),
    ({"model": TAGGER | {"rnn": "LSTM"}}, "[model] rnn", "script"),
    ({"model": TAGGER | {"tag_dictionary": []}}, "key 'tag_dictionary'", ""),
    ({"training": {"base_path": "x", "max_epoch": 1}}, "[training] key", "'max_epochs'?"),
    ({"training": {"base_path": "x", "max_epochs": "1"}}, "[training] max_epochs: a whole number", "'1'"),
    ({"training": {"base_path": "x", "shuffle": 1}}, "[training] shuffle: true or false", "not 1"),
    ({"training": {"base_path": 1}}, "[training] base_path: a text or a path", "not 1"),
    ({"training": {"base_path": "x", "optimizer": "Adm"}}, "[training] optimizer", "'Adam'"),
    ({"training": {"base_path": "x", "scheduler": "OneCycle"}}, "[training] scheduler", "'OneCycleLR'?"),
    ({"training": {"base_path": "x", "momentm": 1.0}}, "[training] key", "'momentum'?"),
    ({"training": {"base_path": "x", "optimizer": "Adam", "momentum": 1.0}}, "key 'momentum'", ""),
    ({"training": {"base_path": "x", "mini_batch_size": 0}}, "[training] mini_batch_size is at least 1", ""),
    ({"training": {"base_path": "x", "embeddings_storage_mode": "ram"}}, "[training] embeddings_storage_mode", "'disk'"),
    ({"training": {"base_path": "x", "fine_tune": "yes"}}, "[training] fine_tune: true or false", "'yes'"),
    ({"training": {"base_path": "x", "main_evaluation_metric": ["a"]}}, "main_evaluation_metric", "expected"),
]  # fmt: skip


@pytest.mark.parametrize(
    "change,part,hint", FAULTS, ids=[str(x[0])[:70] for x in FAULTS]
)
def test_a_mistake_is_told_with_its_place_before_anything_happens(
    change, part, hint, monkeypatch
):
    def too_late(*given, **named):
        raise AssertionError("something was read")

    monkeypatch.setattr("flairnb.datasets.columns.find_splits", too_late)
    monkeypatch.setattr("flairnb.datasets.catalogue.fetch", too_late)
    with pytest.raises(ConfigError) as caught:
        Job.of(run(**change), "run.toml")
    text = str(caught.value)
    assert text.startswith("run.toml: ") and part in text and hint in text, text
    assert "\n" not in text


TRAINING = {"base_path": "out", "max_epochs": 1}
IMPOSSIBLE = [
    ({"learning_rate": -1}, "learning_rate is at least 0, not -1.0"),
    ({"learning_rate": -1, "fine_tune": True}, "learning_rate is at least 0, not -1.0"),
    ({"learning_rate": float("nan")}, "learning_rate is at least 0, not nan"),
    ({"anneal_factor": 2}, "anneal_factor lies between 0 and 1, not 2.0"),
    ({"patience": 3, "early_stopping": 0}, "early_stopping: patience is at least 1"),
    ({"max_grad_norm": -1, "patience": 2}, "max_grad_norm is at least 0"),
    ({"seed": -1}, "seed is a number from 0 to 2**32 - 1, not -1"),
    ({"checkpoint_every": "often"}, "checkpoint_every is a number of steps"),
    ({"weight_decay": -1.0, "momentum": 0.9}, "weight_decay: "),
    ({"optimizer": "Adam", "eps": -1.0, "weight_decay": 0.1}, "eps: "),
    ({"optimizer": "Adam", "betas": [0.9, 2.0]}, "betas: "),
    ({"optimizer": "LBFGS"}, "optimizer: "),
    ({"optimizer": "SparseAdam"}, "optimizer: "),
]


@pytest.mark.parametrize(("change", "part"), IMPOSSIBLE)
def test_a_value_that_training_refuses_is_told_with_its_key_before_anything_happens(
    change, part, monkeypatch
):
    monkeypatch.setattr("flairnb.datasets.columns.find_splits", None)
    with pytest.raises(ConfigError) as caught:
        Job.of(run(training=TRAINING | change), "run.toml")
    assert str(caught.value).startswith(f"run.toml: [training] {part}")


FASTTEXT = {"format": "fasttext", "folder": "texts", "label_type": "mood"}
CLASSIFIER = {"type": "TextClassifier", "label_type": "mood"}
TEXTUAL = {"corpus": FASTTEXT, "document_embeddings": POOLED, "model": CLASSIFIER}
REFUSED = [
    ({"model": TAGGER | {"hidden_size": 0}}, "[model] hidden_size"),
    ({"model": TAGGER | {"rnn_layers": 0, "hidden_size": 4}}, "[model] rnn_layers: "),
    ({"model": TAGGER | {"dropout": 2, "hidden_size": 4}}, "[model] dropout "),
    ({"model": TAGGER | {"word_dropout": 2}}, "[model] word_dropout: p is 2.0"),
    ({"model": TAGGER | {"rnn_type": "CNN"}}, "[model] rnn_type 'CNN'"),
    ({"model": TAGGER | {"loss_weights": {"X": 1.0}}}, "[model] loss_weights names 'X'"),
    ({"model": TAGGER | {"label_type": "ner"}}, "[model] label_type: words, train: "),
    ({"labels": {"min_count": 99, "add_unk": True}}, "[labels] min_count: words, train"),
    ({"embeddings": [HOT, HOT | {"embedding_length": 0}]}, "[[embeddings]] 2 embedding_length is"),
    ({"embeddings": HOT | {"field": "xpos"}}, "[embeddings] field 'xpos'"),
    (TEXTUAL | {"document_embeddings": POOLED | {"pooling": "sum"}}, "[document_embeddings] pooling: 'sum'"),
    (TEXTUAL | {"model": CLASSIFIER | {"label_smoothing": 2}}, "[model] label_smoothing lies"),
    ({"corpus": COLUMNS | {"folder": "nowhere"}}, "[corpus] folder nowhere does not exist"),
    ({"corpus": COLUMNS | {"columns": ["upos"]}}, "[corpus] columns goes from"),
    ({"corpus": COLUMNS | {"encoding": "utf-9"}}, "[corpus] unknown encoding: utf-9"),
    ({"corpus": [COLUMNS, COLUMNS | {"train_file": "x"}]}, "[[corpus]] 2 train_file"),
    ({"corpus": COLUMNS | {"downsample": 2}}, "[corpus] downsample: percentage is a part"),
    ({"corpus": [COLUMNS] * 2, "multi_corpus": {"temperature": -1}}, "[multi_corpus] temperature"),
    ({"training": TRAINING | {"main_evaluation_metric": "f2"}}, "[training] main_evaluation_metric: unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "part"), REFUSED, ids=[x[1] for x in REFUSED])
def test_a_value_that_its_class_refuses_is_told_with_file_section_and_key(change, part):
    with pytest.raises(ConfigError) as caught:
        Job.of(run(**change), "run.toml").carry_out()
    assert str(caught.value).startswith(f"run.toml: {part}")
    assert not Path("out/loss.tsv").exists()


def test_what_is_wrong_in_the_data_is_told_with_its_own_file_and_line():
    Path("words/train.txt").write_text("She PRON\nsings\n\n")
    table = run(corpus=COLUMNS | {"on_error": "raise"})
    with pytest.raises(DataError, match=r"^\S*words/train\.txt, line 2"):
        Job.of(table, "run.toml").carry_out()


def test_a_checkpoint_of_another_run_is_told_with_the_key():
    table = run()
    table["training"] |= {"checkpoint": True}
    Job.of(table, "run.toml").carry_out()
    table["training"] |= {"max_epochs": 3, "learning_rate": 0.5}
    with pytest.raises(
        ConfigError, match=r"^run\.toml: \[training\] .*learning_rate is 0\.1"
    ):
        Job.of(table, "run.toml").carry_out(resume=True)


def test_the_key_to_blame_is_the_one_without_which_the_call_succeeds():
    def call(a=0, b=0, c=0):
        if a == 1 or (b == 1 and c == 1):
            raise ValueError

    assert culprit(call, {"b": 3, "a": 1}) == "a"
    assert culprit(call, {"a": 2, "b": 1, "c": 1}) == "b"  # or c: either is enough
    assert culprit(call, {"a": 1, "b": 1, "c": 1}) == ""


def test_a_file_that_is_no_toml_is_told_with_line_and_column(tmp_path):
    path = tmp_path / "run.toml"
    for text, part in [
        ("[model\n", "at line 1"),
        ("a = 1\na = 2\n", "at line 2"),
        ("x", "after a key"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=part):
            read_config(path)
    path.write_bytes(b"seed = 1\n# \xff\n")
    with pytest.raises(DataError, match="line 2: byte 11"):
        read_config(path)
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path / "no.toml")


# --- values ---

VALUES = [
    (3, "int", 3),
    (3, "float", 3.0),
    ("a", "str | Path", "a"),
    ([1, 2], "Sequence[int]", [1, 2]),
    (["a", "b"], "tuple[str, str] | str", ("a", "b")),
    ([0.5], "tuple[float, ...]", (0.5,)),
    ([0.5, 1], "tuple[float, ...]", (0.5, 1.0)),
    ({"1": "x"}, "dict[int, str]", {1: "x"}),
    (["x", "y"], "dict[int, str] | None", {0: "x", 1: "y"}),
    ({"a": 1}, "Mapping[str, float]", {"a": 1.0}),
    ("none", "int | None", None),
    ("none", "str | None", "none"),
    (5, "float | int", 5),
    (0.5, "float | int", 0.5),
    (True, "bool | int", True),
    (64, "bool | int", 64),
    ({"a": [1]}, "Any", {"a": [1]}),
    ("b", "Literal['a', 'b']", "b"),
]
EVALUATED = vars(__import__("typing")) | vars(__import__("pathlib"))


@pytest.mark.parametrize("value,hint,expected", VALUES)
def test_a_value_that_fits_is_taken(value, hint, expected):
    found = converted(value, eval(hint, dict(EVALUATED)), "x")
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("3", "int", 3),
        ("3", "str", "3"),
        ("none", "int | None", None),
        ("[1, 2]", "Sequence[int]", [1, 2]),
        ("a, b", "str", "a, b"),
        ("false", "bool", False),
        (
            '["macro avg", "f1-score"]',
            "tuple[str, str] | str",
            ("macro avg", "f1-score"),
        ),
        ("1e-3", "float", 0.001),
    ],
)
def test_a_text_of_the_shell_is_read_as_what_is_wanted(text, hint, expected):
    found = converted(Given(text), eval(hint, dict(EVALUATED)), "x")
    assert found == expected and type(found) is type(expected)


def test_what_is_known_of_an_argument_comes_from_its_source():
    def later(a, b: int = 3, *c: int, d: Nowhere = 1, **e: int) -> None:  # noqa: F821
        pass

    assert own_arguments(later) == {
        "a": Argument(),
        "b": Argument(default=3),
        "d": Argument(default=1),
    }
    about = own_arguments(SequenceTagger)["use_rnn"]
    assert about == Argument(bool, True, "Let a recurrent network read the sentence")


# --- the file to start from ---


def test_the_template_runs_as_it_stands(monkeypatch):
    Job.of(
        tables_of(template()) | {"training": {"base_path": "out", "max_epochs": 1}}
    ).carry_out()
    assert weights("out/final-model.pt")


def test_every_comment_of_the_template_is_a_valid_line():
    lines = template().splitlines()
    start = lines.index("[training]")
    keys = [x[2:] for x in lines[start:] if x.startswith("# ") and " = " in x]
    for line in keys:
        found = tables_of(f"[training]\n{line}")["training"]
        if "fine_tune" not in found:
            Job.of(run(training={"base_path": "x"} | found))
    names = {line.split(" = ")[0] for line in keys}
    settable = {
        name for name, one in training_arguments().items()
        if name not in ("base_path", "mini_batch_size", "max_epochs")
        and not ({"Dictionary", "Plugin"} & {*re.findall(r"\w+", str(one.hint))})
        and not (one.default is None and "str" in str(one.hint))
    }  # fmt: skip
    assert names == settable | {"fine_tune"}


def test_the_corpora_of_the_catalogue_can_all_be_described():
    for name in CATALOGUE:
        part = corpus_part({"name": name, "random_seed": 1}, "x")
        assert part.call.arguments == {"random_seed": 1}


def test_what_scikit_learn_takes_is_a_key_too():
    pytest.importorskip("sklearn")
    table = run(
        corpus={"format": "fasttext", "folder": "texts", "label_type": "mood"},
        embeddings={"type": "DocumentTFIDFEmbeddings", "lowercase": False},
        model={"type": "TextClassifier", "label_type": "mood"},
    )
    Job.of(table).carry_out()
    config = read_model_file("out/final-model.pt").config["model"]
    assert "'lowercase': False" in str(config)


# --- pairs ---


def test_pairs_are_read_and_trained_on(tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        rows = ["first\tsecond\tlabel", 'who "is\tAda\tyes', "who\tit rains\tno"]
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    table = {"format": "pairs", "folder": "pairs", "skip_first_line": True}
    Job.of(
        run(
            corpus=table,
            document_embeddings={"type": "DocumentPoolEmbeddings"},
            model={"type": "TextPairClassifier", "label_type": "class"},
        )
    ).carry_out()
    assert read_model_file("out/final-model.pt").config["class"] == "TextPairClassifier"
    corpus = DataPairCorpus(folder, skip_first_line=True)
    texts = [(pair.first.text, pair.second.text) for pair in corpus.train]
    assert texts == [('who "is', "Ada"), ("who", "it rains")]
    assert [pair.get_label("class").value for pair in corpus.dev] == ["yes", "no"]
    swapped = DataPairCorpus(folder, columns=[1, 0], skip_first_line=True)
    assert swapped.test[0].second.text == 'who "is' and not swapped.test[0].labels


def test_a_row_that_is_no_pair_is_told_or_counted(tmp_path):
    (tmp_path / "train.csv").write_text('a,"b, c",x\n,b,x\na,b,\n')
    given = {"separator": ",", "sample_missing_splits": False}
    with pytest.raises(DataError, match="line 2: no two texts"):
        DataPairCorpus(tmp_path, train_file="train.csv", **given)
    found = DataPairCorpus(tmp_path, train_file="train.csv", on_error="skip", **given)
    assert [pair.second.text for pair in found.train] == ["b, c", "b"]
    assert found.losses == {"train": {"skipped records": 1}}
    assert [len(pair.labels) for pair in found.train] == [1, 0]
    with pytest.raises(TypeError, match="'sample_missing_splits'"):
        DataPairCorpus(tmp_path, train_file="train.csv", sample_missing_split=False)

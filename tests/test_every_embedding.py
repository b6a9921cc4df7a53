"Every embedding, and all of them in one stack, comes back the same in a fresh process"

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import flairnb.embeddings
from flairnb.batches import Batch
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import (
    CharacterEmbeddings,
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    DocumentTFIDFEmbeddings,
    FlairEmbeddings,
    OneHotEmbeddings,
    PooledFlairEmbeddings,
    SentenceTransformerDocumentEmbeddings,
    StackedEmbeddings,
    TransformerDocumentEmbeddings,
    TransformerWordEmbeddings,
    WordEmbeddings,
)
from flairnb.embeddings.base import EMBEDDING_CLASSES, describe
from flairnb.models import SequenceTagger
from flairnb.models.language_model import LanguageModel
from flairnb.saving import write_model_file
from flairnb.trainers import ModelTrainer

TEXTS = ["Ada met Bob", "he saw Cid and Dora", "she met them", "Emma ran", "we saw it"]
NEW = ["Ada ran", "Zoe met  Bob, Cid and \u00c4nne", "", "it"]
WORDS = sorted({word for text in TEXTS for word in text.split()})


# --- small ones of each kind ---


def language_model(forward):
    letters = Dictionary.of("\n abcdehimnorstwABCDE", add_unk=True)
    return LanguageModel(letters, forward, 6, 1, 4)


def bert(folder):
    "A folder with a small random BERT and its tokenizer"
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    if (folder / "config.json").is_file():
        return folder
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdehimnorstwABCDEZ,"]
    pieces += [f"##{letter}" for letter in "abcdehimnorstw"] + ["saw", "met", "##et"]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    frame = [(name, numbers[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=frame
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=32,
        **{f"{key}_token": value for key, value in names.items()},
    ).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 16, "max_position_embeddings": 32}
    BertModel(BertConfig(vocab_size=len(pieces), **sizes)).save_pretrained(folder)
    return folder


def words_of(corpus, folder):
    vectors = np.random.default_rng(1).normal(size=(len(WORDS) - 3, 5))
    return WordEmbeddings.from_vectors(WORDS[3:], vectors, "small")


def trained_words_of(corpus, folder):
    vectors = np.random.default_rng(2).normal(size=(len(WORDS), 4))
    chosen = {"fine_tune": True, "stable": True, "stored_rows": "corpus"}
    return WordEmbeddings.from_vectors(WORDS, vectors, "trained", **chosen)


def one_hot_of(corpus, folder):
    return OneHotEmbeddings.from_corpus(corpus, min_freq=2, embedding_length=4)


def flair_of(corpus, folder):
    chosen = {"with_whitespace": False, "tokenized_lm": False, "is_lower": True}
    return FlairEmbeddings(language_model(False), chars_per_chunk=5, **chosen)


def trained_flair_of(corpus, folder):
    return FlairEmbeddings(language_model(True), fine_tune=True, name="mine")


def pooled_of(corpus, folder):
    inner = FlairEmbeddings(language_model(True), precision="bfloat16")
    return PooledFlairEmbeddings(inner, "mean", only_capitalized=True)


def transformer_of(corpus, folder):
    chosen = {"layers": "0,-1", "subtoken_pooling": "mean", "use_context": 2}
    return TransformerWordEmbeddings(bert(folder), **chosen)


TOKEN_PARTS = {
    "WordEmbeddings": words_of,
    "WordEmbeddings, trained": trained_words_of,
    "OneHotEmbeddings": one_hot_of,
    "CharacterEmbeddings": lambda *_: CharacterEmbeddings(None, 3, 4),
    "FlairEmbeddings": flair_of,
    "FlairEmbeddings, trained": trained_flair_of,
    "PooledFlairEmbeddings": pooled_of,
    "TransformerWordEmbeddings": transformer_of,
}


def stack_of(corpus, folder):
    return StackedEmbeddings([make(corpus, folder) for make in TOKEN_PARTS.values()])


def two_stacks_of(corpus, folder):
    first = StackedEmbeddings([one_hot_of(corpus, folder), flair_of(corpus, folder)])
    return StackedEmbeddings([CharacterEmbeddings(None, 2, 2), first])


TOKEN_KINDS = TOKEN_PARTS | {
    "StackedEmbeddings": stack_of,
    "StackedEmbeddings, nested": two_stacks_of,
}


def pool_of(corpus, folder):
    return DocumentPoolEmbeddings(stack_of(corpus, folder), "nonlinear", "max")


def network_of(corpus, folder):
    chosen = {"rnn_layers": 2, "reproject_words_dimension": 5, "bidirectional": True}
    parts = [words_of(corpus, folder), CharacterEmbeddings(None, 3, 3)]
    return DocumentRNNEmbeddings(parts, 6, rnn_type="LSTM", **chosen)


def counts_of(corpus, folder):
    return DocumentTFIDFEmbeddings(list(corpus.train), sublinear_tf=True)


def transformer_document_of(corpus, folder):
    return TransformerDocumentEmbeddings(bert(folder), cls_pooling="mean")


def sentence_transformer_of(corpus, folder):
    from sentence_transformers import SentenceTransformer, models

    inner = models.Transformer(str(bert(folder)))
    pooling = models.Pooling(inner.get_word_embedding_dimension())
    made = SentenceTransformer(modules=[inner, pooling], device="cpu")
    return SentenceTransformerDocumentEmbeddings(made)


DOCUMENT_KINDS = {
    "DocumentPoolEmbeddings": pool_of,
    "DocumentRNNEmbeddings": network_of,
    "DocumentTFIDFEmbeddings": counts_of,
    "TransformerDocumentEmbeddings": transformer_document_of,
    "SentenceTransformerDocumentEmbeddings": sentence_transformer_of,
}
MISSING = {
    name
    for name, library in {
        "SentenceTransformerDocumentEmbeddings": "sentence_transformers",
        "DocumentTFIDFEmbeddings": "sklearn",
    }.items()
    if find_spec(library) is None
}


# --- here, and in a fresh process ---


def corpus_of():
    splits = [[Sentence(text) for text in some] for some in (TEXTS, TEXTS[:2], NEW)]
    for token in (token for split in splits for s in split for token in s):
        token.set_label("upos", "NAME" if token.text[:1].isupper() else "WORD")
    return Corpus(*splits, name="letters", sample_missing_splits=False)


def file_name(kind):
    return "".join(letter for letter in kind if letter.isalnum())


def train_tagger(make, folder):
    "One step of training, and what the tagger then says"
    torch.manual_seed(4)
    corpus = corpus_of()
    tags = Dictionary.of(["NAME", "WORD"])
    tagger = SequenceTagger(make(corpus, folder / "bert"), tags, "upos", hidden_size=4)
    before = {name: x.detach().clone() for name, x in tagger.named_parameters()}
    chosen = {"max_epochs": 1, "mini_batch_size": 99, "seed": 2, "learning_rate": 0.5}
    ModelTrainer(tagger, corpus).train(folder / "run", **chosen)
    after = dict(tagger.named_parameters())
    return tagger, [
        name for name, x in before.items() if not torch.equal(x, after[name])
    ]


def said_of(tagger):
    sentences = [Sentence(text) for text in NEW]
    tagger.predict(sentences, return_probabilities_for_all_classes=True)
    labels = [[token.get_label("upos") for token in s] for s in sentences]
    tags = [[(label.value, label.score) for label in row] for row in labels]
    chances = [[token.get_tags_proba_dist("upos") for token in s] for s in sentences]
    return tags, [[[x.score for x in each] for each in row] for row in chances]


def vectors_of(embeddings):
    dataset = SentenceDataset.of([Sentence(text) for text in NEW])
    with torch.no_grad():
        made = embeddings.eval()(Batch(dataset.table, dataset.rows))
    return made.double().tolist()


FRESH = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_every_embedding import said_of, vectors_of
from flairnb.embeddings.base import build
from flairnb.models import Model
from flairnb.saving import read_model_file

found = {}
for path in sorted(Path(sys.argv[2]).glob("*.tagger")):
    found[path.stem] = said_of(Model.load(path))
for path in sorted(Path(sys.argv[2]).glob("*.document")):
    stored = read_model_file(path)
    made = build(stored.config)
    made.load_state_dict(stored.tensors)
    found[path.stem] = vectors_of(made)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    "What every kind says here, what moved in training, and what it says elsewhere"
    folder, said, moved = tmp_path_factory.mktemp("every"), {}, {}
    for kind, make in TOKEN_KINDS.items():
        tagger, moved[kind] = train_tagger(make, folder)
        tagger.save(folder / f"{file_name(kind)}.tagger")
        said[file_name(kind)] = said_of(tagger)
    for kind in DOCUMENT_KINDS.keys() - MISSING:
        torch.manual_seed(5)
        corpus = corpus_of()
        made = DOCUMENT_KINDS[kind](corpus, folder / "bert")
        made.learn_from(corpus.train)
        path = folder / f"{file_name(kind)}.document"
        write_model_file(path, made.state_dict(), describe(made))
        said[file_name(kind)] = vectors_of(made)
    command = [sys.executable, "-c", FRESH, str(Path(__file__).parent), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    elsewhere = json.loads(run.stdout.splitlines()[-1])
    return json.loads(json.dumps(said)), moved, elsewhere


@pytest.mark.parametrize("kind", TOKEN_KINDS)
def test_a_tagger_says_the_same_in_a_fresh_process(kind, both):
    here, moved, elsewhere = both
    tags, chances = here[file_name(kind)]
    assert [len(row) for row in tags] == [len(Sentence(text)) for text in NEW]
    scores = [score for row in tags for _, score in row]
    assert len(set(scores)) > 1 and all(0.5 <= score < 1 for score in scores)
    assert all(abs(sum(each) - 1) < 1e-5 for row in chances for each in row)
    fixed = ("WordEmbeddings", "FlairEmbeddings", "PooledFlairEmbeddings")
    assert moved[kind]
    assert any("embeddings" in name for name in moved[kind]) == (kind not in fixed)
    assert elsewhere[file_name(kind)] == [tags, chances]


@pytest.mark.parametrize("kind", DOCUMENT_KINDS)
def test_documents_have_the_same_vectors_in_a_fresh_process(kind, both):
    if kind in MISSING:
        pytest.skip(f"{kind} needs a library that is not installed")
    here, _, elsewhere = both
    vectors = torch.tensor(here[file_name(kind)])
    assert vectors.isfinite().all() and vectors[0].any() and not vectors[2].any()
    assert elsewhere[file_name(kind)] == here[file_name(kind)]


def test_every_class_is_covered():
    "A new embedding needs a line in `TOKEN_KINDS` or `DOCUMENT_KINDS`"
    for module in pkgutil.iter_modules(flairnb.embeddings.__path__):
        importlib.import_module(f"flairnb.embeddings.{module.name}")
    ours = {
        name: kind
        for name, kind in EMBEDDING_CLASSES.items()
        if kind.__module__.startswith("flairnb.") and not inspect.isabstract(kind)
    }
    token = {name for name, x in ours.items() if x.embedding_type == "word-level"}
    assert {kind.split(",")[0] for kind in TOKEN_KINDS} == token
    assert set(DOCUMENT_KINDS) == set(ours) - token
    assert all(hasattr(flairnb.embeddings, name) for name in ours)

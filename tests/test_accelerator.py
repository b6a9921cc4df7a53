"""The same on an accelerator as on the CPU, and to the bit where torch can promise it.

Without an accelerator these tests are skipped. `FLAIRNB_TEST_DEVICE` names another device
than torch's own choice; with `cpu` they run anywhere, which tries the tests themselves.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import test_language_model_trainer as letters
import test_resume as resume
import test_text_classifier as classes
import test_text_pairs as pairs
import test_text_regressor as regress
import torch
from test_distributed import train_by_torchrun
from test_every_embedding import (
    DOCUMENT_KINDS,
    MISSING,
    NEW,
    TOKEN_KINDS,
    corpus_of,
)

import flairnb
from flairnb.batches import Batch
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.models import Model, SequenceTagger
from flairnb.trainers import ModelTrainer
from flairnb.trainers.steps import gradients_that_fit, train_step

ASKED = os.environ.get("FLAIRNB_TEST_DEVICE")
FOUND = torch.accelerator.current_accelerator() if ASKED is None else ASKED
HERE = torch.device("cpu" if FOUND is None else FOUND)
CUDA = HERE.type == "cuda"
NEAR = {"rtol": 1e-3, "atol": 1e-4}  # sums of float32 in another order

pytestmark = pytest.mark.skipif(FOUND is None, reason="there is no accelerator")
on_cuda = pytest.mark.skipif(not CUDA, reason="CUDA alone can tell")


@pytest.fixture(autouse=True)
def whole_float32():
    "No shortened products, so that what differs is the order of sums"
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))


@pytest.fixture
def default(monkeypatch):
    "New models live on the accelerator"
    monkeypatch.setenv("FLAIRNB_DEVICE", str(HERE))


def both(model):
    "The model on the CPU, and a copy of it on the accelerator"
    model = model.cpu()
    return model, copy.deepcopy(model).to(HERE)


def batch_of(sentences, device):
    dataset = SentenceDataset.of(sentences)
    return Batch(dataset.table, dataset.rows, device)


def draw_nothing(model):
    "Switch dropout of every kind off; the model may be trained"
    for module in model.modules():
        if "Dropout" in type(module).__name__:
            module.eval()
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0


def close(ours, theirs):
    torch.testing.assert_close(ours.detach().cpu(), theirs.detach().cpu(), **NEAR)


# --- embeddings ---


@pytest.mark.parametrize("kind", [*TOKEN_KINDS, *DOCUMENT_KINDS])
def test_vectors_are_those_of_the_cpu(kind, tmp_path):
    if kind in MISSING:
        pytest.skip(f"{kind} needs a library that is not installed")
    torch.manual_seed(1)
    make = (TOKEN_KINDS | DOCUMENT_KINDS)[kind]
    corpus = corpus_of()
    plain, moved = both(make(corpus, tmp_path))
    texts = [Sentence(text) for text in NEW]
    with torch.no_grad():
        found = moved.eval()(batch_of(texts, HERE))
        wanted = plain.eval()(batch_of(texts, "cpu"))
    assert found.device.type == HERE.type
    if kind in ("PooledFlairEmbeddings", "StackedEmbeddings", "DocumentPoolEmbeddings"):
        # one of the parts works in bfloat16
        torch.testing.assert_close(found.cpu(), wanted, rtol=0.02, atol=0.02)
    else:
        close(found, wanted)


def test_vectors_of_sentences_come_to_the_cpu_or_stay(tmp_path, default):
    embeddings = TOKEN_KINDS["CharacterEmbeddings"](corpus_of(), tmp_path).to(HERE)
    sentence = Sentence("Ada met Bob")
    embeddings.embed(sentence)
    assert all(token.embedding.shape == (8,) for token in sentence)


# --- heads ---


def tagger(**chosen):
    model = resume.tagger_on(resume.words_of(fine_tune=True), **chosen)
    return model, resume.sentences_of(resume.TEXTS * 2)


def classifier(**chosen):
    made = classes.texts(np.random.default_rng(1), 12, classes.CLASSES)
    return classes.classifier_of(**chosen), made


def pair_classifier():
    made = pairs.random_pairs(np.random.default_rng(1), 12)
    return pairs.classifier_of(), made


def regressor():
    return regress.regressor_of(), regress.rated(np.random.default_rng(1), 12)


HEADS = {
    "tagger with a CRF": lambda: tagger(use_crf=True),
    "tagger without": lambda: tagger(use_crf=False),
    "GRU": lambda: tagger(use_crf=True, rnn_type="GRU", rnn_layers=2),
    "classifier": classifier,
    "classes with weights": lambda: classifier(loss_weights={"A": 2.0}),
    "many labels": lambda: classifier(multi_label=True),
    "pairs": pair_classifier,
    "numbers": regressor,
}


@pytest.mark.parametrize("head", HEADS)
def test_loss_and_gradients_are_those_of_the_cpu(head):
    model, sentences = HEADS[head]()
    plain, moved = both(model.eval())
    losses = {}
    for one in (plain, moved):
        one.train()
        draw_nothing(one)
        one.prepare([SentenceDataset.of(sentences).table])
        losses[one], count = one.forward_loss(sentences)
        (losses[one] / count).backward()
    close(losses[moved], losses[plain])
    theirs = dict(plain.named_parameters())
    for name, weight in moved.named_parameters():
        assert weight.device.type == HERE.type
        if theirs[name].grad is not None:
            close(weight.grad, theirs[name].grad)


def labels_of(sentences):
    points = [[x, *(x if isinstance(x, Sentence) else ())] for x in sentences]
    return [[label.value for x in row for label in x.labels] for row in points]


@pytest.mark.parametrize("head", HEADS)
def test_predictions_and_scores_are_those_of_the_cpu(head, tmp_path):
    model, sentences = HEADS[head]()
    plain, moved = both(model.eval())
    ours, theirs = copy.deepcopy(sentences), sentences
    scores = [m.evaluate(s, m.label_type) for m, s in ((moved, ours), (plain, theirs))]
    assert scores[0].main_score == pytest.approx(scores[1].main_score, abs=1e-3)
    assert scores[0].loss == pytest.approx(scores[1].loss, rel=1e-3, abs=1e-4)
    moved.predict(ours)
    plain.predict(theirs)
    assert len(sentences) > 5
    if head != "numbers":
        assert labels_of(ours) == labels_of(theirs)


@pytest.mark.parametrize("head", HEADS)
def test_files_know_no_device(head, tmp_path, monkeypatch):
    model, _ = HEADS[head]()
    model.to(HERE).save(tmp_path / "model.pt")
    monkeypatch.setenv("FLAIRNB_DEVICE", "cpu")
    back = Model.load(tmp_path / "model.pt")
    assert back.device.type == "cpu"
    monkeypatch.setenv("FLAIRNB_DEVICE", str(HERE))
    again = Model.load(tmp_path / "model.pt")
    assert again.device.type == HERE.type
    ours, theirs = model.state_dict(), back.state_dict()
    assert all(torch.equal(ours[name].cpu(), theirs[name]) for name in ours)


# --- training ---

NOTHING_DRAWN = {"dropout": 0.0, "word_dropout": 0.0, "locked_dropout": 0.0}


@pytest.mark.parametrize("mode", ["none", "cpu", "gpu", "disk", "auto"])
def test_where_vectors_are_stored_changes_no_score(mode, tmp_path, default):
    torch.manual_seed(1)
    kind = "FlairEmbeddings"
    corpus = corpus_of()
    if mode == "gpu" and HERE.type == "cpu":
        pytest.skip("'gpu' is for a model on an accelerator")
    found = {}
    for way in ("none", mode):
        torch.manual_seed(1)
        embeddings = TOKEN_KINDS[kind](corpus, tmp_path).to(HERE)
        tags = Dictionary.of(["NAME", "WORD"])
        model = SequenceTagger(embeddings, tags, "upos", hidden_size=4)
        chosen = {"max_epochs": 3, "mini_batch_size": 2, "seed": 2}
        run = ModelTrainer(model, corpus).train(
            tmp_path / way, embeddings_storage_mode=way, **chosen
        )
        found[way] = run["train_loss_history"], run["dev_loss_history"]
    np.testing.assert_allclose(found[mode], found["none"], rtol=1e-3)


def test_a_run_learns_what_it_learns_on_the_cpu(tmp_path):
    curves = {}
    for device in ("cpu", str(HERE)):
        model, _ = tagger(use_crf=True, **NOTHING_DRAWN)
        model.to(device)
        chosen = {"max_epochs": 4, "mini_batch_size": 4, "seed": 1, "shuffle": True}
        corpus = resume.corpus_of(resume.TEXTS * 3)
        found = ModelTrainer(model, corpus).train(tmp_path / device[:3], **chosen)
        curves[device] = found["train_loss_history"]
    np.testing.assert_allclose(curves[str(HERE)], curves["cpu"], rtol=0.01)
    assert curves["cpu"][-1] < curves["cpu"][0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_shortened_products_train_as_well(precision, tmp_path, default):
    model, _ = tagger(use_crf=True)
    corpus = resume.corpus_of(resume.TEXTS * 3)
    chosen = {"max_epochs": 6, "mini_batch_size": 4, "seed": 1}
    amp = {"use_amp": precision == "bfloat16"}
    found = ModelTrainer(model, corpus).train(tmp_path, **chosen, **amp)
    losses = found["train_loss_history"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_chunks_give_the_step_of_the_batch(default):
    model, sentences = classifier()
    model.to(HERE)
    other = copy.deepcopy(model)
    for one, chunk in ((model, None), (other, 3)):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        train_step(one.train(), optimizer, batch_of(sentences, HERE), chunk)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        close(ours, theirs)


RUNNING = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.use_deterministic_algorithms(True)
from test_resume import resume_all, run_whole
folder, case = f"{sys.argv[2]}/{sys.argv[3]}", sys.argv[3]
"""


@pytest.mark.parametrize("case", resume.CASES)
def test_a_run_goes_on_to_the_bit(case, tmp_path, default, monkeypatch):
    "With torch's deterministic algorithms, from each step, in a new process"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for work in ("run_whole(folder, case)", "resume_all(folder, case)"):
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", RUNNING + work, here, str(tmp_path), case]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    apart = () if CUDA else ("random",)
    resume.check_all_went_on(tmp_path / case, apart)


def test_a_run_of_the_cpu_goes_on_here(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_DEVICE", "cpu")
    resume.first_part(tmp_path)
    monkeypatch.setenv("FLAIRNB_DEVICE", str(HERE))
    trainer = resume.going_on(tmp_path)
    assert trainer.model.device.type == HERE.type
    found = trainer.train(tmp_path, max_epochs=5)
    assert len(found["train_loss_history"]) == 5


def test_a_language_model_trains_here(tmp_path, default):
    folder = letters.text_folder(tmp_path / "text")
    model, found = letters.train(folder, tmp_path / "run", checkpoint=True)
    assert model.device.type == HERE.type
    assert all(np.isfinite(x).all() for x in found.values() if isinstance(x, list))
    corpus = letters.TextCorpus(folder, letters.LETTERS, True)
    file = tmp_path / "run" / "checkpoint.pt"
    again = letters.LanguageModelTrainer.load_checkpoint(file, corpus)
    again.train(tmp_path / "run", **{**letters.OPTIONS, "max_epochs": 3})
    assert len(letters.lines(tmp_path / "run")) > 9


# --- speed and memory ---


class Waits:
    "Where Python waited for the device within a `with`"

    def __enter__(self):
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("warn")
        self.caught = warnings.catch_warnings(record=True)
        self.seen = self.caught.__enter__()
        warnings.simplefilter("always")
        return self

    def __exit__(self, *told):
        torch.cuda.set_sync_debug_mode("default")
        self.caught.__exit__(*told)
        waited = [w for w in self.seen if "synchronizing CUDA" in str(w.message)]
        self.places = [f"{Path(w.filename).name}:{w.lineno}" for w in waited]


def tagger_at_work(spans):
    "A tagger on the device, and how to make sentences for it that are all as long"
    words = [word for text in resume.TEXTS for word in text.split()][:6]
    labels = Dictionary.of(["NAME", "WORD"], span_labels=True) if spans else None
    vectors = resume.StackedEmbeddings([resume.words_of(fine_tune=True)])
    labels = labels or Dictionary.of(["NAME", "WORD"])
    model = SequenceTagger(vectors, labels, "ner", hidden_size=8, use_crf=True)
    return model.to(HERE), lambda count: [Sentence(words) for _ in range(count)]


@on_cuda
@pytest.mark.parametrize("spans", [False, True])
def test_a_batch_waits_for_the_device_seldom(spans):
    "Not for each word or sentence: what is decoded together waits a few times"
    model, make = tagger_at_work(spans)
    found = {}
    for count in (4, 64):
        model.predict(make(count), mini_batch_size=64)
        sentences = make(count)
        with Waits() as waits:
            model.predict(sentences, mini_batch_size=64)
        found[count] = waits.places
    print(found)
    assert len(found[64]) == len(found[4])
    assert len(found[64]) <= 5


@on_cuda
@pytest.mark.parametrize("spans", [False, True])
def test_a_step_waits_for_the_device_once(spans):
    "The CRF looks at its transitions; all else goes on without a look"
    model, make = tagger_at_work(spans)
    sentences = make(16)
    for sentence in sentences:
        for token in sentence:
            (token if not spans else sentence[0:1]).set_label("ner", "NAME")
    dataset = SentenceDataset.of(sentences)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train().prepare([dataset.table])
    for _ in range(2):
        with Waits() as waits:
            train_step(model, optimizer, Batch(dataset.table, dataset.rows, HERE))
    print(waits.places)
    assert len(waits.places) <= 2


@on_cuda
def test_predicting_keeps_no_memory_of_the_device():
    model, sentences = tagger(use_crf=True)
    model.to(HERE)
    used = []
    for _ in range(3):
        model.predict(copy.deepcopy(sentences))
        used.append(torch.cuda.memory_allocated())
    assert used[1] == used[2]


@on_cuda
def test_a_batch_that_does_not_fit_is_read_in_pieces():
    words = [f"w{n}" for n in range(200)]
    sentences = [Sentence(words).add_label("topic", "A") for _ in range(64)]
    vectors = classes.OneHotEmbeddings(Dictionary.of(words), embedding_length=64)
    embeddings = classes.DocumentRNNEmbeddings(vectors, 512)
    model = classes.classifier_of(embeddings=embeddings).to(HERE).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batch = batch_of(sentences, HERE)
    most = {}
    for size in (None, 8):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        gradients_that_fit(model, optimizer, batch, size)
        most[size] = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    assert most[8] < 0.7 * most[None]
    whole = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((most[8] + most[None]) / 2 / whole)
    try:
        *_, chunk = gradients_that_fit(model, optimizer, batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert chunk is not None and 8 <= chunk < 64


def test_the_device_of_new_models_can_be_set(monkeypatch):
    monkeypatch.delenv("FLAIRNB_DEVICE", raising=False)
    try:
        flairnb.device = HERE
        model, _ = tagger()
        assert model.device.type == HERE.type
    finally:
        vars(flairnb).pop("device", None)


def test_torchrun_trains_here(tmp_path, monkeypatch):
    "One process on one device, with NCCL where it is CUDA"
    monkeypatch.setenv("FLAIRNB_DEVICE", str(HERE))
    train_by_torchrun(tmp_path, processes=1)
    assert (tmp_path / "out" / "final-model.pt").is_file()

"Vectors that are computed once: the same training, and nothing left behind"

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_transformers import make
from torch import nn

from flairnb.batches import Batch
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import (
    CharacterEmbeddings,
    DocumentPoolEmbeddings,
    DocumentTFIDFEmbeddings,
    FlairEmbeddings,
    OneHotEmbeddings,
    PooledFlairEmbeddings,
    StackedEmbeddings,
    TransformerWordEmbeddings,
    base,
)
from flairnb.embeddings.base import (
    Embeddings,
    StoragePlan,
    choose_storage,
    drop_stores,
    free_disk,
    free_memory,
    open_stored,
    store_vectors,
    stored_file,
)
from flairnb.foundation import set_seed
from flairnb.models import SequenceTagger
from flairnb.models.language_model import LanguageModel
from flairnb.trainers import ModelTrainer
from flairnb.trainers.steps import train_step

TEXTS = ["Ada met Bob", "he saw Cid and Dora", "she met them", "Emma ran", "we saw it"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vectors"


@pytest.fixture
def messages():
    found, handler = [], logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger = logging.getLogger("flairnb")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def sentences_of(texts):
    made = [Sentence(text) for text in texts]
    for token in (token for sentence in made for token in sentence):
        token.set_label("upos", "NAME" if token.text[:1].isupper() else "WORD")
    return made


def corpus_of(train=TEXTS * 3, dev=TEXTS[:3], test=TEXTS[3:]):
    splits = [sentences_of(split) for split in (train, dev, test)]
    return Corpus(*splits, name="letters", sample_missing_splits=False)


class Counter:
    "Stands in for the model's `read`, and counts what passes"

    def __init__(self, model):
        self.read, self.characters, self.calls = model.read, 0, 0
        model.read = self

    def __call__(self, characters, state=None):
        self.characters += characters.numel()
        self.calls += 1
        return self.read(characters, state)


def language_model(forward=True, seed=0):
    torch.manual_seed(seed)
    letters = Dictionary.of("\n abcdehimnorstwABCDE", add_unk=True)
    made = LanguageModel(letters, forward, 6, 1, 4).eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return made


def tagger_for(corpus, parts=None, **chosen):
    if parts is None:
        parts = [FlairEmbeddings(language_model())]
    torch.manual_seed(1)
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    stack, tags = StackedEmbeddings([*parts, words]), Dictionary.of(["NAME", "WORD"])
    return SequenceTagger(stack, tags, "upos", hidden_size=4, **chosen)


def train(folder, mode, corpus=None, model=None, **chosen):
    corpus = corpus or corpus_of()
    model = tagger_for(corpus) if model is None else model
    chosen = {"max_epochs": 3, "mini_batch_size": 4, "seed": 1} | chosen
    chosen |= {"embeddings_storage_mode": mode}
    found = ModelTrainer(model, corpus).train(folder, **chosen)
    return model, found


def same(one, other, **close):
    ours, theirs = one.state_dict(), other.state_dict()
    alike = torch.equal if not close else lambda a, b: torch.allclose(a, b, **close)
    return ours.keys() == theirs.keys() and all(
        alike(ours[name], theirs[name]) for name in ours
    )


def stores_of(model):
    parts = [part for part in model.modules() if isinstance(part, Embeddings)]
    return [part for part in parts if part.stores.by_table]


def dataset_of(texts=TEXTS):
    return SentenceDataset.of([Sentence(text) for text in texts])


# --- the same training ---


@pytest.fixture(scope="module")
def without_store(tmp_path_factory):
    return train(tmp_path_factory.mktemp("none"), "none")


@pytest.mark.parametrize("mode", ["cpu", "disk", "auto"])
def test_every_mode_leads_to_the_same_weights(tmp_path, mode, without_store):
    model, found = train(tmp_path / mode, mode)
    assert same(model, without_store[0])
    assert found == without_store[1]
    assert (tmp_path / mode / "best-model.pt").read_bytes()


@pytest.mark.parametrize("mode", ["cpu", "disk"])
def test_half_precision_is_close(tmp_path, mode, without_store):
    chosen = {"embeddings_storage_precision": "float16"}
    model, _ = train(tmp_path / mode, mode, **chosen)
    assert not same(model, without_store[0])
    assert same(model, without_store[0], atol=2e-3, rtol=0)


def test_the_same_with_downsampling_and_new_labels(tmp_path):
    models = []
    for mode in ("none", "cpu", "disk"):
        set_seed(3)
        corpus = corpus_of().downsample(0.6)
        model, _ = train(tmp_path / f"{mode}-1", mode, corpus)
        for sentence in corpus.train:
            for token in sentence:
                token.set_label("upos", "NAME" if len(token.text) > 3 else "WORD")
        train(tmp_path / f"{mode}-2", mode, corpus, model)
        models.append(model)
    assert same(*models[:2]) and same(*models[1:])


def test_the_same_where_two_parts_share_a_model(tmp_path):
    models = []
    for mode in ("none", "cpu"):
        lm, corpus = language_model(), corpus_of()
        shared = [FlairEmbeddings(lm), FlairEmbeddings(lm, with_whitespace=False)]
        model = tagger_for(corpus, shared)
        train(tmp_path / mode, mode, corpus, model)
        models.append(model)
        saved = SequenceTagger.load(tmp_path / mode / "best-model.pt")
        assert same(saved, model)
    assert same(*models)


def test_what_was_remembered_is_the_same(tmp_path):
    models = []
    for mode in ("none", "cpu"):
        corpus = corpus_of()
        part = PooledFlairEmbeddings(FlairEmbeddings(language_model()))
        counter = Counter(part.context_embeddings.lm)
        model = tagger_for(corpus, [part])
        train(tmp_path / mode, mode, corpus, model, use_final_model_for_eval=True)
        models.append((model, counter.characters))
        saved = SequenceTagger.load(tmp_path / mode / "final-model.pt")
        words = {word for text in TEXTS for word in text.split()}
        assert set(saved.embeddings.parts[0].memory.rows) == words
    assert same(models[0][0], models[1][0])
    assert models[1][1] < models[0][1] / 2


# --- once per corpus ---


@pytest.mark.parametrize("mode", ["cpu", "disk"])
def test_three_epochs_read_every_sentence_once(tmp_path, mode):
    corpus = corpus_of()
    model = tagger_for(corpus)
    lm = model.embeddings.parts[0].lm
    counter = Counter(lm)
    train(tmp_path / "run", mode, corpus, model, monitor_test=True)
    texts = TEXTS * 3 + TEXTS[:3] + TEXTS[3:]
    needed = sum(len(text) + 2 for text in texts)
    assert needed <= counter.characters <= 1.6 * needed  # with the padding
    read = counter.characters
    for part in (corpus.train, corpus.dev, corpus.test):
        model.embeddings.parts[0].embed(part)
    assert counter.characters - read >= read * 0.8  # one more pass
    counter.characters = 0
    train(tmp_path / "again", mode, corpus, model)
    assert counter.characters == (read if mode == "cpu" else 0)


def test_nothing_is_left_after_training(tmp_path):
    model, _ = train(tmp_path, "cpu")
    assert not stores_of(model)
    sentence = Sentence("Ada saw Bob")
    counter = Counter(model.embeddings.parts[0].lm)
    model.predict(sentence)
    assert counter.characters and sentence[0].get_label("upos").value
    assert not stores_of(model) and not sentence[0].embedding.numel()


def test_nothing_is_left_after_a_failure(tmp_path):
    model = tagger_for(corpus_of())
    with pytest.raises(FloatingPointError):
        train(tmp_path, "cpu", model=model, learning_rate=1e30)
    assert not stores_of(model)


def test_dynamic_parts_are_never_stored():
    lm = language_model()
    parts = [
        CharacterEmbeddings(),
        FlairEmbeddings(lm, fine_tune=True),
        PooledFlairEmbeddings(FlairEmbeddings(language_model())),
        FlairEmbeddings(language_model(False)),
    ]
    stack, dataset = StackedEmbeddings(parts), dataset_of()
    told = store_vectors(stack, [dataset])
    assert len(told) == 2 and len(stores_of(stack)) == 2
    assert stores_of(stack) == [parts[2].context_embeddings, parts[3]]
    drop_stores(stack)
    assert not stores_of(stack)


def test_vectors_of_documents():
    sentences = [Sentence(text) for text in TEXTS]
    dataset = SentenceDataset.of(sentences)
    inner = FlairEmbeddings(language_model())
    for made in (DocumentTFIDFEmbeddings(sentences), DocumentPoolEmbeddings(inner)):
        batch = Batch(dataset.table, dataset.rows[1:4])
        expected = made.vectors_of(batch)
        store_vectors(made, [dataset])
        assert stores_of(made)
        assert torch.allclose(made.vectors_of(batch), expected, atol=1e-6)
        drop_stores(made)


def test_other_sentences_are_computed_as_ever():
    made, dataset = FlairEmbeddings(language_model()), dataset_of()
    part = SentenceDataset(dataset.table, dataset.rows[:2])
    store_vectors(made, [part, part])
    counter = Counter(made.lm)
    inside = made.vectors_of(Batch(dataset.table, dataset.rows[:2]))
    assert not counter.characters
    both = made.vectors_of(Batch(dataset.table, dataset.rows))
    assert counter.characters
    assert torch.allclose(both[:2, : inside.shape[1]], inside, atol=1e-6)
    counter.characters = 0
    made.vectors_of(Batch(dataset_of().table, dataset.rows[:2]))
    assert counter.characters


def test_an_empty_sentence_takes_no_place():
    made = FlairEmbeddings(language_model())
    dataset = dataset_of(["a b", "", "c"])
    store_vectors(made, [dataset])
    batch = Batch(dataset.table, dataset.rows)
    found = made.vectors_of(batch)
    assert found.shape == (3, 2, 6) and not found[1].any() and not found[2, 1].any()
    assert torch.allclose(found, made(batch), atol=1e-6)


# --- on disk ---


def test_a_second_run_finds_the_file(cache):
    texts = ["a b c", "a", "b a"]
    for number in range(2):
        made = FlairEmbeddings(language_model())
        counter, dataset = Counter(made.lm), dataset_of(texts)
        store_vectors(made, [dataset], "disk")
        assert bool(counter.characters) == (number == 0)
        assert len(list(cache.iterdir())) == 1
        found = made.vectors_of(Batch(dataset.table, dataset.rows))
        assert not counter.characters or number == 0
        expected = made(Batch(dataset.table, dataset.rows))
        assert torch.allclose(found, expected, atol=1e-6)


def key_of(texts=("a b", "c"), rows=None, precision="float32", **chosen):
    model = chosen.pop("model", None) or language_model()
    dataset = dataset_of(list(texts))
    rows = dataset.rows if rows is None else np.array(rows)
    part = FlairEmbeddings(model, **chosen)
    return StoragePlan(part, dataset.table, rows, precision).key


def test_a_file_is_named_by_all_that_matters():
    first = key_of()
    assert key_of() == first and len(first) == 64
    others = [
        key_of(["a b", "d"]),
        key_of(["a", "b c"]),
        key_of(["c", "a b"]),
        key_of(rows=[0]),
        key_of(precision="float16"),
        key_of(model=language_model(seed=1)),
        key_of(with_whitespace=False),
        key_of(is_lower=True),
    ]
    assert len({first, *others}) == 9


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "cut by one": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
    "one bit": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "no array": lambda data: b"something else" * 99,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_again(cache, damage):
    made, dataset = FlairEmbeddings(language_model()), dataset_of()
    store_vectors(made, [dataset], "disk")
    batch = Batch(dataset.table, dataset.rows)
    expected = made.vectors_of(batch)
    drop_stores(made)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    counter = Counter(made.lm)
    store_vectors(made, [dataset], "disk")
    assert counter.characters and file.read_bytes() == whole
    assert torch.equal(made.vectors_of(batch), expected)


def test_a_disk_that_is_too_small(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(base, "free_disk", lambda folder: 1000)
    corpus = corpus_of()
    words = sum(len(text.split()) for text in TEXTS * 4)
    message = rf"'disk' needs {words * 6 * 4:,} bytes in .*cache, where 1,000 are free"
    with pytest.raises(OSError, match=message):
        train(tmp_path / "run", "disk", corpus)
    assert not cache.exists()
    monkeypatch.setattr(base, "free_disk", free_disk)
    train(tmp_path / "run", "disk", corpus)
    monkeypatch.setattr(base, "free_disk", lambda folder: 1000)
    train(tmp_path / "run", "disk", corpus)  # what is there takes no more room


def test_what_fails_leaves_no_file(cache, monkeypatch):
    made = FlairEmbeddings(language_model())
    monkeypatch.setattr(made.lm, "read", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store_vectors(made, [dataset_of()], "disk")
    assert not list(cache.iterdir()) and not stores_of(made)


def test_no_sentences(cache):
    made, dataset = FlairEmbeddings(language_model()), dataset_of([""])
    for mode in ("disk", "cpu"):
        store_vectors(made, [dataset], mode)
        found = made.vectors_of(Batch(dataset.table, dataset.rows))
        assert found.shape == (1, 0, 6)
        drop_stores(made)


def test_two_that_fill_one_cache_at_once(cache):
    def one(_):
        made, dataset = FlairEmbeddings(models.pop()), dataset_of()
        store_vectors(made, [dataset], "disk")
        return made.vectors_of(Batch(dataset.table, dataset.rows))

    models = [language_model() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert len(list(cache.iterdir())) == 1


def test_a_file_of_another_shape_is_not_taken():
    made, dataset = FlairEmbeddings(language_model()), dataset_of()
    store_vectors(made, [dataset], "disk")
    plan = StoragePlan(made, dataset.table, dataset.rows)
    assert open_stored(stored_file(plan), plan) is not None
    for other in (
        StoragePlan(made, dataset.table, dataset.rows[:2]),
        StoragePlan(made, dataset.table, dataset.rows, "float16"),
    ):
        assert open_stored(stored_file(plan), other) is None


# --- where ---


def test_a_gpu_that_is_not_there(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="needs a model on a GPU, this one is on the"):
        train(tmp_path, "gpu")
    with pytest.raises(ValueError, match="embeddings_storage_mode is one of 'none'"):
        train(tmp_path, "ram")


CPU = torch.device("cpu")


def test_auto_takes_the_first_place_with_room(monkeypatch):
    monkeypatch.setattr(base, "free_memory", lambda: 1000)
    monkeypatch.setattr(base, "free_disk", lambda folder: 10_000)
    assert choose_storage("auto", 500, CPU)[0] == "cpu"
    assert choose_storage("auto", 501, CPU)[0] == "disk"
    assert choose_storage("auto", 5001, CPU) == (
        "none",
        "5,001 bytes of vectors fit nowhere within the budget",
    )
    assert choose_storage("auto", 900, CPU, budget=900) == (
        "cpu",
        "900 bytes of vectors, 900 allowed there",
    )
    assert choose_storage("auto", 901, CPU, budget=900)[0] == "none"
    assert choose_storage("auto", 1001, CPU, budget=5000)[0] == "disk"
    assert choose_storage("cpu", 1001, CPU) == (
        "none",
        "1,001 bytes of vectors do not fit into 1,000 bytes of free memory",
    )


def test_a_budget_is_for_all_parts_together(tmp_path, messages):
    corpus = corpus_of()
    size = sum(len(text.split()) for text in TEXTS * 4) * 6 * 4
    for budget, places in ((2 * size, ["cpu", "cpu"]), (2 * size - 1, ["cpu", "none"])):
        two = [FlairEmbeddings(language_model(x), name=str(x)) for x in (True, False)]
        chosen = {"embeddings_storage_budget": budget, "max_epochs": 1}
        train(tmp_path, "auto", corpus, tagger_for(corpus, two), **chosen)
        told = [line for line in messages if line.startswith("vectors of")]
        assert [line.split(": ")[1].split(" ")[0] for line in told] == places
        assert f"{size:,} bytes of vectors" in told[0]
        messages.clear()


def test_free_places():
    assert 1 << 20 < free_memory() < 1 << 50
    assert free_disk(Path("/no/such/folder")) > 0
    if os.path.exists("/proc/meminfo"):
        assert free_memory() >= os.sysconf("SC_AVPHYS_PAGES") * 4096 // 4


# --- pieces of a batch ---


@pytest.mark.parametrize("use_crf", [True, False])
@pytest.mark.parametrize("size", [1, 3, 4])
def test_pieces_give_the_gradient_of_the_whole(use_crf, size):
    corpus = corpus_of()
    lm = language_model()
    parts = [FlairEmbeddings(lm, fine_tune=True), CharacterEmbeddings(None, 3, 3)]
    drops = {"dropout": 0.0, "word_dropout": 0.0, "locked_dropout": 0.0}
    model = tagger_for(corpus, parts, use_crf=use_crf, **drops)
    model.learn_from(corpus.train)
    lm.drop.p = 0.0
    model.double().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    dataset, found = SentenceDataset.of(corpus.train), []
    batch = Batch(dataset.table, dataset.rows[:7])
    for chunk in (None, size):
        total, points = train_step(model, optimizer, batch, chunk, max_norm=None)
        grads = {
            n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None
        }
        found.append((total, points, grads))
    (loss, points, whole), (other, same_points, pieces) = found
    assert points == same_points == int(batch.lengths.sum())
    assert torch.allclose(loss, other, atol=1e-10) and loss.dtype == torch.float64
    assert whole.keys() == pieces.keys() and len(whole) > 10
    for name, gradient in whole.items():
        assert torch.allclose(gradient, pieces[name], rtol=0, atol=1e-10), name
        assert gradient.any() or "decoder" in name, name


def test_pieces_lead_to_the_same_training(tmp_path):
    drops = {"dropout": 0.0, "word_dropout": 0.0, "locked_dropout": 0.0}
    models = []
    for chunk in (None, 2):
        model = tagger_for(corpus_of(), **drops)
        chosen = {"mini_batch_chunk_size": chunk, "max_epochs": 2}
        train(tmp_path / str(chunk), "cpu", model=model, **chosen)
        models.append(model)
    assert same(*models, atol=1e-5)


def test_vectors_depend_on_the_context_that_a_user_gave(tmp_path, cache):
    folder = make(tmp_path / "bert")
    made = TransformerWordEmbeddings(folder, fine_tune=False, use_context=True)

    def stored(before: str, within: bool = True) -> np.ndarray:
        sentence = Sentence(["It", "was", "late"]).set_context(Sentence(before))
        sentence.start_of_document = not within
        dataset = SentenceDataset.of([sentence])
        holder = nn.ModuleList([made])
        store_vectors(holder, [dataset], "disk")
        found = made.stores.take(Batch(dataset.table, dataset.rows), made.device)
        drop_stores(holder)
        return found.numpy()

    first, other = stored("the sea"), stored("quick love")
    assert np.abs(first - other).max() > 1e-4
    assert np.abs(first - stored("the sea", within=False)).max() > 1e-4
    assert np.array_equal(first, stored("the sea"))

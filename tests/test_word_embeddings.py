"""Word vectors held against gensim, and against what Flair 0.15.1 printed."""

import copy
import gc
import json
import pickle
import random
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn.functional import layer_norm

from flairnb.batches import Batch
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import OneHotEmbeddings, StackedEmbeddings, WordEmbeddings
from flairnb.embeddings.base import build, describe
from flairnb.embeddings.word import WordTable, find_rows, pack_words, unpack_words
from flairnb.foundation import sha256_of

GLOVE = Path(__file__).parents[2] / "shared/corpora/glove/glove.6B.100d.top2717.txt"
WORDS = ["the", "Berlin", "paris", "19##", "####", "1000", "##0", "00", "o", "NNP"]
WORDS += ["nnp", "ß", "x#y", "i̇"]
MATRIX = np.arange(len(WORDS) * 3, dtype=np.float32).reshape(-1, 3) / 8 + 1


def keyed(words=WORDS, matrix=MATRIX) -> KeyedVectors:
    made = KeyedVectors(matrix.shape[1])
    made.add_vectors(list(words), np.array(matrix))
    return made


def batch_of(*texts: str) -> Batch:
    dataset = SentenceDataset.of([Sentence(text) for text in texts])
    return Batch(dataset.table, dataset.rows)


@pytest.fixture
def home(tmp_path, monkeypatch):
    "A cache of our own and no network"
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.delenv("FLAIRNB_MIRRORS", raising=False)
    return tmp_path


def round_trip(made, folder: Path):
    "Through JSON and a safetensors file, as model files do it"
    save_file({k: v.clone() for k, v in made.state_dict().items()}, folder / "m")
    loaded = build(json.loads(json.dumps(describe(made))))
    loaded.load_state_dict(load_file(folder / "m"), strict=True, assign=True)
    return loaded.eval()


# --- looking words up ---

FLAIR = {  # word asked: word whose vector Flair 0.15.1 gives
    **{"the": "the", "The": "the", "THE": "the", "Berlin": "Berlin", "BERLIN": None},
    **{"berlin": None, "Paris": "paris", "1999": "####", "19##": "19##"},
    **{"1000": "1000", "1234": "####", "2000": "####", "12": "00", "00": "00"},
    **{"99": "00", "990": None, "550": None, "X1Y": "x#y", "x5Y": "x#y"},
    **{"٣٤٥٦": "####", "１２３４": "####", "²²²²": None, "İ": "i̇", "ẞ": "ß"},
    **{
        "zzz": None,
        "O": "o",
        "NNP": "NNP",
        "nnp": "nnp",
        "NnP": "nnp",
        "1９9９": "####",
    },
}


def test_spellings_are_tried_as_flair_tries_them():
    found = find_rows([*FLAIR], {word: row for row, word in enumerate(WORDS)})
    names = [WORDS[row] if row >= 0 else None for row in found]
    assert dict(zip(FLAIR, names, strict=True)) == FLAIR


def by_the_book(word, rows):
    "The four spellings, one by one"
    digits = [str.lower(word)] * 2
    for place, sign in enumerate("#0"):
        digits[place] = "".join(sign if c.isdecimal() else c for c in digits[place])
    for spelling in (word, word.lower(), *digits):
        if spelling in rows:
            return rows[spelling]
    return -1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.text("aA1#0²٣İ", max_size=4)), st.sets(st.text("a1#0A", max_size=3)))
def test_rows_of_random_words(words, known):
    rows = {word: row for row, word in enumerate(sorted(known))}
    assert find_rows(words, rows).tolist() == [by_the_book(w, rows) for w in words]


def test_vectors_are_gensims(home):
    keyed().save(str(home / "t.gensim"))
    vectors, embeddings = keyed(), WordEmbeddings(home / "t.gensim")
    batch = batch_of("the Paris 1999", "zzz Berlin")
    expected = [[vectors[w] for w in ("the", "paris", "####")], [np.zeros(3)]]
    expected[1] += [vectors["Berlin"], np.zeros(3)]
    assert np.array_equal(embeddings(batch).numpy(), np.array(expected))
    assert embeddings.vocab == vectors.key_to_index
    assert embeddings.get_names() == ["t"] and embeddings.embedding_length == 3


def test_field_and_stable_as_flair(home):
    sentence = Sentence("a b")
    sentence[0].add_label("pos", "NNP")
    WordEmbeddings.from_vectors(WORDS, MATRIX, field="pos").embed(sentence)
    assert sentence[0].embedding.tolist() == [4.375, 4.5, 4.625]
    assert sentence[1].embedding.tolist() == [4.0, 4.125, 4.25]  # of "O", lower case
    for fine_tune in (False, True):
        settings = {"stable": True, "fine_tune": fine_tune}
        made = WordEmbeddings.from_vectors(WORDS, MATRIX, **settings)
        found = made(batch_of("the zzz"))[0].detach().numpy()
        assert np.allclose(found, [[-1.2242, 0, 1.2242], [0, 0, 0]], atol=1e-4)
        trained = {n for n, _ in made.named_parameters() if "layer_norm" in n}
        assert len(trained) == (2 if fine_tune else 0)


def test_a_field_that_no_table_has():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, field="pos")
    sentence = Sentence("a b")
    sentence[0].add_label("upos", "NNP")
    with pytest.raises(ValueError, match=r"mean 'upos'"):
        made.prepare([SentenceDataset.of([sentence]).table])


# --- what is in memory ---


def test_only_used_rows_are_gathered():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX)
    batch = batch_of("the The THE 1999 1234", "zzz Berlin the")
    made(batch)
    gathered = made.rows._memory.get(batch.table, None)
    assert np.array_equal(gathered.matrix[1:], MATRIX[[0, 1, 4]])
    assert not gathered.matrix[0].any()
    assert not list(made.parameters())


@pytest.mark.parametrize("fine_tune", [False, True])
def test_padding_is_zero(fine_tune):
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=fine_tune)
    batch = batch_of("the Berlin paris", "the")
    assert not made(batch)[1, 1:].any() and made(batch)[1, 0].all()


def test_the_device_gets_the_gathered_rows_only():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX)
    batch = batch_of("the Berlin")
    away = Batch(batch.table, batch.rows, "meta")
    assert made(away).device.type == "meta" and made(away).shape == (1, 2, 3)
    assert made.to("meta")(batch_of("the")).tolist() == [[MATRIX[0].tolist()]]


def test_a_finished_request_leaves_nothing():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX)
    for number in range(5):
        made(batch_of(f"the word {number}"))
    gc.collect()
    assert len(made.rows._memory._known) == 0


def test_a_large_gensim_file_is_mapped(home):
    keyed().save(str(home / "t.gensim"), sep_limit=0)
    table = WordEmbeddings(home / "t.gensim").rows.table
    assert isinstance(table.vectors, np.memmap)
    assert copy.deepcopy(table) is table
    whole = (home / "t.gensim.vectors.npy").read_bytes()
    trained = WordEmbeddings(home / "t.gensim", fine_tune=True)
    with torch.no_grad():
        trained.rows.weight.add_(1)
    table.vectors[0] = 7
    assert (home / "t.gensim.vectors.npy").read_bytes() == whole


def test_copies_are_independent():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    batch = batch_of("the zzz Berlin")
    made(batch)
    twin = copy.deepcopy(made)
    pickled = pickle.loads(pickle.dumps(made))
    with torch.no_grad():
        made.rows.weight.add_(1)
    for other in (twin, pickled):
        assert other(batch)[0, 0].tolist() == MATRIX[0].tolist()


def test_the_callers_matrix_is_copied():
    matrix = MATRIX.copy()
    made = WordEmbeddings.from_vectors(WORDS, matrix, fine_tune=True)
    fixed = WordEmbeddings.from_vectors(WORDS, matrix)
    with torch.no_grad():
        made.rows.weight.add_(1)
    assert np.array_equal(matrix, MATRIX)
    matrix[:] = 0
    assert made(batch_of("the"))[0, 0].tolist() == (MATRIX[0] + 1).tolist()
    assert fixed(batch_of("the"))[0, 0].tolist() == MATRIX[0].tolist()


@pytest.mark.parametrize("prepared", [False, True])
def test_two_embeddings_may_share_a_table(prepared):
    table = WordTable(WORDS, MATRIX.copy())
    made, other = WordEmbeddings(table, fine_tune=True), WordEmbeddings(table)
    batch = batch_of("the Berlin")
    if prepared:
        made.prepare([batch.table])
    with torch.no_grad():
        made.rows.weight.add_(1)
    assert made.state_dict()["rows.vectors"][0].tolist() == (MATRIX[0] + 1).tolist()
    assert np.array_equal(table.vectors, MATRIX)
    assert other(batch)[0].tolist() == MATRIX[:2].tolist()


# --- training ---


def test_gradient_reaches_only_used_rows():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    made.prepare([batch_of("the Berlin", "1999 zzz").table])
    assert np.array_equal(made.rows.trained, [0, 1, 4])
    batch = batch_of("Berlin paris zzz", "the")  # paris is no parameter
    (made(batch) * batch.mask[..., None]).sum().backward()
    assert made.rows.weight.grad.tolist() == [[1] * 3, [1] * 3, [0] * 3]
    assert made.rows.unknown.grad.tolist() == [[1] * 3]
    assert made(batch)[0, 1].tolist() == MATRIX[2].tolist()


def test_all_rows_learn_without_prepare():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    made(batch_of("paris paris")).sum().backward()
    assert made.rows.weight.grad[2].tolist() == [2] * 3
    assert made.rows.weight.grad.abs().sum() == 6


def test_training_steps_equal_torchs_embedding():
    torch.manual_seed(0)
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    batch = batch_of("the zzz Berlin", "1999 qqq")
    made.prepare([batch.table])
    oracle = torch.nn.Embedding.from_pretrained(
        torch.from_numpy(np.vstack([MATRIX, np.zeros((1, 3), np.float32)])), False
    )
    numbers = torch.tensor([[0, 14, 1], [4, 14, 14]])
    target = torch.randn(2, 3, 3)
    pairs = [(made, lambda: made(batch)), (oracle, lambda: oracle(numbers))]
    for module, forward in pairs:
        optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = ((forward() - target) ** 2 * batch.mask[..., None]).sum()
            loss.backward()
            optimizer.step()
    assert torch.allclose(made(batch)[batch.mask], oracle(numbers)[batch.mask])


def test_what_was_learned_is_saved_and_kept(tmp_path):
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    first, second = batch_of("the Berlin zzz"), batch_of("paris")
    made.prepare([first.table])
    with torch.no_grad():
        made.rows.weight.add_(1)
        made.rows.unknown.add_(5)
    expected = MATRIX.copy()
    expected[[0, 1]] += 1
    assert np.array_equal(made.state_dict()["rows.vectors"], expected)
    loaded = round_trip(made, tmp_path)
    assert loaded(first).tolist() == made(first).tolist()
    assert loaded(second).tolist() == made(second).tolist()
    parameter = made.rows.weight
    made.prepare([first.table])
    assert made.rows.weight is parameter  # nothing new: the optimizer may go on
    made.prepare([second.table])
    assert made.rows.trained.tolist() == [0, 1, 2]
    assert np.array_equal(made.rows.weight.detach(), expected[:3])


def test_training_before_prepare_is_kept():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    with torch.no_grad():
        made.rows.weight.add_(1)
    batch = batch_of("Berlin")
    assert made(batch)[0].tolist() == (MATRIX[1:2] + 1).tolist()
    made.prepare([batch.table])
    assert made.rows.weight.shape == (1, 3)
    assert made(batch)[0].tolist() == (MATRIX[1:2] + 1).tolist()
    assert made(batch_of("the Berlin"))[0].tolist() == (MATRIX[:2] + 1).tolist()


@pytest.mark.parametrize("stored", ["all", "corpus"])
def test_a_run_goes_on_from_a_checkpoint(stored):
    settings = {"fine_tune": True, "stored_rows": stored}
    first, second = (
        WordEmbeddings.from_vectors(WORDS, MATRIX, **settings) for _ in range(2)
    )
    batch = batch_of("the Berlin 1999 zzz")
    for made in (first, second):
        made.prepare([batch.table])
    with torch.no_grad():
        first.rows.weight.add_(1)
        first.rows.unknown.sub_(1)
    parameters = list(second.parameters())
    state = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    second.load_state_dict(state)
    assert all(a is b for a, b in zip(parameters, second.parameters(), strict=True))
    assert second(batch).tolist() == first(batch).tolist()
    with torch.no_grad():
        second.rows.weight.add_(1)
    assert torch.equal(first.state_dict()["rows.vectors"], state["rows.vectors"])


def test_no_words_of_the_corpus_are_known():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    batch = batch_of("zzz qqq")
    made.prepare([batch.table])
    made(batch).sum().backward()
    assert made.rows.unknown.grad.tolist() == [[2] * 3]


# --- model files ---


@pytest.mark.parametrize("fine_tune", [False, True])
@pytest.mark.parametrize("stable", [False, True])
def test_round_trip_of_all_rows(fine_tune, stable, tmp_path):
    settings = {"fine_tune": fine_tune, "stable": stable, "name": "mine"}
    table = WordTable(WORDS, MATRIX, "t")
    made = WordEmbeddings(table, field="pos", force_cpu=False, **settings)
    sentence = Sentence("a b c")
    sentence[1].add_label("pos", "Berlin")
    dataset = SentenceDataset.of([sentence])
    batch = Batch(dataset.table, dataset.rows)
    loaded = round_trip(made, tmp_path)
    assert loaded(batch).tolist() == made(batch).tolist()
    assert describe(loaded) == describe(made)
    assert loaded.vocab == made.vocab and loaded.name == "mine"


def test_round_trip_of_the_corpus_rows(tmp_path, capsys):
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, stored_rows="corpus")
    batch = batch_of("the Paris 1999 zzz")
    made.prepare([batch.table])
    assert made.state_dict()["rows.vectors"].shape == (3, 3)
    loaded = round_trip(made, tmp_path)
    assert loaded(batch).tolist() == made(batch).tolist()
    assert not loaded(batch_of("Berlin")).any()
    assert loaded.state_dict()["rows.vectors"].shape == (3, 3)
    assert capsys.readouterr().err == ""


def test_corpus_rows_without_a_corpus_warn(capsys):
    made = WordEmbeddings.from_vectors(WORDS, MATRIX, stored_rows="corpus")
    assert len(made.state_dict()["rows.vectors"]) == len(WORDS)
    assert "all rows are stored" in capsys.readouterr().err


def test_round_trip_of_a_reference(home, monkeypatch):
    shelf = home / "lab/embeddings/token/t.gensim"
    shelf.parent.mkdir(parents=True)
    keyed().save(str(shelf), sep_limit=0)
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(home / "lab"))
    made = WordEmbeddings(shelf, stored_rows="reference", stable=True)
    assert made.state_dict() == {}
    assert str(home) not in json.dumps(describe(made))
    loaded, batch = build(describe(made)), batch_of("the Paris")
    loaded.load_state_dict({}, strict=True, assign=True)
    assert loaded(batch).tolist() == made(batch).tolist()
    second = shelf.with_name("t.gensim.vectors.npy")
    expected = sha256_of(second)
    second.write_bytes(second.read_bytes()[:-1] + b"x")
    with pytest.raises(OSError, match=f"(?s)t.gensim.vectors.npy.*{expected}"):
        build(describe(made))
    first = sha256_of(shelf)
    shelf.unlink()
    with pytest.raises(OSError, match=f"(?s)token/t.gensim is not here.*{first}"):
        build(describe(made))


def test_a_stand_in_is_no_reference(home, monkeypatch):
    vectors = keyed()
    mirror(home, vectors, monkeypatch)
    made = WordEmbeddings("glove", stored_rows="reference")
    mirror(home, keyed(WORDS, MATRIX + 1), monkeypatch)
    with pytest.raises(OSError, match=r"not the file that the model was trained with"):
        build(describe(made))


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match=r"mean 'corpus'"):
        WordEmbeddings.from_vectors(WORDS, MATRIX, stored_rows="corpora")
    with pytest.raises(ValueError, match=r"a reference cannot restore"):
        settings = {"stored_rows": "reference", "fine_tune": True}
        WordEmbeddings.from_vectors(WORDS, MATRIX, **settings)
    with pytest.raises(ValueError, match=r"not read from a file"):
        WordEmbeddings.from_vectors(WORDS, MATRIX, stored_rows="reference")


def test_state_that_does_not_fit():
    made = WordEmbeddings.from_vectors(WORDS, MATRIX)
    state = made.state_dict()
    with pytest.raises(RuntimeError, match=r"Missing key.*rows.words"):
        made.load_state_dict({k: v for k, v in state.items() if k != "rows.words"})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*rows.weight"):
        made.load_state_dict({**state, "rows.weight": torch.ones(1)})
    with pytest.raises(RuntimeError, match=r"\(14, 2\), not \(words, 3\)"):
        made.load_state_dict({**state, "rows.vectors": state["rows.vectors"][:, :2]})
    with pytest.raises(RuntimeError, match=r"13 words do not fit"):
        short = {**state, "rows.word_lengths": state["rows.word_lengths"][:-1]}
        made.load_state_dict(short)
    trained = WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True)
    trained.prepare([batch_of("Berlin").table])
    other = WordEmbeddings.from_vectors(["the"], MATRIX[:1], fine_tune=True)
    with pytest.raises(RuntimeError, match=r"trained vector of 'Berlin' is missing"):
        trained.load_state_dict(other.state_dict())


@pytest.mark.parametrize("fine_tune", [False, True])
def test_loading_other_vectors(fine_tune):
    source = WordEmbeddings.from_vectors(WORDS, MATRIX + 1, fine_tune=fine_tune)
    made = WordEmbeddings.from_vectors(WORDS[:5], MATRIX[:5], fine_tune=fine_tune)
    batch = batch_of("the Berlin NNP")
    made(batch)
    state = source.state_dict()
    made.load_state_dict(state)
    assert made(batch).tolist() == source(batch).tolist()
    state["rows.vectors"].zero_()  # what was loaded without `assign` is a copy
    assert made(batch_of("Berlin"))[0, 0].tolist() == (MATRIX[1] + 1).tolist()


def test_loading_the_same_table_keeps_the_mapped_file(home):
    keyed().save(str(home / "t.gensim"), sep_limit=0)
    made = WordEmbeddings(home / "t.gensim")
    before = made.rows.table
    made.load_state_dict({k: v.clone() for k, v in made.state_dict().items()})
    assert made.rows.table is before


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text(st.characters(), max_size=5) | st.just("\udc80")))
def test_words_come_back_from_tensors(words):
    assert unpack_words(*pack_words(words)) == words


@pytest.mark.parametrize("fine_tune", [False, True])
def test_in_a_stack(fine_tune, tmp_path):
    torch.manual_seed(0)
    words = WordEmbeddings.from_vectors(WORDS, MATRIX, name="tiny", fine_tune=fine_tune)
    one_hot = OneHotEmbeddings(Dictionary.of(["the"], add_unk=True), embedding_length=2)
    stack = StackedEmbeddings([one_hot, words])
    sentence = Sentence("the Berlin")
    stack.embed(sentence)
    assert stack.get_names() == ["0-one-hot-text", "1-tiny"]
    assert sentence[1].embedding[2:].tolist() == MATRIX[1].tolist()
    batch = batch_of("the Berlin", "zzz")
    stack.prepare([batch.table])
    loaded = round_trip(stack, tmp_path)
    assert loaded(batch).tolist() == stack(batch).tolist()
    assert sentence[0].get_embedding(["1-tiny"]).tolist() == MATRIX[0].tolist()


# --- files ---


def mirror(home, vectors, monkeypatch, **save):
    "A mirror whose glove is something else, and says so"
    path = home / "mirror/embeddings/token/glove.gensim"
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors.save(str(path), **save)
    entries = {
        f"embeddings/token/{file.name}": {
            "size": file.stat().st_size,
            "sha256": sha256_of(file),
            "note": "a stand-in",
        }
        for file in path.parent.iterdir()
    }
    (home / "mirror/manifest.json").write_text(json.dumps(entries))
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(home / "mirror"))
    return path


@pytest.mark.skipif(not GLOVE.exists(), reason="needs the head of GloVe")
@pytest.mark.parametrize("save", [{}, {"sep_limit": 0}])
def test_a_mirror_may_offer_the_head_of_glove(home, monkeypatch, save):
    vectors = KeyedVectors.load_word2vec_format(str(GLOVE), no_header=True)
    mirror(home, vectors, monkeypatch, **save)
    embeddings = WordEmbeddings("glove")
    assert len(embeddings.vocab) == 2717 and embeddings.embedding_length == 100
    assert embeddings.name == "glove" and str(home) not in repr(embeddings)
    found = embeddings(batch_of("The 1990 qwrtz"))[0].numpy()
    assert np.array_equal(found[:2], [vectors["the"], vectors["1990"]])
    assert not found[2].any()
    assert np.array_equal(WordEmbeddings(GLOVE).rows.table.vectors, vectors.vectors)


@pytest.mark.parametrize("save", [{}, {"sep_limit": 0}])
def test_a_server_sends_the_second_file_if_there_is_one(home, monkeypatch, save):
    path, asked = mirror(home, keyed(), monkeypatch, **save), []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *about):
            asked.append(self.path)

    handler = partial(Quiet, directory=str(home / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("FLAIRNB_MIRRORS", address)
        monkeypatch.setenv("FLAIRNB_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        made = WordEmbeddings("glove")
        server.shutdown()
    assert np.array_equal(made.rows.table.vectors, MATRIX)
    assert any(".vectors.npy" in line for line in asked) == bool(save)
    assert path.parent not in {file.parent for file in made.rows.table.files}


def test_offline(home):
    with pytest.raises(
        FileNotFoundError, match=r"embeddings/token/twitter.gensim is not"
    ):
        WordEmbeddings("twitter")


def test_neither_name_nor_file(home):
    with pytest.raises(FileNotFoundError, match=r"no file 'twiter'.*mean 'twitter'"):
        WordEmbeddings("twiter")
    with pytest.raises(FileNotFoundError, match=r"no file 'vectors/mine.txt'"):
        WordEmbeddings("vectors/mine.txt")


@pytest.mark.parametrize(
    "file",
    [
        "v.txt",
        "v.vec",
        "v.dat",
        "v.bin",
        "v.gensim",
        "v.txt.gz",
        "v.bin.gz",
        "v.gensim.gz",
        "glove",
    ],
)
def test_formats_by_content(file, tmp_path):
    path, vectors = tmp_path / file, keyed()
    if "gensim" in file or file == "glove":
        vectors.save(str(path))
    else:
        vectors.save_word2vec_format(str(path), binary=".bin" in file)
    found = WordEmbeddings(path)
    assert list(found.vocab) == WORDS and found.name in ("v", "v.dat", "glove")
    assert np.array_equal(found.rows.table.vectors, MATRIX)


def test_headerless_text(tmp_path):
    path = tmp_path / "glove.2B.3d.txt"
    path.write_text("".join(f"{w} 1 2 3\n" for w in WORDS))
    for setting in (True, False):
        found = WordEmbeddings(path, no_header=setting)
        assert list(found.vocab) == WORDS and found.name == "glove.2B.3d"
    path.write_text("2 3\na 1 2 3\nb 1 2 3\n")
    with pytest.raises(
        ValueError, match=r"3d.txt: line 1 tells .* leave no_header out"
    ):
        WordEmbeddings(path, no_header=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2 3\nb 1 2\n", "line 2: 'b' has 2 numbers, not 3"),
        ("a 1 2 3\nb 1\n", "line 2: 'b' has 1 numbers, not 3"),
        ("2 3\na 1 2 3\nb 1\n", "line 3: 'b' has 1 numbers, not 3"),
        ("2 3\na 1 2 3\nb 1 2 x\n", "line 3: 'b': could not convert"),
        ("2 3\na 1 2 3\nb 1 nan 3\n", "line 3: the vector of 'b' holds NaN"),
        ("a 1 2 3\nb 1 inf 3\n", "line 2: the vector of 'b' holds NaN or inf"),
        ("2 3\na 1 2 3\na 1 2 3\n", "line 3: 'a' stands in line 2 already"),
        ("a 1 2 3\nb 1 2 3\na 1 2 3\n", "line 3: 'a' stands in line 1 already"),
        ("3 3\na 1 2 3\nb 1 2 3\n", "promises 3 words, it has 2"),
        ("a 1 2 3\n\nb 1 2 3\n", "line 2: '' has 0 numbers"),
        ("", "is empty"),
        ("\n", "line 1: '' has 0 numbers"),
        ("a\n", "line 1: 'a' has 0 numbers"),
        ("5 3\n", "promises 5 words, it has 0"),
    ],
)
def test_damaged_text(text, message, tmp_path):
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"v.txt.*({message})"):
        WordEmbeddings(path)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"a 1 2 3\n\xe9 1 2 3\n")
    with pytest.raises(ValueError, match=r"v.txt: line 2: not UTF-8"):
        WordEmbeddings(tmp_path / "v.txt")


def test_other_damaged_files(tmp_path):
    keyed().save_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    whole = (tmp_path / "v.bin").read_bytes()
    for size in (len(whole) - 2, len(whole) // 2):
        (tmp_path / "v.bin").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"v.bin: unexpected end"):
            WordEmbeddings(tmp_path / "v.bin")
    (tmp_path / "v.bin").write_bytes(whole.replace(MATRIX[5].tobytes(), b"\xff" * 12))
    with pytest.raises(ValueError, match=r"v.bin: the vector of '1000' holds NaN"):
        WordEmbeddings(tmp_path / "v.bin")
    (tmp_path / "v.bin").write_bytes(
        whole.replace(b"\nBerlin ", b"\nthe ").replace(b"Berlin ", b"the ")
    )
    with pytest.raises(ValueError, match=r"v.bin: a word stands in it more than once"):
        WordEmbeddings(tmp_path / "v.bin")
    (tmp_path / "cc.bin").write_bytes(b"\xba\x16\x4f\x2f" + bytes(50))
    with pytest.raises(ValueError, match=r"cc.bin .* take its .vec file"):
        WordEmbeddings(tmp_path / "cc.bin")


def test_damaged_gensim_files(tmp_path):
    path = tmp_path / "v.gensim"
    keyed().save(str(path), sep_limit=0)
    whole, second = path.read_bytes(), tmp_path / "v.gensim.vectors.npy"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"v.gensim is damaged"):
        WordEmbeddings(path)
    path.write_bytes(pickle.dumps({"no": "vectors"}))
    with pytest.raises(ValueError, match=r"v.gensim is damaged or not"):
        WordEmbeddings(path)
    path.write_bytes(whole)
    numbers = second.read_bytes()
    second.write_bytes(numbers[:-8])
    with pytest.raises(ValueError, match=r"v.gensim is damaged"):
        WordEmbeddings(path)
    second.unlink()
    with pytest.raises(FileNotFoundError, match=r"second file .*v.gensim.vectors.npy"):
        WordEmbeddings(path)
    second.write_bytes(numbers[:-4] + np.float32("nan").tobytes())
    damaged = WordEmbeddings(path)
    damaged(batch_of("the"))  # the bad row is not used
    with pytest.raises(ValueError, match=r"v.gensim: the vector of 'i̇' holds NaN"):
        damaged.prepare([batch_of("İ").table])


def test_vectors_from_memory_are_checked():
    with pytest.raises(ValueError, match=r"13 words do not fit .*\(14, 3\)"):
        WordEmbeddings.from_vectors(WORDS[:-1], MATRIX)
    with pytest.raises(ValueError, match=r"'the' has more than one"):
        WordEmbeddings.from_vectors(["the", "the"], MATRIX[:2])
    with pytest.raises(ValueError, match=r"'b' holds NaN"):
        WordEmbeddings.from_vectors(["a", "b"], [[1, 2], [3, float("inf")]])


def test_nothing_warns(tmp_path):
    locked = np.ascontiguousarray(MATRIX)
    locked.flags.writeable = False
    keyed().save(str(tmp_path / "v.gensim"), sep_limit=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in (WordTable(WORDS, locked), tmp_path / "v.gensim"):
            made = WordEmbeddings(source)
            made(batch_of("the"))
            made.state_dict()


# --- learned from scratch ---


def small_corpus():
    train = [Sentence("b a a . A"), Sentence("c a b .")]
    for sentence, place, tag in ((0, 0, "N"), (1, 1, "V"), (1, 2, "N")):
        train[sentence][place].add_label("pos", tag)
    return Corpus(train, [Sentence("c c c c")], sample_missing_splits=False)


@pytest.mark.parametrize(
    ("field", "min_freq", "items"),  # as Flair 0.15.1 makes them
    [
        ("text", 1, ["<unk>", "a", "b", ".", "A", "c"]),
        ("text", 2, ["<unk>", "a", "b", "."]),
        ("pos", 1, ["<unk>", "O", "N", "V"]),
        ("pos", 2, ["<unk>", "O", "N"]),
    ],
)
def test_one_hot_vocabulary_is_flairs(field, min_freq, items):
    settings = {"field": field, "min_freq": min_freq, "embedding_length": 4}
    made = OneHotEmbeddings.from_corpus(small_corpus(), **settings)
    assert made.vocab_dictionary.get_items() == items
    assert made.embedding_layer.weight.shape == (len(items), 4)
    assert made.name == f"one-hot-{field}"


def test_one_hot_counts_only_train_and_its_sample():
    train = [Sentence("a a a"), Sentence("b b b"), Sentence("a b c")]
    corpus = Corpus(SentenceDataset.of(train)[1:], sample_missing_splits=False)
    made = OneHotEmbeddings.from_corpus(corpus)
    assert made.vocab_dictionary.get_items() == ["<unk>", "b"]


@pytest.mark.parametrize("stable", [False, True])
def test_one_hot_round_trip(stable, tmp_path):
    torch.manual_seed(0)
    settings = {"field": "pos", "min_freq": 1, "stable": stable}
    made = OneHotEmbeddings.from_corpus(small_corpus(), **settings)
    train = small_corpus().train
    batch = Batch(train.table, train.rows)
    loaded = round_trip(made, tmp_path)
    assert loaded(batch).tolist() == made(batch).tolist()
    assert describe(loaded) == describe(made) and made.embedding_length == 300
    number = made.vocab_dictionary.get_idx_for_item
    numbers = torch.tensor([number("N"), number("O")])  # of b and a
    expected = made.embedding_layer.weight[numbers]
    expected = layer_norm(expected, (300,)) if stable else expected
    assert torch.allclose(made(batch)[0, :2], expected) and expected.requires_grad


def test_one_hot_is_xavier():
    torch.manual_seed(0)
    made = OneHotEmbeddings(Dictionary.of(map(str, range(500))), embedding_length=100)
    bound = (6 / 600) ** 0.5
    largest = made.embedding_layer.weight.abs().max().item()
    assert 0.98 * bound < largest <= bound


def test_one_hot_without_unk_names_the_word():
    made = OneHotEmbeddings(Dictionary.of(["sun", "moon"]), embedding_length=2)
    made(batch_of("sun", "moon sun"))
    with pytest.raises(IndexError, match=r"'moom'.*mean 'moon'"):
        made(batch_of("moom"))


def test_one_hot_needs_train_and_layer():
    with pytest.raises(ValueError, match=r"mean 'pos'"):
        OneHotEmbeddings.from_corpus(small_corpus(), field="poss")
    corpus = Corpus(dev=small_corpus().dev, sample_missing_splits=False)
    with pytest.raises(ValueError, match=r"no train split"):
        OneHotEmbeddings.from_corpus(corpus)


def test_vectors_do_not_depend_on_the_batch():
    rng = random.Random(0)
    words = [*WORDS, "zzz", "The", "1991"]
    sentences = [
        Sentence(" ".join(rng.choices(words, k=rng.randint(1, 6)))) for _ in range(20)
    ]
    for made in (
        WordEmbeddings.from_vectors(WORDS, MATRIX),
        WordEmbeddings.from_vectors(WORDS, MATRIX, fine_tune=True),
        OneHotEmbeddings(Dictionary.of(WORDS, add_unk=True), embedding_length=3),
    ):
        dataset = SentenceDataset.of(sentences)
        together = made(Batch(dataset.table, dataset.rows))
        for row, sentence in enumerate(sentences):
            alone = made(batch_of(sentence.text))
            assert alone[0].tolist() == together[row, : len(sentence)].tolist()

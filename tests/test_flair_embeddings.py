"Vectors of a character language model: Flair's own figures, each character read once"

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from flairnb.assets import AssetError
from flairnb.batches import Batch
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence, Token
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import FlairEmbeddings, PooledFlairEmbeddings, StackedEmbeddings
from flairnb.embeddings import flair as module
from flairnb.embeddings.base import build, describe
from flairnb.embeddings.flair import LANGUAGES, MINI, mini_model, published_models
from flairnb.models.language_model import LanguageModel
from flairnb.saving import ModelFileError, write_model_file

# Written by tests/make_flair_embedding_fixtures.py with Flair 0.15.1
FOLDER = Path(__file__).parent / "data" / "flair_embeddings"
CASES = json.loads((FOLDER / "cases.json").read_text("utf-8"))
VECTORS = load_file(FOLDER / "vectors.safetensors")
quick = settings(derandomize=True, deadline=None, max_examples=25)


def language_model(forward=True, seed=0, letters="\n abcdefgh", **chosen):
    torch.manual_seed(seed)
    known = Dictionary.of(letters, add_unk=True)
    made = LanguageModel(known, forward, 8, 1, 4, **chosen)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    return made.eval()


def sentence_of(words, gaps):
    if gaps is None:
        return Sentence(list(words))
    tokens = [Token(w, whitespace_after=g) for w, g in zip(words, gaps, strict=True)]
    return Sentence(tokens)


def one_by_one(embeddings, words, gaps=None):
    "Vectors of a sentence as its text says, letter by letter"
    gaps = [1] * len(words) if gaps is None else [*gaps[:-1], 1]
    model, forward = embeddings.lm, embeddings.is_forward_lm
    pieces = [*zip(words, gaps, strict=True)]
    known, state, found = model.dictionary, None, []
    text = [*model.document_delimiter]
    if not forward:
        befores = [0, *gaps[:-1]]
        pieces = [(w[::-1], g) for w, g in zip(words, befores, strict=True)][::-1]
        pieces[-1] = (pieces[-1][0], 1)
    with torch.no_grad():
        for word, gap in pieces:
            ends = []
            for letter in [*text, *word, *" " * gap]:
                number = known.get_idx_for_item(letter) if known.has_item(letter) else 0
                states, state = model.read(torch.tensor([[number]]), state)
                ends.append(states[0, 0])
            if not gap:  # the next letter, which is read twice here
                raise AssertionError("use gaps of 1 and above")
            found.append(ends[len(text) + len(word)])
            text = []
    return torch.stack(found if forward else found[::-1])


# --- Flair's figures ---


def kept(sentence):
    return range(0, len(sentence), max(1, len(sentence) // 8))


@pytest.mark.parametrize("number", range(len(CASES["cases"])))
@pytest.mark.parametrize("batch_size", [64, 1])
def test_equals_flair(number, batch_size):
    case = CASES["cases"][number]
    embeddings = FlairEmbeddings(FOLDER / f"{case['model']}.pt", **case["settings"])
    texts = CASES["gaps" if case["gaps"] else "texts"]
    sentences = [sentence_of(*text) for text in texts]
    for start in range(0, len(sentences), batch_size):
        embeddings.embed(sentences[start : start + batch_size])
    found = [s[i].embedding for s in sentences for i in kept(s)]
    expected = VECTORS[f"{number}-{batch_size}"]
    assert torch.allclose(torch.stack(found), expected, atol=1e-5)
    assert expected.abs().max() > 0.3


@pytest.mark.parametrize("number", range(len(CASES["pooled"])))
def test_equals_flairs_memory(number):
    case = CASES["pooled"][number]
    inner = FlairEmbeddings(FOLDER / "backward.pt")
    embeddings = PooledFlairEmbeddings(inner, **case).eval()
    found, size = [], inner.embedding_length
    for texts in CASES["seen"]:
        sentences = [Sentence(list(words)) for words in texts]
        embeddings.embed(sentences)
        found += [token.embedding[size:] for s in sentences for token in s]
    expected = VECTORS[f"pooled-{number}"]
    assert torch.allclose(torch.stack(found), expected[:, -size:], atol=1e-5)


# --- where Flair's are wrong ---


@pytest.mark.parametrize("forward", [True, False])
def test_two_spaces_are_two_characters(forward):
    "Flair counts one, so its later words get the states of other places"
    embeddings = FlairEmbeddings(language_model(forward), tokenized_lm=False)
    words, gaps = ["ab", "c", "de", "f"], [2, 1, 3, 0]
    sentence = embeddings.embed(sentence_of(words, gaps))[0]
    found = torch.stack([token.embedding for token in sentence])
    assert torch.allclose(found, one_by_one(embeddings, words, gaps), atol=1e-6)


@pytest.mark.parametrize("forward", [True, False])
def test_a_letter_that_grows_when_small_moves_nothing(forward):
    "Flair counts the letters before lowering them"
    embeddings = FlairEmbeddings(language_model(forward), is_lower=True)
    words = ["\u0130a", "B", "c"]  # a dotted capital I, two characters when small
    sentence = embeddings.embed(Sentence(words))[0]
    expected = one_by_one(embeddings, [word.lower() for word in words])
    found = torch.stack([token.embedding for token in sentence])
    assert torch.allclose(found, expected, atol=1e-6)


def test_settings_survive_a_round_trip():
    "Flair loses `with_whitespace`"
    chosen = {"with_whitespace": False, "tokenized_lm": False, "is_lower": True}
    chosen |= {"chars_per_chunk": 9, "fine_tune": True, "name": "mine"}
    made = FlairEmbeddings(language_model(False, document_delimiter="#"), **chosen)
    again = build(json.loads(json.dumps(describe(made))))
    assert {name: getattr(again, name) for name in chosen} == chosen
    again.load_state_dict(made.state_dict())
    sentence, other = Sentence("ab cd e"), Sentence("ab cd e")
    made.eval().embed(sentence), again.eval().embed(other)
    assert torch.equal(sentence[1].embedding, other[1].embedding)


# --- each character once, whoever stands beside ---


class Counter:
    "Stands in for `read`, and counts what passes"

    def __init__(self, model):
        self.read, self.calls, self.characters = model.read, 0, 0
        model.read = self

    def __call__(self, characters, state=None):
        self.calls += 1
        self.characters += characters.numel()
        return self.read(characters, state)


@pytest.mark.parametrize("forward", [True, False])
def test_every_character_is_read_once(forward):
    embeddings = FlairEmbeddings(language_model(forward))
    counter = Counter(embeddings.lm)
    chance = np.random.default_rng(3)
    some = [
        Sentence(["abcdefgh"[: chance.integers(1, 9)] for _ in range(n)])
        for n in chance.integers(1, 60, size=64)
    ]
    embeddings.embed(some)
    needed = sum(len(" ".join(s.words)) + 2 for s in some)
    assert needed <= counter.characters <= 1.08 * needed
    longest = max(len(" ".join(s.words)) + 2 for s in some)
    assert counter.calls <= longest / module.STEP + 1


words = st.lists(st.text("abch \u00e9", max_size=7), min_size=1, max_size=9)


@quick
@given(st.lists(words, min_size=1, max_size=6), st.booleans(), st.integers(1, 40))
def test_company_and_chunks_change_nothing(texts, forward, chunk):
    model = language_model(forward)
    together = [Sentence(text) for text in texts]
    FlairEmbeddings(model, chars_per_chunk=chunk).embed(together)
    embeddings = FlairEmbeddings(model)
    for sentence in filter(len, together):
        expected = one_by_one(embeddings, sentence.words)
        found = torch.stack([token.embedding for token in sentence])
        assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("forward", [True, False])
def test_a_long_sentence_a_long_word_and_none(forward):
    embeddings = FlairEmbeddings(language_model(forward))
    long = Sentence(["ab"] * 20_000)
    word, empty = Sentence(["c" * 10_000, "d"]), Sentence("")
    embeddings.embed([long, word, empty])
    vectors = torch.stack([token.embedding for token in long])
    assert vectors.shape == (20_000, 8) and vectors.isfinite().all()
    near = one_by_one(embeddings, ["ab"] * 30)
    same = vectors[:30] if forward else vectors[-30:]
    assert torch.allclose(same, near, atol=1e-6)
    assert word[0].embedding.isfinite().all() and len(empty) == 0


def batch_of(*texts):
    dataset = SentenceDataset.of([Sentence(text) for text in texts])
    return Batch(dataset.table, dataset.rows)


def test_padding_is_zero():
    vectors = FlairEmbeddings(language_model())(batch_of("a", "a b c"))
    assert not vectors[0, 1:].any() and vectors[1].any(-1).all()


# --- training ---


def test_gradients_reach_the_model_only_if_it_is_trained():
    for fine_tune in (True, False):
        embeddings = FlairEmbeddings(language_model(), fine_tune=fine_tune)
        vectors = embeddings(batch_of("ab c", "d"))
        assert vectors.requires_grad == fine_tune
        if fine_tune:
            vectors.square().sum().backward()
        for name, weight in embeddings.lm.named_parameters():
            reached = weight.grad is not None and bool(weight.grad.any())
            assert reached == (fine_tune and not name.startswith("decoder")), name


def test_long_texts_carry_gradients_through_chunks():
    model = language_model()
    batch, grads = batch_of("abc " * 50), []
    for chunk in (7, 64):
        embeddings = FlairEmbeddings(model, fine_tune=True, chars_per_chunk=chunk)
        model.zero_grad()
        embeddings(batch)[0, -1].sum().backward()
        grads.append(model.encoder.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-6)


def test_a_model_that_is_not_trained_drops_nothing():
    embeddings = StackedEmbeddings([FlairEmbeddings(language_model(dropout=0.5))])
    batch = batch_of("ab c")
    embeddings.train()
    assert torch.equal(embeddings(batch), embeddings(batch))
    trained = FlairEmbeddings(language_model(dropout=0.5), fine_tune=True).train()
    assert not torch.equal(trained(batch), trained(batch))
    trained.eval()
    assert torch.equal(trained(batch), trained(batch))


def test_two_parts_may_share_a_model_and_disagree_on_training_it():
    model = language_model()
    fixed = FlairEmbeddings(model)
    trained = FlairEmbeddings(model, fine_tune=True)
    assert not fixed.storable and not trained.storable
    assert FlairEmbeddings(language_model()).storable
    frozen = FlairEmbeddings(language_model(dropout=0.5), fine_tune=True)
    frozen.requires_grad_(False)
    assert not frozen.storable  # it drops values all the same


# --- fewer bits ---


@pytest.mark.parametrize("precision, most", [("bfloat16", 0.05), ("int8", 0.08)])
@pytest.mark.parametrize("nout", [None, 5])
def test_fewer_bits_are_close(precision, most, nout):
    model, batch = language_model(nout=nout), batch_of("abc defg h", "a b")
    exact = FlairEmbeddings(model)(batch)
    fast = FlairEmbeddings(model, precision=precision)
    found = fast(batch)
    assert found.dtype == torch.float32 and not torch.equal(found, exact)
    assert (found - exact).abs().max() < most
    with torch.no_grad():
        model.rnn.weight_ih_l0.mul_(3.0)
    assert (fast(batch) - FlairEmbeddings(model)(batch)).abs().max() < most
    assert fast.state_dict()["lm.encoder.weight"].dtype == torch.float32
    assert build(describe(fast)).precision == precision


def test_fewer_bits_are_not_for_training():
    with pytest.raises(ValueError, match="trained in float32: drop precision"):
        FlairEmbeddings(language_model(), fine_tune=True, precision="int8")
    with pytest.raises(ValueError, match=r"precision is one of .*, not 'int4'"):
        FlairEmbeddings(language_model(), precision="int4")


# --- files and names ---


def test_flair_publishes_many_models():
    found = published_models()
    assert len(found) >= 103 and all("://" in address for address in found.values())
    some = ["news-forward", "multi-backward", "de-forward", "pubmed-2015-backward"]
    some += ["mix-forward", "uk-backward", "am-forward", "nl-v0-forward"]
    assert set(some) <= set(found)
    assert found["news-forward"].endswith("/flair/news-forward-0.4.1.pt")
    assert found["multi-backward"].endswith("/flair/lm-jw300-backward-v0.1.pt")
    assert set(LANGUAGES.values()) <= {name.split("-")[0] for name in found}


def test_names_in_full_and_in_any_case(tmp_path, monkeypatch):
    wanted = []
    monkeypatch.setattr(module, "fetch", lambda x: wanted.append(x) or tmp_path / "no")
    for name in ("german-forward", "DE-Forward", "de-forward"):
        with pytest.raises(FileNotFoundError):
            FlairEmbeddings(name)
    assert len({x.addresses for x in wanted}) == 1 and len(wanted) == 3


def test_every_name_has_a_file_of_its_own(tmp_path, monkeypatch):
    wanted = {}
    for name in published_models():
        monkeypatch.setattr(
            module, "fetch", lambda x, n=name: wanted.setdefault(n, x) and tmp_path / ""
        )
        with pytest.raises((OSError, ModelFileError)):
            FlairEmbeddings(name)
    by_file = {}
    for asset in wanted.values():
        by_file.setdefault(asset.name, set()).add(asset.addresses)
    assert all(len(x) == 1 for x in by_file.values())


def test_offline_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path))
    with pytest.raises(AssetError, match=r"news-forward-0\.4\.1\.pt"):
        FlairEmbeddings("news-forward")


def test_what_is_no_model():
    with pytest.raises(FileNotFoundError, match="Did you mean 'news-forward'"):
        FlairEmbeddings("news-foward")
    with pytest.raises(FileNotFoundError, match=r"no file 'nothing\.pt'"):
        FlairEmbeddings(Path("nothing.pt"))
    for wrong in (5, None):
        with pytest.raises(TypeError, match="a name, a file or a LanguageModel, not"):
            FlairEmbeddings(wrong)
    with pytest.raises(ValueError, match="chars_per_chunk is at least 1, not -3"):
        FlairEmbeddings(language_model(), chars_per_chunk=-3)


def test_damaged_and_foreign_files(tmp_path):
    whole = (FOLDER / "forward.pt").read_bytes()
    cases = {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a model"}
    cases |= {"page": b"<html></html>", "state": None, "other": None, "list": None}
    for name, content in cases.items():
        path = tmp_path / f"{name}.pt"
        if name == "state":
            torch.save({"weight": torch.ones(2)}, path)
        elif name == "list":
            torch.save([torch.ones(2)], path)
        elif name == "other":
            write_model_file(path, {"x": torch.ones(1)}, {"class": "SequenceTagger"})
        else:
            path.write_bytes(content)
        with pytest.raises(ModelFileError, match=str(path)):
            FlairEmbeddings(path)


@pytest.mark.parametrize("name", MINI)
def test_a_model_that_did_not_come_with_the_package(name, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "RESOURCES", tmp_path)
    message = f"{name} ships with flairnb, but .* is not there: install flairnb again"
    with pytest.raises(FileNotFoundError, match=message):
        FlairEmbeddings(name)


@pytest.mark.parametrize("name", MINI)
def test_a_model_that_came_with_the_package(name, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "RESOURCES", tmp_path)
    language_model(name == "mini-forward").save(tmp_path / f"{name}.safetensors", True)
    made = FlairEmbeddings(name)
    assert mini_model(name).parent == tmp_path
    assert made.is_forward_lm == (name == "mini-forward") and made.name == name


def test_impresso_models_read_small_letters(monkeypatch):
    monkeypatch.setattr(module, "fetch", lambda asset: FOLDER / "forward.pt")
    assert FlairEmbeddings("de-impresso-hipe-v1-forward").is_lower
    assert not FlairEmbeddings("de-forward").is_lower


# --- memory of words ---


def pooled_for(pooling="min", **chosen):
    return PooledFlairEmbeddings(FlairEmbeddings(language_model()), pooling, **chosen)


def test_memory_is_emptied_when_training_goes_on():
    embeddings, first, second = pooled_for(), batch_of("ab c"), batch_of("d")
    embeddings.train()
    embeddings(first)
    assert set(embeddings.memory.rows) == {"ab", "c"}
    embeddings.eval()
    embeddings(second)
    assert set(embeddings.memory.rows) == {"ab", "c", "d"}
    embeddings.train()
    assert len(embeddings.state_dict()["memory.counts"]) == 3  # as after an evaluation
    embeddings(second)
    assert set(embeddings.memory.rows) == {"d"}
    embeddings(first)
    assert set(embeddings.memory.rows) == {"d", "ab", "c"}


@pytest.mark.parametrize("pooling", ["min", "max", "mean"])
def test_memory_survives_saving(pooling):
    embeddings = pooled_for(pooling, only_capitalized=True).eval()
    embeddings.embed(Sentence("Ab c Ab Dd"))
    again = build(json.loads(json.dumps(describe(embeddings)))).eval()
    again.load_state_dict(embeddings.state_dict())
    assert again.memory.rows == {"Ab": 0, "Dd": 1} == embeddings.memory.rows
    both = [Sentence("x Ab Ee"), Sentence("x Ab Ee")]
    embeddings.embed(both[0]), again.embed(both[1])
    for token, other in zip(*both, strict=True):
        assert torch.equal(token.embedding, other.embedding)


def test_what_was_remembered_carries_no_gradient():
    embeddings = PooledFlairEmbeddings(FlairEmbeddings(language_model(), True)).train()
    vectors = embeddings(batch_of("ab c ab"))
    assert vectors.requires_grad and not embeddings.memory.vectors.requires_grad
    vectors.sum().backward()
    embeddings(batch_of("ab")).sum().backward()


def test_wrong_poolings_are_refused():
    with pytest.raises(ValueError, match="pooling is 'min', 'max' or 'mean', not 'fa"):
        pooled_for("fade")


def test_no_words_and_no_sentences():
    embeddings = pooled_for()
    assert embeddings(batch_of("", "")).shape == (2, 0, 16)
    assert embeddings.embed([Sentence("")]) and not embeddings.memory.rows

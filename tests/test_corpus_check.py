"What `Corpus.check` finds, and labels that are made wrong on purpose"

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.data import Corpus, MultiCorpus, Sentence
from flairnb.data.corpus import (
    conflicts,
    drawn_labels,
    label_keys,
    mixed,
    noise_matrix,
    repeats,
    text_keys,
)
from flairnb.data.tables import SentenceDataset, StringTable, count_labels

SETTINGS = settings(max_examples=60, deadline=None)
TEXTS = st.lists(st.sampled_from("ab"), max_size=3)


def labelled(words, tags="", topics=(), span=""):
    sentence = Sentence(list(words))
    for token, tag in zip(sentence, tags, strict=False):
        if tag != ".":
            token.add_label("upos", tag)
    for topic in topics:
        sentence.add_label("topic", topic)
    if span:
        sentence[0 : len(span)].add_label("ner", span[0])
    return sentence


def found(corpus, *arguments, **options):
    rows = corpus.check(*arguments, **options).rows
    return {(row.what, row.split): row.places.tolist() for row in rows}


def corpus_of(**splits):
    return Corpus(**splits, sample_missing_splits=False, name="mine")


# --- keys ---


@SETTINGS
@given(st.lists(TEXTS, max_size=12))
def test_keys_are_equal_where_the_words_are(rows):
    keys = text_keys(SentenceDataset.of([Sentence(row) for row in rows]), StringTable())
    for one, key in zip(rows, keys, strict=True):
        assert [row == one for row in rows] == (keys == key).tolist()
    seen, again = set(), []
    for place, row in enumerate(map(tuple, rows)):
        again += [place] if row in seen else []
        seen.add(row)
    assert repeats(keys).tolist() == again


def test_keys_do_not_depend_on_the_table():
    strings = StringTable()
    one = text_keys(SentenceDataset.of([Sentence("a b"), Sentence("c")]), strings)
    other = text_keys(SentenceDataset.of([Sentence("c"), Sentence("a b")]), strings)
    assert one.tolist() == other[::-1].tolist()


def test_keys_of_labels_see_places_and_kinds():
    different = [
        labelled("ab", "X."),
        labelled("ab", ".X"),
        labelled("ab", "Y."),
        labelled("ab", "XX"),
        labelled("ab"),
    ]
    keys = label_keys(SentenceDataset.of(different), "upos", StringTable())
    assert len(set(keys.tolist())) == 5
    spans = [labelled("abc", span="P"), labelled("abc", span="PP"), labelled("abc")]
    keys = label_keys(SentenceDataset.of(spans), "ner", StringTable())
    assert len(set(keys.tolist())) == 3
    turned = [labelled("a", topics="xy"), labelled("a", topics="yx")]
    keys = label_keys(SentenceDataset.of(turned), "topic", StringTable())
    assert keys[0] == keys[1]  # a set of labels has no order


def test_numbers_are_mixed_well():
    many = mixed(np.arange(300_000))
    assert len(np.unique(many)) == 300_000
    bits = np.unpackbits(many.view(np.uint8)).mean()
    assert abs(bits - 0.5) < 0.001


@SETTINGS
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_conflicts_are_equal_texts_with_other_labels(pairs):
    keys, labels = np.array(pairs, dtype=np.uint64).reshape(-1, 2).T
    wrong = [
        n for n, (k, x) in enumerate(pairs) if any(k == a and x != b for a, b in pairs)
    ]
    assert conflicts(keys, labels).tolist() == wrong


# --- findings ---


def test_doubled_texts_within_splits_and_across():
    train = [Sentence(t) for t in ("a b", "c", "a b", "d e", "a b")]
    dev = [Sentence(t) for t in ("x", "c", "x")]
    test = [Sentence(t) for t in ("d e", "x", "y")]
    assert found(corpus_of(train=train, dev=dev, test=test)) == {
        ("doubled", "train"): [2, 4],
        ("doubled", "dev"): [2],
        ("also in train", "dev"): [1],
        ("also in train", "test"): [0],
        ("also in dev", "test"): [1],
    }


def test_empty_and_long_sentences():
    train = [Sentence("a"), Sentence(""), Sentence(["w"] * 9), Sentence("")]
    corpus = corpus_of(train=train)
    assert found(corpus, long=8) == {
        ("empty", "train"): [1, 3],
        ("over 8 words", "train"): [2],
    }
    assert found(corpus) == {("empty", "train"): [1, 3]}


def test_conflicts_across_splits_and_unseen_labels():
    train = [labelled("ab", "XY"), labelled("cd", "XX"), labelled("e", "X")]
    dev = [labelled("ab", "XX"), labelled("f", "Z"), labelled("g", "Z")]
    corpus = corpus_of(train=train, dev=dev, test=[labelled("cd")])  # unlabelled
    rows = corpus.check("upos").rows
    about = {(r.what, r.split): (r.count, r.example) for r in rows}
    assert about["upos: same text, other labels", "train"] == (1, "a b")
    assert about["upos: same text, other labels", "dev"] == (1, "a b")
    assert about["upos: not in train", "dev"] == (2, "Z")
    assert ("upos: same text, other labels", "test") not in about


def test_what_was_written_on_sentences_counts():
    corpus = corpus_of(train=[labelled("a", "X"), labelled("a", "X")])
    assert found(corpus) == {("doubled", "train"): [1]}
    corpus.train[0][0].set_label("upos", "Y")
    assert ("upos: same text, other labels", "train") in found(corpus)


def test_it_prints_a_table():
    corpus = corpus_of(train=[Sentence("a"), Sentence("a " * 90), Sentence("a")])
    assert repr(corpus.check()).splitlines() == [
        "mine: 3 sentences (3 in train)",
        "",
        "what     split  count  for example",
        "doubled  train      1  a",
    ]
    clean = corpus_of(train=[Sentence("a")]).check()
    assert str(clean) == "mine: 1 sentences (1 in train), nothing to report"


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r"mine: label type 'pos'.*mean 'upos'"):
        corpus_of(train=[labelled("a", "X")]).check("pos")


# --- noise ---


def texts_with_topics(count, **options):
    texts = [labelled("ab", topics="xyz"[n % 3]) for n in range(count)]
    return Corpus(texts, sample_missing_splits=False, **options)


def pairs_of(split, layer):
    for sentence in split:
        before, after = (sentence.get_labels(f"{layer}{x}") for x in ("_clean", ""))
        yield from zip((x.value for x in before), (x.value for x in after), strict=True)


def test_a_share_of_the_labels_becomes_each_other():
    corpus = texts_with_topics(3000)
    corpus.add_label_noise("topic", noise_share=0.3, seed=1)
    counts = Counter(pairs_of(corpus.train, "topic"))
    assert len(counts) == 9
    for (before, after), count in counts.items():
        wanted = 700 if before == after else 150
        assert abs(count - wanted) < 5 * wanted**0.5
    assert count_labels(corpus.train.current(), "topic_clean") == dict.fromkeys(
        "xyz", 1000
    )


def test_a_matrix_says_what_becomes_what():
    corpus = texts_with_topics(300)
    matrix = {"z": [0, 1, 0], "x": [0, 0, 1], "y": [0.5, 0.5, 0]}  # to z, x, y
    corpus.add_label_noise("topic", noise_transition_matrix=matrix, seed=1)
    counts = Counter(pairs_of(corpus.train, "topic"))
    assert counts["z", "x"] == counts["x", "y"] == 100
    assert counts["y", "z"] + counts["y", "x"] == 100 and counts["y", "z"] > 25


def test_the_same_seed_draws_the_same():
    drawn = []
    for seed in (1, 1, 2):
        corpus = texts_with_topics(99)
        corpus.add_label_noise("topic", seed=seed)
        drawn.append([*pairs_of(corpus.train, "topic")])
    assert drawn[0] == drawn[1] != drawn[2]


def test_tokens_and_spans_in_one_split_only():
    def make():
        return [labelled("abcd", "XY.X", span="PP") for _ in range(40)]

    corpus = corpus_of(train=make(), dev=make())
    for layer, labels in (("upos", None), ("ner", ["P", "Q"])):
        corpus.add_label_noise(layer, labels, 0.5, "dev", seed=3)
    for sentence in corpus.train:
        assert str(sentence) == str(make()[0])
    pairs = Counter(pairs_of(corpus.dev, "upos"))
    assert {*pairs} == {("X", "X"), ("X", "Y"), ("Y", "X"), ("Y", "Y")}
    assert pairs["X", "X"] + pairs["X", "Y"] == 80
    assert all(not s[2].get_labels("upos") for s in corpus.dev)
    spans = Counter(s.get_spans("ner")[0].get_label("ner").value for s in corpus.dev)
    assert {*spans} == {"P", "Q"}
    assert all(s[0:2].get_label("ner_clean").value == "P" for s in corpus.dev)


def test_objects_that_somebody_holds_show_it():
    texts = [labelled("ab", topics="xy"[n % 2]) for n in range(40)]
    corpus = corpus_of(train=texts)
    texts[0].add_label("topic", "z", 0.5)  # a second label, written before
    corpus.add_label_noise("topic", noise_share=1.0, seed=1)
    assert all(a is b for a, b in zip(texts, corpus.train, strict=True))
    assert all(a != b for a, b in pairs_of(texts, "topic"))
    assert [x.value for x in texts[0].get_labels("topic_clean")] == ["x", "z"]
    assert {x.score for x in texts[0].get_labels("topic")} == {1.0}
    texts[0].set_label("topic", "mine")
    counts = count_labels(corpus.train.current(), "topic")
    assert counts["mine"] == 1 and sum(counts.values()) == 40
    twin = pickle.loads(pickle.dumps(corpus))
    assert [str(s) for s in twin.train] == [str(s) for s in corpus.train]


def test_the_first_labels_stay_the_clean_ones():
    corpus = texts_with_topics(60)
    for seed in (1, 2):
        corpus.add_label_noise("topic", noise_share=0.5, seed=seed)
    clean = [s.get_labels("topic_clean") for s in corpus.train]
    assert [[x.value for x in labels] for labels in clean] == [[x] for x in "xyz" * 20]


def test_parts_of_several_corpora_keep_their_sentences():
    both = MultiCorpus(
        [texts_with_topics(30, name="a"), texts_with_topics(12, name="b")]
    )
    both.add_label_noise("topic", seed=1)
    assert [len(part) for part in both.parts("train").values()] == [
        len(both.train) - len(both.parts("train")["b"]),
        len(both.parts("train")["b"]),
    ]
    assert count_labels(both.train.current(), "topic_clean").keys() == {*"xyz"}


@given(st.integers(2, 6), st.integers(0, 5))
@SETTINGS
def test_draws_follow_any_matrix(size, seed):
    generator = np.random.default_rng(seed)
    matrix = generator.dirichlet(np.ones(size), size)
    matrix[0] = np.eye(size)[-1]  # certain
    numbers = generator.integers(size, size=4000)
    drawn = drawn_labels(numbers, matrix, generator)
    counts = np.zeros((size, size))
    np.add.at(counts, (numbers, drawn), 1)
    wanted = matrix * np.bincount(numbers, minlength=size)[:, None]
    assert (np.abs(counts - wanted) <= 6 * np.sqrt(wanted) + 1e-9).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"noise_share": 1.5}, "noise_share is a part from 0 to 1, not 1.5"),
        ({"noise_share": float("nan")}, "not nan"),
        ({"split": "dev"}, "split 'dev' is not among the 1 known: train"),
        ({"labels": ["x", "y"]}, "'z' is not among the 2 known"),
        ({"labels": ["x"]}, "at least two labels"),
        ({"noise_transition_matrix": {"x": [1.0], "q": [1.0]}}, "holds no 2 chances"),
        ({"noise_transition_matrix": {"x": [0.5, 0.4], "y": [0, 1]}}, r"\['x'\] holds"),
        (
            {"labels": ["x", "y"], "noise_transition_matrix": {"x": [1.0]}},
            "they differ in y",
        ),
    ],
)
def test_noise_that_cannot_be_made(options, message):
    corpus = texts_with_topics(9)
    with pytest.raises(ValueError, match=message):
        corpus.add_label_noise("topic", **options)
    assert "topic_clean" not in corpus.train.table.layers


def test_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match="train: no labels of type 'tpic'"):
        texts_with_topics(9).add_label_noise("tpic")


def test_uniform_noise_is_as_in_flair():
    matrix = noise_matrix(["a", "b", "c"], 0.2)
    np.testing.assert_allclose(
        matrix, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    )

"Several corpora as one: rows, labels, samples"

from __future__ import annotations

import itertools
import pickle
from collections import Counter

import numpy as np
import pytest
from conftest import real
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.data import Corpus, MultiCorpus, Sentence
from flairnb.data.corpus import draw, tempered_sizes, unique_names
from flairnb.data.tables import join_all, table_of
from flairnb.datasets import UD_ENGLISH, UD_GERMAN


def tagged(text, layer, *labels):
    sentence = Sentence(text, use_tokenizer=False)
    for token, label in zip(sentence, labels, strict=False):
        token.add_label(layer, label)
    return sentence


def part(name, count, layer="upos", word="sun", **splits):
    texts = [f"the {word} {place}" for place in range(count)]
    made = [tagged(text, layer, "DET", "NOUN", "NUM") for text in texts]
    cut = max(1, count // 5)
    return Corpus(made[2 * cut :], made[:cut], made[cut : 2 * cut], name=name, **splits)


def texts(split):
    return [sentence.text for sentence in split]


def test_every_split_is_the_parts_one_after_the_other():
    first, second = part("a", 10), part("b", 5, word="moon")
    both = MultiCorpus([first, second])
    for name, split in both.splits().items():
        assert texts(split) == texts(first.splits()[name]) + texts(
            second.splits()[name]
        )
    assert both.train.table is both.dev.table is both.test.table
    assert str(both).splitlines() == [
        "MultiCorpus: 9 train + 3 dev + 3 test sentences",
        " - a (Corpus): 6 train + 2 dev + 2 test sentences",
        " - b (Corpus): 3 train + 1 dev + 1 test sentences",
    ]


def test_labels_are_those_of_the_parts():
    first, second = part("a", 10), part("b", 5)
    second.train[0][0].set_label("upos", "X")
    counted = MultiCorpus([first, second]).make_label_dictionary("upos").get_items()
    assert counted[-2:] == ["DET", "X"]  # seen once less, and once
    assert set(counted) == {"DET", "NOUN", "NUM", "X"}


def test_a_part_without_the_layer_is_told_and_adds_no_o(caplog):
    both = MultiCorpus([part("a", 10), part("b", 5, layer="ner")])
    assert "O" not in both.make_label_dictionary("upos").get_items()
    assert "the part b has no labels of type 'upos'" in caplog.text


def test_a_layer_of_words_here_and_of_spans_there_is_refused():
    spans = part("b", 5, layer="other")
    for sentence in spans.train:
        sentence[0:2].add_label("upos", "NP")
    both = MultiCorpus([part("a", 10), spans])
    with pytest.raises(ValueError, match="a: tokens; b: spans"):
        both.make_label_dictionary("upos")


def test_an_unknown_layer_lists_those_of_all_parts():
    both = MultiCorpus([part("a", 10), part("b", 5, layer="ner")])
    with pytest.raises(ValueError, match=r"'upos' \(in 6 sentences\), 'ner' \(in 3"):
        both.make_label_dictionary("relation")


def test_names_of_parts_are_unique():
    both = MultiCorpus([part("a", 10), part("a", 5), part("a_2", 5)])
    assert both.part_names == ["a", "a_2", "a_2_2"]
    assert [len(p) for p in both.parts("train").values()] == [6, 3, 3]


@given(st.lists(st.sampled_from(["a", "a_2", "b", "a_3"]), max_size=9))
def test_unique_names_keep_their_number_and_their_start(names):
    found = unique_names(names)
    assert len(set(found)) == len(found) == len(names)
    assert all(new.startswith(old) for new, old in zip(found, names, strict=True))


def test_a_part_without_dev_leaves_dev_to_the_others():
    alone = Corpus(part("b", 5).train, name="b", sample_missing_splits=False)
    both = MultiCorpus([part("a", 10), alone])
    assert [len(p) for p in both.parts("dev").values()] == [2, 0]


def test_the_same_corpus_twice_counts_twice():
    one = part("a", 10)
    both = MultiCorpus([one, one])
    assert texts(both.train) == texts(one.train) * 2
    assert [len(p) for p in both.parts("train").values()] == [6, 6]


def test_downsampling_keeps_track_of_the_parts():
    both = MultiCorpus([part("a", 100), part("b", 50, word="moon")])
    whole = len(both.train)
    both.downsample(0.5, random_seed=1)
    assert len(both.train) == whole // 2
    assert all("moon" in text for text in texts(both.parts("train")["b"]))
    assert not any("moon" in text for text in texts(both.parts("train")["a"]))


def test_what_was_written_on_a_sentence_comes_along():
    one = part("a", 10)
    one.train[0].add_metadata("source", "page 1")
    one.train[1].add_label("topic", "sky", 0.5)
    both = MultiCorpus([one, part("b", 5)])
    assert both.train[0].get_metadata("source") == "page 1"
    assert both.train[1].get_label("topic").score == 0.5
    assert "topic" in both.train.current().table.layers


def test_texts_that_words_do_not_give_back_survive_joining():
    first, second = Sentence(" two\tparts "), Sentence("one  more")
    corpora = [Corpus([s] * 4, name=s.text, random_seed=1) for s in (first, second)]
    both = MultiCorpus(corpora)
    assert set(texts(both.train)) == {" two\tparts ", "one  more"}
    assert set(both.train.table.text_lengths().tolist()) == {11, 9}


def test_scores_survive_in_tables():
    sentence = Sentence("a b c")
    sentence[0:2].add_label("ner", "X", 0.25)
    sentence.add_label("topic", "y", 0.5)
    plain = Sentence("d")
    plain.add_label("topic", "z")
    joined = join_all([table_of([plain]), table_of([sentence]), table_of([plain])])
    labels = sorted(str(label.score) for label in joined.sentence(1).labels)
    assert labels == ["0.25", "0.5"]
    assert joined.sentence(2).get_label("topic").score == 1.0


def test_task_ids_are_labels_of_the_sentences():
    both = MultiCorpus([part("a", 10), part("b", 5)], task_ids=["x", "y"])
    found = Counter(s.get_label("multitask_id").value for s in both.train)
    assert found == {"x": 6, "y": 3}
    with pytest.raises(ValueError, match="1 names for 2"):
        MultiCorpus([part("a", 10), part("b", 5)], task_ids=["x"])


def test_it_can_be_pickled():
    both = pickle.loads(pickle.dumps(MultiCorpus([part("a", 10), part("b", 5)])))
    assert len(both.parts("train")["b"]) == 3


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6), st.floats(0.5, 50))
def test_tempered_sizes_keep_the_total_and_the_order(sizes, temperature):
    found = tempered_sizes(sizes, temperature)
    assert sum(found) == sum(sizes)
    assert all(new == 0 for new, old in zip(found, sizes, strict=True) if old == 0)
    ordered = [new for _, new in sorted(zip(sizes, found, strict=True))]
    assert all(a <= b + 1 for a, b in itertools.pairwise(ordered))


def test_tempered_sizes_are_powers():
    assert tempered_sizes([900, 100], 1) == [900, 100]
    assert tempered_sizes([900, 100], 2) == [750, 250]  # 30 : 10
    with pytest.raises(ValueError, match="above 0"):
        tempered_sizes([1], 0)


@given(st.integers(1, 40), st.integers(0, 200), st.integers(0, 3))
def test_draws_differ_by_one_at_most(size, wanted, seed):
    places = draw(size, wanted, seed)
    counts = np.bincount(places, minlength=size)
    assert len(places) == wanted and counts.max() - counts.min() <= 1
    assert places.tolist() == draw(size, wanted, seed).tolist()


def test_sampling_by_temperature_evens_the_parts_out():
    both = MultiCorpus([part("a", 100), part("b", 10)])
    total = len(both.train)
    both.sample_by_temperature(1000, random_seed=3)
    sizes = [len(p) for p in both.parts("train").values()]
    assert sum(sizes) == total and abs(sizes[0] - sizes[1]) <= 1
    assert set(texts(both.parts("train")["b"])) == set(texts(part("b", 10).train))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.randoms())
def test_any_cut_of_any_parts_is_what_the_parts_give(sizes, random):
    corpora = [part(f"c{n}", 3 + size) for n, size in enumerate(sizes)]
    both = MultiCorpus(corpora)
    rows = random.sample(range(len(both.train)), len(both.train) // 2)
    expected = [s for c in corpora for s in texts(c.train)]
    assert texts(both.train.take(np.array(rows, dtype=int))) == [
        expected[r] for r in rows
    ]


@real
def test_script_5_of_the_tutorial(real_mirror):
    corpus = MultiCorpus([UD_ENGLISH(), UD_GERMAN()]).downsample(0.1)
    assert [len(split) for split in corpus.splits().values()] == [1354, 280, 305]
    assert len(corpus.make_label_dictionary(label_type="upos")) == 17
    assert all(len(found) > 50 for found in corpus.parts("train").values())


def test_a_part_without_spans_is_said_to_teach_that_there_are_none(caplog):
    named = part("a", 10)
    for sentence in named.train:
        sentence[0:2].add_label("ner", "PER")
    MultiCorpus([named, part("b", 5)]).make_label_dictionary("ner")
    assert "the part b has no labels of type 'ner'" in caplog.text
    assert "all its words are learned as outside of spans" in caplog.text

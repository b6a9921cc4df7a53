"Corpora: results as Flair's, samples, changes that are seen, sentences that are freed"

from __future__ import annotations

import copy
import gc
import json
import logging
import os
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.data import Corpus, Dictionary, Sentence
from flairnb.data.corpus import sample, unseen_labels
from flairnb.data.tables import (
    SentenceDataset,
    SentenceTable,
    StringTable,
    count_labels,
    join_tables,
    snapshot,
    table_of,
    take_rows,
    union,
)
from flairnb.foundation import set_seed

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60)
WORDS = "the a cat dog runs fast , . Berlin Ada".split()
TAGS = ["N", "V", "D", "X"]


def made(count, start):
    "Sentences whose words and labels follow from their number alone"
    sentences = []
    for i in range(start, start + count):
        size = i * i % 7 + 1
        s = Sentence([WORDS[(i * 3 + j * j) % 10] for j in range(size)])
        for j, token in enumerate(s):
            if (i + j) % 5:
                token.add_label("upos", TAGS[(i * j + i // 3) % 4])
        if i % 3:
            a = i % size
            s[a : a + 1 + (size - a - 1) * (i % 2)].add_label(
                "ner", ["PER", "LOC"][i % 2]
            )
        s.add_label("topic", "xy"[i // 4 % 2])
        if i % 6 == 0:
            s.add_label("topic", "z")
        sentences.append(s)
    return sentences


def three_splits(**settings):
    return Corpus(made(37, 0), made(11, 50), made(5, 90), **settings)


def texts(sentences):
    return [sentence.text for sentence in sentences]


@pytest.fixture
def messages():
    found, handler = [], logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logging.getLogger("flairnb").addHandler(handler)
    yield found
    logging.getLogger("flairnb").removeHandler(handler)


# --- literal results of Flair 0.15.1 on the same sentences ---


@pytest.mark.parametrize(
    "layer, settings, expected",
    [
        ("upos", {}, "Dictionary with 5 tags: N, D, O, V, X"),
        ("upos", {"add_unk": True}, "Dictionary with 6 tags: <unk>, N, D, O, V, X"),
        ("upos", {"add_dev_test": True}, "Dictionary with 5 tags: N, D, O, V, X"),
        ("upos", {"min_count": 12}, "Dictionary with 6 tags: <unk>, N, D, O, V, X"),
        ("ner", {}, "Dictionary with 2 tags: LOC, PER"),
        ("ner", {"add_unk": True}, "Dictionary with 3 tags: <unk>, LOC, PER"),
        ("ner", {"add_dev_test": True}, "Dictionary with 2 tags: PER, LOC"),
        ("ner", {"min_count": 12}, "Dictionary with 3 tags: <unk>, LOC, PER"),
        ("topic", {}, "Dictionary with 3 tags: x, y, z"),
        ("topic", {"add_dev_test": True}, "Dictionary with 3 tags: x, y, z"),
        ("topic", {"min_count": 12}, "Dictionary with 3 tags: <unk>, x, y"),
    ],
)
def test_label_dictionaries(layer, settings, expected):
    found = three_splits().make_label_dictionary(layer, **settings)
    assert str(found) == expected and found.span_labels == (layer == "ner")
    assert found.multi_label == (layer == "topic")


def test_vocabulary():
    corpus = three_splits()
    assert (
        str(corpus.make_vocab_dictionary())
        == "Dictionary with 11 tags: <unk>, dog, ,, the, runs, ., fast, Ada, cat, Berlin, a"
    )
    assert (
        str(corpus.make_vocab_dictionary(max_tokens=3))
        == "Dictionary with 4 tags: <unk>, dog, ,, the"
    )
    assert (
        str(corpus.make_vocab_dictionary(min_freq=1000))
        == "Dictionary with 1 tags: <unk>"
    )


def test_statistics():
    corpus = three_splits()
    assert corpus.obtain_statistics("ner", pretty_print=False) == {
        "TRAIN": {
            "dataset": "TRAIN",
            "total_number_of_documents": 37,
            "number_of_documents_per_class": {"LOC": 12, "PER": 12},
            "number_of_tokens_per_tag": {},
            "number_of_tokens": {
                "total": 108,
                "min": 1,
                "max": 5,
                "avg": 2.918918918918919,
            },
        },
        "TEST": {
            "dataset": "TEST",
            "total_number_of_documents": 5,
            "number_of_documents_per_class": {"LOC": 1, "PER": 2},
            "number_of_tokens_per_tag": {},
            "number_of_tokens": {"total": 13, "min": 1, "max": 5, "avg": 2.6},
        },
        "DEV": {
            "dataset": "DEV",
            "total_number_of_documents": 11,
            "number_of_documents_per_class": {"PER": 4, "LOC": 3},
            "number_of_tokens_per_tag": {},
            "number_of_tokens": {
                "total": 34,
                "min": 1,
                "max": 5,
                "avg": 3.090909090909091,
            },
        },
    }
    printed = corpus.obtain_statistics("topic")
    assert printed.startswith(
        '{\n    "TRAIN": {\n        "dataset": "TRAIN",\n        "total_number_of_documents": 37,\n        "number_of_documents_per_class": {\n            "x": 20,\n            "z": 7,\n            "y": 17\n        },\n        "number_of_tokens_per_tag": {},\n        "number_of_tokens": {\n            "total": 108,\n'
    )
    assert list(json.loads(printed)) == ["TRAIN", "TEST", "DEV"]
    tags = corpus.obtain_statistics("upos", pretty_print=False)["TRAIN"]
    assert tags["number_of_tokens_per_tag"] == {"N": 28, "V": 20, "D": 24, "X": 14}
    assert corpus.get_label_distribution() == {
        "N": 28,
        "D": 24,
        "V": 20,
        "X": 14,
        "LOC": 12,
        "PER": 12,
        "x": 20,
        "y": 17,
        "z": 7,
    }
    assert (
        Corpus(made(3, 0), [], sample_missing_splits=False).obtain_statistics(
            pretty_print=False
        )["DEV"]
        == {}
    )


def test_sentences_print_the_same_from_a_table():
    "Flair's prints, of our objects and of the sentences that a table makes anew"
    whole = made(37, 0)
    for sentences in (
        Corpus(whole, sample_missing_splits=False).train,
        SentenceDataset(table_of(whole)),
    ):
        assert (
            str(sentences[4])
            == 'Sentence[3]: "cat dog ," → y (1.0000) → ["cat"/V, "dog"/PER, ","/V]'
        )
        assert (
            str(sentences[10])
            == 'Sentence[3]: "the a runs" → x (1.0000) → ["a"/V, "a"/PER, "runs"/X]'
        )


def test_prints_through_filters_and_samples():
    corpus = three_splits()
    assert str(corpus) == repr(corpus) == "Corpus: 37 train + 11 dev + 5 test sentences"
    corpus.filter_long_sentences(14)
    assert str(corpus) == "Corpus: 26 train + 8 dev + 4 test sentences"
    assert str(corpus.downsample(0.3)) == "Corpus: 8 train + 2 dev + 1 test sentences"
    assert (
        str(corpus.downsample(0.5, downsample_dev=False))
        == "Corpus: 4 train + 2 dev + 0 test sentences"
    )


@pytest.mark.parametrize(
    "setting, sizes",
    [
        (True, (30, 3, 4)),
        (False, (37, 0, 0)),
        ("only_dev", (33, 4, 0)),
        ("only_test", (33, 0, 4)),
    ],
)
def test_missing_splits(setting, sizes, messages):
    corpus = Corpus(made(37, 0), sample_missing_splits=setting, random_seed=3)
    assert str(corpus) == "Corpus: {} train + {} dev + {} test sentences".format(*sizes)
    assert sorted(texts(corpus.get_all_sentences())) == sorted(texts(made(37, 0)))
    assert len(messages) == sum(size > 0 for size in sizes[1:])
    alone = Corpus(test=made(4, 0), sample_missing_splits=setting)
    assert str(alone) == "Corpus: 0 train + 0 dev + 4 test sentences"
    assert (alone.train, alone.dev) == (None, None) and list(alone.splits()) == ["test"]


# --- samples ---


def test_downsample_is_in_place_seeded_and_in_order():
    corpus = three_splits()
    before = texts(corpus.train)
    assert corpus.downsample(0.5, random_seed=4) is corpus
    rows = corpus.train.rows.tolist()
    assert rows == sorted(set(rows)) and texts(corpus.train) == [
        before[row] for row in rows
    ]
    again, other = (three_splits().downsample(0.5, random_seed=seed) for seed in (4, 5))
    assert again.train.rows.tolist() == rows != other.train.rows.tolist()


def test_without_a_seed_the_current_one_counts():
    drawn = []
    for seed in (1, 1, 2):
        set_seed(seed)
        drawn.append(Corpus(made(37, 0)).downsample(0.5).train.rows.tolist())
    set_seed(0)
    assert drawn[0] == drawn[1] != drawn[2]


@given(st.integers(0, 60), st.floats(0, 1), st.integers(0, 9))
@SETTINGS
def test_a_sample_has_its_size(size, share, seed):
    drawn = sample(size, share, seed).tolist()
    assert len(drawn) == round(size * share) and drawn == sorted(set(drawn))
    assert all(0 <= place < size for place in drawn)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), 10])
def test_a_share_is_a_part(share):
    with pytest.raises(ValueError, match=r"percentage is a part from 0 to 1, not"):
        three_splits().downsample(share)


# --- filters ---


def test_empty_and_blank_sentences_are_filtered(messages):
    corpus = Corpus(
        [Sentence(""), Sentence("a"), Sentence("  \n")],
        [Sentence([])],
        sample_missing_splits=False,
    )
    corpus.filter_long_sentences(2)
    assert str(corpus) == "Corpus: 2 train + 1 dev + 0 test sentences"
    corpus.filter_empty_sentences()
    assert str(corpus) == "Corpus: 1 train + 0 dev + 0 test sentences"
    assert messages[-2:] == [
        "train: 1 empty sentences dropped",
        "dev: 1 empty sentences dropped",
    ]
    assert corpus.make_vocab_dictionary().get_items() == ["<unk>", "a"]


@given(
    st.lists(
        st.text(alphabet="ab \t\n", max_size=300) | st.just("a" + " " * 400 + "b"),
        max_size=6,
    )
)
@SETTINGS
def test_text_lengths_are_those_of_the_texts(found):
    table = SentenceDataset.of([Sentence(text) for text in found]).table
    assert table.text_lengths().tolist() == [len(text) for text in found]
    anew = table_of([Sentence(text) for text in found])  # no tabs, nothing at the ends
    assert anew.text_lengths().tolist() == [len(s.text) for s in SentenceDataset(anew)]
    words = [Sentence(text).words for text in found]
    assert [s.words for s in SentenceDataset(anew)] == words


# --- what is written on sentences ---


def from_table():
    return Corpus(SentenceDataset(table_of(made(37, 0))), sample_missing_splits=False)


def from_objects():
    return Corpus(made(37, 0), sample_missing_splits=False)


@pytest.mark.parametrize("corpus_of", [from_table, from_objects])
def test_changes_are_kept_and_seen(corpus_of):
    corpus = corpus_of()
    assert corpus.train.current() is corpus.train
    before = count_labels(corpus.train, "upos")
    corpus.train[5].get_token(1).set_label("upos", "NEW")
    corpus.train[5].add_metadata("who", "me")
    corpus.train[8].remove_labels("upos")
    gc.collect()
    assert corpus.train[5][0].get_label("upos").value == "NEW"
    assert corpus.train[5].get_metadata("who") == "me"
    now = corpus.train.current()
    assert count_labels(now, "upos")["NEW"] == 1
    assert sum(count_labels(now, "upos").values()) == sum(before.values()) + 1 - 2
    assert corpus.make_label_dictionary("upos").has_item("NEW")
    assert corpus.get_label_distribution()["NEW"] == 1
    assert texts(now) == texts(corpus.train) and now.rows is corpus.train.rows
    assert all(a is b for a, b in zip(now, corpus.train, strict=True))


@pytest.mark.parametrize("corpus_of", [from_table, from_objects])
def test_a_second_change_is_seen_too(corpus_of):
    corpus = corpus_of()
    corpus.train[5][0].set_label("upos", "NEW")
    first = corpus.train.current()
    assert corpus.train.current().table is first.table
    corpus.train[5][0].set_label("upos", "NEWER")
    second = corpus.train.current()
    assert "NEWER" in count_labels(second, "upos")
    assert (
        "NEWER" not in count_labels(first, "upos")
        and first.current().table is not first.table
    )
    assert "NEWER" in count_labels(first.current(), "upos")


def test_splits_share_one_snapshot():
    corpus = Corpus(SentenceDataset(table_of(made(37, 0))), random_seed=1)
    corpus.dev[0].add_label("topic", "new")
    assert corpus.train.current().table is corpus.dev.current().table
    assert "new" not in count_labels(corpus.train.current(), "topic")
    assert "new" in count_labels(corpus.dev.current(), "topic")


def test_own_objects_stay_the_same_objects():
    sentences = made(10, 0)
    corpus = Corpus(sentences, sample_missing_splits=False)
    assert all(a is b for a, b in zip(corpus.train, sentences, strict=True))
    sentences[3].add_label("topic", "late")
    assert "late" in corpus.get_label_distribution()


def test_an_empty_sentence_keeps_its_labels():
    "An empty sentence counts as false; it is kept all the same"
    table = table_of([Sentence(""), Sentence("a")])
    dataset = SentenceDataset(table)
    dataset[0].add_label("topic", "none")
    assert dataset[0].get_label("topic").value == "none"
    held = SentenceDataset(table_of([Sentence("")]))
    one = held[0]
    assert held[0] is one
    own = Sentence("")
    assert SentenceDataset.of([own])[0] is own
    assert count_labels(dataset.current(), "topic") == {"none": 1}


def test_sentences_that_nobody_holds_are_freed():
    dataset = SentenceDataset(table_of(made(37, 0)))
    held = dataset[3]
    found = [weakref.ref(sentence) for sentence in dataset]
    gc.collect()
    assert [ref() is not None for ref in found] == [row == 3 for row in range(37)]
    assert dataset[3] is held and dataset.table.kept == {}
    token = dataset[4][0]
    assert dataset[4] is token.sentence
    whole = weakref.ref(dataset.table)
    del dataset, held, token
    gc.collect()
    assert whole() is None


def test_a_snapshot_is_freed_with_the_last_who_uses_it():
    dataset = SentenceDataset(table_of(made(37, 0)))
    dataset[3].add_label("topic", "new")
    found = weakref.ref(dataset.current().table)
    gc.collect()
    assert found() is None


def test_a_walk_over_a_table_builds_each_sentence_once(monkeypatch):
    from flairnb.data import tables as module

    built, build = [], module._build_sentence
    monkeypatch.setattr(
        module,
        "_build_sentence",
        lambda table, row: built.append(row) or build(table, row),
    )
    dataset = SentenceDataset(table_of(made(37, 0)))
    sizes = [len(sentence) for sentence in dataset]
    assert built == list(range(37)) and sizes == dataset.lengths.tolist()
    built.clear()
    dataset.current()
    count_labels(dataset, "upos")
    dataset.table.text_lengths()
    assert built == []


# --- tables ---


@given(
    st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(0, 30), max_size=12)
)
@SETTINGS
def test_joined_and_chosen_rows_are_what_they_were(first, second):
    everything = [*made(31, 0)]
    tables = [table_of([everything[i] for i in rows]) for rows in (first, second)]
    joined = join_tables(*tables)
    both = [*first, *second]
    assert [str(s) for s in SentenceDataset(joined)] == [
        str(table_of([everything[i]]).sentence(0)) for i in both
    ]
    order = np.array([*range(len(both))][::-2], dtype=np.int64)
    assert [str(s) for s in SentenceDataset(take_rows(joined, order))] == [
        str(joined.sentence(int(i))) for i in order
    ]


def with_files(sentences):
    table = table_of(sentences)
    table.files = np.array([0, 2, len(sentences)])
    table.breaks = np.array([0, 3])
    table.comments = [f"# sent_id = {s.text}" for s in sentences]
    return table


def test_files_documents_and_comments_survive_changes_and_joins():
    one, two = (with_files([Sentence(f"{n}{i}") for i in range(5)]) for n in "ab")
    plain = table_of([Sentence("x"), Sentence("y")])
    one.sentence(1).add_label("topic", "new")
    for table in (one, snapshot(one)):
        assert table.sentence(1).previous_sentence().text == "a0"
        assert table.sentence(1).next_sentence() is None
        assert (
            table.sentence(3).start_of_document
            and not table.sentence(1).start_of_document
        )
        assert table.sentence(2).get_metadata("sent_id") == "a2"
    joined = join_tables(join_tables(one, plain), two)
    neighbours = [
        [t.text if t else None for t in (s.previous_sentence(), s.next_sentence())]
        for s in SentenceDataset(joined)
    ]
    assert neighbours == [
        [None, "a1"],
        ["a0", None],
        [None, "a3"],
        ["a2", "a4"],
        ["a3", None],
        [None, None],
        [None, None],
        [None, "b1"],
        ["b0", None],
        [None, "b3"],
        ["b2", "b4"],
        ["b3", None],
    ]
    assert [s.start_of_document for s in SentenceDataset(joined)] == [
        i in (0, 3, 7, 10) for i in range(12)
    ]
    assert joined.sentence(11).get_metadata("sent_id") == "b4" and not joined.sentence(
        5
    ).has_metadata("sent_id")


def test_union_counts_every_sentence():
    data = SentenceDataset(table_of(made(10, 0)))
    once, twice = count_labels(data, "upos"), count_labels(union(data, data), "upos")
    assert twice == {label: 2 * count for label, count in once.items()}
    other = SentenceDataset.of(made(3, 20))
    assert texts(union(other, data)) == texts(other) + texts(data)


def test_equal_counts_stand_in_the_order_of_the_dataset():
    sentences = [Sentence("a") for _ in range(4)]
    for sentence, label in zip(sentences, "BACA", strict=True):
        sentence[0].add_label("x", label)
    data = SentenceDataset.of(sentences)
    assert list(count_labels(data, "x")) == ["A", "B", "C"]
    assert list(count_labels(data.take(np.array([2, 0])), "x")) == ["C", "B"]
    assert count_labels(data.take(np.array([], dtype=int)), "x") == {}


def test_the_first_of_several_labels_counts():
    s = Sentence("a b")
    s[0].add_label("x", "1")
    s[0].add_label("x", "2")
    assert count_labels(SentenceDataset.of([s]), "x") == {"1": 1}


def test_wide_gaps_and_words_with_spaces():
    s = Sentence("a" + " " * 300 + "b")
    assert table_of([s]).sentence(0).text == s.text
    back = table_of([Sentence(["New York ", " x"])]).sentence(0)
    assert back.text == "New York   x"
    assert [back.text[t.start_position : t.end_position] for t in back] == [
        "New York ",
        " x",
    ]


def test_the_gap_behind_the_last_word_is_no_text():
    "Files say of every word, also of the last, that a space follows"
    table = table_of([Sentence("a b"), Sentence(""), Sentence("cc")])
    table.gaps[:] = 1
    assert [s.text for s in SentenceDataset(table)] == ["a b", "", "cc"]
    assert table.text_lengths().tolist() == [3, 0, 2]


LAYERS = """
from flairnb.data import Sentence
from flairnb.data.tables import table_of
s = Sentence("a b")
for name in "qwertyuiop":
    s[0:1].add_label(name, "X")
    s[1].add_label(name * 2, "Y")
print(table_of([s]).layers)
"""


def test_layers_have_one_order():
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", LAYERS]
    output = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    assert (
        output.stdout
        == str([*(name * 2 for name in "qwertyuiop"), *"qwertyuiop"]) + "\n"
    )


def test_string_tables_number_in_order():
    table = StringTable(["a", "b"])
    assert table.numbers(["b", "", "c", "a"]).tolist() == [2, 0, 3, 1]
    assert table.strings == ["", "a", "b", "c"]


# --- copies ---


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
@pytest.mark.parametrize("corpus_of", [from_table, from_objects])
def test_a_corpus_can_be_copied(corpus_of, duplicate):
    corpus = corpus_of()
    corpus.train[2].add_label("topic", "new")
    twin = duplicate(corpus)
    assert [str(s) for s in twin.train] == [str(s) for s in corpus.train]
    assert "new" in count_labels(twin.train.current(), "topic")
    twin.train[2].add_label("topic", "newer")
    twin.train[7].add_label("topic", "newer")
    assert count_labels(twin.train.current(), "topic")["newer"] == 2
    assert "newer" not in count_labels(corpus.train.current(), "topic")


# --- errors ---


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: Corpus(),
            ValueError,
            "corpus: a corpus needs at least one split, got none",
        ),
        (
            lambda: Corpus(made(3, 0), sample_missing_splits="dev"),
            ValueError,
            "'only_dev' or 'only_test', not 'dev'",
        ),
        (
            lambda: Corpus(["text"], name="mine"),
            TypeError,
            "item 0 of mine.train is str, not a Sentence: 'text'",
        ),
        (
            lambda: Corpus(made(1, 0), made(1, 0)[0]),
            TypeError,
            "item 0 of corpus.dev is Token, not a Sentence",
        ),
        (
            lambda: three_splits().make_label_dictionary("pos"),
            ValueError,
            "corpus, train: label type 'pos' is not among the 3 known: upos, topic, ner. Did you mean 'upos'? The layers are: 'upos' (in 35 sentences), 'topic' (in 37 sentences), 'ner' (in 24 sentences)",
        ),
        (
            lambda: Corpus(
                [Sentence("a")], sample_missing_splits=False
            ).make_label_dictionary("x"),
            ValueError,
            "there are no labels at all",
        ),
        (
            lambda: Corpus(
                test=made(3, 0), sample_missing_splits=False
            ).make_label_dictionary("ner"),
            ValueError,
            "corpus has no train split, only test",
        ),
        (
            lambda: Corpus(
                test=made(3, 0), sample_missing_splits=False
            ).make_vocab_dictionary(),
            ValueError,
            "no train split",
        ),
        (
            lambda: three_splits().make_label_dictionary("ner", min_count=99),
            ValueError,
            "no label of type 'ner' occurs 99 times; at most 12",
        ),
    ],
)
def test_errors_say_what_and_where(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_a_layer_that_only_dev_has():
    late = Sentence("a").add_label("mood", "good")
    corpus = Corpus(made(3, 0), [late], sample_missing_splits=False)
    with pytest.raises(ValueError, match="'mood' is not among the 3 known"):
        corpus.make_label_dictionary("mood")
    assert corpus.make_label_dictionary("mood", add_dev_test=True).get_items() == [
        "good"
    ]


def test_unseen_labels_name_split_and_count():
    known = Dictionary.of(["PER"])
    found = [
        (x.label, x.split, x.count) for x in unseen_labels(three_splits(), "ner", known)
    ]
    assert found == [("LOC", "train", 12), ("LOC", "dev", 3), ("LOC", "test", 1)]


def test_what_a_dictionary_leaves_out_is_told(messages):
    three_splits().make_label_dictionary("topic", min_count=12)
    assert messages == [
        "Dictionary created for label 'topic' with 3 values: x (seen 20 times), y (seen 17 times)",
        " - at UNK threshold 12, 7 instances are UNK'ed and 37 remain",
    ]


def test_a_table_without_a_word():
    table = table_of([])
    assert (
        len(table) == 0 and table.layers == [] and table.text_lengths().tolist() == []
    )
    assert len(join_tables(table, table_of([Sentence("")]))) == 1
    assert isinstance(snapshot(table), SentenceTable)

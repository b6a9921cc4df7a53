"Spans and tags: round trips, and nonsense read as an independent library reads it"

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from flairnb.data.labels import (
    Dictionary,
    Label,
    Spans,
    count_up,
    decode_spans,
    encode_spans,
    tag_names,
    tag_parts,
    unknown_item,
)

SETTINGS = settings(derandomize=True, deadline=None, max_examples=200)
LABELS = ["PER", "LOC", "MISC"]
NONSENSE = ["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in ("A", "B-C"))]


def offsets_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def rows(spans):
    return list(zip(*(column.tolist() for column in spans), strict=True))


@st.composite
def sentences_with_spans(draw):
    "Lengths of sentences, and spans in them that do not overlap"
    lengths, found = draw(st.lists(st.integers(0, 9), min_size=1, max_size=6)), []
    for sentence, length in enumerate(lengths):
        position = 0
        while position < length:
            size = draw(st.integers(0, length - position))
            if size:
                label = draw(st.integers(0, len(LABELS) - 1))
                found.append((sentence, position, position + size, label))
            position += max(size, 1)
    return lengths, found


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@given(sentences_with_spans())
@SETTINGS
def test_what_was_encoded_comes_back(scheme, drawn):
    lengths, found = drawn
    columns = np.array(found, dtype=np.int64).reshape(-1, 4).T
    tags = encode_spans(Spans(*columns), offsets_of(lengths), scheme)
    assert len(tags) == sum(lengths)
    spans, labels = decode_spans(tags, offsets_of(lengths), tag_names(LABELS, scheme))
    assert rows(spans) == found and labels == LABELS


@given(
    st.lists(st.lists(st.sampled_from(NONSENSE), max_size=12), min_size=1, max_size=4)
)
@SETTINGS
def test_nonsense_is_read_as_seqeval_reads_it(tags):
    numbers = np.array(
        [NONSENSE.index(tag) for row in tags for tag in row], dtype=np.int64
    )
    offsets = offsets_of([len(row) for row in tags])
    spans, labels = decode_spans(numbers, offsets, NONSENSE)
    found = [
        (sentence, labels[label], start, stop)
        for sentence, start, stop, label in rows(spans)
    ]
    assert found == [
        (sentence, label, start, last + 1)
        for sentence, row in enumerate(tags)
        for label, start, last in get_entities(row)
    ]


@given(
    st.lists(st.lists(st.sampled_from(NONSENSE), max_size=8), min_size=1, max_size=4)
)
@SETTINGS
def test_a_sentence_is_read_as_if_it_stood_alone(tags):
    "No span runs over the end of a sentence"
    together = []
    for sentence, row in enumerate(tags):
        numbers = np.array([NONSENSE.index(tag) for tag in row], dtype=np.int64)
        alone = decode_spans(numbers, offsets_of([len(row)]), NONSENSE)[0]
        together += [(sentence, *span[1:]) for span in rows(alone)]
    numbers = np.array(
        [NONSENSE.index(tag) for row in tags for tag in row], dtype=np.int64
    )
    whole = decode_spans(numbers, offsets_of([len(row) for row in tags]), NONSENSE)[0]
    assert rows(whole) == together


def test_tags_without_a_label_are_outside():
    codes, numbers, labels = tag_parts(["O", "B", "B-", "PER", "", "U-X", "L-X"])
    assert codes.tolist() == [0, 0, 0, 0, 0, 4, 3]
    assert numbers.tolist() == [-1] * 5 + [0, 0] and labels == ["X"]


def test_no_sentence_at_all():
    nothing = np.zeros(0, dtype=np.int64)
    spans, _ = decode_spans(nothing, np.array([0]), ["O", "B-X"])
    assert rows(spans) == []
    assert encode_spans(Spans(*[nothing] * 4), np.array([0])).tolist() == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: tag_names(["X"], "IOB9"),
        lambda: encode_spans(Spans(*[np.zeros(0, int)] * 4), np.array([0]), "IOB9"),
    ],
)
def test_another_scheme_is_named(call):
    with pytest.raises(ValueError, match="'IOB9' is unknown: choose 'BIO' or 'BIOES'"):
        call()


@given(st.lists(st.integers(0, 5), max_size=6))
@SETTINGS
def test_counting_up(lengths):
    assert count_up(np.array(lengths, dtype=np.int64)).tolist() == [
        i for n in lengths for i in range(n)
    ]


# --- Dictionary ---


@given(st.lists(st.text(max_size=4), max_size=20), st.booleans())
@SETTINGS
def test_numbers_and_items_are_each_others_inverse(items, add_unk):
    made = Dictionary(add_unk)
    numbers = [made.add_item(item) for item in items]
    assert [made.get_item_for_index(number) for number in numbers] == items
    assert made.get_idx_for_items(items) == numbers
    assert made.get_items() == list(dict.fromkeys([*["<unk>"] * add_unk, *items]))
    assert Dictionary.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_removal_moves_the_others_up():
    made = Dictionary.of(["a", "b", "c"])
    made.remove_item("a")
    made.remove_item("never there")
    assert made.get_idx_for_items(["b", "c"]) == [0, 1] and not made.has_item("a")
    assert made.add_item("d") == 2


def test_the_unknown():
    assert Dictionary.of(["a"], add_unk=True).get_idx_for_item("b") == 0
    with pytest.raises(IndexError, match="'Noun' is not among the 2 known: NOUN, VERB"):
        Dictionary.of(["NOUN", "VERB"]).get_idx_for_item("Noun")
    with pytest.raises(IndexError, match="item 2: the 2 items count from 0"):
        Dictionary.of(["a", "b"]).get_item_for_index(2)
    with pytest.raises(IndexError):
        Dictionary.of(["a", "b"]).get_item_for_index(-1)
    with pytest.raises(TypeError, match="an item is a str, not float: nan"):
        Dictionary().add_item(float("nan"))
    with pytest.raises(TypeError, match="multilabel"):
        Dictionary.of(["a"], multilabel=True)
    assert "nothing else" in unknown_item("x", [])


def test_prints_are_those_of_flair():
    "Literal results of Flair 0.15.1"
    made = Dictionary()
    for item in "b a c a".split():
        made.add_item(item)
    assert str(made) == "Dictionary with 4 tags: <unk>, b, a, c"
    assert str(Dictionary.of(map(str, range(51)))).endswith("48, 49, ...")
    assert not made.is_span_prediction_problem()
    made.add_item("B-x")
    assert made.is_span_prediction_problem()


def test_files(tmp_path):
    made = Dictionary.of(
        ["ä", "\u2028", "B"], add_unk=True, span_labels=True, multi_label=True
    )
    made.save(tmp_path / "d.json")
    back = Dictionary.load_from_file(tmp_path / "d.json")
    assert back == made and back.span_labels and back.multi_label and back.add_unk
    for content in (b"", b"\x80\x04}.", b"[1]", b'{"items": ["a"], "other": 1}', b"{}"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad is not a dictionary"):
            Dictionary.load_from_file(tmp_path / "bad")
    with pytest.raises(FileNotFoundError):
        Dictionary.load_from_file(tmp_path / "none")


def test_labels_compare_and_hash():
    one, same = Label("x", "A", 0.5, "ner"), Label("x", "A", 0.5, "pos")
    assert one == same and hash(one) == hash(same)
    assert one != Label("x", "A", 0.6) and one != Label("y", "A", 0.5) and one != "A"
    assert repr(Label(None, "A")) == "'A' (1.0)"

"Sentences: offsets, labels, prints as Flair's, copies, and input as it comes"

from __future__ import annotations

import copy
import pickle
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.data import Label, Sentence, Span, Token
from flairnb.data.sentence import Layer
from flairnb.data.tables import SentenceDataset, table_of

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
TEXTS = st.text(
    alphabet=st.characters(exclude_categories=["Cs"])
    | st.sampled_from(" \t\n.,'’\u200d👩🏽\u0301"),
    max_size=40,
)
WORDS = st.lists(st.text(alphabet="ab \tä👍\u0301", max_size=4), max_size=8)


def assert_offsets(sentence):
    for token in sentence:
        assert sentence.text[token.start_position : token.end_position] == token.text
    for start in range(len(sentence)):
        span = sentence[start:]
        assert sentence.text[span.start_position : span.end_position] == span.text
    ends = [token.end_position for token in sentence]
    starts = [token.start_position for token in sentence]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


@pytest.mark.parametrize("tokenizer", [True, False])
@given(TEXTS)
@SETTINGS
def test_every_offset_points_at_its_word(tokenizer, text):
    sentence = Sentence(text, use_tokenizer=tokenizer)
    assert sentence.text == text
    assert_offsets(sentence)


@given(WORDS)
@SETTINGS
def test_words_stand_one_space_apart(words):
    sentence = Sentence(words)
    assert sentence.words == [word for word in words if word]
    assert sentence.text == " ".join(sentence.words) == sentence.to_tokenized_string()
    assert_offsets(sentence)


@given(WORDS, TEXTS)
@SETTINGS
def test_a_table_gives_words_and_offsets_back(words, text):
    table = table_of([Sentence(words), Sentence(text)])
    first, second = table.sentence(0), table.sentence(1)
    assert (first.text, first.words) == (Sentence(words).text, Sentence(words).words)
    assert second.words == Sentence(text).words
    assert_offsets(first)
    assert_offsets(second)
    assert table.text_lengths().tolist() == [len(first.text), len(second.text)]


# --- against Flair 0.15.1: the right-hand sides are what it printed ---


def washington():
    s = Sentence("George Washington went to Washington .")
    s[0:2].add_label("ner", "PER", 0.98765)
    s[4:5].add_label("ner", "LOC")
    s[2].add_label("upos", "VERB")
    s[2].add_label("upos", "NOUN", 0.3)
    s[0].add_label("upos", "PROPN")
    s[1].add_label("frame", "x")
    s[1].add_label("upos", "PROPN")
    return s


HEAD = 'Sentence[6]: "George Washington went to Washington ."'


def test_prints_with_several_labels_on_a_token():
    s = washington()
    assert (
        str(s)
        == repr(s)
        == HEAD
        + ' → ["George Washington"/PER, "George"/PROPN, "Washington"/x/PROPN, "went"/VERB/NOUN, "Washington"/LOC]'
    )
    assert (
        s.to_tagged_string("upos")
        == HEAD + ' → ["George"/PROPN, "Washington"/PROPN, "went"/VERB/NOUN]'
    )
    assert s.to_tagged_string("topic") == HEAD
    assert (
        str(s.get_labels())
        == """['Span[0:2]: "George Washington"'/'PER' (0.9877), 'Token[0]: "George"'/'PROPN' (1.0), 'Token[1]: "Washington"'/'PROPN' (1.0), 'Token[1]: "Washington"'/'x' (1.0), 'Token[2]: "went"'/'VERB' (1.0), 'Token[2]: "went"'/'NOUN' (0.3), 'Span[4:5]: "Washington"'/'LOC' (1.0)]"""
    )
    assert (
        str(s.labels)
        == """['Span[0:2]: "George Washington"'/'PER' (0.9877), 'Span[4:5]: "Washington"'/'LOC' (1.0), 'Token[2]: "went"'/'VERB' (1.0), 'Token[2]: "went"'/'NOUN' (0.3), 'Token[0]: "George"'/'PROPN' (1.0), 'Token[1]: "Washington"'/'PROPN' (1.0), 'Token[1]: "Washington"'/'x' (1.0)]"""
    )
    assert [str(token) for token in s][:4] == [
        'Token[0]: "George" → PROPN (1.0000)',
        'Token[1]: "Washington" → x (1.0000); PROPN (1.0000)',
        'Token[2]: "went" → VERB (1.0000); NOUN (0.3000)',
        'Token[3]: "to"',
    ]
    assert (
        str(s.get_spans())
        == '[Span[0:2]: "George Washington" → PER (0.9877), Span[4:5]: "Washington" → LOC (1.0000)]'
    )
    assert s.get_spans("upos") == [] and s.tag == "PER"
    assert list(s.annotation_layers) == ["ner", "upos", "frame"]
    assert list(s[1].annotation_layers) == ["frame", "upos"]


def test_prints_after_changes():
    s = washington()
    s[0:2].set_label("ner", "ORG", 0.5)
    assert (
        str(s.get_labels("ner"))
        == """['Span[0:2]: "George Washington"'/'ORG' (0.5), 'Span[4:5]: "Washington"'/'LOC' (1.0)]"""
    )
    assert (
        str(s.labels[:2])
        == """['Span[4:5]: "Washington"'/'LOC' (1.0), 'Span[0:2]: "George Washington"'/'ORG' (0.5)]"""
    )
    assert s.tag == "LOC"
    s[2].set_label("upos", "AUX")
    assert (
        str(s)
        == HEAD
        + ' → ["George Washington"/ORG, "George"/PROPN, "Washington"/x/PROPN, "went"/AUX, "Washington"/LOC]'
    )
    s[2].remove_labels("upos")
    assert (
        str(s)
        == HEAD
        + ' → ["George Washington"/ORG, "George"/PROPN, "Washington"/x/PROPN, "Washington"/LOC]'
    )
    s.remove_labels("ner")
    assert str(s) == HEAD + ' → ["George"/PROPN, "Washington"/x/PROPN]'
    assert s.get_spans() == [] and s.tag == "PROPN"


def test_prints_of_overlapping_spans():
    s = Sentence("a b c d e f")
    for start, stop, value in [(1, 4, "A"), (2, 3, "B"), (1, 2, "C"), (0, 6, "D")]:
        s[start:stop].add_label("ner", value)
    s[2].add_label("ner", "E")
    s.add_label("ner", "F")
    assert (
        str(s)
        == 'Sentence[6]: "a b c d e f" → F (1.0000) → ["a b c d e f"/D, "b c d"/A, "b"/C, "c"/B, "c"/E]'
    )
    assert [x.value for x in s.get_labels()] == ["D", "F", "A", "C", "B", "E"]
    assert [x.value for x in s.labels] == ["A", "B", "C", "D", "E", "F"]
    assert (
        str(s.get_spans())
        == '[Span[0:6]: "a b c d e f" → D (1.0000), Span[1:4]: "b c d" → A (1.0000), Span[1:2]: "b" → C (1.0000), Span[2:3]: "c" → B (1.0000)]'
    )


def test_prints_of_label_metadata():
    s = Sentence("a b c")
    s[1].add_label("ner", "A", 0.123456, source="me", n=2)
    s[0:2].add_label("ner", "B", metadata="z")
    s.add_label("topic", "T", k="v")
    s[1].add_label("upos", "A")
    s[1].add_label("ner", "Z")
    assert (
        str(s)
        == 'Sentence[3]: "a b c" → T/k=v (1.0000) → ["a b"/B/metadata=z, "b"/A/source=me/n=2/Z/A]'
    )
    assert (
        str(s.get_labels())
        == """['Span[0:2]: "a b"'/'B'/metadata=z (1.0), 'Sentence[3]: "a b c"'/'T'/k=v (1.0), 'Token[1]: "b"'/'A'/source=me/n=2 (0.1235), 'Token[1]: "b"'/'Z' (1.0), 'Token[1]: "b"'/'A' (1.0)]"""
    )
    assert (
        str(s[1]) == 'Token[1]: "b" → A/source=me/n=2 (0.1235); Z (1.0000); A (1.0000)'
    )
    assert s[1].get_label("ner").metadata == {"source": "me", "n": 2}
    s[0:2].remove_labels("ner")
    assert [x.metadata for x in s.get_labels("ner")] == [{"source": "me", "n": 2}, {}]


def test_prints_of_a_token_and_a_span_on_the_same_word():
    s = Sentence("a b c")
    for point, layer, value in [
        (s[0], "x", "1"),
        (s[0], "y", "2"),
        (s[0], "x", "3"),
        (s[0:1], "y", "4"),
        (s[0:1], "x", "5"),
    ]:
        point.add_label(layer, value)
    assert str(s) == 'Sentence[3]: "a b c" → ["a"/1/3/2, "a"/4/5]'
    assert str(s[0:1]) == 'Span[0:1]: "a" → 4 (1.0000); 5 (1.0000)'
    assert [x.value for x in s.get_labels()] == ["1", "3", "5", "2", "4"]
    assert s[0].to_dict("x") == {
        "text": "a",
        "start_pos": 0,
        "end_pos": 1,
        "labels": [
            {"value": "1", "confidence": 1.0},
            {"value": "3", "confidence": 1.0},
        ],
    }


def test_the_sentence_of_tutorial_1():
    s = Sentence("The grass is green.")
    s[3].set_label("ner", "color")
    s.add_label("topic", "nature", 0.9).add_label("topic", "x")
    assert (
        str(s)
        == 'Sentence[5]: "The grass is green." → nature (0.9000); x (1.0000) → ["green"/color]'
    )
    assert (
        str(s.labels)
        == """['Token[3]: "green"'/'color' (1.0), 'Sentence[5]: "The grass is green."'/'nature' (0.9), 'Sentence[5]: "The grass is green."'/'x' (1.0)]"""
    )
    assert s.get_label().value == "nature" and s.tag == "color"
    assert [
        (t.start_position, t.end_position, t.whitespace_after, t.idx) for t in s
    ] == [(0, 3, 1, 1), (4, 9, 1, 2), (10, 12, 1, 3), (13, 18, 0, 4), (18, 19, 0, 5)]
    assert s.to_dict("topic")["labels"] == [
        {"value": "nature", "confidence": 0.9},
        {"value": "x", "confidence": 1.0},
    ]
    assert set(s.to_dict()) == {"text", "labels", "entities", "relations", "tokens"}
    assert str(s[-2:]) == 'Span[3:5]: "green."' and str(s[-1]) == 'Token[4]: "."'
    assert [str(x) for x in sorted([s[2:3], s[0:1], s[1]])] == [
        'Span[0:1]: "The"',
        'Token[1]: "grass"',
        'Span[2:3]: "is"',
    ]
    assert repr(Label(s[1], "V", 0.33333333)) == """'Token[1]: "grass"'/'V' (0.3333)"""


def test_tokens_bring_what_they_have():
    one, two = Token("q", head_id=2), Token("x", whitespace_after=0)
    two.add_label("upos", "N", 0.5, by="me")
    two.add_metadata("seen", True)
    s = Sentence([one, two, Token("."), "", "end"])
    assert str(s) == 'Sentence[4]: "q x. end" → ["x"/N/by=me]'
    assert s[1].get_metadata("seen") and s[1].get_label("upos").score == 0.5
    assert s[0].head_id == 2 and s[0].get_head() == s[1] and s[1].get_head() is None
    assert str(two) == 'Token[0]: "x" → N/by=me (0.5000)'
    two.set_label("upos", "V")
    assert s[1].get_label("upos").value == "N"
    assert Sentence([Token("a", start_position=3), Token("b")]).text == "   a b"
    assert (
        Sentence([*Sentence("Hi you."), *Sentence("Me too.")]).text == "Hi you. Me too."
    )


# --- labels ---

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add_label", "set_label", "remove_labels"]),
        st.sampled_from(["whole", (0,), (2,), (0, 2), (2, 3), (0, 4)]),
        st.sampled_from(["ner", "upos"]),
        st.sampled_from("ABC"),
    ),
    max_size=20,
)


@given(OPERATIONS)
@SETTINGS
def test_labels_follow_a_plain_model(operations):
    "A list of (place, layer, value) is the specification of the calls"
    s, model = Sentence("a b c d"), []
    for call, place, layer, value in operations:
        point = (
            s
            if place == "whole"
            else s[slice(*place)]
            if len(place) == 2
            else s[place[0]]
        )
        if call == "remove_labels":
            point.remove_labels(layer)
            gone = [x for x in model if x[1] == layer and place in ("whole", x[0])]
        else:
            getattr(point, call)(layer, value)
            gone = [x for x in model if x[:2] == (place, layer) and call == "set_label"]
        model = [x for x in model if x not in gone]
        model += [(place, layer, value)] if call != "remove_labels" else []
    for place in ["whole", (0,), (2,), (0, 2), (2, 3), (0, 4)]:
        point = (
            s
            if place == "whole"
            else s[slice(*place)]
            if len(place) == 2
            else s[place[0]]
        )
        for layer in ("ner", "upos"):
            there = [x[2] for x in model if x[:2] == (place, layer)]
            own = [x.value for x in point.get_labels(layer) if x.data_point == point]
            assert own == there
            assert place == "whole" or point.has_label(layer) == bool(there)
    assert sorted(x.value for x in s.labels) == sorted(x[2] for x in model)
    assert sorted(x.value for x in s.get_labels()) == sorted(x[2] for x in model)
    assert {(x._first_token, x._stop_token) for x in s.get_spans()} == {
        x[0] for x in model if len(x[0]) == 2
    }
    fresh = table_of([s]).sentence(0)
    assert fresh.get_spans() == [] or len(fresh.get_spans()) == len(s.get_spans())


def test_set_label_on_a_sentence_leaves_its_tokens_alone():
    s = Sentence("a b")
    s[0].add_label("x", "T")
    s.add_label("x", "1").add_label("x", "2")
    s.set_label("x", "3")
    assert [x.value for x in s.labels] == ["T", "3"]


@pytest.mark.parametrize("value", [None, float("nan"), np.nan, ""])
def test_a_gap_is_no_label(value):
    s = Sentence("a b")
    for point in (s, s[0], s[0:1]):
        for call in (point.add_label, point.set_label):
            with pytest.raises(ValueError, match="label of type 'ner' has no value"):
                call("ner", value)
    assert s.labels == [] and s._layers == {}


def test_a_refused_label_leaves_the_old_one():
    s = Sentence("a b")
    s[0].add_label("ner", "A")
    with pytest.raises(ValueError, match="score of 'B' in 'ner' is not a number"):
        s[0].set_label("ner", "B", float("nan"))
    assert s[0].get_label("ner").value == "A"
    assert s[0].set_label("ner", 5).get_label("ner").value == "5"


def test_windows_are_equal_by_place():
    s, other = Sentence("a b c"), Sentence("a b c")
    assert s[1] == s.get_token(2) == s[-2] and s[0:2] == s.get_span(0, 2)
    assert s[0] != other[0] and s[0] != s[0:1] and len({s[0], s[0], s[0:1]}) == 2
    assert Span([s[0], s[1]]) == s[0:2] and list(s[0:2]) == [s[0], s[1]]
    with pytest.raises(ValueError, match="in one sentence"):
        Span([s[0], other[1]])
    with pytest.raises(ValueError, match="in a row"):
        Span([s[0], s[2]])
    with pytest.raises(ValueError, match="at least one"):
        Span([])


@pytest.mark.parametrize(
    "place", [3, -4, slice(2, 2), slice(0, 3, 2), slice(2, 1), slice(5, 9)]
)
def test_what_is_not_there(place):
    with pytest.raises(IndexError, match="3 tokens"):
        Sentence("a b c")[place]


@pytest.mark.parametrize("number", [0, -1, 4])
def test_token_numbers_count_from_one(number):
    with pytest.raises(
        IndexError, match=f"token {number}: the tokens count from 1 to 3"
    ):
        Sentence("a b c").get_token(number)


# --- metadata, vectors, copies ---


def test_every_data_point_keeps_its_metadata():
    s = Sentence("a b c")
    for number, point in enumerate([s, s[0], s[0:1], s[0:2]]):
        point.add_metadata("n", number)
    assert [p.get_metadata("n") for p in (s, s[0], s[0:1], s[0:2])] == [0, 1, 2, 3]
    assert not s[1].has_metadata("n")
    with pytest.raises(KeyError, match="metadata of Token"):
        s[1].get_metadata("n")


def test_vectors_are_rows_of_a_matrix():
    s = Sentence("a b")
    s.put_embedding("one", torch.tensor([[1.0, 2], [3, 4]]))
    s.put_embedding("two", torch.tensor([[5.0], [6]]))
    s.set_embedding("all", torch.tensor([9.0]))
    assert s[1].embedding.tolist() == [3, 4, 6] and s.embedding.tolist() == [9]
    assert s[0].get_embedding(["two", "one", "none"]).tolist() == [5, 1, 2]
    s.clear_embeddings(["one", "never"])
    assert s[0].embedding.tolist() == [5]
    s.clear_embeddings()
    assert s[0].embedding.tolist() == s.embedding.tolist() == []


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_have_all_and_share_nothing(duplicate):
    s = washington()
    s.add_metadata("k", [1])
    s.language_code, s.start_of_document = "en", True
    s.put_embedding("e", torch.ones(6, 2))
    s.put_distributions("upos", ["A"], [[1.0]] * 6)
    twin = duplicate(s)
    assert (str(twin), twin.get_metadata("k"), twin.language_code) == (
        str(s),
        [1],
        "en",
    )
    assert twin.start_of_document and twin[0].embedding.tolist() == [1, 1]
    assert (
        str(twin[1]) == str(s[1]) and twin[0].get_tags_proba_dist("upos")[0].score == 1
    )
    twin[0].add_label("ner", "Z")
    twin.get_metadata("k").append(2)
    assert not s[0].has_label("ner") and s.get_metadata("k") == [1]
    assert str(duplicate(s[0:2])) == str(s[0:2]) and str(duplicate(s.labels)) == str(
        s.labels
    )


def test_a_copy_does_not_take_its_corpus_along():
    dataset = SentenceDataset(table_of([Sentence(f"word{i} x") for i in range(2000)]))
    data = pickle.dumps(dataset[7])
    assert len(data) < 1500 and pickle.loads(data).text == "word7 x"


def test_the_memory_of_a_sentence_comes_back():
    s = washington()
    found = weakref.ref(s)
    del s
    assert found() is None


# --- input as it comes ---


@pytest.mark.parametrize("text", ["", " ", "\n\t \u00a0", []])
def test_nothing_to_read(text):
    s = Sentence(text)
    assert len(s) == 0 and list(s) == [] and not s and s.get_spans() == []
    assert s.add_label("topic", "none").tag == "none"
    assert s.to_dict()["tokens"] == [] and s.end_position == len(s.text)
    with pytest.raises(IndexError):
        s[0]


@pytest.mark.parametrize(
    "text, words",
    [
        ("👩🏽‍🚀 flies", ["👩🏽‍🚀", "flies"]),
        ("e\u0301te\u0301 !", ["e\u0301te\u0301", "!"]),
    ],
)
def test_sequences_stay_together(text, words):
    s = Sentence(text)
    assert s.words == words
    assert_offsets(s)


@pytest.mark.parametrize("text", [None, float("nan"), 5, b"bytes", np.nan])
def test_what_is_no_text(text):
    with pytest.raises(
        TypeError,
        match=f"made of a str, or of a list of words, not of {type(text).__name__}",
    ):
        Sentence(text)


def test_words_of_another_kind():
    with pytest.raises(
        TypeError, match=r"word 1 of the sentence is float, not str: nan"
    ):
        Sentence(["a", float("nan")])
    assert Sentence(word for word in ["a", "b"]).words == ["a", "b"]
    assert Sentence(("New York", "is")).words == ["New York", "is"]
    assert Sentence(np.array(["a", "b"])).text == "a b"


def test_labels_on_fresh_tokens_cost_one_step_each(monkeypatch):
    steps, add = [], Layer.add
    monkeypatch.setattr(Layer, "add", lambda *a, **k: steps.append(1) or add(*a, **k))
    s = Sentence([f"w{i}" for i in range(300)])
    for token in s:
        token.add_label("upos", "X")
        token.set_label("xpos", "Y")
    assert len(steps) == 600

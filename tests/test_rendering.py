"Pictures of labels: every page is read again by a parser that knows nothing of how it was made"

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb import set_seed
from flairnb.data import Corpus, DataPair, Dictionary, Sentence
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.error_browser import browse_errors, sentence_losses, worst
from flairnb.evaluation import SpanCounts, TokenCounts
from flairnb.models import SequenceTagger, TextClassifier
from flairnb.rendering import (
    FAINT,
    INK,
    PALETTE,
    PAPER,
    Box,
    bar,
    colour_slots,
    compared,
    contrast,
    direction,
    escaped,
    fill_of,
    ink_on,
    nested,
    page,
    picture_of,
    render,
    style,
    table,
)

VOID = {"br", "meta", "input"}


class Reader(HTMLParser):
    "What a browser would see: elements, their attributes, the text, the text to copy"

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes = [], [], []
        self.text = self.copied = ""
        self.marks, self.boxes = [], []  # open boxes; (title, words) of closed ones
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "mark":
            self.marks.append([dict(attrs)["title"], ""])

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)  # <path/>, which closes itself

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"crossing at </{tag}>"
        if tag == "mark":
            self.boxes.append(tuple(self.marks.pop()))

    def handle_data(self, data):
        if "style" in self.open or "title" in self.open:
            return
        self.text += data
        if not {"b", "rt"} & set(self.open):  # those have user-select: none
            self.copied += data
            for mark in self.marks:
                mark[1] += data


def labelled(words, spans=(), tags=(), layer="ner"):
    "A sentence with (start, stop, label) on words"
    made = Sentence(words)
    for start, stop, label in spans:
        made[start:stop].add_label(layer, label)
    for place, tag in enumerate(tags):
        made[place].add_label("upos", tag)
    return made


# --- colours ---


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_all_text_has_the_contrast_that_wcag_asks_for(mode):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # published
    for colour in PALETTE.values():
        assert contrast(INK[mode], fill_of(colour, mode)) >= 4.5
        assert contrast(ink_on(colour), colour) >= 4.5
        assert fill_of(colour, mode) in style() and colour in style()
    assert contrast(INK[mode], PAPER[mode]) >= 4.5
    assert contrast(FAINT[mode], PAPER[mode]) >= 4.5


def test_seven_labels_have_seven_colours_and_more_have_other_lines():
    slots = colour_slots(map(str, range(21)))
    assert sorted(slots.values()) == list(range(21))
    assert colour_slots(["b", "a", "b"]) == colour_slots(["a", "b"])


def test_a_label_keeps_its_colour_beside_others_where_it_can():
    alone = {name: colour_slots([name])[name] for name in ("PER", "LOC", "ORG", "MISC")}
    assert colour_slots(["PER", "LOC"]) == {n: alone[n] for n in ("PER", "LOC")}


# --- nothing of a user's is markup ---

RUDE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</mark></p></div><h1>",
    "&lt;b&gt; &amp;amp; &#60;i&#62;",
    "<!-- ", "]]>", "<style>*{display:none}</style>",
    "\u202eright\u2066to\u2069left\u202c",
    "nul\x00bell\x07 half\ud83d",
]  # fmt: skip


@pytest.mark.parametrize("rude", RUDE)
def test_a_rude_text_is_shown_and_not_obeyed(rude):
    sentence = Sentence([rude, "word"])
    sentence[0:1].add_label(rude, rude)
    sentence[1].add_label("upos", rude)
    sentence.add_label(f"topic {rude}", rude, 0.5)
    seen = Reader(render(sentence))
    assert set(seen.tags) <= {
        "div", "style", "p", "mark", "b", "i", "ruby", "rt", "bdi", "small",
    }  # fmt: skip
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    readable = rude.translate({0: "␀", 7: "␇", 0xD83D: "\ufffd"})
    assert readable in seen.copied.replace("\r", "")
    render(sentence).encode()  # can be written to a file
    assert "<script" not in page(render(sentence), title=rude).lower()


def test_marks_that_steer_the_direction_have_no_effect_and_are_shown():
    made = escaped("a\u202eb")
    element = r'a<bdi class="mark" title="RIGHT-TO-LEFT OVERRIDE" data-mark="U\+202E">&#8238;</bdi>b'
    assert re.fullmatch(element, made)
    assert escaped("a\u202eb", attribute=True) == "aU+202Eb"
    assert escaped("\u200f\u200e") == "\u200f\u200e"  # marks that order nothing else


@given(st.text(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_back_from_its_html(text, attribute):
    made = escaped(text, attribute)
    assert not set(made) & set("\"'") or not attribute
    shown = re.sub("<bdi[^>]*>|</bdi>", "", made)
    seen = Reader(f"<p>{shown}</p>")
    assert len(seen.text) >= len(text) and seen.tags == ["p"]


# --- the text can be copied ---


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_boxes_never_cross_and_the_plain_text_is_copied(data):
    count = data.draw(st.integers(1, 8))
    bounds = st.tuples(st.integers(0, count - 1), st.integers(1, count)).filter(
        lambda pair: pair[0] < pair[1]
    )
    spans = data.draw(st.lists(bounds, max_size=6, unique=True))
    words = [f"w{n}" for n in range(count)]
    named = [(start, stop, f"L{n}") for n, (start, stop) in enumerate(spans)]
    tags = words if data.draw(st.booleans()) else ()
    seen = Reader(render(labelled(words, named, tags)))  # asserts that none cross
    assert seen.copied == " ".join(words)
    parts = {name: [] for *_, name in named}
    for title, text in seen.boxes:
        parts[re.search(r"L\d+", title)[0]].append(text)
    for start, stop, name in named:  # the pieces of a label cover its words
        assert " ".join(parts[name]).split() == words[start:stop]


def test_a_label_is_written_once_however_often_its_box_is_cut():
    html = render(
        labelled(list("abcdefg"), [(0, 3, "A"), (2, 5, "B"), (4, 7, "C"), (1, 6, "D")])
    )
    assert {name: html.count(f"&#160;{name}</b>") for name in "ABCD"} == dict.fromkeys(
        "ABCD", 1
    )


def test_the_outer_of_nested_boxes_is_higher():
    events = nested([Box(0, 9, "x"), Box(1, 8, "y"), Box(2, 3, "z"), Box(4, 5, "z")])
    heights = {p.box.label: p.height for part in events.values() for p in part if p}
    assert heights == {"x": 2, "y": 1, "z": 0}


def test_scores_are_told_on_hover():
    sentence = Sentence("Berlin is old")
    sentence[0:1].add_label("ner", "LOC", 0.987654)
    assert ("title", "ner: LOC, score 0.9877") in Reader(render(sentence)).attributes


def test_spacing_and_lines_of_the_text_stay():
    sentence = Sentence("Two  spaces,\n\ta tab.")
    sentence[0:2].add_label("ner", "X")
    assert Reader(render(sentence)).copied == sentence.text
    assert "white-space:pre-wrap" in style()


def test_runs_against_the_direction_of_a_text_have_a_direction_of_their_own():
    tags = list("ABCDE")
    html = render(labelled("שלום New York 1980 היום".split(), [(1, 3, "LOC")], tags))
    seen = Reader(html)
    assert [v for k, v in seen.attributes if k == "dir"] == ["auto", "ltr"]
    assert seen.copied == "שלום New York 1980 היום"
    assert direction("1980") == "" and "<bdi" not in render(labelled(["a"], tags="X"))


def test_a_pair_is_two_texts_with_the_labels_of_both():
    pair = DataPair(
        labelled("Ada sang".split(), [(0, 1, "PER")]), Sentence("Who sang?")
    )
    pair.add_label("entailment", "yes", 0.75)
    seen = Reader(render(pair))
    assert seen.copied == "Ada sang" + "Who sang?"
    assert seen.tags.count("p") == 3 and "yes 0.75" in seen.text


def test_empty_sentences_and_no_sentences_have_pictures():
    assert Reader(render(Sentence(""))).copied == ""
    assert Reader(render([])).copied == ""


def test_a_page_needs_no_script_and_no_network():
    html = page(render(labelled(["a"], [(0, 1, "X")])), "A <title>")
    assert not re.search(r"<script|https?://|@import|url\(|<link", html)
    assert "default-src 'none'" in html and "&#60;title&#62;" in html


def test_work_grows_with_the_text_and_not_with_its_square():
    "Counted in steps, not in seconds"
    import sys

    def steps(count):
        sentence = labelled(
            ["w"] * count, [(n, n + 2, "X") for n in range(0, count, 2)]
        )
        total = 0

        def count_calls(frame, event, _):
            nonlocal total
            total += 1

        sys.setprofile(count_calls)
        try:
            render(sentence)
        finally:
            sys.setprofile(None)
        return total

    assert steps(2000) < 2.2 * steps(1000)


# --- errors ---


def random_spans(generator, words=9):
    "Spans that do not overlap, as a tagger has them"
    found, place = set(), 0
    while place < words:
        stop = place + generator.choice([1, 1, 2, 3])
        if stop <= words and generator.random() < 0.6:
            found.add((place, stop, generator.choice("XYZ")))
        place = stop
    return found


def test_verdicts_add_up_to_what_the_evaluation_counts():
    "The report, from arrays, against the verdicts, from rows"
    generator, counts, boxes = random.Random(1), SpanCounts(["X", "Y", "Z"]), []
    for _ in range(200):
        gold, found = random_spans(generator), random_spans(generator)
        boxes += compared([Box(*x) for x in gold], [Box(*x) for x in found])
        columns = [
            [(0, start, stop, "XYZ".index(label)) for start, stop, label in side]
            for side in (gold, found)
        ]
        counts.add(
            *(
                [list(c) for c in zip(*side, strict=True)] or [[]] * 4
                for side in columns
            )
        )
    tally = counts.tally()
    number = {
        kind: sum(box.verdict == kind for box in boxes)
        for kind in ("right", "missed", "spurious", "wrong type")
    }
    assert min(number.values()) > 10
    assert number["right"] == tally.hits.sum()
    assert number["right"] + number["missed"] + number["wrong type"] == tally.gold.sum()
    assert (
        number["right"] + number["spurious"] + number["wrong type"]
        == tally.predicted.sum()
    )


def test_each_kind_of_error_has_a_word_and_a_line_of_its_own():
    sentence = labelled(list("abcdefgh"), [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")])
    for start, label in ((0, "X"), (2, "Y"), (4, "Z")):
        sentence[start : start + 1].add_label("guess", label)
    seen = Reader(render(sentence, compare="ner"))
    for said in ("X ✓", "X missed", "Y ≠ X", "Z spurious"):
        assert said in seen.text
    assert seen.text.endswith("1 right · 1 missed · 1 spurious · 1 wrong type")
    lines = re.findall(r"\.(missed|spurious|wrong)\{[^}]*border-style:(\w+)", style())
    assert len({line for _, line in lines} | {"solid"}) == 4


def test_tags_and_labels_of_texts_are_compared_too():
    sentence = Sentence("She sings")
    for place, (gold, guess) in enumerate([("PRON", "PRON"), ("VERB", "NOUN")]):
        sentence[place].add_label("upos", gold).add_label("guess", guess)
    assert "<rt>NOUN ≠ VERB</rt>" in render(sentence, compare="upos")
    text = Sentence("fine").add_label("mood", "good").add_label("guess", "bad")
    assert "bad ≠ good" in render(text, compare="mood")


def test_a_layer_that_is_not_there_is_named():
    sentence = labelled(list("ab"), [(0, 1, "X")])
    with pytest.raises(ValueError, match="'nre' is not among the 1 known: ner"):
        render(sentence, "nre")
    sentence[0:1].add_label("a", "X").add_label("b", "X")
    with pytest.raises(ValueError, match="with one layer, not with 'a', 'b'"):
        render(sentence, compare="ner")


# --- the worst sentences ---


@pytest.fixture(scope="module")
def corpus():
    texts = ["Ada met Bob in Rome .", "Rome is old .", "Bob sang", "", "He saw Ada"]
    spans = {"Ada": "PER", "Bob": "PER", "Rome": "LOC"}
    made = []
    for text in texts:
        words = text.split()
        marks = [(n, n + 1, spans[w]) for n, w in enumerate(words) if w in spans]
        made.append(labelled(words, marks, ["T"] * len(words)))
        made[-1].add_label("topic", "names" if marks else "none")
    return Corpus(made, made[:2], made[2:], name="<names>")


@pytest.fixture(scope="module")
def tagger(corpus):
    set_seed(1)
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    labels = corpus.make_label_dictionary("ner", add_unk=False)
    return SequenceTagger(vectors, labels, "ner", hidden_size=4)


@pytest.fixture(scope="module")
def classifier(corpus):
    set_seed(1)
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    labels = corpus.make_label_dictionary("topic", add_unk=False)
    return TextClassifier(DocumentPoolEmbeddings(vectors), "topic", labels)


@pytest.mark.parametrize("name", ["tagger", "classifier"])
def test_losses_are_those_of_each_sentence_alone(name, corpus, request):
    model = request.getfixturevalue(name).eval()
    losses = sentence_losses(model, corpus.train, mini_batch_size=3)
    with torch.no_grad():
        alone = [float(model.forward_loss([one])[0]) for one in corpus.train]
    assert losses.tolist() == pytest.approx(alone, abs=1e-4)
    result = model.evaluate(corpus.train)
    points = sum(model.forward_loss([one])[1] for one in corpus.train)
    assert losses.sum() == pytest.approx(result.loss * points, rel=1e-5)


def test_the_worst_come_first_and_the_user_keeps_what_he_has(tagger, corpus):
    before = [one.to_dict() for one in corpus.train]
    cases = worst(tagger, corpus.train, most=3)
    assert [one.to_dict() for one in corpus.train] == before
    losses = [case.loss for case in cases]
    assert losses == sorted(losses, reverse=True) and len(cases) == 3
    assert losses[0] == max(sentence_losses(tagger, corpus.train))


def test_what_the_browser_shows_adds_up_to_the_report(tagger, corpus):
    cases = worst(tagger, corpus.train, most=99)
    tally = tagger.evaluate(corpus.train).confusion.tally()
    right = sum(len(case.boxes) - len(case.errors) for case in cases)
    missed = sum(
        box.verdict in ("missed", "wrong type") for c in cases for box in c.errors
    )
    assert (right, right + missed) == (tally.hits.sum(), tally.gold.sum())


def test_filters_hide_by_class_without_a_script(tagger, corpus):
    html = browse_errors(tagger, corpus.train)
    seen = Reader(html)
    assert seen.tags.count("details") == 5 and "script" not in seen.tags
    for rule in re.findall(r"has\(input\.(\w+):checked\) details:not\(\.(\w+)\)", html):
        assert rule[0] == rule[1]
        assert ("class", rule[0]) in seen.attributes  # a button
        assert re.search(
            rf'<details open class="[^"]*\b{rule[0]}\b', html
        )  # and what it shows
    counted = re.findall(r'class="(label|kind)(\d+)"> [^(]+ \((\d+)\)', html)
    assert len(counted) >= 3
    for kind, number, count in counted:  # how many sentences a choice leaves
        left = re.findall(rf'<details open class="[^"]*\b{kind}{number}\b', html)
        assert len(left) == int(count)


# --- other things ---


def test_every_kind_of_thing_has_a_picture(corpus, tagger, classifier):
    counts = TokenCounts(["<b>", "Y"])
    counts.add([0, 1, 1], [0, 1, 0])
    dictionary = Dictionary.of([f"<{n}>" for n in range(70)])
    expected = {
        "0.6667": counts.result(),
        "and 20 more": dictionary,
        "<names>": corpus,
        "OneHotEmbeddings": tagger,
        "TextClassifier": classifier,
        "Rome is old": corpus.dev[1],
    }
    for said, thing in expected.items():
        seen = Reader(picture_of(thing))
        assert said in seen.text + seen.copied
    assert picture_of(3) is None


def test_a_notebook_shows_the_picture_and_a_terminal_the_text(corpus, tagger):
    result = TokenCounts(["X"]).result()
    for thing in (corpus, tagger, result, corpus.dev[1], Dictionary.of(["X"])):
        assert thing._repr_html_() == picture_of(thing)
        assert "<" not in repr(thing).split("\n")[0]


def test_pictures_of_nothing_are_pictures():
    for thing in (TokenCounts(["a"]).result(), Dictionary.of([])):
        Reader(picture_of(thing))
    Reader(picture_of(Corpus([], name="empty", sample_missing_splits=False)))


def test_bars_are_as_long_as_their_numbers():
    html = table(["", "x"], [["a", bar(0.4)], ["<b>", "1"]])
    assert "--w:40%" in html and "&#60;b&#62;" in html


def test_a_label_that_looks_like_a_cell_is_no_cell():
    counts = TokenCounts(["<td onclick=alert(1)>", "Y"])
    counts.add([0, 1], [0, 1])
    seen = Reader(picture_of(counts.result()))
    assert "<td onclick=alert(1)>" in seen.text
    assert not [name for name, _ in seen.attributes if name.startswith("on")]


# --- a browser ---


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_browser_copies_the_plain_text(tmp_path):
    "Selected in Chromium: labels and tags stay out, and no line is broken"
    tags = "PROPN VERB ADP PROPN PROPN PUNCT".split()
    marks = [(0, 1, "PER"), (3, 5, "LOC"), (3, 4, "X")]
    sentence = labelled("Ada sang in New York .".split(), marks, tags)
    file = tmp_path / "copy.html"
    script = (
        "<pre id=out></pre><script>const s=getSelection();"
        "s.selectAllChildren(document.querySelector('.flairnb p'));"
        "document.getElementById('out').textContent=JSON.stringify(s.toString())</script>"
    )
    file.write_text(f"<!doctype html><meta charset=utf-8>{render(sentence)}{script}")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    done = subprocess.run(
        [*command, str(file)], capture_output=True, text=True, timeout=60
    )
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout)
    assert found, done.stderr[-500:]
    assert json.loads(found[1].replace("&quot;", '"')) == sentence.text

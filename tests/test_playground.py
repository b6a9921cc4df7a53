"A model to play with: what it is asked, what is drawn, and typing in a real browser"

from __future__ import annotations

import asyncio
import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import notebook_page
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rendering import RUDE, Reader

from flairnb import set_seed
from flairnb.data import Dictionary, Sentence
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.models import SequenceTagger, TextClassifier, TextRegressor
from flairnb.rendering import colour_slots, framed
from flairnb.visual import playground
from flairnb.visual.playground import (
    Later,
    Playground,
    class_names,
    class_probabilities,
    influence_of,
    paths_html,
    reading_html,
    reading_of,
    without,
)

ipywidgets = pytest.importorskip("ipywidgets")
WORDS = ["Ada", "met", "Bob", "in", "Rome", "."]
TEXT = "Ada met Bob in Rome ."


def vectors():
    return OneHotEmbeddings(Dictionary.of(WORDS, add_unk=True), embedding_length=6)


def tagger_of(labels=("PER", "A-B"), spans=True, **chosen):
    "With weights that say more than those at the start do"
    set_seed(7)
    tags = Dictionary.of(labels, span_labels=spans)
    made = SequenceTagger(vectors(), tags, "ner", hidden_size=5, **chosen).eval()
    with torch.no_grad():
        for weights in made.parameters():
            weights.mul_(3.0)
    return made


def classifier_of(**chosen):
    set_seed(7)
    pooled, kinds = DocumentPoolEmbeddings(vectors()), Dictionary.of(["good", "bad"])
    return TextClassifier(pooled, "says", kinds, **chosen).eval()


MODELS = {
    "spans": tagger_of,
    "tokens": lambda: tagger_of(["X", "Y", "Z-Z", "O"], spans=False),
    "alone": lambda: tagger_of(use_crf=False, tag_format="BIO"),
    "class": classifier_of,
    "classes": lambda: classifier_of(multi_label=True),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


# --- what the model is asked ---


def test_probabilities_are_those_that_predict_writes(model):
    sentence, several = Sentence(TEXT), [Sentence("Rome"), Sentence(TEXT)]
    (alone,), (_, batched) = (
        class_probabilities(model, x) for x in ([sentence], several)
    )
    assert alone == pytest.approx(batched, abs=1e-6)
    model.predict(sentence, return_probabilities_for_all_classes=True)
    names = class_names(model)
    if isinstance(model, TextClassifier):
        written = {label.value: label.score for label in sentence.labels}
        assert dict(zip(names, alone[0], strict=True)) == pytest.approx(written)
        return
    for token, row in zip(sentence, alone, strict=True):
        summed = dict.fromkeys(names, 0.0)
        for label in token.get_tags_proba_dist("ner"):
            as_span = model.tagset.scheme and label.value != "O"
            summed[label.value[2:] if as_span else label.value] += label.score
        assert dict(zip(names, row, strict=True)) == pytest.approx(summed, abs=1e-5)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_sentence_without_a_word_is_the_rest_as_it_was(data):
    letters = st.text("abé中ن.,", min_size=1, max_size=3)
    words = data.draw(st.lists(letters, min_size=2, max_size=6))
    gaps = data.draw(
        st.lists(
            st.sampled_from(["", " ", "  ", "\n"]),
            min_size=len(words),
            max_size=len(words),
        )
    )
    starts, text = [], ""
    for gap, word in zip(gaps, words, strict=True):
        starts.append(len(text) + len(gap))
        text += gap + word
    place = data.draw(st.integers(0, len(words) - 1))
    left = without(Sentence.of(text + "\n", words, starts), place)
    assert left.words == words[:place] + words[place + 1 :]
    assert [token.text for token in left] == [
        left.text[token.start_position : token.end_position] for token in left
    ]
    kept = text[: starts[place]] + text[starts[place] + len(words[place]) :]
    assert left.text.split() == kept.split()


def test_influence_is_what_changes_when_each_sentence_is_read_alone(model):
    sentence = Sentence(TEXT)
    (likely,) = class_probabilities(model, [sentence])
    change, instead = influence_of(model, sentence, likely)
    names = class_names(model)
    for gone in range(len(WORDS)):
        rest = Sentence(WORDS[:gone] + WORDS[gone + 1 :])
        (now,) = class_probabilities(model, [rest])
        if isinstance(model, TextClassifier):
            best = likely[0].argmax()
            assert change[gone, 0] == pytest.approx(
                likely[0, best] - now[0, best], abs=1e-6
            )
            continue
        then = np.delete(likely, gone, 0)
        wanted = np.abs(then - now).sum(1) / 2
        assert np.delete(change[gone], gone) == pytest.approx(wanted, abs=1e-6)
        assert math.isnan(change[gone, gone]) and instead[gone][gone] == ""
        others = [names[n] for n in now.argmax(1)]
        said = np.delete(np.array(instead[gone], dtype=object), gone)
        for old, new, told in zip(then.argmax(1), others, said, strict=True):
            assert told == ("" if names[old] == new else new)


def test_a_reading_is_what_predict_and_n_best_say(model):
    reading, other = reading_of(model, Sentence(TEXT), n_best=3), Sentence(TEXT)
    options = {} if reading.of_text else {"n_best": 3}
    model.predict(other, **options)
    assert str(reading.sentence) == str(other)
    if reading.of_text:
        assert reading.paths == ()
    else:
        assert reading.paths == other.get_metadata("ner_n_best")
        assert len(reading.paths) == 3


def test_all_sentences_without_a_word_are_one_batch(model, monkeypatch):
    sizes, real = [], type(model).forward
    monkeypatch.setattr(
        type(model),
        "forward",
        lambda self, batch: (sizes.append(len(batch)), real(self, batch))[1],
    )
    reading_of(model, Sentence(TEXT))
    assert sizes == [1, 1, len(WORDS)]


def test_short_and_long_texts_have_less_to_show(model):
    none, one = reading_of(model, Sentence("")), reading_of(model, Sentence("Ada"))
    assert none.likely is None and one.likely is not None and one.influence is None
    long = reading_of(model, Sentence(TEXT * 2), most_words=10)
    assert (long.likely, long.paths, long.influence) == (None, (), None)
    for reading in (none, one, long):
        Reader(framed(reading_html(reading, {})))
    assert "12 words: too many" in reading_html(long, {})


def test_other_kinds_of_models_are_refused_by_name():
    judge = TextRegressor(DocumentPoolEmbeddings(vectors()), label_name="stars")
    with pytest.raises(TypeError, match="not a TextRegressor"):
        Playground(judge)


# --- what is drawn ---


@pytest.mark.parametrize("rude", RUDE)
def test_a_rude_text_is_shown_and_not_obeyed(rude):
    for model in (tagger_of([rude, "X"]), classifier_of()):
        sentence = Sentence([rude, "Ada", "<td class=x>"])
        reading = reading_of(model, sentence)
        seen = Reader(
            framed(reading_html(reading, colour_slots(reading.classes), None))
        )
        assert not {"script", "img", "h1"} & set(seen.tags)
        assert not [name for name, _ in seen.attributes if name.startswith("on")]
        assert ("class", "x") not in seen.attributes
        assert "<td class=x>" in seen.text


def test_bars_are_as_long_as_classes_are_likely(model):
    reading = reading_of(model, Sentence(TEXT))
    html = reading_html(reading, {}, None)
    bars = html[html.index('class="bars"') :].split("</table>")[0]
    assert bars.count('class="share"') == reading.likely.size
    for share in reading.likely.ravel():
        assert f'style="--w:{100 * share:.0f}%"' in bars
    if not reading.of_text:
        assert "others" in reading_html(reading, {}, 1)
        assert "others" not in bars


def test_rows_of_tags_show_where_they_differ_from_the_best():
    reading = reading_of(tagger_of(), Sentence(TEXT), n_best=4)
    rows = paths_html(reading).split("<tr>")[2:]
    best = reading.paths[0][1]
    for row, (odds, tags) in zip(rows, reading.paths, strict=True):
        assert f"{odds:.3f}" in row
        assert row.count("<u>") == sum(a != b for a, b in zip(tags, best, strict=True))


def test_a_text_from_right_to_left_has_maps_from_right_to_left():
    words = "ولد في New York سنة".split()
    html = reading_html(reading_of(tagger_of(), Sentence(words)), {})
    assert html.count('class="map" dir="rtl"') == 2
    html = reading_html(reading_of(classifier_of(), Sentence(words)), {})
    run = html[html.index('<bdi dir="ltr">') :].split("</bdi>")[0]
    assert run.count("<ruby") == 2 and "New" in run and "York" in run


# --- while somebody types ---


def test_a_rest_is_waited_for_and_the_last_state_is_looked_at():
    state, seen = {"text": ""}, []

    async def typing():
        later = Later(lambda: seen.append(state["text"]), delay=0.2)
        for key in "hello":
            state["text"] += key
            later.ask()
            await asyncio.sleep(0)
        assert seen == []
        await asyncio.sleep(0.5)
        state["text"] += "!"
        later.ask()
        await asyncio.sleep(0.5)

    asyncio.run(typing())
    assert seen == ["hello", "hello!"]


def test_a_key_heard_by_another_thread_is_answered_in_the_loop():
    threads = []

    async def typing():
        later = Later(lambda: threads.append(threading.current_thread()), delay=0.01)
        await asyncio.to_thread(later.ask)
        await asyncio.sleep(0.3)

    asyncio.run(typing())
    assert threads == [threading.main_thread()]


def test_without_a_loop_nothing_waits():
    done = []
    Later(lambda: done.append(1), delay=9.0).ask()
    assert done == [1]


# --- the playground ---


@pytest.fixture
def board(model, monkeypatch):
    "The playground of a model in a notebook whose loop does not run"
    monkeypatch.setattr(playground, "front_end", lambda: ipywidgets)
    play = Playground(model, TEXT)
    shown = play._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/html"] == play.html()
    return play


def test_typing_changes_the_picture(board, model):
    old = board.board.picture.value
    assert old == board.html(3)
    board.board.field.value = "Rome met Ada"
    assert board.text == "Rome met Ada"
    wanted = Sentence("Rome met Ada")
    model.predict(wanted)
    assert str(board.reading.sentence) == str(wanted)
    assert board.board.picture.value == board.html(3) != old


def test_the_choice_of_classes_redraws_without_asking_the_model(
    board, model, monkeypatch
):
    monkeypatch.setattr(type(model), "forward", None)
    board.board.most.value = None
    assert board.board.picture.value == board.html(None)


def test_a_text_from_code_is_in_the_field(board):
    board.text = "Bob"
    assert board.board.field.value == "Bob"
    assert board.board.picture.value == board.html(3)


def test_an_error_is_shown_and_the_next_text_is_read(board, model, monkeypatch):
    def fail(*given, **more):
        raise RuntimeError("no <room>")

    with monkeypatch.context() as broken:
        broken.setattr(type(model), "predict", fail)
        board.board.field.value = "Bob"
        assert "RuntimeError: no &#60;room&#62;" in board.board.picture.value
    board.board.field.value = "Bob "
    assert board.board.picture.value == board.html(3)


def test_without_a_front_end_it_is_a_picture_and_lines(model, monkeypatch):
    monkeypatch.setattr(playground, "front_end", lambda: None)
    play = Playground(model, TEXT)
    assert play._repr_mimebundle_() == {"text/html": play.html()}
    lines = repr(play).splitlines()
    assert lines[0] == f"Playground of a {type(model).__name__}: {TEXT!r}"
    assert len(lines) == 1 + (1 if play.reading.of_text else len(WORDS))
    assert repr(Playground(model)).count("\n") == 0


def test_a_text_is_split_as_the_user_says():
    play = Playground(tagger_of(), "Ada,Bob met", use_tokenizer=False)
    assert play.reading.sentence.words == ["Ada,Bob", "met"]


# --- in a browser ---

READY = """
import torch
from flairnb.data import Dictionary, Sentence
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.models import SequenceTagger, TextClassifier
from flairnb.visual.playground import Playground

NAMES = {"Ada": "PER", "Jack": "PER", "Rome": "LOC", "Paris": "LOC"}
texts = ["Ada met Jack in Rome .", "Jack saw Paris .", "Rome and Paris , says Ada ."]
sentences = [Sentence(text) for text in texts]
for sentence in sentences:
    for place, word in enumerate(sentence.words):
        if word in NAMES:
            sentence[place : place + 1].add_label("ner", NAMES[word])
torch.manual_seed(1)
words = Dictionary.of(sorted({w for s in sentences for w in s.words}), add_unk=True)
labels = Dictionary.of(["PER", "LOC"], span_labels=True)
tagger = SequenceTagger(OneHotEmbeddings(words, embedding_length=8), labels, "ner", hidden_size=8)
optimizer = torch.optim.Adam(tagger.parameters(), lr=0.05)
for _ in range(60):
    optimizer.zero_grad()
    tagger.forward_loss(sentences)[0].backward()
    optimizer.step()
play = Playground(tagger.eval(), "Ada saw Rome .")
play
"""

FIELD = 'document.querySelector(".jp-OutputArea textarea")'
PICTURE = 'document.querySelector(".jp-OutputArea .widget-html-content .flairnb")'
BOXES = f'[...{PICTURE}.querySelectorAll("mark")].map(one => one.innerText).join("|")'


def test_in_a_browser_typing_changes_the_tags(tmp_path):
    with notebook_page(tmp_path, READY) as page:
        page.until(f"{PICTURE} !== null")
        before = page.value(BOXES)
        assert before.replace("\xa0", " ").split("|") == ["Ada PER", "Rome LOC"]
        assert page.value(f"{FIELD}.labels[0].innerText") == "Text"
        page.click(FIELD)
        page.value(f"{FIELD}.select()")
        for key in "Jack saw Ada and Rome .":  # replaces what is there
            page.call("Input.insertText", text=key)
        seen = page.until(f"{PICTURE}.innerText.includes('Jack') && {BOXES}")
        wanted = ["Jack PER", "Ada PER", "Rome LOC"]
        page.until(f"{BOXES}.replaceAll('\\u00a0', ' ') === {'|'.join(wanted)!r}")
        rows = page.value(f'{PICTURE}.querySelectorAll(".bars tr").length')
        maps = page.value(f'{PICTURE}.querySelectorAll(".map").length')
        assert (rows, maps) == (6, 2), seen
        assert page.value(f"document.activeElement === {FIELD}")  # typing may go on
        if shot := os.environ.get("FLAIRNB_SCREENSHOT"):
            page.value(f"{FIELD}.scrollIntoView({{block: 'start'}})")
            page.picture(shot)
            theme = "{theme: 'JupyterLab Dark'}"
            page.value(f"jupyterapp.commands.execute('apputils:change-theme', {theme})")
            page.until("document.body.dataset.jpThemeLight === 'false'")
            page.value("new Promise(done => setTimeout(done, 2000))")
            page.value(f"{FIELD}.scrollIntoView({{block: 'start'}})")
            page.picture(Path(shot).with_suffix(".dark.png"))

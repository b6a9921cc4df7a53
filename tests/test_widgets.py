"A view of a run: pictures, the panel, the button, and all of it in a real browser"

from __future__ import annotations

import math
import os
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from browser import notebook_page
from hypothesis import given
from hypothesis import strategies as st

from flairnb import foundation
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.embeddings import OneHotEmbeddings
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer
from flairnb.trainers.history import Plugin
from flairnb.visual import widgets
from flairnb.visual.widgets import (
    BOTTOM,
    LEFT,
    RIGHT,
    STOP,
    TOP,
    LiveView,
    Panel,
    curves_svg,
    front_end,
    losses_of,
    round_marks,
)

ipywidgets = pytest.importorskip("ipywidgets")
TEXTS = ["Ada met Bob", "he saw Cid and Dora", "she met them", "Emma ran", "we saw it"]
NUMBERS = st.floats(-1e6, 1e6)


def corpus_of():
    made = [[Sentence(text) for text in x] for x in (TEXTS * 4, TEXTS[:3], TEXTS[3:])]
    for token in (t for split in made for sentence in split for t in sentence):
        token.set_label("upos", "NAME" if token.text[:1].isupper() else "WORD")
    return Corpus(*made, name="letters")


def trainer_of():
    torch.manual_seed(1)
    corpus = corpus_of()
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    labels = Dictionary.of(["NAME", "WORD"])
    tagger = SequenceTagger(vectors, labels, "upos", hidden_size=4)
    return ModelTrainer(tagger, corpus)


def train(folder, *plugins, **chosen):
    chosen = {"max_epochs": 3, "mini_batch_size": 2, "seed": 1, **chosen}
    return trainer_of().train(folder, plugins=plugins, **chosen)


@pytest.fixture
def shown(monkeypatch):
    "A notebook: what is displayed in it"
    found = []
    kernel = SimpleNamespace(_supports_kernel_subshells=True)
    display = SimpleNamespace(display=found.append)
    shell = SimpleNamespace(kernel=kernel)
    module = SimpleNamespace(get_ipython=lambda: shell, display=display, kernel=kernel)
    monkeypatch.setitem(sys.modules, "IPython", module)
    return found


# --- pictures ---


@given(NUMBERS, NUMBERS)
def test_marks_are_few_round_and_around_the_values(one, other):
    low, high = min(one, other), max(one, other)
    marks = round_marks(low, high)
    slack = 1e-9 * max(abs(low), abs(high), 1.0)
    assert marks[0] <= low + slack and marks[-1] >= high - slack
    assert 2 <= len(marks) <= 8
    assert marks == sorted(set(marks))


@pytest.mark.parametrize(
    "low, high, wanted",
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.61, 0.69, [0.6, 0.62, 0.64, 0.66, 0.68, 0.7]),
        (12, 480, [0, 100, 200, 300, 400, 500]),
    ],
)
def test_marks_that_a_person_would_choose(low, high, wanted):
    assert round_marks(low, high) == wanted


def curves_in(picture):
    "Points of each curve, in order"
    tree = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    return [
        [tuple(map(float, point.split(","))) for point in one.get("points").split()]
        for one in tree.iter(f"{space}polyline")
    ], [one.text for one in tree.iter(f"{space}text")]


POINTS = st.lists(st.tuples(st.integers(1, 500), NUMBERS), min_size=1, max_size=9)


@given(st.dictionaries(st.sampled_from(["a<b", "dev & co", '"']), POINTS, min_size=1))
def test_a_picture_is_sound_and_keeps_inside_its_axes(curves):
    drawn, words = curves_in(curves_svg(curves, "loss"))
    assert set(curves) <= set(words)
    for points, places in zip(curves.values(), drawn, strict=True):
        assert len(places) == len(points)
        for x, y in places:
            assert LEFT - 0.1 <= x <= RIGHT + 0.1 and TOP - 0.1 <= y <= BOTTOM + 0.1


def test_higher_values_stand_higher_and_later_ones_to_the_right():
    (line,), words = curves_in(
        curves_svg({"dev": [(1, 0.0), (2, 1.0), (4, 0.5)]}, "F1")
    )
    third, middle = LEFT + (RIGHT - LEFT) / 3, (TOP + BOTTOM) / 2
    wanted = [(LEFT, BOTTOM), (third, TOP), (RIGHT, middle)]
    for place, (x, y) in zip(line, wanted, strict=True):
        assert place == pytest.approx((x, y), abs=0.06)
    assert {"0", "0.2", "1", "4", "dev", "F1 by epoch"} <= set(words)


def test_a_value_that_is_no_number_leaves_a_picture():
    values = [(1, math.nan), (2, math.inf), (3, 0.5)]
    (line,), _ = curves_in(curves_svg({"dev": values, "test": []}, "loss"))
    assert len(line) == 1
    assert curves_svg({"dev": [(1, math.nan)]}, "loss") == curves_svg({}, "loss") == ""


def test_losses_are_found_by_their_names():
    rows = [
        {"EPOCH": 1, "TIMESTAMP": "-", "TRAIN_LOSS": 3.0, "TRAIN_SAMPLE_LOSS": 2.0},
        {"EPOCH": 2, "TRAIN_LOSS": 1.0, "DEV_F1": 0.5},
    ]
    assert losses_of(rows) == {
        "train": [(1, 3.0), (2, 1.0)],
        "train sample": [(1, 2.0)],
    }


# --- the panel ---


def test_the_button_calls_and_the_table_shows_the_newest_first():
    pressed = []
    panel = Panel(ipywidgets, lambda: pressed.append(1))
    panel.button.click()
    assert pressed == [1]
    rows = [{"EPOCH": 1, "TIMESTAMP": "x", "F1": 0.5}, {"EPOCH": 2, "F1": 0.25}]
    panel.draw("<svg/>", "", rows, best=0)
    table = panel.table.value
    assert "TIMESTAMP" not in table
    assert table.index("<td>2</td>") < table.index('bold"><td>1</td>')
    panel.end("<script>", "danger")
    assert panel.status.value == "&lt;script&gt;" and panel.button.disabled


# --- in a run ---


class Watcher(Plugin):
    "Notes what a panel shows after each batch"

    def __init__(self, view, action=lambda moment: None):
        self.view, self.action, self.seen = view, action, []

    def after_training_batch(self, moment):
        self.action(moment)
        panel = self.view.panel
        if panel is not None:
            lines = [x.value.count("<polyline") for x in (panel.losses, panel.scores)]
            rows = panel.table.value.count("<tr")
            self.seen.append((moment.epoch, panel.bar.value, *lines, rows))


def test_a_panel_follows_a_run(tmp_path, shown):
    view = LiveView(every=0.0)
    watcher = Watcher(view)
    found = train(tmp_path, view, watcher, monitor_test=True)
    assert shown == [view.panel.box]
    assert [epoch for epoch, *_ in watcher.seen] == [1] * 10 + [2] * 10 + [3] * 10
    assert [done for _, done, *_ in watcher.seen] == pytest.approx(
        [n / 30 for n in range(1, 31)]
    )
    losses, scores, rows = zip(*(one[2:] for one in watcher.seen), strict=True)
    assert losses == (1,) * 10 + (3,) * 20  # then dev and test are known
    assert scores == (0,) * 10 + (2,) * 20
    assert rows == (0,) * 10 + (2,) * 10 + (3,) * 10
    panel = view.panel
    assert panel.status.value == (
        f"Training ends: {found['stop_reason']}, score on test {found['test_score']:.4f}"
    )
    assert (panel.bar.bar_style, panel.button.disabled) == ("success", True)
    assert panel.table.value.count("<tr") == 4
    drawn, _ = curves_in(panel.losses.value)
    assert len(drawn[0]) == 3


def test_the_button_stops_a_run_as_a_signal_does(tmp_path, shown):
    view = LiveView(every=0.0)

    def press(moment):
        if (moment.epoch, moment.batch_no) == (2, 3):
            view.panel.button.click()
            assert view.panel.button.disabled

    watcher = Watcher(view, press)
    found = train(tmp_path / "one", view, watcher)
    assert found["stop_reason"] == "interrupted by the user"
    assert len(watcher.seen) == 13  # after that step there is none
    names = {path.name for path in (tmp_path / "one").glob("*.pt")}
    assert names == {"best-model.pt", "checkpoint.pt", "final-model.pt"}
    assert "interrupted" in view.panel.status.value
    goes_on = ModelTrainer.load_checkpoint(
        tmp_path / "one" / "checkpoint.pt", corpus_of()
    )
    again = LiveView(every=0.0)
    ended = goes_on.train(tmp_path / "one", plugins=[again])
    whole = trainer_of()
    assert (
        ended.rows[-1]["TRAIN_LOSS"]
        == (
            whole.train(tmp_path / "two", max_epochs=3, mini_batch_size=2, seed=1)
        ).rows[-1]["TRAIN_LOSS"]
    )
    assert len(curves_in(again.panel.scores.value)[0][0]) == 3  # of all epochs


def test_pictures_are_drawn_once_a_second(tmp_path, shown, monkeypatch):
    now, drawn = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    real = Panel.draw
    monkeypatch.setattr(
        Panel, "draw", lambda *what: (drawn.append(now[0]), real(*what))
    )

    def pass_time(moment):
        now[0] += 0.3

    view = LiveView()
    train(tmp_path, Watcher(view, pass_time), view)
    assert all(b - a >= 1.0 for a, b in pairwise(drawn[:-1]))
    assert len(drawn) == 9  # of thirty steps in nine seconds, and at the end


def test_an_error_is_told_and_the_button_is_gone(tmp_path, shown):
    def fail(moment):
        raise ValueError("no more <room>")

    view = LiveView()
    with pytest.raises(ValueError, match="room"):
        train(tmp_path, view, Watcher(view, fail), on_plugin_error="raise")
    assert view.panel.status.value == "The run failed: no more &lt;room&gt;"
    assert (view.panel.bar.bar_style, view.panel.button.disabled) == ("danger", True)


def test_a_kernel_that_hears_no_clicks_says_what_to_press(tmp_path, shown):
    for hears in (True, False):
        sys.modules["IPython"].kernel._supports_kernel_subshells = hears
        view = LiveView()
        train(tmp_path, view, max_epochs=1)
        assert ("interrupt it" in view.panel.hint.value) is not hears


def texts_of_a_run(folder, capsys, view, **chosen):
    capsys.readouterr()
    train(folder, view, max_epochs=1, **chosen)
    assert view.panel is None
    return capsys.readouterr().err


def test_without_a_notebook_it_is_text(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(foundation.PACE, "lines", 0.0)
    monkeypatch.setattr(widgets, "front_end", lambda: None)
    assert "epoch 1/1 5/10 loss" in texts_of_a_run(tmp_path, capsys, LiveView())


def test_without_ipywidgets_it_is_text(tmp_path, capsys, monkeypatch, shown):
    monkeypatch.setitem(foundation.PACE, "lines", 0.0)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert front_end() is None
    assert "epoch 1/1 5/10 loss" in texts_of_a_run(tmp_path, capsys, LiveView())
    assert shown == []


def test_a_silent_run_shows_nothing(tmp_path, capsys, shown):
    assert texts_of_a_run(tmp_path, capsys, LiveView(), verbose=False) == ""
    assert shown == []


def test_a_view_that_watches_nothing_can_be_stopped():
    LiveView().stop()


# --- in a browser ---

READY = """
import logging, time
import torch
from flairnb.data import Corpus, Sentence
from flairnb.data.labels import Dictionary
from flairnb.embeddings import OneHotEmbeddings
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer
from flairnb.trainers.history import Plugin
from flairnb.visual.widgets import LiveView

logging.getLogger("flairnb").setLevel("WARNING")
texts = ["Ada met Bob", "he saw Cid and Dora", "she met them", "Emma ran"] * 5
sentences = [Sentence(text) for text in texts]
for token in (token for sentence in sentences for token in sentence):
    token.set_label("upos", "NAME" if token.text[0].isupper() else "WORD")
corpus = Corpus(sentences, sentences[:7], sentences[:4], name="letters")
torch.manual_seed(1)
vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
labels = Dictionary.of(["NAME", "WORD"])
tagger = SequenceTagger(vectors, labels, "upos", hidden_size=4)


class Slowly(Plugin):
    def after_training_batch(self, moment):
        time.sleep(0.02)
"""

TRAIN = """
result = ModelTrainer(tagger, corpus).train(
    "run", learning_rate=0.02, mini_batch_size=4, max_epochs=2000, monitor_test=True,
    plugins=[LiveView(), Slowly],
)
print("And so:", result["stop_reason"])
"""


BUTTON = f"""[...document.querySelectorAll("button")].find(
    one => one.innerText.includes("{STOP}"))"""
LINES = """document.querySelectorAll(".jp-OutputArea svg polyline").length >= 5"""


def test_in_a_browser_curves_grow_and_the_button_stops_the_run(tmp_path):
    with notebook_page(tmp_path, READY, TRAIN) as page:
        page.until(f"({LINES}) && ({BUTTON}) !== undefined")
        page.until('document.querySelectorAll(".jp-OutputArea tr").length >= 6')
        if shot := os.environ.get("FLAIRNB_SCREENSHOT"):
            page.value(f"{BUTTON}.scrollIntoView({{block: 'start'}})")
            page.picture(shot)
        rows = page.value('document.querySelectorAll(".jp-OutputArea tr").length')
        page.click(BUTTON)
        said = page.until("""[...document.querySelectorAll(".jp-OutputArea")].map(
            one => one.innerText).find(text => text.includes("And so:"))""")
        assert "And so: interrupted by the user" in said
        assert "Training ends: interrupted by the user, score on test" in said
        if shot:
            page.picture(Path(shot).with_suffix(".after.png"))
    run = tmp_path / "run"
    assert {"checkpoint.pt", "final-model.pt"} <= {one.name for one in run.iterdir()}
    epochs = len((run / "loss.tsv").read_text().splitlines()) - 1
    assert rows - 1 <= epochs < 2000

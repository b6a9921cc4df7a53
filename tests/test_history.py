"Rows of a run, as files, tables and data frames; the log; who listens"

from __future__ import annotations

import logging
import math
import pickle
import re
import sys
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flairnb.trainers.history import (
    EVENTS,
    History,
    Listeners,
    Moment,
    Plugin,
    RunLog,
    TrainingInterrupt,
    TrainingResult,
    arguments_told,
    data_frame,
    html_table,
    introduction,
    on_screen,
    text_table,
)

ROWS = [
    {"EPOCH": 1, "TIMESTAMP": "10:00:00", "LEARNING_RATE": 5e-6, "TRAIN_LOSS": 1 / 3},
    {"EPOCH": 2, "TIMESTAMP": "10:00:09", "LEARNING_RATE": 5e-6, "TRAIN_LOSS": 0.1},
    {"EPOCH": 3, "TRAIN_LOSS": 1e-17, "DEV_F1": 0.7},
]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def messages(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", one) for one in lines)
    return [one[24:] for one in lines]


# --- rows ---


@settings(max_examples=20, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_a_file_keeps_all_digits(scratch, numbers):
    history = History(scratch / "loss.tsv")
    for epoch, number in enumerate(numbers, start=1):
        history.add({"EPOCH": epoch, "TRAIN_LOSS": number})
    header, *lines = (scratch / "loss.tsv").read_text().splitlines()
    assert header == "EPOCH\tTRAIN_LOSS"
    assert [float(line.split("\t")[1]) for line in lines] == numbers


def test_columns_that_come_later_are_empty_before(tmp_path):
    history = History(tmp_path / "loss.tsv")
    history.restore(ROWS)
    lines = [x.split("\t") for x in (tmp_path / "loss.tsv").read_text().splitlines()]
    assert lines[0] == ["EPOCH", "TIMESTAMP", "LEARNING_RATE", "TRAIN_LOSS", "DEV_F1"]
    assert lines[1][4] == lines[3][1] == "_"
    assert history.column("DEV_F1") == [0.7]
    history.restore([])
    assert not (tmp_path / "loss.tsv").exists()


@given(NUMBERS)
def test_the_screen_shows_a_number_to_four_digits_or_its_size(number):
    shown = float(on_screen(number))
    close = 6e-2 * abs(number) if abs(number) < 1e-3 else 5.1e-5
    assert abs(shown - number) <= max(close, 1e-300) or abs(number) > 1e9


def test_what_is_no_number_is_shown_as_it_is():
    assert [on_screen(x) for x in (7, "10:00:00", math.inf, math.nan)] == [
        "7", "10:00:00", "inf", "nan",
    ]  # fmt: skip


def test_a_table_of_text_has_its_columns_below_each_other():
    lines = text_table(ROWS).splitlines()
    assert len({len(line) for line in lines}) == 1
    ends = [m.end() for m in re.finditer(r"\S+", lines[0])]
    for line in lines[1:]:
        assert [m.end() for m in re.finditer(r"\S+", line)] == ends
    assert lines[1].split() == ["1", "10:00:00", "5.0e-06", "0.3333", "_"]
    assert text_table([]) == ""


class Cells(HTMLParser):
    "What a browser would find in a table"

    def __init__(self, text):
        super().__init__()
        self.rows, self.bold = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
            self.bold.append("bold" in dict(attrs).get("style", ""))

    def handle_data(self, data):
        self.rows[-1].append(data)


def test_a_table_of_a_page_holds_the_same_and_nothing_of_it_is_markup():
    rows = [*ROWS, {"EPOCH": "<b>&"}]
    page = Cells(html_table(rows, bold=1))
    assert page.rows == [line.split() for line in text_table(rows).splitlines()]
    assert page.bold == [False, False, True, False, False]
    assert History()._repr_html_() == "<table><tr></tr></table>"


# --- data frames ---


@pytest.mark.filterwarnings("ignore:The 'float_precision' argument is deprecated")
def test_a_frame_is_what_pandas_reads_from_the_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    history = History(tmp_path / "loss.tsv")
    history.restore(ROWS)
    read = pandas.read_csv(
        tmp_path / "loss.tsv",
        sep="\t",
        index_col="EPOCH",
        na_values="_",
        float_precision="round_trip",
    )
    pandas.testing.assert_frame_equal(history.as_frame(), read, check_exact=True)
    result = TrainingResult({"test_score": 0.5}, history.rows)
    pandas.testing.assert_frame_equal(result.history, read, check_exact=True)
    assert data_frame([]).empty


def test_without_pandas_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    result = TrainingResult({}, ROWS)
    with pytest.raises(ImportError, match=r"pip install 'flairnb\[pandas\]'"):
        _ = result.history
    assert result.rows == ROWS


def test_a_result_is_the_dictionary_that_flair_returns():
    found = {"test_score": 0.5, "dev_score_history": [0.1], "stop_reason": "done"}
    result = TrainingResult(found, ROWS)
    assert result == found and isinstance(result, dict)
    again = pickle.loads(pickle.dumps(result))
    assert again == found and again.rows == ROWS
    assert str(result).splitlines()[-2:] == ["test_score: 0.5000", "stop_reason: done"]
    assert result.rows[0] is not ROWS[0]


# --- the log ---


@pytest.mark.parametrize("verbose", [None, True, False])
def test_a_silent_log_warns_all_the_same(tmp_path, capsys, verbose):
    log = RunLog(tmp_path / "training.log", verbose=verbose)
    log.say("hello")
    log.say("beware", warn=True)
    log.note("by the way")
    log.close()
    heard = ["beware"] if verbose is False else ["hello", "beware"]
    assert capsys.readouterr().err.splitlines() == heard
    assert messages(tmp_path / "training.log") == ["hello", "beware", "by the way"]


def test_a_silenced_console_takes_nothing_from_the_file(tmp_path, capsys, caplog):
    caplog.set_level(logging.ERROR, logger="flairnb")
    log = RunLog(tmp_path / "training.log", verbose=True)
    log.say("hello")
    log.close()
    assert capsys.readouterr().err == ""
    assert messages(tmp_path / "training.log") == ["hello"]


def test_chosen_arguments_come_first_and_none_is_left_out():
    defaults = {f"argument_{n}": n for n in range(40)}
    chosen = defaults | {"argument_3": "three", "other": None}
    head, *lines = arguments_told(chosen, defaults)
    assert head == "Arguments:"
    assert lines[:2] == ["  argument_3: three", "  other: None"]
    assert lines[2] == "Arguments by default:"
    rest = " ".join(line.strip() for line in lines[3:]).split(", ")
    assert rest == [f"argument_{n}: {n}" for n in range(40) if n != 3]
    assert max(map(len, lines)) <= 100
    assert arguments_told(defaults, defaults)[0] == "Arguments by default:"
    assert arguments_told({"a": 1}, {}) == ["Arguments:", "  a: 1"]


def test_a_log_begins_with_the_model_and_its_size():
    model = nn.Sequential(nn.Linear(1000, 3), nn.Linear(3, 2))
    model[0].weight.requires_grad_(False)
    lines = introduction(model, {"a": 1}, {})
    assert lines[:4] == str(model).splitlines()
    assert lines[4] == "3,011 weights, of which 11 are trained, on cpu"
    assert f"torch {torch.__version__}" in lines[5]
    assert lines[6:] == ["Arguments:", "  a: 1"]


# --- who listens ---


class Recorder(Plugin):
    "Hears of everything"

    def __init__(self):
        self.heard = []


for name in EVENTS:
    setattr(Recorder, name, lambda self, moment, name=name: self.heard.append(name))


def test_each_event_is_told_to_those_who_want_to_hear_it():
    all_of_it, nothing = Recorder(), Plugin()
    listeners = Listeners([nothing, all_of_it], print)
    for name in EVENTS:
        assert listeners.hear(name)
        listeners.tell(name, Moment(None, 1))
    assert all_of_it.heard == list(EVENTS)
    assert not any(map(Listeners([nothing], print).hear, EVENTS))


class Failing(Plugin):
    def __init__(self, error):
        self.error = error

    def after_setup(self, moment):
        raise self.error


def test_who_fails_is_named_and_the_others_hear():
    said, other = [], Recorder()
    listeners = Listeners([Failing(KeyError("x")), other], said.append)
    listeners.tell("after_setup", Moment(None, 1))
    assert said == ["plugin Failing.after_setup failed: KeyError: 'x'"]
    assert other.heard == ["after_setup"]


@pytest.mark.parametrize(
    "error, how",
    [
        (TrainingInterrupt("enough"), "warn"),
        (KeyboardInterrupt(), "warn"),
        (ValueError("x"), "raise"),
    ],
)
def test_what_ends_a_run_is_not_held_back(error, how):
    with pytest.raises(type(error)):
        Listeners([Failing(error)], print, how).tell("after_setup", Moment(None, 1))

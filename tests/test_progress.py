"How far a run is: how often it is said, what is said, and that silence is silent"

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb import foundation
from flairnb.batches import Batch
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.pairs import TextPair
from flairnb.data.sentence import Sentence
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.embeddings.base import store_vectors
from flairnb.foundation import ProgressLine, duration, how_shown, progress
from flairnb.models import (
    SequenceTagger,
    TextClassifier,
    TextPairClassifier,
    TextRegressor,
)
from flairnb.trainers import ModelTrainer
from flairnb.trainers.history import Plugin
from flairnb.trainers.progress import (
    Pace,
    ShowProgress,
    seconds_left,
    told,
    with_progress,
)

TEXTS = ["Ada met Bob", "he saw Cid and Dora", "she met them", "Emma ran", "we saw it"]


@pytest.fixture
def clock(monkeypatch):
    "A clock that the test turns"
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    return found


@pytest.fixture
def terminal(monkeypatch):
    "A terminal to write to; what tqdm would draw is kept with its time"
    drawn = []
    monkeypatch.setattr(foundation, "how_shown", lambda verbose=None: "bar")
    monkeypatch.setattr(
        foundation, "_drawn", lambda *what: drawn.append((time.monotonic(), what[1:]))
    )
    return drawn


@pytest.fixture
def at_once(monkeypatch):
    "Lines without a pause"
    monkeypatch.setitem(foundation.PACE, "lines", 0.0)


def sentences_of(texts):
    made = [Sentence(text) for text in texts]
    for token in (token for sentence in made for token in sentence):
        token.set_label("upos", "NAME" if token.text[:1].isupper() else "WORD")
    return made


def corpus_of(times=4):
    splits = [sentences_of(x) for x in (TEXTS * times, TEXTS[:3], TEXTS[3:])]
    return Corpus(*splits, name="letters")


def tagger_for(corpus):
    torch.manual_seed(1)
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    return SequenceTagger(
        vectors, Dictionary.of(["NAME", "WORD"]), "upos", hidden_size=4
    )


def train(folder, plugins, corpus=None, **chosen):
    corpus = corpus or corpus_of()
    chosen = {"max_epochs": 2, "mini_batch_size": 2, "seed": 1, **chosen}
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    return trainer.train(folder, plugins=plugins, **chosen)


# --- a line ---


@pytest.mark.parametrize(
    "seconds, wanted",
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.7, "1:00:00"), (36_061, "10:01:01")],
)  # fmt: skip
def test_times_are_read_as_on_a_clock(seconds, wanted):
    assert duration(seconds) == wanted


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("file, shown", [(Terminal(), "bar"), (io.StringIO(), "lines")])
def test_who_asks_decides_and_then_the_log_and_then_where_it_goes(
    monkeypatch, caplog, file, shown
):
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    caplog.set_level(logging.INFO, logger="flairnb")
    assert [how_shown(x) for x in (True, None, False)] == [shown, shown, ""]
    caplog.set_level(logging.WARNING, logger="flairnb")
    assert [how_shown(x) for x in (True, None, False)] == [shown, "", ""]
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert how_shown(True) == ""


def test_a_notebook_has_a_bar_and_a_program_without_output_nothing(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    assert how_shown(True) == "bar"
    monkeypatch.delitem(sys.modules, "ipykernel")
    monkeypatch.setattr(sys, "stderr", None)
    assert how_shown(True) == "lines"
    ProgressLine(10, verbose=True).show(1)  # print goes nowhere, and does not fail


STEPS = st.lists(st.integers(0, 3000).map(lambda n: n / 1024), min_size=1, max_size=200)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_a_bar_changes_five_times_a_second_at_most_and_does_not_sleep(steps):
    with pytest.MonkeyPatch.context() as patch:
        now, drawn = [0.0], []
        patch.setattr(time, "monotonic", lambda: now[0])
        patch.setattr(foundation, "how_shown", lambda verbose=None: "bar")
        patch.setattr(foundation, "_drawn", lambda *_: drawn.append(now[0]))
        line = ProgressLine(len(steps), "steps")
        for done, step in enumerate(steps, start=1):
            now[0] += step
            last = drawn[-1] if drawn else -1.0
            if line.due(done):
                line.show(done)
            assert (now[0] - last >= 0.2) == (drawn[-1:] == [now[0]] != [last])
    assert all(b - a >= 0.2 for a, b in pairwise(drawn))


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_a_file_gets_a_line_for_each_tenth_and_none_within_two_seconds(steps):
    with pytest.MonkeyPatch.context() as patch:
        now, file = [0.0], io.StringIO()
        patch.setattr(time, "monotonic", lambda: now[0])
        patch.setattr(foundation, "how_shown", lambda verbose=None: "lines")
        patch.setattr(sys, "stderr", file)
        line, said = ProgressLine(len(steps), "steps"), [(0.0, 0)]
        for done, step in enumerate(steps, start=1):
            now[0] += step
            if line.due(done):
                line.show(done)
                said.append((now[0], 10 * done // len(steps)))
    assert len(file.getvalue().splitlines()) == len(said) - 1 <= 10
    for (before, few), (after, more) in pairwise(said):
        assert after - before >= 2.0 and more > few


def test_an_epoch_begins_with_no_tenth(clock, monkeypatch):
    monkeypatch.setattr(foundation, "how_shown", lambda verbose=None: "lines")
    line = ProgressLine(10, "epoch 1")
    clock.now += 5
    line.show(10)
    line.begin("epoch 2", 100)
    clock.now += 5
    assert [line.due(done) for done in (1, 9, 10)] == [False, False, True]


# --- a loop ---


def test_a_loop_is_the_same_loop(terminal, clock):
    assert list(progress([])) == []
    assert list(progress("abc", "letters")) == ["a", "b", "c"]
    assert list(progress(iter("abc"), total=3)) == ["a", "b", "c"]


def test_a_loop_says_how_fast_it_is_and_how_long_it_takes(terminal, clock):
    for _ in progress(range(100), "counting", unit="steps"):
        clock.now += 0.5
    assert len(terminal) == 100
    assert terminal[19][1] == ("counting", 20, 100, "2 steps/s, 0:40 left")


def test_a_loop_may_count_what_is_in_its_items(terminal, clock):
    for _ in progress(iter(["ab", "cde"]), "reading", unit="letters", size=len):
        clock.now += 1.0
    assert [what for _, what in terminal] == [
        ("reading", 2, None, "2 letters/s"),
        ("reading", 5, None, "2 letters/s"),
    ]


def test_a_loop_that_is_left_takes_its_bar_away(terminal, monkeypatch):
    closed = []
    monkeypatch.setattr(ProgressLine, "close", lambda self: closed.append(1))
    for _ in progress(range(10)):
        break
    with pytest.raises(ZeroDivisionError):
        for _ in progress(range(10)):
            raise ZeroDivisionError
    assert closed == [1, 1]


SCREEN = """
import time
from flairnb import foundation
foundation.PACE["bar"] = 0.0
for number in foundation.progress(range(30), "counting"):
    time.sleep(0.001)
    if number == 20:
        foundation.logger.info("a word in between")
"""


def seen_in_a_terminal(code, columns=60):
    "All that a program writes to a terminal of its own"
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    main, side = pty.openpty()
    termios.tcsetwinsize(side, (24, columns)) if sys.version_info >= (3, 11) else (
        __import__("fcntl").ioctl(
            side, termios.TIOCSWINSZ, __import__("struct").pack("4H", 24, columns, 0, 0)
        )
    )
    variables = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=side, stdout=side, env=variables
    ) as child:
        os.close(side)
        found = b""
        try:
            while piece := os.read(main, 1 << 16):
                found += piece
        except OSError:  # the other side is closed
            pass
        os.close(main)
    assert child.returncode == 0, found.decode()
    return found.decode()


def lines_on_screen(text):
    "What stands on a terminal in the end, and the longest line it ever had"
    lines, longest = [""], 0
    for piece in re.split(r"(\r\n|\n|\r)", text):
        if piece in ("\r\n", "\n"):
            lines.append("")
        elif piece and piece != "\r":
            lines[-1] = piece + lines[-1][len(piece) :]
            longest = max(longest, len(piece))
    return [line.rstrip() for line in lines if line.strip()], longest


def test_a_terminal_keeps_the_words_and_not_the_bar():
    text = seen_in_a_terminal(SCREEN)
    assert "counting 30/30" in text
    left, longest = lines_on_screen(text)
    assert left == ["a word in between"]
    assert longest <= 60


# --- where a run stands ---


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=5), min_size=1))
def test_padding_is_what_no_word_fills(batches):
    pace = Pace(0.0)
    for lengths in batches:
        data = Corpus(
            [Sentence("w " * n) for n in lengths], sample_missing_splits=False
        ).train.current()
        pace.add(Batch(data.table, data.rows))
    filled = np.concatenate([np.arange(max(x)) < np.array(x)[:, None] for x in batches], None)  # fmt: skip
    assert pace.padding == pytest.approx(1 - filled.mean())
    assert pace.speed(2.0) == filled.sum() / 2


@given(st.integers(1, 20), st.integers(1, 9), st.data())
def test_at_an_even_pace_the_time_that_is_left_is_right(in_epoch, epochs, data):
    epoch = data.draw(st.integers(1, epochs))
    done = data.draw(st.integers(0, in_epoch))
    events = [0.25] * (in_epoch - done) + [7.0]
    for _ in range(epochs - epoch):
        events += [0.25] * in_epoch + [7.0]
    found = seconds_left(in_epoch - done, 0.25, epochs - epoch, in_epoch, 7.0)
    assert found == ((in_epoch - done) * 0.25, sum(events))


ROW = {"EPOCH": 2, "EPOCHS": 2, "TRAIN_LOSS": 0.5, "SECONDS_LEFT": 4.0}
ROW |= {"RUN_SECONDS_LEFT": 99.0, "TOKENS_PER_SECOND": 12345.6, "PADDING": 0.125}


def test_what_is_not_known_is_not_told():
    assert told(ROW) == "loss 0.5000, 0:04 left, 12,346 tokens/s, 12% padding"
    scores = {"DEV_SCORE": 0.5, "BEST_SCORE": 0.5, "BEST_EPOCH": 1}
    assert "dev 0.5000 (the best)" in told(ROW | scores)
    assert "(best 0.6000 in epoch 1)" in told(ROW | scores | {"BEST_SCORE": 0.6})


# --- in a run ---


class Slow(Plugin):
    "A batch takes three tenths of a second, on the clock of the test"

    def __init__(self, clock):
        self.clock = clock

    def before_training_batch(self, moment):
        self.clock.now += 0.3

    def after_training_epoch(self, moment):
        self.clock.now += 0.0  # the model is measured at once


class Rows(ShowProgress):
    "Keeps what it would show"

    def __init__(self):
        super().__init__(verbose=False)
        self.rows = []

    def due(self, done):
        return True

    def show(self, row):
        self.rows.append(row)


def test_a_run_is_told_as_it_is(tmp_path, clock):
    rows = Rows()
    found = train(tmp_path, [Slow(clock), rows], max_epochs=3)
    rows = rows.rows
    assert [(r["EPOCH"], r["BATCH"]) for r in rows] == [
        (epoch, batch) for epoch in (1, 2, 3) for batch in range(1, 11)
    ]
    assert {r["BATCHES"] for r in rows} == {10} and {r["EPOCHS"] for r in rows} == {3}
    losses = [r["TRAIN_LOSS"] for r in rows if r["BATCH"] == 10]
    assert losses == pytest.approx(found["train_loss_history"], abs=1e-12)
    tokens = sum(len(text.split()) for text in TEXTS) * 4
    for r in rows:
        assert r["SECONDS_LEFT"] == pytest.approx(0.3 * (10 - r["BATCH"]))
        whole = 0.3 * (30 - 10 * (r["EPOCH"] - 1) - r["BATCH"])
        assert r["RUN_SECONDS_LEFT"] == pytest.approx(whole)
        if r["BATCH"] == 10:
            assert r["TOKENS_PER_SECOND"] == pytest.approx(tokens / 3.0)
    history = found["dev_score_history"]
    assert all("DEV_SCORE" not in r for r in rows[:10])
    for r in rows[10:]:
        known = history[: r["EPOCH"] - 1]
        assert (r["DEV_SCORE"], r["BEST_SCORE"]) == (known[-1], max(known))
        assert known[r["BEST_EPOCH"] - 1] == max(known)


def test_the_log_has_a_line_for_each_tenth_whoever_watches(tmp_path):
    train(tmp_path, [ShowProgress(verbose=False)], corpus_of(8))
    log = (tmp_path / "training.log").read_text()
    found = re.findall(r"epoch (\d) - iter (\d+)/20 - loss [\d.]+ - tokens/sec", log)
    assert found[-10:] == [("2", str(n)) for n in range(2, 21, 2)]


def test_a_bar_of_a_run_is_quiet_enough(tmp_path, terminal, clock):
    clock_per_batch = Slow(clock)
    train(tmp_path, [clock_per_batch, ShowProgress()], corpus_of(8))
    drawn = [one for one in terminal if one[1][0].startswith("epoch")]
    times = [when for when, _ in drawn]
    assert len(times) == 40  # a batch takes longer than the pause
    assert all(b - a >= 0.2 for a, b in pairwise(times))
    title, done, total, text = drawn[25][1]
    assert (title, done, total) == ("epoch 2/2", 6, 20)
    assert re.fullmatch(
        r"loss \d\.\d{4}, dev [\d.]+ \(the best\), 0:04 left, \d+ tokens/s, \d+% padding",
        text,
    )


def calls_in(code, action):
    "Calls of Python and C functions during an action, and those of them within a code"
    every, inside, depth = 0, 0, 0

    def count(frame, event, argument):
        nonlocal every, inside, depth
        if event in ("call", "c_call"):
            every += 1
            if event == "call" and frame.f_code in code:
                depth += 1
            inside += depth > 0
        elif event == "return" and frame.f_code in code:
            depth -= 1

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return every, inside


def test_progress_is_a_hundredth_of_the_work(tmp_path, monkeypatch):
    "... of the smallest model there is, whose steps are the cheapest"
    monkeypatch.setattr(foundation, "how_shown", lambda verbose=None: "lines")
    corpus = corpus_of(80)
    hooks = {
        hook.__code__
        for name, hook in vars(ShowProgress).items()
        if name.startswith(("after_training_batch", "before_training_epoch"))
    }
    every, inside = calls_in(
        hooks, lambda: train(tmp_path, [ShowProgress()], corpus, max_epochs=1)
    )
    steps = 200
    assert inside > 5 * steps  # they are counted
    assert inside / every < 0.01, f"{inside} of {every} calls"


def test_the_loss_is_looked_at_once_a_second_and_for_the_log(tmp_path, clock, terminal):
    looks = []

    class Watched(torch.Tensor):
        pass

    real = torch.Tensor.__float__

    def look(tensor):
        looks.append(sys._getframe(1).f_code.co_name)
        return real(tensor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__float__", look)
        train(tmp_path, [Slow(clock), ShowProgress()], corpus_of(40), max_epochs=1)
    seconds = 0.3 * 100
    assert 10 <= looks.count("now") <= 10 + seconds


def test_a_checkpoint_does_not_ask_for_what_shows_progress(tmp_path, caplog):
    train(tmp_path, [ShowProgress(False), Plugin()], checkpoint=True, max_epochs=1)
    goes_on = ModelTrainer.load_checkpoint(tmp_path / "checkpoint.pt", corpus_of())
    caplog.set_level(logging.INFO, logger="flairnb")
    goes_on.train(tmp_path, max_epochs=2, plugins=[Plugin(), Rows()])
    assert "not given" not in caplog.text


def test_one_plugin_shows_progress(tmp_path):
    own, other = Rows(), Plugin()
    assert with_progress([other, own]) == (other, own)
    added = with_progress([other])
    assert added[0] is other and type(added[1]) is ShowProgress
    train(tmp_path, [own], max_epochs=1)
    assert len(own.rows) == 10


# --- verbose, wherever it is taken ---


def classified(kind):
    "Sentences with a topic or a number"
    made = [Sentence(text) for text in TEXTS * 3]
    for number, sentence in enumerate(made):
        value = str(number) if kind == "mark" else ["A", "B"][number % 2]
        sentence.add_label(kind, value)
    return made


def document_vectors(corpus):
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=4)
    return DocumentPoolEmbeddings([vectors])


def a_tagger():
    corpus = corpus_of(1)
    return tagger_for(corpus), corpus.train


def a_classifier():
    corpus = Corpus(classified("topic"), sample_missing_splits=False)
    vectors = document_vectors(corpus)
    model = TextClassifier(
        vectors, label_type="topic", label_dictionary=Dictionary.of(["A", "B"])
    )
    return model, corpus.train


def a_regressor():
    corpus = Corpus(classified("mark"), sample_missing_splits=False)
    return TextRegressor(document_vectors(corpus), "mark"), corpus.train


def a_pair_classifier():
    pairs = [TextPair(one, other) for one, other in pairwise(map(Sentence, TEXTS))]
    for pair in pairs:
        pair.add_label("same", "yes")
    texts = Corpus([Sentence(text) for text in TEXTS], sample_missing_splits=False)
    vectors = document_vectors(texts)
    labels = Dictionary.of(["yes", "no"])
    model = TextPairClassifier(vectors, label_type="same", label_dictionary=labels)
    return model, pairs


MODELS = [a_tagger, a_classifier, a_regressor, a_pair_classifier]


@pytest.mark.parametrize("made", MODELS)
def test_predict_and_evaluate_say_how_far_they_are_if_asked(made, capsys, at_once):
    model, sentences = made()
    for verbose in (True, False):
        model.predict(list(sentences), mini_batch_size=1, verbose=verbose)
        assert ("predicting" in capsys.readouterr().err) is verbose
        model.evaluate(sentences, model.label_type, verbose=verbose)
        assert ("measuring" in capsys.readouterr().err) is verbose
    model.predict(list(sentences))
    model.evaluate(sentences, model.label_type)
    assert capsys.readouterr().err == ""


def test_verbose_changes_nothing_but_what_is_said(at_once):
    found = []
    for verbose in (True, False):
        model, sentences = a_tagger()
        given = [Sentence(s.text) for s in sentences]
        loss = model.predict(given, verbose=verbose, return_loss=True)
        found.append(([[t.tag for t in s] for s in given], loss))
        result = model.evaluate(sentences, "upos", verbose=verbose)
        found[-1] += (result.loss, str(result))
    assert found[0] == found[1]


@pytest.mark.parametrize("how", ["train", "fine_tune"])
@pytest.mark.parametrize("verbose", [True, False, None])
def test_a_run_is_as_loud_as_was_asked(tmp_path, capsys, at_once, how, verbose):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    chosen = {"max_epochs": 2, "mini_batch_size": 2, "embeddings_storage_mode": "cpu"}
    capsys.readouterr()
    getattr(trainer, how)(tmp_path, verbose=verbose, **chosen)
    heard = capsys.readouterr().err
    if verbose is False:
        assert heard == ""
    else:
        assert "epoch 1/2 5/10 loss" in heard and "EPOCH 2 done" in heard
        assert "By class" in heard
    log = (tmp_path / "training.log").read_text()
    assert all(part in log for part in ("EPOCH 2 done", "By class", "iter 5/10"))


def test_a_run_without_words_still_warns(tmp_path, capsys):
    corpus = corpus_of()
    corpus.dev[0][0].set_label("upos", "OTHER")
    capsys.readouterr()
    train(tmp_path, [], corpus, verbose=False)
    assert "does not know it" in capsys.readouterr().err


def test_a_run_that_goes_on_may_be_silent(tmp_path, capsys, at_once):
    train(tmp_path, [], max_epochs=1, checkpoint=True)
    goes_on = ModelTrainer.load_checkpoint(tmp_path / "checkpoint.pt", corpus_of())
    capsys.readouterr()
    goes_on.train(tmp_path, max_epochs=2, verbose=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verbose", [True, False])
def test_vectors_are_stored_as_loudly(capsys, at_once, verbose, monkeypatch):
    monkeypatch.setattr("flairnb.embeddings.base.AT_ONCE", 2)
    corpus = corpus_of()
    monkeypatch.setattr(OneHotEmbeddings, "storable", True)
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=4)
    capsys.readouterr()
    store_vectors(vectors, [corpus.train.current()], "cpu", verbose=verbose)
    assert ("storing" in capsys.readouterr().err) is verbose


def test_verbose_changes_no_weights(tmp_path):
    states = []
    for verbose in (True, False):
        corpus = corpus_of()
        model = tagger_for(corpus)
        folder = tmp_path / str(verbose)
        ModelTrainer(model, corpus).train(folder, max_epochs=2, seed=1, verbose=verbose)
        states.append(model.state_dict())
    assert all(states[1][name].equal(x) for name, x in states[0].items())

"Training runs: Flair's control flow, files, faults, interrupts"

from __future__ import annotations

import dataclasses
import inspect
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flairnb.data.corpus import Corpus, MultiCorpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.embeddings import OneHotEmbeddings
from flairnb.models import Model, SequenceTagger
from flairnb.trainers import ModelTrainer
from flairnb.trainers.history import History, Plugin
from flairnb.trainers.schedules import AnnealOnPlateau, is_best_model
from flairnb.trainers.steps import REFUSED, RENAMED, Settings

TEXTS = ["Ada met Bob", "he saw Cid and Dora", "she met them", "Emma ran", "we saw it"]
MODELS = ["best-model.pt", "final-model.pt"]


@pytest.fixture
def messages():
    found, handler = [], logging.Handler()
    handler.emit = lambda record: found.append((record.levelname, record.getMessage()))
    logger = logging.getLogger("flairnb")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def sentences_of(texts, layer="upos"):
    made = [Sentence(text) for text in texts]
    for token in (token for sentence in made for token in sentence):
        token.set_label(layer, "NAME" if token.text[:1].isupper() else "WORD")
    return made


def corpus_of(train=TEXTS * 4, dev=TEXTS[:3], test=TEXTS[3:], layer="upos"):
    splits = [None if s is None else sentences_of(s, layer) for s in (train, dev, test)]
    return Corpus(*splits, name="letters", sample_missing_splits=False)


def tagger_for(corpus, labels=("NAME", "WORD"), seed=1, **chosen):
    torch.manual_seed(seed)
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    labels = Dictionary.of(labels)
    return SequenceTagger(vectors, labels, "upos", hidden_size=4, **chosen)


def train(folder, corpus=None, model=None, **chosen):
    corpus = corpus or corpus_of()
    model = model or tagger_for(corpus)
    chosen = {"max_epochs": 3, "mini_batch_size": 4, "seed": 1, **chosen}
    return ModelTrainer(model, corpus).train(folder, **chosen)


def table(path):
    lines = [line.split("\t") for line in Path(path).read_text().splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


class Scripted(SequenceTagger):
    "Answers each evaluation of dev with the next score and loss of a script"

    script: list[tuple[float, float]]

    def evaluate(self, data_points, *args, **settings):
        result = super().evaluate(data_points, *args, **settings)
        if args[1].name == "dev.tsv":
            result.main_score, result.scores["loss"] = self.script.pop(0)
        return result


def scripted(corpus, script):
    model = tagger_for(corpus)
    model.__class__, model.script = Scripted, list(script)
    return model


# --- the schedule ---


class FlairsAnnealing:
    "What Flair 0.15.1 does at the end of an epoch, written down anew"

    def __init__(self, rate, factor, patience, extra):
        self.rate, self.factor, self.patience, self.extra = (
            rate,
            factor,
            patience,
            extra,
        )
        self.score, self.loss, self.bad = -float("inf"), None, 0

    def step(self, score, loss):
        tie = score == self.score and loss < self.loss
        if score > self.score or tie:
            self.score, self.loss, self.bad = score, loss, 0
        else:
            self.bad += 1
        if self.bad > self.patience + self.extra:
            self.rate, self.bad, self.extra = self.rate * self.factor, 0, 0
            return True
        return False


epochs = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=40)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(epochs, st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.5, 0.1]))
def test_annealing_is_flairs(drawn, patience, extra, factor):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    ours = AnnealOnPlateau(optimizer, factor, patience, extra)
    theirs = FlairsAnnealing(0.1, factor, patience, extra)
    for score, loss in drawn:
        assert ours.epoch_done(score / 4, loss / 4) == theirs.step(score / 4, loss / 4)
        assert (ours.learning_rate, ours.bad_epochs) == (theirs.rate, theirs.bad)


def test_annealing_as_flair_did_it():
    "Rates that Flair 0.15.1 gave for these epochs (patience 1, factor 0.5, extra 1)"
    scores = [0.5] * 6 + [0.6, 0.6, 0.6, 0.5, 0.7]
    losses = [0.9, 0.8, 0.8, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.7, 0.9]
    rates = [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = AnnealOnPlateau(optimizer, 0.5, 1, 1)
    found = []
    for score, loss in zip(scores, losses, strict=True):
        schedule.epoch_done(score, loss)
        found.append(schedule.learning_rate)
    assert found == pytest.approx(rates)


@pytest.mark.parametrize(
    ("rate", "least", "limit"),
    [(0.1, 1e-4, 1e-4), (5e-4, 1e-4, 1e-4), (5e-5, 1e-4, 5e-6), (0.1, 0.04, 0.04)],
)
def test_the_least_learning_rate(rate, least, limit):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = AnnealOnPlateau(optimizer, min_learning_rate=least)
    assert schedule.min_learning_rate == pytest.approx(limit)
    assert not schedule.finished


def test_a_run_ends_when_the_learning_rate_is_too_small(tmp_path):
    corpus = corpus_of()
    model = scripted(corpus, [(0.5, 1.0)] * 99)
    chosen = {"patience": 0, "min_learning_rate": 0.03, "max_epochs": 50}
    found = train(tmp_path, corpus, model, **chosen)
    rows = table(tmp_path / "loss.tsv")
    assert [float(r["LEARNING_RATE"]) for r in rows] == [0.1, 0.1, 0.05]
    assert [int(r["BAD_EPOCHS"]) for r in rows] == [0, 1, 1]
    assert found["stop_reason"] == "the learning rate 0.025 is too small to go on"


def test_bad_epochs_are_counted_up_to_the_annealing(tmp_path):
    corpus = corpus_of()
    scores = [0.5, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6]
    losses = [1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.9]
    model = scripted(corpus, zip(scores, losses, strict=True))
    train(tmp_path, corpus, model, patience=2, max_epochs=7)
    rows = table(tmp_path / "loss.tsv")
    assert [int(row["BAD_EPOCHS"]) for row in rows] == [0, 1, 2, 3, 0, 0, 1]
    rates = [float(row["LEARNING_RATE"]) for row in rows]
    assert rates == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05]


# --- which model is the best ---


def test_the_best_model_is_the_first_with_the_highest_score(tmp_path):
    corpus = corpus_of()
    script = [(0.0, 3.0), (0.0, 2.0), (0.4, 1.0), (0.4, 0.5), (0.3, 0.1)]
    model = scripted(corpus, script)
    found = train(tmp_path, corpus, model, max_epochs=5)
    best = SequenceTagger.load(tmp_path / "best-model.pt")
    assert best.training_card["epochs"] == 3
    final = SequenceTagger.load(tmp_path / "final-model.pt")
    assert final.training_card["epochs"] == 5
    for one, other in zip(best.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)  # the best one is in memory
    assert found["dev_score_history"] == [score for score, _ in script]
    assert found["dev_loss_history"] == [loss for _, loss in script]


def test_zero_scores_are_told_apart_by_the_loss():
    assert is_best_model(0.0, 2.0, None) and is_best_model(0.0, 1.0, (0.0, 2.0))
    assert not is_best_model(0.0, 2.0, (0.0, 2.0))
    assert is_best_model(0.1, 9.0, (0.0, 2.0))
    assert not is_best_model(0.0, 0.1, (0.1, 2.0))


@pytest.mark.parametrize(
    "metric", ["accuracy", ("macro avg", "recall"), ("NAME", "precision")]
)
def test_the_history_holds_the_chosen_metric(tmp_path, metric):
    corpus = corpus_of()
    model = tagger_for(corpus)
    seen = []
    evaluate = model.evaluate
    model.evaluate = lambda *args: seen.append(evaluate(*args)) or seen[-1]
    found = train(tmp_path, corpus, model, main_evaluation_metric=metric)
    dev = seen[:3]
    if metric == "accuracy":
        wanted = [result.scores["accuracy"] for result in dev]
    else:
        wanted = [
            r.classification_report.get(metric[0], {}).get(metric[1], 0.0) for r in dev
        ]
    assert found["dev_score_history"] == wanted
    assert found["test_score"] == seen[3].main_score


def test_an_unknown_metric_is_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match="unknown metric"):
        train(tmp_path / "run", main_evaluation_metric=("micro", "f1"))
    assert not (tmp_path / "run").exists()


# --- one step ---


def gradients_of(folder, **chosen):
    corpus = corpus_of()
    model = tagger_for(corpus, word_dropout=0.0, locked_dropout=0.0)
    train(folder, corpus, model, max_epochs=1, use_final_model_for_eval=True, **chosen)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_chunks_change_nothing(tmp_path):
    whole = gradients_of(tmp_path / "a", mini_batch_size=8)
    chunks = gradients_of(tmp_path / "b", mini_batch_size=8, mini_batch_chunk_size=3)
    other = gradients_of(tmp_path / "c", mini_batch_size=4)
    assert torch.allclose(whole, chunks, atol=1e-5)
    assert not torch.allclose(whole, other, atol=1e-3)


def test_the_summed_gradient_is_clipped_at_five(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    before = [p.detach().clone() for p in model.parameters()]
    all_of_it = {"mini_batch_size": 99, "max_epochs": 1, "learning_rate": 0.01}
    train(tmp_path, corpus, model, use_final_model_for_eval=True, **all_of_it)
    moved = torch.cat(
        [(p - b).flatten() for p, b in zip(model.parameters(), before, strict=True)]
    )
    assert float(moved.detach().norm()) == pytest.approx(5.0 * 0.01, rel=1e-3)


@pytest.mark.parametrize("crf", [True, False])
def test_half_precision_moves_the_weights_as_full_precision_does(tmp_path, crf):
    trained, kinds = [], []
    for use_amp in (False, True):
        corpus = corpus_of()
        model = tagger_for(corpus, use_crf=crf, locked_dropout=0.0, word_dropout=0.0)
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        note = model.layers.register_forward_hook(
            lambda module, given, out: kinds.append(out.dtype)
        )
        chosen = {"use_final_model_for_eval": True, "use_amp": use_amp}
        train(tmp_path / str(use_amp), corpus, model, learning_rate=0.01, **chosen)
        note.remove()
        after = torch.cat([p.detach().flatten() for p in model.parameters()])
        trained.append(after - before)
    assert set(kinds) == {torch.float32, torch.bfloat16}
    full, half = trained
    assert half.dtype == torch.float32
    assert 0 < float((full - half).norm()) < 0.05 * float(full.norm())


def test_no_clipping(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    before = [p.detach().clone() for p in model.parameters()]
    chosen = {"mini_batch_size": 99, "max_epochs": 1, "learning_rate": 0.01}
    chosen |= {"use_final_model_for_eval": True, "max_grad_norm": None}
    train(tmp_path, corpus, model, **chosen)
    pairs = zip(model.parameters(), before, strict=True)
    assert (
        sum(float((p - b).detach().norm()) ** 2 for p, b in pairs) ** 0.5 > 5.1 * 0.01
    )


class Sick(SequenceTagger):
    "Its loss is wrong from some step on"

    steps, wrong_from, wrong = 0, 8, float("nan")

    def forward_loss(self, batch):
        self.steps += 1
        loss, count = super().forward_loss(batch)
        return (loss * self.wrong if self.steps >= self.wrong_from else loss), count


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_an_error(tmp_path, wrong):
    corpus = corpus_of()
    model = tagger_for(corpus)
    model.__class__, model.wrong = Sick, wrong
    with pytest.raises(FloatingPointError, match=r"epoch 2, batch 3 of 5: the loss is"):
        train(tmp_path, corpus, model)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    log = (tmp_path / "training.log").read_text()
    assert "Training failed: FloatingPointError: epoch 2, batch 3" in log
    best = read(tmp_path / "best-model.pt")
    assert best.training_card["epochs"] == 1
    assert len(table(tmp_path / "loss.tsv")) == 1


def read(path):
    "The model of a file that a subclass of these tests may have written"
    return Model.load(path)


# --- files ---


def test_the_files_of_a_run(tmp_path):
    found = train(tmp_path / "a" / "b", save_model_each_k_epochs=2, write_weights=True)
    names = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    expected = [*MODELS, "dev.tsv", "loss.tsv", "model_epoch_2.pt", "test.tsv"]
    assert names == sorted([*expected, "training.log", "weights.txt"])
    rows = table(tmp_path / "a" / "b" / "loss.tsv")
    columns = "EPOCH TIMESTAMP BAD_EPOCHS LEARNING_RATE TRAIN_LOSS DEV_LOSS".split()
    columns += ["DEV_PRECISION", "DEV_RECALL", "DEV_F1", "DEV_ACCURACY"]
    columns += ["GRADIENT_NORM"]
    assert list(rows[0]) == columns
    assert [float(r["TRAIN_LOSS"]) for r in rows] == found["train_loss_history"]
    assert [float(r["DEV_LOSS"]) for r in rows] == found["dev_loss_history"]
    assert [float(r["DEV_F1"]) for r in rows] == found["dev_score_history"]
    log = (tmp_path / "a" / "b" / "training.log").read_text()
    for part in (
        "epoch 1 - iter 1/5 - loss ",
        "tokens/sec",
        "EPOCH 3 done",
        "By class",
    ):
        assert part in log
    assert all(line[4] == "-" and line[23] in " \n" for line in log.splitlines(True))


def test_small_learning_rates_keep_their_digits(tmp_path):
    found = train(tmp_path, learning_rate=5e-6, max_epochs=2)
    assert found["stop_reason"] == "all 2 epochs are done"
    assert [r["LEARNING_RATE"] for r in table(tmp_path / "loss.tsv")] == ["5e-06"] * 2


def test_files_that_are_not_wanted(tmp_path):
    unwanted = ("save_final_model", "create_file_logs", "create_loss_file")
    train(tmp_path, max_epochs=1, **dict.fromkeys(unwanted, False))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        MODELS[0],
        "dev.tsv",
        "test.tsv",
    ]


def test_watching_test_and_train(tmp_path):
    train(tmp_path, monitor_test=True, monitor_train_sample=3, max_epochs=1)
    (row,) = table(tmp_path / "loss.tsv")
    for split in ("DEV", "TEST", "TRAIN_SAMPLE"):
        assert {f"{split}_{name}" for name in ("LOSS", "F1", "ACCURACY")} <= set(row)
    blocks = (tmp_path / "train_sample.tsv").read_text().strip().split("\n\n")
    assert len(blocks) == 3


def test_training_with_dev(tmp_path):
    corpus = corpus_of(train=TEXTS, dev=["Fay sang"])
    model = tagger_for(corpus)
    sizes = []
    forward = model.forward_loss
    model.forward_loss = lambda batch: sizes.append(len(batch)) or forward(batch)
    (tmp_path / "best-model.pt").write_text("of an earlier run")
    found = train(tmp_path, corpus, model, train_with_dev=True, mini_batch_size=99)
    assert sizes == [6, 6, 6]
    assert found["dev_score_history"] == [] == found["dev_loss_history"]
    assert not (tmp_path / "best-model.pt").exists()
    assert "DEV_LOSS" not in table(tmp_path / "loss.tsv")[0]
    assert found["test_score"] > 0


def test_training_with_test(tmp_path):
    found = train(tmp_path, train_with_test=True, monitor_test=True)
    assert found["test_score"] == 0.0 and not (tmp_path / "test.tsv").exists()


@pytest.mark.parametrize("dev", [None, []])
def test_without_dev(tmp_path, dev):
    corpus = corpus_of(dev=dev)
    found = train(tmp_path, corpus, max_epochs=2)
    assert len(found["train_loss_history"]) == 2 and found["dev_score_history"] == []
    assert (tmp_path / "final-model.pt").exists()


@pytest.mark.parametrize("test", [None, []])
def test_without_test(tmp_path, test):
    assert train(tmp_path, corpus_of(test=test), max_epochs=1)["test_score"] == 0.0


def test_the_parts_of_a_multi_corpus_are_scored(tmp_path):
    easy, hard = corpus_of(), corpus_of(test=TEXTS)
    for token in hard.test[0]:
        token.set_label("upos", "WORD")  # which no model can get right
    both = MultiCorpus([easy, hard])
    chosen = {"max_epochs": 20, "learning_rate": 0.5}
    found = train(tmp_path, both, tagger_for(both), **chosen)
    assert list(found["parts"]) == ["letters", "letters_2"]
    model = Model.load(tmp_path / "best-model.pt")
    rows = table(tmp_path / "test_parts.tsv")
    for row, corpus in zip(rows, (easy, hard), strict=True):
        result = model.evaluate(corpus.test)
        scores = found["parts"][row["PART"]]
        assert scores["SCORE"] == float(row["SCORE"]) == result.main_score
        assert float(row["LOSS"]) == pytest.approx(result.loss, rel=1e-5)
        assert int(row["SENTENCES"]) == len(corpus.test)
    assert found["parts"]["letters"]["SCORE"] > found["parts"]["letters_2"]["SCORE"]
    assert "letters_2: score" in (tmp_path / "training.log").read_text()


def test_one_corpus_has_no_parts(tmp_path):
    assert train(tmp_path, max_epochs=1)["parts"] == {}
    assert not (tmp_path / "test_parts.tsv").exists()


def test_two_runs_of_one_trainer(tmp_path):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    chosen = {
        "mini_batch_size": 4,
        "write_weights": True,
        "save_model_each_k_epochs": 1,
    }
    trainer.train(tmp_path / "one", max_epochs=2, **chosen)
    before = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    trainer.train(tmp_path / "two", max_epochs=3, patience=0, **chosen)
    assert {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()} == before
    assert len(table(tmp_path / "two" / "loss.tsv")) == 3
    trainer.train(tmp_path / "two", max_epochs=1, **chosen)
    assert len(table(tmp_path / "two" / "loss.tsv")) == 1  # one header, one run


def test_a_loaded_model_is_trained_on(tmp_path):
    corpus = corpus_of()
    train(tmp_path / "one", corpus)
    model = Model.load(tmp_path / "one" / "final-model.pt")
    before = model.evaluate(corpus.dev).loss
    found = train(tmp_path / "two", corpus, model, max_epochs=5)
    assert min(found["dev_loss_history"]) < before


def test_predicting_before_training_does_no_harm(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    model.predict(corpus.train, label_name="guess")
    train(tmp_path, corpus, model, max_epochs=1)


# --- the same again ---


def test_the_same_seed_gives_the_same_weights(tmp_path):
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        corpus = corpus_of()
        model = tagger_for(corpus)
        torch.rand(len(name) + seed)  # what happened before must not matter
        train(tmp_path / name, corpus, model, seed=seed, use_final_model_for_eval=True)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_order_of_batches(tmp_path):
    def orders(**chosen):
        corpus = corpus_of()
        model = tagger_for(corpus)
        seen, forward = [], model.forward_loss
        model.forward_loss = lambda b: seen.append(b.rows.tolist()) or forward(b)
        train(tmp_path, corpus, model, max_epochs=2, **chosen)
        return seen[:5], seen[5:]

    plain = orders(shuffle=False)
    assert plain[0] == plain[1] == [list(range(i, i + 4)) for i in range(0, 20, 4)]
    first, second = orders()
    assert first != second
    for epoch in (first, second):
        assert sorted(row for batch in epoch for row in batch) == list(range(20))


# --- before the first epoch ---


def test_labels_that_are_not_in_train_are_told(tmp_path, messages):
    corpus = corpus_of()
    for split, place in ((corpus.dev, 0), (corpus.test, 1)):
        split[0][place].set_label("upos", "RARE")
    corpus.dev[1][0].set_label("upos", "RARE")
    corpus.train[0][0].set_label("upos", "GONE")
    found = train(tmp_path, corpus, tagger_for(corpus), monitor_test=True)
    told = [text for level, text in messages if level == "WARNING"]
    assert len(told) == 3
    assert "'GONE' occurs 1 times in train" in told[0] and "left out" in told[0]
    assert "'RARE' occurs 2 times in dev" in told[1] and "errors" in told[1]
    assert "'RARE' occurs 1 times in test" in told[2]
    texts = [text for _, text in messages]
    assert texts.index(told[2]) < next(i for i, t in enumerate(texts) if "EPOCH 1" in t)
    assert all(text in (tmp_path / "training.log").read_text() for text in told)
    assert found["test_score"] < 1


def test_dev_that_is_trained_on_is_train(tmp_path, messages):
    corpus = corpus_of()
    corpus.dev[0][0].set_label("upos", "RARE")
    train(tmp_path, corpus, tagger_for(corpus), train_with_dev=True, max_epochs=1)
    (told,) = [text for level, text in messages if level == "WARNING"]
    assert "in train" in told and "left out of the loss" in told


def test_splits_without_labels(tmp_path, messages):
    corpus = corpus_of(dev=None)
    corpus = Corpus(corpus.train, [Sentence("no labels")], corpus.test)
    found = train(tmp_path, corpus, tagger_for(corpus), max_epochs=1)
    assert any("dev has no labels of type 'upos'" in text for _, text in messages)
    assert found["dev_score_history"] == [0.0]
    bare = Corpus([Sentence("none here")], corpus.dev, corpus.test, name="bare")
    with pytest.raises(ValueError, match="bare: train has no labels of type 'upos'"):
        train(tmp_path / "x", bare, tagger_for(corpus))
    spans = sentences_of(TEXTS)
    for sentence in spans:
        sentence.remove_labels("upos")
        sentence[0:1].add_label("upos", "NAME")  # on a span, for a tagger of tokens
    with pytest.raises(ValueError, match="train has no labels"):
        train(
            tmp_path / "x", Corpus(spans, corpus.dev, corpus.test), tagger_for(corpus)
        )
    assert not (tmp_path / "x").exists()


def test_overlapping_spans_are_told(tmp_path, messages):
    corpus = corpus_of()
    for split in corpus.splits().values():
        split[0][0:2].add_label("ner", "PER")
    corpus.train[0][1:3].add_label("ner", "PER")
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    labels = corpus.make_label_dictionary("ner")
    model = SequenceTagger(vectors, labels, "ner", hidden_size=4)
    train(tmp_path, corpus, model, max_epochs=1)
    (told,) = [text for level, text in messages if level == "WARNING"]
    assert "1 of 2 spans in train overlap another" in told and "Ada met Bob" in told


def test_empty_sentences_and_odd_ones(tmp_path):
    texts = ["", "   ", "😀", "Ada met 👩‍👩‍👧", "\u200b", *TEXTS]
    corpus = corpus_of(train=texts, dev=texts, test=texts)
    found = train(tmp_path, corpus, mini_batch_size=1)
    assert np.isfinite(found["train_loss_history"]).all()
    empty = corpus_of(train=["", " "])
    with pytest.raises(ValueError, match="no sentence with words"):
        train(tmp_path / "x", empty, tagger_for(corpus))


# --- arguments ---


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("max_epoch", "max_epochs"),
        ("mini_batchsize", "mini_batch_size"),
        ("weightdecay", "weight_decay"),
        ("train_on_dev", "train_with_dev"),
        ("anneal_factr", "anneal_factor"),
    ],
)
def test_unknown_arguments_are_refused_by_name(tmp_path, wrong, near):
    with pytest.raises(TypeError) as caught:
        train(tmp_path / "run", **{wrong: 1})
    assert f"no argument {wrong!r}; did you mean {near!r}?" in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("chosen", "part"),
    [
        ({"mini_batch_size": 0}, "mini_batch_size"),
        ({"mini_batch_chunk_size": 0}, "mini_batch_chunk_size"),
        ({"anneal_factor": 1.5}, "anneal_factor"),
        ({"embeddings_storage_mode": "floppy"}, "embeddings_storage_mode"),
        ({"learning_rate": -1.0}, "learning_rate is at least 0"),
        ({"momentum": -1.0}, "momentum"),
    ],
)
def test_wrong_values_are_refused_before_a_file_is_touched(tmp_path, chosen, part):
    (tmp_path / "best-model.pt").write_text("a good one")
    with pytest.raises(ValueError, match=part):
        train(tmp_path, **chosen)
    assert [p.name for p in tmp_path.iterdir()] == ["best-model.pt"]


def test_other_optimizers(tmp_path):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus, optimizer=torch.optim.AdamW)
    chosen = {"max_epochs": 1, "learning_rate": 0.01, "weight_decay": 0.1}
    trainer.train(tmp_path, **chosen)
    assert "optimizer: AdamW" in (tmp_path / "training.log").read_text()
    trainer.train(tmp_path, optimizer=torch.optim.SGD, momentum=0.9, max_epochs=1)
    assert "optimizer: SGD" in (tmp_path / "training.log").read_text()
    made = torch.optim.SGD(trainer.model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="optimizer is a class"):
        trainer.train(tmp_path, optimizer=made)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(tmp_path / "file")


FLAIRS = """
learning_rate mini_batch_size eval_batch_size mini_batch_chunk_size max_epochs
train_with_dev train_with_test monitor_train monitor_test main_evaluation_metric
scheduler anneal_factor patience min_learning_rate initial_extra_patience optimizer
cycle_momentum warmup_fraction embeddings_storage_mode checkpoint save_final_model
anneal_with_restarts anneal_with_prestarts anneal_against_dev_loss
batch_growth_annealing shuffle param_selection_mode write_weights num_workers sampler
use_amp amp_opt_level eval_on_train_fraction eval_on_train_shuffle
save_model_each_k_epochs tensorboard_comment use_swa use_final_model_for_eval
gold_label_dictionary_for_eval exclude_labels create_file_logs create_loss_file epoch
use_tensorboard tensorboard_log_dir metrics_for_tensorboard optimizer_state_dict
scheduler_state_dict save_optimizer_state decoder_learning_rate reduce_transformer_vocab
monitor_train_sample shuffle_first_epoch multi_gpu plugins attach_default_scheduler
max_grad_norm base_path
""".split()  # of train, fine_tune and train_custom in 0.11.3 and 0.15.1


def test_each_argument_of_flairs_is_known(tmp_path):
    "What becomes of each is tested in test_trainer_arguments.py"
    ours = inspect.signature(ModelTrainer.train).parameters
    assert set(FLAIRS) - set(ours) == REFUSED.keys() | RENAMED.keys()
    assert not set(ours) & (REFUSED.keys() | RENAMED.keys())
    train(tmp_path / "run", max_epochs=1, **dict.fromkeys(REFUSED, False))


def test_arguments_and_settings_have_the_same_defaults():
    ours = inspect.signature(ModelTrainer.train).parameters
    for one in dataclasses.fields(Settings):
        if one.name not in ("optimizer_arguments", "base_path", "optimizer", "seed"):
            assert ours[one.name].default == one.default, one.name
    missing = set(ours) - {one.name for one in dataclasses.fields(Settings)}
    assert missing == {"self", "override"}


def test_annealing_may_go_back_to_the_best_model(tmp_path):
    corpus, seen = corpus_of(), []
    model = scripted(corpus, [(0.9, 1.0), (0.1, 1.0), (0.1, 1.0), (0.1, 1.0)])

    class Look(Plugin):
        def before_training_epoch(self, moment):
            seen.append(weights())

    def weights():
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    chosen = {"patience": 1, "anneal_with_restarts": True, "plugins": [Look]}
    train(tmp_path, corpus, model, max_epochs=4, **chosen)
    assert torch.equal(seen[1], seen[3]) and not torch.equal(seen[1], seen[2])
    assert (
        "lowered to 0.05, back to the best model"
        in (tmp_path / "training.log").read_text()
    )


def test_the_loss_on_dev_may_decide_on_annealing(tmp_path):
    script = [(0.5, 3.0), (0.4, 2.0), (0.3, 1.0), (0.2, 1.5)]
    for by_loss, wanted in ((True, [0, 0, 0, 1]), (False, [0, 1, 1, 1])):
        corpus = corpus_of()
        model = scripted(corpus, script)
        chosen = {"patience": 0, "anneal_against_dev_loss": by_loss}
        train(tmp_path / str(by_loss), corpus, model, max_epochs=4, **chosen)
        rows = table(tmp_path / str(by_loss) / "loss.tsv")
        assert [int(row["BAD_EPOCHS"]) for row in rows] == wanted


# --- interrupts ---

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from test_trainer import corpus_of, tagger_for, train
corpus = corpus_of()
found = train(sys.argv[1], corpus, tagger_for(corpus), max_epochs=100_000, patience=10**6)
print(found["stop_reason"], len(found["train_loss_history"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_a_real_interrupt_saves_a_usable_model(tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run"), here]
    settings = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings)
    try:
        losses = tmp_path / "run" / "loss.tsv"
        for _ in range(600):
            if losses.exists() and len(losses.read_text().splitlines()) > 3:
                break
            assert process.poll() is None, "the run ended by itself"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert output.startswith("interrupted by the user")
    assert "interrupted by the user" in (tmp_path / "run" / "training.log").read_text()
    for name in MODELS:
        model = Model.load(tmp_path / "run" / name)
        sentence = Sentence("Ada met Bob")
        model.predict(sentence)
        assert len(sentence.get_labels("upos")) == 3
    assert not [p for p in (tmp_path / "run").iterdir() if "tmp" in p.name]


def test_an_interrupt_before_the_first_step(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)

    def stop(batch):
        raise KeyboardInterrupt

    model.forward_loss = stop
    found = train(tmp_path, corpus, model)
    assert found["stop_reason"] == "interrupted by the user"
    assert found["train_loss_history"] == []
    Model.load(tmp_path / "final-model.pt")


# --- history ---


def test_a_history_with_nan_and_missing_columns(tmp_path):
    history = History(tmp_path / "loss.tsv")
    history.add({"EPOCH": 1, "TRAIN_LOSS": float("nan")})
    history.add({"EPOCH": 2, "TRAIN_LOSS": 0.1 + 0.2, "DEV_LOSS": np.float64(0.1)})
    rows = (tmp_path / "loss.tsv").read_text().splitlines()
    assert rows[0] == "EPOCH\tTRAIN_LOSS\tDEV_LOSS"
    assert rows[1:] == ["1\tnan\t_", "2\t0.30000000000000004\t0.1"]


def test_weights_are_followed(tmp_path):
    train(tmp_path, write_weights=True)
    rows = [
        line.split("\t") for line in (tmp_path / "weights.txt").read_text().splitlines()
    ]
    assert {int(row[0]) for row in rows} == set(range(1, 16))  # 3 epochs of 5 batches
    by_name = {}
    for iteration, name, place, _ in rows:
        by_name.setdefault((iteration, name), []).append(int(place))
    assert all(p == list(range(len(p))) and len(p) <= 10 for p in by_name.values())

"What a model file says of how its model was made, and the search for a rate"

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from test_trainer import corpus_of, read, scripted, table, tagger_for, train

from flairnb.models import SequenceTagger
from flairnb.saving import card_text, read_model_file
from flairnb.trainers import ModelTrainer
from flairnb.trainers.checkpoints import data_fingerprint
from flairnb.trainers.trainer import rates_between
from flairnb.visual.training_curves import Plotter

# --- the card ---


def cards(folder):
    return [
        read_model_file(folder / name).config["training"]
        for name in ("best-model.pt", "final-model.pt")
    ]


def test_both_models_have_the_whole_card(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    model.training_card = {"license": "mit", "epochs": 99}
    train(tmp_path, corpus, model, learning_rate=0.3, monitor_test=False)
    best, final = cards(tmp_path)
    for card in (best, final):
        assert card["license"] == "mit" and card["seed"] == 1
        assert card["versions"]["torch"] == str(torch.__version__)
        assert card["arguments"]["learning_rate"] == 0.3
        assert card["arguments"]["optimizer"] == "SGD"
        assert card["times"]["started"].startswith("20")
        assert 0 <= card["times"]["seconds"] < 600
        data = card["data"]["splits"]
        assert card["data"]["name"] == "letters" and {*data} == {"train", "dev", "test"}
        assert data["train"]["sentences"] == 20
        assert data["dev"]["tokens"] == sum(len(s) for s in corpus.dev)
        for name, split in corpus.splits().items():
            wanted = data_fingerprint({name: split.current()}, ["upos"])
            assert data[name]["fingerprint"] == wanted
    assert final["epochs"] == 3 and set(final["scores"]) == {"dev"}
    assert set(best["scores"]) == {"dev", "test"}
    found = read(tmp_path / "best-model.pt")
    for split in ("dev", "test"):
        result = found.evaluate(corpus.splits()[split])
        assert best["scores"][split] == result.classification_report
    text = card_text(read_model_file(tmp_path / "best-model.pt").config)
    for part in (
        "Scores on test",
        "Scores on dev",
        "Data: letters",
        "seconds",
        "micro",
    ):
        assert part in text


def test_scores_are_those_of_these_weights(tmp_path):
    corpus = corpus_of()
    model = scripted(corpus, [(0.9, 1.0), (0.1, 1.0), (0.2, 1.0)])
    train(tmp_path, corpus, model)
    best, final = cards(tmp_path)
    assert (best["epochs"], final["epochs"]) == (1, 3)
    for card, name in ((best, "best-model.pt"), (final, "final-model.pt")):
        found = SequenceTagger.evaluate(read(tmp_path / name), corpus.dev)
        report = found.classification_report
        assert card["scores"]["dev"] == report
    assert model.training_card == best  # the best one is in memory


@pytest.mark.parametrize(
    "chosen", [{"train_with_dev": True}, {"use_final_model_for_eval": True}]
)
def test_a_last_model_that_is_tested_says_how_it_did(tmp_path, chosen):
    corpus = corpus_of()
    train(tmp_path, corpus, **chosen)
    card = read_model_file(tmp_path / "final-model.pt").config["training"]
    found = read(tmp_path / "final-model.pt").evaluate(corpus.test)
    assert card["scores"]["test"] == found.classification_report
    assert ("dev" in card["scores"]) == ("train_with_dev" not in chosen)


def test_a_mean_of_weights_has_no_scores_of_the_last_step(tmp_path):
    train(tmp_path, use_swa=True, max_epochs=4)
    best, final = cards(tmp_path)
    assert final["scores"] == {} and set(best["scores"]) == {"dev", "test"}


def test_numbered_models_have_a_card_as_well(tmp_path):
    train(tmp_path, save_model_each_k_epochs=2)
    card = read(tmp_path / "model_epoch_2.pt").training_card
    assert card["epochs"] == 2 and "dev" in card["scores"]


# --- the search for a learning rate ---


def everything(trainer):
    state = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    draws = [
        random.getstate(),
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),
    ]
    return state, draws, trainer.model.training, copy.deepcopy(trainer.model.config())


def same(one, other):
    return (
        all(torch.equal(one[0][k], other[0][k]) for k in one[0] | other[0])
        and (one[1][0], one[1][2]) == (other[1][0], other[1][2])
        and torch.equal(one[1][1], other[1][1])
        and one[2:] == other[2:]
    )


@pytest.mark.parametrize("kind", [None, torch.optim.AdamW])
def test_a_search_changes_nothing(tmp_path, kind):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    before = everything(trainer)
    path = trainer.find_learning_rate(tmp_path / "new", kind, iterations=30)
    assert same(everything(trainer), before)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["learning_rate.tsv"]
    rows = table(path)
    assert list(rows[0]) == ["ITERATION", "TIMESTAMP", "LEARNING_RATE", "TRAIN_LOSS"]
    assert [int(row["ITERATION"]) for row in rows] == [*range(1, len(rows) + 1)]
    rates = [float(row["LEARNING_RATE"]) for row in rows]
    assert rates == rates_between(1e-7, 10.0, 30)[: len(rows)]
    Plotter().plot_learning_rate(path, skip_first=1, skip_last=1)
    assert (tmp_path / "new" / "learning_rate.png").exists()


def test_a_search_before_a_run_makes_no_difference(tmp_path):
    ends = []
    for search in (False, True):
        corpus = corpus_of()
        model = tagger_for(corpus)
        trainer = ModelTrainer(model, corpus)
        torch.manual_seed(5)
        if search:
            trainer.find_learning_rate(tmp_path, iterations=5, mini_batch_size=4)
        found = trainer.train(tmp_path / str(search), max_epochs=2, mini_batch_size=4)
        ends.append((found["train_loss_history"], found["dev_loss_history"]))
    assert ends[0] == ends[1]


def losses(path):
    return [float(row["TRAIN_LOSS"]) for row in table(path)]


def test_losses_are_smoothed_and_a_search_stops_where_they_rise(tmp_path):
    corpus = corpus_of()
    still = {"word_dropout": 0.0, "locked_dropout": 0.0}
    trainer = ModelTrainer(tagger_for(corpus, **still), corpus)
    given = {"iterations": 12, "start_learning_rate": 0.1, "end_learning_rate": 1e4}
    given["mini_batch_size"] = 20
    far = losses(trainer.find_learning_rate(tmp_path / "a", stop_early=False, **given))
    near = losses(trainer.find_learning_rate(tmp_path / "b", **given))
    plain = {"smoothing_factor": 0.0}
    rough = losses(
        trainer.find_learning_rate(tmp_path / "c", stop_early=False, **plain, **given)
    )
    assert len(far) == 12 > len(near) and far[: len(near)] == near
    mean = 0.0
    for number, (smooth, value) in enumerate(zip(far, rough, strict=True), start=1):
        mean = 0.98 * mean + 0.02 * value
        assert smooth == pytest.approx(mean / (1 - 0.98**number), rel=1e-4)
    assert max(rough) > 4 * min(rough)


@pytest.mark.parametrize(
    ("wrong", "error", "part"),
    [
        ({"iterations": 1}, ValueError, "no 1 rates"),
        ({"start_learning_rate": 0.0}, ValueError, "0 < start < end"),
        ({"start_learning_rate": 9.0, "end_learning_rate": 1.0}, ValueError, "start"),
        ({"momentun": 0.9}, TypeError, "did you mean 'momentum'"),
        ({"mini_batch_size": 0}, ValueError, "at least 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path, wrong, error, part):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    before = everything(trainer)
    with pytest.raises(error, match=part):
        trainer.find_learning_rate(tmp_path / "run", **wrong)
    assert same(everything(trainer), before) and not (tmp_path / "run").exists()


def test_a_model_that_is_broken_ends_a_search(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    with torch.no_grad():
        model.layers.linear.bias[0] = float("nan")
    with pytest.raises(FloatingPointError, match="no number even at a rate of 1e-07"):
        ModelTrainer(model, corpus).find_learning_rate(tmp_path / "run")

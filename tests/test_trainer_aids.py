"What a run has on demand: an end at a standstill, a mean of weights, a way back"

from __future__ import annotations

import shutil

import pytest
import torch
from test_resume import (
    classes,
    plain_files,
    plain_log,
    plain_state,
    same,
    words_of,
)
from test_trainer import corpus_of, read, scripted, table, tagger_for, train
from torch.optim.lr_scheduler import OneCycleLR

from flairnb.batches import Batch
from flairnb.data.labels import Dictionary
from flairnb.embeddings import DocumentPoolEmbeddings
from flairnb.models import TextClassifier
from flairnb.trainers import EarlyStopping, ModelTrainer
from flairnb.trainers.history import Plugin
from flairnb.trainers.schedules import LinearSchedulerWithWarmup


class Watch(Plugin):
    "Notes weights, rates and sizes of batches as a run goes on"

    def __init__(self):
        self.began, self.weights, self.rates, self.sizes = [], [], [], []

    def before_training_epoch(self, moment):
        self.began.append(weights_of(moment.run.model))
        self.sizes.append([])

    def before_training_batch(self, moment):
        self.sizes[-1].append(len(moment.batch))

    def after_training_batch(self, moment):
        self.weights.append(weights_of(moment.run.model))
        self.rates.append([g["lr"] for g in moment.run.optimizer.param_groups])


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def watched(folder, corpus=None, model=None, **chosen):
    watch = Watch()
    train(folder, corpus, model, plugins=[watch], **chosen)
    return watch


# --- an end at a standstill ---

FLAT = [(0.5, 1.0), (0.6, 0.9), (0.6, 0.8), (0.605, 0.7), (0.61, 0.7), (0.7, 0.5)]
STOPS = [
    (1, 3, "the score has not improved on 0.6000 in 1 epochs"),
    (
        EarlyStopping(2, "score", 0.02),
        4,
        "the score has not improved by more than 0.02",
    ),
    (EarlyStopping(1, "loss"), 5, "the loss has not improved on 0.7000 in 1 epochs"),
    (EarlyStopping(1, "DEV_LOSS", 0.15), 2, "DEV_LOSS has not improved by more than"),
    (2, 6, "all 6 epochs are done"),
]


@pytest.mark.parametrize(("rule", "epochs", "reason"), STOPS)
def test_a_standstill_ends_a_run(tmp_path, rule, epochs, reason):
    corpus = corpus_of()
    model = scripted(corpus, FLAT)
    found = train(tmp_path, corpus, model, max_epochs=6, early_stopping=rule)
    assert len(found["dev_score_history"]) == epochs
    assert found["stop_reason"].startswith(reason)
    log = (tmp_path / "training.log").read_text()
    assert f"Training ends: {found['stop_reason']}" in log
    assert read(tmp_path / "final-model.pt").training_card["epochs"] == epochs


def test_any_column_may_be_watched(tmp_path):
    rule = EarlyStopping(1, "TRAIN_SAMPLE_RECALL", least_improvement=1.0)
    found = train(tmp_path, early_stopping=rule, monitor_train_sample=0.5)
    assert found["stop_reason"].startswith("TRAIN_SAMPLE_RECALL has not improved")
    with pytest.raises(ValueError, match=r"DEV_\.\.\., not 'TEST_F1'"):
        train(tmp_path / "a", early_stopping=EarlyStopping(1, "TEST_F1"))
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match=r"no metric 'DEV_F2'.* DEV_F1"):
        train(tmp_path / "b", early_stopping=EarlyStopping(1, "DEV_F2"))


@pytest.mark.parametrize("wrong", ["5", True, 2.5])
def test_what_is_no_rule_is_refused(tmp_path, wrong):
    with pytest.raises(TypeError, match="early_stopping is a number of epochs"):
        train(tmp_path / "run", early_stopping=wrong)
    for rule in ({"patience": 0}, {"least_improvement": -1.0}):
        with pytest.raises(ValueError, match=next(iter(rule))):
            EarlyStopping(**rule)


def test_without_dev_the_loss_on_train_has_to_fall(tmp_path):
    rule = EarlyStopping(1, least_improvement=9.0)
    found = train(tmp_path, early_stopping=rule, train_with_dev=True)
    assert len(found["train_loss_history"]) == 2


# --- the mean of many weights ---


@pytest.mark.parametrize("scheduler", [None, OneCycleLR, LinearSchedulerWithWarmup])
def test_the_last_model_is_the_mean_of_each_fifth_step(tmp_path, scheduler):
    "As torchcontrib did it for Flair: from the 11th step on, at the first rate"
    chosen = {"scheduler": scheduler} if scheduler else {"patience": 0}
    corpus = corpus_of()
    model = scripted(corpus, [(0.5, 1.0)] * 9)  # so that the rate is lowered
    chosen |= {"max_epochs": 5, "use_swa": True, "use_final_model_for_eval": True}
    watch = watched(tmp_path, corpus, model, **chosen)
    assert len(watch.weights) == 25
    wanted = torch.stack([watch.weights[step - 1] for step in (15, 20, 25)]).mean(0)
    assert torch.allclose(weights_of(model), wanted, atol=1e-6)
    assert not torch.allclose(watch.weights[-1], wanted, atol=1e-3)
    assert torch.equal(weights_of(read(tmp_path / "final-model.pt")), weights_of(model))
    log = (tmp_path / "training.log").read_text()
    assert "the last model is the mean of 3" in log


def test_the_rate_is_held_while_weights_are_averaged(tmp_path):
    rates = []

    class Noting(torch.optim.SGD):
        def step(self, *given):
            rates.append([group["lr"] for group in self.param_groups])
            return super().step(*given)

    chosen = {"scheduler": LinearSchedulerWithWarmup, "decoder_learning_rate": 0.3}
    train(tmp_path, optimizer=Noting, use_swa=True, max_epochs=4, **chosen)
    assert len(rates) == 20
    assert all(sorted(one) == [0.1, 0.3] for one in rates[10:])
    assert not any(sorted(one) == [0.1, 0.3] for one in rates[3:10])


def test_a_short_run_has_no_mean(tmp_path):
    chosen = {"max_epochs": 2, "use_final_model_for_eval": True}
    ends = [
        watched(tmp_path / str(swa), use_swa=swa, **chosen).weights[-1]
        for swa in (False, True)
    ]
    assert torch.equal(*ends)
    final = read(tmp_path / "True" / "final-model.pt")
    assert torch.equal(weights_of(final), ends[0])
    assert "too few steps" in (tmp_path / "True" / "training.log").read_text()


def test_the_best_model_is_no_mean(tmp_path):
    chosen = {"max_epochs": 4}
    for swa in (False, True):
        corpus = corpus_of()
        model = scripted(corpus, [(0.5, 1.0), (0.9, 0.5), (0.1, 1.0), (0.1, 1.0)])
        train(tmp_path / str(swa), corpus, model, use_swa=swa, **chosen)
    best = [read(tmp_path / x / "best-model.pt") for x in ("True", "False")]
    assert torch.equal(*map(weights_of, best))


# --- a way back ---


def test_prestarts_go_back_to_where_the_best_epoch_began(tmp_path):
    corpus = corpus_of()
    model = scripted(corpus, [(0.1, 1.0), (0.9, 1.0), (0.2, 1.0), (0.2, 1.0), (0.3, 1)])
    chosen = {"patience": 1, "anneal_with_prestarts": True, "max_epochs": 5}
    watch = watched(tmp_path, corpus, model, **chosen)
    assert torch.equal(watch.began[4], watch.began[1])
    assert not torch.equal(watch.began[3], watch.began[1])
    log = (tmp_path / "training.log").read_text()
    assert "lowered to 0.05, back to before the best model" in log
    assert torch.equal(weights_of(model), watch.began[2])  # the best one is tested


def test_prestarts_come_before_restarts(tmp_path):
    "As in Flair, where both are asked for"
    corpus = corpus_of()
    model = scripted(corpus, [(0.9, 1.0), (0.2, 1.0), (0.2, 1.0)])
    both = {"anneal_with_prestarts": True, "anneal_with_restarts": True}
    watch = watched(tmp_path, corpus, model, patience=0, **both)
    assert torch.equal(watch.began[2], watch.began[0])


def test_batches_grow_when_the_rate_is_lowered(tmp_path):
    corpus = corpus_of()
    model = scripted(corpus, [(0.5, 1.0)] * 4)
    chosen = {"patience": 0, "batch_growth_annealing": True, "max_epochs": 4}
    watch = watched(tmp_path, corpus, model, write_weights=True, **chosen)
    assert [max(sizes) for sizes in watch.sizes] == [4, 4, 8, 16]
    assert [sum(sizes) for sizes in watch.sizes] == [20] * 4
    rows = (tmp_path / "weights.txt").read_text().splitlines()
    steps = [int(row.split("\t")[0]) for row in rows]
    assert steps == sorted(steps) and steps[-1] == 5 + 5 + 3 + 2


def test_the_first_epoch_may_keep_the_order_of_the_corpus(tmp_path):
    corpus, seen = corpus_of(), []
    model = tagger_for(corpus)
    forward = model.forward_loss
    model.forward_loss = lambda b: seen.append(b.rows.tolist()) or forward(b)
    train(tmp_path, corpus, model, max_epochs=2, shuffle_first_epoch=False)
    plain = [list(range(i, i + 4)) for i in range(0, 20, 4)]
    assert seen[:5] == plain and seen[5:] != plain


def test_momentum_follows_one_cycle(tmp_path):
    found = []

    class Look(Plugin):
        def after_training_batch(self, moment):
            found.append(moment.run.optimizer.param_groups[0]["momentum"])

    chosen = {"scheduler": OneCycleLR, "momentum": 0.9, "max_epochs": 1}
    train(tmp_path, plugins=[Look], cycle_momentum=True, **chosen)
    assert len(set(found)) == 5 and found == sorted(found)
    chosen = {"scheduler": OneCycleLR, "optimizer": torch.optim.Adagrad}
    with pytest.raises(ValueError, match="momentum"):
        train(tmp_path, cycle_momentum=True, **chosen)


# --- the history ---


def test_the_history_has_norms_and_both_rates(tmp_path):
    norms = []

    class Look(Plugin):
        def before_training_optimizer_step(self, moment):
            gradients = [p.grad.flatten() for p in moment.run.model.parameters()]
            norms.append(float(torch.cat(gradients).norm()))

    chosen = {"decoder_learning_rate": 0.02, "learning_rate": 0.01, "patience": 0}
    train(tmp_path, plugins=[Look], max_epochs=2, **chosen)
    rows = table(tmp_path / "loss.tsv")
    for epoch, row in enumerate(rows):
        wanted = sum(norms[epoch * 5 : epoch * 5 + 5]) / 5
        assert float(row["GRADIENT_NORM"]) == pytest.approx(wanted, rel=1e-5)
    assert float(rows[0]["DECODER_LEARNING_RATE"]) == 0.02
    assert float(rows[0]["EMBEDDINGS_LEARNING_RATE"]) == 0.01
    assert float(rows[0]["LEARNING_RATE"]) == 0.02


# --- stopped anywhere ---

WHOLE = {
    "use_swa": True, "anneal_with_prestarts": True, "batch_growth_annealing": True,
    "early_stopping": EarlyStopping(3, "DEV_LOSS"), "anneal_against_dev_loss": True,
    "patience": 0, "learning_rate": 0.5, "max_epochs": 12, "seed": 3,
    "checkpoint_every": 1, "mini_batch_size": 5, "write_weights": True,
}  # fmt: skip


def test_what_is_asked_for_goes_on_to_the_bit(tmp_path, monkeypatch):
    from flairnb.trainers import trainer as page

    write, places = page.write_run, tmp_path / "stopped"

    def copied(run):
        write(run)
        place = places / f"{len(list(places.iterdir())):03d}" / "run"
        shutil.copytree(run.folder, place)
        (place / ".training.lock").unlink()

    places.mkdir()
    whole = tmp_path / "whole" / "run"
    with monkeypatch.context() as patch:
        patch.setattr(page, "write_run", copied)
        found = train(whole, **WHOLE)
    log = plain_log(whole)
    for part in ("back to before", "batches of 10", "the mean of", "has not improved"):
        assert part in log
    assert 3 < len(found["dev_score_history"]) < 12
    state, files = plain_state(whole), plain_files(whole)
    stops = sorted(places.iterdir())
    assert len(stops) > 12
    for place in stops:
        torch.rand(7)
        trainer = ModelTrainer.load_checkpoint(place / "run/checkpoint.pt", corpus_of())
        again = trainer.train(place / "run")
        assert again["stop_reason"] == found["stop_reason"]
        assert same(plain_state(place / "run"), state)
        assert same(plain_files(place / "run"), files)
        assert plain_log(place / "run") == log


# --- a loss that does not want to be quite sure ---


def classifier(folder, smoothing, **chosen):
    corpus = classes()
    torch.manual_seed(1)
    vectors = DocumentPoolEmbeddings([words_of()], fine_tune_mode="none")
    labels = Dictionary.of(["short", "long"])
    model = TextClassifier(vectors, "size", labels, label_smoothing=smoothing)
    given = {"max_epochs": 2, "seed": 1, "checkpoint": True, **chosen}
    found = ModelTrainer(model, corpus).train(folder, **given)
    return corpus, model, found


def test_labels_are_smoothed_while_a_classifier_learns(tmp_path):
    once = {"max_epochs": 1, "mini_batch_size": 99, "use_final_model_for_eval": True}
    _, plain, sure = classifier(tmp_path / "a", 0.0, **once)
    corpus, model, found = classifier(tmp_path / "b", 0.3, **once)
    assert found["train_loss_history"] != sure["train_loss_history"]
    assert not torch.equal(weights_of(plain), weights_of(model))
    again = read(tmp_path / "b" / "final-model.pt")
    assert again.config() == model.config()
    assert again.config()["label_smoothing"] == 0.3
    # what is measured is not smoothed
    scores = again.eval().forward(Batch(*table_of_dev(corpus)))
    gold = [label_of(sentence) for sentence in corpus.dev]
    numbers = torch.tensor([again.classes.labels.index(label) for label in gold])
    wanted = torch.nn.functional.cross_entropy(scores, numbers)
    assert again.evaluate(corpus.dev).loss == pytest.approx(float(wanted), rel=1e-5)


def table_of_dev(corpus):
    dev = corpus.dev.current()
    return dev.table, dev.rows


def label_of(sentence):
    return sentence.get_labels("size")[0].value


def test_smoothing_goes_on_with_a_run(tmp_path):
    classifier(tmp_path / "whole", 0.2, max_epochs=3)
    classifier(tmp_path / "part", 0.2)
    path = tmp_path / "part" / "checkpoint.pt"
    trainer = ModelTrainer.load_checkpoint(path, classes())
    trainer.train(tmp_path / "part", max_epochs=3)
    ends = [read(tmp_path / x / "final-model.pt") for x in ("whole", "part")]
    assert torch.equal(*map(weights_of, ends))


def test_smoothing_that_means_nothing_is_refused():
    vectors = DocumentPoolEmbeddings([words_of()], fine_tune_mode="none")
    labels = Dictionary.of(["short", "long"])
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="label_smoothing lies from 0 up to 1"):
            TextClassifier(vectors, "size", labels, label_smoothing=share)
    chosen = {"label_smoothing": 0.1, "multi_label": True}
    with pytest.raises(ValueError, match="means nothing with multi_label=True"):
        TextClassifier(vectors, "size", labels, **chosen)

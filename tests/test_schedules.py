"Learning rates step by step, against torch's and transformers' own schedulers"

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_trainer import corpus_of, table, tagger_for, train
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from flairnb.batches import Batch
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer
from flairnb.trainers.schedules import (
    AnnealOnPlateau,
    LinearSchedulerWithWarmup,
    is_better,
    step_schedule,
)
from flairnb.trainers.steps import Settings, build_optimizer, train_step


def optimizer_at(*rates, kind=SGD):
    return kind([{"params": [nn.Parameter(torch.zeros(1))], "lr": r} for r in rates])


def rates_of(optimizer, step, steps):
    "The rates of all groups before each step, and after the last"
    found = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(steps):
        optimizer.step()
        step()
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


def flairs_one_cycle(optimizer, rates, sentences, batch_size, epochs):
    return OneCycleLR(
        optimizer,
        max_lr=rates,
        steps_per_epoch=sentences // batch_size + 1,
        epochs=epochs,
        pct_start=0.0,
        cycle_momentum=False,
    )


sizes = st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(sizes, st.sampled_from([(0.1,), (5e-6,), (5e-5, 1e-2)]))
def test_one_cycle_is_torchs_with_flairs_settings(drawn, rates):
    steps = -(-drawn[0] // drawn[1]) * drawn[2]
    ours, theirs = optimizer_at(*rates), optimizer_at(*rates)
    schedule = step_schedule(ours, OneCycleLR, *drawn)
    cycle = flairs_one_cycle(theirs, list(rates), *drawn)
    assert rates_of(ours, schedule.step_done, steps) == rates_of(
        theirs, cycle.step, steps
    )


def test_one_cycle_as_flair_did_it():
    "Ten steps from 0.1: no warm-up, a cosine to nearly nothing"
    optimizer = optimizer_at(0.1)
    schedule = step_schedule(optimizer, OneCycleLR, 9, 1, epochs=1)
    rates = [rate for (rate,) in rates_of(optimizer, schedule.step_done, 9)]
    assert rates[:2] == pytest.approx([9.76e-2, 9.05e-2], rel=1e-3)
    assert rates[-2:] == pytest.approx([2.45e-3, 4e-7], rel=2e-3)


def test_one_cycle_leaves_momentum_alone():
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.7)
    schedule = step_schedule(optimizer, OneCycleLR, 8, 2, 2)
    rates_of(optimizer, schedule.step_done, 5)
    assert optimizer.param_groups[0]["momentum"] == 0.7
    optimizer = optimizer_at(0.1, kind=AdamW)
    schedule = step_schedule(optimizer, OneCycleLR, 8, 2, 2)
    rates_of(optimizer, schedule.step_done, 5)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(sizes, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_a_linear_rate_is_transformers(drawn, warmup):
    from transformers import get_linear_schedule_with_warmup

    steps = -(-drawn[0] // drawn[1]) * drawn[2]
    ours, theirs = optimizer_at(0.1, 0.03), optimizer_at(0.1, 0.03)
    schedule = step_schedule(ours, LinearSchedulerWithWarmup, *drawn, warmup)
    oracle = get_linear_schedule_with_warmup(theirs, int(steps * warmup), steps)
    found = rates_of(ours, schedule.step_done, steps)
    assert found == rates_of(theirs, oracle.step, steps)
    assert found[-1] == [0, 0]


def test_scores_do_not_move_a_schedule_of_steps():
    optimizer = optimizer_at(1e-9)
    schedule = step_schedule(optimizer, LinearSchedulerWithWarmup, 4, 1, 2)
    before = optimizer.param_groups[0]["lr"]
    assert not any(schedule.epoch_done(0.0, 9.0) for _ in range(9))
    assert optimizer.param_groups[0]["lr"] == before
    assert schedule.bad_epochs == 0 and not schedule.finished


# --- plateau ---


def test_of_equal_scores_the_one_with_less_loss_is_better():
    assert is_better(0.5, 0.8, (0.5, 0.9)) and not is_better(0.5, 0.9, (0.5, 0.9))
    assert is_better(0.6, 9.0, (0.5, 0.1)) and not is_better(0.4, 0.1, (0.5, 9.0))
    nan = float("nan")
    assert not is_better(nan, 0.1, (0.5, 0.9)) and not is_better(0.5, nan, (0.5, 0.9))


@pytest.mark.parametrize(
    ("losses", "rate"), [([0.9, 0.8, 0.7, 0.6], 0.1), ([0.9, 0.9, 0.9, 0.9], 0.05)]
)
def test_losses_that_fall_keep_the_rate_of_equal_scores(losses, rate):
    optimizer = optimizer_at(0.1, 0.02)
    schedule = AnnealOnPlateau(optimizer, patience=2)
    for loss in losses:
        schedule.epoch_done(0.5, loss)
    assert [g["lr"] for g in optimizer.param_groups] == [rate, rate / 5]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 2))
def test_a_plateau_of_scores_alone_is_torchs(scores, patience):
    "Where each loss is the same, ties count as bad, as for `ReduceLROnPlateau`"
    ours, theirs = optimizer_at(0.1), optimizer_at(0.1)
    schedule = AnnealOnPlateau(ours, patience=patience)
    chosen = {"factor": 0.5, "patience": patience, "threshold": 0.0, "eps": 0.0}
    oracle = ReduceLROnPlateau(theirs, "max", **chosen)
    for score in scores:
        schedule.epoch_done(score, 1.0)
        oracle.step(score)
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]


# --- taken out and put back ---


def sequence(optimizer, steps):
    parts = [ConstantLR(optimizer, 0.5, steps), ExponentialLR(optimizer, 0.9)]
    return SequentialLR(optimizer, parts, milestones=[steps // 2])


SCHEDULERS = {
    "one cycle": OneCycleLR,
    "linear": LinearSchedulerWithWarmup,
    "lambda": lambda o, n: LambdaLR(o, lambda step: 1 - step / n / 2),
    "cosine": lambda o, n: CosineAnnealingWarmRestarts(o, n // 3),
    "exponential": lambda o, n: ExponentialLR(o, 0.9),
    "polynomial": lambda o, n: PolynomialLR(o, n, power=2.0),
    "milestones": lambda o, n: MultiStepLR(o, [n // 3, n // 2]),
    "sequence": sequence,
    "chain": lambda o, n: ChainedScheduler([ExponentialLR(o, 0.9), PolynomialLR(o, n)]),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # torch's, about itself
@pytest.mark.parametrize("kind", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("cut", [0, 1, 6, 11])
def test_a_schedule_that_was_put_back_goes_on_as_before(kind, cut):
    def made():
        optimizer = optimizer_at(0.1, 0.02)
        return optimizer, step_schedule(optimizer, kind, 12, 2, epochs=2)

    optimizer, schedule = made()
    whole = rates_of(optimizer, schedule.step_done, 12)
    optimizer, schedule = made()
    rates_of(optimizer, schedule.step_done, cut)
    kept = optimizer.state_dict(), schedule.state_dict()
    first, later = optimizer.state_dict()["param_groups"], schedule.step_done
    first = [group["lr"] for group in first]
    rates_of(optimizer, later, 12 - cut)  # what was taken out does not go on with it
    optimizer, schedule = made()
    optimizer.load_state_dict(kept[0])
    schedule.load_state_dict(kept[1])
    assert whole[cut] == first
    assert rates_of(optimizer, schedule.step_done, 12 - cut) == whole[cut:]


@pytest.mark.parametrize("kind", [OneCycleLR, LinearSchedulerWithWarmup])
def test_the_state_of_a_schedule_is_plain(kind):
    optimizer = optimizer_at(0.1)
    schedule = step_schedule(optimizer, kind, 12, 2, epochs=2)
    rates_of(optimizer, schedule.step_done, 3)
    state = schedule.state_dict()
    assert json.loads(json.dumps(state)) == state


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_a_plateau_that_was_put_back_goes_on_as_before(drawn):
    for cut in {0, len(drawn) // 2, len(drawn)}:
        optimizer = optimizer_at(0.1)
        schedule = AnnealOnPlateau(optimizer, 0.5, 1, initial_extra_patience=1)
        for epoch in drawn[:cut]:
            schedule.epoch_done(*epoch)
        other = optimizer_at(0.1)
        twin = AnnealOnPlateau(other, 0.5, 1, initial_extra_patience=1)
        other.load_state_dict(optimizer.state_dict())
        twin.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        for epoch in drawn[cut:]:
            assert twin.epoch_done(*epoch) == schedule.epoch_done(*epoch)
        assert twin.state_dict() == schedule.state_dict()
        assert other.state_dict() == optimizer.state_dict()


# --- in a run ---


def noting(kind):
    "An optimizer class that notes the rates of all groups before each step"

    class Noting(kind):
        rates: ClassVar[list[list[float]]] = []

        def __init__(self, params, **chosen):
            super().__init__(params, **chosen)
            self.register_step_pre_hook(
                lambda made, *_: self.rates.append([g["lr"] for g in made.param_groups])
            )

    return Noting


def weights_after(folder, call="train", kind=None, seed=1, **chosen):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus, optimizer=kind)
    getattr(trainer, call)(folder, seed=seed, **chosen)
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def test_a_run_of_one_cycle(tmp_path):
    kind = noting(AdamW)
    chosen = {"learning_rate": 5e-6, "mini_batch_size": 3, "max_epochs": 3}
    chosen["weight_decay"] = 0.0  # so that there is one group
    found = train(tmp_path, optimizer=kind, scheduler=OneCycleLR, **chosen)
    optimizer = optimizer_at(5e-6)
    cycle = flairs_one_cycle(optimizer, 5e-6, sentences=20, batch_size=3, epochs=3)
    wanted = rates_of(optimizer, cycle.step, 20)
    assert kind.rates == wanted and len(wanted) == 7 * 3
    assert found["stop_reason"] == "all 3 epochs are done"
    rows = table(tmp_path / "loss.tsv")
    assert [float(row["LEARNING_RATE"]) for row in rows] == pytest.approx(
        [rate for (rate,) in wanted[::7]], rel=1e-3
    )
    assert {row["BAD_EPOCHS"] for row in rows} == {"0"}


def test_a_scheduler_of_ones_own(tmp_path):
    kind, asked = noting(SGD), []

    def halving(optimizer, steps):
        asked.append(steps)
        return ExponentialLR(optimizer, 0.5)

    train(tmp_path, optimizer=kind, scheduler=halving, max_epochs=2, learning_rate=0.1)
    assert asked == [10]
    assert [r for (r,) in kind.rates] == pytest.approx([0.1 / 2**n for n in range(10)])
    assert "scheduler: halving" in (tmp_path / "training.log").read_text()


@pytest.mark.parametrize(
    ("scheduler", "part"),
    [
        (ReduceLROnPlateau, "ReduceLROnPlateau is not known"),
        (ExponentialLR, "ExponentialLR is not known"),
        ("OneCycleLR", "'OneCycleLR' is not known"),
        (None, "None is not known"),
        (lambda optimizer, steps: None, "makes NoneType, no scheduler"),
        (lambda optimizer, steps: optimizer, "makes SGD, no scheduler"),
    ],
)
def test_what_is_no_scheduler_is_refused_by_name(tmp_path, scheduler, part):
    with pytest.raises(TypeError) as caught:
        train(tmp_path / "run", scheduler=scheduler)
    known = "AnnealOnPlateau, OneCycleLR, LinearSchedulerWithWarmup, or a function"
    assert part in str(caught.value) and known in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("chosen", "error", "part"),
    [
        (
            {"mini_batch_chunk_size": -1},
            ValueError,
            "mini_batch_chunk_size is at least",
        ),
        ({"mini_batch_chunk_size": 0}, ValueError, "mini_batch_chunk_size is at least"),
        ({"warmup_fraction": 1.1}, ValueError, "warmup_fraction lies between 0 and 1"),
        ({"warmup_fraction": -0.1}, ValueError, "warmup_fraction"),
        ({"decoder_learning_rate": -1.0}, ValueError, "decoder_learning_rate"),
        ({"warmup_fracton": 0.1}, TypeError, "did you mean 'warmup_fraction'"),
        ({"schedular": OneCycleLR}, TypeError, "did you mean 'scheduler'"),
        ({"decoder_lr": 0.1}, TypeError, "no argument 'decoder_lr'"),
    ],
)
@pytest.mark.parametrize("call", ["train", "fine_tune"])
def test_wrong_settings_are_refused_before_a_folder_is_made(
    tmp_path, call, chosen, error, part
):
    with pytest.raises(error, match=part):
        weights_after(tmp_path / "run", call, **chosen)
    assert not (tmp_path / "run").exists()


# --- optimizers ---


def test_an_optimizer_for_the_trainer_or_for_the_run(tmp_path):
    chosen = {"max_epochs": 2, "learning_rate": 0.01, "mini_batch_size": 4}
    first = weights_after(tmp_path / "a", kind=AdamW, **chosen)
    second = weights_after(tmp_path / "b", optimizer=AdamW, **chosen)
    other = weights_after(tmp_path / "c", **chosen)
    over = weights_after(tmp_path / "d", kind=SGD, optimizer=AdamW, **chosen)
    assert torch.equal(first, second) and torch.equal(first, over)
    assert not torch.allclose(first, other, atol=1e-3)


def test_fine_tuning_has_flairs_settings(tmp_path):
    "As the arguments of `train` they are: 5e-5, 4, 16, 10, AdamW, linear, no storage"
    tuned = weights_after(tmp_path / "a", "fine_tune")
    spelled_out = {
        "learning_rate": 5e-5,
        "mini_batch_size": 4,
        "eval_batch_size": 16,
        "max_epochs": 10,
        "optimizer": AdamW,
        "scheduler": LinearSchedulerWithWarmup,
        "warmup_fraction": 0.1,
        "embeddings_storage_mode": "none",
        "use_final_model_for_eval": True,
    }
    same = weights_after(tmp_path / "b", **spelled_out)
    logs = [(tmp_path / run / "training.log").read_text() for run in "ab"]
    told = [log.split("Arguments:\n")[1].split("Corpus: ")[0] for log in logs]
    words = [" ".join(x[24:] for x in part.splitlines()) for part in told]
    listed = [sorted(part.replace(",", "").split()) for part in words]
    listed = [[x for x in part if x not in "ab"] for part in listed]  # the folders
    assert torch.equal(tuned, same)
    assert listed[0] == listed[1] and len(listed[0]) > 60
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert "final-model.pt" in names and "best-model.pt" not in names
    rates = [float(r["LEARNING_RATE"]) for r in table(tmp_path / "a" / "loss.tsv")]
    assert rates == pytest.approx([0.0, *(5e-5 * n / 9 for n in range(9, 0, -1))])


def test_fine_tuning_heeds_what_is_asked_for(tmp_path):
    kind = noting(SGD)
    weights_after(tmp_path / "a", "fine_tune", kind=kind, max_epochs=1)
    assert len(kind.rates) == 5  # the trainer's optimizer
    other = noting(AdamW)
    chosen = {"optimizer": other, "scheduler": OneCycleLR, "mini_batch_chunk_size": 1}
    weights_after(tmp_path / "b", "fine_tune", kind, 1, max_epochs=2, **chosen)
    assert len(kind.rates) == 5 and len(other.rates) == 10
    assert all(rate == pytest.approx(5e-5, rel=0.05) for rate in other.rates[0])


def test_a_step_with_warm_up_is_one_at_the_whole_rate_times_its_share(tmp_path):
    kind = noting(SGD)
    chosen = {"scheduler": LinearSchedulerWithWarmup, "warmup_fraction": 0.5}
    train(tmp_path, optimizer=kind, max_epochs=2, learning_rate=0.1, **chosen)
    rates = [rate for (rate,) in kind.rates]
    assert rates == pytest.approx(
        [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.08, 0.06, 0.04, 0.02]
    )


# --- groups ---


def groups_of(model, **chosen):
    optimizer = build_optimizer(model, Settings(None, **chosen))
    names = {id(weight): name for name, weight in model.named_parameters()}
    return [
        (g["lr"], g.get("weight_decay"), {names[id(p)] for p in g["params"]})
        for g in optimizer.param_groups
    ]


def test_one_group_where_nothing_differs():
    model = tagger_for(corpus_of())
    every = {name for name, _ in model.named_parameters()}
    assert groups_of(model) == [(0.1, 0, every)]
    chosen = {"optimizer": AdamW, "optimizer_arguments": {"weight_decay": 0.0}}
    assert groups_of(model, **chosen) == [(0.1, 0.0, every)]


@pytest.mark.parametrize("given", [{}, {"weight_decay": 0.3}])
@pytest.mark.parametrize("kind", [AdamW, noting(AdamW)])
def test_biases_and_norms_do_not_decay_unless_asked(given, kind):
    model = tagger_for(corpus_of())
    model.norm = nn.LayerNorm(4)
    flat = {n for n, p in model.named_parameters() if p.ndim < 2}
    assert {"norm.weight", "norm.bias"} < flat and any("bias" in n for n in flat)
    chosen = {"optimizer": kind, "optimizer_arguments": given}
    decay = given.get("weight_decay", 0.01)
    by_decay = {d: names for _, d, names in groups_of(model, **chosen)}
    assert set(by_decay) == {0.0, decay} and by_decay[0.0] == flat
    (group,) = groups_of(model, **chosen, decay_biases_and_norms=True)
    assert group[1] == decay and group[2] >= flat


def test_a_step_lets_only_what_should_decay_decay(tmp_path):
    "With no gradient to speak of, decay is all that moves a weight"

    class Idle(SequenceTagger):
        def forward_loss(self, batch):
            loss, count = super().forward_loss(batch)
            return loss * 0.0, count

    moved = {}
    for asked in (False, True):
        corpus = corpus_of()
        model = tagger_for(corpus)
        model.__class__ = Idle
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.5
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        chosen = {"weight_decay": 0.5, "decay_biases_and_norms": asked}
        chosen |= {"max_epochs": 1, "mini_batch_size": 20, "learning_rate": 0.1}
        train(
            tmp_path / str(asked),
            corpus,
            model,
            use_final_model_for_eval=True,
            **chosen,
        )
        moved[asked] = {
            name
            for name, weight in model.named_parameters()
            if not torch.allclose(weight, before[name])
        }
        for name in moved[asked]:
            wanted = before[name] * (1 - 0.1 * 0.5)
            assert torch.allclose(
                dict(model.named_parameters())[name], wanted, atol=1e-6
            )
    flat = {n for n, p in model.named_parameters() if p.ndim < 2}
    assert moved[True] == set(before) and moved[True] - moved[False] == flat


def test_the_head_has_a_rate_of_its_own(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    below = {n for n in names if n.startswith("embeddings.")}
    assert below and below < names
    found = groups_of(model, learning_rate=1e-3, decoder_learning_rate=0.2)
    assert sorted((rate, frozenset(group)) for rate, _, group in found) == sorted(
        [(1e-3, frozenset(below)), (0.2, frozenset(names - below))]
    )
    kind = noting(SGD)
    chosen = {"decoder_learning_rate": 0.2, "scheduler": OneCycleLR, "max_epochs": 2}
    train(tmp_path, corpus, model, learning_rate=1e-3, optimizer=kind, **chosen)
    optimizer = optimizer_at(1e-3, 0.2)
    cycle = flairs_one_cycle(optimizer, [1e-3, 0.2], 20, 4, 2)
    wanted = [sorted(rates) for rates in rates_of(optimizer, cycle.step, 9)]
    assert [sorted(rates) for rates in kind.rates] == wanted


def test_a_rate_of_nothing_keeps_the_embeddings(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    chosen = {"learning_rate": 0.0, "decoder_learning_rate": 0.1, "max_epochs": 1}
    chosen |= {"scheduler": lambda o, n: LambdaLR(o, lambda step: 1.0)}
    train(tmp_path, corpus, model, use_final_model_for_eval=True, **chosen)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == name.startswith("embeddings.")


def test_fixed_weights_are_in_no_group():
    model = tagger_for(corpus_of())
    model.embeddings.requires_grad_(False)
    ((_, _, names),) = groups_of(model)
    assert names and not any(name.startswith("embeddings.") for name in names)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no weights to train"):
        groups_of(model)


# --- chunks ---


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 3, 7, 20, 99])
def test_chunks_have_the_gradient_of_the_whole(crf, chunk_size):
    corpus = corpus_of()
    model = tagger_for(corpus, use_crf=crf, word_dropout=0.0, locked_dropout=0.0)
    model.double().train()
    train = corpus.train.current()
    model.learn_from(train)
    model.prepare([train.table])
    batch, found = Batch(train.table, train.rows), []
    for size in (None, chunk_size):
        optimizer = SGD(model.parameters(), lr=0.0)
        loss, points = train_step(model, optimizer, batch, size, max_norm=None)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((loss, points, gradient))
    (loss, points, gradient), (other_loss, other_points, other) = found
    assert gradient.dtype == torch.float64 and float(gradient.norm()) > 1
    assert points == other_points and abs(float(loss - other_loss)) < 1e-10
    assert float((gradient - other).abs().max()) < 1e-10

"Each argument of Flair's trainer does or raises what the trainer's page says of it"

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from test_trainer import FLAIRS, corpus_of, scripted, table, tagger_for, train
from torch.optim.lr_scheduler import OneCycleLR

from flairnb.data.labels import Dictionary
from flairnb.saving import read_model_file
from flairnb.trainers import ModelTrainer
from flairnb.trainers.history import Plugin
from flairnb.trainers.schedules import LinearSchedulerWithWarmup

PAGE = Path(__file__).parents[1] / "nbs" / "30_trainer.ipynb"


def rows():
    "The table of the page: what it says of each argument"
    cells = json.loads(PAGE.read_text("utf-8"))["cells"]
    (text,) = [
        "".join(cell["source"]) for cell in cells if cell["id"] == "arguments-table"
    ]
    found = re.findall(r"^\| `(\w+)` \| .* \| (.+) \|$", text, re.M)
    assert len(found) == len(dict(found))
    return dict(found)


ROWS = rows()
WORKS = [name for name, here in ROWS.items() if here == "works"]
RENAMED = {n: here for n, here in ROWS.items() if here.startswith("works as")}
REFUSED = {n: here for n, here in ROWS.items() if here.startswith("refused: ")}


def test_each_argument_has_a_row():
    assert set(ROWS) == set(FLAIRS)
    assert len(WORKS) + len(RENAMED) + len(REFUSED) == len(ROWS)


# --- refused ---


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_argument_is_refused_with_the_reason(tmp_path, name):
    reason = REFUSED[name].removeprefix("refused: ")
    for call in ("train", "fine_tune"):
        corpus = corpus_of()
        trainer = ModelTrainer(scripted(corpus, []), corpus)
        with pytest.raises(TypeError) as caught:
            getattr(trainer, call)(tmp_path / "run", **{name: 1})
        assert str(caught.value) == f"train() has no argument {name!r}: {reason}"
    assert not (tmp_path / "run").exists()


# --- renamed ---

GIVEN = {
    "attach_default_scheduler": (False, {"scheduler": "constant_rate"}),
    "eval_on_train_fraction": (0.25, {"monitor_train_sample": 0.25}),
    "monitor_train": (True, {"monitor_train_sample": 1.0}),
    "save_optimizer_state": (True, {"checkpoint": True}),
}


@pytest.mark.parametrize("name", RENAMED)
def test_a_renamed_argument_is_understood(tmp_path, name):
    value, meant = GIVEN[name]
    (ours,) = meant
    assert f"`{ours}=" in RENAMED[name]
    train(tmp_path / "run", max_epochs=1, **{name: value})
    card = read_model_file(tmp_path / "run" / "final-model.pt").config["training"]
    assert {ours: card["arguments"][ours]} == meant
    train(tmp_path / "other", max_epochs=1, **{name: not value})
    card = read_model_file(tmp_path / "other" / "final-model.pt").config["training"]
    assert {ours: card["arguments"][ours]} != meant
    with pytest.raises(TypeError, match=f"{name} means {ours}, which is given as well"):
        train(tmp_path / "both", **{name: value, ours: None})


def test_a_constant_rate_is_constant(tmp_path):
    corpus = corpus_of()
    model = scripted(corpus, [(0.5, 1.0)] * 4)
    chosen = {"attach_default_scheduler": False, "patience": 0, "max_epochs": 4}
    train(tmp_path, corpus, model, checkpoint=True, **chosen)
    rates = [float(row["LEARNING_RATE"]) for row in table(tmp_path / "loss.tsv")]
    assert rates == [0.1] * 4
    again = ModelTrainer.load_checkpoint(tmp_path / "checkpoint.pt", corpus_of())
    again.model.script = [(0.5, 1.0)] * 2
    again.train(tmp_path, max_epochs=6, override=["max_epochs"])
    assert len(table(tmp_path / "loss.tsv")) == 6


# --- at work ---


class Hearing(Plugin):
    heard = 0

    def before_training_epoch(self, moment):
        Hearing.heard += 1


DOWN = [(0.5, 0.9), (0.4, 0.8), (0.3, 0.7), (0.2, 0.6)]  # scores and losses of dev
SLOPE, LOW = {"scheduler": LinearSchedulerWithWarmup}, {"patience": 0}
CYCLE = {"scheduler": OneCycleLR, "momentum": 0.9}
LONG = {"max_epochs": 4, "use_final_model_for_eval": True}
EFFECTS = {  # a value, what goes with it, and where to see that it matters
    "anneal_against_dev_loss": (True, LOW, "rates"),
    "anneal_factor": (0.1, LOW, "rates"),
    "anneal_with_prestarts": (True, LOW, "weights"),
    "anneal_with_restarts": (True, LOW, "weights"),
    "base_path": ("elsewhere", {}, "files"),
    "batch_growth_annealing": (True, LOW, "sizes"),
    "checkpoint": (True, {}, "files"),
    "create_file_logs": (False, {}, "files"),
    "create_loss_file": (False, {}, "files"),
    "cycle_momentum": (True, CYCLE, "weights"),
    "decoder_learning_rate": (0.5, {}, "weights"),
    "embeddings_storage_mode": ("none", {}, "measured"),
    "eval_batch_size": (2, {}, "measured"),
    "exclude_labels": (["NAME"], {}, "tested"),
    "gold_label_dictionary_for_eval": (Dictionary.of(["NAME"]), {}, "tested"),
    "initial_extra_patience": (1, LOW, "rates"),
    "learning_rate": (0.5, {}, "rates"),
    "main_evaluation_metric": (("macro avg", "f1-score"), {}, "tested"),
    "max_epochs": (2, {}, "columns"),
    "max_grad_norm": (0.1, {}, "weights"),
    "min_learning_rate": (0.06, LOW, "columns"),
    "mini_batch_chunk_size": (2, {}, "sizes"),
    "mini_batch_size": (10, {}, "sizes"),
    "monitor_test": (True, {}, "columns"),
    "monitor_train_sample": (0.5, {}, "columns"),
    "optimizer": (torch.optim.AdamW, {}, "weights"),
    "patience": (0, {}, "rates"),
    "plugins": ([Hearing], {}, "heard"),
    "save_final_model": (False, {}, "files"),
    "save_model_each_k_epochs": (1, {}, "files"),
    "scheduler": (OneCycleLR, {}, "rates"),
    "shuffle": (False, {}, "order"),
    "shuffle_first_epoch": (False, {}, "order"),
    "train_with_dev": (True, {}, "learned"),
    "train_with_test": (True, {}, "learned"),
    "use_amp": (True, {}, "weights"),
    "use_final_model_for_eval": (True, {}, "files"),
    "use_swa": (True, LONG, "weights"),
    "warmup_fraction": (0.5, SLOPE, "rates"),
    "write_weights": (True, {}, "files"),
}


def observed(**chosen):
    "All that can be seen of a run"
    corpus = corpus_of()
    model, seen, measured = scripted(corpus, DOWN), [], []
    forward, evaluate = model.forward_loss, model.evaluate
    model.forward_loss = lambda b: seen.append(b.rows.tolist()) or forward(b)
    model.evaluate = lambda *given: measured.append(given[3:]) or evaluate(*given)
    Hearing.heard = 0
    with TemporaryDirectory() as top:
        folder = Path(top) / chosen.pop("base_path", "run")
        chosen = {"max_epochs": 3} | chosen
        found = train(folder, corpus, model, **chosen)
        files = sorted(str(p.relative_to(top)) for p in Path(top).rglob("*"))
        lines = table(folder / "loss.tsv") if (folder / "loss.tsv").exists() else []
        final = folder / "final-model.pt"
        tensors = read_model_file(final).tensors if final.exists() else {}
    parts = [x.flatten().float() for x in tensors.values()]
    return {
        "weights": torch.cat(parts).tolist() if parts else [],
        "rates": [row["LEARNING_RATE"] for row in lines],
        "columns": [sorted(row) for row in lines],
        "files": files,
        "sizes": [len(rows) for rows in seen],
        "order": seen,
        "learned": sum(map(len, seen)),
        "measured": repr(measured),
        "tested": (found["test_score"], model.training_card["scores"].get("test")),
        "heard": Hearing.heard,
    }


@lru_cache
def seen_without(context):
    return observed(**dict(context))


def test_each_working_argument_is_looked_at():
    assert set(EFFECTS) == set(WORKS)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_working_argument_works(name):
    value, context, where = EFFECTS[name]
    found = observed(**context, **{name: value})
    assert found[where] != seen_without(tuple(context.items()))[where]


def test_a_run_without_arguments_is_the_same_twice():
    "So that a difference is that of the argument"
    one, other = observed(), observed()
    assert one == other


def test_train_custom_has_no_schedule_of_its_own(tmp_path):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    chosen = {"max_epochs": 2, "mini_batch_size": 4, "checkpoint": True}
    trainer.train_custom(tmp_path, min_learning_rate=0.5, patience=0, **chosen)
    rates = [float(row["LEARNING_RATE"]) for row in table(tmp_path / "loss.tsv")]
    assert rates == [0.1, 0.1]
    again = ModelTrainer.load_checkpoint(tmp_path / "checkpoint.pt", corpus_of())
    again.train_custom(tmp_path, max_epochs=3, override=["max_epochs"])
    assert len(table(tmp_path / "loss.tsv")) == 3

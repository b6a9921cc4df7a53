"Loggers hand on each epoch once, also after a run was stopped, and write what they are to"

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_trainer import corpus_of, table, tagger_for

from flairnb import loggers
from flairnb.foundation import logger
from flairnb.loggers import (
    ClearmlLoggerPlugin,
    MetricLogger,
    MlflowLogger,
    TensorboardLogger,
    WandbLogger,
    metrics_of,
)
from flairnb.trainers import ModelTrainer
from flairnb.trainers.distributed import SharedListeners

SLOW = "FLAIRNB_SLOW_TESTS" in os.environ
RUN = {"mini_batch_size": 8, "seed": 1, "max_epochs": 3, "checkpoint": True}


def needs(library):
    there = importlib.util.find_spec(library) is not None
    return pytest.mark.skipif(not there, reason=f"{library} is not installed")


class Keeping(MetricLogger):
    "Remembers what it was told"

    def __init__(self, *given):
        super().__init__(*given)
        self.told, self.ends = [], []

    def write(self, metrics, epoch):
        self.told.append((epoch, metrics))

    def end(self, how):
        self.ends.append(how)


class KillAt(Keeping):
    "Keeps the folder as it was in an epoch, as if the machine had stopped there"

    def __init__(self, epoch, copy):
        super().__init__()
        self.epoch, self.copy = epoch, copy

    def after_training_batch(self, moment):
        if moment.epoch == self.epoch and moment.batch_no == 1:
            shutil.copytree(moment.run.folder, self.copy)


def train(folder, *plugins, **more):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    return trainer.train(folder, plugins=plugins, **{**RUN, **more})


def go_on(folder, *plugins, file="checkpoint.pt"):
    trainer = ModelTrainer.load_checkpoint(folder / file, corpus_of())
    return trainer.train(folder, plugins=plugins)


# --- what all have in common ---


def test_what_is_told_are_the_rows_of_the_history(tmp_path):
    keeping = Keeping()
    found = train(tmp_path, keeping)
    *epochs, (last, score) = keeping.told
    assert [epoch for epoch, _ in epochs] == [1, 2, 3] and last == 3
    assert score == {"test/score": found["test_score"]}
    for (_, metrics), row in zip(epochs, table(tmp_path / "loss.tsv"), strict=True):
        assert metrics["dev/f1"] == float(row["DEV_F1"])
        assert metrics["train/loss"] == float(row["TRAIN_LOSS"])
        assert metrics["train/learning_rate"] == float(row["LEARNING_RATE"])
        assert len(metrics) == len(row) - 2  # the number of the epoch, and the time
    assert keeping.ends == ["finished"]


def test_only_what_is_wanted_is_told(tmp_path):
    keeping = Keeping(["dev/f1"])
    train(tmp_path, keeping)
    assert [list(metrics) for _, metrics in keeping.told] == [["dev/f1"]] * 3


def test_no_column_loses_its_split():
    columns = ("TRAIN_SAMPLE_F1", "TRAIN_LOSS", "DEV_LOSS", "TEST_F1", "BAD_EPOCHS")
    names = ["train_sample/f1", "train/loss", "dev/loss", "test/f1", "train/bad_epochs"]
    assert list(metrics_of(dict.fromkeys(columns, 1))) == names


def test_a_resumed_run_tells_each_epoch_once(tmp_path):
    keeping = Keeping()
    train(tmp_path / "run", KillAt(3, tmp_path / "killed"), max_epochs=3)
    train(tmp_path / "short", keeping, max_epochs=1)
    state = keeping.state_dict()
    assert state == {"run_id": "", "last": 0}  # forgotten when the run was over
    go_on(tmp_path / "killed", again := KillAt(9, ""))
    assert [epoch for epoch, _ in again.told] == [3, 3]


def test_an_epoch_that_was_told_before_the_kill_is_not_told_again(tmp_path):
    keeping = Keeping()
    keeping.load_state_dict({"run_id": "x", "last": 2})
    train(tmp_path, keeping)
    assert [epoch for epoch, _ in keeping.told] == [3, 3]


def test_one_logger_serves_one_run_after_the_other(tmp_path):
    keeping = Keeping()
    for name in "ab":
        train(tmp_path / name, keeping, max_epochs=2)
    assert [epoch for epoch, _ in keeping.told] == [1, 2, 2, 1, 2, 2]


def test_a_service_that_cannot_be_reached_stops_nothing(tmp_path, caplog):
    class Unreachable(Keeping):
        def begin(self, run):
            raise ConnectionError("no route")

    logger.addHandler(caplog.handler)
    found = train(tmp_path, unreachable := Unreachable())
    logger.removeHandler(caplog.handler)
    assert len(found["dev_score_history"]) == 3 and unreachable.told == []
    said = [m for m in caplog.messages if "no route" in m]
    assert len(said) == 1 and "Unreachable.after_setup failed" in said[0]


def test_how_a_run_ended_is_known(tmp_path):
    class Failing(Keeping):
        def after_training_epoch(self, moment):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        train(tmp_path, failing := Failing(), on_plugin_error="raise")
    assert failing.ends == ["failed"]


def test_only_the_main_process_logs(monkeypatch):
    for number, heard in ((0, True), (1, False)):
        monkeypatch.setenv("RANK", str(number))
        for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.setenv(name, "2")
        listeners = SharedListeners([Keeping()], print)
        assert listeners.hear("after_evaluation") is heard


LIBRARIES = {
    "tensorboard": TensorboardLogger,
    "wandb": WandbLogger,
    "mlflow": MlflowLogger,
    "clearml": ClearmlLoggerPlugin,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_is_named_with_its_extra(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        LIBRARIES[library]()
    assert f"pip install 'flairnb[{library}]'" in str(caught.value)
    assert LIBRARIES[library].__name__ in str(caught.value)


# --- TensorBoard, its files read back ---


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    names = events.Tags()["scalars"]
    return {name: [(x.step, x.value) for x in events.Scalars(name)] for name in names}


@needs("tensorboard")
def test_tensorboard_reads_what_the_history_says(tmp_path):
    train(tmp_path, TensorboardLogger())
    rows, found = table(tmp_path / "loss.tsv"), curves(tmp_path / "tensorboard")
    steps, losses = zip(*found["dev/loss"], strict=True)
    assert steps == (1, 2, 3)
    assert losses == pytest.approx([float(row["DEV_LOSS"]) for row in rows])
    assert len(found["test/score"]) == 1


@needs("tensorboard")
def test_tensorboard_sees_no_epoch_twice_in_a_resumed_run(tmp_path):
    killed = tmp_path / "killed"
    train(tmp_path / "run", TensorboardLogger(), KillAt(2, killed))
    whole = curves(tmp_path / "run" / "tensorboard")
    # two epochs were done when the machine stopped, the checkpoint is of the first
    shutil.rmtree(killed / "tensorboard")
    shutil.copytree(tmp_path / "run" / "tensorboard", killed / "tensorboard")
    go_on(killed, TensorboardLogger(), KillAt(9, ""))
    found = curves(killed / "tensorboard")
    assert [step for step, _ in found["dev/loss"]] == [1, 2, 3]
    assert found == whole


@needs("tensorboard")
def test_tensorboard_writes_where_it_is_told(tmp_path):
    train(tmp_path / "run", TensorboardLogger(tmp_path / "there"), max_epochs=1)
    train(tmp_path / "run", TensorboardLogger(comment="-x"), max_epochs=1)
    assert curves(tmp_path / "there") and curves(tmp_path / "run" / "tensorboard-x")


# --- Weights & Biases, offline ---


BLOCK, HEAD = 1 << 15, 7  # bytes of the format of these files, which is LevelDB's


def pieces(data):
    "Records of a file of an offline run"
    place, begun = HEAD, b""
    while place + HEAD <= len(data):
        if BLOCK - place % BLOCK < HEAD:  # what is left of a block is empty
            place += BLOCK - place % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + HEAD])
        begun += data[place + HEAD : place + HEAD + size]
        place += HEAD + size
        if kind in (1, 4):  # whole, or the last part
            yield begun
            begun = b""


def records(folder):
    "Rows that lie in the files of offline runs, and their ids"
    from wandb.proto import wandb_internal_pb2

    rows, names = [], set()
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in pieces(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = record.history.item
            row = {x.key or "/".join(x.nested_key): x.value_json for x in items}
            if row:
                rows.append({name: float(value) for name, value in row.items()})
        names.add(path.stem)
    return rows, names


@needs("wandb")
def test_wandb_keeps_the_rows_and_goes_on_with_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    killed = tmp_path / "killed"
    chosen = {"project": "p", "emit_alerts": False}
    train(killed, WandbLogger(**chosen), max_epochs=2)
    trainer = ModelTrainer.load_checkpoint(killed / "checkpoint.pt", corpus_of())
    trainer.train(killed, max_epochs=3, plugins=[WandbLogger(**chosen)])
    rows, names = records(killed)
    assert len(names) == 1  # one run, in two files
    losses = [(row["epoch"], row["dev/loss"]) for row in rows if "dev/loss" in row]
    wanted = [float(row["DEV_LOSS"]) for row in table(killed / "loss.tsv")]
    assert losses == list(zip([1.0, 2.0, 3.0], wanted, strict=True))


class Run:
    "What `WandbLogger` needs of a run"

    def __init__(self):
        self.id, self.resumed, self.summary = "own", False, {}
        self.logged, self.alerts, self.finished = [], [], 0

    def define_metric(self, name, step_metric):
        assert step_metric == "epoch"

    def log(self, row):
        self.logged.append(row)

    def alert(self, title, text, level):
        self.alerts.append((level, text))

    def finish(self, exit_code=0):
        self.finished += 1


def test_wandb_takes_a_run_that_is_there_and_sends_warnings(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace())
    run = Run()

    class Loud(Keeping):
        def after_training_epoch(self, moment):
            logger.warning("look here")

    before = list(logger.handlers)
    train(tmp_path, WandbLogger(run), Loud(), max_epochs=2)
    assert [row["epoch"] for row in run.logged] == [1, 2, 2]
    assert run.alerts == [("WARN", "look here")] * 2
    assert run.finished == 0 and logger.handlers == before


def test_wandb_without_a_run_in_the_library_is_told(tmp_path, monkeypatch, caplog):
    library = SimpleNamespace(run=None)
    monkeypatch.setitem(sys.modules, "wandb", library)
    with pytest.raises(ValueError, match=r"needs wandb\.init"):
        WandbLogger(library).begin(None)


# --- MLflow, in files ---


@needs("mlflow")
def test_mlflow_keeps_each_epoch_once_in_one_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    store, killed = (tmp_path / "store").as_uri(), tmp_path / "killed"
    train(tmp_path / "run", MlflowLogger(store, run_name="n"), KillAt(2, killed))
    go_on(killed, MlflowLogger(store), KillAt(9, ""))
    client = MlflowClient(store)
    where = client.get_experiment_by_name("flairnb").experiment_id
    (run,) = client.search_runs([where])
    losses = client.get_metric_history(run.info.run_id, "dev/loss")
    assert [metric.step for metric in losses] == [1, 2, 3]
    wanted = [float(row["DEV_LOSS"]) for row in table(killed / "loss.tsv")]
    assert [metric.value for metric in losses] == wanted
    assert (run.info.status, run.info.run_name) == ("FINISHED", "n")
    assert run.data.params["max_epochs"] == "3"


# --- ClearML ---


class Task:
    "What `ClearmlLoggerPlugin` needs of a task"

    def __init__(self, name="t1", last=0):
        self.id, self.last, self.told, self.closed = name, last, [], 0

    def get_logger(self):
        return SimpleNamespace(report_scalar=lambda *given: self.told.append(given))

    def get_last_iteration(self):
        return self.last

    def set_initial_iteration(self, number):
        self.initial = number

    def connect(self, values, name):
        self.arguments = values

    def flush(self, wait_for_uploads):
        pass

    def close(self):
        self.closed += 1


def test_clearml_goes_on_with_its_task_behind_what_it_knows(tmp_path, monkeypatch):
    tasks = [Task(), Task(last=2)]
    asked = []

    def init(**given):
        asked.append(given.get("continue_last_task"))
        return tasks[len(asked) - 1]

    library = SimpleNamespace(Task=SimpleNamespace(init=init))
    monkeypatch.setitem(sys.modules, "clearml", library)
    killed = tmp_path / "killed"
    train(tmp_path / "run", ClearmlLoggerPlugin(), KillAt(2, killed))
    go_on(killed, ClearmlLoggerPlugin(), KillAt(9, ""))
    steps = [
        [given[3] for given in task.told if given[:2] == ("dev", "loss")]
        for task in tasks
    ]
    assert steps == [[1, 2, 3], [3]]
    assert asked == [None, "t1"] and tasks[1].initial == 0
    assert tasks[0].arguments["max_epochs"] == 3
    assert [task.closed for task in tasks] == [1, 1]


def test_clearml_takes_a_task_that_is_there(tmp_path, monkeypatch):
    task = Task()
    monkeypatch.setitem(sys.modules, "clearml", SimpleNamespace(Task=None))
    train(tmp_path, ClearmlLoggerPlugin(task), max_epochs=1)
    assert task.told and task.closed == 0


@needs("clearml")
@pytest.mark.skipif(
    not SLOW, reason="ClearML looks at all packages first, minutes long"
)
def test_clearml_offline_keeps_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEARML_CACHE_DIR", str(tmp_path / "cache"))
    from clearml import Task as RealTask

    RealTask.set_offline(True)
    plugin, folders = ClearmlLoggerPlugin(), []

    class Look(Keeping):
        def training_finally(self, moment):
            folders.append(plugin._task.get_offline_mode_folder())

    train(tmp_path / "run", Look(), plugin, max_epochs=2)
    text = (folders[0] / "metrics.jsonl").read_text()
    for row in table(tmp_path / "run" / "loss.tsv"):
        assert row["DEV_LOSS"][:8] in text


def test_nothing_is_imported_before_it_is_asked_for():
    assert not {"wandb", "mlflow", "clearml"} & set(vars(loggers))
    assert logging.getLogger("flairnb") is logger


WITHOUT_SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_loggers import KillAt, go_on, train
from flairnb.loggers import ClearmlLoggerPlugin
folder = Path(sys.argv[2])
train(folder / "run", ClearmlLoggerPlugin(), KillAt(2, folder / "killed"))
go_on(folder / "killed", ClearmlLoggerPlugin(), KillAt(9, ""))
"""


@needs("clearml")
def test_clearml_itself_keeps_the_rows_without_a_server(tmp_path):
    cache = tmp_path / "cache"
    told = {"CLEARML_OFFLINE_MODE": "1", "CLEARML_CACHE_DIR": str(cache)}
    told |= {"CLEARML_API_ACCESS_KEY": "any", "CLEARML_API_SECRET_KEY": "any"}
    given = [sys.executable, "-c", WITHOUT_SERVER, str(Path(__file__).parent)]
    subprocess.run([*given, str(tmp_path)], env=os.environ | told, check=True)
    kept = list(cache.glob("offline/*/metrics.jsonl"))
    rows = [row for file in kept for line in file.open() for row in json.loads(line)]
    losses = {
        row["iter"]: row["value"]
        for row in rows
        if (row["metric"], row["variant"]) == ("dev", "loss")
    }
    wanted = table(tmp_path / "killed" / "loss.tsv")
    assert losses == pytest.approx(
        {int(row["EPOCH"]): float(row["DEV_LOSS"]) for row in wanted}
    )

"One run in two processes: the weights, scores and files of one process"

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_config import RUN as TAGGER_RUN
from test_every_embedding import language_model
from test_resume import classes, tagger_on, words_of
from test_trainer import TEXTS, corpus_of, table

from flairnb import set_seed
from flairnb.data.labels import Dictionary
from flairnb.embeddings import DocumentRNNEmbeddings, PooledFlairEmbeddings
from flairnb.models import Model, TextClassifier
from flairnb.saving import read_model_file
from flairnb.trainers import ModelTrainer
from flairnb.trainers.checkpoints import read_checkpoint
from flairnb.trainers.distributed import is_main, place
from flairnb.trainers.history import Plugin, TrainingInterrupt
from flairnb.trainers.schedules import LinearSchedulerWithWarmup

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="this torch has no gloo",
)
RATES = ("LEARNING_RATE", "TRAIN_LOSS")
STILL = {"word_dropout": 0.0, "locked_dropout": 0.0}
RUN = {"mini_batch_size": 4, "seed": 3}
TRAIN = [*TEXTS * 3, "Ada ran", "we met Bob"]  # 17: the last batch has one sentence


# --- what is trained, in one process and in two ---


def tagger_case():
    model = tagger_on(words_of(fine_tune=True), use_crf=True, **STILL)
    chosen = {"optimizer": torch.optim.AdamW, "weight_decay": 0.1, "max_epochs": 3}
    chosen |= {"learning_rate": 0.01, "monitor_test": True, "checkpoint": True}
    return model, corpus_of(TRAIN), chosen | {"write_weights": True}


def classifier_case():
    torch.manual_seed(1)
    still = {"dropout": 0.0, "reproject_words": True}
    vectors = DocumentRNNEmbeddings([words_of()], hidden_size=4, **still)
    model = TextClassifier(vectors, "size", Dictionary.of(["short", "long"]))
    chosen = {"scheduler": LinearSchedulerWithWarmup, "max_epochs": 2}
    return model, classes(), chosen | {"learning_rate": 0.1, "momentum": 0.9}


def averaged_case():
    "Back to the best model and larger batches when the rate falls; a mean of weights"
    model, corpus, _ = tagger_case()
    chosen = {"learning_rate": 0.1, "patience": 0, "batch_growth_annealing": True}
    chosen |= {"anneal_with_restarts": True, "use_swa": True, "max_epochs": 5}
    return model, corpus, chosen | {"checkpoint": True}


CASES = {
    "tagger": tagger_case,
    "classifier": classifier_case,
    "averaged": averaged_case,
}


class Stop(Plugin):
    "Ends the run in the epoch after this one; only the main process hears of it"

    attach_to_all_processes = False

    def __init__(self, epoch):
        self.epoch = epoch

    def after_training_batch(self, moment):
        if moment.epoch > self.epoch:
            raise TrainingInterrupt(f"enough after epoch {self.epoch}")


class InOne(Plugin):
    "Does something in one process, at the third batch"

    def __init__(self, number, what):
        self.number, self.what = number, what

    def after_training_batch(self, moment):
        if moment.batch_no == 3 and place()[0] == self.number:
            self.what()


def train_case(folder, name, **more):
    model, corpus, chosen = CASES[name]()
    return ModelTrainer(model, corpus).train(folder / name, **RUN, **chosen, **more)


def rates_of(folder):
    "What a search for a learning rate finds"
    model, corpus, _ = tagger_case()
    chosen = {"iterations": 12, "mini_batch_size": 4, "end_learning_rate": 0.5}
    file = ModelTrainer(model, corpus).find_learning_rate(folder, **chosen)
    return [[float(row[name]) for name in RATES] for row in table(file)]


def go_on(folder, **more):
    file = folder / "tagger" / "checkpoint.pt"
    trainer = ModelTrainer.load_checkpoint(file, tagger_case()[1])
    return trainer.train(folder / "tagger", **more)


def drop_case(folder):
    "Dropout everywhere: the weights after an epoch"
    model = tagger_on(words_of(fine_tune=True), use_crf=True)
    ModelTrainer(model, corpus_of(TRAIN)).train(folder, **RUN, max_epochs=1)
    return [weight.tolist() for weight in model.parameters()]


def failure(action):
    "What an action raises, and after how many seconds"
    began = time.monotonic()
    try:
        action()
    except (Exception, SystemExit) as error:
        return type(error).__name__, str(error), time.monotonic() - began
    return "", "", time.monotonic() - began


# --- what both processes do ---


def first_visit(folder):
    told = {}
    set_seed(3)
    if not is_main():  # weights are drawn anew in each process
        torch.manual_seed(99)
    told["rates"] = rates_of(folder / "rates")
    told["tagger"] = train_case(folder, "tagger")
    told["classifier"] = train_case(folder, "classifier")
    told["averaged"] = train_case(folder, "averaged")
    model = Model.load(folder / "tagger" / "final-model.pt")
    told["alone"] = is_main() and model.evaluate(corpus_of().dev).main_score
    told["drawn"] = [drop_case(folder / "drop") for _ in range(2)]
    plugins = [Stop(1)]
    told["stopped"] = train_case(folder / "part", "tagger", plugins=plugins)
    small = {"mini_batch_size": 1, "seed": 3}
    trainer = ModelTrainer(*tagger_case()[:2])
    told["small"] = failure(lambda: trainer.train(folder / "no", **small))
    pooled = tagger_on(PooledFlairEmbeddings(language_model(True)))
    trainer = ModelTrainer(pooled, tagger_case()[1])
    told["pooled"] = failure(lambda: trainer.train(folder / "no", **RUN))
    trainer = ModelTrainer(*tagger_case()[:2])
    other = {"mini_batch_size": 4, "seed": 3 + place()[0]}
    told["other"] = failure(lambda: trainer.train(folder / "no", **other))
    return told


def second_visit(folder):
    told = {"resumed": go_on(folder)}

    def killed(number, what):
        plugins = [InOne(number, what)]
        train_case(folder / "kill", "tagger", plugins=plugins)

    ask = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    told["asked"] = failure(lambda: killed(1, ask))
    leave = lambda: os._exit(7)  # noqa: E731
    told["lost"] = failure(lambda: killed(1, leave))
    return told


VISITS = {"first": first_visit, "second": second_visit}
SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_distributed import VISITS
folder = Path(sys.argv[2])
told = VISITS[sys.argv[3]](folder)
(folder / f"{sys.argv[3]}-{os.environ['RANK']}.json").write_text(json.dumps(told))
"""


def two_processes(folder, visit, limit=300):
    "Exit statuses, what was printed, and what both tell"
    with socket.socket() as door:
        door.bind(("localhost", 0))
        port = str(door.getsockname()[1])
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    arguments = [str(Path(__file__).parent), str(folder), visit]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            env=os.environ | meeting | {"RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in "01"
    ]
    try:
        printed = [process.communicate(timeout=limit)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    files = [folder / f"{visit}-{rank}.json" for rank in "01"]
    told = [json.loads(path.read_text()) if path.exists() else {} for path in files]
    return [process.returncode for process in started], printed, told


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    "Both runs in one process"
    folder = tmp_path_factory.mktemp("one")
    return folder, {name: train_case(folder, name) for name in CASES}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    codes, printed, told = two_processes(folder, "first")
    assert codes == [0, 0], printed
    return folder, told, printed


@pytest.fixture(scope="module")
def second(first):
    folder = first[0] / "part"
    go_on(folder, plugins=[Stop(2)])
    stood = read_checkpoint(folder / "tagger" / "checkpoint.pt")["progress"]
    return folder, stood, *two_processes(folder, "second")


def close(folder, other, name, file="final-model.pt"):
    ours, theirs = (read_model_file(f / name / file).tensors for f in (folder, other))
    assert ours.keys() == theirs.keys()
    for key, weight in ours.items():
        torch.testing.assert_close(weight, theirs[key], rtol=0, atol=1e-5)


# --- the same as in one process ---


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_weights_of_one(one, first, name):
    close(one[0], first[0], name)
    close(one[0], first[0], name, "best-model.pt")


def test_two_processes_find_the_scores_and_losses_of_one(one, first):
    for name in CASES:
        ours, theirs = (table(f / name / "loss.tsv") for f in (one[0], first[0]))
        assert [list(row) for row in ours] == [list(row) for row in theirs]
        for row, other in zip(ours, theirs, strict=True):
            for column in row.keys() - {"TIMESTAMP"}:
                assert float(row[column]) == pytest.approx(float(other[column]), 1e-4)
        assert one[1][name]["test_score"] == first[1][0][name]["test_score"]


def test_predictions_of_an_evaluation_are_those_of_one_process(one, first):
    for name in CASES:
        for split in ("dev.tsv", "test.tsv"):
            files = (f / name / split for f in (one[0], first[0]))
            ours, theirs = (path.read_text() for path in files)
            assert ours == theirs != ""


def test_both_processes_know_the_outcome(first):
    main, other = first[1]
    for key in (*CASES, "stopped"):
        assert main[key] == other[key]


def test_two_processes_find_the_rates_of_one(one, first, tmp_path):
    set_seed(3)
    ours, (theirs, others) = rates_of(tmp_path), [told["rates"] for told in first[1]]
    assert theirs == others
    assert len(ours) == len(theirs) > 8
    for row, other in zip(ours, theirs, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


def test_the_mean_is_of_weights_after_larger_batches(one):
    log = (one[0] / "averaged" / "training.log").read_text()
    assert "batches of 8, back to the best model" in log
    assert "the last model is the mean of" in log


def test_after_a_run_one_process_may_work_alone(first):
    assert first[1][0]["alone"] > 0


def test_dropout_differs_between_processes_and_not_between_runs(first):
    (once, again), other = first[1][0]["drawn"], first[1][1]["drawn"]
    assert once == again
    assert other == [once, again]


# --- files, log, plugins ---


def test_only_the_main_process_writes_and_speaks(one, first):
    for name in CASES:
        ours, theirs = (sorted(os.listdir(f / name)) for f in (one[0], first[0]))
        assert ours == theirs
    logs = [(f / "tagger" / "training.log").read_text() for f in (one[0], first[0])]
    assert len({len(log.splitlines()) for log in logs}) == 1
    main, other = first[2]
    assert "EPOCH 1 done" in main and "DEV" in main
    assert not any(word in other for word in ("EPOCH", "DEV", "Corpus", "Training"))


def test_a_plugin_of_the_main_process_ends_the_run_for_all(first):
    assert first[1][1]["stopped"]["stop_reason"] == "enough after epoch 1"
    assert len(first[1][1]["stopped"]["dev_score_history"]) == 1


# --- going on ---


def test_a_run_goes_on_with_another_number_of_processes(one, second):
    folder, stood, _, _, (main, _) = second
    assert stood["epoch"] == 3
    assert main["resumed"]["stop_reason"] == one[1]["tagger"]["stop_reason"]
    close(one[0], folder, "tagger")
    rows = table(folder / "tagger" / "loss.tsv")
    assert [row["EPOCH"] for row in rows] == ["1", "2", "3"]
    states = (read_checkpoint(f / "tagger/checkpoint.pt") for f in (one[0], folder))
    ours, theirs = (state["training"]["optimizer"]["state"] for state in states)
    for number, moments in ours.items():
        for name, value in moments.items():
            torch.testing.assert_close(value, theirs[number][name], rtol=0, atol=1e-5)


# --- faults ---


def test_a_batch_that_cannot_be_shared_is_refused(first):
    for told in first[1]:
        kind, message, _ = told["small"]
        assert kind == "ValueError"
        assert "a batch of 1 cannot be shared by 2 processes" in message


def test_a_model_that_has_to_read_everything_is_refused(first):
    for told in first[1]:
        kind, message, _ = told["pooled"]
        assert kind == "ValueError" and "PooledFlairEmbeddings remembers" in message


def test_processes_with_other_arguments_are_refused(first):
    for told in first[1]:
        kind, message, _ = told["other"]
        assert kind == "ValueError"
        assert "seed is 3 in process 0, 4 in process 1" in message


def test_a_signal_to_one_process_ends_both_between_two_steps(second):
    for told in second[4][:1]:
        kind, message, _ = told["asked"]
        assert (kind, message) == ("SystemExit", "143")
    kept = read_checkpoint(second[0] / "kill" / "tagger" / "checkpoint.pt")
    assert kept["progress"]["epoch"] == 1


def test_a_process_that_dies_ends_the_other_soon(second):
    codes, printed, (main, _) = second[2:]
    assert codes == [0, 7], printed
    kind, message, seconds = main["lost"]
    assert kind == "RuntimeError" and "process 0 of 2 waits in vain" in message
    assert seconds < 30
    log = (second[0] / "kill" / "tagger" / "training.log").read_text()
    assert "Training failed: RuntimeError" in log


# --- without torchrun ---


def test_one_process_never_talks(monkeypatch, tmp_path):
    def refuse(*given, **named):
        raise AssertionError("torch.distributed was called")

    for name in ("init_process_group", "all_reduce", "all_gather", "broadcast"):
        monkeypatch.setattr(torch.distributed, name, refuse)
    train_case(tmp_path, "classifier")
    assert place() == (0, 1) and is_main()


CONFIG = (
    TAGGER_RUN.replace("seed = 7", "seed = 1")
    .replace("max_epochs = 2", "max_epochs = 1")
    .replace("mini_batch_size = 2", "mini_batch_size = 4")
)


def train_by_torchrun(folder, processes):
    "What the command says that trains in so many processes"
    (folder / "words").mkdir()
    for split in ("train", "dev", "test"):
        lines = [text.replace(" ", "\tWORD\n") + "\tWORD\n\n" for text in TEXTS]
        (folder / "words" / f"{split}.txt").write_text("".join(lines))
    (folder / "run.toml").write_text(CONFIG)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", str(processes)]
    command = [*torchrun, "-m", "flairnb", "train", "run.toml"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchrun_starts_the_command(tmp_path):
    said = train_by_torchrun(tmp_path, processes=2)
    assert said.count("Score on test") == 1
    assert (tmp_path / "out" / "final-model.pt").is_file()

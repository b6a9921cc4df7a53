"""Each fault of a training run many times over, and what was lost: `resilience.md`.

    python benchmarks/resilience.py [--tries 200] [--only kill disk] [--seed 1]

The runs are small, so that a process can be killed at any of its moments: tagger and
corpus of the tests, which also say when two runs are equal. It forks, so it needs
Linux; a full disk needs the right to mount one.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads cannot be forked

import argparse
import logging
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from report import machine, table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from test_faults import Narrow, Sick, equal_runs
from test_resume import first_part, going_on, plain_state, same, weights_of
from test_trainer import corpus_of, tagger_for

from flairnb.foundation import logger
from flairnb.models import Model
from flairnb.saving import ModelFileError
from flairnb.trainers import ModelTrainer
from flairnb.trainers.checkpoints import read_checkpoint
from flairnb.trainers.history import Plugin

CHOSEN = {"max_epochs": 6, "checkpoint_every": 1, "write_weights": True}
PATIENCE = 120  # seconds until a process hangs
SAID = tempfile.TemporaryDirectory()  # errors that processes ended with
REFUSED = 3  # exit status of a process that was told no


class Lost(Exception):  # noqa: N818
    "What a try has shown"


class Bench(NamedTuple):
    "What a try is given"

    folder: Path  # Its own
    whole: Path  # Of a run that nothing happened to
    seconds: float  # What that run took
    draw: random.Random

    @property
    def run(self) -> Path:
        "Where the try trains: a name that the log of the whole run has as well"
        return self.folder / "run"


# --- processes ---


def train(run: Path, **chosen: Any) -> None:
    "Begin a run, or go on with it"
    if (run / "checkpoint.pt").exists():
        going_on(run).train(run)
    else:
        first_part(run, **(CHOSEN | chosen))


def fork(work: Callable[[], object]) -> int:
    "The process id of a copy of this process, which works and ends"
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    except (RuntimeError, OSError, FloatingPointError) as error:
        (Path(SAID.name) / str(os.getpid())).write_text(str(error))
        status = REFUSED
    finally:
        os._exit(status)


def end(process: int) -> int:
    "The exit status of a process, negative if a signal ended it; `Lost` if it hangs"
    latest = time.monotonic() + PATIENCE
    while time.monotonic() < latest:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise Lost(f"still there after {PATIENCE} s")


def said(process: int) -> str:
    "The error that a process ended with"
    path = Path(SAID.name) / str(process)
    return path.read_text() if path.exists() else ""


def expect(truth: object, message: str) -> None:
    if not truth:
        raise Lost(message)


def finish(bench: Bench) -> None:
    "Go on in a new process; `Lost` unless all is as if nothing had happened"
    process = fork(lambda: train(bench.run))
    status = end(process)
    expect(status == 0, f"going on ended with {status}: {said(process)}")
    try:
        equal_runs(bench.run, bench.whole)
    except AssertionError as error:
        raise Lost("the end is not that of the whole run") from error
    litter = [p.name for p in bench.run.iterdir() if p.name[0] == "."]
    expect(not litter, f"left behind: {litter}")


def wait_for(process: int, there: Callable[[], object]) -> None:
    "Until something is there, or the process has ended"
    while not there() and not os.waitid(
        os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT
    ):
        time.sleep(0.0002)


# --- faults ---


def killed(bench: Bench) -> None:
    "SIGKILL at a random moment"
    process = fork(lambda: train(bench.run))
    time.sleep(bench.draw.uniform(0, bench.seconds))
    os.kill(process, signal.SIGKILL)
    end(process)
    finish(bench)


def killed_writing(bench: Bench) -> None:
    "SIGKILL while a file is written, and again in the run that goes on"
    for _ in range(2):
        process = fork(lambda: train(bench.run))
        time.sleep(bench.draw.uniform(0, bench.seconds / 2))
        wait_for(process, lambda: [*bench.run.glob(".*tmp-*")])
        os.kill(process, signal.SIGKILL)
        end(process)
    finish(bench)


def asked_to_end(bench: Bench) -> None:
    "SIGTERM or SIGINT at a random moment"
    number = bench.draw.choice([signal.SIGTERM, signal.SIGINT])
    process = fork(lambda: train(bench.run))
    wait_for(process, (bench.run / "checkpoint.pt").exists)
    time.sleep(bench.draw.uniform(0, bench.seconds * 0.8))
    with suppress(ProcessLookupError):
        os.kill(process, number)
    status = end(process)
    expect(status in (0, 128 + number), f"exit status {status}: {said(process)}")
    Model.load(bench.run / "final-model.pt").predict(corpus_of().dev)
    again = fork(lambda: train(bench.run))
    expect(end(again) == 0, f"going on: {said(again)}")
    found, wanted = plain_state(bench.run), plain_state(bench.whole)
    for part in ("training", "history"):
        expect(same(found[part], wanted[part]), f"another {part}")


def asked_to_write(bench: Bench) -> None:
    "SIGUSR1 at several random moments"
    process = fork(lambda: train(bench.run))
    wait_for(process, (bench.run / "checkpoint.pt").exists)
    for _ in range(3):
        time.sleep(bench.draw.uniform(0, bench.seconds / 4))
        if not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            os.kill(process, signal.SIGUSR1)
    expect(end(process) == 0, f"the run ended: {said(process)}")
    finish(bench)


class Starve(Plugin):
    "Takes something away before a batch"

    def __init__(self, epoch: int, take: Callable[[], object]):
        self.epoch, self.take = epoch, take

    def before_training_epoch(self, moment: Any) -> None:
        if moment.epoch == self.epoch:
            self.take()

    def state_dict(self) -> dict[str, Any]:
        return {}


def starved(bench: Bench, take: Callable[[], object], need: str) -> None:
    "A run that something is taken from, and that goes on when it is back"
    plugin = Starve(bench.draw.randint(2, 5), take)
    process = fork(lambda: first_part(bench.run, plugins=[plugin], **CHOSEN))
    status = end(process)
    expect(status == REFUSED, f"exit status {status}")
    expect(need in said(process), f"the error does not say {need!r}: {said(process)}")
    read_checkpoint(bench.run / "checkpoint.pt")


def finish_alike(bench: Bench) -> None:
    "Go on, to the same weights; the files name a plugin that the whole run has not"
    process = fork(lambda: going_on(bench.run).train(bench.run, plugins=[]))
    expect(end(process) == 0, f"going on: {said(process)}")
    ends = [Model.load(x / "final-model.pt") for x in (bench.run, bench.whole)]
    expect(torch.equal(*map(weights_of, ends)), "other weights")


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    "A disk in memory of so many bytes"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(bench: Bench) -> None:
    "A disk that fills up in mid run"
    with small_disk(bench.run, 4 << 20):
        ballast = bench.run.parent / "run" / "ballast"

        def fill() -> None:
            with suppress(OSError), open(ballast, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

        starved(bench, fill, "needs about")
        ballast.unlink()
        finish_alike(bench)


def short_files(bench: Bench) -> None:
    "A quota: no file may grow beyond some bytes (RLIMIT_FSIZE)"
    size = bench.draw.randint(1, (bench.whole / "checkpoint.pt").stat().st_size // 2)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    starved(bench, limit, "needs about")
    finish_alike(bench)


def narrow_memory(bench: Bench) -> None:
    "No memory for a batch"
    ends, still = [], {"word_dropout": 0.0, "locked_dropout": 0.0}
    for kind in (None, Narrow):
        corpus = corpus_of()
        model = tagger_for(corpus, **still)
        if kind:
            model.__class__, model.room = kind, bench.draw.randint(5, 30)
        trainer = ModelTrainer(model, corpus)
        trainer.train(bench.run, mini_batch_size=10, max_epochs=3, seed=1)
        ends.append(weights_of(model))
    expect(torch.allclose(*ends, atol=1e-5), "other weights")


def no_number(bench: Bench) -> None:
    "A loss that is no number"
    step = bench.draw.randint(2, 18)

    def sick() -> None:
        corpus = corpus_of()
        model = tagger_for(corpus)
        model.__class__, model.sick = Sick, (step,)
        first_part(bench.run, corpus, model, **CHOSEN)

    process = fork(sick)
    expect(end(process) == REFUSED, "trained on")
    for part in ("the loss is nan", "the last good checkpoint is"):
        expect(part in said(process), f"the error does not say {part!r}")
    ModelTrainer.load_checkpoint(bench.run / "checkpoint.pt", corpus_of())


def damaged(bench: Bench) -> None:
    "A checkpoint or a model: a bit flipped, cut off, or a part of another file"
    name = bench.draw.choice(["checkpoint.pt", "final-model.pt", "best-model.pt"])
    whole = (bench.whole / name).read_bytes()
    place = bench.draw.randrange(len(whole))
    how = bench.draw.choice(["flipped", "cut", "swapped"])
    found = bytearray(whole)
    if how == "flipped":
        found[place] ^= 1 << bench.draw.randrange(8)
    elif how == "cut":
        found = found[:place]
    else:
        part = bench.draw.randbytes(min(64, len(whole) - place))
        found[place : place + len(part)] = part
    bench.run.mkdir()
    path = bench.run / name
    path.write_bytes(found)
    with suppress(ModelFileError):
        if name == "checkpoint.pt":
            ModelTrainer.load_checkpoint(path, corpus_of())
        else:
            Model.load(path)
        raise Lost(f"{name}, {how} at {place}, was read")


class Hostile:
    "Makes a file when it is unpickled"

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.place),)


def hostile(bench: Bench) -> None:
    "A pickle that runs something, under any name, bare or as torch writes it"
    place = bench.folder / "run-by-the-pickle"
    bench.run.mkdir()
    path = bench.run / bench.draw.choice(
        ["best-model.pt", "checkpoint.pt", "pytorch_model.bin", "model.safetensors"]
    )
    content = bench.draw.choice([Hostile(place), [1, {"a": Hostile(place)}]])
    way = bench.draw.choice(["raw", "zip", "torch", "old torch"])
    if way == "raw":
        path.write_bytes(pickle.dumps(content, bench.draw.randint(0, 5)))
    elif way == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content))
            archive.writestr("archive/version", "3\n")
    else:
        new = way == "torch"
        torch.save(content, path, _use_new_zipfile_serialization=new)
    for read in (
        Model.load,
        lambda path: ModelTrainer.load_checkpoint(path, corpus_of()),
    ):
        with suppress(ModelFileError):
            read(path)
            raise Lost(f"{way} {path.name} was read")
    expect(not place.exists(), f"{way} {path.name} was run")


def two_at_once(bench: Bench) -> None:
    "Several trainings begin in one folder at the same moment"
    processes = [
        fork(lambda: first_part(bench.run, **CHOSEN))
        for _ in range(bench.draw.randint(2, 4))
    ]
    ends = {process: end(process) for process in processes}
    refused = [process for process, status in ends.items() if status == REFUSED]
    expect(
        all("is training in" in said(process) for process in refused),
        "refused for another reason",
    )
    expect(set(ends.values()) <= {0, REFUSED}, f"exit statuses {[*ends.values()]}")
    expect(len(refused) < len(ends), "nobody has trained")
    finish(bench)


class Failing(Plugin):
    "Fails at one of its events"


def failing_plugin(bench: Bench) -> None:
    "A plugin that raises"
    event = bench.draw.choice(
        ["before_training_epoch", "after_training_batch", "after_evaluation"]
    )

    def fail(self: Plugin, moment: Any) -> None:
        raise KeyError("gone")

    plugin = type("Failing", (Failing,), {event: fail})()
    process = fork(lambda: first_part(bench.run, plugins=[plugin], **CHOSEN))
    expect(end(process) == 0, f"the run ended: {said(process)}")
    ends = [Model.load(x / "final-model.pt") for x in (bench.run, bench.whole)]
    expect(torch.equal(*map(weights_of, ends)), "other weights")


class Fault(NamedTuple):
    "One row of the table"

    cause: Callable[[Bench], None]  # Its docstring is what the table says
    kept: str  # What is asked for
    share: float = 1.0  # Of the tries


EQUAL = "goes on to the same bits: weights, optimizer, files"
FAULTS = {
    "kill": Fault(killed, EQUAL),
    "kill_writing": Fault(killed_writing, EQUAL),
    "end": Fault(asked_to_end, "a checkpoint and a model that predicts; goes on alike"),
    "usr1": Fault(asked_to_write, "the run goes on, to the same bits", 0.25),
    "disk": Fault(
        full_disk, "the size needed is told; goes on to the same weights", 0.25
    ),
    "quota": Fault(short_files, "the same", 0.25),
    "memory": Fault(narrow_memory, "the weights of a run with room, to 1e-5", 0.25),
    "nan": Fault(no_number, "an error that says where; a checkpoint that loads", 0.25),
    "damage": Fault(damaged, "refused", 5),
    "pickle": Fault(hostile, "refused, nothing is run", 1),
    "two": Fault(two_at_once, "one trains at a time, the others are told", 0.25),
    "plugin": Fault(failing_plugin, "the weights of a run without it", 0.25),
}


# --- the table ---


def tries(
    fault: Fault, count: int, whole: Path, seconds: float, seed: int
) -> list[str]:
    "What was lost in some tries of a fault"
    lost = []
    for number in range(count):
        draw = random.Random(f"{fault.cause.__name__} {seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            try:
                fault.cause(Bench(Path(folder), whole, seconds, draw))
            except Exception as error:
                lost.append(f"{fault.cause.__name__} {number}: {error!r}"[:400])
    return lost


def page(rows: list[list[str]], lost: list[str], about: dict[str, str]) -> str:
    "The table, in Markdown"
    parts = [
        "# What goes wrong, and what is lost",
        "Small runs (20 sentences, 6 epochs, a checkpoint after each step) meet a fault"
        " at a moment drawn by chance, each in a process of its own. Made by"
        " `benchmarks/resilience.py`.",
        table(["fault", "what must be kept", "tries", "lost", "time"], rows),
        *(["\n".join(f"- {line}" for line in lost)] if lost else []),
        table(["", ""], [[name, value] for name, value in about.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    "The exit status: 0 if nothing is lost"
    options = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    options.add_argument("--tries", type=int, default=200, help="of most faults")
    options.add_argument("--only", nargs="+", choices=FAULTS, default=[*FAULTS])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=HERE / "resilience.md")
    given = options.parse_args()
    logger.setLevel(logging.CRITICAL)
    about, rows, lost = machine(threads=1), [], []
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "run"
        first_part(whole.parent / "warm" / "run", **CHOSEN)
        began = time.monotonic()
        first_part(whole, **CHOSEN)
        seconds = time.monotonic() - began
        for name in given.only:
            fault = FAULTS[name]
            count, began = max(1, round(given.tries * fault.share)), time.monotonic()
            gone = tries(fault, count, whole, seconds, given.seed)
            took = f"{time.monotonic() - began:.0f} s"
            what = str(fault.cause.__doc__)
            rows.append([what, fault.kept, str(count), str(len(gone)), took])
            lost += gone
            print(f"{name}: {count} tries, {len(gone)} lost, {took}")
            print(*gone, sep="\n", end="\n" if gone else "")
    given.out.write_text(page(rows, lost, about), encoding="utf-8")
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())

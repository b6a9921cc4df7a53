"What goes wrong in a run: signals, kills, full disks, memory, numbers, plugins"

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_resume import (
    FEW,
    StopIn,
    first_part,
    going_on,
    plain_files,
    plain_log,
    plain_state,
    same,
    tagger_on,
    weights_of,
    words_of,
)
from test_trainer import TEXTS, corpus_of, messages, read, table, tagger_for, train

from flairnb.foundation import atomic_write
from flairnb.models import Model, SequenceTagger
from flairnb.saving import ModelFileError, write_model_file
from flairnb.trainers import ModelTrainer, checkpoints
from flairnb.trainers.checkpoints import (
    check_room,
    locked,
    read_checkpoint,
    write_checkpoint,
)
from flairnb.trainers.history import Plugin, TrainingInterrupt
from flairnb.trainers.steps import due, out_of_memory

__all__ = ["messages"]  # a fixture
SLOW = "FLAIRNB_SLOW_TESTS" in os.environ
posix = pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")


def equal_runs(found, wanted):
    state, files = plain_state(wanted), plain_files(wanted)
    assert same(plain_state(found), state)
    again = plain_files(found)
    assert again.keys() == files.keys()
    assert all(same(again[name], files[name]) for name in files)
    assert plain_log(found) == plain_log(wanted)


# --- signals ---


class Send(Plugin):
    "Sends a signal to its own process, at some batch or while dev is measured"

    def __init__(self, number, epoch, batch):
        self.number, self.where = number, (epoch, batch)

    def before_training_batch(self, moment):
        if (moment.epoch, moment.batch_no) == self.where:
            os.kill(os.getpid(), self.number)

    def after_training_epoch(self, moment):
        if (moment.epoch, "dev") == self.where:
            os.kill(os.getpid(), self.number)


CHOSEN = {"max_epochs": 4, "checkpoint": True, "write_weights": True}


@posix
@pytest.mark.parametrize("where", [(1, 1), (2, 2), (2, 3), (3, "dev")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_within_a_step_and_it_goes_on(tmp_path, number, where):
    whole, run = tmp_path / "whole" / "run", tmp_path / "part" / "run"
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    first_part(whole, **CHOSEN)
    plugin = [Send(number, *where)]
    if number == signal.SIGTERM:
        with pytest.raises(SystemExit) as caught:
            first_part(run, plugins=plugin, **CHOSEN)
        assert caught.value.code == 128 + signal.SIGTERM
    else:
        found = first_part(run, plugins=plugin, **CHOSEN)
        assert found["stop_reason"] == "interrupted by the user"
    now = read_checkpoint(run / "checkpoint.pt")["progress"]
    assert (now["epoch"], now["batch"]) == (
        where[0],
        where[1] if where[1] != "dev" else 3,
    )
    Model.load(run / "final-model.pt").predict(corpus_of().dev)
    after = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    assert after == before
    going_on(run).train(run, plugins=[])
    found, wanted = plain_state(run), plain_state(whole)
    assert found["arguments"].pop("plugins") == wanted["arguments"].pop("plugins")
    assert same(found["training"], wanted["training"])
    assert same(found["history"], wanted["history"])
    rows = [plain_log(x).split("\nCorpus: ", 1)[1] for x in (run, whole)]
    assert rows[0] == rows[1]


@posix
def test_usr1_writes_a_checkpoint_and_goes_on(tmp_path):
    seen = []

    class Look(Send):
        def before_training_batch(self, moment):
            path = moment.run.folder / "checkpoint.pt"
            if path.exists():
                seen.append((moment.epoch, moment.batch_no))
            super().before_training_batch(moment)

    plugin = Look(signal.SIGUSR1, 2, 1)
    found = first_part(tmp_path, checkpoint=False, max_epochs=3, plugins=[plugin])
    assert seen[0] == (2, 2) and found["stop_reason"] == "all 3 epochs are done"
    now = read_checkpoint(tmp_path / "checkpoint.pt")["progress"]
    assert (now["epoch"], now["batch"]) == (2, 1)


@posix
def test_a_second_interrupt_ends_at_once(tmp_path):
    class Twice(Plugin):
        def before_training_batch(self, moment):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("too late")  # pragma: no cover

    found = first_part(tmp_path, plugins=[Twice()], on_plugin_error="raise")
    assert found["train_loss_history"] == []
    now = read_checkpoint(tmp_path / "checkpoint.pt")["progress"]
    assert (now["epoch"], now["batch"]) == (1, 0)  # that of the beginning


# --- kills ---

KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import logging
import torch
from test_resume import going_on
from test_faults import with_vectors
from flairnb.foundation import logger
from flairnb.trainers.checkpoints import read_checkpoint
logger.setLevel(logging.ERROR)
folder, wanted, kills = Path(sys.argv[2]), int(sys.argv[3]), 0
draw = random.Random(int(sys.argv[4]))
chosen = dict(max_epochs=30, checkpoint_every=1, write_weights=True)
with_vectors(folder / "warm" / "run", **(chosen | {"max_epochs": 1}))
run = folder / "killed" / "run"
while True:
    child = os.fork()
    if child == 0:
        if (run / "checkpoint.pt").exists():
            going_on(run).train(run)
        else:
            with_vectors(run, **chosen)
        os._exit(0)
    if kills < wanted:
        time.sleep(draw.uniform(0.02, 0.25))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    kills += 1
    if (run / "checkpoint.pt").exists():
        read_checkpoint(run / "checkpoint.pt")
print(kills)
"""


def with_vectors(folder, **chosen):
    "A run with vectors that never change, and stand beside its checkpoint"
    checkpoints.BESIDE = 1
    return first_part(folder, model=tagger_on(words_of()), **chosen)


@posix
def test_a_run_that_is_killed_again_and_again_loses_nothing(tmp_path, monkeypatch):
    here, kills = str(Path(__file__).parent), 200 if SLOW else 20
    monkeypatch.setattr(checkpoints, "BESIDE", 1)
    with_vectors(
        tmp_path / "whole" / "run",
        max_epochs=30,
        checkpoint_every=1,
        write_weights=True,
    )
    command = [sys.executable, "-c", KILLED, here, str(tmp_path), str(kills), "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= kills // 2
    equal_runs(tmp_path / "killed" / "run", tmp_path / "whole" / "run")
    assert len([*(tmp_path / "killed" / "run").glob("checkpoint.fixed-*.pt")]) == 1
    assert not [p for p in (tmp_path / "killed" / "run").iterdir() if p.name[0] == "."]


# --- two runs in one folder ---


def test_a_second_run_in_a_folder_is_refused(tmp_path):
    found = []

    class Second(Plugin):
        def before_training_epoch(self, moment):
            with pytest.raises(RuntimeError) as caught:
                first_part(tmp_path)
            found.append(str(caught.value))

    first_part(tmp_path, max_epochs=1, plugins=[Second()])
    assert found and f"process {os.getpid()} is training in {tmp_path}" in found[0]
    assert read_checkpoint(tmp_path / "checkpoint.pt")["progress"]["epoch"] == 2


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path):
    (tmp_path / ".training.lock").write_text("4711\n")
    first_part(tmp_path, max_epochs=1)
    assert not (tmp_path / ".training.lock").exists()


@posix
def test_the_lock_holds_between_processes(tmp_path):
    code = "import sys; from flairnb.trainers.checkpoints import locked\n"
    code += "with locked(sys.argv[1]): pass"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with locked(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and f"process {os.getpid()} is" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- the disk ---


def test_room_is_looked_for_before_the_first_epoch(tmp_path, monkeypatch):
    from flairnb.trainers import checkpoints as page

    monkeypatch.setattr(page, "free_disk", lambda folder: 1000)
    steps = []
    model = tagger_for(corpus_of())
    model.forward_loss = steps.append
    with pytest.raises(
        OSError, match=r"needs [\d,]+ bytes for best-model.pt, final-"
    ) as caught:
        first_part(tmp_path, model=model)
    assert caught.value.errno == errno.ENOSPC and steps == []
    check_room(tmp_path, {"a": 400})  # twice for a moment
    with pytest.raises(OSError, match="needs 1,200 bytes for a"):
        check_room(tmp_path, {"a": 600})
    (tmp_path / "a").write_bytes(b"x" * 300)
    check_room(tmp_path, {"a": 600})  # what is replaced is room


@pytest.mark.parametrize("name", ["checkpoint.pt", "best-model.pt", "final-model.pt"])
def test_a_disk_that_fills_up_leaves_the_last_good_files(tmp_path, monkeypatch, name):
    from contextlib import contextmanager

    from flairnb import saving

    first_part(tmp_path, max_epochs=2)
    before = (tmp_path / name).read_bytes()

    @contextmanager
    def full(path, mode="wb"):
        with atomic_write(path, mode) as file:
            yield file
            if Path(path).name == name:
                raise OSError(errno.ENOSPC, "No space left on device")

    from flairnb.trainers import trainer as page

    monkeypatch.setattr(page, "is_best_model", lambda *_: True)
    monkeypatch.setattr(saving, "atomic_write", full)
    with pytest.raises(OSError, match=rf"{name} needs about [\d,]+ bytes, .* is kept"):
        going_on(tmp_path).train(tmp_path, max_epochs=3)
    assert (tmp_path / name).read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if ".tmp-" in p.name]
    monkeypatch.setattr(saving, "atomic_write", atomic_write)
    found = going_on(tmp_path).train(tmp_path, max_epochs=3)
    assert len(found["dev_score_history"]) == 3


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from test_resume import first_part
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
first_part(sys.argv[2])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")
def test_a_limit_on_files_is_told_before_the_first_epoch(tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", LIMITED, here, str(tmp_path / "run"), "4000"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "may write files of 4,000 bytes" in done.stderr
    assert [p.name for p in (tmp_path / "run").iterdir()] == []


LIMITED_LATER = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_resume import first_part, going_on
from flairnb.trainers.history import Plugin
limits = resource.RLIMIT_FSIZE, int(sys.argv[3])
class Limit(Plugin):
    def before_training_epoch(self, moment):
        if moment.epoch == 2:
            resource.setrlimit(limits[0], (limits[1], resource.RLIM_INFINITY))
run = Path(sys.argv[2])
try:
    first_part(run, plugins=[Limit()], max_epochs=4, checkpoint_every=1, write_weights=True)
except OSError as error:
    print(error)
resource.setrlimit(limits[0], (resource.RLIM_INFINITY,) * 2)
going_on(run).train(run, plugins=[])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")
@pytest.mark.parametrize("limit", [1, 300, 4000])
def test_a_limit_that_comes_in_mid_run_is_told_with_the_file(tmp_path, limit):
    here, run = str(Path(__file__).parent), tmp_path / "part" / "run"
    command = [sys.executable, "-c", LIMITED_LATER, here, str(run), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = rf"{run}/\S+ needs about [\d,]+ bytes, .*File too large"
    assert re.search(told, done.stdout), done.stdout
    first_part(tmp_path / "whole" / "run", max_epochs=4, write_weights=True)
    ends = [read(run / "final-model.pt"), read(tmp_path / "whole/run/final-model.pt")]
    assert torch.equal(*map(weights_of, ends))


# --- memory ---


class Narrow(SequenceTagger):
    "Has no room for so many words"

    room, asked = 17, 0

    def forward_loss(self, batch):
        self.asked += 1
        if int(batch.lengths.sum()) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 99 GiB")
        return super().forward_loss(batch)


def test_a_batch_that_does_not_fit_is_split(tmp_path, messages):
    still = {"word_dropout": 0.0, "locked_dropout": 0.0}
    ends = []
    for name in ("narrow", "wide"):
        corpus = corpus_of()
        model = tagger_for(corpus, **still)
        if name == "narrow":
            model.__class__ = Narrow
        train(tmp_path / name, corpus, model, mini_batch_size=10, checkpoint=True)
        ends.append(weights_of(model))
    assert torch.allclose(*ends, atol=1e-5)
    told = [text for _, text in messages if "does not fit into memory" in text]
    assert told == [
        "a batch of 10 sentences does not fit into memory: "
        "3 sentences at a time from now on"
    ]
    kept = read_checkpoint(tmp_path / "narrow" / "checkpoint.pt")
    assert kept["progress"]["chunk_size"] == 3
    assert kept["arguments"]["mini_batch_chunk_size"] is None


def test_one_sentence_that_does_not_fit_is_an_error(tmp_path):
    corpus = corpus_of()
    model = tagger_for(corpus)
    model.__class__, model.room = Narrow, 1
    with pytest.raises(torch.OutOfMemoryError):
        train(tmp_path, corpus, model)


def test_other_errors_are_not_taken_for_a_lack_of_memory(tmp_path):
    assert out_of_memory(MemoryError()) and not out_of_memory(ValueError("memory"))
    allocator = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate"
    assert out_of_memory(RuntimeError(allocator))
    corpus = corpus_of()
    model, asked = tagger_for(corpus), []

    def broken(batch):
        asked.append(batch)
        raise RuntimeError("shapes do not fit")

    model.forward_loss = broken
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(tmp_path, corpus, model)
    assert len(asked) == 1


# --- numbers that are none ---


class Sick(SequenceTagger):
    "The loss of some batches is no number"

    steps, sick = 0, ()

    def forward_loss(self, batch):
        self.steps += 1
        loss, count = super().forward_loss(batch)
        return (loss * float("nan") if self.steps in self.sick else loss), count


def sick_run(folder, sick, **chosen):
    corpus = corpus_of()
    model = tagger_for(corpus)
    model.__class__, model.sick = Sick, sick
    return model, train(folder, corpus, model, **chosen)


def test_an_error_of_numbers_says_all_that_is_known(tmp_path):
    with pytest.raises(FloatingPointError) as caught:
        sick_run(tmp_path, (8,), checkpoint=True)
    said = str(caught.value)
    for part in (
        "epoch 2, batch 3 of 5: the loss is nan", "learning rate 0.1",
        "norm of the gradient nan", "sentences: '", "and 1 more",
        f"the last good checkpoint is {tmp_path / 'checkpoint.pt'}",
    ):  # fmt: skip
        assert part in said
    now = read_checkpoint(tmp_path / "checkpoint.pt")["progress"]
    assert (now["epoch"], now["batch"]) == (2, 0)


@pytest.mark.parametrize("how", ["skip", "rollback"])
def test_a_broken_batch_may_be_left_out(tmp_path, messages, how):
    model, found = sick_run(tmp_path, (8, 9), on_nan=how)
    assert found["stop_reason"] == "all 3 epochs are done"
    assert all(loss == loss for loss in found["train_loss_history"])
    assert torch.isfinite(weights_of(model)).all()
    done = {"skip": "left out", "rollback": "rolled back to the last checkpoint"}[how]
    told = [text for level, text in messages if level == "WARNING" and done in text]
    assert [text.split(":")[0] for text in told] == [
        "epoch 2, batch 3 of 5", "epoch 2, batch 4 of 5",
    ]  # fmt: skip


def test_a_rollback_goes_to_the_last_checkpoint(tmp_path):
    seen = {}

    class Look(Plugin):
        def after_training_batch(self, moment):
            where = moment.epoch, moment.batch_no
            seen[where] = weights_of(moment.run.model).clone()

    sick_run(tmp_path, (8,), on_nan="rollback", plugins=[Look()], checkpoint_every=100)
    assert torch.equal(seen[1, 5], seen[2, 3])  # where epoch 2 began
    assert not torch.equal(seen[2, 2], seen[2, 3])


def test_too_many_broken_batches_end_a_run(tmp_path):
    with pytest.raises(FloatingPointError, match="epoch 1, batch 11 of 20"):
        sick_run(tmp_path, range(1, 99), on_nan="skip", mini_batch_size=1)


# --- plugins ---


class Failing(Plugin):
    def after_training_batch(self, moment):
        raise KeyError("gone")

    def state_dict(self):
        raise OSError("no state")


def test_a_plugin_that_fails_is_told_and_does_no_harm(tmp_path, messages):
    first_part(tmp_path / "plain" / "run")
    first_part(tmp_path / "with" / "run", plugins=[Failing()])
    told = {text for level, text in messages if level == "WARNING"}
    assert "plugin Failing.after_training_batch failed: KeyError: 'gone'" in told
    assert "plugin Failing.state_dict failed: OSError: no state" in told
    ends = [read(tmp_path / x / "run" / "final-model.pt") for x in ("plain", "with")]
    assert torch.equal(*map(weights_of, ends))
    with pytest.raises(OSError, match="no state"):
        first_part(tmp_path / "raises", plugins=[Failing()], on_plugin_error="raise")
    with pytest.raises(KeyError, match="gone"):
        train(tmp_path / "raises", plugins=[Failing()], on_plugin_error="raise")


class Recorder(Plugin):
    "Writes down all that it hears"

    def __init__(self):
        self.heard = []

    def state_dict(self):
        return {"heard": [*self.heard]}

    def load_state_dict(self, state):
        self.heard = [*state["heard"]]


def _note(name):
    def hook(self, moment):
        self.heard.append((name, moment.epoch, getattr(moment, "batch_no", None)))

    return hook


for _name in vars(Plugin):
    if _name[0] != "_" and "state" not in _name:
        setattr(Recorder, _name, _note(_name))


def test_events_come_in_flairs_order(tmp_path):
    recorder = Recorder()
    train(tmp_path, max_epochs=2, mini_batch_size=10, plugins=[recorder])
    batch = [
        "before_training_batch", "before_training_optimizer_step", "after_training_batch",
    ]  # fmt: skip
    one = [
        "before_training_epoch",
        *batch * 2,
        "after_training_epoch",
        "after_evaluation",
    ]
    last = ["after_training_loop", "after_training", "training_finally"]
    assert [name for name, *_ in recorder.heard] == ["after_setup", *one * 2, *last]
    batches = [(e, b) for name, e, b in recorder.heard if name == batch[2]]
    assert batches == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {b for name, _, b in recorder.heard if name in batch} == {1, 2}


def test_a_plugin_goes_on_with_its_state(tmp_path, messages):
    whole, part = Recorder(), [Recorder(), StopIn(2)]
    first_part(tmp_path / "whole", max_epochs=3, plugins=[whole])
    first_part(tmp_path / "part", max_epochs=3, plugins=part)
    later = Recorder()
    going_on(tmp_path / "part").train(tmp_path / "part", plugins=[later])
    quiet = {"after_setup"}  # which comes again
    heard = [x for x in later.heard if x[0] not in quiet]
    assert heard == [x for x in whole.heard if x[0] not in quiet]
    told = [text for level, text in messages if level == "WARNING"]
    assert told == ["the checkpoint knows a plugin StopIn, which was not given"]


def test_plugins_belong_to_one_run(tmp_path):
    recorder = Recorder()
    given = [recorder]
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    trainer.train(tmp_path / "one", max_epochs=1, plugins=given)
    heard = len(recorder.heard)
    trainer.train(tmp_path / "two", max_epochs=1)
    assert given == [recorder] and len(recorder.heard) == heard
    with pytest.raises(TypeError, match="plugins are objects of subclasses of Plugin"):
        trainer.train(tmp_path / "three", plugins=["tensorboard"])


def test_a_plugin_may_end_a_run(tmp_path):
    recorder = Recorder()
    found = first_part(tmp_path, max_epochs=9, plugins=[recorder, StopIn(3)])
    assert found["stop_reason"] == "enough" and len(found["train_loss_history"]) == 2
    assert "training_interrupt" in [name for name, *_ in recorder.heard]
    assert read(tmp_path / "final-model.pt").training_card["epochs"] == 2


# --- damaged files ---


def test_damaged_checkpoints_are_refused(tmp_path):
    first_part(tmp_path)
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    draw = torch.Generator().manual_seed(1)
    for number in range(100):
        place, bit = (
            int(torch.randint(n, (), generator=draw)) for n in (len(whole), 8)
        )
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        path.write_bytes(whole[:place] if number % 4 == 0 else bytes(flipped))
        with pytest.raises(ModelFileError):
            ModelTrainer.load_checkpoint(path, corpus_of())


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "another"])
def test_what_stands_beside_a_checkpoint_is_checked(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(checkpoints, "BESIDE", 1)
    with_vectors(tmp_path / "run")
    with_vectors(tmp_path / "other")
    (part,) = (tmp_path / "run").glob("checkpoint.fixed-*.pt")
    whole = part.read_bytes()
    if damage == "missing":
        part.unlink()
    elif damage == "another":
        write_model_file(part, {"x": torch.ones(2)}, {"class": "FixedPart"})
    else:
        flipped = whole[:-1] + bytes([whole[-1] ^ 1])
        part.write_bytes(whole[:-5] if damage == "cut" else flipped)
    said = {"missing": "copy it from where", "another": "is another file: "}
    with pytest.raises(ModelFileError, match=said.get(damage, "is damaged")):
        going_on(tmp_path / "run")
    part.write_bytes(whole)
    assert going_on(tmp_path / "run").train(tmp_path / "run", max_epochs=3)


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"x": 1}, "LanguageModelTrainer")
    with pytest.raises(
        ModelFileError, match="checkpoint of LanguageModelTrainer, not of"
    ):
        ModelTrainer.load_checkpoint(path, corpus_of())


# --- how often ---


@pytest.mark.parametrize("every", [0, -1, True, "10", "often", "0 s", "3 days", 1.5])
def test_times_between_checkpoints_that_say_nothing(tmp_path, every):
    with pytest.raises(ValueError, match="checkpoint_every is a number of steps"):
        first_part(tmp_path / "run", checkpoint_every=every)
    assert not (tmp_path / "run").exists()


def test_checkpoints_every_few_steps_or_seconds(tmp_path, monkeypatch):
    from flairnb.trainers import trainer as page

    written, write = [], page.write_run
    monkeypatch.setattr(
        page, "write_run", lambda run: (write(run), written.append(run.progress.batch))
    )
    train(tmp_path / "a", checkpoint_every=2, max_epochs=2)  # of 5 batches each
    assert written == [0, 2, 4, 0, 1, 3, 0]
    written.clear()
    train(tmp_path / "b", checkpoint_every="0.000001 s", max_epochs=1)
    assert written == [0, 1, 2, 3, 4, 0]
    written.clear()
    train(tmp_path / "c", checkpoint_every="2 h", max_epochs=2)
    assert written == [0, 0, 0]
    assert due("1.5 h") == (float("inf"), 5400)


def test_an_interrupt_of_a_plugin_in_mid_epoch_leaves_the_last_checkpoint(tmp_path):
    class Stop(Plugin):
        def before_training_batch(self, moment):
            if (moment.epoch, moment.batch_no) == (2, 2):
                raise TrainingInterrupt

    whole = first_part(tmp_path / "whole", max_epochs=3)
    found = first_part(tmp_path / "part", max_epochs=3, plugins=[Stop])
    assert found["stop_reason"] == "ended by a plugin"
    again = going_on(tmp_path / "part").train(tmp_path / "part")
    assert again["dev_loss_history"] == whole["dev_loss_history"]
    assert len(table(tmp_path / "part" / "loss.tsv")) == 3
    assert FEW["max_epochs"] == 2 and TEXTS

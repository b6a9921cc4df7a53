"Whole files under kills, threads and errors; seeds, devices, one log"

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import flairnb
from flairnb.foundation import (
    atomic_write,
    current_seed,
    default_device,
    logger,
    set_seed,
    sha256_of,
)

WRITER = """
import sys, time
from flairnb.foundation import atomic_write
for number in range(10**9):
    with atomic_write(sys.argv[1]) as file:
        for part in range(64):
            file.write(b"%08d" % number * 512)
            file.flush()
    if number == 3:
        print("ready", flush=True)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "model"
    command = [sys.executable, "-c", WRITER, str(path)]
    for delay in (0.0, 0.003, 0.011):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
        content = path.read_bytes()
        assert len(content) == 64 * 8 * 512
        assert content == content[:8] * (64 * 512)
    rest = [file.name for file in tmp_path.iterdir() if file != path]
    assert all(name.startswith(".model.tmp-") for name in rest)


def test_threads_that_write_one_path_do_not_mix(tmp_path):
    path, ready, errors = tmp_path / "file", threading.Barrier(8), []

    def write(letter):
        try:
            for _ in range(10):
                ready.wait(timeout=30)
                with atomic_write(path, "w") as file:
                    for _ in range(50):
                        file.write(letter * 400)
                        file.flush()
                content = path.read_text()
                assert len(content) == 20_000 and len(set(content)) == 1
        except BaseException as error:
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "deep" / "file"
    with atomic_write(path) as file:
        file.write(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old" and len(list(path.parent.iterdir())) == 1


def test_a_failing_rename_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="No space"), atomic_write(path) as file:
                file.write(b"new")
        assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_bytes_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: calls.append("fsync") or sync(handle)
    )
    monkeypatch.setattr(
        os, "replace", lambda *a: calls.append("replace") or replace(*a)
    )
    with atomic_write(tmp_path / "file") as file:
        file.write(b"x")
    assert calls == ["fsync", "replace", "fsync"]


def test_text_is_utf8_with_plain_line_ends(tmp_path):
    with atomic_write(tmp_path / "file", "w") as file:
        file.write("ä\n\u2028")
    assert (tmp_path / "file").read_bytes() == "ä\n\u2028".encode()


@pytest.mark.parametrize("mode", ["a", "ab", "r", "r+", "x", "wt"])
def test_a_file_is_written_anew_or_not_at_all(tmp_path, mode):
    with (
        pytest.raises(ValueError, match="mode is 'wb' or 'w'"),
        atomic_write(tmp_path / "f", mode),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_sums_of_large_and_missing_files(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "big").write_bytes(b"a" * (1 << 21))
    assert (
        sha256_of(tmp_path / "empty")
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert sha256_of(tmp_path / "big") != sha256_of(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "none")


def test_a_seed_starts_every_generator():
    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    before = current_seed()
    try:
        set_seed(2**32 - 1)
        first = draw()
        assert draw() != first
        set_seed(2**32 - 1)
        assert draw() == first
        for bad in (-1, 2**32):
            with pytest.raises(ValueError, match="from 0 to"):
                set_seed(bad)
        assert current_seed() == 2**32 - 1
    finally:
        set_seed(before)


def test_where_new_models_live(monkeypatch):
    monkeypatch.setenv("FLAIRNB_DEVICE", "meta")
    assert default_device() == flairnb.device == torch.device("meta")
    monkeypatch.setattr(flairnb, "device", "cpu", raising=False)
    assert default_device() == torch.device("cpu")
    monkeypatch.undo()
    monkeypatch.setenv("FLAIRNB_DEVICE", "toaster")
    with pytest.raises(RuntimeError, match="FLAIRNB_DEVICE='toaster' is no device"):
        default_device()


def test_the_log_goes_to_standard_error(capsys):
    logger.info("a word")
    assert capsys.readouterr() == ("", "a word\n")

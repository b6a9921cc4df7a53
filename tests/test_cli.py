"The command line, as programs of their own"

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flairnb import __version__
from flairnb.cli import build_parser, main, tag_lines

CODE = "import sys; from flairnb.cli import main; sys.exit(main())"


def flairnb(*arguments, folder, **settings):
    variables = os.environ | {
        "FLAIRNB_CACHE_ROOT": str(folder / "cache"),
        "FLAIRNB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    settings = {"capture_output": True, "encoding": "utf-8", **settings}
    return subprocess.run(command, cwd=folder, env=variables, timeout=300, **settings)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = flairnb("demo", "--epochs", 2, "--text", "She sings well .", folder=folder)
    return folder, done


def test_the_demo(demo):
    folder, done = demo
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Corpus: ") and "train" in lines[0]
    assert lines[1].startswith("Accuracy on test: 0.")
    assert lines[-1].startswith('Sentence[4]: "She sings well ."') and "/" in lines[-1]
    assert len(lines) == 5 and "EPOCH 2 done" in done.stderr
    names = {path.name for path in (folder / "flairnb-demo").iterdir()}
    assert names >= {"best-model.pt", "final-model.pt", "loss.tsv", "training.png"}


def test_tagging_a_file_and_standard_input(demo):
    folder, _ = demo
    model = "flairnb-demo/final-model.pt"
    (folder / "lines.txt").write_text("She sings .\n\n  \nÉmile läuft 😀\r\n")
    from_file = flairnb("tag", model, "lines.txt", folder=folder)
    text = (folder / "lines.txt").read_text()
    from_input = flairnb("tag", model, folder=folder, input=text)
    assert from_file.returncode == from_input.returncode == 0, from_file.stderr
    assert from_file.stdout == from_input.stdout
    lines = from_file.stdout.splitlines()
    assert len(lines) == 2 and "Émile läuft 😀" in lines[1]


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_nothing_to_tag(demo, text):
    done = flairnb("tag", "flairnb-demo/best-model.pt", folder=demo[0], input=text)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tag", "no.pt", "lines.txt"], ["no.pt"]),
        (["tag", "flairnb-demo", "lines.txt"], ["folder", "best-model.pt"]),
        (["tag", "flairnb-demo/loss.tsv", "lines.txt"], ["loss.tsv", "not a model"]),
        (["tag", "flairnb-demo/best-model.pt", "no.txt"], ["no.txt"]),
        (["tag", "flairnb-demo/best-model.pt", "bytes"], ["bytes", "UTF-8"]),
        (["demo", "--folder", "bytes"], ["bytes"]),
    ],
)
def test_faults_are_one_line_and_status_1(demo, arguments, parts):
    folder, _ = demo
    (folder / "lines.txt").write_text("She sings .\n")
    (folder / "bytes").write_bytes(b"\xff\xfe\xfa")
    done = flairnb(*arguments, folder=folder)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("flairnb: ") and "Traceback" not in done.stderr
    assert all(part in last for part in parts), last


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "required"),
        (["dance"], "invalid choice"),
        (["demo", "--epochs", "0"], "whole number above 0"),
        (["demo", "--epochs", "two"], "whole number above 0"),
        (["demo", "--epoch", "3", "--colour"], "unrecognized"),
        (["tag"], "model"),
    ],
)
def test_wrong_arguments_give_status_2(arguments, part, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and part in capsys.readouterr().err


def test_help_and_version(capsys):
    for arguments in (["--help"], ["demo", "--help"], ["tag", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    assert f"flairnb {__version__}" in capsys.readouterr().out


def test_the_defaults_of_the_demo():
    chosen = build_parser().parse_args(["demo"])
    assert (chosen.epochs, chosen.folder) == (15, "flairnb-demo") and chosen.text


def test_an_interrupt_gives_status_130(monkeypatch):
    def stop(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("flairnb.cli.run_tag", stop)
    assert main(["tag", "model.pt"]) == 130


def test_a_reader_that_closes_early(demo):
    folder, _ = demo
    (folder / "long.txt").write_text("She sings .\n" * 5000)
    reading, writing = os.pipe()
    os.close(reading)
    done = flairnb(
        *("tag", "flairnb-demo/best-model.pt", "long.txt"),
        folder=folder,
        capture_output=False,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert done.returncode == 1 and done.stderr == ""


def test_tag_lines_is_a_function_too(demo):
    lines = ["She sings .", " ", "Yes"]
    found = tag_lines(demo[0] / "flairnb-demo" / "final-model.pt", lines)
    assert [len(sentence) for sentence in found] == [3, 1]

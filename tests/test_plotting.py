"Training curves, from files of ours and of Flair's"

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flairnb.visual.training_curves import Plotter, plot_history, read_columns_of

HEADER = "EPOCH TIMESTAMP BAD_EPOCHS LEARNING_RATE TRAIN_LOSS DEV_LOSS DEV_F1".split()


def written(folder, *rows, header=HEADER):
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    path = Path(folder) / "loss.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def losses(tmp_path):
    one = (1, "12:00:00", 0, 0.1, 2.0, 1.5, 0.25)
    return written(tmp_path, one, (2, "12:00:09", 1, 5e-6, 1.0, "nan", "_"))


def test_columns_by_name(losses):
    columns = read_columns_of(losses)
    assert list(columns) == HEADER[2:]
    assert columns["LEARNING_RATE"] == [(1, 0.1), (2, 5e-6)]
    assert columns["DEV_F1"] == [(1, 0.25)]
    assert str(columns["DEV_LOSS"]) == "[(1, 1.5), (2, nan)]"


def test_axes_show_the_numbers(losses):
    loss, f1, rate = plot_history(losses, ["LOSS", "f1", "learning_rate"])
    assert [line.get_label() for line in loss.lines] == ["train", "dev"]
    assert [line.get_label() for line in f1.lines] == ["dev"]
    assert rate.lines[0].get_xdata().tolist() == [1, 2]
    assert loss.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert {one.get_xlabel() for one in (loss, f1, rate)} == {"epoch"}


def test_one_quantity_as_text(losses):
    (axes,) = plot_history(losses, "loss")
    assert axes.get_ylabel() == "loss (nats per token)"


def test_a_run_without_dev(tmp_path):
    path = written(tmp_path, (1, 2.0), header=["EPOCH", "TRAIN_LOSS"])
    assert len(plot_history(path)) == 1
    with pytest.raises(ValueError, match=r"none of \['F1'\]; it has \['TRAIN_LOSS'\]"):
        plot_history(path, ["F1"])


def test_a_file_that_flair_wrote(tmp_path):
    names = "EPOCH TIMESTAMP LEARNING_RATE TRAIN_LOSS DEV_LOSS DEV_F1 DEV_ACCURACY"
    row = ("1", "10:45:55", "0.1000", "2.5086", "2.1003", "0.3902", "0.3902")
    path = written(tmp_path, row, header=names.split())
    assert read_columns_of(path)["DEV_F1"] == [(1, 0.3902)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no finished epoch"),
        ("EPOCH\tTRAIN_LOSS\n", "no finished epoch"),
        ("a\tb\n1\t2\n", "no finished epoch"),
        ("EPOCH\tX\n1\t2\nEPOCH\tX\n", "row 2 below the header"),
    ],
)
def test_other_files(tmp_path, text, part):
    (tmp_path / "loss.tsv").write_text(text)
    with pytest.raises(ValueError, match=part) as caught:
        read_columns_of(tmp_path / "loss.tsv")
    assert str(tmp_path / "loss.tsv") in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"loss\.tsv"):
        Plotter().plot_training_curves(tmp_path / "loss.tsv")


def test_the_picture_stands_beside_the_file(losses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = Plotter().plot_training_curves(str(losses)).read_bytes()
    bare = Plotter().plot_training_curves("loss.tsv")  # as the tutorial does
    assert bare.resolve() == tmp_path / "training.png"
    assert bare.read_bytes() == first and first[1:4] == b"PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loss.tsv", "training.png"]


def test_no_window_is_ever_opened(losses):
    "Drawing does not even import pyplot, which keeps figures and chooses a screen"
    code = (
        "import sys; from flairnb.visual.training_curves import Plotter;"
        f"Plotter().plot_training_curves({str(losses)!r});"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

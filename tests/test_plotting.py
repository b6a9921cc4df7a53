"Pictures of runs and results, from files of ours and of Flair's"

from __future__ import annotations

import csv
import itertools
import logging
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from flairnb.data.corpus import Corpus
from flairnb.data.sentence import Sentence
from flairnb.evaluation import Calibration, Result, SetCounts, SpanCounts, TokenCounts
from flairnb.foundation import logger
from flairnb.visual.training_curves import (
    STYLES,
    Plotter,
    find_log,
    growing_parts,
    learning_curve,
    pairs_shown,
    plot_calibration,
    plot_classes,
    plot_confusion,
    plot_history,
    plot_learning_curve,
    plot_rates,
    plot_weights_of,
    read_columns_of,
    read_weights_of,
)

FLAIR = Path(__file__).parent / "data" / "flair_runs"
VERSIONS = sorted(folder.name for folder in FLAIR.iterdir())
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


@pytest.fixture
def messages():
    found, handler = [], logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def pixels(axes):
    "The picture as it is saved, (height, width, 3)"
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def lightness(colour):
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


# --- epochs ---


def test_columns_by_name(losses):
    columns = read_columns_of(losses)
    assert list(columns) == HEADER[2:]
    assert columns["LEARNING_RATE"] == [(1, 0.1), (2, 5e-6)]
    assert columns["DEV_F1"] == [(1, 0.25)]
    assert str(columns["DEV_LOSS"]) == "[(1, 1.5), (2, nan)]"


@pytest.mark.parametrize("version", VERSIONS)
def test_epochs_that_flair_wrote(version):
    "Against the standard library's reader, of the rows below the last header"
    text = (FLAIR / version / "loss.tsv").read_text()
    rows = list(
        csv.DictReader(text[text.rindex("EPOCH\t") :].splitlines(), dialect="excel-tab")
    )
    columns = read_columns_of(FLAIR / version / "loss.tsv")
    assert len(rows) == 2 and {"TRAIN_LOSS", "DEV_F1", "TEST_ACCURACY"} <= {*columns}
    for name, points in columns.items():
        assert points == [(int(row["EPOCH"]), float(row[name])) for row in rows], name


@pytest.mark.parametrize("version", VERSIONS)
def test_weights_that_flair_wrote(version):
    rows = [
        x.split() for x in (FLAIR / version / "weights.txt").read_text().splitlines()
    ]
    wanted = defaultdict(list)
    for step, name, place, value in rows:
        wanted[name, int(place)].append((int(step), float(value)))
    found = read_weights_of(FLAIR / version / "weights.txt")
    assert {(n, i): curve for n, c in found.items() for i, curve in c.items()} == wanted
    assert len(plot_weights_of(FLAIR / version / "weights.txt")) == len(found) > 1


def test_rates_that_flair_wrote():
    files = list(FLAIR.glob("*/learning_rate.tsv"))
    assert files
    for file in files:
        rows = list(csv.DictReader(file.open(), dialect="excel-tab"))
        line = plot_rates(file, 2, 1).lines[0]
        kept = [(float(r["LEARNING_RATE"]), float(r["TRAIN_LOSS"])) for r in rows][2:-1]
        assert line.get_xydata().tolist() == [list(x) for x in kept if x[0] > 0]


@pytest.mark.parametrize("joint", ["\n", ""])
def test_of_two_runs_the_last_counts(tmp_path, messages, joint):
    "Up to 0.12, Flair's second header stands in the last line of the first run"
    first, second = (
        "EPOCH\tDEV_F1\n1\t0.1\n2\t0.2",
        "EPOCH\tDEV_F1\tDEV_LOSS\n1\t0.5\t2.0",
    )
    path = tmp_path / "loss.tsv"
    path.write_text(first + joint + second)
    assert read_columns_of(path) == {"DEV_F1": [(1, 0.5)], "DEV_LOSS": [(1, 2.0)]}
    assert "holds 2 runs" in messages[0]
    path.write_text(first + joint + "EPOCH\tDEV_F1\n")  # killed in its first epoch
    assert read_columns_of(path) == {"DEV_F1": [(1, 0.1), (2, 0.2)]}


def test_a_cut_last_line_is_left_out(losses):
    whole = losses.read_text()
    assert whole.endswith("_\n")
    complete = read_columns_of(losses)["TRAIN_LOSS"]
    row = "3\t12:00:18\t0\t0.1\t0.5\t1.25\t0.75"
    for length in range(len(row) - 2):  # "0." and "0.7" remain
        losses.write_text(whole + row[:length])
        assert read_columns_of(losses)["TRAIN_LOSS"] == complete, row[:length]
    losses.write_text(whole + row)
    assert read_columns_of(losses)["DEV_F1"][-1] == (3, 0.75)


def test_of_an_epoch_that_came_twice_the_later_counts(tmp_path):
    path = written(
        tmp_path, (1, 9), (2, 8), (2, 5), (3, 4), header=["EPOCH", "DEV_LOSS"]
    )
    assert read_columns_of(path)["DEV_LOSS"] == [(1, 9.0), (2, 5.0), (3, 4.0)]


def test_rates_of_several_groups(tmp_path):
    row = (1, "0.1,0.02")
    (axes,) = plot_history(
        written(tmp_path, row, header=["EPOCH", "LEARNING_RATE"]), "learning_rate"
    )
    assert [line.get_label() for line in axes.lines] == [
        "learning rate",
        "learning rate 2",
    ]
    assert [float(line.get_ydata()[0]) for line in axes.lines] == [0.1, 0.02]


def test_axes_show_the_numbers(losses):
    loss, f1, rate = plot_history(losses, ["LOSS", "f1", "learning_rate"])
    assert [line.get_label() for line in loss.lines] == ["train", "dev"]
    assert [line.get_label() for line in f1.lines] == ["dev"]
    assert rate.lines[0].get_xdata().tolist() == [1, 2]
    assert loss.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert {one.get_xlabel() for one in (loss, f1, rate)} == {"epoch"}
    assert plot_history(losses, "loss")[0].get_ylabel() == "mean loss"


def test_a_quantity_that_is_missing(tmp_path, messages):
    path = written(tmp_path, (1, 2.0), header=["EPOCH", "TRAIN_LOSS"])
    assert len(plot_history(path)) == 1
    assert "has no F1: its columns are TRAIN_LOSS" in messages[0]
    with pytest.raises(ValueError, match="has no F1: its columns are TRAIN_LOSS"):
        plot_history(path, ["F1"])


# --- what an eye sees ---


@pytest.mark.parametrize("epochs", [1, 3, 300])
def test_a_curve_is_visible(tmp_path, epochs):
    "Even of one epoch, and of an epoch between two that have no number"
    rows = [
        (n + 1, 2.0, "0.5" if n == epochs // 3 + epochs // 100 else "nan")
        for n in range(epochs)
    ]
    header = ["EPOCH", "TRAIN_LOSS", "DEV_LOSS"]
    (axes,) = plot_history(written(tmp_path, *rows, header=header), "loss")
    axes.get_legend().remove()
    seen = pixels(axes).astype(int)
    for split in (0, 1):
        ink = np.array(to_rgb(STYLES[split]["color"])) * 255
        assert (np.abs(seen - ink).max(axis=-1) < 3).sum() > 8, split


def test_lines_are_told_apart_in_grey():
    for one, other in itertools.combinations(STYLES, 2):
        assert one["linestyle"] != other["linestyle"]
        assert one["marker"] != other["marker"]
        assert abs(lightness(one["color"]) - lightness(other["color"])) > 0.1


def test_a_split_looks_the_same_in_every_picture(tmp_path):
    header = [
        "EPOCH",
        "TEST_F1",
        "DEV_F1",
        "TRAIN_SAMPLE_F1",
        "TRAIN_F1",
        "TRAIN_PART_F1",
    ]
    (axes,) = plot_history(written(tmp_path, (1, 1, 2, 3, 4, 5), header=header), "f1")
    looks = {line.get_label(): line.get_marker() for line in axes.lines}
    assert [looks[x] for x in ("train", "dev", "test", "train sample")] == [
        "o",
        "s",
        "^",
        "D",
    ]
    assert "train part" in looks


def test_a_hundred_tensors(tmp_path):
    "As a transformer has them; a picture may have 65,535 pixels a side"
    path = tmp_path / "weights.txt"
    path.write_text(
        "".join(f"1\tencoder.layer.{n}.weight\t0\t0.5\n" for n in range(100))
    )
    axes = plot_weights_of(path)
    assert len(axes) == 100
    assert max(axes[0].figure.get_size_inches()) * 200 < 2**16


# --- files that are not there, or something else ---


@pytest.mark.parametrize(
    ("text", "call", "part"),
    [
        ("", "plot_training_curves", "is empty"),
        ("", "plot_weights", "write_weights=True"),
        ("\n \n", "plot_learning_rate", "find_learning_rate"),
        ("EPOCH\tTRAIN_LOSS\n", "plot_training_curves", "no finished epoch"),
        ("EPOCH\tX\n1", "plot_training_curves", "no finished epoch"),
        ("EPOCH\tX\nb\t1\n2\t1\n", "plot_training_curves", "row 1 below the header"),
        ("a\tb\n1\t2\n", "plot_training_curves", "begins with 'a"),
        (
            "EPOCH\tX\n1\t2\n",
            "plot_weights",
            r"Plotter\(\)\.plot_training_curves draws it",
        ),
        ("EPOCH\tX\n1\t2\n", "plot_learning_rate", r"\.plot_training_curves draws it"),
        ("1\tw\t0\t2.5\n", "plot_training_curves", r"\.plot_weights draws it"),
        (
            "ITERATION\tX\n1\t2\n",
            "plot_training_curves",
            r"\.plot_learning_rate draws it",
        ),
        ("1\tw\t0\t2.5\n1\tw\n1\tw\t1\t2\n", "plot_weights", "line 2"),
        ("1\tw\t0\t2.5", "plot_weights", "no whole line"),
    ],
)
def test_other_files(tmp_path, text, call, part):
    path = tmp_path / "loss.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=part) as caught:
        getattr(Plotter(), call)(path)
    assert str(path) in str(caught.value)
    assert [x.name for x in tmp_path.iterdir()] == ["loss.tsv"]


def test_a_picture_is_no_text(tmp_path):
    (tmp_path / "loss.tsv").write_bytes(b"\x89PNG\r\n\xff")
    with pytest.raises(ValueError, match="is no text"):
        Plotter().plot_training_curves(tmp_path / "loss.tsv")


def test_a_missing_file(losses, tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"no file .*x\.tsv; beside it: loss\.tsv"
    ):
        Plotter().plot_training_curves(tmp_path / "x.tsv")
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        Plotter().plot_training_curves(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="base path"):
        Plotter().plot_weights("weights.txt")


def test_a_bare_name_means_the_run_that_just_ended(tmp_path, monkeypatch, messages):
    "As Flair's tutorial has it, whose files stand in resources/taggers/<name>"
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["old", "new", "oldest"]):
        folder = tmp_path / "resources" / "taggers" / name
        folder.mkdir(parents=True)
        path = written(folder, (1, age), header=["EPOCH", "TRAIN_LOSS"])
        os.utime(path, (1000 + age % 2, 1000 + age % 2))
    (axes,) = Plotter().plot_training_curves("loss.tsv", ["loss"])
    assert axes.lines[0].get_ydata().tolist() == [1.0]
    assert (tmp_path / "resources/taggers/new/training.png").is_file()
    assert "resources/taggers/new/loss.tsv is drawn" in messages[0]
    with pytest.raises(FileNotFoundError):  # a path means itself
        find_log("taggers/loss.tsv")


def test_pictures_stand_beside_the_file(losses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plotter = Plotter()
    axes = plotter.plot_training_curves(str(losses))
    first = (tmp_path / "training.png").read_bytes()
    assert len(axes) == 2 and first[1:4] == b"PNG"
    plotter.plot_training_curves("loss.tsv")  # as the tutorial does
    assert (tmp_path / "training.png").read_bytes() == first
    Path("weights.txt").write_text("1\tw\t0\t0.5\n1\tw\t1\t0.1\n2\tw\t0\t0.7\n2\tw")
    (axes,) = plotter.plot_weights("weights.txt")
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.5, 0.7], [0.1]]
    rows = [(n, 10.0 ** (n - 9), 9 - n) for n in range(8)]
    header = ["ITERATION", "LEARNING_RATE", "TRAIN_LOSS"]
    written(tmp_path, *rows, header=header).rename("learning_rate.tsv")
    rates = plotter.plot_learning_rate("learning_rate.tsv", skip_first=2, skip_last=0)
    assert rates.lines[0].get_ydata().tolist() == [7, 6, 5, 4, 3, 2]
    with pytest.raises(ValueError, match=r"8 steps, .*skip_first=10"):
        plotter.plot_learning_rate("learning_rate.tsv")
    names = {x.name for x in tmp_path.glob("*.png")}
    assert names == {"training.png", "weights.png", "learning_rate.png"}


def test_no_window_is_ever_opened(losses):
    "Drawing does not even import pyplot, which keeps figures and chooses a screen"
    code = (
        "import sys; from flairnb.visual.training_curves import Plotter;"
        f"Plotter().plot_training_curves({str(losses)!r});"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- results ---


def test_rare_labels_are_put_together():
    "Against sums over the cells, one by one"
    counts = np.random.default_rng(1).integers(0, 9, (7, 7))
    names = [*"abcdef", "O"]
    shown, table = pairs_shown(names, counts, most=4)
    assert shown == ["a", "b", "4 others", "O"]
    place = dict(zip(names, [0, 1, 2, 2, 2, 2, 3], strict=True))
    wanted = np.zeros((4, 4), dtype=int)
    for (i, one), (j, other) in itertools.product(enumerate(names), repeat=2):
        wanted[place[one], place[other]] += counts[i, j]
    assert table.tolist() == wanted.tolist()
    assert pairs_shown(names, counts, most=7)[0] == names


def test_a_confusion_matrix_of_spans():
    counts = SpanCounts(["PER", "LOC"])
    gold = ([0, 0, 1], [0, 2, 0], [1, 3, 2], [0, 1, 0])
    counts.add(gold, ([0, 0, 1], [0, 2, 1], [1, 3, 2], [0, 0, 1]))
    axes = plot_confusion(counts.result())
    labels = [x.get_text() for x in axes.get_yticklabels()]
    assert labels == ["PER", "LOC", "O"]
    found = {tuple(map(int, x.get_position())): x.get_text() for x in axes.texts}
    # (column, row): PER found, LOC taken for PER, a PER missed, a LOC made up
    assert found == {(0, 0): "1", (0, 1): "1", (2, 0): "1", (1, 2): "1"}


def test_a_confusion_of_label_sets():
    counts = SetCounts(["S", "M"])
    counts.add([[1, 0], [1, 1], [0, 0]], [[1, 0], [1, 0], [1, 0]])
    axes = plot_confusion(counts.result())
    assert [x.get_text() for x in axes.get_xticklabels()] == [
        "found",
        "missed",
        "made up",
    ]
    found = {tuple(map(int, x.get_position())): x.get_text() for x in axes.texts}
    assert found == {(0, 0): "2", (2, 0): "1", (1, 1): "1"}


def test_bars_are_the_scores():
    counts = TokenCounts([f"c{n}" for n in range(50)])
    drawn = np.random.default_rng(1).integers(0, 50, (2, 900))
    counts.add(*drawn)
    result = counts.result()
    axes = plot_classes(result, most=10)
    names = [x.get_text() for x in axes.get_yticklabels()]
    report = result.classification_report
    assert len(names) == 12 and names[-2].startswith("micro avg")
    assert axes.get_xlabel() == "score, the 10 most frequent classes"
    assert plot_classes(result, most=50).get_xlabel() == "score"
    for name, bar in zip(names, axes.patches, strict=True):
        row = report[name.rsplit(" (")[0]]
        assert bar.get_width() == row["f1-score"]
        assert name.endswith(f"({row['support']})")


def test_nothing_to_draw():
    for result in (TokenCounts(["a"]).result(), Result(0.0, "")):
        with pytest.raises(ValueError, match="nothing to draw"):
            plot_confusion(result)
        with pytest.raises(ValueError, match="no answers"):
            plot_calibration(result)
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_classes(Result(0.0, ""))
    plot_classes(TokenCounts(["a"]).result())  # averages of nothing are zeros


def test_a_reliability_diagram():
    bins = Calibration.of([0.95, 0.9, 0.35, 0.3], [1, 0, 1, 0], bins=5)
    axes = plot_calibration(bins)
    assert np.allclose(axes.lines[1].get_xydata(), [[0.325, 0.5], [0.925, 0.5]])
    assert axes.get_title() == "calibration error 0.300"  # (0.175 + 0.425) / 2
    bars = axes.figure.axes[1].patches
    assert [bar.get_height() for bar in bars] == [0, 0.5, 0, 0, 0.5]


# --- learning curves ---


@pytest.fixture
def corpus():
    made = [Sentence(f"w{n} x") for n in range(20)]
    return Corpus(made, [Sentence("dev")], [Sentence("test")], "small")


def test_parts_of_a_corpus_lie_in_each_other(corpus):
    parts = list(growing_parts(corpus, [0.5, 0.01, 1.0], seed=3))
    rows = [part.train.rows.tolist() for part in parts]
    assert [len(x) for x in rows] == [1, 10, 20]
    assert {*rows[0]} < {*rows[1]} < {*rows[2]}
    assert all(x == sorted(x) for x in rows)
    assert [len(part.dev) for part in parts] == [1, 1, 1]
    again = next(growing_parts(corpus, [0.5], seed=3)).train.rows.tolist()
    other = next(growing_parts(corpus, [0.5], seed=4)).train.rows.tolist()
    assert again == rows[1] != other
    for shares in ([], [0], [1.5], [-0.1]):
        with pytest.raises(ValueError, match="shares"):
            list(growing_parts(corpus, shares, seed=1))


def test_a_learning_curve(corpus):
    def score_of(part):
        return len(part.train) / 20 + np.random.random() / 1000

    found = learning_curve(corpus, score_of, shares=(1.0, 0.25), seeds=(1, 2))
    assert list(found) == [5, 20] and [len(x) for x in found.values()] == [2, 2]
    assert learning_curve(corpus, score_of, (1.0, 0.25), (1, 2)) == found
    mean, single = plot_learning_curve(found, "accuracy").lines
    assert mean.get_ydata().tolist() == [np.mean(found[5]), np.mean(found[20])]
    assert single.get_xdata().tolist() == [5, 5, 20, 20]
    axes = plot_learning_curve({20: 0.9, 5: 0.5})
    assert axes.lines[0].get_xydata().tolist() == [[5, 0.5], [20, 0.9]]

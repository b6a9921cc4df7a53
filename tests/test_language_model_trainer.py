"Training language models: corpora of text, runs, and going on to the bit"

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from flairnb.data import Dictionary
from flairnb.foundation import set_seed
from flairnb.models import LanguageModel
from flairnb.saving import ModelFileError
from flairnb.trainers.checkpoints import read_checkpoint
from flairnb.trainers.language_model_trainer import (
    LanguageModelTrainer,
    TextCorpus,
    change_case,
    mean_loss_of,
    split_order,
    windows,
)

LETTERS = Dictionary.of("\n abcdefghijklmnopqrstuvwxyz", add_unk=True)
WORDS = "a cab ran by the old bay and met a dog who sat on it".split()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))


def text_of(seed, words=80):
    drawn = np.random.default_rng(seed).choice(WORDS, words)
    return "\n".join(" ".join(drawn[i : i + 8]) for i in range(0, words, 8)) + "\n"


def text_folder(folder, splits=3):
    (folder / "train").mkdir(parents=True)
    for number in range(splits):
        (folder / "train" / f"{number}.txt").write_text(text_of(number))
    (folder / "valid.txt").write_text(text_of(11))
    (folder / "test.txt").write_text(text_of(12))
    return folder


@pytest.fixture
def folder(tmp_path):
    return text_folder(tmp_path / "text")


def small(forward=True, seed=1, **chosen):
    set_seed(seed)
    sizes = {"hidden_size": 8, "nlayers": 1, "embedding_size": 4, **chosen}
    return LanguageModel(LETTERS, forward, **sizes)


OPTIONS = {"sequence_length": 10, "mini_batch_size": 4, "learning_rate": 1.0}


def train(folder, run, model=None, corpus=None, optimizer=torch.optim.SGD, **chosen):
    model = model or small()
    corpus = corpus or TextCorpus(folder, LETTERS, model.is_forward_lm)
    trainer = LanguageModelTrainer(model, corpus, optimizer)
    return model, trainer.train(run, **{**OPTIONS, "max_epochs": 2, **chosen})


def lines(run):
    "`loss.txt` without its column of time"
    text = (run / "loss.txt").read_text()
    return [re.sub(r"time: +[\d.]+s", "", line) for line in text.splitlines()]


def log_lines(run):
    "`training.log` without its times"
    text = (run / "training.log").read_text()
    return re.sub(r"(?m)^[\d-]+ [\d:,]+ |time: +[\d.]+s", "", text)


# --- text ---


@pytest.mark.parametrize("forward", [True, False])
def test_a_text_becomes_numbers_in_reading_order(folder, forward):
    corpus = TextCorpus(folder, LETTERS, forward, random_case_flip=False)
    for file in (*corpus.train_files, corpus.valid_file):
        wanted = LETTERS.get_idx_for_items(file.read_text())
        assert corpus.numbers(file).tolist() == wanted[:: 1 if forward else -1]


def test_characters_that_are_not_known_are_number_0(folder):
    (folder / "valid.txt").write_text("aÄ🙂\r\nb\u2028", newline="")
    corpus = TextCorpus(folder, LETTERS)
    found = corpus.numbers(corpus.valid_file).tolist()
    assert found == [3, 0, 0, 0, 1, 4, 0]


def test_words_are_numbered_where_characters_are_not_wanted(folder):
    words = Dictionary.of(["\n", *sorted(set(WORDS))], add_unk=True)
    (folder / "valid.txt").write_text("a cab  xyz\nby dog\n")
    corpus = TextCorpus(folder, words, character_level=False)
    wanted = words.get_idx_for_items(["a", "cab", "xyz", "\n", "by", "dog", "\n"])
    assert corpus.numbers(corpus.valid_file).tolist() == wanted


def test_a_model_of_words_learns(folder, tmp_path):
    words = Dictionary.of(["\n", *sorted(set(WORDS))], add_unk=True)
    corpus = TextCorpus(folder, words, character_level=False, random_case_flip=False)
    set_seed(1)
    model = LanguageModel(words, True, hidden_size=8, nlayers=1, embedding_size=4)
    _, scores = train(folder, tmp_path / "run", model, corpus, max_epochs=8)
    assert scores["test_perplexity"] < len(words)


def test_some_lines_of_train_change_their_case(folder):
    both = Dictionary.of(
        "\n abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", True
    )
    file = folder / "train" / "0.txt"
    file.write_text("Ab cd\n" * 10_000)
    (folder / "valid.txt").write_text("Ab cd\n" * 1000)
    corpus = TextCorpus(folder, both)
    numbers = corpus.numbers(file)
    read = "".join(both.get_item_for_index(n) for n in numbers.tolist()).splitlines()
    for changed in ("AB CD", "ab cd"):
        assert 60 < read.count(changed) < 140  # of 100
    assert read.count("Ab cd") + read.count("AB CD") + read.count("ab cd") == 10_000
    assert corpus.numbers(file).tolist() == numbers.tolist()  # always the same lines
    valid = corpus.numbers(corpus.valid_file)
    assert valid.tolist() == both.get_idx_for_items("Ab cd\n" * 1000)
    plain = TextCorpus(folder, both, random_case_flip=False).numbers(file)
    assert plain.tolist() == both.get_idx_for_items("Ab cd\n" * 10_000)


def test_the_case_of_a_line_hangs_on_the_draw_alone():
    found = [change_case("Ab", draw) for draw in (0, 0.0099, 0.0101, 0.0199, 0.02, 1)]
    assert found == ["AB", "AB", "ab", "ab", "Ab", "Ab"]


def test_text_that_is_not_utf8_is_an_error_that_says_where(folder):
    file = folder / "train" / "1.txt"
    file.write_bytes(b"a cab\n" * 10 + b"\xff\xfe")
    corpus = TextCorpus(folder, LETTERS)
    with pytest.raises(ValueError, match=r"1\.txt: not UTF-8 after about"):
        corpus.numbers(file)
    file.write_text("a cab")
    assert len(corpus.numbers(file)) == 5


def test_a_changed_file_is_read_again(folder):
    corpus = TextCorpus(folder, LETTERS)
    assert len(corpus.numbers(corpus.valid_file)) > 3
    corpus.valid_file.write_text("abc")
    assert corpus.numbers(corpus.valid_file).tolist() == [3, 4, 5]


def test_missing_files_are_named(folder):
    (folder / "valid.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks valid\.txt"):
        TextCorpus(folder, LETTERS)
    for file in (folder / "train").iterdir():
        file.unlink()
    (folder / "valid.txt").write_text("abc")
    with pytest.raises(FileNotFoundError, match="lacks files in train"):
        TextCorpus(folder, LETTERS)


def test_one_file_of_train_is_enough(folder):
    text = "".join(file.read_text() for file in sorted((folder / "train").iterdir()))
    for file in (folder / "train").iterdir():
        file.unlink()
    (folder / "train").rmdir()
    (folder / "train.txt").write_text(text)
    assert [f.name for f in TextCorpus(folder, LETTERS).train_files] == ["train.txt"]


def test_an_empty_split_is_passed_over(folder, tmp_path):
    (folder / "train" / "1.txt").write_text("")
    (folder / "train" / "2.txt").write_text("a")
    _, scores = train(folder, tmp_path / "run", max_epochs=1)
    assert math.isfinite(scores["test_loss"])


@pytest.mark.parametrize("name", ["valid.txt", "test.txt"])
def test_a_split_that_is_too_short_to_measure_is_an_error(folder, tmp_path, name):
    (folder / name).write_text("a")
    with pytest.raises(ValueError, match=rf"{name} is too short to measure: 1 char"):
        train(folder, tmp_path / "run", max_epochs=1)


LIMITED = """
import resource, sys
from flairnb.data import Dictionary
from flairnb.trainers.language_model_trainer import TextCorpus
def held():
    with open("/proc/self/status") as file:
        return next(int(x.split()[1]) for x in file if x.startswith("VmData")) * 1024
letters = Dictionary.of("abc \\n", add_unk=True)
corpus = TextCorpus(sys.argv[1], letters, random_case_flip=False)
corpus.numbers(corpus.valid_file)  # what is loaded late is loaded
more = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (held() + more,) * 2)
numbers = corpus.numbers(corpus.train_files[0])
assert (numbers[-241:] == numbers[:241]).all()
print(len(numbers))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")
def test_memory_is_flat_while_a_file_is_read(tmp_path):
    "A process that may take 32 MB more reads a file of 64 MB"
    folder, room = text_folder(tmp_path / "text", 1), 32 << 20
    with open(folder / "train" / "0.txt", "w") as file:
        for _ in range(64):
            file.write(("ab c" * 60 + "\n") * 4400)
    size = (folder / "train" / "0.txt").stat().st_size
    assert size > 2 * room
    command = [sys.executable, "-c", LIMITED, str(folder), str(room)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == size


# --- measuring ---


def test_windows_walk_along_the_whole_text():
    numbers = np.arange(47, dtype=np.uint16)
    read, following = zip(*windows(numbers, 3, 4), strict=True)
    read, following = torch.cat(read, 1), torch.cat(following, 1)
    assert read.flatten().tolist() == list(range(45))
    assert torch.equal(following, read + 1)


@pytest.mark.parametrize("strips, length", [(1, 7), (4, 10), (5, 1000)])
def test_the_loss_of_a_text_is_torchs(strips, length):
    model = small().eval()
    numbers = np.array(LETTERS.get_idx_for_items(text_of(3)), dtype=np.uint16)
    strip = (len(numbers) - 1) // strips
    rows = torch.from_numpy(numbers.astype(np.int64))
    losses = []
    with torch.no_grad():
        for start in range(0, strip * strips, strip):
            known, _ = model.rnn(model.encoder(rows[None, start : start + strip]))
            scores = model.decoder(known)[0]
            losses.append(
                nn.functional.cross_entropy(scores, rows[start + 1 : start + strip + 1])
            )
    wanted = float(torch.stack(losses).mean())
    assert mean_loss_of(model, numbers, strips, length) == pytest.approx(
        wanted, rel=1e-5
    )


def test_the_perplexity_of_a_run_is_that_of_its_loss(folder, tmp_path):
    _, scores = train(folder, tmp_path / "run")
    assert scores["test_perplexity"] == pytest.approx(math.exp(scores["test_loss"]))
    kept = LanguageModel.load_language_model(tmp_path / "run" / "best-lm.pt")
    corpus = TextCorpus(folder, LETTERS)
    loss = mean_loss_of(kept, corpus.numbers(corpus.test_file), 4, 10)
    assert loss == pytest.approx(scores["test_loss"], rel=1e-6)
    loss = mean_loss_of(kept, corpus.numbers(corpus.valid_file), 4, 10)
    assert loss == pytest.approx(scores["best_valid_loss"], rel=1e-6)


# --- runs ---

LINE = re.compile(
    r"\| end of split +(\d+) / +(\d+) \| epoch +(\d+) \| time: +[\d.]+s "
    r"\| valid loss ([\d.]+) \| valid ppl ([\d.]+) \| learning rate ([\d.]+)"
)


def test_loss_txt_has_a_line_for_each_split(folder, tmp_path):
    run = tmp_path / "run"
    _, scores = train(folder, run)
    *rows, last = (run / "loss.txt").read_text().splitlines()
    found = [LINE.fullmatch(row).groups() for row in rows]
    wanted = [(str(split), "3", str(epoch)) for epoch in (1, 2) for split in (1, 2, 3)]
    assert [row[:3] for row in found] == wanted
    for row in found:
        assert float(row[4]) == pytest.approx(math.exp(float(row[3])), rel=1e-3)
    loss = scores["test_loss"]
    assert last == f"TEST: valid loss {loss:.4f} | valid ppl {math.exp(loss):.4f}"
    assert scores["best_valid_loss"] == pytest.approx(
        min(float(row[3]) for row in found), abs=1e-4
    )


def test_a_sample_is_written_after_each_split(folder, tmp_path):
    train(folder, tmp_path / "run")
    log = (tmp_path / "run" / "training.log").read_text()
    assert log.count("sample: ") == 6
    assert len(max(log.split("sample: ")[1:], key=len)) > 250


@pytest.mark.parametrize("forward", [True, False])
def test_training_teaches_something(folder, tmp_path, forward):
    before = mean_loss_of(small(forward), TextCorpus(folder, LETTERS, forward).numbers(
        folder / "test.txt"), 4, 10)  # fmt: skip
    _, scores = train(
        folder,
        tmp_path / "run",
        small(forward),
        optimizer=torch.optim.Adam,
        learning_rate=0.02,
        max_epochs=6,
    )
    assert scores["test_loss"] < before - 0.5


@pytest.mark.parametrize(
    "optimizer, chosen",
    [
        (torch.optim.SGD, {"momentum": 0.9}), (torch.optim.Adam, {"betas": (0.8, 0.9)}),
        (torch.optim.AdamW, {"weight_decay": 0.1}), (torch.optim.RMSprop, {}),
        (torch.optim.Adagrad, {}), (torch.optim.NAdam, {}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)  # fmt: skip
def test_any_optimizer_of_torch_trains(folder, tmp_path, optimizer, chosen):
    rate = {"learning_rate": 0.01, "max_epochs": 1}
    first, _ = train(folder, tmp_path / "a", optimizer=optimizer, **rate, **chosen)
    late, plain = small(), small()
    trainer = LanguageModelTrainer(late, TextCorpus(folder, LETTERS))
    given = {**OPTIONS, **rate, "optimizer": optimizer, **chosen}
    trainer.train(tmp_path / "b", **given)
    train(folder, tmp_path / "c", plain, **rate)
    weights = [model.decoder.weight for model in (first, late, plain)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(*weights[1:])


def test_an_unknown_argument_is_named(folder, tmp_path):
    with pytest.raises(TypeError, match="momentun"):
        train(folder, tmp_path / "run", momentun=0.9)
    for name in ("sequence_length", "mini_batch_size", "max_epochs"):
        with pytest.raises(ValueError, match=f"{name} is at least 1, not 0"):
            train(folder, tmp_path / "run", **{name: 0})


def rates(run):
    return [float(LINE.fullmatch(row)[6]) for row in
            (run / "loss.txt").read_text().splitlines()[:-1]]  # fmt: skip


def test_the_rate_falls_when_patience_is_over(folder, tmp_path, monkeypatch):
    from flairnb.trainers import language_model_trainer as page

    losses = iter([3.0, 2.0, 2.5, 2.5, 2.5, 1.9, 2.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(page, "mean_loss_of", lambda *_: next(losses))
    train(folder, tmp_path / "run", max_epochs=3, patience=1, anneal_factor=0.5)
    assert rates(tmp_path / "run") == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_training_ends_when_the_rate_is_too_small(folder, tmp_path, monkeypatch):
    from flairnb.trainers import language_model_trainer as page

    monkeypatch.setattr(page, "mean_loss_of", lambda *_: 2.0)
    chosen = {"patience": 0, "anneal_factor": 0.1, "min_learning_rate": 0.05}
    train(folder, tmp_path / "run", max_epochs=9, **chosen)
    assert rates(tmp_path / "run") == [1, 1, 0.1]


def test_windows_grow_by_one_a_split(folder, tmp_path, monkeypatch):
    from flairnb.trainers import language_model_trainer as page

    lengths, walk = [], page.train_split

    def watched(model, optimizer, numbers, settings, length):
        lengths.append(length)
        return walk(model, optimizer, numbers, settings, length)

    monkeypatch.setattr(page, "train_split", watched)
    train(folder, tmp_path / "run", grow_to_sequence_length=13)
    assert lengths == [11, 12, 13, 13, 13, 13]  # as in Flair


def test_the_order_of_splits_is_drawn_from_the_second_epoch_on():
    assert split_order(9, 1, 1) == list(range(9))
    second = split_order(9, 1, 2)
    assert second != list(range(9)) and sorted(second) == list(range(9))
    assert split_order(9, 1, 2) == second != split_order(9, 2, 2)


def test_directions_and_dictionaries_have_to_agree(folder):
    with pytest.raises(ValueError, match="model reads backward, the corpus forward"):
        LanguageModelTrainer(small(False), TextCorpus(folder, LETTERS))
    with pytest.raises(ValueError, match="different dictionaries"):
        LanguageModelTrainer(small(), TextCorpus(folder, Dictionary.of("ab")))


# --- going on ---

GO_ON = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from test_language_model_trainer import go_on
for number in range(int(sys.argv[4])):
    go_on(sys.argv[2], f"{sys.argv[3]}/{number}", sys.argv[5])
"""
RESUMED = {"learning_rate": 0.02, "max_epochs": 3, "checkpoint": True}
RESUMED |= {"patience": 0, "anneal_factor": 0.5}


def go_on(folder, run, optimizer):
    made_by = getattr(torch.optim, optimizer)
    corpus = TextCorpus(folder, LETTERS)
    trainer = LanguageModelTrainer.load_checkpoint(
        f"{run}/checkpoint.pt", corpus, made_by
    )
    trainer.train(run, **{**OPTIONS, **RESUMED})


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_run_goes_on_to_the_bit_after_any_split(
    folder, tmp_path, optimizer, monkeypatch
):
    "In a new process: every tensor, the optimizer, and all lines are the same"
    from flairnb.trainers import language_model_trainer as page

    runs, write = tmp_path / "runs", page.write_checkpoint
    runs.mkdir()

    def copied(
        path, state, trainer
    ):  # and what has been written so far, as a dead run leaves it
        write(path, state, trainer)
        kept = runs / str(len(list(runs.iterdir())))
        kept.mkdir()
        for file in path.parent.iterdir():
            (kept / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(page, "write_checkpoint", copied)
    made_by, whole = getattr(torch.optim, optimizer), tmp_path / "whole"
    train(folder, whole, small(dropout=0.3), optimizer=made_by, **RESUMED)
    count = len(list(runs.iterdir()))
    assert count == 9
    here = str(Path(__file__).parent)
    command = [
        sys.executable,
        "-c",
        GO_ON,
        here,
        str(folder),
        str(runs),
        "9",
        optimizer,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted, best = end(whole)
    for number in range(count):
        found, kept = end(runs / str(number))
        assert same(found, wanted), f"after split {number + 1}"
        assert kept == best
        assert lines(runs / str(number)) == lines(whole)
        assert log_lines(runs / str(number)) == log_lines(whole)


def end(run):
    "The last checkpoint, and the weights of the best model"
    state = read_checkpoint(run / "checkpoint.pt")
    state["progress"]["lines"] = lines(run)
    state.pop("log")  # length of a file that holds times
    model = LanguageModel.load_language_model(run / "best-lm.pt")
    return state, {name: x.tolist() for name, x in model.state_dict().items()}


def same(found, wanted):
    "Whether two states are the same to the bit"
    if isinstance(wanted, torch.Tensor):
        return torch.equal(found, wanted) and found.dtype == wanted.dtype
    if isinstance(wanted, np.ndarray):
        return np.array_equal(found, wanted)
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(
            same(found[k], wanted[k]) for k in wanted
        )
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted


def test_a_difference_between_states_is_seen():
    state = {"a": [torch.zeros(2), {"b": (1, np.zeros(2))}]}
    assert same(state, {"a": [torch.zeros(2), {"b": (1, np.zeros(2))}]})
    assert not same(state, {"a": [torch.zeros(2) + 1e-30, {"b": (1, np.zeros(2))}]})
    assert not same(state, {"a": [torch.zeros(2), {"b": (1, np.ones(2))}]})
    assert not same(state, {"a": [torch.zeros(2)]})


def test_a_checkpoint_of_another_text_is_refused(folder, tmp_path):
    train(folder, tmp_path / "run", checkpoint=True, max_epochs=1)
    kept = tmp_path / "run" / "checkpoint.pt"
    for changed in (
        TextCorpus(folder, LETTERS, random_case_flip=False),
        TextCorpus(folder, LETTERS, is_forward_lm=False),
        TextCorpus(text_folder(tmp_path / "other", 2), LETTERS),
    ):
        with pytest.raises(ValueError, match="made with another text"):
            LanguageModelTrainer.load_checkpoint(kept, changed)
    (folder / "train" / "0.txt").write_text(text_of(99))
    with pytest.raises(ValueError, match="made with another text"):
        LanguageModelTrainer.load_checkpoint(kept, TextCorpus(folder, LETTERS))


def test_a_damaged_checkpoint_is_an_error(folder, tmp_path):
    train(folder, tmp_path / "run", checkpoint=True, max_epochs=1)
    corpus, kept = TextCorpus(folder, LETTERS), tmp_path / "run" / "checkpoint.pt"
    whole = kept.read_bytes()
    flipped = whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
    for data in (whole[:-1], whole[: len(whole) // 2], flipped, b"", b"x" * 99):
        kept.write_bytes(data)
        with pytest.raises(ModelFileError):
            LanguageModelTrainer.load_checkpoint(kept, corpus)
    kept.write_bytes((tmp_path / "run" / "best-lm.pt").read_bytes())
    with pytest.raises(ModelFileError, match="not a checkpoint"):
        LanguageModelTrainer.load_checkpoint(kept, corpus)


def test_another_optimizer_cannot_go_on(folder, tmp_path):
    train(folder, tmp_path / "run", checkpoint=True, max_epochs=1)
    corpus, kept = TextCorpus(folder, LETTERS), tmp_path / "run" / "checkpoint.pt"
    trainer = LanguageModelTrainer.load_checkpoint(kept, corpus, torch.optim.Adam)
    with pytest.raises(ValueError, match="made with SGD, not Adam"):
        trainer.train(tmp_path / "run", **OPTIONS, max_epochs=2)


def test_a_run_starts_from_scratch_beside_an_old_one(folder, tmp_path):
    train(folder, tmp_path / "run")
    first = lines(tmp_path / "run")
    train(folder, tmp_path / "run")
    assert lines(tmp_path / "run") == first


def test_a_loss_that_is_no_number_stops_the_run(folder, tmp_path):
    model = small()
    with torch.no_grad():
        model.decoder.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        train(folder, tmp_path / "run", model)

"""What both sides share: a clock for training epochs, resident memory, a report."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

EPOCHS = 2  # the first fills caches, the other is timed
TRAININGS = {  # what it is called: hidden size, whether with `use_amp`
    "train_256": (256, False),
    "train_512": (512, False),
    "train_256_amp": (256, True),
}
PRECISIONS = ("float32", "bfloat16", "int8")  # of flairnb's language models
HEAD = {"use_rnn": False, "use_crf": False, "reproject_embeddings": False}
FINE_TUNING = {"learning_rate": 5e-5, "mini_batch_size": 16}
TAG, QUESTIONS = "upos", "question_class"
COLUMNS: dict[str, dict[str, str]] = {  # Files of corpora in columns
    "wnut_17": {
        "train_file": "wnut17train.conll",
        "dev_file": "emerging.dev.conll",
        "test_file": "emerging.test.annotated",
        "column_delimiter": "\t",
    },
    "wikigold": {"train_file": "wikigold.conll.txt", "column_delimiter": " "},
}
UNDRAWN: dict[str, Any] = {"sample_missing_splits": False}


def finish() -> None:
    "Wait for what an accelerator still has to do"
    import torch

    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


class Clock:
    """Goes before a model's class; times epochs and counts their tokens.

    Both trainers call `train()` when the batches of an epoch begin and `eval()` when
    they end, so evaluation, model files and what precedes an epoch are left out.
    """

    points = 0
    began = 0.0

    def train(self, mode: bool = True) -> Any:
        finish()
        now = time.perf_counter()
        if not mode and self.points:
            self.epochs = [
                *getattr(self, "epochs", []),
                (self.points, now - self.began),
            ]
        self.points, self.began = 0, now
        return super().train(mode)  # type: ignore[misc]

    def forward_loss(self, batch: Any) -> Any:
        loss, points = super().forward_loss(batch)  # type: ignore[misc]
        self.points += points if self.training else 0  # type: ignore[attr-defined]
        return loss, points


def epoch_speeds(model: Any) -> dict[str, float]:
    "Tokens per second: in the first epoch, and in all later ones together"
    if len(model.epochs) != EPOCHS:
        raise RuntimeError(f"{len(model.epochs)} epochs were timed, not {EPOCHS}")
    first, *later = model.epochs
    tokens, seconds = (sum(column) for column in zip(*later, strict=True))
    return {"first_epoch": first[0] / first[1], "later_epochs": tokens / seconds}


def train_speeds(
    train: Any,  # `train` or `fine_tune` of a trainer
    model: Any,  # What it trains, with a clock
    **given: Any,  # Other settings than the usual ones
) -> dict[str, float]:
    "Train for as many epochs as are timed; tokens per second"
    usual = {"learning_rate": 0.1, "mini_batch_size": 32, "max_epochs": EPOCHS}
    with tempfile.TemporaryDirectory() as folder:
        train(folder, save_final_model=False, **(usual | given))
    return epoch_speeds(model)


def resident() -> int:
    "Bytes of this process in memory, after a collection"
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory(work: Callable[[], Any]) -> int:
    "The most bytes of this process in memory while it works; Linux only"
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    work()
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(found.split()[1])


def embed_speed(
    embed: Any, build: Any, words: list[list[str]], size: int = 32
) -> float:
    "Tokens per second of vectors for new sentences, batch by batch"
    embed(build(words[:size]))
    sentences = build(words)
    gc.collect()
    start = time.perf_counter()
    for place in range(0, len(sentences), size):
        embed(sentences[place : place + size])
    finish()
    return sum(map(len, words)) / (time.perf_counter() - start)


def predict_speeds(
    predict: Any, build: Any, words: list[list[str]]
) -> dict[str, float]:
    "Tokens per second at two batch sizes, and how the time grows with the text"
    tokens, found, seconds = sum(map(len, words)), {}, {}
    predict(build(words[:64]), 32)
    for size, times in ((32, 1), (256, 1), (32, 4)):
        gc.collect()
        start = time.perf_counter()
        sentences = build(words * times)
        made = time.perf_counter()
        predict(sentences, size)
        finish()
        seconds[size, times] = time.perf_counter() - made
        if times == 1:
            found[f"predict_{size}"] = tokens / seconds[size, times]
            found[f"build_and_predict_{size}"] = tokens / (time.perf_counter() - start)
    return found | {"growth": seconds[32, 4] / seconds[32, 1]}


def sizes(trained: Iterable[int], predicted: Iterable[int]) -> str:
    "Sentences and tokens that are trained on and predicted, from their lengths"
    train, test = [int(n) for n in trained], [int(n) for n in predicted]
    first = f"{len(train)} sentences of {sum(train)} tokens to train on"
    return f"{first}, {len(test)} sentences of {sum(test)} tokens to predict"


def versions(own: str) -> str:
    "What a side consists of"
    others = (f"{name} {version(name)}" for name in ("torch", "transformers"))
    return ", ".join([own, *others])


def train_report(
    trainer: Any, model: Any, lengths: Iterable[int], words: list[list[str]]
) -> dict[str, Any]:
    "Train; the sentences and the speeds"
    text = sizes(lengths, map(len, words))
    return {"sizes": text, "train": train_speeds(trainer.train, model)}


def fine_tune_report(
    trainer: Any, model: Any, build: Any, lengths: Iterable[int], words: list[list[str]]
) -> dict[str, Any]:
    "Fine-tune, then predict; the sentences and the speeds"
    trained = train_speeds(trainer.fine_tune, model, **FINE_TUNING)
    found = predict_speeds(model.predict, build, words)
    return found | {"sizes": sizes(lengths, map(len, words)), "train": trained}


def read_corpus(given: dict[str, Any], texts: Any, columns: Any, **more: Any) -> Any:
    "The corpus that is asked for, read by a side's classes for texts and for columns"
    if given["which"] == "trec_6":
        return texts(given["questions"], label_type=QUESTIONS, **more, **UNDRAWN)
    folder, told = f"{given['corpora']}/{given['which']}", COLUMNS[given["which"]]
    return columns(folder, {0: "text", 1: "ner"}, **told, **UNDRAWN)


def settings() -> tuple[str, dict[str, Any]]:
    "The role and the settings that the command line gives"
    return sys.argv[1], json.loads(sys.argv[2])


def report(found: dict[str, Any]) -> None:
    "Print what was found as the last line, where the other process looks for it"
    print("\n" + json.dumps(found), flush=True)

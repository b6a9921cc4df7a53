"""How near a training step of flairnb comes to what torch's own network costs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import SGD

from flairnb.batches import epoch_order, iterate
from flairnb.data import SentenceDataset
from flairnb.models import SequenceTagger
from flairnb.trainers.trainer import train_step

SIZE, DIMENSIONS = 32, 100
EVERY = 6  # every sixth sentence is enough, for both sides have the same batches


def batches(train: SentenceDataset) -> list[np.ndarray]:
    "The batches of the trainer's first epoch"
    return epoch_order(train.lengths, SIZE, seed=1, epoch=1)


class Steps:
    "Training steps of the tagger, as the trainer makes them"

    def __init__(self, tagger: SequenceTagger, train: SentenceDataset) -> None:
        self.tagger, self.train, self.order = tagger.train(), train, batches(train)
        self.optimizer = SGD(tagger.parameters(), lr=0.1)
        tagger.prepare([train.table])

    def epoch(self) -> None:
        for batch in iterate(self.train, self.order):
            train_step(self.tagger, self.optimizer, batch)


class Network:
    "Forward and backward of torch's bidirectional LSTM, on padded batches"

    def __init__(self, train: SentenceDataset, hidden: int, batch_first: bool) -> None:
        self.network = nn.LSTM(
            DIMENSIONS, hidden, batch_first=batch_first, bidirectional=True
        )
        self.inputs = []
        for places in batches(train):
            shape = (len(places), int(train.lengths[places].max()))
            shape = shape if batch_first else shape[::-1]
            self.inputs.append(torch.randn(*shape, DIMENSIONS, requires_grad=True))

    def epoch(self) -> None:
        for rows in self.inputs:
            states, _ = self.network(rows)
            states.sum().backward()
            rows.grad = None
            self.network.zero_grad(set_to_none=True)


class Stopwatch:
    "Notes when the CRF begins and ends, on the way there and on the way back"

    def __init__(self, crf: nn.Module) -> None:
        self.seconds, self.began = 0.0, 0.0
        crf.register_forward_pre_hook(self.begin)
        crf.register_forward_hook(self.end)

    def begin(self, crf: nn.Module, given: tuple[Any, ...]) -> None:
        given[0].register_hook(self.stop)  # its gradient is the last that the CRF makes
        self.start()

    def end(self, crf: nn.Module, given: tuple[Any, ...], loss: torch.Tensor) -> None:
        self.stop()
        loss.register_hook(self.start)  # the way back begins with the loss

    def start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def stop(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self.began


def seconds_of(work: Any) -> float:
    start = time.perf_counter()
    work.epoch()
    return time.perf_counter() - start


def against_network(
    tagger: SequenceTagger, train: SentenceDataset, hidden: int, repeats: int = 3
) -> dict[str, float]:
    "Tokens per second of tagger and network, in turns; the median of `repeats`"
    works = {
        "tagger": Steps(tagger, train),
        "batch_first": Network(train, hidden, batch_first=True),
        "time_major": Network(train, hidden, batch_first=False),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(1 + repeats):  # the first is a warm-up
        for name, work in works.items():
            taken[name].append(seconds_of(work))
    tokens = int(train.lengths.sum())
    found = {k: tokens / float(np.median(v[1:])) for k, v in taken.items()}
    found["share"] = found["tagger"] / max(found["batch_first"], found["time_major"])
    return found


def crf_share(tagger: SequenceTagger, train: SentenceDataset) -> float:
    "Part of the time of training steps that passes in the CRF, both ways"
    steps = Steps(tagger, train)
    steps.epoch()
    assert tagger.crf is not None
    watch = Stopwatch(tagger.crf)
    whole = seconds_of(steps)
    return watch.seconds / whole

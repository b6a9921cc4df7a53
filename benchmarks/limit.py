"""How near flairnb comes to what bare networks cost, and what its parts take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from measure import finish
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from flairnb.batches import Batch, epoch_order, iterate
from flairnb.data import Corpus, Dictionary, Sentence, SentenceDataset
from flairnb.embeddings import CharacterEmbeddings, FlairEmbeddings, StackedEmbeddings
from flairnb.embeddings.base import store_vectors
from flairnb.models import SequenceTagger
from flairnb.models.language_model import LanguageModel
from flairnb.trainers import ModelTrainer, trainer
from flairnb.trainers.checkpoints import FixedPart
from flairnb.trainers.history import Plugin
from flairnb.trainers.steps import train_step

SIZE, DIMENSIONS = 32, 100
PLAIN = partial(SGD, lr=0.1)
EVERY = 6  # every sixth sentence is enough, for both sides have the same batches


def batches(train: SentenceDataset, size: int = SIZE) -> list[np.ndarray]:
    "The batches of the trainer's first epoch"
    return epoch_order(train.lengths, size, seed=1, epoch=1)


class Steps:
    "Training steps of the tagger, as the trainer makes them"

    def __init__(
        self,
        tagger: SequenceTagger,
        train: SentenceDataset,
        size: int = SIZE,
        optimizer: Callable[..., Optimizer] = PLAIN,
    ) -> None:
        self.tagger, self.train, self.order = tagger, train, batches(train, size)
        self.optimizer = optimizer(tagger.parameters())
        tagger.prepare([train.table])

    def epoch(self) -> None:
        self.tagger.train()
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
    "Notes when a module begins and ends, on the way there and on the way back"

    def __init__(
        self,
        module: nn.Module,
        last: nn.Parameter | None = None,  # Its gradient ends the way back, if given
    ) -> None:
        self.seconds, self.began, self.last = 0.0, 0.0, last
        module.register_forward_pre_hook(self.begin)
        module.register_forward_hook(self.end)
        if last is not None:
            last.register_post_accumulate_grad_hook(self.stop)

    def begin(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        if self.last is None:
            given[0].register_hook(self.stop)  # its gradient is the last that is made
        self.start()

    def end(self, module: nn.Module, given: tuple[Any, ...], out: torch.Tensor) -> None:
        self.stop()
        out.register_hook(self.start)  # the way back begins with what came out

    def start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def stop(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self.began


def seconds_of(work: Any) -> float:
    start = time.perf_counter()
    work.epoch()
    finish()
    return time.perf_counter() - start


def in_turns(works: dict[str, Any], repeats: int = 3) -> dict[str, float]:
    "Seconds that an epoch of each work takes, the median of `repeats`"
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(1 + repeats):  # the first is a warm-up
        for name, work in works.items():
            taken[name].append(seconds_of(work))
    return {name: float(np.median(seconds[1:])) for name, seconds in taken.items()}


def against_network(
    tagger: SequenceTagger, train: SentenceDataset, hidden: int
) -> dict[str, float]:
    "Tokens per second of tagger and network, in turns"
    works = {
        "tagger": Steps(tagger, train),
        "batch_first": Network(train, hidden, batch_first=True),
        "time_major": Network(train, hidden, batch_first=False),
    }
    tokens = int(train.lengths.sum())
    found = {name: tokens / seconds for name, seconds in in_turns(works).items()}
    found["share"] = found["tagger"] / max(found["batch_first"], found["time_major"])
    return found


def share_of(watch: Stopwatch, steps: Steps) -> float:
    "Part of the time of training steps that a watch was on"
    steps.epoch()
    watch.seconds = 0.0
    whole = seconds_of(steps)
    return watch.seconds / whole


def crf_share(tagger: SequenceTagger, train: SentenceDataset) -> float:
    "Part of the time of training steps that passes in the CRF, both ways"
    assert tagger.crf is not None
    return share_of(Stopwatch(tagger.crf), Steps(tagger, train))


def character_share(
    tagger: SequenceTagger, characters: CharacterEmbeddings, train: SentenceDataset
) -> float:
    "Part of the time of training steps that passes in the characters, both ways"
    watch = Stopwatch(characters, characters.char_embedding.weight)
    return share_of(watch, Steps(tagger, train))


class Prediction:
    "Predictions by the tagger, of new sentences each time"

    def __init__(
        self, tagger: SequenceTagger, build: Callable[[], list[Sentence]], times: int
    ) -> None:
        self.tagger, self.waiting = tagger, [build() for _ in range(times)]

    def epoch(self) -> None:
        self.tagger.predict(self.waiting.pop(), SIZE)


class Transformer:
    "A transformer without anything around it, on given sub-tokens"

    def __init__(
        self, folder: str, seen: list[dict[str, Any]], train: bool, device: torch.device
    ) -> None:
        from transformers import AutoModel

        self.network = AutoModel.from_pretrained(folder).to(device).train(train)
        self.seen, self.train = seen, train
        self.optimizer = AdamW(self.network.parameters(), lr=5e-5)

    def epoch(self) -> None:
        with torch.set_grad_enabled(self.train):
            for given in self.seen:
                states = self.network(**given).last_hidden_state
                if self.train:
                    self.optimizer.zero_grad(set_to_none=True)
                    states.mean().backward()
                    self.optimizer.step()


def given_to(network: nn.Module, work: Any) -> list[dict[str, Any]]:
    "What a network is given while an epoch of a work is done"
    seen: list[dict[str, Any]] = []

    def note(_: nn.Module, __: Any, named: dict[str, Any]) -> None:
        seen.append(named)

    hook = network.register_forward_pre_hook(note, with_kwargs=True)
    work.epoch()
    hook.remove()
    return seen


def against_transformer(
    tagger: SequenceTagger,  # A transformer with a linear layer
    train: SentenceDataset,
    build: Callable[[], list[Sentence]],  # Makes what is predicted
) -> dict[str, float]:
    "Tokens per second of tagger and transformer, in turns; the part that is reached"
    network: Any = tagger.embeddings.model
    folder, repeats = network.name_or_path, 3
    steps = Steps(tagger, train, 16, partial(AdamW, lr=5e-5))
    prediction = Prediction(tagger, build, repeats + 2)
    tokens = {"train": int(train.lengths.sum()), "predict": sum(map(len, build()))}
    found = {}
    for name, work in {"train": steps, "predict": prediction}.items():
        seen = given_to(network, work)
        bare = Transformer(folder, seen, name == "train", tagger.device)
        taken = in_turns({"tagger": work, "bare": bare}, repeats)
        found |= {f"{name}_{k}": tokens[name] / taken[k] for k in taken}
        found[f"{name}_share"] = taken["bare"] / taken["tagger"]
    return found


class Fetching:
    "Vectors of all sentences, from a store where there is one"

    def __init__(self, embeddings: StackedEmbeddings, train: SentenceDataset) -> None:
        self.embeddings, self.train, self.order = embeddings, train, batches(train)

    def epoch(self) -> None:
        with torch.no_grad():
            for batch in iterate(self.train, self.order):
                self.embeddings(batch)


def stored_share(train: SentenceDataset, state: int) -> float:
    "What fetching stored vectors takes, as a part of computing and fetching them"
    known = Dictionary.of(map(chr, range(32, 332)), add_unk=True)
    ways = (LanguageModel(known, way, state, 1) for way in (True, False))
    embeddings = StackedEmbeddings([FlairEmbeddings(model) for model in ways])
    start = time.perf_counter()
    store_vectors(embeddings, [train], "cpu")
    computing = time.perf_counter() - start
    fetching = in_turns({"all": Fetching(embeddings, train)})["all"]
    return fetching / (computing + fetching)


def longest_step(
    tagger: SequenceTagger,  # What makes a step
    train: SentenceDataset,
    chunk: int | None,  # Sentences at a time
    size: int = 16,  # Sentences of the step
) -> Callable[[], Any]:  # Makes the step
    "A step on the longest sentences"
    rows = train.rows[np.argsort(-train.lengths, kind="stable")[:size]]
    optimizer = AdamW(tagger.train().parameters(), lr=5e-5)
    batch = Batch(train.table, rows)
    return partial(train_step, tagger, optimizer, batch, chunk)


class TimedCalls:
    "Seconds that pass in calls of a function"

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, owner: Any, name: str) -> Any:
        "Put a clock around a function of a module or a class, within a `with`"
        work = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return work(*given, **named)
            finally:
                self.seconds += time.perf_counter() - start

        return patch.object(owner, name, timed)


class EpochClock(Plugin):
    "Notes when each epoch begins, and what a clock shows then"

    def __init__(self, calls: TimedCalls) -> None:
        self.calls, self.seen = calls, list[tuple[float, float]]()

    def before_training_epoch(self, moment: Any) -> None:
        self.seen.append((time.perf_counter(), self.calls.seconds))

    @property
    def shares(self) -> list[float]:
        "What part of each epoch the calls took, without the first and the last"
        return [
            (after[1] - before[1]) / (after[0] - before[0])
            for before, after in zip(self.seen[1:-1], self.seen[2:], strict=True)
        ]


def checkpoint_share(
    tagger: SequenceTagger,
    corpus: Corpus,
    epochs: int = 12,
) -> float:
    "What a checkpoint after each epoch takes, as a part of the epoch"
    calls = TimedCalls()
    clock = EpochClock(calls)
    writing = calls.of(trainer, "write_run")
    summing = calls.of(FixedPart, "sum_of_all")  # of the best model, for checkpoints
    with tempfile.TemporaryDirectory() as folder, writing, summing:
        ModelTrainer(tagger, corpus).train(
            folder,
            learning_rate=0.1,
            max_epochs=epochs,
            checkpoint=True,
            save_final_model=False,
            plugins=[clock],
        )
    return median(clock.shares)

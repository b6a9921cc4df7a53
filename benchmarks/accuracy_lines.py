"""Taggers and classifiers: how each is built and trained, and its goal."""

from __future__ import annotations

import json
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from measure import PRECISIONS, TAG
from report import machine, table
from torch.optim import AdamW

import flairnb
from flairnb.data import Corpus
from flairnb.datasets import (
    TREC_6,
    WNUT_17,
    ClassFilesCorpus,
    UniversalDependenciesCorpus,
)
from flairnb.embeddings import (
    CharacterEmbeddings,
    DocumentEmbeddings,
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    FlairEmbeddings,
    OneHotEmbeddings,
    StackedEmbeddings,
    TokenEmbeddings,
    TransformerDocumentEmbeddings,
    TransformerWordEmbeddings,
    WordEmbeddings,
)
from flairnb.models import Model, SequenceTagger, TextClassifier
from flairnb.models.model import Head
from flairnb.trainers import ModelTrainer
from flairnb.trainers.schedules import LinearSchedulerWithWarmup

Parts = list[TokenEmbeddings]


def train(model: Model, corpus: Corpus, **settings: Any) -> tuple[float, float]:
    "Train; the score of the best model on test, and the seconds it took"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = ModelTrainer(model, corpus)
        found = trainer.train(folder, **({"mini_batch_size": 32} | settings))
    return found["test_score"], time.perf_counter() - start


def sampled(given: Namespace, seed: int) -> tuple[Corpus, dict[str, Any]]:
    "A tenth of train and dev, and which sentences these are"
    flairnb.set_seed(seed)
    corpus = UniversalDependenciesCorpus(given.corpus)
    first = {name: split.rows[0] for name, split in corpus.splits().items()}
    corpus.downsample(0.1, downsample_test=False)
    drawn = {"train": corpus.train, "dev": corpus.dev}
    return corpus, {k: (v.rows - first[k]).tolist() for k, v in drawn.items()}


def tenth(given: Namespace, seed: int) -> Corpus:
    return sampled(given, seed)[0]


def whole(given: Namespace, seed: int) -> Corpus:
    flairnb.set_seed(seed)
    return UniversalDependenciesCorpus(given.corpus)


def wnut(given: Namespace, seed: int) -> Corpus:
    flairnb.set_seed(seed)
    return WNUT_17()


def questions(given: Namespace, seed: int) -> Corpus:
    flairnb.set_seed(seed)
    return TREC_6()


def polarity(given: Namespace, seed: int) -> Corpus:
    "Of ten sentences the first is for testing, the second for dev"
    flairnb.set_seed(seed)
    files = {"rt-polarity.pos": "POSITIVE", "rt-polarity.neg": "NEGATIVE"}
    read = ClassFilesCorpus(
        given.polarity,
        files,
        encoding="latin-1",
        tokenizer=False,
        sample_missing_splits=False,
    )
    places = np.arange(len(read.train))
    test, dev = places % 10 == 0, places % 10 == 1
    parts = (read.train.take(places[x]) for x in (~(test | dev), dev, test))
    return Corpus(*parts, name="sentence polarity")


def words_and_characters(given: Namespace, corpus: Corpus) -> Parts:
    return [WordEmbeddings(given.glove), CharacterEmbeddings()]


def language_models(given: Namespace) -> Parts:
    "The two models that ship with flairnb, or files instead"
    names = ("mini-forward", "mini-backward")
    if given.mini is not None:
        return [FlairEmbeddings(given.mini / f"{n}.safetensors", name=n) for n in names]
    return [FlairEmbeddings(name) for name in names]


def with_language_models(given: Namespace, corpus: Corpus) -> Parts:
    return [*words_and_characters(given, corpus), *language_models(given)]


def without_downloads(given: Namespace, corpus: Corpus) -> Parts:
    "Learned words and characters, and the models that ship with flairnb"
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=2, embedding_length=100)
    characters = CharacterEmbeddings(hidden_size_char=50)
    return [words, characters, *language_models(given)]


def transformer(given: Namespace, corpus: Corpus) -> Parts:
    "MiniLM knows small letters only, so characters stand beside it"
    settings = {"layers": "all", "layer_mean": True, "subtoken_pooling": "first_last"}
    words = TransformerWordEmbeddings(given.minilm, **settings)
    return [words, CharacterEmbeddings()]


def bag_of_words(given: Namespace, corpus: Corpus) -> DocumentEmbeddings:
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=300)
    return DocumentPoolEmbeddings(words, pooling="max")


def words_in_order(given: Namespace, corpus: Corpus) -> DocumentEmbeddings:
    "A network over learned words"
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=200)
    settings = {"hidden_size": 128, "bidirectional": True, "word_dropout": 0.1}
    return DocumentRNNEmbeddings(words, reproject_words=False, **settings)


def transformer_of_texts(given: Namespace, corpus: Corpus) -> DocumentEmbeddings:
    return TransformerDocumentEmbeddings(given.minilm, cls_pooling="mean")


@dataclass(frozen=True)
class Line:
    "A model to train with several seeds"

    title: str
    goal: float
    text: str  # What it is and how it is trained, for the page
    corpus: Callable[[Namespace, int], Corpus]
    parts: Callable[[Namespace, Corpus], Any]  # Embeddings of words, or of texts
    training: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    layer: str = TAG
    precisions: bool = False  # Compare those of its language models

    def built(self, given: Namespace, corpus: Corpus) -> Head:
        "The model, its weights new: a classifier where texts are embedded"
        labels, parts = (
            corpus.make_label_dictionary(self.layer),
            self.parts(given, corpus),
        )
        if isinstance(parts, DocumentEmbeddings):
            return TextClassifier(parts, self.layer, labels, **self.model)
        return SequenceTagger(
            StackedEmbeddings(parts), labels, self.layer, **self.model
        )


STEADY = {"optimizer": AdamW, "scheduler": LinearSchedulerWithWarmup, "use_amp": True}
TENTH = STEADY | {"learning_rate": 4e-3, "max_epochs": 20, "mini_batch_size": 16}
WHOLE = STEADY | {
    "learning_rate": 3e-3,
    "max_epochs": 12,
    "embeddings_storage_mode": "disk",
    "embeddings_storage_precision": "float16",
}
FINE = STEADY | {
    "learning_rate": 3e-4,
    "decoder_learning_rate": 3e-3,
    "max_epochs": 3,
    "embeddings_storage_mode": "none",
    "fused": True,
}
FINE_TEXTS = STEADY | {
    "learning_rate": 1e-4,
    "decoder_learning_rate": 1e-3,
    "max_epochs": 5,
    "mini_batch_size": 16,
    "embeddings_storage_mode": "none",
    "fused": True,
}
SMALL = STEADY | {"learning_rate": 3e-3, "max_epochs": 8, "mini_batch_size": 16}
LIGHT = {"reproject_embeddings": False, "locked_dropout": 0.2, "word_dropout": 0.0}
LINES = {
    "characters": Line(
        "EWT, a tenth: GloVe's words and characters",
        0.85,
        "a tenth of train and dev, which each seed draws anew, as in the tutorial's "
        "first script; an LSTM of 256 in both directions, a CRF",
        tenth,
        words_and_characters,
        TENTH,
    ),
    "mini": Line(
        "EWT, a tenth: + mini language models",
        0.87,
        "the same with `mini-forward` and `mini-backward` besides, all of it "
        "reprojected to 256 dimensions",
        tenth,
        with_language_models,
        TENTH,
        {"reproject_embeddings": 256},
        precisions=True,
    ),
    "whole": Line(
        "EWT: nothing downloaded",
        0.948,
        "vectors of words that train has twice (100 dimensions) and of characters (an "
        "LSTM of 50 in both directions), both learned from train, `mini-forward` and "
        "`mini-backward`, reprojected to 400 dimensions; two LSTMs of 256, a CRF",
        whole,
        without_downloads,
        WHOLE,
        {"reproject_embeddings": 400, "rnn_layers": 2},
        precisions=True,
    ),
    "minilm": Line(
        "EWT: MiniLM fine-tuned, and characters",
        0.965,
        "all-MiniLM-L6-v2, the mean of its layers, first and last sub-token of each "
        "word; characters beside it, for it knows small letters only; an LSTM of 256, "
        "a CRF",
        whole,
        transformer,
        FINE,
        LIGHT,
    ),
    "wnut": Line(
        "WNUT-17, F1: MiniLM fine-tuned, and characters",
        0.40,
        "the same tagger for the entities of WNUT-17; it learns train and dev, and the "
        "model of the last epoch is tested (from train alone, before: 41.1 and 38.7)",
        wnut,
        transformer,
        FINE | {"max_epochs": 8, "mini_batch_size": 16, "train_with_dev": True},
        LIGHT,
        layer="ner",
    ),
    "trec_minilm": Line(
        "TREC-6: MiniLM fine-tuned",
        0.965,
        "all-MiniLM-L6-v2, the mean of its sub-tokens; a tenth of train, drawn anew by "
        "each seed, is dev",
        questions,
        transformer_of_texts,
        FINE_TEXTS,
        layer="question_class",
    ),
    "trec_rnn": Line(
        "TREC-6: a network over learned words",
        0.88,
        "vectors of all words of train (200 dimensions), learned from train, and "
        "`DocumentRNNEmbeddings` in both directions",
        questions,
        words_in_order,
        SMALL,
        layer="question_class",
    ),
    "trec_bag": Line(
        "TREC-6: the maximum of learned words",
        0.88,
        "vectors of all words of train (300 dimensions), learned from train, and "
        "`DocumentPoolEmbeddings`",
        questions,
        bag_of_words,
        SMALL,
        {"dropout": 0.5},
        layer="question_class",
    ),
    "polarity_minilm": Line(
        "Sentence polarity: MiniLM fine-tuned",
        0.84,
        "the same for sentences of film reviews; of ten sentences the first is for "
        "testing, the second dev (3 epochs at 1e-4, before: 83.6)",
        polarity,
        transformer_of_texts,
        FINE_TEXTS | {"max_epochs": 2, "learning_rate": 5e-5},
        {"dropout": 0.1},
        layer="class",
    ),
    "polarity_bag": Line(
        "Sentence polarity: the maximum of learned words",
        0.74,
        "as for TREC-6, on the same split",
        polarity,
        bag_of_words,
        SMALL | {"mini_batch_size": 64},
        {"dropout": 0.5},
        layer="class",
    ),
}


def smaller(corpus: Corpus, share: float) -> Corpus:
    "Part of a corpus, to try things out"
    if share < 1:
        corpus.downsample(share)
    return corpus


def run(line: Line, given: Namespace, seed: int) -> dict[str, Any]:
    "Train a model and test it; what is to be kept of that"
    corpus = smaller(line.corpus(given, seed), given.share)
    model = line.built(given, corpus)
    training = line.training | json.loads(given.training)
    score, seconds = train(model, corpus, **training)
    found = {
        "seed": seed,
        "score": score,
        "minutes": seconds / 60,
        "training": {k: getattr(v, "__name__", v) for k, v in training.items()},
        "labels": sum(model.gold_labels(corpus.test, line.layer).values()),
        "machine": machine(given.threads),
    }
    if line.precisions:
        found["precisions"] = {p: in_precision(model, corpus, p) for p in PRECISIONS}
    return found


def in_precision(model: Head, corpus: Corpus, precision: str) -> float:
    "Score on test with language models that read in a precision"
    stack: Any = model.embeddings
    for place, part in enumerate(stack.embeddings):
        if isinstance(part, FlairEmbeddings):
            made = FlairEmbeddings(part.lm, name=part.name, precision=precision)
            stack.embeddings[place] = made.eval()
    return model.evaluate(corpus.test, model.label_type).main_score


Records = dict[str, dict[int, dict[str, Any]]]  # by line, by seed


def keep(file: Path, name: str, found: dict[str, Any]) -> None:
    "Add a record to the file; several processes may do so at once"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"line": name} | found) + "\n")


def kept(file: Path) -> Records:
    "The last record of each line and seed"
    records: Records = {}
    for text in file.read_text("utf-8").splitlines():
        found = json.loads(text)
        records.setdefault(found["line"], {})[found["seed"]] = found
    return {
        name: dict(sorted(records[name].items())) for name in LINES if name in records
    }


def spread(scores: list[float], digits: int = 2) -> str:
    "Mean and deviation, in percent"
    many = f" ± {100 * stdev(scores):.{digits}f}" if len(scores) > 1 else ""
    return f"{100 * mean(scores):.{digits}f}{many}"


def score_table(records: Records) -> str:
    "A row for each line"
    rows = []
    for name, runs in records.items():
        line, scores = LINES[name], [found["score"] for found in runs.values()]
        each = ", ".join(f"{100 * score:.2f}" for score in scores)
        met = "yes" if mean(scores) >= line.goal else "**no**"
        minutes = f"{mean(found['minutes'] for found in runs.values()):.1f}"
        goal = f"≥ {100 * line.goal:.1f}"
        rows.append([line.title, spread(scores), each, goal, met, minutes])
    header = ["tagger", "test", "each seed", "goal", "met?", "minutes a seed"]
    return table(header, rows)


def precision_table(records: Records) -> str:
    "What language models lose in fewer bits"
    rows = []
    for name, runs in records.items():
        found = [one["precisions"] for one in runs.values() if "precisions" in one]
        for precision in PRECISIONS if found else ():
            scores = [one[precision] for one in found]
            lost = [one[precision] - one[PRECISIONS[0]] for one in found]
            rows.append([LINES[name].title, precision, spread(scores), spread(lost, 3)])
    return table(["tagger", "language models in", "test", "difference"], rows)


def how(name: str, runs: dict[int, dict[str, Any]]) -> str:
    "What a line is, and the settings it was trained with"
    settings = {json.dumps(one["training"], sort_keys=True) for one in runs.values()}
    told = " or ".join(f"`{text[1:-1]}`".replace('"', "") for text in sorted(settings))
    labels = " or ".join(sorted({f"{one['labels']:,}" for one in runs.values()}))
    line = LINES[name]
    counted = f"{labels} labels in test. Trained with {told}."
    return f"- **{line.title}**: {line.text}. {counted}"


def where(records: Records) -> str:
    "Machines and days"
    machines = [one["machine"] for runs in records.values() for one in runs.values()]
    kinds = {
        f"{one['processor']}, threads {one['threads']}, Python {one['Python']}"
        for one in machines
    }
    days = [one["date"] for one in machines]
    return f"{'; '.join(sorted(kinds))}; {min(days)} to {max(days)}"


EXPLAINED = """\
Percent of test, mean and deviation of the seeds: accuracy of `upos`, micro F1 of
entities. The model that is best on dev is tested. The time has evaluations, model files
and, where no earlier seed has left them on the disk, the vectors of language models in
it."""
PRECISION = """\
The same taggers, after training, with language models that compute in fewer bits. To
count as *the best precision* of `embeddings.md`, one may lose 0.1."""


def section(records: Records) -> str:
    "What was measured, in Markdown"
    told = "\n".join(how(name, runs) for name, runs in records.items())
    parts = [EXPLAINED, score_table(records), told]
    if any("precisions" in one for runs in records.values() for one in runs.values()):
        parts += [PRECISION, precision_table(records)]
    return "\n\n".join([*parts, f"Measured on {where(records)}."])

"""Measure how well flairnb tags English EWT and write `accuracy.md`.

`python benchmarks/accuracy.py tutorial` trains the tagger of the tutorial's first
script with three seeds; `python benchmarks/accuracy.py parts` trains on the whole of
EWT without any download and shows what each part of a tagger adds. Without a name it
does both.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any
from zlib import crc32

os.environ.setdefault("TQDM_DISABLE", "1")
import torch
from against_flair import Sides, environment
from report import machine, table
from torch import Tensor, nn

import flairnb
from flairnb.batches import Batch
from flairnb.data import Corpus
from flairnb.datasets import UniversalDependenciesCorpus
from flairnb.embeddings import (
    OneHotEmbeddings,
    StackedEmbeddings,
    TokenEmbeddings,
    WordEmbeddings,
)
from flairnb.embeddings.base import WordNumbers
from flairnb.foundation import atomic_write
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer

HERE = Path(__file__).resolve().parent
TAG = "upos"
FLAIR_SCORES = (0.7675, 0.7676, 0.7638)  # Flair 0.15.1, the same script, seeds 1 to 3
GOAL = 0.766


class EndEmbeddings(TokenEmbeddings):
    "Learns a vector for the last letters of a word, their case kept"

    def __init__(self, letters: int = 3, rows: int = 5000, size: int = 50) -> None:
        super().__init__()
        self.letters, self.rows, self.name = letters, rows, f"last-{letters}"
        self.embedding_length = size
        self.vectors = nn.Embedding(rows, size)
        self._numbers = WordNumbers()

    def number(self, words: list[str]) -> list[int]:
        "Which row each word has; ends that share one by chance are few"
        return [crc32(word[-self.letters :].encode()) % self.rows for word in words]

    def forward(self, batch: Batch) -> Tensor:
        return self.vectors(self._numbers.of(batch, self.number))  # (b, t, d)

    def config(self) -> dict[str, Any]:
        return {
            "letters": self.letters,
            "rows": self.rows,
            "size": self.embedding_length,
        }


def train(
    tagger: SequenceTagger, corpus: Corpus, **settings: Any
) -> tuple[float, float]:
    "Train; the score of the best model on test, and the seconds it took"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = ModelTrainer(tagger, corpus)
        found = trainer.train(folder, mini_batch_size=32, **settings)
    return found["test_score"], time.perf_counter() - start


def sampled(given: argparse.Namespace, seed: int) -> tuple[Corpus, dict[str, Any]]:
    "A tenth of train and dev, and which sentences these are"
    flairnb.set_seed(seed)
    corpus = UniversalDependenciesCorpus(given.corpus)
    first = {name: split.rows[0] for name, split in corpus.splits().items()}
    corpus.downsample(0.1, downsample_test=False)
    drawn = {"train": corpus.train, "dev": corpus.dev}
    return corpus, {k: (v.rows - first[k]).tolist() for k, v in drawn.items()}


def our_score(given: argparse.Namespace, corpus: Corpus) -> float:
    "The tutorial's first script from its label dictionary on"
    labels = corpus.make_label_dictionary(label_type=TAG)
    embeddings = StackedEmbeddings(embeddings=[WordEmbeddings(given.glove)])
    tagger = SequenceTagger(
        hidden_size=256,
        embeddings=embeddings,
        tag_dictionary=labels,
        tag_type=TAG,
        use_crf=True,
    )
    return train(tagger, corpus, learning_rate=0.1, max_epochs=10)[0]


def their_score(
    given: argparse.Namespace, seed: int, places: dict[str, Any], folder: Path
) -> float:
    "The same by Flair, on the same sentences"
    told = {
        "corpus": str(given.corpus.resolve()),
        "glove": str(given.glove.resolve()),
        "gensim": str(folder / "glove.gensim"),
        "threads": given.threads,
        "seed": seed,
    }
    variables = environment(given.threads, folder)
    sides = Sides({"flair": given.flair_python}, told | places, variables)
    sides.run("flair", "vectors", folder)
    return sides.run("flair", "tutorial", folder)["score"]


def tutorial(given: argparse.Namespace) -> str:
    "The tutorial's first script, tested on the whole test split"
    ours, theirs = [], []
    for seed in range(1, given.seeds + 1):
        corpus, places = sampled(given, seed)
        ours.append(our_score(given, corpus))
        if given.flair_python:
            with tempfile.TemporaryDirectory() as name:
                theirs.append(their_score(given, seed, places, Path(name)))
        print(f"seed {seed}: {ours[-1]:.4f}", *map("{:.4f}".format, theirs[-1:]))
    same = "the same script on the same sentences"
    if not theirs:
        same = "the same script, but its seeds drew other sentences"
        theirs = list(FLAIR_SCORES[: given.seeds])
    rows = [
        [str(seed), f"{our:.4f}", f"{their:.4f}"]
        for seed, (our, their) in enumerate(zip(ours, theirs, strict=False), start=1)
    ]
    rows.append(["mean", f"{mean(ours):.4f}", f"{mean(theirs):.4f}"])
    met = "yes" if mean(ours) >= GOAL else "**no**"
    return f"""\
A tenth of English EWT to train on and to choose the best model by, which each seed
draws anew; GloVe's words, an LSTM of 256 in both directions, a CRF, 10 epochs. Micro F1
of `{TAG}` on the whole of test. Flair 0.15.1 ran {same}.

{table(["seed", "flairnb", "Flair"], rows)}

Goal: a mean of at least {GOAL}. Met: {met}."""


Maker = Callable[[Corpus], list[TokenEmbeddings]]
BARE = {"word_dropout": 0.0, "locked_dropout": 0.0}
SOFTMAX = {"use_rnn": False, "use_crf": False, "reproject_embeddings": False}


def words(corpus: Corpus) -> list[TokenEmbeddings]:
    "A vector for each word that train has three times"
    return [OneHotEmbeddings.from_corpus(corpus, embedding_length=100)]


def words_and_ends(corpus: Corpus) -> list[TokenEmbeddings]:
    return [*words(corpus), EndEmbeddings(3), EndEmbeddings(2)]


@dataclass(frozen=True)
class Variant:
    "A tagger with some of its parts"

    name: str
    embeddings: Maker
    settings: dict[str, Any] = field(default_factory=dict)


VARIANTS = [
    Variant("learned words and a softmax", words, SOFTMAX | BARE),
    Variant("+ an LSTM in both directions", words, {"use_crf": False} | BARE),
    Variant("+ a CRF", words, BARE),
    Variant("+ word and locked dropout", words),
    Variant("+ the last two and three letters", words_and_ends),
]


def parts(given: argparse.Namespace) -> str:
    "Taggers with more and more parts, on the whole of EWT"
    corpus = UniversalDependenciesCorpus(given.corpus)
    labels = corpus.make_label_dictionary(TAG)
    rows, before = [], None
    for variant in VARIANTS:
        flairnb.set_seed(1)
        embeddings = StackedEmbeddings(variant.embeddings(corpus))
        tagger = SequenceTagger(embeddings, labels, TAG, **variant.settings)
        score, seconds = train(
            tagger,
            corpus,
            optimizer=torch.optim.AdamW,
            learning_rate=given.learning_rate,
            patience=1,
            max_epochs=given.epochs,
        )
        added = "" if before is None else f"{100 * (score - before):+.2f}"
        before = score
        print(f"{variant.name}: {score:.4f}, {seconds:.0f} s", flush=True)
        rows.append([variant.name, f"{score:.2%}", added, f"{seconds:.0f} s"])
    return f"""\
Everything is learned from English EWT's train; nothing is downloaded. Each line has
the parts of the lines above it. AdamW at {given.learning_rate:g}, halved after two
epochs without progress, {given.epochs} epochs, batches of 32, hidden size 256, seed 1.
Accuracy of `{TAG}` on test, of the model that is best on dev. The time has evaluations
and model files in it.

{table(["tagger", "test", "points added", "time"], rows)}"""


TITLES = {
    "tutorial": ("The tutorial's first script", tutorial),
    "parts": ("What each part adds", parts),
}


def with_section(page: str, title: str, body: str) -> str:
    "The page with one section added, or put in place of the old one"
    found = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)\s*(?=^## |\Z)", page, re.M | re.S))
    found[title] = body
    ordered = [t for t, _ in TITLES.values() if t in found]
    sections = [f"## {t}\n\n{found[t]}" for t in ordered]
    return "\n\n".join(["# How well flairnb tags English EWT", *sections]) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well flairnb tags English EWT")
    shared = HERE.parent.parent / "shared" / "corpora"
    glove = shared / "glove" / "glove.6B.100d.top2717.txt"
    add = parser.add_argument
    add("sections", nargs="*", metavar="section", help=f"of {', '.join(TITLES)}")
    add("--corpus", type=Path, default=shared / "ud_english", help="folder of EWT")
    add("--glove", type=Path, default=glove, help="word vectors, text, no header")
    add(
        "--flair-python", type=Path, help="let this Python's Flair run the tutorial too"
    )
    add("--threads", type=int, default=2)
    add("--seeds", type=int, default=3, help="runs of the tutorial's script")
    add("--epochs", type=int, default=10, help="epochs of each tagger in parts")
    add("--learning-rate", type=float, default=2e-3, help="of AdamW in parts")
    add("--out", type=Path, default=HERE / "accuracy.md", help="where to write")
    given = parser.parse_args()
    given.sections = given.sections or list(TITLES)
    for section in given.sections:
        if section not in TITLES:
            parser.error(f"no section {section!r}: there is {', '.join(TITLES)}")
    return given


def main() -> None:
    "Measure, and write each section when it is done"
    given = arguments()
    torch.set_num_threads(given.threads)
    logging.getLogger("flairnb").setLevel(logging.ERROR)
    about = ", ".join(f"{k} {v}" for k, v in machine(given.threads).items())
    for section in given.sections:
        title, measure = TITLES[section]
        start = time.perf_counter()
        body = measure(given)
        minutes = (time.perf_counter() - start) / 60
        body += f"\n\nThis took {minutes:.1f} minutes: {about}."
        page = given.out.read_text() if given.out.exists() else ""
        with atomic_write(given.out, "w") as file:
            file.write(with_section(page, title, body))


if __name__ == "__main__":
    main()

"""Flair's side, one role per process: `flair_side.py ROLE SETTINGS`."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from typing import Any

from measure import (
    EPOCHS,
    TAG,
    TRAININGS,
    Clock,
    epoch_speeds,
    predict_speeds,
    report,
    resident,
    settings,
    sizes,
)

warnings.simplefilter("ignore")
BEGAN = time.perf_counter()
import flair  # noqa: E402
from flair.data import Corpus, Sentence  # noqa: E402
from flair.datasets import UniversalDependenciesCorpus  # noqa: E402
from flair.embeddings import StackedEmbeddings, WordEmbeddings  # noqa: E402
from flair.models import SequenceTagger  # noqa: E402
from flair.trainers import ModelTrainer  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - BEGAN
logging.getLogger("flair").setLevel(logging.ERROR)


class TimedTagger(Clock, SequenceTagger):
    "Flair's tagger with a clock"


def import_role(_: dict[str, Any]) -> dict[str, Any]:
    import torch

    versions = f"Flair {flair.__version__}, torch {torch.__version__}"
    return {"seconds": IMPORT_SECONDS, "name": "Flair", "versions": versions}


def load_role(given: dict[str, Any]) -> dict[str, Any]:
    before, start = resident(), time.perf_counter()
    corpus = UniversalDependenciesCorpus(given["corpus"])
    seconds = time.perf_counter() - start
    memory = resident() - before
    sentences = len(corpus.get_all_sentences())  # the corpus lives until here
    return {"seconds": seconds, "memory": memory, "sentences": sentences}


def vectors_role(given: dict[str, Any]) -> dict[str, Any]:
    "Write word vectors of a text file as a gensim file"
    from gensim.models import KeyedVectors

    read = KeyedVectors.load_word2vec_format(given["glove"], no_header=True)
    read.save(given["gensim"])
    return {"words": len(read)}


def tagging_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train in each way, and predict"
    import torch

    torch.set_num_threads(given["threads"])
    whole = UniversalDependenciesCorpus(given["corpus"])
    train = [whole.train[i] for i in range(0, len(whole.train), given["part"])]
    corpus = Corpus(train, [whole.dev[0]], sample_missing_splits=False)
    labels = whole.make_label_dictionary(TAG)
    words = [[token.text for token in s] for s in whole.test][:: given["part"]]
    found: dict[str, Any] = {"sizes": sizes(map(len, train), map(len, words))}
    for name, (hidden, amp) in TRAININGS.items():
        flair.set_seed(1)
        for sentence in train:
            sentence.clear_embeddings()
        embeddings = StackedEmbeddings([WordEmbeddings(given["gensim"])])
        tagger = TimedTagger(embeddings, labels, TAG, hidden_size=hidden, use_crf=True)
        with tempfile.TemporaryDirectory() as folder:
            ModelTrainer(tagger, corpus).train(
                folder,
                learning_rate=0.1,
                mini_batch_size=32,
                max_epochs=EPOCHS,
                save_final_model=False,
                use_amp=amp,
            )
        found[name] = epoch_speeds(tagger)
        if name == "train_256":
            found |= predict_speeds(tagger.predict, build, words)
    return found


def tutorial_role(given: dict[str, Any]) -> dict[str, Any]:
    "The tutorial's first script on given sentences, tested on the whole test split"
    import torch

    torch.set_num_threads(given["threads"])
    whole = UniversalDependenciesCorpus(given["corpus"])
    train = [whole.train[i] for i in given["train"]]
    dev = [whole.dev[i] for i in given["dev"]]
    corpus = Corpus(train, dev, whole.test, sample_missing_splits=False)
    flair.set_seed(given["seed"])
    labels = corpus.make_label_dictionary(label_type=TAG)
    embeddings = StackedEmbeddings([WordEmbeddings(given["gensim"])])
    tagger = SequenceTagger(embeddings, labels, TAG, hidden_size=256, use_crf=True)
    with tempfile.TemporaryDirectory() as folder:
        found = ModelTrainer(tagger, corpus).train(
            folder, learning_rate=0.1, mini_batch_size=32, max_epochs=10
        )
    return {"score": found["test_score"]}


def build(words: list[list[str]]) -> list[Sentence]:
    return [Sentence(list(row)) for row in words]


if __name__ == "__main__":
    role, given = settings()
    report(globals()[f"{role}_role"](given))

"""flairnb's side, one role per process: `flairnb_side.py ROLE SETTINGS`."""

from __future__ import annotations

import logging
import tempfile
import time
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

BEGAN = time.perf_counter()
import flairnb  # noqa: E402
from flairnb.data import Corpus, Sentence  # noqa: E402
from flairnb.datasets import UniversalDependenciesCorpus  # noqa: E402
from flairnb.embeddings import StackedEmbeddings, WordEmbeddings  # noqa: E402
from flairnb.models import SequenceTagger  # noqa: E402
from flairnb.trainers import ModelTrainer  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - BEGAN
logging.getLogger("flairnb").setLevel(logging.ERROR)


class TimedTagger(Clock, SequenceTagger):
    "flairnb's tagger with a clock"


def import_role(_: dict[str, Any]) -> dict[str, Any]:
    import torch

    versions = f"flairnb {flairnb.__version__}, torch {torch.__version__}"
    return {"seconds": IMPORT_SECONDS, "name": "flairnb", "versions": versions}


def load_role(given: dict[str, Any]) -> dict[str, Any]:
    before, start = resident(), time.perf_counter()
    corpus = UniversalDependenciesCorpus(given["corpus"])
    seconds = time.perf_counter() - start
    memory = resident() - before
    sentences = sum(len(split) for split in corpus.splits().values())
    return {"seconds": seconds, "memory": memory, "sentences": sentences}


def prepare(given: dict[str, Any], step: int = 1) -> tuple[Corpus, Corpus]:
    "The whole corpus, and each `step`th sentence of it to train on"
    import torch

    torch.set_num_threads(given["threads"])
    whole = UniversalDependenciesCorpus(given["corpus"])
    train, dev = whole.train[:: given["part"] * step], whole.dev[:1]
    return whole, Corpus(train, dev, sample_missing_splits=False)


def new_tagger(given: dict[str, Any], whole: Corpus, hidden: int) -> TimedTagger:
    "A tagger with new weights"
    flairnb.set_seed(1)
    embeddings = StackedEmbeddings([WordEmbeddings(given["glove"])])
    labels = whole.make_label_dictionary(TAG)
    return TimedTagger(embeddings, labels, TAG, hidden_size=hidden, use_crf=True)


def tagging_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train in each way, and predict"
    whole, corpus = prepare(given)
    words = [[token.text for token in s] for s in whole.test][:: given["part"]]
    found: dict[str, Any] = {"sizes": sizes(corpus.train.lengths, map(len, words))}
    for name, (hidden, amp) in TRAININGS.items():
        tagger = new_tagger(given, whole, hidden)
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


def build(words: list[list[str]]) -> list[Sentence]:
    return [Sentence(list(row)) for row in words]


def limit_role(given: dict[str, Any]) -> dict[str, Any]:
    "How near training comes to the recurrent network alone, and the part of the CRF"
    from limit import EVERY, against_network, crf_share

    whole, corpus = prepare(given, EVERY)
    found: dict[str, Any] = {}
    for hidden in given["hidden"]:
        tagger = new_tagger(given, whole, hidden)
        found[f"hidden_{hidden}"] = against_network(tagger, corpus.train, hidden)
        found[f"hidden_{hidden}"]["crf_share"] = crf_share(tagger, corpus.train)
    return found


if __name__ == "__main__":
    role, given = settings()
    report(globals()[f"{role}_role"](given))

"On a CPU the same seed gives the same bits, whoever reads the data and in whatever order"

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from test_trainer import TEXTS

from flairnb.data.corpus import MultiCorpus
from flairnb.datasets import ColumnCorpus
from flairnb.embeddings import (
    CharacterEmbeddings,
    OneHotEmbeddings,
    StackedEmbeddings,
)
from flairnb.foundation import set_seed
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer

PARTS = ("one", "two", "three")


def write_parts(folder):
    for shift, name in enumerate(PARTS):
        (folder / name).mkdir()
        for split in ("train", "dev", "test"):
            texts = TEXTS[shift:] + TEXTS[:shift]
            tags = [
                [f"{w} {'NAME' if w[0].isupper() else 'WORD'}" for w in text.split()]
                for text in texts
            ]
            text = "\n\n".join("\n".join(lines) for lines in tags) + "\n"
            (folder / name / f"{split}.txt").write_text(text)


def trained(folder, run, threads, seed=7):
    "The sum of the weights after a run whose parts were read by so many threads"
    set_seed(seed)

    def read(name):
        return ColumnCorpus(folder / name, {0: "text", 1: "pos"})

    with ThreadPoolExecutor(threads) as pool:
        corpus = MultiCorpus(list(pool.map(read, PARTS)), name="all")
    labels = corpus.make_label_dictionary("pos")
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=6)
    vectors = StackedEmbeddings([words, CharacterEmbeddings(None, 3, 3)])
    model = SequenceTagger(vectors, labels, "pos", hidden_size=4)
    chosen = {"mini_batch_size": 4, "max_epochs": 2}
    ModelTrainer(model, corpus).train(run, **chosen)
    tensors = [model.state_dict()[name] for name in sorted(model.state_dict())]
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    write_parts(folder)
    return folder


@pytest.fixture(scope="module")
def alone(parts, tmp_path_factory):
    return trained(parts, tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_that_read_data_changes_no_bit(
    parts, alone, tmp_path, threads
):
    torch.rand(3)  # what was drawn before does not matter
    assert trained(parts, tmp_path, threads) == alone


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_determinism import trained
print(trained(Path(sys.argv[2]), Path(sys.argv[3]), 3))
"""


def test_another_process_with_another_order_of_sets_gives_the_same_bits(
    parts, alone, tmp_path
):
    arguments = [str(Path(__file__).parent), str(parts), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == alone, done.stderr


def test_another_seed_gives_other_weights(parts, alone, tmp_path):
    assert trained(parts, tmp_path, 1, seed=8) != alone

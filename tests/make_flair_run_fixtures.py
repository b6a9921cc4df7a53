"""Make `tests/data/flair_runs`: run by a Python that has Flair, never by the tests.

    python tests/make_flair_run_fixtures.py

What Flair's own trainer writes down of a tiny run, in a folder named after its version:
`loss.tsv` of two runs into one folder where the version appends, `weights.txt` of one run,
and `learning_rate.tsv` where it has the search. Made with 0.11.3, 0.12.2 and 0.15.1.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # old Flair loads its own pickles

import flair
import torch
from flair.data import Corpus, Sentence
from flair.embeddings import OneHotEmbeddings
from flair.models import SequenceTagger
from flair.trainers import ModelTrainer

FOLDER = Path(__file__).parent / "data" / "flair_runs" / flair.__version__
TEXT = "the/D cat/N sees/V a/D dog/N | a/D bird/N sings/V | the/D dog/N sleeps/V"


def sentences() -> list[Sentence]:
    made = []
    for line in TEXT.split(" | "):
        pairs = [pair.split("/") for pair in line.split()]
        sentence = Sentence([word for word, _ in pairs])
        for token, (_, tag) in zip(sentence, pairs, strict=True):
            token.add_label("pos", tag)
        made.append(sentence)
    return made


def trainer() -> ModelTrainer:
    flair.set_seed(1)
    corpus = Corpus(train=sentences(), dev=sentences(), test=sentences())
    made = getattr(OneHotEmbeddings, "from_corpus", OneHotEmbeddings)
    embeddings = made(corpus, min_freq=1, embedding_length=4)
    tagger = SequenceTagger(
        hidden_size=4,
        embeddings=embeddings,
        tag_dictionary=corpus.make_label_dictionary("pos"),
        tag_type="pos",
        use_rnn=False,
        use_crf=False,
        reproject_embeddings=False,
    )
    return ModelTrainer(tagger, corpus)


def main() -> None:
    flair.device = torch.device("cpu")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        options = {"mini_batch_size": 2, "learning_rate": 0.5, "monitor_test": True}
        trainer().train(place, max_epochs=3, **options)
        trainer().train(place, max_epochs=2, write_weights=True, **options)
        for name in ("loss.tsv", "weights.txt"):
            shutil.copy(Path(place) / name, FOLDER / name)
    if hasattr(ModelTrainer, "find_learning_rate"):
        with tempfile.TemporaryDirectory() as place:
            options = {"iterations": 30, "mini_batch_size": 2}
            trainer().find_learning_rate(place, torch.optim.SGD, **options)
            shutil.copy(Path(place) / "learning_rate.tsv", FOLDER)


if __name__ == "__main__":
    main()

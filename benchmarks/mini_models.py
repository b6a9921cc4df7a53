"""Train the two small language models that ship with flairnb.

    python benchmarks/mini_models.py forward  --text FOLDER --out FOLDER
    python benchmarks/mini_models.py backward --text FOLDER --out FOLDER

FOLDER of the text is laid out as for Flair: `train/*.txt`, `valid.txt`, `test.txt`.
A run that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from pathlib import Path

import torch

from flairnb.data import Dictionary
from flairnb.foundation import set_seed, sha256_of
from flairnb.models.language_model import LanguageModel
from flairnb.trainers.language_model_trainer import LanguageModelTrainer, TextCorpus

HIDDEN, VECTOR, EPOCHS = 512, 64, 6
OPTIONS = {
    "sequence_length": 128,
    "learning_rate": 0.003,
    "mini_batch_size": 32,
    "clip": 0.25,
    "max_epochs": EPOCHS,
    "linear_decay": True,
    "use_amp": True,
    "checkpoint": True,
}


def characters(folder: Path, min_freq: int = 5) -> Dictionary:
    """All of ASCII that is printed, and what is frequent in the text."""
    counts: Counter[str] = Counter()
    for file in sorted((folder / "train").iterdir()):
        counts.update(file.read_text("utf-8"))
    frequent = {character for character, count in counts.items() if count >= min_freq}
    return Dictionary.of(sorted(frequent | set(map(chr, range(32, 127)))), add_unk=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("direction", choices=["forward", "backward"])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    forward = chosen.direction == "forward"
    corpus = TextCorpus(chosen.text, characters(chosen.text), forward)
    run = chosen.out / chosen.direction
    kept = run / "checkpoint.pt"
    if kept.is_file():
        trainer = LanguageModelTrainer.load_checkpoint(kept, corpus, torch.optim.Adam)
    else:
        set_seed(1)
        sizes = {"hidden_size": HIDDEN, "nlayers": 1, "embedding_size": VECTOR}
        model = LanguageModel(corpus.dictionary, forward, dropout=0.05, **sizes)
        trainer = LanguageModelTrainer(model, corpus, torch.optim.Adam)
    scores = trainer.train(run, **OPTIONS)
    times = re.findall(r"time: *([\d.]+)s", (run / "loss.txt").read_text("utf-8"))
    card = {
        "text": "ten English novels, 1902-1920, in the public domain",
        "characters": sum(len(corpus.numbers(file)) for file in corpus.train_files),
        "sha256_of_test": sha256_of(corpus.test_file),
        "epochs": EPOCHS,
        "hours": round(sum(map(float, times)) / 3600, 2),
        "bits_per_character": scores["test_loss"] / math.log(2),
    }
    best = LanguageModel.load_language_model(run / "best-lm.pt")
    best.save(chosen.out / f"mini-{chosen.direction}.safetensors", half=True, card=card)
    print(card)


if __name__ == "__main__":
    main()

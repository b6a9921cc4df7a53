"""Embeddings of characters, language models and transformers: what is measured."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from measure import EPOCHS, PRECISIONS
from report import Measure, Part, Turn, alone, pair

CHUNKS = (None, 8, 2, 1)
STEPS = {"train": 8, "dev": 200, "test": 4}  # each how manyth sentence is taken

EXPLAINED = f"""\
The sides take turns, each in processes of its own, with as many threads as the table
of the machine says, on the CPU, in float32 where nothing else is said. Both read the
same sentences: every {STEPS["train"]}th of English EWT's train, every {STEPS["test"]}th
of its test. Epochs are timed as in `results.md`: from `model.train()` to
`model.eval()`.

- **Flair embeddings**: tokens per second of `StackedEmbeddings.embed`, of a forward and
  a backward language model with a state of 1024 each, on new sentences of test in
  batches of 32, in the order of the file. Flair's own `LanguageModel.save` wrote the
  two models: random weights, 300 characters. *The best precision* is the fastest of
  those that tag well enough, which `accuracy.md` tells.
- **MiniLM**: all-MiniLM-L6-v2 as `TransformerWordEmbeddings`, a linear layer on top.
  *Fine-tuning*: tokens per second of `ModelTrainer.fine_tune`, batches of 16, the later
  of {EPOCHS} epochs. *Predicting*: of `predict`, batches of 32, on new sentences.
- **The bare transformer**: transformers' own model, given the very sub-tokens, masks
  and batches that flairnb gives to its own, in turns with it in one process.
  Fine-tuning is forward, backward and a step of AdamW for both; flairnb's has labels,
  loss and clipping besides. Predicting is forward; flairnb's writes labels on sentences
  besides.
- **Characters and words**: the tutorial's first script with `CharacterEmbeddings`
  beside GloVe's words, trained as in `results.md`: an LSTM of 256, a CRF, batches of
  32.
- **The characters' part**: the time that training steps spend in
  `CharacterEmbeddings`, on the way there and on the way back, taken by hooks.
- **A stored language model**: the seconds that fetching all of train's vectors from the
  store takes in every epoch, through the seconds of the first epoch, in which they are
  computed and stored besides. Two models with a state of 256, stored in memory.
- **Peak memory of a step**: the greatest resident memory of a process while it
  fine-tunes MiniLM by one step, on the 16 longest sentences of train, whole or in
  chunks (`mini_batch_chunk_size`). Weights, gradients and AdamW's state are in it.
"""

TURNS = [
    Turn("flair", "language_model", "language_model"),
    Turn("flairnb", "language_model", "language_model"),
    Turn("flair", "transformer", "transformer"),
    Turn("flairnb", "transformer", "transformer"),
    Turn("flairnb", "bare", "bare"),
    Turn("flair", "characters", "characters"),
    Turn("flairnb", "characters", "characters"),
    Turn("flairnb", "storage", "storage"),
    *(Turn("flairnb", "chunk", f"chunks/{n}", {"chunk": n}) for n in CHUNKS),
]


def of_language_model(name: str, number: str, goal: float | None = None) -> Measure:
    ours, kind = f"language_model/{number}", "tokens/s"
    return pair(f"Flair embeddings, {name}", kind, "language_model/float32", goal, ours)


LATER, TOKENS = "train/later_epochs", "tokens/s"
MEASURES = [
    of_language_model("float32", "float32", 1.6),
    *(of_language_model(precision, precision) for precision in PRECISIONS[1:]),
    of_language_model("the best precision", "best", 2.5),
    pair("MiniLM, fine-tuning", TOKENS, f"transformer/{LATER}", 1.3),
    pair("MiniLM, predicting", TOKENS, "transformer/predict_32", 1.5),
    alone("fine-tuning, in that of the bare one", "%", "bare/train_share", 0.9, "≥"),
    alone("predicting, in that of the bare one", "%", "bare/predict_share", 0.9, "≥"),
    pair("characters and words, training", TOKENS, f"characters/{LATER}", 7),
    alone("the characters' part of a step", "%", "characters/share", 0.4, "≤"),
    alone("a stored language model, later epochs", "%", "storage/later", 0.1, "≤"),
    alone("peak memory of a step", "MB", "chunks/None/peak"),
    *(alone(f"... in chunks of {n}", "MB", f"chunks/{n}/peak") for n in CHUNKS[1:]),
]


def thin_out(
    corpus: Path,  # Folder of CoNLL-U files
    out: Path,  # Folder to write to
    times: int,  # How many times fewer than usual
    steps: dict[str, int] = STEPS,  # Each how manyth sentence of a split
) -> None:
    "Take every so manyth sentence of a corpus"
    out.mkdir()
    for file in corpus.glob("*.conllu"):
        step = next(step for name, step in steps.items() if name in file.name)
        sentences = file.read_text("utf-8").strip().split("\n\n")[:: step * times]
        (out / file.name).write_text("\n\n".join(sentences) + "\n\n", "utf-8")


def settings(given: Namespace, folder: Path) -> dict[str, Any]:
    "What the sides are told besides threads and word vectors"
    thin_out(given.corpus, folder / "ewt", 10 if given.quick else 1)
    models = [str(folder / f"{way}.pt") for way in ("forward", "backward")]
    return {
        "corpus": str(folder / "ewt"),
        "part": 1,
        "language_models": models,
        "state": 64 if given.quick else 1024,
        "accurate": list(given.accurate),
        "minilm": str(given.minilm),
    }


TITLE = "Embeddings of flairnb and Flair 0.15.1, side by side"
FIRST = ["vectors", "language_model_files"]
EMBEDDERS = Part(TITLE, "embeddings.md", EXPLAINED, TURNS, MEASURES, FIRST, settings)

"""Taggers, embeddings and classifiers on an accelerator: what is measured."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import classifiers
from embedders import STEPS, thin_out
from measure import EPOCHS, PRECISIONS
from report import Part, Turn, alone, pair

ON_GPU = PRECISIONS[:2]  # int8 is for the CPU
TAKEN = STEPS | {"train": 4}  # each how manyth sentence of EWT

EXPLAINED = f"""\
The sides take turns, each in processes of its own, on the accelerator that the table of
the machine names, with their own default settings. What is timed is what `results.md`,
`embeddings.md` and `classifiers.md` say, with every {TAKEN["train"]}th sentence of
English EWT's train and every {TAKEN["test"]}th of its test; a clock is read when the
accelerator has done what it was given. Epochs are the later of {EPOCHS}.

- **Words**: GloVe, an LSTM in both directions, a CRF, batches of 32, SGD.
- **Characters and words**: `CharacterEmbeddings` besides, hidden size 256.
- **Flair embeddings**: two language models with a state of 1024 and random weights.
- **MiniLM**: the six layers of all-MiniLM-L6-v2, with a linear layer on top; batches of
  16 in training and 32 in prediction.
- **The bare transformer**: transformers' own model on the very same batches, as
  `embeddings.md` says.
- **Texts**: classifiers of TREC-6's questions, as in `classifiers.md`.
"""

TURNS = [
    Turn(side, role, called)
    for role, called in (
        ("tagging", "tagging"),
        ("transformer", "transformer"),
        ("questions", "minilm"),
        ("language_model", "language_model"),
        ("document_rnn", "rnn"),
        ("characters", "characters"),
    )
    for side in ("flair", "flairnb")
]
TURNS += [Turn("flairnb", "bare", "bare")]
TOKENS, LATER = "tokens/s", "train/later_epochs"
MEASURES = [
    pair("words, training, hidden 256", TOKENS, "tagging/train_256/later_epochs"),
    pair("words, training, hidden 512", TOKENS, "tagging/train_512/later_epochs"),
    pair("... 256, `use_amp`", TOKENS, "tagging/train_256_amp/later_epochs"),
    pair("words, predicting, batch 32", TOKENS, "tagging/predict_32"),
    pair("words, predicting, batch 256", TOKENS, "tagging/predict_256"),
    pair("characters and words, training", TOKENS, f"characters/{LATER}"),
    *(
        pair(
            f"Flair embeddings, {precision}",
            TOKENS,
            "language_model/float32",
            flairnb=f"language_model/{precision}",
        )
        for precision in ON_GPU
    ),
    pair("MiniLM, tagger, fine-tuning", TOKENS, f"transformer/{LATER}"),
    pair("MiniLM, tagger, predicting", TOKENS, "transformer/predict_32"),
    alone("fine-tuning, in that of the bare one", "%", "bare/train_share"),
    alone("predicting, in that of the bare one", "%", "bare/predict_share", 0.85, "≥"),
    pair("MiniLM, texts, fine-tuning", "texts/s", f"minilm/{LATER}"),
    pair("MiniLM, texts, predicting", TOKENS, "minilm/predict_32"),
    pair("DocumentRNN, training", "texts/s", f"rnn/{LATER}"),
]


def settings(given: Namespace, folder: Path) -> dict[str, Any]:
    "What the sides are told besides threads and word vectors"
    models = [str(folder / f"{way}.pt") for way in ("forward", "backward")]
    sizes = {"language_models": models, "state": 64 if given.quick else 1024}
    thin_out(given.corpus, folder / "ewt", 10 if given.quick else 1, TAKEN)
    sizes |= {"corpus": str(folder / "ewt"), "part": 1}
    precisions = {"precisions": list(ON_GPU), "accurate": list(ON_GPU)}
    return classifiers.settings(given, folder) | precisions | sizes


TITLE = "flairnb and Flair 0.15.1 on an accelerator, side by side"
FIRST = ["vectors", "language_model_files"]
ACCELERATORS = Part(
    TITLE, "accelerators.md", EXPLAINED, TURNS, MEASURES, FIRST, settings, True
)

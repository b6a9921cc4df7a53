"""Classifiers of texts, loading of corpora, the shell: what is measured."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from measure import EPOCHS
from report import Measure, Part, Turn, alone, pair

CORPORA = {"trec_6": "TREC-6", "wnut_17": "WNUT-17", "wikigold": "wikigold"}

EXPLAINED = f"""\
The sides take turns, each in processes of its own, with as many threads as the table
of the machine says, on the CPU, in float32. Classifiers learn the 5,452 questions of
TREC-6 and predict its 500, cut into words at spaces on both sides. Epochs are timed as
in `results.md`: from `model.train()` to `model.eval()`, the later of {EPOCHS}.

- **MiniLM**: `TextClassifier` on all-MiniLM-L6-v2 as `TransformerDocumentEmbeddings`,
  mean of the sub-tokens. *Fine-tuning*: texts per second of `ModelTrainer.fine_tune`,
  batches of 16. *Predicting*: tokens per second of `predict`, batches of 32, on new
  sentences; *in bfloat16* within `torch.autocast("cpu", torch.bfloat16)`, against Flair
  in float32, with the difference that it makes to the F1 of the test questions.
- **DocumentRNN**: `DocumentRNNEmbeddings` over GloVe's words with a state of 256,
  `ModelTrainer.train`, batches of 32, SGD at 0.1. In its first epoch Flair fills its
  cache of vectors.
- **Loading**: seconds until all sentences of a corpus are there with their words and
  labels, from the published files: `ColumnCorpus` for WNUT-17 and wikigold,
  `ClassificationCorpus` for TREC-6, written as `__label__` lines, with Flair's
  `memory_mode="full"`, for by default Flair puts off cutting texts into words until
  they are asked for. *Parsed* is the first time, when flairnb also writes its index,
  *indexed* every later time.
- **The shell**: tokens per second of `flairnb predict` on a file of text, one sentence
  a line, to a file of labelled text, the whole process from its start to its end; as a
  part of `Sentence(...)` and `model.predict` on the same lines in a running Python. The
  program was started once before, which leaves compiled modules behind.
"""

TURNS = [
    Turn("flair", "questions", "minilm"),
    Turn("flairnb", "questions", "minilm"),
    Turn("flair", "document_rnn", "rnn"),
    Turn("flairnb", "document_rnn", "rnn"),
    *(
        Turn(side, "corpus", f"{name}/{way}", {"which": name})
        for name in CORPORA
        for side, way in (
            ("flair", "parsed"),
            ("flairnb", "parsed"),
            ("flairnb", "indexed"),
        )
    ),
    Turn("flairnb", "shell", "shell"),
]


def loading(name: str, way: str, goal: float | None = None) -> Measure:
    "Seconds for a corpus"
    title, ours = f"loading {CORPORA[name]}, {way}", f"{name}/{way}/seconds"
    return pair(title, "s", f"{name}/parsed/seconds", goal, ours)


MEASURES = [
    pair("MiniLM, fine-tuning", "texts/s", "minilm/train/later_epochs", 1.3),
    pair("MiniLM, predicting", "tokens/s", "minilm/predict_32", 1.5),
    pair(
        "... in bfloat16",
        "tokens/s",
        "minilm/predict_32",
        flairnb="minilm/bfloat16/predict_32",
    ),
    alone("... by so much the score changes", "%", "minilm/bfloat16/changes"),
    pair("DocumentRNN, training", "texts/s", "rnn/train/later_epochs", 5),
    *(loading(name, "parsed", 5) for name in CORPORA),
    *(loading(name, "indexed") for name in CORPORA),
    alone("`predict` in Python", "tokens/s", "shell/python"),
    alone("`flairnb predict`", "tokens/s", "shell/shell"),
    alone("the shell in that of Python", "%", "shell/share", 0.8, "≥"),
]


def write_questions(
    corpus: Path,  # Folder of TREC-6
    out: Path,  # Folder to write to
    step: int,  # Take each so manyth question
) -> None:
    "Write TREC-6 as `__label__` lines"
    out.mkdir()
    for split, file in {"train": "train_5500.label", "test": "TREC_10.label"}.items():
        lines = (corpus / file).read_text("latin-1").splitlines()[::step]
        rows = (line.replace(":", " ", 1).split() for line in lines)
        made = (f"__label__{label} {' '.join(words)}\n" for label, _, *words in rows)
        (out / f"{split}.txt").write_text("".join(made), "utf-8")


def settings(given: Namespace, folder: Path) -> dict[str, Any]:
    "What the sides are told besides threads and word vectors"
    write_questions(given.corpora / "trec_6", folder / "trec", 20 if given.quick else 1)
    return {
        "questions": str(folder / "trec"),
        "corpora": str(given.corpora.resolve()),
        "corpus": str(given.corpus.resolve()),
        "minilm": str(given.minilm),
        "part": 20 if given.quick else 1,
        "times": 2 if given.quick else 40,
    }


TITLE = "Classifiers of flairnb and Flair 0.15.1, side by side"
CLASSIFIERS = Part(
    TITLE, "classifiers.md", EXPLAINED, TURNS, MEASURES, ["vectors"], settings
)

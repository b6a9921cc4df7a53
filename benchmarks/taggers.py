"""Taggers on word vectors: what is measured, and the goals."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from measure import EPOCHS
from report import Part, Turn, alone, pair

HIDDEN = (256, 512)

EXPLAINED = f"""\
The sides take turns, each in processes of its own, with as many threads as the table of
the machine says. Both have their own default settings, log nothing to the screen and
show no bars. The CPU is used even where there is an accelerator.

- **Training**: tokens per second of `ModelTrainer.train`, from `model.train()`, where
  an epoch begins, to `model.eval()`, where it ends: batches, forward, backward,
  clipping, step. Evaluation and model files are left out. Both sides train on the same
  sentences, English EWT's whole train: GloVe's words as they are, reprojected, an LSTM
  in both directions, a CRF, batches of 32, SGD at 0.1. The first of {EPOCHS} epochs is
  the warm-up (there Flair fills its cache of embeddings, in its default storage mode
  `cpu`); its speed is `first_epoch` in the last table. With `use_amp`, both multiply in
  bfloat16 what torch's autocast allows.
- **Predicting**: tokens per second of `SequenceTagger.predict`, hidden size 256, on new
  sentences with the words of EWT's test. They are made before the clock starts, except
  in the line that says so.
- **4N / N**: the time of `predict` for the same text four times over, through that for
  the text once, in batches of 32. The goal is for flairnb's own number.
- **Loading**: seconds that `UniversalDependenciesCorpus` takes for all three files.
  *Parsed* is the first time, when flairnb also writes its index. *Indexed* is every
  later time, when it compares the sha256 of the files and opens the index.
- **Memory**: resident memory with the corpus loaded, less resident memory before it,
  both after a garbage collection.
- **Importing**: the library and the six names that a training script needs.
- **A bare LSTM**: forward and backward of torch's `nn.LSTM` in both directions, on
  random input of 100 dimensions that wants a gradient, padded to the very batches of
  flairnb's training, batch-first or time-major, whichever is faster. flairnb's whole
  training steps are timed in turns with it, in the same process.
- **The CRF's part**: the time that training steps spend in the CRF, on the way there
  and on the way back, taken by hooks at its input and output.
- **A checkpoint's part**: of the tutorial's first script (a tenth of EWT, hidden size
  256) with `checkpoint=True`, the time that passes in writing `checkpoint.pt` and in
  what is done for it alone; of an epoch with its evaluation and model files, the median
  of 10 epochs.
"""

TURNS = [
    Turn("flair", "import", "import"),
    Turn("flairnb", "import", "import"),
    Turn("flair", "load", "parsed"),
    Turn("flairnb", "load", "parsed"),
    Turn("flairnb", "load", "indexed"),
    Turn("flair", "tagging", "tagging"),
    Turn("flairnb", "tagging", "tagging"),
    Turn("flairnb", "limit", "limit"),
    Turn("flairnb", "checkpoint", "checkpoint"),
]
MADE, TRAINED = "tagging/build_and_predict_32", "tagging/train"
WAYS = {"parsed": 10, "indexed": 40}
MEASURES = [
    *(
        pair(f"training, hidden {h}", "tokens/s", f"{TRAINED}_{h}/later_epochs", 7)
        for h in HIDDEN
    ),
    pair("training, 256, `use_amp`", "tokens/s", f"{TRAINED}_256_amp/later_epochs"),
    pair("predicting, batch 32", "tokens/s", "tagging/predict_32", 4),
    pair("predicting, batch 256", "tokens/s", "tagging/predict_256", 4),
    pair("making sentences and predicting, batch 32", "tokens/s", MADE),
    pair("predicting, 4N / N", "times", "tagging/growth", 4.3, own="≤"),
    *(
        pair(f"loading, {way}", "s", "parsed/seconds", goal, f"{way}/seconds")
        for way, goal in WAYS.items()
    ),
    *(
        pair(f"memory, {way}", "MB", "parsed/memory", 6, f"{way}/memory")
        for way in WAYS
    ),
    pair("importing", "s", "import/seconds", 2),
    *(
        alone(
            f"speed in that of a bare LSTM, {h}",
            "%",
            f"limit/hidden_{h}/share",
            0.75,
            "≥",
        )
        for h in HIDDEN
    ),
    *(
        alone(
            f"the CRF's part of a step, {h}",
            "%",
            f"limit/hidden_{h}/crf_share",
            0.15,
            "≤",
        )
        for h in HIDDEN
    ),
    alone("a checkpoint's part of an epoch", "%", "checkpoint/share", 0.02, "≤"),
]


def settings(given: Namespace, folder: Path) -> dict[str, Any]:
    "What the sides are told besides threads and word vectors"
    corpus, part = str(given.corpus.resolve()), 20 if given.quick else 1
    return {"corpus": corpus, "hidden": HIDDEN, "part": part}


TITLE = "flairnb and Flair 0.15.1, side by side"
TAGGERS = Part(TITLE, "results.md", EXPLAINED, TURNS, MEASURES, ["vectors"], settings)

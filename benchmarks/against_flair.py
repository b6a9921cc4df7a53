"""Measure flairnb and Flair 0.15.1 side by side and write `results.md`.

One call measures everything: `python benchmarks/against_flair.py`. Each side works in
processes of its own, and the sides take turns. See `README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import EPOCHS
from report import Measure, Runs, machine, result_page

from flairnb.assets import cache_root
from flairnb.foundation import atomic_write

HERE = Path(__file__).resolve().parent
FLAIR = ["torch==2.13.0", "flair==0.15.1", "gensim"]
HIDDEN = (256, 512)
BUSY = 0.5  # a load average above this disturbs the figures

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
"""


def flair_python(
    given: Path | None,  # What the user named
) -> Path:  # A Python that imports Flair
    "The Python of Flair's environment, which is made if none is named"
    if given is not None:
        return given
    folder = cache_root() / "benchmarks" / "flair-0.15.1"
    python = folder / "bin" / "python"
    check = [str(python), "-c", "import flair, gensim"]
    if not python.exists() or subprocess.run(check, capture_output=True).returncode:
        print("An environment for Flair is made; this takes minutes", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *FLAIR], check=True)
    return python


def environment(threads: int, folder: Path) -> dict[str, str]:
    "Variables of every process: threads, no bars, no network, no accelerator"
    own = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
        "FLAIR_DEVICE": "cpu",
        "FLAIRNB_DEVICE": "cpu",
        "FLAIR_CACHE_ROOT": str(folder / "flair"),
        "FLAIRNB_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",
    }
    return dict(os.environ) | own


@dataclass
class Sides:
    "Starts processes of both sides and reads what they report"

    pythons: dict[str, Path]  # The Python of each side
    settings: dict[str, Any]  # What each process is told
    variables: dict[str, str]  # Its environment

    def run(
        self,
        side: str,  # `flair` or `flairnb`
        role: str,  # What to do, see `flair_side.py` and `flairnb_side.py`
        cache: Path,  # Where flairnb keeps its index
    ) -> dict[str, Any]:  # What the process reports
        "Run one process; raises `RuntimeError` with its last words if it fails"
        script, told = HERE / f"{side}_side.py", json.dumps(self.settings)
        done = subprocess.run(
            [self.pythons[side], script, role, told],
            env=self.variables | {"FLAIRNB_CACHE_ROOT": str(cache)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            end = done.stderr[-2000:]
            raise RuntimeError(f"{side}: {role} failed with {done.returncode}\n{end}")
        return json.loads(done.stdout.splitlines()[-1])


def numbers_of(found: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    "Nested numbers by their way: `flair/tagging/train_256/later_epochs`"
    for name, value in found.items():
        if isinstance(value, dict):
            yield from numbers_of(value, f"{prefix}/{name}")
        elif isinstance(value, int | float):
            yield f"{prefix}/{name}", value


TURNS = [  # side, role, and what to call it
    ("flair", "import", "import"),
    ("flairnb", "import", "import"),
    ("flair", "load", "parsed"),
    ("flairnb", "load", "parsed"),
    ("flairnb", "load", "indexed"),
    ("flair", "tagging", "tagging"),
    ("flairnb", "tagging", "tagging"),
    ("flairnb", "limit", "limit"),
]


def measure_all(
    sides: Sides,
    rounds: int,  # Runs of each process
    folder: Path,  # For what the processes write
) -> tuple[Runs, dict[str, str]]:  # All runs of all numbers; versions and sizes
    "Let the sides take turns; raises `RuntimeError` if their data differ"
    sides.run("flair", "vectors", folder)  # GloVe as Flair reads it
    warm = [sides.run(side, "import", folder) for side in ("flair", "flairnb")]
    about = {f"versions, {one['name']}": one["versions"] for one in warm}
    runs: Runs = {}
    sizes: set[str] = set()
    for turn in range(1, rounds + 1):
        cache = folder / f"cache-{turn}"  # empty, so that flairnb parses once
        for side, role, called in TURNS:
            load = os.getloadavg()[0]
            print(f"{turn}/{rounds} {side} {called}, load {load:.1f}", file=sys.stderr)
            found = sides.run(side, role, cache)
            for name, value in numbers_of(found, f"{side}/{called}"):
                runs.setdefault(name, []).append(value)
            sizes |= {found["sizes"]} if "sizes" in found else set()
    if len(sizes) != 1:
        raise RuntimeError(f"the sides worked on different sentences: {sizes}")
    return runs, about | {"text": sizes.pop()}


def measures() -> list[Measure]:
    "What is compared, and the goals"

    def pair(
        name: str, unit: str, number: str, goal: float | None = None, **more: str
    ) -> Measure:
        flairnb = more.get("flairnb", number)
        names = (f"flair/{number}", f"flairnb/{flairnb}")
        return Measure(name, unit, *names, goal, more.get("own", ""))

    def alone(name: str, number: str, own: str, goal: float) -> Measure:
        return Measure(name, "%", None, f"flairnb/limit/{number}", goal, own)

    made, trained = "tagging/build_and_predict_32", "tagging/train"
    ways = {"parsed": 10, "indexed": 40}
    return [
        *(
            pair(f"training, hidden {h}", "tokens/s", f"{trained}_{h}/later_epochs", 7)
            for h in HIDDEN
        ),
        pair("training, 256, `use_amp`", "tokens/s", f"{trained}_256_amp/later_epochs"),
        pair("predicting, batch 32", "tokens/s", "tagging/predict_32", 4),
        pair("predicting, batch 256", "tokens/s", "tagging/predict_256", 4),
        pair("making sentences and predicting, batch 32", "tokens/s", made),
        pair("predicting, 4N / N", "times", "tagging/growth", 4.3, own="≤"),
        *(
            pair(f"loading, {w}", "s", "parsed/seconds", goal, flairnb=f"{w}/seconds")
            for w, goal in ways.items()
        ),
        *(
            pair(f"memory, {w}", "MB", "parsed/memory", 6, flairnb=f"{w}/memory")
            for w in ways
        ),
        pair("importing", "s", "import/seconds", 2),
        *(
            alone(f"speed in that of a bare LSTM, {h}", f"hidden_{h}/share", "≥", 0.75)
            for h in HIDDEN
        ),
        *(
            alone(f"the CRF's part of a step, {h}", f"hidden_{h}/crf_share", "≤", 0.15)
            for h in HIDDEN
        ),
    ]


def arguments() -> argparse.Namespace:
    "What the command line says; a missing file ends the program"
    parser = argparse.ArgumentParser(description="flairnb and Flair 0.15.1, measured")
    shared = HERE.parent.parent / "shared" / "corpora"
    glove = shared / "glove" / "glove.6B.100d.top2717.txt"
    add = parser.add_argument
    add("--flair-python", type=Path, help="Python with Flair 0.15.1; else one is made")
    add("--corpus", type=Path, default=shared / "ud_english", help="folder of EWT")
    add("--glove", type=Path, default=glove, help="word vectors, text, no header")
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=3, help="runs of each process")
    add("--quick", action="store_true", help="little data, one round, only printed")
    add("--out", type=Path, help="where to write, by default results.md beside this")
    given = parser.parse_args()
    for path in (given.corpus, given.glove):
        if not path.exists():
            parser.error(f"{path} does not exist: give --corpus and --glove")
    if given.quick:
        given.rounds = 1
    elif given.out is None:
        given.out = HERE / "results.md"
    return given


def main() -> None:
    "Measure, print, write"
    given, warning = arguments(), ""
    about, load = machine(given.threads), os.getloadavg()[0]
    if load > BUSY:
        warning = f"The machine was busy (load average {load:.2f}): do not trust this."
        print(warning, file=sys.stderr)
    for path in given.corpus.glob("*.conllu"):
        path.read_bytes()  # from here on it is in the disk's cache
    with tempfile.TemporaryDirectory() as name:
        settings = {
            "corpus": str(given.corpus.resolve()),
            "glove": str(given.glove.resolve()),
            "gensim": f"{name}/glove.gensim",
            "threads": given.threads,
            "hidden": HIDDEN,
            "part": 20 if given.quick else 1,
        }
        pythons = {"flair": flair_python(given.flair_python)}
        pythons["flairnb"] = Path(sys.executable)
        sides = Sides(pythons, settings, environment(given.threads, Path(name)))
        runs, facts = measure_all(sides, given.rounds, Path(name))
    page = result_page(measures(), runs, about | facts, EXPLAINED, warning)
    print(page)
    if given.out is not None:
        with atomic_write(given.out, "w") as file:
            file.write(page)


if __name__ == "__main__":
    main()

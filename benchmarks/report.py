"""From measured numbers to the tables of `results.md`."""

from __future__ import annotations

import os
import platform
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Runs = dict[str, list[float]]  # every run of every measured number


@dataclass(frozen=True)
class Measure:
    "One line of the report: where its numbers stand, and what they should be"

    name: str
    unit: str
    flair: str | None  # Name of Flair's number, `None` where there is none
    flairnb: str
    goal: float | None = None  # A ratio, or a bound of flairnb's own number
    own: str = ""  # `≤` or `≥` if the goal bounds flairnb's own number

    def measured(self, runs: Runs) -> bool:
        "Whether all of its numbers are there"
        return all(name in runs for name in (self.flair, self.flairnb) if name)

    def cells(self, runs: Runs) -> list[str]:
        "Name, Flair, flairnb, ratio, goal, whether it is met"
        ours = median(runs[self.flairnb])
        theirs = None if self.flair is None else median(runs[self.flair])
        shown = [self.name, show(theirs, self.unit), show(ours, self.unit)]
        ratio = None if theirs is None else self._ratio(theirs, ours)
        if self.own:
            return [*shown, "", *verdict(ours, self.own, self.goal, self.unit)]
        return [*shown, show(ratio, "times"), *verdict(ratio, "≥", self.goal, "times")]

    def _ratio(self, theirs: float, ours: float) -> float:
        "How many times better flairnb is"
        more_is_better = self.unit.endswith("/s")
        return ours / theirs if more_is_better else theirs / ours


def pair(
    name: str,
    unit: str,
    number: str,  # What Flair's number is called, without its side
    goal: float | None = None,
    flairnb: str | None = None,  # What flairnb's is called, if not the same
    own: str = "",  # See `Measure`
) -> Measure:
    "A number that both sides have"
    names = (f"flair/{number}", f"flairnb/{flairnb or number}")
    return Measure(name, unit, *names, goal, own)


def alone(
    name: str, unit: str, number: str, goal: float | None = None, own: str = ""
) -> Measure:
    "A number that only flairnb has"
    return Measure(name, unit, None, f"flairnb/{number}", goal, own)


@dataclass(frozen=True)
class Turn:
    "One process: whose, what it does, what its numbers are called"

    side: str  # `flair` or `flairnb`
    role: str  # See `flair_side.py` and `flairnb_side.py`
    called: str  # Up to a slash, the name of a group of turns
    told: dict[str, Any] = field(default_factory=dict)  # Besides the settings

    @property
    def group(self) -> str:
        "What can be run alone"
        return self.called.split("/")[0]


@dataclass(frozen=True)
class Part:
    "What one page of results is about"

    title: str
    page: str  # Name of the file
    explained: str  # What is timed
    turns: list[Turn]  # In one round
    measures: list[Measure]
    first: list[str]  # Roles of Flair's that run once, before all rounds
    settings: Callable[[Namespace, Path], dict[str, Any]]  # What the sides are told
    accelerator: bool = False  # Whether they work on it, and not on the CPU

    @property
    def groups(self) -> list[str]:
        "Names of the groups of turns"
        return list(dict.fromkeys(turn.group for turn in self.turns))


def verdict(
    value: float | None, sign: str, goal: float | None, unit: str
) -> tuple[str, str]:
    "The goal, and whether it is met"
    if goal is None or value is None:
        return "", ""
    met = value >= goal if sign == "≥" else value <= goal
    return f"{sign} {show(goal, unit)}", "yes" if met else "**no**"


def show(value: float | None, unit: str) -> str:
    "A number with its unit, in about three digits"
    if value is None:
        return ""
    if unit == "%":
        return f"{value:.1%}"
    value = value / 1e6 if unit == "MB" else value
    if unit.endswith("/s") or value >= 100:
        return f"{value:,.0f} {unit}"
    return f"{float(f'{value:.3g}'):g} {unit}"


def table(header: list[str], rows: list[list[str]]) -> str:
    "Rows as a table in Markdown"
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def unit_of(name: str) -> str:
    "The unit of a measured number, from its name"
    end = name.rsplit("/", 1)[-1]
    units = {"seconds": "s", "memory": "MB", "growth": "times"}
    units |= dict.fromkeys(("share", "crf_share", "train_share"), "%")
    units |= dict.fromkeys(("predict_share", "later", "changes"), "%")
    units |= {"sentences": "sentences", "peak": "MB"}
    of_texts = "/train/" in name and ("/minilm/" in name or "/rnn/" in name)
    return units.get(end, "texts/s" if of_texts else "tokens/s")


def raw_rows(runs: Runs) -> list[list[str]]:
    "Least, median and greatest of the runs of each number"
    rows = []
    for name, values in runs.items():
        found = (min(values), median(values), max(values))
        rows.append([f"`{name}`", *(show(v, unit_of(name)) for v in found)])
    return rows


def processor() -> str:
    "The name of the processor, as the system tells it"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    return found.get("model name", platform.machine())


def accelerator_name() -> str:
    "The name of the first accelerator; raises `SystemExit` if there is none"
    import torch

    found = torch.accelerator.current_accelerator()
    if found is None:
        raise SystemExit("there is no accelerator here: run another part")
    kind = getattr(torch, found.type)
    return kind.get_device_name() if hasattr(kind, "get_device_name") else found.type


def machine(threads: int, accelerator: bool = False) -> dict[str, str]:
    "What the figures depend on"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    loads = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    return {
        **({"accelerator": accelerator_name()} if accelerator else {}),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "threads": str(threads),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load average at the start (1, 5, 15 minutes)": loads,
    }


def result_page(
    part: Part,
    runs: Runs,  # Every run of every number
    about: dict[str, str],  # Machine, versions, sizes
    warning: str = "",  # What speaks against the figures
) -> str:  # The page, in Markdown
    "The page of results: comparison, explanation, machine, raw numbers"
    rows = [measure.cells(runs) for measure in part.measures if measure.measured(runs)]
    met = [row[-1] == "yes" for row in rows if row[-1]]
    missing = [m.name for m in part.measures if not m.measured(runs)]
    goals = f"{sum(met)} of {len(met)} goals are met. " if met else ""
    header = ["measurement", "Flair", "flairnb", "ratio", "goal", "met?"]
    parts = [
        f"# {part.title}",
        f"{goals}Numbers are medians.",
        *([f"**{warning}**"] if warning else []),
        table(header, rows),
        *([f"Not measured: {'; '.join(missing)}."] if missing else []),
        "## What is timed",
        part.explained,
        "## The machine",
        table(["", ""], [[name, value] for name, value in about.items()]),
        "## All runs",
        "Least, median and greatest of the runs, one process each.",
        table(["number", "least", "median", "greatest"], raw_rows(runs)),
    ]
    return "\n\n".join(parts) + "\n"

"The pages for readers: each promises, shows, asks and answers"

from __future__ import annotations

import json
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "nbs" / "tutorials").glob("*.ipynb"))
EXPLANATIONS = sorted((ROOT / "nbs" / "explanations").glob("*.ipynb"))
each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
each_page = pytest.mark.parametrize(
    "path", [*TUTORIALS, *EXPLANATIONS], ids=lambda path: path.stem
)


@cache
def cells_of(path):
    "Cells of a page as (kind, source, outputs)"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(c["cell_type"], "".join(c["source"]), c.get("outputs", [])) for c in cells]


def directives(source):
    "The `#|` lines at the head of a cell, as a dictionary"
    head = re.match(r"(?:#\|.*\n?)*", source)[0]
    pairs = (line[2:].strip().partition(":") for line in head.splitlines())
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def prose_of(cells):
    "All that is written for people, without code"
    text = "\n\n".join(source for kind, source, _ in cells if kind == "markdown")
    return re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.S)


def has_picture(outputs):
    return any(
        mime.startswith("image/")
        for output in outputs
        for mime in output.get("data", {})
    )


# --- what is looked for; each returns the faults ---


def promise_faults(cells):
    first = cells[0][1]
    points = re.findall(
        r"^(\d+)\. .+", first.partition("\nAt the end you have\n")[2], re.M
    )
    if not re.match(r"# \S.*\n\n> \S", first):
        return ["the first cell has no title with a line of promise below it"]
    if len(points) < 3 or points != [str(n) for n in range(1, len(points) + 1)]:
        return ["the first cell does not list what the reader has at the end"]
    return []


def exercise_faults(cells):
    asked = [
        n for n, cell in enumerate(cells) if re.search(r"^## Exercise$", cell[1], re.M)
    ]
    if len(asked) != 1:
        return [f"{len(asked)} exercises, not one"]
    folded = [
        directives(source)
        for kind, source, _ in cells[asked[0] :]
        if kind == "code" and "code-fold" in directives(source)
    ]
    if not folded or folded[0] != folded[0] | {
        "code-fold": "true",
        "code-summary": "A solution",
    }:
        return ["the exercise has no folded solution"]
    return []


def picture_faults(cells):
    return [
        f"no description of the picture of: {source[:60]}"
        for kind, source, outputs in cells
        if kind == "code"
        and has_picture(outputs)
        and len(directives(source).get("fig-alt", "")) < 30
    ]


def heading_faults(cells):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose_of(cells), re.M)]
    found = [] if levels.count(1) == 1 and levels[0] == 1 else ["not one title"]
    found += [f"level {b} below {a}" for a, b in pairwise(levels) if b > a + 1]
    return found


def run_faults(cells, most=3):
    "Code cells in a row with no word between; what is hidden is not counted"
    kinds = [
        "m" if kind != "code" else "c"
        for kind, source, _ in cells
        if "hide" not in directives(source)
    ]
    runs = re.findall("c+", "".join(kinds))
    return [f"{len(run)} code cells in a row" for run in runs if len(run) > most]


def link_faults(cells, folder):
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(cells))
    own = [link for link in links if not re.match(r"[a-z]+:", link)]
    return [x for x in own if not (folder / x.partition("#")[0]).resolve().is_file()]


def output_faults(cells):
    "What another machine would not give again"
    shown = [
        (source, json.dumps(output))
        for _, source, outputs in cells
        for output in outputs
        if "slow" not in directives(source)
    ]
    found = [
        s[:60] for s, text in shown if re.search(r"/tmp/|/home/|0x[0-9a-f]{6}", text)
    ]
    found += [s[:60] for s, text in shown if '"output_type": "error"' in text]
    return found + [s[:60] for s, text in shown if re.search(r"\d+:\d\d:\d\d", text)]


# --- the pages ---


def test_the_tutorials_are_numbered_once_each():
    numbers = [path.name[:3] for path in TUTORIALS]
    assert TUTORIALS and all(re.fullmatch(r"\d\d_", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_the_sidebar_leads_to_them():
    site = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    listed = [
        entry.get("contents")
        for entry in site["website"]["sidebar"]["contents"]
        if isinstance(entry, dict)
    ]
    assert "tutorials/*.ipynb" in listed and "explanations/*.ipynb" in listed


@each
def test_it_promises_what_the_reader_will_have(path):
    assert promise_faults(cells_of(path)) == []


@each
def test_it_has_an_exercise_with_a_folded_solution(path):
    assert exercise_faults(cells_of(path)) == []


@each_page
def test_pictures_are_described(path):
    assert picture_faults(cells_of(path)) == []


@each_page
def test_headings_are_in_order(path):
    assert heading_faults(cells_of(path)) == []


@each_page
def test_code_does_not_run_on_without_a_word(path):
    assert run_faults(cells_of(path)) == []


@each_page
def test_links_lead_somewhere(path):
    assert link_faults(cells_of(path), path.parent) == []


@each_page
def test_outputs_hold_on_another_machine(path):
    assert output_faults(cells_of(path)) == []


@each
def test_slow_cells_keep_what_a_run_gave(path):
    slow = [out for _, source, out in cells_of(path) if "slow" in directives(source)]
    assert all(slow)


@each
def test_most_code_shows_something(path):
    code = [
        (source, outputs)
        for kind, source, outputs in cells_of(path)
        if kind == "code" and "hide" not in directives(source)
    ]
    silent = [source for source, outputs in code if not outputs]
    assert len(silent) <= len(code) / 2
    assert sum(map(bool, (outputs for _, outputs in code))) >= 6


@each
def test_it_speaks_plainly(path):
    words = re.findall(r"\w+", prose_of(cells_of(path)).lower())
    assert not {"simply", "powerful", "seamless", "leverage", "blazing"} & set(words)


# --- the faults are seen ---

GOOD = [
    (
        "markdown",
        "# A page\n\n> A line.\n\nAt the end you have\n\n1. a\n2. b\n3. c",
        [],
    ),
    ("code", "1 + 1", [{"output_type": "stream", "text": ["2"]}]),
    ("markdown", "## Exercise\n\nWhy?", []),
    ("code", '#| code-fold: true\n#| code-summary: "A solution"\nprint(2)', []),
]
PICTURE = [{"output_type": "display_data", "data": {"image/png": "…"}}]


def test_a_good_page_has_no_fault():
    for faults in (promise_faults, exercise_faults, picture_faults, heading_faults):
        assert faults(GOOD) == []
    assert run_faults(GOOD) == [] == output_faults(GOOD) == link_faults(GOOD, ROOT)


def test_each_fault_is_seen():
    assert promise_faults([("markdown", "# A page\n\n> A line.", [])])
    assert promise_faults([("markdown", GOOD[0][1].replace("3.", "4."), [])])
    assert exercise_faults(GOOD[:3]) and exercise_faults(GOOD[:2])
    assert picture_faults([("code", "plot()", PICTURE)])
    assert not picture_faults(
        [("code", f'#| fig-alt: "{"word " * 9}"\nplot()', PICTURE)]
    )
    assert heading_faults([*GOOD, ("markdown", "#### Deep", [])])
    assert heading_faults([*GOOD, ("markdown", "# Another title", [])])
    assert run_faults([("code", "1", [])] * 4) and not run_faults(
        [("code", "1", [])] * 3
    )
    assert link_faults([("markdown", "[x](no_such.ipynb)", [])], ROOT) == [
        "no_such.ipynb"
    ]
    assert not link_faults([("markdown", "[x](setup.py#a), `[y](z)`", [])], ROOT)
    assert output_faults([("code", "x", [{"output_type": "error"}])])
    assert output_faults([("code", "x", [{"output_type": "stream", "text": "/tmp/a"}])])

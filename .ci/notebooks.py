"""Runs notebooks again, and compares what they print and draw with what they hold.

    python .ci/notebooks.py [--write] [NOTEBOOK or FOLDER ...]

Without a name: all below nbs/. Cells flagged slow or gpu, and cells marked
`eval: false`, are left out. With --write the fresh outputs are stored.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def notebooks() -> list[Path]:
    "All notebooks of the project, in order"
    top = ROOT / "nbs"
    found = sorted(path.relative_to(top) for path in top.rglob("*.ipynb"))
    return [
        top / p for p in found if not any(x.startswith((".", "_")) for x in p.parts)
    ]


def runs(cell: Any, flags: set[str]) -> bool:
    "Whether this cell is executed here"
    if cell.cell_type != "code" or flags & cell.directives_.keys():
        return False
    return cell.directives_.get("eval:", [""])[0].lower() != "false"


def execute(path: Path) -> tuple[Any, Any]:
    "The notebook as it lies there, and as it is after a run; SystemExit on an error"
    from execnb.shell import CaptureShell
    from fastcore.xtras import working_directory
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    from nbdev.process import NBProcessor

    os.environ["IN_TEST"] = "1"  # a notebook that exports does nothing
    flags = set(get_config(path=ROOT).tst_flags.split())
    fresh = NBProcessor(path, rm_directives=False).nb
    held = copy.deepcopy(fresh)
    shell = CaptureShell(path, mpl_format="png")
    with working_directory(path.parent):
        for cell in fresh.cells:
            if not runs(cell, flags):
                continue
            cell.outputs = []
            shell.cell(cell)
            if shell.exc:
                sys.exit(shell.prettytb(path))
    for notebook in (held, fresh):
        clean_nb(notebook)
    return held, fresh


def lines_of(outputs: Any) -> list[str]:
    "Outputs as lines of text; a picture is its size and checksum"
    lines = []
    for output in json.loads(json.dumps(outputs)):
        kind = output["output_type"]
        if kind == "stream":
            lines += [f"[{output['name']}]", *"".join(output["text"]).splitlines()]
            continue
        for mime, data in sorted(output.get("data", {}).items()):
            text = "".join(data) if isinstance(data, list) else str(data)
            if mime.startswith("image/"):
                checksum = hashlib.sha256(text.strip().encode()).hexdigest()[:12]
                text = f"{len(text.strip())} characters, sha256 {checksum}"
            lines += [f"[{kind} {mime}]", *text.splitlines()]
        if kind == "error":
            lines += ["[error]", f"{output['ename']}: {output['evalue']}"]
    return lines


def differences(held: Any, fresh: Any) -> Iterator[str]:
    "A unified diff for each cell whose outputs are not those it holds"
    for old, new in zip(held.cells, fresh.cells, strict=True):
        before = lines_of(old.get("outputs", []))
        after = lines_of(new.get("outputs", []))
        if before != after:
            yield f"cell {old.id}:"
            names = "in the notebook", "from this run"
            diff = difflib.unified_diff(before, after, *names, lineterm="")
            yield from (f"    {line}" for line in diff)


def check(path: Path, write: bool) -> int:
    "Run one notebook in this process; 1 if its outputs are not those it holds"
    from execnb.nbio import write_nb

    held, fresh = execute(path)
    found = list(differences(held, fresh))
    print(*found, sep="\n")
    if write:
        write_nb(fresh, path)
    return int(bool(found) and not write)


def check_all(paths: list[Path], write: bool) -> int:
    "Each notebook in a process of its own, two at a time; 1 if one is not the same"

    def run(path: Path) -> subprocess.CompletedProcess[str]:
        options = ["--write"] if write else []
        command = [sys.executable, __file__, *options, "--alone", str(path)]
        return subprocess.run(command, capture_output=True, text=True)

    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for path, done in zip(paths, pool.map(run, paths), strict=True):
            failed += done.returncode != 0
            told = (done.stdout + done.stderr).strip()
            state = "ok" if done.returncode == 0 else "FAILED"
            print(f"{path.relative_to(ROOT)}: {state}")
            if told and (done.returncode or write):
                print(told)
    print(f"{len(paths) - failed} of {len(paths)} notebooks give what they hold")
    return int(failed > 0)


def main() -> int:
    "Exit status: 0 if every notebook gives the outputs it holds"
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("notebook", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="store fresh outputs")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    known = notebooks()
    wanted = [path.resolve() for path in given.notebook]
    below = [x for path in wanted for x in known if path in x.parents]
    paths = [*(x for x in wanted if x.is_file()), *below] if wanted else known
    if not paths:
        parser.error("there is no notebook below nbs/")
    if given.alone:
        return check(paths[0], given.write)
    return check_all(paths, given.write)


if __name__ == "__main__":
    sys.exit(main())

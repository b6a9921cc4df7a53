"""Every test: the library's notebooks by nbdev_test, the other pages, tests/ by pytest.

A page that exports nothing may define or load a class that a library page defines as
well, so each runs in a process of its own, and its outputs are compared with those that
it holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("tutorials", "explanations", "ko")  # folders of nbs/ that export nothing
BESIDE = Path(sys.executable).parent  # the commands of this environment


def main() -> int:
    "Exit status: 0 only if all pass; the others run also if one fails"
    environment = os.environ | {
        "PATH": os.pathsep.join([str(BESIDE), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    failed, elsewhere = 0, f"^([_.]|({'|'.join(PAGES)})$)"
    library = ["--n_workers", "2", "--timing", "--skip_folder_re", elsewhere]
    library += ["--skip_file_re", "^[^0-9]"]
    alone = sorted(path.name for path in (ROOT / "nbs").glob("[!0-9_]*.ipynb"))
    pages = [f"nbs/{one}" for one in (*PAGES, *alone)]
    for command in (
        [str(BESIDE / "nbdev_test"), *library],
        [sys.executable, ".ci/notebooks.py", *pages],
        [sys.executable, "-m", "pytest"],
    ):
        print("$", " ".join([Path(command[0]).name, *command[1:]]), flush=True)
        failed |= subprocess.run(command, cwd=ROOT, env=environment).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Every test: the notebooks by nbdev_test, then tests/ by pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = Path(sys.executable).parent  # the commands of this environment


def main() -> int:
    "Exit status: 0 only if both pass; the second runs also if the first fails"
    environment = os.environ | {
        "PATH": os.pathsep.join([str(BESIDE), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    failed = 0
    for command in (
        [str(BESIDE / "nbdev_test"), "--n_workers", "2", "--timing"],
        [sys.executable, "-m", "pytest"],
    ):
        print("$", " ".join([Path(command[0]).name, *command[1:]]), flush=True)
        failed |= subprocess.run(command, cwd=ROOT, env=environment).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Makes README.md from nbs/index.ipynb, by Quarto where it is there, else by nbconvert.

    python .ci/readme.py [--check] [--to FILE]

Hidden cells and directives are left out, outputs stay as text or Markdown, and links
lead on from the repository's root. With --check nothing is written: the exit status
says whether README.md tells what the notebook tells.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "nbs" / "index.ipynb"
NOTE = "<!-- Generated from nbs/index.ipynb by .ci/readme.py ({}). -->\n\n"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.M | re.S)


def repository() -> str:
    "Where the files of the project are shown"
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return "{git_url}/blob/{branch}/".format(**parser["DEFAULT"])


def from_root(target: str) -> str:
    "A link's target seen from the root; FileNotFoundError where nothing lies there"
    path = posixpath.normpath(posixpath.join("nbs", target))
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"nbs/index.ipynb links {target}: there is no {path}")
    return path


def relink(text: str) -> str:
    "Links of a page in nbs/, as links of a page at the root; code stays as it is"
    text = text.replace(f"]({repository()}", "](../")  # what is no page of the site
    parts = CODE.split(text)  # code stands at the odd places
    for place in range(0, len(parts), 2):
        parts[place] = LINK.sub(lambda found: from_root(found[1]), parts[place])
    return "".join(parts)


def shown(cell: Any) -> bool:
    "Whether a cell is part of the page"
    given = cell.directives_
    hidden = "hide" in given or given.get("include:", [""])[0].lower() == "false"
    return not hidden and "default_exp" not in given


def as_text(outputs: list[Any]) -> list[Any]:
    "Outputs without pictures and without what goes to standard error"
    kept = [
        output
        for output in outputs
        if output.get("name") != "stderr"
        and not any(mime.startswith("image/") for mime in output.get("data", {}))
    ]
    for output in kept:
        data = output.get("data", {})
        for mime in ("text/markdown", "text/plain"):
            if mime in data:
                output["data"] = {mime: data[mime]}
                break
    return kept


def page(path: Path = INDEX) -> Any:
    "The notebook as the README shows it"
    from nbdev.process import NBProcessor

    notebook = NBProcessor(path, rm_directives=True).nb
    notebook.cells = [cell for cell in notebook.cells if shown(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source)
        elif cell.cell_type == "code":
            cell.outputs = as_text(cell.outputs)
            without = cell.directives_.get("echo:", [""])[0].lower() == "false"
            cell.metadata["transient"] = {"remove_source": without}
    return notebook


def by_nbconvert(path: Path = INDEX) -> str:
    "The README as nbconvert writes it"
    import nbformat
    from execnb.nbio import nb2str
    from nbconvert import MarkdownExporter

    notebook = nbformat.reads(nb2str(page(path)), as_version=4)
    notebook.metadata["language_info"] = {"name": "python"}  # code blocks say so
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r"^[ \t]+$", "", text, flags=re.M)
    return NOTE.format("nbconvert") + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def by_quarto(path: Path = INDEX) -> str:
    "The README as Quarto writes it"
    from execnb.nbio import write_nb

    with tempfile.TemporaryDirectory() as folder:
        write_nb(page(path), Path(folder) / "index.ipynb")
        command = "quarto render index.ipynb --to gfm --no-execute --output README.md"
        subprocess.run(command.split(), cwd=folder, check=True)
        text = (Path(folder) / "README.md").read_text(encoding="utf-8")
    return NOTE.format("Quarto") + text.strip() + "\n"


def words(text: str) -> list[str]:
    "What a page says, whatever its line breaks, quotes, escapes and fences"
    text = re.sub(r"<!--.*?-->|^ *```.*?$", "", text, flags=re.S | re.M)
    return re.findall(r"\w+", text.replace("\\_", "_"))


def in_step(readme: str, path: Path = INDEX) -> bool:
    "Whether a README tells what the notebook tells"
    fresh = by_nbconvert(path)
    if readme.startswith(NOTE.format("Quarto")):
        return words(readme) == words(fresh)
    return readme == fresh


def main() -> int:
    "Exit status: 1 if a check fails"
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--to", type=Path, default=ROOT / "README.md", metavar="FILE")
    given = parser.parse_args()
    if given.check:
        if given.to.exists() and in_step(given.to.read_text(encoding="utf-8")):
            return 0
        print(f"{given.to.name} is not what nbs/index.ipynb tells: run .ci/readme.py")
        return 1
    text = by_quarto() if shutil.which("quarto") else by_nbconvert()
    given.to.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

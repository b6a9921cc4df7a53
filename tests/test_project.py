"The project stands: order of the notebooks, packaging, types, imports, README"

from __future__ import annotations

import ast
import configparser
import copy
import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

import flairnb

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "flairnb"
LIBRARY = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
PAGES = sorted(
    path
    for path in (ROOT / "nbs").rglob("*.ipynb")
    if not any(part.startswith((".", "_")) for part in path.relative_to(ROOT).parts)
)
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name[0] != "_")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
named = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
numbered = pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
modular = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)

# --- reading what is there ---


@cache
def code_cells(path: Path) -> list[str]:
    "Sources of the code cells of a notebook"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def directives(source: str) -> list[str]:
    "The `#|` lines at the head of a cell"
    found = []
    for line in source.splitlines():
        if match := re.match(r"\s*#\s*\|\s*(.*\S)", line):
            found.append(match[1])
        elif line.strip():
            break
    return found


def default_exp(path: Path) -> list[str]:
    "Modules that a notebook names as its own"
    heads = [line for source in code_cells(path) for line in directives(source)]
    return [line.split()[1] for line in heads if line.startswith("default_exp ")]


def number(path: Path) -> str:
    "The place of a notebook in the row: 05a stands between 05 and 06"
    found = path.stem.split("_")[0]
    assert re.fullmatch(r"\d\d[a-z]?", found), f"{path.name} has no place in the row"
    return found


@cache
def floors() -> dict[str, str]:
    "Number of the notebook of each module"
    return {
        f"flairnb.{name}": number(path)
        for path in LIBRARY
        for name in default_exp(path)
    }


@cache
def handed_on(package: str) -> dict[str, str]:
    "Where the names of a package's hand-written `__init__.py` come from"
    file = ROOT.joinpath(*package.split(".")) / "__init__.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def origin(module: str, name: str) -> str:
    "The module of a notebook that `from module import name` rests on"
    if module in floors():
        return module
    if f"{module}.{name}" in floors():
        return f"{module}.{name}"
    return handed_on(module).get(name, module)


def own_imports(source: str) -> list[str]:
    "Modules of flairnb that code imports, at its head or inside functions"
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [
                origin(node.module or "", alias.name)
                for alias in node.names
                if (node.module or "").split(".")[0] == "flairnb"
            ]
    return [name for name in found if name.split(".")[0] == "flairnb"]


def too_high(source: str, floor: str) -> list[str]:
    "Imports of code on one floor that do not rest on a lower one"
    lower = {name for name, place in floors().items() if place < floor} | {"flairnb"}
    return [name for name in own_imports(source) if name not in lower]


def has_test(source: str) -> bool:
    return bool(re.search(r"\btest_\w+\(|^\s*assert\b", source, re.M))


def is_hidden(source: str) -> bool:
    heads = [re.sub(r"\s", "", line) for line in directives(source)]
    return "hide" in heads or "include:false" in heads


# --- notebooks and modules ---


@numbered
def test_a_notebook_rests_on_smaller_numbers(path):
    found = [
        name for source in code_cells(path) for name in too_high(source, number(path))
    ]
    assert not found, f"{path.name} imports {found}: these do not come before it"


def test_the_order_of_notebooks_is_looked_at():
    "A module of the same floor, a higher one, and a name handed on by a package are seen"
    assert too_high("from flairnb.saving import x", floors()["flairnb.saving"])
    assert too_high("def f():\n    import flairnb.trainers.trainer", "10")
    assert too_high("from flairnb.trainers import ModelTrainer", "10")
    assert too_high("from flairnb.nn import crf", "10")
    assert too_high("from flairnb.datasets import ColumnCorpus", "05a")
    assert not too_high("from flairnb.datasets.files import DataError", "06")
    assert not too_high("from flairnb.data import Sentence, Label", "10")
    assert not too_high("import flairnb, torch\nfrom flairnb import set_seed", "10")


def test_a_number_and_a_module_belong_to_one_notebook():
    assert len({number(path) for path in LIBRARY}) == len(LIBRARY)
    assert all(len(default_exp(path)) == 1 for path in LIBRARY)
    assert len(floors()) == len(LIBRARY)


def test_every_module_is_exported_by_a_notebook():
    exported = {PACKAGE.parent.joinpath(*name.split(".")) for name in floors()}
    assert {path.with_suffix("") for path in MODULES} == exported


def test_pages_outside_the_row_export_nothing():
    assert [p.name for p in PAGES if p not in LIBRARY and default_exp(p)] == []


@named
def test_no_test_is_hidden(path):
    hidden = [cell for cell in code_cells(path) if is_hidden(cell) and has_test(cell)]
    assert not hidden, f"{path.name} hides a test:\n{hidden[0]}"


def test_a_hidden_test_is_seen():
    assert is_hidden("#| hide\ntest_eq(1, 1)") and has_test("#| hide\ntest_eq(1, 1)")
    assert is_hidden("#|include: false\nassert x")
    assert not has_test("from fastcore.test import test_eq")


# --- the package ---


def public_functions(tree: ast.Module) -> list[tuple[str, Any]]:
    "Functions of a module and methods of its classes, by name"
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += [
                (f"{node.name}.{member.name}", member)
                for member in node.body
                if isinstance(member, ast.FunctionDef)
            ]
        elif isinstance(node, ast.FunctionDef):
            found.append((node.name, node))
    return [(name, f) for name, f in found if not re.match(r"_[^_]", f.name)]


def untyped(source: str) -> list[str]:
    "Arguments and results of public functions without a type"
    found = []
    for name, function in public_functions(ast.parse(source)):
        given = function.args
        every = [
            *given.posonlyargs,
            *given.args,
            given.vararg,
            *given.kwonlyargs,
            given.kwarg,
        ]
        decorators = {ast.unparse(one) for one in function.decorator_list}
        if "." in name and "staticmethod" not in decorators:
            every = every[1:]  # self or cls
        found += [f"{name}({a.arg})" for a in every if a and a.annotation is None]
        if function.returns is None and function.name != "__init__":
            found.append(f"{name} -> ?")
    return found


@modular
def test_public_functions_are_typed(path):
    assert untyped(path.read_text(encoding="utf-8")) == []


def test_a_missing_type_is_seen():
    assert untyped("def f(a, *b, c: int = 1, **d) -> None: ...") == [
        "f(a)",
        "f(b)",
        "f(d)",
    ]
    assert untyped("class A:\n    def f(self, x: int): ...") == ["A.f -> ?"]
    assert untyped("class A:\n    def __init__(self, x: int): ...") == []


def pickles(source: str) -> list[str]:
    "Where code reads or writes pickles"
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [
            alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")
        ]
        if isinstance(node, ast.Import):
            found += [
                x
                for x in names
                if re.match(r"(pickle|dill|joblib|shelve|cloudpickle)\b", x)
            ]
        elif isinstance(node, ast.ImportFrom):
            joined = [f"{node.module}.{x}" for x in names]
            found += [
                x
                for x in joined
                if re.match(
                    r"(pickle|dill|joblib|shelve|cloudpickle)\b|torch\.(save|load)$", x
                )
            ]
        elif isinstance(node, ast.Attribute) and node.attr in ("save", "load"):
            found += ["torch." + node.attr] * (ast.unparse(node.value) == "torch")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += ["allow_pickle"] * (ast.unparse(node.value) != "False")
    return found


@modular
def test_no_pickle_is_read_or_written(path):
    assert pickles(path.read_text(encoding="utf-8")) == []


def test_a_pickle_is_seen():
    for line in (
        "import pickle", "from pickle import dumps", "torch.save(x, f)", "torch.load(f)",
        "from torch import load", "np.load(f, allow_pickle=True)", "import joblib as j",
    ):  # fmt: skip
        assert pickles(line), line
    assert not pickles(
        "self.save(x); safetensors.torch.load(x); np.load(f, allow_pickle=False)"
    )


IMPORT = """
import socket, sys
def refuse(*given, **named): raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import importlib
for name in {names!r}: importlib.import_module(name)
heavy = "gensim", "matplotlib", "transformers", "pooch", "requests", "ipywidgets"
print([name for name in heavy if name in sys.modules])
"""


def test_an_import_is_light_and_touches_no_network():
    "Of every module: what is heavy or rare is imported where it is used"
    for names in (["flairnb"], sorted(floors())):
        code = IMPORT.format(names=names)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "[]", f"{names} import {done.stdout}"


def test_the_package_says_that_it_is_typed():
    assert (Path(flairnb.__file__).parent / "py.typed").is_file()


# --- settings, constraints, version ---


@cache
def settings() -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


def required(key: str) -> list[Requirement]:
    return [Requirement(word) for word in settings()[key].split()]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(python: str) -> dict[str, str]:
    "Versions that constraints.txt gives under a version of Python"
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        assert re.fullmatch(
            r'[\w.-]+==[\w.]+( ; python_version (<|>=) "3\.\d+")?', line
        ), line
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"python_version": python}):
            assert plain(one.name) not in found, f"{one.name} stands twice for {python}"
            found[plain(one.name)] = str(one.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_a_constraint_that_it_allows(python):
    held = pins(python)
    for one in required("requirements") + required("dev_requirements") + extras():
        assert plain(one.name) in held, f"constraints.txt lacks {one.name}"
        assert one.specifier.contains(held[plain(one.name)]), (
            f"{one}: {held[plain(one.name)]}"
        )


IMPORTED_AS = {
    "scikit-learn": "sklearn",
    "mlflow-skinny": "mlflow",
}  # where it is not the name of the package


def extras() -> list[Requirement]:
    "What is installed only by those who ask"
    keys = [key for key in settings() if key.startswith("extra_")]
    return [one for key in keys for one in required(key)]


def import_name(one: Requirement) -> str:
    return IMPORTED_AS.get(plain(one.name), plain(one.name).replace("-", "_"))


def imports(nodes: Any) -> set[str]:
    "Packages that these nodes of a syntax tree import, those of flairnb's own aside"
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found - {*sys.stdlib_module_names, "flairnb"}


def at_once(tree: ast.AST) -> Any:
    "Nodes that run when a module is imported: those outside functions"
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from at_once(node)


def test_what_is_required_is_what_is_imported():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in MODULES]
    always = {import_name(one) for one in required("requirements")}
    by_choice = {import_name(one) for one in extras()}
    assert not always & by_choice
    assert (
        set().union(*(imports(ast.walk(tree)) for tree in trees)) == always | by_choice
    )
    assert set().union(*(imports(at_once(tree)) for tree in trees)) <= always


def test_an_import_outside_functions_is_seen():
    source = """
def f():
    import a
class B:
    import b
    def g(self): from c import x
try:
    from d.e import y
except ImportError: ...
"""
    assert imports(at_once(ast.parse(source))) == {"b", "d"}
    assert imports(ast.walk(ast.parse(source))) == {"a", "b", "c", "d"}


def test_the_version_is_the_same_everywhere():
    assert flairnb.__version__ == settings()["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changes, re.M)[1] == settings()["version"]


# --- what is committed ---


def machine_paths(text: str) -> list[str]:
    "Absolute paths that exist on one machine only"
    homes = "work", "root", "tmp/w", r"home/\w+", r"Users/\w+"
    return re.findall(rf"(?<![\w.+])/(?:{'|'.join(homes)})/[\w.]+", text)


def test_no_path_of_a_machine_is_committed():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    found = {}
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            found[name] = machine_paths(data.decode("utf-8", errors="replace"))
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_a_path_of_a_machine_is_seen():
    for top in ("work", "root", "tmp/w", "home/ann"):
        assert machine_paths(f'open("/{top}/x.txt")') == [f"/{top}/x.txt"]
    assert machine_paths("https://github.com/" + "work/x and a/" + "root/x") == []


# --- links between pages ---


def prose(path: Path) -> str:
    "All text cells of a notebook"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join(
        "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"
    )


def anchors(path: Path) -> set[str]:
    "What a link to a heading of a notebook may be called"
    heads = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {
        re.sub(r"[^\w\s.-]", "", head).strip().lower().replace(" ", "-")
        for head in heads
    }


def dead_links(path: Path) -> list[str]:
    "Links of a notebook to a page, or to a heading of one, that is not there"
    dead = []
    for page, anchor in re.findall(
        r"\]\(([\w./-]+\.ipynb)?(?:#([^)\s]+))?\)", prose(path)
    ):
        target = path.parent / page if page else path
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            dead.append(f"{page}#{anchor}" if anchor else page)
    return dead


@named
def test_links_lead_somewhere(path):
    assert dead_links(path) == []


def test_a_dead_link_is_seen(tmp_path):
    text = "# Two words\n[a](page.ipynb#two-words) [b](#two) [c](other.ipynb) [d](https://x.y)"
    page = tmp_path / "page.ipynb"
    cell = {"cell_type": "markdown", "source": [text]}
    page.write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    assert dead_links(page) == ["#two", "other.ipynb"]


# --- README and the tools that hold it ---


def tool(name: str) -> ModuleType:
    "A script of `.ci/` as a module"
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_what_the_index_tells():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert tool("readme").in_step(text), "run .ci/readme.py"


def test_a_stale_readme_is_seen():
    readme = tool("readme")
    fresh = readme.by_nbconvert()
    assert readme.in_step(fresh)
    assert not readme.in_step(fresh.replace("flairnb demo", "flairnb try"))
    quarto = readme.NOTE.format("Quarto") + "\n".join(fresh.split("-->")[1].split(" "))
    assert readme.in_step(quarto)
    assert not readme.in_step(quarto.replace("tagger", "parser", 1))


def test_links_of_the_readme_start_at_the_root():
    readme = tool("readme")
    text = "[a](00_foundation.ipynb#x) [b](../LICENSE) [c](https://x.y/z) [d](#e)\n"
    made = "[a](nbs/00_foundation.ipynb#x) [b](LICENSE) [c](https://x.y/z) [d](#e)\n"
    assert readme.relink(text) == made
    code = "`[a](b)`\n```sh\n[a](b)\n```\n"
    assert readme.relink(code) == code
    with pytest.raises(FileNotFoundError, match=r"links none\.ipynb"):
        readme.relink("[a](none.ipynb)")


def test_an_output_that_changed_is_seen():
    printed = {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}
    drawn = {
        "output_type": "display_data",
        "data": {"image/png": "iVBO"},
        "metadata": {},
    }
    cell = {"id": "one", "outputs": [printed, drawn]}

    class Cell(dict):
        id = "one"

    def compare(change):
        other = copy.deepcopy(cell)
        change(other["outputs"])
        pair = [SimpleNamespace(cells=[Cell(each)]) for each in (cell, other)]
        return "\n".join(tool("notebooks").differences(*pair))

    assert compare(lambda outputs: None) == ""
    assert "-b" in compare(lambda outputs: outputs[0].update(text=["a\n", "c\n"]))
    assert "sha256" in compare(
        lambda outputs: outputs[1]["data"].update({"image/png": "iVBP"})
    )
    assert "image/png" in compare(lambda outputs: outputs.pop())

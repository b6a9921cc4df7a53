"The Korean pages run what the English ones run, but for strings, comments and an end of their own"

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[1] / "nbs"
KOREAN = sorted((PAGES / "ko").glob("*.ipynb"))


def cells(path):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: (cell["cell_type"], "".join(cell["source"])) for cell in found}


class NoStrings(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        inner = [self.visit(x) for x in node.values if not isinstance(x, ast.Constant)]
        return ast.JoinedStr(inner)


def bare(source):
    return ast.dump(NoStrings().visit(ast.parse(source)))


def directives(source):
    lines = [x for x in source.splitlines() if x.startswith("#|")]
    return [x.split(":")[0] for x in lines]


def test_there_are_korean_pages():
    assert KOREAN


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.stem)
def test_both_languages_run_the_same_code(path):
    ours, english = cells(path), cells(PAGES / "tutorials" / path.name)
    own = {name for name in ours if name.startswith("korean-")}
    assert own and [n for n in ours if n not in own] == [*english]
    for name, (kind, source) in english.items():
        assert kind == ours[name][0]
        if kind == "code":
            assert bare(source) == bare(ours[name][1]), name
            assert directives(source) == directives(ours[name][1]), name


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.stem)
def test_prose_is_korean(path):
    for name, (kind, source) in cells(path).items():
        if kind == "markdown":
            told = re.sub(r"`[^`]*`|\]\([^)]*\)|\*[A-Za-z]+\*", "", source)
            prose = [c for c in told if c.isalpha()]
            hangul = sum("가" <= c <= "힣" for c in prose)
            assert hangul > len(prose) / 3, name


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.stem)
def test_comments_and_output_strings_are_translated(path):
    ours, english = cells(path), cells(PAGES / "tutorials" / path.name)
    for name, (kind, source) in ours.items():
        if kind != "code" or name not in english:
            continue
        read = io.StringIO(source).readline
        comments = {
            t.string.strip("# ")
            for t in tokenize.generate_tokens(read)
            if t.type == tokenize.COMMENT and not t.string.startswith("#|")
        }
        left = [x for x in comments if x and x in english[name][1] and x.isascii()]
        assert not [x for x in left if " " in x], name


def test_a_difference_in_code_would_be_seen():
    assert bare("f('a', 1)  # x") == bare('f("b", 1)')
    assert bare("f('a', 1)") != bare("f('a', 2)")
    assert bare("print(f'{x} a')") == bare("print(f'b {x}')")
    assert bare("print(f'{x}')") != bare("print(f'{y}')")

"""Builds the site without Quarto, from the same notebooks and `_quarto.yml`.

    python .ci/pages.py [FOLDER]

The pages go to FOLDER (`_site`), and need no server and no network.

nbconvert writes the cells, Pygments colours the code, latex2mathml sets formulas, and
elasticlunr searches: one small script, which pdoc ships, and which a script feeds, so
that it works from `file://`, where pagefind could not fetch its index. Nothing is
executed: outputs are those that the notebooks hold, and `.ci/run` proves them.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import html
import importlib.metadata
import io
import json
import posixpath
import re
import shutil
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import yaml
from execnb.nbio import nb2str
from latex2mathml.converter import convert as mathml
from nbconvert import HTMLExporter, TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbdev.process import NBProcessor
from pygments import highlight
from pygments.filter import simplefilter
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Literal, Operator, Token
from pygments.token import Name as NameToken

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "nbs"
THEME = Path(__file__).resolve().parent / "theme"
ELASTICLUNR = "pdoc/templates/resources/elasticlunr.min.js"
COLOURED = (
    Comment,
    Keyword,
    Literal,
    NameToken.Builtin,
    NameToken.Class,
    NameToken.Decorator,
    NameToken.Exception,
    NameToken.Function,
    Operator.Word,
)
LANGUAGES = {"en": "English", "ko": "한국어"}
WORDS = {
    "en": {
        "skip": "Skip to the text",
        "menu": "Pages",
        "search": "Search",
        "nothing": "Nothing found",
        "site": "Site",
        "pages": "Pages",
        "contents": "On this page",
        "turn": "Previous and next page",
        "before": "Previous",
        "after": "Next",
        "theme": "Light or dark",
        "source": "Source of this page",
    },
    "ko": {
        "skip": "본문으로 건너뛰기",
        "menu": "페이지 목록",
        "search": "검색",
        "nothing": "검색 결과가 없습니다",
        "site": "사이트",
        "pages": "페이지 목록",
        "contents": "이 페이지의 내용",
        "turn": "이전 페이지와 다음 페이지",
        "before": "이전",
        "after": "다음",
        "theme": "밝게 또는 어둡게",
        "source": "이 페이지의 원본",
    },
}


# --- settings and the sidebar ---


@cache
def settings() -> dict[str, str]:
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


@cache
def quarto() -> dict[str, Any]:
    "The part of `_quarto.yml` that says what the site is"
    return yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]


def in_repository(address: str) -> str | None:
    "The path of a file whose address in the repository is given; None for others"
    head = f"{settings()['git_url']}/blob/{settings()['branch']}/"
    return address.removeprefix(head) if address.startswith(head) else None


@cache
def notebooks() -> list[str]:
    "Paths of all pages below `nbs/`, as Quarto sees them"
    found = (path.relative_to(NOTEBOOKS) for path in NOTEBOOKS.rglob("*.ipynb"))
    visible = (p for p in found if not any(x.startswith((".", "_")) for x in p.parts))
    return sorted(path.as_posix() for path in visible)


def matching(patterns: str | list[str]) -> Iterator[str]:
    "Notebooks that fit patterns; a `*` does not cross folders"
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        wanted = pattern.removeprefix("/")
        for path in notebooks():
            level = path.count("/") == wanted.count("/")
            if level and fnmatch.fnmatchcase(path, wanted) and path != "index.ipynb":
                yield path


def listed(contents: Any) -> Iterator[str]:
    "Sources of the pages of a part of the sidebar, from the root of the repository"
    if isinstance(contents, str):
        contents = [{"auto": contents}]
    for entry in contents:
        if isinstance(entry, str):
            yield f"nbs/{entry}"
        elif "auto" in entry:
            yield from (f"nbs/{path}" for path in matching(entry["auto"]))
        else:
            yield in_repository(entry["href"]) or f"nbs/{entry['href']}"


def sidebar() -> dict[str, list[str]]:
    "Sources of all pages by section; those above all sections have no title"
    found: dict[str, list[str]] = {}
    for entry in quarto()["sidebar"]["contents"]:
        if isinstance(entry, dict) and "section" in entry:
            found.setdefault(entry["section"], []).extend(listed(entry["contents"]))
        else:
            found.setdefault("", []).extend(listed([entry]))
    return found


# --- pages ---


@dataclass
class Heading:
    level: int
    anchor: str
    html: str
    text: str = ""  # What stands below it, for the search


@dataclass(eq=False)
class Page:
    "A page of the site"

    source: str  # Path in the repository; nothing where it has no source
    url: str  # Path in the site
    title: str = ""
    summary: str = ""
    headings: list[Heading] = field(default_factory=list)
    names: list[Name] = field(default_factory=list)
    twin: Page | None = None  # The same page in another language

    @property
    def language(self) -> str:
        folder = self.url.split("/")[0]
        return folder if folder in LANGUAGES else "en"

    @property
    def up(self) -> str:
        return "../" * self.url.count("/")


def url_of(source: str) -> str:
    "Where a page stands in the site: numbers are left out, as nbdev does"
    path = source.removeprefix("nbs/")
    folder, name = posixpath.split(path)
    name = re.sub(r"^\d+[a-zA-Z0-9]*_", "", name.lower())
    return posixpath.join(folder, posixpath.splitext(name)[0] + ".html")


def slug(text: str) -> str:
    "The anchor of a heading, as Pandoc makes it"
    plain = re.sub(r"[^\w\s.-]", "", html.unescape(re.sub(r"<[^>]+>", "", text)))
    return re.sub(r"^[^a-z가-힣]+", "", re.sub(r"\s+", "-", plain.strip().lower()))


def read(page: Page) -> Any:
    "Title, summary and cells of a page, each cell with the directives it had"
    path = ROOT / page.source
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
        cells = [nbformat.v4.new_markdown_cell(text)]
        notebook = nbformat.v4.new_notebook(cells=cells)
    else:
        notebook = cells_of(path)
    head = notebook.cells[0].source
    title, summary = (
        re.search(r"^# (.+)", head, re.M),
        re.search(r"^> (.+)", head, re.M),
    )
    page.title = title[1].replace("`", "") if title else path.stem
    page.summary = summary[1].replace("`", "") if summary else ""
    return notebook


def cells_of(path: Path) -> Any:
    "A notebook for nbconvert: directives have become metadata, what is hidden is gone"
    told = NBProcessor(path, rm_directives=True).nb
    directives = [
        cell.directives_ if "directives_" in cell else {} for cell in told.cells
    ]
    notebook = nbformat.reads(nb2str(told), as_version=4)
    for cell, given in zip(notebook.cells, directives, strict=True):
        named = {name.rstrip(":"): " ".join(value) for name, value in given.items()}
        cell.metadata = metadata_of(named)
        cell.source = re.sub(r"\A(#\|.*\n?)+", "", cell.source)  # those for Quarto
    notebook.cells = [cell for cell in notebook.cells if not cell.metadata.hidden]
    return notebook


def metadata_of(given: dict[str, str]) -> nbformat.NotebookNode:
    "What the directives of a cell say about how it is shown"
    off = {name for name, value in given.items() if value.lower() == "false"}
    exported = {"export", "exporti"} & given.keys()
    fold = (
        given.get("code-summary", "Code").strip("\"'") if "code-fold" in given else ""
    )
    return nbformat.from_dict(
        {
            "hidden": bool({"hide", "default_exp"} & given.keys()) or "include" in off,
            "transient": {"remove_source": "hide_input" in given or "echo" in off},
            "outputs": not ("hide_output" in given or "output" in off),
            "exported": bool(exported or "exports" in given),
            "fold": fold or ("Source" if exported else ""),
            "fold_open": given.get("code-fold") == "show",
            "alt": given.get("fig-alt", "").strip("\"'"),
        }
    )


# --- public names ---


@dataclass
class Name:
    "A function, a class, a method or a value that flairnb exports"

    path: str  # Such as `CRF` or `CRF.forward`
    kind: str
    signature: str  # Such as `forward(emissions, lengths)`
    about: str  # The docstring
    rows: list[tuple[str, str, str, str]]  # Argument, type, default, meaning
    page: Page
    inside: list[Name] = field(default_factory=list)  # Methods of a class
    anchor: str = ""  # In lower case, as nbdev has it


def comments_of(source: str) -> dict[int, str]:
    "Comments of a piece of code by their line"
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kind = tokenize.COMMENT
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == kind}


def unparsed(node: ast.expr | None) -> str:
    return ast.unparse(node) if node else ""


Row = tuple[str, str, str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def arguments_of(function: Function, comments: dict[int, str]) -> Iterator[Row]:
    "The arguments of a function and what it returns"
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    missing = [None] * (len(plain) - len(given.defaults))
    pairs: list[tuple[ast.arg, ast.expr | None]]
    pairs = [*zip(plain, [*missing, *given.defaults], strict=True)]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    stars = {id(given.vararg): "*", id(given.kwarg): "**"}
    pairs += [(one, None) for one in (given.vararg, given.kwarg) if one]
    for one, default in pairs:
        if one.arg not in ("self", "cls"):
            line = (default or one).end_lineno or 0
            name = stars.get(id(one), "") + one.arg
            said = comments.get(line, "")
            yield name, unparsed(one.annotation), unparsed(default), said
    if function.returns:
        said = comments.get(function.returns.end_lineno or 0, "")
        if said or unparsed(function.returns) != "None":
            yield "returns", unparsed(function.returns), "", said


def fields_of(node: ast.ClassDef, comments: dict[int, str]) -> Iterator[Row]:
    "The fields of a data class, a named tuple or the like"
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            said = comments.get(line.end_lineno or 0, "")
            kind, default = unparsed(line.annotation), unparsed(line.value)
            yield line.target.id, kind, default, said


def shown_signature(name: str, rows: list[Row], function: Function | None) -> str:
    "How a name is called, without types"
    arguments = [row for row in rows if row[0] != "returns"]
    only = {one.arg for one in function.args.kwonlyargs} if function else set()
    said: list[str] = []
    for argument, _, default, _ in arguments:
        if argument in only and not any(x.startswith("*") for x in said):
            said.append("*")
        said.append(f"{argument}={default}" if default else argument)
    return f"{name}({', '.join(said)})"


def members(node: ast.ClassDef) -> list[Function]:
    "Methods and properties of a class, without the setters of these"
    return [
        one
        for one in node.body
        if isinstance(one, Function)
        and not any("setter" in ast.unparse(x) for x in one.decorator_list)
    ]


def function_name(
    node: Function, page: Page, comments: dict[int, str], owner: str = ""
) -> Name:
    rows = [*arguments_of(node, comments)]
    marks = {ast.unparse(one).split(".")[-1] for one in node.decorator_list}
    known = {"property", "cached_property", "classmethod", "staticmethod"} & marks
    kind = known.pop() if known else ("method" if owner else "function")
    signature = shown_signature(node.name, rows, node)
    if kind.endswith("property"):
        kind, signature = "property", node.name
    path = f"{owner}.{node.name}" if owner else node.name
    return Name(path, kind, signature, ast.get_docstring(node) or "", rows, page)


def class_name(node: ast.ClassDef, page: Page, comments: dict[int, str]) -> Name:
    made = next((one for one in members(node) if one.name == "__init__"), None)
    rows = [*(arguments_of(made, comments) if made else fields_of(node, comments))]
    signature = shown_signature(node.name, rows, made) if rows else node.name
    about = ast.get_docstring(node) or ""
    named = Name(node.name, "class", signature, about, rows, page)
    named.inside = [
        function_name(one, page, comments, node.name)
        for one in members(node)
        if not one.name.startswith("_")
    ]
    return named


def names_in(source: str, page: Page) -> Iterator[Name]:
    "Public names that a cell defines"
    comments = comments_of(source)
    for node in ast.parse(source).body:
        if isinstance(node, Function) and node.name[0] != "_":
            yield function_name(node, page, comments)
        elif isinstance(node, ast.ClassDef) and node.name[0] != "_":
            yield class_name(node, page, comments)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            said = comments.get(node.end_lineno or 0, "")
            for name in (one.id for one in targets if isinstance(one, ast.Name)):
                if name[0] != "_":
                    yield Name(name, "value", name, said, [], page)


# --- from Markdown and cells to HTML ---


class Prose(IPythonRenderer):
    "Markdown of one page; keeps its headings, and what stands below each"

    def __init__(self, site: Site, page: Page) -> None:
        super().__init__(escape=False)
        self.site, self.page = site, page
        self.used: set[str] = set()
        for name in page.names:
            for one in (name, *name.inside):
                one.anchor = self.free(one.path.lower())

    def free(self, wanted: str) -> str:
        "An anchor that nothing else on the page has"
        number, anchor = 0, wanted
        while anchor in self.used:
            number += 1
            anchor = f"{wanted}-{number}"
        self.used.add(anchor)
        return anchor

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        anchor = self.free(slug(text) or "section")
        if level > 1 or self.page.headings:
            bare = re.sub(r"</?a\b[^>]*>", "", text)
            self.page.headings.append(Heading(level, anchor, bare))
        return f'<h{level} id="{anchor}">{text} {linked(anchor)}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        bare = re.sub(r"</?a\b[^>]*>", "", text)  # a name in code may have become one
        return super().link(bare, self.site.target(url, self.page), title)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return super().image(text, self.site.target(url, self.page), title)

    def codespan(self, text: str) -> str:
        name = self.site.find(text.removesuffix("()"), self.page)
        code = super().codespan(text)
        if not name:
            return code
        where = self.site.between(self.page, name.page, name.anchor)
        return f'<a class="name" href="{where}">{code}</a>'

    def inline_math(self, body: str) -> str:
        return str(mathml(body))

    def block_math(self, body: str) -> str:
        return f'<div class="formula">{mathml(body, display="block")}</div>\n'

    def table(self, text: str) -> str:
        return f'<div class="scroll"><table>{text}</table></div>\n'


@simplefilter
def coloured(self: Any, lexer: Any, stream: Any, options: Any) -> Iterator[Any]:
    "Only what the stylesheet colours keeps its kind; half as many tags"
    for kind, text in stream:
        yield (kind if any(kind in one for one in COLOURED) else Token.Text), text


def in_code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>" if text else ""


def linked(anchor: str) -> str:
    "The sign that appears beside a place and is a link to it"
    return f'<a class="anchor" href="#{anchor}" aria-hidden="true" tabindex="-1">#</a>'


CALLOUT = re.compile(r"^::: *\{\.callout-(\w+)([^}]*)\}\n(.*?)^:::$", re.M | re.S)


class Writer:
    "Turns the cells of one page into HTML"

    def __init__(self, site: Site, page: Page) -> None:
        self.markdown = MarkdownWithMath(renderer=Prose(site, page))
        self.page = page
        self.formatter, self.lexer = HtmlFormatter(cssclass="code"), PythonLexer()
        self.lexer.add_filter(coloured())

    def prose(self, text: str) -> str:
        "Markdown as HTML, with Quarto's boxes"
        made, last = [], 0
        for box in CALLOUT.finditer(text):
            title = re.search(r'title="([^"]*)"', box[2])
            head = f"<strong>{title[1] if title else box[1].capitalize()}</strong>"
            made.append(self.markdown.render(text[last : box.start()]))
            inner = self.markdown.render(box[3])
            made.append(f'<aside class="callout {box[1]}">{head}{inner}</aside>\n')
            last = box.end()
        return "".join([*made, self.markdown.render(text[last:])])

    def code(self, text: str) -> str:
        return highlight(text, self.lexer, self.formatter)

    def reference(self, name: Name, folded: bool) -> str:
        "Documentation of a name: how it is called, with what, and what for"
        if name.kind == "value":
            return f'<span id="{name.anchor}"></span>'
        about = self.prose(textwrap.dedent(name.about))
        table = self.arguments(name.rows)
        inside = "".join(self.member(one) for one in name.inside)
        if inside:
            inside = f"<h5>Methods and properties</h5><dl>{inside}</dl>"
        if folded and (table or inside):
            title = "Arguments" + (", methods, properties" if inside else "")
            table = f"<details><summary>{title}</summary>{table}{inside}</details>"
            inside = ""
        head = self.headed(name, f"<small>{name.kind}</small> ")
        return f'<section class="name">{head}{about}{table}{inside}</section>\n'

    def headed(self, name: Name, before: str = "") -> str:
        "The signature of a name, which is its own anchor"
        call = html.escape(name.signature)
        short = html.escape(name.path.split(".")[-1])
        call = call.replace(short, f"<b>{short}</b>", 1)
        shown = f"{before}<code>{call}</code> {linked(name.anchor)}"
        return f'<p class="signature" id="{name.anchor}">{shown}</p>'

    def member(self, name: Name) -> str:
        about = self.prose(textwrap.dedent(name.about))
        head = self.headed(name)
        return f"<dt>{head}</dt><dd>{about}{self.arguments(name.rows)}</dd>"

    def arguments(self, rows: list[Row]) -> str:
        "The table of arguments; nothing where there are none"
        if not rows:
            return ""
        lines = "".join(
            f'<tr><th scope="row">{argument}</th><td>{in_code(kind)}</td>'
            f"<td>{in_code(default)}</td><td>{self.inline(said)}</td></tr>"
            for argument, kind, default, said in rows
        )
        head = "<tr><th></th><th>Type</th><th>Default</th><th>Meaning</th></tr>"
        table = f'<table class="arguments"><thead>{head}</thead>'
        return f'<div class="scroll">{table}<tbody>{lines}</tbody></table></div>'

    def inline(self, text: str) -> str:
        "One line of Markdown, without a paragraph around it"
        return re.sub(r"^<p>|</p>$", "", self.prose(text).strip())


# --- the site ---


class Cells(HTMLExporter):
    "nbconvert's, without its second pass over what it wrote, which takes long"

    def from_notebook_node(self, *given: Any, **named: Any) -> Any:
        return TemplateExporter.from_notebook_node(self, *given, **named)


class Site:
    "All pages, and how they lead to each other"

    def __init__(self) -> None:
        self.sections = {
            title: [Page(source, url_of(source)) for source in sources]
            for title, sources in sidebar().items()
        }
        self.pages = [page for pages in self.sections.values() for page in pages]
        self.by_source = {page.source: page for page in self.pages}
        self.by_url = {page.url: page for page in self.pages}
        self.contents = {page.source: read(page) for page in self.pages}
        self.files: set[str] = set()  # of the repository, copied as they are
        self.faults: list[str] = []
        self.exporter = Cells(
            template_name=THEME.name, extra_template_basedirs=[str(THEME.parent)]
        )
        for page in self.pages:
            page.twin = self.twin(page)
            page.names = [*self.exported(page)]
        self.writers = {page.source: Writer(self, page) for page in self.pages}
        self.names = {
            one.path: one
            for page in self.pages
            for name in page.names
            for one in (name, *name.inside)
        }

    def twin(self, page: Page) -> Page | None:
        "The same page in the other language"
        folder, _, name = page.source.removeprefix("nbs/").partition("/")
        other = {"tutorials": "ko", "ko": "tutorials"}.get(folder, "")
        return self.by_source.get(f"nbs/{other}/{name}")

    def exported(self, page: Page) -> Iterator[Name]:
        for cell in self.contents[page.source].cells:
            if cell.cell_type == "code" and cell.metadata.exported:
                cell.metadata.names = [*names_in(cell.source, page)]
                yield from cell.metadata.names

    def find(self, text: str, page: Page) -> Name | None:
        "The name that code in a sentence speaks of, with its module or without"
        if page.source.endswith(".md"):
            return None
        return self.names.get(re.sub(r"^flairnb(\.[a-z_]+)*\.", "", text))

    def between(self, page: Page, other: Page, anchor: str = "") -> str:
        "A link from a page to a place in another"
        place = f"#{anchor}" if anchor else ""
        return place if page is other and anchor else page.up + other.url + place

    def target(self, url: str, page: Page) -> str:
        "Where a link of a page leads in the site"
        path = in_repository(url)
        if path is None and re.match(r"[a-z]+:|#|$", url):
            return url
        path, _, anchor = (path or url).partition("#")
        if in_repository(url) is None:
            folder = posixpath.dirname(page.source)
            path = posixpath.normpath(posixpath.join(folder, path))
        if path in self.by_source:
            return self.between(page, self.by_source[path], anchor)
        if not (ROOT / path).is_file():
            self.faults.append(f"{page.source} links {url}: there is no {path}")
            return url
        self.files.add(path)
        return page.up + path.removeprefix("nbs/")

    def body(self, page: Page) -> str:
        "The cells of a page as HTML"
        writer, notebook = self.writers[page.source], self.contents[page.source]
        for cell in notebook.cells:
            names = cell.metadata.pop("names", [])
            folded = not cell.metadata.get("fold")
            documented = (writer.reference(name, folded) for name in names)
            cell.metadata.reference = "".join(documented)
            if not cell.metadata.get("outputs", True):
                cell.outputs = []
        self.exporter.register_filter("prose", writer.prose)
        self.exporter.register_filter("code", writer.code)
        made, _ = self.exporter.from_notebook_node(notebook)
        return made

    def reference(self) -> tuple[Page, str]:
        "A page with all public names, by section and page"
        page = Page(
            "", "reference.html", "All names", "Every public name, by layer and page"
        )
        writer = Writer(self, page)
        made = [writer.prose(f"# {page.title}\n\n> {page.summary}.\n")]
        for title, pages in self.sections.items():
            if not any(one.names for one in pages):
                continue
            made.append(writer.prose(f"## {title}"))
            for one in (one for one in pages if one.names):
                link = f'<a href="{one.url}">{one.title}</a>'
                made.append(writer.prose(f"### {link}"))
                made.append(self.table_of(one, writer))
        return page, "".join(made)

    def table_of(self, page: Page, writer: Writer) -> str:
        "The names of a page, each with its first sentence"
        lines = []
        for name in page.names:
            about = writer.inline(name.about.split("\n")[0])
            lines.append(
                f'<dt><a href="{page.url}#{name.anchor}"><code>{name.path}</code></a>'
                f" <small>{name.kind}</small></dt><dd>{about}</dd>"
            )
        return f'<dl class="names">{"".join(lines)}</dl>'


def plain(made: str) -> str:
    "HTML as text for the search: no code, no outputs, no signs of anchors"
    made = re.sub(
        r'<(pre|style|script|svg|table|math)\b.*?</\1>|<a class="anchor".*?</a>',
        " ",
        made,
        flags=re.S,
    )
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", made))).strip()


def entries(page: Page, body: str) -> Iterator[dict[str, str]]:
    "What the search knows of a page: its parts by heading, and its names"
    parts = re.split(r'<h[2-6] id="([^"]+)">', body)
    titles = {one.anchor: plain(one.html) for one in page.headings}
    yield {"url": page.url, "title": page.title, "text": plain(parts[0])}
    for anchor, part in zip(parts[1::2], parts[2::2], strict=True):
        title = f"{page.title} › {titles.get(anchor, anchor)}"
        text = plain(re.split(r"</h[2-6]>", part, maxsplit=1)[-1])
        yield {"url": f"{page.url}#{anchor}", "title": title, "text": text}
    for name in page.names:
        for one in (name, *name.inside):
            about = one.about.split("\n")[0]
            where = f"{page.url}#{one.anchor}"
            yield {"url": where, "title": one.path, "text": about, "kind": one.kind}


def frame(site: Site) -> dict[str, Any]:
    "What the template of a page is told on every page"
    about, bar = settings(), quarto()["navbar"]
    return {
        "site": {
            "title": quarto()["title"],
            "version": about["version"],
            "repository": about["git_url"],
            "branch": about["branch"],
        },
        "sections": [
            {"title": title, "pages": pages} for title, pages in site.sections.items()
        ],
        "navbar": [
            {"text": one["text"], "url": url_of(one["href"])}
            for one in bar["left"] + bar["right"]
            if f"nbs/{one['href']}" in site.by_source
        ],
        "languages": LANGUAGES,
    }


def build(folder: Path) -> Site:
    "Write the whole site"
    site = Site()
    loader = jinja2.FileSystemLoader(THEME)
    jinja = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True)
    template, shared = jinja.get_template("page.html.j2"), frame(site)
    made = [(page, site.body(page)) for page in site.pages]
    made.append(site.reference())
    known: list[dict[str, str]] = []
    for place, (page, body) in enumerate(made):
        known += entries(page, body) if page.source else []
        own = {"page": page, "body": body, "up": page.up, "say": WORDS[page.language]}
        before = made[place - 1][0] if place else None
        after = made[place + 1][0] if place + 1 < len(made) else None
        text = template.render(**shared, **own, before=before, after=after)
        write(folder / page.url, text)
    copy(site, folder)
    told = json.dumps(known, ensure_ascii=False)
    write(folder / "theme/known.js", f"const known = {told};\n")
    return site


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def copy(site: Site, folder: Path) -> None:
    "Style, scripts, and the files that pages link or show"
    (folder / "theme").mkdir(parents=True, exist_ok=True)
    for name in ("style.css", "site.js"):
        shutil.copyfile(THEME / name, folder / "theme" / name)
    search = importlib.metadata.distribution("pdoc").locate_file(ELASTICLUNR)
    shutil.copyfile(str(search), folder / "theme/elasticlunr.min.js")
    for path in sorted(site.files):
        place = folder / path.removeprefix("nbs/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, place)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("_site"))
    folder = parser.parse_args().folder
    site = build(folder)
    print(f"{len(site.pages) + 1} pages: open {folder / 'index.html'}")
    print(*site.faults, sep="\n", file=sys.stderr)
    return int(bool(site.faults))


if __name__ == "__main__":
    sys.exit(main())

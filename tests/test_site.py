"The site that is built without Quarto: every page, every link, every name, and the search"

from __future__ import annotations

import ast
import html
import importlib.util
import json
import os
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from browser import browser_page, find_browser

import flairnb
from flairnb._modidx import d as index

ROOT = Path(__file__).resolve().parents[1]
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source"}


def tool(name):
    "A script of `.ci/` as a module"
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = tool("pages")


class Seen(HTMLParser):
    "What a page links, shows, loads and holds"

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.levels = [], [], [], []
        self.blind, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") != "alternate":
            self.loaded.append(given["href"])
        if tag == "img" and not (given.get("alt") or "").strip():
            self.blind.append(given.get("src", "")[:60])
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def outside(address):
    return bool(re.match(r"[a-z]+:", address))


def dead(url, seen, all_seen, folder):
    "Links and pictures of a page that lead nowhere"
    found = []
    for address in {*seen.links, *seen.loaded}:
        if outside(address):
            continue
        path, _, anchor = address.partition("#")
        target = os.path.normpath(Path(url).parent / path) if path else url
        there = (folder / target).is_file()
        if there and anchor and target in all_seen:
            there = anchor in all_seen[target].ids
        if not there:
            found.append(f"{url}: {address}")
    return found


def level_faults(levels):
    found = [] if levels.count(1) == 1 and levels[0] == 1 else ["not one title"]
    return found + [f"h{b} below h{a}" for a, b in pairwise(levels) if b > a + 1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    return folder, pages.build(folder)


@pytest.fixture(scope="module")
def seen(built):
    folder, _ = built
    found = sorted(folder.rglob("*.html"))
    return {
        path.relative_to(folder).as_posix(): Seen(path.read_text(encoding="utf-8"))
        for path in found
    }


# --- every page is there, once ---


def test_the_sidebar_has_every_notebook_once():
    listed = [one for sources in pages.sidebar().values() for one in sources]
    assert len(set(listed)) == len(listed)
    assert {x for x in listed if x.endswith(".ipynb")} == {
        f"nbs/{path}" for path in pages.notebooks()
    }


def test_each_page_has_a_place_of_its_own(built, seen):
    _, site = built
    assert len(site.by_url) == len(site.pages)
    assert {*seen} == {*site.by_url, "reference.html"}


def test_every_page_leads_to_every_page(built, seen):
    _, site = built
    for url, page in seen.items():
        here = {os.path.normpath(Path(url).parent / link) for link in page.links}
        assert {*site.by_url} <= here, url


def test_a_page_says_its_title_and_what_it_is_for(built):
    folder, site = built
    for page in site.pages:
        text = (folder / page.url).read_text(encoding="utf-8")
        assert f"<title>{page.title}" in html.unescape(text)
        assert page.source.endswith(".md") or page.summary


# --- nothing leads nowhere ---


def test_links_pictures_and_anchors_are_there(built, seen):
    folder, site = built
    assert site.faults == []
    assert [x for url, one in seen.items() for x in dead(url, one, seen, folder)] == []


def test_an_anchor_stands_once(seen):
    twice = {
        url: {x for x in one.ids if one.ids.count(x) > 1} for url, one in seen.items()
    }
    assert {url: ids for url, ids in twice.items() if ids} == {}


def test_pictures_are_described(seen):
    assert {url: one.blind for url, one in seen.items() if one.blind} == {}


def test_headings_are_in_order(seen, built):
    folder, _ = built
    faults = {}
    for url in seen:
        article = (folder / url).read_text(encoding="utf-8")
        article = re.sub(r"<section class=.name.*?</section>", "", article, flags=re.S)
        article = re.sub(r'<div class="html">.*?</div>', "", article, flags=re.S)
        if found := level_faults(Seen(article).levels):
            faults[url] = found
    assert faults == {}


def test_nothing_comes_from_the_network(seen):
    fetched = {x for one in seen.values() for x in one.loaded if outside(x)}
    assert {x for x in fetched if not x.startswith("data:")} == set()


# --- cells are shown as nbdev shows them ---


def test_no_directive_is_left(built):
    folder, _ = built
    for path in folder.rglob("*.html"):
        text = re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"^#\| ?\w", text, re.M), path.name


def test_what_is_hidden_is_gone_and_what_is_folded_is_folded(built):
    folder, _ = built
    index_page = (folder / "index.html").read_text(encoding="utf-8")
    assert "TQDM_DISABLE" not in index_page and "set_seed" in index_page
    tutorial = (folder / "tutorials/first_tagger.html").read_text(encoding="utf-8")
    assert re.search(r'<details class="fold"><summary>A solution</summary>', tutorial)


def test_directives_become_what_is_shown():
    told = pages.metadata_of
    assert told({"hide": ""}).hidden and told({"include": "false"}).hidden
    assert told({"hide_input": ""}).transient.remove_source
    assert told({"echo": "false"}).transient.remove_source
    assert not told({"output": "false"}).outputs and told({}).outputs
    assert told({"export": ""}).fold and not told({"exports": ""}).fold
    assert told({"export": ""}).exported and told({"exports": ""}).exported
    assert told({"code-fold": "show"}).fold_open
    assert told({"code-fold": "true", "code-summary": '"Look"'}).fold == "Look"
    assert told({"fig-alt": '"A line"'}).alt == "A line"


def test_languages_lead_to_each_other(built):
    folder, site = built
    korean = [page for page in site.pages if page.language == "ko"]
    assert korean
    for page in korean:
        assert page.twin and page.twin.language == "en" and page.twin.twin is page
        there = (folder / page.twin.url).read_text(encoding="utf-8")
        assert f'hreflang="ko" href="../{page.url}">한국어' in there
        here = (folder / page.url).read_text(encoding="utf-8")
        assert f'hreflang="en" href="../{page.twin.url}">English' in here
        assert '<html lang="ko">' in here and "검색" in here


# --- names ---


def public(name):
    return not any(part.startswith("_") for part in name.split("."))


def test_every_public_name_stands_where_nbdev_says(seen):
    wanted = {
        place: name
        for module in index["syms"].values()
        for name, (place, _) in module.items()
        if public(name)
    }
    lost = {
        name
        for place, name in wanted.items()
        if place.partition("#")[2] not in seen[place.partition("#")[0]].ids
    }
    assert lost == set()


def test_a_signature_and_its_arguments():
    code = """
def walk(
    place: str,  # Where from
    *,
    far: int = 3,  # How `far`
) -> list[str]:  # All places
    "Goes there"
"""
    page = pages.Page("nbs/x.ipynb", "x.html")
    (name,) = pages.names_in(code, page)
    assert name.signature == "walk(place, *, far=3)" and name.about == "Goes there"
    assert name.rows == [
        ("place", "str", "", "Where from"),
        ("far", "int", "3", "How `far`"),
        ("returns", "list[str]", "", "All places"),
    ]


def test_classes_show_fields_methods_and_properties():
    code = """
@dataclass
class Box:
    "A box"
    size: int = 1  # In metres
    @property
    def full(self) -> bool: "If full"
    @classmethod
    def of(cls, *things: int, **more: int) -> Box: "Makes one"
    def _hidden(self): ...
VERSION = 3  # The third
_private = 1
"""
    page = pages.Page("nbs/x.ipynb", "x.html")
    box, version = pages.names_in(code, page)
    assert box.signature == "Box(size=1)" and box.rows[0][3] == "In metres"
    assert [(x.path, x.kind, x.signature) for x in box.inside] == [
        ("Box.full", "property", "full"),
        ("Box.of", "classmethod", "of(*things, **more)"),
    ]
    assert (version.path, version.about) == ("VERSION", "The third")


def test_names_in_sentences_are_links(built):
    folder, _ = built
    text = (folder / "steps.html").read_text(encoding="utf-8")
    assert (
        'href="trainer.html#modeltrainer.train"><code>ModelTrainer.train</code>' in text
    )


# --- the reference is one: documented, and shown at work ---

BASES = {"DataPoint", "DocumentEmbeddings"}  # made for others to build on


def offered():
    "Names that `from flairnb... import` finds without a module's name"
    found = set()
    for path in [*(ROOT / "flairnb").glob("**/__init__.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "flairnb"
            ):
                found |= {alias.asname or alias.name for alias in node.names}
    return found


def words_in_examples():
    "Words of all code that is shown and run, and exports nothing"
    found = set()
    for path in pages.notebooks():
        notebook = json.loads((ROOT / "nbs" / path).read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not NO_EXAMPLE.search(source):
                found |= {*re.findall(r"\w+", source)}
    return found


NO_EXAMPLE = re.compile(r"^#\| *(exports?|exporti|hide|eval: *false)\b", re.M)


def test_every_function_and_class_is_documented(built):
    _, site = built
    names = [name for page in site.pages for name in page.names]
    assert [x.path for x in names if x.kind != "value" and not x.about] == []


def test_every_name_that_users_import_has_a_live_example(built):
    _, site = built
    wanted = {n for n in offered() if n in site.names and site.names[n].kind != "value"}
    assert len(wanted) > 50 and wanted >= BASES
    assert wanted - BASES - words_in_examples() == set()


def test_arguments_say_what_they_mean(built):
    "Nearly all: some names say it, such as that of a parser"
    _, site = built
    functions = [n for p in site.pages for n in p.names if n.kind == "function"]
    rows = [row for name in functions for row in name.rows if row[0] != "returns"]
    assert all(kind or name[0] == "*" for name, kind, _, _ in rows)
    assert sum(bool(said) for *_, said in rows) > 0.96 * len(rows) > 1000


# --- the front page and the glossary ---


def test_the_picture_is_what_render_draws():
    picture = tool("picture")
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.picture()


def test_the_figures_are_those_that_were_measured():
    "Both are written by programs; this says when one of them has to run again"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")
    told = readme.partition("## How fast")[2].partition("All figures")[0]
    ratios = re.findall(r"\| ([\d.,]+ times) \|", told)
    assert len(ratios) == 6
    again = "run .ci/notebooks.py --write nbs/index.ipynb and .ci/readme.py"
    assert all(f"| {ratio} |" in measured for ratio in ratios), again
    assert re.search(r"Measured on an? .* cores, .* threads, \d{4}-\d\d-\d\d\.", told)


def glossary():
    "Sections of the glossary: each entry with its first word"
    cells = json.loads((ROOT / "nbs/glossary.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    for cell in cells[1:]:
        entries = "".join(cell["source"]).split("\n\n")[1:]
        yield [(re.match(r"\*\*(.+?)\*\*", x), x) for x in entries]


def test_the_glossary_is_in_order_and_links_what_it_names():
    sections = list(glossary())
    assert sum(map(len, sections)) > 35
    for entries in sections:
        words = [found[1].lower() for found, _ in entries]
        assert words == sorted(words)
        assert all(
            re.search(r"\]\(\d\d[a-z]?_\w+\.ipynb\)", text) for _, text in entries
        )


def test_links_that_leave_the_notebooks_are_addresses_in_the_repository():
    "Quarto sees `nbs/` only, and would find nothing at `../`"
    for path in pages.notebooks():
        text = (ROOT / "nbs" / path).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((\.\.?/[^)\s#]+)", text):
            inside = os.path.normpath(Path(path).parent / target)
            assert not inside.startswith(".."), f"{path}: {target}"


def test_the_citation_has_the_version_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == flairnb.__version__
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert cited["title"] in readme and f"version = {{{cited['version']}}}" in readme


# --- addresses and anchors ---


def test_addresses_are_those_of_nbdev():
    assert pages.url_of("nbs/12_crf.ipynb") == "crf.html"
    assert pages.url_of("nbs/ko/08_training.ipynb") == "ko/training.html"
    assert pages.url_of("CHANGELOG.md") == "changelog.html"
    nbdev = {
        place.partition("#")[0]
        for m in index["syms"].values()
        for place, _ in m.values()
    }
    assert nbdev <= {pages.url_of(f"nbs/{path}") for path in pages.notebooks()}


def test_anchors_are_those_of_pandoc():
    assert pages.slug("What either side knows") == "what-either-side-knows"
    assert pages.slug("1. Is <code>x_y</code> there?") == "is-x_y-there"
    assert pages.slug("왜 틀릴까") == "왜-틀릴까"


def test_patterns_stay_in_their_folder():
    assert [*pages.matching("/1[2-3]_*.ipynb")] == [
        "12_crf.ipynb",
        "13_embeddings.ipynb",
    ]
    assert all("/" not in path for path in pages.matching("*.ipynb"))


# --- the search ---


def test_the_search_knows_names_sections_and_korean(built):
    folder, _ = built
    text = (folder / "theme/known.js").read_text(encoding="utf-8")
    known = json.loads(text.removeprefix("const known = ").rstrip(";\n"))
    by_title = {one["title"]: one for one in known}
    assert by_title["CRF.viterbi"]["url"] == "crf.html#crf.viterbi"
    assert "A linear-chain CRF › The best path" in by_title
    assert any("학습" in one["text"] for one in known)
    assert not [one for one in known if "<" in one["title"]]
    path = by_title["A linear-chain CRF › The best path"]
    assert path["text"][0].isupper(), path["text"][:40]


@pytest.mark.skipif(
    not os.environ.get("FLAIRNB_BROWSER_TESTS"),
    reason="FLAIRNB_BROWSER_TESTS is not set",
)
def test_search_theme_and_menu_in_a_browser(built, tmp_path):
    program = find_browser()
    if not program:
        pytest.skip("no Chromium on this machine")
    folder, _ = built
    with browser_page(program, tmp_path) as page:
        page.call("Page.navigate", url=(folder / "index.html").as_uri())
        page.until("document.querySelector('.copy') !== null")
        for words, wanted in (("viterbi", "crf.html#"), ("학습시키기", "ko/")):
            page.value(
                "window.box = document.querySelector('.search input');"
                f"box.value = '{words}'; box.dispatchEvent(new Event('input'))"
            )
            page.until(
                f"document.querySelector('#found a[href*=\"{wanted}\"]') !== null"
            )
        before = page.value("getComputedStyle(document.body).backgroundColor")
        page.click("document.querySelector('button.theme')")
        assert page.value("getComputedStyle(document.body).backgroundColor") != before
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=390,
            height=844,
            deviceScaleFactor=1,
            mobile=True,
        )
        page.click("document.querySelector('button.menu')")
        assert page.value("document.querySelector('.menu').ariaExpanded") == "true"
        for url in ("index.html", "crf.html", "serve.html", "ko/training.html"):
            page.call("Page.navigate", url=(folder / url).as_uri())
            page.until(
                f"location.href.endsWith('{url}') && !!document.querySelector('.copy')"
            )
            assert page.value("document.documentElement.scrollWidth") == 390, url


# --- the faults are seen ---


def test_each_fault_is_seen(tmp_path):
    (tmp_path / "a.html").write_text("")
    bad = Seen('<h1>A</h1><h3 id=x>B</h3><img src="no.png"><a href="a.html#y"></a>'
               '<a href="b.html"></a><a href="#x"></a><a href="#z"></a>')  # fmt: skip
    found = dead("c.html", bad, {"a.html": Seen(""), "c.html": bad}, tmp_path)
    (tmp_path / "c.html").write_text("")
    found = dead("c.html", bad, {"a.html": Seen(""), "c.html": bad}, tmp_path)
    assert {x.split(": ")[1] for x in found} == {"no.png", "a.html#y", "b.html", "#z"}
    assert bad.blind == ["no.png"] and level_faults(bad.levels) == ["h3 below h1"]
    assert level_faults([2, 1]) == ["not one title"]

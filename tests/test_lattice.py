"The lattice in the page on the CRF by hand: touched without a script"

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import browser
import pytest

PAGE = (
    Path(__file__).resolve().parents[1] / "nbs" / "explanations" / "crf_by_hand.ipynb"
)


@pytest.fixture(scope="module")
def lattice():
    "What the cell gives to a front end"
    cells = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    [output] = next(cell for cell in cells if cell["id"] == "touch")["outputs"]
    return "".join(output["data"]["text/html"])


def test_it_needs_no_script(lattice):
    assert not re.search(r"<script|\son\w+=|javascript:|https?://|url\(", lattice)


def test_each_dot_of_each_lattice_says_something(lattice):
    said = re.findall(
        r"(\w+) is (\w+): ([\d.]+)%; best row ([A-Z ]+), ([\d.]+)%", lattice
    )
    assert len(said) == lattice.count('class="dot"') == 3 * 12
    for word in {word for word, *_ in said}:
        for number in range(3):  # marginals of a word add up in each of the lattices
            some = said[12 * number : 12 * (number + 1)]
            total = sum(float(share) for one, _, share, *_ in some if one == word)
            assert total == pytest.approx(100, abs=0.2)
    for word, tag, share, row, best in said:
        place = ["the", "old", "man", "boats"].index(word)
        assert row.split()[place] == tag and float(best) <= float(share)


SEEN = """[...document.querySelectorAll(".lattice .way")].filter(one =>
    getComputedStyle(one).visibility == "visible" &&
    one.closest("svg").getBoundingClientRect().width
).map(one => one.textContent.trim()).join()"""


@pytest.mark.skipif(
    "FLAIRNB_BROWSER_TESTS" not in os.environ, reason="set FLAIRNB_BROWSER_TESTS=1"
)
def test_in_a_browser_it_answers(lattice, tmp_path):
    "Pointing at a dot, pressing a button, and coming to a dot by the keyboard"
    program = browser.find_browser()
    if program is None:
        pytest.skip("there is no Chromium: name it in FLAIRNB_BROWSER")
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    (tmp_path / "lattice.html").write_text(f"<body>{lattice}", encoding="utf-8")
    with browser.browser_page(program, tmp_path, (700, 400)) as page:
        page.call("Page.navigate", url=(tmp_path / "lattice.html").as_uri())
        page.until("document.querySelectorAll('.dot').length == 36")
        assert page.value(SEEN) == ""
        page.click("document.querySelectorAll('svg')[2].querySelectorAll('circle')[7]")
        assert page.value(SEEN).startswith("man is NOUN: 16.8%")
        page.click("document.querySelectorAll('label')[1]")
        page.value("document.querySelectorAll('svg')[1].querySelector('.dot').focus()")
        assert page.value(SEEN).startswith("the is DET")

"""Draws the picture of the front page, a labelled sentence: nbs/images/tagged.svg.

    python .ci/picture.py

`render` makes the HTML; the SVG around it is what a README can show. It follows the
reader's light or dark, since `render` does.
"""

from __future__ import annotations

import sys
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "nbs" / "images" / "tagged.svg"
WIDTH, HEIGHT = 520, 104
SCALE = 1.35


def picture() -> str:
    "The sentence as SVG"
    from flairnb.data import Sentence
    from flairnb.rendering import render

    sentence = Sentence("Ada Lovelace met Charles Babbage in London on 5 June 1833.")
    for start, end, label in (
        (0, 2, "PER"),
        (3, 5, "PER"),
        (6, 7, "LOC"),
        (8, 11, "DATE"),
    ):
        sentence[start:end].add_label("ner", label)
    drawn = str(render(sentence)).replace(
        '<div class="flairnb">',
        '<div class="flairnb" xmlns="http://www.w3.org/1999/xhtml">',
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH * SCALE:g}" height="{HEIGHT * SCALE:g}">\n'
        f'<foreignObject width="{WIDTH}" height="{HEIGHT}">\n{drawn}\n'
        "</foreignObject>\n</svg>\n"
    )


def main() -> int:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How well the language models that ship with flairnb guess the next character.

    python benchmarks/language_models.py --text FOLDER
    python benchmarks/language_models.py --text FOLDER --check

FOLDER has Flair's layout: `train/*.txt`, `valid.txt`, `test.txt`. For scale, a 5-gram
model with modified Kneser-Ney smoothing (Chen and Goodman, 1999) learns from the same
training text, over the same characters, and reads the same test text in both
directions. The table goes to `language_models.md` beside this program. `--check`
compares the n-gram model with nltk's, which has to be installed, and ends.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mini_models import characters

from flairnb.data import Dictionary
from flairnb.embeddings.flair import mini_model
from flairnb.foundation import sha256_of
from flairnb.models.language_model import (
    LanguageModel,
    character_numbers,
    code_table,
    load_language_model,
)
from flairnb.trainers.language_model_trainer import mean_loss_of

ORDER = 5  # characters of an n-gram
STRIPS, WINDOW = 16, 512  # in which a network reads the test text


# --- n-grams ---


@dataclass
class Order:
    "What is known of the n-grams of one length"

    grams: np.ndarray  # Their codes, sorted, (n,)
    gain: np.ndarray  # Discounted share of each among those of its context, (n,)
    contexts: np.ndarray  # Codes of their beginnings, sorted, (m,)
    rest: np.ndarray  # Share that each context leaves to shorter n-grams, (m,)


def codes(numbers: np.ndarray, length: int, base: int) -> np.ndarray:
    "Each n-gram of a text as one number, the first character the highest digit"
    found = np.zeros(max(0, len(numbers) - length + 1), dtype=np.int64)
    for place in range(length):
        found = found * base + numbers[place : place + len(found)]
    return found


def estimated_discounts(counts: np.ndarray) -> list[float]:
    "What to take from counts of 1, 2, and 3 or more: Chen and Goodman's equation 26"
    n = [max(1, int((counts == count).sum())) for count in (1, 2, 3, 4)]
    share = n[0] / (n[0] + 2 * n[1])
    raw = [count - (count + 1) * share * n[count] / n[count - 1] for count in (1, 2, 3)]
    return [min(max(d, 0.0), float(count)) for count, d in enumerate(raw, 1)]


def order_of(
    grams: np.ndarray, counts: np.ndarray, base: int, fixed: float | None
) -> Order:
    "Shares of n-grams from their counts"
    discounts = [fixed] * 3 if fixed is not None else estimated_discounts(counts)
    taken = np.array([0.0, *discounts])[np.minimum(counts, 3)]
    contexts, which = np.unique(grams // base, return_inverse=True)
    total = np.bincount(which, counts)
    gain = (counts - taken) / total[which]
    return Order(grams, gain, contexts, np.bincount(which, taken) / total)


class KneserNey:
    "Interpolated Kneser-Ney over numbers below `base`"

    def __init__(
        self,
        texts: Sequence[np.ndarray],  # Numbers of characters
        base: int,  # How many characters there are
        order: int = ORDER,  # Characters of the longest n-grams
        discount: float | None = None,  # The same everywhere, or None: estimated
        uniform: bool = True,  # Leave something to characters never seen
    ) -> None:
        self.base, self.orders = base, []
        longest = np.concatenate([codes(text, order, base) for text in texts])
        grams, counts = np.unique(longest, return_counts=True)
        for length in range(order, 0, -1):
            fixed = 0.0 if length == 1 and not uniform else discount
            self.orders.insert(0, order_of(grams, counts, base, fixed))
            shorter = grams % base ** (length - 1)  # by how many characters preceded
            grams, counts = np.unique(shorter, return_counts=True)

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        "Of each character, given those before it"
        found = np.full(len(numbers), 1 / self.base)
        for length, order in enumerate(self.orders, 1):
            wanted = codes(numbers, length, self.base)
            gain, _ = looked_up(order.grams, order.gain, wanted)
            rest, known = looked_up(order.contexts, order.rest, wanted // self.base)
            tail = found[length - 1 :]
            found[length - 1 :] = np.where(known, gain + rest * tail, tail)
        return found

    def bits(self, numbers: np.ndarray) -> float:
        "Mean surprise of all characters but the first"
        return float(-np.log2(self.probabilities(numbers)[1:]).mean())

    def __len__(self) -> int:
        return sum(len(order.grams) for order in self.orders)


def looked_up(
    keys: np.ndarray, values: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    "Values of sorted keys, 0 where a key is missing, and whether it is there"
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    known = keys[place] == wanted
    return np.where(known, values[place], 0.0), known


def check_against_nltk() -> float:
    "Largest difference from nltk's model with the same discount, on a small text"
    from nltk.lm import KneserNeyInterpolated
    from nltk.util import everygrams

    draws = np.random.default_rng(1)
    text = "".join(draws.choice(list("aabbc d"), 400))
    text += text[:ORDER]  # all n-grams have a character before them
    letters = sorted(set(text))
    numbers = np.array([letters.index(x) for x in text])
    theirs = KneserNeyInterpolated(ORDER, discount=0.1)
    theirs.fit([everygrams(text, max_len=ORDER)], letters)
    ours = KneserNey([numbers], len(letters), discount=0.1, uniform=False)
    worst = 0.0
    for _ in range(300):  # contexts that were seen, and others
        row = draws.integers(len(letters), size=ORDER)
        *context, last = (letters[x] for x in row)
        expected = theirs.score(last, context)
        worst = max(worst, abs(ours.probabilities(row)[-1] - expected))
    return worst


# --- the table ---


def numbers_of(path: Path, dictionary: Dictionary) -> np.ndarray:
    "Characters of a file by number, as the networks see them"
    text = path.read_bytes().decode("utf-8")  # line ends as they are
    return character_numbers(text, code_table(dictionary)).astype(np.int64)


def ngram_row(folder: Path, dictionary: Dictionary, step: int) -> list[str]:
    "Train and measure the n-gram model in one direction"
    started = time.process_time()
    files = sorted((folder / "train").iterdir())
    texts = [numbers_of(file, dictionary)[::step] for file in files]
    model = KneserNey(texts, len(dictionary))
    bits = model.bits(numbers_of(folder / "test.txt", dictionary)[::step])
    way = "forward" if step == 1 else "backward"
    hours = (time.process_time() - started) / 3600
    size, read = f"{len(model):,} n-grams", f"{sum(map(len, texts)):,}"
    return [
        f"{ORDER}-gram, Kneser-Ney, {way}",
        size,
        read,
        "1",
        f"{hours:.4f}",
        f"{bits:.3f}",
    ]


def network_row(file: Path, test: Path) -> list[str]:
    "Measure a model that was kept in a file; what its card says of its training"
    model: LanguageModel = load_language_model(file)
    card = model.card
    if card.get("sha256_of_test", "") != sha256_of(test):
        print(f"{file.name}: its card speaks of another test text")
    numbers = numbers_of(test, model.dictionary)[:: 1 if model.is_forward_lm else -1]
    bits = mean_loss_of(model, numbers, STRIPS, WINDOW) / math.log(2)
    sizes = f"{model.nlayers} × {model.hidden_size}, {file.stat().st_size / 1e6:.1f} MB"
    read = f"{card.get('characters', 0):,}"
    known = [str(card.get(name, "?")) for name in ("epochs", "hours")]
    return [f"`{file.stem}`", sizes, read, *known, f"{bits:.3f}"]


def table(rows: list[list[str]]) -> str:
    heads = ["model", "size", "characters", "epochs", "hours", "bits per character"]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(rows: list[list[str]], test: Path) -> str:
    "What `language_models.md` says"
    machine = f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"""# Language models of characters

Written by `python benchmarks/language_models.py`; the models are trained by
`mini_models.py`. Bits per character on `test.txt` ({test.stat().st_size:,} bytes,
sha256 `{sha256_of(test)[:16]}…`), which none of them has read; less is better. A
character that is rare in the training text counts as unknown, for all models alike.

{table(rows)}

Measured with {versions}, on {machine}. The hours of the networks are those of their
training, as their cards tell.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--text", type=Path, help="folder with train, valid.txt, test.txt"
    )
    parser.add_argument("--forward", type=Path, default=mini_model("mini-forward"))
    parser.add_argument("--backward", type=Path, default=mini_model("mini-backward"))
    parser.add_argument(
        "--ngrams-only", action="store_true", help="print, write nothing"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with nltk, and end"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    chosen = parser.parse_args()
    if chosen.check:
        print(f"largest difference from nltk: {check_against_nltk():.1e}")
        return
    if chosen.text is None:
        parser.error("--text is needed")
    dictionary = characters(chosen.text)
    rows = [ngram_row(chosen.text, dictionary, step) for step in (1, -1)]
    if not chosen.ngrams_only:
        test = chosen.text / "test.txt"
        rows += [network_row(file, test) for file in (chosen.forward, chosen.backward)]
        chosen.out.write_text(page(rows, test), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()

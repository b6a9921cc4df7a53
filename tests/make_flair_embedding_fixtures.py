"""Writes `tests/data/flair_embeddings`: tiny language models, and what Flair makes of them.

Run by a Python that has Flair 0.15.1: `python tests/make_flair_embedding_fixtures.py`.
The sentences are random letters. Of each sentence only some words are kept, see `kept`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from flair.data import Dictionary, Sentence, Token
from flair.embeddings import FlairEmbeddings, PooledFlairEmbeddings
from flair.models import LanguageModel
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "data" / "flair_embeddings"
MODELS = {
    "forward": {"is_forward_lm": True, "nlayers": 1},
    "backward": {"is_forward_lm": False, "nlayers": 1},
    "deep": {"is_forward_lm": False, "nlayers": 2, "nout": 5},
    "gru": {"is_forward_lm": True, "nlayers": 1, "recurrent_type": "GRU"},
    "marked": {"is_forward_lm": True, "nlayers": 1, "document_delimiter": "#\n"},
}
SETTINGS = [
    {},
    {"with_whitespace": False},
    {"tokenized_lm": False},
    {"tokenized_lm": False, "with_whitespace": False},
    {"is_lower": True},
    {"chars_per_chunk": 7},
]
STRANGE = [
    ["\u65e5\u672c", "a", "\U0001f642b", "stra\u00dfe"],  # not in the dictionary
    ["Aa", "aA", "AA", "aa", "Aa"],
    ["a", " ", "b", "\t", "\u00a0", "c"],
    ["a", "", "b", ""],
    ["", "a"],
    ["x" * 60, "y"],
]


def kept(count):
    return list(range(0, count, max(1, count // 8)))


def random_words(chance, count):
    letters = "abcdefgh" * 3 + "ABC" + "1.-"
    return [
        "".join(chance.choices(letters, k=chance.randint(1, 7))) for _ in range(count)
    ]


def model_of(**chosen):
    dictionary = Dictionary(add_unk=True)
    for letter in "\n# abcdefghxyABCXY1.-":
        dictionary.add_item(letter)
    made = LanguageModel(dictionary, hidden_size=8, embedding_size=4, **chosen)
    for weight in made.parameters():  # larger than usual, so that faults show
        torch.nn.init.normal_(weight, std=0.6)
    return made.eval()


def sentence_of(words, gaps):
    "The words with these spaces behind them"
    if gaps is None:
        return Sentence(list(words))
    tokens = [Token(w, whitespace_after=g) for w, g in zip(words, gaps, strict=True)]
    made = Sentence(tokens)
    for token, gap in zip(made.tokens, gaps, strict=True):
        token.whitespace_after = gap
    return made


def vectors_of(embeddings, texts, batch_size):
    "Vectors of the kept words"
    found = []
    sentences = [sentence_of(*text) for text in texts]
    for start in range(0, len(sentences), batch_size):
        batch = sentences[start : start + batch_size]
        embeddings.embed(batch)
        for sentence in batch:
            found += [sentence[i].embedding for i in kept(len(sentence))]
            for token in sentence:
                token.clear_embeddings()
    return torch.stack(found).contiguous()


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    chance = random.Random(1)
    plain = [random_words(chance, n) for n in (1, 2, 3, 8, 40, 300)] + STRANGE
    texts = [[words, None] for words in plain]
    joined = random_words(chance, 9), [1, 0, 0, 1, 0, 1, 1, 0, 0]
    gaps = [[*joined], [["a"], [0]], [["b", "c"], [0, 0]]]
    cases, vectors = [], {}
    for name, chosen in MODELS.items():
        model_of(**chosen).save(FOLDER / f"{name}.pt")
        for settings in SETTINGS if name in ("forward", "backward") else SETTINGS[:2]:
            apart = settings.get("tokenized_lm") is False
            case = {"model": name, "settings": settings, "gaps": apart}
            for batch_size in (64, 1):
                made = FlairEmbeddings(FOLDER / f"{name}.pt", **settings)
                given = gaps if apart else texts
                key = f"{len(cases)}-{batch_size}"
                vectors[key] = vectors_of(made, given, batch_size)
            cases.append(case)
    pooled, seen = [], [[random_words(chance, 3) for _ in range(4)] for _ in range(3)]
    words = ["Aa", "b", "Ca", "cc", "-"]
    seen += [
        [[chance.choice(words) for _ in range(6)] for _ in range(4)] for _ in range(3)
    ]
    for pooling in ("min", "max", "mean"):
        for capital in (False, True):
            inner = FlairEmbeddings(FOLDER / "backward.pt")
            made = PooledFlairEmbeddings(
                inner, pooling=pooling, only_capitalized=capital
            )
            made.eval()
            found = []
            for batch in seen:
                sentences = [Sentence(list(words)) for words in batch]
                made.embed(sentences)
                found += [t.get_embedding([made.name]) for s in sentences for t in s]
            vectors[f"pooled-{len(pooled)}"] = torch.stack(found).contiguous()
            pooled.append({"pooling": pooling, "only_capitalized": capital})
    save_file(vectors, FOLDER / "vectors.safetensors")
    described = {"texts": texts, "gaps": gaps, "cases": cases}
    described |= {"pooled": pooled, "seen": seen}
    text = json.dumps(described, ensure_ascii=True)
    (FOLDER / "cases.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

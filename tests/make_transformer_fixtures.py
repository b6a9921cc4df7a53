"""Write what Flair 0.15.1 computes from a tiny transformer, for `test_transformer_embeddings.py`.

Run by an interpreter that has Flair: `python tests/make_transformer_fixtures.py`. The model is
made here too, with random weights and the separator already in its vocabulary, since both
libraries would draw its vector at random.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_transformers import make
from transformers import AutoModel, AutoTokenizer

DATA = Path(__file__).parent / "data" / "transformer"
DOCUMENTS = [
    [
        "George Washington went to Washington .",
        "The sea is far , and I love reading .",
        "Unreadable !",
        "Who wrote to New York and Berlin in 1984 ?",
    ],
    [
        "The shells of the sea \u200b shore were washed .",
        "Quickly , he wrote on and on and on : the quick lovers of Berlin read , write , "
        "wash and love the New York of the sea , unlovable as it was in 1989 , and went in .",
        "Yes .",
    ],
]
WORDS = {
    "plain": {},
    "last": {"subtoken_pooling": "last"},
    "mean": {"subtoken_pooling": "mean"},
    "first_last": {"subtoken_pooling": "first_last"},
    "two layers": {"layers": "-1,-2"},
    "all layers side by side": {"layers": "all", "layer_mean": False},
    "short": {"allow_long_sentences": False},
    "context": {"use_context": True, "subtoken_pooling": "last"},
    "context of three": {"use_context": 3},
    "context across": {"use_context": 12, "respect_document_boundaries": False},
    "no separator": {"use_context": 7, "use_context_separator": False},
}
TEXTS = {
    "cls": {},
    "mean of texts": {"cls_pooling": "mean"},
    "max": {"cls_pooling": "max"},
    "texts by two layers": {"layers": "-1,-2", "layer_mean": False},
    "context of texts": {"use_context": 4, "cls_pooling": "mean"},
    "long mean": {"allow_long_sentences": True, "cls_pooling": "mean"},
    "long max": {"allow_long_sentences": True, "cls_pooling": "max"},
}


def make_model(folder):
    "A tiny BERT that knows Flair's separator"
    make(folder, "bert", limit=40)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder)
    tokenizer.add_tokens(["[FLERT]"], special_tokens=True)
    torch.manual_seed(0)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for extra in ("vocab.txt", "special_tokens_map.json", "added_tokens.json"):
        (Path(folder) / extra).unlink(missing_ok=True)


def linked_sentences(respect):
    "Sentences that know their neighbours, with Flair's mark between documents"
    from flair.data import Sentence

    rows = []
    for number, document in enumerate(DOCUMENTS):
        if number and respect:
            rows.append(Sentence("-DOCSTART-", use_tokenizer=False))
            rows[-1].is_document_boundary = True
        rows += [Sentence(text.split(" "), use_tokenizer=False) for text in document]
    Sentence.set_context_for_sentences(rows)
    return [sentence for sentence in rows if not sentence.is_document_boundary]


def main():
    from flair.embeddings import (
        TransformerDocumentEmbeddings,
        TransformerWordEmbeddings,
    )

    make_model(DATA / "bert")
    found = {}
    for cases, kind in (
        (WORDS, TransformerWordEmbeddings),
        (TEXTS, TransformerDocumentEmbeddings),
    ):
        for name, options in cases.items():
            embeddings = kind(str(DATA / "bert"), fine_tune=False, **options).eval()
            rows = linked_sentences(options.get("respect_document_boundaries", True))
            embeddings.embed(rows)
            if kind is TransformerWordEmbeddings:
                vectors = [token.embedding for row in rows for token in row]
            else:
                vectors = [row.embedding for row in rows]
            found[name] = torch.stack(vectors).cpu()
    told = {"documents": DOCUMENTS, "words": WORDS, "texts": TEXTS}
    save_file(found, DATA / "flair.safetensors", {"cases": json.dumps(told)})


if __name__ == "__main__":
    main()

"What every embedding does: vectors on sentences, stacks in the given order, configurations"

from __future__ import annotations

import copy
import gc
import inspect
import json
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from flairnb.batches import Batch
from flairnb.data import Sentence
from flairnb.data.tables import SentenceDataset, table_of
from flairnb.embeddings import base
from flairnb.embeddings.base import (
    EMBEDDING_CLASSES,
    DocumentEmbeddings,
    StackedEmbeddings,
    TableMemory,
    TokenEmbeddings,
    WordNumbers,
    build,
    describe,
    distinct_strings,
)


class LengthEmbeddings(TokenEmbeddings):
    "Length of a word, and a constant"

    def __init__(self, constant: float = 1.0, name: str = "length") -> None:
        super().__init__()
        self.constant, self.name, self.embedding_length = constant, name, 2
        self.seen, self._numbers = [], WordNumbers()

    def forward(self, batch):
        self.seen.append(len(batch))
        lengths = self._numbers.of(batch, lambda words: [len(word) for word in words])
        return torch.stack(
            [lengths.float(), torch.full(lengths.shape, self.constant)], -1
        )

    def config(self):
        return {"constant": self.constant, "name": self.name}


class MeanLength(DocumentEmbeddings):
    "Mean length of the words"

    name, embedding_length = "mean", 1

    def forward(self, batch):
        lengths = [np.mean([len(word) for word in s.words]) for s in batch.sentences]
        return torch.tensor(lengths, dtype=torch.float32)[:, None]

    def config(self):
        return {}


@pytest.fixture(autouse=True)
def registry():
    before = dict(EMBEDDING_CLASSES)
    yield
    EMBEDDING_CLASSES.clear()
    EMBEDDING_CLASSES.update(before)


def test_an_embedding_is_thirty_lines():
    assert len(inspect.getsource(LengthEmbeddings).splitlines()) <= 30


@pytest.mark.parametrize("wrap", [list, tuple, lambda s: SentenceDataset.of(s)])
def test_tokens_and_sentences_get_their_vectors(wrap):
    some = [Sentence("a bbb"), Sentence(""), Sentence("cc")]
    assert LengthEmbeddings(3).embed(wrap(some)) == some
    MeanLength().embed(some)
    assert some[0][1].embedding.tolist() == [3, 3] and some[2][
        0
    ].embedding.tolist() == [2, 3]
    assert some[0].get_embedding().tolist() == [2] and some[2].embedding.tolist() == [2]
    assert some[1].embedding.tolist() == [0] and some[1]._embeddings[
        "length"
    ].shape == (0, 2)


def test_one_sentence_and_no_sentence():
    s = Sentence("a")
    assert LengthEmbeddings().embed(s) == [s] and s[0].embedding.tolist() == [1, 1]
    assert LengthEmbeddings().embed([]) == [] and MeanLength().embed([]) == []


def test_only_sentences_with_words_reach_the_model():
    made = LengthEmbeddings()
    made.embed([Sentence(""), Sentence("a"), Sentence(" ")])
    made.embed([Sentence("")])
    assert made.seen == [1]


def test_many_sentences_are_embedded_in_pieces(monkeypatch):
    monkeypatch.setattr(base, "AT_ONCE", 3)
    made, some = LengthEmbeddings(), [Sentence("x" * (i + 1)) for i in range(7)]
    made.embed(some)
    assert made.seen == [3, 3, 1]
    assert [s[0].embedding.tolist()[0] for s in some] == list(range(1, 8))


def test_a_sentence_does_not_hold_the_memory_of_its_batch():
    some = [Sentence("a"), Sentence("b " * 500)]
    LengthEmbeddings().embed(some)
    assert some[0]._embeddings["length"].untyped_storage().nbytes() == 2 * 4


def test_no_graph_is_kept():
    class Trained(LengthEmbeddings):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, batch):
            return super().forward(batch) * self.weight

    s = Sentence("a")
    Trained().embed(s)
    assert not s[0].embedding.requires_grad


def test_what_is_no_sentence_is_refused():
    for thing in ("text", 5, None):
        kind = type(thing).__name__
        with pytest.raises(TypeError, match=f"item 1 is {kind}, not a Sentence"):
            LengthEmbeddings().embed([Sentence("a"), thing])


# --- stacks ---


def test_a_stack_keeps_the_given_order():
    names = [f"{letter}{i}" for i, letter in enumerate("zyxwvutsrqp")]  # more than ten
    parts = [LengthEmbeddings(i, name) for i, name in enumerate(names)]
    stack = StackedEmbeddings(parts)
    s = Sentence("aa b")
    stack.embed(s)
    constants = list(range(len(names)))
    assert s[0].embedding.tolist() == [x for i in constants for x in (2, i)]
    batch = SentenceDataset.of([s])
    rows = stack(Batch(batch.table, batch.rows))
    assert rows[0, 0].tolist() == s[0].embedding.tolist() and rows.shape == (1, 2, 22)
    assert stack.embedding_length == 22
    again = build(json.loads(json.dumps(describe(stack))))
    assert (
        again.get_names()
        == stack.get_names()
        == [f"{i}-{n}" for i, n in enumerate(names)]
    )
    again.embed(s)
    assert s[0].embedding.tolist() == [x for i in constants for x in (2, i)]
    reverse = s[0].get_embedding(stack.get_names()[::-1]).tolist()
    assert reverse[1::2] == constants[::-1]


def test_a_stack_leaves_single_embeddings_alone():
    single, s = LengthEmbeddings(7), Sentence("a")
    single.embed(s)
    StackedEmbeddings([single, LengthEmbeddings(8)]).embed(s)
    assert s[0].get_embedding(["length"]).tolist() == [1, 7]
    s.clear_embeddings(["length"])
    assert s[0].embedding.tolist() == [1, 7, 1, 8]


def test_a_stack_in_a_stack():
    inner = StackedEmbeddings([LengthEmbeddings(1), LengthEmbeddings(2)])
    outer, s = StackedEmbeddings([inner, LengthEmbeddings(3)]), Sentence("a")
    outer.embed(s)
    assert s[0].embedding.tolist() == [1, 1, 1, 2, 1, 3]
    assert describe(build(describe(outer))) == describe(outer)


@pytest.mark.parametrize(
    "parts, message",
    [
        (lambda: [], "at least one"),
        (lambda: [MeanLength()], "embeddings of tokens, not MeanLength"),
        (lambda: ["glove"], "not str"),
    ],
)
def test_what_cannot_be_stacked(parts, message):
    with pytest.raises(ValueError, match=message):
        StackedEmbeddings(parts())


def test_an_unknown_class_is_named():
    with pytest.raises(
        ValueError, match=r"Did you mean 'LengthEmbeddings'\? Import the module"
    ):
        build({"class": "LengthEmbedding", "arguments": {}})


# --- what is made once ---


def test_strings_are_translated_once_per_table():
    made, calls = WordNumbers(), []
    table = table_of([Sentence("a b a"), Sentence("b c")])
    batches = [Batch(table, np.array([row])) for row in (0, 1, 0)]
    found = [
        made.of(batch, lambda words: calls.append(words) or range(len(words)))
        for batch in batches
    ]
    assert calls == [["", "a", "b", "c"]]
    assert [rows.tolist() for rows in found] == [[[1, 2, 1]], [[2, 3]], [[1, 2, 1]]]


def test_a_replaced_layer_is_read_again():
    s = Sentence("a b")
    s[0].add_label("upos", "N")
    table, memory = table_of([s]), TableMemory("upos")
    assert memory.get(table, lambda strings, _: strings) == ["O", "N"]
    table.token_layers["upos"] = table.strings.numbers(["V", ""])
    assert memory.get(table, lambda strings, _: strings) == ["O", "V"]


def test_what_was_made_goes_with_the_table():
    memory, table = TableMemory(), table_of([Sentence("a")])

    class Big:
        pass

    found = weakref.ref(memory.get(table, lambda *_: Big()))
    assert found() is not None and copy.deepcopy(memory).field == "text"
    del table
    gc.collect()
    assert found() is None


def test_distinct_strings_of_a_missing_layer_and_of_nothing():
    strings, places = distinct_strings(table_of([Sentence("a b")]), "upos")
    assert strings == ["O"] and places.tolist() == [0, 0]
    strings, places = distinct_strings(table_of([]))
    assert strings == [""] and places.tolist() == []

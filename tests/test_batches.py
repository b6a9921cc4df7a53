"Batches: every sentence once per epoch, an order that is a pure function, little padding"

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.batches import (
    Batch,
    by_length,
    cheapest_groups,
    epoch_order,
    iterate,
    plain_order,
)
from flairnb.data import Sentence
from flairnb.data.tables import SentenceDataset, table_of

SETTINGS = settings(derandomize=True, deadline=None, max_examples=100)
LENGTHS = st.lists(st.integers(0, 40), max_size=150).map(
    lambda x: np.array(x, dtype=np.int64)
)

# How often each length from 1 to 60 occurs among 1,000 sentences of a web treebank,
# rounded: many short answers and headings, a long tail
SHAPE = [
    60,
    30,
    35,
    35,
    35,
    38,
    40,
    40,
    40,
    38,
    36,
    36,
    35,
    34,
    33,
    32,
    31,
    30,
    28,
    27,
    26,
    24,
    23,
    22,
    20,
    18,
    17,
    16,
    15,
    13,
    12,
    11,
    10,
    9,
    8,
    8,
    7,
    6,
    6,
    5,
    5,
    4,
    4,
    3,
    3,
    3,
    2,
    2,
    2,
    2,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
]


def treebank_lengths():
    return np.random.default_rng(0).permutation(
        np.repeat(np.arange(1, 61), np.array(SHAPE) * 12)
    )


def places(batches):
    return sorted(int(place) for batch in batches for place in batch)


@given(
    LENGTHS,
    st.integers(1, 40),
    st.integers(0, 5),
    st.integers(1, 5),
    st.sampled_from([None, 1, 3]),
)
@SETTINGS
def test_every_sentence_once_per_epoch(lengths, size, seed, epoch, pool):
    batches = epoch_order(lengths, size, seed, epoch, pool)
    assert places(batches) == list(range(len(lengths)))
    assert sorted(map(len, batches), reverse=True)[:-1] == [size] * (len(batches) - 1)
    again = epoch_order(lengths, size, seed, epoch, pool)
    assert [b.tolist() for b in batches] == [b.tolist() for b in again]


@given(LENGTHS, st.integers(1, 40))
@SETTINGS
def test_sorted_and_plain_order(lengths, size):
    batches = by_length(lengths, size)
    assert (
        places(batches)
        == places(plain_order(len(lengths), size))
        == list(range(len(lengths)))
    )
    row = [int(lengths[place]) for batch in batches for place in batch]
    assert row == sorted(row, reverse=True)


def test_order_depends_on_seed_and_epoch_and_nothing_else():
    lengths = treebank_lengths()
    first = [b.tolist() for b in epoch_order(lengths, 32, 1, 1)]
    np.random.seed(99)
    torch.manual_seed(99)
    assert [b.tolist() for b in epoch_order(lengths, 32, 1, 1)] == first
    for seed, epoch in ((2, 1), (1, 2)):
        assert [b.tolist() for b in epoch_order(lengths, 32, seed, epoch)] != first


def test_epochs_mix_sentences_anew():
    "Who stands beside whom changes: two epochs share few pairs of a batch"
    lengths = treebank_lengths()

    def pairs(epoch):
        return {
            (min(a, b), max(a, b))
            for batch in epoch_order(lengths, 16, 1, epoch)
            for a in batch.tolist()
            for b in batch.tolist()
            if a != b
        }

    assert len(pairs(1) & pairs(2)) < 0.05 * len(pairs(1))


@pytest.mark.parametrize("size", [8, 32, 64])
def test_padding_stays_under_fifteen_percent(size):
    lengths = treebank_lengths()
    batches = epoch_order(lengths, size, 1, 1)
    area = sum(len(b) * int(lengths[b].max()) for b in batches)
    assert 1 - lengths.sum() / area < 0.15
    naive = plain_order(len(lengths), size)
    assert 1 - lengths.sum() / sum(len(b) * int(lengths[b].max()) for b in naive) > 0.3


@pytest.mark.parametrize(
    "call",
    [
        lambda n: plain_order(4, n),
        lambda n: by_length(np.ones(4), n),
        lambda n: epoch_order(np.ones(4), n, 1, 1),
    ],
)
@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_holds_a_sentence(call, size):
    with pytest.raises(
        ValueError, match=f"a batch holds at least one sentence, not {size}"
    ):
        call(size)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.data())
@SETTINGS
def test_a_rectangle_holds_the_tokens_of_its_rows(lengths, data):
    sentences = [
        Sentence([f"w{i}.{j}" for j in range(n)]) for i, n in enumerate(lengths)
    ]
    table = table_of(sentences)
    rows = np.array(
        data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=6))
    )
    batch = Batch(table, rows)
    strings = table.strings.strings
    assert batch.words.dtype == torch.int64
    expected = [sentences[row].words for row in rows]
    longest = max(map(len, expected))
    assert [[strings[number] for number in row] for row in batch.words.tolist()] == [
        words + [""] * (longest - len(words)) for words in expected
    ]
    assert (
        batch.mask.sum(1).tolist()
        == batch.token_counts.tolist()
        == [len(words) for words in expected]
    )
    numbers = np.arange(len(table.words))
    assert batch.take(numbers, padding=-7).eq(-7).eq(~batch.mask).all()
    assert [s.words for s in batch.sentences] == expected
    for chunk_size in (None, 1, 2, 99):
        chunks = list(batch.chunks(chunk_size))
        assert (
            np.concatenate([chunk.rows for chunk in chunks]).tolist() == rows.tolist()
        )
        assert max(map(len, chunks)) <= (chunk_size or len(rows))


def test_an_empty_batch_and_empty_sentences():
    dataset = SentenceDataset.of([Sentence(""), Sentence("")])
    batch = next(iterate(dataset, plain_order(2, 2)))
    assert (
        batch.words.shape == batch.mask.shape == (2, 0)
        and repr(batch) == "Batch of 2 x 0, 0 tokens"
    )
    nothing = Batch(dataset.table, dataset.rows[:0])
    assert nothing.words.shape == (0, 0) and list(nothing.chunks(None)) == []
    assert epoch_order(np.array([], dtype=int), 4, 1, 1) == []


def test_batches_of_a_dataset_follow_its_rows():
    dataset = SentenceDataset.of([Sentence(w) for w in "a b c d".split()]).take(
        np.array([3, 1])
    )
    assert [
        s.text for batch in iterate(dataset, plain_order(2, 1)) for s in batch.sentences
    ] == ["d", "b"]


@SETTINGS
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(0, 80))
def test_no_other_groups_of_neighbours_cost_less(lengths, call):
    lengths = np.array(lengths)

    def cost(groups):
        return sum(lengths[rows].max() * len(rows) + call for rows in groups)

    groups = cheapest_groups(lengths, call)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    order, ways = np.argsort(-lengths), []
    for cuts in itertools.product((False, True), repeat=len(lengths) - 1):
        ways.append(np.split(order, np.flatnonzero(cuts) + 1))
    assert cost(groups) == min(map(cost, ways))

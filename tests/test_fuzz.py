"Files that nobody would write: read, or refused with their line, and no line is lost in silence"

from __future__ import annotations

import csv
import io
import itertools
import json
import logging
import os
import random
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.data import Sentence
from flairnb.data.sentence import WHOLE
from flairnb.data.tables import SentenceTable
from flairnb.datasets import RecordsCorpus, write_columns, write_jsonl
from flairnb.datasets.annotations import OTHER, REJECTED, brat_records, json_records
from flairnb.datasets.columns import read_columns
from flairnb.datasets.files import (
    SKIPPED,
    Damage,
    DataError,
    load_index,
    save_index,
    table_arrays,
)
from flairnb.datasets.texts import (
    MISALIGNED,
    TextFormat,
    class_records,
    csv_records,
    csv_rows,
    fasttext_records,
    read_texts,
    trec_records,
)
from flairnb.datasets.treebanks import read_conllu
from flairnb.tokenization import SpaceTokenizer

slow = bool(os.environ.get("FLAIRNB_SLOW_TESTS"))
FILES = int(os.environ.get("FUZZ_FILES") or (100_000 if slow else 1_000))
VARIANTS = {"tsv": 4, "json": 4, "no comments": 4}  # of a reader: a part of the files
many = settings(max_examples=10_000 if slow else 60, deadline=None)
TABS = {"column_delimiter": "\t", "comment_symbol": "# "}


@pytest.fixture(scope="module", autouse=True)
def warnings():
    "What is told, in place of a log"
    logger, told = logging.getLogger("flairnb"), []
    handlers, logger.handlers = logger.handlers, [logging.Handler()]
    logger.handlers[0].emit = lambda record: told.append(record.getMessage())
    propagate, logger.propagate = logger.propagate, False
    yield told
    logger.handlers, logger.propagate = handlers, propagate


# Harm


PIECES = [
    *(b"", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x1c"),
    *(b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b" ", b"\t", b'"', b'""', b","),
    *(b":", b";", b"#", b"# ", b"-", b"_", b".", b"1", b"-1", b"9" * 20, b"9" * 5000),
    *(b"__label__", b"-DOCSTART-", b"B-", b"I-", b"O", b"T9\t", b"[", b"]", b"{", b"}"),
    *(b"null", b"NaN", b"1e999", b"\\ud800", b"\\", b"[" * 300, b"x" * 5000, b"\n\n"),
]


def put(data, chance):
    place, width = chance.randrange(len(data) + 1), chance.choice((0, 0, 1, 9))
    return data[:place] + chance.choice(PIECES) + data[place + width :]


def flip(data, chance):
    harmed = bytearray(data)
    harmed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(harmed)


def tear(data, chance):
    return data[: chance.randrange(len(data) + 1)]


def shuffle(data, chance):
    "Lines taken away, doubled, or in another order"
    lines = data.splitlines(keepends=True)
    found = [line for line in lines for _ in range(chance.choice((0, 1, 1, 1, 1, 2)))]
    place = chance.randrange(len(found) + 1)
    return b"".join(found[place:] + found[:place] if chance.random() < 0.2 else found)


def number(data, chance):
    "Another number in the place of one"
    places = [found.span() for found in re.finditer(rb"\d+", data)] or [(0, 0)]
    start, end = chance.choice(places)
    return (
        data[:start] + str(chance.choice((0, 1, 2, 3, 7, 10**6))).encode() + data[end:]
    )


def ends(data, chance):
    return data.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\n", b" \n")))


def wide(data, chance):
    return data.decode("utf-8", "replace").encode(
        chance.choice(("utf-16", "utf-16-le"))
    )


HARM = [put] * 8 + [flip] * 3 + [tear, shuffle, shuffle, number, number, ends]


def mutated(seed, chance):
    "A copy of the bytes, damaged in a few ways"
    data = wide(seed, chance) if chance.random() < 0.003 else seed
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 4))):
        data = chance.choice(HARM)(data, chance) or b"\n"
    return data


# What comes of it


class Outcome(NamedTuple):
    path: Path  # The file
    strict: SentenceTable | None  # What was read where an error would be raised
    error: str  # The error
    table: SentenceTable  # What was read in spite of damage
    lost: dict[str, int]  # What was left out
    told: list[str]  # Warnings about it

    def lines(self):
        "The lines that the warnings name"
        found = [re.search(r", lines? (\d+)(?: to (\d+))?: ", one) for one in self.told]
        return [range(int(one[1]), int(one[2] or one[1]) + 1) for one in found]

    def named(self):
        "All of them; each warning names others"
        every = [place for lines in self.lines() for place in lines]
        assert len(every) == len({*every})
        return every


def content(table):
    "All that a table says, as plain values"
    layers = {name: row.tolist() for name, row in table.token_layers.items()}
    marks = {n: [part.tolist() for part in m] for n, m in table.mark_layers.items()}
    arrays = [
        a.tolist() for a in (table.words, table.gaps, table.offsets, table.breaks)
    ]
    told = [[*(found or [])] for found in (table.comments, table.details)]
    return table.strings.strings, arrays, layers, marks, told


def kept_as_it_is(table, path):
    "Whether the index of a table gives it back"
    save_index(table, path)
    first, second = (table_arrays(one) for one in (table, load_index(path)))
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def attempt(read, path, warnings):
    "Read a file in all three ways, which must agree"
    start, error, strict = time.monotonic(), "", None
    try:
        strict = read(path, "raise")
    except DataError as caught:
        error = str(caught)
    warnings.clear()
    table = read(path, "warn")
    told = [one for one in warnings if one.startswith(str(path.parent))]
    lost = {name: int(counts.sum()) for name, counts in table.losses.items()}
    other = strict or read(path, "skip")
    assert time.monotonic() - start < 20
    assert content(table) == content(other) and len(told) == lost.get(SKIPPED, 0)
    for message in [*told, error] if error else told:
        assert (
            re.search(r", (lines?|record) \d+", message) and str(path.parent) in message
        )
        assert len(message) < 1_000
    assert not told or error
    return Outcome(path, strict, error, table, lost, told)


def physical(data):
    "The lines of a file, as bytes"
    return re.split(rb"\r\n|\r|\n", data)


def readable(line, first=False):
    "A line as text; `None` if it is none"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.removeprefix("\ufeff") if first else text


def left_over(data, table, fits, named):
    "Lines that are not empty, not named, and no row of the table, which is in order"
    row, left = 0, []
    for place, line in enumerate(physical(data), 1):
        text = readable(line, place == 1)
        if place in named:
            continue
        if row < len(table) and text is not None and fits(text, table.sentence(row)):
            row += 1
        elif text is None or text.strip():
            left.append(place)
    assert row == len(table)
    return left


def values(sentence, layer="class"):
    return [label.value for label in sentence.get_labels(layer)]


def spans(sentence, layer="ner"):
    return [(s.text, s.get_label(layer).value) for s in sentence.get_spans(layer)]


# A law for each format: where its lines have gone


def fasttext_law(data, found):
    def fits(line, sentence):
        line, text = line.strip(), sentence.text
        names = line[: len(line) - len(text)].split() if line.endswith(text) else [""]
        made = [f"__label__{value}" for value in values(sentence)]
        return bool(text) and list(dict.fromkeys(names)) == made

    assert not left_over(data, found.table, fits, found.named())


def trec_law(data, found):
    def fits(line, sentence):
        name, *words = line.split() or [""]
        return words and [*sentence.text.split(), *values(sentence)] == [
            *words,
            name.partition(":")[0],
        ]

    assert not left_over(data, found.table, fits, found.named())


def class_law(data, found):
    def fits(line, sentence):
        return sentence.text and line.strip() == sentence.text

    assert not left_over(data, found.table, fits, found.named())


def json_law(data, found):
    def fits(line, sentence):
        try:
            entry = json.loads(line)
            said = entry["data"] if "data" in entry else entry["text"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return False
        return said == sentence.text and _marks_kept(entry, sentence)

    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):  # one list, by its looks
        return
    left = left_over(data, found.table, fits, found.named())
    assert len(left) == found.lost.get(REJECTED, 0)


def _marks_kept(entry, sentence):
    "Whether all spans of a record are labels, or told to be misaligned"
    given = entry.get("spans") or []
    if not all(isinstance(one, dict) for one in given):
        return True
    given = {(one.get("start"), one.get("end"), str(one.get("label"))) for one in given}
    lost = sentence._metadata.get(WHOLE, {}).get("misaligned_spans", [])
    return len(given) <= len(sentence.get_labels("class")) + len(lost)


TABLE = {0: "text", 1: "label", 2: "note"}


def csv_law(data, found):
    "Letters and digits of a row's lines are those of its fields; other lines are named"
    path = found.path
    damage = Damage("skip")
    damage.start_file()
    rows = list(csv_rows(path, TextFormat(), damage))
    lines = {n: readable(x, n == 1) for n, x in enumerate(physical(data), 1)}
    lines = {n: line for n, line in lines.items() if line is not None}
    left, order = dict(lines), list(lines)
    for first, row in rows:
        place = order.index(first)
        size = 1 + sum(field.count("\n") for field in row)
        taken = [left.pop(n) for n in order[place : place + size]]
        assert alphanumeric("".join(taken)) == alphanumeric("".join(row))
    named = {place for lines in found.lines() for place in lines}
    said = (place for place, line in left.items() if line.replace('"', "").strip())
    assert {*said} <= named
    good = [row for _, row in rows if len(row) > 2 and row[0].strip()]
    assert len(found.table) == len(good)
    for place, row in enumerate(good):
        sentence = found.table.sentence(place)
        assert sentence.text == row[0] and sentence.get_metadata("note") == row[2]
        assert values(sentence) == ([row[1].strip()] if row[1].strip() else [])


def alphanumeric(text):
    return [letter for letter in text if letter.isalnum()]


class Reader(NamedTuple):
    seed: bytes  # A file as it should be
    records: Callable  # Reads such files
    law: Callable  # Where its lines must have gone


LINES = b"__label__A __label__B one two\n__label__C three\r\n\nfour, five\n"
ROWS = b'text,label,note\n"a ""b"",\nc",A,1\nd e,B,"x, y"\n\n"f",C,\n'
QUESTIONS = b"NUM:dist How far is it ?\nHUM:ind Who ?\nLOC:city Where , if at all ?\n"
TEXTS = b"one\ntwo three\n\nfour. Five!\n"
NOTED = b"""{"text": "a b", "spans": [{"start": 0, "end": 1, "label": "X"}]}
{"data": "c d e", "label": [[0, 1, "Y"], [2, 5, "Z"]], "id": 7}

{"text": "f", "labels": [{"label": "Y", "score": 0.5}], "answer": "accept"}
{"text": "g h", "tokens": [{"start": 0, "end": 3}], "metadata": {"a": [1]}, "label": "W"}
"""
READERS = {
    "fasttext": Reader(LINES, fasttext_records, fasttext_law),
    "csv": Reader(ROWS, partial(csv_records, columns=TABLE), csv_law),
    "tsv": Reader(
        ROWS.replace(b",", b"\t"),
        partial(csv_records, columns=TABLE, delimiter="\t", quoting=csv.QUOTE_NONE),
        None,
    ),
    "trec": Reader(QUESTIONS, trec_records, trec_law),
    "class": Reader(TEXTS, None, class_law),
    "jsonl": Reader(NOTED, json_records, json_law),
    "json": Reader(b"[%s]" % b",".join(NOTED.split(b"\n")[:2]), json_records, None),
}


@pytest.mark.parametrize("kind", READERS)
def test_texts_are_read_or_refused_with_their_line(scratch, warnings, kind):
    chance, path = random.Random(kind), scratch / f"mutated.{kind}"
    seed, records, law = READERS[kind]
    records = records or partial(class_records, labels={path: "A"})

    def read(path, on_error):
        return read_texts([path], TextFormat(on_error=on_error), records)

    for place in range(FILES // VARIANTS.get(kind, 1)):
        data = mutated(seed * chance.choice((1, 1, 2)), chance)
        path.write_bytes(data)
        found = attempt(read, path, warnings)
        assert bool(found.error) == bool(found.told), data
        if law:
            law(data, found)
        if place % 50 == 0:
            assert kept_as_it_is(found.table, scratch / "index")


# BRAT


TEXT = b"Ada slept.\n\nShe woke in\nBath, with Ben.\n"
NOTES = b"""T1\tPER 0 3\tAda
T2\tLOC 24 28\tBath
T3\tX 21 28\tin Bath
T4\tY 0 3;12 15\tAda She
R1\tin Arg1:T1 Arg2:T2
#1\tNote T1\tok
"""


def test_brat_is_read_or_refused_with_its_line(scratch, warnings):
    chance, path = random.Random("brat"), scratch / "mutated.txt"
    notes = path.with_suffix(".ann")

    def read(path, on_error):
        return read_texts([path], TextFormat(on_error=on_error), brat_records)

    for _ in range(FILES):
        text, said = TEXT, NOTES
        if chance.random() < 0.4:
            text = mutated(TEXT, chance)
        if chance.random() < 0.8:
            said = mutated(NOTES, chance)
        path.write_bytes(text)
        notes.write_bytes(said)
        found = attempt(read, path, warnings)
        assert bool(found.error) == bool(found.told)
        brat_law(text, said, found)


def brat_law(text, said, found):
    "Each line of the text is a row or named, each note is kept, counted or named"
    named = {kind: [] for kind in ("txt", "ann")}
    for message, lines in zip(found.told, found.lines(), strict=True):
        named[re.search(r"\.(txt|ann), line", message)[1]] += lines
    assert not left_over(text, found.table, lambda x, s: x == s.text, named["txt"])
    rows = [found.table.sentence(row) for row in range(len(found.table))]
    marks = [label for sentence in rows for label in sentence.get_labels("class")]
    kept = {(label.value, *label.data_point.text.split()) for label in marks}
    notes = {n: readable(x, n == 1) for n, x in enumerate(physical(said), 1)}
    notes = {n: x for n, x in notes.items() if x is None or x.strip()}
    lost = found.lost.get(MISALIGNED, 0)
    notes = {n: x for n, x in notes.items() if n not in named["ann"]}
    spans = [x.split("\t", 2)[1:] for x in notes.values() if x[0] == "T"]
    spans = [(about, said) for about, said in spans if ";" not in about.split(" ")[2]]
    assert found.lost.get(OTHER, 0) == len(notes) - len(spans)
    told = {(about.split(" ")[0], *said.split()) for about, said in spans}
    assert len(told - kept) <= lost


# Columns: a parser that goes from line to line


class Line(NamedTuple):
    number: int
    fields: list[str]
    damaged: bool


def groups_of(data, split, needed, comment="# ", text=0, borders=("-DOCSTART-",)):
    "Sentences as lists of lines, by the rules of the page"
    whole = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    groups, before = [[]], None
    for place, line in enumerate(re.split("\r\n|\r|\n", whole), 1):
        fields = split(line) if line.strip() else []
        first, before = before, None
        if not fields:
            groups.append([])
        elif line.startswith(comment) and (first is None or first != len(fields)):
            pass
        elif not line.startswith(comment) and {fields[0], *fields[text:][:1]} & {
            *borders
        }:
            groups.append([])
        else:
            torn = re.search("[\0\udc80-\udcff]", line) or len(fields) < needed
            groups[-1].append(Line(place, fields, bool(torn) or not fields[text]))
            before = len(fields)
    return [group for group in groups if group]


def tagged(value):
    return re.match("[BIESLU]-.", value, re.DOTALL) is not None


def settle(groups, column):
    "Groups without strange values, and whether the column labels spans"
    found = [line.fields[column] for group in groups for line in group]
    tags = sum(map(tagged, found))
    strange = [not tagged(value) and value not in ("O", "") for value in found]
    if not sum(strange) or tags <= sum(strange):
        return groups, not sum(strange)
    fine = [
        all(tagged(x.fields[column]) or x.fields[column] in ("O", "") for x in group)
        for group in groups
    ]
    return [group for group, good in zip(groups, fine, strict=True) if good], True


COLUMNS = {
    "plain": (
        b"# id = 1\nAnna B-PER\nMay I-PER\nsings O\n# O\n\n-DOCSTART- O\n\nBath B-LOC\n. O\n\n",
        {0: "text", 1: "ner"},
        {"comment_symbol": "# "},
    ),
    "no comments": (
        b"Anna B-PER\nMay I-PER\nsings O\n# O\n\n-DOCSTART- O\n\nBath B-LOC\n. O\n\n",
        {0: "text", 1: "ner"},
        {},
    ),
    "spaces": (
        b"Anna\tPROPN\tB-PER\t+\nMay\tPROPN\tI-PER\t-\n.\tPUNCT\tO\t+\n\n"
        b"# a = b\nIn New\tADP\tB-LOC\t-\nYork\tPROPN\tE-LOC\t+\n\n",
        {0: "text", 1: "upos", 2: "ner", 3: "space-after"},
        TABS,
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_are_read_or_refused_with_their_line(scratch, warnings, kind):
    chance, path = random.Random(kind), scratch / "mutated.columns"
    seed, form, options = COLUMNS[kind]

    def read(path, on_error):
        return read_columns([path], form, on_error=on_error, **options)

    for place in range(FILES // VARIANTS.get(kind, 1)):
        data = mutated(seed * chance.choice((1, 1, 2)), chance)
        path.write_bytes(data)
        found = attempt(read, path, warnings)
        columns_law(data, found, form, options)
        if place % 50 == 0:
            assert kept_as_it_is(found.table, scratch / "index")


def tabs(line):
    return line.rstrip(" ").split("\t")


def columns_law(data, found, form, options):
    split = tabs if "column_delimiter" in options else str.split
    comment = options.get("comment_symbol", "\n")
    groups = groups_of(data, split, max(form) + 1, comment)
    good, before = [g for g in groups if not any(line.damaged for line in g)], None
    layers = {c: name for c, name in form.items() if name in ("upos", "ner")}
    while before != len(good):
        before, spans = len(good), {}
        for column in layers:
            good, spans[column] = settle(good, column)
    check_named(groups, good, found)
    for row, group in enumerate(good):
        sentence = found.table.sentence(row)
        assert sentence.words == [line.fields[0] for line in group]
        for column, name in layers.items():
            said = [line.fields[column] for line in group]
            if spans[column]:
                within = [t.text for s in sentence.get_spans(name) for t in s]
                assert within == [
                    x.fields[0] for x in group if tagged(x.fields[column])
                ]
            else:
                told = [t.get_label(name).value for t in sentence]
                assert told == ["O" if v in ("", "O") else v for v in said]
        gaps = ["" if line.fields[max(form)] == "-" else " " for line in group]
        if "space-after" in form.values():
            both = zip(sentence.words, [*gaps[:-1], ""], strict=True)
            assert sentence.text == "".join(word + gap for word, gap in both)


def check_named(groups, good, found):
    "One line is named of each sentence that is left out, and of no other"
    dropped = [group for group in groups if group not in good]
    named = found.named()
    assert len(found.table) == len(good) and len(named) == len(dropped)
    for group in dropped:
        assert len({line.number for line in group} & {*named}) == 1
    if not dropped and found.error:  # a comment may be torn, too
        assert re.search(r"NUL|not utf-8", found.error)
    assert not dropped or found.error


def row_of(*fields):
    return "\t".join([*fields, *"_" * (10 - len(fields))]) + "\n"


TREEBANK = (
    "# newdoc\n# sent_id = w1\n"
    + row_of("1", "I", "I", "PRON", "PRP", "Person=1|Case=Nom", "4", "nsubj")
    + row_of("2-3", "didn't")
    + row_of("2", "did", "do", "AUX", "VBD", "Tense=Past", "4", "aux")
    + row_of("3", "n't", "not", "PART", "RB", "_", "4", "advmod")
    + row_of("4", "know", "know", "VERB", "VB", "_", "0", "root", "_", "SpaceAfter=No")
    + row_of("4.1", "it")
    + row_of("5", ".", ".", "PUNCT", ".", "_", "4", "punct")
    + "\n# text = Yes\n"
    + row_of("1", "Yes", "yes", "INTJ", "UH", "_", "0", "root")
    + "\n"
).encode()


def test_treebanks_are_read_or_refused_with_their_line(scratch, warnings):
    chance, path = random.Random("conllu"), scratch / "mutated.conllu"
    for _ in range(FILES):
        data, whole = mutated(TREEBANK, chance), chance.random() < 0.5
        path.write_bytes(data)

        def read(path, on_error, whole=whole):
            return read_conllu([path], split_multiwords=not whole, on_error=on_error)

        found = attempt(read, path, warnings)
        groups = groups_of(data, tabs, 10, "#", text=1, borders=())
        good = [g for g in groups if not any(line.damaged for line in g) and counted(g)]
        check_named(groups, good, found)
        for row, group in enumerate(good):
            sentence = found.table.sentence(row)
            assert sentence.words == tokens_of(group, whole)


ID = re.compile(r"([1-9]\d{0,8})(?:-([1-9]\d{0,8}))?")


def counted(group):
    "Whether the words of a sentence count from 1"
    numbers = [line.fields[0] for line in group]
    found = [ID.fullmatch(n) for n in numbers if not re.fullmatch(r"\d+\.\d+", n)]
    if not all(found):
        return False
    pairs = [(int(m[1]), int(m[2] or m[1])) for m in found]
    words = [a for a, b in pairs if a == b]
    inside = all(a <= b <= len(words) for a, b in pairs)
    return inside and words == list(range(1, len(words) + 1))


def tokens_of(group, whole):
    "The words, or with `whole` surfaces in their place"
    found = [(ID.fullmatch(line.fields[0]), line.fields[1]) for line in group]
    found = [(int(m[1]), int(m[2] or m[1]), form) for m, form in found if m]
    covered = {n for a, b, _ in found if a < b for n in range(a, b + 1)}
    if whole:
        return [form for a, b, form in found if a < b or a not in covered]
    return [form for a, b, form in found if a == b]


# Rows that lie in memory


def deep(depth):
    return [deep(depth - 1)] if depth else []


ROUND: list = []
ROUND.append(ROUND)
ODD = [
    *(None, float("nan"), "", " ", "\ud800", "a\0b", 3, -1, 10**5000, 0.5, True, b"x"),
    *(object(), [], ["a"], ["a", ""], ["a", 3], ["a b", "c"], {}, {"a": {1: 2}}, set()),
    *({"start": 0, "end": 1, "label": "X"}, [{"start": -5, "end": 3, "label": "X"}]),
    *([[0, 99, "X"]], [[0, 1, None]], [[0, 1, "X"]], {(1, 2): 3}, deep(200), deep(900)),
    *(ROUND, np.array([1, 2]), np.array([]), np.int64(3), np.float32("nan"), [None]),
    *(
        {"label": "X", "score": 10**400},
        {"label": "X", "score": "high"},
        {"value": 10**5000},
    ),
]


def text_of(row):
    text = row.get("text")
    if isinstance(text, (list, np.ndarray)):
        return " ".join(map(str, text))
    return text


def test_rows_are_read_or_refused_with_their_place(warnings):
    chance = random.Random("rows")
    for _ in range(FILES):
        rows = [{"text": f"a {n} b", "label": "X", "note": n} for n in range(3)]
        for _ in range(chance.randint(0, 3)):
            row, name = chance.choice(rows), chance.choice(("text", "label", "note"))
            row[name] = chance.choice(ODD)
            if chance.random() < 0.1:
                row.pop(name)
        options = {"metadata": ["note"], "sample_missing_splits": False}
        found = RecordsCorpus(rows, on_error="skip", **options)
        lost = found.losses["train"].get(SKIPPED, 0)
        assert len(found.train) + lost == len(rows)
        left = iter(rows)
        for sentence in found.train:  # in order, and with their text
            assert any(sentence.text == text_of(row) for row in left)
        warnings.clear()
        RecordsCorpus(rows, on_error="warn", **options)
        told = [one for one in warnings if one.startswith("records.train, line ")]
        assert len(told) == lost
        if lost:
            with pytest.raises(DataError, match=r"records\.train, line \d"):
                RecordsCorpus(rows, **options)
        else:
            assert len(RecordsCorpus(rows, **options).train) == len(rows)


# Grown files: what is written is read


word = st.text("ab\u00e9\u65e5.'_:\"\\#", min_size=1, max_size=6)


@many
@given(
    st.lists(
        st.tuples(st.lists(word, max_size=3), st.lists(word, min_size=1)), max_size=6
    )
)
def test_any_lines_come_back(scratch, texts):
    lines = (
        " ".join([*(f"__label__{name}" for name in names), *words])
        for names, words in texts
    )
    path = scratch / "any.txt"
    path.write_bytes(("\n".join(lines) + "\n").encode())
    form = TextFormat(tokenizer=SpaceTokenizer())
    table = read_texts([path], form, fasttext_records)
    assert len(table) == len(texts)
    for row, (names, words) in enumerate(texts):
        sentence = table.sentence(row)
        assert sentence.words == words and sentence.text == " ".join(words)
        assert values(sentence) == list(dict.fromkeys(names))


field = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@many
@given(
    st.lists(st.tuples(field.filter(str.strip), field.filter(str.strip)), max_size=5)
)
def test_any_table_comes_back(scratch, rows):
    buffer, path = io.StringIO(), scratch / "any.csv"
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    path.write_bytes(("\ufeff" + buffer.getvalue()).encode())
    read = partial(csv_records, columns={0: "text", 1: "label"})
    table = read_texts([path], TextFormat(), read)
    found = [(s.text, *values(s)) for s in map(table.sentence, range(len(table)))]
    assert found == [(text, label.strip()) for text, label in rows]


@many
@given(st.lists(st.tuples(st.lists(word, min_size=1), word), max_size=5))
def test_any_questions_come_back(scratch, questions):
    lines = [
        f"{name.replace(':', '')}x:y {' '.join(words)}\n" for words, name in questions
    ]
    path = scratch / "any.label"
    path.write_bytes("".join(lines).encode())
    table = read_texts([path], TextFormat(tokenizer=SpaceTokenizer()), trec_records)
    found = [(s.words, values(s)) for s in map(table.sentence, range(len(table)))]
    assert found == [(w, [f"{name.replace(':', '')}x"]) for w, name in questions]


@st.composite
def noted(draw):
    "A document, and stretches of single lines"
    text = draw(st.text("ab \u00e9\n.", max_size=30))
    places = st.integers(0, len(text))
    pairs = (
        sorted(pair) for pair in draw(st.lists(st.tuples(places, places), max_size=4))
    )
    return text, {(a, b) for a, b in pairs if a < b and "\n" not in text[a:b]}


@many
@given(noted())
def test_any_notes_come_back(scratch, document):
    (text, spans), path = document, scratch / "any.txt"
    lines = (f"T{n}\tX {a} {b}\t{text[a:b]}\n" for n, (a, b) in enumerate(spans))
    path.write_bytes(text.encode())
    path.with_suffix(".ann").write_bytes("".join(lines).encode())
    table = read_texts([path], TextFormat(), brat_records)
    rows = [table.sentence(row) for row in range(len(table))]
    assert [s.text for s in rows] == [x for x in text.split("\n") if x.strip()]
    marks = [label.data_point.text for s in rows for label in s.get_labels("class")]
    lost = sum(int(n.sum()) for name, n in table.losses.items() if name == MISALIGNED)
    assert len(marks) + lost == len(spans)
    assert {*marks} <= {text[a:b].strip() for a, b in spans}


@st.composite
def treebanks(draw):
    "A treebank in CoNLL-U, with its words"
    lines, words = [], []
    for _ in range(draw(st.integers(1, 3))):
        said = draw(st.lists(word, min_size=1, max_size=5))
        for n, form in enumerate(said, 1):
            last = draw(st.sampled_from(["_", "SpaceAfter=No"]))
            tag = draw(st.sampled_from(["NOUN", "X", "_"]))
            if n < len(said) and draw(st.integers(0, 4)) == 0:
                lines.append(row_of(f"{n}-{n + 1}", form + said[n]))
            lines.append(row_of(str(n), form, "_", tag, "_", "_", "0", "_", "_", last))
        lines.append("\n")
        words.append(said)
    return "".join(lines), words


@many
@given(treebanks())
def test_any_treebank_comes_back_as_columns(scratch, bank):
    (text, words), path = bank, scratch / "any.conllu"
    path.write_bytes(text.encode())
    table = read_conllu([path])
    found = [table.sentence(row) for row in range(len(table))]
    assert [s.words for s in found] == words
    try:
        form = write_columns(found, scratch / "bank.txt", ["upos"])
    except ValueError as error:  # a word that begins with "# " is a comment in columns
        assert "does not fit" in str(error)
        return
    again = read_columns([scratch / "bank.txt"], form, **TABS)
    back = [again.sentence(row) for row in range(len(again))]
    for ours, theirs in zip(back, found, strict=True):
        assert (ours.words, ours.text) == (theirs.words, theirs.text)
        tags = [[t.get_label("upos").value for t in s] for s in (ours, theirs)]
        assert tags[0] == tags[1]


letters = st.text("ab\u00e9\u65e5 .'\t\n\"", min_size=1, max_size=12)
names = st.text("AB -\t\u00e9", min_size=1, max_size=4)
sure = st.sampled_from([1.0, 0.5, 0.123456])


@st.composite
def annotated(draw):
    sentence = Sentence(draw(letters))
    for _ in range(draw(st.integers(0, 3)) if len(sentence) else 0):
        start = draw(st.integers(0, len(sentence) - 1))
        stop = draw(st.integers(start + 1, len(sentence)))
        layer = draw(st.sampled_from(["ner", "np"]))
        sentence[start:stop].set_label(layer, draw(names), draw(sure))
    for name in draw(st.lists(names, max_size=2, unique=True)):
        sentence.add_label("ner", name, draw(sure))
    if draw(st.booleans()):
        sentence.add_metadata(
            "note", draw(st.recursive(names | st.integers(), st.lists))
        )
    sentence.start_of_document = draw(st.booleans())
    return sentence


def told(sentence, layer):
    "All that is said of a sentence, label by label"
    marks = [
        (x.data_point._bounds, x.value, x.score) for x in sentence.get_labels(layer)
    ]
    about = (
        sentence.text,
        sentence.words,
        sentence._metadata,
        sentence.start_of_document,
    )
    return sorted(marks), about


@many
@given(st.lists(annotated(), max_size=4), st.booleans())
def test_json_comes_back_as_it_was(scratch, sentences, tokens):
    path, again = scratch / "out.jsonl", scratch / "again.jsonl"
    write_jsonl(sentences, path, ["ner", "np"], tokens)
    table = read_texts([path], TextFormat(), json_records)
    back = [table.sentence(row) for row in range(len(table))]
    for layer in ("ner", "np"):
        assert [told(s, layer) for s in back] == [told(s, layer) for s in sentences]
    write_jsonl(back, again, ["ner", "np"], tokens)
    read = read_texts([again], TextFormat(), json_records)
    assert [told(read.sentence(n), "ner") for n in range(len(read))] == [
        told(s, "ner") for s in sentences
    ]


@st.composite
def columned(draw):
    word = st.text("ab\u00e9#-", min_size=1, max_size=4)
    words = draw(st.lists(word, min_size=1, max_size=5))
    text, starts = words[0], [0]
    for one in words[1:]:
        text += " " * draw(st.integers(0, 1))
        starts.append(len(text))
        text += one
    sentence = Sentence.of(text, words, starts)
    for token in sentence:
        if draw(st.booleans()):
            token.add_label(
                "upos", draw(st.sampled_from(["N", "V x", "ADJ"])), draw(sure)
            )
    cuts = sorted(
        {0, len(words), *draw(st.lists(st.integers(0, len(words)), max_size=3))}
    )
    for start, stop in itertools.pairwise(cuts):
        if draw(st.booleans()):
            sentence[start:stop].add_label(
                "ner", draw(st.sampled_from(["PER", "L O-C"]))
            )
    if draw(st.booleans()):
        sentence.add_metadata("id", draw(st.sampled_from(["7", "a = b", "x y"])))
    return sentence


@many
@given(st.lists(columned(), min_size=1, max_size=4), st.booleans())
def test_columns_come_back_as_they_were(scratch, sentences, scores):
    path, again = scratch / "out.txt", scratch / "again.txt"
    form = write_columns(sentences, path, ["upos", "ner"], scores)
    table = read_columns([path], form, **TABS)
    back = [table.sentence(row) for row in range(len(table))]
    for ours, theirs in zip(back, sentences, strict=True):
        assert (ours.text, ours.words) == (theirs.text, theirs.words)
        assert spans(ours) == spans(theirs) and ours._metadata == theirs._metadata
        tags = [[t.get_label("upos").value for t in s] for s in (ours, theirs)]
        assert tags[0] == tags[1]
    write_columns(back, again, ["upos", "ner"], scores)
    lines = [p.read_text().splitlines() for p in (path, again)]
    assert scores or lines[0] == lines[1]

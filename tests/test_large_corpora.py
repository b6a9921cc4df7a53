"Corpora larger than memory: read in a stream, mapped, drawn from; disks that fill, processes that die"

from __future__ import annotations

import gzip
import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from flairnb import assets
from flairnb.data import Corpus, MultiCorpus, Sentence
from flairnb.data.corpus import vocabulary
from flairnb.data.tables import (
    SentenceDataset,
    count_labels,
    kinds_of_layer,
    labels_as_met,
    table_of,
    take_rows,
)
from flairnb.datasets import columns, files, texts
from flairnb.datasets.columns import ColumnCorpus, read_columns
from flairnb.datasets.files import (
    DataError,
    Grown,
    cannot_be_cut,
    line_blocks,
    load_index,
    read_text,
    save_index,
    source_sum,
    sweep,
    table_arrays,
)
from flairnb.datasets.texts import TextFormat, read_texts
from flairnb.datasets.treebanks import read_conllu

slow = pytest.mark.skipif(
    "FLAIRNB_SLOW_TESTS" not in os.environ, reason="slow: set FLAIRNB_SLOW_TESTS=1"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

COLUMNS = (
    "# id = 1\nAnna PROPN B-PER\nMay PROPN I-PER\n\n-DOCSTART- X O\n\n# O\n\n"
    "# id = 2\nin ADP O\n# O O\nBath PROPN B-LOC\n \t\nYes INTJ O\n"
) * 9
FORM = {0: "text", 1: "upos", 2: "ner"}
CONLLU = (
    "# newdoc\n# sent_id = 1\n1\tZum\t_\tADP\t_\tCase=Dat\t2\tcase\t_\t_\n"
    "2\tSee\tsee\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No\n\n"
    "# sent_id = 2\n1-2\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tdid\tdo\tAUX\t_\t_\t0\troot\t_\t_\n2\tn't\tnot\tPART\t_\t_\t1\tadvmod\t_\t_\n\n"
) * 9


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_told", set())


def small_steps(monkeypatch):
    "Everything that is done in pieces is done in many"
    monkeypatch.setattr(files, "BLOCK", 100)
    monkeypatch.setattr(files, "HELD", 64)
    monkeypatch.setattr(files, "SUMMED", 64)
    for module in (files, columns, texts):
        monkeypatch.setattr(module, "PIECE", 16)
    monkeypatch.setattr("flairnb.data.tables.PIECE", 5)


def same(first, second):
    "Whether two tables hold the same"
    one, other = table_arrays(first), table_arrays(second)
    assert [*one] == [*other]
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        np.testing.assert_array_equal(one[name], other[name])
    return True


def written(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# --- the same in pieces as in one ---


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("whole", [False, True])
def test_columns_in_pieces_are_the_same(tmp_path, monkeypatch, whole, on_error):
    paths = [written(tmp_path, f"{n}.txt", COLUMNS * n) for n in (1, 0, 3)]
    options = {"comment_symbol": "# ", "on_error": on_error}
    options |= {"documents_as_sentences": whole}
    once = read_columns(paths, FORM, **options)
    small_steps(monkeypatch)
    pieces = read_columns(paths, FORM, **options)
    assert same(pieces, once)
    assert pieces.sentence(1)._metadata == once.sentence(1)._metadata
    save_index(pieces, tmp_path / "x")
    assert same(load_index(tmp_path / "x", thorough=True), once)


@pytest.mark.parametrize("split", [True, False])
def test_treebanks_in_pieces_are_the_same(tmp_path, monkeypatch, split):
    paths = [written(tmp_path, f"{n}.conllu", CONLLU * n) for n in (1, 2)]
    once = read_conllu(paths, split)
    small_steps(monkeypatch)
    assert same(read_conllu(paths, split), once)


TORN = {
    "a mixed column": (COLUMNS, "# id = 3\nEva PROPN PER\nran VERB O\n"),
    "a short line": (COLUMNS, "# id = 3\nEva PROPN\n"),
    "no text": (COLUMNS, "# id = 3\nEva\udcfc PROPN O\n"),
    "a wrong number": (CONLLU, "1" + "\tx" * 9 + "\n3" + "\ty" * 9 + "\n"),
    "a document": (CONLLU, "# newdoc\n1-9" + "\tx" * 9 + "\n1" + "\ty" * 9 + "\n"),
}


@pytest.mark.parametrize("kind", TORN)
@pytest.mark.parametrize("steps", [False, True])
def test_damaged_sentences_are_left_out_as_if_they_were_not_there(
    tmp_path, monkeypatch, kind, steps
):
    good, torn = TORN[kind]
    if steps:
        small_steps(monkeypatch)

    def read(parts, **options):
        text = "\n".join(parts).encode("utf-8", "surrogateescape")
        (tmp_path / "t.txt").write_bytes(text)
        paths = [tmp_path / "t.txt", written(tmp_path, "good.txt", good)]
        if good is CONLLU:
            return read_conllu(paths, **options)
        return read_columns(paths, FORM, comment_symbol="# ", **options)

    with pytest.raises(DataError):
        read([good, torn, good])
    whole = read([good, good])
    left = read([torn, good, torn, torn, good, torn], on_error="skip")
    assert left.losses["skipped records"].tolist() == [4, 0]
    assert left.files.tolist() == whole.files.tolist()
    assert left.breaks.tolist() == whole.breaks.tolist()
    assert [*left.token_layers] == [*whole.token_layers]
    for row in range(len(whole)):
        one, other = left.sentence(row), whole.sentence(row)
        assert str(one) == str(other) and one._metadata == other._metadata


def test_values_are_counted_without_the_sentences_left_out(tmp_path, monkeypatch):
    small_steps(monkeypatch)
    path = written(
        tmp_path, "t.txt", COLUMNS + "\n" + "Eva PROPN PER\n\n" * 9 + COLUMNS
    )
    form = columns.ColumnFormat(FORM, comment_symbol="# ", on_error="skip")
    raw = columns.read_files([path], form)
    left = columns.of_one_kind(raw, form)
    assert columns.of_one_kind(left, form) is left
    assert len(raw.lines) - len(left.lines) == 9 and left.lines.base is not None
    for some in (raw, left):
        for column, numbers in some.numbers.items():
            counts = Counter(numbers.tolist())
            found = some.counts[column]
            assert {n: int(found[n]) for n in np.flatnonzero(found)} == counts
            assert len(found) == len(some.tables[column])


def records(path, form, damage):
    for number in range(40):
        words, text = [(0, 3), (4, 9)], f"Ada {number:05}"
        tags = {"ner": ["B-PER", "O"], "upos": ["X", "Y"]} if number > 20 else {}
        marks = [texts.Mark("A", score=0.5 if number == 30 else 1.0)]
        known = {"page": number} if number % 7 == 5 else {}
        yield texts.Record(text, marks, known, words, tags, number % 9 == 0)


def test_texts_in_pieces_are_the_same(tmp_path, monkeypatch):
    path, form = written(tmp_path, "a", "x"), TextFormat()
    once = read_texts([path, path], form, records)
    small_steps(monkeypatch)
    pieces = read_texts([path, path], form, records)
    assert same(pieces, once)
    assert str(pieces.sentence(70)) == str(once.sentence(70))
    assert pieces.sentence(70).get_label("class").score == 0.5
    assert [span.text for span in pieces.sentence(70).get_spans("ner")] == ["Ada"]
    assert pieces.sentence(12).get_metadata("page") == 12
    assert [*pieces.token_layers] == ["upos"] and len(
        pieces.mark_layers["ner"].stop
    ) == 38


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "UTF_16_BE", "cp500"]
)
def test_blocks_are_the_lines_of_the_file(tmp_path, monkeypatch, ends, encoding):
    text = ends.join(["a" * n + "\u00e4" for n in range(25)] + ["", "x"])
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode(encoding))
    monkeypatch.setattr(files, "BLOCK", 64)
    blocks = [*line_blocks(path, encoding)]
    assert [*itertools.chain(*blocks)] == read_text(path, encoding).split("\n")
    assert len(blocks) > 3 or ends == "\r" or cannot_be_cut(encoding)


def test_packed_files_are_read_in_blocks_and_told_when_damaged(tmp_path, monkeypatch):
    small_steps(monkeypatch)
    plain, packed = written(tmp_path, "t.txt", COLUMNS), tmp_path / "t.gz"
    draw = random.Random(5)
    noise = "".join(f"{draw.random()} X O\n\n" for _ in range(9999))
    packed.write_bytes(gzip.compress(COLUMNS.encode()))
    once = read_columns([plain], FORM, comment_symbol="# ")
    assert same(read_columns([packed], FORM, comment_symbol="# "), once)
    packed.write_bytes(gzip.compress(noise.encode())[:-50_000])
    with pytest.raises(DataError, match="a gzip file that is damaged"):
        read_columns([packed], FORM, on_error="skip")
    packed.write_bytes(gzip.compress(b"__label__A fine\n" * 3))
    assert len(read_texts([packed], TextFormat(), texts.fasttext_records)) == 3
    packed.write_bytes(packed.read_bytes()[:-3])
    with pytest.raises(DataError, match="a gzip file that is damaged"):
        read_texts([packed], TextFormat(), texts.fasttext_records)


@pytest.mark.parametrize("wrong", ["May\n", "Bath LOC X\n", "\0 X Y\n"])
def test_errors_name_the_same_line(tmp_path, monkeypatch, wrong):
    path = written(tmp_path, "t.txt", COLUMNS + wrong + "\n" + COLUMNS)

    def message():
        with pytest.raises(DataError) as caught:
            read_columns([path], FORM, comment_symbol="# ")
        return str(caught.value)

    once = message()
    small_steps(monkeypatch)
    assert message() == once and f"line {COLUMNS.count(chr(10)) + 1}:" in once


def test_bytes_of_another_encoding_are_placed(tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_bytes(COLUMNS.encode() + b"f\xfcr ADP O\n")
    monkeypatch.setattr(files, "BLOCK", 100)
    with pytest.raises(DataError, match=f"byte {len(COLUMNS) + 1} of the file"):
        read_columns([path], FORM, comment_symbol="# ")


def test_a_column_grows_from_memory_to_the_disk(monkeypatch):
    monkeypatch.setattr(files, "HELD", 64)
    column, values = Grown(np.int32), np.arange(100, dtype=np.int32)
    for some in np.array_split(values, 9):
        column.add(some)
    assert column.stored and column.file is not None
    np.testing.assert_array_equal(column.array(), values)
    files.forget_pages(column.array())
    np.testing.assert_array_equal(column.array(), values)
    column.fill(102, 7)
    assert column.array()[98:].tolist() == [98, 99, 7, 7]


def tagged():
    "Sentences with labels on tokens, spans and texts"
    draw = random.Random(3)
    for number in range(60):
        sentence = Sentence([f"w{draw.randrange(9)}" for _ in range(draw.randrange(6))])
        for token in sentence:
            if draw.random() < 0.6:
                token.add_label("upos", draw.choice("ABC"))
        if len(sentence) > 2:
            sentence[0:2].add_label("ner", draw.choice("XY"))
        if number % 3:
            sentence.add_label("topic", draw.choice("xyz"))
        yield sentence


def test_counts_in_pieces_are_those_of_the_objects(monkeypatch):
    small_steps(monkeypatch)
    sentences = [*tagged()]
    table = table_of(sentences)
    rows = np.array([*range(5, 40), 3, 3, 59, 41])
    data, chosen = SentenceDataset(table, rows), [sentences[row] for row in rows]
    for layer in ("upos", "ner", "topic"):
        met = [label.value for s in chosen for label in s.get_labels(layer)]
        assert [*labels_as_met(data, layer).items()] == [*Counter(met).items()]
        assert count_labels(data, layer) == Counter(met)
    words = Counter(word for s in chosen for word in s.words)
    found = vocabulary(data, min_freq=2).get_items()[1:]
    assert found == [w for w, n in words.most_common() if n > 1]
    assert table.text_lengths().tolist() == [len(s.text) for s in sentences]
    assert [kinds_of_layer(data, x) for x in ("upos", "ner", "topic", "no")] == [
        {"tokens"},
        {"spans"},
        {"sentences"},
        set(),
    ]
    taken = take_rows(table, rows)
    assert [str(s) for s in SentenceDataset(taken)] == [str(s) for s in chosen]


def test_a_text_that_is_drawn_twice_has_one_label():
    def part(name, count):
        texts = [Sentence(f"{name} {n}") for n in range(count)]
        for number, text in enumerate(texts):
            text.add_label("topic", "AB"[number % 2])
        return Corpus(texts, name=name, sample_missing_splits=False)

    both = MultiCorpus([part("a", 20), part("b", 4)], sample_missing_splits=False)
    both.sample_by_temperature(100, random_seed=1)
    assert len(both.parts("train")["b"]) == 12  # each of them three times
    assert not both.make_label_dictionary("topic").multi_label


def test_all_sentences_are_those_of_the_splits():
    corpus = Corpus([*tagged()], random_seed=1)
    every = corpus.get_all_sentences()
    parts = [*corpus.train, *corpus.dev, *corpus.test]
    assert len(every) == 60 and all(a is b for a, b in zip(every, parts, strict=True))
    assert every[-1] is corpus.test[-1] and every[47:49] == parts[47:49]
    with pytest.raises(IndexError):
        every[60]


# --- damage, full disks, killed processes ---


def index_files():
    return sorted(path.name for path in (assets.cache_root() / "indexes").glob("*"))


def long_corpus(folder):
    written(folder, "train.txt", COLUMNS * 8)
    return ColumnCorpus(folder, FORM, sample_missing_splits=False)


def test_damage_of_a_long_array(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SUMMED", 64)
    path = tmp_path / "x"
    save_index(table_of([Sentence(["w"] * 400)]), path)
    good = path.read_bytes()
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    begin = 8 + int.from_bytes(good[:8], "little")
    first, last = (begin + n for n in header["words"]["data_offsets"])
    assert last - first > 4 * 64  # longer than what is always checked

    def noticed(data, thorough=False):
        path.write_bytes(data)
        try:
            load_index(path, thorough)
        except DataError:
            return True
        return False

    def flipped(place):
        return good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]

    assert not noticed(good) and not noticed(good, thorough=True)
    assert all(noticed(flipped(n)) for n in (first, first + 63, last - 1, last - 60))
    assert noticed(flipped(first + 700), thorough=True)
    assert not noticed(flipped(first + 700))  # that is what it costs to be quick
    cuts = [*range(0, len(good), 97), len(good) - 1]
    assert all(noticed(good[:cut]) for cut in cuts) and noticed(good + b"\0")
    blanks = sum(not noticed(flipped(n)) for n in range(0, begin, 3))
    assert blanks == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
@pytest.mark.parametrize("held", [1 << 22, 1 << 10])
def test_a_full_disk(tmp_path, monkeypatch, held, caplog):
    "With large columns no index is kept; with small ones nothing fits on the disk"
    import resource

    path = written(tmp_path, "a", COLUMNS * 300)
    once = read_columns([path], FORM, comment_symbol="# ")
    monkeypatch.setattr(files, "HELD", held)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        corpus = ColumnCorpus(tmp_path, FORM, "a", sample_missing_splits=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert same(corpus.train.table, once)
    assert index_files() == []
    told = caplog.text
    assert told.count("No index is kept") == 1
    assert ("stays in memory" in told) == (held < 10_000)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def write_and_die(file):
    claim(file)
    file.write(b"half of an index")
    file.flush()
    die()


claim = files.claim


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize(
    "module, where, death, left",
    [
        (columns, "labelled", die, ""),
        (files, "claim", write_and_die, "."),
        (files, "load_index", die, "whole"),
    ],
)
def test_a_killed_process_leaves_nothing_that_stays(
    tmp_path, monkeypatch, module, where, death, left
):
    small_steps(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(module, where, death)
        forked = multiprocessing.get_context("fork")
        child = forked.Process(target=long_corpus, args=(tmp_path / "c",))
        child.start()
        child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [name[0] == "." for name in index_files()] == [left == "."] * bool(left)
    table = long_corpus(tmp_path / "c").train.table
    path = tmp_path / "c" / "train.txt"
    assert same(table, read_columns([path], FORM, comment_symbol="# "))
    assert len(index_files()) == 1 and index_files()[0].endswith("safetensors")


def test_a_file_that_is_being_written_is_left_alone(tmp_path):
    path = tmp_path / ".x.safetensors.tmp-1-1"
    with files.claims() as lock:
        with open(path, "wb") as file:
            lock(file)
            file.write(b"whole")
            file.flush()
            sweep(tmp_path)
            assert path.exists()
        sweep(tmp_path)  # it is closed, and gets its name in a moment
        assert path.exists()
    sweep(tmp_path)
    assert not path.exists()


def test_two_processes_with_files_for_what_is_long(tmp_path, monkeypatch):
    small_steps(monkeypatch)
    written(tmp_path / "c", "train.txt", COLUMNS * 8)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(_count, [tmp_path / "c"] * 4, chunksize=1)
    assert found == [2 * 9 * 8 + 1] * 4
    assert len(index_files()) == 1 and index_files()[0].endswith("safetensors")


def _count(folder):
    return len(ColumnCorpus(folder, FORM, sample_missing_splits=False).train)


def test_the_sum_of_a_large_file_is_remembered(tmp_path, monkeypatch):
    path, read = written(tmp_path, "a.txt", "one"), []
    count = assets.sha256_of
    for module in (assets, files):
        monkeypatch.setattr(module, "sha256_of", lambda p: read.append(p) or count(p))
    monkeypatch.setattr(files, "LARGE", 3)
    source_sum(path)
    source_sum(path)
    assert len(read) == 2  # it was written just now, and may be again
    monkeypatch.setattr(files, "SETTLED", -9.0)
    assert source_sum(path) == source_sum(path) == count(path)
    assert len(read) == 3
    seen = path.stat()
    path.write_text("two")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert source_sum(path) == count(path) and len(read) == 4


# --- memory, measured from outside ---

MAKE = """
import random

def words(seed, count, variants):
    "Sentences of a dozen words; in place of @ stands a number that varies"
    draw = random.Random(seed)
    known = [f"w{draw.randrange(10**6)}" for _ in range(3000)]
    tags = ["NOUN", "VERB", "DET", "ADJ"]
    made = []
    for _ in range(count):
        size = draw.randint(4, 20)
        chosen = [(draw.choice(known), draw.choice(tags), "O") for _ in range(size)]
        at = draw.randrange(size)
        chosen[at] = ("Name@", "PROPN", "B-" + draw.choice(["PER", "LOC"]))
        made.append(chosen)
    return made

def fill(path, kind, sentences, seed=1):
    "A corpus of so many sentences, by repetition with variation"
    base = words(seed, 2000, 0)
    shown = {
        "columns": lambda s: "".join(" ".join(w) + "\\n" for w in s) + "\\n",
        "conllu": lambda s: "# sent_id = @\\n" + "".join(
            f"{n}\\t{w}\\t{w}\\t{t}\\t_\\t_\\t{n - 1}\\tdep\\t_\\t_\\n"
            for n, (w, t, _) in enumerate(s, 1)) + "\\n",
        "texts": lambda s: f"__label__{s[0][1]} " + " ".join(w for w, *_ in s) + "\\n",
    }[kind]
    made, draw = [shown(s) for s in base], random.Random(seed)
    with open(path, "w") as file:
        for block in range(-(-sentences // len(made))):
            draw.shuffle(made)
            left = made[:sentences - block * len(made)]
            file.write("".join(left).replace("@", str(block)))
"""

MEASURE = """
import re, sys, time
from pathlib import Path

def held(what="VmRSS"):
    "Megabytes in memory, pages of mapped files among them"
    status = Path("/proc/self/status").read_text()
    return int(re.search(what + r":\\s+(\\d+)", status)[1]) / 1024

def peak():
    return held("VmHWM")

def new_peak():
    Path("/proc/self/clear_refs").write_text("5")
"""


def run(tmp_path, script, *arguments, **options):
    "What a script prints, in a process of its own"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MAKE + MEASURE + script, *map(str, arguments)]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        **options,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


GROW = """
from flairnb.datasets.columns import ColumnCorpus
from flairnb.datasets.treebanks import UniversalDependenciesCorpus
from flairnb.datasets.texts import ClassificationCorpus
read = {
    "columns": lambda f: ColumnCorpus(f, {0: "text", 1: "upos", 2: "ner"}, sample_missing_splits=False),
    "conllu": lambda f: UniversalDependenciesCorpus(f, sample_missing_splits=False),
    "texts": lambda f: ClassificationCorpus(f, sample_missing_splits=False),
}
before = held()
for kind in sys.argv[2:]:
    for size in (2_000, int(sys.argv[1])):
        folder = Path(f"{kind}{size}")
        folder.mkdir()
        fill(folder / "train.txt", kind, size)
        new_peak()
        corpus = read[kind](folder)
        assert len(corpus.train) == size
        print(kind, size, round(peak() - before), round((folder / "train.txt").stat().st_size / 2**20))
        del corpus
"""


def growth(printed):
    "For each reader by how many megabytes memory grew, for a small and a large corpus"
    found: dict[str, list[int]] = {}
    for line in printed.splitlines():
        kind, _, grown, _ = line.split()
        found.setdefault(kind, []).append(int(grown))
    return found


@linux
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Peak of resident memory over that after the import, with the pages of mapped files.

    What is added is the vocabulary, the pages of the new index that are checked, and
    blocks of a fixed size: 90 MB. Lines and columns in memory would take three times
    as much, and ten times as much for a million sentences."""
    printed = run(tmp_path, GROW, 200_000, "texts", "columns")
    for kind, (_, large) in growth(printed).items():
        assert large < 130, (kind, printed)


@slow
@linux
def test_memory_does_not_grow_with_a_large_file(tmp_path):
    printed = run(tmp_path, GROW, 1_000_000, "texts", "conllu", "columns")
    print(printed)
    for kind, (_, large) in growth(printed).items():
        assert large < 200, (kind, printed)


BUILD = """
from flairnb.datasets.columns import ColumnCorpus
fill("train.txt", "columns", int(sys.argv[1]))
fill("dev.txt", "columns", 2000, seed=2)
ColumnCorpus(".", {0: "text", 1: "upos", 2: "ner"}, sample_missing_splits=False)
time.sleep(2.1)  # until the sum of the file that was written just now can be remembered
ColumnCorpus(".", {0: "text", 1: "upos", 2: "ner"}, sample_missing_splits=False)
"""

TRAIN = """
import json
from flairnb.batches import epoch_order, iterate
from flairnb.datasets.columns import ColumnCorpus
from flairnb.embeddings import OneHotEmbeddings
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer
new_peak()
before, start = held(), (time.process_time(), time.time())
corpus = ColumnCorpus(".", {0: "text", 1: "upos", 2: "ner"}, sample_missing_splits=False)
order = epoch_order(corpus.train.lengths, 32, 1, 1)
words = next(iterate(corpus.train, order)).words
took = time.process_time() - start[0], time.time() - start[1]
del order
first = peak() - before
labels = corpus.make_label_dictionary("upos")
words = OneHotEmbeddings.from_corpus(corpus, min_freq=100, embedding_length=4)
tagger = SequenceTagger(words, labels, "upos", use_rnn=False, use_crf=False)
found = ModelTrainer(tagger, corpus).train(
    "run", max_epochs=1, mini_batch_size=1024, seed=1, save_final_model=False)
print(json.dumps({
    "sentences": len(corpus.train), "tokens": int(corpus.train.lengths.sum()),
    "first": first, "grown": peak() - before,
    "anonymous": held("RssAnon"), "mapped": held("RssFile"),
    "processor": took[0], "clock": took[1], "dev": found["dev_score_history"]}))
"""


def trained(tmp_path, sentences):
    "Figures of a run on so many sentences"
    run(tmp_path, BUILD, sentences)
    return json.loads(run(tmp_path, TRAIN).splitlines()[-1])


@linux
def test_training_does_not_hold_the_corpus(tmp_path):
    "Resident memory over that after the import, with the mapped pages"
    found = trained(tmp_path, 100_000)
    assert found["sentences"] == 100_000 and found["dev"][0] > 0.2
    assert found["grown"] < 150 and found["processor"] < 2, found


@slow
@linux
def test_training_on_five_million_sentences(tmp_path):
    found = trained(tmp_path, 5_000_000)
    print(found)
    assert found["sentences"] == 5_000_000 and found["tokens"] > 55_000_000
    assert found["grown"] < 1500 and found["processor"] < 2, found


BUILD_TEXTS = """
from flairnb.datasets.texts import ClassificationCorpus
for seed, name in enumerate(sys.argv[2:], 1):
    Path(name).mkdir()
    fill(f"{name}/train.txt", "texts", int(sys.argv[1]) // len(sys.argv[2:]), seed)
    fill(f"{name}/dev.txt", "texts", 2000, seed)
    ClassificationCorpus(name, label_type="kind", sample_missing_splits=False)
time.sleep(2.1)  # until the sum of files that were written just now can be remembered
for name in sys.argv[2:]:
    ClassificationCorpus(name, label_type="kind", sample_missing_splits=False)
"""

CLASSIFY = """
import json
from flairnb.batches import Batch, epoch_order
from flairnb.data import MultiCorpus
from flairnb.datasets.texts import ClassificationCorpus
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.models import TextClassifier
from flairnb.models.text_classifier import ClassSet
from flairnb.trainers import ModelTrainer
new_peak()
before, start = held(), (time.process_time(), time.time())
parts = [ClassificationCorpus(name, label_type="kind", sample_missing_splits=False) for name in sys.argv[1:]]
corpus = MultiCorpus(parts, sample_missing_splits=False) if len(parts) > 1 else parts[0]
classes = ClassSet(["NOUN", "VERB", "DET", "ADJ", "PROPN"])
rows = corpus.train.rows[epoch_order(corpus.train.lengths, 32, 1, 1)[0]]
words = Batch(corpus.train.table, rows).words
gold = classes.encode(corpus.train.table, "kind")[rows]
took = time.process_time() - start[0], time.time() - start[1]
assert (gold >= 0).all()
del rows, words, gold
first = peak() - before
labels = corpus.make_label_dictionary("kind")
words = OneHotEmbeddings.from_corpus(corpus, min_freq=100, embedding_length=4)
model = TextClassifier(DocumentPoolEmbeddings([words]), label_type="kind", label_dictionary=labels)
found = ModelTrainer(model, corpus).train(
    "run", max_epochs=1, mini_batch_size=1024, seed=1, save_final_model=False, learning_rate=0.5)
print(json.dumps({
    "texts": len(corpus.train), "labels": labels.get_items(),
    "first": first, "grown": peak() - before,
    "anonymous": held("RssAnon"), "mapped": held("RssFile"),
    "processor": took[0], "clock": took[1], "dev": found["dev_score_history"]}))
"""


def classified(tmp_path, texts, *folders):
    "Figures of a run of a text classifier on so many texts"
    run(tmp_path, BUILD_TEXTS, texts, *folders)
    return json.loads(run(tmp_path, CLASSIFY, *folders).splitlines()[-1])


@linux
@pytest.mark.parametrize("folders", ["a", "ab"])
def test_a_classifier_does_not_hold_the_corpus(tmp_path, folders):
    "One corpus, and two that are joined"
    found = classified(tmp_path, 50_000, *folders)
    assert found["texts"] == 50_000 and found["dev"][0] > 0.2, found
    assert found["grown"] < 150 and found["processor"] < 2, found


@slow
@linux
@pytest.mark.parametrize("folders", ["a", "ab"])
def test_a_classifier_of_five_million_texts(tmp_path, folders):
    found = classified(tmp_path, 5_000_000, *folders)
    print(found)
    assert found["texts"] == 5_000_000
    copied = len(folders) - 1  # a second; pages of the files that were joined remain
    assert found["grown"] < 1500 + 200 * copied, found
    assert found["processor"] < 2 + copied, found

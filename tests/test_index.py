"The index of a corpus: equal to what was parsed, and never trusted when it is damaged"

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from flairnb.assets import cache_root
from flairnb.data.labels import Spans
from flairnb.data.sentence import Sentence
from flairnb.data.tables import StringBytes, table_of
from flairnb.datasets import columns, files
from flairnb.datasets.columns import ColumnCorpus, read_columns
from flairnb.datasets.files import (
    DataError,
    indexed,
    load_index,
    save_index,
    table_arrays,
)

TEXT = (
    "# id = 1\nAnna PROPN B-PER\nfrühstückt VERB O\n\n-DOCSTART-\n\n"
    "in ADP O\nBath PROPN B-LOC\n"
)
FORM = {0: "text", 1: "upos", 2: "ner"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_told", set())


@pytest.fixture
def log(monkeypatch):
    "Messages of the library"
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("flairnb").addHandler(handler)
    yield messages
    logging.getLogger("flairnb").removeHandler(handler)


def corpus_file(folder, text=TEXT):
    folder.mkdir(exist_ok=True)
    (folder / "train.txt").write_text(text, encoding="utf-8")
    return folder / "train.txt"


def read(files):
    return read_columns(files, FORM, comment_symbol="# ")


def same(first, second):
    "Whether two tables hold the same, down to the last type"
    assert (
        first.strings == second.strings
        and first.strings.strings == second.strings.strings
    )
    one, other = table_arrays(first), table_arrays(second)
    assert list(first.token_layers) == list(second.token_layers)
    assert list(first.mark_layers) == list(second.mark_layers)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        np.testing.assert_array_equal(one[name], other[name])
    for row in range(len(first)):
        assert str(first.sentence(row)) == str(second.sentence(row))
        assert first.sentence(row)._metadata == second.sentence(row)._metadata
    return True


def test_an_index_is_equal_to_what_was_parsed(tmp_path):
    table = read([corpus_file(tmp_path / "c")])
    save_index(table, tmp_path / "x.safetensors")
    loaded = load_index(tmp_path / "x.safetensors")
    assert same(loaded, table)
    assert (
        loaded.sentence(1).start_of_document
        and loaded.sentence(0).get_metadata("id") == "1"
    )


def test_columns_are_mapped_and_not_copied(tmp_path):
    save_index(read([corpus_file(tmp_path / "c")]), tmp_path / "x.safetensors")
    loaded = load_index(tmp_path / "x.safetensors")
    for array in (loaded.words, loaded.offsets, loaded.token_layers["upos"]):
        while array.base is not None and not isinstance(array, np.memmap):
            array = array.base
        assert isinstance(array, np.memmap)
    assert loaded.words.dtype == np.int32 and loaded.words.flags.aligned
    loaded.words[0] = 0  # a slip in memory must not reach the file
    assert load_index(tmp_path / "x.safetensors").words[0] != 0


def test_the_file_is_ordinary_safetensors(tmp_path):
    table = read([corpus_file(tmp_path / "c")])
    save_index(table, tmp_path / "x.safetensors")
    arrays = load_file(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(arrays["words"], table.words)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.text(st.characters(), min_size=1, max_size=5), max_size=5),
        max_size=4,
    )
)
def test_any_table_comes_back(tmp_path_factory, rows):
    sentences = [Sentence(words) for words in rows]
    for sentence in sentences:
        for token in sentence:
            token.add_label("t/ä", token.text)
        if len(sentence) > 1:
            sentence[0:2].add_label("ner", "X/Y")
        sentence.add_label("topic", "a")
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    table = table_of(sentences)
    save_index(table, path)
    assert same(load_index(path), table)


def test_strings_as_bytes():
    packed = StringBytes.of(["", "ä\n", "\U0001f600", "\ud800"])
    assert packed.all() == list(packed) == ["", "ä\n", "\U0001f600", "\ud800"]
    assert (
        packed[-1] == "\ud800"
        and packed[1:3] == ["ä\n", "\U0001f600"]
        and len(packed) == 4
    )
    with pytest.raises(IndexError):
        packed[4]


def test_every_flipped_byte_is_noticed(tmp_path):
    table = read([corpus_file(tmp_path / "c")])
    path = tmp_path / "x.safetensors"
    save_index(table, path)
    good = path.read_bytes()
    generator = random.Random(1)
    places = [*range(200), len(good) - 1, *generator.sample(range(len(good)), 400)]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= generator.randint(1, 255)
        path.write_bytes(bad)
        try:
            loaded = load_index(path)
        except DataError as error:
            assert "is damaged" in str(error)
        else:  # JSON may have a harmless blank replaced by another
            assert same(loaded, table)
            assert good[place : place + 1].isspace()


def test_layers_in_another_order_are_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    file = corpus_file(tmp_path / "c", "a X Y\n")
    save_index(read_columns([file], {0: "text", 1: "one", 2: "two"}), path)
    data = path.read_bytes()
    one, two = data.index(b"one"), data.index(b"two")  # in the list of layers
    assert one < two < data.index(b"checksum")
    swapped = bytearray(data)
    swapped[one : one + 3], swapped[two : two + 3] = b"two", b"one"
    path.write_bytes(swapped)
    with pytest.raises(DataError):
        load_index(path)


def test_every_wrong_length_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_index(read([corpus_file(tmp_path / "c")]), path)
    good = path.read_bytes()
    for length in [
        0,
        1,
        7,
        8,
        9,
        *random.Random(2).sample(range(len(good)), 60),
        len(good) - 1,
    ]:
        path.write_bytes(good[:length])
        with pytest.raises((DataError, ValueError)):
            load_index(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(DataError, match="length"):
        load_index(path)


def index_files():
    return sorted((cache_root() / "indexes").glob("*"))


def test_only_what_is_not_checked_wholly_waits_for_the_disk(tmp_path, monkeypatch):
    waits, table = [], read([corpus_file(tmp_path / "c", TEXT * 30)])
    monkeypatch.setattr(os, "fsync", waits.append)
    save_index(table, tmp_path / "x.safetensors")
    assert not waits
    monkeypatch.setattr(files, "SUMMED", 64)
    save_index(table, tmp_path / "x.safetensors")
    assert len(waits) == 2  # the file and its folder


def test_a_damaged_index_is_made_again(tmp_path, log):
    folder = corpus_file(tmp_path / "c").parent
    first = ColumnCorpus(folder, FORM, sample_missing_splits=False)
    [path] = index_files()
    good = path.read_bytes()
    for damage in (
        good[:-3],
        good[:100] + b"x" + good[101:],
        good[:-9] + b"\7" + good[-8:],
        b"",
    ):
        path.write_bytes(damage)
        log.clear()
        again = ColumnCorpus(folder, FORM, sample_missing_splits=False)
        assert same(again.train.table, first.train.table)
        assert any("damaged" in message for message in log)
        assert path.read_bytes() == good


def test_the_second_time_nothing_is_parsed(tmp_path, monkeypatch):
    folder = corpus_file(tmp_path / "c").parent
    first = ColumnCorpus(folder, FORM, sample_missing_splits=False)
    monkeypatch.setattr(columns, "read_files", None)  # parsing would fail
    again = ColumnCorpus(folder, FORM, sample_missing_splits=False)
    assert same(again.train.table, first.train.table)
    with pytest.raises(TypeError):
        ColumnCorpus(folder, FORM, comment_symbol=None)


def test_a_changed_source_or_setting_is_read_anew(tmp_path):
    path = corpus_file(tmp_path / "c")
    stamp = path.stat().st_mtime_ns
    first = indexed([path], {"a": 1}, read)
    path.write_text(TEXT.replace("Bath", "Cork"), encoding="utf-8")  # as long as before
    os.utime(path, ns=(stamp, stamp))
    changed = indexed([path], {"a": 1}, read)
    assert first.sentence(1).words == ["in", "Bath"] and changed.sentence(1).words == [
        "in",
        "Cork",
    ]
    assert len(index_files()) == 2
    indexed([path], {"a": 2}, read)
    indexed([path, path], {"a": 1}, read)
    assert len(index_files()) == 4


@pytest.mark.parametrize(
    "option",
    [
        {"label_name_map": {"PER": "x"}},
        {"column_delimiter": " "},
        {"skip_first_line": True},
    ],
)
def test_settings_of_a_corpus_are_part_of_the_key(tmp_path, option):
    folder = corpus_file(tmp_path / "c").parent
    ColumnCorpus(folder, FORM, sample_missing_splits=False)
    ColumnCorpus(folder, FORM, sample_missing_splits=False, **option)
    assert len(index_files()) == 2


def test_a_cache_that_cannot_be_written_is_told_of_once(tmp_path, log, monkeypatch):
    path = corpus_file(tmp_path / "c")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save_index", full)
    for _ in range(2):
        assert len(indexed([path], {}, read)) == 2
    assert [message for message in log if "No space left" in message] == [
        "No index is kept, every run reads the files: No space left on device"
    ]


def test_a_cache_that_is_a_file_does_not_stop_reading(tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "blocked"))
    assert len(indexed([corpus_file(tmp_path / "c")], {}, read)) == 2


def test_what_cannot_be_read_leaves_no_index(tmp_path):
    folder = corpus_file(tmp_path / "c", "Anna PROPN\n").parent
    with pytest.raises(DataError):
        ColumnCorpus(folder, FORM)
    assert index_files() == []


def _open_corpus(arguments):
    folder, cache = arguments
    os.environ["FLAIRNB_CACHE_ROOT"] = cache
    corpus = ColumnCorpus(folder, FORM, sample_missing_splits=False)
    return [str(sentence) for sentence in corpus.train][-3:], len(corpus.train)


def test_two_processes_at_once(tmp_path):
    folder = corpus_file(tmp_path / "c", (TEXT + "\n") * 300).parent
    jobs = [(folder, str(tmp_path / "cache"))] * 6
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map(_open_corpus, jobs, chunksize=1)
    assert found == [found[0]] * 6 and found[0][1] == 600
    assert [path.suffix for path in index_files()] == [".safetensors"]  # and no remains
    assert len(load_index(index_files()[0])) == 600


def test_spans_survive_with_their_types(tmp_path):
    table = read([corpus_file(tmp_path / "c")])
    marks = table.mark_layers["ner"]
    assert isinstance(marks, Spans) and {part.dtype for part in marks} == {
        np.dtype(np.int32)
    }
    header = json.loads(_header(table, tmp_path))
    assert (
        header["words"]["dtype"] == "I32"
        and "checksum" in header["__metadata__"]["flairnb"]
    )


def _header(table, folder):
    save_index(table, folder / "y.safetensors")
    data = (folder / "y.safetensors").read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")]

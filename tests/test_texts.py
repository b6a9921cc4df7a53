"Readers of texts: lines, tables, records, and what damaged files do to them"

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from conftest import SHARED, real

from flairnb.datasets import (
    ClassFilesCorpus,
    ClassificationCorpus,
    ColumnCorpus,
    CSVClassificationCorpus,
)
from flairnb.datasets.columns import read_columns
from flairnb.datasets.files import DataError
from flairnb.datasets.texts import (
    TextFormat,
    read_texts,
    trec_records,
)
from flairnb.tokenization import SpaceTokenizer

pytestmark = pytest.mark.usefixtures("own_cache")
whole = {"sample_missing_splits": False}


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def labels(sentence, layer="class"):
    return [label.value for label in sentence.get_labels(layer)]


def fasttext(path, **options):
    given = {"train_file": path.name, **whole, **options}
    return ClassificationCorpus(path.parent, **given)


def tabular(path, columns=None, **options):
    given = {"train_file": path.name, **whole, **options}
    return CSVClassificationCorpus(
        path.parent, columns or {0: "text", 1: "label"}, **given
    )


# FastText lines


def test_lines_become_texts_with_labels(tmp_path):
    lines = "__label__A __label__B  Two  words.\n\n__label__C\tTab\n"
    train = fasttext(write(tmp_path / "train.txt", lines)).train
    assert [s.text for s in train] == ["Two  words.", "Tab"]
    assert [labels(s) for s in train] == [["A", "B"], ["C"]]
    assert train[0].words == ["Two", "words", "."]


def test_splits_are_found_by_name_and_dev_is_drawn_from_train(tmp_path):
    lines = "".join(f"__label__A text {n}\n" for n in range(20))
    write(tmp_path / "train.txt", lines)
    write(tmp_path / "test.txt", lines)
    corpus = ClassificationCorpus(tmp_path, label_type="topic")
    assert str(corpus) == "Corpus: 18 train + 2 dev + 20 test sentences"
    assert corpus.make_label_dictionary("topic").get_items() == ["A"]


def test_labels_can_be_renamed_and_texts_left_out(tmp_path):
    lines = "__label__1 bad\n__label__3 so so\n__label__5 good\n"
    path = write(tmp_path / "train.txt", lines)
    names = {"1": "NEG", "5": "POS"}
    corpus = fasttext(path, label_name_map=names, skip_labels=["3"])
    assert [labels(s) for s in corpus.train] == [["NEG"], ["POS"]]
    assert corpus.losses == {"train": {"texts filtered out": 1}}


def test_long_texts_are_cut_or_left_out(tmp_path):
    lines = "__label__A one two three\n__label__A one\n"
    path = write(tmp_path / "train.txt", lines)
    cut = fasttext(path, truncate_to_max_tokens=2).train
    assert [s.text for s in cut] == ["one two", "one"]
    assert fasttext(path, truncate_to_max_chars=5).train[0].text == "one t"
    assert len(fasttext(path, filter_if_longer_than=2).train) == 1


def test_a_line_without_a_label_is_counted_or_kept(tmp_path, caplog):
    path = write(tmp_path / "train.txt", "no label here\n__label__A text\n")
    corpus = fasttext(path)
    assert len(corpus.train) == 1 and "1 texts without a label" in caplog.text
    report = corpus.obtain_statistics(pretty_print=False)
    assert report["TRAIN"]["number_of_texts_without_a_label"] == 1
    kept = fasttext(path, allow_examples_without_labels=True)
    assert [labels(s) for s in kept.train] == [[], ["A"]]


def test_the_tokenizer_is_the_users(tmp_path):
    path = write(tmp_path / "train.txt", "__label__A don't stop\n")
    assert fasttext(path, tokenizer=False).train[0].words == ["don't", "stop"]
    assert len(fasttext(path).train[0]) == 3  # not from the index of the other
    assert fasttext(path, tokenizer=lambda text: [text]).train[0].words == [
        "don't stop"
    ]


def test_the_second_time_comes_from_the_index(tmp_path, monkeypatch):
    lines = "__label__A a\ttab \n__label__ torn\n__label__B x\n"
    path = write(tmp_path / "train.txt", lines)
    first = fasttext(path, on_error="skip")
    monkeypatch.setattr("flairnb.datasets.texts.read_texts", None)
    again = fasttext(path, on_error="skip")
    assert [str(s) for s in again.train] == [str(s) for s in first.train]
    assert again.losses == first.losses == {"train": {"skipped records": 1}}
    with pytest.raises(TypeError):
        fasttext(path)  # other settings, another index


# CSV


def test_quoted_fields_may_hold_anything(tmp_path):
    path = write(tmp_path / "train.csv", '"a, ""b""\nc",New York\n d ,x\ty\n')
    train = tabular(path, label_type="place").train
    assert [s.text for s in train] == ['a, "b"\nc', " d "]
    assert [labels(s, "place") for s in train] == [["New York"], ["x\ty"]]


def test_columns_make_layers_texts_and_metadata(tmp_path):
    path = write(tmp_path / "train.tsv", "id\ta\tb\tt\ts\n7\tnews\t-\tHello\tworld\n")
    columns = {0: "id", 1: "label_topic", 2: "label_place", 3: "text", 4: "text"}
    options = {"skip_header": True, "delimiter": "\t", "no_class_label": "-"}
    sentence = tabular(path, columns, **options).train[0]
    assert sentence.text == "Hello world" and sentence.get_metadata("id") == "7"
    assert labels(sentence, "topic") == ["news"] and not labels(sentence, "place")
    one = tabular(path, columns, label_type="kind", **options).train[0]
    assert labels(one, "kind") == ["news"]


def test_a_heading_of_several_lines_is_one_row(tmp_path):
    path = write(tmp_path / "train.csv", '"the\ntext",label\nabc,A\n')
    assert [s.text for s in tabular(path, skip_header=True).train] == ["abc"]


def test_long_fields_are_read(tmp_path):
    text = "word " * 40_000
    path = write(tmp_path / "train.csv", f'"{text}",A\n')
    assert len(tabular(path).train[0]) == 40_000


# Questions and files of a class


def test_questions_have_coarse_and_fine_classes(tmp_path):
    path = write(tmp_path / "t.label", "NUM:dist How far ?\nHUM:ind Who ?\n")
    coarse = read_texts([path], TextFormat(), trec_records)
    fine = read_texts([path], TextFormat(), partial(trec_records, fine=True))
    assert labels(coarse.sentence(0)) == ["NUM"]
    assert labels(fine.sentence(0)) == ["NUM:dist"]


@real
def test_trec_as_released(tmp_path):
    form = TextFormat("question_class", SpaceTokenizer(), encoding="latin-1")
    files = [SHARED / "trec_6" / name for name in ("train_5500.label", "TREC_10.label")]
    table = read_texts(files, form, trec_records)
    assert table.files.tolist() == [0, 5452, 5952]
    found = Counter(labels(table.sentence(n), "question_class")[0] for n in range(5452))
    assert found == {
        "ENTY": 1250,
        "HUM": 1223,
        "DESC": 1162,
        "NUM": 896,
        "LOC": 835,
        "ABBR": 86,
    }
    assert "sister\u00f0city" in table.sentence(65).words
    fine = read_texts(files, form, partial(trec_records, fine=True))
    assert len({*fine.mark_layers["question_class"].label[:5452].tolist()}) == 50
    with pytest.raises(DataError, match=r"line 66: byte \d+ of the line is not utf-8"):
        read_texts(files, TextFormat(), trec_records)


@real
def test_sentence_polarity():
    names = {"rt-polarity.pos": "POSITIVE", "rt-polarity.neg": "NEGATIVE"}
    corpus = ClassFilesCorpus(
        SHARED / "sentence_polarity", names, **whole, tokenizer=False
    )
    assert corpus.get_label_distribution() == {"POSITIVE": 5331, "NEGATIVE": 5331}
    assert (
        int(corpus.train.lengths.sum()) == 224_073
    )  # as UTF-8; a byte of an accent is a space in latin-1


def test_a_folder_for_each_class(tmp_path):
    for kind, count in (("pos", 3), ("neg", 2)):
        (tmp_path / kind).mkdir()
        for place in range(count):
            write(tmp_path / kind / f"{place}.txt", f"{kind} {place}\nmore\n")
    corpus = ClassFilesCorpus(
        tmp_path, {"pos": "P", "neg": "N"}, test={"neg": "N"}, **whole
    )
    assert corpus.get_label_distribution() == {"P": 3, "N": 2}
    assert [s.text for s in corpus.test] == ["neg 0\nmore", "neg 1\nmore"]
    with pytest.raises(FileNotFoundError, match="Did you mean 'pos'"):
        ClassFilesCorpus(tmp_path, {"poss": "P"})


# Damage


DAMAGED = [
    ("no name", "__label__ text\n", "line 2: a label without a name"),
    ("no text", "__label__B\n", "line 2: labels without a text"),
    ("not text", "__label__B caf\udce9\n", "line 2: byte 14 of the line is not utf-8"),
    ("NUL", "__label__B a\0b\n", "line 2: a NUL character"),
]


@pytest.mark.parametrize(
    "line,message", [x[1:] for x in DAMAGED], ids=[x[0] for x in DAMAGED]
)
def test_damaged_lines_raise_or_are_counted(tmp_path, caplog, line, message):
    text = f"__label__A one\n{line}__label__A three\n"
    path = tmp_path / "train.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        fasttext(path)
    corpus = fasttext(path, on_error="warn")
    assert [s.text for s in corpus.train] == ["one", "three"]
    assert message in caplog.text and "1 skipped records" in caplog.text
    report = corpus.obtain_statistics(pretty_print=False)
    assert report["TRAIN"]["number_of_skipped_records"] == 1
    caplog.clear()
    fasttext(path, on_error="skip")
    assert message not in caplog.text and "1 skipped records" in caplog.text


TORN = [
    ("wide", "a,b,c\n", "line 2: 3 fields, the first row has 2"),
    ("narrow", "a\n", "line 2: 1 fields, the first row has 2"),
    ("no text", " ,A\n", "line 2: a row without text"),
    ("quote", 'x,"y"z\n', "line 2: no row of a table"),
    ("not text", "caf\udce9,A\n", "line 2: byte 3 of the line is not utf-8"),
]


@pytest.mark.parametrize("row,message", [x[1:] for x in TORN], ids=[x[0] for x in TORN])
def test_damaged_rows_raise_or_are_counted(tmp_path, row, message):
    path = tmp_path / "train.csv"
    path.write_bytes(f"one,A\n{row}two,B\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        tabular(path)
    corpus = tabular(path, on_error="skip")
    assert [s.text for s in corpus.train] == ["one", "two"]
    assert corpus.losses == {"train": {"skipped records": 1}}


def test_damaged_sentences_of_columns_are_left_out_whole(tmp_path, caplog):
    good = "Anna\tB-PER\nsings\tO\n\n"
    torn = "# id = 2\nBen\tB-PER\nsings\n.\tO\n\n"
    bad = "Caf\udce9\tO\n\n"
    path = tmp_path / "train.txt"
    path.write_bytes((good + torn + bad + good).encode("utf-8", "surrogateescape"))
    columns = {0: "text", 1: "ner"}
    with pytest.raises(DataError, match="not utf-8"):
        read_columns([path], columns)
    corpus = ColumnCorpus(
        tmp_path, columns, train_file="train.txt", on_error="warn", **whole
    )
    assert [s.text for s in corpus.train] == ["Anna sings", "Anna sings"]
    assert corpus.losses == {"train": {"skipped records": 2}}
    assert "line 6: 1 column where 2 are needed" in caplog.text
    assert len(corpus.make_label_dictionary("ner")) == 1


def test_wrong_arguments_are_named(tmp_path):
    path = write(tmp_path / "train.txt", "__label__A text\n")
    with pytest.raises(ValueError, match=r"on_error: 'skp'.*'skip'"):
        fasttext(path, on_error="skp")
    with pytest.raises(
        TypeError, match=r"argument 'labeltype'.*'label_type'|'labeltype'"
    ):
        fasttext(path, labeltype="x")
    with pytest.raises(ValueError, match=r"such as \{0: 'text'"):
        tabular(path, {0: "txt"})
    with pytest.raises(ValueError, match="column 9 is asked for"):
        tabular(path, {0: "text", 9: "label"})


def test_an_empty_file_is_told(tmp_path, caplog):
    assert len(fasttext(write(tmp_path / "train.txt", "")).train) == 0
    assert "train.txt has no sentences" in caplog.text

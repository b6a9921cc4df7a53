"Files as they come: what can be read is read, the rest is an error that says where"

from __future__ import annotations

import csv
import gzip
import json
import logging
from functools import partial

import pytest

from flairnb.data import Dictionary, MultiCorpus
from flairnb.datasets import (
    ClassificationCorpus,
    CSVClassificationCorpus,
    JsonlCorpus,
    write_columns,
    write_jsonl,
)
from flairnb.datasets.annotations import brat_records, json_records
from flairnb.datasets.columns import ColumnCorpus, read_columns
from flairnb.datasets.files import DataError, read_text
from flairnb.datasets.texts import (
    TextFormat,
    csv_records,
    fasttext_records,
    read_texts,
    trec_records,
)
from flairnb.datasets.treebanks import UniversalDependenciesCorpus, read_conllu
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.models import TextClassifier
from flairnb.trainers import ModelTrainer

pytestmark = pytest.mark.usefixtures("own_cache")
FORM = {0: "text", 1: "ner"}


def written(tmp_path, content, name="train.txt"):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    return [tmp_path / name]


def words(table):
    return [table.sentence(row).words for row in range(len(table))]


def fails(call, *parts, error=DataError):
    with pytest.raises(error) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def row(*fields):
    return "\t".join([*fields, *"_" * (10 - len(fields))]) + "\n"


# --- what is read ---


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfIch X\r\n\r\nauch X\r\n")
    assert words(read_columns(path, {0: "text", 1: "x"})) == [["Ich"], ["auch"]]


def test_old_line_ends(tmp_path):
    assert words(
        read_columns(written(tmp_path, b"a X\rb X\r\rc X"), {0: "text", 1: "x"})
    ) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("blank", ["", " ", "\t", " \t \t", "\u00a0"])
def test_a_line_of_blanks_ends_a_sentence(tmp_path, blank):
    path = written(tmp_path, f"a\tO\n{blank}\nb\tO")
    assert words(read_columns(path, FORM, column_delimiter="\t")) == [["a"], ["b"]]


def test_a_sentence_of_a_hundred_thousand_tokens(tmp_path):
    path = written(tmp_path, "a B-X\nb I-X\n" * 50_000)
    table = read_columns(path, FORM)
    assert len(table) == 1 and table.lengths.tolist() == [100_000]
    assert len(table.mark_layers["ner"].start) == 50_000


@pytest.mark.parametrize("content", ["", "\n", "\n\n \n", "# only a comment\n"])
def test_a_file_without_sentences(tmp_path, content):
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("flairnb").addHandler(handler)
    try:
        table = read_columns(written(tmp_path, content), FORM, comment_symbol="# ")
        assert len(table) == 0 and table.files.tolist() == [0, 0]
        assert len(read_conllu(written(tmp_path, content))) == 0
        written(tmp_path, "a O\n", "test.txt")
        for _ in range(2):  # parsed, then from the index
            corpus = ColumnCorpus(tmp_path, FORM, sample_missing_splits=False)
            assert len(corpus.train) == 0 and words(corpus.test.table) == [["a"]]
    finally:
        logging.getLogger("flairnb").removeHandler(handler)
    assert messages == ["train.txt has no sentences"] * 4


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-A I-A O", [(0, 2, "A")]),
        ("B-A I-B O", [(0, 1, "A"), (1, 2, "B")]),
        ("O I-A B-A", [(1, 2, "A"), (2, 3, "A")]),
        ("E-A E-A S-A", [(0, 1, "A"), (1, 2, "A"), (2, 3, "A")]),
        ("B-A O I-A", [(0, 1, "A"), (2, 3, "A")]),
    ],
)
def test_broken_tags_are_read_as_the_conll_scorer_does(tmp_path, tags, spans):
    text = "".join(f"w {tag}\n" for tag in tags.split())
    sentence = read_columns(written(tmp_path, text), FORM).sentence(0)
    found = [
        (s[0].idx - 1, s[-1].idx, s.get_label("ner").value)
        for s in sentence.get_spans("ner")
    ]
    assert found == spans


def test_another_encoding(tmp_path):
    path = written(tmp_path, "hört X\n".encode("latin-1"))
    assert words(read_columns(path, {0: "text", 1: "x"}, encoding="latin-1")) == [
        ["hört"]
    ]


# --- what is refused ---


def test_a_short_line(tmp_path):
    path = written(tmp_path, "# id = 1\na B-X\n\nb\nc O\n")
    fails(
        lambda: read_columns(path, FORM, comment_symbol="# "),
        f"{path[0]}, line 4: 1 column where 2 are needed: 'b'",
        "Correct the line",
        "{0: 'text', 1: 'ner'}",
    )


def test_a_short_line_far_down(tmp_path):
    fails(
        lambda: read_columns(written(tmp_path, "a O\n" * 70_000 + "b\n"), FORM),
        "line 70001",
    )


def test_columns_split_at_the_wrong_place(tmp_path):
    fails(
        lambda: read_columns(written(tmp_path, "a O\n"), FORM, column_delimiter="\t"),
        "line 1: 1 column",
        r"'\t'",
    )


def test_a_file_in_another_encoding(tmp_path):
    path = written(tmp_path, b"ja X\n" * 9 + "hört X\n".encode("latin-1"))
    fails(
        lambda: read_columns(path, {0: "text", 1: "x"}),
        f"{path[0]}, line 10: byte 46 of the file is not utf-8: b'\\xf6'",
        "encoding='latin-1'",
    )


def test_a_nul_character(tmp_path):
    fails(
        lambda: read_columns(written(tmp_path, b"a O\nb\0 O\n"), FORM),
        "line 2: a NUL character",
        "damaged",
    )
    fails(
        lambda: read_text(written(tmp_path, "a O\n".encode("utf-16"))[0], "utf-8"),
        "line 1: byte 0",
    )
    fails(
        lambda: read_text(written(tmp_path, "a O\n".encode("utf-16-le"))[0]),
        "line 1: a NUL",
        "UTF-16",
    )


def test_a_missing_word(tmp_path):
    path = written(tmp_path, "a\tX\n\tX\n")
    fails(
        lambda: read_columns(path, {0: "text", 1: "x"}, column_delimiter="\t"),
        "line 2: no word",
    )


def test_a_strange_value_among_tags(tmp_path):
    path = written(tmp_path, "a B-X\nb I-X\n\nc ORG\nd O\n")
    problem = (
        "line 4: a value in column 1 (ner) that is no span tag like the others: 'ORG'"
    )
    fails(lambda: read_columns(path, FORM), f"{path[0]}, {problem}", "label_name_map")
    table = read_columns(path, FORM, label_name_map={"ORG": "O"})  # the advice works
    assert len(table.mark_layers["ner"].start) == 1


def test_the_file_with_the_strange_value_is_named(tmp_path):
    good, empty = (
        written(tmp_path, "a B-X\n" * 9, "a.txt"),
        written(tmp_path, "", "b.txt"),
    )
    bad = written(tmp_path, "\na B-X\nb oops\n", "c.txt")
    fails(
        lambda: read_columns(good + empty + bad, FORM),
        f"{bad[0]}, line 3: a value",
        "'oops'",
    )


@pytest.mark.parametrize(
    "wrong", [{"text": 0}, {0: "text", 1: "text"}, {0: "ner"}, {0: "text", 1: 2}]
)
def test_a_column_format_that_cannot_be(tmp_path, wrong):
    with pytest.raises((ValueError, TypeError)) as caught:
        read_columns(written(tmp_path, "a O\n"), wrong)
    assert "column_format" in str(caught.value)


def test_unknown_arguments(tmp_path):
    written(tmp_path, "a O\n")
    calls = [
        lambda: read_columns([], FORM, comment_sybol="#"),
        lambda: ColumnCorpus(tmp_path, FORM, comment_sybol="#"),
        lambda: ColumnCorpus(tmp_path, FORM, tag_to_bioes="ner"),
        lambda: UniversalDependenciesCorpus(tmp_path, sample_missing_split=True),
    ]
    for call, name in zip(
        calls, ["comment_symbol", "", "", "sample_missing_splits"], strict=True
    ):
        fails(call, "argument", name, error=TypeError)


def test_a_broken_delimiter(tmp_path):
    fails(
        lambda: read_columns(written(tmp_path, "a"), FORM, column_delimiter="("),
        "column_delimiter='('",
        error=ValueError,
    )


# --- folders ---


def test_folders_and_files_that_are_not_there(tmp_path):
    missing = FileNotFoundError
    fails(
        lambda: ColumnCorpus(tmp_path / "no", FORM),
        f"{tmp_path / 'no'} does not exist",
        error=missing,
    )
    (tmp_path / "notes.md").write_text("")
    fails(
        lambda: ColumnCorpus(tmp_path / "notes.md", FORM),
        "is a file, not a folder",
        error=missing,
    )
    fails(
        lambda: ColumnCorpus(tmp_path, FORM),
        "no file with train, dev or test",
        "There is: notes.md",
        error=missing,
    )
    written(tmp_path, "a O\n")
    fails(
        lambda: ColumnCorpus(tmp_path, FORM, train_file="trian.txt"),
        "train_file",
        "trian.txt",
        "Did you mean 'train.txt'?",
        error=missing,
    )
    fails(
        lambda: UniversalDependenciesCorpus(tmp_path / "no"),
        "does not exist",
        error=missing,
    )


def test_two_files_for_one_split(tmp_path):
    for name in ("train.txt", "a_test.txt", "b_test.txt"):
        written(tmp_path, "a O\n", name)
    fails(
        lambda: ColumnCorpus(tmp_path, FORM),
        "choose test_file",
        "a_test.txt, b_test.txt",
        error=ValueError,
    )
    assert (
        len(
            ColumnCorpus(
                tmp_path, FORM, test_file="b_test.txt", sample_missing_splits=False
            ).test
        )
        == 1
    )


# --- CoNLL-U ---


def test_a_treebank_with_too_few_columns(tmp_path):
    fails(
        lambda: read_conllu(written(tmp_path, "1\ta\ta\n")),
        "line 1: 3 columns where 10 are needed",
    )
    fails(
        lambda: read_conllu(written(tmp_path, "1 a a X _ _ 0 root _ _\n")),
        "1 column where 10",
        r"'\t'",
    )


@pytest.mark.parametrize(
    ("ids", "line"),
    [
        ("1 3", 2),
        ("2", 1),
        ("1 2 1", 3),
        ("0 1", 1),
        ("1 x", 2),
        ("1-2 1", 1),
        ("2-1 1 2", 1),
        ("01", 1),
        ("1 1.5. 2", 2),
        ("1-2-3 1 2 3", 1),
    ],
)
def test_words_out_of_order(tmp_path, ids, line):
    path = written(tmp_path, "".join(row(number, "a") for number in ids.split()))
    fails(
        lambda: read_conllu(path),
        f"{path[0]}, line {line}: a number out of order",
        "count from 1",
    )


def test_words_without_a_form(tmp_path):
    fails(
        lambda: read_conllu(written(tmp_path, row("1", "a") + row("2", ""))),
        "line 2: no word",
    )


def test_empty_nodes_before_between_and_behind(tmp_path):
    path = written(
        tmp_path,
        "".join(row(n, "a" + n) for n in "0.1 1 1.1 1.2 2-3 2 2.1 3 3.1".split()),
    )
    assert words(read_conllu(path)) == [["a1", "a2", "a3"]]
    assert words(read_conllu(path, split_multiwords=False)) == [["a1", "a2-3"]]


def test_a_treebank_with_wrong_numbers_is_read_without_them(tmp_path, caplog):
    good, torn = row("1", "a") + row("2", "b") + "\n", row("1", "c") + row("3", "d")
    path = written(tmp_path, f"{good}# newdoc\n{torn}\n{good}{row('1-3', 'e')}{good}")
    table = read_conllu(path, on_error="warn")
    assert words(table) == [["a", "b"], ["a", "b"]]
    assert table.losses["skipped records"].tolist() == [2]
    assert table.breaks.tolist() == [0, 1] and table.files.tolist() == [0, 2]
    told = "line 6: a number out of order: '3'", "line 11: a number out of order: '1-3'"
    assert all(part in caplog.text for part in told)
    corpus = UniversalDependenciesCorpus(
        tmp_path, on_error="skip", sample_missing_splits=False
    )
    assert corpus.losses == {"train": {"skipped records": 2}}


def test_numbers_too_large_for_a_machine_are_out_of_order(tmp_path):
    for number in ("9" * 30, "9" * 5000, "1-" + "9" * 5000):
        path = written(tmp_path, row(number, "a"))
        fails(lambda path=path: read_conllu(path), "line 1: a number out of order")
    head = ["1", "a", *"____", "9" * 5000]
    table = read_conllu(written(tmp_path, row(*head)), split_multiwords=False)
    assert words(table) == [["a"]]


# --- strange values among tags ---


def test_sentences_with_a_strange_tag_are_left_out_if_asked(tmp_path, caplog):
    first = written(tmp_path, "a B-X\nb I-X\n\nc ORG\nd O\n\ne B-X\n", "a.txt")
    second = written(tmp_path, "f B-X\n\ng LOC\n", "b.txt")
    table = read_columns(first + second, FORM, on_error="warn")
    assert words(table) == [["a", "b"], ["e"], ["f"]]
    assert table.losses["skipped records"].tolist() == [1, 1]
    assert table.files.tolist() == [0, 2, 3]
    assert f"{first[0]}, line 4: a value in column 1" in caplog.text
    assert f"{second[0]}, line 3: a value in column 1" in caplog.text
    spans = [s.text for s in table.sentence(0).get_spans("ner")]
    assert spans == ["a b"] and len(table.mark_layers["ner"].start) == 3


def test_a_value_that_is_renamed_to_a_tag_is_one(tmp_path):
    path = written(tmp_path, "a B-X\nb ORG\n")
    table = read_columns(path, FORM, label_name_map={"ORG": "B-Y"})
    labels = [s.get_label("ner").value for s in table.sentence(0).get_spans("ner")]
    assert labels == ["X", "Y"]


# --- tables ---


def tabular(tmp_path, content, **options):
    (path,) = written(tmp_path, content, "train.csv")
    options = {"sample_missing_splits": False, **options}
    columns = {0: "text", 1: "label"}
    return CSVClassificationCorpus(tmp_path, columns, train_file=path.name, **options)


def test_a_quote_that_is_not_closed_costs_one_line(tmp_path, caplog):
    content = 'a,X\n"b,Y\nc,X\nd e,Y\n'
    told = "line 2: the quote on line 2 is not closed"
    fails(lambda: tabular(tmp_path, content), f"train.csv, {told}")
    corpus = tabular(tmp_path, content, on_error="warn")
    assert [s.text for s in corpus.train] == ["a", "c", "d e"]
    assert corpus.losses == {"train": {"skipped records": 1}} and told in caplog.text


def test_a_quote_that_another_closes_is_told_with_all_lines_between(tmp_path, caplog):
    content = 'a,X\n"b,Y\nc,X\nd e,"Y\nf,X\n'
    corpus = tabular(tmp_path, content, on_error="warn")
    assert [s.text for s in corpus.train] == ["a", "f"]
    assert "train.csv, lines 2 to 4: no row of a table" in caplog.text


def test_the_line_is_named_on_which_the_open_quote_stands(tmp_path):
    content = 'a,X\n"b\nb","Y\nc,X\n'
    fails(lambda: tabular(tmp_path, content), "lines 2 to 3: the quote on line 3 is")
    corpus = tabular(tmp_path, content, on_error="skip")
    assert [s.text for s in corpus.train] == ["a", "c"]


def test_many_open_quotes_are_read_in_good_time(tmp_path):
    content = 'a,"X\n' * 20_000
    corpus = tabular(tmp_path, content, on_error="skip")
    assert corpus.losses["train"]["skipped records"] + len(corpus.train) <= 20_000


def test_a_damaged_heading_takes_no_row_with_it(tmp_path):
    content = b"caf\xe9,label\na,X\nb,Y\n"
    corpus = tabular(tmp_path, content, skip_header=True, on_error="skip")
    assert [s.text for s in corpus.train] == ["a", "b"]
    corpus = tabular(tmp_path, "\n \ntext,label\na,X\n", skip_header=True)
    assert [s.text for s in corpus.train] == ["a"]


def test_several_labels_in_one_field(tmp_path):
    content = "a,X;Y\nb, Z ;\n"
    corpus = tabular(tmp_path, content, label_separator=";")
    found = [[label.value for label in s.labels] for s in corpus.train]
    assert found == [["X", "Y"], ["Z"]]


# --- texts of any format ---


READERS = {
    "lines": fasttext_records,
    "csv": partial(csv_records, columns={0: "text", 1: "label"}),
    "questions": trec_records,
    "json": json_records,
    "brat": brat_records,
}
GOOD = {
    "lines": "__label__X {}",
    "csv": "{},X",
    "questions": "X:x {}",
    "json": '{{"text": "{}", "label": "X"}}',
    "brat": "{}",
}


def texts_of(tmp_path, kind, content, **options):
    paths = written(tmp_path, content, "train.txt")
    (tmp_path / "train.ann").write_bytes(b"")
    return read_texts(paths, TextFormat(**options), READERS[kind])


@pytest.mark.parametrize("kind", READERS)
def test_only_empty_lines(tmp_path, caplog, kind):
    assert len(texts_of(tmp_path, kind, "\n\r\n \n\t\n\u00a0\n")) == 0
    assert "train.txt has no sentences" in caplog.text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", READERS)
def test_a_line_in_another_encoding_costs_one_line(tmp_path, kind, end):
    lines = [GOOD[kind].format(word) for word in ("a", "caf\u00e9", "na\u00efve", "b")]
    data = [lines[0].encode(), lines[1].encode(), lines[2].encode("latin-1")]
    content = end.encode().join([*data, lines[3].encode(), b""])
    with pytest.raises(DataError, match="line 3"):
        texts_of(tmp_path, kind, content)
    table = texts_of(tmp_path, kind, content, on_error="skip")
    assert words(table) == [["a"], ["caf\u00e9"], ["b"]]
    assert table.losses["skipped records"].tolist() == [1]


@pytest.mark.parametrize("kind", READERS)
def test_a_line_of_ten_megabytes(tmp_path, kind):
    word = "x" * 10_000_000
    table = texts_of(tmp_path, kind, GOOD[kind].format(word) + "\n")
    assert words(table) == [[word]]
    if kind in ("lines", "questions", "json"):
        with pytest.raises(DataError) as caught:
            texts_of(tmp_path, kind, f"{{{word}\0\n")
        assert len(str(caught.value)) < 600


def test_a_word_of_ten_megabytes(tmp_path):
    word = "x" * 10_000_000
    assert words(read_columns(written(tmp_path, f"{word} B-X\n"), FORM)) == [[word]]
    with pytest.raises(DataError) as caught:
        read_columns(written(tmp_path, word), FORM)
    assert len(str(caught.value)) < 600


def test_a_packed_file_that_breaks_off(tmp_path):
    whole = gzip.compress(b"a O\n" * 99)
    assert len(read_columns(written(tmp_path, whole), FORM, on_error="skip")) == 1
    for torn in (whole[:-9], whole[:3], whole[:20] + b"\0" * 9 + whole[29:]):
        path = written(tmp_path, torn)
        fails(lambda path=path: read_columns(path, FORM), "gzip file that is damaged")


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "train.txt").mkdir()
    for call in (
        lambda: ColumnCorpus(tmp_path, FORM, train_file="train.txt"),
        lambda: ClassificationCorpus(tmp_path, train_file="train.txt"),
        lambda: JsonlCorpus(tmp_path, train_file="train.txt"),
    ):
        fails(call, "train.txt: this is a folder, not a file", error=FileNotFoundError)


DEEP = {
    "boxes": '{"text": "x", "label": ' + "[" * 150 + "]" * 150 + "}",
    "metadata": '{"text": "x", "a": ' + '{"a": ' * 150 + "1" + "}" * 150 + "}",
    "score": '{"text": "x", "labels": [{"label": "A", "score": 1' + "0" * 400 + "}]}",
    "no name": '{"text": "x", "label": [[0, 1, ""]]}',
    "null": '{"text": "x", "label": [[0, 1, null]]}',
}


@pytest.mark.parametrize("what", DEEP)
def test_odd_records_are_refused(tmp_path, what):
    good = GOOD["json"].format("a")
    with pytest.raises(DataError, match="line 2"):
        texts_of(tmp_path, "json", f"{good}\n{DEEP[what]}\n")
    listed = f"[{good}, {DEEP[what]}, {good}]"
    with pytest.raises(DataError, match="record 2"):
        texts_of(tmp_path, "json", listed)
    table = texts_of(tmp_path, "json", listed, on_error="skip")
    assert len(table) == 2 and table.losses["skipped records"].tolist() == [1]


# --- labels ---


def trained(tmp_path, corpus):
    words = OneHotEmbeddings(Dictionary.of(["sun", "moon"], add_unk=True))
    labels = corpus.make_label_dictionary("class")
    model = TextClassifier(DocumentPoolEmbeddings(words), "class", labels)
    options = {"learning_rate": 0.5, "max_epochs": 4, "mini_batch_size": 2}
    ModelTrainer(model, corpus).train(tmp_path / "model", **options)
    return TextClassifier.load(tmp_path / "model" / "final-model.pt")


def test_labels_with_blanks_are_read_learned_written_and_read(tmp_path):
    rows = [("sun sun", "New  York"), ("moon moon", "x\ty")]
    with open(tmp_path / "train.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows * 6)
    corpus = tabular(tmp_path, (tmp_path / "train.csv").read_bytes())
    model = trained(tmp_path, corpus)
    sentences = [corpus.train[place] for place in range(4)]
    for sentence in sentences:
        sentence.remove_labels("class")
    model.predict(sentences)
    write_jsonl(sentences, tmp_path / "told.jsonl", "class")
    again = JsonlCorpus(
        tmp_path, "told.jsonl", label_type="class", sample_missing_splits=False
    )
    found = [(s.text, s.get_label("class").value) for s in again.train]
    assert found == rows * 2


def test_labels_of_spans_with_blanks_are_written_and_read(tmp_path):
    form = {"column_delimiter": "\t"}
    table = read_columns(
        written(tmp_path, "a\tB-New  York\nb\tI-New  York\n"), FORM, **form
    )
    known = write_columns([table.sentence(0)], tmp_path / "again.txt", ["ner"])
    (span,) = (
        read_columns([tmp_path / "again.txt"], known, **form)
        .sentence(0)
        .get_spans("ner")
    )
    assert (span.text, span.get_label("ner").value) == ("a b", "New  York")


@pytest.mark.parametrize("labels", ["XXXXXX", "XXXXXY"])
def test_one_class_only_and_a_class_seen_once(tmp_path, labels):
    lines = "".join(f"__label__{label} sun {label}\n" for label in labels)
    for name in ("train.txt", "dev.txt", "test.txt"):
        written(tmp_path, lines, name)
    corpus = ClassificationCorpus(tmp_path)
    model = trained(tmp_path, corpus)
    sentence = corpus.test[0]
    sentence.remove_labels("class")
    model.predict(sentence)
    assert sentence.get_label("class").value == "X"
    result = model.evaluate(corpus.test, gold_label_type="class")
    assert result.main_score >= 5 / 6


def test_parts_with_different_labels(tmp_path, caplog):
    for name, content in (("a", "sun B-X\n\n"), ("b", "__label__Y sun\n")):
        (tmp_path / name).mkdir()
        written(tmp_path / name, content * 10)
    parts = [
        ColumnCorpus(tmp_path / "a", FORM, name="words"),
        ClassificationCorpus(tmp_path / "b", name="texts"),
    ]
    both = MultiCorpus(parts)
    assert both.make_label_dictionary("ner").get_items() == ["X"]
    assert "the part texts has no labels of type 'ner'" in caplog.text
    with pytest.raises(ValueError, match=r"'ner'.*'class'"):
        both.make_label_dictionary("topic")


def test_a_layer_may_have_any_name_that_is_text(tmp_path):
    names = ["a/start", "", "__metadata__", "ner\n"]
    entry = {"text": "sun", "labels": [{"label": "X", "layer": name} for name in names]}
    (path,) = written(tmp_path, json.dumps(entry) + "\n", "train.jsonl")
    for _ in range(2):  # parsed, then from the index
        corpus = JsonlCorpus(tmp_path, sample_missing_splits=False)
        (sentence,) = corpus.train
        assert all(sentence.get_labels(name or "ner") for name in names)
    entry["labels"][0]["layer"] = "\ud800"
    path.write_text(json.dumps(entry))
    fails(lambda: JsonlCorpus(tmp_path), "line 1", "surrogates not allowed")

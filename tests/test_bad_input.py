"Files as they come: what can be read is read, the rest is an error that says where"

from __future__ import annotations

import logging

import pytest

from flairnb.datasets.columns import (
    ColumnCorpus,
    DataError,
    UniversalDependenciesCorpus,
    read_columns,
    read_conllu,
    read_text,
)

FORM = {0: "text", 1: "ner"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))


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

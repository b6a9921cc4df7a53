"Readers of columns against naive parsers, random files, and output of Flair 0.15.1"

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import SHARED, real
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from flairnb.data import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.datasets.columns import (
    ColumnCorpus,
    ColumnFormat,
    column_kind,
    column_splitter,
    even_columns,
    line_kinds,
    read_columns,
)
from flairnb.datasets.files import split_of
from flairnb.datasets.treebanks import (
    UniversalDependenciesCorpus,
    read_conllu,
    write_treebank,
)

pytestmark = pytest.mark.usefixtures("own_cache")
steady = settings(derandomize=True, deadline=None, max_examples=150)


def described(sentence):
    "A sentence as plain values: words, text, and the labels of each token"
    tokens = [
        {
            name: label.value
            for name in sentence.annotation_layers
            for label in token.get_labels(name)
        }
        for token in sentence
    ]
    return sentence.words, sentence.text, tokens


# --- CoNLL-U, parsed a line at a time ---


def features(field):
    return dict(item.split("=", 1) for item in field.split("|") if "=" in item)


def naive_token(fields):
    form, lemma, upos, xpos, feats, head, deprel = fields[1:8]
    labels = dict(lemma=lemma, upos=upos, pos=xpos, head_id=head, dependency=deprel)
    labels = {
        k: v for k, v in labels.items() if v != "_" or (k == "lemma" and form == "_")
    }
    return labels | {key.lower(): value for key, value in features(feats).items()}


def naive_sentence(lines, split_multiwords):
    "Words, text and labels by the rules of the format, one line after the other"
    entries, ranges = [], {}  # entry: form, space after, labels, word numbers it covers
    for line in lines:
        fields = line.split("\t")
        space = features(fields[9]).get("SpaceAfter") != "No"
        if "-" in fields[0]:
            first, last = map(int, fields[0].split("-"))
            ranges[first] = (last, fields[1], space, naive_token(fields))
        elif "." not in fields[0]:
            number = int(fields[0])
            entries.append([fields[1], space, naive_token(fields), {number}])
    for first, (last, surface, space, labels) in ranges.items():
        parts = [entry for entry in entries if first <= min(entry[3]) <= last]
        if split_multiwords:
            if "".join(part[0] for part in parts) == surface:
                for part in parts:
                    part[1] = False
            parts[-1][1] = space
        else:
            place = entries.index(parts[0])
            entries[place : place + len(parts)] = [
                [surface, space, labels, set(range(first, last + 1))]
            ]
    holder = {n: place + 1 for place, entry in enumerate(entries) for n in entry[3]}
    text = ""
    for form, space, labels, _ in entries:
        text += form + (" " if space else "")
        if not split_multiwords and "head_id" in labels:
            labels["head_id"] = str(holder.get(int(labels["head_id"]), 0))
    words = [entry[0] for entry in entries]
    return (
        words,
        text[: -1 if entries[-1][1] else None],
        [entry[2] for entry in entries],
    )


def naive_conllu(text, split_multiwords=True):
    found = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = [
            line
            for line in block.split("\n")
            if line.strip() and not line.startswith("#")
        ]
        if lines:
            found.append(naive_sentence(lines, split_multiwords))
    return found


def words_of(alphabet="abcäß-._'“", **limits):
    return st.text(alphabet, min_size=1, max_size=4, **limits)


@st.composite
def conllu_sentences(draw):
    count = draw(st.integers(1, 7))
    lines, number = [], 1
    if draw(st.booleans()):
        lines.append(f"# sent_id = s{draw(st.integers(0, 99))}")
    while number <= count:
        size = min(draw(st.sampled_from([1, 1, 1, 2, 3])), count - number + 1)
        forms = [draw(words_of()) for _ in range(size)]
        if size > 1:
            surface = "".join(forms) if draw(st.booleans()) else draw(words_of())
            space = draw(
                st.sampled_from(["_", "SpaceAfter=No", "Typo=Yes|SpaceAfter=No"])
            )
            lines.append(
                f"{number}-{number + size - 1}\t{surface}\t" + "_\t" * 7 + space
            )
        for form in forms:
            tag = draw(st.sampled_from(["NOUN", "VERB", "_", "O2"]))
            feats = draw(
                st.sampled_from(
                    ["_", "Case=Nom", "Case=Acc,Dat|Number[psor]=Sing", "Abbr=Yes"]
                )
            )
            misc = "_"
            if size == 1:
                misc = draw(
                    st.sampled_from(["_", "SpaceAfter=No", "CorrectSpaceAfter=No"])
                )
            head = draw(st.integers(0, count))
            lemma = draw(st.sampled_from(["_", form, form.upper()]))
            lines.append(
                f"{number}\t{form}\t{lemma}\t{tag}\t_\t{feats}\t{head}\tdep\t_\t{misc}"
            )
            if draw(st.integers(0, 9)) == 0:
                lines.append(f"{number}.1\t{form}\t_\t_\t_\tCase=Nom\t_\t_\t_\t_")
            number += 1
    return "\n".join(lines)


@steady
@given(
    st.lists(conllu_sentences(), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_conllu_reads_like_a_naive_parser(
    tmp_path_factory, sentences, split, windows, last_line
):
    text = "\n\n".join(sentences) + ("\n\n" if last_line else "")
    path = tmp_path_factory.getbasetemp() / "random.conllu"
    path.write_bytes(
        (b"\xef\xbb\xbf" if windows else b"")
        + text.replace("\n", "\r\n" if windows else "\n").encode()
    )
    table = read_conllu([path], split_multiwords=split)
    found = [described(table.sentence(row)) for row in range(len(table))]
    assert found == naive_conllu(text, split)


@real
@pytest.mark.parametrize("split", [True, False])
def test_conllu_reads_a_real_treebank_like_a_naive_parser(split):
    path = SHARED / "ud_english" / "en_ewt-ud-dev.conllu"
    table = read_conllu([path], split_multiwords=split)
    expected = naive_conllu(path.read_text(encoding="utf-8"), split)
    assert len(table) == len(expected) == 2001
    for row, wanted in enumerate(expected):
        assert described(table.sentence(row)) == wanted


@real
def test_real_sentences_have_the_text_that_the_treebank_states():
    table = read_conllu([SHARED / "ud_english" / "en_ewt-ud-dev.conllu"])
    stated = [table.sentence(row).get_metadata("text") for row in range(len(table))]
    same = sum(table.sentence(row).text == text for row, text in enumerate(stated))
    assert same >= 1995  # the others hold double spaces, which CoNLL-U keeps elsewhere
    assert len(table.breaks) == 318


def line(*columns):
    return "\t".join(columns) + "\n"


GERMAN = (
    "# newdoc id = d1\n# sent_id = a-1\n"
    + line(
        "1",
        "Geh",
        "gehen",
        "VERB",
        "VVIMP",
        "Mood=Imp|Number=Sing",
        "0",
        "root",
        "_",
        "_",
    )
    + line("2-3", "zum", *"_" * 8)
    + line("2", "zu", "zu", "ADP", "APPR", "_", "4", "case", "_", "_")
    + line(
        "3", "dem", "der", "DET", "ART", "Case=Dat|PronType=Art", "4", "det", "_", "_"
    )
    + line(
        "4",
        "Haus",
        "Haus",
        "NOUN",
        "NN",
        "Case=Dat|Number=Sing",
        "1",
        "obl",
        "_",
        "SpaceAfter=No",
    )
    + line("5", ",", ",", "PUNCT", "$,", "_", "6", "punct", "_", "_")
    + line(
        "6",
        "bitte",
        "bitte",
        "INTJ",
        "ITJ",
        "_",
        "1",
        "discourse",
        "_",
        "SpaceAfter=No",
    )
    + line("7", ".", ".", "PUNCT", "$.", "_", "1", "punct", "_", "_")
    + "\n# sent_id = a-2\n"
    + line("1-2", "didn't", *"_" * 8)
    + line("1", "did", "do", "AUX", "VBD", "Tense=Past", "3", "aux", "_", "_")
    + line("2", "n't", "not", "PART", "RB", "Polarity=Neg", "3", "advmod", "_", "_")
    + line("3", "go", "go", "VERB", "VB", "VerbForm=Inf", "0", "root", "_", "_")
    + "\n"
)


def test_conllu_reads_as_flair_does(tmp_path):
    (tmp_path / "x.conllu").write_text(GERMAN)
    table = read_conllu([tmp_path / "x.conllu"])
    # printed by flair.datasets.treebanks.UniversalDependenciesDataset, version 0.15.1
    assert [table.sentence(row).text for row in (0, 1)] == [
        "Geh zu dem Haus, bitte.",
        "didn't go",
    ]
    assert [token.head_id for token in table.sentence(0)] == [0, 4, 4, 1, 6, 1, 1]
    labels = described(table.sentence(0))[2]
    expected = {
        "lemma": "der",
        "upos": "DET",
        "pos": "ART",
        "dependency": "det",
        "case": "Dat",
        "prontype": "Art",
    }
    assert {k: v for k, v in labels[2].items() if k != "head_id"} == expected
    assert described(table.sentence(1))[2][1]["polarity"] == "Neg"
    whole = read_conllu([tmp_path / "x.conllu"], split_multiwords=False)
    assert whole.sentence(0).text == "Geh zum Haus, bitte."
    assert whole.sentence(1).words == ["didn't", "go"]


def test_documents_and_comments_of_a_treebank(tmp_path):
    (tmp_path / "a.conllu").write_text(GERMAN)
    (tmp_path / "b.conllu").write_text(
        GERMAN.replace("# newdoc id = d1\n", "").replace("a-", "b-")
    )
    table = read_conllu([tmp_path / "a.conllu", tmp_path / "b.conllu"])
    ids = [table.sentence(row).get_metadata("sent_id") for row in range(4)]
    assert ids == ["a-1", "a-2", "b-1", "b-2"]
    assert table.sentence(0).get_metadata("newdoc id") == "d1"
    assert table.breaks.tolist() == [0] and table.files.tolist() == [0, 2, 4]
    assert table.sentence(1).next_sentence() is None
    assert table.sentence(1).previous_sentence().words[0] == "Geh"


# --- columns ---


def naive_columns(text, column, symbol):
    "Words and tags of sentences, one line after the other"
    found, sentence = [], []
    for entry in [*text.split("\n"), ""]:
        fields = entry.split()
        if not fields or fields[0] == "-DOCSTART-":
            if sentence:
                found.append(tuple(map(list, zip(*sentence, strict=True))))
            sentence = []
        elif not (symbol and entry.startswith(symbol) and not sentence):
            sentence.append((fields[0], fields[column]))
    return found


def in_order(spans):
    return sorted((start, stop, label) for start, stop, label in spans)


TAGS = ["O", "O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC"]


@st.composite
def column_files(draw):
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        pieces += draw(st.sampled_from([[], [], ["# a = 1"], ["-DOCSTART- X O", ""]]))
        for _ in range(draw(st.integers(1, 6))):
            word = draw(st.sampled_from(["Ann", "#", "x-DOCSTART-", "ß", "E-mail"]))
            mark = draw(st.sampled_from([" ", "\t", "  "]))
            upos = draw(st.sampled_from(["NOUN", "VERB", "I-95"]))
            pieces.append(f"{word}{mark}{upos}{mark}{draw(st.sampled_from(TAGS))}")
        pieces += draw(st.sampled_from([[""], ["\t"], ["", " ", ""]]))
    return "\n".join(pieces)


@steady
@given(column_files(), st.sampled_from([None, "# "]))
def test_columns_read_like_a_naive_parser(tmp_path_factory, text, symbol):
    if symbol is None:
        text = "\n".join(
            entry for entry in text.split("\n") if not entry.startswith("# a")
        )
    text = re.sub(r"(?m)^# (?!a)", "#\t", text)
    path = tmp_path_factory.getbasetemp() / "random.txt"
    path.write_text(
        "NOUN NOUN O\n\n" * 20 + text, encoding="utf-8"
    )  # so that tags are rare
    table = read_columns(
        [path], {0: "text", 1: "upos", 2: "ner"}, comment_symbol=symbol
    )
    expected = naive_columns(path.read_text(encoding="utf-8"), 2, symbol)
    upos = naive_columns(path.read_text(encoding="utf-8"), 1, symbol)
    assert len(table) == len(expected)
    for row, (words, tags) in enumerate(expected):
        sentence = table.sentence(row)
        assert sentence.words == words
        assert [token.get_label("upos").value for token in sentence] == upos[row][1]
        spans = [
            (s.start_position, s.get_label("ner").value, len(s))
            for s in sentence.get_spans("ner")
        ]
        starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
        oracle = [(starts[a], label, b - a + 1) for label, a, b in get_entities(tags)]
        assert spans == oracle


def test_columns_read_as_flair_does(tmp_path):
    rows = "George N B-PER +|Washington N I-PER +|left V O +|Paris N B-LOC -|. P O +"
    more = "||He X O +|met V O +|Ann N I-PER +|Bo N B-PER +|Cy N I-LOC +"
    (tmp_path / "x.txt").write_text(
        "# id = 1\tkind=b\n" + (rows + more).replace("|", "\n")
    )
    form = {0: "text", 1: "upos", 2: "ner", 3: "space-after"}
    table = read_columns([tmp_path / "x.txt"], form, comment_symbol="# ")
    sentences = [table.sentence(row) for row in range(len(table))]
    # printed by flair.datasets.sequence_labeling.ColumnDataset, version 0.15.1
    assert [s.text for s in sentences] == [
        "George Washington left Paris.",
        "He met Ann Bo Cy",
    ]
    spans = [
        [(p.text, p.get_label("ner").value) for p in s.get_spans("ner")]
        for s in sentences
    ]
    assert spans == [
        [("George Washington", "PER"), ("Paris", "LOC")],
        [("Ann", "PER"), ("Bo", "PER"), ("Cy", "LOC")],
    ]
    assert [t.get_label("upos").value for t in sentences[0]] == [
        "N",
        "N",
        "V",
        "N",
        "P",
    ]
    assert sentences[0].get_metadata("id") == "1"
    assert sentences[0].get_metadata("kind") == "b"


def written(tmp_path, text, name="x.txt"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return [tmp_path / name]


def values(table, layer):
    return [
        label.value
        for row in range(len(table))
        for label in table.sentence(row).get_labels(layer)
    ]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from([r"\s+", r"\t", "\t", " ", ",", "-"]),
    st.lists(st.text("a,- \t\0\u00a0", min_size=1), min_size=1, max_size=4),
)
def test_lines_split_all_at_once_as_one_by_one(delimiter, lines):
    lines = [line for line in lines if line.strip()] or ["a"]
    if delimiter == r"\s+":
        rows = [line.split() for line in lines]
    else:
        spaces = " " if delimiter in ("\t", r"\t") else None
        rows = [re.split(delimiter, line.rstrip(spaces)) for line in lines]
    assert rows == [column_splitter(delimiter)(line) for line in lines]
    found, widths = even_columns(lines, delimiter), {*map(len, rows)}
    if found is None:
        assert len(widths) > 1 or "\0" in "".join(lines)
    else:
        assert found == [list(column) for column in zip(*rows, strict=True)]


def test_a_column_is_judged_by_all_of_its_values(tmp_path):
    late = written(tmp_path, "a O O\n\n" * 50 + "b B-PER X\n")
    table = read_columns(late, {0: "text", 1: "ner", 2: "upos"})
    assert table.mark_layers.keys() == {"ner"} and table.token_layers.keys() == {"upos"}
    assert values(table, "ner") == ["PER"] and values(table, "upos") == ["X"]
    assert table.sentence(50).get_spans("ner")[0].text == "b"


def test_the_kind_is_that_of_all_files_together(tmp_path):
    first, second = (
        written(tmp_path, "a O\n", "a.txt"),
        written(tmp_path, "b NOUN\n", "b.txt"),
    )
    assert read_columns(first, {0: "text", 1: "x"}).mark_layers.keys() == {"x"}
    assert read_columns(first + second, {0: "text", 1: "x"}).token_layers.keys() == {
        "x"
    }


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ("O", "span"),
        ("I-A O", "span"),
        ("U-A B-A L-A", "span"),
        ("NN VB", "token"),
        ("O X", "token"),
        ("B- -A B", "token"),
    ],
)
def test_kinds(tags, kind):
    assert column_kind(tags.split(), np.ones(len(tags.split()), dtype=int)) == kind


def test_a_number_sign_after_a_word_is_a_word(tmp_path):
    path = written(
        tmp_path, "# # = comment\npaid O\n# O\n5 O\n# a remark\n\n# O\n# x\na O\n"
    )
    table = read_columns(path, {0: "text", 1: "ner"}, comment_symbol="# ")
    assert [table.sentence(row).words for row in range(2)] == [
        ["paid", "#", "5"],
        ["a"],
    ]


def test_a_comment_right_after_a_border_is_a_comment():
    lines = ["-DOCSTART- O", "# id = 1", "a O"]
    assert line_kinds(
        lines, ColumnFormat({0: "text", 1: "ner"}, comment_symbol="# ")
    ).tolist() == [3, 2, 0]


def test_settings_of_the_format(tmp_path):
    path = written(tmp_path, "word|tag\nNew York|LOC\nis|_\n \nbig|X\n")
    options = {
        "column_delimiter": r"\|",
        "skip_first_line": True,
        "every_sentence_is_independent": True,
    }
    table = read_columns(
        path,
        {0: "text", -1: "kind"},
        label_name_map={"LOC": "place", "X": "O"},
        **options,
    )
    assert table.sentence(0).words == ["New York", "is"]
    assert values(table, "kind") == ["place", "_"]
    assert table.breaks.tolist() == [0, 1]
    joined = read_columns(path, {0: "text"}, default_whitespace_after=0, **options)
    assert joined.sentence(0).text == "New Yorkis"


def test_labels_of_spans_are_renamed_or_dropped(tmp_path):
    path = written(tmp_path, "a B-PER\nb B-LOC\nc B-ORG\n")
    names = {"PER": "person", "LOC": "O"}
    table = read_columns(path, {0: "text", 1: "ner"}, label_name_map=names)
    assert values(table, "ner") == ["person", "ORG"]
    assert [s.text for s in table.sentence(0).get_spans("ner")] == ["a", "c"]


def test_documents(tmp_path):
    path = written(
        tmp_path, "a O\n\nb O\n<doc> O\nc O\n\nd O\n\n-DOCSTART- X\n\ne O\n-DOCSTART-\n"
    )
    table = read_columns(path, {0: "text", 1: "ner"}, document_separator_token="<doc>")
    assert [table.sentence(row).text for row in range(len(table))] == list("abcde")
    assert table.breaks.tolist() == [0, 2, 4]
    assert [table.sentence(row).start_of_document for row in range(3)] == [
        True,
        False,
        True,
    ]
    table = read_columns(
        path, {0: "text"}, document_separator_token="<doc>", documents_as_sentences=True
    )
    assert [table.sentence(row).text for row in range(len(table))] == [
        "a b",
        "c d",
        "e",
    ]


def test_both_marks_of_documents_in_one_file(tmp_path):
    path = written(
        tmp_path, "a\n\n# newdoc\nb\n\nc\n\n-DOCSTART-\n\nd\n\n# newdoc\ne\n"
    )
    table = read_columns(path, {0: "text"}, comment_symbol="# ")
    begins = [table.sentence(row).start_of_document for row in range(5)]
    assert begins == [True, True, False, True, True]
    assert table.breaks.tolist() == [0, 1, 3, 4]


def test_features_and_heads_in_columns(tmp_path):
    path = written(tmp_path, "Go V=1|N=Sg SpaceAfter=No 0\n! _ A=O|B=x 1\n")
    table = read_columns(path, {0: "text", 1: "feats", 2: "misc", 3: "head"})
    assert table.sentence(0).text == "Go!"
    assert sorted(table.layers) == ["A", "B", "N", "V", "head_id"]
    assert values(table, "A") == [] and values(table, "B") == ["x"]
    assert [token.head_id for token in table.sentence(0)] == [0, 1]


def test_unusual_characters_do_not_split_lines(tmp_path):
    "Only line feeds end a line: not U+2028, U+0085, form feed or vertical tab"
    path = written(tmp_path, "a\u2028b\tX\nc\x0bd\tY\ne\x85f\tX\n")
    table = read_columns(path, {0: "text", 1: "upos"}, column_delimiter="\t")
    assert table.sentence(0).words == ["a\u2028b", "c\x0bd", "e\x85f"]


# --- corpora ---


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("eng.testa", "dev"),
        ("eng.testb", "test"),
        ("train.txt", "train"),
        ("x-ud-dev.conllu", "dev"),
        ("Test.TXT", "test"),
        ("train.txt.gz", None),
        (".train.swp", None),
        ("dev.txt~", None),
        ("README", None),
    ],
)
def test_split_of_a_file_name(tmp_path, name, split):
    (tmp_path / name).write_text("")
    assert split_of(tmp_path / name) == split


def three_files(folder):
    for split, tag in (("train", "B-PER"), ("dev", "B-LOC"), ("test", "O")):
        (folder / f"{split}.txt").write_text(f"{split} {tag}\n\n" * 2)


def test_splits_share_one_table_and_know_their_rows(tmp_path):
    three_files(tmp_path)
    corpus = ColumnCorpus(tmp_path, {0: "text", 1: "ner"}, name="mine")
    assert (
        str(corpus) == "Corpus: 2 train + 2 dev + 2 test sentences"
        and corpus.name == "mine"
    )
    assert corpus.train.table is corpus.dev.table is corpus.test.table
    assert [s[0].text for s in corpus.splits().values()] == ["train", "dev", "test"]
    assert corpus.dev[0].previous_sentence() is None
    assert corpus.make_label_dictionary("ner").get_items() == ["PER"]


def test_named_files_win_and_the_rest_is_found_as_in_flair(tmp_path):
    three_files(tmp_path)
    (tmp_path / "mine.txt").write_text("mine O\n")
    options = {"sample_missing_splits": False}
    corpus = ColumnCorpus(
        tmp_path, {0: "text", 1: "ner"}, train_file="mine.txt", **options
    )
    assert [
        len(corpus.splits().get(name, [])) for name in ("train", "dev", "test")
    ] == [1, 0, 2]
    corpus = ColumnCorpus(
        tmp_path, {0: "text", 1: "ner"}, test_file="mine.txt", **options
    )
    assert corpus.test[0].text == "mine" and len(corpus.dev) == 2
    alone = ColumnCorpus(
        tmp_path, {0: "text"}, dev_file="dev.txt", autofind_splits=False, **options
    )
    assert list(alone.splits()) == ["dev"]


def test_banned_sentences_and_sampling(tmp_path):
    (tmp_path / "train.txt").write_text("".join(f"w{n} X\n\n" for n in range(100)))
    corpus = ColumnCorpus(
        tmp_path, {0: "text", 1: "x"}, banned_sentences=["w1"], random_seed=3
    )
    assert str(corpus) == "Corpus: 72 train + 8 dev + 9 test sentences"
    assert not any("w1" in sentence.text for sentence in corpus.get_all_sentences())
    again = ColumnCorpus(
        tmp_path, {0: "text", 1: "x"}, banned_sentences=["w1"], random_seed=3
    )
    assert again.test.rows.tolist() == corpus.test.rows.tolist()


def test_treebank_corpus(tmp_path):
    (tmp_path / "x-ud-train.conllu").write_text(GERMAN)
    (tmp_path / "x-ud-test.conllu").write_text(GERMAN)
    corpus = UniversalDependenciesCorpus(tmp_path, sample_missing_splits=False)
    assert (
        str(corpus) == "Corpus: 2 train + 0 dev + 2 test sentences"
        and corpus.name == tmp_path.name
    )
    whole = UniversalDependenciesCorpus(
        tmp_path, split_multiwords=False, sample_missing_splits=False
    )
    assert len(whole.train[0]) == len(corpus.train[0]) - 1


# --- CoNLL-U, written ---


def written_again(table, path, **how):
    "A table after it was written as CoNLL-U and read"
    write_treebank(SentenceDataset(table), path, **how)
    return read_conllu([path])


def lines_are_valid(path):
    "Ten fields, none empty; words that count; features in order; heads that are there"
    for block in path.read_text(encoding="utf-8").removesuffix("\n").split("\n\n"):
        lines = block.strip("\n").split("\n")
        words = [line.split("\t") for line in lines if not line.startswith("#")]
        assert words and all(line.startswith("# ") for line in lines[: -len(words)])
        assert [word[0] for word in words] == [str(n + 1) for n in range(len(words))]
        for word in words:
            assert len(word) == 10 and all(word) and word[4 + 4] == "_"
            assert word[6] == "_" or 0 <= int(word[6]) <= len(words)
            names = [x.partition("=")[0].lower() for x in word[5].split("|")]
            assert names == sorted(set(names))
        spelt = "".join(w[1] + " " * (w[9] != "SpaceAfter=No") for w in words).strip()
        assert f"# text = {spelt}" in [" ".join(line.split()) for line in lines] or (
            " ".join(spelt.split()) != spelt
        )


TREE = (
    "# newdoc id = a\n# sent_id = 1\n# text = \u201eNein\u201c, sagt er.\n"
    "1\t\u201e\t\u201e\tPUNCT\t$(\t_\t2\tpunct\t_\tSpaceAfter=No\n"
    "2\tNein\tnein\tINTJ\tPTKANT\tPolarity=Neg\t5\tccomp\t_\tSpaceAfter=No\n"
    "3\t\u201c\t\u201c\tPUNCT\t$(\t_\t2\tpunct\t_\tSpaceAfter=No\n"
    "4\t,\t,\tPUNCT\t$,\t_\t2\tpunct\t_\t_\n"
    "5\tsagt\tsagen\tVERB\tVVFIN\tMood=Ind|Number=Sing|Person=3|VerbForm=Fin\t0\troot\t_\t_\n"
    "6\ter\ter\tPRON\tPPER\tCase=Nom|Number[psor]=Sing|PronType=Prs\t5\tnsubj\t_\tSpaceAfter=No\n"
    "7\t.\t.\tPUNCT\t$.\t_\t5\tpunct\t_\t_\n\n"
    "# newpar\n# sent_id = 2\n# text = _ ab\n1\t_\t_\tSYM\t_\t_\t2\tdep\t_\t_\n"
    "2\tab\t_\tADP\t_\t_\t0\troot\t_\tSpaceAfter=No\n\n"
)


def test_a_treebank_is_written_as_it_was(tmp_path):
    (tmp_path / "in.conllu").write_text(TREE, encoding="utf-8")
    table = read_conllu([tmp_path / "in.conllu"])
    write_treebank(SentenceDataset(table), tmp_path / "out.conllu")
    assert (tmp_path / "out.conllu").read_text(encoding="utf-8") == TREE
    lines_are_valid(tmp_path / "out.conllu")


def test_a_split_word_is_written_as_its_parts(tmp_path):
    rows = "# text = im Haus\n1-2\tim\t_\t_\t_\t_\t_\t_\t_\t_\n1\tin\tin\tADP\t_\t_\t3\tcase\t_\t_\n"
    rows += "2\tdem\tder\tDET\t_\t_\t3\tdet\t_\t_\n3\tHaus\tHaus\tNOUN\t_\t_\t0\troot\t_\t_\n\n"
    (tmp_path / "in.conllu").write_text(rows)
    for split, text in ((True, "in dem Haus"), (False, "im Haus")):
        table = read_conllu([tmp_path / "in.conllu"], split)
        again = written_again(table, tmp_path / "out.conllu")
        lines_are_valid(tmp_path / "out.conllu")
        assert again.sentence(0).text == again.sentence(0).get_metadata("text") == text
        assert described(again.sentence(0)) == described(table.sentence(0))


def test_sentences_made_by_hand_are_written(tmp_path, caplog):
    sentences = [Sentence("Birds sing."), Sentence(""), Sentence("Why not?")]
    for token in sentences[0]:
        token.add_label("upos", "X").add_label("register", "plain")
        token.add_metadata("head_id", token.idx - 1)
    write_treebank(sentences, tmp_path / "a")
    lines_are_valid(tmp_path / "a")
    assert "1 sentences without words are left out" in caplog.text
    text = (tmp_path / "a").read_text()
    assert "2\tsing\t_\tX\t_\tRegister=plain\t_\t_\t_\tSpaceAfter=No\n" in text
    assert "3\t.\t_\tX\t_\tRegister=plain\t_\t_\t_\t_\n\n" in text
    write_treebank(sentences, tmp_path / "a", ["head_id"])
    assert (
        "2\tsing\t_\t_\t_\t_\t1\t_\t_\tSpaceAfter=No\n" in (tmp_path / "a").read_text()
    )


WRONG = [
    ("upos", "a\tb", "does not fit into CoNLL-U"),
    ("mood", "a|b", "does not fit into CoNLL-U"),
    ("mood", "a=b", "does not fit into CoNLL-U"),
    ("two words", "a", "cannot be the name of a feature"),
]


@pytest.mark.parametrize("layer, value, part", WRONG)
def test_what_a_treebank_cannot_hold_is_refused(tmp_path, layer, value, part):
    sentence = Sentence("Birds sing")
    sentence[0].add_label(layer, value)
    with pytest.raises(ValueError, match=part):
        write_treebank([sentence], tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_two_labels_on_a_word_are_not_made_one(tmp_path):
    sentence = Sentence("Birds sing")
    sentence[0].add_label("upos", "A").add_label("upos", "B")
    with pytest.raises(ValueError, match="two labels of 'upos': 'A' and 'B'"):
        write_treebank([sentence], tmp_path / "a")


@real
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("name", ["ud_english", "ud_german"])
def test_a_real_treebank_comes_back(tmp_path, name, split):
    source = SHARED / name / {"ud_english": "en_ewt", "ud_german": "de_gsd"}[name]
    source = source.with_name(f"{source.name}-ud-test.conllu")
    table, path = read_conllu([source], split), tmp_path / "out.conllu"
    again = written_again(table, path)
    assert len(again) == len(table) and {*again.layers} == {*table.layers}
    assert again.gaps.tolist() == table.gaps.tolist()
    for row in range(0, len(table), 7):
        one, other = table.sentence(row), again.sentence(row)
        assert described(one) == described(other)
        known, kept = (s._metadata[s._bounds].copy() for s in (one, other))
        same = "".join(known.pop("text").split()) == "".join(kept.pop("text").split())
        assert known == kept and (same or split)
    lines_are_valid(path)


def test_the_folder_one_stands_in_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "letters").mkdir()
    monkeypatch.chdir(tmp_path / "letters")
    (tmp_path / "letters" / "train.txt").write_text("Ada PER\n\n")
    corpus = ColumnCorpus(".", {0: "text", 1: "ner"}, sample_missing_splits=False)
    assert corpus.name == "letters"

"Files that go out to annotators and come back: JSON, BRAT, rows, columns"

from __future__ import annotations

import json

import pytest

from flairnb.data import Sentence
from flairnb.datasets import (
    BratCorpus,
    JsonlCorpus,
    RecordsCorpus,
    write_columns,
    write_jsonl,
)
from flairnb.datasets.columns import read_columns
from flairnb.datasets.files import DataError

pytestmark = pytest.mark.usefixtures("own_cache")
whole = {"sample_missing_splits": False}
TABS = {"column_delimiter": "\t", "comment_symbol": "# "}


def write(path, text):
    path.write_bytes(text.encode())
    return path


def json_lines(path, *entries):
    return write(path, "".join(json.dumps(entry) + "\n" for entry in entries))


def corpus_of(path, **options):
    return JsonlCorpus(path.parent, path.name, **{**whole, **options})


def labels(sentence, layer):
    return [label.value for label in sentence.get_labels(layer)]


def spans(sentence, layer="ner"):
    return [(s.text, s.get_label(layer).value) for s in sentence.get_spans(layer)]


# JSON

TEXT = "Ada Lovelace lived in London."
FOUND = [("Ada Lovelace", "PER"), ("London", "LOC")]
PLACES = [(0, 12, "PER"), (22, 28, "LOC")]
BOXES = [{"start": s, "end": e, "text": "?", "labels": [v]} for s, e, v in PLACES]
NAMED = [{"start": s, "end": e, "label": v, "token_start": 0} for s, e, v in PLACES]
OFFSETS = [
    {"id": 3, "label": v, "start_offset": s, "end_offset": e} for s, e, v in PLACES
]
RESULT = [{"value": box, "type": "labels", "id": "x"} for box in BOXES]
TOOLS = {
    "flair": {"data": TEXT, "label": PLACES},
    "doccano": {"id": 1, "text": TEXT, "label": PLACES, "Comments": []},
    "doccano 1.8": {"text": TEXT, "entities": OFFSETS, "relations": []},
    "prodigy": {"text": TEXT, "spans": NAMED, "answer": "accept", "_input_hash": 1},
    "label studio": {
        "data": {"text": TEXT},
        "annotations": [{"result": RESULT}],
        "id": 2,
    },
    "label studio, small": {"text": TEXT, "label": BOXES, "id": 2},
}


@pytest.mark.parametrize("tool", TOOLS)
def test_spans_of_every_tool_are_read_from_lines_and_from_a_list(tmp_path, tool):
    (sentence,) = corpus_of(json_lines(tmp_path / "train.jsonl", TOOLS[tool])).train
    assert spans(sentence) == FOUND and sentence.text == TEXT
    listed = write(tmp_path / "list.json", json.dumps([TOOLS[tool]] * 2, indent=1))
    assert [spans(sentence) for sentence in corpus_of(listed).train] == [FOUND] * 2


KINDS = [
    ({"label": "A"}, ["A"]),
    ({"label": ["A", "B"]}, ["A", "B"]),
    ({"labels": [{"label": "A", "score": 0.5}]}, ["A"]),
    ({"options": [{"id": "A"}], "accept": ["A"]}, ["A"]),
    ({"label": 3}, ["3"]),
    ({"label": None}, []),
    ({"label": []}, []),
    ({"label": "New York\t!"}, ["New York\t!"]),
]


@pytest.mark.parametrize("entry,expected", KINDS, ids=str)
def test_labels_of_texts_are_read(tmp_path, entry, expected):
    path = json_lines(tmp_path / "train.jsonl", {"text": "x y"} | entry)
    (sentence,) = corpus_of(path, label_type="kind").train
    assert labels(sentence, "kind") == expected and not sentence.get_spans("kind")


def test_choices_of_label_studio_are_labels_of_the_text(tmp_path):
    result = [{"value": {"choices": ["A", "B"]}, "type": "choices"}]
    task = {"data": {"text": "x", "source": "web"}}
    task["annotations"] = [{"was_cancelled": True}, {"result": result}, {"result": []}]
    (sentence,) = corpus_of(json_lines(tmp_path / "train.jsonl", task)).train
    assert labels(sentence, "ner") == ["A", "B"]
    assert sentence.get_metadata("other_annotations") == [{"result": []}]
    assert sentence.get_metadata("source") == "web"


def test_rejected_texts_are_left_out_and_counted(tmp_path):
    answers = enumerate(("accept", "reject", "ignore"))
    entries = [{"text": str(n), "answer": answer} for n, answer in answers]
    corpus = corpus_of(json_lines(tmp_path / "train.jsonl", *entries))
    assert [s.text for s in corpus.train] == ["0"]
    assert corpus.losses == {"train": {"texts rejected by an annotator": 2}}


def test_what_else_a_record_says_is_metadata(tmp_path):
    entry = {"text": "x", "id": 7, "metadata": {"a": [1]}, "meta": {"b": None}}
    flair = {"text": "y", "metadata": [["c", 1]]}
    first, second = corpus_of(json_lines(tmp_path / "t.jsonl", entry, flair)).train
    assert (first.get_metadata("id"), first.get_metadata("a")) == (7, [1])
    assert first.get_metadata("meta") == {"b": None} and second.get_metadata("c") == 1


def test_only_the_named_field_holds_labels(tmp_path):
    path = json_lines(tmp_path / "t.jsonl", {"body": "x", "kind": "A", "label": "B"})
    names = {"text_column_name": "body", "label_column_name": "kind"}
    (sentence,) = corpus_of(path, **names).train
    assert labels(sentence, "ner") == ["A"] and sentence.get_metadata("label") == "B"


def test_misaligned_spans_are_told_kept_and_written_again(tmp_path, caplog):
    places = [[2, 16, "LOC"], [3, 7, "LOC"], [4, 9, "X"]]
    path = json_lines(
        tmp_path / "t.jsonl", {"text": "In Berlin-Mitte now", "label": places}
    )
    corpus = corpus_of(path)
    (sentence,) = corpus.train
    assert spans(sentence) == [("Berlin-Mitte", "LOC")]  # blanks at its ends do no harm
    lost = [(x["text"], x["value"]) for x in sentence.get_metadata("misaligned_spans")]
    assert lost == [("Berl", "LOC"), ("erlin", "X")]
    assert "2 misaligned spans" in caplog.text
    report = corpus.obtain_statistics(pretty_print=False)
    assert report["TRAIN"]["number_of_misaligned_spans"] == 2
    write_jsonl(corpus.train, tmp_path / "out.jsonl", "ner")
    written = json.loads((tmp_path / "out.jsonl").read_text())
    assert written.keys() == {"text", "spans"}
    assert [[s["start"], s["end"], s["label"]] for s in written["spans"]] == [
        [3, 15, "LOC"],
        *places[1:],
    ]


def test_tokens_of_a_record_are_its_words(tmp_path):
    tokens = [{"text": "ab", "start": 0, "end": 2}, {"text": "c", "start": 2, "end": 3}]
    entry = {"text": "abc", "tokens": tokens, "label": [[2, 3, "X"]]}
    (sentence,) = corpus_of(json_lines(tmp_path / "t.jsonl", entry)).train
    assert sentence.words == ["ab", "c"] and spans(sentence) == [("c", "X")]


def test_words_stand_where_they_stood_among_any_blanks(tmp_path):
    text = "  Ada\tand\n\n Ben  "
    entry = {"text": text, "label": [[2, 5, "PER"], [12, 15, "PER"]]}
    (sentence,) = corpus_of(json_lines(tmp_path / "t.jsonl", entry)).train
    assert sentence.text == text and [x[0] for x in spans(sentence)] == ["Ada", "Ben"]
    assert all(text[t.start_position : t.end_position] == t.text for t in sentence)


WRONG = {
    '{"text": "x"': "no JSON",
    '"x"': "no object",
    '{"txt": "x"}': r"no text under 'data' nor 'text', there is \['txt'\]",
    '{"text": 5}': "no text under",
    '{"text": "x", "label": [[0, 2, "A"]]}': "span from 0 to 2 in 1 char",
    '{"text": "xyz", "label": [[2, 1, "A"]]}': "span from 2 to 1",
    '{"text": "xyz", "label": [[-2, 1, "A"]]}': "span from -2 to 1",
    '{"text": "xyz", "label": [[1, 1, "A"]]}': "span from 1 to 1",
    '{"text": "x", "spans": [{"start": 0, "end": 1}]}': "a label without a name",
    '{"text": "x", "spans": [{"start": 0.5, "end": 1, "label": "A"}]}': "no numbers",
    '{"text": "x", "labels": [{"label": "A", "score": NaN}]}': "a score",
    '{"text": ' + "[" * 100_000: "no JSON",
    '{"text": ' + "9" * 5000 + "}": "no JSON",
}


@pytest.mark.parametrize("line", WRONG, ids=WRONG.values())
def test_damaged_records_raise_or_are_counted(tmp_path, line):
    path = write(
        tmp_path / "t.jsonl", f'{{"text": "one"}}\n{line}\n{{"text": "two"}}\n'
    )
    with pytest.raises(DataError, match=f"line 2: .*{WRONG[line]}"):
        corpus_of(path)
    corpus = corpus_of(path, on_error="skip")
    assert [s.text for s in corpus.train] == ["one", "two"]
    assert corpus.losses == {"train": {"skipped records": 1}}


# Rows


class Frame:
    "What a data frame offers, as far as it is asked"

    columns = ("text", "label")

    def __init__(self, rows):
        self.rows = rows

    def to_dict(self, orient):
        assert orient == "records"
        return self.rows


class Feature:
    def __init__(self, names=None, feature=None):
        self.names, self.feature = names, feature


class Dataset(list):
    "What a Hugging Face dataset offers, as far as it is asked"

    def __init__(self, rows, **features):
        super().__init__(rows)
        self.features = features


def test_a_frame_is_read():
    rows = [{"text": "one", "label": "A"}, {"text": "two", "label": float("nan")}]
    corpus = RecordsCorpus(Frame(rows), **whole)
    assert [labels(s, "label") for s in corpus.train] == [["A"], []]


def test_a_true_frame_is_read():
    pandas = pytest.importorskip("pandas")
    rows = {
        "text": ["one", "two", "three"],
        "label": ["A", None, pandas.NA],
        "n": [1, 2, 3],
    }
    corpus = RecordsCorpus(pandas.DataFrame(rows), metadata=["n"], **whole)
    assert [labels(s, "label") for s in corpus.train] == [["A"], [], []]
    assert corpus.train[2].get_metadata("n") == 3
    gap = pandas.DataFrame({"text": ["one", None], "label": ["A", "B"]})
    with pytest.raises(DataError, match="line 2: the text is"):
        RecordsCorpus(gap, **whole)


def test_a_true_dataset_is_read():
    datasets = pytest.importorskip("datasets")
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))
    features = {"words": datasets.Sequence(datasets.Value("string")), "tags": tags}
    rows = {"words": [["Ada", "slept"]], "tags": [[1, 0]]}
    data = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    corpus = RecordsCorpus(data, text="words", labels={"tags": "ner"}, **whole)
    assert spans(corpus.train[0]) == [("Ada", "PER")]


def test_classes_of_a_dataset_have_names():
    rows = [{"text": "one", "label": 1}, {"text": "two", "label": -1}]
    data = Dataset(rows, text=Feature(), label=Feature(["NEG", "POS"]))
    splits = {"train": data, "validation": data, "test": data}
    corpus = RecordsCorpus(splits, labels={"label": "mood"})
    assert str(corpus) == "Corpus: 2 train + 2 dev + 2 test sentences"
    assert [labels(s, "mood") for s in corpus.dev] == [["POS"], []]


def test_tagged_words_of_a_dataset_are_spans():
    rows = [
        {"tokens": ["Ada", "M.", "slept"], "tags": [1, 2, 0], "pos": ["N", "N", "V"]}
    ]
    data = Dataset(rows, tags=Feature(feature=Feature(["O", "B-PER", "I-PER"])))
    layers = {"tags": "ner", "pos": "pos"}
    (sentence,) = RecordsCorpus(data, text="tokens", labels=layers, **whole).train
    assert spans(sentence) == [("Ada M.", "PER")]
    assert labels(sentence, "pos") == ["N", "N", "V"]


def test_a_row_without_words_is_a_sentence_without_words():
    corpus = RecordsCorpus([{"text": [], "label": []}], **whole)
    assert [s.words for s in corpus.train] == [[]]


def test_wrong_rows_are_told():
    with pytest.raises(DataError, match=r"records.train, line 1: field 'text'"):
        RecordsCorpus([{"txt": "x", "label": 1}], **whole)
    with pytest.raises(DataError, match="2 of 'label' for 1 words"):
        RecordsCorpus([{"text": ["x"], "label": ["A", "B"]}], **whole)
    with pytest.raises(TypeError, match="not str"):
        RecordsCorpus(["x"], **whole)
    for places, message in (([0, 99], "0 to 99 in 1"), ([-1, 1], "-1 to 1 in 1")):
        with pytest.raises(DataError, match=f"line 1: a span from {message}"):
            RecordsCorpus([{"text": "x", "label": [[*places, "A"]]}], **whole)
    with pytest.raises(DataError, match="line 1: an empty word"):
        RecordsCorpus([{"text": ["x", ""], "label": ["A", "B"]}], **whole)
    data = Dataset([{"text": "x", "label": 2}], label=Feature(["NEG", "POS"]))
    with pytest.raises(DataError, match="class 2, of 2 that"):
        RecordsCorpus(data, **whole)
    rows = [{"text": None, "label": "A"}, {"text": "x", "label": "A"}]
    corpus = RecordsCorpus(rows, on_error="skip", **whole)
    assert corpus.losses == {"train": {"skipped records": 1}} and len(corpus.train) == 1


# BRAT


def brat(folder, text, notes):
    folder.mkdir(exist_ok=True)
    write(folder / "a.txt", text)
    write(folder / "a.ann", notes)
    return folder


def test_brat_documents_are_read(tmp_path):
    text = "Ada slept.\r\n\r\nShe woke in\r\nBath.\r\n"
    notes = "T1\tPER 0 3\tAda\nT2\tLOC 27 31\tBath\nT3\tX 23 31\tin  Bath\n"
    notes += "T4\tY 0 3;14 17\tAda She\n#1\tNote T1\tok\n"
    brat(tmp_path / "train", text, notes)
    brat(tmp_path / "dev", "Ben.\n", "")
    corpus = BratCorpus(tmp_path, **whole)
    assert [s.words for s in corpus.train] == [
        ["Ada", "slept", "."],
        ["She", "woke", "in"],
        ["Bath", "."],
    ]
    assert [spans(s) for s in corpus.train] == [[("Ada", "PER")], [], [("Bath", "LOC")]]
    (lost,) = corpus.train[1].get_metadata("misaligned_spans")
    assert lost["value"] == "X" and corpus.train[0].get_metadata("document") == "a"
    assert len(corpus.train[0].get_metadata("brat")) == 2
    losses = {"annotations that are no spans": 2, "misaligned spans": 1}
    assert corpus.losses == {"train": losses, "dev": {}}
    assert [s.start_of_document for s in corpus.train] == [True, False, False]


NOTES = {
    "too long": "T1\tPER 0 4\tAda",
    "past the end": "T1\tPER 0 300\tAda",
    "nothing, past the end": "T1\tPER 500 500\t",
    "before the start": "T1\tPER -3 3\tAda",
    "no tabs": "T1 PER 0 3 Ada",
    "no places": "T1\tPER",
    "no label": "T1\t 0 3\tAda",
    "a number that is no offset": "T1\tPER 1 " + "1" * 100_000,
}


def test_spans_on_lines_without_words_are_counted(tmp_path):
    notes = "T1\tX 5 6\t\u00a0\nT2\tX 7 10\tBen\n"
    corpus = BratCorpus(brat(tmp_path, "Ada.\n\u00a0\nBen.\n", notes), **whole)
    assert [spans(s) for s in corpus.train] == [[], [("Ben", "X")]]
    assert corpus.losses == {"train": {"misaligned spans": 1}}


def test_a_byte_order_mark_counts_as_a_character(tmp_path):
    folder = brat(tmp_path, "\ufeffAda slept.\n", "T1\tPER 1 4\tAda\n")
    (sentence,) = BratCorpus(folder, **whole).train
    assert sentence.words == ["Ada", "slept", "."]
    assert spans(sentence) == [("Ada", "PER")]


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES.keys())
def test_wrong_annotations_are_told(tmp_path, note):
    folder = brat(tmp_path, "Ada slept.\n", note + "\n")
    with pytest.raises(DataError, match=r"a\.ann, line 1"):
        BratCorpus(folder)
    assert len(BratCorpus(folder, on_error="skip", **whole).train) == 1
    (folder / "a.ann").unlink()
    with pytest.raises(FileNotFoundError, match=r"no a\.ann beside it"):
        BratCorpus(folder)


# Writing and reading again


def test_json_holds_no_labels_of_words(tmp_path):
    sentence = Sentence("a b")
    sentence[0].add_label("upos", "X")
    with pytest.raises(
        ValueError, match=r"'upos' stand on single words; write_columns"
    ):
        write_jsonl([sentence], tmp_path / "out.jsonl", "upos")
    assert not (tmp_path / "out.jsonl").exists()


def test_documents_of_columns_come_back(tmp_path):
    lines = "-DOCSTART-\tO\n\na\tB-X\n\nb\tO\n\n-DOCSTART-\tO\n\nc\tO\n\n"
    table = read_columns(
        [write(tmp_path / "in.txt", lines)], {0: "text", 1: "ner"}, **TABS
    )
    sentences = [table.sentence(row) for row in range(3)]
    form = write_columns(sentences, tmp_path / "out.txt", ["ner"])
    again = read_columns([tmp_path / "out.txt"], form, **TABS)
    assert again.breaks.tolist() == table.breaks.tolist() == [0, 2]


def test_columns_refuse_what_would_not_come_back(tmp_path):
    def refused(message, word="a", token="", own="", **labels):
        sentence = Sentence([word, "b", "c"])
        if token:
            sentence[0].add_label("x", token)
        for value, (start, stop) in labels.items():
            sentence[start:stop].add_label("x", value)
        if own:
            sentence.add_label("x", own)
        with pytest.raises(ValueError, match=message):
            write_columns([sentence], tmp_path / "out.txt", ["x"])
        assert not (tmp_path / "out.txt").exists()

    refused("does not fit into a column", token="two\twords")
    refused("does not fit into a column", token="ends ")
    refused("does not fit into a column", word="a\nb")
    refused("does not fit into a column", word="-DOCSTART-")
    refused("does not fit into a column", word="# a")
    refused("stand on sentences;", own="A")
    refused("look like tags of spans", token="B-X")
    refused("overlaps another span", A=(0, 2), B=(1, 3))


def test_scores_stand_beside_their_labels(tmp_path):
    sentence = Sentence("Ada slept")
    sentence[0:1].add_label("ner", "PER", 0.75)
    form = write_columns([sentence], tmp_path / "out.txt", ["ner"], scores=True)
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines == ["Ada\tB-PER\t0.750000", "slept\tO\t1.000000", ""]
    assert form == {0: "text", 1: "ner"}

"The command line: a few programs of their own, and many calls in this one"

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SHARED, real

from flairnb import __version__, cli
from flairnb.arguments import expected, own_arguments
from flairnb.cli import RUNS, config_from, main
from flairnb.data import Sentence
from flairnb.datasets import ColumnCorpus, JsonlCorpus
from flairnb.datasets.columns import read_columns
from flairnb.datasets.treebanks import read_conllu
from flairnb.foundation import logger
from flairnb.models import Model, SequenceTagger, TextClassifier
from flairnb.options import COMMANDS, build_parser, training_options
from flairnb.saving import read_model_file, write_model_file
from flairnb.streams import (
    AT_ONCE,
    Line,
    Stream,
    chunks,
    numbered_lines,
    split_sentences,
    tagged_text,
)
from flairnb.trainers import ModelTrainer
from flairnb.trainers.checkpoints import write_checkpoint

WORDS = (
    "She PRON\nsings VERB\nwell ADV\n\nHe PRON\nwalks VERB\n\nDogs NOUN\nbark VERB\n\n"
)
NAMES = "Ada B-PER\nLovelace I-PER\nslept O\n\nin O\nParis B-LOC\n\n"
TEXTS = (
    "__label__good a fine film\n__label__bad a dull film\n__label__good fine songs\n"
)
RUN = """
seed = 1
corpus = {{format = "{format}", folder = "{folder}", {more}}}
embeddings = {{type = "OneHotEmbeddings", min_freq = 1, embedding_length = 8}}
{section}
training = {{base_path = "{folder}-model", max_epochs = {epochs}, mini_batch_size = 2, {training}}}
"""
POOL = 'document_embeddings = {type = "DocumentPoolEmbeddings"}\n'
MODELS = {
    "words": dict(
        format="columns",
        more='columns = ["text", "upos"]',
        section='model = {type = "SequenceTagger", label_type = "upos", hidden_size = 8}',
    ),
    "names": dict(
        format="columns",
        more='columns = ["text", "ner"]',
        section='model = {type = "SequenceTagger", label_type = "ner", hidden_size = 8}',
    ),
    "texts": dict(
        format="fasttext",
        more='label_type = "mood"',
        section=f'{POOL}model = {{type = "TextClassifier", label_type = "mood"}}',
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with three small corpora and a model of each, trained by `flairnb train`"
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FLAIRNB_CACHE_ROOT", str(folder / "cache"))
        for name, text in (("words", WORDS), ("names", NAMES), ("texts", TEXTS)):
            (folder / name).mkdir()
            for split in ("train", "dev", "test"):
                (folder / name / f"{split}.txt").write_text(text * 4)
            filled = {"folder": name, "epochs": 12, "training": "learning_rate = 0.3"}
            (folder / f"{name}.toml").write_text(RUN.format(**MODELS[name], **filled))
            assert main(["train", f"{name}.toml", "--quiet"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(place / "cache"))
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setattr("flairnb.device", "cpu", raising=False)
    level = logger.level
    yield
    logger.setLevel(level)


WORD_MODEL, NAME_MODEL, TEXT_MODEL = (
    f"{name}-model/final-model.pt" for name in ("words", "names", "texts")
)


def typed(monkeypatch, data):
    "Put data on standard input"
    data = data.encode() if isinstance(data, str) else data
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def told(capsys, *arguments, status=0):
    "Run a command here; returns what it wrote to standard output"
    capsys.readouterr()
    found = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out


def refused(capsys, *arguments):
    "Run a command that fails; returns its only line on standard error"
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines and lines[-1].startswith("flairnb: "), lines
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


# --- programs of their own ---


def program(*arguments, folder, **settings):
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "flairnb", *map(str, arguments)]
    settings = {"capture_output": True, "encoding": "utf-8", **settings}
    return subprocess.run(command, cwd=folder, env=variables, timeout=500, **settings)


def test_the_demo(tmp_path):
    done = program("demo", "--epochs", 1, "--text", "She sings well .", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Corpus: ") and "train" in lines[0]
    assert lines[1].startswith("Accuracy on test: 0.")
    assert lines[-1].startswith('Sentence[4]: "She sings well ."') and "/" in lines[-1]
    assert len(lines) == 5 and "EPOCH 1 done" in done.stderr
    names = {path.name for path in (tmp_path / "flairnb-demo").iterdir()}
    assert names >= {"best-model.pt", "final-model.pt", "loss.tsv", "training.png"}


def test_a_pipe_through_several_processes_keeps_the_order(place):
    texts = [f"She sings {number}" for number in range(AT_ONCE + 10)]
    text = "\n".join([*texts[:5], "", *texts[5:]]) + "\n"
    done = program("predict", WORD_MODEL, "--workers", 2, folder=place, input=text)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[5] == "" and len(lines) == len(texts) + 1
    assert [line.split('"')[1] for line in lines if line] == texts


def test_a_reader_that_closes_early(place):
    (place / "long.txt").write_text("She sings .\n" * 100)
    reading, writing = os.pipe()
    os.close(reading)
    done = program(
        *("predict", WORD_MODEL, "long.txt"),
        folder=place,
        capture_output=False,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert done.returncode == 141 and done.stderr == ""


# --- predict ---

LINES = "She sings\n\n  \nÉmile läuft 😀\r\n"


def test_a_file_and_standard_input_give_the_same(capsys, place, monkeypatch):
    (place / "lines.txt").write_bytes(LINES.encode())
    (place / "lines.gz").write_bytes(gzip.compress(LINES.encode()))
    from_file = told(capsys, "predict", WORD_MODEL, "lines.txt")
    for data in (LINES, gzip.compress(LINES.encode()), "\ufeff" + LINES):
        typed(monkeypatch, data)
        assert told(capsys, "predict", WORD_MODEL) == from_file
    typed(monkeypatch, LINES)
    assert told(capsys, "predict", WORD_MODEL, "lines.gz", "-") == from_file * 2
    lines = from_file.split("\n")
    assert lines[1:3] == ["", ""] and lines[4] == "" and "Émile läuft 😀" in lines[3]


@pytest.mark.parametrize("model", [WORD_MODEL, NAME_MODEL, TEXT_MODEL])
def test_lines_are_what_python_prints(capsys, monkeypatch, model):
    texts = ["Ada Lovelace slept", "She sings, well.", "a fine film"]
    typed(monkeypatch, "\n".join(texts))
    sentences = [Sentence(text) for text in texts]
    Model.load(model).predict(sentences)
    expected = "".join(f"{sentence}\n" for sentence in sentences)
    assert told(capsys, "predict", model) == expected
    assert "→" in expected


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
@pytest.mark.parametrize("kind", ["text", "jsonl", "columns", "conllu"])
def test_nothing_to_predict(capsys, monkeypatch, text, kind):
    typed(monkeypatch, text)
    out = told(capsys, "predict", WORD_MODEL, "--from", kind, "--to", "text")
    assert out.strip() == ""


def test_columns_keep_what_they_had(capsys, place):
    text = "# id = 1\n1\tAda\tx\n2\tLovelace\ty\n3\tslept\tz\n\n-DOCSTART-\n\n\n1\tin\t\n2\tParis\t_\n"
    (place / "in.tsv").write_text(text)
    out = told(capsys, "predict", NAME_MODEL, "in.tsv", "--columns", "id,text,misc")
    rows = [line.split("\t") for line in out.split("\n")]
    before = [
        row for row in (line.split("\t") for line in text.split("\n")) if row != [""]
    ]
    kept = [row for row in rows if row != [""]]
    assert [row[:3] for row in kept] == before
    assert [row[3:] for row in kept if len(row) > 3] == [
        ["B-PER"],
        ["I-PER"],
        ["O"],
        ["O"],
        ["B-LOC"],
    ]
    scored = told(
        capsys, "predict", NAME_MODEL, "in.tsv", "--columns", "1=text", "--scores"
    )
    scores = [
        float(line.split("\t")[4])
        for line in scored.split("\n")
        if line.count("\t") == 4
    ]
    assert len(scores) == 5 and all(0 < score <= 1 for score in scores)


def test_columns_are_read_as_such_where_the_name_does_not_tell(
    capsys, monkeypatch, place
):
    (place / "in.txt").write_text(NAMES)
    expected = told(capsys, "predict", NAME_MODEL, "in.txt", "--from", "columns")
    read = ["--columns", "text,ner"]
    assert told(capsys, "predict", NAME_MODEL, "in.txt", *read) == expected
    typed(monkeypatch, NAMES)
    assert told(capsys, "predict", NAME_MODEL, *read) == expected
    assert [x.split()[2:] for x in expected.splitlines()][:2] == [["B-PER"], ["I-PER"]]


def test_predicted_columns_are_read_again(capsys, place):
    (place / "in.txt").write_text("Ada Lovelace slept\nin Paris\n")
    out = told(capsys, "predict", NAME_MODEL, "in.txt", "--to", "columns")
    (place / "out.tsv").write_text(out)
    table = read_columns([place / "out.tsv"], {0: "text", 1: "ner"})
    spans = [
        [(s.text, s.tag) for s in table.sentence(row).get_spans("ner")]
        for row in (0, 1)
    ]
    assert spans == [[("Ada Lovelace", "PER")], [("Paris", "LOC")]]


CONLLU = (
    "# text = Dogs bark!\n1-2\tDogs\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tDogs\tdog\t_\t_\t_\t2\tnsubj\t_\tSpaceAfter=No\n"
    "2\tbark\tbark\tX\t_\t_\t0\troot\t_\t_\n2.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
)


def test_conllu_stays_conllu(capsys, place):
    (place / "in.conllu").write_text(CONLLU)
    out = told(capsys, "predict", WORD_MODEL, "in.conllu")
    rows = [line.split("\t") for line in out.split("\n")]
    assert [row[3] for row in rows if len(row) == 10] == ["_", "NOUN", "VERB", "_"]
    for row in rows:
        row[3:4] = ["?"]
    same = [line.split("\t") for line in CONLLU.split("\n")]
    for row in same:
        row[3:4] = ["?"]
    assert rows == same
    out = told(capsys, "predict", WORD_MODEL, "in.conllu", "--label-name", "guess")
    assert "SpaceAfter=No|guess=NOUN\n" in out and "\t_\tguess=VERB\n" in out


def test_json_records_keep_their_fields(capsys, place):
    entry = {"id": 3, "text": "Ada Lovelace slept", "meta": {"a": [1]}}
    (place / "in.jsonl").write_text(json.dumps(entry) + "\n\n")
    first, second = told(capsys, "predict", NAME_MODEL, "in.jsonl").splitlines()
    found = json.loads(first)
    (span,) = found.pop("spans")
    assert found == entry and json.loads(second) == {"text": ""}
    assert (span["start"], span["end"], span["label"]) == (0, 12, "PER")
    assert 0 < span["score"] <= 1
    (place / "train.jsonl").write_text(first + "\n")
    again = JsonlCorpus(
        ".", "train.jsonl", sample_missing_splits=False, autofind_splits=False
    )
    assert [s.text for s in again.train[0].get_spans("ner")] == ["Ada Lovelace"]
    words = json.loads(told(capsys, "predict", WORD_MODEL, "in.jsonl").splitlines()[0])
    assert [one["text"] for one in words["tokens"]] == ["Ada", "Lovelace", "slept"]
    assert {"start", "end", "id", "label", "score"} <= {*words["tokens"][0]}
    whole = json.loads(told(capsys, "predict", TEXT_MODEL, "in.jsonl").splitlines()[0])
    assert [one["label"] for one in whole["labels"]] in (["good"], ["bad"])


def test_words_that_a_record_gives_are_taken(capsys, monkeypatch):
    tokens = [{"text": "She sings", "start": 0, "end": 9}, {"start": 9, "end": 10}]
    records = [
        {"text": "She sings!", "tokens": tokens},
        {"text": ["She", "sings!"]},
        {"data": "She sings!"},
        {"text": "She sings!", "tokens": [{"start": 5, "end": 2}]},
        {"text": "\ud800 x"},
    ]
    typed(monkeypatch, "\n".join(map(json.dumps, records)))
    out = told(capsys, "predict", WORD_MODEL, "--from", "jsonl")
    found = [
        [x["text"] for x in json.loads(line)["tokens"]] for line in out.splitlines()
    ]
    split = ["She", "sings", "!"]
    assert found[:4] == [["She sings", "!"], ["She", "sings!"], split, split]
    assert found[4][-1] == "x"


def test_words_stand_apart_already(capsys, monkeypatch):
    for flags, count in (([], 3), (["--no-tokenizer"], 2)):
        typed(monkeypatch, "She sings!")
        assert told(capsys, "predict", WORD_MODEL, *flags).startswith(
            f"Sentence[{count}]"
        )


SPLIT = "Dr. May sings well. She barks!\n\nHe walks\n"


def test_running_text_is_cut_into_sentences(capsys, monkeypatch):
    typed(monkeypatch, SPLIT)
    lines = told(capsys, "predict", WORD_MODEL, "--split").splitlines()
    texts = [line.split('"')[1] for line in lines if line]
    assert texts == ["Dr. May sings well.", "She barks!", "He walks"]
    assert [not line for line in lines] == [False, False, True, False]
    typed(monkeypatch, SPLIT)
    lines = told(capsys, "predict", WORD_MODEL, "--split", "--to", "jsonl")
    assert [json.loads(x)["text"] for x in lines.splitlines()] == [
        *texts[:2],
        "",
        texts[2],
    ]


def test_what_is_no_running_text_is_not_split(capsys, monkeypatch):
    line = refused(capsys, "predict", WORD_MODEL, "--split", "--from", "jsonl")
    assert "sentences are split in running text, not in jsonl" in line


CUT = [
    ("One. Two! Three? Four", 4),
    ("He lives in the U.S. and pays $ 3.50 e.g. for tea.", 1),
    ("'Stop!' she said. \"Why?\" Nobody knew (or did they?). So it was...", 4),
    ("Wait... what? Mr. J. Smith Jr. left at 5 p.m. on Oct. 3.", 2),
    ("\u4ed6\u6765\u4e86\u3002\u5979\u8d70\u4e86\u3002", 2),
    (" \u00a0 ", 0),
    ("?!", 1),
]


@pytest.mark.parametrize("text, count", CUT)
def test_sentences_lose_nothing_but_spaces(text, count):
    found = split_sentences(text)
    assert len(found) == count
    assert "".join("".join(found).split()) == "".join(text.split())


@real
def test_most_sentences_of_a_treebank_are_found():
    "Of ends that have a mark, in documents whose sentences are joined by spaces"
    found, wrong, missed, texts = 0, 0, 0, list[str]()

    def look():
        nonlocal found, wrong, missed
        ends = list(itertools.accumulate(len(text) + 1 for text in texts))[:-1]
        whole, cuts, place = " ".join(texts), set(), 0
        for one in split_sentences(whole):
            place = whole.index(one, place) + len(one)
            cuts.add(place + 1)
        cuts.discard(len(whole) + 1)
        marked = {e for e in ends if whole[: e - 1].rstrip("\"')")[-1] in ".!?"}
        found += len(cuts & set(ends))
        wrong += len(cuts - set(ends))
        missed += len(marked - cuts)

    [path] = (SHARED / "ud_english").glob("*-test.conllu")
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# newdoc") and texts:
            look()
            texts = []
        elif line.startswith("# text = "):
            texts.append(" ".join(line.removeprefix("# text = ").split()))
    look()
    assert found / (found + wrong) > 0.97 and found / (found + missed) > 0.82


def test_an_output_file_is_whole_or_not_there(capsys, place):
    (place / "good.txt").write_text("She sings\n")
    (place / "bad.txt").write_bytes(b"She sings\n" * 9000 + b"\xff\n")
    assert told(capsys, "predict", WORD_MODEL, "good.txt", "--output", "o.gz") == ""
    packed = gzip.decompress((place / "o.gz").read_bytes()).decode()
    assert packed == told(capsys, "predict", WORD_MODEL, "good.txt")
    line = refused(capsys, "predict", WORD_MODEL, "bad.txt", "--output", "o.txt")
    assert "bad.txt, line 9001: byte 1" in line and not (place / "o.txt").exists()


def test_memory_is_flat_since_a_chunk_is_let_go():
    pulled = []

    def endless():
        for number in range(10**9):
            pulled.append(number)
            yield Line(number, "x")

    stream = chunks(endless())
    assert len(next(stream)) == AT_ONCE and len(pulled) == AT_ONCE
    assert len(next(stream)) == AT_ONCE and len(pulled) == 2 * AT_ONCE


def test_on_a_terminal_each_line_is_answered_at_once(capsys, monkeypatch):
    answered = []

    class Terminal(io.BytesIO):
        def readline(self, *given):
            answered.append(capsys.readouterr().out)
            return super().readline(*given)

    class Keyboard(io.TextIOWrapper):
        def isatty(self):
            return True

    raw = Terminal(b"She sings\nHe walks\n")
    raw.peek = lambda size: raw.getvalue()[:size]
    raw.__class__.__iter__ = lambda self: iter(self.readline, b"")
    monkeypatch.setattr(sys, "stdin", Keyboard(raw))
    assert main(["predict", WORD_MODEL]) == 0
    assert [text.count("Sentence") for text in answered] == [0, 1, 1]


def test_a_pair_is_two_texts(capsys, monkeypatch, place):
    from flairnb.data import Corpus, DataPair
    from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
    from flairnb.models import TextPairClassifier

    pair = DataPair(Sentence("a b"), Sentence("c"))
    pair.add_label("class", "yes")
    words = Corpus([Sentence("a b c")], sample_missing_splits=False)
    hot = OneHotEmbeddings.from_corpus(words, min_freq=1, embedding_length=4)
    labels = Corpus([pair], sample_missing_splits=False).make_label_dictionary("class")
    TextPairClassifier(DocumentPoolEmbeddings([hot]), "class", True, labels).save(
        "pair.pt"
    )
    typed(monkeypatch, "a b\tc\n")
    assert "DataPair" in told(capsys, "predict", "pair.pt")
    typed(monkeypatch, '{"first": "a b", "second": "c", "n": 1}\n')
    found = json.loads(told(capsys, "predict", "pair.pt", "--from", "jsonl"))
    assert found["labels"][0]["label"] == "yes" and found["n"] == 1
    typed(monkeypatch, "a b\tc\n\nalone\n")
    assert "line 3: 1 texts in place of two" in refused(capsys, "predict", "pair.pt")
    assert "pairs" in refused(
        capsys, "predict", "pair.pt", "--from", "columns", "--to", "text"
    )


# --- faults ---


def test_faults_of_models(capsys, place, monkeypatch):
    typed(monkeypatch, "x\n")
    write_checkpoint("run.ckpt", {"epoch": 1}, "ModelTrainer")
    write_model_file("other.pt", {}, {"class": "LanguageModel"})
    (place / "bytes").write_bytes(b"\xff\xfe\xfa")
    data = bytearray((place / WORD_MODEL).read_bytes())
    data[-3] ^= 1
    (place / "bent.pt").write_bytes(data)
    for name, part in [
        ("no.pt", "there is no model file no.pt"),
        ("words-model", "best-model.pt"),
        ("words-model/loss.tsv", "not a model"),
        ("bytes", "not a model"),
        ("run.ckpt", "is a checkpoint, to go on training from"),
        ("other.pt", "LanguageModel"),
        ("bent.pt", "damaged"),
    ]:
        for command in (["predict"], ["evaluate"], ["info"]):
            if command == ["info"] and name in ("run.ckpt", "other.pt"):
                continue
            more = ["SAMPLE_ENGLISH"] if command == ["evaluate"] else []
            assert part in refused(capsys, *command, name, *more), (command, name)


def test_faults_of_texts(capsys, place, monkeypatch):
    (place / "bytes.txt").write_bytes(b"good\nb\xffd\n")
    (place / "cut.gz").write_bytes(gzip.compress(LINES.encode() * 50)[:-12])
    bent = bytearray(gzip.compress(os.urandom(4000).hex().encode()))
    bent[600] ^= 255
    (place / "bent.gz").write_bytes(bent)
    (place / "short.conllu").write_text("# x\n1\tDogs\n")
    (place / "short.tsv").write_text("Dogs\tx\n\nbark\n")
    (place / "wrong.jsonl").write_text('{"text": "a"}\n{"text": 3}\n')
    (place / "list.jsonl").write_text("[1]\n")
    for name, *parts in [
        ("no.txt", "no.txt: No such file"),
        ("bytes.txt", "bytes.txt, line 2: byte 2", "utf-8"),
        ("cut.gz", "cut.gz, after line", "cut off"),
        ("bent.gz", "bent.gz, after line", "damaged"),
        ("short.conllu", "short.conllu, line 2: 2 columns where 10"),
        ("short.tsv --columns 1=text", "short.tsv, line 3: 1 columns where 2"),
        ("wrong.jsonl", "wrong.jsonl, line 2: no record", "'text'"),
        ("list.jsonl", "list.jsonl, line 1: no record"),
        (".", "directory"),
    ]:
        line = refused(capsys, "predict", WORD_MODEL, *name.split())
        assert all(part in line for part in parts), line
    typed(monkeypatch, b"a\n\xff\n")
    assert "standard input, line 2: byte 1" in refused(capsys, "predict", WORD_MODEL)
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refused(capsys, "predict", WORD_MODEL)


def test_what_a_format_cannot_hold_is_refused(capsys, place):
    (place / "a.txt").write_text("a\n")
    line = refused(capsys, "predict", TEXT_MODEL, "a.txt", "--to", "columns")
    assert "labels whole texts" in line and "jsonl" in line
    assert "conllu" in refused(capsys, "predict", WORD_MODEL, "a.txt", "--to", "conllu")


def test_only_what_is_needed_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        main(["predict"])
    assert "arguments are required: model (see" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", " \n ", "a\n\n  b.\nc"])
def test_any_error_is_a_line(capsys, monkeypatch, text):
    def fail(arguments):
        raise ValueError(text)

    monkeypatch.setitem(RUNS, "info", fail)
    expected = "a; b. c" if text.strip() else "ValueError: "
    assert refused(capsys, "info", "m").startswith(f"flairnb: {expected}")


def test_debug_shows_where(capsys):
    assert main(["info", "no.pt", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith(
        "flairnb: there is no"
    )


def test_an_interrupt_gives_status_130(monkeypatch, capsys):
    def stop(arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(RUNS, "info", stop)
    assert main(["info", "model.pt"]) == 130
    assert capsys.readouterr().err == "flairnb: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "required"),
        (["dance"], "invalid choice"),
        (["demo", "--epochs", "0"], "whole number above 0"),
        (["demo", "--epochs", "two"], "whole number above 0"),
        (["demo", "--epoch", "3"], "unrecognized"),
        (["predict"], "model"),
        (["predict", "m", "--from", "html"], "invalid choice"),
        (["predict", "m", "--columns", "a=text"], "neither text,pos,ner nor"),
        (["predict", "m", "--workers", "-1"], "whole number above 0"),
        (["train", "--max-epochs", "two"], "a whole number is expected"),
        (["train", "--max-grad-norm", "yes"], "a number or 'none' is expected"),
        (["train", "--set", "x"], "KEY=VALUE"),
        (["train", "--seed", "x"], "invalid int"),
        (["serve", "m", "--port", "99999"], "no port: 0 to 65535"),
        (["convert", "a"], "target"),
    ],
)
def test_wrong_arguments_give_status_2(arguments, part, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and part in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_has_examples_that_are_valid(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0 and "exit status:" in text
    for example in COMMANDS[command].examples:
        assert f"  flairnb {example}\n" in text
        import shlex

        words = shlex.split(example.partition(" < ")[0])
        assert build_parser().parse_args(words).command == command


LIGHT = """
import sys
from flairnb.__main__ import main
sys.argv[1:] = {words!r}
try:
    main()
except SystemExit as end:
    print("status", end.code)
print("heavy", [x for x in {heavy!r} if x in sys.modules])
"""


def loaded(*words):
    "What a fresh process tells that runs a command, its status, and what it imported"
    heavy = ["torch", "numpy", "transformers", "gensim", "flairnb.cli"]
    code = LIGHT.format(words=words, heavy=heavy)
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    *text, status, imported = found.stdout.splitlines()
    return "\n".join(text) + found.stderr, status, imported


@pytest.mark.parametrize(
    ("words", "part", "status"),
    [
        (["--version"], f"flairnb {__version__}", 0),
        (["--help"], "train a model as", 0),
        (["train", "--help"], "--max-epochs X", 0),
        (["predict", "model.pt", "--worker", "3"], "did you mean --workers?", 2),
        (["train", "--max-epochs", "ten"], "a whole number is expected, not 'ten'", 2),
        (["dance"], "invalid choice", 2),
        ([], "required", 2),
    ],
)
def test_what_needs_no_model_imports_nothing_heavy(words, part, status):
    text, found, imported = loaded(*words)
    assert part in text and found == f"status {status}" and imported == "heavy []"


def test_completion_imports_nothing_heavy():
    pytest.importorskip("shtab")
    text, status, imported = loaded("--print-completion", "bash")
    assert "evaluate" in text and imported == "heavy []" and status == "status 0"


def test_what_runs_is_imported(place):
    code = LIGHT.format(words=["info", str(place / WORD_MODEL)], heavy=["torch"])
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "SequenceTagger" in found.stdout and "heavy ['torch']" in found.stdout


def test_the_options_of_training_are_those_of_the_trainer():
    known, found = own_arguments(ModelTrainer.train), training_options()
    left = {"seed", "plugins", "gold_label_dictionary_for_eval"}
    assert [*found] == [name for name in known if name not in left]
    for name, one in found.items():
        assert one.about == known[name].about
        assert expected(one.hint) == expected(known[name].hint)
        if one.default != "AnnealOnPlateau":  # a class, which was not imported
            assert one.default == known[name].default


def test_a_level_that_was_chosen_before_stays():
    script = "import flairnb, logging; log = logging.getLogger('flairnb')\n"
    script += "log.setLevel('ERROR'); import flairnb.foundation; print(log.level)"
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == f"{logging.ERROR}\n"


def test_help_and_version(capsys):
    for arguments in (["--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"flairnb {__version__}" in out and all(name in out for name in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_can_complete(shell, capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", shell])
    text = capsys.readouterr().out
    assert caught.value.code == 0 and "evaluate" in text and "print-completion" in text


def test_completion_without_its_library_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", "bash"])
    assert caught.value.code == 1 and "flairnb[completion]" in capsys.readouterr().err


# --- train ---


def parsed(*words):
    return build_parser().parse_args(["train", *words])


def test_options_override_the_file():
    plain = config_from(parsed("words.toml"))
    assert plain["training"]["max_epochs"] == 12
    words = "words.toml --max-epochs 3 --no-shuffle --seed 5 --set model.hidden_size=16"
    changed = config_from(parsed(*words.split(), "--set", "embeddings.min_freq=2"))
    assert changed["training"] == plain["training"] | {
        "max_epochs": "3",
        "shuffle": False,
    }
    assert changed["model"] == plain["model"] | {"hidden_size": "16"}
    assert changed["embeddings"]["min_freq"] == "2" and changed["seed"] == 5


def test_a_run_may_be_all_options(capsys, place):
    common = "--seed 1 --learning-rate 0.3 --mini-batch-size 2 --max-epochs 12 --quiet"
    words = (
        "train --corpus words --format columns --columns text,upos "
        "--embeddings OneHotEmbeddings --set embeddings.min_freq=1 "
        "--set embeddings.embedding_length=8 --model SequenceTagger "
        f"--label-type upos --set model.hidden_size=8 --base-path again {common}"
    )
    out = told(capsys, *words.split())
    score, *_, following = out.splitlines()
    assert score.startswith("Score on test: ")
    assert following == f"Next: flairnb predict {Path('again/best-model.pt')} FILE"
    first, second = (
        read_model_file(f"{x}/final-model.pt") for x in ("again", "words-model")
    )
    assert first.tensors.keys() == second.tensors.keys()
    assert all(
        (tensor == second.tensors[name]).all() for name, tensor in first.tensors.items()
    )


def test_a_file_alone_is_train_and_its_labels_have_the_name_that_the_model_says(
    capsys, place
):
    rows = [("so good", "good"), ("very cold", "bad"), ("good soup", "good")] * 8
    lines = (f'{{"text": "{text}", "label": "{label}"}}\n' for text, label in rows)
    (place / "export.jsonl").write_text("".join(lines))
    (place / "export.csv").write_text("".join(f"{a},{b}\n" for a, b in rows))
    options = (
        "--model TextClassifier --label-type mood --embeddings OneHotEmbeddings "
        "--set embeddings.min_freq=1 --document-embeddings DocumentPoolEmbeddings "
        "--max-epochs 1 --mini-batch-size 4 --quiet --base-path moods"
    )
    told(capsys, "train", "--corpus", "export.jsonl", *options.split())
    made = TextClassifier.load("moods/final-model.pt")
    assert (made.label_type, {*made.classes.labels}) == ("mood", {"good", "bad"})
    out = told(capsys, "evaluate", "moods/final-model.pt", "export.jsonl", "--json")
    assert json.loads(out)["report"]["macro avg"]["support"] == len(rows)
    text = "--columns text,label_mood --check"
    told(capsys, "train", "--corpus", "export.csv", *text.split(), *options.split())
    text = "--corpus words/test.txt --columns text,upos --label-type upos"
    part = "--model SequenceTagger --embeddings OneHotEmbeddings --base-path x --check"
    told(capsys, "train", *text.split(), *part.split())
    told(capsys, "train", *text.replace("/test.txt", "").split(), *part.split())


def test_a_check_trains_nothing(capsys, place):
    out = told(capsys, "train", "words.toml", "--check", "--base-path", "nothing")
    assert "words.toml describes a run" in out and not (place / "nothing").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("train", "flairnb init"),
        ("train no.toml", "no.toml: No such file"),
        (
            "train words.toml --set model.hiden_size=3",
            "words.toml: [model] key 'hiden_size'",
        ),
        ("train words.toml --set modl.x=3", "'model'?"),
        ("train words.toml --set seed.x=3", "no such table"),
        ("train words.toml --set patience=3", "such as training.patience"),
        (
            "train words.toml --set training.patience=-3",
            "words.toml: [training] patience",
        ),
        (
            "train words.toml --learning-rate -1",
            "words.toml: [training] learning_rate is",
        ),
        ("train words.toml --set model.dropout=2", "words.toml: [model] dropout"),
        ("train words.toml --corpus UD_ENGLICH", "'UD_ENGLISH'?"),
        ("train words.toml --corpus words", "--format columns|"),
        (
            "train --corpus words/test.txt --format columns",
            "counted from 0): say --columns",
        ),
        ("train --corpus words --columns text,upos", ": say --model"),
        (
            "train --corpus SAMPLE_ENGLISH --model SequenceTagger",
            "predict): say --label-type",
        ),
        ("train words.toml --corpus words --format columns", "columns is missing"),
        ("train words.toml --embeddings Glov:x", "'Glov'"),
        ("train words.toml --optimizer Adm", "[training] optimizer"),
        ("train words.toml --label-type ner", "'ner'"),
        ("train words.toml --max-epochs 0", "max_epochs is at least 1, not 0"),
    ],
)
def test_a_wrong_run_is_refused_in_a_line(capsys, words, part):
    assert part in refused(capsys, *words.split())


def test_an_interrupted_training_says_so(capsys, monkeypatch):
    def train(self, base_path: str, **others):
        return {"test_score": 0.5, "stop_reason": "interrupted by the user"}

    monkeypatch.setattr("flairnb.config.ModelTrainer.train", train)
    words = "train --corpus SAMPLE_ENGLISH --embeddings OneHotEmbeddings --base-path x"
    told(
        capsys,
        *words.split(),
        *"--model SequenceTagger --label-type upos".split(),
        status=130,
    )


def test_embeddings_of_options():
    words = (
        "--embeddings WordEmbeddings:glove --embeddings FlairEmbeddings:mini-forward"
    )
    assert config_from(parsed("words.toml", *words.split()))["embeddings"] == [
        {"type": "WordEmbeddings", "embeddings": "glove"},
        {"type": "FlairEmbeddings", "model": "mini-forward"},
    ]


def test_init_writes_a_file_that_runs_and_writes_over_none(capsys, place):
    assert "flairnb train new.toml" in told(capsys, "init", "new.toml")
    told(capsys, "train", "new.toml", "--check")
    assert "is there already" in refused(capsys, "init", "new.toml")
    told(capsys, "init", "new.toml", "--force")


def test_a_run_that_was_stopped_goes_on_to_the_bit(capsys, place):
    words = "train words.toml --checkpoint --quiet --resume --set training.shuffle=true"
    told(capsys, *words.split(), "--base-path", "straight", "--max-epochs", 4)
    told(capsys, *words.split(), "--base-path", "halved", "--max-epochs", 2)
    told(capsys, *words.split(), "--base-path", "halved", "--max-epochs", 4)
    first, second = (
        read_model_file(f"{x}/final-model.pt") for x in ("straight", "halved")
    )
    assert all(
        (tensor == second.tensors[name]).all() for name, tensor in first.tensors.items()
    )
    lines = (place / "halved" / "loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["EPOCH", "1", "2", "3", "4"]
    line = refused(
        capsys, *words.split(), *"--base-path halved --learning-rate 0.5".split()
    )
    assert "learning_rate" in line


# --- evaluate ---


def test_scores_are_those_of_python(capsys, place):
    corpus = ColumnCorpus("words", {0: "text", 1: "upos"})
    expected = SequenceTagger.load(WORD_MODEL).evaluate(corpus.test, "upos")
    for spec in (
        "words.toml",
        "words --format columns --columns text,upos --split test",
    ):
        out = told(capsys, "evaluate", WORD_MODEL, *spec.split(), "--json")
        found = json.loads(out)
        assert found["score"] == expected.main_score and found["split"] == "test"
        assert found["loss"] == pytest.approx(expected.loss)
    text = "words/test.txt --format columns --columns text,upos"
    out = told(capsys, "evaluate", WORD_MODEL, *text.split(), "--output", "p.tsv")
    assert out.startswith("words/test.txt, test: ") and str(expected) in out
    assert len((place / "p.tsv").read_text().split("\n\n")) == 13


def test_faults_of_an_evaluation(capsys):
    call = ("evaluate", WORD_MODEL)
    assert "'UD_ENGLISH'?" in refused(capsys, *call, "UD_ENGLICH")
    assert "say --format" in refused(capsys, *call, "words/test.txt")
    assert "only of ['ner']" in refused(capsys, *call, "names.toml")
    assert "several" in refused(
        capsys, *call, "words.toml", "words.toml", "--output", "x"
    )
    assert "has no dev" in refused(
        capsys,
        *call,
        *"words/test.txt --format columns --columns text,upos --split dev".split(),
    )
    line = refused(capsys, *call, "words", "--format", "columns", "--set", "encodin=x")
    assert "'encoding'?" in line


# --- convert ---


def test_columns_to_json_and_back_say_the_same(capsys, place):
    read = ["--columns", "text,ner", "--format", "columns"]
    out = told(capsys, "convert", "names/test.txt", "names.jsonl", *read)
    assert out == "names.jsonl: 8 sentences (ner)\n"
    told(capsys, "convert", "names.jsonl", "back.tsv")
    rows = [
        line.replace("\t", " ") for line in (place / "back.tsv").read_text().split("\n")
    ]
    assert "\n".join(rows) == NAMES * 4
    out = told(capsys, "convert", "names.toml", "dev.tsv", "--split", "dev")
    assert out == "dev.tsv: 8 sentences (0=text,1=ner)\n"


def test_texts_to_json_and_back_say_the_same(capsys, place):
    read = ["--format", "fasttext", "--set", "label_type=mood"]
    told(capsys, "convert", "texts/test.txt", "texts.jsonl", *read)
    told(capsys, "convert", "texts.jsonl", "texts.ft", "--set", "label_type=mood")
    assert (place / "texts.ft").read_text() == TEXTS * 4


def test_a_treebank_to_columns(capsys, place):
    (place / "in.conllu").write_text(CONLLU)
    told(capsys, "convert", "in.conllu", "out.tsv", "--layers", "lemma,dependency")
    text = (place / "out.tsv").read_text()
    assert "Dogs\tdog\tnsubj\t-\nbark\tbark\troot\t+\n" in text


def test_a_treebank_to_a_treebank(capsys, place):
    (place / "in.conllu").write_text(CONLLU)
    told(capsys, "convert", "in.conllu", "out.conllu")
    told(capsys, "convert", "out.conllu", "again.conllu")
    assert (place / "out.conllu").read_text() == (place / "again.conllu").read_text()
    one, other = (read_conllu([name]) for name in ("in.conllu", "out.conllu"))
    assert str(one.sentence(0)) == str(other.sentence(0)) and len(one) == len(other)


def test_columns_to_a_treebank(capsys, place):
    read = ["--columns", "text,upos", "--format", "columns"]
    told(capsys, "convert", "words/test.txt", "words.conllu", *read)
    lines = (place / "words.conllu").read_text().splitlines()
    assert lines[:2] == ["# text = She sings well", "1\tShe\t_\tPRON" + "\t_" * 6]
    line = refused(
        capsys, "convert", "names/test.txt", "x.conllu", "--columns", "text,ner",
        "--format", "columns", "--layers", "ner",
    )  # fmt: skip
    assert "CoNLL-U holds those of tokens" in line and not (place / "x.conllu").exists()


def test_each_kind_of_file_is_read_alone(capsys, place):
    "Not with train.csv beside it, which is another split"
    for name in ("train", "one"):
        (place / f"{name}.csv").write_text("text,label\na film,fine\nsongs,good\n")
    read = ["--columns", "text,label", "--set", "skip_header=true"]
    assert "2 sentences" in told(capsys, "convert", "one.csv", "one.jsonl", *read)
    (place / "one.csv").write_text("text,label\na film\n")
    line = refused(capsys, "convert", "one.csv", "two.jsonl", *read)
    assert "one.csv, line 2" in line and not (place / "two.jsonl").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
@pytest.mark.parametrize("command", ["convert", "predict"])
def test_a_full_disk_is_told_with_the_file(capsys, place, command):
    import resource

    (place / "long.txt").write_text("She PRON\nsings VERB\n\n" * 4000)
    read = ["long.txt", "--columns", "text,upos"]
    words = ["convert", *read[:1], "full.tsv", "--format", "columns", *read[1:]]
    if command == "predict":
        words = ["predict", WORD_MODEL, *read, "--output", "full.tsv"]
        words += ["--from", "columns"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        line = refused(capsys, *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert line == "flairnb: full.tsv: File too large"
    assert not (place / "full.tsv").exists()


def test_what_is_lost_is_told(capsys, place):
    read = ["--columns", "text,upos", "--format", "columns"]
    line = refused(capsys, "convert", "words/test.txt", "x.jsonl", *read)
    assert "no labels like those of upos" in line and not (place / "x.jsonl").exists()
    assert "--to columns, jsonl" in refused(
        capsys, "convert", "words/test.txt", "x.html", *read
    )
    assert "say which with --split" in refused(capsys, "convert", "words.toml", "x.tsv")
    line = refused(
        capsys, "convert", "words/test.txt", "x.tsv", *read, "--layers", "upo"
    )
    assert "'upos'?" in line
    (place / "two.jsonl").write_text('{"text": "a\\nb", "label": "x"}\n')
    assert "does not fit" in refused(capsys, "convert", "two.jsonl", "two.ft")
    assert not (place / "two.ft").exists()


# --- datasets, info ---


def test_the_catalogue_is_listed_and_searched(capsys):
    every = told(capsys, "datasets").splitlines()
    assert len(every) == len(cli.CATALOGUE) and any(
        x.startswith("UD_ENGLISH ") for x in every
    )
    german = told(capsys, "datasets", "german").splitlines()
    assert any(line.startswith("UD_GERMAN ") for line in german) and len(german) < len(
        every
    )
    card = told(capsys, "datasets", "ud_english")
    assert (
        "CC BY-SA 4.0" in card and "en_ewt-ud-train.conllu, 14.2 MB, https://" in card
    )
    assert told(capsys, "datasets", "UD_ENGLISH_EWT") == card
    assert "no corpus has 'klingon'" in refused(capsys, "datasets", "klingon")


def test_what_a_model_file_holds_is_told(capsys, place):
    import hashlib

    facts = json.loads(told(capsys, "info", WORD_MODEL, "--json"))
    data = (place / WORD_MODEL).read_bytes()
    assert facts["sha256"] == hashlib.sha256(data).hexdigest()
    assert facts["size"] == len(data) and facts["class"] == "SequenceTagger"
    assert {"PRON", "VERB", "NOUN", "ADV"} <= {*facts["labels"]}
    assert facts["training"]["arguments"]["max_epochs"] == 12
    weights = Model.load(WORD_MODEL).state_dict().values()
    assert facts["numbers"] == sum(tensor.numel() for tensor in weights)
    text = told(capsys, "info", WORD_MODEL)
    assert facts["sha256"] in text and "\n    max_epochs: 12" in text
    write_checkpoint("run.ckpt", {"epoch": 1}, "ModelTrainer")
    assert "Checkpoint" in told(capsys, "info", "run.ckpt")
    Model.load(WORD_MODEL).save_pretrained("whole")
    assert "whole/model.safetensors" in told(capsys, "info", "whole")


# --- parts ---


def test_lines_of_a_stream():
    lines = [*numbered_lines([b"\xef\xbb\xbfa\r\n", b"\n", "b\u2028c".encode()], "x")]
    assert lines == [(1, "a"), (2, ""), (3, "b\u2028c")]


def test_fast_text_is_what_print_gives():
    sentence = Sentence("Ada  Lovelace lives in  New York.")
    assert tagged_text(sentence, "ner") == str(sentence)
    sentence[4:6].add_label("ner", "LOC", 0.5)
    sentence[0:2].add_label("ner", "PER", 0.25)
    fast = tagged_text(sentence, "ner")
    assert sorted(fast.split(", ")) != [] and '"New York"/LOC' in fast
    ordered = Sentence("Ada lives in New York.")
    for first, last, label in ((0, 1, "PER"), (3, 5, "LOC")):
        ordered[first:last].add_label("ner", label, 0.5)
    assert tagged_text(ordered, "ner") == str(ordered)
    for token in ordered:
        token.add_label("pos", token.text.upper())
    assert tagged_text(ordered, "pos") == ordered.to_tagged_string("pos")


def test_the_defaults_of_the_demo():
    chosen = build_parser().parse_args(["demo"])
    assert (chosen.epochs, chosen.folder) == (15, "flairnb-demo") and chosen.text
    assert isinstance(chosen, argparse.Namespace) and Stream("x").name == "-"

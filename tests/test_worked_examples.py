"The worked examples of the page for contributors: its own cells, run and questioned"

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from flairnb.assets import AssetError
from flairnb.data.sentence import Sentence
from flairnb.datasets.catalogue import CATALOGUE, corpus_class
from flairnb.embeddings.base import EMBEDDING_CLASSES, build, describe
from flairnb.evaluation import Result
from flairnb.foundation import logger
from flairnb.models.model import MODEL_CLASSES, Model, ModelFileError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "nbs" / "contributing.ipynb"
PARTS = ("corpus-", "embedding-", "head-")


def cells(kind="code"):
    "Sources of the cells of the page, by name"
    found = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    return {c["id"]: "".join(c["source"]) for c in found if c["cell_type"] == kind}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    "What the cells of the three examples leave behind, run one after the other"
    folder, names = tmp_path_factory.mktemp("page"), {"__name__": "worked_examples"}
    registries = CATALOGUE, EMBEDDING_CLASSES, MODEL_CLASSES
    before, level = [dict(x) for x in registries], logger.level
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FLAIRNB_CACHE_ROOT", str(folder / "cache"))
        patch.setenv("FLAIRNB_MIRRORS", "")  # which a cell sets
        patch.setenv("FLAIRNB_OFFLINE", "1")
        logger.setLevel(logging.ERROR)
        names |= {"os": os, "Path": Path}  # from cells above
        for name, source in cells().items():
            if name.startswith(PARTS):
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(source, f"{PAGE.name}#{name}", "exec"), names)
        yield names
    logger.setLevel(level)
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)


def found_in(tagger, text, layer):
    sentence = Sentence(text)
    tagger.predict(sentence)
    return [(s.text, s.tag) for s in sentence.get_spans(layer)]


# --- the corpus ---


def test_the_corpus_is_read_as_its_files_say(page):
    corpus = page["timetables"]
    for split, text in page["TIMETABLES"].items():
        lines = [line.split() for line in text.splitlines()]
        read = corpus.splits()[split]
        assert [s.words for s in read] == [
            [word.split("/")[0] for word in line] for line in lines
        ]
        tags = [x.split("/B-")[1] for line in lines for x in line if "/" in x]
        assert [x.value for s in read for x in s.get_labels("ner")] == tags
    assert type(corpus) is corpus_class("TIMETABLES")


def test_another_file_under_its_name_is_refused(page, tmp_path, monkeypatch):
    mirror = tmp_path / "corpora" / "timetables"
    mirror.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (mirror / f"{split}.tsv").write_text("another O\n")
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(tmp_path))
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    with pytest.raises(AssetError, match=r"train\.tsv"):
        corpus_class("TIMETABLES")()


# --- the embedding ---


def test_the_tagger_on_the_embedding_has_learned(page):
    tagger, corpus = page["tagger"], page["timetables"]
    result = tagger.evaluate(corpus.test, "ner")
    assert isinstance(result, Result) and result.main_score > 0.7
    text = "the 20:15 to Skien leaves from platform 9"
    wanted = [("20:15", "TIME"), ("Skien", "PLACE"), ("9", "TRACK")]
    assert found_in(tagger, text, "ner") == wanted


def test_the_embedding_comes_back_from_a_file(page, tmp_path):
    tagger = page["tagger"]
    tagger.save(tmp_path / "tagger.pt")
    again = Model.load(tmp_path / "tagger.pt")
    assert type(again.embeddings) is page["ShapeEmbeddings"]
    assert describe(again.embeddings) == describe(tagger.embeddings)
    for name, weight in tagger.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    other = build(describe(page["ShapeEmbeddings"](size=3, buckets=7)))
    assert (other.embedding_length, other.buckets) == (3, 7)


def test_the_embedding_gives_equal_shapes_equal_vectors(page):
    embedding, sentence = page["ShapeEmbeddings"](), Sentence("Oslo Narvik oslo 8:15")
    embedding.embed(sentence)
    first, second, third, last = (token.embedding for token in sentence)
    assert torch.equal(first, second) and first.shape == (10,)
    assert not torch.equal(first, third) and not torch.equal(first, last)


# --- the model ---


def test_the_classifier_is_better_than_one_answer(page):
    classifier, test = page["classifier"], page["kinds"].test
    share = np.mean([s.get_label("kind").value == "question" for s in test])
    score = classifier.evaluate(test).classification_report["question"]["f1-score"]
    assert score > 1.3 * (2 * share / (1 + share))  # all of them called questions
    assert score == pytest.approx(page["found"]["test_score"])


def test_the_votes_add_up(page):
    classifier = page["classifier"]
    dataset = page["SentenceDataset"].of(
        [Sentence("Why not"), Sentence("It rains in May")]
    )
    batch = page["Batch"](dataset.table, dataset.rows, classifier.device)
    with torch.no_grad():
        votes, scores = classifier.votes(batch), classifier(batch)
    assert votes.shape == (2, 4, 2) and not votes[0, 2:].any()
    torch.testing.assert_close(votes.sum(1), scores)


def test_the_classifier_comes_back_from_a_file(page, tmp_path):
    classifier, text = page["classifier"], "Where is the station"
    classifier.save_pretrained(tmp_path / "kept")
    again = Model.from_pretrained(tmp_path / "kept")
    assert type(again) is page["VotingClassifier"]
    assert again.config() == classifier.config()
    said = [Sentence(text), Sentence(text)]
    for model, sentence in zip((classifier, again), said, strict=True):
        model.predict(sentence)
    assert str(said[0]) == str(said[1]) and said[0].get_label("kind").score < 1


def test_a_program_without_the_class_is_told_so(page, tmp_path):
    page["classifier"].save(tmp_path / "kinds.pt")
    kept = MODEL_CLASSES.pop("VotingClassifier")
    try:
        with pytest.raises(
            ModelFileError, match=r"VotingClassifier.*Import the module"
        ):
            Model.load(tmp_path / "kinds.pt")
    finally:
        MODEL_CLASSES["VotingClassifier"] = kept


# --- the page ---


def test_all_three_examples_are_there():
    names = [name for name in cells() if name.startswith(PARTS)]
    assert {f"{name.split('-')[0]}-" for name in names} == {*PARTS}
    assert names == sorted(
        names, key=lambda name: PARTS.index(name.split("-")[0] + "-")
    )


def test_the_way_to_set_up_is_that_of_the_readme():
    line = r"(?m)^python3 -m venv .*\.ci/test\.py$"
    told = re.findall(line, "\n".join(cells("markdown").values()))
    assert told == re.findall(line, (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(told) == 1


def test_files_and_commands_that_it_names_are_there():
    prose = "\n".join(cells("markdown").values())
    paths = re.findall(r"`(?:python )?([\w./]+/[\w.]+\.py|\.ci/run)\b", prose)
    assert len(set(paths)) >= 5
    assert [x for x in paths if not (ROOT / x).is_file()] == []
    for command in ("nbdev_export", "ruff", "mypy"):
        assert command in prose
        assert (Path(sys.executable).parent / command).exists()


def test_the_tool_that_it_names_takes_what_it_says():
    command = [sys.executable, str(ROOT / ".ci" / "notebooks.py"), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--write" in said and "NOTEBOOK" in said.upper()

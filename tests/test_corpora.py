"Corpora of the catalogue: real files through a mirror, and the one that ships"

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flairnb.datasets import (
    SAMPLE_ENGLISH,
    UD_ENGLISH,
    UD_GERMAN,
    WNUT_17,
    ColumnCorpus,
)
from flairnb.foundation import sha256_of

SHARED = Path(__file__).parents[2] / "shared" / "corpora"
real = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no shared/corpora beside the checkout"
)
STAND_IN = "corpora/ud_german/de_gsd-ud-train.conllu"


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.delenv("FLAIRNB_MIRRORS", raising=False)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    "A folder with the real files, and UD German-PUD in the place of GSD's train file"
    folder = tmp_path / "mirror"
    (folder / "corpora" / "ud_german").mkdir(parents=True)
    for name in ("ud_english", "wnut_17"):
        (folder / "corpora" / name).symlink_to(SHARED / name)
    german = SHARED / "ud_german"
    for name in ("de_gsd-ud-dev.conllu", "de_gsd-ud-test.conllu"):
        (folder / "corpora" / "ud_german" / name).symlink_to(german / name)
    pud = german / "de_pud-ud-test.conllu"
    (folder / STAND_IN).symlink_to(pud)
    entry = {
        "size": pud.stat().st_size,
        "sha256": sha256_of(pud),
        "note": "UD German-PUD",
    }
    (folder / "manifest.json").write_text(json.dumps({STAND_IN: entry}))
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(folder))
    return folder


def counts(corpus):
    return [
        (len(split), int(split.lengths.sum())) for split in corpus.splits().values()
    ]


@real
def test_ud_english(mirror):
    corpus = UD_ENGLISH()
    assert counts(corpus) == [(12544, 204577), (2001, 25147), (2077, 25094)]
    assert len(corpus.make_label_dictionary("upos")) == 17
    assert len(corpus.make_label_dictionary("pos", add_dev_test=True)) == 49
    assert corpus.name == "ud_english"
    assert len(corpus.train.table.breaks) == 540 + 318 + 316
    assert counts(UD_ENGLISH()) == counts(corpus)  # from its index


@real
def test_ud_english_downsampled_as_in_the_tutorial(mirror):
    assert (
        str(UD_ENGLISH().downsample(0.1))
        == "Corpus: 1254 train + 200 dev + 208 test sentences"
    )


@real
def test_ud_german_with_its_stand_in(mirror):
    corpus = UD_GERMAN()
    assert counts(corpus) == [(1000, 21332), (799, 12480), (977, 16499)]
    assert len(corpus.make_label_dictionary("upos", add_dev_test=True)) == 17


@real
def test_wnut_17(mirror):
    corpus = WNUT_17()
    assert counts(corpus) == [(3394, 62730), (1009, 15733), (1287, 23394)]
    found = {
        name: sum(len(s.get_spans("ner")) for s in split)
        for name, split in corpus.splits().items()
    }
    assert found == {"train": 1975, "dev": 836, "test": 1079}
    assert len(corpus.make_label_dictionary("ner")) == 6


@real
def test_wikigold():
    options = {"train_file": "wikigold.conll.txt", "sample_missing_splits": False}
    corpus = ColumnCorpus(SHARED / "wikigold", {0: "text", 1: "ner"}, **options)
    assert counts(corpus) == [(1696, 39007)]
    assert len(corpus.train.table.breaks) == 145
    assert len(corpus.train.table.mark_layers["ner"].start) == 3558
    assert set(corpus.make_label_dictionary("ner").get_items()) == {
        "PER",
        "LOC",
        "ORG",
        "MISC",
    }


@real
def test_a_wrong_file_in_a_mirror_is_not_read(mirror):
    (mirror / "corpora" / "wnut_17").unlink()
    (mirror / "corpora" / "wnut_17").mkdir()
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (mirror / "corpora" / "wnut_17" / name).write_text("a\tO\n")
    with pytest.raises(FileNotFoundError, match="expected 493,781"):
        WNUT_17()
    assert (
        len(WNUT_17(base_path=mirror / "corpora").train) == 1
    )  # unless the user says so


def test_without_files_the_error_says_what_is_missing():
    with pytest.raises(FileNotFoundError) as caught:
        UD_ENGLISH()
    for part in (
        "en_ewt-ud-train.conllu",
        "14,203,025",
        "3fb78e2b55",
        "FLAIRNB_OFFLINE",
        "CC BY-SA",
    ):
        assert part in str(caught.value)


@real
def test_another_revision_is_another_file(mirror):
    with pytest.raises(FileNotFoundError, match=r"ud_english@r2\.15/en_ewt-ud-train"):
        UD_ENGLISH(revision="r2.15")


def test_the_sample_that_ships():
    corpus = SAMPLE_ENGLISH()
    train, dev, test = (split for split in corpus.splits().values())
    total = len(train) + len(dev) + len(test)
    assert total >= 600 and len(dev) == len(test) == round(total / 10)
    assert set(corpus.make_label_dictionary("ner").get_items()) == {
        "PER",
        "LOC",
        "ORG",
        "MISC",
    }
    assert len(corpus.make_label_dictionary("upos")) == 17
    texts = [sentence.text for sentence in corpus.get_all_sentences()]
    assert len(set(texts)) == total
    assert not any(
        " ." in text or " ," in text for text in texts
    )  # spaces are as in print
    assert str(SAMPLE_ENGLISH(sample_missing_splits=False)) == str(corpus)


def test_the_sample_can_be_downsampled():
    corpus = SAMPLE_ENGLISH().downsample(0.5)
    assert len(corpus.train) == round(len(SAMPLE_ENGLISH().train) * 0.5)

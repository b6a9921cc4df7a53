"Every row of the catalogue: names, addresses, and files in the format of its source"

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

import flairnb.datasets
from flairnb.data import Corpus
from flairnb.datasets.catalogue import (
    ALIASES,
    CATALOGUE,
    CataloguedColumns,
    CataloguedTexts,
    CataloguedTreebank,
    corpus_class,
    search_catalogue,
)

SHARED = Path(__file__).parents[2] / "shared" / "corpora"
real = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no shared/corpora beside the checkout"
)
TREEBANKS = [name for name in CATALOGUE if name.startswith("UD_")]
COLUMNS = [
    name
    for name in CATALOGUE
    if issubclass(corpus_class(name), CataloguedColumns) and name != "WNUT_17"
]
FLAIR = """
UD_ENGLISH UD_GALICIAN UD_ANCIENT_GREEK UD_KAZAKH UD_OLD_CHURCH_SLAVONIC UD_ARMENIAN UD_ESTONIAN
UD_GERMAN UD_GERMAN_HDT UD_DUTCH UD_FAROESE UD_FRENCH UD_ITALIAN UD_LATIN UD_SPANISH UD_PORTUGUESE
UD_ROMANIAN UD_CATALAN UD_POLISH UD_CZECH UD_SLOVAK UD_SWEDISH UD_DANISH UD_NORWEGIAN UD_FINNISH
UD_SLOVENIAN UD_CROATIAN UD_SERBIAN UD_BULGARIAN UD_ARABIC UD_HEBREW UD_TURKISH UD_UKRAINIAN
UD_PERSIAN UD_RUSSIAN UD_HINDI UD_INDONESIAN UD_JAPANESE UD_CHINESE UD_KOREAN UD_BASQUE
UD_CHINESE_KYOTO UD_GREEK UD_NAIJA UD_LIVVI UD_BURYAT UD_NORTH_SAMI UD_MARATHI UD_MALTESE
UD_AFRIKAANS UD_GOTHIC UD_OLD_FRENCH UD_WOLOF UD_BELARUSIAN UD_COPTIC UD_IRISH UD_LATVIAN
UD_LITHUANIAN UD_BAVARIAN_MAIBAAM CONLL_03 CONLL_03_GERMAN CONLL_03_DUTCH CONLL_03_SPANISH
CONLL_2000 WNUT_17 TREC_6 TREC_50 NER_GERMAN_GERMEVAL IMDB SENTEVAL_CR SENTEVAL_MR SENTEVAL_SUBJ
SENTEVAL_MPQA SENTEVAL_SST_BINARY SENTEVAL_SST_GRANULAR NER_ENGLISH_WIKIGOLD AGNEWS
"""


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.delenv("FLAIRNB_MIRRORS", raising=False)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    (folder / "corpora").mkdir(parents=True)
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(folder))
    return folder / "corpora"


def place(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def values(split, layer):
    return [s.get_label(layer).value for s in split]


# Names


def test_the_table_is_as_long_as_promised():
    assert len(TREEBANKS) >= 60 and len(CATALOGUE) - len(TREEBANKS) >= 25


def test_the_names_of_flair_are_there():
    assert set(FLAIR.split()) <= {*CATALOGUE, *ALIASES}


@pytest.mark.parametrize("name", [*CATALOGUE, *ALIASES])
def test_every_name_is_a_class_that_can_be_imported(name):
    found = {}
    exec(f"from flairnb.datasets import {name}", found)
    kind = found[name]
    assert issubclass(kind, Corpus) and kind is corpus_class(name)
    assert kind.entry is CATALOGUE[ALIASES.get(name, name)] and kind.__doc__
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert name in dir(flairnb.datasets)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match=r"UD_GERMN.*Did you mean 'UD_GERMAN'"):
        _ = flairnb.datasets.UD_GERMN
    with pytest.raises(ImportError):
        exec("from flairnb.datasets import NO_SUCH_CORPUS")
    assert not hasattr(flairnb.datasets, "__wrapped__")


def test_rows_are_found_by_name_language_and_task():
    assert {row.name for row in search_catalogue("german")} >= {
        "UD_GERMAN",
        "NER_GERMAN_LEGAL",
    }
    assert [row.name for row in search_catalogue("TREC")] == ["TREC_6", "TREC_50"]
    assert search_catalogue() == list(CATALOGUE.values())


# Addresses


@pytest.mark.parametrize("name", TREEBANKS)
def test_addresses_of_treebanks_have_one_form(name):
    row = CATALOGUE[name]
    for split, asset in row.files.items():
        code, _, rest = asset.name.rpartition("/")[2].partition("-ud-")
        assert rest.startswith(split.partition(" ")[0]) and rest.endswith(".conllu")
        (address,) = asset.addresses
        folder = address.split("/")[4]  # such as UD_French-GSD
        assert address.endswith(
            f"UniversalDependencies/{folder}/{row.revision}/{code}-ud-{rest}"
        )
        assert folder.partition("-")[2].lower() == code.partition("_")[2]
        assert folder[3:].startswith(row.language.replace(" ", "_"))


def test_names_and_codes_of_treebanks_agree():
    for code, name in ALIASES.items():
        address = CATALOGUE[name].files["test"].addresses[0]
        assert address.split("/")[4].upper().replace("-", "_") == code


def test_no_two_rows_keep_different_files_under_one_name():
    known = {}
    for row in CATALOGUE.values():
        for asset in row.files.values():
            assert known.setdefault(asset.name, asset) == asset
            assert all(address.startswith("http") for address in asset.addresses)


@pytest.mark.parametrize("name", [n for n in CATALOGUE if n != "SAMPLE_ENGLISH"])
def test_without_files_the_error_names_them(name):
    row = CATALOGUE[name]
    asset = row.archive or next(iter(row.files.values()))
    with pytest.raises(FileNotFoundError) as caught:
        corpus_class(name)()
    assert asset.name.rpartition("/")[2] in str(caught.value)
    assert (row.source or "FLAIRNB_OFFLINE") in str(caught.value)


# Files in the format of their source


def conllu(*words):
    lines = [
        f"{n}\t{w}\t_\tNOUN\t_\t_\t0\troot\t_\t_\n" for n, w in enumerate(words, 1)
    ]
    return "".join(lines) + "\n"


@pytest.mark.parametrize(
    "name", ["UD_GERMAN_HDT", "UD_CZECH", "UD_ENGLISH_PUD", "UD_KAZAKH"]
)
def test_treebanks_in_parts_or_without_some_splits(tmp_path, name):
    row = CATALOGUE[name]
    for split, asset in row.files.items():
        place(tmp_path / row.folder / asset.name.rpartition("/")[2], conllu(split))
    corpus = corpus_class(name)(base_path=tmp_path, sample_missing_splits=False)
    assert isinstance(corpus, CataloguedTreebank)
    found = [s.text for s in corpus.get_all_sentences()]
    assert sorted(found) == sorted(row.files)
    parts = [split for split in row.files if split.startswith("train")]
    assert len(corpus.train or []) == len(parts)


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_read_as_the_row_says(tmp_path, name):
    row, fields = CATALOGUE[name], {}
    layers = [layer for layer in row.columns.values() if layer != "text"]
    tab = "\t" if row.options.get("column_delimiter") == "\t" else " "
    for word, tag in (("Zo\u00eb", "B-X"), ("sings", "O")):
        cells = {"text": word} | {layer: tag for layer in layers}
        wide = [cells.get(row.columns.get(n), "_") for n in range(max(row.columns) + 1)]
        fields[word] = tab.join(wide)
    text = "\n".join(fields.values()) + "\n\n"
    for split in row.files:
        place(
            tmp_path / row.folder / row.names(split)[0],
            text,
            row.options.get("encoding", "utf-8"),
        )
    corpus = corpus_class(name)(base_path=tmp_path, sample_missing_splits=False)
    for sentence in corpus.get_all_sentences():
        assert sentence.words == ["Zo\u00eb", "sings"]
        for layer in layers:
            assert [s.text for s in sentence.get_spans(layer)] == ["Zo\u00eb"]
    assert len(corpus.get_all_sentences()) == len(row.files)


def test_packed_columns_are_unpacked(tmp_path):
    import gzip

    for split in ("train", "test"):
        path = tmp_path / "conll_2000" / f"{split}.txt.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(b"He PRP B-NP\nran VBD B-VP\n\n"))
    corpus = flairnb.datasets.CONLL_2000(
        base_path=tmp_path, sample_missing_splits=False
    )
    assert corpus.make_label_dictionary("np").get_items() == ["NP", "VP"]


TEXTS = {
    "TREC_6": ("NUM:dist How far ?\n", "How far ?", "question_class", "NUM"),
    "TREC_50": ("NUM:dist How far ?\n", "How far ?", "question_class", "NUM:dist"),
    "SENTEVAL_SST_BINARY": ('a "gem\t1\n', 'a "gem', "class", "POSITIVE"),
    "SENTEVAL_SST_GRANULAR": ("3 so caf\u00e9\n", "so caf\u00e9", "class", "3"),
    "AGNEWS": (
        '"3","Oil, again","It rose."\n',
        "Oil, again It rose.",
        "topic",
        "Business",
    ),
    "GERMEVAL_2018_OFFENSIVE_LANGUAGE": (
        '@x Na "so\tOFFENSE\tABUSE\n',
        '@x Na "so',
        "class",
        "OFFENSE",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_read_as_their_source_writes_them(tmp_path, name):
    line, text, layer, label = TEXTS[name]
    row = CATALOGUE[name]
    for split in row.files:
        path = tmp_path / row.folder / row.names(split)[0]
        place(path, line, row.options.get("encoding", "utf-8"))
    corpus = corpus_class(name)(base_path=tmp_path, sample_missing_splits=False)
    assert isinstance(corpus, CataloguedTexts)
    assert [s.text for s in corpus.train] == [text] and values(corpus.train, layer) == [
        label
    ]


def zipped(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)


def test_texts_come_out_of_a_zip_file(mirror, monkeypatch):
    parts = {
        "rt-polarity.pos": "a caf\u00e9\nnice\n".encode("latin-1"),
        "rt-polarity.neg": b"dull\n\n",
    }
    files = {f"data/rt10662/{name}": text for name, text in parts.items()}
    zipped(mirror / "senteval" / "datasmall_NB_ACL12.zip", files | {"data/mr/x": b"no"})
    corpus = flairnb.datasets.SENTEVAL_MR(sample_missing_splits=False)
    assert [s.text for s in corpus.train] == ["a caf\u00e9", "nice", "dull"]
    assert corpus.get_label_distribution() == {"POSITIVE": 2, "NEGATIVE": 1}
    monkeypatch.delenv("FLAIRNB_MIRRORS")  # from now on, the cache has them
    assert len(flairnb.datasets.SENTEVAL_MR(sample_missing_splits=False).train) == 3


def test_texts_come_out_of_a_tar_file(mirror):
    path = mirror / "imdb" / "aclImdb_v1.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as packed:
        for name in (
            "train/pos/0_9",
            "train/neg/1_2",
            "train/unsup/0_0",
            "test/neg/0_1",
        ):
            data = f"{name}<br />two\nlines".encode()
            member = tarfile.TarInfo(f"aclImdb/{name}.txt")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    corpus = flairnb.datasets.IMDB(sample_missing_splits=False)
    assert values(corpus.train, "sentiment") == ["POSITIVE", "NEGATIVE"]
    assert [s.text for s in corpus.test] == ["test/neg/0_1<br />two lines"]


# Real files


@real
def test_trec_in_six_and_in_fifty_classes(mirror):
    (mirror / "trec_6").symlink_to(SHARED / "trec_6")
    corpus = flairnb.datasets.TREC_6(sample_missing_splits=False)
    assert [len(corpus.train), len(corpus.test)] == [5452, 500]
    counts = {
        "ENTY": 1250,
        "HUM": 1223,
        "DESC": 1162,
        "NUM": 896,
        "LOC": 835,
        "ABBR": 86,
    }
    assert corpus.get_label_distribution() == counts
    tested = {"DESC": 138, "NUM": 113, "ENTY": 94, "LOC": 81, "HUM": 65, "ABBR": 9}
    assert Counter(values(corpus.test, "question_class")) == tested
    assert len(flairnb.datasets.TREC_6().dev) == 545
    fine = flairnb.datasets.TREC_50()
    assert len(fine.make_label_dictionary("question_class", add_dev_test=True)) == 50


@real
def test_wikigold_by_name(mirror):
    (mirror / "ner_english_wikigold").symlink_to(SHARED / "wikigold")
    corpus = flairnb.datasets.NER_ENGLISH_WIKIGOLD(sample_missing_splits=False)
    assert (len(corpus.train), int(corpus.train.lengths.sum())) == (1696, 39007)
    assert len(corpus.train.table.mark_layers["ner"].start) == 3558


@real
def test_sentence_polarity_by_name(mirror):
    names = ("rt-polarity.pos", "rt-polarity.neg")
    files = {
        f"data/rt10662/{n}": (SHARED / "sentence_polarity" / n).read_bytes()
        for n in names
    }
    zipped(mirror / "senteval" / "datasmall_NB_ACL12.zip", files)
    corpus = flairnb.datasets.SENTEVAL_MR(sample_missing_splits=False, tokenizer=False)
    assert corpus.get_label_distribution() == {"POSITIVE": 5331, "NEGATIVE": 5331}

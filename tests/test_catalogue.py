"Every row of the catalogue: names, addresses, and files in the format of its source"

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections import Counter

import pytest
from conftest import SHARED, real

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

pytestmark = pytest.mark.usefixtures("offline")
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
GLUE_COLA GLUE_SST2 YAHOO_ANSWERS GO_EMOTIONS NEWSGROUPS SENTIMENT_140 WASSA_ANGER WASSA_FEAR
WASSA_JOY WASSA_SADNESS NER_BASQUE NER_HUNGARIAN NER_GERMAN_MOBIE NER_GERMAN_BIOFID
NER_BAVARIAN_WIKI
"""


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


@pytest.mark.parametrize("name", [n for n in CATALOGUE if "SAMPLE_" not in n])
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
    "GO_EMOTIONS": ('My "pal, no\t2,27\teebbqej\n', 'My "pal, no', "emotion", "ANGER"),
    "WASSA_JOY": (
        "id\ttweet\temotion\tscore\n30000\tJust got back \U0001f600\tjoy\t0.980\n",
        "Just got back \U0001f600",
        "class",
        "0.980",
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


def test_a_text_has_all_its_emotions(tmp_path):
    place(tmp_path / "go_emotions" / "train.tsv", "So.\t0,27\tx\n")
    for name in ("dev.tsv", "test.tsv"):
        place(tmp_path / "go_emotions" / name, "No.\t10\tx\n")
    corpus = flairnb.datasets.GO_EMOTIONS(base_path=tmp_path)
    found = [label.value for label in corpus.train[0].get_labels("emotion")]
    assert found == ["ADMIRATION", "NEUTRAL"]
    assert values(corpus.test, "emotion") == ["DISAPPROVAL"]


def zipped(path, files):
    "An archive, of the kind that its name says"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, text in files.items():
                packed.writestr(name, text)
        return
    with tarfile.open(path, "w:gz") as packed:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))


TWEET = '"{}","3","Mon May 11","kindle2","tpryan","@x caf\u00e9, {}"\n'
PACKED = {
    "GLUE_COLA": (
        "glue/CoLA.zip",
        {
            "CoLA/train.tsv": 'gj04\t1\t\tA "b c.\nbc80\t0\t*\tDs.\n',
            "CoLA/dev.tsv": "gj04\t1\t\tE.\n",
            "CoLA/test.tsv": "index\tsentence\n0\tF.\n",
        },
        ("acceptability", {'A "b c.': "grammatical", "Ds.": "not_grammatical"}),
    ),
    "GLUE_SST2": (
        "glue/SST-2.zip",
        {
            "SST-2/train.tsv": 'sentence\tlabel\na "gem \t1\nno\t0\n',
            "SST-2/dev.tsv": "sentence\tlabel\nso\t0\n",
            "SST-2/test.tsv": "index\tsentence\n0\tso\n",
        },
        ("sentiment", {'a "gem ': "positive", "no": "negative"}),
    ),
    "YAHOO_ANSWERS": (
        "yahoo_answers/yahoo_answers_csv.tgz",
        {
            "yahoo_answers_csv/train.csv": '"5","why ""x"" ?","more","because"\n',
            "yahoo_answers_csv/test.csv": '"10","who ?","","she"\n',
            "yahoo_answers_csv/readme.txt": "no",
        },
        ("question_type", {'why "x" ?': "Computers_&_Internet"}),
    ),
    "SENTIMENT_140": (
        "sentiment_140/trainingandtestdata.zip",
        {
            "training.1600000.processed.noemoticon.csv": TWEET.format(4, "good").encode(
                "latin-1"
            ),
            "testdata.manual.2009.06.14.csv": TWEET.format(2, "so so").encode(
                "latin-1"
            ),
        },
        ("sentiment", {"@x caf\u00e9, good": "POSITIVE"}),
    ),
    "NEWSGROUPS": (
        "newsgroups/20news-bydate.tar.gz",
        {
            "20news-bydate-train/sci.med/58": "From: a@b\n\nA  pill\n",
            "20news-bydate-train/sci.space/9": "To Mars\n",
            "20news-bydate-test/sci.med/1": "Well\n",
        },
        ("class", {"From: a@b A pill": "sci.med", "To Mars": "sci.space"}),
    ),
}


@pytest.mark.parametrize("name", PACKED)
def test_tables_come_out_of_archives(mirror, name):
    archive, files, (layer, expected) = PACKED[name]
    zipped(mirror / archive, files)
    corpus = corpus_class(name)(sample_missing_splits=False)
    texts = [sentence.text for sentence in corpus.train]
    assert dict(zip(texts, values(corpus.train, layer), strict=True)) == expected
    assert sorted(corpus.splits()) == sorted(CATALOGUE[name].files)
    assert all(
        len(split) == 1
        for split in corpus.splits().values()
        if split is not corpus.train
    )
    assert not any(corpus.losses.values())


def test_columns_come_out_of_archives(mirror):
    page = "-DOCSTART- -X- O {0}\n\nBus X X B-{0}\n21 X X I-{0}\n\n"
    parts = {f"{s}.conll2003": page.format(s) for s in ("train", "dev", "test")}
    zipped(mirror / "ner_german_mobie" / "ner_conll03_formatted.zip", parts)
    names = {
        "train": "eiec_v1.0/named_ent_eu.train",
        "test": "eiec_v1.0/named_ent_eu.test",
    }
    parts = {name: f"Bilbo B-{split}\n21 I-{split}\n" for split, name in names.items()}
    zipped(mirror / "ner_basque" / "eiec_v1.0.tgz", parts)
    for name in ("NER_GERMAN_MOBIE", "NER_BASQUE"):
        for split, found in (
            corpus_class(name)(sample_missing_splits=False).splits().items()
        ):
            (span,) = found[0].get_spans("ner")
            assert span.get_label("ner").value == split and len(span) == 2


def test_tags_of_hungarian_news_may_be_noughts(tmp_path):
    page = "A\t0\nMOL\tI-ORG\n\nNagy\tI-PER\n\n".encode("latin-1")
    (tmp_path / "ner_hungarian").mkdir()
    (tmp_path / "ner_hungarian" / "train.txt").write_bytes(page)
    corpus = flairnb.datasets.NER_HUNGARIAN(tmp_path, sample_missing_splits=False)
    found = [span.text for s in corpus.train for span in s.get_spans("ner")]
    assert found == ["MOL", "Nagy"]


def test_names_are_completed_where_people_type_them():
    completer = pytest.importorskip("IPython.core.completer")
    found = completer.Completer(namespace={"datasets": flairnb.datasets})
    assert "datasets.UD_GERMAN_HDT" in found.attr_matches("datasets.UD_GER")
    assert "datasets.GLUE_COLA" in found.attr_matches("datasets.GL")


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
    names = ("train/pos/0_9", "train/neg/1_2", "train/unsup/0_0", "test/neg/0_1")
    files = {f"aclImdb/{name}.txt": f"{name}<br />two\nlines" for name in names}
    zipped(mirror / "imdb" / "aclImdb_v1.tar.gz", files)
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

"Corpora of the catalogue: real files through a mirror, and the one that ships"

from __future__ import annotations

import shutil
from itertools import groupby

import pytest
from conftest import SHARED, real

from flairnb.datasets import (
    CONLL_03,
    SAMPLE_ENGLISH,
    SAMPLE_KOREAN,
    UD_ENGLISH,
    UD_GERMAN,
    WNUT_17,
    ColumnCorpus,
)

CONLL_FILES = {"train": "eng.train", "dev": "eng.testa", "test": "eng.testb"}
pytestmark = pytest.mark.usefixtures("offline")


def counts(corpus):
    return [
        (len(split), int(split.lengths.sum())) for split in corpus.splits().values()
    ]


@real
def test_ud_english(real_mirror):
    corpus = UD_ENGLISH()
    assert counts(corpus) == [(12544, 204577), (2001, 25147), (2077, 25094)]
    assert len(corpus.make_label_dictionary("upos")) == 17
    assert len(corpus.make_label_dictionary("pos", add_dev_test=True)) == 49
    assert corpus.name == "ud_english"
    assert len(corpus.train.table.breaks) == 540 + 318 + 316
    assert counts(UD_ENGLISH()) == counts(corpus)  # from its index


@real
def test_ud_english_downsampled_as_in_the_tutorial(real_mirror):
    assert (
        str(UD_ENGLISH().downsample(0.1))
        == "Corpus: 1254 train + 200 dev + 208 test sentences"
    )


@real
def test_ud_german_with_its_stand_in(real_mirror):
    corpus = UD_GERMAN()
    assert counts(corpus) == [(1000, 21332), (799, 12480), (977, 16499)]
    assert len(corpus.make_label_dictionary("upos", add_dev_test=True)) == 17


@real
def test_wnut_17(real_mirror):
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


def wikigold_documents():
    "Documents of sentences of words and tags, read by hand"
    text = (SHARED / "wikigold" / "wikigold.conll.txt").read_text(encoding="utf-8")
    documents = []
    for block in text.split("\n\n"):
        lines = [line.split(" ") for line in block.split("\n") if line]
        words = [line for line in lines if line[0] != "-DOCSTART-"]
        if words:
            documents[-1:] or documents.append([])
            documents[-1].append(words)
        if len(words) < len(lines):
            documents.append([])
    return [document for document in documents if document]


def write_conll_03(folder, names=CONLL_FILES, sentences=None):
    "Wikigold in the layout of CoNLL 2003: of ten documents, one is dev, one is test"
    folder.mkdir(parents=True)
    every = wikigold_documents()
    shares = {"dev": every[1::10], "test": every[2::10]}
    shares["train"] = [d for n, d in enumerate(every) if n % 10 not in (1, 2)]
    for split, documents in shares.items():
        left = sentences
        with open(folder / names[split], "w", encoding="utf-8") as file:
            for document in documents:
                print("-DOCSTART- -X- O O", end="\n\n", file=file)
                for words in document[:left]:
                    for word, tag in words:
                        print(
                            word, "NNP" if tag != "O" else "X", "I-NP", tag, file=file
                        )
                    print(file=file)
                left = left and left - len(document[:left])
                if left == 0:
                    break
    return shares


def runs(words):
    "Spans of equal tags, as IOB1 without B- spells them"
    place, found = 0, []
    for tag, run in groupby(tag for _, tag in words):
        size = len(list(run))
        if tag != "O":
            found.append((place, place + size, tag[2:]))
        place += size
    return found


def check_conll_03(corpus, shares):
    for name, split in corpus.splits().items():
        wanted = [words for document in shares[name] for words in document]
        assert len(split) == len(wanted)
        for sentence, words in zip(split, wanted, strict=True):
            assert [token.text for token in sentence] == [word for word, _ in words]
            spans = [
                (
                    span.tokens[0].idx - 1,
                    span.tokens[-1].idx,
                    span.get_label("ner").value,
                )
                for span in sentence.get_spans("ner")
            ]
            assert spans == runs(words)
    assert len(corpus.train.table.breaks) == sum(map(len, shares.values()))


@real
def test_conll_03_from_a_mirror(real_mirror):
    shares = write_conll_03(real_mirror / "conll_03")
    corpus = CONLL_03()
    check_conll_03(corpus, shares)
    assert sum(map(len, corpus.splits().values())) == 1696
    labels = corpus.make_label_dictionary("ner", add_unk=False)
    assert set(labels.get_items()) == {"PER", "LOC", "ORG", "MISC"}
    assert len(corpus.make_label_dictionary("pos")) == 2
    assert corpus.train[0].get_spans("np")[0].text == corpus.train[0].text
    assert corpus.name == "conll_03"


@real
@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("eng.train.txt", "eng.testa.txt", "eng.testb.txt"),
        ("eng.train", "dev.txt", "eng.testb"),
    ],
)
def test_conll_03_where_flair_keeps_it_and_under_other_names(tmp_path, names):
    named = dict(zip(CONLL_FILES, names, strict=True))
    shares = write_conll_03(tmp_path / "cache" / "datasets" / "conll_03", named)
    check_conll_03(CONLL_03(), shares)


@real
def test_conll_03_of_the_user_goes_before_the_mirror(real_mirror, tmp_path):
    write_conll_03(real_mirror / "conll_03", sentences=3)
    write_conll_03(tmp_path / "mine" / "conll_03", sentences=5)
    sizes = [
        [*map(len, c.splits().values())]
        for c in (CONLL_03(), CONLL_03(tmp_path / "mine"))
    ]
    assert sizes == [[3, 3, 3], [5, 5, 5]]
    shutil.rmtree(tmp_path / "mine" / "conll_03")
    assert len(CONLL_03(base_path=tmp_path / "mine").train) == 3


def write_news(folder, tags, separator=" ", skip=()):
    "The same few words in each file, with these tags"
    folder.mkdir(parents=True)
    words = ["Ada", "saw", "New", "York", "Rome", "#", "today"]
    for split, name in CONLL_FILES.items():
        lines = ["-DOCSTART- -X- -X- O", ""]
        for word, tag in zip(words, tags.split(), strict=True):
            lines.append(separator.join([word, "NNP", "I-NP", tag]))
        if split not in skip:
            (folder / name).write_text("\n".join([*lines, "", ""]))


@pytest.mark.parametrize(
    "tags",
    [
        "I-PER O I-LOC I-LOC B-LOC O O",  # IOB1, as the files were published
        "B-PER O B-LOC I-LOC B-LOC O O",
        "S-PER O B-LOC E-LOC S-LOC O O",
    ],
)
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_conll_03_in_every_way_of_writing_tags(tmp_path, tags, separator):
    write_news(tmp_path / "conll_03", tags, separator)
    for split in CONLL_03(base_path=tmp_path).splits().values():
        (sentence,) = split
        assert len(sentence) == 7
        spans = [(s.text, s.get_label("ner").value) for s in sentence.get_spans("ner")]
        assert spans == [("Ada", "PER"), ("New York", "LOC"), ("Rome", "LOC")]


def test_conll_03_with_other_columns(tmp_path):
    write_news(tmp_path / "conll_03", "O " * 7)
    corpus = CONLL_03(tmp_path, column_format={0: "text", 1: "upos"})
    assert corpus.dev[0][3].get_label("upos").value == "NNP"
    with pytest.raises(TypeError, match="column_formt"):
        CONLL_03(tmp_path, column_formt={0: "text", 1: "upos"})


def test_without_its_files_conll_03_says_which_and_where(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        CONLL_03()
    parts = [*CONLL_FILES.values(), "valid.txt", "clips.uantwerpen.be/conll2003"]
    parts += [str(tmp_path / "cache" / "datasets" / "conll_03"), "corpora/conll_03"]
    assert all(part in str(caught.value) for part in [*parts, "FLAIRNB_MIRRORS"])
    write_news(tmp_path / "mine" / "conll_03", "O " * 7, skip=["dev"])
    with pytest.raises(FileNotFoundError) as caught:
        CONLL_03(base_path=tmp_path / "mine")
    assert "dev: eng.testa" in str(caught.value)
    assert "eng.train" not in str(caught.value)
    assert str(tmp_path / "mine" / "conll_03") in str(caught.value)


@real
def test_a_wrong_file_in_a_mirror_is_not_read(real_mirror):
    (real_mirror / "wnut_17").unlink()
    (real_mirror / "wnut_17").mkdir()
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (real_mirror / "wnut_17" / name).write_text("a\tO\n")
    with pytest.raises(FileNotFoundError, match="expected 493,781"):
        WNUT_17()
    assert len(WNUT_17(base_path=real_mirror).train) == 1  # unless the user says so


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
def test_another_revision_is_another_file(real_mirror):
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


def test_the_korean_corpus_that_ships():
    corpus = SAMPLE_KOREAN()
    assert [len(x) for x in corpus.splits().values()] == [110, 20, 20]
    tags = corpus.make_label_dictionary("upos").get_items()
    assert set(tags) <= {"NOUN", "PUNCT", "VERB", "ADJ", "ADV", "PRON", "AUX", "DET",
                         "PROPN", "NUM", "CCONJ", "INTJ", "SYM"}  # fmt: skip
    for sentence in (s for split in corpus.splits().values() for s in split):
        text = sentence.to_original_text()
        assert text[-1] in ".?!" and " " + text[-1] not in text
        assert [t.text for t in sentence if t.get_label("upos").value == "PUNCT"] == [
            x for x in text if x in ".,?!"
        ]
        words = text.replace(",", "").replace("%", " ").rstrip(".?!").split()
        assert [t.text for t in sentence if t.text not in ",.?!%"] == words


def test_a_korean_word_has_one_part_of_speech_where_its_neighbours_do_not_matter():
    found = {}
    for split in SAMPLE_KOREAN().splits().values():
        for token in (token for sentence in split for token in sentence):
            found.setdefault(token.text, set()).add(token.get_label("upos").value)
    several = {word for word, tags in found.items() if len(tags) > 1}
    assert several == {"있다", "한", "했다", "주세요"}  # main verb or auxiliary; one

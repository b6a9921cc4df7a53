"The scripts of Flair's tutorial, word for word but for the imports"

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny_transformers
import torch
from gensim.models import KeyedVectors

from flairnb.data.labels import Dictionary
from flairnb.datasets import SAMPLE_ENGLISH
from flairnb.foundation import sha256_of
from flairnb.models import LanguageModel
from flairnb.saving import read_model_file

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
SCRIPTS, CORPORA = SHARED / "tutorial_7", SHARED / "corpora"
GLOVE = CORPORA / "glove" / "glove.6B.100d.top2717.txt"
FOLDER = Path("resources/taggers/example-upos")
PAGE = ROOT / "nbs" / "tutorials" / "08_training.ipynb"  # the same calls, in our words

needs_corpora = pytest.mark.skipif(
    not (CORPORA / "ud_english").is_dir() or not GLOVE.is_file(),
    reason="no shared/corpora beside the checkout",
)
needs_scripts = pytest.mark.skipif(
    not SCRIPTS.is_dir(), reason="no shared/tutorial_7 beside the checkout"
)
# the published scripts, or where they are not, our page: the name of the test says which
PUBLISHED = SCRIPTS.is_dir()
of_whom = pytest.mark.parametrize(
    "published", [PUBLISHED], ids=["tutorial_7" if PUBLISHED else PAGE.stem]
)

# the page's own slips: what it does not import where it runs it, and a folder
IN_OTHER_BLOCKS = "from flairnb.data import Sentence\nfrom flairnb.models import {}\n"
SLIPS = {
    "1_pos_predict": ("SequenceTagger", "example-pos/", "example-upos/"),
    "4_text_classification_predict": ("TextClassifier", "", ""),
}
CELLS = {
    "1_pos_train": "script-1-train",
    "1_pos_predict": "script-1-predict",
    "2_ner_stacked": "script-2",
    "3_ner_transformer": "script-3",
    "4_text_classification_train": "script-4-train",
    "4_text_classification_predict": "script-4-predict",
    "5_multi_corpus": "script-5",
    "6_plots": "script-6",
    "7_resume": "script-7",
}


@cache
def cells_of_page():
    "Sources of the cells of our page, by name"
    cells = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


def read_script(name, published=PUBLISHED):
    "A script whose imports are changed and whose slips are mended, else our cell"
    if not published:
        return cells_of_page()[CELLS[name]]
    text = (
        (SCRIPTS / f"{name}.py")
        .read_text("utf-8")
        .replace("from flair", "from flairnb")
    )
    if name in SLIPS:
        missing, wrong, right = SLIPS[name]
        text = once(wrong, right, text) if wrong else text
        text = IN_OTHER_BLOCKS.format(missing) + text
    return text


def with_plots(published=PUBLISHED):
    "The script of several corpora with weights and pictures, of which the page has a sketch"
    training, sketch = (
        read_script(x, published) for x in ("5_multi_corpus", "6_plots")
    )
    if not published:
        return training + "\n" + sketch
    wanted, lines = sketch.split("# 가시화하기\n")
    (argument,) = re.findall(r"(?m)^write_weights = True,$", wanted)
    return once(r"max_epochs=150,", f"max_epochs=150, {argument}", training) + lines


def make_mirror(mirror, vectors, note):
    "A mirror with vectors under GloVe's name, and whatever else is there as stand-ins"
    target = mirror / "embeddings" / "token" / "glove.gensim"
    target.parent.mkdir(parents=True)
    vectors.save(str(target), separately=["vectors"], sep_limit=0)
    files = [p for p in mirror.rglob("*") if p.is_file()]
    (mirror / "corpora").is_dir() or (mirror / "corpora").symlink_to(CORPORA)
    entries = {
        path.relative_to(mirror).as_posix(): {
            "size": path.stat().st_size,
            "sha256": sha256_of(path),
            "note": note,
        }
        for path in files
    }
    (mirror / "manifest.json").write_text(json.dumps(entries))


@pytest.fixture
def work(tmp_path):
    "An empty folder to work in, and a mirror with the head of GloVe under its name"
    vectors = KeyedVectors.load_word2vec_format(str(GLOVE), no_header=True)
    make_mirror(tmp_path / "mirror", vectors, "the first words of GloVe 6B")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def small_work(tmp_path):
    "The same with nothing but what ships: its sentences as a treebank, random vectors"
    corpus = SAMPLE_ENGLISH()
    write_treebank(corpus, tmp_path / "mirror" / "corpora" / "ud_english", "en_ewt")
    make_language_models(tmp_path / "mirror")
    vectors = random_vectors(corpus.train)
    make_mirror(tmp_path / "mirror", vectors, "what ships with flairnb")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def write_treebank(corpus, folder, code):
    "A corpus in the files of a treebank"
    folder.mkdir(parents=True)
    for name, split in corpus.splits().items():
        with open(folder / f"{code}-ud-{name}.conllu", "w", encoding="utf-8") as file:
            for sentence in split:
                for place, token in enumerate(sentence, start=1):
                    tag = token.get_label("upos").value
                    print(place, token.text, "_", tag, *"______", sep="\t", file=file)
                print(file=file)


@pytest.fixture
def news_work(tmp_path):
    "The same with 60 sentences of what ships as the news of CoNLL, and tiny transformers"
    mirror, corpus = tmp_path / "mirror", SAMPLE_ENGLISH()
    write_conll_03(corpus, mirror / "corpora" / "conll_03", sentences=20)
    make_language_models(mirror)
    name = "xlm-roberta-large"
    tiny_transformers.make(mirror / "transformers" / name, "xlm-roberta", limit=64)
    make_mirror(mirror, random_vectors(corpus.train), "made by the test")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def write_conll_03(corpus, folder, sentences):
    "The first sentences with names of each split, in the files of CoNLL 2003"
    folder.mkdir(parents=True)
    files = {"train": "eng.train", "dev": "eng.testa", "test": "eng.testb"}
    for name, split in corpus.splits().items():
        lines = ["-DOCSTART- -X- O O", ""]
        named = [sentence for sentence in split if sentence.get_spans("ner")]
        for sentence in named[:sentences]:
            tags = {
                token.idx: f"I-{span.tag}"
                for span in sentence.get_spans("ner")
                for token in span
            }
            lines += [f"{t.text} X I-X {tags.get(t.idx, 'O')}" for t in sentence]
            lines.append("")
        (folder / files[name]).write_text("\n".join(lines), encoding="utf-8")


def random_vectors(sentences):
    words = sorted({token.text.lower() for s in sentences for token in s})
    vectors = KeyedVectors(100)
    numbers = np.random.default_rng(0).normal(size=(len(words), 100))
    vectors.add_vectors(words, numbers.astype(np.float32))
    return vectors


def make_language_models(mirror, name="news-{}-0.4.1.pt"):
    "Small random models where the published ones would be"
    characters = Dictionary.of(["\n", *map(chr, range(32, 127))])
    for is_forward, way in ((True, "forward"), (False, "backward")):
        torch.manual_seed(is_forward)
        model = LanguageModel(characters, is_forward, 16, 1, embedding_size=8)
        target = mirror / "embeddings" / "flair" / name.format(way)
        target.parent.mkdir(parents=True, exist_ok=True)
        model.save(target)


def run(code, work, epochs=None, mirror=True):
    "Run a program in a folder of its own; each `train` makes so many epochs at most"
    cap = {"FLAIRNB_MAX_EPOCHS": str(epochs)} if epochs else {}
    variables = (
        os.environ
        | cap
        | {
            "FLAIRNB_CACHE_ROOT": str(work.parent / "cache"),
            "FLAIRNB_MIRRORS": str(work.parent / "mirror") if mirror else "",
            "FLAIRNB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONIOENCODING": "utf-8",
        }
    )
    script = work.parent / "script.py"
    script.write_text(code, encoding="utf-8")
    command = [sys.executable, str(script)]
    return subprocess.run(
        command, cwd=work, env=variables, timeout=600, capture_output=True, text=True
    )


def once(pattern, new, text):
    "Change one place of a script; a script that lacks it is another script"
    changed, count = re.subn(pattern, new, text)
    assert count == 1, pattern
    return changed


def check(training, prediction, work, epochs, sizes=(1254, 200, 208), tags=17):
    done = run(training, work, epochs)
    assert done.returncode == 0, done.stderr
    corpus, labels = done.stdout.splitlines()
    shown = "Corpus: {} train + {} dev + {} test sentences"
    assert corpus == shown.format(*sizes)
    assert labels.startswith(f"Dictionary with {tags} tags: NOUN")
    names = {path.name for path in (work / FOLDER).iterdir()}
    models = {"best-model.pt", "final-model.pt"}
    assert names == models | {"dev.tsv", "loss.tsv", "test.tsv", "training.log"}
    rows = [
        x.split("\t") for x in (work / FOLDER / "loss.tsv").read_text().splitlines()
    ]
    assert len(rows) == 1 + epochs
    scores = [float(row[rows[0].index("DEV_F1")]) for row in rows[1:]]
    assert max(scores) > 3 / tags
    sentences = (work / FOLDER / "test.tsv").read_text().strip().split("\n\n")
    assert len(sentences) == sizes[-1]
    assert all(len(line.split(" ")) == 3 for s in sentences for line in s.split("\n"))
    assert "glove.gensim" in done.stderr and "a stand-in: " in done.stderr
    said = run(prediction, work)
    assert said.returncode == 0, said.stderr
    (line,) = said.stdout.splitlines()
    tagged = re.fullmatch(
        r'Sentence\[3\]: "I love Berlin" → \["I"/(\w+), "love"/(\w+), "Berlin"/(\w+)\]',
        line,
    )
    assert tagged and set(tagged.groups()) <= set(labels.split(": ")[1].split(", "))
    return tagged.groups()


@needs_corpora
@of_whom
def test_the_script_of_the_tutorial(work, published):
    scripts = [read_script(x, published) for x in ("1_pos_train", "1_pos_predict")]
    check(*scripts, work, epochs=2)


def test_the_same_calls_in_our_words_with_what_ships(small_work):
    ours = [read_script(x, False) for x in ("1_pos_train", "1_pos_predict")]
    splits = SAMPLE_ENGLISH().splits().values()
    sizes = tuple(round(len(split) * 0.1) for split in splits)
    check(*ours, small_work, 2, sizes, tags=16)


@needs_scripts
@pytest.mark.parametrize("name", CELLS)
def test_our_words_make_the_same_calls(name):
    "So that what runs without the shared folder is the tutorial, too"

    def calls(code):
        nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call)]
        return sorted(
            (ast.unparse(n.func), sorted(k.arg for k in n.keywords)) for n in nodes
        )

    if name == "6_plots":
        theirs, ours = (calls(with_plots(x)) for x in (True, False))
        ours.remove(next(x for x in ours if x[0] == "trainer.train"))  # it trains twice
    else:
        theirs, ours = (calls(read_script(name, x)) for x in (True, False))
    assert theirs == ours


@needs_scripts
@pytest.mark.parametrize("name", [name for name in CELLS if name != "6_plots"])
def test_our_words_give_the_same_values(name):
    "Numbers, names and switches; what is commented out or printed may differ"

    def values(code):
        nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.keyword)]
        return sorted((n.arg, ast.unparse(n.value)) for n in nodes)

    assert values(read_script(name, True)) == values(read_script(name, False))


@pytest.mark.skipif(
    "FLAIRNB_SLOW_TESTS" not in os.environ, reason="slow: set FLAIRNB_SLOW_TESTS=1"
)
@needs_corpora
@of_whom
def test_ten_epochs_know_that_love_is_a_verb(work, published):
    scripts = [read_script(x, published) for x in ("1_pos_train", "1_pos_predict")]
    assert check(*scripts, work, epochs=10) == ("PRON", "VERB", "PROPN")


@of_whom
def test_without_files_the_script_says_what_is_missing(tmp_path, published):
    (tmp_path / "work").mkdir()
    code = read_script("1_pos_train", published)
    done = run(code, tmp_path / "work", epochs=1, mirror=False)
    assert done.returncode == 1
    assert "en_ewt-ud-train.conllu" in done.stderr and "FLAIRNB_OFFLINE" in done.stderr
    assert not list((tmp_path / "work").iterdir())


@of_whom
def test_a_capped_run_says_that_it_is_capped(tweet_work, published):
    done = run(
        read_script("7_resume", published).split("checkpoint = ")[0], tweet_work, 1
    )
    assert done.returncode == 0, done.stderr
    said = "FLAIRNB_MAX_EPOCHS=1: training ends after epoch 1, not 10"
    log = (tweet_work / "resources/taggers/example-ner/loss.tsv").read_text()
    assert said in done.stderr and len(log.splitlines()) == 2


# --- the commented lines of the first script, and the scripts for named entities ---

RELOADED = """
from flairnb.data import Sentence
from flairnb.datasets import CONLL_03, UD_ENGLISH
from flairnb.models import SequenceTagger

folder = FOLDER
corpus = CORPUS
best = SequenceTagger.load(f"{folder}/best-model.pt")
best.evaluate(corpus.test, LABEL, out_path="again.tsv", mini_batch_size=BATCH)
final = SequenceTagger.load(f"{folder}/final-model.pt")
result = final.evaluate(corpus.dev, LABEL, mini_batch_size=BATCH)
print(result.loss, result.main_score)
sentence = Sentence("George Washington went to Washington")
final.predict(sentence)
print(sentence.to_tagged_string())
"""


def run_and_load(training, work, folder, corpus, label, batch):
    "Two epochs of a script; then a fresh process must get the same out of its files"
    done = run(training, work, epochs=2)
    assert done.returncode == 0, done.stderr
    folder = Path("resources/taggers") / folder
    names = {path.name for path in (work / folder).iterdir()}
    models = {"best-model.pt", "final-model.pt"}
    assert names == models | {"dev.tsv", "loss.tsv", "test.tsv", "training.log"}
    code = RELOADED.replace("FOLDER", repr(folder.as_posix())).replace("CORPUS", corpus)
    again = run(code.replace("LABEL", repr(label)).replace("BATCH", str(batch)), work)
    assert again.returncode == 0, again.stderr
    assert (work / "again.tsv").read_text() == (work / folder / "test.tsv").read_text()
    scores, tagged = again.stdout.splitlines()
    header, *rows = (
        x.split("\t") for x in (work / folder / "loss.tsv").read_text().splitlines()
    )
    last = dict(zip(header, rows[-1], strict=True))
    loss, score = map(float, scores.split())
    assert loss == pytest.approx(float(last["DEV_LOSS"]), rel=1e-4)
    assert score == pytest.approx(float(last["DEV_F1"]), abs=1e-9)
    assert tagged.startswith('Sentence[5]: "George Washington went to Washington"')
    return done, [dict(zip(header, row, strict=True)) for row in rows]


@of_whom
def test_the_commented_lines_of_the_first_script(small_work, published):
    training = read_script("1_pos_train", published)
    lines = ("CharacterEmbeddings", "FlairEmbeddings", "FlairEmbeddings")
    training, count = re.subn(r"# (\w+Embeddings\()", r"\1", training)
    assert count == len(lines)
    # the page's own slip: it does not import what it has commented out
    missing = "from flairnb.embeddings import CharacterEmbeddings, FlairEmbeddings\n"
    corpus = "UD_ENGLISH().downsample(0.1)"
    where = ("example-upos", corpus, "upos", 32)
    done, rows = run_and_load(missing + training, small_work, *where)
    shown, labels = done.stdout.splitlines()
    sizes = [round(len(x) * 0.1) for x in SAMPLE_ENGLISH().splits().values()]
    assert shown == "Corpus: {} train + {} dev + {} test sentences".format(*sizes)
    assert labels.startswith("Dictionary with 16 tags: NOUN")
    for name in ("glove.gensim", "news-forward-0.4.1.pt", "news-backward-0.4.1.pt"):
        assert re.search(f"taking .*{re.escape(name)} .*a stand-in: ", done.stderr)
    assert len(rows) == 2


@of_whom
def test_the_script_of_stacked_embeddings(news_work, published):
    training = read_script("2_ner_stacked", published)
    where = ("sota-ner-flair", "CONLL_03()", "ner", 32)
    done, rows = run_and_load(training, news_work, *where)
    shown, labels = done.stdout.splitlines()
    assert shown == "Corpus: 20 train + 20 dev + 20 test sentences"
    tags = set(labels.removeprefix("Dictionary with 4 tags: ").split(", "))
    assert tags == {"PER", "LOC", "ORG", "MISC"}
    assert [row["LEARNING_RATE"] for row in rows] == ["0.1", "0.1"]
    log = (news_work / "resources/taggers/sota-ner-flair/training.log").read_text()
    assert "mini_batch_size: 32" in log and "optimizer: SGD" in log


@of_whom
def test_the_script_of_transformers(news_work, published):
    training = read_script("3_ner_transformer", published)
    where = ("sota-ner-flert", "CONLL_03()", "ner", 4)
    done, rows = run_and_load(training, news_work, *where)
    shown, labels = done.stdout.splitlines()
    assert shown == "Corpus: 20 train + 20 dev + 20 test sentences"
    assert labels.startswith("Dictionary with 4 tags: ")
    rates = [float(row["LEARNING_RATE"]) for row in rows]  # at the start of an epoch
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=5e-6)
    made = {"steps_per_epoch": 20 // 4 + 1, "pct_start": 0.0, "cycle_momentum": False}
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-6, epochs=2, **made)
    assert rates[0] == pytest.approx(optimizer.param_groups[0]["lr"])
    for _ in range(5):
        optimizer.step()
        cycle.step()
    assert rates[1] == pytest.approx(optimizer.param_groups[0]["lr"])
    log = (news_work / "resources/taggers/sota-ner-flert/training.log").read_text()
    for part in ("optimizer: AdamW", "scheduler: OneCycleLR", "chunk_size: 1"):
        assert part in log


# --- classes of texts, and two corpora at once ---

QUESTIONS = {
    "HUM:ind": "Who built the {} ?",
    "LOC:city": "Where is the {} ?",
    "NUM:date": "When was the {} built ?",
    "DESC:def": "What is a {} ?",
}
THINGS = "tower bridge harbour museum castle library station palace".split()


@pytest.fixture
def question_work(tmp_path):
    "Questions in the files of TREC, and a tiny transformer under DistilBERT's name"
    mirror = tmp_path / "mirror"
    folder = mirror / "corpora" / "trec_6"
    folder.mkdir(parents=True)
    lines = [f"{k} {q.format(x)}\n" for x in THINGS for k, q in QUESTIONS.items()]
    (folder / "train_5500.label").write_text("".join(lines[:24]), encoding="latin-1")
    (folder / "TREC_10.label").write_text("".join(lines[24:]), encoding="latin-1")
    name = "distilbert-base-uncased"
    tiny_transformers.make(mirror / "transformers" / name, "distilbert", limit=64)
    make_mirror(mirror, KeyedVectors(2), "made by the test")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@of_whom
def test_the_scripts_of_text_classification(question_work, published):
    done = run(read_script("4_text_classification_train", published), question_work, 2)
    assert done.returncode == 0, done.stderr
    folder = (
        question_work / "resources/taggers/question-classification-with-transformer"
    )
    names = {path.name for path in folder.iterdir()}
    models = {"best-model.pt", "final-model.pt"}
    assert names == models | {"dev.tsv", "loss.tsv", "test.tsv", "training.log"}
    assert len((folder / "loss.tsv").read_text().splitlines()) == 3
    assert "scheduler: OneCycleLR" in (folder / "training.log").read_text()
    assert "Who built the station ?" in (folder / "test.tsv").read_text()
    said = run(read_script("4_text_classification_predict", published), question_work)
    assert said.returncode == 0, said.stderr
    (line,) = said.stdout.splitlines()
    shown = (
        r"\['Sentence\[6\]: \"Who built the Eiffel Tower \?\"'/'(\w+)' \([01]\.\d+\)\]"
    )
    found = re.fullmatch(shown, line)
    assert found and found[1] in {name.split(":")[0] for name in QUESTIONS}, line


@pytest.fixture
def two_treebanks_work(tmp_path):
    "What ships as an English and as a German treebank, small language models"
    mirror, corpus = tmp_path / "mirror", SAMPLE_ENGLISH()
    for folder, code in (("ud_english", "en_ewt"), ("ud_german", "de_gsd")):
        write_treebank(corpus, mirror / "corpora" / folder, code)
    make_language_models(mirror, "lm-jw300-{}-v0.1.pt")
    make_mirror(mirror, KeyedVectors(2), "made by the test")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@of_whom
def test_the_script_of_several_corpora(two_treebanks_work, published):
    done = run(read_script("5_multi_corpus", published), two_treebanks_work, epochs=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Dictionary with 17 tags: NOUN")
    folder = two_treebanks_work / "resources/taggers/example-universal-pos"
    assert len((folder / "loss.tsv").read_text().splitlines()) == 3
    sizes = [round(2 * len(x) * 0.1) for x in SAMPLE_ENGLISH().splits().values()]
    shown = "Corpus: {} train + {} dev + {} test sentences".format(*sizes)
    assert shown in (folder / "training.log").read_text()
    code = RELOADED.split("best = ")[0].replace("FOLDER", repr(str(folder)))
    code = (
        code.replace("CORPUS", "None")
        + """
final = SequenceTagger.load(f"{folder}/final-model.pt")
sentence = Sentence("George Washington went to Washington")
final.predict(sentence)
print(sentence.to_tagged_string())
"""
    )
    said = run(code, two_treebanks_work)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith('Sentence[5]: "George Washington went to Washington"')


# --- curves, and a run that is stopped and taken up again ---


@of_whom
def test_the_script_of_the_curves(two_treebanks_work, published):
    "Bare names of files, as the page has them: the newest run below is meant"
    done = run(with_plots(published), two_treebanks_work, epochs=2)
    assert done.returncode == 0, done.stderr
    folder = two_treebanks_work / "resources/taggers/example-universal-pos"
    assert {"loss.tsv", "weights.txt"} <= {path.name for path in folder.iterdir()}
    for name in ("training.png", "weights.png"):
        assert (folder / name).read_bytes()[1:4] == b"PNG"
    rows = (folder / "weights.txt").read_text().splitlines()
    assert all(len(row.split("\t")) == 4 for row in rows)


NAMES = "Ada Bob Cid Dora Emma Fay Gus Hal".split()


@pytest.fixture
def tweet_work(tmp_path):
    "Made sentences in the files of WNUT 17"
    folder = tmp_path / "mirror" / "corpora" / "wnut_17"
    folder.mkdir(parents=True)
    files = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
    for name, count in zip(files, (200, 60, 60), strict=True):
        draw, lines = np.random.default_rng(count), []
        for who in draw.choice(NAMES, count):
            lines += [f"{who}\tB-person", "Lee\tI-person", "ran\tO", "home\tO", ""]
        (folder / name).write_text("\n".join(lines))
    vectors = KeyedVectors(100)
    words = [*(name.lower() for name in NAMES), "lee", "ran", "home"]
    numbers = np.random.default_rng(0).normal(size=(len(words), 100))
    vectors.add_vectors(words, numbers.astype(np.float32))
    make_mirror(tmp_path / "mirror", vectors, "made by the test")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@of_whom
def test_the_script_of_checkpoints(tweet_work, published):
    seed = "import flairnb\nflairnb.set_seed(1)\n"  # so that two runs can be compared
    script = seed + read_script("7_resume", published)
    done = run(script, tweet_work, epochs=2)
    assert done.returncode == 0, done.stderr
    folder = tweet_work / "resources/taggers/example-ner"
    names = {path.name for path in folder.iterdir()}
    models = {"best-model.pt", "final-model.pt", "checkpoint.pt"}
    assert names == models | {"dev.tsv", "loss.tsv", "test.tsv", "training.log"}
    losses = (folder / "loss.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in losses] == ["EPOCH", *"1234"]
    # the same without a stop
    first, _ = script.split("checkpoint = ")
    (tweet_work / "whole").mkdir()
    folders = once("resources/taggers/example-ner", "whole/example-ner", first)
    done = run(folders, tweet_work, epochs=4)
    assert done.returncode == 0, done.stderr
    ends = [
        read_model_file(path / "final-model.pt").tensors
        for path in (folder, tweet_work / "whole/example-ner")
    ]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])

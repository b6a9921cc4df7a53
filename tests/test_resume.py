"Runs that were stopped go on as if nothing had happened, to the bit, or say why not"

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_transformers
import torch
from test_language_model_trainer import same
from test_trainer import TEXTS, corpus_of, read, sentences_of, table, tagger_for
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import (
    CharacterEmbeddings,
    DocumentRNNEmbeddings,
    FlairEmbeddings,
    StackedEmbeddings,
    TransformerWordEmbeddings,
    WordEmbeddings,
)
from flairnb.foundation import default_device
from flairnb.models import SequenceTagger, TextClassifier
from flairnb.saving import ModelFileError, read_model_file
from flairnb.trainers import ModelTrainer, checkpoints
from flairnb.trainers.checkpoints import data_fingerprint, read_checkpoint
from flairnb.trainers.history import Plugin, TrainingInterrupt
from flairnb.trainers.schedules import LinearSchedulerWithWarmup

# --- equal to the bit ---

SLOW = "FLAIRNB_SLOW_TESTS" in os.environ
TIMES, EPOCHS = (4, 4) if SLOW else (3, 2)  # of each sentence in train; in a run


def words_of(size=5, **chosen):
    words = sorted({word for text in TEXTS for word in text.split()})
    matrix = np.random.default_rng(0).normal(size=(len(words), size))
    return WordEmbeddings.from_vectors(words, matrix, **chosen)


def tagger_on(*embeddings, **chosen):
    torch.manual_seed(1)
    labels, stack = Dictionary.of(["NAME", "WORD"]), StackedEmbeddings(embeddings)
    return SequenceTagger(stack, labels, "upos", **{"hidden_size": 4} | chosen)


def classes():
    sentences = [Sentence(text) for text in TEXTS * TIMES]
    for sentence in sentences:
        kind = "short" if len(sentence) < 3 else "long"
        sentence.add_label("size", kind)
    splits = (sentences, sentences[:4], sentences[2:6])
    return Corpus(*splits, name="sizes", sample_missing_splits=False)


def words_case(folder):
    "The tagger of the tutorial's script on checkpoints, its words trained as well"
    model = tagger_on(words_of(fine_tune=True), use_crf=True)
    return model, corpus_of(TEXTS * TIMES), {"write_weights": True, "patience": 0}


def characters_case(folder, mode):
    models = [FlairEmbeddings(f"mini-{way}") for way in ("forward", "backward")]
    model = tagger_on(CharacterEmbeddings(None, 3, 3), *models)
    chosen = {"embeddings_storage_mode": mode, "weight_decay": 0.01}
    return model, corpus_of(TEXTS * TIMES), chosen | {"optimizer": torch.optim.AdamW}


def transformer_case(folder):
    path = folder / "bert"
    if not path.is_dir():
        tiny_transformers.make(path, "bert", limit=64)
    vectors = TransformerWordEmbeddings(str(path), layers="-1", fine_tune=True)
    chosen = {"use_rnn": False, "use_crf": False, "reproject_embeddings": False}
    model = tagger_on(vectors, **chosen)
    given = {"optimizer": torch.optim.AdamW, "scheduler": OneCycleLR}
    given |= {"mini_batch_chunk_size": 3, "learning_rate": 1e-3, "weight_decay": 0.0}
    return model, corpus_of(TEXTS * TIMES), given | {"embeddings_storage_mode": "none"}


def classifier_case(folder):
    torch.manual_seed(1)
    vectors = DocumentRNNEmbeddings([words_of()], hidden_size=4, dropout=0.3)
    labels = Dictionary.of(["short", "long"])
    model = TextClassifier(vectors, "size", labels)
    given = {"scheduler": LinearSchedulerWithWarmup, "momentum": 0.9}
    return model, classes(), given | {"learning_rate": 0.01}


CASES = {
    "words": words_case,
    "characters in memory": lambda folder: characters_case(folder, "cpu"),
    "characters on disk": lambda folder: characters_case(folder, "disk"),
    "transformer": transformer_case,
    "classifier": classifier_case,
}
ALL = {"mini_batch_size": 8, "max_epochs": EPOCHS, "seed": 3, "checkpoint_every": 1}
PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
from test_resume import resume_all
for case in sys.argv[3:]:
    resume_all(f"{sys.argv[2]}/{case}", case)
"""


def resume_all(folder, case):
    "What a new process does: go on from each place where a run was stopped"
    folder, checkpoints.BESIDE = Path(folder), 1
    for place in sorted((folder / "stopped").iterdir()):
        _, corpus, _ = CASES[case](folder)  # what was drawn before must not matter
        torch.rand(7)
        trainer = ModelTrainer.load_checkpoint(place / "run" / "checkpoint.pt", corpus)
        trainer.train(place / "run")


def plain_state(run):
    "The last checkpoint, but for times and what hangs on them"
    state = read_checkpoint(run / "checkpoint.pt")
    for row in state["history"]:
        row.pop("TIMESTAMP")
    for name in ("started", "seconds"):
        state["progress"].pop(name)
    state.pop("files")  # lengths of files that hold times
    return state


def plain_log(run):
    text = (run / "training.log").read_text()
    text = re.sub(r"(?m)^[\d-]+ [\d:,]+ ", "", text)
    return re.sub(r"tokens/sec: [\d.]+", "", text)


def plain_files(run):
    "All other files of a run: tensors of models, and text without times"
    found = {}
    for path in run.iterdir():
        if path.suffix == ".pt" and path.name != "checkpoint.pt":
            stored = read_model_file(path)
            stored.config.get("training", {}).pop("times", None)
            found[path.name] = stored.tensors, stored.config
        elif path.name == "loss.tsv":
            rows = table(path)
            found[path.name] = [r | {"TIMESTAMP": ""} for r in rows]
        elif path.name not in ("checkpoint.pt", "training.log"):
            found[path.name] = path.read_text()
    return found


def note_stops(folder, patch):
    "Copy the folder of a run whenever a checkpoint was written, with what a dead run adds"
    from flairnb.trainers import trainer as page

    write, places = page.write_run, folder / "stopped"
    places.mkdir(parents=True)

    def copied(run):
        write(run)
        place = places / f"{len(list(places.iterdir())):03d}" / "run"
        shutil.copytree(run.folder, place)
        (place / ".training.lock").unlink()
        (place / ".best-model.pt.tmp-1-1").write_text("half")
        for name in ("training.log", "weights.txt", "loss.tsv"):
            if (place / name).exists():
                with open(place / name, "a") as file:
                    file.write("what came after it\nand is cut sho")

    patch.setattr(page, "write_run", copied)


def run_whole(folder, case):
    "A run that is not stopped, with a copy of its folder after each step"
    folder = Path(folder)
    with pytest.MonkeyPatch.context() as patch:
        note_stops(folder, patch)
        patch.setattr(checkpoints, "BESIDE", 1)  # so that small parts count
        model, corpus, chosen = CASES[case](folder)
        assert model.device.type == default_device().type
        ModelTrainer(model, corpus).train(folder / "run", **(ALL | chosen))


def check_all_went_on(folder, apart=()):
    "From each step to the same state, files and log; some parts of the state may differ"
    whole, places = folder / "run", sorted((folder / "stopped").iterdir())
    count = TIMES * len(TEXTS)
    assert len(places) == 1 + EPOCHS * -(-count // 8)  # the start, and each step
    state, files = plain_state(whole), plain_files(whole)
    for place in places:
        found = plain_state(place / "run")
        for part in state:
            if part not in apart:
                assert same(found[part], state[part]), f"{part} after step {place.name}"
        again = plain_files(place / "run")
        assert again.keys() == files.keys()
        for name in files:
            assert same(again[name], files[name]), f"{name} after step {place.name}"
        assert plain_log(place / "run") == plain_log(whole)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    "A whole run of each case, and runs that a new process took up from each of its steps"
    top = tmp_path_factory.mktemp("cases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLAIRNB_CACHE_ROOT", str(top / "cache"))
        for case in CASES:
            run_whole(top / case, case)
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", PROCESS, here, str(top), *CASES]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return top


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_to_the_bit_from_any_step(case, stopped):
    check_all_went_on(stopped / case)


FIXED = {"characters in memory", "characters on disk", "classifier"}


@pytest.mark.parametrize("case", CASES)
def test_what_never_changes_stands_beside_the_checkpoint_once(case, stopped):
    runs = [place / "run" for place in sorted((stopped / case / "stopped").iterdir())]
    names = [{p.name for p in run.glob("checkpoint.fixed-*.pt")} for run in runs]
    assert len(names[0]) == (case in FIXED)
    assert all(found == names[0] for found in names)


def test_the_cases_learn_something(tmp_path):
    "So that equal bits are not those of a model that stood still"
    for name in ("words", "classifier"):
        model, corpus, chosen = CASES[name](tmp_path)
        before = [p.detach().clone() for p in model.parameters()]
        ModelTrainer(model, corpus).train(tmp_path / name, **(ALL | chosen))
        moved = [
            not torch.equal(a, b)
            for a, b in zip(before, model.parameters(), strict=False)
            if a.shape == b.shape
        ]
        assert any(moved)


# --- who goes on, and with what ---

FEW = {"mini_batch_size": 8, "max_epochs": 2, "seed": 1, "checkpoint": True}


def first_part(folder, corpus=None, model=None, **chosen):
    corpus = corpus or corpus_of()
    model = model or tagger_for(corpus)
    trainer = ModelTrainer(model, corpus)
    return trainer.train(folder, **(FEW | chosen))


def going_on(folder, corpus=None):
    return ModelTrainer.load_checkpoint(folder / "checkpoint.pt", corpus or corpus_of())


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_max_epochs_is_the_total(tmp_path):
    first_part(tmp_path / "run")
    found = going_on(tmp_path / "run").train(tmp_path / "run", max_epochs=5)
    assert len(found["train_loss_history"]) == 5
    rows = table(tmp_path / "run" / "loss.tsv")
    assert [row["EPOCH"] for row in rows] == list("12345")
    first_part(tmp_path / "whole", max_epochs=5)
    ends = [read(tmp_path / x / "final-model.pt") for x in ("run", "whole")]
    assert torch.equal(*map(weights_of, ends))


def test_a_run_that_is_over_is_tested_again(tmp_path):
    first = first_part(tmp_path)
    again = going_on(tmp_path).train(tmp_path, max_epochs=2)
    assert again == first


def test_resume_as_in_flair_0_12(tmp_path):
    first_part(tmp_path / "run")
    whole = first_part(tmp_path / "whole", max_epochs=4)
    for name in ("file", "model", "other"):
        shutil.copytree(tmp_path / "run", tmp_path / name)
    trainer = ModelTrainer(tagger_for(corpus_of()), corpus_of())
    by_file = trainer.resume(tmp_path / "file" / "checkpoint.pt", max_epochs=4)
    model = going_on(tmp_path / "model").model
    by_model = trainer.resume(model, additional_epochs=2)
    for found in (by_file, by_model):
        assert found["train_loss_history"] == whole["train_loss_history"]
    with pytest.raises(ValueError, match="not read from a checkpoint"):
        trainer.resume(tagger_for(corpus_of()))


def test_a_better_model_of_the_first_part_survives(tmp_path):
    first_part(tmp_path)
    before = (tmp_path / "best-model.pt").read_bytes()
    best = read(tmp_path / "best-model.pt")
    assert set(best.training_card["scores"]) == {"dev", "test"}
    trainer = going_on(tmp_path)
    evaluate = trainer.model.evaluate

    def worse(*args, **chosen):
        result = evaluate(*args, **chosen)
        result.main_score = 0.01
        return result

    trainer.model.evaluate = worse
    trainer.train(tmp_path, max_epochs=4)
    assert (tmp_path / "best-model.pt").read_bytes() == before
    assert torch.equal(weights_of(best), weights_of(trainer.model))


@pytest.mark.parametrize("how", ["missing", "another", "kept"])
def test_the_best_model_of_the_checkpoint_is_looked_for(tmp_path, how):
    first_part(tmp_path)
    best, kept = tmp_path / "best-model.pt", tmp_path / ".best-model.pt.kept"
    whole = best.read_bytes()
    if how == "kept":  # killed after a better one was written
        kept.write_bytes(whole)
    if how == "missing":
        best.unlink()
    else:
        best.write_bytes((tmp_path / "final-model.pt").read_bytes())
    if how == "kept":
        going_on(tmp_path).train(tmp_path)
        assert best.read_bytes() == whole and not kept.exists()
        return
    what = "missing" if how == "missing" else "another one"
    with pytest.raises(ValueError, match=rf"best-model\.pt is {what}"):
        going_on(tmp_path).train(tmp_path)
    found = going_on(tmp_path).train(tmp_path, max_epochs=3, override=["best_model"])
    assert read(best).training_card["epochs"] == 3 == len(found["dev_score_history"])


SAID = [
    ({"learning_rate": 0.1}, "learning_rate is 0.2 in the checkpoint, 0.1 now"),
    ({"mini_batch_size": 4}, "mini_batch_size is 8 in the checkpoint, 4 now"),
    ({"seed": 2}, "seed is 1 in the checkpoint, 2 now"),
    ({"optimizer": torch.optim.Adam}, "optimizer is 'SGD' in the checkpoint, 'Adam'"),
    ({"scheduler": OneCycleLR}, "scheduler is 'AnnealOnPlateau' in the checkpoint"),
    ({"momentum": 0.5}, "momentum is 0.9 in the checkpoint, 0.5 now"),
    ({"weight_decay": 0.5}, "weight_decay is None in the checkpoint, 0.5 now"),
    ({"patience": 1, "shuffle": False}, "patience is 3 .*shuffle is True"),
]


@pytest.mark.parametrize(("said", "message"), SAID)
def test_a_contradiction_is_refused_with_both_values(tmp_path, said, message):
    first_part(tmp_path, learning_rate=0.2, momentum=0.9)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=message.replace("'", ".")) as caught:
        going_on(tmp_path).train(tmp_path, max_epochs=4, **said)
    for name in said:
        assert repr(name) in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    found = going_on(tmp_path).train(
        tmp_path, max_epochs=4, **said, override=list(said)
    )
    assert len(found["train_loss_history"]) == 4


def test_what_is_not_said_comes_from_the_checkpoint(tmp_path):
    given = {"learning_rate": 0.2, "patience": 0, "momentum": 0.9, "monitor_test": True}
    first_part(tmp_path, **given)
    going_on(tmp_path).train(tmp_path, max_epochs=3)
    kept = read_checkpoint(tmp_path / "checkpoint.pt")["arguments"]
    assert {name: kept[name] for name in ("learning_rate", "patience")} == {
        "learning_rate": 0.2,
        "patience": 0,
    }
    assert kept["optimizer_arguments"] == {"momentum": 0.9}
    assert "TEST_LOSS" in table(tmp_path / "loss.tsv")[2]


def test_an_overridden_learning_rate_holds_from_now_on(tmp_path):
    first_part(tmp_path, learning_rate=0.2)
    chosen = {"learning_rate": 0.05, "override": ["learning_rate"]}
    going_on(tmp_path).train(tmp_path, max_epochs=4, **chosen)
    rates = [float(row["LEARNING_RATE"]) for row in table(tmp_path / "loss.tsv")]
    assert rates == [0.2, 0.2, 0.05, 0.05]


def test_a_schedule_is_laid_over_more_epochs_only_on_demand(tmp_path):
    given = {"scheduler": LinearSchedulerWithWarmup, "warmup_fraction": 0.0}
    first_part(tmp_path, max_epochs=2, **given)
    with pytest.raises(ValueError, match="max_epochs is 2 in the checkpoint, 4 now"):
        going_on(tmp_path).train(tmp_path, max_epochs=4)
    going_on(tmp_path).train(tmp_path, max_epochs=4, override=["max_epochs"])
    rates = [float(row["LEARNING_RATE"]) for row in table(tmp_path / "loss.tsv")]
    assert rates == pytest.approx([0.1, 0.05, 0.05, 0.025])  # 0, 1 of 2; 2, 3 of 4


def stepwise(optimizer, steps):
    return StepLR(optimizer, 2)


def test_a_schedule_of_ones_own_has_to_be_given_again(tmp_path):
    first_part(tmp_path, scheduler=stepwise)
    with pytest.raises(ValueError, match="scheduler=stepwise: give it again"):
        going_on(tmp_path).train(tmp_path)
    going_on(tmp_path).train(tmp_path, scheduler=stepwise)


def test_fine_tune_goes_on_as_well(tmp_path):
    corpus = corpus_of()
    trainer = ModelTrainer(tagger_for(corpus), corpus)
    stop = [StopIn(2)]
    trainer.fine_tune(tmp_path, learning_rate=0.01, plugins=stop, checkpoint=True)
    found = going_on(tmp_path).fine_tune(tmp_path)
    assert len(found["train_loss_history"]) == 10


class StopIn(Plugin):
    def __init__(self, epoch):
        self.epoch = epoch

    def after_training_batch(self, moment):
        if moment.epoch == self.epoch:
            raise TrainingInterrupt("enough")


def test_batches_can_only_change_between_epochs(tmp_path):
    stop = [StopIn(2)]
    first_part(tmp_path, checkpoint_every=1, max_epochs=9, plugins=stop)
    chosen = {"mini_batch_size": 4, "override": ["mini_batch_size"]}
    assert read_checkpoint(tmp_path / "checkpoint.pt")["progress"]["batch"] == 0
    first_part(tmp_path, checkpoint_every=2, max_epochs=9, plugins=[StopAt(2, 2)])
    with pytest.raises(ValueError, match="stands at batch 1 of epoch 2"):
        going_on(tmp_path).train(tmp_path, **chosen)


class StopAt(Plugin):
    def __init__(self, epoch, batch):
        self.where = epoch, batch

    def before_training_batch(self, moment):
        if (moment.epoch, moment.batch_no) == self.where:
            raise TrainingInterrupt("enough")


# --- the same corpus ---


def test_another_corpus_is_refused(tmp_path):
    first_part(tmp_path)
    changed = corpus_of()
    changed.train[3][0].set_label("upos", "WORD")
    shorter = corpus_of(train=TEXTS * 3)
    turned = corpus_of(train=list(reversed(TEXTS * 4)))
    for other in (changed, shorter, turned, corpus_of(dev=TEXTS[:2])):
        with pytest.raises(ValueError, match="the corpus is another one"):
            going_on(tmp_path, other).train(tmp_path)
    found = going_on(tmp_path, shorter).train(
        tmp_path, max_epochs=3, override=["corpus"]
    )
    assert len(found["train_loss_history"]) == 3


def test_layers_that_are_not_read_do_not_matter(tmp_path):
    first_part(tmp_path)
    same_one = corpus_of()
    same_one.train[0].add_label("mood", "fine")
    same_one.dev[0][0].set_label("guess", "NAME")
    assert len(going_on(tmp_path, same_one).train(tmp_path)["dev_score_history"]) == 2


def sum_of(sentences, rows=None, layers=("upos",)):
    dataset = SentenceDataset.of(sentences)
    rows = dataset.rows if rows is None else np.array(rows)
    return data_fingerprint({"train": SentenceDataset(dataset.table, rows)}, layers)


def test_a_fingerprint_is_that_of_the_contents():
    whole = sum_of(sentences_of(TEXTS))
    assert whole == sum_of(sentences_of(TEXTS))
    # the same sentences as some rows of another table, whose strings have other numbers
    more = sentences_of(["zebras ran", *TEXTS[::-1]])
    assert whole == sum_of(more, [5, 4, 3, 2, 1])
    seen = {whole}
    for change in range(5):
        sentences = sentences_of(TEXTS)
        if change == 0:
            sentences[1][0].set_label("upos", "NAME")
        if change == 1:
            sentences[0] = sentences_of(["Ada met Bob ."])[0]
        if change == 2:
            sentences[0] = sentences_of(["Ada met  Bob"])[0]
        if change == 3:
            sentences[0][0:2].add_label("upos", "NAME")
        if change == 4:
            sentences = sentences[:-1]
        seen.add(sum_of(sentences))
    assert len(seen) == 6


# --- files that are something else ---


def test_a_checkpoint_is_no_model_and_a_model_no_checkpoint(tmp_path):
    first_part(tmp_path)
    with pytest.raises(
        ModelFileError, match="holds a checkpoint of a run, not a model"
    ):
        SequenceTagger.load(tmp_path / "checkpoint.pt")
    for name in ("best-model.pt", "final-model.pt"):
        with pytest.raises(ModelFileError, match="SequenceTagger, not a checkpoint"):
            ModelTrainer.load_checkpoint(tmp_path / name, corpus_of())


def test_a_checkpoint_of_another_layout_is_refused(tmp_path):
    first_part(tmp_path)
    path = tmp_path / "checkpoint.pt"
    state = read_checkpoint(path)
    state.pop("layout")
    checkpoints.write_checkpoint(path, state, "ModelTrainer")
    with pytest.raises(
        ModelFileError, match="has layout 1, this flairnb goes on with 2"
    ):
        going_on(tmp_path)


def test_the_folder_of_a_checkpoint(tmp_path):
    first_part(tmp_path / "run")
    with pytest.raises(ValueError, match=r"base_path is .*run in the checkpoint"):
        going_on(tmp_path / "run").train(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    chosen = {"override": ["base_path"], "max_epochs": 3}
    found = going_on(tmp_path / "run").train(tmp_path / "other", **chosen)
    assert len(found["train_loss_history"]) == 3
    assert "EPOCH 1 done" in (tmp_path / "other" / "training.log").read_text()
    shutil.move(tmp_path / "run", tmp_path / "moved")  # which is no other folder
    going_on(tmp_path / "moved").train(tmp_path / "moved")


def test_a_second_train_begins_anew(tmp_path):
    first_part(tmp_path / "run")
    trainer = going_on(tmp_path / "run")
    trainer.train(tmp_path / "run", max_epochs=3)
    found = trainer.train(tmp_path / "run", max_epochs=1)
    assert len(found["train_loss_history"]) == 1

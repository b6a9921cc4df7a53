"""flairnb's side, one role per process: `flairnb_side.py ROLE SETTINGS`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from measure import (
    HEAD,
    PRECISIONS,
    QUESTIONS,
    TAG,
    TRAININGS,
    UNDRAWN,
    Clock,
    embed_speed,
    fine_tune_report,
    peak_memory,
    predict_speeds,
    read_corpus,
    report,
    resident,
    settings,
    sizes,
    train_report,
    train_speeds,
    versions,
)

BEGAN = time.perf_counter()
import flairnb  # noqa: E402
from flairnb.data import Corpus, Sentence  # noqa: E402
from flairnb.datasets import (  # noqa: E402
    ClassificationCorpus,
    ColumnCorpus,
    UniversalDependenciesCorpus,
)
from flairnb.embeddings import (  # noqa: E402
    CharacterEmbeddings,
    DocumentRNNEmbeddings,
    FlairEmbeddings,
    StackedEmbeddings,
    TokenEmbeddings,
    TransformerDocumentEmbeddings,
    TransformerWordEmbeddings,
    WordEmbeddings,
)
from flairnb.models import SequenceTagger, TextClassifier  # noqa: E402
from flairnb.trainers import ModelTrainer  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - BEGAN
logging.getLogger("flairnb").setLevel(logging.ERROR)


class TimedTagger(Clock, SequenceTagger):
    "flairnb's tagger with a clock"


class TimedClassifier(Clock, TextClassifier):
    "flairnb's classifier with a clock"


def import_role(_: dict[str, Any]) -> dict[str, Any]:
    told = versions(f"flairnb {flairnb.__version__}")
    return {"seconds": IMPORT_SECONDS, "name": "flairnb", "versions": told}


def load_role(given: dict[str, Any]) -> dict[str, Any]:
    before, start = resident(), time.perf_counter()
    corpus = UniversalDependenciesCorpus(given["corpus"])
    seconds = time.perf_counter() - start
    memory = resident() - before
    sentences = sum(len(split) for split in corpus.splits().values())
    return {"seconds": seconds, "memory": memory, "sentences": sentences}


def prepare(given: dict[str, Any], step: int = 1) -> tuple[Corpus, Corpus]:
    "The whole corpus, and each `step`th sentence of it to train on"
    import torch

    torch.set_num_threads(given["threads"])
    whole = UniversalDependenciesCorpus(given["corpus"])
    train, dev = whole.train[:: given["part"] * step], whole.dev[:1]
    return whole, Corpus(train, dev, sample_missing_splits=False)


def new_tagger(
    whole: Corpus, parts: list[TokenEmbeddings], **given: Any
) -> TimedTagger:
    "A tagger with new weights"
    labels = whole.make_label_dictionary(TAG)
    return TimedTagger(StackedEmbeddings(parts), labels, TAG, **given)


def word_tagger(given: dict[str, Any], whole: Corpus, hidden: int) -> TimedTagger:
    "A tagger on word vectors"
    flairnb.set_seed(1)
    return new_tagger(whole, [WordEmbeddings(given["glove"])], hidden_size=hidden)


def words_of(given: dict[str, Any], whole: Corpus) -> list[list[str]]:
    "What is predicted"
    return [[token.text for token in s] for s in whole.test][:: given["part"]]


def tagging_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train in each way, and predict"
    whole, corpus = prepare(given)
    words = words_of(given, whole)
    found: dict[str, Any] = {"sizes": sizes(corpus.train.lengths, map(len, words))}
    for name, (hidden, amp) in TRAININGS.items():
        tagger = word_tagger(given, whole, hidden)
        trainer = ModelTrainer(tagger, corpus)
        found[name] = train_speeds(trainer.train, tagger, use_amp=amp)
        if name == "train_256":
            found |= predict_speeds(tagger.predict, build, words)
    return found


def language_model_role(given: dict[str, Any]) -> dict[str, Any]:
    "Compute vectors of sentences in each precision"
    whole, corpus = prepare(given)
    words, found = words_of(given, whole), {}
    for precision in given.get("precisions", PRECISIONS):
        files = given["language_models"]
        parts = [FlairEmbeddings(file, precision=precision) for file in files]
        found[precision] = embed_speed(StackedEmbeddings(parts).embed, build, words)
    best = max(found[precision] for precision in given["accurate"])
    return found | {"sizes": sizes(corpus.train.lengths, map(len, words)), "best": best}


def transformer_tagger(given: dict[str, Any], whole: Corpus) -> TimedTagger:
    "A transformer with a linear layer"
    flairnb.set_seed(1)
    embeddings = TransformerWordEmbeddings(given["minilm"], fine_tune=True)
    return TimedTagger(embeddings, whole.make_label_dictionary(TAG), TAG, **HEAD)


def transformer_role(given: dict[str, Any]) -> dict[str, Any]:
    "Fine-tune a transformer, and predict"
    whole, corpus = prepare(given)
    words, tagger = words_of(given, whole), transformer_tagger(given, whole)
    trainer = ModelTrainer(tagger, corpus)
    return fine_tune_report(trainer, tagger, build, corpus.train.lengths, words)


def bare_role(given: dict[str, Any]) -> dict[str, Any]:
    "How near fine-tuning and predicting come to the transformer alone"
    from limit import against_transformer

    whole, corpus = prepare(given, step=4)
    sentences, tagger = words_of(given, whole), transformer_tagger(given, whole)
    return against_transformer(tagger, corpus.train, lambda: build(sentences))


def characters_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train on characters and words; the part that the characters take"
    from limit import character_share

    whole, corpus = prepare(given)
    flairnb.set_seed(1)
    characters = CharacterEmbeddings()
    parts = [WordEmbeddings(given["glove"]), characters]
    tagger = new_tagger(whole, parts, hidden_size=256)
    trainer, words = ModelTrainer(tagger, corpus), words_of(given, whole)
    found = train_report(trainer, tagger, corpus.train.lengths, words)
    return found | {"share": character_share(tagger, characters, corpus.train)}


def read_questions(given: dict[str, Any]) -> tuple[Corpus, Corpus, list[list[str]]]:
    "TREC-6, what is trained on, and the words of its test questions"
    import torch

    torch.set_num_threads(given["threads"])
    how = {"label_type": QUESTIONS, "tokenizer": False}
    whole = ClassificationCorpus(given["questions"], **how, **UNDRAWN)
    words = [[token.text for token in s] for s in whole.test]
    return whole, Corpus(whole.train, whole.train[:1], **UNDRAWN), words


def questions_role(given: dict[str, Any]) -> dict[str, Any]:
    "Fine-tune a transformer on classes of questions, and predict"
    import torch

    whole, corpus, words = read_questions(given)
    labels = corpus.make_label_dictionary(QUESTIONS)
    flairnb.set_seed(1)
    embeddings = TransformerDocumentEmbeddings(given["minilm"], cls_pooling="mean")
    model = TimedClassifier(embeddings, label_type=QUESTIONS, label_dictionary=labels)
    trainer = ModelTrainer(model, corpus)
    found = fine_tune_report(trainer, model, build, corpus.train.lengths, words)
    with torch.autocast(model.device.type, torch.bfloat16):
        speed = predict_speeds(model.predict, build, words)["predict_32"]
        shortened = model.evaluate(whole.test, QUESTIONS).main_score
    changes = abs(shortened - model.evaluate(whole.test, QUESTIONS).main_score)
    return found | {"bfloat16": {"predict_32": speed, "changes": changes}}


def document_rnn_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train a network over word vectors on classes of questions"
    _, corpus, words = read_questions(given)
    labels = corpus.make_label_dictionary(QUESTIONS)
    flairnb.set_seed(1)
    embeddings = DocumentRNNEmbeddings([WordEmbeddings(given["glove"])], 256)
    model = TimedClassifier(embeddings, label_type=QUESTIONS, label_dictionary=labels)
    return train_report(ModelTrainer(model, corpus), model, corpus.train.lengths, words)


def corpus_role(given: dict[str, Any]) -> dict[str, Any]:
    "Load a corpus"
    start = time.perf_counter()
    corpus = read_corpus(given, ClassificationCorpus, ColumnCorpus)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "sentences": sum(map(len, corpus.splits().values()))}


def shell_role(given: dict[str, Any]) -> dict[str, Any]:
    "Tag a file of text in this process, and by the command line in another one"
    whole, _ = prepare(given)
    flairnb.set_seed(1)
    labels, vectors = whole.make_label_dictionary(TAG), WordEmbeddings(given["glove"])
    tagger = SequenceTagger(vectors, labels, TAG, hidden_size=256)
    lines = [" ".join(row) for row in words_of(given, whole)] * given["times"]
    tokens = sum(len(line.split(" ")) for line in lines)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tagger.save(folder / "model.pt")
        (folder / "text").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        files = [folder / "model.pt", folder / "text", "--output", folder / "tagged"]
        command = [sys.executable, "-m", "flairnb"]
        own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        run: Any = partial(subprocess.run, check=True, env=own)
        run(
            [*command, "datasets"], stdout=subprocess.DEVNULL
        )  # leaves byte code behind
        start = time.perf_counter()
        run([*command, "predict", *files, "--no-tokenizer", "--quiet"])
        shell = time.perf_counter() - start
    tagger.predict(build([line.split(" ") for line in lines[:64]]))
    start = time.perf_counter()
    tagger.predict([Sentence(line, use_tokenizer=False) for line in lines])
    python = time.perf_counter() - start
    speeds = {"shell": tokens / shell, "python": tokens / python}
    return speeds | {"share": python / shell}


def storage_role(given: dict[str, Any]) -> dict[str, Any]:
    "What stored language models cost in later epochs, as a part of the first"
    from limit import stored_share

    _, corpus = prepare(given)
    return {"later": stored_share(corpus.train, state=256)}


def chunk_role(given: dict[str, Any]) -> dict[str, Any]:
    "The most memory that a step takes"
    from limit import longest_step

    whole, corpus = prepare(given)
    tagger = transformer_tagger(given, whole)
    return {"peak": peak_memory(longest_step(tagger, corpus.train, given["chunk"]))}


def build(words: list[list[str]]) -> list[Sentence]:
    return [Sentence(list(row)) for row in words]


def limit_role(given: dict[str, Any]) -> dict[str, Any]:
    "How near training comes to the recurrent network alone, and the part of the CRF"
    from limit import EVERY, against_network, crf_share

    whole, corpus = prepare(given, EVERY)
    found: dict[str, Any] = {}
    for hidden in given["hidden"]:
        tagger = word_tagger(given, whole, hidden)
        found[f"hidden_{hidden}"] = against_network(tagger, corpus.train, hidden)
        found[f"hidden_{hidden}"]["crf_share"] = crf_share(tagger, corpus.train)
    return found


def checkpoint_role(given: dict[str, Any]) -> dict[str, Any]:
    "What a checkpoint costs in the tutorial's first script"
    from limit import checkpoint_share

    whole, _ = prepare(given)
    flairnb.set_seed(1)
    corpus = UniversalDependenciesCorpus(given["corpus"]).downsample(0.1)
    return {"share": checkpoint_share(word_tagger(given, whole, 256), corpus)}


if __name__ == "__main__":
    role, given = settings()
    report(globals()[f"{role}_role"](given))

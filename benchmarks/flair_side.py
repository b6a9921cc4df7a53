"""Flair's side, one role per process: `flair_side.py ROLE SETTINGS`."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from typing import Any

from measure import (
    HEAD,
    QUESTIONS,
    TAG,
    TRAININGS,
    Clock,
    embed_speed,
    fine_tune_report,
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

warnings.simplefilter("ignore")
BEGAN = time.perf_counter()
import flair  # noqa: E402
from flair.data import Corpus, Dictionary, Sentence  # noqa: E402
from flair.datasets import (  # noqa: E402
    ClassificationCorpus,
    ColumnCorpus,
    UniversalDependenciesCorpus,
)
from flair.embeddings import (  # noqa: E402
    CharacterEmbeddings,
    DocumentRNNEmbeddings,
    FlairEmbeddings,
    StackedEmbeddings,
    TransformerDocumentEmbeddings,
    TransformerWordEmbeddings,
    WordEmbeddings,
)
from flair.models import LanguageModel, SequenceTagger, TextClassifier  # noqa: E402
from flair.tokenization import SpaceTokenizer  # noqa: E402
from flair.trainers import ModelTrainer  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - BEGAN
logging.getLogger("flair").setLevel(logging.ERROR)


class TimedTagger(Clock, SequenceTagger):
    "Flair's tagger with a clock"


class TimedClassifier(Clock, TextClassifier):
    "Flair's classifier with a clock"


def import_role(_: dict[str, Any]) -> dict[str, Any]:
    told = versions(f"Flair {flair.__version__}")
    return {"seconds": IMPORT_SECONDS, "name": "Flair", "versions": told}


def load_role(given: dict[str, Any]) -> dict[str, Any]:
    before, start = resident(), time.perf_counter()
    corpus = UniversalDependenciesCorpus(given["corpus"])
    seconds = time.perf_counter() - start
    memory = resident() - before
    sentences = len(corpus.get_all_sentences())  # the corpus lives until here
    return {"seconds": seconds, "memory": memory, "sentences": sentences}


def vectors_role(given: dict[str, Any]) -> dict[str, Any]:
    "Write word vectors of a text file as a gensim file"
    from gensim.models import KeyedVectors

    read = KeyedVectors.load_word2vec_format(given["glove"], no_header=True)
    read.save(given["gensim"])
    return {"words": len(read)}


def prepare(given: dict[str, Any]) -> tuple[Corpus, Corpus, list[list[str]]]:
    "The whole corpus, what is trained on, and the words of what is predicted"
    import torch

    torch.set_num_threads(given["threads"])
    whole, part = UniversalDependenciesCorpus(given["corpus"]), given["part"]
    train = [whole.train[i] for i in range(0, len(whole.train), part)]
    corpus = Corpus(train, [whole.dev[0]], sample_missing_splits=False)
    words = [[token.text for token in s] for s in whole.test][::part]
    return whole, corpus, words


def tagging_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train in each way, and predict"
    whole, corpus, words = prepare(given)
    labels = whole.make_label_dictionary(TAG)
    found: dict[str, Any] = {"sizes": sizes(map(len, corpus.train), map(len, words))}
    for name, (hidden, amp) in TRAININGS.items():
        flair.set_seed(1)
        for sentence in corpus.train:
            sentence.clear_embeddings()
        embeddings = StackedEmbeddings([WordEmbeddings(given["gensim"])])
        tagger = TimedTagger(embeddings, labels, TAG, hidden_size=hidden, use_crf=True)
        trainer = ModelTrainer(tagger, corpus)
        found[name] = train_speeds(trainer.train, tagger, use_amp=amp)
        if name == "train_256":
            found |= predict_speeds(tagger.predict, build, words)
    return found


def language_model_files_role(given: dict[str, Any]) -> dict[str, Any]:
    "Write a forward and a backward language model with random weights"
    known = Dictionary(add_unk=True)
    for code in (10, *range(32, 127), *range(160, 363)):  # with `<unk>`, 300
        known.add_item(chr(code))
    for file, forward in zip(given["language_models"], (True, False), strict=True):
        flair.set_seed(1)
        LanguageModel(known, forward, given["state"], 1).save(file)
    return {"characters": len(known)}


def language_model_role(given: dict[str, Any]) -> dict[str, Any]:
    "Compute vectors of sentences"
    _, corpus, words = prepare(given)
    parts = [FlairEmbeddings(file) for file in given["language_models"]]
    speed = embed_speed(StackedEmbeddings(parts).embed, build, words)
    text = sizes(map(len, corpus.train), map(len, words))
    return {"sizes": text, "float32": speed}


def transformer_role(given: dict[str, Any]) -> dict[str, Any]:
    "Fine-tune a transformer, and predict"
    whole, corpus, words = prepare(given)
    labels = whole.make_label_dictionary(TAG)
    flair.set_seed(1)
    embeddings = TransformerWordEmbeddings(given["minilm"], fine_tune=True)
    tagger = TimedTagger(embeddings, labels, TAG, **HEAD)
    trainer = ModelTrainer(tagger, corpus)
    return fine_tune_report(trainer, tagger, build, map(len, corpus.train), words)


def characters_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train on characters and words"
    whole, corpus, words = prepare(given)
    labels = whole.make_label_dictionary(TAG)
    known = Dictionary(add_unk=True)
    for character in sorted({c for row in corpus.train for c in row.to_plain_string()}):
        known.add_item(character)
    flair.set_seed(1)
    parts = [WordEmbeddings(given["gensim"]), CharacterEmbeddings(known)]
    tagger = TimedTagger(StackedEmbeddings(parts), labels, TAG, hidden_size=256)
    trainer = ModelTrainer(tagger, corpus)
    return train_report(trainer, tagger, map(len, corpus.train), words)


def read_questions(given: dict[str, Any]) -> tuple[Corpus, list[list[str]]]:
    "TREC-6 without dev, and the words of its test questions"
    import torch

    torch.set_num_threads(given["threads"])
    how = {"label_type": QUESTIONS, "tokenizer": SpaceTokenizer()}
    whole = ClassificationCorpus(
        given["questions"], memory_mode="full", sample_missing_splits=False, **how
    )
    words = [[token.text for token in s] for s in whole.test]
    first = [whole.train[0]]
    return Corpus(list(whole.train), first, sample_missing_splits=False), words


def questions_role(given: dict[str, Any]) -> dict[str, Any]:
    "Fine-tune a transformer on classes of questions, and predict"
    corpus, words = read_questions(given)
    labels = corpus.make_label_dictionary(QUESTIONS)
    flair.set_seed(1)
    embeddings = TransformerDocumentEmbeddings(given["minilm"], cls_pooling="mean")
    model = TimedClassifier(embeddings, label_type=QUESTIONS, label_dictionary=labels)
    trainer = ModelTrainer(model, corpus)
    return fine_tune_report(trainer, model, build, map(len, corpus.train), words)


def document_rnn_role(given: dict[str, Any]) -> dict[str, Any]:
    "Train a network over word vectors on classes of questions"
    corpus, words = read_questions(given)
    labels = corpus.make_label_dictionary(QUESTIONS)
    flair.set_seed(1)
    embeddings = DocumentRNNEmbeddings([WordEmbeddings(given["gensim"])], 256)
    model = TimedClassifier(embeddings, label_type=QUESTIONS, label_dictionary=labels)
    trainer = ModelTrainer(model, corpus)
    return train_report(trainer, model, map(len, corpus.train), words)


def corpus_role(given: dict[str, Any]) -> dict[str, Any]:
    "Load a corpus"
    start = time.perf_counter()
    classes = (ClassificationCorpus, ColumnCorpus)
    corpus = read_corpus(given, *classes, memory_mode="full")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "sentences": len(corpus.get_all_sentences())}


def tutorial_role(given: dict[str, Any]) -> dict[str, Any]:
    "The tutorial's first script on given sentences, tested on the whole test split"
    import torch

    torch.set_num_threads(given["threads"])
    whole = UniversalDependenciesCorpus(given["corpus"])
    train = [whole.train[i] for i in given["train"]]
    dev = [whole.dev[i] for i in given["dev"]]
    corpus = Corpus(train, dev, whole.test, sample_missing_splits=False)
    flair.set_seed(given["seed"])
    labels = corpus.make_label_dictionary(label_type=TAG)
    embeddings = StackedEmbeddings([WordEmbeddings(given["gensim"])])
    tagger = SequenceTagger(embeddings, labels, TAG, hidden_size=256, use_crf=True)
    with tempfile.TemporaryDirectory() as folder:
        found = ModelTrainer(tagger, corpus).train(
            folder, learning_rate=0.1, mini_batch_size=32, max_epochs=10
        )
    return {"score": found["test_score"]}


def build(words: list[list[str]]) -> list[Sentence]:
    return [Sentence(list(row)) for row in words]


if __name__ == "__main__":
    role, given = settings()
    report(globals()[f"{role}_role"](given))

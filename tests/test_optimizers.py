"Optimizers that make one pass over the weights are torch's own, but for rounding"

from __future__ import annotations

import pytest
import torch
from test_trainer import corpus_of, tagger_for
from torch import nn, optim

from flairnb.trainers.steps import Settings, build_optimizer, new_optimizer

CASES = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.01}),
    (optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    (optim.Adagrad, {"lr": 0.1}),
]


def network(dtype=torch.float32):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)).to(dtype)


def steps(model, optimizer, count=12):
    torch.manual_seed(2)
    for _ in range(count):
        optimizer.zero_grad()
        kind = next(model.parameters()).dtype
        model(torch.randn(5, 6, dtype=kind)).square().sum().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("kind, chosen", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(kind, chosen, dtype):
    ours, theirs = network(dtype), network(dtype)
    made = new_optimizer(kind, [*ours.parameters()], **chosen)
    assert made.defaults["fused"] is True
    plain = kind(theirs.parameters(), foreach=False, **chosen)
    found, wanted = steps(ours, made), steps(theirs, plain)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [optim.SGD, optim.AdamW])
def test_whoever_keeps_something_made_of_weights_sees_a_step(kind):
    model = network()
    made = new_optimizer(kind, [*model.parameters()], lr=0.1)
    before = [p._version for p in model.parameters()]
    steps(model, made, 1)
    assert all(p._version > v for p, v in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize(
    "kind, chosen",
    [
        (optim.Adadelta, {}),
        (optim.SGD, {"foreach": True}),
        (optim.SGD, {"fused": False}),
    ],
)
def test_what_cannot_or_must_not_be_fused_is_not(kind, chosen):
    made = new_optimizer(kind, [*network().parameters()], **{"lr": 0.1} | chosen)
    assert not made.defaults.get("fused")
    assert steps(network(), made, 1).isfinite().all()


def test_weights_of_a_type_without_a_kernel_have_torchs_usual_steps():
    whole = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    made = new_optimizer(optim.SGD, [whole], lr=0.1)
    assert not made.defaults["fused"]
    whole.grad = torch.ones_like(whole)
    made.step()
    assert whole.tolist() == [pytest.approx(0.9)] * 3


def test_sparse_gradients_train(tmp_path):
    "Such as those of a user's own embeddings"
    corpus = corpus_of()
    model = tagger_for(corpus)
    model.sparse_part = nn.Embedding(5, 2, sparse=True)
    made = build_optimizer(model, Settings(tmp_path))
    assert not made.defaults["fused"]
    model.sparse_part(torch.tensor([1])).sum().backward()
    made.step()
    assert model.sparse_part.weight.grad.is_sparse

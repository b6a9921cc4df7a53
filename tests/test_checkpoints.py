"Checkpoints: any state comes back as it was, anything else is an error"

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flairnb.foundation import set_seed
from flairnb.saving import ModelFileError, write_model_file
from flairnb.trainers import checkpoints
from flairnb.trainers.checkpoints import (
    FixedPart,
    pack_state,
    random_states,
    read_checkpoint,
    restore_random_states,
    tensor_sums,
    unpack_state,
    weights_sum,
    write_checkpoint,
)

PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
)
STATES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=15,
)  # fmt: skip


@given(state=STATES)
@settings(max_examples=100, deadline=None)
def test_a_nested_state_comes_back(state):
    tensors = {}
    assert unpack_state(pack_state(state, tensors), tensors) == state
    assert repr(unpack_state(pack_state(state, tensors), tensors)) == repr(state)


KINDS = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_tensors_come_back_to_the_bit(kind, tmp_path):
    values = torch.tensor([[0, 1, 2], [3, 0, 1]]).to(kind)
    state = {3: [values, values.T], "empty": values[:0], "one": values[0, 0]}
    write_checkpoint(tmp_path / "c.pt", state)
    found = read_checkpoint(tmp_path / "c.pt")
    for ours, wanted in zip(
        [*found[3], found["empty"], found["one"]],
        [*state[3], state["empty"], state["one"]],
        strict=True,
    ):
        assert ours.dtype == kind and torch.equal(ours, wanted)


def test_arrays_and_their_numbers_come_back(tmp_path):
    state = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "n": np.float64(0.1)}
    write_checkpoint(tmp_path / "c.pt", state)
    found = read_checkpoint(tmp_path / "c.pt")
    assert found["a"].dtype == np.uint8 and found["a"].tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    assert found["n"] == 0.1 and type(found["n"]) is float


def test_what_cannot_be_kept_is_named(tmp_path):
    for wrong in ({1}, b"x", object, lambda: 0):
        with pytest.raises(TypeError, match=f"cannot hold {type(wrong).__name__}"):
            write_checkpoint(tmp_path / "c.pt", {"x": [wrong]})
    assert list(tmp_path.iterdir()) == []


def draws():
    return random.random(), np.random.rand(), torch.rand(2).tolist()


def test_random_generators_go_on(tmp_path):
    set_seed(5)
    draws()
    write_checkpoint(tmp_path / "c.pt", random_states())
    wanted = draws()
    set_seed(6)
    restore_random_states(read_checkpoint(tmp_path / "c.pt"))
    assert draws() == wanted


def test_another_file_is_no_checkpoint(tmp_path):
    write_model_file(tmp_path / "m.pt", {}, {"class": "LanguageModel"})
    with pytest.raises(ModelFileError, match="a LanguageModel, not a checkpoint"):
        read_checkpoint(tmp_path / "m.pt")
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        read_checkpoint(tmp_path / "none.pt")


def test_damage_is_noticed(tmp_path):
    path = tmp_path / "c.pt"
    write_checkpoint(path, {"x": torch.arange(5), "y": [1, (2, 3)]})
    whole = path.read_bytes()
    for place in range(0, len(whole), 17):
        changed = bytes([whole[place] ^ 0x21])
        for data in (whole[:place], whole[:place] + changed + whole[place + 1 :]):
            path.write_bytes(data)
            with pytest.raises(ModelFileError):
                read_checkpoint(path)


# --- what never changes ---


class Counting(nn.Module):
    "Keeps more than tensors, as a memory of what was read would"

    def __init__(self):
        super().__init__()
        self.seen = 0

    def get_extra_state(self):
        self.seen += 1
        return torch.tensor([self.seen])

    def set_extra_state(self, state):
        self.seen = int(state)


def some_model():
    torch.manual_seed(1)
    frozen = nn.Sequential(nn.Embedding(7, 3), nn.LSTM(3, 2)).requires_grad_(False)
    parts = {"frozen": frozen, "again": frozen[0], "norm": nn.BatchNorm1d(2)}
    return nn.ModuleDict(parts | {"head": nn.Linear(2, 2), "counting": Counting()})


def fixed_of(model):
    trained = [p for p in model.parameters() if p.requires_grad]
    return FixedPart(model, torch.optim.SGD(trained, lr=0.1))


def test_the_state_is_that_of_the_whole_model(monkeypatch):
    monkeypatch.setattr(checkpoints, "BESIDE", 1)
    model = some_model()
    fixed = fixed_of(model)
    for _ in range(3):
        found, wanted = fixed.state(), model.state_dict()
        assert [*found] == [*wanted]
        same = {name for name in wanted if torch.equal(found[name], wanted[name])}
        assert same == set(wanted) - {"counting._extra_state"}
        with torch.no_grad():
            model["head"].weight.add_(1.0)
            model["norm"].running_mean.add_(1.0)
    parts = {name.split(".")[0] for name in fixed.sums}
    assert parts == {"frozen", "again"}


def test_what_changes_after_all_is_written_from_then_on(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "BESIDE", 1)
    model, path = some_model(), tmp_path / "checkpoint.pt"
    fixed, sums = fixed_of(model), set()
    for change in (None, "frozen.1.weight_hh_l0", None, "frozen.0.weight"):
        if change:
            with torch.no_grad():
                dict(model.named_parameters(remove_duplicate=False))[change].add_(1.0)
        write_checkpoint(path, {"weights": fixed.state(), "n": [1]}, "", fixed)
        found = read_checkpoint(path)["weights"]
        for name, tensor in model.state_dict().items():
            assert torch.equal(found[name], tensor) or "counting" in name
        sums.add(fixed.sum_of_all())
        there = [p.name for p in tmp_path.iterdir() if p != path]
        assert len(there) == (1 if change != "frozen.0.weight" else 0)
    assert len(sums) > 2


def test_small_models_stand_in_one_file(tmp_path):
    model = some_model()
    fixed = fixed_of(model)
    write_checkpoint(tmp_path / "c.pt", {"weights": fixed.state()}, "", fixed)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_the_fixed_part_is_written_once_and_first(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "BESIDE", 1)
    written, write = [], checkpoints.write_model_file
    monkeypatch.setattr(
        checkpoints,
        "write_model_file",
        lambda path, *given: (written.append(path.name[:10]), write(path, *given)),
    )
    fixed = fixed_of(some_model())
    for _ in range(3):
        write_checkpoint(tmp_path / "c.pt", {"weights": fixed.state()}, "", fixed)
    assert [name[:7] for name in written] == ["c.fixed", "c.pt", "c.pt", "c.pt"]


def test_the_sum_of_weights_is_that_of_their_bits():
    model = some_model()
    total = weights_sum(tensor_sums(model.state_dict()))
    other = some_model()
    other["counting"].seen = 1 - 1
    assert weights_sum(tensor_sums(other.state_dict())) == total
    with torch.no_grad():
        other["frozen"][0].weight[0, 0] += 1e-6
    assert weights_sum(tensor_sums(other.state_dict())) != total

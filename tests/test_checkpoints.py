"Checkpoints: any state comes back as it was, anything else is an error"

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.foundation import set_seed
from flairnb.saving import ModelFileError, write_model_file
from flairnb.trainers.checkpoints import (
    pack_state,
    random_states,
    read_checkpoint,
    restore_random_states,
    unpack_state,
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

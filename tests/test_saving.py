"Model files: what was written comes back, and any damage is an error that says so"

from __future__ import annotations

import gzip
import json
import pickle
import struct
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from flairnb import saving
from flairnb.saving import (
    ModelFileError,
    find_model_file,
    fingerprint,
    read_model_file,
    write_model_file,
    write_model_folder,
)

TENSORS = {"w": torch.tensor([[1.0, -2.0], [0.5, 3.0]]), "ids": torch.tensor([3, 1])}
CONFIG = {"class": "Example", "labels": ["ä", '"\\\n'], "none": None}


@pytest.fixture
def path(tmp_path):
    write_model_file(tmp_path / "model.pt", TENSORS, CONFIG)
    return tmp_path / "model.pt"


def test_every_flipped_byte_is_noticed(path):
    whole = path.read_bytes()
    missed = []
    for place, byte in enumerate(whole):
        for changed in {*(byte ^ (1 << bit) for bit in range(8)), byte ^ 0xFF, 0x20} - {
            byte
        }:
            path.write_bytes(whole[:place] + bytes([changed]) + whole[place + 1 :])
            try:
                read_model_file(path)
            except ModelFileError as error:
                assert str(path) in str(error)
            else:
                missed.append((place, byte, changed))
    assert missed == []
    path.write_bytes(whole)
    assert read_model_file(path).config == CONFIG


@pytest.mark.parametrize("spaces", range(8))
def test_the_filling_of_the_header_is_watched(tmp_path, spaces):
    "The header is filled up with spaces, as many as its length needs"
    path = tmp_path / "model.pt"
    write_model_file(path, TENSORS, {"text": "x" * spaces})
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = whole[8 : 8 + size]
    assert read_model_file(path).config == {"text": "x" * spaces}
    for place in range(len(header.rstrip(b" ")), size):
        for changed in b"\n\t\r}x\x00":
            path.write_bytes(whole[: 8 + place] + bytes([changed]) + whole[9 + place :])
            with pytest.raises(ModelFileError, match="damaged"):
                read_model_file(path)


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            read_model_file(path)
    for more in (b"\0", b" ", whole):
        path.write_bytes(whole + more)
        with pytest.raises(ModelFileError, match="damaged"):
            read_model_file(path)


def test_a_file_of_any_header_length_is_read(tmp_path):
    "A length can begin with 0x80 or 'PK', as a pickle or a zip does"
    starts = set()
    for extra in range(0, 600, 4):
        write_model_file(tmp_path / "model.pt", TENSORS, {"text": "x" * extra})
        starts.add((tmp_path / "model.pt").read_bytes()[0])
        assert read_model_file(tmp_path / "model.pt").config == {"text": "x" * extra}
    assert 0x80 in starts


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (pickle.dumps({"a": 1}), "is a pickle"),
        (gzip.compress(b"x"), "packed with gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "is a page of HTML"),
        (b"hello, this is a text", "is not a model file: it begins with"),
        (b"\0" * 100, "is not a model file: it begins with"),
        (b"\xff" * 8 + b"{" + b"\0" * 100, "damaged or not a model file"),
        (save({"w": torch.ones(2)}), "was not written by flairnb"),
        (save({"w": torch.ones(2)}, {"format": "pt"}), "was not written by flairnb"),
        (save({"w": torch.ones(2)}, {"format": "flairnb"}), "lacks version or config"),
        (
            save(
                {"w": torch.ones(2)},
                {
                    "format": "flairnb",
                    "format_version": "x",
                    "config": "",
                    "versions": "",
                },
            ),
            "lacks version",
        ),
        (
            save(
                {"w": torch.ones(2)},
                {
                    "format": "flairnb",
                    "format_version": "1",
                    "config": "{}",
                    "versions": "{}",
                },
            ),
            "does not fit its fingerprint",
        ),
        (
            save(
                {"w": torch.ones(2)},
                {
                    "format": "flairnb",
                    "format_version": "2",
                    "config": "{}",
                    "versions": "{}",
                },
            ),
            "format version 2, this flairnb reads up to 1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_what_is_no_model_file(tmp_path, content, message):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_model_file(path)


def test_archives_and_pickles_of_torch(tmp_path):
    torch.save(TENSORS, tmp_path / "zip.pt")
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(tmp_path / "real.pt", "w") as archive:
        archive.writestr("a", "b")
    for name, message in [
        ("zip.pt", "zip archive"),
        ("old.pt", "is a pickle"),
        ("real.pt", "zip archive"),
    ]:
        with pytest.raises(ModelFileError, match=message):
            read_model_file(tmp_path / name)


def test_no_pickle_is_ever_loaded(tmp_path, monkeypatch):
    def refuse(*args, **settings):
        raise AssertionError("a pickle was loaded")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    torch.save(TENSORS, tmp_path / "zip.pt")
    with pytest.raises(ModelFileError):
        read_model_file(tmp_path / "zip.pt")


def test_files_that_are_not_there(tmp_path, path):
    with pytest.raises(FileNotFoundError, match=r"no.pt \(beside it: model.pt\)"):
        read_model_file(tmp_path / "no.pt")
    with pytest.raises(FileNotFoundError, match="the folder is missing"):
        read_model_file(tmp_path / "none" / "no.pt")
    with pytest.raises(IsADirectoryError, match=r"model files in it: model\.pt"):
        read_model_file(tmp_path)


DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.int8,
    torch.uint8,
    torch.bool,
]


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)),
        max_size=4,
    ),
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda x: st.lists(x, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    ),
)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_what_was_written_comes_back(tmp_path_factory, shapes, config):
    shapes = {name: x for name, x in shapes.items() if name != "__metadata__"}
    tensors = {
        name: torch.ones(shape).mul(2.5).to(dtype)
        for name, (dtype, shape) in shapes.items()
    }
    path = tmp_path_factory.mktemp("m") / "file"
    write_model_file(path, tensors, config)
    back = read_model_file(path)
    assert back.config == config and set(back.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert back.tensors[name].dtype == tensor.dtype and back.tensors[name].equal(
            tensor
        )
    assert set(back.versions) == {
        "flairnb", "torch", "safetensors", "transformers", "python",
    }  # fmt: skip


def test_shared_and_strided_tensors(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    write_model_file(
        tmp_path / "m", {"a": base, "b": base, "t": base.T, "row": base[1]}, {}
    )
    back = read_model_file(tmp_path / "m").tensors
    assert (
        back["a"].equal(base)
        and back["b"].equal(base)
        and back["t"].equal(base.T)
        and back["row"].equal(base[1])
    )


def test_a_config_that_is_no_json_leaves_the_old_file(path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_model_file(path, TENSORS, {"x": object()})
    assert read_model_file(path).config == CONFIG
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]


def test_a_fingerprint_covers_everything():
    base = fingerprint({"w": torch.zeros(2)}, "{}", "v")
    for other in (
        fingerprint({"v": torch.zeros(2)}, "{}", "v"),
        fingerprint({"w": torch.zeros(2, dtype=torch.int32)}, "{}", "v"),
        fingerprint({"w": torch.zeros(1, 2)}, "{}", "v"),
        fingerprint({"w": torch.tensor([0.0, -0.0])}, "{}", "v"),
        fingerprint({"w": torch.zeros(2)}, "{} ", "v"),
        fingerprint({"w": torch.zeros(2)}, "{}", "w"),
        fingerprint({"w": torch.zeros(2), "x": torch.zeros(0)}, "{}", "v"),
    ):
        assert other != base


def test_folders(tmp_path):
    write_model_folder(tmp_path / "a" / "b", TENSORS, CONFIG)
    found = find_model_file(tmp_path / "a" / "b")
    assert read_model_file(found).config == CONFIG
    assert (
        json.loads((tmp_path / "a" / "b" / "config.json").read_text("utf-8")) == CONFIG
    )
    assert find_model_file(found) == found
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="not written by flairnb"):
        read_model_file(find_model_file(tmp_path))
    assert saving.WEIGHTS == "model.safetensors"

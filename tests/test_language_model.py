"Language models: Flair's files read and refused, the model against torch's own layers"

from __future__ import annotations

import copyreg
import io
import json
import math
import pickle
import pickletools
import re
import resource
import struct
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flairnb.assets import OfflineError
from flairnb.data import Dictionary
from flairnb.foundation import set_seed
from flairnb.models import LanguageModel
from flairnb.models.language_model import (
    CHARACTERS,
    PlainPickle,
    RefusedError,
    character_numbers,
    code_table,
    from_flair,
    load_language_model,
    read_flair_pickle,
)
from flairnb.saving import ModelFileError, read_model_file, write_model_file

# made by Flair 0.15.1 itself: see `make_flair_fixtures.py`
FLAIR = Path(__file__).parent / "data" / "flair"
KNOWN = json.loads((FLAIR / "states.json").read_text(encoding="utf-8"))
READ = [name for name in KNOWN["models"] if name != "no-decoder"]


# --- what Flair wrote ---


def states(model, text):
    numbers = character_numbers(text, code_table(model.dictionary))
    with torch.no_grad():
        return model.read(model.in_reading_order(numbers)[None])[0][0]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("text", KNOWN["texts"])
def test_a_model_of_flairs_has_the_same_states(name, text):
    model, expected = load_language_model(FLAIR / f"{name}.pt"), KNOWN["models"][name]
    wanted = torch.tensor(expected["states"][text])
    assert states(model, text).shape == wanted.shape
    assert torch.allclose(states(model, text), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", READ)
def test_a_model_of_flairs_has_the_same_perplexity(name):
    model = load_language_model(FLAIR / f"{name}.pt")
    for text, wanted in KNOWN["models"][name]["perplexity"].items():
        assert model.calculate_perplexity(text) == pytest.approx(wanted, rel=1e-6)


def test_a_model_of_flairs_without_decoder_is_read():
    model, known = from_flair(FLAIR / "no-decoder.pt"), KNOWN["models"]["no-decoder"]
    found = model.read(torch.tensor([known["ids"]]))[0][0]
    assert torch.allclose(found, torch.tensor(known["output"]), rtol=0, atol=1e-6)
    assert (
        model.decoder.weight.abs().sum() == 0
    )  # it says nothing, rather than anything


def test_settings_of_flairs_models_are_kept():
    found = load_language_model(FLAIR / "layers.pt").config()
    assert found["dictionary"]["items"] == KNOWN["dictionary"]
    del found["dictionary"]
    assert found == {
        "is_forward_lm": True, "hidden_size": 8, "nlayers": 2, "embedding_size": 4,
        "nout": None, "document_delimiter": "\t", "dropout": 0.1, "recurrent_type": "LSTM",
    }  # fmt: skip
    oldest = load_language_model(FLAIR / "layout-oldest.pt")
    assert (oldest.document_delimiter, oldest.recurrent_type) == ("\n", "LSTM")
    assert oldest.dictionary.add_unk


def test_a_checkpoint_of_flairs_is_read_whole():
    found = read_flair_pickle(FLAIR / "checkpoint.pt")
    assert (found["epoch"], found["split"], found["loss"]) == (3, 2, 1.5)
    memory = found["optimizer_state_dict"]["state"][0]
    assert memory["exp_avg"].shape == found["state_dict"]["encoder.weight"].shape
    old = read_flair_pickle(FLAIR / "layout-checkpoint.pt")
    assert old["optimizer_state_dict"]["param_groups"][0]["momentum"] == 0.9


@pytest.mark.parametrize("path", sorted(FLAIR.glob("*.pt")), ids=lambda path: path.stem)
def test_tensors_are_those_that_torch_reads(path, monkeypatch):
    flair = ModuleType("flair.data")  # stands in for Flair's
    flair.Dictionary = type("Dictionary", (), {})
    monkeypatch.setitem(sys.modules, "flair", ModuleType("flair"))
    monkeypatch.setitem(sys.modules, "flair.data", flair)
    theirs = torch.load(path, weights_only=False)["state_dict"]
    ours = read_flair_pickle(path)["state_dict"]
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor)


def test_a_model_of_flairs_survives_our_own_file(tmp_path):
    model = load_language_model(FLAIR / "gru-nout.pt")
    model.save(tmp_path / "lm.pt")
    back = load_language_model(tmp_path / "lm.pt")
    assert torch.equal(states(back, "a cab"), states(model, "a cab"))
    assert back.config() == model.config()


@pytest.mark.parametrize("name", ["forward", "no-decoder", "layout-oldest"])
def test_loading_draws_no_random_numbers(name):
    set_seed(1)
    wanted = torch.rand(3)
    set_seed(1)
    load_language_model(FLAIR / f"{name}.pt")
    assert torch.equal(torch.rand(3), wanted)


# --- hostile pickles ---


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def called(function, *values):
    return function + b"(" + b"".join(values) + b"tR"


DICTIONARY = named("flair.data", "Dictionary") + b")\x81"
STORAGE = named("torch", "FloatStorage")
TENSOR = named("torch._utils", "_rebuild_tensor_v2")


def storage(count=b"K\x04", key="0", kind=STORAGE, word="storage"):
    return b"(" + text(word) + kind + text(key) + text("cpu") + count + b"tQ"


def tensor(held, offset=b"K\x00", size=b"K\x02K\x02\x86", stride=b"K\x02K\x01\x86"):
    return called(TENSOR, held, offset, size, stride, b"\x89", b"}")


def number(value):
    return b"\x8b" + struct.pack("<i", 9) + value.to_bytes(9, "little", signed=True)


def biting(run):
    "Pickles that Python would run, each with what our reader says of it"
    line = text(run)
    opened = text("__import__('os').system(" + repr(run) + ")")
    inner = pickle.dumps(Bite(run))
    data = b"B" + struct.pack("<I", len(inner)) + inner
    posix = b"(" + line + b"iposix\nsystem\n"
    return {
        "reduce": (called(named("os", "system"), line), "os.system"),
        "reduce-posix": (called(named("posix", "system"), line), "posix.system"),
        "stack-global": (text("os") + text("system") + b"\x93" + line + b"\x85R", "os.system"),
        "inst": (posix, "posix.system"),
        "obj": (b"(" + named("os", "popen") + line + b"o", "os.popen"),
        "extension": (b"\x82\x77" + line + b"\x85R", "EXT1"),
        "extension-2": (b"\x83\x77\x00" + line + b"\x85R", "EXT2"),
        "extension-4": (b"\x84\x77\x00\x00\x00" + line + b"\x85R", "EXT4"),
        "eval": (called(named("builtins", "eval"), opened), "builtins.eval"),
        "exec": (called(named("builtins", "exec"), opened), "builtins.exec"),
        "eval-2": (called(named("__builtin__", "eval"), opened), "__builtin__.eval"),
        "import": (called(named("builtins", "__import__"), text("os")), "builtins.__import__"),
        "getattr": (
            called(called(named("builtins", "getattr"), named("os", "path"), text("os")), line),
            "builtins.getattr",
        ),
        "importlib": (
            called(named("importlib", "import_module"), text("os")),
            "importlib.import_module",
        ),
        "getoutput": (
            called(named("subprocess", "getoutput"), line), "subprocess.getoutput",
        ),
        "partial": (
            called(called(named("functools", "partial"), named("os", "system"), line)),
            "functools.partial",
        ),
        "loads": (called(named("_pickle", "loads"), data), "_pickle.loads"),
        "method": (
            called(called(named("operator", "methodcaller"), text("system"), line), named("os", "sys")),
            "operator.methodcaller",
        ),
        "newobj": (
            named("subprocess", "Popen") + b")\x81" + b"0" + called(named("os", "system"), line),
            "subprocess.Popen",
        ),
        "build": (
            DICTIONARY.replace(b"flair.data\nDictionary", b"types\nSimpleNamespace")
            + b"}" + text("__setstate__") + named("os", "system") + b"sb" + line + b"b",
            "types.SimpleNamespace",
        ),
        "behind-data": (b"]0" + called(named("os", "system"), line), "os.system"),
        "behind-memo": (named("os", "system") + b"q\x050h\x05" + line + b"\x85R", "os.system"),
        "as-list": (b"]" + called(named("os", "system"), line) + b"a", "os.system"),
        "as-key": (b"}" + called(named("os", "system"), line) + b"K\x01s", "os.system"),
    }  # fmt: skip


class Bite:
    def __init__(self, run):
        self.run = run

    def __reduce__(self):
        import os

        return os.system, (self.run,)


def quiet(run=""):
    "Pickles that would do harm in other ways, or need torch to bite"
    line = text("x")
    build = DICTIONARY + b"}" + text("__setstate__") + named("_codecs", "encode")
    names = [
        ("torch", "load"), ("torch.jit", "load"), ("torch.hub", "load"),
        ("torch.storage", "_load_from_bytes"), ("torch._tensor", "_rebuild_from_type_v2"),
        ("torch._utils", "_rebuild_wrapper_subclass"), ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.activation", "ReLU.forward"), ("torch", "ops"),
        ("torch.distributed.rpc", "rpc_sync"), ("types", "FunctionType"),
        ("marshal", "loads"), ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"), ("numpy", "dtype"),
        ("timeit", "timeit"), ("runpy", "run_path"), ("ctypes", "CDLL"), ("pty", "spawn"), ("shutil", "rmtree"),
        ("webbrowser", "open"), ("socket", "create_connection"), ("pathlib", "Path.unlink"),
        ("copyreg", "_reconstructor"), ("builtins", "type"), ("builtins", "open"),
        ("flair.data", "Dictionary.load"), ("flair.data", "Dictionary.__init__.__globals__"),
        ("flair.models", "LanguageModel"), ("collections", "OrderedDict.fromkeys"),
        ("flairnb.models.language_model", "BUILDERS"), ("__main__", "x"),
    ]  # fmt: skip
    found = {f"{a}.{b}": (called(named(a, b), line), f"{a}.{b}") for a, b in names}
    dotted = text("flair.data") + text("Dictionary.save.__globals__") + b"\x93"
    return found | {
        "dotted": (dotted, "Dictionary.save.__globals__"),
        "newobj-ex": (named("flair.data", "Dictionary") + b")}\x92", "NEWOBJ_EX"),
        "obj-allowed": (b"(" + named("flair.data", "Dictionary") + b"o", "OBJ"),
        "inst-allowed": (b"(iflair.data\nDictionary\n", "INST"),
        "setstate-allowed": (build + b"sb" + line + b"b", "sets the state"),
        "state-of-name": (STORAGE + b"}" + line + b"Nsb", "sets the state of a Name"),
        "slots-of-name": (STORAGE + b"N}" + line + b"Ns\x86b", "sets the state of a Name"),
        "state-of-list": (b"]}b", "sets the state of a list"),
        "call-a-text": (called(line, line), "it calls str"),
        "call-a-storage": (called(STORAGE, number(2**40)), "calls torch.FloatStorage"),
        "call-int": (called(named("builtins", "int"), line), "calls builtins.int"),
        "codec": (
            called(named("_codecs", "encode"), line, text("rot13")), "with 'rot13'",
        ),
        "persid": (b"Pos.system\n", "PERSID"),
        "outside-text": (line + b"Q", "something outside"),
        "outside-module": (storage(word="module"), "refers to a module"),
        "outside-kind": (storage(kind=line), "refers to a storage"),
        "outside-name": (storage(kind=named("torch", "Tensor")), "torch.Tensor"),
        "set": (b"\x8f", "EMPTY_SET"),
        "buffer": (b"\x97", "NEXT_BUFFER"),
        "append-to-dict": (b"}Na", "appends to a dict"),
        "item-of-list": (b"]" + line + b"Ns", "sets items of a list"),
        "tuple-as-key": (b"})Ns", "a tuple as key"),
        "name-of-lists": (b"]" + line + b"\x93", "a list where a text should be"),
        "parameter": (
            called(named("torch._utils", "_rebuild_parameter"), line), "no tensor",
        ),
    }  # fmt: skip


def archive(body, stored=b"\0" * 16, compress=zipfile.ZIP_STORED, **more):
    "As torch writes since 1.6"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compress) as out:
        out.writestr("lm/data.pkl", b"\x80\x02" + body + b".")
        out.writestr("lm/byteorder", more.pop("byteorder", "little"))
        out.writestr("lm/data/0", stored)
        for name, data in more.items():
            out.writestr(f"lm/{name}", data)
    return made.getvalue()


SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
MAGIC = 0x1950A86A20F9469CFC6C


FOUR = struct.pack("<q", 4) + b"\0" * 16  # a storage with its length


def row(body, stored=FOUR, keys=("0",), version=1001):
    "As torch wrote before 1.6"
    heads = b"".join(pickle.dumps(x, 2) for x in (MAGIC, version, SYSTEM))
    return heads + b"\x80\x02" + body + b"." + pickle.dumps(list(keys), 2) + stored


def alone(body):
    return b"\x80\x02" + body + b"."


CONTAINERS = {"archive": archive, "row": row, "alone": alone}
BITING, QUIET = biting("true"), quiet()


@pytest.fixture
def run(tmp_path, monkeypatch):
    "A command that leaves a file behind; the registry of extensions offers it as well"
    monkeypatch.setitem(copyreg._inverted_registry, 0x77, ("os", "system"))
    monkeypatch.setitem(copyreg._extension_registry, ("os", "system"), 0x77)
    return f"touch '{tmp_path}/canary'"


@pytest.mark.parametrize("name", BITING)
def test_the_pickles_do_bite(name, run, tmp_path):
    "Python itself runs them: else this page would prove nothing"
    if name in ("import", "importlib", "method", "getattr"):
        pytest.skip("only the first half of an attack")
    found = pickle.loads(alone(biting(run)[name][0]))
    if name == "obj":
        found.read()
    copyreg._extension_cache.pop(0x77, None)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", [*BITING, *QUIET])
def test_a_hostile_pickle_is_refused_by_name(name, kind, run, tmp_path):
    body, said = (biting(run) | quiet())[name]
    path = tmp_path / "lm.bin"
    path.write_bytes(CONTAINERS[kind](body))
    with pytest.raises(ModelFileError) as error:
        load_language_model(path)
    assert str(path) in str(error.value) and "nothing in it was run" in str(error.value)
    if (
        kind == "alone"
    ):  # outside of torch's containers a pickle may name nothing at all
        said = f"{re.escape(said)}|it asks for|something outside"
        assert re.search(said, str(error.value))
    else:
        assert said in str(error.value)
    assert not (tmp_path / "canary").exists()


def places(evil):
    "A model's file with something hostile deep in it"
    key = text("state_dict")
    order = called(named("collections", "OrderedDict"))
    items = text("idx2item") + b"]" + evil + b"a"
    return {
        "state_dict": b"}" + key + order + text("encoder.weight") + evil + b"ss",
        "metadata": b"}" + key + order + b"}" + text("_metadata") + evil + b"sbs",
        "dictionary": b"}" + text("dictionary") + DICTIONARY + b"}" + items + b"sbs",
        "attribute": b"}"
        + text("dictionary")
        + DICTIONARY
        + b"}"
        + text("x")
        + evil
        + b"sbs",
        "default": b"}"
        + text("x")
        + called(named("collections", "defaultdict"), evil)
        + b"s",
        "optimizer": b"}" + text("optimizer_state_dict") + b"}K\x00" + evil + b"ss",
        "size": b"}" + key + tensor(storage(), size=evil) + b"s",
        "storage": b"}" + key + tensor(evil) + b"s",
        "kind": b"}" + key + tensor(storage(kind=evil)) + b"s",
    }


@pytest.mark.parametrize("kind", ["archive", "row"])
@pytest.mark.parametrize("place", places(b""))
def test_a_hostile_object_is_found_anywhere(place, kind, run, tmp_path):
    evil = called(named("os", "system"), text(run))
    (tmp_path / "lm.pt").write_bytes(CONTAINERS[kind](places(evil)[place]))
    with pytest.raises(ModelFileError, match=r"it asks for os\.system"):
        load_language_model(tmp_path / "lm.pt")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("old", [False, True])
def test_a_hostile_object_that_torch_wrote_is_refused(old, run, tmp_path):
    state = {"state_dict": {}, "dictionary": Bite(run)}
    torch.save(state, tmp_path / "lm.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(ModelFileError, match=r"posix\.system|nt\.system"):
        load_language_model(tmp_path / "lm.pt")
    torch.save(
        nn.Linear(2, 2), tmp_path / "lm.pt", _use_new_zipfile_serialization=not old
    )
    with pytest.raises(ModelFileError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_language_model(tmp_path / "lm.pt")
    assert not (tmp_path / "canary").exists()


def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "lm.pt")
    with pytest.raises(ModelFileError, match="TorchScript"):
        load_language_model(tmp_path / "lm.pt")


# --- claims ---

WHOLE = b"K\x02K\x02\x86"
CLAIMS = {
    "storage-too-long": (tensor(storage(number(2**40))), "claims a storage of"),
    "storage-of-less": (tensor(storage(b"K\x02")), "not what it claims|outside"),
    "storage-of-more": (tensor(storage(b"K\x05")), "not what it claims"),
    "storage-negative": (tensor(storage(number(-4))), "without key or length"),
    "storage-true": (tensor(storage(b"\x88")), "without key or length"),
    "storage-missing": (tensor(storage(key="1")), "data/1|not those"),
    "storage-outside": (tensor(storage(key="../../x")), "x|not those"),
    "storage-twice": (
        b"]" + storage() + b"a" + storage(b"K\x03") + b"a", "in two ways",
    ),
    "storage-as-other": (
        b"]" + storage() + b"a" + storage(kind=named("torch", "IntStorage")) + b"a",
        "in two ways",
    ),
    "offset": (tensor(storage(), b"K\x01"), "outside of its storage"),
    "offset-negative": (tensor(storage(), number(-1)), "without size"),
    "stride": (tensor(storage(), stride=b"K\x03K\x01\x86"), "outside of its storage"),
    "stride-negative": (tensor(storage(), stride=number(-1) + b"K\x01\x86"), "without size"),
    "stride-zero": (
        tensor(storage(), size=number(2**40) + b"\x85", stride=b"K\x00\x85"),
        "outside of its storage",
    ),
    "size": (tensor(storage(), size=number(2**62) + b"K\x02\x86"), "outside of its storage"),
    "dimensions": (tensor(storage(), stride=b"K\x01\x85"), "without size"),
    "size-text": (tensor(storage(), size=text("ab")), "without size"),
    "size-float": (tensor(storage(), size=b"G" + b"\0" * 8 + b"K\x02\x86"), "without size"),
    "no-storage": (tensor(b"N"), "without size"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["archive", "row"])
@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_claims_is_checked(name, kind, tmp_path):
    body, said = CLAIMS[name]
    (tmp_path / "lm.pt").write_bytes(CONTAINERS[kind](body))
    with pytest.raises(ModelFileError, match=said):
        load_language_model(tmp_path / "lm.pt")


def test_a_tensor_inside_of_its_storage_is_read(tmp_path):
    values = struct.pack("<4f", 1, 2, 3, 4)
    for made in (archive, row):
        stored = values if made is archive else struct.pack("<q", 4) + values
        body = b"}" + text("x") + tensor(storage(), stride=b"K\x01K\x02\x86") + b"s"
        (tmp_path / "lm.pt").write_bytes(made(body, stored))
        found = read_flair_pickle(tmp_path / "lm.pt")["x"]
        assert found.tolist() == [[1, 3], [2, 4]]


LAUGHS = b"]q\x010" + b"](h\x01h\x01eq\x010" * 60 + b"h\x01"  # 2 ** 60 lists


def model_with(**claims):
    "A model of Flair's with other settings, and its dictionary put in by hand"
    state = read_flair_pickle(FLAIR / "forward.pt")
    del state["dictionary"]
    made = io.BytesIO()
    torch.save(state | claims, made, _use_new_zipfile_serialization=False)
    data, ends = made.getvalue(), []
    source = io.BytesIO(data)
    for _ in range(4):  # the fourth pickle is the object
        list(pickletools.genops(source))
        ends.append(source.tell() - 1)
    items = b"](" + b"".join(map(text, KNOWN["dictionary"])) + b"e"
    known = DICTIONARY + b"}" + text("idx2item") + items + b"sb"
    return data[: ends[-1]] + text("dictionary") + known + b"s" + data[ends[-1] :]


def test_a_model_with_changed_settings_is_still_one(tmp_path):
    (tmp_path / "lm.pt").write_bytes(model_with(document_delimiter="#"))
    assert load_language_model(tmp_path / "lm.pt").document_delimiter == "#"


@pytest.mark.parametrize(
    "claims",
    [
        {"hidden_size": 10**9}, {"nlayers": 10**9}, {"embedding_size": 10**9},
        {"nout": 10**9}, {"hidden_size": -1}, {"nlayers": 0}, {"nlayers": 2},
        {"recurrent_type": "GRU"}, {"recurrent_type": "RNN"}, {"dropout": 7.0},
        {"dropout": "much"}, {"document_delimiter": 3}, {"state_dict": {}},
        {"state_dict": []}, {"hidden_size": None}, {"state_dict": {"encoder.weight": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_model_is_built_only_of_fitting_size(claims, tmp_path):
    (tmp_path / "lm.pt").write_bytes(model_with(**claims))
    with pytest.raises(ModelFileError, match="no language model of Flair's"):
        load_language_model(tmp_path / "lm.pt")


BOMBS = {
    "bytes": b"\x8e" + struct.pack("<Q", 2**62),
    "text": b"\x8d" + struct.pack("<Q", 2**40),
    "frame": b"\x95" + struct.pack("<Q", 2**60),
    "long": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "memo": b"Nr\xff\xff\xff\xff",
    "deep": b"]" * 50_000 + b"a" * 49_999,
    "deep-key": b"}" + b")" + b"\x85" * 50_000 + b"Ns",
    "laughs": LAUGHS,
    "laughs-as-name": LAUGHS + LAUGHS + b"\x93",
    "laughs-as-call": called(LAUGHS, LAUGHS),
    "laughs-as-delimiter": b"}" + text("document_delimiter") + LAUGHS + b"s",
    "laughs-as-items": b"}" + text("dictionary") + DICTIONARY + b"}" + text("idx2item")
    + LAUGHS + b"sbs",
    "itself": b"]q\x01h\x01a",
}  # fmt: skip


@pytest.mark.parametrize("claim", ["document_delimiter", "recurrent_type", "nout"])
def test_a_setting_without_end_is_refused(claim, tmp_path):
    nested = []
    for _ in range(60):
        nested = [nested, nested]
    (tmp_path / "lm.pt").write_bytes(model_with(**{claim: nested}))
    with pytest.raises(ModelFileError, match="no language model of Flair's"):
        load_language_model(tmp_path / "lm.pt")


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_does_not_go_off(name, kind, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "lm.pt").write_bytes(CONTAINERS[kind](BOMBS[name]))
    with pytest.raises(ModelFileError):
        load_language_model(tmp_path / "lm.pt")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100_000  # kilobytes


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    body, zeros = tensor(storage(number(2**24))), b"\0" * 2**26
    (tmp_path / "lm.pt").write_bytes(archive(body, zeros, zipfile.ZIP_DEFLATED))
    with pytest.raises(ModelFileError, match="packed"):
        load_language_model(tmp_path / "lm.pt")


def test_an_archive_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "lm.pt"
    for data, said in (
        (archive(b"}", byteorder="big"), "little-endian"),
        (archive(b"}", **{"more/data.pkl": b"N."}), "2 parts named data.pkl"),
        (archive(b"}", **{"code/constants.pkl": b""}), "TorchScript"),
        (row(b"}", version=1002), "its format is 1002"),
        (row(b"}"), "not those that it refers to"),
        (row(b"N"), "not those that it refers to"),
        (archive(b"K\x01"), "holds int"),
        (archive(b"}"), "KeyError"),
    ):
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=said):
            load_language_model(path)


@pytest.mark.parametrize("name", ["forward", "layout-oldest"])
def test_every_truncation_of_flairs_files_is_noticed(name, tmp_path):
    whole = (FLAIR / f"{name}.pt").read_bytes()
    path = tmp_path / "lm.pt"
    for length in {*range(0, len(whole), 37), *range(len(whole) - 30, len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            load_language_model(path)


@given(place=st.integers(0, 5500), byte=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_gives_a_model_or_an_error_that_says_so(
    place, byte, tmp_path_factory
):
    whole = bytearray((FLAIR / "forward.pt").read_bytes())
    whole[place] = byte
    path = tmp_path_factory.mktemp("flipped") / "lm.pt"
    path.write_bytes(whole)
    try:
        load_language_model(path)
    except ModelFileError as error:
        assert str(path) in str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)  # fmt: skip


@given(value=VALUES, protocol=st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_plain_data_comes_back(value, protocol):
    data = pickle.dumps(value, protocol)
    try:
        found = PlainPickle().load(io.BytesIO(data))
    except RefusedError as error:  # before protocol 3, bytes are written as a call
        assert protocol < 3 and re.search(r"_codecs\.encode|bytes", str(error))
    else:
        assert found == value and type(found) is type(value)


# --- dictionaries ---


def test_a_dictionary_is_loaded_by_path(tmp_path):
    known = Dictionary.load(
        FLAIR / "characters"
    )  # a pickle, by Flair's Dictionary.save
    assert known.get_items() == KNOWN["dictionary"] and known.add_unk
    known.save(tmp_path / "d.json")
    assert Dictionary.load(str(tmp_path / "d.json")) == known
    with pytest.raises(FileNotFoundError, match="no dictionary and no file 'chras'"):
        Dictionary.load("chras")


def test_a_dictionary_that_is_something_else_is_refused(tmp_path, run):
    path = tmp_path / "d"
    for data, said in (
        (pickle.dumps(Bite(run)), r"posix\.system"),
        (pickle.dumps({"x": 1}), "idx2item"),
        (pickle.dumps({"idx2item": [1]}), "not texts"),
        (pickle.dumps({"idx2item": 3}), "no dictionary"),
        (b"{}", "is not a dictionary"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=said):
            Dictionary.load(path)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", CHARACTERS)
def test_a_dictionary_is_loaded_by_name(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(tmp_path / "mirror"))
    (tmp_path / "mirror" / "characters").mkdir(parents=True)
    with pytest.raises(OfflineError, match=CHARACTERS[name]):
        Dictionary.load(name)
    there = tmp_path / "mirror" / "characters" / CHARACTERS[name]
    there.write_bytes((FLAIR / "characters").read_bytes())
    assert Dictionary.load(name).get_items() == KNOWN["dictionary"]


# --- the model ---

LETTERS = Dictionary.of("\n abcdefghijklmnopqrstuvwxyz", add_unk=True)
SHAPES = [(kind, layers, nout) for kind in ("LSTM", "gru") for layers in (1, 2)
          for nout in (None, 3)]  # fmt: skip


def small(forward=True, seed=1, **chosen):
    set_seed(seed)
    sizes = {"hidden_size": 8, "nlayers": 1, "embedding_size": 4, **chosen}
    model = LanguageModel(LETTERS, forward, **sizes)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.5)
    return model.eval()


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("kind, layers, nout", SHAPES)
def test_the_loss_is_torchs_cross_entropy(forward, kind, layers, nout):
    model = small(forward, recurrent_type=kind, nlayers=layers, nout=nout)
    text = "a cab drove by\nand by, was? gone"
    numbers = torch.tensor(LETTERS.get_idx_for_items(text[:: 1 if forward else -1]))
    with torch.no_grad():
        known, _ = model.rnn(model.encoder(numbers[None, :-1]))
        known = known if nout is None else known @ model.proj.weight.T + model.proj.bias
        scores = known[0] @ model.decoder.weight.T + model.decoder.bias
    mean = nn.CrossEntropyLoss()(scores, numbers[1:]).item()
    assert model.calculate_perplexity(text) == pytest.approx(math.exp(mean), rel=1e-5)
    assert model.bits_per_character(text) == pytest.approx(mean / math.log(2), rel=1e-5)


def test_a_long_text_is_measured_in_pieces():
    model = small()
    text = "the quick brown fox\n" * 300  # more than two pieces
    numbers = torch.tensor(LETTERS.get_idx_for_items(text))
    with torch.no_grad():
        scores = model(numbers[None, :-1])[0][0]
    mean = nn.functional.cross_entropy(scores, numbers[1:]).item()
    assert math.log(model.calculate_perplexity(text)) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@given(cut=st.integers(1, 18))
@settings(max_examples=20, deadline=None)
def test_a_text_in_parts_gives_the_same_states(kind, cut):
    model, numbers = small(recurrent_type=kind), torch.arange(1, 20)[None]
    with torch.no_grad():
        whole, end = model.read(numbers)
        first, state = model.read(numbers[:, :cut])
        second, last = model.read(numbers[:, cut:], state)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(end, last, strict=True))


def test_measuring_leaves_the_model_in_training():
    model = small(dropout=0.5).train()
    first = model.calculate_perplexity("a cab")
    assert model.training and model.calculate_perplexity("a cab") == first


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_without_a_guess_cannot_be_measured(text):
    with pytest.raises(ValueError, match="two characters"):
        small().calculate_perplexity(text)


@pytest.mark.parametrize("forward", [True, False])
def test_writing_is_drawn_from_the_seed(forward):
    model = small(forward)
    set_seed(3)
    first = model.generate_text("ab", 40)
    set_seed(3)
    assert model.generate_text("ab", 40) == first
    set_seed(4)
    assert model.generate_text("ab", 40) != first
    text = first[0]
    assert text.startswith("ab") if forward else text.endswith("ab")


@pytest.mark.parametrize("forward", [True, False])
def test_the_probability_of_what_is_written_is_right(forward):
    model, turn = small(forward), 1 if forward else -1
    text, likely = model.generate_text("ab", 1)
    numbers = torch.tensor(LETTERS.get_idx_for_items("ab"[::turn]))
    with torch.no_grad():
        chances = model(numbers[None])[0][0, -1].log_softmax(0)
    written = text[2:] if forward else text[:-2]
    assert likely == pytest.approx(float(chances[LETTERS.get_idx_for_item(written)]))


def test_a_low_temperature_takes_the_likeliest():
    model = small()
    text, _ = model.generate_text("ab", 20, temperature=1e-4)
    numbers = LETTERS.get_idx_for_items("ab")
    with torch.no_grad():
        while len(numbers) < 22:
            numbers.append(int(model(torch.tensor([numbers]))[0][0, -1].argmax()))
    expected = "".join(LETTERS.get_item_for_index(n) for n in numbers)
    assert len(text) >= 22 and expected.startswith(text)
    set_seed(1)
    hot = model.generate_text("ab", 400, temperature=1e6)[0][2:]
    assert len(set(hot.replace("<unk>", "?"))) == len(LETTERS)  # all are as likely
    for wrong in (0, -1.0):
        with pytest.raises(ValueError, match="temperature is above 0"):
            model.generate_text(temperature=wrong)


@pytest.mark.parametrize("forward", [True, False])
def test_writing_ends_at_a_suffix(forward):
    model = small(forward)
    set_seed(1)
    text, _ = model.generate_text("ab", 5000, break_on_suffix="e")
    assert len(text) < 5000
    written = text[2:] if forward else text[:-2]
    assert (written[-1] if forward else written[0]) == "e" and written.count("e") == 1


def test_what_is_not_known_counts_as_one_character():
    "`<unk>` has five letters and stands for one"
    model = small()
    with torch.no_grad():
        model.decoder.weight.zero_()
        model.decoder.bias.fill_(-50.0)
        model.decoder.bias[0] = 50.0
    assert model.dictionary.get_item_for_index(0) == "<unk>"
    assert model.generate_text("ab", 7)[0] == "ab" + 7 * "<unk>"


def test_writing_starts_at_a_line_without_prefix():
    set_seed(1)
    assert small().generate_text("", 5)[0].startswith("\n")


# --- files of our own ---


@pytest.fixture
def own(tmp_path):
    small().save(tmp_path / "lm.pt", card={"text": "none"})
    return tmp_path / "lm.pt"


def test_a_model_comes_back(own, tmp_path):
    model, back = small(), load_language_model(own)
    assert back.config() == model.config() and back.card == {"text": "none"}
    assert not back.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    model.save(tmp_path / "half.pt", half=True)
    half = load_language_model(tmp_path / "half.pt")
    assert half.encoder.weight.dtype == torch.float32
    assert torch.equal(half.encoder.weight, model.encoder.weight.half().float())
    assert (tmp_path / "half.pt").stat().st_size < own.stat().st_size


def test_a_file_of_the_wrong_kind_is_named(own, tmp_path):
    path = tmp_path / "other.pt"
    write_model_file(path, {}, {"class": "SequenceTagger"})
    with pytest.raises(
        ModelFileError, match="holds a SequenceTagger, not a LanguageModel"
    ):
        load_language_model(path)
    path.write_text("<html>")
    with pytest.raises(ModelFileError, match="HTML"):
        load_language_model(path)
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        load_language_model(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError):
        load_language_model(tmp_path)


def test_damage_is_noticed(own):
    whole = own.read_bytes()
    for place in range(0, len(whole), 29):
        changed = bytes([whole[place] ^ 0x41])
        for data in (whole[:place], whole[:place] + changed + whole[place + 1 :]):
            own.write_bytes(data)
            with pytest.raises(ModelFileError):
                load_language_model(own)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 10**12}, {"nlayers": 10**12}, {"nout": 7}, {"dictionary": {}},
        {"recurrent_type": "RNN"}, {"more": 1}, {"hidden_size": "8"}, {"dropout": 3},
        {"dictionary": {"items": ["a"]}},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_do_not_fit_the_weights_are_an_error(own, change):
    stored = read_model_file(own)
    config = {**stored.config, "model": {**stored.config["model"], **change}}
    write_model_file(own, stored.tensors, config)
    with pytest.raises(ModelFileError, match="is damaged"):
        load_language_model(own)


def test_another_kind_of_network_is_refused():
    with pytest.raises(ValueError, match="'LSTM' or 'GRU', not 'RNN'"):
        small(recurrent_type="RNN")

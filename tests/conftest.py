"What holds for all tests"

import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

# under CI the same commit gets the same verdict; by hand, hypothesis looks for new cases
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# What is tested is the CPU, wherever the tests run; `test_accelerator.py` tests the rest
os.environ.setdefault("FLAIRNB_DEVICE", "cpu")

# Real corpora are no part of the project; tests that read them skip where they are not.
SHARED = Path(__file__).parents[2] / "shared" / "corpora"
real = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no shared/corpora beside the checkout"
)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    "A cache of the test's own, so that no index of an earlier run is read"
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))


@pytest.fixture
def offline(own_cache, monkeypatch):
    "An empty cache, no mirrors, no network"
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.delenv("FLAIRNB_MIRRORS", raising=False)


@pytest.fixture
def mirror(offline, tmp_path, monkeypatch):
    "The folder `corpora` of a mirror, which is empty"
    folder = tmp_path / "mirror"
    (folder / "corpora").mkdir(parents=True)
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(folder))
    return folder / "corpora"


@pytest.fixture
def real_mirror(mirror):
    "A mirror with real files, and German-PUD in the place of German-GSD's train file"
    from flairnb.foundation import sha256_of

    for name in ("ud_english", "wnut_17"):
        (mirror / name).symlink_to(SHARED / name)
    german, stand_in = SHARED / "ud_german", "ud_german/de_gsd-ud-train.conllu"
    (mirror / "ud_german").mkdir()
    for name in ("de_gsd-ud-dev.conllu", "de_gsd-ud-test.conllu"):
        (mirror / "ud_german" / name).symlink_to(german / name)
    pud = german / "de_pud-ud-test.conllu"
    (mirror / stand_in).symlink_to(pud)
    told = {"size": pud.stat().st_size, "sha256": sha256_of(pud), "note": "German-PUD"}
    manifest = json.dumps({f"corpora/{stand_in}": told})
    (mirror.parent / "manifest.json").write_text(manifest)
    return mirror


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    "A folder for files that are written again and again"
    return tmp_path_factory.mktemp("scratch")

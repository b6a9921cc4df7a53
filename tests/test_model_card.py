"Model cards, and models on their way to a hub and back"

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import ModelCard

from flairnb.assets import AssetError, OfflineError
from flairnb.data.corpus import Corpus
from flairnb.data.sentence import Sentence
from flairnb.embeddings import OneHotEmbeddings
from flairnb.models import Model, SequenceTagger
from flairnb.saving import card_markdown, card_text, fetch_model_file, setting_text

REPORT = {
    "NOUN": {"precision": 0.5, "recall": 0.25, "f1-score": 1 / 3, "support": 4},
    "micro avg": {"precision": 1.0, "recall": 0.75, "f1-score": 0.85714, "support": 9},
    "accuracy": 0.875,
}
CARD = {
    "epochs": 7,
    "seed": 42,
    "times": {"started": "2026-11-26 10:45:55", "seconds": 61.5},
    "arguments": {"learning_rate": 5e-06, "optimizer": "AdamW"},
    "data": {
        "name": "pets",
        "splits": {
            "train": {"sentences": 530, "tokens": 8011, "fingerprint": "ab12" * 16},
            "test": {"sentences": 61},
        },
    },
    "scores": {"dev": {"accuracy": 0.1}, "test": REPORT},
    "versions": {"flairnb": "9.8.7"},
    "language": ["en", "de"],
    "license": "mit",
    "tags": ["animals"],
    "write_weights": True,
}


def words():
    sentence = Sentence("cats sleep")
    sentence[0].add_label("pos", "NOUN")
    sentence[1].add_label("pos", "VERB|x")
    return Corpus([sentence, sentence], [sentence], [sentence])


@pytest.fixture
def tagger():
    corpus = words()
    made = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=3)
    tags = corpus.make_label_dictionary("pos")
    return SequenceTagger(made, tags, "pos", hidden_size=4)


def same(one: Model, other: Model) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(mine[k], theirs[k]) for k in mine
    )


def cells_below(text: str, title: str) -> list[list[str]]:
    "The rows of a table in Markdown, as another reader sees them"
    table = text.split(f"## {title}\n\n")[1].split("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in rows]


# --- the card ---


def test_the_hub_reads_the_header(tagger, tmp_path):
    tagger.training_card = CARD
    tagger.save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    data = card.data
    assert (
        data.library_name == "flairnb" and data.pipeline_tag == "token-classification"
    )
    assert data.tags == ["flairnb", "SequenceTagger", "animals"]
    assert (data.language, data.license) == (["en", "de"], "mit")
    scores = {one.metric_type: one.metric_value for one in data.eval_results}
    assert scores == {
        "f1": 0.85714,
        "accuracy": 0.875,
        "precision": 1.0,
        "recall": 0.75,
    }
    assert {one.dataset_name for one in data.eval_results} == {"pets"}
    assert {*data.metrics} == {*scores}


def test_everything_stands_in_the_tables(tagger, tmp_path):
    tagger.training_card = CARD
    tagger.save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    for rows in (cells_below(text, t) for t in re.findall("^## (.*)", text, re.M)):
        assert len({len(row) for row in rows}) == 1 and len(rows) > 2
    model = dict(cells_below(text, "Model"))
    assert (model["class"], model["hidden_size"]) == ("SequenceTagger", "4")
    assert model["tag_dictionary"] == "2: NOUN, VERB|x"
    assert model["embeddings"].startswith("OneHotEmbeddings")
    train = cells_below(text, "Data: pets")[2]
    assert train[:3] == ["train", "530", "8011"] and train[3].startswith("ab12ab12")
    assert cells_below(text, "Data: pets")[3] == ["test", "61", "", ""]
    scores = {row[0]: row[1:] for row in cells_below(text, "Scores on test")[2:]}
    assert scores["NOUN"] == ["0.5000", "0.2500", "0.3333", "4"]
    assert scores["accuracy"] == ["", "", "0.8750", ""]
    training = dict(cells_below(text, "Training"))
    assert training["epochs"] == "7" and training["seconds"] == "61.5"
    arguments = dict(cells_below(text, "Arguments"))
    assert (
        arguments["learning_rate"] == "5e-06" and arguments["write_weights"] == "true"
    )
    assert "language" not in arguments
    assert dict(cells_below(text, "Versions"))["flairnb"] == "9.8.7"


def test_the_console_shows_the_same(tagger, capsys):
    tagger.training_card = CARD
    tagger.print_model_card()
    told = capsys.readouterr().out
    for part in (
        "SequenceTagger",
        "VERB|x",
        "pets",
        "0.3333",
        "AdamW",
        "9.8.7",
        "ab12",
    ):
        assert part in told
    assert all(len(line) <= 110 for line in told.splitlines())


def test_a_card_is_kept_in_every_file(tagger, tmp_path):
    tagger.training_card = CARD
    tagger.save(tmp_path / "final-model.pt")
    again = SequenceTagger.load(tmp_path / "final-model.pt")
    assert again.training_card == CARD
    tagger.training_card = {}
    tagger.save(tmp_path / "bare.pt")
    assert (
        Model.load(tmp_path / "bare.pt").training_card["versions"]["torch"]
        == torch.__version__
    )


def test_any_card_can_be_shown():
    "Keys are missing, values are odd; older cards hold the arguments beside the rest"
    old = {"epochs": 3, "learning_rate": 0.1, "scheduler": None, "long": "x" * 500}
    for training in (
        old,
        {},
        {"scores": {}},
        {"data": {}, "times": {}},
        {"scores": {"dev": {}}},
    ):
        description = {
            "class": "Odd",
            "model": {"a\nb": ["|"] * 90},
            "training": training,
        }
        assert "Odd" in card_text(description)
        text = card_markdown(description, "ann/pets")
        assert ModelCard(text).data.library_name == "flairnb"
    assert "learning_rate" in card_text({"class": "Odd", "training": old})
    assert card_text({}) and card_markdown({})


def test_names_of_embeddings():
    glove = {
        "class": "WordEmbeddings",
        "arguments": {"name": "glove", "vocab": ["a"] * 9},
    }
    stack = {
        "class": "StackedEmbeddings",
        "arguments": {"embeddings": [glove, {"class": "X"}]},
    }
    pool = {"class": "DocumentPoolEmbeddings", "arguments": {"embeddings": stack}}
    wanted = "DocumentPoolEmbeddings(StackedEmbeddings(WordEmbeddings('glove'), X))"
    assert setting_text(pool) == wanted


def test_a_card_that_a_person_wrote_is_left_alone(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    card = tmp_path / "README.md"
    first = card.read_text()
    tagger.training_card = {"epochs": 5}
    tagger.save_pretrained(tmp_path)
    assert card.read_text() != first
    card.write_text("# Mine\n")
    tagger.save_pretrained(tmp_path)
    assert card.read_text() == "# Mine\n"


# --- names and folders ---


@pytest.mark.parametrize(
    "name", ["final-model.pt", "a/b/c", "./ann/pets", "taggers/pos.pt", "..", "pets"]
)
def test_a_path_that_is_missing_is_no_name_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    with pytest.raises((FileNotFoundError, IsADirectoryError)) as caught:
        Model.from_pretrained(name)
    assert not isinstance(caught.value, AssetError)


def test_a_folder_comes_before_the_hub(tagger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tagger.save_pretrained("ann/pets")
    assert same(SequenceTagger.from_pretrained("ann/pets"), tagger)
    assert same(Model.from_pretrained("ann/pets/model.safetensors"), tagger)


def test_a_mirror_serves_models(tagger, tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(tmp_path / "mirror"))
    tagger.save_pretrained(tmp_path / "mirror" / "models" / "ann" / "mirrored")
    assert same(Model.from_pretrained("ann/mirrored"), tagger)


def test_without_a_network_the_error_says_where_to_put_it(tagger, monkeypatch):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    with pytest.raises(OfflineError, match="FLAIRNB_OFFLINE") as caught:
        fetch_model_file("ann/nowhere")
    for part in ("Put the file at", "models/ann/nowhere/model.safetensors", "size"):
        assert part in str(caught.value)
    with pytest.raises(OfflineError, match="save_pretrained"):
        tagger.push_to_hub("ann/pets")


# --- a stand-in for the hub ---


class Hub(BaseHTTPRequestHandler):
    "The calls of the hub's interface that a client needs to send and fetch a model"

    def log_message(self, *given):
        pass

    def answer(self, status=200, content=b"", **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        hub, path = self.server, self.path.split("?")[0]
        hub.calls.append(path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_ann" and "yaml" not in path:
            return self.answer(401, {"error": "who are you?"})
        if path == "/api/repos/create":
            given = json.loads(body)
            hub.created.append(given)
            return self.answer(content={"url": f"{hub.address}/ann/{given['name']}"})
        if path == "/api/validate-yaml":
            hub.checked.append(json.loads(body)["content"])
            return self.answer(content={"errors": [], "warnings": []})
        if "/preupload/" in path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs"
                    if file["path"].endswith(".safetensors")
                    else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self.answer(content={"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                one
                | {"actions": {"upload": {"href": f"{hub.address}/put/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.answer(content={"transfer": "basic", "objects": objects})
        if "/commit/" in path:
            self.commit(path.split("/")[3:5], body)
            return self.answer(
                content={
                    "success": True,
                    "commitUrl": f"{hub.address}/c/1",
                    "commitOid": "1" * 40,
                }
            )
        return self.answer(404, {"error": path})

    def commit(self, owner_and_name, body):
        repository = self.server.files.setdefault("/".join(owner_and_name), {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository[value["path"]] = self.server.large[value["oid"]]

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(content).hexdigest() == self.path.split("/")[-1]
        self.server.large[self.path.split("/")[-1]] = content
        self.answer()

    def do_GET(self):
        self.server.calls.append(self.path)
        found = re.fullmatch(r"/(\w+/\w+)/resolve/(\w+)/(.+)", self.path.split("?")[0])
        if found is None or found[1] not in self.server.files:
            return self.answer(404, {"error": "no"}, X_Error_Code="RepoNotFound")
        content = self.server.files[found[1]].get(found[3])
        if content is None:
            return self.answer(404, {"error": "no"}, X_Error_Code="EntryNotFound")
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self.answer(200, content, X_Repo_Commit="1" * 40, ETag=etag)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.calls, server.created, server.checked = [], [], []
    server.files, server.large = {}, {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


SCRIPT = """
import os, sys
from flairnb.models import Model, TextClassifier
def told(call, *given, **named):
    try: call(*given, **named)
    except Exception as error: print(type(error).__name__, " ".join(str(error).split()))
model = Model.load(sys.argv[1])
told(model.push_to_hub, "ann/refused", token="hf_bob")
print(model.push_to_hub("ann/pets", private=True, commit_message="first"))
model.push_to_hub("plain", model_card=False)
Model.from_pretrained("ann/pets").save(sys.argv[2])
told(TextClassifier.from_pretrained, "ann/pets")
told(Model.from_pretrained, "ann/empty")
told(Model.from_pretrained, "ann/nobody")
os.environ["FLAIRNB_OFFLINE"] = "1"
Model.from_pretrained("ann/pets").save(sys.argv[3])
told(Model.from_pretrained, "ann/other")
"""


def run(code, hub, folder, *given):
    "In a process of its own, which reads where the hub is when it starts"
    names = {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "hf")}
    names |= {"HF_TOKEN": "hf_ann", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    names |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    names |= {"FLAIRNB_CACHE_ROOT": str(folder / "cache"), "FLAIRNB_OFFLINE": "0"}
    names |= {"NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", code, *map(str, given)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | names
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_to_the_hub_and_back(hub, tagger, tmp_path):
    tagger.training_card = CARD
    paths = [tmp_path / name for name in ("mine.pt", "online.pt", "offline.pt")]
    tagger.save(paths[0])
    hub.files["ann/empty"] = {"pytorch_model.bin": b"PK"}
    refused, sent, kind, empty, nobody, offline = run(SCRIPT, hub, tmp_path, *paths)

    assert "401" in refused and "ann/refused" not in hub.files
    assert sent == f"{hub.address}/c/1"
    files = hub.files["ann/pets"]
    assert {*files} == {"README.md", "config.json", "model.safetensors"}
    assert {*hub.files["ann/plain"]} == {*files} - {"README.md"}
    visible = [one.get("private", one.get("visibility")) for one in hub.created]
    assert visible[0] in (True, "private") and visible[1] is None
    assert "SequenceTagger.from_pretrained('ann/pets')" in files["README.md"].decode()
    assert {text.encode() for text in hub.checked} == {files["README.md"]}

    for path in paths:
        assert same(Model.load(path), tagger)
        assert Model.load(path).training_card == CARD
    assert "holds a SequenceTagger, not a TextClassifier" in kind
    assert empty.startswith("AssetError") and "ann/empty on the hub" in empty
    assert nobody.startswith("AssetError") and "ann/nobody on the hub" in nobody
    assert offline.startswith("OfflineError") and "models/ann/other" in offline
    assert "pytorch_model.bin" not in " ".join(hub.calls)

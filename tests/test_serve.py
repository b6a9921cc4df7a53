"A model on a page: asked by a thousand at once, by people who mean no good, and told to end"

from __future__ import annotations

import asyncio
import builtins
import gc
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from contextlib import contextmanager

import httpx
import pytest

from flairnb import cli, set_seed
from flairnb.data import Corpus, DataPair, Sentence
from flairnb.embeddings import DocumentPoolEmbeddings, OneHotEmbeddings
from flairnb.models import SequenceTagger, TextPairClassifier
from flairnb.rendering import render
from flairnb.serve import (
    Batcher,
    Labeller,
    Limits,
    Question,
    Refused,
    answers_of,
    listening,
    make_app,
    serve,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def tiny_tagger():
    "Random weights that tell every letter from every other"
    sentence = Sentence(list(LETTERS))
    sentence[0:1].add_label("ner", "PER")
    sentence[1:2].add_label("ner", "LOC")
    corpus = Corpus([sentence], sample_missing_splits=False)
    set_seed(1)
    vectors = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=8)
    labels = corpus.make_label_dictionary("ner", add_unk=False)
    return SequenceTagger(vectors, labels, "ner", hidden_size=8)


@pytest.fixture(scope="module")
def tagger():
    return tiny_tagger()


@pytest.fixture(scope="module")
def model_file(tagger, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model.pt"
    tagger.save(path)
    return path


def texts(count, seed=0):
    "Texts that differ"
    generator = random.Random(seed)
    made = {
        " ".join(generator.choices(LETTERS, k=generator.randint(1, 12)))
        for _ in range(2 * count)
    }
    return sorted(made)[:count]


def expected(model, text):
    "What the model says when it is asked alone"
    sentence = Sentence(text)
    model.predict(sentence)
    return [
        {
            "start": s.start_position,
            "end": s.end_position,
            "label": s.tag,
            "score": s.score,
        }
        for s in sentence.get_spans("ner")
    ]


def same(found, wanted):
    strip = [{**one, "score": pytest.approx(one["score"], abs=1e-4)} for one in wanted]
    return found.get("spans", []) == strip


def client(model, limits=None, **more):
    app = make_app(model, limits or Limits(), **more)
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=60
    )


def ask(model, body, limits=None, path="/predict", **headers):
    "One request"

    async def once():
        async with client(model, limits) as session:
            kind = "json" if isinstance(body, dict) else "content"
            return await session.post(path, **{kind: body}, headers=headers)

    return asyncio.run(once())


async def direct(app, body):
    "A request without a client: status and answer"
    sent, got = [{"type": "http.request", "body": json.dumps(body).encode()}], []

    async def receive():
        return sent.pop()

    async def send(event):
        got.append(event)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http"}
    await app(scope, receive, send)
    return got[0]["status"], json.loads(b"".join(x.get("body", b"") for x in got[1:]))


def error(response):
    "Status and message, which are told twice"
    told = response.json()["error"]
    assert told["status"] == response.status_code
    return told["status"], told["message"]


# --- answers ---


def test_hundreds_at_once_get_each_their_own_answer(tagger):
    asked, sizes = texts(300), []
    seen = Labeller.__call__

    def counting(self, questions):
        sizes.append(len(questions))
        return seen(self, questions)

    async def all_of_them():
        app = make_app(tagger)
        return await asyncio.gather(*(direct(app, {"text": text}) for text in asked))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Labeller, "__call__", counting)
        answers = asyncio.run(all_of_them())
    for place, (text, (status, body)) in enumerate(zip(asked, answers, strict=True)):
        (found,) = body["results"]
        assert status == 200 and found["text"] == text
        assert place % 20 or same(found, expected(tagger, text))
    assert sum(sizes) == 300 and max(sizes) == 32 and len(sizes) < 20


def test_several_texts_are_answered_in_their_order(tagger):
    asked = texts(20)
    found = ask(tagger, {"texts": asked}).json()["results"]
    assert [one["text"] for one in found] == asked
    assert all(same(one, expected(tagger, one["text"])) for one in found)
    assert ask(tagger, {"texts": []}).json() == {"results": []}
    assert ask(tagger, {"text": ""}).json() == {"results": [{"text": ""}]}


def test_a_picture_comes_if_it_is_asked_for(tagger):
    (found,) = ask(tagger, {"text": "a <b>", "html": True}).json()["results"]
    assert "&#60;" in found["html"] and "<mark" in found["html"]
    assert "html" not in ask(tagger, {"text": "a"}).json()["results"][0]


def test_pairs_are_objects():
    pair = DataPair(Sentence("a b"), Sentence("c"))
    pair.add_label("same", "yes")
    corpus = Corpus([pair], sample_missing_splits=False)
    vectors = OneHotEmbeddings(corpus.make_vocab_dictionary(), embedding_length=4)
    labels = corpus.make_label_dictionary("same", add_unk=False)
    model = TextPairClassifier(
        DocumentPoolEmbeddings(vectors), "same", label_dictionary=labels
    )
    sides = {"first": "a b", "second": "c"}
    (found,) = ask(model, {"text": sides}).json()["results"]
    assert found == sides | {"labels": [{"label": "yes", "score": 1.0}]}
    assert error(ask(model, {"text": "a b"}))[0] == 422
    page = ask(model, b"first=a+b&second=c", path="/").text
    assert page.count("<textarea") == 2 and "yes" in page


# --- what is refused ---

SMALL = Limits(characters=10, texts=2, size=200, seconds=0.3)
REFUSED = {
    '{"text": "0123456789a"}': (413, "11 characters: at most 10"),
    '{"texts": ["a", "b", "c"]}': (413, "3 texts in one request: at most 2"),
    json.dumps({"text": "a" * 250}): (413, "more than 200 bytes"),
    json.dumps({"text": "a" * 5000}): (413, "more than 200 bytes"),
    "no json": (422, "no JSON"),
    "": (422, "no JSON"),
    "[" * 150: (422, "no JSON"),
    "[1]": (422, "either 'text' or 'texts'"),
    "{}": (422, "either 'text' or 'texts'"),
    '{"text": "a", "texts": []}': (422, "either 'text' or 'texts'"),
    '{"text": null}': (422, "text should be a string"),
    '{"texts": ["a", 7]}': (422, "texts[1] should be a string"),
    '{"texts": "a"}': (422, "'texts' should be a list"),
    '{"text": "a", "html": 1}': (422, "'html' true or false"),
    '{"text": "a", "htlm": true}': (422, "Did you mean 'html'?"),
    '{"text": {"first": "a", "second": "b"}}': (422, "text should be a string"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_is_wrong_is_said(tagger, body):
    status, message = error(ask(tagger, body.encode(), SMALL))
    assert status == REFUSED[body][0] and REFUSED[body][1] in message


def test_bytes_that_are_no_text_are_refused(tagger):
    assert error(ask(tagger, b'{"text": "\xff"}'))[0] == 422
    status, _ = error(ask(tagger, rb'{"text": "\ud83d"}'))
    assert status == 422  # half of a character cannot be sent back


def test_other_addresses_and_ways_are_errors_in_json(tagger):
    async def some():
        async with client(tagger) as session:
            return await asyncio.gather(
                session.get("/nothing"), session.get("/predict")
            )

    assert [error(one)[0] for one in asyncio.run(some())] == [404, 405]


def test_an_upload_that_does_not_come_in_time_is_given_up(tagger):
    async def dripping():
        yield b'{"text": '
        await asyncio.sleep(5)
        yield b'"a"}'

    began = time.monotonic()
    status, message = error(ask(tagger, dripping(), SMALL))
    assert status == 408 and "0.3 seconds" in message
    assert time.monotonic() - began < 4


def test_a_model_that_takes_too_long_says_when_to_come_again(tagger, monkeypatch):
    monkeypatch.setattr(
        Labeller, "__call__", lambda self, some: time.sleep(0.6) or some
    )
    response = ask(tagger, {"text": "a"}, SMALL)
    assert error(response)[0] == 503 and response.headers["retry-after"] == "1"


def test_a_page_of_another_name_reads_nothing(tagger):
    for name in ("evil.example", "localhost.evil.example", "evil.example:8000", ""):
        assert error(ask(tagger, {"text": "a"}, host=name))[0] == 421
    for name in ("localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]", "[::1]:80"):
        assert ask(tagger, {"text": "a"}, host=name).status_code == 200


def test_too_many_who_wait_are_sent_away(tagger):
    async def all_of_them():
        async with client(tagger, Limits(waiting=5)) as session:
            posts = (session.post("/predict", json={"text": "a"}) for _ in range(50))
            return await asyncio.gather(*posts)

    statuses = [one.status_code for one in asyncio.run(all_of_them())]
    assert set(statuses) == {200, 503} and statuses[0] == 200


def test_one_text_that_breaks_the_model_breaks_nothing_else(
    tagger, monkeypatch, capsys
):
    seen = Labeller.__call__

    def fragile(self, questions):
        if any(question.text == "b" for question in questions):
            raise RuntimeError("boom")
        return seen(self, questions)

    monkeypatch.setattr(Labeller, "__call__", fragile)

    async def three():
        async with client(tagger) as session:
            posts = (session.post("/predict", json={"text": x}) for x in "abc")
            return await asyncio.gather(*posts)

    found = asyncio.run(three())
    assert [one.status_code for one in found] == [200, 500, 200]
    assert "boom" not in found[1].text and "boom" in capsys.readouterr().err


# --- waiting together ---


def test_a_question_that_nobody_waits_for_is_not_worked_on():
    worked = []

    def slowly(questions):
        time.sleep(0.1)
        worked.extend(questions)
        return questions

    async def impatient():
        batcher = Batcher(slowly, most=1)
        first = asyncio.create_task(batcher.ask([1]))
        await asyncio.sleep(0.03)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(batcher.ask([2]), 0.03)
        return await first, await batcher.ask([3])

    assert asyncio.run(impatient()) == ([1], [3])
    assert worked == [1, 3]


def test_a_batcher_can_be_asked_again_after_it_was_idle():
    async def twice():
        batcher = Batcher(lambda some: [x + 1 for x in some])
        found = [
            await batcher.ask([1]),
            await batcher.ask([]),
            await batcher.ask([2, 3]),
        ]
        await asyncio.sleep(0.01)
        assert batcher._task is None and not batcher._waiting
        return found

    assert asyncio.run(twice()) == [[2], [], [3, 4]]


def test_more_than_may_wait_is_refused_whole():
    async def crowd():
        with pytest.raises(Refused) as refused:
            await Batcher(list, waiting=3).ask([1, 2, 3, 4])
        return refused.value.status

    assert asyncio.run(crowd()) == 503


def test_errors_are_told_to_the_one_who_asked():
    found = answers_of(lambda some: [1 // x for x in some], [1, 0, 1])
    assert [found[0], found[2]] == [1, 1] and isinstance(found[1], ZeroDivisionError)


def memory_between(model, early, late):
    "Bytes by which the server has grown from one number of requests to another"

    async def some(app, *bodies):
        await asyncio.gather(*(direct(app, body) for body in bodies))

    async def many():
        app, held = make_app(model), []
        for place in range(0, late, 50):
            tracemalloc.start()  # does nothing the second time
            different = texts(50, seed=place)
            await some(app, *({"text": text, "html": True} for text in different))
            if place + 50 in (early, late):
                await some(app, {"text": "a"})
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        return held[1] - held[0]

    try:
        return asyncio.run(many())
    finally:
        tracemalloc.stop()


def test_memory_stays_flat(tagger):
    late = 100_000 if os.environ.get("FLAIRNB_SLOW_TESTS") else 500
    assert memory_between(tagger, 250, late) < 50_000  # the pictures of a dozen


# --- the page ---


def test_the_page_labels_each_line_and_shows_what_was_typed(tagger):
    rude = "a </textarea><script>alert(1)</script>"
    body = httpx.QueryParams({"text": f"{rude}\r\n\r\nb c"})
    page = ask(tagger, str(body).encode(), path="/").text
    assert "<script" not in page and page.count("</textarea>") == 1
    assert page.count('class="flairnb"') == 2 and "&#60;script&#62;" in page
    assert not re.search(r"https?://|url\(|<link|@import", page)


def test_an_empty_page_has_a_form_and_no_answer(tagger):
    async def get():
        async with client(tagger) as session:
            return await session.get("/")

    page = asyncio.run(get()).text
    assert 'method="post"' in page and "SequenceTagger: ner" in page
    assert 'class="flairnb"' not in page


def test_a_text_that_is_too_long_is_told_on_the_page(tagger):
    response = ask(tagger, b"text=" + b"a" * 50, SMALL, "/")
    assert response.status_code == 413
    assert 'role="alert"' in response.text and "50 characters" in response.text


def test_the_picture_is_that_of_a_notebook(tagger):
    sentence = Sentence("a b c")
    tagger.predict(sentence)
    labeller = Labeller(tagger)
    (answer,) = labeller([Question("a b c", html=True)])
    assert answer["html"] == render(sentence, colours=labeller.colours)


# --- the command ---


@contextmanager
def served(path, *more):
    "A server in a process of its own, and its address"
    command = [
        sys.executable,
        "-m",
        "flairnb",
        "serve",
        str(path),
        "--port",
        "0",
        *more,
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


async def over_a_socket(port, body, sent=None):
    "A request over a connection of its own: status and answer"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    )
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + data)
    await writer.drain()
    if sent:
        sent.release()
    top, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(top.split()[1]), json.loads(rest)


def test_a_real_server_answers_a_thousand_connections_and_ends_in_order(
    model_file, tagger
):
    asked = texts(1000, seed=5)

    async def all_of_them(port, process):
        posts = [over_a_socket(port, {"text": text}) for text in asked]
        answers = await asyncio.gather(*posts)
        sent, batch = asyncio.Semaphore(0), {"texts": asked[:50]}
        late = [asyncio.create_task(over_a_socket(port, batch, sent)) for _ in range(4)]
        for _ in late:
            await sent.acquire()
        await over_a_socket(port, {"text": ""})  # the others came before this one
        process.send_signal(signal.SIGTERM)
        return answers, await asyncio.gather(*late)

    with served(model_file) as (process, address):
        host, port = re.fullmatch(r"http://(\S+):(\d+)", address).groups()
        assert host == "127.0.0.1"
        assert httpx.get(f"{address}/health").json()["model"] == "SequenceTagger: ner"
        answers, late = asyncio.run(all_of_them(int(port), process))
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    for place, (text, (status, body)) in enumerate(zip(asked, answers, strict=True)):
        (found,) = body["results"]
        assert status == 200 and found["text"] == text
        assert place % 50 or same(found, expected(tagger, text))
    assert [(status, len(body["results"])) for status, body in late] == [(200, 50)] * 4


@pytest.mark.parametrize("given", [["--port", "x"], ["--seconds", "0"]])
def test_options_are_checked(given, model_file, capsys):
    with pytest.raises(SystemExit):
        cli.main(["serve", str(model_file), *given])
    assert "error: argument" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(model_file, capsys):
    with listening("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["serve", str(model_file), "--port", port]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Choose another with --port" in said


def test_a_missing_model_is_one_line(tmp_path, capsys):
    assert cli.main(["serve", str(tmp_path / "none.pt"), "--port", "0"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_without_the_extra_it_is_named(model_file, monkeypatch, capsys):
    found = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == "fastapi":
            raise ImportError("no module named fastapi")
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert cli.main(["serve", str(model_file)]) == 1
    said = capsys.readouterr().err
    assert said == (
        "flairnb: flairnb serve needs FastAPI and uvicorn: pip install 'flairnb[serve]'\n"
    )


def test_the_whole_network_is_warned_of(model_file, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        "flairnb.serve.run_app", lambda app, listener, seconds: asked.append(listener)
    )
    monkeypatch.setattr(
        "flairnb.serve.socket.create_server", lambda *a, **k: socket.socket()
    )
    monkeypatch.setattr(
        "flairnb.serve.make_app", lambda model, limits, hosts: asked.append(hosts)
    )
    serve(model_file, "0.0.0.0", 0)
    serve(model_file, "127.0.0.1", 0)
    assert asked[0] == () and "127.0.0.1" in asked[2]
    assert "everyone who reaches 0.0.0.0" in capsys.readouterr().err

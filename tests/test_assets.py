"""Assets: every way a file can come, break off, be wrong or be missing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flairnb import assets
from flairnb.assets import (
    Asset,
    AssetError,
    OfflineError,
    WrongFileError,
    atomic_write,
    cache_root,
    declared,
    download,
    fetch,
    is_offline,
    known_sum,
    mirrors,
    mismatch,
    sha256_of,
)

CONTENT = bytes(range(256)) * 2_000  # 512,000 bytes
NAME = "corpora/numbers/all.bin"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def asset_of(content: bytes = CONTENT, addresses: tuple[str, ...] = (), **changes):
    facts = {"size": len(content), "sha256": sha(content), **changes}
    return Asset(NAME, addresses, licence="CC0", **facts)


class Server:
    "A server on this machine that can misbehave in the ways a test names"

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str | None, int]] = []  # path, Range, status
        self.cut: list[int] = []  # bytes after which the next answers break off
        self.ranges = True
        self.status: list[int] = []  # statuses of the next answers
        self.pause = 0.0  # seconds between two blocks
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None
        threading.Thread(
            target=self.http.serve_forever, args=(0.02,), daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request):
        wanted = request.headers.get("Range")
        content = self.files.get(request.path.lstrip("/"))
        status, start = (self.status.pop(0) if self.status else 200), 0
        if status == 200 and content is None:
            status = 404
        if status == 200 and wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            status = 206 if start < len(content) else 416
        self.log.append((request.path, wanted, status))
        body = content[start:] if status in (200, 206) else b"no"
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if status in (200, 206) and self.cut:
            body, request.close_connection = body[: self.cut.pop(0)], True
        for begin in range(0, len(body), 65536):
            request.wfile.write(body[begin : begin + 65536])
            time.sleep(self.pause)

    def address(self, path: str = NAME) -> str:
        return f"{self.url}/{path}"


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.delenv("FLAIRNB_MIRRORS", raising=False)
    monkeypatch.delenv("FLAIRNB_OFFLINE", raising=False)
    monkeypatch.setattr(assets, "_PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def log(caplog):
    logger = logging.getLogger("flairnb")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger="flairnb")
    yield caplog
    logger.removeHandler(caplog.handler)


def get(asset: Asset) -> Path:
    return fetch(asset, progress=False)


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def left_over(folder: Path) -> list[str]:
    "Files below a folder that are neither locks nor remembered sums"
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in files
        if path.parts[0] != "verified" and path.suffix != ".lock"
    )


# ---------------------------------------------------------------- names and settings


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../a", "a/../b", "a//b", "a\\b", "C:/a"]
)
def test_a_name_cannot_leave_the_cache(name):
    with pytest.raises(ValueError, match="relative path"):
        Asset(name)


@pytest.mark.parametrize("wrong", ["", "ab", "G" * 64, sha(b"").upper()])
def test_a_sum_is_64_lower_case_digits(wrong):
    with pytest.raises(ValueError, match="64 hexadecimal"):
        Asset("a", sha256=wrong)


def test_settings_are_read_at_call_time(monkeypatch, home):
    assert cache_root() == home / "cache"
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", "~/there")
    assert cache_root() == Path.home() / "there"
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", "")
    assert cache_root() == Path.home() / ".flairnb"
    monkeypatch.setenv("FLAIRNB_MIRRORS", " a ;; http://b/c;")
    assert mirrors() == ["a", "http://b/c"]
    for value, offline in {
        "1": True,
        "true": True,
        "0": False,
        "": False,
        "no": False,
    }.items():
        monkeypatch.setenv("FLAIRNB_OFFLINE", value)
        assert is_offline() is offline


def test_import_loads_no_network_library():
    code = (
        "import socket, sys; socket.socket.connect = None; import flairnb.assets; "
        "print([m for m in ('pooch', 'requests') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


# ---------------------------------------------------------------- the cache


def test_a_good_file_in_the_cache_is_taken_without_network(monkeypatch, home):
    monkeypatch.setattr(socket, "socket", None)
    path = put(home / "cache" / NAME, CONTENT)
    assert get(asset_of(addresses=("http://127.0.0.1:9/x",))) == path


def test_a_sum_is_computed_once_until_the_file_changes(monkeypatch, home):
    path, calls = put(home / "cache" / NAME, CONTENT), []

    def counting(path):
        calls.append(path)
        return sha256_of(path)

    monkeypatch.setattr(assets, "sha256_of", counting)
    asset = asset_of(addresses=())
    for _ in range(3):
        get(asset)
    assert len(calls) == 1
    os.utime(path, ns=(1, 1))
    get(asset)
    assert len(calls) == 2
    put(path, b"x" + CONTENT[1:])  # the same size, another content
    with pytest.raises(AssetError, match="expected " + sha(CONTENT)):
        get(asset)
    for record in (home / "cache" / "verified").iterdir():
        record.write_text("{broken")
    put(path, CONTENT)
    assert get(asset) == path


def test_a_cache_that_cannot_be_written_still_serves(monkeypatch, home):
    path = put(home / "cache" / NAME, CONTENT)
    put(home / "cache" / "verified", b"a file where a folder should be")
    assert get(asset_of()) == path
    assert known_sum(path) == sha(CONTENT)


@pytest.mark.parametrize("damaged", [CONTENT[:-1], b"", b"x" + CONTENT[1:]])
def test_a_damaged_file_is_fetched_again(server, home, damaged, log):
    server.files[NAME] = CONTENT
    path = put(home / "cache" / NAME, damaged)
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    assert "is not used" in log.text
    assert left_over(home / "cache") == [NAME]
    assert path.read_bytes() == CONTENT


def test_a_damaged_file_stays_until_a_good_one_is_there(server, home):
    path = put(home / "cache" / NAME, b"mine")
    with pytest.raises(AssetError, match="it has 4 bytes, expected 512,000"):
        get(asset_of(addresses=(server.address(),)))
    assert path.read_bytes() == b"mine"


# ---------------------------------------------------------------- downloads


def test_a_download_is_whole_and_leaves_nothing_else(server, home):
    server.files[NAME] = CONTENT
    path = get(asset_of(addresses=(server.address(),)))
    assert path == home / "cache" / NAME and path.read_bytes() == CONTENT
    assert left_over(home / "cache") == [NAME]
    get(asset_of(addresses=(server.address(),)))
    assert len(server.log) == 1  # the second time it is in the cache


def test_with_a_bar(server, capsys):
    server.files[NAME] = CONTENT
    assert fetch(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    assert "512k/512k" in capsys.readouterr().err.replace(".00", "")


def test_a_dropped_connection_goes_on_where_it_broke(server, home):
    server.files[NAME], server.cut = CONTENT, [200_000, 100_000]
    path = get(asset_of(addresses=(server.address(),)))
    assert path.read_bytes() == CONTENT
    ranges = [wanted for _, wanted, _ in server.log]
    assert ranges[0] is None and len(ranges) == 3
    first, second = (int(wanted[len("bytes=") : -1]) for wanted in ranges[1:])
    assert 0 < first <= 200_000 and first < second <= 300_000


def test_a_part_of_an_earlier_run_is_continued(server, home):
    server.files[NAME] = CONTENT
    put(home / "cache" / f"{NAME}.part", CONTENT[:300_000])
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    assert server.log == [(f"/{NAME}", "bytes=300000-", 206)]
    assert left_over(home / "cache") == [NAME]


def test_a_broken_download_leaves_its_part_for_the_next_run(server, home):
    server.files[NAME], server.cut = CONTENT, [100_000, 100_000, 100_000]
    asset = asset_of(addresses=(server.address(),))
    with pytest.raises(AssetError):
        get(asset)
    assert left_over(home / "cache") == [f"{NAME}.part"]
    assert get(asset).read_bytes() == CONTENT
    assert server.log[-1][2] == 206


def test_a_server_without_ranges_starts_over(server, home):
    server.files[NAME], server.ranges = CONTENT, False
    put(home / "cache" / f"{NAME}.part", b"z" * 300_000)
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    assert [status for *_, status in server.log] == [200]


@pytest.mark.parametrize("stale", [b"z" * 300_000, b"z" * 512_000, b"z" * 600_000])
def test_a_part_of_another_version_is_thrown_away(server, home, stale):
    server.files[NAME] = CONTENT
    put(home / "cache" / f"{NAME}.part", stale)
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    assert len(server.log) == 2 and server.log[-1][1:] == (None, 200)


def test_a_part_without_a_known_sum_is_not_continued(server, home):
    server.files[NAME], server.cut = CONTENT, [100_000]
    put(home / "cache" / f"{NAME}.part", b"z" * 300_000)
    asset = asset_of(addresses=(server.address(),), sha256=None)
    assert get(asset).read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in server.log] == [None, None]


def test_a_busy_server_is_asked_again_and_a_missing_page_is_not(server):
    server.files[NAME], server.status = CONTENT, [503, 429]
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    server.log.clear()
    with pytest.raises(AssetError, match="404"):
        fetch(Asset("other", (server.address("gone"),)), progress=False)
    assert len(server.log) == 1


def test_a_wrong_file_is_removed_and_the_next_address_tried(server, home, log):
    server.files |= {"bad": CONTENT[::-1], "short": b"x", NAME: CONTENT}
    places = tuple(map(server.address, ("gone", "bad", "short", NAME)))
    assert get(asset_of(addresses=places)).read_bytes() == CONTENT
    assert [path for path, *_ in server.log] == ["/gone", "/bad", "/short", f"/{NAME}"]
    assert left_over(home / "cache") == [NAME]


def test_one_error_lists_every_address_and_why(server, home):
    server.files |= {"bad": CONTENT[::-1], "short": b"x"}
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
        places = (*map(server.address, ("gone", "bad", "short")), dead, "gopher://x/y")
        with pytest.raises(AssetError) as caught:
            get(asset_of(addresses=places))
    message = str(caught.value)
    assert not isinstance(caught.value, OfflineError)
    for place in places:
        assert f"tried {place}: " in message
    assert f"its sha256 is {sha(CONTENT[::-1])}, expected {sha(CONTENT)}" in message
    assert f"not {NAME}: it has 1 bytes, expected 512,000" in message
    assert "404" in message and "gopher" in message and "512,000 bytes" in message
    assert str(home / "cache" / NAME) in message and "CC0" in message
    assert "manifest" not in message  # an address is no mirror
    assert left_over(home / "cache") == []


def test_download_names_file_expected_and_found(server, home):
    server.files["bad"] = b"x" * len(CONTENT)
    with pytest.raises(WrongFileError, match=f"{NAME}.*{sha(b'x' * len(CONTENT))}"):
        download(server.address("bad"), home / "x", asset_of(), progress=False)
    assert not (home / "x").exists()


FETCH = """
import sys, pathlib, flairnb.assets as a
asset = a.Asset({name!r}, ({address!r},), {size}, {sha256!r})
print("ready", flush=True); sys.stdin.readline()
print(a.sha256_of(a.fetch(asset, progress=False)))
"""


def start_fetch(server: Server) -> subprocess.Popen:
    facts = dict(
        name=NAME, address=server.address(), size=len(CONTENT), sha256=sha(CONTENT)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH.format(**facts)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_get_one_good_file_by_one_download(server, home):
    server.files[NAME], server.pause = CONTENT, 0.05
    both = [start_fetch(server) for _ in range(2)]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0].strip() for process in both] == [sha(CONTENT)] * 2
    assert len(server.log) == 1
    assert left_over(home / "cache") == [NAME]


def test_a_killed_download_is_continued(server, home):
    server.files[NAME], server.pause = CONTENT, 0.3
    process = start_fetch(server)
    process.stdin.write("go\n")
    process.stdin.flush()
    part = home / "cache" / f"{NAME}.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (home / "cache" / NAME).exists()
    server.pause = 0.0
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT
    assert server.log[-1][2] == 206


# ---------------------------------------------------------------- mirrors


def manifest_for(content: bytes, note: str = "half of it") -> str:
    entry = {"size": len(content), "sha256": sha(content), "note": note}
    return json.dumps({NAME: entry})


@pytest.mark.parametrize("spelling", ["{}", "file://{}"])
def test_a_folder_mirror_is_used_in_place_and_first(
    server, home, monkeypatch, spelling, log
):
    path = put(home / "my mirror" / NAME, CONTENT)
    place = (
        (home / "my mirror").as_uri() if "file" in spelling else str(path.parents[2])
    )
    monkeypatch.setenv("FLAIRNB_MIRRORS", f"{home / 'none'};{place}")
    assert get(asset_of(addresses=(server.address(),))) == path
    assert server.log == [] and left_over(home / "cache") == []
    assert f"taking {NAME} from the mirror {place}" in log.text
    assert "stand-in" not in log.text


def test_an_undeclared_stand_in_is_refused_with_the_line_to_declare_it(
    home, monkeypatch, log
):
    half = CONTENT[:1000]
    put(home / "mirror" / NAME, half)
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(home / "mirror"))
    with pytest.raises(
        AssetError, match=r"manifest\.json of the mirror must say"
    ) as caught:
        get(asset_of())
    line = next(text for text in str(caught.value).splitlines() if "must say" in text)
    entry = line.partition("must say ")[2]
    (home / "mirror" / "manifest.json").write_text(entry)  # do as it says
    assert get(asset_of()).read_bytes() == half
    assert "a stand-in: what it stands in for, and why" in log.text


def test_a_declared_stand_in_is_checked_too(home, monkeypatch):
    put(home / "mirror" / NAME, CONTENT[:999])
    (home / "mirror" / "manifest.json").write_text(manifest_for(CONTENT[:1000]))
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(home / "mirror"))
    with pytest.raises(AssetError, match="it has 999 bytes, expected 1,000"):
        get(asset_of())
    put(home / "mirror" / NAME, CONTENT[:999] + b"?")
    with pytest.raises(AssetError, match="expected " + sha(CONTENT[:1000])):
        get(asset_of())


@pytest.mark.parametrize(
    "text",
    ["{", "[]", f'{{"{NAME}": 3}}', f'{{"{NAME}": {{"size": 3, "sha256": "x"}}}}'],
)
def test_a_broken_manifest_is_named_and_the_search_goes_on(
    server, home, monkeypatch, text
):
    put(home / "mirror" / NAME, CONTENT[:9])
    (home / "mirror" / "manifest.json").write_text(text)
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(home / "mirror"))
    with pytest.raises(AssetError, match=r"mirror: manifest\.json cannot be read"):
        get(asset_of())
    server.files[NAME] = CONTENT
    assert get(asset_of(addresses=(server.address(),))).read_bytes() == CONTENT


def test_a_manifest_may_list_the_true_file(home):
    manifest = put(home / "manifest.json", manifest_for(CONTENT).encode())
    assert declared(asset_of(), manifest) == (asset_of(), "")


def test_a_mirror_of_another_kind_is_named(monkeypatch):
    monkeypatch.setenv("FLAIRNB_MIRRORS", "s3://bucket")
    with pytest.raises(AssetError, match="tried s3://bucket: a mirror is a folder"):
        get(asset_of())


def test_a_server_mirror_gives_the_true_file(server, home, monkeypatch):
    server.files[NAME] = CONTENT
    monkeypatch.setenv("FLAIRNB_MIRRORS", f"{server.url}/")
    assert get(asset_of()) == home / "cache" / NAME
    assert [path for path, *_ in server.log] == ["/manifest.json", f"/{NAME}"]


def test_a_server_mirror_quotes_names(server, monkeypatch):
    server.files["corpora/a%20b%23.txt"] = b"x"
    monkeypatch.setenv("FLAIRNB_MIRRORS", server.url)
    assert get(Asset("corpora/a b#.txt")).read_bytes() == b"x"


def test_a_stand_in_of_a_server_never_takes_the_place_of_the_true_file(
    server, home, monkeypatch, log
):
    half = CONTENT[:1000]
    server.files |= {f"m/{NAME}": half, "m/manifest.json": manifest_for(half).encode()}
    monkeypatch.setenv("FLAIRNB_MIRRORS", f"{server.url}/m")
    path = get(asset_of())
    assert path.read_bytes() == half and not (home / "cache" / NAME).exists()
    assert path.as_posix().endswith(NAME)
    assert "a stand-in: half of it" in log.text
    # A second request asks for the manifest only; without network the copy serves.
    server.log.clear()
    assert get(asset_of()) == path
    assert [path for path, *_ in server.log] == ["/m/manifest.json"]
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", None)
    assert get(asset_of()) == path
    monkeypatch.delenv("FLAIRNB_MIRRORS")
    with pytest.raises(OfflineError):
        get(asset_of())


def test_a_server_mirror_with_an_undeclared_stand_in(server, home, monkeypatch):
    server.files[NAME] = CONTENT[:1000]
    monkeypatch.setenv("FLAIRNB_MIRRORS", server.url)
    with pytest.raises(AssetError, match="must say") as caught:
        get(asset_of())
    assert sha(CONTENT[:1000]) in str(caught.value)
    assert left_over(home / "cache") == []


def test_a_server_mirror_that_took_back_its_stand_in(server, home, monkeypatch):
    half = CONTENT[:1000]
    server.files |= {NAME: half, "manifest.json": manifest_for(half).encode()}
    monkeypatch.setenv("FLAIRNB_MIRRORS", server.url)
    get(asset_of())
    server.files = {NAME: CONTENT}
    assert get(asset_of()) == home / "cache" / NAME


# ---------------------------------------------------------------- offline


class NoNetwork:
    def __init__(self, *_, **__):
        raise AssertionError("a socket was opened")


def test_offline_opens_no_socket_and_tells_what_to_do(server, home, monkeypatch):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setenv("FLAIRNB_MIRRORS", f"{server.url};{home / 'mirror'}")
    monkeypatch.setattr(socket, "socket", NoNetwork)
    asset = asset_of(addresses=(server.address(),))
    with pytest.raises(FileNotFoundError) as caught:
        get(asset)
    message = str(caught.value)
    assert isinstance(caught.value, OfflineError)
    for part in (
        NAME,
        "512,000 bytes",
        sha(CONTENT),
        str(home / "cache" / NAME),
        "CC0",
    ):
        assert part in message
    assert "FLAIRNB_MIRRORS" in message and server.address() in message
    put(home / "mirror" / NAME, CONTENT)
    assert get(asset) == home / "mirror" / NAME
    put(home / "cache" / NAME, CONTENT)
    assert get(asset) == home / "cache" / NAME


def test_offline_says_that_the_file_in_the_cache_is_damaged(home, monkeypatch):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    put(home / "cache" / NAME, CONTENT[:-1])
    with pytest.raises(OfflineError, match="it has 511,999 bytes, expected 512,000"):
        get(asset_of())


def test_what_is_not_stated_is_not_checked(home):
    path = put(home / "cache" / NAME, b"anything")
    assert get(asset_of(size=None, sha256=None)) == path
    assert mismatch(path, asset_of(size=None)).startswith("its sha256 is")


# ---------------------------------------------------------------- whole files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(home):
    path = put(home / "work" / "model", b"old")
    with pytest.raises(KeyError), atomic_write(path) as file:
        file.write(b"new, half")
        raise KeyError
    assert path.read_bytes() == b"old" and left_over(home / "work") == ["model"]
    with atomic_write(path, "w") as file:
        file.write("neu\n")
    assert path.read_bytes() == b"neu\n" and left_over(home / "work") == ["model"]


def test_a_killed_write_leaves_the_old_file(home):
    path = put(home / "work" / "model", b"old")
    code = """if True:
        import os, signal, sys; from flairnb.assets import atomic_write
        with atomic_write(sys.argv[1]) as file:
            file.write(b"new" * 1000); file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run([sys.executable, "-c", code, str(path)])
    assert run.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    shutil.rmtree(home / "work")


def test_sums_of_large_files_are_streamed(home):
    path = put(home / "large", CONTENT * 9)
    assert sha256_of(path) == known_sum(path) == sha(CONTENT * 9)

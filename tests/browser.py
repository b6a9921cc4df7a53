"A headless Chromium, spoken to over its DevTools protocol, and a JupyterLab for it"

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT = 120.0  # seconds until something is said to be missing


def find_browser():
    "Where Chromium is: `FLAIRNB_BROWSER`, or a name that it usually has"
    chosen = os.environ.get("FLAIRNB_BROWSER")
    return chosen or next(filter(None, map(shutil.which, NAMES)), None)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def fetched(address, process):
    "What stands at an address, as soon as the process that serves it does"
    end = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{address} does not answer: {error}") from error
        time.sleep(0.2)


@contextmanager
def running(command, folder, **variables):
    "A process and its children, which end with the block; what it says is in a file"
    with open(Path(folder) / f"{Path(command[0]).name}.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def jupyter_lab(folder):
    "A JupyterLab that serves a folder; yields its address"
    port = free_port()
    options = {
        "ServerApp.port": port,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.open_browser": False,
        "ServerApp.root_dir": str(folder),
        "ServerApp.allow_root": True,
        "ServerApp.quit_button": False,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "ServerApp.disable_check_xsrf": True,
    }
    said = [f"--{name}={value}" for name, value in options.items()]
    own = {
        name: str(Path(folder) / ".jupyter")
        for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    }
    quiet = Path(folder) / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    quiet.mkdir(parents=True)  # no question whether news are wanted
    (quiet / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}'
    )
    command = [sys.executable, "-m", "jupyterlab", *said]
    with running(command, folder, **own) as process:
        address = f"http://127.0.0.1:{port}"
        fetched(f"{address}/api", process)
        yield address


class Page:
    "A page of the browser"

    def __init__(self, address):
        import websocket

        self.socket = websocket.create_connection(
            address, timeout=WAIT, suppress_origin=True
        )
        self.number = 0

    def call(self, method, **given):
        "Send a command of the protocol; its result"
        self.number += 1
        wanted = {"id": self.number, "method": method, "params": given}
        self.socket.send(json.dumps(wanted))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def value(self, code):
        "Value of an expression of JavaScript, also of one that is awaited"
        given = {"expression": code, "awaitPromise": True, "returnByValue": True}
        found = self.call("Runtime.evaluate", **given)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, code):
        "Wait until an expression is true, in whatever the page has become; its value"
        look = (
            f"(() => {{ try {{ return {code}; }} catch (error) {{ return null; }} }})()"
        )
        end = time.monotonic() + WAIT
        while not (found := self.value(look)):
            seen = self.value("document.body?.innerText")
            assert time.monotonic() < end, f"it never came: {code}\n{seen}"
            time.sleep(0.2)
        return found

    def click(self, code):
        "Press the mouse in the middle of an element, as a hand would"
        place = self.value(
            f"""(() => {{
                const one = {code};
                one.scrollIntoView({{block: "center"}});
                const box = one.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        press = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **press)

    def picture(self, path):
        "Save what is seen"
        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))


@contextmanager
def browser_page(program, folder, size=(1200, 900)):
    "A page of a headless browser of its own"
    port = free_port()
    command = [
        program,
        "--headless=new",
        "--no-sandbox",  # where tests run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        f"--window-size={size[0]},{size[1]}",
        f"--remote-debugging-port={port}",
        f"--user-data-dir={Path(folder) / 'browser'}",
        "about:blank",
    ]
    with running(command, folder) as process:
        try:
            fetched(f"http://127.0.0.1:{port}/json/version", process)
        except RuntimeError as error:
            pytest.skip(f"{program} does not start on this machine: {error}")
        pages = json.loads(fetched(f"http://127.0.0.1:{port}/json", process))
        yield Page(
            next(p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page")
        )


EDITOR = 'document.querySelector(".jp-Notebook .jp-CodeCell .cm-content")'
KERNEL = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"


def notebook_of(path, *sources):
    "Write a notebook with these cells"
    cells = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "source": source.strip(), "outputs": [], "execution_count": None}
        for n, source in enumerate(sources)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    path.write_text(json.dumps(book | {"nbformat_minor": 5}))


@contextmanager
def notebook_page(folder, *sources):
    "A JupyterLab in a browser that runs these cells; skips where none is to be had"
    if "FLAIRNB_BROWSER_TESTS" not in os.environ:
        pytest.skip("a browser and half a minute: set FLAIRNB_BROWSER_TESTS=1")
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium: install one, or name it in FLAIRNB_BROWSER")
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    notebook_of(Path(folder) / "page.ipynb", *sources)
    with jupyter_lab(folder) as lab, browser_page(program, folder) as page:
        page.call("Page.enable")
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        page.call("Page.navigate", url=f"{lab}/lab/tree/page.ipynb?reset")
        page.until(f"{EDITOR} !== null")
        page.click(EDITOR)
        page.until(f"{KERNEL}.status === 'idle'")
        page.value("void jupyterapp.commands.execute('notebook:run-all-cells')")
        yield page

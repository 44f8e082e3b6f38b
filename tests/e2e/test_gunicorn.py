"""A real prefork server: workers that got the router by fork, or loaded it themselves, answer alike under many clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from learned_router import Router

APPLICATION = """
import json
import os

from learned_router import Router

router = Router.load(os.environ["ROUTER"], cache=0, strict=True)


def application(environ, start_response):
    asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    decision = router.route(asked["prompt"])
    accepted = router.accept(asked["prompt"], asked["answer"], tier="small")
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Worker", str(os.getpid()))])
    told = {"tier": decision.tier, "quality": decision.quality, "accept": accepted.accept, "worth": accepted.quality}
    return [json.dumps(told).encode()]
"""
WORKERS, CLIENTS, REQUESTS = 3, 8, 240
PROMPTS = ("count the open orders", "plan the migration of every server, " * 40, "é" * 200, "redesign the whole server")
ANSWER = "Done: 9 orders."
START_S = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork, and gunicorn needs it"),
]


@contextmanager
def served(folder: Path, router: Path, *options: str) -> Iterator[str]:
    """Gunicorn on a free port of this machine; its address. It is ended as an operator would end it."""
    (folder / "application.py").write_text(APPLICATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "application:application",
        "--bind",
        address,
        "--workers",
        str(WORKERS),
    ]
    environment = {**os.environ, "ROUTER": str(router)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, *options], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_for(f"http://{address}", folder / "log", server)
            yield f"http://{address}"
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=START_S) == 0, (folder / "log").read_text()


def wait_for(address: str, log: Path, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and server.poll() is None:
        try:
            ask(address, 0)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the server did not answer:\n{log.read_text()}")


def ask(address: str, number: int) -> tuple[dict[str, object], str]:
    """What one worker says of one prompt, and which worker it was."""
    asked = {"prompt": PROMPTS[number % len(PROMPTS)], "answer": ANSWER}
    told = httpx.post(address, content=json.dumps(asked), timeout=START_S)
    assert told.status_code == 200, told.text
    return told.json(), told.headers["X-Worker"]


@pytest.mark.parametrize(
    "options",
    [("--preload",), (), ("--preload", "--worker-class", "gthread", "--threads", "4")],
    ids=["loaded before the fork", "loaded after it", "loaded before, threads in each"],
)
def test_workers_of_gunicorn_decide_as_this_process_does(
    options: tuple[str, ...], tmp_path: Path, artifact: Path
) -> None:
    router = Router.load(artifact, cache=0)
    wanted = []
    for prompt in PROMPTS:
        decision, accepted = router.route(prompt), router.accept(prompt, ANSWER, tier="small")
        told = {
            "tier": decision.tier,
            "quality": decision.quality,
            "accept": accepted.accept,
            "worth": accepted.quality,
        }
        wanted.append(json.loads(json.dumps(told)))
    with served(tmp_path, artifact, *options) as address, ThreadPoolExecutor(CLIENTS) as clients:
        found = list(clients.map(lambda number: ask(address, number), range(REQUESTS)))
    assert [told for told, _ in found] == [wanted[number % len(PROMPTS)] for number in range(REQUESTS)]
    assert len({worker for _, worker in found}) > 1

"""A chat-completions server on a real socket that counts what it is asked and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Play = Callable[[BaseHTTPRequestHandler, dict[str, Any]], bool]


class ModelServer:
    """``statuses``: answered first, one a request. ``play``: handles a request itself when it returns True.

    ``asked`` holds the bodies that came in, ``keys`` their Authorization headers, ``busiest`` most requests at once.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.message: dict[str, Any] = {}
        self.usage: dict[str, int] | None = {"prompt_tokens": 7, "completion_tokens": 3}
        self.play: Play | None = None
        self.delay_s = 0.0
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.url = ""

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.asked]

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
            with self.lock:
                self.asked.append(body)
                self.keys.append(handler.headers.get("Authorization"))
                status = self.statuses.pop(0) if self.statuses else 200
            if self.delay_s:
                threading.Event().wait(self.delay_s)
            if self.play is None or not self.play(handler, body):
                self.answer(handler, body, status)
        finally:
            with self.lock:
                self.busy -= 1

    def answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], status: int = 200) -> None:
        message = self.message or {"content": f"heard {body['messages'][-1]['content']}"}
        data = {"choices": [{"message": message}], "usage": self.usage} if status == 200 else {"error": "as told"}
        reply(handler, status, json.dumps(data).encode(), self.headers)


def reply(handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error here."""


@contextmanager
def model_server() -> Iterator[ModelServer]:
    served = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            served.take(self)

        def log_message(self, *arguments: Any) -> None:
            """Keep the test's output clean."""

    server = _Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

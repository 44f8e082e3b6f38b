"""Send a judge's questions to an OpenAI-compatible server, two at a time. Knows HTTP; knows nothing of what is asked."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final

import httpx

from learned_router.errors import InputError
from learned_router.training.records import Output

RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED_STATUSES: Final = frozenset({401, 403, 404})  # no other question will fare better
ATTEMPTS: Final = 4
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
TIMEOUT_S: Final = 120.0

_JUDGE: Final = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)", re.IGNORECASE)


class JudgeClient:
    """Callable over chat-completions bodies; closes its connections as a context manager.

    url: base up to and with ``/v1``. key_variable: environment variable that holds the key, which is never stored.
    Raises InputError when the variable is not set, and on a call when the server refuses the key or the model.
    """

    def __init__(
        self,
        url: str,
        key_variable: str | None = None,
        *,
        first_wait_s: float = FIRST_WAIT_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        key = os.environ.get(key_variable, "").strip() if key_variable else ""
        if key_variable and not key:
            raise InputError(
                f"--judge-key {key_variable}: the environment variable is empty or not set; it must hold the key of {url}"
            )
        self._url = url.rstrip("/") + "/chat/completions"
        self._first_wait_s = first_wait_s
        self._client = httpx.Client(headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout_s)
        self._pool = ThreadPoolExecutor(2)  # the two orders of one comparison

    def __enter__(self) -> JudgeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._client.close()

    def __call__(self, bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, Output]]:
        asked = {self._pool.submit(self._ask, body): i for i, body in enumerate(bodies)}
        for done in as_completed(asked):
            yield asked[done], done.result()

    def _ask(self, body: dict[str, Any]) -> Output:
        error, wait_s = "", 0.0
        for attempt in range(ATTEMPTS):
            if attempt:
                doubled = self._first_wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                time.sleep(min(max(doubled, wait_s), LONGEST_WAIT_S))
            try:
                response = self._client.post(self._url, json=body)
            except httpx.HTTPError as failure:
                error = f"{type(failure).__name__}: {failure}"
                continue
            if response.status_code == 200:
                try:
                    return _read(response.json())
                except (ValueError, LookupError, TypeError, AttributeError) as failure:
                    error = f"no chat completion ({type(failure).__name__}: {failure})"
                    continue
            if response.status_code in REFUSED_STATUSES:
                raise InputError(
                    f"--judge: {self._url} refused {body['model']!r} with status {response.status_code}; "
                    "check the URL, the model's name, and --judge-key"
                )
            error = f"status {response.status_code}"
            if response.status_code not in RETRIED_STATUSES:
                break
            wait_s = _asked_wait_s(response)
        return Output(error=error)


def parse_judge(option: str) -> tuple[str, str]:
    """Model and URL of ``MODEL@URL``. Raises InputError on anything else."""
    match = _JUDGE.fullmatch(option)
    if match is None:
        raise InputError(f"--judge {option!r}: write MODEL@URL, as in llama3.1@http://localhost:11434/v1")
    return match["model"], match["url"]


def _read(data: Any) -> Output:
    message, usage = data["choices"][0]["message"], data.get("usage") or {}
    text = message["content"]
    if not isinstance(text, str):
        raise TypeError(f"content is of type {type(text).__name__}")
    given, made = (usage.get(key) for key in ("prompt_tokens", "completion_tokens"))
    return Output(
        text=text,
        input_tokens=given if isinstance(given, int) else None,
        output_tokens=made if isinstance(made, int) else None,
    )


def _asked_wait_s(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", "0")))
    except ValueError:  # a date: the doubling wait serves then
        return 0.0

"""Ask a model the requests of a paired log that it has not answered yet, over HTTP, and survive being killed.

Knows OpenAI's chat-completions protocol and its journal; knows nothing of tiers, grading or which model is good.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from learned_router.errors import InputError
from learned_router.training.journal import Journal
from learned_router.training.records import Output, Record, ToolCall

RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED_STATUSES: Final = frozenset({401, 403})

BodyBuilder = Callable[[Record, str], dict[str, Any]]


class Endpoint(msgspec.Struct, frozen=True):
    """Where a model is asked. ``url``: base up to and with ``/v1``. ``served_name``: the server's name for the model,
    when it differs. ``api_key_variable``: environment variable that holds the key; the key itself is never stored.
    """

    url: str
    served_name: str | None = None
    api_key_variable: str | None = None


class Patience(msgspec.Struct, frozen=True):
    """How long to wait and how often to try. Waits double from ``first_wait_s`` to ``longest_wait_s``, with jitter."""

    timeout_s: float = 120.0
    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


def chat_body(record: Record, model: str) -> dict[str, Any]:
    """The request as it stands in the record, in OpenAI's shape, asked greedily."""
    body: dict[str, Any] = {"model": model, "messages": msgspec.to_builtins(record.messages), "temperature": 0}
    if record.tools:
        body["tools"] = record.tools
    if record.response_format:
        body["response_format"] = record.response_format
    return body


def collect(
    records: Sequence[Record],
    model: str,
    endpoint: Endpoint,
    journal: Path,
    *,
    concurrency: int = 2,
    patience: Patience | None = None,
    build_body: BodyBuilder = chat_body,
    calls_in_text: bool = False,
    show_progress: bool = True,
) -> list[Record]:
    """Copies of the records, in their order, each with ``outputs[model]``; only what is missing is asked.

    journal: append-only file beside the output; every answer is on disk before the next is asked for, so a run killed
    at any moment resumes without asking twice. A request that failed is no answer: it gets ``error`` and is asked
    again by the next run.
    calls_in_text: also read tool calls that the model wrote as JSON into its text, for servers that do not.
    Raises InputError when the endpoint refuses the key, or when an option or the journal cannot be used.
    """
    return asyncio.run(
        collect_async(
            records,
            model,
            endpoint,
            journal,
            concurrency=concurrency,
            patience=patience,
            build_body=build_body,
            calls_in_text=calls_in_text,
            show_progress=show_progress,
        )
    )


async def collect_async(
    records: Sequence[Record],
    model: str,
    endpoint: Endpoint,
    journal: Path,
    *,
    concurrency: int = 2,
    patience: Patience | None = None,
    build_body: BodyBuilder = chat_body,
    calls_in_text: bool = False,
    show_progress: bool = True,
) -> list[Record]:
    """``collect`` for callers that already run an event loop."""
    if concurrency < 1:
        raise InputError(f"concurrency is {concurrency}; it must be at least 1")
    patience = patience or Patience()
    if patience.attempts < 1:
        raise InputError(f"attempts is {patience.attempts}; it must be at least 1")
    headers = _headers(endpoint)
    bodies = {i: build_body(record, endpoint.served_name or model) for i, record in enumerate(records)}
    keys = {i: (records[i].id, model, _fingerprint(body)) for i, body in bodies.items()}
    answers: dict[int, Output] = {}
    with Journal(journal) as book:
        missing = []
        for i, record in enumerate(records):
            held = record.outputs.get(model)
            if held is not None and held.error is None:
                continue
            if keys[i] in book.answered:
                answers[i] = book.answered[keys[i]]
            else:
                missing.append(i)
        todo = iter(missing)  # shared by the workers: each takes the next request when it is free
        with _progress(show_progress) as progress:
            bar = progress.add_task(f"asking {model}", total=len(bodies), completed=len(bodies) - len(missing))

            async def work(client: httpx.AsyncClient, todo: Iterator[int]) -> None:
                for i in todo:
                    output = await _ask(client, endpoint, bodies[i], patience)
                    if calls_in_text and records[i].tools and output.tool_calls is None:
                        output.tool_calls = read_calls(output.text or "")
                    if output.error is None:
                        book.write(keys[i], output)
                    answers[i] = output
                    progress.advance(bar)

            async with httpx.AsyncClient(headers=headers, timeout=patience.timeout_s) as client:
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(min(concurrency, len(missing))):
                            group.create_task(work(client, todo))
                except* InputError as refused:
                    raise refused.exceptions[0] from None
    return [
        msgspec.structs.replace(record, outputs={**record.outputs, model: answers[i]}) if i in answers else record
        for i, record in enumerate(records)
    ]


def _progress(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, disable=not shown)


def _headers(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.api_key_variable is None:
        return {}
    key = os.environ.get(endpoint.api_key_variable, "")
    if not key:
        raise InputError(
            f"environment variable {endpoint.api_key_variable} is empty or not set; it must hold the API key of "
            f"{endpoint.url}. Set it, or name another variable"
        )
    return {"Authorization": f"Bearer {key}"}


def _fingerprint(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


async def _ask(client: httpx.AsyncClient, endpoint: Endpoint, body: dict[str, Any], patience: Patience) -> Output:
    """One request, tried until answered or out of attempts; the failure is then the output's ``error``."""
    url = endpoint.url.rstrip("/") + "/chat/completions"
    error, asked_wait_s = "", 0.0
    for attempt in range(patience.attempts):
        if attempt:
            await asyncio.sleep(_wait_s(patience, attempt, asked_wait_s))
            asked_wait_s = 0.0
        started = time.perf_counter()
        try:
            response = await client.post(url, json=body)
        except httpx.TransportError as failure:
            error = f"{type(failure).__name__}: {failure}"
            continue
        if response.status_code == 200:
            try:
                return _read_output(response.json(), time.perf_counter() - started)
            except (ValueError, KeyError, IndexError, TypeError) as failure:
                error = f"answer is no chat completion ({type(failure).__name__}: {failure})"
                continue
        if response.status_code in REFUSED_STATUSES:
            wanted = f"a valid key in ${endpoint.api_key_variable}" if endpoint.api_key_variable else "an API key"
            raise InputError(f"{url}: refused with status {response.status_code}; it wants {wanted}")
        error = f"status {response.status_code}: {response.text[:200]}"
        if response.status_code not in RETRIED_STATUSES:
            break
        asked_wait_s = _asked_wait_s(response)
    return Output(error=error)


def _asked_wait_s(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", "0")))
    except ValueError:  # the header may also hold a date; the doubling wait serves then
        return 0.0


def _wait_s(patience: Patience, attempt: int, asked_wait_s: float) -> float:
    """Seconds before try ``attempt`` (1 is the first repetition): doubled each time, or what the server asked for."""
    doubled = patience.first_wait_s * 2 ** (attempt - 1)
    # jitter: workers that failed together do not come back together
    wait_s = max(doubled * random.uniform(0.5, 1.0), asked_wait_s)
    return min(wait_s, patience.longest_wait_s)


def _read_output(data: dict[str, Any], latency_s: float) -> Output:
    message = data["choices"][0]["message"]
    usage = data.get("usage") or {}
    calls = message.get("tool_calls")
    return Output(
        text=message.get("content"),
        tool_calls=[_read_call(call["function"]) for call in calls] if calls else None,
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        latency_s=round(latency_s, 4),
    )


def _read_call(function: dict[str, Any]) -> ToolCall:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(json.JSONDecodeError):  # kept as the model wrote it: the grader judges it
            arguments = json.loads(arguments or "{}")
    return ToolCall(str(function["name"]), arguments)


def read_calls(text: str) -> list[ToolCall] | None:
    """Tool calls that a model wrote into its text; None when there is none.

    Reads every JSON object with a string ``name`` and ``arguments`` (or ``parameters``), bare, in a list, between
    ``<tool_call>`` tags or in a fenced block, in the order written.
    """
    decoder = json.JSONDecoder()
    calls: list[ToolCall] = []
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError):
            place = text.find("{", place + 1)
            continue
        if isinstance(value.get("name"), str) and ("arguments" in value or "parameters" in value):
            calls.append(
                _read_call({"name": value["name"], "arguments": value.get("arguments", value.get("parameters"))})
            )
        place = text.find("{", end)
    return calls or None

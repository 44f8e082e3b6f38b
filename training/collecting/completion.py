"""A record as a chat-completions request, and a chat completion as an output. Knows OpenAI's shapes; sends nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec

from learned_router.answer import clean_text, read_logprobs
from learned_router.training.records import Output, Record, ToolCall

BodyBuilder = Callable[[Record, str], dict[str, Any]]

ENDED_BY_ITSELF = ("stop", "tool_calls", "function_call")


def chat_body(
    record: Record,
    model: str,
    *,
    temperature: float | None = 0.0,
    max_tokens: int | None = None,
    logprobs: bool = False,
) -> dict[str, Any]:
    """The whole request as it stands in the record, in OpenAI's shape, asked greedily.

    temperature: None leaves it to the server. max_tokens: the longest answer; None leaves it to the server.
    logprobs: whether to ask for the tokens' log-probabilities too.
    """
    body: dict[str, Any] = {"model": model, "messages": [_message(message) for message in record.messages]}
    if temperature is not None:
        body["temperature"] = temperature
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if logprobs:
        body["logprobs"] = True
    if record.tools:
        body["tools"] = [_tool(tool) for tool in record.tools]
    if record.response_format:
        body["response_format"] = record.response_format
    return body


def fingerprint(body: dict[str, Any]) -> str:
    """16 hexadecimal digits that two requests share only when they ask the same."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def read_output(data: Any, latency_s: float, *, calls_in_text: bool = False) -> Output:
    """The output in a chat completion. Raises ValueError, saying what is missing, when it holds no answer.

    calls_in_text: also read tool calls that the model wrote as JSON into its text, for servers that do not.
    """
    try:
        choice = data["choices"][0]
        message = choice["message"]
        text, calls = message.get("content"), message.get("tool_calls")
        read = [read_call(call["function"]) for call in calls] if calls else None
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        told = _told_error(data)
        raise ValueError(told or f"no choices[0].message in it ({type(error).__name__}: {error})") from None
    if isinstance(text, list):  # some servers answer in content parts
        text = "".join(part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str))
    if text is not None and not isinstance(text, str):
        raise ValueError(f"choices[0].message.content is of type {type(text).__name__}; it must be text or null")
    if text is None and read is None:
        refusal = message.get("refusal")
        if not isinstance(refusal, str):
            raise ValueError("its message has neither text nor tool calls")
        text = refusal
    if read is None and calls_in_text:
        read = read_calls(text or "")
    ended = choice.get("finish_reason")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Output(
        text=None if text is None else clean_text(text),
        tool_calls=read,
        # an answer that ended by itself needs no reason
        finish_reason=ended if isinstance(ended, str) and ended not in ENDED_BY_ITSELF else None,
        logprobs=read_logprobs(choice.get("logprobs"), text),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        latency_s=round(latency_s, 4),
    )


def read_call(function: dict[str, Any]) -> ToolCall:
    """One call out of OpenAI's ``{"name", "arguments": "<json>"}``. Arguments that do not parse stay as written."""
    name, arguments = clean_text(str(function["name"])), function.get("arguments")
    if isinstance(arguments, str):
        written, arguments = clean_text(arguments), clean_text(arguments)
        # kept as the model wrote it: the grader judges it
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(written or "{}")
    else:
        written = json.dumps(arguments)
    try:
        msgspec.json.encode(arguments)
    except (ValueError, OverflowError, RecursionError, TypeError):  # escaped surrogates, integers of any length
        arguments = written
    return ToolCall(name, arguments)


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
        except (ValueError, RecursionError):
            place = text.find("{", place + 1)
            continue
        if isinstance(value.get("name"), str) and ("arguments" in value or "parameters" in value):
            calls.append(
                read_call({"name": value["name"], "arguments": value.get("arguments", value.get("parameters"))})
            )
        place = text.find("{", end)
    return calls or None


def _message(message: Any) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(message)
    calls = built.get("tool_calls")
    if calls:
        built["tool_calls"] = [_history_call(call, place) for place, call in enumerate(calls)]
    return built


def _history_call(call: Any, place: int) -> Any:
    """A call of the history in OpenAI's shape, from that or from the flat one of outputs."""
    if not isinstance(call, dict) or "function" in call or "name" not in call:
        return call
    arguments = call.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments)
    name = call.get("id") or f"call_{place}"
    return {"id": name, "type": "function", "function": {"name": call["name"], "arguments": text}}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's shape; a bare function, as many logs hold it, is wrapped."""
    return tool if "name" not in tool or "function" in tool else {"type": "function", "function": tool}


def _told_error(data: Any) -> str | None:
    """What an answer of status 200 says is wrong, as some gateways answer."""
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f"it holds an error: {message[:200]}" if isinstance(message, str) and message else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

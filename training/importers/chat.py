"""Read OpenAI's request and response bodies: chat completions, streamed or whole, and the Responses API.

Knows OpenAI's shapes; knows nothing of the log that holds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from learned_router.request import Message
from learned_router.training.importers.fields import count, first_of, object_of, parsed, text
from learned_router.training.importers.importer import Unusable
from learned_router.training.records import Output, ToolCall

_LATER_ITEMS = frozenset({"function_call", "function_call_output"})


class Asked(NamedTuple):
    """What a request body asks. model: as it was asked for."""

    model: str | None
    messages: list[Message]
    tools: list[dict[str, Any]] | None
    response_format: dict[str, Any] | None


class Answered(NamedTuple):
    """What a response body answers. model: as it says itself. id and created: likewise. notes: for the metadata."""

    model: str | None
    output: Output
    id: str | None
    created: Any
    notes: dict[str, Any]


def read_request(body: dict[str, Any]) -> Asked | Unusable:
    """A request body of the chat-completions, the completions or the Responses API."""
    written = parsed(first_of(body, "messages", "input", "prompt"))
    instructions = body.get("instructions")
    if isinstance(written, str):
        written = [{"role": "user", "content": written}]
    if isinstance(written, dict):
        written = [written] if "role" in written else []
    if not isinstance(written, list) or not written:
        return Unusable("no_messages", "no messages in the request; it must hold 'messages' (or 'input')")
    if isinstance(instructions, str) and instructions:
        written = [{"role": "system", "content": instructions}, *written]
    messages = read_messages(written)
    if isinstance(messages, Unusable):
        return messages
    wanted = parsed(first_of(body, "response_format"))
    if wanted is None:
        wanted = _text_format(body.get("text"))
    return Asked(
        model=text(body.get("model")),
        messages=messages,
        tools=read_tools(parsed(first_of(body, "tools", "functions"))),
        response_format=wanted if isinstance(wanted, dict) else None,
    )


def read_messages(written: list[Any]) -> list[Message] | Unusable:
    """Messages in OpenAI's shape, or in that of the Responses API's items."""
    try:
        messages = msgspec.convert(written, list[Message])
        if not any(isinstance(item, dict) and "function_call" in item for item in written):
            return messages
    except (msgspec.ValidationError, RecursionError):
        pass
    read: list[Message] = []
    for index, item in enumerate(written):
        message = _read_message(item)
        if message is None:
            detail = f"messages[{index}] is no message; it must be an object with 'role' and 'content'"
            return Unusable("unreadable_messages", detail)
        if message.role:
            read.append(message)
    return read or Unusable("no_messages", "no messages in the request; it must hold at least one")


def _read_message(item: Any) -> Message | None:
    """One message; of no role when the item says nothing to the next model; None when it is none."""
    if isinstance(item, str):
        return Message(role="user", content=item)
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    if kind == "function_call":
        call = {"id": item.get("call_id"), "type": "function", "function": _function(item)}
        return Message(role="assistant", tool_calls=[call])
    if kind == "function_call_output":
        return Message(role="tool", content=_as_text(item.get("output")), tool_call_id=text(item.get("call_id")))
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str):
        # a model's reasoning and the like, which no other model is shown
        return Message(role="") if isinstance(kind, str) and kind not in _LATER_ITEMS else None
    calls = item.get("tool_calls")
    legacy = item.get("function_call")
    if isinstance(legacy, dict):
        calls = [{"type": "function", "function": _function(legacy)}]
    return Message(
        role="tool" if role == "function" else role,
        content=content if content is None or isinstance(content, str | list) else _as_text(content),
        tool_calls=calls if isinstance(calls, list) and calls else None,
        tool_call_id=text(item.get("tool_call_id")),
        name=text(item.get("name")),
    )


def _function(item: dict[str, Any]) -> dict[str, Any]:
    return {"name": item.get("name"), "arguments": _as_text(item.get("arguments"))}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_tools(written: Any) -> list[dict[str, Any]] | None:
    """Tools in OpenAI's shape, those that are flat (the Responses API, legacy functions) included; None without any."""
    tools = []
    for tool in written if isinstance(written, list) else []:
        if isinstance(tool, dict) and isinstance(tool.get("name"), str) and "function" not in tool:
            inner = {key: tool[key] for key in ("name", "description", "parameters", "strict") if key in tool}
            tools.append({"type": "function", "function": inner})
        elif isinstance(tool, dict):
            tools.append(tool)
    return tools or None


def _text_format(value: Any) -> dict[str, Any] | None:
    """``response_format`` from the Responses API's ``text.format``."""
    wanted = object_of(object_of(value).get("format"))
    if wanted.get("type") == "json_schema" and "json_schema" not in wanted:
        inner = {key: wanted[key] for key in ("name", "schema", "strict") if key in wanted}
        return {"type": "json_schema", "json_schema": inner}
    return wanted or None


def read_response(body: Any, *, tools_offered: bool) -> Answered | Unusable:
    """A response body: a completion, its chunks (a list, or the text of an event stream), a response, or an error.

    tools_offered: then an answer without calls is one that chose to call nothing.
    """
    body = parsed(body)
    if isinstance(body, str) and body.lstrip().startswith(("data:", "event:")):
        body = _events(body)
    if isinstance(body, dict) and isinstance(body.get("chunks"), list):
        body = body["chunks"]
    if isinstance(body, list):
        body = _assembled(body)
    if isinstance(body, str):
        return Answered(None, Output(text=body, tool_calls=[] if tools_offered else None), None, None, {})
    if not isinstance(body, dict):
        return Unusable("no_response", "no response; it must be an object with 'choices', or with 'error'")
    error = error_text(body.get("error"))
    if error:
        return Answered(text(body.get("model")), Output(error=error), text(body.get("id")), None, {})
    notes: dict[str, Any] = {}
    if isinstance(body.get("choices"), list) and body["choices"]:
        said = _said_by_choice(body["choices"], notes)
    elif isinstance(body.get("output"), list):
        said = _said_by_items(body["output"])
        if body.get("status") == "incomplete":
            notes["finish_reason"] = text(object_of(body.get("incomplete_details")).get("reason")) or "incomplete"
    elif isinstance(body.get("content"), str) or isinstance(body.get("tool_calls"), list):
        said = body.get("content"), body.get("tool_calls")  # the message alone
    else:
        said = None
    if said is None:
        return Unusable("no_answer", "the response holds no message; it must have 'choices' with one, or an 'error'")
    calls = [call for item in said[1] or [] if (call := read_call(item)) is not None]
    written = "" if said[0] is None else _joined_parts(said[0])
    usage = object_of(body.get("usage"))
    output = Output(
        text=None if calls and not written else written,
        tool_calls=calls if calls or tools_offered else None,
        input_tokens=count(first_of(usage, "prompt_tokens", "input_tokens")),
        output_tokens=count(first_of(usage, "completion_tokens", "output_tokens")),
    )
    created = first_of(body, "created", "created_at")
    return Answered(text(body.get("model")), output, text(body.get("id")), created, notes)


def read_call(item: Any) -> ToolCall | None:
    """A call of an answer, flat; arguments that are no JSON stay as the model wrote them. None without a name."""
    inner = item.get("function") if isinstance(item, dict) and isinstance(item.get("function"), dict) else item
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None
    arguments = inner.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = msgspec.json.decode(arguments or "{}")
    return ToolCall(name=inner["name"], arguments=arguments)


def error_text(error: Any) -> str | None:
    """One line that says what went wrong; None when nothing did."""
    error = parsed(error)
    if isinstance(error, dict):
        kind, message = (
            text(first_of(error, "type", "error_class", "code")),
            text(first_of(error, "message", "error_message")),
        )
        return ": ".join(part for part in (kind, message) if part) or ("error" if error else None)
    return error if isinstance(error, str) and error else "error" if error is True else None


def _said_by_choice(choices: list[Any], notes: dict[str, Any]) -> tuple[Any, list[Any] | None] | None:
    choice = choices[0]
    if not isinstance(choice, dict):
        return None
    if len(choices) > 1:
        notes["choices"] = len(choices)
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason not in ("stop", "tool_calls", "function_call"):
        notes["finish_reason"] = reason
    message = choice.get("message")
    if not isinstance(message, dict):
        return (choice["text"], None) if isinstance(choice.get("text"), str) else None
    calls = message.get("tool_calls")
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [message["function_call"]]
    content = message.get("content")
    return content if content is not None else message.get("refusal"), calls if isinstance(calls, list) else None


def _said_by_items(items: list[Any]) -> tuple[Any, list[Any] | None]:
    texts: list[str] = []
    calls: list[Any] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        if item.get("type") == "function_call":
            calls.append(item)
        elif item.get("type") == "message":
            texts.append(_joined_parts(item.get("content")))
    return "\n".join(texts) if texts else None, calls


def _joined_parts(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return _as_text(content) if isinstance(content, dict) else ""
    found = (first_of(part, "text", "refusal") if isinstance(part, dict) else part for part in content)
    return "".join(part for part in found if isinstance(part, str))


def _events(body: str) -> list[Any]:
    found = []
    for line in body.splitlines():
        if line.startswith("data:"):
            found.append(parsed(line.removeprefix("data:").strip()))
    return found


def _assembled(chunks: Iterable[Any]) -> dict[str, Any] | None:
    """A completion from the chunks of its stream, as its first choice; None when they say nothing."""
    whole: dict[str, Any] = {}
    texts: list[str] = []
    refusals: list[str] = []
    calls: dict[Any, dict[str, Any]] = {}
    reason = None
    said = False
    for item in chunks:
        chunk = parsed(item.removeprefix("data:").strip()) if isinstance(item, str) else item
        if not isinstance(chunk, dict):
            continue
        if isinstance(chunk.get("response"), dict) and str(chunk.get("type")).startswith("response."):
            whole = chunk["response"]  # the Responses API ends its stream with the whole
            continue
        if isinstance(chunk.get("error"), dict | str):
            return chunk
        for key in ("id", "model", "created", "usage"):
            if chunk.get(key) is not None and (key == "usage" or key not in whole):
                whole[key] = chunk[key]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            said = True
            reason = choice.get("finish_reason") or reason
            delta = object_of(first_of(choice, "delta", "message"))
            for key, parts in (("content", texts), ("refusal", refusals)):
                if isinstance(delta.get(key), str):
                    parts.append(delta[key])
            if isinstance(choice.get("text"), str):
                texts.append(choice["text"])
            _add_calls(calls, delta)
    if not said:
        return whole or None
    message = {
        "content": "".join(texts) if texts else "".join(refusals) if refusals else None,
        "tool_calls": [
            {"function": {"name": "".join(call["name"]), "arguments": "".join(call["arguments"])}}
            for call in calls.values()
        ],
    }
    return {**whole, "choices": [{"message": message, "finish_reason": reason or "stream_broke_off"}]}


def _add_calls(calls: dict[Any, dict[str, Any]], delta: dict[str, Any]) -> None:
    pieces = delta.get("tool_calls")
    if isinstance(delta.get("function_call"), dict):
        pieces = [{"index": 0, "function": delta["function_call"]}]
    for piece in pieces if isinstance(pieces, list) else ():
        if not isinstance(piece, dict):
            continue
        index = piece.get("index")
        call = calls.setdefault(index if isinstance(index, int) else len(calls), {"name": [], "arguments": []})
        function = object_of(piece.get("function"))
        for key in ("name", "arguments"):
            if isinstance(function.get(key), str):
                call[key].append(function[key])

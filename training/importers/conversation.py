"""Put messages, tools and answers into OpenAI's shape, whichever of the known shapes they are logged in.

The shapes: OpenAI's, LangChain's serialised messages, the parts of OpenTelemetry's conventions, the Vercel AI SDK's model
messages, Anthropic's content blocks. Knows these; knows no log format and no file.
"""

from __future__ import annotations

import json
from typing import Any, Final

from learned_router.request import Message
from learned_router.training.importers.chat import read_call
from learned_router.training.importers.fields import first_of, list_of, mapping_of, object_of, parsed, text
from learned_router.training.importers.traced import Answer, UnusableError

_ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_SPEAKERS: Final = frozenset({"user", "assistant", "system", "developer", "tool", *_ROLES})
_TEXT: Final = frozenset({"text", "input_text", "output_text"})
_CALL: Final = frozenset({"tool_call", "tool-call", "tool_use", "function_call"})
_RESULT: Final = frozenset({"tool_call_response", "tool-result", "tool_result", "function_call_output"})
# what a model thought is not part of the conversation that the next model sees
_THOUGHT: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "redacted-reasoning"})


def read_messages(value: Any) -> list[Message]:
    """The messages of a request: a prompt, a message, a list of messages, or an object that holds them.

    Returns [] when there are none. Raises UnusableError when something among them is no message.
    """
    whole = parsed(value)
    if isinstance(whole, dict) and not _is_message(whole):
        value = whole
        inner = first_of(value, "messages", "prompt", "prompts", "input", "contents")
        if inner is None:
            raise UnusableError("unreadable_messages", f"an object with {_keys(value)}; it must hold 'messages'")
        system = first_of(value, "system", "instructions")  # Anthropic's, and those of OpenAI's Responses
        return [*([] if system is None else _read_message({"role": "system", "content": system})), *_all(inner)]
    return _all(value)


def _all(value: Any) -> list[Message]:
    whole = parsed(value)
    if isinstance(value, str) and not _may_be_messages(whole):
        whole = value  # a prompt that is JSON
    value = whole
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        value = [value]
    if len(value) == 1 and isinstance(value[0], list):  # LangChain logs a batch of conversations
        value = value[0]
    return [message for item in value for message in _read_message(item)]


def _may_be_messages(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value)
    return isinstance(value, dict) and _is_message(value)


def read_answer(value: Any) -> Answer | None:
    """A model's answer: text, a message, a list of messages or choices (of which the first counts); None when nothing.

    JSON that is none of these is what the model was asked for, and stays the answer's text.
    Raises UnusableError when a message among them cannot be read.
    """
    found = parsed(value)
    choice = list_of(mapping_of(found).get("choices"))[:1]
    if choice and isinstance(choice[0], dict) and {"message", "delta", "text"} & choice[0].keys():
        if isinstance(choice[0].get("text"), str):
            return Answer(text=choice[0]["text"], tool_calls=[])
        found = choice[0]
    if isinstance(found, list):
        found = _one_of(found) if found and all(map(_is_answer, found)) else None
    if isinstance(found, dict):
        found = first_of(found, "message", "delta") or found
    if not _is_answer(found):
        if value is None:
            return None
        return Answer(text=value if isinstance(value, str) else json_text(value), tool_calls=[])
    messages = [message for message in _read_message(found) if message.role != "tool"]
    if not messages:
        return None
    content = messages[0].content
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    calls = [call for item in messages[0].tool_calls or [] if (call := read_call(item)) is not None]
    return Answer(text=content or (None if calls else ""), tool_calls=calls)


def _is_answer(value: Any) -> bool:
    """Whether a value is a message, a choice with one, or an item of OpenAI's Responses; a model may well have been asked
    for an object with a role or a type of its own."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("message"), dict) or isinstance(value.get("delta"), dict):
        return True
    if isinstance(value.get("kwargs"), dict) and "lc" in value:
        return True
    role = value.get("role", value.get("type"))
    said = {"content", "parts", "tool_calls", "function_call", "refusal", "data"} & value.keys()
    if isinstance(role, str) and role.lower().removesuffix("messagechunk") in _SPEAKERS and said:
        return True
    kind = value.get("type")
    return isinstance(kind, str) and (kind in _CALL or kind in _THOUGHT) and value.keys() != {"type"}


def _one_of(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The one message of an answer that is a list: of candidates or messages, or of the items of OpenAI's Responses."""
    if any(item.get("type") in (*_CALL, *_THOUGHT) for item in items):
        contents = [item if item.get("type") in (*_CALL, *_THOUGHT) else item.get("content") for item in items]
        parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
        return {"role": "assistant", "content": [part for part in parts if part is not None]}
    return next((item for item in items if item.get("role") == "assistant"), items[0])


def read_tools(value: Any) -> list[dict[str, Any]] | None:
    """Tools in OpenAI's shape from that, a flat ``{"name", "parameters"}``, ``inputSchema`` or ``input_schema``; None
    when there are none. Raises UnusableError when one has no name."""
    value = parsed(value)
    if isinstance(value, dict) and not {"name", "function"} & value.keys():  # by name, as Langfuse keeps them
        value = [{"name": name, **object_of(tool)} for name, tool in value.items()]
    tools = []
    for item in value if isinstance(value, list) else [] if value is None else [value]:
        tool = parsed(item)
        inner = mapping_of(tool)
        if isinstance(inner.get("function"), dict):
            inner = inner["function"]
        name = first_of(inner, "name", "id", "type")
        if not isinstance(name, str):
            raise UnusableError("unreadable_tools", f"a tool of type {type(tool).__name__} has no name")
        function: dict[str, Any] = {"name": name}
        for key, names in (
            ("description", ("description",)),
            ("parameters", ("parameters", "inputSchema", "input_schema")),
        ):
            found = parsed(first_of(inner, *names))
            if found is not None:
                function[key] = found
        if inner.get("strict") is not None:
            function["strict"] = inner["strict"]
        tools.append({"type": "function", "function": function})
    return tools or None


def _is_message(value: dict[str, Any]) -> bool:
    kind = value.get("type")
    named = isinstance(kind, str) and kind.lower().removesuffix("messagechunk") in _SPEAKERS
    return bool(
        isinstance(value.get("role"), str)
        or isinstance(value.get("kwargs"), dict)
        or (named and ("content" in value or "data" in value))
        or ("content" in value and len(value) == 1)
    )


def _read_message(item: Any) -> list[Message]:
    """One logged message, as one of ours or as several: each tool result is a message of its own."""
    if isinstance(item, str):
        whole = parsed(item)
        if not isinstance(whole, dict) or not _is_message(whole):
            return [Message(role="user", content=item)]
        item = whole
    if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
        speaker: str = item[0]
        return [Message(role=_ROLES.get(speaker, speaker), content=item[1])]
    if not isinstance(item, dict):
        raise UnusableError("unreadable_messages", f"a message of type {type(item).__name__}; it must be an object")
    if "role" not in item and item.get("type") in (*_CALL, *_RESULT):  # items of OpenAI's Responses
        item = {"role": "assistant" if item["type"] in _CALL else "tool", "content": [item]}
    role, body = _unwrapped(item)
    contents, part_calls, results = _sort_parts(body.get("parts") if "parts" in body else body.get("content"))
    calls = [_call(call) for call in _logged_calls(body)] or part_calls
    call_id = text(first_of(body, "tool_call_id", "toolCallId", *(["id"] if role == "tool" else [])))
    messages = [Message(role="tool", content=said, tool_call_id=result_id) for result_id, said in results]
    content: str | list[Any] | None = contents
    if len(contents) == 1 and contents[0].get("type") == "text" and isinstance(contents[0].get("text"), str):
        content = contents[0]["text"]
    if not contents or (content == "" and calls):
        content = None if calls or messages or role != "tool" else ""
    if content is not None or calls or not messages:
        name = body.get("name")
        messages.append(
            Message(
                role=role,
                content=content,
                tool_calls=calls or None,
                tool_call_id=call_id if role == "tool" else None,
                name=name if isinstance(name, str) and name else None,
            )
        )
    return messages


def _unwrapped(item: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The role of a message and the object that holds its content."""
    body, role = item, item.get("role")
    if isinstance(item.get("kwargs"), dict):  # {"lc": 1, "id": [..., "HumanMessage"], "kwargs": {...}}
        body = item["kwargs"]
        path = list_of(item.get("id"))
        kind = path[-1] if path and isinstance(path[-1], str) else ""
        role = body.get("role") or kind.removesuffix("Chunk").removesuffix("Message").lower()
    elif isinstance(item.get("data"), dict) and role is None:  # {"type": "human", "data": {...}}
        body, role = item["data"], item.get("type")
    elif role is None:
        role = item.get("type") or ("user" if "content" in item else None)
    if not isinstance(role, str) or not role:
        raise UnusableError("unreadable_messages", f"a message with {_keys(item)}; it must have a 'role'")
    role = role.lower().removesuffix("messagechunk")
    return _ROLES.get(role, role), body


def _logged_calls(body: dict[str, Any]) -> list[Any]:
    """The calls that stand beside the content; LangChain keeps those it could not parse apart."""
    calls = list_of(body.get("tool_calls")) or list_of(mapping_of(body.get("additional_kwargs")).get("tool_calls"))
    calls = calls + list_of(body.get("invalid_tool_calls"))
    legacy = body.get("function_call")
    return calls or ([legacy] if isinstance(legacy, dict) else [])


def _sort_parts(value: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[str | None, str]]]:
    """Content parts in OpenAI's shape, tool calls, and tool results as (id of the call, text)."""
    contents: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    results: list[tuple[str | None, str]] = []
    for part in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(part, dict):
            contents.append({"type": "text", "text": part if isinstance(part, str) else json_text(part)})
            continue
        kind = text(part.get("type"))
        if kind in _CALL:
            calls.append(_call(part))
        elif kind in _RESULT:
            call_id = text(first_of(part, "tool_use_id", "toolCallId", "call_id", "id"))
            results.append((call_id, _result_text(first_of(part, "response", "result", "output", "content"))))
        elif kind in _TEXT or (kind is None and isinstance(part.get("text"), str)):
            said = first_of(part, "text", "content")
            contents.append({"type": "text", "text": said if isinstance(said, str) else json_text(said or "")})
        elif kind is None:  # no part at all, but an object that was the content
            contents.append({"type": "text", "text": json_text(part)})
        elif kind not in _THOUGHT:
            contents.append(_image(part) or part)
    return contents, calls, results


def _image(part: dict[str, Any]) -> dict[str, Any] | None:
    """An image in OpenAI's shape; None when the part is none, or has that shape already."""
    if isinstance(part.get("source"), dict):  # Anthropic's
        part = {"type": part.get("type"), **{key: item for key, item in part["source"].items() if key != "type"}}
    kind = text(first_of(part, "mime_type", "mediaType", "media_type", "mimeType")) or ""
    named = part.get("type") == "image" or part.get("modality") == "image" or kind.startswith("image/")
    if not named or "image_url" in part:
        return None
    address = first_of(part, "uri", "url", "image", "data", "content")
    data = address if isinstance(address, str) else ""
    if not data.startswith(("http://", "https://", "data:")):
        data = f"data:{kind or 'image/png'};base64,{data}"
    return {"type": "image_url", "image_url": {"url": data}}


def _call(item: Any) -> dict[str, Any]:
    """A tool call in OpenAI's shape. Raises UnusableError when it has no name."""
    item = parsed(item)
    function = item.get("function") if isinstance(item, dict) and isinstance(item.get("function"), dict) else item
    name = first_of(function, "name", "toolName", "tool_name")
    if not isinstance(name, str):
        raise UnusableError("unreadable_tool_call", "a tool call without a name; it must be an object with 'name'")
    arguments = first_of(function, "arguments", "args", "input")
    written = arguments if isinstance(arguments, str) else json_text({} if arguments is None else arguments)
    call_id = text(first_of(item, "toolCallId", "call_id", "id"))
    call: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": written}}
    return {"id": call_id, **call} if call_id else call


def _result_text(value: Any) -> str:
    """What a tool gave back, as text; the Vercel AI SDK wraps it as ``{"type": "json", "value": ...}``."""
    if isinstance(value, dict) and set(value) <= {"type", "value", "providerOptions"} and "value" in value:
        value = value["value"]
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "\n".join(part["text"] for part in value)
    return value if isinstance(value, str) else "" if value is None else json_text(value)


def json_text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UnusableError("not_writable", f"holds what JSON cannot ({error}); export the log again as JSON") from None


def _keys(value: dict[str, Any]) -> str:
    return "the keys " + ", ".join(sorted(str(key)[:30] for key in value)[:6]) if value else "no keys"

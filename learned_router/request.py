"""Turn whatever a caller routes into one ``Request``, or say which field is wrong. Knows nothing of what is read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

import msgspec

from learned_router.errors import InputError

STEPS: Final = (
    "intent",
    "extract",
    "tool_call",
    "tool_result",
    "validate",
    "plan",
    "code",
    "recover",
    "respond",
    "other",
)


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chat message in OpenAI's shape. ``content``: text, a list of content parts, or None beside tool calls."""

    role: str
    content: str | list[Any] | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is routed. ``tools`` in OpenAI's shape (``{"type": "function", "function": {...}}`` or the inner object)."""

    messages: list[Message]
    tools: list[dict[str, Any]] = msgspec.field(default_factory=list)
    response_format: dict[str, Any] | None = None
    step: str | None = None


def parse_request(
    request: Any, *, tools: Sequence[Mapping[str, Any]] | None = None, step: str | None = None
) -> Request:
    """One ``Request`` from a prompt, a list of messages, a mapping with ``messages``, or a ``Request``.

    ``tools`` and ``step`` given beside the request win over those inside it.
    Raises InputError naming the field that is wrong, what was found and what is wanted.
    """
    if isinstance(request, Request):  # nothing checks a struct that is made by hand
        parsed = _parse_mapping(msgspec.structs.asdict(request))
    elif isinstance(request, str):
        parsed = Request(messages=[Message(role="user", content=request)])
    elif isinstance(request, Mapping):
        parsed = _parse_mapping(request)
    elif isinstance(request, Sequence) and not isinstance(request, bytes | bytearray):
        parsed = Request(messages=_parse_messages(request))
    else:
        raise InputError(
            f"request is {kind_of(request)}; it must be a prompt (text), a list of messages, or a mapping with 'messages'"
        )
    if tools is not None:
        parsed = msgspec.structs.replace(parsed, tools=_parse_tools(tools))
    if step is not None:
        parsed = msgspec.structs.replace(parsed, step=step)
    if not parsed.messages:
        raise InputError("messages is empty; it must hold at least one message")
    if parsed.step is not None and parsed.step not in STEPS:
        found = repr(parsed.step[:40]) if isinstance(parsed.step, str) else kind_of(parsed.step)
        raise InputError(f"step is {found}; it must be one of {', '.join(STEPS)}, or absent")
    return parsed


def _parse_mapping(request: Mapping[Any, Any]) -> Request:
    messages = request.get("messages")
    if messages is None and "prompt" in request:
        prompt = request["prompt"]
        if not isinstance(prompt, str):
            raise InputError(f"prompt is {kind_of(prompt)}; it must be text")
        messages = [{"role": "user", "content": prompt}]
    if not isinstance(messages, list | tuple):
        raise InputError(f"messages is {kind_of(messages)}; it must be a list of at least one message")
    response_format = request.get("response_format")
    if response_format is not None and not isinstance(response_format, Mapping):
        raise InputError(f"response_format is {kind_of(response_format)}; it must be an object or null")
    step = request.get("step")
    if step is not None and not isinstance(step, str):
        raise InputError(f"step is {kind_of(step)}; it must be one of {', '.join(STEPS)}, or absent")
    return Request(
        messages=_parse_messages(messages),
        tools=_parse_tools(request.get("tools")),
        response_format=None if response_format is None else dict(response_format),
        step=step,
    )


def _parse_messages(messages: Sequence[Any]) -> list[Message]:
    # plain objects, of which a transcript has hundreds, are read seven times as fast by msgspec; whatever it will not
    # take is read one by one, and said what is wrong with it
    if type(messages) is list and set(map(type, messages)) == {dict}:
        try:
            return msgspec.convert(messages, list[Message])
        except (msgspec.ValidationError, ValueError, TypeError):  # a name that is no text, or cannot be encoded
            pass
    return [_parse_message(message, index) for index, message in enumerate(messages)]


def _parse_message(message: Any, index: int) -> Message:
    if isinstance(message, Message):
        if _is_sound(message):
            return message
        message = msgspec.structs.asdict(message)
    if not is_mapping(message):
        raise InputError(f"messages[{index}] is {kind_of(message)}; it must be an object with 'role' and 'content'")
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if not isinstance(role, str):
        raise InputError(f"messages[{index}].role is {kind_of(role)}; it must be text such as 'user'")
    if content is not None and not isinstance(content, str | list | tuple):
        raise InputError(f"messages[{index}].content is {kind_of(content)}; it must be text, a list of parts, or null")
    if calls is not None and not isinstance(calls, list | tuple):
        raise InputError(f"messages[{index}].tool_calls is {kind_of(calls)}; it must be a list or null")
    called, name = message.get("tool_call_id"), message.get("name")
    return Message(
        role=role,
        content=list(content) if isinstance(content, tuple) else content,
        tool_calls=None if calls is None else list(calls),
        # not read here, but a server refuses a tool's result without them
        tool_call_id=called if isinstance(called, str) else None,
        name=name if isinstance(name, str) else None,
    )


def _is_sound(message: Message) -> bool:
    """Whether a message made by hand is what the type says, as those of logs and of this module always are."""
    return (
        isinstance(message.role, str)
        and (message.content is None or isinstance(message.content, str | list))
        and (message.tool_calls is None or isinstance(message.tool_calls, list))
    )


def _parse_tools(tools: Any) -> list[dict[str, Any]]:
    if tools is None:
        return []
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise InputError(f"tools is {kind_of(tools)}; it must be a list of tool definitions")
    for index, tool in enumerate(tools):
        if not is_mapping(tool):
            raise InputError(f"tools[{index}] is {kind_of(tool)}; it must be an object with 'function' or 'name'")
    return [dict(tool) for tool in tools]


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    # asking the abstract class takes ten times as long as looking at the type, which is a dict's nearly always
    return type(value) is dict or isinstance(value, Mapping)


def function_of(tool_or_call: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a tool, or a call of one, says of its function: in ``{"type": "function", "function": {...}}`` or flat."""
    inner = tool_or_call.get("function")
    return inner if is_mapping(inner) else tool_or_call


def kind_of(value: Any) -> str:
    """What was found where something else was wanted, for a message."""
    return "absent" if value is None else f"of type {type(value).__name__}"


def text_of(mapping: Mapping[Any, Any], key: str) -> str:
    """The text under a key, "" when something else stands there: ``str()`` of anything may be huge, or fail."""
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def message_text(message: Message) -> str:
    """The text of a message; text parts are joined by new lines, a part without text stands as its type in brackets."""
    content = message.content
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            text = part.get("text")
            texts.append(text if isinstance(text, str) else f"[{text_of(part, 'type') or 'part'}]")
    return "\n".join(texts)


def wants_json(request: Request) -> bool:
    """Whether the answer must be JSON; ``{"type": "text"}`` asks for what comes anyway."""
    return request.response_format is not None and text_of(request.response_format, "type").startswith("json")


def needs_vision(request: Request) -> bool:
    """Whether any message carries an image part."""
    return any(
        isinstance(part, Mapping) and "image" in text_of(part, "type")
        for message in request.messages
        if isinstance(message.content, list)
        for part in message.content
    )

"""One generated request before it gets its place in a session, and the shapes families build it from. Knows no model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from learned_router.request import Message


class Domain(msgspec.Struct, frozen=True):
    """One invented line of work: what its rows hold, and the tools of its assistant.

    keys: the row's field names, in the order identifier, title, status, owner, amount.
    """

    name: str
    systems: tuple[str, ...]
    noun: str
    keys: tuple[str, str, str, str, str]
    unit: str
    titles: tuple[str, ...]
    statuses: tuple[str, ...]
    id_shape: str  # one format field, filled with a number of three or four digits
    tools: tuple[Tool, ...]
    lister: str  # name of the tool that returns the rows

    @property
    def list_tool(self) -> Tool:
        return next(tool for tool in self.tools if tool.name == self.lister)


class Tool(msgspec.Struct, frozen=True):
    """A tool and the ways a user asks for it; ``{arg}`` in a phrase stands where the argument's value is said."""

    name: str
    description: str
    phrases: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()  # (name, kind); kinds are the keys of ``values.VALUES``


class Scene(msgspec.Struct, frozen=True):
    """What the requests of one session share: the domain, the people, and the rows at hand."""

    domain: Domain
    system: str
    user: str
    rows: tuple[dict[str, Any], ...]


class Case(msgspec.Struct, frozen=True):
    """A request with its reference. ``check``: what the independent checker derives the reference from."""

    messages: list[Message]
    reference: dict[str, Any]
    check: dict[str, Any]
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None


class Family(msgspec.Struct, frozen=True):
    """Requests of one kind. ``shares``: how often each level of difficulty is drawn, level 1, the easiest, first."""

    name: str
    step: str
    make: Callable[[random.Random, Scene, int], Case]
    shares: tuple[float, ...]


def json_format(**fields: dict[str, Any] | str) -> dict[str, Any]:
    """OpenAI's ``response_format`` for an object of exactly these fields; a plain string names a JSON type."""
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in fields.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def dialogue(scene: Scene, user: str, history: Sequence[Message] = ()) -> list[Message]:
    """System prompt, what went before, and the user's last message."""
    return [Message("system", scene.system), *history, Message("user", user)]


def called(name: str, arguments: dict[str, Any], result: Any, call_id: str = "call_1") -> list[Message]:
    """The two messages of one finished tool call. ``result``: any JSON value."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return [
        Message("assistant", tool_calls=[{"id": call_id, "type": "function", "function": function}]),
        Message("tool", json.dumps(result), tool_call_id=call_id),
    ]

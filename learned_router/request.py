"""Turn whatever a caller routes into one ``Request``, and a request into the view the encoder reads.

Training and runtime share this room, so a model never sees at run time a view it was not trained on.
Knows messages, tools and text; knows nothing of tokens, ONNX, thresholds or files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

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
ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

# A view is at most a few hundred tokens; a token is rarely longer than 16 characters, and what lies in the middle of
# a longer text is never read. Cutting here keeps a 1,000,000-character prompt as cheap as a short one.
CHARS_PER_TOKEN_KEPT: Final = 16


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


class View(msgspec.Struct, frozen=True):
    """What the encoder reads: text segments (role of each fixed by ``SEGMENTS``) and the numeric features."""

    segments: tuple[str, ...]
    features: tuple[float, ...]
    cut: bool  # some text was left out before tokenization


SEGMENTS: Final = ("kind", "tools", "system", "previous", "last")

"""What an artifact's labels showed again and again: fingerprints of tools and system prompts, and what differs from them.

Knows tools, prompts and hashes; knows nothing of files or decisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from learned_router.bounded import is_bounded
from learned_router.request import Message, function_of, message_text, text_of

# Characters of a hash in hexadecimal: by chance, one of 10 billion changed schemas would pass for the recorded one
FINGERPRINT_CHARS: Final = 16
# A schema with more values, or nested deeper, is not read: no tool that a provider takes comes near it
VALUES_READ: Final = 4_096
DEPTH_READ: Final = 64
# More tools than any provider takes in a request; names beyond are not looked up
TOOLS_READ: Final = 10_000

_encoder: Final = msgspec.json.Encoder(order="sorted")


class KnownPrompts(msgspec.Struct, frozen=True):
    """System prompts of the labels: what a certificate is bound to; no decision depends on them.

    requests: how many had one; distinct: how many prompts there were. fingerprints: how many requests had each of the
    most frequent ones.
    """

    requests: int = 0
    distinct: int = 0
    fingerprints: dict[str, int] = {}


class Fingerprints(msgspec.Struct, frozen=True):
    """tools: by name, the one schema of a tool that the labels showed often. seen: how many tools they showed in all."""

    tools: dict[str, str] = {}
    seen: int = 0
    prompts: KnownPrompts = KnownPrompts()


def tool_name(tool: Mapping[str, Any]) -> str:
    """A tool's name, "" where it has none."""
    return text_of(function_of(tool), "name")


def tool_fingerprint(tool: Mapping[str, Any]) -> str | None:
    """Hash of a tool as a model sees it: name, description and parameters, in whatever order their keys come.

    The description counts: it is what a model chooses tools and fills arguments by, so another one is another tool to it.
    The wrapper ``{"type": "function", "function": …}`` and fields that are null do not.
    None for what cannot be read: larger or deeper than the limits, endless, or no JSON.
    """
    function = {key: value for key, value in islice(function_of(tool).items(), VALUES_READ) if value is not None}
    if function.get("type") == "function":  # of the flat shape, as the responses API has it
        del function["type"]
    if not is_bounded(function, VALUES_READ, DEPTH_READ):
        return None
    try:
        return _short_hash(_encoder.encode(function))
    except (TypeError, ValueError, RecursionError):  # keys or values that JSON has not, lone surrogates
        return None


def find_changed_tool(tools: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> str | None:
    """The first tool offered under a recorded name that is not the recorded one; None where there is none.

    A recorded name offered twice is a change: the labels never showed that. Costs one look-up a tool, and a hash for
    each recorded name at most.
    """
    if not known:
        return None
    met = set()
    for tool in islice(tools, TOOLS_READ):
        name = tool_name(tool)
        if name in known:
            if name in met or tool_fingerprint(tool) != known[name]:
                return name
            met.add(name)
    return None


def prompt_fingerprint(messages: Sequence[Message]) -> str | None:
    """Hash of the first system prompt; None where there is none."""
    text = next((message_text(m) for m in messages if m.role in ("system", "developer")), "")
    return _short_hash(text.encode("utf-8", "replace")) if text else None


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_CHARS]

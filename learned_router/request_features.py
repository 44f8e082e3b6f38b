"""Plain counts of a request, and of each tool's schema, beside the texts of its view.

Knows requests and text; knows nothing of views, token ids or thresholds.
"""

from __future__ import annotations

import marshal
import math
import re
import string
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from learned_router.bounded import Bounded
from learned_router.request import Message, function_of, is_mapping, message_text, text_of

# A schema is walked this far and no further, so that a hostile one costs microseconds.
TOOLS_READ: Final = 32
PARAMETERS_READ: Final = 24
SCHEMA_DEPTH_READ: Final = 6
# of one tool; a schema that holds itself has 24^6 of them within these limits, three minutes of reading
SCHEMAS_READ: Final = 1_000
DESCRIPTION_CHARS: Final = 60
# Tools of many megabytes are nobody's; of the others as many as a few agents have
TOOLS_KEPT: Final = 512
TOOL_BYTES_KEPT: Final = 4_096
# Of a transcript, so many of the last messages are searched for errors.
HISTORY_READ: Final = 64

# Counts enter as log(1 + count), shares as they are, so that no single huge prompt leaves the range seen in training.
FEATURES: Final = (
    "last_chars",
    "last_words",
    "word_length",
    "digit_share",
    "upper_share",
    "non_ascii_share",
    "lines",
    "sentences",
    "questions",
    "numbers",
    "code_marks",
    "json_marks",
    "math_marks",
    "options",
    "messages",
    "user_turns",
    "tool_results",
    "tool_errors",
    "total_chars",
    "system_chars",
    "last_is_tool",
    "json_wanted",
    "tools",
    "parameters",
    "most_parameters",
    "required",
    "schema_depth",
    "enums",
    "tools_overlapping",
    "best_overlap",
)

_LEAF_KEYS: Final = frozenset(("type", "description", "default"))
_DIGITS: Final = string.digits.encode()
_UPPERS: Final = string.ascii_uppercase.encode()
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[a-z0-9]+")
_OPTION = re.compile(r"^[^\S\n]*\(?[A-Ja-j1-9][.)]\s", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
# plain words, not a pattern: a transcript has hundreds of tool results, and this takes a fiftieth of the time
_TOOL_ERRORS: Final = (
    "error",
    "exception",
    "traceback",
    "failed",
    "not found",
    "invalid",
    "denied",
    "timeout",
    "time out",
    "timedout",
    "timed out",
)


def ends(text: str, limit: int, head_share: float = 0.6) -> str:
    if len(text) <= limit:
        return text
    head = int(limit * head_share)
    return text[:head] + text[len(text) - (limit - head) :]


def text_features(text: str, length: int) -> tuple[float, ...]:
    """Counts over the kept text; ``length`` is that of the whole."""
    words = text.split()
    size = max(len(text), 1)
    if text.isascii():  # which nearly all is, and then to leave bytes out is what takes the least time
        raw = text.encode()
        digits, uppers = (len(raw) - len(raw.translate(None, some)) for some in (_DIGITS, _UPPERS))
    else:
        digits, uppers = sum(map(str.isdigit, text)), sum(map(str.isupper, text))
    return (
        math.log1p(length),
        math.log1p(len(words)),
        (len(text) - text.count(" ")) / max(len(words), 1) if len(words) < size else 0.0,
        digits / size,
        uppers / size,
        0.0 if text.isascii() else sum(ord(c) > 127 for c in text) / size,
        math.log1p(text.count("\n")),
        math.log1p(len(_SENTENCE.findall(text))),
        math.log1p(text.count("?")),
        math.log1p(len(_NUMBER.findall(text))),
        math.log1p(text.count("```") + text.count("()") + text.count("def ") + text.count("return") + text.count("==")),
        math.log1p(text.count('":') + text.count("{") + text.count("[")),
        math.log1p(text.count("$") + text.count("\\") + text.count("^") + text.count("=") + text.count("%")),
        math.log1p(len(_OPTION.findall(text))) if "\n" in text or _OPTION.match(text) else 0.0,
    )


def history_features(messages: Sequence[Message], last: Message, system_chars: int) -> tuple[float, ...]:
    roles = [m.role for m in messages]
    told = [_told(m) for m in messages[-HISTORY_READ:] if m.role in ("tool", "function")]
    said = "\n".join(told)  # mostly none of them tells of any, and then to look through all at once is enough
    words = [word for word in _TOOL_ERRORS if word in said]
    errors = sum(any(word in text for word in words) for text in told) if words else 0
    total = sum([len(text) for m in messages if type(text := m.content) is str])
    return (
        math.log1p(len(messages)),
        math.log1p(roles.count("user")),
        math.log1p(roles.count("tool") + roles.count("function")),
        math.log1p(errors),
        math.log1p(total),
        math.log1p(system_chars),
        float(last.role in ("tool", "function")),
    )


def _told(message: Message) -> str:
    return ends(message_text(message), 400, 0.8).lower()


class Tool(msgspec.Struct, frozen=True):
    name: str
    shape: str  # name(parameter, optional?): start of the description
    words: frozenset[str]
    parameters: int
    required: int
    depth: int
    enums: int


_met: Final[Bounded[bytes, Tool]] = Bounded(TOOLS_KEPT)


def read_tools(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """What is shown and counted of the first ``TOOLS_READ`` tools. An agent sends the same ones with every call: those met
    before come from memory."""
    return [_read_or_remember(tool) for tool in tools[:TOOLS_READ]]


def _read_or_remember(tool: Mapping[str, Any]) -> Tool:
    plain: Any = tool
    try:
        # in the version that writes what stands in it twice as a reference, so that no schema of references explodes;
        # equal bytes are equal tools, and a tool that is written in other ways is only read once more
        key = marshal.dumps(plain, 4)
    except (ValueError, TypeError, RecursionError):  # no plain JSON
        return read_tool(tool)
    found = _met.get(key)
    if found is None:
        found = read_tool(tool)
        if len(key) <= TOOL_BYTES_KEPT:
            _met.keep({key: found})
    return found


def read_tool(tool: Mapping[str, Any]) -> Tool:
    function = function_of(tool)
    name = text_of(function, "name")[:DESCRIPTION_CHARS]
    about = text_of(function, "description")[:DESCRIPTION_CHARS]
    schema = function.get("parameters")
    properties = schema.get("properties") if is_mapping(schema) else None
    required = schema.get("required") if is_mapping(schema) else None
    names = [n for n in islice(properties, PARAMETERS_READ) if isinstance(n, str)] if is_mapping(properties) else []
    needed = {n for n in required[:PARAMETERS_READ] if isinstance(n, str)} if isinstance(required, list) else set()
    shown = ", ".join(n[:32] if n in needed else f"{n[:32]}?" for n in names)
    depth, enums = _schema_shape(schema)
    return Tool(
        name=name,
        shape=f"{name}({shown}) {about}".strip(),
        words=frozenset(_WORD.findall(f"{name} {about}".lower().replace("_", " "))),
        parameters=len(properties) if is_mapping(properties) else 0,
        required=len(needed),
        depth=depth,
        enums=enums,
    )


def _schema_shape(schema: Any) -> tuple[int, int]:
    """Nesting depth of a JSON schema and its number of enums, both within the reading limits."""
    deepest = enums = 0
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    for _ in range(SCHEMAS_READ):
        if not waiting:
            break
        schema, depth = waiting.pop()
        deepest = max(deepest, depth)
        if not is_mapping(schema) or depth >= SCHEMA_DEPTH_READ:
            continue
        enums += "enum" in schema
        properties = schema.get("properties")
        children = list(islice(properties.values(), PARAMETERS_READ)) if is_mapping(properties) else []
        items = schema.get("items")
        if is_mapping(items):
            children.append(items)
        for child in children:
            if is_mapping(child) and _LEAF_KEYS.issuperset(child):
                deepest = max(deepest, depth + 1)  # a plain leaf, the common case: no need to descend
            else:
                waiting.append((child, depth + 1))
    return deepest, enums


def tool_features(tools: Sequence[Tool], count: int, text: str) -> tuple[float, ...]:
    if not tools:
        return (0.0,) * 8
    words = set(_WORD.findall(text.lower()))
    overlaps = [len(tool.words & words) / max(len(tool.words), 1) for tool in tools]
    return (
        math.log1p(count),
        math.log1p(sum(tool.parameters for tool in tools)),
        math.log1p(max(tool.parameters for tool in tools)),
        math.log1p(sum(tool.required for tool in tools)),
        float(max(tool.depth for tool in tools)),
        math.log1p(sum(tool.enums for tool in tools)),
        math.log1p(sum(overlap > 0.3 for overlap in overlaps)),
        max(overlaps),
    )

"""Turn a request into the view the encoder reads: a few short texts and a vector of plain counts.

Training and runtime share this room, so a model never meets at run time a view it was not trained on. Knows requests
and text; knows nothing of token ids, ONNX or thresholds. Never reads a whole transcript: agent prompts run to 100k tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from learned_router.request import Message, Request, message_text, text_of, wants_json

# What lies in the middle of a long text is never read. English runs to about five characters a token, so eight a token
# fill the view, and a 1,000,000-character prompt costs what a short one does.
CHARS_PER_TOKEN: Final = 8
# A schema is walked this far and no further, so that a hostile one costs microseconds.
TOOLS_READ: Final = 32
PARAMETERS_READ: Final = 24
SCHEMA_DEPTH_READ: Final = 6
DESCRIPTION_CHARS: Final = 60

# Of the step, the role and the wish for JSON together: each is a word.
KIND_TOKENS: Final = 8
SEGMENTS: Final = ("kind", "tools", "system", "previous", "last")

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

_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[a-z0-9]+")
_OPTION = re.compile(r"^\s*\(?[A-Ja-j1-9][.)]\s", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_TOOL_ERROR = re.compile(r"error|exception|traceback|failed|not found|invalid|denied|timed? ?out", re.IGNORECASE)


class ViewSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens the parts of a view may take, special tokens included in ``max_tokens``.

    The last message takes what the other parts leave; when it is too long, ``head_share`` of its tokens come from its
    start and the rest from its end. Raises ValueError when the other parts could leave nothing for it.
    """

    max_tokens: int = 192
    tools_tokens: int = 64
    system_tokens: int = 16
    previous_tokens: int = 24
    head_share: float = 0.6

    def __post_init__(self) -> None:
        others = (self.tools_tokens, self.system_tokens, self.previous_tokens)
        special = 1 + len(SEGMENTS)  # a start token, and a separator for each segment
        least = sum(others) + KIND_TOKENS + special + 1
        if min(others) < 0 or self.max_tokens < least:
            raise ValueError(f"max_tokens is {self.max_tokens}; beside parts of {others} tokens at least {least}")
        if not 0.0 <= self.head_share <= 1.0:
            raise ValueError(f"head_share is {self.head_share}; it must lie in [0, 1]")


class View(msgspec.Struct, frozen=True):
    """What the encoder reads of a request.

    segments: the texts named by ``SEGMENTS``, in that order. features: one float for each name in ``FEATURES``.
    cut: some text of the last message was left out already here, before tokenization.
    """

    segments: tuple[str, str, str, str, str]
    features: tuple[float, ...]
    cut: bool


def make_view(request: Request, spec: ViewSpec) -> View:
    """The view of a request. Any request gives a view: odd characters are replaced, long parts are cut."""
    position = _last_position(request.messages)
    last = request.messages[position]
    last_text = message_text(last)
    kept = _ends(last_text, spec.max_tokens * CHARS_PER_TOKEN, spec.head_share)
    system = next(
        (message_text(m) for m in request.messages if m.role in ("system", "developer") and m is not last), ""
    )
    tools = [_read_tool(tool) for tool in request.tools[:TOOLS_READ]]
    shown = spec.max_tokens * CHARS_PER_TOKEN
    # a bare prompt needs no kind: its few tokens would be a tenth of a short view
    role = "" if last.role == "user" else last.role
    kind = (request.step or "", "json" if wants_json(request) else "", role)
    return View(
        segments=(
            _clean(" ".join(filter(None, kind))[:64]),
            _clean(_titled(f"{len(request.tools)} tools", "; ".join(tool.shape for tool in tools)))[:shown],
            _clean(_titled("system", system[: spec.system_tokens * CHARS_PER_TOKEN])),
            _clean(_previous(request.messages[:position], last, spec.previous_tokens * CHARS_PER_TOKEN)),
            _clean(kept),
        ),
        features=(
            *_text_features(kept, len(last_text)),
            *_history_features(request.messages, last, len(system)),
            float(wants_json(request)),
            *_tool_features(tools, len(request.tools), kept),
        ),
        cut=len(kept) < len(last_text),
    )


def view_text(view: View) -> str:
    """A view as one text, for people and for baselines that read plain text."""
    return " | ".join(segment for segment in view.segments if segment)


def is_empty(request: Request) -> bool:
    """Whether the message that would be answered holds nothing but white space."""
    return not message_text(request.messages[_last_position(request.messages)]).strip()


def _titled(title: str, text: str) -> str:
    return f"{title}: {text}" if text else ""


def _last_position(messages: Sequence[Message]) -> int:
    """Index of the last message the model is asked to react to: the last one that is not the assistant's own."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role != "assistant":
            return index
    return len(messages) - 1


def _ends(text: str, limit: int, head_share: float = 0.6) -> str:
    if len(text) <= limit:
        return text
    head = int(limit * head_share)
    return text[:head] + text[len(text) - (limit - head) :]


def _clean(text: str) -> str:
    # Lone surrogates cannot be encoded for the tokenizer; NUL has no meaning in a prompt
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def _previous(before: Sequence[Message], last: Message, limit: int) -> str:
    """What led to the last message: for a tool result the call and the user's words, else the turn before."""
    called = next((_call_name(m) for m in reversed(before) if m.tool_calls), "") if last.role == "tool" else ""
    wanted = ("user",) if last.role == "tool" else ("assistant", "tool", "user")
    turn = next((m for m in reversed(before) if m.role in wanted and (m.content or m.tool_calls)), None)
    if turn is None:
        return called
    text = message_text(turn) or f"called {_call_name(turn)}"
    return f"{called} {turn.role}: {_ends(text, limit)}".strip()


def _call_name(message: Message) -> str:
    for call in message.tool_calls or ():
        if isinstance(call, Mapping):
            function = call.get("function")
            name = function.get("name") if isinstance(function, Mapping) else call.get("name")
            if isinstance(name, str):
                return name[:DESCRIPTION_CHARS]
    return ""


def _text_features(text: str, length: int) -> tuple[float, ...]:
    """Counts over the kept text; ``length`` is that of the whole."""
    words = text.split()
    size = max(len(text), 1)
    return (
        math.log1p(length),
        math.log1p(len(words)),
        (len(text) - text.count(" ")) / max(len(words), 1) if len(words) < size else 0.0,
        sum(map(str.isdigit, text)) / size,
        sum(map(str.isupper, text)) / size,
        0.0 if text.isascii() else sum(ord(c) > 127 for c in text) / size,
        math.log1p(text.count("\n")),
        math.log1p(len(_SENTENCE.findall(text))),
        math.log1p(text.count("?")),
        math.log1p(len(_NUMBER.findall(text))),
        math.log1p(text.count("```") + text.count("()") + text.count("def ") + text.count("return") + text.count("==")),
        math.log1p(text.count('":') + text.count("{") + text.count("[")),
        math.log1p(text.count("$") + text.count("\\") + text.count("^") + text.count("=") + text.count("%")),
        math.log1p(len(_OPTION.findall(text))),
    )


def _history_features(messages: Sequence[Message], last: Message, system_chars: int) -> tuple[float, ...]:
    roles = [m.role for m in messages]
    errors = sum(
        1 for m in messages if m.role in ("tool", "function") and _TOOL_ERROR.search(_ends(message_text(m), 400, 0.8))
    )
    total = sum(len(m.content) for m in messages if isinstance(m.content, str))
    return (
        math.log1p(len(messages)),
        math.log1p(roles.count("user")),
        math.log1p(roles.count("tool") + roles.count("function")),
        math.log1p(errors),
        math.log1p(total),
        math.log1p(system_chars),
        float(last.role in ("tool", "function")),
    )


class _Tool(msgspec.Struct, frozen=True):
    shape: str  # name(parameter, optional?): start of the description
    words: frozenset[str]
    parameters: int
    required: int
    depth: int
    enums: int


def _read_tool(tool: Mapping[str, Any]) -> _Tool:
    inner = tool.get("function")
    function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else tool
    name = text_of(function, "name")[:DESCRIPTION_CHARS]
    about = text_of(function, "description")[:DESCRIPTION_CHARS]
    schema = function.get("parameters")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    required = schema.get("required") if isinstance(schema, Mapping) else None
    names = (
        [n for n in islice(properties, PARAMETERS_READ) if isinstance(n, str)]
        if isinstance(properties, Mapping)
        else []
    )
    needed = {n for n in required[:PARAMETERS_READ] if isinstance(n, str)} if isinstance(required, list) else set()
    shown = ", ".join(n[:32] if n in needed else f"{n[:32]}?" for n in names)
    depth, enums = _schema_shape(schema, 0)
    return _Tool(
        shape=f"{name}({shown}) {about}".strip(),
        words=frozenset(_WORD.findall(f"{name} {about}".lower().replace("_", " "))),
        parameters=len(properties) if isinstance(properties, Mapping) else 0,
        required=len(needed),
        depth=depth,
        enums=enums,
    )


def _schema_shape(schema: Any, depth: int) -> tuple[int, int]:
    """Nesting depth of a JSON schema and its number of enums, both within the reading limits."""
    if not isinstance(schema, Mapping) or depth >= SCHEMA_DEPTH_READ:
        return depth, 0
    enums = int("enum" in schema)
    deepest = depth
    properties = schema.get("properties")
    children = list(properties.values())[:PARAMETERS_READ] if isinstance(properties, Mapping) else []
    if isinstance(schema.get("items"), Mapping):
        children.append(schema["items"])
    for child in children:
        if isinstance(child, Mapping) and child.keys() <= {"type", "description", "default"}:
            deepest = max(deepest, depth + 1)  # a plain leaf, the common case: no need to descend
            continue
        child_depth, child_enums = _schema_shape(child, depth + 1)
        deepest, enums = max(deepest, child_depth), enums + child_enums
    return deepest, enums


def _tool_features(tools: Sequence[_Tool], count: int, text: str) -> tuple[float, ...]:
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

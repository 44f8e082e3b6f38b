"""Turn a request, or a request and an answer, into the view an encoder reads: short texts and a vector of plain counts.

Training and runtime share this room, so a model never meets at run time a view it was not trained on. Knows requests,
answers and text; knows nothing of token ids, ONNX or thresholds. Never reads a whole transcript: agent prompts run to
100k tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from learned_router.answer import Output, ToolCall
from learned_router.answers.features import ANSWER_FEATURES, read_features
from learned_router.request import Message, Request, function_of, message_text, wants_json
from learned_router.request_features import (
    DESCRIPTION_CHARS,
    FEATURES,
    Tool,
    ends,
    history_features,
    read_tools,
    text_features,
    tool_features,
)

# What lies in the middle of a long text is never read. English runs to about five characters a token, so eight a token
# fill the view, and a 1,000,000-character prompt costs what a short one does.
CHARS_PER_TOKEN: Final = 8

# Of the step, the role and the wish for JSON together: each is a word.
KIND_TOKENS: Final = 8
SEGMENTS: Final = ("kind", "tools", "system", "previous", "last")
ANSWER_SEGMENTS: Final = ("kind", "tools", "request", "output")
GATE_FEATURES: Final = (*FEATURES, *ANSWER_FEATURES)

# Far above what any encoder reads that decides in milliseconds; a view of more would not be bounded
MOST_TOKENS: Final = 65_536

# Of an answer's calls, and of their arguments, so many are shown, each so long at most.
CALLS_SHOWN: Final = 8
VALUES_SHOWN: Final = 12
VALUE_CHARS: Final = 80
VALUE_DEPTH: Final = 3


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
        _check_budgets(self.max_tokens, self.budgets, self.head_share)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Most tokens of each segment but the last one."""
        return KIND_TOKENS, self.tools_tokens, self.system_tokens, self.previous_tokens


class AnswerViewSpec(msgspec.Struct, frozen=True, kw_only=True):
    """As ``ViewSpec``, of a request and an answer: here the answer takes what the other parts leave."""

    max_tokens: int = 128
    tools_tokens: int = 24
    request_tokens: int = 40
    head_share: float = 0.4

    def __post_init__(self) -> None:
        _check_budgets(self.max_tokens, self.budgets, self.head_share)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Most tokens of each segment but the last one."""
        return KIND_TOKENS, self.tools_tokens, self.request_tokens


def _check_budgets(max_tokens: int, budgets: tuple[int, ...], head_share: float) -> None:
    special = 2 + len(budgets)  # a start token, and a separator for each segment
    least = sum(budgets) + special + 1
    if max_tokens > MOST_TOKENS:
        raise ValueError(f"max_tokens is above {MOST_TOKENS}, more than any encoder of this kind takes")
    if min(budgets) < 0 or max_tokens < least:
        raise ValueError(f"max_tokens is {max_tokens}; beside parts of {budgets[1:]} tokens at least {least}")
    if not 0.0 <= head_share <= 1.0:
        raise ValueError(f"head_share is {head_share}; it must lie in [0, 1]")


class View(msgspec.Struct, frozen=True):
    """What an encoder reads.

    segments: of a request the texts named by ``SEGMENTS``, with an answer those named by ``ANSWER_SEGMENTS``, in that
    order. features: one float for each name in ``FEATURES``, with an answer in ``GATE_FEATURES``.
    cut: some text of the last segment was left out already here, before tokenization.
    """

    segments: tuple[str, ...]
    features: tuple[float, ...]
    cut: bool


def make_view(request: Request, spec: ViewSpec) -> View:
    """The view of a request. Any request gives a view: odd characters are replaced, long parts are cut."""
    position = _last_position(request.messages)
    last = request.messages[position]
    kept = ends(message_text(last), spec.max_tokens * CHARS_PER_TOKEN, spec.head_share)
    system = _system_text(request, last)
    tools = read_tools(request.tools)
    shown = spec.max_tokens * CHARS_PER_TOKEN
    # a bare prompt needs no kind: its few tokens would be a tenth of a short view
    role = "" if last.role == "user" else last.role
    return View(
        segments=(
            _kind(request, role),
            _clean(_titled(f"{len(request.tools)} tools", "; ".join(tool.shape for tool in tools)))[:shown],
            _clean(_titled("system", system[: spec.system_tokens * CHARS_PER_TOKEN])),
            _clean(_previous(request.messages[:position], last, spec.previous_tokens * CHARS_PER_TOKEN)),
            _clean(kept),
        ),
        features=_request_features(request, last, kept, len(system), tools),
        cut=len(kept) < len(message_text(last)),
    )


def place_of(tier: str, tiers: Sequence[str]) -> float:
    """Where a tier stands among all, for the gate: 0 for the cheapest, below 1 for any but the top one."""
    return tiers.index(tier) / (len(tiers) - 1)


def make_answer_view(request: Request, output: Output, tier: float, spec: AnswerViewSpec) -> View:
    """The view of a request and an answer to it. tier: ``place_of`` the one that answered.

    Any two of them give a view: odd characters are replaced, long parts are cut.
    """
    last = request.messages[_last_position(request.messages)]
    kept = ends(message_text(last), spec.max_tokens * CHARS_PER_TOKEN, 0.5)
    shown = ends(message_text(last), spec.request_tokens * CHARS_PER_TOKEN, 0.5)
    tools = read_tools(request.tools)
    calls = (output.tool_calls or [])[:CALLS_SHOWN]
    called = {call.name for call in calls}
    of_calls = [tool.shape for tool in tools if tool.name in called]
    written = "; ".join(_shown_call(call) for call in calls)
    # a model that writes its calls as text says there what they say
    text = written or output.text or ""
    kept_output = ends(text, spec.max_tokens * CHARS_PER_TOKEN, spec.head_share)
    return View(
        segments=(
            _kind(request, "call" if calls else ""),
            _clean("; ".join(of_calls))[: spec.max_tokens * CHARS_PER_TOKEN],
            _clean(shown),
            _clean(kept_output),
        ),
        features=(
            *_request_features(request, last, kept, len(_system_text(request, last)), tools),
            *read_features(request, output, tier),
        ),
        cut=len(kept_output) < len(text),
    )


def _kind(request: Request, role: str) -> str:
    return _clean(" ".join(filter(None, (request.step or "", "json" if wants_json(request) else "", role)))[:64])


def _system_text(request: Request, last: Message) -> str:
    return next((message_text(m) for m in request.messages if m.role in ("system", "developer") and m is not last), "")


def _request_features(
    request: Request, last: Message, kept: str, system_chars: int, tools: Sequence[Tool]
) -> tuple[float, ...]:
    return (
        *text_features(kept, len(message_text(last))),
        *history_features(request.messages, last, system_chars),
        float(wants_json(request)),
        *tool_features(tools, len(request.tools), kept),
    )


def _shown_call(call: ToolCall) -> str:
    arguments = call.arguments
    if not isinstance(arguments, Mapping):
        return f"{call.name[:DESCRIPTION_CHARS]}({_shown_value(arguments, 0)})"
    parts = (f"{_shown_value(k, 0)}={_shown_value(v, 0)}" for k, v in islice(arguments.items(), VALUES_SHOWN))
    return f"{call.name[:DESCRIPTION_CHARS]}({', '.join(parts)})"


def _shown_value(value: Any, depth: int) -> str:
    """A value in a few words, whatever it is and however much it holds."""
    if isinstance(value, str):
        return value[:VALUE_CHARS]
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, int):
        return str(value) if -(10**18) < value < 10**18 else "large"
    if depth < VALUE_DEPTH:
        if isinstance(value, Mapping):
            pairs = islice(value.items(), VALUES_SHOWN)
            return (
                "{" + ", ".join(f"{_shown_value(k, depth + 1)}: {_shown_value(v, depth + 1)}" for k, v in pairs) + "}"
            )
        if isinstance(value, list | tuple):
            return "[" + ", ".join(_shown_value(item, depth + 1) for item in value[:VALUES_SHOWN]) + "]"
    return "…"


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
    return f"{called} {turn.role}: {ends(text, limit)}".strip()


def _call_name(message: Message) -> str:
    for call in message.tool_calls or ():
        if isinstance(call, Mapping):
            name = function_of(call).get("name")
            if isinstance(name, str):
                return name[:DESCRIPTION_CHARS]
    return ""

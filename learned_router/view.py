"""Turn a request into the view the encoder reads: a few short texts and a vector of plain counts.

Training and runtime share this room, so a model never meets at run time a view it was not trained on. Knows requests
and text; knows nothing of token ids, ONNX or thresholds. Never reads a whole transcript: agent prompts run to 100k tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from learned_router.request import Message, Request, message_text, wants_json
from learned_router.request_features import (
    DESCRIPTION_CHARS,
    TOOLS_READ,
    ends,
    history_features,
    read_tool,
    text_features,
    tool_features,
)

# What lies in the middle of a long text is never read. English runs to about five characters a token, so eight a token
# fill the view, and a 1,000,000-character prompt costs what a short one does.
CHARS_PER_TOKEN: Final = 8

# Of the step, the role and the wish for JSON together: each is a word.
KIND_TOKENS: Final = 8
SEGMENTS: Final = ("kind", "tools", "system", "previous", "last")


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
    kept = ends(last_text, spec.max_tokens * CHARS_PER_TOKEN, spec.head_share)
    system = next(
        (message_text(m) for m in request.messages if m.role in ("system", "developer") and m is not last), ""
    )
    tools = [read_tool(tool) for tool in request.tools[:TOOLS_READ]]
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
            *text_features(kept, len(last_text)),
            *history_features(request.messages, last, len(system)),
            float(wants_json(request)),
            *tool_features(tools, len(request.tools), kept),
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
            function = call.get("function")
            name = function.get("name") if isinstance(function, Mapping) else call.get("name")
            if isinstance(name, str):
                return name[:DESCRIPTION_CHARS]
    return ""

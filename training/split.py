"""Put every label on one side: train, calibration or test, so that no session and no question stands on two sides.

Knows labels' texts and sessions; knows nothing of quality, models or files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.records import Label

SIDES: Final = ("train", "calibration", "test")
FRACTIONS: Final = (0.6, 0.2, 0.2)

# A shorter stem ("yes", "continue", "what is it") says nothing on its own: what came before belongs to the question.
SHORT_STEM_WORDS: Final = 6
STEM_CHARS: Final = 20_000

_HEADING: Final = re.compile(r"^#{1,6}[ \t]{0,4}(\w[\w ]{0,40}?)[ \t]{0,4}:?[ \t]{0,4}$", re.MULTILINE)
_QUESTION_HEADINGS: Final = frozenset({"question", "problem", "input", "query"})
_LABEL: Final = re.compile(r"^\s*(?:question|problem|q)\s*:\s*", re.IGNORECASE)
_OPTIONS: Final = re.compile(
    r"\n[ \t]*(?:(?:answer )?(?:options|choices)[ \t]*:|\(?A[).:][ \t][^\n]*\n[ \t]*\(?B[).:][ \t])", re.I
)
_WORD: Final = re.compile(r"\w+|[-+*/=<>^]")


def split(labels: Sequence[Label], *, fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> list[Label]:
    """Set ``split`` and ``group`` of every label, in place, and return the labels.

    Labels are one group when they share a session, or a question's stem (its text without wrapper and options), or
    are linked by a chain of such labels. A group's side is a hash of the seed and its key, so a question met again in
    another file or another run goes to the same side, as long as its group is the same.
    fractions: expected shares of train, calibration and test, which sum to 1. Raises InputError when they do not.
    """
    limits = _limits(fractions)
    groups = _Groups()
    for i, label in enumerate(labels):
        groups.join(f"label:{i}", f"stem:{stem_key(label)}")
        if label.session:
            groups.join(f"label:{i}", f"session:{label.session}")
    for i, label in enumerate(labels):
        label.group = hashlib.sha256(groups.key(f"label:{i}").encode()).hexdigest()[:16]
        label.split = _side(label.group, limits, seed)
    return list(labels)


def stem_key(label: Label) -> str:
    """Hash of what makes two requests the same question.

    A single question is its own stem. In a longer conversation or beside tools, what tools last returned belongs to
    it, and so does the whole exchange when the stem is too short to say anything.
    """
    asked = [_text(message) for message in label.messages if message.role == "user"]
    stem = question_stem(asked[-1] if asked else _text(label.messages[-1]))
    parts = [stem]
    if len(stem.split()) < SHORT_STEM_WORDS:
        parts += [f"{message.role}:{_words(_text(message))}" for message in label.messages[:-1]]
    if len(label.messages) > 1 or label.tools:
        returned = [_text(message) for message in label.messages if message.role in {"tool", "function"}]
        parts += [_words(returned[-1])] if returned else []
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()


def question_stem(text: str) -> str:
    """The question in ``text``: lower case, words only; without headed wrapper, leading "Question:" and options."""
    text = _under_question_heading(text[:STEM_CHARS])
    text = _LABEL.sub("", text)
    options = _OPTIONS.search(text)
    if options and options.start() > 0:
        text = text[: options.start()]
    return _words(text)


def _under_question_heading(text: str) -> str:
    """The section under a heading ``## Question``, when there is one, else the whole text."""
    headings = list(_HEADING.finditer(text))
    for i, heading in enumerate(headings):
        if heading[1].strip().lower() in _QUESTION_HEADINGS:
            end = headings[i + 1].start() if i + 1 < len(headings) else len(text)
            section = text[heading.end() : end]
            return section if section.strip() else text
    return text


def _words(text: str) -> str:
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text[:STEM_CHARS]).lower()))


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    if isinstance(message.content, list):
        return "\n".join(str(p.get("text", "")) for p in message.content if isinstance(p, dict))
    return msgspec.json.encode(message.tool_calls).decode() if message.tool_calls else ""


class _Groups:
    """Union-find over names; a group's key is its smallest name, whatever the order it was built in."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def join(self, left: str, right: str) -> None:
        a, b = self._root(left), self._root(right)
        # "label:…" sorts before "session:…" and "stem:…": places in a file must never name a group
        first, last = sorted((a, b), key=_by_permanence)
        self._parent[last] = first

    def key(self, name: str) -> str:
        return self._root(name)

    def _root(self, name: str) -> str:
        parent = self._parent.setdefault(name, name)
        while parent != (above := self._parent[parent]):
            self._parent[name] = above
            name, parent = parent, above
        return parent


def _by_permanence(name: str) -> tuple[bool, bool, str]:
    return name.startswith("label:"), not name.startswith("session:"), name


def _limits(fractions: Iterable[float]) -> tuple[float, float]:
    shares = tuple(fractions)
    if len(shares) != len(SIDES) or any(not share >= 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"fractions: found {shares}; give the shares of {', '.join(SIDES)}, which sum to 1")
    return shares[0], shares[0] + shares[1]


def _side(group: str, limits: tuple[float, float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return SIDES[0] if position < limits[0] else SIDES[1] if position < limits[1] else SIDES[2]

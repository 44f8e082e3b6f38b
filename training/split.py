"""Put every label on one side: train, calibration or test, so that no session and no question stands on two sides.

Knows labels' texts and sessions; knows nothing of quality, models or files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.records import Label, Record, unit_of

SIDES: Final = ("train", "calibration", "test")
FRACTIONS: Final = (0.6, 0.2, 0.2)

# A shorter stem ("yes", "continue", "what is it") says nothing on its own: what came before belongs to the question.
SHORT_STEM_WORDS: Final = 6
STEM_CHARS: Final = 20_000

# Calibration labels that choose what a decision depends on, see ``tuning_part``
LEAST_TUNING: Final = 40
MOST_TUNING: Final = 500

_HEADING: Final = re.compile(r"^#{1,6}[ \t]{0,4}(\w[\w ]{0,40}?)[ \t]{0,4}:?[ \t]{0,4}$", re.MULTILINE)
_QUESTION_HEADINGS: Final = frozenset({"question", "problem", "input", "query"})
_LABEL: Final = re.compile(r"^\s*(?:question|problem|q)\s*:\s*", re.IGNORECASE)
_OPTIONS: Final = re.compile(
    r"\n[ \t]*(?:(?:answer )?(?:options|choices)[ \t]*:|\(?A[).:][ \t][^\n]*\n[ \t]*\(?B[).:][ \t])", re.I
)
_WORD: Final = re.compile(r"\w+|[-+*/=<>^]")


class Keys:
    """What groups labels, 24 bytes a label, so that labels need not be held in memory to be split."""

    def __init__(self) -> None:
        self._stems, self._stem_groups, self._sessions = array("Q"), array("Q"), array("Q")

    def add(self, label: Label | Record) -> None:
        """Take in the next label, or the record it was made from."""
        stem = stem_key(label)
        self._stems.append(int(stem[:16], 16))
        self._stem_groups.append(_digest(f"stem:{stem}"))
        self._sessions.append(_digest(f"session:{label.session}") if label.session else 0)

    def groups(self, same: NDArray[np.int64] | None = None) -> NDArray[np.uint64]:
        """uint64 (n,), each label's group. same: int64 (n,), of each label an earlier one that it repeats, or itself.

        Labels are one group when they share a session, or a question's stem (its text without wrapper and options),
        or repeat each other, or are linked by a chain of such labels. The group is named by the smallest hash of its
        sessions, and where it has none, of its stems: by what it is, never by places in a file.
        """
        stems, names, sessions = (
            np.frombuffer(column, dtype=np.uint64) for column in (self._stems, self._stem_groups, self._sessions)
        )
        count = len(stems)
        if not count:
            return np.zeros(0, dtype=np.uint64)
        pairs = [_equal_neighbours(stems), _equal_neighbours(sessions)]
        if same is not None:
            later = np.flatnonzero(same != np.arange(count))
            pairs.append((same[later], later))
        left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
        links = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
        _, members = connected_components(links, directed=False)
        nothing = np.iinfo(np.uint64).max
        by_session, by_stem = (np.full(count, nothing, dtype=np.uint64) for _ in range(2))
        np.minimum.at(by_session, members, np.where(sessions == 0, nothing, sessions))
        np.minimum.at(by_stem, members, names)
        group_names: NDArray[np.uint64] = np.where(by_session == nothing, by_stem, by_session)[members]
        return group_names


def split(
    labels: Sequence[Label],
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    same: NDArray[np.int64] | None = None,
) -> list[Label]:
    """Set ``split`` and ``group`` of every label, in place, and return the labels.

    A group's side is a hash of the seed and its name, so a question met again in another file or another run goes to
    the same side, as long as its group is the same (``Keys.groups``).
    fractions: expected shares of train, calibration and test, which sum to 1. Raises InputError when they do not.
    same: which labels repeat each other, as in ``Keys.groups``.
    """
    limits = side_limits(fractions)
    keys = Keys()
    for label in labels:
        keys.add(label)
    for label, group in zip(labels, keys.groups(same).tolist(), strict=True):
        label.group = group_name(group)
        label.split = side_of(label.group, limits, seed)
    return list(labels)


def tuning_part(labels: Sequence[Label]) -> NDArray[np.bool_]:
    """Which calibration labels choose scaling and paths, bool (n,); the others, of other groups, prove what comes of it.

    Whole groups, drawn by a hash of their names: about a quarter, at least ``LEAST_TUNING``, without which nothing could
    be chosen well, and at most ``MOST_TUNING``, since a few hundred labels fit the few numbers there are.
    """
    wanted = min(max(len(labels) // 4, LEAST_TUNING), MOST_TUNING)
    most = max(len(labels) // 2, LEAST_TUNING)
    units = [unit_of(label) for label in labels]
    sizes = Counter(units)
    chosen: set[str] = set()
    count = 0
    for name in sorted(sizes, key=lambda name: hashlib.sha256(f"tuning:{name}".encode("utf-8", "replace")).digest()):
        if count >= wanted:
            break
        if count + sizes[name] <= most:  # else one long session would leave nothing to prove with
            chosen.add(name)
            count += sizes[name]
    if not chosen:  # nothing but long sessions: the shortest
        chosen = set(sorted(sizes, key=lambda name: (sizes[name], name))[:1])
    return np.array([name in chosen for name in units], dtype=bool)


def group_name(group: int) -> str:
    """A group as it stands in a label: 16 hexadecimal digits."""
    return f"{group:016x}"


def stem_key(label: Label | Record) -> str:
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


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8], "big")


def _equal_neighbours(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of places that hold the same key, as many as link all that do; 0 is no key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    equal = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    return order[:-1][equal], order[1:][equal]


def side_limits(fractions: Iterable[float]) -> tuple[float, float]:
    """Where calibration and test begin, in [0, 1]. Raises InputError for fractions that do not sum to 1."""
    shares = tuple(fractions)
    if len(shares) != len(SIDES) or any(not share >= 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"fractions: found {shares}; give the shares of {', '.join(SIDES)}, which sum to 1")
    return shares[0], shares[0] + shares[1]


def side_of(group: str, limits: tuple[float, float], seed: int) -> str:
    """The side of the split that a group stands on."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return SIDES[0] if position < limits[0] else SIDES[1] if position < limits[1] else SIDES[2]

"""Read single fields of a logged call, whose name and type differ from log to log. Knows values; knows no format."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import math
from decimal import Decimal
from typing import Any, Final

import msgspec

from learned_router.request import STEPS
from learned_router.training.records import without_surrogates

SESSION_KEYS: Final = ("session_id", "session", "conversation_id", "thread_id", "litellm_session_id", "trace_id")
# Units of time by magnitude: seconds since 1970 stay below 1e11 until the year 5138.
_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
# What people and checks say of an answer, in small letters, with _ for spaces and dashes.
_GOOD: Final = frozenset(
    [
        "true",
        "yes",
        "good",
        "great",
        "correct",
        "right",
        "up",
        "positive",
        "like",
        "liked",
        "thumbs_up",
        "thumbsup",
        "pass",
        "👍",
    ]
)
_BAD: Final = frozenset(
    [
        "false",
        "no",
        "bad",
        "poor",
        "incorrect",
        "wrong",
        "down",
        "negative",
        "dislike",
        "disliked",
        "thumbs_down",
        "thumbsdown",
        "fail",
        "👎",
    ]
)


def parsed(value: Any) -> Any:
    """Text that holds a JSON object or list as that; anything else unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            return msgspec.json.decode(value)
        with contextlib.suppress(ValueError, RecursionError):  # lone surrogates, numbers that are none
            return without_surrogates(json.loads(value))
        # an export that doubles the quotes of a cell that was quoted already
        with contextlib.suppress(ValueError, RecursionError):
            return msgspec.json.decode(value.replace('""', '"'))
    return value


def object_of(value: Any) -> dict[str, Any]:
    """The object that stands here, as such or as JSON text; {} when something else does."""
    return mapping_of(parsed(value))


def mapping_of(value: Any) -> dict[str, Any]:
    """The object that stands here as such, else {}: JSON that a model wrote must not be taken for the log's own."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The list that stands here, else []."""
    return value if isinstance(value, list) else []


def first_of(mapping: Any, *keys: str) -> Any:
    """The first value among ``keys`` that is neither None nor empty text; None when there is none, or no object."""
    if isinstance(mapping, dict):
        for key in keys:
            value = mapping.get(key)
            if value is not None and value != "":
                return value
    return None


def text(value: Any) -> str | None:
    """Text, or a whole number as text, since some logs number their ids; None for anything else, and for empty text."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """A finite number that is not negative, given as such or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def count(value: Any) -> int | None:
    """A number of tokens; None when there is none, and for what is too large to be exact."""
    found = number(value)
    return int(found) if found is not None and found < 1 << 53 else None


def seconds_of_ms(value: Any) -> float | None:
    """Seconds from a number of milliseconds; None when there is none."""
    found = number(value)
    return None if found is None else found / 1000


def moment(value: Any) -> float | None:
    """Seconds since 1970 from seconds, milliseconds, microseconds or nanoseconds since then, or from ISO 8601.

    A time without a zone is taken as UTC. A number is rounded to microseconds: a float holds no more of such a time.
    """
    if isinstance(value, datetime.datetime):
        return _seconds(value)
    found = number(value)
    if found is not None:
        return round(next((found / unit for limit, unit in _UNITS if found >= limit), found), 6)
    if not isinstance(value, str):
        return None
    try:
        return _seconds(datetime.datetime.fromisoformat(value.strip()))
    except ValueError:
        return None


def _seconds(value: datetime.datetime) -> float | None:
    try:
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()
    except (OverflowError, ValueError, OSError):
        return None


def timestamp(value: Any) -> str | float | None:
    """A time as it was logged; None when it is none."""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if moment(value) is None:
        return None
    return value if isinstance(value, str) else float(value)


def span_s(began: Any, ended: Any) -> float | None:
    """Seconds between two moments; None when one of them is missing or they are in the wrong order."""
    first, last = moment(began), moment(ended)
    return round(last - first, 6) if first is not None and last is not None and last >= first else None


def feedback(value: Any) -> float | None:
    """What people said, in [0, 1]: thumbs, true and false, 1 and -1, or a share; None for anything else."""
    if isinstance(value, dict):
        return feedback(first_of(value, "rating", "score", "value", "thumbs", "feedback"))
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and (said := verdict(value)) is not None:
        return said
    if value == -1 or value == "-1":
        return 0.0
    found = number(value)
    return found if found is not None and found <= 1 else None


def rating(value: Any, word: Any = None) -> float | None:
    """A score in [0, 1]: a number that lies there, a truth value, or a word that says good or bad. Else None: the scale
    of a score such as 4 stars cannot be known from one score, nor whether -1 is its lowest."""
    if isinstance(word, str) and word.strip():
        return verdict(word)
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
        return rating(None, value)
    found = number(value)
    return found if found is not None and found <= 1 else None


def verdict(word: str) -> float | None:
    """1 for a word that says good, 0 for one that says bad; None for any other."""
    said = word.strip().lower().replace(" ", "_").replace("-", "_")
    return 1.0 if said in _GOOD else 0.0 if said in _BAD else None


def session_of(*places: Any) -> str | None:
    """The session or trace that a call belongs to, from the first place that names one; a session goes before a trace."""
    objects = [place for place in places if isinstance(place, dict)]
    for key in SESSION_KEYS:
        for place in objects:
            found = text(place.get(key))
            if found:
                return found
    return None


def step_of(*places: Any) -> str | None:
    """The step that a log names; None when it names none of ours."""
    for place in places:
        if isinstance(place, dict):
            found = place.get("step")
            if isinstance(found, str) and found in STEPS:
                return found
    return None


def content_id(value: Any) -> str:
    """A name for a call that has none: the same call, the same name."""
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=12).hexdigest()

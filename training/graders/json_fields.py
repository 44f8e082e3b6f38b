"""Find the JSON in an output and compare it field by field. Knows JSON; knows nothing of records."""

from __future__ import annotations

import json
from typing import Any, Final

from learned_router.training.graders.literal import same_value
from learned_router.training.graders.number import parse_number
from learned_router.training.graders.text import same_text

MAX_DEPTH: Final = 32
MAX_STARTS: Final = 8  # braces tried before an output counts as holding no JSON
MAX_JSON_CHARS: Final = 200_000

_DECODER: Final = json.JSONDecoder(strict=False)

Fields = dict[tuple[str | int, ...], Any]


def find_json(text: str) -> Any:
    """The JSON in ``text``, alone, fenced or amid words: its first object, else its first list, else None."""
    text = text if len(text) <= MAX_JSON_CHARS else text[-MAX_JSON_CHARS:]
    position = max(text.rfind("```json"), 0)
    first_list = None
    for _ in range(MAX_STARTS):
        starts = [p for p in (text.find("{", position), text.find("[", position)) if p >= 0]
        if not starts:
            break
        try:
            value, position = _DECODER.raw_decode(text, min(starts))
        except (ValueError, RecursionError):
            position = min(starts) + 1
            continue
        if isinstance(value, dict):
            return value
        first_list = value if first_list is None else first_list
    return first_list


def same_fields(found: Any, wanted: Any) -> float:
    """F1 of the fields that are equal, in [0, 1]: 1 only when none is missing, wrong or added.

    Numbers compare by value (``5`` is ``5.0`` and ``"5"``), texts without case, spacing and punctuation.
    """
    left, right = _flatten(found), _flatten(wanted)
    equal = sum(key in left and _same_leaf(left[key], value) for key, value in right.items())
    return 2 * equal / (len(left) + len(right))


def _flatten(value: Any) -> Fields:
    """Leaves by path; an empty container is a leaf, and so is anything below ``MAX_DEPTH``."""
    leaves: Fields = {}
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        children = (
            list(item.items()) if isinstance(item, dict) else list(enumerate(item)) if isinstance(item, list) else []
        )
        if not children or len(path) >= MAX_DEPTH:
            leaves[path] = item
        else:
            stack.extend(((*path, key), child) for key, child in children)
    return leaves


def _same_leaf(found: Any, wanted: Any) -> bool:
    if isinstance(found, str) and isinstance(wanted, str):
        return _same_string(found, wanted)
    number, text = (found, wanted) if isinstance(wanted, str) else (wanted, found)
    if isinstance(text, str) and isinstance(number, int | float) and not isinstance(number, bool):
        parsed = parse_number(text)
        return parsed is not None and same_value(parsed, number)
    return same_value(found, wanted)


def _same_string(found: str, wanted: str) -> bool:
    """Equal as texts. Where digits stand in both, signs and points count too: -5 is not 5, nor 1.5 15."""
    if not any(c.isdigit() for c in wanted):
        return same_text(found, wanted)
    left, right = parse_number(found), parse_number(wanted)
    if left is not None and right is not None and found.strip()[-1:].isdigit() == wanted.strip()[-1:].isdigit():
        return same_value(left, right)
    return "".join(found.split()).lower() == "".join(wanted.split()).lower()

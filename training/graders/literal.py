"""Compare answers that are Python or JSON literals, such as the predicted result of a program. Knows no records."""

from __future__ import annotations

import math
from typing import Any, Final

from learned_router.training.graders.expression import NotAValueError, evaluate

# An argument or a program's result is exact; only what binary fractions lose in arithmetic is forgiven.
RELATIVE_TOLERANCE: Final = 1e-9


def is_literal(text: str) -> bool:
    """Whether ``text`` is a quoted string, a container, a truth value or None, so that it must be compared as one."""
    text = text.strip()
    if text[:1] not in {"'", '"', "[", "(", "{"} and text not in {"True", "False", "None"}:
        return False
    try:
        evaluate(text)
    except NotAValueError:
        return False
    return True


def same_literal(found: Any, wanted: str) -> bool:
    """Whether ``found`` (text, or a JSON value) is the literal ``wanted``; a string may lack its quotes.

    A string is compared character by character, spaces included: they are what such questions ask for.
    """
    expected = evaluate(wanted)
    if not isinstance(found, str):
        return same_value(found, expected)
    if isinstance(expected, str):
        return found == expected or found.strip() == wanted.strip() or _unquoted(found) == expected
    try:
        value = evaluate(found.strip().strip("`"))
    except NotAValueError:
        return found.strip() == wanted.strip()
    # in Python [1, 2] is not (1, 2); in JSON, above, there is only the list
    return type(value) is type(expected) and same_value(value, expected)


def same_value(left: Any, right: Any) -> bool:
    """Deep equality in which ``5 == 5.0``, lists equal tuples, and truth values equal only truth values."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right or _nearly_equal(left, right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same_value, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_value(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def _nearly_equal(left: float, right: float) -> bool:
    try:
        if float(left).is_integer() and float(right).is_integer():
            return False  # whole numbers lose nothing: order 1234567890 is not order 1234567891
        return math.isclose(left, right, rel_tol=RELATIVE_TOLERANCE)
    except OverflowError:  # integers beyond a float's range
        return False


def _unquoted(text: str) -> str:
    """``text`` without its quotes, escapes resolved; a text that stands in no quotes stays as it is."""
    quoted = text.strip()
    if len(quoted) < 2 or quoted[0] not in "'\"" or quoted[-1] != quoted[0]:
        return text
    try:
        value = evaluate(quoted)
    except NotAValueError:
        return quoted[1:-1]  # quotes inside that were not escaped
    return value if isinstance(value, str) else text

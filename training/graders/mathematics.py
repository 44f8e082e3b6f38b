"""Whether two mathematical answers are equal, by the algebra of math-verify and sympy. Knows no records.

Asked only where arithmetic cannot tell (sets, intervals, matrices, logarithms): one comparison takes milliseconds.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from functools import lru_cache
from typing import Any, Final

MAX_CHARS: Final = 200
TIMEOUT_S: Final = 2

_NOTATION: Final = re.compile(r"\\(?:[A-Za-z]+|[{}])|^\s*[\[(].*[\])]\s*$|\*\*|\^")


def equal_by_algebra(found: str, wanted: str) -> bool:
    """Whether both are the same expression, set, interval, matrix or relation; False where that cannot be shown.

    Texts that are no mathematical notation, or long, are not tried. The library bounds its time by the main thread's
    alarm, so in other threads nothing is tried either.
    """
    if max(len(found), len(wanted)) > MAX_CHARS or not _NOTATION.search(wanted) or not _can_be_tried():
        return False
    left, right = _parsed(found), _parsed(wanted)
    if not left or not right:
        return False
    from math_verify import verify

    return bool(verify(right, left, timeout_seconds=TIMEOUT_S, raise_on_error=False))


@lru_cache(maxsize=512)  # the reference is parsed once, not once a tier
def _parsed(text: str) -> Any:
    from math_verify import parse

    plain = text.strip().strip("$").strip()
    return parse(f"${plain}$", parsing_timeout=TIMEOUT_S, raise_on_error=False)


def _can_be_tried() -> bool:
    return threading.current_thread() is threading.main_thread() and _is_installed()


@lru_cache(maxsize=1)
def _is_installed() -> bool:
    if importlib.util.find_spec("math_verify") is None or importlib.util.find_spec("latex2sympy2_extended") is None:
        return False
    # it warns of every text that is no formula, which is the answer's affair
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    return True

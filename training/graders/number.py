"""Read numbers and formulas the way people and models write them, and compare them. Knows nothing of records."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from learned_router.training.graders.expression import NotAValueError, evaluate
from learned_router.training.graders.final_answer import stated_answer
from learned_router.training.graders.grade import bounded
from learned_router.training.graders.mathematics import equal_by_algebra

# 1/3 and 0.333333 are the same answer; 0.33 is another one.
RELATIVE_TOLERANCE: Final = 1e-5
EXACT: Final = 2**53  # below this a float holds every whole number

_NUMBER: Final = re.compile(
    r"(?:(?<![\w)])[-−])?\$?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
)
_FRACTION: Final = re.compile(r"([-−]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")
_LATEX_GROUP: Final = r"\{([^{}]*)\}"
_LATEX_FRACTION: Final = re.compile(r"\\[dt]?frac\s*(?:" + _LATEX_GROUP + "|(\\d))\\s*(?:" + _LATEX_GROUP + "|(\\d))")
_LATEX_ROOT: Final = re.compile(r"\\sqrt\s*(?:" + _LATEX_GROUP + "|(\\d))")
_LATEX_TEXT: Final = re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf)\s*" + _LATEX_GROUP)
_BASE: Final = re.compile(r"(?<=\d)_(?:\d|\{\d{1,2}\})\s*$")  # 221_3: three is the base the number is written in
_LATEX_NOISE: Final = re.compile(r"\\(?:left|right|quad|[,;:! ()\[\]])|\\?[$%]|\^\{?\\circ\}?|°")
_LATEX_NAMES: Final = (("\\cdot", "*"), ("\\times", "*"), ("\\div", "/"), ("\\pi", "pi"), ("\\infty", "inf"))
_VARIABLE: Final = re.compile(r"(?<![A-Za-z])[A-Za-df-z](?![A-Za-z])")
_POINTS: Final = (0.73, 1.91, 3.37)  # where two formulas with variables are compared


def parse_number(text: str) -> float | None:
    """Value of a text that is one number: ``1,234``, ``$18``, ``3/4``, ``\\frac{1}{2}``, ``50%``, ``18 dollars``.

    A unit may follow or stand in front, a second number may not. None for anything else.
    """
    text = _BASE.sub("", text.strip().rstrip(".").replace("−", "-")) if len(text) <= 200 else ""
    if not text or "_" in text:  # Python reads 1_000 as a number; people do not
        return None
    try:
        return _finite(float(text))
    except ValueError:
        pass
    plain = _plain_formula(text)
    value = _evaluated(plain)
    if value is not None:
        return value
    if (fraction := _FRACTION.fullmatch(plain.strip())) and float(fraction[2]):
        return float(fraction[1]) / float(fraction[2])
    if "=" in plain:
        return parse_number(plain.rsplit("=", 1)[1])
    numbers = _NUMBER.findall(plain)
    if len(numbers) == 1 and not re.search(r"[*/^()\[\]{}\\]", plain):
        return _value(numbers[0])
    return None


def last_number(text: str) -> float | None:
    """The last number in ``text``, however it is meant; None when there is none."""
    numbers = _NUMBER.findall(bounded(text)[-4_000:])
    return _value(numbers[-1]) if numbers else None


def answered_number(text: str) -> tuple[float, bool] | None:
    """The number an output answers with, and whether it was plainly stated (else: its last number)."""
    stated = stated_answer(text)
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        stated = repr(stated)
    if isinstance(stated, str):
        value = parse_number(stated)
        if value is None:
            numbers = _NUMBER.findall(_plain_formula(stated[:500]))
            value = _value(numbers[0]) if numbers else None
        if value is not None:
            return value, True
    whole = parse_number(text)
    if whole is not None:
        return whole, True
    last = last_number(text)
    return None if last is None else (last, False)


def same_number(found: float, wanted: float) -> bool:
    """Equal to within ``RELATIVE_TOLERANCE`` of the larger one; zero equals only what arithmetic leaves of zero.

    Two whole numbers are equal or not: 1,000,001 is no rounded 1,000,000.
    """
    if found.is_integer() and wanted.is_integer() and max(abs(found), abs(wanted)) < EXACT:
        return found == wanted
    return math.isclose(found, wanted, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-15)


def same_formula(found: str, wanted: str) -> bool:
    """Equal as text once LaTeX is plain, or equal in value; formulas in variables are compared at three points.

    What is no arithmetic (sets, intervals, matrices) goes to a computer algebra system, which takes a second to import.
    """
    left, right = _plain_formula(found), _plain_formula(wanted)
    if re.sub(r"\s", "", left) == re.sub(r"\s", "", right):
        return True
    if not left or not right:
        return False
    names = sorted(set(_VARIABLE.findall(left)) | set(_VARIABLE.findall(right)))
    try:
        for point in _POINTS:
            at = {name: point + 0.61 * i for i, name in enumerate(names)}
            if not _same_value(evaluate(left, at), evaluate(right, at)):
                return False
    except (NotAValueError, OverflowError):  # an integer may be too large for a float
        return equal_by_algebra(found, wanted)
    return True


def _same_value(left: Any, right: Any) -> bool:
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same_value, left, right))
    if isinstance(left, int | float) and isinstance(right, int | float):
        return same_number(float(left), float(right))
    return bool(left == right)


def _plain_formula(text: str) -> str:
    """LaTeX as arithmetic: ``\\frac{1}{2}`` becomes ``((1)/(2))``; text, spacing, degrees, $ and % are dropped."""
    text = _BASE.sub("", text[:1_000].strip())
    if not any(mark in text for mark in "\\$%°^−"):
        return text.replace("^", "**")
    for _ in range(6):  # innermost first, so nested fractions resolve one level a round
        before = text
        text = _LATEX_TEXT.sub(r" \1 ", text)
        text = _LATEX_FRACTION.sub(lambda m: f"(({m[1] or m[2]})/({m[3] or m[4]}))", text)
        text = _LATEX_ROOT.sub(lambda m: f"sqrt({m[1] or m[2]})", text)
        if text == before:
            break
    text = _LATEX_NOISE.sub("", text).replace("−", "-")
    for latex, plain in _LATEX_NAMES:
        text = text.replace(latex, plain)
    text = re.sub(r"(?<=[\d)])\s*(?=sqrt|pi\b)|(?<=\d)(?=\()|(?<=\))(?=\()|(?<=\))(?=\d)", "*", text)
    return text.replace("^{", "**(").replace("}", ")").replace("{", "(").replace("^", "**").strip()


def _evaluated(text: str) -> float | None:
    if re.fullmatch(r"[-\d.]+", text) or not re.search(r"[-+*/(]", text) or re.search(r"[,\[=]", text):
        return _value(text) if re.fullmatch(r"-?\d*\.?\d+", text) else None
    try:
        value = evaluate(text)
        return _finite(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except (NotAValueError, OverflowError):
        return None


def _value(number: str) -> float | None:
    try:
        return _finite(float(number.replace(",", "").replace("$", "").replace("−", "-")))
    except (ValueError, OverflowError):
        return None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

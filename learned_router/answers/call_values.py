"""Look at one value that a call gives: does the request say it, and does it look as its description says?

Knows requests and descriptions; knows nothing of schemas' types or of tools. Every look is at the first characters of a
value and of a description.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from learned_router.answers.said import NUMBER, WORD, Said, number_text

# A longer value is compared by its start, a longer description read by its start.
VALUE_CHARS: Final = 400
# An integer beyond this has thousands of digits; what it spells is not looked for in the request.
LARGEST_NUMBER: Final = 10**18

_DATE_FORMAT: Final = re.compile(r"\b[YMD]{2,4}([-/.])[YMD]{2,4}\1[YMD]{2,4}\b", re.IGNORECASE)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:\D|$)")
_DIGIT: Final = re.compile(r"\d")
_PLACEHOLDER: Final = re.compile(
    r"^$|[<{\[]\s*\w+|\b(?:your|my)[_ ]\w+|"
    r"\b(?:placeholder|unknown|unspecified|n/?a|none|null|undefined|tbd|todo|example)\b",
    re.IGNORECASE,
)
_FRACTION: Final = re.compile(r"decimal|fraction|\b0 (?:to|and) 1\b|\b0\.\d", re.IGNORECASE)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Units of one dimension, each by all its spellings
_UNITS: Final = (
    (
        ("mm", "millimeter", "millimetre"),
        ("cm", "centimeter", "centimetre"),
        ("m", "meter", "metre"),
        ("km", "kilometer", "kilometre"),
        ("inch", "inches", "in"),
        ("ft", "foot", "feet"),
        ("yd", "yard"),
        ("mile", "mi"),
        ("nm", "nanometer"),
    ),
    (
        ("mg", "milligram"),
        ("g", "gram"),
        ("kg", "kilogram", "kilo"),
        ("lb", "lbs", "pound"),
        ("oz", "ounce"),
        ("ton", "tonne"),
    ),
    (
        ("ms", "millisecond"),
        ("s", "sec", "second"),
        ("min", "minute"),
        ("h", "hr", "hour"),
        ("day",),
        ("week",),
        ("month",),
        ("year",),
    ),
    (("c", "celsius"), ("f", "fahrenheit"), ("k", "kelvin")),
    (("µf", "uf", "microfarad"), ("mf", "millifarad"), ("farad",)),
    (("mh", "millihenry"), ("henry", "henries")),
    (("ml", "milliliter"), ("l", "liter", "litre"), ("cup",), ("gallon",), ("tablespoon",), ("teaspoon",)),
    (("kpa",), ("pa", "pascal"), ("atm", "atmosphere"), ("bar",)),
    (("cent",), ("dollar", "usd"), ("euro", "eur")),
)
_UNIT_OF: Final = {
    spelling: (dimension, unit)
    for dimension, units in enumerate(_UNITS)
    for unit, spellings in enumerate(units)
    for spelling in spellings
}


class Look(msgspec.Struct, frozen=True):
    """What was seen of one value. share: of its words, those that the request holds.

    off_format: not as its description says. placeholder: it stands for a value that is not known. other_unit: a number as
    it stands in the request, beside another unit than the description names.
    """

    share: float
    off_format: bool = False
    placeholder: bool = False
    other_unit: bool = False


def look_at_number(value: Any, text: str, description: str, said: Said) -> Look:
    """text: the number as ``spell_number`` gives it."""
    text = text.lstrip("-")
    if text not in said.numbers:
        # a percentage may be asked for as a fraction
        percent = spell_number(abs(value) * 100) if isinstance(value, float) else ""
        return Look(float("%" in said.measures.get(percent, ())))
    beside = said.measures.get(text, ())
    other = "%" in beside and _FRACTION.search(description) is not None
    if not other and beside:
        spoken = {_UNIT_OF[unit] for word in beside if (unit := _singular(word)) in _UNIT_OF}
        if spoken:
            named = {
                _UNIT_OF[unit]
                for word in WORD.findall(description)
                if (unit := _singular(word)) in _UNIT_OF and len(unit) > 2
            }
            named = {unit for unit in named if unit[0] in {dimension for dimension, _ in spoken}}
            other = bool(named) and not named & spoken
    return Look(1.0, other_unit=other)


def look_at_text(value: str, description: str, said: Said) -> Look:
    """description: in lower case."""
    lower = value.lower()
    words = WORD.findall(lower)
    place = said.text.find(lower) if lower else -1
    date = _DATE.match(value)
    if place >= 0 or not words:
        share = 1.0
    elif date:
        share = _date_share(date[1], int(date[2]), int(date[3]), said)
    else:
        share = sum(word in said.words for word in words) / len(words)
    return Look(
        share,
        off_format=_is_off_format(lower, description),
        placeholder=place < 0 and _PLACEHOLDER.search(value) is not None,
    )


def spell_number(value: Any) -> str:
    """A number as it would stand in a text; "" for one that would not."""
    if not -LARGEST_NUMBER < value < LARGEST_NUMBER:  # also what is not a number
        return ""
    return (
        str(int(value)) if float(value).is_integer() else number_text(f"{value:g}") if "e" not in f"{value:g}" else ""
    )


def spoken_numbers(text: str) -> set[str]:
    """All numbers in a text."""
    return {number_text(found) for found in NUMBER.findall(text)}


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word not in _UNIT_OF else word


def _date_share(year: str, month: int, day: int, said: Said) -> float:
    """Share of a date's three parts that the request says."""
    name = _MONTHS[month - 1] if 1 <= month <= 12 else "?"
    named = str(month) in said.numbers or any(word.startswith(name) for word in said.words)
    days = said.numbers | {number[:-2] for number in said.words if number[:1].isdigit()}
    return ((year in said.numbers) + named + (str(day) in days)) / 3


def _is_off_format(value: str, description: str) -> bool:
    """Whether a value is not as its description says. Both in lower case."""
    date = _DATE_FORMAT.search(description)
    if date:
        return _DIGIT.sub("0", value) != re.sub(r"[ymd]", "0", date[0].lower())
    return "," not in value and ("city, state" in description or ("city" in description and "state" in description))

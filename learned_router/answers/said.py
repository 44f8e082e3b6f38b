"""What a request says, made ready to look words, numbers and names up in. Knows text; knows nothing of tools or answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

# Words of one meaning mostly share a beginning: calculate, calculator, calculation.
STEM_CHARS: Final = 5

WORD: Final = re.compile(r"[^\W_]+")
NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
# the letter first, since a text is searched for one far faster than for what stands before it
_NAME: Final = re.compile(r"[A-Z](?<=\b.)(?<![.!?] .)(?<!^.)[\w'-]+")
# a percentage, or a number and the word that follows it
_MEASURE: Final = re.compile(r"(?<![\d.,])(\d{1,18}(?:[.,]\d{1,9}){0,5})[ -]?(%|[^\W\d_]{1,16}²?)")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_THINGS: Final = "and also then next lastly finally additionally plus versus vs or"
_THING_WORDS: Final = frozenset(_THINGS.split())
_RUN: Final = re.compile(r"\w+")
_THING_ITEM: Final = re.compile(r"\n\d[.)]")
_NUMBER_WORDS: Final = dict(
    zip(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        range(13),
        strict=True,
    )
) | {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "hundred": 100,
    "thousand": 1000,
    "once": 1,
    "twice": 2,
    "double": 2,
    "both": 2,
    "half": 2,
    "third": 3,
    "thrice": 3,
    "triple": 3,
    "quarter": 4,
    "dozen": 12,
}
_STOP_WORDS: Final = """
a about after all also am an and any are as at be been but by can could did do does for from get give given
had has have her him his how i if in into is it its just like me my need no not of on or our out please she
should show so some tell than that the their them then there these they this those to up us use using want was
we were what when where which who will with would you your based specific specified certain provided including
e g default optional
"""
_STOP: Final = frozenset(_STOP_WORDS.split())


class Said(msgspec.Struct, frozen=True):
    """What a request says. text: lower case. numbers: without what only groups digits, also those written as words.

    places: where each number stands first. stems: of all words but those that say nothing. measures: the words that follow
    each number. things: how many more things than one it seems to list.
    """

    text: str
    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    stems: frozenset[str]
    places: dict[str, int]
    measures: dict[str, set[str]]
    things: int


def read_said(text: str) -> Said:
    """Read what a request says, once for all that is looked up in it."""
    lower = text.lower()
    in_order = WORD.findall(lower)
    words = frozenset(in_order)
    places: dict[str, int] = {}
    for match in NUMBER.finditer(text):
        places.setdefault(number_text(match[0]), match.start())
    numbers = places.keys() | {str(_NUMBER_WORDS[word]) for word in words & _NUMBER_WORDS.keys()}
    measures: dict[str, set[str]] = {}
    for found, unit in _MEASURE.findall(lower) if places else ():
        measures.setdefault(number_text(found), set()).add(unit)
    return Said(
        text=lower,
        words=words,
        numbers=frozenset(numbers),
        names=frozenset(name.lower() for name in _NAME.findall(text)),
        stems=stems_of(words),
        places=places,
        measures=measures,
        things=_count_things(lower, in_order),
    )


def stems_of(words: Iterable[str]) -> frozenset[str]:
    """Beginnings of words in lower case, without those that say nothing."""
    return frozenset(
        [(word[:-1] if word[-1] == "s" and len(word) > 3 else word)[:STEM_CHARS] for word in {*words} - _STOP]
    )


def _count_things(lower: str, words: Sequence[str]) -> int:
    """How many words and signs a text in lower case sets between two things. words: of it, in order."""
    whole = _RUN.findall(lower) if "_" in lower else words  # an "and" within an identifier joins nothing
    return (
        sum(map(_THING_WORDS.__contains__, whole))
        + lower.count(";")
        + lower.count("?")
        + lower.count(", ")
        + len(_THING_ITEM.findall(lower))
    )


def split_name(name: str) -> list[str]:
    """The words of an identifier: get_userName as get, user, name."""
    return WORD.findall(_CAMEL.sub(" ", name).lower().replace("_", " "))


def number_text(found: str) -> str:
    """1,200.50 as 1200.5: without what only groups digits."""
    whole, _, part = found.replace(",", "").partition(".")
    part = part.split(".")[0].rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{part}" if part else whole

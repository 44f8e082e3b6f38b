"""Read a reasoning text: does its arithmetic hold, what does it state as its answer, and does that follow?

Knows texts; knows nothing of calls or thresholds. Every expression that is searched for has a bounded length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from learned_router.answers.said import WORD, Said, number_text, stems_of

EQUATIONS_READ: Final = 40

_N = r"\d{1,15}(?:,\d{3}){0,5}(?:\.\d{1,15})?"
_DIGIT: Final = re.compile(r"\d")
_NUMBER: Final = re.compile(rf"(?<![\d.,]){_N}")
# 3 * $4 + 5% = $17: up to eight terms, and what stands before and after decides whether it is a whole
_EQUATION: Final = re.compile(
    rf"(?<![\d.,])-?(?:\$ ?)?{_N}%?(?: ?[-+*/×÷x] ?(?:\$ ?)?{_N}%?){{1,8}} ?= ?(?:\$ ?)?-?{_N}"
)
_TERM: Final = re.compile(rf"([-+*/×÷x])? ?(?:\$ ?)?({_N})(%?)")
_STATED: Final = re.compile(
    r"(?:answer(?: is|\"? ?:)|####|\\boxed\{)[\s\"(:$*\\]{0,12}(-?\$?" + _N + r"(?:/\d{1,9})?|[A-J]\b)", re.IGNORECASE
)
_OPTION_LINE: Final = re.compile(r"^[ \t]{0,8}\(?([A-J])[.)]\s{1,4}(.{1,200})$", re.MULTILINE)
# what a text may compute with although nothing has said it: a whole, a half, months, hours, minutes
_KNOWN_TO_ALL: Final = frozenset(("1", "2", "4", "7", "10", "12", "24", "30", "52", "60", "100", "365"))
_PARTS: Final = re.compile(r"\b(?:how many|how much older|number of)\b")


class Reasoning(msgspec.Struct):
    """What was seen of a reasoning text.

    equations, wrong: read, and of them those that do not hold. unexplained: numbers computed with that neither the request
    nor an equation before has given. dangling: what an equation comes to and nothing later uses. follows: the final answer
    is what the last equation comes to. answers: different final answers stated. final: the last of them, "" without one.
    place: where it stands, as a share of the text. in_reasoning: it stands in the reasoning before it, near the end.
    off_options: a letter that is no option. new: different numbers of the text that are not in the request; unused: share
    of the request's that the text leaves out. options: how many there were. option_share: of the chosen option's words,
    those in the reasoning; option_match: less that of the best other; option_length: against the mean, a logarithm;
    option_number: see ``_match_numbers``. counts_parts: a fraction, or below 0, where a count was asked for.
    """

    equations: int = 0
    wrong: int = 0
    unexplained: int = 0
    dangling: int = 0
    follows: bool = False
    answers: int = 0
    final: str = ""
    place: float = 0.0
    in_reasoning: bool = False
    off_options: bool = False
    new: int = 0
    unused: float = 0.0
    options: int = 0
    option_match: float = 0.0
    option_share: float = 0.0
    option_length: float = 0.0
    option_number: float = 0.0
    counts_parts: bool = False


def read_reasoning(text: str, asked: str, said: Said) -> Reasoning:
    """text: of the answer. asked, said: the request as it is, and what it says."""
    found = Reasoning()
    text = _plain_signs(text)
    results = _read_equations(text, said, found) if "=" in text else []
    stated = [(match.start(), match[1].upper().replace("$", "").replace(",", "")) for match in _STATED.finditer(text)]
    numbers = [number_text(number) for number in _NUMBER.findall(text)] if _DIGIT.search(text) else []
    found.new = len(set(numbers) - said.numbers)
    found.unused = len(said.numbers.difference(numbers)) / len(said.numbers) if said.numbers else 0.0
    if not stated:
        return found
    place, final = stated[-1]
    found.answers = len({answer for _, answer in stated})
    found.final, found.place = final, place / max(len(text), 1)
    if final.isalpha():
        _match_options(text[:place], final, asked, found)
        return found
    plain = number_text(final.lstrip("-")) if "/" not in final else final
    before = [number_text(number) for number in _NUMBER.findall(text[:place])]
    found.in_reasoning = plain in before[-3:]
    found.follows = bool(results) and plain == results[-1]
    found.counts_parts = _PARTS.search(said.text) is not None and ("." in plain or "/" in plain or final[:1] == "-")
    return found


def _read_equations(text: str, said: Said, found: Reasoning) -> list[str]:
    """What each equation of a text comes to, and whether it holds."""
    results: list[str] = []
    known = set(said.numbers | _KNOWN_TO_ALL)
    unused: set[str] = set()
    for match in _EQUATION.finditer(text):
        left, _, right = match[0].rpartition("=")
        before = text[max(match.start() - 3, 0) : match.start()].rstrip()
        after = text[match.end() : match.end() + 3].lstrip()
        result = right.replace("$", "").replace(",", "").strip()
        terms = {number_text(term) for term in _NUMBER.findall(left)}
        found.unexplained += len(terms - known)
        unused -= terms
        known |= terms
        results.append(number_text(result.lstrip("-")))
        known |= {results[-1]}
        unused.add(results[-1])
        if (before[-1:] in (*"-+*/×÷x)^", "=") and before) or after[:1] in (*"*/×÷^(",):
            continue  # a part of a longer one
        value = _evaluate(left)
        found.equations += 1
        if value is not None:
            decimals = len(result.partition(".")[2])
            # the result may be rounded, or a percentage
            near = 0.6 * 10.0**-decimals + 1e-9 * abs(value)
            found.wrong += (
                min(abs(value - float(result)), abs(100 * value - float(result)) if after[:1] == "%" else math.inf)
                > near
            )
        if found.equations >= EQUATIONS_READ:
            break
    found.dangling = len(unused - set(results[-1:]))
    return results


def _evaluate(expression: str) -> float | None:
    """A sum of products; None where it divides by zero."""
    total, product = 0.0, 1.0
    for index, (sign, digits, percent) in enumerate(_TERM.findall(expression)):
        value = float(digits.replace(",", "")) / (100.0 if percent else 1.0)
        if index == 0:
            product = -value if sign == "-" else value
        elif sign in ("*", "×", "x"):
            product *= value
        elif sign in ("/", "÷"):
            if value == 0.0:
                return None
            product /= value
        else:
            total, product = total + product, -value if sign == "-" else value
    return total + product


def _match_options(before: str, final: str, asked: str, found: Reasoning) -> None:
    """How far the reasoning says what the chosen option says, against the best other option."""
    options: dict[str, str] = dict(_OPTION_LINE.findall(asked))
    found.options = len(options)
    chosen = options.get(final, "").strip().rstrip(".").lower()
    found.off_options = bool(options) and final not in options
    lower = before.lower()
    found.in_reasoning = bool(chosen) and chosen in lower
    if len(options) < 2 or not chosen:
        return
    said = stems_of(WORD.findall(lower))
    stems = {letter: stems_of(WORD.findall(content.lower())) for letter, content in options.items()}
    # what all options say tells nothing of any
    shared = frozenset.intersection(*stems.values())
    shares = {letter: len((own - shared) & said) / max(len(own - shared), 1) for letter, own in stems.items()}
    found.option_share = shares[final]
    found.option_match = shares[final] - max(share for letter, share in shares.items() if letter != final)
    found.option_length = math.log(len(chosen) * len(options) / sum(len(content) for content in options.values()))
    found.option_number = _match_numbers(before, final, options)


def _match_numbers(before: str, final: str, options: Mapping[str, str]) -> float:
    """1 where a reasoning ends with the number of the chosen option, -1 where with another, 0 where options have none;
    and between where that number is only the nearest."""
    last = [float(number.replace(",", "")) for number in _NUMBER.findall(before)][-3:]
    numbers = {
        letter: float(match[0].replace(",", ""))
        for letter, content in options.items()
        if (match := _NUMBER.search(content))
    }
    if not last or final not in numbers:
        return 0.0

    def distance(number: float) -> float:
        return min(abs(number - value) / max(abs(number), abs(value), 1e-9) for value in last)

    if distance(numbers[final]) < 0.01:
        return 1.0
    return -0.5 if distance(numbers[final]) <= min(map(distance, numbers.values())) else -1.0


def _plain_signs(text: str) -> str:
    """LaTeX's signs as those of a calculator."""
    if "\\" not in text:
        return text
    for written, sign in (("\\\\", "\\"), ("\\cdot", "*"), ("\\times", "*"), ("\\div", "/")):
        text = text.replace(written, sign)
    return text

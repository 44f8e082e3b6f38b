"""Read the letter of a multiple-choice answer from free reasoning. Knows letters; knows nothing of records."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from learned_router.training.graders.final_answer import json_answer
from learned_router.training.graders.grade import bounded

# Patterns begin with a literal ("nswer is", for "Answer" and "answer"), which makes them fast on long texts, and their
# repeats are bounded, so that no run of spaces makes them slow. The order is MMLU-Pro's: its checker takes the first
# "answer is (X)", so that a run-on into further, invented questions does not replace the answer; only then other forms.
_ANSWER_IS: Final = re.compile(
    r"nswer is[\s:*_$\\\[{(]{0,12}(?:(?:text|boxed|mathrm|textbf)\{\(?){0,2}(?:([A-Z])\b(?!')|(?<=\()([a-z])\))"
)
_ANSWER_COLON: Final = re.compile(r"(?:nswer|NSWER|ption|hoice)\s*:[\s*_]*\(?([A-Z])\b(?!')")
_BOXED: Final = re.compile(r"\\boxed\{(?:\\text\{)?\(?([A-Z])\b")
_ALONE: Final = re.compile(r"\s*[(\[*]*([A-Za-z])[)\]*.:]*\s*")
_LEADING: Final = re.compile(r"\s*[(\[*]*([A-Z])[).:\]]+\s[^\n]{1,200}\s*")
# MMLU-Pro ends with the last lone capital letter; but "I", "A" (ampere) and "C" (coulomb) stand alone for other
# reasons, so here it must be marked as a choice
_MARKED: Final = re.compile(r"\(([A-Z])\)|(?:ption|hoice) \**\(?([A-Z])\b|\*\*\(?([A-Z])[).:*]")
TAIL_OF_CHOICE: Final = 400  # characters from the end in which a marked letter counts as the choice

_OPTION: Final = re.compile(r"\n[ \t]*\(?([A-Z])[).:][ \t]")


@lru_cache(maxsize=64)  # the same question is graded once a tier
def option_letters(question: str) -> str:
    """Letters of the options listed in ``question``, ``"ABCD"`` say; empty unless they run A, B, … without a gap."""
    letters = list(dict.fromkeys(_OPTION.findall("\n" + bounded(question))))
    runs = len(letters) >= 2 and letters == [chr(ord("A") + i) for i in range(len(letters))]
    return "".join(letters) if runs else ""


def chosen_letter(text: str, letters: str) -> tuple[str, bool] | None:
    """The letter ``text`` chooses among ``letters``, and whether it was plainly stated; None when there is none."""
    text = bounded(text)
    value = json_answer(text)
    if isinstance(value, str) and (letter := _letter_alone(value, letters)):
        return letter, True
    if letter := _matched(_ALONE, text, letters):
        return letter, True
    for pattern in (_ANSWER_IS, _ANSWER_COLON, _BOXED):
        for match in pattern.finditer(text):
            if (letter := _group(match)) in letters:
                return letter, True
    if letter := _matched(_LEADING, text, letters):
        return letter, True
    marked = [letter for match in _MARKED.finditer(text[-TAIL_OF_CHOICE:]) if (letter := _group(match)) in letters]
    return (marked[-1], False) if marked else None


def letter_of(reference: dict[str, Any]) -> str | None:
    """The right letter of ``{"answer": "E"}`` or ``{"answer_index": 4}``, else None."""
    answer, index = reference.get("answer"), reference.get("answer_index")
    if isinstance(answer, str) and len(answer.strip(" ().")) == 1 and answer.strip(" ().").isalpha():
        return answer.strip(" ().").upper()
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < 26:
        return chr(ord("A") + index)
    return None


def _letter_alone(text: str, letters: str) -> str | None:
    return _matched(_ALONE, text, letters) or _matched(_LEADING, text, letters)


def _matched(pattern: re.Pattern[str], text: str, letters: str) -> str | None:
    match = pattern.fullmatch(text) if len(text) < 400 else None
    return _group(match) if match and _group(match) in letters else None


def _group(match: re.Match[str]) -> str:
    """The letter of whichever alternative matched."""
    return next(group for group in match.groups() if group).upper()

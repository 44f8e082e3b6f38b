"""Look at an answer as a text: does it end, refuse, hedge, repeat itself, hold JSON? Knows nothing of requests.

No expression here repeats without a bound.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from learned_router.answer import Output
from learned_router.answers.said import WORD

# A JSON answer longer than this is not parsed at run time.
JSON_READ: Final = 200_000
_REFUSAL: Final = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able)|\bI (?:can(?:no|')t|do(?:n't| not) have|apologi[sz]e)|\bas an AI\b|"
    r"\b(?:cannot|can't|unable to) (?:be determined|help|assist|answer|provide|fulfil)|\bnot enough information\b",
    re.IGNORECASE,
)
_HEDGING: Final = re.compile(
    r"\b(?:approximately|roughly|about equal|closest|nearest|assum\w+|perhaps|maybe|might|likely|probably|seems?|appears?|"
    r"not (?:sure|clear|exactly|listed|among)|none of the|however|unclear|guess)\b",
    re.IGNORECASE,
)
_CORRECTION: Final = re.compile(
    r"\b(?:wait|actually|let(?:'s| us| me) (?:re|try again|correct|check)|mistake|incorrect|instead|oops|re-?evaluate)\b",
    re.IGNORECASE,
)
# Plain words, without which a lower-case ASCII text holds nothing of an expression: looked up faster than that is searched
# for. Of the first, parts of a text; of the other two, whole words
_REFUSAL_PARTS: Final = (
    "sorry",
    "unable",
    "not able",
    "cannot",
    "can't",
    "not have",
    "n't have",
    "apologi",
    "as an ai",
    "not enough",
)
_HEDGES: Final = (
    "approximately roughly equal closest nearest perhaps maybe might likely probably seem seems appear appears sure clear "
    "exactly listed among none however unclear guess"
)
_HEDGING_WORDS: Final = frozenset(_HEDGES.split())
_CORRECTIONS: Final = "wait actually let mistake incorrect instead oops reevaluate evaluate"
_CORRECTION_WORDS: Final = frozenset(_CORRECTIONS.split())
_LETTER: Final = re.compile(r"\(([A-J])\)")
_STEP: Final = re.compile(r"^[ \t]{0,8}(?:\d{1,3}[.)]|[-*]|step\b)", re.IGNORECASE | re.MULTILINE)
_ENDS: Final = (".", "!", "?", "}", "]", ")", '"', "'", "`", "*", ":", "…", "。", "！", "？", "$")


def read_text(text: str) -> tuple[float, ...]:
    """Refusal, hedging, correction of itself, repetition, a question at the end, options named, steps told."""
    lower = text.lower()
    words = WORD.findall(lower)
    odd = not text.isascii()  # an expression that ignores case takes other letters for those of a word too
    refuses = odd or any(part in lower for part in _REFUSAL_PARTS)
    hedges = odd or "assum" in lower or not _HEDGING_WORDS.isdisjoint(words)
    corrects = odd or not _CORRECTION_WORDS.isdisjoint(words)
    return (
        float(refuses and _REFUSAL.search(text) is not None),
        math.log1p(len(_HEDGING.findall(text))) if hedges else 0.0,
        math.log1p(len(_CORRECTION.findall(text))) if corrects else 0.0,
        _repetition(words),
        float(text.rstrip().endswith("?")),
        math.log1p(len(set(_LETTER.findall(text)))),
        math.log1p(len(_STEP.findall(text))),
    )


def is_cut_off(output: Output) -> bool:
    """Whether an answer ends before its end, as the server says or as it looks."""
    if output.finish_reason is not None:
        return output.finish_reason == "length"
    text = (output.text or "").rstrip()
    if not text:
        return False
    return text.count("```") % 2 == 1 or not (text.endswith(_ENDS) or text[-1].isdigit() or len(text) < 80)


def find_json(text: str) -> Any:
    """The JSON that an answer is, or holds in a fenced block or after other words; None where there is none."""
    if len(text) > JSON_READ:
        return None
    start = min((at for mark in "{[" if (at := text.find(mark)) >= 0), default=-1)
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found


def non_ascii(text: str) -> float:
    """Share of a text's characters that are not ASCII."""
    return 0.0 if text.isascii() else sum(ord(c) > 127 for c in text) / len(text)


def ends_of(text: str, limit: int) -> str:
    """A text, or of a longer one the two ends."""
    return text if len(text) <= limit else text[: limit // 2] + "\n" + text[len(text) - limit // 2 :]


def _repetition(words: list[str]) -> float:
    """Share of the text's runs of four words that repeat an earlier one."""
    runs = len(words) - 3
    if runs < 1:
        return 0.0
    return 1.0 - len(set(zip(words, words[1:], words[2:], words[3:], strict=False))) / runs

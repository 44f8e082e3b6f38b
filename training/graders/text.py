"""Compare short labels and free texts. Knows words; knows nothing of records, calls or numbers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from learned_router.training.graders.grade import bounded

LABEL_WORDS: Final = 8  # an answer of more words is free text, which is never equal word for word

_WORD: Final = re.compile(r"\w+")
_ARTICLES: Final = frozenset({"a", "an", "the"})


def normalise_text(text: str) -> str:
    """Words of ``text`` in lower case, joined by one space; punctuation, articles and Unicode variants dropped."""
    words = _WORD.findall(unicodedata.normalize("NFKC", bounded(text)).lower())
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def is_label(text: str) -> bool:
    """Whether ``text`` is short enough to be compared whole: at most ``LABEL_WORDS`` words."""
    return len(text) < 200 and len(_WORD.findall(text)) <= LABEL_WORDS


def same_text(found: str, wanted: str) -> bool:
    """Equal once normalised; texts without any word (``"[]"``, ``"+"``) must be equal as they stand."""
    normalised = normalise_text(wanted)
    if not normalised:
        return found.strip() == wanted.strip()
    return normalise_text(found) == normalised


def similarity(found: str, wanted: str) -> float:
    """F1 of the words two texts share, in [0, 1], each word counted as often as it stands in both.

    Source: the token F1 of SQuAD (Rajpurkar et al. 2016).
    """
    left, right = Counter(normalise_text(found).split()), Counter(normalise_text(wanted).split())
    return f1(left, right) if left or right else float(found.strip() == wanted.strip())


def f1(left: Counter[str], right: Counter[str]) -> float:
    """Share of the words of both that they have in common, in [0, 1]; 0 when both are empty."""
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 0.0

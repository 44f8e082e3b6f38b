"""Grade free text by how much of another text's meaning and words it shares, as a probability. Knows no records.

The probability comes from a logistic curve over five plain measures, fitted on judged answers of the arena_bench and
mtbench logs; ``free_text.json`` holds it, with the command that wrote it and what it was fitted on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from learned_router.training.graders.grade import Grade, give
from learned_router.training.graders.text import f1, normalise_text

CURVES: Final = Path(__file__).with_name("free_text.json")
MEASURES: Final = ("meaning", "words", "vocabulary", "new_words", "variety")
SHORT_WORDS: Final = 60  # fewer words than this hardly repeat, however poor they are

Embed = Callable[[Sequence[str]], Any]  # texts → unit vectors, (n, width)


class Curve(msgspec.Struct, frozen=True):
    """P(good) = 1 / (1 + exp(-(bias + Σ weights[measure] · measure)))."""

    bias: float
    weights: dict[str, float]

    def probability(self, measures: dict[str, float]) -> float:
        value = self.bias + sum(weight * measures[name] for name, weight in self.weights.items())
        return 1.0 / (1.0 + math.exp(-value)) if value > -700 else 0.0


class Curves(msgspec.Struct, frozen=True):
    """The file: one curve by method (``reference``, ``agreement``), the command that wrote it, and the rows behind it."""

    command: str
    rows: dict[str, int]
    curves: dict[str, Curve]


def grade_by_meaning(found: str, wanted: str, question: str, embed: Embed, *, method: str) -> Grade:
    """Grade of the text ``found`` beside ``wanted``, the answer to ``question``.

    method: ``reference``, where quality is the probability that a judge finds ``found`` good, or ``agreement``, where it
    is that of being as good as ``wanted``, which the same words always are.
    """
    if method == "agreement" and normalise_text(found) == normalise_text(wanted):
        return give(f"{method}:embedding", 1.0)
    curve = read_curves().curves[method]
    return give(f"{method}:embedding", curve.probability(measure(found, wanted, question, embed)))


def measure(found: str, wanted: str, question: str, embed: Embed) -> dict[str, float]:
    """What the curve is made of, by name (``MEASURES``).

    meaning: cosine of the two embeddings, in [-1, 1]. words, vocabulary: F1 of the words shared, counted as often as
    they stand and once each. new_words: share of the words that ``wanted`` adds to the question that ``found`` also has.
    variety: different words of ``found`` per word, or per ``SHORT_WORDS`` where it has fewer. All others in [0, 1].
    """
    left, right = (normalise_text(text).split() for text in (found, wanted))
    new = set(right) - set(normalise_text(question).split())
    vectors = embed([found, wanted])
    return {
        "meaning": float(vectors[0] @ vectors[1]),
        "words": f1(Counter(left), Counter(right)),
        "vocabulary": f1(Counter(set(left)), Counter(set(right))),
        "new_words": len(new & set(left)) / len(new) if new else 1.0,
        "variety": len(set(left)) / max(len(left), SHORT_WORDS),
    }


@lru_cache(maxsize=1)
def read_curves() -> Curves:
    """The curves that ship with the package."""
    return msgspec.json.decode(CURVES.read_bytes(), type=Curves)

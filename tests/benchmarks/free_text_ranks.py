"""How well the free-text grader ranks judged answers: rank correlation with the judge, on questions it was not fitted on.

Knows rows of measures and scores; grader_agreement.py runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from free_text_curve import METHODS, Row, judged_rows
from scipy.stats import spearmanr

from learned_router.training.graders.free_text import Curve, Embed, read_curves

DRAWS = 1000
SEED = 0

Score = Callable[[Row], float]


def measure_ranks(corpus: str, small: str, embed: Embed) -> list[dict[str, Any]]:
    """One entry a method and group of models (``all``, or the small one alone), on questions that are not fitted on."""
    found = []
    for method in METHODS:
        held = [row for row in judged_rows(corpus, method, embed) if not row.fitted]
        for models, rows in (("all", held), (small, [row for row in held if row.model == small])):
            if len({row.score for row in rows}) > 1:
                found.append({"method": method, "models": models, **_measure(rows, read_curves().curves[method])})
    return found


def _measure(rows: Sequence[Row], curve: Curve) -> dict[str, Any]:
    """Spearman's rho of the curve with its interval, of plainer measures, and whether the mean is right too."""

    def probability(row: Row) -> float:
        return curve.probability(row.measures)

    low, high = interval(rows, probability)
    return {
        "rows": len(rows),
        "questions": len({row.record for row in rows}),
        "rho": rho(rows, probability),
        "low": low,
        "high": high,
        "rho_words": rho(rows, lambda row: row.measures["words"]),
        "rho_meaning": rho(rows, lambda row: row.measures["meaning"]),
        "mean_quality": float(np.mean([probability(row) for row in rows])),
        "mean_target": float(np.mean([row.target for row in rows])),
    }


def rho(rows: Sequence[Row], score: Score) -> float | None:
    """Spearman's rho between ``score`` and the judged score; None when either is constant."""
    ours, gold = [score(row) for row in rows], [row.score for row in rows]
    if len(set(ours)) < 2 or len(set(gold)) < 2:
        return None
    return float(spearmanr(ours, gold)[0])


def interval(rows: Sequence[Row], score: Score) -> tuple[float, float]:
    """95 % bootstrap interval of ``rho``, drawn by question: answers to one question stand or fall together."""
    by_question: dict[str, list[Row]] = {}
    for row in rows:
        by_question.setdefault(row.record, []).append(row)
    questions, generator = list(by_question.values()), np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        picked = generator.integers(len(questions), size=len(questions))
        value = rho([row for i in picked for row in questions[i]], score)
        drawn += [] if value is None else [value]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)

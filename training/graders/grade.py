"""What every grader returns, and how far each way of grading is trusted. Knows no way of grading itself."""

from __future__ import annotations

from typing import Final

import msgspec

# How far a grade of each kind is trusted, in [0, 1]; it becomes the label's weight. Where grader_agreement.py finds a
# hundred grades or more, it is twice the share that are as gold, minus one (a coin is worth nothing), in steps of 0.05;
# for embeddings, the lower end of the interval of their rank correlation with a judge. The others are set beside them: a
# model that agrees with the frontier's output may repeat its mistake, and shared words say little about which text is
# better.
CERTAINTY: Final = {
    "gold": 1.0,
    "review": 1.0,
    "reference:tool_call": 1.0,
    "reference:no_call": 1.0,
    "reference:any_call": 0.8,
    "reference:executed_call": 0.95,
    "reference:choice": 1.0,
    "reference:number": 1.0,
    "reference:literal": 0.95,
    "reference:expression": 0.9,
    "reference:json": 1.0,
    "reference:label": 0.95,
    "reference:tests": 0.95,
    "reference:code": 0.95,
    "reference:schema": 0.9,
    "reference:similarity": 0.1,
    "reference:embedding": 0.45,
    "feedback": 0.6,
    "judge:pairwise": 0.7,
    "judge:torn": 0.4,
    "agreement:frontier": 0.9,
    "agreement:tool_call": 0.65,
    "agreement:episode": 0.5,
    "agreement:no_call": 0.9,
    "agreement:choice": 0.6,
    "agreement:answer": 0.7,
    "agreement:json": 0.6,
    "agreement:label": 0.6,
    "agreement:code": 0.7,
    "agreement:text": 0.2,
    "agreement:embedding": 0.35,
}

# An answer read from where it was not plainly stated (the last number, the last lone letter) may not be the answer.
UNSTATED_FACTOR: Final = 0.8

# Longer texts are read at their head and tail only, so a 1,000,000-character output costs what a long answer costs.
HEAD_CHARS: Final = 16_000
TAIL_CHARS: Final = 16_000


class Grade(msgspec.Struct, frozen=True):
    """One output's grade. ``quality`` and ``certainty`` lie in [0, 1]; ``grader`` is ``"<method>:<kind>"``."""

    quality: float
    certainty: float
    grader: str


def give(grader: str, quality: float, *, stated: bool = True) -> Grade:
    """The grade of ``grader`` (a key of ``CERTAINTY``); ``stated``: False when the answer had to be guessed at."""
    certainty = CERTAINTY[grader]
    return Grade(float(quality), certainty if stated else certainty * UNSTATED_FACTOR, grader)


def bounded(text: str) -> str:
    """``text``, or its first ``HEAD_CHARS`` and last ``TAIL_CHARS`` characters joined by a line break."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"

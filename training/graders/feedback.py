"""Grade by what people or checks said of an output in the log: thumbs, ratings, scores. Reads no output itself.

The rule. Feedback is an output's own quality. A log mostly holds it for one tier, the one that was served, and says
nothing of the others; those are graded by agreement, and what is known of one side is carried over to the other:

- the top tier's output has feedback f: a lower tier that agrees with it to the degree a is as good as it, one that
  differs is as good as the opposite of f, halved, for of a bad answer's alternatives we know nothing;
- only a lower tier's output has feedback f: the top tier is right by definition, but for as far as it agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from learned_router.training.graders.grade import Grade, give
from learned_router.training.records import Output

Agreement = Callable[[Output], Grade | None]  # of a lower tier's output with the top tier's; None when not comparable

LEAST: Final = 0.2  # share of the certainty that is left where an output differs from one that was found bad


def has_feedback(outputs: Mapping[str, Output]) -> bool:
    return any(output.feedback is not None for output in outputs.values())


def find_bad_feedback(outputs: Mapping[str, Output]) -> tuple[str, str] | None:
    """Reason and sentence when a feedback does not lie in [0, 1]; not a number does not."""
    for tier, output in outputs.items():
        if output.feedback is not None and not 0.0 <= output.feedback <= 1.0:
            return "feedback_out_of_range", f"{tier}'s feedback is {output.feedback}; it must lie in [0, 1]"
    return None


def grade_by_feedback(outputs: Mapping[str, Output], agreement: Agreement) -> dict[str, Grade] | None:
    """Grades of all tiers, the last being the top one; None when there is no feedback, or it cannot be carried over.

    outputs: by tier, their feedback in [0, 1].
    """
    if not has_feedback(outputs):
        return None
    said = {tier: output.feedback for tier, output in outputs.items() if output.feedback is not None}
    grades = {tier: give("feedback", value) for tier, value in said.items()}
    *lower, top = outputs
    agreed = {tier: agreement(outputs[tier]) for tier in lower} if len(said) < len(outputs) else {}
    if any(grade is None for grade in agreed.values()):
        return None
    alike = {tier: grade for tier, grade in agreed.items() if grade is not None}
    if top not in said:
        # of several lower tiers' feedback, the worst that the top tier shares is held against it
        quality = min(1.0 - alike[tier].quality * (1.0 - said[tier]) for tier in lower if tier in said)
        grades[top] = give("feedback", quality)
    for tier in lower:
        if tier not in grades:
            grades[tier] = _carried_over(alike[tier], grades[top].quality)
    return {tier: grades[tier] for tier in outputs}


def _carried_over(agreed: Grade, top: float) -> Grade:
    alike = agreed.quality
    quality = alike * top + (1.0 - alike) * (1.0 - top) / 2.0
    known = alike + (1.0 - alike) * top
    return Grade(quality, agreed.certainty * max(LEAST, known), f"feedback+{agreed.grader}")

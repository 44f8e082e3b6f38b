"""Pick how a record's outputs are graded: by gold, reference, feedback, judge or agreement, and as what kind of answer.

Knows which grader is trusted before which; how an answer is compared is each grader's own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from learned_router.errors import InputError
from learned_router.training.graders.agreement import KINDS, grade_by_agreement, grade_frontier
from learned_router.training.graders.feedback import find_bad_feedback, grade_by_feedback
from learned_router.training.graders.free_text import Embed, grade_by_meaning
from learned_router.training.graders.grade import CERTAINTY, Grade, give
from learned_router.training.graders.json_schema import meets_format
from learned_router.training.graders.judge import Judge
from learned_router.training.graders.reference import (
    KINDS_OF_REFERENCE,
    grade_by_reference,
    question_of,
    reference_text,
)
from learned_router.training.records import Output, Record

Grades = dict[str, Grade]
Refusal = tuple[str, str]  # why a record has no grade: a reason that is counted, and a sentence

METHODS: Final = ("reference", "feedback", "judge", "agreement")
GRADERS: Final = (*METHODS, *sorted(set(KINDS) | set(KINDS_OF_REFERENCE)))
UNSETTLED: Final = 0.5  # a grade of less certainty gives way to feedback and to a judge
FREE_TEXT: Final = frozenset({"reference:similarity", "agreement:text"})


class GradeOptions(msgspec.Struct, frozen=True):
    """What may be used to grade, and what must be.

    labels: ``"auto"`` or ``"gold"``, which takes the records' ``score``, read in no other case.
    grader: one of ``GRADERS`` to grade every record by it; a record that it does not fit is then left out. None picks.
    run_code: run code against ``reference.tests``. judge: asked where nothing else settles the grade.
    embed: compares free text by meaning; without it, by shared words.
    """

    labels: Literal["auto", "gold"] = "auto"
    grader: str | None = None
    run_code: bool = False
    judge: Judge | None = None
    embed: Embed | None = None

    def check(self) -> None:
        """Raises InputError for an option that is none, naming those that are."""
        if self.labels not in {"auto", "gold"}:
            raise InputError(f"--labels: found {self.labels!r}; give auto or gold")
        if self.grader is not None and self.grader not in GRADERS:
            raise InputError(f"--grader: found {self.grader!r}; give one of {', '.join(GRADERS)}")
        if self.grader == "judge" and self.judge is None:
            raise InputError("--grader judge: no judge is given; add --judge MODEL@URL")
        if self.labels == "gold" and self.grader is not None:
            raise InputError(f"--grader {self.grader}: gold labels are taken from the log; leave out one of the two")


def grade_record(
    record: Record, outputs: Mapping[str, Output], options: GradeOptions | None = None
) -> Grades | Refusal:
    """Every tier's grade by one method, or the reason and a sentence why there is none.

    outputs: by tier, cheapest first; the last tier is the frontier. Raises RecursionError for what is nested too
    deeply to be compared, InputError as the judge does, and MissingExtraError when a grader's package is missing.
    """
    options = options or GradeOptions()
    if options.labels == "gold":
        return _grade_gold(outputs)
    bad = find_bad_feedback(outputs)
    if bad:
        return bad
    if all(output.text is None and output.tool_calls is None for output in outputs.values()):
        return "no_output_to_grade", "no tier has text or tool calls; if the records hold scores, use --labels gold"
    if options.grader is None:
        found = _pick(record, outputs, options)
    elif options.grader in METHODS:
        found = _METHODS[options.grader](record, outputs, options)
    else:
        found = _by_kind(record, outputs, options, options.grader)
    if found is not None:
        return _with_format(record, outputs, found)
    top = list(outputs)[-1]
    if options.grader == "judge" and grade_frontier(outputs[top]) is not None:
        return "not_judged", "the judge gave no verdict on it, or was not asked; the line about the judge says why"
    if options.grader is not None:
        return "grader_does_not_fit", f"its answers cannot be graded by {options.grader}; leave --grader out to pick"
    return "no_frontier_output", f"no usable reference, and {top} has no text, no calls or an error"


def _pick(record: Record, outputs: Mapping[str, Output], options: GradeOptions) -> Grades | None:
    """The first of reference, feedback and agreement that grades; a judge, where there is one, if that is unsure."""
    found = _by_reference(record, outputs, options)
    if found is None or _certainty(found) < UNSETTLED:
        found = _by_feedback(record, outputs, options) or found or _by_agreement(record, outputs, options)
    if options.judge is not None and (found is None or _certainty(found) < UNSETTLED):
        return _by_judge(record, outputs, options) or found
    return found


def _certainty(grades: Grades) -> float:
    return min(grade.certainty for grade in grades.values())


def _by_reference(
    record: Record, outputs: Mapping[str, Output], options: GradeOptions, kind: str | None = None
) -> Grades | None:
    grades: Grades = {}
    for tier, output in outputs.items():
        grade = grade_by_reference(record, output, kind=kind, run_code=options.run_code)
        if grade is None:
            return None
        wanted = reference_text(record) if grade.grader in FREE_TEXT and options.embed else None
        grades[tier] = _by_meaning(record, grade, output, wanted, options)
    return grades


def _by_agreement(
    record: Record, outputs: Mapping[str, Output], options: GradeOptions, kind: str | None = None
) -> Grades | None:
    *lower, top = outputs
    best = grade_frontier(outputs[top])
    agreed = {tier: _agreement(record, outputs[tier], outputs[top], options, kind) for tier in lower} if best else {}
    grades = {tier: grade for tier, grade in agreed.items() if grade is not None}
    return {**grades, top: best} if best and len(grades) == len(lower) else None


def _agreement(
    record: Record, output: Output, top: Output, options: GradeOptions, kind: str | None = None
) -> Grade | None:
    if grade_frontier(top) is None:
        return None
    grade = grade_by_agreement(record, output, top, kind=kind)
    return None if grade is None else _by_meaning(record, grade, output, top.text, options)


def _by_meaning(record: Record, grade: Grade, output: Output, wanted: str | None, options: GradeOptions) -> Grade:
    """``grade``, or for free text a grade by embeddings where they are to be used."""
    if grade.grader not in FREE_TEXT or options.embed is None or not wanted or output.error or not output.text:
        return grade
    method = grade.grader.partition(":")[0]
    return grade_by_meaning(output.text, wanted, question_of(record), options.embed, method=method)


def _by_feedback(record: Record, outputs: Mapping[str, Output], options: GradeOptions) -> Grades | None:
    top = list(outputs.values())[-1]
    return grade_by_feedback(outputs, lambda output: _agreement(record, output, top, options))


def _by_judge(record: Record, outputs: Mapping[str, Output], options: GradeOptions) -> Grades | None:
    *lower, top = outputs
    if options.judge is None or grade_frontier(outputs[top]) is None:
        return None
    grades: Grades = {}
    for tier in lower:
        grade = options.judge.grade(record, outputs[tier], outputs[top])
        if grade is None:
            return None
        grades[tier] = grade
    return {**grades, top: give("agreement:frontier", 1.0)}


def _by_kind(record: Record, outputs: Mapping[str, Output], options: GradeOptions, kind: str) -> Grades | None:
    return _by_reference(record, outputs, options, kind) or _by_agreement(record, outputs, options, kind)


def _with_format(record: Record, outputs: Mapping[str, Output], grades: Grades) -> Grades:
    """``grades``, but 0 for text that is not the JSON its request asked for: whoever asked could not have used it.

    What agreed or not with a frontier's output that could not be used is then unknown: it has kept the format at least.
    """
    met = {
        tier: meets_format(output.text or "", record.response_format) if not output.tool_calls else None
        for tier, output in outputs.items()
    }
    broken = [tier for tier, is_met in met.items() if is_met is False]
    if not broken:
        return grades
    top = list(outputs)[-1]
    graded = {}
    for tier, grade in grades.items():
        if tier in broken:
            graded[tier] = give("reference:schema", 0.0)
        elif top in broken and grade.grader.startswith("agreement:"):
            graded[tier] = Grade(1.0, CERTAINTY["reference:schema"] / 2, "reference:schema")
        else:
            graded[tier] = grade
    return graded


def _grade_gold(outputs: Mapping[str, Output]) -> Grades | Refusal:
    grades = {}
    for tier, output in outputs.items():
        if output.score is None:
            return "no_gold_score", f"{tier} has no score"
        if not 0.0 <= output.score <= 1.0:
            return "gold_score_out_of_range", f"{tier}'s score is {output.score}; it must lie in [0, 1]"
        grades[tier] = Grade(output.score, CERTAINTY["gold"], "gold")
    return grades


_METHODS: Final[dict[str, Callable[[Record, Mapping[str, Output], GradeOptions], Grades | None]]] = {
    "reference": _by_reference,
    "feedback": _by_feedback,
    "judge": _by_judge,
    "agreement": _by_agreement,
}

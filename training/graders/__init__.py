"""Graders: what an output is worth, in [0, 1], and how far that is to be trusted.

One file per kind of answer; ``choose`` picks among them, by the request and what was asked of the model. Only
``--labels gold`` reads ``Output.score``.
"""

from learned_router.training.graders.agreement import grade_by_agreement, grade_frontier
from learned_router.training.graders.choose import GRADERS, GradeOptions, grade_record
from learned_router.training.graders.grade import Grade
from learned_router.training.graders.reference import grade_by_reference

__all__ = [
    "GRADERS",
    "Grade",
    "GradeOptions",
    "grade_by_agreement",
    "grade_by_reference",
    "grade_frontier",
    "grade_record",
]

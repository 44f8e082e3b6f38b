"""Graders: what an output is worth, in [0, 1], by the record's reference or by agreement with the frontier's output.

One file per kind of answer; ``reference`` and ``agreement`` pick among them. None of them reads ``Output.score``.
"""

from learned_router.training.graders.agreement import grade_by_agreement, grade_frontier
from learned_router.training.graders.grade import Grade
from learned_router.training.graders.reference import grade_by_reference

__all__ = ["Grade", "grade_by_agreement", "grade_by_reference", "grade_frontier"]

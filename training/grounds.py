"""What promises rest on: the calibration labels, what is predicted of them, and who graded them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from learned_router.certificate import Bound, Grading
from learned_router.errors import LabelError
from learned_router.policy import Tier
from learned_router.training.costs import CostModel
from learned_router.training.learned import Learned
from learned_router.training.records import Label
from learned_router.training.thresholds import Answers

# Proof rows that a calibration split of a size gives, see ``split.tuning_part``: all but 40, then all but a quarter, then
# all but 500
FEW, MANY = 120, 1_500


class Grounds(msgspec.Struct, frozen=True):
    """calibration: labels, in the order of ``learned``; tuning: bool (n,), which of them chose something. train: labels
    that trained. judged: what the gate makes of calibration answers, None without one. labels_count: of all splits.
    """

    calibration: Sequence[Label]
    train: Sequence[Label]
    tiers: Sequence[Tier]
    learned: Learned
    tuning: np.ndarray
    judged: Answers | None
    costs: CostModel
    labels_count: int
    bound_to: Bound

    @property
    def names(self) -> list[str]:
        """Of the tiers, cheapest first."""
        return [tier.name for tier in self.tiers]

    @property
    def grading(self) -> Grading:
        labels = self.calibration
        return Grading(
            graders=dict(Counter(label.grader for label in labels).most_common()),
            uncertain=sum(label.certainty < 1.0 for label in labels) / max(len(labels), 1),
            reviewed=sum(label.audit is not None for label in labels),
        )

    @property
    def chance(self) -> float:
        """With which an uncertain calibration label was drawn for a person; 1 where none was.

        Raises LabelError where it is not one chance for all, see ``proof_rows.review_chance``.
        """
        chances = sorted({label.audit.chance for label in self.calibration if label.audit})
        if len(chances) > 1:
            raise LabelError(
                f"labels were audited with chances from {chances[0]} to {chances[-1]}; a proof needs one chance for all: "
                "leave the audits of one of the sources out, or audit again with the same"
            )
        return chances[0] if chances else 1.0

    def labels_for(self, proof_rows: float) -> float:
        """How many labels of all splits bring so many proof rows."""
        if proof_rows <= FEW:
            calibration = proof_rows + 40
        elif proof_rows <= MANY:
            calibration = proof_rows / 0.75
        else:
            calibration = proof_rows + 500
        return calibration * self.labels_count / max(len(self.calibration), 1)

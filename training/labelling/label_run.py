"""What labelling made of a log, as figures, and what is to be warned of. Knows counts; grades and shows nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from learned_router.training.labelling.audit import AuditFindings
from learned_router.training.labelling.tally import Doubtful, FourCells, TierCost
from learned_router.training.records import Label, Skipped

ENOUGH_LABELS: Final = 50
UNEVEN_SHARE: Final = 0.1  # a side this far from its share is worth a warning: groups are few or large


class LabelRun(msgspec.Struct, frozen=True):
    """What labelling made of the records: what was left out and why, and what the labels say.

    made: how many labels. labels: the labels themselves after ``label``; empty after ``label_files``, which has written
    them. tasks, steps: who was right, most labels first; total: the same over all. uncertain: share of the labels whose
    certainty is below ``UNCERTAIN``. sides: labels by side of the split. duplicates: ``exact`` and ``near`` repetitions,
    ``groups`` of them, and how many requests the ``largest`` holds. costs: by tier. doubtful: the most doubtful labels;
    to_review: those worth a person's verdict, by turns of each grader. reviewed: labels that hold a person's verdict
    without having been drawn. unknown_reviews: ids of verdicts that met no record. to_audit: drawn labels without a
    verdict; audit: what came of the draw, None where there was none. seconds: wall clock, reading included.
    """

    made: int
    labels: list[Label]
    tiers: dict[str, str]
    skipped: Skipped
    read: int
    seconds: float
    tasks: list[FourCells]
    steps: list[FourCells]
    total: FourCells
    graders: dict[str, int]
    sides: dict[str, int]
    uncertain: float
    duplicates: dict[str, int]
    costs: dict[str, TierCost]
    doubtful: list[Doubtful]
    to_review: list[Doubtful]
    reviewed: int
    unknown_reviews: list[str]
    to_audit: list[Doubtful]
    audit: AuditFindings | None
    warnings: list[str]

    @property
    def records_per_second(self) -> float:
        return self.read / self.seconds if self.seconds > 0 else 0.0


def describe_skipped(skipped: Skipped) -> str:
    """``"3 × missing_tier (first: record a, record b)"`` and so on, in one line."""
    reasons = skipped.to_dict()
    if not reasons:
        return "nothing was read"
    return "; ".join(
        f"{item['count']} × {reason} (first: {', '.join(item['first'])})" for reason, item in reasons.items()
    )


def find_warnings(
    total: FourCells, sides: Mapping[str, int], fractions: Sequence[float], skipped: Skipped
) -> Iterator[str]:
    """What a person should know before training on these labels."""
    if skipped.counts["no_output_to_grade"]:
        yield "some records hold no text and no tool calls; if they hold scores, label them with --labels gold"
    if total.total < ENOUGH_LABELS:
        yield f"{total.total} labels; training needs {ENOUGH_LABELS} or more"
    if total.total and not total.only_frontier + total.only_small:
        yield "the smallest and the top tier are right on the same requests; there is no difference to learn"
    for (side, count), share in zip(sides.items(), fractions, strict=True):
        found = count / total.total if total.total else share
        if total.total >= ENOUGH_LABELS and abs(found - share) > UNEVEN_SHARE:
            yield f"{side} holds {found:.0%} of the labels, not {share:.0%}: sessions or questions are few or large"

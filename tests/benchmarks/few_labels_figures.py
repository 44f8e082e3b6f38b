"""Figures of the learning curves from scores: APGR by number of labels, and what few of ours are worth of a rival's many.

Knows scores and outcomes; knows nothing of how the scores came about, of files or of pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from bench_figures import RESAMPLES, PairedApgr, pair_apgr
from bench_methods import Method
from bench_pairs import Pair
from bench_store import Run

from learned_router.training.baselines import Rows
from learned_router.training.evaluation import Estimate

# The reach: ours from so few labels, no worse than the best frozen baseline from the most labels measured
FEW = 300
# Our lines, each judged by itself. The plain encoder has learned from no log at all, so it leaves out every log
OURS, PLAIN = "ours_pretrained", "ours_plain"
OUR_LINES = {OURS: "ours, pretrained on other logs", PLAIN: "ours, plain encoder"}


class LineFigures(msgspec.Struct, frozen=True):
    """One method from one number of labels: APGR, mean over draws of the labels. by_draw: of each draw."""

    name: str
    shown: str
    kind: str
    draws: list[int]
    apgr: Estimate
    by_draw: list[float | None]


class PointFigures(msgspec.Struct, frozen=True):
    """All methods from one number of labels. calibration: labels of that split given beside them."""

    labels: int
    calibration: int
    lines: list[LineFigures]


class Reach(msgspec.Struct, frozen=True):
    """APGR of one of our lines from ``labels`` labels minus the best frozen baseline's from ``rival_labels``, paired."""

    ours: str
    labels: int
    rival: str
    rival_labels: int
    difference: Estimate

    @property
    def is_met(self) -> bool:
        return self.difference.value is not None and self.difference.value >= 0


class CurveFigures(msgspec.Struct, frozen=True):
    """One pair. left_out: logs that the pretrained encoder has not learned from; pretrained_on: requests it has, by log.

    pretrained_on is empty where there is no such encoder. test, groups: requests of the whole test split and their groups.
    reaches: of those of our lines that were measured, as the baselines were.
    """

    name: str
    small: str
    frontier: str
    left_out: list[str]
    pretrained_on: dict[str, int]
    test: int
    groups: int
    resamples: int
    points: list[PointFigures]
    reaches: list[Reach]

    @property
    def main(self) -> str:
        """Which line stands for ours: on the pretrained encoder, or where that was not measured on the plain one."""
        return OURS if any(line.name == OURS for point in self.points for line in point.lines) else PLAIN

    def reach(self, ours: str) -> Reach | None:
        """That of one of our lines; None where it was not measured."""
        return next((reach for reach in self.reaches if reach.ours == ours), None)


class FewLabels(msgspec.Struct, frozen=True):
    """All that was measured. recipe: that of ours. measured: date of the last run."""

    measured: str
    recipe: str
    pairs: list[CurveFigures]


# runs by number of labels, method and draw
Runs = Mapping[int, Mapping[str, Mapping[int, Run]]]


def measure_curves(
    pair: Pair,
    test: Rows,
    methods: Mapping[str, Method],
    runs: Runs,
    *,
    calibration: Mapping[int, int],
    left_out: Sequence[str],
    pretrained_on: Mapping[str, int],
    resamples: int = RESAMPLES,
) -> CurveFigures:
    """Figures of one pair; methods without a run are left out. calibration: labels of that split by every number of labels
    that the curve is to have, measured or not.

    All numbers of labels, methods and draws are measured on the same resamples of whole groups of the test split. A
    resample's figure is the mean over draws, so the intervals are of the test questions, not of the labels drawn.
    """
    scores = {
        (count, name, draw): run.scored.score
        for count, by_name in sorted(runs.items())
        for name in methods
        for draw, run in sorted(by_name.get(name, {}).items())
        if run.scored
    }
    by_line: dict[tuple[int, str], list[int]] = {}
    for count, name, draw in scores:
        by_line.setdefault((count, name), []).append(draw)
    paired = pair_apgr(
        test, {line: [scores[*line, draw] for draw in draws] for line, draws in by_line.items()}, resamples=resamples
    )
    each = pair_apgr(test, {key: [score] for key, score in scores.items()}, resamples=0)
    points = [
        PointFigures(
            labels=count,
            calibration=calibration[count],
            lines=[
                LineFigures(
                    name=name,
                    shown=methods[name].shown,
                    kind=methods[name].kind,
                    draws=draws,
                    apgr=paired.estimate((of, name)),
                    by_draw=[each.estimate((of, name, draw)).value for draw in draws],
                )
                for (of, name), draws in by_line.items()
                if of == count
            ],
        )
        for count in dict.fromkeys(count for count, _ in by_line)
    ]
    return CurveFigures(
        name=pair.name,
        small=pair.small,
        frontier=pair.frontier,
        left_out=list(left_out),
        pretrained_on=dict(pretrained_on),
        test=len(test.small),
        groups=len(np.unique(test.group)),
        resamples=resamples,
        points=points,
        reaches=find_reaches(paired, methods, max(calibration)),
    )


def find_reaches(paired: PairedApgr, methods: Mapping[str, Method], most: int) -> list[Reach]:
    """Each of our lines from ``FEW`` labels beside the best baseline from ``most``, where both were measured.

    paired: by number of labels and method's name.
    """
    values: dict[tuple[int, str], float] = {line: value for line, value in paired.values.items() if not np.isnan(value)}
    rivals = [(count, name) for count, name in values if count == most and methods[name].kind == "baseline"]
    if not rivals:
        return []
    best = max(rivals, key=values.__getitem__)
    return [
        Reach(ours, FEW, best[1], most, paired.difference((FEW, ours), best))
        for ours in OUR_LINES
        if (FEW, ours) in values
    ]

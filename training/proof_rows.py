"""Calibration calls as a proof takes them: rows, paths of thresholds through them, and what each unit keeps above a target.

Knows predictions, grades and thresholds as arrays; tests nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from learned_router.errors import InputError
from learned_router.policy import NEVER_DOWN
from learned_router.training.thresholds import Answers, follow, trace_path, trace_thresholds


class Rows(msgspec.Struct, frozen=True):
    """Calibration calls, n of them, that know the quality of every tier.

    predicted: by the router, (n, n_tiers). known: bool (n,), whether a call may go down at all: like the training labels,
    not empty, no changed tool. answers: what the gate makes of them, None without one. truth: quality, (n, n_tiers), a
    person's where one was asked. graded: the grader's, the same where nobody was. reviewed: chance with which a person was
    asked, (n,), NaN where none was; one chance for all rows, each asked or not regardless of the others. weight: (n,). unit:
    int (n,), the same for calls of one session, question or group of duplicates. step: (n,), as the runtime would see it.
    blocked: bool (n, n_tiers), tiers that cannot serve the request; None where all can.
    """

    predicted: np.ndarray
    known: np.ndarray
    answers: Answers | None
    truth: np.ndarray
    graded: np.ndarray
    reviewed: np.ndarray
    weight: np.ndarray
    unit: np.ndarray
    step: np.ndarray
    blocked: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, rows: np.ndarray) -> Rows:
        """Some of the rows, by a mask or by their places."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("answers", "blocked")}
        return Rows(
            **{name: values[rows] for name, values in fields.items()},
            answers=None if self.answers is None else self.answers.take(rows),
            blocked=None if self.blocked is None else self.blocked[rows],
        )

    def follow(self, route: float, accept: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the tier called first and of the tier whose answer is used, each (n,), as the runtime decides."""
        return follow(
            self.predicted,
            self.known,
            route,
            self.answers,
            NEVER_DOWN if accept is None else accept,
            self.blocked,
        )

    def without_gate(self) -> Rows:
        return msgspec.structs.replace(self, answers=None)


def unit_limit(weight: np.ndarray, unit: np.ndarray) -> float:
    """What a unit may weigh at most, from training or tuning rows: beyond five times the mean, it counts as that much.

    A bet must survive the largest unit that could come, so one session of a thousand calls would make all bets small.
    """
    totals = np.bincount(np.unique(unit, return_inverse=True)[1], weights=weight)
    return float(min(totals.max(), 5.0 * totals.mean()))


def draw_path(rows: Rows, costs: np.ndarray) -> list[tuple[float, float | None]]:
    """Thresholds of router and gate, dearest first; no label is read."""
    if rows.answers is None:
        return [(route, None) for route in trace_thresholds(rows.predicted, rows.known)]
    there = rows.answers.there
    some = rows.take(there)
    assert some.answers is not None
    return [*trace_path(some.predicted, some.answers, some.weight, some.known, costs)]


def follow_path(rows: Rows, path: Sequence[tuple[float, float | None]]) -> np.ndarray:
    """Index of the tier whose answer is used, int (n, points)."""
    used = np.empty((len(rows), len(path)), dtype=np.int8)
    for place, (route, accept) in enumerate(path):
        used[:, place] = rows.follow(route, accept)[1]
    return used


def review_chance(*parts: Rows) -> float:
    """The chance with which a person was asked about a call of any part; 1 where nobody was asked about any.

    Of all parts together: a slice in which nobody happened to be asked is as uncertain as the others.
    Raises InputError where it is not one chance: how low a margin can be would be known only from the calls that happened
    to be reviewed, and where the rare reviews did not happen, bets would be too bold.
    """
    chances = np.concatenate([rows.reviewed[~np.isnan(rows.reviewed)] for rows in parts])
    if not len(chances):
        return 1.0
    if not np.allclose(chances, chances[0]):
        raise InputError(
            f"labels were audited with chances from {chances.min()} to {chances.max()}; a proof needs one chance for all: "
            "leave the audits of one of the sources out, or audit again with the same"
        )
    return float(chances[0])


def unit_margins(
    rows: Rows, used: np.ndarray, target: float, limit: float, chance: float, seed: int
) -> tuple[np.ndarray, float]:
    """What each unit keeps above the target under each point, (units, points), in a random order; and how low one can be.

    A call's margin is quality used - target · quality of the top tier, in [-target, 1]; its mean is above zero exactly when
    the target is kept. A unit is the sum of its calls' weighted margins over ``limit``, made smaller where it weighs more.
    A call reviewed with chance p counts (margin by person - margin by grader) / p more, all others by their grade alone:
    the mean is that of a person's margins, whatever the grader's error, and only the spread suffers from it.

    chance: p, of all calls, see ``review_chance``.

    Source of the correction: prediction-powered inference (Angelopoulos et al. 2023), as an e-value (Csillag et al. 2025).
    """
    places = np.arange(len(rows))[:, None]
    margins = rows.graded[places, used] - target * rows.graded[:, -1:]
    reviewed = ~np.isnan(rows.reviewed)
    true = rows.truth[places[reviewed], used[reviewed]] - target * rows.truth[reviewed, -1:]
    margins[reviewed] += (true - margins[reviewed]) / chance
    # one by a person at its least, one by the grader at its most
    low = target / chance + (1.0 / chance - 1.0)
    names, place = np.unique(rows.unit, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[place]
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(place[order]) > 0]) if len(order) else np.zeros(0, dtype=int)
    sums = np.add.reduceat((margins * rows.weight[:, None])[order], starts, axis=0) if len(order) else margins
    totals = np.add.reduceat(rows.weight[order], starts) if len(order) else rows.weight
    return sums / np.maximum(totals, limit)[:, None], low


def count_units(rows: Rows) -> int:
    return len(np.unique(rows.unit))

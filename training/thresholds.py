"""Choose each mode's threshold on the calibration split by a plain point estimate. Knows arrays; promises nothing.

A certificate, with its probability, is another room's work; until then an artifact's modes say ``certified: false``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from learned_router.policy import choose_tier

# Below every predicted regret, the least of which is -1: everything goes to the top tier.
NEVER_DOWN = -2.0


class OperatingPoint(NamedTuple):
    """threshold: regret allowed. kept: mean quality over the top tier's. shares: of calls, by tier."""

    threshold: float
    kept: float
    shares: tuple[float, ...]


def choose_threshold(
    predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray, target: float, known: np.ndarray
) -> OperatingPoint:
    """The largest threshold up to which the estimate of the quality kept never falls below ``target``.

    predicted, truth: (n, n_tiers), cheapest first. weight: (n,). known: bool (n,), False for requests that go to the
    top tier whatever the threshold (out of distribution). A threshold lies midway between two predicted regrets.
    """
    regrets = np.where(known, _least_threshold(predicted), np.inf)
    steps = np.unique(regrets[np.isfinite(regrets)])
    best = operating_point(predicted, truth, weight, NEVER_DOWN, known)
    if not best.kept >= target:  # not a number: the top tier is never right, so there is nothing to keep
        return best
    edges = [*(steps[:-1] + steps[1:]) / 2, 1.0] if len(steps) else []
    # at most 200 candidates: the estimate moves little between neighbours, and each costs a pass over the rows
    for threshold in edges[:: max(1, len(edges) // 200)]:
        point = operating_point(predicted, truth, weight, float(threshold), known)
        if point.kept < target:
            break
        best = point
    return best


def operating_point(
    predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray, threshold: float, known: np.ndarray
) -> OperatingPoint:
    """What the decision rule would do with a threshold: quality kept and share per tier, weighted."""
    top = predicted.shape[1] - 1
    chosen = np.array(
        [
            choose_tier(row.tolist(), threshold).index if row_known else top
            for row, row_known in zip(predicted, known, strict=True)
        ]
    )
    routed = truth[np.arange(len(truth)), chosen]
    at_top = float((truth[:, -1] * weight).sum())
    kept = float((routed * weight).sum()) / at_top if at_top > 0 else float("nan")
    shares = tuple(float(weight[chosen == tier].sum() / weight.sum()) for tier in range(top + 1))
    return OperatingPoint(threshold, kept, shares)


def _least_threshold(predicted: np.ndarray) -> np.ndarray:
    """For each row the smallest threshold at which a tier below the top is taken: (n,)."""
    least: np.ndarray = (predicted[:, -1:] - predicted[:, :-1]).min(axis=1)
    return least

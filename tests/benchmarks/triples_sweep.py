"""Quality against cost when calls are spread over any number of tiers by their predicted qualities.

Knows arrays; knows nothing of labels, methods or models. ``weight`` is as everywhere in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learned_router.training import metrics
from learned_router.training.baselines import Floats
from learned_router.training.metrics import NO_GAP, Curve


def cost_shares(prices: Floats) -> Floats:
    """What a call to each tier costs, (tiers,), on a scale from 0 for the cheapest to 1 for the dearest.

    prices: (tiers,), of a call, which has as many tokens whichever tier answers it. Raises ValueError when they do not
    rise from tier to tier.
    """
    if not (np.diff(prices) > 0).all():
        raise ValueError(f"prices are {prices.tolist()}; each tier must cost more than the one below it")
    return np.asarray((prices - prices[0]) / (prices[-1] - prices[0]))


def trace_sweep(
    predicted: Floats, quality: Floats, cost: Floats, weight: Floats | None = None, tiers: Sequence[int] | None = None
) -> Curve:
    """The curve of sending each row to the tier of highest predicted quality - λ · cost, for every λ.

    predicted, quality: (n, tiers), cheapest first; quality is what is found. cost: (tiers,), rising from 0 to 1.
    tiers: indexes of those that may be taken, all by default. ``share`` of the curve is the mean cost of a call and
    ``base`` the cheapest tier's quality.
    A large λ takes the cheapest tier, 0 the best predicted whatever it costs, and below 0 the curve goes on to the
    dearest tier, so that it ends there however wrong the predictions are. With two tiers it is ``metrics.trace_curve``
    of the difference. Where the cheapest tier may not be taken, the curve begins as a random mix of it and the cheapest
    that may. Rows that move up at the same λ form one straight piece.
    Raises ValueError when a prediction is not finite.
    """
    if not np.isfinite(predicted).all():
        raise ValueError("a predicted quality is not finite; every row needs a number for each tier")
    taken = np.arange(len(cost)) if tiers is None else np.array(tiers)
    row, lower, upper, slope = _steps_up(predicted[:, taken], cost[taken])
    lower, upper = taken[lower], taken[upper]
    if taken[0] > 0:
        count = len(predicted)
        row = np.concatenate((np.arange(count), row))
        lower = np.concatenate((np.zeros(count, dtype=np.intp), lower))
        upper = np.concatenate((np.full(count, taken[0]), upper))
        slope = np.concatenate((np.full(count, np.inf), slope))

    order = np.argsort(-slope, kind="stable")
    row, lower, upper, slope = row[order], lower[order], upper[order], slope[order]
    ends = np.append(np.flatnonzero(slope[1:] != slope[:-1]), len(slope) - 1) if len(slope) else row
    weights = np.ones(len(predicted)) if weight is None else weight
    total = weights.sum(axis=-1, keepdims=True)
    moved = weights[..., row]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.cumsum(moved * (cost[upper] - cost[lower]), axis=-1)[..., ends] / total
        gain = np.cumsum(moved * (quality[row, upper] - quality[row, lower]), axis=-1)[..., ends] / total
        base = (weights @ quality[:, 0]) / total[..., 0]
    start = np.zeros((*share.shape[:-1], 1))
    return Curve(np.concatenate((start, share), axis=-1), np.concatenate((start, gain), axis=-1), np.asarray(base))


def _steps_up(predicted: Floats, cost: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Floats]:
    """Moves from tier to tier as λ falls, row by row: row, tier left, tier taken, λ at which it happens; each (m,).

    They are the pieces of the concave hull of a row's predicted quality over cost; a tier below that hull is passed over.
    """
    count, tiers = predicted.shape
    hull = metrics.concave_hull(
        Curve(np.tile(cost, (count, 1)), predicted - predicted[:, :1], np.ascontiguousarray(predicted[:, 0]))
    )
    lower = np.searchsorted(cost, hull.start)
    # a piece ends where the row's next one begins, the last one at the dearest tier
    is_last = np.append(hull.row[1:] != hull.row[:-1], True)
    upper = np.where(is_last, tiers - 1, np.append(lower[1:], 0))
    slope = (predicted[hull.row, upper] - predicted[hull.row, lower]) / (cost[upper] - cost[lower])
    return hull.row, lower, upper, slope


def least_cost(curve: Curve, wanted: Any) -> Floats:
    """Least cost at which the non-decreasing concave hull of a curve reaches quality ``wanted``, (…); nan if nowhere.

    wanted: (…), one a curve.
    """
    row, start, width, rise = metrics.concave_hull(curve)
    needed = np.ravel(wanted - curve.base)
    after = np.cumsum(rise)
    firsts = np.searchsorted(row, np.arange(len(needed)))
    before = after - rise
    missing = needed[row] - (before - np.append(before, 0.0)[firsts][row])
    reaches = (rise > 0) & (missing <= rise + NO_GAP)
    least = np.where(needed <= 0, 0.0, np.inf)
    place = start[reaches] + width[reaches] * np.clip(missing[reaches] / rise[reaches], 0, 1)
    np.minimum.at(least, row[reaches], place)
    return np.where(np.isfinite(least), least, np.nan).reshape(np.shape(curve.base))


def measure_sweep(
    predicted: Floats,
    quality: Floats,
    prices: Floats,
    weight: Floats | None = None,
    *,
    targets: Sequence[float],
    tiers: Sequence[int] | None = None,
) -> Floats:
    """AIQ over cost, then for each target the largest share of the frontier's bill that is saved, (…, 1 + targets).

    prices: (tiers,), of a call. A target is a share of the frontier's mean quality; a saving of 0 is what is left
    where the tiers that may be taken cannot keep it. Otherwise as ``trace_sweep``.
    """
    curve = trace_sweep(predicted, quality, cost_shares(prices), weight, tiers)
    most = (prices[-1] - prices[0]) / prices[-1]  # always-cheapest still costs something
    weights = np.ones(len(quality)) if weight is None else weight
    with np.errstate(invalid="ignore", divide="ignore"):
        frontier = (weights @ quality[:, -1]) / weights.sum(axis=-1)
    costs = [least_cost(curve, target * frontier) for target in targets]
    saved = [np.where(np.isnan(cost), 0.0, (1 - cost) * most) for cost in costs]
    return np.stack((metrics.aiq(curve), *saved), axis=-1)

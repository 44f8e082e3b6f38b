"""What a router is worth, as pure functions on arrays: curve, APGR, CPT, AIQ, ECE, quality kept, bootstrap.

Knows numbers only; knows nothing of labels, routers, models or files.

Everywhere, ``weight`` is float (n,), or (resamples, n) to get one value a resample; None counts each row once.
A figure that does not exist (no row, no weight, no gap between the tiers) is nan, never an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Below this a difference of two mean qualities is rounding, not a gap: dividing by it would invent a figure.
NO_GAP: Final = 1e-9

# Weights held at once while bootstrapping: 8 MB of float64, which stays near the cache whatever the number of rows.
_CHUNK: Final = 1_000_000

ORDER_FIGURES: Final = ("apgr", "cpt50", "cpt80", "aiq")

# Resamples without a gap that an interval survives. Beyond, its 2.5 % ends would be made of what was left out.
_UNDEFINED_ALLOWED: Final = 0.01


class Curve(NamedTuple):
    """Quality against share of top-tier calls, rows sent to the top tier in the order of a score, neediest first.

    share: (…, m), from 0 to 1. gain: (…, m), mean quality above always-small at that share, from 0.
    base: (…), mean quality of always-small. Between points the curve is a straight line. The leading axis is the
    resample, absent for weights of one axis.
    """

    share: Floats
    gain: Floats
    base: Floats

    @property
    def quality(self) -> Floats:
        """Mean quality at each share, (…, m)."""
        return self.base[..., None] + self.gain

    @property
    def gap(self) -> Floats:
        """Mean quality of always-top minus always-small, (…); nan where there is none to recover (≤ 0)."""
        gap = self.gain[..., -1]
        return np.where(gap > NO_GAP, gap, np.nan)


def trace_curve(score: ArrayLike, small: ArrayLike, top: ArrayLike, weight: ArrayLike | None = None) -> Curve:
    """Quality–cost curve of a score.

    score: (n,), need of the top tier, higher = sent there earlier. small, top: (n,), the two tiers' quality in [0, 1].
    Rows of equal score form one straight piece, the expectation over their orders, so the order of rows never matters.
    Raises ValueError when the lengths differ or a score is not finite.
    """
    scores, low, high = (np.asarray(values, dtype=np.float64) for values in (score, small, top))
    weights = _weights(weight, len(scores))
    if not len(scores) == len(low) == len(high) == weights.shape[-1]:
        lengths = f"{len(scores)}, {len(low)}, {len(high)}, {weights.shape[-1]}"
        raise ValueError(f"score, small, top and weight have {lengths} rows; they must have the same number")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite; every row needs a number to be ordered by")
    order = np.argsort(-scores, kind="stable")
    ordered = weights[..., order]
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    total = ordered.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.cumsum(ordered, axis=-1) / total
        gain = np.cumsum(ordered * (high - low)[order], axis=-1) / total
        base = (ordered @ low[order]) / total[..., 0]
    ends = np.append(starts[1:], len(scores)) - 1 if len(scores) else starts
    return Curve(_from_zero(share[..., ends]), _from_zero(gain[..., ends]), np.asarray(base))


def apgr(curve: Curve) -> Any:
    """Average performance gap recovered: PGR(share) = gain / gap, averaged over shares from 0 to 1.

    The exact area under the piecewise linear curve. RouteLLM states a mean over ten equally spaced shares, and its code
    integrates over a grid by trapezoids; the area is the limit of both, needs no choice of grid, and gives a random
    order exactly 0.5. nan where there is no gap. Source: RouteLLM (Ong et al. 2024), section 3.
    """
    return _plain(mean_gain(curve) / curve.gap)


def mean_gain(curve: Curve) -> Floats:
    """Mean quality above always-small over shares from 0 to 1, (…): the exact area under the curve."""
    area: Floats = np.sum(np.diff(curve.share) * (curve.gain[..., 1:] + curve.gain[..., :-1]), axis=-1) / 2
    return area


def cpt(curve: Curve, fraction: float) -> Any:
    """Call-performance threshold: least share of top-tier calls at which PGR first reaches ``fraction``, in [0, 1].

    nan where there is no gap. Source: RouteLLM (Ong et al. 2024), section 3. Raises ValueError outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}; it must lie in (0, 1]")
    share, gain, gap = np.atleast_2d(curve.share), np.atleast_2d(curve.gain), np.atleast_1d(curve.gap)
    wanted = np.where(np.isnan(gap), np.inf, fraction * gap)
    # the last point is the gap itself, but for rounding in the sums
    reached = gain >= wanted[:, None] - NO_GAP
    after = np.clip(reached.argmax(axis=1), min(1, gain.shape[1] - 1), None)
    rows = np.arange(len(after))
    rise = gain[rows, after] - gain[rows, after - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((wanted - gain[rows, after - 1]) / rise, 0, 1)
    least = share[rows, after - 1] + part * (share[rows, after] - share[rows, after - 1])
    return _plain(np.where(np.isnan(gap), np.nan, least).reshape(curve.gap.shape))


def aiq(curve: Curve) -> Any:
    """Average improvement in quality: mean height of the non-decreasing concave hull of quality over cost.

    Cost is the share of top-tier calls, so always-small costs 0 and always-top 1. In quality units, not relative to the
    gap, and defined without one. The hull mixes points of the curve at random, hence it never lies below it.
    Source: RouterBench (Hu et al. 2024), section 3.
    """
    row, start, width, rise = concave_hull(curve)
    # what a piece gains holds for every share to its right, and for half of its own
    area = np.bincount(row, np.maximum(rise, 0) * (1 - start - width / 2), minlength=curve.base.size)
    return _plain(curve.base + area.reshape(curve.base.shape))


class Pieces(NamedTuple):
    """Straight pieces of many hulls laid end to end, each (m,). row: which curve a piece is of. start, width: of share."""

    row: NDArray[np.intp]
    start: Floats
    width: Floats
    rise: Floats


def concave_hull(curve: Curve) -> Pieces:
    """The least concave curve that lies nowhere below each curve, from left to right; it may fall at its end."""
    share, gain = np.atleast_2d(curve.share), np.atleast_2d(curve.gain)
    width, rise = np.diff(share), np.diff(gain)
    row, column = np.nonzero(width > 0)
    return _pool_rising_slopes(Pieces(row, share[row, column], width[row, column], rise[row, column]))


def measure_order(score: ArrayLike, small: ArrayLike, top: ArrayLike, weight: ArrayLike | None = None) -> Floats:
    """The figures named by ``ORDER_FIGURES`` of sending rows up in the order of a score, (…, 4); as ``trace_curve``."""
    curve = trace_curve(score, small, top, weight)
    return np.stack((apgr(curve), cpt(curve, 0.5), cpt(curve, 0.8), aiq(curve)), axis=-1)


def _pool_rising_slopes(pieces: Pieces) -> Pieces:
    """Pieces of the least concave majorants, from those of the curves.

    Pool-adjacent-violators on all curves at once: neighbours whose slope rises are pooled, run by run, until none is
    left. Any order of pooling gives the same hull, so this takes a handful of passes instead of a Python loop a point.
    """
    row, start, width, rise = pieces
    while len(width):
        slope = rise / width
        firsts = np.flatnonzero(np.concatenate(([True], (row[1:] != row[:-1]) | (slope[1:] <= slope[:-1]))))
        if len(firsts) == len(width):
            break
        row, start = row[firsts], start[firsts]
        width, rise = np.add.reduceat(width, firsts), np.add.reduceat(rise, firsts)
    return Pieces(row, start, width, rise)


class Reliability(NamedTuple):
    """Bins of equal mass, in order of prediction. share: (bins,) of the weight; predicted, quality: (bins,) means."""

    share: Floats
    predicted: Floats
    quality: Floats


def reliability(
    predicted: ArrayLike, quality: ArrayLike, weight: ArrayLike | None = None, *, bins: int = 15
) -> Reliability:
    """What one tier was predicted to score beside what it scored, by bin of the prediction; empty bins left out.

    predicted, quality: (n,), in [0, 1]; quality may be soft. weight: (n,). Equal predictions share a bin, so the order
    of rows never matters.
    Source: Nguyen & O'Connor 2015 (equal-mass bins).
    """
    guesses, truth = np.asarray(predicted, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    weights = _weights(weight, len(guesses))
    total = weights.sum()
    if total <= 0:
        return Reliability(np.empty(0), np.empty(0), np.empty(0))
    values, inverse = np.unique(guesses, return_inverse=True)
    mass = np.bincount(inverse, weights, minlength=len(values))
    middle = (np.cumsum(mass) - mass / 2) / total
    bin_of = np.minimum((middle * bins).astype(np.intp), bins - 1)[inverse]
    held, guessed, true = (np.bincount(bin_of, weights * column, minlength=bins) for column in (1.0, guesses, truth))
    there = held > 0
    return Reliability(held[there] / total, guessed[there] / held[there], true[there] / held[there])


def ece(predicted: ArrayLike, quality: ArrayLike, weight: ArrayLike | None = None, *, bins: int = 15) -> float:
    """Expected calibration error of one tier: mean over equal-mass bins of |mean predicted - mean quality|.

    Arguments as ``reliability`` takes them. nan without rows. With fewer rows than bins it is the mean absolute error,
    an upper bound. It is above 0 for perfect predictions too, since each bin's mean quality is one of chance.
    Source: Guo et al. 2017.
    """
    found = reliability(predicted, quality, weight, bins=bins)
    return float(found.share @ np.abs(found.predicted - found.quality)) if len(found.share) else float("nan")


def quality_kept(quality: ArrayLike, taken: ArrayLike, weight: ArrayLike | None = None) -> Any:
    """Mean quality of the tiers taken, relative to sending every row to the top tier.

    quality: (n, tiers), cheapest first. taken: int (n,), index of the tier each row went to. May exceed 1.
    nan where the top tier's mean quality is 0: nothing there to keep.
    """
    table, tiers = np.asarray(quality, dtype=np.float64), np.asarray(taken, dtype=np.intp)
    weights = _weights(weight, len(table))
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = (weights @ table[np.arange(len(table)), tiers]) / (weights @ table[:, -1])
    return _plain(np.where(np.isfinite(kept), kept, np.nan))


def tier_shares(taken: ArrayLike, tiers: int, weight: ArrayLike | None = None) -> Floats:
    """Share of the weight that went to each tier, (…, tiers); nan without weight. ``taken``: int (n,)."""
    chosen = np.asarray(taken, dtype=np.intp)
    weights = _weights(weight, len(chosen))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(weights @ np.eye(tiers)[chosen] / weights.sum(axis=-1, keepdims=True))


def bootstrap(
    statistic: Callable[[Floats], ArrayLike],
    groups: Sequence[Any] | NDArray[Any],
    weight: ArrayLike | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """Values of ``statistic`` on resamples of whole groups, (resamples, …).

    statistic: weights (b, n) → (b, …); what it computes together is paired, each column seeing the same resamples.
    groups: (n,), rows of one session or question, drawn together because their outcomes are not independent.
    """
    values = [
        np.asarray(statistic(chunk), dtype=np.float64)
        for chunk in _resampled_weights(groups, weight, resamples=resamples, seed=seed)
    ]
    return np.concatenate(values) if values else np.empty((0,))


def _resampled_weights(
    groups: Sequence[Any] | NDArray[Any], weight: ArrayLike | None, *, resamples: int, seed: int
) -> Iterator[Floats]:
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    weights = _weights(weight, len(group_of))
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // max(1, len(group_of)))
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        if not len(names):
            yield np.zeros((count, 0))
            continue
        drawn = generator.integers(len(names), size=(count, len(names))) + np.arange(count)[:, None] * len(names)
        times = np.bincount(drawn.ravel(), minlength=count * len(names)).reshape(count, len(names))
        yield times[:, group_of] * weights


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Ends of the central interval holding ``level`` of the bootstrap ``values`` (resamples,).

    Resamples on which the figure does not exist are left out; (nan, nan) when they are more than one in a hundred.
    """
    array = np.asarray(values, dtype=np.float64)
    known = array[~np.isnan(array)]
    if len(known) == 0 or len(known) < (1 - _UNDEFINED_ALLOWED) * len(array):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _weights(weight: ArrayLike | None, rows: int) -> Floats:
    return np.ones(rows) if weight is None else np.asarray(weight, dtype=np.float64)


def _from_zero(values: Floats) -> Floats:
    return np.concatenate((np.zeros((*values.shape[:-1], 1)), values), axis=-1)


def _plain(value: Any) -> Any:
    """A Python float for one value, the array for many."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array

"""Has the traffic changed? A test of counts by bin against the calibration split's, that may be read at any time.

Knows counts; knows nothing of requests, modes or files.

Calls fall into bins i (of predicted regret, or steps) with chances p. The calibration split, n calls, had the shares q.
The null is that p lies in the ball B = {p: KL(q, p) ≤ max(y / n, TOLERANCE)}: a divergence of y / n is what a sample of n
may be off, TOLERANCE what we do not care about. While the traffic is that of calibration, p is in B with probability 1 -
α/2 or more, for 2 y is that quantile of chi-squared with k - 1 degrees of freedom, k bins (Wilks 1938: so for many rows;
tests/benchmarks/monitor_delay.py counts the false warnings for few).

After counts x of m calls the evidence is E = D(x) / sup_{p in B} Π p_i^x_i, where D is the chance that a mixture of
Dirichlet laws around q gives to the calls in their order (Lindon & Malek 2022). For every p in B the denominator is at
least the calls' true chance, so E is at most a martingale that starts at 1, and P(E ≥ 2/α ever) ≤ α/2 (Ville 1939); both
parts together: α. The supremum is where p is proportional to x + μ q, the μ ≥ 0 that meets the ball's edge (Lagrange; μ =
0 if x/m is in the ball).

Counts since the start would take as long to turn as they have gone well, so windows of several lengths run beside each
other, each beginning anew when it is full: window v of V, in its block j, warns at (2 V / α)(j + 1)(j + 2), which shares
α out. Calls are taken for independent. Those of one session are not, so only a thin, hashed sample of the calls should be
counted.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

# A share of 50 % that moves by 5 points has a divergence of 0.005.
TOLERANCE: Final = 0.005
# Calls, as far as they are counted, in a window; the last one never ends.
WINDOWS: Final = (250, 1_000, 4_000, 16_000, 0)
# Counted calls between two looks at a window, which take longer than counting does
CHECK_EVERY: Final = 25
# How closely the alternatives lie around the calibration split's shares, in calls that each is worth.
CONCENTRATIONS: Final[Array] = np.array([3.0, 30.0, 300.0])
_HALVINGS: Final = 50


def tolerate(rows: int, bins: int, alpha: float) -> float:
    """Radius of the ball, as a divergence: what a calibration split of ``rows`` calls may be off, TOLERANCE at least.

    alpha: what may be spent on both parts of the test. Raises ValueError without a row or with a single bin.
    """
    if rows < 1 or bins < 2:
        raise ValueError(f"{rows} rows in {bins} bins; there must be a row and two bins at least")
    free, z = bins - 1, NormalDist().inv_cdf(1.0 - alpha / 2)
    part = 2.0 / (9.0 * free)
    quantile = free * (1.0 - part + z * math.sqrt(part)) ** 3  # Wilson & Hilferty 1931, within 2 % of the quantile
    return max(quantile / 2.0 / rows, TOLERANCE)


def smooth_shares(shares: Array, rows: int) -> Array:
    """Shares of which none is 0, half a call added to each bin: where the alternatives are centred."""
    kept: Array = (shares * rows + 0.5) / (rows + 0.5 * shares.shape[-1])
    return kept


def count_call(
    counts: Array, log_bets: Array, block: Any, size: Any, bins: Any, centre: Array
) -> tuple[Array, Array, Any]:
    """Counts, bets and block of windows after one more call; a window that was full begins anew first.

    counts: (..., k). log_bets: log of D by concentration, (..., len(CONCENTRATIONS)), 0 at first. block, size: (...,), 0
    being the size of a window that never ends. bins: (...,), where the call fell. centre: (..., k), from
    ``smooth_shares``.
    """
    size, index = np.asarray(size), np.asarray(bins)[..., None]
    total = counts.sum(axis=-1)
    full = (size > 0) & (total >= size)
    kept = np.where(full[..., None], 0.0, counts)
    seen = np.take_along_axis(kept, index, axis=-1)
    expected = np.take_along_axis(np.broadcast_to(centre, kept.shape), index, axis=-1)
    chance = (CONCENTRATIONS * expected + seen) / (CONCENTRATIONS + np.where(full, 0.0, total)[..., None])
    np.put_along_axis(kept, index, seen + 1.0, axis=-1)
    return kept, np.where(full[..., None], 0.0, log_bets) + np.log(chance), np.asarray(block) + full


def weigh_counts(log_bets: Array, counts: Array, shares: Array, radius: float | Array) -> Any:
    """log E, (...,), of ``log_bets`` and ``counts`` after the same calls; 0 before the first.

    shares: (..., k), of the calibration split, summing to 1. radius: from ``tolerate``.
    """
    best = log_bets.max(axis=-1)
    mixed = best + np.log(np.exp(log_bets - best[..., None]).mean(axis=-1))
    return mixed - _best_in_ball(counts, np.broadcast_to(shares, counts.shape), np.asarray(radius))


def _best_in_ball(counts: Array, shares: Array, radius: Any) -> Any:
    """sup Σ x log p over the ball; the edge is found by halving log μ, on the side that is never too low."""
    total = np.maximum(counts.sum(axis=-1), 1.0)
    low, high = np.full(total.shape, -30.0), np.full(total.shape, 30.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            inside = _divergence(shares, _pull(counts, shares, total * np.exp(middle))) <= radius
            low, high = np.where(inside, low, middle), np.where(inside, middle, high)
        # low lies outside the ball, or is as good as 0: its likelihood is at least that of the edge
        chances = _pull(counts, shares, total * np.exp(low))
        return np.where(counts > 0.0, counts * np.log(chances), 0.0).sum(axis=-1)


def _pull(counts: Array, shares: Array, strength: Any) -> Array:
    pulled: Array = (counts + strength[..., None] * shares) / (counts.sum(axis=-1) + strength)[..., None]
    return pulled


def _divergence(shares: Array, chances: Array) -> Any:
    return np.where(shares > 0.0, shares * np.log(shares / chances), 0.0).sum(axis=-1)


def warning_level(block: int | Array, alpha: float, windows: int = len(WINDOWS)) -> Any:
    """log of the evidence at which a window warns in its block ``block``, 0 being the first."""
    number = np.asarray(block, dtype=np.float64)
    return np.log(2.0 * windows / alpha * (number + 1.0) * (number + 2.0))

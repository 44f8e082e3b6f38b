"""Has the traffic changed? A test of counts by bin against the calibration split's, that may be read at any time.

Knows counts; knows nothing of requests, modes or files.

Calls fall into bins i (of predicted regret, or steps) with chances p. The calibration split, n calls, had the shares q.
The null is that p lies in the ball B = {p: KL(q, p) ≤ (y + n · TOLERANCE) / n}: the first part is what a sample of n may
be off, the second what we do not care about. While the traffic is that of calibration, p is in B with probability ≥ 1 -
α/2, for y solves exp(-y) (e y / (k - 1))^(k - 1) = α/2, k bins (Agrawal 2020: P(n KL(q, p) ≥ y) is at most that for
y > k - 1).

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

import functools
import math
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

# A share of 50 % that moves by 5 points has a divergence of 0.005.
TOLERANCE: Final = 0.005
# Calls, as far as they are counted, in a window; the last one never ends.
WINDOWS: Final = (250, 1_000, 4_000, 16_000, 0)
# How closely the alternatives lie around the calibration split's shares, in calls that each is worth.
CONCENTRATIONS: Final[Array] = np.array([3.0, 30.0, 300.0])
_HALVINGS: Final = 50


@functools.lru_cache(maxsize=64)
def tolerate(rows: int, bins: int, alpha: float) -> float:
    """Radius of the ball, as a divergence: what a calibration split of ``rows`` calls may be off, and TOLERANCE.

    alpha: what may be spent on both parts of the test. Raises ValueError without a row or with a single bin.
    """
    if rows < 1 or bins < 2:
        raise ValueError(f"{rows} rows in {bins} bins; there must be a row and two bins at least")
    free = bins - 1
    low, high = float(free), 1000.0 + 10.0 * free
    for _ in range(_HALVINGS):
        y = (low + high) / 2
        tail = -y + free * (1.0 + math.log(y / free))
        low, high = (y, high) if tail > math.log(alpha / 2) else (low, y)
    return high / rows + TOLERANCE


def smooth_shares(shares: Array, rows: int) -> Array:
    """Shares of which none is 0, half a call added to each bin: where the alternatives are centred."""
    kept: Array = (shares * rows + 0.5) / (rows + 0.5 * shares.shape[-1])
    return kept


def bet(log_bets: Array, counts: Array, bins: Any, centre: Array) -> Array:
    """log D's parts after one more call.

    log_bets: (..., len(CONCENTRATIONS)), 0 at first. counts: (..., k), before the call. bins: (...,), where the call fell.
    centre: (..., k), from ``smooth_shares``.
    """
    index = np.asarray(bins)[..., None]
    seen = np.take_along_axis(counts, index, axis=-1)
    expected = np.take_along_axis(np.broadcast_to(centre, counts.shape), index, axis=-1)
    total = counts.sum(axis=-1, keepdims=True)
    grown: Array = log_bets + np.log((CONCENTRATIONS * expected + seen) / (CONCENTRATIONS + total))
    return grown


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

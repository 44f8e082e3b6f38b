"""Is the mean of bounded values above zero? Answered by betting against it, exactly for any n. Knows arrays only."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

# Of the largest bet that cannot ruin: at 1, one loss of the largest size would end the game
LARGEST_SHARE = 0.95
# The spread is believed to be ``prior_spread`` with the weight of this many values, until more are seen
PRIOR_VALUES = 10
LEAST_VARIANCE = 1e-9
LEAST_CAPITAL = 1e-100


def bet_above_zero(
    values: np.ndarray,
    low: float,
    delta: float,
    *,
    prior_variance: float | np.ndarray = 0.25,
    bet: str = "recalculated",
) -> np.ndarray:
    """Which columns' means are shown to be above zero, bool (m,): of those that are not, each is shown with chance ≤ delta.

    values: (n, m), each row an independent draw, in an order that does not depend on the values; all at least ``-low``.
    low: above 0. delta: in (0, 1). prior_variance: of a value, until some are seen, one or (m,); it changes power, never
    validity.
    bet: "recalculated", or "fixed" for the bet of the cited paper, to compare.

    Why it holds: start with capital 1 and stake the share λ of it on each next value v, so that it becomes K · (1 + λv).
    λ lies in [0, 1/low), so K stays positive, and rests on earlier values alone; if the mean is ≤ 0, then
    E[1 + λv | the past] ≤ 1, K is a non-negative supermartingale, and P(K ever reaches 1/δ) ≤ δ (Ville 1939). A column is
    shown when K has reached 1/δ at some time; it does not matter what the bets were.

    How much to stake: with m values to come and a factor F still to be won, λ = √(2 ln F / (m σ²)) reaches it at the least
    mean. It is recalculated at every step from the capital reached, which makes the error nearly δ instead of about
    half of it, and so wastes less data.

    Sources: the test, Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting"; the
    recalculated bet, Voráček & Orabona (2025), "STaR-Bets".
    """
    if not low > 0:
        raise ValueError(f"low is {low}; it must be above 0")
    if len(values) and values.min() < -low - 1e-9:
        raise ValueError(f"a value is {values.min()}, below -low = {-low}")
    count = len(values)
    capital = np.ones(values.shape[1])
    total, squares = np.zeros_like(capital), np.full_like(capital, PRIOR_VALUES * prior_variance)
    for seen, value in enumerate(values):
        mean = total / (seen + PRIOR_VALUES)
        variance = np.maximum(squares / (seen + PRIOR_VALUES) - mean**2, LEAST_VARIANCE)
        # a capital of almost nothing wants a factor beyond all numbers; the largest bet is all it can do
        wanted = 1.0 / (delta * (np.maximum(capital, LEAST_CAPITAL) if bet == "recalculated" else 1.0))
        to_come = count - seen if bet == "recalculated" else count
        stake = np.sqrt(2.0 * np.log(np.maximum(wanted, 1.0)) / (to_come * variance))
        # a capital of 1/δ wants no more, stakes nothing and stays
        capital *= 1.0 + np.minimum(stake, LARGEST_SHARE / low) * value
        total += value
        squares += value**2
        if bet == "fixed":
            capital[capital >= 1.0 / delta] = np.inf
    shown: np.ndarray = capital >= (1.0 - 1e-12) / delta
    return shown


def binomial_above_zero(values: np.ndarray, low: float, delta: float) -> np.ndarray:
    """The same question of values that are mostly ``1 - low`` or ``-low``: a success and a loss of 1. Exact.

    A value between the two counts as a loss, which only makes the mean smaller: valid for any values in [-low, 1 - low].
    Source: Clopper & Pearson (1934).
    """
    losses = (values < 1.0 - low - 1e-9).sum(axis=0)
    # mean > 0 is the same as a rate of losses below 1 - low
    shown: np.ndarray = binom.cdf(losses, len(values), 1.0 - low) <= delta
    return shown

"""Betting and counting show a mean to be above zero with an error of at most delta: by enumeration, not by luck."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from learned_router.training.betting import bet_above_zero, binomial_above_zero

deltas = st.floats(0.02, 0.6)
BETS = ("recalculated", "fixed")


def all_sequences(outcomes: tuple[float, ...], count: int) -> np.ndarray:
    """Every sequence of ``count`` outcomes, one a column: (count, sequences)."""
    return np.array(list(itertools.product(outcomes, repeat=count))).T


def chances(sequences: np.ndarray, law: dict[float, float]) -> np.ndarray:
    """With which each sequence comes, where each value is drawn from the law."""
    found: np.ndarray = np.prod(np.vectorize(law.get)(sequences), axis=0)
    return found


@given(gain=st.floats(0.02, 1.0), low=st.floats(0.1, 2.0), delta=deltas, bet=st.sampled_from(BETS))
@settings(max_examples=40, deadline=None)
def test_a_fair_game_is_won_with_chance_at_most_delta(gain: float, low: float, delta: float, bet: str) -> None:
    """All 2^11 sequences of a two-point law of mean zero, each with its exact chance."""
    law = {gain: low / (gain + low), -low: gain / (gain + low)}
    sequences = all_sequences((gain, -low), 11)
    shown = bet_above_zero(sequences, low, delta, bet=bet)
    assert chances(sequences, law)[shown].sum() <= delta + 1e-9


@given(
    middle=st.floats(-0.8, 0.1), top=st.floats(0.6, 1.0), share=st.floats(0.05, 0.85), delta=deltas, low=st.just(0.9)
)
@settings(max_examples=30, deadline=None)
def test_a_law_of_three_points_is_no_easier_to_fool(
    middle: float, top: float, share: float, delta: float, low: float
) -> None:
    """share: of the middle point; the other two make the mean zero or less."""
    high = min(max((share * -middle + (1 - share) * low) / (top + low), 0.0), 1.0 - share)
    law = {top: high, middle: share, -low: 1.0 - share - high}
    assert sum(value * chance for value, chance in law.items()) <= 1e-9
    sequences = all_sequences((top, middle, -low), 7)
    shown = bet_above_zero(sequences, low, delta)
    assert chances(sequences, law)[shown].sum() <= delta + 1e-9


@given(delta=st.floats(0.2, 0.6), share=st.floats(0.01, 0.5), bet=st.sampled_from(BETS))
@settings(max_examples=25, deadline=None)
def test_an_odd_prior_makes_it_weaker_never_wrong(delta: float, share: float, bet: str) -> None:
    """The prior moves every bet of the path; whatever it is, the mean of the capital stays within one."""
    law = {0.5: 2 / 3, -1.0: 1 / 3}
    sequences = all_sequences((0.5, -1.0), 10)
    for variance in (1e-6, share, 5.0):
        shown = bet_above_zero(sequences, 1.0, delta, prior_variance=variance, bet=bet)
        assert chances(sequences, law)[shown].sum() <= delta + 1e-9


def test_most_of_delta_is_used() -> None:
    """So the bounds above are not met by bets too small to show anything."""
    law = {0.25: 0.8, -1.0: 0.2}
    sequences = all_sequences((0.25, -1.0), 12)
    found = [chances(sequences, law)[bet_above_zero(sequences, 1.0, delta)].sum() / delta for delta in (0.3, 0.5, 0.8)]
    assert max(found) > 0.8


@given(seed=st.integers(0, 50), delta=deltas)
@settings(max_examples=20, deadline=None)
def test_a_column_is_judged_by_itself(seed: int, delta: float) -> None:
    values = np.random.default_rng(seed).uniform(-0.5, 0.9, (60, 7))
    variance = np.linspace(0.05, 0.4, 7)
    together = bet_above_zero(values, 0.5, delta, prior_variance=variance)
    alone = [bool(bet_above_zero(values[:, [k]], 0.5, delta, prior_variance=float(variance[k]))[0]) for k in range(7)]
    assert together.tolist() == alone


@given(seed=st.integers(0, 50), first=deltas, second=deltas)
@settings(max_examples=30, deadline=None)
def test_what_is_shown_at_a_smaller_delta_by_fixed_rules_is_shown_at_a_larger_one(
    seed: int, first: float, second: float
) -> None:
    values = np.random.default_rng(seed).uniform(-0.5, 0.9, (80, 5))
    small, large = sorted((first, second))
    assert not (binomial_above_zero(values, 0.5, small) & ~binomial_above_zero(values, 0.5, large)).any()


def test_recalculated_bets_show_more_than_fixed_ones_and_both_hold_delta_at_the_null() -> None:
    random = np.random.default_rng(0)
    null, better = (np.where(random.random((600, 3000)) < share, 0.05, -0.95) for share in (0.95, 0.975))
    shown = {bet: bet_above_zero(better, 0.95, 0.05, bet=bet).mean() for bet in BETS}
    assert shown["recalculated"] > shown["fixed"] + 0.05
    for bet in BETS:
        assert bet_above_zero(null, 0.95, 0.05, bet=bet).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 3000)


def test_nothing_is_shown_by_no_values_by_losses_or_by_zeros() -> None:
    for values in (np.zeros((0, 2)), np.zeros((50, 2)), np.full((50, 2), -0.5)):
        assert not bet_above_zero(values, 0.5, 0.05).any()


def test_a_value_lower_than_was_said_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a value is -0\.6"):
        bet_above_zero(np.array([[0.1], [-0.6]]), 0.5, 0.05)
    with pytest.raises(ValueError, match="low is 0"):
        bet_above_zero(np.zeros((3, 1)), 0.0, 0.05)


@given(count=st.integers(1, 400), share=st.floats(0.0, 0.3), target=st.floats(0.5, 0.99), delta=deltas)
@settings(max_examples=60, deadline=None)
def test_the_binomial_test_is_the_bound_of_clopper_and_pearson(
    count: int, share: float, target: float, delta: float
) -> None:
    losses = round(share * count)
    values = np.full((count, 1), 1.0 - target)
    values[:losses] = -target
    upper = 1.0 if losses == count else beta.ppf(1.0 - delta, losses + 1, count - losses)
    if abs(upper - (1.0 - target)) > 1e-9:  # on the edge itself, rounding decides
        assert binomial_above_zero(values, target, delta)[0] == (upper <= 1.0 - target)


@given(
    points=st.lists(st.tuples(st.floats(-0.8, 0.2), st.floats(0.01, 1.0)), min_size=1, max_size=2),
    gain=st.sampled_from([0.2, 1.0]),
    delta=deltas,
)
@settings(max_examples=40, deadline=None)
def test_the_binomial_test_holds_delta_for_values_between(
    points: list[tuple[float, float]], gain: float, delta: float
) -> None:
    """Any law on [-0.8, 1] with mean zero at most: partial losses count as whole ones; a gain of 1, as where the top tier
    is wrong, as a success."""
    values, masses = [gain, -0.8, *(value for value, _ in points)], np.array([0.3, 0.1, *(mass for _, mass in points)])
    masses /= masses.sum()
    mean = float(masses @ values)
    if mean > 0:  # moved to the lowest point until the mean is zero
        scale = 0.8 / (mean + 0.8)
        masses *= scale
        masses[1] += 1.0 - scale
    law: dict[float, float] = {}
    for value, mass in zip(values, masses, strict=True):
        law[value] = law.get(value, 0.0) + float(mass)
    sequences = all_sequences(tuple(law), 7)
    shown = binomial_above_zero(sequences, 0.8, delta)
    assert chances(sequences, law)[shown].sum() <= delta + 1e-9

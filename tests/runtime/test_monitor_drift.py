"""Evidence that traffic has changed: at most one in the mean for every law in the ball; windows that begin anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.monitoring.drift import (
    CONCENTRATIONS,
    TOLERANCE,
    WINDOWS,
    Array,
    count_call,
    smooth_shares,
    tolerate,
    warning_level,
    weigh_counts,
)

SHARES = st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any).map(lambda x: np.array(x) / sum(x))


def counted(
    calls: tuple[int, ...] | list[int], shares: Array, rows: int = 100, size: int = 0
) -> tuple[Array, Array, int]:
    counts, bets, block = np.zeros(len(shares)), np.zeros(len(CONCENTRATIONS)), 0
    for call in calls:
        counts, bets, block = count_call(counts, bets, block, size, call, smooth_shares(shares, rows))
    return counts, bets, int(block)


def divergence(shares: Array, chances: Array) -> float:
    with np.errstate(divide="ignore"):
        return float(sum(q * np.log(q / p) for q, p in zip(shares, chances, strict=True) if q > 0))


@given(SHARES, SHARES, st.floats(0.001, 0.5))
def test_in_the_mean_evidence_is_at_most_one_for_every_law_in_the_ball(
    shares: Array, other: Array, radius: float
) -> None:
    chances = shares
    for step in (0.5, 0.2, 0.05):  # as far from the shares as the ball lets it
        pulled = (1 - step) * shares + step * other
        if divergence(shares, pulled) <= radius:
            chances = pulled
            break
    sequences = np.array(list(itertools.product(range(3), repeat=5)))
    counts, bets = np.zeros((len(sequences), 3)), np.zeros((len(sequences), len(CONCENTRATIONS)))
    block = np.zeros(len(sequences))
    for calls in sequences.T:
        counts, bets, block = count_call(counts, bets, block, 0, calls, smooth_shares(shares, 100))
    likely = np.prod(chances[sequences], axis=1)
    evidence = np.exp(weigh_counts(bets, counts, shares, radius))
    assert likely @ evidence <= 1 + 1e-9
    assert likely.sum() == pytest.approx(1.0)


@given(SHARES, st.lists(st.integers(0, 40), min_size=3, max_size=3).map(np.array), SHARES, st.floats(0.001, 0.5))
def test_no_law_in_the_ball_makes_the_calls_likelier_than_what_they_are_held_against(
    shares: Array, counts: Array, chances: Array, radius: float
) -> None:
    chances = smooth_shares(chances, 50)
    if divergence(shares, chances) > radius:
        chances = shares
    held = -float(weigh_counts(np.zeros(len(CONCENTRATIONS)), counts.astype(float), shares, radius))
    with np.errstate(divide="ignore"):
        likelihood = sum(x * np.log(p) for x, p in zip(counts, chances, strict=True) if x)
    assert likelihood <= held + 1e-6


def test_calls_like_the_calibration_split_are_no_evidence_and_others_soon_are() -> None:
    shares, rng = np.array([0.5, 0.3, 0.2, 0.0]), np.random.default_rng(0)
    radius = tolerate(2_000, 4, 0.025)
    same, _ = (rng.choice(4, size=2_000, p=shares) for _ in range(2))
    counts, bets, _ = counted(list(same), shares, 2_000)
    assert weigh_counts(bets, counts, shares, radius) < 0.0
    other = rng.choice(4, size=1_000, p=[0.3, 0.5, 0.2, 0.0])
    counts, bets, _ = counted(list(other), shares, 2_000)
    assert weigh_counts(bets, counts, shares, radius) > warning_level(0, 0.025)


def test_a_bin_that_the_calibration_split_never_saw_counts_as_evidence_without_an_infinity() -> None:
    shares = np.array([0.6, 0.4, 0.0])
    counts, bets, _ = counted([2] * 30 + [0] * 30, shares, 2_000)
    found = weigh_counts(bets, counts, shares, tolerate(2_000, 3, 0.025))
    assert warning_level(0, 0.025) < found < np.inf


@pytest.mark.parametrize(
    ("calls", "total", "block"), [(99, 99, 0), (100, 100, 0), (101, 1, 1), (200, 100, 1), (201, 1, 2)]
)
def test_a_full_window_begins_anew_with_the_next_call(calls: int, total: int, block: int) -> None:
    shares = np.array([0.5, 0.5])
    counts, bets, found = counted([0, 1] * (calls // 2) + [0] * (calls % 2), shares, size=100)
    assert (counts.sum(), found) == (total, block)
    alone = counted(([0, 1] * calls)[:total], shares)[1]
    np.testing.assert_allclose(bets, alone)


def test_a_window_without_end_never_begins_anew() -> None:
    counts, _, block = counted([0] * 300, np.array([0.5, 0.5]), size=0)
    assert (counts.sum(), block) == (300, 0)


def test_all_blocks_of_all_windows_together_spend_half_of_alpha() -> None:
    blocks = np.arange(100_000)
    spent = len(WINDOWS) * np.exp(-warning_level(blocks, 0.05)).sum()
    assert spent <= 0.025
    assert spent == pytest.approx(0.025, rel=1e-4)


@pytest.mark.parametrize("bins", [2, 6, 10])
@pytest.mark.parametrize("alpha", [0.025, 0.05])
def test_the_ball_holds_what_a_sample_of_that_size_may_be_off(bins: int, alpha: float) -> None:
    chi2 = pytest.importorskip("scipy.stats").chi2
    wanted = chi2.ppf(1 - alpha / 2, bins - 1) / 2 / 100
    assert tolerate(100, bins, alpha) == pytest.approx(wanted, rel=0.02)
    assert tolerate(10**9, bins, alpha) == TOLERANCE


@pytest.mark.parametrize(("rows", "bins"), [(0, 3), (10, 1)])
def test_a_ball_around_nothing_is_refused(rows: int, bins: int) -> None:
    with pytest.raises(ValueError, match="there must be a row and two bins"):
        tolerate(rows, bins, 0.05)

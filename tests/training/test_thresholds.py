"""A mode's threshold keeps its target on the rows it was chosen on, and no request that must go up goes down."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.training.thresholds import NEVER_DOWN, OperatingPoint, choose_threshold, operating_point


def rows(seed: int, count: int = 120, tiers: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predictions that know something of the truth, weights of several sizes, and some rows that are not known."""
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(size=(count, tiers))
    predicted[:, -1] = 0.5 + predicted[:, -1] / 2
    truth = (rng.uniform(size=predicted.shape) < predicted).astype(float)
    return predicted, truth, rng.choice([0.5, 1.0, 2.0], count), rng.uniform(size=count) < 0.9


seeds, targets = st.integers(0, 200), st.floats(0.3, 1.0)


@given(seed=seeds, target=targets, tiers=st.sampled_from([2, 3]))
def test_the_target_is_met_on_the_rows_the_threshold_was_chosen_on(seed: int, target: float, tiers: int) -> None:
    predicted, truth, weight, known = rows(seed, tiers=tiers)
    point = choose_threshold(predicted, truth, weight, target, known)
    assert point.kept >= target
    assert operating_point(predicted, truth, weight, point.threshold, known) == point


@given(seed=seeds, first=targets, second=targets)
def test_a_stricter_target_never_has_a_larger_threshold(seed: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    made = rows(seed)
    assert choose_threshold(*made[:3], high, made[3]).threshold <= choose_threshold(*made[:3], low, made[3]).threshold


@given(seed=seeds, target=targets, tiers=st.sampled_from([2, 3]))
def test_unknown_requests_count_at_the_top_whatever_the_threshold(seed: int, target: float, tiers: int) -> None:
    predicted, truth, weight, known = rows(seed, tiers=tiers)
    unknown = float(weight[~known].sum() / weight.sum())
    assert operating_point(predicted, truth, weight, 1.0, known).shares[-1] >= unknown - 1e-12
    assert choose_threshold(predicted, truth, weight, target, known).shares[-1] >= unknown - 1e-12


@given(seed=seeds, threshold=st.floats(-1.0, 1.0), tiers=st.sampled_from([2, 3]))
def test_shares_of_the_calls_sum_to_one(seed: int, threshold: float, tiers: int) -> None:
    predicted, truth, weight, known = rows(seed, tiers=tiers)
    shares = operating_point(predicted, truth, weight, threshold, known).shares
    assert sum(shares) == pytest.approx(1.0)
    assert len(shares) == tiers


def two(*regrets: float, small: tuple[float, ...], top: tuple[float, ...] | None = None) -> tuple[np.ndarray, ...]:
    """Two tiers, a row for each predicted regret; every top answer is right unless said otherwise."""
    predicted = np.array([[1.0 - regret, 1.0] for regret in regrets])
    return predicted, np.array([small, top or (1.0,) * len(small)]).T, np.ones(len(small))


EVERY = np.ones(4, dtype=bool)


@pytest.mark.parametrize(
    ("target", "threshold", "share"),
    [(1.0, 0.3, 0.5), (0.75, 0.5, 0.75), (0.74, 0.5, 0.75), (0.5, 1.0, 1.0)],
)
def test_the_threshold_lies_midway_between_the_last_request_taken_and_the_next(
    target: float, threshold: float, share: float
) -> None:
    made = two(0.1, 0.2, 0.4, 0.6, small=(1, 1, 0, 0))
    point = choose_threshold(*made, target, EVERY)
    assert point.threshold == pytest.approx(threshold)
    assert point.shares[0] == share


def test_everything_goes_up_when_the_first_step_down_already_misses_the_target() -> None:
    point = choose_threshold(*two(0.1, 0.2, 0.4, 0.6, small=(0, 1, 1, 1)), 0.9, EVERY)
    assert point == OperatingPoint(NEVER_DOWN, 1.0, (0.0, 1.0))


def test_a_dip_below_the_target_ends_the_search_though_more_would_recover() -> None:
    point = choose_threshold(*two(0.1, 0.2, 0.4, 0.6, small=(1, 0, 1, 1), top=(1, 1, 0, 0)), 0.9, EVERY)
    assert point.threshold == pytest.approx(0.15)


def test_a_small_tier_that_beats_the_top_takes_everything() -> None:
    point = choose_threshold(*two(0.1, 0.2, 0.4, 0.6, small=(1, 1, 1, 1), top=(1, 0, 0, 1)), 0.98, EVERY)
    assert (point.threshold, point.kept, point.shares) == (1.0, 2.0, (1.0, 0.0))


def test_a_heavy_label_weighs_more() -> None:
    predicted, truth, _ = two(0.1, 0.2, 0.4, 0.6, small=(1, 0, 1, 1))
    light, heavy = np.array([1.0, 0.1, 1.0, 1.0]), np.array([1.0, 10.0, 1.0, 1.0])
    assert choose_threshold(predicted, truth, light, 0.9, EVERY).threshold == 1.0
    assert choose_threshold(predicted, truth, heavy, 0.9, EVERY).threshold == pytest.approx(0.15)


def test_a_label_of_weight_zero_decides_nothing() -> None:
    predicted, truth, weight = two(0.1, 0.2, 0.4, 0.6, small=(1, 0, 1, 1))
    weight[1] = 0.0
    assert choose_threshold(predicted, truth, weight, 1.0, EVERY).threshold == 1.0


def test_where_the_top_tier_is_never_right_there_is_nothing_to_keep_and_nothing_goes_down() -> None:
    point = choose_threshold(*two(0.1, 0.2, 0.4, 0.6, small=(1, 1, 1, 1), top=(0.0,) * 4), 0.9, EVERY)
    assert (point.threshold, point.shares) == (NEVER_DOWN, (0.0, 1.0))
    assert math.isnan(point.kept)


def test_never_down_holds_for_a_request_predicted_the_reverse_of_the_tiers() -> None:
    predicted, truth = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert operating_point(predicted, truth, np.ones(1), NEVER_DOWN, EVERY[:1]).shares == (0.0, 1.0)


def test_nothing_known_leaves_everything_at_the_top() -> None:
    point = choose_threshold(*two(0.1, 0.2, 0.4, 0.6, small=(1, 1, 1, 1)), 0.5, ~EVERY)
    assert point == OperatingPoint(NEVER_DOWN, 1.0, (0.0, 1.0))


def test_one_regret_for_all_goes_all_down_or_all_up() -> None:
    all_right, half_right = (two(0.3, 0.3, 0.3, 0.3, small=small) for small in ((1, 1, 1, 1), (1, 1, 0, 0)))
    assert choose_threshold(*all_right, 0.9, EVERY).shares == (1.0, 0.0)
    assert choose_threshold(*half_right, 0.9, EVERY).shares == (0.0, 1.0)


def test_thousands_of_rows_meet_the_target_in_few_candidates() -> None:
    predicted, truth, weight, known = rows(0, count=3_000)
    point = choose_threshold(predicted, truth, weight, 0.9, known)
    assert 0.9 <= point.kept < 0.93

"""Two thresholds chosen together keep the target by the estimate, at the least cost, wasted calls paid for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.training.thresholds import NEVER_DOWN, Answers, PairPoint, choose_pairs, try_pair

COSTS = np.array([0.1, 1.0])
ROWS = 8
EVEN = np.ones(ROWS)
KNOWN = np.ones(ROWS, dtype=bool)


def two(regret: list[float]) -> np.ndarray:
    """Predicted qualities of two tiers that lie a regret apart."""
    return np.array([[0.5 - r / 2, 0.5 + r / 2] for r in regret])


def answers(regret: list[float], refused: tuple[int, ...] = ()) -> Answers:
    return Answers(np.array(regret)[:, None], np.isin(np.arange(len(regret)), refused)[:, None])


def choose_pair(
    predicted: np.ndarray,
    judged: Answers,
    truth: np.ndarray,
    weight: np.ndarray,
    target: float,
    known: np.ndarray,
    costs: np.ndarray,
) -> PairPoint:
    return choose_pairs(predicted, judged, truth, weight, {"mode": target}, known, costs)["mode"]


# the router cannot tell; the gate can: the small tier is right on the first half
BLIND = two([0.1] * ROWS)
TELLING = answers([0.0] * 4 + [0.9] * 4)
TRUTH = np.array([[1.0, 1.0]] * 4 + [[0.0, 1.0]] * 4)


def test_a_gate_that_can_tell_is_paid_for_where_the_router_cannot() -> None:
    point = choose_pair(BLIND, TELLING, TRUTH, EVEN, 1.0, KNOWN, COSTS)
    assert point.kept == 1.0
    assert (point.tried, point.escalated) == (1.0, 0.5)
    assert point.cost == pytest.approx(0.1 + 0.5)


def test_what_the_router_sees_is_hopeless_is_not_tried_small() -> None:
    seeing = two([0.0] * 4 + [0.9] * 4)
    point = choose_pair(seeing, TELLING, TRUTH, EVEN, 1.0, KNOWN, COSTS)
    assert (point.kept, point.tried, point.escalated) == (1.0, 0.5, 0.0)
    assert point.cost == pytest.approx((4 * 0.1 + 4 * 1.0) / 8)


def test_a_dear_small_tier_that_is_never_kept_is_not_asked() -> None:
    hopeless = np.array([[0.0, 1.0]] * ROWS)
    point = choose_pair(BLIND, TELLING, hopeless, EVEN, 0.9, KNOWN, COSTS)
    assert (point.route, point.tried, point.cost) == (NEVER_DOWN, 0.0, 1.0)


def test_a_refused_answer_goes_up_whatever_the_threshold() -> None:
    refused = answers([0.0] * ROWS, refused=(4, 5, 6, 7))
    point = try_pair(BLIND, refused, TRUTH, EVEN, 1.0, 1.0, KNOWN, COSTS)
    assert (point.kept, point.escalated) == (1.0, 0.5)


def test_what_is_out_of_distribution_is_not_tried() -> None:
    point = try_pair(BLIND, TELLING, TRUTH, EVEN, 1.0, 1.0, ~KNOWN, COSTS)
    assert (point.kept, point.tried, point.cost) == (1.0, 0.0, 1.0)


def test_a_top_tier_that_is_never_right_leaves_everything_as_it_was() -> None:
    point = choose_pair(BLIND, TELLING, np.zeros((ROWS, 2)), EVEN, 0.9, KNOWN, COSTS)
    assert (point.route, point.cost) == (NEVER_DOWN, 1.0)


def test_of_three_tiers_the_gate_judges_the_one_that_answered() -> None:
    predicted = np.array([[0.1, 0.9, 0.9], [0.9, 0.9, 0.9]])
    judged = Answers(np.array([[0.9, 0.0], [0.0, 0.9]]), np.zeros((2, 2), dtype=bool))
    truth = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    point = try_pair(predicted, judged, truth, np.ones(2), 0.1, 0.1, np.ones(2, dtype=bool), np.array([0.1, 0.3, 1.0]))
    assert (point.kept, point.tried, point.escalated) == (1.0, 1.0, 0.0)
    assert point.cost == pytest.approx((0.1 + 0.3) / 2)


units = st.floats(0, 1, width=16)


@given(
    rows=st.lists(st.tuples(units, units, units, units, st.booleans(), st.booleans()), min_size=1, max_size=30),
    target=st.sampled_from([0.5, 0.9, 0.98, 1.0]),
    ratio=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
)
def test_the_pair_chosen_keeps_the_target_and_costs_no_more_than_the_top_tier(
    rows: list[tuple[float, float, float, float, bool, bool]], target: float, ratio: float
) -> None:
    predicted = np.array([[small, top] for small, top, *_ in rows])
    judged = answers([own - top for *_, own, top, _, _ in [(0, 0, r[2], r[3], r[4], r[5]) for r in rows]])
    truth = np.array([[float(s), float(t)] for *_, s, t in rows])
    known = np.ones(len(rows), dtype=bool)
    point = choose_pair(predicted, judged, truth, np.ones(len(rows)), target, known, np.array([ratio, 1.0]))
    assert point.cost <= 1.0
    assert point.kept >= target or not truth[:, 1].any()
    assert point.escalated <= point.tried

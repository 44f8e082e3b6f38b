"""Evidence against a promise is the capital of a bet that is fair at the promise's edge, and loses within it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.monitoring.evidence import STAKES, Array, advance, new_capital, unstarted, weigh

BUDGETS = st.floats(0.0, 2.0)
REGRETS = st.floats(-1.0, 1.0)
HISTORIES = st.lists(st.floats(-1.0, 1.0), max_size=40)


SESSIONS = st.floats(-20.0, 20.0)


def after(regrets: list[float], budget: float) -> Array:
    capital = new_capital()
    for audit, regret in enumerate(regrets):
        capital = advance(capital, audit, regret, budget)
    return capital


def expect(history: list[float], budget: float, law: dict[float, float], session: float = 0.0) -> tuple[float, float]:
    """The evidence after a history, and what it comes to in the mean one audit later, exactly."""
    capital, audits = after(history, budget), len(history)
    later = {regret: float(weigh(advance(capital, audits, regret, budget, session), audits + 1)) for regret in law}
    return float(weigh(capital, audits)), sum(p * later[regret] for regret, p in law.items())


@given(HISTORIES, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_at_the_edge_of_the_promise_the_bet_is_fair_whatever_came_before(
    history: list[float], budget: float, below: float, above: float
) -> None:
    low, high = budget - below * (budget + 1.0), budget + above * (1.0 - budget)
    chance = (budget - low) / (high - low) if high > low else 1.0
    law = {low: 1.0 - chance, high: chance} if high > low else {low: 1.0}
    now, later = expect(history, budget, {max(-1.0, min(1.0, regret)): p for regret, p in law.items()})
    assert later == pytest.approx(now, rel=1e-9)


@given(HISTORIES, BUDGETS, REGRETS, REGRETS, st.floats(0.0, 1.0), SESSIONS)
def test_while_the_promise_holds_no_two_point_law_makes_the_evidence_grow_in_the_mean(
    history: list[float], budget: float, low: float, high: float, chance: float, session: float
) -> None:
    if low == high or (1.0 - chance) * low + chance * high > budget:
        low = high = min(low, high, budget)
    law = {low: 1.0} if low == high else {low: 1.0 - chance, high: chance}
    now, later = expect(history, budget, law, session)
    assert later <= now * (1 + 1e-9)


@given(HISTORIES, BUDGETS, SESSIONS)
def test_no_regret_makes_a_bet_lose_more_than_its_stake(history: list[float], budget: float, session: float) -> None:
    assert np.all(advance(after(history, budget), len(history), -1.0, budget, session) >= 0.0)


def test_wins_of_one_session_add_up_and_do_not_multiply() -> None:
    begun = np.full(len(STAKES), 1.0)
    capital, lost, late = begun, 0.0, 10**15  # so late that no stake is added
    for number in range(1, 6):
        capital, lost = advance(capital, late, 0.6, 0.1, lost), lost + 0.5
        np.testing.assert_allclose(capital, 1.0 + STAKES / 1.1 * 0.5 * number)


@given(HISTORIES, BUDGETS)
def test_evidence_is_never_negative_and_begins_with_one(history: list[float], budget: float) -> None:
    assert weigh(new_capital(), 0) == 1.0
    capital = after(history, budget)
    assert np.all(capital >= 0.0)
    assert weigh(capital, len(history)) >= 0.0


def test_no_stake_is_lost_or_made_between_starts() -> None:
    assert float(weigh(after([0.25] * 3_000, 0.25), 3_000)) == pytest.approx(1.0)
    assert unstarted(0) == 1.0
    assert 0.0 < unstarted(10**9) < 1e-3


def test_all_lost_is_found_in_a_few_audits_even_after_a_long_good_time() -> None:
    for good in (0, 5_000):
        capital, audits = after([0.0] * good, 0.05), good
        while weigh(capital, audits) < 20:
            capital, audits = advance(capital, audits, 1.0, 0.05), audits + 1
        assert audits - good <= (13 if good == 0 else 23)


def test_one_stake_alone_would_have_been_eaten_by_the_good_time() -> None:
    alone = np.full(len(STAKES), 1 / len(STAKES))
    for _ in range(5_000):
        alone = advance(alone, 10**15, 0.0, 0.05)
    assert alone.sum() < 1e-4


def test_evidence_beyond_any_use_stays_finite() -> None:
    assert np.isfinite(weigh(after([1.0] * 3_000, 0.0), 3_000))


def test_many_slices_at_once_come_out_as_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    regrets, budgets = rng.uniform(-1, 1, (30, 4)), np.array([0.0, 0.1, 0.5, 1.5])
    capital = np.zeros((4, len(STAKES)))
    for audit, row in enumerate(regrets):
        capital = advance(capital, audit, row, budgets)
    for column, budget in enumerate(budgets):
        np.testing.assert_allclose(capital[column], after(regrets[:, column].tolist(), float(budget)))


@pytest.mark.parametrize(
    ("regret", "budget"), [(1.01, 0.1), (-1.01, 0.1), (float("nan"), 0.1), (0.0, -0.01), (0.0, float("inf"))]
)
def test_a_regret_or_a_budget_that_cannot_be_is_refused(regret: float, budget: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\]"):
        advance(new_capital(), 0, regret, budget)

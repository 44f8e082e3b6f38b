"""The rule that turns predicted qualities into a tier, by its laws and at its boundaries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.policy import Reason, Tier, as_good_probability, block_tiers, choose_tier

shares = st.floats(0.0, 1.0)
qualities = st.lists(shares, min_size=2, max_size=5)
thresholds = st.floats(-1.0, 1.0)
blockings = st.dictionaries(
    st.integers(0, 4), st.sampled_from([Reason.CONTEXT_TOO_LONG, Reason.LACKS_CAPABILITY]), max_size=4
)
CAPABILITIES = ("tools", "vision", "json")


@given(qualities, thresholds, thresholds, blockings)
def test_a_larger_threshold_never_picks_a_dearer_tier(
    quality: list[float], one: float, other: float, blocked: dict[int, Reason]
) -> None:
    low, high = sorted((one, other))
    assert choose_tier(quality, high, blocked).index <= choose_tier(quality, low, blocked).index


@given(qualities, thresholds, blockings)
def test_the_tier_taken_is_the_cheapest_allowed_one(
    quality: list[float], threshold: float, blocked: dict[int, Reason]
) -> None:
    choice = choose_tier(quality, threshold, blocked)
    top = len(quality) - 1
    allowed = [k for k in range(top) if quality[top] - quality[k] <= threshold and k not in blocked]
    assert choice.index == min(allowed, default=top)
    assert choice.regret == quality[top] - quality[choice.index]


@given(qualities, st.data())
def test_regret_equal_to_the_threshold_takes_the_cheaper_tier(quality: list[float], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(quality) - 2))
    threshold = quality[-1] - quality[index]
    assert choose_tier(quality, threshold).index <= index
    assert choose_tier([quality[index], quality[-1]], math.nextafter(threshold, -2.0)).index == 1


@given(qualities, thresholds)
def test_the_reason_says_whether_a_cheaper_tier_was_good_enough(quality: list[float], threshold: float) -> None:
    choice = choose_tier(quality, threshold)
    went_up = choice.index == len(quality) - 1
    assert choice.reason == (Reason.REGRET_TOO_HIGH if went_up else Reason.GOOD_ENOUGH)


def test_a_cheaper_tier_that_is_better_is_taken_at_threshold_zero() -> None:
    choice = choose_tier([0.9, 0.8], 0.0)
    assert (choice.index, choice.regret) == (0, pytest.approx(-0.1))


@pytest.mark.parametrize(
    ("blocked", "index", "reason"),
    [
        ({}, 0, Reason.GOOD_ENOUGH),
        ({0: Reason.LACKS_CAPABILITY}, 1, Reason.LACKS_CAPABILITY),
        ({0: Reason.CONTEXT_TOO_LONG, 1: Reason.LACKS_CAPABILITY}, 2, Reason.CONTEXT_TOO_LONG),
        ({1: Reason.CONTEXT_TOO_LONG}, 0, Reason.GOOD_ENOUGH),
        ({2: Reason.CONTEXT_TOO_LONG}, 0, Reason.GOOD_ENOUGH),
        ({0: Reason.CONTEXT_TOO_LONG, 1: Reason.CONTEXT_TOO_LONG, 2: Reason.CONTEXT_TOO_LONG}, 2, "context_too_long"),
    ],
)
def test_a_blocked_tier_is_passed_over_for_the_next_and_its_reason_kept(
    blocked: dict[int, Reason], index: int, reason: Reason
) -> None:
    choice = choose_tier([0.9, 0.9, 0.9], 0.0, blocked)
    assert (choice.index, choice.reason) == (index, reason)


def test_a_blocked_tier_that_would_not_have_done_is_not_the_reason() -> None:
    choice = choose_tier([0.1, 0.9], 0.0, {0: Reason.LACKS_CAPABILITY})
    assert (choice.index, choice.reason) == (1, Reason.REGRET_TOO_HIGH)


@pytest.mark.parametrize("quality", [[], [math.nan, 1.0], [0.5, math.nan], [math.inf, 0.5], [0.5, -math.inf]])
def test_quality_that_is_empty_or_not_finite_is_refused(quality: list[float]) -> None:
    with pytest.raises(ValueError, match="quality is"):
        choose_tier(quality, 0.0)


@pytest.mark.parametrize(("beyond", "expected"), [(-1, {}), (0, {}), (1, {0: Reason.CONTEXT_TOO_LONG})])
def test_a_request_that_just_fits_the_window_is_not_blocked(beyond: int, expected: dict[int, Reason]) -> None:
    tiers = [Tier("small", "s", context_tokens=8192), Tier("mid", "m"), Tier("frontier", "f", context_tokens=200_000)]
    assert block_tiers(tiers, 8192 + beyond, []) == expected


@given(st.sets(st.sampled_from(CAPABILITIES)), st.sets(st.sampled_from(CAPABILITIES)))
def test_a_tier_is_blocked_exactly_when_it_lacks_what_is_needed(lacks: set[str], needs: set[str]) -> None:
    blocked = block_tiers([Tier("small", "s", lacks=tuple(lacks)), Tier("frontier", "f")], 10, sorted(needs))
    assert blocked == ({0: Reason.LACKS_CAPABILITY} if lacks & needs else {})


weights = st.tuples(*[st.floats(-20.0, 20.0)] * 3)


@given(shares, shares, weights)
def test_confidence_is_a_probability(quality: float, top: float, weighting: tuple[float, float, float]) -> None:
    assert 0.0 <= as_good_probability(quality, top, weighting) <= 1.0


@given(shares, shares, shares, st.floats(-20.0, 20.0), st.floats(0.0, 20.0), st.floats(-20.0, 0.0))
def test_confidence_rises_with_the_tiers_quality_and_falls_with_the_tops(
    one: float, other: float, fixed: float, bias: float, own: float, top: float
) -> None:
    low, high = sorted((one, other))
    assert as_good_probability(low, fixed, (bias, own, top)) <= as_good_probability(high, fixed, (bias, own, top))
    assert as_good_probability(fixed, low, (bias, own, top)) >= as_good_probability(fixed, high, (bias, own, top))

"""Each figure against cases worked out by hand, and the laws it must obey on any data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.training.metrics import (
    aiq,
    apgr,
    bootstrap,
    cpt,
    ece,
    percentile_interval,
    quality_kept,
    reliability,
    tier_shares,
    trace_curve,
)


def curve_of(score, small, top, weight=None):
    return trace_curve(np.array(score), np.array(small), np.array(top), weight)


@st.composite
def scored_rows(draw):
    rows = draw(st.integers(2, 40))
    grades = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=rows, max_size=rows)
    scores = st.lists(st.integers(0, 6).map(float), min_size=rows, max_size=rows)
    return np.array(draw(scores)), np.array(draw(grades)), np.array(draw(grades))


def test_oracle_recovers_one_minus_half_of_what_small_misses():
    small = np.array([1.0] * 7 + [0.0] * 3)
    curve = trace_curve(1 - small, small, np.ones(10))
    assert apgr(curve) == pytest.approx(1 - (1 - 0.7) / 2)
    assert cpt(curve, 0.5) == pytest.approx(0.15)
    assert cpt(curve, 0.8) == pytest.approx(0.24)
    assert aiq(curve) == pytest.approx(0.7 + 0.3 * 0.85)


def test_worst_order_recovers_half_of_what_small_misses():
    small = np.array([1.0] * 7 + [0.0] * 3)
    curve = trace_curve(small, small, np.ones(10))
    assert apgr(curve) == pytest.approx(0.15)
    assert cpt(curve, 0.5) == pytest.approx(0.85)
    # the hull mixes the two ends at random, so it is the straight line between them
    assert aiq(curve) == pytest.approx(0.85)


def test_a_random_score_recovers_half_the_gap():
    generator = np.random.default_rng(1)
    rows = 20_000
    small, top = generator.random(rows) < 0.6, generator.random(rows) < 0.9
    assert apgr(curve_of(generator.random(rows), small, top)) == pytest.approx(0.5, abs=0.03)


def test_equal_scores_recover_exactly_half_the_gap_in_any_row_order():
    small, top = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        curve = trace_curve(np.zeros(4), small[order], top[order])
        assert apgr(curve) == pytest.approx(0.5)
        assert cpt(curve, 0.8) == pytest.approx(0.8)


def test_apgr_exceeds_one_where_routing_beats_the_top_tier():
    # three calls that only the top tier gets right, one that only the small tier does: quality 1/4 → 1 → 3/4
    curve = curve_of([1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 0])
    assert apgr(curve) == pytest.approx((0.75 * 0.75 / 2 + 0.25 * (0.75 + 0.5) / 2) / 0.5)
    # the hull stays at 1: nobody has to buy the calls that make it worse
    assert aiq(curve) == pytest.approx(0.25 + 0.75 * 0.75 / 2 + 0.75 * 0.25)


def test_cpt_is_the_first_share_that_reaches_the_fraction_even_if_the_curve_falls_again():
    curve = curve_of([3, 2, 1, 0], [0, 1, 0, 1], [1, 0, 1, 1])
    assert cpt(curve, 0.5) == pytest.approx(0.125)
    assert cpt(curve, 1.0) == pytest.approx(0.25)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_cpt_refuses_a_fraction_outside_zero_to_one(fraction):
    with pytest.raises(ValueError, match="must lie in"):
        cpt(curve_of([0, 1], [0, 0], [1, 1]), fraction)


@given(scored_rows())
def test_hull_is_never_below_the_curve_nor_below_either_end_alone(rows):
    score, small, top = rows
    curve = trace_curve(score, small, top)
    area = float(np.sum(np.diff(curve.share) * (curve.quality[1:] + curve.quality[:-1]) / 2))
    assert aiq(curve) >= area - 1e-12
    assert aiq(curve) >= max(small.mean(), (small.mean() + top.mean()) / 2) - 1e-12
    assert aiq(curve) <= curve.quality.max() + 1e-12


@given(scored_rows())
def test_hull_agrees_with_every_pair_of_points_mixed(rows):
    score, small, top = rows
    curve = trace_curve(score, small, top)
    grid = np.linspace(0, 1, 4001)
    best = np.interp(grid, curve.share, curve.quality)
    for left in range(len(curve.share)):
        for right in range(left + 1, len(curve.share)):
            ends = curve.share[[left, right]]
            mixed = np.interp(grid, ends, curve.quality[[left, right]], left=-1, right=-1)
            best = np.maximum(best, mixed)
    best = np.maximum.accumulate(best)
    assert aiq(curve) == pytest.approx(float((best[1:] + best[:-1]).mean() / 2), abs=1e-3)


@given(scored_rows(), st.randoms())
def test_row_order_changes_no_figure(rows, random):
    score, small, top = rows
    order = list(range(len(score)))
    random.shuffle(order)
    before, after = trace_curve(score, small, top), trace_curve(score[order], small[order], top[order])
    for figure in (apgr, lambda curve: cpt(curve, 0.5), aiq):
        assert figure(after) == pytest.approx(figure(before), nan_ok=True)


@given(scored_rows(), st.integers(1, 3))
def test_a_whole_weight_counts_as_that_many_copies_of_the_row(rows, most):
    score, small, top = rows
    times = 1 + np.arange(len(score)) % most
    weighted = trace_curve(score, small, top, times)
    copied = trace_curve(*(np.repeat(column, times) for column in rows))
    for figure in (apgr, lambda curve: cpt(curve, 0.8), aiq):
        assert figure(weighted) == pytest.approx(figure(copied), nan_ok=True)


@given(scored_rows())
def test_many_weights_at_once_give_what_one_at_a_time_gives(rows):
    score, small, top = rows
    weights = np.random.default_rng(len(score)).integers(0, 3, size=(5, len(score))).astype(float)
    together = trace_curve(score, small, top, weights)
    for figure in (apgr, lambda curve: cpt(curve, 0.5), aiq):
        alone = [figure(trace_curve(score, small, top, weight)) for weight in weights]
        np.testing.assert_allclose(figure(together), alone, atol=1e-9)


def test_no_gap_gives_nan_for_recovery_and_a_number_for_aiq():
    for small, top in (([1, 0], [0, 1]), ([1, 1], [0, 1])):
        curve = curve_of([0, 1], small, top)
        assert math.isnan(apgr(curve))
        assert math.isnan(cpt(curve, 0.5))
        assert aiq(curve) >= np.mean(small)


def test_one_row_and_no_row_never_crash():
    one = curve_of([0.3], [0.0], [1.0])
    assert (apgr(one), cpt(one, 0.5), aiq(one)) == pytest.approx((0.5, 0.5, 0.5))
    none = curve_of([], [], [])
    assert all(math.isnan(value) for value in (apgr(none), cpt(none, 0.5), aiq(none), ece([], [])))
    assert math.isnan(quality_kept(np.empty((0, 2)), []))


def test_a_score_that_is_not_finite_and_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        curve_of([0.1, math.nan], [0, 0], [1, 1])
    with pytest.raises(ValueError, match="2, 1, 2, 2 rows"):
        curve_of([0.1, 0.2], [0], [1, 1])


def test_ece_is_zero_when_soft_labels_equal_the_prediction_and_the_shift_when_they_do_not():
    predicted = np.linspace(0.1, 0.8, 300)
    assert ece(predicted, predicted) == pytest.approx(0)
    assert ece(predicted, predicted + 0.15) == pytest.approx(0.15)


def test_ece_bins_hold_equal_mass_and_equal_predictions_share_one():
    # 30 rows at 0.5, half of them right: one bin, no error, although each row alone is 0.5 off
    assert ece(np.full(30, 0.5), [0, 1] * 15) == pytest.approx(0)
    # two bins of two: (0.1 + 0.2 - 1) / 4 and (0.8 + 0.9 - 1) / 4
    assert ece([0.1, 0.2, 0.8, 0.9], [0, 1, 0, 1], bins=2) == pytest.approx(0.7 / 4 + 0.7 / 4)


def test_reliability_has_a_bin_a_prediction_with_its_share_and_what_was_found():
    found = reliability([0.2, 0.2, 0.9], [0.0, 1.0, 1.0], [1, 1, 2])
    np.testing.assert_allclose(found.share, [0.5, 0.5])
    np.testing.assert_allclose(found.predicted, [0.2, 0.9])
    np.testing.assert_allclose(found.quality, [0.5, 1.0])
    assert len(reliability([], []).share) == 0


def test_ece_counts_weights():
    assert ece([0.2, 0.9], [0.2, 0.5], [3, 1]) == pytest.approx(0.1)


def test_quality_kept_and_shares_use_every_tier():
    quality = np.array([[0.0, 0.5, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    assert quality_kept(quality, [1, 0, 1, 2]) == pytest.approx(3.5 / 3.5)
    assert quality_kept(quality, [0, 0, 0, 0]) == pytest.approx(1 / 3.5)
    assert tier_shares([1, 0, 1, 2], 3).tolist() == [0.25, 0.5, 0.25]
    assert tier_shares([1, 0, 1, 2], 3, [0, 1, 0, 3]).tolist() == [0.25, 0, 0.75]
    assert math.isnan(quality_kept(np.zeros((3, 2)), [0, 1, 1]))


def test_bootstrap_draws_whole_groups():
    groups = np.repeat(["a", "b", "c"], [1, 2, 3])
    weights = bootstrap(lambda weight: weight, groups, resamples=200)
    assert weights.shape == (200, 6)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_bootstrap_is_seeded_and_does_not_depend_on_its_chunks(monkeypatch):
    groups = np.arange(50)
    whole = bootstrap(lambda weight: weight, groups, resamples=20, seed=3)
    monkeypatch.setattr("learned_router.training.metrics._CHUNK", 150)
    assert (bootstrap(lambda weight: weight, groups, resamples=20, seed=3) == whole).all()
    assert (bootstrap(lambda weight: weight, groups, resamples=20, seed=4) != whole).any()


def test_bootstrap_interval_of_a_mean_has_the_width_theory_gives():
    values = np.random.default_rng(0).normal(size=400)
    draws = bootstrap(lambda weight: weight @ values / weight.sum(axis=1), np.arange(400), resamples=2000)
    low, high = percentile_interval(draws)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    assert low < values.mean() < high


def test_rows_of_one_group_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)

    def width(groups):
        low, high = percentile_interval(bootstrap(lambda w: w @ values / w.sum(axis=1), groups))
        return high - low

    assert width(np.arange(400) // 10) > 2.5 * width(np.arange(400))


def test_an_interval_survives_one_undefined_resample_in_a_hundred_and_not_two():
    values = np.arange(200.0)
    values[:2] = np.nan
    assert percentile_interval(values) == pytest.approx((2 + 0.025 * 197, 2 + 0.975 * 197))
    values[2] = np.nan
    assert all(math.isnan(end) for end in percentile_interval(values))
    assert all(math.isnan(end) for end in percentile_interval([]))


@settings(deadline=None)
@given(st.integers(0, 3))
def test_paired_columns_see_the_same_resamples(seed):
    columns = bootstrap(lambda w: np.stack([w[:, 0], w[:, 0] + 1], axis=1), np.arange(9), resamples=50, seed=seed)
    assert (columns[:, 1] - columns[:, 0] == 1).all()

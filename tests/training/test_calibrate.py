"""Calibration keeps the ranking, never makes the loss worse, and stays finite on whatever labels there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from learned_router.policy import as_good_probability
from learned_router.training.calibrate import (
    BIAS_LIMIT,
    LEAST_SPREAD,
    OOD_COMPONENTS,
    SLOPE_LIMITS,
    apply_scaling,
    fit_confidence,
    fit_known,
    known_limit,
    log_loss,
    scale_quality,
)
from learned_router.training.model import Scaling

ROWS, TIERS, WIDTH = 40, 3, 96

logits = arrays.arrays(np.float32, (ROWS, TIERS), elements=st.floats(-8, 8, width=32))
qualities = arrays.arrays(np.float64, (ROWS, TIERS), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
weights = arrays.arrays(np.float64, ROWS, elements=st.sampled_from([0.0, 0.5, 1.0, 3.0]))


@given(logits=logits, quality=qualities, weight=weights)
def test_scaling_keeps_the_order_of_requests_within_each_tier(
    logits: np.ndarray, quality: np.ndarray, weight: np.ndarray
) -> None:
    scaling = scale_quality(logits, quality, weight)
    scaled = apply_scaling(logits.astype(np.float64), scaling)
    for tier in range(TIERS):
        order = np.argsort(logits[:, tier], kind="stable")
        assert (np.diff(scaled[order, tier]) >= 0).all()
    assert (scaling.slope >= SLOPE_LIMITS[0]).all()


@given(logits=logits, quality=qualities, weight=weights)
def test_scaling_never_raises_the_weighted_log_loss(
    logits: np.ndarray, quality: np.ndarray, weight: np.ndarray
) -> None:
    scaling = scale_quality(logits, quality, weight)
    for tier in range(TIERS):
        raw = logits[:, tier].astype(np.float64)
        scaled = raw * scaling.slope[tier] + scaling.bias[tier]
        assert log_loss(scaled, quality[:, tier], weight) <= log_loss(raw, quality[:, tier], weight)


def test_scaling_finds_the_slope_and_bias_that_the_answers_came_from() -> None:
    raw = np.random.default_rng(0).normal(size=(400_000, 1))
    true = Scaling(np.array([2.0]), np.array([-1.0]))
    found = scale_quality(raw, apply_scaling(raw, true), np.ones(len(raw)))
    assert found.slope == pytest.approx(true.slope, abs=0.02)
    assert found.bias == pytest.approx(true.bias, abs=0.02)


def test_a_few_labels_move_the_scaling_less_than_many() -> None:
    raw = np.random.default_rng(0).normal(size=(20_000, 1))
    quality = apply_scaling(raw, Scaling(np.array([2.0]), np.array([-1.0])))
    slopes = [scale_quality(raw[:n], quality[:n], np.ones(n)).slope[0] for n in (40, 400, 4_000)]
    assert 1.0 < slopes[0] < 1.2 < slopes[1] < slopes[2] < 2.0


def test_the_unit_of_the_weights_does_not_matter() -> None:
    raw = np.random.default_rng(0).normal(size=(200, 1))
    quality, weight = (raw > 0.3).astype(float), np.random.default_rng(1).uniform(size=200)
    once, again = scale_quality(raw, quality, weight), scale_quality(raw, quality, 1000 * weight)
    assert once.slope == pytest.approx(again.slope, abs=1e-3)
    assert once.bias == pytest.approx(again.bias, abs=1e-3)


def test_scaling_listens_to_the_heavier_labels() -> None:
    raw, quality = np.zeros((20_000, 1)), np.tile([[0.0], [1.0]], (10_000, 1))
    scaling = scale_quality(raw, quality, np.tile([1.0, 3.0], 10_000))
    assert apply_scaling(raw, scaling)[:, 0] == pytest.approx(np.full(20_000, 0.75), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_a_tier_that_is_always_right_or_always_wrong_stays_within_the_limits(value: float, spread: float) -> None:
    raw = np.linspace(-spread, spread, ROWS)[:, None]
    scaling = scale_quality(raw, np.full((ROWS, 1), value), np.ones(ROWS))
    assert SLOPE_LIMITS[0] <= scaling.slope[0] <= SLOPE_LIMITS[1]
    assert abs(scaling.bias[0]) <= BIAS_LIMIT
    assert np.isfinite(apply_scaling(raw, scaling)).all()


def test_labels_without_any_weight_leave_the_predictions_as_they_are() -> None:
    scaling = scale_quality(np.ones((4, 2)), np.zeros((4, 2)), np.zeros(4))
    assert scaling.slope.tolist() == [1.0, 1.0]
    assert scaling.bias.tolist() == [0.0, 0.0]


def confidence_of(quality: np.ndarray, weights: tuple[float, float, float]) -> np.ndarray:
    return np.array([as_good_probability(row[0], row[-1], weights) for row in quality])


def test_confidence_means_what_it_says() -> None:
    rng = np.random.default_rng(1)
    quality = rng.uniform(0.05, 0.95, size=(6_000, 2))
    truth = (rng.uniform(size=quality.shape) < quality).astype(float)
    (weights,) = fit_confidence(quality, truth, np.ones(len(quality)))
    said, as_good = confidence_of(quality, weights), truth[:, 0] >= truth[:, 1]
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        rows = (low <= said) & (said < high)
        assert said[rows].mean() == pytest.approx(as_good[rows].mean(), abs=0.05)


@pytest.mark.parametrize(("small", "as_good"), [(1.0, True), (0.0, False)])
def test_confidence_of_a_tier_always_or_never_as_good_stays_short_of_certainty(small: float, as_good: bool) -> None:
    quality = np.tile([0.3, 0.6], (ROWS, 1))
    (weights,) = fit_confidence(quality, np.tile([small, 1.0], (ROWS, 1)), np.ones(ROWS))
    said = confidence_of(quality, weights)
    edge = 0.5 / ROWS
    assert said == pytest.approx(np.full(ROWS, 1 - edge if as_good else edge))


def test_confidence_has_weights_for_every_tier_below_the_top_and_takes_predictions_of_0_and_1() -> None:
    rng = np.random.default_rng(2)
    quality = rng.integers(0, 2, size=(ROWS, TIERS)).astype(float)
    found = fit_confidence(quality, rng.integers(0, 2, size=(ROWS, TIERS)).astype(float), np.ones(ROWS))
    assert len(found) == TIERS - 1
    assert np.isfinite(found).all()


def cloud(rows: int, *, directions: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Embeddings of length 1 whose differences span few directions, as those of repetitive labels do."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(rows, directions)) @ np.eye(directions, WIDTH)
    points = np.ones(WIDTH) + spread
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def shifted(points: np.ndarray, amount: float) -> np.ndarray:
    """The embeddings moved along the first direction, which training rows vary in too."""
    moved = points + amount * np.eye(WIDTH, dtype=np.float32)[0]
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


@pytest.mark.parametrize("centres", [1, 4, 24])
def test_training_rows_score_lower_than_rows_far_away(centres: int) -> None:
    seen = cloud(400, directions=20)
    known = fit_known(seen, centres, 0)
    assert known.score(shifted(seen, 10 * seen[:, 0].std())).min() > np.quantile(known.score(seen), 0.99)
    assert known.score(shifted(seen, 0.0)) == pytest.approx(known.score(seen), abs=1e-2)


def test_rows_of_the_same_kind_score_like_training_rows() -> None:
    known = fit_known(cloud(600), 4, 0)
    assert np.median(known.score(cloud(200, seed=1))) < 1.2 * np.median(known.score(cloud(600)))


def test_between_two_kinds_of_requests_lies_nothing_known() -> None:
    kind = cloud(200, directions=4) / 50
    two_kinds = np.concatenate([shifted(kind, 1.0), shifted(kind, -1.0)])
    between = kind / np.linalg.norm(kind, axis=1, keepdims=True)
    known = fit_known(two_kinds, 2, 0)
    assert known.score(between).min() > np.quantile(known.score(two_kinds), 0.99)


def test_a_direction_that_the_labels_never_took_counts_no_more_than_the_floor_allows() -> None:
    seen = cloud(300, directions=3)
    known = fit_known(seen, 1, 0)
    stretch = np.linalg.norm(known.whiten, axis=0)
    # LEAST_SPREAD of the mean of the kept variances, one of which holds at most all of it
    assert stretch.max() / stretch.min() <= np.sqrt(min(OOD_COMPONENTS, WIDTH) / LEAST_SPREAD) * (1 + 1e-4)
    variances = 1 / stretch.astype(np.float64) ** 2
    assert variances.min() >= LEAST_SPREAD * variances.mean() * 0.5


def test_a_new_wording_of_repetitive_labels_stays_near_the_known() -> None:
    seen = np.repeat(cloud(12, directions=3), 20, axis=0)
    step = np.zeros(WIDTH, dtype=np.float32)
    step[-1] = 0.25 * np.linalg.norm(seen - seen.mean(axis=0), axis=1).mean()
    known = fit_known(seen, 24, 0)
    assert np.median(known.score(seen + step)) < 2 * np.quantile(known.score(seen), 0.99)


@pytest.mark.parametrize("digits", [0.0, 1e-7])
def test_a_request_met_a_hundred_times_counts_once(digits: float) -> None:
    # well inside a rounding step, where its last digits cannot carry it into the next one
    seen, new = cloud(60).round(5), cloud(20, seed=3)
    noise = digits * np.random.default_rng(4).uniform(-1, 1, size=(100, WIDTH)).astype(np.float32)
    often = np.concatenate([seen, np.repeat(seen[:1], 100, axis=0) + noise])
    expected = fit_known(seen, 4, 0).score(new)
    assert fit_known(often, 4, 0).score(new) == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Only one sample")
@pytest.mark.parametrize("rows", [1, 2, 9, 10, WIDTH - 1, WIDTH])
@pytest.mark.parametrize("copies", [1, 30])
def test_tiny_and_repeated_labels_give_finite_scores(rows: int, copies: int) -> None:
    seen = np.repeat(cloud(rows), copies, axis=0)
    known = fit_known(seen, 24, 0)
    assert all(np.isfinite(part).all() and part.dtype == np.float32 for part in known)
    assert len(known.centres) == max(1, min(24, rows // 10))
    assert np.isfinite(known.score(np.concatenate([seen, -seen, np.zeros_like(seen)]))).all()


def test_an_encoder_narrower_than_the_components_is_whitened_whole() -> None:
    assert fit_known(cloud(100), 4, 0).whiten.shape == (WIDTH, WIDTH)
    wide = np.random.default_rng(0).normal(size=(100, OOD_COMPONENTS + 8)).astype(np.float32)
    assert fit_known(wide, 4, 0).whiten.shape == (OOD_COMPONENTS + 8, OOD_COMPONENTS)


@pytest.mark.parametrize(
    ("rows", "share", "rank"),
    [
        (1, 0.99, 1),
        (98, 0.99, 98),
        (99, 0.99, 99),
        (100, 0.99, 100),
        (199, 0.99, 198),
        (200, 0.99, 199),
        (9, 0.5, 5),
        (9, 0.0, 1),
    ],
)
def test_the_limit_is_the_score_of_the_rank_that_holds_for_new_rows(rows: int, share: float, rank: int) -> None:
    scores = np.random.default_rng(rows).permutation(np.arange(1, rows + 1)).astype(np.float32)
    assert known_limit(scores, share) == rank


@pytest.mark.parametrize("rows", [99, 150, 400])
def test_new_rows_of_the_same_kind_pass_the_limit_as_rarely_as_promised(rows: int) -> None:
    rng = np.random.default_rng(rows)
    alarms = [(rng.exponential(size=50) > known_limit(rng.exponential(size=rows), 0.99)).mean() for _ in range(2_000)]
    assert np.mean(alarms) <= 0.01 + 4 * np.std(alarms) / np.sqrt(len(alarms))
    assert np.mean(alarms) > 0.001


def test_a_limit_needs_rows() -> None:
    with pytest.raises(IndexError):
        known_limit(np.zeros(0), 0.99)


def test_the_same_seed_gives_the_same_centres() -> None:
    first, second = (fit_known(cloud(300), 8, 7) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))

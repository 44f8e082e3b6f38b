"""Heads learn soft, weighted and missing qualities, are a mean over strengths, and stay finite."""

from __future__ import annotations

import numpy as np
import pytest

from learned_router.training.heads import FAR, fit_quality, fit_step
from learned_router.training.model import UNKNOWN_STEP, Linear

STRENGTHS = (0.01, 0.1, 1.0, 10.0)


def points(n: int = 400, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def predict(heads: Linear, x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(x @ heads.weight.T + heads.bias))))


def fitted(x: np.ndarray, quality: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    weight = np.ones(len(x)) if weight is None else weight
    return predict(fit_quality(x, quality, weight, STRENGTHS), x)


def test_each_tier_learns_its_own_quality() -> None:
    x = points()
    truth = np.stack((x[:, 0] > 0, x[:, 1] > 0), axis=1).astype(float)
    found = fitted(x, truth)
    assert ((found > 0.5) == (truth > 0.5)).mean() > 0.95


def test_a_soft_quality_is_learned_as_it_is() -> None:
    found = fitted(points(), np.full((400, 1), 0.3))
    assert found.mean() == pytest.approx(0.3, abs=0.01)


def test_weights_count_as_repetitions_do() -> None:
    x = points(40)
    quality = (x[:, :1] + np.random.default_rng(1).normal(size=(40, 1)) > 0).astype(float)
    twice = np.where(np.arange(40) < 10, 2.0, 1.0)
    one = fit_quality(x, quality, twice * 40 / 50, (1.0,))
    again = np.concatenate((x, x[:10])), np.concatenate((quality, quality[:10]))
    # the same data and, at a mean weight of 1, four fifths of the rows' say against the same regularisation
    other = fit_quality(*again, np.full(50, 0.8), (0.8,))
    assert one.weight == pytest.approx(other.weight, abs=0.02)


def test_a_row_without_weight_or_quality_teaches_nothing() -> None:
    x = points(200)
    quality = (x[:, :1] > 0).astype(float)
    weight = np.ones(200)
    weight[100:150], quality[:50] = 0.0, np.nan
    spoiled = quality.copy()
    spoiled[100:150] = 1 - spoiled[100:150]
    first, second = (fit_quality(x, q, weight, (1.0,)) for q in (quality, spoiled))
    assert (first.weight == second.weight).all()


def test_heads_are_the_mean_of_those_of_each_strength() -> None:
    x = points(300, 40)
    quality = (x[:, :2] + np.random.default_rng(5).normal(size=(300, 2)) > 0).astype(float)
    alone = [fit_quality(x, quality, np.ones(300), (strength,)) for strength in STRENGTHS]
    mean = fit_quality(x, quality, np.ones(300), STRENGTHS)
    assert mean.weight == pytest.approx(np.mean([heads.weight for heads in alone], axis=0), abs=1e-6)
    assert mean.bias == pytest.approx(np.mean([heads.bias for heads in alone], axis=0), abs=1e-6)
    lengths = [np.linalg.norm(heads.weight) for heads in alone]
    assert lengths == sorted(lengths)
    assert lengths[0] < np.linalg.norm(mean.weight) < lengths[-1]


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_tier_that_is_always_or_never_right_stays_finite(right: float) -> None:
    heads = fit_quality(points(), np.full((400, 1), right), np.ones(400), STRENGTHS)
    assert np.isfinite(heads.weight).all()
    assert predict(heads, points())[:, 0] == pytest.approx(right, abs=0.01)


@pytest.mark.parametrize("steps", [(2,), (1, 4), (0, 2, 5)])
def test_the_steps_that_were_taught_are_told_apart_and_the_others_are_not_expected(steps: tuple[int, ...]) -> None:
    x = points(300, 8)
    step = np.array(steps)[np.argmax(x[:, : len(steps)], axis=1)]
    step[:20] = UNKNOWN_STEP
    heads = fit_step(x, step, np.ones(300), 6)
    logits = x @ heads.weight.T + heads.bias
    assert (logits.argmax(axis=1)[20:] == step[20:]).mean() > 0.9
    untaught = [place for place in range(6) if place not in steps]
    assert (logits[:, untaught] == FAR).all()

"""Heads on an encoder as it is: logistic regressions of each tier's quality, and one of the step.

Knows arrays; knows nothing of encoders, of labels on disk or of graphs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from learned_router.training.model import UNKNOWN_STEP, Linear

Array = NDArray[np.floating]

# Of a step that a label does not have; also keeps a tier that was always right finite
FAR = -30.0
STEP_STRENGTH = 1.0


def fit_quality(points: Array, quality: Array, weight: Array, strengths: Sequence[float]) -> Linear:
    """A logistic regression for each tier's quality: the mean of one at each of the strengths.

    points: (n, d). quality: (n, tiers) in [0, 1], soft targets, NaN where not known. weight: (n,), not negative.
    strengths: inverse strengths of the regularisation (scikit-learn's C, at a mean weight of 1). A mean of them is worth
    more than the one that does best on held-out folds, which few labels choose by chance (LOG, 2026-11-28).
    """
    heads = [_fit_tiers(points, quality, weight, strength) for strength in strengths]
    return Linear(
        np.asarray(np.mean([head.weight for head in heads], axis=0)),
        np.asarray(np.mean([head.bias for head in heads], axis=0)),
    )


def fit_step(points: Array, step: NDArray[np.integer], weight: Array, n_steps: int) -> Linear:
    """A multinomial logistic regression of the step. points: (n, d). step: (n,), UNKNOWN_STEP where not known.

    Steps that no row has get a bias far below the others.
    """
    found = Linear(np.zeros((n_steps, points.shape[1]), np.float32), np.full(n_steps, FAR, np.float32))
    known = (step != UNKNOWN_STEP) & (weight > 0)
    taught = np.unique(step[known])
    found.bias[taught] = 0.0
    if len(taught) < 2:
        return found
    model = _solve(points[known], step[known], weight[known], STEP_STRENGTH)
    if len(taught) == 2:  # scikit-learn gives the second class's log-odds alone
        found.weight[taught[1]], found.bias[taught[1]] = model.coef_[0], model.intercept_[0]
    else:
        found.weight[taught], found.bias[taught] = model.coef_, model.intercept_
    return found


def _fit_tiers(points: Array, quality: Array, weight: Array, strength: float) -> Linear:
    rows = [_fit_tier(points, target, weight, strength) for target in quality.T]
    return Linear(
        np.array([coefficients for coefficients, _ in rows], np.float32),
        np.array([bias for _, bias in rows], np.float32),
    )


def _fit_tier(points: Array, target: Array, weight: Array, strength: float) -> tuple[Array, float]:
    known = ~np.isnan(target) & (weight > 0)
    points, target, weight = points[known], target[known], weight[known]
    # a soft target is a row that is partly right and partly wrong
    right, wrong = target > 0, target < 1
    if not right.any() or not wrong.any():
        share = (target @ weight + 0.5) / (weight.sum() + 1.0)
        return np.zeros(points.shape[1]), float(np.log(share / (1 - share)))
    model = _solve(
        np.concatenate((points[right], points[wrong])),
        np.repeat((1, 0), (right.sum(), wrong.sum())),
        np.concatenate(((weight * target)[right], (weight * (1 - target))[wrong])),
        strength / max(weight.mean(), 1e-12),
    )
    return model.coef_[0], float(model.intercept_[0])


def _solve(points: Array, target: NDArray[np.integer], weight: Array, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a head are of no use
        return LogisticRegression(C=strength, solver="newton-cholesky", max_iter=50).fit(
            points.astype(np.float64), target, sample_weight=weight
        )

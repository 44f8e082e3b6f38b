"""Where their settings coincide, a certificate's threshold is that of MAPIE's risk control.

Qualities of 0 or 1, a top tier that is always right, calls of one weight, thresholds tried in one fixed sequence: the loss
is "sent down and wrong", its bound 1 - X. MAPIE's p-value is then the binomial's too.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from learned_router.training.betting import binomial_above_zero
from learned_router.training.certify import SlicePlan, prove, walk
from learned_router.training.proof_rows import Rows, draw_path, follow_path, unit_margins

risk_control = pytest.importorskip("mapie.risk_control")
DELTA = 0.05


def calls(count: int, seed: int, lost: float) -> Rows:
    """The cheap tier is wrong the oftener, the more regret is predicted."""
    random = np.random.default_rng(seed)
    regret = random.random(count)
    truth = np.column_stack((random.random(count) >= 2 * lost * regret, np.ones(count))).astype(float)
    return Rows(
        predicted=np.column_stack((1.0 - regret, np.ones(count))),
        known=np.ones(count, dtype=bool),
        answers=None,
        truth=truth,
        graded=truth,
        reviewed=np.full(count, np.nan),
        weight=np.ones(count),
        unit=np.arange(count),
        step=np.full(count, "other"),
    )


def thresholds_of_mapie(proof: Rows, path: list[float], target: float) -> int:
    """How many thresholds of the path MAPIE's fixed-sequence testing accepts."""
    wrong_below = risk_control.BinaryRisk(
        risk_occurrence=lambda y_true, y_pred: (y_pred == 1) & (y_true == 0),
        risk_condition=lambda y_true, y_pred: np.ones(len(y_true), dtype=bool),
        higher_is_better=False,
    )
    # it sends down where the score reaches the parameter; ours, where the regret is within the threshold
    controller = risk_control.BinaryClassificationController(
        predict_function=lambda x: np.column_stack((x[:, 0], 1.0 - x[:, 0])),
        risk=wrong_below,
        target_level=1.0 - target,
        confidence_level=1.0 - DELTA,
        best_predict_param_choice=wrong_below,
        list_predict_params=1.0 - np.array(path),
        fwer_method="fixed_sequence",
    )
    regret = proof.predicted[:, -1] - proof.predicted[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where nothing can be controlled
        controller.calibrate(regret[:, None], proof.truth[:, 0].astype(int))
    return len(controller.valid_predict_params)


@given(
    seed=st.integers(0, 500),
    count=st.sampled_from([100, 400, 1500]),
    lost=st.sampled_from([0.03, 0.06, 0.2]),
    target=st.sampled_from([0.9, 0.95, 0.98]),
)
@settings(max_examples=25, deadline=None)
def test_the_threshold_is_that_of_mapie(seed: int, count: int, lost: float, target: float) -> None:
    """It divides the losses by the calls and rounds up again, so that it may count one loss more, but never one less."""
    tuning, proof = calls(300, seed, lost), calls(count, seed + 1000, lost)
    [found] = prove(tuning, proof, SlicePlan(), target, DELTA, np.array([0.05, 1.0]), limit=1.0)
    assert found.bound == "binomial"
    path = [route for route, _ in draw_path(tuning, np.array([0.05, 1.0]))]
    margins, low = unit_margins(proof, follow_path(proof, [(route, None) for route in path]), target, 1.0, 1.0, 0)
    ours = walk(binomial_above_zero(margins, low, DELTA))
    assert not found.certified or path[ours - 1] == found.route
    losses = (margins < 0).sum(axis=0)
    at_least = walk(binom.cdf(losses + 1, count, 1.0 - target) <= DELTA)
    assert at_least <= thresholds_of_mapie(proof, path, target) <= ours

"""What an encoder is worth over many pairs of models: one figure that no pair without a gap can spoil."""

from __future__ import annotations

import numpy as np
import pytest

from learned_router.training.metrics import apgr, trace_curve
from learned_router.training.unseen import joint_apgr

TRUTH = np.array([[0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, np.nan]], dtype=float)
PREDICTED = np.array(
    [[0.2, 0.9, 0.8], [0.9, 0.8, 0.9], [0.3, 0.1, 0.9], [0.8, 0.3, 0.9], [0.4, 0.9, 0.2], [0.1, 0.9, 0.5]]
)
EACH = np.ones(len(TRUTH))


def test_of_one_pair_it_is_its_apgr() -> None:
    curve = trace_curve(PREDICTED[:, 1] - PREDICTED[:, 0], TRUTH[:, 0], TRUTH[:, 1])
    assert joint_apgr(PREDICTED, TRUTH, [(0, 1)], EACH) == pytest.approx(apgr(curve))


def test_each_pair_is_weighed_by_its_gap() -> None:
    pairs = [(0, 1), (0, 2)]
    gaps = [np.nanmean(TRUTH[:, high] - TRUTH[:, low]) for low, high in pairs]
    alone = [float(joint_apgr(PREDICTED, TRUTH, [pair], EACH)) for pair in pairs]
    assert joint_apgr(PREDICTED, TRUTH, pairs, EACH) == pytest.approx(np.average(alone, weights=gaps))


def test_a_resample_that_leaves_one_pair_no_gap_has_a_figure_all_the_same() -> None:
    weight = np.array([EACH, [0, 1, 0, 0, 1, 0]])  # of the second, models 0 and 2 are right alike
    assert not np.isfinite(apgr(trace_curve(PREDICTED[:5, 2], TRUTH[:5, 0], TRUTH[:5, 2], weight[1, :5])))
    assert np.isfinite(joint_apgr(PREDICTED, TRUTH, [(0, 1), (0, 2)], weight)).all()

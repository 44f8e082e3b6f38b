"""Make predictions mean what they say, on the calibration split: quality per tier, confidence, out-of-distribution score.

Knows arrays; never runs the network. The graph carries the first and the last of the three, the config the second.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression

from learned_router.training.model import Known, Scaling

SLOPE_LIMITS = (0.2, 5.0)
BIAS_LIMIT = 4.0
# How far the scaling of a tier is expected from 1 and 0 (standard deviations), before any label is seen: heads by logistic
# regression need hardly any, and a hundred labels know less (LOG, 2026-11-28)
SLOPE_EXPECTED = 0.1
BIAS_EXPECTED = 0.2
# Directions kept, widest first. What other requests differ in is seen in the narrow ones: of other logs' requests 0.97 are
# farther than a log's own with 64, 0.995 with 384, and more only cost time (LOG, 2026-11-25)
OOD_COMPONENTS = 384
# Repetitive labels span few directions; dividing by the spread of the others would call every new wording unknown
LEAST_SPREAD = 0.1


def scale_quality(logits: np.ndarray, quality: np.ndarray, weight: np.ndarray) -> Scaling:
    """Slope and bias per tier, the likeliest after the labels; the order of requests within a tier stays.

    logits: (n, n_tiers). quality: (n, n_tiers) in [0, 1], soft targets, NaN where not known. weight: (n,), not negative.
    The weighted log loss never rises: where the search finds nothing better, slope 1 and bias 0 are kept. Few labels hardly
    move them, for it is the difference of two tiers that routes, and each tier's own chance moves it.

    Source: Platt scaling (Platt 1999), with normal priors about 1 and 0, and bounded, so that a tier that is always right
    stays finite.
    """
    known = ~np.isnan(quality)
    pairs = [_scale_tier(logits[rows, tier], quality[rows, tier], weight[rows]) for tier, rows in enumerate(known.T)]
    slope, bias = zip(*pairs, strict=True)
    return Scaling(np.array(slope), np.array(bias))


def apply_scaling(logits: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Calibrated qualities, (n, n_tiers)."""
    quality: np.ndarray = 1.0 / (1.0 + np.exp(-(logits * scaling.slope + scaling.bias)))
    return quality


def log_loss(logits: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean cross-entropy, in nats, of soft targets (n,) under logits (n,)."""
    loss = np.logaddexp(0.0, logits) - target * logits
    return float((loss * weight).sum() / max(weight.sum(), 1e-12))


def _scale_tier(logits: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    logits = logits.astype(np.float64)
    as_it_is = np.array([1.0, 0.0])
    # of how many equal labels these are worth (Kish 1965)
    count = float(weight.sum() ** 2 / max((weight**2).sum(), 1e-12))

    def loss(parameters: np.ndarray) -> float:
        return log_loss(logits * parameters[0] + parameters[1], target, weight)

    def surprise(parameters: np.ndarray) -> float:
        expected = (parameters - as_it_is) / (SLOPE_EXPECTED, BIAS_EXPECTED)
        return count * loss(parameters) + float(expected @ expected) / 2

    found = minimize(surprise, as_it_is, bounds=[SLOPE_LIMITS, (-BIAS_LIMIT, BIAS_LIMIT)], method="L-BFGS-B")
    if loss(found.x) < loss(as_it_is):
        return float(found.x[0]), float(found.x[1])
    return 1.0, 0.0


def fit_confidence(quality: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> list[tuple[float, float, float]]:
    """For each tier below the top: (bias, own, top) of ``policy.as_good_probability``.

    quality: predicted, (n, n_tiers); truth: graded, (n, n_tiers), NaN where not known. The event is truth of the tier ≥
    truth of the top.
    """
    known, weights = ~np.isnan(truth), []
    for tier in range(truth.shape[1] - 1):
        rows = known[:, tier] & known[:, -1]
        as_good = truth[rows, tier] >= truth[rows, -1]
        weights.append(_fit_event(quality[rows][:, [tier, -1]], as_good, weight[rows]))
    return weights


def _fit_event(quality: np.ndarray, event: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Logistic regression of an event (n,) on the log-odds of two qualities (n, 2): bias and the two weights."""
    if event.all() or not event.any():
        edge = float(np.clip(np.average(event, weights=weight), 0.5 / len(event), 1 - 0.5 / len(event)))
        return float(np.log(edge / (1 - edge))), 0.0, 0.0
    clipped = np.clip(quality.astype(np.float64), 1e-4, 1 - 1e-4)
    model = LogisticRegression(C=1.0).fit(np.log(clipped / (1 - clipped)), event, sample_weight=weight)
    return float(model.intercept_[0]), float(model.coef_[0, 0]), float(model.coef_[0, 1])


def fit_known(points: np.ndarray, n_centres: int, seed: int) -> Known:
    """Where training requests lie, from what the quality heads read of them, (n, width).

    Source: Mahalanobis distance to the nearest of several centres with one shared covariance, that of the points about
    their own centre (Lee et al. 2018), shrunk (Ledoit & Wolf 2004), since labels may be fewer than components.
    """
    # a request met a hundred times is one place: counted each time, it would shrink the spread and take a centre alone;
    # rounded, since the same request padded to another width comes out different in its last digits
    points = points[np.unique(points.round(5), axis=0, return_index=True)[1]]
    centre = points.mean(axis=0)
    moved = points - centre
    clusters = KMeans(n_clusters=max(1, min(n_centres, len(points) // 10)), n_init=2, random_state=seed).fit(moved)
    # about its own centre, not the mean of all: what lies between two kinds of requests is like neither
    about = moved - clusters.cluster_centers_[clusters.labels_]
    values, vectors = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(about).covariance_)
    kept = slice(-min(OOD_COMPONENTS, points.shape[1]), None)
    spread = np.maximum(values[kept], max(LEAST_SPREAD * values[kept].mean(), 1e-8))
    whiten = vectors[:, kept] / np.sqrt(spread)
    return Known(*(part.astype(np.float32) for part in (centre, whiten, clusters.cluster_centers_ @ whiten)))


def known_limit(scores: np.ndarray, share: float) -> float:
    """Score up to which a request counts as known, from requests that ``fit_known`` has not seen, (n,).

    A new request of their kind lies above it with probability at most 1 - share, over the draw of all of them, as long
    as n >= share / (1 - share); of fewer the largest score is taken, and the probability is at most 1 / (n + 1).

    Source: split conformal prediction (Vovk et al. 2005): the ceil((n + 1) share)-th smallest of n exchangeable scores.
    """
    rank = min(len(scores), math.ceil((len(scores) + 1) * share - 1e-9))
    return float(np.sort(scores)[max(rank, 1) - 1])

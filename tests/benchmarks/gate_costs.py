"""Quality against cost when a small answer that is not kept is paid for too: ways of sending calls, as rows of arrays.

Knows arrays; knows nothing of labels, networks or figures. Costs are of a call of the frontier, which costs 1; ``small``
is what a call of the small tier costs. ``weight`` is as everywhere in ``metrics``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from triples_sweep import least_cost

from learned_router.training import metrics
from learned_router.training.baselines import Floats
from learned_router.training.metrics import Curve
from learned_router.training.thresholds import Answers, trace_path

# Points of an order: shares of the calls, closer together than a test split of some hundred rows can tell apart
POINTS = 201
# Points at one and the same cost are put so far apart, that each stands on the curve
APART = 1e-12


class Ways(NamedTuple):
    """Ways of sending n calls: quality and cost of each call, (ways, n)."""

    quality: Floats
    cost: Floats


class Judged(NamedTuple):
    """What router and gate say of n calls: regret predicted, and whether a call or an answer goes up whatever it is."""

    route: Floats
    accept: Floats
    known: NDArray[np.bool_]
    refused: NDArray[np.bool_]


def route_in_order(need: Floats, quality: Floats, small: float) -> Ways:
    """The neediest share of the calls goes to the frontier at once, the others to the small tier, for POINTS shares.

    need: (n,). quality: (n, 2). Calls of equal need go up in an order that is drawn once, whatever their rows' order.
    """
    up = _ups(need)
    return Ways(np.where(up, quality[:, 1], quality[:, 0]), np.where(up, 1.0, small))


def escalate_in_order(need: Floats, quality: Floats, small: float) -> Ways:
    """Every call is tried small, and the neediest share of the answers goes up, so that both calls are paid for."""
    up = _ups(need)
    return Ways(np.where(up, quality[:, 1], quality[:, 0]), np.where(up, 1.0, 0.0) + small)


def use_both(judged: Judged, quality: Floats, small: float, thresholds: Floats) -> Ways:
    """What router and gate do with each pair of thresholds, as ``thresholds.try_pair`` says. thresholds: (ways, 2)."""
    tried = judged.known & (judged.route <= thresholds[:, :1])
    kept = tried & ~judged.refused & (judged.accept <= thresholds[:, 1:])
    return Ways(np.where(kept, quality[:, 0], quality[:, 1]), np.where(tried, small, 0.0) + ~kept)


def choose_path(judged: Judged, weight: Floats, small: float) -> Floats:
    """The pairs of thresholds that the product considers, cheapest first; (ways, 2). No label is read."""
    predicted = np.column_stack((-judged.route, np.zeros(len(weight))))
    answers = Answers(judged.accept[:, None], judged.refused[:, None])
    return np.array(trace_path(predicted, answers, weight, judged.known, np.array([small, 1.0]))[::-1])


def means(ways: Ways, weight: Floats) -> tuple[Floats, Floats]:
    """Mean cost and mean quality of each way, (…, ways)."""
    total = weight.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weight @ ways.cost.T / total, weight @ ways.quality.T / total


def trace_ways(ways: Ways, quality: Floats, weight: Floats, small: float) -> Curve:
    """The ways by rising cost, between always-small and always-frontier; ``share`` is cost, 0 and 1 at these two.

    A way that costs more than always-frontier is left out: it stands where always-frontier stands.
    """
    total = weight.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ends = weight @ quality / total
    cost, found = means(ways, weight)
    share = (cost - small) / (1 - small)
    dear = share >= 1
    share, found = np.where(dear, 1.0, share), np.where(dear, ends[..., 1:], found)
    zero, one = np.zeros((*share.shape[:-1], 1)), np.ones((*share.shape[:-1], 1))
    share = np.concatenate((zero, share, one), axis=-1)
    found = np.concatenate((ends[..., :1], found, ends[..., 1:]), axis=-1)
    order = np.lexsort((found, share), axis=-1)
    # always-small stays first: nothing is cheaper
    order = np.concatenate((np.zeros_like(order[..., :1]), _without_first(order)), axis=-1)
    share, found = (np.take_along_axis(values, order, axis=-1) for values in (share, found))
    share = np.maximum(share, 0.0) + APART * np.arange(share.shape[-1])
    return Curve(share, found - found[..., :1], found[..., 0])


def measure_ways(ways: Ways, quality: Floats, weight: Floats, small: float, targets: tuple[float, ...]) -> Floats:
    """AIQ, then for each target the least normalised cost at which that share of the frontier's quality is kept.

    (…, 1 + targets). The curve's hull mixes ways at random; always-frontier is one of them, so every target is met.
    """
    curve = trace_ways(ways, quality, weight, small)
    frontier = curve.quality[..., -1]
    costs = [np.minimum(least_cost(curve, target * frontier), 1.0) for target in targets]
    return np.stack((metrics.aiq(curve), *costs), axis=-1)


def to_bill(cost: Floats, small: float) -> Floats:
    """Of a normalised cost, the share of always-frontier's bill."""
    return small + (1 - small) * cost


def auc(score: Floats, right: Floats, weight: Floats) -> Floats:
    """Chance that a right answer's score is above a wrong one's, level ones counting half, (…); nan without either.

    score: (n,). right: (n,), in [0, 1]: a half right answer is half of each.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    good = np.add.reduceat((weight * right)[..., order], starts, axis=-1)
    bad = np.add.reduceat((weight * (1 - right))[..., order], starts, axis=-1)
    below = np.cumsum(bad, axis=-1) - bad / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((good * below).sum(axis=-1) / (good.sum(axis=-1) * bad.sum(axis=-1)))


def _ups(need: Floats) -> NDArray[np.bool_]:
    """Which calls go up at each of POINTS shares, none first and all last: bool (POINTS, n)."""
    drawn = np.random.default_rng(0).permutation(len(need))
    rank = np.empty(len(need), dtype=np.intp)
    rank[np.lexsort((drawn, -need))] = np.arange(len(need))
    counts = np.unique(np.round(np.linspace(0, len(need), POINTS)))
    return rank < counts[:, None]


def _without_first(order: NDArray[np.intp]) -> NDArray[np.intp]:
    """The order without the place 0, along the last axis."""
    return order[order != 0].reshape(*order.shape[:-1], order.shape[-1] - 1)

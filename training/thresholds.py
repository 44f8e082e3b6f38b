"""Choose each mode's thresholds on the calibration split by a plain point estimate. Knows arrays; promises nothing.

A certificate, with its probability, is another room's work; until then an artifact's modes say ``certified: false``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from learned_router.policy import NEVER_DOWN, choose_tier

# Candidates of the router's threshold alone, where a certificate walks down them
ROUTE_CANDIDATES = 100
# Candidates of each of two thresholds that are chosen together: quantiles of what is predicted
PAIR_CANDIDATES = 41
# Levels of cost, up to that of the top tier for everything, at each of which one pair is considered
COST_LEVELS = 60


class OperatingPoint(NamedTuple):
    """threshold: regret allowed. kept: mean quality over the top tier's. shares: of calls, by tier."""

    threshold: float
    kept: float
    shares: tuple[float, ...]


def choose_threshold(
    predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray, target: float, known: np.ndarray
) -> OperatingPoint:
    """The largest threshold up to which the estimate of the quality kept never falls below ``target``.

    predicted, truth: (n, n_tiers), cheapest first. weight: (n,). known: bool (n,), False for requests that go to the
    top tier whatever the threshold (out of distribution). A threshold lies midway between two predicted regrets.
    """
    regrets = np.where(known, _least_threshold(predicted), np.inf)
    steps = np.unique(regrets[np.isfinite(regrets)])
    best = operating_point(predicted, truth, weight, NEVER_DOWN, known)
    if not best.kept >= target:  # not a number: the top tier is never right, so there is nothing to keep
        return best
    edges = [*(steps[:-1] + steps[1:]) / 2, 1.0] if len(steps) else []
    # at most 200 candidates: the estimate moves little between neighbours, and each costs a pass over the rows
    for threshold in edges[:: max(1, len(edges) // 200)]:
        point = operating_point(predicted, truth, weight, float(threshold), known)
        if point.kept < target:
            break
        best = point
    return best


def operating_point(
    predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray, threshold: float, known: np.ndarray
) -> OperatingPoint:
    """What the decision rule would do with a threshold: quality kept and share per tier, weighted."""
    top = predicted.shape[1] - 1
    chosen = np.array(
        [
            choose_tier(row.tolist(), threshold).index if row_known else top
            for row, row_known in zip(predicted, known, strict=True)
        ]
    )
    routed = truth[np.arange(len(truth)), chosen]
    at_top = float((truth[:, -1] * weight).sum())
    kept = float((routed * weight).sum()) / at_top if at_top > 0 else float("nan")
    shares = tuple(float(weight[chosen == tier].sum() / weight.sum()) for tier in range(top + 1))
    return OperatingPoint(threshold, kept, shares)


class PairPoint(NamedTuple):
    """Thresholds of router and gate together, both regrets allowed, and what they do.

    kept: mean quality over the top tier's. cost: over that of the top tier for everything. tried: share of calls that a
    lower tier answers first. escalated: share of calls whose answer the gate does not keep, so that both are paid for.
    """

    route: float
    accept: float
    kept: float
    cost: float
    tried: float
    escalated: float


class Answers(NamedTuple):
    """What a gate makes of every lower tier's answer to some requests, each (n, tiers - 1).

    regret: predicted, NaN where there is no answer. refused: whether it goes up whatever the threshold, for a rule or as
    out of distribution. doubted: share of the top tier's quality that keeping it is predicted to lose, where no more than
    the target leaves may be, since the answer tells less than those of training; -inf elsewhere, None if all is told.
    """

    regret: np.ndarray
    refused: np.ndarray
    doubted: np.ndarray | None = None

    @property
    def there(self) -> np.ndarray:
        """Requests that every lower tier has answered, bool (n,)."""
        there: np.ndarray = ~np.isnan(self.regret).any(axis=1)
        return there

    def take(self, rows: np.ndarray) -> Answers:
        return Answers(self.regret[rows], self.refused[rows], None if self.doubted is None else self.doubted[rows])

    def under(self, target: float) -> Answers:
        """The same where a mode keeps ``target``: what loses more by itself, and is doubted, is refused."""
        return self if self.doubted is None else self._replace(refused=self.refused | (self.doubted > 1.0 - target))


def choose_pairs(
    predicted: np.ndarray,
    answers: Answers,
    truth: np.ndarray,
    weight: np.ndarray,
    targets: Mapping[str, float],
    known: np.ndarray,
    costs: np.ndarray,
) -> dict[str, PairPoint]:
    """For each mode the last pair of thresholds, on a path from "everything to the top tier" down, that keeps its target.

    predicted, truth, weight, known: as ``choose_threshold`` takes them, of the router. answers: of the gate, on the same
    rows. costs: (n_tiers,), of an average call, cheapest tier first.
    The path is drawn by what is predicted, not by ``truth``: of hundreds of pairs, the best by the estimate would be the
    luckiest, and keep less on other requests.
    """
    path = [(NEVER_DOWN, NEVER_DOWN), *trace_path(predicted, answers, weight, known, costs)]
    points = [try_pair(predicted, answers, truth, weight, route, accept, known, costs) for route, accept in path]
    chosen = {}
    for mode, target in targets.items():
        falls = (place for place, point in enumerate(points) if not point.kept >= target)  # also what is not a number
        # the first is taken whatever it keeps: where the top tier is never right, there is nothing to keep
        chosen[mode] = points[max(next(falls, len(points)) - 1, 0)]
    return chosen


def trace_path(
    predicted: np.ndarray, answers: Answers, weight: np.ndarray, known: np.ndarray, costs: np.ndarray
) -> list[tuple[float, float]]:
    """Pairs of thresholds, dearest first: for each level of cost, the pair that the gate predicts to keep most.

    Only pairs that cost less than the top tier for everything. Arguments as ``choose_pairs`` takes them; no label is read.
    """
    # regret is all that a kept answer is predicted to lose
    expected = np.column_stack((1.0 - answers.regret, np.ones(len(weight))))
    by_level: dict[int, PairPoint] = {}
    accepts = _candidates(answers.regret[~answers.refused])
    for route in _candidates(_least_threshold(predicted)[known]):
        for accept in accepts:
            point = try_pair(predicted, answers, expected, weight, route, accept, known, costs)
            if point.cost >= 1.0:
                continue
            level = int(point.cost * COST_LEVELS)
            if level not in by_level or (point.kept, -point.cost) > (by_level[level].kept, -by_level[level].cost):
                by_level[level] = point
    return [(by_level[level].route, by_level[level].accept) for level in sorted(by_level, reverse=True)]


def try_pair(
    predicted: np.ndarray,
    answers: Answers,
    truth: np.ndarray,
    weight: np.ndarray,
    route: float,
    accept: float,
    known: np.ndarray,
    costs: np.ndarray,
) -> PairPoint:
    """What router and gate would do with two thresholds; arguments as ``choose_pairs`` takes them."""
    first, last = follow(predicted, known, route, answers, accept)
    top = predicted.shape[1] - 1
    quality = truth[np.arange(len(truth)), last]
    escalated = (first < top) & (last == top)
    spent = costs[first] + np.where(escalated, costs[-1], 0.0)
    total, at_top = max(float(weight.sum()), 1e-12), float(weight @ truth[:, -1])
    return PairPoint(
        route=route,
        accept=accept,
        kept=float(weight @ quality) / at_top if at_top > 0 else float("nan"),
        cost=float(weight @ spent) / (total * float(costs[-1])),
        tried=float(weight @ (first < top)) / total,
        escalated=float(weight @ escalated) / total,
    )


def follow(
    predicted: np.ndarray,
    known: np.ndarray,
    route: float,
    answers: Answers | None = None,
    accept: float = NEVER_DOWN,
    blocked: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the tier that is called first and of the tier whose answer is used, each (n,).

    The two differ where a gate, if ``answers`` says what it makes of them, does not keep a lower tier's answer.
    blocked: bool (n, n_tiers), tiers that cannot serve a request.
    """
    rows, top = np.arange(len(predicted)), predicted.shape[1] - 1
    allowed = predicted[:, -1:] - predicted[:, :-1] <= route
    if blocked is not None:
        allowed &= ~blocked[:, :-1]
    first = np.where(known & allowed.any(axis=1), allowed.argmax(axis=1), top)
    if answers is None:
        return first, first
    lower = np.minimum(first, top - 1)
    keeps = ~answers.refused[rows, lower] & (answers.regret[rows, lower] <= accept)
    return first, np.where(keeps, first, top)


def trace_thresholds(predicted: np.ndarray, known: np.ndarray) -> list[float]:
    """Thresholds of the router alone, least first: midway between predicted regrets, at equal shares of rows."""
    return _candidates(_least_threshold(predicted)[known], ROUTE_CANDIDATES)[1:]


def _candidates(regrets: np.ndarray, count: int = PAIR_CANDIDATES) -> list[float]:
    """Thresholds to try, from one below all regrets to one above: midway between neighbours, at equal shares of rows."""
    values = np.unique(regrets[np.isfinite(regrets)])
    edges = [*((values[:-1] + values[1:]) / 2)]
    some = edges[:: max(1, len(edges) // count)]
    return [NEVER_DOWN, *map(float, some), 1.0]


def _least_threshold(predicted: np.ndarray) -> np.ndarray:
    """For each row the smallest threshold at which a tier below the top is taken: (n,)."""
    least: np.ndarray = (predicted[:, -1:] - predicted[:, :-1]).min(axis=1)
    return least

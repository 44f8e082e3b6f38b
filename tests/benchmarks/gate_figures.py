"""Figures of the benchmark of the gate: by share of escalated calls, by cost, by group of inputs, and where it is blind.

Knows what was predicted and found; knows nothing of how it came about, of files or of pages.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
from bench_figures import RESAMPLES, Part, ece_by_chance, measure_parts, pair_apgr, rounded, to_estimate
from bench_pairs import Pair
from gate_ablation import WHOLE
from gate_costs import (
    Judged,
    Ways,
    auc,
    choose_path,
    escalate_in_order,
    measure_ways,
    route_in_order,
    to_bill,
    trace_ways,
    use_both,
)
from gate_pairs import REACH
from gate_predictions import Predictions, Side

from learned_router.training import metrics
from learned_router.training.baselines import Floats
from learned_router.training.evaluation import Estimate

RATIOS = (5.0, 20.0, 100.0)
TARGETS = (0.95, 0.98)
# The ratio and the target of which the goal speaks, and what the pair may cost, of the better of the two alone
GOAL_RATIO, GOAL = 20.0, 0.7
ROUTER, GATE, BOTH, ORACLE, LOGISTIC, LENGTH = "router", "gate", "both", "oracle", "logistic", "length"
SHOWN = {
    ROUTER: "router alone, the prompt",
    GATE: "gate alone, prompt and answer",
    BOTH: "both",
    ORACLE: "oracle",
    LOGISTIC: "logistic regression on the answer's features",
    LENGTH: "length of the answer",
}
WAYS = (ROUTER, GATE, BOTH, ORACLE)
CURVE_COSTS = np.linspace(0, 1, 61) ** 2
# A rule's refusal goes up before anything that is only predicted
REFUSED = 2.0
ESCALATED = 0.3
CATEGORIES = 12


class OrderFigures(msgspec.Struct, frozen=True):
    """One way of ordering calls. minus: the gate's APGR minus this one's. auc: of 'the small answer is right'."""

    name: str
    apgr: Estimate
    minus: Estimate | None
    auc: Estimate | None


class CostFigures(msgspec.Struct, frozen=True):
    """One way at one price ratio. aiq: over normalised cost. cost95, cost98: normalised, 0 always-small and 1
    always-frontier; bill95, bill98: of always-frontier's bill. curve: mean quality on the hull at CURVE_COSTS.
    """

    name: str
    aiq: Estimate
    cost95: Estimate
    bill95: Estimate
    cost98: Estimate
    bill98: Estimate
    curve: list[float]


class RatioFigures(msgspec.Struct, frozen=True):
    """All ways at one price ratio. versus: the bill of both over that of the better of router and gate, at 98 %.

    unwasted: over that of the gate, what it would be if none of its calls had been tried in vain; oracle: the oracle's
    bill over that of the better of the two. pairs: of thresholds, on the calibration split's path.
    """

    ratio: float
    ways: list[CostFigures]
    versus: Estimate
    unwasted: Estimate
    oracle: Estimate
    pairs: int


class Variant(msgspec.Struct, frozen=True):
    """The gate with a part of its inputs, on the calibration split. minus: its APGR minus that with everything."""

    name: str
    inputs: int
    apgr: Estimate
    minus: Estimate | None


class Blind(msgspec.Struct, frozen=True):
    """Wrong answers of a category that the frontier has right, on the test split. accepted: where ESCALATED of all calls
    go up. unsuspicious: of these, those with which nothing is seen to be wrong.
    """

    category: str
    wrong: int
    accepted: int
    unsuspicious: int


class HeadError(msgspec.Struct, frozen=True):
    """Expected calibration error of one head on the test split, and of perfect predictions on so many rows."""

    model: str
    of: str
    ece: float
    by_chance: float


class GatePair(msgspec.Struct, frozen=True):
    """rows: labels by split, those of calibration and test with an answer. quality: mean, by tier, on the test split."""

    name: str
    small: str
    frontier: str
    reach: float | None
    rows: dict[str, int]
    groups: int
    resamples: int
    seconds: list[float]
    quality: list[float]
    orders: list[OrderFigures]
    heads: list[HeadError]
    ratios: list[RatioFigures]
    ablation: list[Variant]
    blind: list[Blind]


class GateBenchmark(msgspec.Struct, frozen=True):
    """All that was measured, with the recipe named. measured: date of the last run."""

    measured: str
    recipe: str
    pairs: list[GatePair]


def measure_gate(pair: Pair, train_rows: int, found: Predictions, *, resamples: int = RESAMPLES) -> GatePair:
    """Figures of one pair. Everything of the test split is measured on the same resamples of whole groups."""
    test = found.test
    parts = [_order_part(test)]
    paths = {ratio: _choose(found.calibration, 1 / ratio) for ratio in RATIOS}
    ways = {ratio: list_ways(test, 1 / ratio, paths[ratio]) for ratio in RATIOS}
    parts += [_cost_part(test, ratio, ways[ratio]) for ratio in RATIOS]
    values, draws = measure_parts(parts, test.rows.weight, test.rows.group, resamples)

    def estimate(*name: str) -> Estimate:
        return to_estimate(values[name], draws[name])

    def minus(name: str) -> Estimate:
        mine, other = (GATE, "apgr"), (name, "apgr")
        return to_estimate(values[mine] - values[other], draws[mine] - draws[other])

    orders = [
        OrderFigures(
            name,
            estimate(name, "apgr"),
            None if name in (GATE, ORACLE) else minus(name),
            None if name == ORACLE else estimate(name, "auc"),
        )
        for name in list_orders(test)
    ]
    ratios = []
    for ratio in RATIOS:
        of_ways = [
            CostFigures(
                name,
                *(estimate(f"{ratio:g}", name, figure) for figure in ("aiq", "cost95", "bill95", "cost98", "bill98")),
                curve=hull_curve(ways[ratio][name], test, 1 / ratio),
            )
            for name in WAYS
        ]
        relative = (estimate(f"{ratio:g}", figure) for figure in ("versus", "unwasted", "oracle"))
        ratios.append(RatioFigures(ratio, of_ways, *relative, pairs=len(paths[ratio])))
    return GatePair(
        name=pair.name,
        small=pair.small,
        frontier=pair.frontier,
        reach=REACH[pair.name],
        rows={"train": train_rows, "calibration": len(found.calibration.router), "test": len(test.router)},
        groups=len(np.unique(test.rows.group)),
        resamples=resamples,
        seconds=[round(seconds, 1) for seconds in found.seconds],
        quality=rounded(np.average(qualities(test), axis=0, weights=test.rows.weight)),
        orders=orders,
        heads=measure_heads(test),
        ratios=ratios,
        ablation=measure_ablation(found, resamples),
        blind=count_blind(test),
    )


def qualities(side: Side) -> Floats:
    """What was found, (n, 2)."""
    return np.stack((side.rows.small, side.rows.top), axis=-1)


def list_orders(side: Side) -> dict[str, Floats]:
    """Need of the frontier by way of ordering, (n,) each; the same for router and gate as the product's."""
    return {
        ROUTER: side.router[:, 1] - side.router[:, 0],
        GATE: side.gate[:, 1] - side.gate[:, 0] + REFUSED * side.failed,
        LOGISTIC: side.logistic[:, 1] - side.logistic[:, 0],
        LENGTH: side.length,
        ORACLE: side.rows.gain,
    }


def list_ways(side: Side, small: float, path: Floats) -> dict[str, Ways]:
    """Ways of sending the calls by name. path: pairs of thresholds, (ways, 2)."""
    found, orders = qualities(side), list_orders(side)
    return {
        ROUTER: route_in_order(orders[ROUTER], found, small),
        GATE: escalate_in_order(orders[GATE], found, small),
        BOTH: use_both(_judged(side), found, small, path),
        ORACLE: route_in_order(orders[ORACLE], found, small),
    }


def hull_curve(ways: Ways, side: Side, small: float) -> list[float]:
    """Mean quality on the non-decreasing concave hull at CURVE_COSTS."""
    curve = trace_ways(ways, qualities(side), side.rows.weight, small)
    _, start, width, rise = metrics.concave_hull(curve)
    rise = np.maximum(rise, 0.0)
    heights = np.concatenate(([0.0], np.cumsum(rise)))
    return rounded(curve.base + np.interp(CURVE_COSTS, np.append(start, start[-1] + width[-1]), heights))


def measure_heads(side: Side) -> list[HeadError]:
    found = []
    for model, said in ((ROUTER, side.router), (GATE, side.gate)):
        for of, predicted, true in zip(("small", "frontier"), said.T, (side.rows.small, side.rows.top), strict=True):
            error = metrics.ece(predicted, true, side.rows.weight)
            found.append(HeadError(model, of, *rounded((error, ece_by_chance(predicted, side.rows.weight)))))
    return found


def measure_ablation(found: Predictions, resamples: int) -> list[Variant]:
    """The variants by falling APGR on the calibration split, everything first."""
    rows = found.calibration.rows
    paired = pair_apgr(rows, {name: [score] for name, score in found.ablation.items()}, resamples=resamples)
    names = sorted(found.ablation, key=lambda name: (name != WHOLE, -paired.values[name]))
    return [
        Variant(
            name,
            found.features[name],
            paired.estimate(name),
            None if name == WHOLE else paired.difference(name, WHOLE),
        )
        for name in names
    ]


def count_blind(side: Side) -> list[Blind]:
    """Counts by category where answers are wrong, the most wrong first; rare categories together, and all at the end."""
    need = list_orders(side)[GATE]
    rank = np.empty(len(need), dtype=np.intp)
    rank[np.argsort(-need, kind="stable")] = np.arange(len(need))
    accepted = rank >= round(ESCALATED * len(need))
    wrong = (side.rows.small < 0.5) & (side.rows.top >= 0.5)
    unseen = accepted & ~side.suspect & ~side.failed
    category = np.array([label.category or label.task or "none" for label in side.rows.labels])
    listed = [name for name, _ in Counter(category[wrong].tolist()).most_common(CATEGORIES)]
    others = ~np.isin(category, listed)
    chosen = [(name, category == name) for name in listed]
    if (wrong & others).any():
        chosen.append(("all others", others))
    chosen.append(("all", np.ones(len(wrong), dtype=bool)))
    return [
        Blind(name, *(int((wrong & rows & which).sum()) for which in (True, accepted, unseen))) for name, rows in chosen
    ]


def _order_part(side: Side) -> Part:
    orders, small, top = list_orders(side), side.rows.small, side.rows.top
    right = {
        ROUTER: side.router[:, 0],
        GATE: side.gate[:, 0] - REFUSED * side.failed,
        LOGISTIC: side.logistic[:, 0],
        LENGTH: -side.length,
    }

    def measure(weight: Floats) -> Floats:
        found: list[Any] = [metrics.apgr(metrics.trace_curve(need, small, top, weight)) for need in orders.values()]
        found += [auc(score, small, weight) for score in right.values()]
        return np.stack(found, axis=-1)

    names = [*((name, "apgr") for name in orders), *((name, "auc") for name in right)]
    return Part(names, measure)


def _cost_part(side: Side, ratio: float, ways: dict[str, Ways]) -> Part:
    quality, small = qualities(side), 1 / ratio
    at, wanted = f"{ratio:g}", ("aiq", "cost95", "bill95", "cost98", "bill98")

    def measure(weight: Floats) -> Floats:
        found, bills = [], {}
        for name in WAYS:
            aiq, *costs = np.moveaxis(measure_ways(ways[name], quality, weight, small, TARGETS), -1, 0)
            found.append(aiq)
            for cost in costs:
                found += [cost, to_bill(cost, small)]
            bills[name] = to_bill(costs[-1], small)
        better = np.minimum(bills[ROUTER], bills[GATE])
        up = bills[GATE] - small  # share of the calls that the gate sends up
        unwasted = (small * (1 - up) + up) / bills[GATE]
        found += [bills[BOTH] / better, unwasted, bills[ORACLE] / better]
        return np.stack(found, axis=-1)

    names = [(at, name, figure) for name in WAYS for figure in wanted]
    return Part([*names, *((at, figure) for figure in ("versus", "unwasted", "oracle"))], measure)


def _judged(side: Side) -> Judged:
    return Judged(
        side.router[:, 1] - side.router[:, 0],
        side.gate[:, 1] - side.gate[:, 0],
        side.known,
        ~side.in_range | side.failed,
    )


def _choose(side: Side, small: float) -> Floats:
    return choose_path(_judged(side), side.rows.weight, small)

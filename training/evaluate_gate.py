"""Measure a gate, and router and gate together, on answers of labels that they have not seen, with intervals over groups.

Knows the router by its public face only; knows nothing of files, tables or figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learned_router.policy import RULES
from learned_router.training import metrics
from learned_router.training.baselines import Floats, tabulate
from learned_router.training.evaluation import Estimate, GateEvaluation, GateModeResult, to_estimate
from learned_router.training.records import Label, label_request

Indices = NDArray[np.intp]


class _Judged(NamedTuple):
    """Labels with what was decided of them in one mode. taken: (n,), tier routed to. kept: bool (n,), the answer stays."""

    taken: Indices
    kept: NDArray[np.bool_]


def evaluate_gate(
    router: Any,
    labels: Sequence[Label],
    costs: Mapping[str, float],
    *,
    assumed: bool = False,
    split: str = "test",
    bootstrap: int = 1000,
    seed: int = 0,
) -> GateEvaluation | None:
    """Show every lower tier's answer to the gate, and measure what router and gate make of the requests together.

    router: ``learned_router.Router`` with a gate. costs: of an average call, by tier, in any one unit. assumed: whether
    they are, for want of prices. None where no label of ``split`` holds an answer of every lower tier.
    """
    tiers = router.tiers
    of_split = [label for label in labels if label.split == split and all(tier in label.quality for tier in tiers)]
    chosen = [label for label in of_split if all(_answered(label, tier) for tier in tiers[:-1])]
    if not chosen or not any(label.weight for label in chosen):
        return None
    requests = [label_request(label) for label in chosen]
    quality = np.array([[label.quality[tier] for tier in tiers] for label in chosen])
    rows = tabulate(chosen, tiers[0], tiers[-1])
    weight, group = rows.weight, rows.group
    price = np.array([costs[tier] for tier in tiers]) / costs[tiers[-1]]

    routed = router.route_modes(requests, gated=True)
    steps = [decision.step for decision in next(iter(routed.values()))]
    by_tier = [
        router.accept_modes(requests, [label.outputs[tier] for label in chosen], tier=tier, steps=steps)
        for tier in tiers[:-1]
    ]
    cheapest = by_tier[0][next(iter(router.modes))]
    # what a rule refuses goes up before anything else
    need = np.array([a.regret + 2.0 * (a.reason in RULES) for a in cheapest])
    router_need = np.array([d.quality[tiers[-1]] - d.quality[tiers[0]] for d in next(iter(routed.values()))])

    def orders(weights: Floats) -> Floats:
        curves = [metrics.trace_curve(score, rows.small, rows.top, weights) for score in (need, router_need)]
        gate, before = (np.asarray(metrics.apgr(curve)) for curve in curves)
        return np.stack((gate, before, gate - before), axis=-1)

    def estimate(statistic: Any) -> list[Estimate]:
        values = np.atleast_1d(statistic(weight))
        draws = metrics.bootstrap(statistic, group, weight, resamples=bootstrap, seed=seed).reshape(bootstrap, -1)
        return [to_estimate(value, draw) for value, draw in zip(values, draws.T, strict=True)]

    def measure_mode(name: str) -> GateModeResult:
        mode = router.modes[name]
        decided = _decide([judged[name] for judged in by_tier], routed[name], tiers)
        top = len(tiers) - 1
        tried = decided.taken < top
        got = quality[np.arange(len(chosen)), np.where(decided.kept, decided.taken, top)]
        small = np.where(tried, price[np.minimum(decided.taken, top)], 0.0)
        spent = small + ~decided.kept
        lost = tried & ~decided.kept

        def figures(weights: Floats) -> Floats:
            with np.errstate(invalid="ignore", divide="ignore"):
                kept = (weights @ got) / (weights @ quality[:, -1])
                cost = (weights @ spent) / weights.sum(axis=-1)
            return np.stack((kept, cost), axis=-1)

        kept, cost = estimate(figures)
        return GateModeResult(
            name=name,
            target=mode.target,
            route=mode.gated.route,
            accept=mode.gated.accept,
            kept=kept,
            cost=cost,
            tried=float(np.average(tried, weights=weight)),
            escalated=float(np.average(lost, weights=weight)),
            wasted=float((weight @ (small * lost)) / (weight @ spent)),
        )

    gate_apgr, router_apgr, gain = estimate(orders)
    predicted = np.array([list(a.quality.values()) for a in cheapest])
    return GateEvaluation(
        tier=tiers[0],
        rows=len(chosen),
        left_out=len(of_split) - len(chosen),
        apgr=gate_apgr,
        router_apgr=router_apgr,
        gain=gain,
        ece=(
            metrics.ece(predicted[:, 0], quality[:, 0], weight),
            metrics.ece(predicted[:, 1], quality[:, -1], weight),
        ),
        call_costs={tier: float(value) for tier, value in zip(tiers, price, strict=True)},
        assumed=assumed,
        rules=_count_rules(cheapest, quality),
        modes=[measure_mode(name) for name in router.modes],
    )


def _answered(label: Label, tier: str) -> bool:
    return tier in label.outputs and label.outputs[tier].error is None


def _decide(judged: Sequence[Sequence[Any]], routed: Sequence[Any], tiers: Sequence[str]) -> _Judged:
    taken = np.array([tiers.index(decision.tier) for decision in routed])
    kept = np.array([t < len(tiers) - 1 and judged[t][row].accept for row, t in enumerate(taken)])
    return _Judged(taken, kept)


def _count_rules(judged: Sequence[Any], quality: Floats) -> dict[str, tuple[int, int]]:
    counts = Counter(str(a.reason) for a in judged if a.reason in RULES)
    as_good = Counter(
        str(a.reason) for a, row in zip(judged, quality, strict=True) if a.reason in RULES and row[0] >= row[-1]
    )
    return {reason: (count, as_good[reason]) for reason, count in counts.most_common()}

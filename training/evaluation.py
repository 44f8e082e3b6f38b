"""What an evaluation found, as records that go to JSON and back. Knows nothing of how any of it is measured."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from learned_router.training.metrics import percentile_interval

ROUTER: Final = "router"
ORACLE: Final = "oracle"


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % bootstrap interval; None where it does not exist."""

    value: float | None
    low: float | None = None
    high: float | None = None


def to_estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    """A figure and its values on resamples, (resamples,), with nothing where it does not exist (nan)."""
    return Estimate(*(None if np.isnan(x) else float(x) for x in (value, *percentile_interval(draws))))


class TierResult(msgspec.Struct, frozen=True):
    """One tier, taken for everything. quality, kept: what that gives. ece: error of the router's prediction of it."""

    name: str
    model: str
    quality: float
    kept: Estimate
    ece: float


class MethodResult(msgspec.Struct, frozen=True):
    """One way of ordering requests. apgr; cpt50, cpt80: share of top-tier calls in [0, 1]; aiq: in quality units."""

    name: str
    apgr: Estimate
    cpt50: Estimate
    cpt80: Estimate
    aiq: Estimate


class ModeResult(msgspec.Struct, frozen=True):
    """One operating point.

    quality: mean true quality of the tiers taken. kept: the same, relative to the top tier. shares: of calls, by tier.
    saved: share of the top tier's cost, or of its calls (``Evaluation.saved_of``), that is not spent.
    """

    name: str
    target: float
    threshold: float
    certified: bool
    quality: float
    kept: Estimate
    shares: dict[str, float]
    saved: Estimate


class TaskResult(msgspec.Struct, frozen=True):
    """The router's APGR within one task (or source)."""

    name: str
    rows: int
    quality: dict[str, float]
    apgr: Estimate


class Comparison(msgspec.Struct, frozen=True):
    """The router's APGR minus that of the best baseline, the oracle aside, on the same resamples."""

    baseline: str
    difference: Estimate


class CurveResult(msgspec.Struct, frozen=True):
    """Points of a method's quality–cost curve: share of top-tier calls, mean quality."""

    name: str
    share: list[float]
    quality: list[float]


class GateModeResult(msgspec.Struct, frozen=True):
    """One operating point of router and gate together. kept: quality, relative to the top tier.

    cost: over that of the top tier for everything, calls of both tiers where an answer was not kept. tried: share of calls
    that a lower tier answers first. escalated: share whose answer is not kept. wasted: share of all that is spent on answers
    that are not kept.
    """

    name: str
    target: float
    route: float
    accept: float
    kept: Estimate
    cost: Estimate
    tried: float
    escalated: float
    wasted: float


class GateEvaluation(msgspec.Struct, frozen=True):
    """What a gate is worth on answers that it has not seen.

    tier: whose answers the figures by order are about, the cheapest one's. rows: labels that hold an answer of every lower
    tier. apgr: of escalating in the gate's order; router_apgr: of sending up in the router's, on the same rows.
    ece: of the predicted quality of the answer, and of the top tier's. call_costs: of an average call, by tier, the top
    tier's being 1; assumed: whether for want of prices. rules: how often each certain failure was found, and how often
    the answer was graded as good as the top tier's all the same.
    """

    tier: str
    rows: int
    left_out: int
    apgr: Estimate
    router_apgr: Estimate
    gain: Estimate
    ece: tuple[float, float]
    call_costs: dict[str, float]
    assumed: bool
    rules: dict[str, tuple[int, int]]
    modes: list[GateModeResult]


class Evaluation(msgspec.Struct, frozen=True):
    """All that was measured, ready for JSON. tiers: cheapest first. saved_of: what ``ModeResult.saved`` is a share of.

    out_of_distribution: share of requests sent up because they are unlike the training data. left_out: labels of the
    split without a quality for each of the router's tiers. notes: sentences a reader of the figures must know. gate: None
    for a router without one, or labels without answers.
    """

    split: str
    rows: int
    groups: int
    left_out: int
    resamples: int
    seed: int
    tiers: list[TierResult]
    methods: list[MethodResult]
    modes: list[ModeResult]
    tasks: list[TaskResult]
    out_of_distribution: float
    versus_best: Comparison | None
    saved_of: Literal["cost", "top-tier calls"]
    curves: list[CurveResult]
    notes: list[str]
    gate: GateEvaluation | None = None

"""Promises to hold a router to, for tests of the monitor."""

from __future__ import annotations

import msgspec

from learned_router import certificate as certified
from learned_router.certificate import (
    CERTIFICATE_VERSION,
    Bound,
    Certificate,
    Grading,
    ModePromises,
    Saving,
    Slice,
    Statement,
)
from learned_router.monitoring import Promise, Promises, Traffic

BUDGET = 0.1
PLAN = Promise("plan", 0.95, BUDGET, ("plan",), certified=True)
REST = Promise("rest", 0.95, BUDGET, certified=True)
TRAFFIC = Traffic(rows=2_000, regret_edges=(-0.1, 0.0, 0.1), steps={"plan": 0.5, "tool_call": 0.5})


def certificate() -> Certificate:
    """Mode balanced with a slice that is certified and one that is not; the gate's budget is smaller."""
    part = Slice(
        "plan", ("plan",), True, 0.05, 90, 100, 0.1, None, 0.96, {"small": 0.4, "frontier": 0.6}, 0.0, 0.8, 0.1
    )
    lacking = Slice("all", (), False, 0.05, 90, 100, -2.0, None, 1.0, {"small": 0.0, "frontier": 1.0}, 0.0, 0.8)
    statement = Statement(
        target=0.95,
        delta=0.05,
        certified=True,
        bound="betting",
        slices=(part, lacking),
        kept=0.96,
        shares=part.shares,
        escalated=0.0,
        saving=Saving(0.7, None, 0.3, 100.0, 400),
        text="",
    )
    gated = msgspec.structs.replace(statement, slices=(msgspec.structs.replace(part, budget=0.04), lacking))
    return Certificate(
        certificate_version=CERTIFICATE_VERSION,
        created="2026-01-01",
        delta=0.05,
        unit_calls=1.0,
        bound_to=Bound({"small": "model-s", "frontier": "model-f"}, "0" * 64),
        grading=Grading({"synthetic": 200}, 0.0, 0),
        traffic=certified.Traffic((0.0, 0.1, 0.2), {"plan": 0.5, "tool_call": 0.5}, 200),
        modes={"balanced": ModePromises(statement, gated)},
    )


def promises(*slices: Promise, traffic: Traffic | None = None) -> Promises:
    """The same slices in the modes balanced and economy; quality promises nothing."""
    held = slices or (PLAN, REST)
    return Promises({"balanced": held, "economy": held}, traffic)

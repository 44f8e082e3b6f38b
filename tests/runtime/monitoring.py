"""Promises to hold a router to, for tests of the monitor."""

from __future__ import annotations

from learned_router.monitoring import Promise, Promises, Traffic

BUDGET = 0.1
PLAN = Promise("plan", 0.95, BUDGET, ("plan",), certified=True)
REST = Promise("rest", 0.95, BUDGET, certified=True)
TRAFFIC = Traffic(rows=2_000, regret_edges=(-0.1, 0.0, 0.1), steps={"plan": 0.5, "tool_call": 0.5})


def promises(*slices: Promise, traffic: Traffic | None = None) -> Promises:
    """The same slices in the modes balanced and economy; quality promises nothing."""
    held = slices or (PLAN, REST)
    return Promises({"balanced": held, "economy": held}, traffic)

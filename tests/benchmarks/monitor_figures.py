"""What the monitor's simulation finds, as structs, and the runs behind them. Knows laws and the monitor's arithmetic."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from monitor_laws import LAWS, Array, Law

from learned_router.monitoring.drift import (
    CHECK_EVERY,
    CONCENTRATIONS,
    WINDOWS,
    count_call,
    smooth_shares,
    tolerate,
    warning_level,
    weigh_counts,
)
from learned_router.monitoring.evidence import STAKES, advance, weigh
from learned_router.monitoring.promises import describe_traffic

ALPHA = 0.05
# What a mode is taken to look like: share of calls routed down, and the top tier's mean quality
SHARE_DOWN, TOP_QUALITY = 0.4, 0.8
AUDIT_SHARE, TRAFFIC_SHARE = 0.02, 0.05
SESSION = 20  # calls
NEVER = 10**9


class Rate(msgspec.Struct, frozen=True):
    """A share of runs, with its 95 % Monte Carlo interval (Wilson)."""

    value: float
    low: float
    high: float


class FalseAlarms(msgspec.Struct, frozen=True):
    """Runs with an alarm although the mean regret is exactly the budget. sampled: by the audits of 100,000 calls routed down
    of which 2 % are audited; whole: of which all are (None where that was not run).
    """

    law: str
    budget: float
    runs: int
    sampled: Rate
    whole: Rate | None


class Delay(msgspec.Struct, frozen=True):
    """A fall from 98 % kept, ``start`` audits after the beginning. Audits from the fall to the alarm, of runs without one
    before; None where more runs than that never came to one within ``horizon``. one_start: the same with bets that all begin
    with the first audit. early: runs with an alarm before the fall.
    """

    law: str
    promise: float
    kept: float
    start: int
    runs: int
    horizon: int
    median: int | None
    late: int | None  # 90 % of the runs have come to it
    found: float
    one_start: int | None
    early: float


class Drift(msgspec.Struct, frozen=True):
    """Warnings about one feature. rows: of the calibration split. change: what happened to the traffic, "" for nothing.
    warned: runs with a warning within ``calls`` counted calls. median: counted calls from the change to it.
    """

    feature: str
    rows: int
    alike: float
    change: str
    runs: int
    calls: int
    warned: Rate
    median: int | None


class MonitorFigures(msgspec.Struct, frozen=True):
    measured: str
    alpha: float
    false_alarms: list[FalseAlarms]
    delays: list[Delay]
    drift: list[Drift]


def budget_of(promise: float) -> float:
    """Mean regret of the calls routed down that a promise allows, and what a share kept comes to."""
    return (1.0 - promise) * TOP_QUALITY / SHARE_DOWN


def rate(count: int, runs: int) -> Rate:
    z, share = 1.96, count / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs))
    return Rate(share, max(0.0, middle - half), min(1.0, middle + half))


def false_alarms(
    law: str, budget: float, runs: int, calls: int, rng: np.random.Generator, *, session: int = 0
) -> FalseAlarms:
    """Runs at the edge of what is promised. session: calls of one, which all come out alike, 2 % audited; or 0."""
    drawn = LAWS[law](budget)
    sampled = round(calls * AUDIT_SHARE)
    capital, peak = np.zeros((runs, len(STAKES))), np.ones(runs)
    place, regret, lost, by_sample = np.zeros(runs, dtype=np.int64), drawn.draw(rng, runs), np.zeros(runs), 0
    for audit in range(sampled if session else calls):
        regret, lost, place = _next_regret(drawn, regret, lost, place, session, rng)
        capital = advance(capital, audit, regret, budget, lost)
        peak, lost = np.maximum(peak, weigh(capital, audit + 1)), lost + regret - budget
        if audit + 1 == sampled:
            by_sample = int((peak >= 1 / ALPHA).sum())
    whole = None if session else rate(int((peak >= 1 / ALPHA).sum()), runs)
    return FalseAlarms(f"{law}, sessions of {session}" if session else law, budget, runs, rate(by_sample, runs), whole)


def _next_regret(
    law: Law, regret: Array, lost: Array, place: Array, session: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """The next audit's regret in each run, what its session lost before it, and which call it is."""
    if not session:
        return law.draw(rng, len(regret)), np.zeros(len(regret)), place
    after = place + rng.geometric(AUDIT_SHARE, len(regret))
    same = after // session == place // session
    return np.where(same, regret, law.draw(rng, len(regret))), np.where(same, lost, 0.0), after


def delay(
    law: str, promise: float, kept: float, start: int, runs: int, horizon: int, rng: np.random.Generator
) -> Delay:
    """Runs that keep 98 % for ``start`` audits, and ``kept`` from then on."""
    before, after, budget = LAWS[law](budget_of(0.98)), LAWS[law](budget_of(kept)), budget_of(promise)
    capital, single = np.zeros((runs, len(STAKES))), np.full((runs, len(STAKES)), 1.0 / len(STAKES))
    at, single_at = np.full(runs, NEVER), np.full(runs, NEVER)
    for audit in range(start + horizon):
        regret = (before if audit < start else after).draw(rng, runs)
        capital = advance(capital, audit, regret, budget)
        single = advance(single, NEVER**2, regret, budget)  # no stake is left that could begin later
        at = np.where((at == NEVER) & (weigh(capital, audit + 1) >= 1 / ALPHA), audit + 1, at)
        single_at = np.where((single_at == NEVER) & (single.sum(axis=-1) >= 1 / ALPHA), audit + 1, single_at)
        if max(at.max(), single_at.max()) < NEVER:
            break
    waits, single_waits = (_waits(found, start) for found in (at, single_at))
    return Delay(
        law=law,
        promise=promise,
        kept=kept,
        start=start,
        runs=runs,
        horizon=horizon,
        median=_quantile(waits, 0.5),
        late=_quantile(waits, 0.9),
        found=float((waits < NEVER).mean()),
        one_start=_quantile(single_waits, 0.5),
        early=float((at <= start).mean()),
    )


def _waits(at: Array, start: int) -> Array:
    late = at[at > start]
    return np.where(late == NEVER, NEVER, late - start)


def _quantile(waits: Array, share: float) -> int | None:
    if not len(waits):
        return None
    found = int(np.sort(waits)[math.ceil(share * len(waits)) - 1])
    return None if found == NEVER else found


STEP_SHARES = {"tool_call": 0.45, "respond": 0.25, "extract": 0.2, "plan": 0.08, "recover": 0.02}
# What may happen to the traffic, by feature: chances of what is drawn, before the bins
CHANGES = {
    "steps": {"10 points from one step to another": {**STEP_SHARES, "tool_call": 0.35, "plan": 0.18}},
    "regret": {"predicted regret a third of a deviation higher": 1 / 3},
}


def drift(
    feature: str,
    rows: int,
    runs: int,
    calls: int,
    rng: np.random.Generator,
    *,
    change: str = "",
    start: int = 0,
    alike: float = 0.0,
) -> Drift:
    """Runs, each with a calibration split of its own, whose traffic changes after ``start`` counted calls, or never.

    alike: calls come in sessions of 20, of which so many fall into one bin; TRAFFIC_SHARE of all are counted.
    """
    shares, before, after = _populations(feature, rows, runs, change, rng)
    alpha = ALPHA / 2  # there are two features
    centre = smooth_shares(shares, rows)[:, None]
    sizes, radius = np.array(WINDOWS), tolerate(rows, shares.shape[-1], alpha)
    counts = np.zeros((runs, len(sizes), shares.shape[-1]))
    bets, block = np.zeros((runs, len(sizes), len(CONCENTRATIONS))), np.zeros((runs, len(sizes)), dtype=np.int64)
    at, place, own = np.full(runs, NEVER), np.zeros(runs, dtype=np.int64), _draw_bins(before, rng)
    for call in range(calls):
        moved, chances = place + rng.geometric(TRAFFIC_SHARE, runs), before if call < start else after
        own = np.where(moved // SESSION == place // SESSION, own, _draw_bins(chances, rng))
        bins, place = np.where(rng.random(runs) < alike, own, _draw_bins(chances, rng)), moved
        counts, bets, block = count_call(
            counts, bets, block, sizes, np.broadcast_to(bins[:, None], block.shape), centre
        )
        if (call + 1) % CHECK_EVERY == 0:
            found = weigh_counts(bets, counts, shares[:, None], radius) >= warning_level(block, alpha)
            at = np.where((at == NEVER) & found.any(axis=-1), call + 1, at)
    warned = rate(int((at < NEVER).sum()), runs)
    return Drift(feature, rows, alike, change, runs, calls, warned, _quantile(_waits(at, start), 0.5))


def _populations(
    feature: str, rows: int, runs: int, change: str, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Shares of each run's calibration split, and the true chances of its bins before and after the change: (runs, k)."""
    if feature == "steps":
        true = np.array([*STEP_SHARES.values(), 0.0])
        moved = np.array([*(CHANGES["steps"][change] if change else STEP_SHARES).values(), 0.0])
        split = rng.multinomial(rows, true, size=runs) / rows
        return split, np.broadcast_to(true, split.shape), np.broadcast_to(moved, split.shape)
    by_run = []
    for _ in range(runs):
        traffic = describe_traffic(rng.normal(size=rows), ["other"] * rows)
        edges = np.array(traffic.regret_edges)
        chances = [_normal_bins(edges - (CHANGES["regret"][change] if moved and change else 0.0)) for moved in (0, 1)]
        by_run.append((traffic.spread("regret"), *chances))
    shares, before, after = (np.array(found) for found in zip(*by_run, strict=True))
    return shares, before, after


def _normal_bins(edges: Array) -> Array:
    below = np.array([0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges])
    return np.diff(below, prepend=0.0, append=1.0)


def _draw_bins(chances: Array, rng: np.random.Generator) -> Array:
    return (rng.random((len(chances), 1)) > np.cumsum(chances, axis=-1)[:, :-1]).sum(axis=-1)

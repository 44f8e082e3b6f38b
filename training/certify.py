"""Find the cheapest thresholds that labels prove to keep a target, with their error of at most delta.

Knows predictions, grades and thresholds as arrays; nothing of text, graphs or files.

How it holds. Calibration labels are in two parts. The *tuning* part chose everything that a decision depends on: scaling,
the limits of what is known, and here the path of thresholds, from "hardly anything below the top tier" down to
"everything". The *proof* part chose nothing: given the path, its units are independent draws. Going down the path, each
point is tested at the full delta against H0 "it keeps less than the target", and the walk ends before the first point that
is not shown: a point that breaks the promise is taken only if the first such point of the path was wrongly shown, which
has chance ≤ delta (fixed-sequence testing, as in Learn then Test, Angelopoulos et al. 2021). So a fine path costs nothing.
Everything to the top tier needs no test. Where steps have thresholds of their own, each slice has its share of delta, and
if every slice keeps the target, so do all calls together (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from scipy.stats import norm

from learned_router.policy import NEVER_DOWN
from learned_router.request import STEPS
from learned_router.training.betting import LARGEST_SHARE, bet_above_zero, binomial_above_zero
from learned_router.training.proof_rows import (
    Rows,
    count_units,
    draw_path,
    follow_path,
    review_chance,
    unit_margins,
)

# A slice of its own is expected to bring this many times the calls without which no point could be shown
OWN_SLICE = 3.0
# A step that fewer training labels show is not known well enough to be sent down
RARE_STEP = 30
# Rows from which a path can be drawn; a slice with fewer shares that of all
LEAST_PATH_ROWS = 40
# What is planned for when more labels are asked for: the chance that they suffice, and the share of calls that go down
POWER = 0.8
LEAST_SHARE = 0.05
# Up to so many units that number is tried out, on so many draws: with one loss in 50, a normal test's 134 units are shown
# by bets in 48 % of draws, not in 80 %; from thousands on, the two agree
TRIED_UNITS = 4_000
TRIALS = 400


class SlicePlan(msgspec.Struct, frozen=True):
    """Which steps are proved alone (own), which never go down (rare); all others are proved together."""

    own: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()


class Proved(msgspec.Struct, frozen=True):
    """What was shown of one slice. steps: () for all others. certified: whether anything may go below the top tier.

    route, accept: the last pair of thresholds that was shown, NEVER_DOWN where none was; accept is None without a gate.
    delta: spent on it. bound: the test's name. rows: bool (n,), of the proof rows. units: of them. more_labels: as in
    ``certificate.Slice``, counted in proof rows.
    """

    steps: tuple[str, ...]
    certified: bool
    route: float
    accept: float | None
    delta: float
    bound: str
    rows: np.ndarray
    units: int
    more_rows: int | None


def plan_slices(
    steps: Mapping[str, int], proof_share: float, top_quality: float, target: float, delta: float
) -> SlicePlan:
    """Which steps get a slice, by what the training labels show, so that the proof rows have no part in it.

    steps: training labels by step; where there are none, no step is rare. proof_share: proof rows for each training row.
    top_quality: mean of the top tier, about.
    """
    rare = tuple(sorted(step for step in STEPS if steps.get(step, 0) < RARE_STEP)) if steps else ()
    own = sorted(set(steps) - set(rare))
    while own:
        least = least_units(target, delta / (len(own) + 1), top_quality)
        enough = [step for step in own if steps[step] * proof_share >= OWN_SLICE * least]
        if enough == own:
            break
        own = enough
    return SlicePlan(tuple(own), rare)


def least_units(target: float, delta: float, top_quality: float) -> float:
    """Units without which no threshold can be shown, even one that loses nothing: it is won by bets on right answers."""
    gain = math.log1p(LARGEST_SHARE * (1.0 - target) / target) if target < 1.0 else 0.0
    return math.log(1.0 / delta) / max(gain * top_quality, 1e-12)


def prove(
    tuning: Rows,
    proof: Rows,
    plan: SlicePlan,
    target: float,
    delta: float,
    costs: np.ndarray,
    limit: float,
    seed: int = 0,
    chance: float | None = None,
) -> list[Proved]:
    """For each slice, the cheapest thresholds shown to keep ``target``, all together with error at most ``delta``.

    tuning draws the paths; proof is tested. costs: (n_tiers,), of an average call. limit: see ``unit_limit``.
    seed: of the order in which units are bet on. chance: with which a person was asked, where more rows tell it than these.
    """
    slices = [(step,) for step in plan.own]
    others = ~np.isin(proof.step, [*plan.own, *plan.rare])
    whole = bool(not slices or others.any() or (~np.isin(tuning.step, plan.own)).any())
    share = delta / (len(slices) + whole)
    binary = _is_binary(tuning, limit)
    spread = _spread(tuning, limit)
    chance = review_chance(tuning, proof) if chance is None else chance
    found = []
    for steps in [*slices, *([()] if whole else [])]:
        mask = np.isin(proof.step, steps) if steps else others
        drawn = np.isin(tuning.step, steps) if steps else ~np.isin(tuning.step, [*plan.own, *plan.rare])
        path = draw_path(tuning.take(drawn) if drawn.sum() >= LEAST_PATH_ROWS else tuning, costs)
        found.append(
            _prove_slice(
                proof, mask, tuning.take(drawn), steps, path, target, share, limit, spread, binary, chance, seed
            )
        )
    if plan.rare:
        mask = np.isin(proof.step, plan.rare)
        accept = None if proof.answers is None else NEVER_DOWN
        found.append(
            Proved(plan.rare, False, NEVER_DOWN, accept, 0.0, "none", mask, count_units(proof.take(mask)), None)
        )
    return found


def walk(shown: np.ndarray) -> int:
    """How many points at the beginning are shown without a gap; shown: bool (points,)."""
    gaps = np.flatnonzero(~shown)
    return int(gaps[0]) if len(gaps) else len(shown)


def rows_needed(values: np.ndarray, low: float, delta: float, rows_per_unit: float) -> float:
    """About how many rows show the easiest column with chance ``POWER``; inf where the estimate speaks against it.

    values: as ``unit_margins`` gives them, of the points that would be worth it. Begins with as many units as a normal test
    would take; where these are few, rare losses make a bet take more, and it is tried on draws of the values themselves.
    """
    mean, spread = values.mean(axis=0), values.std(axis=0)
    promising = mean > 0
    if not promising.any():
        return math.inf
    mean, spread, some = mean[promising], spread[promising], values[:, promising]
    by_spread = ((norm.isf(delta) + norm.ppf(POWER)) * spread / mean) ** 2
    # the largest bet that cannot ruin bounds how fast anything can be shown
    growth = np.log1p(LARGEST_SHARE / low * some).mean(axis=0)
    by_bets = np.where(growth > 0, math.log(1.0 / delta) / np.maximum(growth, 1e-12), 0.0)
    units = np.maximum(by_spread, by_bets)
    easiest = int(units.argmin())
    random, needed = np.random.default_rng(0), float(units[easiest])
    while needed < TRIED_UNITS:
        draws = random.choice(some[:, easiest], (math.ceil(needed), TRIALS))
        if bet_above_zero(draws, low, delta).mean() >= POWER:
            break
        needed *= 1.1
    return needed * rows_per_unit


def _prove_slice(
    proof: Rows,
    mask: np.ndarray,
    tuning: Rows,
    steps: tuple[str, ...],
    path: list[tuple[float, float | None]],
    target: float,
    delta: float,
    limit: float,
    spread: float,
    binary: bool,
    chance: float,
    seed: int,
) -> Proved:
    rows = proof.take(mask)
    units = count_units(rows)
    bound = "binomial" if binary and chance == 1.0 else "betting"
    never = (NEVER_DOWN, None if proof.answers is None else NEVER_DOWN)
    if not path:
        return Proved(steps, False, *never, delta, bound, mask, units, None)
    used = follow_path(rows, path)
    values, low = unit_margins(rows, used, target, limit, chance, seed)
    if bound == "binomial":
        shown = binomial_above_zero(values, low, delta)
    else:
        shown = bet_above_zero(values, low, delta, prior_variance=spread)
    down = used < proof.predicted.shape[1] - 1
    shares = down.mean(axis=0) if len(rows) else np.zeros(len(path))
    last = walk(shown) - 1
    certified = last >= 0 and shares[last] > 0
    route, accept = path[last] if certified else never
    more = None if certified else _more_rows(rows, tuning, path, target, delta, limit, chance)
    return Proved(steps, bool(certified), route, accept, delta, bound, mask, units, more)


def _more_rows(
    proof: Rows,
    tuning: Rows,
    path: list[tuple[float, float | None]],
    target: float,
    delta: float,
    limit: float,
    chance: float,
) -> int | None:
    """Proof rows that lack, estimated from both parts, since it is a plan and no proof; None where no number would do."""
    used = [follow_path(rows, path) for rows in (proof, tuning)]
    margins, lows = zip(
        *(unit_margins(rows, some, target, limit, chance, 0) for rows, some in zip((proof, tuning), used, strict=True)),
        strict=True,
    )
    values, down = np.concatenate(margins), np.concatenate(used) < proof.predicted.shape[1] - 1
    if not len(values):
        return None
    shares = down.mean(axis=0)
    worth = shares >= min(LEAST_SHARE, shares.max())
    needed = rows_needed(values[:, worth], max(lows), delta, len(down) / len(values))
    return None if math.isinf(needed) else max(1, math.ceil(needed) - len(proof))


def _is_binary(rows: Rows, limit: float) -> bool:
    """Whether every call is a success or a loss of 1: the top tier always right, calls of one weight, each its own unit.

    Where units may weigh more than these calls, a success would be less than one, and counted as a loss.
    """
    return bool(
        len(rows)
        and (rows.truth[:, -1] == 1.0).all()
        and np.isin(rows.truth, (0.0, 1.0)).all()
        and (rows.weight == rows.weight[0]).all()
        and rows.weight[0] >= limit * (1.0 - 1e-9)
        and count_units(rows) == len(rows)
        and np.isnan(rows.reviewed).all()
    )


def _spread(rows: Rows, limit: float) -> float:
    """A first guess of a unit's variance: that of calls that differ by one half, at the weights of the tuning units."""
    if not len(rows):
        return 0.25
    totals = np.bincount(np.unique(rows.unit, return_inverse=True)[1], weights=rows.weight)
    return float(0.25 * (np.minimum(totals / limit, 1.0) ** 2).mean())

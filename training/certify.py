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
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from scipy.stats import norm

from learned_router.errors import InputError
from learned_router.policy import NEVER_DOWN
from learned_router.training.betting import LARGEST_SHARE, bet_above_zero, binomial_above_zero
from learned_router.training.thresholds import Answers, follow, trace_path, trace_thresholds

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


class Rows(msgspec.Struct, frozen=True):
    """Calibration calls, n of them, that know the quality of every tier.

    predicted: by the router, (n, n_tiers). known: bool (n,), like the training labels. answers: what the gate makes of them,
    None without one. truth: quality, (n, n_tiers), a person's where one was asked. graded: the grader's, the same where
    nobody was. reviewed: chance with which a person was asked, (n,), NaN where none was; one chance for all rows, each
    asked or not regardless of the others. weight: (n,). unit: int (n,), the same for calls of one session, question or
    group of duplicates. step: (n,), as the runtime would see it.
    """

    predicted: np.ndarray
    known: np.ndarray
    answers: Answers | None
    truth: np.ndarray
    graded: np.ndarray
    reviewed: np.ndarray
    weight: np.ndarray
    unit: np.ndarray
    step: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, rows: np.ndarray) -> Rows:
        """Some of the rows, by a mask or by their places."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "answers"}
        return Rows(
            **{name: values[rows] for name, values in fields.items()},
            answers=None if self.answers is None else self.answers.take(rows),
        )

    def without_gate(self) -> Rows:
        return msgspec.structs.replace(self, answers=None)


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

    steps: training labels by the step that their caller gave. proof_share: proof rows for each training row. top_quality:
    mean of the top tier, about.
    """
    rare = tuple(sorted(step for step, count in steps.items() if count < RARE_STEP))
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


def unit_limit(weight: np.ndarray, unit: np.ndarray) -> float:
    """What a unit may weigh at most, from training or tuning rows: beyond five times the mean, it counts as that much.

    A bet must survive the largest unit that could come, so one session of a thousand calls would make all bets small.
    """
    totals = np.bincount(np.unique(unit, return_inverse=True)[1], weights=weight)
    return float(min(totals.max(), 5.0 * totals.mean()))


def prove(
    tuning: Rows,
    proof: Rows,
    plan: SlicePlan,
    target: float,
    delta: float,
    costs: np.ndarray,
    limit: float,
    seed: int = 0,
) -> list[Proved]:
    """For each slice, the cheapest thresholds shown to keep ``target``, all together with error at most ``delta``.

    tuning draws the paths; proof is tested. costs: (n_tiers,), of an average call. limit: see ``unit_limit``.
    seed: of the order in which units are bet on.
    """
    slices = [(step,) for step in plan.own]
    others = ~np.isin(proof.step, [*plan.own, *plan.rare])
    whole = not slices or others.any() or (~np.isin(tuning.step, plan.own)).any()
    share = delta / (len(slices) + whole)
    binary = _is_binary(tuning, limit)
    spread = _spread(tuning, limit)
    chance = review_chance(tuning, proof)
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
        found.append(Proved(plan.rare, False, NEVER_DOWN, accept, 0.0, "none", mask, _count(proof.unit[mask]), None))
    return found


def draw_path(rows: Rows, costs: np.ndarray) -> list[tuple[float, float | None]]:
    """Thresholds of router and gate, dearest first; no label is read."""
    if rows.answers is None:
        return [(route, None) for route in trace_thresholds(rows.predicted, rows.known)]
    there = rows.answers.there
    some = rows.take(there)
    assert some.answers is not None
    return [*trace_path(some.predicted, some.answers, some.weight, some.known, costs)]


def follow_path(rows: Rows, path: Sequence[tuple[float, float | None]]) -> np.ndarray:
    """Index of the tier whose answer is used, int (n, points)."""
    used = np.empty((len(rows), len(path)), dtype=np.int8)
    for place, (route, accept) in enumerate(path):
        used[:, place] = follow(
            rows.predicted, rows.known, route, rows.answers, NEVER_DOWN if accept is None else accept
        )[1]
    return used


def review_chance(*parts: Rows) -> float:
    """The chance with which a person was asked about a call of any part; 1 where nobody was asked about any.

    Of all parts together: a slice in which nobody happened to be asked is as uncertain as the others.
    Raises InputError where it is not one chance: how low a margin can be would be known only from the calls that happened
    to be reviewed, and where the rare reviews did not happen, bets would be too bold.
    """
    chances = np.concatenate([rows.reviewed[~np.isnan(rows.reviewed)] for rows in parts])
    if not len(chances):
        return 1.0
    if not np.allclose(chances, chances[0]):
        raise InputError(
            f"labels were audited with chances from {chances.min()} to {chances.max()}; a proof needs one chance for all: "
            "leave the audits of one of the sources out, or audit again with the same"
        )
    return float(chances[0])


def unit_margins(
    rows: Rows, used: np.ndarray, target: float, limit: float, chance: float, seed: int
) -> tuple[np.ndarray, float]:
    """What each unit keeps above the target under each point, (units, points), in a random order; and how low one can be.

    A call's margin is quality used - target · quality of the top tier, in [-target, 1]; its mean is above zero exactly when
    the target is kept. A unit is the sum of its calls' weighted margins over ``limit``, made smaller where it weighs more.
    A call reviewed with chance p counts (margin by person - margin by grader) / p more, all others by their grade alone:
    the mean is that of a person's margins, whatever the grader's error, and only the spread suffers from it.

    chance: p, of all calls, see ``review_chance``.

    Source of the correction: prediction-powered inference (Angelopoulos et al. 2023), as an e-value (Csillag et al. 2025).
    """
    places = np.arange(len(rows))[:, None]
    margins = rows.graded[places, used] - target * rows.graded[:, -1:]
    reviewed = ~np.isnan(rows.reviewed)
    true = rows.truth[places[reviewed], used[reviewed]] - target * rows.truth[reviewed, -1:]
    margins[reviewed] += (true - margins[reviewed]) / chance
    # one by a person at its least, one by the grader at its most
    low = target / chance + (1.0 / chance - 1.0)
    names, place = np.unique(rows.unit, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[place]
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(place[order]) > 0]) if len(order) else np.zeros(0, dtype=int)
    sums = np.add.reduceat((margins * rows.weight[:, None])[order], starts, axis=0) if len(order) else margins
    totals = np.add.reduceat(rows.weight[order], starts) if len(order) else rows.weight
    return sums / np.maximum(totals, limit)[:, None], low


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
    units = _count(rows.unit)
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
        and _count(rows.unit) == len(rows)
        and np.isnan(rows.reviewed).all()
    )


def _spread(rows: Rows, limit: float) -> float:
    """A first guess of a unit's variance: that of calls that differ by one half, at the weights of the tuning units."""
    if not len(rows):
        return 0.25
    totals = np.bincount(np.unique(rows.unit, return_inverse=True)[1], weights=rows.weight)
    return float(0.25 * (np.minimum(totals / limit, 1.0) ** 2).mean())


def _count(units: np.ndarray) -> int:
    return len(np.unique(units))

"""Prove thresholds on many draws of a population at once, and see how often the promise is broken and what it brings.

Knows populations, tests and arrays; knows nothing of pages. It does what ``certify.prove`` does, draw by draw, but bets on
many draws side by side; ``test_certify_validity.py`` holds the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from certify_populations import Population, draw, draw_units
from scipy.stats import binom, norm

from learned_router.training.betting import bet_above_zero, binomial_above_zero
from learned_router.training.certify import LEAST_PATH_ROWS, _is_binary, _spread, walk
from learned_router.training.proof_rows import Rows, draw_path, follow_path, unit_limit

TUNING_SHARE = 1 / 3  # tuning calls for each proof call
PROOFS_PER_PATH = 20  # draws of proof calls that are tested along one path
LARGEST_BLOCK = 16_000_000  # values that are bet on side by side: 128 MB
KEPT_EXACTLY = 1e-9

# (values, low, delta, prior variance, whether losses are 0 or 1) -> which columns are shown
Test = Callable[[np.ndarray, float, float, np.ndarray, bool], np.ndarray]


class Slice(NamedTuple):
    """What the tuning calls fix of one slice. steps: () for all without a slice of their own.

    kept: quality over the top tier's along the path, in truth. share: of all calls of the population that go down. bad: the
    first point that keeps no more than the target, None where all do. margins: of each unit of the slice, by its grades and
    as it counts where a person was asked, both (units, points).
    """

    steps: tuple[str, ...]
    delta: float
    path: list[tuple[float, float | None]]
    kept: np.ndarray
    share: np.ndarray
    bad: int | None
    margins: np.ndarray
    reviewed: np.ndarray


class Laid(NamedTuple):
    """What the tuning calls fix. binary, spread, limit: as ``certify.prove`` finds them."""

    slices: list[Slice]
    limit: float
    spread: float
    binary: bool


class Outcome(NamedTuple):
    """broken: whether any slice's threshold keeps too little. share: of calls that go down, NaN where it was not asked."""

    broken: np.ndarray
    share: np.ndarray


def as_certified(values: np.ndarray, low: float, delta: float, spread: np.ndarray, binary: bool) -> np.ndarray:
    """The test that a certificate uses."""
    if binary:
        return binomial_above_zero(values, low, delta)
    return bet_above_zero(values, low, delta, prior_variance=spread)


def fixed_bets(values: np.ndarray, low: float, delta: float, spread: np.ndarray, binary: bool) -> np.ndarray:
    return bet_above_zero(values, low, delta, prior_variance=spread, bet="fixed")


def binomial(values: np.ndarray, low: float, delta: float, spread: np.ndarray, binary: bool) -> np.ndarray:
    """Exact where losses are 0 or 1; elsewhere everything short of a success counts as a loss of 1."""
    return binomial_above_zero(values, low, delta)


def hoeffding_bentkus(values: np.ndarray, low: float, delta: float, spread: np.ndarray, binary: bool) -> np.ndarray:
    """Of the loss (1 - value) / (1 + low), which lies in [0, 1]. Source: Bates et al. (2021)."""
    count, allowed = len(values), 1.0 / (1.0 + low)
    risk = np.minimum(((1.0 - values) / (1.0 + low)).mean(axis=0), allowed)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(risk > 0, risk * np.log(risk / allowed), 0.0) + (1 - risk) * np.log((1 - risk) / (1 - allowed))
    bentkus = math.e * binom.cdf(np.ceil(count * risk - 1e-9), count, allowed)
    shown: np.ndarray = np.minimum(np.exp(-count * apart), bentkus) <= delta
    return shown


def point_estimate(values: np.ndarray, low: float, delta: float, spread: np.ndarray, binary: bool) -> np.ndarray:
    shown: np.ndarray = values.mean(axis=0) >= 0
    return shown


def normal(values: np.ndarray, low: float, delta: float, spread: np.ndarray, binary: bool) -> np.ndarray:
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    shown: np.ndarray = values.mean(axis=0) > norm.isf(delta) * error
    return shown


def lay(population: Population, target: float, calls: int, delta: float, seed: tuple[int, ...]) -> Laid:
    """Draw tuning calls, and with them the path of each slice, as ``certify.prove`` does."""
    tuning = draw(population, round(calls * TUNING_SHARE), seed)
    limit = unit_limit(tuning.weight, tuning.unit)
    names = [
        *((step,) for step in population.slices),
        *([()] if len(population.groups) > len(population.slices) else []),
    ]
    slices = []
    for steps, group in zip(names, population.groups, strict=True):
        drawn = np.isin(tuning.step, steps) if steps else ~np.isin(tuning.step, population.slices)
        path = draw_path(tuning.take(drawn) if drawn.sum() >= LEAST_PATH_ROWS else tuning, population.costs)
        rows = population.rows.take(group.places)
        used = follow_path(rows, path)
        kept = keep(rows, used)
        share = rows.weight @ (used < population.rows.predicted.shape[1] - 1) / population.rows.weight.sum()
        short = np.flatnonzero(kept <= target + KEPT_EXACTLY)
        margins, true = (
            of_units(rows, grades, used, target, limit, group.starts) for grades in (rows.graded, rows.truth)
        )
        chance = population.reviewed or 1.0
        slices.append(
            Slice(
                steps=steps,
                delta=delta / len(names),
                path=path,
                kept=kept,
                share=share,
                bad=int(short[0]) if len(short) else None,
                margins=margins,
                reviewed=margins + (true - margins) / chance,
            )
        )
    return Laid(slices, limit, _spread(tuning, limit), _is_binary(tuning, limit))


def keep(rows: Rows, used: np.ndarray) -> np.ndarray:
    """What the use of tiers at each point, (n, points), keeps of the top tier's quality in truth."""
    quality = rows.truth[np.arange(len(rows))[:, None], used]
    kept: np.ndarray = rows.weight @ quality / (rows.weight @ rows.truth[:, -1])
    return kept


def of_units(
    rows: Rows, grades: np.ndarray, used: np.ndarray, target: float, limit: float, starts: np.ndarray
) -> np.ndarray:
    """Margins of whole units, as ``certify.unit_margins`` says them, in the order of the rows."""
    margins = grades[np.arange(len(rows))[:, None], used] - target * grades[:, -1:]
    totals = np.add.reduceat(rows.weight, starts)
    return np.add.reduceat(margins * rows.weight[:, None], starts, axis=0) / np.maximum(totals, limit)[:, None]


def simulate(
    population: Population,
    target: float,
    calls: int,
    delta: float,
    repeats: int,
    tests: Mapping[str, Test],
    *,
    walked: int,
    seed: int = 0,
) -> dict[str, Outcome]:
    """Each test on the same ``repeats`` draws of ``calls`` proof calls. walked: on how many draws the share is measured.

    A promise counts as broken where a path is followed past its first bad point. That point alone is tested first, and what
    comes before it only where it was shown.
    """
    laid = [
        lay(population, target, calls, delta, (seed, calls, 0, path)) for path in range(-(-repeats // PROOFS_PER_PATH))
    ]
    suspect = {name: np.zeros(repeats, dtype=bool) for name in tests}
    if walked < repeats:
        for block in _blocks(population, laid, target, calls, range(repeats), seed, "bad"):
            for name, test in tests.items():
                suspect[name][block.draws] |= _run(test, block, laid, population)
    found = {}
    for name, test in tests.items():
        broken, share = np.zeros(repeats, dtype=bool), np.full(repeats, np.nan)
        share[:walked] = 0.0
        later = np.flatnonzero(suspect[name] & (np.arange(repeats) >= walked))
        for draws, which in ((range(walked), "all"), (later, "to bad")):
            for block in _blocks(population, laid, target, calls, draws, seed, which):
                shown = np.split(_run(test, block, laid, population), np.cumsum(block.points)[:-1])
                for place, columns in zip(block.draws, shown, strict=True):
                    slice_ = laid[place // PROOFS_PER_PATH].slices[block.slice]
                    count = walk(columns)
                    broken[place] |= slice_.bad is not None and count > slice_.bad
                    share[place] += slice_.share[count - 1] if count else 0.0
        found[name] = Outcome(broken, share)
    return found


class Block(NamedTuple):
    """Margins of the units of many draws. slice: its place. values: (units, columns). points: columns of each draw."""

    draws: list[int]
    slice: int
    values: np.ndarray
    low: float
    points: list[int]


def _run(test: Test, block: Block, laid: Sequence[Laid], population: Population) -> np.ndarray:
    """One test on a block; draws whose tuning calls all were 0 or 1 apart, as a certificate takes them."""
    of_draw = [laid[place // PROOFS_PER_PATH] for place in block.draws]
    spread = np.repeat([each.spread for each in of_draw], block.points)
    binary = np.repeat([each.binary and population.reviewed is None for each in of_draw], block.points)
    shown = np.zeros(block.values.shape[1], dtype=bool)
    for kind in (False, True):
        if (some := binary == kind).any():
            delta = of_draw[0].slices[block.slice].delta
            shown[some] = test(block.values[:, some], block.low, delta, spread[some], kind)
    return shown


def _blocks(
    population: Population,
    laid: Sequence[Laid],
    target: float,
    calls: int,
    draws: Sequence[int] | np.ndarray,
    seed: int,
    which: str,
) -> Iterator[Block]:
    """Blocks of at most about ``LARGEST_BLOCK`` values.

    which: "bad", for the first bad point of each path alone; "to bad", for those up to it; "all".
    """
    chance = population.reviewed or 1.0
    low = target / chance + (1.0 / chance - 1.0)
    for slice_place in range(len(laid[0].slices)):
        parts: list[np.ndarray] = []
        members: list[int] = []
        for place in map(int, draws):
            slice_ = laid[place // PROOFS_PER_PATH].slices[slice_place]
            if which != "all" and slice_.bad is None:
                continue
            points = slice(None) if slice_.bad is None or which == "all" else slice(0, slice_.bad + 1)
            if which == "bad":
                points = slice(slice_.bad, (slice_.bad or 0) + 1)
            drawn = draw_units(population, calls, (seed, calls, 1, place))
            units, asked = drawn.units[slice_place], drawn.asked[slice_place]
            # in the order in which ``certify.unit_margins`` would bet on them
            values = np.empty((len(units), len(slice_.path[points])))
            order = np.random.default_rng(place).permutation(len(units))
            values[order] = np.where(asked[:, None], slice_.reviewed[units, points], slice_.margins[units, points])
            parts.append(values)
            members.append(place)
            if sum(part.size for part in parts) >= LARGEST_BLOCK:
                yield _joined(members, slice_place, parts, low)
                parts, members = [], []
        if parts:
            yield _joined(members, slice_place, parts, low)


def _joined(members: list[int], place: int, parts: list[np.ndarray], low: float) -> Block:
    return Block(members, place, np.concatenate(parts, axis=1), low, [part.shape[1] for part in parts])


def best_share(population: Population, target: float) -> float:
    """The largest share of calls that any threshold of the router alone sends down and still keeps the target."""
    rows = population.rows
    regrets = np.unique((rows.predicted[:, -1:] - rows.predicted[:, :-1]).min(axis=1))
    used = follow_path(rows, [(float(regret), None) for regret in regrets])
    share = rows.weight @ (used < rows.predicted.shape[1] - 1) / rows.weight.sum()
    return float(share[keep(rows, used) >= target - KEPT_EXACTLY].max(initial=0.0))

"""Populations of calls with known truth, to draw calibration labels from: kept from real requests, and made to be hard.

Knows rows of arrays; knows nothing of tests or figures. A population is finite, and draws are with replacement, so that
what a threshold keeps is computed, not estimated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from certify_stored import STORED, Stored, read_stored

from learned_router.training.proof_rows import Rows
from learned_router.training.thresholds import Answers

CALLS = 4_000  # of a made population
REVIEWED = 0.3  # chance with which a person is asked, where a grader errs
# tiers' costs, cheapest first, over the top tier's
COSTS = {2: np.array([0.05, 1.0]), 3: np.array([0.05, 0.3, 1.0])}


class Group(NamedTuple):
    """The calls of one slice: their places, sorted by unit, and where each unit begins and how many calls it has."""

    places: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


class Population(msgspec.Struct, frozen=True, dict=True):
    """rows: all calls. truth is a person's everywhere, graded the grader's; units are whole numbers from 0 without a gap.

    reviewed: chance with which a draw asks a person about a call; its units are single calls then. slices: the steps that
    have a threshold of their own.
    """

    name: str
    what: str
    rows: Rows
    reviewed: float | None = None
    slices: tuple[str, ...] = ()

    @functools.cached_property
    def groups(self) -> list[Group]:
        masks = [self.rows.step == step for step in self.slices]
        masks.append(~np.logical_or.reduce(masks) if masks else np.ones(len(self.rows), dtype=bool))
        found = []
        for places in map(np.flatnonzero, masks):
            if len(places):
                _, starts, sizes = np.unique(self.rows.unit[places], return_index=True, return_counts=True)
                found.append(Group(places, starts, sizes))
        return found

    @property
    def costs(self) -> np.ndarray:
        return COSTS[self.rows.predicted.shape[1]]


class Drawn(NamedTuple):
    """What is drawn of each group: its units, by their place in it, and whether a person is asked about each."""

    units: list[np.ndarray]
    asked: list[np.ndarray]


def draw_units(population: Population, count: int, seed: tuple[int, ...]) -> Drawn:
    """Units of about ``count`` calls, at random with replacement; of each step with a slice, its share of them.

    The number of units does not depend on the seed, so that draws can be bet on side by side.
    """
    random = np.random.default_rng(seed)
    units, asked = [], []
    for group in population.groups:
        wanted = count * len(group.places) / len(population.rows) / group.sizes.mean()
        units.append(random.integers(len(group.sizes), size=max(1, round(wanted))))
        asked.append(random.random(len(units[-1])) < (population.reviewed or 0.0))
    return Drawn(units, asked)


def draw(population: Population, count: int, seed: tuple[int, ...]) -> Rows:
    """The calls of ``draw_units``; a person's grade only where one was asked."""
    drawn = draw_units(population, count, seed)
    places, units, asked, used = [], [], [], 0
    for group, of_group, some in zip(population.groups, drawn.units, drawn.asked, strict=True):
        lengths = group.sizes[of_group]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places.append(group.places[np.repeat(group.starts[of_group], lengths) + within])
        units.append(used + np.repeat(np.arange(len(of_group)), lengths))
        asked.append(np.repeat(some, lengths))
        used += len(of_group)
    found = msgspec.structs.replace(population.rows.take(np.concatenate(places)), unit=np.concatenate(units))
    if population.reviewed is None:
        return found
    by_person = np.concatenate(asked)
    return msgspec.structs.replace(
        found,
        truth=np.where(by_person[:, None], found.truth, found.graded),
        reviewed=np.where(by_person, population.reviewed, np.nan),
    )


def populations(target: float) -> list[Population]:
    """All of them, in the order of the page; ``target`` places those that lie at the boundary."""
    stored = read_stored() if STORED.is_file() else {}
    real = [
        Population(name, "what a trained router says of the test split", from_stored(kept))
        if kept.accept is None
        else Population(name, "router and gate together, on the test split", from_stored(kept))
        for name, kept in stored.items()
    ]
    made: list[tuple[str, str, Callable[[float], Population]]] = [
        ("boundary", "every threshold keeps exactly the target: the hardest there is", at_boundary),
        ("boundary, top errs", "the same where the top tier is wrong at times", at_boundary_with_errors),
        ("ties", "five values of predicted regret", ties),
        ("rare catastrophe", "the cheap tier as good but for a few calls of high confidence", rare_catastrophe),
        ("misled router", "the less is predicted to be lost, the more is", misled),
        ("graded", "qualities in tenths", graded_qualities),
        ("three tiers", "two cheaper tiers", three_tiers),
        ("weights", "labels that weigh from 0.2 to 3", weights),
        ("sessions", "sessions of 1 to 9 calls that are right or wrong together, at the boundary", sessions),
        ("steps", "a threshold for each of two steps, and one for six thin ones", steps),
        ("kind grader", "takes half of the wrong answers for right; 30 % reviewed", kind_grader),
        ("harsh grader", "takes a third of the right answers for wrong; 30 % reviewed", harsh_grader),
    ]
    return real + [msgspec.structs.replace(make(target), name=name, what=what) for name, what, make in made]


def from_stored(stored: Stored) -> Rows:
    answers = None
    if stored.accept is not None and stored.refused is not None:
        answers = Answers(stored.accept[:, None], stored.refused[:, None])
    return _rows(stored.route, stored.quality, known=stored.known, answers=answers)


def at_boundary(target: float) -> Population:
    """Top always right; the first four in ten tie, and lose all that may be lost. What follows loses nothing.

    With losses of a whole answer, so that every threshold from the first has a margin of exactly nothing.
    """
    regret = np.r_[np.full(CALLS * 4 // 10, 0.01), np.linspace(0.02, 0.5, CALLS - CALLS * 4 // 10)]
    small = np.ones(CALLS)
    small[: round((1.0 - target) * CALLS)] = 0.0
    return _two(regret, small, np.ones(CALLS))


def at_boundary_with_errors(target: float) -> Population:
    """As ``at_boundary``; after the ties, either tier alone is right by turns, so that margins spread without a gain."""
    tied = CALLS * 4 // 10
    regret = np.r_[np.full(tied, 0.01), np.linspace(0.02, 0.5, CALLS - tied)]
    small, top = np.ones(CALLS), np.ones(CALLS)
    later = np.arange(tied, CALLS)
    small[later[later % 5 == 0]] = 0.0
    top[later[later % 5 == 1]] = 0.0
    # lost exactly (1 - target) of what the top tier gets
    lost = (1.0 - target) * top.sum()
    small[: int(lost)] = 0.0
    small[int(lost)] = 1.0 - (lost - int(lost))
    # from five to five rows nothing is lost or won; ties of five make every threshold lie there
    regret[tied:] = np.repeat(regret[tied::5], 5)
    return _two(regret, small, top)


def ties(target: float) -> Population:
    """Five values, of which the third goes over the edge by a hair."""
    random = np.random.default_rng(1)
    group = np.arange(CALLS) % 5
    lost = np.array([0.5, 1.0, 3.6, 4.0, 8.0])[group] * (1.0 - target)
    return _two(0.02 + 0.05 * group, (random.random(CALLS) >= lost).astype(float), np.ones(CALLS))


def rare_catastrophe(target: float) -> Population:
    """The regret is all in a few calls that the router is surest of; with them, a little too much is lost."""
    random = np.random.default_rng(2)
    regret = np.sort(random.random(CALLS)) * 0.3
    small = np.ones(CALLS)
    small[: round(1.02 * (1.0 - target) * CALLS)] = 0.0
    # among the surest 2 (1 - target), half fail
    head = round(2.04 * (1.0 - target) * CALLS)
    small[:head] = random.permutation(small[:head])
    return _two(regret, small, np.ones(CALLS))


def misled(target: float) -> Population:
    random = np.random.default_rng(3)
    regret = np.sort(random.random(CALLS)) * 0.5
    lost = np.linspace(3.0, 0.2, CALLS) * (1.0 - target)
    top = random.random(CALLS) < 0.9
    return _two(regret, ((random.random(CALLS) >= lost) & top).astype(float), top.astype(float))


def graded_qualities(target: float) -> Population:
    random = np.random.default_rng(4)
    regret = np.sort(random.random(CALLS)) * 0.5
    top = np.round(np.clip(random.normal(0.8, 0.15, CALLS), 0, 1), 1)
    small = np.round(np.clip(top - random.exponential(np.linspace(0.01, 6.0 * (1.0 - target), CALLS)), 0, 1), 1)
    return _two(regret, small, top)


def three_tiers(target: float) -> Population:
    random = np.random.default_rng(5)
    hard = np.sort(random.random(CALLS))
    predicted = np.column_stack((0.9 - 0.6 * hard, 0.92 - 0.3 * hard, np.full(CALLS, 0.93)))
    lost = (1.0 - target) * np.column_stack((5.0 * hard, 2.5 * hard, np.zeros(CALLS)))
    quality = (random.random((CALLS, 3)) < 0.93 - lost).astype(float)
    return Population("", "", _rows(hard, quality, predicted=predicted))


def weights(target: float) -> Population:
    """Heavy calls lose more than light ones, so that an unweighted view would be too kind."""
    random = np.random.default_rng(6)
    regret = random.random(CALLS) * 0.5
    weight = random.choice([0.2, 1.0, 3.0], CALLS)
    lost = np.minimum(4.0 * regret * (1.0 - target) * (0.4 + 0.9 * weight), 1.0)
    made = _two(regret, (random.random(CALLS) >= lost).astype(float), np.ones(CALLS))
    return msgspec.structs.replace(made, rows=msgspec.structs.replace(made.rows, weight=weight))


def sessions(target: float) -> Population:
    """All calls of a session have one regret and one outcome; the first four in ten tie, and lose a hair too much."""
    random = np.random.default_rng(7)
    sizes = random.integers(1, 10, CALLS // 5)
    unit = np.repeat(np.arange(len(sizes)), sizes)
    tied = 4 * len(sizes) // 10
    regret = np.r_[np.full(tied, 0.01), 0.02 + np.sort(random.random(len(sizes) - tied))]
    lost = np.cumsum(sizes) <= (1.0 - target) * len(unit)
    lost[np.flatnonzero(~lost)[0]] = True
    made = _two(regret[unit], 1.0 - lost[unit], np.ones(len(unit)))
    return msgspec.structs.replace(made, rows=msgspec.structs.replace(made.rows, unit=unit))


def steps(target: float) -> Population:
    """Two steps of a slice each and six thin ones; in each slice, the first threshold already loses a hair too much."""
    random = np.random.default_rng(8)
    step = np.array(["plan", "edit", *(f"thin {k}" for k in range(6))])[
        random.choice(8, CALLS, p=[0.4, 0.3, *([0.05] * 6)])
    ]
    regret = np.where(random.random(CALLS) < 0.5, 0.05, 0.05 + random.random(CALLS) * 0.4)
    small = np.ones(CALLS)
    for group in (step == "plan", step == "edit", ~np.isin(step, ["plan", "edit"])):
        head = np.flatnonzero(group & (regret == 0.05))
        small[head[: int(np.ceil((1.0 - target) * group.sum())) + 1]] = 0.0
    made = _two(regret, small, np.ones(CALLS))
    return msgspec.structs.replace(made, rows=msgspec.structs.replace(made.rows, step=step), slices=("plan", "edit"))


def kind_grader(target: float) -> Population:
    """At the boundary by a person's grades, well within it by the grader's."""
    return _with_grader(at_boundary_with_errors(target), 9, lambda random, true: (true < 1) & (random < 0.5), 1.0)


def harsh_grader(target: float) -> Population:
    return _with_grader(graded_qualities(target), 10, lambda random, true: (true > 0) & (random < 1 / 3), 0.0)


def _with_grader(
    population: Population, seed: int, errs: Callable[[np.ndarray, np.ndarray], np.ndarray], graded: float
) -> Population:
    rows = population.rows
    random = np.random.default_rng(seed).random(rows.truth.shape)
    found = np.where(errs(random, rows.truth), graded, rows.truth)
    return msgspec.structs.replace(population, rows=msgspec.structs.replace(rows, graded=found), reviewed=REVIEWED)


def _two(regret: np.ndarray, small: np.ndarray, top: np.ndarray) -> Population:
    return Population("", "", _rows(regret, np.column_stack((small, top))))


def _rows(
    regret: np.ndarray,
    quality: np.ndarray,
    *,
    predicted: np.ndarray | None = None,
    known: np.ndarray | None = None,
    answers: Answers | None = None,
) -> Rows:
    count = len(regret)
    return Rows(
        predicted=np.column_stack((-regret, np.zeros(count))) if predicted is None else predicted,
        known=np.ones(count, dtype=bool) if known is None else known,
        answers=answers,
        truth=quality,
        graded=quality,
        reviewed=np.full(count, np.nan),
        weight=np.ones(count),
        unit=np.arange(count),
        step=np.full(count, "other"),
    )

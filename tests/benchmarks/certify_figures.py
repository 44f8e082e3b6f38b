"""What the simulation of certificates found, as the results file holds it. Knows numbers; knows nothing of how they came.

Sources: intervals of Clopper & Pearson (1934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from scipy.stats import beta

OURS = "betting"


class Cell(msgspec.Struct, frozen=True):
    """A population at a target: in how many of ``repeats`` certificates the promise was broken.

    calls: of proof. share: of calls that go down, mean over some of the draws.
    """

    population: str
    target: float
    calls: int
    repeats: int
    broken: int
    share: float


class Power(msgspec.Struct, frozen=True):
    """A test on a population: what it sends down, in the mean over ``repeats`` draws, and how often it is wrong."""

    population: str
    test: str
    calls: int
    repeats: int
    share: float
    broken: int


class Validity(msgspec.Struct, frozen=True):
    """populations: what each is, by name. best: largest share of calls that keeps ``power_target``, by population."""

    measured: str
    delta: float
    power_target: float
    populations: dict[str, str]
    cells: list[Cell]
    best: dict[str, float]
    power: list[Power]


def rate_interval(broken: int, repeats: int) -> tuple[float, float]:
    """95 % interval of a rate, exact."""
    low = 0.0 if broken == 0 else float(beta.ppf(0.025, broken, repeats - broken + 1))
    high = 1.0 if broken == repeats else float(beta.ppf(0.975, broken + 1, repeats - broken))
    return low, high


def is_over(cell: Cell, delta: float) -> bool:
    """Whether promises were broken oftener than chance explains where the rate is ``delta``: by three standard errors.

    Of a thousand cells that lie at ``delta`` itself, one or two are over.
    """
    return cell.broken / cell.repeats > delta + 3.0 * math.sqrt(delta * (1.0 - delta) / cell.repeats)


def find_cell(cells: Sequence[Cell], population: str, target: float, calls: int) -> Cell | None:
    keys = (population, target, calls)
    return next((cell for cell in cells if (cell.population, cell.target, cell.calls) == keys), None)


def find_power(power: Sequence[Power], population: str, test: str, calls: int) -> Power | None:
    keys = (population, test, calls)
    return next((each for each in power if (each.population, each.test, each.calls) == keys), None)

"""Laws of regret to try the monitor on, each at any mean it is asked for. Knows chances; knows nothing of the monitor.

Regret is the top tier's quality minus that of the answer kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Law(NamedTuple):
    """values: of regret. chances: of each, summing to 1."""

    values: Array
    chances: Array

    def draw(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> Array:
        return self.values[np.searchsorted(np.cumsum(self.chances)[:-1], rng.random(shape), side="right")]


def zero_one(mean: float) -> Law:
    """The lower tier fails alone or not at all: nearly every pair is a tie."""
    return Law(np.array([0.0, 1.0]), np.array([1.0 - mean, mean]))


def both_ways(mean: float, reverse: float = 0.05) -> Law:
    """As ``zero_one``, but in 5 % of the calls the top tier fails alone."""
    return Law(np.array([-1.0, 0.0, 1.0]), np.array([reverse, 1.0 - 2 * reverse - mean, reverse + mean]))


def graded(mean: float) -> Law:
    """Grades between 0 and 1, half of them tied: a fixed law tilted to the mean."""
    values = np.linspace(-1.0, 1.0, 9)
    base = np.array([0.01, 0.02, 0.05, 0.14, 0.5, 0.16, 0.07, 0.03, 0.02])
    low, high = -20.0, 20.0
    for _ in range(100):
        tilt = (low + high) / 2
        chances = base * np.exp(tilt * values)
        chances /= chances.sum()
        low, high = (tilt, high) if chances @ values < mean else (low, tilt)
    return Law(values, chances)


def rare_loss(mean: float) -> Law:
    """Nearly always a shade better than the top tier, and now and then everything is lost."""
    lost = (mean + 0.02) / 1.02
    return Law(np.array([-0.02, 1.0]), np.array([1.0 - lost, lost]))


LAWS: dict[str, Callable[[float], Law]] = {
    "0 or 1": zero_one,
    "-1, 0 or 1": both_ways,
    "graded": graded,
    "rare total loss": rare_loss,
}

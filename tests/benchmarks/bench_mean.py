"""The mean over all pairs: which method is best on logs in general, which no single pair has rows enough to tell.

Knows scores and outcomes of several pairs; knows nothing of files or pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from bench_figures import RESAMPLES, MethodMean, PairedApgr, mean_apgr, pair_apgr
from bench_methods import Method
from bench_store import Run

from learned_router.training.baselines import Floats, Rows

RANDOM = 0.5


class Part(NamedTuple):
    """One pair's test split and what each method made of it, by seed."""

    test: Rows
    runs: Mapping[str, Mapping[int, Run]]


def measure_mean(
    parts: Sequence[Part], methods: Mapping[str, Method], main: str, *, resamples: int = RESAMPLES
) -> list[MethodMean]:
    """Mean APGR over the pairs for every method that was run on all of them and has a score somewhere, best first.

    Each pair counts the same. Pairs on one test split are drawn alike, so what they share is not counted twice. A run
    that found nothing to learn from counts as a random order; a method that lacks a run has no mean, for it would be
    taken down by what nobody asked of it.
    """
    of_pairs = [pair_apgr(part.test, _scores(part), resamples=resamples) for part in parts]
    names = [
        name
        for name in methods
        if all(part.runs.get(name) for part in parts) and any(name in found.values for found in of_pairs)
    ]
    together = mean_apgr([_with_random(found, names, resamples) for found in of_pairs])
    values = together.values
    found = [
        MethodMean(
            name,
            methods[name].shown,
            methods[name].kind,
            sum(name in pair.values for pair in of_pairs),
            together.estimate(name),
            together.difference(main, name) if main in values and name != main else None,
        )
        for name in names
    ]
    return sorted(found, key=lambda method: -values[method.name])


def _scores(part: Part) -> dict[str, list[Floats]]:
    found = {name: [run.scored.score for run in by_seed.values() if run.scored] for name, by_seed in part.runs.items()}
    return {name: scores for name, scores in found.items() if scores}


def _with_random(found: PairedApgr, names: Sequence[str], resamples: int) -> PairedApgr:
    """The same with a random order for the names it has not, which had nothing to learn from."""
    return PairedApgr(
        {name: found.values.get(name, RANDOM) for name in names},
        {name: found.draws.get(name, np.full(resamples, RANDOM)) for name in names},
    )

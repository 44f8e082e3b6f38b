"""Figures of the benchmark from scores: means over seeds, and intervals that are paired across methods.

Knows scores and outcomes; knows nothing of how the scores came about, of files or of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from bench_methods import TIERS, Method
from bench_pairs import Pair
from bench_store import Run
from numpy.typing import NDArray

from learned_router.training import metrics
from learned_router.training.baselines import Floats, Rows
from learned_router.training.evaluation import Comparison, Estimate

RESAMPLES = 1000
CHANCE_DRAWS = 200  # outcomes drawn to see what ECE perfect predictions have
CURVE_SHARES = np.linspace(0, 1, 51)
Name = TypeVar("Name")


class ModeFigures(msgspec.Struct, frozen=True):
    """kept: quality relative to the frontier's. saved: share of calls not sent to the frontier."""

    name: str
    kept: Estimate
    saved: Estimate


class TierFigures(msgspec.Struct, frozen=True):
    """ece: of the predicted quality, mean over seeds. ece_by_chance: what it would be were every prediction right.

    share, predicted, quality: reliability by bin of equal mass, all seeds' predictions together.
    """

    name: str
    ece: float
    ece_by_chance: float
    share: list[float]
    predicted: list[float]
    quality: list[float]


class MethodFigures(msgspec.Struct, frozen=True):
    """One method on one pair: means over seeds. by_seed: APGR of each. seconds: mean time of a run.

    seeded: whether another seed would have given other figures.
    curve: mean quality at 0, 2, … 100 % of calls to the frontier. versus: APGR minus the best rival's; ours only.
    """

    name: str
    shown: str
    kind: str
    seeds: list[int]
    seconds: float
    apgr: Estimate
    cpt50: Estimate
    cpt80: Estimate
    aiq: Estimate
    by_seed: list[float | None]
    curve: list[float]
    modes: list[ModeFigures] = []
    tiers: list[TierFigures] = []
    versus: Comparison | None = None
    seeded: bool = True


class PairFigures(msgspec.Struct, frozen=True):
    """rows: labels by split. groups: of the test split. quality: mean on the test split, by tier."""

    name: str
    small: str
    frontier: str
    reach: float
    rows: dict[str, int]
    groups: int
    quality: dict[str, float]
    resamples: int
    methods: list[MethodFigures]


class MethodMean(msgspec.Struct, frozen=True):
    """One method over all pairs. minus: the main method's mean less this one's, paired; None for the main one itself.

    pairs: on how many it had something to learn from; on the others it counts as a random order.
    """

    name: str
    shown: str
    kind: str
    pairs: int
    apgr: Estimate
    minus: Estimate | None


class Benchmark(msgspec.Struct, frozen=True):
    """All that was measured. main: name of the method that stands for ours. measured: date of the last run.

    means: over all pairs, best first, of the methods that were run on each; of the last run that had all pairs.
    """

    measured: str
    main: str
    pairs: list[PairFigures]
    means: list[MethodMean] = []


class Part(NamedTuple):
    """Figures measured together, by a function of the weights: (n,) → (k,), (b, n) → (b, k)."""

    names: list[tuple[str, ...]]
    measure: Callable[[Floats], Floats]


def measure_parts(
    parts: Sequence[Part], weight: Floats, group: NDArray[np.str_], resamples: int
) -> tuple[dict[tuple[str, ...], Any], dict[tuple[str, ...], Floats]]:
    """Every figure of the parts by its name, and its values on resamples of whole groups, (resamples,), the same for all."""
    names = [name for part in parts for name in part.names]

    def measure(weight: Floats) -> Floats:
        return np.concatenate([part.measure(weight) for part in parts], axis=-1)

    values = dict(zip(names, measure(weight), strict=True))
    drawn = metrics.bootstrap(measure, group, weight, resamples=resamples).reshape(-1, len(names))
    return values, {name: drawn[:, i] for i, name in enumerate(names)}


def measure_pair(
    pair: Pair,
    counts: Mapping[str, int],
    test: Rows,
    methods: Mapping[str, Method],
    runs: Mapping[str, Mapping[int, Run]],
    *,
    resamples: int = RESAMPLES,
) -> PairFigures:
    """Figures of one pair. counts: labels by split. runs: by method and seed; methods without any are left out.

    A resample's figure is the mean over the method's seeds on the same drawn groups, so the intervals are of the test
    questions, not of the seeds; all methods see the same resamples.
    """
    scored_runs = {name: {s: r for s, r in sorted(runs.get(name, {}).items()) if r.scored} for name in methods}
    runs = {name: by_seed for name, by_seed in scored_runs.items() if by_seed}
    parts = [part for name, found in runs.items() for part in _parts(name, list(found.values()), test)]
    values, draws = measure_parts(parts, test.weight, test.group, resamples)

    def estimate(*name: str) -> Estimate:
        return to_estimate(values[name], draws[name])

    apgr = {name: values[name, "apgr"] for name in runs}
    rivals = {name: value for name, value in apgr.items() if methods[name].kind in ("baseline", "peer")}
    known = {name: value for name, value in rivals.items() if not np.isnan(value)}
    rival = max(known, key=known.__getitem__) if known else None
    found = []
    for name, by_seed in runs.items():
        scored = [run.scored for run in by_seed.values() if run.scored]
        versus = None
        if rival and methods[name].kind == "ours" and not np.isnan(apgr[name]):
            difference = to_estimate(apgr[name] - apgr[rival], draws[name, "apgr"] - draws[rival, "apgr"])
            versus = Comparison(rival, difference)
        curves = [metrics.trace_curve(one.score, test.small, test.top, test.weight) for one in scored]
        found.append(
            MethodFigures(
                name=name,
                shown=methods[name].shown,
                kind=methods[name].kind,
                seeds=list(by_seed),
                seconds=round(float(np.mean([run.seconds for run in by_seed.values()])), 1),
                **{figure: estimate(name, figure) for figure in metrics.ORDER_FIGURES},
                by_seed=[_plain(metrics.apgr(curve)) for curve in curves],
                curve=rounded(np.mean([np.interp(CURVE_SHARES, c.share, c.quality) for c in curves], axis=0)),
                modes=[
                    ModeFigures(mode, estimate(name, mode, "kept"), estimate(name, mode, "saved"))
                    for mode in scored[0].taken
                ],
                tiers=_measure_tiers([one.quality for one in scored if one.quality is not None], test),
                versus=versus,
                seeded=methods[name].seeded,
            )
        )
    return PairFigures(
        name=pair.name,
        small=pair.small,
        frontier=pair.frontier,
        reach=pair.reach,
        rows=dict(counts),
        groups=len(np.unique(test.group)),
        quality={
            tier: round(float(np.average(quality, weights=test.weight)), 4)
            for tier, quality in zip(TIERS, (test.small, test.top), strict=True)
        },
        resamples=resamples,
        methods=found,
    )


def _parts(name: str, runs: Sequence[Run], test: Rows) -> list[Part]:
    """Everything of one method that has an interval, each the mean over its seeds."""
    scored = [run.scored for run in runs if run.scored]
    outcomes = np.stack((test.small, test.top), axis=1)

    def ordering(weight: Floats) -> Floats:
        of_seeds = [metrics.measure_order(one.score, test.small, test.top, weight) for one in scored]
        return np.asarray(np.mean(of_seeds, axis=0))

    def operating(weight: Floats, mode: str) -> Floats:
        kept = [metrics.quality_kept(outcomes, one.taken[mode], weight) for one in scored]
        saved = [metrics.tier_shares(one.taken[mode], len(TIERS), weight)[..., 0] for one in scored]
        return np.stack((np.mean(kept, axis=0), np.mean(saved, axis=0)), axis=-1)

    parts = [Part([(name, figure) for figure in metrics.ORDER_FIGURES], ordering)]
    for mode in scored[0].taken:
        parts.append(Part([(name, mode, "kept"), (name, mode, "saved")], partial(operating, mode=mode)))
    return parts


def _measure_tiers(predicted: Sequence[Floats], test: Rows) -> list[TierFigures]:
    if not predicted:
        return []
    found = []
    for index, (tier, outcome) in enumerate(zip(TIERS, (test.small, test.top), strict=True)):
        guesses = [quality[:, index] for quality in predicted]
        together = metrics.reliability(
            np.concatenate(guesses), np.tile(outcome, len(guesses)), np.tile(test.weight, len(guesses))
        )
        found.append(
            TierFigures(
                name=tier,
                ece=round(float(np.mean([metrics.ece(guess, outcome, test.weight) for guess in guesses])), 4),
                ece_by_chance=round(float(np.mean([ece_by_chance(guess, test.weight) for guess in guesses])), 4),
                share=rounded(together.share),
                predicted=rounded(together.predicted),
                quality=rounded(together.quality),
            )
        )
    return found


def ece_by_chance(predicted: Floats, weight: Floats | None = None, draws: int = CHANCE_DRAWS) -> float:
    """Mean ECE of predictions that are all right: outcomes drawn with the very probabilities predicted.

    The mean quality of a bin of a hundred rows is off by chance alone, so ECE is never 0: this is what it cannot pass.
    """
    generator = np.random.default_rng(0)
    right = np.clip(predicted, 0, 1)
    return float(np.mean([metrics.ece(right, generator.random(len(right)) < right, weight) for _ in range(draws)]))


class PairedApgr:
    """APGR of several ways of choosing on one test split, all on the same resamples of whole groups.

    values, draws: by name, the figure and its resamples, (resamples,); each the mean over the name's own scores.
    """

    def __init__(self, values: dict[Any, float], draws: dict[Any, Floats]) -> None:
        self.values = values
        self.draws = draws

    def estimate(self, name: Any) -> Estimate:
        return to_estimate(self.values[name], self.draws[name])

    def difference(self, name: Any, other: Any) -> Estimate:
        """The first minus the second, paired."""
        return to_estimate(self.values[name] - self.values[other], self.draws[name] - self.draws[other])


def pair_apgr(test: Rows, scores: Mapping[Name, Sequence[Floats]], *, resamples: int = RESAMPLES) -> PairedApgr:
    """scores: by name, one or more arrays (n_test,), as from several seeds; higher = needs the frontier more."""

    def measure(weight: Floats) -> Floats:
        of_names = [
            np.mean([metrics.apgr(metrics.trace_curve(one, test.small, test.top, weight)) for one in found], axis=0)
            for found in scores.values()
        ]
        return np.stack(of_names, axis=-1)

    values = measure(test.weight)
    drawn = metrics.bootstrap(measure, test.group, test.weight, resamples=resamples).reshape(-1, len(scores))
    return PairedApgr(
        dict(zip(scores, values.tolist(), strict=True)), {name: drawn[:, i] for i, name in enumerate(scores)}
    )


def to_estimate(value: float, draws: Floats) -> Estimate:
    return Estimate(*(_plain(number) for number in (value, *metrics.percentile_interval(draws))))


def standing(difference: Estimate) -> str:
    """Where the interval of ours minus the rival's lies: ahead or behind when 0 is outside it, else level."""
    if difference.low is not None and difference.low > 0:
        return "ahead of"
    if difference.high is not None and difference.high < 0:
        return "behind"
    return "level with"


def rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


def mean_apgr(paired: Sequence[PairedApgr]) -> PairedApgr:
    """Mean over pairs, each with its own resamples of its own test split."""
    return PairedApgr(
        {name: float(np.mean([one.values[name] for one in paired])) for name in paired[0].values},
        {name: np.mean([one.draws[name] for one in paired], axis=0) for name in paired[0].draws},
    )

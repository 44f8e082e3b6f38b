"""Figures of the benchmark of triples: means over seeds, and intervals that are paired across methods.

Knows predicted and found qualities; knows nothing of how they came about, of files or of pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
from bench_figures import RESAMPLES, Part, measure_parts, rounded, to_estimate
from bench_methods import Method, Scored
from bench_store import Run
from numpy.typing import NDArray
from triples_methods import quality_of
from triples_models import TIERS, Triple, price_of_model, prices_of
from triples_sweep import cost_shares, measure_sweep, trace_sweep

from learned_router.training import metrics
from learned_router.training.baselines import Floats, Rows
from learned_router.training.evaluation import Estimate
from learned_router.training.metrics import Curve

FIGURES = ("aiq", "saved95", "saved98")
TARGETS = (0.95, 0.98)
MODE_FIGURES = ("kept", "saved")
TWO_TIERS = ((0, 2), (1, 2), (0, 1))
# closer together where it is cheap: a middle tier may cost less than a twentieth of the frontier
CURVE_COSTS = np.linspace(0, 1, 61) ** 2


class TripleTier(msgspec.Struct, frozen=True):
    """input, output: $ per million tokens; price: the two blended. cost: from 0 for small to 1 for the frontier.

    quality: mean on the test split, the tier taken always.
    """

    name: str
    model: str
    input: float
    output: float
    price: float
    cost: float
    quality: float


class TripleMode(msgspec.Struct, frozen=True):
    """An operating point. kept: quality relative to the frontier's. saved: share of the frontier's bill.

    shares: of calls, by tier, mean over seeds.
    """

    name: str
    kept: Estimate
    saved: Estimate
    shares: list[float]


class Difference(msgspec.Struct, frozen=True):
    """Ours minus the rival of that name, on the same resamples."""

    rival: str
    aiq: Estimate
    saved95: Estimate
    saved98: Estimate


class SweepFigures(msgspec.Struct, frozen=True):
    """One way of spreading calls: means over seeds. kind: as of a method, or ``two tiers`` for ours with one taken away.

    saved95, saved98: largest share of the frontier's bill saved while that much of its quality is kept. aiq_before: the
    AIQ on the calibration split. by_seed: AIQ. curve: mean quality at CURVE_COSTS. versus: of ours.
    """

    name: str
    shown: str
    kind: str
    seeds: list[int]
    seconds: float
    aiq: Estimate
    saved95: Estimate
    saved98: Estimate
    aiq_before: float
    by_seed: list[float]
    curve: list[float]
    modes: list[TripleMode] = []
    versus: list[Difference] = []


class TripleFigures(msgspec.Struct, frozen=True):
    """rows: labels by split. groups: of the test split. two_tiers, baseline: names of the rivals, None without any.

    The best two tiers are chosen on the calibration split, the best baseline on the test split itself.
    """

    name: str
    tiers: list[TripleTier]
    rows: dict[str, int]
    groups: int
    resamples: int
    two_tiers: str | None
    baseline: str | None
    methods: list[SweepFigures]


class TripleBenchmark(msgspec.Struct, frozen=True):
    """All that was measured. main: name of the method that stands for ours. measured: date of the last run."""

    measured: str
    main: str
    triples: list[TripleFigures]


class Side(NamedTuple):
    """One split of the rows asked. chosen: bool (n_asked,), which they are. quality: found, (n, tiers)."""

    chosen: NDArray[np.bool_]
    quality: Floats
    weight: Floats
    group: NDArray[np.str_]


class Choice(NamedTuple):
    """What is measured as one: a method, or ours without a tier. tiers: indexes of those that may be taken."""

    name: str
    shown: str
    kind: str
    tiers: tuple[int, ...]
    runs: Mapping[int, Run]

    @property
    def scored(self) -> list[Scored]:
        return [run.scored for run in self.runs.values() if run.scored]


def measure_triple(
    triple: Triple,
    train: Rows,
    asked: Rows,
    methods: Mapping[str, Method],
    runs: Mapping[str, Mapping[int, Run]],
    *,
    resamples: int = RESAMPLES,
) -> TripleFigures:
    """Figures of one triple. asked: the calibration and the test split. runs: by method and seed.

    A resample's figure is the mean over the method's seeds on the same drawn groups, so the intervals are of the test
    questions, not of the seeds; all methods see the same resamples.
    """
    prices = prices_of(triple)
    before, test = (take_side(asked, split) for split in ("calibration", "test"))
    choices = list_choices(methods, runs)
    parts = [part for choice in choices for part in _parts(choice, test, prices)]
    values, draws = measure_parts(parts, test.weight, test.group, resamples)

    def estimate(*name: str) -> Estimate:
        return to_estimate(values[name], draws[name])

    def compare(ours: str, rival: str) -> Difference:
        pairs = [((ours, figure), (rival, figure)) for figure in FIGURES]
        return Difference(rival, *(to_estimate(values[a] - values[b], draws[a] - draws[b]) for a, b in pairs))

    aiq_before = {
        choice.name: float(np.mean([metrics.aiq(_trace(choice, one, before, prices)) for one in choice.scored]))
        for choice in choices
    }
    two_tiers = _best({one.name: aiq_before[one.name] for one in choices if one.kind == "two tiers"})
    baseline = _best({one.name: values[one.name, "aiq"] for one in choices if one.kind == "baseline"})
    found = []
    for choice in choices:
        curves = [_trace(choice, one, test, prices) for one in choice.scored]
        sweep = SweepFigures(
            name=choice.name,
            shown=choice.shown,
            kind=choice.kind,
            seeds=list(choice.runs),
            seconds=round(float(np.mean([run.seconds for run in choice.runs.values()])), 1),
            **{figure: estimate(choice.name, figure) for figure in FIGURES},
            aiq_before=round(aiq_before[choice.name], 5),
            by_seed=rounded(metrics.aiq(curve) for curve in curves),
            curve=rounded(np.mean([np.interp(CURVE_COSTS, c.share, c.quality) for c in curves], axis=0)),
            modes=[
                TripleMode(
                    mode,
                    estimate(choice.name, mode, "kept"),
                    estimate(choice.name, mode, "saved"),
                    rounded(_shares(choice, mode, test)),
                )
                for mode in _modes(choice)
            ],
            versus=[compare(choice.name, rival) for rival in (two_tiers, baseline) if rival and choice.kind == "ours"],
        )
        found.append(sweep)
    return TripleFigures(
        name=triple.name,
        tiers=_describe_tiers(triple, test),
        rows={"train": len(train.labels), "calibration": len(before.weight), "test": len(test.weight)},
        groups=len(np.unique(test.group)),
        resamples=resamples,
        two_tiers=two_tiers,
        baseline=baseline,
        methods=found,
    )


def take_side(asked: Rows, split: str) -> Side:
    chosen = np.array([label.split == split for label in asked.labels])
    return Side(chosen, quality_of(asked)[chosen], asked.weight[chosen], asked.group[chosen])


def list_choices(methods: Mapping[str, Method], runs: Mapping[str, Mapping[int, Run]]) -> list[Choice]:
    """The methods that have scores, and after ours the same scores with one tier taken away."""
    found = []
    for name, method in methods.items():
        by_seed = {seed: run for seed, run in sorted(runs.get(name, {}).items()) if run.scored}
        if not by_seed:
            continue
        found.append(Choice(name, method.shown, method.kind, tuple(range(len(TIERS))), by_seed))
        for pair in TWO_TIERS if method.kind == "ours" else ():
            words = " and ".join(TIERS[index] for index in pair)
            found.append(Choice(f"{name} {words}", f"ours, {words} only", "two tiers", pair, by_seed))
    return found


def _parts(choice: Choice, test: Side, prices: Floats) -> list[Part]:
    """Everything of one choice that has an interval, each the mean over its seeds."""
    scored = choice.scored

    def sweeping(weight: Floats) -> Floats:
        of_seeds = [
            measure_sweep(predicted(one, test), test.quality, prices, weight, targets=TARGETS, tiers=choice.tiers)
            for one in scored
        ]
        return np.asarray(np.mean(of_seeds, axis=0))

    def operating(weight: Floats, mode: str) -> Floats:
        taken = [one.taken[mode][test.chosen] for one in scored]
        kept = [metrics.quality_kept(test.quality, tiers, weight) for tiers in taken]
        bills = [metrics.tier_shares(tiers, len(prices), weight) @ prices / prices[-1] for tiers in taken]
        return np.stack((np.mean(kept, axis=0), 1 - np.mean(bills, axis=0)), axis=-1)

    parts = [Part([(choice.name, figure) for figure in FIGURES], sweeping)]
    for mode in _modes(choice):
        parts.append(Part([(choice.name, mode, what) for what in MODE_FIGURES], partial(operating, mode=mode)))
    return parts


def _modes(choice: Choice) -> list[str]:
    """A router's operating points; with a tier taken away it has none."""
    return list(choice.scored[0].taken) if choice.kind == "ours" else []


def predicted(scored: Scored, side: Side) -> Floats:
    """The predicted qualities of one split, (n, tiers). Raises ValueError when none were stored."""
    if scored.quality is None:
        raise ValueError("a stored run has no predicted qualities; remove it and run the method again")
    return scored.quality[side.chosen]


def _trace(choice: Choice, scored: Scored, side: Side, prices: Floats) -> Curve:
    return trace_sweep(predicted(scored, side), side.quality, cost_shares(prices), side.weight, choice.tiers)


def _shares(choice: Choice, mode: str, test: Side) -> Floats:
    taken = [one.taken[mode][test.chosen] for one in choice.scored]
    return np.asarray(np.mean([metrics.tier_shares(tiers, len(TIERS), test.weight) for tiers in taken], axis=0))


def _describe_tiers(triple: Triple, test: Side) -> list[TripleTier]:
    prices = prices_of(triple)
    means = np.average(test.quality, axis=0, weights=test.weight)
    found = []
    for index, (name, model) in enumerate(triple.models.items()):
        price = price_of_model(model)
        numbers = (prices[index], cost_shares(prices)[index], means[index])
        found.append(TripleTier(name, model, price.input_per_million, price.output_per_million, *rounded(numbers)))
    return found


def _best(values: Mapping[str, float]) -> str | None:
    return max(values, key=values.__getitem__) if values else None

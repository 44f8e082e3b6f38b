"""Measure a router on labels it has not seen, beside every baseline, with intervals over whole groups.

Knows the router by its public face only (tiers, modes, ``route_modes``); knows nothing of files, tables or figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from learned_router.errors import LabelError
from learned_router.policy import Mode, Reason
from learned_router.training import metrics
from learned_router.training.baselines import Embedder, Floats, Progress, Rows, score_baselines, tabulate
from learned_router.training.evaluate_gate import evaluate_gate
from learned_router.training.evaluation import (
    ORACLE,
    ROUTER,
    Comparison,
    CurveResult,
    Estimate,
    Evaluation,
    MethodResult,
    ModeResult,
    TaskResult,
    TierResult,
    to_estimate,
)
from learned_router.training.records import Label, label_request

Indices = NDArray[np.intp]

TASK_ROWS_LEAST: Final = 100
CURVE_POINTS: Final = 101
# Requests routed at once: enough to keep the encoder busy, few enough for progress to move.
BATCH: Final = 64


class RoutesRequests(Protocol):
    """What is evaluated: ``learned_router.Router``, or anything with its face."""

    @property
    def tiers(self) -> tuple[str, ...]: ...

    @property
    def modes(self) -> Mapping[str, Mode]: ...

    @property
    def has_gate(self) -> bool: ...

    def route_modes(self, requests: Sequence[Any]) -> Mapping[str, Sequence[Any]]: ...


class _Sample(NamedTuple):
    """The labels measured on. quality: (n, tiers), cheapest first. resamples, seed: of every interval."""

    tiers: tuple[str, ...]
    rows: Rows
    quality: Floats
    resamples: int
    seed: int

    def take(self, index: Indices) -> _Sample:
        return self._replace(rows=self.rows.take(index), quality=self.quality[index])

    def means(self) -> list[float]:
        return [float(mean) for mean in np.average(self.quality, axis=0, weights=self.rows.weight)]

    def estimate(self, statistic: Callable[[Floats], Any]) -> Estimate:
        """Value and interval of a function of the weights, (n,) → a number, (b, n) → (b,)."""
        rows = self.rows
        draws = metrics.bootstrap(statistic, rows.group, rows.weight, resamples=self.resamples, seed=self.seed)
        return to_estimate(statistic(rows.weight), draws)

    def estimate_kept(self, taken: Indices) -> Estimate:
        return self.estimate(lambda weight: metrics.quality_kept(self.quality, taken, weight))


def evaluate(
    router: RoutesRequests,
    labels: Sequence[Label],
    *,
    split: str = "test",
    baselines: bool = True,
    bootstrap: int = 1000,
    seed: int = 0,
    cache: Path | None = None,
    prices: Mapping[str, float] | None = None,
    call_costs: Mapping[str, float] | None = None,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Route every label of ``split`` and measure what came of it.

    baselines: also fit and score the baselines, on the labels of split ``train``. bootstrap: resamples of whole groups.
    cache: folder for embeddings. prices: of an average call, by tier, in any one unit; without the price of every tier,
    what is saved is counted in calls. call_costs: the same for a gate, assumed where ``prices`` are not given.
    embedder: see ``score_baselines``. progress: told what goes on, a few words at a time. The router's score is its
    predicted regret of the cheapest tier.
    Raises LabelError when ``split`` is empty, no label of it knows the router's tiers, or all weigh nothing.
    """
    tiers = router.tiers
    chosen, left_out = _labels_of(labels, split, tiers)
    rows = tabulate(chosen, tiers[0], tiers[-1])
    quality = np.array([[label.quality[tier] for tier in tiers] for label in chosen])
    sample = _Sample(tiers, rows, quality, bootstrap, seed)
    predicted, taken, unlike = _route(router, chosen, progress)

    scores = {ROUTER: predicted[:, -1] - predicted[:, 0]}
    notes = _gap_notes(sample, split)
    if baselines:
        train, _ = _with_tiers([label for label in labels if label.split == "train"], tiers)
        if not train:
            notes.append("No label of split 'train' was given: the baselines that learn from labels are absent.")
        scores |= score_baselines(
            tabulate(train, tiers[0], tiers[-1]), rows, seed=seed, cache=cache, embedder=embedder, progress=progress
        )
    if progress:
        progress(f"resampling {bootstrap:,} times")
    methods, draws = measure_methods(scores, rows, resamples=bootstrap, seed=seed)
    if bootstrap and any(method.apgr.value is not None and method.apgr.low is None for method in methods):
        notes.append("The gap between the tiers is so small that it vanishes in some resamples: no interval is given.")
    price = np.array([(prices or {}).get(tier, np.nan) for tier in tiers])
    priced = bool(np.isfinite(price).all() and price[-1] > 0)
    if not priced:
        price = np.eye(len(tiers))[-1]
    return Evaluation(
        split=split,
        rows=len(chosen),
        groups=len(np.unique(rows.group)),
        left_out=left_out,
        resamples=bootstrap,
        seed=seed,
        tiers=_measure_tiers(sample, predicted),
        methods=methods,
        modes=[_measure_mode(sample, name, mode, taken[name], price) for name, mode in router.modes.items()],
        tasks=_measure_tasks(sample, scores[ROUTER]),
        out_of_distribution=float(np.average(unlike, weights=rows.weight)),
        versus_best=_compare_with_best(methods, draws),
        saved_of="cost" if priced else "top-tier calls",
        curves=[
            _thin_curve(name, metrics.trace_curve(score, rows.small, rows.top, rows.weight))
            for name, score in scores.items()
        ],
        notes=notes,
        gate=evaluate_gate(router, labels, call_costs, assumed=not priced, split=split, bootstrap=bootstrap, seed=seed)
        if router.has_gate and call_costs
        else None,
    )


def measure_methods(
    scores: Mapping[str, Floats], rows: Rows, *, resamples: int = 1000, seed: int = 0
) -> tuple[list[MethodResult], dict[str, Floats]]:
    """Figures of each method with intervals, and its APGR on each resample, the same resamples for all methods."""

    def figures(weight: Floats) -> Floats:
        return np.stack(
            [metrics.measure_order(score, rows.small, rows.top, weight) for score in scores.values()], axis=-2
        )

    values = figures(rows.weight)
    drawn = metrics.bootstrap(figures, rows.group, rows.weight, resamples=resamples, seed=seed)
    drawn = drawn.reshape(-1, len(scores), len(metrics.ORDER_FIGURES))
    methods = [
        MethodResult(
            name,
            **{figure: to_estimate(values[i, j], drawn[:, i, j]) for j, figure in enumerate(metrics.ORDER_FIGURES)},
        )
        for i, name in enumerate(scores)
    ]
    return methods, {name: drawn[:, i, 0] for i, name in enumerate(scores)}


def _labels_of(labels: Sequence[Label], split: str, tiers: tuple[str, ...]) -> tuple[list[Label], int]:
    of_split = [label for label in labels if label.split == split]
    if not of_split:
        found = ", ".join(f"{name or 'none'} {count:,}" for name, count in Counter(x.split for x in labels).items())
        raise LabelError(
            f"no label has split {split!r} (found: {found or 'no labels at all'}). Give labels that record their "
            "split, as 'learned-router train' writes them, or name a split that is there."
        )
    known, left_out = _with_tiers(of_split, tiers)
    if not known:
        found = ", ".join(sorted({tier for label in of_split for tier in label.quality}))
        raise LabelError(
            f"no label of split {split!r} has a quality for each of the router's tiers {', '.join(tiers)} "
            f"(found: {found}). Label the logs again with the --tier names that the router was trained on."
        )
    if not any(label.weight for label in known):
        raise LabelError(
            f"all {len(known):,} labels of split {split!r} have weight 0; at least one must count. "
            "Label the logs again, or set the weights."
        )
    return known, left_out


def _with_tiers(labels: Sequence[Label], tiers: tuple[str, ...]) -> tuple[list[Label], int]:
    known = [label for label in labels if all(tier in label.quality for tier in tiers)]
    return known, len(labels) - len(known)


def _route(
    router: RoutesRequests, labels: Sequence[Label], progress: Progress | None
) -> tuple[Floats, dict[str, Indices], NDArray[np.bool_]]:
    """Predicted qualities (n, tiers), the index of the tier taken (n,) by mode, and who is out of distribution (n,)."""
    requests = [label_request(label) for label in labels]
    index = {tier: i for i, tier in enumerate(router.tiers)}
    decisions: dict[str, list[Any]] = {mode: [] for mode in router.modes}
    for start in range(0, len(requests), BATCH):
        for mode, some in router.route_modes(requests[start : start + BATCH]).items():
            decisions[mode] += some
        if progress:
            progress(f"routing: {min(start + BATCH, len(requests)):,} of {len(requests):,}")
    taken = {mode: np.array([index[decision.tier] for decision in found]) for mode, found in decisions.items()}
    any_mode = next(iter(decisions.values()))
    # the prediction and the distance from the training data do not depend on the mode
    predicted = np.array([[decision.quality[tier] for tier in router.tiers] for decision in any_mode])
    unlike = np.array([decision.reason == Reason.OUT_OF_DISTRIBUTION for decision in any_mode])
    return predicted, taken, unlike


def _gap_notes(sample: _Sample, split: str) -> list[str]:
    (small, *_, top), (cheapest, *_, best) = sample.means(), sample.tiers
    if top - small > metrics.NO_GAP:
        return []
    return [
        f"On split {split!r} {best} is no better than {cheapest} (mean quality {top:.3f} against {small:.3f}): "
        "there is no gap to recover, so APGR and CPT do not exist, and always calling "
        f"{cheapest} loses nothing on average."
    ]


def _measure_tiers(sample: _Sample, predicted: Floats) -> list[TierResult]:
    results = []
    for i, (tier, mean) in enumerate(zip(sample.tiers, sample.means(), strict=True)):
        models = sorted({label.models[tier] for label in sample.rows.labels if tier in label.models})
        kept = sample.estimate_kept(np.full(len(predicted), i))
        ece = metrics.ece(predicted[:, i], sample.quality[:, i], sample.rows.weight)
        results.append(TierResult(tier, " / ".join(models), mean, kept, ece))
    return results


def _measure_mode(sample: _Sample, name: str, mode: Mode, taken: Indices, price: Floats) -> ModeResult:
    count = len(sample.tiers)
    shares = metrics.tier_shares(taken, count, sample.rows.weight)
    return ModeResult(
        name=name,
        target=mode.target,
        threshold=mode.threshold,
        certified=mode.certified,
        quality=float(np.average(sample.quality[np.arange(len(taken)), taken], weights=sample.rows.weight)),
        kept=sample.estimate_kept(taken),
        shares=dict(zip(sample.tiers, shares.tolist(), strict=True)),
        saved=sample.estimate(lambda weight: 1 - metrics.tier_shares(taken, count, weight) @ price / price[-1]),
    )


def _measure_tasks(sample: _Sample, score: Floats) -> list[TaskResult]:
    """By task where there are several, else by source; only those with rows enough for a figure to mean something."""
    for field in ("task", "source"):
        names = np.array([getattr(label, field) or "" for label in sample.rows.labels])
        if len(np.unique(names)) > 1:
            break
    else:
        return []
    results = []
    for name, count in Counter(names.tolist()).most_common():
        part = sample.take(np.flatnonzero(names == name))
        if not name or count < TASK_ROWS_LEAST or not part.rows.weight.any():
            continue
        methods, _ = measure_methods(
            {ROUTER: score[names == name]}, part.rows, resamples=sample.resamples, seed=sample.seed
        )
        results.append(TaskResult(name, count, dict(zip(sample.tiers, part.means(), strict=True)), methods[0].apgr))
    return results


def _compare_with_best(methods: Sequence[MethodResult], draws: Mapping[str, Floats]) -> Comparison | None:
    by_name = {method.name: method.apgr.value for method in methods if method.apgr.value is not None}
    rivals = {name: value for name, value in by_name.items() if name not in (ROUTER, ORACLE)}
    if ROUTER not in by_name or not rivals:
        return None
    best = max(rivals, key=rivals.__getitem__)
    return Comparison(best, to_estimate(by_name[ROUTER] - rivals[best], draws[ROUTER] - draws[best]))


def _thin_curve(name: str, curve: metrics.Curve) -> CurveResult:
    share, quality = curve.share, curve.quality
    if len(share) > CURVE_POINTS:
        share = np.linspace(0, 1, CURVE_POINTS)
        quality = np.interp(share, curve.share, curve.quality)
    return CurveResult(name, [round(float(x), 5) for x in share], [round(float(y), 5) for y in quality])

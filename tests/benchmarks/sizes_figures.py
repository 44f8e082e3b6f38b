"""Figures of the sizes of the network: what each is worth on the pairs' splits, and what a decision costs.

Knows scores, outcomes and times; knows nothing of how they came about, of files or of pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from bench_figures import RESAMPLES, PairedApgr, mean_apgr, pair_apgr
from timing import percentiles

from learned_router.training.baselines import Floats, Rows
from learned_router.training.evaluation import Estimate
from learned_router.training.recipe import SIZES

BASE = "base"
# the whole encoder as it was trained, which is what size and int8 together give quality up for
UNQUANTISED = "base, float32"
SPLITS = ("calibration", "test")
# scores by size, then by seed
Scores = Mapping[str, Sequence[Floats]]


class Quality(msgspec.Struct, frozen=True):
    """APGR on one split, mean over seeds; minus_base: minus that of the size ``base``, paired; minus_unquantised likewise,
    where that was measured."""

    apgr: Estimate
    minus_base: Estimate
    minus_unquantised: Estimate | None = None


class Timing(msgspec.Struct, frozen=True):
    """One decision on a prompt of ``tokens`` tokens, on one thread. of_base: median over that of the size ``base``."""

    tokens: int
    p50_ms: float
    p99_ms: float
    of_base: float


class SizeFigures(msgspec.Struct, frozen=True):
    """One size. pairs: quality by pair and split; mean: over the pairs, by split. model_bytes: the graph alone."""

    name: str
    layers: int
    max_tokens: int
    pairs: dict[str, dict[str, Quality]]
    mean: dict[str, Quality]
    decisions: list[Timing]
    model_bytes: int
    artifact_bytes: int


class Sizes(msgspec.Struct, frozen=True):
    """All that was measured. labels: to train, by pair. timed: whose routers were timed. machine: as in speed.json."""

    measured: str
    recipe: str
    seeds: list[int]
    resamples: int
    repeats: int
    labels: dict[str, int]
    timed: str
    machine: dict[str, Any]
    sizes: list[SizeFigures]


def measure_quality(
    rows: Mapping[str, Mapping[str, Rows]],
    scores: Mapping[str, Mapping[str, Scores]],
    *,
    resamples: int = RESAMPLES,
) -> tuple[dict[str, dict[str, dict[str, Quality]]], dict[str, dict[str, Quality]]]:
    """Quality by size, pair and split; and by size and split, the mean over the pairs.

    rows, scores: by pair and split; every pair has the scores of the same sizes, ``base`` among them. Sizes are measured
    on the same resamples of whole groups, so that their differences are paired.
    """
    paired = {
        pair: {split: pair_apgr(rows[pair][split], of_sizes, resamples=resamples) for split, of_sizes in found.items()}
        for pair, found in scores.items()
    }
    names = list(next(iter(next(iter(scores.values())).values())))
    means = {split: mean_apgr([found[split] for found in paired.values()]) for split in SPLITS}
    return (
        {
            name: {pair: {split: _quality(found[split], name) for split in SPLITS} for pair, found in paired.items()}
            for name in names
        },
        {name: {split: _quality(means[split], name) for split in SPLITS} for name in names},
    )


def _quality(paired: PairedApgr, size: str) -> Quality:
    whole = paired.difference(size, UNQUANTISED) if UNQUANTISED in paired.values else None
    return Quality(paired.estimate(size), paired.difference(size, BASE), whole)


def measure_times(times_ms: Mapping[int, Mapping[str, Sequence[float]]]) -> dict[str, list[Timing]]:
    """Timings by size. times_ms: by number of tokens and size, ``base`` among them, all sizes timed in turn."""
    found: dict[str, list[Timing]] = {}
    for tokens, by_size in times_ms.items():
        base = percentiles(by_size[BASE])["p50_ms"]
        for name, times in by_size.items():
            figures = {key: round(value, 3) for key, value in percentiles(times).items()}
            ratio = round(percentiles(times)["p50_ms"] / base, 3)
            found.setdefault(name, []).append(Timing(tokens=tokens, of_base=ratio, **figures))
    return found


def size_figures(
    name: str,
    pairs: Mapping[str, Mapping[str, Quality]],
    mean: Mapping[str, Quality],
    decisions: Sequence[Timing],
    files: Mapping[str, int],
) -> SizeFigures:
    """files: bytes by name of the artifact's files."""
    size = SIZES[BASE if name == UNQUANTISED else name]
    return SizeFigures(
        name=name,
        layers=size.layers,
        max_tokens=size.view.max_tokens,
        pairs={pair: dict(found) for pair, found in pairs.items()},
        mean=dict(mean),
        decisions=list(decisions),
        model_bytes=files["model.onnx"],
        artifact_bytes=sum(files.values()),
    )

"""The section "Sizes" of docs/benchmark.md: what each size is worth and costs, as tables and a picture.

Knows the results of sizes.py; measures nothing, and writes no page: bench_page.py does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench_picture import draw_panels
from bench_store import read_figures
from sizes_figures import BASE, SPLITS, UNQUANTISED, Quality, SizeFigures, Sizes

from learned_router.training.picture import BASELINE_COLOURS, ROUTER_COLOUR
from learned_router.training.recipe import SIZES
from learned_router.training.report import decimal, interval, markdown_table, megabytes, signed

RESULTS = Path(__file__).resolve().parent / "results" / "sizes.json"
PICTURE = "benchmark-sizes.png"
NOT_MEASURED = "Not measured yet: run `make sizes`."
SHOWN_TOKENS = 60  # the length of prompt whose time the picture shows


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's text by name of its region."""
    found = read_figures(results, Sizes)
    return {"sizes": section(found) if found else NOT_MEASURED}


def draw_pictures(folder: Path, results: Path = RESULTS) -> None:
    """Draw the section's picture into the folder of the page, where there is something to draw."""
    found = read_figures(results, Sizes)
    if found:
        (folder / PICTURE).write_bytes(draw_frontier(found))


def section(found: Sizes) -> str:
    picture = f"![APGR against the time of a decision, by size]({PICTURE})"
    tables = [quality_table(found), cost_table(found), picture, pair_table(found)]
    absent = [name for name in SIZES if name not in {size.name for size in found.sizes}]
    return "\n\n".join([*tables, describe(found), *([f"Not measured: {', '.join(absent)}."] if absent else [])])


def quality_table(found: Sizes) -> str:
    """One row a size: APGR on either split, mean over the pairs, and what is lost against ``base``."""
    header = ["size", "layers", "tokens", *(f"APGR, {split}{tail}" for split in SPLITS for tail in ("", f" − {BASE}"))]
    rows = [
        [
            size.name,
            f"{size.layers}",
            f"{size.max_tokens}",
            *(cell for split in SPLITS for cell in _cells(size.mean[split], size.name)),
        ]
        for size in found.sizes
    ]
    return markdown_table(header, rows)


def given_up_table(found: Sizes) -> str:
    """One row a pair: APGR on the test split of the whole encoder in float32, and what each size gives up against it."""
    whole = next((size for size in found.sizes if size.name == UNQUANTISED), None)
    if whole is None:
        return NOT_MEASURED
    sizes = [size for size in found.sizes if size is not whole]
    header = ["pair", f"APGR, {UNQUANTISED}", *(f"{size.name} − that" for size in sizes)]
    rows = []
    for pair, qualities in [*((pair, size_of(pair)) for pair in found.labels), ("mean", lambda size: size.mean)]:
        less = [qualities(size)["test"].minus_unquantised for size in sizes]
        rows.append(
            [pair, interval(qualities(whole)["test"].apgr, decimal), *(interval(one, signed) for one in less if one)]
        )
    return markdown_table(header, rows)


def size_of(pair: str) -> Callable[[SizeFigures], Mapping[str, Quality]]:
    return lambda size: size.pairs[pair]


def cost_table(found: Sizes) -> str:
    """One row a size: one decision by length of the prompt, and bytes."""
    lengths = [timing.tokens for timing in found.sizes[0].decisions]
    header = ["size", *(f"{tokens} tokens: p50 / p99, of {BASE}" for tokens in lengths), "model.onnx", "artifact"]
    rows = [
        [
            size.name,
            *(f"{t.p50_ms:.1f} / {t.p99_ms:.1f} ms, {t.of_base:.2f} ×" for t in size.decisions),
            megabytes(size.model_bytes),
            megabytes(size.artifact_bytes),
        ]
        for size in found.sizes
    ]
    return markdown_table(header, rows)


def pair_table(found: Sizes) -> str:
    """One row a pair and size, on either split."""
    header = ["pair", "size", *(f"APGR, {split}{tail}" for split in SPLITS for tail in ("", f" − {BASE}"))]
    rows = [
        [pair, size.name, *(cell for split in SPLITS for cell in _cells(size.pairs[pair][split], size.name))]
        for pair in found.labels
        for size in found.sizes
    ]
    return markdown_table(header, rows)


def describe(found: Sizes) -> str:
    """What was measured how, and on what."""
    machine = found.machine
    labels = "; ".join(f"{pair} ({count:,} labels)" for pair, count in found.labels.items())
    return (
        f"Recipe {found.recipe}, seeds {', '.join(map(str, found.seeds))}; {labels}. The mean is over these pairs. "
        f"Brackets: 95 % intervals from {found.resamples:,} resamples of whole groups, paired across sizes. Times: the "
        f"routers of {found.timed}, one thread, {found.repeats} repeats a length, on {machine['cpu']}, {machine['cores']} "
        f"cores, load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after, {found.measured}."
    )


def draw_frontier(found: Sizes) -> bytes:
    """PNG: APGR against the median time of a decision, a line a pair and one for their mean, a panel a split."""
    times = [_time(size) for size in found.sizes]

    def panel(axes: Any, split: str) -> None:
        for pair, colour in zip(found.labels, BASELINE_COLOURS * 2, strict=False):
            values = [size.pairs[pair][split].apgr.value for size in found.sizes]
            axes.plot(times, values, marker="o", markersize=3, linewidth=1.0, color=colour, label=pair)
        mean = [size.mean[split].apgr.value for size in found.sizes]
        axes.plot(times, mean, marker="o", markersize=5, linewidth=2.0, color=ROUTER_COLOUR, label="mean", zorder=5)
        for size, time, value in zip(found.sizes, times, mean, strict=True):
            axes.annotate(size.name, (time, value), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        axes.set_xlim(left=0)
        axes.margins(x=0.12, y=0.15)
        axes.set_title(f"{split} split", loc="left", fontsize=8.5)

    return draw_panels(SPLITS, panel, f"ms for one decision of {SHOWN_TOKENS} tokens, median", "APGR")


def _time(size: SizeFigures) -> float:
    return next(timing.p50_ms for timing in size.decisions if timing.tokens == SHOWN_TOKENS)


def _cells(quality: Quality, size: str) -> list[str]:
    return [interval(quality.apgr, decimal), "" if size == BASE else interval(quality.minus_base, signed)]

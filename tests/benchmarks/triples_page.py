"""The section "Three tiers" of docs/benchmark.md: its verdict, tables and picture.

Knows the results of triples.py; measures nothing, and writes no page: bench_page.py does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench_figures import standing
from bench_store import read_figures
from triples_figures import Difference, SweepFigures, TripleBenchmark, TripleFigures
from triples_models import TRIPLES
from triples_picture import draw_triples, find_method

from learned_router.training.evaluation import Estimate
from learned_router.training.report import decimal, interval, markdown_table, percent, signed

RESULTS = Path(__file__).resolve().parent / "results" / "triples.json"
PICTURE = "benchmark-triples.png"
REGIONS = ("triples", "triples-modes", "triples-costs", "triples-each")
NOT_MEASURED = "Not measured yet: run `make bench-triples`."


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's texts by name of their region."""
    found = read_figures(results, TripleBenchmark)
    return section(found) if found else dict.fromkeys(REGIONS, NOT_MEASURED)


def draw_pictures(folder: Path, results: Path = RESULTS) -> None:
    """Draw the section's picture into the folder of the page, where there is something to draw."""
    found = read_figures(results, TripleBenchmark)
    if found:
        (folder / PICTURE).write_bytes(draw_triples(found))


def section(benchmark: TripleBenchmark) -> dict[str, str]:
    picture = f"![Mean quality against the cost of a call, a panel a triple]({PICTURE})"
    return {
        "triples": f"{verdict(benchmark)}\n\n{main_table(benchmark)}\n\n{picture}",
        "triples-modes": mode_table(benchmark),
        "triples-costs": cost_table(benchmark),
        "triples-each": "\n\n".join(triple_section(triple) for triple in benchmark.triples),
    }


def verdict(benchmark: TripleBenchmark) -> str:
    """What a reader must know first: where a third tier, and where our router, is worth nothing."""
    lines = []
    for triple in benchmark.triples:
        ours = find_method(triple, benchmark.main)
        if ours is None:
            lines.append(f"- {triple.name}: ours is not run.")
            continue
        against = [f"{standing(one.aiq)} {_rival(triple, one)} ({interval(one.aiq, signed)})" for one in ours.versus]
        lines.append(f"- {triple.name}: by AIQ, ours with three tiers is {' and '.join(against) or 'alone'}.")
    absent = [known.name for known in TRIPLES if known.name not in {triple.name for triple in benchmark.triples}]
    if absent:
        lines.append(f"- Not measured yet: {'; '.join(absent)}.")
    return "\n".join(lines)


def _rival(triple: TripleFigures, difference: Difference) -> str:
    rival = find_method(triple, difference.rival)
    shown = rival.shown if rival else difference.rival
    return shown if difference.rival == triple.two_tiers else f"the best baseline, {shown}"


def main_table(benchmark: TripleBenchmark) -> str:
    """Three rows a triple: AIQ, and the cost saved at each quality kept."""
    header = ["triple", "best baseline", "best two tiers", "ours", "ours − two tiers", "ours − baseline"]
    rows = []
    for triple in benchmark.triples:
        ours = find_method(triple, benchmark.main)
        rivals = [find_method(triple, name) for name in (triple.baseline, triple.two_tiers)]
        by_rival = {one.rival: one for one in ours.versus} if ours else {}
        differences = [by_rival.get(name or "") for name in (triple.two_tiers, triple.baseline)]
        for figure, words, show, show_difference in (
            ("aiq", "AIQ", decimal, signed),
            ("saved95", "cost saved at 95 % of the quality", percent, _signed_points),
            ("saved98", "cost saved at 98 % of the quality", percent, _signed_points),
        ):
            rows.append(
                [
                    f"{triple.name}: {words}",
                    *(_figure(rival, figure, show) for rival in rivals),
                    f"**{_figure(ours, figure, show)}**",
                    *(_figure(difference, figure, show_difference) for difference in differences),
                ]
            )
    return markdown_table(header, rows)


def mode_table(benchmark: TripleBenchmark) -> str:
    header = ["triple", "mode", "quality kept", "cost saved", "to small", "to mid", "to frontier"]
    rows = [
        [
            triple.name,
            mode.name,
            interval(mode.kept, percent),
            interval(mode.saved, percent),
            *(percent(share) for share in mode.shares),
        ]
        for triple in benchmark.triples
        for method in triple.methods
        for mode in method.modes
    ]
    return markdown_table(header, rows) if rows else NOT_MEASURED


def cost_table(benchmark: TripleBenchmark) -> str:
    header = ["triple", "tier", "model", "$ in", "$ out", "$ blended", "of the frontier's", "cost", "mean quality"]
    rows = [
        [
            triple.name,
            tier.name,
            tier.model,
            f"{tier.input:g}",
            f"{tier.output:g}",
            f"{tier.price:.4g}",
            percent(tier.price / triple.tiers[-1].price),
            decimal(tier.cost),
            decimal(tier.quality),
        ]
        for triple in benchmark.triples
        for tier in triple.tiers
    ]
    return markdown_table(header, rows)


def triple_section(triple: TripleFigures) -> str:
    header = ["method", "AIQ", "saved at 95 %", "saved at 98 %", "AIQ by seed", "s a run", ""]
    marks = {triple.two_tiers: "best two tiers", triple.baseline: "best baseline"}
    rows = [
        [
            f"**{method.shown}**" if method.kind == "ours" else method.shown,
            interval(method.aiq, decimal),
            *(interval(saved, percent) for saved in (method.saved95, method.saved98)),
            " ".join(decimal(value) for value in method.by_seed),
            f"{method.seconds:,.1f}",
            marks.get(method.name, ""),
        ]
        for method in sorted(triple.methods, key=lambda method: -(method.aiq.value or 0.0))
    ]
    models = " → ".join(tier.model for tier in triple.tiers)
    about = (
        f"{models}. Labels: {triple.rows['train']:,} to train, {triple.rows['calibration']:,} to calibrate, "
        f"{triple.rows['test']:,} to test in {triple.groups:,} groups. Brackets: 95 % intervals from "
        f"{triple.resamples:,} resamples of whole groups."
    )
    return f"### Three tiers: {triple.name}\n\n{about}\n\n{markdown_table(header, rows)}"


def _figure(found: SweepFigures | Difference | None, figure: str, show: Callable[[float], str]) -> str:
    estimate: Estimate = getattr(found, figure) if found else Estimate(None)
    return interval(estimate, show)


def _signed_points(value: float) -> str:
    return f"{100 * value:+.1f} pp"

"""The section "Few labels" of docs/benchmark.md: its tables, whether its reach is met, and its picture.

Knows the results of few_labels.py; measures nothing, and writes no page: bench_page.py does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench_picture import draw_panels
from bench_store import read_figures
from few_labels_figures import FEW, OURS, PLAIN, CurveFigures, FewLabels, LineFigures

from learned_router.training.picture import BASELINE_COLOURS, ROUTER_COLOUR
from learned_router.training.report import interval, markdown_table

RESULTS = Path(__file__).resolve().parent / "results" / "few_labels.json"
PICTURE = "benchmark-few-labels.png"
WANTED_PAIRS = 3
NOT_MEASURED = "Not measured yet: run `make few-labels`."
COLUMNS = 3
TICKS_APART = 1.5  # nearer to the last tick than this factor, a number would be written over it


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's text by name of its region."""
    found = read_figures(results, FewLabels)
    return {"few-labels": section(found) if found else NOT_MEASURED}


def draw_pictures(folder: Path, results: Path = RESULTS) -> None:
    """Draw the section's picture into the folder of the page, where there is something to draw."""
    found = read_figures(results, FewLabels)
    if found:
        (folder / PICTURE).write_bytes(draw_curves(found))


def section(found: FewLabels) -> str:
    picture = f"![APGR against the number of training labels, a panel a pair]({PICTURE})"
    return "\n\n".join([verdict(found), picture, *(curve_section(pair) for pair in found.pairs)])


def verdict(found: FewLabels) -> str:
    """Whether the reach is met, and on each pair how far few labels of ours are from a rival's many."""
    judged = [pair for pair in found.pairs if pair.reach]
    met = [pair for pair in judged if pair.reach and pair.reach.is_met]
    is_met = len(met) >= WANTED_PAIRS
    lines = [
        f"- **Reach {'met' if is_met else 'missed'}**: on {len(met)} of {len(judged)} pairs, of {WANTED_PAIRS} wanted, ours "
        f"from {FEW} labels is no worse than the best frozen baseline from its most (recipe {found.recipe})."
    ]
    for pair in judged:
        if reach := pair.reach:
            lines.append(
                f"- {pair.name}: {'met' if reach.is_met else 'missed'}; ours from {reach.labels:,} minus "
                f"{_shown(pair, reach.rival)} from {reach.rival_labels:,}: {interval(reach.difference, _signed)}."
            )
    if absent := [pair.name for pair in found.pairs if not pair.reach]:
        lines.append(f"- Not judged, for ours or the baselines have not been run: {'; '.join(absent)}.")
    return "\n".join(lines)


def curve_section(pair: CurveFigures) -> str:
    """One row a method, one column a number of labels."""
    draws = max((len(line.draws) for point in pair.points for line in point.lines), default=0)
    rows = []
    for name, shown in _methods(pair).items():
        cells = []
        for point in pair.points:
            line = next((line for line in point.lines if line.name == name), None)
            cells.append(_cell(line, draws) if line else "–")
        rows.append([f"**{shown}**" if name == OURS else shown, *cells])
    table = markdown_table(["APGR", *(f"{point.labels:,} labels" for point in pair.points)], rows)
    beside = ", ".join(f"{point.calibration:,}" for point in pair.points)
    learned = (
        f"The encoder was pretrained without {' and '.join(pair.left_out)}, on {sum(pair.pretrained_on.values()):,} "
        f"requests of {', '.join(pair.pretrained_on)}."
        if pair.pretrained_on
        else "No encoder pretrained on other logs was there yet."
    )
    about = (
        f"{pair.small} → {pair.frontier}; {pair.test:,} test requests in {pair.groups:,} groups. Calibration labels beside "
        f"those to train: {beside}. Draws of labels: {draws}. {learned} Brackets: 95 % intervals from "
        f"{pair.resamples:,} resamples of whole groups."
    )
    return f"### {pair.name}: few labels\n\n{about}\n\n{table}"


def draw_curves(found: FewLabels) -> bytes:
    """PNG: APGR against the number of labels, a panel a pair, with the interval of ours."""

    # of all pairs together: where a method has nothing to learn from, the others keep their colours
    baselines = dict.fromkeys(name for pair in found.pairs for name in _methods(pair) if name not in (OURS, PLAIN))
    colours = dict(zip(baselines, BASELINE_COLOURS, strict=False))

    def panel(axes: Any, pair: CurveFigures) -> None:
        for name, shown in _methods(pair).items():
            if name == OURS:
                style = {"color": ROUTER_COLOUR, "linewidth": 2.0, "zorder": 5}
            elif name == PLAIN:
                style = {"color": ROUTER_COLOUR, "linewidth": 1.4, "linestyle": "--", "zorder": 4}
            else:
                style = {"color": colours[name], "linewidth": 1.1, "zorder": 3}
            counts, lines = _line(pair, name)
            axes.plot(counts, [line.apgr.value for line in lines], marker="o", markersize=3, label=shown, **style)
            ends = [(line.apgr.low, line.apgr.high) for line in lines]
            if name == OURS and all(low is not None and high is not None for low, high in ends):
                axes.fill_between(counts, *zip(*ends, strict=True), color=ROUTER_COLOUR, alpha=0.12, linewidth=0)
        counts = [point.labels for point in pair.points]
        counts = [count for count in counts if count == counts[-1] or TICKS_APART * count < counts[-1]]
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_title(pair.name, loc="left", fontsize=8.5)

    return draw_panels(found.pairs, panel, "training labels", "APGR", columns=COLUMNS)


def _cell(line: LineFigures, draws: int) -> str:
    """APGR with its interval, and how many draws stand behind it where they are fewer than elsewhere."""
    fewer = f" ({len(line.draws)} of {draws} draws)" if len(line.draws) < draws else ""
    return interval(line.apgr, _decimal) + fewer


def _methods(pair: CurveFigures) -> dict[str, str]:
    """What each method of the pair is called, by name, in the order they are measured in."""
    return {line.name: line.shown for point in pair.points for line in point.lines}


def _line(pair: CurveFigures, name: str) -> tuple[list[int], list[LineFigures]]:
    """Numbers of labels and figures of one method, where it was measured."""
    found = [(p.labels, line) for p in pair.points for line in p.lines if line.name == name and line.apgr.value]
    return [count for count, _ in found], [line for _, line in found]


def _shown(pair: CurveFigures, name: str) -> str:
    return _methods(pair).get(name, name)


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}"

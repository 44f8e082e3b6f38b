"""The section "Few labels" of docs/benchmark.md: its tables, whether its reach is met, and its picture.

Knows the results of few_labels.py; measures nothing, and writes no page: bench_page.py does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench_picture import draw_panels
from bench_store import read_figures
from few_labels_figures import FEW, OUR_LINES, OURS, CurveFigures, FewLabels, LineFigures, Reach

from learned_router.training.picture import BASELINE_COLOURS, ROUTER_COLOUR
from learned_router.training.report import decimal, interval, markdown_table, signed

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
    return "\n\n".join([verdict(found), reach_table(found), picture, *(curve_section(pair) for pair in found.pairs)])


def verdict(found: FewLabels) -> str:
    """Of each of our lines, whether its reach is met; and which pairs have an encoder pretrained on other logs."""
    lines = [_verdict(found, ours) for ours in OUR_LINES]
    with_encoder = [pair.name for pair in found.pairs if pair.main == OURS]
    without = [pair.name for pair in found.pairs if pair.main != OURS]
    lines.append(
        f"- Measured on an encoder pretrained on other logs: {_listed(with_encoder)}; on the plain encoder alone: "
        f"{_listed(without)}."
    )
    return "\n".join(lines)


def _verdict(found: FewLabels, ours: str) -> str:
    reaches = [reach for pair in found.pairs if (reach := pair.reach(ours))]
    if not reaches:
        return f"- Not judged: {OUR_LINES[ours]}, for it or the baselines have not been run."
    met = sum(reach.is_met for reach in reaches)
    outcome = "met" if met >= WANTED_PAIRS else "missed"
    return (
        f"- **Reach {outcome}** by {OUR_LINES[ours]}: on {met} of {len(reaches)} pairs, of {WANTED_PAIRS} wanted, "
        f"its {FEW} labels are no worse than the best frozen baseline's most (recipe {found.recipe})."
    )


def reach_table(found: FewLabels) -> str:
    """One row a pair: each of our lines from few labels minus the best frozen baseline from its most."""
    header = [
        "pair",
        "best frozen baseline",
        "labels",
        *(f"{shown}: {FEW} labels − baseline" for shown in OUR_LINES.values()),
    ]
    rows = []
    for pair in found.pairs:
        rival = next(iter(pair.reaches), None)  # the same beside each of our lines
        rows.append(
            [
                pair.name,
                _methods(pair).get(rival.rival, rival.rival) if rival else "–",
                f"{rival.rival_labels:,}" if rival else "–",
                *(_reach(pair.reach(ours)) for ours in OUR_LINES),
            ]
        )
    return markdown_table(header, rows)


def _reach(reach: Reach | None) -> str:
    return f"{interval(reach.difference, signed)} {'met' if reach.is_met else '**missed**'}" if reach else "–"


def curve_section(pair: CurveFigures) -> str:
    """One row a method, one column a number of labels."""
    draws = max((len(line.draws) for point in pair.points for line in point.lines), default=0)
    rows = []
    for name, shown in _methods(pair).items():
        cells = []
        for point in pair.points:
            line = next((line for line in point.lines if line.name == name), None)
            cells.append(_cell(line, draws) if line else "–")
        rows.append([f"**{shown}**" if name == pair.main else shown, *cells])
    table = markdown_table(["APGR", *(f"{point.labels:,} labels" for point in pair.points)], rows)
    beside = ", ".join(f"{point.calibration:,}" for point in pair.points)
    learned = (
        f"The encoder was pretrained without {' and '.join(pair.left_out)}, on {sum(pair.pretrained_on.values()):,} "
        f"requests of {', '.join(pair.pretrained_on)}."
        if pair.pretrained_on
        else "No encoder pretrained on other logs was there: ours is on the plain one alone."
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
    baselines = dict.fromkeys(name for pair in found.pairs for name in _methods(pair) if name not in OUR_LINES)
    colours = dict(zip(baselines, BASELINE_COLOURS, strict=False))

    def panel(axes: Any, pair: CurveFigures) -> None:
        for name, shown in _methods(pair).items():
            if name in OUR_LINES:
                style: dict[str, Any] = {"color": ROUTER_COLOUR, "linestyle": "-" if name == OURS else "--"}
                style |= {"linewidth": 2.0, "zorder": 5} if name == pair.main else {"linewidth": 1.4, "zorder": 4}
            else:
                style = {"color": colours[name], "linewidth": 1.1, "zorder": 3}
            counts, lines = _line(pair, name)
            axes.plot(counts, [line.apgr.value for line in lines], marker="o", markersize=3, label=shown, **style)
            ends = [(line.apgr.low, line.apgr.high) for line in lines]
            if name == pair.main and all(low is not None and high is not None for low, high in ends):
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
    return interval(line.apgr, decimal) + fewer


def _methods(pair: CurveFigures) -> dict[str, str]:
    """What each method of the pair is called, by name, in the order they are measured in."""
    return {line.name: line.shown for point in pair.points for line in point.lines}


def _line(pair: CurveFigures, name: str) -> tuple[list[int], list[LineFigures]]:
    """Numbers of labels and figures of one method, where it was measured."""
    found = [(p.labels, line) for p in pair.points for line in p.lines if line.name == name and line.apgr.value]
    return [count for count, _ in found], [line for _, line in found]


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "none"

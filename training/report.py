"""Show an evaluation: terminal tables, JSON, a figure of the quality–cost curve, Markdown for cards and the README.

Knows the records of an evaluation; measures nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from learned_router.errors import InputError
from learned_router.training.evaluation import ORACLE, ROUTER, Estimate, Evaluation, MethodResult, ModeResult

if TYPE_CHECKING:
    from rich.console import Console

NAMES: Final = {
    "router": "this router",
    "random": "random",
    "length": "prompt length",
    "category": "mean of the category",
    "knn": "kNN on embeddings",
    "logistic_fail": "logistic: will small fail?",
    "logistic_gain": "logistic: gain of the top tier",
    "oracle": "oracle",
}
# Okabe and Ito's palette, told apart by colour-blind readers too; the router's colour is kept for it alone.
ROUTER_COLOUR: Final = "#0072B2"
BASELINE_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
GREY: Final = "#8a8f98"
MODE_MARKERS: Final = ("D", "o", "s", "^", "v")


def render(evaluation: Evaluation, console: Console) -> None:
    """Print what was measured: methods by APGR, modes, tiers with their calibration, tasks, and what to know."""
    from rich.table import Table

    sections = _sections(evaluation)
    console.print(
        f"[bold]{evaluation.rows:,}[/] requests in {evaluation.groups:,} groups of split {evaluation.split!r}, "
        f"{_percent(evaluation.out_of_distribution)} out of distribution; brackets hold 95 % intervals"
    )
    for title, header, rows in sections:
        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
        for index, name in enumerate(header):
            table.add_column(name, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*(_escape(cell) for cell in row), style="bold cyan" if row[0] == NAMES[ROUTER] else None)
        console.print(table)
    for note in _notes(evaluation):
        console.print(f"[yellow]•[/] {_escape(note)}")


def markdown_tables(evaluation: Evaluation) -> str:
    """The same tables in Markdown, for a model card or a README."""
    parts = [
        f"{evaluation.rows:,} requests in {evaluation.groups:,} groups of split `{evaluation.split}`, "
        f"{_percent(evaluation.out_of_distribution)} out of distribution. Brackets hold 95 % intervals from "
        f"{evaluation.resamples:,} resamples of whole groups."
    ]
    for title, header, rows in _sections(evaluation):
        lines = [f"**{title}**", "", _markdown_row(header), _markdown_row(["---", *["---:"] * (len(header) - 1)])]
        lines += [_markdown_row([_bold(cell, row[0] == NAMES[ROUTER]) for cell in row]) for row in rows]
        parts.append("\n".join(lines))
    notes = _notes(evaluation)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation as JSON, aside and then renamed. Raises InputError when the place cannot be written."""
    _write_aside(path, lambda aside: aside.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=2)))


def plot(evaluation: Evaluation, path: Path) -> None:
    """Draw quality against share of top-tier calls: the router, its modes, baselines, random and the oracle, as PNG.

    With more than two tiers a mode may lie off the router's curve, which knows the cheapest and the top tier only.
    Raises InputError when the place cannot be written.
    """
    # no pyplot: it would choose a backend and keep figures for the whole process
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.9), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_curves(axes, evaluation)
    _draw_points(axes, evaluation)
    _dress(axes, evaluation)
    _write_aside(path, lambda aside: figure.savefig(aside, format="png"))


def _sections(evaluation: Evaluation) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of each table; a table without rows is left out."""
    cheapest, top = evaluation.tiers[0].name, evaluation.tiers[-1].name
    sections = [
        (
            f"Ways of choosing what goes to {top}, best first",
            ["method", "APGR", "CPT 50 %", "CPT 80 %", "AIQ"],
            [_method_row(method) for method in _by_apgr(evaluation.methods)],
        ),
        (
            f"Operating points (kept: quality relative to {top})",
            [
                "mode",
                "target",
                "quality kept",
                f"{evaluation.saved_of} saved",
                *(f"to {tier.name}" for tier in evaluation.tiers),
                "threshold",
            ],
            [_mode_row(mode, evaluation) for mode in evaluation.modes],
        ),
        (
            "Each tier, called always, and how well the router predicts it",
            ["tier", "model", "mean quality", "quality kept", "calibration error"],
            [
                [
                    f"always {tier.name}",
                    tier.model,
                    f"{tier.quality:.3f}",
                    _interval(tier.kept, _percent),
                    f"{tier.ece:.3f}",
                ]
                for tier in evaluation.tiers
            ],
        ),
        (
            "The router within each task",
            ["task", "requests", cheapest, top, "APGR"],
            [
                [
                    task.name,
                    f"{task.rows:,}",
                    f"{task.quality[cheapest]:.3f}",
                    f"{task.quality[top]:.3f}",
                    _interval(task.apgr, _decimal),
                ]
                for task in evaluation.tasks
            ],
        ),
    ]
    return [section for section in sections if section[2]]


def _by_apgr(methods: Sequence[MethodResult]) -> list[MethodResult]:
    return sorted(methods, key=lambda method: -1.0 if method.apgr.value is None else method.apgr.value, reverse=True)


def _method_row(method: MethodResult) -> list[str]:
    return [
        NAMES.get(method.name, method.name),
        _interval(method.apgr, _decimal),
        _interval(method.cpt50, _percent),
        _interval(method.cpt80, _percent),
        _interval(method.aiq, _decimal),
    ]


def _mode_row(mode: ModeResult, evaluation: Evaluation) -> list[str]:
    return [
        mode.name if mode.certified else f"{mode.name} (not certified)",
        _percent(mode.target),
        _interval(mode.kept, _percent),
        _interval(mode.saved, _percent),
        *(_percent(mode.shares[tier.name]) for tier in evaluation.tiers),
        f"{mode.threshold:.4f}",
    ]


def _notes(evaluation: Evaluation) -> list[str]:
    notes = list(evaluation.notes)
    if evaluation.versus_best:
        rival = NAMES.get(evaluation.versus_best.baseline, evaluation.versus_best.baseline)
        difference = evaluation.versus_best.difference
        notes.insert(0, f"APGR of this router minus the best baseline ({rival}): {_interval(difference, _signed)}.")
    if evaluation.left_out:
        notes.append(f"{evaluation.left_out:,} labels lack the quality of a tier of this router and were left out.")
    return notes


def _interval(estimate: Estimate, show: Callable[[float], str]) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return show(estimate.value)
    return f"{show(estimate.value)} [{show(estimate.low)}, {show(estimate.high)}]"


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _bold(cell: str, wanted: bool) -> str:
    return f"**{cell}**" if wanted else cell


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _write_aside(path: Path, write: Callable[[Path], Any]) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):  # where the folder itself is the trouble, there is nothing to remove
            aside.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); give another place") from None


def _draw_curves(axes: Any, evaluation: Evaluation) -> None:
    colours = iter(BASELINE_COLOURS * 2)
    apgr = {method.name: method.apgr.value for method in evaluation.methods}
    for curve in sorted(evaluation.curves, key=lambda curve: -(apgr.get(curve.name) or 0.0)):
        value = apgr.get(curve.name)
        label = NAMES.get(curve.name, curve.name) + ("" if value is None else f"  {value:.2f}")
        if curve.name == ROUTER:
            style = {"color": ROUTER_COLOUR, "linewidth": 2.6, "zorder": 5}
        elif curve.name == ORACLE:
            style = {"color": GREY, "linewidth": 1.3, "linestyle": (0, (1, 1.2)), "zorder": 2}
        elif curve.name == "random":
            style = {"color": GREY, "linewidth": 1.3, "linestyle": (0, (5, 3)), "zorder": 2}
        else:
            style = {"color": next(colours), "linewidth": 1.3, "alpha": 0.9, "zorder": 3}
        axes.plot(curve.share, curve.quality, label=label, **style)


def _draw_points(axes: Any, evaluation: Evaluation) -> None:
    top = evaluation.tiers[-1]
    for i, mode in enumerate(evaluation.modes):
        axes.plot(
            mode.shares[top.name],
            mode.quality,
            MODE_MARKERS[i % len(MODE_MARKERS)],
            color=ROUTER_COLOUR,
            markeredgecolor="white",
            markeredgewidth=1.2,
            markersize=9,
            zorder=6,
            label=f"mode {mode.name}",
        )
    # a level across the figure, named at the end where fewest curves pass
    for tier, edge in ((top, "left"), (evaluation.tiers[0], "right")):
        axes.axhline(tier.quality, color="#30343b", linewidth=0.8, zorder=1)
        axes.annotate(
            f"always {tier.name}",
            (0.0 if edge == "left" else 1.0, tier.quality),
            xytext=(0, 4 if edge == "left" else -4),
            textcoords="offset points",
            ha=edge,
            va="bottom" if edge == "left" else "top",
            fontsize=8.5,
            color="#30343b",
        )


def _dress(axes: Any, evaluation: Evaluation) -> None:
    from matplotlib.ticker import PercentFormatter

    top = evaluation.tiers[-1]
    axes.set_title(f"Quality kept as fewer calls go to {top.name}", loc="left", fontsize=11.5, fontweight="bold")
    axes.set_xlabel(f"share of calls sent to {top.name}" + (f" ({top.model})" if top.model else ""))
    axes.set_ylabel("mean quality")
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xlim(-0.02, 1.02)
    axes.margins(y=0.08)
    axes.grid(color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8bdc5")
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(
        handles, labels, loc="outside right upper", frameon=False, fontsize=8.5, title="method and its APGR"
    )

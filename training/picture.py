"""Draw the quality–cost curve of an evaluation. Knows curves and colours; knows nothing of tables, pages or files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

from learned_router.training.evaluation import ORACLE, ROUTER, Evaluation

# Okabe and Ito's palette, told apart by colour-blind readers too; the router's colour is kept for it alone.
ROUTER_COLOUR: Final = "#0072B2"
BASELINE_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
GREY: Final = "#8a8f98"
MODE_MARKERS: Final = ("D", "o", "s", "^", "v")


def draw_curve(evaluation: Evaluation, names: Mapping[str, str]) -> bytes:
    """PNG of quality against share of top-tier calls: the router, its modes, baselines, random and the oracle.

    names: what to call a method; one that is not in it keeps its own name. With more than two tiers a mode may lie off
    the router's curve, which knows the cheapest and the top tier only.
    """
    # no pyplot: it would choose a backend and keep figures for the whole process
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.9), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_curves(axes, evaluation, names)
    _draw_points(axes, evaluation)
    _dress(axes, evaluation)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _draw_curves(axes: Any, evaluation: Evaluation, names: Mapping[str, str]) -> None:
    colours = iter(BASELINE_COLOURS * 2)
    apgr = {method.name: method.apgr.value for method in evaluation.methods}
    for curve in sorted(evaluation.curves, key=lambda curve: -(apgr.get(curve.name) or 0.0)):
        value = apgr.get(curve.name)
        label = names.get(curve.name, curve.name) + ("" if value is None else f"  {value:.2f}")
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


def quiet_axes(axes: Any) -> None:
    """Grid and frame that stay behind the curves."""
    axes.grid(color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8bdc5")


def _dress(axes: Any, evaluation: Evaluation) -> None:
    from matplotlib.ticker import PercentFormatter

    top = evaluation.tiers[-1]
    axes.set_title(f"Quality kept as fewer calls go to {top.name}", loc="left", fontsize=11.5, fontweight="bold")
    axes.set_xlabel(f"share of calls sent to {top.name}" + (f" ({top.model})" if top.model else ""))
    axes.set_ylabel("mean quality")
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xlim(-0.02, 1.02)
    axes.margins(y=0.08)
    quiet_axes(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(
        handles, labels, loc="outside right upper", frameon=False, fontsize=8.5, title="method and its APGR"
    )

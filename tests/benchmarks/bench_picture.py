"""Draw the two pictures of the benchmark of pairs, quality against cost and reliability; and panels for any benchmark.

Knows figures and colours; knows nothing of tables, pages or files.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bench_figures import CURVE_SHARES, Benchmark, MethodFigures, PairFigures

from learned_router.training.picture import BASELINE_COLOURS, GREY, ROUTER_COLOUR, quiet_axes

COLUMNS = 4
PANEL = (2.7, 2.4)
RIVAL_COLOUR = BASELINE_COLOURS[0]
Item = TypeVar("Item")


def draw_curves(benchmark: Benchmark) -> bytes:
    """PNG: share of the gap between the tiers that each way of choosing recovers, ours, best rival, oracle."""

    def panel(axes: Any, pair: PairFigures) -> None:
        small, top = pair.quality["small"], pair.quality["frontier"]
        ours = own(benchmark, pair)
        rival = best_rival(pair)
        oracle = next((method for method in pair.methods if method.name == "oracle"), None)
        for method, label, style in (
            (oracle, "oracle", {"color": GREY, "linestyle": ":", "linewidth": 1.2}),
            (rival, "best rival", {"color": RIVAL_COLOUR, "linewidth": 1.4}),
            (ours, "ours", {"color": ROUTER_COLOUR, "linewidth": 2.0}),
        ):
            if method:
                axes.plot(CURVE_SHARES, method.curve, label=label, **style)
        axes.plot([0, 1], [small, top], color=GREY, linestyle="--", linewidth=1, label="random")
        shown = [f"{method.apgr.value:.2f}" for method in (ours, rival) if method and method.apgr.value is not None]
        axes.set_title(pair.name + (f"  {' / '.join(shown)}" if shown else ""), loc="left", fontsize=8.5)
        axes.set_ylim(small - 0.1 * (top - small), max(top, *(oracle.curve if oracle else [top])) + 0.03)

    return draw_panels(benchmark.pairs, panel, "share of calls to the frontier", "mean quality")


def draw_reliability(benchmark: Benchmark) -> bytes:
    """PNG: quality found against quality predicted by our router, in 15 bins of equal mass, by tier."""

    def panel(axes: Any, pair: PairFigures) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        ours = own(benchmark, pair)
        for tier, colour in zip(ours.tiers if ours else (), (RIVAL_COLOUR, ROUTER_COLOUR), strict=False):
            axes.plot(
                tier.predicted, tier.quality, "o-", color=colour, label=tier.name, linewidth=1, markersize=3, alpha=0.9
            )
        axes.set_title(pair.name, loc="left", fontsize=8.5)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)

    return draw_panels(benchmark.pairs, panel, "predicted quality", "quality found")


def own(benchmark: Benchmark, pair: PairFigures) -> MethodFigures | None:
    """The method that stands for ours, where it was run."""
    return next((method for method in pair.methods if method.name == benchmark.main), None)


def best_rival(pair: PairFigures) -> MethodFigures | None:
    """Of baselines and peers, the one of highest APGR."""
    rivals = [
        method for method in pair.methods if method.kind in ("baseline", "peer") and method.apgr.value is not None
    ]
    return max(rivals, key=lambda method: method.apgr.value or 0.0, default=None)


def draw_panels(
    items: Sequence[Item],
    panel: Callable[[Any, Item], None],
    across: str,
    up: str,
    *,
    columns: int = COLUMNS,
    size: tuple[float, float] = PANEL,
) -> bytes:
    """PNG of one panel an item, drawn by ``panel`` on its axes, under one legend of everything that has a label.

    columns: panels in a row at most. size: of a panel, in inches.
    """
    # no pyplot: it would choose a backend and keep figures for the whole process
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(items))
    rows = -(-len(items) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + 0.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for index, item in enumerate(items):
        axes = figure.add_subplot(rows, columns, index + 1)
        panel(axes, item)
        quiet_axes(axes)
        axes.tick_params(labelsize=7)
    legend = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if legend:
        figure.legend(legend.values(), legend.keys(), loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    figure.supxlabel(across, fontsize=8.5)
    figure.supylabel(up, fontsize=8.5)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()

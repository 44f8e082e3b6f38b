"""Draw the picture of the benchmark of the gate: quality against cost, a panel a pair. Knows figures and colours."""

from __future__ import annotations

from typing import Any

from bench_picture import RIVAL_COLOUR, draw_panels
from gate_figures import BOTH, CURVE_COSTS, GATE, GOAL_RATIO, ORACLE, ROUTER, GateBenchmark, GatePair

from learned_router.training.picture import BASELINE_COLOURS, GREY, ROUTER_COLOUR

PANEL = (3.2, 2.8)
STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    ORACLE: ("oracle", {"color": GREY, "linestyle": ":", "linewidth": 1.2}),
    ROUTER: ("router alone", {"color": RIVAL_COLOUR, "linewidth": 1.4}),
    GATE: ("gate alone", {"color": BASELINE_COLOURS[1], "linewidth": 1.4}),
    BOTH: ("both", {"color": ROUTER_COLOUR, "linewidth": 2.0}),
}


def draw_gate(benchmark: GateBenchmark) -> bytes:
    """PNG: the hull of each way of sending calls at the price ratio of the goal, with 98 % of the frontier's quality."""

    def panel(axes: Any, pair: GatePair) -> None:
        by_name = {way.name: way for ratio in pair.ratios if ratio.ratio == GOAL_RATIO for way in ratio.ways}
        for name, (label, style) in STYLES.items():
            if name in by_name:
                axes.plot(CURVE_COSTS, by_name[name].curve, label=label, **style)
        axes.axhline(0.98 * pair.quality[-1], color=GREY, linewidth=0.7, label="98 % of the frontier's quality")
        axes.plot([0, 1], pair.quality, "o", color="#30343b", markersize=3.5, zorder=6)
        axes.set_title(pair.name, loc="left", fontsize=8.5)

    across = "cost of a call, from 0 (always small) to 1 (always frontier)"
    return draw_panels(benchmark.pairs, panel, across, "mean quality", columns=3, size=PANEL)

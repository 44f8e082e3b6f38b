"""Draw the picture of the benchmark of triples: quality against cost, a panel a triple. Knows figures and colours."""

from __future__ import annotations

from typing import Any

from bench_picture import RIVAL_COLOUR, draw_panels
from triples_figures import CURVE_COSTS, SweepFigures, TripleBenchmark, TripleFigures

from learned_router.training.picture import BASELINE_COLOURS, GREY, ROUTER_COLOUR

TWO_TIERS_COLOUR = BASELINE_COLOURS[1]
PANEL = (3.4, 3.1)


def draw_triples(benchmark: TripleBenchmark) -> bytes:
    """PNG: ours, ours with the best two tiers, the best baseline and the oracle, and each tier taken always."""

    def panel(axes: Any, triple: TripleFigures) -> None:
        for name, label, style in (
            ("oracle", "oracle", {"color": GREY, "linestyle": ":", "linewidth": 1.2}),
            ("random", "random", {"color": GREY, "linestyle": "--", "linewidth": 1}),
            (triple.baseline, "best baseline", {"color": RIVAL_COLOUR, "linewidth": 1.4}),
            (triple.two_tiers, "ours, best two tiers", {"color": TWO_TIERS_COLOUR, "linewidth": 1.4}),
            (benchmark.main, "ours, three tiers", {"color": ROUTER_COLOUR, "linewidth": 2.0}),
        ):
            if method := find_method(triple, name):
                axes.plot(CURVE_COSTS, method.curve, label=label, **style)
        for tier in triple.tiers:
            axes.plot(tier.cost, tier.quality, "o", color="#30343b", markersize=3.5, zorder=6)
            axes.annotate(tier.name, (tier.cost, tier.quality), xytext=(4, -9), textcoords="offset points", fontsize=7)
        axes.set_title(triple.name, loc="left", fontsize=8.5)

    across = "cost of a call, from 0 (always small) to 1 (always frontier)"
    return draw_panels(benchmark.triples, panel, across, "mean quality", size=PANEL)


def find_method(triple: TripleFigures, name: str | None) -> SweepFigures | None:
    """The way of spreading calls of that name, where it was measured."""
    return next((method for method in triple.methods if method.name == name), None)

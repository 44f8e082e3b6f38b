"""Draw the picture of the tests' power: share of calls sent down against labels, a panel a population. Knows figures."""

from __future__ import annotations

from typing import Any

from bench_picture import RIVAL_COLOUR, draw_panels
from certify_figures import OURS, Validity

from learned_router.training.picture import BASELINE_COLOURS, GREY, ROUTER_COLOUR

STYLES: dict[str, dict[str, Any]] = {
    OURS: {"color": ROUTER_COLOUR, "linewidth": 2.2, "zorder": 5},
    "betting, fixed bets": {"color": BASELINE_COLOURS[3], "linewidth": 1.3},
    "binomial": {"color": BASELINE_COLOURS[1], "linewidth": 1.3},
    "Hoeffding–Bentkus": {"color": RIVAL_COLOUR, "linewidth": 1.3},
    # dashed: they break the promise
    "normal approximation": {"color": GREY, "linewidth": 1.2, "linestyle": "--"},
    "point estimate": {"color": GREY, "linewidth": 1.2, "linestyle": ":"},
}


def draw_power(found: Validity) -> bytes:
    """PNG: share of calls that each test sends down, in the mean, by number of proof calls, beside the largest possible."""

    def panel(axes: Any, name: str) -> None:
        for test, style in STYLES.items():
            some = sorted(
                (each.calls, each.share) for each in found.power if (each.population, each.test) == (name, test)
            )
            if some:
                axes.plot(*zip(*some, strict=True), marker="o", markersize=2.5, label=test, **style)
        axes.axhline(found.best[name], color="#30343b", linewidth=0.8, label="largest possible")
        axes.set_xscale("log")
        calls = sorted({each.calls for each in found.power})
        axes.set_xticks(calls, [f"{count:,}" for count in calls])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_title(name, loc="left", fontsize=8.5)

    across = f"proof calls with labels, target {found.power_target:.0%}"
    return draw_panels(list(found.best), panel, across, "share sent down", columns=3, size=(3.2, 2.8))

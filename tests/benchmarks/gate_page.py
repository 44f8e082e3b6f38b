"""The section "The gate" of docs/benchmark.md: its verdict, tables and picture.

Knows the results of gate.py; measures nothing, and writes no page: bench_page.py does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench_store import read_figures
from gate_figures import (
    BOTH,
    ESCALATED,
    GATE,
    GOAL,
    GOAL_RATIO,
    ROUTER,
    SHOWN,
    GateBenchmark,
    GatePair,
    OrderFigures,
    RatioFigures,
)
from gate_pairs import REACH
from gate_picture import draw_gate

from learned_router.training.evaluation import Estimate
from learned_router.training.labels import LEAST_BY_SPLIT, SPLITS
from learned_router.training.report import decimal, interval, markdown_table, percent, signed

RESULTS = Path(__file__).resolve().parent / "results" / "gate.json"
PICTURE = "benchmark-gate.png"
REGIONS = ("gate", "gate-orders", "gate-costs", "gate-ablation", "gate-blind")
# With fewer requests in the test split no interval here was narrow enough to tell a gate from chance, which is 0.5
LEAST_TEST = 100
NOT_MEASURED = "Not measured yet: run `make bench-gate`."


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's texts by name of their region."""
    found = read_figures(results, GateBenchmark)
    return section(found) if found else dict.fromkeys(REGIONS, NOT_MEASURED)


def draw_pictures(folder: Path, results: Path = RESULTS) -> None:
    """Draw the section's picture into the folder of the page, where there is something to draw."""
    found = read_figures(results, GateBenchmark)
    if found:
        (folder / PICTURE).write_bytes(draw_gate(found))


def section(benchmark: GateBenchmark) -> dict[str, str]:
    picture = f"![Mean quality against cost at a price ratio of {GOAL_RATIO:g}, a panel a pair]({PICTURE})"
    return {
        "gate": f"{verdict(benchmark)}\n\n{main_table(benchmark)}\n\n{note(benchmark)}",
        "gate-orders": f"{order_table(benchmark)}\n\n{head_table(benchmark)}",
        "gate-costs": f"{goal_table(benchmark)}\n\n{picture}\n\n{cost_table(benchmark)}",
        "gate-ablation": ablation_table(benchmark),
        "gate-blind": blind_table(benchmark),
    }


def verdict(benchmark: GateBenchmark) -> str:
    """What a reader must know first: where the reach is missed, and where router and gate together save too little."""
    reached, missed, cheap, dear = [], [], [], []
    telling = [pair for pair in benchmark.pairs if not is_too_small(pair)]
    for pair in telling:
        gate = find_order(pair, GATE).apgr.value
        if pair.reach is not None and gate is not None:
            (reached if gate >= pair.reach else missed).append(f"{pair.name} ({gate:.3f} of {pair.reach:.2f})")
        versus = find_ratio(pair, GOAL_RATIO).versus
        if versus.value is not None:
            words = f"{pair.name} ({interval(versus, decimal)})"
            (cheap if versus.value <= GOAL else dear).append(words)
    absent = [name for name in REACH if name not in {pair.name for pair in benchmark.pairs}]
    what = f"at a price ratio of {GOAL_RATIO:g} and 98 % of the quality, at most {GOAL:g} × the better of the two alone"
    lines = [
        f"- **Reach missed** by the gate on {len(missed)} of {len(missed) + len(reached)} pairs: {_listed(missed)}.",
        f"- Reach met on: {_listed(reached)}.",
        f"- Router and gate together cost, {what}, on: {_listed(cheap)}; more on: {_listed(dear)}.",
    ]
    if len(telling) < len(benchmark.pairs):
        small = [_too_small(pair) for pair in benchmark.pairs if is_too_small(pair)]
        lines.append(
            f"- **Too few requests to say anything** (under {LEAST_TEST} to test on; chance is 0.5): {_listed(small)}. "
            "Their rows in the tables are there to be complete; nothing should be read from them."
        )
    if absent:
        lines.append(f"- Not measured yet: {_listed(absent)}.")
    return "\n".join(lines)


def is_too_small(pair: GatePair) -> bool:
    """Whether so few requests were tested that the pair tells nothing."""
    return pair.rows["test"] < LEAST_TEST


def _too_small(pair: GatePair) -> str:
    least = [f"{count} for {split}" for split, count in LEAST_BY_SPLIT.items() if pair.rows[split] < count]
    refused = f"; the product would train no gate on it, since it wants at least {' and '.join(least)}" if least else ""
    rows = ", ".join(f"{pair.rows[split]} for {split}" for split in SPLITS)
    return f"{pair.name} ({rows}; APGR {interval(find_order(pair, GATE).apgr, decimal)}{refused})"


def main_table(benchmark: GateBenchmark) -> str:
    header = ["pair", "answers", "test", "APGR, prompt only", "APGR, prompt + answer", "reach", "gate − router"]
    rows = []
    for pair in benchmark.pairs:
        gate, router = find_order(pair, GATE), find_order(pair, ROUTER)
        is_missed = pair.reach is not None and (gate.apgr.value or 0.0) < pair.reach
        rows.append(
            [
                f"{pair.name}: {pair.small} → {pair.frontier}",
                f"{pair.rows['train']:,}",
                f"{pair.rows['test']:,}",
                interval(router.apgr, decimal),
                f"**{interval(gate.apgr, decimal)}**",
                ("–" if pair.reach is None else f"{pair.reach:.2f}") + (" **missed**" if is_missed else ""),
                interval(router.minus or Estimate(None), signed),
            ]
        )
    return markdown_table(header, rows)


def note(benchmark: GateBenchmark) -> str:
    resamples = max((pair.resamples for pair in benchmark.pairs), default=0)
    seconds = "; ".join(f"{pair.name} {pair.seconds[0]:,.0f} and {pair.seconds[1]:,.0f}" for pair in benchmark.pairs)
    return (
        f"Recipe {benchmark.recipe}, seed 0. Brackets: 95 % intervals from {resamples:,} resamples of whole groups of "
        f"the test split, paired. Seconds to train, calibrate, export and ask the router, and the gate with its rivals, "
        f"on cores that did other work too: {seconds}."
    )


def order_table(benchmark: GateBenchmark) -> str:
    header = ["pair", "in the order of", "APGR", "gate − this", "AUC of 'the small answer is right'"]
    rows = [
        [
            pair.name,
            f"**{SHOWN[order.name]}**" if order.name == GATE else SHOWN[order.name],
            interval(order.apgr, decimal),
            interval(order.minus, signed) if order.minus else "",
            interval(order.auc, decimal) if order.auc else "",
        ]
        for pair in benchmark.pairs
        for order in pair.orders
    ]
    return markdown_table(header, rows)


def head_table(benchmark: GateBenchmark) -> str:
    """ECE of both heads of router and gate."""
    header = ["pair", "of", "ECE small", "by chance", "ECE frontier", "by chance"]
    rows = []
    for pair in benchmark.pairs:
        for model in (ROUTER, GATE):
            heads = [head for head in pair.heads if head.model == model]
            rows.append([pair.name, model, *(decimal(x) for head in heads for x in (head.ece, head.by_chance))])
    return markdown_table(header, rows)


def goal_table(benchmark: GateBenchmark) -> str:
    """What both cost relative to the better of the two alone, with what saving can give at all."""
    header = ["pair", "price ratio", "both ÷ better alone", "gate without waste ÷ gate", "oracle ÷ better alone"]
    rows = [
        [
            pair.name,
            f"{ratio.ratio:g}",
            f"**{interval(ratio.versus, decimal)}**",
            interval(ratio.unwasted, decimal),
            interval(ratio.oracle, decimal),
        ]
        for pair in benchmark.pairs
        for ratio in pair.ratios
    ]
    return markdown_table(header, rows)


def cost_table(benchmark: GateBenchmark) -> str:
    kinds: tuple[tuple[str, Callable[[float], str]], ...] = (
        ("aiq", decimal),
        ("cost95", decimal),
        ("bill95", percent),
        ("cost98", decimal),
        ("bill98", percent),
    )
    header = [
        "pair",
        "price ratio",
        "way",
        "AIQ",
        "cost at 95 %",
        "of the bill",
        "cost at 98 %",
        "of the bill",
    ]
    rows = [
        [
            pair.name,
            f"{ratio.ratio:g}",
            f"**{SHOWN[way.name]}**" if way.name == BOTH else SHOWN[way.name].split(",")[0],
            *(interval(getattr(way, kind), show) for kind, show in kinds),
        ]
        for pair in benchmark.pairs
        for ratio in pair.ratios
        for way in ratio.ways
    ]
    return markdown_table(header, rows)


def ablation_table(benchmark: GateBenchmark) -> str:
    header = ["pair", "inputs of the gate's heads", "how many", "APGR, calibration", "− everything"]
    rows = [
        [
            pair.name,
            variant.name,
            f"{variant.inputs:,}",
            interval(variant.apgr, decimal),
            interval(variant.minus, signed) if variant.minus else "",
        ]
        for pair in benchmark.pairs
        for variant in pair.ablation
    ]
    return markdown_table(header, rows)


def blind_table(benchmark: GateBenchmark) -> str:
    header = ["pair", "category", "small wrong, frontier right", "accepted", "share", "of these, nothing looks wrong"]
    rows = [
        [
            pair.name,
            f"**{blind.category}**" if blind.category == "all" else blind.category,
            f"{blind.wrong:,}",
            f"{blind.accepted:,}",
            percent(blind.accepted / blind.wrong) if blind.wrong else "–",
            f"{blind.unsuspicious:,}",
        ]
        for pair in benchmark.pairs
        for blind in pair.blind
    ]
    sums = [sum(getattr(pair.blind[-1], kind) for pair in benchmark.pairs) for kind in ("accepted", "unsuspicious")]
    share = percent(sums[1] / sums[0]) if sums[0] else "–"
    return (
        f"{markdown_table(header, rows)}\n\nWhere {percent(ESCALATED)} of all answers go up. Over all pairs, nothing looks "
        f"wrong with {sums[1]:,} of the {sums[0]:,} wrong answers that are accepted ({share})."
    )


def find_order(pair: GatePair, name: str) -> OrderFigures:
    return next(order for order in pair.orders if order.name == name)


def find_ratio(pair: GatePair, ratio: float) -> RatioFigures:
    return next(found for found in pair.ratios if found.ratio == ratio)


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "none"

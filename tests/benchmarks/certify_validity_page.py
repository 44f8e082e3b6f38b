"""The regions "validity" and "power" of training/certify.md, and the picture of the tests' power.

Knows the results of certify_validity.py; measures nothing, and writes no page: certify_page.py does.
"""

from __future__ import annotations

import math
from pathlib import Path

from bench_store import read_figures
from certify_figures import OURS, Cell, Power, Validity, find_cell, find_power, is_over, rate_interval
from certify_picture import draw_power

from learned_router.training.report import markdown_table, percent

PICTURE = "certify-power.png"
RESULTS = Path(__file__).resolve().parent / "results" / "certify.json"
NOT_MEASURED = "Not measured yet: run `make bench-certify`."
REGIONS = ("validity-verdict", "validity", "power-verdict", "power")
# what was aimed at: so much of the largest share possible, on this population with so many calls
REACH, REACH_POPULATION, REACH_CALLS = 0.80, "routellm_mmlu", 2_000


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The page's texts and tables by name of their region."""
    found = read_figures(results, Validity)
    if found is None:
        return dict.fromkeys(REGIONS, NOT_MEASURED)
    return {
        "validity-verdict": validity_verdict(found),
        "validity": validity_table(found),
        "power-verdict": power_verdict(found),
        "power": power_tables(found),
    }


def validity_verdict(found: Validity) -> str:
    """Whether any cell is over, which come nearest, and how many there are."""
    if not found.cells:
        return NOT_MEASURED
    over = [cell for cell in found.cells if is_over(cell, found.delta)]
    worst = sorted(found.cells, key=lambda cell: -cell.broken / cell.repeats)[:3]
    repeats = min(cell.repeats for cell in found.cells)
    chance = found.delta + 3.0 * math.sqrt(found.delta * (1.0 - found.delta) / repeats)
    head = (
        f"**Over in {len(over)} of {len(found.cells)} cells**: {_cells(over)}."
        if over
        else f"**Held in all {len(found.cells)} cells**: none is over δ = {percent(found.delta)} by more than chance."
    )
    return (
        f"{head} {repeats:,} repetitions each; over would be a rate above {percent(chance)}, three standard errors. "
        f"The highest rates: {_cells(worst)}. Measured {found.measured}."
    )


def validity_table(found: Validity) -> str:
    """One row a population, one column a target: the rate in per cent by number of calls; then the share that goes down."""
    targets = sorted({cell.target for cell in found.cells})
    calls = sorted({cell.calls for cell in found.cells})
    numbers = " / ".join(f"{count:,}" for count in calls)
    rows, shares = [], []
    for name, what in found.populations.items():
        by_target = [[find_cell(found.cells, name, target, count) for count in calls] for target in targets]
        if not any(cell for cells in by_target for cell in cells):
            continue
        rates = [" / ".join(_rate(cell, found.delta) for cell in cells) for cells in by_target]
        rows.append([f"{name}: {what}", *rates])
        shares.append(
            [name, *(" / ".join(f"{cell.share:.0%}" if cell else "–" for cell in cells) for cells in by_target)]
        )
    header = [f"X = {target:.0%}" for target in targets]
    return "\n\n".join(
        [
            f"Promises broken, % of certificates, at {numbers} proof calls:",
            markdown_table(["population", *header], rows),
            "Share of calls that the certificates send down, mean over some of the draws:",
            markdown_table(["population", *header], shares),
        ]
    )


def power_verdict(found: Validity) -> str:
    """Whether the reach is met, and what the normal approximation, which keeps no promise, would have brought."""
    ours, loose = (
        find_power(found.power, REACH_POPULATION, test, REACH_CALLS) for test in (OURS, "normal approximation")
    )
    if ours is None or loose is None:
        return NOT_MEASURED
    best = found.best[REACH_POPULATION]
    reached = ours.share / best
    others = [
        f"{name.removeprefix(REACH_POPULATION + ', ')} {each.share / found.best[name]:.0%}"
        for name in found.best
        if name != REACH_POPULATION and (each := find_power(found.power, name, OURS, REACH_CALLS))
    ]
    met = "met" if reached >= REACH else "**missed**"
    return (
        f"Reach, {REACH:.0%} of the largest share possible at n = {REACH_CALLS:,} and X = {found.power_target:.0%} on "
        f"{REACH_POPULATION}: {met}, {reached:.0%} ({ours.share:.1%} of {best:.1%}). With other scores of the same "
        f"requests: "
        f"{', '.join(others)}. A normal approximation, which promises nothing for any n, would get "
        f"{loose.share / best:.0%}."
    )


def power_tables(found: Validity) -> str:
    """One table a population: each test, what it sends down and how often it breaks the promise, by number of calls."""
    parts = []
    for name, best in found.best.items():
        some = [each for each in found.power if each.population == name]
        calls = sorted({each.calls for each in some})
        rows = [
            [test, *(_power(find_power(some, name, test, count), best) for count in calls)]
            for test in dict.fromkeys(each.test for each in some)
        ]
        parts.append(
            f"{name}, X = {found.power_target:.0%}; the largest share that keeps it: {best:.1%}. Share down, also of the "
            f"largest, and promises broken ({min(each.repeats for each in some):,} repetitions), by proof calls:"
        )
        parts.append(markdown_table(["test", *(f"n = {count:,}" for count in calls)], rows))
    return "\n\n".join(parts) if parts else NOT_MEASURED


def _power(each: Power | None, best: float) -> str:
    if each is None:
        return "–"
    return f"{each.share:.1%} = {each.share / best:.0%}, {each.broken / each.repeats:.1%}"


def _rate(cell: Cell | None, delta: float) -> str:
    if cell is None:
        return "–"
    text = f"{100.0 * cell.broken / cell.repeats:.1f}"
    return f"**{text}**" if is_over(cell, delta) else text


def _cells(cells: list[Cell]) -> str:
    texts = []
    for cell in cells:
        low, high = rate_interval(cell.broken, cell.repeats)
        rate = cell.broken / cell.repeats
        texts.append(f"{cell.population} at {cell.target:.0%}, {cell.calls:,} ({rate:.1%} [{low:.1%}, {high:.1%}])")
    return "; ".join(texts)


def draw_pictures(folder: Path, results: Path = RESULTS) -> None:
    """Draw the picture into the folder of the page, where there is something to draw."""
    found = read_figures(results, Validity)
    if found and found.power:
        (folder / PICTURE).write_bytes(draw_power(found))

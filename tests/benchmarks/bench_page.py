"""Fill docs/benchmark.md from the benchmark's figures, so that no figure in it is typed by hand, and draw its pictures.

Run: python tests/benchmarks/bench_page.py [--check]. Knows the results of bench.py, and which modules know
those of the page's other sections; measures nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import few_labels_page
import gate_page
import sizes_page
import training_page
import triples_page
from bench_figures import Benchmark, MethodFigures, PairFigures, standing
from bench_pairs import PAIRS
from bench_picture import best_rival, draw_curves, draw_reliability, own
from bench_store import read_figures
from page_regions import check_page, fill_regions

from learned_router.training.evaluation import Estimate
from learned_router.training.report import decimal, interval, markdown_table, percent, signed

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmark.md"
RESULTS = Path(__file__).resolve().parent / "results" / "bench.json"
COMMAND = "python tests/benchmarks/bench_page.py"
PICTURES: dict[str, Callable[[Benchmark], bytes]] = {
    "benchmark-curves.png": draw_curves,
    "benchmark-reliability.png": draw_reliability,
}
# each with the texts of its regions and its pictures, from results of its own
SECTIONS = (triples_page, gate_page, few_labels_page, sizes_page, training_page)
ECE_GOAL, ECE_ROWS = 0.03, 1000
SEEDS = 3
STANDARD, NEAR = "ours_standard", 0.01  # the main recipe, which takes less time, may stay so far behind in APGR


def regions(benchmark: Benchmark) -> dict[str, str]:
    """The page's texts and tables by name of their region."""
    return {
        "verdict": verdict(benchmark),
        "main": main_table(benchmark),
        "means": mean_table(benchmark),
        "recipes": recipe_verdict(benchmark),
        "modes": mode_table(benchmark),
        "calibration": f"{calibration_table(benchmark)}\n\n{calibration_verdict(benchmark)}",
        "pairs": "\n\n".join(pair_section(pair) for pair in benchmark.pairs),
        "seeds": seeds(benchmark),
        **{name: text for section in SECTIONS for name, text in section.regions().items()},
    }


def verdict(benchmark: Benchmark) -> str:
    """What a reader must know first: where the reach is missed, and where the best rival is not beaten."""
    reached: list[str] = []
    missed: list[str] = []
    absent = [pair.name for pair in PAIRS if pair.name not in {found.name for found in benchmark.pairs}]
    by_rival: dict[str, list[str]] = {"ahead of": [], "level with": [], "behind": []}
    for pair in benchmark.pairs:
        ours = own(benchmark, pair)
        if ours is None or ours.apgr.value is None:
            absent.append(pair.name)
            continue
        is_reached = ours.apgr.value >= pair.reach
        (reached if is_reached else missed).append(f"{pair.name} ({ours.apgr.value:.3f} of {pair.reach:.2f})")
        if ours.versus:
            by_rival[standing(ours.versus.difference)].append(pair.name)
    lines = [f"- **Reach missed** on {len(missed)} of {len(reached) + len(missed)} pairs: {_listed(missed)}."]
    lines.append(f"- Reach met on: {_listed(reached)}.")
    for how, names in by_rival.items():
        lines.append(f"- {how.capitalize()} the best rival: {_listed(names)}.")
    if absent:
        lines.append(f"- Not measured yet: {_listed(absent)}.")
    return "\n".join(lines)


def main_table(benchmark: Benchmark) -> str:
    header = ["pair", "labels", "test", "best of peers and baselines", "APGR", "ours", "reach", "ours − best"]
    rows = []
    for pair in benchmark.pairs:
        ours, rival = own(benchmark, pair), best_rival(pair)
        rows.append(
            [
                f"{pair.name}: {pair.small} → {pair.frontier}",
                f"{pair.rows['train']:,}",
                f"{pair.rows['test']:,}",
                rival.shown if rival else "–",
                _apgr(rival),
                f"**{_apgr(ours)}**" if ours else "not run",
                f"{pair.reach:.2f} {_met(ours, pair)}".strip(),
                interval(ours.versus.difference, signed) if ours and ours.versus else "–",
            ]
        )
    return markdown_table(header, rows)


def mean_table(benchmark: Benchmark) -> str:
    """Every method that was run on all pairs, with what ours has over it; and which were not."""
    if not benchmark.means:
        return "Not measured yet: `make bench` does, once all pairs are run."
    rows = [
        [
            f"**{method.shown}**" if method.kind == "ours" else method.shown,
            str(method.pairs),
            interval(method.apgr, decimal),
            interval(method.minus, signed) if method.minus else "",
        ]
        for method in benchmark.means
    ]
    table = markdown_table(["method", "pairs", "mean APGR", "ours − this"], rows)
    ranked = {method.name for method in benchmark.means}
    found = [method for pair in benchmark.pairs for method in pair.methods if method.name not in ranked]
    counts = Counter(method.shown for method in found)
    absent = _listed([f"{shown} ({count} of {len(benchmark.pairs)})" for shown, count in counts.items()])
    return f"{table}\n\nNot run on all pairs, so without a mean: {absent}."


def recipe_verdict(benchmark: Benchmark) -> str:
    """Whether the main recipe, in its mean over the pairs, is as near to the slower one as it was to be."""
    found = next((method.minus for method in benchmark.means if method.name == STANDARD), None)
    if found is None or found.value is None:
        return "Not judged: one of the two recipes has no mean over all pairs yet."
    main = next(method.shown for method in benchmark.means if method.name == benchmark.main)
    standard = next(method.shown for method in benchmark.means if method.name == STANDARD)
    return (
        f"APGR of {main.removeprefix('ours, ')} at most {NEAR} below that of {standard.removeprefix('ours, ')}, in the "
        f"mean over the pairs: {'met' if found.value >= -NEAR else '**missed**'}; it is {interval(found, signed)} from it."
    )


def _met(ours: MethodFigures | None, pair: PairFigures) -> str:
    if ours is None or ours.apgr.value is None:
        return ""
    return "met" if ours.apgr.value >= pair.reach else "**missed**"


def mode_table(benchmark: Benchmark) -> str:
    """One row a pair and recipe, each mode with the quality kept and the calls saved."""
    found = [(pair, method) for pair in benchmark.pairs for method in pair.methods if method.modes]
    modes = list(dict.fromkeys(mode.name for _, method in found for mode in method.modes))
    header = ["pair", "method", *(f"{mode}: {what}" for mode in modes for what in ("quality kept", "calls saved"))]
    rows = []
    for pair, method in found:
        by_name = {mode.name: mode for mode in method.modes}
        cells = [
            interval(estimate, percent)
            for mode in modes
            for estimate in ((by_name[mode].kept, by_name[mode].saved) if mode in by_name else (Estimate(None),) * 2)
        ]
        rows.append([pair.name, method.shown, *cells])
    return markdown_table(header, rows)


def calibration_table(benchmark: Benchmark) -> str:
    header = ["pair", "test", "method", "ECE small", "by chance", "ECE frontier", "by chance"]
    rows = []
    for pair in benchmark.pairs:
        for method in pair.methods:
            if method.tiers:
                cells = [f"{figure:.3f}" for tier in method.tiers for figure in (tier.ece, tier.ece_by_chance)]
                rows.append([pair.name, f"{pair.rows['test']:,}", method.shown, *cells])
    return markdown_table(header, rows)


def calibration_verdict(benchmark: Benchmark) -> str:
    held: list[str] = []
    missed: list[str] = []
    for pair in benchmark.pairs:
        ours = own(benchmark, pair)
        if ours and pair.rows["test"] >= ECE_ROWS:
            for tier in ours.tiers:
                name = f"{pair.name}, {tier.name} ({tier.ece:.3f}; by chance {tier.ece_by_chance:.3f})"
                (held if tier.ece <= ECE_GOAL else missed).append(name)
    return (
        f"ECE at most {ECE_GOAL} on test splits of {ECE_ROWS:,} requests or more, main recipe: "
        f"**missed** for {_listed(missed)}; met for {_listed(held)}."
    )


def pair_section(pair: PairFigures) -> str:
    header = ["method", "APGR", "CPT 50 %", "CPT 80 %", "AIQ", "APGR by seed", "s a run", "minus best rival"]
    best = best_rival(pair)
    rows = [
        [
            f"**{method.shown}**" if method.kind == "ours" else method.shown,
            _apgr(method),
            *(interval(estimate, percent) for estimate in (method.cpt50, method.cpt80)),
            interval(method.aiq, decimal),
            " ".join("–" if value is None else f"{value:.3f}" for value in method.by_seed),
            f"{method.seconds:,.1f}",
            interval(method.versus.difference, signed) if method.versus else "best" if method is best else "",
        ]
        for method in sorted(pair.methods, key=lambda method: -(method.apgr.value or 0.0))
    ]
    about = (
        f"{pair.small} (mean quality {pair.quality['small']:.3f}) → {pair.frontier} ({pair.quality['frontier']:.3f}). "
        f"Labels: {pair.rows['train']:,} to train, {pair.rows['calibration']:,} to calibrate, {pair.rows['test']:,} to "
        f"test in {pair.groups:,} groups. Brackets: 95 % intervals from {pair.resamples:,} resamples of whole groups."
    )
    return f"### {pair.name}\n\n{about}\n\n{markdown_table(header, rows)}"


def seeds(benchmark: Benchmark) -> str:
    """How many seeds stand behind a pair's figures, and which methods have none."""
    names = dict.fromkeys(method.name for pair in benchmark.pairs for method in pair.methods)
    lines = []
    for pair in benchmark.pairs:
        by_name = {method.name: method for method in pair.methods}
        ours = [
            f"{m.shown.removeprefix('ours, ')}: {len(m.seeds) if m.seeded else 'one, for none changes it'}"
            for m in pair.methods
            if m.kind == "ours"
        ]
        others = sorted({len(m.seeds) for m in pair.methods if m.kind != "ours" and m.seeded})
        few = " **Fewer seeds than elsewhere: read its figures with that in mind.**" if _is_thin(pair) else ""
        lacking = [name for name in names if name not in by_name]
        lack = f" Without {_listed([f'`{name}`' for name in lacking])}." if lacking else ""
        lines.append(
            f"- {pair.name}: seeds of {_listed(ours) if ours else 'our recipes: none run'}; of rivals that one changes: "
            f"{' or '.join(map(str, others)) or 'none run'}.{few}{lack}"
        )
    return "\n".join(lines)


def _is_thin(pair: PairFigures) -> bool:
    return any(method.kind == "ours" and method.seeded and len(method.seeds) < SEEDS for method in pair.methods)


def fill(text: str, benchmark: Benchmark) -> str:
    """``text`` with its regions written anew. Raises InputError as ``fill_regions`` does."""
    return fill_regions(text, regions(benchmark))


def fill_page(benchmark: Benchmark, page: Path = PAGE) -> None:
    """Fill the page and draw its pictures beside it."""
    page.write_text(fill(page.read_text(encoding="utf-8"), benchmark), encoding="utf-8")
    for name, draw in PICTURES.items():
        (page.parent / name).write_bytes(draw(benchmark))
    for section in SECTIONS:
        section.draw_pictures(page.parent)


def _apgr(method: MethodFigures | None) -> str:
    return interval(method.apgr, decimal) if method else "–"


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page would change")
    arguments = parser.parse_args()
    benchmark = read_figures(RESULTS, Benchmark)
    if benchmark is None:
        sys.exit(f"{RESULTS}: no such results file; write it with 'make bench'")
    if arguments.check:
        check_page(PAGE, fill(PAGE.read_text(encoding="utf-8"), benchmark), COMMAND)
    else:
        fill_page(benchmark)


if __name__ == "__main__":
    main()

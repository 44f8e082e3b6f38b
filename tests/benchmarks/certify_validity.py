"""Prove thresholds on many draws of populations whose truth is known: is the promise broken oftener than it may be?

Run: python tests/benchmarks/certify_validity.py [--only NAME] [--again] [--page]. Stopped, it goes on where it was.
Needs neither the corpora nor anything trained: what routers said of real requests is kept beside the results.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_store import read_figures, write_figures
from certify_figures import OURS, Cell, Power, Validity, find_cell, find_power
from certify_page import PAGE, fill_page
from certify_populations import Population, populations
from certify_simulation import (
    Outcome,
    Test,
    as_certified,
    best_share,
    binomial,
    fixed_bets,
    hoeffding_bentkus,
    normal,
    point_estimate,
    simulate,
)
from certify_validity_page import RESULTS

DELTA = 0.05
TARGETS = (0.90, 0.95, 0.98)
CALLS = (200, 500, 2_000, 8_000)
REPEATS = 1_000
WALKED = 24  # draws whose whole path is tested, for the share that goes down
POWER_TARGET = 0.95
POWER_CALLS = (500, 1_000, 2_000, 4_000, 8_000)
POWER_REPEATS = 500
POWER_POPULATIONS = ("routellm_mmlu", "routellm_mmlu, standard", "routellm_mmlu, logistic")
TESTS: dict[str, Test] = {
    OURS: as_certified,
    "betting, fixed bets": fixed_bets,
    "binomial": binomial,
    "Hoeffding–Bentkus": hoeffding_bentkus,
    "normal approximation": normal,
    "point estimate": point_estimate,
}


def measure(
    before: Validity | None,
    only: Sequence[str] = (),
    *,
    again: bool = False,
    targets: Sequence[float] = TARGETS,
    calls: Sequence[int] = CALLS,
    repeats: int = REPEATS,
    power_calls: Sequence[int] = POWER_CALLS,
    power_repeats: int = POWER_REPEATS,
    keep: Path | None = None,
) -> Validity:
    """All cells, those of ``before`` taken from there. keep: where to write after each population."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    known = {each.name: each.what for each in populations(targets[0])}
    found = Validity(today, DELTA, POWER_TARGET, known, [], {}, [])
    if before:
        found = carry_over(found, before)

    def note(found: Validity) -> None:
        if keep:
            write_figures(found, keep)

    for target in targets:
        for population in populations(target):
            if only and population.name not in only:
                continue
            for count in calls:
                old = find_cell(found.cells, population.name, target, count)
                if old and not again:
                    continue
                cell = measure_cell(population, target, count, repeats)
                found.cells[:] = [each for each in found.cells if each != old] + [cell]
                print(f"{cell.population}, {target:.0%}, {count:,}: {cell.broken} of {repeats:,}", flush=True)
            note(found)
    for population in populations(POWER_TARGET):
        if population.name not in POWER_POPULATIONS or (only and population.name not in only):
            continue
        found.best[population.name] = best_share(population, POWER_TARGET)
        for count in power_calls:
            olds = [find_power(found.power, population.name, name, count) for name in TESTS]
            if all(olds) and not again:
                continue
            news = measure_power(population, POWER_TARGET, count, power_repeats)
            found.power[:] = [each for each in found.power if each not in olds] + news
            print(f"{population.name}, power at {count:,}: {news[0].share:.1%} by {OURS}", flush=True)
            note(found)
    return found


def carry_over(new: Validity, old: Validity) -> Validity:
    """The figures of ``old`` whose populations are still there, under the date of ``new``."""
    return Validity(
        new.measured,
        new.delta,
        new.power_target,
        new.populations,
        [cell for cell in old.cells if cell.population in new.populations],
        {name: share for name, share in old.best.items() if name in new.populations},
        [each for each in old.power if each.population in new.populations],
    )


def measure_cell(population: Population, target: float, calls: int, repeats: int) -> Cell:
    """How often the certificate's own test breaks its promise."""
    test: dict[str, Test] = {OURS: as_certified}
    found = simulate(population, target, calls, DELTA, repeats, test, walked=min(WALKED, repeats))[OURS]
    share = float(np.nanmean(found.share[: min(WALKED, repeats)]))
    return Cell(population.name, target, calls, repeats, int(found.broken.sum()), round(share, 4))


def measure_power(population: Population, target: float, calls: int, repeats: int) -> list[Power]:
    """Every test on the same draws."""
    found: dict[str, Outcome] = simulate(population, target, calls, DELTA, repeats, TESTS, walked=repeats)
    return [
        Power(population.name, name, calls, repeats, round(float(each.share.mean()), 4), int(each.broken.sum()))
        for name, each in found.items()
    ]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this population (default: all)")
    parser.add_argument("--again", action="store_true", help="measure what is there already too")
    # the page shows the figures that are committed, not those that were written elsewhere
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--out", type=Path, default=RESULTS, help="the figures, as JSON")
    written.add_argument("--page", action="store_true", help=f"also fill {PAGE.name} and draw its pictures")
    chosen = parser.parse_args(arguments)
    known = [each.name for each in populations(TARGETS[0])]
    if strange := set(chosen.only) - set(known):
        parser.error(f"--only {min(strange)}: no such population; there are {'; '.join(known)}")
    return chosen


def main() -> None:
    chosen = parse()
    figures = measure(read_figures(chosen.out, Validity), chosen.only, again=chosen.again, keep=chosen.out)
    write_figures(figures, chosen.out)
    if chosen.page:
        fill_page()
        print(f"{PAGE} is filled")


if __name__ == "__main__":
    main()

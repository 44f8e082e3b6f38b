"""Simulate the monitor: alarms while promises hold, audits until a broken one is found, warnings with and without drift.

Run: python tests/benchmarks/monitor_delay.py [--runs 1000] [--jobs 2] [--page]. Needs no corpora; takes about 12 minutes on
two idle cores.
"""

from __future__ import annotations

import argparse
import datetime
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from bench_store import write_figures
from certify_page import PAGE, fill_page
from monitor_figures import (
    ALPHA,
    CHANGES,
    TRAFFIC_SHARE,
    Delay,
    Drift,
    FalseAlarms,
    MonitorFigures,
    budget_of,
    delay,
    drift,
    false_alarms,
)
from monitor_laws import LAWS
from monitor_page import RESULTS

CALLS = 100_000
PROMISES = (0.98, 0.95, 0.90)
FALLS = (0.94, 0.90)
STARTS = (0, 500, 2_000, 10_000)  # audits
HORIZON = 20_000  # audits
SESSIONS = (20, 50)  # calls
ROWS = (500, 2_000, 8_000)


class Cell(NamedTuple):
    """One simulation: a function of ``monitor_figures``, and what it is called with but the source of chance."""

    run: Callable[..., msgspec.Struct]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def seed(self) -> list[int]:
        """Its own, so that no cell depends on which others are run."""
        return [0, zlib.crc32(repr((self.run.__name__, self.arguments, sorted(self.options.items()))).encode())]


def cells(runs: int, calls: int = CALLS, horizon: int = HORIZON, starts: Sequence[int] = STARTS) -> list[Cell]:
    """All simulations, by kind in the order in which they are shown."""
    found = [Cell(false_alarms, (law, budget_of(promise), runs, calls), {}) for law in LAWS for promise in PROMISES]
    found += [
        Cell(false_alarms, (law, budget_of(promise), runs, calls), {"session": session})
        for law in LAWS
        for session in SESSIONS
        for promise in PROMISES
    ]
    found += [
        Cell(delay, (law, promise, kept, start, max(runs // 2, 1), horizon), {})
        for law in ("0 or 1", "-1, 0 or 1", "graded")
        for promise in PROMISES
        for kept in FALLS
        if kept < promise
        for start in starts
    ]
    counted = round(calls * TRAFFIC_SHARE)
    found += [
        Cell(drift, (feature, rows, max(runs // 2, 1), counted), {"alike": alike})
        for alike in (0.0, 0.5, 1.0)
        for feature in CHANGES
        for rows in ((200, *ROWS) if alike == 0.0 else (2_000,))
    ]
    found += [
        Cell(drift, (feature, rows, max(runs // 10, 1), counted), {"change": change, "start": counted // 5})
        for feature, changes in CHANGES.items()
        for change in changes
        for rows in ROWS
    ]
    return found


def run_cell(cell: Cell) -> msgspec.Struct:
    return cell.run(*cell.arguments, np.random.default_rng(cell.seed()), **cell.options)


def measure(chosen: Sequence[Cell], jobs: int, say: Callable[[str], None] = print) -> MonitorFigures:
    """Run the cells; what they found, by kind."""
    found: list[msgspec.Struct] = []
    with ProcessPoolExecutor(jobs) as pool:
        for number, figures in enumerate(pool.map(run_cell, chosen), start=1):
            found.append(figures)
            say(f"{number} of {len(chosen)}: {figures}")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return MonitorFigures(
        measured=today,
        alpha=ALPHA,
        false_alarms=[figures for figures in found if isinstance(figures, FalseAlarms)],
        delays=[figures for figures in found if isinstance(figures, Delay)],
        drift=[figures for figures in found if isinstance(figures, Drift)],
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about = "repetitions of a cell of false alarms; delays take half of them (default: 1000)"
    parser.add_argument("--runs", type=int, default=1_000, help=about)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--out", type=Path, default=RESULTS, help="the figures, as JSON")
    written.add_argument("--page", action="store_true", help=f"also fill {PAGE.name}")
    return parser.parse_args(arguments)


def main() -> None:
    chosen = parse()
    write_figures(measure(cells(chosen.runs), chosen.jobs), chosen.out)
    if chosen.page:
        fill_page()


if __name__ == "__main__":
    main()

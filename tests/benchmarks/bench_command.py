"""What the benchmarks on the corpora's pairs share as commands: options, checks of them, and how a run ends.

Knows options, exit codes and the page; knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from bench_figures import Benchmark
from bench_page import PAGE, RESULTS, fill_page
from bench_store import read_figures
from corpora import CORPORA
from rich.console import Console

from learned_router.errors import LearnedRouterError


def new_parser(description: str | None, *, work: Path, out: Path, pairs: str = "all") -> argparse.ArgumentParser:
    """A parser with the options that all have. work, out: defaults; pairs: which are measured without --only."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="PAIR", help=f"this pair; may be given again (else {pairs})")
    parser.add_argument("--again", action="store_true", help="run what is stored too: after changes to the code itself")
    parser.add_argument("--work", type=Path, default=work, help="folder of scores and trained routers")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder of embeddings")
    parser.add_argument("--out", type=Path, default=out, help="the figures, as JSON")
    parser.add_argument("--page", action="store_true", help=f"also fill {PAGE.name} and draw its pictures")
    return parser


def check_names(
    parser: argparse.ArgumentParser, option: str, given: Iterable[str], known: Collection[str], between: str = " | "
) -> None:
    """Ends the command when a name is not known, with those that are."""
    if strange := set(given) - set(known):
        parser.error(f"{option} {min(strange)}: not known; there are {between.join(known)}")


def whole_numbers(parser: argparse.ArgumentParser, option: str, text: str) -> list[int]:
    """Whole numbers between commas. Ends the command on anything else."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        parser.error(f"{option} {text}: give whole numbers, as in 0,1,2")


def chosen_methods(parser: argparse.ArgumentParser, text: str | None, known: Collection[str]) -> list[str]:
    """Names of methods between commas; all without any, none for 'none'. Ends the command on a name not known."""
    names = list(known) if text is None else [] if text == "none" else text.split(",")
    check_names(parser, "--methods", names, known, ",")
    return names


def run_command(
    measure: Callable[[argparse.Namespace, Console], list[str]], chosen: argparse.Namespace, figures: Path = RESULTS
) -> None:
    """Measure, fill the page where that was asked for, and exit with 1 saying what failed.

    measure: writes figures, and returns a line for each run that failed. figures: those of bench.py, for the page.
    """
    console = Console()
    if not CORPORA.is_dir():
        console.print(f"nothing measured: {CORPORA} is not there")
        return
    try:
        failed = measure(chosen, console)
        if chosen.page and (benchmark := read_figures(figures, Benchmark)):
            fill_page(benchmark)
            console.print(f"{PAGE} is filled")
    except LearnedRouterError as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit("not run:\n" + "\n".join(failed))

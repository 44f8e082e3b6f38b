"""What the benchmarks on the corpora share as commands: options, checks of them, and how a run ends.

Knows options, exit codes and the page; knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from bench_figures import Benchmark
from bench_methods import MAIN
from bench_page import PAGE, RESULTS, fill_page
from bench_store import read_figures
from corpora import CORPORA
from rich.console import Console

from learned_router.errors import LearnedRouterError


def new_parser(about: str | None, names: Collection[str], *, work: Path, out: Path) -> argparse.ArgumentParser:
    """A parser with the options that all have.

    names: those of the pairs or triples that there are. work, out: where scores and figures go when nothing is said.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help="this one; may be given again (default: all)",
    )
    parser.add_argument("--again", action="store_true", help="run what is stored too: after changes to the code itself")
    parser.add_argument("--work", type=Path, default=work, help="folder of scores and trained routers")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder of embeddings")
    # the page shows the figures that are committed, not those that were written elsewhere
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--out", type=Path, default=out, help="the figures, as JSON")
    written.add_argument("--page", action="store_true", help=f"also fill {PAGE.name} and draw its pictures")
    return parser


def add_seeds(parser: argparse.ArgumentParser, default: str = "0,1,2") -> None:
    about = f"seeds of training, between commas (default: {default})"
    parser.add_argument("--seeds", type=whole_numbers, default=default, help=about)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default=MAIN, help=f"recipe of ours, a name or a TOML file (default: {MAIN})")


def add_methods(parser: argparse.ArgumentParser) -> None:
    """The names given are checked by ``choose_methods``, when it is known which methods there are."""
    about = "names between commas, or 'none' to measure what is stored (default: all)"
    parser.add_argument("--methods", help=about)


def whole_numbers(text: str) -> list[int]:
    """Whole numbers between commas, as the type of an option."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give whole numbers, as in 0,1,2") from None


def choose_methods(parser: argparse.ArgumentParser, text: str | None, known: Collection[str]) -> list[str]:
    """What was given as --methods: all without it, none for 'none'. Ends the command on a name that is not known."""
    names = list(known) if text is None else [] if text == "none" else text.split(",")
    if strange := set(names) - set(known):
        parser.error(f"--methods {min(strange)}: no such method; there are {','.join(known)}")
    return names


def run_command(
    parse: Callable[[], argparse.Namespace], measure: Callable[[argparse.Namespace, Console], list[str]]
) -> None:
    """Measure what was asked for, fill the page where that was asked for too, and exit with 1 saying what failed.

    measure: writes figures, and returns a line for each run that failed.
    """
    console = Console()
    try:
        chosen = parse()
        if not CORPORA.is_dir():
            console.print(f"nothing measured: {CORPORA} is not there")
            return
        failed = measure(chosen, console)
        if chosen.page and (benchmark := read_figures(RESULTS, Benchmark)):
            fill_page(benchmark)
            console.print(f"{PAGE} is filled")
    except LearnedRouterError as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit("not run:\n" + "\n".join(failed))

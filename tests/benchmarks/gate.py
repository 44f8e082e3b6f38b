"""Train a router and a gate on every pair whose small answers the corpora hold, and write what each is worth against cost.

Run: python tests/benchmarks/gate.py [--only PAIR] [--recipe fast] [--page]. Stopped, it goes on where it was: what was
predicted is kept under --work, and is made again only when labels, answers, recipe or the modules that read features are
others than they were (or with --again).
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Sequence
from pathlib import Path

from bench_command import add_recipe, new_parser, run_command
from bench_pairs import read_corpora
from bench_store import read_figures, slug, write_figures
from gate_figures import GateBenchmark, GatePair, measure_gate
from gate_page import RESULTS
from gate_pairs import answered, gate_pairs, read_answers
from gate_predictions import predict_pair
from rich.console import Console
from rich.markup import escape

from learned_router.errors import LearnedRouterError
from learned_router.training.recipe import load_recipe


def merge(before: GateBenchmark | None, pair: GatePair, recipe: str) -> GateBenchmark:
    """The benchmark with this pair's figures; other pairs' stay, in the order of ``gate_pairs``."""
    pairs = {old.name: old for old in (before.pairs if before else [])} | {pair.name: pair}
    listed = [pairs[known.name] for known in gate_pairs() if known.name in pairs]
    return GateBenchmark(datetime.datetime.now(datetime.UTC).date().isoformat(), recipe, listed)


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Train, measure and write what was chosen, pair by pair; what failed."""
    recipe, began = load_recipe(chosen.recipe), time.perf_counter()
    outcomes = read_corpora()
    failed = []

    def say(line: str) -> None:
        console.print(escape(line), highlight=False, soft_wrap=True)

    for pair in gate_pairs():
        if chosen.only and pair.name not in chosen.only:
            continue
        labels = answered(pair, outcomes, read_answers(pair.log, pair.small))
        try:
            found = predict_pair(labels, recipe, chosen.work / slug(pair.name), say, again=chosen.again)
        except LearnedRouterError as error:
            failed.append(f"{pair.name}: {error}")
            say(failed[-1])
            continue
        train_rows = sum(label.split == "train" for label in labels)
        figures = measure_gate(pair, train_rows, found)
        write_figures(merge(read_figures(chosen.out, GateBenchmark), figures, recipe.name), chosen.out)
        say(f"{pair.name}: {(time.perf_counter() - began) / 60:,.1f} min so far")
    return failed


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [pair.name for pair in gate_pairs()]
    parser = new_parser(__doc__, names, work=Path("runs/bench-gate"), out=RESULTS)
    add_recipe(parser)
    return parser.parse_args(arguments)


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()

"""Train and evaluate every method on every triple of models, three tiers each, and write the figures.

Run: python tests/benchmarks/triples.py [--seeds 0,1,2] [--only TRIPLE] [--recipe NAME] [--methods a,b] [--page]. Stopped,
it goes on where it was: what was predicted is kept under --work, and is made again only when labels, recipe or seed are
others than they were.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench_command import add_methods, add_recipe, add_seeds, choose_methods, new_parser, run_command
from bench_methods import Scored, method_name
from bench_pairs import read_corpora
from bench_runs import Task, embed_labels, make_task, run_methods, stored_runs
from bench_store import read_figures, write_figures
from rich.console import Console
from rich.markup import escape
from triples_figures import TripleBenchmark, TripleFigures, measure_triple, predicted, take_side
from triples_methods import all_methods
from triples_models import TRIPLES, Triple, labels_of, prices_of
from triples_page import RESULTS
from triples_sweep import cost_shares, trace_sweep

from learned_router.training import metrics
from learned_router.training.baselines import Embedder, embed
from learned_router.training.records import Label


def prepare(triple: Triple, outcomes: Sequence[Label], embedder: Embedder) -> Task:
    """The triple's labels with their embeddings. Asked are the calibration split, which chooses two tiers, and the test."""
    labels = labels_of(triple, outcomes)
    return make_task(triple.name, labels, embed_labels(labels, embedder), asked=("calibration", "test"))


def merge(before: TripleBenchmark | None, triple: TripleFigures, main: str) -> TripleBenchmark:
    """The benchmark with this triple's figures; other triples' stay, in the order of TRIPLES."""
    triples = {old.name: old for old in (before.triples if before else [])} | {triple.name: triple}
    listed = [triples[known.name] for known in TRIPLES if known.name in triples]
    return TripleBenchmark(datetime.datetime.now(datetime.UTC).date().isoformat(), main, listed)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = new_parser(__doc__, [triple.name for triple in TRIPLES], work=Path("runs/triples"), out=RESULTS)
    add_recipe(parser)
    add_seeds(parser)
    add_methods(parser)
    found = parser.parse_args(arguments)
    found.methods = choose_methods(parser, found.methods, all_methods(found.recipe))
    return found


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Run, measure and write what was chosen, triple by triple; what failed."""
    methods, began = all_methods(chosen.recipe), time.perf_counter()
    failed: list[str] = []
    outcomes = read_corpora()
    for triple in TRIPLES:
        if chosen.only and triple.name not in chosen.only:
            continue
        task = prepare(triple, outcomes, lambda texts: embed(texts, chosen.cache, progress=console.print))
        wanted = {name: methods[name] for name in methods if name in chosen.methods}
        describe = partial(aiq_text, triple)
        failed += run_methods(task, wanted, chosen.seeds, chosen.work, console, again=chosen.again, describe=describe)
        runs = stored_runs(task, methods, chosen.work)
        if any(run.scored for by_seed in runs.values() for run in by_seed.values()):
            figures = measure_triple(triple, task.train, task.test, methods, runs)
            before = read_figures(chosen.out, TripleBenchmark)
            write_figures(merge(before, figures, method_name(chosen.recipe)), chosen.out)
        console.print(f"[bold]{escape(triple.name)}[/]: {(time.perf_counter() - began) / 60:,.1f} min so far")
    return failed


def aiq_text(triple: Triple, scored: Scored, task: Task) -> str:
    """The AIQ on the calibration split, so that nobody who watches a run chooses by the test split."""
    side = take_side(task.test, "calibration")
    curve = trace_sweep(predicted(scored, side), side.quality, cost_shares(prices_of(triple)), side.weight)
    return f"AIQ {metrics.aiq(curve):.3f} on the calibration split"


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()

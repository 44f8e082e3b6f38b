"""Train and evaluate every method on every pair of the corpora, and write the figures; the page is filled with --page.

Run: python tests/benchmarks/bench.py [--seeds 0,1,2] [--only PAIR] [--methods a,b] [--page]. Stopped, it goes on where
it was: scores are kept under --work, and are made again only when labels, recipe or seed are others than they were.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import triples_page
from bench_figures import Benchmark, PairFigures, measure_pair
from bench_methods import MAIN, all_methods, method_name
from bench_options import check_options, common_parser
from bench_page import PAGE, RESULTS, fill_page
from bench_pairs import PAIRS, Pair, draw_labels, labels_of, outcomes_of_others, read_corpora
from bench_runs import Task, embed_labels, make_task, run_methods, stored_runs
from bench_store import read_results, write_results
from corpora import CORPORA
from rich.console import Console
from rich.markup import escape
from triples_figures import TripleBenchmark

from learned_router.errors import LearnedRouterError
from learned_router.training.baselines import Embedder, embed
from learned_router.training.records import Label


def prepare(pair: Pair, outcomes: Sequence[Label], embedder: Embedder) -> Task:
    """The pair's labels with their embeddings."""
    labels = labels_of(pair, outcomes)
    vector_of = embed_labels(labels, embedder)
    if pair.train_labels:
        labels = draw_labels(labels, pair.train_labels)
    return make_task(pair.name, labels, vector_of, others=outcomes_of_others(pair, outcomes))


def count_rows(task: Task) -> dict[str, int]:
    return {
        "train": len(task.train.labels),
        "calibration": len(task.calibration),
        "test": len(task.test.labels),
    }


def merge(before: Benchmark | None, pair: PairFigures) -> Benchmark:
    """The benchmark with this pair's figures; other pairs' stay. Pairs stand in the order of PAIRS."""
    pairs = {old.name: old for old in (before.pairs if before else [])} | {pair.name: pair}
    order = [known.name for known in PAIRS]
    listed = sorted((p for p in pairs.values() if p.name in order), key=lambda p: order.index(p.name))
    return Benchmark(datetime.datetime.now(datetime.UTC).date().isoformat(), method_name(MAIN), listed)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common_parser(__doc__, Path("runs/bench"), RESULTS, PAGE.name)
    return check_options(parser, parser.parse_args(arguments), [pair.name for pair in PAIRS], all_methods())


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Run, measure and write what was chosen, pair by pair; what failed."""
    methods, began = all_methods(), time.perf_counter()
    failed: list[str] = []
    outcomes = read_corpora()
    for pair in PAIRS:
        if chosen.only and pair.name not in chosen.only:
            continue
        task = prepare(pair, outcomes, lambda texts: embed(texts, chosen.cache, progress=console.print))
        wanted = {name: methods[name] for name in methods if name in chosen.methods}
        failed += run_methods(task, wanted, chosen.seeds, chosen.work, console, again=chosen.again)
        runs = stored_runs(task, methods, chosen.work)
        if any(run.scored for by_seed in runs.values() for run in by_seed.values()):
            pair_figures = measure_pair(pair, count_rows(task), task.test, methods, runs)
            write_results(merge(read_results(chosen.out, Benchmark), pair_figures), chosen.out)
        console.print(f"[bold]{escape(pair.name)}[/]: {(time.perf_counter() - began) / 60:,.1f} min so far")
    if chosen.page and (benchmark := read_results(chosen.out, Benchmark)):
        fill_page(benchmark, read_results(triples_page.RESULTS, TripleBenchmark))
        console.print(f"{PAGE} is filled")
    return failed


def main() -> None:
    chosen, console = parse(), Console()
    if not CORPORA.is_dir():
        console.print(f"nothing measured: {CORPORA} is not there")
        return
    try:
        failed = measure(chosen, console)
    except LearnedRouterError as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit("not run:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()

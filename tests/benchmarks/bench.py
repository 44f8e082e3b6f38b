"""Train and evaluate every method on every pair of the corpora, and write the figures; the page is filled with --page.

Run: python tests/benchmarks/bench.py [--seeds 0,1,2] [--only PAIR] [--methods a,b] [--page]. Stopped, it goes on where
it was: scores are kept under --work, and are made again only when labels, recipe or seed are others than they were.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from bench_command import add_methods, add_seeds, choose_methods, new_parser, run_command
from bench_figures import Benchmark, PairFigures, measure_pair
from bench_mean import Part, measure_mean
from bench_methods import MAIN, all_methods, method_name
from bench_page import RESULTS
from bench_pairs import PAIRS, Pair, draw_labels, labels_of, outcomes_of_others, read_corpora
from bench_runs import Task, embed_labels, make_task, run_methods, stored_runs
from bench_store import read_figures, write_figures
from rich.console import Console
from rich.markup import escape

from learned_router.training.baselines import Embedder, embed
from learned_router.training.records import Label


def prepare(pair: Pair, outcomes: Sequence[Label], embedder: Embedder) -> Task:
    """The pair's labels with their embeddings."""
    labels = labels_of(pair, outcomes)
    vector_of = embed_labels(labels, embedder)
    if pair.train_labels:
        labels = draw_labels(labels, pair.train_labels, draw=pair.draw, least_calibration=pair.least_calibration)
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
    means = before.means if before else []
    return Benchmark(datetime.datetime.now(datetime.UTC).date().isoformat(), method_name(MAIN), listed, means)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = new_parser(__doc__, [pair.name for pair in PAIRS], work=Path("runs/bench"), out=RESULTS)
    add_seeds(parser)
    add_methods(parser)
    found = parser.parse_args(arguments)
    found.methods = choose_methods(parser, found.methods, all_methods())
    return found


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Run, measure and write what was chosen, pair by pair; what failed."""
    methods, began = all_methods(), time.perf_counter()
    failed: list[str] = []
    outcomes = read_corpora()
    parts: list[Part] = []
    for pair in PAIRS:
        if chosen.only and pair.name not in chosen.only:
            continue
        task = prepare(pair, outcomes, lambda texts: embed(texts, chosen.cache, progress=console.print))
        wanted = {name: methods[name] for name in methods if name in chosen.methods}
        failed += run_methods(task, wanted, chosen.seeds, chosen.work, console, again=chosen.again)
        runs = stored_runs(task, methods, chosen.work)
        if any(run.scored for by_seed in runs.values() for run in by_seed.values()):
            pair_figures = measure_pair(pair, count_rows(task), task.test, methods, runs)
            write_figures(merge(read_figures(chosen.out, Benchmark), pair_figures), chosen.out)
            parts.append(Part(task.test, runs))
        console.print(f"[bold]{escape(pair.name)}[/]: {(time.perf_counter() - began) / 60:,.1f} min so far")
    if len(parts) == len(PAIRS) and (found := read_figures(chosen.out, Benchmark)):
        means = measure_mean(parts, methods, found.main)
        write_figures(msgspec.structs.replace(found, means=means), chosen.out)
    return failed


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()

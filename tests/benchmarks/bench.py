"""Train and evaluate every method on every pair of the corpora, and write the figures; the page is filled with --page.

Run: python tests/benchmarks/bench.py [--seeds 0,1,2] [--only PAIR] [--methods a,b] [--page]. Stopped, it goes on where
it was: scores are kept under --work, and are made again only when labels, recipe or seed are others than they were.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench_command import check_names, chosen_methods, new_parser, run_command, whole_numbers
from bench_figures import Benchmark, PairFigures, measure_pair
from bench_methods import MAIN, TIERS, Method, Trial, all_methods, method_name
from bench_page import RESULTS
from bench_pairs import PAIRS, Pair, draw_labels, labels_of, outcomes_of_others, read_corpora
from bench_store import Run, key_of, load_run, read_figures, run_path, save_run, write_figures
from rich.console import Console
from rich.markup import escape

from learned_router.errors import LearnedRouterError
from learned_router.training import metrics
from learned_router.training.baselines import Embedder, Rows, Vectors, embed, prompt_text, tabulate
from learned_router.training.labels import sha256_of
from learned_router.training.records import Label


class Task(NamedTuple):
    """One pair, ready to run. vectors: frozen embeddings of train and test; sha256: of all its labels.

    others: how the log's other models did, by label's id.
    """

    pair: Pair
    train: Rows
    calibration: list[Label]
    test: Rows
    vectors: tuple[Vectors, Vectors]
    sha256: str
    others: Mapping[str, Sequence[float]] = {}

    def counts(self) -> dict[str, int]:
        return {
            "train": len(self.train.labels),
            "calibration": len(self.calibration),
            "test": len(self.test.labels),
        }


def prepare(pair: Pair, outcomes: Sequence[Label], embedder: Embedder) -> Task:
    """The pair's labels with their embeddings."""
    labels = labels_of(pair, outcomes)
    texts = [prompt_text(label) for label in labels]
    # of the whole log at once, so that pairs of the same log share the embeddings kept on disk
    vector_of = dict(zip(texts, embedder(texts), strict=True))
    if pair.train_labels:
        labels = draw_labels(labels, pair.train_labels, draw=pair.draw, least_calibration=pair.least_calibration)
    by_split: dict[str, list[Label]] = {"train": [], "calibration": [], "test": []}
    for label in labels:
        by_split[label.split].append(label)
    known, asked = (
        np.stack([vector_of[prompt_text(label)] for label in by_split[split]]) for split in ("train", "test")
    )
    train, test = (tabulate(by_split[split], *TIERS) for split in ("train", "test"))
    others = outcomes_of_others(pair, outcomes)
    return Task(pair, train, by_split["calibration"], test, (known, asked), sha256_of(labels), others)


def run_methods(
    task: Task,
    methods: Mapping[str, Method],
    seeds: Sequence[int],
    work: Path,
    console: Console,
    *,
    again: bool = False,
) -> list[str]:
    """Run what is not stored yet, and say what failed. again: run what is stored too."""
    failed = []
    for name, method in methods.items():
        for seed in seeds if method.seeded else [0]:
            path = run_path(work, task.pair.name, name, seed)
            key = key_of(method.knobs(), task.sha256, seed)
            title = f"{task.pair.name} · {method.shown} · seed {seed}"
            if not again and (stored := load_run(path, key)):
                console.print(escape(f"{title}: {_apgr(stored, task)}, there already"), highlight=False, soft_wrap=True)
                continue
            folder = path.with_suffix("")
            trial = Trial(task.train, task.calibration, task.test, *task.vectors, seed, folder, console, task.others)
            began = time.perf_counter()
            try:
                scored = method.run(trial)
            except LearnedRouterError as error:
                failed.append(f"{title}: {error}")
                console.print(f"[red]{escape(failed[-1])}[/]", highlight=False, soft_wrap=True)
                continue
            run = Run(scored, time.perf_counter() - began)
            save_run(path, run, key)
            console.print(escape(f"{title}: {_apgr(run, task)}, {run.seconds:,.1f} s"), highlight=False, soft_wrap=True)
    return failed


def _apgr(run: Run, task: Task) -> str:
    if run.scored is None:
        return "nothing to learn from"
    test = task.test
    return f"APGR {metrics.apgr(metrics.trace_curve(run.scored.score, test.small, test.top, test.weight)):.3f}"


def stored_runs(task: Task, methods: Mapping[str, Method], work: Path) -> dict[str, dict[int, Run]]:
    """Every stored run that is not stale, by method and seed, whichever call made it."""
    found: dict[str, dict[int, Run]] = {}
    for name, method in methods.items():
        knobs = method.knobs()
        for path in sorted(run_path(work, task.pair.name, name, 0).parent.glob(f"{name}-*.npz")):
            seed = path.stem.rpartition("-")[2]
            if seed.isdigit() and (run := load_run(path, key_of(knobs, task.sha256, int(seed)))):
                found.setdefault(name, {})[int(seed)] = run
    return found


def merge(before: Benchmark | None, pair: PairFigures) -> Benchmark:
    """The benchmark with this pair's figures; other pairs' stay. Pairs stand in the order of PAIRS."""
    pairs = {old.name: old for old in (before.pairs if before else [])} | {pair.name: pair}
    order = [known.name for known in PAIRS]
    listed = sorted((p for p in pairs.values() if p.name in order), key=lambda p: order.index(p.name))
    return Benchmark(datetime.datetime.now(datetime.UTC).date().isoformat(), method_name(MAIN), listed)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = new_parser(__doc__, work=Path("runs/bench"), out=RESULTS)
    parser.add_argument("--seeds", default="0,1,2", help="seeds of training, between commas (default: 0,1,2)")
    parser.add_argument("--methods", help="names between commas, or 'none' to measure what is stored (default: all)")
    found = parser.parse_args(arguments)
    check_names(parser, "--only", found.only or [], [pair.name for pair in PAIRS])
    found.methods = chosen_methods(parser, found.methods, all_methods())
    found.seeds = whole_numbers(parser, "--seeds", found.seeds)
    return found


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
            pair_figures = measure_pair(pair, task.counts(), task.test, methods, runs)
            write_figures(merge(read_figures(chosen.out, Benchmark), pair_figures), chosen.out)
        console.print(f"[bold]{escape(pair.name)}[/]: {(time.perf_counter() - began) / 60:,.1f} min so far")
    return failed


def main() -> None:
    chosen = parse()
    run_command(measure, chosen, chosen.out)


if __name__ == "__main__":
    main()

"""Learning curves: ours and the frozen baselines from few labels of logs that our encoder was not pretrained on.

Run: python tests/benchmarks/few_labels.py [--encoders DIR] [--draws 0,1,2] [--only PAIR] [--methods a,b] [--page].
'make encoders' pretrains the encoders; where there is none, ours is measured on the plain encoder alone. Stopped, it goes
on where it was: scores are kept under --work, and are made again only when labels, recipe, encoder or draw are others than
they were.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
from bench import prepare
from bench_command import add_methods, add_recipe, choose_methods, new_parser, run_command, whole_numbers
from bench_methods import Method, all_methods, our_method
from bench_pairs import Pair, labels_of, read_corpora
from bench_runs import run_methods, stored_runs
from bench_store import Run, read_figures, run_path, write_figures
from corpora import left_out_with
from few_labels_figures import OUR_LINES, OURS, PLAIN, CurveFigures, FewLabels, measure_curves
from few_labels_page import RESULTS
from leave_out import CURVE_PAIRS, ENCODERS, encoder_folder, find_encoder_without
from rich.console import Console
from rich.markup import escape

from learned_router.training.baselines import Embedder, embed
from learned_router.training.pretrained import read_about
from learned_router.training.recipe import PLAIN as WHOLE_ENCODER
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label

COUNTS = (100, 300, 1000, 3000)
# a hundred labels' share of the calibration split would be thirty, on which no threshold can be chosen
LEAST_CALIBRATION = 50
BASELINES = ("category", "knn", "logistic_fail", "logistic_gain")
METHODS = (*BASELINES, PLAIN, OURS)


def counts_of(train_labels: int) -> list[int]:
    """How many labels the points of a curve have: those of ``COUNTS`` that there are; last, all that there are."""
    return [count for count in COUNTS if count < train_labels] + ([train_labels] if train_labels <= COUNTS[-1] else [])


def on_encoder(recipe: Recipe, encoder: str) -> Recipe:
    return msgspec.structs.replace(recipe, encoder=msgspec.structs.replace(recipe.encoder, name=encoder))


def curve_methods(recipe: Recipe, encoder: Path | None) -> dict[str, Method]:
    """The frozen baselines, and the recipe on the plain encoder and, where there is one, on the pretrained."""
    known = all_methods()
    methods = {name: known[name] for name in BASELINES}
    methods[PLAIN] = our_method(OUR_LINES[PLAIN], on_encoder(recipe, WHOLE_ENCODER))
    if encoder:
        methods[OURS] = our_method(OUR_LINES[OURS], on_encoder(recipe, str(encoder)))
    return methods


def run_pair(
    pair: Pair,
    outcomes: Sequence[Label],
    methods: Mapping[str, Method],
    chosen: argparse.Namespace,
    encoder: Path | None,
    embedder: Embedder,
    console: Console,
) -> tuple[CurveFigures | None, list[str]]:
    """Run what was chosen on one pair and measure all that is stored; None where nothing is. And what failed."""
    failed: list[str] = []
    runs: dict[int, dict[str, dict[int, Run]]] = {}
    calibration: dict[int, int] = {}
    test = None
    for count in counts_of(sum(label.split == "train" for label in labels_of(pair, outcomes))):
        for draw in chosen.draws:
            drawn = pair._replace(
                name=f"{pair.name}, {count} labels, draw {draw}",
                train_labels=count,
                draw=draw,
                least_calibration=LEAST_CALIBRATION,
            )
            task = prepare(drawn, outcomes, embedder)
            wanted = {name: method for name, method in methods.items() if name in chosen.methods}
            # the draw is the seed of training too, so that the mean over draws is one over both
            failed += run_methods(task, wanted, [draw], chosen.work, console, again=chosen.again)
            for name, method in wanted.items():  # a router takes 25 MB, there are a hundred, and none is asked again
                seed = draw if method.seeded else 0
                shutil.rmtree(run_path(chosen.work, drawn.name, name, seed).with_suffix(""), ignore_errors=True)
            for name, by_seed in stored_runs(task, methods, chosen.work).items():
                seed = draw if methods[name].seeded else 0
                if seed in by_seed:
                    runs.setdefault(count, {}).setdefault(name, {})[draw] = by_seed[seed]
            calibration[count], test = len(task.calibration), task.test
    if test is None or not any(run.scored for by in runs.values() for found in by.values() for run in found.values()):
        return None, failed
    figures = measure_curves(
        pair,
        test,
        methods,
        runs,
        calibration=calibration,
        left_out=left_out_with(pair.log),
        pretrained_on=read_about(encoder).requests if encoder else {},
    )
    return figures, failed


def merge(before: FewLabels | None, pair: CurveFigures, recipe: str) -> FewLabels:
    """The figures with this pair's; other pairs' stay where they are of the same recipe. In the order of CURVE_PAIRS."""
    old = before.pairs if before and before.recipe == recipe else []
    by_name = {found.name: found for found in (*old, pair)}
    listed = [by_name[known.name] for known in CURVE_PAIRS if known.name in by_name]
    return FewLabels(datetime.datetime.now(datetime.UTC).date().isoformat(), recipe, listed)


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Run, measure and write what was chosen, pair by pair; what failed.

    Raises InputError when an encoder has learned from a log that it is to be measured on.
    """
    failed: list[str] = []
    recipe, outcomes = load_recipe(chosen.recipe), read_corpora()
    embedder = partial(embed, cache=chosen.cache, progress=console.print)
    for pair in CURVE_PAIRS:
        if chosen.only and pair.name not in chosen.only:
            continue
        encoder = find_encoder_without(chosen.encoders, pair.log)
        if encoder is None and OURS in chosen.methods:
            folder = encoder_folder(chosen.encoders, pair.log)
            note = f"{pair.name}: without '{OUR_LINES[OURS]}', for {folder} is not there; 'make encoders' pretrains it"
            console.print(escape(note), highlight=False, soft_wrap=True)
        methods = curve_methods(recipe, encoder)
        figures, not_run = run_pair(pair, outcomes, methods, chosen, encoder, embedder, console)
        failed += not_run
        if figures:
            write_figures(merge(read_figures(chosen.out, FewLabels), figures, recipe.name), chosen.out)
        console.print(f"[bold]{escape(pair.name)}[/] is measured")
    return failed


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = new_parser(__doc__, [pair.name for pair in CURVE_PAIRS], work=Path("runs/few-labels"), out=RESULTS)
    parser.add_argument(
        "--encoders", type=Path, default=ENCODERS, help="folder of the encoders without-LOG, as far as there are any"
    )
    about = "draws of labels, between commas (default: 0,1,2)"
    parser.add_argument("--draws", type=whole_numbers, default="0,1,2", help=about)
    add_recipe(parser)
    add_methods(parser)
    found = parser.parse_args(arguments)
    found.methods = choose_methods(parser, found.methods, METHODS)
    return found


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()

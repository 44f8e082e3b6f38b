"""Sizes of the network: what each is worth on a few pairs of models, and what a decision costs, all in the same run.

Run: python tests/benchmarks/sizes.py [--recipe fast] [--seeds 0] [--only PAIR] [--page]. Stopped, it goes on where it was:
routers and scores are kept under --work, and are made again only when labels, recipe or seed are others than they were.
Times are measured anew each time.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from bench import prepare
from bench_command import add_recipe, add_seeds, new_parser, run_command
from bench_figures import RESAMPLES
from bench_methods import TIERS, decide, our_method, router_folder
from bench_pairs import PAIRS, read_corpora
from bench_runs import Task, run_methods, stored_runs
from bench_store import run_path, write_figures
from requests_of_length import RequestMaker
from rich.console import Console
from sizes_figures import BASE, UNQUANTISED, Sizes, measure_quality, measure_times, size_figures
from sizes_page import RESULTS
from timing import PROMPTS_KEPT, machine_of, one_by_one, time_in_turn

from learned_router.errors import ArtifactError
from learned_router.router import Router
from learned_router.training.baselines import Floats, tabulate
from learned_router.training.recipe import SIZES, Recipe, load_recipe, with_size

PROMPT_TOKENS = (12, 60, 150)
REPEATS = 200


def all_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe in every size, and in the largest without int8."""
    found = {size: with_size(recipe, size) for size in SIZES}
    export = msgspec.structs.replace(recipe.export, int8=False)
    whole = msgspec.structs.replace(found[BASE], name=f"{recipe.name}, {UNQUANTISED}", export=export)
    return {**found, UNQUANTISED: whole}


def no_vectors(texts: Sequence[str]) -> Floats:
    """In place of embeddings, which baselines read and no size does."""
    return np.zeros((len(texts), 0), dtype=np.float32)


def train_sizes(
    task: Task,
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int],
    work: Path,
    console: Console,
    *,
    again: bool = False,
) -> list[str]:
    """Train what is not there, scores or router, and say what failed. recipes: by name of the size."""
    failed = []
    for name, recipe in recipes.items():
        method = {name: our_method(f"size {name}", recipe)}
        for seed in seeds:
            is_there = find_router(work, task.name, name, seed, recipe) is not None
            failed += run_methods(task, method, [seed], work, console, again=again or not is_there)
    return failed


def find_router(work: Path, pair: str, size: str, seed: int, recipe: Recipe) -> Router | None:
    """The router that was trained with this recipe; None where there is none."""
    try:
        # without a memory of requests, which would be timed in place of the network
        router = Router.load(router_folder(run_path(work, pair, size, seed).with_suffix("")), threads=1, cache=0)
    except ArtifactError:
        return None
    return router if router.config.provenance.recipe_sha256 == recipe.sha256 else None


def score_splits(
    task: Task, recipes: Mapping[str, Recipe], seeds: Sequence[int], work: Path
) -> dict[str, dict[str, list[Floats]]]:
    """Scores by split, size and seed. Those of the calibration split are asked of the stored routers now.

    The default size is chosen on them: a size chosen by its test figures would look better than it is.
    """
    runs = stored_runs(task, {name: our_method(name, recipe) for name, recipe in recipes.items()}, work)
    found: dict[str, dict[str, list[Floats]]] = {"calibration": {}, "test": {}}
    for name, recipe in recipes.items():
        for seed in seeds:
            run, router = runs.get(name, {}).get(seed), find_router(work, task.name, name, seed, recipe)
            if run and run.scored and router:
                found["calibration"].setdefault(name, []).append(decide(router, task.calibration).score)
                found["test"].setdefault(name, []).append(run.scored.score)
    return found


def time_sizes(routers: Mapping[str, Router], repeats: int) -> dict[int, dict[str, list[float]]]:
    """Milliseconds of single decisions by number of tokens and size, the sizes taking turns on the same prompts."""
    maker = RequestMaker(next(iter(routers.values())).path / "tokenizer.json")
    found = {}
    for tokens in PROMPT_TOKENS:
        prompts = [maker.prompt(tokens) for _ in range(PROMPTS_KEPT)]
        times = time_in_turn([one_by_one(router.route, prompts) for router in routers.values()], repeats)
        found[tokens] = dict(zip(routers, times, strict=True))
    return found


def measure_sizes(
    tasks: Sequence[Task],
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int],
    work: Path,
    *,
    recipe: str,
    repeats: int = REPEATS,
    resamples: int = RESAMPLES,
) -> Sizes | None:
    """Figures of what is stored; None unless the size ``base`` has a router and scores on every pair, with every seed.

    Another size that lacks any is left out, so that all are means over the same. The routers of the first pair and seed
    are timed: another pair's differ in their weights alone.
    """
    scores = {task.name: score_splits(task, recipes, seeds, work) for task in tasks}
    whole = [
        name for name in recipes if all(len(found["test"].get(name, [])) == len(seeds) for found in scores.values())
    ]
    if BASE not in whole:
        return None
    scores = {
        pair: {split: {name: by_size[name] for name in whole} for split, by_size in found.items()}
        for pair, found in scores.items()
    }
    rows = {task.name: {"calibration": tabulate(task.calibration, *TIERS), "test": task.test} for task in tasks}
    qualities, means = measure_quality(rows, scores, resamples=resamples)
    timed = tasks[0].name
    routers = {
        name: router
        for name in whole
        if (router := find_router(work, timed, name, seeds[0], recipes[name])) is not None
    }
    load_before = os.getloadavg()[0]
    timings = measure_times(time_sizes(routers, repeats))
    return Sizes(
        measured=datetime.datetime.now(datetime.UTC).date().isoformat(),
        recipe=recipe,
        seeds=list(seeds),
        resamples=resamples,
        repeats=repeats,
        labels={task.name: len(task.train.labels) for task in tasks},
        timed=timed,
        machine=machine_of(load_before),
        sizes=[
            size_figures(
                name,
                qualities[name],
                means[name],
                timings[name],
                {file.name: file.stat().st_size for file in router.path.iterdir()},
            )
            for name, router in routers.items()
        ],
    )


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Train, measure and write what was chosen; what failed."""
    recipe, outcomes = load_recipe(chosen.recipe), read_corpora()
    recipes = {name: all_recipes(recipe)[name] for name in chosen.sizes}
    tasks, failed = [], []
    for pair in PAIRS:
        if not chosen.only or pair.name in chosen.only:
            tasks.append(prepare(pair, outcomes, no_vectors))
            failed += train_sizes(tasks[-1], recipes, chosen.seeds, chosen.work, console, again=chosen.again)
    figures = measure_sizes(tasks, recipes, chosen.seeds, chosen.work, recipe=recipe.name, repeats=chosen.repeats)
    if figures:
        write_figures(figures, chosen.out)
    return failed


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = new_parser(__doc__, [pair.name for pair in PAIRS], work=Path("runs/sizes"), out=RESULTS)
    add_recipe(parser)
    add_seeds(parser, "0")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="timed decisions a length")
    known = (*SIZES, UNQUANTISED)
    parser.add_argument("--sizes", nargs="+", choices=known, default=known, help=f"{BASE} among them (default: all)")
    return parser.parse_args(arguments)


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()

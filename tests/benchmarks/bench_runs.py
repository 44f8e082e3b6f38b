"""Run methods on a task of labels, each once a seed: what is stored already is not run again.

Knows labels, methods and where runs are stored; knows nothing of figures, pages or which models are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench_methods import TIERS, Method, Scored, Trial
from bench_store import Run, key_of, load_run, run_path, save_run
from rich.console import Console
from rich.markup import escape

from learned_router.errors import LearnedRouterError
from learned_router.training import metrics
from learned_router.training.baselines import Embedder, Rows, Vectors, prompt_text, tabulate
from learned_router.training.labels import sha256_of
from learned_router.training.records import Label


class Task(NamedTuple):
    """Labels under a name, ready to run. test: what methods are asked. sha256: of all its labels.

    vectors: frozen embeddings of train and test. others: how the log's other models did, by label's id.
    """

    name: str
    train: Rows
    calibration: list[Label]
    test: Rows
    vectors: tuple[Vectors, Vectors]
    sha256: str
    others: Mapping[str, Sequence[float]] = {}


Describe = Callable[[Scored, Task], str]


def embed_labels(labels: Sequence[Label], embedder: Embedder) -> dict[str, Vectors]:
    """Each label's embedding, (d,), by its prompt's text.

    Given all labels of a log at once, tasks on the same log share the embeddings kept on disk.
    """
    texts = [prompt_text(label) for label in labels]
    return dict(zip(texts, embedder(texts), strict=True))


def make_task(
    name: str,
    labels: Sequence[Label],
    vector_of: Mapping[str, Vectors],
    *,
    asked: Sequence[str] = ("test",),
    others: Mapping[str, Sequence[float]] | None = None,
) -> Task:
    """The labels by split. asked: splits whose requests the methods are asked, one after the other."""
    by_split: dict[str, list[Label]] = {"train": [], "calibration": [], "test": []}
    for label in labels:
        by_split[label.split].append(label)
    sides = (by_split["train"], [label for split in asked for label in by_split[split]])
    train, test = (tabulate(side, *TIERS) for side in sides)
    known, wanted = (np.stack([vector_of[prompt_text(label)] for label in side]) for side in sides)
    return Task(name, train, by_split["calibration"], test, (known, wanted), sha256_of(labels), others or {})


def apgr_text(scored: Scored, task: Task) -> str:
    test = task.test
    return f"APGR {metrics.apgr(metrics.trace_curve(scored.score, test.small, test.top, test.weight)):.3f}"


def run_methods(
    task: Task,
    methods: Mapping[str, Method],
    seeds: Sequence[int],
    work: Path,
    console: Console,
    *,
    again: bool = False,
    describe: Describe = apgr_text,
) -> list[str]:
    """Run what is not stored yet, and say what failed. again: run what is stored too. describe: a run in a few words."""
    failed = []
    for name, method in methods.items():
        for seed in seeds if method.seeded else [0]:
            path = run_path(work, task.name, name, seed)
            key = key_of(method.knobs(), task.sha256, seed)
            title = f"{task.name} · {method.shown} · seed {seed}"
            if not again and (stored := load_run(path, key)):
                line = f"{title}: {_outcome(stored, task, describe)}, there already"
                console.print(escape(line), highlight=False, soft_wrap=True)
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
            line = f"{title}: {_outcome(run, task, describe)}, {run.seconds:,.1f} s"
            console.print(escape(line), highlight=False, soft_wrap=True)
    return failed


def _outcome(run: Run, task: Task, describe: Describe) -> str:
    return "nothing to learn from" if run.scored is None else describe(run.scored, task)


def stored_runs(task: Task, methods: Mapping[str, Method], work: Path) -> dict[str, dict[int, Run]]:
    """Every stored run that is not stale, by method and seed, whichever call made it."""
    found: dict[str, dict[int, Run]] = {}
    for name, method in methods.items():
        knobs = method.knobs()
        for path in sorted(run_path(work, task.name, name, 0).parent.glob(f"{name}-*.npz")):
            seed = path.stem.rpartition("-")[2]
            if seed.isdigit() and (run := load_run(path, key_of(knobs, task.sha256, int(seed)))):
                found.setdefault(name, {})[int(seed)] = run
    return found

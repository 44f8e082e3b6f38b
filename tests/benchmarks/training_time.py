"""What training on 10,000 labels takes: time and peak memory of ``learned-router train``, each recipe in turn.

Run: python tests/benchmarks/training_time.py [--recipe standard] [--threads 2] [--page]. The labels are of two pairs of
models, those of the two largest logs; recipes that are not named keep the figures they have.
"""

from __future__ import annotations

import argparse
import datetime
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_command import run_command
from bench_page import PAGE
from bench_pairs import PAIRS, draw_labels, labels_of, read_corpora
from bench_store import read_figures, write_figures
from rich.console import Console
from rich.markup import escape
from training_page import GOALS, RESULTS, RecipeTime, TrainingTime
from training_peak import measure as watch_training

from learned_router.training.records import Label, write_jsonl

LABELS = 10_000
LOGS = ("mmlu_pro", "routellm_mmlu")


def assemble(outcomes: Sequence[Label], train_labels: int = LABELS) -> list[Label]:
    """So many labels to train, of the two logs together, and the same share to calibrate; none to test."""
    pairs = [next(pair for pair in PAIRS if pair.log == log) for log in LOGS]
    labels = [label for pair in pairs for label in labels_of(pair, outcomes)]
    return [label for label in draw_labels(labels, train_labels) if label.split != "test"]


def merge(before: TrainingTime | None, found: RecipeTime) -> TrainingTime:
    """The figures with this recipe's; others' stay. In the order of ``GOALS``."""
    by_name = {one.recipe: one for one in [*(before.recipes if before else []), found]}
    return TrainingTime(list(LOGS), [by_name[name] for name in GOALS if name in by_name])


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Train with every recipe chosen, and write what it took; what failed."""
    failed: list[str] = []
    labels = assemble(read_corpora())
    counts = {split: sum(label.split == split for label in labels) for split in ("train", "calibration")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.jsonl.gz"
        write_jsonl(path, labels)
        for recipe in chosen.recipe or GOALS:
            try:
                taken = watch_training([path], recipe, baselines=False, threads=chosen.threads)
            except RuntimeError as error:
                failed.append(f"recipe {recipe}: {error}")
                continue
            found = RecipeTime(
                recipe=recipe,
                measured=datetime.datetime.now(datetime.UTC).date().isoformat(),
                labels=counts,
                threads=chosen.threads,
                seconds=round(taken["seconds"], 1),
                cpu_seconds=round(taken["cpu_seconds"], 1),
                peak_bytes=taken["peak_bytes"],
                machine=taken["machine"],
            )
            write_figures(merge(read_figures(chosen.out, TrainingTime), found), chosen.out)
            line = f"recipe {recipe}: {found.seconds / 60:.1f} min, {found.peak_bytes / 1e9:.2f} GB"
            console.print(escape(line), highlight=False)
    return failed


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about = "this recipe; may be given again (default: all)"
    parser.add_argument("--recipe", action="append", choices=GOALS, help=about)
    about = "threads of training (default: one a core)"
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help=about)
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--out", type=Path, default=RESULTS, help="the figures, as JSON")
    written.add_argument("--page", action="store_true", help=f"also fill {PAGE.name} and draw its pictures")
    return parser.parse_args(arguments)


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()

"""The section "Time of training" of docs/benchmark.md: what 10,000 labels take by recipe, beside what was aimed at.

Knows the results of training_time.py; measures nothing, and writes no page: bench_page.py does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from bench_store import read_figures

from learned_router.training.report import markdown_table

RESULTS = Path(__file__).resolve().parent / "results" / "training_time.json"
NOT_MEASURED = "Not measured yet: run `make training-time`."


class Goal(NamedTuple):
    """What training on 10,000 labels may take at most; gigabytes: None where memory was not spoken of."""

    minutes: float
    gigabytes: float | None = None


GOALS = {"fast": Goal(10, 3), "standard": Goal(60)}


class RecipeTime(msgspec.Struct, frozen=True):
    """One training. labels: by split. cpu_seconds: of all threads. peak_bytes: resident. machine: as in speed.json."""

    recipe: str
    measured: str
    labels: dict[str, int]
    threads: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    machine: dict[str, Any]


class TrainingTime(msgspec.Struct, frozen=True):
    """All that was measured. logs: where the labels come from."""

    logs: list[str]
    recipes: list[RecipeTime]


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's text by name of its region."""
    found = read_figures(results, TrainingTime)
    return {"training": section(found) if found else NOT_MEASURED}


def draw_pictures(folder: Path, results: Path = RESULTS) -> None:
    """There is none."""


def section(found: TrainingTime) -> str:
    absent = [name for name in GOALS if name not in {one.recipe for one in found.recipes}]
    lines = [describe(one) for one in found.recipes]
    lines += [f"Not measured: {', '.join(absent)}."] if absent else []
    return "\n\n".join([time_table(found), f"Labels of {' and '.join(found.logs)}.", "\n".join(lines)])


def time_table(found: TrainingTime) -> str:
    """One row a recipe, each figure with whether it keeps to its goal."""
    header = ["recipe", "labels", "minutes", "at most", "of a processor", "peak memory", "at most"]
    rows = []
    for one in found.recipes:
        goal, minutes, gigabytes = GOALS[one.recipe], one.seconds / 60, one.peak_bytes / 1e9
        rows.append(
            [
                one.recipe,
                f"{one.labels['train']:,}",
                f"{minutes:.1f}",
                f"{goal.minutes:g} {_met(minutes, goal.minutes)}",
                f"{one.cpu_seconds / 60:.1f}",
                f"{gigabytes:.2f} GB",
                f"{goal.gigabytes:g} GB {_met(gigabytes, goal.gigabytes)}" if goal.gigabytes else "–",
            ]
        )
    return markdown_table(header, rows)


def _met(found: float, most: float) -> str:
    return "met" if found <= most else "**missed**"


def describe(one: RecipeTime) -> str:
    """How one recipe was measured, and on what."""
    machine = one.machine
    return (
        f"- {one.recipe}: {one.labels['calibration']:,} labels more to calibrate, {one.threads} "
        f"thread{'s' if one.threads > 1 else ''}, on {machine['cpu']}, {machine['cores']} cores, load "
        f"{machine['load_before']:.1f} before and {machine['load_after']:.1f} after, {one.measured}."
    )

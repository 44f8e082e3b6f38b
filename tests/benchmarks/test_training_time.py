"""Time of training: labels enough are assembled, each recipe keeps its figures, and the page says what was met."""

from __future__ import annotations

from pathlib import Path

import bench_page
import msgspec
import pytest
import training_page
import training_time
from bench_figures import Benchmark, MethodMean
from bench_pairs import PAIRS
from bench_store import read_figures, write_figures
from training_page import RecipeTime, TrainingTime

from learned_router.request import Message
from learned_router.training.evaluation import Estimate
from learned_router.training.records import Label

MACHINE = {"cpu": "a cpu", "cores": 2, "load_before": 0.5, "load_after": 1.5}
FAST = RecipeTime(
    "fast", "2026-01-01", {"train": 10_000, "calibration": 3_300}, 1, 600.0, 900.0, 3_000_000_000, MACHINE
)
STANDARD = msgspec.structs.replace(FAST, recipe="standard", seconds=3_606.0, threads=2)


def outcomes(log: str, count: int) -> list[Label]:
    pair = next(pair for pair in PAIRS if pair.log == log)
    quality = {f"{pair.small} @ {log}": 0.0, f"{pair.frontier} @ {log}": 1.0}
    splits = ("train", "train", "train", "calibration", "test")
    return [
        Label(f"{log}-{index}", [Message("user", "x")], quality, {}, "gold", split=splits[index % 5])
        for index in range(count)
    ]


def test_labels_of_both_logs_are_drawn_to_the_number_asked_for_and_none_is_for_testing() -> None:
    found = training_time.assemble([label for log in training_time.LOGS for label in outcomes(log, 50)], 40)
    sides = [label.split for label in found]
    assert (sides.count("train"), sides.count("calibration"), sides.count("test")) == (40, 13, 0)
    assert {label.id.rpartition("-")[0] for label in found} == set(training_time.LOGS)
    assert all(set(label.quality) == {"small", "frontier"} for label in found)


def test_a_recipe_measured_again_takes_the_place_of_its_old_figures_alone() -> None:
    both = training_time.merge(training_time.merge(None, STANDARD), FAST)
    assert both.recipes == [FAST, STANDARD]
    faster = msgspec.structs.replace(FAST, seconds=1.0)
    assert training_time.merge(both, faster).recipes == [faster, STANDARD]


def test_the_page_says_which_times_and_memory_keep_to_what_was_aimed_at(tmp_path: Path) -> None:
    path = tmp_path / "training_time.json"
    assert "Not measured yet" in training_page.regions(path)["training"]
    write_figures(TrainingTime(["a", "b"], [FAST, STANDARD]), path)
    text = training_page.regions(path)["training"]
    assert "| fast | 10,000 | 10.0 | 10 met | 15.0 | 3.00 GB | 3 GB met |" in text
    assert "| standard | 10,000 | 60.1 | 60 **missed** | 15.0 | 3.00 GB | – |" in text
    assert "3,300 labels more to calibrate, 2 threads, on a cpu" in text
    assert "Not measured: standard." in training_page.section(TrainingTime(["a"], [FAST]))
    assert read_figures(path, TrainingTime) == TrainingTime(["a", "b"], [FAST, STANDARD])


@pytest.mark.parametrize(("behind", "outcome"), [(-0.01, "pairs: met"), (-0.0101, "**missed**"), (0.02, "pairs: met")])
def test_the_page_says_whether_the_main_recipe_is_near_the_slower_one(behind: float, outcome: str) -> None:
    means = [
        MethodMean("ours_fast", "ours, recipe fast", "ours", 8, Estimate(0.6), None),
        MethodMean("ours_standard", "ours, recipe standard", "ours", 8, Estimate(0.61), Estimate(behind, -0.02, 0.03)),
    ]
    text = bench_page.recipe_verdict(Benchmark("2026-01-01", "ours_fast", [], means))
    assert outcome in text
    assert "recipe fast at most 0.01 below that of recipe standard" in text
    assert "Not judged" in bench_page.recipe_verdict(Benchmark("2026-01-01", "ours_fast", [], means[:1]))

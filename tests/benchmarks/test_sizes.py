"""The sizes: trained once, scored on either split, compared in pairs, timed in turn; and the page shows what each costs."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import bench_page
import msgspec
import numpy as np
import pytest
import sizes
import sizes_page
from bench_figures import PairedApgr
from bench_runs import Task, embed_labels, make_task
from bench_store import read_figures, write_figures
from rich.console import Console
from sizes_figures import (
    BASE,
    SPLITS,
    UNQUANTISED,
    Quality,
    Sizes,
    mean_apgr,
    measure_quality,
    measure_times,
    size_figures,
)

from learned_router.training.baselines import Floats, Rows
from learned_router.training.evaluation import Estimate
from learned_router.training.labels import load_labels
from learned_router.training.recipe import SIZES, Recipe


def rows(count: int = 80, seed: int = 0) -> Rows:
    generator = np.random.default_rng(seed)
    small, top = (generator.random(count) < share for share in (0.4, 0.9))
    group = np.array([f"g{index // 2}" for index in range(count)])
    return Rows([None] * count, small.astype(float), top.astype(float), np.ones(count), group)  # type: ignore[list-item]


def noisy(test: Rows, noise: float) -> Floats:
    return test.gain + noise * np.random.default_rng(1).standard_normal(len(test.gain))


def test_quality_is_paired_with_the_base_on_every_pair_and_split() -> None:
    by_split = {split: rows(80, seed) for seed, split in enumerate(SPLITS)}
    scores = {
        split: {"nano": [noisy(found, 3.0)], "small": [noisy(found, 0.5)], BASE: [noisy(found, 0.5)]}
        for split, found in by_split.items()
    }
    pairs, means = measure_quality({"p": by_split, "q": by_split}, {"p": scores, "q": scores}, resamples=40)
    for split in SPLITS:
        assert pairs["small"]["p"][split].minus_base == Estimate(0.0, 0.0, 0.0)
        nano = pairs["nano"]["p"][split]
        assert nano.minus_base.high is not None
        assert nano.minus_base.high < 0
        # two pairs that are one and the same have its figures as their mean
        assert means["nano"][split] == nano
    assert pairs["nano"]["p"]["test"] != pairs["nano"]["p"]["calibration"]


def test_the_mean_over_pairs_is_of_their_values_and_of_their_resamples() -> None:
    one, other = (
        PairedApgr({"a": 0.5}, {"a": np.array([0.4, 0.6])}),
        PairedApgr({"a": 0.7}, {"a": np.array([0.6, 0.7])}),
    )
    mean = mean_apgr([one, other])
    assert mean.values == {"a": pytest.approx(0.6)}
    np.testing.assert_allclose(mean.draws["a"], [0.5, 0.65])


def test_times_are_percentiles_and_ratios_to_the_base() -> None:
    found = measure_times({12: {"nano": [1.0, 1.0, 4.0], BASE: [2.0, 2.0, 2.0]}, 60: {"nano": [3.0], BASE: [4.0]}})
    assert [timing.tokens for timing in found["nano"]] == [12, 60]
    assert (found["nano"][0].p50_ms, found["nano"][0].of_base) == (1.0, 0.5)
    assert found["nano"][0].p99_ms > 3.5
    assert [timing.of_base for timing in found[BASE]] == [1.0, 1.0]


@pytest.fixture
def task(label_file: Path) -> Task:
    labels = load_labels([label_file]).labels
    return make_task("a pair", labels, embed_labels(labels, sizes.no_vectors))


@pytest.fixture
def recipes(tiny_recipe: Recipe) -> dict[str, Recipe]:
    """The sizes of the tiny recipe, heads alone. Its encoder has one layer, so that sizes differ in their views."""
    heads_alone = msgspec.structs.replace(tiny_recipe, fit=msgspec.structs.replace(tiny_recipe.fit, epochs=0))
    return sizes.all_recipes(heads_alone)


def test_sizes_are_trained_once_scored_on_both_splits_and_timed(
    task: Task, recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    def trained(**more: bool) -> str:
        out = io.StringIO()
        console = Console(file=out, width=200)
        assert sizes.train_sizes(task, recipes, [0], tmp_path, console, **more) == []
        return out.getvalue()

    def measured() -> Sizes | None:
        return sizes.measure_sizes([task], recipes, [0], tmp_path, recipe="tiny", repeats=3, resamples=20)

    assert measured() is None  # nothing is trained yet
    assert "there already" not in trained()
    assert trained().count("there already") == len(recipes)
    found = measured()
    assert found is not None
    assert [size.name for size in found.sizes] == list(recipes) == [*SIZES, UNQUANTISED]
    assert found.sizes[-1].model_bytes > 3 * found.sizes[-2].model_bytes
    assert found.sizes[-1].mean["test"].minus_unquantised == Estimate(0.0, 0.0, 0.0)
    assert found.labels == {"a pair": len(task.train.labels)}
    for size in found.sizes:
        assert set(size.pairs["a pair"]) == set(size.mean) == set(SPLITS)
        assert [timing.tokens for timing in size.decisions] == list(sizes.PROMPT_TOKENS)
        assert 0 < size.model_bytes < size.artifact_bytes
    # a router that was removed is trained again, though its scores are there
    router = sizes.find_router(tmp_path, "a pair", "nano", 0, recipes["nano"])
    assert router is not None
    assert router.config.view.max_tokens == SIZES["nano"].view.max_tokens
    prompt = "list the open tickets"
    assert router.route(prompt) is not router.route(prompt)  # no memory of requests, which would be timed instead
    assert sizes.find_router(tmp_path, "a pair", "nano", 0, recipes["small"]) is None
    shutil.rmtree(router.path)
    without = measured()
    assert without is not None
    assert [size.name for size in without.sizes] == ["small", BASE, UNQUANTISED]
    assert "Not measured: nano." in sizes_page.section(without)
    assert trained().count("there already") == len(recipes) - 1
    # what all others are compared with
    base = sizes.find_router(tmp_path, "a pair", BASE, 0, recipes[BASE])
    assert base is not None
    shutil.rmtree(base.path)
    assert measured() is None


def results() -> Sizes:
    def quality(value: float) -> Quality:
        whole = Estimate(round(value - 0.66, 3), -0.11, 0.01)
        return Quality(Estimate(value, value - 0.05, value + 0.05), Estimate(value - 0.65, -0.1, 0.02), whole)

    apgr = {"nano": 0.58, "small": 0.62, BASE: 0.65, UNQUANTISED: 0.66}
    speed = {"nano": [1.0], "small": [2.5], BASE: [5.0], UNQUANTISED: [9.0]}
    timings = measure_times(dict.fromkeys(sizes.PROMPT_TOKENS, speed))
    found = []
    for name, value in apgr.items():
        of_splits = dict.fromkeys(SPLITS, quality(value))
        files = {"model.onnx": 20_000_000, "tokenizer.json": 700_000}
        found.append(size_figures(name, {"zeroeval": of_splits}, of_splits, timings[name], files))
    machine = {"cpu": "a cpu", "cores": 2, "load_before": 0.5, "load_after": 1.5}
    return Sizes("2026-01-01", "fast", [0], 100, 200, {"zeroeval": 1171}, "zeroeval", machine, found)


def test_the_section_shows_what_a_size_is_worth_and_costs() -> None:
    text = sizes_page.section(results())
    assert "| nano | 1 | 128 | 0.580 [0.530, 0.630] | -0.070 [-0.100, +0.020] |" in text
    assert "| base | 6 | 128 | 0.650 [0.600, 0.700] |  |" in text
    assert "| nano | 1.0 / 1.0 ms, 0.20 × |" in text
    assert "20.0 MB | 20.7 MB |" in text
    assert "zeroeval (1,171 labels)" in text
    assert "Not measured" not in text


def test_what_is_given_up_against_the_whole_encoder_is_shown_a_pair_and_in_the_mean() -> None:
    text = sizes_page.given_up_table(results())
    assert "| zeroeval | 0.660 [0.610, 0.710] | -0.080 [-0.110, +0.010] |" in text
    assert "| mean | 0.660 [0.610, 0.710] |" in text
    few = msgspec.structs.replace(results(), sizes=results().sizes[:-1])
    assert "Not measured yet" in sizes_page.given_up_table(few)


def test_the_section_is_filled_with_its_picture_or_says_that_it_was_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "sizes.json"
    assert "Not measured yet" in sizes_page.regions(path)["sizes"]
    sizes_page.draw_pictures(tmp_path, path)
    assert not (tmp_path / sizes_page.PICTURE).exists()
    write_figures(results(), path)
    assert read_figures(path, Sizes) == results()
    assert sizes_page.PICTURE in sizes_page.regions(path)["sizes"]
    sizes_page.draw_pictures(tmp_path, path)
    assert 1_000 < (tmp_path / sizes_page.PICTURE).stat().st_size < 400_000
    assert "figures:sizes" in bench_page.PAGE.read_text(encoding="utf-8")

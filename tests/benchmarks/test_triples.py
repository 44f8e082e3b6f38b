"""The benchmark of triples: what a sweep over three tiers means, which two tiers are best, and what the page says."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import bench_page
import msgspec
import numpy as np
import pytest
import triples
import triples_page
from bench_methods import MAIN, Method, Scored, Trial, method_name, of_quality, train_router
from bench_runs import Task, make_task, run_methods, stored_runs
from bench_store import Run, read_figures, write_figures
from page_regions import fill_regions
from rich.console import Console
from triples_figures import SweepFigures, TripleBenchmark, TripleFigures, measure_triple
from triples_methods import all_methods, as_gain, quality_of
from triples_models import TIERS, TRIPLES, Triple, labels_of, price_of_model, prices_of
from triples_picture import find_method
from triples_sweep import cost_shares, least_cost, measure_sweep, trace_sweep

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training import metrics
from learned_router.training.baselines import Floats, prompt_text
from learned_router.training.evaluation import Estimate
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label

COST = np.array([0.0, 0.2, 1.0])
PRICES = np.array([1.0, 2.8, 10.0])  # the same shares, and always-small costs a tenth of always-frontier
OURS = method_name(MAIN)


def draw(count: int = 400, seed: int = 0) -> tuple[Floats, Floats]:
    """Chances of being right and outcomes, (n, 3): hard requests need the frontier, middling ones the middle tier."""
    generator = np.random.default_rng(seed)
    chance = np.array([[0.9, 0.92, 0.95], [0.1, 0.85, 0.9], [0.05, 0.1, 0.9]])[generator.integers(3, size=count)]
    chance = np.clip(chance + generator.normal(0, 0.02, chance.shape), 0, 1)
    return chance, (generator.random(chance.shape) < chance).astype(float)


def label(index: int, quality: dict[str, float], split: str, category: str | None = None) -> Label:
    models = {tier: f"model {tier}" for tier in quality}
    text = f"{category}: request {index}"
    return Label(
        str(index), [Message("user", text)], quality, models, "gold", split=split, group=f"g{index}", category=category
    )


def labels(count: int = 300) -> list[Label]:
    """Three kinds of request by who answers them right: anybody, the upper two, the frontier; the category tells which."""
    kinds = {"easy": (1.0, 1.0, 1.0), "middling": (0.0, 1.0, 1.0), "hard": (0.0, 0.0, 1.0)}
    found = []
    for index in range(count):
        name = list(kinds)[index % 3]
        split = ("train", "train", "train", "calibration", "test")[index // 3 % 5]
        found.append(label(index, dict(zip(TIERS, kinds[name], strict=True)), split, name))
    return found


def task(found: list[Label] | None = None) -> Task:
    """Embeddings that show the category, and nothing else."""
    found = found or labels()
    vector_of = {
        prompt_text(one): np.eye(3, dtype=np.float32)[["easy", "middling", "hard"].index(one.category or "")]
        for one in found
    }
    return make_task("a triple", found, vector_of, asked=("calibration", "test"))


def trial(given: Task, folder: Path) -> Trial:
    return Trial(given.train, given.calibration, given.test, *given.vectors, 0, folder, Console(file=io.StringIO()))


def test_costs_run_from_small_to_frontier_and_must_rise() -> None:
    np.testing.assert_allclose(cost_shares(PRICES), COST)
    with pytest.raises(ValueError, match="must cost more"):
        cost_shares(np.array([1.0, 1.0, 2.0]))


@pytest.mark.parametrize("weighted", [False, True])
def test_with_two_tiers_a_sweep_is_the_curve_of_the_difference(weighted: bool) -> None:
    chance, outcome = draw()
    predicted, quality = chance[:, [0, 2]].round(2), outcome[:, [0, 2]]  # rounded: some requests are level
    weight = np.random.default_rng(1).random((5, len(quality))) if weighted else None
    swept = trace_sweep(predicted, quality, np.array([0.0, 1.0]), weight)
    plain = metrics.trace_curve(predicted[:, 1] - predicted[:, 0], quality[:, 0], quality[:, 1], weight)
    np.testing.assert_allclose(metrics.aiq(swept), metrics.aiq(plain))
    np.testing.assert_allclose(metrics.apgr(swept), metrics.apgr(plain))


def test_each_point_of_a_sweep_takes_the_tier_of_best_quality_for_its_cost() -> None:
    chance, outcome = draw(60)
    curve = trace_sweep(chance, outcome, COST)
    for trade in (-0.5, 0.0, 0.03, 0.3, 2.0, 10.0):
        taken = np.argmax(chance - trade * COST, axis=1)
        cost, quality = COST[taken].mean(), outcome[np.arange(60), taken].mean()
        assert np.interp(cost, curve.share, curve.quality) == pytest.approx(quality)


def test_a_sweep_begins_with_the_cheapest_tier_and_ends_with_the_dearest() -> None:
    chance, outcome = draw()
    curve = trace_sweep(1 - chance, outcome, COST)  # however wrong the predictions are
    np.testing.assert_allclose(curve.quality[[0, -1]], outcome.mean(axis=0)[[0, 2]])
    np.testing.assert_allclose(curve.share[[0, -1]], [0, 1])


def test_the_same_prediction_for_every_request_mixes_single_tiers_at_random() -> None:
    _, outcome = draw()
    means = outcome.mean(axis=0)
    curve = trace_sweep(np.tile(means, (len(outcome), 1)), outcome, COST)
    np.testing.assert_allclose(curve.share, COST)
    np.testing.assert_allclose(curve.quality, means)


def test_a_tier_below_the_line_between_its_neighbours_is_never_taken() -> None:
    predicted = np.tile([0.5, 0.55, 0.9], (10, 1))
    curve = trace_sweep(predicted, predicted, COST)
    np.testing.assert_allclose(curve.share, [0, 1])


def test_with_a_tier_taken_away_no_call_goes_to_it() -> None:
    chance, outcome = draw()
    means = outcome.mean(axis=0)
    low = trace_sweep(chance, outcome, COST, tiers=(0, 1))
    assert (low.share[-1], low.quality[-1]) == pytest.approx((0.2, means[1]))
    high = trace_sweep(chance, outcome, COST, tiers=(1, 2))
    np.testing.assert_allclose((high.share[:2], high.quality[:2]), ([0, 0.2], means[:2]))
    ends = trace_sweep(chance, outcome, COST, tiers=(0, 2))
    two = metrics.trace_curve(chance[:, 2] - chance[:, 0], outcome[:, 0], outcome[:, 2])
    assert metrics.aiq(ends) == pytest.approx(metrics.aiq(two))


def test_a_prediction_that_is_not_finite_is_refused() -> None:
    chance, outcome = draw(5)
    chance[2, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        trace_sweep(chance, outcome, COST)


def test_the_least_cost_lies_on_the_hull_and_is_0_below_and_nan_above_the_curve() -> None:
    # a dent at half the cost, which the hull bridges
    curve = metrics.Curve(np.array([0, 0.5, 1.0]), np.array([0, 0.1, 0.4]), np.array(0.5))
    found = [float(least_cost(curve, wanted)) for wanted in (0.4, 0.5, 0.6, 0.9, 0.91)]
    np.testing.assert_allclose(found, [0, 0, 0.25, 1, np.nan])


def test_the_least_cost_of_many_curves_is_that_of_each() -> None:
    chance, outcome = draw()
    weight = np.random.default_rng(2).random((7, len(outcome)))
    together = trace_sweep(chance, outcome, COST, weight)
    wanted = 0.97 * (weight @ outcome[:, 2]) / weight.sum(axis=1)
    each = [float(least_cost(trace_sweep(chance, outcome, COST, w), q)) for w, q in zip(weight, wanted, strict=True)]
    np.testing.assert_allclose(least_cost(together, wanted), each)


def test_savings_are_shares_of_the_frontiers_bill() -> None:
    level = np.ones((10, 3))  # always small keeps everything, and costs a tenth
    assert measure_sweep(level, level, PRICES, targets=(0.95,)) == pytest.approx([1.0, 0.9])
    steep = np.tile([0.0, 0.0, 1.0], (10, 1))  # only the frontier is worth anything
    assert measure_sweep(steep, steep, PRICES, targets=(0.95, 1.0))[1:] == pytest.approx([0.05 * 0.9, 0.0])
    assert measure_sweep(steep, steep, PRICES, targets=(0.95,), tiers=(0, 1)) == pytest.approx([0.0, 0.0])


def test_three_tiers_are_worth_more_than_any_two_where_each_has_its_requests() -> None:
    chance, outcome = draw(3000)
    aiq = {
        tiers: measure_sweep(chance, outcome, PRICES, targets=(), tiers=tiers)[0]
        for tiers in ((0, 1, 2), (0, 1), (0, 2), (1, 2))
    }
    assert max(aiq, key=aiq.__getitem__) == (0, 1, 2)


@pytest.mark.parametrize("triple", TRIPLES, ids=lambda triple: triple.name)
def test_every_model_of_a_triple_has_a_price_and_prices_rise(triple: Triple) -> None:
    mid = cost_shares(prices_of(triple))[1]
    assert 0 < mid < 0.2


def test_a_price_is_that_of_the_snapshot_whatever_bfcl_adds_to_the_name_and_unknown_models_have_none() -> None:
    assert price_of_model("gpt-4o-mini-2024-07-18-FC") == price_of_model("gpt-4o-mini-2024-07-18")
    with pytest.raises(InputError, match="OPEN_PRICES"):
        price_of_model("model-of-nobody")


def test_only_requests_that_all_three_models_answered_are_labelled() -> None:
    triple = Triple("t", "log", "s", "m", "f")
    whole, part = {"f @ log": 1.0, "s @ log": 0.0, "m @ log": 0.5, "x @ log": 0.0}, {"s @ log": 1.0, "f @ log": 1.0}
    found = labels_of(triple, [label(0, whole, "train"), label(1, part, "train")])
    assert [one.quality for one in found] == [{"small": 0.0, "mid": 0.5, "frontier": 1.0}]
    assert found[0].models == {"small": "s", "mid": "m", "frontier": "f"}


def test_the_gain_of_a_tier_beside_one_that_is_always_wrong_is_its_quality() -> None:
    rows = task().train
    np.testing.assert_array_equal(as_gain(rows, "mid").gain, quality_of(rows)[:, 1])


@pytest.mark.parametrize("name", ["category", "knn", "logistic"])
def test_baselines_find_who_answers_what(name: str, tmp_path: Path) -> None:
    found = all_methods()[name].run(trial(task(), tmp_path))
    assert found is not None
    assert found.quality is not None
    truth = quality_of(task().test)
    np.testing.assert_allclose(found.score, found.quality[:, 2] - found.quality[:, 0])
    assert metrics.aiq(trace_sweep(found.quality, truth, COST)) == pytest.approx(
        metrics.aiq(trace_sweep(truth, truth, COST)), abs=1e-6
    )


def test_random_knows_the_means_in_training_and_nothing_else(tmp_path: Path) -> None:
    given = task()
    found = all_methods()["random"].run(trial(given, tmp_path))
    assert found is not None
    np.testing.assert_allclose(found.quality, np.tile(quality_of(given.train).mean(axis=0), (len(found.score), 1)))


def test_without_categories_there_is_no_mean_of_one(tmp_path: Path) -> None:
    given = trial(task(), tmp_path)
    for rows in (given.train, given.test):
        for one in rows.labels:
            one.category = None
    assert all_methods()["category"].run(given) is None


def test_a_task_asks_the_calibration_split_before_the_test_split() -> None:
    given = task()
    assert [one.split for one in given.test.labels] == ["calibration"] * 60 + ["test"] * 60
    assert len(given.vectors[1]) == 120


def guess(truth: Floats, noise: float, seed: int = 0) -> Scored:
    modes = {"all mid": np.ones(len(truth), dtype=np.intp)}
    return of_quality(truth + noise * np.random.default_rng(seed).standard_normal(truth.shape), modes)


def measured() -> TripleFigures:
    """Ours sees through noise, a weak and a strong baseline; the names are those of a real triple."""
    given = task(labels(900))
    truth = quality_of(given.test)
    kinds = {"weak": "baseline", "strong": "baseline", OURS: "ours", "oracle": "bound"}
    noise = {"weak": 2.0, "strong": 0.6, OURS: 0.2, "oracle": 0.0}
    methods = {name: Method(name, kind, lambda trial: None, str) for name, kind in kinds.items()}
    runs = {name: {seed: Run(guess(truth, noise[name], seed), 1.0) for seed in (0, 1)} for name in kinds}
    return measure_triple(TRIPLES[0], given.train, given.test, methods, runs, resamples=60)


@pytest.fixture(scope="module")
def figures() -> TripleFigures:
    return measured()


def found(figures: TripleFigures, name: str) -> SweepFigures:
    method = find_method(figures, name)
    assert method is not None
    return method


def test_ours_is_measured_against_two_tiers_and_the_best_baseline(figures: TripleFigures) -> None:
    assert figures.baseline == "strong"
    assert figures.rows == {"train": 540, "calibration": 180, "test": 180}
    two = {one.name: one.aiq_before for one in figures.methods if one.kind == "two tiers"}
    assert len(two) == 3
    assert figures.two_tiers == max(two, key=two.__getitem__)
    ours = found(figures, OURS)
    assert [one.rival for one in ours.versus] == [figures.two_tiers, "strong"]
    assert ours.versus[1].aiq.low is not None
    assert ours.versus[1].aiq.low > 0
    assert found(figures, "strong").versus == []
    assert ours.aiq.value == pytest.approx(np.mean(ours.by_seed), abs=1e-4)


def test_the_best_two_tiers_are_chosen_without_a_look_at_the_test_split() -> None:
    turned = [
        msgspec.structs.replace(one, quality=one.quality | {"mid": 0.0}) if one.split == "test" else one
        for one in labels()
    ]
    given = task(turned)
    methods = {OURS: Method("ours", "ours", lambda trial: None, str)}
    runs = {OURS: {0: Run(of_quality(quality_of(task().test)), 1.0)}}
    figures = measure_triple(TRIPLES[0], given.train, given.test, methods, runs, resamples=5)
    two = {one.name: one.aiq.value or 0.0 for one in figures.methods if one.kind == "two tiers"}
    assert figures.two_tiers == f"{OURS} mid and frontier"
    assert max(two, key=two.__getitem__) == f"{OURS} small and frontier"  # where the middle tier is always wrong


def test_modes_are_measured_by_what_the_calls_cost(figures: TripleFigures) -> None:
    mode = found(figures, OURS).modes[0]
    mid, frontier = figures.tiers[1:]
    assert mode.shares == [0.0, 1.0, 0.0]
    assert mode.kept.value == pytest.approx(mid.quality / frontier.quality, abs=1e-3)
    assert mode.saved.value == pytest.approx(1 - mid.price / frontier.price, abs=1e-3)
    assert found(figures, f"{OURS} small and mid").modes == []


def test_equal_predictions_differ_by_nothing_on_every_resample() -> None:
    given = task()
    run = {0: Run(guess(quality_of(given.test), 0.5), 1.0)}
    methods = {"rival": Method("rival", "baseline", lambda trial: None, str)}
    methods[OURS] = Method("ours", "ours", lambda trial: None, str)
    ours = found(
        measure_triple(TRIPLES[0], given.train, given.test, methods, {"rival": run, OURS: run}, resamples=30), OURS
    )
    nothing = Estimate(0.0, 0.0, 0.0)
    assert (ours.versus[1].aiq, ours.versus[1].saved95, ours.versus[1].saved98) == (nothing,) * 3


def test_predictions_are_stored_and_come_back(tmp_path: Path) -> None:
    given, methods = task(), {"knn": all_methods()["knn"]}
    shown = Console(file=io.StringIO(), width=200)
    for _ in range(2):
        describe = partial(triples.aiq_text, TRIPLES[0])
        assert run_methods(given, methods, [0], tmp_path, shown, describe=describe) == []
    assert shown.file.getvalue().count("on the calibration split, there already") == 1  # type: ignore[attr-defined]
    stored = stored_runs(given, methods, tmp_path)["knn"][0].scored
    assert stored is not None
    assert stored.quality is not None
    assert stored.quality.shape == (120, 3)


def test_figures_of_other_triples_stay_when_one_is_measured(figures: TripleFigures, tmp_path: Path) -> None:
    other = msgspec.structs.replace(figures, name=TRIPLES[2].name)
    write_figures(triples.merge(TripleBenchmark("", OURS, [other]), figures, OURS), tmp_path / "triples.json")
    benchmark = read_figures(tmp_path / "triples.json", TripleBenchmark)
    assert benchmark is not None
    assert [triple.name for triple in benchmark.triples] == [TRIPLES[0].name, TRIPLES[2].name]


def test_the_page_says_where_a_third_tier_helps_and_shows_every_figure(figures: TripleFigures) -> None:
    filled = triples_page.section(TripleBenchmark("2026-01-01", OURS, [figures]))
    assert "bfcl: by AIQ, ours with three tiers is ahead of" in filled["triples"]
    assert "Not measured yet: mmlu_pro; zeroeval" in filled["triples"]
    assert "cost saved at 98 % of the quality" in filled["triples"]
    assert "claude-3-5-sonnet-20240620 | 3 | 15 | 6 | 100.0 % | 1.000" in filled["triples-costs"]
    assert "| bfcl | all mid |" in filled["triples-modes"]
    assert filled["triples-each"].count("best two tiers") == 1
    assert set(filled) == set(triples_page.REGIONS)
    text = bench_page.PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- figures:{name} -->" in text for name in filled)
    with pytest.raises(InputError, match="no such region"):
        fill_regions(text, filled)  # the page holds the pairs too


def test_the_section_is_filled_with_its_picture_or_says_that_it_was_not_measured(
    figures: TripleFigures, tmp_path: Path
) -> None:
    path = tmp_path / "triples.json"
    assert set(triples_page.regions(path).values()) == {triples_page.NOT_MEASURED}
    triples_page.draw_pictures(tmp_path, path)
    assert not (tmp_path / triples_page.PICTURE).exists()
    write_figures(TripleBenchmark("", OURS, [figures]), path)
    assert f"({triples_page.PICTURE})" in triples_page.regions(path)["triples"]
    triples_page.draw_pictures(tmp_path, path)
    assert 1_000 < (tmp_path / triples_page.PICTURE).stat().st_size < 400_000


def test_a_triple_without_a_run_of_ours_says_so(figures: TripleFigures) -> None:
    assert "ours is not run" in triples_page.section(TripleBenchmark("", "ours_other", [figures]))["triples"]


def test_our_router_is_trained_on_three_tiers_and_predicts_each(tmp_path: Path, tiny_recipe: Recipe) -> None:
    scored = train_router(tiny_recipe, trial(task(), tmp_path))
    assert scored.quality is not None
    assert scored.quality.shape == (120, 3)
    assert set(scored.taken) == set(tiny_recipe.modes)
    assert set(np.unique(np.concatenate(list(scored.taken.values())))) <= {0, 1, 2}

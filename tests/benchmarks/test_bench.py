"""The benchmark: what is stored is not run again, seeds are averaged and intervals paired, and the page says it plainly."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import bench
import bench_page
import msgspec
import numpy as np
import pytest
from bench_figures import Benchmark, MethodFigures, PairFigures, ece_by_chance, measure_pair, to_estimate
from bench_mean import Part, measure_mean
from bench_methods import Method, Scored, Trial, all_methods, score_boosting, score_by_others, score_mlp, train_router
from bench_pairs import Pair, draw_labels, outcomes_of_others
from bench_picture import best_rival
from bench_runs import Task, run_methods, stored_runs
from bench_store import Run, key_of, load_run, read_figures, run_path, save_run, write_figures
from page_regions import REGION
from rich.console import Console

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training import metrics
from learned_router.training.baselines import Floats, Rows, tabulate
from learned_router.training.evaluation import Comparison, Estimate
from learned_router.training.labels import load_labels
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label

PAIR = Pair("a pair", "log", "mini", "maxi", 0.7)
COUNTS = {"train": 10, "calibration": 5, "test": 20}


def rows(count: int = 60, seed: int = 0) -> Rows:
    """Outcomes on which the frontier is better by half; groups of two."""
    generator = np.random.default_rng(seed)
    small, top = (generator.random(count) < share for share in (0.4, 0.9))
    group = np.array([f"g{index // 2}" for index in range(count)])
    return Rows([None] * count, small.astype(float), top.astype(float), np.ones(count), group)  # type: ignore[list-item]


def method(kind: str, knobs: str = "", seeded: bool = True, calls: list[int] | None = None) -> Method:
    def run(trial: Trial) -> Scored:
        if calls is not None:
            calls.append(trial.seed)
        return Scored(np.arange(len(trial.test.small), dtype=float))

    return Method(kind, kind, run, lambda: knobs, seeded)


def task(sha256: str = "labels") -> Task:
    vectors = np.zeros((60, 2), dtype=np.float32)
    return Task(PAIR.name, rows(), [], rows(), (vectors, vectors), sha256)


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def noisy(test: Rows, seed: int, noise: float) -> Floats:
    return test.gain + noise * np.random.default_rng(seed).standard_normal(len(test.gain))


def test_what_is_stored_is_not_run_again(tmp_path: Path) -> None:
    calls: list[int] = []
    methods = {"m": method("baseline", calls=calls)}
    for seeds in ([0, 1], [0, 1, 2]):
        assert run_methods(task(), methods, seeds, tmp_path, console()) == []
    assert calls == [0, 1, 2]
    assert sorted(stored_runs(task(), methods, tmp_path)["m"]) == [0, 1, 2]


def test_a_method_without_a_seed_runs_once(tmp_path: Path) -> None:
    calls: list[int] = []
    run_methods(task(), {"m": method("baseline", seeded=False, calls=calls)}, [0, 1, 2], tmp_path, console())
    assert calls == [0]


@pytest.mark.parametrize(
    ("sha256", "knobs", "again"), [("others", "", False), ("labels", "others", False), ("labels", "", True)]
)
def test_other_labels_other_knobs_and_again_run_anew(tmp_path: Path, sha256: str, knobs: str, again: bool) -> None:
    calls: list[int] = []
    run_methods(task(), {"m": method("baseline")}, [0], tmp_path, console())
    changed = {"m": method("baseline", knobs, calls=calls)}
    if not again:
        assert stored_runs(task(sha256), changed, tmp_path) == {}
    run_methods(task(sha256), changed, [0], tmp_path, console(), again=again)
    assert calls == [0]


def test_a_method_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    def fail(trial: Trial) -> Scored:
        raise InputError("no environment")

    methods = {"bad": Method("bad", "peer", fail, str), "good": method("baseline")}
    failed = run_methods(task(), methods, [0], tmp_path, console())
    assert len(failed) == 1
    assert "no environment" in failed[0]
    assert list(stored_runs(task(), methods, tmp_path)) == ["good"]


def test_a_stored_run_comes_back_as_it_was_and_one_cut_short_does_not(tmp_path: Path) -> None:
    path = run_path(tmp_path, "a pair, 5 labels", "m", 3)
    scored = Scored(np.array([0.1, 0.2]), np.array([[0.5, 0.6], [0.7, 0.9]]), {"balanced": np.array([0, 1])})
    save_run(path, Run(scored, 2.5), "key")
    found = load_run(path, "key")
    assert found is not None
    assert found.scored is not None
    assert found.seconds == 2.5
    np.testing.assert_array_equal(found.scored.quality, scored.quality)
    np.testing.assert_array_equal(found.scored.taken["balanced"], [0, 1])
    assert load_run(path, "other key") is None
    path.write_bytes(path.read_bytes()[:50])
    assert load_run(path, "key") is None


def test_a_run_without_scores_is_stored_too(tmp_path: Path) -> None:
    save_run(tmp_path / "m-0.npz", Run(None, 0.1), "key")
    assert load_run(tmp_path / "m-0.npz", "key") == Run(None, 0.1)


def test_the_key_changes_with_each_part() -> None:
    assert len({key_of("k", "d", 0), key_of("k2", "d", 0), key_of("k", "d2", 0), key_of("k", "d", 1)}) == 4


def test_a_figure_is_the_mean_over_seeds() -> None:
    test = rows()
    scores = {seed: noisy(test, seed, 1.0) for seed in (0, 1, 2)}
    runs = {"m": {seed: Run(Scored(score), 1.0) for seed, score in scores.items()}}
    found = measure_pair(PAIR, COUNTS, test, {"m": method("baseline")}, runs, resamples=50).methods[0]
    each = [metrics.apgr(metrics.trace_curve(score, test.small, test.top)) for score in scores.values()]
    assert found.seeds == [0, 1, 2]
    assert found.by_seed == pytest.approx(each, abs=1e-4)
    assert found.apgr.value == pytest.approx(np.mean(each), abs=1e-4)


def test_equal_scores_differ_by_nothing_on_every_resample() -> None:
    test = rows()
    methods = {"rival": method("peer"), "ours": method("ours")}
    runs = {name: {0: Run(Scored(noisy(test, 0, 1.0)), 1.0)} for name in methods}
    ours = measure_pair(PAIR, COUNTS, test, methods, runs, resamples=50).methods[1]
    assert ours.apgr.low != ours.apgr.high
    assert ours.versus == Comparison("rival", Estimate(0.0, 0.0, 0.0))


def test_the_rival_is_the_best_baseline_or_peer_and_never_the_oracle_or_ours() -> None:
    test = rows(200)
    noise = {"weak": 3.0, "strong": 0.7, "ours": 0.1, "oracle": 0.0}
    kinds = {"weak": "baseline", "strong": "peer", "ours": "ours", "oracle": "bound"}
    methods = {name: method(kind) for name, kind in kinds.items()}
    runs = {name: {0: Run(Scored(noisy(test, 1, noise[name])), 1.0)} for name in methods}
    found = measure_pair(PAIR, COUNTS, test, methods, runs, resamples=100)
    by_name = {one.name: one for one in found.methods}
    versus = by_name["ours"].versus
    assert versus is not None
    assert versus.baseline == "strong"
    assert versus.difference.low is not None
    assert versus.difference.low > 0
    assert by_name["oracle"].versus is by_name["weak"].versus is None
    assert best_rival(found) is by_name["strong"]


def test_modes_and_calibration_are_measured_of_a_router() -> None:
    test = rows(400)
    right = np.stack((np.full(400, test.small.mean()), np.full(400, test.top.mean())), axis=1)
    scored = Scored(noisy(test, 0, 1.0), right, {"all up": np.ones(400, int), "all down": np.zeros(400, int)})
    ours = measure_pair(PAIR, COUNTS, test, {"m": method("ours")}, {"m": {0: Run(scored, 1.0)}}, resamples=20).methods[
        0
    ]
    up, down = ours.modes
    assert (up.kept, up.saved) == (Estimate(1.0, 1.0, 1.0), Estimate(0.0, 0.0, 0.0))
    assert down.saved.value == 1.0
    assert down.kept.value == pytest.approx(test.small.mean() / test.top.mean(), abs=1e-4)
    assert [tier.ece for tier in ours.tiers] == [0.0, 0.0]
    assert ours.tiers[0].share == [1.0]


def test_perfect_predictions_have_an_error_by_chance_that_falls_with_rows() -> None:
    few, many = (ece_by_chance(np.random.default_rng(1).random(count), draws=20) for count in (100, 10_000))
    assert 0.05 < few < 0.2
    assert many < few / 5


def test_a_figure_that_does_not_exist_has_no_estimate() -> None:
    assert to_estimate(float("nan"), np.full(10, np.nan)) == Estimate(None)


def test_the_draw_is_fixed_takes_as_many_as_asked_and_leaves_the_test_split_whole(
    label_file: Path,
) -> None:
    labels = load_labels([label_file]).labels
    drawn = draw_labels(labels, 30)
    counts = {split: sum(label.split == split for label in drawn) for split in ("train", "calibration", "test")}
    assert counts == {"train": 30, "calibration": 10, "test": 48}
    assert {label.id for label in draw_labels(labels[::-1], 30)} == {label.id for label in drawn}


def drawn_ids(labels: Sequence[Label], split: str, count: int, **more: int) -> set[str]:
    return {label.id for label in draw_labels(labels, count, **more) if label.split == split}


@pytest.mark.parametrize("split", ["train", "calibration"])
@pytest.mark.parametrize("draw", [0, 1])
def test_few_labels_are_among_more_of_the_same_draw(label_file: Path, split: str, draw: int) -> None:
    labels = load_labels([label_file]).labels
    few, more, every = (drawn_ids(labels, split, count, draw=draw) for count in (10, 60, 144))
    assert few < more < every


def test_the_first_draw_is_the_one_without_a_number_and_others_are_others(label_file: Path) -> None:
    labels = load_labels([label_file]).labels
    first, second, third = (drawn_ids(labels, "train", 30, draw=draw) for draw in range(3))
    assert first == drawn_ids(labels, "train", 30)
    by_hash = sorted(
        (label for label in labels if label.split == "train"),
        key=lambda label: hashlib.sha256(f"draw:{label.id}".encode()).digest(),
    )
    assert first == {label.id for label in by_hash[:30]}
    assert len({frozenset(first), frozenset(second), frozenset(third)}) == 3


@pytest.mark.parametrize(("least", "expected"), [(0, 10), (10, 10), (11, 11), (48, 48), (500, 48)])
def test_calibration_gets_its_share_or_the_least_asked_for(label_file: Path, least: int, expected: int) -> None:
    labels = load_labels([label_file]).labels
    assert len(drawn_ids(labels, "calibration", 30, least_calibration=least)) == expected


def figures(name: str, kind: str, apgr: float, **more: object) -> MethodFigures:
    estimate = Estimate(apgr, apgr - 0.05, apgr + 0.05)
    return MethodFigures(name, name, kind, [0], 1.0, *[estimate] * 4, [apgr], [0.5] * 51, **more)  # type: ignore[arg-type, call-arg]


def benchmark(apgr: float, low: float) -> Benchmark:
    versus = Comparison("knn", Estimate(apgr - 0.6, low, 0.3))
    methods = [figures("knn", "baseline", 0.6), figures("ours_standard", "ours", apgr, versus=versus)]
    pair = PairFigures("mmlu_pro", "mini", "maxi", 0.65, COUNTS, 18, {"small": 0.4, "frontier": 0.7}, 100, methods)
    return Benchmark("2026-01-01", "ours_standard", [pair])


def test_the_page_says_plainly_where_a_reach_is_missed() -> None:
    missed, met = (bench_page.regions(benchmark(*found)) for found in ((0.64, -0.01), (0.65, 0.01)))
    assert "**Reach missed** on 1 of 1 pairs: mmlu_pro (0.640 of 0.65)" in missed["verdict"]
    assert "0.65 **missed**" in missed["main"]
    assert "Level with the best rival: mmlu_pro" in missed["verdict"]
    assert "**Reach missed** on 0 of 1 pairs: none" in met["verdict"]
    assert "Ahead of the best rival: mmlu_pro" in met["verdict"]
    assert "Not measured yet: routellm_mmlu" in met["verdict"]
    assert "Fewer seeds than elsewhere" in met["seeds"]


def test_every_region_of_the_page_is_filled_and_pictures_are_small(tmp_path: Path) -> None:
    page = tmp_path / "benchmark.md"
    page.write_text(bench_page.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    bench_page.fill_page(benchmark(0.7, 0.01), page)
    text = page.read_text(encoding="utf-8")
    assert set(bench_page.regions(benchmark(0.7, 0.01))) == {match["name"] for match in REGION.finditer(text)}
    assert bench_page.fill(text, benchmark(0.7, 0.01)) == text
    for name in bench_page.PICTURES:
        assert f"({name})" in text
        assert 1_000 < (tmp_path / name).stat().st_size < 400_000


def test_the_page_is_what_the_committed_results_say() -> None:
    if not bench_page.RESULTS.is_file():
        pytest.skip("the benchmark has not been run: tests/benchmarks/results/bench.json is not there")
    results = read_figures(bench_page.RESULTS, Benchmark)
    assert results is not None
    text = bench_page.PAGE.read_text(encoding="utf-8")
    assert bench_page.fill(text, results) == text


def test_results_of_other_pairs_stay_when_one_is_measured(tmp_path: Path) -> None:
    before = benchmark(0.7, 0.01)
    other = msgspec.structs.replace(before.pairs[0], name="zeroeval")
    write_figures(bench.merge(before, other), tmp_path / "bench.json")
    found = read_figures(tmp_path / "bench.json", Benchmark)
    assert found is not None
    assert [pair.name for pair in found.pairs] == ["mmlu_pro", "zeroeval"]


def test_every_method_of_the_issue_is_in_the_table() -> None:
    methods = all_methods()
    kinds = {kind: [name for name, one in methods.items() if one.kind == kind] for kind in ("peer", "ours", "bound")}
    assert kinds["peer"] == ["llmrouter_knn", "llmrouter_svm", "llmrouter_mlp"]
    assert set(kinds["ours"]) == {"ours_fast", "ours_pretrained", "ours_standard"}
    assert kinds["bound"] == ["others", "oracle"]
    assert {"random", "length", "category", "knn", "logistic_fail", "logistic_gain", "mlp", "boosting"} < set(methods)


@pytest.fixture
def trial(label_file: Path, tmp_path: Path) -> Trial:
    labels = load_labels([label_file]).labels
    split = {name: [label for label in labels if label.split == name] for name in ("train", "calibration", "test")}
    train, test = (tabulate(split[name], "small", "frontier") for name in ("train", "test"))
    # what tells hard prompts from easy ones, and what tells nothing
    known, asked = (
        np.array([[label.step == "plan", len(label.id)] for label in found.labels], dtype=np.float32)
        for found in (train, test)
    )
    return Trial(train, split["calibration"], test, known, asked, 0, tmp_path, console())


@pytest.mark.parametrize("score", [score_mlp, score_boosting])
def test_networks_and_trees_find_what_the_embeddings_tell(score: Callable[[Trial], Floats], trial: Trial) -> None:
    found = score(trial)
    assert metrics.apgr(metrics.trace_curve(found, trial.test.small, trial.test.top)) > 0.6


def test_how_other_models_did_is_a_score_only_where_there_are_others(trial: Trial) -> None:
    assert score_by_others(trial) is None
    hard = {label.id: [float(label.step != "plan")] for rows in (trial.train, trial.test) for label in rows.labels}
    found = score_by_others(trial._replace(others=hard))
    assert found is not None
    assert metrics.apgr(metrics.trace_curve(found, trial.test.small, trial.test.top)) > 0.6


def test_the_other_models_are_those_that_answered_nearly_everything() -> None:
    pair = Pair("p", "log", "s", "f", 0.7)
    scores = [{"s": 1.0, "f": 1.0, "a": float(i % 2), **({"b": 1.0} if i % 2 else {})} for i in range(10)]
    labels = [
        Label(str(i), [Message("user", "x")], {f"{model} @ log": score for model, score in found.items()}, {}, "gold")
        for i, found in enumerate(scores)
    ]
    assert outcomes_of_others(pair, labels) == {str(i): [float(i % 2)] for i in range(10)}


def test_our_router_is_trained_and_decides_each_test_request_in_each_mode(trial: Trial, tiny_recipe: Recipe) -> None:
    found = train_router(tiny_recipe, trial)
    assert found.quality is not None
    assert found.quality.shape == (len(trial.test.labels), 2)
    assert set(found.taken) == set(tiny_recipe.modes)
    np.testing.assert_allclose(found.score, found.quality[:, 1] - found.quality[:, 0])


def test_the_peer_script_needs_nothing_but_its_own_environment_to_say_what_it_takes() -> None:
    script = Path(bench.__file__).with_name("peer_llmrouter.py")
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "{knn,svm,mlp}" in done.stdout


def test_the_mean_over_pairs_counts_each_pair_the_same_and_nothing_to_learn_from_as_random() -> None:
    tests = [rows(60, 0), rows(240, 1)]
    methods = {name: method(kind) for name, kind in (("main", "ours"), ("rival", "baseline"), ("some", "baseline"))}
    runs = [
        {
            "main": {0: Run(Scored(noisy(test, 0, 0.3)), 0.0)},
            "rival": {seed: Run(Scored(noisy(test, seed, 3.0)), 0.0) for seed in (0, 1)},
            **({"some": {0: Run(Scored(noisy(test, 5, 1.0)), 0.0)}} if index else {"some": {0: Run(None, 0.0)}}),
        }
        for index, test in enumerate(tests)
    ]
    found = {
        mean.name: mean
        for mean in measure_mean(
            [Part(test, run) for test, run in zip(tests, runs, strict=True)], methods, "main", resamples=50
        )
    }
    alone = [
        metrics.apgr(metrics.trace_curve(run["main"][0].scored.score, test.small, test.top))
        for test, run in zip(tests, runs, strict=True)
    ]
    assert found["main"].apgr.value == pytest.approx(np.mean(alone), abs=1e-3)
    assert found["main"].minus is None
    assert found["rival"].minus is not None
    assert found["rival"].minus.value == pytest.approx(found["main"].apgr.value - found["rival"].apgr.value, abs=1e-3)
    assert found["rival"].minus.low > 0
    assert (found["some"].pairs, found["rival"].pairs) == (1, 2)
    other = metrics.apgr(metrics.trace_curve(runs[1]["some"][0].scored.score, tests[1].small, tests[1].top))
    assert found["some"].apgr.value == pytest.approx((0.5 + other) / 2, abs=1e-3)


def test_a_method_that_was_not_run_on_a_pair_has_no_mean_and_the_page_says_so() -> None:
    test = rows(60)
    methods = {"main": method("ours"), "some": method("peer"), "mute": method("baseline")}
    scored, mute = Run(Scored(noisy(test, 0, 1.0)), 0.0), Run(None, 0.0)
    whole = Part(test, {"main": {0: scored}, "some": {0: scored}, "mute": {0: mute}})
    part = Part(test, {"main": {0: scored}, "mute": {0: mute}})
    assert [mean.name for mean in measure_mean([whole, whole], methods, "main", resamples=20)] == ["main", "some"]
    means = measure_mean([whole, part], methods, "main", resamples=20)
    assert [mean.name for mean in means] == ["main"]

    pairs = [measure_pair(PAIR, COUNTS, test, methods, found.runs, resamples=20) for found in (whole, part)]
    shown = bench_page.regions(Benchmark("2026-01-01", "main", pairs, means))["means"]
    assert "| peer |" not in shown
    assert "Not run on all pairs, so without a mean: peer (1 of 2)." in shown

"""The benchmark of the gate: what ways of sending calls cost, what is kept and made again, and what the page says."""

from __future__ import annotations

from pathlib import Path

import bench_page
import gate
import gate_page
import msgspec
import numpy as np
import pytest
from bench_pairs import LOGS
from bench_store import read_figures, write_figures
from gate_ablation import FIRSTS, WHOLE, columns_of, list_variants
from gate_costs import (
    Judged,
    Ways,
    auc,
    choose_path,
    escalate_in_order,
    means,
    measure_ways,
    route_in_order,
    to_bill,
    trace_ways,
    use_both,
)
from gate_figures import (
    BOTH,
    GATE,
    ORACLE,
    ROUTER,
    SHOWN,
    WAYS,
    GateBenchmark,
    GatePair,
    count_blind,
    hull_curve,
    measure_gate,
)
from gate_page import find_order, find_ratio
from gate_pairs import REACH, answered, gate_pairs, has_answer
from gate_predictions import Predictions, Side, gate_key, predict_pair, router_key
from gate_rivals import SIGNS, score_length, score_logistic, suspicious

from learned_router.answers.features import ANSWER_FEATURES
from learned_router.request import Message
from learned_router.request_features import FEATURES
from learned_router.training import metrics
from learned_router.training.baselines import Floats, tabulate
from learned_router.training.evaluation import Estimate
from learned_router.training.labels import load_labels
from learned_router.training.reader import answer_reader, answered_labels
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label, Output
from learned_router.training.thresholds import Answers, try_pair

SMALL = 0.05
TARGETS = (0.95, 0.98)


def draw(count: int = 300, seed: int = 0) -> tuple[Floats, Judged]:
    """Outcomes, (n, 2), and what a router that sees little and a gate that sees more say of them."""
    generator = np.random.default_rng(seed)
    chance = generator.random(count)
    found = np.stack((generator.random(count) < chance, generator.random(count) < 0.9), axis=-1).astype(float)
    regret = found[:, 1] - found[:, 0]
    return found, Judged(
        np.clip(0.3 * regret + generator.normal(0, 0.3, count), -1, 1),
        np.clip(0.6 * regret + generator.normal(0, 0.3, count), -1, 1),
        generator.random(count) > 0.02,
        generator.random(count) < 0.02,
    )


def test_a_call_that_goes_up_costs_one_and_an_answer_that_goes_up_costs_both() -> None:
    found, judged = draw()
    weight = np.ones(len(found))
    for way, cost in ((route_in_order, 1.0), (escalate_in_order, 1 + SMALL)):
        costs, quality = means(way(judged.route, found, SMALL), weight)
        assert (costs[0], quality[0]) == pytest.approx((SMALL, found[:, 0].mean()))
        assert (costs[-1], quality[-1]) == pytest.approx((cost, found[:, 1].mean()))


def test_the_neediest_calls_go_up_first() -> None:
    found, judged = draw(50)
    ways = route_in_order(judged.route, found, SMALL)
    up = ways.cost == 1.0
    for row in up[1:-1]:
        assert judged.route[row].min() >= judged.route[~row].max()


def test_both_thresholds_do_what_the_product_estimates_of_them() -> None:
    found, judged = draw()
    weight = np.random.default_rng(1).random(len(found))
    predicted = np.stack((np.zeros(len(found)), judged.route), axis=-1)
    answers = Answers(judged.accept[:, None], judged.refused[:, None])
    for route, accept in ((-2.0, 1.0), (0.1, 0.2), (1.0, 0.0), (0.3, 1.0)):
        said = try_pair(predicted, answers, found, weight, route, accept, judged.known, np.array([SMALL, 1.0]))
        cost, quality = means(use_both(judged, found, SMALL, np.array([[route, accept]])), weight)
        assert cost[0] == pytest.approx(said.cost)
        assert quality[0] / np.average(found[:, 1], weights=weight) == pytest.approx(said.kept)


def test_the_path_of_pairs_of_thresholds_goes_from_cheap_to_dear() -> None:
    found, judged = draw()
    weight = np.ones(len(found))
    path = choose_path(judged, weight, SMALL)
    cost, _ = means(use_both(judged, found, SMALL, path), weight)
    assert len(path) > 3
    assert (np.diff(cost) > 0).all()
    # everything up at once, tried never, is the cheapest way to the frontier's quality: the path begins below it
    assert cost[0] < 1.0


def test_the_curve_of_a_plain_order_is_that_of_the_metrics() -> None:
    found, judged = draw(200)
    weights = np.random.default_rng(1).integers(0, 3, (4, 200)).astype(float)
    measured = measure_ways(route_in_order(judged.route, found, SMALL), found, weights, SMALL, TARGETS)
    plain = metrics.aiq(metrics.trace_curve(judged.route, found[:, 0], found[:, 1], weights))
    np.testing.assert_allclose(measured[:, 0], plain, atol=1e-6)
    one = measure_ways(route_in_order(judged.route, found, SMALL), found, weights[0], SMALL, TARGETS)
    np.testing.assert_allclose(measured[0], one)


def test_costs_lie_between_always_small_and_always_frontier_and_rise_with_the_quality_wanted() -> None:
    found, judged = draw()
    for need in (judged.accept, -judged.accept):
        _, at95, at98 = measure_ways(escalate_in_order(need, found, SMALL), found, np.ones(300), SMALL, TARGETS)
        assert 0 < at95 <= at98 <= 1
    assert to_bill(np.array([0.0, 1.0]), SMALL).tolist() == [SMALL, 1.0]


def test_a_way_dearer_than_always_frontier_is_worth_what_that_is() -> None:
    found = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    dear = Ways(np.ones((1, 3)), np.full((1, 3), 1.01))
    curve = trace_ways(dear, found, np.ones(3), SMALL)
    assert curve.quality[-1] == pytest.approx(2 / 3)
    assert curve.quality.max() == pytest.approx(2 / 3)


def test_auc_is_the_chance_of_a_right_order_with_level_scores_counting_half() -> None:
    score, right = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])
    assert auc(score, right, np.ones(4)) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert np.isnan(auc(score, np.ones(4), np.ones(4)))
    weights = np.array([[1.0, 1, 1, 1], [2.0, 1, 0, 1]])
    np.testing.assert_allclose(auc(score, right, weights), [0.875, 1.0])


def test_every_group_of_the_answers_features_has_its_columns_and_none_is_left() -> None:
    groups = columns_of(10)
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(
        range(10 + len(FEATURES) + len(ANSWER_FEATURES))
    )
    assert all(len(groups[name]) for name in FIRSTS)
    assert set(SIGNS) <= set(ANSWER_FEATURES)


def test_a_group_that_never_varies_is_not_left_out_for_nothing() -> None:
    points = np.random.default_rng(0).random((20, 10 + len(FEATURES) + len(ANSWER_FEATURES)))
    silent = columns_of(10)["its JSON"]
    points[:, silent] = 0.0
    variants = list_variants(points, 10)
    assert "without its JSON" not in variants
    assert not set(silent) & set(variants[WHOLE])
    assert set(variants["without its calls"]) == set(variants[WHOLE]) - set(columns_of(10)["its calls"])


def test_every_pair_with_a_reach_is_a_pair_of_the_benchmark() -> None:
    assert [pair.name for pair in gate_pairs()] == list(REACH)


def test_every_log_with_answers_has_a_pair() -> None:
    # the log of routellm_mmlu holds no answers
    assert {pair.log for pair in gate_pairs()} == set(LOGS) - {"routellm_mmlu"}


def with_answers(labels: list[Label]) -> list[Label]:
    """Right answers are short; of two labels the answer is an error, or not there."""
    answers = {
        label.id: Output(text="It is done." if label.quality["small"] else "I cannot answer this. " * 10)
        for label in labels[2:]
    }
    answers[labels[0].id] = Output(error="timeout")
    return [
        msgspec.structs.replace(label, outputs={"small": answers[label.id]} if label.id in answers else {})
        for label in labels
    ]


@pytest.fixture(scope="module")
def labels(label_file: Path) -> list[Label]:
    return with_answers(load_labels([label_file]).labels)


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    """Heads alone, of one strength."""
    knobs = msgspec.structs.replace(tiny_recipe.fit, epochs=0, head_strengths=(1.0,))
    return msgspec.structs.replace(tiny_recipe, fit=knobs)


@pytest.fixture(scope="module")
def trained(labels: list[Label], recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictions]:
    folder = tmp_path_factory.mktemp("gate")
    return folder, predict_pair(labels, recipe, folder, print)


def test_labels_take_the_answers_of_their_requests(labels: list[Label]) -> None:
    assert not has_answer(labels[0])  # an error
    assert not has_answer(labels[1])
    assert has_answer(labels[2])
    pair = gate_pairs()[0]
    outcome = msgspec.structs.replace(
        labels[3], quality={f"{model} @ {pair.log}": 1.0 for model in (pair.small, pair.frontier)}, outputs={}
    )
    [found] = answered(pair, [outcome], {outcome.id: Output(text="Yes.")})
    assert (found.outputs["small"].text, list(found.quality)) == ("Yes.", ["small", "frontier"])


def test_a_trained_gate_sees_in_the_answers_what_the_router_cannot(trained: tuple[Path, Predictions]) -> None:
    _, found = trained
    test = found.test
    assert len(test.router) == len(test.gate) == len(test.rows.labels) > 30
    right = test.rows.small
    assert auc(test.gate[:, 0], right, np.ones(len(right))) > auc(test.router[:, 0], right, np.ones(len(right)))
    assert auc(-test.length, right, np.ones(len(right))) == 1.0  # the longer ones are wrong
    assert set(found.ablation) == set(found.features) > {WHOLE, "without the embeddings"}
    assert len(found.ablation[WHOLE]) == len(found.calibration.rows.labels)


def test_what_is_kept_is_not_trained_again_unless_what_it_depends_on_is_another(
    trained: tuple[Path, Predictions], labels: list[Label], recipe: Recipe
) -> None:
    folder, before = trained
    lines: list[str] = []
    after = predict_pair(labels, recipe, folder, lines.append)
    assert all(line.endswith("there already") for line in lines)
    np.testing.assert_array_equal(after.test.gate, before.test.gate)
    assert (after.seconds, after.features) == (before.seconds, before.features)

    other = msgspec.structs.replace(recipe, gate=msgspec.structs.replace(recipe.gate, feature_share=0.1))
    assert router_key(other, labels) == router_key(recipe, labels)
    assert gate_key(other, labels) != gate_key(recipe, labels)
    said = [*labels[:-1], msgspec.structs.replace(labels[-1], outputs={"small": Output(text="Another.")})]
    assert router_key(recipe, said) == router_key(recipe, labels)
    assert gate_key(recipe, said) != gate_key(recipe, labels)


def test_a_file_cut_short_is_made_again(labels: list[Label], recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "router.npz").write_bytes(b"PK cut short")
    lines: list[str] = []
    predict_pair(labels[:120], recipe, tmp_path, lines.append)
    assert not any(line.endswith("there already") for line in lines)


def test_the_rivals_judge_by_the_answer_alone(labels: list[Label], recipe: Recipe) -> None:
    reader = answer_reader(recipe, ("small", "frontier"))
    seen = answered_labels(labels, ("small", "frontier"))
    elsewhere = [msgspec.structs.replace(label, messages=[Message("user", "another request")]) for label in seen]
    said = score_logistic(seen, seen, reader, (1.0,))
    assert auc(said[:, 0], np.array([label.quality["answered"] for label in seen]), np.ones(len(seen))) > 0.99
    np.testing.assert_array_equal(score_length(seen, elsewhere), score_length(seen, seen))
    assert suspicious(seen, reader).tolist() == [label.quality["answered"] == 0.0 for label in seen]


def predictions(count: int = 400) -> Predictions:
    """A gate that sees more than the router, on two splits."""
    sides = []
    for seed in (0, 1):
        found, judged = draw(count, seed)
        rows = [
            Label(
                str(index),
                [Message("user", f"request {index}")],
                dict(zip(("small", "frontier"), quality.tolist(), strict=True)),
                {},
                "gold",
                split="test",
                group=f"g{index // 2}",
                category=("easy", "hard")[index % 2],
            )
            for index, quality in enumerate(found)
        ]
        route, accept = (np.stack((0.5 - x / 2, 0.5 + x / 2), axis=-1) for x in (judged.route, judged.accept))
        table = tabulate(rows, "small", "frontier")
        length = np.random.default_rng(seed).random(count)
        sides.append(
            Side(
                table,
                route,
                accept,
                route,
                length,
                judged.known,
                ~judged.refused,
                np.zeros(count, bool),
                accept[:, 1] > 0.6,
            )
        )
    ablation = {WHOLE: sides[0].gate[:, 1] - sides[0].gate[:, 0], "without the embeddings": sides[0].length}
    return Predictions(sides[0], sides[1], ablation, dict.fromkeys(ablation, 7), (1.0, 2.0))


@pytest.fixture(scope="module")
def figures() -> GatePair:
    return measure_gate(gate_pairs()[0], 900, predictions(), resamples=50)


def test_the_gate_is_measured_beside_the_router_and_the_plain_rivals(figures: GatePair) -> None:
    by_name = {order.name: order for order in figures.orders}
    assert set(by_name) == set(SHOWN) - {BOTH}
    router = by_name[ROUTER]
    assert router.minus is not None
    assert router.minus.value == pytest.approx((by_name[GATE].apgr.value or 0) - (router.apgr.value or 0), abs=1e-4)
    assert (router.minus.low or 0) > 0
    assert (by_name[ORACLE].apgr.value or 0) > (by_name[GATE].apgr.value or 0)
    assert by_name[ORACLE].auc is None
    assert len(figures.heads) == 4


def test_the_oracle_costs_least_and_both_cost_little_more_than_the_better_of_two(figures: GatePair) -> None:
    for ratio in figures.ratios:
        ways = {way.name: way for way in ratio.ways}
        assert list(ways) == list(WAYS)
        for way in ways.values():
            assert (ways[ORACLE].bill98.value or 0) <= (way.bill98.value or 0) + 1e-5
            assert np.all(np.diff(way.curve) >= -1e-9)
            assert way.bill98.value == pytest.approx(
                float(to_bill(np.array(way.cost98.value), 1 / ratio.ratio)), abs=1e-4
            )
        assert (ratio.oracle.value or 0) <= (ratio.versus.value or 0)
        assert 0 < (ratio.unwasted.value or 0) < 1
        assert ratio.pairs > 3


def test_a_hull_begins_at_always_small_and_never_falls_below_the_frontier_at_its_end() -> None:
    found = predictions()
    quality = np.stack((found.test.rows.small, found.test.rows.top), axis=-1)
    curve = hull_curve(route_in_order(found.test.rows.gain, quality, SMALL), found.test, SMALL)
    assert curve[0] == pytest.approx(quality[:, 0].mean(), abs=1e-3)
    assert curve[-1] == pytest.approx(quality.max(axis=1).mean(), abs=1e-3)


def test_blind_spots_are_counted_by_category_and_sum_up() -> None:
    found = count_blind(predictions().test)
    *some, last = found
    assert {blind.category for blind in some} == {"easy", "hard"}
    assert last.category == "all"
    for kind in ("wrong", "accepted", "unsuspicious"):
        assert sum(getattr(blind, kind) for blind in some) == getattr(last, kind)
    assert last.wrong > last.accepted >= last.unsuspicious > 0


def test_a_pair_measured_again_replaces_its_figures_alone(figures: GatePair, tmp_path: Path) -> None:
    other = msgspec.structs.replace(figures, name="zeroeval")
    both = gate.merge(gate.merge(None, other, "fast"), figures, "fast")
    assert [pair.name for pair in both.pairs] == ["bfcl Llama-3-8B", "zeroeval"]
    write_figures(both, tmp_path / "gate.json")
    assert read_figures(tmp_path / "gate.json", GateBenchmark) == both


def test_the_section_says_what_is_missed_and_what_is_not_measured(figures: GatePair) -> None:
    section = gate_page.section(GateBenchmark("2026-01-01", "fast", [figures]))
    assert set(section) == set(gate_page.REGIONS)
    gate_apgr = find_order(figures, GATE).apgr.value or 0
    assert f"({gate_apgr:.3f} of 0.80)" in section["gate"]
    assert "Not measured yet: bfcl xLAM-1b; bfcl_live" in section["gate"]
    assert f"{find_ratio(figures, 20.0).versus.value:.3f}" in section["gate-costs"]
    assert "without the embeddings" in section["gate-ablation"]
    assert "| hard |" in section["gate-blind"]


def test_a_pair_too_small_to_tell_anything_is_said_to_be_and_counts_for_no_verdict(figures: GatePair) -> None:
    orders = [
        msgspec.structs.replace(order, apgr=Estimate(0.6, 0.2, 0.71)) if order.name == GATE else order
        for order in figures.orders
    ]
    few = {"train": 29, "calibration": 8, "test": 14}
    small = msgspec.structs.replace(figures, name="routellm_mtbench", reach=None, rows=few, orders=orders)
    text = gate_page.verdict(GateBenchmark("2026-01-01", "fast", [figures, small]))
    [line] = [line for line in text.splitlines() if "Too few requests" in line]
    assert "routellm_mtbench (29 for train, 8 for calibration, 14 for test; APGR 0.600 [0.200, 0.710]" in line
    assert "would train no gate on it, since it wants at least 30 for train and 10 for calibration" in line
    assert text.count("routellm_mtbench") == 1
    assert "Too few requests" not in gate_page.verdict(GateBenchmark("2026-01-01", "fast", [figures]))
    enough = msgspec.structs.replace(small, rows={**few, "test": gate_page.LEAST_TEST})
    assert not gate_page.is_too_small(enough)
    assert gate_page.is_too_small(msgspec.structs.replace(enough, rows={**few, "test": gate_page.LEAST_TEST - 1}))


def test_the_section_without_results_names_the_command_and_draws_nothing(tmp_path: Path) -> None:
    found = gate_page.regions(tmp_path / "none.json")
    assert set(found.values()) == {"Not measured yet: run `make bench-gate`."}
    gate_page.draw_pictures(tmp_path, tmp_path / "none.json")
    assert not list(tmp_path.iterdir())


def test_the_picture_is_drawn_from_the_results(figures: GatePair, tmp_path: Path) -> None:
    write_figures(GateBenchmark("2026-01-01", "fast", [figures]), tmp_path / "gate.json")
    gate_page.draw_pictures(tmp_path, tmp_path / "gate.json")
    assert (tmp_path / gate_page.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_the_page_has_every_region_of_the_section() -> None:
    text = bench_page.PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- figures:{name} -->" in text for name in gate_page.REGIONS)


def test_the_command_knows_its_pairs_and_recipe() -> None:
    chosen = gate.parse(["--only", "bfcl_live"])
    assert (chosen.only, chosen.recipe) == (["bfcl_live"], "fast")
    assert load_recipe(chosen.recipe).name == "fast"
    with pytest.raises(SystemExit):
        gate.parse(["--only", "routellm_mmlu"])

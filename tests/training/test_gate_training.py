"""Labels that hold answers train a gate that tells those that hold from those that do not, on labels it has not seen."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learned_router.errors import LabelError
from learned_router.pricing import Price
from learned_router.replay import read_references, replay
from learned_router.router import Router
from learned_router.training.evaluate import evaluate
from learned_router.training.evaluate_gate import evaluate_gate
from learned_router.training.evaluation import Evaluation
from learned_router.training.footprint import Footprint
from learned_router.training.labels import LabelSet, load_labels
from learned_router.training.pipeline import train
from learned_router.training.reader import ANSWERED, TOP, answer_reader, answered_labels, request_reader
from learned_router.training.recipe import Recipe
from learned_router.training.records import Output, ToolCall, label_request


@pytest.fixture(scope="module")
def labels(label_file: Path) -> LabelSet:
    return load_labels([label_file])


@pytest.fixture
def short(tiny_recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(tiny_recipe, fit=msgspec.structs.replace(tiny_recipe.fit, epochs=0))


def without_answers(labels: LabelSet, keep: int = 0) -> LabelSet:
    bare = [
        label if index < keep else msgspec.structs.replace(label, outputs={})
        for index, label in enumerate(labels.labels)
    ]
    return msgspec.structs.replace(labels, labels=bare)


def test_the_gate_tells_right_answers_from_wrong_ones_better_than_the_router(router: Router, labels: LabelSet) -> None:
    test = labels.of("test")
    requests = [label_request(label) for label in test]
    judged = router.accept_modes(requests, [label.outputs["small"] for label in test])["balanced"]
    wrong = np.array([label.quality["small"] < 0.5 for label in test])
    router_quality = router.predict(requests).quality
    assert roc_auc_score(wrong, [-a.quality["small"] for a in judged]) > 0.95
    assert roc_auc_score(wrong, [-a.quality["small"] for a in judged]) > roc_auc_score(wrong, -router_quality[:, 0])


def test_the_artifact_says_what_gate_and_router_are_worth_together(artifact: Path, labels: LabelSet) -> None:
    gate = msgspec.json.decode((artifact / "metrics.json").read_bytes(), type=Evaluation).gate
    assert gate is not None
    assert gate.rows == len(labels.of("test"))
    assert gate.apgr.value is not None
    assert gate.router_apgr.value is not None
    assert gate.apgr.value > gate.router_apgr.value
    assert [mode.name for mode in gate.modes] == ["quality", "balanced", "economy"]
    for mode in gate.modes:
        assert mode.cost.value is not None
        assert 0.0 < mode.cost.value <= 1.0 + mode.wasted + 1e-9
        assert mode.escalated <= mode.tried


def test_the_card_tells_what_an_acceptance_takes_and_the_gate_weighs(artifact: Path, router: Router) -> None:
    found = msgspec.convert(msgspec.json.decode((artifact / "metrics.json").read_bytes())["footprint"], Footprint)
    [accept] = [row for row in found.latency if row.what == "accept"]
    assert router.config.gate is not None
    assert 0 < accept.tokens <= router.config.gate.view.max_tokens
    card = (artifact / "README.md").read_text(encoding="utf-8")
    assert f"| `accept` | {accept.tokens} | {accept.p50_ms:.1f} ms |" in card
    assert f"| gate.onnx | {(artifact / 'gate.onnx').stat().st_size / 1e6:.1f} MB |" in card


def test_the_cost_of_a_mode_is_that_of_the_calls_it_makes(router: Router, labels: LabelSet) -> None:
    costs = {"small": 0.25, "frontier": 1.0}
    gate = evaluate_gate(router, labels.labels, costs, bootstrap=10)
    assert gate is not None
    for mode in gate.modes:
        assert mode.cost.value == pytest.approx(mode.tried * 0.25 + (1 - mode.tried) + mode.escalated)
        assert mode.wasted * mode.cost.value == pytest.approx(mode.escalated * 0.25)


def test_labels_without_answers_train_a_router_alone_and_say_why(
    labels: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    run = train(without_answers(labels), tmp_path / "bare", short, baselines=False)
    assert not run.router.has_gate
    assert "holds the answer of a lower tier" in run.why_no_gate
    assert run.why_no_gate in (run.router.path / "README.md").read_text(encoding="utf-8")
    assert run.evaluation is not None
    assert run.evaluation.gate is None


def test_a_gate_that_was_asked_for_and_cannot_be_trained_is_an_error(
    labels: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(LabelError, match=r"^--gate: 12 answers of lower tiers in the train split; at least 30"):
        train(without_answers(labels, keep=20), tmp_path / "few", short, gate=True)
    assert not (tmp_path / "few").exists()


def test_a_gate_that_is_not_wanted_is_not_trained(labels: LabelSet, short: Recipe, tmp_path: Path) -> None:
    run = train(labels, tmp_path / "alone", short, gate=False, baselines=False)
    assert not run.router.has_gate
    assert not (run.router.path / "gate.onnx").exists()


def test_prices_given_reach_the_artifact_and_its_card(labels: LabelSet, short: Recipe, tmp_path: Path) -> None:
    prices = {"small": Price(1.0, 2.0, "--price", "2026-01-01"), "frontier": Price(10.0, 20.0, "--price", "2026-01-01")}
    run = train(labels, tmp_path / "priced", short, prices=prices, baselines=False)
    assert run.router.config.prices == prices
    assert run.router.config.call_costs == {"small": pytest.approx(0.1), "frontier": 1.0}
    card = (run.router.path / "README.md").read_text(encoding="utf-8")
    assert "`small` 1 and 2 $ (--price, 2026-01-01)" in card
    assert "assumed" not in card


def test_costs_without_prices_are_said_to_be_assumed(artifact: Path) -> None:
    assert "these costs are **assumed**" in (artifact / "README.md").read_text(encoding="utf-8")


def test_the_card_says_of_router_and_gate_how_near_the_graph_is_and_what_is_beyond_its_limit(
    artifact: Path, router: Router, labels: LabelSet
) -> None:
    card = " ".join((artifact / "README.md").read_text(encoding="utf-8").split())
    agreed = r"int8 graph against the trained model: quality differs by 0\.\d{4} in the mean, 0\.\d{4} at most"
    assert re.search(rf"\. Router: {agreed}; gate: {agreed}\. Encoder weights", card)
    known = labels.of("calibration")
    requests = [label_request(label) for label in known]
    asked = router.route_modes(requests)["balanced"]
    judged = router.accept_modes(requests, [label.outputs["small"] for label in known])["balanced"]
    of_requests, of_answers = (sum(d.ood > 1.0 for d in found) / len(known) for found in (asked, judged))
    assert f"which is like it, {of_requests:.1%} of the requests and {of_answers:.1%} of the answers." in card


def test_the_references_hold_answers_kept_and_sent_up_and_are_repeated(router: Router) -> None:
    judged = [reference for reference in read_references(router) if reference.output is not None]
    assert {reference.accept for reference in judged} == {True, False}
    assert {reference.mode for reference in judged} == set(router.modes)
    assert replay(router) == []


def test_every_answer_of_a_lower_tier_is_a_row_of_its_own(labels: LabelSet) -> None:
    base = labels.labels[0]
    three = msgspec.structs.replace(
        base,
        quality={"small": 0.0, "mid": 0.5, "frontier": 1.0},
        outputs={"small": Output(text="no"), "mid": Output(text="perhaps")},
    )
    failed = msgspec.structs.replace(three, outputs={"small": Output(error="timed out"), "mid": Output(text="perhaps")})
    tiers = ("small", "mid", "frontier")
    found = answered_labels([three, failed], tiers)
    assert [(label.quality[ANSWERED], label.quality[TOP]) for label in found] == [(0.0, 1.0), (0.5, 1.0), (0.5, 1.0)]
    assert [next(iter(label.outputs)) for label in found] == ["small", "mid", "mid"]


def test_the_gate_sees_which_tier_answered(labels: LabelSet, tiny_recipe: Recipe) -> None:
    base = labels.labels[0]
    tiers = ("small", "mid", "frontier")
    reader = answer_reader(tiny_recipe, tiers)
    views = [
        reader.see(msgspec.structs.replace(base, outputs={tier: base.outputs["small"]})) for tier in ("small", "mid")
    ]
    assert views[0].segments == views[1].segments
    assert views[0].features != views[1].features


def test_an_evaluation_of_a_gate_needs_answers(router: Router, labels: LabelSet) -> None:
    found = evaluate(
        router,
        without_answers(labels).labels,
        baselines=False,
        bootstrap=10,
        call_costs={"small": 0.1, "frontier": 1.0},
    )
    assert found.gate is None


def test_a_log_that_lost_what_was_answered_trains_no_gate(labels: LabelSet, short: Recipe, tmp_path: Path) -> None:
    lost = [msgspec.structs.replace(label, outputs={"small": Output(text="")}) for label in labels.labels]
    run = train(msgspec.structs.replace(labels, labels=lost), tmp_path / "lost", short, baselines=False)
    assert not run.router.has_gate
    assert "neither text nor calls" in run.why_no_gate


def test_with_three_tiers_the_answers_of_both_lower_ones_are_judged(
    labels: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    tiers = ("small", "mid", "frontier")
    three = [
        msgspec.structs.replace(
            label,
            quality={"small": label.quality["small"], "mid": float(index % 4 > 0), "frontier": 1.0},
            outputs={**label.outputs, "mid": Output(text="Done: 12 results." if index % 4 else "I am not sure")},
        )
        for index, label in enumerate(labels.labels)
    ]
    known = msgspec.structs.replace(labels, labels=three, tiers=tiers, models={tier: f"model-{tier}" for tier in tiers})
    run = train(known, tmp_path / "three", short, baselines=False)
    assert run.router.has_gate
    sure, unsure = (
        run.router.accept("list the open orders", text, tier="mid") for text in ("Done: 12 results.", "I am not sure")
    )
    assert sure.quality.keys() == {"mid", "frontier"}
    assert sure.regret < unsure.regret
    assert run.evaluation is not None
    assert run.evaluation.gate is not None
    assert run.evaluation.gate.call_costs.keys() == set(tiers)
    assert {reference.tier for reference in read_references(run.router) if reference.output} == {"small", "mid"}


def test_the_gates_limit_is_not_fitted_on_calls_beside_prompts_that_offered_no_tools(
    labels: LabelSet, short: Recipe
) -> None:
    reader = answer_reader(short, labels.tiers)
    tool = {"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}
    said = msgspec.structs.replace(labels.labels[0], tools=[tool])
    called = msgspec.structs.replace(said, outputs={"small": Output(tool_calls=[ToolCall("count", {})])})
    assert reader.bare(called) is None
    bare = reader.bare(said)
    assert bare is not None
    assert bare.tools is None
    # the router sees no answer, and takes prompts without their tools whatever was answered
    assert request_reader(short).bare(called) is not None

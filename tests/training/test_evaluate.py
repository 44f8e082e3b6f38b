"""An evaluation says what the router did to each label of the split, beside rivals that saw the same labels."""

from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from learned_router.errors import LabelError
from learned_router.policy import Mode, Reason, choose_tier
from learned_router.request import Message, Request, message_text
from learned_router.training.evaluate import evaluate
from learned_router.training.evaluation import Evaluation
from learned_router.training.records import Label

TIERS = ("small", "mid", "frontier")


class FakeDecision(NamedTuple):
    tier: str
    quality: dict[str, float]
    reason: Reason


class FakeRouter:
    """Reads a request's difficulty from its text, and predicts every tier's quality from it exactly."""

    has_gate = False

    def __init__(self, tiers=TIERS, modes=None, ood=()):
        self.tiers = tiers
        self.modes = modes or {"quality": Mode(0.98, 0.05, certified=True), "economy": Mode(0.9, 0.4)}
        self.ood = set(ood)

    def route_modes(self, requests):
        return {mode: [self.route(request, mode) for request in requests] for mode in self.modes}

    def route(self, request, mode):
        assert isinstance(request, Request)
        text = message_text(request.messages[-1])
        predicted = [chance(float(text.split()[0]), k, len(self.tiers)) for k in range(len(self.tiers))]
        choice = choose_tier(predicted, self.modes[mode].threshold)
        tier, reason = self.tiers[choice.index], choice.reason
        if text in self.ood:
            tier, reason = self.tiers[-1], Reason.OUT_OF_DISTRIBUTION
        return FakeDecision(tier, dict(zip(self.tiers, predicted, strict=True)), reason)


def chance(hard, index, count):
    """Probability that tier ``index`` is right: 0.95 for the easiest, falling with difficulty, less so higher up."""
    return 0.95 - 0.9 * hard * (1 - index / (count - 1))


def draw_labels(count, *, tiers=TIERS, seed=0, split="test"):
    generator = np.random.default_rng(seed)
    return [
        Label(
            id=f"{split}-{index}",
            messages=[Message("user", f"{hard:.6f} {'x' * int(40 * generator.random())}")],
            quality={t: float(generator.random() < chance(hard, k, len(tiers))) for k, t in enumerate(tiers)},
            models={tier: f"model-{tier}" for tier in tiers},
            grader="test",
            split=split,
            task=("math", "chat", "rare")[0 if index % 2 else 1 if index % 10 else 2],
        )
        for index, hard in enumerate(generator.random(count))
    ]


def embed_nothing(texts):
    return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    labels = draw_labels(300, seed=1, split="train") + draw_labels(600)
    return labels, evaluate(FakeRouter(), labels, bootstrap=300, embedder=embed_nothing)


def by_name(items):
    return {item.name: item for item in items}


def test_a_router_that_knows_the_difficulty_beats_every_baseline_but_the_oracle(found):
    _, evaluation = found
    apgr = {method.name: method.apgr.value for method in evaluation.methods}
    assert max(apgr, key=apgr.get) == "oracle"
    assert sorted(apgr, key=apgr.get)[-2] == "router"
    assert set(apgr) == {"router", "random", "length", "category", "knn", "logistic_fail", "logistic_gain", "oracle"}
    assert evaluation.versus_best.difference.low > 0
    assert evaluation.versus_best.baseline not in ("router", "oracle")


def test_every_interval_holds_its_value(found):
    _, evaluation = found
    estimates = [e for m in evaluation.methods for e in (m.apgr, m.cpt50, m.cpt80)]
    estimates += [e for mode in evaluation.modes for e in (mode.kept, mode.saved)]
    assert all(e.low - 1e-9 <= e.value <= e.high + 1e-9 for e in estimates)


def test_modes_report_the_tiers_really_taken(found):
    labels, evaluation = found
    router, test = FakeRouter(), [label for label in labels if label.split == "test"]
    for mode in evaluation.modes:
        taken = [router.route(Request(label.messages), mode.name).tier for label in test]
        assert mode.shares == pytest.approx({tier: taken.count(tier) / 600 for tier in TIERS})
        quality = np.mean([label.quality[tier] for label, tier in zip(test, taken, strict=True)])
        assert mode.quality == pytest.approx(quality)
        assert mode.kept.value == pytest.approx(quality / np.mean([label.quality["frontier"] for label in test]))
        assert mode.saved.value == pytest.approx(1 - mode.shares["frontier"])
    assert (evaluation.modes[0].certified, evaluation.modes[1].certified) == (True, False)
    assert evaluation.modes[0].kept.value > evaluation.modes[1].kept.value


def test_with_prices_the_saving_is_of_cost():
    labels = draw_labels(200)
    price = {"small": 1.0, "mid": 4.0, "frontier": 10.0}
    evaluation = evaluate(FakeRouter(), labels, baselines=False, bootstrap=20, prices=price)
    assert evaluation.saved_of == "cost"
    for mode in evaluation.modes:
        assert mode.saved.value == pytest.approx(1 - sum(mode.shares[tier] * price[tier] for tier in TIERS) / 10)
    without_one = evaluate(FakeRouter(), labels, baselines=False, bootstrap=20, prices={"small": 1.0, "mid": 4.0})
    assert without_one.saved_of == "top-tier calls"


def test_an_exact_prediction_is_calibrated_and_its_tiers_are_named(found):
    _, evaluation = found
    assert [tier.name for tier in evaluation.tiers] == list(TIERS)
    assert [tier.model for tier in evaluation.tiers] == [f"model-{tier}" for tier in TIERS]
    assert all(tier.ece < 0.1 for tier in evaluation.tiers)
    assert evaluation.tiers[-1].kept.value == 1.0


def test_tasks_with_fewer_than_a_hundred_rows_are_not_broken_down(found):
    _, evaluation = found
    assert {task.name: task.rows for task in evaluation.tasks} == {"math": 300, "chat": 240}


def test_curves_run_from_always_small_to_always_top_in_at_most_101_points(found):
    _, evaluation = found
    for curve in evaluation.curves:
        assert len(curve.share) == len(curve.quality) <= 101
        assert (curve.share[0], curve.share[-1]) == (0.0, 1.0)
        assert curve.quality[0] == pytest.approx(evaluation.tiers[0].quality, abs=1e-5)
        assert curve.quality[-1] == pytest.approx(evaluation.tiers[-1].quality, abs=1e-5)


def test_an_evaluation_survives_json(found):
    _, evaluation = found
    assert msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation) == evaluation


def test_out_of_distribution_is_counted_by_what_was_done_about_it():
    labels = draw_labels(50)
    strange = [label.messages[0].content for label in labels[:5]]
    evaluation = evaluate(FakeRouter(ood=strange), labels, baselines=False, bootstrap=10)
    assert evaluation.out_of_distribution == pytest.approx(0.1)


def test_a_missing_split_is_refused_with_the_splits_found():
    with pytest.raises(LabelError, match=r"no label has split 'test' \(found: train 5, none 1\)"):
        evaluate(FakeRouter(), [*draw_labels(5, split="train"), *draw_labels(1, split="")])
    with pytest.raises(LabelError, match="no labels at all"):
        evaluate(FakeRouter(), [])


def test_labels_without_a_tier_of_the_router_are_left_out_and_counted():
    labels = draw_labels(40) + [
        msgspec.structs.replace(label, id=f"two-{label.id}") for label in draw_labels(7, tiers=("small", "frontier"))
    ]
    evaluation = evaluate(FakeRouter(), labels, baselines=False, bootstrap=10)
    assert (evaluation.rows, evaluation.left_out) == (40, 7)
    with pytest.raises(LabelError, match="found: frontier, small"):
        evaluate(FakeRouter(), draw_labels(7, tiers=("small", "frontier")))


def test_labels_that_all_weigh_nothing_are_refused():
    labels = [msgspec.structs.replace(label, weight=0.0) for label in draw_labels(3)]
    with pytest.raises(LabelError, match="weight 0"):
        evaluate(FakeRouter(), labels)


def test_no_gap_between_the_tiers_is_said_and_gives_no_apgr():
    labels = [msgspec.structs.replace(label, quality=dict.fromkeys(TIERS, 1.0)) for label in draw_labels(30)]
    evaluation = evaluate(FakeRouter(), labels, bootstrap=20, embedder=embed_nothing)
    assert all(method.apgr.value is None and method.cpt50.value is None for method in evaluation.methods)
    assert evaluation.versus_best is None
    assert any("frontier is no better than small" in note for note in evaluation.notes)
    assert any("split 'train'" in note for note in evaluation.notes)
    assert msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation) == evaluation


def test_one_label_is_enough_not_to_crash():
    evaluation = evaluate(FakeRouter(("small", "frontier")), draw_labels(1, tiers=("small", "frontier")), bootstrap=5)
    assert evaluation.rows == 1


def test_rows_of_one_group_are_resampled_together():
    labels = [msgspec.structs.replace(label, group=f"g{index // 4}") for index, label in enumerate(draw_labels(40))]
    assert evaluate(FakeRouter(), labels, baselines=False, bootstrap=5).groups == 10


def test_progress_is_told_how_far_routing_is():
    heard = []
    evaluate(FakeRouter(), draw_labels(70), baselines=False, bootstrap=5, progress=heard.append)
    assert "routing: 64 of 70" in heard
    assert "routing: 70 of 70" in heard

"""Labels in, a router out that tells easy from hard, repeats itself, and promises no more than was shown."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learned_router.certificate import find_certificate
from learned_router.errors import ExportError, InputError, LabelError
from learned_router.policy import NEVER_DOWN, Reason, Tier
from learned_router.replay import read_references, replay
from learned_router.request import Message
from learned_router.router import Router
from learned_router.training.evaluation import Evaluation
from learned_router.training.footprint import LENGTHS, Footprint
from learned_router.training.label import label_files
from learned_router.training.labels import LabelSet, load_labels
from learned_router.training.pipeline import TrainRun, train
from learned_router.training.recipe import Recipe
from learned_router.training.records import Output, Record, label_request, write_jsonl


@pytest.fixture(scope="module")
def labels(label_file: Path) -> LabelSet:
    return load_labels([label_file])


@pytest.fixture
def short(tiny_recipe: Recipe) -> Recipe:
    """The tiny recipe without fine-tuning, where what is learned does not matter."""
    return msgspec.structs.replace(tiny_recipe, fit=msgspec.structs.replace(tiny_recipe.fit, epochs=0))


def regrets(router: Router, labels: LabelSet, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Predicted regret of the cheapest tier, and which requests are hard."""
    quality = router.predict([label_request(label) for label in labels.of(split)]).quality
    return quality[:, -1] - quality[:, 0], np.array([label.step == "plan" for label in labels.of(split)])


def test_the_router_tells_easy_from_hard_requests_it_was_not_trained_on(router: Router, labels: LabelSet) -> None:
    regret, hard = regrets(router, labels, "test")
    assert roc_auc_score(hard, regret) > 0.9


def test_easy_requests_go_down_and_hard_ones_up(router: Router, labels: LabelSet) -> None:
    requests = {step: [] for step in ("tool_call", "plan")}
    for label in labels.of("test"):
        requests[label.step].append(msgspec.to_builtins(label_request(label)))
    for mode in router.modes:
        tiers = [decision.tier for decision in router.route_batch(requests["plan"], mode=mode)]
        assert tiers.count("frontier") > 0.9 * len(tiers)
    # the laxest mode: that the small tier fails on a tenth of the easy requests is more than the others allow
    tiers = [decision.tier for decision in router.route_batch(requests["tool_call"], mode="economy")]
    assert tiers.count("small") > 0.9 * len(tiers)


def test_few_of_the_labels_own_requests_are_out_of_distribution(router: Router, labels: LabelSet) -> None:
    known = [router.route(msgspec.to_builtins(label_request(label))).ood <= 1.0 for label in labels.of("test")]
    assert np.mean(known) > 0.9


def test_a_new_wording_of_a_known_kind_is_nearer_than_noise(router: Router) -> None:
    new = [router.route(prompt).ood for prompt in ("show me the last messages", "list the open errors of today")]
    noise = [router.route(prompt).ood for prompt in ("zxq {} ∂∂ 8**3 blorp " * 30, "<html><td>" * 60)]
    # of labels made from seven templates, one that joins the halves of two is new indeed: it may go up, far below noise
    assert new[0] < 2.0
    assert max(new) < min(noise) / 2
    assert min(noise) > 1.0


def test_the_artifact_holds_its_evaluation_on_the_test_split(artifact: Path, labels: LabelSet) -> None:
    evaluation = msgspec.json.decode((artifact / "metrics.json").read_bytes(), type=Evaluation)
    assert [mode.name for mode in evaluation.modes] == ["quality", "balanced", "economy"]
    assert evaluation.rows == len(labels.of("test"))


def test_the_artifact_tells_the_size_of_its_files_and_how_long_a_decision_took(artifact: Path, router: Router) -> None:
    metrics = msgspec.json.decode((artifact / "metrics.json").read_bytes())
    found = msgspec.convert(metrics["footprint"], Footprint)
    card = (artifact / "README.md").read_text(encoding="utf-8")
    assert found.bytes["model.onnx"] == (artifact / "model.onnx").stat().st_size
    routed = [row for row in found.latency if row.what == "route"]
    assert [row.tokens for row in routed] == sorted({min(length, router.config.view.max_tokens) for length in LENGTHS})
    for row in routed:
        assert row.p50_ms > 0
        assert f"| `route` | {row.tokens} | {row.p50_ms:.1f} ms |" in card
    assert found.cpu
    assert f"one thread of {found.cpu}" in card


def test_the_certificate_says_what_can_be_promised_and_what_not(
    artifact: Path, router: Router, labels: LabelSet
) -> None:
    certificate = find_certificate(artifact)
    assert certificate.bound_to.models == {"small": "model-s", "frontier": "model-f"}
    assert certificate.bound_to.labels_sha256 == labels.sha256
    assert certificate.traffic.calls == len(labels.of("calibration"))
    for name, mode in router.modes.items():
        statement = certificate.modes[name].router
        assert (statement.target, statement.delta) == (mode.target, 0.05)
        assert statement.certified == mode.certified
        assert sum(statement.shares.values()) == pytest.approx(1.0)
        # two dozen calls prove nothing
        assert not mode.certified
        assert "cannot be promised yet" in statement.text
        # it was asked for all the same, and the statement says what it does
        assert "Thresholds by estimate are used all the same" in statement.text
        assert statement.shares["small"] > 0.0


def test_what_cannot_be_promised_goes_to_the_top_tier_with_that_reason(
    labels: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    run = train(labels, tmp_path / "strict", short, baselines=False)
    for mode in run.router.modes:
        assert run.router.modes[mode].threshold == NEVER_DOWN
        decisions = [run.router.route("list the open tickets", mode=mode, gated=gated) for gated in (False, True)]
        assert [decision.tier for decision in decisions] == ["frontier"] * 2
        # unlike the training labels or not, nothing was promised
        assert {decision.reason for decision in decisions} <= {Reason.UNCERTIFIED, Reason.OUT_OF_DISTRIBUTION}
        acceptance = run.router.accept("list the open tickets", "Done: 4 results.", mode=mode)
        assert not acceptance.accept


def test_the_artifact_repeats_its_reference_decisions_on_both_sides_of_the_thresholds(router: Router) -> None:
    references = read_references(router)
    assert replay(router) == []
    assert {reference.mode for reference in references} == set(router.modes)
    assert {reference.tier for reference in references} == {"small", "frontier"}


def test_the_artifact_says_what_it_was_made_of(router: Router, labels: LabelSet, tiny_recipe: Recipe) -> None:
    provenance = router.config.provenance
    assert (provenance.recipe_sha256, provenance.labels_sha256) == (tiny_recipe.sha256, labels.sha256)
    assert provenance.labels == labels.counts()
    assert provenance.sources == {"synthetic": len(labels.labels)}
    assert [(tier.name, tier.model) for tier in router.config.tiers] == [("small", "model-s"), ("frontier", "model-f")]
    for name, found in router.config.files.items():
        assert hashlib.sha256((router.path / name).read_bytes()).hexdigest() == found


def test_the_same_seed_gives_the_same_graph_and_decisions_and_another_seed_others(
    artifact: Path, labels: LabelSet, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    again = train(labels, tmp_path / "again", tiny_recipe, baselines=False, allow_uncertified=True).router.path
    for name in ("model.onnx", "reference.jsonl", "certificate.json"):
        assert (again / name).read_bytes() == (artifact / name).read_bytes()
    other = train(labels, tmp_path / "other", tiny_recipe, seed=1, baselines=False, allow_uncertified=True).router.path
    assert (other / "model.onnx").read_bytes() != (artifact / "model.onnx").read_bytes()


ASKED = {
    "easy": ("list the open {}", {"s": 1.0, "m": 1.0, "f": 1.0}),
    "middling": ("compare the {} of both years and explain what changed", {"s": 0.0, "m": 1.0, "f": 1.0}),
    "hard": ("prove that no {} can ever be lost", {"s": 0.0, "m": 0.0, "f": 1.0}),
}


def write_pairs(path: Path, count: int = 300) -> None:
    rng = random.Random(0)
    records = []
    for index in range(count):
        text, scores = ASKED[rng.choice(list(ASKED))]
        made_up = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5))
        records.append(
            Record(
                id=str(index),
                messages=[Message("user", text.format(made_up))],
                outputs={model: Output(text="an answer", score=score) for model, score in scores.items()},
            )
        )
    write_jsonl(path, records)


def test_three_tiers_are_labelled_trained_and_routed_between(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl")
    tiers = {"small": "s", "mid": "m", "frontier": "f"}
    label_files([tmp_path / "pairs.jsonl"], tiers, tmp_path / "labels.jsonl", labels="gold")
    labels = load_labels([tmp_path / "labels.jsonl"])
    router = train(labels, tmp_path / "router", tiny_recipe, baselines=False, allow_uncertified=True).router
    assert router.tiers == ("small", "mid", "frontier")
    assert set(router.config.confidence) == {"small", "mid"}
    wanted = {"list": "small", "compare": "mid", "prove": "frontier"}
    decided = {word: [] for word in wanted}
    for label in labels.of("test"):
        decided[label.messages[0].content.split()[0]].append(
            router.route(msgspec.to_builtins(label_request(label))).tier
        )
    for word, tier in wanted.items():
        assert decided[word].count(tier) > 0.6 * len(decided[word]), decided


def test_a_tier_added_later_is_learned_from_the_labels_that_know_it(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl")
    tiers = {"small": "s", "mid": "m", "frontier": "f"}
    label_files([tmp_path / "pairs.jsonl"], tiers, tmp_path / "labels.jsonl", labels="gold")
    labels = load_labels([tmp_path / "labels.jsonl"])
    for label in labels.labels[::2]:
        del label.quality["mid"]
    router = train(labels, tmp_path / "router", tiny_recipe, baselines=False, allow_uncertified=True).router
    assert router.tiers == ("small", "mid", "frontier")
    found = router.predict([label_request(label) for label in labels.of("test")]).quality
    asked = [label.messages[0].content.split()[0] for label in labels.of("test")]
    mid = {word: np.mean([row[1] for row, first in zip(found, asked, strict=True) if first == word]) for word in asked}
    assert mid["compare"] > mid["prove"] + 0.3  # what it was asked half as often, it does as the log says


@pytest.fixture
def without_test_split(labels: LabelSet) -> LabelSet:
    kept = [label for label in labels.labels if label.split != "test"]
    return msgspec.structs.replace(labels, labels=kept)


def test_labels_without_a_test_split_train_a_router_that_was_not_measured(
    without_test_split: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    run: TrainRun = train(without_test_split, tmp_path / "router", short)
    assert run.evaluation is None
    assert set(msgspec.json.decode((run.router.path / "metrics.json").read_bytes())) == {"footprint"}
    assert "nothing was measured" in (run.router.path / "README.md").read_text(encoding="utf-8")


def test_tiers_note_and_references_given_are_those_of_the_artifact(
    labels: LabelSet, without_test_split: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    tiers = [Tier("small", "my-8b", context_tokens=8_192, lacks=("vision",)), Tier("frontier", "my-frontier")]
    own = labels.of("test")[:6]
    options = {"tiers": tiers, "references": own, "note": "Ours alone."}
    router = train(without_test_split, tmp_path / "router", short, **options).router
    assert list(router.config.tiers) == tiers
    assert "Ours alone." in (router.path / "README.md").read_text(encoding="utf-8")
    asked = {label.messages[0].content for label in own}
    assert {reference.request["messages"][0]["content"] for reference in read_references(router)} <= asked


def test_a_float32_graph_can_be_asked_for(without_test_split: LabelSet, short: Recipe, tmp_path: Path) -> None:
    export = msgspec.structs.replace(short.export, int8=False, quality_tolerance=(1e-4, 1e-3))
    router = train(without_test_split, tmp_path / "router", msgspec.structs.replace(short, export=export)).router
    assert "float32 graph against the trained model" in (router.path / "README.md").read_text(encoding="utf-8")


def test_a_tolerance_that_int8_cannot_meet_refuses_the_export_and_keeps_the_training(
    without_test_split: LabelSet, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    strict = msgspec.structs.replace(
        tiny_recipe, export=msgspec.structs.replace(tiny_recipe.export, quality_tolerance=(0.0, 0.0))
    )
    with pytest.raises(ExportError, match=r"disagree on quality by 0\.\d+ in the mean and 0\.\d+ at most"):
        train(without_test_split, tmp_path / "router", strict)
    assert [path.name for path in tmp_path.iterdir()] == [".router.training"]


def test_labels_that_cannot_train_and_places_that_cannot_be_written_cost_no_time(
    labels: LabelSet, short: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(LabelError, match="training needs at least"):
        train(msgspec.structs.replace(labels, labels=labels.labels[:49]), tmp_path / "router", short)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match="a file stands there"):
        train(labels, tmp_path / "file", short)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_encoder_without_weights_is_refused_by_name(
    labels: LabelSet, short: Recipe, tiny_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "tokenizer.json").write_bytes((tiny_encoder / "tokenizer.json").read_bytes())
    encoder = msgspec.structs.replace(short.encoder, name=str(tmp_path / "encoder"))
    with pytest.raises(InputError, match=r"encoder '.*encoder': .*name an encoder of BERT's kind"):
        train(labels, tmp_path / "router", msgspec.structs.replace(short, encoder=encoder))
    assert not (tmp_path / "router").exists()

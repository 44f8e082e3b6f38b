"""A gate that learned from answers with token probabilities does not take an answer without them for a certain one."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from learned_router.answer import Logprobs
from learned_router.policy import Reason
from learned_router.router import Router
from learned_router.training.labels import LabelSet, load_labels
from learned_router.training.learned import SILENT_SHARE, expects_logprobs
from learned_router.training.pipeline import train
from learned_router.training.reader import LOGPROBS_HIDDEN, answer_reader, answered_labels, request_reader, silent_label
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label, Output, label_request

TIERS = ("small", "frontier")


@pytest.fixture(scope="module")
def labels(label_file: Path) -> LabelSet:
    """Answers that read alike; of the right ones, two in three, the model was surer of its tokens than of the wrong ones."""
    rng, found = random.Random(0), load_labels([label_file])
    told = []
    for label in found.labels:
        right = rng.random() < 0.67
        mean = -abs(rng.gauss(0.1, 0.05)) if right else -abs(rng.gauss(0.3, 0.1))
        answer = Output(text=f"Done: {rng.randint(2, 90)} results.", logprobs=Logprobs(mean, 8 * mean))
        told.append(
            msgspec.structs.replace(label, quality={"small": float(right), "frontier": 1.0}, outputs={"small": answer})
        )
    return msgspec.structs.replace(found, labels=told)


@pytest.fixture(scope="module", params=[0, 6], ids=["heads", "encoder"])
def router(
    request: pytest.FixtureRequest, labels: LabelSet, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Router:
    recipe = msgspec.structs.replace(tiny_recipe, fit=msgspec.structs.replace(tiny_recipe.fit, epochs=request.param))
    return train(
        labels, tmp_path_factory.mktemp("told") / "router", recipe, allow_uncertified=True, baselines=False
    ).router


def test_only_a_gate_whose_answers_told_them_expects_log_probabilities(labels: LabelSet, router: Router) -> None:
    config = router.config.gate
    assert config is not None
    assert config.expects_logprobs
    answers = answered_labels(labels.labels, TIERS)
    some = round(len(answers) * SILENT_SHARE)
    assert not expects_logprobs([*silent(answers[:some]), *answers[some:]])
    assert expects_logprobs([*silent(answers[: some - 1]), *answers[some - 1 :]])
    assert not expects_logprobs(silent(answers))


def silent(labels: list[Label]) -> list[Label]:
    return [shown for label in labels if (shown := silent_label(label))]


def test_answers_without_log_probabilities_are_not_accepted_more_for_want_of_them(
    router: Router, labels: LabelSet
) -> None:
    test = labels.of("test")
    requests = [label_request(label) for label in test]
    told = router.accept_modes(requests, [label.outputs["small"] for label in test])
    untold = router.accept_modes(requests, [label.outputs["small"] for label in silent(test)])
    right = np.array([label.quality["small"] > 0.5 for label in test])
    for mode, accepted in told.items():
        with_them, without = (np.array([a.accept for a in found]) for found in (accepted, untold[mode]))
        assert with_them[right].mean() > 0.8  # it does learn from them
        assert with_them[~right].mean() < 0.5
        assert without.mean() <= with_them.mean()
        assert without[~right].mean() <= with_them[~right].mean()
    # without the signal, what is left to predict is how often the small tier is right
    said = np.mean([a.quality["small"] for a in untold["balanced"]])
    assert said == pytest.approx(right.mean(), abs=0.15)
    assert not any(a.reason is Reason.OUT_OF_DISTRIBUTION for a in untold["balanced"])


def test_a_share_of_the_rows_is_shown_without_log_probabilities_whatever_else_is_left_out(
    labels: LabelSet, tiny_recipe: Recipe
) -> None:
    reader, knobs = answer_reader(tiny_recipe, TIERS), tiny_recipe.fit
    [label, *_] = answered_labels(labels.labels, TIERS)
    ways = reader.ways(label, knobs)
    assert sum(share for _, share in ways) == pytest.approx(1.0)
    untold = [(shown, share) for shown, share in ways if shown.outputs["small"].logprobs is None]
    assert sum(share for _, share in untold) == pytest.approx(LOGPROBS_HIDDEN)
    assert {(shown.step, share) for shown, share in untold} == {
        (None, knobs.bare_share * LOGPROBS_HIDDEN),
        (None, knobs.step_dropout * LOGPROBS_HIDDEN),
        (label.step, (1 - knobs.bare_share - knobs.step_dropout) * LOGPROBS_HIDDEN),
    }
    assert ways[-1][0] is label


def test_an_answer_that_told_none_and_a_router_that_reads_none_have_nothing_to_hide(
    labels: LabelSet, tiny_recipe: Recipe
) -> None:
    [label, *_] = labels.labels
    [untold] = silent([label])
    assert silent_label(untold) is None
    assert len(answer_reader(tiny_recipe, TIERS).ways(untold, tiny_recipe.fit)) == 3
    assert len(request_reader(tiny_recipe).ways(label, tiny_recipe.fit)) == 3

"""Training listens to soft and weighted labels, repeats itself with its seed, and goes on where it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from learned_router.request import STEPS, Message
from learned_router.router import Router
from learned_router.training.fit import LabelRows, fit, predict
from learned_router.training.model import RouterNet, load_encoder
from learned_router.training.reader import Reader, bare_label, request_reader
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label, Skipped, label_request, read_labels

Fit = Callable[..., RouterNet]


def knobs(recipe: Recipe, **fit_knobs: Any) -> Recipe:
    return msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.fit, **fit_knobs))


@pytest.fixture(scope="module")
def labels(label_file: Path) -> list[Label]:
    return [label for label in read_labels([label_file], Skipped()) if label.split == "train"]


@pytest.fixture(scope="module")
def reader(tiny_recipe: Recipe) -> Reader:
    return request_reader(tiny_recipe)


@pytest.fixture
def trained(reader: Reader, tiny_recipe: Recipe, tmp_path: Path) -> Fit:
    """Trains as a run of its own, with some knobs other than those of the tiny recipe."""

    def train(labels: Sequence[Label], *, seed: int = 0, **fit_knobs: Any) -> RouterNet:
        return fit(labels, reader, knobs(tiny_recipe, **fit_knobs), tmp_path / "checkpoints", seed=seed)

    return train


@pytest.fixture
def quality(reader: Reader, tiny_recipe: Recipe) -> Callable[[RouterNet, Sequence[Label]], np.ndarray]:
    """Predicted qualities, (n, tiers), before any calibration."""
    return lambda net, labels: 1 / (1 + np.exp(-predict(net, labels, reader)[0]))


Quality = Callable[[RouterNet, Sequence[Label]], np.ndarray]


def test_the_same_seed_gives_the_same_predictions_and_another_seed_others(
    reader: Reader, tiny_recipe: Recipe, labels: list[Label], tmp_path: Path
) -> None:
    recipe = knobs(tiny_recipe, epochs=2)
    first, again, other = (
        predict(fit(labels, reader, recipe, tmp_path / name, seed=seed), labels, reader)
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert not np.allclose(first[0], other[0])


def test_a_network_learns_which_requests_the_small_tier_fails(
    labels: list[Label], trained: Fit, quality: Quality
) -> None:
    found = quality(trained(labels), labels)
    hard = np.array([label.step == "plan" for label in labels])
    assert found[hard, 0].mean() < 0.3 < 0.7 < found[~hard, 0].mean()
    assert found[:, 1].min() > 0.5


@pytest.mark.parametrize("soft", [0.2, 0.6])
def test_a_soft_target_is_learned_as_it_is(soft: float, labels: list[Label], trained: Fit, quality: Quality) -> None:
    softened = [msgspec.structs.replace(label, quality={"small": soft, "frontier": 1.0}) for label in labels]
    found = quality(trained(softened), softened)
    assert found[:, 0].mean() == pytest.approx(soft, abs=0.1)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_label_of_weight_zero_teaches_nothing(
    right: float, labels: list[Label], trained: Fit, quality: Quality
) -> None:
    counted, ignored = (
        [
            msgspec.structs.replace(label, weight=weight, quality={"small": value, "frontier": 1.0})
            for label in labels[:70]
        ]
        for weight, value in ((1.0, right), (0.0, 1.0 - right))
    )
    assert abs(quality(trained(counted + ignored), counted)[:, 0] - right).max() < 0.2


def test_a_heavy_label_wins_over_a_light_one(labels: list[Label], trained: Fit, quality: Quality) -> None:
    both = [
        msgspec.structs.replace(label, weight=weight, quality={"small": value, "frontier": 1.0})
        for label in labels[:70]
        for weight, value in ((3.0, 1.0), (1.0, 0.0))
    ]
    assert quality(trained(both), both)[:, 0].mean() == pytest.approx(0.75, abs=0.1)


def test_labels_whose_step_is_not_known_can_be_learned_from(
    labels: list[Label], trained: Fit, quality: Quality
) -> None:
    stepless = [msgspec.structs.replace(label, step=None) for label in labels]
    assert np.isfinite(quality(trained(stepless, epochs=1), stepless)).all()


def test_three_tiers_have_a_quality_each(labels: list[Label], trained: Fit, quality: Quality) -> None:
    three = [
        msgspec.structs.replace(label, quality={"small": 0.1, "mid": 0.5, "frontier": 0.9}) for label in labels[:64]
    ]
    found = quality(trained(three), three)
    assert found.mean(axis=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.12)


def weights(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("epochs", [0, 1])
def test_without_epochs_the_heads_alone_are_trained(
    epochs: int, labels: list[Label], trained: Fit, quality: Quality, tiny_recipe: Recipe
) -> None:
    net = trained(labels, epochs=epochs)
    pretrained = weights(load_encoder(tiny_recipe.encoder))
    moved = any((value != pretrained[name]).any() for name, value in weights(net.encoder).items())
    assert moved == (epochs > 0)
    assert not net.training
    assert np.isfinite(quality(net, labels)).all()


def test_frozen_parts_of_the_encoder_stay_as_pretrained(
    reader: Reader, tiny_recipe: Recipe, labels: list[Label], tmp_path: Path
) -> None:
    encoder = msgspec.structs.replace(tiny_recipe.encoder, frozen_layers=1, train_embeddings=False)
    recipe = msgspec.structs.replace(knobs(tiny_recipe, epochs=1), encoder=encoder)
    net = fit(labels, reader, recipe, tmp_path / "checkpoints")
    pretrained = weights(load_encoder(encoder))
    assert all((value == pretrained[name]).all() for name, value in weights(net.encoder).items())


def test_predictions_come_in_the_order_of_the_labels(
    reader: Reader, tiny_recipe: Recipe, labels: list[Label], trained: Fit
) -> None:
    net = trained(labels, epochs=0)
    forth, back = (predict(net, some, reader) for some in (labels, labels[::-1]))
    widths = (2, len(STEPS), net.quality.in_features)
    for one, two, width in zip(forth, back, widths, strict=True):
        assert one.shape == (len(labels), width)
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, two[::-1], atol=1e-5)


ASKED, SYSTEM, ANSWERED = Message("user", "why?"), Message("system", "be brief"), Message("tool", "42")


@pytest.mark.parametrize(
    ("fields", "bare"),
    [
        ({"messages": [ASKED], "step": None}, False),
        ({"messages": [ASKED], "step": "plan"}, True),
        ({"messages": [ASKED], "step": None, "tools": [{"type": "function"}]}, True),
        ({"messages": [SYSTEM, ASKED], "step": None}, True),
        ({"messages": [ASKED, ANSWERED], "step": "tool_result"}, False),
    ],
)
def test_a_bare_label_is_the_last_user_message_alone_where_that_is_less(
    fields: dict[str, Any], bare: bool, labels: list[Label]
) -> None:
    label = msgspec.structs.replace(labels[0], **fields)
    found = bare_label(label)
    assert (found is not None) == bare
    if found:
        request = label_request(found)
        assert (request.messages, request.tools, request.step) == ([ASKED], [], None)
        assert found.quality == label.quality


# A run as 'learned-router train' makes it; told to, it dies as soon as its first checkpoint stands.
RUN = """
import os, signal, sys
from pathlib import Path
import msgspec
from transformers import TrainerCallback, trainer
from learned_router.training.labels import load_labels
from learned_router.training.pipeline import train
from learned_router.training.reader import Reader, bare_label, request_reader
from learned_router.training.recipe import Recipe

class Watch(TrainerCallback):
    def on_train_begin(self, args, state, control, **kwargs):
        print("begins at step", state.global_step, "of", state.max_steps, flush=True)
    def on_save(self, args, state, control, **kwargs):
        if "die" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)

trainer.DEFAULT_CALLBACKS.append(Watch)
labels, out, recipe = sys.argv[1:4]
train(load_labels([Path(labels)]), Path(out), msgspec.json.decode(recipe, type=Recipe), baselines=False)
"""


def test_a_killed_training_goes_on_from_its_checkpoint_and_leaves_none(
    label_file: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "router", msgspec.json.encode(knobs(tiny_recipe, epochs=12)).decode()

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RUN, str(label_file), str(out), recipe, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    killed = run("die")
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "begins at step 0 of 108\n"), killed.stderr
    assert not out.exists()
    (checkpoint,) = (tmp_path / ".router.training").glob("*/checkpoint-*")

    resumed = run()
    step = checkpoint.name.removeprefix("checkpoint-")
    # the second line is the gate's, which had not begun
    begun = f"begins at step {step} of 108\nbegins at step 0 of 108\n"
    assert (resumed.returncode, resumed.stdout) == (0, begun), resumed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["router"]
    assert Router.load(out).route("list the open tickets").tier in ("small", "frontier")


def test_every_way_a_row_is_shown_counts_as_often_as_it_is_shown(
    reader: Reader, tiny_recipe: Recipe, labels: list[Label]
) -> None:
    tool = {"type": "function", "function": {"name": "list_orders", "parameters": {"type": "object"}}}
    full = msgspec.structs.replace(labels[0], step="plan", tools=[tool])
    no_step = msgspec.structs.replace(full, step=None)
    prompt = msgspec.structs.replace(no_step, tools=None)
    recipe = knobs(tiny_recipe, step_dropout=0.3, bare_share=0.1)
    rows = LabelRows([full, no_step, prompt], reader, hide=recipe.fit)
    shares = [[round(share, 6) for *_, share in rows.ways(place)] for place in range(3)]
    assert shares == [[0.6, 0.3, 0.1], [0.9, 0.1], [1.0]]
    assert rows.ways(1)[1][0] == rows.ways(2)[0][0]  # a bare prompt is what its last message alone would be
    plain = LabelRows([full], reader)
    assert [share for *_, share in plain.ways(0)] == [1.0]


def test_the_heads_of_a_frozen_encoder_do_not_depend_on_the_seed(
    reader: Reader, tiny_recipe: Recipe, labels: list[Label], tmp_path: Path
) -> None:
    recipe = knobs(tiny_recipe, epochs=0)
    one, other = (fit(labels, reader, recipe, tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert torch.equal(one.quality.weight, other.quality.weight)

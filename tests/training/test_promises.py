"""A statement is about calls as the runtime decides them: what goes up whatever is predicted, repeats, sessions, tiers."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from learned_router.certificate import Bound, Certificate, exact_percent
from learned_router.fingerprints import tool_fingerprint
from learned_router.policy import NEVER_DOWN, Tier
from learned_router.request import Message
from learned_router.training.costs import CostModel
from learned_router.training.grounds import Grounds
from learned_router.training.learned import Learned
from learned_router.training.promises import Promises, certify, make_rows
from learned_router.training.records import Label
from learned_router.training.split import tuning_part
from learned_router.training.thresholds import OperatingPoint

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
MODES = {"quality": 0.98, "balanced": 0.95, "economy": 0.9}


def make_label(index: int, small: float, **more: Any) -> Label:
    return Label(
        id=f"l{index}",
        messages=[Message("user", f"question {index}")],
        quality={"small": small, "frontier": 1.0},
        models={"small": "s", "frontier": "f"},
        grader="gold",
        split="calibration",
        group=f"g{index}",
        **more,
    )


def grounds_of(
    labels: list[Label], *, tiers: tuple[Tier, ...] = (Tier("small", "s"), Tier("frontier", "f")), tools: Any = None
) -> Grounds:
    """Of a router that thinks all calls alike, a little worse when small."""
    count = len(labels)
    learned = Learned(
        graph=b"",
        quality=np.tile(np.linspace(0.6, 0.9, len(tiers)), (count, 1)) + np.linspace(0, 1e-3, count)[:, None] * [1, 0],
        expected=np.zeros((count, len(tiers))),
        truth=np.array([list(label.quality.values()) for label in labels]),
        weight=np.array([label.weight for label in labels]),
        step=np.full(count, "other"),
        in_range=np.ones(count, dtype=bool),
        ood_threshold=1.0,
        confidence=[],
        difference=None,  # type: ignore[arg-type]
    )
    calls = dict(zip((tier.name for tier in tiers), (0.05, 1.0), strict=True))
    return Grounds(
        calibration=labels,
        train=[],
        tiers=tiers,
        learned=learned,
        tuning=tuning_part(labels),
        judged=None,
        costs=CostModel(calls, {}, 100, 10),
        labels_count=5 * count,
        bound_to=Bound({"small": "s", "frontier": "f"}, "0" * 64, tools=tools or {}),
    )


def proved(labels: list[Label], **options: Any) -> Promises:
    return certify(grounds_of(labels, **options), MODES, 0.05)


def test_a_small_tier_that_is_always_right_is_certified_and_takes_nearly_all() -> None:
    found = proved([make_label(i, 1.0) for i in range(800)])
    for name, statement in found.certificate.modes.items():
        assert statement.router.certified, name
        assert statement.router.shares["small"] > 0.9
        assert found.modes[name].certified


def test_steps_with_labels_enough_get_a_statement_of_their_own_and_unseen_ones_stay_up() -> None:
    steps = ["extract" if i % 4 else "plan" for i in range(4_000)]
    labels = [make_label(i, float(steps[i] == "extract"), step=steps[i]) for i in range(4_000)]
    grounds = grounds_of(labels)
    grounds = msgspec.structs.replace(
        grounds, train=labels, learned=msgspec.structs.replace(grounds.learned, step=np.array(steps))
    )
    found = certify(grounds, MODES, 0.05)
    mode, statement = found.modes["balanced"], found.certificate.modes["balanced"].router
    assert mode.steps["validate"] == NEVER_DOWN
    below = {part.steps: part.shares["small"] for part in statement.slices}
    assert below[("extract",)] > 0.9
    # always wrong: no more of them than a twentieth may go down
    assert below[("plan",)] <= 0.05
    assert mode.steps["extract"] > mode.steps["plan"]
    assert sum(part.delta for part in statement.slices) <= 0.05 + 1e-12
    assert "Not proved, and so sent to frontier" in statement.text
    assert "in every slice" in statement.text
    written = msgspec.json.encode(found.certificate)
    assert msgspec.json.decode(written, type=Certificate) == found.certificate


@pytest.mark.parametrize("certainty", [1.0, 0.1])
def test_a_call_counts_as_one_whatever_training_is_to_believe_of_it(certainty: float) -> None:
    # a third of the calls is wrong when small; as rare or doubtful ones they would be weighed away
    labels = [make_label(i, float(i % 3 > 0), weight=1.0 if i % 3 else certainty / 300) for i in range(900)]
    for found in proved(labels).certificate.modes.values():
        # as many calls as lose a tenth of the quality at most
        assert found.router.shares["small"] < 0.3
    assert (make_rows(grounds_of(labels))[1].weight == 1.0).all()


def test_what_a_tier_cannot_serve_does_not_go_there() -> None:
    tiers = (Tier("small", "s", lacks=("tools",)), Tier("frontier", "f"))
    labels = [make_label(i, 1.0, tools=[TOOL] if i % 2 else None) for i in range(800)]
    statement = proved(labels, tiers=tiers).certificate.modes["economy"].router
    assert statement.certified
    assert statement.shares["small"] == pytest.approx(0.5, abs=0.06)
    assert statement.saving.calls == pytest.approx(0.5 + 0.5 * 0.05, abs=0.06)


@pytest.mark.parametrize("reason", ["empty", "changed tool"])
def test_what_goes_up_whatever_is_predicted_is_not_counted_as_going_down(reason: str) -> None:
    other = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "required": ["x"]}}}
    more: dict[str, Any] = {} if reason == "empty" else {"tools": [other]}
    labels = [make_label(i, 1.0, **(more if i % 2 else {})) for i in range(800)]
    if reason == "empty":
        labels = [
            msgspec.structs.replace(label, messages=[Message("user", "")]) if i % 2 else label
            for i, label in enumerate(labels)
        ]
    known = {"find": tool_fingerprint(TOOL)}
    statement = proved(labels, tools=known).certificate.modes["economy"].router
    assert statement.shares["small"] == pytest.approx(0.5, abs=0.06)


def test_a_mode_that_goes_by_estimate_says_so_and_what_it_does() -> None:
    labels = [make_label(i, float(i % 3 > 0)) for i in range(65)]  # too few to prove anything
    points = {mode: OperatingPoint(1.0, 0.7, (1.0, 0.0)) for mode in MODES}
    found = certify(grounds_of(labels), MODES, 0.05, estimates=points)
    for mode in MODES:
        statement = found.certificate.modes[mode].router
        assert found.modes[mode].threshold == 1.0
        assert not statement.certified
        assert "Thresholds by estimate are used all the same" in statement.text
        assert statement.shares["small"] == 1.0
        assert statement.kept == pytest.approx(2 / 3, abs=0.2)
    strict = certify(grounds_of(labels), MODES, 0.05)
    assert {mode.threshold for mode in strict.modes.values()} == {NEVER_DOWN}


def test_a_mode_by_estimate_sends_no_more_down_than_one_that_promises_less() -> None:
    labels = [make_label(i, 1.0) for i in range(140)]  # of which a hundred prove 95 %, and not 98 %
    points = {mode: OperatingPoint(1.0, 0.9, (1.0, 0.0)) for mode in MODES}
    modes = certify(grounds_of(labels), MODES, 0.05, estimates=points).modes
    assert [mode.certified for mode in modes.values()] == [False, True, True]
    assert modes["quality"].threshold <= modes["balanced"].threshold <= modes["economy"].threshold


def test_a_session_larger_than_the_limit_is_told() -> None:
    labels = [make_label(i, 1.0) for i in range(1_500)]
    long = [msgspec.structs.replace(make_label(2_000 + i, 1.0), group=f"long {i % 6}") for i in range(180)]
    assert "counts as at most" in proved(labels + long).certificate.modes["balanced"].router.text
    assert "counts as at most" not in proved(labels).certificate.modes["balanced"].router.text


@pytest.mark.parametrize("share", [0.995, 0.975, 0.95, 0.999])
def test_what_was_asked_for_is_told_unrounded(share: float) -> None:
    assert float(exact_percent(share).removesuffix("%")) == pytest.approx(100 * share, abs=1e-9)


def test_a_calibration_split_of_long_sessions_alone_still_tunes() -> None:
    labels = [msgspec.structs.replace(make_label(i, 1.0), group=f"session {i // 100}") for i in range(300)]
    tuning = tuning_part(labels)
    assert tuning.sum() == 100


@pytest.mark.parametrize("count", [60, 100, 159, 160, 400, 2_000, 2_600, 9_000])
def test_the_labels_asked_for_bring_the_proof_rows_wanted(count: int) -> None:
    labels = [make_label(i, 1.0) for i in range(count)]
    grounds = grounds_of(labels)
    proof = int((~grounds.tuning).sum())
    assert grounds.labels_for(proof) == pytest.approx(grounds.labels_count, rel=0.02)

"""Reference decisions: an intact artifact repeats them, a changed one is told apart from another processor's rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from graphs import constant_graph

from learned_router import ArtifactError, Router
from learned_router.replay import QUALITY_TOLERANCE, Reference, make_references, read_references, replay

QUALITY = {"small": 0.5, "frontier": 0.75}  # exact in binary
GRAPH = constant_graph({"quality": [list(QUALITY.values())], "step": [[1.0] * 10], "ood": [0.5]})
KEPT = Reference(
    request={"messages": [{"role": "user", "content": "count the orders"}]},
    mode="balanced",
    tier="frontier",
    reason="regret_too_high",
    quality=QUALITY,
    margin=0.1,
)


def replayed(edited: Callable[..., Path], lines: bytes) -> list[str]:
    """Problems that a router of the constant qualities, and a threshold of 0.15, finds in its references."""

    def change(config: dict[str, Any]) -> None:
        config["ood_threshold"] = 1.0
        for mode in config["modes"].values():
            mode["threshold"] = 0.15

    return replay(Router.load(edited(change, {"model.onnx": GRAPH, "reference.jsonl": lines})))


def changed(**fields: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(KEPT, **fields))


def test_an_intact_artifact_repeats_every_reference_of_every_mode(router: Router) -> None:
    references = read_references(router)
    assert {reference.mode for reference in references} == set(router.modes)
    assert replay(router) == []


def test_a_reference_of_the_decision_taken_is_repeated(edited: Callable[..., Path]) -> None:
    assert replayed(edited, changed()) == []


def test_an_artifact_without_references_has_nothing_to_repeat(edited: Callable[..., Path]) -> None:
    assert replayed(edited, b"") == []


@pytest.mark.parametrize("tier", QUALITY)
@pytest.mark.parametrize(("off", "reported"), [(0.99, False), (1.01, True)])
def test_quality_beyond_the_tolerance_is_reported_with_its_line(
    edited: Callable[..., Path], tier: str, off: float, reported: bool
) -> None:
    moved = changed(quality={**QUALITY, tier: QUALITY[tier] - off * QUALITY_TOLERANCE})
    problems = replayed(edited, b"\n".join([changed(), moved]))
    assert len(problems) == reported
    for problem in problems:
        assert problem.startswith(f"reference.jsonl:2 (balanced): quality differs by {off * QUALITY_TOLERANCE:.4f}")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"tier": "small"}, "frontier (regret_too_high); expected small (regret_too_high)"),
        ({"reason": "good_enough"}, "frontier (regret_too_high); expected frontier (good_enough)"),
    ],
)
def test_another_decision_away_from_the_threshold_is_reported(
    edited: Callable[..., Path], fields: Any, found: str
) -> None:
    assert replayed(edited, changed(**fields)) == [f"reference.jsonl:1 (balanced): {found}"]


@pytest.mark.parametrize(("margin", "reported"), [(0.019, False), (0.02, False), (0.021, True)])
def test_another_decision_is_forgiven_within_twice_the_difference_of_quality(
    edited: Callable[..., Path], margin: float, reported: bool
) -> None:
    line = changed(tier="small", quality={**QUALITY, "small": QUALITY["small"] + 0.01}, margin=margin)
    assert len(replayed(edited, line)) == reported


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"quality": {"small": 0.5}}, "recorded for the tiers small; found small, frontier"),
        ({"quality": {}}, "recorded for the tiers"),
        ({"quality": {**QUALITY, "mid": 0.6}}, "recorded for the tiers"),
        ({"mode": "turbo"}, "cannot be decided: mode is 'turbo'"),
        ({"request": {}}, "cannot be decided: messages is absent"),
    ],
)
def test_a_reference_that_cannot_be_compared_is_reported_not_raised(
    edited: Callable[..., Path], fields: Any, found: str
) -> None:
    (problem,) = replayed(edited, changed(**fields))
    assert problem.startswith("reference.jsonl:1 (")
    assert found in problem


@pytest.mark.parametrize("line", [b"not json", b"{}", b"[]", b'"\xff"', b'{"request":' + b'{"a":' * 50_000, b" "])
def test_a_damaged_line_is_refused_by_its_number(edited: Callable[..., Path], line: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"reference\.jsonl:2: .*export the artifact again"):
        replayed(edited, changed() + b"\n" + line)


def test_references_are_made_on_both_sides_of_a_threshold_nearest_first(
    edited: Callable[..., Path], artifact: Path
) -> None:
    known = Router.load(edited(lambda config: config.update(ood_threshold=1e9)))
    requests = [reference.request for reference in read_references(Router.load(artifact))]
    unique = list({msgspec.json.encode(request): request for request in requests}.values())
    decisions = known.route_batch(unique)
    regrets = sorted(decision.quality["frontier"] - decision.quality["small"] for decision in decisions)
    middle = (regrets[len(regrets) // 2 - 1] + regrets[len(regrets) // 2]) / 2

    split = Router.load(
        edited(lambda config: (config.update(ood_threshold=1e9), config["modes"]["balanced"].update(threshold=middle)))
    )
    made = [reference for reference in make_references(split, unique, per_mode=4) if reference.mode == "balanced"]
    assert [reference.tier for reference in made] == ["small", "small", "frontier", "frontier"]
    below = [middle - regret for regret in reversed(regrets) if regret <= middle][:2]
    above = [regret - middle for regret in regrets if regret > middle][:2]
    assert [reference.margin for reference in made] == pytest.approx([*below, *above])

"""Reference decisions: requests kept in an artifact with the exact decision expected, and their replay."""

from __future__ import annotations

from typing import Any

import msgspec

from learned_router.errors import ArtifactError, InputError
from learned_router.router import Router

# int8 arithmetic differs between processors by about this much; tiers are compared exactly, away from thresholds
QUALITY_TOLERANCE = 0.02


class Reference(msgspec.Struct, frozen=True):
    """One line of ``reference.jsonl``. margin: how far the predicted regret lies from the mode's threshold."""

    request: dict[str, Any]
    mode: str
    tier: str
    reason: str
    quality: dict[str, float]
    margin: float


def read_references(router: Router) -> list[Reference]:
    """The reference decisions of an artifact. Raises ArtifactError naming the line that is damaged."""
    path = router.path / "reference.jsonl"
    references = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            references.append(msgspec.json.decode(line, type=Reference))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArtifactError(f"{path}:{number}: {error}; export the artifact again") from None
    return references


def replay(router: Router) -> list[str]:
    """Decide every reference request again; a sentence for each that comes out otherwise than recorded.

    A request so near a threshold that int8 arithmetic of another processor may tip it is compared by quality alone.
    """
    problems = []
    for number, expected in enumerate(read_references(router), start=1):
        place = f"reference.jsonl:{number} ({expected.mode})"
        try:
            decision = router.route(expected.request, mode=expected.mode)
        except InputError as error:
            problems.append(f"{place}: cannot be decided: {error}")
            continue
        if expected.quality.keys() != decision.quality.keys():
            problems.append(
                f"{place}: recorded for the tiers {', '.join(expected.quality)}; found {', '.join(router.tiers)}"
            )
            continue
        off = max(abs(decision.quality[tier] - quality) for tier, quality in expected.quality.items())
        if off > QUALITY_TOLERANCE:
            problems.append(f"{place}: quality differs by {off:.4f}; allowed is {QUALITY_TOLERANCE}")
        elif (decision.tier, decision.reason) != (expected.tier, expected.reason) and expected.margin > 2 * off:
            problems.append(
                f"{place}: {decision.tier} ({decision.reason}); expected {expected.tier} ({expected.reason})"
            )
    return problems


def make_references(router: Router, requests: list[dict[str, Any]], *, per_mode: int = 12) -> list[Reference]:
    """The requests nearest above and below each mode's threshold, with the decisions the router takes on them now."""
    references = []
    for mode, decisions in router.route_modes(requests).items():
        decided = []
        for request, decision in zip(requests, decisions, strict=True):
            regrets = [decision.quality[router.tiers[-1]] - decision.quality[tier] for tier in router.tiers[:-1]]
            margin = min(abs(regret - decision.threshold) for regret in regrets)
            decided.append((margin, Reference(request, mode, decision.tier, decision.reason, decision.quality, margin)))
        decided.sort(key=lambda pair: pair[0])
        top = router.tiers[-1]
        down = [reference for _, reference in decided if reference.tier != top]
        up = [reference for _, reference in decided if reference.tier == top]
        references += down[: per_mode // 2] + up[: per_mode // 2]
    return references

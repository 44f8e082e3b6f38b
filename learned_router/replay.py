"""Reference decisions: requests and answers kept in an artifact with the exact decision expected, and their replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from learned_router.answer import Output
from learned_router.artifact import check_file
from learned_router.errors import ArtifactError, InferenceError, InputError
from learned_router.gate import Acceptance
from learned_router.loaded import Decision
from learned_router.policy import Reason
from learned_router.request import Request
from learned_router.router import Router

# int8 arithmetic differs between processors by about this much; tiers are compared exactly, away from thresholds
QUALITY_TOLERANCE = 0.02
OUTPUT_FIELDS: Final = ("text", "tool_calls", "finish_reason", "logprobs")


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of ``reference.jsonl``: a decision of the router or, where there is an ``output``, of the gate.

    tier: the one taken; of the gate, the one that answered. margin: how far the predicted regret lies from the threshold.
    """

    request: dict[str, Any]
    mode: str
    tier: str
    reason: str
    quality: dict[str, float]
    margin: float
    output: dict[str, Any] | None = None
    accept: bool | None = None


def read_references(router: Router) -> list[Reference]:
    """The reference decisions of an artifact. Raises ArtifactError naming the line that is damaged."""
    path = router.path / "reference.jsonl"
    references = []
    lines = check_file(router.path, router.config, path.name).splitlines()
    for number, line in enumerate(lines, start=1):
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
            decision = _decide_again(router, expected)
        except (InputError, InferenceError) as error:
            problems.append(f"{place}: cannot be decided: {error}")
            continue
        if decision.reason is Reason.ROUTER_ERROR:
            problems.append(f"{place}: cannot be decided: {router.errors.last}")
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


def record_again(router: Router, old: Reference) -> Reference:
    """The same request, or answer, with what is decided of it now."""
    found = _decide_again(router, old)
    accept = found.accept if isinstance(found, Acceptance) else None
    margin = _margin(router, found)
    return msgspec.structs.replace(
        old, tier=found.tier, reason=found.reason, quality=found.quality, margin=margin, accept=accept
    )


def _decide_again(router: Router, expected: Reference) -> Decision | Acceptance:
    if expected.output is None:
        return router.route(expected.request, mode=expected.mode)
    return router.accept(expected.request, expected.output, mode=expected.mode, tier=expected.tier)


def _margin(router: Router, found: Decision | Acceptance) -> float:
    """How far what is predicted lies from the threshold: of a decision, the regret of the nearest lower tier."""
    if isinstance(found, Acceptance):
        return abs(found.regret - found.threshold)
    *lower, top = router.tiers
    return min(abs(found.quality[top] - found.quality[tier] - found.threshold) for tier in lower)


def make_references(
    router: Router,
    requests: Sequence[Request],
    answers: Sequence[tuple[Request, str, Output]] = (),
    *,
    per_mode: int = 12,
) -> list[Reference]:
    """What lies nearest above and below each mode's threshold, with the decisions that router and gate take now.

    answers: requests with the tier that answered and its output; looked at when there is a gate.
    """
    plain = [msgspec.to_builtins(request) for request in requests]
    references = _near_router(router, plain, per_mode)
    for tier in router.tiers[:-1] if router.has_gate else ():
        of_tier = [(request, output) for request, name, output in answers if name == tier]
        references += _near_gate(router, tier, of_tier, per_mode)
    return references


def _near_gate(router: Router, tier: str, answers: Sequence[tuple[Request, Output]], per_mode: int) -> list[Reference]:
    references = []
    judged = router.accept_modes([r for r, _ in answers], [o for _, o in answers], tier=tier) if answers else {}
    for mode, found in judged.items():
        decided = sorted((_margin(router, a), index) for index, a in enumerate(found))
        for accepted in (True, False):
            some = [(margin, i) for margin, i in decided if found[i].accept is accepted][: per_mode // 2]
            for margin, i in some:
                request, output = (msgspec.to_builtins(part) for part in answers[i])
                a = found[i]
                # the plain output: what graded it and what it cost is nothing to the gate
                shown = {"text": None} | {key: output[key] for key in OUTPUT_FIELDS if key in output}
                references.append(Reference(request, mode, tier, a.reason, a.quality, margin, shown, a.accept))
    return references


def _near_router(router: Router, requests: list[dict[str, Any]], per_mode: int) -> list[Reference]:
    references = []
    for mode, decisions in router.route_modes(requests).items():
        decided = []
        for request, decision in zip(requests, decisions, strict=True):
            margin = _margin(router, decision)
            decided.append((margin, Reference(request, mode, decision.tier, decision.reason, decision.quality, margin)))
        decided.sort(key=lambda pair: pair[0])
        top = router.tiers[-1]
        down = [reference for _, reference in decided if reference.tier != top]
        up = [reference for _, reference in decided if reference.tier == top]
        references += down[: per_mode // 2] + up[: per_mode // 2]
    return references

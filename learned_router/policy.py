"""Turn predicted qualities into a decision. Knows tiers and thresholds; knows nothing of text, ONNX or files."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec


class Reason(enum.StrEnum):
    """Why a decision came out as it did."""

    GOOD_ENOUGH = "good_enough"  # the cheapest tier whose predicted regret is within the threshold
    REGRET_TOO_HIGH = "regret_too_high"  # every cheaper tier is predicted to lose more than the threshold allows
    UNCERTIFIED = "uncertified"  # no threshold was proved to keep the mode's target: the top tier
    OUT_OF_DISTRIBUTION = "out_of_distribution"  # unlike the labels the router learned from: the top tier
    EMPTY_REQUEST = "empty_request"  # nothing to judge: the top tier
    CONTEXT_TOO_LONG = "context_too_long"  # a cheaper tier would do, but the request does not fit its context window
    LACKS_CAPABILITY = "lacks_capability"  # a cheaper tier would do, but it lacks tools, vision or JSON mode
    ALARM = "alarm"  # the monitor found the promise broken for such calls: the top tier until certified anew
    CHANGED_TOOL = "changed_tool"  # a tool that the labels always showed with one schema has another: the top tier
    UNKNOWN_MODEL = "unknown_model"  # a tier is served by another model than the one that the labels are about
    ROUTER_ERROR = (
        "router_error"  # the router itself failed, out of memory or broken: the top tier; counted, never raised
    )
    # of an answer alone: what is certainly wrong with it
    EMPTY_OUTPUT = "empty_output"  # neither text nor a call
    UNREADABLE_ARGUMENTS = "unreadable_arguments"  # a call's arguments are no object
    UNKNOWN_TOOL = "unknown_tool"  # a call of a tool that was not offered
    MISSING_ARGUMENT = "missing_argument"  # a call without an argument that the tool requires
    NOT_JSON = "not_json"  # JSON was asked for, and there is none
    CUT_OFF = "cut_off"  # the server says that the answer reached its limit of tokens


# A threshold below every predicted regret, the least of which is -1: everything goes to the top tier.
NEVER_DOWN: Final = -2.0
# Above every regret there is, the largest of which is 1: a threshold beyond it was not chosen by anybody.
HIGHEST_THRESHOLD: Final = 2.0
CAPABILITIES: Final = ("tools", "vision", "json")

# What may be wrong with an answer whatever the model predicts; each may be switched off.
RULES: Final = (
    Reason.EMPTY_OUTPUT,
    Reason.UNREADABLE_ARGUMENTS,
    Reason.UNKNOWN_TOOL,
    Reason.MISSING_ARGUMENT,
    Reason.NOT_JSON,
    Reason.CUT_OFF,
)


class Tier(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tier of an artifact. context_tokens: its window, None when unknown. lacks: of 'tools', 'vision', 'json'.

    aliases: further names of its model, under which it is known to be the same.
    """

    name: str
    model: str
    context_tokens: int | None = None
    lacks: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a tier has no name")
        if self.context_tokens is not None and self.context_tokens < 1:
            raise ValueError(f"context_tokens is {self.context_tokens}; it must be 1 or more, or absent")
        if strange := [lack for lack in self.lacks if lack not in CAPABILITIES]:
            raise ValueError(f"lacks holds {strange[0]!r:.40}; it may hold {', '.join(CAPABILITIES)}")


class GatedPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Thresholds of router and gate that were chosen together, both regrets allowed, in quality units.

    route: before the call, for answers that the gate will see. accept: of the answer. steps: pairs of the two that replace
    them for some steps. certified: whether ``certificate.json`` backs them.
    """

    route: float
    accept: float
    steps: dict[str, tuple[float, float]] = {}
    certified: bool = False

    def __post_init__(self) -> None:
        _check_thresholds({"route": self.route, "accept": self.accept})
        for step, (route, accept) in self.steps.items():
            _check_thresholds({f"steps.{step} before the call": route, f"steps.{step} after it": accept})

    def route_of(self, step: str) -> float:
        return self.steps[step][0] if step in self.steps else self.route

    def accept_of(self, step: str | None) -> float:
        """The threshold of an answer to a request of ``step``; of all steps the strictest where it is not known."""
        if step is None:
            return min([self.accept, *(accept for _, accept in self.steps.values())])
        return self.steps[step][1] if step in self.steps else self.accept


class Mode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A named operating point.

    target: share of the top tier's quality to keep. threshold: regret allowed, in quality units, where no gate looks at
    the answer. steps: thresholds that replace it for some steps. certified: whether ``certificate.json`` backs it.
    gated: the thresholds where a gate does; None in an artifact without a gate.
    """

    target: float
    threshold: float
    steps: dict[str, float] = {}
    certified: bool = False
    gated: GatedPoint | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.target <= 1.0:
            raise ValueError(f"target is {self.target}; it must lie in [0, 1]")
        _check_thresholds({"threshold": self.threshold} | {f"steps.{step}": t for step, t in self.steps.items()})

    def threshold_of(self, step: str, *, gated: bool = False) -> float:
        """The regret allowed before the call, for a request of ``step``. gated: the gate will see the answer."""
        if gated and self.gated:
            return self.gated.route_of(step)
        return self.steps.get(step, self.threshold)


def _check_thresholds(thresholds: Mapping[str, float]) -> None:
    for name, value in thresholds.items():
        if not NEVER_DOWN <= value <= HIGHEST_THRESHOLD:
            raise ValueError(f"{name} is {value}; a threshold lies in [{NEVER_DOWN:g}, {HIGHEST_THRESHOLD:g}]")


class Choice(msgspec.Struct, frozen=True):
    """index: the tier taken. reason: why. regret: predicted quality given up by it, in quality units."""

    index: int
    reason: Reason
    regret: float


def choose_tier(quality: Sequence[float], threshold: float, blocked: Mapping[int, Reason] | None = None) -> Choice:
    """Cheapest tier whose predicted regret is within ``threshold`` and that is not blocked.

    quality: predicted, (n_tiers,), cheapest first, each in [0, 1].
    threshold: regret allowed, in quality units; 0 never trades predicted quality away.
    blocked: tiers that cannot serve the request, by index, and why. The top tier is taken even if it is blocked,
    since nothing lies above it.
    Raises ValueError if ``quality`` is empty or not finite.

    Source: the decision rule of the design, section 6.
    """
    if not quality or not all(map(math.isfinite, quality)):
        raise ValueError(f"quality is {list(quality)!r}; it must hold a finite number for each tier")
    blocked = blocked or {}
    top = len(quality) - 1
    if threshold <= NEVER_DOWN:
        return Choice(top, Reason.UNCERTIFIED, 0.0)
    reason = Reason.REGRET_TOO_HIGH
    for index in range(top):
        regret = quality[top] - quality[index]
        if regret > threshold:
            continue
        if index in blocked:
            # the first tier that would have done tells the reader most about why it was passed over
            reason = blocked[index] if reason is Reason.REGRET_TOO_HIGH else reason
            continue
        return Choice(index, Reason.GOOD_ENOUGH if reason is Reason.REGRET_TOO_HIGH else reason, regret)
    return Choice(top, reason, 0.0)


def judge_output(
    quality: Sequence[float], threshold: float, failures: Sequence[Reason], unlike: bool
) -> tuple[bool, Reason, float]:
    """Whether a tier's answer may be kept, why or why not, and the regret predicted of it, in quality units.

    quality: predicted of this answer and of the top tier's, each in [0, 1]. threshold: regret allowed. failures: what is
    certainly wrong with it, worst first. unlike: whether it is unlike what the gate learned from.
    Raises ValueError if ``quality`` is not two finite numbers.
    """
    if len(quality) != 2 or not all(map(math.isfinite, quality)):
        raise ValueError(f"quality is {list(quality)!r}; it must hold two finite numbers")
    regret = quality[1] - quality[0]
    if failures:
        return False, failures[0], regret
    if unlike:
        return False, Reason.OUT_OF_DISTRIBUTION, regret
    if threshold <= NEVER_DOWN:
        return False, Reason.UNCERTIFIED, regret
    if regret > threshold:
        return False, Reason.REGRET_TOO_HIGH, regret
    return True, Reason.GOOD_ENOUGH, regret


def check_rules(rules: Collection[Reason]) -> None:
    """Raises ValueError for a reason that is no rule about answers."""
    others = [str(rule) for rule in rules if rule not in RULES]
    if others:
        raise ValueError(f"{', '.join(others)}: no rule about answers; there are {', '.join(RULES)}")


def block_tiers(tiers: Sequence[Tier], tokens: int, needs: Sequence[str]) -> dict[int, Reason]:
    """Tiers that cannot serve a request of about ``tokens`` tokens that needs the capabilities ``needs``."""
    blocked: dict[int, Reason] = {}
    for index, tier in enumerate(tiers):
        if tier.context_tokens is not None and tokens > tier.context_tokens:
            blocked[index] = Reason.CONTEXT_TOO_LONG
        elif any(need in tier.lacks for need in needs):
            blocked[index] = Reason.LACKS_CAPABILITY
    return blocked


def as_good_probability(quality: float, top_quality: float, weights: Sequence[float]) -> float:
    """Calibrated probability that a tier's answer is as good as the top tier's.

    weights: (bias, weight of the tier's log-odds, weight of the top tier's log-odds), fitted on the calibration split.
    """
    bias, own, top = weights
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, bias + own * _logit(quality) + top * _logit(top_quality)))))


def _logit(probability: float) -> float:
    kept = min(max(probability, 1e-4), 1.0 - 1e-4)
    return math.log(kept / (1.0 - kept))

"""What an average call of each tier costs, from prices and from how long requests and answers are. Knows no thresholds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from learned_router.errors import InputError
from learned_router.policy import Tier
from learned_router.pricing import Price, price_of
from learned_router.training.collecting.budget import text_tokens
from learned_router.training.records import Label, Output

# Where a price is not known: what a call of the top tier costs, in calls of the cheapest one. The tiers between are put at
# equal ratios.
ASSUMED_RATIO: Final = 20.0


class CostModel(msgspec.Struct, frozen=True):
    """calls: cost of an average call, by tier, the top tier's being 1. prices: of tokens, by tier; empty where the price
    of any tier is not known, and then ``calls`` are assumed. input_tokens, output_tokens: of an average call.
    """

    calls: dict[str, float]
    prices: dict[str, Price]
    input_tokens: float
    output_tokens: float

    def vector(self, tiers: Sequence[str]) -> NDArray[np.float64]:
        """Cost of an average call of each tier, (n_tiers,)."""
        return np.array([self.calls[tier] for tier in tiers])

    @property
    def assumed(self) -> bool:
        return not self.prices


def cost_calls(labels: Sequence[Label], tiers: Sequence[Tier], given: Mapping[str, Price]) -> CostModel:
    """The cost model of some labels. given: prices by tier's name, which win over the known ones.

    Labels count by their weight. A call that failed has no length. A top-tier answer, which labels do not hold, is taken to
    be as long as the lower tiers' are.
    Raises InputError for a price of a tier that is not there, and for prices that leave a tier without one.
    """
    names = [tier.name for tier in tiers]
    for name in given:
        if name not in names:
            raise InputError(f"--price {name}=…: no tier of the labels has this name; they have {', '.join(names)}")
    asked = _mean([(_request_tokens(label), label.weight) for label in labels])
    answered = _mean([(_output_tokens(output), label.weight) for label in labels for output in _answers(label)])
    prices: dict[str, Price] = dict(given)
    for tier in tiers:
        if tier.name not in prices:
            with contextlib.suppress(InputError):  # not known: then costs are assumed, and the card says so
                prices[tier.name] = price_of(tier.model)
    if given and len(prices) < len(tiers):
        unknown = ", ".join(name for name in names if name not in prices)
        raise InputError(f"--price: none is given or known for {unknown}; costs need that of every tier, or of none")
    if len(prices) == len(tiers):
        calls = {name: prices[name].cost_usd(asked, answered) for name in names}
        if calls[names[-1]] > 0:
            relative = {name: cost / calls[names[-1]] for name, cost in calls.items()}
            return CostModel(relative, {name: prices[name] for name in names}, asked, answered)
    ratios = ASSUMED_RATIO ** (np.arange(len(names)) / (len(names) - 1)) / ASSUMED_RATIO
    return CostModel(dict(zip(names, map(float, ratios), strict=True)), {}, asked, answered)


def _answers(label: Label) -> list[Output]:
    return [output for output in label.outputs.values() if output.error is None]


def _request_tokens(label: Label) -> int:
    given = [output.input_tokens for output in _answers(label) if output.input_tokens is not None]
    if given:
        return max(given)
    texts = [msgspec.json.encode(part).decode() for part in (label.messages, label.tools) if part]
    return sum(map(text_tokens, texts))


def _output_tokens(output: Output) -> int:
    if output.output_tokens is not None:
        return output.output_tokens
    calls = msgspec.json.encode(output.tool_calls).decode() if output.tool_calls else ""
    return text_tokens((output.text or "") + calls)


def _mean(weighted: Sequence[tuple[float, float]]) -> float:
    """Of pairs of a value and its weight; 0 where nothing counts."""
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total else 0.0

"""The benchmark's triples of models, what a call to each costs, and their gold labels. Knows logs and prices; no scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from bench_pairs import label_tiers
from corpora import MODELS

from learned_router.errors import InputError
from learned_router.pricing import Price, read_snapshot
from learned_router.training.baselines import Floats
from learned_router.training.records import Label

TIERS = ("small", "mid", "frontier")

# Models that the snapshot of prices does not hold, for it lists none of those that anybody may host. One host's prices
# for both Llamas (Groq, in genai-prices 0.2.3), and for xLAM-1b, which nobody lists, the same host's for a Llama of 1B.
OPEN_PRICES = {
    "xLAM-1b-fc-r": Price(0.04, 0.04, "assumed"),
    "Meta-Llama-3.1-8B-Instruct": Price(0.05, 0.08, "assumed"),
    "Meta-Llama-3.1-70B-Instruct": Price(0.59, 0.79, "assumed"),
}
# What bfcl adds to a model's name when it was asked by its own way of calling functions; the price is the model's.
FUNCTION_CALLING = "-FC"
# Of the tokens of a call: 2.8 are read for one written by gpt-4o-mini on bfcl, and the other logs do not say.
INPUT_SHARE = 0.75


class Triple(NamedTuple):
    """A small, a middle and a frontier model on one log."""

    name: str
    log: str
    small: str
    mid: str
    frontier: str

    @property
    def models(self) -> dict[str, str]:
        """Models by tier, cheapest first."""
        return dict(zip(TIERS, (self.small, self.mid, self.frontier), strict=True))


def _between(log: str, mid: str) -> Triple:
    small, frontier = MODELS[log]
    return Triple(log, log, small, mid, frontier)


TRIPLES = (
    _between("bfcl", "gpt-4o-mini-2024-07-18-FC"),
    _between("mmlu_pro", "Meta-Llama-3.1-70B-Instruct"),
    _between("zeroeval", "Meta-Llama-3.1-70B-Instruct"),
)


def labels_of(triple: Triple, outcomes: Sequence[Label]) -> list[Label]:
    """The labels of the requests that all three models answered."""
    return label_tiers(triple.log, triple.models, outcomes)


def price_of_model(model: str) -> Price:
    """From the snapshot and never from an installed ``genai-prices``: figures must not change with the day.

    Raises InputError for a model that is neither in the snapshot nor in OPEN_PRICES.
    """
    if model in OPEN_PRICES:
        return OPEN_PRICES[model]
    snapshot = read_snapshot()
    entry = snapshot.names.get(model.removesuffix(FUNCTION_CALLING).lower())
    if entry is None:
        raise InputError(f"no price is known for {model}; add it to OPEN_PRICES in {__name__}.py")
    return snapshot.prices[entry]


def blended_price(price: Price) -> float:
    """Dollars per million tokens, INPUT_SHARE of them read and the rest written."""
    return INPUT_SHARE * price.input_per_million + (1 - INPUT_SHARE) * price.output_per_million


def prices_of(triple: Triple) -> Floats:
    """Blended price of each tier, (3,), cheapest first."""
    return np.array([blended_price(price_of_model(model)) for model in triple.models.values()])

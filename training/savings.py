"""What a mode is expected to save, net of what it costs to decide, of wasted calls and of labels. Knows costs and shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from learned_router.certificate import Saving
from learned_router.training.costs import CostModel

# Deciding, router and gate together, put generously: ten milliseconds of one core, rented at the list price of large
# clouds (0.04 to 0.05 $ for an hour of a virtual CPU, 2025)
DECISION_SECONDS: Final = 0.01
CORE_HOUR_USD: Final = 0.05


def expect_saving(
    first: np.ndarray, last: np.ndarray, weight: np.ndarray, costs: CostModel, tiers: Sequence[str], labels: int
) -> Saving:
    """first, last: indices of the tier called first and of the one whose answer is used, (n,). labels: of all splits."""
    calls = costs.vector(tiers)
    spent = calls[first] + np.where(first != last, calls[last], 0.0)
    share = float(np.average(spent, weights=weight)) / float(calls[-1]) if len(weight) else 1.0
    router = None
    if not costs.assumed:
        usd = costs.prices[tiers[-1]].cost_usd(costs.input_tokens, costs.output_tokens)
        router = DECISION_SECONDS / 3600 * CORE_HOUR_USD / usd if usd > 0 else None
    net = 1.0 - share - (router or 0.0)
    bought = labels * float(calls.sum()) / float(calls[-1])
    return Saving(
        calls=share,
        router=router,
        net=net,
        labels=bought,
        break_even_calls=math.ceil(bought / net) if net > 1e-9 else None,
    )

"""What proved thresholds do on the proof rows, as point estimates, and the statement that says so. Proves nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from learned_router.certificate import Slice, Statement
from learned_router.training.certify import Proved
from learned_router.training.grounds import Grounds
from learned_router.training.proof_rows import Rows
from learned_router.training.savings import expect_saving
from learned_router.training.statement import Basis, describe, name_slice


class Outcome(msgspec.Struct, frozen=True):
    """Of every proof row, each (n,): indices of the tier called first and of the one whose answer is used; its weight."""

    first: np.ndarray
    last: np.ndarray
    weight: np.ndarray


def state(
    grounds: Grounds,
    proof: Rows,
    found: Sequence[Proved],
    target: float,
    delta: float,
    limit: float,
    *,
    instead: Statement | None = None,
) -> Statement:
    """The statement of what was proved.

    instead: one that proves nothing, where ``found`` is by estimate and used all the same.
    """
    weight, capped = _capped(proof, limit)
    outcome = Outcome(*_carry_out(proof, found), weight)
    every = np.ones(len(proof), dtype=bool)
    kept, shares, escalated = _figures(proof, every, outcome, grounds.names)
    statement = Statement(
        target=target,
        delta=delta,
        certified=any(one.certified for one in found),
        bound=next((one.bound for one in found if one.certified), found[0].bound if found else "betting"),
        slices=instead.slices
        if instead
        else tuple(_describe_slice(grounds, proof, one, outcome, target, only=len(found) == 1) for one in found),
        kept=kept,
        shares=shares,
        escalated=escalated,
        saving=expect_saving(outcome.first, outcome.last, weight, grounds.costs, grounds.names, grounds.labels_count),
        text="",
    )
    proved = np.zeros(len(proof), dtype=bool)
    for one in found:
        if one.certified:
            proved |= one.rows
    basis = Basis(
        gated=proof.answers is not None,
        relative=grounds.grading.relative,
        by_estimate=instead is not None,
        units=len(np.unique(proof.unit[proved])),
        calls=int(proved.sum()),
        most_of_a_session=limit if capped else None,
    )
    return msgspec.structs.replace(statement, text=describe(statement, grounds.names, basis))


def _capped(proof: Rows, limit: float) -> tuple[np.ndarray, bool]:
    """What each row counts where a unit counts as ``limit`` calls at most, and whether any unit is larger."""
    if not len(proof):
        return proof.weight, False
    place = np.unique(proof.unit, return_inverse=True)[1]
    share = np.minimum(1.0, limit / np.bincount(place, weights=proof.weight))
    return proof.weight * share[place], bool((share < 1.0).any())


def _carry_out(proof: Rows, found: Sequence[Proved]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the tier called first and of the tier whose answer is used, each (n,), under what was proved."""
    first = np.full(len(proof), proof.predicted.shape[1] - 1)
    last = first.copy()
    for one in found:
        ways = proof.follow(one.route, one.accept)
        first[one.rows], last[one.rows] = ways[0][one.rows], ways[1][one.rows]
    return first, last


def _figures(
    proof: Rows, mask: np.ndarray, outcome: Outcome, tiers: Sequence[str]
) -> tuple[float, dict[str, float], float]:
    """Point estimates on some proof rows: quality kept, share of calls by the tier whose answer is used, share escalated."""
    weight = np.where(mask, outcome.weight, 0.0)
    total = max(float(weight.sum()), 1e-12)
    at_top = float(weight @ proof.truth[:, -1])
    kept = float(weight @ proof.truth[np.arange(len(proof)), outcome.last]) / at_top if at_top > 0 else 1.0
    shares = {tier: float(weight @ (outcome.last == place)) / total for place, tier in enumerate(tiers)}
    if not mask.any():
        shares[tiers[-1]] = 1.0
    return kept, shares, float(weight @ (outcome.first != outcome.last)) / total


def _describe_slice(
    grounds: Grounds, proof: Rows, one: Proved, outcome: Outcome, target: float, *, only: bool
) -> Slice:
    kept, shares, escalated = _figures(proof, one.rows, outcome, grounds.names)
    weight = outcome.weight[one.rows]
    top = float(np.average(proof.truth[one.rows, -1], weights=weight)) if len(weight) else 0.0
    down = 1.0 - shares[grounds.names[-1]]
    more = None
    if one.more_rows is not None:
        rows = int(one.rows.sum())
        # the slice brings its share of the proof rows; where it brought none, take it for all
        needed = (rows + one.more_rows) * (len(proof) / rows if rows else 1.0)
        more = max(1, math.ceil(grounds.labels_for(needed) - grounds.labels_count))
    return Slice(
        name=name_slice(one.steps, only=only),
        steps=one.steps,
        certified=one.certified,
        delta=one.delta,
        units=one.units,
        calls=int(one.rows.sum()),
        route=one.route,
        accept=one.accept,
        kept=kept,
        shares=shares,
        escalated=escalated,
        top_quality=top,
        budget=(1.0 - target) * top / down if one.certified and down > 0 else None,
        more_labels=more,
    )

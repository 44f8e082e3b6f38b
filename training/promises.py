"""Prove each mode, and write its certificate: thresholds, savings, and the words for a reader.

Knows what the graph says of the calibration labels; how a threshold is proved is another room's.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from learned_router.certificate import (
    CERTIFICATE_VERSION,
    Certificate,
    ModePromises,
    Statement,
    Traffic,
)
from learned_router.limits import find_blocked, find_refusal
from learned_router.policy import NEVER_DOWN, GatedPoint, Mode
from learned_router.training.certify import Proved, SlicePlan, plan_slices, prove
from learned_router.training.grounds import Grounds
from learned_router.training.outcomes import state
from learned_router.training.proof_rows import Rows, unit_limit
from learned_router.training.records import Label, label_request, unit_of
from learned_router.training.thresholds import OperatingPoint, PairPoint

REGRET_BINS = 10


class Promises(msgspec.Struct, frozen=True):
    """What comes of it. modes: thresholds for ``config.json``. certificate: what ``certificate.json`` holds."""

    modes: dict[str, Mode]
    certificate: Certificate


def certify(
    grounds: Grounds,
    targets: Mapping[str, float],
    delta: float,
    *,
    estimates: Mapping[str, OperatingPoint] | None = None,
    pairs: Mapping[str, PairPoint] | None = None,
    seed: int = 0,
) -> Promises:
    """Prove a threshold, or two with a gate, for each mode.

    estimates, pairs: thresholds by point estimate, for modes of which nothing can be proved; without them such a mode
    sends everything to the top tier.
    """
    tuning, proof = make_rows(grounds)
    limit = unit_limit(tuning.weight, tuning.unit) if len(tuning) else 1.0
    modes: dict[str, Mode] = {}
    promises: dict[str, ModePromises] = {}
    for mode, target in sorted(targets.items(), key=lambda pair: pair[1]):
        plan = _plan(grounds, tuning, proof, target, delta)
        router = _prove(grounds, tuning.without_gate(), proof.without_gate(), plan, target, delta, limit, seed)
        gated = None
        if grounds.judged is not None:
            there = [_with_answers(rows, target) for rows in (tuning, proof)]
            gated = _prove(grounds, there[0], there[1], plan, target, delta, limit, seed)
        made = _make_mode(target, router, gated, (estimates or {}).get(mode), (pairs or {}).get(mode))
        made = _no_looser(made, list(modes.values()))
        modes[mode] = made
        alone, both = router[0], gated[0] if gated else None
        if not made.certified and made.threshold > NEVER_DOWN:
            alone = _state_estimate(grounds, proof.without_gate(), alone, made.threshold, None, limit)
        if both and made.gated and not made.gated.certified and made.gated.route > NEVER_DOWN:
            both = _state_estimate(grounds, there[1], both, made.gated.route, made.gated.accept, limit)
        promises[mode] = ModePromises(alone, both)
    certificate = Certificate(
        certificate_version=CERTIFICATE_VERSION,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        delta=delta,
        unit_calls=limit,
        bound_to=grounds.bound_to,
        grading=grounds.grading,
        traffic=_traffic(tuning, proof),
        modes={mode: promises[mode] for mode in targets},
    )
    return Promises({mode: modes[mode] for mode in targets}, certificate)


def make_rows(grounds: Grounds) -> tuple[Rows, Rows]:
    """The calibration labels that know every tier's quality: those that chose something, and those that prove."""
    learned, labels = grounds.learned, grounds.calibration
    requests = [label_request(label) for label in labels]
    found = [find_blocked(request, grounds.tiers) for request in requests]
    rows = Rows(
        predicted=learned.quality,
        known=learned.in_range & [find_refusal(request, grounds.bound_to.tools) is None for request in requests],
        answers=grounds.judged,
        truth=learned.truth,
        graded=np.array([[_graded(label).get(tier, np.nan) for tier in grounds.names] for label in labels]),
        reviewed=np.array([np.nan if label.audit is None else label.audit.chance for label in labels]),
        # a call is a call: weights are what training is to believe, and would make doubtful and repeated calls rare ones
        weight=np.ones(len(labels)),
        unit=np.unique([unit_of(label) for label in labels], return_inverse=True)[1],
        step=learned.step,
        blocked=np.array([[place in blocked for place in range(len(grounds.tiers))] for blocked in found]),
    )
    whole = learned.complete & (learned.weight > 0)
    return rows.take(whole & grounds.tuning), rows.take(whole & ~grounds.tuning)


def _with_answers(rows: Rows, target: float) -> Rows:
    """The rows whose answers are all there, judged as a mode of that target does."""
    assert rows.answers is not None
    some = rows.take(rows.answers.there)
    assert some.answers is not None
    return msgspec.structs.replace(some, answers=some.answers.under(target))


def _graded(label: Label) -> dict[str, float]:
    return label.quality if label.audit is None else label.audit.graded


def _plan(grounds: Grounds, tuning: Rows, proof: Rows, target: float, delta: float) -> SlicePlan:
    steps = Counter(label.step for label in grounds.train if label.step)
    if not steps or not len(tuning):
        return SlicePlan()
    # counts of labels, not their grades: how many there are to prove with is no secret to keep from the plan
    return plan_slices(steps, len(proof) / len(grounds.train), float(tuning.truth[:, -1].mean()), target, delta)


def _prove(
    grounds: Grounds,
    tuning: Rows,
    proof: Rows,
    plan: SlicePlan,
    target: float,
    delta: float,
    limit: float,
    seed: int,
) -> tuple[Statement, list[Proved]]:
    costs = grounds.costs.vector(grounds.names)
    found = prove(tuning, proof, plan, target, delta, costs, limit, seed, chance=grounds.chance)
    return state(grounds, proof, found, target, delta, limit), found


def _state_estimate(
    grounds: Grounds, proof: Rows, before: Statement, route: float, accept: float | None, limit: float
) -> Statement:
    """The statement of a mode that goes by estimate: nothing is promised, and that is what it would do."""
    whole = np.ones(len(proof), dtype=bool)
    going = Proved((), False, route, accept, 0.0, "none", whole, before.slices[0].units if before.slices else 0, None)
    return state(grounds, proof, [going], before.target, before.delta, limit, instead=before)


def _make_mode(
    target: float,
    router: tuple[Statement, list[Proved]],
    gated: tuple[Statement, list[Proved]] | None,
    estimate: OperatingPoint | None,
    pair: PairPoint | None,
) -> Mode:
    threshold, steps = _thresholds(router[1])
    if not router[0].certified and estimate is not None:
        threshold, steps = (round(estimate.threshold, 6), NEVER_DOWN), {}
    point = None
    if gated is not None:
        both, gated_steps = _thresholds(gated[1])
        if not gated[0].certified and pair is not None:
            both, gated_steps = (round(pair.route, 6), round(pair.accept, 6)), {}
        point = GatedPoint(*both, steps=gated_steps, certified=gated[0].certified)
    return Mode(
        target=target,
        threshold=threshold[0],
        steps={step: route for step, (route, _) in steps.items()},
        certified=router[0].certified,
        gated=point,
    )


def _no_looser(mode: Mode, laxer: Sequence[Mode]) -> Mode:
    """The mode, where it goes by estimate, with thresholds that allow no more than those of modes with lower targets do.

    Proofs ask for more than estimates: else a mode without one could send more down than one that promises less.
    """
    if not mode.certified:
        mode = msgspec.structs.replace(mode, threshold=min([mode.threshold, *(other.threshold for other in laxer)]))
    if mode.gated and not mode.gated.certified:
        points = [mode.gated, *(other.gated for other in laxer if other.gated)]
        route, accept = min(point.route for point in points), min(point.accept for point in points)
        mode = msgspec.structs.replace(mode, gated=msgspec.structs.replace(mode.gated, route=route, accept=accept))
    return mode


def _thresholds(found: Sequence[Proved]) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    """Thresholds of router and gate: of all steps, and of those that have their own."""
    others, steps = (NEVER_DOWN, NEVER_DOWN), {}
    for one in found:
        both = (one.route, NEVER_DOWN if one.accept is None else one.accept)
        if one.steps:
            steps.update(dict.fromkeys(one.steps, both))
        else:
            others = both
    return others, steps


def _traffic(tuning: Rows, proof: Rows) -> Traffic:
    predicted = np.concatenate((tuning.predicted, proof.predicted))
    regret = predicted[:, -1] - predicted[:, 0]
    steps = Counter(np.concatenate((tuning.step, proof.step)).tolist())
    inner = np.arange(1, REGRET_BINS) / REGRET_BINS
    return Traffic(
        regret_edges=tuple(round(float(edge), 6) for edge in np.quantile(regret, inner)) if len(regret) else (),
        steps={step: count / len(predicted) for step, count in steps.most_common()},
        calls=len(predicted),
    )

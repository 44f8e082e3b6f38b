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
    Bound,
    Certificate,
    Grading,
    ModePromises,
    Slice,
    Statement,
    Traffic,
)
from learned_router.fingerprints import find_changed_tool
from learned_router.policy import NEVER_DOWN, GatedPoint, Mode
from learned_router.training.certify import Proved, SlicePlan, plan_slices, prove
from learned_router.training.costs import CostModel
from learned_router.training.learned import Learned
from learned_router.training.proof_rows import Rows, unit_limit
from learned_router.training.records import Label, label_request, unit_of
from learned_router.training.savings import expect_saving
from learned_router.training.statement import describe, name_slice
from learned_router.training.thresholds import Answers, OperatingPoint, PairPoint, follow

REGRET_BINS = 10


class Promises(msgspec.Struct, frozen=True):
    """What comes of it. modes: thresholds for ``config.json``. certificate: what ``certificate.json`` holds."""

    modes: dict[str, Mode]
    certificate: Certificate


class Grounds(msgspec.Struct, frozen=True):
    """What promises rest on. calibration: labels, in the order of ``learned``; tuning: which of them chose something.

    judged: what the gate makes of their answers, None without one. labels_count: of all splits. bound_to: see there.
    """

    calibration: Sequence[Label]
    train: Sequence[Label]
    tiers: Sequence[str]
    learned: Learned
    tuning: np.ndarray
    judged: Answers | None
    costs: CostModel
    labels_count: int
    bound_to: Bound


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
        found = _make_mode(target, router, gated, (estimates or {}).get(mode), (pairs or {}).get(mode))
        modes[mode] = _no_looser(found, list(modes.values()))
        promises[mode] = ModePromises(router[0], gated[0] if gated else None)
    rows = grounds.learned.complete
    certificate = Certificate(
        certificate_version=CERTIFICATE_VERSION,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        delta=delta,
        unit_calls=limit,
        bound_to=grounds.bound_to,
        grading=_grading([label for label, whole in zip(grounds.calibration, rows, strict=True) if whole]),
        traffic=_traffic(tuning, proof),
        modes={mode: promises[mode] for mode in targets},
    )
    return Promises({mode: modes[mode] for mode in targets}, certificate)


def make_rows(grounds: Grounds) -> tuple[Rows, Rows]:
    """The calibration labels that know every tier's quality: those that chose something, and those that prove."""
    learned, labels = grounds.learned, grounds.calibration
    rows = Rows(
        predicted=learned.quality,
        known=learned.in_range
        & [find_changed_tool(label.tools or (), grounds.bound_to.tools) is None for label in labels],
        answers=grounds.judged,
        truth=learned.truth,
        graded=np.array([[_graded(label).get(tier, np.nan) for tier in grounds.tiers] for label in labels]),
        reviewed=np.array([np.nan if label.audit is None else label.audit.chance for label in labels]),
        weight=np.array([_weight(label) for label in labels]),
        unit=np.unique([unit_of(label) for label in labels], return_inverse=True)[1],
        step=learned.step,
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


def _weight(label: Label) -> float:
    """What the label counts in a proof: as much as if no person had been asked, which must not depend on the draw."""
    return (
        label.weight
        if label.audit is None or not label.certainty
        else label.weight * label.audit.certainty / label.certainty
    )


def _plan(grounds: Grounds, tuning: Rows, proof: Rows, target: float, delta: float) -> SlicePlan:
    steps = Counter(step for label in grounds.train if (step := label_request(label).step))
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
    costs = grounds.costs.vector(grounds.tiers)
    found = prove(tuning, proof, plan, target, delta, costs, limit, seed)
    first, last = _carry_out(proof, found)
    slices = tuple(_describe_slice(proof, one, first, last, grounds, target, only=len(found) == 1) for one in found)
    kept, shares, escalated = _figures(proof, np.ones(len(proof), dtype=bool), first, last, grounds.tiers)
    certified = any(one.certified for one in found)
    saving = expect_saving(first, last, proof.weight, grounds.costs, grounds.tiers, grounds.labels_count)
    statement = Statement(
        target=target,
        delta=delta,
        certified=certified,
        bound=next((one.bound for one in found if one.certified), found[0].bound if found else "betting"),
        slices=slices,
        kept=kept,
        shares=shares,
        escalated=escalated,
        saving=saving,
        text="",
    )
    relative = _grading(grounds.calibration).relative
    text = describe(statement, grounds.tiers, gated=proof.answers is not None, relative=relative)
    return msgspec.structs.replace(statement, text=text), found


def _carry_out(proof: Rows, found: Sequence[Proved]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the tier called first and of the tier whose answer is used, each (n,), under what was proved."""
    first = np.full(len(proof), proof.predicted.shape[1] - 1)
    last = first.copy()
    for one in found:
        accept = NEVER_DOWN if one.accept is None else one.accept
        ways = follow(proof.predicted, proof.known, one.route, proof.answers, accept)
        first[one.rows], last[one.rows] = ways[0][one.rows], ways[1][one.rows]
    return first, last


def _figures(
    proof: Rows, mask: np.ndarray, first: np.ndarray, last: np.ndarray, tiers: Sequence[str]
) -> tuple[float, dict[str, float], float]:
    """Point estimates on some proof rows: quality kept, share of calls by the tier whose answer is used, share escalated."""
    weight = np.where(mask, proof.weight, 0.0)
    total = max(float(weight.sum()), 1e-12)
    at_top = float(weight @ proof.truth[:, -1])
    kept = float(weight @ proof.truth[np.arange(len(proof)), last]) / at_top if at_top > 0 else 1.0
    shares = {tier: float(weight @ (last == place)) / total for place, tier in enumerate(tiers)}
    return kept, shares, float(weight @ (first != last)) / total


def _describe_slice(
    proof: Rows,
    one: Proved,
    first: np.ndarray,
    last: np.ndarray,
    grounds: Grounds,
    target: float,
    *,
    only: bool,
) -> Slice:
    kept, shares, escalated = _figures(proof, one.rows, first, last, grounds.tiers)
    weight = proof.weight[one.rows]
    top = float(np.average(proof.truth[one.rows, -1], weights=weight)) if len(weight) else 0.0
    down = 1.0 - shares[grounds.tiers[-1]]
    # a label of the calibration split that proves stands for so many of all splits
    per_row = grounds.labels_count / max(len(proof), 1)
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
        more_labels=None if one.more_rows is None else round(one.more_rows * per_row),
    )


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


def _grading(labels: Sequence[Label]) -> Grading:
    return Grading(
        graders=dict(Counter(label.grader for label in labels).most_common()),
        uncertain=sum(label.certainty < 1.0 for label in labels) / max(len(labels), 1),
        reviewed=sum(label.audit is not None for label in labels),
    )


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

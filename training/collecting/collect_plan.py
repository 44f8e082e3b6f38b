"""Look through a log and say what is still to be asked of which tier, and what it will likely cost. Asks nothing.

Requests are told apart by what is asked, not by their ids: two records that ask the same share one paid answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from learned_router.errors import InputError
from learned_router.training.collecting.budget import TOKENS_OF_ANSWER, answer_tokens, body_tokens, counted_input_tokens
from learned_router.training.collecting.completion import BodyBuilder, fingerprint
from learned_router.training.collecting.endpoints import CollectTier
from learned_router.training.collecting.journal import Journal, Key
from learned_router.training.collecting.stratify import draw
from learned_router.training.importers.logs import read_pairs
from learned_router.training.labelling.steps import infer_step
from learned_router.training.records import Record, Skipped


class TierPlan(msgspec.Struct):
    """What one tier needs. held: answers that the log has; journaled: those that an earlier run has paid for; to_ask:
    requests still to be asked; shared: records that need no request, as another asks the same; absent: records without
    an answer of a tier that is never asked. Tokens and dollars are expectations for ``to_ask``.
    """

    held: int = 0
    journaled: int = 0
    to_ask: int = 0
    shared: int = 0
    absent: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class Plan(msgspec.Struct):
    """What a collection has before it. read: usable records; chosen: of them, those in the sample; drawn: their ids, None
    when all are. steps: chosen records by step. answer_tokens: length expected where the log tells none.
    """

    read: int
    chosen: int
    drawn: set[str] | None
    steps: dict[str, int]
    answer_tokens: int
    tiers: dict[str, TierPlan]
    skipped: Skipped

    @property
    def cost_usd(self) -> float:
        return sum(tier.cost_usd for tier in self.tiers.values())


class Question(NamedTuple):
    """One request for one tier. input_tokens and output_tokens: expected; the latter None where the log tells none."""

    record: Record
    key: Key
    body: dict[str, Any]
    input_tokens: int
    output_tokens: int | None


def read_requests(paths: Iterable[Path], skipped: Skipped) -> Iterator[Record]:
    """The records of the logs, those without any answer with them. Every pass over the logs goes through here."""
    return read_pairs(paths, skipped, bare=True)


def chosen_records(paths: Sequence[Path], drawn: set[str] | None, skipped: Skipped | None = None) -> Iterator[Record]:
    """The records of the sample, read anew: a log need not fit into memory."""
    for record in read_requests(paths, Skipped() if skipped is None else skipped):
        if drawn is None or record.id in drawn:
            yield record


def question(record: Record, tier: CollectTier, build_body: BodyBuilder) -> Question | None:
    """What to ask a tier of a record; None when the log holds the answer, the tier is never asked, or the record is
    nested more deeply than JSON can be written."""
    held = record.outputs.get(tier.model)
    if tier.endpoint is None or (held is not None and held.error is None):
        return None
    try:
        body = build_body(record, tier.endpoint.served_name or tier.model)
        key = (tier.model, fingerprint(body))
        estimated = body_tokens(body)
        expected = answer_tokens(record)
    except RecursionError:
        return None
    limit = body.get("max_tokens")
    if expected is not None and limit is not None:
        expected = min(expected, limit)
    counted = counted_input_tokens(record)
    return Question(record, key, body, estimated if counted is None else counted, expected)


def make_plan(
    paths: Sequence[Path],
    tiers: Sequence[CollectTier],
    journal: Journal,
    *,
    build_body: BodyBuilder,
    sample: int | None = None,
    seed: int = 0,
    max_tokens: int | None = None,
) -> Plan:
    """Read the logs once, or twice for a sample, and count. Raises InputError when they hold no usable record, and for
    a tier that is never asked and that no record holds, naming the models that are there.
    """
    skipped = Skipped()
    drawn = None if sample is None else _draw(paths, sample, seed)
    plan = Plan(0, 0, drawn, {}, TOKENS_OF_ANSWER, {tier.name: TierPlan() for tier in tiers}, skipped)
    steps: Counter[str] = Counter()
    models: Counter[str] = Counter()
    told: list[int] = [0, 0]  # answers of the log, their tokens
    untold: Counter[str] = Counter()
    seen: set[Key] = set()
    for record in read_requests(paths, skipped):
        plan.read += 1
        if drawn is not None and record.id not in drawn:
            continue
        plan.chosen += 1
        steps[record.step or infer_step(record)] += 1
        models.update(record.outputs.keys())
        length = answer_tokens(record)
        if length is not None:
            told = [told[0] + 1, told[1] + length]
        for tier in tiers:
            asked = question(record, tier, build_body)
            if asked is None:
                counts = plan.tiers[tier.name]
                if tier.model in record.outputs and record.outputs[tier.model].error is None:
                    counts.held += 1
                elif tier.endpoint is None:
                    counts.absent += 1
                else:
                    skipped.add("too_deep", f"record {record.id}: nested too deeply to be asked of {tier.name}")
            else:
                untold[tier.name] += _add(plan.tiers[tier.name], asked, tier, journal, seen)
    if not plan.chosen:
        raise InputError(f"no usable record: {_told(skipped)}; each line must be one paired-log record")
    _check_models(plan, tiers, models)
    plan.steps = dict(steps.most_common())
    plan.answer_tokens = round(told[1] / told[0]) if told[0] else TOKENS_OF_ANSWER
    if max_tokens is not None:
        plan.answer_tokens = min(plan.answer_tokens, max_tokens)
    for tier in tiers:
        if tier.price is not None:
            more = untold[tier.name] * plan.answer_tokens
            plan.tiers[tier.name].output_tokens += more
            plan.tiers[tier.name].cost_usd += tier.price.cost_usd(0, more)
    return plan


def _add(counts: TierPlan, asked: Question, tier: CollectTier, journal: Journal, seen: set[Key]) -> bool:
    """Count one question; True when it is to be asked and the log does not tell how long its answer will be."""
    if asked.key in journal:
        counts.journaled += 1
        return False
    if asked.key in seen:
        counts.shared += 1
        return False
    seen.add(asked.key)
    counts.to_ask += 1
    counts.input_tokens += asked.input_tokens
    counts.output_tokens += asked.output_tokens or 0
    if tier.price is not None:
        counts.cost_usd += tier.price.cost_usd(asked.input_tokens, asked.output_tokens or 0)
    return asked.output_tokens is None


def _draw(paths: Sequence[Path], count: int, seed: int) -> set[str]:
    strata: dict[str, list[str]] = {}
    for record in read_requests(paths, Skipped()):
        strata.setdefault(record.step or infer_step(record), []).append(record.id)
    return draw(strata, count, seed)


def _check_models(plan: Plan, tiers: Sequence[CollectTier], models: Counter[str]) -> None:
    for tier in tiers:
        if tier.endpoint is None and tier.model not in models:
            there = ", ".join(f"{model} ({count})" for model, count in models.most_common())
            raise InputError(
                f"--tier {tier.name}={tier.model}: in none of {plan.chosen} records; the models that are there: "
                f"{there or 'none'}. To ask it, say where, as in {tier.name}={tier.model}@https://HOST/v1"
            )


def _told(skipped: Skipped) -> str:
    reasons = skipped.to_dict().items()
    return (
        "; ".join(f"{found['count']} × {reason} ({found['first'][0]})" for reason, found in reasons)
        or "nothing was read"
    )

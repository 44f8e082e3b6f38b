"""Fill a log with the answers of tiers that have not answered yet, and survive being killed. One call, logs in, log out.

Knows files, the plan and the journal; knows nothing of HTTP, of grading or of which model is good.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from learned_router.errors import InputError
from learned_router.training.collecting.ask_tiers import Collection, Options, Progress, TierRun
from learned_router.training.collecting.budget import Budget
from learned_router.training.collecting.collect_plan import Plan, Question, chosen_records, make_plan, question
from learned_router.training.collecting.completion import BodyBuilder, chat_body
from learned_router.training.collecting.endpoints import CollectTier
from learned_router.training.collecting.journal import Journal
from learned_router.training.records import Record, write_jsonl

DEFAULTS: Final = Options()


class CollectRun(msgspec.Struct):
    """A whole collection. spent_usd: by this run, with what failed requests may have cost; before_usd: by runs before it.
    left: requests not answered, by tier. written: records in ``out``.
    """

    tiers: list[CollectTier]
    plan: Plan
    runs: dict[str, TierRun]
    out: Path
    written: int
    before_usd: float
    spent_usd: float
    over_budget: bool
    max_cost: float | None
    seconds: float

    @property
    def left(self) -> dict[str, int]:
        asked = self.plan.tiers
        return {name: asked[name].to_ask - run.answered for name, run in self.runs.items()}

    @property
    def complete(self) -> bool:
        return not any(self.left.values())


def journal_of(out: Path) -> Path:
    """Where the answers for ``out`` are kept while they come in, and after."""
    return out.with_name(out.name + ".journal")


def plan_files(
    paths: Sequence[Path],
    tiers: Sequence[CollectTier],
    out: Path,
    options: Options = DEFAULTS,
    *,
    build_body: BodyBuilder | None = None,
) -> Plan:
    """What ``collect_files`` would ask, and its expected cost; needs no key, asks and writes nothing.

    Raises InputError as ``collect_files`` does for files and options.
    """
    _check(paths, out, options)
    with Journal(journal_of(out), read_only=True) as journal:
        return _plan(paths, tiers, journal, options, build_body or _body_builder(options))


def collect_files(
    paths: Sequence[Path],
    tiers: Sequence[CollectTier],
    out: Path,
    options: Options = DEFAULTS,
    *,
    build_body: BodyBuilder | None = None,
    progress: Progress | None = None,
) -> CollectRun:
    """Ask what the logs and the journal beside ``out`` do not hold, then write the records with all answers to ``out``.

    An answer is on the disk before the next one is asked for, so a run killed at any moment goes on where it was. A
    request that failed is no answer: it is counted, leaves no output, and is asked again by the next run.
    build_body: the request of a record; else ``chat_body``.
    Raises InputError when a file, an option or the journal cannot be used, when a key is not set, and when an endpoint
    refuses before anything was answered; KeyboardInterrupt when interrupted, after what was under way has been kept.
    """
    _check(paths, out, options)
    began = time.perf_counter()
    builder = build_body or _body_builder(options)
    with Journal(journal_of(out)) as journal:
        before_usd = journal.spent_usd
        plan = _plan(paths, tiers, journal, options, builder)
        budget = Budget(options.max_cost, before_usd)

        def questions(tier: CollectTier) -> Iterator[Question | None]:
            return (question(record, tier, builder) for record in chosen_records(paths, plan.drawn))

        collection = Collection(questions, tiers, plan, journal, budget, options, progress or Progress())
        interrupted = asyncio.run(collection.ask())
        if interrupted:
            raise KeyboardInterrupt
        collection.raise_if_all_refused()
        written = write_jsonl(out, _with_answers(paths, tiers, plan, journal, builder))
    return CollectRun(
        tiers=list(tiers),
        plan=plan,
        runs=collection.runs,
        out=out,
        written=written,
        before_usd=before_usd,
        spent_usd=budget.spent_usd - before_usd,
        over_budget=budget.exhausted,
        max_cost=options.max_cost,
        seconds=time.perf_counter() - began,
    )


def _check(paths: Sequence[Path], out: Path, options: Options) -> None:
    for name, value in (("--concurrency", options.concurrency), ("--attempts", options.patience.attempts)):
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")
    if options.max_tokens is not None and options.max_tokens < 1:
        raise InputError(f"--max-tokens is {options.max_tokens}; it must be at least 1")
    if options.max_cost is not None and not options.max_cost >= 0:
        raise InputError(f"--max-cost is {options.max_cost}; it must be an amount of dollars, 0 or more")
    if not 0 < options.patience.timeout_s < float("inf"):
        raise InputError(f"--timeout is {options.patience.timeout_s}; it must be a number of seconds above 0")
    if any(os.path.realpath(path) == os.path.realpath(out) for path in paths):
        raise InputError(f"--out {out}: is one of the logs; give another file, so that nothing of the log is lost")
    if out.is_dir():
        raise InputError(f"--out {out}: a folder; give the file to write, .jsonl or .jsonl.gz")


def _body_builder(options: Options) -> BodyBuilder:
    return functools.partial(
        chat_body, temperature=options.temperature, max_tokens=options.max_tokens, logprobs=options.logprobs
    )


def _plan(
    paths: Sequence[Path], tiers: Sequence[CollectTier], journal: Journal, options: Options, build_body: BodyBuilder
) -> Plan:
    return make_plan(
        paths,
        tiers,
        journal,
        build_body=build_body,
        sample=options.sample,
        seed=options.seed,
        max_tokens=options.max_tokens,
    )


def _with_answers(
    paths: Sequence[Path], tiers: Sequence[CollectTier], plan: Plan, journal: Journal, build_body: BodyBuilder
) -> Iterator[Record]:
    for record in chosen_records(paths, plan.drawn):
        answers = {
            tier.model: journal.read(asked.key)
            for tier in tiers
            if (asked := question(record, tier, build_body)) is not None and asked.key in journal
        }
        yield msgspec.structs.replace(record, outputs={**record.outputs, **answers}) if answers else record

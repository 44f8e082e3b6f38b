"""Show a collection: what it will ask, how far it is, what came of it. Knows plans and runs; asks nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from learned_router.training.collect import CollectRun
from learned_router.training.collecting.ask_tiers import Progress
from learned_router.training.collecting.budget import ASCII_CHARACTERS_PER_TOKEN, TOKENS_OF_IMAGE
from learned_router.training.collecting.collect_plan import Plan
from learned_router.training.collecting.endpoints import CollectTier

TOKEN_RULE = (
    f"tokens as the log counts them; else {ASCII_CHARACTERS_PER_TOKEN} ASCII characters of the request's JSON a token, "
    f"any other character one, an image {TOKENS_OF_IMAGE:,}"
)


class LiveProgress(Progress):
    """Bars on a terminal, one a tier, with the dollars so far; on anything else, only what must be told."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[spent]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, tier: str, done: int, total: int) -> None:
        self._tasks[tier] = self._bars.add_task(f"asking {escape(tier)}", total=total, completed=done, spent="")

    def advance(self, tier: str, spent_usd: float) -> None:
        self._bars.update(self._tasks[tier], advance=1, spent=f"{dollars(spent_usd)} so far")

    def tell(self, sentence: str) -> None:
        self._console.print(sentence, style="yellow", markup=False, highlight=False, soft_wrap=True)


def render_plan(plan: Plan, tiers: list[CollectTier], console: Console, max_cost: float | None = None) -> None:
    """Print what would be asked and its expected cost, tier by tier."""
    _say_tiers(console, tiers)
    table = _table("tier", "held", "to ask", "tokens in", "tokens out", "expected")
    for tier in tiers:
        counts = plan.tiers[tier.name]
        done = counts.held + counts.journaled + counts.shared
        asked = [f"{counts.input_tokens:,}", f"{counts.output_tokens:,}", dollars(counts.cost_usd)]
        row = asked if tier.endpoint else ["", "", "never asked"]
        table.add_row(escape(tier.name), f"{done:,}", f"{counts.to_ask:,}", *row)
    console.print(table)
    _say(console, _records(plan))
    _say(console, TOKEN_RULE)
    _say(console, f"where the log holds no answer to go by, one of {plan.answer_tokens:,} tokens is expected")
    _say(console, f"expected in all {dollars(plan.cost_usd)}")
    if max_cost is not None and plan.cost_usd > max_cost:
        _say(console, f"warning: that is more than --max-cost {dollars(max_cost)}; asking would stop there", "yellow")


def render_run(run: CollectRun, console: Console) -> None:
    """Print what was asked, what failed and why, and what it cost."""
    _say_tiers(console, run.tiers)
    table = _table("tier", "held", "answered", "failed", "not asked", "tokens in", "tokens out", "cost")
    for tier in run.tiers:
        counts, made = run.plan.tiers[tier.name], run.runs[tier.name]
        row = [
            counts.held + counts.journaled + counts.shared,
            made.answered,
            made.failed.total,
            _not_asked(run, tier.name),
        ]
        tokens = [f"{made.input_tokens:,}", f"{made.output_tokens:,}", dollars(made.cost_usd)]
        numbers = [f"{number:,}" for number in row]
        table.add_row(escape(tier.name), *numbers, *(tokens if tier.endpoint else ["", "", ""]))
    console.print(table)
    _say(console, _records(run.plan))
    for tier in run.tiers:
        made, absent = run.runs[tier.name], run.plan.tiers[tier.name].absent
        if absent:
            _say(console, f"{tier.name}: {absent:,} records hold no answer of {tier.model}, which is never asked")
        for reason, found in made.failed.to_dict().items():
            _say(console, f"{tier.name}: failed {found['count']:,}: {reason} (first: {found['first'][0]})", "yellow")
        for note in made.notes:
            _say(console, f"{tier.name}: {note}")
        if made.cut:
            _say(console, f"{tier.name}: {made.cut:,} answers were cut off at their limit of tokens", "yellow")
        if made.uncounted:
            _say(console, f"{tier.name}: {made.uncounted:,} answers without the server's count; {TOKEN_RULE}")
    before = f", beside {dollars(run.before_usd)} of runs before" if run.before_usd else ""
    _say(console, f"spent {dollars(run.spent_usd)}{before}; {run.seconds:.1f} s")


def describe_left(run: CollectRun) -> str:
    """One sentence on what is missing and what to do; "" when nothing is."""
    parts = []
    for name, left in run.left.items():
        if left:
            failed, waiting = run.runs[name].failed.total, _not_asked(run, name)
            parts.append(f"{left:,} answers of {name} ({failed:,} failed, {waiting:,} not asked)")
    if not parts:
        return ""
    reasons = [made.closed for made in run.runs.values() if made.closed]
    if run.over_budget and run.max_cost is not None:
        reasons.append(f"the next request could have exceeded --max-cost {dollars(run.max_cost)}; raise it to go on")
    told = "".join(f"; {reason}" for reason in reasons)
    return f"{' and '.join(parts)} are missing{told}. The same command asks for them, and for nothing twice"


def summarize_plan(plan: Plan, tiers: list[CollectTier]) -> dict[str, Any]:
    """``plan`` ready for JSON: tokens and dollars are expectations."""
    return {
        "dry_run": True,
        **_counts(plan),
        "tiers": {tier.name: {**_tier(tier), **msgspec.structs.asdict(plan.tiers[tier.name])} for tier in tiers},
        "expected_usd": plan.cost_usd,
        "answer_tokens": plan.answer_tokens,
        "token_rule": TOKEN_RULE,
    }


def summarize_run(run: CollectRun) -> dict[str, Any]:
    """``run`` ready for JSON: what was held, asked, answered and missed, by tier; dollars as spent."""
    tiers = {}
    for tier in run.tiers:
        counts, made = run.plan.tiers[tier.name], run.runs[tier.name]
        tiers[tier.name] = {
            **_tier(tier),
            "held": counts.held,
            "journaled": counts.journaled,
            "shared": counts.shared,
            "absent": counts.absent,
            "to_ask": counts.to_ask,
            "answered": made.answered,
            "failed": made.failed.to_dict(),
            "not_asked": _not_asked(run, tier.name),
            "input_tokens": made.input_tokens,
            "output_tokens": made.output_tokens,
            "uncounted": made.uncounted,
            "cut": made.cut,
            "cost_usd": made.cost_usd,
            "closed": made.closed,
            "notes": made.notes,
        }
    return {
        "out": str(run.out),
        "written": run.written,
        **_counts(run.plan),
        "tiers": tiers,
        "spent_usd": run.spent_usd,
        "before_usd": run.before_usd,
        "complete": run.complete,
        "missing": describe_left(run),
        "seconds": run.seconds,
    }


def dollars(usd: float) -> str:
    """``$1.23``; below ten cents with as many digits as tell something."""
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}" if usd >= 1e-4 else f"${usd:.6f}"


def _not_asked(run: CollectRun, tier: str) -> int:
    return run.left[tier] - run.runs[tier].failed.total


def _counts(plan: Plan) -> dict[str, Any]:
    return {"read": plan.read, "chosen": plan.chosen, "steps": plan.steps, "skipped": plan.skipped.to_dict()}


def _tier(tier: CollectTier) -> dict[str, Any]:
    endpoint = tier.endpoint.url if tier.endpoint else None
    return {"model": tier.model, "endpoint": endpoint, "price": tier.price}


def _say_tiers(console: Console, tiers: list[CollectTier]) -> None:
    for tier in tiers:
        if tier.endpoint is None or tier.price is None:
            _say(console, f"{tier.name}: {tier.model}, as the log has it", "bold")
            continue
        served = tier.endpoint.served_name if tier.endpoint.served_name not in (None, tier.model) else ""
        where = "through litellm" if tier.endpoint.through_litellm else f"at {tier.endpoint.url}"
        _say(console, f"{tier.name}: {tier.model} {where}{f', there {served}' if served else ''}", "bold")
        price = tier.price
        told = f"${price.input_per_million:g} in, ${price.output_per_million:g} out per million tokens"
        _say(console, f"  {told} ({price.source}, {price.as_of})")


def _records(plan: Plan) -> str:
    steps = ", ".join(f"{step} {count:,}" for step, count in plan.steps.items())
    sample = f", a sample of {plan.chosen:,}" if plan.drawn is not None else ""
    return f"{plan.read:,} records{sample}: {steps}"


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    return table


def _say(console: Console, sentence: str, style: str = "") -> None:
    console.print(sentence, style=style, markup=False, highlight=False)

"""Show what labelling found, for people in 80 columns and for machines as JSON. Counts and grades nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learned_router.training.labelling.audit import AuditFindings, GraderCheck
from learned_router.training.labelling.label_run import LabelRun, describe_skipped
from learned_router.training.labelling.tally import UNCERTAIN, FourCells, TierCost, shorten

DOUBTFUL_CHARS: Final = 74
FIRST_SHOWN: Final = 3


def render_label_run(run: LabelRun, console: Console) -> None:
    """Print ``run`` to ``console``: who was right by task and step, graders, duplicates, cost, doubtful labels, rate."""

    def say(line: str, **style: Any) -> None:
        console.print(line, highlight=False, markup=False, emoji=False, **style)  # 'agreement:label:' is no picture

    small, frontier = next(iter(run.tiers)), list(run.tiers)[-1]
    say(f"{run.tiers[small]} ({small}) beside {run.tiers[frontier]} ({frontier})", style="bold")
    console.print(_cell_table("task", [*run.tasks, run.total], small, frontier))
    console.print()
    console.print(_cell_table("step", run.steps, small, frontier))
    console.print()
    say("graded by " + ", ".join(f"{name} {count}" for name, count in run.graders.items()))
    say("split " + ", ".join(f"{side} {count}" for side, count in run.sides.items()))
    say(f"uncertain (below {UNCERTAIN}): {run.uncertain:.1%} of the labels")
    say(describe_duplicates(run))
    for tier, cost in run.costs.items():
        say(f"{tier} cost {describe_cost(cost)}")
    if run.reviewed or run.unknown_reviews:
        say(f"reviewed {run.reviewed}{_unknown(run.unknown_reviews)}")
    if run.audit:
        for line in describe_audit(run.audit):
            say(line)
    if run.doubtful:
        say(f"the {len(run.doubtful)} most doubtful labels (grader, certainty, id, request)", style="bold")
        for item in run.doubtful:
            say(f"  {item.grader} {item.certainty:.2f}  {item.id}")
            say(f"    {shorten(item.request, DOUBTFUL_CHARS)}", style="dim")
    if run.skipped.total:
        say(f"skipped {describe_skipped(run.skipped)}")
    for warning in run.warnings:
        say(f"warning: {warning}", style="yellow")
    say(f"{run.made} labels from {run.read} records in {run.seconds:.2f} s ({run.records_per_second:,.0f} records/s)")


def summarize(run: LabelRun) -> dict[str, Any]:
    """``run`` without its labels, ready for JSON: what was read, made and left out, and what the labels say.

    Shares lie in [0, 1], ``seconds`` are wall clock, ``records_per_second`` counts what was read. ``costs`` hold sums
    over ``priced`` and ``counted`` outputs only.
    """
    return {
        "read": run.read,
        "labels": run.made,
        "tiers": run.tiers,
        "skipped": run.skipped.to_dict(),
        "tasks": [_cells("task", row) for row in run.tasks],
        "steps": [_cells("step", row) for row in run.steps],
        "total": _cells("task", run.total),
        "graders": run.graders,
        "sides": run.sides,
        "uncertain": run.uncertain,
        "duplicates": run.duplicates,
        "costs": {tier: msgspec.structs.asdict(cost) for tier, cost in run.costs.items()},
        "doubtful": [msgspec.structs.asdict(item) for item in run.doubtful],
        "reviewed": run.reviewed,
        "unknown_reviews": run.unknown_reviews,
        "audit": None if run.audit is None else msgspec.to_builtins(run.audit),
        "to_audit": [msgspec.structs.asdict(item) for item in run.to_audit],
        "warnings": run.warnings,
        "seconds": run.seconds,
        "records_per_second": run.records_per_second,
    }


def describe_duplicates(run: LabelRun) -> str:
    """How many requests repeat an earlier one, in one line."""
    found = run.duplicates
    repeated = found["exact"] + found["near"]
    if not repeated:
        return "duplicates none"
    return (
        f"duplicates {repeated} ({found['exact']} exact, {found['near']} near) of {found['groups']} requests, "
        f"the most of one {found['largest']}; each counts once"
    )


def describe_audit(found: AuditFindings) -> list[str]:
    """How many labels were drawn, what lacks, and how graders did beside the person, in lines for 80 columns."""
    lines = [f"audit: {found.drawn} calibration labels drawn with chance {found.chance:g}"]
    if found.lacking:
        lines[0] += f", {found.lacking} without a verdict"
        lines.append("  no verdict of the audit counts until every drawn label has one")
    if found.total:
        rows = found.graders if len(found.graders) == 1 else [found.total, *found.graders]
        lines.append("  agreed with the person; mean error of grades (above 0: kind to the cheapest)")
        lines += [f"  {_describe_check(row)}" for row in rows]
    if found.unused:
        lines.append(f"  {found.unused} verdicts not used: label gone, in another split, or graded exactly")
    if found.set_aside:
        lines.append(f"  {found.set_aside} verdicts of --reviews set aside: the calibration split goes by the draw")
    return lines


def describe_asked(found: AuditFindings, path: Path) -> str:
    """What ``--audit`` has written to ``path``, or why nothing."""
    if found.lacking:
        return f"wrote {found.lacking} drawn labels to {path}: fill in every 'verdict', then add --reviews {path}"
    if found.drawn:
        return f"{path} not written: all {found.drawn} drawn labels have a verdict"
    return f"{path} not written: no calibration label with an uncertain grade was drawn; take a larger --audit-share"


def _describe_check(row: GraderCheck) -> str:
    share = f"{row.agree} of {row.drawn} ({row.agree / row.drawn:.0%})"
    return f"{row.grader}: {share}; {row.error:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


def describe_cost(cost: TierCost) -> str:
    """``"$1.2300 (of 90 outputs), 12,000 + 340 tokens (of 90)"``, or what the log does not say."""
    parts = []
    if cost.priced:
        parts.append(f"${cost.cost_usd:,.4f}{_of(cost.priced, cost)}")
    if cost.counted:
        parts.append(f"{cost.input_tokens:,} tokens in and {cost.output_tokens:,} out{_of(cost.counted, cost)}")
    return "; ".join(parts) or "unknown: the log gives neither cost nor tokens"


def _of(given: int, cost: TierCost) -> str:
    return "" if given == cost.outputs else f" (of {given:,} of {cost.outputs:,} outputs)"


def _unknown(ids: Sequence[str]) -> str:
    if not ids:
        return ""
    return f"; {len(ids)} verdicts of ids that no record has (first: {', '.join(ids[:FIRST_SHOWN])})"


def _cell_table(heading: str, rows: Sequence[FourCells], small: str, frontier: str) -> Table:
    # made for 80 columns: without a frame, and a long task folds rather than lose its end
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(heading, overflow="fold")
    for column in ("labels", "both right", f"only {frontier}", f"only {small}", "neither"):
        table.add_column(escape(column), justify="right", no_wrap=True)
    for row in rows:
        shares = (_with_share(n, row.total) for n in (row.both, row.only_frontier, row.only_small, row.neither))
        table.add_row(escape(row.name), str(row.total), *shares, style="bold" if row.name == "all" else "")
    return table


def _cells(heading: str, row: FourCells) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    return {heading: fields.pop("name"), **fields, "labels": row.total}


def _with_share(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})" if total else "0"

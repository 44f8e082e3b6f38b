"""Turn paired logs into labels: grade every tier's output, split, and count who was right where.

Knows records, graders and the split; knows nothing of models' insides, training or the command line.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learned_router.errors import InputError
from learned_router.training.graders import GradeOptions, grade_record
from learned_router.training.records import Label, Record, Skipped, read_records, write_jsonl
from learned_router.training.split import FRACTIONS, SIDES, split

Method = Literal["auto", "gold"]

RIGHT: Final = 0.5  # the quality from which an output counts as right in the four cells
UNCERTAIN: Final = 0.5  # labels of less certainty are reported as uncertain
ENOUGH_LABELS: Final = 50
UNEVEN_SHARE: Final = 0.1  # a side this far from its share is worth a warning: groups are few or large


class FourCells(msgspec.Struct, frozen=True):
    """How many labels of ``task`` have both the smallest and the top tier right, only one of them, or neither."""

    task: str
    both: int
    only_frontier: int
    only_small: int
    neither: int

    @property
    def total(self) -> int:
        return self.both + self.only_frontier + self.only_small + self.neither


class LabelRun(msgspec.Struct, frozen=True):
    """What ``label`` made of the records: the labels, what was left out and why, and what the labels say.

    cells: one a task, most labels first. total: the same over all tasks. uncertain: share of the labels whose
    certainty is below ``UNCERTAIN``. sides: labels by side of the split. seconds: wall clock, reading included.
    """

    labels: list[Label]
    tiers: dict[str, str]
    skipped: Skipped
    read: int
    seconds: float
    cells: list[FourCells]
    total: FourCells
    graders: dict[str, int]
    sides: dict[str, int]
    uncertain: float
    warnings: list[str]

    @property
    def records_per_second(self) -> float:
        return self.read / self.seconds if self.seconds > 0 else 0.0


def label_files(
    paths: Iterable[Path],
    tiers: Mapping[str, str],
    out: Path,
    *,
    labels: Method = "auto",
    options: GradeOptions | None = None,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
) -> LabelRun:
    """Label the paired logs in ``paths`` and write the labels to ``out``. Raises as ``label`` and ``read_records`` do.

    Nothing is written when no record can be labelled.
    """
    skipped = Skipped()
    run = label(
        read_records(paths, skipped),
        tiers,
        labels=labels,
        options=options,
        seed=seed,
        fractions=fractions,
        skipped=skipped,
    )
    if not run.labels:
        raise InputError(f"no record could be labelled: {describe_skipped(run.skipped)}")
    write_labels(run, out)
    return run


def write_labels(run: LabelRun, path: Path) -> int:
    """Write the labels of ``run``, one JSON object a line; ``.gz`` is gzipped. Returns how many."""
    return write_jsonl(path, run.labels)


def label(
    records: Iterable[Record],
    tiers: Mapping[str, str],
    *,
    labels: Method = "auto",
    options: GradeOptions | None = None,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    skipped: Skipped | None = None,
) -> LabelRun:
    """Grade each record's outputs of ``tiers`` and split the labels.

    records: read once, one at a time. tiers: model by tier name, cheapest first, the last being the frontier.
    labels: ``"auto"`` grades by the reference, else by agreement with the frontier's output; ``"gold"`` takes the
    records' ``score``, which is read in no other case. options: what else decides how an output is graded.
    skipped: what reading has left out so far; more is added.
    Raises InputError for fewer than two tiers, and for a model that no record holds, naming those that are there.
    """
    options = msgspec.structs.replace(options or GradeOptions(), labels=labels)
    options.check()
    _check_tiers(tiers)
    skipped = Skipped() if skipped is None else skipped
    began = time.perf_counter()
    seen: Counter[str] = Counter()
    read = 0
    made: list[Label] = []
    for record in records:
        read += 1
        seen.update(record.outputs.keys())
        item = _label_record(record, tiers, options, skipped)
        if item is not None:
            made.append(item)
    _check_models(tiers, seen, read, skipped)
    split(made, fractions=fractions, seed=seed)
    sides = dict.fromkeys(SIDES, 0) | Counter(item.split for item in made)
    cells, total = four_cells(made)
    return LabelRun(
        labels=made,
        tiers=dict(tiers),
        skipped=skipped,
        read=read,
        seconds=time.perf_counter() - began,
        cells=cells,
        total=total,
        graders=dict(Counter(item.grader for item in made).most_common()),
        sides=sides,
        uncertain=sum(item.certainty < UNCERTAIN for item in made) / len(made) if made else 0.0,
        warnings=list(_warnings(total, sides, fractions, skipped)),
    )


def four_cells(labels: Iterable[Label]) -> tuple[list[FourCells], FourCells]:
    """Four cells of each task, most labels first, and of all labels; smallest against top tier, right from 0.5 up."""
    counts: dict[str, list[int]] = {}
    for item in labels:
        values = list(item.quality.values())
        small, frontier = values[0] >= RIGHT, values[-1] >= RIGHT
        cell = 0 if small and frontier else 1 if frontier else 2 if small else 3
        counts.setdefault(item.task or "(no task)", [0, 0, 0, 0])[cell] += 1
    cells = sorted((FourCells(task, *row) for task, row in counts.items()), key=lambda row: (-row.total, row.task))
    sums = [sum(column) for column in zip(*counts.values(), strict=True)] if counts else [0, 0, 0, 0]
    return cells, FourCells("all", *sums)


def render_label_run(run: LabelRun, console: Console) -> None:
    """Print ``run`` to ``console``: four cells by task, graders, split, what was skipped, warnings, rate."""
    small, frontier = next(iter(run.tiers)), list(run.tiers)[-1]
    console.print(f"{run.tiers[small]} ({small}) beside {run.tiers[frontier]} ({frontier})", style="bold", markup=False)
    # made for 80 columns: without a frame, and a long task folds rather than lose its end
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("task", overflow="fold")
    for heading in ("labels", "both right", f"only {frontier}", f"only {small}", "neither"):
        table.add_column(escape(heading), justify="right", no_wrap=True)
    for row in [*run.cells, run.total]:
        shares = (_with_share(n, row.total) for n in (row.both, row.only_frontier, row.only_small, row.neither))
        table.add_row(escape(row.task), str(row.total), *shares, style="bold" if row is run.total else "")
    console.print(table)
    console.print("graded by " + ", ".join(f"{name} {count}" for name, count in run.graders.items()), highlight=False)
    console.print("split " + ", ".join(f"{side} {count}" for side, count in run.sides.items()), highlight=False)
    console.print(f"uncertain (below {UNCERTAIN}): {run.uncertain:.1%} of the labels", highlight=False)
    if run.skipped.total:
        console.print(f"skipped {describe_skipped(run.skipped)}", highlight=False, markup=False)
    for warning in run.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)
    rate = f"{run.read} records in {run.seconds:.2f} s ({run.records_per_second:,.0f} records/s)"
    console.print(f"{len(run.labels)} labels from {rate}", highlight=False)


def summarize(run: LabelRun) -> dict[str, Any]:
    """``run`` without its labels, ready for JSON: what was read, made and left out, and what the labels say.

    Shares lie in [0, 1], ``seconds`` are wall clock, ``records_per_second`` counts what was read.
    """
    return {
        "read": run.read,
        "labels": len(run.labels),
        "tiers": run.tiers,
        "skipped": run.skipped.to_dict(),
        "tasks": [_cells(row) for row in run.cells],
        "total": _cells(run.total),
        "graders": run.graders,
        "sides": run.sides,
        "uncertain": run.uncertain,
        "warnings": run.warnings,
        "seconds": run.seconds,
        "records_per_second": run.records_per_second,
    }


def _cells(row: FourCells) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "labels": row.total}


def describe_skipped(skipped: Skipped) -> str:
    """``"3 × missing_tier (first: record a, record b)"`` and so on, in one line."""
    reasons = skipped.to_dict()
    if not reasons:
        return "nothing was read"
    return "; ".join(
        f"{item['count']} × {reason} (first: {', '.join(item['first'])})" for reason, item in reasons.items()
    )


def _label_record(record: Record, tiers: Mapping[str, str], options: GradeOptions, skipped: Skipped) -> Label | None:
    place = f"record {record.id}"
    missing = [model for model in tiers.values() if model not in record.outputs]
    if missing:
        skipped.add("missing_tier", f"{place}: no output of {', '.join(missing)}")
        return None
    outputs = {tier: record.outputs[model] for tier, model in tiers.items()}
    try:
        grades = grade_record(record, outputs, options)
    except RecursionError:
        grades = "too_deep", "its reference or an output is nested too deeply to be compared"
    if isinstance(grades, tuple):
        skipped.add(grades[0], f"{place}: {grades[1]}")
        return None
    certainty = min(grade.certainty for grade in grades.values())
    names = dict.fromkeys(grade.grader for grade in grades.values())
    # the frontier is right by definition: the name that tells how the label came about is the other one
    names.pop("agreement:frontier", None)
    return Label(
        id=record.id,
        messages=record.messages,
        quality={tier: grade.quality for tier, grade in grades.items()},
        models=dict(tiers),
        grader="+".join(names),
        certainty=certainty,
        weight=certainty,
        tools=record.tools,
        response_format=record.response_format,
        step=record.step,
        session=record.session,
        task=record.task,
        category=record.category,
        source=record.source,
        licence=record.licence,
        # without score and feedback: what learns from labels must not see what they were made of
        outputs={tier: msgspec.structs.replace(outputs[tier], score=None, feedback=None) for tier in list(tiers)[:-1]},
    )


def _check_tiers(tiers: Mapping[str, str]) -> None:
    if len(tiers) < 2:
        raise InputError(f"--tier: found {len(tiers)}; give two tiers or more, cheapest first, as NAME=MODEL")
    if len(set(tiers.values())) < len(tiers):
        raise InputError(f"--tier: one model stands for two tiers ({dict(tiers)}); give each tier its own model")


def _check_models(tiers: Mapping[str, str], seen: Counter[str], read: int, skipped: Skipped) -> None:
    if not read:
        raise InputError(f"no usable record: {describe_skipped(skipped)}; each line must be one paired-log record")
    absent = {tier: model for tier, model in tiers.items() if model not in seen}
    if absent:
        wanted = ", ".join(f"{tier}={model}" for tier, model in absent.items())
        there = ", ".join(f"{model} ({count})" for model, count in seen.most_common())
        raise InputError(f"--tier {wanted}: in none of {read} records; the models that are there: {there or 'none'}")


def _warnings(
    total: FourCells, sides: Mapping[str, int], fractions: Sequence[float], skipped: Skipped
) -> Iterator[str]:
    if skipped.counts["no_output_to_grade"]:
        yield "some records hold no text and no tool calls; if they hold scores, label them with --labels gold"
    if total.total < ENOUGH_LABELS:
        yield f"{total.total} labels; training needs {ENOUGH_LABELS} or more"
    if total.total and not total.only_frontier + total.only_small:
        yield "the smallest and the top tier are right on the same requests; there is no difference to learn"
    for (side, count), share in zip(sides.items(), fractions, strict=True):
        found = count / total.total if total.total else share
        if total.total >= ENOUGH_LABELS and abs(found - share) > UNEVEN_SHARE:
            yield f"{side} holds {found:.0%} of the labels, not {share:.0%}: sessions or questions are few or large"


def _with_share(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})" if total else "0"

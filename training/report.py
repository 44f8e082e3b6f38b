"""Show an evaluation: terminal tables, JSON, Markdown for cards and the README, a page, a picture.

Knows the records of an evaluation; measures nothing and draws nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from learned_router.errors import InputError
from learned_router.training.evaluation import (
    ROUTER,
    Estimate,
    Evaluation,
    GateEvaluation,
    MethodResult,
    ModeResult,
    TierResult,
)
from learned_router.training.page import build_page
from learned_router.training.picture import draw_curve

if TYPE_CHECKING:
    from rich.console import Console

NAMES: Final = {
    "router": "this router",
    "random": "random",
    "length": "prompt length",
    "category": "mean of the category",
    "knn": "kNN on embeddings",
    "logistic_fail": "logistic: will small fail?",
    "logistic_gain": "logistic: gain of the top tier",
    "oracle": "oracle",
}


class Section(NamedTuple):
    """One table: what it shows, the names of its columns, its rows of cells."""

    title: str
    header: list[str]
    rows: list[list[str]]


def render(evaluation: Evaluation, console: Console) -> None:
    """Print what was measured: methods by APGR, modes, tiers with their calibration, tasks, and what to know.

    Made for 80 columns: intervals of APGR and of quality kept only; all of them are in JSON, Markdown and the page.
    """
    from rich import box
    from rich.table import Table

    console.print(f"{_escape(_summary(evaluation))}; brackets hold 95 % intervals")
    for section in sections(evaluation, brief=True):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for index, name in enumerate(section.header):
            # names fold where they are long; a figure broken over two lines cannot be read
            is_name = index == 0 or name == "model"
            table.add_column(
                _escape(name), justify="left" if is_name else "right", overflow="fold", no_wrap=not is_name
            )
        for row in section.rows:
            table.add_row(*(_escape(cell) for cell in row), style="bold cyan" if row[0] == NAMES[ROUTER] else None)
        # not the table's own title, which is broken at the table's width
        console.print("", f"[bold]{_escape(section.title)}[/]", table, sep="\n")
    console.print()
    for note in _notes(evaluation):
        console.print(f"[yellow]•[/] {_escape(note)}")


def markdown_tables(evaluation: Evaluation) -> str:
    """The same tables in Markdown, with every interval, for a model card."""
    parts = [f"{_summary(evaluation)}. {_brackets(evaluation)}"]
    for title, header, rows in sections(evaluation):
        parts.append(f"**{title}**\n\n{markdown_table(header, rows)}")
    notes = _notes(evaluation)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right; the router's own row is bold."""
    lines = [_markdown_row(header), _markdown_row(["---", *["---:"] * (len(header) - 1)])]
    lines += [_markdown_row([_bold(cell, row[0] == NAMES[ROUTER]) for cell in row]) for row in rows]
    return "\n".join(lines)


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation as JSON, aside and then renamed. Raises InputError when the place cannot be written."""
    _write_aside(path, msgspec.json.format(msgspec.json.encode(evaluation), indent=2))


def plot(evaluation: Evaluation, path: Path) -> None:
    """Write the quality–cost curve as PNG. Raises InputError when the place cannot be written."""
    _write_aside(path, draw_curve(evaluation, NAMES))


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Write one page that needs nothing beside it: tables with every interval, the curve, and what to know.

    Raises InputError when the place cannot be written.
    """
    tiers = " → ".join(f"{tier.name} ({tier.model})" if tier.model else tier.name for tier in evaluation.tiers)
    page = build_page(
        "Quality kept as fewer calls go to the top tier",
        [f"Tiers: {tiers}.", f"{_summary(evaluation)}. {_brackets(evaluation)}"],
        draw_curve(evaluation, NAMES),
        sections(evaluation),
        _notes(evaluation),
        marked=NAMES[ROUTER],
    )
    _write_aside(path, page.encode("utf-8", "replace"))


def sections(evaluation: Evaluation, *, brief: bool = False) -> list[Section]:
    """The tables of an evaluation, those without rows left out.

    brief: short headings, and intervals of APGR and of quality kept only, for a terminal of 80 columns.
    """
    cheapest, top = evaluation.tiers[0].name, evaluation.tiers[-1].name
    names = [tier.name for tier in evaluation.tiers]
    # of two tiers, calls saved are the calls to the cheaper one: a column that says nothing new
    saved = [] if brief and evaluation.saved_of != "cost" else [f"{evaluation.saved_of} saved"]
    found = [
        Section(
            f"Ways of choosing what goes to {top}, best first",
            ["method", "APGR", *(["CPT50", "CPT80"] if brief else ["CPT 50 %", "CPT 80 %"]), "AIQ"],
            [_method_row(method, brief) for method in _by_apgr(evaluation.methods)],
        ),
        Section(
            f"Operating points: quality kept relative to {top}, and calls to each tier",
            [
                "mode",
                "target",
                *(["kept, %", *(["saved"] if saved else []), *names] if brief else []),
                *([] if brief else ["quality kept", *saved, *(f"to {name}" for name in names)]),
                "threshold",
            ],
            [_mode_row(mode, names, brief, bool(saved)) for mode in evaluation.modes],
        ),
        Section(
            "Each tier, called always, and how far off the router's prediction of it is",
            ["tier", "model", *(["quality", "kept, %", "ECE"] if brief else ["mean quality", "quality kept", "ECE"])],
            [_tier_row(tier, brief) for tier in evaluation.tiers],
        ),
        Section(
            "The router within each task",
            ["task", "requests", cheapest, top, "APGR"],
            [
                [
                    task.name,
                    f"{task.rows:,}",
                    f"{task.quality[cheapest]:.3f}",
                    f"{task.quality[top]:.3f}",
                    interval(task.apgr, decimal),
                ]
                for task in evaluation.tasks
            ],
        ),
    ]
    if evaluation.gate:
        found[2:2] = _gate_sections(evaluation.gate, names, brief)
    return [section for section in found if section.rows]


def _gate_sections(gate: GateEvaluation, tiers: Sequence[str], brief: bool) -> list[Section]:
    top = tiers[-1]
    return [
        Section(
            f"The gate on {gate.rows:,} answers: which go on to {top}, beside the router, which sees the request alone",
            ["decided by", "APGR", "ECE"],
            [
                ["the gate", interval(gate.apgr, decimal), f"{gate.ece[0]:.3f}"],
                ["the router", interval(gate.router_apgr, decimal), "–"],
                ["difference", interval(gate.gain, signed), "–"],
            ],
        ),
        Section(
            f"Router and gate together: quality kept and cost, both relative to {top} for everything",
            ["mode", "target", "kept, %" if brief else "quality kept", "cost", "tried", "escalated", "wasted"],
            [
                [
                    mode.name,
                    f"{100 * mode.target:g} %",
                    interval(mode.kept, _hundredths if brief else percent),
                    _figure(mode.cost, _whole_percent if brief else percent, brief),
                    *((_whole_percent if brief else percent)(x) for x in (mode.tried, mode.escalated, mode.wasted)),
                ]
                for mode in gate.modes
            ],
        ),
    ]


def _gate_notes(gate: GateEvaluation) -> list[str]:
    costs = ", ".join(f"{tier} {cost:.3f}" for tier, cost in gate.call_costs.items())
    notes = [
        f"Cost of an average call, the top tier's being 1: {costs}"
        f"{', assumed for want of prices (give them as --price)' if gate.assumed else ''}. Tried: answered by a lower tier "
        "first; escalated: answered again by the top tier; wasted: share of the cost spent on answers that were not kept."
    ]
    if gate.rules:
        found = ", ".join(f"{name} {count} ({good} of them as good)" for name, (count, good) in gate.rules.items())
        notes.append(f"Certain failures found in answers: {found}.")
    if gate.left_out:
        notes.append(f"{gate.left_out:,} labels hold no answer of a lower tier, and the gate was not measured on them.")
    return notes


def _brackets(evaluation: Evaluation) -> str:
    return f"Brackets hold 95 % intervals from {evaluation.resamples:,} resamples of whole groups."


def _by_apgr(methods: Sequence[MethodResult]) -> list[MethodResult]:
    return sorted(methods, key=lambda method: -1.0 if method.apgr.value is None else method.apgr.value, reverse=True)


def _method_row(method: MethodResult, brief: bool) -> list[str]:
    return [
        NAMES.get(method.name, method.name),
        interval(method.apgr, decimal),
        *(_figure(estimate, percent, brief) for estimate in (method.cpt50, method.cpt80)),
        _figure(method.aiq, decimal, brief),
    ]


def _mode_row(mode: ModeResult, names: Sequence[str], brief: bool, with_saved: bool) -> list[str]:
    show = _whole_percent if brief else percent
    return [
        mode.name,
        f"{100 * mode.target:g} %",
        interval(mode.kept, _hundredths if brief else percent),
        *([_figure(mode.saved, show, brief)] if with_saved else []),
        *(show(mode.shares[name]) for name in names),
        f"{mode.threshold:.4f}",
    ]


def _tier_row(tier: TierResult, brief: bool) -> list[str]:
    kept = interval(tier.kept, _hundredths if brief else percent)
    return [tier.name, tier.model, f"{tier.quality:.3f}", kept, f"{tier.ece:.3f}"]


def _summary(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.rows:,} requests in {evaluation.groups:,} groups of split '{evaluation.split}', "
        f"{percent(evaluation.out_of_distribution)} out of distribution"
    )


def _notes(evaluation: Evaluation) -> list[str]:
    notes = list(evaluation.notes)
    if evaluation.versus_best:
        rival = NAMES.get(evaluation.versus_best.baseline, evaluation.versus_best.baseline)
        difference = evaluation.versus_best.difference
        notes.insert(0, f"APGR of this router minus the best baseline ({rival}): {interval(difference, signed)}.")
    if evaluation.modes:
        notes.append(_certified_note(evaluation.modes))
    if evaluation.gate:
        notes += _gate_notes(evaluation.gate)
    if evaluation.left_out:
        notes.append(f"{evaluation.left_out:,} labels lack the quality of a tier of this router and were left out.")
    return notes


def _certified_note(modes: Sequence[ModeResult]) -> str:
    bare = ", ".join(mode.name for mode in modes if not mode.certified)
    if not bare:
        return "Every mode is certified."
    which = f"Not certified: {bare}." if any(mode.certified for mode in modes) else "No mode is certified."
    return f"{which} A threshold without a certificate is a point estimate and may keep less than its target."


def _figure(estimate: Estimate, show: Callable[[float], str], brief: bool) -> str:
    return interval(Estimate(estimate.value) if brief else estimate, show)


def interval(estimate: Estimate, show: Callable[[float], str]) -> str:
    """A figure with its interval in brackets where it has one; a dash where the figure does not exist."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return show(estimate.value)
    return f"{show(estimate.value)} [{show(estimate.low)}, {show(estimate.high)}]"


def decimal(value: float) -> str:
    """Three decimals, ``"0.123"``."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Three decimals with their sign, ``"+0.123"``."""
    return f"{value:+.3f}"


def megabytes(size: float) -> str:
    """A number of bytes, in millions."""
    return f"{size / 1e6:,.1f} MB"


def percent(value: float) -> str:
    """A share in [0, 1] as text, ``"12.3 %"``."""
    return f"{100 * value:.1f} %"


def _whole_percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _hundredths(value: float) -> str:
    return f"{100 * value:.1f}"


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _bold(cell: str, wanted: bool) -> str:
    return f"**{cell}**" if wanted else cell


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _write_aside(path: Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):  # where the folder itself is the trouble, there is nothing to remove
            aside.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); give another place") from None

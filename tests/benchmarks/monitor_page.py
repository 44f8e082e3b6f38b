"""The section "The monitor" of training/certify.md: false alarms, delays and warnings, as simulated.

Knows the results of monitor_delay.py; measures nothing, and writes no page: certify_page.py does.
"""

from __future__ import annotations

from pathlib import Path

from bench_store import read_figures
from monitor_figures import AUDIT_SHARE, SHARE_DOWN, TRAFFIC_SHARE, Delay, Drift, FalseAlarms, MonitorFigures, Rate

from learned_router.training.report import markdown_table

RESULTS = Path(__file__).resolve().parent / "results" / "monitor.json"
REGIONS = ("monitor-alarms", "monitor-delay", "monitor-drift")
NOT_MEASURED = "Not measured yet: run `make bench-monitor`."


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's texts by name of their region."""
    found = read_figures(results, MonitorFigures)
    if found is None:
        return dict.fromkeys(REGIONS, NOT_MEASURED)
    return {
        "monitor-alarms": f"{alarm_verdict(found)}\n\n{alarm_table(found.false_alarms)}",
        "monitor-delay": f"{delay_table(found.delays)}\n\n{early_note(found)}",
        "monitor-drift": f"{warning_table(found.drift)}\n\n{change_table(found.drift)}",
    }


def alarm_verdict(found: MonitorFigures) -> str:
    """Whether false alarms keep to α in every cell, as far as so many runs can tell."""
    rates = [one for cell in found.false_alarms for one in (cell.sampled, cell.whole) if one]
    broken = [one for one in rates if one.low > found.alpha]
    worst = max(rates, key=lambda one: one.value)
    told = f"**{len(broken)} of {len(rates)} cells are above α**" if broken else f"All {len(rates)} cells keep to α"
    return f"{told} = {_percent(found.alpha, 0)}; the highest is {_rate(worst)}. {found.measured}."


def alarm_table(cells: list[FalseAlarms]) -> str:
    header = ["regret", "budget", "runs", "100,000 calls, 2 % audited", "100,000 calls, all audited"]
    rows = [
        [
            cell.law,
            f"{cell.budget:.2f}",
            f"{cell.runs:,}",
            _rate(cell.sampled),
            _rate(cell.whole) if cell.whole else "–",
        ]
        for cell in cells
    ]
    return markdown_table(header, rows)


def delay_table(cells: list[Delay]) -> str:
    """One row a law, promise, fall and start."""
    header = [
        "regret",
        "promise",
        "falls to",
        "after audits",
        "audits to the alarm, median",
        "90 % of runs by",
        "all calls, median",
        "one start, median",
    ]
    rows = [
        [
            cell.law,
            _percent(cell.promise, 0),
            _percent(cell.kept, 0),
            f"{cell.start:,}",
            _audits(cell.median, cell),
            _audits(cell.late, cell),
            "–" if cell.median is None else f"{cell.median / AUDIT_SHARE / SHARE_DOWN:,.0f}",
            _audits(cell.one_start, cell),
        ]
        for cell in cells
    ]
    return markdown_table(header, rows)


def early_note(found: MonitorFigures) -> str:
    early = max(found.delays, key=lambda cell: cell.early)
    return (
        f"{early.runs:,} runs a row. Runs with an alarm before the fall are left out; there were {_percent(early.early)} of "
        f"them at most (promise {_percent(early.promise, 0)}, {early.start:,} audits)."
    )


def warning_table(cells: list[Drift]) -> str:
    """Warnings although nothing changed."""
    header = ["counted by", "calibration rows", "of a session alike", "runs", "counted calls", "false warnings"]
    rows = [
        [
            cell.feature,
            f"{cell.rows:,}",
            _percent(cell.alike, 0),
            f"{cell.runs:,}",
            f"{cell.calls:,}",
            _rate(cell.warned),
        ]
        for cell in cells
        if not cell.change
    ]
    return markdown_table(header, rows)


def change_table(cells: list[Drift]) -> str:
    """Counted calls until a warning, and all calls they stand for."""
    header = [
        "counted by",
        "change",
        "calibration rows",
        "runs",
        "warned",
        "counted calls, median",
        "all calls, median",
    ]
    rows = [
        [
            cell.feature,
            cell.change,
            f"{cell.rows:,}",
            f"{cell.runs:,}",
            _rate(cell.warned),
            "–" if cell.median is None else f"{cell.median:,}",
            "–" if cell.median is None else f"{cell.median / TRAFFIC_SHARE:,.0f}",
        ]
        for cell in cells
        if cell.change
    ]
    return markdown_table(header, rows)


def _audits(count: int | None, cell: Delay) -> str:
    return f"> {cell.horizon:,}" if count is None else f"{count:,}"


def _rate(rate: Rate) -> str:
    return f"{_percent(rate.value)} [{_percent(rate.low)}, {_percent(rate.high)}]"


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}".replace("%", " %")

"""The region "ood" of training/certify.md: the matrix of logs and its false alarms, beside what was aimed at.

Knows the results of ood_matrix.py; measures nothing, and writes no page: certify_page.py does.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from bench_store import read_figures

from learned_router.training.report import markdown_table

RESULTS = Path(__file__).resolve().parent / "results" / "ood.json"
NOT_MEASURED = "Not measured yet: run `make bench-ood`."
# What was aimed at: these two logs told apart, both ways, and so few false alarms on a log's own test split
REACH_PAIR = ("bfcl", "mmlu_pro")
REACH_AUROC, REACH_ALARMS = 0.95, 0.02
# Logs that ask for the same things in the same form are not to be told apart
SHOWN_DIGITS = 3


class Cell(msgspec.Struct, frozen=True):
    """Requests of another log. auroc: how surely one scores above one of the log's own. found: share above the limit."""

    rows: int
    auroc: float
    found: float


class Row(msgspec.Struct, frozen=True):
    """One log that the score was fitted on: labels by split, its own test requests above the limit, and the other logs."""

    train: int
    calibration: int
    test: int
    false_alarms: int
    cells: dict[str, Cell]


class Matrix(msgspec.Struct, frozen=True):
    """All that was measured. share: of new requests that the limit is to let pass."""

    recipe: str
    recipe_sha256: str
    share: float
    rows: dict[str, Row]


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The section's text by name of its region."""
    found = read_figures(results, Matrix)
    return {"ood": section(found) if found else NOT_MEASURED}


def section(found: Matrix) -> str:
    """AUROC by fitted log and scored log, the share found, the false alarms, and whether the aims are met."""
    logs = list(dict.fromkeys(log for row in found.rows.values() for log in row.cells))
    auroc = [
        [log, *(f"{row.cells[other].auroc:.{SHOWN_DIGITS}f}" if other in row.cells else "–" for other in logs)]
        for log, row in found.rows.items()
    ]
    share = [
        [log, *(f"{row.cells[other].found:.0%}" if other in row.cells else "–" for other in logs)]
        for log, row in found.rows.items()
    ]
    alarms = [
        [
            log,
            f"{row.train:,}",
            f"{row.calibration:,}",
            f"{row.false_alarms} of {row.test:,}",
            f"{row.false_alarms / row.test:.1%}",
            _met(row.false_alarms / row.test <= REACH_ALARMS),
        ]
        for log, row in found.rows.items()
    ]
    return "\n\n".join(
        [
            "AUROC: a row the log that the score is fitted on, a column the log whose test split is scored.",
            markdown_table(["fitted on", *logs], auroc),
            "Share of the other log's requests above the limit, which go to the top tier:",
            markdown_table(["fitted on", *logs], share),
            f"False alarms: requests of the log's own test split above the limit, which is to let {found.share:.0%} pass:",
            markdown_table(
                ["fitted on", "train", "calibration", "false alarms", "share", f"at most {REACH_ALARMS:.0%}"], alarms
            ),
            verdict(found),
        ]
    )


def verdict(found: Matrix) -> str:
    """Whether the pair of logs is told apart as well as was aimed at."""
    lines = []
    for log, other in (REACH_PAIR, REACH_PAIR[::-1]):
        if log in found.rows and other in found.rows[log].cells:
            auroc = found.rows[log].cells[other].auroc
            lines.append(
                f"{log} against {other}: {auroc:.{SHOWN_DIGITS}f} of {REACH_AUROC} {_met(auroc >= REACH_AUROC)}"
            )
    return f"{'; '.join(lines) or 'Not measured'}. Recipe {found.recipe}, seed 0."


def _met(met: bool) -> str:
    return "met" if met else "**missed**"

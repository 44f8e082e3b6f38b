"""The page of the out-of-distribution score says what was measured, misses included, and leaves other regions alone."""

from __future__ import annotations

import msgspec
import pytest
from bench_store import read_figures
from certify_page import PAGE
from ood_page import REACH_ALARMS, REACH_AUROC, RESULTS, Cell, Matrix, Row, section


def matrix(auroc: float, alarms: int) -> Matrix:
    def row(other: str) -> Row:
        return Row(train=600, calibration=200, test=100, false_alarms=alarms, cells={other: Cell(50, auroc, 0.5)})

    return Matrix("fast", "0" * 64, 0.99, {"bfcl": row("mmlu_pro"), "mmlu_pro": row("bfcl")})


@pytest.mark.parametrize("below", [0.0, 1e-9])
def test_an_auroc_below_the_aim_is_told_as_missed(below: float) -> None:
    assert section(matrix(REACH_AUROC - below, 0)).count("**missed**") == (2 if below else 0)


@pytest.mark.parametrize("beyond", [0, 1])
def test_more_false_alarms_than_aimed_at_are_told_as_missed(beyond: int) -> None:
    alarms = round(REACH_ALARMS * 100) + beyond
    assert section(matrix(0.99, alarms)).count("**missed**") == 2 * beyond


def test_a_log_against_itself_has_no_figure() -> None:
    assert "| bfcl | 0.990 | – |" in section(matrix(0.99, 0))


def test_the_page_is_what_the_results_say() -> None:
    found = read_figures(RESULTS, Matrix)
    assert found is not None
    assert section(found) in PAGE.read_text(encoding="utf-8")
    assert msgspec.convert(msgspec.to_builtins(found), Matrix) == found

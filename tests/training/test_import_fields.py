"""How single fields of a logged call are read, in whatever way a log writes them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.training.importers.fields import count, feedback, first_of, moment, number, rating, text


@pytest.mark.parametrize(
    "value",
    [
        "2025-10-09T08:53:20Z",
        "2025-10-09T10:53:20+02:00",
        "2025-10-09 08:53:20.000000",
        dt.datetime(2025, 10, 9, 8, 53, 20),
        dt.datetime(2025, 10, 9, 8, 53, 20, tzinfo=dt.UTC),
        1760000000,
        1760000000000,
        1760000000000000,
        1760000000000000000,
        "1760000000000000000",
        "1760000000.0",
        " 2025-10-09T08:53:20Z ",
    ],
)
def test_a_time_is_read_in_any_unit(value: Any) -> None:
    assert moment(value) == 1760000000.0


@pytest.mark.parametrize("value", [None, "", "soon", True, [], float("nan"), -5, "9" * 5000, "0001-01-01", 10**400])
def test_what_is_no_time_is_none(value: Any) -> None:
    found = moment(value)
    assert found is None or found < 0


@pytest.mark.parametrize("value", [True, "x", None, [], float("inf"), -1, 10**400])
def test_what_is_no_number_is_none(value: Any) -> None:
    assert number(value) is None
    assert count(value) is None


@pytest.mark.parametrize(("value", "found"), [("a", "a"), (7, "7"), (1 << 64, str(1 << 64)), ("", None), (True, None)])
def test_a_text_may_be_a_whole_number(value: Any, found: str | None) -> None:
    assert text(value) == found


def test_a_count_is_no_larger_than_a_float_can_tell_exactly() -> None:
    assert [count(value) for value in ((1 << 53) - 1, 1 << 53, 1e300)] == [(1 << 53) - 1, None, None]


@pytest.mark.parametrize("value", [None, "a", [], {}, {"a": ""}, {"a": None}])
def test_the_first_of_nothing_is_none(value: Any) -> None:
    assert first_of(value, "a", "b") is None


@pytest.mark.parametrize(("limit", "unit"), [(10**11, 1e3), (10**14, 1e6), (10**17, 1e9)])
def test_the_unit_of_a_time_changes_at_its_limit(limit: int, unit: float) -> None:
    assert moment(limit) == limit / unit
    below = limit - 1000  # what a float of 1e17 can still tell from it
    assert moment(below) == pytest.approx(below / (unit / 1e3), rel=1e-9)


@given(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.none() | st.text())
def test_a_rating_lies_in_the_unit_interval_or_is_none(value: Any, word: str | None) -> None:
    found = rating(value, word)
    assert found is None or 0 <= found <= 1


@pytest.mark.parametrize(
    ("word", "value"),
    [("great", 1.0), ("Thumbs up", 1.0), ("👍", 1.0), ("fail", 0.0), ("thumbs-down", 0.0), ("so-so", None)],
)
def test_a_word_says_the_same_in_every_format(word: str, value: float | None) -> None:
    assert (feedback(word), rating(word), rating(None, word)) == (value, value, value)


def test_minus_one_is_a_thumb_down_but_a_score_of_unknown_scale() -> None:
    assert (feedback(-1), rating(-1)) == (0.0, None)

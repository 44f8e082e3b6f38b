"""A dictionary with a bound holds what is kept, never more than it may; a value is bounded when written out it is small."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

from learned_router.bounded import Bounded, is_bounded


def test_a_full_one_is_emptied_and_holds_the_newest() -> None:
    held: Bounded[str, int] = Bounded(3)
    held.keep({"a": 1, "b": 2})
    held.keep({"c": 3})
    assert held == {"a": 1, "b": 2, "c": 3}
    held.keep({"d": 4})
    assert held == {"d": 4}


def test_of_more_than_there_is_room_for_the_first_are_held() -> None:
    held: Bounded[int, int] = Bounded(3)
    held.keep({number: number for number in range(10)})
    assert held == {0: 0, 1: 1, 2: 2}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def holds_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


def doubled(times: int, kind: type[dict[str, Any]]) -> dict[str, Any]:
    """Of few objects; written out, 2^times."""
    value = kind(a=1)
    for _ in range(times):
        value = kind(a=value, b=value)
    return value


@pytest.mark.parametrize("value", [[], {}, (), [1, "a" * 10_000, None, 2.5], {"a": [1, {"b": (2, 3)}]}, nested(64)])
def test_what_is_small_is_bounded(value: Any) -> None:
    assert is_bounded(value, values=100, depth=64)


@pytest.mark.parametrize(
    "value",
    [
        list(range(101)),
        {"a": list(range(100))},
        nested(65),
        holds_itself(),
        doubled(40, dict),
        doubled(40, OrderedDict),
    ],
)
def test_what_is_too_many_too_deep_or_endless_is_not(value: Any) -> None:
    assert not is_bounded(value, values=100, depth=64)


def test_what_stands_there_twice_counts_twice() -> None:
    part = list(range(40))
    assert is_bounded([part, part], values=82, depth=3)
    assert not is_bounded([part, part], values=81, depth=3)

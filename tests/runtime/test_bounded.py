"""A dictionary with a bound: it holds what is kept, never more than it may, and goes on after it was full."""

from __future__ import annotations

from learned_router.bounded import Bounded


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

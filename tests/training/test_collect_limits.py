"""What holds a collection back: tokens and dollars counted, servers' limits kept, samples drawn."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.collecting.budget import (
    Budget,
    answer_tokens,
    body_tokens,
    counted_input_tokens,
    text_tokens,
)
from learned_router.training.collecting.completion import chat_body
from learned_router.training.collecting.pace import Pace, asked_wait_s, wait_s
from learned_router.training.collecting.stratify import draw, shares
from learned_router.training.records import Output, Record

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


def record(**fields: Any) -> Record:
    return Record(**{"id": "r", "messages": [Message("user", "hello")], "outputs": {}} | fields)


@given(TEXT, TEXT)
def test_tokens_by_the_rule_never_shrink_with_more_text_and_never_exceed_its_characters(
    first: str, second: str
) -> None:
    assert text_tokens(first) <= text_tokens(first + second) <= text_tokens(first) + text_tokens(second)
    assert text_tokens(first) <= len(first)


def test_tools_count_and_an_image_counts_as_an_image_however_large_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    plain = body_tokens(chat_body(record(), "m"))
    assert body_tokens(chat_body(record(tools=[{"name": "a_tool_with_a_name"}]), "m")) > plain
    with_image = chat_body(record(messages=[Message("user", [{"type": "text", "text": "hello"}, image])]), "m")
    assert 1000 < body_tokens(with_image) < 1100


def test_the_logs_own_counts_come_before_the_rule() -> None:
    held = {"a": Output(text="x" * 40, input_tokens=5), "b": Output(text="y", output_tokens=90), "c": Output(error="x")}
    assert answer_tokens(record(outputs=held)) == 90
    assert counted_input_tokens(record(outputs=held)) == 5
    assert answer_tokens(record(outputs={"a": Output(text="x" * 40)})) == 10
    assert answer_tokens(record(outputs={"a": Output(error="x")})) is None


@given(st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 1)), max_size=30), st.floats(0, 20))
def test_a_budget_is_never_exceeded_when_nothing_costs_more_than_was_set_aside(
    costs: list[tuple[float, float]], limit: float
) -> None:
    async def spend() -> Budget:
        budget = Budget(limit)

        async def one(reserved: float, share: float) -> None:
            if await budget.reserve(reserved):
                assert budget.spent_usd + budget.reserved_usd <= limit + 1e-9
                await asyncio.sleep(0)
                budget.settle(reserved, reserved * share)

        await asyncio.gather(*(one(*cost) for cost in costs))
        return budget

    budget = asyncio.run(spend())
    assert budget.spent_usd <= limit + 1e-9
    assert budget.reserved_usd == pytest.approx(0.0, abs=1e-9)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20", 20.0),
        ("0.5", 0.5),
        ("120ms", 0.12),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        (str(NOW + 30), 30.0),
        (str(int((NOW + 30) * 1000)), 30.0),
        (datetime.fromtimestamp(NOW + 45, UTC).isoformat(), 45.0),
        (datetime.fromtimestamp(NOW + 45, UTC).isoformat().replace("+00:00", "Z"), 45.0),
        (format_datetime(datetime.fromtimestamp(NOW + 60, UTC), usegmt=True), 60.0),
        (format_datetime(datetime.fromtimestamp(NOW - 60, UTC), usegmt=True), 0.0),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("5 parsecs", None),
        (None, None),
    ],
)
def test_a_wait_is_read_in_every_form_that_servers_use(value: str | None, seconds: float | None) -> None:
    assert wait_s(value, lambda: NOW) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@given(st.text(max_size=30))
def test_no_header_can_stop_the_run_or_make_it_wait_backwards(value: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        wait = asked_wait_s({name: value})
        assert wait is None or 0 <= wait < math.inf


def test_milliseconds_win_over_seconds() -> None:
    assert asked_wait_s({"retry-after-ms": "250", "retry-after": "9"}) == 0.25


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def waits(pace: Pace, clock: Clock, monkeypatch: pytest.MonkeyPatch, tokens: float = 1.0) -> float:
    """Seconds until a request may leave, by a clock that sleeping turns."""

    async def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    began = clock.now
    number = asyncio.run(pace.enter(tokens))
    pace.leave(number, {})
    return clock.now - began


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}, 2.0),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "2s"}, 0.0),
        ({"x-ratelimit-remaining-tokens": "99", "x-ratelimit-reset-tokens": "3s"}, 3.0),
        ({"x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "3s"}, 0.0),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "4"}, 4.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "5"}, 5.0),
        ({"x-ratelimit-remaining-requests": "0"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "whenever"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9999s"}, 60.0),
    ],
)
def test_a_request_waits_until_what_the_headers_say_is_whole_again(
    headers: dict[str, str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    pace = Pace(4, 60.0, clock)
    pace.leave(asyncio.run(pace.enter(1.0)), headers)
    assert waits(pace, clock, monkeypatch, tokens=100.0) == pytest.approx(seconds)


LIMIT_S = {"x-ratelimit-reset-requests": "30s"}


@pytest.mark.parametrize(
    ("answers", "free"),
    [
        ([(1, 1)], False),  # the second is still under way
        ([(1, 2)], True),
        ([(2, 0), (1, 1)], False),  # the second has left later, so it tells the newer truth
        ([(2, 1), (1, 2)], False),  # the first may not have been counted when the second was answered
        ([(2, 2), (1, 0)], True),
        ([(1, 1), (2, 0)], False),
    ],
)
def test_an_answer_that_comes_late_gives_back_nothing_that_was_used_since(
    answers: list[tuple[int, int]], free: bool
) -> None:
    async def third_may_leave() -> bool:
        pace = Pace(4, 60.0)
        numbers = [await pace.enter(1.0), await pace.enter(1.0)]
        for place, left in answers:
            pace.leave(numbers[place - 1], {"x-ratelimit-remaining-requests": str(left)} | LIMIT_S)
        try:
            await asyncio.wait_for(pace.enter(1.0), 0.05)
        except TimeoutError:
            return False
        return True

    assert asyncio.run(third_may_leave()) is free


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 60), max_size=8), st.integers(1, 200))
def test_a_sample_has_its_size_and_no_stratum_more_than_it_holds(sizes: dict[str, int], count: int) -> None:
    given_shares = shares(sizes, count)
    assert sum(given_shares.values()) == min(count, sum(sizes.values()))
    assert all(0 <= share <= sizes[name] for name, share in given_shares.items())
    filled = [name for name, size in sizes.items() if size]
    if count >= len(filled):
        assert all(given_shares[name] >= 1 for name in filled)


def test_a_draw_depends_on_seed_and_ids_and_not_on_their_order() -> None:
    strata = {"plan": [f"p{i}" for i in range(50)], "intent": [f"i{i}" for i in range(10)]}
    drawn = draw(strata, 12, seed=1)
    assert len(drawn) == 12
    assert draw({name: ids[::-1] for name, ids in reversed(strata.items())}, 12, seed=1) == drawn
    assert draw(strata, 12, seed=2) != drawn
    assert draw(strata, 12, seed=1) <= draw(strata, 30, seed=1)


def test_a_sample_of_nothing_is_told() -> None:
    with pytest.raises(InputError, match="--sample is 0"):
        draw({"plan": ["a"]}, 0)

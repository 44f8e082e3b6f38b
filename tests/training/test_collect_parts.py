"""The parts of collecting: how tiers are spelt, requests built, answers read, tokens and money counted, limits kept."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.budget import Budget, answer_tokens, body_tokens, counted_input_tokens, text_tokens
from learned_router.training.channels import scrub
from learned_router.training.completion import chat_body, fingerprint, read_call, read_calls, read_output
from learned_router.training.endpoints import CollectTier, parse_tiers
from learned_router.training.pace import Pace, asked_wait_s, wait_s
from learned_router.training.records import Output, Record, ToolCall
from learned_router.training.stratify import draw, shares

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


def tier(option: str, **options: Any) -> CollectTier:
    name = option.partition("=")[0]
    (parsed,) = parse_tiers([option], prices=[f"{name}=1,2"], **options)
    return parsed


def test_a_tier_without_a_place_is_never_asked_and_needs_no_price() -> None:
    assert parse_tiers(["small=any model@all"]) == [CollectTier("small", "any model@all")]


@pytest.mark.parametrize(
    ("option", "model", "url", "served"),
    [
        ("s=m@http://localhost:8080/v1", "m", "http://localhost:8080/v1", None),
        ("s=m@http://localhost:8080/v1/", "m", "http://localhost:8080/v1", None),
        ("s=m@https://h/v1/chat/completions", "m", "https://h/v1", None),
        ("s=m@http://[::1]:8080/v1#m:1b", "m", "http://[::1]:8080/v1", "m:1b"),
        ("s=claude@20240620@https://h/v1", "claude@20240620", "https://h/v1", None),
        ("s=a=b@https://h/v1", "a=b", "https://h/v1", None),
        ("s=litellm:openai/gpt-4o", "openai/gpt-4o", "litellm:", "openai/gpt-4o"),
        ("s=gpt-4o@litellm:azure/my-deployment", "gpt-4o", "litellm:", "azure/my-deployment"),
    ],
)
def test_a_tier_is_read_with_its_place(option: str, model: str, url: str, served: str | None) -> None:
    parsed = tier(option)
    assert parsed.endpoint is not None
    assert (parsed.model, parsed.endpoint.url, parsed.endpoint.served_name) == (model, url, served)


@pytest.mark.parametrize(
    ("url", "keys", "variable"),
    [
        ("https://api.openai.com/v1", [], "OPENAI_API_KEY"),
        ("https://eu.api.openai.com/v1", [], "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", ["s=MINE"], "MINE"),
        ("https://elsewhere.example/v1", [], None),
        ("https://notopenai.com/v1", [], None),
        ("https://elsewhere.example/v1", ["s=MINE"], "MINE"),
        ("http://localhost:1/v1", [], None),
        ("http://api.openai.com/v1", [], None),
    ],
)
def test_openais_key_goes_to_openai_and_no_key_to_others_unless_named(
    url: str, keys: list[str], variable: str | None
) -> None:
    endpoint = tier(f"s=m@{url}", keys=keys).endpoint
    assert endpoint is not None
    assert endpoint.api_key_variable == variable


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tiers": []}, "--tier: none given"),
        ({"tiers": ["small"]}, "write NAME=MODEL"),
        ({"tiers": ["=m"]}, "write NAME=MODEL"),
        ({"tiers": ["s=@https://h/v1"]}, "write NAME=MODEL"),
        ({"tiers": ["s=litellm:"]}, "write NAME=MODEL"),
        ({"tiers": ["s=m@litellm:"]}, "write NAME=MODEL"),
        ({"tiers": ["s=m@ftp://h/v1"]}, "not an http or https URL"),
        ({"tiers": ["s=m@https:///v1"]}, "has no host"),
        ({"tiers": ["s=m@https://h:port/v1"]}, "cannot be read"),
        ({"tiers": ["s=m", "s=n"]}, "'s' is given twice"),
        ({"tiers": ["s=m", "t=m"]}, "stands for two tiers"),
        ({"tiers": ["s=\udcff"]}, "not UTF-8"),
        ({"tiers": ["s=nobody-knows@https://h/v1"]}, "--tier s: no price is known for model 'nobody-knows'"),
        ({"tiers": ["s=m@http://h/v1"], "prices": ["s=1,1", "t=1,1"]}, "--price t: no such tier"),
        ({"tiers": ["s=m"], "keys": ["s=KEY"]}, "--key s: no such tier to ask"),
        ({"tiers": ["s=m"], "keys": ["s"]}, "write NAME=VARIABLE"),
    ],
)
def test_a_misspelt_tier_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_tiers(**options)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"tiers": ["s=m@https://me:sk-secret@h/v1"]},
        {"tiers": ["s=m@https://h/v1?api-key=sk-secret"]},
        {"tiers": ["s=m@ftp://me:sk-secret@h/v1"]},
        {"tiers": ["s=m@ftp://h/v1?key=sk-secret"]},
        {"tiers": ["=m@https://me:sk-secret@h/v1"]},
        {"tiers": ["s=m@https://h/v1", "t=@https://me:sk-secret@h/v1"], "prices": ["s=1,1"]},
        {"tiers": ["s=m"], "keys": ["s=sk-secret"]},
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse_tiers(**options)
    assert "sk-secret" not in str(caught.value)


def test_a_price_goes_by_tier_then_by_model_then_by_what_is_known() -> None:
    options = ["a=gpt-4o@https://h/v1", "b=gpt-4o-mini@https://h/v1", "c=x@https://h/v1#gpt-4.1"]
    parsed = parse_tiers(options, prices=["a=7,7", "gpt-4o-mini=8,8"])
    assert [one.price.input_per_million for one in parsed if one.price] == [7.0, 8.0, 2.0]


def record(**fields: Any) -> Record:
    return Record(**{"id": "r", "messages": [Message("user", "hello")], "outputs": {}} | fields)


def test_the_body_keeps_history_in_openai_shape_and_turns_flat_calls_and_tools_into_it() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
    messages = [
        Message("assistant", tool_calls=[call]),
        Message("assistant", tool_calls=[{"name": "ping", "arguments": {"x": 1}}]),
        Message("tool", "{}", tool_call_id="c"),
    ]
    tools = [{"type": "function", "function": {"name": "ping"}}, {"name": "pong", "parameters": {}}]
    body = chat_body(record(messages=messages, tools=tools), "m", temperature=None)
    assert body["messages"][0] == {"role": "assistant", "tool_calls": [call]}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "ping", "arguments": '{"x": 1}'}
    assert body["tools"] == [tools[0], {"type": "function", "function": tools[1]}]
    assert "temperature" not in body


def test_a_fingerprint_changes_with_everything_that_is_asked() -> None:
    bodies = [
        chat_body(record(), "m"),
        chat_body(record(), "n"),
        chat_body(record(), "m", max_tokens=5),
        chat_body(record(), "m", temperature=0.5),
        chat_body(record(tools=[{"name": "a"}]), "m"),
        chat_body(record(response_format={"type": "json_object"}), "m"),
    ]
    assert len({fingerprint(body) for body in bodies}) == len(bodies)
    assert fingerprint(dict(reversed(bodies[0].items()))) == fingerprint(bodies[0])


def completion(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def test_tool_calls_are_read_and_their_arguments_parsed_or_kept_as_written() -> None:
    calls = [{"function": {"name": "ping", "arguments": text}} for text in ('{"host": "db1"}', "{host", "", "9" * 5000)]
    output = read_output(completion(content=None, tool_calls=calls), 0.5)
    assert output.tool_calls == [
        ToolCall("ping", {"host": "db1"}),
        ToolCall("ping", "{host"),
        ToolCall("ping", {}),
        ToolCall("ping", "9" * 5000),
    ]


def test_content_parts_are_joined_and_a_refusal_is_an_answer() -> None:
    assert read_output(completion(content=[{"type": "text", "text": "a"}, {"text": "b"}, 7]), 0.1).text == "ab"
    assert read_output(completion(content=None, refusal="I cannot"), 0.1).text == "I cannot"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON, JSON)
def test_whatever_an_answer_holds_it_is_an_output_that_can_be_written_or_a_value_error(
    content: Any, calls: Any, usage: Any
) -> None:
    shapes = [completion(content=content, tool_calls=calls) | {"usage": usage}, {"choices": content}, content]
    function = {"name": "f", "arguments": calls}
    shapes.append(completion(content=content, tool_calls=[{"function": function}]))
    for shape in shapes:
        try:
            output = read_output(shape, 0.1, calls_in_text=True)
        except ValueError:
            continue
        assert msgspec.json.decode(msgspec.json.encode(output), type=Output).text == output.text


def test_what_utf8_and_64_bits_cannot_hold_does_not_lose_a_paid_answer() -> None:
    arguments = '{"a": "\\ud800", "n": 123456789012345678901234567890}'
    output = read_output(
        completion(content="x\ud800", tool_calls=[{"function": {"name": "f", "arguments": arguments}}]), 0.1
    )
    assert msgspec.json.encode(output)
    assert output.tool_calls == [ToolCall("f", arguments)]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>', [ToolCall("a", {"x": 1})]),
        (
            'Sure: [{"name": "a", "parameters": {}}, {"name": "b", "arguments": "{}"}]',
            [ToolCall("a", {}), ToolCall("b", {})],
        ),
        ('{"name": "Ann"}', None),
        ('{"name": "a", "arguments": {', None),
        ("nothing here {", None),
        ("", None),
    ],
)
def test_calls_are_read_out_of_text(text: str, calls: list[ToolCall] | None) -> None:
    assert read_calls(text) == calls


def test_arguments_that_are_an_object_already_are_kept() -> None:
    assert read_call({"name": "f", "arguments": {"x": [1]}}) == ToolCall("f", {"x": [1]})


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


def test_what_is_still_under_way_is_taken_off_what_is_left() -> None:
    async def third_waits() -> bool:
        pace = Pace(4, 60.0)
        first, _ = await pace.enter(1.0), await pace.enter(1.0)
        pace.leave(first, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "30s"})
        try:
            await asyncio.wait_for(pace.enter(1.0), 0.05)
        except TimeoutError:
            return True
        return False

    assert asyncio.run(third_waits())


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


def test_secrets_of_the_environment_are_taken_out_of_what_servers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-123456789")
    monkeypatch.setenv("ODDLY_NAMED", "odd-value")
    said = json.dumps({"error": "gsk-123456789 is wrong, and so is odd-value"})
    assert "gsk-123456789" not in scrub(said)
    assert "odd-value" not in scrub(said, "ODDLY_NAMED")
    assert "odd-value" in scrub(said)

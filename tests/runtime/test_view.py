"""The view of a request: counts that stay in range, a budget that holds, both ends kept and the middle never read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from learned_router.encoder import Packer
from learned_router.request import STEPS, Message, Request, parse_request
from learned_router.request_features import FEATURES
from learned_router.tokens import Tokens
from learned_router.view import CHARS_PER_TOKEN, KIND_TOKENS, SEGMENTS, View, ViewSpec, make_view, view_text

SPEC = ViewSpec()
SHOWN = SPEC.max_tokens * CHARS_PER_TOKEN

texts = st.text(max_size=60) | st.builds(str.__mul__, st.text(max_size=5), st.integers(0, 3000))
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "system", "assistant", "tool", "developer"]),
    content=st.none() | texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=2),
    tool_calls=st.none() | st.just([{"function": {"name": "count_orders", "arguments": "{}"}}]),
)
schemas = st.recursive(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"enum": st.lists(st.text(max_size=3), max_size=3)}),
    lambda inner: st.fixed_dictionaries(
        {"properties": st.dictionaries(st.text(max_size=8), inner, max_size=30)}, optional={"items": inner}
    ),
    max_leaves=30,
)
tools = st.lists(
    st.fixed_dictionaries({"name": st.text(max_size=90), "description": texts, "parameters": schemas}), max_size=40
)
requests = st.builds(
    Request,
    messages=st.lists(messages, min_size=1, max_size=6),
    tools=tools,
    step=st.none() | st.sampled_from(STEPS),
    response_format=st.none() | st.just({"type": "json_object"}),
)
segments = st.tuples(*[texts] * len(SEGMENTS))


@pytest.fixture(scope="module")
def tokenizer(artifact: Path) -> Tokenizer:
    return Tokenizer.from_file(str(artifact / "tokenizer.json"))


def least_tokens(spec: ViewSpec) -> int:
    return KIND_TOKENS + spec.tools_tokens + spec.system_tokens + spec.previous_tokens + len(SEGMENTS) + 2


@st.composite
def specs(draw: st.DrawFn) -> ViewSpec:
    parts = {f"{name}_tokens": draw(st.integers(0, 40)) for name in ("tools", "system", "previous")}
    spare = draw(st.integers(0, 100))
    least = KIND_TOKENS + sum(parts.values()) + len(SEGMENTS) + 2
    return ViewSpec(max_tokens=least + spare, head_share=draw(st.floats(0.0, 1.0)), **parts)


def prompt_view(text: str) -> View:
    return make_view(parse_request(text), SPEC)


@given(requests)
@settings(deadline=None)
def test_every_request_gives_all_features_finite_and_in_range(request_: Request) -> None:
    features = dict(zip(FEATURES, make_view(request_, SPEC).features, strict=True))
    longest_word = features.pop("word_length")
    assert 0.0 <= longest_word <= SHOWN
    assert all(0.0 <= value < 20.0 for value in features.values()), features
    for share in ("digit_share", "upper_share", "non_ascii_share", "best_overlap", "last_is_tool", "json_wanted"):
        assert features[share] <= 1.0


@given(requests)
@settings(deadline=None)
def test_every_segment_is_short_and_can_be_encoded(request_: Request) -> None:
    view = make_view(request_, SPEC)
    for segment in view.segments:
        assert len(segment.encode("utf-8")) <= 4 * (SHOWN + 100)
        assert "\0" not in segment


@given(segments, specs())
@settings(deadline=None)
def test_the_token_budget_is_never_exceeded(tokenizer: Tokenizer, texts_: Any, spec: ViewSpec) -> None:
    view = View(tuple(text.encode("utf-8", "replace").decode() for text in texts_), (), False)
    ids, cut = Packer(Tokens(tokenizer), spec).pack(view)
    assert 1 <= len(ids) <= spec.max_tokens
    if texts_[-1].strip() and not cut:
        whole = tokenizer.encode(view.segments[-1], add_special_tokens=False).ids
        assert ids[len(ids) - 1 - len(whole) : -1] == whole


def test_a_long_message_fills_the_budget_with_its_start_and_its_end(tokenizer: Tokenizer) -> None:
    packer = Packer(Tokens(tokenizer), SPEC)
    words = ["start", *["filler"] * 5_000, "end"]
    ids, cut = packer.pack(prompt_view(" ".join(words)))
    assert cut
    assert len(ids) == SPEC.max_tokens
    decoded = tokenizer.decode(ids).split()
    assert (decoded[0], decoded[-1]) == ("start", "end")


def test_a_short_message_is_whole_and_leaves_its_room_to_the_tools(tokenizer: Tokenizer) -> None:
    names = ["open", "close", "count", "list", "find", "move", "copy", "send"]
    request = parse_request("count", tools=[{"name": f"{a} {b}"} for a in names[:4] for b in names])
    ids, cut = Packer(Tokens(tokenizer), SPEC).pack(make_view(request, SPEC))
    assert not cut
    assert SPEC.tools_tokens + 8 < len(ids) <= SPEC.max_tokens


@given(st.text(st.characters(codec="utf-8"), min_size=50, max_size=50))
def test_the_middle_of_the_last_message_is_never_read(middle: str) -> None:
    head, tail = "first words " * SHOWN, " last words" * SHOWN
    assert prompt_view(head + middle + tail) == prompt_view(head + "x" * 50 + tail)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_the_middle_of_a_transcript_is_never_read(role: str) -> None:
    def view(filler: str) -> View:
        old = [{"role": role, "content": filler * 1_000}] * 50
        ends = {"role": "user", "content": "go on"}, {"role": "user", "content": "count the orders"}
        return make_view(parse_request([{"role": "system", "content": "Be brief."}, *old, *ends]), SPEC)

    assert view("abc") == view("x\ny")


def test_the_end_of_a_long_system_prompt_is_never_read() -> None:
    def view(filler: str) -> View:
        system = "Be brief. " * 100 + filler * 1_000
        return make_view(
            parse_request([{"role": "system", "content": system}, {"role": "user", "content": "go"}]), SPEC
        )

    assert view("abc") == view("x\ny")


@pytest.mark.parametrize(("beyond", "cut"), [(-1, False), (0, False), (1, True)])
def test_a_message_is_cut_only_beyond_what_the_view_shows(beyond: int, cut: bool) -> None:
    view = prompt_view("a" * (SHOWN + beyond))
    assert view.cut is cut
    assert len(view.segments[-1]) == min(SHOWN, SHOWN + beyond)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_view_must_leave_room_for_the_last_message(beyond: int) -> None:
    config = msgspec.json.encode({"max_tokens": least_tokens(SPEC) + beyond})
    if beyond < 0:
        with pytest.raises(msgspec.ValidationError, match="max_tokens is"):
            msgspec.json.decode(config, type=ViewSpec)
    else:
        assert msgspec.json.decode(config, type=ViewSpec).max_tokens == least_tokens(SPEC) + beyond


@pytest.mark.parametrize(
    "wrong",
    [{"head_share": 1.1}, {"head_share": -0.1}, {"tools_tokens": -1}, {"max_tokens": 0}, {"max_tokens": 10**400}],
)
def test_a_view_of_impossible_parts_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) if "head_share" in wrong else "max_tokens"):
        ViewSpec(**wrong)


def test_the_view_holds_step_tools_system_previous_turn_and_last_message() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "count_orders",
            "description": "How many orders there are",
            "parameters": {"properties": {"day": {"type": "string"}, "shop": {"enum": ["a"]}}, "required": ["day"]},
        },
    }
    turns = [
        {"role": "system", "content": "You help a shop."},
        {"role": "user", "content": "How many today?"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "count_orders"}}]},
        {"role": "tool", "content": "error: timed out"},
    ]
    view = make_view(parse_request({"messages": turns, "tools": [tool], "step": "recover"}), SPEC)
    assert view_text(view) == (
        "recover tool | 1 tools: count_orders(day, shop?) How many orders there are | system: You help a shop. | "
        "count_orders user: How many today? | error: timed out"
    )
    features = dict(zip(FEATURES, view.features, strict=True))
    assert features["tool_errors"] == features["tool_results"] == features["required"] == math.log1p(1)
    assert (features["last_is_tool"], features["schema_depth"]) == (1.0, 1.0)


def test_an_assistants_own_last_words_are_not_what_is_answered() -> None:
    turns = [{"role": "user", "content": "count the orders"}, {"role": "assistant", "content": "Sure:"}]
    assert make_view(parse_request(turns), SPEC).segments[-1] == "count the orders"

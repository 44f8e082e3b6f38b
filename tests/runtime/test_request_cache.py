"""Repeated requests: the same decision without asking the graph, and never another request's."""

from __future__ import annotations

import marshal
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learned_router.errors import InputError
from learned_router.request_cache import BYTES_KEPT, DEPTH_KEPT, VALUES_KEPT, RequestCache
from learned_router.router import Router

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def identical(one: Any, other: Any) -> bool:
    """Equal in value and in type, however deep; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return bool(one == other)


@settings(suppress_health_check=[HealthCheck.too_slow])  # where the machine is busy
@given(json_like, json_like)
def test_keys_are_equal_only_for_the_same_values_of_the_same_types(one: Any, other: Any) -> None:
    cache: RequestCache[int] = RequestCache(4)
    if not identical(one, other):
        assert cache.key_of(one) != cache.key_of(other)


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (None, math.nan), ([], ()), ("1", 1), (0.0, -0.0)])
def test_what_python_or_json_takes_for_equal_has_keys_of_its_own(one: Any, other: Any) -> None:
    cache: RequestCache[int] = RequestCache(4)
    assert cache.key_of([one]) != cache.key_of([other])


def test_what_holds_itself_twice_is_decided_anew_instead_of_written_out_without_end() -> None:
    tree: dict[str, Any] = {"type": "object"}
    tree["properties"] = {"left": tree, "right": tree}
    shared: Any = ["leaf"]
    for _ in range(60):
        shared = [shared, shared]
    cache: RequestCache[int] = RequestCache(4)
    assert [cache.key_of(part) for part in (tree, shared, [tree])] == [None] * 3


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_request_beyond_the_limits_has_no_key(beyond: int) -> None:
    cache: RequestCache[int] = RequestCache(4)
    deep: Any = "leaf"
    for _ in range(DEPTH_KEPT - 1 + beyond):  # what is given stands in a tuple of its own
        deep = [deep]
    wide = ["leaf"] * (VALUES_KEPT - 1 + beyond)
    long = "x" * (BYTES_KEPT - len(marshal.dumps(("",), 0)) + beyond)
    assert [cache.key_of(part) is None for part in (deep, wide, long)] == [bool(beyond)] * 3


def test_texts_made_at_run_time_and_literals_share_a_key() -> None:
    cache: RequestCache[int] = RequestCache(4)
    assert cache.key_of({"messages": "".join(["hel", "lo"])}) == cache.key_of({"messages": "hello"})


def test_the_least_recently_used_is_forgotten_beyond_the_size() -> None:
    cache: RequestCache[int] = RequestCache(2)
    keys = [cache.key_of(number) for number in range(3)]
    cache.put(keys[0], 0)
    cache.put(keys[1], 1)
    assert cache.get(keys[0]) == 0
    cache.put(keys[2], 2)
    assert (cache.get(keys[0]), cache.get(keys[1]), cache.get(keys[2]), len(cache)) == (0, None, 2, 2)


def test_what_cannot_be_compared_is_decided_anew() -> None:
    cache: RequestCache[int] = RequestCache(2)
    nested: list[Any] = []
    nested.append(nested)
    assert [cache.key_of(part) for part in (object(), nested)] == [None, None]
    cache.put(None, 1)
    assert (cache.get(None), len(cache)) == (None, 0)


@pytest.mark.parametrize("size", [-1, 1.5, "many"])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(InputError, match="cache is"):
        RequestCache(size)


def test_a_repeated_request_is_not_shown_to_the_graph(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router.load(artifact)
    first = router.route("list my recent commits")
    monkeypatch.setattr(router._loaded, "look", lambda requests: pytest.fail("the graph was asked again"))
    assert router.route("list my recent commits") == first


def test_a_repeated_request_is_decided_anew_without_a_cache(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router.load(artifact, cache=0)
    asked: list[int] = []
    look = router._loaded.look
    monkeypatch.setattr(router._loaded, "look", lambda requests: asked.append(len(requests)) or look(requests))
    decisions = [router.route("list my recent commits") for _ in range(2)]
    assert (asked, decisions[0]) == ([1, 1], decisions[1])


def test_mode_step_and_tools_are_part_of_what_is_repeated(artifact: Path) -> None:
    router = Router.load(artifact)
    modes = {mode: router.route("list my recent commits", mode=mode).mode for mode in router.modes}
    assert modes == {mode: mode for mode in router.modes}
    steps = [router.route("list my recent commits", step=step).step for step in ("plan", "code", "plan")]
    assert steps == ["plan", "code", "plan"]


def test_a_caller_who_changes_a_decision_changes_no_later_one(artifact: Path) -> None:
    router = Router.load(artifact)
    first = router.route("list my recent commits")
    wanted = dict(first.quality)
    first.quality.clear()
    second = router.route("list my recent commits")
    second.quality.clear()
    assert router.route("list my recent commits").quality == wanted


def test_a_message_changed_in_place_is_another_request(artifact: Path) -> None:
    router = Router.load(artifact)
    messages = [{"role": "user", "content": "list my recent commits"}]
    router.route(messages)
    messages[0]["content"] = ""
    assert router.route(messages).reason == "empty_request"

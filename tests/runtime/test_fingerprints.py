"""A tool's fingerprint changes with what a model is told of it and with nothing else; a changed one sends a request up."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router import Reason, Router
from learned_router.fingerprints import (
    DEPTH_READ,
    FINGERPRINT_CHARS,
    VALUES_READ,
    find_changed_tool,
    prompt_fingerprint,
    tool_fingerprint,
)
from learned_router.request import Message

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "list_orders",
        "description": "List the orders of a customer",
        "parameters": {
            "type": "object",
            "properties": {"customer": {"type": "string"}, "limit": {"type": "integer", "default": 10}},
            "required": ["customer"],
        },
    },
}
KNOWN = {"list_orders": str(tool_fingerprint(TOOL))}
PROMPT = "list the open orders"

schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    tool = copy.deepcopy(TOOL)
    change(tool["function"])
    return tool


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def nested(depth: int) -> dict[str, Any]:
    """A tool whose parts are nested ``depth`` deep: the tool itself, and objects in it."""
    inner: dict[str, Any] = {}
    for _ in range(depth - 2):
        inner = {"a": inner}
    return {"name": "list_orders", "parameters": inner}


@given(schema=schemas)
def test_the_order_of_keys_changes_nothing(schema: Any) -> None:
    tool = {"name": "f", "parameters": schema}
    assert tool_fingerprint(reordered(tool)) == tool_fingerprint(tool)


@given(schema=schemas)
def test_a_tool_that_went_through_json_is_the_same_tool(schema: Any) -> None:
    tool = {"name": "f", "parameters": schema}
    assert tool_fingerprint(json.loads(json.dumps(tool))) == tool_fingerprint(tool)


def test_the_wrapper_and_fields_that_are_null_change_nothing() -> None:
    inner = TOOL["function"]
    for same in (inner, {"type": "function", **inner}, changed(lambda f: f.update(strict=None))):
        assert tool_fingerprint(same) == KNOWN["list_orders"]
    assert len(KNOWN["list_orders"]) == FINGERPRINT_CHARS


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update(description="List the orders of a customer, newest first"),
        lambda f: f.pop("description"),
        lambda f: f["parameters"]["properties"].update(since={"type": "string"}),
        lambda f: f["parameters"]["properties"]["limit"].update(type="string"),
        lambda f: f["parameters"]["properties"]["limit"].update(default=11),
        lambda f: f["parameters"].update(required=["customer", "limit"]),
        lambda f: f.update(strict=True),
    ],
)
def test_whatever_a_model_is_told_of_a_tool_counts(change: Callable[[dict[str, Any]], object]) -> None:
    assert find_changed_tool([changed(change)], KNOWN) == "list_orders"


def test_tools_of_other_names_are_no_change_and_a_name_offered_twice_is() -> None:
    other = changed(lambda f: f.update(name="count_orders"))
    assert find_changed_tool([other, TOOL, other], KNOWN) is None
    assert find_changed_tool([TOOL, other, TOOL], KNOWN) == "list_orders"
    assert find_changed_tool([], KNOWN) is None
    assert find_changed_tool([changed(lambda f: f.clear())], KNOWN) is None
    assert find_changed_tool([TOOL], {}) is None


@pytest.mark.parametrize(("depth", "read"), [(DEPTH_READ - 1, True), (DEPTH_READ, True), (DEPTH_READ + 1, False)])
def test_a_schema_is_read_as_deep_as_the_limit(depth: int, read: bool) -> None:
    assert (tool_fingerprint(nested(depth)) is not None) is read


@pytest.mark.parametrize(("beyond", "read"), [(-1, True), (0, True), (1, False)])
def test_a_schema_is_read_up_to_so_many_values(beyond: int, read: bool) -> None:
    count = VALUES_READ + beyond - 2  # the name and the list itself
    assert (tool_fingerprint({"name": "f", "parameters": [0] * count}) is not None) is read


def endless() -> dict[str, Any]:
    tool: dict[str, Any] = {"name": "list_orders"}
    tool["parameters"] = tool
    return tool


def exploding() -> dict[str, Any]:
    """Few objects that hold each other so often that written out they would fill any memory."""
    inner: list[Any] = [0]
    for _ in range(50):
        inner = [inner, inner]
    return {"name": "list_orders", "parameters": inner}


HOSTILE: dict[str, dict[str, Any]] = {
    "endless": endless(),
    "exploding": exploding(),
    "deep": nested(50_000),
    "wide": {"name": "list_orders", "parameters": {str(n): n for n in range(100_000)}},
    "many keys": {"name": "list_orders", **{str(n): n for n in range(100_000)}},
    "nan": changed(lambda f: f["parameters"]["properties"]["limit"].update(default=float("nan"))),
    "surrogate": changed(lambda f: f.update(description="\ud800")),
    "keys of other kinds": {"name": "list_orders", "parameters": {1: 2, None: 3, (4,): 5}},
    "no JSON": {"name": "list_orders", "parameters": {"x": object(), "y": {1, 2}, "z": b"0"}},
    "huge number": {"name": "list_orders", "parameters": 10**10_000},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tool_under_a_recorded_name_is_a_changed_one(kind: str) -> None:
    assert find_changed_tool([HOSTILE[kind]], KNOWN) == "list_orders"


def test_of_ten_thousand_tools_only_recorded_names_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    from learned_router import fingerprints

    hashed: list[Any] = []
    monkeypatch.setattr(fingerprints, "tool_fingerprint", lambda tool: hashed.append(tool) or KNOWN["list_orders"])
    tools = [{"name": f"tool_{n}", "parameters": HOSTILE["wide"]} for n in range(9_999)]
    assert find_changed_tool([*tools, TOOL], KNOWN) is None
    assert hashed == [TOOL]


def test_a_prompt_is_known_by_the_first_system_message() -> None:
    system, user = Message(role="system", content="Be brief."), Message(role="user", content=PROMPT)
    assert prompt_fingerprint([user]) is None
    assert prompt_fingerprint([system, user]) == prompt_fingerprint([user, system])
    assert prompt_fingerprint([Message(role="developer", content="Be brief.")]) == prompt_fingerprint([system])
    assert prompt_fingerprint([Message(role="system", content="Be brief")]) != prompt_fingerprint([system])
    assert prompt_fingerprint([Message(role="system", content="\ud800")]) is not None


@pytest.fixture
def watchful(edited: Callable[..., Path]) -> Router:
    """A router that sends every request down, unless a tool is another than it was."""

    def change(config: dict[str, Any]) -> None:
        config["ood_threshold"] = 1e30
        config["fingerprints"] = {"tools": KNOWN, "seen": 1}
        for mode in config["modes"].values():
            mode["threshold"] = 1.1

    return Router.load(edited(change))


def test_a_request_with_a_changed_tool_goes_to_the_top_tier(watchful: Router) -> None:
    newer = changed(lambda f: f.update(description="List orders"))
    assert watchful.route(PROMPT, tools=[TOOL]).reason == Reason.GOOD_ENOUGH
    assert watchful.route(PROMPT, tools=[TOOL, {"name": "other"}]).reason == Reason.GOOD_ENOUGH
    found = watchful.route(PROMPT, tools=[newer])
    assert (found.tier, found.reason, found.regret) == ("frontier", Reason.CHANGED_TOOL, 0.0)


def test_a_batch_finds_the_tools_changed_that_single_requests_do(watchful: Router) -> None:
    requests = [{"prompt": PROMPT, "tools": [tool]} for tool in (TOOL, *HOSTILE.values(), TOOL["function"])]
    batch = watchful.route_batch(requests)
    assert batch == [watchful.route(request) for request in requests]
    assert [d.reason == Reason.CHANGED_TOOL for d in batch] == [False, *[True] * len(HOSTILE), False]


def test_an_artifact_made_before_fingerprints_knows_none_and_routes(edited: Callable[..., Path]) -> None:
    router = Router.load(edited(lambda config: config.pop("fingerprints")))
    assert router.config.fingerprints.tools == {}
    assert router.route(PROMPT, tools=[TOOL]).reason != Reason.CHANGED_TOOL

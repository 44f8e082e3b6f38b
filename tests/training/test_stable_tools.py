"""An artifact remembers the tools that its labels show often and never otherwise, and no tool whose schemas vary."""

from __future__ import annotations

from typing import Any

import pytest

from learned_router.fingerprints import find_changed_tool, tool_fingerprint
from learned_router.request import Message
from learned_router.training import stable_tools as room
from learned_router.training.records import Label
from learned_router.training.stable_tools import LEAST_SESSIONS, MOST_PROMPTS, learn_fingerprints, stable_tools

LEAST = LEAST_SESSIONS[0]


def tool(name: str, description: str = "") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description}}


def label(number: int, *tools: dict[str, Any], session: str | None = None, system: str = "") -> Label:
    messages = [Message(role="system", content=system)] if system else []
    return Label(
        id=f"l{number}",
        messages=[*messages, Message(role="user", content="go")],
        tools=list(tools),
        quality={"small": 1.0, "frontier": 1.0},
        models={},
        grader="gold",
        session=session,
    )


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_tool_is_recorded_once_enough_sessions_show_it(beyond: int) -> None:
    found = stable_tools([label(n, tool("a")) for n in range(LEAST + beyond)], LEAST)
    assert found == ({"a": tool_fingerprint(tool("a"))} if beyond >= 0 else {})


def test_one_long_session_is_no_evidence_that_a_tool_stays_as_it_is() -> None:
    assert stable_tools([label(n, tool("a"), session="s") for n in range(10 * LEAST)], LEAST) == {}


def test_a_tool_with_two_schemas_twice_offered_or_without_a_name_is_not_recorded() -> None:
    labels = [label(n, tool("a", str(n == 0)), tool("b"), tool(""), tool("c")) for n in range(2 * LEAST)]
    labels.append(label(-1, tool("c"), tool("c")))
    assert list(stable_tools(labels, LEAST)) == ["b"]


def test_a_tool_that_changes_in_the_calibration_split_is_not_recorded() -> None:
    train = [label(n, tool("a"), tool("b")) for n in range(2 * LEAST)]
    calibration = [label(1000 + n, tool("a", "new"), tool("b")) for n in range(LEAST)]
    assert list(learn_fingerprints(train, calibration).tools) in ([], ["b"])


def test_where_schemas_recur_otherwise_more_sessions_are_asked_for() -> None:
    often, seldom = tool("often"), tool("seldom")
    train = [label(n, often, *([seldom] if n < LEAST else [])) for n in range(5 * LEAST)]
    calm = [label(1000 + n, often) for n in range(100)]
    assert set(learn_fingerprints(train, calm).tools) == {"often", "seldom"}
    restless = [label(2000 + n, often, tool("seldom", "new")) for n in range(100)]
    assert set(learn_fingerprints(train, restless).tools) == {"often"}


def test_where_nothing_stays_as_it_is_no_tool_is_recorded() -> None:
    train = [label(n, tool("a")) for n in range(LEAST_SESSIONS[-1])]
    assert learn_fingerprints(train, [label(-1, tool("a", "new"))]).tools == {}


def test_no_label_of_an_artifact_looks_changed_to_it() -> None:
    labels = [label(n, tool(f"t{n % 7}", str(n % 2 * (n % 7 == 3)))) for n in range(300)]
    tools = learn_fingerprints(labels[:200], labels[200:]).tools
    assert tools
    assert all(find_changed_tool(label.tools or (), tools) is None for label in labels)


def test_what_is_remembered_is_bounded_and_the_most_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_TOOLS", 1)
    labels = [label(n, tool("a"), *([tool("b")] if n else []), system=str(n // 2)) for n in range(1, 4 * LEAST)]
    labels = [*labels, label(0, tool("a"))]
    found = learn_fingerprints(labels, [])
    assert list(found.tools) == ["a"]
    assert found.seen == 2
    many = learn_fingerprints([label(n, system=str(n)) for n in range(2 * MOST_PROMPTS)], [])
    assert len(many.prompts.fingerprints) == MOST_PROMPTS
    assert (many.prompts.requests, many.prompts.distinct) == (2 * MOST_PROMPTS, 2 * MOST_PROMPTS)


def test_frequent_system_prompts_are_counted() -> None:
    labels = [label(n, system="A" if n % 3 else "B") for n in range(30)]
    prompts = learn_fingerprints(labels, [label(99)]).prompts
    assert list(prompts.fingerprints.values()) == [20, 10]
    assert (prompts.requests, prompts.distinct) == (30, 2)

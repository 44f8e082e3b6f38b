"""The rules that name a step where a log does not, and the order of a session."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.request import STEPS, Message
from learned_router.training.labelling.steps import infer_step, sessions_of
from learned_router.training.records import Output, Record

TOOL = {"type": "function", "function": {"name": "look_up"}}
CALL = Message("assistant", None, tool_calls=[{"function": {"name": "look_up", "arguments": "{}"}}])


def record(*messages: Message, **changes: Any) -> Record:
    return Record(id="a", messages=list(messages), outputs={"m": Output(text="x")}, **changes)


def asks(text: str, system: str = "", **changes: Any) -> Record:
    return record(*([Message("system", system)] if system else []), Message("user", text), **changes)


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": properties}}}


TEXT, LIST = {"type": "string"}, {"type": "array"}

STEP_OF = [
    (record(Message("user", "look"), CALL, Message("tool", '{"rooms": 3, "error": null}')), "tool_result"),
    (record(Message("user", "look"), CALL, Message("tool", "Error: no such room"), tools=[TOOL]), "recover"),
    (record(Message("user", "look"), CALL, Message("tool", '{"error": "no such room"}')), "recover"),
    (record(Message("user", "look"), CALL, Message("tool", '{"success": false}')), "recover"),
    (record(Message("user", "look"), CALL, Message("tool", "ValueError: 3")), "recover"),
    (record(CALL, Message("tool", '{"error": "no room 31"}'), Message("user", "I mean 13.")), "recover"),
    (record(CALL, Message("tool", "[3, 4]"), Message("user", "Which is free?")), "tool_result"),
    (record(CALL, Message("tool", "[3]"), Message("assistant", "Three."), Message("user", "Thanks.")), "respond"),
    (record(Message("user", [{"type": "tool_result", "content": "3 rooms"}])), "tool_result"),
    (record(Message("user", [{"type": "tool_result", "content": "x", "is_error": True}])), "recover"),
    (asks("Take the room and the date.", response_format=schema(room=TEXT, date=TEXT)), "extract"),
    (asks("And this?", response_format=schema(intent=TEXT, confidence={"type": "number"})), "intent"),
    (asks("And this?", response_format=schema(kind={"enum": ["a", "b"]})), "intent"),
    (asks("And this?", response_format=schema(valid={"type": "boolean"}, reason=TEXT)), "validate"),
    (asks("What now?", response_format=schema(steps=LIST)), "plan"),
    (asks("Classify the message: 'hello'", response_format={"type": "json_object"}), "intent"),
    (asks("Check whether the invoice is paid.", response_format={"type": "json_object"}), "validate"),
    (asks("Name and age of each, please.", response_format={"type": "json_object"}), "extract"),
    (asks("Book the sauna.", tools=[TOOL]), "tool_call"),
    (asks("Write a Python function that adds two numbers."), "code"),
    (asks("Why does this fail?\n```\nx = 1\n```"), "code"),
    (asks("What does it print?\n```python\nprint(1)\n```", response_format={"type": "json_object"}), "code"),
    (asks('Seven eggs and two?\n```json\n{"answer": "_"}\n```'), "respond"),
    (asks("Make a plan for the move to the new office."), "plan"),
    (asks("Extract all dates from the text below."), "extract"),
    (asks("Is this correct: 2 + 2 = 5?"), "validate"),
    (asks("hello there", system="You are an intent classifier. Answer with one word."), "intent"),
    (asks("Run this:\nSELECT name FROM guests"), "code"),
    (asks("Class starts at nine.\nImport duties apply. Select the best room from these."), "respond"),
    (asks("When is breakfast?"), "respond"),
    (asks("When is breakfast?", response_format={"type": "text"}), "respond"),
    (record(Message("user", None)), "other"),
    (record(), "other"),
]


@pytest.mark.parametrize(("given_record", "step"), STEP_OF, ids=[f"{i}-{step}" for i, (_, step) in enumerate(STEP_OF)])
def test_the_rules_name_the_step(given_record: Record, step: str) -> None:
    assert infer_step(given_record) == step


def test_every_step_can_be_inferred() -> None:
    assert {step for _, step in STEP_OF} == set(STEPS)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["type", "json_schema", "schema", "properties", "enum", "content"]) | st.text(), ANY, max_size=4
)


@given(
    messages=st.lists(
        st.builds(
            Message,
            role=st.sampled_from(["system", "user", "assistant", "tool"]) | st.text(),
            content=st.none() | st.text() | st.lists(ANY | OBJECTS, max_size=3),
            tool_calls=st.none() | st.lists(ANY, max_size=2),
        ),
        max_size=4,
    ),
    tools=st.none() | st.lists(OBJECTS, max_size=2),
    response_format=st.none() | OBJECTS | st.builds(lambda inner: {"type": "json_schema", "json_schema": inner}, ANY),
)
def test_any_record_has_one_of_the_ten_steps(messages: Any, tools: Any, response_format: Any) -> None:
    assert infer_step(record(*messages, tools=tools, response_format=response_format)) in STEPS


@pytest.mark.parametrize("text", ["\n", " ", ".", "a", "'", "plan ", '"error" : ', "1 "])
def test_no_message_makes_the_rules_slow(text: str) -> None:
    began = time.process_time()
    for role in ("user", "tool"):
        infer_step(record(Message("system", text * 9000), Message(role, text * 9000)))
    assert time.process_time() - began < 0.5


def test_a_long_message_is_read_at_its_ends_in_time_that_does_not_grow() -> None:
    assert infer_step(asks("Extract all dates.\n" + "word " * 400_000)) == "extract"
    assert infer_step(asks("word " * 400_000 + "\nExtract all dates.")) == "extract"


def test_a_session_is_in_the_order_of_its_times_and_what_has_none_stays_where_it_came() -> None:
    records = [
        Record(id=identity, messages=[Message("user", "x")], outputs={}, session=session, timestamp=time)
        for identity, session, time in [
            ("late", "s", "2026-01-01T10:00:00Z"),
            ("early", "s", "2026-01-01T11:00:00+02:00"),
            ("beside early", "s", None),
            ("other", "t", 5.0),
            ("alone", None, 1.0),
        ]
    ]
    found = {name: [item.id for item in held] for name, held in sessions_of(records).items()}
    assert found == {"s": ["early", "beside early", "late"], "t": ["other"]}

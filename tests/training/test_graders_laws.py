"""Laws of the graders of tool calls and JSON: what must not matter does not, and every changed value does."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from learned_router.request import Message
from learned_router.training.graders import grade_by_agreement, grade_by_reference
from learned_router.training.graders.json_fields import same_fields
from learned_router.training.records import Output, Record, ToolCall

names = st.text("abcdefgh_", min_size=1, max_size=8)
words = st.text("abcdefghij", min_size=1, max_size=10)
numbers = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 4))
leaves = st.booleans() | numbers | words
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1, max_size=3),
)
arguments = st.dictionaries(names, values, min_size=1, max_size=5)
seeds = st.randoms(use_true_random=False)

QUESTION = [Message(role="user", content="q")]


def by_reference(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    expected = [{"name": "f", "arguments": {key: [value] for key, value in wanted.items()}}]
    record = Record(id="r", messages=QUESTION, outputs={}, reference={"expected_calls": expected})
    grade = grade_by_reference(record, Output(tool_calls=[ToolCall("f", found)]))
    assert grade is not None
    return grade.quality


def by_agreement(found: Any, wanted: Any) -> float:
    record = Record(id="r", messages=QUESTION, outputs={})
    outputs = [Output(tool_calls=[ToolCall("f", item)]) for item in (found, wanted)]
    grade = grade_by_agreement(record, *outputs)
    assert grade is not None
    return grade.quality


def json_quality(text: str, wanted: Any) -> float:
    grade = grade_by_reference(
        Record(id="r", messages=QUESTION, outputs={}, reference={"json": wanted}), Output(text=text)
    )
    assert grade is not None
    return grade.quality


def shuffled(value: Any, rng: random.Random) -> Any:
    """``value`` with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def rewritten(value: Any) -> Any:
    """``value`` with every whole number written the other way: 1 as 1.0, 1.0 as 1."""
    if isinstance(value, dict):
        return {key: rewritten(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rewritten(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) if isinstance(value, int) else int(value) if value.is_integer() else value


def changed(value: Any, rng: random.Random) -> Any:
    """``value`` with one leaf, chosen at random, made another one."""
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [*value[:place], changed(value[place], rng), *value[place + 1 :]]
    if isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1


@given(wanted=arguments, rng=seeds)
def test_the_order_of_arguments_never_matters(wanted: dict[str, Any], rng: random.Random) -> None:
    found = shuffled(wanted, rng)
    assert by_agreement(found, wanted) == by_agreement(wanted, found) == 1
    assert json_quality(json.dumps(found), wanted) == 1


@given(wanted=st.dictionaries(names, leaves, min_size=1, max_size=5), rng=seeds)
def test_the_order_of_arguments_never_matters_to_a_reference(wanted: dict[str, Any], rng: random.Random) -> None:
    assert by_reference(shuffled(wanted, rng), wanted) == 1


@given(calls=st.lists(st.tuples(names, arguments), min_size=1, max_size=4), rng=seeds)
def test_the_order_of_calls_never_matters(calls: list[tuple[str, dict[str, Any]]], rng: random.Random) -> None:
    made = [ToolCall(name, item) for name, item in calls]
    other = rng.sample(made, len(made))
    grade = grade_by_agreement(
        Record(id="r", messages=QUESTION, outputs={}), Output(tool_calls=other), Output(tool_calls=made)
    )
    assert grade is not None
    assert grade.quality == 1


@given(wanted=arguments, indent=st.none() | st.integers(0, 4))
def test_whitespace_and_the_way_a_number_is_written_never_matter(wanted: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(rewritten(wanted), indent=indent)
    assert by_agreement(text, wanted) == 1
    assert json_quality(f"\n  {text}\n", wanted) == json_quality(f"```json\n{text}\n```", wanted) == 1


@given(wanted=st.dictionaries(names, leaves, min_size=1, max_size=5))
def test_the_way_a_number_is_written_never_matters_to_a_reference(wanted: dict[str, Any]) -> None:
    assert by_reference(rewritten(wanted), wanted) == 1


@given(key=names, number=st.integers(1_000, 10**9))
def test_json_numbers_may_be_written_as_people_write_them(key: str, number: int) -> None:
    for text in (str(number), f"{number:,}", f"${number:,}", f"{number}.0"):
        assert same_fields({key: text}, {key: number}) == same_fields({key: number}, {key: text}) == 1


@given(wanted=arguments, rng=seeds)
def test_every_changed_value_is_seen(wanted: dict[str, Any], rng: random.Random) -> None:
    found = changed(wanted, rng)
    assert by_agreement(found, wanted) == by_agreement(wanted, found) == 0
    assert json_quality(json.dumps(found), wanted) < 1


@given(wanted=st.dictionaries(names, leaves, min_size=1, max_size=5), rng=seeds)
def test_every_changed_value_is_seen_by_a_reference(wanted: dict[str, Any], rng: random.Random) -> None:
    assert by_reference(changed(wanted, rng), wanted) == 0


@given(wanted=arguments, key=names, value=leaves)
def test_an_argument_added_or_left_out_is_seen(wanted: dict[str, Any], key: str, value: Any) -> None:
    assume(key not in wanted)
    more = {**wanted, key: value}
    assert by_agreement(more, wanted) == by_agreement(wanted, more) == 0
    assert json_quality(json.dumps(more), wanted) < 1
    assert json_quality(json.dumps(wanted), more) < 1


@given(left=arguments, right=arguments)
def test_agreement_on_calls_is_symmetric(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert by_agreement(left, right) == by_agreement(right, left)

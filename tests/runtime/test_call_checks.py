"""What is seen of calls: against the schema, against what the request says, and against the other tools."""

from __future__ import annotations

import time
from typing import Any

import pytest

from learned_router.answer import ToolCall
from learned_router.answers.call_checks import CallChecks, check_calls, fit_tools, functions_of
from learned_router.answers.said import read_said
from learned_router.answers.schema_checks import DEPTH_CHECKED, SchemaFaults, check_value, leaves_of, same

ROOM = {
    "name": "hotel.book_room",
    "description": "Book a room in a hotel.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City and state, e.g. Salem, OR"},
            "nights": {"type": "integer"},
            "guests": {"type": "integer"},
            "arrival": {"type": "string", "description": "Day of arrival, as YYYY-MM-DD."},
            "view": {"type": "string", "enum": ["sea", "garden"]},
            "breakfast": {"type": "boolean", "default": False},
            "width": {"type": "number", "description": "Width of the bed in meters."},
        },
        "required": ["city", "nights"],
    },
}
TRAIN = {"name": "find_train", "description": "Find trains between two stations.", "parameters": {}}


def check(arguments: Any, asked: str = "", name: str = "hotel.book_room") -> CallChecks:
    return check_calls([ToolCall(name, arguments)], functions_of([ROOM, TRAIN]), read_said(asked))


def test_a_call_that_says_what_was_asked_has_no_fault() -> None:
    found = check({"city": "Bend, OR", "nights": 3}, "Book a room in Bend, OR for three nights")
    assert (found.missing, found.faults, found.ungrounded_required, found.off_format) == (0, SchemaFaults(), 0, 0)
    assert (found.unused_numbers, found.least_grounded) == (0.0, 1.0)


def test_a_name_with_dots_is_known_with_underscores() -> None:
    assert check({"city": "Bend, OR", "nights": 1}, name="hotel_book_room").unknown_tools == 0
    assert check({}, name="hotel_book_suite").unknown_tools == 1


def test_without_tools_no_tool_is_unknown() -> None:
    assert check_calls([ToolCall("f", {})], {}, read_said("")).unknown_tools == 0


def test_a_required_argument_left_out_is_missing_but_not_where_arguments_have_no_names() -> None:
    assert check({"nights": 1}).missing == 1
    found = check({"__positional__": ["Bend, OR", 1]})
    assert (found.missing, found.unnamed) == (0, 1)


@pytest.mark.parametrize("arguments", ["city=Bend", 3, [1]])
def test_arguments_that_are_no_object_are_unreadable(arguments: Any) -> None:
    assert check(arguments).unreadable == 1


def test_types_enums_and_unknown_names_are_counted() -> None:
    faults = check({"city": "Bend, OR", "nights": "two", "view": "street", "pets": 1}).faults
    assert (faults.wrong_type, faults.wrong_enum, faults.unknown) == (1, 1, 1)


def test_a_value_that_the_request_does_not_say_is_ungrounded() -> None:
    found = check({"city": "Paris", "nights": 3, "guests": 7}, "A room in Bend for 3 nights")
    assert (found.ungrounded_required, found.ungrounded_optional, found.least_grounded) == (1, 1, 0.0)


@pytest.mark.parametrize("asked", ["from May 4, 2031", "from 4th of may 2031", "on 4/5/2031", "on 2031-05-04"])
def test_a_date_is_grounded_however_it_was_said(asked: str) -> None:
    assert check({"arrival": "2031-05-04"}, asked).ungrounded_optional == 0


def test_a_date_in_a_year_that_nobody_said_is_ungrounded() -> None:
    assert check({"arrival": "2019-05-04"}, "from May 4").ungrounded_optional == 1


def test_a_value_unlike_its_description_is_off_format() -> None:
    assert check({"city": "Bend", "arrival": "May 4"}).off_format == 2
    assert check({"city": "Bend, OR", "arrival": "2031-05-04"}).off_format == 0


def test_a_number_in_another_unit_than_the_description_names_is_seen() -> None:
    assert check({"width": 140}, "a bed of 140 cm").other_unit == 1
    assert check({"width": 2}, "a bed of 2 meters").other_unit == 0


def test_an_optional_argument_that_the_request_mentions_is_missed() -> None:
    assert check({"city": "Bend, OR", "nights": 1}, "with breakfast").missed == 1
    assert check({"city": "Bend, OR", "nights": 1}, "facing the sea").missed == 1
    assert check({"city": "Bend, OR", "nights": 1}, "a cheap one").missed == 0


def test_an_optional_argument_at_its_default_is_no_value_of_its_own() -> None:
    found = check({"breakfast": False})
    assert (found.defaults, found.booleans) == (1, 0)


def test_numbers_in_another_order_than_the_request_says_them_are_seen() -> None:
    asked = "5 nights for 2 guests"
    assert check({"nights": 5, "guests": 2}, asked).out_of_order == 0.0
    assert check({"nights": 2, "guests": 5}, asked).out_of_order == 1.0


def test_a_call_is_a_duplicate_only_where_every_argument_is_the_same() -> None:
    calls = [ToolCall("find_train", {"a": 1, "fast": fast}) for fast in (True, False, True)]
    assert check_calls(calls, {}, read_said("")).duplicates == 1


def test_what_stands_for_a_value_is_a_placeholder_unless_the_request_says_it() -> None:
    assert check({"city": "<city>"}).placeholders == 1
    assert check({"city": "your_city"}).placeholders == 1
    assert check({"city": "unknown"}, "the city is unknown").placeholders == 0


def test_the_tool_that_the_request_is_about_fits_better() -> None:
    said = read_said("Find me trains between these two stations")
    offered = functions_of([ROOM, TRAIN])
    right = fit_tools([ToolCall("find_train", {})], offered, said)
    wrong = fit_tools([ToolCall("hotel.book_room", {})], offered, said)
    assert right.fit > right.fit_of_others
    assert wrong.fit < wrong.fit_of_others
    assert right.covered > wrong.covered
    assert wrong.covered_by_others > right.covered_by_others == 0.0


def test_a_nested_value_is_checked_however_deep_within_the_limit() -> None:
    schema = {
        "type": "array",
        "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    }
    faults = check_value([{"n": 1}, {"n": "1"}, {}, {"n": 1, "m": 2}, 5], schema)
    assert (faults.wrong_type, faults.missing, faults.unknown) == (2, 1, 1)


def test_true_is_no_integer_and_a_whole_float_is() -> None:
    assert check_value(True, {"type": "integer"}).wrong_type == 1
    assert check_value(2.0, {"type": "integer"}).wrong_type == 0
    assert check_value(float("nan"), {"type": "integer"}).wrong_type == 1


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"type": "any"}, {}, None, 7, {"enum": []}, {"pattern": "(a+)+$"}])
def test_a_schema_that_says_nothing_we_know_allows_everything(schema: Any) -> None:
    assert check_value("a" * 50 + "b", schema) == SchemaFaults()


def test_values_and_schemas_without_end_take_no_time() -> None:
    loop: dict[str, Any] = {"type": "object"}
    loop["properties"] = {"a": loop}
    loop["items"] = loop
    wide: Any = "leaf"
    for _ in range(8):
        wide = [wide] * 64
    endless: dict[str, Any] = {}
    endless["a"] = endless
    start = time.process_time()
    for value in (wide, endless, {"a": wide}):
        check_value(value, loop)
        check_value(value, {"items": loop})
        assert same(value, value)
        assert len(list(leaves_of(value))) <= 512
        check({"city": value, "nights": value}, "x")
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1, {"type": "string"}),
        ("1", {"type": "integer"}),
        (5.5, {"type": "integer"}),
        (True, {"type": "number"}),
        (1, {"type": "boolean"}),
        ({}, {"type": "array"}),
        ([], {"type": "object"}),
        (None, {"type": "string"}),
        ("a", {"type": ["integer", "null"]}),
        (10**5000, {"type": "string"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_another_type_is_a_fault(value: Any, schema: dict[str, Any]) -> None:
    assert check_value(value, schema).wrong_type == 1


@pytest.mark.parametrize(("value", "wrong"), [("sea", 0), ("street", 1), (1, 0), (2, 1), (None, 0)])
def test_a_value_outside_its_enum_is_a_fault(value: Any, wrong: int) -> None:
    assert check_value(value, {"enum": ["sea", 1, None]}).wrong_enum == wrong


@pytest.mark.parametrize("value", ["", [], {}, None])
def test_a_value_that_holds_nothing_is_empty(value: Any) -> None:
    assert check_value(value, {}).empty == 1


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_value_below_the_deepest_level_is_not_checked(beyond: int) -> None:
    value: Any = "text"
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(DEPTH_CHECKED + beyond):
        value, schema = [value], {"items": schema}
    assert check_value(value, schema).wrong_type == 1 - beyond


def test_a_reference_is_not_followed_but_its_neighbours_are_checked() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "integer"}}}
    assert check_value({"a": "x", "b": "x"}, schema).wrong_type == 1


@pytest.mark.parametrize(("asked", "unused"), [("2 of 4", 0.5), ("2", 0.0), ("3, 4", 1.0), ("none", 0.0)])
def test_the_share_of_the_requests_numbers_that_no_call_uses_is_told(asked: str, unused: float) -> None:
    assert check({"nights": 2}, asked).unused_numbers == unused


@pytest.mark.parametrize(("asked", "wanted"), [("1,200 nights", 0), ("1200 nights", 0), ("1201 nights", 1)])
def test_a_number_is_grounded_however_its_digits_are_grouped(asked: str, wanted: int) -> None:
    assert check({"nights": 1200}, asked).ungrounded_required == wanted


def test_a_number_of_thousands_of_digits_is_checked() -> None:
    found = check({"city": 10**5000, "nights": -(10**5000), "width": float("inf"), 10**5000: 1}, "x")
    assert (found.faults.wrong_type, found.faults.unknown, found.arguments) == (1, 1, 4)

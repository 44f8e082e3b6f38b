"""What graders hold right, wrong and unsure, and laws that hold for every call and every JSON answer."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.request import Message
from learned_router.training.graders import Grade, grade_by_agreement, grade_by_reference, grade_frontier
from learned_router.training.graders.choice import chosen_letter, option_letters
from learned_router.training.graders.expression import NotAValueError, evaluate, parse_call
from learned_router.training.graders.final_answer import stated_answer
from learned_router.training.graders.json_fields import find_json, same_fields
from learned_router.training.graders.number import parse_number
from learned_router.training.graders.text import similarity
from learned_router.training.records import Output, Record, ToolCall

OPTIONS = "Which?\nA. red\nB. green\nC. blue\nD. grey\nE. pink"


def record(reference: dict[str, Any] | None = None, question: str = "q", tools: Any = None, task: Any = None) -> Record:
    messages = [Message(role="user", content=question)]
    return Record(id="r", messages=messages, outputs={}, reference=reference, tools=tools, task=task)


def calls(*pairs: tuple[str, Any], text: str | None = None) -> Output:
    return Output(text=text, tool_calls=[ToolCall(name=name, arguments=arguments) for name, arguments in pairs])


def grade(reference: dict[str, Any], output: Output, **parts: Any) -> Grade:
    found = grade_by_reference(record(reference, **parts), output)
    assert found is not None
    return found


def quality(answer: str, text: str, question: str = "q") -> float:
    return grade({"answer": answer}, Output(text=text), question=question).quality


# Tool calls

WEATHER = {
    "expected_calls": [{"name": "weather", "arguments": {"city": ["Paris", "Paris, France"], "unit": ["c", ""]}}]
}


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ({"city": "Paris", "unit": "c"}, True),
        ({"city": "paris france"}, True),
        ('{"city": "Paris"}', True),
        ({"city": "Rome"}, False),
        ({"unit": "c"}, False),
        ({"city": "Paris", "unit": "f"}, False),
        ({"city": "Paris", "days": 1}, False),
        ({"city": ["Paris"]}, False),
        ("Paris", False),
        (None, False),
    ],
)
def test_a_call_is_right_when_each_argument_holds_an_accepted_value(arguments: Any, right: bool) -> None:
    assert grade(WEATHER, calls(("weather", arguments))) == Grade(float(right), 1.0, "reference:tool_call")


def test_an_argument_that_may_be_left_out_may_not_where_the_schema_requires_it() -> None:
    function = {"name": "weather", "parameters": {"type": "object", "properties": {}, "required": ["city", "unit"]}}
    for tools in ([{"type": "function", "function": function}], [function]):
        assert grade(WEATHER, calls(("weather", {"city": "Paris"})), tools=tools).quality == 0
        assert grade(WEATHER, calls(("weather", {"city": "Paris", "unit": "c"})), tools=tools).quality == 1


def test_parallel_calls_match_in_any_order_and_each_only_once() -> None:
    expected = [{"name": "f", "arguments": {"x": [i]}} for i in (1, 2)]
    one, two = ("f", {"x": 1}), ("f", {"x": 2})
    for made, right in (((one, two), 1), ((two, one), 1), ((one, one), 0), ((one,), 0), ((one, two, two), 0), ((), 0)):
        assert grade({"expected_calls": expected}, calls(*made)).quality == right


@pytest.mark.parametrize(
    ("found", "wanted", "right"),
    [
        ("math.factorial", "math_factorial", True),
        ("math_factorial", "math.factorial", True),
        ("math.factorial", "factorial", True),
        ("factorial", "math.factorial", False),
        ("other", "factorial", False),
    ],
)
def test_names_match_with_dots_as_underscores_and_with_a_namespace_added(found: str, wanted: str, right: bool) -> None:
    assert grade({"expected_calls": [{"name": wanted, "arguments": {}}]}, calls((found, {}))).quality == right


@pytest.mark.parametrize(
    ("found", "accepted", "right"),
    [
        (5.0, [5], True),
        (5, [5.0], True),
        ("5", [5], False),
        (True, [1], False),
        (1, [True], False),
        (1e-9, [2e-9], False),
        (None, [None], True),
        ({"a": 1}, [{"a": [1, 2]}], True),
        ({"a": 3}, [{"a": [1, 2]}], False),
        ({"a": 1}, [{"a": [1], "b": ["x", ""]}], True),
        ({"a": 1}, [{"a": [1], "b": ["x"]}], False),
        ([1, 2], [[1, 2]], True),
        ([2, 1], [[1, 2]], False),
        ([{"n": "x"}], [[{"n": ["X"]}]], True),
    ],
)
def test_values_match_by_value_and_never_across_kinds(found: Any, accepted: list[Any], right: bool) -> None:
    reference = {"expected_calls": [{"name": "f", "arguments": {"x": accepted}}]}
    assert grade(reference, calls(("f", {"x": found}))).quality == right


@pytest.mark.parametrize(
    ("output", "right"),
    [
        (Output(text="I cannot do that."), True),
        (Output(text=None, tool_calls=[]), True),
        (Output(), True),
        (Output(error="timeout"), False),
        (calls(("f", {"x": 1})), False),
        (calls(("f", {"__positional__": [1]})), True),
        (calls(("f", "not an object")), True),
    ],
)
def test_where_no_call_is_wanted_only_a_call_that_can_be_carried_out_is_wrong(output: Output, right: bool) -> None:
    assert grade({"no_call": True}, output).quality == right


def test_where_any_call_is_wanted_text_alone_is_wrong() -> None:
    assert grade({"any_call": True}, calls(("f", {}))).quality == 1
    assert grade({"any_call": True}, Output(text="f()")).quality == 0


@pytest.mark.parametrize(
    ("source", "arguments", "right"),
    [
        ("f(a=1, b=[1, 2.0])", {"a": 1.0, "b": [1, 2]}, True),
        ("f(p=1/6)", {"p": "1/6"}, True),
        ("f(p=1/6)", {"p": 1 / 6}, True),
        ("f(p=1/6)", {"p": 0.17}, False),
        ("f(p=sqrt(2))", {"p": "math.sqrt(2)"}, True),
        ("f(1, 2)", {"a": 1, "b": 2}, True),
        ("f(a=1, b=2)", {"a": 1}, False),
        ("f(a=1)", {"a": 1, "c": 7}, True),
        ("f(a=1)", {"a": 1, "c": 8}, False),
        ("f(a=True)", {"a": True}, True),
        ("f(a=True)", {"a": 1}, False),
        ("not a call", {"a": 1}, False),
    ],
)
def test_executed_calls_compare_the_values_of_their_call_string(source: str, arguments: Any, right: bool) -> None:
    properties = {"a": {}, "b": {}, "c": {"default": 7}, "p": {}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}]
    reference = {"ground_truth": [source], "execution_result_type": ["exact_match"]}
    assert grade(reference, calls(("f", arguments)), tools=tools).quality == right


def test_the_greatest_common_divisor_does_not_mind_the_order_of_its_arguments() -> None:
    reference = {"ground_truth": ["math_gcd(a=12, b=18)"]}
    assert grade(reference, calls(("math.gcd", {"a": 18, "b": 12}))).quality == 1
    assert grade(reference, calls(("math.gcd", {"a": 18, "b": 18}))).quality == 0


# Laws of calls and of JSON answers

names = st.text("abcdefgh_", min_size=1, max_size=8)
scalars = (
    st.integers(-(10**6), 10**6)
    | st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
    | st.booleans()
    | st.text("abcdefg ", min_size=1, max_size=12).filter(lambda text: text.strip() != "")
)
arguments = st.dictionaries(names, scalars, min_size=1, max_size=5)
nested = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
objects = st.dictionaries(names, nested, min_size=1, max_size=5)


def expecting(values: dict[str, Any]) -> dict[str, Any]:
    return {"expected_calls": [{"name": "f", "arguments": {key: [value] for key, value in values.items()}}]}


def changed(value: Any) -> Any:
    """Another value of the same kind, which no normalisation makes equal."""
    if isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1


def reformatted(value: Any) -> Any:
    """The same value with numbers written the other way and spaces added."""
    if isinstance(value, dict):
        return {key: reformatted(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return [reformatted(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return f" {value.upper().replace(' ', '  ')} "
    if isinstance(value, int):
        return float(value)
    return int(value) if value.is_integer() else value


def change_one_leaf(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = data.draw(st.sampled_from(keys))
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = change_one_leaf(value[key], data)
        return copy
    return ["something"] if isinstance(value, dict | list) else changed(value)


@given(values=arguments, data=st.data())
def test_a_call_stays_right_however_its_arguments_are_ordered_spaced_and_written(values: Any, data: Any) -> None:
    order = data.draw(st.permutations(list(values)))
    shuffled = {key: reformatted(values[key]) for key in order}
    assert grade(expecting(values), calls(("f", shuffled))).quality == 1
    assert grade(expecting(values), calls(("f", json.dumps(shuffled, indent=3)))).quality == 1


@given(values=arguments, data=st.data())
def test_a_call_is_wrong_as_soon_as_one_value_changes_is_missing_or_is_added(values: Any, data: Any) -> None:
    key = data.draw(st.sampled_from(list(values)))
    assert grade(expecting(values), calls(("f", values | {key: changed(values[key])}))).quality == 0
    assert grade(expecting(values), calls(("f", {k: v for k, v in values.items() if k != key}))).quality == 0
    assert grade(expecting(values), calls(("f", values | {"zzz": 1}))).quality == 0


@given(made=st.lists(st.tuples(names, arguments), max_size=4), data=st.data())
def test_calls_agree_with_themselves_in_any_order(made: Any, data: Any) -> None:
    order = data.draw(st.permutations(made))
    agreed = grade_by_agreement(record(), calls(*order), calls(*made))
    assert agreed.quality == 1


@given(wanted=objects, indent=st.sampled_from([None, 0, 4]))
def test_json_stays_right_however_it_is_ordered_spaced_and_written(wanted: Any, indent: int | None) -> None:
    text = f"Here you are:\n```json\n{json.dumps(reformatted(wanted), indent=indent)}\n```\nAnything else?"
    assert grade({"json": wanted}, Output(text=text)) == Grade(1.0, 1.0, "reference:json")


@given(wanted=objects, data=st.data())
def test_json_with_one_value_changed_is_never_quite_right(wanted: Any, data: Any) -> None:
    text = json.dumps(change_one_leaf(wanted, data))
    assert grade({"json": wanted}, Output(text=text)).quality < 1


@given(left=objects, right=objects)
def test_the_share_of_equal_fields_is_symmetric_and_between_0_and_1(left: Any, right: Any) -> None:
    assert 0 <= same_fields(left, right) == same_fields(right, left) <= 1


@settings(deadline=None)  # the first formula met imports an algebra system
@given(text=st.text(max_size=300), wanted=st.text(min_size=1, max_size=40))
def test_any_text_gets_a_quality_between_0_and_1_against_any_answer(text: str, wanted: str) -> None:
    found = grade_by_reference(record({"answer": wanted}), Output(text=text))
    assert found is None or 0 <= found.quality <= 1
    agreed = grade_by_agreement(record(), Output(text=text), Output(text=wanted))
    assert 0 <= agreed.quality <= 1


# JSON fields


def test_json_quality_is_the_share_of_fields_that_are_right() -> None:
    wanted = {"name": "Ada", "age": 36, "city": "London", "tags": ["x", "y"]}
    assert grade({"json": wanted}, Output(text=json.dumps(wanted | {"age": 37}))).quality == pytest.approx(0.8)
    assert grade({"json": wanted}, Output(text=json.dumps(wanted | {"extra": 1}))).quality == pytest.approx(10 / 11)
    assert grade({"json": wanted}, Output(text="I do not know")).quality == 0


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ("36", 36, True),
        ("$1,200", 1200, True),
        ("-5", "5", False),
        ("1.5", "15", False),
        ("2024-01-02", "2024-01-03", False),
        ("Acme, Inc.", "acme inc", True),
        (True, 1, False),
        (None, "", False),
    ],
)
def test_json_leaves_compare_by_value(found: Any, wanted: Any, same: bool) -> None:
    assert (same_fields({"x": found}, {"x": wanted}) == 1) is same


def test_json_is_found_amid_words_and_an_object_is_preferred_to_a_list() -> None:
    assert find_json('As in [1], the result is {"a": 1}, see {2}.') == {"a": 1}
    assert find_json("The list: [1, 2]") == [1, 2]
    assert find_json("no json { here") is None


# Choices


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (E).", "E"),
        ("Answer: E", "E"),
        ("answer is **E**", "E"),
        ("The answer is $\\boxed{E}$", "E"),
        ("The answer is \\( \\text{E} \\).", "E"),
        ('{"reasoning": "A or E?", "answer": "E"}', "E"),
        ("E", "E"),
        ("(e)", "E"),
        ("E. pink", "E"),
        ("Closest to the truth is (E).", "E"),
        ("The answer is (E).\n\nQuestion: next?\nThe answer is (A).", "E"),
        ("The answer is a colour. The answer is (B).", "B"),
        ("(a) is red, (b) is green. The answer is (E).", "E"),
        ("I think A good guess", None),
        ("The answer is (Z).", None),
        ("", None),
    ],
)
def test_the_letter_is_read_from_free_reasoning(text: str, letter: str | None) -> None:
    chosen = chosen_letter(text, "ABCDE")
    assert (chosen[0] if chosen else None) == letter


def test_a_choice_is_graded_by_letter_or_by_index_and_a_guess_is_less_certain() -> None:
    for reference in ({"answer": "E"}, {"answer_index": 4}, {"answer": "E", "answer_index": 4}):
        stated = grade(reference, Output(text="The answer is (E)."), question=OPTIONS)
        assert stated == Grade(1.0, 1.0, "reference:choice")
        assert grade(reference, Output(text="The answer is (A)."), question=OPTIONS).quality == 0
    assert grade({"answer_index": 4}, Output(text="Most likely (E)."), question=OPTIONS).certainty < 1


@pytest.mark.parametrize(("question", "letters"), [(OPTIONS, "ABCDE"), ("A. only one", ""), ("B. x\nC. y", "")])
def test_options_are_letters_that_run_from_a_without_a_gap(question: str, letters: str) -> None:
    assert option_letters(question) == letters


# Numbers, formulas, literals, labels


@pytest.mark.parametrize(
    "text",
    [
        "18",
        "18.0",
        "$18.00",
        "18 dollars",
        "She makes 9 * 2 = $<<9*2=18>>18.\n#### 18",
        "so the total is 9 * $2 = $18 every day.",
        '{"reasoning": "9 * 2", "answer": "18"}',
        '{"reasoning": "9 \\* 2 \\frac", "answer": 18',
        '{"reasoning": "cut',
        "The answer is $\\boxed{18}$.",
        "\\boxed{\\frac{36}{2}}",
        "The answer is 36/2",
        '**answer**: "18"',
    ],
)
def test_a_number_is_found_however_it_is_written(text: str) -> None:
    assert quality("18", text) == (0.0 if text.endswith("cut") else 1.0)


@pytest.mark.parametrize("text", ["", "19", "1.8", "-18", "180", "no number", '{"answer": "17"} or 18'])
def test_another_number_is_wrong(text: str) -> None:
    assert quality("18", text) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,875", 1875),
        ("$43,500", 43500),
        ("3/4", 0.75),
        ("\\frac{3}{4}", 0.75),
        ("\\sqrt{16}", 4),
        ("2\\pi", 6.283185307179586),
        ("50%", 50),
        ("-2", -2),
        ("−2", -2),
        ("1e3", 1000),
        ("10^3", 1000),
        ("x = 5", 5),
        ("221_3", 221),
        ("3 or 4", None),
        ("five", None),
        ("", None),
        ("nan", None),
        ("9**9**9", None),
    ],
)
def test_numbers_are_parsed_as_people_write_them(text: str, value: float | None) -> None:
    assert parse_number(text) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("x^2+2x+1", "\\boxed{x^2 + 2x + 1}", True),
        ("\\frac{\\sqrt{3}}{2}", "\\boxed{\\sqrt{3}/2}", True),
        ("(1, 2)", "The answer is (1,2)", True),
        ("x*y+1", "answer: y*x + 1", True),
        ("x*y+1", "answer: y*x - 1", False),
    ],
)
def test_formulas_are_equal_when_their_values_are(answer: str, text: str, right: bool) -> None:
    assert quality(answer, text) == right


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("[(4, 1), (2, 3)]", '{"answer": "[(4,1),(2,3)]"}', True),
        ("(1, 2)", '{"answer": "[1, 2]"}', False),
        ("{'a': 1}", '{"answer": {"a": 1}}', True),
        ("{'a': 1, 'b': None}", '{"answer": "{\\"b\\": None, \\"a\\": 1}"}', True),
        ("'hello'", '{"answer": "hello"}', True),
        ("'hello'", '{"answer": "\'hello\'"}', True),
        ("'hello'", '{"answer": "Hello"}', False),
        ("'a'", '{"answer": "   a"}', False),
        ("'78'", '{"answer": "$78$"}', False),
        ("True", '{"answer": "True"}', True),
        ("True", '{"answer": "1"}', False),
        ("[]", "[]", True),
    ],
)
def test_literals_compare_as_python_does(answer: str, text: str, right: bool) -> None:
    found = grade({"answer": answer}, Output(text=text))
    assert found.quality == right
    assert found.grader == "reference:literal"


def test_a_label_matches_without_case_and_punctuation_and_accepted_ones_count() -> None:
    reference = {"answer": "refund request", "accepted": ["refund"]}
    assert grade(reference, Output(text="Refund-Request.")).quality == 1
    assert grade(reference, Output(text=" REFUND ")).quality == 1
    assert grade(reference, Output(text="The answer is: refund")).quality == 1
    assert grade(reference, Output(text="complaint")) == Grade(0.0, pytest.approx(0.76), "reference:label")


def test_a_long_reference_is_graded_by_shared_words_with_little_certainty() -> None:
    answer = "A long reference answer whose words nobody will repeat in this very order"
    found = grade({"answer": answer}, Output(text=answer))
    assert (found.quality, found.grader) == (1.0, "reference:similarity")
    assert found.certainty < 0.5


@given(left=st.text(max_size=80), right=st.text(max_size=80))
def test_similarity_is_symmetric_and_1_for_equal_texts(left: str, right: str) -> None:
    assert similarity(left, right) == similarity(right, left)
    assert similarity(left, left) == 1


@pytest.mark.parametrize("reference", [None, {}, {"unheard_of": 1}, {"answer": None}, {"no_call": False}])
def test_without_a_usable_reference_there_is_no_grade_by_reference(reference: Any) -> None:
    assert grade_by_reference(record(reference), Output(text="x")) is None


def test_an_error_makes_an_output_worthless_even_beside_the_right_answer() -> None:
    assert grade({"answer": "18"}, Output(text="18", error="cut off")).quality == 0


# Agreement


@pytest.mark.parametrize(
    ("question", "found", "frontier", "quality", "grader"),
    [
        (OPTIONS, "Answer: B", "The answer is (B).", 1, "agreement:choice"),
        (OPTIONS, "Answer: C", "The answer is (B).", 0, "agreement:choice"),
        ("How many eggs?", "There are 12 of them", "3 * 4 = 12 eggs.", 1, "agreement:answer"),
        ("How many eggs?", "There are 13 of them", "3 * 4 = 12 eggs.", 0, "agreement:answer"),
        ("q", '{"answer": "[1, 2]"}', '{"answer": "[1,2]"}', 1, "agreement:answer"),
        ("q", '{"answer": "[1, \'2\']"}', '{"answer": "[1,2]"}', 0, "agreement:answer"),
        ("q", "#### 7", "\\boxed{7}", 1, "agreement:answer"),
        ("q", '{"answer": "yes"}', "The answer is Yes.", 1, "agreement:answer"),
        ("q", '```json\n{"a": 1.0}\n```', '{"a": 1}', 1, "agreement:json"),
        ("q", "no", '{"a": 1}', 0, "agreement:json"),
        ("q", "Refund.", "refund", 1, "agreement:label"),
        ("q", "complaint", "refund", 0, "agreement:label"),
    ],
)
def test_structure_is_compared_before_words(
    question: str, found: str, frontier: str, quality: int, grader: str
) -> None:
    agreed = grade_by_agreement(record(question=question), Output(text=found), Output(text=frontier))
    assert (agreed.quality, agreed.grader) == (quality, grader)
    assert agreed.certainty < 1


def test_free_text_agrees_by_shared_words_with_little_certainty() -> None:
    wanted = "The order was shipped on Monday and will arrive within three days at your door"
    found = "It was shipped Monday and arrives in three days"
    agreed = grade_by_agreement(record(), Output(text=found), Output(text=wanted))
    assert agreed.grader == "agreement:text"
    assert 0.2 < agreed.quality < 0.9
    assert agreed.certainty <= 0.2


def test_calls_agree_when_running_text_differs_a_little_but_not_when_a_value_does() -> None:
    frontier = calls(("mail", {"to": "ann@x.org", "body": "The meeting on Monday is moved to Tuesday at noon"}))
    near = calls(("mail", {"to": "ann@x.org", "body": "Meeting on Monday is now moved to Tuesday at noon"}))
    other = calls(("mail", {"to": "bob@x.org", "body": "The meeting on Monday is moved to Tuesday at noon"}))
    assert grade_by_agreement(record(), near, frontier) == Grade(1.0, 0.65, "agreement:tool_call")
    assert grade_by_agreement(record(), other, frontier).quality == 0
    assert grade_by_agreement(record(), Output(text="done"), frontier).quality == 0
    assert grade_by_agreement(record(), near, Output(text="done")) == Grade(0.0, 0.9, "agreement:no_call")


def test_an_argument_left_out_agrees_with_the_default_of_the_schema_written_out() -> None:
    tools = [{"name": "sort", "parameters": {"properties": {"reverse": {"type": "boolean", "default": False}}}}]
    short, full, other = (calls(("sort", {"x": [1], **more})) for more in ({}, {"reverse": False}, {"reverse": True}))
    for left, right, same in ((short, full, 1), (full, short, 1), (short, other, 0), (other, full, 0)):
        assert grade_by_agreement(record(tools=tools), left, right).quality == same


def test_beside_tools_to_call_nothing_like_the_frontier_is_worth_half_and_its_words_the_rest() -> None:
    asked, frontier = record(tools=[{"name": "f"}]), Output(text="none of the tools fits")
    assert grade_by_agreement(asked, Output(text="", tool_calls=[]), frontier).quality == 0.5
    assert grade_by_agreement(asked, frontier, frontier) == Grade(1.0, 0.9, "agreement:no_call")


def test_an_episode_agrees_by_the_calls_it_shares() -> None:
    frontier, small = calls(("a", {}), ("b", {})), calls(("b", {}), ("c", {}))
    assert grade_by_agreement(record(task="agent_episode"), small, frontier) == Grade(0.5, 0.5, "agreement:episode")


def test_the_frontier_is_right_by_definition_unless_it_said_nothing() -> None:
    assert grade_frontier(Output(text="x")) == Grade(1.0, 0.9, "agreement:frontier")
    assert grade_frontier(Output()) is None
    assert grade_frontier(Output(text="x", error="timeout")) is None


# Bounds


@pytest.mark.parametrize(
    "source", ["9**9**9", "2**(10**9)", "(" * 3000, "x" * 10_000, "__import__('os')", "[] + []", "1/0"]
)
def test_evaluating_hostile_text_ends_without_a_value(source: str) -> None:
    began = time.process_time()
    with pytest.raises(NotAValueError):
        evaluate(source)
    assert time.process_time() - began < 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
KEYS = ["expected_calls", "ground_truth", "execution_result_type", "no_call", "any_call", "json", "answer"]
references = st.dictionaries(st.sampled_from([*KEYS, "answer_index", "accepted", "reference"]), anything, max_size=3)
odd_tools = st.lists(
    st.dictionaries(st.sampled_from(["function", "name", "parameters"]), anything, max_size=3), max_size=2
)


@given(reference=references, arguments=anything, tools=odd_tools, text=st.none() | st.text(max_size=30))
def test_references_tools_and_arguments_of_any_shape_never_crash_a_grader(
    reference: Any, arguments: Any, tools: Any, text: str | None
) -> None:
    output = calls(("f", arguments), ("", None), text=text)
    for answer in (output, Output(text=text)):
        found = grade_by_reference(record(reference, tools=tools), answer)
        assert found is None or 0 <= found.quality <= 1
        assert 0 <= grade_by_agreement(record(tools=tools), answer, output).quality <= 1


@pytest.mark.parametrize("digits", [400, 5000])
def test_an_answer_of_very_many_digits_is_another_number(digits: int) -> None:
    assert quality("18", '{"answer": ' + "9" * digits + "}") == 0


def test_a_call_string_keeps_what_it_cannot_work_out_as_source() -> None:
    parsed = parse_call("os.run(x, cmd=f(1), n=-2)")
    assert parsed is not None
    assert parsed == ("os.run", ["x"], {"cmd": "f(1)", "n": -2})


HUGE = {
    "words": "lorem ipsum " * 83_000,
    "spaces": "answer is " + " " * 1_000_000,
    "braces": "{[" * 500_000,
    "digits": "1" * 1_000_000,
    "commas": "1,111" * 200_000,
    "answers": '"answer": ' * 100_000,
    "boxes": "\\boxed{" * 140_000,
    "headings": "## " + " a" * 500_000,
    "quotes": "\"'" * 500_000,
    "fractions": "\\frac{" * 160_000,
    "fences": "```\n" * 250_000,
    "openings": "```python x\n" * 80_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_a_million_characters_are_graded_in_bounded_time(text: str) -> None:
    references: list[dict[str, Any]] = [
        {"answer": "18"},
        {"answer": "[1]"},
        {"answer": "x^2"},
        {"answer": "some label"},
    ]
    references += [{"answer": "words " * 50}, {"answer": "B", "answer_index": 1}, {"json": {"a": 1}}, {"no_call": True}]
    began = time.process_time()
    for reference in references:
        grade_by_reference(record(reference, question=OPTIONS), Output(text=text))
    grade_by_agreement(record(question=text), Output(text=text), Output(text=text))
    stated_answer(text)
    assert time.process_time() - began < 3

"""Which grader is chosen, what overrides it, and what feedback, schemas and code add to it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.graders import GRADERS, Grade, GradeOptions, grade_record
from learned_router.training.graders.code import Code, find_code, parses, same_code
from learned_router.training.graders.confinement import run_tests
from learned_router.training.graders.grade import CERTAINTY
from learned_router.training.graders.json_schema import meets_format
from learned_router.training.graders.mathematics import equal_by_algebra
from learned_router.training.label import label
from learned_router.training.records import Output, Record, ToolCall


def record(question: str = "q", **parts: Any) -> Record:
    return Record(id="r", messages=[Message(role="user", content=question)], outputs={}, **parts)


def graded(small: Output, frontier: Output, *, asked: Record | None = None, **options: Any) -> dict[str, Grade]:
    found = grade_record(asked or record(), {"small": small, "frontier": frontier}, GradeOptions(**options))
    assert isinstance(found, dict), found
    return found


def qualities(small: Output, frontier: Output, **parts: Any) -> tuple[float, float]:
    found = graded(small, frontier, **parts)
    assert list(found) == ["small", "frontier"]
    return found["small"].quality, found["frontier"].quality


def says(text: str | None, feedback: float | None = None) -> Output:
    return Output(text=text, feedback=feedback)


# Feedback


@pytest.mark.parametrize(
    ("small", "frontier", "expected"),
    [
        (says("no", 0.25), says("yes", 1.0), (0.25, 1.0)),
        (says("yes"), says("yes", 1.0), (1.0, 1.0)),
        (says("no"), says("yes", 1.0), (0.0, 1.0)),
        (says("yes"), says("yes", 0.0), (0.0, 0.0)),
        (says("no"), says("yes", 0.0), (0.5, 0.0)),
        (says("yes", 0.0), says("yes"), (0.0, 0.0)),
        (says("no", 0.0), says("yes"), (0.0, 1.0)),
        (says("no", 1.0), says("yes"), (1.0, 1.0)),
    ],
)
def test_feedback_on_one_answer_is_carried_over_by_agreement(
    small: Output, frontier: Output, expected: tuple[float, float]
) -> None:
    assert qualities(small, frontier) == expected
    assert "feedback" in graded(small, frontier)["small"].grader or small.feedback is None


def test_an_answer_that_differs_from_a_bad_one_is_graded_with_little_certainty() -> None:
    differs = graded(says("no"), says("yes", 0.0))["small"]
    agrees = graded(says("yes"), says("yes", 0.0))["small"]
    assert differs.certainty < 0.5 <= agrees.certainty


def test_a_settled_reference_goes_before_feedback_and_feedback_before_a_long_reference() -> None:
    asked = record(reference={"answer": "yes"})
    assert graded(says("no", 1.0), says("yes", 0.0), asked=asked)["small"].grader == "reference:label"
    long = record(reference={"answer": "a long answer that nobody will repeat word for word in this order"})
    assert graded(says("no", 1.0), says("yes", 0.0), asked=long)["small"] == Grade(
        1.0, CERTAINTY["feedback"], "feedback"
    )


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_feedback_out_of_range_is_a_named_reason(value: float) -> None:
    found = grade_record(record(), {"small": says("a", value), "frontier": says("b")})
    assert isinstance(found, tuple)
    assert found[0] == "feedback_out_of_range"


def test_labels_keep_neither_score_nor_feedback() -> None:
    outputs = {"tiny": Output(text="a", score=1.0, feedback=0.5), "big": says("a")}
    asked = Record(id="r", messages=[Message(role="user", content="q")], outputs=outputs)
    made = label([asked], {"small": "tiny", "frontier": "big"}).labels[0]
    assert made.quality["small"] == 0.5
    assert made.outputs["small"] == says("a")


# Overriding


@pytest.mark.parametrize(
    ("grader", "expected"),
    [
        (None, "reference:label"),
        ("reference", "reference:label"),
        ("label", "reference:label"),
        ("agreement", "agreement:label"),
        ("text", "agreement:text"),
        ("feedback", "feedback"),
    ],
)
def test_a_grader_can_be_named(grader: str | None, expected: str) -> None:
    asked = record(reference={"answer": "yes"})
    assert graded(says("yes", 1.0), says("yes", 1.0), asked=asked, grader=grader)["small"].grader == expected


@pytest.mark.parametrize("grader", ["reference", "feedback", "json", "choice", "code", "tool_call", "episode"])
def test_a_record_that_the_named_grader_does_not_fit_is_left_out_by_name(grader: str) -> None:
    found = grade_record(record(), {"small": says("a"), "frontier": says("b")}, GradeOptions(grader=grader))
    assert isinstance(found, tuple)
    assert found[0] == "grader_does_not_fit"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"grader": "vibes"}, "--grader: found 'vibes'; give one of reference, feedback"),
        ({"grader": "judge"}, "no judge is given"),
        ({"labels": "silver"}, "--labels: found 'silver'"),
        ({"labels": "gold", "grader": "agreement"}, "gold labels are taken from the log"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        GradeOptions(**options).check()


def test_every_named_grader_is_one_that_can_be_named() -> None:
    for grader in GRADERS:
        if grader != "judge":
            GradeOptions(grader=grader).check()


# JSON asked for


SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "schema": {
            "type": "object",
            "properties": {"age": {"type": "integer"}, "name": {"type": "string"}},
            "required": ["age", "name"],
            "additionalProperties": False,
        }
    },
}
GOOD = '{"age": 36, "name": "Ada"}'


def test_an_answer_that_breaks_the_schema_is_worth_nothing_and_fields_count_in_one_that_keeps_it() -> None:
    pytest.importorskip("jsonschema")
    asked = record(response_format=SCHEMA, reference={"json": {"age": 36, "name": "Ada"}})
    assert qualities(says('{"age": "36", "name": "Ada"}'), says(GOOD), asked=asked) == (0.0, 1.0)
    assert qualities(says('{"age": 37, "name": "Ada"}'), says(GOOD), asked=asked) == (0.5, 1.0)
    assert graded(says("36"), says(GOOD), asked=asked)["small"].grader == "reference:schema"


def test_where_only_the_frontier_breaks_the_schema_the_small_answer_is_the_better_one() -> None:
    pytest.importorskip("jsonschema")
    found = graded(says(GOOD), says("Ada is 36"), asked=record(response_format=SCHEMA))
    assert (found["small"].quality, found["frontier"].quality) == (1.0, 0.0)
    assert found["small"].certainty < 0.5


@pytest.mark.parametrize(
    ("text", "wanted", "met"),
    [
        ("{}", None, None),
        ("no json", {"type": "text"}, None),
        ("no json", {"type": "json_object"}, False),
        ('Here: {"a": 1}', {"type": "json_object"}, True),
        (GOOD, SCHEMA, True),
        ("{}", SCHEMA, False),
        ("{}", {"type": "json_schema", "json_schema": {"schema": {"type": 3}}}, None),
        ("{}", {"type": "json_schema", "json_schema": {"schema": {"$ref": "https://example.org/x"}}}, None),
        ("{}", {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}, None),
        (
            '{"a": "x"}',
            {"type": "json_schema", "json_schema": {"schema": {"properties": {"a": {"pattern": "("}}}}},
            None,
        ),
        ("{}", {"type": "json_schema", "json_schema": "?"}, True),
    ],
)
def test_a_format_is_met_or_not_or_says_nothing(text: str, wanted: Any, met: bool | None) -> None:
    pytest.importorskip("jsonschema")
    assert meets_format(text, wanted) is met


def test_calls_are_not_held_against_the_response_format() -> None:
    call = Output(tool_calls=[ToolCall("f", {})])
    assert qualities(call, call, asked=record(response_format={"type": "json_object"})) == (1.0, 1.0)


# Calls beside calls

TOOL = {
    "name": "area",
    "parameters": {
        "properties": {
            "side": {"type": "number"},
            "unit": {"type": "string", "description": "Unit of the side. Default is 'cm'."},
            "digits": {"type": "integer", "description": "Digits kept (default 2)."},
            "deep": {"type": "boolean", "default": False},
        },
        "required": ["side"],
    },
}


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ({"unit": "cm"}, True),
        ({"unit": "m"}, False),
        ({"digits": 2}, True),
        ({"digits": 2.0}, True),
        ({"digits": 3}, False),
        ({"deep": False}, True),
        ({"deep": True}, False),
        ({"unit": None}, True),
        ({"unit": ""}, True),
        ({"unheard": 1}, False),
    ],
)
def test_an_argument_left_out_is_the_default_that_its_description_states(more: dict[str, Any], same: bool) -> None:
    short, full = (Output(tool_calls=[ToolCall("area", {"side": 2, **extra})]) for extra in ({}, more))
    asked = record(tools=[TOOL])
    assert qualities(short, full, asked=asked)[0] == qualities(full, short, asked=asked)[0] == same


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("New York", "New York, NY", False),
        ("New York", "York", False),
        ("Rome, Italy", "Rome, Georgia", False),
        ("1", "1, 2", False),
        ("lambda x: 3*x**2", "lambda t: 3 * t ** 2", True),
        ("lambda x: 3*x**2", "lambda t: 2 * t ** 3", False),
        ("lambda x, y: x - y", "lambda y, x: x - y", False),
        ("Please move our weekly meeting to Friday", "Please move our weekly meeting to this Friday", True),
        ("Please move our weekly meeting to 3 May", "Please move our weekly meeting to 4 May", False),
    ],
)
def test_arguments_that_say_the_same_agree(left: str, right: str, same: bool) -> None:
    outputs = [Output(tool_calls=[ToolCall("f", {"x": value})]) for value in (left, right)]
    assert qualities(*outputs)[0] == same


# Code

ADD = "```python\ndef add(a, b):\n    return a + b\n```"
WRONG = "```python\ndef add(a, b):\n    return a - b\n```"
TORN = "```python\ndef add(a, b:\n    return a + b\n```"
TESTED = {"tests": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]}


def test_code_runs_against_the_tests_only_when_asked_to() -> None:
    asked = record(reference=TESTED)
    found = graded(says(WRONG), says(ADD), asked=asked, run_code=True)
    assert (found["small"].quality, found["frontier"].quality) == (0.0, 1.0)
    assert found["small"].grader == "reference:tests"
    assert graded(says(WRONG), says(ADD), asked=asked)["small"].grader == "agreement:label"


def test_code_that_does_not_parse_is_wrong_without_running_anything() -> None:
    asked = record(reference=TESTED)
    assert qualities(says(TORN), says(TORN), asked=asked) == (0.0, 0.0)
    found = graded(says(TORN), says(ADD), asked=asked)
    assert (found["small"].quality, found["small"].grader) == (0.0, "agreement:code")


def test_code_agrees_when_only_layout_comments_and_quotes_differ() -> None:
    other = "Here it is:\n\n```py\n# sums\ndef add(a,b):\n\n    return (a + b)\n```"
    assert graded(says(other), says(ADD))["small"] == Grade(1.0, CERTAINTY["agreement:code"], "agreement:code")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ADD, Code("python", "def add(a, b):\n    return a + b")),
        ("def f():\n    return 1", Code("python", "def f():\n    return 1")),
        ("```\nx = 1\n```", Code("", "x = 1")),
        ("```json\n{}\n```", Code("json", "{}")),
        ("```python\nx = 1\n```\nthen\n```python\ny = x\n```", Code("python", "x = 1\n\ny = x")),
        ("```python\nx = (\n```\nbetter\n```python\ny = 1 + 1\n```", Code("python", "y = 1 + 1")),
        ("```python\nx = 1", Code("python", "x = 1")),
        ("no code, import it yourself", None),
        ("", None),
    ],
)
def test_code_is_found_fenced_bare_and_cut_short(text: str, code: Code | None) -> None:
    assert find_code(text) == code


@pytest.mark.parametrize(
    ("code", "well_formed"),
    [
        (Code("python", "x = 1"), True),
        (Code("python", "x ="), False),
        (Code("python", "(" * 5000), False),
        (Code("python", "\0"), False),
        (Code("json", "{'a': 1}"), False),
        (Code("toml", "a = 1"), True),
        (Code("cobol", "DISPLAY"), None),
    ],
)
def test_code_parses_or_not_or_cannot_be_judged(code: Code, well_formed: bool | None) -> None:
    assert parses(code) is well_formed


def test_json_code_is_the_same_in_any_order_of_keys() -> None:
    assert same_code(Code("json", '{"a": 1, "b": 2}'), Code("json", '{"b":2,"a":1}'))
    assert not same_code(Code("json", '{"a": 1}'), Code("json", '{"a": 2}'))


def test_a_check_function_is_called_with_the_entry_point() -> None:
    reference = {"tests": "def check(candidate):\n    assert candidate(1, 2) == 3", "entry_point": "add"}
    asked = record(reference=reference)
    assert qualities(says(WRONG), says(ADD), asked=asked, run_code=True) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("source", "passes"),
    [
        ("x = 1", True),
        ("print('x' * 1000)", True),
        ("open('here.txt', 'w').write('1')", True),
        ("raise SystemExit(0)", False),
        ("import os; os._exit(0)", False),
        ("open('/tmp/there.txt', 'w')", False),
        ("import os; os.remove('/etc/hostname')", False),
        ("import socket; socket.socket()", False),
        ("import urllib.request as u; u.urlopen('http://127.0.0.1:9')", False),
        ("import subprocess; subprocess.run(['true'])", False),
        ("import os; os.system('true')", False),
        ("x = [0] * 10**10", False),
        ("open('big', 'w').write('x' * 10**8)", False),
        ("while True: print('x' * 1000)", False),
        ("import os; assert not [k for k in os.environ if k not in ('PATH', 'HOME', 'TMPDIR', 'LC_CTYPE')]", True),
    ],
)
def test_a_graded_program_keeps_to_its_folder_its_limits_and_itself(source: str, passes: bool) -> None:
    assert run_tests(source, ["assert True"], timeout_s=10).passed is passes


def test_a_graded_program_that_hangs_is_killed_in_time() -> None:
    began = time.perf_counter()
    found = run_tests("while True: pass", [], timeout_s=1)
    assert (found.passed, found.said) == (False, "still running after 1 s")
    assert time.perf_counter() - began < 5


# Mathematics


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("\\{1, 2\\}", "\\{2, 1\\}", True),
        ("[1, 2)", "[1,2)", True),
        ("[1, 2)", "[1, 2]", False),
        ("\\log_2 8", "3", False),  # what is wanted is plain: arithmetic settles it
        ("3", "\\log_2 8", True),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}", True),
        ("\\begin{pmatrix}1&2\\\\3&5\\end{pmatrix}", "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}", False),
        ("apples", "\\sqrt{pears}", False),
        ("", "\\frac{1}{2}", False),
    ],
)
def test_what_is_no_arithmetic_is_compared_by_algebra(left: str, right: str, same: bool) -> None:
    pytest.importorskip("math_verify")
    assert equal_by_algebra(left, right) is same


@pytest.mark.parametrize(
    "text", ["9^{9^{9^{9}}}", "x" * 300, "\\frac{" * 30, "{" * 199, "\\int_0^1 " * 20, "2^{10^{9}}!"]
)
def test_algebra_on_hostile_text_ends_soon(text: str) -> None:
    pytest.importorskip("math_verify")
    equal_by_algebra("1", "\\sqrt{2}")  # the import, which takes a second
    began = time.process_time()
    assert equal_by_algebra(text, "\\sqrt{2}") is False
    assert time.process_time() - began < 6

"""Grade an output by the record's reference: pick the grader that reads that kind of reference.

Knows the shapes of references; knows nothing of other models' outputs, and never reads ``score``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from learned_router.training.graders.choice import chosen_letter, letter_of, option_letters
from learned_router.training.graders.code import find_code, parses
from learned_router.training.graders.confinement import run_tests
from learned_router.training.graders.final_answer import stated_answer
from learned_router.training.graders.grade import Grade, give
from learned_router.training.graders.json_fields import find_json, same_fields
from learned_router.training.graders.literal import is_literal, same_literal
from learned_router.training.graders.number import answered_number, parse_number, same_formula, same_number
from learned_router.training.graders.text import is_label, same_text, similarity
from learned_router.training.graders.tool_call import executed_calls_met, expected_calls_met, is_decodable
from learned_router.training.records import Output, Record

_FORMULA_MARKS: Final = frozenset("\\^=+*/()[]{}<>")
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Grader(Protocol):
    """Grades one output by one kind of reference; None when the reference does not say what this grader needs."""

    def __call__(self, record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None: ...


def grade_by_reference(
    record: Record, output: Output, *, kind: str | None = None, run_code: bool = False
) -> Grade | None:
    """Grade of ``output`` by ``record.reference``; None when there is no reference, or none that a grader can use.

    kind: use only the graders of this kind, one of ``KINDS_OF_REFERENCE``. run_code: run code against given tests;
    otherwise code is only found wrong, where it does not parse.

    An output with an error is worth 0. So is one with neither text nor calls, unless no call was wanted: to stay
    silent is then right, as the leaderboard's checker has it.
    """
    reference = record.reference
    if not reference:
        return None
    for key, grader in _GRADERS.items():
        if key in reference and (kind is None or key in KINDS_OF_REFERENCE.get(kind, ())):
            grade = _run_tests(output, reference) if key == "tests" and run_code else grader(record, output, reference)
            if kind in _ANSWER_KINDS and grade is not None and grade.grader not in _ANSWER_KINDS[kind]:
                continue
            if grade is not None:
                return Grade(0.0, grade.certainty, grade.grader) if output.error else grade
    return None


def _grade_expected_calls(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    expected = reference["expected_calls"]
    if not isinstance(expected, list):
        return None
    return give("reference:tool_call", expected_calls_met(output.tool_calls or [], expected, record))


def _grade_executed_calls(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    sources, kinds = reference["ground_truth"], reference.get("execution_result_type") or []
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        return None
    if not isinstance(kinds, list):
        return None
    return give("reference:executed_call", executed_calls_met(output.tool_calls or [], sources, kinds, record))


def calls_made(record: Record, output: Output) -> bool:
    """Whether ``output`` makes a call that could be carried out."""
    return any(is_decodable(call, record) for call in output.tool_calls or ())


def _grade_no_call(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    return give("reference:no_call", not calls_made(record, output)) if reference["no_call"] is True else None


def _grade_any_call(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    return give("reference:any_call", calls_made(record, output)) if reference["any_call"] is True else None


def _grade_json(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    found = find_json(output.text or "")
    return give("reference:json", 0.0 if found is None else same_fields(found, reference["json"]))


def _grade_choice(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    letter = letter_of(dict(reference))
    letters = option_letters(question_of(record)) or (LETTERS if "answer_index" in reference else "")
    if letter is None or letter not in letters:
        return None
    chosen = chosen_letter(output.text or "", letters)
    if chosen is None:
        return give("reference:choice", 0.0)
    return give("reference:choice", chosen[0] == letter, stated=chosen[1])


def _grade_answer(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    choice = _grade_choice(record, output, reference)
    if choice is not None:
        return choice
    answer = reference.get("answer")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return None
    wanted = [str(answer)]
    if isinstance(more := reference.get("accepted"), list):
        wanted += [str(item) for item in more if isinstance(item, str | int | float)]
    grades = [grade_answer(output.text or "", item) for item in wanted if item.strip()]
    return max(grades, key=lambda grade: grade.quality, default=None)


def grade_answer(text: str, wanted: str) -> Grade:
    """Grade of ``text`` against the answer ``wanted``, compared as the kind of thing that ``wanted`` is."""
    if is_literal(wanted):
        stated = stated_answer(text)
        return give("reference:literal", same_literal(text if stated is None else stated, wanted))
    number = parse_number(wanted)
    if number is not None:
        found = answered_number(text)
        if found is None:
            return give("reference:number", 0.0)
        return give("reference:number", same_number(found[0], number), stated=found[1])
    stated = stated_answer(text)
    answer = text if stated is None else str(stated)
    if not is_label(wanted):
        return give("reference:similarity", similarity(text, wanted))
    if _FORMULA_MARKS & set(wanted):
        return give("reference:expression", same_formula(answer, wanted), stated=stated is not None)
    return give("reference:label", same_text(answer, wanted) or same_text(text, wanted), stated=stated is not None)


def _grade_turns(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    answers = reference["reference"]
    # the output is the answer to the first turn
    if not isinstance(answers, list) or not answers or not isinstance(answers[0], str) or not answers[0].strip():
        return None
    return give("reference:similarity", similarity(output.text or "", answers[0]))


def _grade_tests(record: Record, output: Output, reference: Mapping[str, Any]) -> Grade | None:
    """Without running it: code that does not parse passes no test; of other code nothing is known."""
    code = find_code(output.text or "", "python")
    well_formed = code is not None and parses(code) is not False
    return None if well_formed or not _tests_of(reference) else give("reference:code", 0.0)


def _run_tests(output: Output, reference: Mapping[str, Any]) -> Grade | None:
    tests = _tests_of(reference)
    if not tests:
        return None
    code = find_code(output.text or "", "python")
    if code is None or parses(code) is False:
        return give("reference:code", 0.0)
    return give("reference:tests", run_tests(code.source, tests).passed)


def _tests_of(reference: Mapping[str, Any]) -> list[str]:
    """The tests as Python statements: a text or a list of texts; of a ``check(candidate)``, also its call."""
    tests = reference.get("tests")
    found = [tests] if isinstance(tests, str) else list(tests) if isinstance(tests, list) else []
    if not found or not all(isinstance(test, str) and test.strip() for test in found):
        return []
    entry = reference.get("entry_point")
    if isinstance(entry, str) and entry.isidentifier() and any("def check(" in test for test in found):
        found.append(f"check({entry})")
    return found


def reference_text(record: Record) -> str | None:
    """The text that a free answer is compared with, where the record's reference is one."""
    reference = record.reference or {}
    for value in (reference.get("answer"), reference.get("reference")):
        text = value[0] if isinstance(value, list) and value else value
        if isinstance(text, str) and text.strip():
            return text
    return None


def question_of(record: Record) -> str:
    """Text of the record's last message; of content parts, their text."""
    content = record.messages[-1].content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or ""


KINDS_OF_REFERENCE: Final[dict[str, tuple[str, ...]]] = {
    "tool_call": ("expected_calls", "ground_truth", "no_call", "any_call"),
    "json": ("json",),
    "code": ("tests",),
    "choice": ("answer", "answer_index"),
    "answer": ("answer",),
    "label": ("answer",),
    "text": ("answer", "reference"),
}
# one key of a reference may hold answers of several kinds
_ANSWER_KINDS: Final[dict[str | None, frozenset[str]]] = {
    "choice": frozenset({"reference:choice"}),
    "answer": frozenset({"reference:number", "reference:literal", "reference:expression"}),
    "label": frozenset({"reference:label"}),
    "text": frozenset({"reference:similarity"}),
}

_GRADERS: Final[dict[str, Callable[[Record, Output, Mapping[str, Any]], Grade | None]]] = {
    "expected_calls": _grade_expected_calls,
    "ground_truth": _grade_executed_calls,
    "no_call": _grade_no_call,
    "any_call": _grade_any_call,
    "tests": _grade_tests,
    "json": _grade_json,
    "answer": _grade_answer,
    "answer_index": _grade_choice,
    "reference": _grade_turns,
}

"""Grade an output by the frontier's output to the same request, where no reference settles what is right.

The frontier's own quality is 1 by definition. Structure is compared first (calls, choices, answers, JSON, labels);
only free text falls back to shared words. Never reads ``score``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from learned_router.training.graders.choice import chosen_letter, option_letters
from learned_router.training.graders.code import find_code, is_about_code, parses, same_code
from learned_router.training.graders.final_answer import stated_answer
from learned_router.training.graders.grade import Grade, bounded, give
from learned_router.training.graders.json_fields import find_json, same_fields
from learned_router.training.graders.json_schema import asks_for_json
from learned_router.training.graders.literal import is_literal, same_literal
from learned_router.training.graders.number import answered_number, parse_number, same_formula, same_number
from learned_router.training.graders.reference import question_of
from learned_router.training.graders.text import is_label, same_text, similarity
from learned_router.training.graders.tool_call import same_calls, shared_calls
from learned_router.training.records import Output, Record

EPISODE: Final = "agent_episode"  # a task whose outputs are whole conversations: many ways lead to its end

_ASKS_FOR_NUMBER: Final = re.compile(
    r"\bhow (?:many|much|long|far|old|tall)\b|\bcalculate\b|\bwhat (?:is the (?:total|sum)|percent(?:age)?)\b"
)


def grade_frontier(frontier: Output) -> Grade | None:
    """The grade of the output that the others are compared with: 1, or None when there is nothing to compare with."""
    if frontier.error or (frontier.text is None and frontier.tool_calls is None):
        return None
    return give("agreement:frontier", 1.0)


def grade_by_agreement(record: Record, output: Output, frontier: Output, *, kind: str | None = None) -> Grade | None:
    """Grade of ``output`` by how far it agrees with ``frontier``'s output, which must hold text or calls.

    kind: one of ``KINDS`` to compare as; None when the frontier's output is no answer of that kind. Else the first that
    fits is taken, and there always is one.
    """
    compare = _compare if kind is None else KINDS.get(kind)
    grade = compare(record, output, frontier) if compare else None
    return Grade(0.0, grade.certainty, grade.grader) if grade and output.error else grade


def _compare(record: Record, output: Output, frontier: Output) -> Grade | None:
    for compare in (_compare_episodes, _compare_calls, _compare_choices, _compare_answers, _compare_json):
        grade = compare(record, output, frontier)
        if grade is not None:
            return grade
    return _compare_code(record, output, frontier) or _compare_texts(record, output, frontier)


def _compare_episodes(record: Record, output: Output, frontier: Output) -> Grade | None:
    if record.task != EPISODE and all(call.turn is None for call in frontier.tool_calls or ()):
        return None
    return give("agreement:episode", shared_calls(output.tool_calls or [], frontier.tool_calls or [], record))


def _compare_calls(record: Record, output: Output, frontier: Output) -> Grade | None:
    """Calls, or beside tools the decision to make none."""
    if frontier.tool_calls:
        return give("agreement:tool_call", same_calls(output.tool_calls or [], frontier.tool_calls, record))
    if output.tool_calls:
        return give("agreement:no_call", 0.0)
    found, wanted = output.text or "", frontier.text or ""
    if not wanted.strip():
        return give("agreement:no_call", 1.0)
    # half for the same decision, to call nothing; half for saying the same
    return give("agreement:no_call", 0.5 + 0.5 * similarity(found, wanted)) if record.tools else None


def _compare_choices(record: Record, output: Output, frontier: Output) -> Grade | None:
    question, found, wanted = question_of(record), output.text or "", frontier.text or ""
    letters = option_letters(question)
    right = chosen_letter(wanted, letters) if letters else None
    if right is None:
        return None
    chosen = chosen_letter(found, letters)
    if chosen is None:
        return give("agreement:choice", 0.0)
    return give("agreement:choice", chosen[0] == right[0], stated=chosen[1] and right[1])


def _compare_answers(record: Record, output: Output, frontier: Output) -> Grade | None:
    question, found, wanted = question_of(record), output.text or "", frontier.text or ""
    right, stated = stated_answer(wanted), stated_answer(found)
    # a question of numbers, a number as the whole answer, or one that the other output states as its answer
    numeric = (
        _ASKS_FOR_NUMBER.search(bounded(question).lower()) or parse_number(wanted) is not None or _is_number(stated)
    )
    if _is_number(right) or (right is None and numeric):
        expected, answered = answered_number(wanted), answered_number(found)
        if expected is not None:
            same = answered is not None and same_number(answered[0], expected[0])
            return give("agreement:answer", same, stated=expected[1] and (answered is None or answered[1]))
    if right is None:
        return None
    if isinstance(right, str) and is_literal(right):
        return give("agreement:answer", same_literal(found if stated is None else stated, right))
    if isinstance(right, str) and is_label(right):
        text = found if stated is None else str(stated)
        return give("agreement:answer", same_text(text, right) or same_formula(text, right), stated=stated is not None)
    return (
        None
        if isinstance(right, str)
        else give("agreement:answer", 0.0 if stated is None else same_fields(stated, right))
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return parse_number(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _compare_json(record: Record, output: Output, frontier: Output) -> Grade | None:
    """Only where the frontier answered in JSON, or JSON was asked for; braces amid its prose are no answer."""
    found, wanted = output.text or "", frontier.text or ""
    start = wanted.lstrip()[:1]
    asked = start in {"{", "["} or "```json" in wanted[:200] or asks_for_json(record.response_format)
    if not asked:
        return None
    expected = find_json(wanted)
    if not isinstance(expected, dict | list):
        return None
    value = find_json(found)
    return give("agreement:json", 0.0 if value is None else same_fields(value, expected))


def _compare_code(record: Record, output: Output, frontier: Output) -> Grade | None:
    """Where the frontier's answer is code: the same program, or none at all. Other programs compare as texts do."""
    if record.step != "code" and not is_about_code(frontier.text or ""):
        return None
    wanted = find_code(frontier.text or "")
    if wanted is None:
        return None
    found = find_code(output.text or "", wanted.language)
    if found is None or (parses(wanted) and parses(found) is False):
        return give("agreement:code", 0.0)
    return give("agreement:code", 1.0) if same_code(found, wanted) else None


def _compare_labels(record: Record, output: Output, frontier: Output) -> Grade | None:
    wanted = frontier.text or ""
    return give("agreement:label", same_text(output.text or "", wanted)) if is_label(wanted) else None


def _compare_words(record: Record, output: Output, frontier: Output) -> Grade:
    return give("agreement:text", similarity(output.text or "", frontier.text or ""))


def _compare_texts(record: Record, output: Output, frontier: Output) -> Grade:
    return _compare_labels(record, output, frontier) or _compare_words(record, output, frontier)


KINDS: Final[dict[str, Callable[[Record, Output, Output], Grade | None]]] = {
    "episode": _compare_episodes,
    "tool_call": _compare_calls,
    "choice": _compare_choices,
    "answer": _compare_answers,
    "json": _compare_json,
    "code": _compare_code,
    "label": _compare_labels,
    "text": _compare_words,
}

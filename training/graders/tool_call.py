"""Compare the tool calls of an output with those a reference or another output holds. Knows calls and schemas."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from learned_router.training.graders.arguments import (
    defaults_of,
    properties_of,
    read_arguments,
    required_of,
    same_name,
    says_nothing,
    standard_string,
)
from learned_router.training.graders.expression import NotAValueError, evaluate, parse_call, same_function
from learned_router.training.graders.literal import same_value
from learned_router.training.graders.text import similarity
from learned_router.training.records import Record, ToolCall

# Beside another model's call, an argument of running text cannot match word for word: six words and more are equal
# when they share most of them, and every figure.
FREE_TEXT_WORDS: Final = 6
FREE_TEXT_SIMILARITY: Final = 0.6
_PROSE_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_FIGURES: Final = re.compile(r"\d+")
# where importers keep what a model wrote instead of named arguments
_UNNAMED: Final = frozenset({"__positional__", "__raw__"})
MAX_CALLS: Final = 64  # calls are paired off one by one; more than this is a model that ran away

# gcd(a=18, b=12) is gcd(a=12, b=18)
_COMMUTATIVE: Final = frozenset({"gcd", "lcm"})

Matches = Callable[[ToolCall], bool]


def expected_calls_met(calls: Sequence[ToolCall], expected: Sequence[Any], record: Record) -> bool:
    """Whether ``calls`` are exactly the expected ones, in any order.

    expected: ``{"name", "arguments": {argument: [accepted values]}}`` each; ``""`` among the values lets the argument
    be left out, unless the tool's schema requires it. A value that is no list stands for itself.
    Source: the checker of the Berkeley Function Calling Leaderboard, without its check of Python types (5.0 is 5).
    """
    return _pair_off(calls, [_accepts(item, record) for item in expected])


def executed_calls_met(calls: Sequence[ToolCall], sources: Sequence[str], kinds: Sequence[str], record: Record) -> bool:
    """Whether ``calls`` do what the call strings ``sources`` do, in any order.

    kinds: how the leaderboard compares the results, one each; of a ``structural_match`` only the shape of the result
    counts, so there the call's name is enough. An argument left out, or added, must have the schema's default.
    """
    wanted: list[Matches] = []
    for i, source in enumerate(sources):
        parsed = parse_call(source)
        if parsed is None:
            return False
        names = list(properties_of(record, parsed.name))
        arguments = dict(zip(names, parsed.positional, strict=False)) | parsed.named
        structural = i < len(kinds) and kinds[i] == "structural_match"
        wanted.append(_executes_as(parsed.name, None if structural else arguments, record))
    return _pair_off(calls, wanted)


def same_calls(calls: Sequence[ToolCall], others: Sequence[ToolCall], record: Record) -> bool:
    """Whether two outputs call the same tools with the same arguments, in any order.

    Running text may differ, and an argument that only one of them writes out may be empty or the default, as the schema
    or its description has it.
    """
    return _pair_off(calls, [_agrees_with(other, record) for other in others])


def shared_calls(calls: Sequence[ToolCall], others: Sequence[ToolCall], record: Record) -> float:
    """F1 of the calls that two agent episodes share, in [0, 1]; of long episodes the first ``MAX_CALLS`` calls."""
    calls, left = calls[:MAX_CALLS], [_agrees_with(other, record) for other in others[:MAX_CALLS]]
    total, shared = len(calls) + len(left), 0
    for call in calls:
        position = next((i for i, matches in enumerate(left) if matches(call)), None)
        if position is not None:
            del left[position]
            shared += 1
    return 2 * shared / total if total else 1.0


def is_decodable(call: ToolCall, record: Record) -> bool:
    """Whether ``call`` could be carried out: named arguments, and some where the tool's schema requires any.

    Source: the leaderboard, whose decoder refuses positional arguments and calls that it finds empty.
    """
    arguments = read_arguments(call)
    if arguments is None or not _UNNAMED.isdisjoint(arguments):
        return False
    return bool(arguments) or not required_of(record, call.name)


def _pair_off(calls: Sequence[ToolCall], wanted: Sequence[Matches]) -> bool:
    if len(calls) != len(wanted) or len(calls) > MAX_CALLS:
        return False
    left = list(wanted)
    for call in calls:
        position = next((i for i, matches in enumerate(left) if matches(call)), None)
        if position is None:
            return False
        del left[position]
    return True


def _accepts(expected: Any, record: Record) -> Matches:
    name = expected.get("name", "") if isinstance(expected, dict) else ""
    accepted = expected.get("arguments") if isinstance(expected, dict) else None
    accepted = accepted if isinstance(accepted, dict) else {}

    def matches(call: ToolCall) -> bool:
        if not same_name(call.name, name):
            return False
        arguments = read_arguments(call)
        if arguments is None or any(argument not in arguments for argument in required_of(record, name)):
            return False
        return _fields_accepted(arguments, accepted)

    return matches


def _fields_accepted(found: dict[str, Any], accepted: dict[str, Any]) -> bool:
    for key, value in found.items():
        if key not in accepted or not _accepted(value, accepted[key]):
            return False
    return all(key in found or _may_be_left_out(values) for key, values in accepted.items())


def _may_be_left_out(values: Any) -> bool:
    return isinstance(values, list) and "" in values


def _accepted(value: Any, values: Any) -> bool:
    if not isinstance(values, list):
        return _same_argument(value, values)
    # nested references also hold plain lists, where the list itself is the value
    return any(_same_argument(value, item) for item in values) or (
        isinstance(value, list) and _same_argument(value, values)
    )


def _same_argument(value: Any, accepted: Any) -> bool:
    """One argument against one accepted value; a dict maps its fields to accepted values in turn."""
    if isinstance(value, str) and isinstance(accepted, str):
        return value == accepted or standard_string(value) == standard_string(accepted)
    if isinstance(value, dict) and isinstance(accepted, dict):
        return _fields_accepted(value, accepted)
    if isinstance(value, list) and isinstance(accepted, list):
        return len(value) == len(accepted) and all(map(_same_argument, value, accepted))
    return same_value(value, accepted)


def _executes_as(name: str, wanted: dict[str, Any] | None, record: Record) -> Matches:
    defaults = defaults_of(record, name)

    def matches(call: ToolCall) -> bool:
        if not same_name(call.name, name):
            return False
        found = read_arguments(call)
        if found is None:
            return False
        if wanted is None:
            return True
        if found.keys() == wanted.keys() and _is_commutative(name):
            return _same_values(found, wanted)
        left, right = defaults | found, defaults | wanted
        return all(_same_executed(left.get(key), right.get(key)) for key in left.keys() | right.keys())

    return matches


def _is_commutative(name: str) -> bool:
    return name.replace("_", ".").rsplit(".", 1)[-1] in _COMMUTATIVE


def _same_values(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return sorted(map(repr, found.values())) == sorted(map(repr, wanted.values()))


def _same_executed(found: Any, wanted: Any) -> bool:
    """Values that a function would take for the same: ``"1/6"`` written out as arithmetic is its value."""
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(_same_executed, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same_executed(found[key], wanted[key]) for key in found)
    if isinstance(found, str) and isinstance(wanted, str):
        if standard_string(found) == standard_string(wanted) or same_function(found, wanted):
            return True
        return _same_arithmetic(found, wanted)
    if isinstance(found, str) and isinstance(wanted, int | float):
        return _same_arithmetic(found, repr(wanted))
    return same_value(found, wanted)


def _same_arithmetic(found: str, wanted: str) -> bool:
    try:
        left, right = evaluate(found), evaluate(wanted)
    except NotAValueError:
        return False
    return isinstance(left, int | float) and same_value(left, right)


def _agrees_with(other: ToolCall, record: Record) -> Matches:
    wanted = read_arguments(other)

    def matches(call: ToolCall) -> bool:
        if not same_name(call.name, other.name):
            return False
        found = read_arguments(call)
        if found is None or wanted is None:
            return bool(call.arguments == other.arguments)
        if found.keys() == wanted.keys() and _is_commutative(other.name):
            return _same_values(found, wanted)
        both, alone = found.keys() & wanted.keys(), found.keys() ^ wanted.keys()
        return all(_agree(found[key], wanted[key]) for key in both) and _all_left_out(
            {key: found.get(key, wanted.get(key)) for key in alone}, other.name, record
        )

    return matches


def _all_left_out(arguments: dict[str, Any], name: str, record: Record) -> bool:
    """Whether a call says nothing more by ``arguments``, which the call beside it leaves out."""
    if not arguments:
        return True
    properties, required = properties_of(record, name), required_of(record, name)
    return all(key not in required and says_nothing(value, properties.get(key)) for key, value in arguments.items())


def _agree(found: Any, wanted: Any) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_agree(found[key], wanted[key]) for key in found)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_agree, found, wanted))
    if isinstance(found, str) and isinstance(wanted, str):
        if standard_string(found) == standard_string(wanted) or same_function(found, wanted):
            return True
        running = min(len(_PROSE_WORD.findall(text)) for text in (found, wanted)) >= FREE_TEXT_WORDS
        figures = [sorted(_FIGURES.findall(text)) for text in (found, wanted)]
        return running and figures[0] == figures[1] and similarity(found, wanted) >= FREE_TEXT_SIMILARITY
    return same_value(found, wanted)

"""What can be seen of an answer without asking anybody: a vector of counts and shares, and the failures that are certain.

Training and runtime share this room. Knows requests, answers and texts; knows nothing of models or thresholds. Runs
nothing, and reads a long text by its two ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from learned_router.answer import Output, bound_logprobs
from learned_router.answers.call_checks import CallChecks, ToolFit, check_calls, check_shapes, fit_tools, functions_of
from learned_router.answers.reasoning_checks import Reasoning, read_reasoning
from learned_router.answers.said import Said, read_said
from learned_router.answers.schema_checks import SchemaFaults, check_value
from learned_router.answers.text import ends_of, find_json, is_cut_off, non_ascii, read_text
from learned_router.policy import Reason
from learned_router.request import Request, message_text, wants_json

TEXT_READ: Final = 6_000
REQUEST_READ: Final = 6_000
FIELDS_READ: Final = 64
FIELD_CHARS: Final = 400

ANSWER_FEATURES: Final = (
    # which tier answered, and how long
    "tier",
    "out_chars",
    "out_words",
    "out_to_request",
    "out_lines",
    "has_text",
    # the calls against the tools' schemas
    "calls",
    "no_call_though_offered",
    "call_though_none_offered",
    "unknown_tools",
    "unreadable_arguments",
    "unnamed_arguments",
    "missing_arguments",
    "unknown_arguments",
    "wrong_types",
    "wrong_enums",
    "empty_values",
    "arguments",
    "optional_share",
    "defaults",
    "booleans",
    # their values against the request
    "strings",
    "numbers_given",
    "ungrounded_required",
    "ungrounded_optional",
    "ungrounded_share",
    "least_grounded",
    "off_format",
    "placeholders",
    "other_units",
    "out_of_order",
    # what the request says and the calls do not
    "optional_missed",
    "missed_share",
    "missed_values",
    "unused_numbers",
    "unused_names",
    # how many calls
    "duplicate_calls",
    "tools_called",
    "tools_not_called",
    "things_listed",
    "things_per_call",
    "one_call_many_numbers",
    # which tools
    "tool_name_fit",
    "tool_fit_margin",
    "covered",
    "covered_by_others",
    "unfit_call",
    "fit_without_call",
    "unrunnable_unfit_call",
    # JSON
    "json_missing",
    "json_parses",
    "json_missing_fields",
    "json_wrong",
    "json_nested",
    "json_last_told",
    "json_last_asked",
    "json_last_chars",
    # the text
    "cut_off",
    "language_switch",
    "refusal",
    "hedging",
    "self_correction",
    "repetition",
    "asks_back",
    "options_named",
    "steps_told",
    # the reasoning
    "final_answers",
    "final_in_reasoning",
    "final_off_options",
    "final_place",
    "final_digits",
    "final_fraction",
    "final_follows",
    "counts_parts",
    "equations",
    "wrong_equations",
    "unexplained_terms",
    "dangling_results",
    "new_numbers",
    "unused_request_numbers",
    "request_numbers",
    "options",
    "option_match",
    "option_share",
    "option_length",
    "option_number",
    # token probabilities
    "logprobs_known",
    "mean_logprob",
    "least_logprob",
    "argument_logprob",
)

_NO_TOOLS: Final = ToolFit(0.0, 0.0, 0.0, 0.0, 0.0)


def read_features(request: Request, output: Output, tier: float) -> tuple[float, ...]:
    """One float for each name in ``ANSWER_FEATURES``. tier: place of the tier that answered, 0 for the cheapest.

    Counts enter as log(1 + count), so that no single huge answer leaves the range seen in training.
    """
    whole = output.text or ""
    text = ends_of(whole, TEXT_READ)
    asked = _asked(request)
    said = read_said(asked)
    calls = output.tool_calls or []
    offered = functions_of(request.tools)
    checks = check_calls(calls, offered, said)
    log_length = math.log1p(len(whole))
    return (
        tier,
        log_length,
        math.log1p(len(text.split())),
        log_length - math.log1p(len(asked)),
        math.log1p(text.count("\n")),
        float(bool(whole.strip())),
        *_call_features(checks, len(offered)),
        *_count_features(checks, len(offered), said),
        *_fit_features(checks, fit_tools(calls, offered, said) if offered else _NO_TOOLS),
        *_json_features(request, whole, said),
        float(is_cut_off(output)),
        non_ascii(text) - non_ascii(asked),
        *read_text(text),
        *_reasoning_features(read_reasoning(text, asked, said) if text else Reasoning(), len(said.places)),
        *_logprob_features(output),
    )


def find_failures(request: Request, output: Output) -> list[Reason]:
    """What is certainly wrong with an answer, worst first: rules, each a reason to go up a tier."""
    calls = output.tool_calls or []
    text = (output.text or "").strip()
    if not calls and not text:
        return [Reason.EMPTY_OUTPUT]
    found = []
    if calls:
        # among all tools: one that only stands far down the list is not unknown
        checks = check_shapes(calls, functions_of(request.tools, most=None))
        for count, reason in (
            (checks.unreadable, Reason.UNREADABLE_ARGUMENTS),
            (checks.unknown_tools, Reason.UNKNOWN_TOOL),
            (checks.missing, Reason.MISSING_ARGUMENT),
        ):
            if count:
                found.append(reason)
    elif wants_json(request) and find_json(text) is None:
        found.append(Reason.NOT_JSON)
    if output.finish_reason == "length":
        found.append(Reason.CUT_OFF)
    return found


def _asked(request: Request) -> str:
    """What the user and the tools said, the last of it first kept."""
    texts = [message_text(message) for message in request.messages[-16:] if message.role != "assistant"]
    kept: list[str] = []
    left = REQUEST_READ
    for text in reversed(texts):
        if left <= 0:
            break
        kept.append(ends_of(text, left))
        left -= len(kept[-1])
    return "\n".join(reversed(kept))


def _call_features(checks: CallChecks, offered: int) -> tuple[float, ...]:
    log = math.log1p
    leaves = checks.strings + checks.numbers
    ungrounded = checks.ungrounded_required + checks.ungrounded_optional
    return (
        log(checks.calls),
        float(offered > 0 and not checks.calls),
        float(not offered and checks.calls > 0),
        log(checks.unknown_tools),
        log(checks.unreadable),
        log(checks.unnamed),
        log(checks.missing + checks.faults.missing),
        log(checks.faults.unknown),
        log(checks.faults.wrong_type),
        log(checks.faults.wrong_enum),
        log(checks.faults.empty),
        log(checks.arguments),
        checks.optional / max(checks.arguments, 1),
        log(checks.defaults),
        log(checks.booleans),
        log(checks.strings),
        log(checks.numbers),
        log(checks.ungrounded_required),
        log(checks.ungrounded_optional),
        ungrounded / max(leaves, 1),
        checks.least_grounded,
        log(checks.off_format),
        log(checks.placeholders),
        log(checks.other_unit),
        checks.out_of_order,
        log(checks.missed),
        checks.missed_share,
        log(checks.missed_values),
        checks.unused_numbers,
        checks.unused_names,
    )


def _count_features(checks: CallChecks, offered: int, said: Said) -> tuple[float, ...]:
    log = math.log1p
    return (
        log(checks.duplicates),
        log(checks.tools_called),
        log(max(offered - checks.tools_called, 0)) if checks.calls else 0.0,
        log(said.things),
        log(said.things) - log(checks.calls) if checks.calls else 0.0,
        float(checks.calls == 1) * log(len(said.numbers)),
    )


def _fit_features(checks: CallChecks, fit: ToolFit) -> tuple[float, ...]:
    called = float(checks.calls > 0)
    return (
        fit.name_fit,
        fit.fit - fit.fit_of_others,
        fit.covered,
        fit.covered_by_others,
        called * (1.0 - fit.name_fit) * (1.0 - fit.covered),
        (1.0 - called) * fit.fit_of_others,
        float(checks.unnamed + checks.unknown_tools > 0) * (1.0 - fit.fit),
    )


def _json_features(request: Request, text: str, said: Said) -> tuple[float, ...]:
    wanted = wants_json(request)
    found = find_json(text) if wanted or text.lstrip()[:1] in ("{", "[", "`") else None
    schema: Any = (request.response_format or {}).get("json_schema")
    schema = schema.get("schema") if isinstance(schema, Mapping) else None
    faults = SchemaFaults() if found is None else check_value(found, schema)
    fields = list(islice(found.values(), FIELDS_READ)) if isinstance(found, dict) else []
    last = str(fields[-1])[:FIELD_CHARS].lower() if fields and isinstance(fields[-1], str | float) else ""
    rest = ends_of(" ".join(field for field in fields[:-1] if isinstance(field, str)), TEXT_READ).lower()
    return (
        float(wanted and found is None),
        float(found is not None),
        math.log1p(faults.missing),
        math.log1p(faults.wrong_type + faults.wrong_enum + faults.unknown),
        float(bool(fields) and isinstance(fields[-1], dict | list)),
        float(bool(last) and last in rest),
        float(bool(last) and last in said.text),
        math.log1p(len(last)),
    )


def _reasoning_features(found: Reasoning, asked_numbers: int) -> tuple[float, ...]:
    log = math.log1p
    return (
        log(found.answers),
        float(found.in_reasoning),
        float(found.off_options),
        found.place,
        0.0 if found.final.isalpha() else log(len(found.final)),
        float("/" in found.final or "." in found.final),
        float(found.follows),
        float(found.counts_parts),
        log(found.equations),
        log(found.wrong),
        log(found.unexplained),
        log(found.dangling),
        log(found.new),
        found.unused,
        log(asked_numbers),
        log(found.options),
        found.option_match,
        found.option_share,
        found.option_length,
        found.option_number,
    )


def _logprob_features(output: Output) -> tuple[float, ...]:
    logprobs = bound_logprobs(output.logprobs)  # those of a log are what somebody wrote
    if logprobs is None:
        return (0.0, 0.0, 0.0, 0.0)
    of_arguments = logprobs.mean if logprobs.arguments is None else logprobs.arguments
    return (1.0, logprobs.mean, logprobs.least, of_arguments)

"""What can be seen of an answer without asking anybody: a vector of counts and shares, and the failures that are certain.

Training and runtime share this room. Knows requests, answers and texts; knows nothing of models or thresholds. Runs
nothing, and reads a long text by its two ends.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from learned_router.answer import Output
from learned_router.call_checks import CallChecks, check_calls, read_said
from learned_router.policy import Reason
from learned_router.request import Request, message_text, wants_json

TEXT_READ: Final = 6_000
REQUEST_READ: Final = 6_000
# A JSON answer longer than this is not parsed at run time.
JSON_READ: Final = 200_000
EQUATIONS_READ: Final = 40

ANSWER_FEATURES: Final = (
    # which tier answered, and how long
    "tier",
    "out_chars",
    "out_words",
    "out_to_request",
    "out_lines",
    "has_text",
    # the calls
    "calls",
    "no_call_though_offered",
    "call_though_none_offered",
    "unknown_tools",
    "unreadable_arguments",
    "missing_arguments",
    "unknown_arguments",
    "wrong_types",
    "wrong_enums",
    "off_format",
    "empty_values",
    "arguments",
    "optional_share",
    "defaults",
    "strings",
    "numbers_given",
    "ungrounded_required",
    "ungrounded_optional",
    "ungrounded_share",
    "least_grounded",
    "optional_missed",
    "duplicate_calls",
    "unused_numbers",
    "unused_names",
    "tool_fit",
    "tool_fit_margin",
    "one_call_many_numbers",
    # JSON
    "json_missing",
    "json_parses",
    "json_missing_fields",
    "json_wrong",
    # the text
    "cut_off",
    "refusal",
    "hedging",
    "self_correction",
    "repetition",
    "language_switch",
    "asks_back",
    "final_answers",
    "final_in_reasoning",
    "final_off_options",
    "final_place",
    "final_digits",
    "final_fraction",
    "equations",
    "wrong_equations",
    "new_numbers",
    "unused_request_numbers",
    "options_named",
    "steps_told",
    "option_match",
    # token probabilities
    "logprobs_known",
    "mean_logprob",
    "least_logprob",
    "argument_logprob",
)

_WORD: Final = re.compile(r"[^\W_]+")
_NUMBER: Final = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_REFUSAL: Final = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able)|\bI (?:can(?:no|')t|do(?:n't| not) have|apologi[sz]e)|\bas an AI\b|"
    r"\b(?:cannot|can't|unable to) (?:be determined|help|assist|answer|provide|fulfil)|\bnot enough information\b",
    re.IGNORECASE,
)
_HEDGING: Final = re.compile(
    r"\b(?:approximately|roughly|about equal|closest|nearest|assum\w+|perhaps|maybe|might|likely|probably|seems?|appears?|"
    r"not (?:sure|clear|exactly|listed|among)|none of the|however|unclear|guess)\b",
    re.IGNORECASE,
)
_CORRECTION: Final = re.compile(
    r"\b(?:wait|actually|let(?:'s| us| me) (?:re|try again|correct|check)|mistake|incorrect|instead|oops|re-?evaluate)\b",
    re.IGNORECASE,
)
_FINAL: Final = re.compile(
    r"(?:answer(?: is|\"?\s*:)|####|\\boxed\{|therefore,?|thus,?|so,?)\s*[\"(:$*\\{]*\s*"
    r"(-?\$?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?|[A-J]\b)",
    re.IGNORECASE,
)
_STATED: Final = re.compile(
    r"(?:answer(?: is|\"?\s*:)|####|\\boxed\{)\s*[\"(:$*\\{]*\s*(-?\$?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?|[A-J]\b)", re.I
)
_OPTION_LINE: Final = re.compile(r"^\s*\(?([A-J])[.)]\s+(.{1,200})$", re.MULTILINE)
_LETTER: Final = re.compile(r"\(([A-J])\)")
_EQUATION: Final = re.compile(
    r"(-?\d+(?:,\d{3})*(?:\.\d+)?)\s*([-+*/×÷])\s*\$?(\d+(?:,\d{3})*(?:\.\d+)?)\s*=\s*\$?(-?\d+(?:,\d{3})*(?:\.\d+)?)(?![\d.,]*\s*[-+*/×÷(])"
)
_STEP: Final = re.compile(r"^\s*(?:\d+[.)]|[-*]|step\b)", re.IGNORECASE | re.MULTILINE)
_ENDS: Final = (".", "!", "?", "}", "]", ")", '"', "'", "`", "*", ":", "…", "。", "！", "？", "$")


def read_features(request: Request, output: Output, tier: float) -> tuple[float, ...]:
    """One float for each name in ``ANSWER_FEATURES``. tier: place of the tier that answered, 0 for the cheapest.

    Counts enter as log(1 + count), so that no single huge answer leaves the range seen in training.
    """
    whole = output.text or ""
    text = _ends(whole, TEXT_READ)
    asked = _asked(request)
    said = read_said(asked)
    calls = output.tool_calls or []
    checks = check_calls(calls, request.tools, said)
    words = _WORD.findall(text.lower())
    log_length = math.log1p(len(whole))
    return (
        tier,
        log_length,
        math.log1p(len(words)),
        log_length - math.log1p(len(asked)),
        math.log1p(text.count("\n")),
        float(bool(whole.strip())),
        *_call_features(checks, bool(request.tools), len(said.numbers)),
        *_json_features(request, whole),
        float(is_cut_off(output)),
        float(_REFUSAL.search(text) is not None),
        math.log1p(len(_HEDGING.findall(text))),
        math.log1p(len(_CORRECTION.findall(text))),
        _repetition(words),
        _non_ascii(text) - _non_ascii(asked),
        float(text.rstrip().endswith("?")),
        *_final_features(text, asked),
        *_number_features(text, said.numbers),
        math.log1p(len(set(_LETTER.findall(text)))),
        math.log1p(len(_STEP.findall(text))),
        *_option_features(text, asked),
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
        checks = check_calls(calls, request.tools, read_said(""))
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


def is_cut_off(output: Output) -> bool:
    """Whether an answer ends before its end, as the server says or as it looks."""
    if output.finish_reason is not None:
        return output.finish_reason == "length"
    text = (output.text or "").rstrip()
    if not text:
        return False
    return text.count("```") % 2 == 1 or not (text.endswith(_ENDS) or text[-1].isdigit() or len(text) < 80)


def find_json(text: str) -> Any:
    """The JSON that an answer is, or holds in a fenced block or after other words; None where there is none."""
    if len(text) > JSON_READ:
        return None
    start = min((at for mark in "{[" if (at := text.find(mark)) >= 0), default=-1)
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found


def _asked(request: Request) -> str:
    """What the user and the tools said, the last of it first kept."""
    texts = [message_text(message) for message in request.messages[-16:] if message.role != "assistant"]
    kept: list[str] = []
    left = REQUEST_READ
    for text in reversed(texts):
        if left <= 0:
            break
        kept.append(_ends(text, left))
        left -= len(kept[-1])
    return "\n".join(reversed(kept))


def _call_features(checks: CallChecks, offered: bool, numbers: int) -> tuple[float, ...]:
    log = math.log1p
    leaves = checks.strings + checks.numbers
    ungrounded = checks.ungrounded_required + checks.ungrounded_optional
    return (
        log(checks.calls),
        float(offered and not checks.calls),
        float(not offered and checks.calls > 0),
        log(checks.unknown_tools),
        log(checks.unreadable),
        log(checks.missing),
        log(checks.unknown_arguments),
        log(checks.wrong_type),
        log(checks.wrong_enum),
        log(checks.off_format),
        log(checks.empty_values),
        log(checks.arguments),
        checks.optional / max(checks.arguments, 1),
        log(checks.defaults),
        log(checks.strings),
        log(checks.numbers),
        log(checks.ungrounded_required),
        log(checks.ungrounded_optional),
        ungrounded / max(leaves, 1),
        checks.least_grounded,
        log(checks.missed),
        log(checks.duplicates),
        checks.unused_numbers,
        checks.unused_names,
        checks.fit,
        checks.fit - checks.fit_of_others,
        float(checks.calls == 1) * log(numbers),
    )


def _json_features(request: Request, text: str) -> tuple[float, ...]:
    wanted = wants_json(request)
    found = find_json(text) if wanted or text.lstrip()[:1] in ("{", "[", "`") else None
    schema: Any = (request.response_format or {}).get("json_schema")
    schema = schema.get("schema") if isinstance(schema, Mapping) else None
    missing = wrong = 0
    if isinstance(schema, Mapping) and isinstance(found, Mapping):
        checks = check_calls([], [], read_said(""))
        required = schema.get("required")
        missing = (
            sum(name not in found for name in required[:64] if isinstance(name, str))
            if isinstance(required, list)
            else 0
        )
        wrong = checks.wrong_type
    return (
        float(wanted and found is None),
        float(found is not None),
        math.log1p(missing),
        math.log1p(wrong),
    )


def _final_features(text: str, asked: str) -> tuple[float, ...]:
    """The final answer that a reasoning text states: how many, whether the reasoning came to it."""
    stated = [(match.start(), match[1].upper().lstrip("$").replace(",", "")) for match in _STATED.finditer(text)]
    if not stated:
        return (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    place, final = stated[-1]
    before = text[:place]
    if final.isalpha():
        options = dict(_OPTION_LINE.findall(asked))
        content = options.get(final, "").strip().rstrip(".").lower()
        in_reasoning = float(bool(content) and content in before.lower())
        off = float(bool(options) and final not in options)
    else:
        numbers = [n.replace(",", "") for n in _NUMBER.findall(before)]
        in_reasoning = float(bool(numbers) and final.lstrip("-") in numbers[-3:])
        off = 0.0
    return (
        math.log1p(len({value for _, value in stated})),
        in_reasoning,
        off,
        place / max(len(text), 1),
        0.0 if final.isalpha() else math.log1p(len(final)),
        float("/" in final or "." in final),
    )


def _number_features(text: str, asked: frozenset[str]) -> tuple[float, ...]:
    equations = wrong = 0
    for match in _EQUATION.finditer(text):
        equations += 1
        wrong += not _holds(*match.groups())
        if equations >= EQUATIONS_READ:
            break
    numbers = {n.replace(",", "") for n in _NUMBER.findall(text)}
    return (
        math.log1p(equations),
        math.log1p(wrong),
        math.log1p(len(numbers - asked)),
        len(asked - numbers) / len(asked) if asked else 0.0,
    )


def _holds(left: str, sign: str, right: str, result: str) -> bool:
    """Whether an equation is right, as far as the digits of its result go."""
    a, b, c = (float(value.replace(",", "")) for value in (left, right, result))
    if sign in "/÷" and b == 0.0:
        return False
    value = {"+": a + b, "-": a - b, "*": a * b, "×": a * b}.get(sign) if sign not in "/÷" else a / b
    decimals = len(result.partition(".")[2])
    return value is not None and abs(value - c) <= 0.6 * 10.0**-decimals + 1e-9 * abs(c)


def _option_features(text: str, asked: str) -> tuple[float, ...]:
    """How far the last lines of a text say what the chosen option says, against the best other option."""
    options = dict(_OPTION_LINE.findall(asked))
    stated = _STATED.findall(text)
    if len(options) < 2 or not stated or stated[-1].upper() not in options:
        return (0.0,)
    said = set(_WORD.findall(text.lower()))
    shares = {
        letter: len(words & said) / max(len(words), 1)
        for letter, words in ((letter, set(_WORD.findall(content.lower()))) for letter, content in options.items())
    }
    chosen = stated[-1].upper()
    return (shares[chosen] - max(share for letter, share in shares.items() if letter != chosen),)


def _logprob_features(output: Output) -> tuple[float, ...]:
    logprobs = output.logprobs
    if logprobs is None:
        return (0.0, 0.0, 0.0, 0.0)
    of_arguments = logprobs.mean if logprobs.arguments is None else logprobs.arguments
    return (1.0, logprobs.mean, logprobs.least, of_arguments)


def _repetition(words: list[str]) -> float:
    """Share of the text's runs of four words that repeat an earlier one."""
    runs = len(words) - 3
    if runs < 1:
        return 0.0
    return 1.0 - len({tuple(words[i : i + 4]) for i in range(runs)}) / runs


def _non_ascii(text: str) -> float:
    return 0.0 if text.isascii() else sum(ord(c) > 127 for c in text) / len(text)


def _ends(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit // 2] + "\n" + text[len(text) - limit // 2 :]

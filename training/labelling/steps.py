"""Say which kind of agent call a record is, and in which order a session's calls came. Knows records, not models."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from learned_router.request import Message, message_text
from learned_router.training.importers.fields import moment
from learned_router.training.records import Record

CHARS_READ: Final = 2000  # of each end of a message: agents' prompts are long, and what is asked stands at an end
LABELS_AT_MOST: Final = 3  # properties of an answer that is a label, with a reason and a certainty beside it


class _Words(NamedTuple):
    """What tells a step, in small letters. signs: words of which every match holds one; text without them, which is most,
    is looked through no further. orders: verbs that count where an instruction begins. phrases: what counts anywhere.
    """

    signs: frozenset[str]
    orders: re.Pattern[str] | None
    phrases: re.Pattern[str]

    def found_in(self, lowered: str, tokens: set[str]) -> bool:
        if self.signs.isdisjoint(tokens):
            return False
        if self.phrases.search(lowered):
            return True
        matches = self.orders.finditer(lowered) if self.orders else ()
        return any(_BEGINNING.search(lowered[max(0, match.start() - BEFORE) : match.start()]) for match in matches)


BEFORE: Final = 24  # characters before a verb that tell whether an instruction begins with it
_BEGINNING: Final = re.compile(
    r"(?:^|[.!?:;\n,]\s{0,4}|\b(?:and|then|to|please|you|must|should|can|could|will|that|task is)\s+)\W{0,3}$"
)
_TO_SPACES: Final = {ord(mark): " " for mark in string.punctuation}


def _words(signs: str, orders: str | None, phrases: str) -> _Words:
    verbs = re.compile(rf"\b(?:{orders})\b") if orders else None
    return _Words(frozenset(signs.split()), verbs, re.compile(phrases, re.MULTILINE))


_ERROR: Final = _words(
    "error errors iserror exception traceback failed failure fatal success ok timed permission command http",
    None,
    r"\A\W{0,3}(?:error|exception|traceback|failed|failure|fatal)\b"
    r'|"(?:error|errors|exception)"\s*:\s*(?!\s|null|false|""|\[\]|\{\})|"is_?error"\s*:\s*true'
    r'|"(?:success|ok)"\s*:\s*false|"status"\s*:\s*"(?:error|failed|failure)"|\btraceback \(most recent call last\)'
    r"|\b(?:timed out|permission denied|command not found)\b|\bhttp(?:/\d\S*)? ?[45]\d\d\b",
)
_BLOCK: Final = re.compile(r"(?i:json|text|txt|markdown|md|csv|yaml|xml|html)\b|\s*[\[{]|\s*\Z")
_RAISED: Final = re.compile(r"\b[A-Z]\w*(?:Error|Exception): ")
_CODE: Final = _words(
    "def class import include public const let var function implement refactor debug compile fix write unit stack pull "
    "code python sql",
    r"implement|refactor|debug|compile|fix (?:the|this) (?:bug|test|code|function)|write (?:an?|some|the)"
    r" (?:\w+ ){0,3}(?:function|class|script|program|query|regex|test|tests|code|method|module)",
    r"^[ \t]*(?:def \w+\(|class \w+[:({]|import [\w.]+;?$|from [\w.]+ import |#include )"
    r"|^[ \t]*(?:public|const|let|var|function) .*[;{(]"
    r"|\b(?:unit tests?|stack trace|pull request|code review|python (?:function|script|code)|sql query)\b",
)
_JSON_WORDS: Final = (
    (
        "validate",
        _words(
            "validate validates verify verifies judge grade critique fact double doublecheck proof proofread evaluate "
            "evaluates assess assesses check checks review reviews valid correct right accurate safe",
            r"validates?|verify|verifies|judge|grade|critique|fact-?check|double-?check|proof-?read|evaluates?|assess"
            r"|assesses|checks? (?:if|whether|that|for)|reviews?",
            r"\b(?:is|are) (?:this|these|the following|it) (?:\w+ )?(?:valid|correct|right|accurate|safe)\b",
        ),
    ),
    (
        "intent",
        _words(
            "classify classifies categorize categorise categorizes categorises label labels triage route routes detect "
            "intent sentiment category categories classification classifier router",
            r"classify|classifies|categori[sz]es?|labels?|triage|routes?|detect the (?:intent|language|sentiment|topic)",
            r"\b(?:intent|sentiment|category|categories|classification|classifier|router)\b",
        ),
    ),
    (
        "extract",
        _words(
            "extract extracts pull parse parses list find extraction named",
            r"extracts?|pull out|parses?|list (?:all|every) the|find all",
            r"\b(?:extraction|named entit(?:y|ies))\b",
        ),
    ),
    (
        "plan",
        _words(
            "plan plans outline break decompose design planner roadmap",
            r"plans?|outline|break (?:it|this|the task) down|decompose|design a",
            r"\b(?:planner|roadmap|step[- ]by[- ]step plan"
            r"|(?:make|write|create|draw up|give me|propose) an? (?:\w+ )?plan)\b",
        ),
    ),
)
_TEXT_WORDS: Final = (("code", _CODE), *_JSON_WORDS)
_VERDICTS: Final = frozenset(
    [
        "valid",
        "is_valid",
        "passed",
        "pass",
        "ok",
        "correct",
        "is_correct",
        "approved",
        "verdict",
        "score",
        "grade",
        "safe",
        "accepted",
        "violations",
    ]
)
_LABELS: Final = frozenset(
    {"intent", "label", "category", "class", "classification", "sentiment", "topic", "route", "type", "language"}
)
_PLANS: Final = frozenset({"plan", "steps", "tasks", "subtasks", "todo", "todos", "actions"})


def infer_step(record: Record) -> str:
    """Which of the ten steps a record is, when its log does not say. Never raises.

    The first rule that holds:
    1. the last message is a tool's result, or follows one directly: ``recover`` if the result reads as an error, else
       ``tool_result``;
    2. the answer must be JSON: ``code`` if the last user message holds a block of it; ``validate``, ``intent`` or
       ``plan`` if the schema asks for a verdict, a label (one of a few properties, with an enumeration or named so) or a
       list of steps, else if the words ask for one; else ``extract``;
    3. tools are offered: ``tool_call``;
    4. the words of the last user message, then those that begin the system prompt: ``code``, ``validate``, ``intent``,
       ``extract`` or ``plan``;
    5. there is text to answer: ``respond``, else ``other``.
    Words are English; both ends of a message are read, ``CHARS_READ`` characters each.
    """
    if not record.messages:
        return "other"
    last = record.messages[-1]
    result = next((found for m in record.messages[:-3:-1] if (found := _tool_result(m)) is not None), None)
    if result is not None:
        return "recover" if _is_error(_ends(result)) else "tool_result"
    asked = next((_ends(message_text(m)) for m in reversed(record.messages) if m.role == "user"), "")
    told = next((message_text(m)[:CHARS_READ] for m in record.messages if m.role in ("system", "developer")), "")
    if _wants_json(record.response_format):
        if _holds_code(asked):
            return "code"
        named = _step_of_schema(record.response_format) or _step_of_words(asked, _JSON_WORDS)
        return named or _step_of_words(told, _JSON_WORDS) or "extract"
    if record.tools:
        return "tool_call"
    for words in (asked, told):
        step = _step_of_words(words, _TEXT_WORDS)
        if step:
            return step
    return "respond" if asked.strip() or message_text(last).strip() else "other"


def sessions_of(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each session, in the order of their timestamps; those without one stay where they came.

    Records without a session are left out.
    """
    sessions: dict[str, list[Record]] = {}
    for record in records:
        if record.session is not None:
            sessions.setdefault(record.session, []).append(record)
    for held in sessions.values():
        times: list[float] = []
        for record in held:
            time = moment(record.timestamp)
            times.append(time if time is not None else times[-1] if times else float("-inf"))
        held[:] = [held[index] for index in sorted(range(len(held)), key=times.__getitem__)]
    return sessions


def _ends(text: str) -> str:
    return text if len(text) <= 2 * CHARS_READ else text[:CHARS_READ] + "\n" + text[-CHARS_READ:]


def _tool_result(message: Message) -> str | None:
    """What a tool gave back, when that is what the message is; Anthropic's come as parts of a user message."""
    if message.role in ("tool", "function"):
        return message_text(message)
    if isinstance(message.content, list):
        for part in message.content:
            if isinstance(part, Mapping) and part.get("type") == "tool_result":
                return "error" if part.get("is_error") is True else str(part.get("content"))[: 2 * CHARS_READ]
    return None


def _wants_json(response_format: Any) -> bool:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    return isinstance(kind, str) and kind.startswith("json")


def _is_error(result: str) -> bool:
    if ("Error: " in result or "Exception: " in result) and _RAISED.search(result):
        return True
    lowered = result.lower()
    return _ERROR.found_in(lowered, _tokens(lowered))


def _holds_code(words: str) -> bool:
    """Whether a block of code stands in it; a block of JSON or text shows the answer's shape."""
    return "```" in words and any(_BLOCK.match(block) is None for block in words.split("```")[1::2])


def _tokens(lowered: str) -> set[str]:
    return set(lowered.translate(_TO_SPACES).split())


def _step_of_words(words: str, known: tuple[tuple[str, _Words], ...]) -> str | None:
    if known is _TEXT_WORDS and (_holds_code(words) or ("SELECT " in words and "FROM " in words)):
        return "code"
    lowered = words.lower()
    tokens = _tokens(lowered)
    for step, tell in known:
        if tell.found_in(lowered, tokens):
            return step
    return None


def _step_of_schema(response_format: Any) -> str | None:
    held = response_format.get("json_schema")
    schema = held.get("schema") if isinstance(held, dict) else response_format.get("schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties:
        return None
    names = {str(name).lower() for name in properties}
    if names & _VERDICTS:
        return "validate"
    if names & _PLANS and any(_is_type(item, "array") for item in properties.values()):
        return "plan"
    labelled = names & _LABELS or any(isinstance(item, dict) and "enum" in item for item in properties.values())
    return "intent" if labelled and len(names) <= LABELS_AT_MOST else None


def _is_type(schema: Any, kind: str) -> bool:
    return isinstance(schema, dict) and schema.get("type") == kind

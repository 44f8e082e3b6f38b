"""Derive a request's answer from its text alone: patterns read it, snippets are run, plans are tried in every order.

Shares no code with the families that made the requests; word lists (topics, opposites, capitals) and the phrases of the
tools are common to both.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
from collections.abc import Callable
from typing import Any, Final

from learned_router.training.records import Record
from learned_router.training.sample.case import Tool
from learned_router.training.sample.domains import DOMAINS
from learned_router.training.sample.intents import TOPICS
from learned_router.training.sample.values import CAPITALS, OPPOSITES, RARE_CAPITALS

VALUE_PATTERNS: Final = {
    "person": r"[A-Z]\w+",
    "city": r"[A-Z]\w+",
    "number": r"\d+",
    "path": r"\w+/[\w.]+",
    "title": r"[A-Z][\w ]+",
    "email": r"\w+@\S+",
    "word": r"[a-z]+",
}


def last_text(record: Record) -> str:
    return str(record.messages[-1].content)


def _results(record: Record) -> list[Any]:
    return [json.loads(str(message.content)) for message in record.messages if message.role == "tool"]


def tools_meant(said: list[str], offered: list[str]) -> set[str]:
    """The tools offered of which some phrase stands in one of the texts, begun with a capital or not."""
    texts = [*said, *(text[:1].lower() + text[1:] for text in said)]
    tools = [tool for domain in DOMAINS for tool in domain.tools if tool.name in offered]
    return {tool.name for tool in tools for phrase in tool.phrases if any(_says(tool, phrase, text) for text in texts)}


def _says(tool: Tool, phrase: str, said: str) -> bool:
    """Whether the words hold this phrase of the tool, with a value of the right form in each argument's place."""
    kinds = dict(tool.arguments)
    pattern = re.sub(r"\\\{(\w+)\\\}", lambda place: VALUE_PATTERNS[kinds[place[1]]], re.escape(phrase))
    return re.search(rf"\b{pattern}", said) is not None


def _topic(record: Record, facts: dict[str, Any]) -> Any:
    message, offered = re.findall(r'Message: "(.*)"\nTopics: (.*)', last_text(record))[0]
    labels = offered.split(", ")
    denied = re.search(r"This is not about (\w+)", message)
    rest = message.replace(denied.group(), "") if denied else message
    meant = [label for label in labels if label in rest or any(hint in rest for hint in TOPICS[label])]
    return meant[0] if len(meant) == 1 else meant


def _command(record: Record, facts: dict[str, Any]) -> Any:
    """The one command offered that has a phrase of this form, whatever its arguments."""
    said, offered = re.findall(r'User: "(.*)"\nCommands: (.*)', last_text(record))[0]
    meant = tools_meant([said], offered.split(", "))
    return meant.pop() if len(meant) == 1 else meant


def _field(record: Record, facts: dict[str, Any]) -> Any:
    text = last_text(record).partition("\n")[0]
    if facts["level"] == 2:
        return re.findall(r"The new \w+ is (.*?)\.(?: |$)", text)[0]
    if facts["level"] == 3:
        listed = re.findall(r"are (.*?)\. Of these", text)[0].split(", ")
        wrong = re.findall(r"the (first|second|third)", text.partition("Of these")[2])
        return next(v for v, role in zip(listed, ("first", "second", "third"), strict=True) if role not in wrong)
    patterns = {
        "email": r"([a-z]+@[a-z]+\.example)",
        "city": r"(?:I live in|Our office is in|I am writing from) (\w+)\.",
        "name": r"(?:My name is|This is|I am) ([A-Z]\w+ [A-Z]\w+)\.",
    }
    return re.findall(patterns[facts["field"]], text)[0]


def _record_fields(record: Record, facts: dict[str, Any]) -> Any:
    told, _, asked = last_text(record).partition("\nGive ")
    keys = facts["keys"]
    shown, title = re.findall(rf'(?i:{facts["noun"]}) (\S+) is "(.*?)"', told)[0]
    tail = re.findall(rf", {keys[2]} (.*), {keys[3]} (.*), {keys[4]} (.*)\.", told)[0]
    values = dict(zip(keys, (shown, title, *tail), strict=True))
    return {key: int(values[key]) if values[key].isdigit() else values[key] for key in asked.rstrip(".").split(", ")}


def _rows(record: Record, facts: dict[str, Any]) -> Any:
    """Answer the question over the rows shown, with the operation and the field read out of the question's words."""
    results = _results(record)
    rows = results[0] if results else json.loads(str(record.messages[-2].content).partition(": ")[2])
    asked = last_text(record)
    number_field = list(rows[0])[-1]
    counted = re.match(r"How many have (\w+) (.*)\?$", asked)
    if counted:
        return [row[counted.group(1)] for row in rows].count(counted.group(2))
    if re.match(r"By how many \w+ do (\S+) and (\S+) differ\?$", asked):
        low, high = sorted(row[number_field] for row in rows)
        return high - low
    if re.match(rf"What is the largest {number_field}\?$", asked):
        return max(row[number_field] for row in rows)
    if re.match(rf"(What is the total|Add up|Sum of) {number_field}\b", asked):
        return sum(row[number_field] for row in rows)
    return _asked_value(rows, asked)


def _asked_value(rows: list[dict[str, Any]], asked: str) -> Any:
    quoted = re.findall(r'"(.*?)"', asked)
    words = re.findall(r"[\w-]+", asked)
    matching = [row for row in rows if list(row.values())[1] in quoted or str(next(iter(row.values()))) in words]
    # the first field is the identifier, whose name can also be the domain's word for a row
    fields = [name for name in list(rows[0])[1:] if name in re.sub(r'".*?"', "", asked).replace("?", " ").split()]
    fields = fields or [name for name in list(rows[0])[1:] if name in words]
    return matching[0][fields[0]] if len(matching) == len(fields) == 1 else None


def _error_code(record: Record, facts: dict[str, Any]) -> Any:
    return _results(record)[0]["code"]


def _confirm(record: Record, facts: dict[str, Any]) -> Any:
    return _results(record)[0]["reference"]


def _plan(record: Record, facts: dict[str, Any]) -> Any:
    """The only order of all steps that keeps every rule of the text; None when there is not exactly one."""
    text = last_text(record)
    listed = re.match(r"First (.*)\.\n", text)
    if listed:
        return re.findall(r"[a-z]+(?:_[a-z]+)+", listed.group(1))
    name = r"([a-z_]+)"
    rules = [(a, b) for b, a in re.findall(rf"{name} needs {name} done first", text)]
    rules += re.findall(rf"{name} comes before {name}", text)
    rules += re.findall(rf"only after {name} may {name} run", text)
    steps = sorted({step for rule in rules for step in rule})
    orders = [p for p in itertools.permutations(steps) if all(p.index(a) < p.index(b) for a, b in rules)]
    return list(orders[0]) if len(orders) == 1 else None


def _next_step(record: Record, facts: dict[str, Any]) -> Any:
    listed = re.findall(r"^\d+\. (\w+)$", last_text(record), re.MULTILINE)
    done = re.findall(r"Done: (.*)\.", last_text(record))[0].split(", ")
    return next(step for step in listed if step not in done)


def _code(record: Record) -> str:
    blocks: list[str] = re.findall(r"```python\n(.*?)\n```", last_text(record), re.DOTALL)
    return blocks[0]


def _function_name(record: Record, facts: dict[str, Any]) -> Any:
    """Run the definitions: the one wanted is the only one, or the one that moves 10 and 1000 by the same amount."""
    scope: dict[str, Any] = {}
    exec(_code(record), scope)
    functions = {name: value for name, value in scope.items() if callable(value)}
    adding = [name for name, f in functions.items() if f(1000) - f(10) == 990]
    return adding[0] if len(adding) == 1 else adding


def _output(record: Record, facts: dict[str, Any]) -> Any:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(_code(record), {})
    return printed.getvalue().rstrip("\n")


def _report(record: Record, facts: dict[str, Any]) -> Any:
    lines = re.findall(r"Report of the check: (.*)\.\n", last_text(record))[0].split("; ")
    bad = [line.split()[0] for line in lines if not line.endswith(" is fine")]
    return bad[0] if len(bad) == 1 else bad


def _missing(record: Record, facts: dict[str, Any]) -> Any:
    required = re.findall(r"Required: (.*)", last_text(record))[0].split(", ")
    held = json.loads(re.findall(r"Object: (.*)", last_text(record))[0])
    lacking = [key for key in required if key not in held]
    return lacking[0] if len(lacking) == 1 else lacking


def _limit(record: Record, facts: dict[str, Any]) -> Any:
    values, limit = re.findall(r"Values: (.*)\nThe limit is (\d+)", last_text(record))[0]
    return len([value for value in values.split(", ") if int(value) > int(limit)])


def _verdict(record: Record, facts: dict[str, Any]) -> Any:
    terms, stated = re.findall(r": ([\d +]+) = (\d+)\n", last_text(record))[0]
    total = sum(map(int, terms.split(" + ")))
    return str(total) if total != int(stated) else "the total stated is right"


def _accepted(record: Record, facts: dict[str, Any]) -> Any:
    told = dict(re.findall(r"([\w-]+) is (accepted|rejected)", last_text(record)))
    return told[re.findall(r"verdict on ([\w-]+)\?", last_text(record))[0]]


def _opposite(record: Record, facts: dict[str, Any]) -> Any:
    return OPPOSITES[re.findall(r'"(\w+)"', last_text(record))[0]]


def _capital(record: Record, facts: dict[str, Any]) -> Any:
    named = [city for country, city in {**CAPITALS, **RARE_CAPITALS}.items() if country in last_text(record)]
    return named[0] if len(named) == 1 else named


def _word(record: Record, facts: dict[str, Any]) -> Any:
    text = last_text(record)
    if text.startswith("Sort"):
        return ", ".join(sorted(text.partition(": ")[2].split(", ")))
    if text.endswith("backwards."):
        return "".join(reversed(re.findall(r'"(\w+)"', text)[0]))
    return re.findall(r"^(?:The )?\w+(?:: | is )(\w+)\.", text)[0]


def _arithmetic(record: Record, facts: dict[str, Any]) -> Any:
    one, sign, two = re.findall(r"(\d+) ([+*]) (\d+)", last_text(record))[0]
    return str(int(one) + int(two) if sign == "+" else int(one) * int(two))


def _choice(record: Record, facts: dict[str, Any]) -> Any:
    options = re.findall(r"^([A-E])\. .* (\d+)$", last_text(record), re.MULTILINE)
    return max(options, key=lambda option: int(option[1]))[0]


DERIVERS: Final[dict[str, Callable[[Record, dict[str, Any]], Any]]] = {
    "topic": _topic,
    "command": _command,
    "field": _field,
    "record": _record_fields,
    "rows": _rows,
    "error_code": _error_code,
    "confirm": _confirm,
    "plan": _plan,
    "next_step": _next_step,
    "function_name": _function_name,
    "output": _output,
    "report": _report,
    "missing": _missing,
    "limit": _limit,
    "verdict": _verdict,
    "accepted": _accepted,
    "opposite": _opposite,
    "capital": _capital,
    "word": _word,
    "arithmetic": _arithmetic,
    "choice": _choice,
}

"""Families whose answer is a tool call: asking for one, several or none, and repairing one that failed. Knows no model."""

from __future__ import annotations

import random
from typing import Any, Final

from learned_router.request import Message
from learned_router.training.sample.case import Case, Family, Scene, Tool, called, dialogue
from learned_router.training.sample.values import MONTHS, NUMBER_WORDS, VALUES

POLITE: Final = ("{}", "{}", "{}", "Hi! {}", "{} Thanks!", "Could you do this: {}", "Now {}", "{}, please")
# asked for only where the small model manages: this plain request is the project's example of an easy one
ALWAYS_EASY: Final = ("list_commits",)
SMALL_TALK: Final = (
    "Thank you, that is all.", "Good morning! How are you?", "Never mind, I found it myself.", "Who made you?",
    "That was quick, well done.", "I have to go now, bye.", "Do not do anything yet.", "Tell me a joke.",
)  # fmt: skip


def tool_schema(tool: Tool) -> dict[str, Any]:
    properties = {name: {"type": VALUES[kind][0]} for name, kind in tool.arguments}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def offer(rng: random.Random, scene: Scene, wanted: list[Tool], count: int) -> list[dict[str, Any]]:
    """``count`` tools of the domain in random order, those wanted among them."""
    others = [tool for tool in scene.domain.tools if tool not in wanted]
    offered = wanted + rng.sample(others, max(0, count - len(wanted)))
    rng.shuffle(offered)
    return [tool_schema(tool) for tool in offered]


def say(rng: random.Random, tool: Tool) -> tuple[str, dict[str, Any]]:
    """A user's words for a call of ``tool``, and the arguments they name."""
    arguments = {name: VALUES[kind][1](rng) for name, kind in tool.arguments}
    phrase = rng.choice(tool.phrases).format(**arguments)
    return phrase, arguments


def expect(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    expected = [{"name": name, "arguments": {key: [value] for key, value in given.items()}} for name, given in calls]
    return {"expected_calls": expected}


def _by_arity(rng: random.Random, scene: Scene, arity: int, left_out: tuple[str, ...] = ()) -> Tool:
    fitting = [tool for tool in scene.domain.tools if len(tool.arguments) == arity and tool.name not in left_out]
    return rng.choice(fitting)


def _politely(rng: random.Random, phrase: str) -> str:
    text = rng.choice(POLITE).format(phrase)
    return text[0].upper() + text[1:] if rng.random() < 0.5 else text


def make_simple(rng: random.Random, scene: Scene, level: int) -> Case:
    """A command without arguments. Level: 1, 2 or 5 tools to choose from."""
    tool = _by_arity(rng, scene, 0, () if level == 1 else ALWAYS_EASY)
    phrase, arguments = say(rng, tool)
    tools = offer(rng, scene, [tool], (1, 2, 5)[level - 1])
    return Case(dialogue(scene, _politely(rng, phrase)), expect((tool.name, arguments)), {"kind": "call"}, tools)


def make_argument(rng: random.Random, scene: Scene, level: int) -> Case:
    """A command with one argument said in the message. Level: 1, 2 or 5 tools to choose from."""
    tool = _by_arity(rng, scene, 1)
    phrase, arguments = say(rng, tool)
    tools = offer(rng, scene, [tool], (1, 2, 5)[level - 1])
    return Case(dialogue(scene, _politely(rng, phrase)), expect((tool.name, arguments)), {"kind": "call"}, tools)


def make_two_arguments(rng: random.Random, scene: Scene, level: int) -> Case:
    """A command with two arguments. Level: 1 or 3 tools to choose from."""
    tool = _by_arity(rng, scene, 2)
    phrase, arguments = say(rng, tool)
    tools = offer(rng, scene, [tool], (1, 3)[level - 1])
    return Case(dialogue(scene, _politely(rng, phrase)), expect((tool.name, arguments)), {"kind": "call"}, tools)


def make_parallel(rng: random.Random, scene: Scene, level: int) -> Case:
    """Two (level 1) or three (level 2) calls of one tool in a single message."""
    tool = _by_arity(rng, scene, 1)
    (argument, kind) = tool.arguments[0]
    values: list[Any] = []
    while len(values) < level + 1:
        value = VALUES[kind][1](rng)
        if value not in values:
            values.append(value)
    phrase = rng.choice(tool.phrases).format(**{argument: values[0]})
    rest = " and for ".join(str(value) for value in values[1:])
    text = f"{_politely(rng, phrase)} {rng.choice(('Do the same for', 'And also for', 'Then the same for'))} {rest}."
    calls = [(tool.name, {argument: value}) for value in values]
    tools = offer(rng, scene, [tool], rng.choice((1, 2)))
    return Case(dialogue(scene, text), expect(*calls), {"kind": "call"}, tools)


def make_no_call(rng: random.Random, scene: Scene, level: int) -> Case:
    """Small talk while tools are offered: nothing is to be called. Level: 2 or 4 tools."""
    tools = offer(rng, scene, [], level * 2)
    return Case(dialogue(scene, rng.choice(SMALL_TALK)), {"no_call": True}, {"kind": "no_call"}, tools)


def make_did_you_mean(rng: random.Random, scene: Scene, level: int) -> Case:
    """A call failed on a misspelt value. Level 1: the user repeats it right; 2: only the error names it; 3: of 3 tools."""
    tool = _by_arity(rng, scene, 1)
    argument, kind = tool.arguments[0]
    right = VALUES[kind][1](rng)
    wrong = right + rng.choice((100, 200)) if isinstance(right, int) else _misspell(rng, right)
    asked = rng.choice(tool.phrases).format(**{argument: wrong})
    error = rng.choice(
        ("{} not found. Did you mean {}?", "Unknown value {}. Closest match: {}.", "No {} here. Use {}.")
    )
    history = [Message("user", asked), *called(tool.name, {argument: wrong}, {"error": error.format(wrong, right)})]
    text = rng.choice(("Yes, use that one.", "Try again with the right value.", f"Use {right}.", f"I meant {right}."))
    if level == 1:
        text = rng.choice(("Sorry: {}", "My mistake, {}", "{}", "I meant: {}")).format(
            rng.choice(tool.phrases).format(**{argument: right})
        )
    tools = offer(rng, scene, [tool], (1, 1, 3)[level - 1])
    check = {"kind": "call", "not": wrong}
    return Case(dialogue(scene, text, history), expect((tool.name, {argument: right})), check, tools)


def _misspell(rng: random.Random, text: str) -> str:
    place = rng.randrange(1, len(text) - 1)
    return (
        text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        if text[place] != text[place + 1]
        else (text[:place] + text[place] + text[place:])
    )


def make_reformat(rng: random.Random, scene: Scene, level: int) -> Case:
    """A call failed on a date's form. Level 1: the error shows the right form with its value; level 2: only the form."""
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    said, iso = f"{day} {MONTHS[month - 1]} 2026", f"2026-{month:02d}-{day:02d}"
    noun = scene.domain.noun
    name = rng.choice(("find_by_date", "list_since", "export_day", "count_on"))
    tool = Tool(name, f"Look at every {noun} of one day", (), (("date", "word"),))
    error = f"invalid date {said!r}, expected {iso}" if level == 1 else f"invalid date {said!r}, expected YYYY-MM-DD"
    history = [
        Message("user", rng.choice((f"Every {noun} of {said}", f"What about {said}?", f"Look at {said}."))),
        *called(name, {"date": said}, {"error": error}),
    ]
    text = rng.choice(("Please correct the call.", "Try again.", "Fix the date and call again.", "Repair the call."))
    tools = [tool_schema(tool)]
    check = {"kind": "call_date", "said": said}
    return Case(dialogue(scene, text, history), expect((name, {"date": iso})), check, tools)


def make_convert(rng: random.Random, scene: Scene, level: int) -> Case:
    """A call failed on a number given in words or in the wrong unit. Level 1: words; level 2: a conversion."""
    check: dict[str, Any]
    if level == 1:
        value = rng.randint(2, 12)
        said, error = NUMBER_WORDS[value], "limit must be an integer"
        key, check = "limit", {"kind": "call_number", "words": NUMBER_WORDS[value]}
    else:
        hours = rng.randint(2, 19)
        value, said, error = hours * 60, f"{hours} hours", "minutes must be an integer number of minutes"
        key, check = "minutes", {"kind": "call_number", "hours": hours}
    name = rng.choice(("set_window", "show_last", "keep_for", "watch"))
    tool = Tool(name, f"Work on each {scene.domain.noun}", (), ((key, "number"),))
    history = [
        Message("user", rng.choice((f"Use {said}.", f"Set it to {said}.", f"I want {said}."))),
        *called(name, {key: said}, {"error": error}),
    ]
    text = rng.choice(("Please correct the call.", "Try again.", "Fix the argument.", "Call it again, properly."))
    return Case(dialogue(scene, text, history), expect((name, {key: value})), check, [tool_schema(tool)])


def make_replaced_tool(rng: random.Random, scene: Scene, level: int) -> Case:
    """A tool was removed and the error names its successor. Level: 1 or 3 tools left."""
    tool = _by_arity(rng, scene, 1)
    phrase, arguments = say(rng, tool)
    old = rng.choice(("old_", "legacy_", "v1_")) + tool.name
    error = rng.choice(("{} was removed, use {}", "{} is gone. Call {} instead.", "no tool {}; try {}"))
    history = [Message("user", phrase), *called(old, arguments, {"error": error.format(old, tool.name)})]
    text = rng.choice(("Then do that.", "Try again the right way.", f"{phrase}, with the new tool", "Please retry."))
    tools = offer(rng, scene, [tool], (1, 3)[level - 1])
    return Case(dialogue(scene, text, history), expect((tool.name, arguments)), {"kind": "call"}, tools)


FAMILIES: Final = (
    Family("simple", "tool_call", make_simple, (3.0, 1.5, 1.0)),
    Family("argument", "tool_call", make_argument, (2.5, 1.0, 1.0)),
    Family("two_arguments", "tool_call", make_two_arguments, (1.0, 1.0)),
    Family("parallel", "tool_call", make_parallel, (0.6, 0.6)),
    Family("no_call", "tool_call", make_no_call, (0.5, 0.5)),
    Family("did_you_mean", "recover", make_did_you_mean, (3.0, 1.0, 0.7)),
    Family("replaced_tool", "recover", make_replaced_tool, (2.5, 0.7)),
    Family("reformat", "recover", make_reformat, (0.5, 0.5)),
    Family("convert", "recover", make_convert, (1.5, 1.0)),
)

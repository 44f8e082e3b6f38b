"""Families that read: intents, fields of a text, results of tools, facts for the user. Knows no model."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from learned_router.request import Message
from learned_router.training.sample.calls import ALWAYS_EASY, say
from learned_router.training.sample.case import Case, Family, Scene, called, dialogue, json_format
from learned_router.training.sample.intents import TOPICS
from learned_router.training.sample.values import CITIES, email, full_name

DENIED_BY: Final = ("last note", "first label", "colleague", "earlier message")
ASIDES: Final = (
    "It has been a long week here.", "The coffee machine is broken again.", "I hope you had a nice weekend.",
    "We moved to the second floor.", "My colleague said you could help.", "The train was late this morning.",
    "Sorry for writing so early.", "This is my first message to you.",
)  # fmt: skip


def _rows(scene: Scene, rng: random.Random, count: int) -> list[dict[str, Any]]:
    return rng.sample(list(scene.rows), count)


def make_topic(rng: random.Random, scene: Scene, level: int) -> Case:
    """Which topic is the message about? Level 1: two labels, one of them said; 2: three, hinted at; 3: six and a denial."""
    labels = rng.sample(list(TOPICS), (2, 3, 6)[level - 1])
    wanted = labels[0]
    if level == 1:
        frames = ("I have a question about {0}.", "It is about {0}.", "Please send me to {0}.", "{0} please!")
        text = rng.choice(frames).format(wanted)
    else:
        text = rng.choice(TOPICS[wanted])
    denied = None
    if level == 3:
        denied = labels[1]
        text = f"This is not about {denied}, my {rng.choice(DENIED_BY)} was wrong there. {text}"
    if rng.random() < 0.3:
        text = f"{rng.choice(ASIDES)} {text}"
    rng.shuffle(labels)
    ask = rng.choice(
        ("What is the message about?", "Which topic fits the message?", "Choose the topic of the message.")
    )
    user = f'Message: "{text}"\nTopics: {", ".join(labels)}\n{ask}'
    return Case(
        dialogue(scene, user),
        {"json": {"topic": wanted}},
        {"kind": "topic"},
        response_format=json_format(topic={"enum": labels}),
    )


def make_command(rng: random.Random, scene: Scene, level: int) -> Case:
    """Which command does the user want? Level: 1, 2 or 4 wrong commands beside the right one."""
    tools = rng.sample(list(scene.domain.tools), (2, 3, 5)[level - 1])
    if tools[0].name in ALWAYS_EASY:
        tools.reverse()
    phrase, _ = say(rng, tools[0])
    names = [tool.name for tool in tools]
    rng.shuffle(names)
    ask = rng.choice(("Which command is meant?", "Name the command.", "What does the user want?"))
    user = f'User: "{phrase}"\nCommands: {", ".join(names)}\n{ask}'
    return Case(
        dialogue(scene, user),
        {"json": {"command": tools[0].name}},
        {"kind": "command"},
        response_format=json_format(command={"enum": names}),
    )


def make_field(rng: random.Random, scene: Scene, level: int) -> Case:
    """One value out of a text. Level 1: the only one of its kind; 2: one among two; 3: named by what it is not."""
    kind = rng.choice(("email", "city", "city", "name", "name"))
    draw = {"email": email, "city": lambda r: r.choice(CITIES), "name": full_name}[kind]
    values: list[str] = []
    while len(values) < 3:
        value = draw(rng)
        if value not in values:
            values.append(value)
    row = rng.choice(scene.rows)
    noun, shown = scene.domain.noun, row[scene.domain.keys[0]]
    if level == 1:
        frames = {
            "email": ("My email is {}.", "Write to {} please.", "You reach me at {}."),
            "city": ("I live in {}.", "Our office is in {}.", "I am writing from {}."),
            "name": ("My name is {}.", "This is {}.", "I am {}."),
        }[kind]
        text, ask = rng.choice(frames).format(values[0]), f"Which {kind} is in the text?"
        sentences = [text, f"It is about {noun} {shown}.", *rng.sample(ASIDES, rng.choice((0, 1, 4)))]
        rng.shuffle(sentences)
    elif level == 2:
        sentences = [f"The old {kind} was {values[1]}.", f"The new {kind} is {values[0]}."]
        rng.shuffle(sentences)
        ask = f"What is the new {kind}?"
    else:
        roles = rng.sample(("first", "second", "third"), 3)
        wrong = " and ".join(f"the {role}" for role in roles[1:])
        ordered = sorted(zip(roles, values, strict=True), key=lambda pair: ("first", "second", "third").index(pair[0]))
        sentences = [f"The candidates for the {kind} are " + ", ".join(value for _, value in ordered) + ".",
                     f"Of these, {wrong} are wrong."]  # fmt: skip
        ask = f"Which {kind} is right?"
    user = f"Text: {' '.join(sentences)}\n{ask}"
    return Case(
        dialogue(scene, user),
        {"json": {kind: values[0]}},
        {"kind": "field", "level": level, "field": kind},
        response_format=json_format(**{kind: "string"}),
    )


def make_record(rng: random.Random, scene: Scene, level: int) -> Case:
    """Two, three or all five fields of a row told in a sentence."""
    keys, row = scene.domain.keys, rng.choice(scene.rows)
    number, title, status, owner, amount = (row[key] for key in keys)
    told = f'{scene.domain.noun.capitalize()} {number} is "{title}", '
    told += f"{keys[2]} {status}, {keys[3]} {owner}, {keys[4]} {amount}."
    wanted = {1: keys[1:2] + keys[3:4], 2: keys[1:4], 3: keys}[level]
    user = f"{told}\nGive {', '.join(wanted)}."
    fields = {key: "integer" if isinstance(row[key], int) else "string" for key in wanted}
    return Case(
        dialogue(scene, user),
        {"json": {key: row[key] for key in wanted}},
        {"kind": "record", "noun": scene.domain.noun, "keys": list(keys)},
        response_format=json_format(**fields),
    )


def _list_call(scene: Scene, rows: list[dict[str, Any]]) -> list[Message]:
    first = scene.domain.list_tool
    return [Message("user", first.phrases[0]), *called(first.name, {}, rows)]


def make_lookup(rng: random.Random, scene: Scene, level: int) -> Case:
    """One field of a tool's result. Level: 1, 2 or 5 rows in the result."""
    rows = _rows(scene, rng, (1, 2, 5)[level - 1])
    row, keys = rng.choice(rows), scene.domain.keys
    key = rng.choice(keys[1:])
    who = f"{scene.domain.noun} {row[keys[0]]}"
    ask = rng.choice(("What is the {key} of {who}?", "{who}: which {key}?", "Tell me the {key} of {who}."))
    history = _list_call(scene, rows)
    return Case(
        dialogue(scene, ask.format(key=key, who=who), history),
        {"json": {key: row[key]}},
        {"kind": "rows"},
        response_format=json_format(**{key: "integer" if isinstance(row[key], int) else "string"}),
    )


def make_aggregate(rng: random.Random, scene: Scene, level: int) -> Case:
    """A number over a result's rows. Level 1: the larger of two; 2: a sum of two; 3: a sum of four; 4: a count of five."""
    rows = _rows(scene, rng, (2, 2, 4, 5)[level - 1])
    keys, unit = scene.domain.keys, scene.domain.unit
    if level == 4:
        status = rng.choice(rows)[keys[2]]
        ask, value = f"How many have {keys[2]} {status}?", sum(row[keys[2]] == status for row in rows)
    elif level == 1:
        ask, value = f"What is the largest {keys[4]}?", max(row[keys[4]] for row in rows)
    else:
        ask = rng.choice((f"What is the total {keys[4]} in {unit}?", f"Add up {keys[4]}.", f"Sum of {keys[4]}?"))
        value = sum(row[keys[4]] for row in rows)
    return Case(
        dialogue(scene, ask, _list_call(scene, rows)),
        {"json": {"result": value}},
        {"kind": "rows"},
        response_format=json_format(result="integer"),
    )


def make_error_code(rng: random.Random, scene: Scene, level: int) -> Case:
    """The error code a tool returned. Level 1: one call; 2: the second of two calls."""
    codes = rng.sample(range(401, 599), 2)
    tool = scene.domain.list_tool
    history = [Message("user", tool.phrases[0])]
    for number, code in enumerate(codes[:level], start=1):
        note = rng.choice(("try later", "not allowed", "timed out", "bad gateway"))
        history += called(tool.name, {}, {"error": note, "code": code}, f"call_{number}")
    ask = "Which error code came back?" if level == 1 else "Which error code came back from the first call?"
    return Case(
        dialogue(scene, ask, history),
        {"json": {"code": codes[0]}},
        {"kind": "error_code"},
        response_format=json_format(code="integer"),
    )


def make_reply(rng: random.Random, scene: Scene, level: int) -> Case:
    """A fact for the user. Level 1: the only row; 2: by name among three; 3: a difference between two rows."""
    keys, domain = scene.domain.keys, scene.domain
    if level == 3:
        one, two = _rows(scene, rng, 2)
        value: Any = abs(one[keys[4]] - two[keys[4]])
        ask = f"By how many {domain.unit} do {one[keys[0]]} and {two[keys[0]]} differ?"
        rows = [one, two]
    else:
        rows = _rows(scene, rng, 1 if level == 1 else 3)
        row, key = rng.choice(rows), rng.choice(keys[2:4])
        value = row[key]
        ask = rng.choice(('Which {k} has "{t}"?', 'The {k} of "{t}", please.', '"{t}": what {k}?')).format(
            k=key, t=row[keys[1]]
        )
    found = rng.choice(("Here is what I found: ", "Data: ", "Result: "))
    history = [Message("user", domain.list_tool.phrases[-1]), Message("assistant", found + json.dumps(rows))]
    return Case(
        dialogue(scene, ask, history),
        {"json": {"answer": value}},
        {"kind": "rows"},
        response_format=json_format(answer="integer" if isinstance(value, int) else "string"),
    )


def make_confirm(rng: random.Random, scene: Scene, level: int) -> Case:
    """Confirm a finished call with the identifier it returned. Level 1: one call; 2: the identifier of the earlier one."""
    domain = scene.domain
    ids = [row[domain.keys[0]] for row in _rows(scene, rng, 2)]
    history: list[Message] = []
    for number, shown in enumerate(ids[:level], start=1):
        tool = rng.choice([tool for tool in domain.tools if tool.arguments])
        phrase, arguments = say(rng, tool)
        result = {"ok": True, "reference": shown}
        history += [Message("user", phrase), *called(tool.name, arguments, result, f"call_{number}")]
    ask = "Did it work? Give me the reference." if level == 1 else "Give me the reference of the first one."
    return Case(
        dialogue(scene, ask, history),
        {"json": {"reference": ids[0]}},
        {"kind": "confirm"},
        response_format=json_format(reference="integer" if isinstance(ids[0], int) else "string"),
    )


FAMILIES: Final = (
    Family("topic", "intent", make_topic, (2.0, 1.0, 1.0)),
    Family("command", "intent", make_command, (2.5, 1.5, 1.0)),
    Family("field", "extract", make_field, (2.5, 1.0, 0.7)),
    Family("record", "extract", make_record, (2.0, 1.5, 1.0)),
    Family("lookup", "tool_result", make_lookup, (2.0, 1.0, 1.0)),
    Family("aggregate", "tool_result", make_aggregate, (0.5, 0.5, 0.5, 0.5)),
    Family("error_code", "tool_result", make_error_code, (1.0, 0.5)),
    Family("reply", "respond", make_reply, (1.5, 1.0, 1.0)),
    Family("confirm", "respond", make_confirm, (1.0, 1.0)),
)

"""Families that reason: plans, code, validation, and the odd jobs of ``other``. Knows no model."""

from __future__ import annotations

import random
from typing import Any, Final

from learned_router.training.sample.case import Case, Family, Scene, dialogue, json_format
from learned_router.training.sample.values import CAPITALS, OPPOSITES, RARE_CAPITALS, WORDS

PROJECTS: Final = ("migration", "release", "move to the new office", "clean-up", "audit", "launch", "yearly review")
CODE_NOUNS: Final = ("price", "name", "total", "user", "order", "file", "score", "report", "color", "message")
CODE_VERBS: Final = ("get", "add", "print", "save", "load", "check", "update", "send", "format", "count")
LETTERS: Final = "ABCDE"


def make_listed_plan(rng: random.Random, scene: Scene, level: int) -> Case:
    """Steps said in the order wanted: two, three or four of them."""
    tools = rng.sample(list(scene.domain.tools), level + 1)
    names = [tool.name for tool in tools]
    link = rng.choice((", then ", ", and after that ", ", next "))
    told = "First " + link.join(names)
    user = f"{told}.\n{rng.choice(('Write the plan.', 'List the steps in order.', 'Give the plan.'))}"
    return _plan(scene, user, names)


def make_ordered_plan(rng: random.Random, scene: Scene, level: int) -> Case:
    """Steps tied by what must come before what, told out of order: three, four or five of them."""
    names = [tool.name for tool in rng.sample(list(scene.domain.tools), level + 2)]
    before = [[names[i], names[i + 1]] for i in range(len(names) - 1)]
    told = [rng.choice(("{1} needs {0} done first", "{0} comes before {1}", "only after {0} may {1} run")).format(*pair)
            for pair in before]  # fmt: skip
    rng.shuffle(told)
    user = f"Plan the {rng.choice(PROJECTS)} for {scene.user}: " + "; ".join(told) + ". Give all steps in order."
    return _plan(scene, user, names)


def _plan(scene: Scene, user: str, names: list[str]) -> Case:
    steps = {"type": "array", "items": {"enum": sorted(names)}, "minItems": len(names), "maxItems": len(names)}
    return Case(
        dialogue(scene, user),
        {"json": {"steps": names}},
        {"kind": "plan"},
        response_format=json_format(steps=steps),
    )


def make_next_step(rng: random.Random, scene: Scene, level: int) -> Case:
    """The next step of a written plan. Level 1: nothing done yet, so the first; 2: one of three done; 3: three of five."""
    names = [tool.name for tool in rng.sample(list(scene.domain.tools), (2, 3, 5)[level - 1])]
    done = level - 1 if level < 3 else 3
    listed = "\n".join(f"{number}. {name}" for number, name in enumerate(names, start=1))
    state = f"Done: {', '.join(names[:done]) or 'nothing'}."
    user = f"Plan:\n{listed}\n{state}\n{rng.choice(('Which step is next?', 'Name the next step.', 'What comes next?'))}"
    return Case(
        dialogue(scene, user),
        {"json": {"next": names[done]}},
        {"kind": "next_step"},
        response_format=json_format(next={"enum": sorted(names)}),
    )


def make_function_name(rng: random.Random, scene: Scene, level: int) -> Case:
    """The name of a function. Level 1: the only one; 2: the one of two that returns something else than a product."""
    nouns = rng.sample(CODE_NOUNS, 2)
    names = [f"{rng.choice(CODE_VERBS)}_{noun}" for noun in nouns]
    bodies = [
        f"def {names[0]}(x):\n    return x + {rng.randint(2, 9)}",
        f"def {names[1]}(x):\n    return x * {rng.randint(2, 9)}",
    ]
    if level == 1:
        code, ask = (
            bodies[0],
            rng.choice(("What is the function called?", "Name the function.", "Which function is defined?")),
        )
    else:
        code, ask = "\n".join(rng.sample(bodies, 2)), "Which function adds?"
    return Case(
        dialogue(scene, f"```python\n{code}\n```\n{ask}"),
        {"json": {"function": names[0]}},
        {"kind": "function_name"},
        response_format=json_format(function="string"),
    )


def make_output(rng: random.Random, scene: Scene, level: int) -> Case:
    """What a snippet prints. Level 1: a literal; 2: a variable; 3: a small sum; 4: a loop or a slice."""
    word, one, two = rng.choice(WORDS), rng.randint(2, 9), rng.randint(2, 9)
    if level == 1:
        code, value = f'print("{word}")', word
    elif level == 2:
        name = rng.choice(CODE_NOUNS)
        code, value = f'{name} = "{word}"\nprint({name})', word
    elif level == 3:
        code, value = f"a = {one * 7}\nb = {two * 6}\nprint(a + b)", str(one * 7 + two * 6)
    elif rng.random() < 0.5:
        code, value = (
            f"t = {one}\nfor i in range({two}):\n    t += i * {one}\nprint(t)",
            str(one + one * two * (two - 1) // 2),
        )
    else:
        code, value = f'w = "{word}"\nprint(w[::-1][1:4])', word[-2:-5:-1]
    ask = rng.choice(("What does this print?", "What is the output?", "Which text does it print?"))
    return Case(
        dialogue(scene, f"```python\n{code}\n```\n{ask}"),
        {"json": {"output": value}},
        {"kind": "output"},
        response_format=json_format(output="string"),
    )


def make_report(rng: random.Random, scene: Scene, level: int) -> Case:
    """Which field does a validator's report reject? Level 1: one line; 2: one bad line among three."""
    keys = list(scene.domain.keys)
    bad = rng.choice(keys)
    wrong = rng.choice(("is missing", "is empty", "has the wrong type", "is too long"))
    lines = [f"{bad} {wrong}"]
    if level == 2:
        lines += [f"{key} is fine" for key in rng.sample([key for key in keys if key != bad], 2)]
        rng.shuffle(lines)
    user = (
        "Report of the check: "
        + "; ".join(lines)
        + f".\n{rng.choice(('Which field is wrong?', 'Name the bad field.'))}"
    )
    return Case(
        dialogue(scene, user),
        {"json": {"field": bad}},
        {"kind": "report"},
        response_format=json_format(field={"enum": sorted(keys)}),
    )


def make_missing(rng: random.Random, scene: Scene, level: int) -> Case:
    """Which required field does an object lack? Level 1: two required; 2: five required."""
    keys, row = list(scene.domain.keys), rng.choice(scene.rows)
    required = rng.sample(keys, 2 if level == 1 else 5)
    lacking = rng.choice(required)
    shown = {key: row[key] for key in required if key != lacking}
    user = f"Required: {', '.join(required)}\nObject: {_compact(shown)}\nWhich required field is missing?"
    return Case(
        dialogue(scene, user),
        {"json": {"missing": lacking}},
        {"kind": "missing"},
        response_format=json_format(missing={"enum": sorted(required)}),
    )


def _compact(value: Any) -> str:
    return str(value).replace("'", '"')


def make_limit(rng: random.Random, scene: Scene, level: int) -> Case:
    """How many values break a limit? Level: three or six values."""
    limit = rng.randint(30, 70)
    values = [rng.randint(1, 99) for _ in range(3 * level)]
    user = f"Values: {', '.join(map(str, values))}\nThe limit is {limit}. How many values are above it?"
    return Case(
        dialogue(scene, user),
        {"json": {"above": sum(value > limit for value in values)}},
        {"kind": "limit"},
        response_format=json_format(above="integer"),
    )


def make_verdict(rng: random.Random, scene: Scene, level: int) -> Case:
    """Was the total stated right? Reply with the right total, so that a guess of yes or no earns nothing."""
    values = [rng.randint(11, 60 * level) for _ in range(level + 1)]
    stated = sum(values) + rng.choice((-10, -1, 1, 10))
    user = (
        f"{scene.domain.keys[4]}: {' + '.join(map(str, values))} = {stated}\nThe total is wrong. What is the right one?"
    )
    return Case(
        dialogue(scene, user),
        {"answer": str(sum(values))},
        {"kind": "verdict"},
    )


def make_accepted(rng: random.Random, scene: Scene, level: int) -> Case:
    """The checker has already spoken: pass its verdict on. Level 1: one verdict; 2: of the row asked for among three."""
    rows = rng.sample(list(scene.rows), 1 if level == 1 else 3)
    verdicts = [rng.choice(("accepted", "rejected")) for _ in rows]
    key = scene.domain.keys[0]
    told = "; ".join(f"{row[key]} is {verdict}" for row, verdict in zip(rows, verdicts, strict=True))
    user = f"Checker: {told}.\nWhat is the verdict on {rows[0][key]}?"
    return Case(
        dialogue(scene, user),
        {"json": {"verdict": verdicts[0]}},
        {"kind": "accepted"},
        response_format=json_format(verdict={"enum": ["accepted", "rejected"]}),
    )


def make_opposite(rng: random.Random, scene: Scene, level: int) -> Case:
    """The opposite of a common word."""
    word = rng.choice(list(OPPOSITES))
    ask = rng.choice(
        ('What is the opposite of "{}"?', 'Give the opposite of "{}".', 'Which word is the opposite of "{}"?')
    )
    return Case(
        dialogue(scene, ask.format(word)),
        {"json": {"opposite": OPPOSITES[word]}},
        {"kind": "opposite"},
        response_format=json_format(opposite="string"),
    )


def make_capital(rng: random.Random, scene: Scene, level: int) -> Case:
    """The capital of a well-known (level 1) or rarely named (level 2) country."""
    known = CAPITALS if level == 1 else RARE_CAPITALS
    country = rng.choice(list(known))
    ask = rng.choice(("What is the capital of {}?", "Name the capital of {}.", "{}: which city is the capital?"))
    return Case(
        dialogue(scene, ask.format(country)),
        {"json": {"capital": known[country]}},
        {"kind": "capital"},
        response_format=json_format(capital="string"),
    )


def make_word(rng: random.Random, scene: Scene, level: int) -> Case:
    """Name a word that is given (1), write one backwards (2), or sort three to five words by alphabet (3)."""
    words = rng.sample(WORDS, rng.randint(3, 5))
    key = "text"
    if level == 1:
        key = rng.choice(("word", "color", "code", "label", "animal", "topic"))
        frames = ("{0}: {1}. Name the {2}.", "{0}: {1}. Which {2} is it?", "The {2} is {1}. Name the {2}.")
        user, value = rng.choice(frames).format(key.capitalize(), words[0], key), words[0]
    elif level == 2:
        user, value = f'Write the word "{words[0]}" backwards.', words[0][::-1]
    else:
        user, value = f"Sort by alphabet: {', '.join(words)}", ", ".join(sorted(words))
    return Case(
        dialogue(scene, user),
        {"json": {key: value}},
        {"kind": "word"},
        response_format=json_format(**{key: "string"}),
    )


def make_arithmetic(rng: random.Random, scene: Scene, level: int) -> Case:
    """A sum of single digits (1), a product of two-digit numbers (2), in plain text."""
    if level == 1:
        one, two = rng.randint(1, 5), rng.randint(1, 4)
        user, value = f"{one} + {two} = ?", one + two
    else:
        one, two = rng.randint(12, 98), rng.randint(12, 98)
        user, value = f"{one} * {two} = ?", one * two
    return Case(dialogue(scene, user), {"answer": str(value)}, {"kind": "arithmetic"})


def make_choice(rng: random.Random, scene: Scene, level: int) -> Case:
    """Multiple choice over the rows of the session: who has the largest amount? Level: two or five rows."""
    rows = rng.sample(list(scene.rows), 2 if level == 1 else 5)
    keys = scene.domain.keys
    best = max(range(len(rows)), key=lambda place: rows[place][keys[4]])
    listed = "\n".join(f"{LETTERS[i]}. {row[keys[1]]}, {keys[4]} {row[keys[4]]}" for i, row in enumerate(rows))
    user = f"Which {scene.domain.noun} has the largest {keys[4]}?\n{listed}\nAnswer with the letter."
    reference = {"answer": LETTERS[best], "answer_index": best}
    return Case(dialogue(scene, user), reference, {"kind": "choice"})


FAMILIES: Final = (
    Family("listed_plan", "plan", make_listed_plan, (3.0, 1.5, 1.0)),
    Family("ordered_plan", "plan", make_ordered_plan, (0.7, 0.7, 0.7)),
    Family("next_step", "plan", make_next_step, (1.0, 0.5, 0.5)),
    Family("function_name", "code", make_function_name, (2.0, 1.0)),
    Family("output", "code", make_output, (1.5, 1.5, 1.0, 1.0)),
    Family("report", "validate", make_report, (2.0, 1.0)),
    Family("missing", "validate", make_missing, (0.5, 0.5)),
    Family("limit", "validate", make_limit, (0.5, 0.5)),
    Family("verdict", "validate", make_verdict, (0.5, 0.5)),
    Family("accepted", "validate", make_accepted, (2.0, 1.0)),
    Family("opposite", "other", make_opposite, (2.0,)),
    Family("capital", "other", make_capital, (2.0, 1.0)),
    Family("word", "other", make_word, (2.5, 1.0, 0.5)),
    Family("arithmetic", "other", make_arithmetic, (0.5, 0.5)),
    Family("choice", "respond", make_choice, (0.5, 0.5)),
)

"""What an encoder is distilled on: views of requests, excerpts of answers, and tool calls made up from real functions.

Knows logs, libraries on disk and views; knows nothing of networks. No label is read: a text is all that is needed.
"""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from learned_router.encoder import Packer
from learned_router.request import Message, Request
from learned_router.training.importers.logs import read_pairs
from learned_router.training.records import Label, Skipped, label_request
from learned_router.view import ViewSpec, make_view

# Libraries that set-up installs, by licence: their functions stand for the tools of agents, of which the logs have few
LIBRARIES: Final = {
    "numpy": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "sklearn": "BSD-3-Clause",
    "sympy": "BSD-3-Clause",
    "torch": "BSD-3-Clause",
    "transformers": "Apache-2.0",
}
# names of packages where they are not those of modules
DISTRIBUTIONS: Final = {"sklearn": "scikit-learn"}
# Beside the logs, what an encoder's texts are told to be from
FROM_ANSWERS: Final = "excerpts of those requests' answers"
MADE_UP: Final = "made-up calls of libraries' functions"
EXCERPT_CHARS: Final = (40, 80, 150, 300, 500)
LEAST_ANSWER_CHARS: Final = 40
MOST_TOOLS: Final = 6
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")


class Texts(NamedTuple):
    """ids: token ids of every text. sources, licences: how many came from where, and under which licence."""

    ids: list[list[int]]
    sources: dict[str, int]
    licences: dict[str, str]


class Function(NamedTuple):
    """A function of a library as a tool: its definition in OpenAI's shape, and the sentences of its documentation."""

    tool: dict[str, Any]
    sentences: list[str]


def read_texts(
    labels: Sequence[Label],
    logs: Sequence[Path],
    packer: Packer,
    view: ViewSpec,
    *,
    excerpts: int,
    tools: int,
    seed: int,
) -> Texts:
    """Every label's view, ``excerpts`` pieces of the answers to their requests, and ``tools`` made-up tool calls.

    labels: of requests that may be learned from. logs: the files they were read from, whose answers are read again.
    """
    rng = random.Random(seed)
    pack = packer.pack
    ids = [pack(make_view(label_request(label), view))[0] for label in labels]
    sources = Counter(label.source or "unnamed" for label in labels)
    licences = {label.source or "unnamed": label.licence for label in labels if label.licence}

    pieces = list(excerpt_answers(logs, {(label.source, label.id) for label in labels}, rng))
    chosen = rng.sample(pieces, min(excerpts, len(pieces)))
    ids += [pack(make_view(_prompt(piece), view))[0] for piece in chosen]

    # reading them takes half a minute, so only where calls are asked for
    functions = {name: list(read_functions(name)) for name in LIBRARIES} if tools else {}
    ids += [pack(make_view(request, view))[0] for request in make_tool_calls(functions, chosen, tools, rng)]
    listed = {FROM_ANSWERS: len(chosen), MADE_UP: tools}
    libraries = ", ".join(f"{name} {version(DISTRIBUTIONS.get(name, name))}: {LIBRARIES[name]}" for name in LIBRARIES)
    return Texts(
        ids,
        {**dict(sources.most_common()), **{name: count for name, count in listed.items() if count}},
        {**licences, MADE_UP: libraries} if tools else licences,
    )


def excerpt_answers(logs: Sequence[Path], known: set[tuple[str | None, str]], rng: random.Random) -> Iterator[str]:
    """A piece of every answer to a known request, by (source, id), long enough to have one."""
    for record in read_pairs(logs, Skipped()):
        if (record.source, record.id) not in known:
            continue
        for output in record.outputs.values():
            text = output.text or ""
            if len(text) >= LEAST_ANSWER_CHARS:
                chars = rng.choice(EXCERPT_CHARS)
                start = rng.randrange(max(1, len(text) - chars))
                yield text[start : start + chars]


def read_functions(library: str) -> Iterator[Function]:
    """The documented functions of an installed library with arguments to give, in the order of its files. Runs nothing."""
    spec = find_spec(library)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).rglob("*.py")):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and (found := _function(node)):
                    yield found


def _function(node: ast.FunctionDef) -> Function | None:
    about = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    names = [argument.arg for argument in node.args.args if argument.arg not in ("self", "cls")]
    if len(about) < 20 or not names:
        return None
    sentences = [s for s in _SENTENCE.split(" ".join((ast.get_docstring(node) or "").split())[:600]) if len(s) > 15]
    parameters = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names[: max(0, len(names) - len(node.args.defaults))],
    }
    function = {"name": node.name, "description": about[:200], "parameters": parameters}
    return Function({"type": "function", "function": function}, sentences or [about[:200]])


def make_tool_calls(
    functions: Mapping[str, Sequence[Function]], pieces: Sequence[str], count: int, rng: random.Random
) -> Iterator[Request]:
    """Agents' steps: a few functions of one library as tools, and what one of them is for, or returned, as last message.

    pieces: texts that a tool may have returned.
    """
    names = [name for name, found in functions.items() if found]
    for _ in range(count if names else 0):
        name = rng.choice(names)
        offered = rng.sample(functions[name], min(rng.randint(1, MOST_TOOLS), len(functions[name])))
        messages = [Message("user", rng.choice(rng.choice(offered).sentences))]
        if rng.random() < 0.3:
            messages.insert(0, Message("system", f"You work with the functions of {name}. Call one where it helps."))
        if pieces and rng.random() < 0.2:
            messages.append(Message("tool", rng.choice(pieces)))
        yield Request(
            messages=messages,
            tools=[function.tool for function in offered],
            step=rng.choice((None, "tool_call", "plan", "tool_result")),
        )


def _prompt(text: str) -> Request:
    return Request(messages=[Message("user", text)])

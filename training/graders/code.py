"""Find code in an output, see whether it parses, compare it, and grade it by given tests. Knows languages by name only.

Nothing is run here: ``confinement`` runs tests, and only when the caller allows it.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
import warnings
from collections.abc import Callable
from typing import Final, NamedTuple

MAX_CHARS: Final = 100_000  # longer code is not parsed
MIN_SHARE: Final = 0.3  # from this share of an answer on, its code is what the answer is about

_FENCE: Final = re.compile(r"```[ \t]*([\w+#.-]{0,20})[^\n]{0,80}\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_PYTHON: Final = frozenset({"python", "py", "python3"})
_LOOKS_LIKE_PYTHON: Final = re.compile(r"^(?:def|class|import|from|async def|@)\b", re.MULTILINE)


class Code(NamedTuple):
    """Code of one answer. language: the fence's word in lower case, ``""`` when it says none."""

    language: str
    source: str


def find_code(text: str, language: str | None = None) -> Code | None:
    """The code in ``text``: its fenced blocks of one language, joined, or the whole text where it is bare Python.

    language: wanted when there are several; else that of the longest block. None when there is no code.
    """
    text = text[:MAX_CHARS]
    blocks = [Code(_common_name(word), source) for word, source in _FENCE.findall(text) if source.strip()]
    if not blocks:
        whole = Code("python", text)
        return whole if _LOOKS_LIKE_PYTHON.search(text) and parses(whole) else None
    named = [block for block in blocks if block.language in {language, ""}]
    chosen = max(named or blocks, key=lambda block: len(block.source))
    alike = [block.source for block in blocks if block.language == chosen.language]
    joined = Code(chosen.language or language or "", "\n\n".join(alike))
    # an answer may first show what was wrong: where the blocks do not make one program, the longest is the answer
    return joined if len(alike) == 1 or parses(joined) else Code(joined.language, chosen.source)


def parses(code: Code) -> bool | None:
    """Whether ``code`` is well formed; None for a language that cannot be judged here."""
    parser = _PARSERS.get(code.language)
    if parser is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in an answer is no affair of the user's
            parser(code.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_about_code(text: str) -> bool:
    """Whether an answer's fenced code is most of what it says, so that it must be compared as code."""
    code = find_code(text) if "```" in text else None
    return code is not None and len(code.source) >= MIN_SHARE * len(text[:MAX_CHARS])


def same_code(found: Code, wanted: Code) -> bool:
    """Equal but for what the language ignores: comments, blank lines, quotes and layout."""
    left, right = _normal_form(found), _normal_form(wanted)
    return left == right


def _normal_form(code: Code) -> str:
    if code.language == "python" and parses(code):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(code.source))
    if code.language == "json" and parses(code):
        return json.dumps(json.loads(code.source), sort_keys=True)
    return "\n".join(line.rstrip() for line in code.source.splitlines() if line.strip())


def _common_name(word: str) -> str:
    word = word.lower()
    return "python" if word in _PYTHON else word


_PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "python": ast.parse,
    "json": json.loads,
    "toml": tomllib.loads,
}

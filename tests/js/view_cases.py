"""Cases for the package in ``js/``, each with what the Python runtime makes of it."""

from __future__ import annotations

import gzip
import json
import random
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from odd_cases import NUMBERS

from learned_router.answer import parse_output
from learned_router.answers.call_values import spell_number
from learned_router.answers.features import find_failures
from learned_router.encoder import Packer
from learned_router.errors import InputError
from learned_router.fingerprints import tool_fingerprint
from learned_router.limits import find_blocked
from learned_router.model_names import contradicts, known_names
from learned_router.policy import Tier
from learned_router.request import parse_request
from learned_router.view import AnswerViewSpec, ViewSpec, is_empty, make_answer_view, make_view

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample.jsonl.gz"
VIEW = ViewSpec(max_tokens=128)
ANSWER_VIEW = AnswerViewSpec()
TIERS = (
    Tier("small", "model-s", context_tokens=40, lacks=("vision",)),
    Tier("mid", "model-m", context_tokens=400, lacks=("json",)),
    Tier("frontier", "model-f"),
)


def sample_cases(count: int) -> Iterator[tuple[Any, Any]]:
    """Requests of the embedded sample with the small model's answers."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as lines:
        for line, _ in zip(lines, range(count), strict=False):
            row = json.loads(line)
            request = {key: row[key] for key in ("messages", "tools", "response_format", "step") if row.get(key)}
            for output in row["outputs"].values():
                yield request, {key: output[key] for key in ("text", "tool_calls") if key in output}


def expected_of(request: Any, output: Any, packer: Packer) -> dict[str, Any]:
    """A case with what the Python runtime makes of it; ``refused`` where it is no request or no output."""
    case: dict[str, Any] = {"request": request, "output": output}
    try:
        parsed, answer = parse_request(request), parse_output(output)
    except InputError:
        return case | {"refused": True}
    view, answer_view = make_view(parsed, VIEW), make_answer_view(parsed, answer, 0.5, ANSWER_VIEW)
    for name, made, with_spec in (("view", view, VIEW), ("answer_view", answer_view, ANSWER_VIEW)):
        ids, cut = packer.with_spec(with_spec).pack(made)
        case[name] = msgspec.to_builtins(made) | {"ids": ids, "packed_cut": cut}
    return case | {
        "empty": is_empty(parsed),
        "failures": [str(reason) for reason in find_failures(parsed, answer)],
        "blocked": [[index, str(reason)] for index, reason in find_blocked(parsed, TIERS).items()],
        "fingerprints": [tool_fingerprint(tool) for tool in parsed.tools],
        "unknown_model": answer.model is not None and contradicts(answer.model, known_names("model-s"), files=False),
    }


def number_cases() -> Iterator[dict[str, Any]]:
    """Floats with their spellings in Python."""
    rng = random.Random(1)
    values = [float(n) for n in NUMBERS]
    values += [rng.uniform(-1, 1) * 10.0 ** rng.randint(-9, 25) for _ in range(2000)]
    values += [rng.randint(-(10**7), 10**7) / 64 for _ in range(1000)]  # ties of rounding
    values += [rng.randint(-(10**6), 0) / 2**14 for _ in range(1000)]
    encode = msgspec.json.Encoder().encode
    for value in values:
        yield {
            "float": value,
            "repr": repr(value),
            "spelled": spell_number(value),
            "encoded": encode(value).decode(),
            "rounded": round(value, 4),
        }


def character_classes() -> Iterator[dict[str, Any]]:
    """Of each assigned character what ``str`` and ``re`` say of it, a block at a time."""
    word, space, digit = re.compile(r"\w"), re.compile(r"\s"), re.compile(r"\d")
    for start in range(0, 0x110000, 0x400):
        signs = [chr(c) for c in range(start, start + 0x400) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        if signs:
            yield {
                "signs": "".join(signs),
                "space": "".join(s for s in signs if space.match(s)),
                "word": "".join(s for s in signs if word.match(s)),
                "decimal": "".join(s for s in signs if digit.match(s)),
                "digit": "".join(s for s in signs if s.isdigit()),
                "upper": "".join(s for s in signs if s.isupper()),
                "letters": "".join(s for s in signs if s.isalpha()),
                "lower": [s.lower() for s in signs],
                "values": [int(s) if digit.match(s) else None for s in signs],
            }

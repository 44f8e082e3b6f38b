"""What is fuzzed: each target takes any bytes, and fails where a promise about any input does not hold.

Only an ``InputError`` that names the field, a counted skip or an ``ArtifactError`` may come of an input that cannot be used;
whatever else is raised is a finding. Knows nothing of a fuzzer: a test replays kept cases through the very same functions.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import hashlib
import json
import math
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from byte_values import ByteSource, as_json
from constant_artifact import constant_config, constant_files, write_artifact

from learned_router.answer import parse_output
from learned_router.answers.features import find_failures
from learned_router.artifact import CONFIG, Config, parse_config, read_artifact
from learned_router.errors import ArtifactError, InputError, MissingExtraError
from learned_router.limits import find_blocked, find_refusal
from learned_router.policy import Reason
from learned_router.request import Request, parse_request
from learned_router.request_features import FEATURES
from learned_router.router import Decision, Router
from learned_router.training.importers.rows import read_rows
from learned_router.training.records import Label, Record, Skipped, label_request, read_labels, read_records
from learned_router.view import (
    ANSWER_SEGMENTS,
    GATE_FEATURES,
    SEGMENTS,
    AnswerViewSpec,
    View,
    ViewSpec,
    make_answer_view,
    make_view,
)

SPEC, ANSWER_SPEC = ViewSpec(), AnswerViewSpec()
SEGMENT_CHARS: Final = 8 * SPEC.max_tokens + 100
FIELD: Final = re.compile(r"(?:request|messages|prompt|tools|step|response_format|output|logprobs)\b")
MESSAGE_CHARS: Final = 600
# one execution of so many also decides, loads the graphs or reads whole folders: that is what costs
SAMPLED: Final = 16


@cache
def scratch() -> Path:
    """A folder of its own for the files of this process, in memory where there is such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))


@cache
def constant_router() -> Router:
    files = constant_files()
    folder = write_artifact(scratch() / "constant", json.dumps(constant_config(files)).encode(), files)
    # strict: what fails inside is raised here, instead of a decision that says so
    return Router.load(folder, strict=True)


def is_sampled(data: bytes, one_in: int = SAMPLED) -> bool:
    """The same for the same bytes, so that a finding is found again."""
    return zlib.crc32(data) % one_in == 0


def check_message(error: Exception, wanted: re.Pattern[str]) -> None:
    text = str(error)
    assert wanted.match(text), f"names no field: {text[:200]!r}"
    assert len(text) <= MESSAGE_CHARS, f"a message of {len(text)} characters: {text[:200]!r}"


def check_view(view: View, features: tuple[str, ...], segments: tuple[str, ...]) -> None:
    assert len(view.features) == len(features)
    assert len(view.segments) == len(segments)
    # counts enter as logarithms: beyond this something was not
    within = set(map(type, view.features)) == {float} and min(view.features) >= -SEGMENT_CHARS
    if not (within and max(view.features) <= SEGMENT_CHARS and math.isfinite(sum(view.features))):
        wrong = [pair for pair in zip(features, view.features, strict=True) if not is_plain(pair[1])]
        raise AssertionError(f"not plain numbers: {wrong}")
    for name, segment in zip(segments, view.segments, strict=True):
        assert len(segment) <= SEGMENT_CHARS, f"{name} has {len(segment)} characters"
        segment.encode()
        assert "\0" not in segment


def is_plain(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and abs(value) <= SEGMENT_CHARS


def fuzz_request(data: bytes, *, whole: bool = False) -> None:
    """Any request, beside any tools and step. whole: decide as well, which otherwise one in so many does."""
    source = ByteSource(data)
    if source.one_in(4):
        request, options = json_of(source.rest()), {}
    else:
        request = source.request()
        options = (
            {} if source.one_in(2) else source.fields(tools=lambda: source.many(source.tool, 2), step=lambda: "plan")
        )
    whole = whole or is_sampled(data)
    try:
        parsed = parse_request(request, **options)
    except InputError as error:
        check_message(error, FIELD)
        return
    assert parsed.messages
    router = constant_router()
    view = make_view(parsed, SPEC)
    check_view(view, FEATURES, SEGMENTS)
    find_refusal(parsed, router.config.fingerprints.tools)
    find_blocked(parsed, router.config.tiers)
    if whole:
        assert make_view(parse_request(parsed), SPEC) == view
        decision = router.route(request, **options)
        assert isinstance(decision.reason, Reason)
        assert 0.0 <= decision.confidence <= 1.0
        assert decision.tier in router.tiers


def fuzz_output(data: bytes, *, whole: bool = False) -> None:
    """Any answer, to a request that has tools and a form of its own."""
    source = ByteSource(data)
    if source.one_in(4):
        request: Any = "3 * 4 is how many km? A) 12\nB) 7"
        output = json_of(source.rest())
    else:
        request = {
            "messages": [{"role": "user", "content": source.text()}],
            "tools": source.many(source.tool, 4),
            "response_format": source.response_format() if source.one_in(2) else None,
        }
        output = source.output()
    try:
        asked = parse_request(request)
        parsed = parse_output(output)
    except InputError as error:
        check_message(error, FIELD)
        return
    view = make_answer_view(asked, parsed, 0.0, ANSWER_SPEC)
    check_view(view, GATE_FEATURES, ANSWER_SEGMENTS)
    assert all(isinstance(reason, Reason) for reason in find_failures(asked, parsed))
    if whole or is_sampled(data):
        assert make_answer_view(asked, parse_output(parsed), 0.0, ANSWER_SPEC) == view
        acceptance = constant_router().accept(asked, parsed)
        assert isinstance(acceptance.accept, bool)
        assert 0.0 <= acceptance.confidence <= 1.0


def fuzz_records(data: bytes, *, whole: bool = False) -> None:
    """A file of any lines, plain, gzipped or cut off, as paired logs, as labels and as rows of any log."""
    source = ByteSource(data)
    kind = source.byte()
    lines = [source.rest()] if kind % 4 == 0 else [line_of(source) for _ in range(1 + source.byte() % 3)]
    content = b"\n".join(lines)
    if kind % 16 >= 12:
        content = gzip.compress(content, 1)
        content = content[: len(content) - source.byte() % 32] if kind % 32 >= 28 else content
    path = scratch() / "log.jsonl"
    path.write_bytes(content)
    whole = whole or is_sampled(data)
    filled = sum(1 for line in content.split(b"\n") if line.strip())
    place = re.compile(re.escape(str(path)))
    # which of the readers reads it, the bytes say: three times the same lines would cost three times as much
    try:
        if kind % 3 == 0:
            skipped = Skipped()
            read = [check_record(record, whole) for record in read_records([path], skipped, bare=kind % 2 == 0)]
            if content[:2] != b"\x1f\x8b":
                assert len(read) + skipped.total == filled, "a line is neither read nor counted as skipped"
        elif kind % 3 == 1:
            skipped = Skipped()
            read = [check_label(label, whole) for label in read_labels([path], skipped)]
            if content[:2] != b"\x1f\x8b":
                assert len(read) + skipped.total == filled, "a line is neither read nor counted as skipped"
        else:
            skipped = Skipped()
            # Parquet says itself which extra it needs, where that is not installed
            with contextlib.suppress(MissingExtraError):
                for row, where in read_rows(path, skipped):
                    assert isinstance(row, dict)
                    assert where.startswith("log.jsonl")
        for reason, places in skipped.places.items():
            assert re.fullmatch(r"[a-z_]+", reason)
            assert all(place.startswith("log.jsonl:") for place in places)
    except InputError as error:
        check_message(error, place)


def line_of(source: ByteSource) -> bytes:
    """One line of a log or of labels, mostly nearly right; sometimes broken off or of other bytes."""
    made = source.fields(
        id=lambda: source.pick(("1", "2", "3")),
        messages=lambda: source.many(source.message, 3),
        outputs=lambda: {source.key(): source.or_odd(source.answer_record) for _ in range(source.byte() % 3)},
        quality=lambda: {"small": source.pick((0, 1, 0.5, 2)), "frontier": 1},
        models=lambda: {"small": "s", "frontier": "f"},
        grader=lambda: "g",
        tools=lambda: source.many(source.tool, 2),
        step=lambda: "plan",
        response_format=source.response_format,
    )
    made["grader"], made["models"] = made.get("grader", "g"), made.get("models", {})
    for name in source.many(lambda: source.pick(Record.__struct_fields__ + Label.__struct_fields__), 2):
        made[name] = source.json_value(2)
    if source.one_in(16):
        return source.rest()
    line = as_json(made, ascii_only=source.one_in(2)).encode("utf-8", "surrogatepass")
    return line[: source.byte()] if source.one_in(16) else line.replace(b"\n", b" ")


def check_record(record: Record, whole: bool) -> None:
    check_written(record)
    for output in record.outputs.values():
        assert math.isfinite(float(output.input_tokens or 0) + (output.score or 0.0))
    if not whole:
        return
    request = Request(record.messages, record.tools or [], record.response_format, record.step)
    check_view(make_view(request, SPEC), FEATURES, SEGMENTS)
    for output in record.outputs.values():
        check_view(make_answer_view(request, output, 0.0, ANSWER_SPEC), GATE_FEATURES, ANSWER_SEGMENTS)


def check_label(label: Label, whole: bool) -> None:
    check_written(label)
    assert all(0.0 <= quality <= 1.0 for quality in label.quality.values())
    if whole:
        check_view(make_view(label_request(label), SPEC), FEATURES, SEGMENTS)


def check_written(item: Record | Label) -> None:
    """What is read can be written, and is then read without a second look."""
    written = msgspec.json.encode(item)
    assert msgspec.json.encode(msgspec.json.decode(written, type=type(item))) == written


def fuzz_artifact(data: bytes, *, whole: bool = False) -> None:
    """A sound artifact, changed: its config alone, or files of the folder, with hashes that say all is as it should be."""
    source = ByteSource(data)
    config: Any = msgspec.json.decode(sound_config())
    kind = source.byte()
    files = dict(constant_files_once())
    if kind % 4 == 3:
        for _ in range(1 + source.byte() % 2):
            name = source.pick(sorted(files))
            files[name] = changed_bytes(source, files[name])
            if not source.one_in(4):
                config["files"][name] = hashlib.sha256(files[name]).hexdigest()
    for _ in range(source.byte() % 4):
        change_node(source, config)
    raw = written(source, config)
    if source.one_in(8):
        raw = changed_bytes(source, raw)
    try:
        check_config(parse_config(raw, Path(CONFIG)))
        if whole or kind % 64 in (3, 22):
            folder = write_artifact(scratch() / "changed", raw, files)
            read_artifact(folder)
            decision = Router.load(folder).route("count the orders")
            assert isinstance(decision, Decision)
            assert math.isfinite(decision.confidence)
    except ArtifactError as error:
        check_message(error, ARTIFACT_FAULT)


# of the files, and of the runtime's own words for what a graph or a tokenizer is not
ARTIFACT_FAULT: Final = re.compile(r"config\.json|model\.onnx|gate\.onnx|tokenizer\.json|/")


@cache
def constant_files_once() -> dict[str, bytes]:
    return constant_files()


@cache
def sound_config() -> bytes:
    return msgspec.json.encode(constant_config(constant_files_once()))


def check_config(config: Config) -> None:
    assert len(config.tiers) >= 2
    assert config.default_mode in config.modes
    for mode in config.modes.values():
        assert math.isfinite(mode.threshold)


def written(source: ByteSource, config: Any) -> bytes:
    """The config as JSON: mostly by the quicker writer, which knows no NaN, lone surrogates or endless integers."""
    if not source.one_in(3):
        with contextlib.suppress(OverflowError, ValueError):
            return msgspec.json.encode(config)
    return as_json(config, ascii_only=source.one_in(2)).encode("utf-8", "surrogatepass")


def change_node(source: ByteSource, config: Any) -> None:
    """Replace, take away, double or rename one part of the config, found by a walk from its root."""
    parent, depth = config, 0
    while True:
        if not isinstance(parent, dict | list) or not parent:
            return
        keys: list[Any] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = source.pick(keys)
        inner = parent[key]
        if isinstance(inner, dict | list) and inner and not source.one_in(4) and depth < 8:
            parent, depth = inner, depth + 1
            continue
        break
    kind = source.byte() % 6
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.append(copy.deepcopy(inner))
    elif kind == 1:
        parent[source.key()] = inner
    elif kind == 2 and isinstance(inner, int | float):
        parent[key] = source.number()
    else:
        parent[key] = source.json_value(2)


def changed_bytes(source: ByteSource, content: bytes) -> bytes:
    """Cut off, with bytes of its own, or other bytes altogether."""
    kind = source.byte() % 4
    place = (source.byte() << 8 | source.byte()) % (len(content) + 1)
    if kind == 0:
        return content[:place]
    if kind == 3:
        return source.rest()
    inserted = bytes(source.byte() for _ in range(1 + source.byte() % 8))
    return content[:place] + inserted + content[place + (len(inserted) if kind == 1 else 0) :]


def json_of(raw: bytes) -> Any:
    """What JSON a text holds, or the text itself."""
    text = raw.decode("utf-8", "surrogateescape")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


Target = Callable[..., None]
TARGETS: Final[dict[str, Target]] = {
    "request": fuzz_request,
    "output": fuzz_output,
    "records": fuzz_records,
    "artifact": fuzz_artifact,
}


def seeds_of(name: str) -> Iterable[bytes]:
    """Inputs to begin with, beside the kept cases: bytes that make something of each kind, and JSON as callers send it."""
    for index in range(256):
        yield bytes((index * 7 + place * place * 31 + place) % 256 for place in range(8 + index))
    if name in ("request", "output"):
        for text in JSON_SEEDS[name]:
            yield b"\x03" + as_json(text).encode()
    elif name == "records":
        for text in JSON_SEEDS[name]:
            for kind in (0, 4, 8):
                yield bytes([kind]) + as_json(text).encode()


USER: Final = {"role": "user", "content": "count the orders"}
CALL: Final = {"type": "function", "function": {"name": "count", "arguments": '{"of": "orders"}'}}
OUTPUTS: Final = [
    {
        "content": "3 * 4 = 12, so the answer is A",
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "3", "logprob": -1}]},
    },
    {"choices": [{"message": {"content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}], "model": "m"},
    {"text": "{}", "tool_calls": [{"name": "count", "arguments": {"of": [1, 2]}}]},
]
JSON_SEEDS: Final[dict[str, list[Any]]] = {
    "request": [
        [USER],
        {
            "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "error"}],
            "tools": [CALL],
        },
        {
            "prompt": "x",
            "step": "plan",
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        },
    ],
    "output": OUTPUTS,
    "records": [
        {"id": "1", "messages": [USER], "outputs": {"a": {"text": "3", "score": 1.0}, "b": OUTPUTS[2]}, "step": "plan"},
        {
            "id": "1",
            "messages": [USER],
            "quality": {"a": 0.5, "b": 1},
            "models": {"a": "x"},
            "grader": "g",
            "split": "train",
        },
    ],
}

"""Read and write paired logs and labels, streaming, one JSON object a line. Knows files and records, not grading.

The record shapes are those of the design, section 4. A line that cannot be used is skipped, counted under a named
reason, and its first occurrences are kept with file and line, so that nothing disappears silently.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar

import msgspec

from learned_router import answer
from learned_router.answer import ToolCall as ToolCall
from learned_router.errors import InputError
from learned_router.request import STEPS, Message, Request

GZIP_MAGIC: Final = b"\x1f\x8b"
# small, because a damaged block is lost whole
BLOCK_BYTES: Final = 1 << 14
# a line beyond this is no record; a gzipped file of a few megabytes can hold one of gigabytes
MAX_LINE_BYTES: Final = 1 << 26


# JSON has integers of any length; a count that no float holds would stop whatever adds up or prices it
Tokens = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class Output(answer.Output, omit_defaults=True):
    """One model's answer as a log holds it, with what is known of the call."""

    score: float | None = None  # gold, in [0, 1]; read only by ``--labels gold`` and by checks of the graders
    feedback: float | None = None  # what people said of it, in [0, 1]: thumbs, ratings, scores of the log
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    error: str | None = None


class Record(msgspec.Struct, omit_defaults=True):
    """One line of a paired log: a request and what each model answered."""

    id: str
    messages: list[Message]
    outputs: dict[str, Output] = msgspec.field(default_factory=dict)
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    session: str | None = None
    timestamp: str | float | None = None
    step: str | None = None
    task: str | None = None
    category: str | None = None
    source: str | None = None
    licence: str | None = None
    reference: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Audit(msgspec.Struct, frozen=True):
    """A label drawn at random for a person to grade again, and what was there before.

    graded: quality by tier, of the grader; certainty: of its grade. chance: of being drawn, in (0, 1].
    """

    graded: dict[str, float]
    certainty: float
    chance: float


class Label(msgspec.Struct, omit_defaults=True):
    """One graded request.

    quality: score in [0, 1] by tier name, cheapest tier first. outputs: those of every tier but the top one.
    certainty: how far the grader trusts its grade, in [0, 1]. weight: what the label counts in training, its certainty
    divided by how many labels there are of the same request.
    step_inferred: the log did not say the step; it was inferred from the request, which callers of the router do not do.
    group: requests that share a session or a question's stem, or repeat each other; a group never stands on two sides
    of the split.
    audit: where a person graded it again because it was drawn at random; ``quality`` is then the person's.
    """

    id: str
    messages: list[Message]
    quality: dict[str, float]
    models: dict[str, str]
    grader: str
    certainty: float = 1.0
    weight: float = 1.0
    split: str = ""
    group: str = ""
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    step: str | None = None
    step_inferred: bool = False
    session: str | None = None
    task: str | None = None
    category: str | None = None
    source: str | None = None
    licence: str | None = None
    outputs: dict[str, Output] = msgspec.field(default_factory=dict)
    audit: Audit | None = None


def label_request(label: Label) -> Request:
    """The request of a label, as the runtime would get it: with its step only where its caller gave one."""
    return Request(
        messages=label.messages,
        tools=label.tools or [],
        response_format=label.response_format,
        step=None if label.step_inferred else label.step,
    )


def unit_of(label: Label) -> str:
    """What is drawn as one: the label's group, else its session, else itself."""
    return label.group or label.session or label.id


class Skipped:
    """What was left out while reading, by reason, with the first places of each."""

    PLACES_KEPT = 3

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str) -> None:
        self.counts[reason] += 1
        kept = self.places.setdefault(reason, [])
        if len(kept) < self.PLACES_KEPT:
            kept.append(place)

    def merge(self, other: Skipped) -> None:
        """Add what ``other`` has counted."""
        self.counts.update(other.counts)
        for reason, places in other.places.items():
            kept = self.places.setdefault(reason, [])
            kept += places[: self.PLACES_KEPT - len(kept)]

    @property
    def total(self) -> int:
        return self.counts.total()

    def to_dict(self) -> dict[str, Any]:
        return {reason: {"count": n, "first": self.places[reason]} for reason, n in self.counts.most_common()}


T = TypeVar("T", Record, Label)


def read_records(
    paths: Iterable[Path], skipped: Skipped, seen: set[int] | None = None, *, bare: bool = False
) -> Iterator[Record]:
    """Yield the records of paired logs (``.jsonl`` or ``.jsonl.gz``, told apart by content), skipping bad lines.

    seen: answers (``answer_key``) that stand in logs read before; more are added. Given it, the same id may come again
    with other models' outputs, to be paired; without it an id stands once. bare: also requests that nobody has answered.
    Raises InputError when a file is missing or is no text or gzip at all.
    """
    for record, place in _read(paths, Record, skipped, set() if seen is None else seen, seen is None):
        problem = record_problem(record, bare)
        if problem:
            skipped.add(problem[0], f"{place}: {problem[1]}")
        else:
            yield record


def read_labels(paths: Iterable[Path], skipped: Skipped) -> Iterator[Label]:
    """Yield labels, skipping bad lines by reason. Raises InputError as ``read_records`` does.

    The same id may come again with the quality of other tiers; with that of the same tiers it is skipped.
    """
    for label, place in _read(paths, Label, skipped, set(), True):
        problem = _label_problem(label)
        if problem:
            skipped.add(problem[0], f"{place}: {problem[1]}")
        else:
            yield label


def record_problem(record: Record, bare: bool = False) -> tuple[str, str] | None:
    """Why a record cannot be used, as a reason and a sentence; None when it can. bare: also without any output."""
    if not record.messages:
        return "no_messages", "messages is empty; it must hold at least one message"
    if not record.outputs and not bare:
        return "no_outputs", "outputs is empty; it must hold at least one model's answer"
    if record.step is not None and record.step not in STEPS:
        return "unknown_step", f"step is {record.step!r}; it must be one of {', '.join(STEPS)}, or absent"
    return None


def _label_problem(label: Label) -> tuple[str, str] | None:
    if not label.messages:
        return "no_messages", "messages is empty; it must hold at least one message"
    if len(label.quality) < 2:
        return "too_few_tiers", f"quality holds {len(label.quality)} tier; it must hold at least two"
    for tier, value in label.quality.items():
        if not 0.0 <= value <= 1.0:
            return "quality_out_of_range", (
                f"quality.{tier} is {value}; it must lie in [0, 1]. Fix the line, or re-run 'learned-router label'"
            )
    if not 0.0 <= label.certainty <= 1.0:
        return "certainty_out_of_range", f"certainty is {label.certainty}; it must lie in [0, 1]"
    if not 0.0 <= label.weight < float("inf"):
        return "weight_out_of_range", f"weight is {label.weight}; it must be finite and not negative"
    if label.step is not None and label.step not in STEPS:
        return "unknown_step", f"step is {label.step!r}; it must be one of {', '.join(STEPS)}, or absent"
    if label.audit is not None and not _is_sound(label.audit, label.quality):
        return "audit_out_of_range", (
            f"audit is {label.audit}; its grades must be of the tiers of 'quality' and, as its certainty, lie in [0, 1], "
            "its chance in (0, 1]"
        )
    return None


def _is_sound(audit: Audit, quality: Mapping[str, float]) -> bool:
    return (
        audit.graded.keys() == quality.keys()
        and all(0.0 <= value <= 1.0 for value in audit.graded.values())
        and 0.0 <= audit.certainty <= 1.0
        and 0.0 < audit.chance <= 1.0
    )


def answer_key(record: Record) -> int:
    """What is the same for two records that hold the same models' answers under one id; 8 bytes instead of the id."""
    return hash((record.id, *record.outputs))


def _label_key(label: Label) -> int:
    """What is the same for two labels of one request that know the same tiers."""
    return hash((label.id, *label.quality))


def _read(
    paths: Iterable[Path], kind: type[T], skipped: Skipped, seen: set[int], id_once: bool
) -> Iterator[tuple[T, str]]:
    decoder = msgspec.json.Decoder(kind)
    for path in paths:
        for number, line in enumerate(read_lines(path, skipped), start=1):
            if not line.strip():
                continue
            place = f"{path.name}:{number}"
            try:
                item = decoder.decode(line)
            except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                recovered = _recover(line, kind)
                if isinstance(recovered, tuple):
                    skipped.add(recovered[0], f"{place}: {recovered[1]}")
                    continue
                item = recovered
            key = _label_key(item) if isinstance(item, Label) else hash(item.id) if id_once else answer_key(item)
            if key in seen:
                skipped.add("duplicate_id", f"{place}: id {item.id!r} stands in an earlier line")
                continue
            seen.add(key)
            yield item, place


def read_lines(path: Path, skipped: Skipped) -> Iterator[bytes]:
    """The lines of a file. Where a gzipped file breaks off, the lines before the break are kept, the break counted.

    A line beyond ``MAX_LINE_BYTES`` is counted in ``skipped``, and an empty one stands for it.
    """
    number = 0
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
            file.seek(0)
            for line in _unzipped_lines(file) if zipped else _plain_lines(file):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    detail = f"a line of more than {MAX_LINE_BYTES >> 20} MiB; each line must be one JSON object"
                    skipped.add("line_too_long", f"{path.name}:{number}: {detail}")
                    line = b""
                yield line
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of a paired log (.jsonl or .jsonl.gz)") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder; give the files in it") from None
    except (EOFError, zlib.error) as error:
        if not number:
            raise InputError(f"{path}: cannot be unzipped ({error}); it must be JSON lines, plain or gzipped") from None
        skipped.add("file_breaks_off", f"{path.name}:{number + 1}: the gzipped file breaks off here ({error})")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); it must be JSON lines, plain or gzipped") from None


def _plain_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a file; of one that is too long only so much that this can be told."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        yield line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES + 1)


def _unzipped_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a gzipped file of one member or more. Raises EOFError or zlib.error where it breaks off.

    ``gzip.open`` would lose what it had unzipped, but not yet handed out, before the break. Of a line that is too long only
    so much is kept that this can be told.
    """
    rest: list[bytes] = []  # the blocks of a line that has not ended yet
    held = 0
    for block in unzipped_blocks(file):
        first, *others = block.split(b"\n")
        if held <= MAX_LINE_BYTES:
            rest.append(first)
            held += len(first)
        for line in others:
            yield b"".join(rest)
            rest, held = [line], len(line)
    yield b"".join(rest)


def unzipped_blocks(file: BinaryIO) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    while packed := file.read(BLOCK_BYTES):
        while packed:
            yield stream.decompress(packed, BLOCK_BYTES)
            packed = stream.unconsumed_tail
            if stream.eof:
                packed = stream.unused_data.lstrip(b"\0")  # members may be padded with zeros
                if packed:
                    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    if not stream.eof:
        yield stream.flush()
        raise EOFError("no end marker")


def _recover(line: bytes, kind: type[T]) -> T | tuple[str, str]:
    """Second, slower look at a line that the strict decoder refused: OpenAI-shaped tool calls, lone surrogates, NULs.

    Returns the record, or the reason and a sentence.
    """
    try:
        data = json.loads(
            line.decode("utf-8", "replace").removeprefix("\ufeff"),
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError as error:
        return "too_deep", f"nested too deeply ({error})"
    except ValueError as json_error:  # beside JSONDecodeError: an integer of more digits than Python converts
        return "not_json", f"not JSON ({getattr(json_error, 'msg', json_error)}); each line must be one JSON object"
    if not isinstance(data, dict):
        return "not_an_object", f"a JSON {type(data).__name__}; each line must be one JSON object"
    return convert_object(data, kind)


def _finite(number: str) -> float | None:
    """Null for NaN and infinity, which Python writes into JSON: what we would write of them could not be read again."""
    value = float(number)
    return value if math.isfinite(value) else None


def convert_object(data: dict[str, Any], kind: type[T]) -> T | tuple[str, str]:
    """The record or label that an object holds, or the reason why it is none and a sentence. Changes ``data``."""
    outputs = data.get("outputs")
    if isinstance(outputs, dict):
        for output in outputs.values():
            if isinstance(output, dict) and isinstance(output.get("tool_calls"), list):
                output["tool_calls"] = [_flatten_call(call) for call in output["tool_calls"]]
    try:
        return msgspec.convert(without_surrogates(data), kind)
    except msgspec.ValidationError as validation_error:
        message = str(validation_error)
        reason = "missing_field" if "missing required field" in message else "wrong_type"
        return reason, f"{message}; see the record's shape in the README"
    except RecursionError as error:
        return "too_deep", f"nested too deeply ({error})"


def _flatten_call(call: Any) -> Any:
    """OpenAI's ``{"function": {"name", "arguments": "<json>"}}`` as our flat call; anything else unchanged."""
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    function = call["function"]
    return {"name": function.get("name"), "arguments": answer.read_arguments(function.get("arguments"))}


def without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    return value


def write_jsonl(path: Path, items: Iterable[msgspec.Struct | msgspec.Raw]) -> int:
    """Write one JSON object a line, gzipped when named ``.gz``; written aside, then renamed. Returns the count."""
    encoder = msgspec.json.Encoder()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    count = 0
    # mtime 0: the same records give the same bytes, so a data set's hash means its content
    with aside.open("wb") as raw:
        file = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.name.endswith(".gz") else raw
        for item in items:
            file.write(encoder.encode(item) + b"\n")
            count += 1
        if file is not raw:
            file.close()
    aside.replace(path)
    return count

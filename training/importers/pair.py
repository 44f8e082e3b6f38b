"""Bring together what different models answered to the same request. Knows records; knows no format and no file."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from learned_router.training.importers.spill import open_spill
from learned_router.training.records import Record, Skipped

TABLE: Final = "CREATE TABLE pairs (place INTEGER PRIMARY KEY, request BLOB UNIQUE, record BLOB)"
IDS_KEPT: Final = 20  # a greeting may be asked a hundred thousand times
_BY_MODEL: Final = ("asked_as", "answered_as")  # metadata that an importer keeps by model
_FILLED: Final = ("session", "timestamp", "step", "task", "category", "source", "licence", "reference")


def pair(records: Iterable[Record], skipped: Skipped) -> Iterator[Record]:
    """One record a request, with the outputs of all models that answered it, in the order of first appearance.

    The same request: equal messages, tools and response format, and references that do not contradict each other. The
    first record gives the id and, where it has them, the other fields; the ids of the others stand in ``metadata.ids``.
    Of one model's answers the first that is no error is kept; the others are counted as ``second_answer`` and, by model,
    in ``metadata.second_answers``. Records wait in a temporary file: memory does not grow with their number.
    Raises InputError when there is no room on disk for that file.
    """
    encode, decode = msgspec.json.Encoder(), msgspec.json.Decoder(Record)  # MessagePack has no larger integers
    with open_spill(TABLE) as spill:
        for record in records:
            key = _request_key(record)
            if _is_new(spill, key, record, encode):
                continue
            (stored,) = spill.execute("SELECT record FROM pairs WHERE request = ?", (key,)).fetchone()
            first = decode.decode(stored)
            if first.reference and record.reference and first.reference != record.reference:
                key = hashlib.blake2b(key + _bytes_of(record.reference), digest_size=16).digest()
                if _is_new(spill, key, record, encode):
                    continue
                (stored,) = spill.execute("SELECT record FROM pairs WHERE request = ?", (key,)).fetchone()
                first = decode.decode(stored)
            _merge(first, record, skipped)
            spill.execute("UPDATE pairs SET record = ? WHERE request = ?", (encode.encode(first), key))
        ids: set[int] = set()
        for (stored,) in spill.execute("SELECT record FROM pairs ORDER BY place"):
            record = decode.decode(stored)
            key_of_id = hash(record.id)
            if key_of_id in ids:
                skipped.add("duplicate_id", f"record {record.id}: another request has the same id")
                continue
            ids.add(key_of_id)
            yield record


def _is_new(spill: sqlite3.Connection, key: bytes, record: Record, encode: msgspec.json.Encoder) -> bool:
    values = key, encode.encode(record)
    return spill.execute("INSERT OR IGNORE INTO pairs (request, record) VALUES (?, ?)", values).rowcount == 1


def _request_key(record: Record) -> bytes:
    asked = _bytes_of([record.messages, record.tools or [], record.response_format])
    return hashlib.blake2b(asked, digest_size=16).digest()


def _bytes_of(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _merge(first: Record, other: Record, skipped: Skipped) -> None:
    notes: dict[str, Any] = dict(first.metadata or {})
    for model, output in other.outputs.items():
        held = first.outputs.get(model)
        if held is None or (held.error and not output.error):
            first.outputs[model] = output
        if held is not None:
            counts = dict(notes.get("second_answers") or {})
            counts[model] = counts.get(model, 0) + 1
            notes["second_answers"] = counts
            skipped.add("second_answer", f"record {other.id}: {model} had answered the same request in {first.id}")
    for name in _BY_MODEL:
        known = [
            item.metadata[name]
            for item in (other, first)
            if item.metadata and isinstance(item.metadata.get(name), dict)
        ]
        if known:
            notes[name] = {model: value for item in known for model, value in item.items()}
    for name in _FILLED:
        if getattr(first, name) is None:
            setattr(first, name, getattr(other, name))
    if other.id != first.id and len(notes.get("ids") or []) < IDS_KEPT:
        notes["ids"] = [*(notes.get("ids") or []), other.id]
    first.metadata = notes or None

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
IDS_KEPT: Final = 20
_BY_MODEL: Final = ("asked_as", "answered_as")  # metadata that an importer keeps by model
_FILLED: Final = ("session", "timestamp", "step", "task", "category", "source", "licence", "reference")


def pair(records: Iterable[Record], skipped: Skipped) -> Iterator[Record]:
    """One record a request, with the outputs of all models that answered it, in the order of first appearance.

    Only records with one model's output are brought together: those with several are paired already, and those with none
    wait for ``collect``. The same request: equal messages, tools and response format, and references that do not
    contradict each other. The first record gives the id and, where it has them, the other fields; the ids of the others
    stand in ``metadata.ids``. A model's second answer to a request stays a record of its own, since it is a call of its
    own; but it takes the place of a first one that was an error, which is counted as ``second_answer``. Records wait in a
    temporary file from the first that may be joined on: memory does not grow with their number.
    Raises InputError when there is no room on disk for that file.
    """
    encode, decode = msgspec.json.Encoder(), msgspec.json.Decoder(Record)  # MessagePack has no larger integers
    ids = _Ids(skipped)
    alone = 0  # records that wait without being joined to any other
    with open_spill(TABLE) as spill:
        for record in records:
            if len(record.outputs) != 1:
                if not _anything(spill):
                    if ids.are_new_with(record):
                        yield record
                    continue
                alone += 1
                _is_new(spill, b"%d" % alone, record, encode)
                continue
            key = _request_key(record)
            if _is_new(spill, key, record, encode):
                continue
            first = _stored(spill, key, decode)
            if first.reference and record.reference and first.reference != record.reference:
                key = hashlib.blake2b(key + _bytes_of(record.reference), digest_size=16).digest()
                if _is_new(spill, key, record, encode):
                    continue
                first = _stored(spill, key, decode)
            if any(model in first.outputs and not first.outputs[model].error for model in record.outputs):
                alone += 1
                _is_new(spill, b"%d" % alone, record, encode)
                continue
            _merge(first, record, skipped)
            spill.execute("UPDATE pairs SET record = ? WHERE request = ?", (encode.encode(first), key))
        for (stored,) in spill.execute("SELECT record FROM pairs ORDER BY place"):
            record = decode.decode(stored)
            if ids.are_new_with(record):
                yield record


def _anything(spill: sqlite3.Connection) -> bool:
    return spill.execute("SELECT 1 FROM pairs LIMIT 1").fetchone() is not None


def _stored(spill: sqlite3.Connection, key: bytes, decode: msgspec.json.Decoder[Record]) -> Record:
    (stored,) = spill.execute("SELECT record FROM pairs WHERE request = ?", (key,)).fetchone()
    return decode.decode(stored)


class _Ids:
    """The ids handed out so far; one that comes again is counted in ``skipped``."""

    def __init__(self, skipped: Skipped) -> None:
        self._seen: set[int] = set()
        self._skipped = skipped

    def are_new_with(self, record: Record) -> bool:
        key = hash(record.id)
        if key in self._seen:
            self._skipped.add("duplicate_id", f"record {record.id}: another request has the same id")
            return False
        self._seen.add(key)
        return True


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
        first.outputs[model] = output
        if held is not None:
            skipped.add("second_answer", f"record {other.id}: {model} had failed on the same request in {first.id}")
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

"""Import OpenAI's Batch API: the file of requests and the file of responses, joined by ``custom_id``.

Knows batch files; a joined call is read as any other logged call of ``openai``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from learned_router.training.importers.fields import object_of, text
from learned_router.training.importers.importer import Item, Row, Unusable
from learned_router.training.importers.openai import read_call
from learned_router.training.importers.spill import open_spill
from learned_router.training.records import Skipped


class Batch:
    """A line of either file. One line holds half a call, so that ``joined`` makes the rows that ``read`` reads."""

    name = "openai batch"
    feedback_apart = False

    def recognises(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("custom_id"), str) and ("body" in row or "response" in row or "error" in row)

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        if "request" in row:
            yield read_call(row)
        elif "response" in row or "error" in row:
            yield Unusable("no_request", "a batch's response; give the file of its requests beside it")
        else:
            yield Unusable(
                "no_response", "a batch's request without a response; give the batch's output file beside it"
            )


def joined(
    paths: Sequence[Path], skipped: Skipped, read_rows: Callable[[Path, Skipped], Iterator[Row]]
) -> Iterator[Row]:
    """Rows of ``request`` and ``response`` with the place of the response, from all batch files of a log.

    Requests are kept in a temporary file. Where several batches use the same custom ids, the model tells which request
    a response belongs to; requests that no response came for are counted.
    """
    with open_spill("CREATE TABLE asked (custom_id TEXT, model TEXT, body BLOB, place TEXT, used INTEGER)") as spill:
        for path in paths:
            for row, place in read_rows(path, skipped):
                if "body" in row and isinstance(row.get("custom_id"), str):
                    body = object_of(row["body"])
                    values = row["custom_id"], text(body.get("model")), msgspec.json.encode(body), place
                    spill.execute("INSERT INTO asked VALUES (?, ?, ?, ?, 0)", values)
        spill.execute("CREATE INDEX by_id ON asked (custom_id)")
        for path in paths:
            for row, place in read_rows(path, Skipped()):  # what is wrong with it was counted the first time
                if "body" in row and isinstance(row.get("custom_id"), str):
                    continue
                asked = _request_of(spill, row)
                if isinstance(asked, Unusable):
                    skipped.add(asked.reason, f"{place}: {asked.detail}")
                else:
                    answer = {key: row[key] for key in ("id", "response", "error") if row.get(key) is not None}
                    yield {"request": asked, **answer}, place
        for custom_id, place in spill.execute("SELECT custom_id, place FROM asked WHERE NOT used ORDER BY rowid"):
            skipped.add("no_response", f"{place}: no response to {custom_id!r}; give the batch's output file beside it")


def _request_of(spill: sqlite3.Connection, row: dict[str, Any]) -> dict[str, Any] | Unusable:
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str):
        return Unusable("no_request", "no custom_id; a batch's line must hold one")
    query = "SELECT rowid, model, body FROM asked WHERE custom_id = ? ORDER BY rowid"
    found = spill.execute(query, (custom_id,)).fetchall()
    answered = text(object_of(object_of(row.get("response")).get("body")).get("model"))
    if len(found) > 1 and answered:
        # gpt-4o is answered by gpt-4o-2024-08-06, and so is not gpt-4o-mini
        names = [model for _, model, _ in found if model and answered.startswith(model)]
        longest = max(names, key=len, default=None)
        found = [item for item in found if item[1] == longest] or found
    if not found:
        return Unusable("no_request", f"no request {custom_id!r}; give the file of the batch's requests beside it")
    if len({body for _, _, body in found}) > 1:
        detail = f"{len(found)} requests are called {custom_id!r}; import each batch by itself"
        return Unusable("ambiguous_custom_id", detail)
    spill.executemany("UPDATE asked SET used = 1 WHERE rowid = ?", [(rowid,) for rowid, _, _ in found])
    return object_of(msgspec.json.decode(found[0][2]))

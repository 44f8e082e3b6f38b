"""Import the project's own paired log. Knows that its shape is ``records``'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from learned_router.training.importers.importer import Item, Unusable
from learned_router.training.records import Record, convert_object, record_problem

# what marks a row of another format
_OTHERS = frozenset(
    {"response", "choices", "completion", "call_type", "request", "model", "prompt", "run_type", "inputs"}
)


class Paired:
    """A record a row, as the README describes it."""

    name = "paired log"
    feedback_apart = False

    def recognises(self, row: dict[str, Any]) -> bool:
        if "messages" in row and "outputs" in row:
            return "run_type" not in row
        return ("outputs" in row or ("messages" in row and "id" in row)) and not _OTHERS & row.keys()

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        record = convert_object(row, Record)
        if isinstance(record, tuple):
            yield Unusable(*record)
        elif problem := record_problem(record):
            yield Unusable(*problem)
        else:
            yield record

"""What importers of logs with one call a row share: the call turned into a record, under the name of who answered.

Knows what ``chat`` read of the bodies, and records; knows no format and no file.
"""

from __future__ import annotations

from typing import Any

from learned_router.training.importers.chat import Asked
from learned_router.training.importers.fields import content_id, count
from learned_router.training.importers.importer import Unusable
from learned_router.training.records import Output, Record


def make_record(
    row: dict[str, Any],
    asked: Asked,
    model: str | None,
    output: Output,
    *,
    id: str | None,
    session: str | None,
    timestamp: str | float | None,
    step: str | None,
    notes: dict[str, Any],
    task: str | None = None,
) -> Record | Unusable:
    """The record of a row; unusable when nothing names the model.

    id: where there is none, the row's content gives one. notes: what is worth knowing beside it, as metadata.
    """
    if model is None:
        detail = "no name of the model that answered; the row, its request or its response must hold 'model'"
        return Unusable("no_model", detail)
    return Record(
        id=id or content_id(row),
        messages=asked.messages,
        outputs={model: output},
        tools=asked.tools,
        response_format=asked.response_format,
        session=session,
        timestamp=timestamp,
        step=step,
        task=task,
        metadata=notes or None,
    )


def count_tokens(row: dict[str, Any], output: Output) -> None:
    """Put the row's own counts onto an output whose response did not count."""
    if output.input_tokens is None:
        output.input_tokens = count(row.get("prompt_tokens"))
    if output.output_tokens is None:
        output.output_tokens = count(row.get("completion_tokens"))

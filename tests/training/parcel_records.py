"""What the trace fixtures hold, whatever format they are in: the calls that ``fixtures/make_*`` made, and how to read them.

Knows the conversation with ``fixtures/parcel_server.py``; knows no format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from learned_router.request import Message
from learned_router.training.importers.importer import Feedback, Importer, Unusable
from learned_router.training.records import Record, ToolCall

FIXTURES = Path(__file__).parent / "fixtures"
CALL = {"type": "function", "function": {"name": "find_parcel", "arguments": '{"number": "PX-4471"}'}}
QUESTION = [
    Message(role="system", content="You answer questions about parcels."),
    Message(role="user", content="Where is parcel PX-4471?"),
]
WITH_RESULT = [
    *QUESTION,
    Message(role="assistant", tool_calls=[{"id": "call_1", **CALL}]),
    Message(role="tool", content='{"city": "Leeds", "due": "Friday"}', tool_call_id="call_1"),
]
CLASSIFY = [Message(role="user", content="One word, refund or delivery: my parcel is late.")]
CALLED = [ToolCall(name="find_parcel", arguments={"number": "PX-4471"})]
FOUND = "Your parcel is in Leeds and arrives on Friday."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_parcel",
            "description": "Where a parcel is.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "string"}},
                "required": ["number"],
            },
        },
    }
]
ERROR = "Error code: 400 - the model is overloaded"


def rows_of(*parts: str) -> list[dict[str, Any]]:
    path = FIXTURES.joinpath(*parts)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_rows(importer: Importer, rows: list[dict[str, Any]]) -> tuple[list[Record], list[Feedback], list[Unusable]]:
    """Everything that ``importer`` makes of rows, which it must recognise, sorted by kind; records by time."""
    items = []
    for row in rows:
        assert importer.recognises(row)
        items += list(importer.read(row))
    records = [item for item in items if isinstance(item, Record)]
    records.sort(key=lambda record: float(record.timestamp or 0))
    feedback = [item for item in items if isinstance(item, Feedback)]
    return records, feedback, [item for item in items if isinstance(item, Unusable)]


def what_was_said(records: list[Record]) -> list[tuple[Any, ...]]:
    """Per record: its messages, and its model with text, calls, tokens and error of the answer."""
    return [
        (
            record.messages,
            model,
            output.text,
            output.tool_calls,
            output.input_tokens,
            output.output_tokens,
            output.error,
        )
        for record in records
        for model, output in record.outputs.items()
    ]


EXPECTED: list[tuple[Any, ...]] = [
    (QUESTION, "large-model", None, CALLED, 41, 9, None),
    (WITH_RESULT, "large-model", FOUND, [], 41, 9, None),
    (CLASSIFY, "small-model", "delivery", [], 41, 9, None),
    (CLASSIFY, "overloaded-model", None, None, None, None, ERROR),
]

# Words that the importers look at, so that random rows get past the first question.
_NAMES = """role content type text messages parts tool_calls function name arguments id input output system user assistant
tool human ai lc kwargs data message choices generations model tools inputs outputs extra invocation_params llm GENERATION
tool_call tool-result tool_use image reasoning value key stringValue arrayValue values response_format"""
_WORDS = st.sampled_from(_NAMES.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | _WORDS
    | st.just('[{"role": "user"}]')
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=15,
)


def rows_with(*names: str, **fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Rows with any of the fields ``names``, each any JSON, and with the fields ``fixed`` most of the time."""
    fields = st.dictionaries(st.sampled_from(names) | st.text(max_size=3), ANY_JSON, max_size=6)
    return st.builds(lambda found, keep: {**fixed, **found} if keep else found, fields, st.booleans())


def holds_items_only(importer: Importer, row: dict[str, Any]) -> None:
    """The law of every importer: any row gives records that can be written, feedback in [0, 1], or named reasons."""
    assert importer.recognises(row) in (True, False)
    for item in importer.read(row):
        assert isinstance(item, Record | Feedback | Unusable)
        if isinstance(item, Record):
            again = msgspec.json.decode(msgspec.json.encode(item), type=Record)
            assert again.id
            assert again.messages
            assert len(again.outputs) == 1
        elif isinstance(item, Feedback):
            assert 0 <= item.value <= 1
            assert item.target
        else:
            assert item.reason.isidentifier()
            assert item.detail

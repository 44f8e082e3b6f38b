"""What the importers of traces have in common: which rows are whose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parcel_records import ANY_JSON, FIXTURES, holds_items_only, rows_of

from learned_router.training.importers.importer import Importer, Unusable
from learned_router.training.importers.langfuse import Langfuse
from learned_router.training.importers.langsmith import Langsmith
from learned_router.training.importers.otel import Otel
from learned_router.training.records import Record

IMPORTERS: list[Importer] = [Otel(), Langfuse(), Langsmith()]
FILES = sorted(path.relative_to(FIXTURES).parts for path in FIXTURES.glob("*/*.jsonl") if path.parent.name != "paired")
OURS = [parts for parts in FILES if parts[0] in ("otel", "vercel", "langfuse", "langsmith")]


@pytest.mark.parametrize("parts", OURS, ids="/".join)
def test_each_row_is_recognised_by_one_importer(parts: tuple[str, ...]) -> None:
    for row in rows_of(*parts):
        assert [importer.recognises(row) for importer in IMPORTERS].count(True) == 1


@given(st.dictionaries(st.text(max_size=8), ANY_JSON, max_size=6))
@settings(max_examples=100, deadline=5000)
def test_no_row_is_recognised_by_two(row: dict[str, Any]) -> None:
    assert [importer.recognises(row) for importer in IMPORTERS].count(True) <= 1


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda importer: type(importer).__name__)
def test_a_row_of_our_own_log_is_not_ours_to_read(importer: Importer) -> None:
    row = {"id": "a", "messages": [{"role": "user", "content": "hi"}], "outputs": {"m": {"text": "x"}}, "session": "s"}
    assert not importer.recognises(row)


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda importer: type(importer).__name__)
@pytest.mark.parametrize(
    "row", [{}, {"data": 3}, {"type": ["GENERATION"]}, {"run_type": {}}, {"resourceSpans": [3]}], ids=str
)
def test_a_row_of_no_known_shape_gives_no_record(importer: Importer, row: dict[str, Any]) -> None:
    assert not any(isinstance(item, Record) for item in importer.read(row))


@pytest.mark.parametrize("importer", [Langfuse(), Langsmith()], ids=lambda importer: type(importer).__name__)
def test_a_row_of_another_kind_in_the_file_is_counted(importer: Importer) -> None:
    [item] = importer.read({"id": "x", "kind": "other"})
    assert isinstance(item, Unusable)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in [(*path, key), *places_in(item, (*path, key))]]


def with_instead(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """A copy of ``value`` with ``other`` at ``path``; texts that hold JSON are not looked into."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_instead(value[path[0]], path[1:], other)
    return copy


DAMAGED = [row for parts in OURS for row in rows_of(*parts)]


@given(st.data())
@settings(max_examples=100, deadline=5000)
def test_a_real_row_with_anything_in_any_place_is_survived(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(DAMAGED))
    importer = next(importer for importer in IMPORTERS if importer.recognises(row))
    for _ in range(data.draw(st.integers(1, 3))):
        row = with_instead(row, data.draw(st.sampled_from(places_in(row))), data.draw(ANY_JSON))
    holds_items_only(importer, row)

"""Files as rows, told apart by content: what is read, with which place, and what a damaged file still gives."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.errors import InputError, MissingExtraError
from learned_router.training.importers.rows import _Scanner, files_of, kind_of, read_rows
from learned_router.training.records import Skipped

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": 'quotes " and braces }{ and ] and \\'},
    {"id": "b", "inner": {"list": [1, {"x": None}], "text": "two\nlines"}},
    {"id": "ç", "text": "⚓"},
]

WAYS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "lines": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "lines in plain characters": lambda rows: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
    "an array in one line": json.dumps,
    "an array on many lines": lambda rows: json.dumps(rows, indent=2),
    "an array with a row a line": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n",
    "objects on many lines": lambda rows: "\n".join(json.dumps(row, indent=4) for row in rows),
    "pages of an API": lambda rows: json.dumps({"data": rows, "meta": {"page": 1}}) + "\n",
    "pages on many lines": lambda rows: json.dumps({"data": rows, "meta": {"page": 1}}, indent=1),
}


def read(path: Path) -> tuple[list[dict[str, Any]], list[str], Skipped]:
    skipped = Skipped()
    found = list(read_rows(path, skipped))
    return [row for row, _ in found], [place for _, place in found], skipped


def written(tmp_path: Path, content: str | bytes, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "byte order mark"])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_rows_come_of_every_way_to_write_them_as_json(
    tmp_path: Path, way: str, mark: str, packed: bool
) -> None:
    content = (mark + WAYS[way](ROWS)).encode()
    rows, _, skipped = read(written(tmp_path, gzip.compress(content) if packed else content))
    assert (rows, skipped.total) == (ROWS, 0)


@pytest.mark.parametrize(
    ("way", "places"),
    [
        ("lines", ["log:1", "log:2", "log:3"]),
        ("an array in one line", ["log:1", "log:1", "log:1"]),
        ("an array with a row a line", ["log:2", "log:3", "log:4"]),
        ("an array on many lines", ["log:2", "log:6", "log:18"]),
        ("objects on many lines", ["log:1", "log:5", "log:17"]),
        ("pages of an API", ["log:1[0]", "log:1[1]", "log:1[2]"]),
    ],
)
def test_a_place_is_the_file_and_the_line_on_which_the_row_begins(tmp_path: Path, way: str, places: list[str]) -> None:
    assert read(written(tmp_path, WAYS[way](ROWS)))[1] == places


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=4), max_size=4),
    indent=st.none() | st.integers(0, 3),
    size=st.integers(1, 40),
    ascii_only=st.booleans(),
)
def test_wherever_a_block_ends_the_scanner_cuts_the_same_rows_at_the_same_lines(
    rows: list[dict[str, Any]], indent: int | None, size: int, ascii_only: bool
) -> None:
    content = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    scanner = _Scanner()
    found = [
        piece for start in range(0, len(content), size) for piece in list(scanner.feed(content[start : start + size]))
    ]
    assert [json.loads(text) for text, _ in found] == json.loads(content)
    assert scanner.held == 0
    if indent is None:
        assert {line for _, line in found} <= {1}
    else:
        lines = content.split(b"\n")
        assert all(lines[line - 1].lstrip().startswith(b"{") for _, line in found)


def test_a_csv_is_told_by_its_header_and_cells_may_hold_lines_quotes_and_commas(tmp_path: Path) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([["id", "body"], ["1", '{"a": "x, y\n\\"z\\""}'], ["2", ""]])
    for content in (buffer.getvalue().encode(), gzip.compress(buffer.getvalue().encode())):
        rows, places, skipped = read(written(tmp_path, content))
        assert [row["id"] for row in rows] == ["1", "2"]
        assert json.loads(rows[0]["body"].replace("\n", "\\n")) == {"a": 'x, y\n"z"'}
        assert places == ["log:2", "log:4"]
        assert skipped.total == 0


def test_a_csv_line_with_a_cell_too_many_is_counted_and_the_others_are_kept(tmp_path: Path) -> None:
    rows, _, skipped = read(written(tmp_path, "\ufeffid,body\n1,x\n2,y,z\n\n3,\0\n"))
    assert rows == [{"id": "1", "body": "x"}, {"id": "3", "body": "\ufffd"}]
    assert skipped.to_dict()["wrong_number_of_cells"]["first"][0].startswith("log:3: 3 cells under 2 names")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"id": "x", "te', "not_json"),
        ("[1, 2]", "not_an_object"),
        ("null", "not_an_object"),
        ("\0\0", "not_json"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "too_deep"),
        ('{"n": ' + "9" * 5000 + "}", "not_json"),
    ],
    ids=["cut", "array", "null", "NULs", "deep", "huge number"],
)
@pytest.mark.parametrize("before", [0, 1], ids=["as the first line", "as the second"])
def test_a_broken_line_costs_no_other_line(tmp_path: Path, bad: str, reason: str, before: int) -> None:
    lines = [json.dumps(row) for row in ROWS]
    lines.insert(before, bad)
    if bad == "[1, 2]" and not before:
        pytest.skip("a file that begins so is an array")
    rows, _, skipped = read(written(tmp_path, "\n".join(lines)))
    assert [row.get("id") for row in rows if row.get("id") != "x"] == ["a", "b", "ç"]
    if reason == "not_json" and "9" * 5000 in bad:
        assert skipped.total <= 1  # a number of that length may be read as one that is not exact
    else:
        assert dict(skipped.counts) == {reason: 1}


def test_a_broken_element_of_an_array_costs_no_other_element(tmp_path: Path) -> None:
    content = "[" + ", ".join([json.dumps(ROWS[0]), '{"id": }', json.dumps(ROWS[1])]) + "]"
    rows, _, skipped = read(written(tmp_path, content))
    assert rows == ROWS[:2]
    assert dict(skipped.counts) == {"not_json": 1}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_an_array_that_breaks_off_keeps_what_stands_before_the_break(tmp_path: Path, packed: bool) -> None:
    content = json.dumps([{"id": index, "text": "x" * 50} for index in range(2000)]).encode()
    content = gzip.compress(content)[:-300] if packed else content[:-30]
    rows, _, skipped = read(written(tmp_path, content))
    assert 0 < len(rows) < 2000
    assert [row["id"] for row in rows] == list(range(len(rows)))
    assert "file_breaks_off" in skipped.counts


def test_lone_surrogates_are_replaced_in_every_way_to_write_a_row(tmp_path: Path) -> None:
    for content in ('{"id": "\\ud800"}\n', '[{"id": "\\ud800"}]'):
        rows, _, _ = read(written(tmp_path, content))
        assert rows == [{"id": "?"}]
        json.dumps(rows, ensure_ascii=False).encode()


def test_an_array_in_one_line_is_read_in_memory_that_does_not_grow_with_it(tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 20_000):
        path = written(tmp_path, json.dumps([{"id": index, "text": "x" * 300} for index in range(count)]))
        tracemalloc.start()
        assert sum(1 for _ in read_rows(path, Skipped())) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_row_that_never_ends_is_given_up_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learned_router.training.importers.rows.MAX_ROW_BYTES", 1 << 20)
    content = '[{"id": 1}, {"text": "never closed ' + "x" * (3 << 20)
    rows, _, skipped = read(written(tmp_path, content))
    assert rows == [{"id": 1}]
    assert dict(skipped.counts) == {"row_too_long": 1}


def test_a_folder_means_its_files_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/z.jsonl", ".hidden", "a/.cache/x.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    assert [str(path.relative_to(tmp_path)) for path in files_of([tmp_path])] == ["a/z.jsonl", "b.jsonl"]


def test_a_missing_file_and_an_empty_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file"):
        list(files_of([tmp_path / "nowhere"]))
    with pytest.raises(InputError, match="a folder without files"):
        list(files_of([tmp_path]))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_holds_no_rows(tmp_path: Path, content: bytes) -> None:
    assert read(written(tmp_path, content))[0] == []


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_rows_keep_their_lists_and_objects(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"id": str(index), "messages": [{"role": "user", "content": "hi"}]} for index in range(600)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "log")
    found, places, _ = read(tmp_path / "log")
    assert found == rows
    assert (places[0], places[-1]) == ("log:1", "log:600")


def test_what_only_looks_like_parquet_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, b"PAR1 and nothing else")
    assert kind_of(path) == "parquet"
    installed = importlib.util.find_spec("pyarrow") is not None
    wanted = "not a Parquet file" if installed else "pip install pyarrow"
    with pytest.raises(InputError if installed else MissingExtraError, match=wanted):
        read(path)

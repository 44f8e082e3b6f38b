"""Turn any file into rows, each with its place, told apart by content: JSON lines, JSON, CSV, Parquet, plain or gzipped.

Knows files and bytes; knows nothing of what a row means.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import msgspec

from learned_router.errors import InputError, MissingExtraError
from learned_router.training.importers.importer import Row
from learned_router.training.records import GZIP_MAGIC, Skipped, read_lines, unzipped_blocks, without_surrogates

PARQUET_MAGIC: Final = b"PAR1"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BLOCK_BYTES: Final = 1 << 18
# a row beyond this is a quote that never ends rather than a call; without a limit it would take the memory of its file
MAX_ROW_BYTES: Final = 1 << 26
MAX_CELL_CHARS: Final = 1 << 26
# pages of an API: the rows stand under ``data``, beside nothing but numbers of pages
PAGE_KEYS: Final = frozenset(
    [
        "data",
        "meta",
        "object",
        "has_more",
        "first_id",
        "last_id",
        "next_cursor",
        "cursor",
        "total",
        "page",
        "page_size",
        "total_pages",
        "error",
    ]
)

# possessive: whole strings and whatever is no brace are passed over in one go, and never looked at again
_TO_BRACE: Final = re.compile(rb'(?:[^"{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING_REST: Final = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRING_MARK: Final = re.compile(rb'["\\]')

Kind = Literal["lines", "document", "csv", "parquet"]


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """The files meant by ``paths``: a folder stands for all in it, sorted, hidden ones left out.

    Raises InputError for a path that does not exist, and for a folder without files.
    """
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise InputError(f"{path}: no such file; give the path of a log, or of a folder of logs")
            yield path
            continue
        found = [
            inner
            for inner in sorted(path.rglob("*"))
            if inner.is_file() and not any(part.startswith(".") for part in inner.relative_to(path).parts)
        ]
        if not found:
            raise InputError(f"{path}: a folder without files; give the path of a log, or of a folder of logs")
        yield from found


def kind_of(path: Path) -> Kind:
    """How the rows of a file are written, from how it begins. Raises InputError when it cannot be opened."""
    if _begins_with(path, PARQUET_MAGIC):
        return "parquet"
    first, second = _first_lines(path)
    if first.startswith(b"[") or (first.startswith(b"{") and _goes_on(first, second)):
        return "document"
    if b"," in first and not first.startswith(b"{") and not second.lstrip().startswith(b"{"):
        return "csv"
    return "lines"


def read_rows(path: Path, skipped: Skipped) -> Iterator[Row]:
    """The rows of a file, one at a time, each an object with its place, ``file:line`` (of Parquet ``file:row``).

    What cannot be read is counted in ``skipped``. Raises InputError when the file cannot be opened or unzipped at all,
    and MissingExtraError for Parquet without pyarrow.
    """
    match kind_of(path):
        case "parquet":
            yield from _parquet_rows(path)
        case "document":
            yield from _document_rows(path, skipped)
        case "csv":
            yield from _csv_rows(path, skipped)
        case "lines":
            yield from _line_rows(path, skipped)


def read_object(line: bytes) -> dict[str, Any] | tuple[str, str]:
    """One JSON object, or the reason and a sentence. Lone surrogates and bytes that are no UTF-8 are replaced."""
    try:
        data = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            data = without_surrogates(json.loads(line.decode("utf-8", "replace").removeprefix("\ufeff")))
        except RecursionError:
            return "too_deep", "nested too deeply"
        except ValueError as error:
            return "not_json", f"not JSON ({getattr(error, 'msg', error)}); each row must be one JSON object"
    if not isinstance(data, dict):
        return "not_an_object", f"a JSON {type(data).__name__}; each row must be one JSON object"
    return data


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a log") from None


def _first_lines(path: Path) -> tuple[bytes, bytes]:
    """The first two lines that are not blank, or empty ones; a line beyond the first block is cut."""
    head = b""
    try:
        with path.open("rb") as file:
            zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            for block in unzipped_blocks(file) if zipped else _plain_blocks(file):
                head += block
                if len(head) >= BLOCK_BYTES:
                    break
    except (EOFError, OSError, zlib.error):
        pass  # what is wrong with the file as a whole, the reading after this says
    lines = [line for line in head.removeprefix(BYTE_ORDER_MARK).splitlines() if line.strip()]
    return (lines[0].lstrip() if lines else b""), (lines[1] if len(lines) > 1 else b"")


def _goes_on(first: bytes, second: bytes) -> bool:
    """Whether an object that begins in the first line ends in a later one: a JSON line that is merely broken stands
    before a line that begins with ``{`` again."""
    if not second or second.startswith(b"{"):
        return first.strip() == b"{"
    return isinstance(read_object(first), tuple)


def _line_rows(path: Path, skipped: Skipped) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path, skipped), start=1):
        if line.strip():
            yield from _checked(line, f"{path.name}:{number}", skipped)


def _checked(text: bytes, place: str, skipped: Skipped) -> Iterator[Row]:
    data = read_object(text)
    if isinstance(data, tuple):
        skipped.add(data[0], f"{place}: {data[1]}")
        return
    page = data.get("data")
    if isinstance(page, list) and data.keys() <= PAGE_KEYS:
        for index, item in enumerate(page):
            if isinstance(item, dict):
                yield item, f"{place}[{index}]"
            else:
                skipped.add("not_an_object", f"{place}[{index}]: a JSON {type(item).__name__}; it must be an object")
        return
    yield data, place


def _document_rows(path: Path, skipped: Skipped) -> Iterator[Row]:
    """Elements of top-level arrays, and top-level objects, however they are broken into lines."""
    with path.open("rb") as file:
        zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        scanner = _Scanner()
        try:
            for block in unzipped_blocks(file) if zipped else _plain_blocks(file):
                for text, line in scanner.feed(block):
                    yield from _checked(text, f"{path.name}:{line}", skipped)
                if scanner.held > MAX_ROW_BYTES:
                    detail = f"a row of more than {MAX_ROW_BYTES >> 20} MiB; a quote or bracket is never closed"
                    skipped.add("row_too_long", f"{path.name}:{scanner.line}: {detail}")
                    return
        except (EOFError, zlib.error) as error:
            detail = f"the gzipped file breaks off here ({error})"
            skipped.add("file_breaks_off", f"{path.name}:{scanner.line}: {detail}")
            return
    if scanner.held:
        skipped.add("file_breaks_off", f"{path.name}:{scanner.line}: the row that begins here never ends")


def _plain_blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK_BYTES), b"")


class _Scanner:
    """Cuts a stream of JSON into objects at the top, or in arrays at the top, in time linear in its length."""

    def __init__(self) -> None:
        self.line = 1  # on which what is held begins
        self._buffer = bytearray()
        self._position = 0
        self._start: int | None = None  # of the object that is open
        self._depth = 0
        self._in_string = False

    @property
    def held(self) -> int:
        return len(self._buffer) if self._start is not None else 0

    def feed(self, block: bytes) -> Iterator[tuple[bytes, int]]:
        """The objects that end in ``block``, each with the number of the line it begins on."""
        self._buffer += block
        buffer = self._buffer
        passed = 0  # up to which lines are counted
        while True:
            if self._in_string:
                if not self._leave_string():
                    break
                continue
            self._position = _TO_BRACE.match(buffer, self._position).end()  # type: ignore[union-attr]  # matches always
            mark = buffer[self._position : self._position + 1]
            if not mark:
                break
            self._position += 1
            if mark == b'"':
                self._in_string = True  # which does not end in this block, or it would have been passed over
            elif mark == b"{":
                if self._start is None:
                    self._start = self._position - 1
                    self.line += buffer.count(b"\n", passed, self._start)
                    passed = self._start
                self._depth += 1
            elif self._start is not None and mark == b"}":
                self._depth -= 1
                if not self._depth:
                    yield bytes(buffer[self._start : self._position]), self.line
                    self._start = None
        kept = len(buffer) if self._start is None else self._start
        if self._in_string and self._start is None:
            kept = self._position
        self.line += buffer.count(b"\n", passed, kept)
        del buffer[:kept]
        self._position -= kept
        self._start = None if self._start is None else 0

    def _leave_string(self) -> bool:
        """Go behind the string's end; False when it does not end in what is held so far."""
        match = _STRING_REST.match(self._buffer, self._position)
        if match is not None:
            self._position, self._in_string = match.end(), False
            return True
        # go as far as there is anything, so that a long string is not looked through again with every block
        while (mark := _STRING_MARK.search(self._buffer, self._position)) is not None:
            if mark.end() == len(self._buffer):  # what is escaped comes with the next block
                self._position = mark.start()
                return False
            self._position = mark.end() + 1
        self._position = len(self._buffer)
        return False


def _csv_rows(path: Path, skipped: Skipped) -> Iterator[Row]:
    csv.field_size_limit(MAX_CELL_CHARS)
    reader = csv.reader(_text_lines(path, skipped))
    try:
        header = next(reader)
    except (csv.Error, StopIteration) as error:
        skipped.add("not_csv", f"{path.name}:1: no header ({error})")
        return
    while True:
        place = f"{path.name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            skipped.add("not_csv", f"{place}: {error}")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            detail = f"{len(cells)} cells under {len(header)} names; a quote may be missing"
            skipped.add("wrong_number_of_cells", f"{place}: {detail}")
            continue
        yield dict(zip(header, cells, strict=True)), place


def _text_lines(path: Path, skipped: Skipped) -> Iterator[str]:
    for number, line in enumerate(read_lines(path, skipped)):
        text = line.removesuffix(b"\n").decode("utf-8", "replace").replace("\0", "\ufffd") + "\n"
        yield text if number else text.removeprefix("\ufeff")


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingExtraError(f"{path}: Parquet needs the package 'pyarrow': pip install pyarrow") from None
    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield row, f"{path.name}:{number}"
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a Parquet file that can be read ({error})") from None

"""Read any logs as records: choose the importer of each file, join what people said, count what is left out.

Knows files, importers and records; knows no format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from learned_router.errors import InputError
from learned_router.training.importers import IMPORTERS, JOINED
from learned_router.training.importers.importer import Feedback, Importer, Row, Unusable
from learned_router.training.importers.pair import pair
from learned_router.training.importers.paired import Paired
from learned_router.training.importers.rows import files_of, kind_of, read_rows
from learned_router.training.records import Record, Skipped, answer_key, read_records, record_problem

ROWS_TRIED: Final = 100  # a log may begin with rows of no use
KEYS_NAMED: Final = 12


class _Log(NamedTuple):
    path: Path
    importer: Importer


class _Opinions:
    """What was said of records and sessions: the mean of all that was said."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        self._used: set[str] = set()
        self._places: dict[str, str] = {}

    def add(self, said: Feedback, place: str) -> None:
        values = self._sums.setdefault(said.target, [0.0, 0])
        values[0] += said.value
        values[1] += 1
        self._places.setdefault(said.target, place)

    def join(self, record: Record) -> None:
        """Put what was said onto the record's outputs: what was said of itself, else of its trace, else of its session."""
        trace = (record.metadata or {}).get("trace")
        said = [target for target in (record.id, trace, record.session) if target in self._sums]
        self._used.update(said)
        if said:
            total = self._sums[said[0]]
            for output in record.outputs.values():
                output.feedback = total[0] / total[1]

    def unused(self) -> Iterator[tuple[str, str]]:
        return ((target, place) for target, place in self._places.items() if target not in self._used)


def read_logs(paths: Iterable[Path], skipped: Skipped, *, bare: bool = False) -> Iterator[Record]:
    """The records of logs of any known format; a folder stands for all files in it.

    Each file's importer is chosen by its first rows. A record holds what one row told, so that one request may come as
    several records: see ``read_pairs``. Feedback stands on the outputs, and what is left out
    is counted in ``skipped`` by reason, with its place. The same id comes again only with other models' outputs.
    bare: paired logs may also hold requests that nobody has answered yet.
    Raises InputError for a file that is missing, that cannot be read, or whose format nobody knows.
    """
    logs = [_Log(path, importer) for path in files_of(paths) if (importer := _importer_of(path, skipped)) is not None]
    opinions = _Opinions()
    for log in logs:
        if getattr(log.importer, "feedback_apart", True):
            # what is said of a call stands anywhere in its log, so that it is read before the calls are handed out
            for row, place in read_rows(log.path, Skipped()):
                for item in log.importer.read(row):
                    if isinstance(item, Feedback):
                        opinions.add(item, place)
    seen: set[int] = set()
    for record in _records(logs, seen, skipped, bare):
        opinions.join(record)
        yield record
    for target, place in opinions.unused():
        skipped.add("feedback_without_record", f"{place}: no record or session {target!r}")


def read_pairs(paths: Iterable[Path], skipped: Skipped, *, bare: bool = False) -> Iterator[Record]:
    """The records of ``read_logs``, those of the same request as one. Raises as ``read_logs`` and ``pair`` do."""
    return pair(read_logs(paths, skipped, bare=bare), skipped)


def _importer_of(path: Path, skipped: Skipped) -> Importer | None:
    """The importer that knows the file; None, and what is wrong counted, when not one row of it can be read."""
    found = Skipped()
    first: Row | None = None
    for row in islice(read_rows(path, found), ROWS_TRIED):
        first = first or row
        for importer in IMPORTERS:
            if importer.recognises(row[0]):
                return importer
    if first is not None:
        keys = ", ".join(map(str, islice(first[0], KEYS_NAMED))) or "no keys at all"
        more = " …" if len(first[0]) > KEYS_NAMED else ""
        known = ", ".join(importer.name for importer in IMPORTERS)
        raise InputError(f"{first[1]}: a log of no known format; it holds {keys}{more}. Known are: {known}")
    skipped.merge(found)
    return None


def _records(logs: list[_Log], seen: set[int], skipped: Skipped, bare: bool) -> Iterator[Record]:
    joined: set[str] = set()
    for log in logs:
        name = log.importer.name
        if isinstance(log.importer, Paired) and kind_of(log.path) == "lines":
            yield from read_records([log.path], skipped, seen, bare=bare)
        elif name not in JOINED:
            yield from _imported(read_rows(log.path, skipped), log.importer, seen, skipped)
        elif name not in joined:
            joined.add(name)
            paths = [other.path for other in logs if other.importer.name == name]
            yield from _imported(JOINED[name](paths, skipped, read_rows), log.importer, seen, skipped)


def _imported(rows: Iterator[Row], importer: Importer, seen: set[int], skipped: Skipped) -> Iterator[Record]:
    for row, place in rows:
        records: list[Record] = []
        said = _Opinions()
        for item in importer.read(row):
            if isinstance(item, Unusable):
                skipped.add(item.reason, f"{place}: {item.detail}")
            elif isinstance(item, Feedback):
                said.add(item, place)
            else:
                records.append(item)
        for record in records:
            problem = record_problem(record)
            key = answer_key(record)
            if problem:
                skipped.add(problem[0], f"{place}: {problem[1]}")
            elif key in seen:
                skipped.add("duplicate_id", f"{place}: id {record.id!r} stands in an earlier row")
            else:
                seen.add(key)
                said.join(record)
                yield record

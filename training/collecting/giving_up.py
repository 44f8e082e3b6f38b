"""When a server is asked no further: it has no money left, or too many failures came with no answer between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet
from typing import Final

CLOSING: Final = frozenset({"quota_spent"})  # no further request can succeed
# By kind, since two timeouts say nothing of whether a single 404 is meant for every request
IN_A_ROW: Final = {"key_refused": 3, "not_found": 3, "not_connected": 20, "timeout": 20, "rate_limited": 20}
IN_A_ROW_OF_ANY: Final = 50


class FailuresInARow:
    """Counts them. at_once: reasons (of ``ask.REASONS``) that end it the first time, as long as nothing was answered."""

    def __init__(self, at_once: AbstractSet[str]) -> None:
        self._at_once = at_once
        self._answered = False
        self._counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self._counts.total()

    def end(self) -> None:
        """There was an answer."""
        self._answered = True
        self._counts.clear()

    def add(self, reason: str) -> bool:
        """One more failure. Returns whether whatever is wrong there is wrong for all, so that asking on is in vain."""
        self._counts[reason] += 1
        return (
            reason in CLOSING
            or (reason in self._at_once and not self._answered)
            or self._counts[reason] >= IN_A_ROW.get(reason, IN_A_ROW_OF_ANY)
            or self.total >= IN_A_ROW_OF_ANY
        )

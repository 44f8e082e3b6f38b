"""A dictionary of what was found before, that never grows beyond its bound. Knows nothing of what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class Bounded(dict[Key, Found]):
    """At most ``most`` entries: before one more would come in, all go, and the frequent ones are back soon.

    Threads share it. To look up is what a plain dictionary takes; where each look-up should count, and the oldest go first,
    ``RequestCache`` is meant.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, found: Mapping[Key, Found]) -> None:
        """Hold these too, or as many of them as there is room for."""
        if len(self) + len(found) > self.most:
            self.clear()
        self.update(islice(found.items(), self.most))

"""Hold requests back as a server's rate-limit headers ask. Knows headers and clocks; knows no bodies and no models.

Sources: OpenAI's ``x-ratelimit-*``, Anthropic's ``anthropic-ratelimit-*``, the IETF draft's ``ratelimit-*``, ``retry-after``
of RFC 9110 and ``retry-after-ms``.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
# (what is left, when it is whole again) by what is counted
REQUESTS: Final = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
)
TOKENS: Final = (
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
)
EPOCH_FROM: Final = 1e9  # a number this large is a point in time, not a wait: 1e9 s is the year 2001
EPOCH_MS_FROM: Final = 1e12


def asked_wait_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a refusal asks to wait, never negative; None when it does not say.

    headers: by lower-case name, or httpx's.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return wait_s(headers.get("retry-after"), now)


def wait_s(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds in ``"20"``, ``"6m0s"``, ``"120ms"``, an HTTP or ISO date, or a Unix time; None when it is none of them."""
    if value is None or not value.strip():
        return None
    value = value.strip()
    number = _number(value)
    if number is not None:
        if number < EPOCH_FROM:
            return number
        return max(0.0, (number / 1000 if number >= EPOCH_MS_FROM else number) - now())
    parts = DURATION.findall(value)
    if parts and "".join(amount + unit for amount, unit in parts) == value:
        return sum(float(amount) * UNITS_S[unit] for amount, unit in parts)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = parse(value)
            return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now())
        except (ValueError, TypeError, OverflowError):
            continue
    return None


class Pace:
    """When the next request to one endpoint may leave. One of these is shared by all that ask the endpoint.

    side_by_side: most requests under way at once; fewer after a refusal, until answers come again.
    longest_s: no wait is longer than this; the server is then asked again.
    """

    def __init__(self, side_by_side: int, longest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = self._slots = float(side_by_side)
        self._longest_s = longest_s
        self._clock = clock
        self._until = 0.0
        self._requests = self._tokens = math.inf  # what the server has told is left
        self._requests_whole_at = self._tokens_whole_at = 0.0
        self._open: dict[int, tuple[float, float]] = {}  # under way: tokens, and tokens of all that left up to then
        self._entered = self._newest = 0
        self._entered_tokens = 0.0
        self._freed = asyncio.Event()
        self.waited_s = 0.0

    async def enter(self, tokens: float) -> int:
        """Wait until a request of that many tokens may leave, and count it as under way. Returns its number."""
        while True:
            if len(self._open) >= max(1, int(self._slots)):
                self._freed.clear()
                await self._freed.wait()
            elif (left := self._left_s(tokens)) > 0:
                self.waited_s += left
                await asyncio.sleep(left)
            else:
                break
        self._requests -= 1
        self._tokens -= tokens
        self._entered += 1
        self._entered_tokens += tokens
        self._open[self._entered] = tokens, self._entered_tokens
        return self._entered

    def leave(self, number: int, headers: Mapping[str, str]) -> None:
        """The request is over; what its answer's headers say of the limits holds for those still under way, too."""
        _, tokens_until = self._open.pop(number)
        self._freed.set()
        now = self._clock()
        if number < self._newest:  # it comes late, and may even be of a time that the limits have left behind
            return
        # what left after this one it cannot have counted, and what left before may still be on its way: both are taken off
        before = [tokens for other, (tokens, _) in self._open.items() if other < number]
        left, whole_s = _limit(headers, REQUESTS)
        if left is not None:
            self._newest = number
            self._requests = left - (self._entered - number) - len(before)
            self._requests_whole_at = now + min(whole_s, self._longest_s)
        left, whole_s = _limit(headers, TOKENS)
        if left is not None:
            self._newest = number
            self._tokens = left - (self._entered_tokens - tokens_until) - sum(before)
            self._tokens_whole_at = now + min(whole_s, self._longest_s)

    def pause(self, seconds: float) -> None:
        """The server has refused for its limits: nothing leaves for that long, and then half as many side by side."""
        self._until = max(self._until, self._clock() + min(seconds, self._longest_s))
        self._slots = max(1.0, self._slots / 2)

    def answered(self) -> None:
        """An answer has come; after a full round of them one more may be under way."""
        self._slots = min(self._most, self._slots + 1 / self._slots)
        self._freed.set()

    def _left_s(self, tokens: float) -> float:
        now = self._clock()
        left = self._until - now
        if self._requests < 1:
            left = max(left, self._requests_whole_at - now)
            if self._requests_whole_at <= now:
                self._requests = math.inf  # whole again; how much that is, the next answer says
        if self._tokens < tokens:
            left = max(left, self._tokens_whole_at - now)
            if self._tokens_whole_at <= now:
                self._tokens = math.inf
        return left


def _limit(headers: Mapping[str, str], names: tuple[tuple[str, str], ...]) -> tuple[float | None, float]:
    """The scarcest of the limits told, and the seconds until it is whole; (None, 0) when none is told."""
    told = [
        (left, whole_s)
        for remaining, reset in names
        if (left := _number(headers.get(remaining))) is not None and (whole_s := wait_s(headers.get(reset))) is not None
    ]
    return min(told, default=(None, 0.0))


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None

"""Ask one request until it is answered, out of attempts or out of money. Knows statuses, waits and reasons; no records.

Every failure has one of the names in ``REASONS``; only what may have been charged for counts as spent.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from learned_router.training.collecting.budget import Budget
from learned_router.training.collecting.channels import Channel, NoReplyError, Reply, scrub
from learned_router.training.collecting.completion import read_output
from learned_router.training.collecting.pace import Pace, asked_wait_s
from learned_router.training.records import Output

RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REASONS: Final = {
    "rate_limited": "the server refused for its rate limits until the attempts were used up",
    "server_error": "status 5xx until the attempts were used up",
    "timeout": "no whole answer in time",
    "not_connected": "no connection",
    "broken_off": "the connection broke off before the answer was whole",
    "too_long": "the answer was too long to be one",
    "not_json": "status 200 with something other than JSON",
    "no_answer": "JSON, but no chat completion",
    "redirected": "the server pointed elsewhere; redirects are not followed, since the key is not for others",
    "key_refused": "status 401 or 403",
    "quota_spent": "the account has no money or quota left",
    "not_found": "status 404: the model or the URL is wrong",
    "bad_request": "another status 4xx: the server does not take the request",
    "unusual_status": "a status that no API answers with",
    "interrupted": "not tried again, since the run was to stop",
    "over_budget": "not asked: --max-cost would have been exceeded",
}


class Patience(msgspec.Struct, frozen=True):
    """How long to wait and how often to try. Waits double from ``first_wait_s`` to ``longest_wait_s``, with jitter.

    timeout_s: for one whole answer. longest_asked_wait_s: longest wait asked by a server that is waited for.
    limited_attempts: tries that may end in 429; they do not count as attempts.
    """

    timeout_s: float = 120.0
    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_asked_wait_s: float = 600.0
    limited_attempts: int = 20


class Answer(NamedTuple):
    """What asking came to: an output, or None and the reason, with a detail for people. wasted_usd: what tries that gave
    nothing may have cost."""

    output: Output | None
    reason: str = ""
    detail: str = ""
    wasted_usd: float = 0.0


class Failure(NamedTuple):
    """One try that gave nothing. wait_s: what the server asked to wait. spent_usd: what it may have cost all the same."""

    reason: str
    detail: str
    retried: bool
    wait_s: float | None = None
    spent_usd: float = 0.0


class Asker:
    """Asks one endpoint. usd_of: what an output has cost. Learns which options the model refuses, and leaves them out;
    ``adapted`` says which, for people. ``stopping``: nothing further is sent. ``sending``: tasks whose request is out.
    ``cut``: answers that ended at their limit of tokens."""

    def __init__(
        self,
        channel: Channel,
        pace: Pace,
        budget: Budget,
        patience: Patience,
        *,
        usd_of: Callable[[Output, dict[str, Any]], float],
        key_variable: str | None = None,
        calls_in_text: bool = False,
    ) -> None:
        self._channel = channel
        self._pace = pace
        self._budget = budget
        self._patience = patience
        self._usd_of = usd_of
        self._variable = key_variable
        self._calls_in_text = calls_in_text
        self.adapted: dict[str, str] = {}
        self.cut = 0
        self.stopping = False
        self.sending: set[asyncio.Task[Any] | None] = set()

    async def ask(self, body: dict[str, Any], tokens: float, usd: float) -> Answer:
        """The answer to one request. tokens: it and its answer, expected. usd: set aside while it is under way."""
        failure, failed, limited, wasted_usd = Failure("", "", True), 0, 0, 0.0
        while failed < self._patience.attempts and limited < self._patience.limited_attempts:
            if failure.reason == "rate_limited":
                limited += failure.wait_s is not None
                self._pace.pause(failure.wait_s if failure.wait_s is not None else self._backoff_s(failed or 1))
            elif failure.reason:
                await asyncio.sleep(max(self._backoff_s(failed), failure.wait_s or 0.0))
            if not await self._budget.reserve(usd):
                return Answer(None, "over_budget", "--max-cost would have been exceeded", wasted_usd)
            sent = self._adapt(body)
            outcome = await self._try(sent, tokens, usd)
            if isinstance(outcome, Output):
                return Answer(outcome, wasted_usd=wasted_usd)
            wasted_usd += outcome.spent_usd
            if self.stopping:
                return Answer(None, "interrupted", outcome.detail, wasted_usd)
            if outcome.reason == "bad_request" and self._learn(sent, outcome.detail):
                failure = Failure("", "", True)
                continue
            failure = outcome
            if not failure.retried:
                break
            failed += not (failure.reason == "rate_limited" and failure.wait_s is not None)
        return Answer(None, failure.reason, scrub(failure.detail, self._variable)[:300], wasted_usd)

    async def _try(self, body: dict[str, Any], tokens: float, usd: float) -> Output | Failure:
        number = await self._pace.enter(tokens)
        spent, headers = usd, {}  # should this be cut off, it may have been charged
        try:
            self.sending.add(asyncio.current_task())
            started = time.perf_counter()
            reply = await self._channel.send(body)
            headers = dict(reply.headers)
            outcome = self._read(reply, time.perf_counter() - started)
            if isinstance(outcome, Output):
                outcome.cost_usd = spent = self._usd_of(outcome, body)
                self._pace.answered()
            elif reply.status == 200:
                outcome = outcome._replace(spent_usd=usd)
            else:
                spent = 0.0
            return outcome
        except NoReplyError as nothing:
            spent = usd if nothing.charged else 0.0
            retried = nothing.reason not in ("too_long", "bad_request")
            return Failure(nothing.reason, nothing.detail, retried, spent_usd=spent)
        finally:
            self.sending.discard(asyncio.current_task())
            self._pace.leave(number, headers)
            self._budget.settle(usd, spent)

    def _read(self, reply: Reply, latency_s: float) -> Output | Failure:
        if reply.status != 200:
            return self._refusal(reply)
        try:
            data = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            start = reply.body[:200].decode("utf-8", "replace").strip()
            page = start.lower().startswith(("<!doctype", "<html"))
            told = (
                "an HTML page; is the URL the API's own, up to /v1?" if page else f"{error}; it begins {start[:80]!r}"
            )
            return Failure("not_json", told if start else "an empty answer", True)
        try:
            output = read_output(data, latency_s, calls_in_text=self._calls_in_text)
        except ValueError as error:
            return Failure("no_answer", str(error), True)
        self.cut += data["choices"][0].get("finish_reason") == "length"
        return output

    def _refusal(self, reply: Reply) -> Failure:
        status = reply.status
        told = f"status {status}: {reply.body[:300].decode('utf-8', 'replace').strip()}"
        wait_s = asked_wait_s(reply.headers)
        if status in (401, 403):  # not its text: servers repeat parts of the key in it
            return Failure("key_refused", f"status {status}", False)
        if status == 402 or (status == 429 and b"insufficient_quota" in reply.body):
            return Failure("quota_spent", told, False)
        if status == 429:
            if wait_s is not None and wait_s > self._patience.longest_asked_wait_s:
                return Failure("rate_limited", f"the server asks to wait {wait_s:.0f} s", False)
            return Failure("rate_limited", told, True, wait_s)
        names = {3: "redirected", 4: "not_found" if status == 404 else "bad_request", 5: "server_error"}
        if wait_s is not None:
            wait_s = min(wait_s, self._patience.longest_asked_wait_s)
        return Failure(names.get(status // 100, "unusual_status"), told, status in RETRIED_STATUSES, wait_s)

    def _backoff_s(self, failed: int) -> float:
        doubled = min(self._patience.first_wait_s * 2.0 ** (failed - 1), self._patience.longest_wait_s)
        # jitter: workers that failed together do not come back together
        return doubled * random.uniform(0.5, 1.0)

    def _adapt(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self.adapted:
            return body
        adapted = {key: value for key, value in body.items() if key not in self.adapted}
        if "max_tokens" in self.adapted and "max_tokens" in body:
            adapted["max_completion_tokens"] = body["max_tokens"]
        return adapted

    def _learn(self, body: dict[str, Any], told: str) -> bool:
        """Whether the refusal is of an option that can be left out or has a newer name, and was still sent."""
        if "max_tokens" in body and "max_completion_tokens" in told:
            self.adapted["max_tokens"] = "the model takes max_completion_tokens, not max_tokens"
            return True
        if "temperature" in body and "temperature" in told and "nsupported" in told:
            self.adapted["temperature"] = f"the model does not take temperature {body['temperature']}; its own is used"
            return True
        return False

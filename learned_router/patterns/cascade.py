"""The cascade: route, call, look at the answer, ask the top tier where it does not hold. Calls by the client it is given.

Knows the router by its public face; knows no client library.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from learned_router.errors import InputError
from learned_router.gate import Acceptance
from learned_router.loaded import Decision
from learned_router.pricing import Price
from learned_router.request import Message, Request, parse_request
from learned_router.router import Router

Answer = TypeVar("Answer")
# model and request (messages, tools, …: what a chat-completions call takes beside the model) → the model's answer
Complete = Callable[[str, dict[str, Any]], Answer]
CompleteAsync = Callable[[str, dict[str, Any]], Awaitable[Answer]]

# Of a request: the step is ours, unknown to any server; the model is the cascade's to name; a prompt becomes messages
_NOT_PASSED: Final = ("step", "model", "prompt")
# What is charged for, as OpenAI's usage names it and as our records do
_USAGE: Final = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


class Attempt(msgspec.Struct, frozen=True):
    """One call. kept: its answer is the one returned. acceptance: what the gate said; None for the top tier, which nobody
    checks, and where the call failed. latency_s: of the call alone. cost_usd: None where price or tokens are not known.
    error: what the client raised.
    """

    tier: str
    model: str
    kept: bool
    latency_s: float
    cost_usd: float | None
    acceptance: Acceptance | None = None
    error: str | None = None


class Completion(msgspec.Struct, Generic[Answer], frozen=True):
    """The answer of a cascade, as its client gave it, and what it took.

    attempts: in order, the last one kept. latency_s: all of it, decisions included. cost_usd: of all attempts, and
    wasted_usd: of those not kept; None where any of them is not known.
    """

    answer: Answer
    tier: str
    model: str
    decision: Decision
    attempts: list[Attempt]
    latency_s: float
    cost_usd: float | None
    wasted_usd: float | None


class Cascade(Generic[Answer]):
    """Small first where it may do, the top tier where the answer does not hold.

    complete, acomplete: your client's call, blocking or not; of a model's name and a request. An answer is what
    ``Router.accept`` takes, so an OpenAI client's completion is one. mode: the operating point, else the router's own.
    prices: of tokens, by tier; else those in the artifact.
    Raises InputError when the router has no gate, or no call is given.
    """

    def __init__(
        self,
        router: Router,
        *,
        complete: Complete[Answer] | None = None,
        acomplete: CompleteAsync[Answer] | None = None,
        mode: str | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        if not router.has_gate:
            raise InputError(
                f"{router.name} has no gate, and a cascade needs one; train on labels that hold the lower tiers' answers"
            )
        if complete is None and acomplete is None:
            raise InputError("neither complete nor acomplete is given; pass the call of your client")
        self._router, self._mode = router, mode
        self._complete, self._acomplete = complete, acomplete
        self._prices = router.config.prices if prices is None else prices

    def run(
        self,
        request: Any,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        step: str | None = None,
        mode: str | None = None,
    ) -> Completion[Answer]:
        """Answer one request; arguments as ``Router.route`` takes them.

        The client is called with all that a mapping holds, read here or not (``temperature``, ``tool_choice``, …), as it
        came, but for ``model`` and ``step``. Of an answer with several choices the first one is looked at. A call to a lower
        tier that fails counts as an answer that does not hold. Raises InputError for a request that is none or asks for a
        stream, and whatever the client raises for the top tier.
        """
        if self._complete is None:
            raise InputError("complete is not given; use arun, or pass a blocking call")
        course = self._begin(request, tools, step, mode)
        for model in course.models():
            try:
                answer = self._complete(model, course.body)
            except Exception as error:
                course.fail(error)
            else:
                course.take(answer)
        return course.finish()

    async def arun(
        self,
        request: Any,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        step: str | None = None,
        mode: str | None = None,
    ) -> Completion[Answer]:
        """As ``run``, by ``acomplete``."""
        if self._acomplete is None:
            raise InputError("acomplete is not given; use run, or pass a call to be awaited")
        course = self._begin(request, tools, step, mode)
        for model in course.models():
            try:
                answer = await self._acomplete(model, course.body)
            except Exception as error:
                course.fail(error)
            else:
                course.take(answer)
        return course.finish()

    def _begin(
        self, request: Any, tools: Sequence[Mapping[str, Any]] | None, step: str | None, mode: str | None
    ) -> _Course:
        parsed = parse_request(request, tools=tools, step=step)
        return _Course(self._router, parsed, _body(request, parsed, tools), mode or self._mode, self._prices)


class _Course:
    """One request's way through the tiers: says which model to call next, and is told what came of each call."""

    def __init__(
        self, router: Router, request: Request, body: dict[str, Any], mode: str | None, prices: Mapping[str, Price]
    ) -> None:
        """body: what the client is called with."""
        self._began = time.perf_counter()
        self._router = router.pinned()  # the thresholds of router and gate were chosen together
        self._request, self._body, self._prices = request, body, prices
        self._models = self._router.models
        self._decision = self._router.route(request, mode=mode, gated=True)
        self._attempts: list[Attempt] = []
        self._answer: Any = None
        self._tier, self._call_began = self._decision.tier, 0.0

    @property
    def body(self) -> dict[str, Any]:
        """A client may take out of it what it does not know; the next call has it all again."""
        return dict(self._body)

    def models(self) -> Iterator[str]:
        """The models to call, until an answer is kept; ``take`` or ``fail`` comes between."""
        while not (self._attempts and self._attempts[-1].kept):
            self._call_began = time.perf_counter()
            yield self._models[self._tier]

    def take(self, answer: Any) -> None:
        """The call came back."""
        latency_s, cost = time.perf_counter() - self._call_began, _cost_usd(answer, self._prices.get(self._tier))
        acceptance, error = None, None
        if self._tier != self._top:
            try:
                acceptance = self._router.accept(self._request, answer, decision=self._decision)
            except InputError as wrong:
                error = str(wrong)
        kept = self._tier == self._top or (acceptance is not None and acceptance.accept)
        self._end(Attempt(self._tier, self._models[self._tier], kept, latency_s, cost, acceptance, error))
        if kept:
            self._answer = answer

    def fail(self, error: Exception) -> None:
        """The call raised. Above the top tier there is nothing to go to."""
        if self._tier == self._top:
            raise error
        latency_s, told = time.perf_counter() - self._call_began, f"{type(error).__name__}: {error}"[:500]
        # what a failed call cost is not known to us
        self._end(Attempt(self._tier, self._models[self._tier], False, latency_s, None, error=told))

    def finish(self) -> Completion[Any]:
        last = self._attempts[-1]
        return Completion(
            answer=self._answer,
            tier=last.tier,
            model=last.model,
            decision=self._decision,
            attempts=self._attempts,
            latency_s=time.perf_counter() - self._began,
            cost_usd=_sum(self._attempts),
            wasted_usd=_sum(self._attempts[:-1]),
        )

    @property
    def _top(self) -> str:
        return self._router.tiers[-1]

    def _end(self, attempt: Attempt) -> None:
        self._attempts.append(attempt)
        # not to the next tier: what the gate predicts, and its threshold, are about the top tier's answer
        self._tier = self._top


def _body(given: Any, request: Request, tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """What the client is called with: fields and messages as they were given, whatever of them was read.

    given: as the caller wrote it. request: what was read of it. tools: given beside it, and winning over its own.
    """
    body: dict[str, Any] = msgspec.to_builtins(request)
    body.pop("step", None)
    if isinstance(given, str | Request):
        return body
    rest = given if isinstance(given, Mapping) else {"messages": given}
    if rest.get("stream"):
        raise InputError("stream is asked for; an answer must be whole before it can be judged: leave stream out")
    read = body["messages"]
    body |= {key: value for key, value in rest.items() if key not in _NOT_PASSED and (key != "tools" or tools is None)}
    body["messages"] = [
        written if isinstance(message, Message) else message
        for message, written in zip(rest.get("messages") or read, read, strict=True)
    ]
    return body


def _cost_usd(answer: Any, price: Price | None) -> float | None:
    """What a call cost, by the tokens that its answer tells."""
    if price is None:
        return None
    usage = _field(answer, "usage")
    tokens = []
    for theirs, ours in _USAGE:
        count = _field(usage, theirs)
        count = _field(answer, ours) if count is None else count
        if isinstance(count, bool) or not isinstance(count, int):
            return None
        tokens.append(count)
    return price.cost_usd(*tokens)


def _field(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _sum(attempts: Sequence[Attempt]) -> float | None:
    costs = [attempt.cost_usd for attempt in attempts]
    return None if any(cost is None for cost in costs) else float(sum(cost for cost in costs if cost is not None))

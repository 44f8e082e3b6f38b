"""Ask one model from code that does not wait for many, a few requests side by side. Knows when to stop asking.

Knows endpoints, prices and the budget; knows nothing of what is asked or what for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from learned_router.errors import InputError
from learned_router.pricing import Price
from learned_router.training.collecting.ask import Answer, Asker, Patience
from learned_router.training.collecting.budget import Budget, body_tokens, charged_tokens
from learned_router.training.collecting.channels import open_channel
from learned_router.training.collecting.endpoints import Endpoint
from learned_router.training.collecting.giving_up import FailuresInARow
from learned_router.training.collecting.pace import Pace
from learned_router.training.records import Output

SIDE_BY_SIDE: Final = 2
# says nothing of the next request: this one was too long, or the run's own affair
OF_ITS_OWN: Final = frozenset({"bad_request", "too_long", "over_budget", "interrupted"})
FORM_REFUSED: Final = re.compile(r"response_format|json_schema")
PATIENCE: Final = Patience()


class ModelAsker:
    """Callable over chat-completions bodies, each with ``max_tokens``; yields each one's place and answer as it comes, so
    that what was paid can be kept at once. A context manager over its connections. A ``response_format`` that the server
    refuses is left out from then on.

    price, budget: what an answer costs, and what all may. option: what named the model, for messages.
    Raises InputError for a key that is not set and, after a call's answers, when further calls would fail as this one did;
    KeyboardInterrupt after Ctrl-C, when what was under way has been answered. A second Ctrl-C does not wait.
    """

    def __init__(
        self, endpoint: Endpoint, price: Price, budget: Budget, patience: Patience = PATIENCE, *, option: str
    ) -> None:
        self._endpoint = endpoint
        self._price = price
        self._option = option
        self._channel = open_channel(endpoint, patience.timeout_s, SIDE_BY_SIDE)
        self._asker = Asker(
            self._channel,
            Pace(SIDE_BY_SIDE, patience.longest_asked_wait_s),
            budget,
            patience,
            usd_of=self._usd_of,
            key_variable=endpoint.api_key_variable,
        )
        self._runner = asyncio.Runner()
        self._drift = 1.0  # the most tokens that the server has counted for one by the rule
        self._formless = False
        self._in_a_row = FailuresInARow(at_once={"key_refused", "not_found"})

    def __enter__(self) -> ModelAsker:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._channel.close())
        self._runner.close()

    def __call__(self, bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, Answer]]:
        loop = self._runner.get_loop()
        places = {loop.create_task(self._ask(body)): place for place, body in enumerate(bodies)}
        pending, interrupted, closed = set(places), False, ""
        while pending:
            try:
                done, pending = self._runner.run(_first_of(pending))
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = self._asker.stopping = True
                for task in pending - self._asker.sending:  # it waits to try again: nothing paid is lost
                    task.cancel()
                continue
            for task in done:
                if not task.cancelled():
                    closed = self._why_closed(task.result()) or closed
                    yield places[task], task.result()
        if interrupted:
            raise KeyboardInterrupt
        if closed:
            raise InputError(closed)

    async def _ask(self, body: dict[str, Any]) -> Answer:
        answer = await self._send(body)
        refused = answer.reason == "bad_request" and FORM_REFUSED.search(answer.detail)
        if not refused or "response_format" not in body:
            return answer
        self._formless = True
        again = await self._send(body)
        return again._replace(wasted_usd=again.wasted_usd + answer.wasted_usd)

    async def _send(self, body: dict[str, Any]) -> Answer:
        if self._formless:
            body = {key: value for key, value in body.items() if key != "response_format"}
        given, made = body_tokens(body) * self._drift, body["max_tokens"]
        return await self._asker.ask(body, given + made, self._price.cost_usd(given, made))

    def _usd_of(self, output: Output, body: dict[str, Any]) -> float:
        given, made = charged_tokens(body, output)
        self._drift = max(self._drift, given / max(1, body_tokens(body)))
        return self._price.cost_usd(given, made)

    def _why_closed(self, answer: Answer) -> str:
        """Why nothing more is to be asked; empty while there is no reason."""
        if answer.output is not None:
            self._in_a_row.end()
            return ""
        if answer.reason in OF_ITS_OWN or not self._in_a_row.add(answer.reason):
            return ""
        return (
            f"{self._option}: {self._endpoint.url} is asked no further after {self._in_a_row.total} failures in a row, "
            f"the last {answer.reason}: {answer.detail}. What it has answered is kept; check the URL, the model's name "
            "and the key, and run again"
        )


async def _first_of(tasks: set[asyncio.Task[Answer]]) -> tuple[set[asyncio.Task[Answer]], set[asyncio.Task[Answer]]]:
    return await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

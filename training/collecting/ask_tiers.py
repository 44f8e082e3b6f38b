"""Ask the tiers side by side, each with its workers, over one journal and one budget. Knows when to stop asking.

Knows questions and answers; knows nothing of files of records, grading or how a request travels.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from learned_router.errors import InputError
from learned_router.pricing import Price
from learned_router.training.collecting.ask import Answer, Asker, Patience
from learned_router.training.collecting.budget import Budget, charged_tokens
from learned_router.training.collecting.channels import Channel, open_channel
from learned_router.training.collecting.collect_plan import Plan, Question
from learned_router.training.collecting.endpoints import CollectTier
from learned_router.training.collecting.giving_up import FailuresInARow
from learned_router.training.collecting.journal import Journal
from learned_router.training.collecting.pace import Pace
from learned_router.training.records import Output, Skipped

SCANNED_AT_ONCE: Final = 100  # records read before others may go on: reading must not hold up answers that arrive


class Options(msgspec.Struct, frozen=True):
    """How to ask. concurrency: requests under way at once, for each tier. max_cost: dollars that all runs with this
    journal may spend together. sample: how many records, stratified by step. calls_in_text: also read tool calls that a
    model wrote as JSON into its text. The rest goes into the request.
    """

    concurrency: int = 8
    patience: Patience = Patience()
    max_cost: float | None = None
    sample: int | None = None
    seed: int = 0
    temperature: float | None = 0.0
    max_tokens: int | None = None
    logprobs: bool = False
    calls_in_text: bool = False


class TierRun(msgspec.Struct):
    """What asking one tier came to. failed: by the reasons of ``ask.REASONS``. uncounted: answers whose tokens the server
    did not count, so that their cost is by the rule. cut: answers that ended at their limit of tokens.
    closed: why it was not asked to the end. notes: options left out.
    """

    answered: int = 0
    failed: Skipped = msgspec.field(default_factory=Skipped)
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    expected_usd: float = 0.0  # of what was answered: how far expectations are off
    uncounted: int = 0
    cut: int = 0
    closed: str | None = None
    notes: list[str] = msgspec.field(default_factory=list)


class Progress:
    """What a run tells while it goes on; this one keeps it to itself."""

    def start(self, tier: str, done: int, total: int) -> None: ...

    def advance(self, tier: str, spent_usd: float) -> None: ...

    def tell(self, sentence: str) -> None: ...


class Collection:
    """One run. questions: those of a tier, record by record, None where the log holds the answer. runs: what came of it."""

    def __init__(
        self,
        questions: Callable[[CollectTier], Iterator[Question | None]],
        tiers: Sequence[CollectTier],
        plan: Plan,
        journal: Journal,
        budget: Budget,
        options: Options,
        progress: Progress,
    ) -> None:
        self._questions_of = questions
        self._asked = [tier for tier in tiers if plan.tiers[tier.name].to_ask]
        self._plan = plan
        self._journal = journal
        self._budget = budget
        self._options = options
        self._progress = progress
        self._interrupted = False
        self._in_a_row = {tier.name: FailuresInARow(at_once={"key_refused"}) for tier in tiers}
        self._workers: list[tuple[asyncio.Task[None], Asker]] = []
        self.runs = {tier.name: TierRun() for tier in tiers}

    async def ask(self) -> bool:
        """Ask everything there is to ask. Returns whether it was interrupted, with what was under way finished."""
        channels: list[Channel] = []
        try:
            for tier in self._asked:
                assert tier.endpoint is not None
                channels.append(
                    open_channel(tier.endpoint, self._options.patience.timeout_s, self._options.concurrency)
                )
            with self._stopping_on_interrupt():
                try:
                    async with asyncio.TaskGroup() as group:
                        for tier, channel in zip(self._asked, channels, strict=True):
                            self._start(group, tier, channel)
                except* InputError as failed:
                    raise failed.exceptions[0] from None
        finally:
            for channel in channels:
                await channel.close()
        return self._interrupted

    def raise_if_all_refused(self) -> None:
        """Raises InputError when a tier was given up and nothing at all was answered: there is nothing to write."""
        closed = [(tier, run) for tier in self._asked if (run := self.runs[tier.name]).closed]
        if closed and not any(run.answered for run in self.runs.values()) and not len(self._journal):
            tier, run = closed[0]
            raise InputError(f"--tier {tier.name}: {run.closed}")

    def _start(self, group: asyncio.TaskGroup, tier: CollectTier, channel: Channel) -> None:
        assert tier.endpoint is not None
        assert tier.price is not None
        counts, run = self._plan.tiers[tier.name], self.runs[tier.name]
        asker = Asker(
            channel,
            Pace(self._options.concurrency, self._options.patience.longest_asked_wait_s),
            self._budget,
            self._options.patience,
            usd_of=functools.partial(_usd_of, tier.price, run),
            key_variable=tier.endpoint.api_key_variable,
            calls_in_text=self._options.calls_in_text,
        )
        self._progress.start(tier.name, counts.journaled + counts.held, counts.journaled + counts.held + counts.to_ask)
        questions = self._questions(tier)
        turn = asyncio.Lock()  # an iterator is advanced by one worker at a time
        for _ in range(min(self._options.concurrency, counts.to_ask)):
            self._workers.append((group.create_task(self._work(tier, asker, questions, turn)), asker))

    async def _questions(self, tier: CollectTier) -> AsyncIterator[Question]:
        """What is still to be asked of a tier, read from the logs as it is needed."""
        taken = set()
        for number, asked in enumerate(self._questions_of(tier)):
            if number % SCANNED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if asked is not None and asked.key not in self._journal and asked.key not in taken:
                taken.add(asked.key)
                yield asked

    async def _work(
        self, tier: CollectTier, asker: Asker, questions: AsyncIterator[Question], turn: asyncio.Lock
    ) -> None:
        run = self.runs[tier.name]
        while not self._interrupted and run.closed is None:
            async with turn:
                asked = await anext(questions, None)
            if asked is None:
                return
            expected = asked.output_tokens if asked.output_tokens is not None else self._plan.answer_tokens
            usd = self._to_reserve(tier, asked, expected)
            answer = await asker.ask(asked.body, asked.input_tokens + expected, usd)
            run.notes, run.cut = list(asker.adapted.values()), asker.cut
            if answer.wasted_usd:  # counts against the budget of the runs to come, too
                self._journal.write_waste(asked.record.id, asked.key, answer.wasted_usd)
            if answer.reason == "over_budget":
                return
            if answer.output is None:
                self._note_failure(tier, asked, answer)
                continue
            self._journal.write(asked.record.id, asked.key, answer.output)
            assert tier.price is not None
            run.expected_usd += tier.price.cost_usd(asked.input_tokens, expected)
            run.answered += 1
            self._in_a_row[tier.name].end()
            self._progress.advance(tier.name, self._budget.spent_usd)

    def _to_reserve(self, tier: CollectTier, asked: Question, expected_output: int) -> float:
        """Dollars to set aside: with ``max_tokens`` the most it can be, else what is expected, corrected by what the
        answers so far have shown to be too low."""
        assert tier.price is not None
        run, limit = self.runs[tier.name], self._options.max_tokens
        usd = tier.price.cost_usd(asked.input_tokens, expected_output if limit is None else limit)
        drift = run.cost_usd / run.expected_usd if run.expected_usd else 1.0
        return usd * max(1.0, drift) if limit is None else usd

    def _note_failure(self, tier: CollectTier, asked: Question, answer: Answer) -> None:
        run = self.runs[tier.name]
        run.failed.add(answer.reason, f"record {asked.record.id}: {answer.detail}")
        in_a_row = self._in_a_row[tier.name]
        if in_a_row.add(answer.reason):
            run.closed = run.closed or _why_closed(tier, answer, in_a_row.total)
            self._progress.tell(f"{tier.name}: {run.closed}")

    @contextlib.contextmanager
    def _stopping_on_interrupt(self) -> Iterator[None]:
        """The first Ctrl-C lets what is under way be answered and kept, as it is paid for; the second does not wait."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self._interrupted = True
            loop.remove_signal_handler(signal.SIGINT)
            for task, asker in self._workers:
                asker.stopping = True
                if task not in asker.sending:  # it waits for its turn, or to try again: nothing paid is lost
                    task.cancel()
            self._progress.tell("stopping; waiting for the answers under way. Ctrl-C again: stop at once")

        try:
            loop.add_signal_handler(signal.SIGINT, stop)
        except (NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _usd_of(price: Price, run: TierRun, output: Output, body: dict[str, Any]) -> float:
    """What an answer has cost, added to what the tier has cost so far."""
    if output.input_tokens is None or output.output_tokens is None:
        run.uncounted += 1
    given, made = charged_tokens(body, output)
    usd = price.cost_usd(given, made)
    run.input_tokens += given
    run.output_tokens += made
    run.cost_usd += usd
    return usd


def _why_closed(tier: CollectTier, answer: Answer, in_a_row: int) -> str:
    assert tier.endpoint is not None
    where = tier.endpoint.url
    if answer.reason == "key_refused":
        variable = tier.endpoint.api_key_variable
        wanted = (
            f"a valid key in ${variable}" if variable else f"an API key; name its variable: --key {tier.name}=VARIABLE"
        )
        return f"{where} refused with {answer.detail}; it wants {wanted}"
    return f"{where} is asked no further after {in_a_row} failures in a row, the last {answer.reason}: {answer.detail}"

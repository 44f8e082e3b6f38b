"""What importers of traces share: what is no call, how a row fails, and one call turned into one record.

Knows records; knows no format and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from learned_router.request import STEPS, Message
from learned_router.training.importers.importer import Feedback, Item, Unusable
from learned_router.training.records import Output, Record, ToolCall

# What stands in a trace beside chat calls; each is counted under its own name.
NO_CALL: Final = {
    "embedding_call": "an embedding; only chat calls can be routed",
    "tool_run": "a tool's run; only chat calls can be routed",
    "agent_run": "an agent's run; the chat calls inside it are read instead",
    "chain_run": "a chain's run; the chat calls inside it are read instead",
    "retriever_run": "a retriever's run; only chat calls can be routed",
    "outer_span": "a span around a model call, which repeats it; the inner span is read instead",
    "plain_span": "a span without a model call; only chat calls can be routed",
}


class UnusableError(ValueError):
    """What is being read holds no call that could be routed: a reason and a sentence, as ``Unusable`` has them."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.unusable = Unusable(reason, detail)


class Answer(msgspec.Struct, frozen=True):
    """What a model answered. tool_calls: [] when it called nothing."""

    text: str | None
    tool_calls: list[ToolCall]


def no_call(reason: str) -> UnusableError:
    return UnusableError(reason, NO_CALL[reason])


def attempt(read: Callable[..., Iterator[Item]], *arguments: Any) -> Iterator[Item]:
    """What ``read`` yields, ending in ``Unusable`` where it fails, so that the rest of a row can be read on.

    A record that could not be written as JSON (a lone surrogate, an integer beyond 64 bits) is unusable as well.
    """
    try:
        for item in read(*arguments):
            if isinstance(item, Record):
                msgspec.json.encode(item)
            yield item
    except UnusableError as error:
        yield error.unusable
    except RecursionError:
        yield Unusable("too_deep", "nested too deeply to be read; leave such values out of the export")
    except (ValueError, TypeError, OverflowError) as error:
        yield Unusable("not_writable", f"holds what JSON cannot ({error}); export the log again, as UTF-8 JSON")


def make_record(
    *,
    id: str | None,
    model: str | None,
    messages: list[Message],
    answer: Answer | None,
    error: str | None,
    session: str | None,
    trace: str | None,
    start: float | None,
    end: float | None,
    tools: list[dict[str, Any]] | None = None,
    response_format: Any = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    latency_s: float | None = None,
    cost_usd: float | None = None,
    step: Any = None,
) -> Record:
    """The record of one call. session: the conversation; where there is none, the trace.

    start, end: seconds since 1970. latency_s: what the log says itself, for want of an end. step: any but ours is ignored.
    response_format: anything but an object is ignored.
    An answer that comes with an error is dropped: half an answer is no answer.
    Raises UnusableError when the call has no id, model, messages, or neither answer nor error.
    """
    if not id:
        raise UnusableError("no_id", "the call has no id; export it with its id")
    if not model:
        raise UnusableError("no_model", "the call does not name its model; export it with the model's name")
    if not messages:
        raise UnusableError(
            "content_not_recorded",
            "the call holds no messages; switch on the recording of message content in the instrumentation",
        )
    if answer is None and error is None:
        raise UnusableError("no_answer", "the call holds neither an answer nor an error; record outputs as well")
    if start is not None and end is not None and end >= start:
        latency_s = round(end - start, 6)
    failed = error is not None or answer is None
    output = Output(
        text=None if failed or answer is None else answer.text,
        tool_calls=None if failed or answer is None else answer.tool_calls,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        latency_s=latency_s,
        cost_usd=cost_usd,
        error=error,
    )
    return Record(
        id=id,
        messages=messages,
        outputs={model: output},
        tools=tools or None,
        response_format=response_format if isinstance(response_format, dict) else None,
        session=session or trace,
        timestamp=start,
        step=step if isinstance(step, str) and step in STEPS else None,
        # feedback on a whole trace finds its calls by this where the session is longer than the trace
        metadata={"trace": trace} if trace and session and session != trace else None,
    )


def make_feedback(target: str | None, value: float | None, name: str, shown: Any) -> Feedback:
    """A score on what it names. value: in [0, 1], None when its scale cannot be known. shown: the score as logged.

    Raises UnusableError when there is no target or no value.
    """
    if target is None:
        raise UnusableError("score_without_target", f"score {name[:40]!r} names no call, session or trace")
    if value is None:
        raise UnusableError(
            "score_without_scale",
            f"score {name[:40]!r} is {str(shown)[:40]!r}; it must lie in [0, 1], or be a word such as 'good' or 'bad'",
        )
    return Feedback(target=target, value=value, name=name)

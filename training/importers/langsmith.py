"""Read LangSmith's run exports: runs as its API and its bulk export write them, and their feedback.

Knows LangSmith's rows, nested (JSON) or with JSON text in the fields (Parquet); knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from learned_router.training.importers.conversation import read_answer, read_messages, read_tools
from learned_router.training.importers.fields import (
    count,
    first_of,
    list_of,
    mapping_of,
    moment,
    number,
    object_of,
    rating,
    text,
)
from learned_router.training.importers.importer import Feedback, Item, Unusable
from learned_router.training.importers.traced import Answer, attempt, make_feedback, make_record, no_call
from learned_router.training.records import Record

_NO_CALLS: Final = {
    "embedding": "embedding_call",
    "tool": "tool_run",
    "chain": "chain_run",
    "retriever": "retriever_run",
    "prompt": "plain_span",
    "parser": "plain_span",
}
_SESSION: Final = ("session_id", "thread_id", "conversation_id")  # the keys by which LangSmith makes threads


class Langsmith:
    """Runs, a row each, pages of the API (``{"runs": [...]}``), runs nested in ``child_runs``, and rows of feedback."""

    name = "langsmith"

    def recognises(self, row: dict[str, Any]) -> bool:
        return _is_run(row) or _is_feedback(row) or any(True for _ in _page(row))

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield from attempt(_read, row)


def _read(row: dict[str, Any]) -> Iterator[Item]:
    if _is_feedback(row):
        yield _read_feedback(row)
        return
    pending = [row] if _is_run(row) else list(_page(row))
    if not pending:
        yield Unusable("not_a_run", "neither a run nor feedback; export runs with 'run_type', 'inputs' and 'outputs'")
    pending.reverse()
    while pending:  # nested runs may lie deep: no recursion
        run = pending.pop()
        yield from attempt(_read_run, run)
        pending += [child for child in reversed(list_of(run.get("child_runs"))) if isinstance(child, dict)]


def _is_run(row: dict[str, Any]) -> bool:
    named = isinstance(row.get("run_type"), str)
    return named and bool({"inputs", "outputs", "dotted_order", "trace_id"} & row.keys())


def _is_feedback(row: dict[str, Any]) -> bool:
    return "run_id" in row and "key" in row and ("score" in row or "value" in row) and "run_type" not in row


def _page(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (run for run in list_of(row.get("runs")) if isinstance(run, dict) and _is_run(run))


def _read_run(run: dict[str, Any]) -> Iterator[Item]:
    reason = None if run.get("run_type") == "llm" else _NO_CALLS.get(str(run.get("run_type"))[:20], "plain_span")
    yield from attempt(_read_call, run) if reason is None else [no_call(reason).unusable]
    yield from _feedback_of(run)


def _read_call(run: dict[str, Any]) -> Iterator[Record]:
    inputs, outputs, extra = (object_of(run.get(name)) for name in ("inputs", "outputs", "extra"))
    parameters, metadata = mapping_of(extra.get("invocation_params")), mapping_of(extra.get("metadata"))
    answer, message = _answer(outputs)
    usage = _usage(outputs, message)
    yield make_record(
        id=text(run.get("id")),
        model=_model(outputs, message, parameters, inputs, metadata),
        messages=read_messages(inputs) if inputs else [],
        answer=answer,
        error=_error(run),
        session=text(first_of(metadata, *_SESSION) or run.get("thread_id")),
        trace=text(run.get("trace_id")),
        start=moment(run.get("start_time")),
        end=moment(run.get("end_time")),
        tools=read_tools(
            first_of(parameters, "tools", "functions")
            or first_of(inputs, "tools", "functions")
            or mapping_of(extra.get("options")).get("tools")
        ),
        response_format=first_of(parameters, "response_format") or first_of(inputs, "response_format"),
        input_tokens=count(first_of(run, "prompt_tokens") or first_of(usage, "input_tokens", "prompt_tokens")),
        output_tokens=count(
            first_of(run, "completion_tokens") or first_of(usage, "output_tokens", "completion_tokens")
        ),
        cost_usd=number(first_of(run, "total_cost")),
        step=metadata.get("step"),
    )


def _answer(outputs: dict[str, Any]) -> tuple[Answer | None, dict[str, Any]]:
    """The answer, and the fields of LangChain's message if it is one."""
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations:  # a batch of conversations, each with its candidates
        generations = generations[0]
    if isinstance(generations, dict):
        message = mapping_of(generations.get("message"))
        fields = mapping_of(message.get("kwargs") or message.get("data")) or message
        return read_answer(message or generations.get("text")), fields
    found = first_of(outputs, "choices", "message", "messages", "output", "content", "text")
    if found is None and "role" not in outputs:
        return None, {}
    if "role" in outputs or isinstance(outputs.get("content"), list):  # a message, OpenAI's or Anthropic's
        found = outputs
    if found is outputs.get("messages") and isinstance(found, list):
        found = found[-1:]
    fields = mapping_of(found)
    return read_answer(found), mapping_of(fields.get("kwargs")) or fields


def _usage(outputs: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    found = [message.get("usage_metadata"), outputs.get("usage_metadata"), outputs.get("usage")]
    found += [mapping_of(outputs.get("llm_output")).get("token_usage")]
    return next((usage for usage in found if isinstance(usage, dict) and usage), {})


def _model(
    outputs: dict[str, Any],
    message: dict[str, Any],
    parameters: dict[str, Any],
    inputs: dict[str, Any],
    metadata: dict[str, Any],
) -> str | None:
    """The model that answered; where the answer does not name it, the one that was asked."""
    found = [
        outputs.get("model"),
        first_of(mapping_of(message.get("response_metadata")), "model_name", "model"),
        first_of(mapping_of(outputs.get("llm_output")), "model_name", "model"),
        first_of(parameters, "model", "model_name"),
        inputs.get("model"),
        metadata.get("ls_model_name"),
    ]
    return next((name for name in map(text, found) if name), None)


def _error(run: dict[str, Any]) -> str | None:
    """The error without its stack trace, which may tell of the user's machine."""
    error = text(run.get("error"))
    if error is None:
        return "failed" if run.get("status") == "error" else None
    return error.split("Traceback (most recent call last)", 1)[0].strip() or "failed"


def _feedback_of(run: dict[str, Any]) -> Iterator[Item]:
    """What ``feedback_stats`` says: per key the mean of the scores, or how often each value was given."""
    target = text(run.get("id"))
    for name, stats in object_of(run.get("feedback_stats")).items():
        fields = mapping_of(stats)
        if target is None or not (count(fields.get("n")) or fields.get("avg") is not None or fields.get("values")):
            continue
        yield from attempt(_read_stats, target, str(name), fields)


def _read_stats(target: str, name: str, stats: dict[str, Any]) -> Iterator[Feedback]:
    found = rating(stats.get("avg"))
    votes = mapping_of(stats.get("values"))
    if stats.get("avg") is None and votes:
        weights = [(rating(None, word), count(votes[word]) or 0) for word in votes]
        known = [(value, times) for value, times in weights if value is not None and times]
        if len(known) == len(votes):
            found = sum(value * times for value, times in known) / sum(times for _, times in known)
    yield make_feedback(target, found, name, stats.get("avg"))


def _read_feedback(row: dict[str, Any]) -> Feedback:
    """A row of ``list_feedback``, on its run."""
    score, value = row.get("score"), row.get("value")
    found = rating(score) if score is not None else rating(None, value) if isinstance(value, str) else None
    shown = score if score is not None else value
    return make_feedback(text(row.get("run_id")), found, text(row.get("key")) or "feedback", shown)

"""Read a span by OpenTelemetry's conventions for generative AI, in their present form and the three older ones.

Knows the attributes and events of a span; knows no file and no other dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from learned_router.request import Message
from learned_router.training.importers.conversation import read_answer, read_messages, read_tools
from learned_router.training.importers.fields import count, first_of, mapping_of, number, parsed, text
from learned_router.training.importers.otlp import Event, Span
from learned_router.training.importers.traced import Answer, make_record, no_call
from learned_router.training.records import Record

DETAILS: Final = "gen_ai.client.inference.operation.details"
CHOICE: Final = "gen_ai.choice"
_MESSAGE: Final = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message")
_CONTENT: Final = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}
_CALLS: Final = frozenset(
    {"chat", "text_completion", "completion", "generate_content", "chat.completions", "text.completions"}
)
_NO_CALLS: Final = {
    "embeddings": "embedding_call",
    "embedding": "embedding_call",
    "execute_tool": "tool_run",
    "invoke_agent": "agent_run",
    "create_agent": "agent_run",
    "invoke_workflow": "chain_run",
    "agent_step": "chain_run",
    "retrieval": "retriever_run",
    "rerank": "retriever_run",
}
# gen_ai.prompt.3.tool_calls.0.name; no conversation has 100,000 messages, and a number of 4,300 digits cannot be read
_INDEXED: Final = re.compile(r"(?:gen_ai\.(prompt|completion)|llm\.request\.(functions))\.(\d{1,5})\.(.+)", re.DOTALL)
_CALL_FIELD: Final = re.compile(r"tool_calls\.(\d{1,5})\.(id|name|arguments)")


def is_content(event: Event) -> bool:
    """Whether an event or a log record carries what was said in a call."""
    return event.name in (DETAILS, CHOICE) or event.name in _CONTENT or bool(_MESSAGE.fullmatch(event.name))


def read_span(span: Span, events: Iterable[Event] = ()) -> Record:
    """The record of a chat call. events: log records that belong to the span, beside its own events.

    Raises UnusableError when the span is no chat call, or does not hold what was said.
    """
    said = [event for event in (*span.events, *events) if is_content(event)]
    attributes = dict(span.attributes)
    for event in said:
        if event.name == DETAILS or event.name in _CONTENT:
            attributes |= event.attributes
    _check_operation(attributes)
    messages, answer = _present_form(attributes)
    if not messages:
        messages, answer = _event_form(said)
    if not messages:
        messages, answer = _indexed_form(attributes)
    return make_record(
        id=span.id,
        model=text(first_of(attributes, "gen_ai.response.model", "gen_ai.request.model")),
        messages=messages,
        answer=answer,
        error=span.error,
        session=text(
            first_of(attributes, "gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
        ),
        trace=span.trace,
        start=span.start,
        end=span.end,
        tools=read_tools(first_of(attributes, "gen_ai.tool.definitions", "gen_ai.request.tools"))
        or read_tools(_indexed(attributes, "functions")),
        response_format=_response_format(attributes),
        cost_usd=number(first_of(attributes, "gen_ai.usage.cost", "gen_ai.usage.total_cost")),
        step=first_of(attributes, "step", "traceloop.association.properties.step"),
        input_tokens=count(first_of(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),
        output_tokens=count(first_of(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
    )


def _check_operation(attributes: dict[str, Any]) -> None:
    operation = first_of(attributes, "gen_ai.operation.name", "llm.request.type", "traceloop.span.kind")
    if operation in _CALLS or (operation is None and "gen_ai.request.model" in attributes):
        return
    if isinstance(operation, str) and operation in ("workflow", "task", "agent", "tool"):  # spans of traceloop's SDK
        raise no_call({"agent": "agent_run", "tool": "tool_run"}.get(operation, "chain_run"))
    raise no_call(_NO_CALLS.get(operation, "plain_span") if isinstance(operation, str) else "plain_span")


def _present_form(attributes: dict[str, Any]) -> tuple[list[Message], Answer | None]:
    """``gen_ai.input.messages`` and so on; the plain ``gen_ai.prompt`` of the oldest form reads the same way."""
    system = parsed(attributes.get("gen_ai.system_instructions"))
    messages = read_messages(first_of(attributes, "gen_ai.input.messages", "gen_ai.prompt"))
    if messages and system:
        # instructions are parts without a role; some libraries write whole messages
        whole = isinstance(system, list) and all("role" in mapping_of(part) for part in system)
        first = read_messages(system) if whole else read_messages({"role": "system", "content": system})
        if messages[0].role != "system":
            messages = first + messages
    return messages, read_answer(first_of(attributes, "gen_ai.output.messages", "gen_ai.completion"))


def _event_form(events: list[Event]) -> tuple[list[Message], Answer | None]:
    """``gen_ai.user.message`` and ``gen_ai.choice``, as span events or log records."""
    messages: list[Message] = []
    answer: Answer | None = None
    for event in events:
        named = _MESSAGE.fullmatch(event.name)
        content = _said(event)
        if named:
            messages += read_messages({"role": named[1], **content})
        elif event.name == CHOICE and answer is None:
            message = parsed(content.get("message"))
            if not isinstance(message, dict):
                message = {"content": message if message is not None else content.get("content")}
            calls = first_of(message, "tool_calls") or content.get("tool_calls")
            answer = read_answer({"role": "assistant", **message, **({"tool_calls": parsed(calls)} if calls else {})})
    return messages, answer


def _said(event: Event) -> dict[str, Any]:
    """What an event says: a log record's body; a span event has it in its attributes, as fields or as one JSON text."""
    found = parsed(event.body if event.body is not None else event.attributes.get("gen_ai.event.content"))
    if isinstance(found, dict):
        return found
    fields = {
        key.removeprefix("gen_ai."): parsed(value) if key == "tool_calls" else value
        for key, value in event.attributes.items()
    }
    if isinstance(found, str):
        fields["content"] = found
    return fields


def _indexed_form(attributes: dict[str, Any]) -> tuple[list[Message], Answer | None]:
    """``gen_ai.prompt.N.content`` and ``gen_ai.completion.N.content``."""
    messages = [message for item in _indexed(attributes, "prompt") for message in read_messages([item])]
    completions = _indexed(attributes, "completion")
    return messages, read_answer(completions[:1] or None)


def _indexed(attributes: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The objects that numbered attributes spell out, in order of their numbers."""
    items: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[int, dict[str, Any]]] = {}
    for key, value in attributes.items():
        named = _INDEXED.fullmatch(key)
        if not named or kind not in named.group(1, 2):
            continue
        index, field = int(named[3]), named[4]
        call = _CALL_FIELD.fullmatch(field)
        if call:
            calls.setdefault(index, {}).setdefault(int(call[1]), {})[call[2]] = value
            items.setdefault(index, {})
        else:
            items.setdefault(index, {})[field] = value
    for index, by_number in calls.items():
        items[index]["tool_calls"] = [call for _, call in sorted(by_number.items())]
    return [{"role": "assistant", **item} if kind == "completion" else item for _, item in sorted(items.items())]


def _response_format(attributes: dict[str, Any]) -> dict[str, Any] | None:
    schema = parsed(attributes.get("gen_ai.request.structured_output_schema"))
    if isinstance(schema, dict):
        return {"type": "json_schema", "json_schema": {"schema": schema}}
    wanted = first_of(attributes, "gen_ai.output.type", "gen_ai.openai.request.response_format")
    return {"type": "json_object"} if isinstance(wanted, str) and wanted.startswith("json") else None

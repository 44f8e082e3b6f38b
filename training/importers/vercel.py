"""Read a span of the Vercel AI SDK. Knows its attributes; knows no file and no other dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from learned_router.training.importers.conversation import read_answer, read_messages, read_tools
from learned_router.training.importers.fields import count, first_of, parsed, text
from learned_router.training.importers.otlp import Span
from learned_router.training.importers.traced import Answer, make_record, no_call
from learned_router.training.records import Record

OPERATION: Final = "ai.operationId"
_CALLS: Final = frozenset(
    f"ai.{verb}{kind}.do{done}"
    for verb, done in (("generate", "Generate"), ("stream", "Stream"))
    for kind in ("Text", "Object")
)
_OUTER: Final = frozenset(call.rsplit(".", 1)[0] for call in _CALLS)


def is_vercel(span: Span) -> bool:
    return OPERATION in span.attributes or span.name.startswith(("ai.generate", "ai.stream", "ai.embed", "ai.toolCall"))


def read_span(span: Span, parents: Mapping[tuple[str | None, str | None], Span]) -> Record:
    """The record of a model call. parents: spans by trace and id; the outer span of the call knows the wanted schema.

    Raises UnusableError when the span is no model call; that an outer span repeats its inner ones is no loss.
    """
    attributes = span.attributes
    operation = text(attributes.get(OPERATION)) or span.name.split(" ")[0]
    if operation not in _CALLS:
        kind = "embedding_call" if operation.startswith("ai.embed") else "plain_span"
        raise no_call("outer_span" if operation in _OUTER else "tool_run" if operation == "ai.toolCall" else kind)
    outer = parents.get((span.trace, span.parent))
    return make_record(
        id=span.id,
        model=text(
            first_of(attributes, "ai.response.model", "gen_ai.response.model", "ai.model.id", "gen_ai.request.model")
        ),
        messages=read_messages(first_of(attributes, "ai.prompt.messages", "ai.prompt")),
        answer=_answer(attributes),
        error=span.error,
        session=text(
            first_of(
                attributes,
                *(f"ai.telemetry.metadata.{name}" for name in ("sessionId", "session_id", "chatId", "threadId")),
                "gen_ai.conversation.id",
                "session.id",
            )
        ),
        trace=span.trace,
        start=span.start,
        end=span.end,
        tools=read_tools(attributes.get("ai.prompt.tools")),
        step=attributes.get("ai.telemetry.metadata.step"),
        response_format=_response_format(operation, {**(outer.attributes if outer else {}), **attributes}),
        input_tokens=count(
            first_of(attributes, "ai.usage.inputTokens", "ai.usage.promptTokens", "gen_ai.usage.input_tokens")
        ),
        output_tokens=count(
            first_of(attributes, "ai.usage.outputTokens", "ai.usage.completionTokens", "gen_ai.usage.output_tokens")
        ),
    )


def _answer(attributes: dict[str, Any]) -> Answer | None:
    """The names before version 4 of the SDK had no ``response``."""
    said = first_of(attributes, "ai.response.text", "ai.response.object", "ai.result.text", "ai.result.object")
    calls = parsed(first_of(attributes, "ai.response.toolCalls", "ai.result.toolCalls"))
    if said is None and not calls and first_of(attributes, "ai.response.finishReason", "ai.finishReason") is None:
        return None
    content = said if isinstance(said, str) else None
    return read_answer({"role": "assistant", "content": content, "tool_calls": calls})


def _response_format(operation: str, attributes: dict[str, Any]) -> dict[str, Any] | None:
    if "Object" not in operation:
        return None
    schema = parsed(attributes.get("ai.schema"))
    if not isinstance(schema, dict):
        return {"type": "json_object"}
    name = text(attributes.get("ai.schema.name"))
    return {"type": "json_schema", "json_schema": {**({"name": name} if name else {}), "schema": schema}}

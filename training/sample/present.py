"""Put a request to the small model: history as text, tools as one line each, the answer's shape as a JSON schema.

SmolLM2's chat template knows no tools, so the request is written out as plain text after worked examples, and the
server's grammar keeps the answer in shape. Knows requests, nothing of references or of HTTP.
"""

from __future__ import annotations

import json
from typing import Any, Final

from learned_router.request import Message
from learned_router.training.records import Record

MAX_TOKENS: Final = 64
INSTRUCTION: Final = "Answer in the form of the examples."
# Without worked examples the model answers in sentences, or repeats the request; with them it copies their form.
CALL_EXAMPLES: Final = (
    (
        "list all the servers",
        "ping(host): Ping a host\nlist_servers(): List servers",
        '{"name": "list_servers", "arguments": {}}',
    ),
    (
        'write a note: "Buy milk"',
        "add_note(text): Add a note\ndelete_note(id): Delete a note",
        '{"name": "add_note", "arguments": {"text": "Buy milk"}}',
    ),
)
JSON_EXAMPLES: Final = (
    ("Text: The parcel went to Paris on Friday.\nWhich city is in the text?", '{"city": "Paris"}'),
    ('Result: [{"id": "X-12", "size": 40}]\nWhat is the size of X-12?', '{"size": 40}'),
    ("First add_note, then ping.\nWrite the plan.", '{"steps": ["add_note", "ping"]}'),
    ('Message: "The bike is broken."\nTopics: music, bike\nWhat is it about?', '{"topic": "bike"}'),
    ("Color: green. Name the color.", '{"color": "green"}'),
)
TEXT_EXAMPLES: Final = (("2 + 6 = ?", "8"), ("Which fruit is red?\nA. banana\nB. cherry\nAnswer with the letter.", "B"))


def small_body(record: Record, model: str) -> dict[str, Any]:
    """Chat-completions body for a small model without tool support; greedy, at most 64 tokens."""
    system = "\n".join(_text(message) for message in record.messages if message.role in ("system", "developer"))
    examples, request, schema = _task(record)
    # fixed text first: the server keeps what it computed for a prefix, and the examples are most of the prompt
    messages = [{"role": "system", "content": INSTRUCTION}]
    for question, answer in examples:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": f"{system}\n{request}"})
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
    if schema is not None:
        format_name = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": format_name}
    return body


def _task(record: Record) -> tuple[list[tuple[str, str]], str, dict[str, Any] | None]:
    request = "\n".join(_line(message) for message in record.messages if message.role not in ("system", "developer"))
    if record.response_format is not None:
        return list(JSON_EXAMPLES), request, record.response_format["json_schema"]["schema"]
    if record.tools:
        examples = [(f"Request: {said}\nFunctions:\n{offered}", answer) for said, offered, answer in CALL_EXAMPLES]
        offered = "\n".join(_tool_line(tool["function"]) for tool in record.tools)
        return examples, f"Request: {request}\nFunctions:\n{offered}", call_schema(record.tools)
    return list(TEXT_EXAMPLES), request, None


def call_schema(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """JSON schema of exactly one call of one of the tools."""
    calls = []
    for tool in tools:
        function = tool["function"]
        arguments = {**function["parameters"], "additionalProperties": False}
        properties = {"name": {"const": function["name"]}, "arguments": arguments}
        call = {"type": "object", "properties": properties, "required": ["name", "arguments"]}
        calls.append({**call, "additionalProperties": False})
    return {"anyOf": calls}


def _tool_line(function: dict[str, Any]) -> str:
    return f"{function['name']}({', '.join(function['parameters']['properties'])}): {function['description']}"


def _line(message: Message) -> str:
    if message.tool_calls:
        return "\n".join(f"Call: {_call_text(call['function'])}" for call in message.tool_calls)
    return f"Result: {_text(message)}" if message.role == "tool" else _text(message)


def _call_text(function: dict[str, Any]) -> str:
    return json.dumps({"name": function["name"], "arguments": json.loads(function["arguments"])})


def _text(message: Message) -> str:
    return message.content if isinstance(message.content, str) else ""

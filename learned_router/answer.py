"""Turn whatever a caller holds of a model's answer into one ``Output``, or say which field is wrong.

Knows the shapes in which answers come; knows nothing of what is read of them.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from learned_router.errors import InputError
from learned_router.request import function_of, kind_of, text_of

# More calls than this, or tokens with a probability, or parts or characters of a text, is a model that ran away: the rest is
# not read.
CALLS_READ: Final = 64
TOKENS_READ: Final = 4_096
PARTS_READ: Final = 4_096
CHARS_READ: Final = 1_000_000
NAME_READ: Final = 1_000
# Where a call that was written as text comes to its arguments
_ARGUMENT_MARKS: Final = ('"arguments"', '"parameters"', "(")


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call: ``name`` and its ``arguments`` (an object; anything else is what the model wrote instead)."""

    name: str
    arguments: Any = None
    turn: int | None = None


class Logprobs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Natural logarithms of the probabilities of an answer's tokens, at most 0: the mean, the least, and the mean over
    the arguments of calls that stand in the text.
    """

    mean: float
    least: float
    arguments: float | None = None


class Output(msgspec.Struct, omit_defaults=True):
    """One model's answer. ``tool_calls``: None when none could be read, [] when the model chose to call nothing.

    finish_reason: why the server says that it ended: ``"length"`` where it was cut off. model: whose answer it says that
    it is; None where it does not say.
    """

    text: str | None = None
    tool_calls: list[ToolCall] | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    model: str | None = None


def parse_output(output: Any) -> Output:
    """One ``Output`` from a text, an OpenAI message or chat completion (as an object or a mapping), a mapping with
    ``text`` and ``tool_calls``, or an ``Output``.

    Raises InputError naming the field that is wrong, what was found and what is wanted.
    """
    if isinstance(output, Output):
        return _check_output(output)
    if isinstance(output, str):
        return Output(text=_read_text(output))
    dump = getattr(output, "model_dump", None)  # the clients' own objects are pydantic's
    if callable(dump) and not isinstance(output, type):
        output = dump()
    if not isinstance(output, Mapping):
        raise InputError(
            f"output is {kind_of(output)}; it must be text, a message with 'content' or 'tool_calls', a chat completion, "
            "or a mapping with 'text'"
        )
    if "choices" in output:
        return _parse_completion(output["choices"], model_named(output))
    if not output.keys() & {"content", "text", "tool_calls"}:
        found = ", ".join(str(key)[:20] for key in islice(output, 5))
        raise InputError(f"output has the fields {found or 'none'}; it must have 'content', 'text' or 'tool_calls'")
    return _parse_message(output, "output", None, None, model_named(output))


def _check_output(output: Output) -> Output:
    """The output itself, when its fields are what they must be: nothing checks a struct that is made by hand."""
    if output.text is not None and not isinstance(output.text, str):
        raise InputError(f"output.text is {kind_of(output.text)}; it must be text or null")
    if output.tool_calls is not None:
        calls = output.tool_calls
        if not isinstance(calls, list) or not all(isinstance(c, ToolCall) and isinstance(c.name, str) for c in calls):
            raise InputError("output.tool_calls is no list of ToolCall with a name; give one, or null")
    if output.model is not None and not isinstance(output.model, str):
        raise InputError(f"output.model is {kind_of(output.model)}; it must be text or null")
    logprobs = output.logprobs
    if logprobs is not None and not isinstance(logprobs, Logprobs):
        raise InputError(f"output.logprobs is {kind_of(logprobs)}; it must be Logprobs or null")
    numbers = [] if logprobs is None else [logprobs.mean, logprobs.least, logprobs.arguments or 0.0]
    if not all(_bounded(number) is not None and -math.inf < number < math.inf for number in numbers):
        raise InputError("output.logprobs holds what is no finite number; give numbers up to 0, or null")
    return output


def read_logprobs(logprobs: Any, text: str | None) -> Logprobs | None:
    """What a chat completion's ``logprobs`` say, or our own summary of them; None where they say nothing.

    text: what the tokens spell.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list | tuple) or not content:
        return bound_logprobs(logprobs)
    found = []
    spelled: list[int] = []  # where each token begins in the text
    place = 0
    for item in content[:TOKENS_READ]:
        value = _bounded(item.get("logprob") if isinstance(item, Mapping) else None)
        if value is None:
            return None
        found.append(value)
        spelled.append(place)
        token = item.get("token")
        place += len(token) if isinstance(token, str) else 0
    start = min((at for mark in _ARGUMENT_MARKS if (at := (text or "").find(mark)) >= 0), default=-1)
    arguments = [value for value, at in zip(found, spelled, strict=True) if at >= start] if start >= 0 else []
    return Logprobs(
        mean=round(sum(found) / len(found), 4),
        least=round(min(found), 4),
        arguments=round(sum(arguments) / len(arguments), 4) if arguments else None,
    )


def model_named(answer: Mapping[Any, Any]) -> str | None:
    """The model that an answer says it comes from; None where it names none, or something that is no name."""
    return text_of(answer, "model") or None


def bound_logprobs(logprobs: Any) -> Logprobs | None:
    """A summary, as records and references hold it, within the bounds of a log-probability; None where it is none."""
    if isinstance(logprobs, Logprobs):
        logprobs = {"mean": logprobs.mean, "least": logprobs.least, "arguments": logprobs.arguments}
    if not isinstance(logprobs, Mapping):
        return None
    mean, least, arguments = (_bounded(logprobs.get(name)) for name in ("mean", "least", "arguments"))
    return None if mean is None or least is None else Logprobs(mean, least, arguments)


def _bounded(value: Any) -> float | None:
    """A log-probability, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    # some servers say -infinity, or round to just above 0; an integer may be too large for a float
    return float(min(max(value, -100.0), 0.0))


def _parse_completion(choices: Any, model: str | None) -> Output:
    if not isinstance(choices, list | tuple) or not choices:
        raise InputError(f"output.choices is {kind_of(choices)}; it must be a list of at least one choice")
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise InputError(f"output.choices[0].message is {kind_of(message)}; it must be an object with 'content'")
    return _parse_message(
        message, "output.choices[0].message", choice.get("finish_reason"), choice.get("logprobs"), model
    )


def _parse_message(
    message: Mapping[Any, Any], place: str, finish_reason: Any, logprobs: Any, model: str | None
) -> Output:
    field = "text" if "text" in message else "content"
    text = _parse_text(message.get(field), f"{place}.{field}")
    if text is None and isinstance(message.get("refusal"), str):
        text = _read_text(message["refusal"])
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list | tuple):
        raise InputError(f"{place}.tool_calls is {kind_of(calls)}; it must be a list or null")
    finish_reason = message.get("finish_reason") if finish_reason is None else finish_reason
    if finish_reason is not None and not isinstance(finish_reason, str):
        raise InputError(f"{place}.finish_reason is {kind_of(finish_reason)}; it must be text or null")
    return Output(
        text=text,
        tool_calls=None
        if calls is None
        else [_parse_call(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(calls[:CALLS_READ])],
        finish_reason=finish_reason,
        logprobs=read_logprobs(message.get("logprobs") if logprobs is None else logprobs, text),
        model=model,
    )


def _parse_text(content: Any, place: str) -> str | None:
    if content is None or isinstance(content, str):
        return None if content is None else _read_text(content)
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        raise InputError(f"{place} is {kind_of(content)}; it must be text, a list of parts, or null")
    texts, left = [], CHARS_READ
    for part in islice(content, PARTS_READ):
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str) and left:
            texts.append(text[:left])
            left -= len(texts[-1])
    return clean_text("".join(texts))


def _read_text(text: str) -> str:
    return clean_text(text[:CHARS_READ])


def _parse_call(call: Any, place: str) -> ToolCall:
    if isinstance(call, ToolCall):
        if not isinstance(call.name, str):
            raise InputError(f"{place}.name is {kind_of(call.name)}; it must be text")
        return call
    if not isinstance(call, Mapping):
        raise InputError(f"{place} is {kind_of(call)}; it must be an object with 'function' or 'name'")
    function = function_of(call)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str):
        raise InputError(f"{place}.name is {kind_of(name)}; it must be text")
    return ToolCall(clean_text(name[:NAME_READ]), read_arguments(arguments))


def read_arguments(arguments: Any) -> Any:
    """A call's arguments out of the JSON that servers write them as, "" where there are none.

    What does not parse, or is too long to try, is kept as the model wrote it: it is judged as it is.
    """
    if isinstance(arguments, str) and len(arguments) <= CHARS_READ:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(arguments or "{}")
    return arguments


def clean_text(text: str) -> str:
    """Without lone surrogates, which JSON can spell and UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

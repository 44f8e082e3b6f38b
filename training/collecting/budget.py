"""Count dollars and tokens: what requests will likely cost, what is spent, and whether one more fits. Sends nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from learned_router.training.records import Output, Record

# The rule for tokens where a log does not count them; of all tokenizers' answers, one on the high side.
ASCII_CHARACTERS_PER_TOKEN: Final = 4  # every other character counts as a token: most scripts need about one each
TOKENS_OF_IMAGE: Final = 1000
TOKENS_OF_ANSWER: Final = 256  # where no answer of the log tells how long they are


class Budget:
    """Dollars spent, and reserved for what is under way. max_usd: None sets no bound. spent_usd: before this run."""

    def __init__(self, max_usd: float | None, spent_usd: float = 0.0) -> None:
        self.max_usd = max_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        self.exhausted = False
        self._settled = asyncio.Event()

    async def reserve(self, usd: float) -> bool:
        """Set ``usd`` aside for one request; waits while what is under way decides whether it fits. False: it does not,
        and from then on nothing that costs anything does."""
        while usd > 0 and self.max_usd is not None:
            if self.exhausted or self.spent_usd + usd > self.max_usd:
                self.exhausted = True
                self._settled.set()
                return False
            if self.spent_usd + self.reserved_usd + usd <= self.max_usd:
                break
            self._settled.clear()
            await self._settled.wait()
        self.reserved_usd += usd
        return True

    def settle(self, reserved_usd: float, spent_usd: float) -> None:
        """The request is over and has cost ``spent_usd``."""
        self.reserved_usd = max(0.0, self.reserved_usd - reserved_usd)
        self.spent_usd += spent_usd
        self._settled.set()


def text_tokens(text: str) -> int:
    """Tokens in a text by the rule: four ASCII characters a token, any other character a token of its own."""
    others = len(text) - len(text.encode("ascii", "ignore"))
    return others + -(-(len(text) - others) // ASCII_CHARACTERS_PER_TOKEN)


def body_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of a request: its messages, tools and response format as JSON, by the rule; an image counts 1,000."""
    asked = [body[key] for key in ("tools", "response_format") if key in body]
    images = 0
    for message in body.get("messages", ()):
        parts = message.get("content")
        if isinstance(parts, list):
            texts = [part for part in parts if not _is_image(part)]
            images += len(parts) - len(texts)
            message = {**message, "content": texts}
        asked.append(message)
    return text_tokens(json.dumps(asked, ensure_ascii=False)) + images * TOKENS_OF_IMAGE


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and ("image" in str(part.get("type"))[:40] or "image_url" in part)


def output_tokens(output: Output) -> int:
    """Tokens of an answer: the log's own count, else by the rule."""
    if output.output_tokens is not None:
        return output.output_tokens
    calls = [[call.name, call.arguments] for call in output.tool_calls or ()]
    written = json.dumps(calls, ensure_ascii=False, default=str) if calls else ""
    return text_tokens((output.text or "") + written)


def charged_tokens(body: Mapping[str, Any], output: Output) -> tuple[int, int]:
    """Tokens of a request and of its answer as the server counts them; by the rule where it does not, since nothing is
    never the price."""
    given = body_tokens(body) if output.input_tokens is None else output.input_tokens
    return given, output_tokens(output)


def answer_tokens(record: Record) -> int | None:
    """Tokens of the longest answer that the log holds for a request; None when it holds none."""
    held = [
        output_tokens(output)
        for output in record.outputs.values()
        if output.error is None and (output.text or output.tool_calls or output.output_tokens)
    ]
    return max(held, default=None)


def counted_input_tokens(record: Record) -> int | None:
    """Tokens of a request as the log counts them, by the tokenizer that counts most; None when it does not."""
    return max((output.input_tokens for output in record.outputs.values() if output.input_tokens), default=None)

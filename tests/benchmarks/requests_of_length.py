"""Make requests of a given number of tokens: prompts, and an agent's transcript with tools. Knows text; times nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

TEXT = (
    "please list every open ticket of the billing team then compare the oldest invoice with its order and write a short "
    "summary for finance before noon because the customer called twice about refund number seven and wants an answer "
    "today while our server in the north region still reports errors"
)
TURN_TOKENS = 250
SPECIAL_TOKENS = 2  # that a view of one prompt has besides: start and separator


class RequestMaker:
    """Requests counted in the tokens of an artifact's own tokenizer; seeded, no two alike."""

    def __init__(self, tokenizer: Path, seed: int = 0) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._random = random.Random(seed)
        self._words = TEXT.split()

    def prompt(self, tokens: int) -> str:
        """A prompt of ``tokens`` tokens, special tokens not counted; one or two fewer where a word needs several."""
        words = self._random.choices(self._words, k=tokens)
        while self.count(" ".join(words)) > tokens:
            words.pop()
        return " ".join(words)

    def transcript(self, tokens: int, tools: int) -> dict[str, Any]:
        """An agent's request: system prompt, then calls and their results up to about ``tokens`` tokens, and tools."""
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": self.prompt(TURN_TOKENS)},
            {"role": "user", "content": self.prompt(40)},
        ]
        for turn in range(max(1, tokens // TURN_TOKENS)):
            call = {"name": f"tool_{turn % tools}", "arguments": f'{{"query": "ticket {turn}"}}'}
            calls = [{"id": f"call-{turn}", "type": "function", "function": call}]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            messages.append({"role": "tool", "tool_call_id": f"call-{turn}", "content": self.prompt(TURN_TOKENS)})
        return {"messages": messages, "tools": [self._tool(number) for number in range(tools)]}

    def transcripts(self, tokens: int, tools: int, count: int) -> list[dict[str, Any]]:
        """Requests as ``transcript`` makes, that differ in the last result: to make each anew would take minutes."""
        first = self.transcript(tokens, tools)
        *before, last = first["messages"]
        return [{**first, "messages": [*before, {**last, "content": self.prompt(TURN_TOKENS)}]} for _ in range(count)]

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _tool(self, number: int) -> dict[str, Any]:
        properties = {
            "query": {"type": "string", "description": self.prompt(12)},
            "limit": {"type": "integer", "minimum": 1},
            "filter": {"type": "object", "properties": {"status": {"type": "string", "enum": ["open", "closed"]}}},
        }
        parameters = {"type": "object", "properties": properties, "required": ["query"]}
        return {
            "type": "function",
            "function": {"name": f"tool_{number}", "description": self.prompt(20), "parameters": parameters},
        }

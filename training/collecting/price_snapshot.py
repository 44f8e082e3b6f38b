"""``python -m learned_router.training.collecting.price_snapshot``: take the dated prices anew from ``genai-prices``.

Knows which models are widely used; what a price is, is the runtime's.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from learned_router.pricing import SNAPSHOT, Price, Snapshot, price_in_package

# Every name of a line has that line's price; a dated name stands here only where it was checked to cost the same.
MODELS: Final = """
gpt-5.1
gpt-5 gpt-5-2025-08-07
gpt-5-mini gpt-5-mini-2025-08-07
gpt-5-nano gpt-5-nano-2025-08-07
gpt-4.1 gpt-4.1-2025-04-14
gpt-4.1-mini gpt-4.1-mini-2025-04-14
gpt-4.1-nano gpt-4.1-nano-2025-04-14
gpt-4o gpt-4o-2024-08-06 gpt-4o-2024-11-20
gpt-4o-2024-05-13
gpt-4o-mini gpt-4o-mini-2024-07-18
gpt-4-turbo gpt-4-1106-preview gpt-4-turbo-2024-04-09
gpt-4 gpt-4-0613
gpt-3.5-turbo gpt-3.5-turbo-0125
o1 o1-2024-12-17
o3 o3-2025-04-16
o3-mini o3-mini-2025-01-31
o4-mini o4-mini-2025-04-16
claude-opus-4-5 claude-opus-4-5-20251101
claude-opus-4-1 claude-opus-4-1-20250805
claude-sonnet-4-5 claude-sonnet-4-5-20250929
claude-sonnet-4-20250514 claude-sonnet-4-0
claude-haiku-4-5 claude-haiku-4-5-20251001
claude-3-7-sonnet-20250219 claude-3-7-sonnet-latest
claude-3-5-sonnet-20241022 claude-3-5-sonnet-20240620 claude-3-5-sonnet-latest
claude-3-5-haiku-20241022 claude-3-5-haiku-latest
claude-3-haiku-20240307
gemini-2.5-pro
gemini-2.5-flash
gemini-2.5-flash-lite
gemini-2.0-flash
gemini-1.5-pro
mistral-large-latest
mistral-small-latest
deepseek-chat
deepseek-reasoner
grok-4
command-r-plus
"""


def make_snapshot() -> Snapshot:
    """The prices of ``MODELS`` today. Raises KeyError naming a model whose price is not known or not one."""
    prices: dict[str, Price] = {}
    names: dict[str, str] = {}
    source = ""
    for line in MODELS.split("\n"):
        for name in line.split():
            found = price_in_package(name)
            if found is None:
                raise KeyError(name)
            source = found.source
            bare = msgspec.structs.replace(found, source="", as_of="")
            if prices.setdefault(line.split()[0], bare) != bare:
                raise KeyError(f"{name} does not cost what {line.split()[0]} costs")
            names[name] = line.split()[0]
    return Snapshot(source=source, as_of=datetime.now(UTC).date().isoformat(), prices=prices, names=names)


def main() -> int:
    """Write the snapshot; without genai-prices, say how to install it."""
    try:
        snapshot = make_snapshot()
    except KeyError as missing:
        print(f"no price: {missing.args[0]}; 'pip install -U genai-prices', or change the list", file=sys.stderr)
        return 1
    SNAPSHOT.write_bytes(msgspec.json.format(msgspec.json.encode(snapshot), indent=1) + b"\n")
    print(f"{SNAPSHOT}: {len(snapshot.names)} names from {snapshot.source}, {snapshot.as_of}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

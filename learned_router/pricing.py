"""What a model's tokens cost, from ``genai-prices`` when installed, else from the dated snapshot beside this file.

Knows names of models and prices; knows nothing of requests, tiers or endpoints, and never takes an unknown price for $0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from learned_router.errors import InputError

SNAPSHOT: Final = Path(__file__).with_name("prices.json")
# What litellm and gateways write before a model's name, where genai-prices has another word for the provider.
PROVIDERS: Final = {"gemini": "google", "vertex_ai": "google", "xai": "x-ai", "together_ai": "together"}
FIRST_PARTY: Final = ("anthropic", "cohere", "deepseek", "google", "mistral", "openai", "x-ai")


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """US dollars per million tokens. as_of: the day the price held, ISO 8601. source: who said so.

    A request of more than ``above_tokens`` input tokens is charged whole at ``input_above`` and ``output_above``.
    """

    input_per_million: float
    output_per_million: float
    source: str = ""
    as_of: str = ""
    above_tokens: int | None = None
    input_above: float = 0.0
    output_above: float = 0.0

    def __post_init__(self) -> None:
        for name in ("input_per_million", "output_per_million", "input_above", "output_above"):
            if not 0.0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} is {value}; a price is 0 or more")

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """Dollars for one request of that many tokens; cached or batched tokens are charged as any other."""
        above = self.above_tokens is not None and input_tokens > self.above_tokens
        given = self.input_above if above else self.input_per_million
        made = self.output_above if above else self.output_per_million
        return (input_tokens * given + output_tokens * made) / 1e6


class Snapshot(msgspec.Struct, frozen=True):
    """The file of prices: ``names`` maps every name a model goes by to its entry in ``prices``."""

    source: str
    as_of: str
    prices: dict[str, Price]
    names: dict[str, str]


def price_of(model: str) -> Price:
    """The price of a hosted model, under the name its provider uses, with or without ``provider/`` before it.

    Raises InputError for a model that neither ``genai-prices`` nor the snapshot knows, and for one listed as free:
    free tiers end, so a price of nothing is the user's to state.
    """
    found = price_in_package(model)
    if found is None:
        found = _price_in_snapshot(model)
    if found is None:
        raise InputError(
            f"no price is known for model {model!r}; give it in $ per million tokens as --price '{model}=IN,OUT' "
            "(0,0 for a model of your own), or install genai-prices, which knows more models"
        )
    if found.input_per_million <= 0 and found.output_per_million <= 0:
        raise InputError(f"{found.source} lists model {model!r} at $0; if that is right, say --price '{model}=0,0'")
    return found


def cost_usd(model: str, input_tokens: int, output_tokens: int) -> float:
    """Dollars for one request of ``model``. Raises InputError as ``price_of`` does."""
    return price_of(model).cost_usd(input_tokens, output_tokens)


def parse_prices(options: Iterable[str]) -> dict[str, Price]:
    """``NAME=IN,OUT`` options, dollars per million tokens, by name. Raises InputError on anything else."""
    prices: dict[str, Price] = {}
    for option in options:
        name, _, value = option.rpartition("=")  # a model's name may itself hold '='
        price = parse_price(value, "--price")
        if not name or price is None:
            raise InputError(f"--price {option!r}: write NAME=IN,OUT in $ per million tokens, as in small=0.15,0.6")
        if name in prices:
            raise InputError(f"--price {option!r}: {name!r} is given twice")
        prices[name] = price
    return prices


def parse_price(value: str, source: str) -> Price | None:
    """``IN,OUT``, dollars per million tokens, as ``source`` said today; None when it is anything else."""
    try:
        given, made = (float(number) for number in value.split(","))
    except ValueError:
        return None
    if not (0 <= given < math.inf and 0 <= made < math.inf):
        return None
    return Price(given, made, source, datetime.now(UTC).date().isoformat())


def price_in_package(model: str) -> Price | None:
    """What the installed ``genai-prices`` says; None when it is absent or does not know the model.

    Where a price depends on the hour, the highest of the coming day: a budget must not be made of the cheapest one.
    """
    try:
        import genai_prices
    except ModuleNotFoundError:
        return None
    now = datetime.now(UTC)
    found = [
        price for hour in range(24) if (price := _at(genai_prices, model, now + timedelta(hours=hour))) is not None
    ]
    return max(found, key=lambda price: price.input_per_million + price.output_per_million, default=None)


def _at(package: Any, model: str, when: datetime) -> Price | None:
    usage = package.Usage(input_tokens=1, output_tokens=1)
    prefix, _, rest = model.partition("/")
    asked: list[tuple[str, str | None]] = [(model, None)]
    if rest:
        asked.append((rest, PROVIDERS.get(prefix, prefix)))
    for name, provider in asked:
        try:
            found = package.calc_price(usage, name, provider_id=provider, genai_request_timestamp=when)
        except LookupError:
            continue
        given, made = found.model_price.input_mtok, found.model_price.output_mtok
        if given is None or made is None:  # charged by image or minute: no price for text
            continue
        source = f"genai-prices {package.__version__}"
        starts = [tier.start for price in (given, made) for tier in getattr(price, "tiers", ())]
        if not starts:
            return Price(float(given), float(made), source, when.date().isoformat())
        (low_in, high_in), (low_out, high_out) = _ends(given), _ends(made)
        return Price(low_in, low_out, source, when.date().isoformat(), min(starts), high_in, high_out)
    return None


def _ends(price: Any) -> tuple[float, float]:
    """The price of a short request, and the highest of a long one."""
    base = float(getattr(price, "base", price))
    return base, max([base, *(float(tier.price) for tier in getattr(price, "tiers", ()))])


@cache
def read_snapshot() -> Snapshot:
    """The snapshot that ships with the package."""
    return msgspec.json.decode(SNAPSHOT.read_bytes(), type=Snapshot)


def _price_in_snapshot(model: str) -> Price | None:
    snapshot = read_snapshot()
    name = model.lower()
    prefix, _, rest = name.partition("/")
    if rest and PROVIDERS.get(prefix, prefix) in FIRST_PARTY:  # elsewhere the same model has another price
        name = rest
    entry = snapshot.names.get(name)
    if entry is None:
        return None
    return msgspec.structs.replace(snapshot.prices[entry], source=snapshot.source, as_of=snapshot.as_of)

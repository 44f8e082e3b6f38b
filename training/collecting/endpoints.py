"""Read what ``--tier``, ``--key`` and ``--price`` say of a tier, and where a model is asked. Sends nothing.

A tier is ``NAME=MODEL`` (answers that the log holds, never asked), ``NAME=MODEL@URL`` (an OpenAI-compatible server, its base
URL up to ``/v1``; ``#SERVED`` behind it where the server calls the model by another name), ``NAME=litellm:MODEL`` or
``NAME=MODEL@litellm:SERVED`` (through litellm).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from learned_router.errors import InputError
from learned_router.pricing import Price, parse_prices, price_of

LITELLM: Final = "litellm:"
OPENAI_KEY: Final = "OPENAI_API_KEY"
SPELLING: Final = (
    "write NAME=MODEL for answers that the log holds, NAME=MODEL@https://HOST/v1 for a server, or NAME=litellm:MODEL"
)
# a URL or litellm behind the last such '@'; a model's own name may hold one, as in claude-3-5-sonnet@20240620
WHERE: Final = re.compile(r"@(?=https?://|litellm:)", re.IGNORECASE)

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Endpoint(msgspec.Struct, frozen=True):
    """Where a model is asked. ``url``: base up to and with ``/v1``, or ``litellm:`` for that package. ``served_name``:
    the server's name for the model, when it differs. ``api_key_variable``: environment variable that holds the key; the
    key itself is never stored.
    """

    url: str
    served_name: str | None = None
    api_key_variable: str | None = None

    @property
    def through_litellm(self) -> bool:
        return self.url == LITELLM


class CollectTier(msgspec.Struct, frozen=True):
    """One tier to collect. ``model``: its key in the records' outputs. ``endpoint``: None when it is never asked.
    ``price``: None only when it is never asked.
    """

    name: str
    model: str
    endpoint: Endpoint | None = None
    price: Price | None = None


def parse_tiers(tiers: Sequence[str], *, keys: Sequence[str] = (), prices: Sequence[str] = ()) -> list[CollectTier]:
    """The tiers of ``NAME=…`` options, cheapest first.

    keys: ``NAME=VARIABLE``, the environment variable of a tier's key. Without it, ``OPENAI_API_KEY`` goes to OpenAI's
    own host and no key to any other, so that no stranger is handed it. prices: ``NAME=IN,OUT``, by tier or by model.
    Raises InputError on anything misspelt, a tier given twice, and a tier to ask whose price is not known.
    """
    variables = _variables(keys)
    given = parse_prices(prices)
    parsed: list[CollectTier] = []
    for option in tiers:
        tier = _parse_tier(option, variables)
        if any(tier.name == other.name for other in parsed):
            raise InputError(f"--tier {option!r}: {tier.name!r} is given twice")
        if any(tier.model == other.model for other in parsed):
            raise InputError(f"--tier {option!r}: {tier.model!r} stands for two tiers; give each tier its own model")
        if tier.endpoint is not None:
            tier = msgspec.structs.replace(tier, price=_price(tier, given))
        parsed.append(tier)
    if not parsed:
        raise InputError(f"--tier: none given; {SPELLING}")
    _check_names("--key", variables, [tier.name for tier in parsed if tier.endpoint is not None])
    _check_names("--price", given, [name for tier in parsed for name in (tier.name, tier.model, _asked_name(tier))])
    return parsed


def api_key(endpoint: Endpoint) -> str | None:
    """The key from the environment, or None where none is sent. Raises InputError when the variable is not set."""
    if endpoint.api_key_variable is None:
        return None
    key = os.environ.get(endpoint.api_key_variable, "").strip()
    if not key:
        raise InputError(
            f"environment variable {endpoint.api_key_variable} is empty or not set; it must hold the API key of "
            f"{endpoint.url}. Set it, or name another variable (--key NAME=VARIABLE, a judge's --judge-key VARIABLE)"
        )
    if not key.isascii() or not key.isprintable():
        raise InputError(
            f"environment variable {endpoint.api_key_variable} holds characters that no HTTP header can carry; "
            "set it to the key alone"
        )
    return key


def _parse_tier(option: str, variables: Mapping[str, str]) -> CollectTier:
    told = without_secrets(option)
    try:
        option.encode()
    except UnicodeEncodeError:
        raise InputError(f"--tier {told!r}: not UTF-8; write it with characters that are") from None
    name, separator, value = option.partition("=")
    model, place = split_model(value)
    if not separator or not name or not model:
        raise InputError(f"--tier {told!r}: {SPELLING}")
    if place is None:
        if "://" in value:
            raise InputError(f"--tier {told!r}: not an http or https URL; {SPELLING}")
        return CollectTier(name, model)
    return CollectTier(
        name, model, read_endpoint(place, variables.get(name), option=f"--tier {name}", key_option=f"--key {name}=")
    )


def split_model(value: str) -> tuple[str, str | None]:
    """Model and place of ``MODEL``, ``MODEL@URL``, ``litellm:MODEL`` or ``MODEL@litellm:SERVED``; the place is None where
    none is said, and the model empty where a name is missing."""
    if value.startswith(LITELLM):
        return value.removeprefix(LITELLM), value
    model, *places = WHERE.split(value)
    if not places:
        return model, None
    place = places[-1]
    return "" if place == LITELLM else "@".join([model, *places[:-1]]), place


def read_endpoint(place: str, variable: str | None, *, option: str, key_option: str) -> Endpoint:
    """Where ``split_model`` says that a model is asked.

    variable: of the key; without it, ``OPENAI_API_KEY`` for OpenAI's own host alone. option: what gave the place, for
    messages; key_option: what a variable's name is put behind. Raises InputError for a URL that is none or holds a secret.
    """
    if place.startswith(LITELLM):
        return Endpoint(LITELLM, place.removeprefix(LITELLM), variable)
    try:
        parts = urlsplit(place)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"{option}: its URL cannot be read ({error}); write https://HOST/v1") from None
    if "@" in parts.netloc or parts.query:  # not repeated here: a key may stand in it
        raise InputError(
            f"{option}: its URL holds a user, a password or a query; give the bare URL, and the key in an "
            f"environment variable named by {key_option}VARIABLE"
        )
    if not parts.hostname:
        raise InputError(f"{option}: its URL {place!r} has no host; write https://HOST/v1")
    base = f"{parts.scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}".removesuffix("/chat/completions")
    if variable is None and parts.scheme == "https" and parts.hostname.endswith(".openai.com"):
        variable = OPENAI_KEY
    return Endpoint(base, parts.fragment or None, variable)


def _variables(options: Sequence[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for option in options:
        name, _, variable = option.partition("=")
        if not name or not VARIABLE.fullmatch(variable):  # not repeated: it may be the key itself
            raise InputError(
                f"--key {name}: write NAME=VARIABLE, the name of the environment variable that holds the key; "
                "the key itself is never given on the command line"
            )
        if name in variables:
            raise InputError(f"--key {name}: given twice")
        variables[name] = variable
    return variables


def _price(tier: CollectTier, given: Mapping[str, Price]) -> Price:
    for name in (tier.name, tier.model, _asked_name(tier)):
        if name in given:
            return given[name]
    try:
        return price_of(_asked_name(tier))
    except InputError as unknown:
        raise InputError(f"--tier {tier.name}: {unknown}") from None


def _asked_name(tier: CollectTier) -> str:
    return (tier.endpoint.served_name if tier.endpoint else None) or tier.model


def _check_names(option: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"{option} {name}: no such tier to ask; there are {', '.join(dict.fromkeys(known)) or 'none'}"
            )


def without_secrets(option: str) -> str:
    """``option`` without what may be a key in its URL, for messages."""
    return re.sub(r"//[^/@]*@|\?.*", "…", option)

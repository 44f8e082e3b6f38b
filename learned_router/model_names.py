"""Whether two names are one model's: servers, gateways and logs spell it differently. Knows names; knows no models."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

# A version by its day, as -2024-05-13 and -20240620 at the end of a name
_DAY: Final = re.compile(r"-20\d\d-?[01]\d-?[0-3]\d$")
_FILE: Final = (".gguf", ".safetensors", ".bin")
# Joins the models of one tier whose labels come from several, in ``Tier.model``
JOINT: Final = " / "


def plain_name(name: str) -> str:
    """A model's name without what says where it is served: "openai/gpt-4o" and "GPT-4o" are "gpt-4o".

    Providers and folders stand before a slash, Vertex AI joins the version by "@", Ollama calls the default ":latest".
    """
    last = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].lower().replace("@", "-")
    for ending in (":latest", *_FILE):
        last = last.removesuffix(ending)
    return last


def known_names(models: str, aliases: Iterable[str] = ()) -> frozenset[str]:
    """Plain names of a tier: of its model or of each of several joined by " / ", and of the aliases."""
    return frozenset(filter(None, map(plain_name, (*models.split(JOINT), *aliases))))


def is_known(name: str, known: Collection[str]) -> bool:
    """Whether a name is of one of the ``known_names``.

    A name without a day leaves the version to the provider, so the same name with one is known too; of a name with a
    day no other day is, nor the name without.
    """
    plain = plain_name(name)
    return plain in known or _DAY.sub("", plain) in known


def contradicts(name: str, known: Collection[str], files: bool) -> bool:
    """Whether an answer that names its model says that it comes from another than the known ones.

    A server of one file, as llama.cpp's, names that file whatever it was asked for; it says so only where names of files
    are known (``files``).
    """
    return bool(plain_name(name)) and not is_known(name, known) and (files or not is_file(name))


def is_file(name: str) -> bool:
    """Whether a name is that of a file of weights."""
    return name.strip().lower().endswith(_FILE)

"""Who made an artifact: an Ed25519 signature of ``config.json``, which holds the hashes of all other files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from learned_router.errors import ArtifactError, InputError, MissingExtraError

SIGNATURE: Final = "signature"  # beside config.json, and not among the files that it lists
_LENGTH: Final = 64  # bytes of an Ed25519 signature
_MAKE: Final = "; make one: openssl genpkey -algorithm ed25519 -out key.pem"
PublicKey = str | os.PathLike[str] | bytes


def sign(config: bytes, private_key: bytes) -> bytes:
    """The signature of a ``config.json``. private_key: an Ed25519 key as PEM, without a password.

    Raises InputError when it is none, MissingExtraError without the package cryptography.
    """
    keys, _ = _library()
    try:
        key = keys.load_pem_private_key(private_key, password=None)
        signature = key.sign(config)
    except (ValueError, TypeError, AttributeError) as error:  # no PEM; a password is needed; a key that signs nothing
        raise InputError(f"the key is no Ed25519 private key as PEM without a password ({error}){_MAKE}") from None
    if len(signature) != _LENGTH:
        raise InputError(f"the key is of another kind than Ed25519{_MAKE}")
    return bytes(signature)


def check_signature(folder: Path, config: bytes, public_key: PublicKey) -> None:
    """Raises ArtifactError when the folder's signature is not by this key. public_key: PEM, or the path of a file of it.

    Raises InputError when it is no Ed25519 key, MissingExtraError without the package cryptography.
    """
    keys, invalid = _library()
    place = folder / SIGNATURE
    try:
        pem = public_key if isinstance(public_key, bytes) else Path(public_key).read_bytes()
        key = keys.load_pem_public_key(pem)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"public_key is no public key as PEM, nor the path of one ({error})") from None
    if not place.is_file():
        raise ArtifactError(
            f"{place}: missing; the artifact is not signed, and a public key was given. Sign it: learned-router sign"
        )
    with place.open("rb") as file:
        signature = file.read(_LENGTH + 1)
    try:
        key.verify(signature, config)
    except invalid:
        raise ArtifactError(
            f"{place}: not by this key, or config.json was changed since. Restore the artifact, or get its maker's key"
        ) from None
    except (TypeError, AttributeError):  # other kinds of keys verify otherwise, or not at all
        raise InputError(f"public_key is of another kind than Ed25519{_MAKE}") from None


def _library() -> tuple[Any, type[Exception]]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization
    except ModuleNotFoundError:
        raise MissingExtraError(
            "signatures need the package cryptography: pip install 'learned-router[sign]'"
        ) from None
    return serialization, InvalidSignature

"""With a public key given, an artifact is served only as its maker signed it."""

from __future__ import annotations

import builtins
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learned_router import ArtifactError, InputError, MissingExtraError, Router
from learned_router.cli import main
from learned_router.signature import SIGNATURE, sign

pytest.importorskip("cryptography")


def keys(kind: str = "ed25519") -> tuple[bytes, bytes]:
    """A private key and its public one, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

    made: Any = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    }[kind]()
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = made.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    return private, made.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


PRIVATE, PUBLIC = keys()


@pytest.fixture
def signed(artifact: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(artifact, tmp_path / "signed"))
    (folder / SIGNATURE).write_bytes(sign((folder / "config.json").read_bytes(), PRIVATE))
    return folder


def test_a_signed_artifact_is_served_with_or_without_the_key(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(PUBLIC)
    for key in (None, PUBLIC, tmp_path / "key.pub", str(tmp_path / "key.pub")):
        assert Router.load(signed, public_key=key).route("count the orders").tier


def test_an_unsigned_artifact_is_refused_when_a_key_is_given(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"signature: missing; the artifact is not signed"):
        Router.load(artifact, public_key=PUBLIC)


@pytest.mark.parametrize("signature", [b"", b"x", b"x" * 64, b"x" * 10_000])
def test_a_signature_that_is_none_is_refused(signed: Path, signature: bytes) -> None:
    (signed / SIGNATURE).write_bytes(signature)
    with pytest.raises(ArtifactError, match=r"signature: not by this key"):
        Router.load(signed, public_key=PUBLIC)


def test_a_signature_by_another_key_or_with_a_byte_more_is_refused(signed: Path) -> None:
    with pytest.raises(ArtifactError, match=r"signature: not by this key"):
        Router.load(signed, public_key=keys()[1])
    (signed / SIGNATURE).write_bytes((signed / SIGNATURE).read_bytes() + b"x")
    with pytest.raises(ArtifactError, match=r"signature: not by this key"):
        Router.load(signed, public_key=PUBLIC)


def test_a_file_exchanged_with_its_hash_is_told_by_the_signature(signed: Path, edited: Callable[..., Path]) -> None:
    other = edited(files={"README.md": b"another"})
    shutil.copy(signed / SIGNATURE, other / SIGNATURE)
    assert Router.load(other)
    with pytest.raises(ArtifactError, match=r"config\.json was changed since"):
        Router.load(other, public_key=PUBLIC)


def test_reload_asks_for_the_signature_too(signed: Path, artifact: Path) -> None:
    router = Router.load(signed, public_key=PUBLIC)
    with pytest.raises(ArtifactError, match="not signed"):
        router.reload(artifact)
    router.reload(signed)


@pytest.mark.parametrize("key", [b"", b"x", "/nosuch/key", PRIVATE, keys("ec")[1], 7], ids=repr)
def test_what_is_no_ed25519_key_is_the_callers_error(signed: Path, key: Any) -> None:
    with pytest.raises(InputError, match=r"^public_key is "):
        Router.load(signed, public_key=key)


@pytest.mark.parametrize("key", [b"", PUBLIC, keys("ec")[0], keys("ed448")[0]])
def test_what_is_no_private_ed25519_key_signs_nothing(key: bytes) -> None:
    with pytest.raises(InputError, match="openssl genpkey"):
        sign(b"{}", key)


def test_without_the_library_the_message_says_what_to_install(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"learned-router\[sign\]"):
        Router.load(signed, public_key=PUBLIC)
    assert Router.load(signed)


def test_sign_and_check_are_commands(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(artifact, tmp_path / "mine")
    (tmp_path / "key.pem").write_bytes(PRIVATE)
    (tmp_path / "key.pub").write_bytes(PUBLIC)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["learned-router", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(str(caught.value.code))

    assert run("check", folder, "--public-key", tmp_path / "key.pub") == 2
    assert "not signed" in capsys.readouterr().err
    assert run("sign", folder, "--key", tmp_path / "key.pem") == 0
    assert run("check", folder, "--public-key", tmp_path / "key.pub") == 0
    (folder / "README.md").write_bytes(b"another")
    assert run("sign", folder, "--key", tmp_path / "key.pem") == 2  # nobody signs what is not whole

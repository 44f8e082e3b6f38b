"""The artifact folder: its schema, and reading it with every file checked. Knows files; knows nothing of inference."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from learned_router.errors import ArtifactError
from learned_router.fingerprints import Fingerprints
from learned_router.policy import Mode, Reason, Tier, check_rules
from learned_router.pricing import Price
from learned_router.request_features import FEATURES
from learned_router.signature import PublicKey, check_signature
from learned_router.view import GATE_FEATURES, AnswerViewSpec, ViewSpec

SCHEMA_VERSION: Final = 1
CONFIG: Final = "config.json"
GATE: Final = "gate.onnx"
CERTIFICATE: Final = "certificate.json"
FILES: Final = ("model.onnx", "tokenizer.json", CERTIFICATE, "metrics.json", "reference.jsonl", "README.md")
# Far above any encoder of this kind; a folder that claims more is not read into memory.
LARGEST_FILE_BYTES: Final = 2 * 1024**3
# Ours are a few kilobytes; the fingerprints of ten thousand tools would take one megabyte.
LARGEST_CONFIG_BYTES: Final = 16 * 1024**2
# Of what a file says, so much stands in a message
TOLD_CHARS: Final = 300


class Provenance(msgspec.Struct, frozen=True):
    """Where an artifact comes from: hashes of the recipe and of the labels, the seed, versions, sources by licence."""

    recipe: str
    recipe_sha256: str
    labels_sha256: str
    labels: dict[str, int]  # rows by split
    seed: int
    created: str  # ISO date
    versions: dict[str, str]
    sources: dict[str, int]  # labels by their source
    licences: dict[str, str]  # by source, where the labels say


class GateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate needs beside its graph. confidence: weights of ``policy.as_good_probability``, for any lower tier.

    rules: failures that send an answer up whatever is predicted of it. expects_logprobs: the thresholds were chosen on
    answers that tell their token probabilities, so that they are not for one that tells none.
    """

    view: AnswerViewSpec
    features: tuple[str, ...]
    ood_threshold: float
    confidence: tuple[float, float, float]
    rules: tuple[Reason, ...]
    expects_logprobs: bool = False

    def __post_init__(self) -> None:
        check_rules(self.rules)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """``config.json``: all that the runtime needs beside the graph and the tokenizer."""

    schema_version: int
    name: str
    tiers: tuple[Tier, ...]
    steps: tuple[str, ...]
    view: ViewSpec
    features: tuple[str, ...]
    modes: dict[str, Mode]
    default_mode: str
    ood_threshold: float
    confidence: dict[str, tuple[float, float, float]]  # weights of ``policy.as_good_probability`` by lower tier
    prices: dict[str, Price]  # of tokens, by tier; empty where they are not known
    files: dict[str, str]  # sha256 by file name
    provenance: Provenance
    gate: GateConfig | None = None
    call_costs: dict[str, float] = {}  # of an average call, by tier, the top tier's being 1
    fingerprints: Fingerprints = Fingerprints()  # of tools and system prompts; empty in artifacts made before


class Artifact(msgspec.Struct, frozen=True):
    """A folder that has been read and checked. hash: sha256 of ``config.json``, which holds those of all other files.

    graph, tokenizer, gate: the bytes that were checked, so that nothing is read a second time, when it may be another;
    gate is the second graph, None in an artifact without one.
    """

    path: Path
    config: Config
    hash: str
    graph: bytes
    tokenizer: bytes
    gate: bytes | None = None


def read_artifact(path: Path, public_key: PublicKey | None = None) -> Artifact:
    """Read and check an artifact folder.

    public_key: whose signature it must bear, where one is wanted.
    Raises ArtifactError when it is missing, truncated, tampered with, mixed from two artifacts, or of a newer version.
    """
    if not path.is_dir():
        raise ArtifactError(f"{path}: no such folder; give the folder that 'learned-router train --out' wrote")
    raw = _read(path / CONFIG, LARGEST_CONFIG_BYTES)
    if public_key is not None:
        check_signature(path, raw, public_key)
    config = parse_config(raw, path / CONFIG)
    for name in (*FILES, *((GATE,) if config.gate else ())):
        if name not in config.files:
            raise ArtifactError(f"{path / CONFIG}: 'files' has no hash of {name}; export the artifact again")
    kept: dict[str, bytes] = {}
    for name in config.files:
        if name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
            raise ArtifactError(f"{path / CONFIG}: file name {name!r} points outside the folder; export it again")
        content = check_file(path, config, name)
        if name in ("model.onnx", "tokenizer.json", GATE):
            kept[name] = content
    return Artifact(
        path=path,
        config=config,
        hash=hashlib.sha256(raw).hexdigest(),
        graph=kept["model.onnx"],
        tokenizer=kept["tokenizer.json"],
        gate=kept[GATE] if config.gate else None,
    )


def check_file(folder: Path, config: Config, name: str) -> bytes:
    """A file of an artifact that was read before, read again. Raises ArtifactError where it is no longer the same."""
    content = _read(folder / name)
    found, expected = hashlib.sha256(content).hexdigest(), config.files[name]
    if found != expected:
        raise ArtifactError(
            f"{folder / name}: sha256 is {found[:12]}…, config.json says {expected[:12]}…; "
            "the file was changed or cut short. Restore the artifact or export it again"
        )
    return content


def parse_config(raw: bytes, place: Path) -> Config:
    """``config.json`` from its bytes. Raises ArtifactError naming the field that is wrong; ``place`` is for messages."""
    try:
        version = msgspec.json.decode(raw, type=_Versioned).schema_version
        if version > SCHEMA_VERSION:
            raise ArtifactError(
                f"{place}: schema version {version}; this learned-router reads up to {SCHEMA_VERSION}. "
                "Upgrade it: pip install -U learned-router"
            )
        if version < 1:
            raise ArtifactError(f"{place}: schema version {version}; there never was one. Export the artifact again")
        if twice := _find_duplicate(raw):
            raise ArtifactError(
                f"{place}: {twice!r:.60} is there twice; the file was edited. Export the artifact again"
            )
        config = msgspec.json.decode(raw, type=Config)
    except (ValueError, RecursionError) as error:  # all decoders', and of integers of more digits than Python reads
        found = str(error)[:TOLD_CHARS]
        raise ArtifactError(f"{place}: {found}; the file is damaged or not an artifact's. Export it again") from None
    lists: list[tuple[tuple[str, ...], tuple[str, ...]]] = [(config.features, FEATURES)]
    if config.gate:
        lists.append((config.gate.features, GATE_FEATURES))
    for made, computed in lists:
        if made != computed:
            raise ArtifactError(
                f"{place}: made for {len(made)} features, this version computes {len(computed)}; "
                "export the artifact again with this version"
            )
    if len(config.tiers) < 2:
        raise ArtifactError(
            f"{place}: {len(config.tiers)} tier; a router needs at least two. Export the artifact again"
        )
    problem = _find_contradiction(config)
    if problem:
        raise ArtifactError(
            f"{place}: {problem[:TOLD_CHARS]}; the file was edited or damaged. Export the artifact again"
        )
    return config


def _find_contradiction(config: Config) -> str | None:
    if not config.name or not config.name.isprintable():  # it ends up in every decision and in logs
        return f"name is {config.name!r:.60}; it must be printable"
    names = [tier.name for tier in config.tiers]
    if len(set(names)) < len(names):
        return f"two tiers have the same name ({', '.join(names)})"
    if not config.steps or len(set(config.steps)) < len(config.steps):
        return f"steps are {', '.join(config.steps) or 'none'}; there must be some, each once"
    unsure = [name for name in names[:-1] if name not in config.confidence]
    if unsure:
        return f"confidence has no weights for {', '.join(unsure)}"
    if config.default_mode not in config.modes:
        return f"default mode {config.default_mode!r} is not among {', '.join(config.modes)}"
    for part in (config, config.gate):
        if part is not None and part.ood_threshold <= 0.0:
            return f"ood_threshold is {part.ood_threshold}; it must be above 0"
    for tier, cost in config.call_costs.items():
        if not 0.0 <= cost < math.inf:
            return f"call_costs.{tier} is {cost}; it must be 0 or more"
    if config.gate:
        ungated = [name for name, mode in config.modes.items() if mode.gated is None]
        if ungated:
            return f"there is a gate, and no threshold of it in mode {', '.join(ungated)}"
    return None


class _Versioned(msgspec.Struct):
    schema_version: int


def _find_duplicate(raw: bytes) -> str | None:
    """A key that one object holds twice: readers differ in which one they believe."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            found.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)

    json.loads(raw, object_pairs_hook=look)
    return found[0] if found else None


def _read(path: Path, most: int | None = None) -> bytes:
    """A file's bytes. Links are followed, as caches and mounts need them: what counts is the hash of what is found.

    most: bytes that it may have; by default LARGEST_FILE_BYTES.
    """
    limit = LARGEST_FILE_BYTES if most is None else most
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a named pipe would be waited for, a device read without end
            raise ArtifactError(f"{path}: cannot be read (no regular file). Restore the artifact or export it again")
        if found.st_size <= limit:
            with path.open("rb") as file:
                content = file.read(limit + 1)
            if len(content) <= limit:
                return content
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; the artifact is incomplete. Restore it or export it again") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ArtifactError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}). "
            "Restore the artifact or export it again"
        ) from None
    raise ArtifactError(f"{path}: larger than {limit} bytes; not an artifact's file. Export the artifact again")


def exported_folders() -> tuple[Path, Path]:
    """Where what ships with the package lies: inside it (wheel) or beside it (checkout).

    Found by path: importlib.resources fails on it in editable installs.
    """
    package = Path(__file__).parent
    return package / "exported", package.parent / "exported"


def shipped_artifact(name: str = "small-frontier") -> Path:
    """Folder of an artifact that ships with the package."""
    for folder in exported_folders():
        if (folder / name / CONFIG).is_file():
            return folder / name
    raise ArtifactError(
        f"no shipped artifact {name!r} beside {Path(__file__).parent.name}; pass the folder of your own: Router.load(path)"
    )

"""Scores and figures of the benchmarks on disk; scores one file a run, so that what was run once is not run again.

Knows arrays, structs and files; knows nothing of methods or of what the figures mean.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from bench_methods import Scored

TAKEN = "taken_"
Figures = TypeVar("Figures", bound=msgspec.Struct)


class Run(NamedTuple):
    """One method on one pair with one seed. scored: None when the method had nothing to learn from."""

    scored: Scored | None
    seconds: float


def key_of(knobs: str, data: str, seed: int) -> str:
    """What a run's scores depend on, as a hash: a stored run with another key is stale."""
    return hashlib.sha256("\n".join((knobs, data, str(seed))).encode()).hexdigest()


def slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def run_path(work: Path, pair: str, method: str, seed: int) -> Path:
    return work / slug(pair) / f"{method}-{seed}.npz"


def save_run(path: Path, run: Run, key: str) -> None:
    """Written aside and then renamed: a run cut short leaves no half scores."""
    arrays: dict[str, Any] = {"key": np.array(key), "seconds": np.array(run.seconds)}
    if run.scored is not None:
        arrays["score"] = run.scored.score
        if run.scored.quality is not None:
            arrays["quality"] = run.scored.quality
        arrays |= {TAKEN + mode: index for mode, index in run.scored.taken.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.part")
    with aside.open("wb") as file:
        np.savez(file, **arrays)
    aside.replace(path)


def load_run(path: Path, key: str) -> Run | None:
    """The stored run, or None when there is none with this key."""
    try:
        with np.load(path) as stored:
            if str(stored["key"]) != key:
                return None
            if "score" not in stored:
                return Run(None, float(stored["seconds"]))
            taken = {name.removeprefix(TAKEN): stored[name] for name in stored.files if name.startswith(TAKEN)}
            quality = stored.get("quality")
            return Run(Scored(stored["score"], quality, taken), float(stored["seconds"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # not there, or cut short on the disk: it is run again


def read_figures(path: Path, kind: type[Figures]) -> Figures | None:
    """What ``write_figures`` wrote; None where there is no file yet."""
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.is_file() else None


def write_figures(figures: msgspec.Struct, path: Path) -> None:
    """Written aside and then renamed, as JSON that a person can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
    aside.replace(path)

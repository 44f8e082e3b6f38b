"""Graph to artifact folder: compared with the model, written aside, loaded by the real ``Router``, then renamed.

Knows artifacts and files; knows nothing of training or of how thresholds were chosen.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from learned_router.artifact import CONFIG, Config
from learned_router.errors import ExportError
from learned_router.replay import replay
from learned_router.router import Router
from learned_router.training.recipe import ExportKnobs


class Difference(NamedTuple):
    """How far the graph's qualities lie from the model's, in quality units."""

    mean: float
    largest: float


def compare(graph_quality: np.ndarray, model_quality: np.ndarray, knobs: ExportKnobs) -> Difference:
    """How far graph and model lie apart on the same rows, both (n, n_tiers).

    Raises ExportError when that is more than the recipe's tolerance.
    """
    distance = np.abs(graph_quality - model_quality)
    found = Difference(float(distance.mean()), float(distance.max()))
    mean, largest = knobs.quality_tolerance
    if found.mean > mean or found.largest > largest:
        raise ExportError(
            f"model.onnx and the trained model disagree on quality by {found.mean:.4f} in the mean and "
            f"{found.largest:.4f} at most, over {len(distance)} requests; allowed are {mean} and {largest}. "
            "Set export.int8 = false in the recipe, or widen export.quality_tolerance if that is good enough"
        )
    return found


def describe_difference(difference: Difference, knobs: ExportKnobs) -> str:
    """A sentence on how far the graph that ships lies from the model that was trained."""
    kind = "int8" if knobs.int8 else "float32"
    return (
        f"{kind} graph against the trained model: quality differs by {difference.mean:.4f} in the mean, "
        f"{difference.largest:.4f} at most"
    )


def compare_decisions(
    graph_quality: np.ndarray,
    model_quality: np.ndarray,
    thresholds: Mapping[str, float],
    difference: Difference,
    *,
    graph: str = "model.onnx",
) -> int:
    """Rows on which graph and model decide differently though neither is near a threshold; 0, or it raises.

    Near means within twice the largest difference of quality, which is what a regret can be off by.
    Raises ExportError naming the mode and the number of rows.
    """
    near = 2.0 * difference.largest
    for mode, threshold in thresholds.items():
        ours = (graph_quality[:, -1:] - graph_quality[:, :-1]) - threshold
        theirs = (model_quality[:, -1:] - model_quality[:, :-1]) - threshold
        flipped = ((ours <= 0) != (theirs <= 0)) & (np.minimum(np.abs(ours), np.abs(theirs)) > near)
        if flipped.any():
            raise ExportError(
                f"mode {mode!r}: {graph} and the trained model decide {int(flipped.any(axis=1).sum())} of "
                f"{len(ours)} requests differently away from the threshold {threshold:.4f}; the export is wrong"
            )
    return 0


def check_target(target: Path) -> None:
    """Raises ExportError when an artifact cannot be put at ``target`` without losing something else."""
    if target.name in ("", ".."):  # artifacts are written beside their place, which needs a name
        raise ExportError(f"{target}: has no name of its own; name a new folder with --out, as in {target / 'router'}")
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target}: a file stands there; name another folder with --out")
    if target.is_dir() and any(target.iterdir()) and not (target / CONFIG).is_file():
        raise ExportError(f"{target}: a folder that is no artifact stands there; name another with --out, or empty it")


def write_artifact(
    target: Path,
    config: Config,
    contents: Mapping[str, bytes],
    measure: Callable[[Router], Mapping[str, bytes]],
) -> Router:
    """Write an artifact aside, load it with the real ``Router``, let ``measure`` try it, then rename it into place.

    contents: files by name; ``config.json`` is made here, from ``config`` and their hashes. measure: given the loaded
    router, returns the files that could only be written now (metrics, card, reference decisions).
    Raises ExportError, leaving no half artifact and any earlier artifact at ``target`` as it was.
    """
    check_target(target)
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        if not target.exists() and _kept_old(target).exists():  # an earlier run was killed between two renames
            _kept_old(target).rename(target)
        aside.mkdir(parents=True)
        _write_all(aside, target, config, contents)
        measured = measure(Router.load(aside, mode=config.default_mode, strict=True))
        _write_all(aside, target, config, {**contents, **measured})
        problems = replay(Router.load(aside, mode=config.default_mode, strict=True))
        if problems:
            raise ExportError(f"{target}: the exported router does not repeat its own decisions: {problems[0]}")
        _swap(aside, target)
    except OSError as error:
        raise _not_written(target, error) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Router.load(target, mode=config.default_mode, strict=True)


def _write_all(folder: Path, target: Path, config: Config, contents: Mapping[str, bytes]) -> None:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    pretty = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(config, files=hashes)), indent=2)
    for name, content in {**contents, CONFIG: pretty + b"\n"}.items():
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise _not_written(target / name, error) from None


def _not_written(path: Path, error: OSError) -> ExportError:
    return ExportError(
        f"{path}: cannot be written ({error.strerror or error}); free some space or name another folder with --out. "
        "No half artifact was left behind, and an earlier one is as it was"
    )


def _swap(aside: Path, target: Path) -> None:
    old = _kept_old(target)
    if not target.exists():
        aside.rename(target)
    else:
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        try:
            aside.rename(target)
        except OSError:
            old.rename(target)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _kept_old(target: Path) -> Path:
    """Where the earlier artifact lies for the moment in which a new one takes its place."""
    return target.with_name(f".{target.name}.old")

"""Model to graph, graph to artifact folder: written aside, checked, loaded by the real ``Router``, then renamed.

Knows ONNX and files; knows nothing of training or of how thresholds were chosen.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

from learned_router.artifact import CONFIG, Config
from learned_router.encoder import INPUTS, OUTPUTS
from learned_router.errors import ExportError
from learned_router.replay import replay
from learned_router.router import Router
from learned_router.training.model import CalibratedNet
from learned_router.training.recipe import ExportKnobs

OPSET = 17


class Difference(NamedTuple):
    """How far the graph's qualities lie from the model's, in quality units."""

    mean: float
    largest: float


def build_graph(net: CalibratedNet, knobs: ExportKnobs) -> bytes:
    """The ONNX graph of the design's contract: fused for inference and, when the recipe says so, quantised to int8.

    Raises ExportError when the disk cannot hold it while it is made.
    """
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # the exporter warns of its own deprecation; what it writes is checked below
            warnings.simplefilter("ignore")
            return _make_graph(net, knobs, Path(folder))
    except OSError as error:
        raise ExportError(
            f"{tempfile.gettempdir()}: model.onnx cannot be made there ({error.strerror or error}); "
            "free some space, or set TMPDIR to a folder with room"
        ) from None


def _make_graph(net: CalibratedNet, knobs: ExportKnobs, folder: Path) -> bytes:
    config = net.net.encoder.config
    example = (
        torch.ones(2, 8, dtype=torch.int64),
        torch.ones(2, 8, dtype=torch.int64),
        torch.zeros(2, net.net.feature_mean.shape[0]),
    )
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS[:2]}
    axes |= {name: {0: "batch"} for name in (INPUTS[2], *OUTPUTS)}
    plain, fused, small = (folder / name for name in ("plain.onnx", "fused.onnx", "int8.onnx"))
    torch.onnx.export(
        net.eval(),
        example,
        str(plain),
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    options = FusionOptions("bert")
    optimized = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        optimization_options=options,
        opt_level=0,
    )
    optimized.save_model_to_file(str(fused))
    if not knobs.int8:
        return fused.read_bytes()
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it asks for a pre-processing step that fusing has replaced
    try:
        quantize_dynamic(
            str(fused),
            str(small),
            weight_type=QuantType.QInt8,
            per_channel=True,
            # the heads stay in float32: they are a hundredth of the work, and calibration rests on them
            nodes_to_exclude=_head_nodes(optimized.model),
            # fused nodes have no shape inference, so their type must be said
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        logging.getLogger().setLevel(level)
    return small.read_bytes()


def _head_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the matrix products outside the encoder, also as the quantiser renames a Gemm."""
    products = [node.name for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    heads = [name for name in products if "/encoder/" not in name]
    return heads + [f"{name}_MatMul" for name in heads]


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

"""``python -m learned_router.training.requantise ARTIFACT``: weights of eight bits to seven, so that no processor overflows.

For an artifact exported before 2026-11-28, where its labels are gone and it cannot be trained again. Knows graphs and
artifacts; trains and measures nothing, so that metrics and thresholds stay those of the graph before.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from learned_router.artifact import GATE, read_artifact
from learned_router.errors import InputError, LearnedRouterError
from learned_router.replay import read_references, record_again
from learned_router.router import Router
from learned_router.training.export import write_artifact
from learned_router.training.graph import LARGEST_WEIGHT

PRODUCTS = ("MatMulInteger", "QAttention", "DynamicQuantizeMatMul")
MODEL, REFERENCES, CARD = "model.onnx", "reference.jsonl", "README.md"


def requantise(graph: bytes) -> tuple[bytes, int]:
    """The graph with every int8 matrix of a product within ± 64 and its scales to fit, and how many matrices changed.

    Raises InputError where a matrix has no scales beside it by the name that onnxruntime's quantiser gives them.
    """
    model = onnx.load_model_from_string(graph)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = sorted({node.input[1] for node in model.graph.node if node.op_type in PRODUCTS} & held.keys())
    changed = 0
    for name in weights:
        weight = numpy_helper.to_array(held[name])
        if weight.dtype != np.int8 or np.abs(weight.astype(int)).max() <= LARGEST_WEIGHT:
            continue
        scale = name.replace("_quantized", "_scale")
        if scale == name or scale not in held:
            raise InputError(f"{MODEL}: {name[:100]} has no scales called {scale[:100]}; export the artifact again")
        doubled = 2 * numpy_helper.to_array(held[scale])
        halved = np.rint(weight.astype(np.float32) / 2).astype(np.int8)
        held[scale].CopyFrom(numpy_helper.from_array(doubled.astype(np.float32), scale))
        held[name].CopyFrom(numpy_helper.from_array(halved, name))
        changed += 1
    found: bytes = model.SerializeToString()
    return found, changed


def requantise_artifact(path: Path) -> tuple[int, float, float]:
    """Rewrite an artifact in its place. Its reference requests are decided, and recorded, anew.

    Returns how many matrices changed, and by how much qualities of the reference decisions did, in the mean and at most.
    Raises ArtifactError for what is no artifact, InputError for a graph that another quantiser made.
    """
    artifact = read_artifact(path)
    before = read_references(Router(artifact, strict=True))
    contents = {name: (path / name).read_bytes() for name in artifact.config.files}
    changed, apart = 0, [0.0]
    for name in (MODEL, GATE):
        if name in contents:
            contents[name], count = requantise(contents[name])
            changed += count

    def measure(router: Router) -> dict[str, bytes]:
        after = [record_again(router, reference) for reference in before]
        apart[:] = [
            max(abs(new.quality[tier] - quality) for tier, quality in old.quality.items())
            for old, new in zip(before, after, strict=True)
        ] or [0.0]
        told = (
            "\nIts graph was then requantised (`python -m learned_router.training.requantise`), to weights of seven bits "
            "that\n"
            f"every processor multiplies alike: qualities of the {len(after)} reference decisions changed by\n"
            f"{np.mean(apart):.4f} in the mean, {max(apart):.4f} at most. Figures and thresholds above are of the "
            "graph before.\n"
        )
        lines = b"".join(msgspec.json.encode(reference) + b"\n" for reference in after)
        return {REFERENCES: lines, CARD: contents[CARD] + told.encode()}

    write_artifact(path, artifact.config, contents, measure)
    return changed, float(np.mean(apart)), max(apart)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m learned_router.training.requantise", description=__doc__)
    parser.add_argument("artifact", type=Path, help="the folder, which is rewritten")
    try:
        changed, mean, most = requantise_artifact(parser.parse_args().artifact)
    except LearnedRouterError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"{changed} matrices; qualities of the reference decisions differ by {mean:.4f} in the mean, {most:.4f} at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

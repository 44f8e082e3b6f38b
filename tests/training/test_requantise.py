"""An artifact of before: its weights lose a bit, so that every processor multiplies them alike, and nothing else is lost."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from learned_router.errors import InputError
from learned_router.replay import read_references, replay
from learned_router.router import Router
from learned_router.training import requantise
from learned_router.training.graph import LARGEST_WEIGHT


def eight_bits(name: str = "w_quantized", scale: str = "w_scale") -> bytes:
    """A product as onnxruntime's quantiser writes it: whole numbers by whole numbers, and their scales after."""
    weight = np.array([[127, -128], [64, 3]], dtype=np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("MatMulInteger", ["x", name], ["whole"]),
            helper.make_node("Cast", ["whole"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["cast", scale], ["y"]),
        ],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weight, name), numpy_helper.from_array(np.array([0.5, 0.25], np.float32), scale)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_weights_are_halved_and_their_scales_doubled_once() -> None:
    graph, changed = requantise.requantise(eight_bits())
    assert changed == 1
    held = {one.name: numpy_helper.to_array(one) for one in onnx.load_model_from_string(graph).graph.initializer}
    assert held["w_quantized"].tolist() == [[64, -64], [32, 2]]
    assert held["w_scale"].tolist() == [1.0, 0.5]
    assert requantise.requantise(graph) == (graph, 0)


def test_a_graph_of_another_quantiser_is_refused() -> None:
    with pytest.raises(InputError, match="weights has no scales"):
        requantise.requantise(eight_bits("weights", "scales"))


def test_an_artifact_is_rewritten_whole_and_repeats_what_it_now_decides(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "router"
    shutil.copytree(artifact, folder)
    before = Router.load(folder)
    monkeypatch.setattr(sys, "argv", ["requantise", str(folder)])
    assert requantise.main() == 0
    assert capsys.readouterr().out.startswith("0 matrices")  # today's export has seven bits already
    after = Router.load(folder)
    assert replay(after) == []
    assert len(read_references(after)) == len(read_references(before))
    assert "was then requantised" in (folder / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {path.name for path in artifact.iterdir()}


def test_what_is_no_artifact_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["requantise", str(tmp_path)])
    assert requantise.main() == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_shipped_graph_cannot_overflow() -> None:
    graph = onnx.load(Router.load().path / "model.onnx").graph
    held = {one.name: one for one in graph.initializer}
    weights = [node.input[1] for node in graph.node if node.op_type in requantise.PRODUCTS]
    assert weights
    assert max(np.abs(numpy_helper.to_array(held[name]).astype(int)).max() for name in weights) == LARGEST_WEIGHT

"""A graph that would have onnxruntime open another file is refused before onnxruntime sees it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import constant_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from learned_router import ArtifactError, Router
from learned_router.graph_file import DEEPEST, check_graph

GOOD = {"quality": [[0.25, 0.75]], "step": [[1.0] * 10], "ood": [0.5]}
Place = Callable[[ModelProto, TensorProto], None]


def outside(location: str = "../secret") -> TensorProto:
    """A tensor whose numbers lie in another file."""
    tensor = numpy_helper.from_array(np.zeros((1, 2), dtype=np.float32), "elsewhere")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "8"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def initializer(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.initializer[0].CopyFrom(tensor)


def constant(model: ModelProto, tensor: TensorProto) -> None:
    """What onnxruntime 1.32 reads, relative to the working folder, though it was given bytes."""
    node = model.graph.node[0]
    node.op_type, node.input[:] = "Constant", []
    node.attribute.append(helper.make_attribute("value", tensor))


def subgraph(model: ModelProto, tensor: TensorProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [tensor])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def subgraphs(model: ModelProto, tensor: TensorProto) -> None:
    inner = helper.make_graph([helper.make_node("Constant", [], ["x"], value=tensor)], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("bodies", [inner, inner]))


def tensors(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("values", [tensor]))


def sparse(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)


def sparse_indices(model: ModelProto, tensor: TensorProto) -> None:
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.type = "sparse", onnx.AttributeProto.SPARSE_TENSOR
    attribute.sparse_tensor.indices.CopyFrom(tensor)


def function(model: ModelProto, tensor: TensorProto) -> None:
    model.functions.add().node.append(helper.make_node("Constant", [], ["x"], value=tensor))


def function_default(model: ModelProto, tensor: TensorProto) -> None:
    model.functions.add().attribute_proto.append(helper.make_attribute("default", tensor))


def training(model: ModelProto, tensor: TensorProto) -> None:
    model.training_info.add().initialization.initializer.append(tensor)


PLACES = (
    initializer,
    constant,
    subgraph,
    subgraphs,
    tensors,
    sparse,
    sparse_indices,
    function,
    function_default,
    training,
)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_tensor_in_another_file_is_found_wherever_it_hangs(place: Place) -> None:
    model = onnx.load_from_string(constant_graph(GOOD))
    place(model, outside())
    with pytest.raises(ArtifactError, match=r"^gate\.onnx keeps tensors in another file.*Export the artifact again$"):
        check_graph(model.SerializeToString(), "gate.onnx")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_tensor_in_the_file_itself_is_fine_wherever_it_hangs(place: Place) -> None:
    model = onnx.load_from_string(constant_graph(GOOD))
    place(model, numpy_helper.from_array(np.zeros((1, 2), dtype=np.float32), "here"))
    check_graph(model.SerializeToString(), "gate.onnx")


def test_either_sign_of_another_file_is_enough() -> None:
    for drop in ("external_data", "data_location"):
        model = onnx.load_from_string(constant_graph(GOOD))
        tensor = outside()
        tensor.ClearField(drop)
        initializer(model, tensor)
        with pytest.raises(ArtifactError, match="in another file"):
            check_graph(model.SerializeToString(), "model.onnx")


def test_every_message_of_onnx_that_can_hold_a_tensor_is_walked() -> None:
    """The table of fields against the library's own description, so that a new version of ONNX shows."""
    from learned_router import graph_file

    names = {
        "ModelProto": "model",
        "TrainingInfoProto": "training",
        "FunctionProto": "function",
        "GraphProto": "graph",
        "NodeProto": "node",
        "AttributeProto": "attribute",
        "SparseTensorProto": "sparse",
        "TensorProto": "tensor",
    }
    for message, ours in names.items():
        described = getattr(onnx, message, None) or getattr(onnx.onnx_ml_pb2, message)
        holders = {
            field.number: names[field.message_type.name]
            for field in described.DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in names
        }
        assert graph_file._FIELDS[ours] == holders


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_file_is_opened_for_a_graph_that_names_one(edited: Callable[..., Path], tmp_path: Path) -> None:
    secret = tmp_path / "work" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(bytes(8))
    model = onnx.load_from_string(constant_graph(GOOD))
    constant(model, outside("../work/secret"))
    folder = edited(files={"model.onnx": model.SerializeToString()})
    code = f"from learned_router import Router; Router.load({str(folder)!r})"
    told = tmp_path / "told"
    traced = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,stat,newfstatat,statx", "-o", str(told)]
    ran = subprocess.run([*traced, sys.executable, "-c", code], cwd=secret.parent, capture_output=True, text=True)
    assert "keeps tensors in another file" in ran.stderr
    assert "model.onnx" in told.read_text(errors="replace")
    assert "secret" not in told.read_text(errors="replace")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ORTM" * 100,
        b"\x00" * 10,
        b"\x3a",
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x3b\x3c",
        b"\x08" + b"\xff" * 12,
        b"\x0f",
        b"\x12\x06xxORTM",  # a whole message of protobuf, which onnxruntime takes for one of its own format
    ],
    ids=repr,
)
def test_bytes_that_are_no_graph_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"model\.onnx cannot be loaded \(it is no ONNX graph\)"):
        check_graph(content, "model.onnx")


def nested(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    inner = b""
    for level in range(depth):
        tag = (0x2A, 0x0A, 0x32)[level % 3]  # from without: graph of an attribute, node of a graph, attribute of a node
        size, length = len(inner), b""
        while True:
            length += bytes([size & 0x7F | (0x80 if size > 0x7F else 0)])
            size >>= 7
            if not size:
                break
        inner = bytes([tag]) + length + inner
    return inner


def test_nesting_has_an_end() -> None:
    check_graph(b"\x3a" + nested(DEEPEST - DEEPEST % 3)[1:], "model.onnx")
    with pytest.raises(ArtifactError, match="no ONNX graph"):
        check_graph(b"\x3a" + nested(3 * DEEPEST)[1:], "model.onnx")


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_no_bytes_at_all_make_it_raise_anything_else(content: bytes) -> None:
    for whole in (content, b"\x3a" + bytes([len(content) & 0x7F]) + content):
        with suppress(ArtifactError):
            check_graph(whole, "model.onnx")


def test_an_artifact_with_such_a_gate_is_refused_by_the_gates_name(edited: Callable[..., Path]) -> None:
    model = onnx.load_from_string(constant_graph(GOOD))
    initializer(model, outside())
    with pytest.raises(ArtifactError, match=r"gate\.onnx keeps tensors in another file"):
        Router.load(edited(files={"gate.onnx": model.SerializeToString()}))

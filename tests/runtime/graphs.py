"""ONNX graphs that answer every request alike, so that a test says what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from learned_router.encoder import INPUTS


def token_graph(outputs: Mapping[str, Any], token: int, value: float | None, added_to: str) -> bytes:
    """As ``constant_graph``, but for ``token``, where ``added_to`` grows by ``value``, or the run fails if that is None."""
    table = np.zeros(100_000, dtype=np.int64)
    table[token] = 1
    model = onnx.load_from_string(constant_graph(outputs))
    node = next(node for node in model.graph.node if node.output[0] == added_to)
    node.op_type, node.input[:] = "Add", [node.input[0], "of_tokens"]
    model.graph.node.insert(0, helper.make_node("ReduceSum", ["by_token"], ["of_tokens"], keepdims=0))
    model.graph.node.insert(0, helper.make_node("Gather", ["values", "found"], ["by_token"]))
    model.graph.node.insert(0, helper.make_node("Gather", ["table", "input_ids"], ["found"]))
    values = [0.0] if value is None else [0.0, value]  # the second Gather has no place 1
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.float32), "values"))
    return bytes(model.SerializeToString())


def constant_graph(outputs: Mapping[str, Any], inputs: tuple[str, ...] = INPUTS) -> bytes:
    """An ONNX graph that answers every request with ``outputs``, whatever it is given."""
    kinds = {name: (TensorProto.FLOAT if name == "features" else TensorProto.INT64) for name in inputs}
    arrays = {name: np.array(value, dtype=np.float32) for name, value in outputs.items()}
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"{name}_value"], [name]) for name in arrays],
        "constant",
        [helper.make_tensor_value_info(name, kind, ["batch", "width"]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in arrays.items()],
        [numpy_helper.from_array(array, f"{name}_value") for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())

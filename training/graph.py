"""Network to ONNX graph, node by node: an encoder of BERT's kind, its means, the heads with their calibration inside.

Written here and not traced, so that every node is one that runs fast and computes the same everywhere. Knows the network
and ONNX; knows nothing of files, thresholds or artifacts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from learned_router.encoder import INPUTS, OUTPUTS
from learned_router.training.model import COUNT_FROM_PADDING, MOST_DEVIATIONS, CalibratedNet, has_map, middle_layer

OPSET: Final = 17
IR_VERSION: Final = 8
# onnxruntime's own operators, in every build of it: for CPUs, for arm64, for WebAssembly
OWN: Final = "com.microsoft"
# Seven bits a weight, not eight: without VNNI a processor adds two products of uint8 and int8 in 16 bits, which holds
# 2 * 255 * 64 and not 2 * 255 * 127. With eight the same graph predicted up to 0.05 else on such a machine
LARGEST_WEIGHT: Final = 64
LARGEST_EMBEDDING: Final = 127  # looked up, never multiplied as integers

Array = NDArray[np.float32]


def make_graph(net: CalibratedNet, *, int8: bool) -> bytes:
    """The graph of the design's contract, serialised. int8: weights of the encoder's products as int8, its word
    embeddings too; the heads stay in float32, since they are a hundredth of the work and calibration rests on them.

    The encoder is of one of ``model.KINDS``.
    """
    with torch.no_grad():
        writer = _Writer(int8=int8)
        middle, last = _write_encoder(writer, net.net.encoder)
        _write_heads(writer, net, middle, last)
    return writer.serialise(len(net.net.quality.bias), len(net.net.step.bias), len(net.net.feature_mean))


class _Writer:
    """Nodes and constants so far. Each method adds some, and returns the name of what comes out."""

    def __init__(self, *, int8: bool) -> None:
        self._int8 = int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, name: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def split(self, name: str, value: str, parts: int) -> list[str]:
        names = [f"{name}.{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [value], names, name=name, axis=-1))
        return names

    def embed(self, name: str, ids: str, table: Array) -> str:
        """Rows of a table: (batch, sequence) → (batch, sequence, width)."""
        if not self._int8:
            return self.add("Gather", name, self.constant(f"{name}.weight", table), ids)
        rows, scale = _quantise(table, axis=1, largest=LARGEST_EMBEDDING)
        looked_up = self.add("Gather", f"{name}.row", self.constant(f"{name}.weight", rows), ids)
        scales = self.add("Gather", f"{name}.scale", self.constant(f"{name}.scales", scale), ids)
        return self.add("Mul", name, self.add("Cast", f"{name}.cast", looked_up, to=TensorProto.FLOAT), scales)

    def multiply(self, name: str, value: str, weight: Array, bias: Array) -> str:
        """value @ weight + bias; weight (n_in, n_out)."""
        added = self.constant(f"{name}.bias", bias)
        if not self._int8:
            return self.add(
                "Add",
                name,
                self.add("MatMul", f"{name}.product", value, self.constant(f"{name}.weight", weight)),
                added,
            )
        whole, scale = _quantise(weight, axis=0, largest=LARGEST_WEIGHT)
        inputs = (
            self.constant(f"{name}.weight", whole),
            self.constant(f"{name}.scale", scale.ravel()),
            self.constant(f"{name}.zero", np.zeros(weight.shape[1], np.int8)),
        )
        return self.add("DynamicQuantizeMatMul", name, value, *inputs, added, domain=OWN)

    def normalise(self, name: str, value: str, norm: nn.Module) -> str:
        # by itself and not joined with the sum before it: SkipLayerNormalization takes six times as long on a CPU
        inputs = self.constant(f"{name}.weight", _array(norm.weight)), self.constant(f"{name}.bias", _array(norm.bias))
        return self.add("LayerNormalization", name, value, *inputs, axis=-1, epsilon=float(norm.eps))

    def serialise(self, n_tiers: int, n_steps: int, n_features: int) -> bytes:
        dims = ("batch", "sequence")
        shapes: tuple[tuple[str, int, tuple[int | str, ...]], ...] = (
            (INPUTS[0], TensorProto.INT64, dims),
            (INPUTS[1], TensorProto.INT64, dims),
            (INPUTS[2], TensorProto.FLOAT, ("batch", n_features)),
            (OUTPUTS[0], TensorProto.FLOAT, ("batch", n_tiers)),
            (OUTPUTS[1], TensorProto.FLOAT, ("batch", n_steps)),
            (OUTPUTS[2], TensorProto.FLOAT, ("batch",)),
        )
        values = [helper.make_tensor_value_info(*shape) for shape in shapes]
        graph = helper.make_graph(self._nodes, "router", values[:3], values[3:], self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN, 1)]
        model = helper.make_model(graph, producer_name="learned-router", opset_imports=opsets, ir_version=IR_VERSION)
        found: bytes = model.SerializeToString()
        return found


def _write_encoder(writer: _Writer, encoder: Any) -> tuple[str, str]:
    """Means of the token vectors after the middle and the last layer, each of length 1, as ``means_of`` takes them."""
    ids, mask, _ = INPUTS
    hidden = _write_embeddings(writer, encoder, ids)
    states = [hidden]
    if has_map(encoder):
        down = encoder.embeddings_project
        hidden = writer.multiply("project", hidden, _array(down.weight.T), _array(down.bias))
    seen = writer.add("Cast", "seen", mask, to=TensorProto.INT32)
    for index, layer in enumerate(encoder.encoder.layer):
        hidden = _write_layer(writer, f"layer.{index}", hidden, seen, layer, encoder.config)
        states.append(hidden)
    present = writer.add("Cast", "present", mask, to=TensorProto.FLOAT)
    last_axis = writer.constant("last_axis", np.array([-1], np.int64))
    share = writer.add("Div", "share", present, writer.add("ReduceSum", "tokens", present, last_axis, keepdims=1))
    row = writer.add("Unsqueeze", "share.row", share, writer.constant("second_axis", np.array([1], np.int64)))
    return (
        _write_mean(writer, "middle", row, states[middle_layer(encoder)]),
        _write_mean(writer, "last", row, states[-1]),
    )


def _write_embeddings(writer: _Writer, encoder: Any, ids: str) -> str:
    part, config = encoder.embeddings, encoder.config
    # every token is of the first type
    first = config.pad_token_id + 1 if config.model_type in COUNT_FROM_PADDING else 0
    positions = _array(part.position_embeddings.weight + part.token_type_embeddings.weight[0])[first:]
    words = writer.embed("words", ids, _array(part.word_embeddings.weight))
    length = writer.add("Shape", "length", ids, start=1, end=2)
    zero = writer.constant("zero", np.array([0], np.int64))
    places = writer.add("Slice", "places", writer.constant("positions", positions), zero, length, zero)
    return writer.normalise("embeddings", writer.add("Add", "embeddings.sum", words, places), part.LayerNorm)


def _write_layer(writer: _Writer, name: str, hidden: str, seen: str, layer: Any, config: Any) -> str:
    own, output = layer.attention.self, layer.attention.output
    three = (own.query, own.key, own.value)
    # one product for the three of them: its input is made int8 once
    weight = np.concatenate([_array(part.weight.T) for part in three], axis=1)
    together = writer.multiply(f"{name}.qkv", hidden, weight, np.concatenate([_array(part.bias) for part in three]))
    query, key, value = writer.split(f"{name}.split", together, 3)
    attended = writer.add(
        "MultiHeadAttention",
        f"{name}.attention",
        query,
        key,
        value,
        "",
        seen,
        domain=OWN,
        num_heads=config.num_attention_heads,
    )
    told = writer.multiply(f"{name}.told", attended, _array(output.dense.weight.T), _array(output.dense.bias))
    hidden = writer.normalise(f"{name}.first", writer.add("Add", f"{name}.first.sum", told, hidden), output.LayerNorm)
    rise, fall = layer.intermediate.dense, layer.output.dense
    risen = writer.multiply(f"{name}.rise", hidden, _array(rise.weight.T), _array(rise.bias))
    kind, domain = ("Relu", "") if config.hidden_act == "relu" else ("Gelu", OWN)
    active = writer.add(kind, f"{name}.active", risen, domain=domain)
    fallen = writer.multiply(f"{name}.fall", active, _array(fall.weight.T), _array(fall.bias))
    return writer.normalise(
        f"{name}.second", writer.add("Add", f"{name}.second.sum", fallen, hidden), layer.output.LayerNorm
    )


def _write_mean(writer: _Writer, name: str, share: str, states: str) -> str:
    """share (batch, 1, sequence) of states (batch, sequence, width), of length 1: (batch, width)."""
    whole = writer.add("MatMul", f"{name}.whole", share, states)
    flat = writer.add("Squeeze", f"{name}.flat", whole, "second_axis")
    return writer.add("LpNormalization", name, flat, axis=-1, p=2)


def _write_heads(writer: _Writer, net: CalibratedNet, middle: str, last: str) -> None:
    inner = net.net
    # what scales a head's inputs and outputs, and shifts them, is in its weights; counts are clipped in between
    half, share = 0.5**0.5, inner.knobs.feature_share
    scale = _array(inner.feature_scale)
    counts = writer.add(
        "Div",
        "counts",
        writer.add("Sub", "counts.apart", INPUTS[2], writer.constant("feature_mean", _array(inner.feature_mean))),
        writer.constant("feature_scale", scale),
    )
    most = np.float32(MOST_DEVIATIONS)
    kept = writer.add(
        "Clip",
        "counts.kept",
        counts,
        writer.constant("least", np.array(-most)),
        writer.constant("most", np.array(most)),
    )
    points = writer.add("Concat", "points", middle, last, kept, axis=-1)
    widths = len(inner.quality.weight[0]) - len(scale)
    weigh = np.concatenate([np.full(widths, half), np.full(len(scale), share)]).astype(np.float32)[:, None]
    slope = _array(net.slope)
    quality = writer.add(
        "Gemm",
        "quality.logit",
        points,
        writer.constant("quality.weight", weigh * _array(inner.quality.weight.T) * slope),
        writer.constant("quality.bias", _array(inner.quality.bias) * slope + _array(net.bias)),
    )
    writer.add("Sigmoid", OUTPUTS[0], quality)
    step = writer.add(
        "Gemm",
        "step.logit",
        last,
        writer.constant("step.weight", _array(inner.step.weight.T)),
        writer.constant("step.bias", _array(inner.step.bias + net.step_shift)),
    )
    writer.add("Softmax", OUTPUTS[1], step, axis=-1)
    whiten, centre = _array(net.whiten), _array(net.centre)
    placed = writer.add(
        "Gemm",
        "place",
        points,
        writer.constant("whiten", weigh * whiten),
        writer.constant("centre", -(centre @ whiten)),
    )
    row = writer.add("Unsqueeze", "place.row", placed, "second_axis")
    apart = writer.add("Sub", "apart", row, writer.constant("centres", _array(net.centres)))
    distances = writer.add("ReduceL2", "distances", apart, axes=[-1], keepdims=0)
    writer.add("ReduceMin", OUTPUTS[2], distances, axes=[-1], keepdims=0)


def _quantise(weight: Array, *, axis: int, largest: int) -> tuple[NDArray[np.int8], Array]:
    """Whole numbers within ± ``largest`` and their scale, one for each line along ``axis``: weight ≈ whole * scale."""
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), np.finfo(np.float32).tiny) / largest
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def _array(tensor: torch.Tensor) -> Array:
    found: Array = tensor.detach().float().cpu().numpy()
    return found

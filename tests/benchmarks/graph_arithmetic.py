"""Count the multiply–adds of a graph as onnxruntime runs it, and measure how many a second one core can do at best.

Knows ONNX files and onnxruntime; knows nothing of routers. Shapes come from onnxruntime's own profile of one run, so that
fused operators, and branches that were or were not taken, count as they ran.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

# inputs of which the second is a matrix by which the first is multiplied
PRODUCTS = {
    "MatMul",
    "FusedMatMul",
    "Gemm",
    "FusedGemm",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
}
# the product with the weights of query, key and value, and then two products of the sequence with itself
ATTENTIONS = {"Attention", "QAttention"}
# of the same the two products alone, in float
INNER_ATTENTION = "MultiHeadAttention"
INT8 = {"int8", "uint8"}

# one that a processor can stay busy with and whose matrices fit its caches
PEAK_SHAPE = (512, 1536, 1536)
PEAK_RUNS = 60


class Arithmetic(msgspec.Struct, frozen=True):
    """Multiply–adds of one run. int8: of products by an int8 matrix. other: of products in float."""

    int8: int
    other: int

    def least_ms(self, peak: Peak) -> float:
        """Milliseconds that the arithmetic alone takes one core at its peak."""
        return 1000 * (self.int8 / peak.int8 + self.other / peak.float32)


class Peak(msgspec.Struct, frozen=True):
    """Multiply–adds a second of one core, best of several runs of one large product in onnxruntime."""

    int8: float
    float32: float


def count_run(model: Path, feed: Mapping[str, NDArray[Any]]) -> Arithmetic:
    """Multiply–adds of one run of the model on ``feed``."""
    with tempfile.TemporaryDirectory() as folder:
        options = one_thread()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        # packed weights have no shapes in the profile
        options.add_session_config_entry("session.disable_prepacking", "1")
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return count_events(events)


def count_events(events: Iterable[Mapping[str, Any]]) -> Arithmetic:
    """Multiply–adds of the operators in a profile. Raises ValueError for a product whose shapes it does not tell."""
    int8 = other = 0
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        told = event["args"]
        operator = told["op_name"]
        if operator == INNER_ATTENTION:
            ((batch, length, width),) = told["output_type_shape"][0].values()
            other += 2 * batch * length * length * width
            continue
        if operator not in PRODUCTS | ATTENTIONS:
            continue
        inputs = [next(iter(tensor.items())) for tensor in told["input_type_shape"]]
        if len(inputs) < 2:
            raise ValueError(
                f"{event['name']}: the profile tells {len(inputs)} inputs of a {operator}; it has 2 or more"
            )
        kind, right = inputs[1]
        (result,) = told["output_type_shape"][0].values()
        if operator in ATTENTIONS:
            batch, length, width = result
            other += 2 * batch * length * length * width
            size = batch * length * math.prod(right)
        else:
            # the matrix on the right is (inner, columns), whichever way it lies
            size = math.prod(result) * (math.prod(right[-2:]) // result[-1])
        if kind in INT8:
            int8 += size
        else:
            other += size
    return Arithmetic(int8, other)


def measure_peak(shape: tuple[int, int, int] = PEAK_SHAPE, runs: int = PEAK_RUNS) -> Peak:
    """The best of several runs; int8 as dynamic quantization makes it: unsigned activations, signed weights."""
    return Peak(
        int8=_best_rate("MatMulInteger", TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, shape, runs),
        float32=_best_rate("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT, shape, runs),
    )


def best_peak(*peaks: Peak) -> Peak:
    return Peak(max(peak.int8 for peak in peaks), max(peak.float32 for peak in peaks))


def _best_rate(operator: str, left: int, right: int, result: int, shape: tuple[int, int, int], runs: int) -> float:
    rows, inner, columns = shape
    draw = np.random.default_rng(0)
    weights = draw.integers(-127, 127, (inner, columns)).astype(helper.tensor_dtype_to_np_dtype(right))
    given = draw.integers(0, 127, (rows, inner)).astype(helper.tensor_dtype_to_np_dtype(left))
    graph = helper.make_graph(
        [helper.make_node(operator, ["given", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("given", left, [rows, inner])],
        [helper.make_tensor_value_info("product", result, [rows, columns])],
        [helper.make_tensor("weights", right, weights.shape, weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), one_thread(), providers=["CPUExecutionProvider"])
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(None, {"given": given})
        times.append(time.perf_counter() - began)
    return rows * inner * columns / min(times)


def one_thread() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options

"""A loaded graph: the contract it must keep, and predictions that do not depend on company or threads."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import constant_graph, token_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from learned_router import ArtifactError, Router
from learned_router.encoder import INPUTS, OUTPUTS, Encoder, Packer, Prediction
from learned_router.request import parse_request
from learned_router.request_features import FEATURES
from learned_router.view import View, ViewSpec, make_view

SPEC = ViewSpec()
GOOD = {"quality": [[0.25, 0.75]], "step": [[1.0] * 10], "ood": [0.5]}
TOOL = {"name": "count", "parameters": {"properties": {"day": {"type": "string"}}}}
PROMPTS: list[Any] = [
    "count the open orders",
    "",
    "plan the migration of every server to another region, " * 60,
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "go"}],
    {"messages": [{"role": "user", "content": "count the orders"}], "tools": [TOOL], "step": "tool_call"},
    "é" * 200,
]


@pytest.fixture(scope="module")
def packer(artifact: Path) -> Packer:
    return Packer.load(artifact / "tokenizer.json", SPEC)


@pytest.fixture(scope="module")
def encoder(artifact: Path, router: Router) -> Encoder:
    packer = Packer.load(artifact / "tokenizer.json", router.config.view)
    return Encoder((artifact / "model.onnx").read_bytes(), packer)


def test_a_graph_of_the_contract_is_loaded_and_its_tiers_and_steps_counted(packer: Packer) -> None:
    encoder = Encoder(constant_graph({**GOOD, "quality": [[0.25, 0.5, 0.75]]}), packer)
    assert (encoder.tiers, encoder.steps) == (3, 10)
    prediction, cuts = encoder.predict([make_view(parse_request("count"), SPEC)] * 2)
    assert prediction.quality.tolist() == [[0.25, 0.5, 0.75]] * 2
    assert prediction.ood.tolist() == [0.5, 0.5]
    assert cuts == [False, False]


def test_outputs_are_known_by_name_not_by_order(packer: Packer) -> None:
    encoder = Encoder(constant_graph(dict(reversed(GOOD.items())), INPUTS[::-1]), packer)
    assert encoder.predict([make_view(parse_request("count"), SPEC)])[0].quality.tolist() == GOOD["quality"]


@pytest.mark.parametrize(
    ("outputs", "inputs"),
    [
        *(({name: GOOD[name] for name in OUTPUTS if name != absent}, INPUTS) for absent in OUTPUTS),
        ({**GOOD, "confidence": [0.5]}, INPUTS),
        ({"Quality": GOOD["quality"], "step": GOOD["step"], "ood": GOOD["ood"]}, INPUTS),
        (GOOD, INPUTS[:2]),
        (GOOD, (*INPUTS, "token_type_ids")),
    ],
)
def test_a_graph_with_other_inputs_or_outputs_is_refused(
    packer: Packer, outputs: dict[str, Any], inputs: tuple[str, ...]
) -> None:
    with pytest.raises(ArtifactError, match=r"model\.onnx has inputs and outputs .* export the artifact again"):
        Encoder(constant_graph(outputs, inputs), packer)


@pytest.mark.parametrize(
    ("name", "value"),
    [("quality", [0.25, 0.75]), ("step", [[[1.0] * 10]]), ("ood", [[0.5]]), ("ood", 0.5)],
)
def test_a_graph_whose_outputs_have_another_rank_is_refused(packer: Packer, name: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match=r"model\.onnx cannot decide a request .* export the artifact again"):
        Encoder(constant_graph({**GOOD, name: value}), packer)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_graph_that_predicts_no_numbers_is_refused(packer: Packer, name: str, wrong: float) -> None:
    value = np.array(GOOD[name])
    value.flat[0] = wrong
    with pytest.raises(ArtifactError, match="not finite; export the artifact again"):
        Encoder(constant_graph({**GOOD, name: value}), packer)


def test_bytes_that_are_no_graph_are_refused(packer: Packer, artifact: Path) -> None:
    graph = (artifact / "model.onnx").read_bytes()
    for content in (b"", b"\0", b"garbage" * 100, graph[: len(graph) // 2], b"\x08\x08" + graph[:1000]):
        with pytest.raises(ArtifactError, match=r"model\.onnx .*export the artifact again"):
            Encoder(content, packer)


@pytest.mark.parametrize("name", [*INPUTS, *OUTPUTS])
def test_a_graph_of_other_element_types_is_refused_by_what_has_them(packer: Packer, name: str) -> None:
    model = onnx.load_from_string(constant_graph(GOOD))
    for part in (*model.graph.input, *model.graph.output):
        if part.name == name:
            part.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in model.graph.node:
        if node.output[0] == name:
            node.op_type = "Cast"
            node.attribute.append(helper.make_attribute("to", TensorProto.DOUBLE))
    wanted = "int64" if name in INPUTS[:2] else "float"
    told = rf"model\.onnx: {name} is tensor\(double\), not tensor\({wanted}\); export the artifact again"
    with pytest.raises(ArtifactError, match=told):
        Encoder(model.SerializeToString(), packer)


def test_a_graph_of_unknown_operators_is_refused(packer: Packer) -> None:
    model = onnx.load_from_string(constant_graph(GOOD))
    model.graph.node[0].domain = "org.example"
    model.opset_import.append(helper.make_opsetid("org.example", 1))
    with pytest.raises(ArtifactError, match=r"model\.onnx cannot be loaded .*; export the artifact again"):
        Encoder(model.SerializeToString(), packer)


@pytest.mark.parametrize(("spare", "refused"), [(-1, True), (0, False)])
def test_a_graph_of_a_smaller_vocabulary_than_the_tokenizers_is_refused(
    packer: Packer, spare: int, refused: bool
) -> None:
    model = onnx.load_from_string(token_graph(GOOD, 0, 0.0, "ood"))
    (table,) = [tensor for tensor in model.graph.initializer if tensor.name == "table"]
    ids = np.zeros(max(packer.longest()) + 1 + spare, dtype=np.int64)
    table.CopyFrom(numpy_helper.from_array(ids, "table"))
    if refused:
        with pytest.raises(ArtifactError, match=r"model\.onnx cannot decide a request .*; export the artifact again"):
            Encoder(model.SerializeToString(), packer)
    else:
        assert Encoder(model.SerializeToString(), packer).tiers == 2


@pytest.mark.parametrize(("tokens", "refused"), [(512, False), (513, True)])
def test_a_graph_of_fewer_positions_than_a_view_may_have_is_refused(artifact: Path, tokens: int, refused: bool) -> None:
    packer = Packer.load(artifact / "tokenizer.json", ViewSpec(max_tokens=tokens))
    graph = (artifact / "model.onnx").read_bytes()
    if refused:
        with pytest.raises(ArtifactError, match=r"model\.onnx cannot decide a request"):
            Encoder(graph, packer)
    else:
        assert Encoder(graph, packer).tiers == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"version": "1.0", "model": {"type": "BPE"}}', b"\xff"])
def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: no tokenizer in it .*; export the artifact again"):
        Packer.load(path, SPEC)


@pytest.mark.parametrize("absent", ["[CLS]", "[SEP]", "[PAD]"])
def test_a_tokenizer_without_its_special_tokens_is_refused(artifact: Path, tmp_path: Path, absent: str) -> None:
    content = json.loads((artifact / "tokenizer.json").read_bytes())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != absent]
    content["model"]["vocab"][f"no{absent}"] = content["model"]["vocab"].pop(absent)
    content["post_processor"] = None
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ArtifactError, match="only BERT-like tokenizers"):
        Packer.load(path, SPEC)


def test_a_batch_is_padded_and_its_padding_masked(packer: Packer) -> None:
    ids, mask = packer.batch([[5, 6, 7], [8]], multiple_of=2)
    pad = packer.padding
    assert ids.tolist() == [[5, 6, 7, pad], [8, pad, pad, pad]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def predict(encoder: Encoder, views: list[View]) -> list[list[Any]]:
    prediction: Prediction = encoder.predict(views)[0]
    return [part.tolist() for part in prediction]


def test_several_threads_of_onnxruntime_give_almost_the_same_qualities(artifact: Path, router: Router) -> None:
    views = [make_view(parse_request(prompt), router.config.view) for prompt in PROMPTS]
    packer = Packer.load(artifact / "tokenizer.json", router.config.view)
    one, two = (Encoder((artifact / "model.onnx").read_bytes(), packer, threads=n).predict(views)[0] for n in (1, 2))
    np.testing.assert_allclose(one.quality, two.quality, atol=1e-5)


def test_one_encoder_run_from_many_threads_predicts_what_it_predicts_alone(encoder: Encoder, router: Router) -> None:
    views = [make_view(parse_request(prompt), router.config.view) for prompt in PROMPTS]
    alone = [predict(encoder, [view]) for view in views]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda view: predict(encoder, [view]), views * 20)) == alone * 20


@given(st.lists(st.sampled_from(PROMPTS) | st.text(max_size=200), min_size=1, max_size=8))
@settings(deadline=None, max_examples=40)
def test_a_batch_decides_exactly_what_each_request_alone_does(router: Router, requests: list[Any]) -> None:
    assert router.route_batch(requests) == [router.route(request) for request in requests]


def test_features_of_every_view_reach_the_graph(packer: Packer) -> None:
    view = make_view(parse_request("count the orders"), SPEC)
    assert len(view.features) == len(FEATURES)
    graph = onnx.load_from_string(constant_graph(GOOD))
    node = next(node for node in graph.graph.node if node.output[0] == "ood")
    node.op_type, node.input[:] = "ReduceSum", ["features", "axes"]
    node.attribute.append(helper.make_attribute("keepdims", 0))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
    ood = Encoder(graph.SerializeToString(), packer).predict([view])[0].ood
    np.testing.assert_allclose(ood, [sum(view.features)], rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_batch_shared_among_threads_keeps_its_order_and_its_numbers(
    artifact: Path, router: Router, count: int
) -> None:
    packer = Packer.load(artifact / "tokenizer.json", router.config.view)
    prompts = [f"request number {number}, about {'orders ' * number}" for number in range(count)]
    views = [make_view(parse_request(prompt), router.config.view) for prompt in prompts]
    one, three = (Encoder((artifact / "model.onnx").read_bytes(), packer, threads=n).predict(views) for n in (1, 3))
    if count > 1:  # a row by itself is computed by several threads, which may differ in the last digits
        assert all((a == b).all() for a, b in zip(one[0], three[0], strict=True))
    assert one[1] == three[1]

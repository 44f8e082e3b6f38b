"""A graph that disagrees with its model is refused, and an artifact is put in place whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from transformers import AutoConfig, AutoModel

from learned_router.artifact import FILES, GATE, Config
from learned_router.certificate import find_certificate
from learned_router.encoder import INPUTS, OUTPUTS
from learned_router.errors import ExportError
from learned_router.replay import read_references
from learned_router.request import STEPS
from learned_router.request_features import FEATURES
from learned_router.router import Router
from learned_router.training.calibrate import fit_known
from learned_router.training.card import write_card
from learned_router.training.costs import CostModel
from learned_router.training.export import (
    Difference,
    check_target,
    compare,
    compare_decisions,
    write_artifact,
)
from learned_router.training.footprint import Footprint, Latency
from learned_router.training.graph import LARGEST_WEIGHT, make_graph
from learned_router.training.model import CalibratedNet, RouterNet, Scaling, load_encoder
from learned_router.training.recipe import ExportKnobs, Recipe

TIERS = 3
KINDS = pytest.mark.parametrize("int8", [True, False], ids=["int8", "float32"])


@pytest.fixture(scope="module")
def net(tiny_recipe: Recipe) -> CalibratedNet:
    torch.manual_seed(0)
    encoder = load_encoder(tiny_recipe.encoder)
    sizes = {"n_tiers": TIERS, "n_steps": len(STEPS), "n_features": len(FEATURES)}
    seen = (
        np.random.default_rng(0).normal(size=(200, 2 * encoder.config.hidden_size + len(FEATURES))).astype(np.float32)
    )
    scaling = Scaling(np.array([1.0, 2.0, 0.5]), np.array([0.0, -1.0, 1.0]))
    return CalibratedNet(
        RouterNet(encoder, **sizes, knobs=tiny_recipe.fit), scaling, fit_known(seen, 4, 0), [1, 2]
    ).eval()


@pytest.fixture(scope="module")
def graphs(net: CalibratedNet) -> dict[bool, bytes]:
    return {int8: make_graph(net, int8=int8) for int8 in (True, False)}


def rows(count: int, length: int) -> dict[str, np.ndarray]:
    """Random requests of ``length`` tokens; all but the first end in padding."""
    rng = np.random.default_rng(count * 1_000 + length)
    mask = np.ones((count, length), dtype=np.int64)
    mask[1:, length - length // 3 :] = 0
    ids = rng.integers(1_000, 20_000, size=(count, length)) * mask
    return dict(zip(INPUTS, (ids, mask, rng.normal(size=(count, len(FEATURES))).astype(np.float32)), strict=True))


def run(graph: bytes, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(list(OUTPUTS), dict(inputs))


@KINDS
def test_the_graph_keeps_the_contract_of_names_types_and_free_axes(graphs: dict[bool, bytes], int8: bool) -> None:
    session = ort.InferenceSession(graphs[int8], providers=["CPUExecutionProvider"])
    found = {put.name: (put.type, put.shape) for put in (*session.get_inputs(), *session.get_outputs())}
    assert found == {
        "input_ids": ("tensor(int64)", ["batch", "sequence"]),
        "attention_mask": ("tensor(int64)", ["batch", "sequence"]),
        "features": ("tensor(float)", ["batch", len(FEATURES)]),
        "quality": ("tensor(float)", ["batch", TIERS]),
        "step": ("tensor(float)", ["batch", len(STEPS)]),
        "ood": ("tensor(float)", ["batch"]),
    }


@KINDS
@pytest.mark.parametrize(("count", "length"), [(1, 1), (1, 200), (3, 9), (17, 40)])
def test_the_graph_says_what_the_model_says_for_any_batch(
    net: CalibratedNet, graphs: dict[bool, bytes], int8: bool, count: int, length: int
) -> None:
    inputs = rows(count, length)
    with torch.inference_mode():
        wanted = [output.numpy() for output in net(*(torch.from_numpy(inputs[name]) for name in INPUTS))]
    quality, step, ood = run(graphs[int8], inputs)
    least = ExportKnobs().quality_tolerance[1] if int8 else 1e-4
    for found, expected in zip((quality, step, ood / wanted[2]), (*wanted[:2], np.ones(count)), strict=True):
        np.testing.assert_allclose(found, expected, atol=least)
    assert step.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    assert step[:, [index for index in range(len(STEPS)) if index not in (1, 2)]].max() == 0.0


def test_padding_a_row_changes_nothing_in_the_float32_graph(graphs: dict[bool, bytes]) -> None:
    inputs = rows(2, 12)
    alone = {**{name: inputs[name][1:, :8] for name in INPUTS[:2]}, "features": inputs["features"][1:]}
    for together, single in zip(run(graphs[False], inputs), run(graphs[False], alone), strict=True):
        np.testing.assert_allclose(together[1:], single, atol=1e-5)


def test_the_encoder_is_quantised_and_the_heads_and_the_distance_are_not(graphs: dict[bool, bytes]) -> None:
    graph = onnx.load_model_from_string(graphs[True]).graph
    types = {value.name: value.data_type for value in graph.initializer}
    heads = [node for node in graph.node if node.op_type == "Gemm"]
    assert [node.name for node in heads] == ["quality.logit", "step.logit", "place"]
    assert {types[node.input[1]] for node in heads} == {onnx.TensorProto.FLOAT}
    quantised = [node for node in graph.node if node.op_type == "DynamicQuantizeMatMul"]
    assert [node.name for node in quantised] == [f"layer.0.{part}" for part in ("qkv", "told", "rise", "fall")]
    assert {types[node.input[1]] for node in quantised} == {types["words.weight"]} == {onnx.TensorProto.INT8}
    assert len(graphs[True]) < 0.5 * len(graphs[False])


def test_no_sum_of_two_products_overflows_where_a_processor_adds_them_in_16_bits(graphs: dict[bool, bytes]) -> None:
    """Without VNNI they are added saturating, and the same graph would predict other numbers than with it."""
    graph = onnx.load_model_from_string(graphs[True]).graph
    weights = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    multiplied = [weights[node.input[1]] for node in graph.node if node.op_type == "DynamicQuantizeMatMul"]
    assert max(np.abs(weight.astype(int)).max() for weight in multiplied) == LARGEST_WEIGHT
    assert np.iinfo(np.int16).max >= 2 * 255 * LARGEST_WEIGHT


@pytest.mark.parametrize("narrow", [False, True], ids=["bert", "narrow layers"])
@pytest.mark.parametrize("kind", ["bert", "electra", "roberta"])
def test_encoders_of_each_kind_are_written_as_they_are(kind: str, narrow: bool, tiny_recipe: Recipe) -> None:
    if narrow and kind != "electra":
        pytest.skip("only ELECTRA's kind has layers narrower than its embeddings")
    torch.manual_seed(1)
    shared = {"vocab_size": 300, "hidden_size": 32 if narrow else 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    shared |= {"intermediate_size": 48, "hidden_act": "relu" if narrow else "gelu", "max_position_embeddings": 64}
    if kind == "electra":
        shared["embedding_size"] = 64
    config = AutoConfig.for_model(kind, **shared)
    config._attn_implementation = "eager"
    encoder = AutoModel.from_config(config, **({} if kind == "electra" else {"add_pooling_layer": False}))
    net = RouterNet(encoder, n_tiers=TIERS, n_steps=len(STEPS), n_features=len(FEATURES), knobs=tiny_recipe.fit)
    seen = np.random.default_rng(0).normal(size=(200, net.quality.in_features)).astype(np.float32)
    whole = CalibratedNet(net, Scaling(np.ones(3), np.zeros(3)), fit_known(seen, 4, 0), [1, 2]).eval()
    inputs = rows(3, 24)
    inputs["input_ids"] = np.where(inputs["attention_mask"] == 1, 5 + inputs["input_ids"] % 200, config.pad_token_id)
    with torch.inference_mode():
        wanted = [output.numpy() for output in whole(*(torch.from_numpy(inputs[name]) for name in INPUTS))]
    for found, expected in zip(run(make_graph(whole, int8=False), inputs), wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_graph_within_the_tolerance_is_accepted_with_its_difference() -> None:
    knobs = ExportKnobs(quality_tolerance=(0.25, 0.5))
    model = np.zeros((2, 2))
    assert compare(np.array([[0.5, 0.0], [0.5, 0.0]]), model, knobs) == Difference(0.25, 0.5)


@pytest.mark.parametrize(("graph", "said"), [([[0.3, 0.3]], "0.3000 in the mean"), ([[0.75, 0.0]], "0.7500 at most")])
def test_a_graph_beyond_either_tolerance_is_refused_with_how_far_and_what_to_do(
    graph: list[list[float]], said: str
) -> None:
    mean = 0.25 if "mean" in said else 1.0
    with pytest.raises(ExportError, match=said) as error:
        compare(np.array(graph), np.zeros((1, 2)), ExportKnobs(quality_tolerance=(mean, 0.5)))
    assert "export.int8 = false" in str(error.value)


def regret(*values: float) -> np.ndarray:
    return np.array([[1.0 - value, 1.0] for value in values])


def test_decisions_may_differ_near_a_threshold_and_nowhere_else() -> None:
    measured, thresholds = Difference(0.01, 0.05), {"quality": 0.9, "balanced": 0.5}
    assert compare_decisions(regret(0.41, 0.2), regret(0.59, 0.2), thresholds, measured) == 0
    with pytest.raises(ExportError, match=r"mode 'balanced'.* decide 1 of 2 requests differently"):
        compare_decisions(regret(0.39, 0.2), regret(0.61, 0.2), thresholds, measured)


@pytest.fixture
def config(router: Router) -> Config:
    return router.config


@pytest.fixture
def contents(artifact: Path) -> dict[str, bytes]:
    return {name: (artifact / name).read_bytes() for name in (*FILES, GATE)}


@pytest.fixture
def earlier(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact, tmp_path / "router"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def nothing_more(router: Router) -> dict[str, bytes]:
    return {}


@pytest.mark.parametrize("place", ["router", "deep/new/router"])
def test_an_artifact_is_written_whole_and_nothing_beside_it(
    place: str, config: Config, contents: dict[str, bytes], tmp_path: Path
) -> None:
    router = write_artifact(tmp_path / place, config, contents, lambda router: {"metrics.json": b"[1]\n"})
    assert router.path == tmp_path / place
    written = files_of(router.path)
    written.pop("config.json")
    assert written == {**contents, "metrics.json": b"[1]\n"}
    assert [path.name for path in router.path.parent.iterdir()] == ["router"]


def test_an_earlier_artifact_is_replaced_whole(earlier: Path, config: Config, contents: dict[str, bytes]) -> None:
    (earlier / "left-over.txt").write_text("of the earlier one")
    router = write_artifact(earlier, msgspec.structs.replace(config, name="newer"), contents, nothing_more)
    assert router.config.name == "newer"
    assert set(files_of(earlier)) == {*FILES, GATE, "config.json"}
    assert [path.name for path in earlier.parent.iterdir()] == ["router"]


@contextmanager
def disk_that_holds(bytes_a_file: int) -> Iterator[None]:
    """Writes beyond so many bytes of a file fail, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["model.onnx", "README.md"])
@pytest.mark.parametrize("before", [True, False], ids=["over an earlier one", "the first"])
def test_a_disk_that_fills_leaves_the_earlier_artifact_or_none(
    name: str, before: bool, earlier: Path, config: Config, contents: dict[str, bytes]
) -> None:
    if not before:
        shutil.rmtree(earlier)
    held = files_of(earlier) if before else None
    room = max(map(len, contents.values()))
    large = {name: contents[name] + b" " * room}
    written = {**contents, **(large if name == "model.onnx" else {})}
    with disk_that_holds(room), pytest.raises(ExportError, match="free some space or name another folder") as error:
        write_artifact(earlier, config, written, lambda router: large)
    assert str(earlier / name) in str(error.value)
    assert (files_of(earlier) if earlier.exists() else None) == held
    assert [path.name for path in earlier.parent.iterdir()] == (["router"] if before else [])


def test_a_router_that_does_not_repeat_its_decisions_is_refused(
    earlier: Path, config: Config, contents: dict[str, bytes], router: Router
) -> None:
    held = files_of(earlier)
    one = read_references(router)[0]
    wrong = msgspec.structs.replace(one, quality={tier: 1.0 - value for tier, value in one.quality.items()})
    with pytest.raises(ExportError, match=r"does not repeat its own decisions: reference\.jsonl:1"):
        write_artifact(earlier, config, contents, lambda router: {"reference.jsonl": msgspec.json.encode(wrong)})
    assert files_of(earlier) == held


def test_an_artifact_lost_between_two_renames_is_found_again(
    earlier: Path, config: Config, contents: dict[str, bytes]
) -> None:
    held = files_of(earlier)
    earlier.rename(earlier.with_name(".router.old"))  # what a run killed in that moment leaves
    with pytest.raises(ZeroDivisionError):
        write_artifact(earlier, config, contents, lambda router: {"metrics.json": bytes(1 // 0)})
    assert files_of(earlier) == held
    assert [path.name for path in earlier.parent.iterdir()] == ["router"]


def test_a_place_where_something_else_stands_is_refused(tmp_path: Path, earlier: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    check_target(tmp_path / "folder")
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    for name, said in (("file", "a file stands there"), ("folder", "a folder that is no artifact")):
        with pytest.raises(ExportError, match=rf"{name}: {said}"):
            check_target(tmp_path / name)
    check_target(earlier)
    check_target(tmp_path / "absent")


@pytest.mark.parametrize("target", [".", "..", "/"])
def test_a_place_without_a_name_of_its_own_is_refused(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match="name a new folder with --out"):
        check_target(Path(target))


def test_the_card_says_what_is_not_promised_and_names_sources_with_licences(config: Config, artifact: Path) -> None:
    provenance = msgspec.structs.replace(
        config.provenance, sources={"ours": 1_200, "theirs": 30}, licences={"ours": "Apache-2.0"}
    )
    card = write_card(
        msgspec.structs.replace(config, provenance=provenance, gate=None),
        None,
        footprint=Footprint("Some CPU", 1, 100, [Latency("route", 64, 1.25)], {"model.onnx": 2_000_000}),
        agreement={"router": "equal"},
        unlike={"router": 0.0042},
        costs=CostModel({"small": 0.1, "frontier": 1.0}, {}, 100, 10),
        certificate=find_certificate(artifact),
        why_no_gate="there were no answers",
        note="",
    )
    flat = " ".join(card.split())
    assert flat.count("It cannot be promised yet that 95% of frontier's quality is kept") == 2
    assert "**there, thresholds without proof were asked for**" in flat
    assert "| ours | 1,200 | Apache-2.0 |" in card
    assert "| theirs | 30 | not stated |" in card
    assert "nothing was measured" in card
    assert "It has no gate: there were no answers." in card
    for name, mode in config.modes.items():
        assert f"| {name}{' (default)' if name == config.default_mode else ''} | {mode.target:.0%} |" in card
    assert "Router: equal. Encoder" in flat
    assert "so would, of the calibration split, which is like it, 0.4% of the requests." in flat
    assert "| model.onnx | 2.0 MB |" in card
    assert "| `route` | 64 | 1.2 ms |" in card
    assert "one thread of Some CPU" in flat

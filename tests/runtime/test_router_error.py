"""A router that fails sends the call up, counts it and goes on; it raises where that was asked for, and in evaluation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from graphs import constant_graph, token_graph

from learned_router import Cascade, Decision, InputError, LearnedRouterError, Reason, Router
from learned_router import failures as room
from learned_router.encoder import OUTPUTS, Encoder
from learned_router.errors import InferenceError
from learned_router.failures import Failures
from learned_router.monitoring import Monitor, Promises, Traffic
from learned_router.monitoring.promises import Promise
from learned_router.replay import replay
from learned_router.request import parse_request

GOOD = {"quality": [[0.5, 0.5]], "step": [[1.0] * 10], "ood": [0.0]}
FINE, BAD = "count the orders", "count the zebras"
BATCH = [FINE, BAD, FINE]
UP = {"small": 0.0, "frontier": 1.0}


def broken_graph(artifact: Path, value: float | None = None, output: str = "quality") -> bytes:
    """One that fails on 'zebra', or adds ``value`` to an output for it."""
    from tokenizers import Tokenizer

    token = Tokenizer.from_file(str(artifact / "tokenizer.json")).token_to_id("zebra")
    return token_graph(GOOD, token, value, output)


@pytest.fixture
def broken(artifact: Path, edited: Callable[..., Path]) -> Callable[..., Router]:
    """A router whose graphs fail on 'zebra', or say ``value`` of it, and keep small's answer to everything else."""

    def change(config: dict[str, Any]) -> None:
        config["ood_threshold"] = config["gate"]["ood_threshold"] = 1.0
        config["modes"]["balanced"].update(threshold=0.5, gated={"route": 0.5, "accept": 0.5})

    def make(value: float | None = None, output: str = "quality", **options: Any) -> Router:
        graph = broken_graph(artifact, value, output)
        return Router.load(edited(change, {"model.onnx": graph, "gate.onnx": graph}), mode="balanced", **options)

    return make


def test_a_request_that_breaks_the_graph_goes_up_and_says_why(broken: Callable[..., Router]) -> None:
    router = broken()
    assert router.route(FINE).tier == "small"
    assert router.errors.count == 0
    decision = router.route(BAD, step="code")
    assert (decision.tier, decision.model, decision.reason) == ("frontier", "model-f", Reason.ROUTER_ERROR)
    assert (decision.quality, decision.regret, decision.confidence, decision.ood) == (UP, 0.0, 1.0, 0.0)
    assert (decision.step, decision.mode, decision.threshold) == ("code", "balanced", 0.5)
    assert decision.router == router.name
    assert router.errors.count == 1
    assert "indices" in str(router.errors.last)
    assert router.route(FINE).tier == "small"


def test_such_a_decision_is_written_as_json_with_the_fields_of_any_other(broken: Callable[..., Router]) -> None:
    router = broken()
    told, other = (msgspec.json.decode(msgspec.json.encode(router.route(prompt))) for prompt in (BAD, FINE))
    assert list(told) == list(other)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Decision) == router.route(BAD)
    assert told["step"] == "other"


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_never_takes_a_request_down(
    broken: Callable[..., Router], value: float, output: str
) -> None:
    router = broken(value, output)
    assert router.route(FINE).reason is Reason.GOOD_ENOUGH
    assert router.route(BAD).reason is Reason.ROUTER_ERROR
    assert router.accept(FINE, "9 orders").accept
    refused = router.accept(BAD, "9 zebras")
    assert (refused.accept, refused.reason) == (False, Reason.ROUTER_ERROR)
    assert router.errors.count == 2


def test_of_a_batch_only_what_fails_goes_up(broken: Callable[..., Router]) -> None:
    router = broken()
    decisions = router.route_batch(BATCH)
    assert [decision.reason for decision in decisions] == [Reason.GOOD_ENOUGH, Reason.ROUTER_ERROR, Reason.GOOD_ENOUGH]
    assert decisions == [router.route(prompt) for prompt in BATCH]
    assert router.errors.count == 2  # once in the batch, once alone


def test_an_answer_that_breaks_the_gate_is_not_kept(broken: Callable[..., Router]) -> None:
    router = broken()
    decision = router.route(FINE, step="code", gated=True)
    refused = router.accept(FINE, "of zebras", decision=decision)
    assert (refused.accept, refused.tier, refused.reason) == (False, "small", Reason.ROUTER_ERROR)
    assert (refused.quality, refused.regret, refused.confidence) == (UP, 1.0, 0.0)
    assert msgspec.json.decode(msgspec.json.encode(refused))["reason"] == "router_error"
    assert router.errors.count == 1


def test_a_cascade_asks_the_top_tier_where_router_or_gate_fail(broken: Callable[..., Router]) -> None:
    router, called = broken(), []

    def complete(model: str, request: dict[str, Any]) -> str:
        called.append(model)
        return "of zebras" if model == "model-s" else "done"

    cascade = Cascade(router, complete=complete)
    assert cascade.run(BAD).tier == "frontier"
    assert called == ["model-f"]
    done = cascade.run(FINE)
    assert called[1:] == ["model-s", "model-f"]
    assert [a.acceptance.reason for a in done.attempts if a.acceptance] == [Reason.ROUTER_ERROR]


def test_a_strict_router_raises_what_went_wrong(broken: Callable[..., Router]) -> None:
    router = broken(strict=True)
    for call in (
        lambda: router.route(BAD),
        lambda: router.route_batch(BATCH),
        lambda: router.accept(BAD, "9 zebras"),
    ):
        with pytest.raises(InferenceError, match=r"^tiny@\w+: a call could not be decided \(") as caught:
            call()
        assert caught.value.__cause__ is not None
        assert isinstance(caught.value, LearnedRouterError)
    assert router.errors.count == 0


def test_evaluation_is_strict_whatever_the_router_is(broken: Callable[..., Router]) -> None:
    router = broken()
    for call in (
        lambda: router.route_modes(BATCH),
        lambda: router.predict([parse_request(BAD)]),
        lambda: router.accept_modes([BAD], ["9 zebras"]),
    ):
        with pytest.raises(InferenceError):
            call()


def test_a_reference_that_breaks_the_graph_is_a_problem_not_a_decision(
    broken: Callable[..., Router], edited: Callable[..., Path], artifact: Path
) -> None:
    graph = broken_graph(artifact)
    line = {"request": {"messages": [{"role": "user", "content": BAD}]}, "mode": "balanced", "tier": "frontier"}
    line |= {"reason": "router_error", "quality": UP, "margin": 0.0}
    folder = edited(files={"model.onnx": graph, "reference.jsonl": msgspec.json.encode(line)})
    for strict in (False, True):
        (problem,) = replay(Router.load(folder, strict=strict))
        assert "reference.jsonl:1 (balanced): cannot be decided" in problem


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("too deep"), TypeError("a bug"), OSError("gone")])
def test_whatever_is_raised_while_deciding_is_a_router_error(
    broken: Callable[..., Router], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    router, strict = broken(), broken(strict=True)
    for place in ("learned_router.loaded.make_view", "learned_router.router.parse_request"):
        with monkeypatch.context() as patched:
            patched.setattr(place, fail)
            assert router.route(FINE).reason is Reason.ROUTER_ERROR
            assert [d.reason for d in router.route_batch([FINE, FINE])] == [Reason.ROUTER_ERROR] * 2
            with pytest.raises(InferenceError):
                strict.route(FINE)
    assert router.errors.count == 6
    assert type(error).__name__ in str(router.errors.last)


def test_a_panic_of_tokenizers_is_a_router_error_too(
    broken: Callable[..., Router], monkeypatch: pytest.MonkeyPatch
) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    router = broken()
    monkeypatch.setattr(Encoder, "predict", lambda *_: (_ for _ in ()).throw(panic("index out of bounds")))
    assert router.route(FINE).reason is Reason.ROUTER_ERROR
    assert router.errors.last == "PanicException: index out of bounds"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_who_ends_the_process_is_not_held_up(
    broken: Callable[..., Router], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    router = broken()
    monkeypatch.setattr(Encoder, "predict", lambda *_: (_ for _ in ()).throw(error()))
    with pytest.raises(error):
        router.route(FINE)


def test_input_that_is_no_request_is_still_the_callers_error(broken: Callable[..., Router]) -> None:
    router = broken()
    for request in (7, [{"content": "x"}], {"messages": None}):
        with pytest.raises(InputError):
            router.route(request)
        with pytest.raises(InputError, match=r"^requests\[1\]: "):
            router.route_batch([BAD, request])
        with pytest.raises(InputError):
            router.accept(request, "9")
    with pytest.raises(InputError):
        router.accept(FINE, 7)
    for batch in ("count the orders", None, {"prompt": "x"}, 7):
        with pytest.raises(InputError, match=r"^requests is "):
            router.route_batch(batch)  # type: ignore[arg-type]
    assert router.errors.count == 0


def test_failures_of_many_threads_are_all_counted_and_the_log_told_once(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    with caplog.at_level(logging.WARNING, "learned_router"), ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda index: failures.add("tiny@0", ValueError(str(index))), range(2_000)))
        failures.add("tiny@0", MemoryError())
    assert failures.errors.count == 2_001
    assert failures.errors.last == "MemoryError"
    kinds = [record.getMessage().split("(")[1].split(":")[0] for record in caplog.records]
    assert [kind.removesuffix("); the top tier takes it; 2001 so far") for kind in kinds] == [
        "ValueError",
        "MemoryError",
    ]


def test_the_log_is_told_again_after_a_while(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = Failures()
    clock = iter([0.0, 59.0, 60.0, 61.0])
    monkeypatch.setattr(room.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.WARNING, "learned_router"):
        for _ in range(4):
            failures.add("tiny@0", ValueError("x"))
    assert [record.getMessage()[-8:] for record in caplog.records] == ["1 so far", "3 so far"]


def test_the_monitor_does_not_take_a_failure_for_traffic(broken: Callable[..., Router], tmp_path: Path) -> None:
    traffic = Traffic(rows=100, regret_edges=(0.0, 0.1), steps={"other": 1.0})
    held = Promises({"balanced": (Promise("all", 0.95, 0.1, (), certified=True),)}, traffic)
    watch = Monitor(broken(), tmp_path / "state.sqlite", promises=held, traffic_share=1.0)
    assert watch.route(BAD).reason is Reason.ROUTER_ERROR
    assert {found.calls for found in watch.report().drift} == {0}
    watch.route(FINE)
    assert {found.calls for found in watch.report().drift} == {1}
    watch.close()


def test_the_package_raises_nothing_for_a_graph_that_always_fails_after_loading(edited: Callable[..., Path]) -> None:
    router = Router.load(edited(files={"model.onnx": constant_graph(GOOD)}))
    router._loaded._encoder._session = None
    assert router.route(FINE).reason is Reason.ROUTER_ERROR

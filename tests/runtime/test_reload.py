"""A router changes its artifact under traffic, whole or not at all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphs import constant_graph
from monitoring import promises

from learned_router import ArtifactError, Cascade, Decision, InputError, LearnedRouterError, Router
from learned_router.artifact import FILES
from learned_router.monitoring import Monitor

PROMPT = "count the orders of today"


def named(name: str, quality: float, threshold: float = 1.0) -> tuple[Any, dict[str, bytes]]:
    """What makes an artifact whose every part tells which one it is."""

    def change(config: dict[str, Any]) -> None:
        config["name"] = config["tiers"][0]["model"] = name
        config["ood_threshold"] = config["gate"]["ood_threshold"] = 1.0
        for mode in config["modes"].values():
            mode |= {"threshold": threshold, "steps": {}, "gated": {"route": threshold, "accept": threshold}}

    graph = constant_graph({"quality": [[quality, 1.0]], "step": [[1.0] * 10], "ood": [0.0]})
    return change, {"model.onnx": graph, "gate.onnx": graph}


@pytest.fixture
def one(edited: Callable[..., Path]) -> Path:
    return edited(*named("one", 0.25, 0.8125))


@pytest.fixture
def other(edited: Callable[..., Path]) -> Path:
    return edited(*named("other", 0.5, 0.9375))


def parts(decision: Any) -> tuple[Any, ...]:
    return (decision.router.partition("@")[0], decision.quality["small"], decision.threshold)


WHOLE = {("one", 0.25, 0.8125), ("other", 0.5, 0.9375)}


def test_reload_serves_the_new_artifact_with_the_options_of_old(one: Path, other: Path) -> None:
    router = Router.load(one, mode="economy", models={"frontier": "model-f"}, threads=2)
    router.reload(other)
    decision = router.route(PROMPT)
    assert (decision.mode, decision.model, parts(decision)) == ("economy", "other", ("other", 0.5, 0.9375))
    assert decision == Router.load(other, mode="economy", models={"frontier": "model-f"}, threads=2).route(PROMPT)
    assert (router.path, router.name, router.mode) == (other, decision.router, "economy")


def test_reload_without_a_path_reads_the_same_folder_again(one: Path, other: Path) -> None:
    router = Router.load(one)
    shutil.copytree(other, one, dirs_exist_ok=True)
    assert parts(router.route(PROMPT))[0] == "one"
    router.reload()
    assert parts(router.route(PROMPT))[0] == "other"


@pytest.mark.parametrize("name", ["config.json", *FILES, "gate.onnx"])
def test_a_damaged_artifact_leaves_the_old_one_serving(one: Path, other: Path, name: str) -> None:
    router = Router.load(one)
    before = router.route(PROMPT)
    (other / name).write_bytes((other / name).read_bytes()[:-7])
    with pytest.raises(ArtifactError, match=name):
        router.reload(other)
    assert router.route(PROMPT) == before
    assert router.accept(PROMPT, "9 orders").router == router.name == before.router


def test_an_artifact_that_lacks_what_callers_rely_on_is_refused(one: Path, edited: Callable[..., Path]) -> None:
    def rename_tier(config: dict[str, Any]) -> None:
        config["tiers"][0]["name"] = "tiny"
        config["confidence"]["tiny"] = config["confidence"].pop("small")

    router = Router.load(one)
    for change, told in (
        (rename_tier, r"its tiers are tiny, frontier, not small, frontier"),
        (lambda config: config["modes"].pop("quality"), r"it has no mode quality"),
        (lambda config: config.update(gate=None), r"it has no gate"),
    ):
        with pytest.raises(ArtifactError, match=rf"{told}; {router.name} serves on"):
            router.reload(edited(change))
    assert parts(router.route(PROMPT))[0] == "one"


def test_an_artifact_without_the_routers_own_mode_is_refused_by_name(one: Path, edited: Callable[..., Path]) -> None:
    router = Router.load(one, mode="economy")
    with pytest.raises(InputError, match=r"mode is 'economy'; this artifact has quality, balanced"):
        router.reload(edited(lambda config: config["modes"].pop("economy")))
    assert router.mode == "economy"
    assert parts(router.route(PROMPT))[0] == "one"


def test_under_traffic_every_decision_is_one_artifacts_whole(one: Path, other: Path) -> None:
    router, bad = Router.load(one, cache=0), one / "nosuch"
    stop, found, errors = threading.Event(), set(), []

    def work(index: int) -> None:
        try:
            while not stop.is_set():
                if index % 3 == 0:
                    found.add(parts(router.route(PROMPT)))
                elif index % 3 == 1:
                    found.add(parts(router.accept(PROMPT, "9 orders")))
                else:
                    batch = router.route_batch([PROMPT] * 8)
                    assert len({parts(decision) for decision in batch}) == 1
                    found.add(parts(batch[0]))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        for path in (other, bad, one):
            try:
                router.reload(path)
            except LearnedRouterError:
                assert path == bad
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found == WHOLE
    assert router.errors.count == 0


def test_a_pinned_router_keeps_its_artifact_and_shares_the_count_of_errors(one: Path, other: Path) -> None:
    router = Router.load(one, cache=0)
    pinned = router.pinned()
    router.reload(other)
    assert (parts(pinned.route(PROMPT))[0], parts(router.route(PROMPT))[0]) == ("one", "other")
    pinned._loaded._encoder._session = None
    pinned.route(PROMPT)
    assert router.errors.count == pinned.errors.count == 1


def test_a_cascade_judges_by_the_artifact_that_decided(one: Path, other: Path) -> None:
    router = Router.load(one)

    def complete(model: str, request: dict[str, Any]) -> str:
        router.reload(other)
        return "9 orders"

    cascade = Cascade(router, complete=complete)
    done = cascade.run(PROMPT)
    (judged,) = [attempt.acceptance for attempt in done.attempts if attempt.acceptance]
    assert parts(judged)[0] == parts(done.decision)[0] == "one"
    assert parts(cascade.run(PROMPT).decision)[0] == "other"


def test_a_monitor_stays_with_the_artifact_whose_promises_it_holds(one: Path, other: Path, tmp_path: Path) -> None:
    router = Router.load(one)
    watch = Monitor(router, tmp_path / "state.db", promises=promises())
    router.reload(other)
    decision: Decision = watch.route(PROMPT)
    assert parts(decision)[0] == "one"
    assert watch.report().router == decision.router
    renewed = Monitor(router, tmp_path / "state.db", promises=promises())
    assert renewed.report().router == router.name


def test_a_monitor_of_a_folder_that_was_overwritten_takes_no_certificate_from_it(one: Path, tmp_path: Path) -> None:
    router = Router.load(one)
    (one / "certificate.json").write_bytes(b'{"certificate_version": 0}')
    with pytest.raises(ArtifactError, match=r"certificate\.json: sha256 is"):
        Monitor(router, tmp_path / "state.db")

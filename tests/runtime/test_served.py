"""A tier of another model than the labels are about is never taken, and no answer that names another is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphs import constant_graph

from learned_router import Cascade, InputError, Reason, Router
from learned_router.model_names import contradicts, is_known, known_names, plain_name

PROMPT = "list the open orders"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("openai/gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openrouter/meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("llama3.1:latest", "llama3.1"),
        ("vertex_ai/claude-3-5-sonnet@20240620", "claude-3-5-sonnet-20240620"),
        ("/srv/models/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1"),
        ("C:\\models\\tiny.gguf", "tiny"),
        (" gpt-4o ", "gpt-4o"),
    ],
)
def test_a_model_is_the_same_wherever_it_is_served(one: str, other: str) -> None:
    assert plain_name(one) == plain_name(other)


@pytest.mark.parametrize(
    ("served", "trained", "same"),
    [
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13", True),
        ("gpt-4o-2024-05-13", "gpt-4o", True),
        ("claude-3-5-sonnet-20240620", "anthropic/claude-3-5-sonnet", True),
        ("gpt-4o", "gpt-4o-2024-05-13", False),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", False),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-4o-mini-2024-07-18", "gpt-4o", False),
        ("llama3.1:70b", "llama3.1", False),
        ("qwen2.5-7b", "qwen2.5-7b / Mixtral-8x7B", True),
        ("mistralai/mixtral-8x7b", "qwen2.5-7b / Mixtral-8x7B", True),
        ("", "gpt-4o", False),
    ],
)
def test_a_day_in_a_name_is_another_version_unless_none_was_named(served: str, trained: str, same: bool) -> None:
    assert is_known(served, known_names(trained)) is same


def test_a_servers_file_says_something_only_where_files_are_known() -> None:
    known = known_names("model-s", ["a.gguf"])
    assert not contradicts("/models/b.gguf", known, files=False)
    assert contradicts("/models/b.gguf", known, files=True)
    assert not contradicts("/models/a.gguf", known, files=True)
    assert not contradicts("", known, files=True)
    assert contradicts("model-x", known, files=False)


@pytest.fixture
def load(edited: Callable[..., Path]) -> Callable[..., Router]:
    """A router that sends everything down and a gate that keeps everything, but for what models say."""

    def make(change: Callable[[dict[str, Any]], object] | None = None, **options: Any) -> Router:
        graph = constant_graph({"quality": [[0.9, 0.9]], "step": [[0.0] * 9 + [1.0]], "ood": [0.0]})
        return Router.load(edited(change, files={"model.onnx": graph, "gate.onnx": graph}), **options)

    return make


def answer_of(model: Any) -> dict[str, Any]:
    return {"model": model, "choices": [{"message": {"content": "12 orders"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("gated", [False, True])
def test_a_lower_tier_of_another_model_is_passed_over(load: Callable[..., Router], gated: bool) -> None:
    found = load(models={"small": "model-x"}).route(PROMPT, gated=gated)
    assert (found.tier, found.reason) == ("frontier", Reason.UNKNOWN_MODEL)


def test_with_another_top_model_nothing_goes_down_and_no_answer_is_kept(load: Callable[..., Router]) -> None:
    router = load(models={"frontier": "model-x"})
    found = router.route(PROMPT)
    assert (found.tier, found.model, found.reason) == ("frontier", "model-x", Reason.UNKNOWN_MODEL)
    assert router.route_batch([PROMPT] * 2) == [found] * 2
    assert router.accept(PROMPT, "12 orders").reason == Reason.UNKNOWN_MODEL


def test_the_same_model_under_its_name_in_production_is_taken_and_told(load: Callable[..., Router]) -> None:
    router = load(models={"small": "acme/Model-S", "frontier": "model-f-2026-01-31"})
    found = router.route(PROMPT)
    assert (found.tier, found.model, found.reason) == ("small", "acme/Model-S", Reason.GOOD_ENOUGH)
    assert router.models == {"small": "acme/Model-S", "frontier": "model-f-2026-01-31"}
    asked: list[str] = []
    Cascade(router, complete=lambda model, request: asked.append(model) or "12 orders").run(PROMPT)
    assert asked == ["acme/Model-S"]


def test_aliases_of_the_artifact_and_of_the_caller_are_names_of_the_model(load: Callable[..., Router]) -> None:
    def alias(config: dict[str, Any]) -> None:
        config["tiers"][0]["aliases"] = ["deployment-7"]

    assert load(alias, models={"small": "azure/deployment-7"}).route(PROMPT).tier == "small"
    assert load(models={"small": "deployment-8"}, aliases={"small": ["deployment-8"]}).route(PROMPT).tier == "small"
    assert load(models={"small": "deployment-8"}).route(PROMPT).reason == Reason.UNKNOWN_MODEL


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("model-s", Reason.GOOD_ENOUGH),
        ("acme/model-s-2026-01-31", Reason.GOOD_ENOUGH),
        ("/models/anything.gguf", Reason.GOOD_ENOUGH),
        (None, Reason.GOOD_ENOUGH),
        ("", Reason.GOOD_ENOUGH),
        (7, Reason.GOOD_ENOUGH),  # no name, so it says nothing
        ("model-f", Reason.UNKNOWN_MODEL),
        ("model-s-mini", Reason.UNKNOWN_MODEL),
        ("\ud800" * 100_000, Reason.UNKNOWN_MODEL),
    ],
)
def test_an_answer_that_names_another_model_is_refused(load: Callable[..., Router], named: Any, reason: Reason) -> None:
    found = load().accept(PROMPT, answer_of(named))
    assert (found.accept, found.reason) == (reason == Reason.GOOD_ENOUGH, reason)


def test_a_file_given_as_an_alias_makes_a_servers_files_count(load: Callable[..., Router]) -> None:
    router = load(aliases={"small": ["tiny.Q4_1.gguf"]})
    assert router.accept(PROMPT, answer_of("/models/tiny.Q4_1.gguf")).accept
    assert router.accept(PROMPT, answer_of("/models/tiny.Q8_0.gguf")).reason == Reason.UNKNOWN_MODEL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": {"tiny": "model-s"}}, "models names the tier 'tiny'; this artifact has small, frontier"),
        ({"aliases": {"tiny": []}}, "aliases names the tier 'tiny'"),
        ({"models": {"small": ""}}, r"models\['small'\]"),
        ({"models": {"small": 7}}, r"models\['small'\] is of type int"),
        ({"models": ["model-s"]}, "models is of type list"),
        ({"aliases": {"small": "model-s"}}, r"aliases\['small'\] is of type str"),
        ({"aliases": {"small": [7]}}, r"aliases\['small'\] is of type list"),
        ({"aliases": {"small": 7}}, r"aliases\['small'\] is of type int"),
    ],
)
def test_what_is_no_name_of_a_model_is_refused(load: Callable[..., Router], options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(**options)

"""The gate keeps answers that hold, sends the others up, says why, and takes any answer or names what is wrong with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from graphs import constant_graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learned_router import Acceptance, ArtifactError, InputError, Reason, Router
from learned_router.answer import Logprobs, Output, ToolCall
from learned_router.request import STEPS

REQUEST = "list the open orders"
GOOD, HEDGED = "Done: list the open orders gave 12 results.", "I am not sure, perhaps none of them"
COUNT = {
    "type": "function",
    "function": {
        "name": "count",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    },
}


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


@pytest.fixture
def saying(edited: Callable[..., Path]) -> Callable[..., Router]:
    """A router whose gate predicts ``quality`` of every answer and allows ``threshold`` in every mode."""

    def make(
        quality: tuple[float, float],
        threshold: float = 0.2,
        rules: list[str] | None = None,
        *,
        expects_logprobs: bool = False,
    ) -> Router:
        graph = constant_graph({"quality": [quality], "step": [[0.0] * 9 + [1.0]], "ood": [0.0]})

        def change(config: dict[str, Any]) -> None:
            for mode in config["modes"].values():
                mode["gated"]["accept"] = threshold
            config["gate"]["expects_logprobs"] = expects_logprobs
            if rules is not None:
                config["gate"]["rules"] = rules

        return Router.load(edited(change, files={"gate.onnx": graph}))

    return make


def test_an_answer_that_holds_is_trusted_more_than_one_that_hedges(router: Router) -> None:
    holds, hedges = router.accept(REQUEST, GOOD), router.accept(REQUEST, HEDGED)
    assert holds.regret < hedges.regret - 0.2
    assert holds.confidence > hedges.confidence + 0.2


def test_an_acceptance_says_whose_answer_it_judged_and_by_what(router: Router) -> None:
    found = router.accept(REQUEST, GOOD, mode="economy")
    point = router.modes["economy"].gated
    assert point is not None
    assert (found.tier, found.mode, found.router) == ("small", "economy", router.name)
    assert found.threshold == point.accept
    assert found.quality.keys() == {"small", "frontier"}
    assert found.regret == pytest.approx(found.quality["frontier"] - found.quality["small"])


@pytest.mark.parametrize(("quality", "accept"), [((0.5, 0.7), True), ((0.5, 0.71), False), ((0.9, 0.2), True)])
def test_a_regret_equal_to_the_threshold_is_kept(
    saying: Callable[..., Router], quality: tuple[float, float], accept: bool
) -> None:
    threshold = float(np.float32(0.7)) - float(np.float32(0.5))
    assert saying(quality, threshold).accept(REQUEST, GOOD).accept is accept


def test_an_answer_without_the_log_probabilities_expected_of_it_must_keep_the_target_by_itself(
    saying: Callable[..., Router],
) -> None:
    told = {"text": GOOD, "logprobs": {"mean": -0.1, "least": -1.0}}
    router = saying((0.74, 0.8), 0.5, expects_logprobs=True)  # 92 % of the top tier's quality
    assert {mode: router.accept(REQUEST, GOOD, mode=mode).accept for mode in router.modes} == {
        "quality": False,
        "balanced": False,
        "economy": True,
    }
    assert router.accept(REQUEST, GOOD, mode="economy").threshold == pytest.approx(0.08)
    assert router.accept(REQUEST, told, mode="quality").threshold == 0.5
    assert saying((0.74, 0.8), 0.5).accept(REQUEST, GOOD, mode="quality").threshold == 0.5
    # a threshold that is stricter than the target stays
    assert saying((0.74, 0.8), 0.01, expects_logprobs=True).accept(REQUEST, GOOD, mode="economy").threshold == 0.01


FAILURES = [
    ("", Reason.EMPTY_OUTPUT),
    ({"content": None}, Reason.EMPTY_OUTPUT),
    (call("remove", "{}"), Reason.UNKNOWN_TOOL),
    (call("count", "{}"), Reason.MISSING_ARGUMENT),
    (call("count", "[1, 2]"), Reason.UNREADABLE_ARGUMENTS),
    (call("count", '{"what": '), Reason.UNREADABLE_ARGUMENTS),
    ({"text": GOOD, "finish_reason": "length"}, Reason.CUT_OFF),
]


@pytest.mark.parametrize(("output", "reason"), FAILURES)
def test_a_certain_failure_goes_up_whatever_is_predicted_and_says_which(
    saying: Callable[..., Router], output: Any, reason: Reason
) -> None:
    found = saying((1.0, 0.0), 1.0).accept(REQUEST, output, tools=[COUNT])
    assert (found.accept, found.reason) == (False, reason)


@pytest.mark.parametrize("output", [output for output, _ in FAILURES])
def test_a_rule_that_is_switched_off_refuses_nothing(saying: Callable[..., Router], output: Any) -> None:
    assert saying((1.0, 0.0), 1.0, rules=[]).accept(REQUEST, output, tools=[COUNT]).accept


def test_text_where_json_was_asked_for_is_a_failure(saying: Callable[..., Router]) -> None:
    router = saying((1.0, 0.0), 1.0)
    request = {"messages": [{"role": "user", "content": REQUEST}], "response_format": {"type": "json_object"}}
    assert router.accept(request, "twelve").reason is Reason.NOT_JSON
    assert router.accept(request, '{"orders": 12}').accept


def test_every_shape_of_one_answer_is_judged_alike(router: Router) -> None:
    message = {"role": "assistant", "content": GOOD}

    class Response:
        def model_dump(self) -> dict[str, Any]:
            return {"choices": [{"message": message, "finish_reason": None}]}

    shapes = (GOOD, message, {"text": GOOD}, {"choices": [{"message": message}]}, Response())
    found = [router.accept(REQUEST, shape) for shape in shapes]
    assert all(one == found[0] for one in found)


def test_the_acceptances_of_all_modes_are_those_taken_one_by_one(router: Router) -> None:
    found = router.accept_modes([REQUEST, REQUEST], [GOOD, HEDGED])
    assert found.keys() == router.modes.keys()
    for mode, both in found.items():
        assert both == [router.accept(REQUEST, output, mode=mode) for output in (GOOD, HEDGED)]


def test_routing_for_the_gate_uses_the_threshold_chosen_with_it(router: Router) -> None:
    for name, mode in router.modes.items():
        assert mode.gated is not None
        assert router.route(REQUEST, mode=name, gated=True).threshold == mode.gated.route
        assert router.route(REQUEST, mode=name).threshold == mode.threshold


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (None, "output is absent"),
        (b"bytes", "output is of type bytes"),
        (7, "output is of type int"),
        ({}, "output has the fields none"),
        ({"answer": "x"}, "output has the fields answer"),
        ({"content": 7}, "output.content is of type int"),
        ({"tool_calls": "x"}, "output.tool_calls is of type str"),
        ({"tool_calls": [7]}, "output.tool_calls[0] is of type int"),
        ({"tool_calls": [{"function": {"arguments": "{}"}}]}, "output.tool_calls[0].name is absent"),
        ({"choices": []}, "output.choices is of type list"),
        ({"choices": [{}]}, "output.choices[0].message is absent"),
    ],
)
def test_what_is_no_answer_is_refused_by_the_name_of_its_field(router: Router, output: Any, told: str) -> None:
    with pytest.raises(InputError, match="^" + told.replace("[", r"\[").replace("]", r"\]")):
        router.accept(REQUEST, output)


@pytest.mark.parametrize("tier", ["frontier", "tiny", 3])
def test_the_answer_of_another_tier_than_a_lower_one_is_refused(router: Router, tier: Any) -> None:
    with pytest.raises(InputError, match=r"^tier is .*; an answer is judged when it comes from small"):
        router.accept(REQUEST, GOOD, tier=tier)


def with_three_tiers(edited: Callable[..., Path]) -> Router:
    """A router that sends everything to the tier in the middle."""
    other = {"step": [[0.0] * 9 + [1.0]], "ood": [0.0]}
    files = {
        "model.onnx": constant_graph({"quality": [[0.0, 0.9, 0.9]], **other}),
        "gate.onnx": constant_graph({"quality": [[0.9, 0.9]], **other}),
    }

    def change(config: dict[str, Any]) -> None:
        small, top = config["tiers"]
        config["tiers"] = [small, {**small, "name": "mid", "model": "model-m"}, top]
        config["confidence"]["mid"] = config["confidence"]["small"]
        for mode in config["modes"].values():
            mode["gated"] = {"route": 0.1, "accept": 0.1}

    return Router.load(edited(change, files=files))


def test_of_several_lower_tiers_the_one_that_answered_must_be_told(edited: Callable[..., Path]) -> None:
    router = with_three_tiers(edited)
    for ask in (router.accept, lambda request, output: router.accept_modes([request], [output])):
        with pytest.raises(InputError, match=r"^tier is absent; .* whose answer it is: small, mid$"):
            ask(REQUEST, GOOD)
    assert router.accept(REQUEST, GOOD, tier="mid").tier == "mid"


def test_a_decision_tells_whose_answer_it_is_and_in_which_mode(edited: Callable[..., Path]) -> None:
    router = with_three_tiers(edited)
    decision = router.route(REQUEST, mode="economy", gated=True)
    found = router.accept(REQUEST, GOOD, decision=decision)
    assert (found.tier, found.mode) == ("mid", "economy")
    found = router.accept(REQUEST, GOOD, decision=decision, tier="small", mode="quality")
    assert (found.tier, found.mode) == ("small", "quality")


def test_a_decision_tells_the_step_whose_threshold_holds_unless_the_request_does(edited: Callable[..., Path]) -> None:
    def change(config: dict[str, Any]) -> None:
        config["modes"]["economy"]["gated"] = {
            "route": 1.0,
            "accept": 0.1,
            "steps": {"other": [1.0, 0.3], "plan": [1.0, 0.2]},
        }

    router = Router.load(edited(change))
    decision = msgspec.structs.replace(router.route(REQUEST, mode="economy"), tier="small", step="other")
    assert router.accept(REQUEST, GOOD, decision=decision).threshold == 0.3
    assert router.accept(REQUEST, GOOD, decision=decision, step="plan").threshold == 0.2
    assert router.accept(REQUEST, GOOD, mode="economy").threshold == 0.1  # the strictest, where nobody says


def test_a_decision_for_the_top_tier_or_none_at_all_is_refused(edited: Callable[..., Path]) -> None:
    router = with_three_tiers(edited)
    top = msgspec.structs.replace(router.route(REQUEST), tier="frontier")
    with pytest.raises(InputError, match=r"^tier is 'frontier'; an answer is judged when it comes from small, mid"):
        router.accept(REQUEST, GOOD, decision=top)
    decision: Any = {"tier": "small"}
    with pytest.raises(InputError, match=r"^decision is of type dict; it must be what route returned"):
        router.accept(REQUEST, GOOD, decision=decision)


def test_a_router_without_a_gate_says_so(edited: Callable[..., Path]) -> None:
    def without(config: dict[str, Any]) -> None:
        config["gate"] = None

    router = Router.load(edited(without))
    assert not router.has_gate
    for ask in (lambda: router.accept(REQUEST, GOOD), lambda: router.route(REQUEST, gated=True)):
        with pytest.raises(InputError, match="has no gate"):
            ask()


def _no_threshold(config: dict[str, Any]) -> None:
    config["modes"]["quality"]["gated"] = None


def _other_features(config: dict[str, Any]) -> None:
    config["gate"]["features"] = ["tier"]


def _no_rule(config: dict[str, Any]) -> None:
    config["gate"]["rules"] = ["good_enough"]


def _no_distance(config: dict[str, Any]) -> None:
    config["gate"]["ood_threshold"] = 0.0


def _no_hash(config: dict[str, Any]) -> None:
    del config["files"]["gate.onnx"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_no_threshold, "no threshold of it in mode quality"),
        (_other_features, "made for 1 features"),
        (_no_rule, "good_enough: no rule about answers"),
        (_no_distance, "ood_threshold is 0.0"),
        (_no_hash, "no hash of gate.onnx"),
    ],
)
def test_an_artifact_whose_gate_contradicts_itself_is_refused(
    edited: Callable[..., Path], change: Callable[[dict[str, Any]], None], told: str
) -> None:
    with pytest.raises(ArtifactError, match=told):
        Router.load(edited(change))


def test_a_gate_that_predicts_other_than_two_qualities_is_refused(edited: Callable[..., Path]) -> None:
    graph = constant_graph({"quality": [[0.1, 0.2, 0.3]], "step": [[1.0] * 10], "ood": [0.0]})
    with pytest.raises(ArtifactError, match=r"gate.onnx predicts 3 qualities; it must predict 2"):
        Router.load(edited(files={"gate.onnx": graph}))


def test_a_cut_gate_is_refused_before_it_can_judge(edited: Callable[..., Path], artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gate.onnx cannot be loaded"):
        Router.load(edited(files={"gate.onnx": (artifact / "gate.onnx").read_bytes()[:-100]}))


def cyclic() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": ["what"]}
    schema["properties"]["what"] = schema
    return schema


HOSTILE_SCHEMAS = [
    cyclic(),
    {"$ref": "#"},
    {"type": "object", "properties": {"what": {"$ref": "#/nowhere"}}},
    {"type": "object", "properties": {"what": {"type": "string", "pattern": "(a+)+$"}}},
    {"type": ["string", 7, None], "properties": "x", "required": "what", "enum": 3},
]


@pytest.mark.parametrize("schema", HOSTILE_SCHEMAS)
def test_a_hostile_schema_takes_no_time(router: Router, schema: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "count", "parameters": schema}}]
    began = time.process_time()
    found = router.accept(REQUEST, call("count", json.dumps({"what": "a" * 50_000 + "!"})), tools=tools)
    assert isinstance(found, Acceptance)
    assert time.process_time() - began < 2.0  # a pattern that was run would take years


@pytest.mark.parametrize("text", ["x" * 1_000_000, "{" * 1_000_000, "(" * 500_000, "1 + 1 = " * 125_000, "\ud800" * 9])
def test_a_million_characters_are_judged_in_bounded_time(router: Router, text: str) -> None:
    began = time.process_time()
    assert isinstance(router.accept({"messages": [{"role": "user", "content": text}]}, text), Acceptance)
    assert time.process_time() - began < 5.0


any_text = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["\ud800", "\0", "count", "what", "{}", '{"what": 1}']
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.builds(pow, st.just(10), st.just(5000)) | st.floats() | any_text
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4), max_leaves=10
)
almost_calls = st.lists(
    st.fixed_dictionaries(
        {}, optional={"name": any_text, "arguments": anything, "function": st.dictionaries(any_text, anything)}
    ),
    max_size=3,
)
almost_outputs = st.fixed_dictionaries(
    {},
    optional={
        "text": any_text | anything,
        "content": any_text | anything,
        "tool_calls": almost_calls | anything,
        "finish_reason": st.sampled_from(["length", "stop"]) | anything,
        "logprobs": st.fixed_dictionaries({"content": st.lists(st.fixed_dictionaries({"logprob": scalars}))})
        | anything,
        "choices": anything,
    },
)
almost_tools = st.lists(
    st.fixed_dictionaries({}, optional={"name": any_text, "parameters": anything, "function": anything}), max_size=2
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(output=anything | almost_outputs, tools=almost_tools, step=st.sampled_from([None, *STEPS]))
def test_anything_gives_an_acceptance_or_an_input_error(
    router: Router, output: Any, tools: list[dict[str, Any]], step: str | None
) -> None:
    try:
        found = router.accept(REQUEST, output, tools=tools, step=step)
    except InputError:
        return
    assert isinstance(found.accept, bool)
    assert 0.0 <= found.confidence <= 1.0
    assert found.reason in Reason


def test_a_tool_far_down_a_long_list_is_not_unknown(saying: Callable[..., Router]) -> None:
    tools = [
        {"type": "function", "function": {"name": f"tool_{i}", "parameters": {"type": "object"}}} for i in range(150)
    ]
    router = saying((1.0, 0.0), 1.0)
    assert router.accept(REQUEST, call("tool_149", "{}"), tools=tools).accept
    assert router.accept(REQUEST, call("tool_150", "{}"), tools=tools).reason is Reason.UNKNOWN_TOOL


def test_a_failure_in_a_late_call_is_found(saying: Callable[..., Router]) -> None:
    calls = [{"function": {"name": "count", "arguments": '{"what": "x"}'}}] * 40 + [{"function": {"name": "remove"}}]
    found = saying((1.0, 0.0), 1.0).accept(REQUEST, {"tool_calls": calls}, tools=[COUNT])
    assert found.reason is Reason.UNKNOWN_TOOL


@pytest.mark.parametrize(
    "output",
    [
        Output(text=b"x"),  # type: ignore[arg-type]
        Output(tool_calls=[{"name": "t"}]),  # type: ignore[list-item]
        Output(tool_calls=[ToolCall(5, {})]),  # type: ignore[arg-type]
        Output(text="x", logprobs=Logprobs(float("nan"), 0.0)),
        {"tool_calls": [ToolCall(5, {})]},  # type: ignore[arg-type]
    ],
)
def test_a_struct_made_wrong_by_hand_is_refused(router: Router, output: Any) -> None:
    with pytest.raises(InputError, match=r"^output\."):
        router.accept(REQUEST, output)

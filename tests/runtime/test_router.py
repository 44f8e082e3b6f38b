"""The router over a real artifact: which mode, threshold, limit or lack decides, and what the decision says of itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learned_router import Decision, InputError, Reason, Router
from learned_router.limits import CHARS_PER_TOKEN_LEAST
from learned_router.policy import as_good_probability
from learned_router.request import STEPS

# Below and above every predicted regret, which lies in [-1, 1].
NEVER, ALWAYS = -1.1, 1.1
# Beyond every distance, so that the other rules are seen alone.
FAR = 2.0**100  # a power of two, so that to divide by it and multiply again gives the very same distance
PROMPT = "count the orders of today"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
PROMPTS = [PROMPT, "list the open builds", "redesign the whole server", "", "x" * 5000, "plan the migration"]


@pytest.fixture
def load(edited: Callable[..., Path]) -> Callable[..., Router]:
    """A router that knows every request and takes the cheapest tier, but for what ``change`` says."""

    def make(change: Callable[[dict[str, Any]], object] | None = None, **options: Any) -> Router:
        def edit(config: dict[str, Any]) -> None:
            config["ood_threshold"] = FAR
            for mode, threshold in (("quality", NEVER), ("balanced", ALWAYS), ("economy", ALWAYS)):
                config["modes"][mode]["threshold"] = threshold
            if change:
                change(config)

        return Router.load(edited(edit), **options)

    return make


def outcome(decision: Decision) -> tuple[str, str]:
    return decision.tier, decision.reason.value


def test_a_decision_says_what_was_predicted_and_what_was_allowed(load: Callable[..., Router]) -> None:
    router = load()
    decision = router.route(PROMPT)
    assert outcome(decision) == ("small", Reason.GOOD_ENOUGH)
    assert (decision.model, decision.mode, decision.threshold) == ("model-s", "balanced", ALWAYS)
    assert list(decision.quality) == ["small", "frontier"]
    assert decision.regret == decision.quality["frontier"] - decision.quality["small"]
    weights = router.config.confidence["small"]
    assert decision.confidence == as_good_probability(*decision.quality.values(), weights)
    assert decision.step in STEPS
    assert decision.router == router.name
    assert decision.truncated is False


def test_a_decision_is_written_as_json_with_every_field_of_the_design(router: Router) -> None:
    written = msgspec.json.decode(msgspec.json.encode(router.route(PROMPT)))
    fields = "tier model reason confidence quality regret threshold step ood truncated mode router"
    assert list(written) == fields.split()


def test_the_top_tier_gives_up_nothing_and_is_as_good_as_itself(load: Callable[..., Router]) -> None:
    decision = load().route(PROMPT, mode="quality")
    assert outcome(decision) == ("frontier", Reason.REGRET_TOO_HIGH)
    assert (decision.model, decision.regret, decision.confidence) == ("model-f", 0.0, 1.0)


def test_the_trained_router_tells_easy_from_hard(router: Router) -> None:
    assert router.route("list the open tickets", mode="economy").tier == "small"
    assert router.route("plan the migration of every order to another region", mode="balanced").tier == "frontier"


def test_the_mode_of_a_call_wins_over_that_of_load_which_wins_over_the_default(load: Callable[..., Router]) -> None:
    assert load().route(PROMPT).mode == "balanced"
    assert load(mode="quality").route(PROMPT).mode == "quality"
    assert load(mode="quality").route(PROMPT, mode="economy").mode == "economy"
    assert load(lambda config: config.update(default_mode="economy")).route(PROMPT).mode == "economy"
    assert [decision.mode for decision in load().route_batch([PROMPT, PROMPT], mode="quality")] == ["quality"] * 2


def test_an_artifact_without_a_balanced_mode_loads_with_its_own_default(load: Callable[..., Router]) -> None:
    def only_economy(config: dict[str, Any]) -> None:
        config.update(modes={"keep-0.9": {"target": 0.9, "threshold": ALWAYS}}, default_mode="keep-0.9", gate=None)

    assert load(only_economy).route(PROMPT).mode == "keep-0.9"


@pytest.mark.parametrize("mode", ["fast", "", "Balanced", "x" * 100_000, 5, b"quality", ["quality"], {}])
def test_an_unknown_mode_is_refused_and_the_known_ones_named(artifact: Path, router: Router, mode: Any) -> None:
    with pytest.raises(InputError, match=r"^mode is .{1,60}; this artifact has quality, balanced, economy$"):
        router.route(PROMPT, mode=mode)
    with pytest.raises(InputError, match=r"^mode is"):
        Router.load(artifact, mode=mode)


def test_a_steps_own_threshold_replaces_the_modes_for_that_step_alone(load: Callable[..., Router]) -> None:
    router = load(lambda config: config["modes"]["balanced"].update(steps={"plan": NEVER}))
    by_step = {step: router.route(PROMPT, step=step) for step in STEPS}
    assert {step for step, decision in by_step.items() if decision.tier == "frontier"} == {"plan"}
    assert (by_step["plan"].threshold, by_step["code"].threshold) == (NEVER, ALWAYS)
    assert router.route(PROMPT, step="plan", mode="economy").tier == "small"


def test_a_steps_threshold_applies_to_the_predicted_step_too(load: Callable[..., Router]) -> None:
    predicted = load().route(PROMPT).step
    strict = load(lambda config: config["modes"]["balanced"].update(steps={predicted: NEVER}))
    decision = strict.route(PROMPT)
    assert (decision.step, decision.tier, decision.threshold) == (predicted, "frontier", NEVER)


def test_the_step_given_is_the_step_told(router: Router) -> None:
    assert [router.route(PROMPT, step=step).step for step in STEPS] == list(STEPS)
    assert router.route({"prompt": PROMPT, "step": "code"}).step == "code"


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (0.999, ("frontier", Reason.OUT_OF_DISTRIBUTION)),
        (1.0, ("small", Reason.GOOD_ENOUGH)),
        (1.001, ("small", Reason.GOOD_ENOUGH)),
    ],
)
def test_a_request_beyond_the_distance_learned_from_goes_to_the_top_tier(
    load: Callable[..., Router], factor: float, expected: tuple[str, str]
) -> None:
    distance = load().route(PROMPT).ood * FAR
    decision = load(lambda config: config.update(ood_threshold=factor * distance)).route(PROMPT)
    assert outcome(decision) == expected
    assert decision.ood == pytest.approx(1.0 / factor)


def limit_small(**limits: Any) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["tiers"][0].update(limits)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_request_longer_than_the_window_of_a_tier_goes_up(load: Callable[..., Router], beyond: int) -> None:
    tokens = 1000
    prompt = "a" * ((tokens + beyond) * CHARS_PER_TOKEN_LEAST)
    decision = load(limit_small(context_tokens=tokens)).route(prompt)
    assert outcome(decision) == (("frontier", Reason.CONTEXT_TOO_LONG) if beyond > 0 else ("small", Reason.GOOD_ENOUGH))


def test_the_window_holds_the_whole_transcript_not_the_last_message_alone(load: Callable[..., Router]) -> None:
    router = load(limit_small(context_tokens=1000))
    turns = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "word " * 200}]
    assert router.route([*turns, {"role": "user", "content": PROMPT}]).tier == "small"
    assert router.route([*turns * 5, {"role": "user", "content": PROMPT}]).reason == Reason.CONTEXT_TOO_LONG


NEEDS: dict[str, dict[str, Any]] = {
    "tools": {"prompt": PROMPT, "tools": [{"name": "count"}]},
    "vision": {"messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT}, IMAGE]}]},
    "json": {"prompt": PROMPT, "response_format": {"type": "json_object"}},
}


@pytest.mark.parametrize("lacks", NEEDS)
def test_a_tier_that_lacks_what_a_request_needs_is_passed_over(load: Callable[..., Router], lacks: str) -> None:
    router = load(limit_small(lacks=[lacks]))
    for need, request in NEEDS.items():
        expected = ("frontier", Reason.LACKS_CAPABILITY) if need == lacks else ("small", Reason.GOOD_ENOUGH)
        assert outcome(router.route(request)) == expected
    assert outcome(router.route(PROMPT)) == ("small", Reason.GOOD_ENOUGH)


def test_plain_text_asked_for_as_such_is_no_wish_for_json(load: Callable[..., Router]) -> None:
    router = load(limit_small(lacks=["json"]))
    assert router.route({"prompt": PROMPT, "response_format": {"type": "text"}}).tier == "small"


def test_a_limit_of_the_top_tier_changes_nothing(load: Callable[..., Router]) -> None:
    router = load(lambda config: config["tiers"][1].update(context_tokens=1, lacks=["tools", "vision", "json"]))
    assert router.route(NEEDS["tools"], mode="quality").reason == Reason.REGRET_TOO_HIGH


@pytest.mark.parametrize(
    "limits", [{"context_tokens": 1}, {"lacks": ["tools"]}, {"context_tokens": 1, "lacks": ["tools"]}]
)
def test_a_limit_is_no_reason_when_the_tier_would_not_have_done(
    load: Callable[..., Router], limits: dict[str, Any]
) -> None:
    assert load(limit_small(**limits)).route(NEEDS["tools"], mode="quality").reason == Reason.REGRET_TOO_HIGH


def test_a_batch_names_the_request_that_is_wrong(router: Router) -> None:
    with pytest.raises(InputError, match=r"^requests\[1\]: messages\[0\]\.role is absent"):
        router.route_batch([PROMPT, [{"content": "x"}], 7])
    with pytest.raises(InputError, match=r"^mode is 'fast'"):
        router.route_batch([PROMPT], mode="fast")
    with pytest.raises(InputError, match=r"requests\[1\]"):
        router.route_modes([PROMPT, [{"content": "x"}]])


def test_an_empty_batch_gives_no_decisions(router: Router) -> None:
    assert router.route_batch([]) == []
    assert router.route_modes([]) == {mode: [] for mode in router.modes}


def test_every_mode_at_once_decides_as_each_mode_alone(router: Router) -> None:
    assert router.route_modes(PROMPTS) == {mode: router.route_batch(PROMPTS, mode=mode) for mode in router.modes}


def test_routing_from_many_threads_decides_as_one_thread_does(router: Router) -> None:
    jobs = [(prompt, mode) for prompt in PROMPTS for mode in router.modes] * 15
    alone = [router.route(prompt, mode=mode) for prompt, mode in jobs]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda job: router.route(job[0], mode=job[1]), jobs)) == alone


def test_loading_twice_decides_the_same(artifact: Path, router: Router) -> None:
    assert Router.load(str(artifact)).route_batch(PROMPTS) == router.route_batch(PROMPTS)


def test_a_request_is_left_as_it_was(router: Router) -> None:
    request = {"messages": [{"role": "user", "content": "a\ud800b"}], "tools": [{"name": "count"}], "step": None}
    before = repr(request)
    router.route(request)
    assert repr(request) == before


def test_predict_gives_a_row_for_each_request_and_no_decision(router: Router) -> None:
    from learned_router.request import parse_request

    prediction = router.predict([parse_request(prompt) for prompt in PROMPTS])
    assert prediction.quality.shape == (len(PROMPTS), 2)
    assert prediction.step.shape == (len(PROMPTS), len(STEPS))
    assert prediction.ood.shape == (len(PROMPTS),)
    assert all(math.isclose(row.sum(), 1.0, abs_tol=1e-4) for row in prediction.step)

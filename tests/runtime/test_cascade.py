"""A cascade asks the small model first where it may do, keeps what holds, and counts every call that was paid for."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphs import constant_graph

from learned_router import Cascade, InputError, Router
from learned_router.pricing import Price
from learned_router.request import Message

REQUEST = "list the open orders"
PRICES = {"small": Price(1.0, 2.0), "frontier": Price(10.0, 20.0)}
SMALL_USD, FRONTIER_USD = (100 * 1.0 + 50 * 2.0) / 1e6, (100 * 10.0 + 50 * 20.0) / 1e6


def answered(text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], "usage": usage}


class Client:
    """Answers as told, and keeps what it was asked. An answer that is an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {f"model-{tier[0]}": answer for tier, answer in answers.items()}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def complete(self, model: str, request: dict[str, Any]) -> Any:
        self.asked.append((model, request))
        answer = self.answers[model]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def acomplete(self, model: str, request: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return self.complete(model, request)


@pytest.fixture
def deciding(edited: Callable[..., Path]) -> Callable[..., Router]:
    """A router that sends ``down`` or up, with a gate that keeps every answer or none."""

    def make(*, down: bool = True, keep: bool = True) -> Router:
        other = {"step": [[0.0] * 9 + [1.0]], "ood": [0.0]}
        files = {
            "model.onnx": constant_graph({"quality": [[0.9, 0.9] if down else [0.0, 0.9]], **other}),
            "gate.onnx": constant_graph({"quality": [[0.9, 0.9] if keep else [0.0, 0.9]], **other}),
        }

        def change(config: dict[str, Any]) -> None:
            for mode in config["modes"].values():
                mode["gated"] = {"route": 0.1, "accept": 0.1}

        return Router.load(edited(change, files=files))

    return make


def test_an_answer_that_is_kept_costs_one_small_call(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("12 orders"))
    done = Cascade(deciding(), complete=client.complete, prices=PRICES).run(REQUEST)
    assert (done.tier, done.model, done.answer) == ("small", "model-s", client.answers["model-s"])
    assert done.cost_usd == pytest.approx(SMALL_USD)
    assert done.wasted_usd == 0.0
    [attempt] = done.attempts
    assert attempt.kept
    assert attempt.acceptance is not None
    assert attempt.acceptance.accept


def test_an_answer_that_does_not_hold_is_paid_for_and_counted_as_wasted(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("perhaps"), frontier=answered("12 orders"))
    done = Cascade(deciding(keep=False), complete=client.complete, prices=PRICES).run(REQUEST)
    assert [(a.tier, a.kept) for a in done.attempts] == [("small", False), ("frontier", True)]
    assert done.answer is client.answers["model-f"]
    assert done.cost_usd == pytest.approx(SMALL_USD + FRONTIER_USD)
    assert done.wasted_usd == pytest.approx(SMALL_USD)
    assert done.latency_s >= sum(a.latency_s for a in done.attempts)


def test_what_is_routed_up_is_asked_once_and_checked_by_nobody(deciding: Callable[..., Router]) -> None:
    client = Client(frontier=answered(""))
    done = Cascade(deciding(down=False, keep=False), complete=client.complete, prices=PRICES).run(REQUEST)
    assert [model for model, _ in client.asked] == ["model-f"]
    assert done.attempts[0].acceptance is None
    assert done.wasted_usd == 0.0


@pytest.mark.parametrize("failure", [TimeoutError("slow"), ValueError("no such model"), {"answer": "no shape"}, None])
def test_a_small_call_that_fails_goes_up_and_its_error_is_kept(deciding: Callable[..., Router], failure: Any) -> None:
    client = Client(small=failure, frontier=answered("12 orders"))
    done = Cascade(deciding(), complete=client.complete, prices=PRICES).run(REQUEST)
    assert done.tier == "frontier"
    assert done.attempts[0].error
    assert done.cost_usd is None  # nobody knows what the failed call cost


def test_an_error_of_the_top_tier_is_the_callers(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("perhaps"), frontier=TimeoutError("slow"))
    with pytest.raises(TimeoutError, match="slow"):
        Cascade(deciding(keep=False), complete=client.complete).run(REQUEST)


def test_without_prices_or_usage_the_cost_is_not_known_rather_than_nothing(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("12 orders"))
    assert Cascade(deciding(), complete=client.complete, prices={}).run(REQUEST).cost_usd is None
    client = Client(small="12 orders")
    assert Cascade(deciding(), complete=client.complete, prices=PRICES).run(REQUEST).cost_usd is None


def test_the_client_gets_what_a_chat_completions_call_takes(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("12 orders"))
    tools = [{"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}]
    Cascade(deciding(), complete=client.complete).run(REQUEST, tools=tools, step="tool_call")
    assert client.asked == [("model-s", {"messages": [{"role": "user", "content": REQUEST}], "tools": tools})]


TOOLS = [{"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("keep", [True, False])
def test_fields_that_are_not_read_reach_every_model_as_they_came(deciding: Callable[..., Router], keep: bool) -> None:
    client = Client(small=answered("12 orders"), frontier=answered("12"))
    fields = {
        "messages": [{"role": "user", "content": REQUEST, "cache_control": {"type": "ephemeral"}}],
        "tools": TOOLS,
        "tool_choice": "auto",
        "temperature": 0.2,
        "max_tokens": 64,
        "response_format": {"type": "text"},
        "extra_body": {"seed": 7},
        "stream": False,
        "stop": None,
    }
    before = copy.deepcopy(fields)
    Cascade(deciding(keep=keep), complete=client.complete).run({**fields, "step": "tool_call", "model": "mine"})
    assert [model for model, _ in client.asked] == ["model-s", "model-f"][: 1 + (not keep)]
    assert all(body == before for _, body in client.asked)
    assert fields == before


def test_awaited_calls_get_the_same_fields(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("12 orders"))
    asyncio.run(
        Cascade(deciding(), acomplete=client.acomplete).arun({"prompt": REQUEST, "temperature": 0.2}, tools=TOOLS)
    )
    [(_, body)] = client.asked
    assert body == {"messages": [{"role": "user", "content": REQUEST}], "temperature": 0.2, "tools": TOOLS}


def test_tools_beside_the_request_win_over_its_own_and_messages_may_be_our_own(
    deciding: Callable[..., Router],
) -> None:
    client = Client(small=answered("12 orders"))
    request = {"messages": (Message("user", REQUEST), {"role": "user", "content": "now", "name": "Ada"}), "tools": []}
    Cascade(deciding(), complete=client.complete).run(request, tools=TOOLS)
    [(_, body)] = client.asked
    assert body["tools"] == TOOLS
    assert body["messages"] == [{"role": "user", "content": REQUEST}, request["messages"][1]]


def test_what_a_client_takes_out_of_a_request_is_there_again_for_the_next_model(
    deciding: Callable[..., Router],
) -> None:
    left = []

    def complete(model: str, request: dict[str, Any]) -> Any:
        left.append(request.pop("temperature"))
        return answered("12 orders")

    Cascade(deciding(keep=False), complete=complete).run({"prompt": REQUEST, "temperature": 0.2})
    assert left == [0.2, 0.2]


def test_a_stream_is_refused_before_any_call(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("12 orders"))
    with pytest.raises(InputError, match=r"^stream is asked for; .* leave stream out$"):
        Cascade(deciding(), complete=client.complete).run({"prompt": REQUEST, "stream": True})
    assert client.asked == []


def test_awaited_calls_decide_as_blocking_ones_do(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("perhaps"), frontier=answered("12 orders"))
    cascade = Cascade(deciding(keep=False), complete=client.complete, acomplete=client.acomplete, prices=PRICES)
    done, awaited = cascade.run(REQUEST), asyncio.run(cascade.arun(REQUEST))
    assert [(a.tier, a.kept, a.cost_usd) for a in done.attempts] == [
        (a.tier, a.kept, a.cost_usd) for a in awaited.attempts
    ]


def test_a_cascade_without_gate_or_client_is_refused(
    deciding: Callable[..., Router], edited: Callable[..., Path]
) -> None:
    def without(config: dict[str, Any]) -> None:
        config["gate"] = None

    client = Client(small=answered("12 orders"))
    with pytest.raises(InputError, match="has no gate"):
        Cascade(Router.load(edited(without)), complete=client.complete)
    with pytest.raises(InputError, match="neither complete nor acomplete"):
        Cascade(deciding())
    with pytest.raises(InputError, match="use arun"):
        Cascade(deciding(), acomplete=client.acomplete).run(REQUEST)
    with pytest.raises(InputError, match="use run"):
        asyncio.run(Cascade(deciding(), complete=client.complete).arun(REQUEST))


def test_a_tools_result_goes_to_the_server_with_the_id_of_its_call(deciding: Callable[..., Router]) -> None:
    client = Client(small=answered("12 orders"))
    asked = {"id": "c1", "type": "function", "function": {"name": "count", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": REQUEST},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "content": "12", "tool_call_id": "c1", "name": "count"},
    ]
    Cascade(deciding(), complete=client.complete).run(messages)
    assert client.asked[0][1]["messages"][2] == messages[2]
    assert client.asked[0][1]["messages"][1]["tool_calls"] == [asked]

"""Collecting over a real HTTP server: each record its answer, nothing asked twice, money and keys kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from collecting import DOLLAR_A_TOKEN, FREE, HELD, heard, request, run, texts, tiers, write_log, written
from model_server import ModelServer, model_server, reply

from learned_router.errors import InputError
from learned_router.pricing import Price
from learned_router.request import Message
from learned_router.training.collect import collect_files, plan_files
from learned_router.training.collecting.endpoints import CollectTier, Endpoint
from learned_router.training.label import label_files
from learned_router.training.records import Output, Skipped, ToolCall, read_labels, read_records

TOOLS = [{"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as served:
        yield served


def test_every_record_gets_its_own_answer_with_tokens_latency_and_cost(model: ModelServer, tmp_path: Path) -> None:
    done = run(write_log(tmp_path, 5), tiers(model, Price(1.0, 2.0)))
    assert texts(done) == heard(5)
    first = written(done)[0].outputs["m"]
    assert (first.input_tokens, first.output_tokens, first.error) == (7, 3, None)
    assert first.cost_usd == pytest.approx(13e-6)
    assert first.latency_s is not None
    assert first.latency_s > 0
    assert done.spent_usd == pytest.approx(5 * 13e-6)
    assert done.complete


def test_the_answer_that_a_log_holds_is_reused_and_never_asked_again(model: ModelServer, tmp_path: Path) -> None:
    records = [request(0), request(1, outputs={"m": Output(text="held"), "big": HELD})]
    done = run(write_log(tmp_path, records), tiers(model))
    assert texts(done) == ["heard request 0", "held"]
    assert texts(done, "big") == [HELD.text] * 2
    assert model.prompts == ["request 0"]


def test_an_output_with_an_error_is_asked_again(model: ModelServer, tmp_path: Path) -> None:
    done = run(write_log(tmp_path, [request(0, outputs={"m": Output(error="status 500"), "big": HELD})]), tiers(model))
    assert texts(done) == heard(1)


def test_a_second_run_asks_nothing_and_writes_the_same_file(model: ModelServer, tmp_path: Path) -> None:
    log = write_log(tmp_path, 4)
    first = run(log, tiers(model)).out.read_bytes()
    assert run(log, tiers(model)).out.read_bytes() == first
    assert len(model.asked) == 4


def test_two_records_that_ask_the_same_share_one_paid_answer(model: ModelServer, tmp_path: Path) -> None:
    same = [msgspec.structs.replace(request(0), id=name) for name in "abc"]
    done = run(write_log(tmp_path, same), tiers(model))
    assert texts(done) == heard(1) * 3
    assert len(model.asked) == 1
    assert done.plan.tiers["small"].shared == 2


def test_a_changed_request_under_the_same_id_is_asked_again(model: ModelServer, tmp_path: Path) -> None:
    run(write_log(tmp_path, 1), tiers(model))
    changed = [msgspec.structs.replace(request(0), messages=[Message("user", "another")])]
    assert texts(run(write_log(tmp_path, changed), tiers(model))) == ["heard another"]


def test_what_was_collected_can_be_labelled(model: ModelServer, tmp_path: Path) -> None:
    records = [request(index, reference={"answer": f"heard request {index}"}) for index in range(6)]
    done = run(write_log(tmp_path, records), tiers(model))
    labels = label_files([done.out], {"small": "m", "frontier": "big"}, tmp_path / "labels.jsonl")
    assert labels.made == 6
    made = read_labels([tmp_path / "labels.jsonl"], Skipped())
    assert [item.quality for item in made] == [{"small": 1.0, "frontier": 0.0}] * 6


def test_a_failure_leaves_no_output_so_no_label_says_that_the_model_was_wrong(
    model: ModelServer, tmp_path: Path
) -> None:
    model.statuses = [400]
    done = run(write_log(tmp_path, 2), tiers(model), concurrency=1)
    assert texts(done) == [None, "heard request 1"]
    assert done.runs["small"].failed.counts == {"bad_request": 1}
    labels = label_files([done.out], {"small": "m", "frontier": "big"}, tmp_path / "labels.jsonl")
    assert labels.skipped.counts == {"missing_tier": 1}


def test_asking_stops_before_the_budget_could_be_exceeded_and_goes_on_with_more(
    model: ModelServer, tmp_path: Path
) -> None:
    log = write_log(tmp_path, 6)
    done = run(log, tiers(model, DOLLAR_A_TOKEN), max_cost=35.0, concurrency=4)
    assert done.over_budget
    assert done.spent_usd == 30.0
    assert len(model.asked) == 3
    assert done.left == {"small": 3, "frontier": 0}
    assert done.runs["small"].failed.total == 0
    again = run(log, tiers(model, DOLLAR_A_TOKEN), max_cost=35.0)
    assert (again.before_usd, again.spent_usd, len(model.asked)) == (30.0, 0.0, 3)
    last = run(log, tiers(model, DOLLAR_A_TOKEN), max_cost=60.0)
    assert last.complete
    assert texts(last) == heard(6)


def test_answers_dearer_than_expected_raise_the_expectation(model: ModelServer, tmp_path: Path) -> None:
    model.usage = {"prompt_tokens": 7, "completion_tokens": 93}  # 100 dollars, where the log lets expect 10
    done = run(write_log(tmp_path, 20), tiers(model, DOLLAR_A_TOKEN), max_cost=250.0, concurrency=1)
    assert done.spent_usd == 200.0
    assert len(model.asked) == 2


def test_a_failed_request_that_may_have_been_charged_counts_as_spent(model: ModelServer, tmp_path: Path) -> None:
    def garbage(handler: Any, body: dict[str, Any]) -> bool:
        reply(handler, 200, b"garbage")
        return True

    model.play = garbage
    done = run(write_log(tmp_path, 4), tiers(model, DOLLAR_A_TOKEN), max_cost=35.0, concurrency=1)
    assert len(model.asked) == 3
    assert done.spent_usd == 30.0
    assert done.over_budget
    model.play = None
    again = run(write_log(tmp_path, 4), tiers(model, DOLLAR_A_TOKEN), max_cost=55.0)
    assert (again.before_usd, again.spent_usd) == (30.0, 20.0)


def test_an_answer_without_the_servers_count_is_charged_by_the_rule_and_never_nothing(
    model: ModelServer, tmp_path: Path
) -> None:
    model.usage = None
    done = run(write_log(tmp_path, 1), tiers(model, DOLLAR_A_TOKEN))
    assert done.runs["small"].uncounted == 1
    assert done.spent_usd > 4
    assert written(done)[0].outputs["m"].cost_usd == done.spent_usd


def test_a_plan_asks_nothing_writes_nothing_and_matches_what_is_then_spent(model: ModelServer, tmp_path: Path) -> None:
    log, out = write_log(tmp_path, 4), tmp_path / "pairs.jsonl"
    plan = plan_files([log], tiers(model, DOLLAR_A_TOKEN, api_key_variable="NOT_SET"), out)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    assert model.asked == []
    small = plan.tiers["small"]
    assert (small.to_ask, small.input_tokens, small.output_tokens, small.cost_usd) == (4, 28, 12, 40.0)
    assert plan.tiers["frontier"].held == 4
    assert run(log, tiers(model, DOLLAR_A_TOKEN)).spent_usd == plan.cost_usd
    assert plan_files([log], tiers(model, DOLLAR_A_TOKEN), out).tiers["small"].journaled == 4


def test_a_sample_takes_its_share_of_each_step_and_a_larger_one_reuses_it(model: ModelServer, tmp_path: Path) -> None:
    records = [request(index, step="plan" if index % 4 else "intent") for index in range(40)]
    log = write_log(tmp_path, records)
    few = run(log, tiers(model), sample=8)
    drawn, steps = {record.id for record in written(few)}, [record.step for record in written(few)]
    assert (steps.count("plan"), steps.count("intent")) == (6, 2)
    more = run(log, tiers(model), sample=20)
    assert drawn < {record.id for record in written(more)}
    assert len(model.asked) == 20


def test_two_tiers_are_asked_side_by_side_each_by_its_served_name(model: ModelServer, tmp_path: Path) -> None:
    both = [
        CollectTier("small", "s", Endpoint(model.url, served_name="s:1b"), FREE),
        CollectTier("frontier", "f", Endpoint(model.url), FREE),
    ]
    done = run(write_log(tmp_path, 3), both)
    assert texts(done, "s") == texts(done, "f") == heard(3)
    assert sorted(body["model"] for body in model.asked) == ["f"] * 3 + ["s:1b"] * 3


def test_no_more_requests_are_open_than_allowed(model: ModelServer, tmp_path: Path) -> None:
    model.delay_s = 0.02
    run(write_log(tmp_path, 9), tiers(model), concurrency=3)
    assert model.busiest == 3


def test_the_request_holds_tools_format_temperature_and_limit(model: ModelServer, tmp_path: Path) -> None:
    bare = {"name": "ping", "parameters": {}}
    records = [request(0, tools=[bare], response_format={"type": "json_object"})]
    run(write_log(tmp_path, records), tiers(model), max_tokens=9)
    (body,) = model.asked
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "request 0"}],
        "temperature": 0.0,
        "max_tokens": 9,
        "tools": [{"type": "function", "function": bare}],
        "response_format": {"type": "json_object"},
    }


@pytest.mark.parametrize("wanted", [True, False])
def test_calls_in_text_are_read_only_when_asked_for(model: ModelServer, tmp_path: Path, wanted: bool) -> None:
    model.message = {"content": '{"name": "ping", "arguments": {}}'}
    done = run(write_log(tmp_path, [request(0, tools=TOOLS)]), tiers(model), calls_in_text=wanted)
    output = written(done)[0].outputs["m"]
    assert output.tool_calls == ([ToolCall("ping", {})] if wanted else None)
    assert output.text == '{"name": "ping", "arguments": {}}'


def test_the_key_reaches_the_server_and_no_file_and_no_message(
    model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_MODEL", "very-secret-key")
    model.play = lambda handler, body: (
        bool(body["messages"][0]["content"].endswith("1"))
        and (reply(handler, 400, f"no: {handler.headers['Authorization']}".encode()) or True)
    )
    done = run(write_log(tmp_path, 2), tiers(model, api_key_variable="MY_MODEL"))
    assert set(model.keys) == {"Bearer very-secret-key"}
    assert done.runs["small"].failed.counts == {"bad_request": 1}
    assert "very-secret-key" not in repr(done)
    assert all(b"very-secret-key" not in path.read_bytes() for path in tmp_path.iterdir())


def test_an_unset_key_is_named_before_anything_is_asked(
    model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_MODEL_KEY", raising=False)
    with pytest.raises(InputError, match="TEST_MODEL_KEY is empty or not set"):
        run(write_log(tmp_path, 1), tiers(model, api_key_variable="TEST_MODEL_KEY"))
    assert model.asked == []


def test_a_refused_key_stops_the_run_with_one_clear_error_and_without_the_servers_words(
    model: ModelServer, tmp_path: Path
) -> None:
    model.statuses = [401] * 9
    with pytest.raises(InputError, match=r"refused with status 401; it wants an API key; .* --key small=VARIABLE"):
        run(write_log(tmp_path, 9), tiers(model), concurrency=1)
    assert len(model.asked) == 1
    assert not (tmp_path / "pairs.jsonl").exists()


def test_a_key_refused_in_mid_run_keeps_what_was_answered(model: ModelServer, tmp_path: Path) -> None:
    model.statuses = [200, 200] + [401] * 9
    done = run(write_log(tmp_path, 9), tiers(model), concurrency=1)
    assert texts(done)[:2] == heard(2)
    assert len(model.asked) == 5
    assert "wants an API key" in str(done.runs["small"].closed)


def test_bare_requests_are_asked_of_every_tier(model: ModelServer, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"id": "r0", "messages": [{"role": "user", "content": "request 0"}]}\n')
    both = [CollectTier(name, name, Endpoint(model.url), FREE) for name in ("small", "frontier")]
    done = run(log, both)
    assert texts(done, "small") == texts(done, "frontier") == heard(1)


def test_a_record_nested_too_deeply_or_with_what_json_has_no_number_for_stops_nothing(
    model: ModelServer, tmp_path: Path
) -> None:
    log = write_log(tmp_path, 2)
    message = {"messages": [{"role": "user", "content": "x"}], "outputs": {"big": {"text": "y"}}}
    lines = []
    for depth in (400, 940, 970, 990, 2000):
        record = {"id": f"deep{depth}", **message, "tools": [{"name": "a", "deep": "HERE"}]}
        lines.append(json.dumps(record).replace('"HERE"', "[" * depth + "]" * depth))
    lines.append(json.dumps({"id": "nan", **message, "tools": [{"name": "a", "limit": math.nan}]}))
    log.write_text(log.read_text() + "\n".join(lines) + "\n")
    done = run(log, tiers(model))
    answered = {record.id for record in written(done) if "m" in record.outputs}
    assert {"r0", "r1", "deep400", "nan"} <= answered  # what is no number is asked as null
    assert done.plan.skipped.counts["too_deep"] >= 1  # how many of the others depends on how deep the callers are


def test_answers_that_end_at_their_limit_are_counted(model: ModelServer, tmp_path: Path) -> None:
    answer = {"choices": [{"message": {"content": "half of it"}, "finish_reason": "length"}]}
    model.play = lambda handler, body: reply(handler, 200, json.dumps(answer).encode()) or True
    assert run(write_log(tmp_path, 3), tiers(model)).runs["small"].cut == 3


def test_out_may_not_be_one_of_the_logs(model: ModelServer, tmp_path: Path) -> None:
    log = write_log(tmp_path, 1)
    with pytest.raises(InputError, match="is one of the logs"):
        collect_files([log], tiers(model), log)
    assert len(list(read_records([log], Skipped()))) == 1


def test_a_model_that_no_record_holds_and_nobody_serves_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--tier small=tinny: in none of 2 records; .* big \(2\)"):
        run(write_log(tmp_path, 2), [CollectTier("small", "tinny"), CollectTier("frontier", "big")])


def test_an_option_that_the_model_does_not_take_is_left_out_from_then_on(model: ModelServer, tmp_path: Path) -> None:
    def picky(handler: Any, body: dict[str, Any]) -> bool:
        if "max_tokens" in body:
            told = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        elif "temperature" in body:
            told = "Unsupported value: 'temperature' does not support 0 with this model."
        else:
            return False
        reply(handler, 400, json.dumps({"error": {"message": told}}).encode())
        return True

    model.play = picky
    done = run(write_log(tmp_path, 3), tiers(model), concurrency=1, max_tokens=5)
    assert texts(done) == heard(3)
    assert len(model.asked) == 5
    assert model.asked[-1]["max_completion_tokens"] == 5
    assert len(done.runs["small"].notes) == 2

"""Collecting over a real HTTP server: nothing is asked twice, failures are recorded, the key stays out of the files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.collect import Endpoint, Patience, chat_body, collect, read_calls
from learned_router.training.records import Output, Record, ToolCall

QUICK = Patience(timeout_s=5, attempts=3, first_wait_s=0.01, longest_wait_s=0.02)
TOOLS = [{"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}}}]


class FakeModel:
    """A chat-completions server that counts what it is asked and plays the statuses it is given first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.statuses: list[int] = []
        self.message: dict[str, Any] = {}
        self.delay_s = 0.0
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.asked.append(body)
            self.keys.append(key)
            if self.statuses:
                status = self.statuses.pop(0)
                if status != 200:
                    return status, {"error": "as told"}
        message = self.message or {"content": f"heard {body['messages'][-1]['content']}"}
        return 200, {"choices": [{"message": message}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


@pytest.fixture
def model() -> Iterator[FakeModel]:
    fake = FakeModel()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with fake.lock:
                fake.busy += 1
                fake.busiest = max(fake.busiest, fake.busy)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            threading.Event().wait(fake.delay_s)
            status, data = fake.answer(body, self.headers.get("Authorization"))
            content = json.dumps(data).encode()
            with fake.lock:
                fake.busy -= 1
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def requests(count: int) -> list[Record]:
    return [Record(id=f"r{i}", messages=[Message("user", f"request {i}")], outputs={}) for i in range(count)]


def run(records: list[Record], model: FakeModel, journal: Path, **options: Any) -> list[Record]:
    return collect(records, "m", Endpoint(model.url), journal, patience=QUICK, show_progress=False, **options)


def test_every_record_gets_its_own_answer_with_tokens_and_latency(model: FakeModel, tmp_path: Path) -> None:
    answered = run(requests(5), model, tmp_path / "journal.jsonl")
    assert [record.outputs["m"].text for record in answered] == [f"heard request {i}" for i in range(5)]
    first = answered[0].outputs["m"]
    assert (first.input_tokens, first.output_tokens, first.error) == (7, 3, None)
    assert first.latency_s is not None
    assert first.latency_s > 0


def test_a_second_run_asks_nothing(model: FakeModel, tmp_path: Path) -> None:
    first = run(requests(4), model, tmp_path / "journal.jsonl")
    assert run(requests(4), model, tmp_path / "journal.jsonl") == first
    assert len(model.asked) == 4


def test_a_run_killed_while_writing_asks_only_the_torn_and_the_missing(model: FakeModel, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    run(requests(3), model, journal)
    whole = journal.read_bytes()
    last_line = len(whole.splitlines()[-1])
    journal.write_bytes(whole[: -last_line // 2])
    model.asked.clear()
    answered = run(requests(5), model, journal)
    assert sorted(body["messages"][0]["content"] for body in model.asked) == ["request 2", "request 3", "request 4"]
    assert [record.outputs["m"].text for record in answered] == [f"heard request {i}" for i in range(5)]
    assert all(json.loads(line)["id"] for line in journal.read_text().splitlines())


def test_after_a_sigkill_no_answer_on_disk_is_asked_for_again(model: FakeModel, tmp_path: Path) -> None:
    journal, count = tmp_path / "journal.jsonl", 12
    model.delay_s = 0.05
    script = (
        "import sys; from pathlib import Path\n"
        "from learned_router.request import Message\n"
        "from learned_router.training.collect import Endpoint, collect\n"
        "from learned_router.training.records import Record\n"
        "ask = lambda i: [Message('user', f'request {i}')]\n"
        f"records = [Record(id=f'r{{i}}', messages=ask(i), outputs={{}}) for i in range({count})]\n"
        "collect(records, 'm', Endpoint(sys.argv[1]), Path(sys.argv[2]), concurrency=1, show_progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, model.url, str(journal)])
    deadline = time.monotonic() + 30
    while len(model.asked) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = {json.loads(line)["id"] for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")}
    assert 3 <= len(kept) < count
    model.delay_s = 0.0
    model.asked.clear()
    answered = run(requests(count), model, journal)
    asked = {body["messages"][0]["content"].replace("request ", "r") for body in model.asked}
    assert asked == {f"r{i}" for i in range(count)} - kept
    assert [record.outputs["m"].text for record in answered] == [f"heard request {i}" for i in range(count)]


def test_a_damaged_line_in_the_middle_costs_only_that_answer(model: FakeModel, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    run(requests(3), model, journal, concurrency=1)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"\x00\xff{\n" + lines[2])
    model.asked.clear()
    run(requests(3), model, journal)
    assert [body["messages"][0]["content"] for body in model.asked] == ["request 1"]


def test_a_changed_request_under_the_same_id_is_asked_again(model: FakeModel, tmp_path: Path) -> None:
    run(requests(1), model, tmp_path / "journal.jsonl")
    changed = [Record(id="r0", messages=[Message("user", "another")], outputs={})]
    assert run(changed, model, tmp_path / "journal.jsonl")[0].outputs["m"].text == "heard another"


def test_an_output_already_in_the_log_is_kept_and_one_with_an_error_is_asked_again(
    model: FakeModel, tmp_path: Path
) -> None:
    records = requests(2)
    records[0].outputs["m"] = Output(text="held")
    records[1].outputs["m"] = Output(error="status 500")
    answered = run(records, model, tmp_path / "journal.jsonl")
    assert [record.outputs["m"].text for record in answered] == ["held", "heard request 1"]
    assert records[1].outputs["m"].error == "status 500"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_retried_until_answered(model: FakeModel, tmp_path: Path, status: int) -> None:
    model.statuses = [status, status]
    answered = run(requests(1), model, tmp_path / "journal.jsonl")
    assert answered[0].outputs["m"].text == "heard request 0"
    assert len(model.asked) == 3


def test_a_lasting_failure_is_recorded_not_journaled_and_asked_again_next_time(
    model: FakeModel, tmp_path: Path
) -> None:
    model.statuses = [500] * QUICK.attempts
    answered = run(requests(1), model, tmp_path / "journal.jsonl")
    assert answered[0].outputs["m"].error is not None
    assert "500" in answered[0].outputs["m"].error
    assert len(model.asked) == QUICK.attempts
    assert run(requests(1), model, tmp_path / "journal.jsonl")[0].outputs["m"].text == "heard request 0"


def test_a_request_the_server_finds_bad_is_not_retried(model: FakeModel, tmp_path: Path) -> None:
    model.statuses = [400]
    assert "400" in str(run(requests(1), model, tmp_path / "journal.jsonl")[0].outputs["m"].error)
    assert len(model.asked) == 1


def test_nobody_listening_becomes_an_error_on_the_output(tmp_path: Path) -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1")
    answered = collect(requests(1), "m", endpoint, tmp_path / "j.jsonl", patience=QUICK, show_progress=False)
    assert "ConnectError" in str(answered[0].outputs["m"].error)


def test_a_refused_key_stops_the_run_with_one_clear_error(model: FakeModel, tmp_path: Path) -> None:
    model.statuses = [401]
    with pytest.raises(InputError, match="refused with status 401"):
        run(requests(3), model, tmp_path / "journal.jsonl", concurrency=1)


def test_the_key_reaches_the_server_and_no_file(
    model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_MODEL_KEY", "very-secret")
    endpoint = Endpoint(model.url, api_key_variable="TEST_MODEL_KEY")
    collect(requests(1), "m", endpoint, tmp_path / "journal.jsonl", patience=QUICK, show_progress=False)
    assert model.keys == ["Bearer very-secret"]
    assert b"very-secret" not in (tmp_path / "journal.jsonl").read_bytes()


def test_an_unset_key_is_named_before_anything_is_asked(
    model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_MODEL_KEY", raising=False)
    endpoint = Endpoint(model.url, api_key_variable="TEST_MODEL_KEY")
    with pytest.raises(InputError, match="TEST_MODEL_KEY"):
        collect(requests(1), "m", endpoint, tmp_path / "journal.jsonl", show_progress=False)
    assert model.asked == []


def test_no_more_requests_are_open_than_allowed(model: FakeModel, tmp_path: Path) -> None:
    model.delay_s = 0.02
    run(requests(9), model, tmp_path / "journal.jsonl", concurrency=3)
    assert model.busiest == 3


def test_openai_tool_calls_are_read_and_their_arguments_parsed(model: FakeModel, tmp_path: Path) -> None:
    function = {"name": "ping", "arguments": '{"host": "db1"}'}
    broken = {"name": "ping", "arguments": "{host"}
    model.message = {"content": None, "tool_calls": [{"function": function}, {"function": broken}]}
    answered = run(requests(1), model, tmp_path / "journal.jsonl")
    assert answered[0].outputs["m"].tool_calls == [ToolCall("ping", {"host": "db1"}), ToolCall("ping", "{host")]


@pytest.mark.parametrize("wanted", [True, False])
def test_calls_in_text_are_read_only_when_asked_for(model: FakeModel, tmp_path: Path, wanted: bool) -> None:
    model.message = {"content": '{"name": "ping", "arguments": {}}'}
    records = [Record(id="r", messages=[Message("user", "ping")], outputs={}, tools=TOOLS)]
    output = run(records, model, tmp_path / "journal.jsonl", calls_in_text=wanted)[0].outputs["m"]
    assert output.tool_calls == ([ToolCall("ping", {})] if wanted else None)
    assert output.text == '{"name": "ping", "arguments": {}}'


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>', [ToolCall("a", {"x": 1})]),
        (
            'Sure: [{"name": "a", "parameters": {}}, {"name": "b", "arguments": "{}"}]',
            [ToolCall("a", {}), ToolCall("b", {})],
        ),
        ('{"name": "Ann"}', None),
        ('{"name": "a", "arguments": {', None),
        ("nothing here {", None),
        ("", None),
    ],
)
def test_calls_are_read_out_of_text(text: str, calls: list[ToolCall] | None) -> None:
    assert read_calls(text) == calls


def test_the_body_keeps_tools_and_history_in_openai_shape() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
    messages = [Message("assistant", tool_calls=[call]), Message("tool", "{}", tool_call_id="c")]
    body = chat_body(Record(id="r", messages=messages, outputs={}, tools=TOOLS), "m")
    assert body["messages"][0] == {"role": "assistant", "tool_calls": [call]}
    assert body["tools"] == TOOLS
    assert body["temperature"] == 0

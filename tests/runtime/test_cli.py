"""The command at run time: decisions out, bad input told in one line, never a traceback."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from learned_router import Decision, Router, __version__
from learned_router.cli import main

PROMPT = "count the orders of today"
GOOD_LINES: tuple[Any, ...] = (
    PROMPT,
    {"id": "b", "prompt": PROMPT, "step": "plan"},
    {"id": 3, "messages": [{"role": "user", "content": "redesign the whole server"}], "tools": [{"name": "count"}]},
    [{"role": "user", "content": "list the open builds"}],
    {"id": "s", "prompt": "a \ud800 b\0"},
    "",
)
DECISION_FIELDS = set(Decision.__struct_fields__)


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Ran]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process, with ``stdin`` as its standard input; errors it does not expect fail the test."""

    def run(*arguments: object, stdin: bytes | None = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["learned-router", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Ran(caught.value.code, captured.out, captured.err)

    return run


def run_process(*arguments: object, stdin: bytes = b"", **environment: str) -> Ran:
    done = subprocess.run(
        [sys.executable, "-m", "learned_router.cli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=os.environ | environment,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ran.err
    return ran


def refused(ran: Ran) -> str:
    """The one line that tells what is wrong."""
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    return ran.err


def json_lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def test_a_prompt_is_decided_as_the_library_decides_it(artifact: Path, router: Router, command: Command) -> None:
    ran = command("route", PROMPT, "--router", artifact, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert msgspec.json.decode(ran.out, type=Decision) == router.route(PROMPT)


def test_mode_and_step_reach_the_decision(artifact: Path, command: Command) -> None:
    options = ("--router", artifact, "--mode", "economy", "--step", "code", "--json")
    (alone,) = command("route", PROMPT, *options).lines()
    (piped,) = command("route", *options, stdin=json_lines(PROMPT)).lines()
    assert alone == piped
    assert (alone["mode"], alone["step"]) == ("economy", "code")


def test_a_decision_for_people_names_tier_model_reason_and_mode(artifact: Path, command: Command) -> None:
    ran = command("route", PROMPT, "--router", artifact)
    decision = Router.load(artifact).route(PROMPT)
    assert ran.code == 0
    for told in (decision.tier, decision.model, decision.reason, f"mode {decision.mode}", decision.router):
        assert told in ran.out


def test_json_lines_in_give_json_lines_out_in_order(artifact: Path, router: Router) -> None:
    ran = run_process("route", "--router", artifact, stdin=json_lines(*GOOD_LINES))
    assert (ran.code, ran.err) == (0, "")
    answers = ran.lines()
    assert [answer.pop("id", None) for answer in answers] == [None, "b", 3, None, "s", None]
    assert answers == [msgspec.to_builtins(router.route(request)) for request in GOOD_LINES]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "not JSON"),
        (b"hello", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b'"a" "b"', "not JSON"),
        (b"5", "request is of type int"),
        (b"null", "request is absent"),
        (b"{}", "messages is absent"),
        (b"[]", "messages is empty"),
        (b'{"prompt": 5}', "prompt is of type int"),
        (b'{"messages": [{"role": "user", "content": "x"}], "step": "juggle"}', "step is 'juggle'"),
        (b'{"prompt": "x", "id": NaN}', "stdin:2"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_bad_line_is_told_by_its_number_and_the_good_ones_are_answered(
    artifact: Path, command: Command, line: bytes, told: str
) -> None:
    ran = command("route", "--router", artifact, stdin=json_lines(PROMPT) + line + b"\n" + json_lines(PROMPT))
    assert (ran.code, ran.err) == (1, "")
    first, bad, last = ran.lines()
    assert first == last
    assert first.keys() == DECISION_FIELDS
    assert bad["line"] == 2
    assert bad["error"].startswith("stdin:2: ")
    assert told in bad["error"]


@pytest.mark.parametrize("stdin", [b"", b"\n", b" \r\n\n\t\n"])
def test_nothing_on_stdin_gives_nothing(artifact: Path, command: Command, stdin: bytes) -> None:
    assert command("route", "--router", artifact, stdin=stdin) == Ran(0, "", "")


@pytest.mark.parametrize("frame", ["\ufeff{}\n", "{}", "{}\r\n", "\n\n{}\n"])
def test_a_line_is_read_whatever_surrounds_it(artifact: Path, command: Command, frame: str) -> None:
    ran = command("route", "--router", artifact, stdin=frame.format(json.dumps(PROMPT)).encode())
    assert ran.code == 0
    assert len(ran.lines()) == 1


def test_a_closed_stdin_is_told(artifact: Path, command: Command) -> None:
    assert "no prompt given" in refused(command("route", "--router", artifact, stdin=None))


def test_a_reader_that_leaves_early_is_no_error(artifact: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "learned_router.cli", "route", "--router", str(artifact)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process:
        process.stdin.write(json_lines(PROMPT))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["tier"]
        process.stdout.close()
        process.stdin.write(json_lines(PROMPT, PROMPT))
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_is_one_line_and_the_usual_exit_code(artifact: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "learned_router.cli", "route", "--router", str(artifact)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process:
        process.stdin.write(json_lines(PROMPT))
        process.stdin.flush()
        process.stdout.readline()  # it is up and waits for more
        # a signal that comes just before the process begins to wait is seen only with the next one
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        told = process.stderr.read().decode()
    assert process.returncode == 130
    assert told.strip().startswith("error: interrupted")
    assert "Traceback" not in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_cannot_be_written_is_told(artifact: Path, options: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "learned_router.cli", "route", PROMPT, "--router", str(artifact), *options],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode not in (0, 1)
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_info_tells_tiers_modes_and_what_is_promised(artifact: Path, command: Command) -> None:
    ran = command("info", artifact)
    assert ran.code == 0
    for told in ("tiny@", "model-s", "model-f", "balanced (default)", "95%", "240", "synthetic", "assumed"):
        assert told in ran.out, told
    assert "with the gate" in " ".join(ran.out.split())
    modes = [line for line in ran.out.splitlines() if "%" in line and ("no" in line.split() or "no │" in line)]
    assert len(modes) == 3
    assert ran.out.count("It cannot be promised yet") == 6  # alone, and with the gate


def test_info_as_json_is_the_config(artifact: Path, command: Command) -> None:
    (config,) = command("info", artifact, "--json").lines()
    certificate = config.pop("certificate")
    assert certificate == json.loads((artifact / "certificate.json").read_bytes())
    assert config == json.loads((artifact / "config.json").read_bytes()) | {"tiers": config["tiers"]}


@pytest.mark.parametrize("name", ["modèle-π", "a[bold]b[/bold]", "x" * 300])
def test_json_is_utf8_and_text_is_escaped_whatever_the_terminal_speaks(edited: Callable[..., Path], name: str) -> None:
    folder = edited(lambda config: config["tiers"][0].update(model=name))
    ran = run_process("info", folder, "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (ran.code, ran.lines()[0]["tiers"][0]["model"]) == (0, name)
    assert run_process("info", folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0").code == 0


def test_check_says_how_many_decisions_were_repeated(artifact: Path, router: Router, command: Command) -> None:
    total = len((artifact / "reference.jsonl").read_bytes().splitlines())
    ran = command("check", artifact)
    assert ran.code == 0
    assert f"{total} of {total} reference decisions repeated" in " ".join(ran.out.split())
    (told,) = command("check", artifact, "--json").lines()
    assert told == {"router": router.name, "references": total, "problems": []}


def test_check_exits_with_1_when_a_decision_differs(
    artifact: Path, edited: Callable[..., Path], command: Command
) -> None:
    lines = [json.loads(line) for line in (artifact / "reference.jsonl").read_bytes().splitlines()]
    lines[1]["quality"]["small"] += 0.5
    folder = edited(files={"reference.jsonl": json_lines(*lines)})
    ran = command("check", folder)
    assert ran.code == 1
    assert "reference.jsonl:2" in ran.out
    assert f"{len(lines) - 1} of {len(lines)}" in " ".join(ran.out.split())
    as_json = command("check", folder, "--json")
    assert (as_json.code, len(as_json.lines()[0]["problems"])) == (1, 1)


@pytest.mark.parametrize("arguments", [["info"], ["check"], ["route", PROMPT, "--router"]], ids=lambda a: a[0])
@pytest.mark.parametrize("path", ["absent", "file", "folder"])
def test_a_path_that_is_no_artifact_is_told_in_one_line(
    tmp_path: Path, command: Command, arguments: list[str], path: str
) -> None:
    (tmp_path / "file").write_bytes(b"\x7fELF\0")
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / path) in refused(command(*arguments, tmp_path / path))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mode", "fast"], "mode is 'fast'; this artifact has quality, balanced, economy"),
        (["--step", "juggle"], "step is 'juggle'; it must be one of intent"),
        (["--mode", "\udcff"], "mode is '\\udcff'"),
    ],
)
def test_an_unknown_mode_or_step_is_told_with_those_there_are(
    artifact: Path, command: Command, options: list[str], told: str
) -> None:
    assert told in refused(command("route", PROMPT, "--router", artifact, *options))


def test_an_unknown_mode_is_told_once_not_for_every_line(artifact: Path, command: Command) -> None:
    refused(command("route", "--router", artifact, "--mode", "fast", stdin=json_lines(PROMPT, PROMPT)))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["route", "--nope"], "No such option: --nope"),
        (["nope"], "No such command 'nope'"),
        (["route", "a", "b"], "unexpected extra argument"),
        (["info"], "Missing argument 'DIR'"),
        (["route", "--mode"], "requires an argument"),
        (["label", "x"], "Missing option '--tier'"),
        (["train", "x", "--out", "y", "--seed", "many"], "'--seed'"),
        (["train", "x", "--out", "y", "--seed", "-1"], "'--seed'"),
        (["label", "x", "--tier", "a=b", "--out", "."], "is a directory"),
        (["evaluate", "x", "y", "--json", "."], "is a directory"),
    ],
)
def test_wrong_usage_is_told(command: Command, arguments: list[str], told: str) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_the_version_and_the_help_are_printed(command: Command) -> None:
    assert command("--version") == Ran(0, f"{__version__}\n", "")
    assert command("--help").code == 0
    for name in ("label", "train", "evaluate", "route", "info", "check", "demo"):
        ran = command(name, "--help")
        assert ran.code == 0
        assert f"learned-router {name} [OPTIONS]" in ran.out


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (["train", "labels.jsonl", "--out", "out"], "torch"),
        (["evaluate", "{artifact}", "{labels}"], "sklearn"),
        (["evaluate", "{artifact}", "{labels}", "--no-baselines", "--png", "{tmp}/curve.png"], "matplotlib"),
        (["demo"], "torch"),
    ],
)
def test_a_command_that_needs_the_extra_tells_how_to_install_it(
    tmp_path: Path, artifact: Path, label_file: Path, arguments: list[str], package: str
) -> None:
    places = {"artifact": artifact, "labels": label_file, "tmp": tmp_path}
    stub = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')\n"
    (tmp_path / f"{package}.py").write_text(stub)
    ran = run_process(*(argument.format(**places) for argument in arguments), PYTHONPATH=str(tmp_path))
    assert ran.code == 2
    assert f"'{package}': pip install 'learned-router[train]'" in ran.err


def test_routing_needs_nothing_of_the_extra(artifact: Path, tmp_path: Path) -> None:
    for package in ("torch", "transformers", "sklearn", "scipy", "onnx", "httpx", "matplotlib"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name='{package}')\n")
    assert run_process("route", PROMPT, "--router", artifact, PYTHONPATH=str(tmp_path)).code == 0
    assert run_process("check", artifact, PYTHONPATH=str(tmp_path)).code == 0

"""``learned-router monitor``: audits in, how promises stand out, exit code 3 on an alarm, unusable lines counted."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from monitoring import TRAFFIC, promises

from learned_router.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def command(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs ``monitor`` on the tiny artifact, with promises of two slices and a state file of the test's own."""
    held = promises(traffic=TRAFFIC)
    told = {"modes": {mode: {"slices": slices} for mode, slices in held.modes.items()}, "traffic": held.traffic}
    (tmp_path / "promises.json").write_bytes(msgspec.json.encode(told))

    def run(*arguments: object, stdin: bytes = b"") -> Ran:
        files = ("--state", tmp_path / "state.db", "--promises", tmp_path / "promises.json")
        monkeypatch.setattr(sys, "argv", ["learned-router", "monitor", *map(str, (artifact, *files, *arguments))])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Ran(caught.value.code, captured.out, captured.err)

    return run


def lines(*values: Any) -> bytes:
    return b"".join((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n" for value in values)


def bad_audits(count: int = 40, step: str = "plan") -> bytes:
    return lines(*({"id": number, "step": step, "regret": 1} for number in range(count)))


def test_audits_are_counted_once_however_often_the_file_is_read(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "audits.jsonl"
    path.write_bytes(
        lines(
            {"id": "a", "step": "plan", "regret": 0.5},
            {"id": "b", "step": "plan", "mode": "economy", "quality": {"small": 1, "frontier": 0.5}},
            {"id": "c", "step": None, "prompt": "count the orders of today", "regret": 0},
            {"id": "d", "request": [{"role": "user", "content": "plan the migration"}], "regret": 0},
        )
    )
    first, second = (json.loads(command(path, "--json").out) for _ in range(2))
    assert (first["counted"], first["skipped"]) == (4, {})
    assert (second["counted"], second["skipped"]["counted_before"]["count"]) == (0, 4)
    assert first["slices"] == second["slices"]
    economy = next(found for found in first["slices"] if (found["mode"], found["slice"]) == ("economy", "plan"))
    assert (economy["audits"], economy["regret"], economy["budget"], economy["alarmed_at"]) == (1, -0.5, 0.1, None)
    assert sum(found["audits"] for found in first["slices"]) == 4


def test_an_alarm_is_told_with_its_slice_and_exit_code_3_until_it_is_cleared(command: Command) -> None:
    ran = command("-", stdin=bad_audits())
    assert (ran.code, ran.err) == (3, "")
    assert "ALARM since" in ran.out
    assert "balanced/plan" in ran.out
    assert command().code == 3
    cleared = command("--clear", "balanced/plan", "--note", "ann: rolled back")
    assert cleared.code == 0
    assert "ann: rolled back" in cleared.out
    assert command("-", stdin=bad_audits()).code == 0  # all of them were counted before


def test_lines_that_cannot_be_used_are_counted_by_reason_and_lose_no_good_ones(command: Command) -> None:
    ran = command(
        "-",
        "--json",
        stdin=lines(
            {"id": "a", "step": "plan", "regret": 0},
            b"{",
            [1],
            b"",
            {"id": "b", "step": "plan", "tier": "frontier", "regret": 0},
            {"id": "c", "step": "plan", "regret": 7},
            {"id": "d", "step": "plan"},
            {"id": "e", "request": {"messages": []}, "regret": 0},
            {"id": "a", "step": "plan", "regret": 0},
            {"id": "\ud800", "step": "plan", "regret": 0},
        ),
    )
    found = json.loads(ran.out)
    assert (ran.code, found["counted"]) == (0, 2)
    counts = {reason: told["count"] for reason, told in found["skipped"].items()}
    assert counts == {
        "not_json": 1,
        "no_object": 1,
        "not_routed_down": 1,
        "bad_audit": 2,
        "bad_request": 1,
        "counted_before": 1,
    }
    assert found["skipped"]["bad_audit"]["first"].startswith("stdin:6: regret is 7")
    assert "skipped 2: bad_audit (first: stdin:6: regret is 7" in ran.err


def test_without_audits_it_tells_how_things_stand(command: Command) -> None:
    ran = command()
    assert (ran.code, ran.err) == (0, "")
    assert "no audits" in ran.out.replace("\n", " ") or "audits" in ran.out
    assert "traffic by steps: 0 calls counted, no warning" in ran.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--clear", "balanced"), "write MODE/SLICE"),
        (("--clear", "balanced/plan"), "say who clears the alarm"),
        (("--clear", "balanced/plan", "--note", "x"), "nothing to clear"),
        (("--clear", "thrifty/plan", "--note", "x"), "there are promises for balanced"),
        (("--alpha", "0"), "alpha is 0"),
        (("absent.jsonl",), "absent.jsonl: No such file"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(command: Command, arguments: tuple[str, ...], problem: str) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert problem in ran.err


def test_promises_that_tell_no_slices_are_told_in_one_line(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "promises.json").write_text('{"modes": {"balanced": {"target": 0.95}}}')
    options = ["--state", str(tmp_path / "state.db"), "--promises", str(tmp_path / "promises.json")]
    done = subprocess.run(
        [sys.executable, "-m", "learned_router.cli", "monitor", str(artifact), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "missing required field `slices`" in done.stderr
    assert not (tmp_path / "state.db").exists()


def test_a_router_just_trained_is_watched_by_its_own_certificate(artifact: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "learned_router.cli", "monitor", str(artifact), "--state", str(tmp_path / "s.db")]
    for more in ([], ["--gated"]):
        done = subprocess.run([*command, "--json", *more], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        assert {told["mode"] for told in found["slices"]} == {"quality", "balanced", "economy"}
        assert all(told["budget"] is None or told["budget"] > 0.0 for told in found["slices"])
        assert "steps" in {told["feature"] for told in found["drift"]}

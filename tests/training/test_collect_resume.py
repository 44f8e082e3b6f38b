"""A collection that is killed, interrupted, damaged or run twice goes on: nothing paid is lost or asked again."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from collecting import heard, run, texts, tiers, write_log
from model_server import ModelServer, model_server, reply

from learned_router.errors import InputError
from learned_router.training.collect import journal_of


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as served:
        yield served


def killed_after(
    answers: int, model: ModelServer, log: Path, how: int = signal.SIGKILL
) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, ended from outside once the server has heard so many requests."""
    arguments = [
        "--tier",
        f"small=m@{model.url}",
        "--price",
        "small=0,0",
        "--tier",
        "frontier=big",
        "--concurrency",
        "2",
    ]
    command = [
        sys.executable,
        "-m",
        "learned_router.cli",
        "collect",
        str(log),
        "--out",
        str(log.with_name("pairs.jsonl")),
    ]
    process = subprocess.Popen([*command, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(model.asked) < answers and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(how)
    out, error = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def test_after_a_sigkill_the_same_command_asks_only_what_was_not_answered(model: ModelServer, tmp_path: Path) -> None:
    count, log = 16, write_log(tmp_path, 16)
    model.delay_s = 0.05
    assert killed_after(7, model, log).returncode == -signal.SIGKILL
    assert not (tmp_path / "pairs.jsonl").exists()
    kept = {json.loads(line)["id"] for line in journal_of(tmp_path / "pairs.jsonl").read_text().splitlines()}
    assert 4 <= len(kept) < count
    model.delay_s = 0.0
    model.asked.clear()
    done = run(log, tiers(model))
    assert {prompt.replace("request ", "r") for prompt in model.prompts} == {f"r{i}" for i in range(count)} - kept
    assert len(model.asked) == count - len(kept)
    assert texts(done) == heard(count)


def test_ctrl_c_keeps_the_answers_that_are_under_way(model: ModelServer, tmp_path: Path) -> None:
    log = write_log(tmp_path, 16)
    model.delay_s = 0.2
    stopped = killed_after(3, model, log, signal.SIGINT)
    assert stopped.returncode == 130
    assert "waiting for the answers under way" in stopped.stderr
    kept = journal_of(tmp_path / "pairs.jsonl").read_text().splitlines()
    assert len(kept) == len(model.asked)  # whatever the server was asked and paid for is there


def test_a_run_killed_while_writing_asks_only_the_torn_and_the_missing(model: ModelServer, tmp_path: Path) -> None:
    log, journal = write_log(tmp_path, 3), tmp_path / "pairs.jsonl.journal"
    run(log, tiers(model), concurrency=1)
    whole = journal.read_bytes()
    journal.write_bytes(whole[: -len(whole.splitlines()[-1]) // 2])
    model.asked.clear()
    done = run(write_log(tmp_path, 5), tiers(model))
    assert sorted(model.prompts) == ["request 2", "request 3", "request 4"]
    assert texts(done) == heard(5)
    assert all(json.loads(line)["id"] for line in journal.read_text().splitlines())


def test_a_damaged_line_in_the_middle_costs_only_that_answer(model: ModelServer, tmp_path: Path) -> None:
    log, journal = write_log(tmp_path, 3), tmp_path / "pairs.jsonl.journal"
    run(log, tiers(model), concurrency=1)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"\x00\xff{\n" + lines[2])
    model.asked.clear()
    assert texts(run(log, tiers(model))) == heard(3)
    assert model.prompts == ["request 1"]


def test_a_second_process_on_the_same_journal_is_refused(model: ModelServer, tmp_path: Path) -> None:
    log = write_log(tmp_path, 8)
    script = (
        "import sys; from pathlib import Path; from learned_router.training.collecting.journal import Journal\n"
        "with Journal(Path(sys.argv[1])): print('held', flush=True); input()\n"
    )
    journal = str(journal_of(tmp_path / "pairs.jsonl"))
    holder = subprocess.Popen([sys.executable, "-c", script, journal], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another run holds this journal"):
            run(log, tiers(model))
    finally:
        holder.kill()
        holder.communicate()
    assert run(log, tiers(model)).complete  # the lock went with the process that was killed


def test_a_full_disk_is_told_and_what_was_written_is_kept(
    model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, sync, synced = write_log(tmp_path, 4), os.fsync, []

    def full(number: int) -> None:
        synced.append(number)
        if len(synced) > 3:  # the folder and two answers
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        run(log, tiers(model), concurrency=1)
    monkeypatch.undo()
    assert texts(run(log, tiers(model))) == heard(4)
    assert model.prompts.count("request 0") == model.prompts.count("request 1") == 1


@pytest.mark.parametrize("what", ["folder", "device"])
def test_something_else_in_the_journals_place_is_told(model: ModelServer, tmp_path: Path, what: str) -> None:
    place = journal_of(tmp_path / "pairs.jsonl")
    if what == "folder":
        place.mkdir()
    else:
        place.symlink_to(os.devnull)
    with pytest.raises(InputError, match="something other than a file"):
        run(write_log(tmp_path, 1), tiers(model))


def test_ctrl_c_waits_for_no_retry_and_no_rate_limit(model: ModelServer, tmp_path: Path) -> None:
    model.play = lambda handler, body: (
        len(model.asked) > 2 and (reply(handler, 429, b"", {"retry-after": "300"}) or True)
    )
    began = time.monotonic()
    stopped = killed_after(4, model, write_log(tmp_path, 16), signal.SIGINT)
    assert stopped.returncode == 130
    assert time.monotonic() - began < 30
    assert len(journal_of(tmp_path / "pairs.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_killed_again_and_again_at_any_moment_it_still_ends_with_every_answer(
    model: ModelServer, tmp_path: Path
) -> None:
    count, kills, chance = 60, 0, random.Random(0)
    log = write_log(tmp_path, count)
    model.delay_s = 0.01
    while kills < 8:
        ended = killed_after(len(model.asked) + chance.randint(1, 9), model, log)
        if ended.returncode == 0:
            break
        kills += 1
    assert kills >= 4
    done = run(log, tiers(model))
    assert texts(done) == heard(count)
    assert len(model.asked) <= count + 2 * kills  # two are under way at once: only they can be asked again
    assert set(model.prompts) == {f"request {i}" for i in range(count)}

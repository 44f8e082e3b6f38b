"""The state file: nothing lost and nothing counted twice by processes and threads, and no file taken that is not ours."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import threading
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from learned_router.errors import InputError
from learned_router.monitoring.drift import WINDOWS
from learned_router.monitoring.evidence import advance, new_capital, weigh
from learned_router.monitoring.sampling import fingerprint
from learned_router.monitoring.store import APPLICATION_ID, VERSION, Audit, Reference, Store

BUDGET, LEVEL = 0.1, 20.0
REFERENCES = {"steps": Reference((0.5, 0.5, 0.0), 500, 0.025)}
PROCESSES, EACH, NEW_FILES = 4, 60, 25


def audit(name: str, regret: float = 0.0, slice: str = "all") -> Audit:
    return Audit(fingerprint(name), "balanced", slice, "plan", regret, BUDGET)


def write_much(path: str, process: int, counted: multiprocessing.Queue[int]) -> None:
    """Audits of its own and audits that every process has, in an order of its own, and as many calls."""
    names = [f"own-{process}-{index}" for index in range(EACH)] + [f"shared-{index}" for index in range(EACH)]
    random.Random(process).shuffle(names)
    store = Store(path)
    new = 0
    for name in names:
        new += store.add_audit("r@1", audit(name, 0.25), LEVEL)
        store.add_call("r@1", {"steps": process % 2}, REFERENCES)
    store.close()
    counted.put(new)


def test_processes_that_write_at_once_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    context = multiprocessing.get_context("spawn")
    counted: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=write_much, args=(str(path), number, counted)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    new = [counted.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = Store(path)
    state = store.slice_state("r@1", "balanced", "all")
    assert state is not None
    expected = PROCESSES * EACH + EACH
    assert (sum(new), state.audits) == (expected, expected)
    assert state.regret == pytest.approx(0.25 * expected)
    # all regrets are alike, so that the evidence does not depend on who came first
    capital = new_capital()
    for number in range(expected):
        capital = advance(capital, number, 0.25, BUDGET)
    np.testing.assert_allclose(state.capital, capital)
    for window in store.windows("r@1"):
        assert window.calls == PROCESSES * 2 * EACH
        assert window.size or sum(window.counts) == window.calls


def open_together(folder: str, start: Barrier, told: multiprocessing.Queue[list[str]]) -> None:
    """Open one new file after the other, each in the moment in which all processes do."""
    failed = []
    for attempt in range(NEW_FILES):
        start.wait()
        try:
            store = Store(Path(folder) / f"{attempt}.db")
            store.add_audit("r@1", audit(str(os.getpid())), LEVEL)
            store.close()
        except InputError as error:
            failed.append(str(error))
    told.put(failed)


def test_processes_that_begin_the_same_file_at_once_all_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=open_together, args=(str(tmp_path), start, told)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    assert [told.get(timeout=120) for _ in processes] == [[]] * PROCESSES
    for process in processes:
        process.join()
    for attempt in range(NEW_FILES):
        state = Store(tmp_path / f"{attempt}.db").slice_state("r@1", "balanced", "all")
        assert state is not None
        assert state.audits == PROCESSES


def test_threads_share_one_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    new: list[bool] = []

    def work() -> None:
        new.extend([store.add_audit("r@1", audit(f"call-{index}"), LEVEL) for index in range(50)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = store.slice_state("r@1", "balanced", "all")
    assert state is not None
    assert (sum(new), len(new), state.audits) == (50, 400, 50)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_opens_the_file_for_itself(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.add_audit("r@1", audit("a"), LEVEL)
    child = os.fork()
    if not child:
        ended = 1
        try:
            ended = 0 if store.add_audit("r@1", audit("b"), LEVEL) else 2
        finally:
            os._exit(ended)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.add_audit("r@1", audit("c"), LEVEL)
    assert not store.add_audit("r@1", audit("b"), LEVEL)
    state = store.slice_state("r@1", "balanced", "all")
    assert state is not None
    assert state.audits == 3


def test_evidence_goes_on_after_every_restart_as_if_there_had_been_none(tmp_path: Path) -> None:
    regrets = [random.Random(0).choice([-1.0, 0.0, 0.0, 0.5, 1.0]) for _ in range(60)]
    capital = new_capital()
    for number, regret in enumerate(regrets):
        store = Store(tmp_path / "state.db")
        store.add_audit("r@1", audit(str(number), regret), LEVEL)
        store.close()
        capital = advance(capital, number, regret, BUDGET)
    state = Store(tmp_path / "state.db").slice_state("r@1", "balanced", "all")
    assert state is not None
    assert state.capital == capital.tolist()
    assert state.peak >= float(weigh(capital, len(regrets)))


def test_the_alarm_begins_with_the_audit_that_reaches_its_level_and_stays(tmp_path: Path) -> None:
    store, number = Store(tmp_path / "state.db"), 0
    while not store.is_alarmed("r@1", "balanced", "all"):
        state = store.slice_state("r@1", "balanced", "all")
        assert state is None or state.peak < LEVEL
        store.add_audit("r@1", audit(str(number), 1.0), LEVEL)
        number += 1
    for more in range(200):
        store.add_audit("r@1", audit(f"good-{more}", -1.0), LEVEL)
    state = store.slice_state("r@1", "balanced", "all")
    assert state is not None
    assert state.peak >= LEVEL
    assert Store(store.path).is_alarmed("r@1", "balanced", "all")
    assert not store.is_alarmed("r@1", "balanced", "other")
    assert not store.is_alarmed("r@2", "balanced", "all")


def test_a_cleared_slice_is_on_record_and_its_audits_are_not_counted_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    for number in range(30):
        store.add_audit("r@1", audit(str(number), 1.0), LEVEL)
    assert store.clear("r@1", "balanced", "all", "new prompt rolled back")
    assert not store.is_alarmed("r@1", "balanced", "all")
    assert store.slice_state("r@1", "balanced", "all") is None
    (record,) = store.clears("r@1")
    assert (record["note"], record["audits"], record["regret"]) == ("new prompt rolled back", 30, 30.0)
    assert record["alarmed_at"] is not None
    assert not store.add_audit("r@1", audit("7", 1.0), LEVEL)
    assert not store.clear("r@1", "balanced", "all", "again")


def test_counted_calls_do_not_make_the_file_grow(tmp_path: Path) -> None:
    store, rng = Store(tmp_path / "state.db"), random.Random(0)
    for _ in range(50):
        store.add_call("r@1", {"steps": 0}, REFERENCES)

    def rows() -> int:
        with sqlite3.connect(store.path) as connection:
            tables = ("slices", "audits", "windows", "clears")
            return sum(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables)

    before = rows()
    for _ in range(400):
        store.add_call("r@1", {"steps": rng.randrange(3)}, REFERENCES)
    assert rows() == before == len(WINDOWS)


def test_a_change_of_traffic_is_warned_of_and_the_warning_stays(tmp_path: Path) -> None:
    store, rng = Store(tmp_path / "state.db"), random.Random(0)
    for _ in range(300):
        store.add_call("r@1", {"steps": rng.randrange(2)}, REFERENCES)
    assert not any(window.warned_at for window in store.windows("r@1"))
    for _ in range(300):
        store.add_call("r@1", {"steps": 0}, REFERENCES)
    for _ in range(200):
        store.add_call("r@1", {"steps": rng.randrange(2)}, REFERENCES)
    assert any(window.warned_at for window in store.windows("r@1"))


def test_another_budget_or_other_bins_for_the_same_artifact_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.add_audit("r@1", audit("a"), LEVEL)
    with pytest.raises(InputError, match=r"begun with a budget of 0\.1, not 0\.2"):
        store.add_audit("r@1", Audit(b"b", "balanced", "all", None, 0.0, 0.2), LEVEL)
    store.add_call("r@1", {"steps": 0}, REFERENCES)
    with pytest.raises(InputError, match="3 bins, the traffic to compare with 2"):
        store.add_call("r@1", {"steps": 0}, {"steps": Reference((0.5, 0.5), 500, 0.025)})
    state = store.slice_state("r@1", "balanced", "all")
    assert state is not None
    assert (state.audits, store.windows("r@1")[0].calls) == (1, 1)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")


def later(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def other_application(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID + 1}")
        connection.execute("CREATE TABLE slices (text TEXT)")


def text(path: Path) -> None:
    path.write_text("no database, but longer than the header of one would be, which has a hundred bytes\n" * 3)


def cut_short(path: Path) -> None:
    store = Store(path)
    for number in range(300):
        store.add_audit("r@1", audit(str(number)), LEVEL)
    store.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribbled(path: Path) -> None:
    store = Store(path)
    for number in range(300):
        store.add_audit("r@1", audit(str(number)), LEVEL)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (foreign, "another program's database"),
        (other_application, "another program's database"),
        (later, f"version {VERSION + 1}; this learned-router reads up to {VERSION}"),
        (text, "damaged or no state file"),
        (cut_short, "damaged or no state file"),
        (scribbled, "damaged or no state file"),
        (folder, "not a file in a folder that is there"),
    ],
)
def test_a_file_that_is_not_a_whole_state_of_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, make: object, problem: str
) -> None:
    path = tmp_path / "state.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=f"state.db: .*{problem}"):
        Store(path)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_numbers_scribbled_over_inside_the_database_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.add_audit("r@1", audit("a"), LEVEL)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE slices SET capital = '[1, \"two\"]'")
    with pytest.raises(InputError, match="damaged or no state file"):
        store.add_audit("r@1", audit("b"), LEVEL)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the path of a state file"):
        Store(tmp_path / "absent" / "state.db")


def test_an_empty_file_is_begun(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    assert Store(tmp_path / "state.db").add_audit("r@1", audit("a"), LEVEL)

"""Threads, tasks and forked processes share one router, and each gets what it would get alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from learned_router import Router
from learned_router.forking import LONGEST_WAIT_S, _Calls

TOOL = {"name": "count", "parameters": {"properties": {"day": {"type": "string"}}}}
PROMPTS: list[Any] = [
    "count the open orders",
    "",
    "plan the migration of every server to another region, " * 60,
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "go"}],
    {"messages": [{"role": "user", "content": "count the orders"}], "tools": [TOOL], "step": "tool_call"},
    "é" * 200,
    "redesign the whole \ud800 server",
]
ANSWER = "Done: 9 orders."
THREADS = 32
CHILDREN = 4
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(scope="module")
def router(artifact: Path) -> Router:
    """Without a memory of requests, so that every call runs the graph."""
    return Router.load(artifact, cache=0)


def decide(router: Router) -> list[Any]:
    """All that a router says of every prompt."""
    return [(router.route(prompt), router.accept(prompt, ANSWER, tier="small")) for prompt in PROMPTS]


def test_32_threads_get_what_one_gets_alone(router: Router) -> None:
    alone = decide(router)
    begin = threading.Barrier(THREADS)

    def work(_: int) -> list[Any]:
        begin.wait()
        return decide(router)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [alone] * THREADS
    assert router.errors.count == 0


def test_32_threads_get_the_same_from_a_router_that_remembers(router: Router, artifact: Path) -> None:
    alone, remembering = decide(router), Router.load(artifact, cache=3)
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(lambda _: decide(remembering), range(THREADS))) == [alone] * THREADS


def test_a_request_gets_the_same_alone_in_any_batch_and_from_threads(router: Router) -> None:
    alone = [router.route(prompt) for prompt in PROMPTS]
    assert router.route_batch(PROMPTS) == alone
    assert router.route_batch(PROMPTS[::-1]) == alone[::-1]
    for prompt, decision in zip(PROMPTS, alone, strict=True):  # among longer and shorter ones, which would pad it
        assert router.route_batch([*PROMPTS, prompt] * 2)[len(PROMPTS)] == decision
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(router.route_batch, [PROMPTS] * THREADS)) == [alone] * THREADS


def test_answers_are_judged_alike_alone_and_together(router: Router) -> None:
    together = router.accept_modes(PROMPTS, [ANSWER] * len(PROMPTS), tier="small")
    for mode, judged in together.items():
        assert judged == [router.accept(prompt, ANSWER, tier="small", mode=mode) for prompt in PROMPTS]


def test_tasks_get_what_a_thread_gets_and_the_loop_goes_on(router: Router) -> None:
    alone = [router.route(prompt) for prompt in PROMPTS]

    async def work() -> tuple[list[Any], list[Any], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        beside = asyncio.create_task(tick())
        by_thread = await asyncio.gather(*(asyncio.to_thread(router.route, prompt) for prompt in PROMPTS))
        loop = asyncio.get_running_loop()
        # one after the other: between two of them the loop goes on at least once, however busy the machine is
        by_pool = [await loop.run_in_executor(None, router.route, prompt) for prompt in PROMPTS]
        beside.cancel()
        return by_thread, by_pool, ticks

    by_thread, by_pool, ticks = asyncio.run(work())
    assert by_thread == by_pool == alone
    assert ticks > len(PROMPTS)


FORKING = """
import json, multiprocessing, sys, threading
from learned_router import Router
folder, threads, when, prompts = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
cache = int(sys.argv[6])

def answers(router):
    return [repr((router.route(p), router.accept(p, "Done: 9 orders.", tier="small"))) for p in prompts]

def child(router, ours):
    found = answers(router if router else Router.load(folder, threads=threads))
    ours.send(found)

def receive(ours):
    try:
        return ours.recv()
    except EOFError:
        return "died"

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    loaded = Router.load(folder, threads=threads, cache=cache) if when != "after" else None
    stop = threading.Event()
    def traffic():
        while not stop.is_set():
            for p in prompts:
                loaded.route(p)
    busy = [threading.Thread(target=traffic) for _ in range(3 if when == "under traffic" else 0)]
    if when == "used":
        answers(loaded)
    for thread in busy:
        thread.start()
    children = []
    for _ in range(int(sys.argv[5])):
        ours, theirs = fork.Pipe(False)
        process = fork.Process(target=child, args=(loaded, theirs))
        process.start()
        theirs.close()
        children.append((process, ours))
    found = [receive(ours) if ours.poll(40) else process.kill() for process, ours in children]
    stop.set()
    for thread in busy:
        thread.join()
    alone = answers(loaded or Router.load(folder, threads=threads))
    print(sum(answer == alone for answer in found), "of", len(children))
"""


@needs_fork
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cache", [0, 1024])
@pytest.mark.parametrize("when", ["before", "used", "after", "under traffic"])
def test_forked_processes_decide_as_the_one_they_came_from(
    artifact: Path, tmp_path: Path, threads: int, when: str, cache: int
) -> None:
    """threads: of onnxruntime. In a process of its own, so that a child that hangs hangs no test."""
    script = tmp_path / "forking.py"
    script.write_text(FORKING, encoding="utf-8")
    count = 4 * CHILDREN if when == "under traffic" else CHILDREN
    arguments = [str(artifact), str(threads), when, json.dumps(PROMPTS[:-1]), str(count), str(cache)]
    ran = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == f"{count} of {count}", ran.stderr
    told = [line for line in ran.stderr.splitlines() if "use of fork" not in line and "fork.Process" not in line]
    assert told == []  # no word of tokenizers about parallelism either


def test_a_fork_waits_for_calls_under_way_and_lets_none_begin() -> None:
    calls, told, entered = _Calls(), [], threading.Event()

    def work(name: str, until: threading.Event) -> None:
        with calls:
            entered.set()
            until.wait(10)
            told.append(name)

    release = threading.Event()
    first = threading.Thread(target=work, args=("first", release))
    first.start()
    entered.wait(10)
    forking = threading.Thread(target=lambda: (calls.before_fork(), told.append("fork"), calls.after_fork()))
    forking.start()
    while not calls._forks:
        time.sleep(0.001)
    done = threading.Event()
    done.set()
    second = threading.Thread(target=work, args=("second", done))
    second.start()
    second.join(0.05)
    assert second.is_alive()
    release.set()
    for thread in (first, forking, second):
        thread.join(10)
    assert told == ["first", "fork", "second"]


def test_a_fork_from_within_a_call_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learned_router.forking.LONGEST_WAIT_S", 0.05)
    assert LONGEST_WAIT_S > 1
    calls = _Calls()
    with calls:
        calls.before_fork()
        calls.after_fork()
    with calls:
        calls.before_fork()
        calls.reset()  # what a child does
    with calls:
        pass
    assert calls._under_way == 0


def test_many_threads_and_forks_end_with_no_call_under_way() -> None:
    calls = _Calls()

    def work(index: int) -> None:
        for _ in range(50):
            if index % 8 == 0:
                calls.before_fork()
                assert calls._under_way == 0
                calls.after_fork()
            else:
                with calls:
                    assert calls._forks == 0 or calls._under_way > 0

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert (calls._under_way, calls._forks) == (0, 0)

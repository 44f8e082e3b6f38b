"""Time our router and its peers in turn on the same prompts, each in a process and an environment of its own.

Knows processes and clocks; what each peer is, ``peer_process.py`` knows.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
from requests_of_length import SPECIAL_TOKENS, TEXT, RequestMaker
from timing import BLOCK, Percentiles, summarize

PROCESS = Path(__file__).resolve().parent / "peer_process.py"
OURS = "learned_router"
# by name of the environment's folder under runs/peers: what is measured there
PEERS = {
    "sentence_transformers": "sentence-transformers, MiniLM-L6, logistic regression",
    "semantic_router": "semantic-router, its HuggingFaceEncoder on MiniLM-L6",
    "tracer": "TRACER (tracer-llm), its embedder on MiniLM-L6",
    "llmrouter": "LLMRouter KNNRouter, on MiniLM-L6",
    "routellm": "RouteLLM BERTRouter, random weights",
}
TRAFFIC = 400  # labelled texts that the peers are fitted on
PATHS = re.compile(r"(?<!\S)['\"]?/\S+")  # what a peer says of where it lies is nobody's concern
NOT_COUNTED = ("pip", "setuptools", "pkg_resources", "_distutils_hack")


class PeerFigures(msgspec.Struct, frozen=True):
    """One router. decisions: by tokens of the prompt. over_ours: its median over that of ours, by tokens of the prompt.

    import_ms, load_ms: of the process that was timed, one time. bytes: resident before any decision and after all.
    environment_bytes: what is installed on disk, weights left out; for LLMRouter without what its package depends on.
    """

    name: str
    decisions: dict[int, Percentiles]
    over_ours: dict[int, float]
    import_ms: float
    load_ms: float
    loaded_bytes: int
    after_bytes: int
    environment_bytes: int | None


class Peers(msgspec.Struct, frozen=True):
    """Routers timed in turn. failed: by name, what a peer said that did not run."""

    routers: list[PeerFigures]
    failed: dict[str, str]


class PeerProcess:
    """A router that is asked through pipes. A context: it is ended at the end."""

    def __init__(self, python: Path, name: str, given: Path) -> None:
        """Start it and wait until it has loaded. Raises RuntimeError with what it said last if not."""
        self._said = given.with_suffix(f".{name}.errors")
        command = [str(python), str(PROCESS), name, "serve", str(given)]
        pipe = subprocess.PIPE
        with self._said.open("w", encoding="utf-8") as said:  # to a file: a full pipe would stop it
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True)
        self.started: dict[str, float] = self._answer()
        self.loaded_bytes = self.resident_bytes()

    def time(self, prompts: Sequence[str]) -> list[float]:
        """Milliseconds of each prompt, in order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(prompts) + "\n")
        self._process.stdin.flush()
        times: list[float] = self._answer()["ms"]
        return times

    def resident_bytes(self) -> int:
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.end()
            raise RuntimeError(last_line(self._said.read_text(encoding="utf-8")))
        return json.loads(line)


def measure_peers(
    pythons: Mapping[str, Path],
    router: Path,
    encoder: Path,
    maker: RequestMaker,
    lengths: Sequence[int],
    repeats: int,
) -> Peers:
    """Every router on the same prompts. pythons: by name, ours among them. repeats: timed prompts a length.

    The peers take turns by blocks of prompts, the first prompt of each not counted: so each has its weights in the
    processor's caches, as in a service that is asked again and again.
    """
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        running: dict[str, PeerProcess] = {}
        for name, python in pythons.items():
            try:
                given = prepare(name, python, router, encoder, Path(folder) / name)
                running[name] = PeerProcess(python, name, given)
                stack.callback(running[name].end)
            except (OSError, RuntimeError) as error:
                failed[name] = PATHS.sub("…", str(error))
        times = {name: {length: list[float]() for length in lengths} for name in running}
        for length in lengths:
            for prompts in prompt_blocks(maker, length, repeats):
                for name, process in list(running.items()):
                    try:
                        times[name][length] += process.time(prompts)[1:]
                    except (OSError, RuntimeError) as error:
                        failed[name] = PATHS.sub("…", str(error))
                        del running[name]
        ours = {length: summarize(times[OURS][length]).p50_ms for length in lengths} if OURS in running else {}
        routers = [
            PeerFigures(
                name=name,
                decisions={length: summarize(taken) for length, taken in times[name].items()},
                over_ours={length: summarize(times[name][length]).p50_ms / p50 for length, p50 in ours.items()},
                import_ms=process.started["import_ms"],
                load_ms=process.started["load_ms"],
                loaded_bytes=process.loaded_bytes,
                after_bytes=process.resident_bytes(),
                environment_bytes=installed_bytes(pythons[name]),
            )
            for name, process in running.items()
        ]
    return Peers(routers, failed)


def prompt_blocks(maker: RequestMaker, length: int, repeats: int) -> Iterator[list[str]]:
    """Blocks of new prompts that make a view of this length, each with one more than counts."""
    left = repeats
    while left > 0:
        yield [maker.prompt(length - SPECIAL_TOKENS) for _ in range(min(BLOCK, left) + 1)]
        left -= BLOCK


def prepare(name: str, python: Path, router: Path, encoder: Path, folder: Path) -> Path:
    """Let a peer fit what it needs, and write what its process is given. Raises RuntimeError with what it said last."""
    folder.mkdir(parents=True)
    texts, classes = labelled_traffic()
    given = folder / "given.json"
    found = {"router": str(router.resolve()), "encoder": str(encoder), "folder": str(folder)}
    given.write_text(json.dumps({**found, "texts": texts, "classes": classes}), encoding="utf-8")
    command = [str(python), str(PROCESS), name, "prepare", str(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(last_line(done.stderr))
    return given


def last_line(said: str) -> str:
    return (said.strip().splitlines() or ["it ended without a word"])[-1][:300]


def labelled_traffic(count: int = TRAFFIC) -> tuple[list[str], list[int]]:
    """Texts of two kinds that words tell apart, so that every peer has something to learn."""
    draw, words = random.Random(0), sorted(set(TEXT.split()))
    halves = words[::2], words[1::2]
    classes = [index % 2 for index in range(count)]
    return [" ".join(draw.choices(halves[kind], k=20)) for kind in classes], classes


def installed_bytes(python: Path) -> int | None:
    """What an environment takes on disk without pip and setuptools; None where the Python is of no such environment."""
    return sum(package_bytes(python).values()) or None


def package_bytes(python: Path) -> dict[str, int]:
    """What is on disk by package, largest first, libraries beside a package counted as its own; pip left out."""
    sizes: dict[str, int] = {}
    if (python.parent.parent / "pyvenv.cfg").is_file():
        for folder in (python.parent.parent / "lib").glob("python*/site-packages"):
            for path in folder.iterdir():
                if not path.name.startswith(NOT_COUNTED):
                    name = path.name.split("-")[0].removesuffix(".libs")
                    sizes[name] = sizes.get(name, 0) + disk_bytes(path)
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def disk_bytes(path: Path) -> int:
    """Blocks that a file or folder takes."""
    if path.is_symlink() or path.is_file():
        found = path.lstat()
        return found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size
    return sum(disk_bytes(inside) for inside in path.iterdir())

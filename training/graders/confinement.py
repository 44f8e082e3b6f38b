"""Run a model's Python against tests in a confined process. Knows processes and limits; knows nothing of grading.

Confined means: a process group of its own, killed as a whole when time is up; an empty folder, and no writing elsewhere;
no environment; isolated Python; bounded processor time, memory, file size and open files; no further programs; no network:
refused inside Python, and by namespaces where the system grants them. That keeps accidents in. It is no jail for a program
written to break out, and it can read files that you can read, so nothing runs unless ``label --run-code`` asks for it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from typing import IO, Final, Literal, NamedTuple

from learned_router.errors import InputError

TIMEOUT_S: Final = 10.0
MEMORY_BYTES: Final = 1 << 30
FILE_BYTES: Final = 1 << 20
OUTPUT_CHARS: Final = 500

# The word comes on the standard input and is said only after the last test, so that an answer that ends the program
# early, as scripts do, has not passed.
_RUNNER: Final = """
import os, sys
word, memory, file_bytes, seconds = sys.stdin.readline().split()
import resource
for limit, value in (("RLIMIT_CPU", int(seconds)), ("RLIMIT_AS", int(memory)), ("RLIMIT_FSIZE", int(file_bytes)),
                     ("RLIMIT_NOFILE", 64), ("RLIMIT_CORE", 0), ("RLIMIT_NPROC", 64)):
    resource.setrlimit(getattr(resource, limit), (value, value))
source = sys.stdin.read()

def confine(folder=os.path.realpath(".") + os.sep, path_of=os.path.realpath, text=os.fsdecode, kinds=(str, bytes),
            writing=os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
    never = ("socket.", "subprocess.", "os.exec", "os.fork", "os.spawn", "os.posix_spawn", "os.system", "os.kill")
    changes = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.ch")

    def refuse(event, arguments):
        if event.startswith(never):
            raise PermissionError("a graded program may not use " + event)
        if event.startswith(changes) or (event == "open" and (arguments[2] or 0) & writing):
            for place in arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]:
                if isinstance(place, kinds) and not (path_of(text(place)) + "/").startswith(folder):
                    raise PermissionError("a graded program may change nothing outside its folder")
    sys.addaudithook(refuse)

confine()
exec(compile(source, "answer.py", "exec"), {"__name__": "answer"})
sys.stdout.write("\\n" + word)
sys.stdout.flush()
"""


class Run(NamedTuple):
    """passed: every test was reached and none failed. said: the end of what the program wrote as errors."""

    passed: bool
    said: str


def run_tests(source: str, tests: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> Run:
    """Run ``source`` and then each of ``tests`` (Python statements; an exception fails) in one confined process.

    Raises InputError on a system that cannot confine it.
    """
    if os.name != "posix":
        raise InputError("--run-code: this system cannot confine a program (POSIX only); leave the option out")
    word = secrets.token_hex(16)
    head = f"{word} {MEMORY_BYTES} {FILE_BYTES} {int(timeout_s) + 1}\n"
    program = (head + "\n\n".join([source, *tests])).encode("utf-8", "replace")
    # what it writes goes to files, which its limits bound: a pipe would be read into our memory without end
    with (
        tempfile.TemporaryDirectory(prefix="graded-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as errors,
    ):
        process = subprocess.Popen(
            [*_namespaces(), sys.executable, "-I", "-c", _RUNNER],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
        try:
            process.communicate(program, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return Run(False, f"still running after {timeout_s:g} s")
        finally:
            _kill(process)  # also what it may have left running in its group
        # only the end is looked at: a program may print before
        return Run(_end_of(out).endswith("\n" + word), _end_of(errors).strip())


def _end_of(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - OUTPUT_CHARS))
    return file.read().decode("utf-8", "replace")


def confinement() -> Literal["namespaces", "python"]:
    """What keeps a graded program from the network on this machine: the system's namespaces, or Python's own hook."""
    return "namespaces" if _namespaces() else "python"


@lru_cache(maxsize=1)
def _namespaces() -> tuple[str, ...]:
    """The command that starts a program without network and alone among processes; empty where it is not granted."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--user", "--net", "--pid", "--ipc", "--fork", "--kill-child")
    try:
        tried = subprocess.run([*command, sys.executable, "-I", "-c", ""], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if tried.returncode == 0 else ()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)

"""An append-only file of answers already paid for. Knows keys and outputs; knows nothing of HTTP or models."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import msgspec

from learned_router.errors import InputError
from learned_router.training.records import Output

Key = tuple[str, str]  # model, fingerprint of what was asked


class Entry(msgspec.Struct, frozen=True):
    """One line: which request of which model was answered, and how. id: of the record that it was asked for. An output
    with an error is no answer: it only holds what asking may have cost.
    """

    id: str
    model: str
    request: str
    output: Output


class Journal:
    """Context manager over the file, which one process at a time may hold. Answers stay on the disk, their places in memory.

    A line torn by a kill is cut off on opening, so the next line starts clean; a damaged line elsewhere is ignored.
    read_only: look at what is there, absent files included, and change and lock nothing.
    spent_usd: what the answers in it have cost, with what may have been charged for none.
    Raises InputError when the path cannot be opened for writing, or when another process holds it.
    """

    ENCODER: Final = msgspec.json.Encoder()
    DECODER: Final = msgspec.json.Decoder(Entry)

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.spent_usd = 0.0
        self._read_only = read_only
        self._places: dict[Key, int] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Journal:
        if self.path.exists() and not self.path.is_file():
            raise InputError(
                f"{self.path}: the journal must stand there, and something other than a file does; move it"
            )
        try:
            if self._read_only:
                self._file = self.path.open("rb")
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("a+b")
        except FileNotFoundError:
            return self
        except OSError as error:
            raise InputError(
                f"{self.path}: the journal cannot be opened ({error}); give a file in a folder you may write"
            ) from None
        try:
            if not self._read_only:
                _lock(self._file, self.path)
                _sync_folder(self.path.parent)
            whole = self._find_answers(self._file)
            if not self._read_only:
                self._file.truncate(whole)
        except BaseException:
            self._file.close()
            raise
        return self

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self, key: Key) -> Output:
        """The answer under ``key``. Raises KeyError when there is none, InputError when the file no longer gives it."""
        place = self._places[key]
        assert self._file is not None
        try:
            self._file.seek(place)
            return self.DECODER.decode(self._file.readline()).output
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(
                f"{self.path}: an answer can no longer be read ({error}); run the same command again"
            ) from None

    def write(self, identity: str, key: Key, output: Output) -> None:
        """Append one answer; when this returns, it is on the disk. Raises InputError when the disk cannot hold it."""
        self._places[key] = self._append(Entry(identity, *key, output))

    def write_waste(self, identity: str, key: Key, usd: float) -> None:
        """Append what a request may have cost without being answered. Raises InputError as ``write`` does."""
        self._append(Entry(identity, *key, Output(error="not answered", cost_usd=usd)))

    def _append(self, entry: Entry) -> int:
        assert self._file is not None
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(self.ENCODER.encode(entry) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path}: the answer cannot be written ({error}); what stands there is kept. Make room, run again"
            ) from None
        return place

    def _find_answers(self, file: IO[bytes]) -> int:
        """Note where each answer stands. Returns the length of the file without a torn last line."""
        file.seek(0)
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # else it will be asked for again
                entry = self.DECODER.decode(line)
                if entry.output.error is None:
                    self._places[(entry.model, entry.request)] = whole
                self.spent_usd += entry.output.cost_usd or 0.0
            whole += len(line)
        return whole

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk was told when it was met
                self._file.close()


def _lock(file: IO[bytes], path: Path) -> None:
    """Hold the file until it is closed or the process ends, however it ends."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        import msvcrt

        def hold() -> None:
            file.seek(2**31 - 2)  # a byte beyond the end: what it locks cannot be read by others
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:

        def hold() -> None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    # another OSError is a file system without locks: better unguarded than not at all
    with contextlib.suppress(OSError):
        try:
            hold()
        except (BlockingIOError, PermissionError):
            raise InputError(f"{path}: another run holds this journal; let it end, or give another --out") from None


def _sync_folder(folder: Path) -> None:
    """The file's name on the disk, too: else a crash of the machine could lose a new file with all its answers."""
    with contextlib.suppress(OSError):  # not every system opens folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

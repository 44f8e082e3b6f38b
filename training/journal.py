"""An append-only file of answers already paid for. Knows keys and outputs; knows nothing of HTTP or models."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from learned_router.errors import InputError
from learned_router.training.records import Output

Key = tuple[str, str, str]  # record id, model, fingerprint of what was asked


class Entry(msgspec.Struct, frozen=True):
    """One line: which request of which model was answered, and how."""

    id: str
    model: str
    request: str
    output: Output


class Journal:
    """Context manager over the file. ``answered``: outputs by key, as they stood when the journal was opened.

    A line torn by a kill is cut off on opening, so the next line starts clean; a damaged line elsewhere is ignored.
    Raises InputError when the path cannot be opened for writing.
    """

    ENCODER: Final = msgspec.json.Encoder()
    DECODER: Final = msgspec.json.Decoder(Entry)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answered: dict[Key, Output] = {}

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise InputError(
                f"{self.path}: the journal cannot be opened ({error}); give a file in a folder you may write"
            ) from None
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                entry = self.DECODER.decode(line)
            except msgspec.DecodeError:
                continue  # that answer is lost, and will be asked for again
            self.answered[(entry.id, entry.model, entry.request)] = entry.output
        self._file.truncate(whole)
        return self

    def write(self, key: Key, output: Output) -> None:
        """Append one answer; when this returns, it is on the disk. Raises InputError when the disk cannot hold it."""
        try:
            self._file.write(self.ENCODER.encode(Entry(*key, output)) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path}: the answer cannot be written ({error}); what stands there is kept. Make room, run again"
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

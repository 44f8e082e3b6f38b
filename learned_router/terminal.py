"""What every command shares: where text goes, how JSON is printed, options that several commands have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

output = Console()
errors = Console(stderr=True, highlight=False)

ArtifactFolder = Annotated[Path, typer.Argument(help="Artifact folder.", metavar="DIR")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


def print_json(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")  # JSON is UTF-8, whatever the terminal speaks
    sys.stdout.buffer.flush()

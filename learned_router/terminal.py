"""What every command shares: where text goes, how JSON is printed, options that several commands have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from learned_router.certificate import Certificate, below_top, exact_percent

output = Console()
errors = Console(stderr=True, highlight=False)

ArtifactFolder = Annotated[Path, typer.Argument(help="Artifact folder.", metavar="DIR")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


def print_json(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")  # JSON is UTF-8, whatever the terminal speaks
    sys.stdout.buffer.flush()


def show_certificate(certificate: Certificate, console: Console) -> None:
    """What each mode promises, alone and with the gate where there is one: a table, then a paragraph for each."""
    stated = [
        (f"{mode}{way}", statement)
        for mode, found in certificate.modes.items()
        for way, statement in (("", found.router), (", with the gate", found.gated))
        if statement is not None
    ]
    title = f"Promises, each with probability {exact_percent(1 - certificate.delta)}"
    table = Table("mode", "target", "certified", "below the top", "kept, by estimate", "saved, net", title=title)
    for name, statement in stated:
        table.add_row(
            name,
            exact_percent(statement.target),
            "yes" if statement.certified else "not yet",
            f"{below_top(statement.shares):.1%}",
            f"{statement.kept:.1%}",
            f"{statement.saving.net:.1%}",
        )
    console.print(table)
    for name, statement in stated:
        console.print(f"[bold]{name}[/bold]: {statement.text}", highlight=False)

"""What every command shares: where text goes, how JSON is printed, options that several commands have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from learned_router.certificate import Certificate, below_top

output = Console()
errors = Console(stderr=True, highlight=False)

ArtifactFolder = Annotated[Path, typer.Argument(help="Artifact folder.", metavar="DIR")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


def print_json(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")  # JSON is UTF-8, whatever the terminal speaks
    sys.stdout.buffer.flush()


def show_certificate(certificate: Certificate, console: Console) -> None:
    """What each mode promises: a table, then a paragraph for each; with the gate, where there is one."""
    gated = any(found.gated for found in certificate.modes.values())
    ways = [(mode, found.gated if gated else found.router) for mode, found in certificate.modes.items()]
    table = Table(
        "mode", "target", "certified", "below the top", "kept, by estimate", "saved, net", title_justify="left"
    )
    table.title = (
        f"Promises{' of router and gate together' if gated else ''}, with probability {1 - certificate.delta:.0%}"
    )
    for mode, statement in ways:
        if statement is not None:
            table.add_row(
                mode,
                f"{statement.target:.0%}",
                "yes" if statement.certified else "not yet",
                f"{below_top(statement.shares):.1%}",
                f"{statement.kept:.1%}",
                f"{statement.saving.net:.1%}",
            )
    console.print(table)
    for mode, statement in ways:
        if statement is not None:
            console.print(f"[bold]{mode}[/bold]: {statement.text}", highlight=False)

"""The command ``monitor``: audited calls in, how every promise stands out. Knows options and how results are shown."""

from __future__ import annotations

import json as stdlib_json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from learned_router.errors import InputError
from learned_router.monitoring import Monitor, Report, read_promises
from learned_router.router import Router
from learned_router.terminal import ArtifactFolder, JsonFlag, errors, output, print_json

app = typer.Typer()
ALARM: Final = 3  # exit code; 1 is a failure, 2 an error


class Skipped:
    """Lines that could not be used, by reason, with the first place of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, reason: str, place: str) -> None:
        self.counts[reason] += 1
        self.first.setdefault(reason, place)

    def to_dict(self) -> dict[str, Any]:
        return {reason: {"count": count, "first": self.first[reason]} for reason, count in self.counts.items()}


@app.command()
def monitor(
    router: ArtifactFolder,
    state: Annotated[Path, typer.Option(help="SQLite file that keeps what was audited; made if it is not there.")],
    audits: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Audited calls as JSON lines, '-' for stdin: 'id', 'step' or 'request', 'mode', 'session', and "
            "'regret' or 'quality' by tier.",
            metavar="[AUDITS]...",
        ),
    ] = None,
    promises: Annotated[
        Path | None, typer.Option(help="JSON of promises of your own; else those of the artifact's certificate.")
    ] = None,
    gated: Annotated[
        bool, typer.Option("--gated", help="The promises of router and gate together, not of the router alone.")
    ] = False,
    alpha: Annotated[
        float, typer.Option(help="Allowed probability that a mode that keeps its promises ever has an alarm.")
    ] = 0.05,
    clear: Annotated[
        str | None, typer.Option(help="MODE/SLICE: lift an alarm and begin its evidence anew; needs --note.")
    ] = None,
    note: Annotated[str, typer.Option(help="Who clears an alarm, and why; kept in the state.")] = "",
    json: JsonFlag = False,
) -> None:
    """Hold a router's promises against audited calls; exit code 3 on an alarm. No call is counted twice."""
    loaded = Router.load(router, strict=True)
    own = read_promises(promises) if promises else None
    watch = Monitor(loaded, state, gated=gated, promises=own, alpha=alpha)
    with closing(watch):
        if clear is not None:
            mode, separator, name = clear.partition("/")
            if not separator or not mode or not name:
                raise InputError(f"--clear {clear!r}: write MODE/SLICE, as in balanced/all")
            watch.clear(mode, name, note)
        skipped, counted = Skipped(), 0
        for path in audits or []:
            with _opened(path) as lines:
                counted += _record_lines(watch, lines, str(path) if str(path) != "-" else "stdin", skipped)
        report = watch.report()
    for reason, found in skipped.to_dict().items():
        errors.print(f"skipped {found['count']:,}: {reason} (first: {found['first']})", markup=False, soft_wrap=True)
    if json:
        print_json({"counted": counted, "skipped": skipped.to_dict(), **msgspec.to_builtins(report)})
    else:
        _show(report, counted if audits else None)
    if report.alarms:
        raise typer.Exit(ALARM)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) != "-":
        with path.open("rb") as file:
            yield file
    elif sys.stdin is None:  # the caller closed it
        raise InputError("nothing on stdin; pipe JSON lines in, or name a file")
    else:
        yield sys.stdin.buffer


def _record_lines(watch: Monitor, lines: Iterable[bytes], place: str, skipped: Skipped) -> int:
    """Count the audits of the lines that can be used; how many were new."""
    counted = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{place}:{number}"
        try:
            found = stdlib_json.loads(line.decode("utf-8", "replace").removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            skipped.add("not_json", where)
            continue
        if not isinstance(found, dict):
            skipped.add("no_object", where)
        elif found.get("tier") == watch.router.tiers[-1]:
            skipped.add("not_routed_down", where)
        else:
            try:
                if _record(watch, found):
                    counted += 1
                else:
                    skipped.add("counted_before", where)
            except _Unusable as error:
                skipped.add(error.reason, f"{where}: {error}")
    return counted


class _Unusable(Exception):
    """reason: one word under which the line is counted."""

    def __init__(self, reason: str, error: Exception) -> None:
        super().__init__(str(error))
        self.reason = reason


def _record(watch: Monitor, found: dict[str, Any]) -> bool:
    """Raises _Unusable for a line that says what cannot be; what the state file raises goes through."""
    try:
        step = _step_of(watch, found)
    except (InputError, ValueError, RecursionError) as error:
        raise _Unusable("bad_request", error) from None
    told = {name: found[name] for name in ("mode", "regret", "quality", "tier") if found.get(name) is not None}
    name, session = (
        str(value) if isinstance(value, int) and not isinstance(value, bool) else value  # as many logs have them
        for value in (found.get("id"), found.get("session"))
    )
    try:
        audit = watch.read_audit(name, step=step, session=session, **told)
    except InputError as error:
        raise _Unusable("bad_audit", error) from None
    return watch.add(audit)


def _step_of(watch: Monitor, found: dict[str, Any]) -> str | None:
    """The step told, else the one that the router reads in the request; None where neither is there."""
    step, request = found.get("step"), found.get("request")
    if request is None and ("messages" in found or "prompt" in found):
        request = found
    return watch.router.route(request).step if step is None and request is not None else step


def _show(report: Report, counted: int | None) -> None:
    output.print(report.router + (f": {counted:,} audits counted" if counted is not None else ""), highlight=False)
    slices = Table("mode", "slice", "audits", "mean regret", "budget", "1/p", "alarm at", "state")
    for found in report.slices:
        budget = "none down" if found.budget is None else f"{found.budget:.4f}"
        regret = "–" if found.regret is None else f"{found.regret:.4f}"
        state = "ALARM" if found.alarmed_at else "no alarm" if found.audits else "no audits"
        cells = (found.mode, found.slice, f"{found.audits:,}", regret, budget)
        slices.add_row(*cells, f"{found.evidence:.3g}", f"{found.level:.3g}", state)
    output.print(slices)
    for found in report.alarms:
        output.print(
            f"ALARM since {found.alarmed_at}: {found.mode}/{found.slice} is found to keep less than {found.target:.0%}; its "
            "calls go to the top tier until the router is certified anew",
            style="red",
            markup=False,
        )
    if not report.drift:
        output.print("traffic: not watched, for the promises tell none", highlight=False)
    for drift in report.drift:
        told = f"warning since {drift.warned_at}" if drift.warned_at else "no warning"
        output.print(f"traffic by {drift.feature}: {drift.calls:,} calls counted, {told}", highlight=False)
    for cleared in report.clears:
        output.print(
            f"cleared {cleared['mode']}/{cleared['slice']} at {cleared['at']}: {cleared['note']}", markup=False
        )

"""Fill the marked regions of docs/speed.md, and make the README's tables of speed.

Run: python tests/benchmarks/speed_page.py [--check]. Knows the figures of speed.py; measures nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sizes_page
from bench_store import read_figures
from page_regions import check_page, fill_regions
from sizes_figures import Sizes
from speed_figures import LENGTHS, Context, Decisions, Reach, Speed, reaches
from speed_peers import OURS, PEERS, PeerFigures, Peers

from learned_router.training.report import markdown_table, megabytes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "speed.md"
RESULTS = Path(__file__).resolve().parent / "results" / "speed.json"
COMMAND = "python tests/benchmarks/speed_page.py"
NOT_MEASURED = "Not measured yet: run `make bench-speed`."
NOT_WATCHED = "Not measured yet: run `make bench-memory`."
DECIMALS_BELOW = 10  # figures smaller than this are shown with two decimals, up to ten times it with one


def fill(text: str, speed: Speed) -> str:
    """The page with every marked region written anew. Raises InputError as ``fill_regions`` does."""
    return fill_regions(
        text,
        {
            "reaches": lambda: reach_table(speed),
            "machine": lambda: describe_contexts(speed),
            "peers": lambda: peer_section(speed.peers) if speed.peers else NOT_MEASURED,
            "arithmetic": lambda: arithmetic_section(speed.decisions) if speed.decisions else NOT_MEASURED,
            "others": lambda: other_table(speed),
            "long": lambda: long_table(speed),
            "given-up": given_up,
        },
    )


def given_up() -> str:
    """What quality the sizes give up, as ``make sizes`` measured it."""
    found = read_figures(sizes_page.RESULTS, Sizes)
    return f"{sizes_page.given_up_table(found)}\n\n{sizes_page.describe(found)}" if found else sizes_page.NOT_MEASURED


def reach_table(speed: Speed) -> str:
    """One row a line of the goal."""
    header = ["figure", "reach", "measured", "met?"]
    rows = [[reach.what, _limit(reach), _measured(reach), _met(reach)] for reach in reaches(speed)]
    return markdown_table(header, rows)


def _limit(reach: Reach) -> str:
    return f"{'≥' if reach.least else '≤'} {reach.limit:,g} {reach.unit}"


def _measured(reach: Reach) -> str:
    if reach.measured is None:
        return "not measured"
    return f"{number(reach.measured)} {reach.unit}" + (f" ({reach.note})" if reach.note else "")


def _met(reach: Reach) -> str:
    return "–" if reach.met is None else "met" if reach.met else "**missed**"


def number(value: float) -> str:
    """Three figures or so, whatever the size."""
    digits = 2 if abs(value) < DECIMALS_BELOW else 1 if abs(value) < 10 * DECIMALS_BELOW else 0
    return f"{value:,.{digits}f}"


def peer_section(peers: Peers) -> str:
    """Two tables, and what did not run."""
    lines = [peer_times(peers), peer_sizes(peers)]
    absent = [name for name in PEERS if name not in {one.name for one in peers.routers}]
    lines += [
        f"- {PEERS[name]}: not measured: {peers.failed.get(name, 'no environment; run `make speed-peers`')}"
        for name in absent
    ]
    return "\n\n".join(lines)


def peer_times(peers: Peers) -> str:
    """Medians by length, and each over ours."""
    header = ["router", *(f"{length} tokens, of ours" for length in LENGTHS)]
    rows = [
        [_name(one), *(f"{one.decisions[n].p50_ms:.2f} ms, {one.over_ours.get(n, 1):.1f} ×" for n in LENGTHS)]
        for one in peers.routers
    ]
    return markdown_table(header, rows)


def peer_sizes(peers: Peers) -> str:
    """What each takes to start, of memory and of disk."""
    header = ["router", "import", "load", "resident, loaded", "resident, after", "environment on disk"]
    rows = [
        [
            _name(one),
            f"{one.import_ms:,.0f} ms",
            f"{one.load_ms:,.0f} ms",
            megabytes(one.loaded_bytes),
            megabytes(one.after_bytes),
            "–" if one.environment_bytes is None else megabytes(one.environment_bytes),
        ]
        for one in peers.routers
    ]
    return markdown_table(header, rows)


def _name(one: PeerFigures) -> str:
    return "ours" if one.name == OURS else PEERS[one.name]


def arithmetic_section(found: Decisions) -> str:
    """How far a decision is from what its multiply–adds alone would take."""
    peak = found.peak
    header = ["tokens", "in the view", "int8", "float", "arithmetic alone", "measured, p50", "measured / arithmetic"]
    rows = []
    for row in found.lengths:
        least = row.arithmetic.least_ms(peak)
        counts = [f"{count / 1e6:,.1f} M" for count in (row.arithmetic.int8, row.arithmetic.other)]
        times = [f"{least:.2f} ms", f"{row.times.p50_ms:.2f} ms", f"{row.times.p50_ms / least:.2f} ×"]
        rows.append([f"{row.tokens}", f"{row.view_tokens}", *counts, *times])
    told = (
        f"Peak of one core in the same run: {peak.int8 / 1e9:.0f} billion int8 multiply–adds a second, "
        f"{peak.float32 / 1e9:.0f} billion in float."
    )
    return f"{markdown_table(header, rows)}\n\n{told}"


def other_table(speed: Speed) -> str:
    """Everything measured that had no line in the goal."""
    rows = []
    if speed.decisions:
        rows += [
            [f"one decision, {row.tokens} tokens: p99 / p50", f"{row.times.p99_ms / row.times.p50_ms:.2f} ×"]
            for row in speed.decisions.lengths
        ]
        long = speed.decisions.transcript
        times = f"{long.times.p50_ms:.2f} ms, p99 {long.times.p99_ms:.2f} ms"
        rows.append(
            [f"transcript of {long.tokens:,} tokens, {long.tools} tools, {long.view_tokens} in the view", times]
        )
    for request, times_again in (speed.repeated.by_request if speed.repeated else {}).items():
        rows.append(
            [
                f"repeated request, {request}: p50, p99",
                f"{1000 * times_again.p50_ms:.1f} µs, {1000 * times_again.p99_ms:.1f} µs",
            ]
        )
    if speed.gate:
        gate = speed.gate
        rows.append(
            [
                f"acceptance, prompt of {gate.prompt_tokens} tokens and output of {gate.output_tokens}, {gate.router}",
                f"{gate.times.p50_ms:.2f} ms, p99 {gate.times.p99_ms:.2f} ms",
            ]
        )
    for way, rate in (speed.batch.per_second if speed.batch else {}).items():
        rows.append([f"{way}, {speed.batch.requests if speed.batch else 0} requests", f"{rate:,.0f} requests/s"])
    if speed.start:
        rows.append(["resident memory after load", megabytes(speed.start.loaded_bytes)])
    if speed.install:
        rows.append(["model.onnx of the shipped router", megabytes(speed.install.model_bytes)])
        rows += [[f"base install: {name}", megabytes(size)] for name, size in speed.install.largest.items()]
    if speed.labelling:
        found = speed.labelling
        rows.append([f"labelling on one core, {found.records}", f"{found.per_second:,.0f} records/s"])
    return markdown_table(["figure", "measured"], rows) if rows else NOT_MEASURED


def long_table(speed: Speed) -> str:
    """Resident memory, a few samples of each way."""
    if not speed.long:
        return NOT_WATCHED
    header = ["cache", "decisions", "after load", "first sample", "last sample", "highest", "grown"]
    rows = []
    for way, long in speed.long.items():
        counts = sorted(count for count in long.samples if count)
        grown = "–" if long.growth is None else f"{100 * long.growth:+.1f} %"
        sizes = [long.samples[0], long.samples[counts[0]], long.samples[counts[-1]], max(long.samples.values())]
        rows.append([way, f"{long.decisions:,}", *map(megabytes, sizes), grown])
    return markdown_table(header, rows)


def describe_contexts(speed: Speed) -> str:
    """Where the parts were measured, and which of them while the machine was busy with other work."""
    if not speed.contexts:
        return NOT_MEASURED
    groups: dict[str, list[str]] = {}
    for part, context in speed.contexts.items():
        groups.setdefault(_place(context), []).append(part)
    lines = [f"- {', '.join(parts)}: {place}." for place, parts in groups.items()]
    busy = [
        f"{part} ({context.machine.busy_elsewhere:.2f})"
        for part, context in speed.contexts.items()
        if not context.machine.quiet
    ]
    if busy:
        lines.append(
            f"- **The machine was not quiet**; cores busy with other work, mean over the part: {', '.join(busy)}."
        )
    else:
        lines.append("- The machine was quiet: in no part was more than a tenth of a core busy with other work.")
    return "\n".join(lines)


def _place(context: Context) -> str:
    quick = ", with a few repeats only" if context.quick else ""
    return f"{context.router} on {context.machine.cpu}, {context.machine.cores} cores, {context.measured}{quick}"


def summary(speed: Speed) -> str:
    """What the README shows: the goal's lines, the peers' times, and where it was measured."""
    parts = [reach_table(speed), *([peer_times(speed.peers)] if speed.peers else []), describe_contexts(speed)]
    return "\n\n".join(parts)


def write_page(check: bool = False, page: Path = PAGE, results: Path = RESULTS) -> None:
    text = page.read_text(encoding="utf-8")
    filled = fill(text, read_figures(results, Speed) or Speed())
    if check:
        check_page(page, filled, COMMAND)
    else:
        page.write_text(filled, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page would change")
    write_page(parser.parse_args().check)


if __name__ == "__main__":
    main()

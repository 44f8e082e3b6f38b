"""The command ``learned-router``. Turns options into calls and exceptions into one line and an exit code; computes nothing.

Commands that train or measure load the pipeline only when they are called, so the runtime alone runs the others.
"""

from __future__ import annotations

import io
import json as stdlib_json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.table import Table

from learned_router import __version__, monitor_command, pipeline_commands
from learned_router.artifact import CONFIG, read_artifact
from learned_router.certificate import exact_percent, find_certificate
from learned_router.errors import InputError, LearnedRouterError
from learned_router.loaded import Decision
from learned_router.pipeline_commands import missing_package
from learned_router.policy import NEVER_DOWN
from learned_router.replay import read_references, replay
from learned_router.router import Router
from learned_router.signature import SIGNATURE, sign
from learned_router.terminal import ArtifactFolder, JsonFlag, errors, output, print_json, show_certificate

app = typer.Typer(
    name="learned-router",
    help="Learn from your own logs which LLM calls a small model answers well enough, and route them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(monitor_command.app)  # unnamed: its commands stand beside the others
app.add_typer(pipeline_commands.app)
INTERRUPTED = 130  # what a shell reports of a command that Ctrl-C ended; typer returns it

RouterOption = Annotated[Path | None, typer.Option("--router", help="Artifact folder; without it the one that ships.")]
ModeOption = Annotated[str | None, typer.Option("--mode", help="Operating point: quality, balanced or economy.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def route(
    prompt: Annotated[str | None, typer.Argument(help="A prompt; without it, JSON lines are read from stdin.")] = None,
    router: RouterOption = None,
    mode: ModeOption = None,
    step: Annotated[str | None, typer.Option(help="Kind of agent step, such as tool_call.")] = None,
    json: JsonFlag = False,
) -> None:
    """Decide one prompt, or a request a line from stdin: a JSON string, or an object with 'messages' or 'prompt'."""
    loaded = Router.load(router, mode=mode)
    if prompt is not None:
        decision = loaded.route(prompt, step=step)
        if json:
            print_json(decision)
        else:
            _show_decision(decision)
        return
    if sys.stdin is None or sys.stdin.isatty():  # None: the caller closed it
        raise InputError("no prompt given and nothing on stdin; give a prompt, or pipe JSON lines in")
    failed = False
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            failed |= not _route_line(loaded, line, number, step)
    if failed:
        raise typer.Exit(1)


def _route_line(router: Router, line: bytes, number: int, step: str | None) -> bool:
    """Print the decision on one line of stdin, or what is wrong with it; a bad line does not stop the good ones."""
    try:
        # the standard library's reader and writer: msgspec's refuse the lone surrogates that logs of models hold
        request = stdlib_json.loads(line.decode("utf-8", "replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        found = getattr(error, "msg", error)
        print_json({"line": number, "error": f"stdin:{number}: not JSON ({found}); give a string or an object a line"})
        return False
    try:
        decision = msgspec.to_builtins(router.route(request, step=step))
        name = request.get("id") if isinstance(request, dict) else None
        named = {"id": name, **decision} if name is not None else decision
        answer = stdlib_json.dumps(named, separators=(",", ":"), allow_nan=False)
    except (InputError, ValueError, RecursionError) as error:
        print_json({"line": number, "error": f"stdin:{number}: {error}"})
        return False
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()
    return True


@app.command()
def info(router: ArtifactFolder, json: JsonFlag = False) -> None:
    """Print what an artifact is: tiers, modes, what each promises, what it was trained on."""
    loaded = Router.load(router)
    config, certificate = loaded.config, find_certificate(loaded.path)
    if json:
        print_json({**msgspec.to_builtins(config), "certificate": certificate})
        return
    output.print(f"{loaded.name}  schema {config.schema_version}, {config.provenance.created}", highlight=False)
    tiers = Table("tier", "model", "context tokens", "lacks", title="Tiers, cheapest first", title_justify="left")
    for tier in config.tiers:
        tiers.add_row(
            tier.name, tier.model, str(tier.context_tokens or "unknown"), ", ".join(tier.lacks) or "nothing known"
        )
    modes = Table("mode", "target", "threshold", "certified", title="Modes, the router alone", title_justify="left")
    for name, point in config.modes.items():
        default = " (default)" if name == config.default_mode else ""
        modes.add_row(
            name + default,
            exact_percent(point.target),
            _threshold(point.threshold, point.steps),
            _certified(point.certified),
        )
    output.print(tiers, modes)
    if config.gate:
        gated = Table("mode", "router", "gate", "certified", title="Thresholds with the gate", title_justify="left")
        for name, point in config.modes.items():
            if point.gated:
                both = [_threshold(value, point.gated.steps) for value in (point.gated.route, point.gated.accept)]
                gated.add_row(name, *both, _certified(point.gated.certified))
        output.print(gated)
        calls = ", ".join(f"{tier} {cost:.4f}" for tier, cost in config.call_costs.items())
        known = "at known prices" if config.prices else "assumed, for want of prices"
        output.print(f"cost of an average call, the top tier's being 1: {calls} ({known})", highlight=False)
    if certificate:
        show_certificate(certificate, output)
    provenance = config.provenance
    output.print(
        f"recipe {provenance.recipe} ({provenance.recipe_sha256[:12]}), labels {provenance.labels_sha256[:12]}, "
        f"seed {provenance.seed}",
        ", ".join(f"{count:,} {split}" for split, count in provenance.labels.items()) + " labels",
        "sources: " + ", ".join(f"{source} {count:,}" for source, count in provenance.sources.items()),
        sep="\n",
        highlight=False,
    )


def _threshold(value: float, steps: Collection[str]) -> str:
    """steps: those that have thresholds of their own, which the certificate tells one by one."""
    if steps:
        return "by step"
    return f"{value:.4f}" if value > NEVER_DOWN else "never down"


def _certified(certified: bool) -> str:
    return "yes" if certified else "no"


@app.command()
def check(
    router: ArtifactFolder,
    public_key: Annotated[Path | None, typer.Option(help="PEM file of the key by which it must be signed.")] = None,
    json: JsonFlag = False,
) -> None:
    """Check every file of an artifact and replay its reference decisions; exit code 1 when one differs."""
    loaded = Router.load(router, strict=True, public_key=public_key)
    total, problems = len(read_references(loaded)), replay(loaded)
    if json:
        print_json({"router": loaded.name, "references": total, "problems": problems})
    else:
        for problem in problems:
            output.print(problem, highlight=False)
        output.print(f"{loaded.name}: files intact, {total - len(problems)} of {total} reference decisions repeated")
    if problems:
        raise typer.Exit(1)


@app.command("sign")
def sign_artifact(
    router: ArtifactFolder,
    key: Annotated[Path, typer.Option(help="PEM file of an Ed25519 private key, as openssl genpkey writes it.")],
) -> None:
    """Sign an artifact, so that 'check --public-key' and Router.load(public_key=) can tell who made it."""
    read_artifact(router)
    (router / SIGNATURE).write_bytes(sign((router / CONFIG).read_bytes(), key.read_bytes()))
    output.print(f"{router / SIGNATURE}: written", highlight=False)


def main() -> NoReturn:
    """Entry point: every expected error becomes one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 shows escapes rather than fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)  # what a command exits with comes back as a number, not as an exception
    except typer.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except SystemExit:  # only so does typer leave when whoever read its output has gone
        sys.exit(0)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except LearnedRouterError as error:
        _fail(str(error), 2)
    except ModuleNotFoundError as error:  # parts of the pipeline load some libraries only when they need them
        if error.name is None or error.name.startswith("learned_router"):
            raise
        _fail(str(missing_package(error)), 2)
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except Exception as error:
        show = getattr(error, "show", None)  # typer's own usage errors know how to print themselves
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", 2))
    if code == INTERRUPTED:
        _fail(
            "interrupted; the same command goes on where a training or a collection was",
            INTERRUPTED,
        )
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    # soft_wrap: one error is one line, also when it is read by a program
    errors.print(f"error: {message}", style="red", soft_wrap=True, markup=False)
    sys.exit(code)


def _show_decision(decision: Decision) -> None:
    output.print(f"[bold]{decision.tier}[/bold] ({decision.model})  {decision.reason}", highlight=False)
    quality = ", ".join(f"{tier} {value:.2f}" for tier, value in decision.quality.items())
    cheapest = next(iter(decision.quality))
    top = list(decision.quality)[-1]
    output.print(
        f"mode {decision.mode}: regret of {cheapest} {decision.quality[top] - decision.quality[cheapest]:.3f}, "
        f"allowed {decision.threshold:.3f}; predicted quality {quality}",
        f"as good as {top} with probability {decision.confidence:.2f}; step {decision.step}; "
        f"distance from training data {decision.ood:.2f} of 1; {decision.router}",
        sep="\n",
        highlight=False,
    )


if __name__ == "__main__":
    main()

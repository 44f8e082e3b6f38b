"""The command ``learned-router``. Turns options into calls and exceptions into one line and an exit code; computes nothing.

Commands that train or measure load the pipeline only when they are called, so the runtime alone runs the others.
"""

from __future__ import annotations

import io
import json as stdlib_json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from learned_router import __version__
from learned_router.errors import InputError, LearnedRouterError, MissingExtraError
from learned_router.policy import Tier
from learned_router.replay import read_references, replay
from learned_router.router import Decision, Router

if TYPE_CHECKING:
    from learned_router.training.recipe import Recipe

app = typer.Typer(
    name="learned-router",
    help="Learn from your own logs which LLM calls a small model answers well enough, and route them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
INTERRUPTED = 130  # what a shell reports of a command that Ctrl-C ended; typer returns it
_output = Console()
_errors = Console(stderr=True, highlight=False)

RouterOption = Annotated[Path | None, typer.Option("--router", help="Artifact folder; without it the one that ships.")]
ModeOption = Annotated[str | None, typer.Option("--mode", help="Operating point: quality, balanced or economy.")]
LogFiles = Annotated[list[Path], typer.Argument(help="Paired logs, .jsonl or .jsonl.gz.", metavar="PAIRS...")]
LabelFiles = Annotated[list[Path], typer.Argument(help="Labels made by 'learned-router label'.", metavar="LABELS...")]
ArtifactFolder = Annotated[Path, typer.Argument(help="Artifact folder.", metavar="DIR")]
SeedOption = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Seed of everything random; the same seed gives the same result."),
]
CacheOption = Annotated[Path | None, typer.Option(help="Folder that keeps embeddings between runs.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def label(
    pairs: LogFiles,
    tier: Annotated[list[str], typer.Option(help="NAME=MODEL, cheapest tier first; at least two.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="File to write, .jsonl or .jsonl.gz.")],
    labels: Annotated[str, typer.Option(help="auto: grade the outputs; gold: take the log's own 'score'.")] = "auto",
    seed: SeedOption = 0,
    json: JsonFlag = False,
) -> None:
    """Grade what the tiers answered and split the labels: paired logs in, labels out."""
    from_training = _training("label")
    run = from_training.label_files(pairs, _pairs(tier, "--tier"), out, labels=labels, seed=seed)
    if json:
        _print_json(from_training.summarize(run))
    else:
        from_training.render_label_run(run, _output)
        _output.print(f"wrote {out}", highlight=False)


@app.command()
def train(
    labels: LabelFiles,
    out: Annotated[Path, typer.Option(help="Artifact folder to write.")],
    recipe: Annotated[str, typer.Option(help="fast, standard, or a TOML file.")] = "standard",
    target: Annotated[
        list[float] | None, typer.Option(help="Share of the top tier's quality to keep, as 0.95; one mode for each.")
    ] = None,
    delta: Annotated[
        float, typer.Option(help="Allowed probability that a promise fails; kept for the certificate.")
    ] = 0.05,
    model: Annotated[
        list[str] | None, typer.Option(help="NAME=MODEL: what decisions call a tier's model; else as in the labels.")
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="NAME=TOKENS: context window of a tier.")] = None,
    lacks: Annotated[list[str] | None, typer.Option(help="NAME=tools,vision,json: what a tier cannot do.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Labels whose requests may be kept in the artifact; else the calibration split's."),
    ] = None,
    note: Annotated[str, typer.Option(help="A sentence for the model card.")] = "",
    baselines: Annotated[bool, typer.Option(help="Measure the baselines beside the router on the test split.")] = True,
    cache: CacheOption = None,
    seed: SeedOption = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: JsonFlag = False,
) -> None:
    """Train, calibrate and export a router: labels in, artifact out. Interrupted, the same command goes on."""
    if not 0.0 < delta < 1.0:
        raise InputError(f"--delta is {delta}; it must lie in (0, 1)")
    out = out if out.name else out.resolve()  # '.' has no name, and the artifact takes its folder's
    _check_text("--out", out.name)
    _check_text("--note", note)
    pipeline, labels_room = _training("pipeline"), _training("labels")
    chosen = _with_targets(_training("recipe").load_recipe(recipe), target or [])
    label_set = labels_room.load_labels(labels)
    _tell_skipped(label_set.skipped)
    run = pipeline.train(
        label_set,
        out,
        chosen,
        seed=seed,
        delta=delta,
        tiers=_tiers(
            label_set,
            _pairs(model or [], "--model"),
            _pairs(context or [], "--context"),
            _pairs(lacks or [], "--lacks"),
        ),
        references=labels_room.load_labels([reference]).labels if reference else None,
        note=note,
        baselines=baselines,
        cache=cache,
        console=None if quiet or json else _errors,
    )
    if json:
        _print_json({"out": str(out), "router": run.router.name, "evaluation": run.evaluation})
        return
    if run.evaluation:
        _training("report").render(run.evaluation, _output)
    _output.print(f"wrote {out}", highlight=False)


@app.command()
def evaluate(
    router: ArtifactFolder,
    labels: LabelFiles,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the evaluation as JSON.")] = None,
    png: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the quality-cost curve as a picture.")] = None,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Write a page with tables and curve.")] = None,
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
    baselines: Annotated[bool, typer.Option(help="Also fit and measure the baselines.")] = True,
    cache: CacheOption = None,
    seed: SeedOption = 0,
) -> None:
    """Measure a router on labels it has not seen, beside random, length, category, kNN, regressions and the oracle."""
    label_set, report = _training("labels").load_labels(labels), _training("report")
    _tell_skipped(label_set.skipped)
    evaluation = _training("evaluate").evaluate(
        Router.load(router),
        label_set.labels,
        split=split,
        baselines=baselines,
        seed=seed,
        cache=cache,
        progress=lambda line: _errors.print(line),
    )
    report.render(evaluation, _output)
    for path, write in ((json, report.write_json), (png, report.plot), (html, report.write_html)):
        if path:
            write(evaluation, path)
            _output.print(f"wrote {path}", highlight=False)


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
            _print_json(decision)
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
        _print_json({"line": number, "error": f"stdin:{number}: not JSON ({found}); give a string or an object a line"})
        return False
    try:
        decision = msgspec.to_builtins(router.route(request, step=step))
        name = request.get("id") if isinstance(request, dict) else None
        named = {"id": name, **decision} if name is not None else decision
        answer = stdlib_json.dumps(named, separators=(",", ":"), allow_nan=False)
    except (InputError, ValueError, RecursionError) as error:
        _print_json({"line": number, "error": f"stdin:{number}: {error}"})
        return False
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()
    return True


@app.command()
def info(router: ArtifactFolder, json: JsonFlag = False) -> None:
    """Print what an artifact is: tiers, modes, what it was trained on, whether it is certified."""
    loaded = Router.load(router)
    config = loaded.config
    if json:
        _print_json(config)
        return
    _output.print(f"{loaded.name}  schema {config.schema_version}, {config.provenance.created}", highlight=False)
    tiers = Table("tier", "model", "context tokens", "lacks", title="Tiers, cheapest first", title_justify="left")
    for tier in config.tiers:
        tiers.add_row(
            tier.name, tier.model, str(tier.context_tokens or "unknown"), ", ".join(tier.lacks) or "nothing known"
        )
    modes = Table("mode", "target", "threshold", "certified", title="Modes", title_justify="left")
    for name, point in config.modes.items():
        default = " (default)" if name == config.default_mode else ""
        modes.add_row(
            name + default, f"{point.target:.0%}", f"{point.threshold:.4f}", "yes" if point.certified else "no"
        )
    _output.print(tiers, modes)
    provenance = config.provenance
    _output.print(
        f"recipe {provenance.recipe} ({provenance.recipe_sha256[:12]}), labels {provenance.labels_sha256[:12]}, "
        f"seed {provenance.seed}",
        ", ".join(f"{count:,} {split}" for split, count in provenance.labels.items()) + " labels",
        "sources: " + ", ".join(f"{source} {count:,}" for source, count in provenance.sources.items()),
        sep="\n",
        highlight=False,
    )


@app.command()
def check(router: ArtifactFolder, json: JsonFlag = False) -> None:
    """Check every file of an artifact and replay its reference decisions; exit code 1 when one differs."""
    loaded = Router.load(router)
    total, problems = len(read_references(loaded)), replay(loaded)
    if json:
        _print_json({"router": loaded.name, "references": total, "problems": problems})
    else:
        for problem in problems:
            _output.print(problem, highlight=False)
        _output.print(f"{loaded.name}: files intact, {total - len(problems)} of {total} reference decisions repeated")
    if problems:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for labels, artifact and picture.")] = Path("runs/demo"),
    recipe: Annotated[str, typer.Option(help="fast, standard, or a TOML file.")] = "fast",
    seed: SeedOption = 0,
) -> None:
    """Run everything on the embedded sample: label, split, train, calibrate, export, evaluate, route."""
    _training("demo").run_demo(out, recipe=recipe, seed=seed, console=_output)


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
        _fail(str(_missing(error)), 2)
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except Exception as error:
        show = getattr(error, "show", None)  # typer's own usage errors know how to print themselves
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", 2))
    if code == INTERRUPTED:
        _fail("interrupted; a training goes on from where it was when the same command is run again", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    # soft_wrap: one error is one line, also when it is read by a program
    _errors.print(f"error: {message}", style="red", soft_wrap=True, markup=False)
    sys.exit(code)


def _training(room: str) -> Any:
    """A module of the pipeline. Raises MissingExtraError with the line that installs it."""
    import importlib

    try:
        return importlib.import_module(f"learned_router.training.{room}")
    except ModuleNotFoundError as error:
        raise _missing(error) from None


def _missing(error: ModuleNotFoundError) -> MissingExtraError:
    return MissingExtraError(f"this command needs the package {error.name!r}: pip install 'learned-router[train]'")


def _pairs(options: list[str], name: str) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping, in order. Raises InputError on anything else, or a name given twice."""
    pairs: dict[str, str] = {}
    for option in options:
        _check_text(name, option)
        key, separator, value = option.partition("=")
        if not separator or not key or not value:
            raise InputError(f"{name} {option!r}: write NAME=VALUE, as in small=Llama-3.1-8B-Instruct")
        if key in pairs:
            raise InputError(f"{name} {option!r}: {key!r} is given twice")
        pairs[key] = value
    return pairs


def _check_text(name: str, value: str) -> None:
    """Raises InputError on bytes that are no UTF-8: an artifact's JSON could not hold them, found out after training."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} {value!r}: not UTF-8; write it with characters that are") from None


def _tiers(labels: Any, models: dict[str, str], context: dict[str, str], lacks: dict[str, str]) -> list[Tier]:
    for name in (*models, *context, *lacks):
        if name not in labels.tiers:
            raise InputError(f"tier {name!r} is not in the labels; they have {', '.join(labels.tiers)}")
    for name, value in context.items():
        if not value.isdecimal() or len(value) > 12 or int(value) == 0:
            raise InputError(f"--context {name}={value}: give a number of tokens, as in {name}=8192")
    known = {"tools", "vision", "json"}
    for name, value in lacks.items():
        if not set(value.split(",")) <= known:
            raise InputError(f"--lacks {name}={value}: give some of {', '.join(sorted(known))}, separated by commas")
    return [
        Tier(
            name=tier,
            model=models.get(tier, labels.models[tier]),
            context_tokens=int(context[tier]) if tier in context else None,
            lacks=tuple(lacks[tier].split(",")) if tier in lacks else (),
        )
        for tier in labels.tiers
    ]


def _with_targets(recipe: Recipe, targets: list[float]) -> Recipe:
    """The recipe with one mode for each target; a target that a mode of the recipe has keeps that mode's name."""
    if not targets:
        return recipe
    names = {target: mode for mode, target in recipe.modes.items()}
    for target in targets:
        if not 0.0 < target <= 1.0:
            raise InputError(f"--target is {target}; it must lie in (0, 1], as in 0.95")
    modes = {names.get(target, f"keep-{target:g}"): target for target in targets}
    default = recipe.default_mode if recipe.default_mode in modes else next(iter(modes))
    return msgspec.structs.replace(recipe, modes=modes, default_mode=default)


def _tell_skipped(skipped: Any) -> None:
    for reason, found in skipped.to_dict().items():
        _errors.print(f"skipped {found['count']:,}: {reason} (first: {found['first'][0]})", markup=False)


def _show_decision(decision: Decision) -> None:
    _output.print(f"[bold]{decision.tier}[/bold] ({decision.model})  {decision.reason}", highlight=False)
    quality = ", ".join(f"{tier} {value:.2f}" for tier, value in decision.quality.items())
    cheapest = next(iter(decision.quality))
    top = list(decision.quality)[-1]
    _output.print(
        f"mode {decision.mode}: regret of {cheapest} {decision.quality[top] - decision.quality[cheapest]:.3f}, "
        f"allowed {decision.threshold:.3f}; predicted quality {quality}",
        f"as good as {top} with probability {decision.confidence:.2f}; step {decision.step}; "
        f"distance from training data {decision.ood:.2f} of 1; {decision.router}",
        sep="\n",
        highlight=False,
    )


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")  # JSON is UTF-8, whatever the terminal speaks
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

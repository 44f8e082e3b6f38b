"""The commands that label, train and measure. Each loads the pipeline only when it is called, and only then needs it.

Knows options and how results are shown; what they mean is the pipeline's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from learned_router.errors import InputError, MissingExtraError
from learned_router.policy import Tier
from learned_router.pricing import parse_prices
from learned_router.router import Router
from learned_router.terminal import ArtifactFolder, JsonFlag, errors, output, print_json, show_certificate

if TYPE_CHECKING:
    from learned_router.training.recipe import Recipe

app = typer.Typer()
LogFiles = Annotated[
    list[Path], typer.Argument(help="Logs of any known format, or folders of them.", metavar="LOGS...")
]
LabelFiles = Annotated[list[Path], typer.Argument(help="Labels made by 'learned-router label'.", metavar="LABELS...")]
SeedOption = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Seed of everything random; the same seed gives the same result."),
]
CacheOption = Annotated[Path | None, typer.Option(help="Folder that keeps embeddings between runs.")]


@app.command()
def collect(
    logs: Annotated[list[Path], typer.Argument(help="Logs, .jsonl or .jsonl.gz.", metavar="LOGS...")],
    tier: Annotated[
        list[str],
        typer.Option(help="NAME=MODEL (the log's own), NAME=MODEL@URL (a server, up to /v1) or NAME=litellm:MODEL."),
    ],
    out: Annotated[Path, typer.Option(help="File to write, .jsonl or .jsonl.gz; answers are kept beside it.")],
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VARIABLE: environment variable of a tier's key; else OPENAI_API_KEY, for OpenAI alone."
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="NAME=IN,OUT: $ per million tokens of a tier or model; 0,0 for one of your own."),
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="Dollars that all runs for this --out may spend.")] = None,
    sample: Annotated[int | None, typer.Option(help="Only this many records, from each step its share.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked and what it costs.")] = False,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once, for each tier.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds for one answer.")] = 120.0,
    attempts: Annotated[int, typer.Option(help="Times a request is tried.")] = 5,
    temperature: Annotated[str, typer.Option(help="Sampling temperature; 'none' leaves it to the server.")] = "0",
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer; else the server's own limit.")] = None,
    logprobs: Annotated[
        bool, typer.Option("--logprobs", help="Also ask for token log-probabilities, of which the gate learns.")
    ] = False,
    seed: SeedOption = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: JsonFlag = False,
) -> None:
    """Ask tiers what the logs do not hold yet: logs in, paired logs out. Killed, the same command goes on."""
    collect_room, report = _training("collect"), _training("collecting.collect_report")
    tiers = _training("collecting.endpoints").parse_tiers(tier, keys=key or [], prices=price or [])
    options = _training("collecting.ask_tiers").Options(
        concurrency=concurrency,
        patience=_training("collecting.ask").Patience(timeout_s=timeout, attempts=attempts),
        max_cost=max_cost,
        sample=sample,
        seed=seed,
        temperature=_temperature(temperature),
        max_tokens=max_tokens,
        logprobs=logprobs,
    )
    if dry_run:
        plan = collect_room.plan_files(logs, tiers, out, options)
        _tell_skipped(plan.skipped)
        if json:
            print_json(report.summarize_plan(plan, tiers))
        else:
            report.render_plan(plan, tiers, output, max_cost)
        return
    with report.LiveProgress(Console(quiet=True) if quiet or json else errors) as progress:
        run = collect_room.collect_files(logs, tiers, out, options, progress=progress)
    _tell_skipped(run.plan.skipped)
    if json:
        print_json(report.summarize_run(run))
    else:
        report.render_run(run, output)
        output.print(f"wrote {out}: {run.written:,} records", highlight=False, markup=False)
    if not run.complete:
        errors.print(report.describe_left(run), style="yellow", markup=False, soft_wrap=True)
        raise typer.Exit(1)


@app.command()
def label(
    pairs: LogFiles,
    tier: Annotated[list[str], typer.Option(help="NAME=MODEL, cheapest tier first; at least two.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="File to write, .jsonl or .jsonl.gz.")],
    labels: Annotated[str, typer.Option(help="auto: grade the outputs; gold: take the log's own 'score'.")] = "auto",
    redact: Annotated[
        bool, typer.Option("--redact", help="Remove keys, tokens, passwords, e-mails and card numbers.")
    ] = False,
    review: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Also write doubtful cases to this CSV, for your verdicts.")
    ] = None,
    review_count: Annotated[int, typer.Option(min=1, help="How many cases --review writes.")] = 50,
    reviews: Annotated[
        list[Path] | None,
        typer.Option(dir_okay=False, help="CSV of --review or --audit with verdicts, which win over every grade."),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Also draw calibration labels at random for your verdicts, so that promises hold whatever graders "
            "think; this CSV then lists those that lack one.",
        ),
    ] = None,
    audit_share: Annotated[
        float | None, typer.Option(help="Share that --audit draws; else that of --reviews, else 0.1.")
    ] = None,
    grader: Annotated[
        str | None, typer.Option(help="Grade every record by this one, as in tool_call or agreement; else by its kind.")
    ] = None,
    similarity: Annotated[
        str, typer.Option(help="How free text is compared: embedding (by meaning), or words, which is faster.")
    ] = "embedding",
    run_code: Annotated[
        bool, typer.Option("--run-code", help="Run answers' Python against the log's tests, in a confined process.")
    ] = False,
    judge: Annotated[
        str | None, typer.Option(help="MODEL@URL: a model that compares what nothing else settles.")
    ] = None,
    judge_budget: Annotated[float | None, typer.Option(help="US dollars that the judge may cost.")] = None,
    judge_price: Annotated[
        str | None, typer.Option(help="IN,OUT: the judge's price, $ per 1M tokens; else the known one.")
    ] = None,
    judge_key: Annotated[str | None, typer.Option(help="Environment variable that holds the judge's key.")] = None,
    seed: SeedOption = 0,
    json: JsonFlag = False,
) -> None:
    """Grade what the tiers answered and split the labels: paired logs in, labels out."""
    report, review_table, tiers = (
        _training("labelling.label_report"),
        _training("labelling.review"),
        _pairs(tier, "--tier"),
    )
    grading = _training("grading")
    said = review_table.read_reviews(reviews or [], list(tiers))
    plan = _training("labelling.audit").plan_audit(audit is not None, audit_share, said.audit)
    if audit:
        review_table.check_free(audit)
    with grading.open_options(
        grader=grader,
        similarity=similarity,
        run_code=run_code,
        judge=judge,
        judge_budget_usd=judge_budget,
        judge_price=judge_price,
        judge_key=judge_key,
        journal=out.with_name(out.name + ".judge.jsonl"),
    ) as options:
        run = _training("label").label_files(
            pairs,
            tiers,
            out,
            labels=labels,
            options=options,
            seed=seed,
            redact=redact,
            verdicts=said.verdicts,
            to_review=review_count if review else 0,
            audit=plan,
        )
        for line in grading.describe(options):
            errors.print(line, highlight=False, markup=False)
    if review:
        review_table.write_reviews(run.to_review, list(tiers), review)
    if audit and run.to_audit:
        review_table.write_audit(run.to_audit, list(tiers), plan.chance, audit)
    if json:
        print_json(report.summarize(run))
        return
    report.render_label_run(run, output)
    output.print(f"wrote {out}", highlight=False)
    if review:
        output.print(
            f"wrote {len(run.to_review)} cases to {review}: fill in 'verdict', then add --reviews {review}",
            highlight=False,
        )
    if audit:
        output.print(report.describe_asked(run.audit, audit), highlight=False, markup=False)


@app.command()
def train(
    labels: LabelFiles,
    out: Annotated[Path, typer.Option(help="Artifact folder to write.")],
    recipe: Annotated[str, typer.Option(help="fast, pretrained, standard, or a TOML file.")] = "fast",
    size: Annotated[
        str | None,
        typer.Option(help="nano, small or base: layers and tokens that a decision costs; else as in the recipe."),
    ] = None,
    target: Annotated[
        list[float] | None, typer.Option(help="Share of the top tier's quality to keep, as 0.95; one mode for each.")
    ] = None,
    delta: Annotated[float, typer.Option(help="Allowed probability that a mode's promise fails.")] = 0.05,
    allow_uncertified: Annotated[
        bool,
        typer.Option(
            "--allow-uncertified",
            help="Where a promise cannot be proved, route by estimate; else everything goes to the top tier.",
        ),
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="NAME=MODEL: what decisions call a tier's model; else as in the labels.")
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="NAME=TOKENS: context window of a tier.")] = None,
    lacks: Annotated[list[str] | None, typer.Option(help="NAME=tools,vision,json: what a tier cannot do.")] = None,
    gate: Annotated[
        bool | None,
        typer.Option(help="Also train the gate, which looks at answers; else when the labels hold answers enough."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="NAME=IN,OUT: a tier's price, $ per 1M tokens; else the known one, else a ratio of 20."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Labels whose requests may be kept in the artifact; else the calibration split's."),
    ] = None,
    most_per_source: Annotated[
        int | None,
        typer.Option(help="Labels of each source to use at most, so that a large log does not drown others."),
    ] = None,
    weigh: Annotated[
        list[str] | None, typer.Option(help="SOURCE=FACTOR: how many times the labels of a source count.")
    ] = None,
    note: Annotated[str, typer.Option(help="A sentence for the model card.")] = "",
    baselines: Annotated[bool, typer.Option(help="Measure the baselines beside the router on the test split.")] = True,
    cache: CacheOption = None,
    seed: SeedOption = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: JsonFlag = False,
) -> None:
    """Train, calibrate and export a router and its gate: labels in, artifact out. Interrupted, the same command goes on."""
    if not 0.0 < delta < 1.0:
        raise InputError(f"--delta is {delta}; it must lie in (0, 1)")
    out = out if out.name else out.resolve()  # '.' has no name, and the artifact takes its folder's
    _check_text("--out", out.name)
    _check_text("--note", note)
    pipeline, labels_room, recipes = _training("pipeline"), _training("labels"), _training("recipe")
    chosen = _with_targets(recipes.load_recipe(recipe), target or [])
    if size is not None:
        chosen = recipes.with_size(chosen, size)
    label_set = labels_room.load_labels(labels)
    _tell_skipped(label_set.skipped)
    if most_per_source is not None:
        label_set = labels_room.cap_sources(label_set, most_per_source, seed)
    if weigh:
        label_set = labels_room.weigh_sources(label_set, _factors(weigh))
    run = pipeline.train(
        label_set,
        out,
        chosen,
        seed=seed,
        tiers=_tiers(
            label_set,
            _pairs(model or [], "--model"),
            _pairs(context or [], "--context"),
            _pairs(lacks or [], "--lacks"),
        ),
        delta=delta,
        allow_uncertified=allow_uncertified,
        gate=gate,
        prices=parse_prices(price or []),
        references=labels_room.load_labels([reference]).labels if reference else None,
        note=note,
        baselines=baselines,
        cache=cache,
        console=None if quiet or json else errors,
    )
    if json:
        certificate = run.certificate
        print_json(
            {"out": str(out), "router": run.router.name, "evaluation": run.evaluation, "certificate": certificate}
        )
        return
    if run.evaluation:
        _training("report").render(run.evaluation, output)
    show_certificate(run.certificate, output)
    output.print(f"wrote {out}", highlight=False)


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
    loaded = Router.load(router, strict=True)
    evaluation = _training("evaluate").evaluate(
        loaded,
        label_set.labels,
        split=split,
        baselines=baselines,
        seed=seed,
        cache=cache,
        prices=loaded.config.call_costs if loaded.config.prices else None,
        call_costs=loaded.config.call_costs,
        progress=lambda line: errors.print(line),
    )
    report.render(evaluation, output)
    for path, write in ((json, report.write_json), (png, report.plot), (html, report.write_html)):
        if path:
            write(evaluation, path)
            output.print(f"wrote {path}", highlight=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for labels, artifact and picture.")] = Path("runs/demo"),
    recipe: Annotated[str, typer.Option(help="fast, pretrained, standard, or a TOML file.")] = "fast",
    seed: SeedOption = 0,
) -> None:
    """Run everything on the embedded sample: label, split, train, calibrate, export, evaluate, route."""
    _training("demo").run_demo(out, recipe=recipe, seed=seed, console=output)


def _training(room: str) -> Any:
    """A module of the pipeline. Raises MissingExtraError with the line that installs it."""
    import importlib

    try:
        return importlib.import_module(f"learned_router.training.{room}")
    except ModuleNotFoundError as error:
        raise missing_package(error) from None


def missing_package(error: ModuleNotFoundError) -> MissingExtraError:
    """What to say of a package that a command needs and that is not installed."""
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


def _temperature(value: str) -> float | None:
    if value == "none":
        return None
    try:
        temperature = float(value)
    except ValueError:
        temperature = -1.0
    if not 0.0 <= temperature <= 2.0:
        raise InputError(f"--temperature {value!r}: give a number in [0, 2], or 'none'")
    return temperature


def _factors(options: list[str]) -> dict[str, float]:
    factors = {}
    for source, value in _pairs(options, "--weigh").items():
        try:
            factors[source] = float(value)
        except ValueError:
            raise InputError(f"--weigh {source}={value}: give a number, as in {source}=2") from None
    return factors


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
        errors.print(f"skipped {found['count']:,}: {reason} (first: {found['first'][0]})", markup=False)

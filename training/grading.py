"""What the command line says of grading, as ``GradeOptions``, and what it came to. Knows options; grades nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from learned_router.errors import InputError, MissingExtraError
from learned_router.training.graders.choose import GradeOptions
from learned_router.training.graders.confinement import confinement
from learned_router.training.graders.free_text import Embed
from learned_router.training.graders.judge import Judge, Price

SIMILARITIES: Final = ("embedding", "words")


@contextmanager
def open_options(
    *,
    journal: Path,
    grader: str | None = None,
    similarity: str = "embedding",
    run_code: bool = False,
    judge: str | None = None,
    judge_budget_usd: float | None = None,
    judge_price: str | None = None,
    judge_key: str | None = None,
) -> Iterator[GradeOptions]:
    """The options of ``learned-router label``; the judge's journal and connections are open inside the ``with``.

    Raises InputError for an option that is none, or that needs another one.
    """
    if similarity not in SIMILARITIES:
        raise InputError(f"--similarity: found {similarity!r}; give {' or '.join(SIMILARITIES)}")
    lonely = {"--judge-budget": judge_budget_usd, "--judge-price": judge_price, "--judge-key": judge_key}
    if judge is None and (given := [name for name, value in lonely.items() if value is not None]):
        raise InputError(f"{given[0]}: no judge is given; add --judge MODEL@URL")
    with ExitStack() as stack:
        opened = None
        if judge is not None:
            # here, so that whoever asks no judge needs no HTTP client
            from learned_router.training.graders.judge_client import JudgeClient, parse_judge

            model, url = parse_judge(judge)
            price = None if judge_price is None else parse_price(judge_price)
            client = stack.enter_context(JudgeClient(url, judge_key))
            opened = stack.enter_context(Judge(model, client, journal, price=price, budget_usd=judge_budget_usd))
        yield GradeOptions(grader=grader, run_code=run_code, judge=opened, embed=_embed(similarity))


def describe(options: GradeOptions) -> Iterator[str]:
    """Lines that say how code was confined and what the judge did and cost."""
    if options.run_code:
        kinds = {
            "namespaces": "without network, by the system's namespaces",
            "python": "without network, by Python alone",
        }
        yield f"code ran confined, {kinds[confinement()]}"
    if options.judge is not None:
        counts = options.judge.counts
        cost = options.judge.spent_usd
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()) or "nothing to judge"
        yield f"judge {options.judge.model}: {said}; cost {'not known' if cost is None else f'${cost:.4f}'}"


def parse_price(option: str) -> Price:
    """``IN,OUT`` in dollars per million tokens. Raises InputError on anything else."""
    try:
        given, made = (float(number) for number in option.split(","))
    except ValueError:
        given = made = math.nan
    if not (0 <= given < math.inf and 0 <= made < math.inf):
        raise InputError(f"--judge-price {option!r}: write IN,OUT in $ per million tokens, as in 0.15,0.6")
    return Price(given, made)


def _embed(similarity: str) -> Embed | None:
    if similarity == "words":
        return None
    encoder: list[Embed] = []

    def embed(texts: Sequence[str]) -> Any:
        if not encoder:  # most logs hold no free text, and need neither the import nor 90 MB of weights
            try:
                from learned_router.training.graders.encoder import SentenceEncoder
            except ModuleNotFoundError as error:
                raise MissingExtraError(
                    f"grading free text by embeddings needs the package {error.name!r}: "
                    "pip install 'learned-router[train]', or choose --similarity words"
                ) from None
            encoder.append(SentenceEncoder())
        return encoder[0](texts)

    return embed

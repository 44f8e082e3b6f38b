"""The cards of an artifact and of a pretrained encoder, generated from what they hold. Knows words and tables only."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from learned_router.artifact import Config
from learned_router.certificate import Certificate
from learned_router.training.costs import CostModel
from learned_router.training.evaluation import Estimate, Evaluation
from learned_router.training.footprint import Footprint
from learned_router.training.pretrained import LayerShape, Pretrained
from learned_router.training.promise_pages import describe_promises
from learned_router.training.report import markdown_tables
from learned_router.training.unseen import UnseenFigures

SEEN_BY: Final = {"router": "requests", "gate": "answers"}


def write_card(
    config: Config,
    evaluation: Evaluation | None,
    *,
    footprint: Footprint,
    agreement: Mapping[str, str],
    unlike: Mapping[str, float],
    costs: CostModel,
    certificate: Certificate,
    why_no_gate: str,
    note: str,
    encoder: Pretrained | None = None,
) -> str:
    """Markdown of the card. evaluation: on the test split, None where there is none.

    footprint: of the artifact itself. agreement: graph against model, of the "router" and, where there is one, the "gate".
    unlike: share of the calibration split's requests, and answers, that is beyond the limit of what each of them knows.
    why_no_gate: why there is none, where there is none. encoder: the routing-pretrained one that training began with, if it
    was one.
    """
    tiers = " → ".join(f"`{tier.name}` ({tier.model})" for tier in config.tiers)
    provenance = config.provenance
    sources = "\n".join(
        f"| {source} | {count:,} | {provenance.licences.get(source, 'not stated')} |"
        for source, count in provenance.sources.items()
    )
    splits = ", ".join(f"{count:,} {split}" for split, count in provenance.labels.items())
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    beyond = " and ".join(f"{share:.1%} of the {SEEN_BY[name]}" for name, share in unlike.items())
    agreed = "; ".join(f"{name}: {sentence}" for name, sentence in agreement.items())
    measured = (
        markdown_tables(evaluation) if evaluation else "The labels hold no test split, so nothing was measured.\n"
    )
    return f"""# {config.name}

A router of Learned Router. It decides, from a request alone, which of these tiers is good enough: {tiers}.
{_gate_sentence(config, why_no_gate)}
{note}

```python
from learned_router import Router

router = Router.load("{config.name}")
decision = router.route("list my recent commits")
print(decision.tier, decision.reason, decision.confidence)
```

## What it promises

{describe_promises(config, certificate, costs)}
## Measured on the test split

{measured}
## Size and speed

{_size_and_speed(footprint)}

## Trained on

Labels: {splits}, split by session and by question. Labels by source and their licences:

| source | labels | licence |
|---|---|---|
{sources}
{_before(encoder)}
## Limits

- It knows the traffic above and one pair of models. Other traffic, other models, other prompts: train on your own logs
  (`learned-router label`, then `learned-router train`); that is what this package is for.
- What is unlike the training data goes to the top tier with reason `out_of_distribution`; so would, of the calibration
  split, which is like it, {beyond}.{_tools_sentence(config)}
- It reads at most {config.view.max_tokens} tokens of a request: the last message's start and end, tool names, the start
  of the system prompt. What cannot be seen there cannot be known before the call.

## Made by

Recipe `{provenance.recipe}` (sha256 {provenance.recipe_sha256[:12]}), labels sha256 {provenance.labels_sha256[:12]}, seed
{provenance.seed}, {provenance.created}. {versions}; Python {platform.python_version()}.
{agreed[:1].upper()}{agreed[1:]}. Encoder weights: see NOTICE.
"""


def _tools_sentence(config: Config) -> str:
    found = config.fingerprints
    if not found.tools:
        return ""
    return (
        f" So do requests that offer another schema of one of the {len(found.tools)} tools, of {found.seen}, that\n"
        "  the labels show often and always alike (`changed_tool`)."
    )


def _size_and_speed(footprint: Footprint) -> str:
    files = "\n".join(f"| {name} | {size / 1e6:.1f} MB |" for name, size in footprint.bytes.items())
    calls = "\n".join(f"| `{row.what}` | {row.tokens} | {row.p50_ms:.1f} ms |" for row in footprint.latency)
    return f"""| file | size |
|---|---|
{files}

| call | tokens read | p50 |
|---|---|---|
{calls}

Medians of {footprint.repeats} calls, each with a text of its own, on one thread of {footprint.cpu}, taken by the run that
wrote this card. What else a machine does moves such times, easily by half: measure on yours."""


def _gate_sentence(config: Config, why_no_gate: str) -> str:
    if config.gate is None:
        return f"It has no gate: {why_no_gate}."
    return (
        "Its gate, `router.accept(request, output)`, looks at the lower tier's answer and says whether to keep it or to ask "
        "the top tier."
    )


def _before(encoder: Pretrained | None) -> str:
    if encoder is None:
        return ""
    how = (
        "was pretrained on which requests models of public logs got right"
        if encoder.models
        else f"was distilled from `{encoder.encoder}`, on texts alone"
    )
    return f"""
Before that, its encoder {how}:

{_source_table(encoder)}
"""


def _shape(shape: LayerShape | None) -> str:
    if shape is None:
        return "of the whole encoder's shape"
    return f"of width {shape.width}, with a feed-forward part of {shape.ffn} units ({shape.activation}),"


def _source_table(about: Pretrained) -> str:
    rows = "\n".join(
        f"| {source} | {count:,} | {about.licences.get(source, 'not stated')} |"
        for source, count in about.requests.items()
    )
    return f"| source | requests | licence |\n|---|---|---|\n{rows}"


def write_encoder_card(folder: Path, about: Pretrained, found: Sequence[UnseenFigures]) -> str:
    """Markdown of the card of the pretrained encoder in ``folder``. found: what it is worth on what it has not seen."""
    sizes = ", ".join(
        f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in sorted(folder.glob("*.safetensors"))
    )
    return f"""# {folder.name}

A routing-pretrained encoder, for `learned-router train --recipe pretrained` to begin with. It is
`{about.encoder}`, taught by {about.models} heads at once what each model of some public logs got right, and how long each
log's answers were. The heads are gone; the layers that changed are kept, in float16, beside the name of what they changed:
{sizes}. A router that begins with it is as large and as fast as one that begins with `{about.encoder}`.
It learned from no request that could stand in the calibration or test split of anybody's labels of these logs.

## Trained on

{_source_table(about)}

## Measured

{_unseen_table(found)}
On logs that it has not seen at all, encoders made in the same way without them: docs/benchmark.md, "Few labels".

## Limits

- It knows the kinds of request above alone. On public logs of function calls, which it had not seen, routers that began with
  it were no better than those that began with the plain encoder, whether on 100 labels or on all: that is why it is not the
  default. Try it where your traffic is like the above, and compare.
- Heads that are fitted on requests above, which it knows, trust it too much: on your own labels of these logs it is worth
  less than on new requests of their kind.
- It reads at most {about.max_tokens} tokens of a request, through the view of this package alone.

## Made by

`python -m learned_router.training.pretrain`, recipe sha256 {about.recipe_sha256[:12]}, seed {about.seed}, {about.created};
in the repository `make encoder`, and `make encoder-cards` for this card alone. Weights it began with: see NOTICE.
"""


def write_distilled_card(folder: Path, about: Pretrained, found: Sequence[UnseenFigures]) -> str:
    """Markdown of the card of the distilled encoder in ``folder``. found: what heads make of it on what it has not seen."""
    sizes = ", ".join(
        f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in sorted(folder.glob("*.safetensors"))
    )
    return f"""# {folder.name}

A small encoder: {about.layers} layer {_shape(about.shape)} which has learned to
repeat what all layers of `{about.encoder}` say of a text. Routers of size `nano` begin with it. It knows of no models
and no outcomes: texts are all it has learned from. The word embeddings are those of `{about.encoder}`, unchanged; what is
its own is kept in float16: {sizes}.
It learned from no request that could stand in the calibration or test split of anybody's labels of these logs.

## Trained on

{_source_table(about)}

## Measured

{_missed(about.missed)}
{_unseen_table(found)}
## Limits

- What it was not shown, it repeats less well: texts in other languages than English, long documents, code.
- It reads at most {about.max_tokens} tokens of a request, through the view of this package alone.

## Made by

`python -m learned_router.training.distill`, recipe sha256 {about.recipe_sha256[:12]}, seed {about.seed}, {about.created};
in the repository `make distilled`, and `make encoder-cards` for this card alone. Weights it began with: see NOTICE.
"""


def _missed(shares: tuple[float, float] | None) -> str:
    if shares is None:
        return "How well it repeats the whole encoder was not kept.\n"
    middle, last = shares
    return f"""Of texts that were held out, it does not repeat {middle:.0%} of the variance of the whole encoder's
middle layer, and {last:.0%} of its last one's.
"""


def _unseen_table(found: Sequence[UnseenFigures]) -> str:
    if not found:
        return "No source has two models and requests enough to tell them apart, so nothing was measured.\n"
    rows = "\n".join(
        f"| {row.source} | {row.requests:,} | {row.pairs} | {_interval(row.apgr)} | {_interval(row.plain)} | "
        f"{_interval(row.gain, '+.3f')} |"
        for row in found
    )
    return f"""A head for each model, fitted on the requests above on this encoder as it is, and on the plain one that it
began with; measured on requests of the same logs that neither has seen (the calibration split): APGR of all ordered
pairs of a log's models with a gap between them, each pair weighed by its gap, 95 % intervals from resamples of whole groups.

| source | requests | pairs | this encoder | the plain one | difference |
|---|---|---|---|---|---|
{rows}
"""


def _interval(found: Estimate, style: str = ".3f") -> str:
    if found.value is None or found.low is None or found.high is None:
        return "–"
    return f"{found.value:{style}} [{found.low:{style}}, {found.high:{style}}]"

"""The model card of an artifact, generated from its config and its evaluation. Knows words and tables only."""

from __future__ import annotations

import platform

from learned_router.artifact import Config
from learned_router.training.evaluation import Evaluation
from learned_router.training.report import markdown_tables


def write_card(config: Config, evaluation: Evaluation | None, *, graph_bytes: int, agreement: str, note: str) -> str:
    """Markdown of the card. evaluation: on the test split, None where there is none. agreement: graph against model."""
    tiers = " → ".join(f"`{tier.name}` ({tier.model})" for tier in config.tiers)
    modes = "\n".join(
        f"| {name}{' (default)' if name == config.default_mode else ''} | {mode.target:.0%} | {mode.threshold:.4f} | "
        f"{'yes' if mode.certified else 'no'} |"
        for name, mode in config.modes.items()
    )
    provenance = config.provenance
    sources = "\n".join(
        f"| {source} | {count:,} | {provenance.licences.get(source, 'not stated')} |"
        for source, count in provenance.sources.items()
    )
    splits = ", ".join(f"{count:,} {split}" for split, count in provenance.labels.items())
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    measured = (
        markdown_tables(evaluation) if evaluation else "The labels hold no test split, so nothing was measured.\n"
    )
    return f"""# {config.name}

A router of Learned Router. It decides, from a request alone, which of these tiers is good enough: {tiers}.
{note}

```python
from learned_router import Router

router = Router.load("{config.name}")
decision = router.route("list my recent commits")
print(decision.tier, decision.reason, decision.confidence)
```

## Modes

A threshold is the predicted regret allowed. It was chosen on the calibration split by a point estimate: **no mode is
certified**, so the share of quality kept on new traffic may fall short of the target.

| mode | target | threshold | certified |
|---|---|---|---|
{modes}

## Measured on the test split

{measured}
## Trained on

Labels: {splits}, split by session and by question. Labels by source and their licences:

| source | labels | licence |
|---|---|---|
{sources}

## Limits

- It knows the traffic above and one pair of models. Other traffic, other models, other prompts: train on your own logs
  (`learned-router label`, then `learned-router train`); that is what this package is for.
- Requests unlike the training data go to the top tier with reason `out_of_distribution`; by construction about one
  percent of the training traffic's own kind do too.
- It reads at most {config.view.max_tokens} tokens of a request: the last message's start and end, tool names, the start
  of the system prompt. What cannot be seen there cannot be known before the call.

## Made by

Recipe `{provenance.recipe}` (sha256 {provenance.recipe_sha256[:12]}), labels sha256 {provenance.labels_sha256[:12]}, seed
{provenance.seed}, {provenance.created}. {versions}; Python {platform.python_version()}. Graph: {graph_bytes / 1e6:.1f} MB;
{agreement}. Encoder weights: see NOTICE.
"""

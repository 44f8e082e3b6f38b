"""Where the corpora of real paired logs lie, the pairs of models measured on each, and which ask the same questions."""

from __future__ import annotations

from pathlib import Path

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"

# small and frontier model by log, as the corpora's README names them
MODELS = {
    "bfcl": ("xLAM-1b-fc-r", "claude-3-5-sonnet-20240620"),
    "bfcl_live": ("AIREV-Agent-0.8B", "gpt-oss-120b"),
    "bfcl_multi_turn": ("gpt-oss-20b", "gpt-oss-120b"),
    "tau2_airline": ("qwen2.5-7b", "claude-sonnet-4-5"),
    "mmlu_pro": ("Meta-Llama-3.1-8B-Instruct", "gpt-4o-2024-05-13"),
    "zeroeval": ("Meta-Llama-3.1-8B-Instruct", "claude-3-5-sonnet-20241022"),
    "routellm_mmlu": ("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
    "routellm_gsm8k": ("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
    "routellm_mtbench": ("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
    "arena_bench": ("Starling-LM-7B-alpha", "gpt-4-1106-preview"),
}

# Logs that ask the same questions in other words around them: of mmlu_pro's stems 4,561 are MMLU's, and all of
# routellm_gsm8k's are zeroeval's. What was learned from the one is known of the other. The few questions that other
# logs share (13 of zeroeval and MMLU, 5 of bfcl and bfcl_live) are left out one by one, by pretrain's --leave-out.
RELATIVES = {
    "mmlu_pro": ("routellm_mmlu",),
    "routellm_mmlu": ("mmlu_pro",),
    "zeroeval": ("routellm_gsm8k",),
    "routellm_gsm8k": ("zeroeval",),
}


def left_out_with(log: str) -> tuple[str, ...]:
    """What an encoder must not have learned from to be measured on ``log``: the log and its relatives, in order of name."""
    return tuple(sorted((log, *RELATIVES.get(log, ()))))

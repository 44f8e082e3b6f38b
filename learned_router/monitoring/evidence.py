"""Evidence against a promise, audit by audit: a bet that the promise is broken, fair as long as it holds.

Knows numbers; knows nothing of modes, files or what an audit is.

The promise of a slice is that an audited call loses at most ``budget`` of quality on average: H0 says that
E[regret | what came before] ≤ budget, for regrets in [-1, 1]. Whoever stakes 1 and puts the share λ of the money on "more
than the budget" holds, after audits s, …, t - 1,

    K(λ, s, t) = Π (1 + λ (regret_i - budget)),    0 ≤ λ < 1 / (1 + budget),

which is never negative, for regret - budget ≥ -(1 + budget), and does not grow in the mean under H0, since then E[1 + λ
(regret_i - budget) | before] ≤ 1. Betting on means: Waudby-Smith & Ramdas 2024. We do not know which λ is good, nor when
the promise will break, and a bet that has lost for a year would need a year to come back. So the stake of 1 is split over
a grid of λ (equal parts) and over starting times s = 0, 1, 2, … (part w_s, what is left before start t being u_t, so that
w_t = u_t - u_(t+1) and u_0 = 1), which makes an e-detector with a prior over starts (Shin, Ramdas & Rinaldo 2022):

    M_t = Σ_λ C_λ(t) + u_t,    C_λ(t + 1) = (C_λ(t) + w_t / grid) (1 + λ (regret_t - budget)),    C_λ(0) = 0.

Under H0, E[M_(t+1) | before] ≤ Σ_λ C_λ(t) + w_t + u_(t+1) = Σ_λ C_λ(t) + u_t = M_t. So M is a non-negative
supermartingale with M_0 = 1, and by Ville's inequality (1939) P(M_t ≥ 1/α for any t at all | H0) ≤ α, however often one
looks. 1 / max M is a p-value that may be read at any time. The state is one number for each λ: starts share them. Nothing
is assumed about the law of the regrets or about their independence, but that the mean given the past keeps to the budget.

Calls of one session may fail together, so that the mean given their sisters does not keep to the budget although that of
sessions does. So what was won or lost in a session changes what is staked in it: after S = Σ (regret_i - budget) there, the
share λ / (1 + λ S) makes the session's factor 1 + λ Σ (regret_i - budget), linear, and at most 1 in the mean over sessions;
a share is never more than the largest of the grid, without which a factor could be negative. As the share is known before
the regret is, M stays what it was under H0. That it also keeps to α where only the mean over sessions does is shown by
simulation, not proved: a session that is not yet over may stand high (tests/benchmarks/monitor_delay.py).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

# Shares of the largest stake allowed, 1 / (1 + budget). Never all of it: a single regret of -1 would end the game. Down to
# a 24th, below which an excess is so small that no number of audits at hand would show it.
STAKES: Final[Array] = 0.95 * 2.0 ** (-np.arange(10) / 2)
# Audits after which the starts to come are worth 0.7 of the stake. By simulation, budget 0.04, a fall to a mean of 0.12
# after 0 / 500 / 5,000 audits, median audits to an alarm at 20: this 134 / 163 / 264; 1 / (1 + t) 102 / 183 / 367; no
# later starts 103 / 193 / 545, and 3,830 where 5,000 audits had kept well within the budget.
START_SCALE: Final = 20.0
# Beyond it evidence is not counted on: a capital cut down is still fair, and no float overflows.
MOST_CAPITAL: Final = 1e200


def new_capital() -> Array:
    """The state of a slice before its first audit, (len(STAKES),)."""
    return np.zeros_like(STAKES)


def unstarted(audits: int | Array) -> Any:
    """u_t: the stake kept back after ``audits`` audits for bets that begin later; 1 at first, falling to 0."""
    return 1.0 / np.sqrt(1.0 + np.asarray(audits) / START_SCALE)


def advance(
    capital: Array, audits: int, regret: float | Array, budget: float | Array, session: float | Array = 0.0
) -> Array:
    """The state after one more audit.

    capital: (..., len(STAKES)), after ``audits`` audits. regret, budget: in quality units, numbers or (...,); the regret in
    [-1, 1], the budget at least 0. session: what earlier audits of the same session lost beyond the budget, in sum.
    Raises ValueError for others, NaN included.
    """
    lost, allowed = np.asarray(regret, dtype=np.float64), np.asarray(budget, dtype=np.float64)
    if not np.all(np.abs(lost) <= 1.0) or not np.all((allowed >= 0.0) & np.isfinite(allowed)):
        raise ValueError(f"regret {regret!r} must lie in [-1, 1], and budget {budget!r} be finite and at least 0")
    most = STAKES[0] / (1.0 + allowed[..., None])
    share = STAKES / (1.0 + allowed[..., None])
    # known before the regret is, and never more than the largest stake: so the bet stays fair
    share = np.minimum(share / np.maximum(1.0 + share * np.asarray(session)[..., None], 1e-3), most)
    stake = unstarted(audits) - unstarted(audits + 1)
    grown: Array = (capital + stake / len(STAKES)) * (1.0 + share * (lost - allowed)[..., None])
    return np.minimum(grown, MOST_CAPITAL)


def weigh(capital: Array, audits: int) -> Any:
    """M_t: the evidence against the promise, (...,): 1 at first; 20 or more has a probability of 1/20 while it holds."""
    return capital.sum(axis=-1) + unstarted(audits)

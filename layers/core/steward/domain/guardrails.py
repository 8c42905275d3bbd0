"""Absolute limits of a release step: a pure function of frozen, digested counts.

Beside a concurrent stable version the candidate is compared with it (``experiments.verdicts``);
here is what remains: alarms, the requests that a step needs, and fixed limits where nothing else
answers beside, which are the release of a first version and the last step of a ramp.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of

Verdict = Literal["continue", "hold", "inconclusive", "roll_back"]

ROLLBACK_BUDGET = 0.05
"""Chance that a release of a version within its limits and margins is ever rolled back."""

ABSOLUTE_BUDGET = 0.01
"""Part of it that goes to the absolute limits where a release has comparisons as well."""

SLOW_SHARE = 0.05
"""Share of answers that may be slower than the limit: the limit is a p95."""

GUARDRAILS = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Counts(_Frozen):
    """Answers of one role within a step; failed ones are counted before any fallback."""

    requests: int = Field(ge=0)
    errors: int = Field(ge=0)
    slow: int = Field(ge=0)


class Limits(_Frozen):
    """What the candidate must keep, and how often it will be looked at.

    Attributes:
        looks: Most judgements by these limits that this release can see; they share the budget.
        needs_requests: Whether the step may only advance after ``min_requests``.
        max_holds: Bakes that the step may be prolonged by.
        budget: Part of the release's rollback budget that goes to these limits.
        concurrent: Whether the stable version answers beside; then it is what errors and slow
            answers are compared with, and only alarms and requests are judged here.
    """

    max_error_rate: float
    max_latency_ms: int
    min_requests: int
    looks: int = Field(ge=1)
    needs_requests: bool
    max_holds: int = Field(default=3, ge=0)
    budget: float = Field(default=ROLLBACK_BUDGET, gt=0, lt=1)
    concurrent: bool = False


class StepStatistics(_Frozen):
    """Everything that a judgement depends on, frozen when it is made.

    Attributes:
        since: Start of the counted time (the traffic shift), ISO 8601.
        until: End of the counted time.
        alarms: State by name of the guardrail alarms.
        standing: Alarms that have been in ALARM ever since before the release; they speak of
            an earlier version, so that only the counts judge until they have been OK once.
        due: Whether the bake is over; before that only alarms are judged here.
    """

    release_id: str
    step_id: str
    share: float
    since: str
    until: str
    holds: int = Field(ge=0)
    counts: Counts
    alarms: dict[str, str]
    standing: list[str]
    limits: Limits
    due: bool = True

    @property
    def digest(self) -> str:
        """Digest of the statistics; equal digests have equal judgements."""
        return digest_of(self.model_dump(mode="json"))


class Judgement(_Frozen):
    """A verdict with its reason and the numbers behind it."""

    verdict: Verdict
    reason: str
    numbers: dict[str, float]
    digest: str


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return P(X >= k) for X ~ Binomial(n, p), summed from the smaller side's logarithms."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    log_p, log_q = math.log(p), math.log1p(-p)
    whole = math.lgamma(n + 1)
    terms = (
        math.exp(whole - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(k, n + 1)
    )
    return min(1.0, math.fsum(terms))


def judge(statistics: StepStatistics) -> Judgement:
    """Return whether a step may advance, must wait, or the release must go back.

    A limit stops only on proven harm: as many failed (or slow) answers as a version at the
    limit would show with a chance below the budget, divided over all its looks and guardrails
    (Bonferroni, so that looking again does not add up to false rollbacks). Without proof of
    harm a step advances once it has its requests; without those it holds up to the cap, and
    then nothing is known of the version.
    """
    counts, limits = statistics.counts, statistics.limits
    alpha = limits.budget / (limits.looks * GUARDRAILS)
    error_chance = binomial_tail(counts.errors, counts.requests, limits.max_error_rate)
    slow_chance = binomial_tail(counts.slow, counts.requests, SLOW_SHARE)
    numbers = {
        "requests": float(counts.requests),
        "errors": float(counts.errors),
        "slow": float(counts.slow),
        "holds": float(statistics.holds),
    }
    limited = statistics.due and not limits.concurrent
    if limited:
        numbers |= {"alpha": alpha, "error_chance": error_chance, "slow_chance": slow_chance}

    def verdict(kind: Verdict, reason: str) -> Judgement:
        return Judgement(verdict=kind, reason=reason, numbers=numbers, digest=statistics.digest)

    ringing = sorted(
        name
        for name, state in statistics.alarms.items()
        if state == "ALARM" and name not in statistics.standing
    )
    if ringing:
        return verdict("roll_back", f"alarm {', '.join(ringing)} is in ALARM")
    if limited and error_chance <= alpha:
        return verdict(
            "roll_back",
            f"{counts.errors} of {counts.requests} answers failed; at the allowed rate "
            f"{limits.max_error_rate:g} that has a chance of {error_chance:.2g}, below {alpha:.2g}",
        )
    if limited and slow_chance <= alpha:
        return verdict(
            "roll_back",
            f"{counts.slow} of {counts.requests} answers took over {limits.max_latency_ms} ms; if "
            f"that were its p95 the chance would be {slow_chance:.2g}, below {alpha:.2g}",
        )
    if statistics.due and limits.needs_requests and counts.requests < limits.min_requests:
        seen = f"{counts.requests} of the {limits.min_requests} requests needed"
        if statistics.holds >= limits.max_holds:
            return verdict("inconclusive", f"after {statistics.holds} holds {seen}")
        return verdict("hold", seen)
    return verdict("continue", f"no harm proven in {counts.requests} requests")

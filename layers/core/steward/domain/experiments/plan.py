"""What an experiment fixes before it sees data, and the record that a verdict is made of."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from steward.domain.digests import digest_of
from steward.domain.errors import MethodRefusedError, RejectedError
from steward.domain.experiments.arm_statistics import ArmStatistics, Frozen
from steward.domain.experiments.bandit import refuse_unless_adaptive

Kind = Literal["binary", "bounded", "mean", "ratio", "adjusted", "weighted", "paired"]
Strategy = Literal["canary", "linear", "ab_test", "bandit", "shadow"]

PAIRED = "paired"
"""Name in place of an arm under which the differences of pairs (or time blocks) are recorded."""

_BOUNDED = ("binary", "bounded", "paired")


class Metric(Frozen):
    """How one figure per unit is compared. Everything here is fixed in the plan.

    Attributes:
        kind: ``binary`` (0 or 1 per unit; exact), ``bounded`` (within the histogram's edges;
            exact), ``paired`` (bounded differences of pairs or time blocks; exact), ``mean``,
            ``ratio`` (y / d), ``adjusted`` (CUPED) and ``weighted`` (AIPW), all asymptotic.
        higher_is_better: Direction.
        centre: Expected mean for binary and bounded; the nearer, the narrower.
        stake: Bet that suits the planned size of the exact kinds (``tuning.stake_for``); None
            suits no size in particular, at about a fifth more units.
        mixture_variance: Variance of the normal mixture of the asymptotic kinds
            (``asymptotic.mixture_variance`` of the planned size).
        theta: Coefficient of the covariate, from pre-period data (adjusted).
        covariate_mean: Mean of the covariate in the pre-period (adjusted).
        intercept: Of the fixed outcome model (weighted).
        slope: Of the fixed outcome model (weighted).
        minimum_denominator: Least sum of d in an arm and step (ratio).
        signed: Whether y has both signs; decides what counts as an event.
    """

    name: str = Field(min_length=1)
    kind: Kind
    higher_is_better: bool = True
    centre: float = 0.0
    stake: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    mixture_variance: float | None = None
    theta: float = 0.0
    covariate_mean: float = 0.0
    intercept: float = 0.0
    slope: float = 0.0
    minimum_denominator: float = 1.0
    signed: bool = False

    @model_validator(mode="after")
    def _check(self) -> Metric:
        for name in ("centre", "theta", "covariate_mean", "intercept", "slope"):
            if not math.isfinite(getattr(self, name)):
                raise refused(f"{self.name}.{name}", getattr(self, name), "a finite number")
        if not self.exact:
            variance = self.mixture_variance
            if variance is None or not (math.isfinite(variance) and variance > 0):
                raise refused(f"{self.name}.mixture_variance", variance, "a positive number")
        return self

    @property
    def exact(self) -> bool:
        """Whether its sequence holds at every sample size."""
        return self.kind in _BOUNDED


class Goal(Frozen):
    """A metric that the candidate should improve.

    Attributes:
        smallest_effect: Improvement below which the candidate is not worth promoting; once the
            improvement is proved to be less, the experiment is futile. None: never futile.
    """

    metric: Metric
    smallest_effect: float | None = None


class Guardrail(Frozen):
    """A metric that the candidate must not worsen by more than a margin.

    Attributes:
        margin: Worsening that is tolerated, 0 or more, in the unit of the metric.
        weight: Share of the release's rollback budget; all weights sum to at most 1.
        must_prove: ``harm``: stops when worsening beyond the margin is proved, and does not
            keep anything from advancing before. ``non_inferiority``: stops likewise, and
            advances only once worsening below the margin is proved; while neither is, it holds
            up to the cap, and then the experiment ends without promotion.
    """

    metric: Metric
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    weight: float = Field(gt=0, le=1)
    must_prove: Literal["harm", "non_inferiority"]

    @model_validator(mode="after")
    def _check(self) -> Guardrail:
        if self.must_prove == "non_inferiority" and self.margin == 0:
            raise refused(f"{self.metric.name}.margin", 0, "a margin above 0 to prove within")
        return self


class ExperimentPlan(Frozen):
    """Arms, metrics, errors and caps of one experiment.

    Attributes:
        candidate: The arm under test.
        stable: The arm that serves now, compared concurrently.
        alpha: Error of the goals, two-sided; false discovery rate where there are several.
        comparisons: Candidates that are judged against the same stable arm; they share alpha
            and the rollback budget equally.
        rollback_budget: Chance that guardrails ever stop a version within its margins.
        mismatch_alpha: Chance that the sample-ratio test ever holds a sound experiment.
        minimum_units: Matured units in each arm (pairs for paired) before anything advances.
        max_holds: Times that a step may be prolonged.
    """

    strategy: Strategy
    candidate: str
    stable: str
    goals: tuple[Goal, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    alpha: float = Field(default=0.05, gt=0, lt=1)
    comparisons: int = Field(default=1, ge=1)
    rollback_budget: float = Field(default=0.05, gt=0, lt=1)
    mismatch_alpha: float = Field(default=0.001, gt=0, lt=1)
    minimum_units: int = Field(default=1, ge=1)
    max_holds: int = Field(default=3, ge=0)

    @model_validator(mode="after")
    def _check(self) -> ExperimentPlan:
        if self.candidate == self.stable:
            raise refused("candidate", self.candidate, "another arm than stable")
        if self.strategy in ("ab_test", "bandit") and not self.goals:
            raise refused("goals", [], f"at least one goal, as {self.strategy} decides by it")
        metrics = set(self.metrics)
        names = [metric.name for metric in metrics]
        if len({metric.name for metric in metrics}) != len(metrics):
            raise refused("metrics", sorted(names), "one definition per name")
        for inside in (
            [goal.metric.name for goal in self.goals],
            [rail.metric.name for rail in self.guardrails],
        ):
            if len(set(inside)) != len(inside):
                raise refused("metrics", sorted(inside), "each name once among goals or guardrails")
        total = math.fsum(guardrail.weight for guardrail in self.guardrails)
        if total > 1 + 1e-9:
            raise refused("guardrails", total, "weights that sum to at most 1")
        for metric in metrics:
            if self.strategy == "bandit":
                refuse_unless_adaptive(metric.kind)
            if self.strategy == "shadow" and metric.kind != "paired":
                raise MethodRefusedError(
                    f"{metric.name} is {metric.kind}; shadow traffic is analysed paired",
                    field=metric.name, value=metric.kind, allowed="paired",
                )  # fmt: skip
        return self

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Metrics of the goals, then of the guardrails."""
        return (
            *(goal.metric for goal in self.goals),
            *(guardrail.metric for guardrail in self.guardrails),
        )

    @property
    def digest(self) -> str:
        """Digest of the plan, recorded before the first exposure."""
        return digest_of(self.model_dump(mode="json"))


class StepRecord(Frozen):
    """One step (a bandit's batch): frozen shares, first exposures, matured statistics.

    Attributes:
        propensities: Probability of each arm, summing to 1.
        exposures: Entities first exposed to each arm in this step.
        statistics: Per metric and arm; paired metrics under the name ``paired``.

    Raises:
        RejectedError: Propensities do not sum to 1, or a propensity or count is impossible.
    """

    step_id: str
    propensities: dict[str, float]
    exposures: dict[str, int] = Field(default_factory=dict)
    statistics: dict[str, dict[str, ArmStatistics]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> StepRecord:
        for arm, share in self.propensities.items():
            if not (math.isfinite(share) and share >= 0):
                raise refused(f"propensities.{arm}", share, "a number of 0 or more")
        whole = math.fsum(self.propensities.values())
        if abs(whole - 1) > 1e-9:
            raise refused("propensities", whole, "probabilities that sum to 1")
        for arm, count in self.exposures.items():
            if arm not in self.propensities or count < 0:
                allowed = f"0 or more of one of {', '.join(sorted(self.propensities))}"
                raise refused(f"exposures.{arm}", count, allowed)
        return self


class ExperimentRecord(Frozen):
    """All that a verdict depends on besides the plan.

    Attributes:
        holds: Times that the present step was prolonged already.
        ended: Whether the planned end (of the last step) is reached.
    """

    steps: tuple[StepRecord, ...] = Field(min_length=1)
    holds: int = Field(default=0, ge=0)
    ended: bool = False

    @property
    def digest(self) -> str:
        """Digest of the record; with the plan's it decides the verdict."""
        return digest_of(self.model_dump(mode="json"))


def refused(field: str, value: object, allowed: str) -> RejectedError:
    """Return the error of a plan or record that cannot be judged."""
    return RejectedError(
        f"{field} is {value!r}; allowed is {allowed}", field=field, value=value, allowed=allowed
    )

"""What ``project.yaml`` declares of a release: strategy, steps, metrics, guardrails."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from steward.domain.declaration import Strict

Share = Annotated[float, Field(gt=0, lt=1)]
Bounds = Annotated[
    tuple[Annotated[float, Field(strict=True)], Annotated[float, Field(strict=True)]],
    Field(strict=False),  # YAML and JSON have lists
]
StrategyName = Literal["all_at_once", "canary", "linear", "ab_test", "bandit", "shadow"]
MetricKind = Literal["binary", "bounded", "mean", "ratio", "adjusted"]
MAX_DURATION_S = 90 * 86_400


class Guardrails(Strict):
    """What stops a release at a step.

    Beside a concurrent stable version the candidate is compared with it; a first version and
    the last step of a ramp, which have none, keep the absolute limits. All share one rollback
    budget of .05 a release.

    Attributes:
        max_error_rate: Largest share of failed answers where nothing else answers beside it.
        min_requests: Fewer answers in a bake prove nothing: the bake is repeated.
        max_latency_ms: Slower answers count as slow.
        error_margin: Share of entities whose first answer may fail above the stable version's.
        slow_margin: Share of entities whose first answer may be slow above the stable version's.
        must_prove: `harm` stops at proven harm and lets a step advance before;
            `non_inferiority` advances only once less harm than the margin is proved.
        prediction_margin: Difference of the mean prediction from the stable version's that is
            harm, either way; of a regression as a share of the range of its label's column.
            Left out, predictions are not compared.
    """

    max_error_rate: Share = 0.02
    min_requests: int = Field(default=10, ge=1)
    max_latency_ms: int = Field(default=1000, ge=1)
    error_margin: float = Field(default=0.02, ge=0, lt=1)
    slow_margin: float = Field(default=0.05, ge=0, lt=1)
    must_prove: Literal["harm", "non_inferiority"] = "harm"
    prediction_margin: Share | None = None


class MetricGoal(Strict):
    """The candidate should improve this metric.

    Attributes:
        smallest_effect: Once the improvement is proved to be less, the experiment is futile;
            left out, it never is.
    """

    smallest_effect: float | None = Field(default=None, gt=0)


class MetricGuardrail(Strict):
    """The candidate must not worsen this metric by more than a margin.

    Attributes:
        margin: Worsening that is tolerated, in the unit of the metric.
        weight: Share of the rollback budget, relative to the other guardrails' weights.
        must_prove: `harm` stops at proven harm; `non_inferiority` advances only once less
            harm than the margin is proved.
    """

    margin: float = Field(default=0.0, ge=0)
    weight: float = Field(default=1.0, gt=0)
    must_prove: Literal["harm", "non_inferiority"] = "harm"

    @model_validator(mode="after")
    def _provable(self) -> Self:
        if self.must_prove == "non_inferiority" and self.margin == 0:
            raise ValueError("margin must be above 0 where non_inferiority is to be proved")
        return self


class ReleaseMetric(Strict):
    """One figure per entity that versions are compared by.

    Attributes:
        name: As in verdicts and reports.
        kind: `binary` (0 or 1 per entity) and `bounded` (within `range`) have exact confidence
            sequences; `mean`, `ratio` (value / denominator) and `adjusted` (CUPED by the
            covariate) asymptotic ones.
        value: Expression over one answered request: `outcome`, `prediction`, `label`,
            `latency_ms`, `failed`, and the features by name.
        aggregate: What an entity's requests within the window give: `binary` needs max or
            first.
        denominator: Expression per request, summed per entity (ratio).
        covariate: Expression over the features of the first request, which are older than the
            exposure (adjusted).
        range: Least and largest value (bounded); beyond them values count as the bound.
        window_s: Attribution window: outcomes observed later than this after the entity's first
            exposure do not count.
        no_outcome: What an entity without outcome in the window is: `zero` or `leave_out`.
        higher_is_better: Direction.
        expected: Expected mean of the stable version, which plans and sequences are tuned to.
        standard_deviation: Expected, of the value per entity (mean, ratio, adjusted).
        theta: Coefficient of the covariate, from data before the experiment (adjusted).
        covariate_mean: Mean of the covariate before the experiment (adjusted).
        goal: The candidate should improve it.
        guardrail: The candidate must not worsen it.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    kind: MetricKind
    value: str = Field(min_length=1, max_length=500)
    aggregate: Literal["first", "max", "mean", "sum"] = "first"
    denominator: str | None = Field(default=None, max_length=500)
    covariate: str | None = Field(default=None, max_length=500)
    range: Bounds | None = None
    window_s: int = Field(default=0, ge=0, le=MAX_DURATION_S)
    no_outcome: Literal["zero", "leave_out"] = "leave_out"
    higher_is_better: bool = True
    expected: float | None = None
    standard_deviation: float | None = Field(default=None, gt=0)
    theta: float = 0.0
    covariate_mean: float = 0.0
    goal: MetricGoal | None = None
    guardrail: MetricGuardrail | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for needed, kind in (("denominator", "ratio"), ("covariate", "adjusted"),
                             ("range", "bounded")):  # fmt: skip
            given = getattr(self, needed) is not None
            if given != (self.kind == kind):
                raise ValueError(f"{needed} belongs to kind {kind}, and that needs it")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("range must ascend")
        if self.kind == "binary" and self.aggregate not in ("first", "max"):
            raise ValueError("a binary metric is aggregated by first or max")
        if self.kind in ("mean", "ratio", "adjusted") and self.standard_deviation is None:
            raise ValueError(f"standard_deviation is needed to plan the kind {self.kind}")
        if self.goal is None and self.guardrail is None:
            raise ValueError("a metric is a goal, a guardrail or both")
        return self

    @property
    def needs_outcome(self) -> bool:
        """Whether it can only be known once an outcome was reported (decided by its window)."""
        return self.window_s > 0


class Linear(Strict):
    """Equal steps.

    Attributes:
        step_percent: Each step adds this share, the last one reaches 100.
    """

    step_percent: int = Field(default=20, ge=1, le=50)


class AbTest(Strict):
    """A test with fixed shares that may be read at any time.

    Attributes:
        share: Percent of entities for the candidate.
        duration_s: Planned end.
        mirrored: Whether the candidate also answers copies of the stable version's requests,
            unseen, so that predictions are compared in pairs (gateway only).
    """

    share: int = Field(default=50, ge=1, le=99)
    duration_s: int = Field(default=14 * 86_400, ge=60, le=MAX_DURATION_S)
    mirrored: bool = False


class Bandit(Strict):
    """Thompson sampling on the first goal, in frozen batches.

    Attributes:
        floor: Least share of every version.
        duration_s: Planned end.
        batch_s: Length of a batch, throughout which shares stay.
    """

    floor: float = Field(default=0.1, ge=0.05, lt=0.5)
    duration_s: int = Field(default=14 * 86_400, ge=60, le=MAX_DURATION_S)
    batch_s: int = Field(default=3600, ge=60)


class Shadow(Strict):
    """Copies of requests are answered unseen by the candidate and compared in pairs.

    Attributes:
        duration_s: How long.
        percent: Share of requests that are mirrored.
        max_difference: Largest mean absolute difference of predictions that may be proved; of a
            regression as a share of the range of its label's column.
    """

    duration_s: int = Field(default=86_400, ge=60, le=MAX_DURATION_S)
    percent: int = Field(default=100, ge=1, le=100)
    max_difference: Share | None = None


class Release(Strict):
    """How traffic moves to an approved version.

    Attributes:
        strategy: `all_at_once`; `canary` and `linear` ramps; `ab_test` and `bandit`
            experiments; `shadow`, which answers nobody and promotes nothing by itself.
        shadow_first: Shadow traffic before the strategy begins.
        steps: Percentages of a canary, ascending to 100.
        bake_s: Time at each step of a ramp before it is judged.
        linear: Steps of a linear ramp.
        ab_test: Shares and duration of a test.
        bandit: Floor and batches of a bandit.
        shadow: Duration of shadow traffic, alone or first.
        metrics: What is compared beside errors, latency and predictions.
        minimum_units: Entities of each version before an experiment may promote.
        tick_s: How often an experiment is looked at; whole minutes.
        cohort_s: Entities first exposed within this time are frozen together.
        lateness_s: How long after its window a cohort waits for captures and outcomes that are
            still on their way.
        max_holds: Times that a step may be prolonged before it is given up.
        previous_retention_s: How long the version before stays warm.
        guardrails: What stops a release at a step.
    """

    strategy: StrategyName = "canary"
    shadow_first: bool = False
    steps: list[int] = Field(default_factory=lambda: [10, 50, 100])
    bake_s: int = Field(default=300, ge=1, le=86_400)
    linear: Linear = Field(default_factory=Linear)
    ab_test: AbTest = Field(default_factory=AbTest)
    bandit: Bandit = Field(default_factory=Bandit)
    shadow: Shadow = Field(default_factory=Shadow)
    metrics: list[ReleaseMetric] = Field(default_factory=list, max_length=20)
    minimum_units: int = Field(default=100, ge=1)
    tick_s: int = Field(default=3600, ge=60, multiple_of=60)
    cohort_s: int = Field(default=3600, ge=1, le=86_400)
    lateness_s: int = Field(default=300, ge=0, le=7 * 86_400)
    max_holds: int = Field(default=3, ge=0, le=100)
    previous_retention_s: int = Field(default=86_400, ge=0)
    guardrails: Guardrails = Field(default_factory=Guardrails)

    @model_validator(mode="after")
    def _ends_at_all(self) -> Self:
        if sorted(set(self.steps)) != self.steps or not self.steps or self.steps[-1] != 100:
            raise ValueError("steps are percentages that ascend and end at 100")
        if self.steps[0] < 1:
            raise ValueError("the first step must be at least 1 percent")
        return self

    @model_validator(mode="after")
    def _metrics_agree(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError("metrics: each name once")
        goals = [metric for metric in self.metrics if metric.goal is not None]
        if self.strategy in ("ab_test", "bandit") and not goals:
            raise ValueError(f"{self.strategy} decides by a goal: give a metric a goal")
        if self.strategy == "bandit" and goals[0].kind != "binary":
            raise ValueError("the first goal of a bandit must be binary")
        if self.strategy == "shadow" and self.shadow_first:
            raise ValueError("shadow_first is for what follows shadow traffic")
        return self

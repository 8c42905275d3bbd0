"""What ``monitoring`` in ``project.yaml`` declares: what is watched, how, and what then happens."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from steward.domain.declaration import (
    MisplacedError,
    Name,
    Strict,
    check_one_margin,
    with_default_margin,
)
from steward.domain.expressions import ExpressionError, parse

Action = Literal["notify", "retrain", "roll_back"]
Metric = Literal["brier", "log_loss", "accuracy", "mae"]
FurtherMetric = Literal["precision", "recall", "f1", "roc_auc"]
Margin = Annotated[float, Field(gt=0, lt=1)]


class Segment(Strict):
    """A part of the traffic that is judged apart.

    Attributes:
        name: Shown in reports.
        where: SQL over features that is true for its rows.
    """

    name: Name
    where: str = Field(min_length=1, max_length=2000)

    @model_validator(mode="after")
    def _parses(self) -> Self:
        try:
            parse(self.where, None)
        except ExpressionError as error:
            raise ValueError(f"where: {error}") from None
        return self


class Labels(Strict):
    """Labels that come after predictions, as outcomes of inference ids.

    Attributes:
        max_delay_s: How long after a prediction its label is waited for.
        minimum: Labelled predictions of a look below which nothing is judged.
        metric: What is compared with the held-out rows, and may raise the alarm; `mae` of a
            regression, and that alone.
        margin: How much worse it may be, in its unit; 0.05 of probabilities by default.
        relative_margin: Instead of it a share of what it is on held-out rows; 0.25 of a
            regression by default.
        further: Further metrics that may raise the alarm, each with its margin: how much of it
            may be lost. All share the probability of a false alarm.
        groups: Columns whose values are compared with one another (bias).
        group_margin: How far a group metric may move from the baseline's.
        group_minimum: Rows of a group below which it is not judged, of each metric's own
            denominator.
    """

    max_delay_s: int = Field(default=86_400, ge=60, le=90 * 86_400)
    minimum: int = Field(default=30, ge=30)
    metric: Metric = "brier"
    margin: float | None = Field(default=None, gt=0)
    relative_margin: float | None = Field(default=None, gt=0, le=10)
    further: dict[FurtherMetric, Margin] = Field(default_factory=dict)
    groups: list[Name] = Field(default_factory=list, max_length=5)
    group_margin: float = Field(default=0.1, gt=0, lt=1)
    group_minimum: int = Field(default=100, ge=30)

    @model_validator(mode="before")
    @classmethod
    def _has_a_margin(cls, declared: object) -> object:
        return with_default_margin(declared, 0.05)

    @model_validator(mode="after")
    def _possible_margin(self) -> Self:
        check_one_margin(self.margin, self.relative_margin, "metric")
        if self.metric != "mae" and self.margin is not None and self.margin >= 1:
            raise MisplacedError(
                "margin", f"{self.metric} cannot get worse by {self.margin:g}", self.margin,
                "a number below 1",
            )  # fmt: skip
        return self

    def margin_of(self, held_out: float) -> float:
        """Return the margin in the metric's unit.

        Args:
            held_out: The metric on held-out rows.
        """
        if self.relative_margin is not None:
            return self.relative_margin * held_out
        assert self.margin is not None
        return self.margin


class Attribution(Strict):
    """Whether a version leans on other features than on held-out rows.

    Rows of the window are explained by asking the version's endpoint about rows that mix them
    with its background; a version that says it is linear is not asked.

    Attributes:
        every: Looks from one that explains to the next.
        rows: Rows of a window that are explained.
        calls: Questions to the endpoint at most, of one look; each is of up to 20,000 rows.
        alpha: Of one window's verdict, and the probability of any false alarm within 336 windows.
        min_effect: Smallest change that may alarm: half the sum of the changes of all weights.
    """

    every: int = Field(default=6, ge=1, le=336)
    rows: int = Field(default=100, ge=50, le=500)
    calls: int = Field(default=60, ge=1, le=1000)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    min_effect: float = Field(default=0.05, ge=0, lt=1)


class Actions(Strict):
    """What follows an alarm; each also tells people.

    Attributes:
        attribution: Of the weights of features.
        drift: Of features or predictions.
        performance: Of labelled predictions.
        bias: Of group metrics.
        no_data: Where traffic is missing.
        candidate: Drift, performance or bias of the version that a release tries.
    """

    attribution: Action = "notify"
    drift: Action = "notify"
    performance: Action = "notify"
    bias: Action = "notify"
    no_data: Literal["notify"] = "notify"
    candidate: Literal["notify", "roll_back"] = "notify"


class Retraining(Strict):
    """When an alarm or a schedule may start a run; a breaker stops what leads to nothing.

    Attributes:
        minimum_new_rows: New rows since the last attempt that a trigger must find.
        debounce_s: How long an alarm must have stood.
        cooldown_s: Rest after the end of an attempt.
        per_day: Starts in any 24 hours.
        budget_usd_per_day: What the runs of any 24 hours may cost; null for no limit.
        breaker_after: Attempts without a promoted version, one after the other, that stop it
            until a person resets it.
        every_s: An ordinary schedule: a run is asked for that often; null for none.
    """

    minimum_new_rows: int = Field(default=1, ge=0)
    debounce_s: int = Field(default=0, ge=0)
    cooldown_s: int = Field(default=3600, ge=0)
    per_day: int = Field(default=2, ge=1, le=24)
    budget_usd_per_day: float | None = Field(default=None, gt=0)
    breaker_after: int = Field(default=2, ge=1)
    every_s: int | None = Field(default=None, ge=3600)


class Monitoring(Strict):
    """What is watched of a version that serves.

    Attributes:
        unit: What one count is: an answer (``event``) or a distinct entity (``entity``), which
            then counts once in each window and each horizon.
        window_s: Length of a window; each is looked at once. The stack looks every hour, at all
            windows that have ended.
        columns: Features and ``prediction`` that are judged; all by default.
        fdr: False discovery rate over the columns of one window.
        alpha: Probability of any false drift alarm within 336 windows.
        min_effect: Smallest effect that may alarm: the larger of |2 AUC - 1| and
            Wasserstein / IQR, or total variation.
        minimum_rows: Rows, or entities, below which nothing is judged.
        seasonality: Cycle of the traffic; shorter windows are compared with those of the same
            place in earlier cycles.
        dispersion: ``learnt`` widens each numeric column's tests by what it usually varies from
            window to window, once 20 windows without a drift alarm are known. It costs power,
            the more so where the training had few rows.
        no_data_after_s: Silence that is an alarm; null for none.
        segments: Parts of the traffic that are judged apart.
        labels: How predictions are judged by their labels.
        attribution: How the weights of features are watched; null for not at all.
        actions: What follows an alarm.
        retraining: Brakes of retraining.
    """

    unit: Literal["entity", "event"] = "entity"
    window_s: int = Field(default=3600, ge=60, le=86_400)
    columns: list[Name] | None = None
    fdr: float = Field(default=0.03, gt=0, lt=0.5)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    min_effect: float = Field(default=0.02, ge=0, lt=1)
    minimum_rows: int = Field(default=50, ge=20)
    seasonality: Literal["none", "day", "week"] = "none"
    dispersion: Literal["none", "learnt"] = "none"
    no_data_after_s: int | None = Field(default=21_600, ge=60)
    segments: list[Segment] = Field(default_factory=list, max_length=20)
    labels: Labels = Field(default_factory=Labels)
    attribution: Attribution | None = None
    actions: Actions = Field(default_factory=Actions)
    retraining: Retraining = Field(default_factory=Retraining)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if 86_400 % self.window_s:
            raise ValueError(f"window_s {self.window_s} must divide a day")
        if self.seasonality != "none" and self.window_s > 43_200:
            raise ValueError("seasonality is for windows that are shorter than its cycle")
        if self.seasonality != "none" and self.unit == "entity":
            raise ValueError("seasonality is for unit event: entities do not recur by the hour")
        if self.seasonality != "none" and self.dispersion == "learnt":
            raise ValueError("dispersion is learnt from windows without a cycle")
        names = [segment.name for segment in self.segments]
        if len(set(names)) < len(names):
            raise ValueError("segments: each name once")
        return self

"""``evaluation.json``: what the evaluation of a candidate found, and how it fared beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.evaluation_results import Evaluation, MetricEstimate


class ChampionEvaluation(BaseModel):
    """The version in production on the same rows.

    ``absent``: no version is in production. ``failed``: there is one, but its code cannot be
    loaded or does not answer these rows; ``stage`` and ``reason`` say where and why, and there
    is nothing to compare with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    status: Literal["absent", "evaluated", "failed"]
    stage: Literal["load", "predict"] | None = None
    reason: str | None = None
    evaluation: Evaluation | None = None


class SimpleForecast(BaseModel):
    """What needs no model, on the same held-out rows: information, which decides nothing.

    ``constant``: the mean of the training labels. ``seasonal_naive``: the newest label that the
    same series had at the same minute of a day that lies one or more whole seasons before, known
    when the row was asked for; else the newest of any minute of such a day; else its newest known
    label; where the series has none, the constant.

    Attributes:
        without_season: Rows that were not answered by a day a season before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: Literal["constant", "seasonal_naive"]
    metrics: list[MetricEstimate]
    without_season: int = 0


class TrainingFigures(BaseModel):
    """What the built-in model's training measured on training rows that it left out.

    Attributes:
        kept: ``linear`` or ``boosting``.
        loss: Name of the loss.
        losses: Mean loss of ``constant``, ``linear`` and ``boosting``.
        reason: Why the model was kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    kept: str
    loss: str
    losses: dict[str, float]
    reason: str


class EvaluationReport(Evaluation):
    """The candidate's evaluation, its champion's, and the rows that both were judged on."""

    schema_version: Literal["1"] = "1"
    project: str
    run_id: str
    heldout_sha256: str = Field(description="SHA-256 of the held-out file")
    feature_means: dict[str, float | None] = Field(
        description="mean of each number or boolean over its non-null held-out values"
    )
    champion: ChampionEvaluation
    simple_forecasts: list[SimpleForecast] = Field(default_factory=list)
    training: TrainingFigures | None = Field(
        default=None, description="of the built-in model; None of a project's own code"
    )

"""``evaluation.json``: what the evaluation of a candidate found, and how it fared beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.evaluation_results import Evaluation


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

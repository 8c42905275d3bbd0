"""What a person needs to know of a candidate: drawn from its evaluation and comparison.

Reads ``evaluation.json`` and ``comparison.json`` as data, since the modules that compute them
need numpy and control functions do without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steward.domain.errors import EvidenceIncompleteError

MAX_SLICES = 20


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class MetricValue(_Read):
    """A held-out metric with its interval."""

    metric: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    undefined_because: str | None = None


class SliceValue(_Read):
    """A slice: of the comparison where there is a champion, else of the evaluation alone.

    Attributes:
        difference: Mean loss of candidate minus champion.
        lower: One-sided lower limit of the difference.
        metric: The first metric of the evaluation on this slice.
    """

    column: str
    value: str
    rows: int
    verdict: Literal["proved_worse", "not_proved_worse", "not_judged"] | None = None
    difference: float | None = None
    lower: float | None = None
    metric: MetricValue | None = None


class ComparisonValue(_Read):
    """Candidate against champion on the same rows."""

    verdict: Literal["pass", "worse", "inconclusive"]
    rows: int
    candidate_loss: float
    champion_loss: float
    difference: float
    lower: float
    upper: float
    superior: bool = False
    loss: str
    margin: float
    confidence: float


class ModelSummary(_Read):
    """The numbers of a candidate, ready to be told.

    Attributes:
        champion_failure: Why the version in production could not be compared with, if so.
        slices_left_out: How many slices ``slices`` leaves out.
    """

    rows: int
    confidence: float
    metrics: list[MetricValue]
    champion_version: int | None = None
    champion_metrics: list[MetricValue] = Field(default_factory=list)
    champion_failure: str | None = None
    comparison: ComparisonValue | None = None
    slices: list[SliceValue] = Field(default_factory=list)
    slices_left_out: int = 0


class _ReadSlice(_Read):
    column: str
    value: str
    rows: int
    judged: bool = True
    metrics: list[MetricValue] = Field(default_factory=list)


class _ReadEvaluation(_Read):
    rows: int
    confidence: float
    metrics: list[MetricValue]
    slices: list[_ReadSlice] = Field(default_factory=list)


class _ReadChampion(_Read):
    evaluation: _ReadEvaluation | None = None


class _ReadReport(_ReadEvaluation):
    champion: _ReadChampion = _ReadChampion()


class _ReadSettings(_Read):
    loss: str
    margin: float
    confidence: float


class _ReadOutcome(_Read):
    status: Literal["compared", "no_champion", "champion_failed"]
    champion_failure: str | None = None


class _ReadComparison(_Read):
    verdict: Literal["pass", "worse", "inconclusive"]
    rows: int
    candidate_loss: float
    champion_loss: float
    difference: float
    lower: float
    upper: float
    margin: float | None = None
    superior: bool = False
    slices: list[SliceValue] = Field(default_factory=list)
    settings: _ReadSettings


def summarize(
    evaluation: Mapping[str, Any],
    comparison: Mapping[str, Any] | None,
    champion_version: int | None,
) -> ModelSummary:
    """Return the summary of a candidate; of many slices the worst and largest are kept.

    Args:
        evaluation: Content of ``evaluation.json``.
        comparison: Content of ``comparison.json``; its status tells whether there was one.
        champion_version: The version in production at the time.

    Raises:
        EvidenceIncompleteError: A document lacks what its contract promises.
    """
    try:
        report = _ReadReport.model_validate(evaluation)
        outcome = None if comparison is None else _ReadOutcome.model_validate(comparison)
        found = None
        if outcome is not None and outcome.status == "compared":
            found = _ReadComparison.model_validate(comparison)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        raise EvidenceIncompleteError(
            f"evaluation or comparison cannot be read: {first['loc']}: {first['msg']}",
            field=".".join(map(str, first["loc"])), allowed=first["msg"],
        ) from None  # fmt: skip
    slices = found.slices if found else [_alone(part) for part in report.slices]
    slices = sorted(slices, key=_weight)
    beside = report.champion.evaluation
    return ModelSummary(
        rows=report.rows,
        confidence=report.confidence,
        metrics=report.metrics,
        champion_version=champion_version,
        champion_metrics=beside.metrics if beside else [],
        champion_failure=outcome.champion_failure if outcome else None,
        comparison=_flat(found) if found else None,
        slices=slices[:MAX_SLICES],
        slices_left_out=max(0, len(slices) - MAX_SLICES),
    )


def _flat(found: _ReadComparison) -> ComparisonValue:
    values = found.settings.model_dump() | found.model_dump(
        exclude={"slices", "settings"}, exclude_none=True
    )
    return ComparisonValue.model_validate(values)


def _alone(part: _ReadSlice) -> SliceValue:
    return SliceValue(
        column=part.column,
        value=part.value,
        rows=part.rows,
        verdict=None if part.judged else "not_judged",
        metric=part.metrics[0] if part.metrics else None,
    )


def _weight(found: SliceValue) -> tuple[bool, float, str, str]:
    worse = found.difference if found.difference is not None else 0.0
    return (found.verdict == "not_judged", -worse, found.column, found.value)

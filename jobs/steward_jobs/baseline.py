"""The baseline of a version: what monitoring compares its traffic with.

Features come from the rows that trained it, everything about predictions from held-out rows, which
the model never saw: in-sample predictions would alarm in most windows of a boosted model.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from steward.domain.evaluation_results import LOWER_IS_BETTER
from steward.domain.monitoring.baseline import (
    AttributionBaseline,
    Baseline,
    CalibrationBin,
    MetricBaseline,
    column_baseline,
)
from steward.domain.monitoring.sampled_rows import LIMIT, SampledRows, sampled_rows
from steward_jobs.container import JobError
from steward_jobs.job_config import Feature, InvalidRowError, JobConfig, read_csv

if TYPE_CHECKING:
    from steward.domain.evaluation_results import Evaluation
    from steward.domain.monitoring.binning import Column
    from steward.domain.monitoring.counts import ColumnBaseline
    from steward.domain.predictions import Floats
    from steward_jobs.heldout import Heldout

PREDICTION = "prediction"
"""Name of the answer among the captured columns: a probability, or a number."""

SEED = 20

_CALIBRATION_BINS = 10


class _Gathered:
    """One feature of the training rows: numbers as doubles, all else counted by value."""

    def __init__(self, feature: Feature) -> None:
        self._is_number = feature.type in ("float", "integer")
        self._numbers = array("d")
        self._levels: Counter[str | None] = Counter()

    def add(self, value: object) -> None:
        if self._is_number:
            self._numbers.append(float("nan") if value is None else float(value))  # type: ignore[arg-type]
        elif isinstance(value, bool):
            self._levels[str(value).lower()] += 1
        else:
            self._levels[None if value is None else str(value)] += 1

    def numbers_at(self, rows: Sequence[int]) -> list[float] | None:
        """Return the numbers of some rows, None where this is no number."""
        return [self._numbers[row] for row in rows] if self._is_number else None

    def column(self) -> Column:
        if not self._is_number:
            return self._levels
        numbers = np.frombuffer(self._numbers, np.float64) if self._numbers else np.empty(0)
        # The rules of a feature let no NaN pass: what is one here was empty.
        return np.ma.masked_invalid(numbers)  # type: ignore[no-untyped-call, no-any-return]


@dataclass(frozen=True)
class Trained:
    """What the training rows are.

    Attributes:
        rows: Those that count.
        features: Baselines.
        sample: Some of them, None without two numeric features.
    """

    rows: int
    features: tuple[ColumnBaseline, ...]
    sample: SampledRows | None


def trained_on(path: Path, job: JobConfig) -> Trained:
    """Return what the rows of the training file are.

    Where the unit is an entity, its first row counts.

    Raises:
        JobError: The file is missing, empty, lacks a column, or holds a value that the
            configuration does not allow.
    """
    gathered = {feature.name: _Gathered(feature) for feature in job.features}
    seen: set[str] = set()
    rows = 0
    for row, cells in read_csv(path):
        try:
            entity = cells[job.entity_id]
            values = [
                (feature.name, feature.parse(cells[feature.name], row)) for feature in job.features
            ]
        except KeyError as error:
            raise JobError(f"{path.name} has no column {error}") from error
        except InvalidRowError as error:
            raise JobError(f"{path.name}: {error}") from error
        if job.unit == "entity":
            if entity in seen:
                continue
            seen.add(entity)
        rows += 1
        for name, value in values:
            gathered[name].add(value)
    if not rows:
        raise JobError(f"{path.name} holds no rows: nothing to compare traffic with")
    features = tuple(column_baseline(name, found.column()) for name, found in gathered.items())
    return Trained(rows, features, _sample(gathered, rows))


def _sample(gathered: dict[str, _Gathered], rows: int) -> SampledRows | None:
    """Return at most 500 rows of the numeric features, those that a fixed seed draws."""
    drawn = np.random.default_rng(SEED).permutation(rows)[:LIMIT]
    places = np.sort(drawn).tolist()
    held = {name: found.numbers_at(places) for name, found in gathered.items()}
    numbers = {name: values for name, values in held.items() if values is not None}
    if len(numbers) < 2:
        return None
    return sampled_rows(list(numbers), np.column_stack(list(numbers.values())))


def baseline_of(
    job: JobConfig,
    train: Path,
    heldout: Heldout,
    answers: Floats,
    evaluation: Evaluation,
    attribution: AttributionBaseline | None,
) -> Baseline:
    """Return the baseline of the version that the job evaluated.

    Args:
        job: The run's configuration.
        train: Rows that trained it.
        heldout: Rows that it never saw.
        answers: Its answers to those.
        evaluation: Its metrics on those.
        attribution: What each feature does to its answers there.

    Raises:
        JobError: The training rows cannot be used.
    """
    trained = trained_on(train, job)
    binary = job.task == "binary"
    labels = np.array(heldout.labels)
    chosen = _counted(heldout.entities, job.unit)
    return Baseline(
        project=job.project,
        unit=job.unit,
        rows=trained.rows,
        features=trained.features,
        sample=trained.sample,
        held_out_rows=len(chosen),
        predictions=(column_baseline(PREDICTION, answers[chosen]),),
        label=column_baseline(job.label, labels[chosen] > 0 if binary else labels[chosen]),
        performance=_performance(evaluation),
        calibration=_calibration(labels, answers) if binary else (),
        attribution=attribution,
    )


def _counted(entities: Sequence[str], unit: str) -> list[int]:
    """Return the rows that count: all, or the first of each entity."""
    if unit == "event":
        return list(range(len(entities)))
    first: dict[str, int] = {}
    for row, entity in enumerate(entities):
        first.setdefault(entity, row)
    return list(first.values())


def _performance(evaluation: Evaluation) -> dict[str, MetricBaseline]:
    """Return each metric with the standard error that its bootstrap interval over entities has."""
    z = NormalDist().inv_cdf(0.5 + evaluation.confidence / 2)
    found = {}
    for estimate in evaluation.metrics:
        if estimate.value is None or estimate.lower is None or estimate.upper is None:
            continue
        found[estimate.metric] = MetricBaseline(
            estimate=estimate.value,
            standard_error=(estimate.upper - estimate.lower) / (2 * z),
            rows=evaluation.rows,
            higher_is_better=estimate.metric not in LOWER_IS_BETTER,
        )
    return {str(name): baseline for name, baseline in found.items()}


def _calibration(labels: Floats, probabilities: Floats) -> tuple[CalibrationBin, ...]:
    """Return reliability in bins of about equally many rows, ``(lower, upper]`` from 0 to 1."""
    shares = np.arange(1, _CALIBRATION_BINS) / _CALIBRATION_BINS
    inner = np.unique(np.quantile(probabilities, shares, method="inverted_cdf"))
    edges = [0.0, *(float(edge) for edge in inner if 0 < edge < 1), 1.0]
    index = np.searchsorted(edges[1:-1], probabilities, side="left")
    return tuple(
        CalibrationBin(
            lower=edges[number],
            upper=edges[number + 1],
            rows=int((index == number).sum()),
            predicted=float(np.sort(probabilities[index == number]).sum()),
            positives=int(labels[index == number].sum()),
        )
        for number in range(len(edges) - 1)
    )


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write the baseline as JSON: the same baseline, the same bytes."""
    document: dict[str, Any] = baseline.model_dump(mode="json")
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")

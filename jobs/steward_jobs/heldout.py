"""The held-out rows as the evaluation reads them: one pass, one row in memory at a time."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from datetime import date
from math import fsum
from pathlib import Path
from sys import intern
from typing import Any

from steward.domain.slices import slice_of
from steward_jobs.container import JobError
from steward_jobs.job_config import InvalidRowError, JobConfig, read_csv

_PARTIAL_ROWS = 4096


@dataclass(frozen=True)
class Heldout:
    """What is kept of the held-out rows.

    Attributes:
        entities: Entity id of each row.
        labels: 1 for the positive label, else 0; the number that a regression predicts.
        slices: For each slice column the slice of each row.
        feature_means: Mean of each numeric or boolean feature over its non-null values.
        sha256: Digest of the file.
        asked_on: Of a split by time the day on which each row was asked for, UTC.
        known_on: And the day on which its label was known.
    """

    entities: list[str]
    labels: array[float]
    slices: dict[str, list[str]]
    feature_means: dict[str, float | None]
    sha256: str
    asked_on: list[date] | None = None
    known_on: list[date] | None = None


def read_heldout(path: Path, job: JobConfig) -> Heldout:
    """Read and check the held-out rows.

    Raises:
        JobError: The file is missing, empty, lacks a column, or holds a value that the
            configuration does not allow.
    """
    edges: dict[str, Any] = {
        part["column"]: part.get("edges") for part in job.evaluation.get("slices", [])
    }
    features = {feature.name: feature for feature in job.features}
    entities: list[str] = []
    labels = array("d")
    slices: dict[str, list[str]] = {column: [] for column in edges}
    times = {name: list[date]() for name in _times(job)}
    means = {name: _Mean() for name, feature in features.items() if feature.type != "string"}
    for row, cells in read_csv(path):
        try:
            entities.append(cells[job.entity_id])
            labels.append(job.target_of(cells[job.label], row))
            values = {name: feature.parse(cells[name], row) for name, feature in features.items()}
            for name, days in times.items():
                days.append(date.fromisoformat(cells[name][:10]))
            for column, bounds in edges.items():
                value = values[column] if column in values else cells[column]
                slices[column].append(intern(slice_of(value, bounds)))
        except KeyError as error:
            raise JobError(f"{path.name} has no column {error}") from error
        except (InvalidRowError, ValueError) as error:
            raise JobError(f"{path.name}: {error}") from error
        for name, mean in means.items():
            number = values[name]
            if isinstance(number, int | float):
                mean.add(number)
    if not entities:
        raise JobError(f"{path.name} holds no rows: nothing to judge the candidate by")
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Heldout(
        entities, labels, slices, {n: mean.value for n, mean in means.items()}, sha256,
        *times.values(),
    )  # fmt: skip


def _times(job: JobConfig) -> list[str]:
    """Return the columns of a split by time that say when a row was asked for and known."""
    if not job.split_by_time or job.prediction_time is None or job.label_known_at is None:
        return []
    return [job.prediction_time, job.label_known_at]


class _Mean:
    """A mean whose rounding does not grow with the number of rows: exact sums of chunks."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._recent = array("d")

    def add(self, number: float) -> None:
        self._count += 1
        self._recent.append(number)
        if len(self._recent) == _PARTIAL_ROWS:
            self._fold()

    @property
    def value(self) -> float | None:
        self._fold()
        return self._sum / self._count if self._count else None

    def _fold(self) -> None:
        self._sum = fsum((self._sum, *self._recent))
        self._recent = array("d")

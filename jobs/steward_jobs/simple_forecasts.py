"""What needs no model: the mean of the training labels, and the value of a season before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from steward_jobs.container import JobError
from steward_jobs.job_config import InvalidRowError, JobConfig, read_csv

if TYPE_CHECKING:
    from steward.domain.predictions import Floats


KeyT = TypeVar("KeyT")


@dataclass(frozen=True)
class Simple:
    """Answers for the held-out rows, in their order.

    Attributes:
        without_season: Rows that no day a whole number of seasons before answered.
    """

    name: Literal["constant", "seasonal_naive"]
    answers: Floats
    without_season: int = 0


@dataclass(frozen=True)
class _Known:
    """A training label and when it was asked for."""

    asked: datetime
    label: float


def forecasts_of(job: JobConfig, train: Path, heldout: Path) -> list[Simple]:
    """Return the constant and, where a season is declared, the seasonal-naive forecast.

    Every training label was known before the first held-out row was asked for, as a split by time
    makes sure, so neither forecast knows more than the model.

    Raises:
        JobError: A file lacks a column or holds a value that the configuration does not allow.
    """
    import numpy as np

    season = job.evaluation.get("season_days")
    labels: list[float] = []
    series: dict[str, _Known] = {}
    phases: dict[tuple[str, int], _Known] = {}
    for row, cells in read_csv(train):
        entity, asked, label = _read(job, train, row, cells, timed=season is not None)
        labels.append(label)
        if season is not None and asked is not None:
            known = _Known(asked, label)
            _newer(series, entity, known)
            _newer(phases, (entity, asked.toordinal() % season), known)
    if not labels:
        return []
    mean = fsum(labels) / len(labels)
    answers: list[float] = []
    missing = rows = 0
    for row, cells in read_csv(heldout):
        rows += 1
        if season is None:
            continue
        entity, asked, _ = _read(job, heldout, row, cells, timed=True)
        found = phases.get((entity, asked.toordinal() % season)) if asked is not None else None
        if found is None:
            missing += 1
            found = series.get(entity)
        answers.append(mean if found is None else found.label)
    constant = Simple("constant", np.full(rows, mean))
    if season is None:
        return [constant]
    return [constant, Simple("seasonal_naive", np.array(answers, np.float64), missing)]


def _newer(kept: dict[KeyT, _Known], key: KeyT, known: _Known) -> None:
    before = kept.get(key)
    if before is None or before.asked <= known.asked:
        kept[key] = known


def _read(
    job: JobConfig, path: Path, row: int, cells: dict[str, str], *, timed: bool
) -> tuple[str, datetime | None, float]:
    try:
        label = float(job.target_of(cells[job.label], row))
        asked = cells[job.prediction_time] if timed and job.prediction_time else ""
        return cells[job.entity_id], datetime.fromisoformat(asked) if asked else None, label
    except KeyError as error:
        raise JobError(f"{path.name} has no column {error}") from error
    except (InvalidRowError, ValueError) as error:
        raise JobError(f"{path.name}: {error}") from error

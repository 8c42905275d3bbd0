"""What needs no model: the mean of the training labels, and the value of a season before."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steward_jobs.container import JobError
from steward_jobs.job_config import InvalidRowError, JobConfig, read_csv

if TYPE_CHECKING:
    from steward.domain.predictions import Floats

_NEVER = datetime.min.replace(tzinfo=UTC)
_Key = tuple[str, int | None, int | None]
"""Series, day of the season and minute of the day; None where any will do."""


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
    """A label, when it was asked for and when it was known, where that is told."""

    asked: datetime
    label: float
    known: datetime | None = None


def forecasts_of(job: JobConfig, train: Path, heldout: Path) -> list[Simple]:
    """Return the constant and, where a season is declared, the seasonal-naive forecast.

    Neither knows more than the model had to go by. Every training label was known before the
    first held-out row was asked for, as a split by time makes sure; of the held-out labels the
    seasonal-naive forecast takes those that were known when its row was asked for, since lag
    features have those too.

    Raises:
        JobError: A file lacks a column or holds a value that the configuration does not allow.
    """
    import numpy as np

    season = job.evaluation.get("season_days")
    labels: list[float] = []
    past = _Past(season or 1)
    for row, cells in read_csv(train):
        entity, known = _read(job, train, row, cells, timed=season is not None)
        labels.append(known.label)
        if season is not None:
            past.train(entity, known)
    if not labels:
        return []
    mean = fsum(labels) / len(labels)
    if season is None:
        return [Simple("constant", np.full(sum(1 for _ in read_csv(heldout)), mean))]
    asked = [_read(job, heldout, row, cells, timed=True) for row, cells in read_csv(heldout)]
    for entity, known in asked:
        past.judge(entity, known)
    found = [past.before(entity, known.asked) for entity, known in asked]
    answers = np.array([mean if one is None else one[0] for one in found], np.float64)
    missing = sum(one is None or not one[1] for one in found)
    constant = Simple("constant", np.full(len(asked), mean))
    return [constant, Simple("seasonal_naive", answers, missing)]


class _Past:
    """What each series was known to be: the newest training labels by phase, all that judge.

    A season before is a day that lies a whole number of seasons, one or more, before the row's
    own; of such days the labels of the same minute come first, then those of any.
    """

    def __init__(self, season: int) -> None:
        self._season = season
        self._newest: dict[_Key, dict[int, _Known]] = {}
        self._judging: dict[_Key, list[_Known]] = {}
        self._sorted: set[_Key] = set()

    def train(self, entity: str, known: _Known) -> None:
        """Take a label that was known before the first held-out row was asked for.

        The newest of each of the two latest days stay: on the border's own day both train and
        judge, and what lies a season before is the older of the two then.
        """
        day = known.asked.toordinal()
        for key in self._keys(entity, known.asked):
            newest = self._newest.setdefault(key, {})
            before = newest.get(day)
            if before is None or before.asked <= known.asked:
                newest[day] = known
            if len(newest) > 2:
                del newest[min(newest)]

    def judge(self, entity: str, known: _Known) -> None:
        """Take the label of a held-out row, for rows that were asked for after it was known."""
        if known.known is not None:
            for key in self._keys(entity, known.asked):
                self._judging.setdefault(key, []).append(known)

    def before(self, entity: str, asked: datetime) -> tuple[float, bool] | None:
        """Return the value of a season before, or else the newest, and whether it is of a season.

        None of a series of which nothing was known.
        """
        for key in self._keys(entity, asked):
            found = self._at(key, asked)
            if found is not None:
                return found.label, key[1] is not None
        return None

    def _at(self, key: _Key, asked: datetime) -> _Known | None:
        judging = self._judging.get(key, [])
        if key not in self._sorted:
            judging.sort(key=lambda one: one.asked)
            self._sorted.add(key)
        last = asked.toordinal() - (self._season if key[1] is not None else 0)
        if key[1] is None:
            place = bisect_left(judging, asked, key=lambda one: one.asked)
        else:
            place = bisect_right(judging, last, key=lambda one: one.asked.toordinal())
        while place:
            place -= 1
            known = judging[place].known
            if known is not None and known <= asked:
                return judging[place]
        newest = self._newest.get(key, {})
        day = max((day for day in newest if day <= last), default=None)
        return None if day is None else newest[day]

    def _keys(self, entity: str, asked: datetime) -> tuple[_Key, _Key, _Key]:
        phase = asked.toordinal() % self._season
        return (
            (entity, phase, asked.hour * 60 + asked.minute),
            (entity, phase, None),
            (entity, None, None),
        )


def _read(
    job: JobConfig, path: Path, row: int, cells: dict[str, str], *, timed: bool
) -> tuple[str, _Known]:
    try:
        label = float(job.target_of(cells[job.label], row))
        asked = cells[job.prediction_time] if timed and job.prediction_time else ""
        known = cells[job.label_known_at] if timed and job.label_known_at else ""
        return cells[job.entity_id], _Known(
            datetime.fromisoformat(asked) if asked else _NEVER,
            label,
            datetime.fromisoformat(known) if known else None,
        )
    except KeyError as error:
        raise JobError(f"{path.name} has no column {error}") from error
    except (InvalidRowError, ValueError) as error:
        raise JobError(f"{path.name}: {error}") from error

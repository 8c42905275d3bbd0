"""``bias.json``: protected attributes of training and held-out rows, and what is concluded.

Protected attributes that are no feature are read here and nowhere else.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steward.domain.bias.assessment import BiasRows, Origin, Predicted, assess
from steward.domain.bias.declaration import Bias, Cut
from steward.domain.errors import RejectedError
from steward_jobs.container import JobError
from steward_jobs.job_config import Feature, InvalidRowError, JobConfig, Value, read_csv

if TYPE_CHECKING:
    from steward.domain.bias.evidence import BiasEvidence
    from steward.domain.predictions import Floats
    from steward_jobs.heldout import Heldout


@dataclass
class _Read:
    """Columns of one file, of the rows that count.

    Attributes:
        places: Index in the file of each row that counts.
        stray: A label value that is neither favourable nor the positive one, if any.
        targets: Labels of a regression.
    """

    places: list[int] = field(default_factory=list)
    favourable: list[bool] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    columns: dict[str, list[Value]] = field(default_factory=dict)
    numbers: dict[str, array[float]] = field(default_factory=dict)
    stray: str | None = None
    targets: array[float] | None = None

    @property
    def rows(self) -> BiasRows:
        numbers = None if self.targets is None else np.frombuffer(self.targets, np.float64)
        return BiasRows(np.array(self.favourable, np.bool_), self.labels, self.columns, numbers)


def bias_of(job: JobConfig, train: Path, heldout: Path, read: Heldout, answers: Floats) -> str:
    """Return the content of ``bias.json``.

    Args:
        job: The run's configuration, which declares ``bias``.
        train: Rows that trained the model.
        heldout: Rows that it never saw.
        read: What the evaluation read of those.
        answers: Probability of the positive label of each held-out row, or its number.

    Raises:
        JobError: A column is missing, or a value is not of its type.
    """
    return evidence_of(job, train, heldout, read.sha256, answers).model_dump_json(indent=1)


def evidence_of(
    job: JobConfig, train: Path, heldout: Path, sha256: str, answers: Floats
) -> BiasEvidence:
    """Return the evidence itself; see :func:`bias_of`."""
    if job.bias is None:
        raise JobError("the configuration declares no bias")
    declared = Bias.model_validate(job.bias.declared)
    cut = declared.favourable.cut
    if (cut is None) is not (job.task == "binary"):
        raise JobError(f"bias.favourable is not of a {job.task} model")
    told = _favourable(job, declared)
    trained = _read(job, job.bias.types, told, train, features=False)
    held = _read(job, job.bias.types, told, heldout, features=True)
    probabilities = answers[held.places]
    if cut is not None:
        selected = np.array([cut.favours(answer) for answer in probabilities.tolist()], np.bool_)
    else:
        selected = probabilities >= declared.favourable.threshold
        if job.positive not in told.labels:
            probabilities, selected = 1 - probabilities, ~selected
    predicted = Predicted(
        probabilities, selected,
        {name: np.frombuffer(numbers, np.float64) for name, numbers in held.numbers.items()},
        held.stray,
    )  # fmt: skip
    origin = Origin(job.project, job.run_id, sha256, job.unit, told.labels)
    try:
        return assess(declared, trained.rows, held.rows, predicted, origin)
    except RejectedError as error:
        raise JobError(f"bias cannot be judged: {error}") from error


@dataclass(frozen=True)
class _Favours:
    """Which labels are favourable.

    Attributes:
        labels: As evidence names them.
        wanted: The job with each of these as its positive label.
        cut: Of a regression.
    """

    labels: list[bool | int | float | str]
    wanted: list[JobConfig]
    cut: Cut | None = None

    def holds(self, text: str, target: float, row: int) -> bool:
        if self.cut is not None:
            return self.cut.favours(target)
        return any(one.is_positive(text, row) for one in self.wanted)


def _favourable(job: JobConfig, declared: Bias) -> _Favours:
    cut = declared.favourable.cut
    if cut is not None:
        return _Favours([str(cut)], [], cut)
    assert job.positive is not None
    labels = declared.favourable.labels or [job.positive]
    return _Favours(labels, [replace(job, positive=value) for value in labels])


def _read(
    job: JobConfig, types: Mapping[str, str], told: _Favours, path: Path, *, features: bool
) -> _Read:
    numbers = told.cut is not None
    columns = {name: Feature(name, type_, nullable=True) for name, type_ in types.items()}
    plain = [one for one in job.features if one.type != "string"] if features else []
    found = _Read(
        columns={name: [] for name in columns},
        numbers={one.name: array("d") for one in plain},
        targets=array("d") if numbers else None,
    )
    seen: set[str] = set()
    for row, cells in read_csv(path):
        try:
            entity, label = cells[job.entity_id], cells[job.label]
            if job.unit == "entity" and entity in seen:
                continue
            seen.add(entity)
            target = job.target_of(label, row) if numbers else 0.0
            favourable = told.holds(label, target, row)
            for name, column in columns.items():
                found.columns[name].append(column.parse(cells[name], row))
            for one in plain:
                value = one.parse(cells[one.name], row)
                missing = value is None or isinstance(value, str)
                found.numbers[one.name].append(float("nan") if missing else float(value))  # type: ignore[arg-type]
        except KeyError as error:
            raise JobError(f"{path.name} has no column {error}") from error
        except InvalidRowError as error:
            raise JobError(f"{path.name}: {error}") from error
        found.places.append(row)
        found.favourable.append(favourable)
        if found.targets is not None:
            found.targets.append(target)
            found.labels.append("favourable" if favourable else "other")
            continue
        found.labels.append(label)
        if not favourable and job.positive not in told.labels and not job.is_positive(label, row):
            found.stray = found.stray or label
    if not found.places:
        raise JobError(f"{path.name} holds no rows: nothing to compare")
    return found

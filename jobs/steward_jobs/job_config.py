"""``job.json``: what a run tells its jobs.

Kept free of third-party imports: every endpoint process reads it while somebody waits.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steward.domain.request_rules import (
    BOOLEANS,
    NUMBER,
    TYPE_NAMES,
    Feature,
    InvalidRowError,
    Value,
    shown,
)
from steward_jobs.container import JobError

Task = Literal["binary", "regression"]

__all__ = [
    "BiasConfig", "Feature", "InvalidRowError", "JobConfig", "Task", "Value", "read_csv",
    "read_job_config",
]  # fmt: skip


@dataclass(frozen=True)
class BiasConfig:
    """What ``job.json`` has of ``bias``.

    Attributes:
        declared: The section of ``project.yaml``.
        types: Type of each protected attribute and of the strata.
        withheld: Columns that the model must not see.
    """

    declared: Mapping[str, Any]
    types: Mapping[str, str]
    withheld: tuple[str, ...]


@dataclass(frozen=True)
class JobConfig:
    """``job.json`` as far as the jobs need it.

    Attributes:
        unit: What one count of the baseline is: a row (``event``) or a distinct entity.
        bias: Who is compared with whom, None where nobody is.
        task: ``binary`` models answer a probability, ``regression`` models a number.
        positive: None of a regression.
        prediction_time: Column that says when a prediction was asked for, where there is one.
        label_known_at: Of a split by time the column that says when the label was known.
        split_by_time: Whether later rows judge.
    """

    project: str
    run_id: str
    entity_id: str
    label: str
    positive: Value
    features: tuple[Feature, ...]
    evaluation: Mapping[str, Any]
    unit: Literal["entity", "event"] = "entity"
    bias: BiasConfig | None = None
    task: Task = "binary"
    prediction_time: str | None = None
    label_known_at: str | None = None
    split_by_time: bool = False

    def target_of(self, text: str, row: int) -> float:
        """Return what the label cell of a row says: 1 or 0, or the number of a regression.

        Raises:
            JobError: The cell is empty or not of the label's type.
        """
        if self.task == "binary":
            return float(self.is_positive(text, row))
        if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise JobError(f"row {row}: label {self.label} is {text!r}, not a finite number")
        return float(text)

    def is_positive(self, text: str, row: int) -> bool:
        """Return whether the label cell of a row is the positive label.

        Raises:
            JobError: The cell is empty or not of the positive label's type.
        """
        if isinstance(self.positive, bool) and text.lower() in BOOLEANS:
            return BOOLEANS[text.lower()] is self.positive
        if isinstance(self.positive, str) and text:
            return text == self.positive
        numeric = isinstance(self.positive, int | float) and not isinstance(self.positive, bool)
        if numeric and NUMBER.fullmatch(text):
            return float(text) == self.positive
        raise JobError(
            f"row {row}: label {self.label} is {text!r}, not of the type of {self.positive!r}"
        )

    def label_of(self, probability: float) -> Value:
        """Return the predicted label: the positive one from a probability of 0.5 on.

        The other label is 0 or false where the positive one is a number or true; where it is a
        string nothing says what the other is called, and null is answered.
        """
        if probability >= 0.5:
            return self.positive
        if isinstance(self.positive, bool):
            return not self.positive
        return 0 if isinstance(self.positive, int | float) and self.positive != 0 else None

    def check_row(self, given: object, row: int) -> dict[str, Value]:
        """Return a JSON row in feature order.

        Raises:
            InvalidRowError: A field is unknown, missing or not allowed.
        """
        names = ", ".join(feature.name for feature in self.features)
        if not isinstance(given, dict):
            raise InvalidRowError(
                f"row {row} must be an object with the fields {names}",
                row=row, field=None, value=given, allowed=f"an object with the fields {names}",
            )  # fmt: skip
        for name in given:
            if all(feature.name != name for feature in self.features):
                raise InvalidRowError(
                    f"row {row}: unknown field {shown(name)!r}; the fields are {names}",
                    row=row, field=str(name)[:100], value=given[name], allowed=names,
                )  # fmt: skip
        for feature in self.features:
            if feature.name not in given:
                raise InvalidRowError(
                    f"row {row}: field {feature.name} is missing; it must be {feature.rule}",
                    row=row, field=feature.name, value=None, allowed=feature.rule,
                )  # fmt: skip
        return {feature.name: feature.check(given[feature.name], row) for feature in self.features}

    def parse_row(self, cells: Sequence[str], row: int) -> dict[str, Value]:
        """Return a CSV row, its cells in feature order.

        Raises:
            InvalidRowError: There are too many or too few cells, or one is not allowed.
        """
        if len(cells) != len(self.features):
            names = ", ".join(feature.name for feature in self.features)
            raise InvalidRowError(
                f"row {row} has {len(cells)} cells, not {len(self.features)}: {names}",
                row=row, field=None, value=",".join(cells), allowed=names,
            )  # fmt: skip
        pairs = zip(self.features, cells, strict=True)
        return {feature.name: feature.parse(cell, row) for feature, cell in pairs}


def read_job_config(path: Path) -> JobConfig:
    """Read ``job.json``.

    Raises:
        JobError: The file is missing or has not the agreed shape.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        task = _task(document["label"])
        return JobConfig(
            project=document["project"],
            run_id=document["run_id"],
            entity_id=document["entity_id"],
            label=document["label"]["name"],
            positive=document["label"]["positive"] if task == "binary" else None,
            features=tuple(_feature(feature) for feature in document["features"]),
            evaluation=document["evaluation"],
            unit=_unit(document),
            bias=_bias(document),
            task=task,
            prediction_time=document.get("prediction_time"),
            label_known_at=document.get("label_known_at"),
            split_by_time=document.get("split_by") == "time",
        )
    except FileNotFoundError:
        raise JobError(f"{path.name} is missing in {path.parent}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{path.name} has not the agreed shape: {error!r}") from error


def _task(label: Mapping[str, Any]) -> Task:
    task = label.get("task", "binary")
    known: tuple[Task, ...] = ("binary", "regression")
    for name in known:
        if task == name:
            return name
    raise ValueError(f"label.task {task!r} is not one of {', '.join(known)}")


def _unit(document: Mapping[str, Any]) -> Literal["entity", "event"]:
    unit = document.get("monitoring", {}).get("unit", "entity")
    known: tuple[Literal["entity"], Literal["event"]] = ("entity", "event")
    for name in known:
        if unit == name:
            return name
    raise ValueError(f"monitoring.unit {unit!r} is not one of {', '.join(known)}")


def _bias(document: Mapping[str, Any]) -> BiasConfig | None:
    given = document.get("bias")
    if given is None:
        return None
    types = dict(given["types"])
    for name, type_ in types.items():
        if type_ not in TYPE_NAMES:
            raise ValueError(f"bias: {name} has type {type_!r}, not {', '.join(TYPE_NAMES)}")
    return BiasConfig(given["declared"], types, tuple(given["withheld"]))


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the index and the cells of each row of a CSV file with a header.

    Raises:
        JobError: The file is missing or a row has not as many cells as the header.
    """
    try:
        stream = path.open(encoding="utf-8", newline="")
    except FileNotFoundError:
        raise JobError(f"{path.name} is missing in {path.parent}") from None
    with stream:
        rows = csv.reader(stream, strict=True)
        header = next(rows, [])
        for row, cells in enumerate(rows):
            if len(cells) != len(header):
                raise JobError(f"{path.name} row {row}: {len(cells)} cells, header {len(header)}")
            yield row, dict(zip(header, cells, strict=True))


def _feature(document: Mapping[str, Any]) -> Feature:
    if document["type"] not in TYPE_NAMES:
        raise ValueError(f"type {document['type']!r} is not one of {', '.join(TYPE_NAMES)}")
    allowed = document.get("allowed")
    return Feature(
        name=document["name"],
        type=document["type"],
        nullable=bool(document.get("nullable", False)),
        min=document.get("min"),
        max=document.get("max"),
        allowed=None if allowed is None else tuple(allowed),
        pattern=document.get("pattern"),
    )

"""``predictions.csv``: what each version answered on each held-out row, with labels and slices.

Columns: ``entity_id``, ``label`` (0 or 1, or the number of a regression), ``p_candidate``,
``p_champion`` when there was a champion whose code works, ``asked_on`` and ``known_on`` (ISO days,
UTC) of a split by time, then ``slice_<column>`` for each slice column with the slice's name.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median_high
from sys import intern
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SLICE = "slice_"
_TIMES = ["asked_on", "known_on"]


@dataclass(frozen=True)
class Predictions:
    """Held-out rows, column by column.

    Attributes:
        entities: Entity id of each row.
        labels: 1 for the positive label, else 0; the number that a regression predicts.
        candidate: The candidate's probability of the positive label, or its number.
        champion: The champion's, None without one.
        slices: For each slice column the slice of each row.
        asked_on: Of a split by time the day on which each row was asked for.
        known_on: And the day on which its label was known.
    """

    entities: Sequence[str]
    labels: Floats
    candidate: Floats
    champion: Floats | None
    slices: Mapping[str, Sequence[str]]
    asked_on: Sequence[date] | None = None
    known_on: Sequence[date] | None = None

    @property
    def lead_days(self) -> int:
        """Days from asking to knowing."""
        return lead_days(self.asked_on, self.known_on)


def lead_days(asked_on: Sequence[date] | None, known_on: Sequence[date] | None) -> int:
    """Return the days from asking to knowing, the median over rows; at least 1."""
    if not asked_on or not known_on:
        return 1
    pairs = zip(asked_on, known_on, strict=True)
    return max(1, median_high((known - asked).days for asked, known in pairs))


def write_predictions(predictions: Predictions, stream: TextIO) -> None:
    """Write the rows as RFC 4180 has it, to a stream opened with ``newline=""``.

    Numbers are the shortest text that reads back to the same double. Lines end with CR LF: with
    another end Python's writer leaves a CR inside a cell unquoted, and nobody can read it back.
    """
    writer = csv.writer(stream, lineterminator="\r\n")
    columns: dict[str, Iterable[object]] = {
        "entity_id": predictions.entities,
        "label": map(_shortest, predictions.labels),
        "p_candidate": map(float, predictions.candidate),
    }
    if predictions.champion is not None:
        columns["p_champion"] = map(float, predictions.champion)
    if predictions.asked_on is not None and predictions.known_on is not None:
        columns |= dict(zip(_TIMES, (predictions.asked_on, predictions.known_on), strict=True))
    columns |= {f"{_SLICE}{name}": column for name, column in predictions.slices.items()}
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))


def _shortest(label: float) -> int | float:
    whole = float(label).is_integer() and abs(label) < 2**53
    return int(label) if whole else float(label)


def read_predictions(lines: Iterable[str]) -> Predictions:
    """Read the rows back, a line at a time.

    Args:
        lines: The file's lines with their line ends, such as a text stream opened with
            ``newline=""``.

    Raises:
        ValueError: A column is missing or unknown, a row has not as many cells as the header, or
            a number cannot be read. The message names the row.
    """
    rows = csv.reader(lines, strict=True)
    header = next(rows, [])
    fixed = ["entity_id", "label", "p_candidate"]
    if header[3:4] == ["p_champion"]:
        fixed.append("p_champion")
    given = len(fixed)
    times: list[list[date]] = [[], []] if header[given : given + 2] == _TIMES else []
    names = header[given + len(times) :]
    if header[:given] != fixed or not all(name.startswith(_SLICE) for name in names):
        raise ValueError(f"predictions have the columns {', '.join(header) or 'none'}")
    entities: list[str] = []
    numbers = [array("d") for _ in fixed[1:]]
    slices: list[list[str]] = [[] for _ in names]
    for row, cells in enumerate(rows):
        if len(cells) != len(header):
            raise ValueError(f"row {row} of the predictions has {len(cells)} cells")
        entities.append(cells[0])
        try:
            for column, cell in zip(numbers, cells[1:given], strict=True):
                column.append(float(cell))
            for days, cell in zip(times, cells[given : given + len(times)], strict=True):
                days.append(date.fromisoformat(cell))
        except ValueError as error:
            raise ValueError(f"row {row} of the predictions: {error}") from error
        for slice_, cell in zip(slices, cells[given + len(times) :], strict=True):
            slice_.append(intern(cell))
    labels, candidate, *champion = (np.array(column, dtype=np.float64) for column in numbers)
    return Predictions(
        entities=entities,
        labels=labels,
        candidate=candidate,
        champion=champion[0] if champion else None,
        slices={
            name.removeprefix(_SLICE): column for name, column in zip(names, slices, strict=True)
        },
        asked_on=times[0] if times else None,
        known_on=times[1] if times else None,
    )

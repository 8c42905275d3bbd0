"""The profile that an AWS Glue DataBrew job writes, read as a :class:`TableProfile`.

AWS documents which statistics a profile job counts, not the JSON that it writes. Read is what
published output of version 1.0 has; what is not there stays empty, and what contradicts itself is
refused rather than guessed.

What differs from a profile of our own: types are Spark's, timestamps are strings there, the
deviation is as DataBrew counts it, and a value on the edge of two bins may count in the upper one.
Smallest, largest and mean of a string column are those of lengths and are left out.

Source: https://docs.aws.amazon.com/databrew/latest/dg/profile.configuration.html
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from steward.domain.errors import UnreadableFileError
from steward.domain.profiles import FEW, LEVELS, ColumnProfile, TableProfile

_TYPES = {
    "tinyint": "integer", "smallint": "integer", "int": "integer", "integer": "integer",
    "bigint": "integer", "byte": "integer", "short": "integer", "long": "integer",
    "float": "float", "double": "float", "boolean": "boolean", "string": "string",
}  # fmt: skip
_LONGEST = 120


def _bound(value: object) -> object:
    return float(value) if isinstance(value, str) and value in ("inf", "-inf") else value


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class _Level(_Read):
    value: bool | int | float | str | None = None
    count: int = Field(ge=0)


class _Bin(_Read):
    bucket: tuple[
        Annotated[float, BeforeValidator(_bound)], Annotated[float, BeforeValidator(_bound)]
    ]
    count: int = Field(ge=0)


class _Column(_Read):
    name: str
    type: str
    missing: int = Field(alias="missingValuesCount", ge=0)
    distinct: int = Field(alias="distinctValuesCount", ge=0)
    levels: list[_Level] = Field(default_factory=list, alias="mostCommonValues")
    bins: list[_Bin] = Field(default_factory=list, alias="valueDistribution")
    min: int | float | None = None
    max: int | float | None = None
    mean: float | None = None
    deviation: float | None = Field(default=None, alias="standardDeviation")


class _Profile(_Read):
    rows: int = Field(alias="sampleSize", ge=0)
    duplicates: int | None = Field(default=None, alias="duplicateRowsCount", ge=0)
    columns: list[_Column]
    run_id: str | None = Field(default=None, alias="jobRunId")


class DataBrewProfile(BaseModel):
    """What a profile job found.

    Attributes:
        profile: In the form of our own.
        duplicate_rows: Rows that are there again; None where the job did not count them.
        run_id: The job run that wrote it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    profile: TableProfile
    duplicate_rows: int | None = None
    run_id: str | None = None


def read_profile(content: bytes) -> DataBrewProfile:
    """Return what DataBrew's JSON says.

    Raises:
        UnreadableFileError: It is no such profile; ``field`` is the first value at fault.
    """
    try:
        document: Any = json.loads(content)
    except ValueError as error:
        raise UnreadableFileError(
            f"DataBrew's profile is no JSON: {error}", field="$", allowed="a profile job's output"
        ) from None
    try:
        found = _Profile.model_validate(document)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "$"
        raise UnreadableFileError(
            f"DataBrew's profile is of another form: {path}: {first['msg']}", field=path,
            allowed="sampleSize and columns with name, type, missingValuesCount and "
            "distinctValuesCount",
        ) from None  # fmt: skip
    columns = [_column(column, found.rows) for column in found.columns]
    return DataBrewProfile(
        profile=TableProfile(rows=found.rows, columns=columns),
        duplicate_rows=found.duplicates, run_id=found.run_id,
    )  # fmt: skip


def _column(column: _Column, rows: int) -> ColumnProfile:
    count = rows - column.missing
    if count < 0:
        raise UnreadableFileError(
            f"DataBrew counts {column.missing} missing values of {column.name} in {rows} rows",
            field=f"columns.{column.name}.missingValuesCount", value=column.missing,
            allowed=f"at most {rows}",
        )  # fmt: skip
    kind = _TYPES.get(column.type, "float" if column.type.startswith("decimal") else column.type)
    numeric = kind in ("integer", "float")
    edges, bins = _bins(column.bins) if numeric else ([], [])
    levels = _levels(column, kind)
    return ColumnProfile(
        name=column.name, type=kind, count=count, nulls=column.missing,
        distinct=min(column.distinct, count),
        min=_text(column.min) if numeric and column.min is not None else None,
        max=_text(column.max) if numeric and column.max is not None else None,
        mean=column.mean if numeric else None, deviation=column.deviation if numeric else None,
        bin_edges=edges, bins=bins, levels=levels,
        other=max(count - sum(levels.values()), 0) if levels else 0,
    )  # fmt: skip


def _bins(found: list[_Bin]) -> tuple[list[float], list[int]]:
    """Return upper edges and counts; the last bin is above the last edge."""
    edges: list[float] = []
    bins: list[int] = []
    for one in found[:-1]:
        edge = one.bucket[1]
        if math.isfinite(edge) and (not edges or edge > edges[-1]):
            edges.append(edge)
            bins.append(one.count)
        elif bins:
            # Integers on bins narrower than one share an edge.
            bins[-1] += one.count
    return (edges, [*bins, found[-1].count]) if edges else ([], [])


def _levels(column: _Column, kind: str) -> dict[str, int]:
    """Return rows by value where a profile of our own would have them."""
    few = FEW if kind == "integer" else 10 * LEVELS
    if kind == "float" or column.distinct > few:
        return {}
    levels: dict[str, int] = {}
    for level in column.levels[:LEVELS]:
        if level.value is not None:
            shown = _text(level.value)[:_LONGEST]
            levels[shown] = levels.get(shown, 0) + level.count
    return levels


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

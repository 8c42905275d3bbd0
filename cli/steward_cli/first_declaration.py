"""A first ``project.yaml`` from one file: what is guessed, and why, or why nothing can be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from steward_cli.console import CommandError, Exit
from steward_cli.first_file import MOST_COLUMNS, refuse_width

if TYPE_CHECKING:
    from steward.domain.profiles import ColumnProfile
    from steward.domain.schema_suggestion import Suggestion

LEAST_ROWS = 100
_LIKE_AN_ID = re.compile(r"(^|_)(id|uuid|guid|key|number|no|nr|code)$|Id$|ID$")
_REGRESSION_VALUES = 11
"""A whole number with so many values or more is an amount, not a class."""


@dataclass(frozen=True)
class Wanted:
    """What a person says of the file beside its name.

    Attributes:
        target: Column that is predicted.
        id: Column that names whom a row is about.
        time: Column with the time at which the prediction is asked for.
        positive: Value of the target whose probability is predicted.
    """

    target: str
    id: str | None = None
    time: str | None = None
    positive: str | None = None


@dataclass(frozen=True)
class Declared:
    """A declaration of a file.

    Attributes:
        sections: Of ``project.yaml``, in order.
        guesses: Key, value and reason of each thing that nobody said.
    """

    sections: dict[str, Any]
    guesses: list[tuple[str, Any, str]]


def declare(found: Suggestion, file: str, wanted: Wanted, name: str, owner: str) -> Declared:
    """Return a declaration whose data this file are.

    Raises:
        CommandError: The file cannot be a project's: with the column and what is allowed.
    """
    _check_shape(found, file)
    columns = {column.name: column for column in found.profile.columns}
    for option, given in (("--target", wanted.target), ("--id", wanted.id), ("--time",
                          wanted.time)):  # fmt: skip
        if given is not None and given not in columns:
            raise CommandError(
                f"{option} {given!r} is no column of {file}", Exit.USAGE,
                f"allowed: {', '.join(columns)}",
            )  # fmt: skip
    guesses: list[tuple[str, Any, str]] = []
    target = columns[wanted.target]
    label = _label(target, found.profile.rows, wanted, guesses)
    entity, repeated = _entity(found, wanted, guesses)
    time = _time(found, wanted, guesses)
    data = _data(found, label, entity, time, repeated)
    if time is not None and len(found.table.columns) < 4:
        raise CommandError(f"{file} has no column left as a feature", Exit.USAGE)
    sections: dict[str, Any] = {
        "project": name,
        "description": f"Predicts {wanted.target}, from {file}",
        "owner": owner,
        "data": data,
        "split": _split(name, found.profile.rows, repeated, guesses),
        "training": {"hyperparameters": {"model": "best"}},
        **_judged(target, label, found, entity, guesses),
    }
    return Declared(sections, guesses)


def text_of(declared: Declared, file: str, renamed: Mapping[str, str] | None = None) -> str:
    """Return the declaration as ``project.yaml``, each guess beside its section.

    Args:
        declared: What it says.
        file: Name of the file that it was made from.
        renamed: Plain by old name of the columns that were called otherwise.
    """
    lines = [
        f"# Written from {file}; everything that was guessed is said where it stands.",
        "# Ranges are wide on purpose. docs/project.md of Steward explains every key.",
    ]
    if renamed:
        lines.append("# Columns that were called otherwise:")
        lines += [
            f"#   {new}: {json.dumps(old, ensure_ascii=False)}" for old, new in renamed.items()
        ]
    for name, section in declared.sections.items():
        lines.append("")
        lines += [
            f"# {key}: {value}: {why}"
            for key, value, why in declared.guesses
            if key.partition(".")[0] == name
        ]
        if name == "data":
            lines += _data_text(section)
            continue
        lines.append(yaml.safe_dump({name: section}, sort_keys=False, width=96).rstrip())
    return "\n".join(lines) + "\n"


def _check_shape(found: Suggestion, file: str) -> None:
    if found.unnamed:
        raise CommandError(
            f"{file} has columns without plain names: {', '.join(map(repr, found.unnamed[:10]))}",
            Exit.USAGE, "allowed: letters, digits and underscores, no digit first",
        )  # fmt: skip
    if found.profile.rows < LEAST_ROWS:
        raise CommandError(
            f"{file} has {found.profile.rows} rows", Exit.USAGE,
            f"allowed: at least {LEAST_ROWS}, or nothing can be judged",
        )  # fmt: skip
    if len(found.table.columns) > MOST_COLUMNS:
        refuse_width(file, len(found.table.columns))


def _label(
    target: ColumnProfile, rows: int, wanted: Wanted, guesses: list[tuple[str, Any, str]]
) -> dict[str, Any]:
    """Return ``data.label``; the task follows from what the column holds."""
    name = target.name
    if target.nulls:
        raise CommandError(
            f"--target {name}: {target.nulls} of {rows} rows have no value", Exit.USAGE,
            "allowed: a value in every row; leave rows out whose outcome is not known",
        )  # fmt: skip
    if target.distinct < 2:
        raise CommandError(
            f"--target {name}: every row has the value {target.min!r}", Exit.USAGE,
            "allowed: a column of two values or of numbers",
        )  # fmt: skip
    numeric = target.type in ("integer", "float")
    if target.distinct == 2 and not target.other and target.type != "float":
        positive, why = _positive(target, wanted)
        guesses.append(("data.label.task", "binary", f"{name} has two values"))
        guesses.append(("data.label.positive", positive, why))
        return {"name": name, "positive": positive}
    if numeric and (target.type == "float" or target.distinct >= _REGRESSION_VALUES):
        if wanted.positive is not None:
            raise CommandError(
                f"--positive: {name} is a number with {target.distinct} values", Exit.USAGE,
                "allowed: with a target of two values",
            )  # fmt: skip
        guesses.append(
            ("data.label.task", "regression", f"{name} is a number with many values")
        )  # fmt: skip
        return {"name": name, "task": "regression"}
    raise CommandError(
        f"--target {name}: {target.distinct} classes", Exit.USAGE,
        f"allowed: a column of two values, or a number with {_REGRESSION_VALUES} values or more; "
        "make a column such as is_X of the class that matters",
    )  # fmt: skip


def _positive(target: ColumnProfile, wanted: Wanted) -> tuple[object, str]:
    levels = list(target.levels)
    if wanted.positive is not None:
        for level in levels:
            if wanted.positive.lower() == level.lower():
                return _typed(level, target.type), "as you said"
        raise CommandError(
            f"--positive {wanted.positive!r} is no value of {target.name}", Exit.USAGE,
            f"allowed: {', '.join(levels)}",
        )  # fmt: skip
    if target.type == "boolean":
        return True, "the column is true or false"
    if target.type == "integer":
        return max(int(level) for level in levels), "the larger of two numbers"
    rarer = min(levels, key=lambda level: (target.levels[level], level))
    return rarer, f"the rarer value, {target.levels[rarer]} of {target.count} rows"


def _typed(level: str, kind: str) -> object:
    if kind == "boolean":
        return level == "true"
    return int(level) if kind == "integer" else level


def _entity(
    found: Suggestion, wanted: Wanted, guesses: list[tuple[str, Any, str]]
) -> tuple[str, bool]:
    """Return the column that names whom a row is about, and whether it names some twice."""
    columns = {column.name: column for column in found.table.columns}
    if wanted.id is not None:
        column = columns[wanted.id]
        if wanted.id == wanted.target:
            raise CommandError("--id and --target are one column", Exit.USAGE)
        if column.nullable or column.type not in ("string", "integer"):
            raise CommandError(
                f"--id {wanted.id}: {'has empty cells' if column.nullable else column.type}",
                Exit.USAGE, "allowed: a string or a whole number in every row",
            )  # fmt: skip
        return wanted.id, not column.unique
    unique = [
        column.name
        for column in found.table.columns
        if column.unique and not column.nullable and column.name != wanted.target
    ]
    named = [name for name in unique if _LIKE_AN_ID.search(name)]
    strings = [name for name in unique if columns[name].type == "string"]
    if named:
        guesses.append(("data.entity_id", named[0], "each row has another value, and its name"))
        return named[0], False
    if strings:
        guesses.append(("data.entity_id", strings[0], "a string, and each row has another one"))
        return strings[0], False
    beside = f"; {', '.join(unique)} would do if it is a name" if unique else ""
    raise CommandError(
        "no column is surely the id of a row" + beside, Exit.USAGE,
        "name whom a row is about with --id COLUMN; without such a column add one, such as a "
        "row number: it decides for good which rows train and which judge",
    )  # fmt: skip


def _time(found: Suggestion, wanted: Wanted, guesses: list[tuple[str, Any, str]]) -> str | None:
    columns = {column.name: column for column in found.table.columns}
    if wanted.time is not None:
        if columns[wanted.time].type != "timestamp":
            raise CommandError(
                f"--time {wanted.time} is of type {columns[wanted.time].type}", Exit.USAGE,
                "allowed: a column of ISO 8601 times",
            )  # fmt: skip
        return wanted.time
    times = [name for name, column in columns.items() if column.type == "timestamp"]
    if len(times) == 1 and not columns[times[0]].nullable:
        guesses.append(("data.prediction_time", times[0], "the only column of times"))
        return times[0]
    if times:
        guesses.append(("data.prediction_time", None, f"not sure which of {', '.join(times)}"))
    return None


def _data(
    found: Suggestion, label: dict[str, Any], entity: str, time: str | None, repeated: bool
) -> dict[str, Any]:
    columns = []
    for column in found.table.columns:
        told = column.model_dump(mode="json", exclude_defaults=True)
        if column.name == label["name"]:
            for bound in ("unique", "pattern"):
                told.pop(bound, None)
            if "task" not in label:
                told.pop("min", None)
                told.pop("max", None)
        columns.append(told)
    rows = found.profile.rows
    data: dict[str, Any] = {"format": found.table.format, "entity_id": entity, "label": label}
    if time is not None:
        data["prediction_time"] = time
    if repeated:
        data["keep"] = "all"
    return {**data, "columns": columns, "minimum_rows": max(50, rows // 2),
            "row_count": {"min": max(1, rows // 10)}}  # fmt: skip


def _split(
    name: str, rows: int, repeated: bool, guesses: list[tuple[str, Any, str]]
) -> dict[str, Any]:
    """Return shares such that a few hundred rows judge, where there are so many."""
    traffic, heldout = (0.1, 0.3) if rows < 1000 else (0.1, 0.2) if rows < 20_000 else (0.1, 0.1)
    judge = round(rows * heldout)
    guesses.append(("split.heldout", heldout, f"about {judge} of {rows} rows judge"))
    if repeated:
        guesses.append(("split.traffic", traffic, "of entities: some have several rows"))
    return {"salt": name, "traffic": traffic, "heldout": heldout}


def _judged(
    target: ColumnProfile,
    label: dict[str, Any],
    found: Suggestion,
    entity: str,
    guesses: list[tuple[str, Any, str]],
) -> dict[str, Any]:
    """Return ``evaluation`` and ``gates``: bounds that a constant answer does not pass."""
    slices = [
        {"column": column.name}
        for column in found.table.columns
        if column.allowed is not None and len(column.allowed) <= 6
        and column.name not in (entity, label["name"])
    ][:2]  # fmt: skip
    if label.get("task") == "regression":
        guesses.append(("gates.r2", 0, "0 is to answer the mean of the rows that judge"))
        return {
            "evaluation": {"loss": "squared_error", "relative_margin": 0.05, "slices": slices},
            "gates": [{"metric": "r2", "min": 0.0}],
        }
    rare = target.levels[next(
        level for level in target.levels if _typed(level, target.type) == label["positive"]
    )] / target.count  # fmt: skip
    constant = rare * (1 - rare)
    margin = float(f"{min(0.02, constant / 10):.2g}")
    guesses.append(
        (
            "evaluation.margin",
            margin,
            f"at most 0.02, and a tenth of the {constant:.3g} of a constant answer",
        )
    )
    bound = float(f"{constant:.3g}")
    guesses.append(("gates.brier", bound, f"to answer {rare:.3g} for every row loses as much"))
    return {
        "evaluation": {"loss": "brier", "margin": margin, "slices": slices},
        "gates": [{"metric": "brier", "max": bound}, {"metric": "roc_auc", "min": 0.5}],
    }


def _data_text(data: dict[str, Any]) -> list[str]:
    lines = ["data:"]
    for key, value in data.items():
        if key == "columns":
            lines.append("  columns:")
            lines += [f"    - {_flow(column)}" for column in value]
        elif isinstance(value, dict):
            lines.append(f"  {key}: {_flow(value)}")
        else:
            lines.append("  " + yaml.safe_dump({key: value}).strip())
    return lines


def _flow(value: dict[str, Any]) -> str:
    plain = {
        name: int(part) if isinstance(part, float) and part.is_integer() else part
        for name, part in value.items()
    }
    return yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000).strip()

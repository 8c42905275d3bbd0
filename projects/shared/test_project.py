"""The declaration is valid, and its code trains and answers on rows made up from its columns.

Seconds, no AWS. `pytest tests` runs it in Steward's own environment.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from steward.domain.datasets import job_description
from steward.domain.project import Project
from steward_cli.sources import Source, read_source

FOLDER = Path(__file__).parents[1]
ROWS = 240


@pytest.fixture(scope="module")
def source() -> Source:
    """The folder as it would be pushed."""
    return read_source(FOLDER)


@pytest.fixture(scope="module")
def model(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that the pushed code trained, with the code beside it."""
    folder = tmp_path_factory.mktemp("model")
    with tarfile.open(fileobj=io.BytesIO(source.archive)) as archive:
        archive.extractall(folder / "code")
    (folder / "job.json").write_text(json.dumps(job_description(source.project, "test-1")))
    made = rows_of(source.project, ROWS)
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(made[0]))
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in row.items()} for row in made)
    training = source.project.training
    given = [
        text
        for name, value in training.hyperparameters.items()
        for text in (f"--{name}", cell(value))
    ]
    channels = ("SM_CHANNEL_TRAIN", "SM_CHANNEL_CONFIG", "SM_MODEL_DIR")
    done = subprocess.run(
        [sys.executable, str(folder / "code" / training.entry_point), *given],
        env={**os.environ, **dict.fromkeys(channels, str(folder))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_declaration_is_valid(source: Source) -> None:
    assert source.project.model_features


def test_the_code_answers_every_row_in_order(source: Source, model: Path) -> None:
    rows = features_of(source.project, rows_of(source.project, 20, seed=2))
    together, alone = asked(model, rows), asked(model, rows[:1])
    assert len(together) == len(rows)
    assert together[0] == pytest.approx(alone[0])


def test_a_missing_value_is_answered_where_it_is_allowed(source: Source, model: Path) -> None:
    (row,) = features_of(source.project, rows_of(source.project, 1))
    nullable = [column.name for column in source.project.model_features if column.nullable]
    asked(model, [row, *(row | {name: None} for name in nullable)])


def asked(model: Path, rows: list[dict[str, Any]]) -> list[float]:
    """The model's answers, from a process of its own."""
    script = (
        "import json, sys; from pathlib import Path;"
        "from steward_jobs.model_code import load_model;"
        "model = load_model(Path(sys.argv[1]), sys.argv[2]);"
        "print('\\n' + json.dumps(model.predict(json.load(sys.stdin))))"
    )
    task = json.loads((model / "job.json").read_text())["label"]["task"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(model), task], input=json.dumps(rows),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[float] = json.loads(done.stdout.splitlines()[-1])
    return answers


def features_of(project: Project, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the model gets of rows."""
    names = [column.name for column in project.model_features]
    return [{name: row[name] for name in names} for row in rows]


def rows_of(project: Project, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows within the bounds that the declaration sets."""
    generator = random.Random(seed)
    data = project.data
    columns = {column.name: column for column in (*data.columns, *project.model_features)}
    rows = []
    for number in range(count):
        row = {name: value_of(column, generator) for name, column in columns.items()}
        row[data.entity_id] = f"e{number}"
        if data.label.task == "binary":
            other = [value for value in allowed(columns[data.label.name]) if value not in
                     (data.label.positive, str(data.label.positive))]  # fmt: skip
            row[data.label.name] = data.label.positive if number % 2 else other[0]
        rows.append(row)
    return rows


def allowed(column: Any) -> list[Any]:
    """The values of a column with a closed list."""
    if column.allowed is not None:
        return list(column.allowed)
    return [True, False] if column.type == "boolean" else [0, 1, "other"]


def value_of(column: Any, generator: random.Random) -> Any:
    """A value that the column may have."""
    if column.nullable and generator.random() < 0.1:
        return None
    if column.allowed is not None or column.type == "boolean":
        return generator.choice(allowed(column))
    if column.type == "timestamp":
        return f"2026-{generator.randint(1, 12):02}-{generator.randint(1, 28):02}T00:00:00+00:00"
    if column.type == "string":
        return generator.choice(["a", "b", "c"])
    low = column.min if column.min is not None else 0
    high = column.max if column.max is not None else low + 100
    value = generator.uniform(low, high)
    return round(value) if column.type == "integer" else value


def cell(value: Any) -> str:
    """A value as a CSV file or a command line has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

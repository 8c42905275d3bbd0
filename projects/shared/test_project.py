"""The declaration is valid, and its code trains and answers on rows made up from its columns.

Seconds, no AWS. Steward runs these tests at each commit, and so does its environment; where the
package `steward` is not installed, the tests that need it are skipped.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1]
ROWS = 240


@pytest.fixture(scope="module")
def project() -> Any:
    """The declaration, valid."""
    pytest.importorskip("steward", reason="Steward judges the declaration where it is installed")
    from steward.domain.project import parse_project

    return parse_project(declared())


def declared() -> dict[str, Any]:
    """`project.yaml` with the feature groups beside it."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "project.yaml").read_text(encoding="utf-8"))
    groups = sorted((FOLDER / "features").glob("*.yaml"))
    return {**found, "feature_groups": [yaml.safe_load(g.read_text("utf-8")) for g in groups]}


def write_code(project: Any, folder: Path) -> None:
    """Put the code there that would be pushed: the project's own, or the built-in model's."""
    from steward.domain.built_in.source import built_in_files

    own = FOLDER / (project.training.source or "src")
    if (own / project.training.entry_point).is_file():
        shutil.copytree(own, folder, ignore=shutil.ignore_patterns("__pycache__"))
        return
    for name, content in built_in_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(scope="module")
def model(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that the pushed code trained, with the code beside it."""
    folder = tmp_path_factory.mktemp("model")
    from steward.domain.datasets import job_description

    write_code(project, folder / "code")
    (folder / "job.json").write_text(json.dumps(job_description(project, "test-1")))
    made = rows_of(project, ROWS)
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(made[0]))
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in row.items()} for row in made)
    training = project.training
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


def test_the_declaration_names_its_project_and_data() -> None:
    found = declared()
    names = [column["name"] for column in found["data"]["columns"]]
    assert found["project"]
    assert {found["data"]["entity_id"], found["data"]["label"]["name"]} <= set(names)


def test_the_declaration_is_valid(project: Any) -> None:
    assert project.model_features


def test_the_code_answers_every_row_in_order(project: Any, model: Path) -> None:
    rows = features_of(project, rows_of(project, 20, seed=2))
    together, alone = asked(model, rows), asked(model, rows[:1])
    assert len(together) == len(rows)
    assert together[0] == pytest.approx(alone[0])


def test_a_missing_value_is_answered_where_it_is_allowed(project: Any, model: Path) -> None:
    (row,) = features_of(project, rows_of(project, 1))
    nullable = [column.name for column in project.model_features if column.nullable]
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


def features_of(project: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the model gets of rows."""
    names = [column.name for column in project.model_features]
    return [{name: row[name] for name in names} for row in rows]


def rows_of(project: Any, count: int, seed: int = 1) -> list[dict[str, Any]]:
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

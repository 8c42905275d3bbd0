"""A project written from a file: what is guessed, what is refused, and that the file keeps it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from steward.domain.validation import validate_file
from steward.domain.workspace import Limits
from steward_cli.app import app
from steward_cli.console import CommandError
from steward_cli.first_declaration import Wanted, declare, text_of
from steward_cli.first_file import read_file
from steward_cli.project_templates import templates_of
from steward_cli.sources import read_source
from support.rendered import ROOT, plain_templates

Row = dict[str, Any]


def rows(count: int = 400) -> list[Row]:
    draw = random.Random(4)
    return [
        {
            "wine_id": f"w{number:04}",
            "tasted_at": f"2026-03-{1 + number % 28:02}T10:00:00Z",
            "alcohol": round(draw.uniform(9, 15), 2),
            "colour": draw.choice(["red", "white"]),
            "sulphates": "" if number % 9 == 0 else round(draw.uniform(0, 2), 3),
            "good": draw.choice(["yes", "no", "no", "no"]),
            "price": round(draw.uniform(3, 90), 2),
            "stars": draw.randint(1, 5),
            "grape": f"g{number % 30}",
        }
        for number in range(count)
    ]


def write(path: Path, made: list[Row]) -> Path:
    names = list(made[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in made)]
    path.write_text("\n".join(lines) + "\n")
    return path


def declared_of(path: Path, **wanted: str) -> dict[str, Any]:
    found = declare(read_file(path), path.name, Wanted(**wanted), "wines", "cellar")
    parsed: dict[str, Any] = yaml.safe_load(text_of(found, path.name))
    return parsed


def as_jsonl(path: Path, made: list[Row]) -> Path:
    kept = [{k: v for k, v in row.items() if v != ""} for row in made]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return path


def as_parquet(path: Path, made: list[Row]) -> Path:
    table = write(path.with_suffix(".csv"), made)
    with duckdb.connect() as connection:
        text = "types = {'good': 'VARCHAR'}"
        connection.execute(f"COPY (FROM read_csv('{table}', {text})) TO '{path}' (FORMAT parquet)")
    table.unlink()
    return path


@pytest.mark.parametrize(
    ("name", "put"), [("w.csv", write), ("w.jsonl", as_jsonl), ("w.parquet", as_parquet)]
)
def test_each_format_gives_a_declaration_that_the_file_keeps(
    name: str, put: Callable[[Path, list[Row]], Path], tmp_path: Path
) -> None:
    file = put(tmp_path / name, rows())
    declared = declared_of(file, target="good")
    assert declared["data"]["label"] == {"name": "good", "positive": "yes"}
    assert declared["data"]["entity_id"] == "wine_id"
    assert declared["data"]["prediction_time"] == "tasted_at"
    assert declared["split"] == {"salt": "wines", "traffic": 0.1, "heldout": 0.3}
    assert declared["evaluation"]["slices"] == [{"column": "colour"}]
    home = tmp_path / "home"
    home.mkdir()
    (home / "project.yaml").write_text(yaml.safe_dump(declared))
    project = read_source(home).project
    assert project.training.source is None
    work = tmp_path / "work"
    work.mkdir()
    report = validate_file(file, project.data, Limits(work, 300)).report
    assert report.violations == []


def test_a_number_of_many_values_is_a_regression(tmp_path: Path) -> None:
    declared = declared_of(write(tmp_path / "w.csv", rows()), target="price")
    assert declared["data"]["label"] == {"name": "price", "task": "regression"}
    assert declared["gates"] == [{"metric": "r2", "min": 0.0}]
    assert "relative_margin" in declared["evaluation"]


def test_a_gate_is_what_a_constant_answer_does_not_pass(tmp_path: Path) -> None:
    made = [{**row, "good": "yes" if n % 10 == 0 else "no"} for n, row in enumerate(rows())]
    declared = declared_of(write(tmp_path / "w.csv", made), target="good")
    assert declared["gates"][0] == {"metric": "brier", "max": 0.09}
    assert declared["evaluation"]["margin"] == 0.009


def test_the_positive_value_may_be_said(tmp_path: Path) -> None:
    file = write(tmp_path / "w.csv", rows())
    assert declared_of(file, target="good", positive="NO")["data"]["label"]["positive"] == "no"
    with pytest.raises(CommandError, match="'maybe' is no value of good"):
        declared_of(file, target="good", positive="maybe")


def test_an_id_that_names_some_twice_keeps_all_rows(tmp_path: Path) -> None:
    declared = declared_of(write(tmp_path / "w.csv", rows()), target="good", id="grape")
    assert declared["data"]["keep"] == "all"
    assert declared["data"]["entity_id"] == "grape"


@pytest.mark.parametrize(
    ("change", "wanted", "says", "allowed"),
    [
        ({}, {"target": "nothing"}, "--target 'nothing' is no column", "wine_id"),
        ({}, {"target": "grape"}, "30 classes", "two values"),
        ({}, {"target": "stars"}, "5 classes", "is_X"),
        ({"good": "no"}, {"target": "good"}, "every row has the value 'no'", "two values"),
        ({}, {"target": "sulphates"}, "45 of 400 rows have no value", "every row"),
        ({}, {"target": "good", "id": "sulphates"}, "--id sulphates: has empty cells", "string"),
        ({}, {"target": "good", "id": "good"}, "one column", ""),
        ({}, {"target": "good", "time": "price"}, "--time price is of type float", "ISO 8601"),
        ({}, {"target": "price", "positive": "3"}, "is a number", "two values"),
        ({"wine_id": "w"}, {"target": "good"}, "no column is surely the id", "--id COLUMN"),
    ],
)
def test_a_file_that_cannot_be_declared_says_why(
    change: Row, wanted: dict[str, str], says: str, allowed: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "w.csv", [row | change for row in rows()])
    with pytest.raises(CommandError) as refused:
        declared_of(file, **wanted)
    assert says in refused.value.message
    assert allowed in str(refused.value.hint)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("a,b\n", "0 rows"),
        ("a,b\n1,2\n3,4\n", "2 rows"),
        ("a b,c,d\n" + "1,2,3\n" * 200, "without plain names: 'a b'"),
        ("only\n" + "1\n" * 200, "1 columns"),
        (",".join(f"c{n}" for n in range(600)) + "\n" + (",".join("1" * 600) + "\n") * 120,
         "600 columns"),
    ],
    ids=["empty", "header", "short", "names", "narrow", "wide"],
)  # fmt: skip
def test_an_odd_file_is_refused(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text(text)
    with pytest.raises(CommandError, match=says):
        declared_of(file, target="c1")


def test_a_file_of_no_known_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wines.xlsx"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(CommandError, match="no known format"):
        declared_of(file, target="x")


def test_the_command_writes_a_project_and_says_what_it_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(templates_of(ROOT)) >= 4
    monkeypatch.setattr("steward_cli.commands.project_new.repository_root", plain_templates)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "wines.csv", rows())
    run = CliRunner().invoke(
        app,
        ["project", "new", "wines", "--from-data", "wines.csv", "--target", "price", "--json"],
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["template"] == "tabular-regression"
    assert {guess["key"] for guess in told["guesses"]} >= {"data.label.task", "data.entity_id"}
    assert all(guess["reason"] for guess in told["guesses"])
    project = read_source(tmp_path / "wines").project
    assert (project.project, project.data.label.task) == ("wines", "regression")
    assert (tmp_path / "wines" / "tests" / "test_project.py").is_file()


@pytest.mark.parametrize(
    "arguments",
    [["--from-data", "w.csv"], ["--target", "x"], ["--from-data", "w.csv", "--target", "good",
     "--template", "forecasting"], ["--from-data", "w.csv", "--target", "good", "--data",
     "training=script"]],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "w.csv", rows())
    run = CliRunner().invoke(app, ["project", "new", "wines", *arguments])
    assert run.exit_code != 0
    assert not (tmp_path / "wines").exists()

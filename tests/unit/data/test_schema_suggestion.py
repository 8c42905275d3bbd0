"""A proposed declaration is one that its file keeps and that `steward project check` takes."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from steward.domain.errors import UnreadableFileError
from steward.domain.schema_suggestion import suggest
from steward.domain.validation import validate_file
from steward.domain.workspace import Limits
from steward_cli.app import app

ROOT = Path(__file__).parents[3]


def rows(count: int = 200) -> list[dict[str, object]]:
    draw = random.Random(2)
    return [
        {
            "patient": f"p{n:05d}", "code": f"{n % 40:03d}", "age": draw.randint(20, 90),
            "bmi": None if n % 10 == 0 else round(draw.gauss(27, 4), 1),
            "ward": draw.choice(["north", "south", "east"]), "smokes": draw.random() < 0.3,
            "drawn_at": f"2026-01-{1 + n % 28:02d}T08:00:00Z", "note": f"free text {n * n % 97}",
            "ill": draw.randint(0, 1),
        }
        for n in range(count)
    ]  # fmt: skip


def write(path: Path, found: list[dict[str, object]]) -> Path:
    if path.suffix == ".parquet":
        source = path.with_suffix(".jsonl")
        write(source, found)
        duckdb.sql(f"SELECT * FROM read_json('{source}')").write_parquet(str(path))
        source.unlink()
        return path
    if ".jsonl" in path.name:
        text = "".join(json.dumps(row) + "\n" for row in found)
    else:
        lines = [",".join(found[0])]
        for row in found:
            values = ["" if v is None else str(v).lower() if isinstance(v, bool) else str(v)
                      for v in row.values()]  # fmt: skip
            lines.append(",".join(values))
        text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz", "d.jsonl", "d.jsonl.gz", "d.parquet"])
def test_the_file_keeps_the_declaration_that_was_made_from_it(tmp_path: Path, name: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    path = write(tmp_path / name, rows())
    found = suggest(path, Limits(work, 300))
    types = {column.name: column.type for column in found.table.columns}
    assert types == {
        "patient": "string", "code": "string", "age": "integer", "bmi": "float", "ward": "string",
        "smokes": "boolean", "drawn_at": "timestamp", "note": "string", "ill": "integer",
    }  # fmt: skip
    assert (found.entity_id, found.label, found.positive) == ("patient", "ill", 1)
    by_name = {column.name: column for column in found.table.columns}
    assert by_name["patient"].pattern == "p[0-9]{1,7}"
    assert by_name["ward"].allowed == ["east", "north", "south"]
    assert by_name["bmi"].nullable
    assert by_name["bmi"].max_null_share == 0.15
    assert by_name["age"].min is not None
    assert 0 <= by_name["age"].min < 20
    assert validate_file(path, found.table, Limits(work, 300)).report.violations == []
    assert [left.name for left in tmp_path.iterdir() if left != work] == [name]


def test_the_proposal_passes_the_check_of_a_new_project(tmp_path: Path) -> None:
    file = write(tmp_path / "visits.csv", rows())
    home = tmp_path / "home"
    run = CliRunner()
    assert run.invoke(app, ["project", "new", "visits", "--into", str(home)]).exit_code == 0
    proposed = run.invoke(app, ["data", "profile", str(file), "--suggest"])
    assert proposed.exit_code == 0, proposed.output
    (home / "project.yaml").write_text(proposed.stdout)
    assert yaml.safe_load(proposed.stdout)["project"] == "visits"
    checked = run.invoke(app, ["project", "check", str(home)])
    assert checked.exit_code == 0, checked.output


def test_a_further_table_is_proposed_for_its_place(tmp_path: Path) -> None:
    file = write(tmp_path / "labs.jsonl", rows())
    said = CliRunner().invoke(app, ["data", "profile", str(file), "--source", "labs"])
    proposed = yaml.safe_load(said.stdout)["data"]["sources"]["labs"]
    assert proposed["format"] == "jsonl"
    assert proposed["row_count"] == {"min": 20}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--label", "age"], "'age' has"),
        (["--label", "nobody"], "is no column"),
        (["--entity-id", "x"], "allowed: patient, code"),
    ],
)
def test_what_cannot_be_proposed_says_why(tmp_path: Path, options: list[str], said: str) -> None:
    file = write(tmp_path / "d.csv", rows())
    refused = CliRunner().invoke(app, ["data", "profile", str(file), "--suggest", *options])
    assert refused.exit_code != 0
    assert said in str(refused.exception) + str(getattr(refused.exception, "hint", ""))


def test_the_profile_is_shown_as_a_table_json_and_page(tmp_path: Path) -> None:
    file, page = write(tmp_path / "d.csv", rows()), tmp_path / "page.html"
    run = CliRunner()
    shown = run.invoke(app, ["data", "profile", str(file), "--html", str(page)])
    assert "200 rows, csv" in shown.stdout
    assert page.read_text().count("<svg") >= 6
    document = json.loads(run.invoke(app, ["data", "profile", str(file), "--json"]).stdout)
    assert document["rows"] == 200
    assert document["columns"][2]["name"] == "age"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.xlsx", b"PK", "no known format"),
        ("d.csv", b"one\n1\n", "1 columns"),
        ("d.csv", b"a,a\n1,2\n", "there twice"),
        ("d.jsonl", b"[1]\n", "no JSON object"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFileError, match=said):
        suggest(tmp_path / name, Limits(tmp_path, 300))


def test_names_that_cannot_be_declared_are_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id,Blood Pressure,x\n1,2,3\n2,2,4\n")
    found = suggest(path, Limits(tmp_path, 300))
    assert found.unnamed == ["Blood Pressure"]
    assert [column.name for column in found.table.columns] == ["id", "x"]

"""Columns that cannot be declared get plain names in a copy, and the same ones the next time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steward_cli.commands import data, project_new
from steward_cli.console import CommandError
from steward_cli.renaming import plain_names, renamed_in
from steward_cli.sources import read_source
from support.command_line import steward
from support.rendered import plain_templates

ODD = {
    "Customer ID": "customer_id", "Größe (cm)": "grosse_cm", "2nd visit": "c_2nd_visit",
    "Rate %": "rate_2", "€": "column",
}  # fmt: skip


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_every_name_becomes_one_that_can_be_declared_and_none_is_there_twice(
    names: list[str],
) -> None:
    found = plain_names(names)
    now = [found.get(name, name) for name in names]
    assert all(name.isascii() and name.isidentifier() and len(name) <= 64 for name in now)
    given_twice = {n.casefold() for n in names if names.count(n) > 1 or n not in found}
    assert all(new not in given_twice for new in found.values())
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("wanted", [False, True])
def test_a_line_end_makes_no_plain_name(tmp_path: Path, wanted: bool) -> None:
    file = tmp_path / "a.csv"
    file.write_text('"A\n",b\n1,2\n')
    if wanted:
        assert renamed_in(file, tmp_path).names == {"A\n": "a"}
        return
    with pytest.raises(CommandError, match="without plain names"):
        renamed_in(file, tmp_path, wanted=False)


def test_names_are_folded_and_numbered_where_one_is_taken() -> None:
    assert plain_names([*ODD, "Rate"]) == ODD


def lines(count: int = 300) -> list[str]:
    left = ["yes", "no", "no"]
    return [
        f"C{n:04},{150 + n % 40},{n * 7 % 90},0.{n % 97:02},{n % 11}.5,0.{n % 89:02},{left[n % 3]}"
        for n in range(count)
    ]


def odd_csv(folder: Path) -> Path:
    file = folder / "cust.csv"
    header = ",".join([*ODD, "Rate", "left"])
    file.write_bytes(("﻿" + "\r\n".join([header, *lines()]) + "\r\n").encode())
    return file


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_values_stay_as_they_are_whatever_the_format(tmp_path: Path, kind: str) -> None:
    file, rows = tmp_path / f"a.{kind}", [{"Rate %": "0.10", "b": "x"}, {"Rate %": "é", "b": "y"}]
    text = 'Rate %,b\n0.10,x\né,"y"\n'
    if kind == "csv":
        file.write_text(text, encoding="utf-8")
    elif kind == "csv.gz":
        file.write_bytes(gzip.compress(text.encode()))
    elif kind == "jsonl":
        file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        values = "SELECT '0.10' AS \"Rate %\", 'x' AS b UNION ALL SELECT 'é', 'y'"
        duckdb.execute(f"COPY ({values}) TO '{file}' (FORMAT parquet)")

    found = renamed_in(file, tmp_path / "..")
    assert found.file is not None
    assert found.names == {"Rate %": "rate"}
    assert found.file.name == f"a.renamed.{kind}"
    if kind.startswith("csv"):
        content = found.file.read_bytes()
        told = gzip.decompress(content) if kind.endswith("gz") else content
        assert told.decode() == text.replace("Rate %", "rate")
    else:
        reader = "read_parquet" if kind == "parquet" else "read_json_auto"
        again = duckdb.execute(f"SELECT rate, b FROM {reader}('{found.file}')").fetchall()
        assert again == [("0.10", "x"), ("é", "y")]
    found.file.unlink()


def test_a_project_of_an_odd_file_is_made_of_a_copy_and_keeps_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project_new, "repository_root", plain_templates)
    file = odd_csv(tmp_path)
    before = file.read_bytes()
    words = ("project", "new", "churn", "--from-data", "cust.csv", "--target", "left",
             "--id", "Customer ID")  # fmt: skip

    refused = steward(*words)
    assert refused.exit_code == 2
    assert "'Customer ID'" in refused.stderr
    assert "--rename" in refused.stderr
    assert not (tmp_path / "churn").exists()

    told = json.loads(steward(*words, "--rename", "--json").stdout)
    assert told["renamed"] == ODD
    copy = tmp_path / told["file"]
    assert copy.name == "cust.renamed.csv"
    assert copy.read_bytes().splitlines()[1:] == before.splitlines()[1:]
    assert file.read_bytes() == before
    declared = yaml.safe_load((tmp_path / "churn" / "project.yaml").read_text())
    assert declared["data"]["entity_id"] == "customer_id"
    assert '#   grosse_cm: "Größe (cm)"' in (tmp_path / "churn" / "project.yaml").read_text()
    assert read_source(tmp_path / "churn", None).project.project == "churn"

    copy.write_text("something of mine\n")
    clash = steward(*words, "--rename", "--into", "other")
    assert clash.exit_code == 4
    assert copy.read_text() == "something of mine\n"


@pytest.mark.parametrize("flag", [(), ("--rename",)])
@pytest.mark.parametrize(
    ("name", "encoding", "convert"),
    [
        ("c.csv", "latin-1", "iconv -f latin1 -t utf-8 c.csv > utf8-c.csv"),
        ("c.csv", "utf-16", "iconv -f utf-16 -t utf-8 c.csv > utf8-c.csv"),
        ("c.csv.gz", "latin-1",
         "gunzip -c c.csv.gz | iconv -f latin1 -t utf-8 | gzip > utf8-c.csv.gz"),
    ],
)  # fmt: skip
def test_names_in_another_encoding_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str, convert: str,
    flag: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project_new, "repository_root", plain_templates)
    content = "\n".join(["Größe,kunde,left", *(f"{n},k{n},{n % 2}" for n in range(60))])
    packed = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(packed(content.encode(encoding)))

    done = steward("project", "new", "churn", "--from-data", name, "--target", "left", *flag)

    assert done.exit_code == 2
    assert "is not UTF-8" in done.stderr
    assert convert in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("before", [0, 3, 200_000])
def test_the_first_line_with_a_value_in_another_encoding_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Such rows would be left out, and ranges guessed of the others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project_new, "repository_root", plain_templates)
    lines = ["kunde,left", *(f"\N{EURO SIGN}k{n},{n % 2}" for n in range(before))]
    content = "\n".join(lines).encode() + "\nMüller,1\nk,0\n".encode("latin-1")
    (tmp_path / "c.csv").write_bytes(content)

    done = steward("project", "new", "churn", "--from-data", "c.csv", "--target", "left")

    assert done.exit_code == 2
    assert f"c.csv is not UTF-8: line {before + 2}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.csv"]


def test_the_next_delivery_is_renamed_as_the_first_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []

    class State:
        def __init__(self, _target: Any) -> None:
            pass

        def project(self, _name: str) -> Any:
            return {"config": {"data": {}}}

    def deliver(_t: Any, _p: str, file: Path, _table: str, name: str) -> dict[str, str]:
        sent.append((name, file.read_text(encoding="utf-8-sig").splitlines()[0]))
        return {"uri": "s3://b/k"}

    monkeypatch.setattr(data, "choose", lambda _choice: None)
    monkeypatch.setattr(data, "StackState", State)
    monkeypatch.setattr(data, "deliver", deliver)
    folder = tmp_path / "churn"
    folder.mkdir()
    (folder / "renamed-columns.json").write_text(json.dumps({**ODD, "gone": "away"}))
    file = odd_csv(tmp_path)

    done = steward("data", "put", str(file), "--project", "churn", "--rename", str(folder))

    assert done.exit_code == 0, done.stderr
    assert sent == [("cust.csv", ",".join([*ODD.values(), "Rate", "left"]))]
    (folder / "renamed-columns.json").write_text('{"a": 1}')
    refused = steward("data", "put", str(file), "--project", "churn", "--rename", str(folder))
    assert refused.exit_code == 2


def test_a_name_that_is_there_beside_its_old_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Rate %,rate,b\n1,2,3\n")
    with pytest.raises(CommandError, match="rate beside"):
        renamed_in(file, tmp_path, names={"Rate %": "rate"})

"""Rows for a rehearsal: of the last dataset, or made of the declaration, always valid."""

from __future__ import annotations

import pytest

from steward.domain.datasets import written_columns
from steward.domain.project import parse_project
from steward.domain.rehearsal import declared_sample, sample_of
from support.training_scene import declaration

PROJECT = parse_project(declaration())
HEADER = "patient_id,age,bmi,sex,outcome"


def lines(*rows: str) -> list[str]:
    return [line + "\n" for line in (HEADER, *rows)]


def test_the_first_rows_are_taken_and_typed() -> None:
    found = sample_of(PROJECT, "d1", lines("p1,40,,F,0", "p2,50,22.5,M,1"), 2)

    assert found is not None
    assert found.origin == "d1"
    assert found.rows == [
        {"patient_id": "p1", "age": 40, "bmi": None, "sex": "F", "outcome": 0},
        {"patient_id": "p2", "age": 50, "bmi": 22.5, "sex": "M", "outcome": 1},
    ]
    assert found.csv(PROJECT) == (HEADER + "\r\np1,40,,F,0\r\np2,50,22.5,M,1\r\n").encode()


def test_a_rare_label_is_looked_for_further_on() -> None:
    rows = [f"p{n},40,,F,0" for n in range(500)] + [f"q{n},40,,F,1" for n in range(50)]
    found = sample_of(PROJECT, "d1", lines(*rows), 100)

    assert found is not None
    assert len(found.rows) == 100
    assert sum(row["outcome"] for row in found.rows) == 10


def test_a_dataset_without_a_declared_column_is_no_sample() -> None:
    assert sample_of(PROJECT, "d1", ["patient_id,age\n", "p1,4\n"], 10) is None
    assert sample_of(PROJECT, "d1", lines(), 10) is None


def test_made_up_rows_keep_the_declaration_and_are_the_same_each_time() -> None:
    found, again = declared_sample(PROJECT, 200), declared_sample(PROJECT, 200)

    assert found is not None
    assert again is not None
    assert found.rows == again.rows
    assert list(found.rows[0]) == [name for name, _ in written_columns(PROJECT)]
    for row in found.rows:
        assert isinstance(row["age"], int)
        assert 0 <= row["age"] <= 120
        assert row["bmi"] >= 5
        assert row["sex"] in ("F", "M")
    assert {row["outcome"] for row in found.rows} == {0, 1}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ({"name": "x", "type": "boolean"}, {True, False}),
        ({"name": "x", "type": "integer", "min": 2.5, "max": 3.5}, {3}),
        ({"name": "x", "type": "string", "pattern": "a+", "nullable": True}, {None}),
        ({"name": "x", "type": "string", "pattern": "a+", "allowed": ["aa"]}, {"aa"}),
    ],
)
def test_each_type_is_made_up_within_its_bounds(
    column: dict[str, object], values: set[object]
) -> None:
    declared = declaration()
    declared["data"]["columns"].append(column)
    found = declared_sample(parse_project(declared), 50)
    assert found is not None
    assert {row["x"] for row in found.rows} == values


def test_a_feature_with_a_pattern_cannot_be_made_up() -> None:
    declared = declaration()
    declared["data"]["columns"].append({"name": "x", "type": "string", "pattern": "[A-Z]{3}"})
    assert declared_sample(parse_project(declared), 50) is None

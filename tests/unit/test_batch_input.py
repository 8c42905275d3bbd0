"""A file to be scored is judged before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from steward.domain.project import parse_project
from steward_cli.batch_input import read_batch
from steward_cli.console import CommandError
from support.training_scene import declaration

PROJECT = parse_project(declaration())


def write(folder: Path, text: str) -> Path:
    file = folder / "april.csv"
    file.write_text(text)
    return file


def test_rows_go_in_the_models_order_with_the_id_first(tmp_path: Path) -> None:
    file = write(tmp_path, "sex,note,patient_id,age,bmi\nF,x,p1,50,22.5\nM,y,p2,61,\n")
    found = read_batch(file, PROJECT)
    assert found.ids == ["p1", "p2"]
    assert found.body == b"p1,50,22.5,F\np2,61,,M\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column patient_id, age, bmi, sex"),
        ("patient_id,age,bmi\n", "has no column sex"),
        ("patient_id,age,bmi,sex\n", "has no rows"),
        ("patient_id,age,bmi,sex\np1,500,20,F\n", "row 0: age must be a whole number"),
        ("patient_id,age,bmi,sex\np1,50,20,X\n", "row 0: sex must be"),
        ("patient_id,age,bmi,sex\np1,50,20,F\np1,51,20,F\n", "row 1: patient_id 'p1' is there"),
        ("patient_id,age,bmi,sex\n,50,20,F\n", "row 0: patient_id '' is empty"),
        ("patient_id,age,bmi,sex\np1,50\n", "row 0 has not as many cells"),
        ('patient_id,age,bmi,sex\n"p1', "is no CSV"),
    ],
)
def test_a_file_that_could_not_be_scored_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=says):
        read_batch(write(tmp_path, text), PROJECT)

"""The jobs of an integration: a project's own tests, and the rehearsal of its code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from steward.domain.datasets import job_description, request_columns
from steward.domain.digests import canonical_json
from steward.domain.examples import recorded_examples
from steward.domain.rehearsal import declared_sample
from support.job_container import DIABETES, Container, load_project, pack

PROJECT = load_project(DIABETES)


def outcome_of(
    base: Path, tests: dict[str, str], *, timeout_s: float = 30, **environment: str
) -> Any:
    """Return what the job says of a project's tests, and the folder of its output."""
    given = base / "processing" / "input"
    given.mkdir(parents=True)
    pack(tests, given / "source.tar.gz")
    (given / "tests.json").write_text(json.dumps({"tests": "tests", "timeout_s": timeout_s}))
    done = Container(base, environment).run("test")
    assert done.returncode == 0, done.stderr
    return Container(base).output("tests.json")


def test_tests_that_pass_are_counted_and_kept_as_junit(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, {
        "src/model.py": "X = 1\n",
        "tests/test_a.py": "import sys\nsys.path.insert(0, 'src')\nimport model\n"
        "def test_one(): assert model.X == 1\ndef test_two(): pass\n",
    })  # fmt: skip

    assert found == {"passed": True, "summary": "2 tests passed", "failed": []}
    assert b"testcase" in (tmp_path / "processing" / "output" / "junit.xml").read_bytes()


@pytest.mark.parametrize("own", [{}, {"pytest.ini": "[pytest]\naddopts = -v\n"}])
def test_a_configuration_above_the_project_is_not_its_own(
    tmp_path: Path, own: dict[str, str]
) -> None:
    """On a laptop the job's folder lies below a repository, whose options are not for it."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--strict-config"\nno_such_option = 1\n'
    )
    temporary = tmp_path / "job" / "tmp"
    temporary.mkdir(parents=True)

    found = outcome_of(
        tmp_path / "job", {"tests/test_a.py": "def test_one(): pass\n", **own},
        TMPDIR=str(temporary),
    )  # fmt: skip

    assert found == {"passed": True, "summary": "1 tests passed", "failed": []}


def test_tests_that_fail_are_named(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, {
        "tests/test_a.py": "def test_good(): pass\ndef test_bad(): assert 1 == 2\n",
    })  # fmt: skip

    assert found == {
        "passed": False, "summary": "1 of 2 tests failed: tests.test_a::test_bad",
        "failed": ["tests.test_a::test_bad"],
    }  # fmt: skip


def test_tests_that_cannot_be_imported_are_named(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, {"tests/test_b.py": "import nowhere\n"})

    assert found["passed"] is False
    assert "test_b" in found["summary"]


def test_tests_that_hang_are_ended_with_what_they_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).write_text('x')"
    began = time.monotonic()

    found = outcome_of(tmp_path, {
        "tests/test_a.py": "import subprocess, sys, time\ndef test_hangs():\n"
        f"    subprocess.Popen([sys.executable, '-c', {child!r}])\n    time.sleep(60)\n",
    }, timeout_s=1.5)  # fmt: skip

    assert found["passed"] is False
    assert "longer than 1.5 s" in found["summary"]
    assert time.monotonic() - began < 10
    time.sleep(2)
    assert not mark.exists()


def test_a_folder_without_tests_is_a_finding(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, {"tests/test_a.py": "x = 1\n"})
    assert found["summary"] == "no test was run in tests"


def test_tests_see_no_credentials_of_the_job(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, {
        "tests/test_a.py": "import os\ndef test_none():\n"
        "    assert not [n for n in os.environ if n.startswith('AWS_')]\n",
    }, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="x")  # fmt: skip
    assert found["passed"], found


def rehearsed(base: Path, code: dict[str, str], recorded: Any = None, **told: Any) -> Any:
    """Return what the rehearsal of some code finds."""
    given = base / "processing" / "input"
    given.mkdir(parents=True)
    pack(code, given / "code.tar.gz")
    sample = declared_sample(PROJECT, 60)
    assert sample is not None
    columns = request_columns(PROJECT)
    asked = [{c.name: row[c.name] for c in columns} for row in sample.rows[:3]]
    files = {
        "train.csv": sample.csv(PROJECT),
        "job.json": canonical_json(job_description(PROJECT, "0123456789ab-1")),
        "examples.json": canonical_json(recorded_examples(columns, asked)),
        "rehearsal.json": canonical_json({
            "hyperparameters": {"sagemaker_program": "train.py", "C": "0.1"}, "timeout_s": 40,
            "sample": "declared", **told,
        }),
    }  # fmt: skip
    if recorded is not None:
        files["recorded.json"] = canonical_json(recorded)
    for name, content in files.items():
        (given / name).write_bytes(content)
    done = Container(base).run("rehearse")
    assert done.returncode == 0, done.stderr
    return Container(base).output("rehearsal.json")


def code_of(folder: str = "src", **changed: str) -> dict[str, str]:
    files = {path.name: path.read_text() for path in (DIABETES / folder).glob("*.py")}
    return files | {name.replace("_py", ".py"): text for name, text in changed.items()}


def test_code_that_trains_and_answers_as_agreed_passes(tmp_path: Path) -> None:
    found = rehearsed(tmp_path, code_of())
    assert found["passed"], found
    assert "kept the contract" in found["summary"]


def test_code_that_trains_no_model_is_told_by_class_and_place_without_its_words(
    tmp_path: Path,
) -> None:
    found = rehearsed(tmp_path, code_of(train_py="raise ValueError('Ada Lovelace, 1815')\n"))
    assert found["summary"] == (
        "training on the sample failed: ValueError at train.py:1, in <module>; "
        "its output: the job's log"
    )


def test_training_that_hangs_is_ended(tmp_path: Path) -> None:
    found = rehearsed(tmp_path, code_of(train_py="import time\ntime.sleep(60)\n"), timeout_s=1)
    assert found["summary"] == "training on the sample took longer than 1 s"


@pytest.mark.parametrize(
    ("inference", "why"),
    [
        ("def model_fn(d): return 1\ndef predict_fn(rows, m): return [0.5]\n", "batch: status 500"),
        (
            "def model_fn(d): return 1\ndef predict_fn(rows, m): raise KeyError('Ada')\n",
            "row-1: status 500 instead of 200; what the model answered: the job's log",
        ),
        ("def model_fn(d): return 1\n", "does not come up"),
    ],
    ids=["answers one for all", "breaks on a row", "cannot be loaded"],
)
def test_a_model_that_breaks_its_contract_is_told(tmp_path: Path, inference: str, why: str) -> None:
    found = rehearsed(tmp_path, code_of(inference_py=inference))
    assert found["passed"] is False
    assert why in found["summary"]
    assert "Ada" not in json.dumps(found)


def test_recorded_requests_are_asked_unless_the_features_change(tmp_path: Path) -> None:
    names = [column.name for column in request_columns(PROJECT)]
    case = {
        "name": "row-1", "kind": "valid", "content_type": "application/json",
        "body": {"instances": [{"made": "of other rules"}]},
        "expect": {"status": 200, "predictions": 1},
    }  # fmt: skip
    broken = rehearsed(tmp_path / "a", code_of(), {"features": names, "cases": [case]})
    other = rehearsed(tmp_path / "b", code_of(), {"features": ["old"], "cases": [case]})

    assert "recorded row-1: status 400" in broken["summary"]
    assert other["passed"]
    assert "-old" in other["summary"]

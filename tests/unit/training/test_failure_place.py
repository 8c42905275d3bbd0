"""A broken program is told by class and place: what it worked on stays in the job's log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steward_jobs.failure_place import log_place, place_of

TRACE = """train.py ended with code 1:
read 300 rows
Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 31, in main
    rows = [float(cell) for cell in line]
  File "/usr/lib/python3.11/site-packages/numpy/core.py", line 9, in parse
    raise ValueError(text)
ValueError: could not convert string to float: 'Ada Lovelace, 1815'
"""


@pytest.mark.parametrize(
    ("output", "place"),
    [
        (TRACE, "ValueError at train.py:31, in main"),
        (f"{TRACE}\nDuring handling of the above exception, another exception occurred:\n\n"
         'Traceback (most recent call last):\n  File "/opt/ml/code/data.py", line 4, in read\n'
         "    raise own.RowError(row)\nown.RowError: Ada Lovelace\nleaving: Ada\n",
         "own.RowError at data.py:4, in read"),
        ('  File "/opt/ml/code/train.py", line 2\n    a b\n      ^\nSyntaxError: invalid syntax\n',
         "SyntaxError at train.py:2"),
        ('  File "/lib/python3.11/json.py", line 2, in load\nKeyError\n',
         "KeyError at json.py:2, in load"),
        ("Ada Lovelace: not in the register\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_class_and_place_are_told_and_never_the_message(output: str, place: str | None) -> None:
    assert place_of(output) == place


def test_the_log_is_named_where_the_job_knows_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert log_place() == "the job's log"
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "processingjobconfig.json"
    config.write_text(json.dumps({"ProcessingJobName": "diabetes-3f9a-rehearse"}))
    assert log_place() == (
        "log group /aws/sagemaker/ProcessingJobs, streams diabetes-3f9a-rehearse/..."
    )
    config.write_text("[]")
    assert log_place() == "the job's log"

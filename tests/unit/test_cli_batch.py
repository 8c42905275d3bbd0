"""``steward batch``: what a record says is held against its execution, and a file goes tagged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from steward_cli.commands import batch
from steward_cli.console import CommandError
from steward_cli.state import StackState
from steward_cli.target import Target
from support.fakes import FakeObjects

RUNNING = {
    "batch_id": "5d2e9a7b1c30-1", "status": "running", "batch_arn": "arn:x", "version": 2,
    "started_at": "2026-01-05T10:00:00", "run_id": "batch#5d2e9a7b1c30#0001",
    "trigger": {"kind": "schedule", "actor": "schedule", "cause": "due", "request_id": "r-1"},
}  # fmt: skip


class Account:
    """A target of one project with one batch, whose execution is as a test says."""

    def __init__(self, execution: dict[str, Any] | str) -> None:
        self.execution = execution
        self.put: list[dict[str, Any]] = []

    def client(self, _name: str) -> Account:
        return self

    def output(self, name: str) -> str:
        return name

    def console_url(self, path: str) -> str:
        return path

    def describe_execution(self, **_asked: Any) -> dict[str, Any]:
        if isinstance(self.execution, str):
            raise ClientError({"Error": {"Code": self.execution}}, "DescribeExecution")
        return self.execution

    def put_object(self, **asked: Any) -> None:
        self.put.append(asked)


class State:
    """What the tables say."""

    def project(self, _name: str) -> dict[str, Any]:
        return {"config": {}}

    def batches(self, _project: str) -> list[dict[str, Any]]:
        return [RUNNING]

    def suppressed(self, _project: str) -> list[dict[str, Any]]:
        return []

    def dollars_by_run(self, _project: str) -> dict[str, float]:
        return {}


def told(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    json_: bool = True,
) -> str:  # fmt: skip
    monkeypatch.setattr(batch, "choose", lambda _choice: account)
    monkeypatch.setattr(batch, "StackState", lambda _target: State())
    context: Any = SimpleNamespace(obj=None)
    batch.list_batches(context, "diabetes", json_=json_)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({"status": "RUNNING"}, None), ({"status": "PENDING_REDRIVE"}, None),
        ({"status": "TIMED_OUT"}, "TIMED_OUT"), ({"status": "SUCCEEDED"}, "SUCCEEDED"),
        ("ExecutionDoesNotExist", "UNKNOWN"), ("AccessDeniedException", None),
        ("ThrottlingException", None),
    ],
)  # fmt: skip
def test_a_batch_that_runs_no_more_is_shown_with_how_its_execution_ended(
    execution: Any, said: str | None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    [found] = json.loads(told(Account(execution), monkeypatch, capsys))["batches"]
    assert (found["status"], found.get("execution_status")) == ("running", said)


def test_batches_that_hold_a_person_are_found_in_scores_and_refused_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = FakeObjects()
    objects.write("s3://d/one.csv", b'id,prediction\np1,0.1\n"p,2",0.2\n')
    objects.write("s3://d/two.csv", b"id,prediction\np10,0.1\n")
    objects.write("s3://d/two.jsonl", b'{"entity": "p1", "row": 3}\n')
    delivered = [
        {"scores_uri": "s3://d/one.csv"}, {"scores_uri": "s3://d/two.csv",
                                           "refused_uri": "s3://d/two.jsonl"},
        {"scores_uri": "s3://d/expired.csv"}, None,
    ]  # fmt: skip
    batches = [
        {**RUNNING, "status": "succeeded", "batch_id": str(number), "delivered": found}
        for number, found in enumerate(delivered)
    ]
    monkeypatch.setattr(State, "batches", lambda *_: batches)
    monkeypatch.setattr(batch, "choose", lambda _choice: Account({}))
    monkeypatch.setattr(batch, "StackState", lambda _target: State())
    monkeypatch.setattr(batch, "S3ObjectStore", lambda _client: objects)
    for entity, ids in (("p1", ["0", "1"]), ("p,2", ["0"]), ("p10", ["1"]), ("p", [])):
        batch.list_batches(
            cast("Any", SimpleNamespace(obj=None)), "diabetes", holding=entity, json_=True
        )
        found = json.loads(capsys.readouterr().out)["batches"]
        assert [item["batch_id"] for item in found] == ids, entity


def test_who_reads_the_list_is_told_what_records_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(told(Account({"status": "FAILED"}), monkeypatch, capsys, json_=False).split())
    assert "ask for the same batch again" in said


def test_who_follows_a_batch_is_not_left_waiting_for_an_event_that_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(0, 100_000, 20))
    quick = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _s: None)
    monkeypatch.setattr("steward_cli.commands.batch.time", quick)
    target = cast("Target", Account({"status": "ABORTED"}))
    said: list[str] = []
    following = batch._Following(
        target, cast("StackState", State()), "diabetes", "r-1", said.append
    )
    with pytest.raises(CommandError, match="its execution as ABORTED"):
        following.until(50_000.0)
    assert said == ["batch 5d2e9a7b1c30-1: judging rows for version 2"]


def test_a_file_that_is_put_there_bears_the_tag_by_which_s3_deletes_it(tmp_path: Path) -> None:
    file = tmp_path / "april.csv"
    file.write_text("patient_id,age\np1,61\n")
    account = Account({})
    batch._upload(cast("Target", account), "diabetes", file)
    [put] = account.put
    assert put["Tagging"] == "steward%3Aexpires-after-days=30"
    assert put["Key"].startswith("batch-input/diabetes/files/")

"""Staging, release and rollback when things go wrong: each ends known, and traffic is safe."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from steward_cli.commands import release as command
from steward_cli.commands.mail import letters
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually, turning

pytestmark = pytest.mark.e2e

PROJECT = "ward"
LOCK = f"{PROJECT}/release"
SLOW_TO_LOAD = "import time\ntime.sleep(30)\n"
FAILS_AT_LOAD = "raise RuntimeError('the weights are for another architecture')\n"
ANSWERS = """def model_fn(at):
    return at


def predict_fn(rows, at):
    return [0.5] * len(rows)
"""
ENDED = ("failed", "rolled_back", "superseded", "completed")


def staging_record(lab: Laboratory, version: int) -> dict[str, Any]:
    """Return how a version's staging stands."""
    item = lab.target.client("dynamodb").get_item(
        TableName=lab.target.output("VersionsTable"),
        Key={"project": {"S": PROJECT}, "item": {"S": f"staging#{version:08d}"}},
        ConsistentRead=True,
    )
    return {name: next(iter(value.values())) for name, value in item.get("Item", {}).items()}


def staging_is_gone(lab: Laboratory, version: int) -> bool:
    """Wait until a version's staging endpoint does not exist."""
    name = f"local-{PROJECT}-v{version}-staging"
    return bool(eventually(lambda: lab.endpoint(name) is None, f"{name} to be removed"))


def mail(lab: Laboratory, subject: str) -> str:
    """Wait for a mail whose subject contains this; return its text on one line."""

    def read() -> str | None:
        assert lab.target.engine is not None
        found = [m for m in letters(lab.target.engine.mailbox) if subject in m.subject]
        return " ".join(found[-1].body.split()) if found else None

    return eventually(read, f"a mail about {subject!r}")


def release(lab: Laboratory, version: int, *statuses: str) -> dict[str, Any]:
    """Wait until the newest release of a version has one of these statuses."""

    def read() -> dict[str, Any] | None:
        found = [r for r in lab.state.releases(PROJECT) if int(r["version"]) == version]
        return found[-1] if found and found[-1]["status"] in statuses else None

    return eventually(read, f"a release of version {version} that is {statuses}")


def shares(lab: Laboratory) -> dict[int, float]:
    """Return the share of traffic by version."""
    return shares_of(lab.state.route(PROJECT))


def has_traffic(lab: Laboratory, version: int) -> dict[str, Any]:
    """Wait until a version answers a part of the traffic; return its running release."""
    eventually(lambda: 0 < shares(lab).get(version, 0) < 100, f"traffic on version {version}")
    return release(lab, version, "running")


def all_is_as_before(lab: Laboratory, version: int) -> None:
    """Assert that version 1 answers everything, and nothing of ``version`` is left over."""
    assert shares(lab) == {1: 100}
    eventually(lambda: lab.lock(LOCK) is None, "the lock to be free")
    name = f"local-{PROJECT}-v{version}-prod"
    eventually(lambda: lab.endpoint(name) is None, f"{name} to be removed")


def staged(lab: Laboratory, trained: dict[str, Any], inference: str | None = None) -> int:
    """Register a version and wait until people may decide on it."""
    version = lab.register(PROJECT, trained, inference)
    lab.version(PROJECT, version, "pending")
    return version


@pytest.fixture(scope="module", autouse=True)
def live(lab: Laboratory, trained: dict[str, Any]) -> None:
    """A project whose version 1 answers; what is released later bakes for longer than tests."""
    lab.add_project(PROJECT)
    lab.configure(PROJECT, "bake_s: 60", "bake_s: 10")
    lab.approve(PROJECT, staged(lab, trained))
    release(lab, 1, "completed")
    lab.configure(PROJECT, "bake_s: 10", "bake_s: 6000")


@pytest.fixture(scope="module")
def staging_machine(lab: Laboratory) -> str:
    """The ARN of ``stage_version``."""
    return lab.target.output("StagingMachineArn")


@pytest.fixture(scope="module")
def release_machine(lab: Laboratory) -> str:
    """The ARN of ``release_version``."""
    return lab.target.output("ReleaseMachineArn")


@pytest.fixture(scope="module")
def rollback_machine(lab: Laboratory) -> str:
    """The ARN of ``roll_back``."""
    return lab.target.output("RollbackMachineArn")


def test_serving_code_that_fails_at_load_fails_staging_with_its_reason(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    version = lab.register(PROJECT, trained, FAILS_AT_LOAD)
    lab.version(PROJECT, version, "staging_failed")
    assert staging_is_gone(lab, version)
    assert "ping health check" in mail(lab, f"staging of {PROJECT} {version} failed")


def test_staging_that_takes_too_long_is_concluded_from_its_status_event(
    lab: Laboratory, trained: dict[str, Any], staging_machine: str
) -> None:
    with lab.timeout_of(staging_machine, 1):
        version = lab.register(PROJECT, trained, SLOW_TO_LOAD)
        lab.version(PROJECT, version, "staging_failed")
    assert staging_record(lab, version)["status"] == "failed"
    assert staging_is_gone(lab, version)


def test_aborted_staging_is_concluded_from_its_status_event(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    version = lab.register(PROJECT, trained, SLOW_TO_LOAD)
    name = f"local-{PROJECT}-v{version}-staging"
    eventually(lambda: lab.endpoint(name) == "Creating", "the endpoint")
    lab.target.client("stepfunctions").stop_execution(
        executionArn=staging_record(lab, version)["execution_arn"], error="Operator", cause="no"
    )
    lab.version(PROJECT, version, "staging_failed")
    assert staging_is_gone(lab, version)


def test_without_one_statement_of_its_role_staging_is_denied(
    lab: Laboratory, trained: dict[str, Any], staging_machine: str
) -> None:
    role = lab.role_of_machine(staging_machine)
    with lab.without_action(role, "sagemaker:CreateEndpoint"):
        version = lab.register(PROJECT, trained)
        lab.version(PROJECT, version, "staging_failed")
    assert staging_is_gone(lab, version)
    assert "not authorized" in mail(lab, f"staging of {PROJECT} {version} failed")


def test_throttled_staging_is_tried_again_until_it_succeeds(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    with lab.throttled(lab.function("Serving", "PlanStagingFunction")):
        version = lab.register(PROJECT, trained)
        record = eventually(lambda: staging_record(lab, version), "the staging")
        eventually(lambda: staging_record(lab, version).get("started"), "its start")
        lab.refused(record["execution_arn"], "Lambda.TooManyRequestsException")
    lab.version(PROJECT, version, "pending")


def test_without_one_statement_of_its_role_a_release_is_denied(
    lab: Laboratory, trained: dict[str, Any], release_machine: str
) -> None:
    version = staged(lab, trained)
    with lab.without_action(lab.role_of_machine(release_machine), "sagemaker:CreateModel"):
        lab.approve(PROJECT, version)
        ended = release(lab, version, *ENDED)
    assert ended["status"] == "failed"
    assert ended["failed_state"] == "CreateModel"
    assert "not authorized" in ended["cause"]
    all_is_as_before(lab, version)


def test_a_release_is_planned_from_real_traffic_and_records_before_it_happens(
    lab: Laboratory, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    version = staged(lab, trained)
    context: Any = SimpleNamespace(obj=lab.choice)
    with pytest.raises(typer.Exit) as left:
        command.plan_release(context, PROJECT, version, json_=True)
    assert left.value.exit_code == 1
    told = json.loads(capsys.readouterr().out)
    assert [step["share"] for step in told["plan"]["steps"]] == [10, 50, 100]
    assert [reason["field"] for reason in told["refused"]] == ["state"]


def test_a_release_whose_endpoint_does_not_come_up_fails_with_its_reason(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    marker = lab.folder / "ward-does-not-load"
    version = staged(lab, trained, turning(ANSWERS, FAILS_AT_LOAD, marker))
    marker.touch()
    lab.approve(PROJECT, version)
    ended = release(lab, version, *ENDED)
    assert ended["status"] == "failed"
    assert "ping health check" in ended["cause"]
    all_is_as_before(lab, version)


def test_an_aborted_release_gives_its_traffic_back(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    version = staged(lab, trained)
    lab.approve(PROJECT, version)
    running = has_traffic(lab, version)
    lab.target.client("stepfunctions").stop_execution(
        executionArn=running["execution_arn"], error="Operator", cause="changed my mind"
    )
    assert release(lab, version, *ENDED)["status"] == "failed"
    all_is_as_before(lab, version)


def test_a_release_that_takes_too_long_gives_its_traffic_back(
    lab: Laboratory, trained: dict[str, Any], release_machine: str
) -> None:
    version = staged(lab, trained)
    with lab.timeout_of(release_machine, 6):
        lab.approve(PROJECT, version)
        has_traffic(lab, version)
        ended = release(lab, version, *ENDED)
    assert ended["status"] == "failed"
    all_is_as_before(lab, version)


def test_one_release_at_a_time_the_newest_approval_waits_and_a_second_alarm_changes_nothing(
    lab: Laboratory, trained: dict[str, Any], release_machine: str, rollback_machine: str
) -> None:
    versions = [lab.register(PROJECT, trained) for _ in range(3)]
    first, second, third = versions
    for version in versions:
        lab.version(PROJECT, version, "pending")
    with lab.throttled(lab.function("Serving", "ShiftTrafficFunction")):
        lab.approve(PROJECT, first)
        running = release(lab, first, "running")
        lab.refused(running["execution_arn"], "Lambda.TooManyRequestsException")
    has_traffic(lab, first)

    lab.approve(PROJECT, second)
    release(lab, second, "waiting")
    lab.approve(PROJECT, third)
    release(lab, second, "superseded")
    release(lab, third, "waiting")
    executions = lab.target.client("stepfunctions").list_executions(
        stateMachineArn=release_machine, statusFilter="RUNNING"
    )["executions"]
    ours = [e["name"] for e in executions if e["name"].startswith(f"{PROJECT}-")]
    assert ours == [f"{PROJECT}-{running['release_id']}"]

    lab.alarm(PROJECT, "errors")
    lab.alarm(PROJECT, "latency")
    release(lab, first, "rolled_back")
    has_traffic(lab, third)
    assert release(lab, second, "superseded")
    assert rollbacks(lab, rollback_machine, running["release_id"]) == 1
    assert set(shares(lab)) == {1, third}

    a_rollback_that_fails_is_told_and_may_be_tried_again(lab, rollback_machine, third)


def a_rollback_that_fails_is_told_and_may_be_tried_again(
    lab: Laboratory, machine: str, version: int
) -> None:
    """Fail the rollback of a release denied, aborted and out of time, then let it succeed."""
    running = release(lab, version, "running")
    name = f"{PROJECT}-{running['release_id']}-rollback"

    def failed(times: int) -> None:
        eventually(
            lambda: int(release(lab, version, "running").get("failed_rollbacks", 0)) == times,
            f"{times} failed rollbacks",
        )

    with lab.without_action(lab.role_of_machine(machine), "lambda:InvokeFunction"):
        lab.alarm(PROJECT, "errors")
        failed(1)
    assert "not authorized" in mail(lab, f"rollback of {PROJECT} failed")
    restore = lab.function("Serving", "RestoreRouteFunction")
    with lab.throttled(restore):
        lab.alarm(PROJECT, "errors")
        underway = lab.execution("RollbackMachineArn", f"{name}-2", running=True)
        lab.target.client("stepfunctions").stop_execution(executionArn=underway["executionArn"])
        failed(2)
        with lab.timeout_of(machine, 1):
            lab.alarm(PROJECT, "errors")
            failed(3)
        assert set(shares(lab)) == {1, version}
        lab.alarm(PROJECT, "errors")
        underway = lab.execution("RollbackMachineArn", f"{name}-4", running=True)
        lab.refused(underway["executionArn"], "Lambda.TooManyRequestsException")
    release(lab, version, "rolled_back")
    all_is_as_before(lab, version)


def rollbacks(lab: Laboratory, machine: str, release_id: str) -> int:
    """Return how many rollbacks of a release were ever started."""
    listed = lab.target.client("stepfunctions").list_executions(stateMachineArn=machine)
    return sum(f"{release_id}-rollback" in found["name"] for found in listed["executions"])

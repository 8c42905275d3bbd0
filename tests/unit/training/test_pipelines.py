"""A delivery pipeline's actions: answered from records, bound to one execution, whatever comes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from steward.contracts.events import (
    ApprovalExpired,
    ApprovalRequested,
    VersionApproved,
    VersionRejected,
)
from steward.domain.errors import AccessDeniedError, ThrottledError
from steward.domain.pipelines import LONGEST_WAIT, UNTAKEN_AFTER
from steward.ports import Table
from support.pipeline_scene import COMMIT, DIGEST, FIRST, RUN, SECOND, Scene, uuid, vote

SECOND_COMMIT = "2a" * 20


@pytest.fixture
def scene() -> Scene:
    return Scene()


# Integrate


def test_the_first_job_hands_the_commit_over_once_and_waits(scene: Scene) -> None:
    answer = scene.play("integrate")
    told: Any = scene.state.named("CommitReceived")[0]
    assert answer["token"] == "2026-01-05T09:00:00+00:00"
    assert (told.data.commit_id, told.data.origin) == (COMMIT, "pipeline")
    assert told.data.files.key == "steward-dev-diabetes/Built/aBcD.zip"
    assert scene.binding()["commit_id"] == COMMIT
    assert "never-logged" not in json.dumps(scene.state.get(Table.RUNS, {
        "project": "diabetes", "run_id": f"pipeline#{FIRST}"}))  # fmt: skip


def test_the_same_job_twice_asks_once_and_the_second_answer_is_late(scene: Scene) -> None:
    job = scene.job("integrate")
    assert scene.drive(job)["late"] is False
    assert scene.drive(job)["late"] is True
    assert len(scene.state.named("CommitReceived")) == 1


def test_a_running_integration_is_waited_for_and_its_run_bound(scene: Scene) -> None:
    token = scene.play("integrate")["token"]
    scene.integration("running")
    assert "RunTests" in scene.play("integrate", token=token)["summary"]
    scene.integration("succeeded", code_digest=DIGEST)
    answer = scene.play("integrate", token=token)
    assert answer["variables"]["RunId"] == RUN
    assert scene.binding()["training_run_id"] == RUN


@pytest.mark.parametrize(
    ("status", "facts", "said"),
    [
        ("failed", {"error": "TestsFailedError", "cause": "2 failed"}, "RunTests: TestsFailedErr"),
        ("superseded", {}, "overtaken by a newer commit"),
        ("succeeded", {"training_run_id": "", "training_outcome": "kept"}, "no training: kept"),
    ],
)
def test_an_integration_that_leads_to_no_run_fails_with_its_cause(
    scene: Scene, status: str, facts: dict[str, Any], said: str
) -> None:
    token = scene.play("integrate")["token"]
    scene.integration(status, **facts)
    assert said in scene.play("integrate", token=token)["message"]


def test_a_failure_from_before_is_not_this_executions_and_a_retry_asks_anew(scene: Scene) -> None:
    scene.integration("failed", 1, error="E", cause="before")
    token = scene.play("integrate")["token"]
    assert "taken up" in scene.play("integrate", token=token)["summary"]
    scene.integration("failed", 10, error="E", cause="now")
    assert "#10 failed" in scene.play("integrate", token=token)["message"]
    assert "handed" in scene.play("integrate")["summary"]
    assert len(scene.state.named("CommitReceived")) == 2


def test_a_commit_that_nobody_takes_up_fails_within_a_quarter_of_an_hour(scene: Scene) -> None:
    token = scene.play("integrate")["token"]
    scene.clock.advance(UNTAKEN_AFTER.total_seconds())
    assert "nobody took the commit up" in scene.play("integrate", token=token)["message"]


def test_an_execution_keeps_its_commit(scene: Scene) -> None:
    scene.play("integrate")
    answer = scene.play("integrate", token="2026-01-05T09:00:00+00:00", commit_id=SECOND_COMMIT)
    assert answer["type"] == "ConfigurationError"
    assert f"allowed {COMMIT}" in answer["message"]


def test_what_is_waited_for_too_long_fails_before_codepipeline_breaks_it_off(scene: Scene) -> None:
    token = scene.play("integrate")["token"]
    scene.integration("running")
    scene.clock.advance(LONGEST_WAIT.total_seconds())
    assert "after 23 hours" in scene.play("integrate", token=token)["message"]
    assert timedelta(hours=24) > LONGEST_WAIT


# Parameters and faults


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"pipeline": "steward-dev-credit"}, "field pipeline"),
        ({"project": "Not A Project"}, "field parameters.project"),
        ({"execution_id": "#{codepipeline.PipelineExecutionId}"}, "field parameters.execution_id"),
        ({"commit_id": ""}, "field commit_id"),
        ({"surprise": 1}, "field parameters.surprise"),
    ],
)
def test_parameters_that_are_none_of_ours_name_the_field(
    scene: Scene, changed: dict[str, Any], field: str
) -> None:
    answer = scene.play("integrate", **changed)
    assert answer["type"] == "ConfigurationError"
    assert field in answer["message"]


def test_an_action_before_its_turn_says_what_is_missing(scene: Scene) -> None:
    for action, missing in [
        ("gate", "training_run_id"), ("stage", "version"), ("verify_approval", "evidence_digest"),
        ("release", "evidence_digest"), ("watch", "version"),
    ]:  # fmt: skip
        answer = scene.play(action, uuid(950))
        assert f"field {missing}" in answer["message"]


def test_a_throttled_answer_is_raised_so_that_lambda_tries_again(scene: Scene) -> None:
    scene.pipelines.error = ThrottledError("slow down")
    with pytest.raises(ThrottledError):
        scene.drive(scene.job("integrate"))


def test_a_denied_read_is_told_as_a_missing_permission(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.bound()

    def denied(*_: object) -> None:
        raise AccessDeniedError("User is not authorized to perform: cloudwatch:DescribeAlarms")

    monkeypatch.setattr(scene.alarms, "states", denied)
    answer = scene.play("watch")
    assert (answer["type"], "DescribeAlarms" in answer["message"]) == ("PermissionError", True)


# Gate and staging


def test_the_gate_fails_a_held_run_with_its_reasons(scene: Scene) -> None:
    token = scene.play("integrate")["token"]
    scene.integration("succeeded")
    scene.play("integrate", token=token)
    scene.run("running")
    assert "is running" in scene.play("gate")["summary"]
    scene.run("held", verdict="hold", reasons=["worse than the champion by .03"])
    assert "worse than the champion" in scene.play("gate")["message"]


def test_staging_is_waited_for_until_the_evidence_is_frozen(scene: Scene) -> None:
    token = scene.play("integrate")["token"]
    scene.integration("succeeded")
    scene.run("succeeded", version=2)
    scene.play("integrate", token=token)
    assert scene.play("gate")["variables"]["Version"] == "2"
    scene.version("registered", evidence_digest=None)
    scene.staging("running")
    assert "being staged" in scene.play("stage")["summary"]
    scene.staging("succeeded")
    assert "being frozen" in scene.play("stage")["summary"]
    scene.version("pending")
    assert scene.play("stage")["variables"]["EvidenceDigest"] == DIGEST
    assert scene.binding()["evidence_digest"] == DIGEST


def test_a_failed_staging_fails_the_action(scene: Scene) -> None:
    scene.bound()
    scene.staging("failed")
    scene.version("staging_failed", staging_error="RunSmokeTest: 3 of 9 checks failed")
    assert "3 of 9 checks" in scene.play("stage")["message"]


# Approval


def test_an_approval_in_the_console_alone_does_not_count(scene: Scene) -> None:
    scene.bound()
    answer = scene.play("verify_approval")
    assert "CodePipeline alone does not count" in answer["message"]
    assert scene.play("release")["message"].startswith("diabetes 2 waits for 1 approvals")
    assert scene.state.named("ReleaseRequested") == []


def test_stewards_approval_answers_the_action_and_verifies(scene: Scene) -> None:
    scene.bound()
    scene.version("approved")
    approved = VersionApproved(version=2, evidence_digest=DIGEST, approvers=["000000000000/ada"])
    assert scene.tell(approved) == {FIRST: "approved"}
    assert scene.tell(approved) == {}
    [(said_yes, summary)] = scene.pipelines.answers.values()
    assert (said_yes, "000000000000/ada" in summary) == (True, True)
    assert scene.play("verify_approval")["variables"]["Approvers"] == "000000000000/ada"


def test_an_approval_before_the_action_began_is_answered_when_it_begins(scene: Scene) -> None:
    scene.bound()
    waiting = scene.pipelines.open.pop(FIRST)
    scene.version("approved")
    told = VersionApproved(version=2, evidence_digest=DIGEST, approvers=["000000000000/ada"])
    assert scene.tell(told) == {}
    scene.pipelines.open[FIRST] = waiting
    assert scene.begun() == {FIRST: "approved"}


@pytest.mark.parametrize(
    ("state", "payload"),
    [
        ("rejected", VersionRejected(version=2, evidence_digest=DIGEST, by="ada", comment="no")),
        ("expired", ApprovalExpired(version=2, expired_at="2026-01-12T09:00:00Z")),
    ],
)
def test_a_rejected_or_expired_request_rejects_the_action(
    scene: Scene, state: str, payload: Any
) -> None:
    scene.bound()
    scene.version(state)
    assert scene.tell(payload) == {FIRST: "rejected"}
    assert state in scene.play("verify_approval")["message"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"evidence_digest": "0" * 64}, "field evidence_digest"),
        ({"approvals": []}, "has 0 approvals"),
        ({"approvals": [vote("000000000000/tess")]}, "not the author"),
        ({"quorum": 2}, "allowed 2 people"),
    ],
)
def test_a_record_that_does_not_bear_the_approval_out_does_not_count(
    scene: Scene, facts: dict[str, Any], said: str
) -> None:
    scene.bound()
    scene.version("approved", **facts)
    assert said in scene.play("verify_approval")["message"]


@pytest.mark.parametrize(("mode", "answers"), [("SUPERSEDED", {FIRST: "rejected"}), ("QUEUED", {})])
def test_a_newer_commits_version_takes_the_place_where_executions_supersede(
    scene: Scene, mode: str, answers: dict[str, str]
) -> None:
    scene.bound(mode=mode)
    newer = ApprovalRequested(
        version=3, evidence_digest=DIGEST, evidence_uri="s3://a/e.json",
        expires_at="2026-01-12T09:00:00+00:00", quorum=1, summary={},
    )  # fmt: skip
    scene.version("pending", 3)
    assert scene.tell(newer) == answers
    same = newer.model_copy(update={"version": 2})
    assert scene.tell(same) == {}


def test_somebody_elses_pipeline_is_left_alone(scene: Scene) -> None:
    scene.bound()
    scene.version("approved")
    assert scene.begun(pipeline="billing") == {}
    assert scene.begun(SECOND) == {}


def test_an_approval_that_somebody_answered_meanwhile_is_no_fault(scene: Scene) -> None:
    scene.bound()
    scene.version("approved")
    waiting = scene.pipelines.open[FIRST]
    scene.pipelines.answer(waiting, True, "console")
    scene.pipelines.open[FIRST] = waiting
    assert scene.begun() == {FIRST: "answered by somebody else"}


# Release and watch


def test_the_pipeline_asks_for_one_release_by_its_id_and_follows_it(scene: Scene) -> None:
    scene.bound()
    scene.version("approved")
    assert "being begun" in scene.play("release")["summary"]
    scene.release("running")
    assert "is running" in scene.play("release", token="2026-01-05T09:00:00+00:00")["summary"]
    scene.release("completed")
    assert scene.play("release")["variables"]["ReleaseStatus"] == "completed"
    told: Any = scene.state.named("ReleaseRequested")[0]
    assert (told.data.version, told.data.release_id) == (2, "00000002-1")


@pytest.mark.parametrize("status", ["rolled_back", "failed", "not_promoted", "superseded"])
def test_a_release_that_did_not_promote_fails_the_action(scene: Scene, status: str) -> None:
    scene.bound()
    scene.version("approved")
    scene.release(status, cause="guardrail: errors")
    assert scene.play("release")["message"].endswith(f"is {status}: guardrail: errors")


def test_an_experiment_that_outlasts_the_action_leaves_the_pipeline_done(scene: Scene) -> None:
    scene.bound()
    scene.version("approved")
    scene.release("running")
    token = scene.play("release")["token"]
    scene.clock.advance(LONGEST_WAIT.total_seconds())
    assert scene.play("release", token=token)["variables"]["ReleaseStatus"] == "running"


def test_monitoring_is_on_with_alarms_baseline_and_a_look_at_this_version(scene: Scene) -> None:
    scene.bound()
    scene.version("production")
    assert "steward-dev-diabetes-drift" in scene.play("watch")["message"]
    scene.watched()
    look = {"project": "diabetes", "item": "look#2026-01-05T08:00:00Z"}
    scene.state.put(Table.MONITORING, look | {"version": 1})
    assert "not looked at yet" in scene.play("watch")["summary"]
    scene.state.put(Table.MONITORING, look | {"version": 2})
    assert "a baseline, 1 looks" in scene.play("watch")["done"]
    assert scene.binding()["status"] == "succeeded"
    scene.version("production", baseline=None)
    assert "field baseline" in scene.play("watch")["message"]

"""Every mail, word for word: the files in ``mails/`` are what people read.

To accept changed texts: delete the file and run the test, which writes it and fails once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steward.contracts import events
from steward.contracts.events import Payload, RuleViolation
from steward.contracts.incoming import Received
from steward.ports import Table
from steward.service.monitoring.notifications import NOTIFIES_OF, notify_people
from support.builders import event_of
from support.fakes import FakeMail
from support.registry_scene import Scene
from support.samples import SAMPLES

GOLDEN = Path(__file__).parent / "mails"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:release_version:diabetes-00000003-1"
FAILURE = {
    "failed_state": "TrainCandidate",
    "error": "SageMaker.AmazonSageMakerException",
    "cause": "Training job 3f9a1c0b7d2e-1-train failed: AlgorithmError: train.py ended with "
    "code 1: ValueError: Input X contains NaN.",
    "execution_arn": EXECUTION,
}
VERDICT: dict[str, Any] = {
    "release_id": "00000003-1", "version": 3, "number": 9, "step_id": "ab_test-50",
    "phase": "ab_test", "next": "wait", "digest": "b2" * 32, "uri": "s3://artifacts/verdicts/000009.json",
    "reason": "arms are not exposed in the intended shares (log e-value 9.1 over 812 first "
    "exposures), so that no figure can be trusted",
}  # fmt: skip


def requested(**about: Any) -> Payload:
    return Scene().pending(**about)


def sample(kind: type[Payload]) -> Payload:
    return next(payload for payload in SAMPLES if isinstance(payload, kind))


def doubtful() -> Payload:
    """Return a request whose gate asks for a second person and let a rule pass by a waiver."""
    request = Scene().pending()
    told = {"escalated": ["bias.sex = 2.DI"], "waivers": ["0a1b2c3d4e5f of slice.sex"]}
    return request.model_copy(update={"quorum": 2, "summary": {**request.summary, **told}})


def few_days() -> Payload:
    """Return a request whose metrics have values and too few days for intervals."""
    request = Scene().pending(champion=2)
    why = "28 days judge in blocks of 14, at least 56 are needed: a longer split.horizon_days"
    metrics = [
        {"metric": name, "value": value, "lower": None, "upper": None, "undefined_because": why}
        for name, value in (("rmse", 1.425), ("mae", 1.07))
    ]
    summary = {**request.summary, "metrics": metrics, "champion_metrics": metrics}
    return request.model_copy(update={"summary": summary})


MAILS: dict[str, Payload] = {
    "approval_requested_few_days": few_days(),
    "approval_requested_doubtful": doubtful(),
    "approval_reminder": events.ApprovalReminder(
        version=3, evidence_digest="a1" * 32, expires_at="2026-01-06T09:00:00+00:00", missing=1
    ),
    "superseded": events.ApprovalExpired(
        version=3, expired_at="2026-01-06T09:00:00+00:00", superseded_by=4
    ),
    "waiver_granted": events.WaiverGranted(
        waiver_id="0a1b2c3d4e5f", rule="slice.sex", reason="the ward has no patient of sex 2",
        by="000000000000/ana", expires_at="2026-01-12T09:12:00+00:00", digest="a1" * 32,
        run_id="3f9a1c0b7d2e-1",
    ),
    "waiver_revoked": events.WaiverRevoked(
        waiver_id="0a1b2c3d4e5f", rule="slice.sex", reason="the ward has such patients now",
        by="000000000000/ana",
    ),
    "approval_requested_first": requested(),
    "approval_requested": requested(champion=2, risk_tier="high"),
    "approval_requested_champion_failed": requested(champion=2, status="champion_failed"),
    "ledger_tampered": events.LedgerTampered(
        item="record#000000000007", change="REMOVE", before="5f" * 32, by="dynamodb.amazonaws.com"
    ),
    "ledger_broken": events.LedgerBroken(
        kind="removed", seq=7, told="record 7 is missing"
    ),
    "change_unmatched": events.ChangeUnmatched(
        call="UpdateModelPackage",
        resource="arn:aws:sagemaker:us-east-1:000000000000:model-package/steward-dev-diabetes/3",
        principal="arn:aws:iam::000000000000:user/mallory", at="2026-01-05T08:59:30+00:00",
        call_id="78478c6d-6742-4c0c-a3c7-d7a14d19402e",
        reason="the caller is no role of Steward", source_ip="203.0.113.7",
    ),
    "approved": events.VersionApproved(
        version=3, evidence_digest="a1" * 32, approvers=["000000000000/ana", "000000000000/bo"]
    ),
    "rejected": events.VersionRejected(
        version=3, evidence_digest="a1" * 32, by="000000000000/ana",
        comment="Slice sex 2 looks thin; wait for the next delivery.",
    ),
    "promotion_refused": sample(events.PromotionRefused),
    "attribution_drift": sample(events.DriftDetected).model_copy(update={
        "kind": "attribution", "columns": ["bmi", "age"], "p": 0.0002, "effect": 0.21,
        "horizon": 1, "rows": 100, "odds": "0.05 in 336 looks",
        "sentence": "Weights of the features moved: bmi from 42 % to 63 %, 0.210 in all where"
        " 0.031 is chance (p 0.0002, 100 rows against 60).",
    }),
    "review_due": sample(events.ReviewDue),
    "expired": events.ApprovalExpired(version=3, expired_at="2026-01-06T09:00:00+00:00"),
    "bypassed": events.ApprovalBypassed(
        version=3,
        model_package_arn="arn:aws:sagemaker:us-east-1:000000000000:model-package/"
        "steward-dev-diabetes/3",
        found_status="Approved", restored_status="PendingManualApproval",
    ),
    "dataset_rejected": events.DatasetRejected(
        delivery_id="5f" * 32, key="deliveries/diabetes/march.csv",
        quarantine_uri="s3://data/quarantine/diabetes/5f/march.csv",
        report_uri="s3://data/quarantine/diabetes/5f/report.json",
        violations=[
            RuleViolation(rule="columns", column="bmi", count=1, message="column bmi is missing",
                          examples=[{"row": None, "column": "bmi", "value": None}]),
            RuleViolation(rule="range", column="age", count=40,
                          message="age must be from 18 to 110",
                          examples=[{"row": row, "column": "age", "value": str(900 + row)}
                                    for row in range(1, 21)]),
        ],
    ),
    "candidate_held": events.CandidateHeld(
        run_id="3f9a1c0b7d2e-1", verdict="inconclusive",
        reasons=["champion: too little data to prove it is not worse than the champion: "
                 "difference in loss +0.0110, limits -0.0031 to +0.0262, margin 0.02, "
                 "118 held-out rows",
                 "slice: no slice is proved worse: 4 judged, 1 too thin to judge"],
    ),
    "training_failed": events.TrainingFailed(run_id="3f9a1c0b7d2e-1", **FAILURE),
    "integration_failed": sample(events.IntegrationFailed),
    "batch_scored": sample(events.BatchScored),
    "batch_scoring_failed": sample(events.BatchScoringFailed),
    "batch_scoring_failed_at_once": events.BatchScoringFailed(
        batch_id="5d2e9a7b1c30-1", failed_state="StartBatch", error="NoStableVersionError",
        cause="diabetes has no version in production", execution_arn="",
    ),
    "staging_failed": events.StagingFailed(version=3, **FAILURE),
    "release_started": events.ReleaseStarted(
        release_id="00000003-1", version=3, stable_version=2, strategy="canary",
        steps=[10, 50, 100], execution_arn=EXECUTION,
    ),
    "release_queued": events.ReleaseQueued(version=4, behind="00000002-1", superseded=3),
    "release_completed": events.ReleaseCompleted(
        release_id="00000003-1", version=3, previous_version=2,
        previous_until="2026-01-06T10:00:00+00:00",
    ),
    "release_completed_first": events.ReleaseCompleted(release_id="00000001-1", version=1),
    "rolled_back_by_an_alarm": events.ReleaseRolledBack(
        release_id="00000003-1", version=3, stable_version=2,
        cause="alarm steward-dev-diabetes-candidate-errors: Threshold Crossed: 1 datapoint "
        "[5.0 (05/01/26 09:31:10)] was greater than or equal to the threshold (3.0).",
        triggered_at="2026-01-05T09:31:14.100+00:00",
        restored_at="2026-01-05T09:31:15.300+00:00", execution_arn=EXECUTION,
    ),
    "rolled_back_by_a_person": events.ReleaseRolledBack(
        release_id="00000003-1", version=3, stable_version=2,
        cause="000000000000/ana: complaints from ward 3",
        triggered_at="2026-01-05T09:31:14.100+00:00",
        restored_at="2026-01-05T09:31:15.300+00:00",
    ),
    "release_failed": events.ReleaseFailed(release_id="00000003-1", version=3, **FAILURE),
    "rollback_failed": events.RollbackFailed(
        release_id="00000003-1", error="RouteConflictError",
        cause="the route of diabetes changed five times meanwhile", execution_arn=EXECUTION,
    ),
    "not_promoted": events.ReleaseNotPromoted(
        release_id="00000003-1", version=3, stable_version=2, verdict="inconclusive",
        reason="at the planned end readmission not proved better",
    ),
    "experiment_started": events.ExperimentStarted(
        release_id="00000003-1", version=3, stable_version=2, strategy="ab_test",
        phases=["shadow", "ab_test"], tick_s=3600, planned_s=15 * 86_400,
        plan_digests={"shadow": "5" * 64, "ab_test": "6" * 64},
    ),
    "verdict_changed": events.VerdictReached(**VERDICT, verdict="hold", previous="continue"),
    "verdict_first": events.VerdictReached(**VERDICT, verdict="stop_futile"),
    "tick_failed": events.TickFailed(
        release_id="00000003-1", version=3, tick=7, in_a_row=1, allowed=6,
        **{**FAILURE, "failed_state": "FreezeCohorts", "error": "AccessDeniedError"},
    ),
    "route_drifted_repaired": events.RouteDrifted(
        endpoint="dev-diabetes-v3-prod", version=3, role="stable", kind="other_config",
        wanted="configuration dev-diabetes-v3-prod-1, in service", found="configuration hotfix-7",
        since="2026-01-05T09:12:00.000+00:00", action="repair", digest="d4" * 32,
    ),
    "route_drifted_held": events.RouteDrifted(
        endpoint="dev-diabetes-v3-prod", version=3, role="stable", kind="missing",
        wanted="configuration dev-diabetes-v3-prod-1, in service",
        found="there is no such endpoint",
        last_in_order_at="2026-01-05T09:10:00.000+00:00", action="hold", digest="d4" * 32,
    ),
    "route_drifted_rolled_back": events.RouteDrifted(
        endpoint="dev-diabetes-v4-prod", version=4, role="candidate", kind="failed",
        wanted="configuration dev-diabetes-v4-prod-1, in service",
        found="it is Failed: no capacity", action="roll_back", digest="d4" * 32,
    ),
    "route_repaired": events.RouteRepaired(
        endpoint="dev-diabetes-v3-prod", version=3, kind="other_config", by="steward",
        drifted_at="2026-01-05T09:12:00.000+00:00", repaired_at="2026-01-05T09:17:00.000+00:00",
    ),
    "route_repair_failed": events.RouteRepairFailed(
        endpoint="dev-diabetes-v3-prod", version=3, kind="missing", attempt=5,
        error="RejectedError", cause="create_endpoint dev-diabetes-v3-prod: ResourceLimitExceeded",
        given_up=True,
    ),
    "endpoints_idle": events.EndpointIdle(
        endpoints=[
            events.IdleEndpoint(
                endpoint="dev-diabetes-v1-prod", kind="orphan", since="2026-01-02T09:00:00+00:00",
                reason="no route and no release names it", action="delete", dollars_month=26.28,
            ),
            events.IdleEndpoint(
                endpoint="dev-diabetes-v3-prod", kind="idle", since="2025-12-22T09:00:00+00:00",
                reason="no request for 14 days", action="none", dollars_month=None,
            ),
        ],
        dollars_month=26.28, performed=False, prices="us-east-1 list prices of 2026-11-29",
    ),
    "endpoints_idle_performed": events.EndpointIdle(
        endpoints=[
            events.IdleEndpoint(
                endpoint="dev-diabetes-v3-prod", kind="idle", since="2025-12-22T09:00:00+00:00",
                reason="no request for 14 days", action="scale_to_zero", dollars_month=52.56,
            ),
        ],
        dollars_month=52.56, performed=True, prices="us-east-1 list prices of 2026-11-29",
    ),
    "endpoint_deleted": events.EndpointReaped(
        endpoint="dev-diabetes-v1-prod", action="deleted",
        reason="no route and no release names it",
        dollars_month=26.28, prices="us-east-1 list prices of 2026-11-29",
    ),
    "endpoint_scaled_to_zero": events.EndpointReaped(
        endpoint="dev-diabetes-v3-prod", action="scaled_to_zero", reason="no request for 14 days",
        dollars_month=52.56, prices="us-east-1 list prices of 2026-11-29",
    ),
    "endpoint_scaled_back": events.EndpointReaped(
        endpoint="dev-diabetes-v3-prod", action="scaled_back", reason="requests come again",
        dollars_month=-52.56, prices="us-east-1 list prices of 2026-11-29",
    ),
    "schedule_repaired": events.ScheduleRepaired(
        release_id="00000003-1", version=3, schedule="diabetes-00000003-1", ticks=7,
    ),
    "drift_detected": sample(events.DriftDetected),
    "performance_degraded": sample(events.PerformanceDegraded),
    "bias_drifted": sample(events.BiasDrifted),
    "data_stale": sample(events.DataStale),
    "alarm_cleared": sample(events.AlarmCleared),
    "retraining_requested": sample(events.RetrainingRequested),
    "retraining_suppressed": sample(events.RetrainingSuppressed),
    "retraining_stopped": sample(events.RetrainingSuppressed).model_copy(
        update={
            "code": "breaker_open", "waits": False, "not_before": None,
            "reason": "the last 2 attempts led to no promoted version; a person must look at them "
            "and reset the breaker",
        }
    ),
    "watch_failed": sample(events.WatchFailed),
}  # fmt: skip


def received(payload: Payload, *, replayed: bool = False, actor: str = "steward") -> Received:
    told = event_of(payload, actor=actor)
    return Received(
        id=told.event_id, time=told.time, source=told.source, detail_type=told.detail_type,
        resources=[], replayed=replayed, meta=told.meta, detail=told.data,
    )  # fmt: skip


def send(payload: Payload, *, replayed: bool = False, actor: str = "steward") -> FakeMail:
    scene, mail = Scene(), FakeMail()
    scene.pending()
    approval = {"identity": "000000000000/ana", "decision": "approve"}
    item = {**scene.item(), "item": "version#00000003", "version": 3, "approvals": [approval]}
    scene.state.put(Table.VERSIONS, item)
    shifts = [
        {"step_id": "s1", "shares": {"3": 10.0, "2": 90.0}, "at": "2026-01-05T09:30:40+00:00"},
        {"step_id": "rb", "shares": {"2": 100.0}, "at": "2026-01-05T09:31:15.300+00:00"},
    ]
    release = {"project": "diabetes", "release_id": "00000003-1", "version": 3, "shifts": shifts}
    scene.state.put(Table.RELEASES, release)
    reused = {
        "key": "5e", "status": "reused", "reused_from": "0a0a0a0a0a0a-1", "saved_s": 72,
        "saved_dollars": 0.0023,
    }  # fmt: skip
    run = {"project": "diabetes", "run_id": "3f9a1c0b7d2e-1", "step_training": reused}
    scene.state.put(Table.RUNS, run)
    about = received(payload, replayed=replayed, actor=actor)
    notify_people(about, state=scene.state, mail=mail, environment="dev", region="us-east-1")
    return mail


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_reads_as_agreed(name: str) -> None:
    mail = send(MAILS[name])
    assert mail.sent
    letter = mail.sent[0]
    to = ", ".join(sent.role for sent in mail.sent)
    text = f"To: {to}\nSubject: {letter.subject}\n\n{letter.body}"
    golden = GOLDEN / f"{name}.txt"
    if not golden.exists():
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"{golden.name} was written; read it, then run again")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_fits_a_terminal(name: str) -> None:
    for letter in send(MAILS[name]).sent:
        assert letter.subject.isascii()
        assert len(letter.subject) <= 100
        for line in letter.body.splitlines():
            unbreakable = max(map(len, line.split()), default=0) > 50
            assert len(line) <= 78 or unbreakable or line.startswith("  steward "), line


def test_every_event_that_somebody_is_told_of_has_a_golden_mail() -> None:
    assert {type(payload).__name__ for payload in MAILS.values()} == set(NOTIFIES_OF)


def test_no_golden_mail_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(MAILS)


@pytest.mark.parametrize("name", MAILS)
def test_a_replayed_event_sends_nothing(name: str) -> None:
    assert send(MAILS[name], replayed=True).sent == []


@pytest.mark.parametrize(
    "quiet",
    [
        events.VerdictReached(**VERDICT, verdict="continue"),
        events.VerdictReached(**VERDICT, verdict="continue", previous="continue"),
        events.VerdictReached(**VERDICT, verdict="hold", previous="hold"),
        events.TickFailed(
            release_id="00000003-1", version=3, tick=8, in_a_row=2, allowed=6, **FAILURE
        ),
    ],
    ids=["first continue", "continue again", "hold again", "failed again"],
)
def test_a_look_that_says_nothing_new_writes_to_nobody(quiet: Payload) -> None:
    assert send(quiet).sent == []


def test_an_experiment_that_goes_on_after_all_is_told() -> None:
    [mail] = send(events.VerdictReached(**VERDICT, verdict="continue", previous="hold")).sent
    assert "before hold" in mail.body


def test_failures_reach_on_call_and_the_owner() -> None:
    assert [m.role for m in send(MAILS["training_failed"]).sent] == ["on_call", "owner"]
    assert [m.role for m in send(MAILS["bypassed"]).sent] == ["approver", "on_call"]


def test_rejected_deliveries_wake_nobody_and_the_owner_has_one_mail_of_each() -> None:
    """What the run says of them is in the mail of each delivery."""
    failure = {**FAILURE, "failed_state": "ValidateDeliveries", "error": "DatasetRejectedError"}
    ended = events.TrainingFailed(run_id="3f9a1c0b7d2e-1", **failure)
    assert [mail.role for mail in send(MAILS["dataset_rejected"]).sent] == ["owner"]
    assert send(ended).sent == []
    elsewhere = ended.model_copy(update={"failed_state": "BuildDataset"})
    assert [mail.role for mail in send(elsewhere).sent] == ["on_call", "owner"]


def test_who_set_a_status_around_steward_is_named() -> None:
    mail = send(MAILS["bypassed"], actor="000000000000/mallory")
    assert "000000000000/mallory" in mail.sent[0].body


def test_long_and_foreign_words_do_not_break_the_subject() -> None:
    error = "Fehler\nüber " + "lang" * 40
    payload = events.TrainingFailed(run_id="3f9a1c0b7d2e-1", **{**FAILURE, "error": error})
    subject = send(payload).sent[0].subject
    assert subject.isascii()
    assert len(subject) <= 100
    assert "\n" not in subject


def test_a_mail_about_a_project_that_is_gone_is_still_sent() -> None:
    mail = FakeMail()
    about = received(MAILS["rolled_back_by_an_alarm"])
    notify_people(about, state=Scene().state, mail=mail, environment="dev", region="us-east-1")
    assert len(mail.sent) == 1

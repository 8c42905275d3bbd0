"""One believable sample of each event of ours; ``events/samples`` holds them as delivered.

``PYTHONPATH=tests python -m support.samples`` writes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steward.contracts import events as e

FOLDER = Path(__file__).parents[2] / "events" / "samples"
RUN, KEY = "3f9a1c0b7d2e-1", "3f9a1c0b7d2e" + "0" * 52
DIGEST = "9b1d8f5c" * 8
COMMIT = "1f0c9a7b2d3e" * 3 + "1f0c"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:{}:{}"
ARTIFACTS = "s3://artifacts"
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/steward-dev-diabetes/2"
RELEASE = "00000002-1"
LOOK = f"{ARTIFACTS}/monitoring/diabetes/looks/2026-01-05T080000Z-r1-9b1d8f5c9b1d.json"
WATCH = EXECUTION.format("steward-watch-models", "watch-20260105T0905Z")

SAMPLES: list[e.Payload] = [
    e.ProjectConfigured(config_digest=DIGEST, code_digest=DIGEST, author="000000000000/tom"),
    e.TrainingRequested(reason="the price of a false alarm has changed"),
    e.CommitReceived(
        repository="acme/diabetes",
        branch="main",
        commit_id=COMMIT,
        files=e.CommitSource(
            kind="archive", url=f"https://api.github.com/repos/acme/diabetes/tarball/{COMMIT}"
        ),
        author="github:theo",
        origin="webhook",
        previous="7" * 40,
    ),
    e.CommitIntegrated(
        integration_id=f"commit#{COMMIT}#1",
        repository="acme/diabetes",
        branch="main",
        commit_id=COMMIT,
        author="github:theo",
        code_digest=DIGEST,
        config_digest=DIGEST,
        run_id=RUN,
        outcome="started",
    ),
    e.IntegrationFailed(
        integration_id=f"commit#{COMMIT}#1",
        repository="acme/diabetes",
        branch="main",
        commit_id=COMMIT,
        author="github:theo",
        step="TestProject",
        error="ProjectTestsFailedError",
        cause="1 of 6 tests failed: test_model.py::test_it_answers_missing_values",
        execution_arn=EXECUTION.format("IntegrateCommit", "diabetes_1f0c9a7b2d3e-1"),
        failed_tests=["test_model.py::test_it_answers_missing_values"],
    ),
    e.IntegrationSuperseded(
        integration_id=f"commit#{COMMIT}#1",
        branch="main",
        commit_id=COMMIT,
        superseded_by="commit#2c4e6a7b2d3e0c9a7b2d3e1f0c9a7b2d3e1f0c9a#1",
    ),
    e.BatchScoringRequested(
        request_id="8c1d77e0-aa31-4a55-9d3e-0c9a7b2d3e1f", prefix="april", reason="asked for"
    ),
    e.BatchScored(
        batch_id="5d2e9a7b1c30-1",
        batch_key=DIGEST,
        version=2,
        input=[
            {
                "uri": "s3://data/batch-input/diabetes/april/ward.csv",
                "sha256": DIGEST,
                "size": 20480,
                "version_id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
            }
        ],
        rows=218,
        refused_rows=2,
        scores_uri="s3://data/scores/diabetes/batch/5d2e9a7b1c30/scores.csv",
        scores_sha256=DIGEST,
        manifest_uri="s3://data/scores/diabetes/batch/5d2e9a7b1c30/manifest.json",
        least=0.0213,
        most=0.9641,
        mean=0.3417,
        transform_job="dev-diabetes-5d2e9a7b1c30-1-batch",
        execution_arn=EXECUTION.format("steward-score-batch", "diabetes_5d2e9a7b1c30-1"),
    ),
    e.BatchScoringFailed(
        batch_id="5d2e9a7b1c30-1",
        version=2,
        failed_state="DeliverScores",
        error="ScoresRejectedError",
        cause="the batch is not delivered: rows is 217; allowed: 218, as many as were sent",
        quarantine_uri="s3://data/quarantine/diabetes/batch-5d2e9a7b1c30-1/",
        execution_arn=EXECUTION.format("steward-score-batch", "diabetes_5d2e9a7b1c30-1"),
    ),
    e.DeliveryReceived(
        delivery_id=DIGEST,
        bucket="data",
        key="deliveries/diabetes/2026-01.csv",
        version_id="IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
    ),
    e.DatasetAccepted(
        delivery_id=DIGEST,
        key="deliveries/diabetes/2026-01.csv",
        rows=220,
        report_uri=f"{ARTIFACTS}/reports/diabetes/deliveries/{DIGEST}.json",
    ),
    e.DatasetRejected(
        delivery_id=DIGEST,
        key="deliveries/diabetes/broken.csv",
        quarantine_uri=f"s3://data/quarantine/diabetes/{DIGEST}/broken.csv",
        report_uri=f"s3://data/quarantine/diabetes/{DIGEST}/report.json",
        violations=[
            e.RuleViolation(
                rule="range",
                column="age",
                count=1,
                examples=[{"row": 17, "value": 560}],
                message="age is outside 0 to 120 in 1 row",
            )
        ],
    ),
    e.DeliveryDeleted(
        delivery_id=DIGEST,
        bucket="data",
        key="deliveries/diabetes/2026-01.csv",
        version_id="IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
        reason="erasure request 17",
        by="ana",
        deleted_at="2026-01-07T09:00:00.000+00:00",
        objects=3,
        features=["labs/v1"],
        batches=["5d2e9a7b1c30-1"],
    ),
    e.BatchDeleted(
        batch_id="5d2e9a7b1c30-1",
        version=3,
        scores_uri="s3://data/scores/diabetes/batch/5d2e9a7b1c30/scores.csv",
        reason="erasure request 17",
        by="ana",
        deleted_at="2026-01-07T09:00:00.000+00:00",
        objects=4,
    ),
    e.DatasetBuilt(
        dataset_id=DIGEST,
        manifest_uri=f"s3://data/datasets/diabetes/{DIGEST}/manifest.json",
        deliveries=[DIGEST],
        train_rows=88,
        heldout_rows=66,
        run_id=RUN,
        features=["labs/v1"],
        cutoff="2026-01-05T09:00:00.000+00:00",
        rows_with_later_knowledge=4,
    ),
    e.FeatureGroupVersioned(
        group="labs",
        version=1,
        definition_digest=DIGEST,
        physical_name="steward-dev-diabetes-labs-v1",
        source_table="labs",
    ),
    e.FeatureGroupRetired(group="labs", version=1, by="ana"),
    e.FeaturesMaterialised(
        group="labs",
        version=1,
        delivery_id=DIGEST,
        rows=442,
        online_rows=442,
        files=[f"s3://data/features/diabetes/labs/v1/{DIGEST}/00000.parquet"],
        newest_event_time="2026-01-04T08:00:00.000+00:00",
    ),
    e.FeatureMaterialisationFailed(
        group="labs",
        version=1,
        delivery_id=DIGEST,
        error="AccessDeniedError",
        cause="put record steward-dev-diabetes-labs-v1: AccessDeniedException",
        execution_arn=EXECUTION.format("MaterialiseFeatures", "diabetes-labs-v1-91bc12aa90ef-1"),
    ),
    e.FeatureRecordReceived(
        group="labs",
        row={"patient_id": "p017", "drawn_at": "2026-01-05T08:00:00Z", "s6": 91.0},
    ),
    e.TrainingStarted(
        run_id=RUN,
        run_key=KEY,
        trigger="delivery",
        execution_arn=EXECUTION.format("TrainCandidate", RUN),
        author="000000000000/tom",
        config_digest=DIGEST,
        code_digest=DIGEST,
        code_uri=f"{ARTIFACTS}/code/diabetes/{DIGEST}.tar.gz",
        image=f"000000000000.dkr.ecr.us-east-1.amazonaws.com/steward-jobs@sha256:{DIGEST}",
    ),
    e.StepReused(
        run_id=RUN,
        step="training",
        step_key=DIGEST,
        reused_from="00000000-1",
        outputs=[f"{ARTIFACTS}/models/diabetes/00000000-1/output/model.tar.gz"],
        saved_s=74.0,
        saved_dollars=0.0024,
    ),
    e.TrainingResumed(
        run_id=RUN, execution_arn=EXECUTION.format("TrainCandidate", RUN), redrives=1
    ),
    e.TrainingQueued(run_id="5e0c2a7f9b14-1", run_key="5e0c2a7f9b14" + "0" * 52, behind=RUN),
    e.TrainingSuppressed(
        run_key=KEY,
        existing_run_id=RUN,
        existing_status="succeeded",
        trigger="delivery",
        reason="the same data, code, configuration and image",
    ),
    e.CandidateEvaluated(
        run_id=RUN,
        evaluation_uri=f"{ARTIFACTS}/evaluations/diabetes/{RUN}/evaluation.json",
        metrics={"brier": 0.171, "roc_auc": 0.83},
        champion_version=1,
        verdict="pass",
    ),
    e.CandidateHeld(run_id=RUN, verdict="worse", reasons=["Brier loss is 0.03 above version 1"]),
    e.TrainingSucceeded(run_id=RUN, version=2),
    e.TrainingFailed(
        run_id=RUN,
        failed_state="TrainCandidate",
        error="States.TaskFailed",
        cause="AlgorithmError: ValueError: could not convert string to float, exit code: 1",
        execution_arn=EXECUTION.format("TrainCandidate", RUN),
    ),
    e.VersionRegistered(
        version=2,
        run_id=RUN,
        model_package_arn=PACKAGE,
        artifact_uri=f"{ARTIFACTS}/models/diabetes/{RUN}/diabetes-{RUN}-train/output/model.tar.gz",
        author="000000000000/tom",
    ),
    e.ApprovalRequested(
        version=2,
        evidence_digest=DIGEST,
        evidence_uri=f"{ARTIFACTS}/evidence/diabetes/v2/evidence.json",
        expires_at="2026-01-12T09:12:00.000+00:00",
        quorum=1,
        summary={"brier": 0.171},
    ),
    e.VersionApproved(version=2, evidence_digest=DIGEST, approvers=["000000000000/anna"]),
    e.VersionRejected(
        version=2, evidence_digest=DIGEST, by="000000000000/anna", comment="too few women over 60"
    ),
    e.ApprovalReminder(
        version=2, evidence_digest=DIGEST, expires_at="2026-01-12T09:12:00+00:00", missing=1
    ),
    e.ApprovalExpired(version=2, expired_at="2026-01-12T09:12:00.000+00:00"),
    e.ApprovalBypassed(
        version=2,
        model_package_arn=PACKAGE,
        found_status="Approved",
        restored_status="PendingManualApproval",
    ),
    e.WaiverGranted(
        waiver_id="0a1b2c3d4e5f",
        rule="slice.sex",
        reason="the ward has no patient of sex 2",
        by="000000000000/anna",
        expires_at="2026-01-12T09:12:00.000+00:00",
        digest=DIGEST,
        run_id="3f9a1c0b7d2e-1",
    ),
    e.WaiverRevoked(
        waiver_id="0a1b2c3d4e5f",
        rule="slice.sex",
        reason="the ward has such patients now",
        by="000000000000/anna",
    ),
    e.PolicyDeployed(name="clinic", digest=DIGEST),
    e.VersionPromoted(version=2, previous=1),
    e.VersionStateChanged(
        version=1, previous="production", state="retained", reason=f"release {RELEASE}"
    ),
    e.VersionAliased(alias="challenger", version=2, previous=None, reason=f"release {RELEASE}"),
    e.VersionDescribed(version=2, tags={"cohort": "2026-01"}, description="With labs of January"),
    e.VersionOffered(
        bus_arn="arn:aws:events:eu-west-1:111111111111:event-bus/steward-prod-promotions",
        version=2,
        offer_id=DIGEST,
        environment="prod",
        export_uri=f"s3://steward-dev-exports/exports/111111111111/diabetes/{DIGEST}",
        export_digest=DIGEST,
        terms_digest=DIGEST,
        model_package_arn="arn:aws:sagemaker:us-east-1:000000000000:model-package/steward-dev-diabetes/2",
    ),
    e.OfferAnswered(version=2, offer_id=DIGEST, environment="prod", became=1),
    e.PromotionRefused(
        version=2,
        environment="prod",
        account="111111111111",
        by="000000000000/theo",
        error="RejectedError",
        field="policy.quorum",
        message="the policy here is stricter: quorum: 1, at least 2",
    ),
    e.VersionExported(
        version=2,
        environment="prod",
        account="111111111111",
        became=1,
        export_digest=DIGEST,
        approvers=["000000000000/ana"],
    ),
    e.VersionImported(
        run_id=RUN,
        import_digest=DIGEST,
        export_digest=DIGEST,
        origin={
            "account": "222222222222",
            "environment": "dev",
            "project": "diabetes",
            "version": "2",
            "author": "222222222222/tess",
            "evidence_digest": DIGEST,
        },
        approvers=["222222222222/ana"],
    ),
    e.VersionStaged(
        version=2,
        endpoint="dev-diabetes-v2-staging",
        smoke_uri=f"{ARTIFACTS}/evidence/diabetes/v2/smoke.json",
        smoke_digest=DIGEST,
        summary={"cases": 12, "failed": 0, "p95_ms": 18.4},
    ),
    e.StagingFailed(
        version=2,
        failed_state="RunSmokeTest",
        error="StagingFailedError",
        cause="missing-age: expected 400, got 500",
        execution_arn=EXECUTION.format("StageVersion", "diabetes-v2-1"),
    ),
    e.ReleaseStarted(
        release_id=RELEASE,
        version=2,
        stable_version=1,
        strategy="canary",
        steps=[10, 50, 100],
        execution_arn=EXECUTION.format("ReleaseVersion", "diabetes-00000002-1"),
    ),
    e.ReleaseQueued(version=3, behind=RELEASE),
    e.TrafficShifted(
        release_id=RELEASE,
        step_id=f"{RELEASE}/1",
        route_version=4,
        shares={"1": 90, "2": 10},
        shifted_at="2026-01-05T09:30:00.123+00:00",
    ),
    e.ReleaseCompleted(
        release_id=RELEASE,
        version=2,
        previous_version=1,
        previous_until="2026-01-06T09:40:00.000+00:00",
    ),
    e.ReleaseRolledBack(
        release_id="00000003-1",
        version=3,
        stable_version=2,
        cause="alarm steward-dev-diabetes-candidate-errors",
        triggered_at="2026-01-05T11:04:40.000+00:00",
        restored_at="2026-01-05T11:04:41.200+00:00",
        execution_arn=EXECUTION.format("RollBack", "diabetes-00000003-1"),
    ),
    e.ReleaseFailed(
        release_id=RELEASE,
        version=2,
        failed_state="CreateEndpoint",
        error="EndpointFailedError",
        cause="the endpoint did not come into service within 900 s",
        execution_arn=EXECUTION.format("ReleaseVersion", "diabetes-00000002-1"),
    ),
    e.ReleaseNotPromoted(
        release_id=RELEASE,
        version=2,
        stable_version=1,
        verdict="inconclusive",
        reason="at the planned end readmitted not proved better",
    ),
    e.ReleaseRequested(version=2, reason="the season has changed"),
    e.ExperimentStarted(
        release_id=RELEASE,
        version=2,
        stable_version=1,
        strategy="ab_test",
        phases=["shadow", "ab_test"],
        tick_s=3600,
        planned_s=1_296_000,
        plan_digests={"shadow": "5" * 64, "ab_test": "6" * 64},
    ),
    e.VerdictReached(
        release_id=RELEASE,
        version=2,
        number=14,
        step_id="ab-test-50",
        phase="ab_test",
        verdict="continue",
        previous="continue",
        reason="readmitted not proved better yet",
        next="wait",
        digest="7" * 64,
        uri=f"s3://steward-local-artifacts/experiments/diabetes/{RELEASE}/verdicts/000014.json",
    ),
    e.ExperimentEnded(
        release_id=RELEASE, version=2, strategy="ab_test", outcome="completed", verdicts=21
    ),
    e.RollbackRequested(reason="complaints from ward 3"),
    e.RollbackFailed(
        release_id="00000003-1",
        error="AccessDeniedError",
        cause="write routes diabetes: AccessDeniedException",
        execution_arn=EXECUTION.format("RollBack", "diabetes-00000003-1"),
    ),
    e.TickFailed(
        release_id="00000003-1",
        version=3,
        tick=7,
        in_a_row=1,
        allowed=6,
        failed_state="JudgeStep",
        error="AccessDeniedError",
        cause="read metrics: AccessDeniedException",
        execution_arn=EXECUTION.format("TickExperiment", "diabetes-00000003-1-tick-7"),
    ),
    e.ScheduleRepaired(release_id="00000003-1", version=3, schedule="diabetes-00000003-1", ticks=7),
    e.RouteDrifted(
        endpoint="dev-diabetes-v2-prod",
        version=2,
        role="stable",
        kind="other_config",
        wanted="configuration dev-diabetes-v2-prod-1, in service",
        found="configuration hotfix-7",
        since="2026-01-05T09:12:00.000+00:00",
        last_in_order_at="2026-01-05T09:10:00.000+00:00",
        action="repair",
        digest=DIGEST,
    ),
    e.RouteRepaired(
        endpoint="dev-diabetes-v2-prod",
        version=2,
        kind="other_config",
        by="steward",
        drifted_at="2026-01-05T09:12:03.000+00:00",
        repaired_at="2026-01-05T09:17:00.000+00:00",
    ),
    e.RouteRepairFailed(
        endpoint="dev-diabetes-v2-prod",
        version=2,
        kind="missing",
        attempt=1,
        error="RejectedError",
        cause="create_endpoint dev-diabetes-v2-prod: ResourceLimitExceeded",
        given_up=False,
    ),
    e.EndpointIdle(
        endpoints=[
            e.IdleEndpoint(
                endpoint="dev-diabetes-v1-prod",
                kind="orphan",
                since="2026-01-02T09:00:00+00:00",
                reason="no route and no release names it",
                action="delete",
                dollars_month=26.28,
            )
        ],
        dollars_month=26.28,
        performed=False,
        prices="us-east-1 list prices of 2026-11-29",
    ),
    e.ReapingRequested(endpoints=["dev-diabetes-v1-prod"]),
    e.EndpointReaped(
        endpoint="dev-diabetes-v1-prod",
        action="deleted",
        reason="no route and no release names it",
        dollars_month=26.28,
        prices="us-east-1 list prices of 2026-11-29",
    ),
    e.ProjectRemoved(
        found={"endpoints": 2, "endpoint_configs": 2, "models": 2},
        config_digest="c" * 64,
        code_digest="d" * 64,
    ),
    e.OutcomesRecorded(count=24, uri="s3://capture/outcomes/diabetes/2026/01/05/6a7e8feb.jsonl"),
    e.OutcomeObserved(
        inference_id="6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        outcome=1,
        observed_at="2026-01-05T08:00:00Z",
    ),
    e.WindowJudged(
        window="2026-01-05T08:00:00Z",
        window_s=3600,
        version=2,
        rows=412,
        verdict="drift",
        drift="alarm",
        alarms={"drift": "alarm", "performance": "ok", "bias": "ok", "no_data": "ok"},
        sentence="2 of 9 columns over 412 rows changed: age, prediction.",
        digest=DIGEST,
        uri=LOOK,
    ),
    e.DriftDetected(
        version=2,
        window="2026-01-05T08:00:00Z",
        since="2026-01-05T06:00:00Z",
        columns=["age", "prediction"],
        p=3.1e-12,
        effect=0.214,
        horizon=2,
        rows=824,
        odds="0.05 in 336 looks",
        sentence="Changed: age, prediction; surest is age over 2 h (p 3.1e-12, effect 0.214).",
        action="retrain",
        digest=DIGEST,
        uri=LOOK,
        execution_arn=WATCH,
    ),
    e.PerformanceDegraded(
        version=2,
        window="2026-01-05T08:00:00Z",
        since="2026-01-05T08:00:00Z",
        metric="brier",
        current=0.271,
        baseline=0.168,
        margin=0.05,
        labelled=260,
        coverage=0.631,
        odds="0.05 in 336 looks",
        sentence="The mean loss has been above its bound of 0.236.",
        action="notify",
        digest=DIGEST,
        uri=LOOK,
        execution_arn=WATCH,
    ),
    e.BiasDrifted(
        version=2,
        window="2026-01-05T08:00:00Z",
        since="2026-01-05T08:00:00Z",
        groups=["sex F: positive_rate"],
        sentence="Of F 41 % are predicted positive, 22 % of held-out rows were.",
        action="notify",
        digest=DIGEST,
        uri=LOOK,
        execution_arn=WATCH,
    ),
    e.DataStale(
        version=2,
        window="2026-01-05T08:00:00Z",
        since="2026-01-05T03:00:00Z",
        silent_s=21_600,
        sentence="Nothing was captured for 21600 s; 21600 s are allowed.",
        action="notify",
        digest=DIGEST,
        uri=LOOK,
        execution_arn=WATCH,
    ),
    e.AlarmCleared(
        kind="drift",
        version=3,
        window="2026-01-07T08:00:00Z",
        since="2026-01-05T06:00:00Z",
        sentence="No column changed over any of 10 horizons.",
        digest=DIGEST,
        uri=LOOK,
    ),
    e.RetrainingRequested(
        kind="drift",
        cause="drift of version 2 since 2026-01-05T06:00:00Z",
        attempt="retrain-4",
        reason="drift: drift of version 2 since 2026-01-05T06:00:00Z",
        expected_usd=0.04,
    ),
    e.RetrainingSuppressed(
        kind="drift",
        cause="drift of version 2 since 2026-01-05T06:00:00Z",
        code="cool_down",
        reason="3600 s must pass after the attempt before",
        waits=True,
        not_before="2026-01-05T09:40:00+00:00",
    ),
    e.WatchFailed(
        run="20260105T0905Z",
        error="AccessDeniedError",
        cause="read s3://artifacts/baseline.json: AccessDenied",
        execution_arn=WATCH,
    ),
    e.RunCostRecorded(
        entry=f"{RUN}#training", kind="training_job", dollars=0.0058, detail={"seconds": 182}
    ),
    e.LineageEventWritten(
        uri=f"{ARTIFACTS}/lineage/openlineage/diabetes/2026/01/05/"
        "0d0f1b52-7d3c-5d0e-9a43-3b1d9b1f5c55-START.json",
        sha256=DIGEST,
        job="diabetes.train",
        run_uuid="0d0f1b52-7d3c-5d0e-9a43-3b1d9b1f5c55",
        event_type="START",
    ),
    e.LedgerTampered(
        item="record#000000000007", change="MODIFY", before="5f" * 32, after="6f" * 32
    ),
    e.LedgerBroken(kind="changed", seq=7, told="record 7 is not what was written"),
    e.ChangeUnmatched(
        call="UpdateModelPackage",
        resource="arn:aws:sagemaker:us-east-1:000000000000:model-package/steward-dev-diabetes/3",
        principal="arn:aws:iam::000000000000:user/mallory",
        at="2026-01-05T08:59:30+00:00",
        call_id="78478c6d-6742-4c0c-a3c7-d7a14d19402e",
        reason="the caller is no role of Steward",
        source_ip="203.0.113.7",
    ),
    e.ReviewDue(
        tier="high",
        owner="ward-12",
        production=2,
        last_review="2025-10-01T09:00:00+00:00",
        due="2025-12-30T09:00:00+00:00",
    ),
    e.ReviewRecorded(
        by="000000000000/anna",
        note="Slices and drift looked through; no change.",
        at="2026-01-05T09:12:00.000+00:00",
    ),
]


def delivered(payload: e.Payload) -> dict[str, Any]:
    """Return the sample as EventBridge delivers it."""
    meta = e.Meta(
        correlation_id=RUN,
        causation_id="17793124-05d4-b198-2fde-7ededc63b103",
        project="diabetes",
        actor="steward",
    )
    event = e.Event(
        event_id="6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        time="2026-01-05T09:00:00Z",
        meta=meta,
        data=payload,
    )
    return {
        "version": "0",
        "id": event.event_id,
        "detail-type": event.detail_type,
        "source": event.source,
        "account": "000000000000",
        "time": event.time,
        "region": "us-east-1",
        "resources": [],
        "detail": event.detail(),
    }


def texts() -> dict[str, str]:
    """Return the content of each sample's file by file name."""
    return {
        f"{type(payload).__name__}.json": json.dumps(delivered(payload), indent=2) + "\n"
        for payload in SAMPLES
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

"""What a project is watched by on the deployed stack: its baselines, dashboard, alarms, queries."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest

from steward.domain.evidence import evidence_uri
from steward.domain.explanations.evidence import ExplanationEvidence
from steward.domain.monitoring.baseline import Baseline
from steward_cli.commands.explain import explained
from steward_cli.demo.facts import Facts
from steward_cli.project_board import ALARMS, dashboard_name
from steward_cli.state import StackState
from steward_cli.target import Target

pytestmark = pytest.mark.e2e

PROJECT = "diabetes"


def _object(stack: Target, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content: bytes = stack.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def test_every_version_has_a_baseline_that_its_evidence_names(facts: Facts, stack: Target) -> None:
    versions = StackState(stack).versions(PROJECT)
    assert len(versions) >= 3
    for item in versions:
        content = _object(stack, item["baseline"]["uri"])
        assert hashlib.sha256(content).hexdigest() == item["baseline"]["digest"]
        found = Baseline.model_validate_json(content)
        assert found.project == PROJECT
        assert found.rows > found.held_out_rows > 50
        assert found.attribution is not None
        assert set(found.attribution.ranking) == {column.name for column in found.features}
        bucket = stack.output("ArtifactsBucketName")
        evidence = json.loads(_object(stack, evidence_uri(bucket, PROJECT, item["version"])))
        for name in ("baseline", "explanation"):
            assert evidence[name]["sha256"] == item[name]["digest"]
        reasons = ExplanationEvidence.model_validate_json(
            _object(stack, item["explanation"]["uri"])
        )
        assert (reasons.method, reasons.additive) == ("linear", True)
        assert reasons.background_digest == found.attribution.background


def test_a_prediction_that_the_gateway_answered_is_explained(facts: Facts, stack: Target) -> None:
    bucket = stack.output("CaptureBucketName")
    listed = stack.client("s3").list_objects_v2(Bucket=bucket, Prefix="exposures/")["Contents"]
    captures = []
    for one in listed:
        for line in _object(stack, f"s3://{bucket}/{one['Key']}").splitlines():
            with contextlib.suppress(ValueError, KeyError):  # other tests deliver what is no line
                captures.append(json.loads(line)["capture"])
    told = next(one for one in captures if one["project"] == PROJECT and one["features"].get("s6"))
    found = explained(stack, PROJECT, told["inference_id"])
    assert (found.method, found.additive, found.asked) == ("linear", True, None)
    assert found.answered == told["prediction"]["probability"]
    assert {one.name for one in found.features} == set(told["features"])


def test_a_project_has_its_dashboard_alarms_and_queries(facts: Facts, stack: Target) -> None:
    cloudwatch, name = stack.client("cloudwatch"), dashboard_name("local", PROJECT)
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    assert len(body["widgets"]) >= 19
    pages = cloudwatch.describe_alarms(
        AlarmNamePrefix=f"{name}-", AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100
    )
    found = {alarm["AlarmName"] for kind in ("MetricAlarms", "CompositeAlarms")
             for alarm in pages[kind]}  # fmt: skip
    assert {f"{name}-{end}" for end in ALARMS} <= found
    [page] = pages["CompositeAlarms"]
    assert page["AlarmActions"] == [stack.output("OnCallTopic")]
    assert f'ALARM("{name}-no-data")' in page["AlarmRule"]
    [traffic] = [a for a in pages["MetricAlarms"] if a["AlarmName"] == f"{name}-traffic"]
    assert traffic["StateValue"] != "ALARM"
    queries = stack.client("logs").describe_query_definitions(
        queryDefinitionNamePrefix=f"steward/local/{PROJECT}/"
    )["queryDefinitions"]
    assert len(queries) == 4
    assert {q["logGroupNames"][0] for q in queries} == {stack.output("GatewayLogGroup")}


def test_machines_that_ran_are_counted_as_cloudwatch_does(facts: Facts, stack: Target) -> None:
    listed = stack.client("cloudwatch").list_metrics(
        Namespace="AWS/States", MetricName="ExecutionsSucceeded"
    )["Metrics"]
    machines = {metric["Dimensions"][0]["Value"] for metric in listed}
    assert stack.output("TrainingMachineArn") in machines


def test_what_jobs_and_executions_cost_is_a_metric_of_the_project(
    facts: Facts, stack: Target
) -> None:
    listed = stack.client("cloudwatch").list_metrics(
        Namespace="Steward/local", MetricName="CostDollars"
    )
    projects = {metric["Dimensions"][0]["Value"] for metric in listed["Metrics"]}
    assert PROJECT in projects

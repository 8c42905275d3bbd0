"""Jobs of CodePipeline: credentials stay out of logs, faults end the action."""

from __future__ import annotations

import json
import sys
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from steward.contracts.pipeline import PipelineJob
from steward.domain.errors import ThrottledError
from steward.entrypoint import job_or_event, on_job
from steward.service.metric_lines import MetricLog
from support.lambda_context import LambdaContext
from support.pipeline_scene import FakePipelines, uuid
from support.templates import load_child

SECRET = "never-logged"
EVENT: dict[str, Any] = {
    "CodePipeline.job": {
        "id": uuid(1),
        "data": {
            "actionConfiguration": {"configuration": {"UserParameters": "{}"}},
            "artifactCredentials": {"secretAccessKey": SECRET},
        },
    }
}


def faults(printed: str) -> list[tuple[str, float]]:
    """Return the faults that were counted: function and number."""
    lines = [json.loads(line) for line in printed.splitlines() if "CloudWatchMetrics" in line]
    for line in lines:
        [declared] = line["_aws"]["CloudWatchMetrics"]
        assert (declared["Namespace"], declared["Dimensions"]) == (
            "Steward/local",
            [["FunctionName"]],
        )
        assert [one["Name"] for one in declared["Metrics"]] == ["PipelineFaults"]
    return [(line["FunctionName"], line["PipelineFaults"]) for line in lines]


def test_a_job_is_parsed_without_its_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[PipelineJob] = []
    on_job(seen.append)(EVENT, LambdaContext())
    assert SECRET not in seen[0].model_dump_json() + capsys.readouterr().out


def test_a_fault_of_ours_ends_the_action_and_is_not_retried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines = FakePipelines()
    log = MetricLog("local", sys.stdout.write)
    stand_in = SimpleNamespace(pipelines=pipelines, metric_log=log)
    monkeypatch.setattr("steward.bootstrap.app", cache(lambda: stand_in))

    @on_job
    def broken(_job: PipelineJob) -> object:
        raise ZeroDivisionError

    broken(EVENT, LambdaContext())
    assert "fault of Steward's own" in pipelines.jobs[uuid(1)]["message"]
    printed = capsys.readouterr().out
    assert SECRET not in printed
    assert faults(printed) == [(LambdaContext().function_name, 1)]


def test_what_may_pass_is_raised_for_lambda_to_try_again() -> None:
    @on_job
    def throttled(_job: PipelineJob) -> object:
        raise ThrottledError("slow down")

    with pytest.raises(ThrottledError):
        throttled(EVENT, LambdaContext())


def test_a_job_of_another_shape_is_refused_and_kept_nowhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = json.loads(json.dumps(EVENT))
    del broken["CodePipeline.job"]["id"]

    answer = on_job(lambda job: job)(broken, LambdaContext())  # raised, a queue would keep it

    printed = capsys.readouterr().out
    assert answer["refused"]["field"] == "CodePipeline.job.id"
    assert SECRET not in printed + json.dumps(answer)
    assert faults(printed) == [(LambdaContext().function_name, 1)]


def test_the_metric_of_faults_is_the_one_that_the_stack_watches() -> None:
    alarm = load_child("training")["Resources"]["DrivePipelineFaultsAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        {"Fn::Sub": "Steward/${Environment}"},
        "PipelineFaults",
    )
    assert [one["Name"] for one in alarm["Dimensions"]] == ["FunctionName"]
    assert alarm["Dimensions"][0]["Value"] == {"Ref": "DrivePipelineFunction"}
    assert alarm["AlarmActions"]


def test_one_function_takes_jobs_and_events() -> None:
    both = job_or_event(lambda *_: "job", lambda *_: "event")
    assert (both(EVENT, None), both({"detail-type": "x"}, None)) == ("job", "event")

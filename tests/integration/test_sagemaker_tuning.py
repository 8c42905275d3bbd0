"""Tuning jobs of the embedded SageMaker: a search by real training jobs, judged by their logs."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import Laboratory

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


def request_of(lab: Laboratory, plan: dict[str, Any], **config: Any) -> dict[str, Any]:
    training = lab.training_request(plan)
    algorithm = training["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    names = ("RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig",
             "ResourceConfig", "StoppingCondition")  # fmt: skip
    ranges = [{"Name": "C", "MinValue": "0.01", "MaxValue": "1", "ScalingType": "Linear"}]
    return {
        "HyperParameterTuningJobName": unique("t"),
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"ContinuousParameterRanges": ranges},
            **config,
        },
        "TrainingJobDefinition": {
            **{name: training[name] for name in names}, "StaticHyperParameters": {"fixed": "1"},
        },
        "Tags": [{"Key": "steward:run", "Value": "r1"}],
    }  # fmt: skip


def ended(lab: Laboratory, name: str) -> Any:
    def read() -> Any:
        found = lab.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        busy = found["HyperParameterTuningJobStatus"] in ("InProgress", "Stopping")
        return None if busy else found

    return eventually(read)


def test_the_best_of_real_training_jobs_is_named_with_its_parameters(lab: Laboratory) -> None:
    request = request_of(lab, {"score": "C"})
    name = request["HyperParameterTuningJobName"]
    lab.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = ended(lab, name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 4
    listed = lab.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name
    )["TrainingJobSummaries"]
    metric = "FinalHyperParameterTuningJobObjectiveMetric"
    values = {one["TrainingJobName"]: one[metric]["Value"] for one in listed}
    best = job["BestTrainingJob"]
    assert best[metric]["Value"] == min(values.values())
    assert len(values) == 4
    chosen = float(best["TunedHyperParameters"]["C"])
    assert best[metric]["Value"] == pytest.approx((chosen - 0.3) ** 2, abs=1e-6)
    child = lab.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert child["HyperParameters"]["_tuning_objective_metric"] == "loss"
    assert child["HyperParameters"]["fixed"] == "1"
    assert child["ModelArtifacts"]["S3ModelArtifacts"].endswith(
        f"/{best['TrainingJobName']}/output/model.tar.gz"
    )
    tags = lab.sagemaker.list_tags(ResourceArn=child["TrainingJobArn"])["Tags"]
    assert {"Key": "steward:run", "Value": "r1"} in tags
    with pytest.raises(ClientError, match="ResourceInUse"):
        lab.sagemaker.create_hyper_parameter_tuning_job(**request)


def test_a_search_of_which_nothing_succeeds_fails_with_the_reason(lab: Laboratory) -> None:
    limits = {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}
    request = request_of(lab, {"fail": "no"}, ResourceLimits=limits)
    lab.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = ended(lab, request["HyperParameterTuningJobName"])
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "No training job succeeded after 1 attempts" in job["FailureReason"]


def test_a_search_on_spare_capacity_stops_early_what_is_behind_and_survives_a_failing_job(
    lab: Laboratory,
) -> None:
    request = request_of(
        lab, {"score": "C", "epochs": 4, "epoch_s": 0.4}, Strategy="Grid",
        ResourceLimits={"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 1},
        TrainingJobEarlyStoppingType="Auto",
        ParameterRanges={
            "CategoricalParameterRanges": [{"Name": "C", "Values": ["none", "0.3", "0.4", "0.9"]}]
        },
    )  # fmt: skip
    definition = request["TrainingJobDefinition"]
    bucket = definition["OutputDataConfig"]["S3OutputPath"]
    definition |= {
        "EnableManagedSpotTraining": True, "CheckpointConfig": {"S3Uri": f"{bucket}/checkpoints"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
    }  # fmt: skip
    lab.sagemaker.create_hyper_parameter_tuning_job(**request)
    name = request["HyperParameterTuningJobName"]
    job = ended(lab, name)
    counters = job["TrainingJobStatusCounters"]
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"C": "0.3"}
    # 0.4 and 0.9 are worse than 0.3, the one that completed, from their first epoch on.
    assert [counters[kind] for kind in ("Completed", "Stopped", "NonRetryableError")] == [1, 2, 1]
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 1}
    child = lab.trained(job["BestTrainingJob"]["TrainingJobName"])
    assert child["EnableManagedSpotTraining"] is True
    assert child["BillableTimeInSeconds"] <= child["TrainingTimeInSeconds"]
    listed = lab.sagemaker.list_hyper_parameter_tuning_jobs(
        NameContains=name, StatusEquals="Completed"
    )["HyperParameterTuningJobSummaries"]
    assert [(one["HyperParameterTuningJobName"], one["Strategy"]) for one in listed] == [
        (name, "Grid")
    ]


def test_stopping_a_search_stops_its_training_jobs(lab: Laboratory) -> None:
    request = request_of(lab, {"sleep": 60})
    name = request["HyperParameterTuningJobName"]
    lab.sagemaker.create_hyper_parameter_tuning_job(**request)
    running = eventually(
        lambda: lab.sagemaker.list_training_jobs(NameContains=f"{name}-")["TrainingJobSummaries"]
    )
    lab.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert ended(lab, name)["HyperParameterTuningJobStatus"] == "Stopped"
    for one in running:
        status = lab.trained(one["TrainingJobName"])["TrainingJobStatus"]
        assert status == "Stopped"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "auc"}},
            "not among the MetricDefinitions",
        ),
        ({"Strategy": "Grid"}, "CategoricalParameterRanges only"),
        (
            {"ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 2}},
            "cannot exceed",
        ),
        ({"ParameterRanges": {}}, "names no hyperparameter"),
        ({"Strategy": "Hyperband"}, "has the strategies Bayesian, Random, Grid"),
        (
            {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.5}},
            "has no TuningJobCompletionCriteria",
        ),
    ],
)
def test_a_search_that_aws_refuses_is_refused(
    lab: Laboratory, config: dict[str, Any], reason: str
) -> None:
    request = request_of(lab, {}, **config)
    with pytest.raises(ClientError, match=reason):
        lab.sagemaker.create_hyper_parameter_tuning_job(**request)

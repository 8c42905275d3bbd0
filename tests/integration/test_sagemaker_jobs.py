"""Training and processing jobs of the embedded SageMaker: real work in the name of a role."""

import io
import json
import tarfile
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import BusTap, Laboratory, allow, trust

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def test_training_job_runs_and_leaves_artifacts_metrics_logs_and_transitions(
    lab: Laboratory,
) -> None:
    request = lab.training_request(
        {"print": ["loss=0.5", "loss=0.25"], "output": "more"},
        HyperParameters={"C": "0.1"},
        Environment={"COLOUR": "blue"},
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "loss", "Regex": "loss=([0-9.]+)"}
    ]
    name = request["TrainingJobName"]
    lab.sagemaker.create_training_job(**request)
    job = lab.trained(name)
    assert job["TrainingJobStatus"] == "Completed"
    assert [item["Status"] for item in job["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert [(item["MetricName"], item["Value"]) for item in job["FinalMetricDataList"]] == [
        ("loss", 0.25)
    ]
    assert job["BillableTimeInSeconds"] >= 1
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{lab.bucket}/out/{name}/output/model.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(lab.get(uri))) as archive:
        seen_file = archive.extractfile("seen.json")
        assert seen_file is not None
        seen = json.load(seen_file)
        assert archive.getnames() == ["plan.json", "seen.json", "train.csv"]
    assert seen["hyperparameters"] == {"C": "0.1"}
    assert sorted(seen["channels"]) == ["config", "train"]
    assert set(seen["environment"]) <= {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"),
        *("AWS_REGION", "AWS_DEFAULT_REGION", "COLOUR", "HOME", "LANG", "PATH", "PYTHONPATH"),
        *("SAGEMAKER_BASE_DIR", "TMPDIR", "TRAINING_JOB_ARN", "TRAINING_JOB_NAME", "LC_CTYPE"),
    }
    with tarfile.open(
        fileobj=io.BytesIO(lab.get(f"s3://{lab.bucket}/out/{name}/output/output.tar.gz"))
    ) as archive:
        assert archive.getnames() == ["extra.txt"]
    logs = lab.account.client("logs")
    streams = logs.describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/algo-1-"
    )["logStreams"]
    lines = logs.get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=streams[0]["logStreamName"]
    )["events"]
    assert [line["message"] for line in lines] == ["loss=0.5", "loss=0.25"]


def test_state_changes_of_a_training_job_arrive_on_the_default_bus(lab: Laboratory) -> None:
    tap = BusTap(lab.account, {"detail-type": ["SageMaker Training Job State Change"]})
    request = lab.training_request({"fail": "no such column"}, Tags=[{"Key": "a", "Value": "b"}])
    name = request["TrainingJobName"]
    lab.sagemaker.create_training_job(**request)
    lab.trained(name)
    events = [event for event in tap.until(4) if event["detail"]["TrainingJobName"] == name]
    assert {event["source"] for event in events} == {"aws.sagemaker"}
    last = next(e for e in events if e["detail"]["TrainingJobStatus"] == "Failed")
    assert last["resources"] == [last["detail"]["TrainingJobArn"]]
    assert last["detail"]["SecondaryStatus"] == "Failed"
    assert last["detail"]["FailureReason"] == "AlgorithmError: no such column, exit code: 1"
    assert last["detail"]["Tags"] == {"a": "b"}
    assert last["detail"]["CreationTime"] > 1_700_000_000_000


def test_failed_training_job_says_what_the_container_wrote(lab: Laboratory) -> None:
    request = lab.training_request({"fail": "singular matrix", "exit": 3})
    lab.sagemaker.create_training_job(**request)
    job = lab.trained(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: singular matrix, exit code: 3"
    assert "ModelArtifacts" not in job or not job["ModelArtifacts"].get("S3ModelArtifacts")


def test_training_job_is_ended_at_its_maximum_runtime(lab: Laboratory) -> None:
    request = lab.training_request({"sleep": 30}, StoppingCondition={"MaxRuntimeInSeconds": 1})
    lab.sagemaker.create_training_job(**request)
    job = lab.trained(request["TrainingJobName"])
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_stopped_training_job_that_ignores_sigterm_is_killed(lab: Laboratory) -> None:
    request = lab.training_request({"sleep": 60, "ignore_sigterm": True, "print": ["here"]})
    name = request["TrainingJobName"]
    lab.sagemaker.create_training_job(**request)
    eventually(
        lambda: (
            lab.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"]
            == "Training"
        )
    )
    lab.sagemaker.stop_training_job(TrainingJobName=name)
    stopping = lab.sagemaker.describe_training_job(TrainingJobName=name)
    assert stopping["TrainingJobStatus"] in {"Stopping", "Stopped"}
    assert lab.trained(name)["SecondaryStatus"] == "Stopped"
    with pytest.raises(ClientError) as error:
        lab.sagemaker.stop_training_job(TrainingJobName=name)
    assert refusal(error)[0] == "ValidationException"


def test_job_names_are_used_up_for_good(lab: Laboratory) -> None:
    request = lab.training_request()
    lab.sagemaker.create_training_job(**request)
    lab.trained(request["TrainingJobName"])
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_training_job(**request)
    assert refusal(error)[0] == "ResourceInUse"
    assert "must be unique within an AWS account and region" in refusal(error)[1]


def test_request_that_breaks_the_service_model_is_refused_in_awss_words(lab: Laboratory) -> None:
    request = lab.training_request()
    request["TrainingJobName"] = "a_b"
    request["AlgorithmSpecification"]["TrainingInputMode"] = "Fil"
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 0}
    with pytest.raises(ClientError) as error:
        _unchecked(lab, "CreateTrainingJob", request)
    assert refusal(error) == (
        "ValidationException",
        "3 validation errors detected: Value 'a_b' at 'trainingJobName' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: "
        "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}; Value 'Fil' at "
        "'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must "
        "satisfy enum value set: [Pipe, File, FastFile]; Value '0' at "
        "'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have "
        "value greater than or equal to 1",
    )


def test_request_without_a_required_member_is_refused(lab: Laboratory) -> None:
    request = lab.training_request()
    del request["RoleArn"]
    with pytest.raises(ClientError) as error:
        _unchecked(lab, "CreateTrainingJob", request)
    assert refusal(error)[1] == (
        "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: "
        "Member must not be null"
    )


def _unchecked(lab: Laboratory, operation: str, request: dict[str, Any]) -> Any:
    """Send a request past the client's own checks."""
    engine = lab.account.engine
    client = boto3.client(
        "sagemaker",
        endpoint_url=engine.endpoint,
        region_name=engine.region,
        aws_access_key_id=engine.access_key,
        aws_secret_access_key=engine.secret_key,
        config=Config(parameter_validation=False),
    )
    try:
        return client._make_api_call(operation, request)
    finally:
        client.close()


def test_unknown_image_is_not_pulled(lab: Laboratory) -> None:
    request = lab.training_request()
    request["AlgorithmSpecification"]["TrainingImage"] = f"local/steward-jobs@sha256:{'0' * 64}"
    lab.sagemaker.create_training_job(**request)
    job = lab.trained(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Cannot pull algorithm container.")


def test_job_reads_only_what_its_role_may_read(lab: Laboratory) -> None:
    poor = lab.job_role(allow("logs:*"))
    request = lab.training_request(RoleArn=poor)
    lab.sagemaker.create_training_job(**request)
    job = lab.trained(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Failed to list objects under s3://")
    assert poor in job["FailureReason"]


def test_job_without_log_permissions_runs_and_its_output_is_lost(lab: Laboratory) -> None:
    silent = lab.job_role(allow("s3:*"))
    request = lab.training_request({"print": ["nobody hears this"]}, RoleArn=silent)
    lab.sagemaker.create_training_job(**request)
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    assert "nobody hears this" not in lab.account.log_lines("/aws/sagemaker/TrainingJobs")


def test_role_that_does_not_trust_sagemaker_is_refused(lab: Laboratory) -> None:
    _, other = lab.account.role([allow("s3:*")], trust("lambda"))
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_training_job(**lab.training_request(RoleArn=other))
    assert refusal(error)[0] == "ValidationException"
    assert "allows principal 'sagemaker.amazonaws.com' to assume the role" in refusal(error)[1]


def test_caller_needs_create_and_pass_role(lab: Laboratory) -> None:
    arn = "arn:aws:sagemaker:us-east-1:000000000000:training-job/allowed-*"
    _, keys = lab.account.user([allow("sagemaker:CreateTrainingJob", resource=arn)])
    client = lab.account.client("sagemaker", keys)
    with pytest.raises(ClientError) as error:
        client.create_training_job(**lab.training_request())
    assert refusal(error)[0] == "AccessDeniedException"
    request = lab.training_request(TrainingJobName=unique("allowed"))
    with pytest.raises(ClientError) as error:
        client.create_training_job(**request)
    assert "iam:PassRole" in refusal(error)[1]
    passing = {
        **allow("iam:PassRole", resource=lab.role),
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    _, keys = lab.account.user([allow("sagemaker:CreateTrainingJob", resource=arn), passing])
    lab.account.client("sagemaker", keys).create_training_job(**request)
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"


def test_training_jobs_are_listed_by_name_and_status(lab: Laboratory) -> None:
    prefix = unique("listed")
    for number in range(3):
        request = lab.training_request(TrainingJobName=f"{prefix}-{number}")
        lab.sagemaker.create_training_job(**request)
    for number in range(3):
        lab.trained(f"{prefix}-{number}")
    page = lab.sagemaker.list_training_jobs(
        NameContains=prefix, StatusEquals="Completed", SortBy="Name", MaxResults=2
    )
    names = [item["TrainingJobName"] for item in page["TrainingJobSummaries"]]
    assert names == [f"{prefix}-2", f"{prefix}-1"]
    rest = lab.sagemaker.list_training_jobs(
        NameContains=prefix, SortBy="Name", MaxResults=2, NextToken=page["NextToken"]
    )
    assert [item["TrainingJobName"] for item in rest["TrainingJobSummaries"]] == [f"{prefix}-0"]


def test_processing_job_moves_inputs_and_outputs(lab: Laboratory) -> None:
    request = lab.processing_request()
    request["AppSpecification"]["ContainerArguments"] = ["--quick"]
    name = request["ProcessingJobName"]
    tap = BusTap(lab.account, {"detail-type": ["SageMaker Processing Job State Change"]})
    lab.sagemaker.create_processing_job(**request)
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Completed"
    output = f"s3://{lab.bucket}/{name}/output"
    assert json.loads(lab.get(f"{output}/evaluation.json")) == {"arguments": ["--quick"]}
    assert lab.get(f"{output}/heldout.csv") == b"id,y\np1,0\n"
    statuses = [event["detail"]["ProcessingJobStatus"] for event in tap.until(2)]
    assert statuses == ["InProgress", "Completed"]


def test_failed_processing_job_has_reason_and_exit_message(lab: Laboratory) -> None:
    request = lab.processing_request({"fail": "held-out set is empty"})
    lab.sagemaker.create_processing_job(**request)
    job = lab.processed(request["ProcessingJobName"])
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information")
    assert job["ExitMessage"] == "held-out set is empty"


def test_processing_job_can_be_stopped(lab: Laboratory) -> None:
    request = lab.processing_request({"sleep": 30})
    name = request["ProcessingJobName"]
    lab.sagemaker.create_processing_job(**request)
    lab.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert lab.processed(name)["ProcessingJobStatus"] == "Stopped"


def test_tags_of_a_job_can_be_changed(lab: Laboratory) -> None:
    request = lab.training_request(Tags=[{"Key": "project", "Value": "one"}])
    arn = lab.sagemaker.create_training_job(**request)["TrainingJobArn"]
    lab.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "run", "Value": "7"}])
    lab.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["project"])
    assert lab.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "run", "Value": "7"}]
    lab.trained(request["TrainingJobName"])


def test_a_spot_job_goes_on_from_its_checkpoints_after_an_interruption(lab: Laboratory) -> None:
    request = lab.training_request({"steps": 20})
    name = request["TrainingJobName"]
    request |= {
        "EnableManagedSpotTraining": True,
        "CheckpointConfig": {"S3Uri": f"s3://{lab.bucket}/checkpoints/{name}"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
    }
    told = lab.account.engine.state_dir / "spot.json"
    told.write_text(json.dumps({name: {"after_s": 1.5, "times": 1, "away_s": 0.2}}))
    try:
        lab.sagemaker.create_training_job(**request)
        job = lab.trained(name)
    finally:
        told.unlink()
    assert job["TrainingJobStatus"] == "Completed"
    statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert statuses == [
        "Starting", "Downloading", "Training", "Interrupted", "Starting", "Downloading", "Training",
        "Uploading", "Completed",
    ]  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(lab.get(job["ModelArtifacts"]["S3ModelArtifacts"]))) as a:
        member = a.extractfile("steps")
        assert member is not None
        began, ended = map(int, member.read().split())
    assert 0 < began < ended == 20
    assert lab.get(f"s3://{lab.bucket}/checkpoints/{name}/step") == b"20"
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_a_spot_job_that_waits_too_long_is_stopped(lab: Laboratory) -> None:
    request = lab.training_request({"steps": 50})
    name = request["TrainingJobName"]
    request |= {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1},
    }
    told = lab.account.engine.state_dir / "spot.json"
    told.write_text(json.dumps({name: {"after_s": 0.3, "times": 9, "away_s": 1.2}}))
    try:
        lab.sagemaker.create_training_job(**request)
        job = lab.trained(name)
    finally:
        told.unlink()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")

"""The SageMaker integrations of Step Functions, with jobs that are waited for and stopped."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import IMAGE, Laboratory, allow, serverless
from support.machines import TASK, Machines, jsonata, passing, rules

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


@pytest.fixture(scope="module")
def machines(account: Account) -> Machines:
    return Machines(account)


def task(api: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"{TASK}{api}",
        "Arguments": arguments,
        **({} if "Next" in fields else {"End": True}),
        **fields,
    }


def training_statements(lab: Laboratory, *left_out: str) -> list[dict[str, Any]]:
    """What a role needs for createTrainingJob.sync, without some of it."""
    wanted = [
        *(f"sagemaker:{verb}TrainingJob" for verb in ("Create", "Describe", "Stop")),
        "sagemaker:ListTags",
    ]
    statements = [allow(*(action for action in wanted if action not in left_out))]
    if "rule" not in left_out:
        statements.append(rules("SageMakerTrainingJobs"))
    if "iam:PassRole" not in left_out:
        statements.append(passing(lab.role))
    return statements


def test_training_job_is_waited_for_and_its_description_is_the_result(
    lab: Laboratory, machines: Machines
) -> None:
    request = lab.training_request()
    machine = machines.create(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab),
    )
    execution = machines.start(machine)
    ended = machines.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    output = json.loads(ended["output"])
    assert output["TrainingJobStatus"] == "Completed"
    assert output["ModelArtifacts"]["S3ModelArtifacts"].endswith("model.tar.gz")
    assert output["CreationTime"] > 1_700_000_000_000
    kinds = [event["type"] for event in machines.history(execution)]
    assert kinds == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_failed_job_fails_the_task_with_its_description(
    lab: Laboratory, machines: Machines
) -> None:
    request = lab.training_request({"fail": "no such column"})
    ended = machines.run(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab),
    )
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(ended["cause"])
    assert cause["TrainingJobStatus"] == "Failed"
    assert cause["FailureReason"] == "AlgorithmError: no such column, exit code: 1"


def test_processing_job_is_waited_for(lab: Laboratory, machines: Machines) -> None:
    request = lab.processing_request()
    ended = machines.run(
        jsonata({"Evaluate": task("sagemaker:createProcessingJob.sync", request)}),
        allow("sagemaker:*"),
        rules("SageMakerProcessingJobs"),
        passing(lab.role),
    )
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"])["ProcessingJobStatus"] == "Completed"


def test_used_job_name_has_its_own_error(lab: Laboratory, machines: Machines) -> None:
    request = lab.training_request()
    machine = machines.create(
        jsonata(
            {
                "Train": task(
                    "sagemaker:createTrainingJob.sync",
                    request,
                    Catch=[
                        {
                            "ErrorEquals": ["SageMaker.ResourceInUseException"],
                            "Next": "Adopt",
                            "Output": "{% $states.errorOutput %}",
                        }
                    ],
                ),
                "Adopt": {"Type": "Pass", "End": True},
            }
        ),
        *training_statements(lab),
    )
    assert machines.ended(machines.start(machine))["status"] == "SUCCEEDED"
    second = json.loads(machines.ended(machines.start(machine))["output"])
    assert second["Error"] == "SageMaker.ResourceInUseException"
    assert "Error Code: ResourceInUse;" in second["Cause"]


def test_refused_request_has_the_services_general_error(
    lab: Laboratory, machines: Machines
) -> None:
    request = lab.training_request(TrainingJobName="not_allowed")
    ended = machines.run(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab),
    )
    assert ended["error"] == "SageMaker.AmazonSageMakerException"
    assert "Error Code: ValidationException" in ended["cause"]


def test_field_that_the_api_lacks_is_refused(lab: Laboratory, machines: Machines) -> None:
    request = lab.training_request(Priority="{% 'high' %}")
    ended = machines.run(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab),
    )
    assert ended["error"] == "States.Runtime"
    assert ended["cause"] == "The field 'Priority' is not supported by Step Functions."


def started(lab: Laboratory, request: Any) -> None:
    name = request["TrainingJobName"]

    def trains() -> bool:
        try:
            job = lab.sagemaker.describe_training_job(TrainingJobName=name)
        except ClientError:
            return False
        return bool(job["SecondaryStatus"] == "Training")

    eventually(trains, what="the start of the job")


def test_stopped_execution_stops_its_job(lab: Laboratory, machines: Machines) -> None:
    request = lab.training_request({"sleep": 60})
    machine = machines.create(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab),
    )
    execution = machines.start(machine)
    started(lab, request)
    machines.client.stop_execution(executionArn=execution, error="Operator", cause="enough")
    ended = machines.ended(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Operator", "enough")
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Stopped"


def test_task_timeout_stops_the_job_and_can_be_caught(lab: Laboratory, machines: Machines) -> None:
    request = lab.training_request({"sleep": 60})
    ended = machines.run(
        jsonata(
            {
                "Train": task(
                    "sagemaker:createTrainingJob.sync",
                    request,
                    TimeoutSeconds=1,
                    Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "Late"}],
                ),
                "Late": {"Type": "Pass", "Output": "late", "End": True},
            }
        ),
        *training_statements(lab),
    )
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", '"late"')
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Stopped"


def test_machine_timeout_stops_the_job_and_cannot_be_caught(
    lab: Laboratory, machines: Machines
) -> None:
    request = lab.training_request({"sleep": 60})
    ended = machines.run(
        jsonata(
            {
                "Train": task(
                    "sagemaker:createTrainingJob.sync",
                    request,
                    Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Never"}],
                ),
                "Never": {"Type": "Pass", "End": True},
            },
            TimeoutSeconds=1,
        ),
        *training_statements(lab),
    )
    assert (ended["status"], ended["error"]) == ("TIMED_OUT", "States.Timeout")
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    "missing",
    [
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTags",
        "iam:PassRole",
    ],
)
def test_role_needs_each_permission_of_a_synchronous_job(
    lab: Laboratory, machines: Machines, missing: str
) -> None:
    request = lab.training_request()
    ended = machines.run(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab, missing),
    )
    assert ended["error"] == "SageMaker.AmazonSageMakerException"
    assert f"is not authorized to perform: {missing}" in ended["cause"]
    with pytest.raises(ClientError):
        lab.sagemaker.describe_training_job(TrainingJobName=request["TrainingJobName"])


def test_role_without_stop_permission_leaves_the_job_running(
    lab: Laboratory, machines: Machines
) -> None:
    request = lab.training_request({"sleep": 2})
    machine = machines.create(
        jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
        *training_statements(lab, "sagemaker:StopTrainingJob"),
    )
    execution = machines.start(machine)
    started(lab, request)
    machines.client.stop_execution(executionArn=execution)
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"


def test_machine_is_refused_when_its_role_may_not_make_the_rule(
    lab: Laboratory, machines: Machines
) -> None:
    with pytest.raises(ClientError) as error:
        machines.create(
            jsonata({"Train": task("sagemaker:createTrainingJob.sync", lab.training_request())}),
            *training_statements(lab, "rule"),
        )
    answer = error.value.response["Error"]
    assert answer["Code"] == "AccessDeniedException"
    assert "is not authorized to create managed-rule" in answer["Message"]


@pytest.mark.parametrize(
    "api",
    [
        "sagemaker:createEndpoint.sync",
        "aws-sdk:sagemaker:createTrainingJob.sync",
        "sagemaker:createTrainingJob.waitForTaskToken",
        "sagemaker:describeEndpoint",
        "lambda:invoke.sync",
    ],
)
def test_unsupported_pattern_is_refused_at_creation(machines: Machines, api: str) -> None:
    with pytest.raises(ClientError) as error:
        machines.create(jsonata({"Do": task(api, {})}))
    answer = error.value.response["Error"]
    assert answer["Code"] == "InvalidDefinition"
    assert f"The resource provided {TASK}{api} is not recognized" in answer["Message"]


def test_endpoint_is_created_described_updated_and_deleted_by_a_machine(
    lab: Laboratory, machines: Machines
) -> None:
    name = unique("hosted")
    model = {
        "ModelName": name,
        "ExecutionRoleArn": lab.role,
        "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": lab.artifact({"version": 3})},
    }
    config = {"EndpointConfigName": name, "ProductionVariants": [serverless(name)]}
    definition = jsonata(
        {
            "Model": task("sagemaker:createModel", model, Next="Config"),
            "Config": task("sagemaker:createEndpointConfig", config, Next="Endpoint"),
            "Endpoint": task(
                "sagemaker:createEndpoint",
                {"EndpointName": name, "EndpointConfigName": name},
                Next="Look",
            ),
            "Look": task(
                "aws-sdk:sagemaker:describeEndpoint",
                {"EndpointName": name},
                Assign={"status": "{% $states.result.EndpointStatus %}"},
                Next="IsReady",
            ),
            "IsReady": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $status = 'Creating' %}", "Next": "Pause"}],
                "Default": "Remove",
            },
            "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Look"},
            "Remove": task(
                "aws-sdk:sagemaker:deleteEndpoint",
                {"EndpointName": name},
                Next="RemoveConfig",
            ),
            "RemoveConfig": task(
                "aws-sdk:sagemaker:deleteEndpointConfig",
                {"EndpointConfigName": name},
                Next="RemoveModel",
            ),
            "RemoveModel": task(
                "aws-sdk:sagemaker:deleteModel", {"ModelName": name}, Output="{% $status %}"
            ),
        }
    )
    ended = machines.run(definition, allow("sagemaker:*"), passing(lab.role))
    assert (ended["status"], ended.get("output")) == ("SUCCEEDED", '"InService"'), ended


def test_sdk_integration_has_the_sdks_error_names(lab: Laboratory, machines: Machines) -> None:
    missing = machines.run(
        jsonata({"Look": task("aws-sdk:sagemaker:describeEndpoint", {"EndpointName": "none"})}),
        allow("sagemaker:DescribeEndpoint"),
    )
    assert missing["error"] == "SageMaker.SageMakerException"
    assert "Could not find endpoint" in missing["cause"]
    denied = machines.run(
        jsonata({"Look": task("aws-sdk:sagemaker:describeEndpoint", {"EndpointName": "none"})}),
    )
    assert denied["error"] == "SageMaker.SageMakerException"
    assert "is not authorized to perform: sagemaker:DescribeEndpoint" in denied["cause"]


def test_waiting_for_a_job_adds_little_to_it(lab: Laboratory, machines: Machines) -> None:
    def added() -> float:
        request = lab.training_request()
        machine = machines.create(
            jsonata({"Train": task("sagemaker:createTrainingJob.sync", request)}),
            *training_statements(lab),
        )
        ended = machines.ended(machines.start(machine))
        job = lab.sagemaker.describe_training_job(TrainingJobName=request["TrainingJobName"])
        over = (ended["stopDate"] - ended["startDate"]).total_seconds()
        return float(over - (job["TrainingEndTime"] - job["CreationTime"]).total_seconds())

    # Other processes can only lengthen it: what one of several tries shows is true.
    assert any(added() < 3 for _ in range(5))

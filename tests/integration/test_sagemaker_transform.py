"""Batch transform jobs of the embedded SageMaker: the model's container asked row by row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import Laboratory, allow
from support.machines import TASK, Machines, jsonata, rules

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


@pytest.fixture(scope="module")
def model(lab: Laboratory) -> str:
    return lab.model({"version": 3})


def request(lab: Laboratory, model: str, rows: str, **changes: Any) -> dict[str, Any]:
    name = unique("score")
    lab.put(f"{name}/in/rows.csv", rows)
    return {
        "TransformJobName": name,
        "ModelName": model,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": f"s3://{lab.bucket}/{name}/in/",
                }
            },
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{lab.bucket}/{name}/out",
            "AssembleWith": "Line",
            "Accept": "text/csv",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def ended(lab: Laboratory, asked: dict[str, Any]) -> dict[str, Any]:
    lab.sagemaker.create_transform_job(**asked)

    def read() -> dict[str, Any] | None:
        found: dict[str, Any] = lab.sagemaker.describe_transform_job(
            TransformJobName=asked["TransformJobName"]
        )
        return None if found["TransformJobStatus"] in ("InProgress", "Stopping") else found

    return eventually(read, what="the end of the transform job")


def test_each_row_is_asked_of_the_models_container_and_joined_with_its_id(
    lab: Laboratory, model: str
) -> None:
    asked = request(
        lab, model, "p1,1,2\np2,3,4\n",
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input"},
    )  # fmt: skip
    described = ended(lab, asked)
    assert described["TransformJobStatus"] == "Completed", described
    lines = lab.get(f"{asked['TransformOutput']['S3OutputPath']}/rows.csv.out").decode()
    first, second = lines.splitlines()
    assert first.startswith("p1,1,2,")
    answer = json.loads(second.removeprefix("p2,3,4,"))
    assert (answer["plan"], answer["body"]) == ({"version": 3}, "3,4\n")
    with pytest.raises(ClientError, match="Job name must be unique"):
        lab.sagemaker.create_transform_job(**asked)


def test_rows_that_the_container_refuses_fail_the_job_with_its_words(
    lab: Laboratory, model: str
) -> None:
    asked = request(lab, model, '{"status": 500}\n')
    asked["TransformInput"]["ContentType"] = "application/jsonlines"
    described = ended(lab, asked)
    assert described["TransformJobStatus"] == "Failed"
    assert "Bad HTTP status received from algorithm: 500" in described["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"DataProcessing": {"InputFilter": "$.x"}}, "does not apply the filter"),
        ({"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2}}, "instances"),
        ({"BatchStrategy": "Some"}, "BatchStrategy"),
    ],
)
def test_a_request_that_cannot_be_kept_is_refused(
    lab: Laboratory, model: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(Exception, match=f"(?i){says}"):
        lab.sagemaker.create_transform_job(**request(lab, model, "1\n", **changes))


def test_a_machine_waits_for_the_job(lab: Laboratory, account: Account, model: str) -> None:
    machines = Machines(account)
    asked = request(lab, model, "1\n2\n")
    machine = machines.create(
        jsonata({
            "Score": {
                "Type": "Task", "Resource": f"{TASK}sagemaker:createTransformJob.sync",
                "Arguments": asked, "End": True,
            }
        }),
        allow("sagemaker:CreateTransformJob", "sagemaker:DescribeTransformJob",
              "sagemaker:StopTransformJob", "sagemaker:ListTags"),
        rules("SageMakerTransformJobs"),
    )  # fmt: skip
    execution = machines.ended(machines.start(machine))
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["TransformJobStatus"] == "Completed"

"""The model registry of the embedded SageMaker."""

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, unique
from support.laboratory import IMAGE, BusTap, Laboratory, allow

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


@pytest.fixture
def group(lab: Laboratory) -> str:
    name = unique("steward-test")
    lab.sagemaker.create_model_package_group(ModelPackageGroupName=name)
    return name


def register(lab: Laboratory, group: str, **changes: Any) -> str:
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{lab.bucket}/m/model.tar.gz"}
    arn: str = lab.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        **changes,
    )["ModelPackageArn"]
    return arn


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def test_versions_count_up_and_numbers_are_not_given_again(lab: Laboratory, group: str) -> None:
    first, second = register(lab, group), register(lab, group)
    assert first.endswith(f":model-package/{group}/1")
    assert second.endswith(f":model-package/{group}/2")
    lab.sagemaker.delete_model_package(ModelPackageName=second)
    third = register(lab, group)
    assert third.endswith(f":model-package/{group}/3")
    listed = lab.sagemaker.list_model_packages(ModelPackageGroupName=group)
    versions = [item["ModelPackageVersion"] for item in listed["ModelPackageSummaryList"]]
    assert versions == [3, 1]


def test_version_waits_for_approval_and_keeps_what_it_was_registered_with(
    lab: Laboratory, group: str
) -> None:
    metrics = {
        "ModelQuality": {
            "Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{lab.bucket}/e.json"}
        }
    }
    arn = register(lab, group, ModelMetrics=metrics, CustomerMetadataProperties={"run_id": "r-1"})
    package = lab.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageStatus"] == "Completed"
    assert package["ModelPackageVersion"] == 1
    assert package["ModelMetrics"] == metrics
    assert package["CustomerMetadataProperties"] == {"run_id": "r-1"}
    assert package["InferenceSpecification"]["Containers"][0]["Image"] == IMAGE


def test_approval_and_properties_are_updated_and_told_to_the_bus(
    lab: Laboratory, group: str
) -> None:
    tap = BusTap(
        lab.account,
        {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {"ModelPackageGroupName": [{"prefix": group}]},
        },
    )
    arn = register(lab, group, CustomerMetadataProperties={"a": "1", "b": "2"})
    lab.sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="reviewed",
        CustomerMetadataProperties={"c": "3"},
        CustomerMetadataPropertiesToRemove=["a"],
    )
    package = lab.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert package["LastModifiedBy"]["IamIdentity"]["Arn"].endswith(":root")
    created, approved = tap.until(2)[:2]
    assert created["detail"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert approved["detail"]["ModelApprovalStatus"] == "Approved"
    assert approved["detail"]["ApprovalDescription"] == "reviewed"
    assert approved["detail"]["ModelPackageVersion"] == 1
    assert approved["detail"]["CreationTime"].endswith("Z")
    assert approved["resources"] == [arn]


def test_packages_are_filtered_by_approval(lab: Laboratory, group: str) -> None:
    register(lab, group, ModelApprovalStatus="Rejected")
    approved = register(lab, group, ModelApprovalStatus="Approved")
    listed = lab.sagemaker.list_model_packages(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    assert [item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]] == [approved]


def test_group_with_versions_cannot_be_deleted(lab: Laboratory, group: str) -> None:
    arn = register(lab, group)
    with pytest.raises(ClientError) as error:
        lab.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert refusal(error)[0] == "ConflictException"
    lab.sagemaker.delete_model_package(ModelPackageName=arn)
    lab.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError) as error:
        lab.sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    assert refusal(error)[0] == "ValidationException"


def test_version_of_an_unknown_group_and_a_second_group_of_a_name_are_refused(
    lab: Laboratory, group: str
) -> None:
    with pytest.raises(ClientError) as error:
        register(lab, "no-such-group")
    assert "does not exist" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    assert "Model Package Group already exists" in refusal(error)[1]


def test_repeated_client_token_registers_once(lab: Laboratory, group: str) -> None:
    token = str(uuid.uuid4())
    assert register(lab, group, ClientToken=token) == register(lab, group, ClientToken=token)


def test_approving_needs_permission_on_the_version(lab: Laboratory, group: str) -> None:
    arn = register(lab, group)
    other = f"arn:aws:sagemaker:us-east-1:000000000000:model-package/{group}/2"
    _, keys = lab.account.user([allow("sagemaker:UpdateModelPackage", resource=other)])
    with pytest.raises(ClientError) as error:
        lab.account.client("sagemaker", keys).update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus="Approved"
        )
    assert refusal(error)[0] == "AccessDeniedException"


def test_a_policy_may_tell_approving_from_setting_back(lab: Laboratory, group: str) -> None:
    arn = register(lab, group)
    deny = {
        "Effect": "Deny",
        "Action": "sagemaker:UpdateModelPackage",
        "Resource": "*",
        "Condition": {"StringEquals": {"sagemaker:ModelApprovalStatus": "Approved"}},
    }
    _, keys = lab.account.user([allow("sagemaker:UpdateModelPackage"), deny])
    client = lab.account.client("sagemaker", keys)
    client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="PendingManualApproval")
    with pytest.raises(ClientError) as error:
        client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert refusal(error)[0] == "AccessDeniedException"


def test_model_can_be_made_from_a_version(lab: Laboratory, group: str) -> None:
    lab.put("m/model.tar.gz", lab.get(lab.artifact({"version": 9})))
    arn = register(lab, group)
    name = unique("model")
    lab.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=lab.role, PrimaryContainer={"ModelPackageName": arn}
    )
    config = lab.config(
        {
            "VariantName": "v",
            "ModelName": name,
            "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
        }
    )
    assert lab.invoke(lab.endpoint(config))["Body"]["plan"] == {"version": 9}

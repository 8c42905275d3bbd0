"""Feature groups of the embedded SageMaker: control plane and templates."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import Laboratory, allow, trust

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def test_group_is_creating_then_created_and_describes_what_it_was_made_of(lab: Laboratory) -> None:
    request = lab.feature_group_request(Description="vitals", Tags=[{"Key": "team", "Value": "ml"}])
    name = request["FeatureGroupName"]
    arn = lab.sagemaker.create_feature_group(**request)["FeatureGroupArn"]
    first = lab.sagemaker.describe_feature_group(FeatureGroupName=name)
    assert first["FeatureGroupStatus"] == "Creating"
    group = lab.feature_group_settled(arn)
    assert group["FeatureGroupStatus"] == "Created"
    assert group["FeatureGroupArn"] == arn
    assert arn.endswith(f":feature-group/{name}")
    assert group["FeatureDefinitions"] == request["FeatureDefinitions"]
    assert group["OnlineStoreConfig"] == {"EnableOnlineStore": True, "StorageType": "Standard"}
    assert group["ThroughputConfig"] == {"ThroughputMode": "OnDemand"}
    assert group["OfflineStoreStatus"] == {"Status": "Active"}
    assert group["Description"] == "vitals"
    created = int(group["CreationTime"].timestamp())
    assert group["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"] == (
        f"s3://{lab.bucket}/offline/000000000000/sagemaker/us-east-1/offline-store/"
        f"{name}-{created}/data"
    )
    tags = lab.sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RecordIdentifierFeatureName": "patient"}, "RecordIdentifierFeatureName patient must be"),
        ({"EventTimeFeatureName": "when"}, "EventTimeFeatureName when must be one of the names"),
        ({"EventTimeFeatureName": "age"}, "must be one of ['String', 'Fractional']"),
        ({"EventTimeFeatureName": "entity"}, "must be different"),
        ({"OfflineStoreConfig": None, "OnlineStoreConfig": {}}, "At least one of"),
        ({"RoleArn": None}, "RoleArn is required"),
        (
            {"OnlineStoreConfig": {"EnableOnlineStore": True, "StorageType": "InMemory"}},
            "InMemory storage type",
        ),
    ],
)
def test_group_that_aws_would_refuse_is_refused(
    lab: Laboratory, changes: dict[str, Any], words: str
) -> None:
    request = lab.feature_group_request(**changes)
    request = {name: value for name, value in request.items() if value is not None}
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_feature_group(**request)
    code, message = refusal(error)
    assert code == "ValidationException"
    assert words in message


@pytest.mark.parametrize("name", ["is_deleted", "write_time", "api_invocation_time", "AGE"])
def test_reserved_and_repeated_feature_names_are_refused(lab: Laboratory, name: str) -> None:
    request = lab.feature_group_request()
    request["FeatureDefinitions"].append({"FeatureName": name, "FeatureType": "String"})
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_feature_group(**request)
    assert refusal(error)[0] == "ValidationException"
    assert name in refusal(error)[1]


def test_more_than_2500_features_break_the_service_model(lab: Laboratory) -> None:
    request = lab.feature_group_request()
    request["FeatureDefinitions"] += [
        {"FeatureName": f"f{number}", "FeatureType": "Integral"} for number in range(2_496)
    ]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_feature_group(**request)
    assert "have length less than or equal to 2500" in refusal(error)[1]


def test_name_is_unique_and_an_unknown_one_is_not_found(lab: Laboratory) -> None:
    name = lab.feature_group(OfflineStoreConfig=None)
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_feature_group(**lab.feature_group_request(FeatureGroupName=name))
    assert refusal(error)[0] == "ResourceInUse"
    with pytest.raises(ClientError) as error:
        lab.sagemaker.describe_feature_group(FeatureGroupName="nobody")
    assert refusal(error)[0] == "ResourceNotFound"


def test_caller_needs_the_operation_the_role_and_its_passing(lab: Laboratory) -> None:
    request = lab.feature_group_request()
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:feature-group/{request['FeatureGroupName']}"
    _, stranger = lab.account.user([allow("sagemaker:CreateFeatureGroup", resource=f"{arn}x")])
    with pytest.raises(ClientError) as error:
        lab.account.client("sagemaker", stranger).create_feature_group(**request)
    assert refusal(error)[0] == "AccessDeniedException"
    assert "sagemaker:CreateFeatureGroup" in refusal(error)[1]
    _, maker = lab.account.user([allow("sagemaker:CreateFeatureGroup", resource=arn)])
    with pytest.raises(ClientError) as error:
        lab.account.client("sagemaker", maker).create_feature_group(**request)
    assert "iam:PassRole" in refusal(error)[1]
    other = lab.account.role([allow("s3:*")], trust("glue"))[1]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_feature_group(**{**request, "RoleArn": other})
    assert "Could not assume role" in refusal(error)[1]


@pytest.mark.parametrize("missing", ["s3:PutObject", "s3:PutObjectAcl", "s3:GetBucketAcl"])
def test_group_fails_when_its_role_cannot_write_the_offline_store(
    lab: Laboratory, missing: str
) -> None:
    held = {"s3:PutObject", "s3:PutObjectAcl", "s3:GetBucketAcl"} - {missing}
    request = lab.feature_group_request(RoleArn=lab.job_role(allow(*sorted(held))))
    lab.sagemaker.create_feature_group(**request)
    group = lab.feature_group_settled(request["FeatureGroupName"])
    assert group["FeatureGroupStatus"] == "CreateFailed"
    assert missing in group["FailureReason"]


def test_features_are_added_and_the_ttl_changed_one_update_at_a_time(lab: Laboratory) -> None:
    name = lab.feature_group(OfflineStoreConfig=None)
    added = [{"FeatureName": "pulse", "FeatureType": "Integral"}]
    ttl = {"Unit": "Days", "Value": 2}
    with pytest.raises(ClientError) as error:
        lab.sagemaker.update_feature_group(
            FeatureGroupName=name, FeatureAdditions=added, OnlineStoreConfig={"TtlDuration": ttl}
        )
    assert "exactly one of" in refusal(error)[1]
    lab.sagemaker.update_feature_group(FeatureGroupName=name, FeatureAdditions=added)
    with pytest.raises(ClientError) as error:
        lab.sagemaker.update_feature_group(
            FeatureGroupName=name, OnlineStoreConfig={"TtlDuration": ttl}
        )
    assert "in progress" in refusal(error)[1]
    group = updated(lab, name)
    assert group["FeatureDefinitions"][-1:] == added
    lab.sagemaker.update_feature_group(
        FeatureGroupName=name, OnlineStoreConfig={"TtlDuration": ttl}
    )
    assert updated(lab, name)["OnlineStoreConfig"]["TtlDuration"] == ttl
    lab.sagemaker.update_feature_group(FeatureGroupName=name, OnlineStoreConfig={"TtlDuration": {}})
    assert "TtlDuration" not in updated(lab, name)["OnlineStoreConfig"]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.update_feature_group(FeatureGroupName=name, FeatureAdditions=added)
    assert "must be unique" in refusal(error)[1]


def updated(lab: Laboratory, name: str) -> Any:
    def read() -> Any:
        group = lab.sagemaker.describe_feature_group(FeatureGroupName=name)
        return group if group["LastUpdateStatus"]["Status"] == "Successful" else None

    return eventually(read, what="the update")


def test_groups_are_listed_by_status_and_name_and_deleted(lab: Laboratory) -> None:
    name = lab.feature_group(OfflineStoreConfig=None)
    listed = lab.sagemaker.list_feature_groups(
        NameContains=name, FeatureGroupStatusEquals="Created"
    )["FeatureGroupSummaries"]
    assert [item["FeatureGroupName"] for item in listed] == [name]
    lab.sagemaker.delete_feature_group(FeatureGroupName=name)
    described = lab.sagemaker.describe_feature_group(FeatureGroupName=name)
    assert described["FeatureGroupStatus"] == "Deleting"
    gone(lab, name)


def gone(lab: Laboratory, name: str) -> None:
    def read() -> bool:
        try:
            lab.sagemaker.describe_feature_group(FeatureGroupName=name)
        except lab.sagemaker.exceptions.ResourceNotFound:
            return True
        return False

    eventually(read, what="the deletion")


def test_feature_metadata_is_kept_for_each_feature(lab: Laboratory) -> None:
    name = lab.feature_group(OfflineStoreConfig=None)
    about = {"FeatureGroupName": name, "FeatureName": "age"}
    lab.sagemaker.update_feature_metadata(
        **about, Description="Years", ParameterAdditions=[{"Key": "owner", "Value": "ward"}]
    )
    known = lab.sagemaker.describe_feature_metadata(**about)
    assert known["Description"] == "Years"
    assert known["FeatureType"] == "Integral"
    assert known["Parameters"] == [{"Key": "owner", "Value": "ward"}]
    lab.sagemaker.update_feature_metadata(**about, ParameterRemovals=["owner"])
    assert lab.sagemaker.describe_feature_metadata(**about)["Parameters"] == []
    with pytest.raises(ClientError) as error:
        lab.sagemaker.describe_feature_metadata(FeatureGroupName=name, FeatureName="shoe")
    assert refusal(error)[0] == "ResourceNotFound"


def template(lab: Laboratory, **changes: Any) -> str:
    properties = {
        **lab.feature_group_request(FeatureGroupName="", OfflineStoreConfig=None),
        "FeatureGroupName": {"Ref": "Name"},
        "OnlineStoreConfig": {
            "EnableOnlineStore": "true",
            "TtlDuration": {"Unit": "Days", "Value": "2"},
        },
        "Tags": [{"Key": "team", "Value": "7"}],
        **changes,
    }
    properties = {name: value for name, value in properties.items() if value is not None}
    resource = {"Type": "AWS::SageMaker::FeatureGroup", "Properties": properties}
    return json.dumps(
        {
            "Parameters": {"Name": {"Type": "String"}},
            "Resources": {"Group": resource},
            "Outputs": {
                "Name": {"Value": {"Ref": "Group"}},
                "Status": {"Value": {"Fn::GetAtt": ["Group", "FeatureGroupStatus"]}},
            },
        }
    )


def deploy(lab: Laboratory, stack: str, body: str, name: str) -> Any:
    cloudformation = lab.account.client("cloudformation")
    parameters = [{"ParameterKey": "Name", "ParameterValue": name}]
    known = {item["StackName"] for item in cloudformation.describe_stacks()["Stacks"]}
    call = cloudformation.update_stack if stack in known else cloudformation.create_stack
    call(StackName=stack, TemplateBody=body, Parameters=parameters)

    def read() -> Any:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    return eventually(read, what="the stack")


def test_template_makes_changes_replaces_and_deletes_a_group(lab: Laboratory) -> None:
    stack, name = unique("features"), unique("patients")
    made = deploy(lab, stack, template(lab), name)
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    outputs = {item["OutputKey"]: item["OutputValue"] for item in made["Outputs"]}
    assert outputs == {"Name": name, "Status": "Created"}
    group = lab.sagemaker.describe_feature_group(FeatureGroupName=name)
    assert group["OnlineStoreConfig"]["TtlDuration"] == {"Unit": "Days", "Value": 2}
    assert lab.sagemaker.list_tags(ResourceArn=group["FeatureGroupArn"])["Tags"] == [
        {"Key": "team", "Value": "7"}
    ]
    definitions = lab.feature_group_request()["FeatureDefinitions"]
    wider = [*definitions, {"FeatureName": "pulse", "FeatureType": "Integral"}]
    online = {"EnableOnlineStore": True, "TtlDuration": {"Unit": "Days", "Value": 3}}
    changed = template(lab, FeatureDefinitions=wider, OnlineStoreConfig=online, Tags=[])
    assert deploy(lab, stack, changed, name)["StackStatus"] == "UPDATE_COMPLETE"
    group = lab.sagemaker.describe_feature_group(FeatureGroupName=name)
    assert group["FeatureDefinitions"] == wider
    assert group["OnlineStoreConfig"]["TtlDuration"]["Value"] == 3
    assert lab.sagemaker.list_tags(ResourceArn=group["FeatureGroupArn"])["Tags"] == []
    # What cannot be changed in place needs another name.
    described = template(
        lab, FeatureDefinitions=wider, OnlineStoreConfig=online, Tags=[], Description="new"
    )
    assert deploy(lab, stack, described, name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    renamed = unique("patients")
    assert deploy(lab, stack, described, renamed)["StackStatus"] == "UPDATE_COMPLETE"
    gone(lab, name)
    lab.account.client("cloudformation").delete_stack(StackName=stack)
    gone(lab, renamed)


def test_template_of_a_group_that_fails_says_why_and_leaves_nothing(lab: Laboratory) -> None:
    stack, name = unique("features"), unique("patients")
    body = template(
        lab,
        OfflineStoreConfig=lab.feature_group_request()["OfflineStoreConfig"],
        RoleArn=lab.job_role(allow("s3:GetBucketAcl")),
    )
    made = deploy(lab, stack, body, name)
    assert made["StackStatus"] == "ROLLBACK_COMPLETE"
    events = lab.account.client("cloudformation").describe_stack_events(StackName=stack)
    reasons = [event.get("ResourceStatusReason", "") for event in events["StackEvents"]]
    assert any("s3:PutObject" in reason for reason in reasons)
    gone(lab, name)

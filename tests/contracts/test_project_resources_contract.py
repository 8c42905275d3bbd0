"""The contract of what bears a project's name, kept by AWS's adapter and by the fake."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.adapters.clients import Clients
from steward.adapters.project_resources import AwsProjectResources
from steward.domain.belongings import KINDS
from steward.domain.errors import AccessDeniedError, ThrottledError
from steward.ports import ProjectResources
from support.fake_project_resources import FakeProjectResources

pytestmark = pytest.mark.usefixtures("isolated")
ROLE = "arn:aws:iam::123456789012:role/endpoint"
NAMES = {
    "schedules": "steward/churn-batch", "endpoints": "churn-v2-prod",
    "endpoint_configs": "churn-v2-prod-1", "models": "churn-v2-prod-1",
}  # fmt: skip


def on_aws(clients: Clients) -> ProjectResources:
    sagemaker, scheduler = clients.get("sagemaker"), clients.get("scheduler")
    variant = {"VariantName": "v2", "ModelName": NAMES["models"],
               "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}  # fmt: skip
    for project in ("churn", "other"):
        config = NAMES["models"].replace("churn", project)
        variant = {**variant, "ModelName": config}
        sagemaker.create_model(
            ModelName=config, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "jobs"}
        )
        sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=f"{project}-v2-prod", EndpointConfigName=config)
        if project == "churn":
            scheduler.create_schedule_group(Name="steward")
        scheduler.create_schedule(
            Name=f"{project}-batch", GroupName="steward", ScheduleExpression="rate(1 hour)",
            FlexibleTimeWindow={"Mode": "OFF"}, Target={"Arn": ROLE, "RoleArn": ROLE},
        )  # fmt: skip
    return AwsProjectResources(sagemaker, scheduler)


@pytest.fixture(params=["fake", "aws"])
def subject(request: pytest.FixtureRequest) -> ProjectResources:
    if request.param == "aws":
        return on_aws(request.getfixturevalue("aws"))
    fake = FakeProjectResources()
    for kind in KINDS:
        fake.there[kind] |= {NAMES[kind], NAMES[kind].replace("churn", "other")}
    return fake


def test_what_bears_a_name_is_listed_deleted_and_gone(subject: ProjectResources) -> None:
    for kind in KINDS:
        assert NAMES[kind] in set(subject.names(kind, "churn-"))
        assert subject.delete(kind, NAMES[kind]) == "deleted"
        assert subject.delete(kind, NAMES[kind]) == "gone"
        assert NAMES[kind] not in set(subject.names(kind, "churn-"))
        assert len(list(subject.names(kind, "other-"))) == 1


class _Refusing:
    def __init__(self, code: str, message: str) -> None:
        self._error = ClientError({"Error": {"Code": code, "Message": message}}, "DeleteEndpoint")

    def delete_endpoint(self, **_: Any) -> None:
        raise self._error


def test_what_moves_cannot_be_deleted_yet_and_other_refusals_are_told() -> None:
    def delete(code: str, message: str) -> str:
        resources = AwsProjectResources(_Refusing(code, message), None)
        return resources.delete("endpoints", "churn-v2-prod")

    moving = 'Cannot delete in-progress endpoint "a".'
    assert delete("ValidationException", moving) == "moving"
    assert delete("ValidationException", 'Could not find endpoint "a".') == "gone"
    with pytest.raises(AccessDeniedError):
        delete("AccessDeniedException", "no")
    with pytest.raises(ThrottledError):
        delete("ThrottlingException", "slow")

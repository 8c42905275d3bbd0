"""The model registry's contract, kept by SageMaker's adapter and by the fake."""

from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.registry import SageMakerModelRegistry
from steward.domain.errors import RejectedError
from steward.ports import ModelRegistry
from support.fakes import FakeRegistry

pytestmark = pytest.mark.usefixtures("isolated")

GROUP = "steward-local-diabetes"


@pytest.fixture(params=["fake", "sagemaker"])
def registry(request: pytest.FixtureRequest) -> ModelRegistry:
    if request.param == "fake":
        return FakeRegistry()
    clients: Clients = request.getfixturevalue("aws")
    for group in (GROUP, "steward-local-other"):
        clients.get("sagemaker").create_model_package_group(ModelPackageGroupName=group)
    return SageMakerModelRegistry(clients.get("sagemaker"))


def request_of(group: str = GROUP) -> dict[str, Any]:
    """Return what ``CreateModelPackage`` needs."""
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": "run 3f9a1c0b7d2e-1",
        "InferenceSpecification": {
            "Containers": [
                {"Image": "local/steward-jobs@sha256:0", "ModelDataUrl": "s3://artifacts/m.tar.gz"}
            ],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "CustomerMetadataProperties": {"run_id": "3f9a1c0b7d2e-1"},
    }


def test_versions_count_up_in_a_group_and_begin_pending(registry: ModelRegistry) -> None:
    first, number = registry.create_version(request_of())
    second, next_number = registry.create_version(request_of())
    other, _ = registry.create_version(request_of("steward-local-other"))

    assert next_number == number + 1
    assert len({first, second, other}) == 3
    assert registry.describe(first)["ModelApprovalStatus"] == "PendingManualApproval"
    assert registry.describe(first)["ModelPackageGroupName"] == GROUP
    assert registry.describe(first)["CustomerMetadataProperties"] == {"run_id": "3f9a1c0b7d2e-1"}


def test_a_status_is_set_with_its_reason(registry: ModelRegistry) -> None:
    arn, _ = registry.create_version(request_of())

    registry.set_status(arn, "Approved", "evidence 1234, approved by anna")

    found = registry.describe(arn)
    assert found["ModelApprovalStatus"] == "Approved"
    assert found["ApprovalDescription"] == "evidence 1234, approved by anna"


def test_versions_are_listed_newest_first_and_by_status(registry: ModelRegistry) -> None:
    made = [registry.create_version(request_of()) for _ in range(3)]
    registry.set_status(made[1][0], "Approved", "yes")

    assert list(registry.versions(GROUP)) == made[::-1]
    assert list(registry.versions(GROUP, "Approved")) == [made[1]]


def test_a_group_that_does_not_exist_has_no_versions(registry: ModelRegistry) -> None:
    assert list(registry.versions("steward-local-nobody")) == []


def test_what_was_never_registered_is_refused(registry: ModelRegistry) -> None:
    made, _ = registry.create_version(request_of())
    arn = f"{made.rpartition('/')[0]}/999"

    with pytest.raises(RejectedError):
        registry.describe(arn)
    with pytest.raises(RejectedError):
        registry.set_status(arn, "Approved", "no")


# moto keeps neither on an update; the embedded SageMaker does, in tests/integration.
@pytest.mark.parametrize("registry", ["fake"], indirect=True)
def test_labels_are_set_and_removed_beside_what_else_is_there(registry: ModelRegistry) -> None:
    arn, _ = registry.create_version(request_of())

    registry.set_labels(arn, "Staging", "Approved", {"steward.tag.a": "1", "steward.b": "2"}, [])
    registry.set_labels(arn, "Production", "Serving", {"steward.tag.a": "3"}, ["steward.b"])
    registry.set_labels(arn, "Production", "Serving", {}, [])

    found = registry.describe(arn)
    assert found["ModelLifeCycle"] == {"Stage": "Production", "StageStatus": "Serving"}
    assert found["CustomerMetadataProperties"] == {
        "run_id": "3f9a1c0b7d2e-1", "steward.tag.a": "3",
    }  # fmt: skip
    assert found["ModelApprovalStatus"] == "PendingManualApproval"

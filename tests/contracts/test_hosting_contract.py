"""The contract of hosting, kept by SageMaker's adapter and by the fake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.adapters.clients import Clients
from steward.adapters.hosting import SageMakerHosting
from steward.domain.endpoint_drift import compare, found_endpoint, wanted_endpoint
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    RejectedError,
    ThrottledError,
)
from steward.ports import Hosting
from support.fake_hosting import FakeHosting
from support.fakes import FakeClock

NAME, CONFIG = "dev-diabetes-v2-prod", "dev-diabetes-v2-prod-1"
MODEL = {
    "ModelName": CONFIG, "ExecutionRoleArn": "arn:aws:iam::123456789012:role/endpoint",
    "PrimaryContainer": {"Image": "jobs", "ModelDataUrl": "s3://artifacts/m.tar.gz"},
}  # fmt: skip
VARIANT = {
    "VariantName": "AllTraffic", "ModelName": CONFIG, "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0,
}  # fmt: skip
REQUEST = {"EndpointName": NAME, "EndpointConfigName": CONFIG}


def config(name: str = CONFIG) -> dict[str, Any]:
    return {"EndpointConfigName": name, "ProductionVariants": [VARIANT]}


@dataclass
class Subject:
    """A port, and a way to let what was asked come to its end."""

    hosting: Hosting
    fake: FakeHosting | None

    def settle(self) -> None:
        if self.fake is not None:
            self.fake.settle()

    def make(self) -> None:
        self.hosting.ensure([MODEL], config())
        self.hosting.create(REQUEST)
        self.settle()


@pytest.fixture(params=["fake", "sagemaker"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeHosting()
        return Subject(fake, fake)
    clients: Clients = request.getfixturevalue("aws")
    return Subject(SageMakerHosting(clients.get("sagemaker")), None)


def test_an_endpoint_is_described_as_it_was_made(subject: Subject) -> None:
    subject.make()
    described = subject.hosting.describe(NAME)
    live = subject.hosting.config(CONFIG)
    model = subject.hosting.model(CONFIG)
    assert described is not None
    assert live is not None
    assert model is not None
    found = found_endpoint(described, live)
    assert (found.status, found.config) == ("InService", CONFIG)
    assert model["PrimaryContainer"]["Image"] == "jobs"
    wanted = wanted_endpoint(NAME, config(), [MODEL])
    assert compare(wanted, found, FakeClock().now()) is None


def test_what_is_not_there_is_none(subject: Subject) -> None:
    assert subject.hosting.describe("nobody") is None
    assert subject.hosting.config("nobody") is None
    assert subject.hosting.model("nobody") is None
    subject.hosting.remove("nobody")


def test_endpoints_are_listed_by_a_part_of_their_name(subject: Subject) -> None:
    subject.make()
    [listed] = subject.hosting.listed("diabetes-v")
    assert (listed.name, listed.status) == (NAME, "InService")
    assert listed.created_at.tzinfo is not None
    assert list(subject.hosting.listed("other-v")) == []


def test_ensuring_twice_makes_what_is_missing_and_leaves_what_is_there(subject: Subject) -> None:
    subject.make()
    other = {**config(), "ProductionVariants": [{**VARIANT, "InstanceType": "ml.c5.xlarge"}]}
    subject.hosting.ensure([MODEL], other)
    live = subject.hosting.config(CONFIG)
    assert live is not None
    assert live["ProductionVariants"][0]["InstanceType"] == "ml.m5.large"


def test_removing_an_endpoint_leaves_its_parts(subject: Subject) -> None:
    subject.make()
    subject.hosting.remove(NAME)
    subject.settle()
    assert subject.hosting.describe(NAME) is None
    assert subject.hosting.config(CONFIG) is not None
    assert subject.hosting.model(CONFIG) is not None


def test_weights_are_set(subject: Subject) -> None:
    subject.make()
    subject.hosting.set_variants(NAME, [{"VariantName": "AllTraffic", "DesiredWeight": 3.0}])
    subject.settle()
    described = subject.hosting.describe(NAME)
    assert described is not None
    assert described["ProductionVariants"][0].get("CurrentWeight", 3.0) == 3.0


# --- what only the adapter can show ------------------------------------------------------


class _Client:
    """boto3's client, as far as it raises."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self._response: Any = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> Any:
            raise ClientError(self._response, name)

        return call


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ThrottlingException", "Rate exceeded", ThrottledError),
        ("AccessDeniedException", "not authorized", AccessDeniedError),
        ("ValidationException", 'Cannot update in-progress endpoint "x".', DependencyError),
        ("ValidationException", 'Could not find endpoint configuration "x".', DependencyError),
        ("ResourceLimitExceeded", "the account-level service limit", RejectedError),
    ],
)
def test_what_sagemaker_refuses_is_told_as_one_of_our_errors(
    code: str, message: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        SageMakerHosting(_Client(code, message)).update(NAME, CONFIG)


def test_throttled_descriptions_are_no_missing_endpoints() -> None:
    with pytest.raises(ThrottledError):
        SageMakerHosting(_Client("ThrottlingException", "Rate exceeded")).describe(NAME)


@pytest.mark.parametrize(
    "hosting",
    [
        FakeHosting(),
        SageMakerHosting(
            _Client("ValidationException", 'Cannot create already existing endpoint "x".')
        ),
    ],
    ids=["fake", "sagemaker"],
)
def test_an_endpoint_is_created_once(hosting: Hosting) -> None:
    if isinstance(hosting, FakeHosting):
        hosting.ensure([MODEL], config())
        hosting.create(REQUEST)
    with pytest.raises(ConflictError):
        hosting.create(REQUEST)


def test_a_fault_of_sagemaker_may_pass() -> None:
    with pytest.raises(DependencyError):
        SageMakerHosting(_Client("InternalFailure", "try again", 500)).describe(NAME)


class _Pages:
    """A client whose list has two pages."""

    def list_endpoints(self, **asked: Any) -> dict[str, Any]:
        told = {"EndpointStatus": "InService", "CreationTime": FakeClock().now()}
        if "NextToken" in asked:
            return {"Endpoints": [{"EndpointName": "b", **told}]}
        return {"Endpoints": [{"EndpointName": "a", **told}], "NextToken": "2"}


def test_all_pages_are_listed() -> None:
    assert [found.name for found in SageMakerHosting(_Pages()).listed("x")] == ["a", "b"]


JOB = "dev-churn-5d2e9a7b1c30-1-batch"


class _Transforms:
    """A client with transform jobs; the last has ended since it was listed."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.stopped: list[str] = []

    def list_transform_jobs(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        names = [JOB, f"{JOB}-r1", f"my-{JOB}", f"{JOB}-r2"]
        return {"TransformJobSummaries": [{"TransformJobName": name} for name in names]}

    def stop_transform_job(self, TransformJobName: str) -> dict[str, Any]:  # noqa: N803
        self.stopped.append(TransformJobName)
        if TransformJobName.endswith("-r2"):
            told = {"Code": "ValidationException", "Message": "the job is in status Completed."}
            raise ClientError({"Error": told}, "StopTransformJob")
        return {}


def test_transform_jobs_under_way_are_stopped_by_the_beginning_of_their_name() -> None:
    client = _Transforms()
    SageMakerHosting(client).stop_transforms(JOB)
    assert client.asked["StatusEquals"] == "InProgress"
    assert client.stopped == [JOB, f"{JOB}-r1", f"{JOB}-r2"]


def test_a_role_that_may_stop_no_job_says_so() -> None:
    with pytest.raises(AccessDeniedError):
        SageMakerHosting(_Client("AccessDeniedException", "no")).stop_transforms(JOB)

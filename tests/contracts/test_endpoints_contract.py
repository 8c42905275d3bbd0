"""The endpoints' contract, kept by SageMaker's adapter and by the fake."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.endpoints import SageMakerEndpoints
from steward.domain.errors import AccessDeniedError, DependencyError, RejectedError
from steward.ports import Answer, Endpoints
from support.fakes import FakeEndpoints
from support.runtime_server import RuntimeServer, Script, model_error, refusal, runtime_server

NAME = "dev-diabetes-v2-prod"
BODY = b'{"instances": [{"age": 59}]}'
ANSWER = b'{"predictions": [{"probability": 0.7, "label": 1}]}'


def ask(endpoints: Endpoints, name: str = NAME, timeout_s: float = 5) -> Answer:
    return endpoints.invoke(
        name, BODY, content_type="application/json", accept="application/json", timeout_s=timeout_s
    )


@dataclass
class Subject:
    """A port, and a way to say what its endpoint answers: 200, or the container's refusal."""

    endpoints: Endpoints
    answers: Callable[[int, bytes], None]


@pytest.fixture
def runtime() -> Iterator[RuntimeServer]:
    with runtime_server() as server:
        yield server


@pytest.fixture
def sagemaker(runtime: RuntimeServer, scrubbed: pytest.MonkeyPatch) -> SageMakerEndpoints:
    """The adapter, with the small server as its SageMaker runtime."""
    scrubbed.setenv("AWS_ENDPOINT_URL", runtime.url)
    scrubbed.setenv("AWS_ACCESS_KEY_ID", "testing")
    scrubbed.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return SageMakerEndpoints(Clients("us-east-1"))


@pytest.fixture(params=["fake", "sagemaker"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeEndpoints()

        def answers(status: int, body: bytes) -> None:
            def refuse(_body: bytes, _type: str) -> bytes:
                kind = RejectedError if status < 500 else DependencyError
                raise kind(body.decode())

            fake.add(NAME, body if status == 200 else refuse)

        return Subject(fake, answers)
    server: RuntimeServer = request.getfixturevalue("runtime")

    def scripted(status: int, body: bytes) -> None:
        headers = {"content-type": "application/json", "x-Amzn-Invoked-Production-Variant": "A"}
        plain = Script(200, body, headers)
        server.scripts[NAME] = plain if status == 200 else model_error(status, body.decode())

    return Subject(request.getfixturevalue("sagemaker"), scripted)


def test_an_endpoint_answers_what_its_container_does(subject: Subject) -> None:
    subject.answers(200, ANSWER)

    answer = ask(subject.endpoints)

    assert (answer.body, answer.content_type) == (ANSWER, "application/json")
    assert answer.variant


def test_a_request_that_the_container_refuses_is_rejected_in_its_words(subject: Subject) -> None:
    subject.answers(400, b"age is missing")

    with pytest.raises(RejectedError, match=r"^age is missing$"):
        ask(subject.endpoints)


def test_a_container_that_fails_is_a_failing_dependency(subject: Subject) -> None:
    subject.answers(500, b"KeyError: 's6'")

    with pytest.raises(DependencyError, match="KeyError"):
        ask(subject.endpoints)


# --- what only the adapter can show -----------------------------------------------------


def test_the_body_and_its_types_reach_the_endpoint(
    sagemaker: SageMakerEndpoints, runtime: RuntimeServer
) -> None:
    runtime.scripts[NAME] = Script(body=ANSWER)

    sagemaker.invoke(NAME, b"59,2\n", content_type="text/csv", accept="text/csv", timeout_s=5)

    (request,) = runtime.requests
    assert request["body"] == b"59,2\n"
    assert request["headers"]["Content-Type"] == "text/csv"
    assert request["headers"]["Accept"] == "text/csv"


def test_our_container_s_refusal_keeps_field_value_and_allowed(
    sagemaker: SageMakerEndpoints, runtime: RuntimeServer
) -> None:
    told = {"row": 0, "field": "age", "value": -3, "allowed": "0 to 120", "message": "age is -3"}
    runtime.scripts[NAME] = model_error(400, json.dumps({"error": told}))

    with pytest.raises(RejectedError, match="age is -3") as refused:
        ask(sagemaker)

    assert (refused.value.field, refused.value.value) == ("age", -3)
    assert refused.value.allowed == "0 to 120"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (model_error(429, "slow down"), DependencyError),
        (model_error(503, "starting"), DependencyError),
        (refusal(400, "ThrottlingException", "Rate exceeded"), DependencyError),
        (
            refusal(400, "ValidationError", "Endpoint dev-diabetes-v2-prod not found."),
            DependencyError,
        ),
        (refusal(429, "ModelNotReadyException", "still loading"), DependencyError),
        (refusal(530, "InternalDependencyException", "try again"), DependencyError),
        (refusal(503, "ServiceUnavailable", "try again"), DependencyError),
        (refusal(500, "InternalFailure", "try again"), DependencyError),
        (refusal(403, "AccessDeniedException", "not authorized"), AccessDeniedError),
        (refusal(400, "ValidationError", "Value at 'body' must have length less than"),
         RejectedError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_sagemaker_s_own_errors_are_not_the_caller_s(
    sagemaker: SageMakerEndpoints, runtime: RuntimeServer, script: Script, kind: type[Exception]
) -> None:
    runtime.scripts[NAME] = script

    with pytest.raises(kind):
        ask(sagemaker)

    assert len(runtime.requests) == 1, "an endpoint is asked once"


def test_a_late_answer_is_given_up_in_time_and_not_asked_for_again(
    sagemaker: SageMakerEndpoints, runtime: RuntimeServer
) -> None:
    runtime.scripts[NAME] = Script(delay_s=8)

    begun = time.monotonic()
    with pytest.raises(DependencyError, match=r"timed out|timeout"):
        ask(sagemaker, timeout_s=0.2)

    assert time.monotonic() - begun < 7
    assert len(runtime.requests) == 1


def test_a_runtime_that_is_not_there_is_a_failing_dependency(
    scrubbed: pytest.MonkeyPatch, runtime: RuntimeServer
) -> None:
    scrubbed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    scrubbed.setenv("AWS_ACCESS_KEY_ID", "testing")
    scrubbed.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    with pytest.raises(DependencyError):
        ask(SageMakerEndpoints(Clients("us-east-1")))


# --- control plane ----------------------------------------------------------------------


@dataclass
class Fleet:
    """A port, and a way to create an endpoint and to see what is left."""

    endpoints: Endpoints
    create: Callable[[str], None]
    left: Callable[[], list[str]]


def _create(client: Any, name: str) -> None:
    model = f"{name}-1"
    client.create_model(
        ModelName=model,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
        PrimaryContainer={"Image": "jobs", "ModelDataUrl": "s3://artifacts/m.tar.gz"},
    )
    variant = {
        "VariantName": "A", "ModelName": model,
        "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip
    client.create_endpoint_config(EndpointConfigName=model, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=model)


@pytest.fixture(params=["fake", "sagemaker"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    if request.param == "fake":
        fake = FakeEndpoints()
        return Fleet(fake, lambda name: fake.add(name, ANSWER), lambda: list(fake.endpoints))
    clients: Clients = request.getfixturevalue("aws")
    client = clients.get("sagemaker")

    def left() -> list[str]:
        return [
            *[e["EndpointName"] for e in client.list_endpoints()["Endpoints"]],
            *[c["EndpointConfigName"] for c in client.list_endpoint_configs()["EndpointConfigs"]],
            *[m["ModelName"] for m in client.list_models()["Models"]],
        ]

    return Fleet(SageMakerEndpoints(clients), lambda name: _create(client, name), left)


def test_an_endpoint_tells_its_status(fleet: Fleet) -> None:
    fleet.create(NAME)

    assert fleet.endpoints.status(NAME) == "InService"
    assert fleet.endpoints.status("nobody") is None


def test_deleting_an_endpoint_leaves_nothing_of_it_and_the_others(fleet: Fleet) -> None:
    fleet.create(NAME)
    fleet.create("dev-other-v1-prod")

    fleet.endpoints.delete(NAME)

    assert fleet.endpoints.status(NAME) is None
    assert all(name.startswith("dev-other-v1-prod") for name in fleet.left())
    assert fleet.left()


def test_deleting_what_is_gone_is_fine(fleet: Fleet) -> None:
    fleet.endpoints.delete(NAME)
    fleet.endpoints.delete(NAME, parts=f"{NAME}-1")

    assert fleet.left() == []


def test_a_configuration_that_somebody_else_put_the_endpoint_on_is_theirs(aws: Clients) -> None:
    client = aws.get("sagemaker")
    _create(client, "dev-other-v1-prod")
    client.create_endpoint(EndpointName=NAME, EndpointConfigName="dev-other-v1-prod-1")

    SageMakerEndpoints(aws).delete(NAME)

    assert [e["EndpointName"] for e in client.list_endpoints()["Endpoints"]] == [
        "dev-other-v1-prod"
    ]
    assert client.describe_endpoint_config(EndpointConfigName="dev-other-v1-prod-1")
    assert client.describe_model(ModelName="dev-other-v1-prod-1")

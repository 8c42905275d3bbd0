"""The contract of reading features from another function, kept by Lambda's adapter and the fake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.feature_reader import LambdaFeatureReader
from steward.contracts.steps.features import EntityRead, FeaturesRead, ReadFeatures, RecordRead
from steward.domain.errors import AccessDeniedError, DependencyError, RejectedError, StewardError
from steward.ports import FeatureReader
from support.fakes import FakeFeatureReader
from support.runtime_server import RuntimeServer, Script, refusal, runtime_server

COMMAND = ReadFeatures(project="diabetes", version=2, entities=[{"patient_id": "p1", "age": 59}])
READ = FeaturesRead(
    read_at="2026-01-05T09:00:00.000Z",
    entities=[
        EntityRead(
            values={"pulse": 71, "glucose": None},
            served=["glucose", "pulse"],
            records=[RecordRead(group="vitals", version=2, entity="p1", found=True)],
        )
    ],
)


@dataclass
class Subject:
    """A port, and ways to say what it answers: values of p1, or an error."""

    reader: FeatureReader
    answers: Callable[[dict[str, Any]], None]
    fails: Callable[[StewardError], None]


@pytest.fixture
def runtime() -> Iterator[RuntimeServer]:
    with runtime_server() as server:
        yield server


@pytest.fixture
def adapter(runtime: RuntimeServer, scrubbed: pytest.MonkeyPatch) -> LambdaFeatureReader:
    scrubbed.setenv("AWS_ENDPOINT_URL", runtime.url)
    scrubbed.setenv("AWS_ACCESS_KEY_ID", "testing")
    scrubbed.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return LambdaFeatureReader(Clients("us-east-1"), "read-features")


@pytest.fixture(params=["fake", "lambda"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeFeatureReader()

        def keep(values: dict[str, Any]) -> None:
            fake.values[2, "p1"] = values

        def fail(error: StewardError) -> None:
            fake.failing[2] = error

        return Subject(fake, keep, fail)
    server: RuntimeServer = request.getfixturevalue("runtime")

    def answer(values: dict[str, Any]) -> None:
        entity = READ.entities[0].model_copy(update={"values": values})
        server.scripts["functions"] = payload(READ.model_copy(update={"entities": [entity]}))

    def refuse(error: StewardError) -> None:
        if isinstance(error, RejectedError):
            told = FeaturesRead(read_at=READ.read_at, entities=[], refused=error.as_dict())
            server.scripts["functions"] = payload(told)
        else:
            server.scripts["functions"] = fault(type(error).__name__, str(error))

    return Subject(request.getfixturevalue("adapter"), answer, refuse)


def payload(reading: FeaturesRead) -> Script:
    return Script(200, reading.model_dump_json().encode())


def fault(kind: str, message: str) -> Script:
    """Return Lambda's answer of a function that raised."""
    told = {"errorType": kind, "errorMessage": message}
    return Script(200, json.dumps(told).encode(), {"X-Amz-Function-Error": "Unhandled"})


def test_values_are_read_and_null_is_one(subject: Subject) -> None:
    subject.answers(READ.entities[0].values)
    reading = subject.reader.read(COMMAND, timeout_s=5)
    assert reading.entities == READ.entities


def test_what_is_refused_is_rejected_with_its_field(subject: Subject) -> None:
    subject.fails(RejectedError("age is 'old'", field="age", value="old", allowed="an integer"))
    with pytest.raises(RejectedError, match="age is 'old'") as refused:
        subject.reader.read(COMMAND, timeout_s=5)
    assert (refused.value.field, refused.value.value) == ("age", "old")
    assert refused.value.allowed == "an integer"


def test_a_failing_store_is_a_failing_dependency(subject: Subject) -> None:
    subject.fails(DependencyError("3 online records were still unprocessed"))
    with pytest.raises(DependencyError, match="3 online records"):
        subject.reader.read(COMMAND, timeout_s=5)


# --- what only the adapter can show -----------------------------------------------------


def test_the_command_reaches_the_function_without_defaults(
    adapter: LambdaFeatureReader, runtime: RuntimeServer
) -> None:
    runtime.scripts["functions"] = payload(READ)
    adapter.read(COMMAND, timeout_s=5)
    (request,) = runtime.requests
    assert json.loads(request["body"]) == {
        "project": "diabetes", "version": 2, "entities": [{"patient_id": "p1", "age": 59}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (fault("KeyError", "'pulse'"), DependencyError),
        (fault("Sandbox.Timedout", "Task timed out"), DependencyError),
        (Script(200, b"null"), DependencyError),
        (Script(200, b'{"read_at": "x"}'), DependencyError),
        (refusal(429, "TooManyRequestsException", "Rate exceeded"), DependencyError),
        (refusal(404, "ResourceNotFoundException", "Function not found"), DependencyError),
        (refusal(500, "ServiceException", "try again"), DependencyError),
        (refusal(403, "AccessDeniedException", "not authorized"), AccessDeniedError),
    ],
)
def test_no_fault_of_the_function_is_the_callers(
    adapter: LambdaFeatureReader, runtime: RuntimeServer, script: Script, kind: type[Exception]
) -> None:
    runtime.scripts["functions"] = script
    with pytest.raises(kind):
        adapter.read(COMMAND, timeout_s=5)
    assert len(runtime.requests) == 1, "the function is asked once"


def test_a_late_answer_is_given_up_in_time(
    adapter: LambdaFeatureReader, runtime: RuntimeServer
) -> None:
    runtime.scripts["functions"] = Script(delay_s=6)
    begun = time.monotonic()
    with pytest.raises(DependencyError, match=r"timed out|timeout"):
        adapter.read(COMMAND, timeout_s=0.2)
    assert time.monotonic() - begun < 5
    assert len(runtime.requests) == 1

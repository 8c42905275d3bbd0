"""What only the adapter can show: unprocessed identifiers, partial errors, a late answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.online_features import SageMakerOnlineFeatures
from steward.domain.errors import AccessDeniedError, DependencyError
from steward.ports import RecordKey
from support.runtime_server import RuntimeServer, Script, refusal, runtime_server

KEYS = [RecordKey("patients", entity) for entity in ("a", "b", "c")]


@pytest.fixture
def runtime() -> Iterator[RuntimeServer]:
    with runtime_server() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def online(
    runtime: RuntimeServer, scrubbed: pytest.MonkeyPatch, waits: list[float]
) -> SageMakerOnlineFeatures:
    scrubbed.setenv("AWS_ENDPOINT_URL", runtime.url)
    scrubbed.setenv("AWS_ACCESS_KEY_ID", "testing")
    scrubbed.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return SageMakerOnlineFeatures(Clients("us-east-1"), sleep=waits.append)


def answer(
    *entities: str, left: tuple[str, ...] = (), errors: tuple[tuple[str, str], ...] = ()
) -> Script:
    """Return a ``BatchGetRecord`` answer about the group ``patients``."""
    about = {"FeatureGroupName": "patients"}
    told: dict[str, Any] = {
        "Records": [
            {
                **about,
                "RecordIdentifierValueAsString": entity,
                "Record": [{"FeatureName": "age", "ValueAsString": entity * 2}],
            }
            for entity in entities
        ],
        "Errors": [
            {
                **about,
                "RecordIdentifierValueAsString": entity,
                "ErrorCode": code,
                "ErrorMessage": "it says why",
            }
            for entity, code in errors
        ],
        "UnprocessedIdentifiers": [{**about, "RecordIdentifiersValueAsString": list(left)}]
        if left
        else [],
    }
    return Script(200, json.dumps(told).encode(), {"content-type": "application/json"})


def asked(runtime: RuntimeServer) -> list[list[str]]:
    """Return the identifiers of each request."""
    bodies = [json.loads(request["body"]) for request in runtime.requests]
    return [body["Identifiers"][0]["RecordIdentifiersValueAsString"] for body in bodies]


def test_what_is_left_unprocessed_is_asked_for_again_and_nothing_else(
    online: SageMakerOnlineFeatures, runtime: RuntimeServer, waits: list[float]
) -> None:
    runtime.once += [answer("a", left=("b", "c")), answer("c", left=("b",)), answer("b")]

    found = online.read(KEYS)

    assert found == {key: {"age": key.entity * 2} for key in KEYS}
    assert asked(runtime) == [["a", "b", "c"], ["b", "c"], ["b"]]
    assert waits == sorted(waits)
    assert len(waits) == 2


def test_what_stays_unprocessed_is_an_error_and_not_an_unknown_entity(
    online: SageMakerOnlineFeatures, runtime: RuntimeServer, waits: list[float]
) -> None:
    runtime.scripts["BatchGetRecord"] = answer("a", left=("b", "c"))

    with pytest.raises(DependencyError, match="2 online records were still unprocessed"):
        online.read(KEYS)

    assert sum(waits) < 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InternalFailure", DependencyError),
        ("ResourceNotFound", DependencyError),
        ("AccessForbidden", AccessDeniedError),
        ("AccessDeniedException", AccessDeniedError),
    ],
)
def test_one_record_that_cannot_be_read_fails_the_whole_read(
    online: SageMakerOnlineFeatures, runtime: RuntimeServer, code: str, kind: type[Exception]
) -> None:
    runtime.scripts["BatchGetRecord"] = answer("a", "c", errors=(("b", code),))

    with pytest.raises(kind, match="it says why"):
        online.read(KEYS)


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_store_is_a_failing_dependency(
    online: SageMakerOnlineFeatures, runtime: RuntimeServer, status: int
) -> None:
    runtime.scripts["BatchGetRecord"] = refusal(status, "ServiceUnavailable", "try again")

    with pytest.raises(DependencyError, match="try again"):
        online.read(KEYS)


def test_values_without_text_are_left_out(
    online: SageMakerOnlineFeatures, runtime: RuntimeServer
) -> None:
    record = [{"FeatureName": "age"}, {"FeatureName": "ward", "ValueAsString": "A"}]
    told = {
        "Records": [
            {
                "FeatureGroupName": "patients",
                "RecordIdentifierValueAsString": "a",
                "Record": record,
            }
        ]
    }
    runtime.scripts["BatchGetRecord"] = Script(
        200, json.dumps(told).encode(), {"content-type": "application/json"}
    )
    assert online.read(KEYS[:1]) == {KEYS[0]: {"ward": "A"}}

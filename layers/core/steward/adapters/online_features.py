"""Reading SageMaker Feature Store's online store in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from steward.adapters.clients import Clients
from steward.adapters.errors import DENIED, translated
from steward.domain.errors import AccessDeniedError, DependencyError
from steward.ports import RecordKey

MAX_RECORDS = 100
"""Records of one ``BatchGetRecord``."""

_DENIED = DENIED | {"AccessForbidden"}
_ATTEMPTS = 4
_READ_TIMEOUT_S = 1.0
_FIRST_WAIT_S = 0.025


class SageMakerOnlineFeatures:
    """Asks for up to 100 records at once; what SageMaker leaves unprocessed is asked for again.

    Args:
        sleep: Waits before the next attempt.
    """

    def __init__(self, clients: Clients, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._clients = clients
        self._sleep = sleep

    def read(self, keys: Sequence[RecordKey]) -> dict[RecordKey, dict[str, str]]:
        """Return the newest record of each key as feature values by name.

        Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_feature_store_BatchGetRecord.html
        """
        found: dict[RecordKey, dict[str, str]] = {}
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), MAX_RECORDS):
            self._read_batch(wanted[start : start + MAX_RECORDS], found)
        return found

    def _read_batch(self, wanted: list[RecordKey], found: dict[RecordKey, dict[str, str]]) -> None:
        client = self._clients.get(
            "sagemaker-featurestore-runtime", read_timeout_s=_READ_TIMEOUT_S, attempts=2
        )
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_FIRST_WAIT_S * 2**attempt)
            with translated("read online features"):
                answer = client.batch_get_record(Identifiers=_identifiers(wanted))
            for record in answer.get("Records", []):
                found[_key(record)] = {
                    value["FeatureName"]: value["ValueAsString"]
                    for value in record["Record"]
                    if value.get("ValueAsString") is not None
                }
            _raise_first(answer.get("Errors", []))
            wanted = list(_left(answer.get("UnprocessedIdentifiers", [])))
            if not wanted:
                return
        raise DependencyError(
            f"{len(wanted)} online records were still unprocessed after {_ATTEMPTS} attempts"
        )


def _identifiers(keys: list[RecordKey]) -> list[dict[str, Any]]:
    by_group: dict[str, list[str]] = {}
    for key in keys:
        by_group.setdefault(key.group, []).append(key.entity)
    return [
        {"FeatureGroupName": group, "RecordIdentifiersValueAsString": entities}
        for group, entities in by_group.items()
    ]


def _key(record: dict[str, Any]) -> RecordKey:
    name = str(record["FeatureGroupName"]).rsplit("/", 1)[-1]
    return RecordKey(name, record["RecordIdentifierValueAsString"])


def _left(unprocessed: list[dict[str, Any]]) -> Iterator[RecordKey]:
    for item in unprocessed:
        name = str(item["FeatureGroupName"]).rsplit("/", 1)[-1]
        for entity in item["RecordIdentifiersValueAsString"]:
            yield RecordKey(name, entity)


def _raise_first(errors: list[dict[str, Any]]) -> None:
    if errors:
        first = errors[0]
        text = (
            f"{len(errors)} online records could not be read, the first in group "
            f"{first['FeatureGroupName']}: {first['ErrorCode']}: {first['ErrorMessage']}"
        )
        raise (AccessDeniedError if first["ErrorCode"] in _DENIED else DependencyError)(text)

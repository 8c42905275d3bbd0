"""Records of SageMaker Feature Store: read by the hundred, written side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.clients import Clients
from steward.adapters.errors import DENIED, code_of, message_of, translate
from steward.domain.errors import AccessDeniedError, DependencyError, FeatureGroupNotFoundError

MAX_READ = 100
WRITERS = 8
"""Requests at once: SageMaker takes one record each, whichever boto3 the runtime has."""
_SERVICE = "sagemaker-featurestore-runtime"
_ATTEMPTS = 5
_FIRST_WAIT_S = 0.05
_MISSING = ("ResourceNotFound", "ResourceNotFoundException")


class SageMakerFeatureRecords:
    """Reads and writes records; throttled requests are retried by botocore, then fail.

    Args:
        clients: AWS clients.
        sleep: Waits before what SageMaker left unprocessed is asked for again.
    """

    def __init__(self, clients: Clients, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._clients = clients
        self._sleep = sleep

    def read(self, group: str, entities: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the record of each entity that has one.

        Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_feature_store_BatchGetRecord.html
        """
        found: dict[str, dict[str, str]] = {}
        wanted = list(dict.fromkeys(entities))
        for start in range(0, len(wanted), MAX_READ):
            self._read_batch(group, wanted[start : start + MAX_READ], found)
        return found

    def _read_batch(self, group: str, wanted: list[str], found: dict[str, dict[str, str]]) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_FIRST_WAIT_S * 2**attempt)
            try:
                answer = self._clients.get(_SERVICE).batch_get_record(
                    Identifiers=[
                        {"FeatureGroupName": group, "RecordIdentifiersValueAsString": wanted}
                    ]
                )
            except (ClientError, BotoCoreError, HTTPClientError) as error:
                raise _translated(error, group, "read") from error
            for record in answer.get("Records", []):
                found[record["RecordIdentifierValueAsString"]] = {
                    value["FeatureName"]: value["ValueAsString"]
                    for value in record["Record"]
                    if value.get("ValueAsString") is not None
                }
            for failed in answer.get("Errors", []):
                raise _of_entry(failed, group)
            wanted = [
                entity
                for item in answer.get("UnprocessedIdentifiers", [])
                for entity in item["RecordIdentifiersValueAsString"]
            ]
            if not wanted:
                return
        raise DependencyError(
            f"{len(wanted)} records of {group} were still unread after {_ATTEMPTS} attempts"
        )

    def write(self, group: str, records: Sequence[Mapping[str, str]]) -> None:
        """Put records side by side, and raise the first error once all have been tried.

        Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_feature_store_PutRecord.html
        """
        client = self._clients.get(_SERVICE)

        def put(record: Mapping[str, str]) -> None:
            values = [{"FeatureName": name, "ValueAsString": text} for name, text in record.items()]
            try:
                client.put_record(FeatureGroupName=group, Record=values)
            except (ClientError, BotoCoreError, HTTPClientError) as error:
                raise _translated(error, group, "write a record of") from error

        with ThreadPoolExecutor(WRITERS) as writers:
            for done in [writers.submit(put, record) for record in records]:
                done.result()


def _translated(error: Any, group: str, doing: str) -> Exception:
    if isinstance(error, ClientError) and code_of(error) in _MISSING:
        return _missing(group, message_of(error))
    return translate(error, f"{doing} feature group {group}")


def _of_entry(failed: Mapping[str, Any], group: str) -> Exception:
    code, text = failed.get("ErrorCode", "Unknown"), failed.get("ErrorMessage", "")
    if code in _MISSING:
        return _missing(group, text)
    if code in DENIED:
        return AccessDeniedError(f"read feature group {group}: {code}: {text}")
    return DependencyError(f"read feature group {group}: {code}: {text}")


def _missing(group: str, said: str) -> FeatureGroupNotFoundError:
    return FeatureGroupNotFoundError(
        f"SageMaker has no feature group {group}: {said}", field="feature_group", value=group,
        allowed="a group that `steward project add` has deployed",
    )  # fmt: skip

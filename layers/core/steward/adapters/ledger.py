"""The ledger on AWS: its table in DynamoDB, its queue in SQS, its key in KMS, and CloudTrail."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from steward.adapters.errors import translated
from steward.domain.audit.verifier import canonical
from steward.domain.errors import ConflictError, RejectedError, ThrottledError
from steward.ports import KeptRecord

MAX_BATCH = 32
"""Records of one transaction: with their markers and the project's entry below 100 items."""

INDEX = "_ledgers"
_ATTEMPTS = 6
_DIGITS = 12
_LOOKUP_REGION_OF_IAM = "us-east-1"


def record_item(seq: int) -> str:
    """Return the sort key of a record; keys are in the order of numbers."""
    return f"record#{seq:0{_DIGITS}d}"


class DynamoLedger:
    """Records in one table, each put where nothing is.

    Args:
        client: A boto3 DynamoDB client.
        table: Name of the table; its resource policy admits one writer.
        sleep: Waits between the attempts of a transaction.
    """

    def __init__(
        self, client: Any, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def projects(self) -> list[str]:
        """Return whose ledgers there are."""
        return [item["item"]["S"] for item in self._query(INDEX)]

    def last(self, project: str) -> KeptRecord | None:
        """Return the newest record by strongly consistent read."""
        newest = self._query(project, prefix="record#", ScanIndexForward=False, Limit=1)
        return next((_kept(item) for item in newest), None)

    def records(
        self, project: str, *, after: int = 0, newest_first: bool = False
    ) -> Iterator[KeptRecord]:
        """Yield the records of a project numbered above ``after``."""
        bounds = (record_item(after + 1), record_item(10**_DIGITS - 1))
        for item in self._query(project, between=bounds, ScanIndexForward=not newest_first):
            yield _kept(item)

    def known(self, project: str, event_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of the record by event id, of those that are recorded."""
        found: dict[str, int] = {}
        for event_id in event_ids:
            key = {"project": {"S": project}, "item": {"S": f"event#{event_id}"}}
            with translated(f"read the marker of event {event_id}"):
                answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            if "Item" in answer:
                found[event_id] = int(answer["Item"]["seq"]["N"])
        return found

    def append(self, project: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records behind the last one with their markers in one transaction, or nothing."""
        if not 0 < len(records) <= MAX_BATCH:
            raise RejectedError(
                f"{len(records)} records at once", field="records", value=len(records),
                allowed=f"1 to {MAX_BATCH}",
            )  # fmt: skip
        items = [item for record in records for item in _items(project, record)]
        if records[0]["seq"] == 1:
            items.append({"project": {"S": INDEX}, "item": {"S": project}})
        else:
            before = record_item(int(records[0]["seq"]) - 1)
        writes: list[dict[str, Any]] = [
            {"Put": {"TableName": self._table, "Item": item,
                     "ConditionExpression": "attribute_not_exists(#item)",
                     "ExpressionAttributeNames": {"#item": "item"}}}
            for item in items
        ]  # fmt: skip
        if records[0]["seq"] != 1:
            writes.append({
                "ConditionCheck": {
                    "TableName": self._table,
                    "Key": {"project": {"S": project}, "item": {"S": before}},
                    "ConditionExpression": "digest = :digest",
                    "ExpressionAttributeValues": {":digest": {"S": records[0]["previous"]}},
                }
            })  # fmt: skip
        self._transact(writes, f"append to the ledger of {project}")

    def _transact(self, writes: list[dict[str, Any]], doing: str) -> None:
        token = str(uuid.uuid4())
        for attempt in range(1, _ATTEMPTS + 1):
            with translated(doing):
                try:
                    self._client.transact_write_items(
                        TransactItems=writes, ClientRequestToken=token
                    )
                    return
                except self._client.exceptions.TransactionCanceledException as error:
                    reasons = error.response.get("CancellationReasons") or []
                    codes = {reason.get("Code") for reason in reasons}
                    if "ConditionalCheckFailed" in codes:
                        raise ConflictError(f"{doing}: another record was first") from error
                    if not codes & {"TransactionConflict", "ThrottlingError"}:
                        raise
            self._sleep(random.uniform(0, min(1.0, 0.05 * 2**attempt)))  # noqa: S311  # jitter
        raise ThrottledError(f"{doing}: other transactions won {_ATTEMPTS} times")

    def _query(
        self,
        project: str,
        *,
        prefix: str = "",
        between: tuple[str, str] | None = None,
        **request: Any,
    ) -> Iterator[dict[str, Any]]:
        names, values = {"#p": "project"}, {":p": {"S": project}}
        text = "#p = :p"
        if between:
            text += " AND #i BETWEEN :a AND :b"
            values |= {":a": {"S": between[0]}, ":b": {"S": between[1]}}
        elif prefix:
            text += " AND begins_with(#i, :a)"
            values[":a"] = {"S": prefix}
        if between or prefix:
            names["#i"] = "item"
        start: dict[str, Any] = {}
        while True:
            with translated(f"read the ledger of {project}"):
                page = self._client.query(
                    TableName=self._table, ConsistentRead=True, KeyConditionExpression=text,
                    ExpressionAttributeNames=names, ExpressionAttributeValues=values,
                    **request, **start,
                )  # fmt: skip
            yield from page["Items"]
            if not page.get("LastEvaluatedKey") or "Limit" in request:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _items(project: str, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {
        "project": {"S": project},
        "item": {"S": record_item(int(record["seq"]))},
        "digest": {"S": record["digest"]},
        "what": {"S": record["what"]},
        "record": {"S": canonical(record).decode()},
    }
    yield {
        "project": {"S": project},
        "item": {"S": f"event#{record['event_id']}"},
        "seq": {"N": str(record["seq"])},
    }


def _kept(item: Mapping[str, Any]) -> KeptRecord:
    return KeptRecord(int(item["item"]["S"].partition("#")[2]), item["record"]["S"])


class SqsFactQueue:
    """A FIFO queue: one group a project, so that its facts keep their order."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, project: str, event_id: str, text: str) -> None:
        """Leave a fact in its project's order; the same event within five minutes is one."""
        with translated(f"queue a fact of {project}"):
            self._client.send_message(
                QueueUrl=self._url, MessageBody=text, MessageGroupId=project,
                MessageDeduplicationId=event_id,
            )  # fmt: skip


class KmsSealingKey:
    """An asymmetric KMS key of 3072 bits for signing."""

    def __init__(self, client: Any, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def sign(self, content: bytes) -> bytes:
        """Return the RSASSA_PKCS1_V1_5_SHA_256 signature over at most 4096 bytes."""
        with translated("sign a head"):
            answer = self._client.sign(
                KeyId=self._key_id, Message=content,
                MessageType="RAW", SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
            )  # fmt: skip
        return bytes(answer["Signature"])

    def public_der(self) -> bytes:
        """Return the public half as DER of SubjectPublicKeyInfo."""
        with translated("read the sealing key"):
            return bytes(self._client.get_public_key(KeyId=self._key_id)["PublicKey"])


class CloudTrailCalls:
    """CloudTrail's event history; calls of IAM are kept in us-east-1 alone.

    Args:
        client_of: Returns a boto3 CloudTrail client of a region.
        region: Where the stack runs.
    """

    def __init__(self, client_of: Callable[[str], Any], region: str) -> None:
        self._client_of = client_of
        self._region = region

    def lookup(
        self, event_names: Sequence[str], since: datetime, until: datetime
    ) -> Iterator[dict[str, Any]]:
        """Yield recorded calls of these names, each the ``detail`` that EventBridge would give."""
        for region in dict.fromkeys((self._region, _LOOKUP_REGION_OF_IAM)):
            for name in event_names:
                yield from self._named(self._client_of(region), name, since, until)

    def _named(
        self, client: Any, name: str, since: datetime, until: datetime
    ) -> Iterator[dict[str, Any]]:
        attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
        more: dict[str, str] = {}
        while True:
            with translated(f"look up {name} in CloudTrail"):
                page = client.lookup_events(
                    LookupAttributes=attributes, StartTime=since, EndTime=until, **more
                )
            for found in page.get("Events", []):
                detail = json.loads(found["CloudTrailEvent"])
                if isinstance(detail, dict):
                    yield detail
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

"""DynamoDB streams to functions: retries, halved batches, partial failures, destinations.

Source: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import new_uuid, request_scope
from ministack.services import dynamodb, lambda_svc

from steward_local import authority, delivery, lifecycle

JsonObject = dict[str, Any]
_log = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_READING = ("dynamodb:GetShardIterator", "dynamodb:GetRecords", "dynamodb:DescribeStream")
_refused: set[str] = set()


@dataclass(frozen=True)
class _Source:
    """One mapping with records that wait."""

    account: str
    region: str
    mapping: JsonObject
    function: JsonObject
    table: str
    position: int

    @property
    def id(self) -> str:
        return str(self.mapping["UUID"])

    @property
    def config(self) -> JsonObject:
        config: JsonObject = self.function.get("config") or self.function
        return config


def poll(_original: Callable[[], bool]) -> Callable[[], bool]:
    """Start a batch for every mapping that has records and none in flight."""

    def poll_dynamodb_streams() -> bool:
        for account, region, mapping in lambda_svc._iter_all_esms():
            with request_scope(account, region):
                source = _pending(account, region, mapping)
                if source is not None and source.id not in lambda_svc._esm_inflight:
                    lambda_svc._dispatch_esm_batch(source.id, _process, source)
        return False  # the end of a batch wakes the poller

    return poll_dynamodb_streams


def _pending(account: str, region: str, mapping: JsonObject) -> _Source | None:
    try:
        spec = parse_arn(mapping.get("EventSourceArn", ""))
    except ArnParseError:
        return None
    if spec.service != "dynamodb" or not mapping.get("Enabled", True):
        return None
    found = lambda_svc._dynamodb_stream_table_from_arn_spec(spec)
    function, _ = lambda_svc._get_func_record_for_qualifier(
        mapping["FunctionName"], mapping.get("Qualifier")
    )
    if found is None or function is None:
        return None
    table = found[0]
    described = dynamodb._tables.get(table)
    if not described or described.get("LatestStreamArn") != mapping["EventSourceArn"]:
        return None
    horizon = dynamodb.stream_start_position(table)
    end = dynamodb.stream_end_position(table)
    with lambda_svc._dynamodb_stream_positions_lock:
        positions = lambda_svc._dynamodb_stream_positions
        if mapping["UUID"] not in positions:
            trim = mapping.get("StartingPosition") == "TRIM_HORIZON"
            positions[mapping["UUID"]] = horizon if trim else end
        position = max(positions[mapping["UUID"]], horizon)
    if position >= end:
        return None
    return _Source(account, region, mapping, function, table, position)


def _reader(source: _Source) -> authority.Principal | None:
    """The function's role session when it may read the stream."""
    arn = source.mapping["EventSourceArn"]
    try:
        session = authority.assume_for_service(
            source.config.get("Role", ""), "lambda.amazonaws.com", "stream"
        )
        principal = authority.principal_of(session)
        for action in _READING:
            principal.require(action, arn)
    except (authority.AssumeRoleError, authority.AccessDeniedError) as problem:
        source.mapping["LastProcessingResult"] = f"PROBLEM: {problem}"
        if source.id not in _refused:
            _refused.add(source.id)
            _log.warning("Event source mapping of %s: %s", source.config["FunctionName"], problem)
        lifecycle.stopping.wait(0.5)
        return None
    _refused.discard(source.id)
    return principal


def _process(source: _Source) -> None:
    with request_scope(source.account, source.region):
        reader = _reader(source)
        if reader is None:
            return
        size = int(source.mapping.get("BatchSize") or 100)
        batch = dynamodb.stream_records_since(source.table, source.position, size)
        wanted = lambda_svc._apply_filter_criteria(batch, source.mapping)
        if wanted:
            _Shard(source, reader).deliver(wanted)
        if not lifecycle.stopping.is_set():
            with lambda_svc._dynamodb_stream_positions_lock:
                positions = lambda_svc._dynamodb_stream_positions
                positions[source.id] = source.position + len(batch)


class _Shard:
    """Delivers a batch until it is through or given up."""

    def __init__(self, source: _Source, reader: authority.Principal) -> None:
        self._source = source
        self._reader = reader
        settings = source.mapping
        retries = settings.get("MaximumRetryAttempts")
        self._retries = -1 if retries is None else int(retries)
        age = settings.get("MaximumRecordAgeInSeconds")
        self._age = -1.0 if age is None else float(age)
        self._halve = str(settings.get("BisectBatchOnFunctionError", False)).lower() == "true"
        kinds = settings.get("FunctionResponseTypes") or []
        self._partial = "ReportBatchItemFailures" in kinds

    def deliver(self, batch: list[JsonObject]) -> None:
        """Invoke with the batch, and again with what failed of it."""
        attempts = 0
        pause = _FIRST_PAUSE_SECONDS
        while batch and not lifecycle.stopping.is_set():
            result = lambda_svc._execute_function(self._source.function, {"Records": batch})
            failed = self._failed_from(batch, result)
            if failed is None:
                self._source.mapping["LastProcessingResult"] = f"OK - {len(batch)} records"
                return
            self._source.mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
            if failed:
                batch, attempts = batch[failed:], 0
            elif self._halve and len(batch) > 1:
                middle = len(batch) // 2
                self.deliver(batch[:middle])
                batch, attempts = batch[middle:], 0
                continue
            attempts += 1
            condition = self._given_up(batch, attempts)
            if condition:
                self._discard(batch, result, attempts, condition)
                return
            lifecycle.stopping.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _failed_from(self, batch: list[JsonObject], result: JsonObject) -> int | None:
        """The place of the first failed record; None when all went well."""
        if result.get("error"):
            return 0
        body = result.get("body")
        failures = body.get("batchItemFailures") if isinstance(body, dict) else None
        if not self._partial or not failures:
            return None
        numbers = [str(record["dynamodb"].get("SequenceNumber")) for record in batch]
        places = []
        for failure in failures:
            identifier = str(failure.get("itemIdentifier"))
            places.append(numbers.index(identifier) if identifier in numbers else 0)
        return min(places)

    def _given_up(self, batch: list[JsonObject], attempts: int) -> str:
        if 0 <= self._retries < attempts:
            return "RetryAttemptsExhausted"
        oldest = min(float(item["dynamodb"]["ApproximateCreationDateTime"]) for item in batch)
        if 0 <= self._age < time.time() - oldest:
            return "RecordAgeExceeded"
        return ""

    def _discard(
        self, batch: list[JsonObject], result: JsonObject, attempts: int, condition: str
    ) -> None:
        target = (self._source.mapping.get("DestinationConfig") or {}).get("OnFailure") or {}
        name = self._source.config["FunctionName"]
        _log.warning("%s: %s records given up: %s", name, len(batch), condition)
        if not target.get("Destination"):
            return
        with contextlib.suppress(delivery.DeliveryError):
            parcel = delivery.Parcel(
                body=self._record(batch, result, attempts, condition), source="lambda"
            )
            delivery.deliver_as(self._reader, target["Destination"], parcel)

    def _record(
        self, batch: list[JsonObject], result: JsonObject, attempts: int, condition: str
    ) -> JsonObject:
        def moment(seconds: float) -> str:
            return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        first, last = batch[0]["dynamodb"], batch[-1]["dynamodb"]
        return {
            "requestContext": {
                "requestId": new_uuid(),
                "functionArn": self._source.config.get("FunctionArn", ""),
                "condition": condition,
                "approximateInvokeCount": attempts,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": self._source.config.get("Version", "$LATEST"),
                "functionError": result.get("function_error") or "Unhandled",
            },
            "version": "1.0",
            "timestamp": moment(time.time()),
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000000000000000000-00000000",
                "startSequenceNumber": str(first.get("SequenceNumber", "")),
                "endSequenceNumber": str(last.get("SequenceNumber", "")),
                "approximateArrivalOfFirstRecord": moment(first["ApproximateCreationDateTime"]),
                "approximateArrivalOfLastRecord": moment(last["ApproximateCreationDateTime"]),
                "batchSize": len(batch),
                "streamArn": self._source.mapping["EventSourceArn"],
            },
        }

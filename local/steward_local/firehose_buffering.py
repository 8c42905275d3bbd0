"""Firehose's buffer: records are joined and written as one object by interval or size.

Source: https://docs.aws.amazon.com/firehose/latest/dev/create-configure.html
"""

import gzip
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import firehose

from steward_local import authority, lifecycle
from steward_local.pace import real_seconds

JsonObject = dict[str, Any]
Record = tuple[str, bytes]
Deliver = Callable[[JsonObject, JsonObject, list[Record]], None]

_log = logging.getLogger(__name__)
_DEFAULT_SECONDS = 300
_DEFAULT_MEGABYTES = 5
_TICK_SECONDS = 0.1


@dataclass
class _Buffer:
    """The records of one destination that wait to be written together."""

    account: str
    region: str
    stream: JsonObject
    destination: JsonObject
    due: float
    records: list[Record] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.records)


_lock = threading.Lock()
_buffers: dict[tuple[str, str, str, str], _Buffer] = {}


def _hints(destination: JsonObject) -> tuple[float, int]:
    hints = destination["config"].get("BufferingHints") or {}
    seconds = float(hints.get("IntervalInSeconds", _DEFAULT_SECONDS))
    return real_seconds(seconds), int(hints.get("SizeInMBs", _DEFAULT_MEGABYTES)) * 1024 * 1024


def collect(_original: Deliver) -> Deliver:
    """Put records into their destination's buffer instead of writing each at once."""

    def deliver(stream: JsonObject, destination: JsonObject, records: list[Record]) -> None:
        seconds, size = _hints(destination)
        key = (get_account_id(), get_region(), stream["name"], destination["id"])
        with _lock:
            buffer = _buffers.setdefault(
                key, _Buffer(key[0], key[1], stream, destination, time.monotonic() + seconds)
            )
            buffer.records.extend(records)
            if buffer.size >= size:
                buffer.due = 0.0

    return deliver


def put(stream_arn: str, payloads: list[bytes]) -> bool:
    """Add records as PutRecordBatch does; False when there is no such stream."""
    stream = firehose._streams.get(stream_arn.partition(":deliverystream/")[2])
    if stream is None:
        return False
    for destination in stream["destinations"]:
        if destination["type"] in ("ExtendedS3", "S3"):
            records = [(new_uuid(), payload) for payload in payloads]
            firehose._deliver_records_to_s3(stream, destination, records)
    return True


def _denial(buffer: _Buffer) -> str | None:
    config = buffer.destination["config"]
    bucket = config.get("BucketARN", "")
    try:
        session = authority.assume_for_service(
            config.get("RoleARN", ""),
            "firehose.amazonaws.com",
            buffer.stream["name"],
            {"sts:ExternalId": buffer.account},
        )
        below = str(config.get("Prefix", "")).split("!{", 1)[0]
        return authority.principal_of(session).denial("s3:PutObject", f"{bucket}/{below}object")
    except authority.AssumeRoleError as problem:
        return str(problem)


def _built_in_processors(config: JsonObject, records: list[Record]) -> list[Record]:
    """Unpack CloudWatch Logs records where the destination asks for it.

    ``Decompression`` undoes the GZIP of a subscription filter; ``CloudWatchLogProcessing`` with
    ``DataMessageExtraction`` keeps the log messages alone, as they were written.

    Source: https://docs.aws.amazon.com/firehose/latest/dev/writing-with-cloudwatch-logs.html
    """
    processing = config.get("ProcessingConfiguration") or {}
    if not processing.get("Enabled"):
        return records
    for processor in processing.get("Processors") or []:
        parameters = {
            parameter["ParameterName"]: parameter["ParameterValue"]
            for parameter in processor.get("Parameters") or []
        }
        if processor.get("Type") == "Decompression":
            records = [(name, gzip.decompress(data)) for name, data in records]
        elif (
            processor.get("Type") == "CloudWatchLogProcessing"
            and parameters.get("DataMessageExtraction") == "true"
        ):
            records = [(name, _messages(data)) for name, data in records]
        elif processor.get("Type") == "AppendDelimiterToRecord":
            records = [(name, data + b"\n") for name, data in records]
    return records


def _messages(envelope: bytes) -> bytes:
    found = json.loads(envelope)
    if found.get("messageType") != "DATA_MESSAGE":
        return b""
    return "".join(event["message"] for event in found["logEvents"]).encode()


def _write(buffer: _Buffer) -> None:
    destination = buffer.destination
    config = destination["config"]
    unpacked = _built_in_processors(config, buffer.records)
    kept = firehose._apply_lambda_processors(buffer.stream, destination, unpacked)
    body = b"".join(payload for _, payload in kept)
    if not body:
        return
    if config.get("CompressionFormat") == "GZIP":
        body = gzip.compress(body)
        extension = config.get("FileExtension") or ".gz"
        destination = {**destination, "config": {**config, "FileExtension": extension}}
    firehose._deliver_to_s3(buffer.stream, destination, body)


def _flush(buffer: _Buffer) -> None:
    with request_scope(buffer.account, buffer.region):
        if message := _denial(buffer):
            # Firehose tries for 24 hours; the records stay, and the next interval tries again.
            _log.warning("Delivery stream %s: %s", buffer.stream["name"], message)
            collect(firehose._deliver_records_to_s3)(
                buffer.stream, buffer.destination, buffer.records
            )
            return
        _write(buffer)


def flush_due() -> None:
    """Write every buffer whose interval has passed or whose size is reached."""
    now = time.monotonic()
    with _lock:
        due = {key: buffer for key, buffer in _buffers.items() if buffer.due <= now}
        for key in due:
            del _buffers[key]
    for buffer in due.values():
        _flush(buffer)


def start() -> None:
    """Flush in the background from the start of the server on."""
    lifecycle.every(_TICK_SECONDS, flush_due, "firehose-buffers")

"""Metrics in log lines: the CloudWatch embedded metric format, and metric resolution.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import contextvars
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ministack.services import cloudwatch

JsonObject = dict[str, Any]
_log = logging.getLogger(__name__)
HIGH_RESOLUTION = "_high_resolution"
# Resolutions of the data that a PutMetricData request is about to store, in its order.
_announced: contextvars.ContextVar[deque[int] | None] = contextvars.ContextVar(
    "steward_metric_resolutions", default=None
)


def _documents(message: str) -> Iterator[JsonObject]:
    if '"_aws"' not in message:
        return
    try:
        document = json.loads(message)
    except json.JSONDecodeError:
        return
    if isinstance(document, dict) and isinstance(document.get("_aws"), dict):
        yield document


def _store(document: JsonObject, directive: JsonObject, timestamp: float) -> None:
    namespace = directive.get("Namespace", "")
    for metric in directive.get("Metrics", []):
        name = metric.get("Name", "")
        found = document.get(name)
        values = found if isinstance(found, list) else [found]
        numbers = [
            float(value)
            for value in values
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        for dimension_set in directive.get("Dimensions") or [[]]:
            dimensions = {key: str(document[key]) for key in dimension_set if key in document}
            if not numbers or len(dimensions) != len(dimension_set):
                continue
            bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
            bucket.extend(
                {
                    "Timestamp": timestamp,
                    "Value": number,
                    "Unit": metric.get("Unit", "None"),
                    "Dimensions": dimensions,
                    HIGH_RESOLUTION: metric.get("StorageResolution") == 1,
                }
                for number in numbers
            )


def extract(events: list[JsonObject]) -> None:
    """Store the metrics of the log events that are in the embedded metric format."""
    for event in events:
        for document in _documents(event.get("message", "")):
            meta = document["_aws"]
            timestamp = float(meta.get("Timestamp", time.time() * 1000)) / 1000
            for directive in meta.get("CloudWatchMetrics", []):
                _store(document, directive, timestamp)


def keep_resolution(original: Callable[..., Any]) -> Callable[..., Any]:
    """Remember the StorageResolution of each datum of a PutMetricData request."""

    def put_metric_data(
        params: JsonObject, cbor_data: JsonObject, is_cbor: bool, is_json: bool = False
    ) -> Any:
        data = (cbor_data or {}).get("MetricData", []) if is_cbor or is_json else []
        token = _announced.set(deque(int(datum.get("StorageResolution", 60)) for datum in data))
        try:
            return original(params, cbor_data, is_cbor, is_json)
        finally:
            _announced.reset(token)

    return put_metric_data


def store_with_resolution(original: Callable[..., None]) -> Callable[..., None]:
    """Mark the points of a datum that was sent with StorageResolution 1."""

    def store(namespace: str, name: str, dims: JsonObject, *rest: Any) -> None:
        bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dims)))
        before = len(bucket)
        original(namespace, name, dims, *rest)
        announced = _announced.get()
        if announced and announced.popleft() == 1:
            for point in bucket[before:]:
                point[HIGH_RESOLUTION] = True

    return store


def across_all_functions(original: Callable[..., None]) -> Callable[..., None]:
    """Count errors and throttles of all functions together, without a dimension, too.

    CloudWatch also says 0 for each invocation without one; here that is no point, since alarms
    look through all points again and again.
    """

    def emit(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        original(function_name, duration_ms, error, throttle)
        for name, happened in (("Errors", error), ("Throttles", throttle)):
            if happened:
                cloudwatch.record_metric("AWS/Lambda", name, 1, "Count")

    return emit

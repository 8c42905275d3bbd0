"""An invocation's lines in its log group, in Lambda's text and JSON formats."""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch_logs

from steward_local.lambdas.worker import LogSource

JsonObject = dict[str, Any]
Emit = Callable[..., None]


def _stream_of(group_name: str, stream_name: str, now_ms: int) -> JsonObject:
    groups = cloudwatch_logs._log_groups
    if group_name not in groups:
        groups[group_name] = {
            "arn": cloudwatch_logs._make_group_arn(group_name),
            "creationTime": now_ms,
            "retentionInDays": None,
            "tags": {},
            "subscriptionFilters": {},
            "streams": {},
        }
    stream: JsonObject = groups[group_name]["streams"].setdefault(
        stream_name,
        {
            "events": [],
            "uploadSequenceToken": "1",
            "creationTime": now_ms,
            "firstEventTimestamp": None,
            "lastEventTimestamp": None,
            "lastIngestionTime": None,
        },
    )
    return stream


def _text_lines(
    request_id: str, version: str, lines: list[str], source: LogSource, memory: int
) -> list[str]:
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {source.duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(source.duration_ms)} ms",
        f"Memory Size: {memory} MB",
        f"Max Memory Used: {source.peak_mb} MB",
    ]
    if source.init_ms is not None:
        report.append(f"Init Duration: {source.init_ms:.2f} ms")
    return [
        f"START RequestId: {request_id} Version: {version}",
        *lines,
        f"END RequestId: {request_id}",
        "\t".join([*report, ""]),
    ]


def _json_lines(
    request_id: str, version: str, lines: list[str], source: LogSource, memory: int, error: bool
) -> list[str]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    metrics: JsonObject = {
        "durationMs": round(source.duration_ms, 3),
        "billedDurationMs": math.ceil(source.duration_ms),
        "memorySizeMB": memory,
        "maxMemoryUsedMB": source.peak_mb,
    }
    if source.init_ms is not None:
        metrics["initDurationMs"] = round(source.init_ms, 3)
    start = {"requestId": request_id, "version": version}
    report = {
        "requestId": request_id,
        "metrics": metrics,
        "status": "error" if error else "success",
    }
    return [
        json.dumps({"time": now, "type": "platform.start", "record": start}),
        *lines,
        json.dumps({"time": now, "type": "platform.report", "record": report}),
    ]


def emit(original: Emit) -> Emit:
    """Write the lines of an environment's invocation to the environment's own log stream."""

    def emit_logs(
        func: JsonObject,
        request_id: str,
        log_text: str,
        error: bool,
        duration_ms: int,
        *,
        log_source: Any = None,
    ) -> None:
        if not isinstance(log_source, LogSource):
            original(func, request_id, log_text, error, duration_ms, log_source=log_source)
            return
        config = func.get("config") or func
        logging_config = config.get("LoggingConfig") or {}
        default_group = f"/aws/lambda/{config.get('FunctionName', 'unknown')}"
        group = logging_config.get("LogGroup") or default_group
        version = config.get("Version", "$LATEST")
        memory = int(config.get("MemorySize", 128))
        printed = log_text.split("\n") if log_text else []
        lines = (
            _json_lines(request_id, version, printed, log_source, memory, error)
            if logging_config.get("LogFormat") == "JSON"
            else _text_lines(request_id, version, printed, log_source, memory)
        )
        now_ms = int(time.time() * 1000)
        cloudwatch_logs._append_log_events(
            _stream_of(group, log_source.stream, now_ms),
            [{"timestamp": now_ms, "message": line, "ingestionTime": now_ms} for line in lines],
        )
        cloudwatch_logs._fanout_to_subscription_filters(
            group,
            log_source.stream,
            [{"timestamp": now_ms, "message": line} for line in lines],
        )

    return emit_logs

"""Data capture in SageMaker's JSON Lines format, written with the model's role.

Source of the format: "Capture data from real-time endpoint" (developer guide).
"""

from __future__ import annotations

import base64
import contextvars
import json
import random
import threading
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from steward_local import authority
from steward_local.sagemaker import jobs, settings
from steward_local.sagemaker.s3_files import RoleFiles, TransferError

FLUSH_SECONDS = 2.0


class Capture:
    """Collects exchanges of one endpoint and writes them in small files by variant and hour."""

    def __init__(self, config: dict[str, Any], endpoint: str, role_arn: str, region: str) -> None:
        self._config = config
        self._endpoint = endpoint
        self._modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        headers = config.get("CaptureContentTypeHeader", {})
        self._csv = set(headers.get("CsvContentTypes", ["text/csv"]))
        self._json = set(headers.get("JsonContentTypes", ["application/json"]))
        self._lock = threading.Lock()
        self._pending: dict[str, list[str]] = defaultdict(list)
        self._role_arn, self._region = role_arn, region
        self._closed = threading.Event()
        self._dice = random.Random()  # noqa: S311 - a sampling rate, not a secret
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._flush_until_closed,),
            daemon=True,
            name=f"capture-{endpoint}",
        )
        self._thread.start()

    def draw(self) -> str | None:
        """Return the id of an event if the sampling picks the request, for all who answer it."""
        if not self._config.get("EnableCapture"):
            return None
        if self._dice.random() * 100 >= self._config["InitialSamplingPercentage"]:
            return None
        return str(uuid.uuid4())

    def record(
        self,
        variant: str,
        request: tuple[bytes, str],
        answer: tuple[bytes, str],
        inference_id: str | None,
        event_id: str,
    ) -> None:
        """Take one exchange (body and content type each way) of a request that was drawn."""
        data: dict[str, Any] = {}
        both = "InputAndOutput" in self._modes
        if both or "Input" in self._modes:
            data["endpointInput"] = self._side("INPUT", *request)
        if both or "Output" in self._modes:
            data["endpointOutput"] = self._side("OUTPUT", *answer)
        metadata = {
            "eventId": event_id,
            **({"inferenceId": inference_id} if inference_id else {}),
            "inferenceTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        line = json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})
        with self._lock:
            self._pending[variant].append(line)

    def _side(self, mode: str, body: bytes, content_type: str) -> dict[str, str]:
        kind = content_type.partition(";")[0].strip()
        if kind in self._csv or kind in self._json:
            encoding, data = "CSV" if kind in self._csv else "JSON", body.decode("utf-8", "replace")
        else:
            encoding, data = "BASE64", base64.b64encode(body).decode()
        return {
            "observedContentType": content_type,
            "mode": mode,
            "data": data,
            "encoding": encoding,
        }

    def _flush_until_closed(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, defaultdict(list)
        if not pending:
            return
        credentials = authority.assume_for_service(self._role_arn, jobs.SERVICE, "SageMaker")
        files = RoleFiles(credentials, settings.current().endpoint, self._region)
        moment = datetime.now(UTC)
        for variant, lines in pending.items():
            name = f"{moment:%M-%S}-{moment.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            target = (
                f"{self._config['DestinationS3Uri'].rstrip('/')}/{self._endpoint}/{variant}/"
                f"{moment:%Y/%m/%d/%H}/{name}"
            )
            try:
                files.put(target, ("\n".join(lines) + "\n").encode())
            except TransferError:
                continue

    def close(self) -> None:
        """Write what is pending and stop."""
        self._closed.set()
        self._thread.join(10)

"""What the endpoint answers: a WSGI application over one model, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from steward_jobs.container import log
from steward_jobs.job_config import InvalidRowError, JobConfig
from steward_jobs.model_code import Model, Row

JSON, CSV = "application/json", "text/csv"
_INFERENCE_ID = "HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID"
_TRACE_LINES = 12

StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = JSON
    rows: int = 0
    error: dict[str, object] | None = None
    trace: list[str] | None = None


class _RefusedError(Exception):
    """A request that is answered without asking the model."""

    def __init__(self, status: HTTPStatus, message: str, allowed: str) -> None:
        super().__init__(message)
        self.status = status
        self.allowed = allowed


class Application:
    """Answers ``GET /ping`` and ``POST /invocations``; not healthy before it has a model.

    Args:
        max_body_bytes: Larger requests are refused with 413.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._loaded: tuple[JobConfig, Model] | None = None
        self._draining = False
        self._lock = threading.Lock()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Invocations that have been read and not yet answered."""
        with self._lock:
            return self._in_flight

    def take(self, job: JobConfig, model: Model) -> None:
        """Become healthy with this model."""
        self._loaded = (job, model)

    def drain(self) -> None:
        """Become unhealthy, so that no new connections come; those that exist are answered."""
        self._draining = True

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("GET", "/ping"):
            healthy = self._loaded is not None and not self._draining
            answer = _Answer(HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, b"")
            return _send(answer, start_response)
        started = time.perf_counter()
        with self._lock:
            self._in_flight += 1
        try:
            answer = self._answer(environ)
        finally:
            with self._lock:
                self._in_flight -= 1
        log(
            "request",
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            status=int(answer.status),
            rows=answer.rows,
            bytes_in=int(environ.get("CONTENT_LENGTH") or 0),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
            inference_id=environ.get(_INFERENCE_ID),
            **({"error": answer.error} if answer.error else {}),
            **({"trace": answer.trace} if answer.trace else {}),
        )
        return _send(answer, start_response)

    def _answer(self, environ: dict[str, Any]) -> _Answer:
        try:
            job, model, body, sent, wanted = self._accept(environ)
            rows = _read_csv(body, job) if sent == CSV else _read_json(body, job)
        except InvalidRowError as error:
            return _failed(HTTPStatus.BAD_REQUEST, error.as_dict())
        except _RefusedError as error:
            return _failed(error.status, {"message": str(error), "allowed": error.allowed})
        try:
            answers = model.predict(rows)
        except Exception as error:  # noqa: BLE001 - the model's code may raise anything
            return _failed(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                {"message": f"the model's code failed: {error}", "type": type(error).__name__},
                rows=len(rows),
                trace=traceback.format_exc().splitlines()[-_TRACE_LINES:],
            )
        if wanted == CSV:
            text = "".join(f"{answer!r}\n" for answer in answers)
            return _Answer(HTTPStatus.OK, text.encode(), CSV, len(rows))
        document = json.dumps({"predictions": [_prediction(job, answer) for answer in answers]})
        return _Answer(HTTPStatus.OK, document.encode(), JSON, len(rows))

    def _accept(self, environ: dict[str, Any]) -> tuple[JobConfig, Model, bytes, str, str]:
        """Return what is needed to read the rows, and the formats sent and wanted."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path != "/invocations":
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, f"there is no {path[:100]}", "GET /ping, POST /invocations"
            )
        if method != "POST":
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not POST", "POST")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > self._max_body_bytes:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has {length} bytes; send the rows in smaller batches",
                f"at most {self._max_body_bytes} bytes",
            )
        sent = _media_type(environ.get("CONTENT_TYPE")) or JSON
        if sent not in (JSON, CSV):
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"rows cannot be read from {sent[:100]}",
                f"{JSON}, {CSV}",
            )
        if self._loaded is None:
            raise _RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "the model is still loading", "try again"
            )
        accepted = _media_type(environ.get("HTTP_ACCEPT"))
        wanted = accepted if accepted in (JSON, CSV) else sent
        return *self._loaded, environ["wsgi.input"].read(length), sent, wanted


def _prediction(job: JobConfig, answer: float) -> dict[str, object]:
    """Return what is answered for a row: a probability with its label, or a value."""
    if job.task == "regression":
        return {"value": answer}
    return {"probability": answer, "label": job.label_of(answer)}


def _read_json(body: bytes, job: JobConfig) -> list[Row]:
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(
            HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}", '{"instances": [{...}]}'
        ) from None
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances or len(document) != 1:
        raise _RefusedError(
            HTTPStatus.BAD_REQUEST,
            "the body must be an object with the one key instances, a list of at least one row",
            '{"instances": [{...}]}',
        )
    return [job.check_row(instance, row) for row, instance in enumerate(instances)]


def _read_csv(body: bytes, job: JobConfig) -> list[Row]:
    names = ",".join(feature.name for feature in job.features)
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _RefusedError(
            HTTPStatus.BAD_REQUEST, f"the body is no CSV: {error}", f"rows of {names}"
        ) from None
    rows = [job.parse_row(cells, row) for row, cells in enumerate(filter(None, lines))]
    if not rows:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the body has no rows", f"rows of {names}")
    return rows


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def _failed(
    status: HTTPStatus,
    error: dict[str, object],
    *,
    rows: int = 0,
    trace: list[str] | None = None,
) -> _Answer:
    body = json.dumps({"error": {"row": None, "field": None, "value": None, **error}})
    return _Answer(status, body.encode(), JSON, rows, error, trace)


def _send(answer: _Answer, start_response: StartResponse) -> list[bytes]:
    headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    start_response(f"{int(answer.status)} {answer.status.phrase}", headers)
    return [answer.body]

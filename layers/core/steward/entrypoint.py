"""Decorators that turn a use case into a Lambda handler: logging, parsing, errors, dead letters.

Four kinds of doorway: ``@step`` for state-machine tasks, ``@on_event`` for the bus,
``@on_batch`` for streams, ``@on_request`` for function URLs. Handlers stay free of logic.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger
from pydantic import BaseModel, ValidationError

from steward.adapters.traces import annotate
from steward.contracts.events import PAYLOADS
from steward.contracts.incoming import AWS_DETAILS, Envelope, OwnDetail, Received
from steward.domain.errors import (
    BatchNotFoundError,
    ConflictError,
    DeliveryNotFoundError,
    FeatureGroupNotFoundError,
    MalformedEventError,
    NotAuthorizedError,
    ProjectNotFoundError,
    RejectedError,
    RetryableError,
    RunNotFoundError,
    StewardError,
    VersionNotFoundError,
    WaiverNotFoundError,
)
from steward.settings import settings

if TYPE_CHECKING:
    from steward.contracts.pipeline import PipelineJob

LambdaEvent = dict[str, Any]
Handler = Callable[[LambdaEvent, Any], Any]
CommandT = TypeVar("CommandT", bound=BaseModel)
_SAME_EVENT = '[source, "detail-type", time, detail]'


@cache
def logger() -> Logger:
    """Return the function's logger: one JSON object a line, with project and correlation id."""
    return Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME", "steward"))


def _begin(context: Any) -> Logger:
    log = logger()
    log.clear_state()
    request_id = getattr(context, "aws_request_id", None)
    if request_id:
        log.append_keys(request_id=request_id)
    return log


def _malformed(invalid: ValidationError, what: str, below: str = "$") -> MalformedEventError:
    def path(location: tuple[str | int, ...]) -> str:
        parts = [str(part) for part in location]
        return ".".join(parts if below == "$" else [below, *parts]) or "$"

    errors = invalid.errors(include_url=False, include_input=False)
    problems = [f"{path(error['loc'])}: {error['msg']}" for error in errors]
    return MalformedEventError(
        f"{what}: {'; '.join(problems)}", field=path(errors[0]["loc"]), allowed=errors[0]["msg"]
    )


def _dump(result: object) -> Any:
    return result.model_dump(mode="json") if isinstance(result, BaseModel) else result


def step(command_model: type[CommandT]) -> Callable[[Callable[[CommandT], object]], Handler]:
    """Make a state-machine task of a function ``command -> result``.

    Errors leave as they are: Step Functions matches their class names. Input that does not
    fit ``command_model`` raises ``MalformedEventError``.
    """

    def decorate(function: Callable[[CommandT], object]) -> Handler:
        @wraps(function)
        def handler(event: LambdaEvent, context: Any) -> Any:
            log = _begin(context)
            try:
                command = command_model.model_validate(event)
            except ValidationError as invalid:
                error = _malformed(invalid, f"input of {function.__module__}")
                log.error("task input refused", extra={"refusal": error.as_dict()})
                raise error from None
            keys = _keys_of(command)
            log.append_keys(**keys)
            try:
                with _traced(keys):
                    result = _dump(function(command))
            except StewardError as error:
                log.warning("task ended in an error", extra={"refusal": _error_fields(error)})
                raise
            log.info("task done")
            return result

        return handler

    return decorate


def _keys_of(command: BaseModel) -> dict[str, object]:
    wanted = ("project", "run_id", "version", "release_id", "correlation_id")
    return {name: getattr(command, name) for name in wanted if hasattr(command, name)}


def _annotations_of(received: Received) -> dict[str, object]:
    told: dict[str, object] = {"event_id": received.id, "detail_type": received.detail_type}
    if received.meta:
        told |= {
            "project": received.meta.project, "correlation_id": received.meta.correlation_id,
        }  # fmt: skip
    return told


@contextmanager
def _traced(annotations: Mapping[str, object]) -> Iterator[None]:
    """Annotate the function's X-Ray trace, so that it is found by its correlation id."""
    began, failed = time.time(), True
    try:
        yield
        failed = False
    finally:
        annotate("steward", annotations, began, time.time(), os.environ, failed=failed)


def _error_fields(error: StewardError) -> dict[str, object]:
    if isinstance(error, RejectedError):
        return error.as_dict()
    return {"error": type(error).__name__, "detail": str(error)}


def parse_event(event: object) -> Received:
    """Return an EventBridge event, typed by its source and detail-type.

    Raises:
        MalformedEventError: It is no EventBridge event, of an unknown kind, or its detail
            does not fit the contract.
    """
    try:
        envelope = Envelope[Any].model_validate(event)
    except ValidationError as invalid:
        raise _malformed(invalid, "event") from None
    meta = None
    try:
        if envelope.source.startswith("steward."):
            own = _own_detail(envelope)
            meta, detail = own.meta, own.data
        else:
            detail = _aws_detail(envelope)
    except ValidationError as invalid:
        raise _malformed(invalid, "event", "detail") from None
    return Received(
        id=envelope.id,
        time=envelope.time,
        source=envelope.source,
        detail_type=envelope.detail_type,
        account=envelope.account,
        resources=envelope.resources,
        replayed=envelope.replay_name is not None,
        meta=meta,
        detail=detail,
    )


def _own_detail(envelope: Envelope[Any]) -> OwnDetail[Any]:
    payload = PAYLOADS.get(envelope.detail_type)
    if payload is None or payload.source != envelope.source:
        raise _unknown(envelope, "is no event of ours")
    return OwnDetail[payload].model_validate(envelope.detail)  # type: ignore[valid-type]


def _aws_detail(envelope: Envelope[Any]) -> BaseModel:
    model = AWS_DETAILS.get((envelope.source, envelope.detail_type))
    if model is None:
        raise _unknown(envelope, "is not handled here")
    return model.model_validate(envelope.detail)


def _unknown(envelope: Envelope[Any], what: str) -> MalformedEventError:
    return MalformedEventError(
        f"{envelope.source} {envelope.detail_type!r} {what}",
        field="detail-type", value=envelope.detail_type,
    )  # fmt: skip


def on_event(
    *detail_types: str, once: bool = False
) -> Callable[[Callable[[Received], object]], Handler]:
    """Make a bus consumer of a function ``Received -> result``.

    A malformed event, one of another detail-type, and one that the use case rejects are logged
    and go to the function's failure queue at once: no retry can mend them. Everything else
    raises, so that Lambda retries and then sends it there.

    Args:
        detail_types: The detail-types that this function takes.
        once: Handle the same event once (Powertools idempotency), for effects that must not
            repeat. Two events are the same when source, type, time and detail are: an event
            that the outbox publishes twice gets another ``id`` from EventBridge each time.
    """

    def decorate(function: Callable[[Received], object]) -> Handler:
        def consume(event: LambdaEvent, context: Any) -> Any:
            log = _begin(context)
            try:
                received = parse_event(event)
                if received.detail_type not in detail_types:
                    raise MalformedEventError(
                        f"{received.detail_type!r} does not belong here",
                        field="detail-type", value=received.detail_type,
                        allowed=", ".join(detail_types),
                    )  # fmt: skip
            except MalformedEventError as error:
                log.error("event refused", extra={"refusal": error.as_dict()})
                _bury(event, error, context)
                return {"refused": error.as_dict()}
            if received.meta:
                log.append_keys(
                    project=received.meta.project, correlation_id=received.meta.correlation_id
                )
            log.append_keys(event_id=received.id, detail_type=received.detail_type)
            try:
                with _traced(_annotations_of(received)):
                    result = _dump(function(received))
            except ConflictError as error:
                log.info("lost a race", extra={"refusal": _error_fields(error)})
                raise
            except RejectedError as error:
                log.error("event refused", extra={"refusal": error.as_dict()})
                _bury(event, error, context)
                return {"refused": error.as_dict()}
            except StewardError as error:
                log.error("event not handled", extra={"refusal": _error_fields(error)})
                raise
            log.info("event handled", extra={"result": result})
            return result

        @wraps(function)
        def handler(event: LambdaEvent, context: Any) -> Any:
            if once and isinstance(event, Mapping) and event.get("id"):
                return _idempotent(consume)(event, context)
            return consume(event, context)

        handler.__dict__["detail_types"] = detail_types
        return handler

    return decorate


def task_or_event(task: Handler, event: Handler, *, task_key: str = "") -> Handler:
    """Make one function of a task and the consumer that does the same after the fact.

    A machine that is aborted or times out cannot run its last task; the execution's status
    event then does. What has a ``detail-type`` came from EventBridge.

    Args:
        task: Handler of the machine's task.
        event: Handler of the event.
        task_key: A key that every input of the task has and no event: then anything else is
            an event, so that one without a ``detail-type`` is refused as such.
    """

    @wraps(task)
    def handler(received: LambdaEvent, context: Any) -> Any:
        keys = received if isinstance(received, Mapping) else {}
        asked = task_key in keys if task_key else "detail-type" not in keys
        return (task if asked else event)(received, context)

    handler.__dict__["detail_types"] = detail_types_of(event)
    return handler


def on_job(function: Callable[[PipelineJob], object]) -> Handler:
    """Make a handler of CodePipeline's jobs of a function ``job -> what was answered``.

    The event carries credentials and is never logged, nor kept in a failure queue: a fault of
    ours ends the action with a failure that names the request to look for. So Lambda counts no
    error; the metric ``PipelineFaults`` of the function does, and its alarm tells.
    """

    @wraps(function)
    def handler(event: LambdaEvent, context: Any) -> Any:
        from steward.contracts.pipeline import PipelineJob

        log = _begin(context)
        try:
            job = PipelineJob.model_validate(event)
        except ValidationError as invalid:
            refusal = _malformed(invalid, "job of CodePipeline").as_dict()
            log.error("job refused", extra={"refusal": refusal})
            _count_fault(context)
            return {"refused": refusal}
        log.append_keys(job_id=job.job.id)
        try:
            result = function(job)
        except StewardError as error:
            log.error("job not answered", extra={"refusal": _error_fields(error)})
            raise
        except Exception:
            from steward.bootstrap import app

            log.exception("job failed")
            _count_fault(context)
            where = f"see the log of request {getattr(context, 'aws_request_id', '')}"
            app().pipelines.fail(job.job.id, "JobFailed", f"a fault of Steward's own: {where}")
            return {"fails": where}
        log.info("job answered", extra={"result": result})
        return result

    return handler


def _count_fault(context: Any) -> None:
    """Count a fault that neither Lambda nor a queue may know of."""
    from datetime import UTC, datetime

    from steward.bootstrap import app

    dimensions = {"FunctionName": str(getattr(context, "function_name", ""))}
    app().metric_log.put(dimensions, datetime.now(UTC), {"PipelineFaults": (1, "Count")})


def job_or_event(job: Handler, event: Handler) -> Handler:
    """Make one function of CodePipeline's jobs and the consumer of what they wait for."""

    @wraps(job)
    def handler(received: LambdaEvent, context: Any) -> Any:
        arrived = isinstance(received, Mapping) and "CodePipeline.job" in received
        return (job if arrived else event)(received, context)

    handler.__dict__["detail_types"] = detail_types_of(event)
    return handler


def task_or_request(task: Handler, request: Handler) -> Handler:
    """Make one function of a task that others call and a function URL that does the same."""

    @wraps(task)
    def handler(received: LambdaEvent, context: Any) -> Any:
        arrived = isinstance(received, Mapping) and "requestContext" in received
        return (request if arrived else task)(received, context)

    return handler


def detail_types_of(handler: Handler) -> tuple[str, ...]:
    """Return the detail-types that a handler takes, for the event catalogue."""
    found: tuple[str, ...] = getattr(handler, "detail_types", ())
    return found


@cache
def _idempotent(consume: Handler) -> Handler:
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent,
    )

    table = DynamoDBPersistenceLayer(table_name=settings().need("idempotency_table"))
    config = IdempotencyConfig(
        event_key_jmespath=_SAME_EVENT,
        hash_function="sha256",
        expires_after_seconds=86_400,
        raise_on_no_idempotency_key=True,
    )
    decorated: Handler = idempotent(persistence_store=table, config=config)(consume)
    return decorated


def _bury(event: object, error: RejectedError, context: Any) -> None:
    from steward.bootstrap import app

    app().failure_queue.send(
        event,
        error.as_dict(),
        request_id=getattr(context, "aws_request_id", ""),
        function_arn=getattr(context, "invoked_function_arn", ""),
    )


def on_batch(function: Callable[[list[LambdaEvent]], list[str]]) -> Handler:
    """Make a consumer of a stream or queue of a function ``records -> ids that failed``.

    Ids are sequence numbers of a stream's records, or message ids of a queue's.

    Answers with ``batchItemFailures``, so that what succeeded is not delivered again.
    """

    @wraps(function)
    def handler(event: LambdaEvent, context: Any) -> Any:
        log = _begin(context)
        records = event.get("Records") if isinstance(event, Mapping) else None
        if not isinstance(records, list):
            error = MalformedEventError("not a batch of records", field="Records", allowed="a list")
            log.error("batch refused", extra={"refusal": error.as_dict()})
            raise error
        failed = function(records)
        log.info("batch handled", extra={"records": len(records), "failed": len(failed)})
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}

    return handler


@dataclass(frozen=True)
class Request:
    """A request to a function URL whose caller IAM has verified."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    content_type: str
    caller_arn: str
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            MalformedEventError: The body is not JSON.
        """
        try:
            return json.loads(self.body or b"null")
        except ValueError as error:
            raise MalformedEventError(
                f"the body is not JSON: {error}", field="body", allowed="a JSON object"
            ) from None

    def parsed(self, model: type[CommandT]) -> CommandT:
        """Return the body as a command.

        Raises:
            MalformedEventError: The body is not JSON or does not fit ``model``.
        """
        try:
            return model.model_validate(self.json())
        except ValidationError as invalid:
            raise _malformed(invalid, "the body") from None


@dataclass(frozen=True)
class Response:
    """An answer; ``body`` is sent as JSON unless it is bytes."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)


def on_request(function: Callable[[Request], Response]) -> Handler:
    """Make a function-URL handler of a function ``Request -> Response``.

    Errors become answers: 400 for what is rejected, 403, 404, 409 for a lost race, 503 for
    what may work later; anything else is logged with its trace and answered 500.
    """

    return _answering(function, _request)


def on_public_request(function: Callable[[Request], Response]) -> Handler:
    """Make a handler of a function URL that anybody may call; ``caller_arn`` is empty.

    For callers that IAM cannot know: the function itself checks who signed what it takes.
    """
    return _answering(function, _anonymous_request)


def _answering(
    function: Callable[[Request], Response], read: Callable[[LambdaEvent], Request]
) -> Handler:
    @wraps(function)
    def handler(event: LambdaEvent, context: Any) -> Any:
        log = _begin(context)
        try:
            response = function(read(event))
        except StewardError as error:
            status = _status_of(error)
            log.warning(
                "request refused", extra={"status": status, "refusal": _error_fields(error)}
            )
            response = Response(status, _error_fields(error))
        except Exception:
            log.exception("request failed")
            response = Response(500, {"error": "InternalError", "message": "see the log"})
        return _http(response)

    return handler


def _request(event: LambdaEvent) -> Request:
    try:
        return _read(event, event["requestContext"]["authorizer"]["iam"]["userArn"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotAuthorizedError(
            f"not a signed request to a function URL: {error!r}",
            field="requestContext.authorizer.iam", allowed="IAM-authenticated requests",
        ) from None  # fmt: skip


def _anonymous_request(event: LambdaEvent) -> Request:
    try:
        return _read(event, "")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedEventError(
            f"not a request to a function URL: {error!r}", field="requestContext",
            allowed="an HTTP request",
        ) from None  # fmt: skip


def _read(event: LambdaEvent, caller: str) -> Request:
    context = event["requestContext"]
    raw = event.get("body") or ""
    body = base64.b64decode(raw) if event.get("isBase64Encoded") else raw.encode()
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Request(
        method=context["http"]["method"].upper(),
        path=event.get("rawPath", "/"),
        query=dict(event.get("queryStringParameters") or {}),
        body=body,
        content_type=headers.get("content-type", ""),
        caller_arn=caller,
        request_id=context.get("requestId", ""),
        headers=headers,
    )


def _status_of(error: StewardError) -> int:
    by_kind: list[tuple[type[StewardError], int]] = [
        (NotAuthorizedError, 403),
        (ProjectNotFoundError, 404),
        (VersionNotFoundError, 404),
        (RunNotFoundError, 404),
        (WaiverNotFoundError, 404),
        (FeatureGroupNotFoundError, 404),
        (DeliveryNotFoundError, 404),
        (BatchNotFoundError, 404),
        (RejectedError, 400),
        (ConflictError, 409),
        (RetryableError, 503),
    ]
    return next((status for kind, status in by_kind if isinstance(error, kind)), 500)


def _http(response: Response) -> dict[str, Any]:
    headers = {"content-type": "application/json", **response.headers}
    if isinstance(response.body, bytes):
        body = base64.b64encode(response.body).decode()
        return {
            "statusCode": response.status, "headers": headers,
            "body": body, "isBase64Encoded": True,
        }  # fmt: skip
    return {
        "statusCode": response.status,
        "headers": headers,
        "body": json.dumps(_dump(response.body), default=str),
    }

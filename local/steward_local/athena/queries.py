"""Query executions: started, run in a thread with the caller's rights, stopped."""

from __future__ import annotations

import contextlib
import contextvars
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import athena

from steward_local import authority
from steward_local.athena import catalog, results, statements
from steward_local.athena.errors import MalformedQueryError, QueryError
from steward_local.authority import Principal
from steward_local.sagemaker import request_check, settings
from steward_local.sagemaker.errors import ApiError
from steward_local.sagemaker.s3_files import split_uri

Response = tuple[int, dict[str, str], bytes]
MEMORY_LIMIT = "2GB"
_ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
_DDL_RIGHTS = {"create": "glue:CreateTable", "drop": "glue:DeleteTable"}
_caller: contextvars.ContextVar[Principal | None] = contextvars.ContextVar(
    "steward_athena_caller", default=None
)


@dataclass
class Run:
    """A query on its way."""

    caller: Principal
    connection: Any = None
    callbacks: list[Callable[[], None]] = field(default_factory=list)


_runs: dict[str, Run] = {}
_runs_lock = threading.Lock()


def remember_caller(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Let queries know who asked for them."""

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes | str, query_params: Any
    ) -> Any:
        _caller.set(authority.caller_of(headers, query_params))
        return await original(method, path, headers, body, query_params)

    return handle


def start_request(data: dict[str, Any]) -> Response:
    """`StartQueryExecution` as MiniStack dispatches it."""
    try:
        query_id = start(data, _caller.get() or authority.account_root())
    except ApiError as error:
        response: Response = error_response_json(
            error.code, error.message, error.status, extra=error.members or None
        )
        return response
    answer: Response = json_response({"QueryExecutionId": query_id})
    return answer


def _refused(message: str, **members: Any) -> ApiError:
    return ApiError("InvalidRequestException", message, **members)


def start(data: dict[str, Any], caller: Principal) -> str:
    """Take a query and run it in the background.

    Raises:
        ApiError: `InvalidRequestException` for a query or a request that Athena does not take.
    """
    try:
        request_check.check("StartQueryExecution", data, "athena")
    except ApiError as error:
        raise _refused(error.message) from error
    if data.get("ExecutionParameters"):
        raise _refused("The embedded Athena has no execution parameters.")
    athena._ensure_default_workgroup()
    group = data.get("WorkGroup", "primary")
    if group not in athena._workgroups:
        raise _refused(f"WorkGroup {group} is not found.")
    location = _output_location(data, athena._workgroups[group].get("Configuration") or {})
    text = data["QueryString"]
    ddl = athena._parse_ddl(text)
    statement = None
    try:
        if ddl is None:
            statement = statements.parse(text)
        elif isinstance(ddl, athena._CreateTable) and not ddl.external:
            raise MalformedQueryError("External keyword required for table type HIVE")
    except MalformedQueryError as error:
        raise _refused(str(error), AthenaErrorCode="MALFORMED_QUERY") from error
    query_id: str = new_uuid()
    unloads = statement is not None and statement.unload is not None
    suffix = ".csv" if statement and not unloads else ".txt" if ddl else ""
    context = data.get("QueryExecutionContext") or {}
    execution: dict[str, Any] = {
        "QueryExecutionId": query_id,
        "Query": text,
        "StatementType": "DML" if statement else "DDL",
        "ResultConfiguration": {"OutputLocation": f"{location}{query_id}{suffix}"},
        "QueryExecutionContext": {
            "Database": context.get("Database", "default"),
            "Catalog": context.get("Catalog", "AwsDataCatalog"),
        },
        "Status": {"State": "QUEUED", "SubmissionDateTime": round(time.time(), 3)},
        "Statistics": {"EngineExecutionTimeInMillis": 0, "DataScannedInBytes": 0},
        "WorkGroup": group,
        "EngineVersion": {
            "SelectedEngineVersion": "AUTO",
            "EffectiveEngineVersion": "Athena engine version 3",
        },
        "_results": None,
        "_column_types": None,
    }
    if unloads:
        manifest = f"{location}{query_id}-manifest.csv"
        execution["Statistics"]["DataManifestLocation"] = manifest
    run = Run(caller)
    with _runs_lock:
        _runs[query_id] = run
    athena._executions[query_id] = execution
    threading.Thread(
        target=contextvars.copy_context().run,
        args=(_execute, execution, run, statement, ddl),
        daemon=True,
        name=f"athena-{query_id}",
    ).start()
    return query_id


def _output_location(data: dict[str, Any], configuration: dict[str, Any]) -> str:
    own = (data.get("ResultConfiguration") or {}).get("OutputLocation")
    of_group = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
    enforced = configuration.get("EnforceWorkGroupConfiguration")
    location = of_group if enforced and of_group else own or of_group
    if not location:
        raise _refused(
            "No output location provided. An output location is required either through the "
            "Workgroup result configuration setting or as an API input."
        )
    return str(location) if location.endswith("/") else f"{location}/"


def _execute(execution: dict[str, Any], run: Run, statement: Any, ddl: Any) -> None:
    status, started = execution["Status"], time.perf_counter()
    _move(status, "RUNNING")
    try:
        if ddl is not None:
            _define(ddl, execution, run.caller)
        else:
            _query(statement, execution, run)
        _move(status, "SUCCEEDED")
    except QueryError as error:
        _fail(status, str(error))
    except Exception as error:  # noqa: BLE001  (DuckDB's errors are the query's)
        _fail(status, f"GENERIC_USER_ERROR: {error}")
    finally:
        status.setdefault("CompletionDateTime", round(time.time(), 3))
        taken = int((time.perf_counter() - started) * 1000)
        execution["Statistics"]["EngineExecutionTimeInMillis"] = taken
        execution["Statistics"]["TotalExecutionTimeInMillis"] = taken
        with _runs_lock:
            _runs.pop(execution["QueryExecutionId"], None)
        for callback in run.callbacks:
            callback()


def _move(status: dict[str, Any], state: str) -> None:
    with _runs_lock:
        if status["State"] not in _ENDED:
            status["State"] = state


def _fail(status: dict[str, Any], reason: str) -> None:
    with _runs_lock:
        if status["State"] not in _ENDED:
            status["State"] = "FAILED"
            status["StateChangeReason"] = reason[:2000]
            status["AthenaError"] = {
                "ErrorCategory": 2,
                "ErrorType": 1006,
                "Retryable": False,
                "ErrorMessage": reason[:2000],
            }


def _define(ddl: Any, execution: dict[str, Any], caller: Principal) -> None:
    from ministack.services import glue

    database = ddl.database or execution["QueryExecutionContext"]["Database"]
    creates = isinstance(ddl, athena._CreateTable)
    action = _DDL_RIGHTS["create" if creates else "drop"]
    for arn in (
        glue._arn("catalog", "").rstrip("/"),
        glue._arn("database", database),
        glue._arn("table", f"{database}/{ddl.table}"),
    ):
        catalog.require(caller, action, arn, "Insufficient permissions to execute the query.")
    try:
        athena._run_ddl(ddl, execution["QueryExecutionContext"]["Database"])
    except ValueError as error:
        raise QueryError(f"FAILED: SemanticException {error}") from error
    execution["_results"], execution["_column_types"] = {"columns": [], "rows": []}, []
    results.put(execution["ResultConfiguration"]["OutputLocation"], b"", caller)


def _query(statement: statements.Statement, execution: dict[str, Any], run: Run) -> None:
    import duckdb

    output = execution["ResultConfiguration"]["OutputLocation"]
    bucket, _ = split_uri(output)
    catalog.require(
        run.caller,
        "s3:GetBucketLocation",
        f"arn:aws:s3:::{bucket}",
        "Unable to verify/create output bucket.",
    )
    scratch = settings.current().scratch
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="athena-", dir=scratch)).resolve()
    try:
        with duckdb.connect(config={"memory_limit": MEMORY_LIMIT}) as connection:
            sql = _prepare(statement, execution, run.caller, connection, folder)
            with _interruptible(run, connection, execution["Status"]):
                if statement.unload is None:
                    _select(connection, sql, execution, run.caller)
                else:
                    connection.execute(f"CREATE TEMP TABLE result AS {sql}")
                    _unload(statement.unload, execution, run, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _interruptible(run: Run, connection: Any, status: dict[str, Any]) -> Iterator[None]:
    """Let `stop` interrupt the connection, unless it has come already."""
    with _runs_lock:
        if status["State"] in _ENDED:
            raise QueryError("Query was cancelled by user")
        run.connection = connection
    try:
        yield
    finally:
        with _runs_lock:
            run.connection = None


def _prepare(
    statement: statements.Statement,
    execution: dict[str, Any],
    caller: Principal,
    connection: Any,
    folder: Path,
) -> str:
    """Make a view of each table, close the file system, and return the query for DuckDB."""
    database = execution["QueryExecutionContext"]["Database"]
    names: dict[statements.TableName, str] = {}
    for number, table in enumerate(statement.tables(database)):
        place = folder / f"table-{number}"
        found = catalog.fetch(table, caller, place)
        names[table] = f"table_{number}"
        connection.execute(f"CREATE VIEW table_{number} AS FROM {found.relation}")
        execution["Statistics"]["DataScannedInBytes"] += found.scanned
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = {catalog.text(str(folder / 'spill'))}")
    connection.execute(f"SET allowed_directories = [{catalog.text(str(folder) + '/')}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return statement.for_duckdb(database, lambda table: names[table])


def _select(connection: Any, sql: str, execution: dict[str, Any], caller: Principal) -> None:
    result = connection.execute(sql)
    columns = [column[0] for column in result.description]
    kinds = [results.type_name(column[1]) for column in result.description]
    rows = [[results.shown(item) for item in row] for row in result.fetchall()]
    results.write_csv(execution["ResultConfiguration"]["OutputLocation"], columns, rows, caller)
    execution["_results"] = {"columns": columns, "rows": rows}
    execution["_column_types"] = kinds


def _unload(target: statements.Unload, execution: dict[str, Any], run: Run, folder: Path) -> None:
    moment = results.now()
    written = results.unload(run.connection, target, folder, run.caller, moment)
    listed = "".join(f"{uri}\n" for uri in written)
    results.put(execution["Statistics"]["DataManifestLocation"], listed.encode(), run.caller)
    execution["_results"], execution["_column_types"] = {"columns": [], "rows": []}, []


def stop_request(data: dict[str, Any]) -> Response:
    """`StopQueryExecution` as MiniStack dispatches it."""
    stop(data.get("QueryExecutionId", ""))
    response: Response = json_response({})
    return response


def stop(query_id: str) -> None:
    """Cancel a query that has not ended; one that has stays as it is."""
    execution = athena._executions.get(query_id)
    with _runs_lock:
        run = _runs.get(query_id)
        if execution is None or run is None or execution["Status"]["State"] in _ENDED:
            return
        execution["Status"]["State"] = "CANCELLED"
        execution["Status"]["StateChangeReason"] = "Query was cancelled by user"
        execution["Status"]["CompletionDateTime"] = round(time.time(), 3)
        if run.connection is not None:
            run.connection.interrupt()


def when_ended(query_id: str, callback: Callable[[], None]) -> None:
    """Call `callback` when the query has ended, at once if it already has."""
    with _runs_lock:
        run = _runs.get(query_id)
        if run is not None:
            run.callbacks.append(callback)
            return
    callback()


def described(query_id: str) -> dict[str, Any]:
    """The execution as GetQueryExecution shows it."""
    _, _, body = athena._get_query_execution({"QueryExecutionId": query_id})
    answer: dict[str, Any] = json.loads(body)
    return answer


def interrupt_all() -> None:
    """End all queries."""
    with _runs_lock:
        for run in _runs.values():
            if run.connection is not None:
                run.connection.interrupt()

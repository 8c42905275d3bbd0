"""The Athena integration of Step Functions, with queries that are waited for and stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually
from support.laboratory import allow
from support.machines import TASK, Machines, jsonata
from support.warehouse import LONG, Warehouse

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def warehouse(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(account, Path(tmp_path_factory.mktemp("warehouse")))


@pytest.fixture(scope="module")
def machines(account: Account) -> Machines:
    return Machines(account)


def query_task(warehouse: Warehouse, query: str, pattern: str = ".sync", **more: Any) -> Any:
    return {
        "Type": "Task",
        "Resource": f"{TASK}athena:startQueryExecution{pattern}",
        "Arguments": {
            "QueryString": query,
            "QueryExecutionContext": {"Database": warehouse.database},
            "ResultConfiguration": {"OutputLocation": warehouse.results},
            **more,
        },
        "End": True,
    }


def statements(*left_out: str) -> list[dict[str, Any]]:
    wanted = (
        "athena:StartQueryExecution",
        "athena:GetQueryExecution",
        "athena:StopQueryExecution",
        "glue:GetTable",
        "s3:GetBucketLocation",
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
    )
    return [allow(*(action for action in wanted if action not in left_out))]


def test_query_is_waited_for_and_its_execution_is_the_result(
    warehouse: Warehouse, machines: Machines
) -> None:
    target = f"s3://{warehouse.lab.bucket}/by-machine/"
    query = f"UNLOAD (SELECT * FROM features) TO '{target}' WITH (format = 'PARQUET')"
    ended = machines.run(jsonata({"Query": query_task(warehouse, query)}), *statements())
    assert ended["status"] == "SUCCEEDED", ended
    execution = json.loads(ended["output"])["QueryExecution"]
    assert execution["Status"]["State"] == "SUCCEEDED"
    manifest = warehouse.lab.get(execution["Statistics"]["DataManifestLocation"])
    assert all(line.startswith(target) for line in manifest.decode().splitlines())


def test_failed_query_fails_the_task_with_its_execution(
    warehouse: Warehouse, machines: Machines
) -> None:
    machine = jsonata({"Query": query_task(warehouse, "SELECT * FROM nothing")})
    ended = machines.run(machine, *statements())
    assert ended["error"] == "States.TaskFailed"
    status = json.loads(ended["cause"])["QueryExecution"]["Status"]
    assert "TABLE_NOT_FOUND" in status["StateChangeReason"]


def test_query_that_is_not_taken_has_athenas_error(
    warehouse: Warehouse, machines: Machines
) -> None:
    ended = machines.run(jsonata({"Query": query_task(warehouse, "SELEC")}), *statements())
    assert ended["error"] == "Athena.InvalidRequestException"
    unknown = query_task(warehouse, "SELECT 1", Shoe="x")
    assert machines.run(jsonata({"Query": unknown}), *statements())["error"] == "States.Runtime"


@pytest.mark.parametrize("missing", ["athena:StartQueryExecution", "athena:GetQueryExecution"])
def test_role_needs_the_calls_of_the_integration(
    warehouse: Warehouse, machines: Machines, missing: str
) -> None:
    machine = jsonata({"Query": query_task(warehouse, "SELECT 1")})
    ended = machines.run(machine, *statements(missing))
    assert ended["error"] == "Athena.AmazonAthenaException"
    assert missing in ended["cause"]


@pytest.mark.parametrize("missing", ["glue:GetTable", "s3:GetObject", "s3:PutObject"])
def test_query_has_the_rights_of_the_role(
    warehouse: Warehouse, machines: Machines, missing: str
) -> None:
    machine = jsonata({"Query": query_task(warehouse, "SELECT count(*) FROM features")})
    ended = machines.run(machine, *statements(missing))
    assert ended["error"] == "States.TaskFailed"
    assert missing in ended["cause"]


@pytest.mark.parametrize(
    ("missing", "state"), [((), "CANCELLED"), (("athena:StopQueryExecution",), "RUNNING")]
)
def test_aborted_execution_stops_its_query_if_its_role_may(
    warehouse: Warehouse, machines: Machines, missing: tuple[str, ...], state: str
) -> None:
    task = query_task(warehouse, LONG)
    machine = machines.create(jsonata({"Query": task}), *statements(*missing))
    execution = machines.start(machine)

    def submitted() -> str | None:
        for event in machines.history(execution):
            if event["type"] == "TaskSubmitted":
                output = json.loads(event["taskSubmittedEventDetails"]["output"])
                return str(output["QueryExecutionId"])
        return None

    query_id = eventually(submitted, what="the query")
    machines.client.stop_execution(executionArn=execution)
    eventually(lambda: machines.ended(execution)["status"] == "ABORTED")
    eventually(lambda: warehouse.state(query_id) == state)
    warehouse.athena.stop_query_execution(QueryExecutionId=query_id)
    assert warehouse.ended(query_id)["Status"]["State"] == "CANCELLED"


def test_results_are_fetched_by_a_task_of_their_own(
    warehouse: Warehouse, machines: Machines
) -> None:
    start = query_task(warehouse, "SELECT count(*) AS n FROM features")
    del start["End"]
    get = {
        "Type": "Task",
        "Resource": f"{TASK}athena:getQueryResults",
        "Arguments": {"QueryExecutionId": "{% $states.input.QueryExecution.QueryExecutionId %}"},
        "End": True,
    }
    ended = machines.run(
        jsonata({"Query": {**start, "Next": "Rows"}, "Rows": get}, "Query"),
        *statements(),
        allow("athena:GetQueryResults"),
    )
    assert ended["status"] == "SUCCEEDED", ended
    rows = json.loads(ended["output"])["ResultSet"]["Rows"]
    assert rows[1]["Data"] == [{"VarCharValue": "3"}]


@pytest.mark.parametrize(
    ("api", "taken"),
    [
        ("athena:startQueryExecution", True),
        ("athena:startQueryExecution.sync", True),
        ("athena:startQueryExecution.waitForTaskToken", False),
        ("athena:getQueryResults.sync", False),
        ("athena:listQueryExecutions", False),
        ("databrew:startJobRun", True),
        ("databrew:startJobRun.sync", True),
        ("databrew:startJobRun.waitForTaskToken", False),
        ("databrew:describeJob", False),
    ],
)
def test_definitions_name_what_step_functions_integrates(
    machines: Machines, api: str, taken: bool
) -> None:
    task = {"Type": "Task", "Resource": f"{TASK}{api}", "Arguments": {}, "End": True}
    if taken:
        machines.create(jsonata({"Call": task}))
        return
    with pytest.raises(ClientError) as error:
        machines.create(jsonata({"Call": task}))
    assert error.value.response["Error"]["Code"] == "InvalidDefinition"


def test_databrew_job_is_not_run_here_and_the_task_says_so(machines: Machines) -> None:
    task = {
        "Type": "Task",
        "Resource": f"{TASK}databrew:startJobRun.sync",
        "Arguments": {"Name": "profile"},
        "End": True,
    }
    ended = machines.run(jsonata({"Profile": task}))
    assert ended["error"] == "States.Runtime"
    assert "databrew:startJobRun.sync is not a supported integration" in ended["cause"]

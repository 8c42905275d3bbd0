"""The machine that lets Athena join: tables for a while, one result, no table left."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.contracts.steps.data import MadeJoin, PlannedJoin
from support.machine_player import Played, Task, TaskError, machine, play

DEFINITION = machine("data/join_with_athena")
PLAN = PlannedJoin(
    plan_uri="s3://data/joins/clinic/join_a/plan.json",
    tables=[
        {"create": f"CREATE {name}", "drop": f"DROP {name}"} for name in ("spine", "one", "two")
    ],
    unload="UNLOAD (SELECT 'x') TO 's3://data/joins/clinic/join_a/joined-{attempt}/'",
    joined_uri="s3://data/joins/clinic/join_a/joined-{attempt}/",
)
CREATES = ["CREATE spine", "CREATE one", "CREATE two"]
DROPS = ["DROP spine", "DROP one", "DROP two"]


class Athena:
    """Runs every query but those that begin with what is to fail."""

    def __init__(self, failing: str = "", error: str = "States.TaskFailed", times: int = 99):
        self.failing, self.error, self.times = failing, error, times
        self.queries: list[str] = []

    def __call__(self, arguments: Any) -> Any:
        self.queries.append(arguments["QueryString"])
        if self.failing and self.queries[-1].startswith(self.failing) and self.times:
            self.times -= 1
            query = {"Query": "SELECT " * 2000, "Status": {"StateChangeReason": "EXCEEDED_MEMORY"}}
            raise TaskError(self.error, json.dumps({"QueryExecution": query}))
        return {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}}


def run(athena: Athena, **more: Any) -> Played:
    tasks: dict[str, Task] = dict.fromkeys(("CreateTable", "UnloadJoin", "DropTable"), athena)
    return play(DEFINITION, tasks, {"plan": PLAN.model_dump(), "project": "clinic"}, **more)


def test_tables_are_made_one_after_another_used_once_and_dropped() -> None:
    athena = Athena()
    played = run(athena, execution_arn="arn:aws:states:x:1:execution:m:child")
    place = "s3://data/joins/clinic/join_a/joined-child-0-0/"
    assert athena.queries == [*CREATES, f"UNLOAD (SELECT 'x') TO '{place}'", *DROPS]
    assert played.status == "SUCCEEDED"
    assert MadeJoin.model_validate(played.output) == MadeJoin(
        plan_uri=PLAN.plan_uri, joined_uri=place
    )
    for given in (call for calls in played.arguments.values() for call in calls):
        assert given["WorkGroup"].endswith("WorkGroup")
        assert given["QueryExecutionContext"]["Database"].endswith("Database")


def test_a_repeated_attempt_writes_where_nothing_was_written() -> None:
    places = {
        run(Athena(), execution_arn=f"arn:{name}", redrives=redrives).output["joined_uri"]
        for name in ("a", "b")
        for redrives in (0, 1)
    }
    assert len(places) == 4


@pytest.mark.parametrize("error", ["States.TaskFailed", "States.Timeout"])
def test_a_query_that_fails_or_takes_too_long_is_told_after_the_tables_are_gone(
    error: str,
) -> None:
    athena = Athena("UNLOAD", error)
    played = run(athena)
    assert (played.status, played.error) == ("FAILED", error)
    assert played.cause.startswith('UnloadJoin:  "EXCEEDED_MEMORY"')
    assert athena.queries[-3:] == DROPS
    assert len(played.arguments["UnloadJoin"]) == 1


def test_a_table_that_cannot_be_made_ends_the_join() -> None:
    athena = Athena("CREATE one")
    played = run(athena)
    assert played.status == "FAILED"
    assert played.cause.startswith('CreateTable:  "EXCEEDED_MEMORY"')
    assert athena.queries == ["CREATE spine", "CREATE one", *DROPS]


def test_a_table_that_stays_does_not_fail_the_join() -> None:
    athena = Athena("DROP one")
    assert run(athena).status == "SUCCEEDED"
    assert athena.queries[-3:] == DROPS


def test_a_busy_athena_is_asked_again() -> None:
    athena = Athena("UNLOAD", "Athena.TooManyRequestsException", times=2)
    played = run(athena)
    assert played.status == "SUCCEEDED"
    unloads = [query for query in athena.queries if query.startswith("UNLOAD")]
    assert len(set(unloads)) == 3
    assert played.output["joined_uri"] in unloads[-1]

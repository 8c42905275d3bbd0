"""Athena as AWS runs it: its SQL, the caller's rights on tables and objects, UNLOAD.

MiniStack keeps executions, work groups and the Data Catalog; what a query does is done here.
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region

from steward_local.judged_resources import Asked, judge


def workgroup_arn(name: str) -> str:
    """The ARN on which IAM judges a query."""
    return f"arn:aws:athena:{get_region()}:{get_account_id()}:workgroup/{name}"


def install() -> None:
    """Put the additions into MiniStack's Athena; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack.services import athena

    from steward_local import lifecycle
    from steward_local.athena import queries
    from steward_local.athena.ground import GROUND

    for ground in GROUND:
        ground.locate()
    athena.handle_request = queries.remember_caller(athena.handle_request)
    athena._start_query_execution = queries.start_request
    athena._stop_query_execution = queries.stop_request
    judge("athena", _judged_on)
    lifecycle.on_stop(queries.interrupt_all)


def _judged_on(asked: Asked, known: str) -> str:
    """Judge a request about a query on the query's work group."""
    from ministack.core import iam_actions
    from ministack.services import athena

    if known != "*":
        return known
    query_id = iam_actions._safe_json_field(asked.body, "QueryExecutionId")
    execution = athena._executions.get(query_id) if query_id else None
    if execution is not None:
        return workgroup_arn(execution["WorkGroup"])
    return workgroup_arn("primary") if asked.operation == "StartQueryExecution" else known

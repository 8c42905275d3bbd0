"""Use case: answer a pipeline's approval action as Steward's record of the version says.

The record and the action may come in either order: the registry's events, and CodePipeline's event
that an approval action began, lead here alike.
"""

from __future__ import annotations

from typing import Any

from steward.contracts.events import ApprovalRequested
from steward.contracts.incoming import PipelineActionChange, Received
from steward.domain.pipelines import (
    CARRIED,
    Done,
    Waits,
    answer_to_console,
    binding_item,
    project_of_pipeline,
)
from steward.domain.versions import version_item
from steward.ports import Item, Pipelines, StateStore, Table

CARRIERS = 50
"""How many of the newest executions that carry a version are looked at."""


def answer_approvals(
    received: Received, *, state: StateStore, pipelines: Pipelines, environment: str
) -> dict[str, Any]:
    """Answer each approval action that waits and whose version is decided.

    Returns:
        What was answered by execution id; empty where nothing waits or nothing is decided.
    """
    told = received.detail
    if isinstance(told, PipelineActionChange):
        project = project_of_pipeline(environment, told.pipeline)
        if project is None or told.state != "STARTED":
            return {}
        bound = [_binding(state, project, told.execution_id)]
        newer = None
    else:
        project = received.own.project
        carriers = state.query(
            Table.RUNS, project, prefix=CARRIED, newest_first=True, limit=CARRIERS
        )
        asked = isinstance(told, ApprovalRequested)
        newer = told.version if asked else None
        bound = [
            _binding(state, project, str(carrier["execution_id"]))
            for carrier in carriers
            if (carrier["version"] < told.version if asked else carrier["version"] == told.version)
        ]
    answers: dict[str, Any] = {}
    for binding in bound:
        if binding is not None and binding.get("version") is not None:
            answer = _answer(binding, newer, state, pipelines)
            if answer is not None:
                answers[str(binding["execution_id"])] = answer
    return answers


def _answer(
    binding: Item, newer: int | None, state: StateStore, pipelines: Pipelines
) -> str | None:
    project, number = str(binding["project"]), int(binding["version"])
    record = state.get(Table.VERSIONS, {"project": project, "item": version_item(number)})
    if record is None:
        return None
    gives_way = newer if binding.get("mode") == "SUPERSEDED" else None
    verdict = answer_to_console(record, binding.get("evidence_digest"), gives_way)
    if isinstance(verdict, Waits):
        return None
    waiting = pipelines.waiting(str(binding["pipeline"]), str(binding["execution_id"]))
    if waiting is None:
        return None
    approved = isinstance(verdict, Done)
    summary = verdict.summary if isinstance(verdict, Done) else verdict.message
    taken = pipelines.answer(waiting, approved, f"Steward: {summary}")
    if not taken:
        return "answered by somebody else"
    return "approved" if approved else "rejected"


def _binding(state: StateStore, project: str, execution_id: str) -> Item | None:
    return state.get(Table.RUNS, {"project": project, "run_id": binding_item(execution_id)})

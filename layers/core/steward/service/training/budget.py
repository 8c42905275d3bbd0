"""The estimate of a run that is about to start, held against the project's budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from steward.domain.errors import RejectedError, UnknownPriceError
from steward.domain.run_cost import (
    PlannedRun,
    estimate,
    month_of,
    past_runs,
    time_partition,
)
from steward.domain.runs import UNUSABLE
from steward.ports import Item, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.budget import Spent
    from steward.domain.project import Project

MACHINE = "train-candidate"
_LOOKED_BACK = 1000
"""Entries of costs that the estimate looks back on; a run leaves about six, a search one more for
each of its jobs."""


def estimate_or_refusal(
    state: StateStore, project: Project, now: datetime
) -> tuple[dict[str, Any] | None, RejectedError | None]:
    """Return the run's estimate, and why it may not start if its budget does not allow it.

    Costs are recorded seconds after what they are of has ended, so a run that begins right
    behind another is judged without the last of that one's entries.

    Returns:
        The estimate, None where the instance type has no known price, and the refusal.
    """
    try:
        expected = estimate(planned_run(state, project), history(state, project.project))
    except UnknownPriceError as unknown:
        return None, unknown if project.budget.is_limited else None
    if not project.budget.is_limited:
        return expected.as_dict(), None
    from steward.domain.budget import over_budget

    month = month_of(now)
    spent = spent_in(state, project.project, month)
    return expected.as_dict(), over_budget(project.budget, expected.high, spent)


def planned_run(state: StateStore, project: Project) -> PlannedRun:
    """Return what is known of the project's next run."""
    usable = [
        item
        for item in state.query(Table.DELIVERIES, project.project)
        if item["status"] not in UNUSABLE
    ]
    size = sum(int(item.get("size") or 0) for item in usable)
    training, tuning = project.training, project.training.tuning
    return PlannedRun(
        training.instance_type, training.max_runtime_s, size,
        jobs=tuning.max_jobs if tuning else 1, parallel_jobs=tuning.parallel_jobs if tuning else 1,
        spot=training.spot is not None,
    )  # fmt: skip


def history(state: StateStore, project: str) -> list[Any]:
    """Return what the project's latest runs used, and how much data each was started for."""
    entries = state.query(
        Table.COSTS, time_partition(project), newest_first=True, limit=_LOOKED_BACK
    )
    return [
        replace(run, data_bytes=_data_bytes(state, project, run.run_id))
        for run in past_runs(entries, MACHINE)
    ]


def _data_bytes(state: StateStore, project: str, run_id: str) -> int:
    """Return the size that a run's own estimate was made for; 0 where there was none."""
    item = state.get(Table.RUNS, {"project": project, "run_id": run_id}) or {}
    return int((item.get("estimate") or {}).get("data_bytes") or 0)


def spent_in(state: StateStore, project: str, month: str) -> Spent:
    """Return what was recorded in a month, with the jobs whose price is not known."""
    from steward.domain.budget import Spent

    entries: list[Item] = state.query(Table.COSTS, time_partition(project), prefix=month)
    unpriced = [entry for entry in entries if entry["dollars"] is None]
    return Spent(
        month, sum(float(entry["dollars"] or 0) for entry in entries),
        tuple(
            f"{(entry.get('detail') or {}).get('name') or entry['entry']}"
            f" on {(entry.get('detail') or {}).get('instance_type')}"
            for entry in unpriced
        ),
    )  # fmt: skip

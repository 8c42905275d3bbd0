"""The record of an experiment: its head item, which every release has, and how that ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steward.contracts.events import Event, ExperimentEnded
from steward.domain.errors import EvidenceIncompleteError
from steward.ports import Change, Clock, Equals, Ids, Item, StateStore, Table, Update
from steward.service.emission import Cause, event

if TYPE_CHECKING:
    from steward.domain.experiments.plan import ExperimentPlan
    from steward.domain.release_declaration import Release
    from steward.domain.strategies.plan import Phase, Plan


def head_key(project: str, release_id: str) -> dict[str, str]:
    """Return the key of a release's head item."""
    from steward.domain.experiments.cohorts import experiment_item  # large, and few steps need it

    return {"project": project, "item": experiment_item(release_id)}


def head_of(state: StateStore, project: str, release_id: str) -> Item:
    """Return the head item of a release.

    Raises:
        EvidenceIncompleteError: The release was never planned.
    """
    head = state.get(Table.EXPERIMENTS, head_key(project, release_id))
    if head is None:
        raise EvidenceIncompleteError(
            f"release {release_id} of {project} has no experiment", field="release_id",
            value=release_id, allowed="a release that PlanRelease has planned",
        )  # fmt: skip
    return head


def new_head(
    release: Item,
    declared: Release,
    plan: Plan,
    plans: Mapping[Phase, ExperimentPlan],
    *,
    router: str,
    stable_version: int | None,
    started_at: str,
    answers: tuple[float, float] | None = (0.0, 1.0),
) -> Item:
    """Return the head item of a release as it is before any traffic.

    ``steps`` grows by one with each shift (of a bandit: each batch): its id, phase, time and the
    propensity of each arm. ``fast`` holds the first exposures by step and arm as metrics count
    them. ``step_tick`` and ``batch_tick`` are the ticks at which the present ones began.
    """
    return {
        **head_key(release["project"], release["release_id"]),
        "release_id": release["release_id"],
        "version": release["version"],
        "stable_version": stable_version,
        "strategy": plan.strategy,
        "router": router,
        "status": "running",
        "plans": {phase: made.model_dump(mode="json") for phase, made in plans.items()},
        "plan_digests": {phase: made.digest for phase, made in plans.items()},
        "metrics": [metric.model_dump(mode="json") for metric in declared.metrics],
        "prediction_margin": declared.guardrails.prediction_margin,
        "slow_ms": declared.guardrails.max_latency_ms,
        "answers": None if answers is None else list(answers),
        "cohort_s": declared.cohort_s,
        "lateness_s": declared.lateness_s,
        "captured": plan.captured,
        "ticked": plan.ticked,
        "tick_s": plan.tick_s,
        "tick": 0,
        "step_index": 0,
        "step_tick": 0,
        "batch": 1,
        "batch_tick": 0,
        "holds": 0,
        "verdicts": 0,
        "steps": [],
        "fast": {},
        "started_at": started_at,
    }


def ending(
    state: StateStore, release: Item, outcome: str, cause: Cause, clock: Clock, ids: Ids
) -> tuple[list[Change], list[Event]]:
    """Return what ends the experiment of a release together with it; nothing where it has ended.

    Args:
        state: Where it is recorded.
        release: The release that ends.
        outcome: Its status from now on.
        cause: Of the event that tells it, where the scheduler has looked at the experiment.
        clock: The time of the end.
        ids: Id of the event.
    """
    key = head_key(release["project"], release["release_id"])
    head = state.get(Table.EXPERIMENTS, key)
    if head is None or head["status"] != "running":
        return [], []
    now = clock.now().isoformat(timespec="milliseconds")
    change = Update(
        Table.EXPERIMENTS,
        key,
        set={"status": "ended", "ended_at": now, "outcome": outcome},
        expect=(Equals("status", "running"),),
    )
    if not head["ticked"]:
        return [change], []
    told = ExperimentEnded(
        release_id=release["release_id"],
        version=release["version"],
        strategy=head["strategy"],
        outcome=outcome,
        verdicts=head["verdicts"],
    )
    return [change], [event(told, cause, clock, ids)]


def propensities(share_percent: float) -> dict[str, float]:
    """Return the chance of each arm at a candidate's share."""
    share = share_percent / 100
    return {"candidate": share, "stable": 1 - share}


def step_ids(head: Item, phase: str) -> Sequence[str]:
    """Return the ids of a phase's steps, in order."""
    return [step["step_id"] for step in head["steps"] if step["phase"] == phase]

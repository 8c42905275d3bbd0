"""Run items as they lie in the run table, and the changes that move them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.domain.delivery_lists import DeliveryList, list_of
from steward.domain.feature_versions import label_of, parse_label, pin_versions
from steward.domain.locks import training_lock
from steward.domain.names import PRIMARY
from steward.domain.runs import (
    UNUSABLE,
    DeliveryStatus,
    Head,
    Lease,
    RunStatus,
    Work,
    execution_arn,
    head_item,
    training_digest,
)
from steward.ports import (
    Absent,
    AbsentOrBelow,
    Change,
    Condition,
    Equals,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.delivery_lists import read_list, write_list
from steward.service.training.triggers import Trigger

if TYPE_CHECKING:
    from steward.domain.project import Project

LEASE_SLACK_S = 4 * 3600
"""Time of a run beside its training job: validation, dataset, evaluation, registration."""


def head_of(state: StateStore, project: str, key: str) -> Head | None:
    """Return the latest attempt at a run key."""
    item = state.get(Table.RUNS, {"project": project, "run_id": head_item(key)})
    if item is None:
        return None
    return Head(item["latest"], int(item["attempt"]), RunStatus(item["status"]))


def lease_of(state: StateStore, project: str) -> Lease | None:
    """Return the project's training lock."""
    item = state.get(Table.LOCKS, {"lock": training_lock(project)})
    if item is None or not item.get("owner"):
        return None
    waiting = item.get("waiting") or {}
    return Lease(item["owner"], float(item["lease_expires_at"]), waiting.get("run_id"))


def run_of(state: StateStore, project: str, run_id: str) -> Item | None:
    """Return a run's item."""
    return state.get(Table.RUNS, {"project": project, "run_id": run_id})


def usable_deliveries(state: StateStore, project: str) -> tuple[list[str], list[str]]:
    """Return the ids of the primary table's accepted and pending deliveries."""
    items = state.query(Table.DELIVERIES, project)
    by_status: dict[str, list[str]] = {}
    for item in items:
        if item.get("table", PRIMARY) == PRIMARY:
            by_status.setdefault(item["status"], []).append(item["delivery_id"])
    return by_status.get(DeliveryStatus.ACCEPTED, []), by_status.get(DeliveryStatus.RECEIVED, [])


@dataclass(frozen=True)
class FeaturePins:
    """What a run takes of the feature groups, fixed when it starts.

    Attributes:
        views: Versions of groups in order of use, as ``<group>/v<N>``.
        deliveries: Deliveries of other tables than the primary one that are neither rejected
            nor deleted.
    """

    views: tuple[str, ...] = ()
    deliveries: frozenset[str] = frozenset()


def feature_pins(state: StateStore, project: Project) -> FeaturePins:
    """Return what a run that starts now takes of the feature groups.

    Raises:
        InvalidProjectError: A group has no active version of the declared definition.
    """
    if not project.features:
        return FeaturePins()
    items = state.query(Table.FEATURES, project.project, prefix="group#")
    pins = pin_versions(items, project.feature_groups, project.features, project.data)
    used = {use.group for use in project.features}
    sources = {g.source for g in project.feature_groups if g.feature_group in used} - {PRIMARY}
    deliveries = frozenset(
        item["delivery_id"]
        for item in (state.query(Table.DELIVERIES, project.project) if sources else [])
        if item.get("table", PRIMARY) in sources and item["status"] not in UNUSABLE
    )
    return FeaturePins(tuple(label_of(p["group"], p["version"]) for p in pins), deliveries)


@dataclass(frozen=True)
class PinnedLists:
    """The deliveries of a run as its item names them: the primary table's and the others'."""

    primary: DeliveryList
    features: DeliveryList | None


def pin_lists(work: Work, objects: ObjectStore, bucket: str) -> PinnedLists:
    """Write the deliveries of a run once, before anything names them."""
    primary = write_list(objects, bucket, work.project, work.deliveries)
    others = work.feature_deliveries
    return PinnedLists(
        primary, write_list(objects, bucket, work.project, others) if others else None
    )


def lists_of(run: Item) -> PinnedLists:
    """Return the lists that a run's item names."""
    others = run.get("feature_deliveries")
    return PinnedLists(list_of(run["deliveries"]), list_of(others) if others else None)


def judged_by(configured: Item) -> str:
    """Return the digest of what a project, or a run of it, declares of runs.

    Runs from before there was one were told apart by their whole configuration.
    """
    if "run_id" in configured:
        return str(configured.get("training_digest") or configured["config_digest"])
    return training_digest(configured["config"])


def work_of(run: Item, objects: ObjectStore) -> Work:
    """Return the work that a run was started for.

    Raises:
        EvidenceIncompleteError: A list of its deliveries is gone, or is another one.
    """
    lists = lists_of(run)
    return Work(
        run["project"], frozenset(read_list(objects, lists.primary)), judged_by(run),
        run["code_digest"], run["image"],
        tuple(label_of(v["group"], int(v["version"])) for v in run.get("feature_views", [])),
        frozenset(read_list(objects, lists.features) if lists.features else ()),
    )  # fmt: skip


def new_run(
    run_id: str,
    attempt: int,
    status: RunStatus,
    *,
    work: Work,
    lists: PinnedLists,
    configured: Item,
    trigger: Trigger,
    machine: str,
    now: str,
) -> dict[str, Any]:
    """Return the item of a run that has just been decided on, its configuration pinned."""
    return {
        "project": work.project,
        "run_id": run_id,
        "status": status.value,
        "run_key": work.key,
        "attempt": attempt,
        "trigger": {
            "kind": trigger.kind, "event_id": trigger.event_id, "actor": trigger.actor,
            "cause": trigger.cause, **({"attempt": trigger.attempt} if trigger.attempt else {}),
        },
        "deliveries": lists.primary.as_item(),
        "config": configured["config"],
        "config_digest": configured["config_digest"],
        "training_digest": work.training_digest,
        "code_digest": work.code_digest,
        "code_uri": configured["code_uri"],
        "author": configured["author"],
        "image": work.image,
        "policy": configured.get("policy"),
        "estimate": configured.get("estimate"),
        "feature_views": [
            {"group": group, "version": version}
            for group, version in map(parse_label, work.feature_views)
        ],
        "feature_deliveries": lists.features.as_item() if lists.features else None,
        "execution_arn": execution_arn(machine, run_id),
        **({} if trigger.use_cache else {"use_cache": False}),
        "queued_at" if status is RunStatus.WAITING else "started_at": now,
    }  # fmt: skip


def put_run(run: dict[str, Any]) -> Put:
    """Write a run that must not be there yet."""
    return Put(Table.RUNS, run, expect=(Absent(),))


def put_head(work: Work, head: Head | None, run_id: str, attempt: int, status: RunStatus) -> Put:
    """Point the key at this run; fails when somebody else tried the same work meanwhile."""
    item = {
        "project": work.project, "run_id": head_item(work.key), "latest": run_id,
        "attempt": attempt, "status": status.value,
    }  # fmt: skip
    expected: tuple[Condition, ...] = (Absent(),)
    if head is not None:
        expected = (Equals("latest", head.run_id), Equals("status", head.status.value))
    return Put(Table.RUNS, item, expect=expected)


def set_status(run: Item, status: RunStatus, attributes: dict[str, Any]) -> list[Change]:
    """Move a run and its head on, if the run still has the status that it was read with."""
    key = {"project": run["project"], "run_id": run["run_id"]}
    head = {"project": run["project"], "run_id": head_item(run["run_key"])}
    return [
        Update(
            Table.RUNS, key, set={"status": status.value, **attributes},
            expect=(Equals("status", run["status"]),),
        ),
        Update(
            Table.RUNS, head,
            set={"latest": run["run_id"], "attempt": run["attempt"], "status": status.value},
        ),
    ]  # fmt: skip


def take_lock(project: Project, run: dict[str, Any], lease: Lease | None, now_s: float) -> Update:
    """Own the training lock; fails when somebody else was faster.

    Args:
        lease: The lock as it was read: the handover from a run that ended names it as the owner.
    """
    expected: Condition = AbsentOrBelow("lease_expires_at", now_s)
    if lease is not None:
        expected = Equals("owner", lease.owner)
    return Update(
        Table.LOCKS,
        {"lock": training_lock(project.project)},
        set={
            "owner": run["run_id"],
            "lease_expires_at": int(now_s) + project.training.longest_s + LEASE_SLACK_S,
            "execution_arn": run["execution_arn"],
        },
        remove=("waiting", "waiting_since"),
        expect=(expected, *_same_waiting(lease)),
    )


def wait_behind(project: str, run: dict[str, Any], lease: Lease, now_s: float) -> Update:
    """Become the one waiting run."""
    return Update(
        Table.LOCKS,
        {"lock": training_lock(project)},
        set={"waiting": {"run_id": run["run_id"]}, "waiting_since": int(now_s)},
        expect=(Equals("owner", lease.owner), *_same_waiting(lease)),
    )


def _same_waiting(lease: Lease | None) -> tuple[Condition, ...]:
    waiting = {"run_id": lease.waiting} if lease and lease.waiting else None
    return (Equals("waiting", waiting),)

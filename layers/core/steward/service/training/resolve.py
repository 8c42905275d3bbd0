"""Use case: fix everything that the states of a training execution need to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts.steps.training import Champion, ResolvedRun, ResolveRun
from steward.domain.declaration import Scalar
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.names import job_name
from steward.domain.runs import RunStatus
from steward.domain.versions import alias_item, version_item
from steward.ports import Item, ObjectStore, StateStore, Table
from steward.service.pinned import pinned_run
from steward.service.training.ledger import head_of, lists_of, usable_deliveries, work_of
from steward.service.training.tuning_plan import tuning_plan

if TYPE_CHECKING:
    from steward.domain.training_declaration import Training

TASK_SLACK_S = 1800
"""How much longer than its job a task waits for it: instances start, artifacts are moved."""


def resolve_run(
    command: ResolveRun,
    *,
    state: StateStore,
    objects: ObjectStore,
    environment: str,
    artifacts_bucket: str,
) -> ResolvedRun:
    """Return the run as it was pinned when it started, and the champion of this moment.

    Raises:
        MalformedEventError: There is no such run.
        EvidenceIncompleteError: The code archive is gone or is another one.
    """
    run = pinned_run(state, command.project, command.run_id)
    item, project = run.item, run.project
    code_key = item["code_uri"].removeprefix(f"s3://{artifacts_bucket}/")
    digest = objects.sha256(artifacts_bucket, code_key)
    if digest != item["code_digest"]:
        raise EvidenceIncompleteError(
            f"{item['code_uri']} is not the code that was pushed", field="code_digest",
            value=digest, allowed=str(item["code_digest"]),
        )  # fmt: skip
    hyperparameters = {name: _text(v) for name, v in project.training.hyperparameters.items()}
    hyperparameters["sagemaker_program"] = project.training.entry_point
    base, training = f"s3://{artifacts_bucket}", project.training
    return ResolvedRun(
        project=command.project,
        run_id=command.run_id,
        author=item["author"],
        config_digest=item["config_digest"],
        code_digest=item["code_digest"],
        image=item["image"],
        deliveries=lists_of(item).primary,
        trains_without_new_data=_has_other_reason(state, objects, item),
        code_uri=item["code_uri"],
        hyperparameters=hyperparameters,
        instance_type=project.training.instance_type,
        max_runtime_s=training.max_runtime_s,
        spot=training.spot is not None,
        stopping_condition=_stopping_condition(training),
        training_timeout_s=training.longest_s + TASK_SLACK_S,
        tuning=tuning_plan(training.tuning, environment, command.run_id)
        if training.tuning
        else None,
        checkpoints_uri=f"{base}/checkpoints/{command.project}/{_work_of(item)}",
        training_job=job_name(environment, command.project, command.run_id, "train"),
        evaluation_job=job_name(environment, command.project, command.run_id, "eval"),
        models_uri=f"{base}/models/{command.project}/{command.run_id}",
        evaluations_uri=f"{base}/evaluations/{command.project}/{command.run_id}",
        champion=_champion(state, command.project),
    )


def _stopping_condition(training: Training) -> dict[str, int]:
    found = {"MaxRuntimeInSeconds": training.max_runtime_s}
    if training.spot is not None:
        found["MaxWaitTimeInSeconds"] = training.spot.max_wait_s
    return found


def _work_of(item: Item) -> str:
    """Return what the checkpoints belong to: the work, or the run where nothing is reused."""
    kept = item.get("use_cache") is not False
    return str(item["run_key"])[:16] if kept else str(item["run_id"])


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _champion(state: StateStore, project: str) -> Champion | None:
    alias = state.get(Table.VERSIONS, {"project": project, "item": alias_item("champion")})
    if alias is None or alias.get("version") is None:
        return None
    number = int(alias["version"])
    version = state.get(Table.VERSIONS, {"project": project, "item": version_item(number)})
    if version is None:
        raise EvidenceIncompleteError(
            f"version {number} is in production but not in the registry",
            field="champion", value=number, allowed="a registered version",
        )  # fmt: skip
    return Champion(version=number, artifact_uri=version["artifact_uri"])


def _has_other_reason(state: StateStore, objects: ObjectStore, item: Item) -> bool:
    """Return whether what was accepted before, alone, would be work not done yet."""
    work = work_of(item, objects)
    accepted, _ = usable_deliveries(state, work.project)
    before = work.deliveries.intersection(accepted)
    if not before:
        return False
    head = head_of(state, work.project, work.on(before).key)
    return head is None or head.status not in (RunStatus.SUCCEEDED, RunStatus.HELD)

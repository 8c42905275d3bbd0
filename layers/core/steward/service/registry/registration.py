"""Registering a candidate: one model package a run, however often the task is tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from steward.contracts.events import VersionRegistered
from steward.contracts.steps.registry import RegisteredVersion, RegisterVersion
from steward.domain.approvals import quorum_of
from steward.domain.digests import digest_of
from steward.domain.errors import ConflictError
from steward.domain.names import package_group
from steward.domain.versions import VersionState, version_item
from steward.ports import (
    Absent,
    Clock,
    Equals,
    Ids,
    Item,
    ModelRegistry,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event
from steward.service.pinned import PinnedRun, pinned_run
from steward.service.policy_in_force import pinned_policy_of

CONTENT_TYPES = ["application/json", "text/csv"]
_LOOKED_THROUGH = 50
_NOT_ALLOWED = re.compile(r"[^\w .:/=+\-@]")
"""What ``CustomerMetadataProperties`` refuses in a value; values have 1 to 256 characters."""


def register_version(
    command: RegisterVersion,
    *,
    state: StateStore,
    registry: ModelRegistry,
    clock: Clock,
    ids: Ids,
    environment: str,
) -> RegisteredVersion:
    """Create the model package of a run, pending approval, and the version's record.

    A reservation is written first. A task that is tried again after its package was made but
    before the record was written finds the package: by SageMaker's client token within its
    lifetime, else by the run id in the package's properties.

    Raises:
        ConflictError: The group gave a number that another version has.
        MalformedEventError: There is no such run.
    """
    known = state.get(Table.VERSIONS, _reservation_key(command))
    if known is not None and known.get("version") is not None:
        return _registered(known)
    group = package_group(environment, command.project)
    arn, version = _package(command, group, known is not None, state, registry, clock)
    run = pinned_run(state, command.project, command.run_id)
    item = _item(command, version, arn, run, clock)
    registered = event(
        VersionRegistered(
            version=version, run_id=command.run_id, model_package_arn=arn,
            artifact_uri=command.artifact_uri, author=command.author,
        ),
        Cause(command.project, command.correlation_id, command.run_id),
        clock,
        ids,
    )  # fmt: skip
    done = Update(
        Table.VERSIONS,
        _reservation_key(command),
        set={"version": version, "model_package_arn": arn},
        expect=(Equals("version", None),),
    )
    try:
        state.commit([Put(Table.VERSIONS, item, expect=(Absent(),)), done], [registered])
    except ConflictError:
        other = state.get(Table.VERSIONS, _reservation_key(command)) or {}
        if other.get("version") != version:
            raise
    return RegisteredVersion(version=version, model_package_arn=arn)


def _reservation_key(command: RegisterVersion) -> dict[str, str]:
    return {"project": command.project, "item": f"run#{command.run_id}"}


def _registered(reservation: Item) -> RegisteredVersion:
    return RegisteredVersion(
        version=reservation["version"], model_package_arn=reservation["model_package_arn"]
    )


def _package(
    command: RegisterVersion,
    group: str,
    reserved: bool,
    state: StateStore,
    registry: ModelRegistry,
    clock: Clock,
) -> tuple[str, int]:
    if reserved:
        for arn, version in islice(registry.versions(group), _LOOKED_THROUGH):
            properties = registry.describe(arn).get("CustomerMetadataProperties") or {}
            if properties.get("run_id") == command.run_id:
                return arn, version
    else:
        reservation = {
            **_reservation_key(command),
            "run_id": command.run_id,
            "reserved_at": clock.now().isoformat(timespec="milliseconds"),
        }
        try:
            state.commit([Put(Table.VERSIONS, reservation, expect=(Absent(),))])
        except ConflictError:
            return _package(command, group, True, state, registry, clock)
    return registry.create_version(package_request(command, group))


def package_request(command: RegisterVersion, group: str) -> Mapping[str, Any]:
    """Return the ``CreateModelPackage`` request of a candidate.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
    """
    properties = {
        "run_id": command.run_id,
        "author": command.author,
        "code_digest": command.code_digest,
        "config_digest": command.config_digest,
        "dataset_id": command.dataset_id,
        "job_image": command.job_image,
        "gate": command.gate.verdict,
        "champion_version": str(command.champion_version or "none"),
    }
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": f"{command.project}, run {command.run_id}",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": command.job_image, "ModelDataUrl": command.artifact_uri}],
            "SupportedContentTypes": CONTENT_TYPES,
            "SupportedResponseMIMETypes": CONTENT_TYPES,
        },
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": {"ContentType": "application/json", "S3Uri": command.evaluation_uri}
            }
        },
        "MetadataProperties": {"CommitId": command.code_digest, "GeneratedBy": command.run_id},
        "CustomerMetadataProperties": {
            name: _NOT_ALLOWED.sub("_", value)[:256] or "none" for name, value in properties.items()
        },
        "ClientToken": digest_of({"project": command.project, "run_id": command.run_id})[:36],
    }


def _item(command: RegisterVersion, version: int, arn: str, run: PinnedRun, clock: Clock) -> Item:
    project = run.project
    policy = pinned_policy_of(run.item, project)
    joined = [column.name for column in project.feature_columns]
    served = {"entity_id": project.data.entity_id, "columns": joined} if joined else None
    return {
        **command.model_dump(mode="json"),
        "item": version_item(version),
        "version": version,
        "state": VersionState.REGISTERED.value,
        "model_package_arn": arn,
        "approvals": [],
        "trainer": _trainer(run.item),
        "quorum": quorum_of(
            command.author, max(policy.requirements.quorum or 1, command.gate.quorum)
        ),
        "policy": policy.model_dump(mode="json"),
        "feature_views": run.item.get("feature_views"),
        "served_features": served,
        "created_at": clock.now().isoformat(timespec="milliseconds"),
    }


def _trainer(run: Item) -> str | None:
    """Return the person who asked for a run; deliveries, schedules and alarms are none."""
    trigger = run.get("trigger") or {}
    return str(trigger["actor"]) if trigger.get("kind") == "request" else None

"""Use case: make what a commit brought the project's, if no later commit came first."""

from __future__ import annotations

import json

from steward.contracts.steps.integration import ActivatedSource, ActivateSource
from steward.domain.errors import CommitSupersededError, ConflictError, EvidenceIncompleteError
from steward.domain.integrations import IntegrationStatus, branch_item
from steward.ports import Equals, ObjectStore, SourceRepositories, Table, Update
from steward.service.emission import Cause
from steward.service.training.integration.records import newest_of, record_of
from steward.service.training.source import Configuring, code_key, configure


def activate_source(
    command: ActivateSource,
    ports: Configuring,
    *,
    objects: ObjectStore,
    repositories: SourceRepositories,
) -> ActivatedSource:
    """Write configuration, code and author in one transaction with the branch's newest.

    Only the newest integration of a branch may do so: whoever was overtaken between the check
    and the write loses the write.

    Raises:
        CommitSupersededError: A later commit of the branch came first.
        EvidenceIncompleteError: What was checked is not what lies there any more.
    """
    from steward.domain.project import parse_project

    state = ports.state
    record = record_of(state, command.project, command.integration_id)
    if record["status"] != IntegrationStatus.RUNNING:
        raise CommitSupersededError(f"{command.integration_id} is {record['status']}")
    branch = record["branch"]
    _check_newest(command, ports, branch)
    if record["source"]["kind"] == "codecommit":
        at = repositories.head(record["repository"], branch)
        if at not in (None, record["commit_id"]):
            raise CommitSupersededError(f"{branch} of {record['repository']} is at {at}")
    project = parse_project(json.loads(objects.read(f"{command.prefix}/config.json")))
    if project.digest != command.config_digest:
        raise EvidenceIncompleteError(
            "the configuration that was checked is another one", field="config_digest",
            value=project.digest, allowed=command.config_digest,
        )  # fmt: skip
    key = code_key(command.project, command.code_digest)
    objects.copy(
        f"{command.prefix}/code/{command.code_digest}.tar.gz",
        f"s3://{ports.artifacts_bucket}/{key}",
    )
    digest = objects.sha256(ports.artifacts_bucket, key)
    if digest != command.code_digest:
        raise EvidenceIncompleteError(
            "the code that was checked is another one", field="code_digest", value=digest,
            allowed=command.code_digest,
        )  # fmt: skip
    still = Update(
        Table.RUNS, {"project": command.project, "run_id": branch_item(branch)},
        set={"activated": command.integration_id},
        expect=(Equals("latest", command.integration_id),),
    )  # fmt: skip
    cause = Cause(command.project, command.correlation_id, command.integration_id, record["author"])
    try:
        done = configure(
            project, command.code_digest, record["author"], record["author_arn"], cause, ports,
            with_it=[still],
        )  # fmt: skip
    except ConflictError:
        _check_newest(command, ports, branch)
        raise
    return ActivatedSource(changed=done["changed"], author=done["author"])


def _check_newest(command: ActivateSource, ports: Configuring, branch: str) -> None:
    newest = newest_of(ports.state, command.project, branch)
    if newest is not None and newest.integration_id != command.integration_id:
        raise CommitSupersededError(f"{newest.integration_id} is newer")

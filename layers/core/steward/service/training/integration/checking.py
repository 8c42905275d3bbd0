"""Use case: check what a commit declares, and prepare what its jobs read."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.steps.integration import CheckedProject, CheckProject
from steward.domain.digests import canonical_json
from steward.domain.errors import InvalidProjectError
from steward.domain.names import job_name
from steward.domain.source_archives import canonical_archive, read_archive
from steward.ports import Clock, Ids, JobImage, ObjectStore, StateStore, Table, Update
from steward.service.emission import Cause
from steward.service.feature_catalog import registration
from steward.service.policy_in_force import pin_policy
from steward.service.training.integration.records import record_of
from steward.service.training.project_files import ProjectFiles, read_project

if TYPE_CHECKING:
    from steward.domain.project import Project
    from steward.domain.rehearsal import Sample


@dataclass(frozen=True)
class Ports:
    """What checking works with."""

    state: StateStore
    objects: ObjectStore
    job_image: JobImage
    clock: Clock
    ids: Ids
    environment: str


def check_project(command: CheckProject, ports: Ports) -> CheckedProject:
    """Check ``project.yaml``, features and policy; write the inputs of both jobs.

    Nothing of the project changes: all that is written lies below the integration's own prefix.

    Raises:
        InvalidProjectError: A key is not valid, asks for less than the policy in force lets it,
            or the files are another project's.
        JobImageMissingError: The image was never built.
    """
    record_of(ports.state, command.project, command.integration_id)
    files = read_archive(io.BytesIO(ports.objects.read(command.source_uri)))
    found = read_project(files)
    project = found.project
    if project.project != command.project:
        raise InvalidProjectError(
            f"the commit is of project {project.project}", field="project",
            value=project.project, allowed=command.project,
        )  # fmt: skip
    pin_policy(ports.state, project)
    cause = Cause(command.project, command.correlation_id, command.integration_id)
    registration(
        project, state=ports.state, environment=ports.environment, cause=cause,
        clock=ports.clock, ids=ports.ids,
    )  # fmt: skip
    code = canonical_archive(found.code)
    digest = hashlib.sha256(code).hexdigest()
    image = ports.job_image.uri()
    _write_tests(command, found, ports)
    sample = _write_rehearsal(command, project, code, ports)
    ports.objects.write(
        f"{command.prefix}/config.json", canonical_json(project.model_dump(mode="json"))
    )
    ports.objects.write(f"{command.prefix}/code/{digest}.tar.gz", code, "application/gzip")
    ports.state.commit([
        Update(
            Table.RUNS, {"project": command.project, "run_id": command.integration_id},
            set={
                "step": "TestProject" if found.tests else "RehearseModel",
                "code_digest": digest, "config_digest": project.digest, "image": image,
            },
        )
    ])  # fmt: skip
    asked = project.integration
    return CheckedProject(
        code_digest=digest, config_digest=project.digest, image=image,
        instance_type=asked.instance_type, has_tests=found.tests,
        tests_job=job_name(command.project, command.name, "test"),
        tests_input_uri=f"{command.prefix}/tests-input",
        tests_output_uri=f"{command.prefix}/tests",
        tests_timeout_s=asked.tests_timeout_s,
        rehearsal_job=job_name(command.project, command.name, "rehearse"),
        rehearsal_input_uri=f"{command.prefix}/rehearsal-input",
        rehearsal_output_uri=f"{command.prefix}/rehearsal",
        rehearsal_timeout_s=asked.rehearsal_timeout_s,
        sample="none" if sample is None else sample.origin,
    )  # fmt: skip


def _write_tests(command: CheckProject, found: ProjectFiles, ports: Ports) -> None:
    if not found.tests:
        return
    asked = found.project.integration
    prefix = f"{command.prefix}/tests-input"
    ports.objects.copy(command.source_uri, f"{prefix}/source.tar.gz")
    told = {"tests": asked.tests, "timeout_s": asked.tests_timeout_s}
    ports.objects.write(f"{prefix}/tests.json", canonical_json(told))


def _write_rehearsal(
    command: CheckProject, project: Project, code: bytes, ports: Ports
) -> Sample | None:
    """Write the sample and the requests that the rehearsal asks; return the sample."""
    from steward.domain.datasets import job_description, request_columns
    from steward.domain.examples import recorded_examples
    from steward.domain.rehearsal import declared_sample

    dataset = _latest_dataset(ports.state, command.project)
    rows = project.integration.rehearsal_rows
    sample = _of_dataset(project, dataset, rows, ports.objects) if dataset else None
    sample = sample or declared_sample(project, rows)
    if sample is None:
        return None
    prefix, write = f"{command.prefix}/rehearsal-input", ports.objects.write
    columns = request_columns(project)
    asked = [
        {column.name: row[column.name] for column in columns}
        for row in sample.rows[: project.serving.smoke.examples]
    ]
    hyperparameters = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in project.training.hyperparameters.items()
    }
    told = {
        "hyperparameters": {
            **hyperparameters, "sagemaker_program": project.training.entry_point
        },
        "timeout_s": project.integration.rehearsal_timeout_s,
        "sample": sample.origin,
    }  # fmt: skip
    write(f"{prefix}/code.tar.gz", code, "application/gzip")
    write(f"{prefix}/train.csv", sample.csv(project), "text/csv")
    write(f"{prefix}/job.json", canonical_json(job_description(project, command.name)))
    write(f"{prefix}/rehearsal.json", canonical_json(told))
    write(f"{prefix}/examples.json", canonical_json(recorded_examples(columns, asked)))
    if dataset:
        recorded = ports.objects.read(f"{dataset}/examples.json")
        write(f"{prefix}/recorded.json", recorded)
    return sample


def _latest_dataset(state: StateStore, project: str) -> str | None:
    """Return the place of the newest version's dataset."""
    for item in state.query(Table.VERSIONS, project, prefix="version#", newest_first=True, limit=1):
        uri = str(item.get("manifest_uri") or "")
        return uri.removesuffix("/manifest.json") or None
    return None


def _of_dataset(project: Project, dataset: str, rows: int, objects: ObjectStore) -> Sample | None:
    from steward.domain.rehearsal import sample_of

    manifest: dict[str, Any] = json.loads(objects.read(f"{dataset}/manifest.json"))
    with objects.open(f"{dataset}/train/train.csv") as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        return sample_of(project, manifest["dataset_id"], lines, rows)

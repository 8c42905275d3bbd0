"""Use case: check what a commit declares, and prepare what its jobs read."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from steward.contracts.steps.integration import CheckedProject, CheckProject
from steward.domain.digests import canonical_json
from steward.domain.errors import InvalidProjectError
from steward.domain.names import job_name
from steward.domain.source_archives import canonical_archive, read_archive
from steward.ports import Table, Update
from steward.service.emission import Cause
from steward.service.feature_catalog import registration
from steward.service.policy_in_force import pin_policy
from steward.service.training.integration.records import record_of
from steward.service.training.integration.rehearsing import (
    Ports,
    rehearsal_input,
    write_rehearsal,
)
from steward.service.training.project_files import ProjectFiles, read_project

if TYPE_CHECKING:
    pass


def check_project(command: CheckProject, ports: Ports) -> CheckedProject:
    """Check ``project.yaml``, features and policy; write the inputs of both jobs.

    Nothing of the project changes: all that is written lies below the integration's own prefixes.

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
    sample = write_rehearsal(command, project, code, ports)
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
        tests_job=job_name(ports.environment, command.project, command.name, "test"),
        tests_input_uri=f"{command.prefix}/tests-input",
        tests_output_uri=f"{command.prefix}/tests",
        tests_timeout_s=asked.tests_timeout_s,
        rehearsal_job=job_name(ports.environment, command.project, command.name, "rehearse"),
        rehearsal_input_uri=rehearsal_input(command, ports),
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

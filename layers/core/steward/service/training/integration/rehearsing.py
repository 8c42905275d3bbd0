"""What the rehearsal of a commit reads: a sample, the code, and requests that were recorded."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.steps.integration import CheckProject
from steward.domain.digests import canonical_json
from steward.ports import Clock, Ids, JobImage, ObjectStore, StateStore, Table
from steward.service.training.integration.traffic import captured_traffic

if TYPE_CHECKING:
    from steward.domain.project import Project
    from steward.domain.rehearsal import Sample


@dataclass(frozen=True)
class Ports:
    """What checking a commit and preparing its jobs work with."""

    state: StateStore
    objects: ObjectStore
    job_image: JobImage
    clock: Clock
    ids: Ids
    environment: str
    artifacts_bucket: str
    capture_bucket: str


def rehearsal_input(command: CheckProject, ports: Ports) -> str:
    """Return where the rehearsal's input lies: rows and requests of people, kept for a day."""
    return f"s3://{ports.artifacts_bucket}/rehearsals/{command.project}/{command.name}"


def write_rehearsal(
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
    prefix, write = rehearsal_input(command, ports), ports.objects.write
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
        "sample": sample.origin, "max_latency_ms": project.serving.smoke.max_latency_ms,
    }  # fmt: skip
    write(f"{prefix}/code.tar.gz", code, "application/gzip")
    write(f"{prefix}/train.csv", sample.csv(project), "text/csv")
    write(f"{prefix}/job.json", canonical_json(job_description(project, command.name)))
    write(f"{prefix}/rehearsal.json", canonical_json(told))
    write(f"{prefix}/examples.json", canonical_json(recorded_examples(columns, asked)))
    recorded = captured_traffic(
        project, state=ports.state, objects=ports.objects, bucket=ports.capture_bucket,
        now=ports.clock.now(),
    )  # fmt: skip
    if recorded is not None:
        write(f"{prefix}/recorded.json", canonical_json(recorded))
    elif dataset:
        examples = json.loads(ports.objects.read(f"{dataset}/examples.json"))
        write(f"{prefix}/recorded.json", canonical_json({**examples, "origin": "examples"}))
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

"""Use case: judge the rows of a batch and write what the transform job reads."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from steward.contracts.steps.batch import PrepareBatch, PreparedBatch
from steward.domain.batch_rows import BatchRows, judge_rows, read_rows, request_features
from steward.domain.batch_runs import PinnedFile, batch_model, transform_job
from steward.domain.errors import BatchInputRefusedError
from steward.ports import ObjectStore, StateStore, Table, Update
from steward.service.serving.batch.records import pinned, record_of, work_of
from steward.service.serving.hosting import model_request
from steward.service.serving.records import project_of, version_of

if TYPE_CHECKING:
    from steward.domain.project import Project


def prepare_batch(
    command: PrepareBatch,
    *,
    state: StateStore,
    objects: ObjectStore,
    artifacts_bucket: str,
    role_arn: str,
) -> PreparedBatch:
    """Read exactly the pinned bytes, judge each row, and cut the good ones into files of the job.

    Refused rows are kept with their reasons. A repeated call writes the same objects.

    Raises:
        BatchInputRefusedError: The input is gone, unreadable, empty, or too many rows break rules.
        EvidenceIncompleteError: The version's record lacks artifact or image.
    """
    from steward.domain.batch_declaration import Batch

    record = record_of(state, command.project, command.batch_id)
    batch = Batch.model_validate(record["batch"])
    rows = _rows(pinned(record), project_of(state, command.project), objects)
    work = work_of(artifacts_bucket, command.project, command.batch_id)
    if rows.refused:
        refused = "".join(row.line() for row in rows.refused)
        objects.write(f"{work}/refused.jsonl", refused.encode(), "application/x-ndjson")
    rows.require(batch.checks.max_refused_share)
    parts = rows.parts(batch.instance_count)
    for number, part in enumerate(parts):
        objects.write(f"{work}/input/part-{number:04d}.csv", part.encode(), "text/csv")
    version = int(record["version"])
    model = batch_model(command.project, version, command.batch_id)
    counted = {
        "rows": len(rows.ids), "refused_rows": len(rows.refused), "parts": len(parts),
        "model": model,
    }  # fmt: skip
    key = {"project": command.project, "run_id": record["run_id"]}
    state.commit([Update(Table.RUNS, key, set=counted)])
    return PreparedBatch(
        model=model_request(version_of(state, command.project, version), model, role_arn),
        model_name=model,
        job=transform_job(command.project, command.batch_id),
        input_uri=f"{work}/input/",
        output_uri=f"{work}/output",
        instance_type=batch.instance_type,
        instance_count=len(parts),
        max_runtime_s=batch.max_runtime_s,
        rows=len(rows.ids),
        refused_rows=len(rows.refused),
    )


def _rows(files: list[PinnedFile], project: Project, objects: ObjectStore) -> BatchRows:
    features, entity = request_features(project), project.data.entity_id
    needed = [entity, *(feature.name for feature in features)]
    rows = BatchRows()
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            name = file.key.rpartition("/")[2]
            path = Path(folder) / name
            _fetch(objects, file, path)
            read = read_rows(path, file.format, needed)
            judge_rows(rows, name, read, entity, features, text=file.format == "csv")
            path.unlink()
    return rows


def _fetch(objects: ObjectStore, file: PinnedFile, path: Path) -> None:
    objects.download(file.bucket, file.key, str(path), file.version_id)
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise BatchInputRefusedError(
            f"{file.uri} is not what was pinned when the batch began", field="input.sha256",
            value=found, allowed=file.sha256,
        )  # fmt: skip

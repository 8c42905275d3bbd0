"""Use case: judge the rows of a batch and write what the transform job reads."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from steward.contracts.steps.batch import PrepareBatch, PreparedBatch
from steward.domain.batch_files import RowFiles
from steward.domain.batch_rows import Unpacked, judge_rows, read_rows, request_features
from steward.domain.batch_runs import PinnedFile, batch_model, pinned, transform_job
from steward.domain.errors import (
    BatchInputRefusedError,
    EvidenceIncompleteError,
    RejectedError,
)
from steward.ports import Item, ObjectStore, StateStore, Table, Update
from steward.service.serving.batch.pinning import require_kept
from steward.service.serving.batch.records import record_of, rules_of, work_of
from steward.service.serving.hosting import model_request
from steward.service.serving.records import version_of

if TYPE_CHECKING:
    from steward.domain.project import Project


def prepare_batch(
    command: PrepareBatch,
    *,
    state: StateStore,
    objects: ObjectStore,
    environment: str,
    artifacts_bucket: str,
    role_arn: str,
) -> PreparedBatch:
    """Read exactly the pinned bytes, judge each row, and cut the good ones into files of the job.

    The rules are those that the version was made under. Refused rows are kept with their reasons.
    A repeated call writes the same objects.

    Raises:
        BatchInputRefusedError: The input is gone, unreadable, empty, or too many rows break rules;
            or it was deleted on purpose; or the version takes other columns than were declared
            when it was made.
        EvidenceIncompleteError: The version's record lacks artifact or image.
    """
    from steward.domain.batch_declaration import Batch

    record = record_of(state, command.project, command.batch_id)
    require_kept(state, record)
    batch = Batch.model_validate(record["batch"])
    version = version_of(state, command.project, int(record["version"]))
    project = rules_of(state, version)
    _require_columns(project, version, objects)
    work = work_of(artifacts_bucket, command.project, command.batch_id)
    with tempfile.TemporaryDirectory() as folder, RowFiles(Path(folder)) as rows:
        _judge(pinned(record), project, objects, rows)
        rows.close()
        if rows.refused:
            place = f"{work}/refused.jsonl"
            objects.upload(str(rows.refused_path), place, "application/x-ndjson")
        rows.require(batch.checks.max_refused_share)
        parts = 0
        for part in rows.parts(batch.instance_count):
            objects.upload(str(part), f"{work}/input/part-{parts:04d}.csv", "text/csv")
            parts += 1
    model = batch_model(environment, command.project, int(record["version"]), command.batch_id)
    counted = {
        "rows": rows.scored, "refused_rows": rows.refused, "parts": parts, "model": model,
    }  # fmt: skip
    key = {"project": command.project, "run_id": record["run_id"]}
    state.commit([Update(Table.RUNS, key, set=counted)])
    return PreparedBatch(
        model=model_request(version, model, role_arn),
        model_name=model,
        job=transform_job(environment, command.project, command.batch_id),
        input_uri=f"{work}/input/",
        output_uri=f"{work}/output",
        instance_type=batch.instance_type,
        instance_count=parts,
        max_runtime_s=batch.max_runtime_s,
        rows=rows.scored,
        refused_rows=rows.refused,
    )


def _require_columns(project: Project, version: Item, objects: ObjectStore) -> None:
    """Refuse a version that takes other columns than its record declares: CSV has their order.

    What a version takes is recorded beside its dataset. Of an imported one the record is of the
    moment of its import, and it may have been made under another.
    """
    manifest = str(version.get("manifest_uri") or "")
    try:
        recorded = json.loads(objects.read(f"{manifest.rsplit('/', 1)[0]}/examples.json"))
    except (EvidenceIncompleteError, RejectedError):
        return
    takes = recorded.get("features")
    declared = [feature.name for feature in request_features(project)]
    if takes is not None and takes != declared:
        raise BatchInputRefusedError(
            f"version {version['version']} takes other columns than are declared of it",
            field="data.columns", value=", ".join(declared)[:300], allowed=", ".join(takes)[:300],
        )  # fmt: skip


def _judge(files: list[PinnedFile], project: Project, objects: ObjectStore, rows: RowFiles) -> None:
    features, entity = request_features(project), project.data.entity_id
    needed = [entity, *(feature.name for feature in features)]
    unpacked, known = Unpacked(), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            name = file.key.rpartition("/")[2]
            path = Path(folder) / name
            _fetch(objects, file, path)
            read = read_rows(path, file.format, needed, unpacked)
            rows.add(judge_rows(name, read, entity, features, known, text=file.format == "csv"))
            path.unlink()


def _fetch(objects: ObjectStore, file: PinnedFile, path: Path) -> None:
    objects.download(file.bucket, file.key, str(path), file.version_id)
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise BatchInputRefusedError(
            f"{file.uri} is not what was pinned when the batch began", field="input.sha256",
            value=found, allowed=file.sha256,
        )  # fmt: skip

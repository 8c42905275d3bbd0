"""Use case: check what a transform job left, then deliver it whole or put it into quarantine."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from steward.contracts.steps.batch import DeliveredScores, DeliverScores
from steward.domain.batch_runs import EXPIRY_TAG, UPLOADS_DAYS, pinned, scores_folder
from steward.domain.batch_scores import (
    BatchManifest,
    Scores,
    check_drift,
    check_scores,
    refused,
)
from steward.domain.errors import EvidenceIncompleteError, ScoresRejectedError
from steward.ports import Clock, Item, ObjectStore, StateStore
from steward.service.serving.batch.records import quarantine_of, record_of, told, work_of
from steward.service.serving.records import project_of, version_of

if TYPE_CHECKING:
    from steward.domain.batch_declaration import Batch


def deliver_scores(
    command: DeliverScores,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    data_bucket: str,
    artifacts_bucket: str,
) -> DeliveredScores:
    """Check the scores of a batch and write them, the manifest last.

    They lie below ``scores/<project>/<output>/<key>/`` of the data bucket, which is the same for
    every attempt at the same batch, as their scores are. Nothing is written there unless every
    check passed. A refused result goes to
    ``quarantine/<project>/batch-<id>/`` with ``report.json``.

    Raises:
        ScoresRejectedError: A check failed.
        EvidenceIncompleteError: Drift is to be checked, and the version has no baseline.
    """
    from steward.domain.batch_declaration import Batch

    record = record_of(state, command.project, command.batch_id)
    batch = Batch.model_validate(record["batch"])
    work = work_of(artifacts_bucket, command.project, command.batch_id)
    folder = scores_folder(command.project, batch.output, record["batch_key"])
    target = f"s3://{data_bucket}/{folder}".rstrip("/")
    try:
        scores, drift = _checked(record, batch, work, state, objects)
    except ScoresRejectedError as error:
        _quarantine(record, batch, error, work, data_bucket, objects)
        raise
    tags = {EXPIRY_TAG: str(batch.expires_after_days)} if batch.expires_after_days else None
    content = "".join(scores.lines()).encode()
    digest = objects.write(f"{target}/scores.csv", content, "text/csv", tags)
    refused_uri = None
    if record.get("refused_rows"):
        refused_uri = f"{target}/refused.jsonl"
        lines = objects.read(f"{work}/refused.jsonl")
        objects.write(refused_uri, lines, "application/x-ndjson", tags)
    values = scores.values
    manifest = BatchManifest(
        project=command.project, version=int(record["version"]), batch_key=record["batch_key"],
        batch_id=command.batch_id, input=told(pinned(record)),
        scores_uri=f"{target}/scores.csv", scores_sha256=digest, rows=len(values),
        refused_rows=int(record.get("refused_rows", 0)), refused_uri=refused_uri,
        least=min(values), most=max(values), mean=sum(values) / len(values), drift=drift,
        transform_job=command.job, requested_by=record["trigger"]["actor"],
        expires_after_days=batch.expires_after_days,
        delivered_at=clock.now().isoformat(timespec="milliseconds"),
    )  # fmt: skip
    uri = f"{target}/manifest.json"
    written = objects.write(uri, manifest.model_dump_json(indent=1).encode(), tags=tags)
    return DeliveredScores(manifest_uri=uri, manifest_sha256=written)


def _checked(
    record: Item, batch: Batch, work: str, state: StateStore, objects: ObjectStore
) -> tuple[Scores, float | None]:
    from steward.domain.batch_declaration import score_range

    project = project_of(state, record["project"])
    ids: list[str] = []
    answered: list[str] = []
    for number in range(int(record["parts"])):
        name = f"part-{number:04d}.csv"
        sent = objects.read(f"{work}/input/{name}").decode().splitlines()
        ids += [cells[0] for cells in csv.reader(sent)]
        try:
            answered += objects.read(f"{work}/output/{name}.out").decode().splitlines()
        except EvidenceIncompleteError:
            raise refused(f"{name}.out", None, "what the job left of this part") from None
    scores = check_scores(ids, answered, score_range(batch.checks, project.data.label.task))
    if batch.checks.max_drift is None:
        return scores, None
    return scores, _drift(scores, record, batch.checks.max_drift, state, objects)


def _drift(
    scores: Scores, record: Item, most: float, state: StateStore, objects: ObjectStore
) -> float:
    import numpy as np  # of the analytics layer, and few batches need it

    from steward.domain.monitoring.baseline import Baseline
    from steward.domain.monitoring.binning import count_numbers
    from steward.domain.monitoring.column_tests import compare_column
    from steward.domain.monitoring.counts import NumericBins

    version = version_of(state, record["project"], int(record["version"]))
    named = version.get("baseline") or {}
    baseline = Baseline.model_validate_json(objects.read(named["uri"])) if named else None
    column = baseline.column("prediction") if baseline else None
    if column is None or not isinstance(column.cells, NumericBins):
        raise EvidenceIncompleteError(
            f"version {record['version']} has no baseline of predictions to compare with",
            field="batch.checks.max_drift", value=most, allowed="null, or a version with one",
        )  # fmt: skip
    counts = count_numbers(np.array(scores.values), column.cells)
    found = compare_column(column, counts, column.counts)
    return check_drift(found.p, found.effect, most)


def _quarantine(
    record: Item, batch: Batch, error: ScoresRejectedError, work: str, bucket: str,
    objects: ObjectStore,
) -> None:  # fmt: skip
    """Keep a refused result for whoever looks into it, with what is wrong, as long as the rest."""
    folder = quarantine_of(bucket, record)
    tags = {EXPIRY_TAG: str(min(batch.expires_after_days or UPLOADS_DAYS, UPLOADS_DAYS))}
    for number in range(int(record["parts"])):
        name = f"part-{number:04d}.csv.out"
        try:
            objects.copy(f"{work}/output/{name}", f"{folder}/{name}", tags=tags)
        except EvidenceIncompleteError:
            continue  # it is what is missing
    report = {
        "batch_id": record["batch_id"], "version": record["version"], **error.as_dict(),
        "input": told(pinned(record)),
    }  # fmt: skip
    content = json.dumps(report, indent=1, default=str).encode()
    objects.write(f"{folder}/report.json", content, tags=tags)

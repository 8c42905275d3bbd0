"""Use case: check what a transform job left, then deliver it whole or put it into quarantine."""

from __future__ import annotations

import csv
import json
import tempfile
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from steward.contracts.steps.batch import DeliveredScores, DeliverScores
from steward.domain.batch_runs import EXPIRY_TAG, UPLOADS_DAYS, pinned, scores_folder
from steward.domain.batch_scores import (
    SCORES_HEAD,
    BatchManifest,
    check_drift,
    check_scores,
    refused,
    score_line,
)
from steward.domain.errors import EvidenceIncompleteError, ScoresRejectedError
from steward.ports import Clock, Item, ObjectStore, StateStore
from steward.service.serving.batch.pinning import require_kept
from steward.service.serving.batch.records import (
    quarantine_of,
    record_of,
    rules_of,
    told,
    work_of,
)
from steward.service.serving.records import version_of

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
        BatchInputRefusedError: Batch or input was deleted on purpose.
        EvidenceIncompleteError: Drift is to be checked, and the version has no baseline.
    """
    from steward.domain.batch_declaration import Batch

    record = record_of(state, command.project, command.batch_id)
    require_kept(state, record)
    batch = Batch.model_validate(record["batch"])
    work = work_of(artifacts_bucket, command.project, command.batch_id)
    folder = scores_folder(command.project, batch.output, record["batch_key"])
    target = f"s3://{data_bucket}/{folder}".rstrip("/")
    tags = {EXPIRY_TAG: str(batch.expires_after_days)} if batch.expires_after_days else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        try:
            values = _checked(record, batch, work, path, state, objects)
            drift = _drift(values, record, batch.checks.max_drift, state, objects)
        except ScoresRejectedError as error:
            _quarantine(record, batch, error, work, data_bucket, objects)
            raise
        digest = objects.upload(str(path), f"{target}/scores.csv", "text/csv", tags)
    refused_uri = None
    if record.get("refused_rows"):
        refused_uri = f"{target}/refused.jsonl"
        objects.copy(f"{work}/refused.jsonl", refused_uri, tags=tags)
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
    record: Item, batch: Batch, work: str, path: Path, state: StateStore, objects: ObjectStore
) -> array[float]:
    """Write the checked scores to a file; return them alone."""
    from steward.domain.batch_declaration import score_range

    version = version_of(state, record["project"], int(record["version"]))
    bounds = score_range(batch.checks, rules_of(state, version).data.label.task)
    values = array("d")
    sent, came = path.parent / "sent.csv", path.parent / "came.csv"
    with path.open("w", encoding="utf-8") as out:
        out.write(SCORES_HEAD)
        for number in range(int(record["parts"])):
            name = f"part-{number:04d}.csv"
            _fetch(f"{work}/input/{name}", sent, objects)
            try:
                _fetch(f"{work}/output/{name}.out", came, objects)
            except EvidenceIncompleteError:
                raise refused(f"{name}.out", None, "what the job left of this part") from None
            with _lines(sent) as rows, _lines(came) as answered:
                ids = (cells[0] for cells in csv.reader(rows))
                ends = (line.rstrip("\r\n") for line in answered)
                for entity, value in check_scores(ids, ends, bounds, len(values) + 1):
                    out.write(score_line(entity, value))
                    values.append(value)
    return values


def _fetch(uri: str, path: Path, objects: ObjectStore) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    objects.download(bucket, key, str(path))


def _lines(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace", newline="\n")


def _drift(
    scores: array[float], record: Item, most: float | None, state: StateStore,
    objects: ObjectStore,
) -> float | None:  # fmt: skip
    if most is None:
        return None
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
    counts = count_numbers(np.array(scores), column.cells)
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

"""Use case: build the content-addressed dataset of a run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from steward.contracts.events import DatasetBuilt
from steward.contracts.steps.data import BuildDataset, BuiltDataset
from steward.domain.datasets import (
    PartFile,
    add_delivery,
    assign_parts,
    job_description,
    training_rows,
    write_part,
)
from steward.domain.digests import digest_of
from steward.domain.errors import DatasetRejectedError
from steward.domain.examples import recorded_examples
from steward.domain.project import Project
from steward.domain.runs import DeliveryStatus
from steward.domain.workspace import Limits, engine_version, workspace
from steward.ports import Clock, Ids, Item, ObjectStore, StateStore
from steward.service.data.deliveries import deliveries_of, fetch_accepted
from steward.service.emission import Cause, event
from steward.service.pinned import pinned_run

DATASET_ID_DIGITS = 16


def build_dataset(
    command: BuildDataset,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
    limits: Limits,
    data_bucket: str,
) -> BuiltDataset:
    """Merge the accepted deliveries, split them by entity and write the parts.

    Of an entity that several rows concern the latest wins: by order of receipt of the delivery,
    and within one the later row. Rows of the traffic part are counted and written nowhere.
    Everything below ``datasets/<project>/<dataset id>/`` follows from the manifest alone, so the
    same deliveries and declaration give the same bytes in the same place; ``job.json``, which
    names the run, lies below ``runs/<run id>/`` there.

    Raises:
        DatasetRejectedError: A delivery was not accepted.
        DatasetTooSmallError: The train or the held-out part lacks rows of a label.
    """
    run = pinned_run(state, command.project, command.run_id)
    project = run.project
    deliveries = deliveries_of(state, command.project, command.deliveries)
    for delivery in deliveries:
        if delivery["status"] != DeliveryStatus.ACCEPTED:
            raise DatasetRejectedError(
                f"delivery {delivery['delivery_id']} is {delivery['status']}",
                field="deliveries", value=delivery["delivery_id"], allowed="accepted deliveries",
            )  # fmt: skip
    parts: dict[str, PartFile] = {}
    with workspace(limits) as connection:
        for order, delivery in enumerate(deliveries):
            local = limits.folder / "delivery.csv"
            fetch_accepted(objects, delivery, local)
            add_delivery(connection, local, project.data, order)
            local.unlink()
        counts = assign_parts(connection, project.data, project.split)
        for part in ("train", "heldout"):
            path = limits.folder / f"{part}.csv"
            parts[part] = write_part(connection, project.data, part, path)
        rows = training_rows(connection, project.data, project.serving.smoke.examples)
    examples = _json(recorded_examples(project.data.features, rows))
    manifest = _manifest(project, deliveries, counts, parts, hashlib.sha256(examples).hexdigest())
    dataset_id = digest_of(manifest)[:DATASET_ID_DIGITS]
    base = f"s3://{data_bucket}/datasets/{command.project}/{dataset_id}"
    built = BuiltDataset(
        dataset_id=dataset_id,
        manifest_uri=f"{base}/manifest.json",
        train_uri=f"{base}/train/train.csv",
        heldout_uri=f"{base}/heldout/heldout.csv",
        config_uri=f"{base}/runs/{command.run_id}/",
        examples_uri=f"{base}/examples.json",
        train_rows=parts["train"].rows,
        heldout_rows=parts["heldout"].rows,
    )
    for part, uri in (("train", built.train_uri), ("heldout", built.heldout_uri)):
        objects.upload(str(parts[part].path), uri, "text/csv")
        parts[part].path.unlink()
    objects.write(built.examples_uri, examples)
    objects.write(f"{built.config_uri}job.json", _json(job_description(project, command.run_id)))
    objects.write(built.manifest_uri, _json({"dataset_id": dataset_id, **manifest}))
    payload = DatasetBuilt(
        dataset_id=dataset_id, manifest_uri=built.manifest_uri,
        deliveries=[delivery["delivery_id"] for delivery in deliveries],
        train_rows=built.train_rows, heldout_rows=built.heldout_rows, run_id=command.run_id,
    )  # fmt: skip
    cause = Cause(command.project, command.correlation_id, command.run_id)
    state.commit([], [event(payload, cause, clock, ids)])
    return built


def _manifest(
    project: Project,
    deliveries: list[Item],
    counts: dict[str, int],
    parts: dict[str, PartFile],
    examples_sha256: str,
) -> dict[str, Any]:
    return {
        "schema_version": "1",
        "project": project.project,
        "sources": [
            {
                "bucket": delivery["bucket"], "key": delivery["key"],
                "version_id": delivery.get("version_id"), "sha256": delivery["delivery_id"],
                "rows": delivery["rows"],
            }
            for delivery in deliveries
        ],
        "order": "sources in order of receipt; the latest row of an entity wins",
        "data": project.data.model_dump(mode="json"),
        "split": {**project.split.model_dump(mode="json"), "hash": "sha256(salt:entity), 53 bits"},
        "seed": project.evaluation.seed,
        "counts": counts,
        "parts": {
            name: {
                "rows": part.rows, "positives": part.positives, "sha256": part.sha256,
                "logical_digest": part.logical_digest,
            }
            for name, part in parts.items()
        },
        "examples_sha256": examples_sha256,
        "engine": {"duckdb": engine_version()},
    }  # fmt: skip


def _json(document: object) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True).encode()

"""Use case: build the content-addressed dataset of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steward.contracts.events import NAMED_DELIVERIES, DatasetBuilt
from steward.contracts.steps.data import BuildDataset, BuiltDataset, MadeJoin, PlannedJoin
from steward.domain.dataset_build import Prepared, json_bytes, prepare
from steward.domain.dataset_features import view_relation
from steward.domain.datasets import add_delivery, job_description
from steward.domain.errors import DatasetRejectedError
from steward.domain.manifests import JoinedView, config_digest, dataset_key, source_of
from steward.domain.project import Project
from steward.domain.runs import DeliveryStatus
from steward.domain.steps import KeptStep
from steward.domain.workspace import Connection, Limits, lock, workspace
from steward.ports import Clock, Ids, Item, ObjectStore, StateStore
from steward.service.data.dataset_join import fetch_joined, plan_join, planned_views
from steward.service.data.deliveries import deliveries_of, fetch_accepted
from steward.service.data.feature_files import (
    fetch_features,
    joined_views,
    views_of,
)
from steward.service.delivery_lists import read_list
from steward.service.emission import Cause, event
from steward.service.pinned import pinned_run
from steward.service.step_cache import StepCache


def build_dataset(
    command: BuildDataset,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
    limits: Limits,
    data_bucket: str,
) -> BuiltDataset | PlannedJoin:
    """Merge the accepted deliveries, join the features as they were known, split and write.

    The knowledge cutoff is the newest receipt of all deliveries that are used. Rows of the
    traffic part are counted and written nowhere. Everything below
    ``datasets/<project>/<dataset id>/`` follows from the manifest alone, so the same deliveries
    and declaration give the same bytes in the same place; ``job.json``, which names the run,
    lies below ``runs/<run id>/`` there.

    Where the project's ``dataset.engine`` takes Athena, nothing is built yet: the answer is a
    :class:`PlannedJoin`, and the command with ``join`` then builds the dataset of what Athena
    wrote. It holds the same rows and bytes as the one that DuckDB joins.

    A dataset that an earlier run built of the same inputs is taken as it is, if all its files are
    still there with their bytes; only ``job.json`` is written anew.

    Raises:
        DatasetRejectedError: A delivery was not accepted.
        DatasetTooSmallError: The train or the held-out part lacks rows of a label.
        FeaturesPendingError: Features of an accepted delivery are not materialised yet.
    """
    run = pinned_run(state, command.project, command.run_id)
    project = run.project
    deliveries = deliveries_of(state, command.project, read_list(objects, command.deliveries))
    for delivery in deliveries:
        if delivery["status"] != DeliveryStatus.ACCEPTED:
            raise DatasetRejectedError(
                f"delivery {delivery['delivery_id']} is {delivery['status']}",
                field="deliveries", value=delivery["delivery_id"], allowed="accepted deliveries",
            )  # fmt: skip
    sources = [source_of(delivery) for delivery in deliveries]
    cache = StepCache(
        run.item, command.correlation_id, state=state, objects=objects, clock=clock, ids=ids
    )
    began = clock.now()
    if command.join is None:
        views = joined_views(state, objects, run, deliveries, data_bucket)
        found = cache.recall("dataset", dataset_key(project, sources, views))
        if isinstance(found, KeptStep):
            built = _again(found, project, command.run_id, objects)
            _tell(built, found.result["told"], command, state, clock, ids)
            return built
        rows = [sum(file.rows for file in view.files) for view in views]
        if project.dataset.takes_athena(rows):
            with _merged(project, deliveries, objects, limits) as connection:
                return plan_join(
                    connection, project, sources, views,
                    objects=objects, ids=ids, limits=limits, data_bucket=data_bucket,
                )  # fmt: skip
    else:
        views = planned_views(objects, command.join, views_of(state, run))
    prepared = _prepare(project, deliveries, views, command.join, objects, limits)
    built, outputs = _write(prepared, project, command, objects, data_bucket)
    told = _facts(deliveries, prepared.manifest)
    cache.keep(
        KeptStep(
            "dataset", dataset_key(project, sources, views), command.run_id,
            [cache.output(uri, digest) for uri, digest in outputs.items()],
            {"built": built.model_dump(mode="json"), "told": told},
            (clock.now() - began).total_seconds(),
        )
    )  # fmt: skip
    _tell(built, told, command, state, clock, ids)
    return built


def _write(
    prepared: Prepared, project: Project, command: BuildDataset, objects: ObjectStore, bucket: str
) -> tuple[BuiltDataset, dict[str, str]]:
    """Store the dataset; return where it lies, and the digest of each of its objects."""
    base = f"s3://{bucket}/datasets/{command.project}/{prepared.dataset_id}"
    described = job_description(project, command.run_id)
    built = BuiltDataset(
        dataset_id=prepared.dataset_id,
        manifest_uri=f"{base}/manifest.json",
        train_uri=f"{base}/train/train.csv",
        heldout_uri=f"{base}/heldout/heldout.csv",
        config_uri=f"{base}/runs/{command.run_id}/",
        config_digest=config_digest(described),
        examples_uri=f"{base}/examples.json",
        train_rows=prepared.parts["train"].rows,
        heldout_rows=prepared.parts["heldout"].rows,
    )
    outputs = {}
    for part, uri in (("train", built.train_uri), ("heldout", built.heldout_uri)):
        written = prepared.parts[part]
        parquet = f"{base}/parquet/{part}.parquet"
        outputs[parquet] = objects.upload(str(written.path), parquet)
        outputs[uri] = objects.upload(str(written.csv_path), uri, "text/csv")
        written.path.unlink()
        written.csv_path.unlink()
    outputs[built.examples_uri] = objects.write(built.examples_uri, prepared.examples)
    objects.write(f"{built.config_uri}job.json", json_bytes(described))
    manifest = json_bytes({"dataset_id": prepared.dataset_id, **prepared.manifest})
    outputs[built.manifest_uri] = objects.write(built.manifest_uri, manifest)
    return built, outputs


def _again(found: KeptStep, project: Project, run_id: str, objects: ObjectStore) -> BuiltDataset:
    """Return a kept dataset as this run's, with a ``job.json`` of its own."""
    known = BuiltDataset.model_validate(found.result["built"])
    described = job_description(project, run_id)
    config_uri = f"{known.manifest_uri.rpartition('/')[0]}/runs/{run_id}/"
    objects.write(f"{config_uri}job.json", json_bytes(described))
    own = {"config_uri": config_uri, "config_digest": config_digest(described)}
    reused_from = None if found.run_id == run_id else found.run_id
    return known.model_copy(update={**own, "reused_from": reused_from})


def _facts(deliveries: list[Item], manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what the event tells beside where the dataset lies."""
    return {
        "deliveries": [delivery["delivery_id"] for delivery in deliveries[:NAMED_DELIVERIES]],
        "more_deliveries": max(0, len(deliveries) - NAMED_DELIVERIES),
        "features": [feature["view"] for feature in manifest["features"]],
        "cutoff": manifest["cutoff"],
        "labels_unknown": manifest["counts"]["labels_unknown"],
        "rows_with_later_knowledge": manifest["knowledge"]["rows_with_later_knowledge"] or 0,
    }


def _tell(
    built: BuiltDataset, told: dict[str, Any], command: BuildDataset, state: StateStore,
    clock: Clock, ids: Ids,
) -> None:  # fmt: skip
    payload = DatasetBuilt(
        dataset_id=built.dataset_id, manifest_uri=built.manifest_uri,
        train_rows=built.train_rows, heldout_rows=built.heldout_rows, run_id=command.run_id,
        reused_from=built.reused_from, **told,
    )  # fmt: skip
    cause = Cause(command.project, command.correlation_id, command.run_id)
    state.commit([], [event(payload, cause, clock, ids)])


def _prepare(
    project: Project,
    deliveries: list[Item],
    views: list[JoinedView],
    join: MadeJoin | None,
    objects: ObjectStore,
    limits: Limits,
) -> Prepared:
    """Build in a workspace of its own; the parts stay below the limits' folder."""
    sources = [source_of(delivery) for delivery in deliveries]
    with _merged(project, deliveries, objects, limits) as connection:
        relations, joined = [], None
        if join is None:
            relations = [
                _relation(connection, view, number, objects, limits.folder)
                for number, view in enumerate(views)
            ]
        else:
            joined = fetch_joined(objects, join, limits)
        lock(connection, limits)
        return prepare(
            connection, project, sources, views, relations, limits.folder, joined=joined
        )  # fmt: skip


@contextmanager
def _merged(
    project: Project, deliveries: list[Item], objects: ObjectStore, limits: Limits
) -> Iterator[Connection]:
    """Open a workspace that has all deliveries."""
    with workspace(limits) as connection:
        for order, delivery in enumerate(deliveries):
            local = limits.folder / "delivery"
            fetch_accepted(objects, delivery, local)
            add_delivery(connection, local, project.data, order)
            local.unlink()
        yield connection


def _relation(
    connection: Connection,
    joined: JoinedView,
    number: int,
    objects: ObjectStore,
    folder: Path,
) -> tuple[str, str]:
    paths = fetch_features(objects, list(joined.files), folder / "features" / str(number))
    return view_relation(connection, joined.view, paths, number)

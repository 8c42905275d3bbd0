"""Use case: check the pending deliveries of a run; accept each, or put it into quarantine."""

from __future__ import annotations

from steward.contracts.steps.data import ValidatedDeliveries, ValidateDeliveries
from steward.domain.errors import DatasetRejectedError, DatasetTooSmallError, NothingToTrainOnError
from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus
from steward.ports import Item
from steward.service.data.deliveries import deliveries_of
from steward.service.data.judging import Bench, Judgement, event_times_of, judge_delivery
from steward.service.delivery_lists import read_list, write_list
from steward.service.emission import Cause
from steward.service.pinned import pinned_run

_NAMED = 10
"""Deliveries that a message names."""


def validate_deliveries(command: ValidateDeliveries, bench: Bench) -> ValidatedDeliveries:
    """Judge each delivery by itself; what was judged before keeps its verdict.

    Raises:
        DatasetRejectedError: No new delivery was accepted and the run has no other reason to
            train, or nothing at all was accepted; of what was rejected the owner is told here.
        NothingToTrainOnError: The same, but what is not accepted was rejected or deleted before.
        DatasetTooSmallError: The accepted deliveries together have fewer rows than
            ``data.minimum_rows``; they stay accepted and count for the next run.
    """
    run = pinned_run(bench.state, command.project, command.run_id)
    judgement = Judgement(
        command.project, PRIMARY, run.project.data, command.run_id, run.item["config_digest"],
        str(run.item.get("training_digest") or run.item["config_digest"]),
        Cause(command.project, command.correlation_id, command.run_id),
        event_times_of(run.project, PRIMARY),
    )  # fmt: skip
    accepted: list[Item] = []
    rejected: list[str] = []
    judged_now = told_here = 0
    ids = read_list(bench.objects, command.deliveries)
    for known in deliveries_of(bench.state, command.project, ids):
        delivery = known
        if known["status"] == DeliveryStatus.RECEIVED:
            delivery = judge_delivery(known, judgement, bench)
        if delivery["status"] == DeliveryStatus.ACCEPTED:
            accepted.append(delivery)
            judged_now += delivery.get("judged_by") == command.run_id
        else:
            rejected.append(delivery["delivery_id"])
            told_here += (
                delivery["status"] == DeliveryStatus.REJECTED
                and delivery.get("judged_by") == command.run_id
            )
    fresh = judged_now > 0 or command.trains_without_new_data or not rejected
    if not accepted or not fresh:
        if not told_here:
            raise NothingToTrainOnError(
                f"nothing new to train on: {len(rejected)} deliveries were rejected or deleted"
                " before", field="deliveries", value=_named(rejected),
                allowed="a delivery that keeps the rules of project.yaml",
            )  # fmt: skip
        raise DatasetRejectedError(
            f"nothing new to train on: {len(rejected)} deliveries broke a rule",
            field="deliveries", value=_named(rejected),
            allowed="files that keep the rules of project.yaml; see their report.json",
        )  # fmt: skip
    rows = sum(int(delivery["rows"]) for delivery in accepted)
    if rows < run.project.data.minimum_rows:
        raise DatasetTooSmallError(
            f"{len(accepted)} accepted deliveries have {rows} rows together",
            field="data.minimum_rows", value=rows,
            allowed=f"at least {run.project.data.minimum_rows}",
        )  # fmt: skip
    kept = [delivery["delivery_id"] for delivery in accepted]
    listed = write_list(bench.objects, bench.artifacts_bucket, command.project, kept)
    return ValidatedDeliveries(accepted=listed, rejected=len(rejected))


def _named(rejected: list[str]) -> str:
    """Return the first of the rejected deliveries and how many more there are."""
    more = len(rejected) - _NAMED
    return ", ".join(rejected[:_NAMED]) + (f" and {more} more" if more > 0 else "")

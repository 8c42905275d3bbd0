"""What a delivery is compared with: the last accepted one, and what the model was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.names import PRIMARY
from steward.domain.profiles import TableProfile, merge
from steward.domain.runs import DeliveryStatus, RunStatus
from steward.domain.validation import Reference
from steward.ports import Item, ObjectStore, StateStore, Table

MOST = 100
"""Deliveries that a training baseline is made of at most, the newest ones."""
_WORDS = {
    "last_accepted": "the last accepted delivery",
    "training_baseline": "the training baseline",
}


@dataclass(frozen=True)
class References:
    """Profiles to compare a delivery with.

    Attributes:
        bins_of: The last accepted delivery's, which passes the bins on: all profiles of a table
            merge as long as its columns keep their types.
    """

    compared: tuple[Reference, ...] = ()
    bins_of: TableProfile | None = None

    @property
    def named(self) -> list[tuple[str, TableProfile]]:
        """Profiles by the words for them."""
        return [(_WORDS[found.against], found.profile) for found in self.compared]


def references_of(
    state: StateStore, objects: ObjectStore, project: str, source: str, delivery: Item
) -> References:
    """Return what was accepted before a delivery of the same table.

    The training baseline merges what had been received when the newest run began that came of a
    delivery and registered a version. Before there is one, or where it is the last accepted
    delivery alone, there is no comparison with it.
    """
    items = state.query(Table.DELIVERIES, project)
    accepted = sorted(
        (
            item
            for item in items
            if item.get("table", PRIMARY) == source
            and item["status"] == DeliveryStatus.ACCEPTED
            and item["delivery_id"] != delivery["delivery_id"]
            and item["received_at"] <= delivery["received_at"]
        ),
        key=lambda item: (item["received_at"], item["delivery_id"]),
    )
    last = _profile(objects, accepted[-1]) if accepted else None
    if last is None:
        return References()
    compared = [Reference("last_accepted", [accepted[-1]["delivery_id"]], last)]
    began = _trained(state, project, items)
    baseline = [item for item in accepted if began and item["received_at"] <= began][-MOST:]
    if [item["delivery_id"] for item in baseline] != compared[0].deliveries:
        found = [(item["delivery_id"], _profile(objects, item)) for item in baseline]
        known = {name: profile for name, profile in found if profile is not None}
        if known:
            merged = reduce(merge, known.values())
            compared.append(Reference("training_baseline", list(known), merged))
    return References(tuple(compared), last)


def _trained(state: StateStore, project: str, items: Sequence[Item]) -> str | None:
    """Return when the newest successful run began among those that judged a delivery."""
    primary = [item for item in items if item.get("table", PRIMARY) == PRIMARY]
    runs = {item["judged_by"]: item["judged_at"] for item in primary if "judged_at" in item}
    for run_id in sorted(runs, key=lambda run: runs[run], reverse=True)[:MOST]:
        run = state.get(Table.RUNS, {"project": project, "run_id": run_id})
        if run is not None and run.get("status") == RunStatus.SUCCEEDED:
            return str(run["started_at"])
    return None


def _profile(objects: ObjectStore, item: Item) -> TableProfile | None:
    """Return the profile in an accepted delivery's report; None where there is none any more."""
    try:
        document = json.loads(objects.read(item["report_uri"]))
        return TableProfile.model_validate(document["profile"])
    except (EvidenceIncompleteError, KeyError, ValueError):
        return None

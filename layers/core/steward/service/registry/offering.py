"""An approved version to the next environment: laid ready, offered, and its answer kept.

Nothing is sent but an event. The next environment fetches the files with a right to this one
folder, and its answer comes back as an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.events import (
    OfferAnswered,
    PromotionRefused,
    VersionExported,
    VersionOffered,
)
from steward.domain.errors import NotAuthorizedError, RejectedError
from steward.domain.offers import (
    TERMS,
    Neighbour,
    Terms,
    choose,
    export_folder,
    offer_id,
    terms_of,
)
from steward.domain.version_archive import MANIFEST, MAX_MODEL_BYTES, MODEL
from steward.ports import (
    Absent,
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event
from steward.service.registry.exporting import Exporter, describe_export
from steward.service.registry.records import ballot_of, need_version

if TYPE_CHECKING:
    from steward.contracts.incoming import Received
    from steward.contracts.registry import OfferVersion

OFFERED, RECEIVED, REFUSED = "offered", "received", "refused"
_SHOWN = (
    "project", "version", "environment", "account", "bus_arn", "attempt", "status", "offer_id",
    "export_digest", "artifact", "became", "error", "field", "message",
)  # fmt: skip


@dataclass(frozen=True)
class OfferPorts:
    """What an offer needs from outside.

    Attributes:
        exporter: This environment.
        goals: The next ones, none where versions go nowhere from here.
        exports_bucket: Where exports are laid ready.
    """

    state: StateStore
    objects: ObjectStore
    clock: Clock
    ids: Ids
    exporter: Exporter
    goals: tuple[Neighbour, ...]
    exports_bucket: str


def offer_version(
    request: OfferVersion, *, actor: str, request_id: str, ports: OfferPorts
) -> dict[str, Any]:
    """Lay an approved version ready and offer it; return how the offer stands.

    Asking again offers the same again, so that a lost event or answer is mended; what was
    received stays so, and what was refused becomes a new attempt. ``afresh`` makes a new attempt
    of what was received too, as for an environment that was made anew: where the version is still
    there, it stays one version.

    Raises:
        RejectedError: Versions go nowhere from here, or the version was never approved.
        EvidenceIncompleteError: A file changed since the evidence was frozen.
        ConflictError: Somebody else asks for the same at this moment.
    """
    goal = choose(ports.goals, request.environment, request.at)
    item = need_version(ports.state, request.project, request.version)
    ballot = ballot_of(item)
    if not ballot.was_carried:
        raise RejectedError(
            f"{ballot.name} is {ballot.state}: only an approved version is promoted",
            field="state", value=ballot.state.value,
            allowed="a version that enough people approved",
        )  # fmt: skip
    known = ports.state.get(
        Table.VERSIONS, _key(request.project, request.version, goal, request.environment)
    )
    if known and known["status"] == RECEIVED and not request.afresh:
        return view(known)
    ended = {REFUSED, RECEIVED} if request.afresh else {REFUSED}
    attempt = int(known["attempt"]) + (known["status"] in ended) if known else 1
    offered, artifact = _lay_ready(item, terms_of(ballot.approvers, item["policy"]),
                                   request.environment, goal, attempt, ports)  # fmt: skip
    kept = {
        **_key(request.project, request.version, goal, request.environment),
        "version": request.version, "environment": request.environment,
        "account": goal.account, "bus_arn": goal.bus_arn, "attempt": attempt,
        "status": OFFERED, "offer_id": offered.offer_id, "export_digest": offered.export_digest,
        "artifact": artifact, "approvers": ballot.approvers, "by": actor,
        "at": ports.clock.now().isoformat(timespec="milliseconds"),
        "correlation_id": str(item["correlation_id"]),
    }  # fmt: skip
    cause = Cause(request.project, str(item["correlation_id"]), request_id, actor)
    unchanged: tuple[Condition, ...] = (Absent(),)
    if known is not None:
        unchanged = (Equals("attempt", known["attempt"]), Equals("status", known["status"]))
    told = event(offered, cause, ports.clock, ports.ids)
    ports.state.commit([Put(Table.VERSIONS, kept, unchanged)], [told])
    return view(kept)


def _lay_ready(
    item: Item, terms: Terms, environment: str, goal: Neighbour, attempt: int, ports: OfferPorts
) -> tuple[VersionOffered, str]:
    """Put the export where the next environment may read it; return its offer and artifact."""
    manifest, uris = describe_export(item, ports.objects, ports.exporter)
    project = manifest.source.project
    model = next(member for member in manifest.members if member.name == MODEL)
    if model.size > MAX_MODEL_BYTES:
        raise RejectedError(
            f"{MODEL} has {model.size} bytes", field=MODEL, value=model.size,
            allowed=f"at most {MAX_MODEL_BYTES} bytes",
        )  # fmt: skip
    folder = export_folder(ports.exports_bucket, goal.account, project, manifest.digest)
    for member in manifest.members:
        ports.objects.copy(uris[member.name], f"{folder}/{member.name}")
    ports.objects.write(f"{folder}/{MANIFEST}", manifest.content())
    terms_digest = ports.objects.write(f"{folder}/{TERMS}", terms.content())
    offered = VersionOffered(
        version=manifest.source.version, environment=environment, bus_arn=goal.bus_arn,
        export_uri=folder,
        offer_id=offer_id(goal.bus_arn, environment, project, manifest.digest, attempt),
        export_digest=manifest.digest, terms_digest=terms_digest,
        model_package_arn=str(item["model_package_arn"]),
    )  # fmt: skip
    return offered, model.sha256


def record_answer(
    received: Received, *, goals: tuple[Neighbour, ...], state: StateStore, clock: Clock, ids: Ids
) -> dict[str, Any]:
    """Keep once what the next environment answered, and tell it here.

    An answer to an attempt that is over, and an answer that came before, change nothing.

    Raises:
        NotAuthorizedError: It comes from another account than the next environment's.
        RejectedError: Nothing of the kind was offered.
    """
    answer, project = received.detail, received.own.project
    assert isinstance(answer, OfferAnswered)
    if received.account not in [goal.account for goal in goals]:
        raise NotAuthorizedError(
            f"account {received.account} answers for none of our neighbours", field="account",
            value=received.account, allowed=", ".join(goal.account for goal in goals) or "none",
        )  # fmt: skip
    known = _offered_to(received.account, project, answer, goals, state)
    if known is None:
        raise RejectedError(
            f"{project} {answer.version} was never offered to {answer.environment}",
            field="offer_id", value=answer.offer_id,
        )  # fmt: skip
    if known["offer_id"] != answer.offer_id or known["status"] != OFFERED:
        return {"recorded": False, **view(known)}
    cause = Cause(project, str(known["correlation_id"]), received.id)
    told, found = _outcome(known, answer)
    found["answered_at"] = clock.now().isoformat(timespec="milliseconds")
    change = Update(
        Table.VERSIONS, {name: known[name] for name in ("project", "item")}, set=found,
        expect=(Equals("offer_id", answer.offer_id), Equals("status", OFFERED)),
    )  # fmt: skip
    state.commit([change], [event(told, cause, clock, ids)])
    return {"recorded": True, **view({**known, **found})}


def _outcome(
    known: Item, answer: OfferAnswered
) -> tuple[VersionExported | PromotionRefused, dict[str, Any]]:
    where = {"environment": str(known["environment"]), "account": str(known["account"])}
    if answer.became is not None:
        exported = VersionExported(
            version=answer.version, became=answer.became, **where,
            export_digest=str(known["export_digest"]), approvers=list(known["approvers"]),
        )  # fmt: skip
        return exported, {"status": RECEIVED, "became": answer.became}
    error = answer.error or "RejectedError"
    refused = PromotionRefused(
        version=answer.version, by=str(known["by"]), error=error, field=answer.field,
        message=answer.message, **where,
    )  # fmt: skip
    found = {"error": error, "field": answer.field, "message": answer.message}
    return refused, {"status": REFUSED, **found}


def _offered_to(
    account: str, project: str, answer: OfferAnswered, goals: tuple[Neighbour, ...],
    state: StateStore,
) -> Item | None:  # fmt: skip
    """Return what an account was offered: the offer that it answers, or what is there instead."""
    there = [goal for goal in goals if goal.account == account]
    keys = [_key(project, answer.version, goal, answer.environment) for goal in there]
    found = [item for key in keys if (item := state.get(Table.VERSIONS, key)) is not None]
    same = [item for item in found if item["offer_id"] == answer.offer_id]
    return next(iter(same or found), None)


def _key(project: str, version: int, goal: Neighbour, environment: str) -> dict[str, str]:
    """Return the key of an offer's record."""
    item = f"offer#{version:08d}#{goal.bus_arn}#{environment}"
    return {"project": project, "item": item}


def view(kept: Item) -> dict[str, Any]:
    """Return what a person is shown of an offer's record."""
    return {name: kept[name] for name in _SHOWN if kept.get(name) is not None}

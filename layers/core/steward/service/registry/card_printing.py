"""The card of a version as PDF: one job for one content, however often it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.domain.digests import digest_of
from steward.domain.errors import ConflictError, EvidenceIncompleteError, RejectedError
from steward.domain.names import card_name, sagemaker_name
from steward.ports import (
    CardPrinter,
    JobImage,
    ModelCards,
    ObjectStore,
    Printing,
    PrintRequest,
    StateStore,
)
from steward.service.registry.cards import frozen_card
from steward.service.registry.records import need_version

if TYPE_CHECKING:
    from steward.contracts.approval import PrintCard
    from steward.domain.cards.card import Card

ATTEMPTS = 5
"""Jobs of one content: the name of one that failed is used up for good."""


@dataclass(frozen=True)
class Press:
    """Where cards are, who prints, and where the PDF goes."""

    state: StateStore
    objects: ObjectStore
    cards: ModelCards
    printer: CardPrinter
    image: JobImage
    bucket: str
    environment: str


@dataclass(frozen=True)
class _Sheet:
    """What is to be printed: the card as it stands, and the digest of all that decides the PDF."""

    card: Card
    status: str
    key: str
    run_id: str


def print_card(command: PrintCard, press: Press, *, start: bool) -> dict[str, Any]:
    """Return how far the PDF of a version's card is, and start it where none is under way.

    Args:
        command: Which card, and who makes the PDF.
        press: Where everything is.
        start: Whether to start a job; else what became of the last one is told.

    Raises:
        ConflictError: SageMaker's card is behind its version; it follows within a minute.
        EvidenceIncompleteError: The version has no card yet, or its card changed.
        RejectedError: Five jobs failed; or nothing was started and ``start`` is off.
        VersionNotFoundError: There is no such version.
    """
    sheet = _sheet(command, press)
    number, made = _latest(command, sheet, press)
    if start and (made is None or made.status == "Failed"):
        number += 1
        made = _start(command, sheet, _attempt(command, sheet, press, number), press)
    if made is None:
        raise RejectedError(
            f"no PDF of the card of {command.project} {command.version} was asked for",
            field="version", value=command.version, allowed="POST starts one",
        )  # fmt: skip
    return _told(command, sheet, made, _attempt(command, sheet, press, number), press)


def _start(command: PrintCard, sheet: _Sheet, request: PrintRequest, press: Press) -> Printing:
    if command.by == "job_image":
        press.objects.write(f"{request.source_uri}/card.json", sheet.card.content())
    press.printer.start(request)
    return press.printer.find(request) or Printing("InProgress")


def _sheet(command: PrintCard, press: Press) -> _Sheet:
    from steward.domain.cards.standing import STATUS, standing

    item = need_version(press.state, command.project, command.version)
    frozen = frozen_card(item, press.objects)
    if frozen is None:
        raise EvidenceIncompleteError(
            f"{command.project} {command.version} is {item['state']} and has no card",
            field="version", value=command.version,
            allowed="a version whose evidence is frozen, after staging",
        )  # fmt: skip
    card, status = standing(frozen, item), STATUS[str(item["state"])]
    decides: dict[str, object] = {"card": card.digest, "status": status, "by": command.by}
    if command.by == "sagemaker":
        decides["content"] = _published(card, status, press)
    else:
        decides["image"] = press.image.uri()
    return _Sheet(card, status, digest_of(decides), str(item["run_id"]))


def _published(card: Card, status: str, press: Press) -> str:
    """Return the digest of what SageMaker would print, if that is this card.

    An archived card takes no content any more and is printed as it is.
    """
    from steward.domain.cards.projections import encode

    name = card_name(press.environment, card.project, card.version)
    stored = press.cards.find(name)
    wanted = encode(card, "card")
    if (
        stored is None
        or stored.status != status
        or (stored.content != wanted and status != "Archived")
    ):
        raise ConflictError(f"SageMaker's card {name} is behind its version; ask again in a minute")
    return digest_of([stored.content, stored.version])


def _latest(command: PrintCard, sheet: _Sheet, press: Press) -> tuple[int, Printing | None]:
    """Return number and end of the last job of this content; -1 where there is none."""
    last: tuple[int, Printing | None] = (-1, None)
    for number in range(ATTEMPTS):
        found = press.printer.find(_attempt(command, sheet, press, number))
        if found is None:
            break
        last = (number, _still_there(found, press))
        if last[1] is not None and last[1].status != "Failed":
            break
    return last


def _still_there(made: Printing, press: Press) -> Printing:
    """Return a finished job as failed where its PDF is gone: it must be made again."""
    if made.status != "Completed":
        return made
    bucket, _, key = made.uri.removeprefix("s3://").partition("/")
    if press.objects.describe(bucket, key) is not None:
        return made
    return Printing("Failed", reason=f"{made.uri} is gone")


def _attempt(command: PrintCard, sheet: _Sheet, press: Press, number: int) -> PrintRequest:
    if number >= ATTEMPTS:
        raise RejectedError(
            f"the PDF of {command.project} {command.version} failed {ATTEMPTS} times",
            field="version", value=command.version,
            allowed="a card that can be printed: read the log of the last job",
        )  # fmt: skip
    base = f"s3://{press.bucket}/cards/{command.project}/{command.version}/{sheet.key[:24]}"
    return PrintRequest(
        name=sagemaker_name(
            press.environment, command.project, sheet.run_id, "card", sheet.key[:8], number
        ),
        card_name=card_name(press.environment, command.project, command.version),
        status=sheet.status,
        source_uri=f"{base}/in",
        target_uri=f"{base}/out",
        tags={"steward:project": command.project, "steward:run": sheet.run_id},
    )


def _told(
    command: PrintCard, sheet: _Sheet, made: Printing, request: PrintRequest, press: Press
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "project": command.project, "version": command.version, "by": command.by,
        "job": request.name, "status": made.status, "card_digest": sheet.card.digest,
    }  # fmt: skip
    if made.status == "Completed":
        bucket, _, key = made.uri.removeprefix("s3://").partition("/")
        told |= {"uri": made.uri, "sha256": press.objects.sha256(bucket, key)}
    if made.reason:
        told["reason"] = made.reason
    return told

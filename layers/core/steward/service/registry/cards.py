"""The card of a version: made where its evidence is frozen, and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steward.domain.errors import EvidenceIncompleteError
from steward.ports import Item, ObjectStore

if TYPE_CHECKING:
    from steward.contracts.events import VersionStaged
    from steward.domain.cards.assembling import Document
    from steward.domain.cards.card import Card
    from steward.domain.evidence import Reference
    from steward.domain.project import Project

_NAMED = ("baseline", "bias", "explanation")


def card_of(
    item: Item, project: Project, objects: ObjectStore, staged: VersionStaged | None = None
) -> Card:
    """Return a version's card as its evidence shows it now.

    Args:
        item: The version's record.
        project: Its configuration as the run pinned it.
        objects: Where the evidence lies.
        staged: What staging said; without it those statements are unproven.

    Raises:
        CardInvalidError: The evidence holds what no card may state.
        EvidenceIncompleteError: A part is missing or no JSON object.
    """
    from steward.domain.cards.assembling import Known, assemble  # large: paid when a card is made

    wanted = {
        "artifact": item["artifact_uri"],
        "manifest": item["manifest_uri"],
        "evaluation": item["evaluation_uri"],
        "comparison": item.get("comparison_uri"),
        "smoke": staged.smoke_uri if staged else None,
        **{name: (item.get(name) or {}).get("uri") for name in _NAMED},
    }
    documents = {
        name: _document(objects, name, str(uri), read=name not in ("artifact", "baseline", "smoke"))
        for name, uri in wanted.items()
        if uri
    }
    return assemble(Known(item, project, documents, staged.summary if staged else {}))


def write_card(card: Card, objects: ObjectStore, bucket: str) -> Reference:
    """Write ``card.json`` and ``card.html`` beside the evidence; return the card's reference."""
    from steward.domain.cards.card import card_uri
    from steward.domain.cards.page import page
    from steward.domain.cards.projections import encode
    from steward.domain.evidence import Reference

    encode(card, "package"), encode(card, "card")  # refused here rather than after an approval
    uri = card_uri(bucket, card.project, card.version)
    digest = objects.write(uri, card.content())
    objects.write(card_uri(bucket, card.project, card.version, "html"), page(card).encode())
    return Reference(uri=uri, sha256=digest)


def frozen_card(item: Item, objects: ObjectStore) -> Card | None:
    """Return the card that a version's evidence names, None where it has none.

    Raises:
        EvidenceIncompleteError: It changed since.
    """
    from steward.domain.cards.card import read_card

    named = item.get("card")
    if not named:
        return None
    card = read_card(_content(objects, "card", str(named["uri"])))
    if card.digest != named["sha256"]:
        raise EvidenceIncompleteError(
            "the card changed after the evidence was frozen", field="card", value=card.digest,
            allowed=str(named["sha256"]),
        )  # fmt: skip
    return card


def _document(objects: ObjectStore, name: str, uri: str, *, read: bool) -> Document:
    from steward.domain.cards.assembling import Document
    from steward.domain.cards.card import Source

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    source = Source(name=name, sha256=objects.sha256(bucket, key), uri=uri)
    return Document(source, _content(objects, name, uri) if read else None)


def _content(objects: ObjectStore, name: str, uri: str) -> Mapping[str, Any]:
    try:
        content = json.loads(objects.read(uri))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise EvidenceIncompleteError(f"{uri} is not a JSON object", field=name, value=uri)
    return content

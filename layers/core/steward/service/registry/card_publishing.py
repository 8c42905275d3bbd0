"""Cards in SageMaker: one a version, and the one of its model package.

What is published is made from the version as it is now, whatever event asked for it: events that
come twice, late or in another order change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from steward.domain.digests import digest_of
from steward.domain.errors import StewardError
from steward.domain.names import card_name
from steward.ports import (
    Item,
    ModelCards,
    ModelRegistry,
    ObjectStore,
    StateStore,
    Table,
    Update,
)
from steward.service.pinned import pinned_run
from steward.service.registry.cards import card_of, frozen_card
from steward.service.registry.records import need_version, version_key, versions_of


@dataclass(frozen=True)
class Publishing:
    """Where versions, evidence and cards are."""

    state: StateStore
    objects: ObjectStore
    cards: ModelCards
    registry: ModelRegistry
    environment: str


def publish_card(project: str, version: int, about: Publishing) -> str:
    """Bring both cards of a version in step with it.

    Before its evidence is frozen, a version has a draft from what is there; afterwards the frozen
    card with the decisions since. An archived card keeps its last content.

    Returns:
        The status of the card.

    Raises:
        ConflictError: Another publisher was faster; trying again helps.
        EvidenceIncompleteError: The frozen card changed.
        VersionNotFoundError: The project has no such version.
    """
    from steward.domain.cards.projections import encode
    from steward.domain.cards.standing import STATUS, standing

    state, objects = about.state, about.objects
    item = need_version(state, project, version)
    status = STATUS[str(item["state"])]
    frozen = frozen_card(item, objects)
    if frozen is None:
        frozen = card_of(item, pinned_run(state, project, str(item["run_id"])).project, objects)
    card = standing(frozen, item)
    content = encode(card, "card")
    _store(about.cards, card_name(about.environment, project, version), content, status)
    _into_package(about.registry, str(item["model_package_arn"]), encode(card, "package"), status)
    published = {"status": status, "state": item["state"], "digest": digest_of(content)}
    if item.get("card_published") != published:
        key = version_key(project, version)
        state.commit([Update(Table.VERSIONS, key, set={"card_published": published})])
    return status


def sweep_cards(about: Publishing) -> dict[str, int]:
    """Publish every card that is behind its version, such as after a release.

    A card that cannot be published keeps no other back.

    Returns:
        How many were published and how many failed.
    """
    done = failed = 0
    for project in about.state.scan(Table.PROJECTS):
        for item in versions_of(about.state, project["project"]):
            if not _behind(item):
                continue
            try:
                publish_card(item["project"], int(item["version"]), about)
                done += 1
            except StewardError:
                failed += 1
    return {"published": done, "failed": failed}


def _behind(item: Item) -> bool:
    published = item.get("card_published") or {}
    return bool(published.get("state") != item["state"])


def _store(cards: ModelCards, name: str, content: str, status: str) -> None:
    stored = cards.find(name)
    if stored is None:
        cards.create(name, content, status)
        return
    if stored.content != content and stored.status != "Archived":
        cards.set_content(name, content)
    if stored.status != status:
        cards.set_status(name, status)


def _into_package(registry: ModelRegistry, arn: str, content: str, status: str) -> None:
    known = registry.describe(arn).get("ModelCard") or {}
    if known.get("ModelCardContent") != content or known.get("ModelCardStatus") != status:
        registry.set_card(arn, content, status)

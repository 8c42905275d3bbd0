"""The demo's version cards: what each states with evidence, and what SageMaker shows of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steward.adapters.objects import S3ObjectStore
from steward.domain.cards.card import Card
from steward.domain.cards.standing import STATUS, standing
from steward.domain.names import card_name
from steward.ports import Item, ObjectStore
from steward.service.registry.cards import frozen_card
from steward_cli.target import Target

_WITHIN_S, _PAUSE_S = 10.0, 0.3
_SHOWN = ("overview.description", "training.dataset", "evaluation.gate", "evaluation.comparison")


@dataclass(frozen=True)
class VersionCard:
    """The card of one version.

    Attributes:
        status: What SageMaker Model Cards says of it now.
        proven: Statements that evidence makes.
        unproven: Labels of those that none makes, each with what would prove it.
        digest: SHA-256 of the frozen ``card.json``, which the approved evidence names.
        said: Label, value and evidence of a few statements.
        command: What shows the whole card.
    """

    version: int
    status: str
    proven: int
    unproven: list[tuple[str, str]]
    digest: str
    said: list[tuple[str, str, str]]
    command: str


def read_cards(target: Target, versions: list[Item]) -> list[VersionCard]:
    """Return the cards of versions, once SageMaker's are in step with their versions.

    Where SageMaker stays behind, its status is what it says after ten seconds.
    """
    objects = S3ObjectStore(target.client("s3"))
    return list(_cards(objects, target.client("sagemaker"), target.environment_name, versions))


def _cards(
    objects: ObjectStore, sagemaker: Any, environment: str, versions: list[Item]
) -> Iterator[VersionCard]:
    for item in versions:
        frozen = frozen_card(item, objects)
        if frozen is None:
            continue
        name = card_name(environment, str(item["project"]), int(item["version"]))
        yield shown(frozen, item, _status(sagemaker, name, STATUS[str(item["state"])]))


def shown(frozen: Card, item: Item, status: str) -> VersionCard:
    """Return what the demo shows of a frozen card, with the decisions since."""
    card = standing(frozen, item)
    statements = [s for s in card.statements() if s.field in _SHOWN and s.proven]
    return VersionCard(
        version=card.version,
        status=status,
        proven=sum(statement.proven for statement in card.statements()),
        unproven=[(statement.label, statement.missing) for statement in card.unproven],
        digest=frozen.digest,
        said=[
            (s.label, str(s.value), ", ".join(f"{p.name} {p.sha256[:12]}" for p in card.digests(s)))
            for s in statements
        ],
        command=f"steward card show {card.project} {card.version}",
    )


def _status(sagemaker: Any, name: str, wanted: str) -> str:
    deadline = time.monotonic() + _WITHIN_S
    while True:
        status = str(sagemaker.describe_model_card(ModelCardName=name)["ModelCardStatus"])
        if status == wanted or time.monotonic() > deadline:
            return status
        time.sleep(_PAUSE_S)

"""Which part of the data an entity belongs to: decided once by a salted hash, for good.

An entity that answers live traffic must never train or judge a later version, in whichever
delivery it turns up again; so the part depends on the entity and the salt alone.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Part = Literal["traffic", "heldout", "train"]


def position_of(entity_id: str, *, salt: str) -> float:
    """Return where an entity lies on the unit interval, uniform over entities.

    The first 53 bits of SHA-256("salt:entity id" in UTF-8), divided by 2**53: exactly
    representable, the same on every platform, in [0, 1).
    """
    digest = hashlib.sha256(f"{salt}:{entity_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def part_of(entity_id: str, *, salt: str, traffic: float, heldout: float) -> Part:
    """Return the part of an entity: ``traffic`` first, then ``heldout``, the rest ``train``.

    Args:
        entity_id: The entity as it is written in the data, compared byte for byte.
        salt: The project's salt; another salt gives an independent split.
        traffic: Share of entities reserved for live requests, in [0, 1).
        heldout: Share of entities that judge versions, in [0, 1).

    Raises:
        ValueError: The shares are negative or leave nothing to train.
    """
    if traffic < 0 or heldout < 0 or traffic + heldout >= 1:
        raise ValueError(
            f"traffic {traffic} and heldout {heldout} must be at least 0 and below 1 together"
        )
    position = position_of(entity_id, salt=salt)
    if position < traffic:
        return "traffic"
    if position < traffic + heldout:
        return "heldout"
    return "train"

"""Who is written to about what: one letter an event, to the roles that its subject names."""

from __future__ import annotations

from steward.contracts.incoming import Received
from steward.domain.mails.layout import Where
from steward.ports import Mail, StateStore
from steward.service.monitoring.letters import (
    alarms,
    decisions,
    endpoints,
    ledger,
    releases,
    training,
)
from steward.service.monitoring.letters.occasion import Letters, Occasion

_LETTERS: Letters = {
    **decisions.LETTERS, **training.LETTERS, **releases.LETTERS, **endpoints.LETTERS,
    **alarms.LETTERS, **ledger.LETTERS,
}  # fmt: skip

NOTIFIES_OF = tuple(_LETTERS)
"""Detail-types that somebody is written to about."""


def notify_people(
    received: Received, *, state: StateStore, mail: Mail, environment: str, region: str
) -> list[str]:
    """Send the mails that an event asks for; a replayed event asks for none.

    Hourly looks that decide nothing new, and failed ones after the first in a row, ask for none.

    Returns:
        The roles written to.
    """
    if received.replayed:
        return []
    meta = received.own
    occasion = Occasion(Where(environment, region, meta.project), received.detail, meta, state)
    roles, write = _LETTERS[type(received.detail).__name__]
    letter = write(occasion)
    if letter is None:
        return []
    for role in roles:
        mail.send(role, letter.subject, letter.body)
    return list(roles)

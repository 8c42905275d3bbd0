"""Letters about the ledger, and changes that it cannot explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts import events
from steward.domain.mails.layout import Letter
from steward.service.monitoring.letters.occasion import ON_CALL, Letters, Occasion

if TYPE_CHECKING:
    pass


def _ledger_tampered(occasion: Occasion) -> Letter:
    from steward.domain.mails import ledger

    data: events.LedgerTampered = occasion.data
    return ledger.tampered(occasion.where, item=data.item, change=data.change, by=data.by)


def _ledger_broken(occasion: Occasion) -> Letter:
    from steward.domain.mails import ledger

    data: events.LedgerBroken = occasion.data
    return ledger.broken(occasion.where, kind=data.kind, seq=data.seq, told=data.told)


def _change_unmatched(occasion: Occasion) -> Letter:
    from steward.domain.mails import ledger

    data: events.ChangeUnmatched = occasion.data
    return ledger.unmatched(
        occasion.where, call=data.call, resource=data.resource, principal=data.principal,
        at=data.at, reason=data.reason, source_ip=data.source_ip,
    )  # fmt: skip


LETTERS: Letters = {
    "LedgerTampered": ((ON_CALL,), _ledger_tampered),
    "LedgerBroken": ((ON_CALL,), _ledger_broken),
    "ChangeUnmatched": ((ON_CALL,), _change_unmatched),
}

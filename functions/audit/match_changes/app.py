"""Doorway of the queue of CloudTrail's events: what no record explains is told."""

from steward.bootstrap import app
from steward.entrypoint import LambdaEvent, on_batch
from steward.service.audit.matching import Matcher, match_messages


@on_batch
def handler(messages: list[LambdaEvent]) -> list[str]:
    """Return the ids of the messages that are no events of CloudTrail."""
    matcher = Matcher(
        ledger=app().ledger,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
        place=app().settings.audited_place,
    )
    return match_messages(messages, matcher)

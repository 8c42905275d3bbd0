"""``card``: a processing job that makes the PDF of a version's ``card.json``."""

from __future__ import annotations

import json
import os

from steward_jobs.container import JobError, base_dir, log, write_failure

INPUT, OUTPUT = "card/card.json", "output/card.pdf"


def main(_arguments: list[str]) -> int:
    """Write ``output/card.pdf`` from ``card/card.json`` and return the exit code."""
    from steward.domain.cards.card import read_card
    from steward.domain.errors import CardInvalidError
    from steward_jobs.card_pdf import pdf

    folder = base_dir() / "processing"
    try:
        try:
            document = json.loads((folder / INPUT).read_text(encoding="utf-8"))
            card = read_card(document)
        except (OSError, ValueError, CardInvalidError) as error:
            raise JobError(f"{INPUT} is no card: {error}") from None
        target = folder / OUTPUT
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pdf(card, os.environ.get("CARD_STATUS", "")))
    except JobError as error:
        write_failure(str(error), "failure", "message")
        log("card_failed", reason=str(error))
        return 1
    log("card_written", project=card.project, version=card.version, digest=card.digest)
    return 0

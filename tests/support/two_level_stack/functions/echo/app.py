"""Answers with its event, its layer's word and its environment."""

import os
from typing import Any

from shelf import WORD


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer; through the function URL the body is this object as JSON."""
    return {"event": event, "layer": WORD, "environment": os.environ["STEWARD_ENVIRONMENT"]}

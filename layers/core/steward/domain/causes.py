"""Why a task failed, as a person reads it."""

from __future__ import annotations

import json


def readable_cause(cause: str, most: int) -> str:
    """Return what a person needs of a task's cause, at most so many characters.

    Step Functions gives the whole description of a failed job, and for a function a JSON object
    with its error message and stack trace; other causes are text as they are.
    """
    try:
        document = json.loads(cause)
    except ValueError:
        document = None
    if isinstance(document, dict):
        cause = str(document.get("FailureReason") or document.get("errorMessage") or cause)
    return cause[:most]

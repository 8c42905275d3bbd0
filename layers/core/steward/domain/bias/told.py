"""``bias.json`` in a few lines, read as data: control functions do without numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bias_lines(document: Mapping[str, Any]) -> list[str]:
    """Return one line a facet: its name, and what each bound concludes.

    Args:
        document: Content of ``bias.json``.
    """
    return [
        f"{facet['name']}: "
        + "; ".join(f"{one['verdict']}: {one['reason']}" for one in facet["verdicts"])
        for facet in document["facets"]
    ]

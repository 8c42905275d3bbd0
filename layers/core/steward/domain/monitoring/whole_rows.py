"""A few whole rows of traffic, of every type, as they were asked: what explanations need.

A chunk keeps the rows of the units with the smallest hashes, as the samples of numbers do, so
that merged samples are a uniform sample of the window, the same on every run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steward.domain.digests import digest_of
from steward.domain.errors import RejectedError

FORMAT = 1
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class WholeRow:
    """One row: these may be personal data.

    Attributes:
        hash: Of its unit.
        at: Milliseconds since the epoch.
        features: By name.
    """

    hash: int
    at: int
    features: Mapping[str, Any]


@dataclass(frozen=True)
class WholeRows:
    """Rows in the order of their hashes, one a unit."""

    rows: tuple[WholeRow, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of what is held."""
        return digest_of(self._plain())

    def to_json(self) -> str:
        """Return the rows as JSON."""
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    def _plain(self) -> dict[str, Any]:
        rows = [[str(row.hash), row.at, dict(row.features)] for row in self.rows]
        return {"format": FORMAT, "rows": rows}

    def cells(self, features: Sequence[str]) -> tuple[list[tuple[Cell, ...]], int]:
        """Return the rows that have each feature as one value, and how many have not.

        An empty text is left out too: as CSV it is no value.
        """
        found = []
        for row in self.rows:
            cells = tuple(row.features.get(name, ()) for name in features)
            if all(cell is None or (isinstance(cell, str | int | float) and cell != "")
                   for cell in cells):  # fmt: skip
                found.append(cells)
        return found, len(self.rows) - len(found)


def whole_rows_from_json(text: str | bytes) -> WholeRows:
    """Return rows from their JSON.

    Raises:
        RejectedError: They are none, or broken.
    """
    try:
        plain = json.loads(text)
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r}")
        return WholeRows(
            tuple(WholeRow(int(hash_), int(at), dict(row)) for hash_, at, row in plain["rows"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RejectedError(f"these are no rows: {error}", field="rows") from error


def merge_whole_rows(samples: Iterable[WholeRows], limit: int) -> WholeRows:
    """Return the rows of the units with the smallest hashes, the earliest row of each."""
    first: dict[int, WholeRow] = {}
    for sample in samples:
        for row in sample.rows:
            known = first.get(row.hash)
            if known is None or row.at < known.at:
                first[row.hash] = row
    return WholeRows(tuple(first[key] for key in sorted(first)[:limit]))

"""What a transform job does to rows: split, batch, filter, join, assemble.

Rows of CSV can be filtered by ``$``, ``$[i]``, ``$[a:b]`` and ``$[i,j,...]``, which is what is used
to carry an id past the model; SageMaker has more of JSONPath, which is refused here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

_SLICE = re.compile(r"^\$\[(-?\d*):(-?\d*)\]$")
_PLACES = re.compile(r"^\$\[(-?\d+(?:,-?\d+)*)\]$")


class FilterError(ValueError):
    """A filter that is not known, or that names a cell that a row has not."""


def check_filter(path: str) -> None:
    """Refuse a filter that cannot be applied here.

    Raises:
        FilterError: With the filter.
    """
    if path != "$" and not _SLICE.match(path) and not _PLACES.match(path):
        raise FilterError(
            f"The embedded SageMaker does not apply the filter {path}; it knows $, $[i], $[a:b] "
            "and $[i,j]."
        )


def filtered(line: str, path: str) -> str:
    """Return a CSV line with the cells that a filter names.

    Raises:
        FilterError: The row has no such cell.
    """
    if path == "$":
        return line
    cells = next(csv.reader([line]), [])
    sliced = _SLICE.match(path)
    if sliced:
        first, last = (int(part) if part else None for part in sliced.groups())
        return joined(cells[first:last])
    places = _PLACES.match(path)
    assert places is not None
    try:
        return joined([cells[int(place)] for place in places[1].split(",")])
    except IndexError:
        raise FilterError(f"{path} names a cell that a row of {len(cells)} has not") from None


def joined(cells: Sequence[str]) -> str:
    """Return cells as a CSV line without its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def batches(lines: Sequence[str], strategy: str, most_bytes: int) -> Iterator[list[str]]:
    """Yield rows as they are sent together: one, or as many as the payload may have."""
    batch: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode()) + 1
        if batch and (strategy == "SingleRecord" or size + length > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch

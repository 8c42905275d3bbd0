"""A version's endpoint as the model that explanations ask: many rows a question, within bounds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steward.domain.errors import DependencyError
from steward.ports import Endpoints

Cell = str | int | float | bool | None
MOST_BYTES = 3_000_000
"""Of one question: a serverless endpoint takes 4 MB."""
CALL_TIMEOUT_S = 30.0


class BoundReachedError(Exception):
    """The questions or the time that were granted are used up."""


class EndpointModel:
    """Asks an endpoint for CSV rows and counts what it asked.

    Args:
        endpoints: The port.
        endpoint: Its name.
        calls: Questions at most.
        seconds_left: Until nothing more is asked.
    """

    def __init__(
        self, endpoints: Endpoints, endpoint: str, *, calls: int,
        seconds_left: Callable[[], float],
    ) -> None:  # fmt: skip
        self._endpoints, self._endpoint = endpoints, endpoint
        self._most, self._seconds_left = calls, seconds_left
        self.calls = self.rows = 0

    def __call__(self, rows: list[list[Cell]]) -> NDArray[np.float64]:
        """Return the probability of each row.

        Raises:
            BoundReachedError: No question or time is left.
            StewardError: The endpoint is missing, denied, throttled, late, or refuses a row.
        """
        parts = [self._ask(body, count) for body, count in bodies(rows)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _ask(self, body: bytes, count: int) -> NDArray[np.float64]:
        left = self._seconds_left()
        if self.calls >= self._most:
            raise BoundReachedError(f"{self._most} questions to the endpoint are used up")
        if left <= 0:
            raise BoundReachedError("the time for questions to the endpoint is used up")
        self.calls += 1
        self.rows += count
        answer = self._endpoints.invoke(
            self._endpoint, body, content_type="text/csv", accept="text/csv",
            timeout_s=min(CALL_TIMEOUT_S, max(1.0, left)),
        )  # fmt: skip
        try:
            found = np.array([float(line) for line in answer.body.decode().split()], np.float64)
        except ValueError as error:
            raise DependencyError(
                f"endpoint {self._endpoint} answered no numbers: {error}"
            ) from None
        if found.size != count:
            raise DependencyError(
                f"endpoint {self._endpoint} answered {found.size} numbers for {count} rows"
            )
        return found


def bodies(rows: Sequence[Sequence[Cell]]) -> Iterator[tuple[bytes, int]]:
    """Yield rows as CSV in parts of at most 3 MB, with their number; null is an empty cell."""
    stream, count = io.StringIO(newline=""), 0
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        writer.writerow([_text(cell) for cell in row])
        count += 1
        if stream.tell() >= MOST_BYTES // 4 * 3:
            yield stream.getvalue().encode(), count
            stream, count = io.StringIO(newline=""), 0
            writer = csv.writer(stream, lineterminator="\n")
    if count:
        yield stream.getvalue().encode(), count


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return repr(cell) if isinstance(cell, float) else str(cell)

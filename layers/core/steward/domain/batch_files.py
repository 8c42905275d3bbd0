"""The judged rows of a batch as files: what a job reads, and the rows that get no score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from steward.domain.batch_rows import GoodRow, RefusedRow
from steward.domain.batch_runs import MOST_ROWS
from steward.domain.errors import BatchInputRefusedError

MOST_KEPT = 100_000
"""Refused rows that are kept with their reasons; further ones are counted."""

_TOLD = 3


class RowFiles:
    """Judged rows, written as they come, so that memory holds none of them.

    Attributes:
        scored: Rows for the job.
        refused: The others.
        refused_path: The first ``MOST_KEPT`` of them, one a line of JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.scored = self.refused = 0
        self.refused_path = folder / "refused.jsonl"
        self._folder, self._rows_path = folder, folder / "rows.csv"
        self._first: list[RefusedRow] = []
        self._open = ExitStack()
        self._rows = self._open.enter_context(self._rows_path.open("w", encoding="utf-8"))
        self._reasons = self._open.enter_context(self.refused_path.open("w", encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._open.close()

    @property
    def rows(self) -> int:
        """Rows of the input."""
        return self.scored + self.refused

    def add(self, rows: Iterable[GoodRow | RefusedRow]) -> None:
        """Write rows, in the order of the input.

        Raises:
            BatchInputRefusedError: They are too many, together with those before.
        """
        for row in rows:
            if isinstance(row, GoodRow):
                self.scored += 1
                self._rows.write(f"{row.line}\n")
            else:
                self.refused += 1
                self._keep(row)
            if self.rows > MOST_ROWS:
                raise BatchInputRefusedError(
                    f"the input has more than {MOST_ROWS} rows", field="batch.input",
                    value=self.rows, allowed=f"at most {MOST_ROWS} rows; score it in parts",
                )  # fmt: skip

    def _keep(self, row: RefusedRow) -> None:
        if self.refused <= _TOLD:
            self._first.append(row)
        if self.refused <= MOST_KEPT:
            self._reasons.write(row.line())

    def close(self) -> None:
        """End writing."""
        self._open.close()

    def require(self, max_refused_share: float) -> None:
        """Refuse an input that is empty or has too many rows that break the rules.

        Raises:
            BatchInputRefusedError: With the first rows at fault.
        """
        if not self.rows:
            raise BatchInputRefusedError(
                "the input has no rows", field="input", value=0, allowed="at least one row"
            )
        share = self.refused / self.rows
        if share > max_refused_share or not self.scored:
            first = "; ".join(row.told() for row in self._first)
            raise BatchInputRefusedError(
                f"{self.refused} of {self.rows} rows break the rules of requests: {first}",
                field="batch.checks.max_refused_share", value=round(share, 6),
                allowed=f"at most {max_refused_share:g}, and one row that breaks none",
            )  # fmt: skip

    def parts(self, count: int) -> Iterator[Path]:
        """Yield at most so many files of the rows, in order, about as long; each until the next."""
        self.close()
        size = max(1, -(-self.scored // count))
        if size >= self.scored:
            yield self._rows_path
            return
        part = self._folder / "part.csv"
        with self._rows_path.open("rb") as rows:
            for start in range(0, self.scored, size):
                with part.open("wb") as out:
                    for _ in range(min(size, self.scored - start)):
                        out.write(rows.readline())
                yield part

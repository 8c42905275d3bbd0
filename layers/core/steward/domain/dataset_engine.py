"""Which engine joins the features of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from steward.domain.declaration import Strict


class DatasetEngine(Strict):
    """What joins the views of feature groups to the examples; the rows are the same.

    Attributes:
        engine: `duckdb` joins within one function, `athena` for what outgrows it, `auto` chooses
            by the rows of the feature groups. Without `features` nothing is joined.
        athena_above_rows: Rows of all views together above which `auto` takes Athena.
    """

    engine: Literal["auto", "duckdb", "athena"] = "auto"
    athena_above_rows: int = Field(default=10_000_000, ge=0)

    def takes_athena(self, rows_of_views: Sequence[int]) -> bool:
        """Tell whether Athena joins views of so many rows each."""
        if not rows_of_views or self.engine == "duckdb":
            return False
        return self.engine == "athena" or sum(rows_of_views) > self.athena_above_rows

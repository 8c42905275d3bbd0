"""Scores of a batch: what is checked before anybody gets them, and the manifest that goes along."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.errors import ScoresRejectedError

DRIFT_LEVEL = 0.001
"""p-value below which a difference of scores is no chance; its size decides then."""


class BatchManifest(BaseModel):
    """What was delivered, written after the scores: who sees it sees whole scores.

    Attributes:
        batch_key: Of project, version, input and parameters: the same ones are scored once.
        batch_id: The attempt that delivered.
        version: The stable version when the batch began.
        input: The files, each with its object version and digest.
        scores_sha256: Of the delivered file.
        rows: Rows of the scores.
        refused_rows: Rows of the input that broke the rules of requests.
        refused_uri: Where they lie with the reason of each, None where there are none.
        least: Smallest score.
        most: Largest score.
        mean: Of all scores.
        drift: Effect against held-out predictions, where it is checked.
        transform_job: Name of the job that asked the model.
        requested_by: Who or what asked for the batch.
        expires_after_days: Afterwards S3 deletes the scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    schema_version: Literal["2"] = "2"
    project: str
    version: int = Field(ge=1)
    batch_key: str
    batch_id: str
    input: list[dict[str, Any]]
    scores_uri: str
    scores_sha256: str
    rows: int = Field(ge=1)
    refused_rows: int = Field(default=0, ge=0)
    refused_uri: str | None = None
    least: float
    most: float
    mean: float
    drift: float | None = None
    transform_job: str
    requested_by: str
    expires_after_days: int | None = None
    delivered_at: str


def check_scores(
    ids: Iterable[str], answered: Iterable[str], bounds: tuple[float | None, float | None],
    first_row: int = 1,
) -> Iterator[tuple[str, float]]:  # fmt: skip
    """Yield the scores of a batch in the order of the input, each with the id that was sent.

    Args:
        ids: As they were sent, in order.
        answered: Pairs of id and answer, one a line of CSV: what the job left.
        bounds: Least and greatest score that is possible; finite all are.
        first_row: By which the first of these rows is called.

    Raises:
        ScoresRejectedError: A row is missing, doubled, of another id, without a score, or its
            score is not possible. Nothing of such a batch is delivered.
    """
    sent_rows, came_rows = iter(ids), iter(answered)
    for row in count(first_row):
        sent, line = next(sent_rows, None), next(came_rows, None)
        if sent is None and line is None:
            return
        if sent is None or line is None:
            done = row - first_row
            came = done + (line is not None) + sum(1 for _ in came_rows)
            wanted = done + (sent is not None) + sum(1 for _ in sent_rows)
            raise refused("rows", came, f"{wanted}, as many as were sent")
        head, comma, tail = line.rpartition(",")
        if not comma or _plain(head) != sent:
            raise refused(f"row {row} id", "another one", "the one that was sent")
        if not tail:
            raise refused(f"row {row} prediction", "", "a number")
        yield sent, _value(tail, row, bounds)


SCORES_HEAD = "id,prediction\n"


def score_line(entity: str, value: float) -> str:
    """Return a line of the delivered file; the float as Python writes it, so nothing is lost."""
    return f"{_cell(entity)},{value!r}\n"


def _value(text: str, row: int, bounds: tuple[float | None, float | None]) -> float:
    low, high = bounds
    allowed = "a finite number"
    if low is not None or high is not None:
        least = "" if low is None else f", at least {low:g}"
        allowed += least + ("" if high is None else f", at most {high:g}")
    try:
        value = float(text)
    except ValueError:
        raise refused(f"row {row} prediction", text, allowed) from None
    inside = (low is None or value >= low) and (high is None or value <= high)
    if not math.isfinite(value) or not inside:
        raise refused(f"row {row} prediction", text, allowed)
    return value


def check_drift(p: float, effect: float, most: float) -> float:
    """Return the effect of scores against held-out predictions, where it is small or chance.

    Raises:
        ScoresRejectedError: It is larger than ``most``, and the test says that it is no chance.
    """
    if effect > most and p < DRIFT_LEVEL:
        raise refused(
            "batch.checks.max_drift", round(effect, 4),
            f"at most {most:g} against predictions on held-out rows (p = {p:.2g})",
        )  # fmt: skip
    return effect


def refused(field: str, value: object, allowed: str) -> ScoresRejectedError:
    """Return the error of a batch that is not delivered."""
    return ScoresRejectedError(
        f"the batch is not delivered: {field} is {value!r}; allowed: {allowed}",
        field=field, value=value, allowed=allowed,
    )  # fmt: skip


def _cell(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(c in text for c in ',"\r\n') else text


def _plain(cell: str) -> str:
    if cell.startswith('"') and cell.endswith('"') and len(cell) > 1:
        return cell[1:-1].replace('""', '"')
    return cell

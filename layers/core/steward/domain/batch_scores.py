"""Scores of a batch: what is checked before anybody gets them, and the manifest that goes along."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.errors import RejectedError


class BatchManifest(BaseModel):
    """What was delivered, written after the scores: who sees it sees whole scores.

    Attributes:
        batch_id: Of project, version and input: the same ones are scored once.
        input_sha256: Of the file as it was given.
        scores_sha256: Of the delivered file.
        rows: As many in the input as in the scores.
        least: Smallest score.
        most: Largest score.
        mean: Of all scores.
        transform_job: Name of the job that asked the model.
        requested_by: Verified caller.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    schema_version: Literal["1"] = "1"
    project: str
    version: int = Field(ge=1)
    batch_id: str
    input_uri: str
    input_sha256: str
    scores_uri: str
    scores_sha256: str
    rows: int = Field(ge=1)
    least: float
    most: float
    mean: float
    transform_job: str
    requested_by: str
    delivered_at: str


@dataclass(frozen=True)
class Scores:
    """Checked scores, in the order of the input."""

    ids: list[str]
    values: list[float]

    def lines(self) -> Iterable[str]:
        """Yield the delivered file's lines; floats as Python writes them, so nothing is lost."""
        yield "id,prediction\n"
        for entity, value in zip(self.ids, self.values, strict=True):
            yield f"{_cell(entity)},{value!r}\n"


def check_scores(ids: Sequence[str], answered: Sequence[str], task: str) -> Scores:
    """Return the scores of a batch, each with the id that was sent.

    Args:
        ids: As they were sent, in order.
        answered: Pairs of id and answer, one a line of CSV: what the job left.
        task: ``binary`` answers lie in 0 to 1, those of a ``regression`` are finite.

    Raises:
        RejectedError: A row is missing, doubled, of another id, without a score, or its score is
            not possible. Nothing of such a batch is delivered.
    """
    if len(answered) != len(ids):
        raise _refused("rows", len(answered), f"{len(ids)}, as many as were sent")
    values: list[float] = []
    for row, (sent, line) in enumerate(zip(ids, answered, strict=True)):
        head, comma, tail = line.rpartition(",")
        came = _plain(head)
        if not comma or came != sent:
            raise _refused(f"row {row} id", came, f"{sent!r}, as it was sent")
        if not tail:
            raise _refused(f"row {row} prediction", "", "a number")
        values.append(_value(tail, row, task))
    return Scores(list(ids), values)


def _value(text: str, row: int, task: str) -> float:
    allowed = "a number in 0 to 1" if task == "binary" else "a finite number"
    try:
        value = float(text)
    except ValueError:
        raise _refused(f"row {row} prediction", text, allowed) from None
    if not math.isfinite(value) or (task == "binary" and not 0 <= value <= 1):
        raise _refused(f"row {row} prediction", text, allowed)
    return value


def _refused(field: str, value: object, allowed: str) -> RejectedError:
    return RejectedError(
        f"the batch is not delivered: {field} is {value!r}",
        field=field, value=value, allowed=allowed,
    )  # fmt: skip


def _cell(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(c in text for c in ',"\r\n') else text


def _plain(cell: str) -> str:
    if cell.startswith('"') and cell.endswith('"') and len(cell) > 1:
        return cell[1:-1].replace('""', '"')
    return cell

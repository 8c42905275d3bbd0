"""Scores of a batch are all there, of the ids that were sent, and possible, or nothing is."""

from __future__ import annotations

import csv
import io

import pytest

from steward.domain.batch_scores import check_scores, score_line
from steward.domain.errors import RejectedError

UNIT, FREE = (0.0, 1.0), (None, None)


def test_scores_come_with_the_ids_that_were_sent_and_lose_nothing() -> None:
    scores = check_scores(['a,"b', "c"], ['"a,""b",0.1', "c,0.30000000000000004"], UNIT)
    rows = list(csv.reader(io.StringIO("".join(score_line(*score) for score in scores))))
    assert rows == [['a,"b', "0.1"], ["c", "0.30000000000000004"]]


@pytest.mark.parametrize(
    ("answered", "bounds", "field"),
    [
        (["a,0.1"], UNIT, "rows"),
        (["a,0.1", "b,0.2", "b,0.2"], UNIT, "rows"),
        (["b,0.1", "a,0.2"], UNIT, "row 1 id"),
        (["a,0.1", "a,0.1"], UNIT, "row 2 id"),
        (["a,0.1", "0.2"], UNIT, "row 2 id"),
        (["a,0.1", "b,"], UNIT, "row 2 prediction"),
        (["a,0.1", "b,1.2"], UNIT, "row 2 prediction"),
        (["a,0.1", "b,-0.1"], UNIT, "row 2 prediction"),
        (["a,0.1", "b,nan"], UNIT, "row 2 prediction"),
        (["a,1", "b,inf"], FREE, "row 2 prediction"),
        (["a,1", "b,many"], FREE, "row 2 prediction"),
    ],
)
def test_a_batch_with_one_fault_is_refused_whole(
    answered: list[str], bounds: tuple[float | None, float | None], field: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        list(check_scores(["a", "b"], answered, bounds))
    assert refused.value.field == field


def test_a_strange_id_is_told_by_its_row_alone() -> None:
    with pytest.raises(RejectedError, match="row 1 id") as refused:
        list(check_scores(["anna"], ["bert,0.1"], UNIT))
    assert not any(name in refused.value.message for name in ("anna", "bert"))


def test_a_regression_may_answer_any_finite_number() -> None:
    found = check_scores(["a", "b"], ["a,-5", "b,1e9"], FREE)
    assert [value for _, value in found] == [-5.0, 1e9]


@pytest.mark.parametrize(
    ("answered", "counted"), [(["a,0.1"], "rows is 1"), (["a,0.1"] + ["b,0.1"] * 4, "rows is 5")]
)
def test_missing_and_further_rows_are_counted(answered: list[str], counted: str) -> None:
    with pytest.raises(RejectedError, match=counted) as refused:
        list(check_scores(["a", "b", "c"][: 3 if len(answered) == 1 else 2], answered, UNIT))
    assert "as many as were sent" in str(refused.value.allowed)


def test_rows_of_a_later_part_are_called_by_their_place_in_the_input() -> None:
    with pytest.raises(RejectedError, match="row 102 prediction"):
        list(check_scores(["a", "b"], ["a,0.1", "b,"], UNIT, first_row=101))

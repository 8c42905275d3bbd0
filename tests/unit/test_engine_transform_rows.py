"""Splitting, filtering and batching of transform rows in the embedded SageMaker."""

from __future__ import annotations

import pytest

from steward_local.sagemaker.transform_rows import FilterError, batches, check_filter, filtered


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("$", 'a,"b,c",3'),
        ("$[1:]", '"b,c",3'),
        ("$[0]", "a"),
        ("$[0,-1]", "a,3"),
        ("$[:-1]", 'a,"b,c"'),
        ("$[5:]", ""),
    ],
)
def test_a_filter_keeps_the_cells_it_names(path: str, line: str) -> None:
    check_filter(path)
    assert filtered('a,"b,c",3', path) == line


@pytest.mark.parametrize("path", ["$.features", "$[*]", "$[?(@ > 1)]", "[0]"])
def test_another_filter_is_refused(path: str) -> None:
    with pytest.raises(FilterError, match="does not apply the filter"):
        check_filter(path)


def test_a_cell_that_is_not_there_is_named() -> None:
    with pytest.raises(FilterError, match="a cell that a row of 2 has not"):
        filtered("a,b", "$[4]")


def test_batches_hold_one_row_or_as_many_as_fit() -> None:
    lines = ["12345", "1", "2", "123456789"]
    assert list(batches(lines, "SingleRecord", 100)) == [[line] for line in lines]
    assert list(batches(lines, "MultiRecord", 10)) == [["12345", "1", "2"], ["123456789"]]
    assert list(batches([], "MultiRecord", 10)) == []

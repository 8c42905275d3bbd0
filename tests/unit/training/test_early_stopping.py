"""The median rule by which the embedded SageMaker stops a training job of a search."""

from __future__ import annotations

import pytest

from steward_local.sagemaker.early_stopping import is_behind

COMPLETED = [[1.0, 0.6, 0.2], [2.0, 1.0, 0.6], [4.0, 4.0, 4.0]]


@pytest.mark.parametrize(
    ("values", "behind"),
    [
        ([], False),
        ([2.0], False),  # the median of 1, 2 and 4 is not worse than itself
        ([2.1], True),
        ([2.0, 1.5], False),  # the running averages are 0.8, 1.5 and 4
        ([2.0, 1.6], True),
        ([9.0, 9.0, 1.2], False),  # its last value counts, against 0.6, 1.2 and 4
        ([0.1, 0.1, 0.1, 1.3], True),  # who trained for fewer epochs counts with all of them
    ],
)
def test_a_job_is_behind_when_worse_than_the_median_of_running_averages(
    values: list[float], behind: bool
) -> None:
    assert is_behind(values, COMPLETED, "Minimize") is behind
    negative = [[-value for value in earlier] for earlier in COMPLETED]
    assert is_behind([-value for value in values], negative, "Maximize") is behind


def test_the_first_job_of_a_search_is_never_stopped() -> None:
    assert not is_behind([1e9], [], "Minimize")

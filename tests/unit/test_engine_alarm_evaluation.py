"""M out of N and missing data, after the table of the CloudWatch user guide."""

import pytest

from steward_local.alarm_evaluation import judge

_KEEPS = None
_TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


def _values(row: str) -> list[float | None]:
    """A row of the guide (oldest first; 0 fine, X breaching, - missing) as values, newest first."""
    return [{"0": 0.0, "X": 9.0, "-": None}[mark] for mark in reversed(row.split())]


@pytest.mark.parametrize(
    ("row", "needed", "states"),
    [
        # Three of the last three.
        ("0 - X - X", 3, ("OK", "OK", "OK", "OK")),
        ("- - - - 0", 3, ("OK", "OK", "OK", "OK")),
        ("- - - - -", 3, ("INSUFFICIENT_DATA", _KEEPS, "ALARM", "OK")),
        ("0 X X - X", 3, ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("- - X - -", 3, ("ALARM", _KEEPS, "ALARM", "OK")),
        # Two of the last three.
        ("0 - X - X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("0 0 X 0 X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("0 - X - -", 2, ("OK", "OK", "ALARM", "OK")),
        ("- - - - 0", 2, ("OK", "OK", "ALARM", "OK")),
        ("- - - - X", 2, ("ALARM", _KEEPS, "ALARM", "OK")),
    ],
)
def test_row_of_the_guide_gives_its_states(
    row: str, needed: int, states: tuple[str | None, ...]
) -> None:
    found = tuple(
        judge(
            _values(row),
            lambda value: value > 1,
            evaluation_periods=3,
            datapoints_to_alarm=needed,
            missing=treatment,
        )
        for treatment in _TREATMENTS
    )
    assert found == states

"""Metric math of the embedded alarms."""

import pytest

from steward_local.metric_math import MetricMathError, Series, evaluate

_PERIODS = (1, 2, 3, 4)
_SERIES: dict[str, Series] = {
    "e": {2: 1.0, 3: 4.0},
    "r": {1: 10.0, 2: 10.0, 3: 0.0, 4: 20.0},
    "m1": {1: 1.0, 2: 2.0},
    "m2": {2: 5.0},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("r / 2 + 1", {1: 6.0, 2: 6.0, 3: 1.0, 4: 11.0}),
        ("e / r", {2: 0.1}),  # both must have data; a division by zero has none
        ("100 * e / r", {2: 10.0}),
        ("-e", {2: -1.0, 3: -4.0}),
        ("m1 ^ 2", {1: 1.0, 2: 4.0}),
        ("FILL(e, 0)", {1: 0.0, 2: 1.0, 3: 4.0, 4: 0.0}),
        ("FILL(e, REPEAT)", {2: 1.0, 3: 4.0, 4: 4.0}),
        ("FILL(e, r)", {1: 10.0, 2: 1.0, 3: 4.0, 4: 20.0}),
        ("IF(r > 5, FILL(e, 0) / r, 0)", {1: 0.0, 2: 0.1, 3: 0.0, 4: 0.0}),
        ("IF(r > 15, 1)", {4: 1.0}),
        ("r > 5 AND r < 15", {1: 1.0, 2: 1.0, 3: 0.0, 4: 0.0}),
        ("r == 0 || r == 20", {1: 0.0, 2: 0.0, 3: 1.0, 4: 1.0}),
        ("SUM([m1, m2])", {1: 1.0, 2: 7.0}),
        ("MAX([m1, m2])", {1: 1.0, 2: 5.0}),
        ("AVG(m1)", {1: 1.5, 2: 1.5, 3: 1.5, 4: 1.5}),
        ("m1 / SUM(m1)", {1: 1 / 3, 2: 2 / 3}),
        ("ABS(0 - m2)", {2: 5.0}),
    ],
)
def test_expression_gives_its_series(expression: str, expected: Series) -> None:
    assert evaluate(expression, _SERIES, _PERIODS) == pytest.approx(expected)


def test_linear_fill_joins_the_known_values() -> None:
    assert evaluate("FILL(x, LINEAR)", {"x": {1: 1.0, 4: 7.0}}, _PERIODS) == {
        1: 1.0,
        2: 3.0,
        3: 5.0,
        4: 7.0,
    }


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nothing + 1", "'nothing' is not known"),
        ("e +", "is not an expression"),
        ("SEARCH(m1, m2)", "SEARCH is not known"),
        ("[m1, m2]", "an alarm needs one"),
        ("__import__('os')", "is not known"),
    ],
)
def test_expression_that_cannot_be_evaluated_is_named(expression: str, message: str) -> None:
    with pytest.raises(MetricMathError, match=message):
        evaluate(expression, _SERIES, _PERIODS)

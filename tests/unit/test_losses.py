"""Row losses against their formulas and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, zero_one_loss

from steward.domain.losses import LOG_LOSS_CLIP, Loss, row_losses

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0.001, 0.999)), min_size=1, max_size=60
)


@given(rows=ROWS)
def test_mean_losses_equal_those_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    for loss, expected in (
        ("brier", brier_score_loss(labels, probabilities, labels=[0, 1])),
        ("log_loss", log_loss(labels, probabilities, labels=[0, 1])),
        ("zero_one", zero_one_loss(labels, probabilities >= 0.5)),
    ):
        assert row_losses(loss, labels, probabilities).mean() == pytest.approx(expected)  # type: ignore[arg-type]


def test_log_loss_of_a_certain_error_is_bounded() -> None:
    worst = row_losses("log_loss", np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert worst == pytest.approx(-np.log(LOG_LOSS_CLIP))


def test_squared_error_takes_any_finite_number() -> None:
    assert row_losses("squared_error", np.array([3.0]), np.array([-1.0])).tolist() == [16.0]


@pytest.mark.parametrize("loss", ["brier", "log_loss", "squared_error", "zero_one"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_prediction_that_is_no_number_is_refused_with_its_row(loss: Loss, bad: float) -> None:
    with pytest.raises(ValueError, match="row 1: prediction must be a finite number"):
        row_losses(loss, np.array([0.0, 1.0]), np.array([0.2, bad]))


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0.0, 2.0], [0.1, 0.2], "row 1: label must be 0 or 1"),
        ([0.0, 1.0], [0.1, 1.2], "row 1: prediction must be a probability"),
        ([0.0, 1.0], [0.1], "of one length"),
        ([], [], "non-empty"),
    ],
)
def test_impossible_rows_are_refused(
    labels: list[float], probabilities: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        row_losses("brier", np.array(labels), np.array(probabilities))


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="hinge"):
        row_losses("hinge", np.array([1.0]), np.array([0.5]))  # type: ignore[arg-type]

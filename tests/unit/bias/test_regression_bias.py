"""Bias of a regression: what is declared, Clarify's metrics by a cut, Fairlearn's by group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from steward.domain.bias.assessment import BiasRows, Origin, Predicted, assess
from steward.domain.bias.by_group import by_group
from steward.domain.bias.declaration import Bias
from steward.domain.bias.evidence import BiasEvidence
from steward.domain.errors import InvalidProjectError, RejectedError
from steward.domain.monitoring.labelled_rows import Decision
from steward.domain.project import parse_project
from support.regression_scene import declaration
from unit.test_project import minimal

N = 1200
_DRAWN = np.random.default_rng(9)
SEX = np.where(_DRAWN.random(N) < 0.4, "f", "m")
LABELS = _DRAWN.normal(300, 80, N) - 40 * (SEX == "f")
ANSWERS = LABELS + _DRAWN.normal(5, 20, N) - 15 * (SEX == "f")
ATTRIBUTES = [{"column": "sex", "facets": [{"values": ["f"]}]}]


def _declared(**bias: Any) -> dict[str, Any]:
    found = declaration(bias={"attributes": ATTRIBUTES, "favourable": {"above": 280}, **bias})
    found["data"]["columns"].append({"name": "sex", "type": "string", "allowed": ["f", "m"]})
    return found


def _assessed(answers: Any = ANSWERS, **bias: Any) -> BiasEvidence:
    declared = parse_project(_declared(**bias)).bias
    assert declared is not None
    cut = declared.favourable.cut
    assert cut is not None
    favourable = np.array([cut.favours(label) for label in LABELS])
    columns: dict[str, Any] = {"sex": SEX.tolist()}
    told = ["favourable" if one else "other" for one in favourable]
    rows = BiasRows(favourable, told, columns, LABELS)
    predicted = Predicted(answers, np.array([cut.favours(one) for one in answers]), {})
    return assess(declared, rows, rows, predicted, Origin("p", "r", "0" * 64, "event", [str(cut)]))


def test_a_regression_shows_errors_by_group_unless_it_says_otherwise() -> None:
    found = parse_project(_declared()).bias
    assert found is not None
    assert found.group_metrics == [
        "mean_prediction", "mean_error", "mean_absolute_error", "root_mean_squared_error",
    ]  # fmt: skip
    again = parse_project(parse_project(_declared()).model_dump(mode="json")).bias
    assert again == found


def test_clarifys_metrics_are_of_numbers_above_the_cut() -> None:
    """``positive label index`` of smclarify for continuous labels: values above the threshold."""
    found = _assessed()
    (facet,) = found.facets
    d = SEX == "f"
    label, said = LABELS > 280, ANSWERS > 280
    q_a, q_d = label[~d].mean(), label[d].mean()
    p_a, p_d = said[~d].mean(), said[d].mean()
    recall_a, recall_d = said[~d & label].mean(), said[d & label].mean()
    expected = {
        "CI": (N - 2 * d.sum()) / N,
        "DPL": q_a - q_d,
        "DPPL": p_a - p_d,
        "DI": p_d / p_a,
        "RD": recall_a - recall_d,
        "TVD": abs(q_a - q_d),
        "KS": abs(q_a - q_d),
        "LP": np.sqrt(2) * abs(q_a - q_d),
        "KL": q_a * np.log(q_a / q_d) + (1 - q_a) * np.log((1 - q_a) / (1 - q_d)),
        "AD": (said == label)[~d].mean() - (said == label)[d].mean(),
    }
    for name, value in expected.items():
        assert facet.report.metric(name).value == pytest.approx(value), name
    assert (found.task, found.threshold, found.favourable) == ("regression", 280, ["> 280"])
    assert facet.verdicts[0].metric == "DI"
    assert facet.verdicts[0].verdict == "fail"
    assert found.verdict == "hold"


def test_favourable_may_be_what_is_small() -> None:
    found = _assessed(favourable={"at_most": 280})
    p_a, p_d = (float((ANSWERS[side] <= 280).mean()) for side in (SEX == "m", SEX == "f"))
    assert found.facets[0].report.metric("DPPL").value == pytest.approx(p_a - p_d)
    assert found.favourable == ["<= 280"]


def test_groups_have_the_errors_of_their_own_numbers() -> None:
    """Each group's value, difference and ratio as Fairlearn's MetricFrame defines them."""
    found = {one.metric: one for one in _assessed().groups}
    for metric, compute in (
        ("mean_absolute_error", mean_absolute_error),
        ("root_mean_squared_error", root_mean_squared_error),
        ("mean_error", lambda y, p: (p - y).mean()),
        ("mean_prediction", lambda y, p: p.mean()),
    ):
        values = {}
        for group in found[metric].groups:
            rows = group.group["sex"] == SEX
            values[str(group.group["sex"])] = compute(LABELS[rows], ANSWERS[rows])
            assert group.value is not None
            assert group.value == pytest.approx(values[str(group.group["sex"])])
            assert group.lower is not None
            assert group.upper is not None
            assert group.lower < group.value < group.upper
        overall = compute(LABELS, ANSWERS)
        assert found[metric].overall == pytest.approx(overall)
        between = found[metric].differences["between_groups"].value
        assert between == pytest.approx(max(values.values()) - min(values.values()))
        if metric != "mean_error":
            ratio = found[metric].ratios["between_groups"].value
            assert ratio == pytest.approx(min(values.values()) / max(values.values()))
    error = {str(g.group["sex"]): g for g in found["mean_error"].groups}
    assert error["f"].adjusted is not None
    assert error["f"].adjusted < 0.01


def test_equal_errors_are_seldom_said_to_differ() -> None:
    drawn = np.random.default_rng(2)
    low = 0
    for seed in range(60):
        labels = drawn.normal(0, 1, 400)
        answers = labels + drawn.normal(0, 1, 400)
        side = np.where(drawn.random(400) < 0.5, "x", "y").tolist()
        found = by_group("mean_error", labels, answers, {"side": side}, samples=200, seed=seed)
        low += any((group.adjusted or 1) < 0.05 for group in found.groups)
    assert low <= 8


def test_an_answer_that_is_no_number_is_named() -> None:
    answers = ANSWERS.copy()
    answers[7] = np.nan
    with pytest.raises(RejectedError, match="row 7 is no finite number"):
        _assessed(answers)


def test_live_numbers_are_cut_alike() -> None:
    declared = Bias.model_validate({"attributes": ATTRIBUTES, "favourable": {"at_most": 10}})
    labels, predicted = Decision(10, True, declared.favourable.cut).of(
        np.array([10.0, 10.5]), np.array([11.0, 9.0])
    )
    assert labels.tolist() == [1.0, 0.0]
    assert predicted.tolist() == [False, True]


@pytest.mark.parametrize(
    ("bias", "field", "allowed"),
    [
        ({"favourable": {}}, "bias.favourable", "above: NUMBER"),
        ({"favourable": {"above": 1, "at_most": 2}}, "bias.favourable", "above: NUMBER"),
        ({"favourable": {"above": 1, "labels": [3]}}, "bias.favourable.labels", "at_most"),
        ({"favourable": {"above": 1, "threshold": 0.4}}, "bias.favourable.threshold", "above"),
        ({"group_metrics": ["brier"]}, "bias.group_metrics[0]", "mean_error"),
    ],
)
def test_what_numbers_do_not_have_is_refused(
    bias: dict[str, Any], field: str, allowed: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        parse_project(_declared(**bias))
    assert refused.value.field == field
    assert allowed in f"{refused.value} {refused.value.allowed}"


@pytest.mark.parametrize("favourable", [{"above": 1000}, {"at_most": -1}])
def test_a_cut_that_parts_nothing_is_refused(favourable: dict[str, float]) -> None:
    declared = _declared(favourable=favourable)
    for column in declared["data"]["columns"]:
        if column["name"] == "price":
            column.update(min=0, max=1000)
    with pytest.raises(InvalidProjectError, match="one side"):
        parse_project(declared)


def test_a_class_has_no_cut() -> None:
    declared = minimal()
    declared["data"]["columns"].append({"name": "sex", "type": "string"})
    declared["bias"] = {"attributes": ATTRIBUTES, "favourable": {"above": 1}}
    with pytest.raises(InvalidProjectError) as refused:
        parse_project(declared)
    assert refused.value.field == "bias.favourable.above"

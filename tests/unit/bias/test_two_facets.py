"""Metrics between two facets: equal to smclarify's in its mode, to the guide's in the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.bias.facets import compare_facets, rows_of
from steward.domain.bias.fliptest import flips
from steward.domain.bias.names import METRICS, POST_TRAINING, PRE_TRAINING
from steward.domain.bias.report import BiasReport, report_bias
from steward.domain.bias.two_facets import divergences
from steward.domain.errors import RejectedError

# What smclarify 0.5 gives for random rows of seed 7 (pandas 1.5.3, numpy 1.26.4): labels of four
# values, one case with a value that facet d lacks, one binary, one of twelve rows.
CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "smclarify.json").read_text(encoding="utf-8")
)


def report(case: dict[str, Any], mode: Any = "exact", **changed: Any) -> BiasReport:
    columns: dict[str, Any] = {
        "label_values": case["label"],
        "strata": case["stratum"],
        "features": np.array(case["features"]),
        "bootstrap_samples": 200,
        **changed,
    }
    facet, labels, predictions = (
        np.array(case[name], bool) for name in ("disadvantaged", "positive", "predicted")
    )
    return report_bias("facet", facet, labels, predictions, mode=mode, **columns)


@pytest.mark.parametrize("place", range(len(CASES)))
def test_all_21_metrics_equal_those_of_smclarify(place: int) -> None:
    case = CASES[place]

    found = report(case, "clarify_compatible")

    assert [metric.name for metric in found.metrics] == list(METRICS)
    assert len(METRICS) == 21
    for metric in found.metrics:
        assert metric.value == pytest.approx(case["metrics"][metric.name], abs=1e-12), metric.name


@pytest.mark.parametrize("place", range(len(CASES)))
def test_the_modes_differ_where_code_and_guide_do_and_nowhere_else(place: int) -> None:
    exact, compatible = report(CASES[place]), report(CASES[place], "clarify_compatible")

    for metric in exact.metrics:
        if metric.name in ("KL", "JS", "LP", "TVD", "KS", "TE", "FT") or metric.value is None:
            continue
        assert metric.value == compatible.metric(metric.name).value


def test_kl_over_all_label_values_is_never_negative_and_undefined_where_d_lacks_one() -> None:
    lacking = report(CASES[1])
    compatible = report(CASES[1], "clarify_compatible")

    negative = divergences(np.array([6.0, 4, 5]), np.array([7.0, 8, 0]), "clarify_compatible")
    assert float(negative["KL"]) < 0
    assert lacking.metric("KL").value is None
    assert "never occurs in facet d" in str(lacking.metric("KL").undefined_because)
    assert (lacking.metric("TVD").value or 0) > (compatible.metric("TVD").value or 0)


def test_treatment_equality_of_the_guide() -> None:
    # a: 1 false positive, 2 false negatives; d: 3 and 4. Guide: 1/2 - 3/4, code: 4/3 - 2/1.
    rows = [(0, 0, 1)] * 1 + [(0, 1, 0)] * 2 + [(1, 0, 1)] * 3 + [(1, 1, 0)] * 4
    facet, labels, predictions = (np.array(column, bool) for column in zip(*rows, strict=True))

    exact = report_bias("x", facet, labels, predictions, bootstrap_samples=200)
    code = report_bias(
        "x", facet, labels, predictions, mode="clarify_compatible", bootstrap_samples=200
    )

    assert exact.metric("TE").value == pytest.approx(1 / 2 - 3 / 4)
    assert code.metric("TE").value == pytest.approx(4 / 3 - 2)


def test_a_zero_denominator_is_undefined_with_a_reason() -> None:
    facet = np.array([0, 0, 1, 1], bool)
    nobody = np.zeros(4, bool)

    found = report_bias("x", facet, np.array([1, 0, 1, 0], bool), nobody, bootstrap_samples=200)
    code = report_bias(
        "x", facet, np.array([1, 0, 1, 0], bool), np.array([0, 0, 1, 0], bool),
        mode="clarify_compatible", bootstrap_samples=200,
    )  # fmt: skip

    assert found.metric("DI").value is None
    assert found.metric("DI").undefined_because == "no row of facet a is predicted positive"
    assert found.metric("DAR").value is None
    assert code.metric("DI").value is None
    assert "smclarify has infinity here" in str(code.metric("DI").undefined_because)


def test_without_predictions_only_pre_training_metrics() -> None:
    case = CASES[0]
    facet, labels = np.array(case["disadvantaged"], bool), np.array(case["positive"], bool)

    found = report_bias("x", facet, labels, strata=case["stratum"], bootstrap_samples=200)

    assert [metric.name for metric in found.metrics] == list(PRE_TRAINING)


def test_without_strata_and_features_what_needs_them_is_left_out() -> None:
    found = report(CASES[0], strata=None, features=None)

    left_out = set(METRICS) - {metric.name for metric in found.metrics}
    assert left_out == {"CDDL", "CDDPL", "FT"}


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=60
    ).filter(lambda rows: len({row[0] for row in rows}) == 2)
)
def test_exchanging_the_facets_turns_every_difference_around(
    rows: list[tuple[bool, bool, bool]],
) -> None:
    facet, labels, predictions = (np.array(column, bool) for column in zip(*rows, strict=True))

    here = report_bias("x", facet, labels, predictions, bootstrap_samples=200)
    there = report_bias("x", ~facet, labels, predictions, bootstrap_samples=200)

    for name in ("CI", "DPL", "DPPL", "DCAcc", "DCR", "SD", "RD", "DAR", "DRR", "AD", "TE"):
        one, other = here.metric(name).value, there.metric(name).value
        assert (one is None) == (other is None), name
        if one is not None and other is not None:
            assert one == pytest.approx(-other, abs=1e-12), name
    for name in ("JS", "LP", "TVD", "KS", "GE"):
        assert here.metric(name).value == pytest.approx(there.metric(name).value, abs=1e-12)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=6),
       st.lists(st.integers(0, 50), min_size=2, max_size=6))  # fmt: skip
def test_divergences_keep_their_order(a: list[int], d: list[int]) -> None:
    size = min(len(a), len(d))
    counts_a, counts_d = np.array(a[:size], float) + 1, np.array(d[:size], float) + 1

    found = {name: float(value) for name, value in divergences(counts_a, counts_d, "exact").items()}

    assert -1e-12 <= found["JS"] <= np.log(2)
    assert found["KL"] >= -1e-12
    assert found["KS"] <= found["LP"] + 1e-12
    assert found["TVD"] <= np.sqrt(found["KL"] / 2) + 1e-9  # Pinsker
    assert found["KS"] <= found["TVD"] + 1e-12


def test_the_flip_test_of_the_guide_standardises_and_counts_harm_as_positive() -> None:
    # d is refused where its neighbours by age are accepted; income in cents would drown age.
    age = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] * 2)
    income = np.tile([1e6, -1e6], 12) * np.repeat([1, -1], 12)
    facet = np.repeat([False, True], 12)
    answers = np.where(facet, False, age > 6)

    found = flips(np.column_stack([age, income * 0]), facet, answers, "exact")
    code = flips(np.column_stack([age, income * 0]), facet, answers, "clarify_compatible")

    assert found.mean() == pytest.approx(0.5)
    assert code.mean() == pytest.approx(-0.5)


def test_the_flip_test_refuses_what_is_no_number() -> None:
    features = np.array([[1.0], [np.nan]])

    with pytest.raises(RejectedError) as refused:
        flips(features, np.array([False, True]), np.array([True, True]), "exact")

    assert refused.value.field == "features[1, 0]"


def test_a_facet_without_rows_is_refused() -> None:
    with pytest.raises(RejectedError, match="facet d has no rows"):
        compare_facets(np.zeros(3, bool), np.ones(3, bool))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(RejectedError, match="labels has 2 rows where the facet has 3"):
        compare_facets(np.array([0, 1, 1], bool), np.ones(2, bool))


def test_facets_by_value_and_by_threshold() -> None:
    assert rows_of([1, 2, None, 3], of=[2, 3], field="facet").tolist() == [False, True, False, True]
    assert rows_of([1, 60, None, 61.5], above=60, field="facet").tolist() == [
        False, False, False, True,
    ]  # fmt: skip
    with pytest.raises(RejectedError, match="no number"):
        rows_of(["a"], above=1, field="facet")
    with pytest.raises(RejectedError, match="not both"):
        rows_of([1], above=1, of=[1], field="facet")


def test_names_are_those_of_clarify() -> None:
    assert len(PRE_TRAINING) == 8
    assert len(POST_TRAINING) == 13

"""Late labels: the first one counts, once; what else comes is counted."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.monitoring.labels import Label, coverage, joined

MADE = {"a": 100.0, "b": 200.0, "c": 300.0}


def test_the_label_known_first_counts_in_whatever_order_they_come() -> None:
    labels = [Label("a", 1.0, 150), Label("a", 0.0, 140), Label("a", 1.0, 160), Label("b", 1, 250)]
    for order in itertools.permutations(labels):
        found = joined(MADE, {}, order)
        assert found.labels == {"a": Label("a", 0.0, 140), "b": Label("b", 1, 250)}
        assert found.new == {"a", "b"}
        assert [label.value for label in found.contradicting] == [1.0, 1.0]
        assert found.repeated == 0


def test_what_counted_before_counts_for_good() -> None:
    once = joined(MADE, {}, [Label("a", 1.0, 150)])
    again = joined(MADE, once.labels, [Label("a", 1.0, 150), Label("a", 0.0, 110)])
    assert again.labels == once.labels
    assert again.new == frozenset()
    assert (again.repeated, len(again.contradicting)) == (1, 1)


def test_unknown_and_impossible_labels_are_set_aside() -> None:
    found = joined(MADE, {}, [Label("z", 1.0, 150), Label("b", 1.0, 199)])
    assert found.labels == {}
    assert found.unknown == (Label("z", 1.0, 150),)
    assert found.early == (Label("b", 1.0, 199),)
    # An unknown label is joined once its prediction is there.
    assert joined({"z": 90.0}, {}, found.unknown).new == {"z"}


@given(
    st.lists(
        st.builds(
            Label,
            st.sampled_from(["a", "b", "c", "z"]),
            st.sampled_from([0.0, 1.0]),
            st.floats(0, 400),
        ),
        max_size=25,
    )
)
def test_every_label_ends_in_one_place(labels: list[Label]) -> None:
    found = joined(MADE, {}, labels)
    placed = (
        len(found.new) + found.repeated + len(found.contradicting) + len(found.unknown)
        + len(found.early)
    )  # fmt: skip
    assert placed == len(labels)
    assert joined(MADE, found.labels, labels).new == frozenset()


def test_coverage_and_delay_look_at_predictions_whose_time_is_over() -> None:
    made = {str(n): float(n) for n in range(10)}
    known = {str(n): Label(str(n), 1, n + 2.0) for n in range(5)}
    known["5"] = Label("5", 1, 5 + 50.0)
    found = coverage(made, known, now_s=100.0, maximum_delay_s=20, quantiles=(0.5, 0.6, 0.9))
    assert (found.predictions, found.labelled, found.matured) == (10, 6, 10)
    assert (found.matured_labelled, found.late) == (5, 1)
    assert found.share == 0.5
    assert found.delay_s == {0.5: 2.0, 0.6: 50.0, 0.9: None}
    young = coverage(made, known, now_s=15.0, maximum_delay_s=20)
    assert (young.matured, young.share) == (0, None)
    assert young.labelled == 5
    assert young.delay_s == {0.5: None, 0.9: None}


def test_quick_labels_of_young_predictions_do_not_shorten_the_delay() -> None:
    made = {str(n): float(n) for n in range(100)}
    known = {str(n): Label(str(n), 1, n + (1.0 if n % 2 else 30.0)) for n in range(100)}
    found = coverage(made, known, now_s=100, maximum_delay_s=40, quantiles=(0.9,))
    assert found.matured == 61
    assert found.delay_s[0.9] == pytest.approx(30.0)

"""The salted split: stable for good, independent of deliveries, with the shares declared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.splits import part_of, position_of

SHARES = {"traffic": 0.3, "heldout": 0.3}


def test_known_entities_keep_their_part_for_good() -> None:
    parts = [part_of(f"p{n:03d}", salt="steward", **SHARES) for n in range(1, 9)]
    assert parts == [
        "heldout", "train", "traffic", "train", "train", "traffic", "train", "train",
    ]  # fmt: skip


@given(entity=st.text(), salt=st.text(min_size=1))
def test_every_entity_has_one_position_on_the_unit_interval(entity: str, salt: str) -> None:
    try:
        entity.encode()
        salt.encode()
    except UnicodeEncodeError:
        return
    position = position_of(entity, salt=salt)
    assert 0 <= position < 1
    assert position == position_of(entity, salt=salt)


@given(entity=st.integers(0, 10_000), traffic=st.floats(0, 0.5), more=st.floats(0, 0.4))
def test_a_larger_traffic_share_only_adds_entities(
    entity: int, traffic: float, more: float
) -> None:
    before = part_of(str(entity), salt="s", traffic=traffic, heldout=0.05)
    after = part_of(str(entity), salt="s", traffic=traffic + more, heldout=0.05)
    assert before != "traffic" or after == "traffic"


def test_shares_are_met_within_four_standard_errors() -> None:
    n = 20_000
    parts: list[str] = [part_of(f"e{i}", salt="steward", **SHARES) for i in range(n)]
    for part, share in {**SHARES, "train": 0.4}.items():
        assert abs(parts.count(part) / n - share) < 4 * (share * (1 - share) / n) ** 0.5


def test_another_salt_splits_independently() -> None:
    n = 20_000
    first = [part_of(f"e{i}", salt="a", **SHARES) == "heldout" for i in range(n)]
    second = [part_of(f"e{i}", salt="b", **SHARES) == "heldout" for i in range(n)]
    both = sum(x and y for x, y in zip(first, second, strict=True)) / n
    assert abs(both - 0.09) < 4 * (0.09 * 0.91 / n) ** 0.5


@pytest.mark.parametrize(("traffic", "heldout"), [(0.5, 0.5), (-0.1, 0.3), (0.3, -0.1), (0.9, 0.2)])
def test_shares_that_leave_nothing_to_train_are_refused(traffic: float, heldout: float) -> None:
    with pytest.raises(ValueError, match="below 1 together"):
        part_of("e", salt="s", traffic=traffic, heldout=heldout)

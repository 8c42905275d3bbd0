"""Versions follow definitions, and numbers are never given twice."""

import pytest

from steward.domain.errors import RejectedError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_versions import (
    GroupStatus,
    KnownVersion,
    assign_versions,
    group_item,
    label_of,
    parse_label,
)
from steward.domain.names import feature_group_name
from support.feature_scene import labs


def group(**changes: object) -> FeatureGroup:
    return FeatureGroup.model_validate(labs(**changes))


def known(declared: FeatureGroup, version: int, status: str = "active") -> KnownVersion:
    return KnownVersion(
        declared.feature_group, version, declared.definition_digest, GroupStatus(status)
    )


def numbers(items: list[KnownVersion], *declared: FeatureGroup) -> list[tuple[int, bool, bool]]:
    return [
        (found.version, found.is_new, found.is_revived)
        for found in assign_versions(items, declared)
    ]


def test_the_first_is_one_and_the_same_definition_keeps_its_number() -> None:
    assert numbers([], group()) == [(1, True, False)]
    assert numbers([known(group(), 1)], group()) == [(1, False, False)]
    assert numbers([known(group(), 1)], group(owner="else", description="", tags={})) == [
        (1, False, False)
    ]


def test_another_definition_gets_the_next_number_and_a_former_one_its_own_again() -> None:
    longer = group(ttl_s=7)
    assert numbers([known(group(), 1)], longer) == [(2, True, False)]
    both = [known(group(), 1), known(longer, 2)]
    assert numbers(both, group()) == [(1, False, False)]
    assert numbers(both, group(where="glucose > 0")) == [(3, True, False)]


def test_a_retired_definition_that_is_declared_again_is_revived() -> None:
    assert numbers([known(group(), 1, "retired")], group()) == [(1, False, True)]
    assert numbers([known(group(ttl_s=1), 4, "retired")], group()) == [(5, True, False)]


def test_groups_are_numbered_apart() -> None:
    other = group(feature_group="vitals")
    assert numbers([known(group(), 3)], other, group()) == [(1, True, False), (3, False, False)]


def test_names_hold_the_longest_parts() -> None:
    name = feature_group_name("staging", "a" * 20, "b" * 20, 99)
    assert len(name) <= 63
    assert group_item("labs", 12) == "group#labs#v0012"


def test_labels_are_read_back() -> None:
    assert parse_label(label_of("labs", 12)) == ("labs", 12)
    for wrong in ("labs", "labs/v", "labs/v0", "labs/vx", "/v1"):
        with pytest.raises(RejectedError):
            parse_label(wrong)

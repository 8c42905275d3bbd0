"""Versions follow definitions, and numbers are never given twice."""

import pytest

from steward.domain.errors import InvalidProjectError, RejectedError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_versions import (
    GroupStatus,
    KnownVersion,
    assign_versions,
    group_item,
    label_of,
    parse_label,
    pin_versions,
    source_digest,
    source_table,
)
from steward.domain.names import feature_group_name
from steward.domain.project import Project, parse_project
from support.feature_scene import declaration, labs


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


def with_glucose(type_: str, **use: object) -> Project:
    """Return the project with one column of its source of a type."""
    document = declaration(labs(), features=[{"group": "labs", **use}])
    [column] = [c for c in document["data"]["sources"]["lab"]["columns"] if c["name"] == "glucose"]
    column["type"] = type_
    return parse_project(document)


def registered(type_: str, version: int, status: str = "active") -> dict[str, object]:
    project = with_glucose(type_)
    [found] = project.feature_groups
    table = project.data.table("lab")
    assert table is not None
    return {
        "item": group_item("labs", version), "group": "labs", "version": version,
        "definition_digest": found.definition_digest, "status": status,
        "source_digest": source_digest(source_table(found, table)),
    }  # fmt: skip


def pinned(project: Project, *items: dict[str, object]) -> int:
    found = pin_versions(items, project.feature_groups, project.features, project.data)
    return int(found[0]["version"])


def test_a_run_takes_the_version_whose_source_has_the_types_that_are_declared_now() -> None:
    items = [registered("float", 1), registered("integer", 2)]
    assert pinned(with_glucose("float"), *items) == 1
    assert pinned(with_glucose("integer"), *items) == 2
    assert pinned(with_glucose("float", version=2), *items) == 2


def test_a_version_of_other_types_alone_is_no_version_to_take() -> None:
    items = [registered("float", 1, "retired"), registered("integer", 2)]
    with pytest.raises(InvalidProjectError) as refused:
        pinned(with_glucose("float"), *items)
    assert (refused.value.field, refused.value.allowed) == (
        "features[0].version", "v1 (retired), v2 (active)",
    )  # fmt: skip

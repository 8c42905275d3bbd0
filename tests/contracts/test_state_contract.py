"""The state store's contract, kept by DynamoDB's adapter and by the fake."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steward.contracts.events import OutcomesRecorded
from steward.domain.errors import ConflictError, RejectedError
from steward.ports import (
    Absent,
    AbsentOrBelow,
    Change,
    Condition,
    Delete,
    Equals,
    Exists,
    OneOf,
    Put,
    StateStore,
    Table,
    Update,
)
from support.builders import event_of
from support.fakes import FakeState
from support.stores import dynamo_store

pytestmark = pytest.mark.usefixtures("isolated")

KEY = {"project": "diabetes", "run_id": "r1"}


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> StateStore:
    if request.param == "fake":
        return FakeState()
    return dynamo_store(request.getfixturevalue("aws"))


def write(store: StateStore, **attributes: Any) -> None:
    store.commit([Put(Table.RUNS, {**KEY, **attributes})])


def read(store: StateStore) -> dict[str, Any] | None:
    return store.get(Table.RUNS, KEY)


def test_what_was_put_is_read_back(store: StateStore) -> None:
    content: dict[str, Any] = {
        "text": "süß \N{SNOWMAN}", "empty": "", "none": None, "yes": True, "no": False,
        "whole": 7, "float": 0.1, "list": [1, 2.5, "x", None, [], {}],
        "map": {"a": {"b": [True]}, "with space": 1},
    }  # fmt: skip

    write(store, **content)

    assert read(store) == {**KEY, **content}


def test_nothing_is_none(store: StateStore) -> None:
    assert read(store) is None


def test_a_put_replaces_the_whole_item(store: StateStore) -> None:
    write(store, a=1, whole_float=1.0)
    write(store, b=2)

    assert read(store) == {**KEY, "b": 2}


def test_what_is_read_is_a_copy(store: StateStore) -> None:
    write(store, values=[1])

    found = read(store)
    assert found is not None
    found["values"].append(2)

    assert read(store) == {**KEY, "values": [1]}


def test_whole_floats_stay_floats_and_whole_numbers_stay_whole(store: StateStore) -> None:
    write(store, arms=[{"share": 100.0, "version": 2, "a/b~c": 1.0}], at=0.0, big=1e22, n=10**22)

    found = read(store)

    assert found is not None
    kinds = {name: type(value) for name, value in found["arms"][0].items()}
    assert kinds == {"share": float, "version": int, "a/b~c": float}
    assert [type(found[name]) for name in ("at", "big", "n")] == [float, float, int]


def test_a_number_keeps_its_kind_when_an_update_changes_it(store: StateStore) -> None:
    write(store, a=1.0, b=1, c=1.0)

    store.commit([Update(Table.RUNS, KEY, set={"a": 2, "b": 2.0}, remove=("c",))])
    store.commit([Update(Table.RUNS, KEY, set={"c": 3})])

    found = read(store)
    assert found == {**KEY, "a": 2, "b": 2.0, "c": 3}
    assert [type(found[name]) for name in "abc"] == [int, float, int]


numbers = (
    st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1)
    | st.floats(min_value=1e-130, max_value=9.9e125)
    | st.floats(min_value=-9.9e125, max_value=-1e-130)
    | st.sampled_from([0, 0.0, 1.0, 0.1, 1 / 3, 1e-7, 123456789.123456789, math.pi])
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(name, parts, max_size=4),
    max_leaves=8,
)


def _kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _kinds(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_kinds(part) for part in value]
    return type(value)


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(value=values)
def test_every_json_value_comes_back_exactly(store: StateStore, value: Any) -> None:
    write(store, value=value)

    found = read(store)

    assert found is not None
    assert found["value"] == value
    assert _kinds(found["value"]) == _kinds(value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 1e-131, -1e126, 10**38 + 1, 10**200],
    ids=str,
)
def test_a_number_that_does_not_fit_is_refused(store: StateStore, value: float) -> None:
    with pytest.raises(RejectedError) as refused:
        write(store, score=value)

    assert refused.value.field == "score"
    assert read(store) is None


def test_a_value_that_is_not_json_is_a_fault_of_the_program(store: StateStore) -> None:
    with pytest.raises(TypeError):
        write(store, when={1, 2})


def test_an_item_of_300_kb_is_kept_and_one_above_400_kb_refused(store: StateStore) -> None:
    write(store, text="x" * 300_000)
    with pytest.raises(RejectedError):
        write(store, text="x" * 410_000)

    found = read(store)
    assert found is not None
    assert len(found["text"]) == 300_000


def test_an_update_that_grows_an_item_above_400_kb_is_refused(store: StateStore) -> None:
    write(store, text="x" * 300_000)

    with pytest.raises(RejectedError):
        store.commit([Update(Table.RUNS, KEY, set={"more": "y" * 150_000})])


@pytest.mark.parametrize("attributes", [{"": 1}, {"~a": 1}, {"a": {"": 1}}], ids=str)
def test_a_name_that_the_store_has_not_is_refused(
    store: StateStore, attributes: dict[str, Any]
) -> None:
    with pytest.raises(RejectedError):
        write(store, **attributes)


@pytest.mark.parametrize(
    "change",
    [
        Put(Table.RUNS, {"project": "diabetes"}),
        Put(Table.RUNS, {"project": "diabetes", "run_id": ""}),
        Update(Table.RUNS, {"project": "diabetes"}, set={"a": 1}),
        Update(Table.RUNS, {**KEY, "other": "x"}, set={"a": 1}),
        Update(Table.RUNS, KEY, set={"run_id": "r2"}),
        Update(Table.RUNS, KEY, set={"a": 1}, remove=("a",)),
        Delete(Table.RUNS, {"run_id": "r1"}),
    ],
    ids=lambda change: type(change).__name__,
)
def test_a_change_with_a_wrong_key_is_refused(store: StateStore, change: Change) -> None:
    with pytest.raises(RejectedError):
        store.commit([change])


# --- conditions -------------------------------------------------------------------------

HOLDS: list[tuple[dict[str, Any] | None, Condition, bool]] = [
    (None, Absent(), True),
    ({}, Absent(), False),
    (None, Exists(), False),
    ({}, Exists(), True),
    ({"a": 1}, Equals("a", 1), True),
    ({"a": 1}, Equals("a", 1.0), True),
    ({"a": 1.0}, Equals("a", 1), True),
    ({"a": 1}, Equals("a", 2), False),
    ({"a": 1}, Equals("a", "1"), False),
    ({"a": {"b": [1, None]}}, Equals("a", {"b": [1, None]}), True),
    ({"a": {"b": [1, None]}}, Equals("a", {"b": [1]}), False),
    ({"a": "x"}, Equals("b", "x"), False),
    (None, Equals("a", 1), False),
    (None, Equals("a", None), True),
    ({}, Equals("a", None), True),
    ({"a": None}, Equals("a", None), True),
    ({"a": 0}, Equals("a", None), False),
    ({"a": ""}, Equals("a", None), False),
    ({"a": "x"}, OneOf("a", ("x", "y")), True),
    ({"a": "z"}, OneOf("a", ("x", "y")), False),
    ({}, OneOf("a", ("x", "y")), False),
    (None, OneOf("a", ("x", "y")), False),
    ({}, OneOf("a", ("x", None)), True),
    ({"a": "z"}, OneOf("a", ("x", None)), False),
    ({"a": "x"}, OneOf("a", ()), False),
    (None, OneOf("a", ()), False),
    (None, AbsentOrBelow("a", 5), True),
    ({}, AbsentOrBelow("a", 5), True),
    ({"a": None}, AbsentOrBelow("a", 5), True),
    ({"a": 4.9}, AbsentOrBelow("a", 5), True),
    ({"a": 5}, AbsentOrBelow("a", 5), False),
    ({"a": 5.0}, AbsentOrBelow("a", 5.5), True),
    ({"a": -1}, AbsentOrBelow("a", 0.0), True),
]


@pytest.mark.parametrize(("item", "condition", "holds"), HOLDS, ids=str)
@pytest.mark.parametrize(
    "change",
    [
        lambda expect: Put(Table.RUNS, {**KEY, "new": 1}, expect),
        lambda expect: Update(Table.RUNS, KEY, {"new": 1}, (), expect),
        lambda expect: Delete(Table.RUNS, KEY, expect),
    ],
    ids=["put", "update", "delete"],
)
def test_a_write_depends_on_its_condition(
    store: StateStore,
    item: dict[str, Any] | None,
    condition: Condition,
    holds: bool,
    change: Callable[[tuple[Condition, ...]], Change],
) -> None:
    if item is not None:
        write(store, **item)
    before = read(store)

    if holds:
        store.commit([change((condition,))])
    else:
        with pytest.raises(ConflictError, match="runs"):
            store.commit([change((condition,))])
        assert read(store) == before


def test_values_of_different_types_are_neither_equal_nor_ordered(
    store: StateStore, request: pytest.FixtureRequest
) -> None:
    if request.node.name.endswith("[dynamodb]"):
        request.applymarker(pytest.mark.xfail(reason="moto 5.2 compares like Python", strict=True))
    write(store, yes=True, one=1, four="4")

    for lost in (Equals("yes", 1), Equals("one", True), AbsentOrBelow("four", 5)):
        with pytest.raises(ConflictError):
            store.commit([Delete(Table.RUNS, KEY, (lost,))])


def test_all_conditions_of_a_change_must_hold(store: StateStore) -> None:
    write(store, status="running", owner="a")

    with pytest.raises(ConflictError):
        store.commit(
            [Update(Table.RUNS, KEY, {"status": "failed"},
                    expect=(Equals("status", "running"), Equals("owner", "b")))]
        )  # fmt: skip

    assert read(store) == {**KEY, "status": "running", "owner": "a"}


def test_a_reserved_word_may_name_an_attribute(store: StateStore) -> None:
    write(store, status="a", name="b", size=1)

    change = Update(Table.RUNS, KEY, {"status": "c"}, ("size",), (Equals("name", "b"),))
    store.commit([change])

    assert read(store) == {**KEY, "status": "c", "name": "b"}


def test_an_update_creates_what_is_not_there(store: StateStore) -> None:
    store.commit([Update(Table.RUNS, KEY, {"status": "waiting"})])

    assert read(store) == {**KEY, "status": "waiting"}


def test_an_update_sets_none_and_removes_what_is_absent(store: StateStore) -> None:
    write(store, a=1)

    store.commit([Update(Table.RUNS, KEY, {"a": None}, ("b",))])

    assert read(store) == {**KEY, "a": None}


def test_deleting_what_is_not_there_is_no_error(store: StateStore) -> None:
    store.commit([Delete(Table.RUNS, KEY)])

    assert read(store) is None


# --- transactions -----------------------------------------------------------------------


def test_changes_of_several_tables_are_written_together(store: StateStore) -> None:
    store.commit(
        [
            Put(Table.RUNS, {**KEY, "status": "running"}, (Absent(),)),
            Put(Table.LOCKS, {"lock": "diabetes/training", "owner": "r1"}, (Absent(),)),
            Update(Table.PROJECTS, {"project": "diabetes"}, {"seen": 1}),
        ]
    )

    assert read(store) == {**KEY, "status": "running"}
    assert store.get(Table.LOCKS, {"lock": "diabetes/training"}) is not None
    assert store.get(Table.PROJECTS, {"project": "diabetes"}) == {"project": "diabetes", "seen": 1}


def test_one_lost_condition_undoes_everything(store: StateStore) -> None:
    store.commit([Put(Table.LOCKS, {"lock": "diabetes/training", "owner": "r0"})])

    with pytest.raises(ConflictError, match="diabetes/training"):
        store.commit(
            [
                Put(Table.RUNS, {**KEY, "status": "running"}, (Absent(),)),
                Put(Table.LOCKS, {"lock": "diabetes/training", "owner": "r1"}, (Absent(),)),
            ],
            [event_of()],
        )

    assert read(store) is None
    assert store.get(Table.LOCKS, {"lock": "diabetes/training"}) == {
        "lock": "diabetes/training", "owner": "r0",
    }  # fmt: skip


def test_one_refused_item_undoes_everything(store: StateStore) -> None:
    with pytest.raises(RejectedError):
        store.commit(
            [
                Put(Table.LOCKS, {"lock": "a"}),
                Put(Table.RUNS, {**KEY, "text": "x" * 410_000}),
            ]
        )

    assert store.get(Table.LOCKS, {"lock": "a"}) is None


def test_an_event_above_64_kb_is_refused_with_its_change(store: StateStore) -> None:
    large = event_of(OutcomesRecorded(count=1, uri="s3://b/" + "x" * 66_000))

    with pytest.raises(RejectedError, match="S3"):
        store.commit([Put(Table.RUNS, {**KEY})], [large])

    assert read(store) is None


def test_two_changes_of_one_item_are_refused(store: StateStore) -> None:
    with pytest.raises(RejectedError):
        store.commit([Put(Table.RUNS, KEY), Update(Table.RUNS, KEY, {"a": 1})])


def test_a_hundred_writes_fit_and_one_more_is_refused(store: StateStore) -> None:
    puts = [Put(Table.LOCKS, {"lock": f"l{i:03d}"}) for i in range(100)]

    store.commit(puts)
    with pytest.raises(RejectedError):
        store.commit(puts, [event_of()])

    assert len(list(store.scan(Table.LOCKS))) == 100


def test_events_alone_may_be_committed(store: StateStore) -> None:
    store.commit([], [event_of()])
    store.commit([])


# --- reading many -----------------------------------------------------------------------


def _fill(store: StateStore, count: int, text: str = "") -> None:
    for start in range(0, count, 50):
        store.commit(
            [
                Put(Table.VERSIONS, {"project": "p", "item": f"version#{i:08d}", "n": i, "t": text})
                for i in range(start, min(start + 50, count))
            ]
        )
    store.commit(
        [
            Put(Table.VERSIONS, {"project": "p", "item": "alias#champion"}),
            Put(Table.VERSIONS, {"project": "q", "item": "version#00000001"}),
        ]
    )


def test_a_query_returns_a_prefix_of_one_partition_in_key_order(store: StateStore) -> None:
    _fill(store, 12)

    found = store.query(Table.VERSIONS, "p", prefix="version#")

    assert [item["n"] for item in found] == list(range(12))
    assert len(store.query(Table.VERSIONS, "p")) == 13
    assert store.query(Table.VERSIONS, "nobody") == []


def test_a_query_can_go_backwards_and_stop(store: StateStore) -> None:
    _fill(store, 12)

    newest = store.query(Table.VERSIONS, "p", prefix="version#", newest_first=True, limit=3)

    assert [item["n"] for item in newest] == [11, 10, 9]
    assert store.query(Table.VERSIONS, "p", limit=0) == []


def test_a_query_returns_what_is_asked_of_each_item_exactly(store: StateStore) -> None:
    write(store, status="running", share=1.0, large="x" * 10_000)
    store.commit([Put(Table.RUNS, {**KEY, "run_id": "r2", "large": "x"})])

    found = store.query(Table.RUNS, "diabetes", fields=("run_id", "status", "share"))

    assert found == [{"run_id": "r1", "status": "running", "share": 1.0}, {"run_id": "r2"}]
    assert isinstance(found[0]["share"], float)


def test_a_query_of_a_table_without_sort_key_returns_its_item(store: StateStore) -> None:
    store.commit([Put(Table.ROUTES, {"project": "p", "route_version": 1})])

    assert store.query(Table.ROUTES, "p") == [{"project": "p", "route_version": 1}]


def test_reading_goes_through_all_pages(store: StateStore) -> None:
    _fill(store, 60, text="x" * 50_000)  # 3 MB; a page of DynamoDB holds 1 MB

    assert len(store.query(Table.VERSIONS, "p", prefix="version#")) == 60
    assert len(store.query(Table.VERSIONS, "p", prefix="version#", limit=45)) == 45
    assert len(list(store.scan(Table.VERSIONS))) == 62

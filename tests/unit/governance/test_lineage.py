"""The lineage graph: the same for any order of events, answerable as of any time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.contracts import events as e
from steward.contracts.incoming import Received
from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    MalformedEventError,
    RejectedError,
)
from steward.domain.lineage import (
    Direction,
    Edge,
    Report,
    attributes_at,
    edge,
    kind_of,
    live_shares,
    merged,
    moment,
    object_node,
    predictions_node,
)
from steward.domain.lineage_items import FACTS, edge_of, fact_of, key_of, shift_of
from steward.domain.lineage_walk import Found, walk
from steward.ports import Item, Put, Table
from steward.service.governance.lineage import record_lineage
from steward.service.governance.lineage_facts import exposure_facts
from support.fakes import FakeObjects, FakeState
from support.histories import BEGAN, CAPTURE, History, captured, received, whole_life

SOURCE_1 = "s3://data/deliveries/diabetes/d1.csv?versionId=v-d1"
SOURCE_L2 = "s3://data/deliveries/diabetes/l2.csv?versionId=v-l2"


class Recorder:
    """The use case on a state store and objects in memory."""

    def __init__(self) -> None:
        self.state, self.objects = FakeState(), FakeObjects()

    def record(self, *events: Received) -> Recorder:
        for event in events:
            record_lineage(event, state=self.state, objects=self.objects, environment="dev")
        return self

    def edges(self, node: str, direction: Direction) -> list[Edge]:
        items = self.state.query(Table.LINEAGE, key_of(node), prefix=f"{direction}#")
        return [edge_of(item) for item in items]

    def walk(self, start: str, direction: Direction, **options: Any) -> Found:
        return walk(start, direction, self.edges, **options)

    def attributes(self, node: str, as_of: str | None = None) -> dict[str, Any]:
        items = self.state.query(Table.LINEAGE, key_of(node), prefix=FACTS)
        return attributes_at(map(fact_of, items), as_of)

    def items(self) -> list[Item]:
        items = self.state.scan(Table.LINEAGE)
        return sorted(items, key=lambda item: (item["node"], item["item"]))


def exposure(version: int, at: datetime, project: str = "diabetes") -> bytes:
    seen = {"project": project, "answering_version": version, "time": at.isoformat()}
    return json.dumps({"capture": {**seen, "assigned_version": 1, "features": {}}}).encode()


def test_what_nobody_answered_is_no_prediction() -> None:
    at = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
    unanswered = json.loads(exposure(1, at))
    unanswered["capture"]["prediction"] = None
    report = Report(moment(at.isoformat()), "Object Created", "aws.s3")
    lines = [exposure(1, at), json.dumps(unanswered).encode()]
    facts = exposure_facts(lines, "object:s3://capture/exposures/a", report, "dev")
    assert [dict(one.counts) for one in facts.edges if one.counts] == [{"answers": 1}]
    assert exposure_facts(lines[1:], "object:s3://capture/exposures/a", report, "dev").edges == ()


LIFE = whole_life().events
IN_ORDER = Recorder().record(*LIFE).items()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_and_repetition_of_a_history_gives_the_same_graph(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(LIFE))))
    again = data.draw(st.lists(st.integers(0, len(LIFE) - 1), max_size=20))

    recorder = Recorder().record(*(LIFE[index] for index in [*order, *again]))

    assert recorder.items() == IN_ORDER


_REPORTS = st.builds(
    Report,
    st.integers(0, 5).map(lambda s: moment((BEGAN + timedelta(seconds=s)).isoformat())),
    st.sampled_from(["A", "B"]),
    st.sampled_from(["x", "y"]),
)
_EDGES = st.builds(
    lambda report, counts: edge("dataset:p/a", "run:p/r", report, counts),
    _REPORTS,
    st.dictionaries(st.sampled_from(["rows", "answers"]), st.integers(0, 9)),
)


@given(_EDGES, _EDGES, _EDGES)
def test_merging_is_commutative_associative_and_idempotent(a: Edge, b: Edge, c: Edge) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(merged(a, b), b) == merged(a, b)


def test_a_version_leads_up_to_the_source_objects() -> None:
    found = Recorder().record(*LIFE).walk("version:diabetes/1", "up")

    assert found.of("object") == [SOURCE_1, "s3://data/deliveries/diabetes/l1.csv?versionId=v-l1"]
    assert found.of("features") == ["features:diabetes/labs/v1"]
    assert found.of("run") == ["run:diabetes/run1-1"]


def test_a_source_object_leads_down_to_what_was_trained_on_it_and_to_predictions() -> None:
    recorder = Recorder().record(*LIFE)
    at = datetime(2026, 1, 5, 10, 15, tzinfo=UTC)
    lines = [exposure(1, at), exposure(1, at), exposure(2, at + timedelta(hours=1))]
    recorder.objects.write(f"s3://{CAPTURE}/exposures/2026/01/05/a", b"\n".join(lines) + b"\n")
    recorder.record(captured("exposures/2026/01/05/a", at))

    found = recorder.walk(SOURCE_1, "down", until=frozenset({"predictions"}))

    assert found.of("version") == ["version:diabetes/1", "version:diabetes/2"]
    assert found.of("predictions") == [
        "predictions:diabetes/v1/2026/01/05/10",
        "predictions:diabetes/v2/2026/01/05/11",
    ]
    assert found.of("object") == [SOURCE_1]
    [stored] = recorder.edges("predictions:diabetes/v1/2026/01/05/10", "down")
    assert stored.child == f"s3://{CAPTURE}/exposures/2026/01/05/a?versionId=v1"
    assert stored.counts == {"answers": 2}


def test_a_later_delivery_to_a_feature_group_is_in_no_earlier_dataset() -> None:
    recorder = Recorder().record(*LIFE)

    assert recorder.walk(SOURCE_L2, "down").of("version") == ["version:diabetes/2"]
    assert SOURCE_L2 not in recorder.walk("version:diabetes/1", "up").steps
    assert SOURCE_L2 in recorder.walk("version:diabetes/2", "up").steps


def test_a_walk_from_a_feature_group_finds_all_its_deliveries_and_datasets() -> None:
    recorder = Recorder().record(*LIFE)

    assert len(recorder.walk("features:diabetes/labs/v1", "up").of("delivery")) == 2
    assert len(recorder.walk("features:diabetes/labs/v1", "down").of("dataset")) == 2


def test_the_graph_is_answered_as_of_a_past_time() -> None:
    recorder = Recorder().record(*LIFE)
    registered = next(x for x in LIFE if x.detail_type == "VersionRegistered")
    before = moment((datetime.fromisoformat(registered.time) - timedelta(seconds=1)).isoformat())
    then = moment(registered.time)

    assert recorder.walk(SOURCE_1, "down", as_of=before).of("version") == []
    assert recorder.walk(SOURCE_1, "down", as_of=then).of("version") == ["version:diabetes/1"]
    assert recorder.attributes("version:diabetes/1", then)["status"] == "pending"
    assert recorder.attributes("version:diabetes/1")["status"] == "retained"
    assert recorder.attributes("version:diabetes/1")["replaced_by"] == 2


def test_the_shares_of_traffic_are_known_for_any_time() -> None:
    recorder = Recorder().record(*LIFE)
    shifts = [shift_of(item) for item in recorder.state.query(Table.LINEAGE, "route#diabetes")]

    assert live_shares(shifts) == {2: 100.0}
    assert live_shares(shifts, shifts[1].at) == {2: 10.0, 1: 90.0}
    assert live_shares(shifts, "2025-01-01T00:00:00.000Z") == {}


def test_a_chain_of_any_length_is_walked_and_a_depth_says_that_it_cut() -> None:
    recorder = Recorder()
    report = Report("2026-01-05T09:00:00.000Z", "Test", "cause")
    chain = {f"run:p/{n}": edge(f"run:p/{n}", f"run:p/{n + 1}", report) for n in range(1_000)}

    whole = walk("run:p/0", "down", lambda node, _: [chain[node]] if node in chain else [])
    some = walk("run:p/0", "down", lambda node, _: [chain[node]], depth=12)

    assert (len(whole.steps), whole.cut) == (1_001, False)
    assert (len(some.steps), some.cut) == (13, True)
    assert recorder.items() == []


def test_an_edge_that_somebody_else_wrote_meanwhile_is_merged_again() -> None:
    recorder, other = Recorder(), Recorder()
    early, late = LIFE[0], received(LIFE[0].detail, BEGAN + timedelta(hours=1), "retry")
    other.record(late)
    others = [Put(Table.LINEAGE, item) for item in other.items()]
    for _ in range(2):  # the name's and the fact's writes come first
        recorder.state.before_commit.append(lambda: None)
    recorder.state.before_commit.append(lambda: None)
    recorder.state.before_commit.append(lambda: recorder.state.commit(others))

    recorder.record(early)

    [known] = recorder.edges("delivery:diabetes/d1", "up")
    assert known.first.at == moment(early.time)
    assert known.last.at == moment(late.time)


def test_a_lost_race_is_an_error_in_the_end_that_makes_aws_try_again() -> None:
    recorder = Recorder()
    store = recorder.state
    real = store.commit

    def contended(changes: Any, events: Any = ()) -> None:
        if any(change.expect for change in changes):
            raise ConflictError("somebody else was faster")
        real(changes, events)

    store.commit = contended  # type: ignore[method-assign]

    with pytest.raises(ConflictError):
        recorder.record(LIFE[0])


def test_a_rebuild_adds_no_way() -> None:
    recorder = Recorder().record(*LIFE)
    rebuilt = e.DatasetBuilt(
        dataset_id="set1", manifest_uri="s3://data/datasets/diabetes/set1/manifest.json",
        deliveries=["d2"], train_rows=88, heldout_rows=66,
    )  # fmt: skip

    before = [item for item in recorder.items() if "parent" in item]
    recorder.record(received(rebuilt, BEGAN + timedelta(days=1), "rebuild"))

    assert [item for item in recorder.items() if "parent" in item] == before


def test_deliveries_that_only_the_manifest_names_are_in_the_graph() -> None:
    recorder = Recorder()
    ids = [f"{number:064x}" for number in range(e.NAMED_DELIVERIES + 700)]
    uri = "s3://data/datasets/diabetes/set1/manifest.json"
    manifest = {"sources": [{"sha256": one} for one in ids]}
    recorder.objects.write(uri, json.dumps(manifest).encode())
    built = e.DatasetBuilt(
        dataset_id="set1", manifest_uri=uri, deliveries=ids[: e.NAMED_DELIVERIES],
        more_deliveries=700, train_rows=88, heldout_rows=66, run_id="run-1",
    )  # fmt: skip
    recorder.record(received(built, BEGAN, "r"), received(built, BEGAN, "r"))

    parents = {edge.parent for edge in recorder.edges("dataset:diabetes/set1", "up")}
    assert parents == {f"delivery:diabetes/{one}" for one in ids}


def test_a_manifest_that_must_tell_and_is_gone_is_an_error() -> None:
    built = e.DatasetBuilt(
        dataset_id="set1", manifest_uri="s3://data/gone.json", deliveries=[], more_deliveries=3,
        train_rows=1, heldout_rows=1, run_id="run-1",
    )  # fmt: skip
    with pytest.raises(EvidenceIncompleteError):
        Recorder().record(received(built, BEGAN, "r"))


@pytest.mark.parametrize("line", [b"{", b"{}", b'{"capture": {"project": "p", "time": "now"}}'])
def test_an_object_that_holds_no_exposures_is_refused(line: bytes) -> None:
    recorder = Recorder()
    recorder.objects.write(f"s3://{CAPTURE}/exposures/x", exposure(1, BEGAN) + b"\n" + line)

    with pytest.raises(MalformedEventError, match="line 2"):
        recorder.record(captured("exposures/x"))

    assert recorder.items() == []


def test_other_objects_and_events_tell_nothing() -> None:
    recorder = Recorder().record(captured("outcomes/diabetes/x.jsonl"))
    recorder.record(received(e.TrainingRequested(reason="why"), BEGAN, "cause"))

    assert recorder.items() == []


def test_a_long_name_is_kept_whole_and_its_key_within_the_limit() -> None:
    long = object_node("data", "deliveries/diabetes/" + "é" * 500, "v1")

    assert len(key_of(long).encode()) <= 900
    assert key_of(long) != key_of(long + "x")
    history = History().tell(
        e.DeliveryReceived(
            delivery_id="d", bucket="data", key="deliveries/diabetes/" + "é" * 500,
            version_id="v1",
        )
    )  # fmt: skip
    recorder = Recorder().record(*history.events)
    assert recorder.walk("delivery:diabetes/d", "up").of("object") == [long]


@pytest.mark.parametrize("name", ["", "version:", "model:diabetes/1", "diabetes/1"])
def test_what_names_no_node_is_refused_with_the_forms(name: str) -> None:
    with pytest.raises(RejectedError, match="names no node") as refused:
        kind_of(name)
    assert "version:..." in str(refused.value.allowed)


def test_hours_are_in_utc_and_times_in_one_form() -> None:
    at = datetime.fromisoformat("2026-01-06T00:30:00+01:00")

    assert predictions_node("p", 3, at) == "predictions:p/v3/2026/01/05/23"
    assert moment("2026-01-06T00:30:00+01:00") == "2026-01-05T23:30:00.000Z"
    assert moment("2026-01-05T23:30:00Z") == moment("2026-01-05T23:30:00")
    with pytest.raises(RejectedError, match="is no time"):
        moment("yesterday")

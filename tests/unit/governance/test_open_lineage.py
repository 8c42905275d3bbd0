"""OpenLineage events: schema-valid, START and one end a run, the same for any order of facts."""

from __future__ import annotations

import copy
import json
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from steward.contracts import events as e
from steward.contracts.incoming import Received
from steward.domain.errors import RejectedError
from steward.domain.json_schema import problems
from steward.domain.open_lineage import checked
from steward.domain.open_lineage_schemas import FACETS, RUN_EVENT, own_schemas
from steward.service.governance.lineage import record_lineage
from steward.service.governance.open_lineage import Writer
from support.fakes import FakeClock, FakeIds, FakeObjects, FakeState
from support.histories import ARTIFACTS, DATA, History, whole_life

BASE = f"s3://{ARTIFACTS}/lineage/openlineage"
_FORMATS = FormatChecker()
_FORMATS_LACKING = ("is no date-time", "is no uri")  # jsonschema needs more packages for them
_SOURCE = {"bucket": DATA, "key": "deliveries/diabetes/d1.csv", "version_id": "v-d1"}
_LABS = {"bucket": DATA, "key": "deliveries/diabetes/l1.csv", "version_id": "v-l1"}
MANIFEST = {
    "schema_version": "2",
    "cutoff": "2026-01-05T09:00:00.000+00:00",
    "engine": {"name": "duckdb", "version": "1.4.0"},
    "sources": [_SOURCE],
    "declaration": {
        "data": {
            "entity_id": "patient_id", "prediction_time": "asked_at", "minimum_rows": 1,
            "label": {"name": "ill"},
            "columns": [
                {"name": "patient_id", "type": "string"}, {"name": "bmi", "type": "float"},
                {"name": "asked_at", "type": "timestamp"}, {"name": "ill", "type": "integer"},
            ],
            "sources": {
                "labs": {
                    "columns": [
                        {"name": "patient_id", "type": "string"},
                        {"name": "drawn_at", "type": "timestamp"},
                        {"name": "glucose", "type": "float"}, {"name": "unit", "type": "float"},
                    ],
                }
            },
        },
    },
    "features": [
        {
            "view": "labs/v1", "group": "labs", "version": 1, "use": {"group": "labs"},
            "sources": [_LABS],
            "definition": {
                "feature_group": "labs", "owner": "ward", "source": "labs",
                "keys": ["patient_id"], "event_time": "drawn_at",
                "features": [
                    {"name": "glucose", "type": "float"},
                    {"name": "sugar", "type": "float", "expression": "glucose / unit"},
                ],
                "aggregates": [
                    {"name": "glucose_30d", "function": "mean", "of": "glucose",
                     "window_s": 2592000},
                ],
                "on_demand": [
                    {"name": "load", "type": "float", "expression": "sugar * bmi",
                     "inputs": ["bmi"]},
                ],
            },
        }
    ],
    "parts": {"train": {"rows": 88, "sha256": "a" * 64, "logical_digest": "b" * 64}},
}  # fmt: skip


class Desk:
    """The recorder on ports in memory."""

    def __init__(self, manifest: Any = MANIFEST) -> None:
        self.state, self.objects = FakeState(), FakeObjects()
        for dataset in ("set1", "set2") if manifest else ():
            uri = f"s3://{DATA}/datasets/diabetes/{dataset}/manifest.json"
            self.objects.write(uri, json.dumps(manifest).encode())
        self.writer = Writer(
            state=self.state, objects=self.objects, clock=FakeClock(), ids=FakeIds(),
            bucket=ARTIFACTS, stack="steward-dev",
        )  # fmt: skip

    def record(self, *events: Received) -> Desk:
        for event in events:
            record_lineage(event, state=self.state, objects=self.objects, environment="dev")
            self.writer.write_due(event)
        return self

    def written(self) -> dict[str, dict[str, Any]]:
        """Return all events in S3 by URI."""
        found = {}
        for info in self.objects.list(ARTIFACTS, "lineage/openlineage/diabetes/"):
            uri = f"s3://{info.bucket}/{info.key}"
            found[uri] = json.loads(self.objects.read(uri))
        return found

    def of(self, job: str) -> list[dict[str, Any]]:
        return [event for event in self.written().values() if event["job"]["name"] == job]


LIFE = whole_life().events
WRITTEN = Desk().record(*LIFE).written()


def outside(event: dict[str, Any]) -> list[str]:
    """Return what the jsonschema package finds wrong with an event and its facets."""
    found = [error.message for error in _validator(RUN_EVENT).iter_errors(event)]
    for part in ("run", "job"):
        found += _facets(event[part].get("facets", {}), part)
    for side in ("input", "output"):
        for dataset in event.get(f"{side}s", []):
            found += _facets(dataset.get("facets", {}), "dataset")
            found += _facets(dataset.get(f"{side}Facets", {}), f"{side}Dataset")
    return found


def _facets(facets: dict[str, Any], place: str) -> list[str]:
    return [
        error.message
        for name, body in facets.items()
        for error in _validator(FACETS[place][name]).iter_errors(body)
    ]


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=_FORMATS)


def test_every_event_of_a_life_is_valid_by_an_independent_validator() -> None:
    assert len(WRITTEN) == 2 * 2 + 2 * 2 + 2 * 2  # trainings, datasets, materialisations
    for event in WRITTEN.values():
        assert outside(event) == []


def test_every_run_has_one_start_and_one_end() -> None:
    by_run: dict[str, list[str]] = {}
    for event in WRITTEN.values():
        by_run.setdefault(event["run"]["runId"], []).append(event["eventType"])

    assert len(by_run) == 6
    assert all(sorted(types) == ["COMPLETE", "START"] for types in by_run.values())
    assert all(uuid.UUID(run).version == 5 for run in by_run)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_order_of_a_training_s_events_writes_the_same_bytes(data: st.DataObject) -> None:
    train = History().train("run1-1", "set1", ["d1"], ["labs/v1"], 1).events
    order = data.draw(st.permutations(train))
    again = data.draw(st.lists(st.sampled_from(train), max_size=6))

    desk = Desk().record(*order, *again)

    assert desk.written() == Desk().record(*train).written()
    told = Counter(event.data.uri for event in desk.state.events)  # type: ignore[attr-defined]
    assert set(told.values()) == {1}
    assert set(told) == set(desk.written())


def test_a_training_tells_code_image_metrics_dataset_and_model() -> None:
    start, end = sorted(Desk().record(*LIFE[:20]).of("diabetes.train"), key=lambda x: x["inputs"])

    assert start["inputs"] == start["outputs"] == []
    [dataset], [model] = end["inputs"], end["outputs"]
    assert dataset["name"] == "datasets/diabetes/set1"
    digest = dataset["facets"]["steward_datasetDigest"]
    assert digest["parts"] == {"train": {"sha256": "a" * 64, "logical_digest": "b" * 64}}
    assert model["facets"]["steward_model"]["version"] == 1
    assert model["facets"]["version"]["datasetVersion"] == "1"
    assert end["run"]["facets"]["steward_metrics"]["metrics"] == {"brier": 0.17}
    assert end["run"]["facets"]["processing_engine"]["version"] == f"sha256:{'e' * 64}"
    assert end["job"]["facets"]["sourceCodeLocation"]["version"] == "d" * 64


def test_a_dataset_tells_its_columns_and_where_each_comes_from() -> None:
    desk = Desk().record(*LIFE[:20])
    end = next(x for x in desk.of("diabetes.build_dataset") if x["eventType"] == "COMPLETE")
    train = desk.of("diabetes.train")[0]

    assert end["run"]["facets"]["parent"]["run"]["runId"] == train["run"]["runId"]
    assert end["run"]["facets"]["processing_engine"]["version"] == "1.4.0"
    [output] = end["outputs"]
    names = [field["name"] for field in output["facets"]["schema"]["fields"]]
    assert names == ["patient_id", "bmi", "asked_at", "ill", "glucose", "sugar", "glucose_30d",
                     "load"]  # fmt: skip
    delivered, view = "deliveries/diabetes/d1.csv", "features/diabetes/labs/v1"
    assert _origins(output, "bmi") == {(delivered, "bmi", "IDENTITY")}
    assert _origins(output, "sugar") == {(view, "sugar", "IDENTITY")}
    assert _origins(output, "load") == {
        (view, "sugar", "TRANSFORMATION"), (delivered, "bmi", "TRANSFORMATION"),
    }  # fmt: skip
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 154
    assert [x["facets"]["version"]["datasetVersion"] for x in end["inputs"]] == ["v-d1", "v1"]


def test_a_feature_group_leads_to_exactly_the_columns_that_its_expressions_read() -> None:
    desk = Desk().record(*LIFE[:20])
    end = next(x for x in desk.of("diabetes.build_dataset") if x["eventType"] == "COMPLETE")
    view = next(x for x in end["inputs"] if x["name"] == "features/diabetes/labs/v1")

    labs = "deliveries/diabetes/l1.csv"
    assert _origins(view, "glucose") == {(labs, "glucose", "IDENTITY")}
    assert _origins(view, "sugar") == {
        (labs, "glucose", "TRANSFORMATION"), (labs, "unit", "TRANSFORMATION"),
    }  # fmt: skip
    assert _origins(view, "glucose_30d") == {(labs, "glucose", "AGGREGATION")}


def _origins(dataset: dict[str, Any], column: str) -> set[tuple[str, str, str]]:
    inputs = dataset["facets"]["columnLineage"]["fields"][column]["inputFields"]
    return {(x["name"], x["field"], x["transformations"][0]["subtype"]) for x in inputs}


def test_a_manifest_that_cannot_be_read_any_more_makes_an_event_poorer() -> None:
    broken: Any = {**MANIFEST, "declaration": {"data": {"columns": "none"}}}

    events = Desk(broken).record(*LIFE).written()

    assert set(events) == set(WRITTEN)
    assert all(outside(event) == [] for event in events.values())


@pytest.mark.parametrize(
    ("error", "event_type"), [("States.TaskFailed", "FAIL"), ("ExecutionAborted", "ABORT")]
)
def test_a_failed_run_ends_once_with_its_error(error: str, event_type: str) -> None:
    history = History().start("run1-1")
    failed = e.TrainingFailed(
        run_id="run1-1", failed_state="Train", error=error, cause="exit code: 1",
        execution_arn="arn:run1-1",
    )  # fmt: skip
    history.tell(failed, "run1-1").tell(failed, "again")

    start, end = sorted(Desk().record(*history.events).written().values(), key=_time)

    assert (start["eventType"], end["eventType"]) == ("START", event_type)
    message = end["run"]["facets"]["errorMessage"]["message"]
    assert message == f"Train: {error}: exit code: 1"
    assert outside(end) == []


def test_a_held_candidate_completes_without_a_model_and_says_why() -> None:
    history = History().start("run1-1").build("run1-1", "set1", ["d1"], [])
    history.tell(
        e.CandidateEvaluated(
            run_id="run1-1", evaluation_uri="s3://a/e.json", metrics={"brier": 0.4},
            verdict="worse", champion_version=1,
        )
    )  # fmt: skip
    held = e.CandidateHeld(run_id="run1-1", verdict="worse", reasons=["Brier is 0.2 above"])

    events = Desk().record(*history.tell(held).events).of("diabetes.train")

    end = next(event for event in events if event["eventType"] == "COMPLETE")
    assert end["outputs"] == []
    assert end["run"]["facets"]["steward_metrics"]["held"] == ["Brier is 0.2 above"]


def test_a_deleted_manifest_makes_an_event_poorer_and_not_wrong() -> None:
    events = Desk(manifest=None).record(*LIFE).written()

    assert set(events) == set(WRITTEN)
    assert all(outside(event) == [] for event in events.values())


def test_the_schemas_of_our_own_facets_lie_where_the_facets_point() -> None:
    desk = Desk().record(*LIFE)
    schemas = own_schemas(f"{BASE}/schemas")

    for uri, schema in schemas.items():
        assert json.loads(desk.objects.read(uri)) == schema
        Draft202012Validator.check_schema(schema)
    for event in WRITTEN.values():
        for name, facet in event["run"]["facets"].items():
            if name.startswith("steward_"):
                assert facet["_schemaURL"].partition("#")[0] in schemas


_MUTATIONS = {
    "eventType": "DONE",
    "eventTime": "yesterday",
    "producer": "not a uri",
    "run": {"runId": "7"},
    "job": {"namespace": 5, "name": None},
    "inputs": {"namespace": "s3://data", "name": "x"},
}


@pytest.mark.parametrize(("name", "value"), _MUTATIONS.items())
def test_a_broken_core_is_refused(name: str, value: object) -> None:
    event = {**copy.deepcopy(next(iter(WRITTEN.values()))), name: value}

    with pytest.raises(RejectedError, match="no OpenLineage event"):
        checked(event)


def test_a_broken_or_unknown_facet_is_refused_where_the_core_alone_would_take_it() -> None:
    event = copy.deepcopy(Desk().record(*LIFE[:20]).of("diabetes.train")[0])
    facets = event["run"]["facets"]
    facets["parent"] = {"_producer": "urn:x:y", "_schemaURL": "urn:x:y", "run": {"runId": "7"}}
    facets["other"] = {"_producer": "urn:x:y", "_schemaURL": "urn:x:y"}

    assert problems(event, RUN_EVENT) == []
    with pytest.raises(RejectedError, match=r"facets\.parent.*facets\.other"):
        checked(event)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["s3://a/b", "x", "START"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "namespace", "_producer", "_schemaURL", "facets", "run"]),
            inner, max_size=4,
        )
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(WRITTEN)), st.lists(st.integers(0, 40), min_size=1), _JSON)
def test_our_checker_and_jsonschema_agree_on_mutated_events(
    uri: str, way: list[int], value: Any
) -> None:
    event = copy.deepcopy(WRITTEN[uri])
    spot: Any = event
    for step in way:
        keys = sorted(spot) if isinstance(spot, dict) else list(range(len(spot)))
        if not keys:
            break
        key = keys[step % len(keys)]
        if not isinstance(spot[key], dict | list) or step % 7 == 0:
            spot[key] = value
            break
        spot = spot[key]

    found = [x for x in problems(event, RUN_EVENT) if not x.endswith(_FORMATS_LACKING)]
    assert (found == []) == _validator(RUN_EVENT).is_valid(event)


@pytest.mark.parametrize(
    ("form", "value", "fits"),
    [
        ("date-time", "2026-01-05T09:00:00.000Z", True),
        ("date-time", "2026-01-05T09:00:00+01:00", True),
        ("date-time", "2026-01-05T09:00:00", False),
        ("date-time", "2026-13-05T09:00:00Z", False),
        ("uri", "urn:steward:control-plane:0.1.0", True),
        ("uri", "s3://bucket/a key", False),
        ("uri", "not a uri", False),
        ("uuid", "0d0f1b52-7d3c-5d0e-9a43-3b1d9b1f5c55", True),
        ("uuid", "0d0f1b527d3c5d0e9a433b1d9b1f5c55", False),
    ],
)
def test_formats_are_checked(form: str, value: str, fits: bool) -> None:
    assert (problems(value, {"type": "string", "format": form}) == []) == fits


def test_a_schema_with_a_keyword_that_the_checker_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="patternProperties"):
        problems({}, {"patternProperties": {}})
    with pytest.raises(ValueError, match="leads nowhere"):
        problems({}, {"$ref": "#/$defs/x"})


def _time(event: dict[str, Any]) -> str:
    return str(event["eventTime"])

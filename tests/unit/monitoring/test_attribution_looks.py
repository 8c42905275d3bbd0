"""Looks that explain rows of traffic: what moved, who is asked, and what is said without."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from steward.domain.errors import AccessDeniedError, DependencyError, RejectedError
from steward.domain.explanations.mixed import Cell, MixedBackground, Row, explain_rows
from steward.domain.explanations.values import Floats
from steward.domain.monitoring.attribution_records import AttributionLook
from steward.domain.monitoring.baseline import AttributionBaseline
from steward.domain.monitoring.whole_rows import (
    WholeRow,
    WholeRows,
    merge_whole_rows,
    whole_rows_from_json,
)
from steward.ports import Table
from steward.service.metric_lines import MetricLog
from steward.service.monitoring.endpoint_model import MOST_BYTES, bodies
from steward.service.monitoring.look_metrics import put_look
from steward_cli.monitor_page import page
from steward_cli.monitor_text import screen
from steward_cli.monitoring import Monitoring
from support.fakes import FakeEndpoints
from support.monitoring_scene import BEGAN, MonitoringScene, baseline_of, people

FEATURES = ("age", "pressure", "sex")
DECLARED = {"every": 1, "rows": 100, "calls": 20}


def model(rows: list[list[Cell]]) -> Floats:
    """Age counts among women, pressure among men: what counts moves with who asks."""
    found = [
        0.5 + (float(age or 0) - 50) / 200 if sex == "F" else 0.5 + (float(press or 0) - 120) / 160
        for age, press, sex in rows
    ]
    return np.clip(np.array(found, np.float64), 0, 1)


def reply(body: bytes, _type: str) -> bytes:
    """Answer CSV as the endpoint does."""
    rows: list[list[Cell]] = [
        [float(age) if age else None, float(press) if press else None, sex]
        for age, press, sex in csv.reader(io.StringIO(body.decode()))
    ]
    return "".join(f"{answer!r}\n" for answer in map(float, model(rows))).encode()


def cells(requests: list[dict[str, Any]]) -> list[Row]:
    return [tuple(request["features"][name] for name in FEATURES) for request in requests]


def attribution(**more: Any) -> AttributionBaseline:
    """What the evaluation job writes of this model."""
    background = MixedBackground(FEATURES, tuple(cells(people(7, 10))))
    found = explain_rows(model, cells(people(8, 120)), background)
    sizes = np.abs(found.values)
    return AttributionBaseline(**{
        "mean_absolute": dict(zip(FEATURES, sizes.mean(axis=0).tolist(), strict=True)),
        "rows": len(sizes), "scale": "probability", "explainer": "exact",
        "background": background.digest, "values": tuple(map(tuple, sizes.tolist())),
        "background_rows": background.rows, "coalitions": 8,
    } | more)  # fmt: skip


class AttributionScene(MonitoringScene):
    """A version whose endpoint answers, in a project that watches attributions."""

    def __init__(self, found: AttributionBaseline | None = None, **declared: Any) -> None:
        monitoring = {"unit": "event", "attribution": DECLARED | declared}
        super().__init__(monitoring=monitoring)
        self.asked = FakeEndpoints()
        self.asked.add("e", reply)
        self.endpoints = self.asked
        baseline = baseline_of(people(1, 4000), "event")
        told = found or attribution()
        self.give_baseline(baseline.model_copy(update={"attribution": told}), 1)

    def seen(self, requests: list[dict[str, Any]], hour: int = 0) -> AttributionLook:
        """Let an hour pass with these requests and return what its look says."""
        self.traffic(requests, hour)
        self.watch(hour + 1)
        found = self.look(hour).attribution
        assert found is not None
        return found


def men(seed: int, count: int) -> list[dict[str, Any]]:
    """Requests of men alone."""
    return [r for r in people(seed, 3 * count) if r["features"]["sex"] == "M"][:count]


def test_rows_like_the_held_out_ones_move_nothing() -> None:
    scene = AttributionScene()
    found = scene.seen(people(20, 300))
    assert (found.state, found.verdict, found.rows) == ("ok", "not_shown", (100, 120))
    assert found.p is not None
    assert found.p > 0.05
    assert found.ndcg is not None
    assert found.model_rows == 100 * 8 * 10
    assert found.model_calls == len(scene.asked.calls) == 1
    assert scene.alarm("attribution") == "ok"


def test_what_the_model_leans_on_moves_with_who_asks_and_alarms_as_declared() -> None:
    scene = AttributionScene()
    scene.configure(unit="event", attribution=DECLARED, actions={"attribution": "retrain"})
    found = scene.seen(men(21, 200))
    assert (found.state, found.verdict) == ("alarm", "drifted")
    assert {found.features[0].feature, found.features[1].feature} == {"age", "pressure"}
    assert found.p is not None
    assert found.p < found.alarm_alpha < found.alpha
    assert scene.alarm("attribution") == "alarm"
    told = [one for one in scene.told("DriftDetected") if one.kind == "attribution"]
    assert [(one.action, one.rows) for one in told] == [("retrain", 100)]
    assert found.sentence in scene.look(0).sentence
    kept = json.loads(scene.objects.read(str(found.values_uri)))
    assert np.shape(kept) == (100, 3)


def test_commands_show_the_weights_that_moved() -> None:
    scene = AttributionScene()
    scene.seen(men(21, 200))
    watched = Monitoring(scene.state, scene.objects).read(scene.project)
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(screen(watched, 110))
    text = console.export_text()
    assert "weight of" in text
    assert "Weights of the features moved" in text
    made = page(watched, {}, BEGAN)
    assert "What the answers lean on" in made
    assert "800" in made
    lines: list[str] = []
    put_look(MetricLog("dev", lines.append), scene.look(0), BEGAN)
    written = [json.loads(line) for line in lines]
    assert [one["DriftAlarm"] for one in written if "DriftAlarm" in one] == [1]


def test_an_alarm_is_over_when_the_weights_are_back() -> None:
    scene = AttributionScene()
    scene.seen(men(21, 200))
    assert scene.seen(people(22, 300), 1).state == "ok"
    assert [one.kind for one in scene.told("AlarmCleared")].count("attribution") == 1


def test_an_alarm_ends_when_attributions_are_watched_no_more() -> None:
    scene = AttributionScene()
    scene.seen(men(21, 200))
    scene.configure(unit="event")
    scene.traffic(people(22, 300), 1)
    scene.watch(2)
    assert scene.look(1).attribution is None
    assert scene.alarm("attribution") == "off"
    assert scene.look(1).alarms["attribution"] == "off"


def test_only_every_nth_look_asks() -> None:
    scene = AttributionScene(every=3)
    for hour in range(4):
        scene.traffic(people(30 + hour, 120), hour)
        scene.watch(hour + 1)
    asked = [scene.look(hour).attribution is not None for hour in range(4)]
    assert sum(asked) in (1, 2)
    assert asked[0] == asked[3]


def test_few_rows_are_inconclusive_and_ask_nothing() -> None:
    scene = AttributionScene()
    found = scene.seen(people(20, 30))
    assert (found.state, found.needs) == ("inconclusive", 50)
    assert "needs n = 50" in found.sentence
    assert not scene.asked.calls


def test_an_hour_without_traffic_says_nothing_of_attributions() -> None:
    scene = AttributionScene()
    scene.seen(people(20, 300))
    scene.watch(2)
    assert scene.look(1).attribution is None


def _gone(scene: AttributionScene) -> None:
    scene.asked.endpoints.clear()


def _nobody(scene: AttributionScene) -> None:
    scene.endpoints = None


def _raising(error: Exception) -> Callable[[AttributionScene], None]:
    def prepare(scene: AttributionScene) -> None:
        def refuse(_body: bytes, _type: str) -> bytes:
            raise error

        scene.asked.add("e", refuse)

    return prepare


def _answering(body: bytes) -> Callable[[AttributionScene], None]:
    return lambda scene: scene.asked.add("e", body)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_gone, "not in service"),
        (_nobody, "no endpoint to ask"),
        (_raising(AccessDeniedError("endpoint e: AccessDenied")), "AccessDenied"),
        (_raising(DependencyError("endpoint e: ThrottlingException")), "Throttling"),
        (_raising(DependencyError("endpoint e: read timed out")), "timed out"),
        (_raising(RejectedError("row 0: age must be a whole number")), "whole number"),
        (_answering(b""), "answered 0 numbers"),
        (_answering(b"0.5\n"), "answered 1 numbers for"),
        (_answering(b"yes\n"), "answered no numbers"),
        (_answering(b"nan\n" * 8000), "one finite number"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_said_and_the_look_stands(
    prepare: Callable[[AttributionScene], None], reason: str
) -> None:
    scene = AttributionScene()
    prepare(scene)
    found = scene.seen(people(20, 300))
    assert (found.state, found.values) == ("inconclusive", None)
    assert reason in found.sentence
    unwatched = MonitoringScene()
    unwatched.traffic(people(20, 300), 0)
    unwatched.watch(1)
    look, beside = scene.look(0), unwatched.look(0)
    assert look.window_verdict is not None
    assert beside.window_verdict is not None
    assert look.window_verdict.columns == beside.window_verdict.columns
    assert look.drift.state == beside.drift.state


def test_questions_beyond_the_budget_are_not_asked() -> None:
    scene = AttributionScene(calls=1, rows=500)
    found = scene.seen(people(20, 600))
    assert len(scene.asked.calls) == found.model_calls == 1
    assert (found.rows[0], found.state) == (250, "ok")


def test_where_questions_would_be_traffic_the_staging_endpoint_is_asked() -> None:
    scene = AttributionScene()
    route = scene.state.get(Table.ROUTES, {"project": scene.project})
    assert route is not None
    scene.state.put(Table.ROUTES, {**route, "router": "endpoint_variants"})
    assert "could not be asked" in scene.seen(people(20, 300)).sentence
    scene.asked.add("dev-diabetes-v1-staging", reply)
    found = scene.seen(people(21, 300), 1)
    assert (found.state, found.model_calls) == ("ok", 1)
    assert {call.endpoint for call in scene.asked.calls} == {"dev-diabetes-v1-staging"}


def test_a_linear_version_is_not_asked() -> None:
    form = {"scale": "log_odds", "intercept": 0.0, "weights": {"age": 0.1, "pressure": 0.01}}
    scene = AttributionScene(attribution(linear=form, explainer="linear"))
    found = scene.seen(people(20, 300))
    assert (found.rows[0], found.model_calls) == (100, 0)
    assert not scene.asked.calls


def test_a_baseline_without_its_background_compares_nothing() -> None:
    scene = AttributionScene(attribution(background_rows=()))
    assert "no attributions to compare" in scene.seen(people(20, 300)).sentence
    other = AttributionScene(attribution(background="0" * 64))
    assert "not the baseline's" in other.seen(people(20, 300)).sentence


def test_rows_that_lack_a_feature_are_left_out() -> None:
    scene = AttributionScene()
    requests = people(20, 300)
    for request in requests[::2]:
        del request["features"]["pressure"]
    found = scene.seen(requests)
    assert 30 < found.left_out < 70
    assert found.rows[0] == 100 - found.left_out


def test_rows_that_were_erased_are_not_judged() -> None:
    scene = AttributionScene()
    scene.traffic(people(20, 300), 0)
    scene.profile(scene.plan(1))
    [chunk] = scene.state.query(Table.MONITORING, scene.project, prefix="chunk#")
    bucket, _, key = chunk["whole"]["uri"].removeprefix("s3://").partition("/")
    [stored] = scene.objects.versions(bucket, key)
    scene.objects.remove(bucket, key, str(stored.version_id))
    scene.judge(1)
    found = scene.look(0).attribution
    assert found is not None
    assert "not all rows of this window were kept" in found.sentence


def test_samples_merge_in_any_order_and_keep_the_earliest_row_of_a_unit() -> None:
    one = WholeRows((WholeRow(1, 20, {"a": 1}), WholeRow(5, 1, {"a": 2})))
    other = WholeRows((WholeRow(1, 10, {"a": 3}), WholeRow(3, 1, {"a": None})))
    merged = merge_whole_rows([one, other], 2)
    assert merged == merge_whole_rows([other, one], 2)
    assert [(row.hash, row.at) for row in merged.rows] == [(1, 10), (3, 1)]
    assert whole_rows_from_json(merged.to_json()) == merged


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "rows": [[1]]}'])
def test_what_is_no_sample_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="no rows"):
        whole_rows_from_json(text)


def test_questions_are_split_by_their_bytes() -> None:
    wide: list[list[Cell]] = [["x" * 1000, None, True, 0.5] for _ in range(5000)]
    parts = list(bodies(wide))
    assert sum(count for _, count in parts) == 5000
    assert max(len(body) for body, _ in parts) < MOST_BYTES
    assert parts[0][0].startswith(b"x" * 1000 + b",,true,0.5\n")

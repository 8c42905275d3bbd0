"""Requests of production that the rehearsal of a commit asks again: few, spread, without names."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from steward.domain.project import parse_project
from steward.domain.recorded_traffic import Answered, answered_of, choose, recorded_traffic
from steward.ports import ObjectInfo, Table
from steward.service.training.integration import traffic
from steward.service.training.integration.traffic import captured_traffic
from steward_jobs import rehearsal_requests as requests
from support.commit_scene import CAPTURES, A, Commits
from support.gateway_scene import Counter
from support.serving_scene import PROJECT
from support.serving_scene import Scene as Serving
from support.training_scene import ARTIFACTS, declaration

COLUMNS = parse_project(declaration()).model_features
DAY = "2026/01/05"


def answered(number: int, version: int = 1, hour: int = 9, entity: str = "") -> Answered:
    features = {"age": 40, "bmi": 30.0, "sex": "F"}
    at = f"2026-01-05T{hour:02d}:00:00.000+00:00"
    return Answered(version, at, entity or f"e{number}", f"i{number}", features, {"label": 0})


def exposure(number: int = 1, **changes: Any) -> str:
    capture = {
        "project": "diabetes", "answering_version": 1, "assigned_role": "stable",
        "fallback": False, "entity": f"hash-{number}", "inference_id": f"id-{number}",
        "time": "2026-01-05T09:00:00.000+00:00",
        "features": {"age": 40, "bmi": 30.5, "sex": "F"},
        "prediction": {"probability": 0.25, "label": 0}, **changes,
    }  # fmt: skip
    return json.dumps({"capture": capture}, separators=(",", ":"))


def captured(scene: Commits, key: str, *lines: str) -> None:
    scene.objects.write(f"s3://{CAPTURES}/exposures/{key}", "\n".join(lines).encode())


def live(scene: Commits, **shares: float) -> None:
    arms = [{"version": int(name[1:]), "share": share} for name, share in shares.items()]
    scene.state.put(Table.ROUTES, {"project": "diabetes", "arms": arms, "router": "gateway"})


def found(scene: Commits, **asked: Any) -> dict[str, Any] | None:
    project = parse_project(declaration(integration=asked))
    return captured_traffic(
        project, state=scene.state, objects=scene.objects, bucket=CAPTURES,
        now=scene.clock.now(),
    )  # fmt: skip


@pytest.fixture
def scene() -> Commits:
    return Commits()


def test_what_the_gateway_wrote_is_asked_again_without_who_asked_and_when() -> None:
    serving = Serving()
    serving.play(1)
    gateway = Counter(serving)
    answers = [gateway.ask(f"patient-{number}") for number in range(4)]
    lines = "".join(gateway.lines).encode()

    [*kept] = answered_of(lines, PROJECT, frozenset({1}))
    recorded = recorded_traffic(serving.project.model_features, kept, 3, "binary")

    assert recorded is not None
    assert (recorded["origin"], recorded["versions"], len(recorded["cases"])) == (
        "captured", [1], 3,
    )  # fmt: skip
    case = recorded["cases"][0]
    assert case["answered"] == answers[0]["prediction"]
    assert set(case["body"]["instances"][0]) == {"age", "bmi", "sex"}
    told = json.dumps(recorded["cases"])
    for one in kept:
        assert one.entity not in told
        assert one.inference_id not in told


def test_other_projects_versions_copies_fallbacks_and_broken_lines_are_left_out() -> None:
    lines = "\n".join([
        exposure(1), exposure(2, project="diabetes-two"), exposure(3, answering_version=9),
        exposure(4, assigned_role="shadow"), exposure(5, fallback=True),
        exposure(6, prediction=None), exposure(7)[:-20], '{"capture":{"project":"diabetes"}}',
    ])  # fmt: skip
    kept = answered_of(lines.encode(), "diabetes", frozenset({1}))
    assert [one.inference_id for one in kept] == ["id-1"]


def test_an_answer_that_was_no_number_of_json_is_left_out() -> None:
    line = exposure(prediction={"probability": float("nan"), "label": 0})
    assert "NaN" in line
    assert not list(answered_of(line.encode(), "diabetes", frozenset({1})))


def test_the_sample_is_spread_over_versions_and_hours_and_has_one_of_an_entity() -> None:
    busy = [answered(n, 1, 9) for n in range(100)]
    rare = [answered(200 + n, 2, 9) for n in range(3)] + [answered(300, 1, 3)]
    same = [answered(400 + n, 1, 8, "twin") for n in range(5)]

    chosen = choose(busy + rare + same, 10)

    assert len(chosen) == 10
    assert {(one.version, one.at[11:13]) for one in chosen} == {
        (1, "09"), (2, "09"), (1, "03"), (1, "08"),
    }  # fmt: skip
    assert sum(one.entity == "twin" for one in chosen) == 1
    assert chosen == choose(busy[::-1] + rare + same[::-1], 10)
    assert [one.at[11:13] for one in chosen[:2]] == ["09", "09"]


def test_a_captured_csv_row_is_asked_in_the_declared_types() -> None:
    one = Answered(1, "2026-01-05T09", "e", "i", {"sex": "F", "age": 40.0, "bmi": 30.0}, {"p": 1})
    recorded = recorded_traffic(COLUMNS, [one], 5, "binary")
    assert recorded is not None
    assert json.dumps(recorded["cases"][0]["body"]) == (
        '{"instances": [{"age": 40, "bmi": 30.0, "sex": "F"}]}'
    )


def test_requests_with_other_features_or_too_long_ones_are_not_asked() -> None:
    other = Answered(1, "2026-01-05T09", "e", "i", {"age": 40}, {"p": 1})
    long = Answered(1, "2026-01-05T09", "e", "i", {"age": 1, "bmi": 1, "sex": "F" * 20_000}, {})
    assert recorded_traffic(COLUMNS, [other, long], 5, "binary") is None


def test_only_live_versions_of_the_last_week_count(scene: Commits) -> None:
    live(scene, v1=90, v2=10, v3=0)
    captured(scene, f"{DAY}/stream-1-2026-01-05-08", exposure(1), exposure(3, answering_version=3))
    captured(scene, "2026/01/03/stream-1-2026-01-03-08", exposure(2, answering_version=2))
    captured(scene, "2025/12/20/stream-1-2025-12-20-08", exposure(4))

    recorded = found(scene)

    assert recorded is not None
    assert (recorded["versions"], len(recorded["cases"])) == ([1, 2], 2)


def test_nothing_is_asked_where_nobody_is_live_nothing_captured_or_none_wanted(
    scene: Commits,
) -> None:
    captured(scene, f"{DAY}/stream-1-a", exposure())
    assert found(scene) is None
    live(scene, v1=100)
    assert found(scene) is not None
    assert found(scene, recorded_requests=0) is None
    [info] = scene.objects.versions(CAPTURES, "exposures/")
    assert info.version_id is not None
    scene.objects.remove(CAPTURES, info.key, info.version_id)
    assert found(scene) is None


def test_files_are_read_newest_first_and_no_more_than_a_few(
    scene: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(scene, v1=100)
    for minute in range(1440):
        line = exposure(minute, time=f"2026-01-05T{minute // 60:02d}:00:00")
        captured(scene, f"{DAY}/stream-1-{minute:04d}", line)
    read: list[str] = []
    real = scene.objects.read

    def reads(uri: str) -> bytes:
        read.append(uri)
        return real(uri)

    monkeypatch.setattr(scene.objects, "read", reads)

    recorded = found(scene)

    assert recorded is not None
    assert len(read) == traffic.NEWEST + traffic.SPREAD == len(recorded["cases"])
    assert read[0].endswith("1439")
    assert recorded["since"] < "2026-01-05T03"


def test_a_huge_file_is_passed_over_unread(scene: Commits, monkeypatch: pytest.MonkeyPatch) -> None:
    live(scene, v1=100)
    captured(scene, f"{DAY}/stream-1-b", exposure(1))
    captured(scene, f"{DAY}/stream-1-c", exposure(2))
    sizes = {f"exposures/{DAY}/stream-1-c": traffic.MOST_BYTES + 1}
    real = scene.objects.list

    def listed(bucket: str, prefix: str) -> list[ObjectInfo]:
        return [
            ObjectInfo(i.bucket, i.key, sizes.get(i.key, i.size), i.version_id, i.sha256)
            for i in real(bucket, prefix)
        ]

    monkeypatch.setattr(scene.objects, "list", listed)
    recorded = found(scene)
    assert recorded is not None
    assert len(recorded["cases"]) == 1


def test_of_production_variants_the_converted_files_of_live_versions_are_read(
    scene: Commits,
) -> None:
    digest = "ab" * 32
    live(scene, v2=100)
    route = scene.state.get(Table.ROUTES, {"project": "diabetes"})
    scene.state.put(Table.ROUTES, {**(route or {}), "router": "endpoint_variants"})
    captured(scene, f"{DAY}/diabetes-v2-{digest}.jsonl", exposure(1, answering_version=2))
    captured(scene, f"{DAY}/diabetes-v1-{digest}.jsonl", exposure(2))
    captured(scene, f"{DAY}/other-v2-{digest}.jsonl", exposure(3, project="other"))
    captured(scene, f"{DAY}/stream-1-a", exposure(4, answering_version=2))
    recorded = found(scene)
    assert recorded is not None
    assert len(recorded["cases"]) == 1


def test_a_commit_is_rehearsed_on_what_was_captured_and_else_on_the_datasets_examples(
    scene: Commits,
) -> None:
    scene.with_dataset()
    examples = scene.recorded(scene.push(A))
    assert examples["origin"] == "examples"

    live(scene, v1=100)
    captured(scene, f"{DAY}/stream-1-a", exposure(1), exposure(2))
    scene.clock.advance(timedelta(minutes=1).total_seconds())
    newer = scene.recorded(scene.push("d" * 40))

    assert (newer["origin"], len(newer["cases"])) == ("captured", 2)
    written = {info.key for info in scene.objects.list(ARTIFACTS, "commits/")}
    assert not any("recorded" in key for key in written)


# What an answer has to be


def case(**changes: Any) -> dict[str, Any]:
    given = {"body": {}, "expect": {"status": 200, "predictions": 1}, "recorded": True}
    answered_ = {"probability": 0.5, "label": 1}
    return {"name": "x", "kind": "valid", "content_type": "application/json",
            "answered": answered_, **given, **changes}  # fmt: skip


def asked(
    monkeypatch: pytest.MonkeyPatch, prediction: Any, of: dict[str, Any] | None = None,
    took_s: float = 0.0, limit_ms: float | None = 2000,
) -> requests.Answer:  # fmt: skip
    """Ask a model that answers so, as slowly."""
    now = [0.0]

    def send(*_request: Any) -> tuple[int, bytes]:
        now[0] += took_s
        return 200, json.dumps({"predictions": [prediction]}).encode()

    monkeypatch.setattr(requests, "send", send)
    monkeypatch.setattr("steward_jobs.rehearsal_requests.time.perf_counter", lambda: now[0])
    return requests.ask(1, of or case(), limit_ms)


@pytest.mark.parametrize(
    ("prediction", "why"),
    [
        ({"probability": 0.9, "label": 0, "more": 1}, None),
        ({"probability": 0.9}, "lacks label, which callers get today"),
        ({"probability": 0.9, "label": "yes"}, "label is a text, and a number today"),
        ({"probability": 1.2, "label": 1}, "a probability is 1.2"),
        ({"probability": float("nan"), "label": 1}, "a prediction is no number"),
        ({"score": 0.5}, "no predictions instead of 1"),
    ],
)
def test_an_answer_keeps_names_types_and_range_of_todays(
    monkeypatch: pytest.MonkeyPatch, prediction: Any, why: str | None
) -> None:
    fault = asked(monkeypatch, prediction).fault
    assert fault is None if why is None else why in str(fault)


@pytest.mark.parametrize(
    ("of", "logged"),
    [(case(), False), ({**case(), "answered": None}, False), (case(recorded=False), True)],
    ids=["captured", "recorded", "of the sample"],
)
def test_the_refusal_of_a_request_is_told_by_its_field_and_never_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], of: dict[str, Any],
    logged: bool,
) -> None:  # fmt: skip
    error = {"row": 0, "field": "age", "value": 131, "message": "131 is above 120"}
    if logged:
        del of["answered"]
    for field, told in (("age", ": field age"), ("Ada Lovelace", "")):
        refusal = json.dumps({"error": {**error, "field": field}}).encode()
        monkeypatch.setattr(requests, "send", lambda *_, said=refusal: (400, said))
        fault = requests.ask(1, {**of, "features": ["age", "bmi"]}, None).fault
        assert fault == f"x: status 400 instead of 200{told}"
    assert ("131 is above" in capsys.readouterr().out) is logged


def test_an_answer_that_is_late_three_times_breaks_the_contract(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fine = {"probability": 0.5, "label": 1}
    assert asked(monkeypatch, fine, took_s=1.9).fault is None
    assert asked(monkeypatch, fine, took_s=9, limit_ms=None).fault is None
    assert asked(monkeypatch, fine, took_s=2.5).fault == "x: 2500 ms instead of at most 2000 ms"


def test_how_scores_moved_is_told_and_is_no_fault(tmp_path: Any) -> None:
    recorded = {
        "features": ["a"], "origin": "captured", "versions": [3], "since": "s", "until": "u",
        "cases": [case(name="v3-1"), case(name="v3-2", answered={"probability": 0.9, "label": 1})],
    }  # fmt: skip
    (tmp_path / "examples.json").write_text(json.dumps({"features": ["a"], "cases": []}))
    (tmp_path / "recorded.json").write_text(json.dumps(recorded))
    asked_ = requests.cases(tmp_path)
    answers = [
        requests.Answer(None, [{"probability": p, "label": n}]) for p, n in ((0.6, 1), (0.2, 0))
    ]

    found_ = requests.described(tmp_path, asked_, answers)

    assert found_ == {
        "origin": "captured", "asked": 2, "versions": [3], "since": "s", "until": "u",
        "scores": {
            "compared": 2, "mean_change": -0.3, "mean_distance": 0.4, "largest_distance": 0.7,
            "labels_changed": 1,
        },
    }  # fmt: skip
    assert requests.told(tmp_path, found_) == (
        ", 2 of them captured from version 3 (scores moved by 0.4 on average, 0.7 at most)"
    )

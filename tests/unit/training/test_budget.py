"""The budget gate where a run starts: refused over it, recorded, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import BudgetExceededError, InvalidProjectError
from steward.domain.prices import US_EAST_1
from steward.domain.project import parse_project
from steward.domain.run_cost import time_item, time_partition
from steward.ports import Item, Table
from support.training_scene import Scene, csv_of, declaration


def scene_of(training: dict[str, Any] | None = None, **budget: float) -> Scene:
    changes = {"budget": budget, **({"training": training} if training else {})}
    return Scene(project=parse_project(declaration(**changes)))


def spend(scene: Scene, dollars: float | None, at: str, **used: float) -> None:
    """Record a cost as the cost recorder does."""
    entry = f"execution#release-version#{at}"
    item: Item = {
        "project": "diabetes", "entry": entry, "kind": "execution", "dollars": dollars,
        "run_id": "earlier-1", "at": at,
        "detail": {"machine": "steward-release-version", "status": "SUCCEEDED", **used},
    }  # fmt: skip
    place = {"project": time_partition("diabetes"), "entry": time_item(at, entry)}
    scene.state.put(Table.COSTS, {**item, **place})


def refused_run(scene: Scene, answer: dict[str, Any]) -> Item:
    assert answer["outcome"] == "refused"
    return scene.run(answer["run_id"])


def test_a_run_that_may_cost_more_than_a_run_may_is_refused_with_field_value_and_allowed() -> None:
    scene = scene_of(per_run_usd=0.01)

    run = refused_run(scene, scene.deliver(csv_of(1, 40)))

    assert run["status"] == "refused"
    assert run["error"] == BudgetExceededError.__name__
    assert run["refusal"]["field"] == "budget.per_run_usd"
    assert run["refusal"]["value"] == pytest.approx(run["estimate"]["high"], abs=1e-4)
    assert "at most 0.01" in run["refusal"]["allowed"]
    assert scene.workflows.executions == {}
    assert scene.lock() is None


def test_the_estimate_follows_the_size_that_earlier_runs_noted() -> None:
    scene = scene_of()
    job = {"instance_type": "ml.m5.large", "instance_count": 1, "billable_s": 100}
    run = {"machine": "steward-train-candidate", "status": "SUCCEEDED", "transitions": 30,
           "function_dollars": 0.001}  # fmt: skip
    for kind, detail in (("training_job", job), ("execution", run)):
        item = {"run_id": "earlier-1", "kind": kind, "dollars": 0.1, "at": "2026-01-04",
                "detail": detail}  # fmt: skip
        place = {"project": time_partition("diabetes"), "entry": time_item("2026-01-04", kind)}
        scene.state.put(Table.COSTS, {**item, **place})
    content = csv_of(1, 40)
    noted = {"data_bytes": len(content) // 4}
    scene.state.put(Table.RUNS, {"project": "diabetes", "run_id": "earlier-1", "estimate": noted})

    begun = scene.run(scene.deliver(content)["run_id"])

    assert begun["estimate"]["data_bytes"] == len(content)
    training = begun["estimate"]["parts"][0]
    assert "scaled up to 4" in training["basis"]
    hourly = US_EAST_1.instance_hour["ml.m5.large"]
    assert training["expected"] == pytest.approx(400 * hourly / 3600, rel=0.01)


def test_a_refusal_is_told_once_as_a_failed_run() -> None:
    scene = scene_of(per_run_usd=0.01)
    trigger = scene.delivery(csv_of(1, 40))

    scene.start(trigger)
    again = scene.start(trigger)

    assert again["outcome"] == "refused"
    [told] = scene.state.named("TrainingFailed")
    assert "budget.per_run_usd allows" in told.data.model_dump()["cause"]


def test_a_raised_budget_starts_the_next_run_with_the_delivery_that_was_refused() -> None:
    scene = scene_of(per_run_usd=0.01)
    refused = refused_run(scene, scene.deliver(csv_of(1, 40)))

    scene.configure(parse_project(declaration(budget={"per_run_usd": 5})))
    started = scene.start(scene.request())

    assert started["outcome"] == "started"
    assert scene.run(started["run_id"])["deliveries"] == refused["deliveries"]


def test_a_month_counts_what_was_recorded_in_it_and_nothing_of_the_month_before() -> None:
    scene = scene_of(per_month_usd=2)
    spend(scene, 500.0, "2025-12-31T23:59:59.999+00:00")
    spend(scene, 1.0, "2026-01-01T00:00:00.000+00:00")
    assert scene.deliver(csv_of(1, 40))["outcome"] == "started"

    scene = scene_of(per_month_usd=2)
    spend(scene, 1.99, "2026-01-02T00:00:00.000+00:00")
    run = refused_run(scene, scene.deliver(csv_of(1, 40)))
    assert "$1.9900 were spent in 2026-01" in run["cause"]


def test_a_job_without_a_price_lets_no_run_start_in_its_month() -> None:
    scene = scene_of(per_month_usd=9)
    spend(scene, None, "2026-01-02T00:00:00.000+00:00", billable_s=60)
    assert scene.deliver(csv_of(1, 40))["outcome"] == "refused"
    scene.clock.advance(31 * 86_400)
    assert scene.start(scene.request())["outcome"] == "started"


def test_the_next_month_allows_what_this_one_did_not() -> None:
    scene = scene_of(per_month_usd=2)
    spend(scene, 2.0, "2026-01-02T00:00:00.000+00:00")
    refused_run(scene, scene.deliver(csv_of(1, 40)))

    scene.clock.advance(31 * 86_400)

    assert scene.start(scene.request())["outcome"] == "started"


def test_an_instance_without_a_known_price_is_refused_where_it_is_declared() -> None:
    with pytest.raises(InvalidProjectError, match="not in the price table"):
        scene_of({"instance_type": "ml.zz9.large"}, per_run_usd=9)


def _deliver(scene: Scene) -> dict[str, Any]:
    return scene.deliver(csv_of(1, 40))


def test_a_waiting_run_is_judged_when_its_turn_comes_and_the_lock_is_freed() -> None:
    scene = scene_of(per_month_usd=2)
    first = _deliver(scene)
    waiting = scene.deliver(csv_of(41, 80))
    assert waiting["outcome"] == "queued"
    spend(scene, 1.99, scene.ports.now())

    ended = scene.end(first["run_id"], "ABORTED")

    assert ended["outcome"] == "refused"
    assert scene.run(waiting["run_id"])["status"] == "refused"
    assert scene.lock() is None


def test_the_estimate_lies_on_the_run() -> None:
    scene = Scene()

    run = scene.run(_deliver(scene)["run_id"])

    names = [part["name"] for part in run["estimate"]["parts"]]
    assert names == ["training", "evaluation", "functions", "transitions", "storage"]
    assert 0 < run["estimate"]["expected"] < run["estimate"]["high"]

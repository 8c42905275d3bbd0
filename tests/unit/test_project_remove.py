"""Removing a project: what is its own, what stops it, what is left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from steward.domain import names
from steward.domain.experiments.ticks import schedule_name
from steward.service.registry.reminders import reminder_name
from steward_cli.commands.project_remove import (
    _pattern,
    _schedules,
    is_schedule_of,
    refuse_flying,
)
from steward_cli.console import CommandError, Exit


def test_every_name_that_serving_gives_is_the_projects_own() -> None:
    ours = _pattern("dev", "churn")
    for name in (
        names.endpoint_name("dev", "churn", 3, "staging"),
        names.endpoint_name("dev", "churn", 12, "prod"),
        names.model_name("dev", "churn", 3, "prod", "00000003-1"),
        names.model_name("dev", "churn", 3, "staging", "2"),
        names.variants_endpoint("dev", "churn"),
        names.variants_config("dev", "churn", 4),
    ):
        assert ours.match(name), name


def test_names_of_projects_that_begin_alike_are_left_alone() -> None:
    ours = _pattern("dev", "churn")
    for name in (
        names.endpoint_name("dev", "churn-v1", 3, "staging"),
        names.endpoint_name("dev", "churn-eu", 3, "prod"),
        names.endpoint_name("dev", "xchurn", 3, "prod"),
        names.variants_endpoint("dev", "churn-v2"),
        "dev-churn-v3-production",
        "churn-visits",
    ):
        assert not ours.match(name), name


def test_schedules_of_experiments_and_reminders_are_the_projects_own() -> None:
    ticks = schedule_name("churn", "00000003-1")
    assert is_schedule_of("churn", ticks)
    assert is_schedule_of("churn", reminder_name("churn", 3, 1))
    assert not is_schedule_of("churn", schedule_name("churn-v2", "00000003-1"))
    assert not is_schedule_of("churn", reminder_name("churn-eu", 3, 1))


def test_the_schedule_of_batches_is_the_projects_own() -> None:
    assert is_schedule_of("churn", "churn-batch")
    assert not is_schedule_of("churn", "churn-eu-batch")
    assert _pattern("dev", "churn").match("dev-churn-v2-batch-5d2e9a7b1c30-1")


def test_schedules_of_another_stack_of_the_account_are_left_alone() -> None:
    groups = ("steward-dev", "steward-dev-approvals", "steward-dev-batch", "steward-prod-batch",
              "steward-dev-2", "default")  # fmt: skip
    found = [{"Schedules": [{"GroupName": group, "Name": "churn-batch"} for group in groups]}]

    def paginate(**asked: str) -> list[dict[str, Any]]:
        return found if asked["NamePrefix"] == "churn-" else [{"Schedules": []}]

    pager = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))
    target: Any = SimpleNamespace(stack="steward-dev", client=lambda _: pager)
    assert [group for group, _ in _schedules(target, "churn")] == list(groups[:3])


def state(runs: list[str], releases: list[str], batches: list[str] | None = None) -> Any:
    return SimpleNamespace(
        runs=lambda _: [{"run_id": f"r{n}", "status": s} for n, s in enumerate(runs)],
        releases=lambda _: [{"release_id": f"{n}-1", "status": s} for n, s in enumerate(releases)],
        batches=lambda _: [{"batch_id": f"b{n}", "status": s} for n, s in enumerate(batches or [])],
    )


@pytest.mark.parametrize(
    ("runs", "releases", "says"),
    [
        (["succeeded", "running"], [], "run r1"),
        (["waiting"], [], "run r0"),
        ([], ["completed", "running"], "release 1-1"),
        ([], ["waiting"], "release 0-1"),
    ],
)
def test_what_is_under_way_stops_it(runs: list[str], releases: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as refused:
        refuse_flying(state(runs, releases), "churn")
    assert refused.value.code is Exit.CONFLICT


def test_a_batch_under_way_stops_it_too() -> None:
    with pytest.raises(CommandError, match="batch b1"):
        refuse_flying(state([], [], ["succeeded", "running"]), "churn")


def test_what_has_ended_does_not() -> None:
    refuse_flying(
        state(["succeeded", "failed", "held"], ["completed", "rolled_back"], ["failed"]), "churn"
    )

"""The schedules' contract, kept by Scheduler's adapter and by the fake."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.schedules import SchedulerSchedules
from steward.domain.errors import RejectedError
from steward.ports import Schedules
from support.fakes import FakeSchedules

pytestmark = pytest.mark.usefixtures("isolated")

PAYLOAD = {"id": "<aws.scheduler.execution-id>", "detail": {"project": "ward", "tick": 1}}
GROUP = "steward"
_EAST = timezone(timedelta(hours=2))
TARGET = "arn:aws:lambda:us-east-1:000000000000:function:start-tick"
ROLE = "arn:aws:iam::000000000000:role/scheduler"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:failures"


@dataclass
class Subject:
    """A port, what a schedule of it says, and a person's way to disable one."""

    schedules: Schedules
    payload_of: Callable[[str], Any]
    minutes_of: Callable[[str], int]
    disable: Callable[[str], None]
    moment_of: Callable[[str], datetime | None]


def on_scheduler(client: Any, schedules: Schedules, group: str = GROUP) -> Subject:
    """Return a subject whose schedules lie in Scheduler."""

    def read(name: str) -> Any:
        return client.get_schedule(Name=name, GroupName=group)

    def disable(name: str) -> None:
        kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        found = read(name)
        client.update_schedule(State="DISABLED", **{key: found[key] for key in kept})

    return Subject(
        schedules,
        lambda name: json.loads(read(name)["Target"]["Input"]),
        lambda name: int(read(name)["ScheduleExpression"].removeprefix("rate(").split()[0]),
        disable,
        lambda name: _once(read(name)),
    )


def _once(found: Any) -> datetime:
    assert found["ActionAfterCompletion"] == "DELETE"
    assert found["ScheduleExpressionTimezone"] == "UTC"
    text = found["ScheduleExpression"].removeprefix("at(").removesuffix(")")
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(params=["fake", "scheduler"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeSchedules()

        def disable(name: str) -> None:
            fake.by_name[name].enabled = False

        return Subject(
            fake,
            lambda name: fake.by_name[name].payload,
            lambda name: fake.by_name[name].every_s // 60,
            disable,
            lambda name: fake.by_name[name].at,
        )
    clients: Clients = request.getfixturevalue("aws")
    client = clients.get("scheduler")
    client.create_schedule_group(Name=GROUP)
    return on_scheduler(client, SchedulerSchedules(client, GROUP, TARGET, ROLE, QUEUE))


AT = datetime(2030, 1, 6, 9, 0, 30, 999, tzinfo=UTC)


def test_a_moment_is_kept_to_the_second_and_moved_by_a_second_call(subject: Subject) -> None:
    name = "approval-ward-v2-1"
    subject.schedules.create_once(name, at=AT, payload=PAYLOAD)
    assert subject.schedules.is_enabled(name) is True
    assert subject.payload_of(name) == PAYLOAD
    assert subject.moment_of(name) == AT.replace(microsecond=0)
    later = AT + timedelta(hours=1)
    subject.schedules.create_once(name, at=later.astimezone(_EAST), payload=PAYLOAD)
    assert subject.moment_of(name) == later.replace(microsecond=0)
    subject.schedules.delete(name)
    assert subject.schedules.is_enabled(name) is None


def test_a_schedule_is_there_enabled_with_its_interval_and_payload(subject: Subject) -> None:
    assert subject.schedules.is_enabled("ward-00000002-1") is None

    subject.schedules.create("ward-00000002-1", every_s=3600, payload=PAYLOAD)

    assert subject.schedules.is_enabled("ward-00000002-1") is True
    assert subject.payload_of("ward-00000002-1") == PAYLOAD
    assert subject.minutes_of("ward-00000002-1") == 60


def test_the_shortest_interval_is_a_minute(subject: Subject) -> None:
    subject.schedules.create("often", every_s=60, payload=PAYLOAD)

    assert subject.minutes_of("often") == 1


@pytest.mark.parametrize("every_s", [0, 30, 90, -60])
def test_an_interval_that_is_no_whole_minutes_is_refused(subject: Subject, every_s: int) -> None:
    with pytest.raises(RejectedError, match=str(every_s)):
        subject.schedules.create("ward", every_s=every_s, payload=PAYLOAD)
    assert subject.schedules.is_enabled("ward") is None


def test_creating_it_again_changes_nothing(subject: Subject) -> None:
    subject.schedules.create("ward", every_s=3600, payload=PAYLOAD)
    subject.schedules.create("ward", every_s=3600, payload=PAYLOAD)

    assert subject.payload_of("ward") == PAYLOAD


def test_another_interval_or_payload_brings_it_in_line(subject: Subject) -> None:
    subject.schedules.create("ward", every_s=3600, payload=PAYLOAD)
    subject.schedules.create("ward", every_s=120, payload={"other": 1})

    assert subject.minutes_of("ward") == 2
    assert subject.payload_of("ward") == {"other": 1}


def test_one_that_a_person_disabled_stays_disabled(subject: Subject) -> None:
    subject.schedules.create("ward", every_s=3600, payload=PAYLOAD)
    subject.disable("ward")
    subject.schedules.create("ward", every_s=120, payload=PAYLOAD)

    assert subject.schedules.is_enabled("ward") is False
    assert subject.minutes_of("ward") == 2


def test_a_deleted_schedule_is_gone_and_may_be_deleted_again(subject: Subject) -> None:
    subject.schedules.create("ward", every_s=3600, payload=PAYLOAD)
    subject.schedules.create("other", every_s=3600, payload=PAYLOAD)

    subject.schedules.delete("ward")
    subject.schedules.delete("ward")

    assert subject.schedules.is_enabled("ward") is None
    assert subject.schedules.is_enabled("other") is True


def test_a_name_that_scheduler_does_not_take_is_refused(subject: Subject) -> None:
    with pytest.raises(RejectedError):
        subject.schedules.create("no spaces " * 9, every_s=60, payload=PAYLOAD)

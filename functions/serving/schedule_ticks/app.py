"""Task: let the scheduler look at a release; sweep: schedules that somebody deleted."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ScheduleTicks, TicksScheduled
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.scheduling import repair_schedules, schedule_ticks


@step(ScheduleTicks)
def schedule(command: ScheduleTicks) -> TicksScheduled:
    """Return the schedule and how often it fires."""
    return schedule_ticks(command, state=app().state, schedules=app().schedules)


@on_event("Scheduled Event")
def sweep(received: Received) -> dict[str, object]:
    """Return the schedules that were made anew."""
    return repair_schedules(
        received,
        state=app().state,
        schedules=app().schedules,
        clock=app().clock,
        ids=app().ids,
    )


handler = task_or_event(schedule, sweep)

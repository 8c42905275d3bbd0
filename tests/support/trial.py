"""A project on the deployed stack whose releases are experiments over time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from steward.domain.experiments.cohorts import verdicts_of
from steward.domain.experiments.ticks import schedule_name
from steward.ports import Item, Table
from steward_cli.asking import Asked, ask_all
from steward_cli.commands.mail import letters
from steward_cli.function_urls import call
from steward_cli.state import shares_of
from support.laboratory_stack import PATIENCE_S, Laboratory, eventually

RAMP = "  strategy: canary\n  steps: [10, 50, 100]\n  bake_s: 60\n"
"""What the demo's project declares, without guardrails."""

ENDED = ("completed", "not_promoted", "rolled_back", "failed")


def _row(entity_id: str) -> dict[str, Any]:
    features = {"age": 50, "sex": 1, "bmi": 25.0, "bp": 90.0}
    return {"entity_id": entity_id, "features": features}


class Trial:
    """A project on a deployed stack whose versions are tried on patients.

    Args:
        name: Of the project, which is added.
        trained: The record of a version that training made; others are registered like it.
    """

    def __init__(self, lab: Laboratory, name: str, trained: dict[str, Any]) -> None:
        self.lab, self.name, self.trained = lab, name, trained
        self.scheduler = lab.target.client("scheduler")
        self.entities, self.declared = 0, RAMP
        lab.add_project(name)

    def declare(self, release: str) -> None:
        """Declare how versions are released from now on: keys of ``release``, indented."""
        if release != self.declared:
            self.lab.configure(self.name, self.declared, release)
        self.declared = release

    def serve_first(self) -> None:
        """Release the version that the others are compared with."""
        version = self.register()
        self.lab.approve(self.name, version)
        self.lab.version(self.name, version, "production")

    def register(self, inference: str | None = None) -> int:
        """Register a version, with other serving code where given, and wait until it is staged."""
        version = self.lab.register(self.name, self.trained, inference)
        self.lab.version(self.name, version, "pending")
        return version

    def begin(self, inference: str | None = None) -> Item:
        """Release another version; return its release once it has a schedule."""
        version = self.register(inference)
        self.lab.approve(self.name, version)
        return self.under_test(version)

    def under_test(self, version: int) -> Item:
        """Wait until a version's newest release is looked at by the scheduler."""

        def read() -> Item | None:
            release = self.newest(version)
            return release if release and release.get("schedule") else None

        return eventually(read, f"version {version} under test")

    def over(self, version: int) -> Item | None:
        """Return a version's newest release if it has ended."""
        found = self.newest(version)
        return found if found and found["status"] in ENDED else None

    def newest(self, version: int) -> Item | None:
        found = [r for r in self.lab.state.releases(self.name) if int(r["version"]) == version]
        return found[-1] if found else None

    def ended(self, release: Item, within: float = PATIENCE_S) -> Item:
        """Wait until a release has ended and its experiment with it."""

        def read() -> Item | None:
            found = self.newest(int(release["version"]))
            over = found and found["status"] in ENDED and self.head(release)["status"] == "ended"
            return found if over else None

        return eventually(read, f"the end of {release['release_id']}", within)

    def head(self, release: Item) -> Item:
        key = {"project": self.name, "item": release["release_id"]}
        return self.lab.state.store.get(Table.EXPERIMENTS, key) or {"tick": 0, "status": "none"}

    def ticked(self, release: Item, number: int, within: float = PATIENCE_S) -> Item:
        """Wait until this many ticks were taken."""

        def read() -> Item | None:
            head = self.head(release)
            return head if int(head["tick"]) >= number else None

        return eventually(read, f"tick {number} of {release['release_id']}", within)

    def verdicts(self, release: Item) -> list[Item]:
        prefix = verdicts_of(release["release_id"])
        return self.lab.state.store.query(Table.EXPERIMENTS, self.name, prefix=prefix)

    def ask(self, count: int) -> list[Asked]:
        """Ask for so many patients who were never asked for before."""
        rows = [_row(f"p{self.entities + number:06d}") for number in range(count)]
        self.entities += count
        return self.ask_rows(rows)

    def ask_again(self, before: list[Asked]) -> list[Asked]:
        """Ask for the same patients once more, in the same order."""
        return self.ask_rows([_row(a.entity_id) for a in before])

    def ask_rows(self, rows: list[dict[str, Any]]) -> list[Asked]:
        """Ask for these rows; every one must be answered."""
        asked = ask_all(self.lab.ward, self.lab.target.output("GatewayUrl"), self.name, rows)
        assert {a.status for a in asked} == {200}, asked[0].body
        return asked

    def report(self, asked: list[Asked], recovers: Callable[[Asked], bool]) -> None:
        """Send what became of these patients."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [
            {"inference_id": a.inference_id, "outcome": int(recovers(a)), "observed_at": now}
            for a in asked
        ]
        url = f"{self.lab.target.output('OutcomesUrl').rstrip('/')}/{self.name}"
        reply = call(self.lab.ward, url, "POST", rows).raise_for_status()
        assert reply.body["recorded"] == len(asked)

    def schedule(self, release: Item) -> dict[str, Any] | None:
        """Return a release's schedule as Scheduler describes it, None where there is none."""
        name = schedule_name(self.name, release["release_id"])
        try:
            found: dict[str, Any] = self.scheduler.get_schedule(
                Name=name, GroupName=self.lab.target.stack
            )
        except self.scheduler.exceptions.ResourceNotFoundException:
            return None
        return found

    def has_no_schedule(self, release: Item) -> bool:
        """Wait until a release's schedule is gone: its end is told by an event."""
        return eventually(lambda: self.schedule(release) is None, "the schedule to be deleted")

    def shares(self) -> dict[int, float]:
        return shares_of(self.lab.state.route(self.name))

    def subjects(self, about: str) -> list[str]:
        assert self.lab.target.engine is not None
        return [m.subject for m in letters(self.lab.target.engine.mailbox) if about in m.subject]

    def told(self, about: str) -> str:
        """Wait for a mail whose subject says this."""
        return eventually(lambda: self.subjects(about), f"a mail about {about!r}")[-1]

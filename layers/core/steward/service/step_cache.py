"""Steps of runs, kept and reused: records in the run table that point at objects in S3."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from steward.contracts.events import StepReused
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    ThrottledError,
)
from steward.domain.steps import KeptStep, Output, StepName, kept_step, step_attribute, step_item
from steward.ports import (
    Absent,
    Clock,
    Condition,
    Exists,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event

CANNOT_READ = (AccessDeniedError, DependencyError, ThrottledError)
"""Why a lookup may fail: then the step is carried out, which is never wrong."""


@dataclass(frozen=True)
class Missed:
    """A step has to be carried out, and why."""

    reason: str


class StepCache:
    """The steps of one run.

    Args:
        run: The run's item; ``use_cache`` false makes each of its steps a miss.
        correlation_id: Of the run's events.
    """

    def __init__(
        self,
        run: Item,
        correlation_id: str,
        *,
        state: StateStore,
        objects: ObjectStore,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._run = run
        self._correlation_id = correlation_id
        self._state = state
        self._objects = objects
        self._clock = clock
        self._ids = ids

    def recall(self, step: StepName, key: str) -> KeptStep | Missed:
        """Return the kept step of this key, if all its outputs still have their bytes.

        A hit is noted on the run's item, with its event, in one transaction; a repeated call
        notes the same once more. A step that this very run carried out, as after a redrive, is a
        hit that saves nothing new and has no event. A lookup that AWS denies, throttles or drops
        is a miss: the run goes on and carries the step out.
        """
        try:
            found = self._look_up(key)
        except CANNOT_READ as error:
            found = Missed(cannot_read(error))
        if isinstance(found, Missed):
            self.note_missed(step, key, found.reason)
            return found
        if found.run_id == self._run["run_id"]:
            return found
        noted: dict[str, Any] = {
            "key": key, "status": "reused", "reused_from": found.run_id,
            "saved_s": found.seconds, "saved_dollars": found.dollars, "job": found.job,
            "tuned": found.result.get("tuned") or None,
        }  # fmt: skip
        known = self._run.get(step_attribute(step)) or {}
        is_news = (known.get("status"), known.get("key")) != ("reused", key)
        payload = StepReused(
            run_id=self._run["run_id"], step=step, step_key=key, reused_from=found.run_id,
            outputs=[output.uri for output in found.outputs],
            saved_s=found.seconds, saved_dollars=found.dollars,
        )  # fmt: skip
        cause = Cause(self._run["project"], self._correlation_id, self._run["run_id"])
        told = event(payload, cause, self._clock, self._ids)
        self._note(step, noted, [told] if is_news else [])
        return found

    def note_missed(self, step: StepName, key: str, reason: str) -> None:
        """Note that a step was not found and why, where the run table takes it."""
        with contextlib.suppress(*CANNOT_READ):
            self._note(step, {"key": key, "status": "missed", "reason": reason})

    def adopt(self, step: KeptStep) -> KeptStep | Missed:
        """Keep what a job of an earlier attempt left, which no run has kept; return it as found."""
        item = step.as_item(self._run["project"], self._now())
        self._state.commit([Put(Table.RUNS, item)])
        return self.recall(step.step, step.key)

    @property
    def reuses(self) -> bool:
        """Whether the run may reuse anything."""
        return self._run.get("use_cache") is not False

    def _look_up(self, key: str) -> KeptStep | Missed:
        if not self.reuses:
            return Missed("the request said that nothing is reused")
        place = {"project": self._run["project"], "run_id": step_item(key)}
        item = self._state.get(Table.RUNS, place)
        if item is None:
            return Missed("nothing was kept of these inputs")
        found = kept_step(item)
        for output in found.outputs:
            wrong = self._fault(output)
            if wrong:
                return Missed(f"{wrong} since run {found.run_id} wrote it: {output.uri}")
        return found

    def _fault(self, output: Output) -> str | None:
        """Return what happened to an output. The bytes of one version of an object never change."""
        bucket, _, key = output.uri.removeprefix("s3://").partition("/")
        info = self._objects.describe(bucket, key)
        if info is None:
            return "it was deleted"
        if output.version_id is not None and info.version_id == output.version_id:
            return None
        if self._objects.sha256(bucket, key, info.version_id) != output.sha256:
            return "it was changed"
        return None

    def own(self, key: str) -> KeptStep | None:
        """Return what this very run has kept under the key, if its outputs are whole."""
        item = self._state.get(Table.RUNS, self._place(key))
        if item is None or item["kept_by"] != self._run["run_id"]:
            return None
        found = kept_step(item)
        return found if self._is_whole(found) else None

    def keep(self, step: KeptStep) -> KeptStep:
        """Remember a step that was carried out; return the one that is kept.

        Of two equal steps the first that is kept wins, as long as its outputs are whole; the
        other's run goes on with its own outputs, which nobody else will read.
        """
        known = self._state.get(Table.RUNS, self._place(step.key))
        expected: Condition = Absent()
        if known is not None:
            kept = kept_step(known)
            if self.reuses and self._is_whole(kept):
                self._note_ran(step)
                return kept
            expected = Exists()
        item = step.as_item(self._run["project"], self._now())
        try:
            self._state.commit([Put(Table.RUNS, item, expect=(expected,))])
        except ConflictError:
            winner = self._state.get(Table.RUNS, self._place(step.key))
            self._note_ran(step)
            return step if winner is None else kept_step(winner)
        self._note_ran(step)
        return step

    def _is_whole(self, step: KeptStep) -> bool:
        return not any(self._fault(output) for output in step.outputs)

    def _note_ran(self, step: KeptStep) -> None:
        """Note that the run carried the step out."""
        noted = {
            "key": step.key, "status": "ran", "seconds": step.seconds, "dollars": step.dollars,
            "job": step.job, "tuned": step.result.get("tuned") or None,
            **_reason(self._run.get(step_attribute(step.step))),
        }  # fmt: skip
        self._note(step.step, noted)

    def _note(self, step: StepName, noted: dict[str, Any], events: list[Any] | None = None) -> None:
        key = {"project": self._run["project"], "run_id": self._run["run_id"]}
        kept = {name: value for name, value in noted.items() if value is not None}
        attribute = step_attribute(step)
        update = Update(
            Table.RUNS, key, set={attribute: {**kept, "at": self._now()}}, expect=(Exists(),)
        )
        self._state.commit([update], events or [])
        self._run = {**self._run, attribute: kept}

    def _place(self, key: str) -> dict[str, str]:
        return {"project": self._run["project"], "run_id": step_item(key)}

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="milliseconds")

    def output(self, uri: str, sha256: str | None = None) -> Output:
        """Return an object as an output, hashed where its digest is not known.

        Raises:
            EvidenceIncompleteError: There is no such object.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        info = self._objects.describe(bucket, key)
        version_id = info.version_id if info is not None else None
        digest = sha256 or self._objects.sha256(bucket, key, version_id)
        return Output(uri, digest, version_id)


def cannot_read(error: Exception) -> str:
    """Return a lookup's failure as a reason that a run shows."""
    return f"the step cache could not be read: {type(error).__name__}: {str(error)[:300]}"


def _reason(noted: Any) -> dict[str, str]:
    """Return why the step could not be reused, as it was noted before."""
    if isinstance(noted, dict) and noted.get("status") == "missed":
        return {"reason": str(noted["reason"])}
    return {}

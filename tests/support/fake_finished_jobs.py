"""The fake of ``FinishedJobs``: completed jobs by their kind and the key in their tags."""

from __future__ import annotations

from steward.ports import FinishedJob, JobKind


class FakeFinishedJobs:
    """Jobs that a test lets complete; ``failure`` is raised instead of any answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[JobKind, str]] = []
        self.failure: Exception | None = None
        self._jobs: dict[tuple[JobKind, str], FinishedJob] = {}

    def add(self, kind: JobKind, step_key: str, job: FinishedJob) -> None:
        """Let a job with this tag have completed."""
        self._jobs[kind, step_key] = job

    def find(self, kind: JobKind, contains: str, step_key: str) -> FinishedJob | None:
        if self.failure is not None:
            raise self.failure
        self.asked.append((kind, contains))
        return self._jobs.get((kind, step_key))

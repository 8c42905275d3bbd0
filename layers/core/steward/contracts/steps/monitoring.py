"""Tasks of the domain ``monitoring``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class PlanWindow(_Strict):
    """List what was captured and not yet profiled, and whose windows are to be looked at.

    Attributes:
        run: Name of the watch.
        due_at: Time of the watch: windows that ended by then are looked at.
    """

    run: str
    due_at: str


class PlannedWindow(_Strict):
    """What a watch has to do.

    Attributes:
        objects: Captured objects that are to be profiled.
        bucket: Where the manifest lies; its items are inputs of ``ProfileChunk``.
        key: Of the manifest.
        projects: Projects that are watched.
    """

    objects: int
    bucket: str
    key: str
    projects: list[str]


class CapturedObject(_Strict):
    """One captured object."""

    key: str
    size: int


class ProfileChunk(_Strict):
    """Profile some captured objects; one that was profiled before is passed over."""

    run: str
    objects: list[CapturedObject] = Field(min_length=1)


class ProfiledChunk(_Strict):
    """What came of them.

    Attributes:
        objects: Objects that were profiled now.
        rows: Rows that were counted.
        repeated: Rows, or whole chunks' rows, that were there before.
        unusable: Lines that could not be counted.
        quarantined: Objects with such lines, kept apart.
    """

    objects: int
    rows: int
    repeated: int
    unusable: int
    quarantined: int


class JudgeWindow(_Strict):
    """Look at a project's windows that have ended and were not looked at.

    Attributes:
        run: Name of the watch.
        due_at: Time of the watch.
        execution_arn: Of the machine, for mails.
    """

    run: str
    due_at: str
    project: str
    execution_arn: str


class JudgedWindow(_Strict):
    """What came of it.

    Attributes:
        looks: Windows that were looked at, and those looked at again.
        more: There are more; ask again.
        transitions: Alarms that changed.
    """

    project: str
    looks: int
    more: bool
    transitions: list[str] = Field(default_factory=list)


class FailedProject(_Strict):
    """A project whose windows could not be looked at."""

    project: str
    error: str
    cause: str = ""


class WatchFailure(_Strict):
    """What failed, and in which state of the machine."""

    state: str
    error: str
    cause: str = ""


class ConcludeWatch(_Strict):
    """End a watch.

    Attributes:
        failed: Projects that could not be looked at; others were.
        failed_chunks: Groups of captured objects that could not be profiled; others were.
        failure: What ended the watch as a whole.
    """

    run: str
    execution_arn: str
    failed: list[FailedProject] = Field(default_factory=list)
    failed_chunks: int = 0
    failure: WatchFailure | None = None


class ConcludedWatch(_Strict):
    """How it ended."""

    run: str
    status: str

"""The fake of ``JobRecords``: jobs and executions as a test says they were."""

from __future__ import annotations

from typing import TypeVar

from steward.domain.errors import RejectedError
from steward.ports import ExecutionRecord, JobRecord

RecordT = TypeVar("RecordT", JobRecord, ExecutionRecord)


class FakeJobRecords:
    """What ended jobs and executions used, by name and ARN."""

    def __init__(self) -> None:
        self.training: dict[str, JobRecord] = {}
        self.processing: dict[str, JobRecord] = {}
        self.transform: dict[str, JobRecord] = {}
        self.executions: dict[str, ExecutionRecord] = {}

    def training_job(self, name: str) -> JobRecord:
        return _known(self.training, name)

    def processing_job(self, name: str) -> JobRecord:
        return _known(self.processing, name)

    def transform_job(self, name: str) -> JobRecord:
        return _known(self.transform, name)

    def execution(self, arn: str) -> ExecutionRecord:
        return _known(self.executions, arn)


def _known(records: dict[str, RecordT], name: str) -> RecordT:
    if name not in records:
        raise RejectedError(f"there is no {name}", field="name", value=name)
    return records[name]

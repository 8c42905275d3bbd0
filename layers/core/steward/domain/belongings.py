"""What a project has running outside the tables, known by its names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from steward.domain.names import hosted_of

Kind = Literal["schedules", "endpoints", "endpoint_configs", "models"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are deleted, so that nothing makes them again."""


@dataclass(frozen=True)
class Belongings:
    """The names that things of one project have in one stack.

    Attributes:
        stack: Name of the root stack, whose schedule groups bear it.
        environment: The deployment environment, which names in SageMaker bear.
    """

    project: str
    stack: str
    environment: str

    def searches(self, kind: Kind) -> tuple[str, ...]:
        """Return what AWS is asked for: name prefixes of schedules, parts of names of others."""
        if kind == "schedules":
            return f"{self.project}-", f"approval-{self.project}-"
        return (f"{self.environment}-{self.project}-v",)

    def has(self, kind: Kind, name: str) -> bool:
        """Return whether a thing of that name is this project's, and no other project's or stack's.

        Args:
            kind: What it is.
            name: Its name; of a schedule, ``GROUP/NAME``.
        """
        if kind != "schedules":
            hosted = hosted_of(self.environment, name)
            return hosted is not None and hosted[0] == self.project
        group, _, schedule = name.partition("/")
        groups = (self.stack, f"{self.stack}-approvals", f"{self.stack}-batch")
        return group in groups and self._schedules().match(schedule) is not None

    def _schedules(self) -> re.Pattern[str]:
        """Match schedules of experiments, batches and reminders of approvals."""
        own = re.escape(self.project)
        return re.compile(rf"^({own}-(\d{{8}}-\d+|batch)|approval-{own}-v\d+-\d+)$")

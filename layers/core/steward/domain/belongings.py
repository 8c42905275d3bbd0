"""What a project has running outside the tables, known by its names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["schedules", "endpoints", "endpoint_configs", "models"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are deleted, so that nothing makes them again."""


@dataclass(frozen=True)
class Belongings:
    """The names that things of one project have in one stack.

    Attributes:
        stack: Name of the root stack, whose schedule groups bear it.
    """

    project: str
    stack: str

    def searches(self, kind: Kind) -> tuple[str, ...]:
        """Return what AWS is asked for: name prefixes of schedules, parts of names of others."""
        if kind == "schedules":
            return f"{self.project}-", f"approval-{self.project}-"
        return (f"{self.project}-v",)

    def has(self, kind: Kind, name: str) -> bool:
        """Return whether a thing of that name is this project's, and no other project's or stack's.

        Args:
            kind: What it is.
            name: Its name; of a schedule, ``GROUP/NAME``.
        """
        if kind != "schedules":
            return self._hosting().match(name) is not None
        group, _, schedule = name.partition("/")
        groups = (self.stack, f"{self.stack}-approvals", f"{self.stack}-batch")
        return group in groups and self._schedules().match(schedule) is not None

    def _hosting(self) -> re.Pattern[str]:
        own = re.escape(self.project)
        return re.compile(rf"^{own}-(v[1-9]\d*-(staging|prod|batch)|variants-prod)(-|$)")

    def _schedules(self) -> re.Pattern[str]:
        """Match schedules of experiments, batches and reminders of approvals."""
        own = re.escape(self.project)
        return re.compile(rf"^({own}-(\d{{8}}-\d+|batch)|approval-{own}-v\d+-\d+)$")

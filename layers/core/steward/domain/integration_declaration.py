"""What ``project.yaml`` declares under ``integration``: how a commit is taken."""

from __future__ import annotations

from pydantic import Field

from steward.domain.declaration import Strict


class Integration(Strict):
    """How a commit becomes the project's code and configuration.

    Attributes:
        branch: The one branch that counts, as the project's configuration in force names it.
        tests: Folder of the project's own pytest tests, beside `project.yaml`; null for none.
        tests_timeout_s: Tests that hang are ended after it, and the commit fails.
        rehearsal_rows: Rows of the sample on which the code trains before it may train in full.
        recorded_requests: Most requests of production that the rehearsal asks again; 0 for the
            dataset's examples instead, as where nothing was captured.
        rehearsal_timeout_s: For training on the sample and asking the model that comes out.
        instance_type: Of both jobs.
    """

    branch: str = Field(default="main", min_length=1, max_length=255)
    tests: str | None = Field(default="tests", min_length=1, max_length=100)
    tests_timeout_s: int = Field(default=900, ge=1, le=7200)
    rehearsal_rows: int = Field(default=400, ge=20, le=10_000)
    recorded_requests: int = Field(default=50, ge=0, le=500)
    rehearsal_timeout_s: int = Field(default=900, ge=1, le=7200)
    instance_type: str = Field(default="ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")

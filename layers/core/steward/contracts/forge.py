"""Requests about a project's forge to the source function URL."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.integrations import COMMIT_PATTERN


class ConnectForge(BaseModel):
    """``PUT``: the repository whose pushes are a project's commits.

    Attributes:
        kind: ``github`` signs with ``X-Hub-Signature-256``; ``generic`` as Standard Webhooks.
        repository: As the forge names it, such as ``acme/credit``.
        api: Of GitHub; another one for GitHub Enterprise.
        archive: Where a commit's archive is, with ``{commit}`` and perhaps ``{repository}``;
            GitHub's own by default.
        forge: Prefix of authors, such as ``gitlab`` in ``gitlab:ana``.
        token: Reads the archive and writes the status; kept in Secrets Manager.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    kind: Literal["github", "generic"] = "github"
    repository: str = Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", max_length=255)
    api: str = Field(default="https://api.github.com", max_length=300)
    archive: str | None = Field(default=None, max_length=1000)
    forge: str | None = Field(default=None, pattern="^[a-z][a-z0-9-]{0,29}$")
    token: str | None = Field(default=None, min_length=1, max_length=1000)


class DisconnectForge(BaseModel):
    """``DELETE ?project=&forge=``: pushes are taken no more, and both secrets end."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    forge: str


class RequestCommit(BaseModel):
    """``PUT`` with a ``commit_id``: integrate a commit, or try it again.

    Attributes:
        branch: Where it is not known yet; the project's own by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    commit_id: str = Field(pattern=COMMIT_PATTERN)
    branch: str | None = Field(default=None, min_length=1, max_length=255)

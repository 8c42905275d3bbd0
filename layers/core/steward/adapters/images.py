"""The job image's digest, kept in an SSM parameter by ``steward image build``."""

from __future__ import annotations

import re
from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import JobImageMissingError, RejectedError

_IMAGE = re.compile(r"^[^@\s]+@sha256:[0-9a-f]{64}$")


class SsmJobImage:
    """Reads one parameter, every time: a new build counts from the next run on."""

    def __init__(self, client: Any, parameter: str) -> None:
        self._client = client
        self._parameter = parameter

    def uri(self) -> str:
        """Return ``repository@sha256:...``."""
        try:
            with translated(f"read parameter {self._parameter}"):
                found = self._client.get_parameter(Name=self._parameter)
        except RejectedError as error:
            if error.value == "ParameterNotFound":
                raise self._unbuilt(None) from None
            raise
        value = str(found["Parameter"]["Value"])
        if not _IMAGE.match(value):
            raise self._unbuilt(value)
        return value

    def _unbuilt(self, value: str | None) -> JobImageMissingError:
        return JobImageMissingError(
            "the job image was never built: run `steward image build`",
            field=self._parameter, value=value, allowed="repository@sha256:<digest>",
        )  # fmt: skip

"""Errors of the SageMaker API as they go over the wire."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error answer: the code and message of the service and its HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members


def invalid(message: str) -> ApiError:
    """A `ValidationException`."""
    return ApiError("ValidationException", message)


def limit_exceeded(message: str) -> ApiError:
    """A `ResourceLimitExceeded`."""
    return ApiError("ResourceLimitExceeded", message)

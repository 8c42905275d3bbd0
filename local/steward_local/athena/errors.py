"""Failures of queries, worded as Athena words them."""

from __future__ import annotations


class QueryError(Exception):
    """Why a query failed: the StateChangeReason."""


class MalformedQueryError(Exception):
    """Why a query is not taken: the message of InvalidRequestException."""

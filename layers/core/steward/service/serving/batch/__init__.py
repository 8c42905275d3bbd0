"""Batch scoring: files scored whole by transform jobs of the version in production."""

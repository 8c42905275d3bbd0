"""Steward: an event-driven, serverless MLOps control plane for AWS."""

"""Monitoring as pure statistics: baselines, profiles, tests, verdicts and alarms."""

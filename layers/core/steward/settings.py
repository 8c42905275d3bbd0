"""The environment of a function as one model, read at first use and never at import."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from steward.domain.errors import StewardError

if TYPE_CHECKING:
    from steward.domain.audit.changes import Place


class SettingsError(StewardError):
    """A variable that the function needs is missing or wrong: a fault of the template."""


class Settings(BaseModel):
    """What the templates put into the environment; each function declares what it uses."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    steward_environment: str = "local"
    steward_stack: str = "steward"
    aws_region: str = "us-east-1"
    aws_lambda_function_memory_size: int = 1024
    bus_name: str = ""
    projects_table: str = ""
    runs_table: str = ""
    deliveries_table: str = ""
    locks_table: str = ""
    versions_table: str = ""
    routes_table: str = ""
    releases_table: str = ""
    outbox_table: str = ""
    idempotency_table: str = ""
    costs_table: str = ""
    features_table: str = ""
    lineage_table: str = ""
    experiments_table: str = ""
    assignments_table: str = ""
    monitoring_table: str = ""
    ledger_table: str = ""
    ledger_bucket: str = ""
    fact_queue_url: str = ""
    sealing_key: str = ""
    lookback_minutes: int = 60
    data_bucket: str = ""
    artifacts_bucket: str = ""
    capture_bucket: str = ""
    approver_topic: str = ""
    on_call_topic: str = ""
    owner_topic: str = ""
    training_machine: str = ""
    integration_machine: str = ""
    source_hosts: str = ""
    materialisation_machine: str = ""
    staging_machine: str = ""
    release_machine: str = ""
    rollback_machine: str = ""
    tick_machine: str = ""
    batch_machine: str = ""
    watch_machine: str = ""
    schedule_group: str = ""
    tick_function_arn: str = ""
    scheduler_role_arn: str = ""
    reminder_function_arn: str = ""
    reminder_failures_arn: str = ""
    tick_failures_arn: str = ""
    job_image_parameter: str = ""
    job_role_arn: str = ""
    card_job_role_arn: str = ""
    key_arn: str = ""
    endpoint_role_arn: str = ""
    person_roles: str = ""
    account_id: str = ""
    exports_bucket: str = ""
    promote_to: str = ""
    promote_from: str = ""
    failure_queue_url: str = ""
    read_features_function: str = ""
    mirror_queue_url: str = ""
    webhook_queue_url: str = ""
    open_lineage_url: str = ""
    open_lineage_secret: str = ""
    task_seconds: float = 840.0
    time_scale: float = 1.0
    variant_metrics_period_s: int = 60

    @property
    def roles_of_persons(self) -> frozenset[str]:
        """Roles whose trust policy fixes the session name to the person's own."""
        return frozenset(name.strip() for name in self.person_roles.split(",") if name.strip())

    @property
    def hosts_of_sources(self) -> frozenset[str]:
        """Hosts that archives of commits may come from."""
        return frozenset(name.strip() for name in self.source_hosts.split(",") if name.strip())

    @property
    def audited_place(self) -> Place:
        """Names by which calls in CloudTrail are known to touch this stack."""
        from steward.domain.audit.changes import Place

        own = frozenset({self.ledger_table, self.ledger_bucket, self.sealing_key} - {""})
        return Place(self.steward_stack, self.steward_environment, own)

    def need(self, name: str) -> str:
        """Return a variable that must be set.

        Raises:
            SettingsError: It is empty: the template forgot it.
        """
        value = getattr(self, name)
        if not value:
            raise SettingsError(f"environment variable {name.upper()} is not set")
        return str(value)


@cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        SettingsError: A variable has a value of the wrong type.
    """
    known = {
        name: os.environ[name.upper()]
        for name in Settings.model_fields
        if name.upper() in os.environ
    }
    try:
        return Settings.model_validate(known)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper()
        raise SettingsError(f"environment variable {name}: {first['msg']}") from None

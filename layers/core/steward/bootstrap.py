"""The composition root: which adapter stands behind each port, built at first use and kept.

Importing this module imports no boto3 and reads no environment; a function pays for the
adapters that it touches and for no others.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from steward.settings import Settings
from steward.settings import settings as read_settings

if TYPE_CHECKING:
    from steward.adapters.clients import Clients
    from steward.adapters.cost_tags import CostTags
    from steward.adapters.traffic_routers import EndpointVariantsRouter
    from steward.ports import (
        Alarms,
        AlarmSettings,
        ApiCalls,
        CardPrinter,
        Clock,
        EndpointMetrics,
        Endpoints,
        EventBus,
        FactQueue,
        FailureQueue,
        FeatureReader,
        FeatureRecords,
        FinishedJobs,
        Hosting,
        Ids,
        JobImage,
        JobRecords,
        Ledger,
        LineageBackend,
        LineageTracking,
        Mail,
        MirrorQueue,
        ModelCards,
        ModelRegistry,
        ObjectStore,
        OnlineFeatures,
        Pipelines,
        ProjectResources,
        Schedules,
        SealingKey,
        Secrets,
        SourceDownloads,
        SourceRepositories,
        StateStore,
        TrafficMetrics,
        TrafficRouter,
        WebhookQueue,
        WebhookSender,
        Workflows,
    )
    from steward.service.metric_lines import MetricLog


@dataclass
class App:
    """The adapters of one process, each made when it is first asked for."""

    settings: Settings

    @cached_property
    def clients(self) -> Clients:
        """AWS clients of one boto3 session."""
        from steward.adapters.clients import Clients

        return Clients(self.settings.aws_region)

    @cached_property
    def clock(self) -> Clock:
        """The system's time."""
        from steward.adapters.time import SystemClock

        return SystemClock()

    @cached_property
    def ids(self) -> Ids:
        """Random identifiers."""
        from steward.adapters.time import UuidIds

        return UuidIds()

    @cached_property
    def bus(self) -> EventBus:
        """The own event bus."""
        from steward.adapters.bus import EventBridgeBus

        return EventBridgeBus(self.clients.get("events"), self.settings.need("bus_name"))

    @cached_property
    def state(self) -> StateStore:
        """The tables that this function's template names."""
        from steward.adapters.state import DynamoStateStore
        from steward.ports import Table

        named = {table: getattr(self.settings, f"{table}_table") for table in Table}
        return DynamoStateStore(
            self.clients.get("dynamodb"),
            tables={table: name for table, name in named.items() if name},
            outbox=self.settings.outbox_table or None,
        )

    @cached_property
    def assignments(self) -> StateStore:
        """The table of kept assignments, within what a request can wait: tried once."""
        from steward.adapters.state import DynamoStateStore
        from steward.ports import Table

        return DynamoStateStore(
            self.clients.get("dynamodb", read_timeout_s=0.5, attempts=1),
            tables={Table.ASSIGNMENTS: self.settings.need("assignments_table")},
            sleep=lambda _seconds: None,
        )

    @cached_property
    def mirror_queue(self) -> MirrorQueue:
        """The queue of copies for a shadow version."""
        from steward.adapters.mirror import SqsMirrorQueue

        return SqsMirrorQueue(self.clients, self.settings.need("mirror_queue_url"))

    @cached_property
    def objects(self) -> ObjectStore:
        """Objects in S3."""
        from steward.adapters.objects import S3ObjectStore

        return S3ObjectStore(self.clients.get("s3"))

    @cached_property
    def workflows(self) -> Workflows:
        """State machines."""
        from steward.adapters.workflows import StepFunctionsWorkflows

        return StepFunctionsWorkflows(self.clients.get("stepfunctions"))

    @cached_property
    def repositories(self) -> SourceRepositories:
        """CodeCommit."""
        from steward.adapters.repositories import CodeCommitRepositories

        return CodeCommitRepositories(self.clients.get("codecommit"))

    @cached_property
    def downloads(self) -> SourceDownloads:
        """Archives of forges."""
        from steward.adapters.source_downloads import PublicHttpDownloads

        return PublicHttpDownloads(local=self.settings.steward_environment == "local")

    @cached_property
    def schedules(self) -> Schedules:
        """Schedules of experiments; only who creates them knows their target."""
        from steward.adapters.schedules import SchedulerSchedules

        return SchedulerSchedules(
            self.clients.get("scheduler"),
            group=self.settings.need("schedule_group"),
            target_arn=self.settings.tick_function_arn,
            role_arn=self.settings.scheduler_role_arn,
            dead_letter_arn=self.settings.tick_failures_arn,
        )

    @cached_property
    def reminders(self) -> Schedules:
        """Schedules of approval reminders."""
        from steward.adapters.schedules import SchedulerSchedules

        return SchedulerSchedules(
            self.clients.get("scheduler"),
            group=self.settings.need("schedule_group"),
            target_arn=self.settings.need("reminder_function_arn"),
            role_arn=self.settings.need("scheduler_role_arn"),
            dead_letter_arn=self.settings.need("reminder_failures_arn"),
        )

    @cached_property
    def registry(self) -> ModelRegistry:
        """SageMaker Model Registry."""
        from steward.adapters.registry import SageMakerModelRegistry

        return SageMakerModelRegistry(self.clients.get("sagemaker"))

    def registry_in(self, region: str) -> ModelRegistry:
        """SageMaker Model Registry of a region, of whatever account an ARN names."""
        from steward.adapters.clients import Clients
        from steward.adapters.registry import SageMakerModelRegistry

        if region == self.settings.aws_region:
            return self.registry
        return SageMakerModelRegistry(Clients(region).get("sagemaker"))

    @cached_property
    def model_cards(self) -> ModelCards:
        """SageMaker Model Cards."""
        from steward.adapters.model_cards import SageMakerModelCards

        return SageMakerModelCards(self.clients.get("sagemaker"))

    @cached_property
    def endpoints(self) -> Endpoints:
        """SageMaker endpoints."""
        from steward.adapters.endpoints import SageMakerEndpoints

        return SageMakerEndpoints(self.clients)

    @cached_property
    def hosting(self) -> Hosting:
        """SageMaker endpoints as they are described."""
        from steward.adapters.hosting import SageMakerHosting

        return SageMakerHosting(self.clients.get("sagemaker", attempts=6), self._cost_tags())

    @cached_property
    def project_resources(self) -> ProjectResources:
        """Endpoints, configurations, models and schedules, whosever they are."""
        from steward.adapters.project_resources import AwsProjectResources

        return AwsProjectResources(
            self.clients.get("sagemaker", attempts=6), self.clients.get("scheduler", attempts=6)
        )

    @cached_property
    def online_features(self) -> OnlineFeatures:
        """The online store of SageMaker Feature Store."""
        from steward.adapters.online_features import SageMakerOnlineFeatures

        return SageMakerOnlineFeatures(self.clients)

    @cached_property
    def feature_reader(self) -> FeatureReader:
        """The function that reads features."""
        from steward.adapters.feature_reader import LambdaFeatureReader

        return LambdaFeatureReader(self.clients, self.settings.need("read_features_function"))

    @cached_property
    def feature_records(self) -> FeatureRecords:
        """SageMaker Feature Store's records."""
        from steward.adapters.feature_store import SageMakerFeatureRecords

        return SageMakerFeatureRecords(self.clients)

    @cached_property
    def alarm_settings(self) -> AlarmSettings:
        """What CloudWatch alarms look at."""
        from steward.adapters.alarms import CloudWatchAlarms

        return CloudWatchAlarms(self.clients.get("cloudwatch"))

    @cached_property
    def pipelines(self) -> Pipelines:
        """Jobs and approvals of CodePipeline."""
        from steward.adapters.pipelines import CodePipelines

        return CodePipelines(self.clients.get("codepipeline", attempts=6))

    @cached_property
    def alarms(self) -> Alarms:
        """CloudWatch alarms."""
        from steward.adapters.alarms import CloudWatchAlarms

        return CloudWatchAlarms(self.clients.get("cloudwatch"))

    @property
    def metric_log(self) -> MetricLog:
        """Where this function's metrics are written."""
        from steward.service.metric_lines import MetricLog

        return MetricLog(self.settings.steward_environment, sys.stdout.write)

    @cached_property
    def traffic_metrics(self) -> TrafficMetrics:
        """What the gateway, or SageMaker, has counted."""
        from steward.adapters.traffic_metrics import CloudWatchTrafficMetrics
        from steward.adapters.variant_metrics import TrafficMetricsOfRoute, VariantTrafficMetrics

        client = self.clients.get("cloudwatch")
        period_s = self.settings.variant_metrics_period_s
        return TrafficMetricsOfRoute(
            self.state,
            CloudWatchTrafficMetrics(client, self.settings.steward_environment),
            lambda: VariantTrafficMetrics(
                client, self.state, self.settings.steward_environment, period_s=period_s
            ),
        )

    @cached_property
    def variants_router(self) -> EndpointVariantsRouter:
        """Endpoints with several production variants."""
        from steward.adapters.traffic_routers import EndpointVariantsRouter

        return EndpointVariantsRouter(
            self.clients.get("sagemaker"), self.state, self.settings.steward_environment,
            self._cost_tags(),
        )  # fmt: skip

    def _cost_tags(self) -> CostTags:
        from steward.adapters.cost_tags import CostTags

        return CostTags(self.settings.steward_stack, self.settings.steward_environment)

    @cached_property
    def traffic_router(self) -> TrafficRouter:
        """Whoever shares the requests of a project."""
        from steward.adapters.traffic_routers import RouterOfRoute

        return RouterOfRoute(self.state, lambda: self.variants_router)

    @cached_property
    def endpoint_metrics(self) -> EndpointMetrics:
        """What SageMaker has counted."""
        from steward.adapters.endpoint_metrics import CloudWatchEndpointMetrics

        return CloudWatchEndpointMetrics(self.clients.get("cloudwatch"))

    @cached_property
    def mail(self) -> Mail:
        """Topics by role."""
        from steward.adapters.mail import SnsMail

        topics = {
            "approver": self.settings.approver_topic,
            "on_call": self.settings.on_call_topic,
            "owner": self.settings.owner_topic,
        }
        return SnsMail(
            self.clients.get("sns"), {role: topic for role, topic in topics.items() if topic}
        )

    @cached_property
    def job_image(self) -> JobImage:
        """The parameter that holds the job image's digest."""
        from steward.adapters.images import SsmJobImage

        return SsmJobImage(self.clients.get("ssm"), self.settings.need("job_image_parameter"))

    @cached_property
    def card_printer(self) -> CardPrinter:
        """Processing jobs that make PDFs of cards."""
        from steward.adapters.card_printers import ProcessingJobPrinter

        return ProcessingJobPrinter(
            self.clients.get("sagemaker"), self.job_image,
            self.settings.need("card_job_role_arn"), self.settings.need("key_arn"),
        )  # fmt: skip

    @cached_property
    def card_exporter(self) -> CardPrinter:
        """SageMaker's own exports of cards."""
        from steward.adapters.card_printers import ExportJobPrinter

        return ExportJobPrinter(self.clients.get("sagemaker"))

    @cached_property
    def job_records(self) -> JobRecords:
        """What ended jobs and executions used."""
        from steward.adapters.job_records import AwsJobRecords

        return AwsJobRecords(self.clients)

    @cached_property
    def finished_jobs(self) -> FinishedJobs:
        """Completed jobs that carried steps out."""
        from steward.adapters.finished_jobs import AwsFinishedJobs

        return AwsFinishedJobs(self.clients)

    @cached_property
    def lineage_backend(self) -> LineageBackend:
        """The OpenLineage backend that the stack's parameters name."""
        from steward.adapters.lineage_backend import HttpLineageBackend
        from steward.adapters.secrets import secret_text

        secret = self.settings.open_lineage_secret
        return HttpLineageBackend(
            self.settings.need("open_lineage_url"),
            secret_text(self.clients.get("secretsmanager"), secret) if secret else None,
        )

    @cached_property
    def lineage_tracking(self) -> LineageTracking:
        """SageMaker's own lineage."""
        from steward.adapters.lineage_tracking import SageMakerLineage

        return SageMakerLineage(self.clients.get("sagemaker"))

    @cached_property
    def webhook_queue(self) -> WebhookQueue:
        """Messages to other systems."""
        from steward.adapters.webhooks import SqsWebhookQueue

        return SqsWebhookQueue(self.clients.get("sqs"), self.settings.need("webhook_queue_url"))

    @cached_property
    def webhook_sender(self) -> WebhookSender:
        """HTTP to systems that we do not know."""
        from steward.adapters.webhooks import PublicHttpSender

        return PublicHttpSender(local=self.settings.steward_environment == "local")

    @cached_property
    def secrets(self) -> Secrets:
        """Secrets Manager."""
        from steward.adapters.secrets import SecretsManagerSecrets

        return SecretsManagerSecrets(self.clients.get("secretsmanager"), self._cost_tags())

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger's table."""
        from steward.adapters.ledger import DynamoLedger

        return DynamoLedger(self.clients.get("dynamodb"), self.settings.need("ledger_table"))

    @cached_property
    def fact_queue(self) -> FactQueue:
        """The queue in front of the ledger's writer."""
        from steward.adapters.ledger import SqsFactQueue

        return SqsFactQueue(self.clients.get("sqs"), self.settings.need("fact_queue_url"))

    @cached_property
    def sealing_key(self) -> SealingKey:
        """The key that signs heads."""
        from steward.adapters.ledger import KmsSealingKey

        return KmsSealingKey(self.clients.get("kms"), self.settings.need("sealing_key"))

    @cached_property
    def api_calls(self) -> ApiCalls:
        """CloudTrail's event history."""
        from steward.adapters.clients import Clients
        from steward.adapters.ledger import CloudTrailCalls

        def client_of(region: str) -> object:
            return Clients(region).get("cloudtrail")

        return CloudTrailCalls(client_of, self.settings.aws_region)

    @cached_property
    def failure_queue(self) -> FailureQueue:
        """This function's dead-letter queue."""
        from steward.adapters.failures import SqsFailureQueue

        return SqsFailureQueue(self.clients.get("sqs"), self.settings.need("failure_queue_url"))


@cache
def app() -> App:
    """Return the one application of this process."""
    return App(read_settings())

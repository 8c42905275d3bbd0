"""What the stack's tables say, read with the CLI caller's own rights."""

from __future__ import annotations

from typing import Any

from steward.adapters.state import DynamoStateStore
from steward.domain.batch_runs import PREFIX
from steward.domain.feature_versions import consumers_of
from steward.domain.versions import alias_item, version_item
from steward.ports import Item, StateStore, Table
from steward.service.registry.aliases import aliases_of
from steward_cli.console import CommandError, Exit
from steward_cli.target import Target

_OUTPUTS = {
    Table.PROJECTS: "ProjectsTable",
    Table.RUNS: "RunsTable",
    Table.DELIVERIES: "DeliveriesTable",
    Table.LOCKS: "LocksTable",
    Table.VERSIONS: "VersionsTable",
    Table.ROUTES: "RoutesTable",
    Table.RELEASES: "ReleasesTable",
    Table.COSTS: "CostsTable",
    Table.LINEAGE: "LineageTable",
    Table.FEATURES: "FeaturesTable",
    Table.EXPERIMENTS: "ExperimentsTable",
    Table.MONITORING: "MonitoringTable",
    Table.ASSIGNMENTS: "AssignmentsTable",
}


class StackState:
    """Typed questions to the state store of a target."""

    def __init__(self, target: Target) -> None:
        self._store = DynamoStateStore(
            target.client("dynamodb"),
            tables={table: target.output(name) for table, name in _OUTPUTS.items()},
        )

    @property
    def store(self) -> StateStore:
        """The tables themselves."""
        return self._store

    def project(self, name: str) -> Item:
        """Return a project's item.

        Raises:
            CommandError: There is none of that name.
        """
        item = self._store.get(Table.PROJECTS, {"project": name})
        if item is None:
            known = ", ".join(sorted(p["project"] for p in self.projects())) or "none"
            raise CommandError(f"no project {name!r}", Exit.NOT_FOUND, f"known: {known}")
        return item

    def projects(self) -> list[Item]:
        """Return all projects."""
        return list(self._store.scan(Table.PROJECTS))

    def deliveries(self, project: str) -> list[Item]:
        """Return a project's deliveries, oldest first."""
        items = self._store.query(Table.DELIVERIES, project)
        return sorted(items, key=lambda item: str(item.get("received_at")))

    def features(self, project: str, prefix: str = "group#") -> list[Item]:
        """Return items of a project's features: versions of groups, or what ``prefix`` says."""
        return self._store.query(Table.FEATURES, project, prefix=prefix)

    def feature_consumers(self, project: str, group: str, version: int) -> list[Item]:
        """Return the model versions that a version of a feature group has trained."""
        runs = {str(run["run_id"]): run for run in self.runs(project)}
        route = self.route(project)
        return consumers_of(group, version, self.versions(project), runs, route)

    def runs(self, project: str) -> list[Item]:
        """Return a project's runs, oldest first."""
        items = [
            item
            for item in self._store.query(Table.RUNS, project)
            if "run_key" in item and "#" not in item["run_id"]
        ]
        return sorted(
            items, key=lambda item: str(item.get("started_at") or item.get("requested_at"))
        )

    def integrations(self, project: str) -> list[Item]:
        """Return the integrations of a project's commits, oldest first."""
        items = self._store.query(Table.RUNS, project, prefix="commit#")
        return sorted(items, key=lambda item: str(item["started_at"]))

    def batches(self, project: str) -> list[Item]:
        """Return a project's batches, oldest first."""
        items = self._store.query(Table.RUNS, project, prefix=PREFIX)
        return sorted(items, key=lambda item: str(item["started_at"]))

    def suppressed(self, project: str) -> list[Item]:
        """Return the triggers that started nothing, oldest first."""
        return self._store.query(Table.RUNS, project, prefix="suppressed#")

    def versions(self, project: str) -> list[Item]:
        """Return a project's versions, oldest first."""
        return self._store.query(Table.VERSIONS, project, prefix="version#")

    def version(self, project: str, number: int) -> Item:
        """Return one version.

        Raises:
            CommandError: There is none of that number.
        """
        key = {"project": project, "item": version_item(number)}
        item = self._store.get(Table.VERSIONS, key)
        if item is None:
            self.project(project)
            raise CommandError(f"{project} has no version {number}", Exit.NOT_FOUND)
        return item

    def aliases(self, project: str) -> dict[str, int]:
        """Return the version that each alias names."""
        return aliases_of(self._store, project)

    def champion(self, project: str) -> int | None:
        """Return the version in production, if any."""
        item = self._store.get(Table.VERSIONS, {"project": project, "item": alias_item("champion")})
        return int(item["version"]) if item else None

    def releases(self, project: str) -> list[Item]:
        """Return a project's releases, oldest first."""
        items = self._store.query(Table.RELEASES, project)
        return sorted(items, key=lambda item: str(item.get("started_at") or item["release_id"]))

    def route(self, project: str) -> Item | None:
        """Return a project's route."""
        return self._store.get(Table.ROUTES, {"project": project})

    def costs(self, project: str) -> list[Item]:
        """Return a project's cost entries."""
        return self._store.query(Table.COSTS, project)

    def dollars_by_run(self, project: str) -> dict[str, float]:
        """Return what each run's jobs and executions cost together, where they had a price."""
        sums: dict[str, float] = {}
        for cost in self.costs(project):
            if cost["dollars"] is not None:
                sums[cost["run_id"]] = sums.get(cost["run_id"], 0.0) + float(cost["dollars"])
        return sums


def person(identity: object) -> str:
    """Return the name in an identity ``account/name`` or in an ARN."""
    return str(identity or "").rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def shares_of(route: Item | None) -> dict[int, float]:
    """Return the share of traffic in percent by version."""
    arms: list[dict[str, Any]] = (route or {}).get("arms", [])
    return {int(arm["version"]): float(arm["share"]) for arm in arms}

"""One model's whole life, played by events alone: deliver, approve, ask; nothing else is pushed."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steward_cli.asking import Asked, ask_all
from steward_cli.commands.data import deliver
from steward_cli.commands.mail import letters
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.commands.versions import decide
from steward_cli.console import CommandError, Exit
from steward_cli.datasets import Datasets
from steward_cli.demo import data as diabetes
from steward_cli.demo.cards import read_cards
from steward_cli.demo.commits import push_change, repository_of
from steward_cli.demo.facts import Built, Chapter, Facts, Window
from steward_cli.demo.feed import Feed, Heard
from steward_cli.demo.monitored import MonitoredHours
from steward_cli.demo.people import acting_as
from steward_cli.function_urls import call
from steward_cli.lineage_graph import LineageGraph
from steward_cli.lineage_picture import picture
from steward_cli.sources import Source, read_source
from steward_cli.state import StackState, person
from steward_cli.target import Choice, Target

PROJECT = "diabetes"
_RUN_ENDS_BADLY = ("TrainingFailed", "CandidateHeld", "DatasetRejected", "StagingFailed")
_MACHINES = (
    "MaterialisationMachineArn", "TrainingMachineArn", "StagingMachineArn", "ReleaseMachineArn",
    "RollbackMachineArn", "IntegrationMachineArn",
)  # fmt: skip
_RELEASE_ENDS_BADLY = ("ReleaseFailed", "ReleaseRolledBack", "RollbackFailed")


class Story:
    """The chapters of the demo, each waiting for the events that must come."""

    def __init__(
        self, target: Target, choice: Choice, projects: Path, say: Callable[[str], None]
    ) -> None:
        self.target = target
        self.projects = projects
        self.say = say
        self.facts = Facts(started_at=time.time())
        if target.engine is not None:
            self.facts.time_scale = target.engine.time_scale
        self.theo = acting_as(choice, "theo")
        self.ana = acting_as(choice, "ana")
        self.bo = acting_as(choice, "bo")
        self.ward = acting_as(choice, "ward-app")
        self.state = StackState(target)
        self.feed = Feed(target, self._heard)
        self._folder = Path(tempfile.mkdtemp(prefix="steward-demo-"))
        self._files = diabetes.write_deliveries(self._folder)
        self._labs = diabetes.write_lab_deliveries(self._folder)

    def play(self) -> Facts:
        """Play all chapters and read back what the stack recorded.

        Raises:
            CommandError: Something that must happen did not, with what happened instead.
        """
        self.feed.open()
        try:
            self._until_live()
            with self._chapter("The ward asks for predictions; outcomes follow"):
                self._traffic("version 1 alone", None)
            with self._chapter("Delivery 2: version 2 is not worse than 1; canary, promoted"):
                self._deliver_labs(2)
                self._deliver_and_stage(2, self._files[1])
                self._void(2)
                self._approve(2)
                self._canary(2)
            with self._chapter("A commit is version 3: all tests pass, pending lab values fail"):
                self._deliver_labs(3)
                self._commit()
                self._staged(3)
                self._approve(3)
                self._rolled_back(3)
            with self._chapter("A malformed delivery is stopped before any job"):
                self._malformed()
            with self._chapter("Delivery 1 again: recognised, nothing runs twice"):
                self._again()
            with self._chapter("The patients get older: drift is told, and a run is started"):
                self._monitored()
            with self._chapter("Reading the books"):
                self._read_back()
        finally:
            self.feed.close()
        self.facts.events = list(self.feed.heard)
        self.facts.seconds = time.time() - self.facts.started_at
        return self.facts

    def play_until_live(self) -> None:
        """Play the first three chapters: from nothing to version 1 answering all traffic."""
        self.feed.open()
        try:
            self._until_live()
        finally:
            self.feed.close()

    def _until_live(self) -> None:
        with self._chapter("The data scientist adds the project"):
            self._add_project(None)
        with self._chapter("Delivery 1 arrives: version 1 is trained, judged and staged"):
            self._deliver_labs(1)
            self._deliver_and_stage(1, self._files[0])
        with self._chapter("Approval: its author may not, the approver may; version 1 goes live"):
            self._approve(1, author_tries=True)
            self._released(1)

    @contextmanager
    def _chapter(self, title: str) -> Iterator[None]:
        chapter = Chapter(len(self.facts.chapters) + 1, title, time.time())
        self.facts.chapters.append(chapter)
        self.say(f"[bold]{chapter.number}. {title}[/bold]")
        yield
        chapter.seconds = time.time() - chapter.started

    def _note(self, text: str) -> None:
        self.facts.chapters[-1].shown.append(text)
        self.say(f"   [green]✓[/green] {text}")

    def _heard(self, event: Heard) -> None:
        if event.source.startswith("steward."):
            self.say(
                f"   [dim]{event.source.removeprefix('steward.'):>10} {event.detail_type}[/dim]"
            )

    def _add_project(self, source: Path | None) -> None:
        found: Source = read_source(self.projects / "diabetes", source)
        if source is None:
            deploy_project_stack(self.target, found.project)
        pushed = push(self.theo, found)
        self._note(f"code {found.sha256[:12]} by {pushed['author']}, configuration valid")

    def _deliver_labs(self, number: int) -> None:
        """Deliver what the laboratory reported; wait until it is in the feature group."""
        file = self._labs[number - 1]
        deliver(self.target, PROJECT, file, "labs")
        unless = ("DatasetRejected", "FeatureMaterialisationFailed")
        done = self.feed.wait_for("FeaturesMaterialised", unless=unless, count=number)
        late = len(diabetes.corrections(diabetes.deliveries()[number - 2])) if number > 1 else 0
        self._note(
            f"{file.name}: {done.data['rows']} laboratory reports in feature group "
            f"{done.data['group']} v{done.data['version']}"
            + (f", {late} of them corrections of what was reported before" if late else "")
        )

    def _deliver_and_stage(self, version: int, file: Path) -> None:
        deliver(self.target, PROJECT, file)
        accepted = self.feed.wait_for(
            "DatasetAccepted", unless=_RUN_ENDS_BADLY, count=version, table="data"
        )
        self._note(f"{file.name}: {accepted.data['rows']} rows accepted")
        self._staged(version)

    def _commit(self) -> None:
        """Let theo push a change with git; a run starts once it is tested and rehearsed."""
        remote = repository_of(self.target, "local", PROJECT)
        commit = push_change(
            self.projects / PROJECT, self._folder / "clone", remote, self.theo, "theo",
            {"source: src\n": "source: src_v3\n"},
        )  # fmt: skip
        done = self.feed.wait_for(
            "CommitIntegrated", unless=("IntegrationFailed",), commit_id=commit
        )
        [record] = self.state.integrations(PROJECT)
        self.facts.commit = record
        self._note(
            f"commit {commit[:12]} pushed by {person(done.data['author'])}: "
            f"{record['tests']['summary']}; {record['rehearsal']['summary']}"
        )

    def _staged(self, version: int) -> None:
        """Wait for a version to be built, judged and staged."""
        built = self.feed.wait_for("DatasetBuilt", unless=_RUN_ENDS_BADLY, count=version)
        self._note(
            f"dataset {built.data['dataset_id'][:12]}: {built.data['train_rows']} rows train, "
            f"{built.data['heldout_rows']} judge; joined by event time alone, "
            f"{built.data['rows_with_later_knowledge']} would know a later correction"
        )
        judged = self.feed.wait_for("CandidateEvaluated", unless=_RUN_ENDS_BADLY, count=version)
        metrics = judged.data["metrics"]
        against = judged.data.get("champion_version")
        self._note(
            f"Brier {metrics['brier']:.4f}, AUC {metrics['roc_auc']:.3f} on held-out rows; "
            + (
                f"against version {against}: {judged.data['verdict']}"
                if against
                else "no champion yet"
            )
        )
        asked = self.feed.wait_for("ApprovalRequested", unless=_RUN_ENDS_BADLY, version=version)
        self._note(
            f"version {version} staged and smoke-tested; "
            f"evidence {asked.data['evidence_digest'][:12]}"
        )

    def _approve(self, version: int, *, author_tries: bool = False) -> None:
        if author_tries:
            try:
                decide(self.theo, PROJECT, version, "approve", "looks fine to me")
            except CommandError as refused:
                self.facts.refused_author = refused.message
                self._note(f"theo, its author, is refused: {refused.message}")
            else:
                raise CommandError("the author could approve his own version")
        answer = decide(self.ana, PROJECT, version, "approve", "evidence read")
        self._note(f"ana approves version {version}: {answer['state']}")
        if answer["missing"]:
            doubt = ", ".join((answer["summary"] or {}).get("escalated") or ["its tier"])
            answer = decide(self.bo, PROJECT, version, "approve", "evidence read, too")
            self._note(f"the policy asks for a second person ({doubt}): bo, {answer['state']}")

    def _void(self, version: int) -> None:
        """Let somebody change the evaluation after it was frozen: an approval of it is void."""
        uri = str(self.state.version(PROJECT, version)["evaluation_uri"])
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        s3 = self.target.client("s3")
        frozen = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        document = json.loads(frozen)
        document["metrics"][0]["value"] = 0.01
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(document).encode())
        try:
            decide(self.ana, PROJECT, version, "approve", "these figures are splendid")
        except CommandError as refused:
            self.facts.voided_approval = refused.message
            self._note(f"a figure was changed in S3: ana's approval is void ({refused.message})")
        else:
            raise CommandError("changed evidence could be approved")
        finally:
            s3.put_object(Bucket=bucket, Key=key, Body=frozen)

    def _released(self, version: int) -> None:
        self.feed.wait_for("ReleaseCompleted", unless=_RELEASE_ENDS_BADLY, version=version)
        self.feed.wait_for("VersionPromoted", version=version)
        self._note(f"version {version} answers all traffic")

    def _traffic(self, name: str, release: int | None, pending_share: float = 0.0) -> list[Asked]:
        window = Window(name, release)
        rows = diabetes.traffic_rows(pending_share=pending_share)
        url = self.ward.output("GatewayUrl")
        window.asked = ask_all(self.ward, url, PROJECT, rows)
        self.facts.windows.append(window)
        bad = [asked for asked in window.asked if asked.status != 200]
        if bad:
            raise CommandError(
                f"{len(bad)} of {len(rows)} requests got no prediction: {bad[0].body}"
            )
        by_version: dict[int | None, int] = {}
        for asked in window.asked:
            by_version[asked.version] = by_version.get(asked.version, 0) + 1
        spread = ", ".join(f"v{v}: {n}" for v, n in sorted(by_version.items(), key=str))
        fell = sum(asked.fallback for asked in window.asked)
        self._note(
            f"{len(rows)} patients asked once each ({spread})"
            + (f"; {fell} answered by the stable version instead" if fell else "")
        )
        self._send_outcomes(window.asked)
        return window.asked

    def _send_outcomes(self, asked: list[Asked]) -> None:
        """Send what became of these patients, as a ward's system does later."""
        known = diabetes.outcome_rows(
            {a.entity_id: a.inference_id for a in asked if a.inference_id}
        )
        seen = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            {"inference_id": row["inference_id"], "outcome": row["label"], "observed_at": seen}
            for row in known
        ]
        url = f"{self.ward.output('OutcomesUrl').rstrip('/')}/{PROJECT}"
        call(self.ward, url, "POST", rows).raise_for_status()

    def _canary(self, version: int) -> None:
        steps = self.state.project(PROJECT)["config"]["release"]["steps"]
        release = None
        for number, share in enumerate(steps, start=1):
            if release is None:
                started = self.feed.wait_for(
                    "ReleaseStarted", unless=_RELEASE_ENDS_BADLY, version=version
                )
                release = started.data["release_id"]
            self.feed.wait_for(
                "TrafficShifted", unless=_RELEASE_ENDS_BADLY, release_id=release, count=number
            )
            self._traffic(f"version {version} at {share} %", version)
        self._released(version)

    def _rolled_back(self, version: int) -> None:
        started = self.feed.wait_for("ReleaseStarted", unless=("ReleaseFailed",), version=version)
        release = started.data["release_id"]
        self.feed.wait_for("TrafficShifted", unless=("ReleaseFailed",), release_id=release)
        asked = self._traffic(f"version {version} with pending labs", version, pending_share=0.5)
        back = self.feed.wait_for("ReleaseRolledBack", version=version, timeout_s=60)
        alarms = [
            event
            for event in self.feed.of("CloudWatch Alarm State Change")
            if event.data["state"]["value"] == "ALARM"
        ]
        if not alarms:
            raise CommandError(f"rolled back without an alarm: {back.data['cause']}")
        faults = [a.sent_at + a.latency_ms / 1000 for a in asked if a.fallback]
        self.facts.first_fault_at = min(faults) if faults else None
        self.facts.alarm = str(alarms[0].data["alarmName"])
        self.facts.alarm_at = _epoch(alarms[0].data["state"]["timestamp"])
        restored = _epoch(back.data["restored_at"])
        if self.facts.first_fault_at is None:
            raise CommandError("version 3 answered every patient: the fault was never hit")
        self.facts.fault_to_alarm_s = self.facts.alarm_at - self.facts.first_fault_at
        self.facts.alarm_to_zero_s = restored - self.facts.alarm_at
        self._note(
            f"alarm {self.facts.alarm} {self.facts.fault_to_alarm_s:.1f} s after the first fault; "
            "all traffic on "
            f"version {back.data['stable_version']} "
            f"{self.facts.alarm_to_zero_s * 1000:.0f} ms after the alarm"
        )
        after = self._traffic("after the rollback", version, pending_share=0.5)
        wrong = [a for a in after if a.version != back.data["stable_version"]]
        if wrong:
            raise CommandError(f"{len(wrong)} requests were still answered by version {version}")
        self._wait_for_mail("rolled back")
        self._note("the on-call mail is in the mailbox; no request was lost")

    def _malformed(self) -> None:
        jobs_before = self._training_jobs()
        deliver(self.target, PROJECT, diabetes.write_malformed(self._folder))
        rejected = self.feed.wait_for("DatasetRejected")
        rules = ", ".join(
            f"{v['rule']}({v.get('column') or 'file'})" for v in rejected.data["violations"]
        )
        self._note(f"rejected: {rules}")
        self.feed.wait_for("TrainingFailed")
        if self._training_jobs() != jobs_before:
            raise CommandError("a training job ran on malformed data")
        self._wait_for_mail("delivery", role="owner")
        self._note(f"kept in quarantine: {rejected.data['quarantine_uri']}; no job started")

    def _again(self) -> None:
        file = self._folder / f"again-{self._files[0].name}"
        file.write_bytes(self._files[0].read_bytes())
        deliver(self.target, PROJECT, file)
        suppressed = self.feed.wait_for("TrainingSuppressed")
        self._note(
            f"suppressed: {suppressed.data['reason']} (run {suppressed.data['existing_run_id']})"
        )

    def _monitored(self) -> None:
        self._add_project(self.projects / "diabetes" / "src")
        hours = MonitoredHours(self.target, self.ward, self.feed, self.facts, self._note)
        hours.ask()
        hours.replay()
        hours.watch()
        self._wait_for_mail("drift in")
        hours.retrained()

    def _training_jobs(self) -> int:
        answer = self.target.client("sagemaker").list_training_jobs(MaxResults=100)
        return len(answer["TrainingJobSummaries"])

    def _wait_for_mail(self, text: str, role: str = "on", timeout_s: float = 20) -> None:
        assert self.target.engine is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for letter in letters(self.target.engine.mailbox):
                if text in letter.subject.lower() and role in letter.to.lower():
                    return
            time.sleep(0.2)
        raise CommandError(f"no mail about {text!r} came for {role}", Exit.TIMED_OUT)

    def _read_back(self) -> None:
        import json

        facts, state = self.facts, self.state
        facts.versions = state.versions(PROJECT)
        facts.deliveries = state.deliveries(PROJECT)
        facts.suppressed = state.suppressed(PROJECT)
        facts.runs = state.runs(PROJECT)
        facts.releases = state.releases(PROJECT)
        facts.route = state.route(PROJECT) or {}
        s3 = self.target.client("s3")
        for version in facts.versions:
            for uri, into in (
                (version.get("evaluation_uri"), facts.evaluations),
                (version.get("comparison_uri"), facts.comparisons),
            ):
                if uri:
                    bucket, _, key = uri.removeprefix("s3://").partition("/")
                    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                    into[int(version["version"])] = json.loads(body)
        self._wait_until_idle()
        states = self.target.client("stepfunctions")
        runs = {run["run_id"] for run in facts.runs}
        for output in _MACHINES:
            arn = self.target.output(output)
            for execution in states.list_executions(stateMachineArn=arn)["executions"]:
                if execution["name"] not in runs and not execution["name"].startswith(
                    (f"{PROJECT}-", f"{PROJECT}_")
                ):
                    continue
                stopped = execution.get("stopDate")
                facts.executions.append(
                    {
                        "machine": output.removesuffix("MachineArn").lower(),
                        "name": execution["name"],
                        "label": _label(execution["name"]),
                        "status": execution["status"],
                        "started": execution["startDate"].timestamp(),
                        "seconds": (stopped - execution["startDate"]).total_seconds()
                        if stopped
                        else None,
                    }
                )
        facts.executions.sort(key=lambda execution: execution["started"])
        facts.costs = self._wait_for_costs(len(facts.executions))
        self._rebuild_datasets()
        self._draw_lineage()
        self._read_cards()
        self._read_captures()
        if self.target.engine is not None:
            facts.mails = [vars(letter) for letter in letters(self.target.engine.mailbox)]
        self._note(
            f"{facts.exposures} exposures captured of {len(facts.requests)} requests; "
            f"{len(facts.mails)} mails; {len(facts.executions)} executions"
        )

    def _rebuild_datasets(self) -> None:
        """Build every dataset again from its source objects; the same digests must come out."""
        datasets = Datasets.of(self.target)
        for manifest in datasets.all_of(PROJECT):
            outcome = datasets.rebuild(manifest)
            self.facts.datasets.append(
                Built(
                    manifest["dataset_id"], int(manifest["rows"]),
                    tuple(feature["view"] for feature in manifest["features"]),
                    manifest["cutoff"], int(manifest["knowledge"]["rows_with_later_knowledge"]),
                    manifest["logical_digest"], outcome.equal,
                )
            )  # fmt: skip
        differing = [built.dataset_id for built in self.facts.datasets if not built.equal]
        if differing:
            raise CommandError(f"datasets could not be built again: {', '.join(differing)}")
        self._note(
            f"{len(self.facts.datasets)} datasets built again from their source objects: the same "
            "rows, the same bytes"
        )

    def _draw_lineage(self) -> None:
        """Draw what version 2 was made of and what it made."""
        graph = LineageGraph(self.state.store)
        start = graph.one(f"version:{PROJECT}/2")
        walks = [graph.walk(start, "up"), graph.walk(start, "down")]
        nodes = {name for found in walks for name in found.steps}
        graph.prefetch(nodes)
        self.facts.lineage, self.facts.lineage_nodes = picture(walks, graph), len(nodes)
        self._note(f"lineage of version 2: {len(nodes)} nodes from source objects to predictions")

    def _read_cards(self) -> None:
        """Read each version's card, with the status that SageMaker shows."""
        self.facts.cards = read_cards(self.target, self.facts.versions)
        told = ", ".join(f"{card.version} {card.status}" for card in self.facts.cards)
        self._note(f"model cards in SageMaker: {told}")

    def _wait_until_idle(self, timeout_s: float = 30) -> None:
        """Wait until no execution runs, so that the books are closed."""
        states = self.target.client("stepfunctions")
        machines = [self.target.output(name) for name in _MACHINES]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            running = [
                execution
                for arn in machines
                for execution in states.list_executions(
                    stateMachineArn=arn, statusFilter="RUNNING"
                )["executions"]
            ]
            if not running:
                return
            time.sleep(0.3)

    def _wait_for_costs(self, executions: int, timeout_s: float = 20) -> list[dict[str, Any]]:
        """Return the cost entries once every execution has one, or what there is by then."""
        deadline = time.monotonic() + timeout_s
        while True:
            costs = self.state.costs(PROJECT)
            priced = sum(cost["kind"] == "execution" for cost in costs)
            if priced >= executions or time.monotonic() > deadline:
                return costs
            time.sleep(0.3)

    def _read_captures(self, timeout_s: float = 30) -> None:
        s3, bucket = self.target.client("s3"), self.target.output("CaptureBucketName")
        deadline = time.monotonic() + timeout_s
        while True:
            ids: set[str] = set()
            objects = 0
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="exposures/")
            for page in pages:
                for found in page.get("Contents", []):
                    objects += 1
                    text = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read().decode()
                    captured = (
                        json.loads(row)["capture"] for row in text.splitlines() if row.strip()
                    )
                    ids.update(c["inference_id"] for c in captured if c["project"] == PROJECT)
            ids -= self.facts.replayed
            self.facts.exposures, self.facts.exposure_objects = len(ids), objects
            if len(ids) >= len(self.facts.requests) or time.monotonic() > deadline:
                return
            time.sleep(0.5)


def _label(execution: str) -> str:
    """Return an execution's name without the project's, short enough for a chart."""
    short = execution.removeprefix(f"{PROJECT}-").removeprefix(f"{PROJECT}_")
    return short if len(short) <= 22 else f"{short[:20]}…"


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()

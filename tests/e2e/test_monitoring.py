"""Monitoring on the deployed stack: from captured objects to mails, alarms and runs.

Traffic of past hours is put where Firehose delivers it; the watch is started as its schedule does,
and plays its machine with the roles of its functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steward.domain.exposures import Exposure
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.looks import Look, parse_look
from steward.domain.monitoring.records import HEAD, RETRAINING, alarm_item, look_item
from steward.domain.monitoring.sampled_rows import sampled_rows
from steward.domain.versions import version_item
from steward.ports import Delete, Item, Put, Table, Update
from steward_cli.commands import monitor
from steward_cli.commands.mail import letters
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

SCHEDULED = Path(__file__).parents[2] / "events" / "incoming" / "scheduled_event.json"


def requests(seed: int, count: int, older: float = 0.0) -> list[dict[str, Any]]:
    """Different people, drawn without replacement."""
    draw = np.random.default_rng(seed)
    ages = draw.normal(50 + older, 15, count).round(1)
    return [
        {
            "entity": f"{seed}-{n}",
            "features": {"age": float(ages[n]), "bmi": float(draw.normal(27, 4))},
            "probability": float(1 / (1 + np.exp((60 - ages[n]) / 15))),
        }
        for n in range(count)
    ]


class Ward:
    """A project that serves, with the traffic of its last hours."""

    def __init__(
        self, lab: Laboratory, name: str, *, declared: bool = False, served: bool = False
    ) -> None:
        self.lab, self.name = lab, name
        now = datetime.now(UTC)
        self.begin = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
        self.store = lab.state.store
        self.s3 = lab.target.client("s3")
        config = {"monitoring": {"unit": "event"}, "training": {}}
        arm = {"version": 1, "endpoint": "none", "role": "stable", "share": 100}
        if not declared:
            self.store.commit([Put(Table.PROJECTS, {"project": name, "config": config})])
        if not served:
            route = {"project": name, "route_version": 1, "arms": [arm]}
            self.store.commit([Put(Table.ROUTES, route)])

    def give_baseline(self, version: int = 1, *, registered: bool = False) -> Baseline:
        rows = requests(1, 3000)
        columns = {key: np.array([row["features"][key] for row in rows]) for key in ("age", "bmi")}
        predicted = {"prediction": np.array([row["probability"] for row in rows])}
        baseline = Baseline(
            project=self.name, version=version, rows=len(rows), features=column_baselines(columns),
            sample=sampled_rows(list(columns), np.column_stack(list(columns.values()))[:500]),
            held_out_rows=len(rows), predictions=column_baselines(predicted),
        )  # fmt: skip
        key = f"runs/{self.name}/v{version}/baseline.json"
        bucket = self.lab.target.output("ArtifactsBucketName")
        self.s3.put_object(Bucket=bucket, Key=key, Body=baseline.model_dump_json().encode())
        named = {"uri": f"s3://{bucket}/{key}", "digest": baseline.digest}
        where = {"project": self.name, "item": version_item(version)}
        write = Put(Table.VERSIONS, {**where, "version": version, "baseline": named})
        if registered:
            self.store.commit([Update(Table.VERSIONS, where, set={"baseline": named})])
        else:
            self.store.commit([write])
        return baseline

    def capture(
        self, rows: Sequence[dict[str, Any]], hour: int, tail: bytes = b"", version: int = 1
    ) -> str:
        """Put an object where Firehose delivers what was answered in an hour."""
        lines = []
        for n, row in enumerate(rows):
            at = self.begin + timedelta(hours=hour, seconds=3500 * n / len(rows))
            exposure = Exposure(
                project=self.name, route_version=1, step_id="serving", assignment_probability=1.0,
                assigned_version=version, assigned_role="stable", answering_version=version,
                fallback=False,
                entity=row["entity"], first_exposure=True, shadow_pair_id=None,
                inference_id=f"{self.name}-{row['entity']}-{hour}-{version}",
                time=at.isoformat(timespec="milliseconds"), features=row["features"],
                prediction={"probability": row["probability"]},
            )  # fmt: skip
            lines.append(json.dumps({"capture": asdict(exposure)}).encode() + b"\n")
        at = self.begin + timedelta(hours=hour)
        key = f"exposures/{at:%Y/%m/%d}/steward-{self.name}-{hour}-v{version}-{len(tail)}"
        bucket = self.lab.target.output("CaptureBucketName")
        self.s3.put_object(Bucket=bucket, Key=key, Body=b"".join(lines) + tail)
        return key

    def watch(self, hour: float, minute: int) -> dict[str, Any]:
        """Let the schedule fire some minutes after an hour, and wait until the watch is over."""
        at = self.begin + timedelta(hours=hour, minutes=minute)
        firing = json.loads(SCHEDULED.read_text(encoding="utf-8"))
        firing["time"] = at.isoformat(timespec="seconds")

        def fire() -> dict[str, Any] | None:
            answer = self.lab.target.client("lambda").invoke(
                FunctionName=self.lab.target.output("StartWatchFunctionArn"),
                Payload=json.dumps(firing).encode(),
            )
            found = dict(json.loads(answer["Payload"].read()))
            # The stack's own schedule may have started one: it is waited for.
            return None if "is running" in found.get("suppressed", "") else found

        found = eventually(fire, "a place for the watch")
        if "started" not in found:
            return dict(found)
        client = self.lab.target.client("stepfunctions")

        def ended() -> dict[str, Any] | None:
            execution = client.describe_execution(executionArn=found["started"])
            return dict(execution) if execution["status"] != "RUNNING" else None

        return eventually(ended, "the end of the watch")

    def look(self, hour: int) -> Look:
        """The record of an hour's look."""
        window = (self.begin + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
        item = self.store.get(Table.MONITORING, {"project": self.name, "item": look_item(window)})
        assert item is not None, f"no look at {window}"
        return parse_look(self.lab.read(item["uri"]))

    def alarm(self, kind: str) -> Item:
        """An alarm's item."""
        key = {"project": self.name, "item": alarm_item(kind)}
        return self.store.get(Table.MONITORING, key) or {"state": "ok"}

    def mails(self, subject: str) -> list[str]:
        """Mails about this project whose subject has these words."""
        assert self.lab.target.engine is not None
        found = letters(self.lab.target.engine.mailbox)
        return [one.subject for one in found if subject in one.subject and self.name in one.subject]

    def remove(self) -> None:
        """Go, so that other watches and the sweeps over all projects leave this one alone."""
        self.store.commit([
            Delete(table, {"project": self.name}) for table in (Table.ROUTES, Table.PROJECTS)
        ])  # fmt: skip


def _read_by_commands(
    lab: Laboratory, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read a project that alarms as the mail says, and judge its windows again."""
    context: Any = SimpleNamespace(obj=lab.choice)
    capsys.readouterr()
    monitor.show_monitoring(context, name, json_=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["alarms"]["drift"]["state"] == "alarm"
    file = folder / "monitor.html"
    monitor.report(context, name, out=file, json_=True)
    assert json.loads(capsys.readouterr().out)["alarms"]["drift"] == "alarm"
    assert "<title>age now and in the baseline</title>" in file.read_text(encoding="utf-8")
    monitor.backtest_windows(context, name, json_=True)
    again = json.loads(capsys.readouterr().out)
    assert (again["differing"], again["alarms"]) == ([], again["alarms_before"])
    monitor.backtest_windows(context, name, min_effect=0.9, json_=True)
    assert json.loads(capsys.readouterr().out)["alarms"] == 0


def test_shifted_traffic_leads_to_an_alarm_and_a_mail_and_unshifted_does_not(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted, steady = Ward(lab, "shifted"), Ward(lab, "steady")
    for ward in (shifted, steady):
        ward.give_baseline()
        for hour in range(3):
            ward.capture(requests(10 + hour, 250, 12.0 if ward is shifted and hour else 0.0), hour)
    ended = shifted.watch(3, 1)
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"])["failed"] == 0
    assert shifted.alarm("drift")["state"] == "alarm"
    assert steady.alarm("drift")["state"] != "alarm"
    verdict = shifted.look(1).window_verdict
    assert verdict is not None
    assert verdict.verdict == "drift"
    assert "age" in verdict.changed
    opinions = {one.method: one.state for one in shifted.look(1).multivariate}
    assert opinions["domain_classifier"] == "changed"
    assert len(opinions) == len(steady.look(1).multivariate) == 2
    assert steady.look(2).captured.rows == 250
    eventually(lambda: shifted.mails("drift in shifted") or None, "the drift mail")
    assert steady.mails("drift") == []
    again = shifted.watch(3, 1)
    assert "suppressed" in again
    _read_by_commands(lab, shifted.name, tmp_path, capsys)
    for ward in (shifted, steady):
        ward.remove()


def test_an_object_that_was_cut_off_is_set_aside_and_its_lines_count(lab: Laboratory) -> None:
    ward = Ward(lab, "cutoff")
    ward.give_baseline()
    key = ward.capture(requests(30, 80), 3, tail=b'{"capture": {"project": "cuto')
    assert ward.watch(4, 2)["status"] == "SUCCEEDED"
    look = ward.look(3)
    assert look.captured.rows == 80
    bucket = lab.target.output("ArtifactsBucketName")
    report = json.loads(lab.read(f"s3://{bucket}/quarantine/{key}.report.json"))
    assert (report["lines"], report["counted"]) == (81, 80)
    ward.remove()


def test_drift_starts_a_run_on_the_deliveries_that_were_kept(lab: Laboratory) -> None:
    name = "relapse"
    lab.add_project(name)
    lab.configure(name, "monitoring:\n  unit: entity\n", "monitoring:\n  unit: event\n")
    lab.configure(name, "\ntraining:\n", "\ntraining:\n  start_on: [drift]\n")
    ward = Ward(lab, name, declared=True)
    ward.give_baseline()
    lab.deliver(name)
    eventually(lambda: lab.state.deliveries(name), "the delivery of relapse")
    assert lab.state.runs(name) == []
    for hour in range(2):
        ward.capture(requests(40 + hour, 250, 12.0), hour)
    ward.watch(5, 3)
    run = lab.run(name, "running", "succeeded", "held", "failed")
    assert run["trigger"]["kind"] == "drift"
    assert run["trigger"]["cause"].startswith("drift of version 1 since ")
    eventually(lambda: ward.mails("is retrained") or None, "the mail about the run")
    kept = ward.store.get(Table.MONITORING, {"project": name, "item": RETRAINING})
    assert kept is not None
    assert kept["state"]["flight"]["id"] == run["trigger"]["attempt"]
    ward.remove()


ROLLS_BACK = "    drift: retrain\n    performance: notify"
RAMP = "  strategy: canary\n  steps: [10, 50, 100]\n  bake_s: 60\n"
LONG = "  strategy: canary\n  steps: [50, 100]\n  bake_s: 60000\n"
AT_ONCE = "  strategy: all_at_once\n  bake_s: 1\n"


class Rebound(Ward):
    """A project whose alarms take releases back; its version 1 answers."""

    def release(self, trained: dict[str, Any]) -> int:
        """Register another version like the trained one, and let people approve it."""
        version = self.lab.register(self.name, trained)
        self.lab.version(self.name, version, "pending")
        self.give_baseline(version, registered=True)
        self.lab.approve(self.name, version)
        return version

    def shares(self) -> dict[int, float]:
        """Share of traffic by version."""
        return shares_of(self.lab.state.route(self.name))

    def shifted(self, hour: int, version: int) -> None:
        """Let a version answer people for two hours who are older than those of its training."""
        for one in (hour, hour + 1):
            self.capture(requests(60 + one, 250, 12.0), one, version=version)
        # The stack's own schedule may have looked at these hours before anything was captured.
        self.store.commit([Delete(Table.MONITORING, {"project": self.name, "item": HEAD})])
        assert self.watch(hour + 2, 4)["status"] == "SUCCEEDED"

    def taken_back(self, version: int) -> dict[str, Any]:
        """Wait until all traffic is version 1's again; return the release that is over."""
        eventually(lambda: self.shares() == {1: 100}, "the route back")

        def ended() -> dict[str, Any] | None:
            found = [r for r in self.lab.state.releases(self.name) if int(r["version"]) == version]
            return dict(found[-1]) if found[-1]["status"] == "rolled_back" else None

        return eventually(ended, f"the end of the release of version {version}")


@pytest.fixture(scope="module")
def rebound(lab: Laboratory, trained: dict[str, Any]) -> Iterator[Rebound]:
    name = "rebound"
    lab.add_project(name)
    lab.configure(name, "monitoring:\n  unit: entity\n", "monitoring:\n  unit: event\n")
    acts = "    drift: roll_back\n    performance: roll_back\n    candidate: roll_back"
    lab.configure(name, ROLLS_BACK, acts)
    lab.configure(name, RAMP, AT_ONCE)
    ward = Rebound(lab, name, declared=True, served=True)
    assert ward.release(trained) == 1
    lab.version(name, 1, "production")
    lab.configure(name, AT_ONCE, LONG)
    yield ward
    ward.remove()


def test_an_alarm_of_the_version_that_is_tried_rolls_its_release_back(
    rebound: Rebound, trained: dict[str, Any]
) -> None:
    tried = rebound.release(trained)
    eventually(lambda: rebound.shares() == {1: 50, tried: 50}, "traffic on the candidate")
    rebound.shifted(0, tried)
    ended = rebound.taken_back(tried)
    assert ended["cause"].startswith(f"asked by monitoring: drift of version {tried}: ")
    eventually(lambda: rebound.mails("rolled back") or None, "the mail about the rollback")
    assert rebound.alarm("drift")["state"] == "no_data", "the stable version answered nobody"
    shown = rebound.lab.steward("monitor", "show", rebound.name, "--version", str(tried))
    assert shown["alarms"]["drift"]["state"] == "alarm"


def test_an_alarm_takes_back_the_release_of_the_version_that_drifts_and_no_other(
    rebound: Rebound, trained: dict[str, Any]
) -> None:
    rebound.lab.configure(rebound.name, LONG, AT_ONCE)
    version = rebound.release(trained)
    rebound.lab.version(rebound.name, version, "production")
    assert rebound.shares() == {version: 100}
    before = len(rebound.mails("rolled back"))
    rebound.shifted(2, version)
    ended = rebound.taken_back(version)
    assert ended["cause"].startswith(f"asked by monitoring: drift of version {version}: ")
    # The same shift under version 1: there is nothing before it to go back to.
    told = len(rebound.mails(f"drift in {rebound.name} 1"))
    rebound.shifted(4, 1)
    alarm = rebound.alarm("drift")
    assert (alarm["state"], alarm["version"]) == ("alarm", 1)
    eventually(
        lambda: len(rebound.mails(f"drift in {rebound.name} 1")) > told or None, "the drift mail"
    )
    assert rebound.shares() == {1: 100}
    assert len(rebound.mails("rolled back")) == before + 1

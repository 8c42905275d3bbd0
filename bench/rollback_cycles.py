"""A canary on a deployed stack under load, put back as it was as often as it is rolled back.

One release is real: version 2 is registered, staged, approved and brought to its first step by its
machine. Its items are kept. Each cycle writes them again under the next attempt's id, with a route
one version on, so that the next alarm finds what a release leaves. They name another endpoint of
the same model, which no rollback removes: 50 endpoints need not come up.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import tarfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from exposure_load import TooLateError, physical
from steward.domain.experiments.cohorts import experiment_item
from steward.domain.locks import release_lock
from steward.domain.releases import release_id
from steward.ports import Item, Put, Table
from steward_cli.asking import Asked, ask
from steward_cli.commands.versions import decide
from steward_cli.demo.story import PROJECT
from steward_cli.state import StackState, shares_of
from steward_cli.target import Target

T = TypeVar("T")
SHARE = 50
TOO_HIGH = 240
"""A blood pressure above it is allowed, and the versions that are released here fail on it."""

_FAILS = f"""

_of_all = predict_fn


def predict_fn(rows, model):
    if any(row["bp"] > {TOO_HIGH} for row in rows):
        raise ArithmeticError("no pressure was that high when this was trained")
    return _of_all(rows, model)
"""
_COPIED = (
    "author", "config_digest", "code_digest", "artifact_uri", "job_image", "dataset_id",
    "manifest_uri", "evaluation_uri", "comparison_uri", "champion_version", "gate",
)  # fmt: skip


def eventually(read: Callable[[], T | None], what: str, within_s: float = 120) -> T:
    """Return the first value that is neither None nor empty.

    Raises:
        TooLateError: There was none in time.
    """
    deadline = time.monotonic() + within_s
    while not (value := read()):
        if time.monotonic() > deadline:
            raise TooLateError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.05)
    return value


class Load:
    """Threads that ask through the gateway, bounded in number, in pace and in time.

    Args:
        caller: Who asks.
        row: Features of every request; may be exchanged meanwhile.
        threads: How many ask at once.
        pause_s: What each waits after an answer.
        most_s: When all stop, whatever else happens.
    """

    def __init__(
        self, caller: Target, row: dict[str, Any], *, threads: int, pause_s: float, most_s: float
    ) -> None:
        self.row = row
        self.asked: list[Asked] = []
        self._caller, self._url = caller, caller.output("GatewayUrl")
        self._pause_s, self._until = pause_s, time.monotonic() + most_s
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(seed,), daemon=True) for seed in range(threads)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, seed: int) -> None:
        dice = random.Random(seed)
        while not self._over.wait(self._pause_s) and time.monotonic() < self._until:
            row = {"entity_id": f"load-{dice.randrange(5000)}", "features": self.row}
            self.asked.append(ask(self._caller, self._url, PROJECT, row))

    def since(self, moment: float) -> list[Asked]:
        """Return what was sent at a time or later."""
        return [asked for asked in list(self.asked) if asked.sent_at >= moment]


def answered_at(asked: Asked) -> float:
    """Return when an answer was with its client."""
    return asked.sent_at + asked.latency_ms / 1000


@dataclass
class Stack:
    """The deployed stack, and what the benchmark does to its project."""

    target: Target
    approver: Target
    _alarm: str = field(init=False)

    def __post_init__(self) -> None:
        self.state = StackState(self.target)
        self._alarm = f"steward-{self.target.environment_name}-{PROJECT}-candidate-errors"

    def declare(self) -> None:
        """Let canaries begin at half of the traffic and bake for longer than this lasts."""
        project = self.state.project(PROJECT)
        project["config"]["release"] |= {"steps": [SHARE, 100], "bake_s": 60_000}
        self.state.store.commit([Put(Table.PROJECTS, project)])

    def register(self) -> int:
        """Register a version of version 1's model that fails on some values; it gets staged."""
        like = self.state.version(PROJECT, 1)
        run_id = f"{uuid.uuid4().hex[:12]}-1"
        run = self.state.store.get(Table.RUNS, {"project": PROJECT, "run_id": like["run_id"]})
        assert run is not None
        self.state.store.commit([Put(Table.RUNS, {**run, "run_id": run_id})])
        command = {name: like[name] for name in _COPIED}
        command |= {"project": PROJECT, "run_id": run_id, "correlation_id": run_id}
        command["artifact_uri"] = self._packed(like["artifact_uri"], f"models/{PROJECT}/{run_id}")
        answer = self.target.client("lambda").invoke(
            FunctionName=physical(self.target, "Registry", "RegisterVersionFunction"),
            Payload=json.dumps(command, default=int).encode(),
        )
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(body)
        return int(body["version"])

    def _packed(self, uri: str, prefix: str) -> str:
        """Store an artifact again with serving code that fails on some values."""
        s3 = self.target.client("s3")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        packed = io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        out = io.BytesIO()
        with tarfile.open(fileobj=packed) as old, tarfile.open(fileobj=out, mode="w:gz") as new:
            for member in old.getmembers():
                data = old.extractfile(member)
                content = data.read() if data else b""
                if member.name.endswith("code/inference.py"):
                    content += _FAILS.encode()
                    member.size = len(content)
                new.addfile(member, io.BytesIO(content) if data else None)
        s3.put_object(Bucket=bucket, Key=f"{prefix}/model.tar.gz", Body=out.getvalue())
        return f"s3://{bucket}/{prefix}/model.tar.gz"

    def approve(self, version: int) -> Item:
        """Approve a staged version; return its release once its canary has traffic."""

        def staged() -> bool:
            state = self.state.version(PROJECT, version)["state"]
            if state == "staging_failed":
                raise RuntimeError(f"version {version} could not be staged")
            return bool(state == "pending")

        eventually(staged, f"staging of version {version}")
        decide(self.approver, PROJECT, version, "approve", "evidence read")

        def on_its_way() -> Item | None:
            shares = shares_of(self.state.route(PROJECT))
            found = self.release(release_id(version, 1))
            if found and found["status"] not in ("waiting", "running"):
                raise RuntimeError(f"version {version} is {found['status']}: {found.get('cause')}")
            return found if found and shares.get(version) == SHARE else None

        return eventually(on_its_way, f"traffic on version {version}")

    def release(self, name: str) -> Item | None:
        """Return a release."""
        key = {"project": PROJECT, "release_id": name}
        return self.state.store.get(Table.RELEASES, key)

    def ring(self) -> None:
        """Let the candidate's alarm go from OK to ALARM."""
        for state in ("OK", "ALARM"):
            self.target.client("cloudwatch").set_alarm_state(
                AlarmName=self._alarm, StateValue=state, StateReason="bench/rollback.py"
            )

    def rolled_back(self, name: str) -> Item:
        """Wait until a release is rolled back and nobody holds the lock."""

        def read() -> Item | None:
            found = self.release(name)
            return found if found and found["status"] == "rolled_back" else None

        return eventually(read, f"the rollback of {name}", 30)

    def rollback_of(self, name: str) -> Any:
        """Return the execution that rolled a release back."""
        arn = self.target.output("RollbackMachineArn").replace(":stateMachine:", ":execution:")
        return self.target.client("stepfunctions").describe_execution(
            executionArn=f"{arn}:{PROJECT}-{name}-rollback-1"
        )


class Canary:
    """The items of a real release under canary, to be written again and again."""

    def __init__(self, stack: Stack, release: Item) -> None:
        self._stack = stack
        self.version = int(release["version"])
        store = stack.state.store
        self._release = release
        item = experiment_item(release["release_id"])
        head = store.get(Table.EXPERIMENTS, {"project": PROJECT, "item": item})
        lock = store.get(Table.LOCKS, {"lock": release_lock(PROJECT)})
        route = stack.state.route(PROJECT)
        if not (head and lock and route):
            raise RuntimeError(f"{release['release_id']} has no head item, lock or route")
        self._head, self._lock, self._route = head, lock, route
        self.endpoint = f"local-{PROJECT}-v{90 + self.version}-prod"
        self._attempts = itertools.count(2)

    def bring_up(self) -> None:
        """Create the endpoint that all cycles ask, of the same model, and wait for it."""
        sagemaker, name = self._stack.target.client("sagemaker"), self.endpoint
        real = sagemaker.describe_endpoint(EndpointName=self._release["endpoint"])
        config = sagemaker.describe_endpoint_config(EndpointConfigName=real["EndpointConfigName"])
        variant = config["ProductionVariants"][0]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
        kept = ("PrimaryContainer", "ExecutionRoleArn")
        sagemaker.create_model(ModelName=name, **{key: model[key] for key in kept})
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**variant, "ModelName": name}]
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

        def up() -> bool:
            return bool(
                sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
            )

        eventually(up, f"{name} in service")

    def again(self) -> str:
        """Write the state of a canary's first step under the next attempt; return its id."""
        name = release_id(self.version, next(self._attempts))
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        store, route = self._stack.state.store, self._stack.state.route(PROJECT)
        assert route is not None
        number = int(route["route_version"]) + 1
        arms = [
            {**arm, "endpoint": self.endpoint} if arm["role"] == "candidate" else arm
            for arm in self._route["arms"]
        ]
        step = {**self._release["shifts"][0], "at": now, "route_version": number}
        release = {
            **self._release, "release_id": name, "attempt": int(name.rsplit("-", 1)[1]),
            "started_at": now, "shifts": [step], "endpoint": self.endpoint,
            "execution_arn": self._release["execution_arn"].replace(
                self._release["release_id"], name
            ),
        }  # fmt: skip
        head = {**self._head, "item": experiment_item(name), "release_id": name}
        changed = {"route_version": number, "release_id": name, "salt": f"{PROJECT}/{name}"}
        lock = {**self._lock, "owner": name, "execution_arn": release["execution_arn"]}
        store.commit(
            [
                Put(Table.RELEASES, release), Put(Table.EXPERIMENTS, head),
                Put(Table.LOCKS, lock), Put(Table.ROUTES, {**self._route, **changed, "arms": arms}),
            ]
        )  # fmt: skip
        return name

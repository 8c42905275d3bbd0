"""SageMaker throttles: the client tries again, then the error says so and nothing is half done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from steward.adapters.clients import Clients
from steward.adapters.registry import SageMakerModelRegistry
from steward.domain.errors import AccessDeniedError, ThrottledError
from steward.ports import Table
from steward.service.registry.card_publishing import Publishing, publish_card, sweep_cards
from steward.service.registry.labelling import mirror_version
from steward.service.registry.package_status import apply_decision, reconcile_package
from steward.service.registry.sweep import sweep_approvals
from support.fakes import FakeModelCards
from support.registry_scene import PROJECT, RUN, Scene, user

GROUP = "steward-dev-diabetes"
ARN = f"arn:aws:sagemaker:us-east-1:000000000000:model-package/{GROUP}/1"
ATTEMPTS = 4


class Raw:
    """The body of an answer."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_about: Any) -> list[bytes]:
        return [self._content]


class Wire:
    """SageMaker behind the wire: each operation throttles as often as it is told to."""

    def __init__(self, throttles: dict[str, int], code: str = "ThrottlingException") -> None:
        self.left, self.code = dict(throttles), code
        self.sent: Counter[str] = Counter()
        self.slept: list[float] = []

    def __call__(self, request: AWSPreparedRequest, **_about: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        self.sent[name] += 1
        if self.left.get(name, 0) > 0:
            self.left[name] -= 1
            body = json.dumps({"__type": self.code, "message": "Rate exceeded"})
            return AWSResponse(request.url, 400, {}, Raw(body.encode()))
        answers = {
            "UpdateModelPackage": {"ModelPackageArn": ARN},
            "ListModelPackages": {"ModelPackageSummaryList": []},
        }
        body = json.dumps(answers[name])
        return AWSResponse(request.url, 200, {}, Raw(body.encode()))


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Callable[[Wire], SageMakerModelRegistry]:
    """Return the adapter on the client that the functions have, with a wire behind it."""
    for name, value in (("ID", "a"), ("SECRET", "b")):
        key = "AWS_ACCESS_KEY_ID" if name == "ID" else "AWS_SECRET_ACCESS_KEY"
        monkeypatch.setenv(key, value)

    def connect(wire: Wire) -> SageMakerModelRegistry:
        client = Clients("us-east-1").get("sagemaker")
        client.meta.events.register("before-send.sagemaker", wire)
        monkeypatch.setattr("time.sleep", wire.slept.append)
        return SageMakerModelRegistry(client)

    return connect


Connect = Callable[[Wire], SageMakerModelRegistry]


def test_a_status_is_set_after_a_few_throttles_with_pauses_between(behind: Connect) -> None:
    wire = Wire({"UpdateModelPackage": ATTEMPTS - 1})
    behind(wire).set_status(ARN, "Approved", "approved by ana")
    assert wire.sent["UpdateModelPackage"] == ATTEMPTS
    assert len(wire.slept) == ATTEMPTS - 1
    assert all(0 <= pause <= 20 for pause in wire.slept)


def test_a_list_is_read_after_a_few_throttles(behind: Connect) -> None:
    wire = Wire({"ListModelPackages": ATTEMPTS - 1})
    assert list(behind(wire).versions(GROUP, "Approved")) == []
    assert wire.sent["ListModelPackages"] == ATTEMPTS


@pytest.mark.parametrize("code", ["ThrottlingException", "Throttling", "RequestLimitExceeded"])
def test_throttling_that_does_not_end_is_told_as_such_with_what_was_tried(
    behind: Connect, code: str
) -> None:
    wire = Wire({"UpdateModelPackage": 99, "ListModelPackages": 99}, code)
    registry = behind(wire)
    with pytest.raises(ThrottledError, match=rf"set {ARN} to Approved: {code}: Rate exceeded"):
        registry.set_status(ARN, "Approved", "")
    with pytest.raises(ThrottledError, match=f"list versions of {GROUP}: {code}"):
        list(registry.versions(GROUP))
    with pytest.raises(ThrottledError, match="label"):
        registry.set_labels(ARN, "Staging", "PendingApproval", {"a": "b"}, [])
    with pytest.raises(ThrottledError, match="set the card"):
        registry.set_card(ARN, "{}", "Draft")
    assert wire.sent == {"UpdateModelPackage": 3 * ATTEMPTS, "ListModelPackages": ATTEMPTS}


def test_a_denial_is_not_tried_again(behind: Connect) -> None:
    wire = Wire({"UpdateModelPackage": 99}, "AccessDeniedException")
    with pytest.raises(AccessDeniedError):
        behind(wire).set_status(ARN, "Approved", "")
    assert (wire.sent["UpdateModelPackage"], wire.slept) == (1, [])


class Throttled:
    """A registry of whose calls one kind throttles the next time."""

    def __init__(self, scene: Scene, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        real = getattr(scene.registry, call)

        def once(*parts: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise ThrottledError(f"{call}: ThrottlingException: Rate exceeded")
            return real(*parts, **named)

        monkeypatch.setattr(scene.registry, call, once)


def _kept(scene: Scene) -> tuple[Any, ...]:
    """Return everything that is on record, and the packages."""
    return (
        sorted(map(repr, scene.state.query(Table.VERSIONS, PROJECT))),
        len(scene.state.events),
        repr(scene.registry.packages),
    )


def _apply(scene: Scene) -> str:
    return apply_decision(
        PROJECT, 1, state=scene.state, registry=scene.registry, objects=scene.objects
    )


def _reconcile(scene: Scene) -> str:
    return reconcile_package(
        ARN, GROUP, 1, causation_id="e1", environment="dev", state=scene.state,
        registry=scene.registry, clock=scene.clock, ids=scene.ids,
    )  # fmt: skip


def _mirror(scene: Scene) -> Any:
    return mirror_version(PROJECT, 1, state=scene.state, registry=scene.registry)


def _sweep(scene: Scene) -> Any:
    return sweep_approvals(
        causation_id="s1", environment="dev", state=scene.state, registry=scene.registry,
        clock=scene.clock, ids=scene.ids,
    ).as_dict()  # fmt: skip


def _around(scene: Scene) -> None:
    scene.package().update(ModelApprovalStatus="Approved", LastModifiedTime="t1")


def _decided(scene: Scene) -> None:
    scene.decide(user("ana"), scene.item()["evidence_digest"])


@pytest.mark.parametrize(
    ("prepare", "call", "use", "then"),
    [
        (_decided, "set_status", _apply, "Approved"),
        (_around, "versions", _sweep, {"expired": 0, "set_back": 1, "archived": 0}),
        (_decided, "set_labels", _mirror, None),
    ],
    ids=["apply", "sweep", "mirror"],
)
def test_a_throttled_call_changes_nothing_and_the_next_try_does_all(
    prepare: Callable[[Scene], None], call: str, use: Callable[[Scene], Any], then: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scene = Scene()
    scene.pending()
    prepare(scene)
    Throttled(scene, call, monkeypatch)
    before = _kept(scene)
    with pytest.raises(ThrottledError):
        use(scene)
    assert _kept(scene) == before
    done = use(scene)
    assert then is None or done == then
    after = len(scene.state.events)
    use(scene)
    assert len(scene.state.events) == after


def test_an_approval_around_steward_is_told_once_and_set_back_by_the_next_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is on record before the status is set back, so that a crash between loses nothing."""
    scene = Scene()
    scene.pending()
    _around(scene)
    Throttled(scene, "set_status", monkeypatch)
    with pytest.raises(ThrottledError):
        _reconcile(scene)
    told = len(scene.state.events)
    assert scene.package()["ModelApprovalStatus"] == "Approved"
    assert scene.item()["state"] == "pending"
    assert _reconcile(scene) == "set back"
    assert scene.package()["ModelApprovalStatus"] == "PendingManualApproval"
    assert len(scene.state.events) == told


def test_a_package_that_could_not_be_made_leaves_no_version_and_the_next_try_makes_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    command = scene.command(RUN)
    Throttled(scene, "create_version", monkeypatch)
    with pytest.raises(ThrottledError):
        scene.run_task(command)
    assert scene.state.events == []
    assert [i for i in scene.state.query(Table.VERSIONS, PROJECT) if "state" in i] == []
    assert scene.run_task(command).version == 1
    assert len(scene.registry.packages) == 1
    assert len(scene.state.named("VersionRegistered")) == 1


def test_a_card_that_is_half_published_is_behind_and_published_by_the_next_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    scene.pending()
    cards = FakeModelCards()
    about = Publishing(scene.state, scene.objects, cards, scene.registry, "dev")
    Throttled(scene, "set_card", monkeypatch)
    with pytest.raises(ThrottledError):
        publish_card(PROJECT, 1, about)
    assert scene.item().get("card_published") is None
    assert sweep_cards(about) == {"published": 1, "failed": 0}
    assert [card.version for card in cards.cards["steward-dev-diabetes-v1"]] == [1]
    assert scene.package()["ModelCard"]["ModelCardStatus"] == "PendingReview"

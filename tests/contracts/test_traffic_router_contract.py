"""The routers' contract: traffic is made to follow the route of the moment, by either of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from steward.adapters.traffic_routers import EndpointVariantsRouter, GatewayRouter, RouterOfRoute
from steward.domain import names
from steward.domain.errors import AccessDeniedError, EndpointFailedError
from steward.domain.releases import completed, first_route, restored, shifted
from steward.domain.routes import Arm, Route
from steward.ports import Routed, Table, TrafficRouter
from support.fake_sagemaker import FakeSageMaker, refusal
from support.fake_state import FakeState

PROJECT = "ward"
ENDPOINT = names.variants_endpoint("dev", PROJECT)


def arm(version: int, share: float = 100) -> Arm:
    return Arm(version=version, endpoint=ENDPOINT, role="candidate", share=share)


def variant(version: int, weight: float = 0, attempt: int = 1) -> dict[str, Any]:
    return {
        "VariantName": f"v{version}", "ModelName": f"dev-{PROJECT}-v{version}-prod-{attempt}",
        "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": weight,
    }  # fmt: skip


def config(label: str, *variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    name = names.variants_config("dev", PROJECT, label)
    return {"EndpointConfigName": name, "ProductionVariants": list(variants), **more}


@dataclass
class Scene:
    """A router with its project's route."""

    kind: str
    state: FakeState = field(default_factory=FakeState)
    sagemaker: FakeSageMaker = field(default_factory=FakeSageMaker)

    @property
    def router(self) -> TrafficRouter:
        variants = EndpointVariantsRouter(self.sagemaker, self.state, "dev")
        routers: dict[str, TrafficRouter] = {
            "gateway": GatewayRouter(self.state),
            "endpoint_variants": variants,
            "of the route": RouterOfRoute(self.state, lambda: variants),
        }
        return routers[self.kind]

    def write(self, route: Route) -> Route:
        router = "gateway" if self.kind == "gateway" else "endpoint_variants"
        route = route.model_copy(update={"router": router})
        self.state.put(Table.ROUTES, route.model_dump(mode="json"))
        return route

    def serve(self, *versions: int) -> Route:
        """Let version 1 answer everything, and the others be there without traffic."""
        members = [variant(1, 100), *(variant(version) for version in versions)]
        self.sagemaker.add(ENDPOINT, config("1-1", *members))
        return self.write(first_route(PROJECT, "00000001-1", "all", arm(1), 1000))

    def follow(self, looks: int = 20) -> Routed:
        for _ in range(looks):
            routed = self.router.apply(PROJECT)
            if routed.done:
                return routed
        raise AssertionError(f"traffic does not follow: {routed.detail}")

    def tidy(self, looks: int = 20) -> Routed:
        for _ in range(looks):
            routed = self.router.tidy(PROJECT, lambda: False)
            if routed.done:
                return routed
        raise AssertionError(f"not tidy: {routed.detail}")


@pytest.fixture(params=["gateway", "endpoint_variants", "of the route"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


@pytest.fixture
def variants() -> Scene:
    return Scene("endpoint_variants")


# --- both ---------------------------------------------------------------------------------


def test_a_project_without_a_route_has_nothing_to_follow(scene: Scene) -> None:
    assert scene.router.apply(PROJECT) == Routed(done=True)
    assert scene.router.shares(PROJECT) == {}


def test_a_first_version_gets_everything(scene: Scene) -> None:
    scene.serve()
    assert scene.follow().route_version == 1
    assert scene.router.shares(PROJECT) == {1: 100}


@pytest.mark.parametrize("share", [1.0, 33.3, 50.0, 99.0])
def test_the_shares_of_a_step_become_true(scene: Scene, share: float) -> None:
    route = scene.serve(2)
    scene.write(shifted(route, "00000002-1", "canary-1", arm(2, share), 1000))
    assert scene.follow().route_version == 2
    assert scene.router.shares(PROJECT) == pytest.approx({1: 100 - share, 2: share})


def test_following_once_more_changes_nothing(scene: Scene) -> None:
    route = scene.serve(2)
    scene.write(shifted(route, "00000002-1", "canary-1", arm(2, 10), 1000))
    scene.follow()
    calls = list(scene.sagemaker.calls)
    assert scene.router.apply(PROJECT).done
    assert scene.sagemaker.calls == calls


def test_a_completed_release_leaves_everything_on_its_version(scene: Scene) -> None:
    route = scene.serve(2)
    moved = scene.write(shifted(route, "00000002-1", "ab", arm(2, 50), 1000))
    scene.follow()
    scene.write(completed(moved, "ab-done"))
    scene.follow()
    assert scene.router.shares(PROJECT) == {2: 100}


def test_a_restored_route_takes_everything_from_a_version(scene: Scene) -> None:
    route = scene.serve(2)
    moved = scene.write(shifted(route, "00000002-1", "canary-2", arm(2, 50), 1000))
    scene.follow()
    back = restored(moved, 2, "restored")
    assert back is not None
    scene.write(back)
    scene.follow()
    assert scene.router.shares(PROJECT) == {1: 100}


def test_the_previous_version_is_there_at_once_when_a_completed_release_is_taken_back(
    scene: Scene,
) -> None:
    route = scene.serve(2)
    moved = scene.write(shifted(route, "00000002-1", "ab", arm(2, 50), 1000))
    done = scene.write(completed(moved, "ab-done"))
    scene.follow()
    scene.tidy()
    back = restored(done, 2, "restored")
    assert back is not None
    scene.write(back)
    scene.follow()
    assert scene.router.shares(PROJECT) == {1: 100}
    assert scene.sagemaker.calls.count("update_endpoint") == 0, "it was warm"


def test_tidying_while_a_release_runs_touches_nothing(scene: Scene) -> None:
    scene.serve(2)
    scene.router.tidy(PROJECT, lambda: True)
    assert scene.sagemaker.calls == []


# --- production variants alone ------------------------------------------------------------


def test_weights_are_true_only_once_the_endpoint_is_in_service(variants: Scene) -> None:
    route = variants.serve(2)
    variants.sagemaker.looks = 3
    variants.write(shifted(route, "00000002-1", "canary-1", arm(2, 10), 1000))
    told = [variants.router.apply(PROJECT) for _ in range(6)]
    assert [routed.done for routed in told] == [False, False, False, False, True, True]
    assert variants.sagemaker.calls == ["update_endpoint_weights_and_capacities"]


def test_a_shift_that_comes_late_does_not_undo_a_rollback(variants: Scene) -> None:
    route = variants.serve(2)
    variants.sagemaker.looks = 1
    moved = variants.write(shifted(route, "00000002-1", "canary-2", arm(2, 50), 1000))
    assert not variants.router.apply(PROJECT).done
    back = restored(moved, 2, "restored")
    assert back is not None
    variants.write(back)
    variants.follow()
    assert variants.sagemaker.weights(ENDPOINT) == {"v1": 100, "v2": 0}


def test_a_route_that_changes_during_the_look_is_looked_at_again(variants: Scene) -> None:
    route = variants.serve(2)
    moved = shifted(route, "00000002-1", "canary-1", arm(2, 10), 1000)
    describe = variants.sagemaker.describe_endpoint

    def changing(EndpointName: str) -> Any:  # noqa: N803
        variants.write(moved)
        return describe(EndpointName)

    variants.sagemaker.describe_endpoint = changing  # type: ignore[method-assign]
    assert variants.router.apply(PROJECT) == Routed(False, 1, "the route has changed")


def test_an_update_that_somebody_else_began_is_waited_for(variants: Scene) -> None:
    route = variants.serve(2)
    variants.write(shifted(route, "00000002-1", "canary-1", arm(2, 10), 1000))
    busy = refusal("UpdateEndpoint", "ValidationException", "Cannot update in-progress endpoint")
    variants.sagemaker.refuses["update_endpoint_weights_and_capacities"] = busy
    assert not variants.router.apply(PROJECT).done
    variants.follow()
    assert variants.router.shares(PROJECT) == {1: 90, 2: 10}


def test_a_shadow_variant_stands_beside_one_production_variant(variants: Scene) -> None:
    route = variants.serve(2)
    mirrored = shifted(
        route, "00000002-1", "shadow-40", arm(2, 0), 1000, mirror_percent=40
    )  # fmt: skip
    variants.write(mirrored)
    variants.follow()
    used = variants.sagemaker.configs[names.variants_config("dev", PROJECT, "c2")]
    assert [v["VariantName"] for v in used["ProductionVariants"]] == ["v1"]
    (shadow,) = used["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["InitialVariantWeight"]) == ("v2", 40)


def test_a_shadow_becomes_a_production_variant_when_the_ramp_begins(variants: Scene) -> None:
    capture = {"EnableCapture": True}
    shadow = {**variant(2), "InitialVariantWeight": 100}
    variants.sagemaker.add(
        ENDPOINT,
        config(
            "2-1", variant(1, 100), ShadowProductionVariants=[shadow], DataCaptureConfig=capture
        ),
    )
    route = variants.write(first_route(PROJECT, "00000001-1", "all", arm(1), 1000))
    variants.write(shifted(route, "00000002-1", "canary-1", arm(2, 10), 1000))
    variants.follow()
    assert variants.sagemaker.weights(ENDPOINT) == {"v1": 90, "v2": 10}
    assert variants.sagemaker.configs[f"{ENDPOINT}-c2"]["DataCaptureConfig"] == capture
    before = variants.sagemaker.configs[f"{ENDPOINT}-c2"]["ProductionVariants"]
    assert [v["InitialVariantWeight"] for v in before] == [100, 0], "joining changes no share"


def test_a_configuration_that_cannot_be_put_in_use_fails_with_sagemakers_reason(
    variants: Scene,
) -> None:
    route = variants.serve(2)
    variants.sagemaker.fault = "InsufficientInstanceCapacity: no ml.m5.large"
    variants.write(shifted(route, "00000002-1", "shadow", arm(2, 0), 1000, mirror_percent=100))
    assert not variants.router.apply(PROJECT).done
    with pytest.raises(EndpointFailedError, match=r"no ml\.m5\.large"):
        variants.router.apply(PROJECT)
    assert variants.sagemaker.weights(ENDPOINT) == {"v1": 100, "v2": 0}


def test_a_quota_is_a_clear_result(variants: Scene) -> None:
    route = variants.serve()
    variants.sagemaker.models.add(f"dev-{PROJECT}-v2-prod-1")
    variants.write(shifted(route, "00000002-1", "canary", arm(2, 10), 1000))
    quota = refusal("UpdateEndpoint", "ResourceLimitExceeded", "ml.m5.large for endpoint usage: 1")
    variants.sagemaker.refuses["update_endpoint"] = quota
    with pytest.raises(EndpointFailedError, match="endpoint usage: 1"):
        variants.follow()


def test_a_denied_call_is_told(variants: Scene) -> None:
    route = variants.serve(2)
    variants.write(shifted(route, "00000002-1", "canary", arm(2, 10), 1000))
    denied = refusal("UpdateEndpoint", "AccessDeniedException", "not authorized")
    variants.sagemaker.refuses["update_endpoint_weights_and_capacities"] = denied
    with pytest.raises(AccessDeniedError, match="not authorized"):
        variants.router.apply(PROJECT)


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_is_broken_is_told(variants: Scene, status: str) -> None:
    variants.serve()
    variants.sagemaker.endpoints[ENDPOINT] |= {"status": status, "failure": "no disk"}
    with pytest.raises(EndpointFailedError, match=f"{status}: no disk"):
        variants.router.apply(PROJECT)


def test_an_endpoint_that_is_gone_is_told(variants: Scene) -> None:
    variants.serve()
    variants.sagemaker.endpoints.clear()
    with pytest.raises(EndpointFailedError, match="does not exist"):
        variants.router.apply(PROJECT)


def test_the_previous_version_comes_back_after_a_shadow_phase(variants: Scene) -> None:
    variants.sagemaker.models.add(f"dev-{PROJECT}-v1-prod-3")
    shadow = {**variant(3), "InitialVariantWeight": 100}
    variants.sagemaker.add(
        ENDPOINT, config("3-1", variant(2, 100), ShadowProductionVariants=[shadow])
    )
    route = first_route(PROJECT, "00000002-1", "all", arm(2), 1000)
    previous = arm(1, 0).model_copy(update={"role": "stable"})
    variants.write(route.model_copy(update={"previous": previous}))
    variants.follow()
    variants.tidy()
    assert variants.sagemaker.variants(ENDPOINT) == ["v1", "v2"]
    assert variants.sagemaker.models == {f"dev-{PROJECT}-v1-prod-3", f"dev-{PROJECT}-v2-prod-1"}


def test_a_version_without_a_model_cannot_come_back(variants: Scene) -> None:
    route = variants.serve()
    variants.write(shifted(route, "00000002-1", "canary", arm(2, 10), 1000))
    with pytest.raises(EndpointFailedError, match="version 2 of ward has no model"):
        variants.router.apply(PROJECT)


def test_what_a_failed_release_left_is_removed_and_what_is_used_stays(variants: Scene) -> None:
    variants.serve(2)
    variants.sagemaker.configs |= {
        name: config(name) for name in (f"{ENDPOINT}-7-1", "dev-ward-b-variants-prod-1-1")
    }
    variants.sagemaker.models |= {
        "dev-ward-v7-prod-1",
        "dev-ward-b-v7-prod-1",
        "dev-ward-v7-staging-1",
    }
    variants.tidy()
    assert variants.sagemaker.variants(ENDPOINT) == ["v1"]
    assert set(variants.sagemaker.configs) == {f"{ENDPOINT}-c1", "dev-ward-b-variants-prod-1-1"}
    kept = {"dev-ward-v1-prod-1", "dev-ward-b-v7-prod-1", "dev-ward-v7-staging-1"}
    assert variants.sagemaker.models == kept


def test_a_release_that_begins_while_it_is_tidied_keeps_what_it_made(variants: Scene) -> None:
    variants.serve()

    def begins() -> bool:
        variants.sagemaker.models.add("dev-ward-v2-prod-1")
        variants.sagemaker.configs[f"{ENDPOINT}-2-1"] = config("2-1", variant(1, 100), variant(2))
        return False

    assert variants.router.tidy(PROJECT, begins).done
    assert "dev-ward-v2-prod-1" in variants.sagemaker.models
    assert f"{ENDPOINT}-2-1" in variants.sagemaker.configs


def test_nothing_is_removed_while_an_update_is_in_progress(variants: Scene) -> None:
    variants.serve(2)
    variants.sagemaker.looks = 2
    assert not variants.router.tidy(PROJECT, lambda: False).done
    assert not variants.router.tidy(PROJECT, lambda: False).done
    assert "delete_endpoint_config" not in variants.sagemaker.calls
    variants.tidy()
    assert set(variants.sagemaker.configs) == {f"{ENDPOINT}-c1"}


def test_instances_that_were_added_since_stay(variants: Scene) -> None:
    variants.serve(2)
    variants.tidy()
    (kept,) = variants.sagemaker.configs[f"{ENDPOINT}-c1"]["ProductionVariants"]
    assert kept["InitialInstanceCount"] == 2

"""Two ways to share requests: the gateway's route item, and the weights of production variants."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.cost_tags import CostTags
from steward.adapters.errors import code_of, message_of, translate
from steward.domain import names
from steward.domain.errors import EndpointFailedError
from steward.domain.production_variants import (
    MOVING,
    SETTLED,
    Fleet,
    Wanted,
    configuration,
    desired_weights,
    has_exactly,
    has_members,
    has_shares,
    wanted,
)
from steward.domain.routes import Route
from steward.ports import Routed, StateStore, Table

_COUNTED = ("VariantName", "ModelName", "InstanceType", "InitialInstanceCount")


class GatewayRouter:
    """The gateway reads the route item itself: what is written is true within its cache's time."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def apply(self, project: str) -> Routed:
        """Return the route's version: its write was all there is to do."""
        route = _route(self._state, project)
        return Routed(done=True, route_version=route.route_version if route else 0)

    def shares(self, project: str) -> dict[int, float]:
        """Return the shares of the route."""
        route = _route(self._state, project)
        return {arm.version: arm.share for arm in route.arms} if route else {}

    def tidy(self, project: str, in_flight: Callable[[], bool]) -> Routed:  # noqa: ARG002
        """Do nothing: each version has an endpoint of its own, which its release removes."""
        return self.apply(project)


class EndpointVariantsRouter:
    """One endpoint per project: weights follow the route, configurations its versions.

    SageMaker updates an endpoint in the background and refuses a second update meanwhile, so
    that every call looks first and changes one thing at most.
    """

    def __init__(
        self, client: Any, state: StateStore, environment: str, tags: CostTags | None = None
    ) -> None:
        self._client = client
        self._environment = environment
        self._state = state
        self._tags = tags

    def fleet(self, endpoint: str) -> Fleet | None:
        """Return an endpoint as it is, None where there is none."""
        found = self._call("describe_endpoint", EndpointName=endpoint)
        if found is None:
            return None
        name = found.get("EndpointConfigName", "")
        config = self._call("describe_endpoint_config", EndpointConfigName=name) or {}
        return Fleet(
            endpoint=endpoint,
            status=found["EndpointStatus"],
            config=name,
            variants=_members(config, found, "ProductionVariants"),
            shadows=_members(config, found, "ShadowProductionVariants"),
            capture=config.get("DataCaptureConfig"),
            failure=found.get("FailureReason", ""),
        )

    def apply(self, project: str) -> Routed:
        """Put a configuration in use that has the route's versions, then set their weights."""
        route = _route(self._state, project)
        if route is None:
            return Routed(done=True)
        want = wanted(route)
        fleet = self._settled(project)
        if isinstance(fleet, str):
            return Routed(False, route.route_version, fleet)
        if not has_members(fleet, want):
            return self._reconfigure(route, want, fleet)
        if not has_shares(fleet, want):
            self._update(
                "update_endpoint_weights_and_capacities",
                EndpointName=fleet.endpoint,
                DesiredWeightsAndCapacities=list(desired_weights(fleet, want)),
            )
            return Routed(False, route.route_version, "weights are being set")
        now = _route(self._state, project)
        moved = now is None or now.route_version != route.route_version
        return Routed(not moved, route.route_version, "the route has changed" if moved else "")

    def shares(self, project: str) -> dict[int, float]:
        """Return the shares that the weights give, without variants that get nothing."""
        fleet = self.fleet(names.variants_endpoint(self._environment, project))
        return {version: share for version, share in fleet.shares.items() if share} if fleet else {}

    def tidy(self, project: str, in_flight: Callable[[], bool]) -> Routed:
        """Take versions off the endpoint that the route does not name, then delete what is left.

        What there is is listed before it is asked whether a release runs, and what is in use is
        read afterwards: a release that begins meanwhile makes things that were not listed, and
        what it puts in use is seen.
        """
        configs, models = self._owned(project)
        if in_flight():
            return Routed(False, 0, "a release is in flight")
        route = _route(self._state, project)
        fleet = self._settled(project)
        if route is None:
            return Routed(done=True)
        if isinstance(fleet, str):
            return Routed(False, route.route_version, fleet)
        want = wanted(route)
        if not has_exactly(fleet, want):
            return self._reconfigure(route, want, fleet)
        for name in configs - {fleet.config}:
            self._call("delete_endpoint_config", EndpointConfigName=name)
        for name in models - fleet.models:
            self._call("delete_model", ModelName=name)
        return Routed(True, route.route_version)

    def _settled(self, project: str) -> Fleet | str:
        """Return the endpoint if it can be changed now, else what it is waiting for."""
        endpoint = names.variants_endpoint(self._environment, project)
        fleet = self.fleet(endpoint)
        if fleet is None:
            raise EndpointFailedError(
                f"endpoint {endpoint} does not exist", field="endpoint", value=endpoint,
                allowed="the endpoint that a release has made",
            )  # fmt: skip
        if fleet.status in MOVING:
            return f"endpoint {endpoint} is {fleet.status}"
        if fleet.status != SETTLED:
            raise _failed(fleet, fleet.failure)
        return fleet

    def _reconfigure(self, route: Route, want: Wanted, fleet: Fleet) -> Routed:
        """Put a configuration in use that has the versions that are wanted, shares unchanged.

        Raises:
            EndpointFailedError: SageMaker could not put it in use, or a version has no model.
        """
        name = names.variants_config(self._environment, route.project, f"c{route.route_version}")
        if self._call("describe_endpoint_config", EndpointConfigName=name) is not None:
            if fleet.failure:
                raise _failed(fleet, fleet.failure)
        else:
            members = self._variants_of(route.project, want, fleet)
            shares = fleet.shares
            tags = {"Tags": self._tags.of(name)} if self._tags is not None else {}
            self._update(
                "create_endpoint_config",
                **configuration(name, want, members, shares, fleet.capture), **tags,
            )  # fmt: skip
        self._update("update_endpoint", EndpointName=fleet.endpoint, EndpointConfigName=name)
        return Routed(False, route.route_version, f"configuration {name} is being put in use")

    def _variants_of(
        self, project: str, want: Wanted, fleet: Fleet
    ) -> dict[int, Mapping[str, Any]]:
        known = {**fleet.shadows, **fleet.variants}
        like = next(iter(fleet.variants.values()))
        members: dict[int, Mapping[str, Any]] = {}
        for version in [*want.shares, *([want.shadow] if want.shadow is not None else [])]:
            name = names.variant_name(version)
            if name in known:
                members[version] = {key: known[name][key] for key in _COUNTED}
                continue
            model = self._newest_model(project, version)
            if model is None:
                raise EndpointFailedError(
                    f"version {version} of {project} has no model any more", field="version",
                    value=version, allowed="a version that is kept",
                )  # fmt: skip
            members[version] = {
                **{key: like[key] for key in _COUNTED}, "VariantName": name, "ModelName": model,
            }  # fmt: skip
        return members

    def _newest_model(self, project: str, version: int) -> str | None:
        _, models = self._owned(project)
        prefix = f"{names.endpoint_name(self._environment, project, version, 'prod')}-"
        attempts = [int(name.removeprefix(prefix)) for name in models if name.startswith(prefix)]
        return f"{prefix}{max(attempts)}" if attempts else None

    def _owned(self, project: str) -> tuple[set[str], set[str]]:
        """Return the configurations of the project's endpoint and the models of its versions."""
        endpoint, version = (
            names.variants_endpoint(self._environment, project),
            f"{self._environment}-{project}-v",
        )
        configs = re.compile(rf"^{endpoint}-[a-z0-9-]+$")
        models = re.compile(rf"^{version}\d+-prod-\d+$")
        return (
            self._named(
                "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", endpoint, configs
            ),
            self._named("list_models", "Models", "ModelName", version, models),
        )

    def _named(
        self, operation: str, member: str, name: str, contains: str, like: re.Pattern[str]
    ) -> set[str]:
        found: set[str] = set()
        more: dict[str, str] = {}
        while True:
            answer = self._call(operation, NameContains=contains, MaxResults=100, **more) or {}
            found |= {item[name] for item in answer[member] if like.match(item[name])}
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}

    def _update(self, operation: str, **request: Any) -> None:
        """Change something; an update that is in progress already is waited for by the next look.

        Raises:
            EndpointFailedError: A quota, or instances that are not to be had.
        """
        try:
            getattr(self._client, operation)(**request)
        except ClientError as error:
            if "in-progress" in message_of(error) or "already existing" in message_of(error):
                return
            if code_of(error) == "ResourceLimitExceeded":
                raise EndpointFailedError(
                    f"{operation}: {message_of(error)}", field="serving.variants",
                    value=request.get("EndpointName"), allowed="what the account's quotas allow",
                ) from error  # fmt: skip
            raise translate(error, operation) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise translate(error, operation) from error

    def _call(self, operation: str, **request: Any) -> dict[str, Any] | None:
        """Ask, or delete; None where what is asked for does not exist."""
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            text = message_of(error)
            if "Could not find" in text or "does not exist" in text:
                return None
            raise translate(error, operation) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise translate(error, operation) from error
        return answer


def _route(state: StateStore, project: str) -> Route | None:
    item = state.get(Table.ROUTES, {"project": project})
    return Route.model_validate(item) if item else None


def _members(
    config: Mapping[str, Any], described: Mapping[str, Any], member: str
) -> dict[str, dict[str, Any]]:
    """Return variants as configured, with the weights and counts that they have now."""
    now = {variant["VariantName"]: variant for variant in described.get(member, [])}
    members = {}
    for variant in config.get(member, []):
        running = now.get(variant["VariantName"], {})
        members[variant["VariantName"]] = {
            **variant,
            "InitialVariantWeight": running.get(
                "CurrentWeight", variant.get("InitialVariantWeight", 1.0)
            ),
            "InitialInstanceCount": running.get("DesiredInstanceCount")
            or variant.get("InitialInstanceCount", 1),
        }
    return members


def _failed(fleet: Fleet, reason: str) -> EndpointFailedError:
    return EndpointFailedError(
        f"endpoint {fleet.endpoint} is {fleet.status}: {reason or 'no reason given'}",
        field="endpoint", value=fleet.endpoint, allowed="an endpoint that can be updated",
    )  # fmt: skip


class RouterOfRoute:
    """The router that a project's route names.

    Args:
        state: Where routes are.
        variants: Makes the router of production variants, once it is needed.
    """

    def __init__(self, state: StateStore, variants: Callable[[], EndpointVariantsRouter]) -> None:
        self._state = state
        self._variants = variants

    def apply(self, project: str) -> Routed:
        """Look once, and do what is missing for traffic to flow as the route says."""
        return self._of(project).apply(project)

    def shares(self, project: str) -> dict[int, float]:
        """Return percent of the requests by version as they are shared now."""
        return self._of(project).shares(project)

    def tidy(self, project: str, in_flight: Callable[[], bool]) -> Routed:
        """Look once, and do what is missing for nothing to run that no route needs."""
        return self._of(project).tidy(project, in_flight)

    def _of(self, project: str) -> GatewayRouter | EndpointVariantsRouter:
        route = _route(self._state, project)
        if route is not None and route.router == "endpoint_variants":
            return self._variants()
        return GatewayRouter(self._state)

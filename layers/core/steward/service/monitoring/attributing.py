"""Attribution drift at a look: rows of the window explained as held-out rows were."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from pydantic import ValidationError

from steward.domain.digests import digest_of
from steward.domain.errors import EvidenceIncompleteError, RejectedError, StewardError
from steward.domain.explanations.linear_form import LinearForm
from steward.domain.explanations.mixed import MixedBackground, Row, explained_groups
from steward.domain.explanations.values import Floats
from steward.domain.monitoring.attribution import MINIMUM_ROWS, Attributions, attribution_drift
from steward.domain.monitoring.attribution_records import AttributionLook, WeightLook
from steward.domain.monitoring.baseline import AttributionBaseline
from steward.domain.monitoring.declaration import Attribution
from steward.domain.monitoring.whole_rows import WholeRows, merge_whole_rows, whole_rows_from_json
from steward.ports import Endpoints, Item, ObjectStore
from steward.service.monitoring.endpoint_model import BoundReachedError, EndpointModel

HORIZON = 336
"""Windows within which the probability of any false alarm is at most ``alpha``."""
LOOK_S = 120.0
"""How long the endpoint is asked at one look."""


@dataclass(frozen=True)
class Asked:
    """Who is asked.

    Attributes:
        endpoints: None where this process may ask none.
        endpoint: The version's; None where it has none of its own.
        why_none: Why it has none.
        seconds_left: Of the task.
    """

    endpoints: Endpoints | None
    endpoint: str | None
    why_none: str
    seconds_left: Callable[[], float]


def window_rows(
    objects: ObjectStore, chunks: Sequence[Item], baseline: str, limit: int
) -> WholeRows | None:
    """Return the kept rows of a window; None where a chunk has none or has them no more."""
    kept = [item.get("whole") for item in chunks if item.get("baseline") == baseline]
    if not kept or not all(kept):
        return None
    found = []
    for one in kept:
        assert one is not None
        try:
            rows = whole_rows_from_json(objects.read(one["uri"]))
        except (EvidenceIncompleteError, RejectedError):
            return None
        if rows.digest != one["digest"]:
            return None
        found.append(rows)
    return merge_whole_rows(found, limit)


def attribution_look(
    rows: WholeRows | None, baseline: AttributionBaseline | None, declared: Attribution,
    asked: Asked, objects: ObjectStore, uri_of: str,
) -> AttributionLook:  # fmt: skip
    """Explain rows of the window and compare their weights with the held-out ones.

    Whatever keeps the endpoint from answering is said, and is no error of the look.

    Args:
        rows: The window's sample.
        baseline: Of the version.
        declared: By the project.
        asked: Who is asked.
        objects: Where the values are kept.
        uri_of: Under which name, with ``{}`` for their digest.
    """
    alarm_alpha = declared.alpha / ceil(HORIZON / declared.every)
    blank = AttributionLook(
        state="inconclusive", verdict="inconclusive", sentence="", floor=declared.min_effect,
        alpha=declared.alpha, alarm_alpha=alarm_alpha,
    )  # fmt: skip
    if baseline is None or not baseline.background_rows or not baseline.values:
        return _without(blank, "the version's baseline has no attributions to compare with")
    blank = blank.model_copy(
        update={"explainer": baseline.explainer, "background": baseline.background}
    )
    if rows is None:
        return _without(blank, "not all rows of this window were kept to be explained")
    cells, left_out = rows.cells(baseline.features)
    cells = cells[: declared.rows]
    counts = (len(cells), len(baseline.values))
    blank = blank.model_copy(update={"left_out": left_out, "rows": counts})
    if len(cells) < MINIMUM_ROWS:
        few = f"{len(cells)} rows can be explained, needs n = {MINIMUM_ROWS}"
        return _without(blank, few).model_copy(update={"needs": MINIMUM_ROWS})
    try:
        values, model, why = _values(cells, baseline, declared, asked)
    except (StewardError, ValidationError, ValueError) as error:
        return _without(blank, f"the version could not be asked: {error}"[:500])
    blank = blank.model_copy(update={
        "model_rows": model.rows if model else 0, "model_calls": model.calls if model else 0,
        "rows": (len(values), len(baseline.values)),
    })  # fmt: skip
    if len(values) < MINIMUM_ROWS:
        few = f"{len(values)} rows were explained, needs n = {MINIMUM_ROWS}"
        because = f"{few}: {why}" if why else few
        return _without(blank, because).model_copy(update={"needs": MINIMUM_ROWS})
    return _kept(_judged(blank, values, baseline), values, objects, uri_of)


def _without(blank: AttributionLook, why: str) -> AttributionLook:
    return blank.model_copy(update={"sentence": f"Attributions are not judged: {why}."})


def _values(
    cells: Sequence[Row], baseline: AttributionBaseline, declared: Attribution, asked: Asked
) -> tuple[Floats, EndpointModel | None, str]:
    """Return |phi| of the rows that could be explained, who was asked, and what stopped it."""
    background = MixedBackground(baseline.features, baseline.background_rows)
    if background.digest != baseline.background:
        raise RejectedError(
            "the background is not the baseline's", field="background", value=background.digest,
            allowed=baseline.background,
        )  # fmt: skip
    if baseline.linear is not None:
        form = LinearForm.model_validate(baseline.linear)
        fitting = [row for row in cells if _fits(form, row, baseline.features)]
        if not fitting:
            return np.empty((0, len(baseline.features))), None, "no row fits the linear form"
        return np.abs(form.explain(fitting, background).values), None, ""
    if asked.endpoints is None or asked.endpoint is None:
        raise RejectedError(asked.why_none, field="endpoint")
    until = time.monotonic() + LOOK_S
    model = EndpointModel(
        asked.endpoints, asked.endpoint, calls=declared.calls,
        seconds_left=lambda: min(until - time.monotonic(), asked.seconds_left() - 60),
    )  # fmt: skip
    parts: list[Floats] = [np.empty((0, len(baseline.features)))]
    why = ""
    try:
        for group in explained_groups(model, cells, background, coalitions=baseline.coalitions):
            parts.append(np.abs(group.values))
    except BoundReachedError as bound:
        why = str(bound)
    return np.concatenate(parts), model, why


def _fits(form: LinearForm, row: Row, features: Sequence[str]) -> bool:
    try:
        form.table([row], features)
    except ValueError:
        return False
    return True


def _judged(
    blank: AttributionLook, values: Floats, baseline: AttributionBaseline
) -> AttributionLook:
    def side(absolute: Floats) -> Attributions:
        return Attributions(
            absolute, baseline.features, baseline.scale, baseline.explainer, baseline.background
        )

    drift = attribution_drift(
        side(values), side(np.array(baseline.values)), floor=blank.floor, alpha=blank.alpha,
        replicates=max(999, ceil(2 / blank.alarm_alpha)),
    )  # fmt: skip
    state = "inconclusive" if drift.verdict == "inconclusive" else "ok"
    if drift.p is not None and drift.effect is not None:
        found = drift.p < blank.alarm_alpha and drift.effect >= blank.floor
        state = "alarm" if found else "ok"
    judged = blank.model_copy(update={
        "state": state, "verdict": drift.verdict, "p": drift.p, "effect": drift.effect,
        "by_chance": drift.by_chance, "ndcg": drift.ndcg, "needs": drift.needs,
        "features": tuple(WeightLook(**one.model_dump()) for one in drift.features),
    })  # fmt: skip
    if drift.reason is not None:
        return _without(judged, drift.reason)
    return judged.model_copy(update={"sentence": _sentence(judged)})


def _sentence(look: AttributionLook) -> str:
    top = look.features[0]
    shown = "moved" if look.verdict == "drifted" else "are not shown to have moved"
    return (
        f"Weights of the features {shown}: {top.feature} from {top.baseline:.0%} to"
        f" {top.current:.0%}, {look.effect:.3f} in all where {look.by_chance:.3f} is chance"
        f" (p {look.p:.2g}, {look.rows[0]} rows against {look.rows[1]})."
    )


def _kept(
    look: AttributionLook, values: Floats, objects: ObjectStore, uri_of: str
) -> AttributionLook:
    """Keep the values, so that the verdict can be judged again."""
    rows = values.tolist()
    digest = digest_of(rows)
    uri = uri_of.format(digest[:16])
    objects.write_once(uri, json.dumps(rows, separators=(",", ":")).encode())
    return look.model_copy(update={"values": digest, "values_uri": uri})

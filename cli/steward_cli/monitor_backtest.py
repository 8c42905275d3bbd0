"""Past windows judged again with other settings: would it have alarmed, and when?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steward.domain.errors import RejectedError
from steward.domain.monitoring.alarms import AlarmSettings
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.declaration import Monitoring as Declared
from steward.domain.monitoring.entity_samples import sample_from_json
from steward.domain.monitoring.looking import Counted, alarm_look, judge, window_look
from steward.domain.monitoring.looks import Look, window_number
from steward.domain.monitoring.opinions import multivariate_looks
from steward.domain.monitoring.profiles import Profile
from steward.domain.monitoring.row_samples import numeric_features
from steward.domain.monitoring.verdicts import WindowSettings
from steward.ports import ObjectStore
from steward.service.monitoring.row_sampling import read_sample
from steward_cli.console import CommandError, Exit


@dataclass(frozen=True)
class Replayed:
    """One window, as it was judged and as it is judged now.

    Attributes:
        same: Whether the record's digests came out again; asked with its own settings only.
    """

    window: str
    verdict: str
    alarm: str
    columns: tuple[str, ...]
    before_verdict: str
    before_alarm: str
    same: bool | None

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "window": self.window, "verdict": self.verdict, "alarm": self.alarm,
            "columns": list(self.columns), "before": {
                "verdict": self.before_verdict, "alarm": self.before_alarm,
            }, "same": self.same,
        }  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is tried; None keeps what each record was judged with."""

    fdr: float | None = None
    alpha: float | None = None
    min_effect: float | None = None
    minimum_rows: int | None = None

    @property
    def changed(self) -> bool:
        """Whether anything is."""
        return any(
            v is not None for v in (self.fdr, self.alpha, self.min_effect, self.minimum_rows)
        )

    def window(self, kept: dict[str, Any]) -> WindowSettings:
        """Return how a window is judged."""
        tried = {
            "level": self.fdr, "min_effect": self.min_effect, "least_rows": self.minimum_rows,
        }  # fmt: skip
        return WindowSettings.model_validate({**kept, **_given(tried)})

    def alarm(self, kept: dict[str, Any]) -> AlarmSettings:
        """Return how an alarm is raised."""
        tried = {
            "alpha": self.alpha, "min_effect": self.min_effect, "least_rows": self.minimum_rows,
        }  # fmt: skip
        return AlarmSettings.model_validate({**kept, **_given(tried)})


def _given(tried: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tried.items() if value is not None}


def backtest(
    looks: Sequence[Look], baseline: Baseline, objects: ObjectStore, tried: Settings
) -> list[Replayed]:
    """Judge windows again, oldest first, from their kept profiles; nothing is written.

    Only looks at the newest one's baseline count: another version's windows are no history of
    this one. Windows of which a horizon needs more history than ``looks`` has are judged with
    what there is, so give all of it.

    Raises:
        CommandError: A profile is gone or is not the one that was judged, or no look has one.
    """
    mine = [look for look in looks if look.baseline == baseline.digest and look.profile_uri]
    if not mine:
        raise CommandError("no look of this version has a profile", Exit.NOT_FOUND)
    windows: dict[int, Counted] = {}
    quiet: dict[int, Counted] = {}
    found = []
    for look in mine:
        number = window_number(look.window, look.window_s)
        windows[number] = _profile(look, baseline, objects)
        kept = look.settings
        past = {window_number(start, look.window_s) for start in look.history}
        seen = {n: one for n, one in windows.items() if n == number or n in past}
        judged = judge(
            baseline, seen, number, Declared.model_validate(kept["declared"]),
            window_with=tried.window(kept["window"]), alarm_with=tried.alarm(kept["alarm"]),
            quiet=quiet,
        )  # fmt: skip
        window, alarm = window_look(judged.window), alarm_look(judged.alarm, look.window_s)
        if alarm.state != "alarm":
            quiet[number] = windows[number]
        old = look.window_verdict
        same = None
        if not tried.changed and old is not None:
            same = (window.digest, alarm.digest) == (old.digest, look.drift.digest)
            same = same and _opinions_again(look, baseline, objects)
        found.append(
            Replayed(
                window=look.window, verdict=window.verdict, alarm=alarm.state,
                columns=tuple(column.name for column in alarm.columns),
                before_verdict=old.verdict if old is not None else "off",
                before_alarm=look.drift.state, same=same,
            )
        )  # fmt: skip
    return found


def _profile(look: Look, baseline: Baseline, objects: ObjectStore) -> Counted:
    assert look.profile_uri is not None
    content = objects.read(look.profile_uri)
    found: Counted = (
        sample_from_json(content)
        if baseline.unit == "entity"
        else Profile.model_validate_json(content)
    )
    if found.digest != look.profile:
        raise CommandError(
            f"{look.profile_uri} is not what was judged", Exit.FAILED,
            f"its digest is {found.digest}, not {look.profile}",
        )  # fmt: skip
    return found


def _opinions_again(look: Look, baseline: Baseline, objects: ObjectStore) -> bool:
    """Return whether second opinions come out again, where their rows are still kept.

    They are sums in floating point, so p-values may differ in their last digits.
    """
    if look.sample is None or look.sample_uri is None:
        return not look.multivariate
    try:
        sample = read_sample(objects, look.sample_uri, look.sample)
    except RejectedError:
        return False
    if sample is None:
        return True
    declared = Declared.model_validate(look.settings["declared"])
    names = numeric_features(baseline, declared.columns)
    again = multivariate_looks(baseline.sample, sample.kept, names, declared.min_effect)
    return len(again) == len(look.multivariate) and all(
        (new.method, new.state, new.rows) == (old.method, old.state, old.rows)
        and math.isclose(new.p or 0, old.p or 0, rel_tol=1e-6, abs_tol=1e-12)
        for new, old in zip(again, look.multivariate, strict=True)
    )


def summary(found: Sequence[Replayed]) -> dict[str, Any]:
    """Return how often each was said, before and now."""
    return {
        "windows": len(found),
        "alarms": sum(one.alarm == "alarm" for one in found),
        "alarms_before": sum(one.before_alarm == "alarm" for one in found),
        "drifting_windows": sum(one.verdict == "drift" for one in found),
        "drifting_windows_before": sum(one.before_verdict == "drift" for one in found),
        "first_alarm": next((one.window for one in found if one.alarm == "alarm"), None),
        "differing": [one.window for one in found if one.same is False],
    }

"""The requests of a rehearsal: which are asked, what their answers have to be, what changed.

The contract is status, shape, names and types of the answer, a probability between 0 and 1, and
the time. That a figure is another one than before is no fault: the model is of a sample.
"""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward_jobs.container import log

_ANSWER_S = 30.0
_LOGGED = 2000
"""Bytes of an answer that the job's log keeps."""

_TRIES = 3
"""An answer that is too late is asked for again: the machine may have had something else to do."""


@dataclass(frozen=True)
class Answer:
    """What came back: why it breaks the contract, or the predictions."""

    fault: str | None
    predictions: list[Any]


def cases(given: Path) -> list[dict[str, Any]]:
    """Return the requests of the sample, and the recorded ones whose features are the same."""
    own = json.loads((given / "examples.json").read_text(encoding="utf-8"))
    found = [{**case, "features": own["features"]} for case in own["cases"]]
    recorded = _recorded(given)
    if recorded and not _changed_contract(own, recorded):
        found += [
            {
                **case,
                "name": f"recorded {case['name']}",
                "recorded": True,
                "features": own["features"],
            }
            for case in recorded["cases"]
            if case["kind"] == "valid"
        ]
    return found


def _recorded(given: Path) -> dict[str, Any]:
    path = given / "recorded.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _changed_contract(own: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Return which features came and went, with a sign."""
    new, old = own["features"], recorded["features"]
    return [*(f"+{n}" for n in new if n not in old), *(f"-{n}" for n in old if n not in new)]


def ask(port: int, case: dict[str, Any], limit_ms: float | None) -> Answer:
    """Ask one request, again where the answer is late."""
    for _ in range(_TRIES):
        began = time.perf_counter()
        answer = _ask_once(port, case)
        took = (time.perf_counter() - began) * 1000
        if answer.fault or limit_ms is None or took <= limit_ms:
            return answer
    return Answer(f"{case['name']}: {took:.0f} ms instead of at most {limit_ms:g} ms", [])


def _ask_once(port: int, case: dict[str, Any]) -> Answer:
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    try:
        status, answer = send(port, "POST", "/invocations", body.encode(), case["content_type"])
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"{case['name']}: no answer ({type(error).__name__})", [])
    wanted = case["expect"]
    if status != wanted["status"]:
        if "answered" not in case and not case.get("recorded"):  # captures are for no log
            log("request_not_answered", name=case["name"], status=status,
                answer=answer[:_LOGGED].decode(errors="replace"))  # fmt: skip
        told = _place(answer, case.get("features", ()))
        return Answer(f"{case['name']}: status {status} instead of {wanted['status']}{told}", [])
    if case["kind"] != "valid":
        named = wanted["field"] in answer.decode(errors="replace")
        return Answer(
            None if named else f"{case['name']}: refused without naming {wanted['field']}", []
        )
    found = _predictions(answer, case["content_type"])
    if found is None or len(found) != wanted["predictions"]:
        count = "no" if found is None else len(found)
        return Answer(f"{case['name']}: {count} predictions instead of {wanted['predictions']}", [])
    wrong = next((why for one in found if (why := _wrong(one, case.get("answered")))), None)
    return Answer(f"{case['name']}: {wrong}" if wrong else None, found)


def _place(answer: bytes, features: Sequence[str]) -> str:
    """Return the feature that a refusal names, without its value: rows are about people."""
    try:
        field = json.loads(answer)["error"]["field"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": field {field}" if field in features else ""


def send(port: int, method: str, path: str, body: bytes, content: str) -> tuple[int, bytes]:
    """Send a request to the model's server on this machine; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request(method, path, body, {"Content-Type": content, "Accept": content})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _predictions(answer: bytes, content: str) -> list[Any] | None:
    try:
        if content == "text/csv":
            return [float(line) for line in answer.decode().split()]
        found = json.loads(answer)["predictions"]
        for one in found:
            _figure(one)
        return list(found)
    except (ValueError, KeyError, TypeError):
        return None


def _figure(prediction: Any) -> float:
    """Return the figure of a prediction: ``probability`` of a class, or ``value``."""
    if not isinstance(prediction, dict):
        return float(prediction)
    return float(prediction["probability"] if "probability" in prediction else prediction["value"])


def _wrong(prediction: Any, answered: dict[str, Any] | None) -> str | None:
    """Return what is wrong with a prediction, beside the answer that was recorded if any."""
    figure = _figure(prediction)
    if not math.isfinite(figure):
        return "a prediction is no number"
    if isinstance(prediction, dict) and "probability" in prediction and not 0 <= figure <= 1:
        return f"a probability is {figure:g}"
    if answered is None or not isinstance(prediction, dict):
        return None
    lost = sorted(set(answered) - set(prediction))
    if lost:
        return f"the answer lacks {', '.join(lost)}, which callers get today"
    for name, before in answered.items():
        if _kind(before) != _kind(prediction[name]):
            return f"{name} is {_kind(prediction[name])}, and {_kind(before)} today"
    return None


def _kind(value: Any) -> str:
    """Return the JSON type of a value."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    kinds = {str: "a text", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "something else")


def described(
    given: Path, asked: Sequence[dict[str, Any]], answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return which requests were recorded, how many were asked, and how scores moved."""
    recorded = _recorded(given)
    count = sum(1 for case in asked if case.get("recorded"))
    if not recorded or not count:
        return {"origin": "none", "asked": 0}
    found: dict[str, Any] = {"origin": recorded.get("origin", "examples"), "asked": count}
    found |= {name: recorded[name] for name in ("versions", "since", "until") if name in recorded}
    moved = _moved(asked, answers)
    return {**found, "scores": moved} if moved else found


def _moved(asked: Sequence[dict[str, Any]], answers: Sequence[Answer]) -> dict[str, Any]:
    """Return how answers differ from the recorded ones, over all that can be compared."""
    pairs = [
        (case["answered"], answer.predictions[0])
        for case, answer in zip(asked, answers, strict=False)
        if case.get("answered") and answer.predictions and isinstance(answer.predictions[0], dict)
    ]
    changes = []
    for before, after in pairs:
        try:
            changes.append(_figure(after) - _figure(before))
        except (KeyError, TypeError, ValueError):
            continue
    if not changes:
        return {}
    labelled = [
        (old["label"], new["label"]) for old, new in pairs if "label" in old and "label" in new
    ]
    told: dict[str, Any] = {
        "compared": len(changes),
        "mean_change": round(sum(changes) / len(changes), 6),
        "mean_distance": round(sum(map(abs, changes)) / len(changes), 6),
        "largest_distance": round(max(map(abs, changes)), 6),
    }
    if labelled:
        told["labels_changed"] = sum(1 for old, new in labelled if old != new)
    return told


def told(given: Path, recorded: dict[str, Any]) -> str:
    """Return what the summary says of the recorded requests."""
    if recorded["origin"] == "none":
        kept = _recorded(given)
        if not kept:
            return ""
        own = json.loads((given / "examples.json").read_text(encoding="utf-8"))
        signs = " ".join(_changed_contract(own, kept))
        return f"; recorded requests were not asked, since the features change: {signs}"
    if recorded["origin"] != "captured":
        return f", {recorded['asked']} of them examples of the newest dataset"
    versions = ", ".join(map(str, recorded["versions"]))
    text = f", {recorded['asked']} of them captured from version {versions}"
    if moved := recorded.get("scores"):
        text += (
            f" (scores moved by {moved['mean_distance']:.3g} on average, "
            f"{moved['largest_distance']:.3g} at most)"
        )
    return text

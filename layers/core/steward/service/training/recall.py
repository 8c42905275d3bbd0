"""Use case: keep the steps that were carried out and reuse those that were before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from steward.contracts.steps.training import DoneEvaluation, RecalledStep, RecallStep
from steward.domain.errors import EvidenceIncompleteError, MalformedEventError, UnknownPriceError
from steward.domain.prices import US_EAST_1, PriceTable, job_dollars
from steward.domain.steps import KeptStep, Output, StepName, step_key
from steward.ports import (
    Clock,
    FinishedJob,
    FinishedJobs,
    Ids,
    Item,
    JobKind,
    ObjectStore,
    StateStore,
    Table,
)
from steward.service.step_cache import CANNOT_READ, Missed, StepCache, cannot_read


def recall_step(
    command: RecallStep,
    *,
    state: StateStore,
    objects: ObjectStore,
    jobs: FinishedJobs,
    clock: Clock,
    ids: Ids,
    prices: PriceTable = US_EAST_1,
) -> RecalledStep:
    """Keep what the execution has carried out; return the next step that is really to be done.

    One call looks through all steps that are left: a run that finds everything costs one
    transition more than one that finds nothing. An evaluation is found only for the very model,
    rows, settings and champion that it judged; the comparison is made anew by every run.

    A job that completed in an earlier attempt at the same work, and that no run has kept since its
    execution died first, is found by its tag: the key of the step that it carried out.

    Raises:
        MalformedEventError: There is no such run.
        EvidenceIncompleteError: A job that ended well left nothing where it should have.
    """
    item = state.get(Table.RUNS, {"project": command.project, "run_id": command.run_id})
    if item is None:
        raise MalformedEventError(
            f"project {command.project} has no run {command.run_id}", field="run_id",
            value=command.run_id, allowed="the id of a started run",
        )  # fmt: skip
    cache = StepCache(
        item, command.correlation_id, state=state, objects=objects, clock=clock, ids=ids
    )
    return _Recall(command, item, cache, objects, jobs, prices).answer()


class _Recall:
    def __init__(
        self, command: RecallStep, item: Item, cache: StepCache, objects: ObjectStore,
        jobs: FinishedJobs, prices: PriceTable,
    ) -> None:  # fmt: skip
        self._command = command
        self._item = item
        self._cache = cache
        self._objects = objects
        self._jobs = jobs
        self._prices = prices

    def answer(self) -> RecalledStep:
        own = self._command.run.evaluations_uri
        model = self._model()
        if model is None:
            step = "tuning" if self._command.run.tuning is not None else "training"
            return self._next(step, None, own, key=self._training_key())
        try:
            key = self._evaluation_key(model)
        except CANNOT_READ as error:  # of the champion's model: what is judged has no key
            if self._command.evaluation is not None:
                return self._next("comparison", model.uri, own)
            self._cache.note_missed("evaluation", "", cannot_read(error))
            return self._next("evaluation", model.uri, own)
        if self._command.evaluation is not None:
            self._keep_evaluation(self._command.evaluation, key, own)
            return self._next("comparison", model.uri, own)
        found = self._cache.recall("evaluation", key)
        if isinstance(found, Missed):
            found = self._lost("evaluation", key) or found
        if isinstance(found, Missed):
            return self._next("evaluation", model.uri, own, key=key)
        return self._next(
            "comparison", model.uri, str(found.result["evaluations_uri"]), found.run_id
        )

    def _keep_evaluation(self, done: DoneEvaluation, key: str, own: str) -> None:
        if self._cache.own(key) is not None:
            return
        outputs = self._evaluation_outputs(own)
        result = {"evaluations_uri": own}
        self._cache.keep(
            self._kept("evaluation", key, outputs, result, done.job, done.seconds)
        )  # fmt: skip

    def _next(
        self, step: str, model_uri: str | None, evaluations_uri: str, evaluated_in: str = "",
        key: str = "",
    ) -> RecalledStep:  # fmt: skip
        return RecalledStep.model_validate(
            {
                "next": step, "model_uri": model_uri, "evaluations_uri": evaluations_uri,
                "evaluated_in": evaluated_in or self._command.run_id, "step_key": key,
            }
        )  # fmt: skip

    def _model(self) -> Output | None:
        """Return the model, kept just now or found; None where it has to be trained."""
        key, done = self._training_key(), self._command.training
        if done is not None:
            before = self._cache.own(key)
            if before is not None and before.outputs[0].uri == done.model_uri:
                return before.outputs[0]
            model = self._cache.output(done.model_uri)
            result = {"model_uri": done.model_uri, "tuned": done.tuned}
            kept = self._kept("training", key, [model], result, done.job, done.seconds)
            self._cache.keep(kept)
            return model
        found = self._cache.recall("training", key)
        if isinstance(found, Missed):
            found = self._lost("training", key) or found
        if isinstance(found, Missed):
            return None
        return found.outputs[0]

    def _lost(self, step: StepName, key: str) -> KeptStep | Missed | None:
        """Return what a job of an earlier attempt has done, where its execution died before.

        Its name holds the work's key, and its tag the step's: data, code, parameters and image
        are the same, byte for byte.
        """
        if not self._cache.reuses:
            return None
        kind: JobKind = "evaluation"
        if step == "training":
            kind = "tuning" if self._command.run.tuning is not None else "training"
        work = self._command.run_id.rpartition("-")[0]
        try:
            job = self._jobs.find(kind, f"{work}-", key)
            return None if job is None else self._cache.adopt(self._left_by(job, step, key))
        except EvidenceIncompleteError:  # it completed, and its outputs are gone since
            return None
        except CANNOT_READ as error:
            self._cache.note_missed(step, key, cannot_read(error))
            return None

    def _left_by(self, job: FinishedJob, step: StepName, key: str) -> KeptStep:
        if step == "training":
            outputs = [self._cache.output(job.output_uri)]
            result: dict[str, Any] = {"model_uri": job.output_uri, "tuned": dict(job.tuned)}
        else:
            outputs = self._evaluation_outputs(job.output_uri)
            result = {"evaluations_uri": job.output_uri}
        kept = self._kept(step, key, outputs, result, job.name, job.seconds)
        return replace(kept, run_id=job.run_id)

    def _training_key(self) -> str:
        run, dataset = self._command.run, self._command.dataset
        return step_key(
            "training",
            {
                "dataset": dataset.dataset_id,
                "config": dataset.config_digest,
                "code": run.code_digest,
                "image": run.image,
                "hyperparameters": run.hyperparameters,
                "instance_type": run.instance_type,
                "tuning": run.tuning and run.tuning.model_dump(exclude={"job"}),
            },
        )

    def _evaluation_key(self, model: Output) -> str:
        run, dataset = self._command.run, self._command.dataset
        champion = None
        if run.champion is not None:
            bucket, _, key = run.champion.artifact_uri.removeprefix("s3://").partition("/")
            champion = {
                "version": run.champion.version, "sha256": self._objects.sha256(bucket, key)
            }  # fmt: skip
        return step_key(
            "evaluation",
            {
                "model": model.sha256,
                "dataset": dataset.dataset_id,
                "config": dataset.config_digest,
                "image": run.image,
                "instance_type": run.instance_type,
                "champion": champion,
            },
        )

    def _evaluation_outputs(self, base: str) -> list[Output]:
        """Return the evaluation's manifest and the files that it lists, with their digests."""
        uri = f"{base.rstrip('/')}/manifest.json"
        try:
            files = json.loads(self._objects.read(uri))["files"]
            digests = {name: str(file["sha256"]) for name, file in files.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvidenceIncompleteError(
                f"manifest.json of the evaluation has not the agreed shape: {error!r}",
                field="manifest",
            ) from None
        listed = [
            self._cache.output(f"{base.rstrip('/')}/{name}", digest)
            for name, digest in sorted(digests.items())
        ]
        return [self._cache.output(uri), *listed]

    def _kept(
        self, step: StepName, key: str, outputs: list[Output], result: dict[str, Any], job: str,
        seconds: float | None,
    ) -> KeptStep:  # fmt: skip
        dollars = None
        if seconds is not None:
            try:
                dollars = job_dollars(self._command.run.instance_type, 1, seconds, self._prices)
            except UnknownPriceError:
                dollars = None
        run_id = self._command.run_id
        return KeptStep(step, key, run_id, outputs, result, seconds, dollars, job)

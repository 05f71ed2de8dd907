"""More replicas for the time of a run: raised before it, put back after it, whatever becomes of it.

`deployment/NAMESPACE/NAME` names the Deployment. If a HorizontalPodAutoscaler of the same name scales it, its
`minReplicas` is raised, so that the autoscaler stays in charge above that; otherwise the Deployment's own number.

What was found is written into an annotation, in the same patch that raises. A run that is killed with -9 restores
nothing, but the next one finds the note, takes what it says for what was there before, and restores that at its end. Of
two runs at the same time, the one that began last restores. And a number that somebody else has changed meanwhile is
left alone.

Rights: `get` and `patch` on the autoscaler, `get` on the Deployment; without an autoscaler also `get` and
`patch` on `deployments/scale`, and `patch` on the Deployment for the note, which is left out if that is refused.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from qtr_runtime import kubernetes_api
from spark_jobs.errors import RunFailedError, UsageError
from spark_jobs.lifecycle.scale_targets import (
    Apis,
    Autoscaler,
    Deployment,
    ReplicaTarget,
    RestoreAnnotation,
    ScaleTarget,
)

log = logging.getLogger("spark_jobs")

_CONFLICT, _FORBIDDEN, _NOT_FOUND = 409, 403, 404
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 2.0


class _Unreachable(Exception):
    """No API server answered for as long as there was patience."""


class ScaleUp:
    """Raises on entry, restores on exit.

    Parameters
    ----------
    target
        What to scale.
    replicas
        How many there should be at least.
    run_id
        Whose note it is.
    patience_seconds
        Seconds for which an API server that does not answer is asked again, each time.
    """

    def __init__(
        self, target: ScaleTarget, replicas: int, run_id: str, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._target = target
        self._replicas = replicas
        self._run_id = run_id
        self._patience_seconds = patience_seconds
        self._floor: ReplicaTarget | None = None
        self._before: int | None = None
        self._restored = False
        self._api: Any = None

    @classmethod
    def of(cls, scale: str, replicas: int | None, target: str | None, run_id: str) -> ScaleUp:
        """Take them from the flags `--scale`, `--replicas` and `--target`.

        Raises
        ------
        UsageError
            If `--scale` misses the flags that belong to it.
        """
        if replicas is None:
            raise UsageError("--scale needs --replicas: how many there should be")
        if target is None:
            raise UsageError("--scale needs --target: the servers of the run itself are not in Kubernetes")
        return cls(ScaleTarget.parse(scale), replicas, run_id)

    def __enter__(self) -> ScaleUp:
        """Raise.

        Raises
        ------
        UsageError
            If the target does not exist, may not be changed, or cannot have as many replicas.
        RunFailedError
            If no API server answers.
        """
        try:
            api_client = kubernetes_api.connect()
        except kubernetes_api.KubernetesConfigError as error:
            raise UsageError(f"--scale: {error}") from None
        from kubernetes import client  # there, or connect() has said what to install

        self._api = Apis(client, api_client)
        try:
            self._floor = self._find()
            self._retried(self._raise)
        except _Unreachable as error:
            raise RunFailedError(f"{self._target} cannot be scaled: {error}") from None
        except BaseException:
            self.restore()
            raise
        return self

    def wait_until_ready(self, timeout_seconds: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Wait until as many replicas are ready; later than `timeout_seconds`, warn and go on with those that are."""
        until = time.monotonic() + timeout_seconds
        ready: int | None = None
        while not given_up():
            try:
                ready = self._ready()
                trouble = f"{ready} of {self._replicas} replicas are ready"
            except _Unreachable as error:
                trouble = str(error)
            if ready is not None and ready >= self._replicas:
                log.info("replicas are ready", extra={"run_id": self._run_id, "replicas": ready})
                return
            if time.monotonic() >= until:
                log.warning("%s: the run goes on although after %g s %s", self._target, timeout_seconds, trouble)
                return
            time.sleep(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))

    def __exit__(self, *_: object) -> None:
        """Restore, unless that was done."""
        self.restore()

    def restore(self) -> None:
        """Put back what was found; if that fails, say what to do by hand. Does nothing the second time."""
        if self._floor is None or self._before is None or self._restored:
            return
        self._restored = True
        try:
            self._retried(self._restore)
        except (_Unreachable, UsageError) as error:
            log.error(
                "%s could not be put back to %d (%s); the next run will try, or by hand: %s",
                self._target,
                self._before,
                error,
                self._floor.by_hand(self._before),
            )

    def _find(self) -> ReplicaTarget:
        from kubernetes.client.exceptions import ApiException

        deployment = Deployment(self._api, self._target)
        self._retried(deployment.read)  # so that a wrong name is noticed whatever is scaled
        autoscaler = Autoscaler(self._api, self._target)
        try:
            item = self._retried(autoscaler.read, absent_ok=True)
        except ApiException:
            log.info("no autoscaler of this name: the Deployment itself is scaled", extra={"target": str(self._target)})
            return deployment
        scaled = item.spec.scale_target_ref
        if (scaled.kind, scaled.name) != ("Deployment", self._target.name):
            raise UsageError(f"the autoscaler {self._target.name} scales {scaled.kind} {scaled.name}")
        if item.spec.max_replicas < self._replicas:
            raise UsageError(
                f"--replicas: the autoscaler of {self._target} allows at most {item.spec.max_replicas}, "
                f"not {self._replicas}"
            )
        return autoscaler

    def _raise(self) -> None:
        assert self._floor is not None
        item = self._floor.read()
        note, now = RestoreAnnotation.of(item), self._floor.number(item)
        before = now if note is None else note.before
        if note is not None and note.run_id != self._run_id:
            log.warning(
                "%s was raised from %d by run %s at %s and never put back; this run will",
                self._target,
                note.before,
                note.run_id,
                note.since,
            )
        if note is None and now >= self._replicas:
            log.info("there are enough replicas", extra={"target": str(self._target), "replicas": now})
            return
        # Known before it is done: if the answer is lost, it may be done all the same.
        self._before = before
        mine = RestoreAnnotation(before, self._run_id, datetime.now(UTC).isoformat(timespec="seconds"))
        self._floor.write(item, max(before, self._replicas), mine)
        log.info(
            "replicas raised",
            extra={"target": str(self._target), "by": self._floor.kind, "before": before, "replicas": self._replicas},
        )

    def _restore(self) -> None:
        assert self._floor is not None
        assert self._before is not None
        item = self._floor.read()
        note, now = RestoreAnnotation.of(item), self._floor.number(item)
        if note is not None and note.run_id != self._run_id:
            log.warning("%s is left to run %s, which raised it after this one", self._target, note.run_id)
            return
        raised = max(self._before, self._replicas)
        if now not in {raised, self._before}:
            log.warning("%s: somebody set %d where this run had set %d; left so", self._target, now, raised)
            self._floor.write(item, now, None)
            return
        self._floor.write(item, self._before, None)
        log.info("replicas put back", extra={"target": str(self._target), "replicas": self._before})

    def _ready(self) -> int:
        item = self._retried(Deployment(self._api, self._target).read)
        return int(item.status.ready_replicas or 0)

    def _retried(self, step: Callable[[], Any], *, absent_ok: bool = False) -> Any:
        """Do a step until it is answered: again after conflicts, and while no API server can be reached."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        until = time.monotonic() + self._patience_seconds
        warned = False
        while True:
            try:
                return step()
            except ApiException as error:
                why = f"the API server answered {error.status}: {kubernetes_api.reason(error)}"
                if error.status == _NOT_FOUND and absent_ok:
                    raise
                if error.status in {401, _FORBIDDEN}:
                    raise UsageError(f"--scale: Kubernetes refuses: {kubernetes_api.reason(error)}") from None
                if error.status == _NOT_FOUND:
                    raise UsageError(f"--scale: there is no {self._target}: {kubernetes_api.reason(error)}") from None
                if error.status != _CONFLICT and error.status < 500 and error.status != 429:
                    raise UsageError(f"--scale: {why}") from None
                lost = error.status != _CONFLICT
            except (HTTPError, OSError) as error:
                why, lost = f"no API server answers: {kubernetes_api.reason(error)}", True
            if time.monotonic() >= until:
                raise _Unreachable(why)
            if lost and not warned:
                warned = True
                log.warning("%s: %s; trying for up to %g s", self._target, why, self._patience_seconds)
            time.sleep(random.uniform(0.05, 1.0) if lost else random.uniform(0.0, 0.2))

"""More replicas during a run: raised before it, restored after it, even after a failure.

`deployment/NAMESPACE/NAME` names the Deployment. If a HorizontalPodAutoscaler of the same name scales it, its
`minReplicas` is raised, and the autoscaler may still scale above it; otherwise the Deployment's `replicas` are raised.

The number before is written into an annotation, in the same patch that raises it. A run that is killed restores
nothing, but the next one reads the annotation and restores that number at its end. Of two concurrent runs, the one that
began last restores. A number that was changed by something else meanwhile is not restored.

Rights: `get` and `patch` on the autoscaler, `get` on the Deployment; without an autoscaler also `get` and
`patch` on `deployments/scale`, and `patch` on the Deployment for the annotation, which is left out if that is refused.
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
    Autoscaler,
    Deployment,
    ReplicaTarget,
    RestoreAnnotation,
    ScaleTarget,
)

log = logging.getLogger(__name__)

_NOT_FOUND, _CONFLICT = 404, 409
_RETRY_SECONDS = 60.0
_POLL_SECONDS = 2.0


class _UnreachableError(Exception):
    """No API server answered within the time for retries."""


class ScaleUp:
    """Raises the number of replicas on entry and restores it on exit.

    Parameters
    ----------
    target
        The Deployment.
    replicas
        The least number of replicas during the run.
    run_id
        The run, for the annotation.
    retry_seconds
        For how long each request is retried while the API server does not answer.
    """

    def __init__(
        self, target: ScaleTarget, replicas: int, run_id: str, *, retry_seconds: float = _RETRY_SECONDS
    ) -> None:
        self._target = target
        self._replicas = replicas
        self._run_id = run_id
        self._retry_seconds = retry_seconds
        self._replica_target: ReplicaTarget | None = None
        self._before: int | None = None
        self._restored = False
        self._api_client: Any = None

    @classmethod
    def of(cls, scale: str, replicas: int | None, target: str | None, run_id: str) -> ScaleUp:
        """Return the scale-up for the flags `--scale`, `--replicas` and `--target`.

        Raises
        ------
        UsageError
            If `--scale` is given without the flags that it needs.
        """
        if replicas is None:
            raise UsageError("--scale needs --replicas, the number of replicas")
        if target is None:
            raise UsageError("--scale needs --target: embedded servers are not in Kubernetes")
        return cls(ScaleTarget.parse(scale), replicas, run_id)

    def __enter__(self) -> ScaleUp:
        """Raise the number of replicas.

        Raises
        ------
        UsageError
            If the target does not exist, may not be changed, or cannot have as many replicas.
        RunFailedError
            If no API server answers.
        """
        try:
            self._api_client = kubernetes_api.connect()
        except kubernetes_api.KubernetesConfigError as error:
            raise UsageError(f"--scale: {error}") from None
        try:
            self._replica_target = self._find()
            self._retried(self._raise)
        except _UnreachableError as error:
            raise RunFailedError(f"{self._target} cannot be scaled: {error}") from None
        except BaseException:
            self.restore()
            raise
        return self

    def wait_until_ready(self, timeout_seconds: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until the replicas are ready; after `timeout_seconds`, warn and go on with those that are."""
        until = time.monotonic() + timeout_seconds
        ready: int | None = None
        while not cancelled():
            try:
                ready = self._ready()
                state = f"{ready} of {self._replicas} replicas are ready"
            except _UnreachableError as error:
                state = str(error)
            if ready is not None and ready >= self._replicas:
                log.info("replicas are ready", extra={"run_id": self._run_id, "replicas": ready})
                return
            if time.monotonic() >= until:
                log.warning("%s: the run goes on although after %g s %s", self._target, timeout_seconds, state)
                return
            time.sleep(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))

    def __exit__(self, *_: object) -> None:
        """Restore the number, unless that was done."""
        self.restore()

    def restore(self) -> None:
        """Restore the number before; if that fails, log the command that does. A second call does nothing."""
        if self._replica_target is None or self._before is None or self._restored:
            return
        self._restored = True
        try:
            self._retried(self._restore)
        except (_UnreachableError, UsageError) as error:
            log.error(
                "%s could not be restored to %d (%s); the next run will try, or run: %s",
                self._target,
                self._before,
                error,
                self._replica_target.restore_command(self._before),
            )

    def _find(self) -> ReplicaTarget:
        from kubernetes.client.exceptions import ApiException

        deployment = Deployment(self._api_client, self._target)
        self._retried(deployment.read)  # a wrong name is an error even if the autoscaler is scaled
        autoscaler = Autoscaler(self._api_client, self._target)
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
        assert self._replica_target is not None
        item = self._replica_target.read()
        annotation, now = RestoreAnnotation.of(item), self._replica_target.number(item)
        before = now if annotation is None else annotation.before
        if annotation is not None and annotation.run_id != self._run_id:
            log.warning(
                "%s was raised from %d by run %s at %s and never restored; this run will restore it",
                self._target,
                annotation.before,
                annotation.run_id,
                annotation.since,
            )
        if annotation is None and now >= self._replicas:
            log.info("there are enough replicas", extra={"target": str(self._target), "replicas": now})
            return
        # Set before the write: if the answer is lost, the write may have happened.
        self._before = before
        mine = RestoreAnnotation(before, self._run_id, datetime.now(UTC).isoformat(timespec="seconds"))
        self._replica_target.write(item, max(before, self._replicas), mine)
        log.info(
            "replicas raised",
            extra={
                "target": str(self._target),
                "by": self._replica_target.kind,
                "before": before,
                "replicas": self._replicas,
            },
        )

    def _restore(self) -> None:
        assert self._replica_target is not None
        assert self._before is not None
        item = self._replica_target.read()
        annotation, now = RestoreAnnotation.of(item), self._replica_target.number(item)
        if annotation is not None and annotation.run_id != self._run_id:
            log.warning("%s is not restored: run %s raised it after this one", self._target, annotation.run_id)
            return
        raised = max(self._before, self._replicas)
        if now not in {raised, self._before}:
            log.warning("%s was changed to %d after this run had set %d; it is not restored", self._target, now, raised)
            self._replica_target.write(item, now, None)
            return
        self._replica_target.write(item, self._before, None)
        log.info("replicas restored", extra={"target": str(self._target), "replicas": self._before})

    def _ready(self) -> int:
        item = self._retried(Deployment(self._api_client, self._target).read)
        return int(item.status.ready_replicas or 0)

    def _retried(self, step: Callable[[], Any], *, absent_ok: bool = False) -> Any:
        """Call `step`, again after conflicts and while no API server answers."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        until = time.monotonic() + self._retry_seconds
        warned = False
        while True:
            try:
                return step()
            except ApiException as error:
                why = f"the API server answered {error.status}: {kubernetes_api.reason(error)}"
                if error.status == _NOT_FOUND and absent_ok:
                    raise
                if kubernetes_api.is_refused(error):
                    raise UsageError(f"--scale: Kubernetes refuses: {kubernetes_api.reason(error)}") from None
                if error.status == _NOT_FOUND:
                    raise UsageError(f"--scale: there is no {self._target}: {kubernetes_api.reason(error)}") from None
                if error.status != _CONFLICT and error.status < 500 and error.status != 429:
                    raise UsageError(f"--scale: {why}") from None
                lost = error.status != _CONFLICT
            except (HTTPError, OSError) as error:
                why, lost = f"no API server answers: {kubernetes_api.reason(error)}", True
            if time.monotonic() >= until:
                raise _UnreachableError(why)
            if lost and not warned:
                warned = True
                log.warning("%s: %s; retrying for up to %g s", self._target, why, self._retry_seconds)
            time.sleep(random.uniform(0.05, 1.0) if lost else random.uniform(0.0, 0.2))

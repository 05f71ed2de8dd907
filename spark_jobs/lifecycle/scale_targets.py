"""What `spark_jobs.lifecycle.scale_up` raises: an autoscaler's floor, or a Deployment's own number, and the note about it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtr_runtime import kubernetes_api

log = logging.getLogger("spark_jobs")

NOTE = "qtr.dev/replicas-before"
_TARGET = re.compile(r"deployment/(?P<namespace>[a-z0-9-]+)/(?P<name>[a-z0-9.-]+)")
_FORBIDDEN = 403
_LIMITS: dict[str, Any] = {"_request_timeout": (kubernetes_api.CONNECT_SECONDS, kubernetes_api.READ_SECONDS)}


@dataclass(frozen=True)
class ScaleTarget:
    """A Deployment, by namespace and name."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ScaleTarget:
        """Read `deployment/NAMESPACE/NAME`.

        Raises
        ------
        ValueError
            If the text has another shape.
        """
        parts = _TARGET.fullmatch(text)
        if parts is None:
            raise ValueError(f"expected deployment/NAMESPACE/NAME, not {text!r}")
        return cls(parts["namespace"], parts["name"])

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return f"deployment/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class RestoreAnnotation:
    """What the annotation says."""

    before: int
    run_id: str
    since: str

    @classmethod
    def of(cls, item: Any) -> RestoreAnnotation | None:
        """Read it from an object; `None` if there is none, or nothing that is one."""
        try:
            return cls(**json.loads((item.metadata.annotations or {})[NOTE]))
        except (KeyError, TypeError, ValueError):
            return None

    def __str__(self) -> str:
        return json.dumps(vars(self))


class ReplicaTarget:
    """The number that is raised, where it lives: read with its note, and written."""

    kind: str

    def __init__(self, clients: Any, target: ScaleTarget) -> None:
        self._api = clients
        self.target = target

    def read(self) -> Any:
        """Read the object from the API server."""
        raise NotImplementedError

    def number(self, item: Any) -> int:
        """Return the number in the object."""
        raise NotImplementedError

    def write(self, item: Any, number: int, note: RestoreAnnotation | None) -> None:
        """Write the number and the note, or no note, in its place."""
        raise NotImplementedError

    def by_hand(self, number: int) -> str:
        """Return the command that a person would put the number back with."""
        raise NotImplementedError


class Autoscaler(ReplicaTarget):
    """The `minReplicas` of the HorizontalPodAutoscaler of that name."""

    kind = "HorizontalPodAutoscaler"

    def read(self) -> Any:
        """Read the object from the API server."""
        return self._api.AutoscalingV2Api().read_namespaced_horizontal_pod_autoscaler(
            self.target.name, self.target.namespace, **_LIMITS
        )

    def number(self, item: Any) -> int:
        """Return the number in the object."""
        return int(item.spec.min_replicas or 1)

    def write(self, item: Any, number: int, note: RestoreAnnotation | None) -> None:
        """Write the number and the note, or no note, in its place."""
        patch = {"metadata": _changed_note(item, note), "spec": {"minReplicas": number}}
        self._api.AutoscalingV2Api().patch_namespaced_horizontal_pod_autoscaler(
            self.target.name, self.target.namespace, patch, **_LIMITS
        )

    def by_hand(self, number: int) -> str:
        """Return the command that a person would put the number back with."""
        patch = json.dumps({"metadata": {"annotations": {NOTE: None}}, "spec": {"minReplicas": number}})
        return f"kubectl -n {self.target.namespace} patch hpa {self.target.name} --type merge -p '{patch}'"


class Deployment(ReplicaTarget):
    """The Deployment's own number, through its Scale; the note is on the Deployment."""

    kind = "Deployment"

    def read(self) -> Any:
        """Read the object from the API server."""
        return self._api.AppsV1Api().read_namespaced_deployment(self.target.name, self.target.namespace, **_LIMITS)

    def number(self, item: Any) -> int:
        """Return the number in the object."""
        return int(item.spec.replicas if item.spec.replicas is not None else 1)

    def write(self, item: Any, number: int, note: RestoreAnnotation | None) -> None:
        """Write the number and the note, or no note, in its place."""
        from kubernetes.client.exceptions import ApiException

        api = self._api.AppsV1Api()
        where = (self.target.name, self.target.namespace)
        scale = {"spec": {"replicas": number}}
        metadata = _changed_note(item, note)
        if note is None:
            # The note goes last: whoever is killed in between leaves it for the next run.
            api.patch_namespaced_deployment_scale(*where, scale, **_LIMITS)
            del metadata["resourceVersion"]
        try:
            api.patch_namespaced_deployment(*where, {"metadata": metadata}, **_LIMITS)
        except ApiException as error:
            if error.status != _FORBIDDEN:
                raise
            if note is not None:
                log.warning(
                    "%s cannot hold a note of its %d replicas: %s",
                    self.target,
                    note.before,
                    kubernetes_api.reason(error),
                )
        if note is not None:
            api.patch_namespaced_deployment_scale(*where, scale, **_LIMITS)

    def by_hand(self, number: int) -> str:
        """Return the command that a person would put the number back with."""
        return f"kubectl -n {self.target.namespace} scale deployment {self.target.name} --replicas {number}"


class Apis:
    """The API classes, bound to one connection."""

    def __init__(self, module: Any, api_client: Any) -> None:
        self._module, self._client = module, api_client

    def __getattr__(self, name: str) -> Callable[[], Any]:
        return lambda: getattr(self._module, name)(self._client)


def _changed_note(item: Any, note: RestoreAnnotation | None) -> dict[str, Any]:
    # The version makes it a conflict if somebody else wrote meanwhile.
    return {
        "resourceVersion": item.metadata.resource_version,
        "annotations": {NOTE: None if note is None else str(note)},
    }

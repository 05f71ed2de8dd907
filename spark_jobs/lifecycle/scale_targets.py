"""What `spark_jobs.lifecycle.scale_up` changes: `minReplicas` of an autoscaler, or `replicas` of a Deployment.

An annotation on the same object holds the number to restore.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Any

from qtr_runtime import kubernetes_api

log = logging.getLogger(__name__)

ANNOTATION = "qtr.dev/replicas-before"
_TARGET = re.compile(r"deployment/(?P<namespace>[a-z0-9-]+)/(?P<name>[a-z0-9.-]+)")
_TIMEOUT: dict[str, Any] = {"_request_timeout": (kubernetes_api.CONNECT_SECONDS, kubernetes_api.READ_SECONDS)}


@dataclass(frozen=True)
class ScaleTarget:
    """A Deployment, by namespace and name.

    Examples
    --------
    >>> ScaleTarget.parse("deployment/search/qtr-server")
    ScaleTarget(namespace='search', name='qtr-server')
    """

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
    """The value of the annotation.

    Attributes
    ----------
    before
        The number to restore.
    run_id, since
        The run that raised it, and when.
    """

    before: int
    run_id: str
    since: str

    @classmethod
    def of(cls, item: Any) -> RestoreAnnotation | None:
        """Read it from a Kubernetes object; `None` if it is missing or malformed."""
        try:
            return cls(**json.loads((item.metadata.annotations or {})[ANNOTATION]))
        except (KeyError, TypeError, ValueError):
            return None

    def __str__(self) -> str:
        return json.dumps(vars(self))


class ReplicaTarget:
    """A number of replicas in a Kubernetes object, read and written together with the annotation."""

    kind: str

    def __init__(self, api_client: Any, target: ScaleTarget) -> None:
        self._api_client = api_client
        self._target = target

    def read(self) -> Any:
        """Return the object from the API server."""
        raise NotImplementedError

    def number(self, item: Any) -> int:
        """Return the number in the object."""
        raise NotImplementedError

    def write(self, item: Any, number: int, annotation: RestoreAnnotation | None) -> None:
        """Write the number, and write or remove the annotation."""
        raise NotImplementedError

    def restore_command(self, number: int) -> str:
        """Return a `kubectl` command that restores the number."""
        raise NotImplementedError


class Autoscaler(ReplicaTarget):
    """The `minReplicas` of the HorizontalPodAutoscaler with the Deployment's name."""

    kind = "HorizontalPodAutoscaler"

    def read(self) -> Any:
        """Return the object from the API server."""
        return self._api().read_namespaced_horizontal_pod_autoscaler(
            self._target.name, self._target.namespace, **_TIMEOUT
        )

    def number(self, item: Any) -> int:
        """Return the number in the object."""
        return int(item.spec.min_replicas or 1)

    def write(self, item: Any, number: int, annotation: RestoreAnnotation | None) -> None:
        """Write the number, and write or remove the annotation."""
        patch = {"metadata": _metadata(item, annotation), "spec": {"minReplicas": number}}
        self._api().patch_namespaced_horizontal_pod_autoscaler(
            self._target.name, self._target.namespace, patch, **_TIMEOUT
        )

    def restore_command(self, number: int) -> str:
        """Return a `kubectl` command that restores the number."""
        patch = json.dumps({"metadata": {"annotations": {ANNOTATION: None}}, "spec": {"minReplicas": number}})
        return f"kubectl -n {self._target.namespace} patch hpa {self._target.name} --type merge -p '{patch}'"

    def _api(self) -> Any:
        from kubernetes.client import AutoscalingV2Api

        return AutoscalingV2Api(self._api_client)


class Deployment(ReplicaTarget):
    """The `replicas` of the Deployment, written through its scale subresource; the Deployment has the annotation."""

    kind = "Deployment"

    def read(self) -> Any:
        """Return the object from the API server."""
        return self._api().read_namespaced_deployment(self._target.name, self._target.namespace, **_TIMEOUT)

    def number(self, item: Any) -> int:
        """Return the number in the object."""
        return int(item.spec.replicas if item.spec.replicas is not None else 1)

    def write(self, item: Any, number: int, annotation: RestoreAnnotation | None) -> None:
        """Write the number, and write or remove the annotation."""
        from kubernetes.client.exceptions import ApiException

        api = self._api()
        where = (self._target.name, self._target.namespace)
        scale = {"spec": {"replicas": number}}
        metadata = _metadata(item, annotation)
        if annotation is None:
            # The annotation is removed last: if the run is killed in between, the next run still finds it.
            api.patch_namespaced_deployment_scale(*where, scale, **_TIMEOUT)
            del metadata["resourceVersion"]
        try:
            api.patch_namespaced_deployment(*where, {"metadata": metadata}, **_TIMEOUT)
        except ApiException as error:
            if not kubernetes_api.is_refused(error):
                raise
            if annotation is not None:
                log.warning(
                    "%s cannot hold an annotation with its %d replicas: %s",
                    self._target,
                    annotation.before,
                    kubernetes_api.reason(error),
                )
        if annotation is not None:
            api.patch_namespaced_deployment_scale(*where, scale, **_TIMEOUT)

    def restore_command(self, number: int) -> str:
        """Return a `kubectl` command that restores the number."""
        return f"kubectl -n {self._target.namespace} scale deployment {self._target.name} --replicas {number}"

    def _api(self) -> Any:
        from kubernetes.client import AppsV1Api

        return AppsV1Api(self._api_client)


def _metadata(item: Any, annotation: RestoreAnnotation | None) -> dict[str, Any]:
    # With the version that was read, the write is a conflict if the object changed meanwhile.
    return {
        "resourceVersion": item.metadata.resource_version,
        "annotations": {ANNOTATION: None if annotation is None else str(annotation)},
    }

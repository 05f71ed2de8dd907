"""Connection to a Kubernetes API server by the official client, which is imported at the first use."""

from __future__ import annotations

import json
import os
from typing import Any

CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class KubernetesConfigError(Exception):
    """No usable configuration leads to a Kubernetes API server."""


def connect() -> Any:
    """Return an `ApiClient` by `KUBECONFIG`, the pod's service account, or `~/.kube/config`, in this order.

    It does not retry: its callers know what may be repeated.

    Raises
    ------
    KubernetesConfigError
        If the package `kubernetes` is missing, or none of the three is usable.
    """
    try:
        import yaml
        from kubernetes import client, config
    except ModuleNotFoundError as error:
        raise KubernetesConfigError(f"Kubernetes needs the package {error.name}, of qtr's extra 'k8s'") from None
    settings = client.Configuration()
    try:
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError) as error:
        raise KubernetesConfigError(f"no way to a Kubernetes API server: {_line(error)}") from None
    settings.retries = False
    return client.ApiClient(settings)


def is_refused(error: Any) -> bool:
    """Return whether an `ApiException` means that this program may not do what it asked for: status 401 or 403."""
    return error.status in (_UNAUTHORIZED, _FORBIDDEN)


def reason(error: Any) -> str:
    """Return an API server's error message, or why there was no answer, in one line."""
    try:
        return str(json.loads(error.body)["message"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return _line(getattr(error, "reason", None) or error)


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

"""JSON as a Kubernetes API server writes it: EndpointSlices, a Deployment, its autoscaler, errors; and a kubeconfig."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

NAMESPACE, SERVICE, DEPLOYMENT = "search", "relevance", "relevance"


def deployment(replicas: int, version: int) -> Json:
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": _metadata(DEPLOYMENT, version),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": DEPLOYMENT}},
            "template": {
                "metadata": {"labels": {"app": DEPLOYMENT}},
                "spec": {"containers": [{"name": "server", "image": "relevance:1.0.0"}]},
            },
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
        },
    }


def scale(deployment: Json) -> Json:
    metadata = deployment["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": deployment["spec"]["replicas"]},
        "status": {"replicas": deployment["status"]["replicas"], "selector": f"app={DEPLOYMENT}"},
    }


def autoscaler(least: int, most: int, version: int) -> Json:
    utilization = {"type": "Utilization", "averageUtilization": 80}
    return {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v2",
        "metadata": _metadata(DEPLOYMENT, version),
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": DEPLOYMENT, "apiVersion": "apps/v1"},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
        },
        "status": {"currentReplicas": least, "desiredReplicas": least, "currentMetrics": None, "conditions": []},
    }


def endpoint_slice(name: str, port: str, hosts: list[tuple[str, bool]]) -> Json:
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": _metadata(name, 0)
        | {
            "generateName": f"{SERVICE}-",
            "labels": {
                "kubernetes.io/service-name": SERVICE,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [host],
                "conditions": {"ready": ready, "serving": ready, "terminating": not ready},
                "nodeName": "worker-1",
                "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": f"{SERVICE}-{number}"},
            }
            for number, (host, ready) in enumerate(hosts)
        ],
        "ports": [{"name": "grpc", "port": int(port), "protocol": "TCP", "appProtocol": "grpc"}],
    }


def failure(code: int, reason: str, message: str) -> tuple[int, Json]:
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def kubeconfig(server: str) -> Json:
    name = "scripted"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": "secret"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merge(item: Json, patch: Json) -> None:
    """Apply a merge patch (RFC 7396); for maps, a strategic one does the same."""
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, dict):
            merge(item.setdefault(key, {}), value)
        else:
            item[key] = value


def _metadata(name: str, version: int) -> Json:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": "9f4f5b2e-6c2f-4b0e-8a3d-2f1c7a5e9d10",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-11-01T00:00:00Z",
        "labels": {"app.kubernetes.io/name": name},
    }

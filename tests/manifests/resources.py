"""Built manifests, and the ways to look at them that the checks need."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Resource = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod that some resource makes.

    Attributes
    ----------
    owner
        `Kind/name` of the resource.
    namespace, labels, spec
        The pod's.
    """

    owner: str
    namespace: str
    labels: dict[str, str]
    spec: Resource

    def containers(self) -> list[Resource]:
        """Return its containers, those that run first included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


class Manifests:
    """The resources of one build."""

    def __init__(self, resources: list[Resource]) -> None:
        self.resources = resources

    @classmethod
    def parse(cls, text: str) -> Manifests:
        """Read a stream of YAML documents."""
        return cls([document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document])

    def copy(self) -> Manifests:
        """Copy deeply, to change something."""
        return Manifests(copy.deepcopy(self.resources))

    def of(self, *kinds: str) -> list[Resource]:
        """Return the resources of some kinds."""
        return [resource for resource in self.resources if resource["kind"] in kinds]

    def one(self, kind: str, name: str) -> Resource:
        """Return a resource; a ConfigMap's name may have a hash behind it."""
        [found] = [
            resource
            for resource in self.of(kind)
            if resource["metadata"]["name"] == name
            or (kind == "ConfigMap" and resource["metadata"]["name"].rpartition("-")[0] == name)
        ]
        return found

    def pods(self) -> Iterator[Pod]:
        """Return every pod that these resources make."""
        for resource in self.resources:
            owner, namespace = title(resource), resource["metadata"].get("namespace", "")
            match resource["kind"]:
                case "Deployment":
                    template = resource["spec"]["template"]
                case "CronJob":
                    template = resource["spec"]["jobTemplate"]["spec"]["template"]
                case "ConfigMap" if "executor.yaml" in resource["data"]:
                    template = yaml.safe_load(resource["data"]["executor.yaml"])
                    template["metadata"]["labels"]["spark-role"] = "executor"  # as Spark does
                    owner += "/executor.yaml"
                case "ScheduledSparkApplication":
                    yield from _operators_pods(resource)
                    continue
                case _:
                    continue
            yield Pod(owner, namespace, template["metadata"].get("labels", {}), template["spec"])

    def server(self) -> Pod | None:
        """Return the service's pod."""
        return next((pod for pod in self.pods() if pod.owner == "Deployment/qtr-server"), None)

    def settings(self) -> dict[str, str]:
        """Return the variables that the service's pods get from their ConfigMap."""
        pod = self.server()
        if pod is None:
            return {}
        names = [source["configMapRef"]["name"] for source in pod.spec["containers"][0]["envFrom"]]
        found: dict[str, str] = {}
        for resource in self.of("ConfigMap"):
            if resource["metadata"]["name"] in names:
                found |= resource["data"]
        return found


def title(resource: Resource) -> str:
    """Name a resource as `Kind/name`, without the hash of a ConfigMap."""
    name = resource["metadata"]["name"]
    return f"{resource['kind']}/{name}"


def _operators_pods(resource: Resource) -> Iterator[Pod]:
    """Return the two pods that the Spark operator makes of an application, as far as the application says."""
    application = resource["spec"]["template"]
    for role in ("driver", "executor"):
        part = application[role]
        container = {
            "name": f"spark-kubernetes-{role}",
            "image": application["image"],
            "securityContext": part.get("securityContext", {}),
            "volumeMounts": part.get("volumeMounts", []),
            "envFrom": part.get("envFrom", []),
        }
        spec = {
            "containers": [container],
            "securityContext": part.get("podSecurityContext", {}),
            "volumes": application.get("volumes", []),
            "serviceAccountName": part["serviceAccount"],
        }
        labels = {"spark-role": role, **part.get("labels", {})}
        yield Pod(f"{title(resource)}/{role}", resource["metadata"]["namespace"], labels, spec)

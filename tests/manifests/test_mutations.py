"""Each rule reports the mistake that it is for, and no other rule does.

Every row breaks one thing in a copy of manifests that keep all rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.manifests.kustomize import combined, service, spark
from tests.manifests.policy import RULES, check
from tests.manifests.resources import Manifests
from tests.manifests.schemas import faults

GONE: Any = object()
POD = "spec.template.spec"
SERVER = f"{POD}.containers.0"
JOB = "spec.jobTemplate.spec"
DRIVER = f"{JOB}.template.spec"


class Mutation(NamedTuple):
    """A mistake: where, and what is put there (`GONE` takes the field away)."""

    rule: str
    resource: str
    path: str
    value: Any
    build: str = "service"

    def __str__(self) -> str:
        return (
            f"{self.rule}-{self.resource}-{self.path.rpartition('.')[2]}-{'gone' if self.value is GONE else self.value}"
        )


BUILDS: dict[str, Callable[[], Manifests]] = {
    "service": lambda: service("production", ("monitoring", "network-policy")),
    "base": lambda: combined("base"),
    "keda": lambda: service("production", ("keda",)),
    "mtls": lambda: service("production", ("mtls",)),
    "volume": lambda: service("production", ("model-from-volume",)),
    "cronjob": lambda: spark("cronjob", ("endpoint-slices",)),
    "operator": lambda: spark("operator"),
}

DEPLOYMENT, HPA, PDB = "Deployment/qtr-server", "HorizontalPodAutoscaler/qtr-server", "PodDisruptionBudget/qtr-server"
HEADLESS, CLUSTER_IP = "Service/qtr-server-headless", "Service/qtr-server"
SETTINGS, CONF = "ConfigMap/qtr-server", "ConfigMap/qtr-spark-conf"
CRON, APPLICATION = "CronJob/qtr-nightly", "ScheduledSparkApplication/qtr-nightly"
CALLERS, PROMETHEUS = "NetworkPolicy/allow-callers", "NetworkPolicy/allow-prometheus"
DEFAULTS = "data.spark-defaults.conf"
TEMPLATE = "data.executor.yaml"


class Swap(NamedTuple):
    """In a text: what stands there, and what instead."""

    old: str
    new: str


MUTATIONS = [
    Mutation("image-pinned", DEPLOYMENT, f"{SERVER}.image", "qtr-server:latest"),
    Mutation("image-pinned", DEPLOYMENT, f"{SERVER}.image", "qtr-server"),
    Mutation("image-pinned", DEPLOYMENT, f"{SERVER}.image", "registry:5000/qtr-server"),
    Mutation("image-pinned", APPLICATION, "spec.template.image", "qtr-spark:latest", "operator"),
    Mutation("one-image", DEPLOYMENT, f"{POD}.initContainers.0.image", "qtr-server:0.0.9", "volume"),
    Mutation("one-image", CRON, f"{DRIVER}.containers.0.image", "qtr-spark:0.0.9", "cronjob"),
    Mutation("resources", DEPLOYMENT, f"{SERVER}.resources.limits.memory", "2Gi"),
    Mutation("resources", DEPLOYMENT, f"{SERVER}.resources.limits.memory", GONE),
    Mutation("resources", DEPLOYMENT, f"{SERVER}.resources.limits.cpu", "1500m"),
    Mutation("resources", DEPLOYMENT, f"{SERVER}.resources.limits.cpu", GONE),
    Mutation("resources", DEPLOYMENT, f"{SERVER}.resources.requests.cpu", "500m"),
    Mutation("resources", CRON, f"{DRIVER}.containers.0.resources", GONE, "cronjob"),
    Mutation("executor-cores", CONF, DEFAULTS, Swap("executor.limit.cores ", "executor.limit.cores 8 #"), "cronjob"),
    Mutation("executor-cores", CONF, DEFAULTS, Swap("spark.executor.memoryOverhead", "# off"), "cronjob"),
    Mutation("executor-cores", APPLICATION, "spec.template.executor.coreLimit", "1", "operator"),
    Mutation("pod-security", DEPLOYMENT, f"{POD}.hostNetwork", True),
    Mutation("pod-security", DEPLOYMENT, f"{POD}.securityContext.runAsNonRoot", GONE),
    Mutation("pod-security", DEPLOYMENT, f"{POD}.securityContext.runAsUser", 0),
    Mutation("pod-security", DEPLOYMENT, f"{POD}.securityContext.seccompProfile", GONE),
    Mutation("pod-security", DEPLOYMENT, f"{POD}.volumes", [{"name": "node", "hostPath": {"path": "/"}}]),
    Mutation("pod-security", DEPLOYMENT, f"{SERVER}.securityContext.allowPrivilegeEscalation", GONE),
    Mutation("pod-security", DEPLOYMENT, f"{SERVER}.securityContext.capabilities.add", ["NET_ADMIN"]),
    Mutation("pod-security", DEPLOYMENT, f"{SERVER}.securityContext.capabilities", GONE),
    Mutation("pod-security", DEPLOYMENT, f"{SERVER}.securityContext.privileged", True),
    Mutation("pod-security", DEPLOYMENT, f"{SERVER}.ports.0.hostPort", 8001),
    Mutation("pod-security", CRON, f"{DRIVER}.securityContext.runAsNonRoot", False, "cronjob"),
    Mutation("pod-security", CONF, TEMPLATE, Swap("runAsNonRoot: true", "runAsNonRoot: false"), "cronjob"),
    Mutation("pod-security", APPLICATION, "spec.template.executor.podSecurityContext", GONE, "operator"),
    Mutation("read-only-root", DEPLOYMENT, f"{SERVER}.securityContext.readOnlyRootFilesystem", False),
    Mutation("read-only-root", CONF, TEMPLATE, Swap("readOnlyRootFilesystem: true", "privileged: false"), "cronjob"),
    Mutation("service-links-off", DEPLOYMENT, f"{POD}.enableServiceLinks", GONE),
    Mutation("service-links-off", CONF, TEMPLATE, Swap("enableServiceLinks: false", "restartPolicy: Never"), "cronjob"),
    Mutation("service-links-off", CLUSTER_IP, "metadata.name", "qtr"),
    Mutation("references", DEPLOYMENT, f"{SERVER}.envFrom.1", {"configMapRef": {"name": "elsewhere"}}),
    Mutation("references", DEPLOYMENT, f"{POD}.volumes", [{"name": "tls", "secret": {"secretName": "nobodys"}}]),
    Mutation("references", CRON, f"{DRIVER}.volumes.1.persistentVolumeClaim.claimName", "nobodys", "cronjob"),
    Mutation("references", CRON, f"{DRIVER}.serviceAccountName", "nobody", "cronjob"),
    Mutation("labels", PDB, "metadata.labels", GONE),
    Mutation("namespaces", PDB, "metadata.namespace", GONE),
    Mutation(
        "namespaces",
        "Namespace/qtr",
        "metadata.labels",
        {"pod-security.kubernetes.io/enforce": "baseline"}
        | {f"app.kubernetes.io/{name}": "qtr" for name in ("name", "part-of", "managed-by")},
    ),
    Mutation("probes", DEPLOYMENT, f"{SERVER}.startupProbe", GONE),
    Mutation("probes", DEPLOYMENT, f"{SERVER}.readinessProbe", GONE),
    Mutation("probes", DEPLOYMENT, f"{SERVER}.livenessProbe", GONE),
    Mutation("probes", DEPLOYMENT, f"{SERVER}.livenessProbe.httpGet.path", "/readyz"),
    Mutation("probes", DEPLOYMENT, f"{SERVER}.readinessProbe.httpGet.path", "/livez"),
    Mutation("probes", DEPLOYMENT, f"{SERVER}.readinessProbe", {"grpc": {"port": 8001}}, "mtls"),
    Mutation("threads", SETTINGS, "data.QTR_THREADS", "4"),
    Mutation("listens", SETTINGS, "data.QTR_HOST", GONE),
    Mutation("listens", SETTINGS, "data.QTR_HOST", "127.0.0.1"),
    Mutation("listens", SETTINGS, "data.QTR_PORT", "9001"),
    Mutation("no-token", DEPLOYMENT, f"{POD}.automountServiceAccountToken", GONE),
    Mutation("no-token", DEPLOYMENT, f"{POD}.serviceAccountName", GONE),
    Mutation("no-token", "ServiceAccount/qtr-server", "automountServiceAccountToken", True),
    Mutation("spread", DEPLOYMENT, f"{POD}.topologySpreadConstraints", GONE),
    Mutation("spread", DEPLOYMENT, f"{POD}.topologySpreadConstraints.1", GONE),
    Mutation("spread", DEPLOYMENT, f"{POD}.topologySpreadConstraints.0.matchLabelKeys", GONE),
    Mutation("spread", DEPLOYMENT, f"{POD}.topologySpreadConstraints.0.labelSelector", {"matchLabels": {"app": "x"}}),
    Mutation("connection-age", SETTINGS, "data.QTR_CONNECTION_SECONDS", "0"),
    Mutation("connection-age", SETTINGS, "data.QTR_CONNECTION_SECONDS", "10"),
    Mutation("rollout", DEPLOYMENT, "spec.minReadySeconds", GONE),
    Mutation("rollout", DEPLOYMENT, "spec.minReadySeconds", 60),
    Mutation("rollout", DEPLOYMENT, "spec.strategy", GONE),
    Mutation("rollout", DEPLOYMENT, "spec.strategy.rollingUpdate.maxUnavailable", "25%"),
    Mutation("drain-fits", DEPLOYMENT, f"{POD}.terminationGracePeriodSeconds", GONE),
    Mutation("drain-fits", DEPLOYMENT, f"{POD}.terminationGracePeriodSeconds", 35),
    Mutation("drain-fits", DEPLOYMENT, f"{SERVER}.lifecycle", GONE),
    Mutation("drain-fits", SETTINGS, "data.QTR_DRAIN_SECONDS", "60"),
    Mutation("autoscaling", HPA, "kind", "Gone"),
    Mutation("autoscaling", HPA, "spec.behavior.scaleDown.stabilizationWindowSeconds", 0),
    Mutation("autoscaling", HPA, "spec.scaleTargetRef.name", "qtr"),
    Mutation("autoscaling", HPA, "spec.minReplicas", 99),
    Mutation("autoscaling", DEPLOYMENT, "spec.replicas", 3),
    Mutation("autoscaling", "ScaledObject/qtr-server", "spec.minReplicaCount", 0, "keda"),
    Mutation("disruption-budget", PDB, "kind", "Gone"),
    Mutation("disruption-budget", PDB, "spec.maxUnavailable", 0),
    Mutation("disruption-budget", PDB, "spec.minAvailable", "100%"),
    Mutation("disruption-budget", PDB, "spec.minAvailable", 3),
    Mutation("disruption-budget", PDB, "spec.unhealthyPodEvictionPolicy", GONE),
    Mutation("disruption-budget", PDB, "spec.selector.matchLabels", {"app": "x"}),
    Mutation("services", HEADLESS, "spec.clusterIP", GONE),
    Mutation("services", HEADLESS, "spec.publishNotReadyAddresses", True),
    Mutation("services", CLUSTER_IP, "spec.ports.0.appProtocol", GONE),
    Mutation("services", CLUSTER_IP, "spec.ports.0.name", "api"),
    Mutation("services", CLUSTER_IP, "spec.ports.0.targetPort", "api"),
    Mutation("services", CLUSTER_IP, "spec.selector", {"app": "x"}),
    Mutation("services", CLUSTER_IP, "kind", "Gone"),
    Mutation("stable-selector", DEPLOYMENT, "spec.selector.matchLabels", {"app.kubernetes.io/version": "0.1.0"}),
    Mutation("scraped-once", "ServiceMonitor/qtr-server", "spec.endpoints.0.port", "grpc"),
    Mutation("scraped-once", "ServiceMonitor/qtr-server", "spec.selector.matchLabels", {"app": "x"}),
    Mutation("schedule", CRON, "spec.timeZone", GONE, "cronjob"),
    Mutation("schedule", CRON, "spec.concurrencyPolicy", "Allow", "cronjob"),
    Mutation("schedule", CRON, "spec.suspend", True, "cronjob"),
    Mutation("schedule", CRON, "spec.failedJobsHistoryLimit", GONE, "cronjob"),
    Mutation("schedule", APPLICATION, "spec.timeZone", GONE, "operator"),
    Mutation("schedule", APPLICATION, "spec.concurrencyPolicy", "Replace", "operator"),
    Mutation("run-ends", CRON, "spec.startingDeadlineSeconds", GONE, "cronjob"),
    Mutation("run-ends", CRON, f"{JOB}.activeDeadlineSeconds", GONE, "cronjob"),
    Mutation("run-ends", CRON, f"{JOB}.activeDeadlineSeconds", 100_000, "cronjob"),
    Mutation("run-ends", CRON, f"{JOB}.backoffLimit", GONE, "cronjob"),
    Mutation("run-ends", CRON, f"{JOB}.ttlSecondsAfterFinished", GONE, "cronjob"),
    Mutation("run-ends", CRON, f"{DRIVER}.restartPolicy", "OnFailure", "cronjob"),
    Mutation("date-of-schedule", CRON, f"{DRIVER}.containers.0.env", [], "cronjob"),
    Mutation("date-of-schedule", APPLICATION, "spec.template.driver.env", GONE, "operator"),
    Mutation("spark-role", CRON, f"{JOB}.template.metadata.labels.spark-role", GONE, "cronjob"),
    Mutation("job-target", "ConfigMap/qtr-nightly", "data.QTR_TARGET", "qtr-server.qtr.svc:8001", "cronjob"),
    Mutation("steady-executors", CONF, DEFAULTS, Swap("dynamicAllocation.enabled  ", "x"), "cronjob"),
    Mutation("steady-executors", CONF, DEFAULTS, Swap("spark.task.max", "spark.speculation true\n#"), "cronjob"),
    Mutation("steady-executors", APPLICATION, "spec.template.sparkConf", {}, "operator"),
    Mutation("least-rights", "Role/qtr-driver", "rules.0.verbs", ["*"], "cronjob"),
    Mutation("least-rights", "Role/qtr-driver", "rules.0.resources", ["pods", "secrets"], "cronjob"),
    Mutation("least-rights", "Role/qtr-scaler", "rules.0.verbs", ["get", "patch", "delete"], "cronjob"),
    Mutation("least-rights", "Role/qtr-scaler", "rules.2.resourceNames", GONE, "cronjob"),
    Mutation("least-rights", "Role/qtr-scaler", "kind", "ClusterRole", "cronjob"),
    Mutation("least-rights", "RoleBinding/qtr-scaler", "subjects.0.namespace", "default", "cronjob"),
    Mutation("executors-have-no-rights", "RoleBinding/qtr-scaler", "subjects.0.name", "qtr-executor", "cronjob"),
    Mutation("rights-need-a-token", "ServiceAccount/qtr-driver", "automountServiceAccountToken", False, "operator"),
    Mutation("rights-need-a-token", "ServiceAccount/qtr-executor", "automountServiceAccountToken", False, "cronjob"),
    Mutation("rights-need-a-token", CRON, f"{DRIVER}.automountServiceAccountToken", False, "cronjob"),
    Mutation("network", "NetworkPolicy/default-deny", "kind", "Gone"),
    Mutation("network", "NetworkPolicy/default-deny", "spec.policyTypes", ["Ingress"]),
    Mutation("network", "NetworkPolicy/default-deny", "spec.egress", [{}]),
    Mutation("network", "NetworkPolicy/default-deny", "kind", "Gone", "operator"),
    Mutation("network", CALLERS, "spec.ingress.0.from", GONE),
    Mutation("network", CALLERS, "spec.ingress.0.from.1.podSelector", GONE),
    Mutation("network", CALLERS, "spec.ingress.0.from.0.podSelector.matchExpressions.0.values", ["executor"]),
    Mutation("network", CALLERS, "spec.ingress.0.ports", GONE),
    Mutation("network", CALLERS, "spec.ingress.0.ports.1", {"protocol": "TCP", "port": 8002}),
    Mutation("network", PROMETHEUS, "spec.ingress.0.from.0.podSelector.matchLabels", {"qtr/caller": "true"}),
]


def mutated(mutation: Mutation) -> Manifests:
    manifests = BUILDS[mutation.build]().copy()
    kind, _, name = mutation.resource.partition("/")
    # The names of a ConfigMap's data have dots of their own.
    *path, last = mutation.path.split(".", 1 if mutation.path.startswith("data.") else -1)
    place: Any = manifests.one(kind, name)
    for step in path:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    key: Any = int(last) if isinstance(place, list) else last
    value = mutation.value
    if isinstance(value, Swap):
        assert value.old in place[key]
        value = place[key].replace(value.old, value.new)
    if value is GONE:
        del place[key]
    elif isinstance(place, list) and key == len(place):
        place.append(value)
    else:
        place[key] = value
    return manifests


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_mistake_is_noticed_by_its_rule_and_no_other(mutation: Mutation) -> None:
    assert {violation.rule for violation in check(mutated(mutation))} == {mutation.rule}


@pytest.mark.parametrize("build", BUILDS)
def test_without_a_mistake_nothing_is_noticed(build: str) -> None:
    assert check(BUILDS[build]()) == []


def test_every_rule_has_a_mistake() -> None:
    check(BUILDS["base"]())
    assert {mutation.rule for mutation in MUTATIONS} == set(RULES)


UNKNOWN = [
    Mutation("schema", DEPLOYMENT, f"{SERVER}.livenesProbe", {}),
    Mutation("schema", DEPLOYMENT, f"{SERVER}.startupProbe.grpc.port", "grpc"),
    Mutation("schema", HPA, "spec.maxReplicas", GONE),
    Mutation("schema", CRON, "spec.timezone", "Etc/UTC", "cronjob"),
    Mutation("schema", "ScaledObject/qtr-server", "spec.minReplicas", 1, "keda"),
    Mutation("schema", "ScaledObject/qtr-server", "spec.triggers.0.metadata.treshold", "1", "keda"),
    Mutation("schema", "ServiceMonitor/qtr-server", "spec.endpoints.0.periodSeconds", 15),
    Mutation("schema", "PrometheusRule/qtr-server", "spec.groups.0.rules.0.expression", "up"),
    Mutation("schema", "Certificate/qtr-server", "spec.secret", "x", "mtls"),
    Mutation("schema", "ClusterIssuer/qtr-authority", "spec.ca.secret", "x", "mtls"),
    Mutation("schema", APPLICATION, "spec.template.driver.core", 1, "operator"),
    Mutation("schema", APPLICATION, "spec.timezone", "Etc/UTC", "operator"),
]


@pytest.mark.parametrize("mutation", UNKNOWN, ids=str)
def test_a_field_that_is_none_is_noticed_by_the_schemas(mutation: Mutation) -> None:
    found = [fault for resource in mutated(mutation).resources for fault in faults(resource)]
    assert found
    assert all(fault.startswith(f"{mutation.resource}: ") for fault in found)

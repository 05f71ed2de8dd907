"""Rules for the service: how it starts, drains, rolls, scales, and is found."""

from __future__ import annotations

from collections.abc import Iterator

from grpc_server.telemetry.http_endpoint import LIVE, READY
from tests.manifests.policy import rule
from tests.manifests.resources import Manifests, Pod, Resource, title

# gRPC's clients ask DNS at most this often, so a connection that is made again sooner finds nothing new.
LEAST_CONNECTION_SECONDS = 30
# The server varies the age of a connection by a tenth.
JITTER = 1.1


def _deployment(manifests: Manifests) -> Iterator[tuple[Resource, Pod, Resource]]:
    """Return the Deployment, its pod and the pod's first container, if this build has the service."""
    pod = manifests.server()
    if pod is not None:
        yield manifests.one("Deployment", "qtr-server"), pod, pod.spec["containers"][0]


@rule
def probes(manifests: Manifests) -> Iterator[str]:
    """Ready is who serves; alive is who can answer at all: neither load nor draining may end a process."""
    wanted = {"startupProbe": READY, "readinessProbe": READY, "livenessProbe": LIVE}
    for _, pod, container in _deployment(manifests):
        for name, service in wanted.items():
            probe = container.get(name)
            if probe is None:
                yield f"{pod.owner} has no {name}"
            elif _asked(probe) != service:
                yield f"{pod.owner}: its {name} asks for {_asked(probe)!r} instead of {service!r}"


def _asked(probe: Resource) -> str | None:
    """Return the path that a probe asks for; `None` unless it asks the HTTP port, which needs no TLS."""
    request = probe.get("httpGet", {})
    if request.get("port") != "http-metrics" or request.get("scheme", "HTTP") != "HTTP":
        return None
    return str(request.get("path"))


@rule
def threads(manifests: Manifests) -> Iterator[str]:
    """As many threads as cores: more of them wait for each other, fewer leave a core idle."""
    for _, pod, container in _deployment(manifests):
        limit = container.get("resources", {}).get("limits", {}).get("cpu")
        given = manifests.settings().get("QTR_THREADS")
        if str(limit).isdecimal() and given != limit:
            yield f"{pod.owner}: QTR_THREADS is {given} on {limit} cores"


@rule
def listens(manifests: Manifests) -> Iterator[str]:
    """The default host is loopback, which no other pod reaches; and the ports must be those that are named."""
    for _, pod, container in _deployment(manifests):
        settings = manifests.settings()
        if settings.get("QTR_HOST") not in {"0.0.0.0", "::"}:
            yield f"{pod.owner} listens on {settings.get('QTR_HOST')} only"
        named = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        given = {"grpc": settings.get("QTR_PORT"), "http-metrics": settings.get("QTR_METRICS_PORT")}
        if named != given:
            yield f"{pod.owner}: its ports are {named}, its settings say {given}"


@rule
def no_token(manifests: Manifests) -> Iterator[str]:
    """The server does not call the API server; a token for it would only help an intruder."""
    for _, pod, _ in _deployment(manifests):
        accounts = [
            account for account in manifests.of("ServiceAccount") if account["metadata"]["name"] == "qtr-server"
        ]
        if not accounts or pod.spec.get("serviceAccountName") != "qtr-server":
            yield f"{pod.owner} has no ServiceAccount of its own"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner} gets a token"
    for account in manifests.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False and account["metadata"]["name"] == "qtr-server":
            yield f"{title(account)} gives a token to every pod that bears it"


@rule
def spread(manifests: Manifests) -> Iterator[str]:
    """One node or zone down must not take all; each version is counted by itself."""
    for _, pod, _ in _deployment(manifests):
        constraints = {each["topologyKey"]: each for each in pod.spec.get("topologySpreadConstraints", [])}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone"):
            each = constraints.get(key)
            if each is None:
                yield f"{pod.owner} is not spread by {key}"
            elif not each["labelSelector"]["matchLabels"].items() <= pod.labels.items():
                yield f"{pod.owner}: its spread by {key} counts other pods"
            elif each.get("matchLabelKeys") != ["pod-template-hash"]:
                yield f"{pod.owner}: its spread by {key} counts old versions as well"


@rule
def connection_age(manifests: Manifests) -> Iterator[str]:
    """Only a client that reconnects finds new pods."""
    for _, pod, _ in _deployment(manifests):
        age = float(manifests.settings().get("QTR_CONNECTION_SECONDS", 0))
        if age < LEAST_CONNECTION_SECONDS:
            yield f"{pod.owner}: connections of {age:g} s, fewer than {LEAST_CONNECTION_SECONDS} (0 is never)"


@rule
def rollout(manifests: Manifests) -> Iterator[str]:
    """No pod goes before its successor is there and found by every client."""
    for deployment, pod, _ in _deployment(manifests):
        spec = deployment["spec"]
        if spec.get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") not in {0, "0%"}:
            yield f"{pod.owner} takes pods away before new ones are there"
        age = float(manifests.settings().get("QTR_CONNECTION_SECONDS", 0)) * JITTER
        if spec.get("minReadySeconds", 0) < age:
            yield f"{pod.owner}: minReadySeconds {spec.get('minReadySeconds', 0)} is less than a connection's {age:g} s"


@rule
def drain_fits(manifests: Manifests) -> Iterator[str]:
    """Waiting, draining and a little more must fit before the kubelet kills."""
    for _, pod, container in _deployment(manifests):
        command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        needed = float(command[-1]) + float(manifests.settings().get("QTR_DRAIN_SECONDS", 30))
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if needed >= grace:
            yield f"{pod.owner} may need {needed:g} s to end and has {grace}"
        if float(command[-1]) <= 0:
            yield f"{pod.owner} does not wait until callers of the ClusterIP are sent elsewhere"


@rule
def autoscaling(manifests: Manifests) -> Iterator[str]:
    """Exactly one owner of the number of pods, that does not go down at every lull."""
    for deployment, pod, _ in _deployment(manifests):
        scalers = manifests.of("HorizontalPodAutoscaler", "ScaledObject")
        if len(scalers) != 1:
            yield f"{pod.owner} has {len(scalers)} autoscalers"
        if "replicas" in deployment["spec"]:
            yield f"{pod.owner} sets its replicas, which takes back what the autoscaler did at every apply"
        for scaler in scalers:
            spec = scaler["spec"]
            if spec["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
                yield f"{title(scaler)} scales {spec['scaleTargetRef']['name']}"
            low, high = bounds(scaler)
            if not 1 <= low <= high:
                yield f"{title(scaler)} scales from {low} to {high}"
            behaviour = spec if "behavior" in spec else spec["advanced"]["horizontalPodAutoscalerConfig"]
            if behaviour["behavior"]["scaleDown"].get("stabilizationWindowSeconds", 300) < 300:
                yield f"{title(scaler)} goes down at a lull"


def bounds(scaler: Resource) -> tuple[int, int]:
    """Return the least and the largest number of pods of either kind of autoscaler."""
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        return spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return spec.get("minReplicas", 1), spec["maxReplicas"]


@rule
def disruption_budget(manifests: Manifests) -> Iterator[str]:
    """A node's drain waits for the budget: one that never allows anything blocks it for ever."""
    for _, pod, _ in _deployment(manifests):
        budgets = manifests.of("PodDisruptionBudget")
        if not budgets:
            yield f"{pod.owner} has no disruption budget"
        least = min((bounds(each)[0] for each in manifests.of("HorizontalPodAutoscaler", "ScaledObject")), default=1)
        for budget in budgets:
            spec = budget["spec"]
            if not spec["selector"]["matchLabels"].items() <= pod.labels.items():
                yield f"{title(budget)} is about other pods"
            allowed, kept = str(spec.get("maxUnavailable", "")), str(spec.get("minAvailable", ""))
            if allowed in {"0", "0%"} or kept == "100%" or (kept.isdecimal() and int(kept) >= least):
                yield f"{title(budget)} blocks the drain of a node when {least} pods run"
            if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield f"{title(budget)}: pods that never become ready block the drain of a node"


@rule
def services(manifests: Manifests) -> Iterator[str]:
    """Jobs need every pod's address, interactive callers one; and proxies must know that it is gRPC."""
    for _, pod, container in _deployment(manifests):
        found = manifests.of("Service")
        headless = [service for service in found if service["spec"].get("clusterIP") == "None"]
        if len(headless) != 1 or len(found) != 2:
            yield f"{pod.owner}: {len(headless)} of {len(found)} Services are headless; wanted are one of two"
        named = {port["name"] for port in container["ports"]}
        for service in found:
            spec = service["spec"]
            if not spec["selector"].items() <= pod.labels.items():
                yield f"{title(service)} selects other pods"
            if spec.get("publishNotReadyAddresses"):
                yield f"{title(service)} names pods that are not ready"
            for port in spec["ports"]:
                if port.get("targetPort") not in named:
                    yield f"{title(service)}: the pods have no port {port.get('targetPort')}"
            if [port.get("appProtocol") for port in spec["ports"] if port["name"] == "grpc"] != ["grpc"]:
                yield f"{title(service)} has no port `grpc` of the protocol grpc"


@rule
def stable_selector(manifests: Manifests) -> Iterator[str]:
    """A Deployment's selector cannot be changed, so nothing in it may change from version to version."""
    for deployment, pod, _ in _deployment(manifests):
        chosen = deployment["spec"]["selector"]["matchLabels"].keys()
        if chosen != {"app.kubernetes.io/name", "app.kubernetes.io/component"}:
            yield f"{pod.owner} is selected by {', '.join(sorted(chosen))}"


@rule
def scraped_once(manifests: Manifests) -> Iterator[str]:
    """A monitor that finds no port reads nothing; one that finds two counts everything twice."""
    for monitor in manifests.of("ServiceMonitor"):
        chosen = monitor["spec"]["selector"]["matchLabels"]
        for endpoint in monitor["spec"]["endpoints"]:
            ports = [
                title(service)
                for service in manifests.of("Service")
                if chosen.items() <= service["metadata"]["labels"].items()
                for port in service["spec"]["ports"]
                if port["name"] == endpoint["port"]
            ]
            if len(ports) != 1:
                yield f"{title(monitor)} reads {endpoint['port']} of {ports or 'no Service'}"

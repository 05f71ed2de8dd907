"""Rules for every pod: what it runs, with which rights, and what it may take."""

from __future__ import annotations

from collections.abc import Iterator

from tests.manifests.policy import rule
from tests.manifests.resources import Manifests, title

# Pod Security Standards, "restricted".
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


@rule
def image_pinned(manifests: Manifests) -> Iterator[str]:
    """A tag that moves makes two pods of one Deployment run different programs."""
    images = [
        (pod.owner, container["image"])
        for pod in manifests.pods()
        for container in pod.containers()
        if "image" in container  # Spark sets the executors'
    ]
    for owner, image in images:
        name, _, digest = image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if not digest and tag in {"", "latest"}:
            yield f"{owner} runs {image}, which names no version"


@rule
def one_image(manifests: Manifests) -> Iterator[str]:
    """Driver and executors, first and main container: of one image, or they do not understand each other."""
    for pod in manifests.pods():
        images = {container["image"] for container in pod.containers() if "image" in container}
        images |= {
            variable["value"]
            for container in pod.containers()
            for variable in container.get("env", [])
            if variable["name"] == "SPARK_IMAGE"
        }
        if len(images) > 1:
            yield f"{pod.owner} runs {' and '.join(sorted(images))}"


@rule
def resources(manifests: Manifests) -> Iterator[str]:
    """Whole cores, request and limit alike: a throttled pod is slow in a way that no metric of its own shows."""
    for pod in manifests.pods():
        if pod.owner.startswith(("ConfigMap/", "ScheduledSparkApplication/")):
            continue  # Spark's configuration has them: executor_cores
        for container in pod.containers():
            given = container.get("resources", {})
            requests, limits = given.get("requests", {}), given.get("limits", {})
            where = f"{pod.owner}, container {container['name']}"
            if not str(limits.get("cpu", "")).isdecimal():
                yield f"{where}: its CPU limit is {limits.get('cpu')}, not a whole number"
            elif not limits.get("memory"):
                yield f"{where} has no memory limit"
            elif requests != limits:
                yield f"{where}: requests {requests} differ from limits {limits}"


@rule
def pod_security(manifests: Manifests) -> Iterator[str]:
    """Pod Security Standards, profile "restricted"; the namespaces enforce it, and would refuse the pods."""
    for pod in manifests.pods():
        spec, context = pod.spec, pod.spec.get("securityContext", {})
        if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.owner} shares a namespace with its node"
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{pod.owner} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.owner} has no seccomp profile"
        for volume in spec.get("volumes", []):
            if not volume.keys() - {"name"} <= VOLUMES:
                yield f"{pod.owner} mounts {volume}"
        for container in pod.containers():
            own = container.get("securityContext", {})
            where = f"{pod.owner}, container {container['name']}"
            if own.get("allowPrivilegeEscalation") is not False:
                yield f"{where} may gain rights"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{where} keeps capabilities"
            if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
                yield f"{where} asks for root's rights"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{where} takes a port of its node"


@rule
def read_only_root(manifests: Manifests) -> Iterator[str]:
    """What cannot be written cannot be planted."""
    for pod in manifests.pods():
        for container in pod.containers():
            if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"{pod.owner}, container {container['name']} can write to its root"


@rule
def service_links_off(manifests: Manifests) -> Iterator[str]:
    """A Service called qtr would set QTR_PORT=tcp://… in every pod of its namespace, and no server would start."""
    for pod in manifests.pods():
        if not pod.owner.startswith("ScheduledSparkApplication/") and pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.owner} gets variables from Services"
    for service in manifests.of("Service"):
        if service["metadata"]["name"] == "qtr":
            yield "Service/qtr sets QTR_… variables in the pods of others"


@rule
def references(manifests: Manifests) -> Iterator[str]:
    """A name that does not exist leaves the pods waiting in ContainerCreating."""
    known = {
        (resource["kind"], resource["metadata"].get("namespace", ""), resource["metadata"]["name"])
        for resource in manifests.resources
    } | {
        ("Secret", certificate["metadata"]["namespace"], certificate["spec"]["secretName"])
        for certificate in manifests.of("Certificate")
    }
    for pod in manifests.pods():
        names = []
        for container in pod.containers():
            names += [("ConfigMap", source["configMapRef"]) for source in container.get("envFrom", [])]
        for volume in pod.spec.get("volumes", []):
            if "configMap" in volume:
                names.append(("ConfigMap", volume["configMap"]))
            if "secret" in volume:
                names.append(("Secret", {**volume["secret"], "name": volume["secret"]["secretName"]}))
            if claim := volume.get("persistentVolumeClaim"):
                names.append(("PersistentVolumeClaim", {"name": claim["claimName"]}))
        if account := pod.spec.get("serviceAccountName"):
            names.append(("ServiceAccount", {"name": account}))
        for kind, reference in names:
            if not reference.get("optional") and (kind, pod.namespace, reference["name"]) not in known:
                yield f"{pod.owner} needs {kind}/{reference['name']} in {pod.namespace}, which no manifest makes"


@rule
def labels(manifests: Manifests) -> Iterator[str]:
    """The labels by which tools find what belongs together."""
    wanted = {f"app.kubernetes.io/{name}" for name in ("name", "part-of", "managed-by")}
    for resource in manifests.resources:
        missing = wanted - resource["metadata"].get("labels", {}).keys()
        if missing:
            yield f"{title(resource)} lacks {', '.join(sorted(missing))}"


@rule
def namespaces(manifests: Manifests) -> Iterator[str]:
    """Nothing lands in `default`, and every namespace of ours refuses pods that ask for too much."""
    clusterwide = {"Namespace", "ClusterIssuer"}
    for resource in manifests.resources:
        if resource["kind"] not in clusterwide and not resource["metadata"].get("namespace"):
            yield f"{title(resource)} has no namespace"
    for namespace in manifests.of("Namespace"):
        if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{title(namespace)} does not enforce Pod Security `restricted`"


@rule
def executor_cores(manifests: Manifests) -> Iterator[str]:
    """The executors' limits are in Spark's configuration."""
    for resource in manifests.of("ConfigMap"):
        if "spark-defaults.conf" not in resource["data"]:
            continue
        conf = dict(
            line.split(None, 1)
            for line in resource["data"]["spark-defaults.conf"].splitlines()
            if line and not line.startswith("#")
        )
        cores = conf.get("spark.executor.cores")
        given = {conf.get(f"spark.kubernetes.executor.{name}.cores") for name in ("request", "limit")}
        if cores is None or given != {cores}:
            yield f"executors of {cores} cores ask for {given}"
        if "spark.executor.memoryOverhead" not in conf:
            yield "executors have no memory for Python"
    for resource in manifests.of("ScheduledSparkApplication"):
        for role in ("driver", "executor"):
            part = resource["spec"]["template"][role]
            if part.get("coreLimit") != str(part["cores"]) or "memoryOverhead" not in part:
                yield f"{title(resource)}: the {role}'s limits differ from what it needs"

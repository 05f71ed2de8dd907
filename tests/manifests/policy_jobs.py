"""Rules for the nightly job, for rights, and for who may connect to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.manifests.policy import rule
from tests.manifests.resources import Manifests, Resource, title

DAY_SECONDS = 24 * 3600
READ_AND_PATCH = {"get", "list", "patch", "watch"}
SPARK_ROLES = {"driver", "executor"}
SERVER_PORT, METRICS_PORT = 8001, 8002


@rule
def schedule(manifests: Manifests) -> Iterator[str]:
    """One run at a time, at a time of day that means something, that ends before the next one."""
    for cron in manifests.of("CronJob", "ScheduledSparkApplication"):
        spec = cron["spec"]
        if not spec.get("timeZone"):
            yield f"{title(cron)} runs at a time of the control plane's own zone"
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{title(cron)} may run beside itself"
        if spec.get("suspend"):
            yield f"{title(cron)} is suspended"
        limits = [name for name in spec if name.endswith("HistoryLimit")]
        if len(limits) != 2:
            yield f"{title(cron)} keeps its old runs for ever"


@rule
def run_ends(manifests: Manifests) -> Iterator[str]:
    """A run that hangs must not block the next ones; one that fails is tried again, a limited number of times."""
    for cron in manifests.of("CronJob"):
        spec, job = cron["spec"], cron["spec"]["jobTemplate"]["spec"]
        if not spec.get("startingDeadlineSeconds"):
            yield f"{title(cron)} gives up for good after a hundred missed starts"
        if not 0 < job.get("activeDeadlineSeconds", 0) < DAY_SECONDS:
            yield f"{title(cron)} may overlap with the next run"
        if job.get("backoffLimit", 6) > 3:
            yield f"{title(cron)} is tried {job.get('backoffLimit', 6) + 1} times"
        if "ttlSecondsAfterFinished" not in job:
            yield f"{title(cron)} leaves its jobs behind"
        if job["template"]["spec"].get("restartPolicy") != "Never":
            yield f"{title(cron)}: a failed pod's log goes with its restart"


@rule
def date_of_schedule(manifests: Manifests) -> Iterator[str]:
    """An attempt that begins after midnight must keep the run date of its schedule."""
    label = {
        "CronJob": "metadata.labels['batch.kubernetes.io/job-name']",
        "ScheduledSparkApplication": "metadata.labels['sparkoperator.k8s.io/app-name']",
    }
    for cron in manifests.of(*label):
        spec = cron["spec"]
        if cron["kind"] == "CronJob":
            container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        else:
            container = spec["template"]["driver"]
        paths = [
            each["valueFrom"]["fieldRef"]["fieldPath"]
            for each in container.get("env", [])
            if each["name"] == "QTR_SCHEDULED_JOB"
        ]
        if paths != [label[cron["kind"]]]:
            yield f"{title(cron)} takes its date from the clock of each attempt"


@rule
def spark_role(manifests: Manifests) -> Iterator[str]:
    """The label by which the network policies know the job's pods."""
    for pod in manifests.pods():
        if pod.namespace == "qtr-jobs" and pod.labels.get("spark-role") not in SPARK_ROLES:
            yield f"{pod.owner} does not say spark-role"


@rule
def job_target(manifests: Manifests) -> Iterator[str]:
    """One HTTP/2 connection stays with one pod: behind a ClusterIP all calls of a job would."""
    for resource in manifests.of("ConfigMap"):
        target = resource["data"].get("QTR_TARGET")
        if target is not None and not target.startswith(("dns:///qtr-server-headless.", "k8s:///")):
            yield f"{title(resource)}: the job calls {target}, which is not every pod's address"


@rule
def steady_executors(manifests: Manifests) -> Iterator[str]:
    """Executors that come by and by, or tasks that run twice, surprise the service."""
    for resource in [*manifests.of("ConfigMap"), *manifests.of("ScheduledSparkApplication")]:
        conf = _spark_conf(resource)
        if conf is not None and conf.get("spark.dynamicAllocation.enabled") != "false":
            yield f"{title(resource)} lets the number of executors change"
        if conf is not None and conf.get("spark.speculation", "false") != "false":
            yield f"{title(resource)} runs slow tasks twice"


def _spark_conf(resource: Resource) -> dict[str, str] | None:
    if resource["kind"] == "ScheduledSparkApplication":
        return dict(resource["spec"]["template"]["sparkConf"])
    text = resource["data"].get("spark-defaults.conf")
    if text is None:
        return None
    lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value.strip() for name, value in lines}


@rule
def least_rights(manifests: Manifests) -> Iterator[str]:
    """Who can do everything will, one day."""
    for resource in manifests.of("ClusterRole", "ClusterRoleBinding"):
        yield f"{title(resource)} reaches beyond the namespaces of ours"
    for role in manifests.of("Role"):
        where = f"{title(role)} in {role['metadata']['namespace']}"
        for each in role["rules"]:
            if "*" in {*each["apiGroups"], *each["resources"], *each["verbs"]}:
                yield f"{where} allows everything (*)"
            if "secrets" in each["resources"]:
                yield f"{where} reads secrets"
            if role["metadata"]["namespace"] != "qtr":
                continue
            if not set(each["verbs"]) <= READ_AND_PATCH:
                yield f"{where} changes more than numbers: {', '.join(each['verbs'])}"
            if each["resources"] != ["endpointslices"] and each.get("resourceNames") != ["qtr-server"]:
                yield f"{where} reaches {', '.join(each['resources'])} of others"
    for binding in manifests.of("RoleBinding"):
        for subject in binding["subjects"]:
            if subject["kind"] != "ServiceAccount" or subject.get("namespace") != "qtr-jobs":
                yield f"{title(binding)} binds {subject['kind']} {subject['name']}"


@rule
def executors_have_no_rights(manifests: Manifests) -> Iterator[str]:
    """They run what the data make them run; what a driver may do they may not."""
    for binding in manifests.of("RoleBinding"):
        executors = [each for each in binding["subjects"] if each["name"] == "qtr-executor"]
        if executors and binding["roleRef"]["name"] != "qtr-endpoints":
            yield f"{title(binding)} gives executors the rights of {binding['roleRef']['name']}"


@rule
def rights_need_a_token(manifests: Manifests) -> Iterator[str]:
    """A driver without its token finds no API server: "External scheduler cannot be instantiated"."""
    accounts = manifests.of("ServiceAccount")
    bound = {
        (subject["namespace"], subject["name"])
        for binding in manifests.of("RoleBinding")
        for subject in binding["subjects"]
    }
    for account in accounts:
        place = (account["metadata"]["namespace"], account["metadata"]["name"])
        if place in bound and account.get("automountServiceAccountToken") is not True:
            yield f"{title(account)} has rights, and its pods get no token"
    for pod in manifests.pods():
        place = (pod.namespace, pod.spec.get("serviceAccountName", ""))
        if place in bound and pod.spec.get("automountServiceAccountToken") is False:
            yield f"{pod.owner} has rights as {place[1]}, and gets no token"


@rule
def network(manifests: Manifests) -> Iterator[str]:
    """Where there are policies: nothing by default, and then each port to those who need it."""
    policies = manifests.of("NetworkPolicy")
    for namespace in {policy["metadata"]["namespace"] for policy in policies}:
        kinds = {"Ingress", "Egress"} if namespace == "qtr" else {"Ingress"}
        denying = [
            policy["spec"]["policyTypes"]
            for policy in policies
            if policy["metadata"]["namespace"] == namespace
            and policy["spec"]["podSelector"] == {}
            and not policy["spec"].get("ingress")
            and not policy["spec"].get("egress")
        ]
        if not any(kinds <= set(types) for types in denying):
            yield f"{namespace} allows {' and '.join(sorted(kinds))} by default"
    for policy in policies:
        for allowed in policy["spec"].get("ingress", []):
            ports = {port["port"] for port in allowed.get("ports", [])}
            peers = allowed.get("from", [])
            if not peers or any(not peer.get("podSelector") for peer in peers):
                yield f"{title(policy)} lets anybody in"
            elif policy["metadata"]["namespace"] == "qtr":
                yield from _opened(title(policy), ports, peers)


def _opened(where: str, ports: set[int], peers: list[Resource]) -> Iterator[str]:
    if len(ports) != 1 or not ports <= {SERVER_PORT, METRICS_PORT}:
        yield f"{where} opens {sorted(ports) or 'every port'}"
    text = json.dumps(peers)
    if ports == {METRICS_PORT} and ("spark-role" in text or "qtr/caller" in text):
        yield f"{where} shows the metrics to callers"
    if ports == {SERVER_PORT} and not all(role in text for role in ("spark-role", *SPARK_ROLES)):
        yield f"{where} does not let the job's driver and executors in"

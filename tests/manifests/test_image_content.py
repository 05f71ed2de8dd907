"""What the manifests name is in the images: each rule notices its mistake; the built images break none.

The images are read with the tool that `QTR_IMAGE_TOOL` names, as `docker/try.sh` does after it has built them.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.manifests.image_files import Entry, ImageFiles, read_image
from tests.manifests.kustomize import COMBINATIONS, ROOT, SPARK_COMBINATIONS, name_of, service, spark
from tests.manifests.policy_images import RULES, USER, check_images
from tests.manifests.resources import Manifests

FOLDER, FILE, PROGRAM, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777
SITE = "/opt/qtr/lib/python3.11/site-packages"


def image(files: dict[str, Entry], entrypoint: str, **environment: str) -> ImageFiles:
    """Make an image of files; their folders belong to root."""
    entries = dict(files)
    for path in files:
        while (path := path.rpartition("/")[0]) and path not in entries:
            entries[path] = Entry(FOLDER)
    return ImageFiles(entries, environment, tuple(entrypoint.split()))


def good_images() -> dict[str, ImageFiles]:
    common = {"/usr/bin/sleep": Entry(PROGRAM), "/opt/qtr/bin/python": Entry(PROGRAM)}
    server = image(
        common | {"/opt/qtr/bin/qtr": Entry(PROGRAM)} | {f"{SITE}/grpc_server/first_model.py": Entry(FILE)},
        "qtr serve",
        PATH="/opt/qtr/bin:/usr/bin",
    )
    job = image(
        common
        | {
            "/opt/qtr/entrypoint.sh": Entry(PROGRAM),
            f"{SITE}/spark_jobs/label_pairs.py": Entry(FILE),
            "/opt/qtr/label_pairs.py": Entry(LINK, link=f"{SITE}/spark_jobs/label_pairs.py"),
            "/opt/spark/bin/spark-submit": Entry(PROGRAM),
            "/opt/spark/conf": Entry(FOLDER),
            "/data": Entry(FOLDER, USER),
            "/work": Entry(FOLDER, USER),
            "/tmp": Entry(FOLDER | 0o1777),
        },
        "/opt/qtr/entrypoint.sh",
        PATH="/opt/qtr/bin:/opt/spark/bin:/usr/bin",
        SPARK_HOME="/opt/spark",
    )
    return {"qtr-server": server, "qtr-spark": job}


def builds() -> list[Manifests]:
    return [
        service("production", ("model-from-volume", "mtls")),
        spark("cronjob", ("mtls",)),
        spark("operator", ("mtls",)),
    ]


@pytest.mark.parametrize("number", range(3))
def test_without_a_mistake_nothing_is_noticed(number: int) -> None:
    assert [str(violation) for violation in check_images(builds()[number], good_images())] == []


Change = Callable[[dict[str, ImageFiles]], object]


def without(name: str, path: str) -> Change:
    return lambda images: images[name].entries.pop(path)


def owned(name: str, path: str, owner: int, mode: int = FOLDER) -> Change:
    return lambda images: images[name].entries.update({path: Entry(mode, owner)})


def runs_as(name: str, user: str) -> Change:
    return lambda images: images.update({name: replace(images[name], user=user)})


def has_set(name: str, variable: str, value: str) -> Change:
    return lambda images: images[name].environment.update({variable: value})


MISTAKES: list[tuple[str, Change]] = [
    # What was shipped: a path of the build's sources.
    (
        "links-resolve",
        lambda images: images["qtr-server"].entries.update(
            {"/opt/qtr/bundle": Entry(LINK, link="/src/relevance_model/bundles/student")}
        ),
    ),
    ("links-resolve", lambda images: images["qtr-spark"].entries.update({"/opt/a": Entry(LINK, link="a")})),
    ("programs-exist", without("qtr-server", "/opt/qtr/bin/qtr")),
    ("programs-exist", without("qtr-server", f"{SITE}/grpc_server/first_model.py")),
    ("programs-exist", without("qtr-server", "/opt/qtr/bin/python")),
    ("programs-exist", without("qtr-spark", "/opt/spark/bin/spark-submit")),
    ("programs-exist", owned("qtr-server", "/opt/qtr/bin/qtr", 0, FILE)),
    ("paths-exist", without("qtr-spark", "/opt/qtr/label_pairs.py")),
    ("paths-exist", has_set("qtr-spark", "JAVA_HOME", "/opt/java/wrapped")),
    ("programs-are-not-ours-to-write", owned("qtr-server", "/opt/qtr/bin", USER)),
    ("programs-are-not-ours-to-write", owned("qtr-spark", "/opt/spark/conf", 0, FOLDER | 0o020)),
    ("volumes-are-ours-to-write", owned("qtr-spark", "/data", 0)),
    ("user-of-the-image", runs_as("qtr-server", "0:0")),
    ("user-of-the-image", runs_as("qtr-spark", "")),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_mistake_is_noticed_by_its_rule_and_no_other(number: int) -> None:
    expected, change = MISTAKES[number]
    images = good_images()
    change(images)
    found = {violation.rule for manifests in builds() for violation in check_images(manifests, images)}
    assert found == {expected}


def test_a_file_that_the_mounted_settings_lack_is_noticed() -> None:
    manifests = spark("cronjob").copy()
    del manifests.one("ConfigMap", "qtr-spark-conf")["data"]["executor.yaml"]
    [violation] = check_images(manifests, good_images())
    assert violation.sentence.endswith("names /opt/spark/conf/executor.yaml, which is not there")


def test_every_rule_has_a_mistake() -> None:
    assert {rule for rule, _ in MISTAKES} == set(RULES)


def test_the_built_images_hold_what_the_manifests_name() -> None:
    tool = os.environ.get("QTR_IMAGE_TOOL")
    if not tool:
        pytest.skip("set QTR_IMAGE_TOOL to the tool that built the images (docker/try.sh)")
    prefix = os.environ.get("IMAGE_PREFIX", "docker.io/library/")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {name: read_image(tool, f"{prefix}{name}:{version}") for name in ("qtr-server", "qtr-spark")}
    found = {
        f"{name_of(combination)}: {violation}"
        for build, combinations in ((service, COMBINATIONS), (spark, SPARK_COMBINATIONS))
        for combination in combinations
        for violation in check_images(build(*combination), images)
    }
    assert found == set()

"""Every combination of overlay and components builds, fits Kubernetes' schemas, and keeps the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.manifests.kustomize import (
    COMBINATIONS,
    COMPONENTS,
    K8S,
    OVERLAYS,
    SPARK_COMBINATIONS,
    SPARK_COMPONENTS,
    SPARK_STARTS,
    combined,
    name_of,
    service,
    spark,
)
from tests.manifests.policy import check
from tests.manifests.resources import Manifests
from tests.manifests.schemas import faults

Combination = tuple[str, tuple[str, ...]]


def assert_good(manifests: Manifests) -> None:
    assert [fault for resource in manifests.resources for fault in faults(resource)] == []
    assert [str(violation) for violation in check(manifests)] == []


def test_the_base_stands_alone() -> None:
    assert_good(combined("base"))


@pytest.mark.parametrize("combination", COMBINATIONS, ids=name_of)
def test_a_combination_of_the_service_is_good(combination: Combination) -> None:
    assert_good(service(*combination))


@pytest.mark.parametrize("combination", SPARK_COMBINATIONS, ids=name_of)
def test_a_combination_of_the_job_is_good(combination: Combination) -> None:
    assert_good(spark(*combination))


def test_no_folder_is_left_out() -> None:
    assert folders("overlays") == set(OVERLAYS)
    assert folders("components") == set(COMPONENTS)
    assert folders("spark/components") == set(SPARK_COMPONENTS)
    assert folders("spark") - {"components"} == {"base", *SPARK_STARTS}


def folders(below: str) -> set[str]:
    return {path.name for path in (K8S / below).iterdir() if path.is_dir()}


@pytest.mark.parametrize("name", [*(f"components/{name}" for name in COMPONENTS), "spark"])
def test_a_component_says_what_it_is(name: str) -> None:
    assert (K8S / name / "README.md").read_text().startswith("# ")


@pytest.mark.parametrize("path", sorted(K8S.rglob("kustomization.yaml")), ids=lambda path: str(path.parent.name))
def test_every_file_of_a_folder_is_used(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    named = {str(entry) for key in ("resources", "components", "configurations") for entry in content.get(key, [])}
    named |= {patch["path"] for patch in content.get("patches", []) if "path" in patch}
    for generator in content.get("configMapGenerator", []):
        named |= {*generator.get("envs", []), *generator.get("files", [])}
    own = {str(file.relative_to(path.parent)) for file in path.parent.rglob("*") if file.is_file()}
    below = {name for name in own if (path.parent / name).parent != path.parent and "conf/" not in name}
    assert own - below - named - {"kustomization.yaml", "README.md", "alerts.yaml"} == set()

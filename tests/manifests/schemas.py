"""Checking resources against schemas: Kubernetes' own, of several versions, and those of `crds.yaml`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.manifests.resources import Resource as Manifest
from tests.manifests.resources import title

# The oldest that the manifests ask for (native gRPC probes, timeZone), and the newest there is.
VERSIONS = ("1.27", "1.37")
CRDS = Path(__file__).with_name("crds.yaml")


def faults(resource: Manifest) -> list[str]:
    """Return a sentence for each field that the schemas refuse."""
    api, kind = resource["apiVersion"], resource["kind"]
    if f"{api}/{kind}" in _custom():
        spec = resource.get("spec", {})
        outside = resource.keys() - {"apiVersion", "kind", "metadata", "spec"}
        found = [f"unknown field {name}" for name in sorted(outside)]
        return found + [_sentence(resource, error) for error in _custom_validator(f"{api}/{kind}").iter_errors(spec)]
    return [
        f"{_sentence(resource, error)} (Kubernetes {version})"
        for version in VERSIONS
        for error in _validator(version, api, kind).iter_errors(resource)
    ]


def _sentence(resource: Manifest, error: Any) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{title(resource)}: {place}: {error.message[:300]}"


@cache
def _validator(version: str, api: str, kind: str) -> Draft202012Validator:
    """Make the strict validator of a kind from the schemas that the package kubernetes-validate brings."""
    group, _, level = api.rpartition("/")
    name = "-".join(filter(None, (kind, group.partition(".")[0], level))).lower()
    schema = json.loads((_folder(version) / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    definitions = Resource.from_contents(json.loads((_folder(version) / "_definitions.json").read_text()))
    return definitions @ Registry()


def _folder(version: str) -> Path:
    return Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema" / f"v{version}.0-local-strict"


@cache
def _custom() -> dict[str, Any]:
    schemas: dict[str, Any] = yaml.safe_load(CRDS.read_text())
    _close(schemas)
    return schemas


@cache
def _custom_validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({**_custom()[name], "definitions": _custom()["definitions"]})


def _close(schema: Any) -> None:
    """Refuse unknown fields wherever fields are listed."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    if not isinstance(schema, dict):
        return
    for name, each in schema.items():
        if name != "properties" or not isinstance(each, dict):
            _close(each)
            continue
        for below in each.values():
            _close(below)
    if isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
        schema.setdefault("type", "object")

#!/usr/bin/env python3
"""Generate each `prometheus-rule.yaml` from the `alerts.yaml` beside it: `make manifests`.

Kustomize cannot embed a file in a resource as YAML, so the resource of the Prometheus operator is generated. The text
of the rules is copied and indented.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

FOLDERS = {
    Path("components/monitoring"): ("qtr-server", "qtr", "server"),
    Path("spark/components/monitoring"): ("qtr-nightly", "qtr-jobs", "nightly"),
}
HEAD = """\
# Generated from alerts.yaml by `make manifests`; edit that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: qtr
    app.kubernetes.io/component: {component}
spec:
"""


def rule_of(folder: Path) -> str:
    """Return the `PrometheusRule` of the alerts in a folder, as YAML."""
    name, namespace, component = FOLDERS[folder]
    text = (Path(__file__).parent / folder / "alerts.yaml").read_text()
    groups = text[text.index("groups:") :]
    return HEAD.format(name=name, namespace=namespace, component=component) + textwrap.indent(groups, "  ")


if __name__ == "__main__":
    for folder in FOLDERS:
        (Path(__file__).parent / folder / "prometheus-rule.yaml").write_text(rule_of(folder))

#!/usr/bin/env python3
"""Make each `prometheus-rule.yaml` of the `alerts.yaml` beside it: `make manifests`.

Kustomize cannot put a file into a resource as structure, so the Prometheus operator's form of the rules is generated.
The text is taken over as it is, two steps further to the right.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

PLACES = {
    Path("components/monitoring"): ("qtr-server", "qtr", "server"),
    Path("spark/components/monitoring"): ("qtr-nightly", "qtr-jobs", "nightly"),
}
HEAD = """\
# Made of alerts.yaml by `make manifests`; change that.
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
    """Return the resource of the alerts in a folder, as text."""
    name, namespace, component = PLACES[folder]
    text = (Path(__file__).parent / folder / "alerts.yaml").read_text()
    groups = text[text.index("groups:") :]
    return HEAD.format(name=name, namespace=namespace, component=component) + textwrap.indent(groups, "  ")


if __name__ == "__main__":
    for place in PLACES:
        (Path(__file__).parent / place / "prometheus-rule.yaml").write_text(rule_of(place))

"""The Prometheus operator's rules are the plain ones, and the alerts on nightly runs fire when they should."""

from __future__ import annotations

import re
import runpy
from typing import Any

import yaml

from tests.manifests.kustomize import K8S, ROOT, service, spark

FOLDER = K8S / "spark" / "components" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
PAGE = (ROOT / "docs" / "operating.md").read_text()


def test_the_operators_rules_are_made_of_the_alerts() -> None:
    script = runpy.run_path(str(K8S / "make_rules.py"))
    for folder in script["FOLDERS"]:
        made = (K8S / folder / "prometheus-rule.yaml").read_text()
        assert made == script["rule_of"](folder), "run `make manifests`"
        assert yaml.safe_load(made)["spec"] == yaml.safe_load((K8S / folder / "alerts.yaml").read_text())


def test_both_are_applied_with_their_component() -> None:
    for manifests, count in ((service("local", ("monitoring",)), 10), (spark("cronjob", ("monitoring",)), 3)):
        [rules] = manifests.of("PrometheusRule")
        assert len(rules["spec"]["groups"][0]["rules"]) == count
    [dashboard] = [
        each for each in service("local", ("monitoring",)).of("ConfigMap") if "dashboard.json" in each["data"]
    ]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_page_says_what_to_do_about_each_alert() -> None:
    """All of them: those of the service are explained in docs/metrics.md, and listed here."""
    headings = {heading.lower() for heading in re.findall(r"^### (Qtr\w+)$", PAGE, re.MULTILINE)}
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor) == ("docs/operating.md", rule["alert"].lower())
        assert anchor in headings
    ours = yaml.safe_load((K8S / "components" / "monitoring" / "alerts.yaml").read_text())["groups"][0]["rules"]
    listed = set(re.findall(r"^\| \[(Qtr\w+)\]\(metrics\.md#\w+\)", PAGE, re.MULTILINE))
    assert listed == {rule["alert"] for rule in ours}

"""The Prometheus operator's rules are the plain ones, and "did last night run?" fires when it should."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.kustomize import K8S, ROOT, service, spark

FOLDER = K8S / "spark" / "components" / "monitoring"
CASES = Path(__file__).with_name("nightly_cases.yaml")
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
PAGE = (ROOT / "docs" / "operating.md").read_text()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_operators_rules_are_made_of_the_alerts() -> None:
    script = runpy.run_path(str(K8S / "make_rules.py"))
    for folder in script["PLACES"]:
        made = (K8S / folder / "prometheus-rule.yaml").read_text()
        assert made == script["rule_of"](folder), "run `make manifests`"
        assert yaml.safe_load(made)["spec"] == yaml.safe_load((K8S / folder / "alerts.yaml").read_text())


def test_both_are_applied_with_their_component() -> None:
    for manifests, count in ((service("local", ("monitoring",)), 8), (spark("cronjob", ("monitoring",)), 3)):
        [rules] = manifests.of("PrometheusRule")
        assert len(rules["spec"]["groups"][0]["rules"]) == count
    [dashboard] = [
        each for each in service("local", ("monitoring",)).of("ConfigMap") if "dashboard.json" in each["data"]
    ]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_promtool_accepts_the_rules() -> None:
    result = promtool("check", "rules", FOLDER / "alerts.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    result = promtool("test", "rules", CASES)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    outcomes: dict[str, set[bool]] = {}
    for story in yaml.safe_load(CASES.read_text())["tests"]:
        for case in story["alert_rule_test"]:
            outcomes.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert outcomes == {rule["alert"]: {True, False} for rule in RULES}


@pytest.mark.parametrize("wrong_expression", ["vector(1) == 2", "vector(1)"], ids=["silent", "always"])
def test_the_cases_notice_an_alert_that_is_wrong(tmp_path: Path, wrong_expression: str) -> None:
    cases = CASES.read_text().replace("../../k8s/spark/components/monitoring/alerts.yaml", "alerts.yaml")
    (tmp_path / "cases.yaml").write_text(cases)
    for wrong in RULES:
        rules = [{**rule, "expr": wrong_expression} if rule is wrong else rule for rule in RULES]
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": [{"name": "qtr", "rules": rules}]}))
        assert promtool("test", "rules", tmp_path / "cases.yaml").returncode != 0, wrong["alert"]


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

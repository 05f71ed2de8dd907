"""Alert rules fire when they should and only then; a real promtool says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.promtool import promtool

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RuleSet:
    """A file of rules below k8s/, and the file of cases that tries them."""

    rules_file: str
    cases_file: str

    @property
    def path(self) -> Path:
        return ROOT / self.rules_file

    @property
    def cases(self) -> Path:
        return ROOT / self.cases_file

    @property
    def rules(self) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = yaml.safe_load(self.path.read_text())["groups"][0]["rules"]
        return rules


SETS = {
    "service": RuleSet("k8s/components/monitoring/alerts.yaml", "tests/monitoring/alert_cases.yaml"),
    "nightly": RuleSet("k8s/spark/components/monitoring/alerts.yaml", "tests/manifests/nightly_cases.yaml"),
}


@pytest.fixture(params=list(SETS.values()), ids=list(SETS))
def rule_set(request: pytest.FixtureRequest) -> RuleSet:
    found: RuleSet = request.param
    return found


def test_promtool_accepts_the_rules(rule_set: RuleSet) -> None:
    result = promtool("check", "rules", rule_set.path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_alerts_fire_when_they_should_and_only_then(rule_set: RuleSet) -> None:
    result = promtool("test", "rules", rule_set.cases)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(rule_set: RuleSet) -> None:
    outcomes: dict[str, set[bool]] = {}
    for story in yaml.safe_load(rule_set.cases.read_text())["tests"]:
        for case in story["alert_rule_test"]:
            outcomes.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert outcomes == {rule["alert"]: {True, False} for rule in rule_set.rules}


@pytest.mark.parametrize("wrong_expression", ["vector(1) == 2", "vector(1)"], ids=["silent", "always"])
def test_the_cases_notice_an_alert_that_is_wrong(tmp_path: Path, rule_set: RuleSet, wrong_expression: str) -> None:
    cases = rule_set.cases.read_text().replace(f"../../{rule_set.rules_file}", "alerts.yaml")
    (tmp_path / "cases.yaml").write_text(cases)
    every = rule_set.rules
    for wrong in every:
        rules = [{**rule, "expr": wrong_expression} if rule is wrong else rule for rule in every]
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": [{"name": "qtr", "rules": rules}]}))
        assert promtool("test", "rules", tmp_path / "cases.yaml").returncode != 0, wrong["alert"]
